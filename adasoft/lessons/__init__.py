"""What the notebooks show: one state object, the views that read and write it, and checks of answers.

:class:`Explorer` holds what the reader moves (words, cutoffs, sizes, the cost model). The ``..._panel`` functions
return widgets bound to it: whatever one of them changes, all others show. Needs the extra ``adasoft[notebooks]``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .clusters.explorer import ClustersExplorer
from .clusters.panels import area_panel, beat_the_planner, front_panel, swap_panel, tails_panel, two_clusters_panel
from .kit.costs import COUNTED_MULTIPLICATIONS, COUNTED_WORDS
from .kit.course import ROOMS
from .kit.cuts import cut_panel
from .kit.exercises import check
from .kit.explorer import Explorer
from .kit.grading import ask, predict
from .kit.progress import progress_panel
from .kit.token_panel import token_panel
from .live_timing.explorer import LiveTimingExplorer
from .live_timing.panels import curve_panel, layer_race_panel, live_panel
from .time_model.explorer import TimingExplorer
from .time_model.flat_panel import product_panel
from .time_model.panels import clusters_panel, race_panel, replan_panel, wrong_timing_panel
from .words.machine import machine_panel
from .words.own_text import own_text_panel
from .words.panels import coverage_panel, half_panel, languages_panel, paper_panel, reading_panel

for _room in ROOMS:
    import_module(f".{_room}.questions", __name__)  # registers them

if TYPE_CHECKING:
    from .alternatives.case_panel import case_panel as case_panel
    from .alternatives.explorer import AlternativesExplorer as AlternativesExplorer
    from .alternatives.panels import compare_panel as compare_panel
    from .alternatives.panels import experts_panel as experts_panel
    from .alternatives.panels import methods_panel as methods_panel
    from .alternatives.panels import svd_panel as svd_panel
    from .language_model.explorer import TrainingExplorer as TrainingExplorer
    from .language_model.own_cell_panel import own_cell_panel as own_cell_panel
    from .language_model.panels import text_panel as text_panel
    from .language_model.panels import training_panel as training_panel
    from .language_model.race import stored_race as stored_race
    from .language_model.recorded_panels import ranks_panel as ranks_panel
    from .language_model.recorded_panels import stored_panel as stored_panel
    from .language_model.recorded_panels import training_race_panel as training_race_panel
    from .language_model.writing_panel import writing_panel as writing_panel
    from .layer.check_panels import drop_in_panel as drop_in_panel
    from .layer.check_panels import gradient_panel as gradient_panel
    from .layer.explorer import LayerExplorer as LayerExplorer
    from .layer.panels import batch_panel as batch_panel
    from .layer.panels import counts_panel as counts_panel
    from .layer.panels import decoding_panel as decoding_panel
    from .layer.panels import layout_panel as layout_panel
    from .layer.panels import train_panel as train_panel
    from .layer.panels import word_panel as word_panel
    from .your_case.explorer import CasesExplorer as CasesExplorer
    from .your_case.panels import your_case_panel as your_case_panel

# These need torch, which takes seconds to load: they are loaded when first used.
_WITH_TORCH = {
    "AlternativesExplorer": "alternatives.explorer",
    "LayerExplorer": "layer.explorer",
    "TrainingExplorer": "language_model.explorer",
    "batch_panel": "layer.panels",
    "CasesExplorer": "your_case.explorer",
    "case_panel": "alternatives.case_panel",
    "counts_panel": "layer.panels",
    "compare_panel": "alternatives.panels",
    "decoding_panel": "layer.panels",
    "drop_in_panel": "layer.check_panels",
    "experts_panel": "alternatives.panels",
    "own_cell_panel": "language_model.own_cell_panel",
    "gradient_panel": "layer.check_panels",
    "layout_panel": "layer.panels",
    "training_race_panel": "language_model.recorded_panels",
    "ranks_panel": "language_model.recorded_panels",
    "stored_panel": "language_model.recorded_panels",
    "stored_race": "language_model.race",
    "methods_panel": "alternatives.panels",
    "svd_panel": "alternatives.panels",
    "text_panel": "language_model.panels",
    "train_panel": "layer.panels",
    "training_panel": "language_model.panels",
    "word_panel": "layer.panels",
    "writing_panel": "language_model.writing_panel",
    "your_case_panel": "your_case.panels",
}

__all__ = [
    "COUNTED_MULTIPLICATIONS",
    "COUNTED_WORDS",
    "AlternativesExplorer",
    "CasesExplorer",
    "ClustersExplorer",
    "Explorer",
    "LayerExplorer",
    "LiveTimingExplorer",
    "TimingExplorer",
    "TrainingExplorer",
    "area_panel",
    "ask",
    "batch_panel",
    "beat_the_planner",
    "case_panel",
    "check",
    "clusters_panel",
    "compare_panel",
    "counts_panel",
    "coverage_panel",
    "curve_panel",
    "cut_panel",
    "decoding_panel",
    "drop_in_panel",
    "experts_panel",
    "front_panel",
    "gradient_panel",
    "half_panel",
    "languages_panel",
    "layer_race_panel",
    "layout_panel",
    "live_panel",
    "machine_panel",
    "methods_panel",
    "own_cell_panel",
    "own_text_panel",
    "paper_panel",
    "predict",
    "product_panel",
    "progress_panel",
    "race_panel",
    "ranks_panel",
    "reading_panel",
    "replan_panel",
    "stored_panel",
    "stored_race",
    "svd_panel",
    "swap_panel",
    "tails_panel",
    "text_panel",
    "token_panel",
    "train_panel",
    "training_panel",
    "training_race_panel",
    "two_clusters_panel",
    "word_panel",
    "writing_panel",
    "wrong_timing_panel",
    "your_case_panel",
]


def __getattr__(name: str) -> Any:
    if name in _WITH_TORCH:
        value = getattr(import_module(f".{_WITH_TORCH[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_WITH_TORCH])
