"""Where in the vocabulary the loss of stored trainings differs: a figure by the rank of the word, and what it says."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ...results.short_tables import StoredTable
from ...results.suite import ROW_LABELS
from ...text import Row
from ..kit import plots as f
from ..kit.plots import Data, Layout
from .looks import log_ticks, look

#: Rows whose difference is put in words, the first that is there.
_IN_WORDS = ("planned-wide", "planned-wide-0.85", "planned-0.75", "planned-mean-0.75", "adaptive")


def _told(table: StoredTable | None) -> list[Row]:
    return [row for row in table.rows if "more" in row] if table else []


def rank_data(table: StoredTable | None) -> tuple[Data, Layout]:
    """Nats per token more than the row that all are compared with, summed from the most frequent word on."""
    rows = {row["name"]: row for row in _told(table)}
    ends: Any = []
    data: Data = {}
    for i, name in enumerate(ROW_LABELS):
        row = rows.get(name)
        if row:
            ends = [*row["ranks"][1:], row["V"]]
        more = 1e3 * np.cumsum(row["more"]) if row else np.array([math.nan])
        data[i] = {"x": np.array(ends if row else [math.nan]), "y": more, "showlegend": row is not None}
    base = ROW_LABELS.get(next(iter(rows.values()))["to"], "") if rows else ""
    title = (
        f"extra loss over {base}, summed up to this rank (0.001 nat per token)"
        if rows
        else "none of these records tells it"
    )
    return data, {**log_ticks("xaxis", np.array(ends, dtype=np.float64)), "title.text": title}


def rank_figure(table: StoredTable | None) -> go.Figure:
    """The difference in loss, summed from the most frequent word to the rarest: curves end at whole differences."""
    figure = go.Figure()
    for name, label in ROW_LABELS.items():
        color, dash, symbol = look(name)
        figure.add_scatter(
            mode="lines+markers",
            name=label,
            line={"color": color, "width": 2.5, "dash": dash},
            marker={"symbol": symbol, "size": 8},
            hovertemplate="%{y:.1f} up to rank %{x:,}",
        )
    figure.update_xaxes(title_text="rank of the word", type="log")
    figure.update_yaxes(title_text="thousandths of a nat, summed")
    figure = f.filled(figure, *rank_data(table), 520)
    figure.update_layout(
        showlegend=True,
        legend={"orientation": "h", "y": -0.2, "yanchor": "top", "x": 0},
        title={"font_size": 13, "x": 0.5, "xanchor": "center"},
        margin={"t": 40, "b": 100},
    )
    return figure


def rank_sentence(table: StoredTable | None) -> str:
    """Of one row, the band of words where most of its difference lies; how to read the ends."""
    rows = {row["name"]: row for row in _told(table)}
    compared = next((rows[name] for name in _IN_WORDS if name in rows and rows[name]["to"] != name), None)
    if compared is None:
        return "These records do not give the loss by word rank, or only for one softmax."
    more = 1e3 * compared["more"]
    i = int(np.argmax(np.abs(more)))
    ends = [*compared["ranks"][1:], compared["V"]]
    kind = "pieces" if compared["words per token"] < 0.999 else "words"
    return (
        f"{ROW_LABELS[compared['name']]}: {more.sum():+.0f} thousandths of a nat per token against "
        f"{ROW_LABELS[compared['to']]}, or {100 * math.expm1(more.sum() / 1e3):+.1f} % in perplexity; most in one "
        f"stretch: {more[i]:+.0f} on the {kind} of rank {compared['ranks'][i]:,} to {ends[i]:,}, "
        f"{100 * compared['shares'][i]:.0f} % of all tokens. Only runs that recorded it count."
    )
