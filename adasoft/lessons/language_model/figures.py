"""Figures and tables of the lesson on perplexity, and the sentences that say them in words; no torch, no widgets.

What was trained is told by a mapping, as ``Turns.json`` makes it and as it is kept over restarts and recorded.
"""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ..kit import plots as f
from ..kit.parts import listed
from ..kit.picker import COLORS
from ..kit.plots import Data, Layout

#: Short names, where there is little room.
SHORT = {
    "full": "full", "sampled": "sampled", "hierarchical": "hierarchical", "d-softmax": "D-softmax",
    "d-softmax-star": "D-softmax*", "adaptive": "authors'", "planned": "planned", "yours": "yours", "lstm": "LSTM",
    "cell": "yours",
}  # fmt: skip
#: Parts of a step, as in `adasoft.lm.run.PARTS`, and what they are called.
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


Kept = Mapping[str, Any]
_TABLE = "overflow-x:auto;line-height:1.4"
BOLD = ' font-weight="bold"'
_NOTHING = np.full(1, math.nan)


# ---------------------------------------------------------------------- trained live


def training_data(kept: Kept, labels: Mapping[str, str], shown_loss: bool = False) -> tuple[Data, Layout]:
    """Perplexity of each run against seconds and against tokens; a step's milliseconds by part."""
    lanes = kept.get("lanes", {})
    data: Data = {}
    n = len(labels)
    for i, name in enumerate(labels):
        there = name in lanes and bool(lanes[name]["points"])
        points = np.array(lanes[name]["points"] if there else [[math.nan] * 4], dtype=np.float64)
        data[i] = {"x": points[:, 0], "y": points[:, 2], "showlegend": there}
        data[n + i] = {"x": points[:, 1], "y": points[:, 2]}
        data[2 * n + i] = {"x": points[:, 1], "y": points[:, 3] if shown_loss else _NOTHING.repeat(len(points))}
    names = [name for name in labels if name in lanes and lanes[name]["steps"]]
    step = {name: 1e3 * lanes[name]["seconds"] / lanes[name]["steps"] for name in names}
    for i, part in enumerate(PARTS):
        data[3 * n + i] = {
            "y": [SHORT[name] for name in names] or [SHORT[next(iter(labels))]],
            "x": np.array([step[name] * lanes[name]["shares"][part] for name in names] or [math.nan]),
        }
    both = range(2 * n, 3 * n) if shown_loss else range(0)
    perplexities = np.concatenate([data[i]["y"] for i in (*range(n), *both)])
    layout = log_ticks("xaxis", np.concatenate([data[i]["x"] for i in range(n)]))
    layout |= log_ticks("xaxis2", np.concatenate([data[n + i]["x"] for i in range(n)]))
    return data, {**layout, **log_ticks("yaxis", perplexities), **log_ticks("yaxis2", perplexities)}


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


def training_figure(kept: Kept, labels: Mapping[str, str], shown_loss: bool = False) -> go.Figure:
    """Three views of runs trained in turns: against seconds, against tokens, and where a step's time goes."""
    titles = ("against seconds of training", "against tokens trained on", "one training step")
    figure = make_subplots(1, 3, subplot_titles=titles, horizontal_spacing=0.1, column_widths=[0.38, 0.36, 0.26])
    for column in (1, 2):
        for name, label in labels.items():
            color, dash, symbol = LOOKS[name]
            figure.add_scatter(
                row=1, col=column, mode="lines+markers", name=label, line={"color": color, "width": 2.5, "dash": dash},
                marker={"symbol": symbol, "size": 8}, showlegend=False, legendgroup=name,
            )  # fmt: skip
    for name, label in labels.items():
        figure.add_scatter(
            row=1, col=2, mode="markers", name=f"{label}: exp of the training loss", showlegend=False,
            marker={"symbol": f"{LOOKS[name].symbol}-open", "size": 8, "color": LOOKS[name].color},
        )  # fmt: skip
    shapes = (("#5b7fa6", ""), ("#b5bac0", "/"), ("#8f7a9e", "x"))
    for (color, shape), text in zip(shapes, PARTS.values(), strict=True):
        figure.add_bar(
            row=1, col=3, name=text, legend="legend2", orientation="h",
            marker={"color": color, "pattern": {"shape": shape, "solidity": 0.25, "fillmode": "overlay"}},
        )  # fmt: skip
    figure.update_xaxes(row=1, col=1, title_text="seconds, each run's own clock", type="log")
    figure.update_xaxes(row=1, col=2, title_text="tokens", type="log", tickangle=0)
    for column in (1, 2):
        figure.update_yaxes(row=1, col=column, type="log")
    figure.update_yaxes(row=1, col=1, title_text="perplexity on the validation part")
    figure.update_yaxes(row=1, col=2, title_text="the same perplexity")
    figure.update_xaxes(row=1, col=3, title_text="ms", rangemode="tozero")
    figure.update_yaxes(row=1, col=3, type="category", autorange="reversed")
    figure.update_annotations(font_size=13)
    figure = f.filled(figure, {}, {}, 460)
    figure.update_layout(
        barmode="stack", showlegend=True, legend={"orientation": "h", "y": -0.22, "yanchor": "top", "x": 0},
        legend2={"orientation": "h", "y": 1.1, "yanchor": "bottom", "x": 1, "xanchor": "right", "traceorder": "normal"},
        margin_b=120, margin_t=80,
    )  # fmt: skip
    data, layout = training_data(kept, labels, shown_loss)
    for i, properties in data.items():
        figure.data[i].update(properties)
    for name, value in layout.items():
        figure.layout[name] = value
    return figure


class Compared(NamedTuple):
    """A run beside the one it is compared with."""

    name: str
    perplexity: float
    """At its last point."""
    at_seconds: float
    """Perplexity over that of the other, minus 1, after the same seconds of training; nan without one."""
    at_tokens: float
    """The same after the same tokens."""
    faster: float
    """Words per second over those of the other."""
    rate: float
    """Words per second."""


def compared(kept: Kept, base: str) -> list[Compared]:
    """Every run with points beside ``base``, at the last moment that both have reached; between points, interpolated.

    Perplexities are interpolated on the logarithmic axes that they are drawn on.
    """
    lanes = {name: lane for name, lane in kept.get("lanes", {}).items() if lane["points"]}

    def at(name: str, column: int, place: float) -> float:
        points = np.array(lanes[name]["points"], dtype=np.float64)
        return float(np.interp(math.log(place), np.log(points[:, column]), np.log(points[:, 2])))

    def rate(name: str) -> float:
        return float(lanes[name]["tokens"] / lanes[name]["seconds"])

    def beside(name: str, column: int) -> float:
        if base not in lanes or name == base:
            return math.nan
        # before the first point of one of them there is nothing to compare
        last = min(lanes[one]["points"][-1][column] for one in (name, base))
        if last < max(lanes[one]["points"][0][column] for one in (name, base)):
            return math.nan
        return math.expm1(at(name, column, last) - at(base, column, last))

    return [
        Compared(
            name, lanes[name]["points"][-1][2], beside(name, 0), beside(name, 1),
            rate(name) / rate(base) if base in lanes else math.nan, rate(name),
        )
        for name in lanes
    ]  # fmt: skip


def more_or_less(difference: float) -> str:
    """2.1 % higher, 35 % lower, the same to 0.1 %."""
    if abs(difference) < 5e-4:
        return "the same to 0.1 %"
    text = f"{100 * abs(difference):.1f}" if abs(difference) < 0.1 else f"{100 * abs(difference):.0f}"
    return f"{text} % {'higher' if difference > 0 else 'lower'}"


def training_table(kept: Kept, labels: Mapping[str, str], base: str) -> str:
    """The runs as an HTML table: perplexity, words per second, the output layer's share, parameters."""
    rows = compared(kept, base)
    if not rows:
        return ""
    heads = ["", "cutoffs", "perplexity", "after equal seconds", "after equal tokens", "words/s", "times faster",
             "output layer", "parameters"]  # fmt: skip
    cells = []
    for row in rows:
        lane = kept["lanes"][row.name]
        faster = f"{row.faster:.2f}" if math.isfinite(row.faster) else "–"
        cells.append([
            labels[row.name], ", ".join(f"{c:,}" for c in lane["cutoffs"]) or "none", f"{row.perplexity:,.1f}",
            signed(row.at_seconds), signed(row.at_tokens), f"{row.rate:,.0f}", faster,
            f"{100 * lane['shares']['output']:.0f} %", f"{lane['parameters'] / 1e6:.2f} M",
        ])  # fmt: skip
    return html_table(f"perplexity and speed; differences are to {labels[base]}", heads, cells)


def signed(value: float) -> str:
    """+2.1 %, −35.0 %; a dash where there is nothing to compare."""
    # kept on one line by its space
    return f"{100 * value:+.1f}\u00a0%".replace("-", "−") if math.isfinite(value) else "–"


def html_table(label: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with a head; all cells are escaped."""
    head = "".join(f'<th scope="col">{html.escape(text)}</th>' for text in heads)
    body = "".join(
        f'<tr><th scope="row" style="min-width:11em">{html.escape(cells[0])}</th>'
        + "".join(f"<td>{html.escape(text)}</td>" for text in cells[1:])
        + "</tr>"
        for cells in rows
    )
    return (
        f'<div style="{_TABLE}" tabindex="0" role="region" aria-label="{html.escape(label, quote=True)}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def conditions(kept: Kept) -> str:
    """What the runs have in common, and where and when they ran."""
    corpus, n = kept["corpus"], kept["threads"]
    return (
        f"{corpus['name']}, {corpus['train']:,} tokens, V = {corpus['V']:,}, d = {kept['d']}, B = {kept['B']:,}, seed "
        f"{kept['seed']}; perplexity on {corpus['valid']:,} tokens of the validation part. Trained in turns on "
        f"{kept['device']['name']} with {n} thread{'s' * (n > 1)} on {kept['date'][:10]}"
    )


def training_sentence(kept: Kept, labels: Mapping[str, str], base: str, guess: float = math.nan) -> str:
    """The runs in words: after equal seconds, after equal tokens, the speed, and how close the reader's guess was."""
    rows = compared(kept, base)
    if not rows:
        return "Nothing trained yet."
    own = next((row for row in rows if row.name == base), None)
    text = f"{conditions(kept)}. "
    if own is None or len(rows) == 1:
        parts = [f"{labels[row.name]} {row.perplexity:,.1f} at {row.rate:,.0f} words per second" for row in rows]
        text += f"Perplexity: {'; '.join(parts)}."
        return text if own else f"{text} Tick {labels[base]}, too, to compare."
    text += f"{labels[base]}: perplexity {own.perplexity:,.1f}, {own.rate:,.0f} words per second."
    others = [row for row in rows if row is not own]
    if len(others) > 3:
        text += _best_and_worst(others, labels)
        others = [row for row in others if row.name == "yours"]
    for row in others:
        parts = [f"{row.perplexity:,.1f}"]
        if math.isfinite(row.at_seconds):
            parts.append(f"{more_or_less(row.at_seconds)} after equal seconds")
        if math.isfinite(row.at_tokens):
            parts.append(f"{more_or_less(row.at_tokens)} after equal tokens")
        text += f" {labels[row.name]}: {', '.join(parts)}; {row.faster:.2g} times as many words per second."
    lane = kept["lanes"][base]["shares"]["output"]
    text += f" With {labels[base]}, the output layer takes {100 * lane:.0f} % of a step."
    yours = next((row.faster for row in rows if row.name == "yours"), math.nan)
    if math.isfinite(guess) and math.isfinite(yours):
        off = max(guess / yours, yours / guess) if guess > 0 else math.inf
        close = "close" if off < 1.25 else f"a factor {off:,.1f} off" if math.isfinite(off) else "far off"
        text += f" You guessed {guess:g} times for your cutoffs; it is {yours:.2g}: {close}."
    return text


def _best_and_worst(rows: Sequence[Compared], labels: Mapping[str, str]) -> str:
    """Of many runs, the ends of the field; the table has all of them."""
    text = ""
    for column, when in (("at_seconds", "equal seconds"), ("at_tokens", "equal tokens")):
        found = sorted((getattr(row, column), row.name) for row in rows if math.isfinite(getattr(row, column)))
        if found:
            (low, best), (high, worst) = found[0], found[-1]
            text += (
                f" After {when}, from {more_or_less(low)} ({labels[best]}) to {more_or_less(high)} ({labels[worst]})."
            )
    fast = max(rows, key=lambda row: row.faster)
    return f"{text} Most words per second: {labels[fast.name]}, {fast.faster:.2g} times as many."


def loss_sentence(kept: Kept, labels: Mapping[str, str]) -> str:
    """What exp of the training loss says beside the perplexity on the same words' validation part."""
    parts = []
    for name, label in labels.items():
        lane = kept.get("lanes", {}).get(name)
        if lane and lane["points"]:
            _, _, valid, train = lane["points"][-1]
            parts.append(f"{label} {train:,.1f} (validation {valid:,.1f})")
    return f"exp of the training loss, lately: {'; '.join(parts)}." if parts else ""


# ---------------------------------------------------------------------- the text


def text_rows(text: Kept, stand_in: str) -> dict[str, str]:
    """What is known of a text, for a card. ``stand_in``: the words that stand in for those of a text not yet read."""
    if not text:
        return {"text": "not read yet", "words below": f"those of {stand_in} stand in for its words until then"}
    shares = ", ".join(f"{f.percent(share)} for {int(n):,}" for n, share in text["shares"].items())
    return {
        "text": f"{text['name']}: {text['source']}",
        "licence": str(text["licence"]),
        "trained on": f"{text['train']:,} tokens; perplexity is taken on {text['valid']:,} others",
        "words": f"V = {text['V']:,}; share of the tokens, most frequent first: {shares or 'too few words to say'}",
        "unknown": f"{f.percent(text['unknown'])} of the validation part are <unk>: words seen once, or never",
        "begins": " ".join(str(text["begin"]).split()),
    }


def paragraphs_svg(paragraphs: Mapping[str, str]) -> str:
    """Headings and the text below each of them, as a picture, in the grey that reads on light and dark."""
    lines = [(line, line is name) for name, text in paragraphs.items() for line in (name, *textwrap.wrap(text, 120))]
    body = "".join(
        f'<text x="8" y="{20 + 19 * i}"{BOLD if bold else ""}>{html.escape(line)}</text>'
        for i, (line, bold) in enumerate(lines)
    )
    height = 14 + 19 * len(lines)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 780 {height}" width="780" style="font:13px sans-serif" '
        f'fill="{f.TEXT_COLOR}">{body}</svg>'
    )


def written_paragraphs(written: Kept, labels: Mapping[str, str]) -> dict[str, str]:
    """What the models wrote, by their names; ↵ for the end of a line."""
    return {
        labels.get(name, name): f"{written['start']} {text}".replace("\n", " ↵ ").strip()
        for name, text in written["words"].items()
    }


def cutoffs_text(cutoffs: Sequence[int]) -> str:
    """Cut at 1,000 and 4,000; no cutoffs."""
    return f"cut at {listed(cutoffs)}" if cutoffs else "no cutoffs"
