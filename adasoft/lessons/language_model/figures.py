"""The figure of runs trained in turns: against seconds, against tokens, and where a step's time goes; no torch.

A mapping describes what was trained, as ``Turns.json`` makes it and as it is kept over restarts and recorded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ..kit import plots as f
from ..kit.plots import Data, Layout
from .looks import EXAMPLE_LABELS, LOOKS, PARTS, SHORT, log_ticks

Kept = Mapping[str, Any]
#: Of the labels of its short axes, as a part of their length.
_ROOM = 0.18
_NOTHING = np.full(1, math.nan)


def training_data(
    kept: Kept, labels: Mapping[str, str], shown_loss: bool = False, guess: float = math.nan
) -> tuple[Data, Layout]:
    """Perplexity of each run against seconds and against tokens; a step's milliseconds by part.

    ``guess``: of the speed-up by the reader, drawn as the step that it stands for. exp of the training loss may begin
    in the millions and stretches no axis.
    """
    lanes = kept.get("lanes", {})
    short = {**SHORT, **{name: "example" for name, label in EXAMPLE_LABELS.items() if labels.get(name) == label}}
    data: Data = {}
    n = len(labels)
    for i, name in enumerate(labels):
        there = name in lanes and bool(lanes[name]["points"])
        points = np.array(lanes[name]["points"] if there else [[math.nan] * 4], dtype=np.float64)
        data[i] = {"x": points[:, 0], "y": points[:, 2], "showlegend": there, "name": labels[name]}
        data[n + i] = {"x": points[:, 1], "y": points[:, 2], "name": labels[name]}
        data[2 * n + i] = {
            "x": points[:, 1],
            "y": points[:, 3] if shown_loss else _NOTHING.repeat(len(points)),
            "meta": labels[name],
        }
    names = [name for name in labels if name in lanes and lanes[name]["steps"]]
    step = {name: 1e3 * lanes[name]["seconds"] / lanes[name]["steps"] for name in names}
    for i, part in enumerate(PARTS):
        data[3 * n + i] = {
            "y": [short[name] for name in names] or [short[next(iter(labels))]],
            "x": np.array([step[name] * lanes[name]["shares"][part] for name in names] or [math.nan]),
        }
    guessed = 1e3 * lane["seconds"] / lane["steps"] / guess if (lane := lanes.get("full")) and guess > 0 else math.nan
    data[3 * n + len(PARTS)] = {"x": np.array([guessed]), "y": [short["yours"]] if "yours" in names else [""]}
    data[3 * n + len(PARTS)]["visible"] = math.isfinite(guessed) and "yours" in names
    data[2 * n]["showlegend"] = shown_loss
    perplexities = np.concatenate([data[i]["y"] for i in range(n)])
    if "corpus" in kept:  # overshot first steps, said to be above V, stretch no axis
        perplexities = np.minimum(perplexities, 2 * kept["corpus"]["V"])
    layout = log_ticks("xaxis", np.concatenate([data[i]["x"] for i in range(n)]), _ROOM)
    layout |= log_ticks("xaxis2", np.concatenate([data[n + i]["x"] for i in range(n)]), _ROOM)
    return data, {**layout, **log_ticks("yaxis", perplexities), **log_ticks("yaxis2", perplexities)}


def training_figure(
    kept: Kept, labels: Mapping[str, str], shown_loss: bool = False, guess: float = math.nan
) -> go.Figure:
    """Three views of runs trained in turns: against seconds, against tokens, and where a step's time goes."""
    titles = ("against seconds of training", "against tokens trained on", "one training step")
    figure = make_subplots(1, 3, subplot_titles=titles, horizontal_spacing=0.1, column_widths=[0.38, 0.36, 0.26])
    for column, unit in ((1, "seconds"), (2, "tokens")):
        for name, label in labels.items():
            color, dash, symbol = LOOKS[name]
            figure.add_scatter(
                row=1,
                col=column,
                mode="lines+markers",
                name=label,
                line={"color": color, "width": 2.5, "dash": dash},
                marker={"symbol": symbol, "size": 8, "line": {"width": 2, "color": color}},
                showlegend=False,
                legendgroup=name,
                hovertemplate=f"%{{fullData.name}}: perplexity %{{y:,.1f}} after %{{x:,}} {unit}<extra></extra>",
            )
    for name in labels:
        figure.add_scatter(
            row=1,
            col=2,
            mode="markers",
            name="hollow: exp of the training loss",
            hovertemplate="%{meta}: exp of the training loss %{y:,.1f} after %{x:,} tokens<extra></extra>",
            showlegend=False,
            marker={
                "symbol": f"{LOOKS[name].symbol.removesuffix('-open')}-open",
                "size": 8,
                "color": LOOKS[name].color,
            },
        )
    shapes = (("#66788a", ""), ("#b5bac0", "/"), ("#8a9299", "x"))
    for (color, shape), text in zip(shapes, PARTS.values(), strict=True):
        figure.add_bar(
            row=1,
            col=3,
            name=text,
            legend="legend2",
            orientation="h",
            marker={"color": color, "pattern": {"shape": shape, "solidity": 0.25, "fillmode": "overlay"}},
        )
    figure.add_scatter(
        row=1,
        col=3,
        mode="markers",
        name="your guess",
        marker=f.GUESSED,
        legend="legend2",
        hovertemplate="your guess: a step of %{x:.0f} ms<extra></extra>",
    )
    figure.update_xaxes(row=1, col=1, title_text="seconds, each run's own clock", type="log")
    figure.update_xaxes(row=1, col=2, title_text="tokens", type="log", tickangle=0)
    for column in (1, 2):
        figure.update_yaxes(row=1, col=column, type="log")
    figure.update_yaxes(row=1, col=1, title_text="perplexity on the validation part")
    figure.update_yaxes(row=1, col=2, title_text="the same perplexity")
    figure.update_xaxes(row=1, col=3, title_text="milliseconds", rangemode="tozero")
    figure.update_yaxes(row=1, col=3, type="category", autorange="reversed", ticksuffix=" ")
    figure.update_annotations(font_size=13)
    figure = f.filled(figure, *training_data(kept, labels, shown_loss, guess), 400)
    figure.update_layout(
        barmode="stack",
        showlegend=True,
        legend={"orientation": "h", "y": -0.22, "yanchor": "top", "x": 0},
        legend2={
            "orientation": "h",
            "y": 1.08,
            "yanchor": "bottom",
            "x": 1,
            "xanchor": "right",
            "traceorder": "normal",
        },
        margin_b=110,
        margin_t=64,
    )
    return figure
