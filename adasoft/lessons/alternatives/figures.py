"""Figures of the lesson on alternatives that plotly draws; `sentences` says in words what they show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ..kit.plots import FULL_COLOR, GUESSED, MEASURED, PLANNED, TEXT_COLOR, YOU, Data, Layout, filled, plain
from ..time_model.timings import Spread
from . import cases as sc
from . import windows
from .experts import GROUPS, PER_GROUP
from .explorer import AlternativesExplorer
from .sentences import Times

#: Widths W whose curves are drawn beside the reader's.
WIDTHS = (3, 6, 12, 24)
_BLANK: dict[str, Any] = {"x": np.full(1, math.nan), "y": np.full(1, math.nan)}

# ---------------------------------------------------------------------- SVD-softmax


def _curve(explorer: AlternativesExplorer, width: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Percent of the multiplications and percent of the ten best words found, for N from 1 to V at a W."""
    n_full, recall = windows.recall_curve(explorer.small, width)
    return 100 * windows.utilisation(explorer.small, width, n_full), 100 * recall


#: Where the names of the curves stand: percent of the ten best words.
_NAMES_AT = 63.0


def svd_data(explorer: AlternativesExplorer) -> tuple[Data, Layout]:
    """The ten best words of a state by both; share of them found against multiplications, with the reader's marks."""
    words, full, ours = explorer.top_words()
    # two of the same word cannot be: a category for each, the rank before it
    names = [f"{i + 1}. {plain(word)}" for i, word in enumerate(words)]
    found = explorer.quality()
    curves = [_curve(explorer, width) for width in WIDTHS]
    gap = np.full(1, math.nan)
    guess, chosen = explorer.recall("guess cheapest"), explorer.chosen
    mine = _curve(explorer, explorer.width)
    data: Data = {
        0: {"y": names, "x": 100 * np.asarray(full)},
        1: {"y": names, "x": 100 * np.asarray(ours)},
        2: {
            "x": np.concatenate([part for x, _ in curves for part in (x, gap)]),
            "y": np.concatenate([part for _, y in curves for part in (y, gap)]),
        },
        3: {"x": mine[0], "y": mine[1]},
        4: {"x": np.full(1, 100 * found["utilisation"]), "y": np.full(1, 100 * found["recall 10"])},
        5: _BLANK,
        6: _BLANK,
        7: {
            "x": [float(np.interp(_NAMES_AT, y, x)) for x, y in curves],
            "y": [_NAMES_AT] * len(curves),
            "text": [f" W = {width}" for width in WIDTHS],
        },
    }
    if chosen is not None:
        best = windows.quality(explorer.small, chosen.width, chosen.n_full)
        data[5] = {"x": np.full(1, 100 * chosen.utilisation), "y": np.full(1, 100 * best["recall 10"])}
    if guess is not None:
        data[6] = {"x": np.full(1, min(100.0, max(2.0, float(guess)))), "y": np.full(1, 99.0)}
    return data, {}


def svd_figure(explorer: AlternativesExplorer) -> go.Figure:
    """Words of one state, and how much of the arithmetic finds how many of them."""
    titles = ("ten best words of this hidden state", "how cheap can it be?")
    figure = make_subplots(1, 2, subplot_titles=titles, horizontal_spacing=0.12, column_widths=[0.36, 0.64])
    figure.add_bar(row=1, col=1, name="full softmax", orientation="h", marker_color=FULL_COLOR)
    figure.add_scatter(
        row=1, col=1, name="SVD-softmax", mode="markers", marker={**YOU, "size": 11, "line": {"width": 2.5}}
    )
    figure.add_scatter(
        row=1,
        col=2,
        name="other W, any N",
        mode="lines",
        line={"color": FULL_COLOR, "width": 1.2},
        hoverinfo="skip",
    )
    figure.add_scatter(
        row=1, col=2, name="your W, any N", mode="lines", line={"color": TEXT_COLOR, "width": 3}, hoverinfo="skip"
    )
    for name, mark in (("your W and N", YOU), ("chosen for you", PLANNED), ("your guess", GUESSED)):
        figure.add_scatter(row=1, col=2, name=name, mode="markers", marker=mark)
    # a trace of their own: plotly draws few of the texts of points that a line leaves out
    figure.add_scatter(
        row=1, col=2, mode="text", textposition="middle right", hoverinfo="skip", showlegend=False, cliponaxis=False
    )
    hover = "%{fullData.name}: %{x:.1f} % of the multiplications, %{y:.1f} % found<extra></extra>"
    figure.update_traces(hovertemplate=hover, selector=lambda trace: trace.name in ("your W and N", "chosen for you"))
    figure.update_traces(
        hovertemplate="%{y}: %{x:.2g} %<extra>%{fullData.name}</extra>", selector=lambda trace: trace.xaxis == "x"
    )
    figure.update_xaxes(title_text="probability, %", row=1, col=1)
    figure.update_yaxes(autorange="reversed", row=1, col=1)
    ticks = [2, 5, 10, 20, 50, 100]
    figure.update_xaxes(
        type="log",
        tickvals=ticks,
        range=[math.log10(1.8), math.log10(110)],
        title_text="multiplications, % of the full softmax’s",
        row=1,
        col=2,
    )
    figure.update_yaxes(title_text="ten best words found, %", range=[60, 101.5], row=1, col=2)
    figure.update_annotations(font_size=13)
    figure.update_xaxes(fixedrange=True)
    figure.update_yaxes(fixedrange=True)
    figure = filled(figure, *svd_data(explorer), 340)
    # from the lower edge of the whole picture, so that no width of the window moves it onto the axis titles
    legend = {"orientation": "h", "y": 0, "yref": "container", "yanchor": "bottom"}
    figure.update_layout(showlegend=True, legend=legend, margin={"t": 30, "b": 86})
    return figure


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
    labels = [
        n.replace(", ", ",<br>").replace(" softmax", "<br>softmax").replace("-softmax", "-<br>softmax") for n in shown
    ]
    data: Data = {
        0: {
            "x": labels,
            "y": 1e3 * np.asarray([t.median for t in timed]),
            "error_y.array": 1e3 * np.asarray([t.q3 - t.median for t in timed]),
            "error_y.arrayminus": 1e3 * np.asarray([t.median - t.q1 for t in timed]),
        },
        1: {"x": labels, "y": 100 * np.asarray([arithmetic.get(n, math.nan) for n in shown])},
    }
    return data, {}


def case_figure(names: Sequence[str], times: Times, arithmetic: Mapping[str, float]) -> go.Figure:
    """A case: time beside arithmetic."""
    titles = ("measured time (median, quartiles)", "counted multiplications")
    figure = make_subplots(1, 2, subplot_titles=titles, horizontal_spacing=0.1)
    figure.add_scatter(
        row=1,
        col=1,
        name="measured",
        mode="markers",
        marker={**MEASURED, "size": 12, "color": TEXT_COLOR},
        error_y={"type": "data", "symmetric": False, "color": TEXT_COLOR, "thickness": 2, "width": 8},
        hovertemplate="%{y:.3g} ms<extra></extra>",
    )
    figure.add_bar(
        row=1,
        col=2,
        name="counted",
        marker_color=FULL_COLOR,
        hovertemplate="%{y:.1f} % of the full one’s<extra></extra>",
    )
    figure.update_yaxes(title_text="ms", rangemode="tozero", row=1, col=1)
    figure.update_yaxes(title_text="% of the full softmax’s", rangemode="tozero", row=1, col=2)
    figure.update_xaxes(type="category", fixedrange=True, tickangle=0)
    figure.update_yaxes(fixedrange=True)
    figure.update_annotations(font_size=13)
    return filled(figure, *case_data(names, times, arithmetic), 330)
