"""The still of the last lesson: a case before the reader begins, its matrices to scale, and the budget it misses."""

from __future__ import annotations

from ..kit.languages import load_language
from ..kit.plots import TEXT_COLOR, Picture, still
from .scenarios import BUDGETS, SCENARIOS, cost_of, outcome, words_of
from .search import spread

_OWN = ("#0a6cad", "#b26a00", "#00825d", "#b04a8b")
_WIDE, _HIGH = 900, 132


@still(
    "08_items",
    "A large head and two tails of a layer over a million items, as wide as their items and as high as their numbers, "
    "in the dashed frame of the full softmax. Below, bars of time, memory and mean width, each with a line for its "
    "budget: time and memory are far over it.",
)
def _items_still() -> Picture:
    # here, because that module renders the stills of all others
    from ..kit.stills import recorded_cost

    case, budget = SCENARIOS["items"], BUDGETS["items"]
    words, cost = words_of("items", load_language("en")), cost_of("items", recorded_cost())
    widths, n, d = case.widths, len(words), case.d
    cutoffs = spread(words.words_for_share(case.share), len(widths), n)
    found = outcome(case, words, cost, cutoffs, widths)
    full = cost.full_time(n, case.batch, d, case.objective), float(case.per_parameter * n * d)
    parts = [
        f'<text x="8" y="18" font-weight="600">head: {cutoffs[0]:,} items, {100 * found.head_share:.0f} % of the tokens'
        f'</text><text x="{_WIDE + 8}" y="18" text-anchor="end">full softmax: {n:,} items × {d} numbers</text>',
        f'<rect x="8" y="26" width="{_WIDE}" height="{_HIGH}" fill="none" stroke="{TEXT_COLOR}" '
        'stroke-dasharray="5 4"/>',
    ]
    edges = [0, *cutoffs, n]
    for i, width in enumerate([d, *widths]):
        x, wide = 8 + edges[i] / n * _WIDE, (edges[i + 1] - edges[i]) / n * _WIDE
        parts.append(f'<rect x="{x:.1f}" y="26" width="{wide:.1f}" height="{width / d * _HIGH:.1f}" fill="{_OWN[i]}"/>')
    said = (
        f"✗ {1e3 * found.seconds:.1f} ms, at most {1e3 * budget.seconds:.1f} ms",
        f"✗ {found.bytes / 1e6:,.0f} MB, at most {budget.bytes / 1e6:.0f} MB",
        f"✓ {found.width:.0f}, at least {budget.width:.0f}",
    )
    rows = (
        ("time", found.seconds, full[0], budget.seconds),
        ("memory", found.bytes, full[1], budget.bytes),
        ("mean width", found.width, d, budget.width),
    )
    for i, (name, value, most, limit) in enumerate(rows):
        y, wide = 186 + 26 * i, 520
        parts.append(
            f'<text x="8" y="{y}" font-weight="600">{name}</text>'
            f'<rect x="100" y="{y - 12}" width="{wide}" height="15" fill="{TEXT_COLOR}" fill-opacity=".2"/>'
            f'<rect x="100" y="{y - 12}" width="{value / most * wide:.1f}" height="15" fill="{TEXT_COLOR}"/>'
            f'<path d="M{100 + limit / most * wide:.1f},{y - 16}v23" stroke="{TEXT_COLOR}" stroke-width="3"/>'
            f'<text x="640" y="{y}">{said[i]}</text>'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDE + 16} 256" width="{_WIDE + 16}" '
        f'style="font:13px sans-serif" fill="{TEXT_COLOR}">{"".join(parts)}</svg>'
    )
