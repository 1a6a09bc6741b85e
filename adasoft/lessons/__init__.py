"""What the notebooks show: one state object, the views that read and write it, and checks of answers.

:class:`Explorer` holds what the reader moves (words, cutoffs, sizes, the cost model). The ``..._panel`` functions
return widgets bound to it: whatever one of them changes, all others show. Needs the extra ``adasoft[notebooks]``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .clusters.panels import beat_the_planner, swap_panel, two_clusters_panel
from .kit.costs import COUNTED_MULTIPLICATIONS, COUNTED_WORDS
from .kit.course import ROOMS
from .kit.cuts import cut_panel
from .kit.exercises import check
from .kit.explorer import Explorer
from .kit.grading import ask, predict
from .kit.progress import progress_panel
from .kit.token_panel import token_panel
from .live_timing.panels import curve_panel, live_panel
from .time_model.explorer import TimingExplorer
from .time_model.panels import clusters_panel, product_panel, replan_panel, wrong_timing_panel
from .words.machine import machine_panel
from .words.own_text import own_text_panel
from .words.panels import coverage_panel, half_panel, languages_panel, paper_panel, reading_panel

for _room in ROOMS:
    import_module(f".{_room}.questions", __name__)  # registers them

if TYPE_CHECKING:
    from .alternatives.case_panel import case_panel as case_panel
    from .alternatives.case_panel import which_panel as which_panel
    from .alternatives.explorer import AlternativesExplorer as AlternativesExplorer
    from .alternatives.panels import experts_panel as experts_panel
    from .alternatives.panels import pruned_panel as pruned_panel
    from .alternatives.panels import skip_panel as skip_panel
    from .alternatives.panels import svd_panel as svd_panel
    from .language_model.explorer import TrainingExplorer as TrainingExplorer
    from .language_model.panels import own_cell_panel as own_cell_panel
    from .language_model.panels import stored_panel as stored_panel
    from .language_model.panels import text_panel as text_panel
    from .language_model.panels import training_panel as training_panel
    from .language_model.panels import writing_panel as writing_panel
    from .layer.explorer import LayerExplorer as LayerExplorer
    from .layer.panels import decoding_panel as decoding_panel
    from .layer.panels import drop_in_panel as drop_in_panel
    from .layer.panels import gradient_panel as gradient_panel
    from .layer.panels import routing_panel as routing_panel
    from .layer.panels import train_panel as train_panel
    from .layer.panels import word_panel as word_panel

# These need torch, which takes seconds to load: they are loaded when first used.
_WITH_TORCH = {
    "AlternativesExplorer": "alternatives.explorer",
    "LayerExplorer": "layer.explorer",
    "TrainingExplorer": "language_model.explorer",
    "case_panel": "alternatives.case_panel",
    "decoding_panel": "layer.panels",
    "drop_in_panel": "layer.panels",
    "experts_panel": "alternatives.panels",
    "gradient_panel": "layer.panels",
    "own_cell_panel": "language_model.panels",
    "pruned_panel": "alternatives.panels",
    "routing_panel": "layer.panels",
    "skip_panel": "alternatives.panels",
    "stored_panel": "language_model.panels",
    "svd_panel": "alternatives.panels",
    "text_panel": "language_model.panels",
    "train_panel": "layer.panels",
    "training_panel": "language_model.panels",
    "which_panel": "alternatives.case_panel",
    "word_panel": "layer.panels",
    "writing_panel": "language_model.panels",
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
    "check",
    "clusters_panel",
    "coverage_panel",
    "curve_panel",
    "cut_panel",
    "decoding_panel",
    "drop_in_panel",
    "experts_panel",
    "gradient_panel",
    "half_panel",
    "languages_panel",
    "live_panel",
    "machine_panel",
    "own_cell_panel",
    "own_text_panel",
    "paper_panel",
    "predict",
    "product_panel",
    "progress_panel",
    "pruned_panel",
    "reading_panel",
    "replan_panel",
    "routing_panel",
    "skip_panel",
    "stored_panel",
    "svd_panel",
    "swap_panel",
    "text_panel",
    "token_panel",
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
