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
    from .alternatives_panels import case_panel as case_panel
    from .alternatives_panels import experts_panel as experts_panel
    from .alternatives_panels import pruned_panel as pruned_panel
    from .alternatives_panels import skip_panel as skip_panel
    from .alternatives_panels import svd_panel as svd_panel
    from .alternatives_panels import which_panel as which_panel
    from .alternatives_state import AlternativesExplorer as AlternativesExplorer
    from .layer_views import LayerExplorer as LayerExplorer
    from .layer_views import decoding_panel as decoding_panel
    from .layer_views import drop_in_panel as drop_in_panel
    from .layer_views import gradient_panel as gradient_panel
    from .layer_views import routing_panel as routing_panel
    from .layer_views import train_panel as train_panel
    from .layer_views import word_panel as word_panel
    from .training_panels import own_cell_panel as own_cell_panel
    from .training_panels import stored_panel as stored_panel
    from .training_panels import text_panel as text_panel
    from .training_panels import training_panel as training_panel
    from .training_panels import writing_panel as writing_panel
    from .training_state import TrainingExplorer as TrainingExplorer

# These need torch, which takes seconds to load: they are loaded when first used.
_WITH_TORCH = {
    "AlternativesExplorer": "alternatives_state",
    "LayerExplorer": "layer_views",
    "TrainingExplorer": "training_state",
    "case_panel": "alternatives_panels",
    "decoding_panel": "layer_views",
    "drop_in_panel": "layer_views",
    "experts_panel": "alternatives_panels",
    "gradient_panel": "layer_views",
    "own_cell_panel": "training_panels",
    "pruned_panel": "alternatives_panels",
    "routing_panel": "layer_views",
    "skip_panel": "alternatives_panels",
    "stored_panel": "training_panels",
    "svd_panel": "alternatives_panels",
    "text_panel": "training_panels",
    "train_panel": "layer_views",
    "training_panel": "training_panels",
    "which_panel": "alternatives_panels",
    "word_panel": "layer_views",
    "writing_panel": "training_panels",
}

__all__ = [
    "COUNTED_MULTIPLICATIONS",
    "COUNTED_WORDS",
    "AlternativesExplorer",
    "Explorer",
    "LayerExplorer",
    "TimingExplorer",
    "TrainingExplorer",
    "ask",
    "beat_the_planner",
    "case_panel",
    "clusters_panel",
    "coverage_panel",
    "curve_panel",
    "cut_panel",
    "decoding_panel",
    "drop_in_panel",
    "experts_panel",
    "gradient_panel",
    "languages_panel",
    "live_panel",
    "machine_panel",
    "own_cell_panel",
    "own_text_panel",
    "predict",
    "product_panel",
    "pruned_panel",
    "replan_panel",
    "routing_panel",
    "skip_panel",
    "stored_panel",
    "svd_panel",
    "swap_panel",
    "text_panel",
    "train_panel",
    "training_panel",
    "two_clusters_panel",
    "which_panel",
    "word_panel",
    "writing_panel",
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
