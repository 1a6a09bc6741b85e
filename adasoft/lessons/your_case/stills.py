"""The still of the last lesson: how the time of a step depends on the size of the head, with two tails."""

from __future__ import annotations

import math

import numpy as np

from ..kit.languages import load_language
from ..kit.plots import TEXT_COLOR, Picture, still
from .scenarios import BUDGETS, SCENARIOS, cost_of, outcome, words_of
from .search import spread

_WIDE, _HIGH, _LEFT, _TOP, _BASE = 620, 270, 44, 26, 222
#: Heads on the axis, and milliseconds.
_RANKS, _TIMES = (100, 1_000, 10_000, 100_000), (5, 10, 20, 50, 100)


def _x(rank: float) -> float:
    return _LEFT + math.log(rank / 30) / math.log(600_000 / 30) * (_WIDE - _LEFT - 10)


def _y(ms: float) -> float:
    return _BASE - math.log(ms / 5) / math.log(120 / 5) * (_BASE - _TOP)


def times_of_heads(widths: tuple[int, ...]) -> tuple[int, dict[int, float]]:
    """With these tails: the fastest head, and the milliseconds of heads of many sizes."""
    # here, because that module renders the stills of all others
    from ..kit.stills import recorded_cost

    case = SCENARIOS["items"]
    words, cost = words_of("items", load_language("en")), cost_of("items", recorded_cost())
    heads = [round(rank) for rank in np.geomspace(30, 400_000, 90)]
    cuts = [spread(head, len(widths), len(words)) for head in heads]
    times = {cut[0]: 1e3 * outcome(case, words, cost, cut, widths).seconds for cut in cuts}
    return min(times, key=lambda head: times[head]), times


def about(n: int) -> int:
    """To two digits, as the page does."""
    unit = int(10 ** max(0, math.floor(math.log10(n)) - 1))
    return round(n / unit) * unit


@still(
    "08_items",
    "Time of a training step over a million items against the number of items in the head, both on logarithmic scales. "
    "With two tails of 128 and 64 numbers the curve falls, is lowest in the ten thousands, and rises; it stays above "
    "the budget of 10 ms.",
)
def _items_still() -> Picture:
    budget = 1e3 * BUDGETS["items"].seconds
    parts = [
        f'<text x="0" y="14" font-weight="600">time of a step, ms</text>'
        f'<text x="{_WIDE - 10}" y="{_BASE + 40}" text-anchor="end" font-weight="600">items in the head</text>'
    ]
    for ms in _TIMES:
        parts.append(
            f'<path d="M{_LEFT},{_y(ms):.1f}H{_WIDE - 10}" stroke="{TEXT_COLOR}" stroke-opacity=".2"/>'
            f'<text x="{_LEFT - 8}" y="{_y(ms) + 4:.1f}" text-anchor="end">{ms}</text>'
        )
    parts += [f'<text x="{_x(rank):.1f}" y="{_BASE + 20}" text-anchor="middle">{rank:,}</text>' for rank in _RANKS]
    parts.append(
        f'<path d="M{_LEFT},{_y(budget):.1f}H{_WIDE - 10}" stroke="{TEXT_COLOR}" stroke-width="2" '
        f'stroke-dasharray="2 3"/><text x="{_WIDE - 10}" y="{_y(budget) - 7:.1f}" text-anchor="end">budget: '
        f"{budget:.0f} ms</text>"
    )
    best, times = times_of_heads(SCENARIOS["items"].widths)
    line = "".join(f"{'L' if i else 'M'}{_x(head):.1f},{_y(ms):.1f}" for i, (head, ms) in enumerate(times.items()))
    widths = ", ".join(map(str, SCENARIOS["items"].widths))
    parts.append(
        f'<path d="{line}" fill="none" stroke="{TEXT_COLOR}" stroke-width="3"/>'
        f'<circle cx="{_x(best):.1f}" cy="{_y(times[best]):.1f}" r="5"/>'
        f'<text x="{_x(best):.1f}" y="{_y(times[best]) - 12:.1f}" text-anchor="middle">about {about(best):,} '
        f"items</text>"
        f'<text x="{_LEFT + 30}" y="{_y(list(times.values())[10]) - 11:.1f}" font-weight="600">2 tails: {widths} '
        f"numbers</text>"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDE} {_HIGH}" width="{_WIDE}" '
        f'style="font:13px sans-serif" fill="{TEXT_COLOR}">{"".join(parts)}</svg>'
    )
