"""What the notebooks show: one state object, the views that read and write it, and checks of answers.

:class:`Explorer` holds what the reader moves (words, cutoffs, sizes, the cost model). The ``..._panel`` functions
return widgets bound to it: whatever one of them changes, all others show. Needs the extra ``adasoft[notebooks]``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .checks import ask, predict
from .live_timing import curve_panel, live_panel
from .panels import (
    beat_the_planner,
    coverage_panel,
    cut_panel,
    languages_panel,
    machine_panel,
    own_text_panel,
    swap_panel,
    two_clusters_panel,
)
from .state import COUNTED_MULTIPLICATIONS, COUNTED_WORDS, Explorer
from .time_model import clusters_panel, product_panel, replan_panel, wrong_timing_panel
from .timing_state import TimingExplorer

if TYPE_CHECKING:
    from .layer_views import LayerExplorer as LayerExplorer
    from .layer_views import decoding_panel as decoding_panel
    from .layer_views import drop_in_panel as drop_in_panel
    from .layer_views import gradient_panel as gradient_panel
    from .layer_views import routing_panel as routing_panel
    from .layer_views import train_panel as train_panel
    from .layer_views import word_panel as word_panel

# These need torch, which takes seconds to load: they are loaded when first used.
_WITH_TORCH = {
    "LayerExplorer": "layer_views",
    "decoding_panel": "layer_views",
    "drop_in_panel": "layer_views",
    "gradient_panel": "layer_views",
    "routing_panel": "layer_views",
    "train_panel": "layer_views",
    "word_panel": "layer_views",
}

__all__ = [
    "COUNTED_MULTIPLICATIONS",
    "COUNTED_WORDS",
    "Explorer",
    "LayerExplorer",
    "TimingExplorer",
    "ask",
    "beat_the_planner",
    "clusters_panel",
    "coverage_panel",
    "curve_panel",
    "cut_panel",
    "decoding_panel",
    "drop_in_panel",
    "gradient_panel",
    "languages_panel",
    "live_panel",
    "machine_panel",
    "own_text_panel",
    "predict",
    "product_panel",
    "replan_panel",
    "routing_panel",
    "swap_panel",
    "train_panel",
    "two_clusters_panel",
    "word_panel",
    "wrong_timing_panel",
]


def __getattr__(name: str) -> Any:
    if name in _WITH_TORCH:
        value = getattr(import_module(f".{_WITH_TORCH[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_WITH_TORCH])
