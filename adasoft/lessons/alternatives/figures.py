"""Figures of the lesson on alternatives; `sentences` says in words what they show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ..kit.picker import COLORS
from ..kit.plots import DASHES, FULL_COLOR, LOG, Data, Layout, filled, plain
from ..time_model.timings import Spread
from . import cases as sc
from .experts import GROUPS, PER_GROUP
from .explorer import PLACES, AlternativesExplorer
from .sentences import ALL, SKIP, Times
from .small_models import Experts

LEGEND = {"orientation": "h", "y": -0.24}
#: Rows that the windows are timed with.
TIMED_ROWS = 256

# ---------------------------------------------------------------------- SVD-softmax


def svd_data(explorer: AlternativesExplorer, times: Mapping[str, Any]) -> tuple[Data, Layout]:
    """The ten best words of a state by both; guaranteed recall against N; recall against measured time."""
    words, full, ours = explorer.top_words()
    # two of the same word cannot be: a category for each, the rank before it
    names = [f"{i + 1}. {plain(word)}" for i, word in enumerate(words)]
    places, recall = explorer.recall_curve()
    found = explorer.quality()
    points = times.get("points") or [["full softmax", math.nan, math.nan]]
    data: Data = {
        0: {"y": names, "x": np.asarray(full)},
        1: {"y": names, "x": np.asarray(ours)},
        2: {"x": places, "y": 100 * recall},
        3: {"x": np.full(1, float(explorer.n_full)), "y": np.full(1, 100 * found["recall 10"])},
        4: {
            "x": 1e3 * np.asarray([p[1] for p in points], dtype=float),
            "y": 100 * np.asarray([p[2] for p in points], dtype=float),
            "text": [plain(str(p[0])) for p in points],
            "textposition": [("top center", "bottom center")[i % 2] for i in range(len(points))],
        },
    }
    return data, {"xaxis2.title.text": f"N words re-scored, W = {explorer.width}"}


def svd_figure(explorer: AlternativesExplorer, times: Mapping[str, Any]) -> go.Figure:
    """Words, recall and time of SVD-softmax."""
    titles = ("ten best words of this state", "recall of the ten best", "recall against time")
    figure = make_subplots(1, 3, subplot_titles=titles, horizontal_spacing=0.1, column_widths=[0.34, 0.33, 0.33])
    figure.add_bar(row=1, col=1, name="full softmax", orientation="h", marker_color=FULL_COLOR)
    figure.add_scatter(
        row=1, col=1, name="SVD-softmax", mode="markers", marker={"symbol": "diamond", "size": 10, "color": COLORS[5]}
    )
    figure.add_scatter(row=1, col=2, name="guaranteed by N", mode="lines", line={"color": COLORS[0], "width": 3})
    figure.add_scatter(
        row=1,
        col=2,
        name="your W and N, measured",
        mode="markers",
        marker={"symbol": "circle", "size": 13, "color": COLORS[2]},
    )
    figure.add_scatter(
        row=1,
        col=3,
        name="timed here",
        mode="markers+text",
        marker={"symbol": "square", "size": 9, "color": COLORS[0]},
        cliponaxis=False,
    )
    figure.update_xaxes(title_text="probability", row=1, col=1)
    figure.update_yaxes(autorange="reversed", row=1, col=1)
    figure.update_xaxes(**LOG, row=1, col=2)
    figure.update_yaxes(title_text="% of the full softmax's", range=[0, 105], row=1, col=2)
    figure.update_xaxes(title_text=f"ms for {TIMED_ROWS} rows", rangemode="tozero", row=1, col=3)
    figure.update_yaxes(title_text="recall, %", range=[0, 112], row=1, col=3)
    figure.update_annotations(font_size=13)
    figure = filled(figure, *svd_data(explorer, times), 400)
    figure.update_layout(showlegend=True, legend=LEGEND)
    return figure


# ---------------------------------------------------------------------- experts on 10 x 10 classes


def experts_data(kept: Mapping[str, Any]) -> tuple[Data, Layout]:
    """Which expert knows which class; how many each knows; rows left against steps."""
    known = [list(one) for one in kept.get("known", ())] or [[]]
    order = sorted(range(len(known)), key=lambda k: (not known[k], np.mean(known[k]) if known[k] else 0.0))
    points = np.asarray(kept.get("points") or [[math.nan, math.nan, math.nan]], dtype=float)
    x: list[float] = []
    y: list[float] = []
    for place, k in enumerate(order):
        x += known[k]
        y += [place + 1.0] * len(known[k])
    data: Data = {
        0: {"x": np.asarray(x or [math.nan], dtype=float), "y": np.asarray(y or [math.nan], dtype=float)},
        1: {"x": np.asarray([float(len(known[k])) for k in order]), "y": np.arange(1.0, len(known) + 1)},
        2: {"x": points[:, 0], "y": points[:, 1]},
    }
    return data, {"yaxis.range": (len(known) + 0.6, 0.4), "yaxis2.range": (len(known) + 0.6, 0.4)}


def experts_figure(kept: Mapping[str, Any]) -> go.Figure:
    """What experts know of the 10 x 10 classes."""
    titles = ("which expert knows which class", "classes known", "rows left")
    figure = make_subplots(1, 3, subplot_titles=titles, horizontal_spacing=0.09, column_widths=[0.5, 0.2, 0.3])
    figure.add_scatter(
        row=1, col=1, name="knows it", mode="markers", marker={"symbol": "square", "size": 5, "color": COLORS[0]}
    )
    figure.add_bar(row=1, col=2, name="classes", orientation="h", marker_color=COLORS[1])
    figure.add_scatter(row=1, col=3, name="rows", mode="lines", line={"color": COLORS[2], "width": 3})
    edges = [PER_GROUP * g - 0.5 for g in range(GROUPS + 1)]
    figure.update_xaxes(
        tickvals=edges,
        ticktext=[str(PER_GROUP * g) for g in range(GROUPS + 1)],
        range=[-1.5, GROUPS * PER_GROUP + 0.5],
        title_text="class; a line for each true group",
        row=1,
        col=1,
    )
    figure.update_yaxes(title_text="expert", row=1, col=1)
    figure.update_yaxes(title_text="expert", row=1, col=2)
    figure.update_xaxes(title_text="classes", rangemode="tozero", row=1, col=2)
    figure.update_xaxes(title_text="step", rangemode="tozero", row=1, col=3)
    figure.update_yaxes(title_text="rows of all experts", rangemode="tozero", row=1, col=3)
    figure.update_annotations(font_size=13)
    return filled(figure, *experts_data(kept), 340)


# ---------------------------------------------------------------------- experts on the small model


def stored_experts_data(experts: Sequence[Experts], chosen: int) -> tuple[Data, Layout]:
    """Agreement with the full softmax, and accuracy, against arithmetic; words of each expert of the chosen one."""
    found = [e.found for e in experts]
    one = experts[chosen]
    names = [f"{i + 1}" for i in range(one.n_experts)]
    x = 100 * np.asarray([e["utilisation"] for e in found])
    data: Data = {
        0: {
            "x": x,
            "y": 100 * np.asarray([e["agree 10"] for e in found]),
            "text": [f"K = {e.n_experts}" for e in experts],
        },
        1: {"x": x, "y": 100 * np.asarray([e["right 10"] for e in found])},
        2: {"x": np.asarray([0.0, 2 * x.max()]), "y": np.full(2, 100 * found[0]["full right 10"])},
        3: {"x": x[[chosen]], "y": 100 * np.asarray([found[chosen]["agree 10"]])},
        4: {"x": names, "y": np.asarray(one.found["sizes"], dtype=float)},
        5: {"x": names, "y": 100 * np.asarray(one.found["shares"])},
    }
    return data, {}


def stored_experts_figure(experts: Sequence[Experts], chosen: int) -> go.Figure:
    """Stored doubly sparse softmaxes."""
    titles = ("what they find, against arithmetic", "words of each expert", "rows that it gets")
    figure = make_subplots(1, 3, subplot_titles=titles, horizontal_spacing=0.09, column_widths=[0.42, 0.29, 0.29])
    figure.add_scatter(
        row=1,
        col=1,
        name="of the full softmax's ten best",
        mode="markers+text",
        textposition="top center",
        marker={"symbol": "square", "size": 9, "color": COLORS[0]},
        cliponaxis=False,
    )
    figure.add_scatter(
        row=1,
        col=1,
        name="next word among its ten best",
        mode="markers",
        marker={"symbol": "triangle-up", "size": 10, "color": COLORS[2]},
    )
    figure.add_scatter(
        row=1, col=1, name="the same, full softmax", mode="lines", line={"color": FULL_COLOR, "dash": "dash"}
    )
    figure.add_scatter(
        row=1,
        col=1,
        name="chosen",
        mode="markers",
        marker={"symbol": "circle-open", "size": 18, "color": COLORS[5], "line": {"width": 3}},
    )
    figure.add_bar(row=1, col=2, name="words", marker_color=COLORS[1], showlegend=False)
    figure.add_bar(row=1, col=3, name="rows", marker_color=COLORS[4], showlegend=False)
    most = 100 * max(float(e.found["utilisation"]) for e in experts)
    figure.update_xaxes(title_text="arithmetic, % of the full softmax's", range=[0, 1.25 * most], row=1, col=1)
    figure.update_yaxes(title_text="%", range=[0, 112], row=1, col=1)
    for column, title in ((2, "words"), (3, "% of the rows")):
        figure.update_xaxes(title_text="expert", type="category", row=1, col=column)
        figure.update_yaxes(title_text=title, rangemode="tozero", row=1, col=column)
    figure.update_annotations(font_size=13)
    figure = filled(figure, *stored_experts_data(experts, chosen), 380)
    figure.update_layout(showlegend=True, legend=LEGEND)
    return figure


# ---------------------------------------------------------------------- tails skipped


def skip_data(explorer: AlternativesExplorer, times: Times) -> tuple[Data, Layout]:
    """Share of rows that open each tail at this k; mean share of pairs against k; times of both ways."""
    shares = explorer.opened_shares(explorer.best)
    names = [f"tail {i + 1}" for i in range(len(shares))]
    places = sorted({*PLACES, explorer.best})
    data: Data = {0: {"x": names, "y": 100 * np.asarray(shares)}}
    data[1] = {"x": np.asarray(places, dtype=float), "y": np.asarray([explorer.pairs_percent(k) for k in places])}
    data[2] = {
        "x": np.full(1, float(explorer.best)),
        "y": np.full(1, explorer.pairs_percent(explorer.best)),
    }
    for trace, name in ((3, ALL), (4, SKIP)):
        found = {k: times[f"{name}, {k}"] for k in PLACES if f"{name}, {k}" in times}
        medians = [t.median for t in found.values()] or [math.nan]
        data[trace] = {
            "x": np.asarray(list(found) or [1], dtype=float),
            "y": 1e3 * np.asarray(medians),
            "error_y.array": 1e3 * np.asarray([t.q3 - t.median for t in found.values()] or [math.nan]),
            "error_y.arrayminus": 1e3 * np.asarray([t.median - t.q1 for t in found.values()] or [math.nan]),
        }
    return data, {}


def skip_figure(explorer: AlternativesExplorer, times: Times) -> go.Figure:
    """Tails that exact decoding opens, and what it takes."""
    titles = ("rows that open it, at your k", "pairs opened against k", "time against k")
    figure = make_subplots(1, 3, subplot_titles=titles, horizontal_spacing=0.1, column_widths=[0.26, 0.36, 0.38])
    figure.add_bar(row=1, col=1, name="rows", marker_color=COLORS[1], showlegend=False)
    figure.add_scatter(
        row=1, col=2, name="opened", mode="lines+markers", line={"color": COLORS[0], "width": 3}, showlegend=False
    )
    figure.add_scatter(
        row=1, col=2, name="your k", mode="markers", marker={"symbol": "diamond", "size": 14, "color": COLORS[2]}
    )
    for name, color, symbol, dash in ((ALL, FULL_COLOR, "circle", DASHES[1]), (SKIP, COLORS[0], "square", DASHES[0])):
        figure.add_scatter(
            row=1,
            col=3,
            name=name,
            mode="lines+markers",
            line={"color": color, "dash": dash},
            marker={"symbol": symbol, "size": 9},
            error_y={"type": "data", "symmetric": False},
        )
    figure.update_yaxes(title_text="% of the rows", range=[0, 105], row=1, col=1)
    figure.update_yaxes(title_text="% of (row, tail) pairs", range=[0, 105], row=1, col=2)
    figure.update_yaxes(title_text=f"ms for {TIMED_ROWS} rows", rangemode="tozero", row=1, col=3)
    for column in (2, 3):
        figure.update_xaxes(
            title_text="k best words", type="log", tickvals=PLACES, range=[-0.15, 1.85], row=1, col=column
        )
    figure.update_annotations(font_size=13)
    figure = filled(figure, *skip_data(explorer, times), 360)
    figure.update_layout(showlegend=True, legend=LEGEND)
    return figure


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
    """A case: time and arithmetic."""
    titles = ("measured, in turns", "counted arithmetic")
    figure = make_subplots(1, 2, subplot_titles=titles, horizontal_spacing=0.1)
    figure.add_bar(
        row=1,
        col=1,
        name="median, quartiles",
        marker_color=COLORS[0],
        error_y={"type": "data", "symmetric": False, "color": "#70777e", "thickness": 2, "width": 8},
    )
    figure.add_bar(
        row=1,
        col=2,
        name="arithmetic",
        marker_color=COLORS[1],
        marker_pattern={"shape": "/", "fillmode": "overlay", "solidity": 0.25},
    )
    figure.update_yaxes(title_text="ms", rangemode="tozero", row=1, col=1)
    figure.update_yaxes(title_text="% of the full softmax's", rangemode="tozero", row=1, col=2)
    figure.update_xaxes(type="category")
    figure.update_annotations(font_size=13)
    return filled(figure, *case_data(names, times, arithmetic), 360)
