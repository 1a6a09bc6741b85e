"""The stills of the lesson on alternatives, made of the small models and of stored results."""

from __future__ import annotations

from functools import lru_cache

from ..kit.languages import load_language
from ..kit.plots import Picture, still
from . import figures as af
from .explorer import AlternativesExplorer
from .stored import record, recorded_cases


@lru_cache(maxsize=1)
def _explorer() -> AlternativesExplorer:
    # here, because that module renders the stills of all others
    from ..kit.stills import recorded_cost

    return AlternativesExplorer(load_language("en"), cost=recorded_cost())


@still(
    "07_svd",
    "Left: the ten best words of one state as bars, with a diamond for each by SVD-softmax, somewhat beyond the end "
    "of the bar. Middle: the recall of the ten best words rises with N, a circle marks the chosen W and N. Right: an "
    "empty plot for recall against time.",
)
def _svd_still() -> Picture:
    return af.svd_figure(_explorer(), {})


@still(
    "07_experts",
    "Recorded. Left: ten experts and 100 classes; each expert's squares fill one of the ten true groups and nothing "
    "else, a staircase. Middle: bars of ten classes each. Right: the rows of all experts fall from 1,000 to 100.",
)
def _experts_still() -> Picture:
    return af.experts_figure(record()["experts"])


@still(
    "07_stored_experts",
    "Left: three stored doubly sparse softmaxes of 4, 8 and 16 experts; squares for the part of the full softmax's ten "
    "best words that they find, triangles below for the next word, against arithmetic. Middle: words of each expert "
    "of the chosen one. Right: the part of the rows that it gets.",
)
def _stored_still() -> Picture:
    return af.stored_experts_figure(_explorer().small.experts, 0)


@still(
    "07_skip",
    "Left: a bar for each tail, the part of the rows that open it for the ten best words. Middle: the part of all "
    "pairs opened rises with k from 1 to 50, a diamond at 10. Right: an empty plot for times.",
)
def _skip_still() -> Picture:
    return af.skip_figure(_explorer(), {})


@still(
    "07_case",
    "Recorded, the ten best words of 256 rows at V = 20,000: bars of the milliseconds and of the counted arithmetic of "
    "the full softmax, the adaptive one in two ways, SVD-softmax and doubly sparse softmax.",
)
def _case_still() -> Picture:
    one = next(c for c in recorded_cases() if (c.sizes["V"], c.sizes["rows"]) == (20_000, 256))
    figure = af.case_figure(tuple(one.times), one.times, one.known["arithmetic"])
    figure.add_annotation(text=one.label, xref="paper", yref="paper", x=0, y=1.2, showarrow=False)
    figure.update_layout(margin_t=74)
    return figure
