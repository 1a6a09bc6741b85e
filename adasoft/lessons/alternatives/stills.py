"""The stills of the lesson on alternatives, made of the small models and of stored results."""

from __future__ import annotations

from functools import lru_cache

from ..kit.languages import load_language
from ..kit.plots import Picture, still
from . import figures as af
from .comparison import comparison_figure
from .explorer import AlternativesExplorer
from .scene import methods_svg, scene_data
from .stored import record
from .window_picture import window_still


@lru_cache(maxsize=1)
def _explorer() -> AlternativesExplorer:
    # here, because that module renders the stills of all others
    from ..kit.stills import recorded_cost

    explorer = AlternativesExplorer(load_language("en"), cost=recorded_cost())
    explorer.choose()
    explorer.n_full = 250
    return explorer


@still(
    "07_methods",
    "Four matrices to scale, with the parts that are read in full colour. Full softmax: all of it. Adaptive softmax: "
    "the head and one of two shallow tails. SVD-softmax: a strip over all words, and full columns for some words, "
    "most of them frequent. Doubly sparse softmax: one of eight experts.",
)
def _methods_still() -> Picture:
    return methods_svg(scene_data(_explorer().small))


@still(
    "07_svd",
    "Left: the part of the matrix that is read, and the ten best words of one hidden state with their places in the "
    "preview. Right: words found against multiplications, one rising curve for each of four widths W, 3, 6, 12 and 24; "
    "a ring marks W = 6 and N = 250, a star on the line of 99 % the cheapest choice.",
)
def _svd_still() -> Picture:
    return window_still(_explorer())


@still(
    "07_experts",
    "Recorded. Left: ten experts and 100 classes; each expert's squares fill one of the ten true groups and nothing "
    "else, a staircase. Right: the class vectors of all experts fall from 1,000 to 100.",
)
def _experts_still() -> Picture:
    return af.experts_figure(record()["experts"])


@still(
    "07_comparison",
    "Nine trained softmaxes as points: how many times faster than the full softmax against how often the next word is "
    "among the ten best. SVD-softmax is no faster for these 256 hidden states; the adaptive ones and the experts are "
    "2 to 4 times faster; the experts find the next word somewhat less often.",
)
def _comparison_still() -> Picture:
    return comparison_figure()
