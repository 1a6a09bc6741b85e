"""Where in the vocabulary the loss of stored trainings differs: a figure by the rank of the word, and what it says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ...results.short_tables import StoredTable
from ...results.suite import ROW_LABELS
from ...text import Row
from ..kit import plots as f
from ..kit.plots import Data, Layout
from .looks import log_ticks, look
from .sentences import began

#: Rows whose difference is put in words, the first that is there.
_IN_WORDS = ("planned-0.75", "adaptive", "planned-wide", "planned-wide-0.85", "planned-mean-0.75")
#: Rows that the panel's result is about.
_HEADLINE = ("full", "adaptive", "planned-0.75")


def _told(table: StoredTable | None) -> list[Row]:
    """The rows that recorded it, those of the headline alone where they are among them."""
    rows = [row for row in table.rows if "more" in row] if table else []
    main = [row for row in rows if row["name"] in _HEADLINE]
    return main if len(main) > 1 else rows


def ranked_rows(table: StoredTable) -> int:
    """How many rows recorded the loss by rank."""
    return sum("more" in row for row in table.rows)


def nearest_ranked(table: StoredTable | None, tables: Sequence[StoredTable]) -> StoredTable | None:
    """The table itself if the runs of its headline recorded the loss by rank; else the one with most that did."""

    def score(one: StoredTable) -> int:
        return sum("more" in row and row["to"] == "full" for row in one.rows if row["name"] in _HEADLINE)

    if table is None or score(table) > 1 or not tables:
        return table
    best = max(tables, key=score)
    return best if score(best) > 1 else table


def rank_data(table: StoredTable | None) -> tuple[Data, Layout]:
    """Nats per token more than the row that all are compared with, summed from the most frequent word on."""
    rows = {row["name"]: row for row in _told(table)}
    ends: Any = []
    data: Data = {}
    for i, name in enumerate(ROW_LABELS):
        row = rows.get(name)
        if row:
            ends = [*row["ranks"][1:], row["V"]]
        more = np.cumsum(row["more"]) if row else np.array([math.nan])
        label, rest = ROW_LABELS[name].removeprefix("adaptive, ") if row else "", [""] * (len(more) - 1)
        data[i] = {
            "x": np.array(ends if row else [math.nan]),
            "y": more,
            # the name of the base line at its begin: curves cross it at its end
            "text": [label, *rest] if name == "full" else [*rest, label],
        }
    base = ROW_LABELS.get(next(iter(rows.values()))["to"], "") if rows else ""
    title = (
        f"How much of the extra loss over {base} comes from the first r words"
        if rows
        else "none of these records tells it"
    )
    return data, {**log_ticks("xaxis", np.array(ends, dtype=np.float64)), "title.text": title}


def rare_share(table: StoredTable | None, name: str, rank: int) -> float:
    """The part of a row's extra loss that comes from the words beyond a rank; nan if it was not recorded."""
    row = next((row for row in _told(table) if row["name"] == name), None)
    if row is None or rank not in row["ranks"]:
        return math.nan
    return float(row["more"][list(row["ranks"]).index(rank) :].sum() / row["more"].sum())


def rank_figure(table: StoredTable | None) -> go.Figure:
    """The difference in loss, summed from the most frequent word to the rarest: curves end at whole differences."""
    figure = go.Figure()
    for name, label in ROW_LABELS.items():
        color, dash, symbol = look(name)
        figure.add_scatter(
            mode="lines+markers+text",
            textposition="top right" if name == "full" else "top left",
            name=label,
            line={"color": color, "width": 2.5, "dash": dash},
            marker={"symbol": symbol, "size": 8},
            hovertemplate=f"{label}: %{{y:+.3f}} nat per token up to rank %{{x:,}}<extra></extra>",
        )
    figure.update_xaxes(title_text="r: rank of the word", type="log")
    figure.update_yaxes(title_text="nats per token, summed up to r")
    figure = f.filled(figure, *rank_data(table), 340)
    figure.update_layout(
        showlegend=False, hovermode="closest", title={"font_size": 13, "x": 0.5, "xanchor": "center"}, margin={"t": 40}
    )
    return figure


def _ahead_at_first(more: Any, ends: Sequence[int], kind: str) -> str:
    """How far it is ahead on the most frequent words, if it is."""
    summed = np.cumsum(more)
    i = int(np.argmin(summed))
    if summed[i] > -1e-3:
        return ""
    return f" It is ahead by {-summed[i]:.3f} on the {ends[i]:,} most frequent {kind}: it loses on rare ones."


def _also_ahead(row: Row, kind: str) -> str:
    """Of another row, how far it is ahead on the most frequent words, and where it ends."""
    summed = np.cumsum(row["more"])
    i, ends = int(np.argmin(summed)), [*row["ranks"][1:], row["V"]]
    if summed[i] > -1e-3 or i == len(summed) - 1:
        return ""
    return (
        f" {began(ROW_LABELS[row['name']])}: ahead by {-summed[i]:.3f} up to rank {ends[i]:,}, then behind on the "
        f"rest; {summed[-1]:+.3f} over all {kind}."
    )


def rank_sentence(table: StoredTable | None) -> str:
    """Of one row, the band of words where most of its difference lies; how to read the ends."""
    rows = {row["name"]: row for row in _told(table)}
    compared = next((rows[name] for name in _IN_WORDS if name in rows and rows[name]["to"] != name), None)
    if compared is None:
        return "These records do not give the loss by word rank, or only for one softmax."
    more = compared["more"]
    i = int(np.argmax(np.abs(more)))
    ends = [*compared["ranks"][1:], compared["V"]]
    kind = "pieces" if compared["words per token"] < 0.999 else "words"
    others = "".join(
        _also_ahead(row, kind) for row in rows.values() if row["name"] not in (compared["name"], compared["to"])
    )
    return (
        f"{began(ROW_LABELS[compared['name']])}: {more.sum():+.3f} nat per token against "
        f"{ROW_LABELS[compared['to']]}, or {100 * math.expm1(more.sum()):+.1f} % in perplexity; most in one "
        f"stretch: {more[i]:+.3f} on the {kind} of rank {compared['ranks'][i]:,} to {ends[i]:,}, "
        f"{100 * compared['shares'][i]:.0f} % of all tokens.{_ahead_at_first(more, ends, kind)}{others}"
    )
