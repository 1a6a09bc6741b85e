"""Why the paper's first experiment gains 2.4 times and this layer more: its settings taken over, one by one."""

from __future__ import annotations

from typing import NamedTuple

import plotly.graph_objects as go

from ...cost import Cost
from ...planning import default_widths
from ...vocabulary import Vocabulary
from ..kit.first_words import first_words
from ..kit.picker import COLORS
from ..kit.plots import FULL_COLOR, filled, plain

#: Penn Treebank, a head of 1,400 words: 0.80 ms for the full softmax, 0.33 ms for the layer, as the paper prints them.
PAPER_SECONDS = (0.80e-3, 0.33e-3)
PAPER_SPEEDUP = PAPER_SECONDS[0] / PAPER_SECONDS[1]
PAPER_HEAD = 1_400
#: Words of the Penn Treebank as it is used for language models.
PENN_TREEBANK_WORDS = 10_000


class Step(NamedTuple):
    """One setting taken over from the paper, with all those before it."""

    change: str
    speedup: float


class _Setting(NamedTuple):
    n_words: int
    d: int
    batch: int
    head: int
    narrow: bool


def speedup_of(vocabulary: Vocabulary, cost: Cost, setting: _Setting) -> float:
    """Time of the full softmax over that of a head and one tail, under a cost model.

    A tail of full width has no projection.
    """
    words = first_words(vocabulary, setting.n_words)
    head = min(setting.head, len(words) - 1)
    widths = default_widths(setting.d, 1) if setting.narrow else [setting.d]
    share = 1 - words.share_of_first(head)
    layer = cost.layer(len(words), [head], widths, [share], setting.d, setting.batch)
    full = cost.layer(len(words), [], [], [], setting.d, setting.batch)
    seconds = sum(part.seconds for part in layer.parts if setting.narrow or part.part != "projection")
    return full.seconds / seconds


def steps(vocabulary: Vocabulary, cost: Cost) -> list[Step]:
    """From the layer of this lesson to the paper's sizes, on these words (of English, in the text) and this machine."""
    here = _Setting(len(vocabulary), 512, 2560, 2000, narrow=True)
    narrow = default_widths(here.d, 1)[0]
    changes = [
        (f"this page: {len(vocabulary):,} words, d = 512, B = 2,560", here),
        (f"a tail of width 512 instead of {narrow}", here._replace(narrow=False)),
    ]
    changes.append(("… and 10,000 words", changes[-1][1]._replace(n_words=PENN_TREEBANK_WORDS)))
    changes.append(("… and d = 128, B = 512", changes[-1][1]._replace(d=128, batch=512)))
    changes.append(("… and a head of 1,400 words", changes[-1][1]._replace(head=PAPER_HEAD)))
    return [Step(text, speedup_of(vocabulary, cost, setting)) for text, setting in changes]


def steps_figure(found: list[Step]) -> go.Figure:
    """The speed-up after each change, and beside them the paper's."""
    names = [*(plain(step.change) for step in found), "the paper, on its GPU"]
    values = [*(step.speedup for step in found), PAPER_SPEEDUP]
    figure = go.Figure()
    figure.add_bar(
        y=names,
        x=values,
        orientation="h",
        marker={"color": [COLORS[0]] * len(found) + [FULL_COLOR], "pattern": {"shape": [""] * len(found) + ["/"]}},
        text=[f" {value:.1f} times" for value in values],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y}: %{x:.1f} times faster<extra></extra>",
    )
    figure.update_yaxes(autorange="reversed", showgrid=False, ticksuffix="  ")
    figure.update_xaxes(title_text="times faster than the full softmax", range=[0, 1.15 * max(values)])
    return filled(figure, {}, {"margin.t": 10}, 265)


def steps_sentence(found: list[Step], name: str, cost: Cost) -> str:
    """The figure in words."""
    first, last = found[0].speedup, found[-1].speedup
    return (
        f"Words of {name}, times predicted for {cost.name}. With the paper's sizes, {first:,.1f} times becomes "
        f"{last:,.1f} times; the paper measured {PAPER_SPEEDUP:.1f} times, on other words and on a GPU."
    )
