"""Stored trainings (``data/results/train-*.json``) beside the paper's table: figure, rows, and what differs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ...bench.training import PAPER_TEXT8, SUITE, _epochs, by_rank, stored_runs, summary
from ..kit import plots as f
from ..kit.plots import Data, Layout
from ..time_model.recorded import results_folder
from .figures import html_table, log_ticks, look, more_or_less, signed

Row = dict[str, Any]

_CALLED = {
    "full": "full softmax",
    "sampled": "sampled, 20 % of V",
    "hierarchical": "hierarchical",
    "d-softmax": "D-softmax",
    "d-softmax-star": "D-softmax*",
    "adaptive": "adaptive, the authors' cutoffs",
    "planned-0.65": "adaptive, planned, head ≥ 65 %",
    "planned-0.75": "adaptive, planned, head ≥ 75 %",
    "planned-0.85": "adaptive, planned, head ≥ 85 %",
    "planned-wide": "adaptive, planned, wider tails, head ≥ 75 %",
    "planned-wide-0.85": "adaptive, planned, wider tails, head ≥ 85 %",
    "planned-mean-0.65": "adaptive, planned, mean width ≥ 94 % of d, head ≥ 65 %",
    "planned-mean-0.75": "adaptive, planned, mean width ≥ 94 % of d, head ≥ 75 %",
    "tail-dropout": "adaptive, authors', tail dropout 0.2",
    "planned-wide-dropout": "adaptive, planned, wider tails, head ≥ 75 %, tail dropout 0.2",
    "planned-wide-0.85-dropout": "adaptive, planned, wider tails, head ≥ 85 %, tail dropout 0.2",
}
#: Rows of the stored table, and what they are called.
STORED = {name: _CALLED.get(name, name) for name in SUITE}
PAPER = "hollow: the paper, Text8"
#: What the paper claims on Text8: at most so much perplexity more, at least so many times faster.
CLAIM = PAPER_TEXT8["adaptive"][0] / PAPER_TEXT8["full"][0] - 1, PAPER_TEXT8["full"][1] / PAPER_TEXT8["adaptive"][1]
#: Differences to the paper below these are none: of the change in perplexity, and of the factor in speed.
NEAR_PERPLEXITY, NEAR_SPEED = 0.02, 1.25
#: Makes the runs that are stored.
COMMAND = "python -m adasoft table --run europarl-en --tokens 2000000 --hidden 256 --epochs 2"


@dataclass(frozen=True)
class StoredTable:
    """The stored runs of one corpus and one model."""

    label: str
    sizes: str
    provenance: str
    rows: tuple[Row, ...]
    """As `adasoft.bench.training.summary` gives them, and what `by_rank` adds where the records tell it.

    ``curve``: (minutes, tokens, validation perplexity) by epoch.
    """
    commands: tuple[str, ...]

    def row(self, name: str) -> Row | None:
        """The row of this name, if it is stored."""
        return next((row for row in self.rows if row["name"] == name), None)


def stored_tables(folder: Path | None = None, keep: Callable[[Row], bool] | None = None) -> list[StoredTable]:
    """One table for each corpus and model in a folder (``data/results`` by default); none if nothing is stored.

    ``keep``: which rows to take. Raises ValueError for a file that is no record.
    """
    folder = folder or results_folder()
    records = {record["file"]: record for record in stored_runs(folder)}
    told = {tuple(row["files"]): row for rows in by_rank(folder) for row in rows}
    tables: dict[Any, list[Row]] = {}
    for row in summary(folder):
        if keep is not None and not keep(row):
            continue
        row = told.get(tuple(row["files"]), row)
        mine = [records[file] for file in row["files"]]
        nats = np.log([[epoch["valid"] for epoch in record["epochs"]] for record in mine]).mean(0)
        one = mine[0]
        curve = [
            (row["minutes"] * (i + 1) / len(nats), one["corpus"]["train"] * (i + 1), math.exp(value))
            for i, value in enumerate(nats)
        ]
        pieces = one["corpus"]["test"]
        words = one["corpus"].get("words", {}).get("test", pieces) / pieces  # per token: below one for pieces
        threads = {record["threads"] for record in mine if record["device"]["type"] == "cpu"}
        made = {"curve": curve, "words per token": words, "one": one, "threads": threads}
        tables.setdefault(row["table"], []).append({**row, **made})
    return [_table(rows) for rows in tables.values()]


def _table(rows: list[Row]) -> StoredTable:
    one, first = rows[0], rows[0]["one"]
    order = list(STORED)
    rows.sort(key=lambda row: order.index(row["name"]) if row["name"] in order else len(order))
    dates = sorted({date for row in rows for date in row["dates"]})
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    counts = sorted(set().union(*(row["threads"] for row in rows)))
    threads = f", {' or '.join(map(str, counts))} thread{'s' * (counts[-1] > 1)}" if counts else ""
    files = sorted(name for row in rows for name in row["files"])
    pieces = f", {1 / one['words per token']:.2f} pieces per word" if one["words per token"] < 0.999 else ""
    places = " and ".join(sorted({row["timed on"] for row in rows if row["timed"]}))
    in_turns = f"in turns with all others on {places}"
    alone = "in each run by itself (marked ~)"
    timed = " or ".join([in_turns] * bool(places) + [alone] * any(not row["timed"] for row in rows))
    return StoredTable(
        f"{one['corpus']}: V = {one['V']:,}{' pieces' * bool(pieces)}, {one['title']}, d = {one['d']}, {_epochs(one)}",
        f"{one['corpus']}, {first['corpus']['train']:,} tokens, V = {one['V']:,}{pieces}, {one['title']}, "
        f"d = {one['d']}, {_epochs(one)}",
        f"Trained on {when} on other machines ({one['device']}{threads}, torch {first['torch']}), its steps timed "
        f"{timed}; {len(files)} file{'s' * (len(files) > 1)} data/results/{files[0]}"
        + (f" to {files[-1]}." if len(files) > 1 else "."),
        tuple(rows), tuple(row["command"] for row in rows),
    )  # fmt: skip


def paper_rows() -> dict[str, tuple[float, float]]:
    """Of each softmax in the paper's table: perplexity over that of the full one minus 1, and times faster."""
    base, minutes = PAPER_TEXT8["full"]
    return {name: (p / base - 1, minutes / m) for name, (p, m) in PAPER_TEXT8.items()}


# ---------------------------------------------------------------------- figure


def stored_data(table: StoredTable | None) -> tuple[Data, Layout]:
    """Validation perplexity after each epoch; perplexity against gain in speed, ours and the paper's."""
    data: Data = {}
    n, paper = len(STORED), paper_rows()
    gains = [faster for _, faster in paper.values()]
    for i, name in enumerate(STORED):
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
    for name, label in STORED.items():
        color, dash, symbol = look(name)
        figure.add_scatter(
            row=1, col=1, mode="lines+markers", name=label, line={"color": color, "width": 2.5, "dash": dash},
            marker={"symbol": symbol, "size": 8}, legendgroup=name,
        )  # fmt: skip
    for name, label in STORED.items():
        figure.add_scatter(
            row=1, col=2, mode="markers", name=label, legendgroup=name, showlegend=False,
            marker={"symbol": look(name).symbol, "size": 12, "color": look(name).color,
                    "line": {"width": 1, "color": "#70777e"}},
        )  # fmt: skip
    paper = list(PAPER_TEXT8)
    figure.add_scatter(
        row=1, col=2, mode="markers+text", name=PAPER, showlegend=True,
        text=[STORED[name].partition(",")[0] for name in paper],
        textposition=["top center", "top center", "bottom center", "middle right", "bottom center", "top center"],
        marker={"symbol": [f"{look(name).symbol}-open" for name in paper], "size": 13,
                "color": [look(name).color for name in paper], "line": {"width": 2}},
    )  # fmt: skip
    figure.update_xaxes(row=1, col=1, title_text="minutes of training", type="log")
    figure.update_xaxes(row=1, col=2, title_text="times faster than the full softmax", type="log")
    figure.update_yaxes(row=1, col=2, title_text="perplexity, % above the full softmax's")
    figure.update_annotations(font_size=13)
    # high enough for a legend of all rows, which takes its room from the plots
    figure = f.filled(figure, {}, {}, 620)
    figure.update_layout(
        showlegend=True, legend={"orientation": "h", "y": -0.2, "yanchor": "top", "x": 0}, margin_b=120
    )
    data, layout = stored_data(table)
    for i, properties in data.items():
        figure.data[i].update(properties)
    for name, value in layout.items():
        figure.layout[name] = value
    return figure


# ---------------------------------------------------------------------- table and words


def stored_table(table: StoredTable | None) -> str:
    """The stored rows with the paper's beside them, as an HTML table."""
    per_word = table is not None and table.rows[0]["words per token"] < 0.999
    heads = ["", "perplexity (seeds)", *["per word"] * per_word, "to full", "paper: to full", "times faster",
             "paper: times faster", "output layer", "words/s", "minutes", "parameters", "cutoffs", "paper: perplexity",
             "paper: minutes"]  # fmt: skip
    paper, cells = paper_rows(), []
    named = [row["name"] for row in table.rows] if table else []
    for name in [*named, *(name for name in PAPER_TEXT8 if name not in named)]:
        row = (table.row(name) if table else None) or {}
        more, faster = paper.get(name, (math.nan, math.nan))
        perplexity, minutes = PAPER_TEXT8.get(name, ("", ""))
        seeds = f" ({row['lowest']:,.1f} to {row['highest']:,.1f})" if row.get("seeds", 1) > 1 else ""
        told = {
            "perplexity": f"{row['test']:,.1f}{seeds}", "output": f"{100 * row['output share']:.0f}\u00a0%",
            "rate": f"{row['words/s']:,.0f}", "minutes": f"{'' if row['timed'] else '~'}{row['minutes']:,.1f}",
            "size": f"{row['parameters'] / 1e6:.2f}\u00a0M",
            "cutoffs": ",\u00a0".join(f"{c:,}" for c in row["cutoffs"]) or "none",
        } if row else {"perplexity": "not stored"}  # fmt: skip
        cells.append([
            STORED.get(name, name), told["perplexity"],
            *[f"{per_word_perplexity(row):,.1f}" if row else ""] * per_word,
            signed(row.get("of full", math.nan)), signed(more), _times(row.get("faster", math.nan)), _times(faster),
            *(told.get(key, "") for key in ("output", "rate", "minutes", "size", "cutoffs")),
            str(perplexity), str(minutes),
        ])  # fmt: skip
    return html_table("stored runs beside the paper's table for Text8", heads, cells)


def markdown(folder: Path | None = None) -> str:
    """The README's tables of stored trainings, one for each corpus and model: perplexity, and the output layer's time.

    Perplexities of byte-pair pieces are given per word. Raises ValueError for a file that is no record.
    """
    tables = []
    for stored in stored_tables(folder):
        tokens = 1 / stored.rows[0]["words per token"]  # of a word
        what = "test perplexity" + (" per word" if tokens > 1.001 else "")
        lines = [f"| {stored.label} | {what} | output layer's time |", "| --- | --- | --- |"]
        for row in stored.rows:
            notes = []
            if "of full" in row and row["name"] != "full":
                notes.append(signed(row["of full"]).replace("\u00a0", " "))
            if row["seeds"] > 1:
                notes.append(f"{row['seeds']} seeds, {row['lowest'] ** tokens:.1f} to {row['highest'] ** tokens:.1f}")
            told = f"{per_word_perplexity(row):.1f}" + (f" ({'; '.join(notes)})" if notes else "")
            time = f"{row['of authors']:#.2g}".rstrip(".") if "of authors" in row else "–"
            lines.append(f"| {STORED.get(row['name'], row['name'])} | {told} | {'' if row['timed'] else '~'}{time} |")
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def _times(factor: float) -> str:
    return f"{factor:.2f}" if math.isfinite(factor) else "–"


def _speed(factor: float) -> str:
    return f"{factor:.2f} times faster" if factor >= 1 else f"{1 / factor:.2f} times SLOWER"


def per_word_perplexity(row: Row) -> float:
    """exp(all nats / words): compares vocabularies of pieces of any size; one of words only without <unk>."""
    return float(row["per word"])


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
            (True, True): "both hold here", (True, False): "the first holds here, the second does not",
            (False, True): "the first does not hold here, the second does", (False, False): "neither holds here",
        }[held[0], held[1]]  # fmt: skip
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
            agree.append(STORED[name])
            continue
        parts = []
        if other_cost:
            parts.append(f"perplexity is {more_or_less(row['of full'])} than with the full softmax, in the paper "
                         f"{more_or_less(more)}")  # fmt: skip
        if other_gain:
            parts.append(f"training is {_speed(row['faster'])}, in the paper {_speed(faster)}")
        out.append(f"{STORED[name]}: {'; '.join(parts)}.")
    if out:
        out.insert(0, "Where these runs and the paper's disagree:")
    if agree:
        out.append(f"As in the paper, to {100 * NEAR_PERPLEXITY:.0f} percent points in perplexity and a factor "
                   f"{NEAR_SPEED} in speed: {', '.join(agree)}.")  # fmt: skip
    return out


def chosen_rows(row: Row, names: Sequence[str]) -> bool:
    """Whether a row is one of these."""
    return row["name"] in names


#: The rows that stills show: those that are trained first.
still_rows = partial(chosen_rows, names=("full", "adaptive", "planned-0.75"))
