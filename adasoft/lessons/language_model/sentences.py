"""What is said of runs trained in turns and of a text: sentences, a table, a card; no torch, no widgets.

A mapping describes what was trained, as ``Turns.json`` makes it and as it is kept over restarts and recorded.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...text import counted, signed
from ..kit import plots as f
from ..kit.grading import closeness, off_by
from ..kit.parts import listed
from ..kit.tables import html_table

Kept = Mapping[str, Any]
#: Tokens trained on before which a lead says little of how a training ends.
EARLY = 1_000_000
#: A run with fewer points than these is not yet to be judged.
FEW = 4


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
            name,
            lanes[name]["points"][-1][2],
            beside(name, 0),
            beside(name, 1),
            rate(name) / rate(base) if base in lanes else math.nan,
            rate(name),
        )
        for name in lanes
    ]


def more_or_less(difference: float) -> str:
    """2.1 % higher, 35 % lower, 12 times as high, the same to within 0.1 %."""
    if abs(difference) < 5e-4:
        return "the same to within 0.1 %"
    if difference >= 1:
        return f"{f.times(1 + difference)} times as high"
    text = f"{100 * abs(difference):.1f}" if abs(difference) < 0.1 else f"{100 * abs(difference):.0f}"
    return f"{text} % {'higher' if difference > 0 else 'lower'}"


def began(text: str) -> str:
    """A label at the beginning of a sentence."""
    return text[:1].upper() + text[1:]


def faster_text(factor: float) -> str:
    """2.4 times faster; 4 % slower: of a training step, by words per second."""
    if abs(factor - 1) < 0.005:
        return "as fast, to within 1 %"
    return f"{factor:.2g} times faster" if factor >= 1 else f"{100 * (1 / factor - 1):.0f} % slower"


def sizes_text(n_classes: int, d: int, batch: int, cutoffs: Sequence[int]) -> str:
    """V = 15,000, d = 128, B = 640, cutoffs 1,000, 4,000: what a guess of the speed-up is made for."""
    cut = ", ".join(f"{c:,}" for c in cutoffs) or "none"
    return f"V = {n_classes:,}, d = {d:,}, B = {batch:,}, cutoffs {cut}."


def training_table(kept: Kept, labels: Mapping[str, str], base: str) -> str:
    """The runs as an HTML table: perplexity, words per second, the output layer's share, parameters."""
    rows = compared(kept, base)
    if not rows:
        return ""
    heads = [
        "",
        "perplexity",
        "after equal seconds",
        "after equal tokens",
        "words/s",
        "times faster",
        "output layer",
        "cutoffs",
        "parameters",
    ]
    cells = []
    for row in rows:
        lane = kept["lanes"][row.name]
        faster = f"{row.faster:.2f}" if math.isfinite(row.faster) else "–"
        cells.append(
            [
                labels[row.name],
                f"{row.perplexity:,.1f}",
                signed(row.at_seconds),
                signed(row.at_tokens),
                f"{row.rate:,.0f}",
                faster,
                f"{100 * lane['shares']['output']:.0f} %",
                ", ".join(f"{c:,}" for c in lane["cutoffs"]) or "none",
                f"{lane['parameters'] / 1e6:.2f} M",
            ]
        )
    name = f"perplexity and speed; differences are to {labels[base]}"
    return html_table(cells, heads, label=name, scrolls=True)


def conditions(kept: Kept) -> str:
    """What the runs have in common, and where and when they ran."""
    corpus, n = kept["corpus"], kept["threads"]
    return (
        f"{corpus['name']}, {corpus['train']:,} tokens, V = {corpus['V']:,}, d = {kept['d']}, B = {kept['B']:,}, seed "
        f"{kept['seed']}; perplexity on {corpus['valid']:,} tokens of the validation part. Trained in turns on "
        f"{kept['device']['name']} with {n} thread{'s' * (n > 1)} on {kept['date'][:10]}"
    )


def training_sentence(kept: Kept, labels: Mapping[str, str], base: str, guess: float = math.nan) -> str:
    """The runs after equal seconds and after equal tokens, their speed, and how close the reader's guess was."""
    rows = compared(kept, base)
    if not rows:
        return "Nothing yet."
    own = next((row for row in rows if row.name == base), None)
    if own is None or len(rows) == 1:
        parts = [
            f"{labels[row.name]} {row.perplexity:,.1f} after {_after(kept, row.name)}, {row.rate:,.0f} words per second"
            for row in rows
        ]
        text = f"Perplexity of {'; '.join(parts)}."
        if own:
            return text
        under_way = base in kept["lanes"]  # it is ticked, and slower than those that have a point
        more = f"{began(labels[base])} comes soon: it has no point yet." if under_way else ""
        return f"{text} {more or f'Tick {labels[base]} as well to compare.'}"
    highest = kept["corpus"]["V"]
    so_far = f"{own.perplexity:,.1f}" if own.perplexity <= highest else "above V"
    text = f"{began(labels[base])}: perplexity {so_far} after {_after(kept, base)}."
    for row in [row for row in rows if row is not own]:
        sane = row.perplexity <= highest  # else a number in the millions says nothing
        parts = [f"{row.perplexity:,.1f}" if sane else "perplexity above V"]
        if sane and math.isfinite(row.at_seconds):
            parts.append(f"{more_or_less(row.at_seconds)} after equal seconds")
        if sane and math.isfinite(row.at_tokens):
            parts.append(f"{more_or_less(row.at_tokens)} after equal tokens")
        text += f" {began(labels[row.name])}: {', '.join(parts)}; a training step is {faster_text(row.faster)}."
    yours = next((row.faster for row in rows if row.name == "yours"), math.nan)
    if math.isfinite(yours):
        text += _step_taken_apart(kept)
    if math.isfinite(guess) and math.isfinite(yours):
        text += f" You guessed {guess:g} times for the step; it is {yours:.2g}: {closeness(off_by(guess, yours))}."
    return text + _worse_than_uniform(kept, labels, rows) + _few_points(kept, labels, [row.name for row in rows])


def _milliseconds(lane: Kept) -> tuple[float, float]:
    """Of a training step, and of the output layer in it."""
    step = 1e3 * lane["seconds"] / lane["steps"]
    return step, step * lane["shares"]["output"]


def _step_taken_apart(kept: Kept) -> str:
    """Why the layer gains more than the step: both, in milliseconds."""
    (step, full), (shorter, yours) = (_milliseconds(kept["lanes"][name]) for name in ("full", "yours"))
    if not yours or not full:
        return ""
    before, after = f"{step - full:.0f}", f"{shorter - yours:.0f}"
    rest = f"took {before} ms and takes {after} ms" if before != after else f"takes {after} ms as before"
    return (
        f" Its output layer alone is {faster_text(full / yours)} ({full:.0f} ms, now {yours:.0f} ms); the rest of the "
        f"step {rest}."
    )


def _worse_than_uniform(kept: Kept, labels: Mapping[str, str], rows: Sequence[Compared]) -> str:
    """Why a perplexity may be above V at first."""
    n = kept["corpus"]["V"]
    names = [began(labels[row.name]) for row in rows if row.perplexity > n]
    if not names:
        return ""
    return (
        f" {' and '.join(names)}: above V = {n:,}, what equally likely words would give. Adagrad's first steps are its "
        "longest and overshoot; train on and it comes down."
    )


def _few_points(kept: Kept, labels: Mapping[str, str], names: Sequence[str]) -> str:
    """A warning where a run has come too short a way to be judged."""
    name = min(names, key=lambda one: len(kept["lanes"][one]["points"]))
    n = len(kept["lanes"][name]["points"])
    if n >= FEW:
        early = " This is the start of training: a lead of a few percent can turn."
        return early if kept["lanes"][name]["tokens"] < EARLY else ""
    return f" {began(labels[name])} has {counted(n, 'point')} only, too few to tell which is better: press Go on."


def _after(kept: Kept, name: str) -> str:
    """When a run's last perplexity was taken: its clock may have gone on since."""
    seconds = kept["lanes"][name]["points"][-1][0]
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


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
        return {"text": "not read yet", "words below": f"until then, those of {stand_in}"}
    shares = ", ".join(f"{f.percent(share)} for {int(n):,}" for n, share in text["shares"].items())
    return {
        "text": f"{text['name']}: {text['source']}",
        "licence": str(text["licence"]),
        "trained on": f"{text['train']:,} tokens; perplexity is taken on {text['valid']:,} others",
        "words": f"V = {text['V']:,}; share of the tokens, most frequent first: {shares or 'too few words to say'}",
        "unknown": f"{f.percent(text['unknown'])} of the validation part are <unk>: words seen once, or never",
        "begins": " ".join(str(text["begin"]).split()),
    }


def written_html(
    label: str, text: str, cutoffs: Sequence[int] = (), ranks: Mapping[str, int] | None = None, start: str = ""
) -> str:
    """What a model wrote, as HTML: each word of a tail underlined, with the tail's number, and how many there are.

    ``ranks``: of the words, from 1 on; without them, or without cutoffs, the words are plain. ``start``: what it was
    given to begin with, which it did not write.
    """
    words = text.replace("\n", " ↵ ").split()
    clusters = [sum(rank > cut for cut in cutoffs) if (rank := (ranks or {}).get(word)) else 0 for word in words]
    opened = [f"tail {i} for {counted(clusters.count(i), 'word')}" for i in sorted({*clusters} - {0})]
    note = f"opened {', '.join(opened)} of {len(words)}" if opened else "needed no tail"
    note = "" if not cutoffs or ranks is None else f" – {note}"
    body = " ".join(
        f'<span style="--own: var(--c{i})">{html.escape(word)}<sub>{i}</sub></span>' if i else html.escape(word)
        for word, i in zip(words, clusters, strict=True)
    )
    return f'<div class="adasoft-wrote"><b>{html.escape(label)}</b>{note}<br>{html.escape(start)} {body}</div>'


def cutoffs_text(cutoffs: Sequence[int]) -> str:
    """Cut at 1,000 and 4,000; no cutoffs."""
    return f"cut at {listed(cutoffs)}" if cutoffs else "no cutoffs"
