"""Stored trainings (``data/results/train-*.json``) beside the paper's table: figure, rows, and what differs."""

from __future__ import annotations

import math
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
from .sentences import more_or_less

PAPER = "hollow: the paper, Text8"
#: What the paper claims on Text8: at most so much perplexity more, at least so many times faster.
CLAIM = PAPER_TEXT8["adaptive"][0] / PAPER_TEXT8["full"][0] - 1, PAPER_TEXT8["full"][1] / PAPER_TEXT8["adaptive"][1]
#: Differences to the paper below these are none: of the change in perplexity, and of the factor in speed.
NEAR_PERPLEXITY, NEAR_SPEED = 0.02, 1.25
#: Makes the runs that are stored.
COMMAND = "python -m adasoft table --run europarl-en --tokens 2000000 --hidden 256 --epochs 2"


def paper_rows() -> dict[str, tuple[float, float]]:
    """Of each softmax in the paper's table: perplexity over that of the full one minus 1, and times faster."""
    base, minutes = PAPER_TEXT8["full"]
    return {name: (p / base - 1, minutes / m) for name, (p, m) in PAPER_TEXT8.items()}


# ---------------------------------------------------------------------- figure


def stored_data(table: StoredTable | None) -> tuple[Data, Layout]:
    """Validation perplexity after each epoch; perplexity against gain in speed, ours and the paper's."""
    data: Data = {}
    n, paper = len(ROW_LABELS), paper_rows()
    gains = [faster for _, faster in paper.values()]
    for i, name in enumerate(ROW_LABELS):
        row = table.row(name) if table else None
        curve = np.array(row["curve"] if row else [[math.nan] * 3], dtype=np.float64)
        data[i] = {"x": curve[:, 0], "y": curve[:, 2], "showlegend": row is not None}
        gain = row.get("faster", math.nan) if row else math.nan
        data[n + i] = {"x": np.array([gain]), "y": np.array([100 * row.get("of full", math.nan) if row else math.nan])}
        gains.append(gain)
    data[2 * n] = {"x": np.array(gains[: len(paper)]), "y": np.array([100 * more for more, _ in paper.values()])}
    minutes = np.concatenate([data[i]["x"] for i in range(n)])
    room = math.log10(0.72 * float(np.nanmin(gains))), math.log10(1.25 * float(np.nanmax(gains)))
    pieces = table is not None and table.rows[0]["words per token"] < 0.999
    title = {"yaxis.title.text": f"perplexity{' per piece' * pieces}"}
    return data, {**log_ticks("xaxis", minutes), **log_ticks("xaxis2", gains), "xaxis2.range": room, **title}


def stored_figure(table: StoredTable | None) -> go.Figure:
    """What each softmax cost in perplexity and gained in time, in stored runs and in the paper."""
    titles = ("validation perplexity after each epoch", "cost and gain, beside the paper")
    figure = make_subplots(1, 2, subplot_titles=titles, horizontal_spacing=0.1)
    for name, label in ROW_LABELS.items():
        color, dash, symbol = look(name)
        figure.add_scatter(
            row=1,
            col=1,
            mode="lines+markers",
            name=label,
            line={"color": color, "width": 2.5, "dash": dash},
            marker={"symbol": symbol, "size": 8},
            legendgroup=name,
        )
    for name, label in ROW_LABELS.items():
        figure.add_scatter(
            row=1,
            col=2,
            mode="markers",
            name=label,
            legendgroup=name,
            showlegend=False,
            marker={
                "symbol": look(name).symbol,
                "size": 12,
                "color": look(name).color,
                "line": {"width": 1, "color": "#70777e"},
            },
        )
    paper = list(PAPER_TEXT8)
    figure.add_scatter(
        row=1,
        col=2,
        mode="markers+text",
        name=PAPER,
        showlegend=True,
        text=[ROW_LABELS[name].partition(",")[0] for name in paper],
        textposition=["top center", "top center", "bottom center", "middle right", "bottom center", "top center"],
        marker={
            "symbol": [f"{look(name).symbol}-open" for name in paper],
            "size": 13,
            "color": [look(name).color for name in paper],
            "line": {"width": 2},
        },
    )
    figure.update_xaxes(row=1, col=1, title_text="minutes of training", type="log")
    figure.update_xaxes(row=1, col=2, title_text="times faster than the full softmax", type="log")
    figure.update_yaxes(row=1, col=2, title_text="perplexity, % above the full softmax's")
    figure.update_annotations(font_size=13)
    # high enough for a legend of all rows, which takes its room from the plots
    figure = f.filled(figure, *stored_data(table), 620)
    figure.update_layout(
        showlegend=True, legend={"orientation": "h", "y": -0.2, "yanchor": "top", "x": 0}, margin_b=120
    )
    return figure


# ---------------------------------------------------------------------- table and words


def stored_table(table: StoredTable | None) -> str:
    """The stored rows with the paper's beside them, as an HTML table."""
    per_word = table is not None and table.rows[0]["words per token"] < 0.999
    heads = [
        "",
        "perplexity (seeds)",
        *["per word"] * per_word,
        "to full",
        "paper: to full",
        "times faster",
        "paper: times faster",
        "output layer",
        "words/s",
        "minutes",
        "parameters",
        "cutoffs",
        "paper: perplexity",
        "paper: minutes",
    ]
    paper, cells = paper_rows(), []
    named = [row["name"] for row in table.rows] if table else []
    for name in [*named, *(name for name in PAPER_TEXT8 if name not in named)]:
        row = (table.row(name) if table else None) or {}
        more, faster = paper.get(name, (math.nan, math.nan))
        perplexity, minutes = PAPER_TEXT8.get(name, ("", ""))
        seeds = f" ({row['lowest']:,.1f} to {row['highest']:,.1f})" if row.get("seeds", 1) > 1 else ""
        told = (
            {
                "perplexity": f"{row['test']:,.1f}{seeds}",
                "output": f"{100 * row['output share']:.0f}\u00a0%",
                "rate": f"{row['words/s']:,.0f}",
                "minutes": f"{'' if row['timed'] else '~'}{row['minutes']:,.1f}",
                "size": f"{row['parameters'] / 1e6:.2f}\u00a0M",
                "cutoffs": ",\u00a0".join(f"{c:,}" for c in row["cutoffs"]) or "none",
            }
            if row
            else {"perplexity": "not stored"}
        )
        cells.append(
            [
                ROW_LABELS.get(name, name),
                told["perplexity"],
                *[f"{row['per word']:,.1f}" if row else ""] * per_word,
                signed(row.get("of full", math.nan)),
                signed(more),
                _times(row.get("faster", math.nan)),
                _times(faster),
                *(told.get(key, "") for key in ("output", "rate", "minutes", "size", "cutoffs")),
                str(perplexity),
                str(minutes),
            ]
        )
    return html_table(cells, heads, label="stored runs beside the paper's table for Text8", scrolls=True)


def _times(factor: float) -> str:
    return f"{factor:.2f}" if math.isfinite(factor) else "–"


def _speed(factor: float) -> str:
    return f"{factor:.2f} times faster" if factor >= 1 else f"{1 / factor:.2f} times SLOWER"


def stored_sentence(table: StoredTable | None) -> str:
    """The stored runs in words, with their provenance, and every disagreement with the paper."""
    if table is None:
        return (
            "No finished training is stored in data/results. This makes them, one after the other, and goes on where "
            f"it was stopped: {COMMAND}. Until then you see the paper's figures alone."
        )
    return f"RECORDED. {table.provenance} {table.sizes}. " + " ".join(
        part for part in (*claims(table), *disagreements(table)) if part
    )


def claims(table: StoredTable) -> list[str]:
    """Whether the paper's claim holds in these runs, and what planning gained over the authors' cutoffs."""
    full, authors, planned = (table.row(name) for name in ("full", "adaptive", "planned-0.75"))
    out = []
    if full is None:
        out.append("The full softmax is not stored yet, so nothing can be compared with it.")
    if authors and "faster" in authors:  # not so if the times are not to be compared
        # as the sentence gives them, to a tenth of a percent
        held = [round(authors["of full"], 3) <= round(CLAIM[0], 3), authors["faster"] >= CLAIM[1]]
        verdict = {
            (True, True): "both hold here",
            (True, False): "the first holds here, the second does not",
            (False, True): "the first does not hold here, the second does",
            (False, False): "neither holds here",
        }[held[0], held[1]]
        out.append(
            f"The paper's adaptive softmax costs {100 * CLAIM[0]:.1f} % perplexity and makes training {CLAIM[1]:.2f} "
            f"times faster; here, with the authors' cutoffs, perplexity is {more_or_less(authors['of full'])} and "
            f"training {_speed(authors['faster'])}: {verdict}."
        )
    if authors and planned and "of authors" in planned:
        cutoffs = ", ".join(f"{c:,}" for c in planned["cutoffs"]) or "none: a full softmax"
        same = planned["per word"] / authors["per word"] - 1
        out.append(
            f"Planned cutoffs ({cutoffs}) take {planned['of authors']:.2f} of the output layer's time with the authors'"
            f", and the perplexity is {more_or_less(same)} than with these."
        )
    seeds = [row for row in table.rows if row["seeds"] > 1]
    if seeds:
        spread = max(row["highest"] / row["lowest"] - 1 for row in seeds)
        out.append(f"Seeds of one row are up to {100 * spread:.1f} % apart: do not trust smaller differences.")
    return out


def disagreements(table: StoredTable) -> list[str]:
    """One sentence for each softmax whose cost or gain differs from the paper's, and one for those that agree."""
    out, agree = [], []
    for name, (more, faster) in paper_rows().items():
        row = table.row(name)
        if name == "full" or row is None or "faster" not in row:
            continue
        other_cost = abs(row["of full"] - more) > NEAR_PERPLEXITY
        ratio = row["faster"] / faster
        other_gain = max(ratio, 1 / ratio) > NEAR_SPEED
        if not other_cost and not other_gain:
            agree.append(ROW_LABELS[name])
            continue
        parts = []
        if other_cost:
            parts.append(
                f"perplexity is {more_or_less(row['of full'])} than with the full softmax, in the paper "
                f"{more_or_less(more)}"
            )
        if other_gain:
            parts.append(f"training is {_speed(row['faster'])}, in the paper {_speed(faster)}")
        out.append(f"{ROW_LABELS[name]}: {'; '.join(parts)}.")
    if out:
        out.insert(0, "Where these runs and the paper's disagree:")
    if agree:
        out.append(
            f"As in the paper, to {100 * NEAR_PERPLEXITY:.0f} percent points in perplexity and a factor "
            f"{NEAR_SPEED} in speed: {', '.join(agree)}."
        )
    return out


def chosen_rows(row: Row, names: Sequence[str]) -> bool:
    """Whether a row is one of these."""
    return row["name"] in names


#: The rows that stills show: those that are trained first.
still_rows = partial(chosen_rows, names=("full", "adaptive", "planned-0.75"))
