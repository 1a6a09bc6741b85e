"""Figures of the lesson on alternatives that plotly draws; `sentences` says in words what they show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ..kit.plots import FULL_COLOR, MEASURED, TEXT_COLOR, Data, Layout, filled
from ..time_model.timings import Spread
from . import cases as sc
from .experts import GROUPS, PER_GROUP
from .sentences import Times

# ---------------------------------------------------------------------- experts on 10 x 10 classes


def untrained(n_experts: int) -> dict[str, Any]:
    """Experts before training: each knows every class."""
    classes = GROUPS * PER_GROUP
    return {"known": [[*range(classes)] for _ in range(n_experts)], "points": [[0, n_experts * classes, math.nan]]}


def experts_data(kept: Mapping[str, Any]) -> tuple[Data, Layout]:
    """Which expert knows which class; rows left against steps."""
    known = [list(one) for one in kept["known"]]
    order = sorted(range(len(known)), key=lambda k: (not known[k], np.mean(known[k]) if known[k] else 0.0))
    points = np.asarray(kept["points"], dtype=float)
    x: list[float] = []
    y: list[float] = []
    for place, k in enumerate(order):
        x += known[k]
        y += [place + 1.0] * len(known[k])
    data: Data = {
        0: {"x": np.asarray(x or [math.nan], dtype=float), "y": np.asarray(y or [math.nan], dtype=float)},
        1: {"x": points[:, 0], "y": points[:, 1]},
    }
    most = len(known) * GROUPS * PER_GROUP
    steps = float(kept.get("steps", 800))
    return data, {
        "yaxis.range": (len(known) + 0.6, 0.4),
        "yaxis2.range": (0.0, 1.05 * most),
        "xaxis2.range": (0.0, steps),
    }


def experts_figure(kept: Mapping[str, Any]) -> go.Figure:
    """What experts know of the 10 x 10 classes."""
    titles = ("a square: this expert still has a vector for this class", "class vectors left, all experts")
    figure = make_subplots(1, 2, subplot_titles=titles, horizontal_spacing=0.1, column_widths=[0.66, 0.34])
    figure.add_scatter(
        row=1, col=1, name="class", mode="markers", marker={"symbol": "square", "size": 5, "color": TEXT_COLOR}
    )
    figure.add_scatter(row=1, col=2, name="class vectors", mode="lines+markers", line={"color": TEXT_COLOR, "width": 3})
    edges = [PER_GROUP * g - 0.5 for g in range(GROUPS + 1)]
    figure.update_xaxes(
        tickvals=edges,
        ticktext=[str(PER_GROUP * g) for g in range(GROUPS + 1)],
        range=[-1.5, GROUPS * PER_GROUP + 0.5],
        title_text="class; grid lines separate the true groups",
        row=1,
        col=1,
    )
    figure.update_traces(hovertemplate="expert %{y:.0f}, class %{x:.0f}<extra></extra>", row=1, col=1)
    figure.update_traces(hovertemplate="%{y:,.0f} class vectors after %{x:,.0f} steps<extra></extra>", row=1, col=2)
    figure.update_yaxes(title_text="expert", tickformat="d", row=1, col=1)
    figure.update_xaxes(title_text="training step", row=1, col=2)
    figure.update_yaxes(title_text="class vectors", row=1, col=2)
    figure.update_annotations(font_size=13)
    figure.update_xaxes(fixedrange=True)
    figure.update_yaxes(fixedrange=True)
    return filled(figure, *experts_data(kept), 320)


# ---------------------------------------------------------------------- a case

ORDER = (
    sc.FULL,
    sc.SAMPLED,
    sc.TREE,
    sc.STAR,
    sc.ADAPTIVE,
    sc.ALL_WORDS,
    sc.SKIPPING,
    sc.SVD,
    sc.SPARSE,
)


def case_data(names: Sequence[str], times: Times, arithmetic: Mapping[str, float]) -> tuple[Data, Layout]:
    """Measured times with quartiles, and counted arithmetic, by method."""
    shown = [n for n in ORDER if n in names]
    timed = [times.get(n, Spread(math.nan, math.nan, math.nan, 0)) for n in shown]
    data: Data = {
        0: {
            "y": shown,
            "x": 1e3 * np.asarray([t.median for t in timed]),
            "error_x.array": 1e3 * np.asarray([t.q3 - t.median for t in timed]),
            "error_x.arrayminus": 1e3 * np.asarray([t.median - t.q1 for t in timed]),
        },
        1: {"y": shown, "x": 100 * np.asarray([arithmetic.get(n, math.nan) for n in shown])},
    }
    return data, {}


def case_figure(names: Sequence[str], times: Times, arithmetic: Mapping[str, float]) -> go.Figure:
    """A case: time beside arithmetic, a row for each method."""
    titles = ("measured time (median, quartiles)", "counted multiplications")
    figure = make_subplots(1, 2, subplot_titles=titles, horizontal_spacing=0.06, shared_yaxes=True)
    figure.add_scatter(
        row=1,
        col=1,
        name="measured",
        mode="markers",
        marker={**MEASURED, "size": 12, "color": TEXT_COLOR},
        error_x={"type": "data", "symmetric": False, "color": TEXT_COLOR, "thickness": 2, "width": 8},
        hovertemplate="%{x:.3g} ms<extra></extra>",
    )
    figure.add_bar(
        row=1,
        col=2,
        name="counted",
        orientation="h",
        width=0.5,
        marker_color=FULL_COLOR,
        hovertemplate="%{x:.1f} % of the full one’s<extra></extra>",
    )
    figure.update_xaxes(title_text="ms", rangemode="tozero", row=1, col=1)
    figure.update_xaxes(title_text="% of the full softmax’s", rangemode="tozero", row=1, col=2)
    figure.update_xaxes(fixedrange=True)
    figure.update_yaxes(type="category", autorange="reversed", fixedrange=True)
    figure.update_annotations(font_size=13)
    return filled(figure, *case_data(names, times, arithmetic), 250)
