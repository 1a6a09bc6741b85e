"""Who gains by an adaptive softmax and who does not: the page's machines side by side, from its plans and records."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from ...cost import Cost, MeasuredCost
from ...planning import default_widths, plan
from ...text import counted
from ...vocabulary import Vocabulary
from ..kit.explorer import FLOOR
from ..kit.plots import seconds_text, times

_D, _BATCH = 512, 2560
#: Lengths of a list that are tried, from the shortest.
LENGTHS = tuple(factor * 10**power for power in (3, 4, 5) for factor in (1, 2, 5))
#: From which speed-up on a layer counts as a gain.
WORTH = 1.2
#: What a further cutoff must leave of the time to be taken, and the width of tails that no plan here takes; as page.js.
SAVED, FEW = 0.95, 8


class Side(NamedTuple):
    """One machine: a full softmax and the layer with the cutoffs that the page plans for it, in seconds."""

    cost: MeasuredCost
    device: str
    name: str
    dtype: str
    full: float
    adaptive: float
    n_cutoffs: int


def sides(words: Vocabulary, costs: Sequence[Cost], found: Sequence[dict[str, Any]]) -> list[Side]:
    """The recorded machines, the slowest full softmax first."""
    out = []
    for i, cost in enumerate(costs, start=1):
        if not isinstance(cost, MeasuredCost) or not cost.record:
            continue
        wanted = {"text": 0, "cost": i, "d": _D, "batch": _BATCH}
        stored = sorted((p["cuts"] for p in found if wanted.items() <= p.items()), key=len)
        full = best = float(cost.full_time(len(words), _BATCH, _D))
        many = 0
        for cuts in stored:
            widths = default_widths(_D, len(cuts))
            shares = [
                float(words.cumulative[b] - words.cumulative[a]) for a, b in zip(cuts, [*cuts[1:], -1], strict=True)
            ]
            seconds = cost.layer(len(words), cuts, widths, shares, _D, _BATCH).seconds
            if min(widths) > FEW and seconds < SAVED * best:
                best, many = seconds, len(cuts)
        device = cost.record["device"]
        out.append(Side(cost, device["type"], device["name"], cost.record["dtype"], full, best, many))
    return sorted(out, key=lambda side: -side.full)


def who_gains(words: Vocabulary, costs: Sequence[Cost], found: Sequence[dict[str, Any]]) -> str:
    """The machines in a table and on one axis of time, and who gains; nothing without a CPU and a GPU."""
    rows = sides(words, costs, found)
    if not {"cpu", "cuda"} <= {row.device for row in rows}:
        return ""
    said = []
    for row in rows:
        others = [one for one in rows if (one.name, row.dtype, one.dtype) == (row.name, "float32", "bfloat16")]
        if others:
            said.append(
                f"On the GPU, bfloat16 (16-bit numbers, multiplied by special units) alone makes the full softmax "
                f"{times(row.full / others[0].full)} times faster: {seconds_text(row.full)} become "
                f"{seconds_text(others[0].full)}. Little is left for the adaptive softmax to save."
            )
    first, last = rows[0], rows[-1]
    shortest, longest = worth_from(words, first.cost), worth_from(words, last.cost)
    said.append(
        f"With one planned cutoff, our {_kind(first)} gains at least a fifth from {shortest:,} words on, "
        f"our {_kind(last)} only from about {longest:,}. Below that, keep the full softmax."
    )
    return _table(rows, len(words)) + "".join(f"<p>{html.escape(one)}</p>\n" for one in said)


def _kind(side: Side) -> str:
    return "CPU" if side.device == "cpu" else f"GPU in {side.dtype}"


def _table(rows: Sequence[Side], n: int) -> str:
    """One row a machine: its numbers, and a line from the adaptive to the full softmax on an axis that all share."""
    low = math.floor(math.log10(min(row.adaptive for row in rows)))
    high = math.log10(1.5 * max(row.full for row in rows))

    def at(seconds: float) -> str:
        return f"{100 * (math.log10(seconds) - low) / (high - low):.1f}%"

    ticks = "".join(
        f'<i style="left:{at(10.0**power)}">{seconds_text(10.0**power)}</i>'
        for power in range(low, math.floor(high) + 1)
    )
    ticks = ticks.replace(".0 s", " s")
    body = "".join(
        f'<tr><th scope="row">{html.escape(row.name)}<br><span>{_cores(row)}{html.escape(row.dtype)}</span></th>'
        f"<td>{seconds_text(row.full)}</td><td>{seconds_text(row.adaptive)}<br>"
        f"<span>{counted(row.n_cutoffs, 'cutoff')}</span></td>"
        f"<td><strong>{times(row.full / row.adaptive)} ×</strong></td>"
        f'<td class="track" aria-hidden="true"><div>'
        f'<b style="left:{at(row.adaptive)};right:calc(100% - {at(row.full)})"></b>'
        f'<u class="adaptive" style="left:{at(row.adaptive)}"></u><u class="full" style="left:{at(row.full)}"></u>'
        f"</div></td></tr>\n"
        for row in rows
    )
    return (
        f'<table class="machines"><caption>A training step of the layer with {n:,} words, d = {_D} and {_BATCH:,} '
        "tokens, as predicted. Adaptive: with as many planned cutoffs as pay. The axis is logarithmic.</caption>"
        '<thead><tr><th scope="col">machine</th><th scope="col"><u class="full"></u>full</th>'
        '<th scope="col"><u class="adaptive"></u>adaptive</th><th scope="col">faster</th>'
        f'<td class="track" aria-hidden="true"><div>{ticks}</div></td></tr></thead><tbody>\n{body}</tbody></table>\n'
    )


def _cores(row: Side) -> str:
    device = (row.cost.record or {})["device"]
    return f"{counted(device['cores'], 'core')}, " if "cores" in device else ""


def worth_from(words: Vocabulary, cost: Cost) -> int:
    """From how many words on one planned cutoff makes the layer at least a fifth faster; of the lengths tried."""
    for length in LENGTHS:
        if length < len(words):
            few = Vocabulary(words.counts[:length])
            if plan(few, _D, _BATCH, cost=cost, n_tails=1, min_head_share=FLOOR).speedup >= WORTH:
                return length
    return len(words)
