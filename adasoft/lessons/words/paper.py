"""What is left of this layer's gain with the settings of the paper's first experiment, taken over one by one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go

from ...cost import Cost
from ...planning import default_widths
from ...vocabulary import Vocabulary
from ..kit.first_words import first_words
from ..kit.picker import COLORS
from ..kit.plots import FULL_COLOR, GUESSED, Data, Layout, filled, plain

#: Penn Treebank, a head of 1,400 words: 0.80 ms for the full softmax, 0.33 ms for the layer, as the paper prints them.
PAPER_SECONDS = (0.80e-3, 0.33e-3)
PAPER_SPEEDUP = PAPER_SECONDS[0] / PAPER_SECONDS[1]
PAPER_HEAD = 1_400
#: The cutoff that this page's questions are about, wherever its handle stands.
PAGE_HEAD = 2_000
#: Words of the Penn Treebank as it is used for language models.
PENN_TREEBANK_WORDS = 10_000


class Step(NamedTuple):
    """One setting taken over from the paper, with all those before it."""

    change: str
    speedup: float
    why: str = ""
    """What the change does, on any machine."""


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
    here = _Setting(len(vocabulary), 512, 2560, PAGE_HEAD, narrow=True)
    narrow = default_widths(here.d, 1)[0]
    wide = here._replace(narrow=False)
    short = wide._replace(n_words=PENN_TREEBANK_WORDS)
    small = short._replace(d=128, batch=512)
    changes = [
        (f"this page: {len(vocabulary):,} words, d = 512, B = 2,560", here, ""),
        (
            f"a tail of width 512 instead of {narrow}",
            wide,
            "Each word of the tail now costs four times the multiplications.",
        ),
        ("… and 10,000 words", short, "A short list leaves fewer words to skip."),
        (
            "… and d = 128, B = 512",
            small,
            "Each product is now a twentieth of its size, so costs that do not shrink with it weigh more.",
        ),
        (
            "… and a head of 1,400 words",
            small._replace(head=PAPER_HEAD),
            "A smaller head costs less, and sends more tokens to the tail.",
        ),
    ]
    return [Step(text, speedup_of(vocabulary, cost, setting), why) for text, setting, why in changes]


def steps_data(found: Sequence[Step], taken: int | None = None, guess: float | None = None) -> tuple[Data, Layout]:
    """The speed-up with the first ``taken`` changes (all of them: None), and the paper's; ``guess``: for the first."""
    taken = max(0, len(found) - 1) if taken is None else taken
    names = [f"{name}  " for name in [*(plain(step.change) for step in found), "the paper, on its GPU"]]
    values = [*(step.speedup if i <= taken else math.nan for i, step in enumerate(found)), PAPER_SPEEDUP]
    marked = guess is not None and len(found) > 1 and taken > 0
    places = np.arange(len(names), dtype=float)
    top = max(PAPER_SPEEDUP, *(step.speedup for step in found)) if found else PAPER_SPEEDUP
    # a guess far beyond the bars stands at the right edge, and says its number
    at = min(guess or 0.0, 1.1 * top)
    texts = ["" if math.isnan(value) else f" {value:.1f} times" for value in values]
    label = f"your guess: {guess:,.3g} times" if guess is not None else ""
    data: Data = {
        0: {
            "y": places,
            "x": np.asarray(values),
            "text": texts,
            "marker.color": [COLORS[0]] * len(found) + [FULL_COLOR],
            "marker.pattern.shape": [""] * len(found) + ["/"],
        },
        1: {
            # between two bars, so that a good guess covers no number
            "y": np.asarray([0.5]),
            "x": np.asarray([at if marked else math.nan]),
            "text": [f"  {label}  "],
            "textposition": "middle left" if at > 0.7 * top else "middle right",
        },
    }
    ticks = {"yaxis.tickvals": places.tolist(), "yaxis.ticktext": names}
    return data, {"xaxis.range": (0, 1.3 * top), "yaxis.range": (len(names) - 0.5, -0.5), **ticks}


def steps_figure(found: Sequence[Step], taken: int | None = None, guess: float | None = None) -> go.Figure:
    """The speed-up after each change taken over, and beside them the paper's."""
    figure = go.Figure()
    figure.add_bar(
        orientation="h",
        width=0.5,
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{x:.1f} times faster<extra></extra>",
    )
    figure.add_scatter(
        mode="markers+text",
        marker=GUESSED,
        cliponaxis=False,
        hovertemplate="your guess<extra></extra>",
    )
    figure.update_yaxes(showgrid=False, zeroline=False)
    figure.update_xaxes(title_text="times faster than the full softmax")
    data, layout = steps_data(found, taken, guess)
    return filled(figure, data, {"margin.t": 10, **layout}, 265)


def _changed(before: float, now: float) -> str:
    """How the gain changes, in words."""
    if f"{before:.1f}" == f"{now:.1f}":
        return f"The gain stays at {now:,.1f} times."
    return f"The gain {'falls' if now < before else 'rises'} from {before:,.1f} to {now:,.1f} times."


def steps_sentence(found: Sequence[Step], name: str, cost: Cost, taken: int | None = None) -> str:
    """What the last change taken over does, and at the end what is left.

    Raises ValueError where none is taken over.
    """
    taken = len(found) - 1 if taken is None else taken
    if taken < 1:
        raise ValueError(f"taken should be at least 1, got {taken}")
    now = found[taken]
    text = f"{now.why} {_changed(found[taken - 1].speedup, now.speedup)}"
    if taken == 1:
        return f"Words of {name}, predicted for {cost.name}. {text}"
    if taken < len(found) - 1:
        return text
    return (
        f"{text} With all of the paper's sizes, {found[0].speedup:,.1f} times has become {now.speedup:,.1f}; the paper "
        f"measured {PAPER_SPEEDUP:.1f}, on other words and on a GPU."
    )
