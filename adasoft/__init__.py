"""Adaptive softmax, planned for your words and your machine.

The chain: word counts -> :class:`Vocabulary`; a timed machine -> :class:`MeasuredCost`;
both -> :func:`plan` -> :class:`Plan`; the plan -> :class:`AdaptiveSoftmax`.

Importing this package is quick: torch, plotly and wordfreq are loaded when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# public name -> the room it lives in
_ROOMS = {
    "Vocabulary": "vocabulary",
    "ZipfFit": "vocabulary",
    "compare": "vocabulary",
    "PaperCost": "cost",
    "MeasuredCost": "cost",
    "load_cost": "records",
    "Plan": "planning",
    "plan": "planning",
    "front": "planning",
    "two_clusters": "planning",
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
    from .planning import Plan as Plan
    from .planning import front as front
    from .planning import plan as plan
    from .planning import two_clusters as two_clusters
    from .records import load_cost as load_cost
    from .vocabulary import Vocabulary as Vocabulary
    from .vocabulary import ZipfFit as ZipfFit
    from .vocabulary import compare as compare


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        value = getattr(import_module(f".{_ROOMS[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_ROOMS])
