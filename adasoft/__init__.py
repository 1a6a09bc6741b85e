"""Adaptive softmax, planned for your words and your machine.

The chain: word counts -> :class:`Vocabulary`; a timed machine -> :class:`MeasuredCost`;
both -> :func:`plan` -> :class:`Plan`; the plan -> :class:`AdaptiveSoftmax`.

Importing this package is quick: torch, plotly and wordfreq are loaded when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .extras import EXTRAS, missing

__version__ = "0.1.0"

# public name -> the room it lives in
_ROOMS = {
    "Vocabulary": "vocabulary",
    "ZipfFit": "zipf",
    "compare": "vocabulary",
    "PaperCost": "cost",
    "MeasuredCost": "cost",
    "load_cost": "records",
    "Plan": "planning",
    "plan": "planning",
    "check": "opinion",
    "front": "tradeoffs",
    "two_clusters": "tradeoffs",
    "AdaptiveSoftmax": "layer",
    "AdaptiveEmbedding": "embedding",
    "calibrate": "calibration",
}

__all__ = [*_ROOMS, "__version__"]

if TYPE_CHECKING:
    from .calibration import calibrate as calibrate
    from .cost import MeasuredCost as MeasuredCost
    from .cost import PaperCost as PaperCost
    from .embedding import AdaptiveEmbedding as AdaptiveEmbedding
    from .layer import AdaptiveSoftmax as AdaptiveSoftmax
    from .opinion import check as check
    from .planning import Plan as Plan
    from .planning import plan as plan
    from .records import load_cost as load_cost
    from .tradeoffs import front as front
    from .tradeoffs import two_clusters as two_clusters
    from .vocabulary import Vocabulary as Vocabulary
    from .vocabulary import compare as compare
    from .zipf import ZipfFit as ZipfFit


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        try:
            value = getattr(import_module(f".{_ROOMS[name]}", __name__), name)
        except ModuleNotFoundError as error:
            if error.name not in EXTRAS:
                raise
            raise ModuleNotFoundError(missing(error.name, name), name=error.name) from error
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_ROOMS])
