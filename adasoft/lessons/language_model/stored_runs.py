"""Stored trainings (``data/results/train-*.json``) beside the paper's table: the figure and its tables."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import partial

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ...results.short_tables import StoredTable
from ...results.suite import PAPER_TEXT8, ROW_LABELS
from ...text import Row, signed
from ..kit import plots as f
from ..kit.plots import Data, Layout
from ..kit.tables import html_table
from .looks import log_ticks, look

#: What is drawn at first; of all others the one that the reader asks for.
MAIN = ("full", "adaptive", "planned-0.75")
#: What the marks of the main ones are called.
_SHORT = {"full": "full softmax", "adaptive": "authors' cutoffs", "planned-0.75": "planned, ≥ 75 %"}
#: Where they stand at the marks.
_NAME_AT = {"full": "bottom right", "adaptive": "bottom right", "planned-0.75": "middle right"}
#: Planned with a larger and larger head: the price of speed as one line.
TRADE = {"planned-0.65": " ≥ 65 %", "planned-0.75": "", "planned-0.85": "≥ 85 % "}
#: Makes the runs that are stored.
COMMAND = "python -m adasoft table --run europarl-en --tokens 2000000 --hidden 256 --epochs 2"


def paper_rows() -> dict[str, tuple[float, float]]:
    """Of each softmax in the paper's table: perplexity over that of the full one minus 1, and times faster."""
    base, minutes = PAPER_TEXT8["full"]
    return {name: (p / base - 1, minutes / m) for name, (p, m) in PAPER_TEXT8.items()}


def shown_rows(table: StoredTable | None, chosen: str | None = None) -> list[str]:
    """The names that are drawn: the main ones that are stored, and the one that the reader asks for."""
    return [name for name in dict.fromkeys((*MAIN, *([chosen] if chosen else []))) if table and table.row(name)]


# ---------------------------------------------------------------------- figure


def stored_data(table: StoredTable | None, chosen: str | None = None, guess: float = math.nan) -> tuple[Data, Layout]:
    """Validation perplexity after each epoch; perplexity against gain in speed, ours and the paper's.

    ``chosen``: a row to name and colour besides the main ones; ``guess``: of the paper's minutes, by the reader.
    """
    data: Data = {}
    n, paper, shown = len(ROW_LABELS), paper_rows(), shown_rows(table, chosen)
    gains = [1.0]
    full = table.row("full") if table else None
    for i, name in enumerate(ROW_LABELS):
        row = table.row(name) if table else None
        curve = np.array(row["curve"] if row else [[math.nan] * 3], dtype=np.float64)
        named = (
            _SHORT.get(name, ROW_LABELS[name].removeprefix("adaptive, ").removeprefix("authors', "))
            if name in shown
            else ""
        )
        row, curve = (row, curve) if named else (None, curve[:1] * math.nan)
        low_end = name not in MAIN and full is not None and curve[-1, 2] < 1.04 * full["curve"][-1][2]
        data[i] = {
            "x": curve[:, 0],
            "y": curve[:, 2],
            "text": [""] * (len(curve) - 1) + [named],
            "textposition": "bottom center" if low_end else "middle right",  # the full softmax's name is on the right
        }
        gain, more = (row.get("faster", math.nan), 100 * row.get("of full", math.nan)) if row else (math.nan, math.nan)
        low, high = _whisker(row, full) if named else (0.0, 0.0)
        data[n + i] = {
            "x": np.array([gain]),
            "y": np.array([more]),
            "text": [named],
            "error_y.array": np.array([high]),
            "error_y.arrayminus": np.array([low]),
        }
        gains.append(gain)
    beside = {name: cost_gain for name, cost_gain in paper.items() if table is None or name in ("adaptive", chosen)}
    gains += [faster for _, faster in beside.values()]
    data[2 * n] = {
        "x": np.array([faster for _, faster in beside.values()]),
        "y": np.array([100 * more for more, _ in beside.values()]),
        "text": [f"paper: {ROW_LABELS[name].partition(',')[0]}" for name in beside],
        "customdata": [ROW_LABELS[name] for name in beside],
        "marker.symbol": [f"{look(name).symbol.removesuffix('-open')}-open" for name in beside],
        "marker.color": [look(name).color for name in beside],
    }
    guessed = PAPER_TEXT8["full"][1] / guess if guess > 0 else math.nan
    traded = [row for name in TRADE if table and (row := table.row(name)) and "of full" in row and "faster" in row]
    along = len(traded) > 1
    data[2 * n + 2] = {
        "x": np.array([row["faster"] for row in traded] if along else [math.nan]),
        "y": np.array([100 * row["of full"] for row in traded] if along else [math.nan]),
        "text": [TRADE[row["name"]] for row in traded] if along else [""],
    }
    minutes = np.concatenate([data[i]["x"] for i in range(n)])
    within = guessed if 0.5 < guessed < 20 else math.nan  # a wild guess stretches no axis
    room = math.log10(0.6 * float(np.nanmin([*gains, within]))), math.log10(4.2 * float(np.nanmax([*gains, within])))
    percents = [*(data[n + i]["y"][0] for i in range(n)), *data[2 * n]["y"]]
    edges = min(0.0, float(np.nanmin(percents))) - 5, float(np.nanmax(percents)) + 4  # room for names
    # a line from edge to edge: a guess of minutes says nothing of perplexity
    high = edges[0] + 0.93 * (edges[1] - edges[0])  # of its name: above the marks
    said = f" your guess: <br> 83/{guess:g} = {guessed:.2g} " if math.isfinite(guessed) else ""
    data[2 * n + 1] = {"x": np.full(3, guessed), "y": np.array([edges[0], high, edges[1]]), "text": ["", said, ""]}
    data[2 * n + 1]["textposition"] = "middle left" if guessed > 2.2 else "middle right"
    pieces = table is not None and table.rows[0]["words per token"] < 0.999
    layout = {
        **log_ticks("xaxis", minutes),
        **log_ticks("xaxis2", gains),
        "xaxis2.range": room,
        "yaxis2.range": edges,
        "yaxis.title.text": f"validation perplexity{' per piece' * pieces}",
    }
    if np.isfinite(minutes).any():  # room for the names at the ends of the lines
        ends = float(np.log10(np.nanmin(minutes) / 1.2)), float(np.log10(np.nanmax(minutes)))
        layout["xaxis.range"] = (ends[0], ends[1] + 0.6 * (ends[1] - ends[0]))
    ends_at = np.concatenate([data[i]["y"] for i in range(n)])
    if np.isfinite(ends_at).any():  # room for a name below the lowest mark
        low, high = float(np.nanmin(ends_at)), float(np.nanmax(ends_at))
        layout["yaxis.range"] = low - 0.2 * (high - low), high + 0.08 * (high - low)
    return data, layout


def _whisker(row: Row | None, full: Row | None) -> tuple[float, float]:
    """How far the seeds of a row reach below and above its mean, in percent of the full softmax's perplexity."""
    if row is None or full is None or row["seeds"] == 1:
        return 0.0, 0.0
    return 100 * (row["test"] - row["lowest"]) / full["test"], 100 * (row["highest"] - row["test"]) / full["test"]


def stored_figure(table: StoredTable | None, chosen: str | None = None, guess: float = math.nan) -> go.Figure:
    """What each softmax cost in perplexity and gained in time, in stored runs and in the paper."""
    titles = ("after each epoch", "cost and gain; hollow: the paper")
    figure = make_subplots(1, 2, subplot_titles=titles, horizontal_spacing=0.12, column_widths=[0.42, 0.58])
    for name, label in ROW_LABELS.items():
        color, dash, symbol = look(name)
        figure.add_scatter(
            row=1,
            col=1,
            mode="lines+markers+text",
            name=label,
            line={"color": color, "dash": dash, "width": 2.5},
            marker={"symbol": symbol, "size": 9},
            hovertemplate=f"{label}: validation perplexity %{{y:.1f}} after %{{x:.1f}} minutes<extra></extra>",
        )
    for name, label in ROW_LABELS.items():
        figure.add_scatter(
            row=1,
            col=2,
            mode="markers+text",
            name=label,
            textposition=_NAME_AT.get(name, "bottom right"),
            marker={"symbol": look(name).symbol, "color": look(name).color, "size": 13},
            error_y={"type": "data", "symmetric": False, "thickness": 1.5, "width": 4, "array": [0]},
            hovertemplate=f"{label}: %{{x:.2f}} times faster, perplexity %{{y:+.1f}} %<extra></extra>",
        )
    figure.add_scatter(
        row=1,
        col=2,
        mode="markers+text",
        name="the paper, Text8",
        textposition="top left",
        textfont={"size": 11},
        hovertemplate="the paper, %{customdata}: %{x:.2f} times faster, perplexity %{y:+.1f} %<extra></extra>",
        marker={"size": 12, "line": {"width": 2}},
    )
    figure.add_scatter(
        row=1,
        col=2,
        mode="lines+text",
        name="your guess",
        textfont={"size": 11},
        line={"color": f.TEXT_COLOR, "width": 1, "dash": "dash"},
        hovertemplate="your guess for the paper: %{x:.2f} times faster<extra></extra>",
    )
    figure.add_scatter(
        row=1,
        col=2,
        mode="lines+text",
        name="planned, with a larger and larger head",
        textposition=["middle right", "top center", "middle left"],
        textfont={"size": 11},
        line={"color": look("planned-0.75").color, "width": 1.5, "dash": "dot"},
        hoverinfo="skip",
    )
    figure.update_xaxes(row=1, col=1, title_text="minutes of training", type="log")
    figure.update_xaxes(row=1, col=2, title_text="times faster than the full softmax", type="log")
    figure.update_yaxes(row=1, col=2, title_text="test perplexity, % above the full softmax's")
    figure.update_annotations(font_size=13)
    figure = f.filled(figure, *stored_data(table, chosen, guess), 350)
    figure.update_layout(showlegend=False, hovermode="closest")
    return figure


#: How the names of tables read to people.
_PLAIN = (
    ("europarl-en:", "EuroParl:"),
    ("wikitext-2:", "WikiText-2:"),
    (r"V = (\d[\d,]*\d) pieces", r"\1 pieces"),
    (r"V = (\d[\d,]*\d)", r"\1 words"),
    (", dtype bfloat16, on cuda", " on a GPU in bfloat16"),
    (", on cuda", " on a GPU"),
    ("lstm", "LSTM"),
    (r"warmup (\d+)", r"\1 warm-up steps"),
    ("transformer, its preset", "Transformer with its usual optimizer"),
)


def plain_label(table: StoredTable) -> str:
    """EuroParl: 17,724 words, LSTM, d = 256, 2 epochs."""
    label = table.label
    for pattern, plain in _PLAIN:
        label = re.sub(pattern, plain, label)
    return label


# ---------------------------------------------------------------------- tables


def stored_table(table: StoredTable | None, names: Sequence[str] | None = None) -> str:
    """The stored rows of these names beside the paper's, as an HTML table; of all rows without names."""
    per_word = table is not None and table.rows[0]["words per token"] < 0.999
    heads = ["", "test perplexity", *["per word"] * per_word]
    heads += ["above full", "in the paper", "times faster", "in the paper", "cutoffs"]
    paper, cells = paper_rows(), []
    one_seed = " (one seed)" if table and any(row["seeds"] > 1 for row in table.rows) else ""
    for name in _names(table, names):
        row = (table.row(name) if table else None) or {}
        more, faster = paper.get(name, (math.nan, math.nan))
        seeds = f" ({row['lowest']:,.1f} to {row['highest']:,.1f})" if row.get("seeds", 1) > 1 else one_seed
        cells.append(
            [
                ROW_LABELS.get(name, name),
                f"{row['test']:,.1f}{seeds}" if row else "not stored",
                *[f"{row['per word']:,.1f}" if row else ""] * per_word,
                signed(row.get("of full", math.nan)),
                signed(more),
                _times(row.get("faster", math.nan)),
                _times(faster),
                (", ".join(f"{c:,}" for c in row["cutoffs"]) or "none") if row else "",
            ]
        )
    return html_table(cells, heads, label="stored runs beside the paper's table for Text8", scrolls=True)


def more_columns(table: StoredTable | None, names: Sequence[str] | None = None) -> str:
    """What else is known of the same rows: speed, size, and the paper's own numbers."""
    cells = []
    for name in _names(table, names):
        row = (table.row(name) if table else None) or {}
        perplexity, minutes = PAPER_TEXT8.get(name, ("–", "–"))
        ours = ["–"] * 4
        if row:
            ours = [
                f"{100 * row['output share']:.0f}\u00a0%",
                f"{row['words/s']:,.0f}",
                f"{'' if row['timed'] else '~'}{row['minutes']:,.1f}",
                f"{row['parameters'] / 1e6:.2f}\u00a0M",
            ]
        cells.append([ROW_LABELS.get(name, name), *ours, str(perplexity), str(minutes)])
    heads = ["", "output layer", "words/s", "minutes", "parameters", "paper: perplexity", "paper: minutes"]
    return html_table(cells, heads, label="speed and size of the stored runs", scrolls=True)


def _names(table: StoredTable | None, names: Sequence[str] | None) -> list[str]:
    if names is not None and table is not None:
        return list(names)
    stored = [row["name"] for row in table.rows] if table else []
    return [*stored, *(name for name in PAPER_TEXT8 if name not in stored)]


def _times(factor: float) -> str:
    return f"{factor:.2f}" if math.isfinite(factor) else "–"


def chosen_rows(row: Row, names: Sequence[str]) -> bool:
    """Whether a row is one of these."""
    return row["name"] in names


#: The rows that stills show: those that are trained first.
still_rows = partial(chosen_rows, names=MAIN)
