"""Where results of trainings and benchmarks are read and written."""

from __future__ import annotations

from pathlib import Path

from ..files import cache_dir

_PACKAGE = Path(__file__).resolve().parents[1]


def results_folder() -> Path:
    """The folder of the results that come with adasoft: ``data/results`` of a checkout, or inside the wheel.

    Where neither is there, the reader's own (:func:`own_results_folder`).
    """
    shipped = _PACKAGE / "_results"
    return shipped if shipped.is_dir() else own_results_folder()


def own_results_folder() -> Path:
    """Where new results go: ``data/results`` of a checkout, or ``results`` in the cache.

    An installed package has no checkout, and site-packages is the wrong place for a reader's results.
    """
    checkout = _PACKAGE.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / "data").is_dir():
        return checkout / "data" / "results"
    return cache_dir() / "results"
