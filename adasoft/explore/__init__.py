"""What the notebooks show: one state object, the views that read and write it, and checks of answers.

:class:`Explorer` holds what the reader moves (words, cutoffs, sizes, the cost model). The ``..._panel`` functions
return widgets bound to it: whatever one of them changes, all others show. Needs the extra ``adasoft[notebooks]``.
"""

from .checks import ask, predict
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

__all__ = [
    "COUNTED_MULTIPLICATIONS",
    "COUNTED_WORDS",
    "Explorer",
    "ask",
    "beat_the_planner",
    "coverage_panel",
    "cut_panel",
    "languages_panel",
    "machine_panel",
    "own_text_panel",
    "predict",
    "swap_panel",
    "two_clusters_panel",
]
