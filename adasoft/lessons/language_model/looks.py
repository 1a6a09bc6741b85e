"""What the runs of the lesson on perplexity are called, and how each is drawn; no torch, no widgets."""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import numpy as np

from ...results.suite import PAPER_TEXT8, ROW_LABELS
from ..kit.plots import FULL_COLOR, Layout

#: What can be trained, and what it is called.
LABELS = {name: ROW_LABELS[name] for name in PAPER_TEXT8} | {
    "planned": ROW_LABELS["planned-0.75"],
    "yours": "adaptive, your cutoffs",
}
#: The two of the reader's own cell, both with the reader's cutoffs.
CELL_LABELS = {"lstm": "LSTM", "cell": "your cell"}
#: What these are in a recorded session: somebody's, not the reader's.
EXAMPLE_LABELS = {"yours": "adaptive, example cutoffs", "cell": "the example cell"}
#: Short names, where there is little room.
SHORT = {
    "full": "full",
    "sampled": "sampled",
    "hierarchical": "hierarchical",
    "d-softmax": "D-softmax",
    "d-softmax-star": "D-softmax*",
    "adaptive": "authors'",
    "planned": "planned",
    "yours": "yours",
    "lstm": "LSTM",
    "cell": "yours",
}
#: Parts of a step, as in `adasoft.lm.clock.PHASES`, and what they are called.
PARTS = {"output": "output layer", "body": "cell and embedding", "optimizer": "optimizer"}


class Look(NamedTuple):
    """The colour, dash and marker of one kind of run, the same in every figure."""

    color: str
    dash: str
    symbol: str


#: The adaptive softmax as a whole; the colours of clusters are for clusters. Legible on white and on near-black.
ADAPTIVE_COLOR = "#9a70dd"
#: Of what is there for comparison only.
OTHERS_COLOR = "#7d858d"

#: A filled circle for what the paper and its authors have, a star for what is planned, a ring for what is the reader's.
LOOKS = {
    "full": Look(FULL_COLOR, "solid", "circle"),
    "sampled": Look(OTHERS_COLOR, "dot", "x"),
    "hierarchical": Look(OTHERS_COLOR, "dashdot", "triangle-up"),
    "d-softmax": Look(OTHERS_COLOR, "dash", "triangle-down"),
    "d-softmax-star": Look(OTHERS_COLOR, "longdash", "square"),
    "adaptive": Look(ADAPTIVE_COLOR, "solid", "circle"),
    "planned": Look(ADAPTIVE_COLOR, "dash", "star"),
    "yours": Look(ADAPTIVE_COLOR, "dot", "circle-open"),
    "lstm": Look(FULL_COLOR, "solid", "circle"),
    "cell": Look(ADAPTIVE_COLOR, "dot", "circle-open"),
}


def look(name: str) -> Look:
    """How a run is drawn; every plan as a plan, and what has no look of its own as an adaptive softmax of ours."""
    if name.startswith("planned"):
        return LOOKS["planned"]
    return LOOKS.get(name, Look(ADAPTIVE_COLOR, "dashdot", "diamond"))


#: Least distance of two labels on a logarithmic axis, as a part of its length.
_ROOM = 0.12


def log_ticks(axis: str, values: Any, room: float = _ROOM) -> Layout:
    """The range of a logarithmic axis and its labels: round numbers, as many as have room, whatever the values are.

    ``room``: more than by default where the axis is short.

    Plotly's own labels crowd where there is one point only, and are lacking where the values lie close together.
    """
    seen = np.asarray(values)[np.isfinite(values)]
    if not len(seen):
        return {f"{axis}.tickvals": (), f"{axis}.ticktext": (), f"{axis}.range": None}
    low, high = float(seen.min()), float(seen.max())
    margin = max((high / low) ** 0.06, (1.5 / (high / low)) ** 0.5)  # a little, and never less than a factor of 1.5
    low, high = low / margin, high * margin
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    coarse: tuple[Any, ...] = ((1,), (1, 3)) if room > _ROOM else ((1,),)
    for steps in (*coarse, (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8), np.arange(1, 10, 0.2), np.arange(1, 10, 0.1)):
        found = [round(float(step) * 10.0**k, 9) for k in powers for step in steps if low <= step * 10.0**k <= high]
        near = min((math.log(b / a) for a, b in itertools.pairwise(found)), default=math.inf)
        if ticks and near < room * math.log(high / low):
            break
        ticks = found
    return {
        f"{axis}.tickvals": tuple(ticks),
        f"{axis}.ticktext": tuple(_tick(value) for value in ticks),
        f"{axis}.range": (math.log10(low), math.log10(high)),
    }


def _tick(value: float) -> str:
    if value >= 10_000:
        return f"{value / 1e6:g} M" if value >= 1e6 else f"{value / 1e3:g}k"
    return f"{value:,.6g}"
