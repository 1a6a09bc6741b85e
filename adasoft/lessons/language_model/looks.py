"""What the runs of the lesson on perplexity are called, and how each is drawn; no torch, no widgets."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ...results.suite import PAPER_TEXT8, ROW_LABELS
from ..kit.picker import COLORS
from ..kit.plots import Layout

#: What can be trained, and what it is called.
LABELS = {name: ROW_LABELS[name] for name in PAPER_TEXT8} | {
    "planned": "adaptive, planned cutoffs",
    "yours": "adaptive, your cutoffs",
}
#: The two of the reader's own cell, both with the reader's cutoffs.
CELL_LABELS = {"lstm": "LSTM", "cell": "your cell"}
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


LOOKS = {
    "full": Look("#8a9097", "solid", "circle"),
    "sampled": Look(COLORS[3], "dot", "x"),
    "hierarchical": Look(COLORS[4], "dashdot", "star-triangle-up"),
    "d-softmax": Look(COLORS[1], "dash", "triangle-down"),
    "d-softmax-star": Look("#a08a00", "longdash", "triangle-up"),
    "adaptive": Look(COLORS[0], "solid", "square"),
    "planned": Look(COLORS[2], "solid", "diamond"),
    "yours": Look(COLORS[5], "solid", "star"),
    "planned-0.75": Look(COLORS[2], "solid", "diamond"),
    "planned-0.65": Look(COLORS[2], "dash", "diamond-wide"),
    "planned-0.85": Look(COLORS[2], "dot", "diamond-tall"),
    "planned-wide": Look("#4fd1a8", "solid", "diamond"),
    "planned-wide-0.85": Look("#4fd1a8", "dot", "diamond-tall"),
    "planned-mean-0.65": Look("#0b6e52", "dash", "hexagon"),
    "planned-mean-0.75": Look("#0b6e52", "solid", "hexagon2"),
    "tail-dropout": Look(COLORS[0], "dash", "square-x"),
    "planned-wide-dropout": Look("#4fd1a8", "dash", "diamond-x"),
    "planned-wide-0.85-dropout": Look("#4fd1a8", "longdash", "diamond-cross"),
    "lstm": Look(COLORS[0], "solid", "circle"),
    "cell": Look(COLORS[5], "dash", "star"),
}


def look(name: str) -> Look:
    """How a run is drawn; a new kind in grey until it has a look of its own."""
    return LOOKS.get(name, Look("#8a9097", "longdashdot", "cross"))


def log_ticks(axis: str, values: Any) -> Layout:
    """Labels of a logarithmic axis: 1, 2, 5, and more between them where they would be few. Plotly's crowd, or lack."""
    seen = np.asarray(values)[np.isfinite(values)]
    if not len(seen):
        return {f"{axis}.tickvals": (), f"{axis}.ticktext": ()}
    low, high = float(seen.min()) / 1.02, float(seen.max()) * 1.02
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    choices = ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8), tuple(np.arange(1, 10, 0.2)), tuple(np.arange(1, 10, 0.05)))
    ticks: list[float] = []
    for steps in choices:
        found = [round(step * 10.0**k, 9) for k in powers for step in steps if low <= step * 10.0**k <= high]
        if ticks and len(found) > 9:
            break
        ticks = found
        if len(ticks) >= 4:
            break
    return {f"{axis}.tickvals": tuple(ticks), f"{axis}.ticktext": tuple(_tick(value) for value in ticks)}


def _tick(value: float) -> str:
    if value >= 10_000:
        return f"{value / 1e6:g} M" if value >= 1e6 else f"{value / 1e3:g}k"
    return f"{value:,.6g}"
