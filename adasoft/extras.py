"""Packages that a core install of adasoft lacks, and the extra that brings each: ``pip install "adasoft[torch]"``."""

from __future__ import annotations

#: Package -> extra. A core install has NumPy, which is all that vocabulary, cost and plan need.
EXTRAS = {
    "torch": "torch",
    "scipy": "torch",
    "tqdm": "torch",
    "safetensors": "lm",
    "tokenizers": "lm",
    "requests": "lm",
    "urllib3": "lm",
    "filelock": "lm",
    "packaging": "lm",
    "jupyterlab": "notebooks",
    "ipywidgets": "notebooks",
    "plotly": "notebooks",
    "anywidget": "notebooks",
    "wordfreq": "notebooks",
    "triton": "gpu",
    "sklearn": "neighbours",
    "simple_icd_10_cm": "icd",
}


def missing(package: str, user: str = "") -> str:
    """What to say where a package is missing that ``user`` needs.

    >>> missing("torch", "AdaptiveSoftmax")
    'AdaptiveSoftmax needs torch, which is not installed: pip install "adasoft[torch]"'
    >>> missing("jupyterlab")
    'jupyterlab is not installed: pip install "adasoft[notebooks]"'
    """
    said = f"{user} needs {package}, which is not installed" if user else f"{package} is not installed"
    return f'{said}: pip install "adasoft[{EXTRAS[package]}]"'
