"""The one door to Triton: its kernels, or None. Nobody else looks for it.

Triton comes with PyTorch for CUDA on Linux. Where it is missing, all works by PyTorch's own operations; where it is
installed and cannot be imported or does not run, a warning says so once.
"""

from __future__ import annotations

import functools
import importlib.util
import warnings
from typing import Any

import torch

#: :mod:`adasoft.gpu.ops` once :func:`load` has imported it, else None: for routes under ``torch.compile`` or within a
#: CUDA graph, where nothing can be imported.
loaded: Any = None


@functools.cache
def load() -> Any:
    """:mod:`adasoft.gpu.ops`, or None where Triton is not installed, or is but cannot be imported (with a warning)."""
    global loaded
    try:
        if importlib.util.find_spec("triton") is None:
            return None
        from . import ops
    except Exception as error:  # built for another Python, half installed, too old
        _warn("Triton is installed but cannot be imported", error)
        return None
    loaded = ops
    return ops


@functools.cache
def on(device: torch.device) -> Any:
    """:func:`load` for the operators on whole logits, after a first launch: None also where that fails."""
    ops = load()
    if ops is None or ops.INTERPRETED:
        return None
    try:
        logits, target = torch.zeros(1, 16, device=device), torch.zeros(1, dtype=torch.long, device=device)
        ops.softmax_rows(logits, target, None, logits.new_empty(1), 0, True)
    except Exception as error:  # a GPU too old for it, no C compiler: the layer works all the same
        _warn(f"Triton does not run on {device}", error)
        return None
    return ops


def _warn(what: str, error: Exception) -> None:
    text = (str(error).strip().splitlines() or [""])[0]
    warnings.warn(
        f"{what} ({type(error).__name__}: {text}): the loss is computed by PyTorch's own operations there, which takes "
        "longer",
        RuntimeWarning,
        stacklevel=3,
    )
