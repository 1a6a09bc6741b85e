"""The exact search for cutoffs and widths, and the `Plan` that comes of it.

**The search.** A layer costs head(c_1) + sum_i w_i(c_i, c_{i+1}). The cutoffs that minimise it are found by branch
and bound over *cells*, ranges of ranks that a cutoff may lie in. All costs that ship are monotone (a tail over fewer
words or tokens never costs more, see :mod:`adasoft.cost`), so the cheapest tail from cell A to cell B spans from the
last rank of A to the first rank of B. Forward and backward dynamic programming over these bounds gives, for each cell
of each cutoff, a lower bound on every partition that goes through it. Cells whose bound is not below the best
partition known are dropped, the others split, until none is left: then the best known is the optimum. The paper
says "dynamic programming" and gives no recurrence; this is ours. Nothing is assumed of the word counts.

**Widths and capacity.** Time alone always takes the narrowest tails and the smallest head. What it costs is told by two
floors: on the share of tokens in the head (``min_head_share``) and on the mean width per token,
d p_h + sum_i d_i p_i (``min_mean_width``).
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .checks import integer, items, number
from .cost import Cost, LayerCost, Objective
from .files import short
from .records import load_cost
from .vocabulary import Vocabulary

Array = npt.NDArray[Any]
#: w(size, share) -> seconds, for arrays.
TailCost = Callable[[Array, Array], Array]

#: Hidden sizes and batches go up to this: beyond it no tensor could have such a side.
_MOST = 2**31 - 1

#: Cells per cutoff and round: the bounds of a round are matrices of this size squared.
_CELLS = 192
#: Ranks left, over all cutoffs, from which costs with the quadrangle inequality are solved rank by rank.
_MONOTONE = 60_000
#: Cells that a round may have. More are left where many partitions cost nearly the same; then nothing can be dropped.
_MOST_CELLS = 2048
#: An optimum is proved up to this relative difference, a few roundings of a sum in fp64.
_ROUNDING = 1e-12


class _Problem(NamedTuple):
    """head(c_1) + sum of tails, over cutoffs that are multiples of ``align``, c_1 >= ``first``."""

    cumulative: Array
    head: Callable[[Array], Array]
    tails: list[TailCost]
    first: int
    align: int
    #: least share of a tail from which on its cost satisfies the quadrangle inequality
    quadrangle: float = math.inf
    #: least rank of the second cutoff, the third, ...
    floors: tuple[int, ...] = ()

    @property
    def n_classes(self) -> int:
        return len(self.cumulative) - 1

    def total(self, cutoffs: Sequence[int] | Array) -> float:
        edges = np.asarray([*cutoffs, self.n_classes])
        shares = np.diff(self.cumulative[edges])
        out = float(self.head(edges[:1])[0])
        for tail, size, share in zip(self.tails, np.diff(edges), shares, strict=True):
            out += float(tail(np.asarray([size]), np.asarray([share]))[0])
        return out

    def limits(self, i: int) -> tuple[int, int]:
        """First and last multiple of ``align`` that cutoff i (from 0) can take."""
        lowest = max(1, -(-self.first // self.align))
        for floor in self.floors[:i]:
            lowest = max(lowest + 1, -(-floor // self.align))
        highest = (self.n_classes - 1) // self.align
        return lowest + max(0, i - len(self.floors)), highest - (len(self.tails) - 1 - i)


def _search(problem: _Problem, rounds: int | None = None) -> tuple[list[int], float, float]:
    """The cutoffs of least cost, that cost, and a bound below every partition's.

    The bound is the cost itself unless the search is stopped after some ``rounds``. Needs monotone costs; every limit
    must be feasible.
    """
    n, align, n_tails = problem.n_classes, problem.align, len(problem.tails)
    cells = [_geometric_cells(*problem.limits(i)) for i in range(n_tails)]
    best = _polish(problem, [int(problem.limits(i)[0]) for i in range(n_tails)])
    upper = problem.total(np.asarray(best) * align)
    while True:
        bounds = [_pair_bounds(problem, i, cells[i], cells[i + 1]) for i in range(n_tails - 1)]
        inside = _inside(problem, cells)
        starts = cells[-1][1] * align
        backward = [inside[-1] + problem.tails[-1](n - starts, problem.cumulative[n] - problem.cumulative[starts])]
        for bound, more in zip(reversed(bounds), reversed(inside[:-1]), strict=True):
            backward.insert(0, more + (bound + backward[0]).min(1))
        forward = [problem.head(cells[0][0] * align)]
        for bound, more in zip(bounds, inside, strict=False):
            forward.append(((forward[-1] + more)[:, None] + bound).min(0))

        path = _path(cells, bounds, forward[0], backward)
        if path is not None:
            polished = _polish(problem, path)
            value = problem.total(np.asarray(polished) * align)
            if value < upper:
                best, upper = polished, value
        keep = [f + b < upper * (1 - _ROUNDING) for f, b in zip(forward, backward, strict=True)]
        if not all(k.any() for k in keep):
            return [c * align for c in best], upper, upper
        if rounds is not None:
            rounds -= 1
            if not rounds:
                return [c * align for c in best], upper, float((forward[0] + backward[0]).min())
        kept = [(lo[k], hi[k]) for (lo, hi), k in zip(cells, keep, strict=True)]
        ranges = [np.arange(lo[0], hi[-1] + 1) for lo, hi in kept]
        crowded = max(len(lo) for lo, _ in kept) > _MOST_CELLS // 2
        if (crowded or sum(map(len, ranges)) < _MONOTONE) and _all_quadrangle(problem, kept):
            found, value = _monotone_search(problem, ranges)
            # the best partition known may lie in cells that were dropped because nothing there is better
            if value < upper:
                best, upper = found, value
            return [c * align for c in best], upper, upper
        if crowded:  # what is left open is said: the caller gets the bound
            return [c * align for c in best], upper, float((forward[0] + backward[0]).min())
        cells = [_split(lo, hi) for lo, hi in kept]


def _all_quadrangle(problem: _Problem, cells: list[tuple[Array, Array]]) -> bool:
    """Whether every tail between these cells is large enough for the quadrangle inequality."""
    starts = [int(hi[-1]) * problem.align for _, hi in cells]
    ends = [int(lo[0]) * problem.align for lo, _ in cells[1:]] + [problem.n_classes]
    # a tail that may be empty has no least share; costs that ask for none hold for every tail
    return problem.quadrangle <= 0 or all(
        a < b and problem.cumulative[b] - problem.cumulative[a] >= problem.quadrangle
        for a, b in zip(starts, ends, strict=True)
    )


def _monotone_search(problem: _Problem, ranges: list[Array]) -> tuple[list[int], float]:
    """Exact dynamic programming over all ranks of each cutoff's range, for costs with the quadrangle inequality."""
    align, mass, n = problem.align, problem.cumulative, problem.n_classes
    starts = ranges[-1] * align
    rest = problem.tails[-1](n - starts, mass[n] - mass[starts])
    choices: list[Array] = []
    for i in reversed(range(len(ranges) - 1)):
        tail, rows, columns = problem.tails[i], ranges[i] * align, ranges[i + 1] * align

        def cost(
            row: Array, column: Array, tail: Any = tail, rows: Any = rows, columns: Any = columns, rest: Any = rest
        ) -> Array:
            a, b = rows[row], columns[column]
            return np.where(
                b > a, tail(np.maximum(b - a, 1), np.maximum(mass[b] - mass[a], 0.0)) + rest[column], np.inf
            )

        rest, chosen = _row_minima(cost, len(rows), len(columns))
        choices.insert(0, chosen)
    at = int((problem.head(ranges[0] * align) + rest).argmin())
    out = [int(ranges[0][at])]
    for chosen, ranks in zip(choices, ranges[1:], strict=True):
        at = int(chosen[at])
        out.append(int(ranks[at]))
    return out, problem.total(np.asarray(out) * align)


def _row_minima(cost: Callable[[Array, Array], Array], n_rows: int, n_columns: int) -> tuple[Array, Array]:
    """Least entry of each row, and its column, of a matrix whose minima never move left from row to row.

    By the quadrangle inequality that holds here. Every second row is solved between the minima of its neighbours, from
    coarse to fine, all rows of a level in one call: O((rows + columns) log rows) entries are looked at.
    """
    value, column = np.empty(n_rows), np.empty(n_rows, dtype=np.int64)
    stride = 1 << (n_rows - 1).bit_length()
    while stride:
        rows = np.arange(stride - 1, n_rows, 2 * stride)
        if len(rows):
            before, after = rows - stride, rows + stride
            lo = np.where(before >= 0, column[np.maximum(before, 0)], 0)
            hi = np.where(after < n_rows, column[np.minimum(after, n_rows - 1)], n_columns - 1)
            length = hi - lo + 1
            ends = length.cumsum()
            offset = np.arange(ends[-1]) - np.repeat(ends - length, length)
            entries = cost(np.repeat(rows, length), np.repeat(lo, length) + offset)
            least = np.minimum.reduceat(entries, ends - length)
            # the first entry that equals the least; a row without a legal column points to the last one
            hits = np.flatnonzero(entries == np.repeat(least, length))
            first = hits[np.searchsorted(hits, ends - length)]
            value[rows] = least
            column[rows] = np.where(np.isinf(least), hi, lo + first - (ends - length))
        stride //= 2
    return value, column


def _geometric_cells(lowest: int, highest: int) -> tuple[Array, Array]:
    edges = np.unique(np.geomspace(lowest, highest + 1, _CELLS + 1).round().astype(np.int64))
    return edges[:-1], edges[1:] - 1


def _split(lo: Array, hi: Array) -> tuple[Array, Array]:
    parts = max(2, _CELLS // len(lo))
    edges = lo[:, None] + (hi - lo + 1)[:, None] * np.arange(parts + 1) // parts
    a, b = edges[:, :-1].ravel(), edges[:, 1:].ravel() - 1
    return a[a <= b], b[a <= b]


def _pair_bounds(problem: _Problem, i: int, left: tuple[Array, Array], right: tuple[Array, Array]) -> Array:
    """Least cost of tail i from any rank of each left cell to any rank of each right cell; inf where there is none."""
    align, mass = problem.align, problem.cumulative
    a, b = left[1], right[0]
    size = np.maximum(b[None, :] - a[:, None], 1) * float(align)
    share = np.maximum(mass[b * align][None, :] - mass[a * align][:, None], 0.0)
    cost = problem.tails[i](size, share)
    return np.where(right[1][None, :] > left[0][:, None], cost, np.inf)


def _inside(problem: _Problem, cells: list[tuple[Array, Array]]) -> list[Array]:
    """What a cutoff inside a cell costs beyond the bounds at the cell's two ends, at least.

    The bounds of :func:`_pair_bounds` let a cutoff be at both ends of its cell at once: last rank for the tail that it
    starts, first rank for the tail that it ends. In truth the farther from one, the nearer to the other, and near
    an optimum the two balance. By the quadrangle inequality what tail i - 1 gains between two ends is least when it
    starts as late as it may, and what tail i gains between two starts is least when it ends as early as it may;
    with those, one look at 64 places per cell gives the least sum of both gains.
    """
    align, mass, n = problem.align, problem.cumulative, problem.n_classes
    out = []
    for i, (lo, hi) in enumerate(cells):
        steps = np.arange(65)
        x = (lo[:, None] + (hi - lo)[:, None] * steps // 64) * align
        if i == 0:
            left = problem.head(x.ravel()).reshape(x.shape)
            left = left - left[:, :1]
        else:
            start = int(cells[i - 1][1].max()) * align
            valid = ((start <= x[:, 0]) & (mass[x[:, 0]] - mass[start] >= problem.quadrangle))[:, None]
            size, share = np.where(valid, x - start, 0), np.where(valid, mass[x] - mass[start], 0.0)
            left = problem.tails[i - 1](size.astype(np.float64), share)
            left = np.where(valid, left - left[:, :1], 0.0)
        end = n if i == len(cells) - 1 else int(cells[i + 1][0].min()) * align
        valid = ((x[:, -1] <= end) & (mass[end] - mass[x[:, -1]] >= problem.quadrangle))[:, None]
        size, share = np.where(valid, end - x, 0), np.where(valid, mass[end] - mass[x], 0.0)
        right = problem.tails[i](size.astype(np.float64), share)
        right = np.where(valid, right - right[:, -1:], 0.0)
        # between two places the left gain is at least that of the first, the right gain that of the second
        out.append(np.maximum((left[:, :-1] + right[:, 1:]).min(1), 0.0))
    return out


def _path(cells: list[Any], bounds: list[Array], head: Array, backward: list[Array]) -> list[int] | None:
    at = int((head + backward[0]).argmin())
    out = [int(cells[0][0][at])]
    for i, bound in enumerate(bounds):
        at = int((bound[at] + backward[i + 1]).argmin())
        rank = max(int(cells[i + 1][0][at]), out[-1] + 1)
        if rank > cells[i + 1][1][at]:
            return None
        out.append(rank)
    return out


def _polish(problem: _Problem, cutoffs: list[int]) -> list[int]:
    """Move one cutoff at a time to its best place until none moves. Gives a good partition, not yet a proof."""
    align, mass, n = problem.align, problem.cumulative, problem.n_classes
    cutoffs = list(cutoffs)
    last = len(cutoffs) - 1
    for _ in range(4):
        moved = False
        for i, now in enumerate(cutoffs):
            lowest, highest = problem.limits(i)
            lowest = lowest if i == 0 else max(lowest, cutoffs[i - 1] + 1)
            highest = highest if i == last else min(highest, cutoffs[i + 1] - 1)
            if highest - lowest < 512:
                tried = np.arange(lowest, highest + 1)
            else:
                around = np.arange(max(lowest, now - 64), min(highest, now + 64) + 1)
                wide = np.geomspace(lowest, highest, 128).round().astype(np.int64)
                tried = np.concatenate([around, wide, lowest + highest - wide])
            ranks = tried * align
            end = n if i == last else cutoffs[i + 1] * align
            value = problem.tails[i](end - ranks, mass[end] - mass[ranks])
            if i == 0:
                value = value + problem.head(ranks)
            else:
                start = cutoffs[i - 1] * align
                value = value + problem.tails[i - 1](ranks - start, mass[ranks] - mass[start])
            new = int(tried[value.argmin()])
            moved |= new != now
            cutoffs[i] = new
        if not moved:
            break
    return cutoffs


def _search_any(problem: _Problem) -> tuple[list[int], float]:
    """Dynamic programming over all pairs of ranks, for costs of which nothing is known."""
    align, mass, n = problem.align, problem.cumulative, problem.n_classes
    lo, hi = problem.limits(0)[0], problem.limits(len(problem.tails) - 1)[1]
    ranks = np.arange(lo, hi + 1) * align
    if len(ranks) > 5000:
        raise ValueError(
            f"the cost model is not marked monotone, so every pair of {len(ranks)} ranks would have to be looked "
            f"at; expected at most 5000. Set cost.monotone if it is, or pass align={align * len(ranks) // 5000 + 1}"
        )
    size, share = ranks[None, :] - ranks[:, None], mass[ranks][None, :] - mass[ranks][:, None]
    legal = size > 0
    least = [problem.limits(i)[0] * align for i in range(len(problem.tails))]
    rest = np.where(ranks >= least[-1], problem.tails[-1](n - ranks, mass[n] - mass[ranks]), np.inf)
    chosen: list[Array] = []
    for i, tail in reversed(list(enumerate(problem.tails[:-1]))):
        value = np.where(legal, tail(np.maximum(size, 1), np.maximum(share, 0.0)) + rest[None, :], np.inf)
        chosen.insert(0, value.argmin(1))
        rest = np.where(ranks >= least[i], value.min(1), np.inf)
    total = problem.head(ranks) + rest
    at = int(total.argmin())
    out, best = [int(ranks[at])], float(total[at])
    for column in chosen:
        at = int(column[at])
        out.append(int(ranks[at]))
    return out, best


# ---------------------------------------------------------------------- widths under a floor on the mean width

#: Ranks that cutoffs are tried at while widths are chosen: all, up to this many; then geometrically spaced ones.
_CANDIDATES = 512
_LABELS = 20_000


def _choose_widths(
    problem: _Problem, tail_of: Callable[[int], TailCost], menus: list[list[int]], d: int, min_mean_width: float
) -> tuple[list[int], list[int], float]:
    """Cutoffs and widths of least time with a mean width of at least ``min_mean_width``; and the gap, see `Plan.gap`.

    The loss of width of a partition, sum_i (d - d_i) p_i, adds up over tails and may not exceed d - min_mean_width. A
    price mu on it gives a bound below (Lagrange); the best price comes from the two solutions on either side of the
    limit. What is left between bound and best partition is closed by enumerating partial partitions that are not
    dominated in (time, loss) and can still beat it.
    """
    align, mass, n, n_tails = problem.align, problem.cumulative, problem.n_classes, len(menus)
    lo, hi = problem.limits(0)[0], problem.limits(n_tails - 1)[1]
    every = hi - lo + 1 <= _CANDIDATES
    grid = np.arange(lo, hi + 1) if every else _geometric_cells(lo, hi)[0]
    if not every:
        spaced = np.geomspace(lo, hi, _CANDIDATES).round().astype(np.int64)
        # all tails may have to crowd at either end to meet the floor
        ends = [np.arange(lo, lo + n_tails), np.arange(hi - n_tails + 1, hi + 1)]
        grid = np.unique(np.concatenate([spaced, *ends]))
    ranks = np.append(grid * align, n)
    m = len(grid)
    size = ranks[None, :] - ranks[:m, None]
    share = np.maximum(mass[ranks][None, :] - mass[ranks[:m]][:, None], 0.0)
    legal = size > 0
    time = {w: np.where(legal, tail_of(w)(np.maximum(size, 1), share), np.inf) for menu in menus for w in menu}
    head = problem.head(ranks[:m])
    limit = d - min_mean_width

    def solve(mu: float) -> tuple[list[int], list[int], float, float, list[Array]]:
        """Cutoff numbers, widths, time, loss of the best partition at the price ``mu``; bounds from each cutoff on."""
        rest = np.zeros(m + 1)
        picks: list[tuple[Array, Array]] = []
        bounds: list[Array] = []
        for i in reversed(range(n_tails)):
            priced = np.stack([time[w] + mu * (d - w) * share for w in menus[i]])
            option = priced.argmin(0)
            value = priced.min(0) + rest[None, :]
            value = value[:, m:] if i == n_tails - 1 else value[:, :m]
            column = value.argmin(1)
            picks.insert(0, (column, option[:, m:] if i == n_tails - 1 else option[:, :m]))
            rest = np.append(value.min(1), np.inf)
            bounds.insert(0, rest[:m])
        at = int((head + rest[:m]).argmin())
        cut, widths, seconds, loss = [at], [], float(head[at]), 0.0
        for i, (column, option) in enumerate(picks):
            to = int(column[at])
            w = menus[i][int(option[at, to])]
            to = m if i == n_tails - 1 else to
            seconds, loss = seconds + float(time[w][at, to]), loss + (d - w) * float(share[at, to])
            widths.append(w)
            if i < n_tails - 1:
                cut.append(to)
            at = to
        return cut, widths, seconds, loss, bounds

    slack = 1e-12 * d
    low = solve(0.0)
    best, mu, bound = low, 0.0, low[2]
    if low[3] > limit + slack:
        mu = 1e-9
        high = solve(mu)
        while high[3] > limit + slack:
            mu *= 16
            if mu > 1e18:
                reached = d - high[3]
                raise Infeasible(
                    f"min_mean_width={min_mean_width:g} cannot be met with {n_tails} tails and widths "
                    f"{sorted({w for menu in menus for w in menu})}: at most {reached:.4g} is feasible"
                )
            high = solve(mu)
        best = high
        while True:
            mu = (high[2] - low[2]) / (low[3] - high[3])
            middle = solve(mu)
            bound = middle[2] + mu * (middle[3] - limit)
            if middle[3] <= limit + slack and middle[2] < best[2]:
                best = middle
            # no partition lies below the line through the two: the price is right
            if bound >= high[2] + mu * (high[3] - limit) - _ROUNDING * high[2]:
                break
            low, high = (low, middle) if middle[3] <= limit + slack else (middle, high)
        if best[2] > bound * (1 + _ROUNDING):
            bounds = middle[4]
            closed, improved = _enumerate(head, time, share, menus, d, limit + slack, mu, bounds, best[2])
            if improved is not None:
                best = (*improved, 0.0, bounds)
            if closed:
                bound = best[2]
    cutoffs, widths = [int(ranks[c]) for c in best[0]], best[1]
    if every:
        return cutoffs, widths, max(0.0, 1 - bound / best[2])
    # Between the grid's ranks: the same widths at every rank, and a bound that holds for every rank.
    cutoffs, seconds = _between(problem, tail_of, cutoffs, widths, d, limit, mu, best[2])
    return cutoffs, widths, max(0.0, 1 - _price_bound(problem, tail_of, menus, d, limit, mu) / seconds)


def _enumerate(
    head: Array,
    time: dict[int, Array],
    share: Array,
    menus: list[list[int]],
    d: int,
    limit: float,
    mu: float,
    bounds: list[Array],
    upper: float,
) -> tuple[bool, tuple[list[int], list[int], float] | None]:
    """All partial partitions, dominated and hopeless ones left out. Returns whether it was complete, and the best."""
    m, n_tails = len(head), len(menus)
    at, seconds, loss = np.arange(m), head.copy(), np.zeros(m)
    back: list[tuple[Array, Array, Array]] = []
    complete = True
    for i in range(n_tails):
        columns = np.arange(m, m + 1) if i == n_tails - 1 else np.arange(m)
        rest = np.zeros(1) if i == n_tails - 1 else bounds[i + 1]
        made = []
        for w in menus[i]:
            t = seconds[:, None] + time[w][at[:, None], columns[None, :]]
            lost = loss[:, None] + (d - w) * share[at[:, None], columns[None, :]]
            open_ = (
                (t + mu * (lost - limit) + rest[None, :] < upper * (1 + _ROUNDING)) & (lost <= limit) & np.isfinite(t)
            )
            parent, column = np.nonzero(open_)
            made.append((parent, columns[column], t[open_], lost[open_], np.full(len(parent), w)))
        parent, to, t, lost, width = (np.concatenate(part) for part in zip(*made, strict=True))
        order = np.lexsort((lost, t, to))
        parent, to, t, lost, width = parent[order], to[order], t[order], lost[order], width[order]
        keep = np.zeros(len(to), dtype=bool)
        edges = np.flatnonzero(np.diff(to, prepend=-1))
        for a, b in zip(edges, np.append(edges[1:], len(to)), strict=True):
            least = np.minimum.accumulate(lost[a:b])
            keep[a:b] = np.append(True, lost[a + 1 : b] < least[:-1])
        if keep.sum() > _LABELS:
            complete = False
            value = np.where(keep, t + mu * lost + (rest[0] if len(rest) == 1 else rest[to]), np.inf)
            keep[value.argsort()[_LABELS:]] = False
        at, seconds, loss = to[keep], t[keep], lost[keep]
        back.append((at, parent[keep], width[keep]))
    if not len(at):
        return complete, None
    k = int(seconds.argmin())
    best = float(seconds[k])
    widths: list[int] = []
    cut: list[int] = []
    for i in reversed(range(n_tails)):
        reached, parent, width = back[i]
        widths.insert(0, int(width[k]))
        if i < n_tails - 1:
            cut.insert(0, int(reached[k]))
        k = int(parent[k])
    return complete, ([k, *cut], widths, best)


def _priced(tail: TailCost, price: float) -> TailCost:
    return lambda size, share: tail(size, share) + price * share


def _between(
    problem: _Problem,
    tail_of: Callable[[int], TailCost],
    cutoffs: list[int],
    widths: list[int],
    d: int,
    limit: float,
    mu: float,
    seconds: float,
) -> tuple[list[int], float]:
    plain = problem._replace(tails=[tail_of(w) for w in widths])
    best, least = cutoffs, seconds
    low, high = mu / 2, mu * 2
    for _ in range(12):
        price = math.sqrt(low * high) if low > 0 else 0.0
        priced = plain._replace(tails=[_priced(t, price * (d - w)) for t, w in zip(plain.tails, widths, strict=True)])
        found, *_ = _search(priced)
        edges = problem.cumulative[[*found, problem.n_classes]]
        lost = float(np.dot(np.subtract(d, widths), np.diff(edges)))
        if lost <= limit:
            value = plain.total(found)
            if value < least:
                best, least = found, value
            high = price
        else:
            low = price
        if price == 0.0:
            break
    return best, least


def _price_bound(
    problem: _Problem, tail_of: Callable[[int], TailCost], menus: list[list[int]], d: int, limit: float, mu: float
) -> float:
    """A bound below every partition over all ranks: the least of time + mu x (loss - limit), tails free to choose."""

    def cheapest(menu: list[int]) -> TailCost:
        tails = [_priced(tail_of(w), mu * (d - w)) for w in menu]
        return lambda size, share: np.minimum.reduce([tail(size, share) for tail in tails])

    # the least of several costs keeps monotony but not the quadrangle inequality
    priced = problem._replace(tails=[cheapest(menu) for menu in menus], quadrangle=math.inf)
    return _search(priced, rounds=6)[2] - mu * limit


# ---------------------------------------------------------------------- plans


@dataclass(frozen=True)
class Plan:
    """Cutoffs and widths for a vocabulary, a hidden size, a batch and a machine.

    Build the layer with ``AdaptiveSoftmax.from_plan(plan)``.
    """

    in_features: int
    """Hidden size d."""
    n_classes: int
    """Number of words V."""
    batch: int
    """Tokens per step B."""
    cutoffs: tuple[int, ...]
    """c_1 < ... < c_J, V left out. Empty: a plain full softmax."""
    widths: tuple[int, ...]
    """Widths of the tails."""
    shares: tuple[float, ...]
    """Shares of the tokens: head, tail 1, ..., tail J."""
    breakdown: LayerCost
    """Predicted time, arithmetic, parameters by cluster and part; peak memory."""
    full: LayerCost
    """The same for the full softmax."""
    cost: str
    """The cost model's name: which machine was it?"""
    objective: str
    min_head_share: float
    gap: float = 0.0
    """Proved: no partition within the request is faster by more than this part of ``time``, so the optimum is at least
    ``time * (1 - gap)``, and ``time`` at most ``gap / (1 - gap)`` above it. 0 means optimal."""
    vocabulary: str = "counts"
    order: npt.NDArray[np.int64] | None = field(default=None, repr=False, compare=False)
    """(V,) ids by falling count, or None where ids are sorted already."""

    @property
    def n_tails(self) -> int:
        """Number of tail clusters J."""
        return len(self.cutoffs)

    @property
    def time(self) -> float:
        """Predicted seconds of one step of the output layer."""
        return self.breakdown.seconds

    @property
    def speedup(self) -> float:
        """Predicted time of the full softmax over that of the plan."""
        # a cost model that charges for nothing (c = lambda = 0) tells of no speed
        return self.full.seconds / self.time if self.time else math.nan

    @property
    def shortlist_size(self) -> int:
        """Words of the head, k_h."""
        return self.cutoffs[0] if self.cutoffs else self.n_classes

    @property
    def tail_sizes(self) -> tuple[int, ...]:
        """Words of each tail, k_i."""
        return tuple(int(k) for k in np.diff([*self.cutoffs, self.n_classes])) if self.cutoffs else ()

    @property
    def head_share(self) -> float:
        """Share of tokens in the head, p_h."""
        return self.shares[0]

    @property
    def tail_shares(self) -> tuple[float, ...]:
        """Share of tokens in each tail, p_i."""
        return self.shares[1:]

    @property
    def mean_width(self) -> float:
        """Mean width per token, d p_h + sum_i d_i p_i."""
        return float(np.dot([self.in_features, *self.widths], self.shares))

    def to_dict(self, *, order: bool = False) -> dict[str, Any]:
        """Everything as plain numbers and lists; ``order`` (V numbers) only when asked."""
        out: dict[str, Any] = {"format": "adasoft plan", "version": 1}
        out |= {key: value for key, value in asdict(self).items() if key != "order"}
        out |= {
            "time": self.time,
            "full_time": self.full.seconds,
            "speedup": self.speedup,
            "mean_width": self.mean_width,
        }
        out["tail_sizes"] = self.tail_sizes
        if order:
            out["order"] = None if self.order is None else self.order.tolist()
        return out

    def to_json(self, *, order: bool = False) -> str:
        """:meth:`to_dict` as JSON."""
        return json.dumps(self.to_dict(order=order), indent=1)

    def __str__(self) -> str:
        title = (
            f"{self.vocabulary}: V = {self.n_classes:,}, d = {self.in_features}, B = {self.batch:,} ({self.objective})"
        )
        lines = [title, f"cost model: {self.cost}", ""]
        lines.append(f"{'':8}{'words':>12}{'tokens':>9}{'width':>7}{'parameters':>14}{'time':>11}")
        seconds = self.breakdown.by_cluster()
        sizes = [self.shortlist_size, *self.tail_sizes]
        for i, (size, share, width) in enumerate(
            zip(sizes, self.shares, [self.in_features, *self.widths], strict=True)
        ):
            name = "head" if i == 0 else f"tail {i}"
            parameters = sum(p.parameters for p in self.breakdown.parts if p.cluster == name)
            lines.append(
                f"{name:8}{size:>12,}{share:>9.2%}{width:>7}{parameters:>14,}{_ms(seconds.get(name, 0.0)):>11}"
            )
        if self.cutoffs:
            lines.append(f"{'rows':8}{'':>42}{_ms(seconds.get('all', 0.0)):>11}")
        lines.append(
            f"{'layer':8}{self.n_classes:>12,}{1:>9.2%}{self.mean_width:>7.0f}"
            f"{self.breakdown.parameters:>14,}{_ms(self.time):>11}"
        )
        lines.append(
            f"{'full':8}{self.n_classes:>12,}{1:>9.2%}{self.in_features:>7}"
            f"{self.full.parameters:>14,}{_ms(self.full.seconds):>11}"
        )
        peak, full_peak = self.breakdown.peak_bytes / 2**20, self.full.peak_bytes / 2**20
        lines += ["", f"cutoffs {list(self.cutoffs)}, widths {list(self.widths)}"]
        if self.cutoffs:
            lines.append(
                f"predicted {self.speedup:.1f} times faster than the full softmax; peak memory {peak:,.0f} MiB "
                f"(full, in chunks: {full_peak:,.0f} MiB)"
            )
        else:
            lines.append("no tails: at this size a plain full softmax is predicted to be the fastest")
        if self.gap:
            above = self.gap / (1 - self.gap) if self.gap < 1 else math.inf
            lines.append(f"at most {above:.2%} above the optimum (proved bound)")
        return "\n".join(lines)


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:,.3f} ms" if seconds < 0.1 else f"{seconds * 1e3:,.0f} ms"


def default_widths(in_features: int, n_tails: int, ratio: float = 4.0) -> list[int]:
    """Width of tail i, counted from 1: d / ratio^i, rounded down, at least 8, and never above d."""
    few = 700 / math.log(max(ratio, 1.001))  # powers that fp64 can hold; any further tail has the least width
    return [min(in_features, max(int(in_features / ratio ** min(i + 1, few)), 8)) for i in range(n_tails)]


def plan(
    counts: Any,
    in_features: int,
    batch: int,
    *,
    cost: Cost | None = None,
    n_tails: int | None = None,
    widths: Sequence[int] | set[int] | frozenset[int] | str | None = None,
    width_ratio: float | None = None,
    min_head_share: float = 0.75,
    min_mean_width: float | None = None,
    min_shares: Sequence[float] = (),
    align: int = 1,
    objective: Objective = "train",
    opened: float | Sequence[float] = 1.0,
) -> Plan:
    """The fastest cutoffs (and widths) for these words on this machine.

    Args:
        counts: a `Vocabulary`, or what one is made of: counts in any order (array or mapping).
        in_features: hidden size d.
        batch: tokens per step B.
        cost: a cost model. None: the cached record of this machine, else the shipped record of a machine of the same
            device type (`load_cost`); ``plan.cost`` says which. Nothing is ever calibrated here.
        n_tails: number of tails J; None: the best of 0 to 5; 0: a plain full softmax.
        widths: None: by ``width_ratio``. A sequence: the widths in order. A set, or ``"choose"`` for d, d/2, d/4, ...
            8: each tail takes one of these; needs ``min_mean_width``.
        width_ratio: tail i has the width d / width_ratio^i, at least 8 (without ``widths``). None: 4, as in the paper.
            In trainings with d = 256 a ratio of 2 took next to no more time and gave better perplexities (README).
        min_head_share: least share of tokens in the head. Time alone wants a smaller head, perplexity a larger one
            (README: "What was measured"), so most plans cut just where this floor is met: it is yours to choose.
        min_mean_width: least mean width per token, ``d p_h + sum_i d_i p_i``: a number up to d, not a share of it.
        min_shares: least shares of tokens in head and tail 1 together, in head, tail 1 and tail 2, and so on: the floor
            on the head's share for the next widths. At most J - 1 of them, rising.
        align: cutoffs are multiples of it.
        objective: ``"train"`` (forward and backward) or ``"decode"`` (the k best words).
        opened: for ``"decode"``: the share of the rows that open a tail, 1 (all) unless you measured less
            (`AdaptiveSoftmax.opened`); one number, or one per tail (then pass ``n_tails`` or ``widths``).

    When decoding, how many tokens a tail holds does not matter, so only floors keep words out of the narrowest tail:
    without ``min_shares`` or ``min_mean_width``, a decode plan may make tails of a single word on the way there.

    The result is optimal under the cost model, to rounding, whatever the counts (``plan.gap`` is 0). The exceptions
    are a floor on the mean width with more than 512 possible cutoffs, and cost models of your own without the
    quadrangle inequality, where very many cutoffs are nearly as good: there ``gap`` bounds what may be left.

    Numbers may be Python's, NumPy's, or arrays without dimensions; sequences may be one-dimensional arrays.

    Raises:
        ValueError: bad arguments, or a request that cannot be met (`Infeasible`); it says what would be feasible.
        TypeError: ``cost`` is no cost model.
        LookupError: no cost model given and no machine record at hand.
    """
    vocabulary, in_features, batch, model = _inputs(counts, in_features, batch, cost, objective)
    align = integer("align", align, 1)
    min_head_share = number("min_head_share", min_head_share, 0, 1, "between 0 and 1")
    if min_mean_width is not None:
        rule = f"above 0 and at most in_features={in_features}"
        min_mean_width = number("min_mean_width", min_mean_width, math.ulp(0.0), in_features, rule)
    n_tails, menus = _widths(widths, n_tails, in_features, min_mean_width, width_ratio)
    opened_of = _opened(opened, n_tails, objective)
    floors = _floors(vocabulary, min_shares, n_tails, min_head_share, min_mean_width)
    feasible = _most_tails(vocabulary, min_head_share, align)
    if n_tails is None:
        numbers: Sequence[int] = range(min(5, feasible) + 1)
    elif n_tails > feasible:
        n, first = vocabulary.n_classes, _first_rank(vocabulary, min_head_share, align)
        needed = f"{first:,}" if first <= n else f"more than {n:,}"  # with an align beyond V
        room = max(0, (n - 1) // align - n_tails + 1) * align
        raise Infeasible(
            f"n_tails={short(n_tails)} cannot be had with min_head_share={min_head_share:g}, align={short(align)} and "
            f"{n:,} words: the head needs {needed} words, which leaves room for {feasible} tails. Feasible: "
            f"n_tails at most {feasible}, or min_head_share at most {vocabulary.share_of_first(room):.6g}"
        )
    else:
        numbers = [n_tails]
    best: Plan | None = None
    problem_found: Infeasible | None = None
    least = math.inf  # no partition of any number of tails can take less time
    for j in numbers:
        try:
            found = _plan(
                vocabulary, in_features, batch, model, j, menus(j), min_head_share, min_mean_width, align, objective,
                opened_of(j), floors,
            )  # fmt: skip
        except Infeasible as error:
            if len(numbers) == 1:
                raise
            problem_found = error
            continue
        least = min(least, found.time * (1 - found.gap))
        if best is None or found.time < best.time:
            best = found
    if best is None:  # pragma: no cover - a full softmax meets every floor
        raise problem_found or ValueError("nothing to plan")
    return replace(best, gap=max(0.0, 1 - least / best.time) if least < best.time else 0.0)


def _inputs(
    counts: Any, in_features: Any, batch: Any, cost: Cost | None, objective: str
) -> tuple[Vocabulary, int, int, Cost]:
    """What every question about a layer begins with: words, hidden size, batch and cost model."""
    vocabulary = counts if isinstance(counts, Vocabulary) else Vocabulary(counts)
    in_features, batch = integer("in_features", in_features, 1, _MOST), integer("batch", batch, 1, _MOST)
    if objective not in ("train", "decode"):
        raise ValueError(f"objective should be 'train' or 'decode', got {short(objective)}")
    model = load_cost() if cost is None else cost
    if not isinstance(model, Cost):
        raise TypeError(
            f"cost should be a cost model (PaperCost, MeasuredCost, or a subclass of Cost), got {short(cost)}"
        )
    return vocabulary, in_features, batch, model


def _floors(
    vocabulary: Vocabulary, min_shares: Any, n_tails: int | None, min_head_share: float, min_mean_width: float | None
) -> tuple[int, ...]:
    """The least rank of the second cutoff, the third ..."""
    listed = items(min_shares)
    if listed is None:
        raise ValueError(f"min_shares should be a sequence of shares, got {short(min_shares)}")
    given = [number(f"min_shares[{i}]", share, 0, 1, "between 0 and 1") for i, share in enumerate(listed)]
    if not given:
        return ()
    if min_mean_width is not None:
        raise ValueError("min_shares and min_mean_width cannot be combined: both are floors on capacity, give one")
    if n_tails is None or len(given) > n_tails - 1:
        raise ValueError(
            f"min_shares={given} needs n_tails or widths, with at most J - 1 shares; got n_tails={n_tails}"
        )
    if not all(a <= b for a, b in zip([min_head_share, *given], given, strict=False)):
        raise ValueError(f"min_shares should rise from min_head_share={min_head_share:g} to at most 1, got {given}")
    return tuple(int(vocabulary.words_for_share(share)) for share in given)


def _opened(opened: Any, n_tails: int | None, objective: str) -> Callable[[int], list[float]]:
    """The share of rows that open each of J tails."""
    listed, rule = items(opened), f"a share above 0 and at most 1, or one per tail, got {short(opened)}"
    try:
        given = [number("it", v, math.ulp(0.0), 1, "a share") for v in ([opened] if listed is None else listed)]
    except ValueError:
        raise ValueError(f"opened should be {rule}") from None
    if objective == "train" and any(v != 1 for v in given):
        raise ValueError(f"opened={short(opened)} is for objective='decode'; in training a tail sees its own tokens")
    if listed is not None and len(given) != n_tails:
        raise ValueError(f"opened should be one number or one for each of n_tails={n_tails}, got {short(opened)}")
    return lambda j: given * j if listed is None else list(given)


def _widths(
    widths: Any, n_tails: int | None, d: int, min_mean_width: float | None, width_ratio: float | None = None
) -> tuple[int | None, Callable[[int], list[list[int]]]]:
    """The number of tails, and what widths each of J tails may take."""
    if n_tails is not None:
        n_tails = integer("n_tails", n_tails, 0)
    if width_ratio is not None:
        if widths is not None:
            raise ValueError(
                f"widths={short(widths)} and width_ratio={short(width_ratio)} both say the widths: pass one of them"
            )
        width_ratio = number("width_ratio", width_ratio, 1, sys.float_info.max, "at least 1 and finite")
    if widths is None:
        ratio = 4.0 if width_ratio is None else width_ratio
        return n_tails, lambda j: [[w] for w in default_widths(d, j, ratio)]
    chosen = isinstance(widths, str) and widths == "choose"
    if chosen or isinstance(widths, (set, frozenset)):
        if min_mean_width is None:
            raise ValueError("choosing widths needs min_mean_width, else the smallest width always wins")
        if chosen:
            menu = [d]
            while menu[-1] >= 16:
                menu.append(menu[-1] // 2)
        else:
            menu = sorted((integer("each of widths", w, 1) for w in widths), reverse=True)
        if not menu or menu[0] > d:
            raise ValueError(f"widths should lie between 1 and in_features={d}, got {short(widths)}")
        return n_tails, lambda j: [menu] * j
    listed = items(widths)
    if listed is None:
        raise ValueError(f"widths should be None, a sequence, a set or 'choose', got {short(widths)}")
    given = [integer(f"widths[{i}]", w, 1) for i, w in enumerate(listed)]
    if any(w > d for w in given):
        raise ValueError(f"widths should be at most in_features={d}, got {short(given)}")
    if n_tails not in (None, len(given)):
        raise ValueError(f"widths should hold n_tails={short(n_tails)} widths, got {len(given)}: {short(given)}")
    return len(given), lambda j: [[w] for w in given]


def _first_rank(vocabulary: Vocabulary, min_head_share: float, align: int) -> int:
    first = max(1, vocabulary.words_for_share(min_head_share))
    return -(-first // align) * align


def _most_tails(vocabulary: Vocabulary, min_head_share: float, align: int) -> int:
    first = _first_rank(vocabulary, min_head_share, align)
    return max(0, (vocabulary.n_classes - 1) // align - first // align + 1)


class Infeasible(ValueError):
    """No partition with so many tails meets the floors."""


def _plan(
    vocabulary: Vocabulary,
    d: int,
    batch: int,
    cost: Cost,
    n_tails: int,
    menus: list[list[int]],
    min_head_share: float,
    min_mean_width: float | None,
    align: int,
    objective: Objective,
    opened: list[float],
    floors: tuple[int, ...],
) -> Plan:
    mass, n = vocabulary.cumulative, vocabulary.n_classes
    cutoffs: list[int] = []
    widths = [menu[0] for menu in menus]
    gap = 0.0
    if n_tails:
        first = _first_rank(vocabulary, min_head_share, align)

        def head(shortlist: Array) -> Array:
            return np.asarray(cost.head_time(shortlist, n_tails, batch, d, objective), dtype=np.float64)

        def tail_of(width: int, share_opened: float) -> TailCost:
            return lambda size, share: np.asarray(cost.tail_time(size, share, batch, d, width, objective, share_opened))

        tails = [tail_of(w, share_opened) for w, share_opened in zip(widths, opened, strict=True)]
        problem = _Problem(mass, head, tails, first, align, cost.quadrangle_share(batch), floors)
        for i in range(n_tails):
            if problem.limits(i)[0] > problem.limits(i)[1]:
                # from cutoff i on all may have to move up: the tails from here on have too few words
                raise Infeasible(
                    f"min_shares leaves too few words for tails {i + 1} to {n_tails}: lower the floors or n_tails"
                    if i + 1 < n_tails
                    else f"min_shares leaves no words for tail {n_tails}, the last: lower the floors or n_tails"
                )
        feasible = _most_tails(vocabulary, min_head_share, align)
        if min_mean_width is not None and not cost.monotone and feasible > _CANDIDATES:
            raise ValueError(
                f"the cost model is not marked monotone: under min_mean_width at most {_CANDIDATES} cutoffs can be "
                f"tried, here there are {feasible}. Set cost.monotone if it is, or pass "
                f"align={align * feasible // _CANDIDATES + 1}"
            )
        if min_mean_width is None:
            if cost.monotone:
                cutoffs, seconds, bound = _search(problem)
                gap = max(0.0, 1 - bound / seconds) if bound < seconds else 0.0
            else:
                cutoffs, _ = _search_any(problem)
        else:
            if len(set(opened)) > 1:
                raise ValueError(f"min_mean_width takes one share opened for all tails, got opened={opened}")
            cutoffs, widths, gap = _choose_widths(
                problem, lambda width: tail_of(width, opened[0]), menus, d, min_mean_width
            )
    edges = mass[[0, *cutoffs, n]]
    shares = tuple(float(s) for s in np.diff(edges))
    breakdown = cost.layer(n, cutoffs, widths, shares[1:], d, batch, objective, opened)
    order = vocabulary.order
    return Plan(
        d, n, batch, tuple(cutoffs), tuple(widths), shares, breakdown, cost.layer(n, [], [], [], d, batch, objective),
        cost.name, objective, float(min_head_share), gap, vocabulary.name,
        None if np.array_equal(order, np.arange(n)) else order,
    )  # fmt: skip


# ---------------------------------------------------------------------- what the lessons look at


class FrontPoint(NamedTuple):
    """One trade of time against capacity."""

    time: float
    """Predicted seconds."""
    mean_width: float
    """Mean width per token, d p_h + sum_i d_i p_i."""
    head_share: float
    cutoffs: tuple[int, ...]
    widths: tuple[int, ...]
    exact: bool
    """True: no partition with this number of tails is at least as wide and faster."""


def front(
    counts: Any,
    in_features: int,
    batch: int,
    *,
    cost: Cost | None = None,
    n_tails: int = 2,
    widths: Sequence[int] | None = None,
    align: int = 1,
    objective: Objective = "train",
    points: int = 12,
) -> list[FrontPoint]:
    """Time against mean width per token, fastest first; the last point is the full softmax.

    Each point between minimises time + price x lost width for some price, over all partitions into ``n_tails`` tails of
    the given widths. Such a point is on the front exactly: anything wider is slower. Points of the front
    that lie above the line between two neighbours are not found this way. ``exact`` is False only for the full
    softmax, and only if a tail has the width d: a layer of the same mean width might then be faster.

    Arguments and errors as in :func:`plan`. Without floors: the front shows their price.
    """
    vocabulary, d, batch, model = _inputs(counts, in_features, batch, cost, objective)
    n_tails, points, align = integer("n_tails", n_tails, 1), integer("points", points, 2), integer("align", align, 1)
    mass, n = vocabulary.cumulative, vocabulary.n_classes
    if _most_tails(vocabulary, 0.0, align) < n_tails:
        raise ValueError(f"n_tails={short(n_tails)} needs at least {short(n_tails * align + 1)} words, got {n}")
    _, menus = _widths(widths, n_tails, d, None)
    chosen = [menu[0] for menu in menus(n_tails)]
    overhead = float(model.rows_time(batch, d, objective))

    def solve(price: float) -> FrontPoint:
        def tail(w: int) -> TailCost:
            return lambda k, p: np.asarray(model.tail_time(k, p, batch, d, w, objective)) + price * (d - w) * p

        def head(k: Array) -> Array:
            return np.asarray(model.head_time(k, n_tails, batch, d, objective), dtype=np.float64)

        problem = _Problem(mass, head, [tail(w) for w in chosen], 1, align, model.quadrangle_share(batch))
        cutoffs, total, *bound = (_search if model.monotone else _search_any)(problem)
        exact = not bound or bound[0] >= total * (1 - _ROUNDING)
        shares = np.diff(mass[[0, *cutoffs, n]])
        lost = float(np.dot(np.subtract(d, chosen), shares[1:]))
        return FrontPoint(
            total - price * lost + overhead, d - lost, float(shares[0]), tuple(cutoffs), tuple(chosen), exact
        )

    full = FrontPoint(model.full_time(n, batch, d, objective), float(d), 1.0, (), (), max(chosen) < d)
    found = [solve(0.0), full]
    gaps = [(found[0], found[1])]
    while gaps and len(found) < points:
        a, b = max(gaps, key=lambda pair: pair[1].mean_width - pair[0].mean_width)
        gaps.remove((a, b))
        if b.mean_width - a.mean_width < 1e-9 * d or b.time <= a.time:
            continue
        c = solve((b.time - a.time) / (b.mean_width - a.mean_width))
        line = a.time + (b.time - a.time) * (c.mean_width - a.mean_width) / (b.mean_width - a.mean_width)
        if c.time < line * (1 - 1e-9) and a.mean_width < c.mean_width < b.mean_width:
            found.append(c)
            gaps += [(a, c), (c, b)]
    # a layer with tails that is slower than the full softmax is no trade: the full softmax is wider
    return [
        point for point in sorted(found, key=lambda point: point.mean_width) if point is full or point.time < full.time
    ]


class TwoClusters(NamedTuple):
    """Times of two clusters for every size of the first, as in the paper's first experiment."""

    sizes: Array
    """k_h = 1 ... V - 1."""
    root: Array
    """Seconds with the frequent words in the root (a short-list): g(k_h + 1, B) + tail."""
    leaf: Array
    """Seconds with both clusters in leaves: g(2, B) + both."""
    full: float
    """Seconds of the full softmax."""


def two_clusters(
    counts: Any,
    in_features: int,
    batch: int,
    *,
    cost: Cost | None = None,
    width: int | None = None,
    objective: Objective = "train",
) -> TwoClusters:
    """Predicted time of two clusters against the size of the first, head in the root or in a leaf (paper, section 4).

    ``width``: of the second cluster, d by default as in the paper's figure. Arrays of V - 1 values.
    """
    vocabulary, d, batch, model = _inputs(counts, in_features, batch, cost, objective)
    n = vocabulary.n_classes
    if n < 2:
        raise ValueError(f"two clusters need at least 2 words, got {n}")
    width = d if width is None else integer("width", width, 1, _MOST)
    sizes = np.arange(1.0, n)
    p = vocabulary.cumulative[1:n]
    tail = np.asarray(model.tail_time(n - sizes, 1 - p, batch, d, width, objective))
    root = np.asarray(model.head_time(sizes, 1, batch, d, objective)) + tail
    leaf = float(model.product_time(2, batch, d, objective)) + tail
    leaf = leaf + np.asarray(model.tail_time(sizes, p, batch, d, d, objective))
    return TwoClusters(sizes, root, leaf, model.full_time(n, batch, d, objective))


def best_clusters(
    counts: Any,
    in_features: int,
    batch: int,
    n_clusters: int,
    *,
    head: str = "root",
    cost: Cost | None = None,
    widths: Sequence[int] | None = None,
    align: int = 1,
    objective: Objective = "train",
) -> tuple[tuple[int, ...], float]:
    """The fastest cut of all words into ``n_clusters`` clusters, and its seconds, without any floor.

    ``head="root"``: the first cluster is the short-list, the others are tails (J = n_clusters - 1). ``head="leaf"``:
    the root holds only one entry per cluster and every cluster is a leaf, which the paper found to cost 5 to 10 % in
    perplexity. ``widths``: one per leaf; d everywhere by default, as in the paper's model.

    Returns the ``n_clusters - 1`` cutoffs and the time. Raises ValueError as :func:`plan`.
    """
    vocabulary, d, batch, model = _inputs(counts, in_features, batch, cost, objective)
    n_clusters, align = integer("n_clusters", n_clusters, 2), integer("align", align, 1)
    if head not in ("root", "leaf"):
        raise ValueError(f"head should be 'root' or 'leaf', got {short(head)}")
    mass, n = vocabulary.cumulative, vocabulary.n_classes
    if _most_tails(vocabulary, 0.0, align) < n_clusters - 1:
        least = short((n_clusters - 1) * align + 1)
        raise ValueError(f"{short(n_clusters)} clusters need at least {least} words, got {n}")
    n_leaves = n_clusters - (head == "root")
    listed = [d] * n_leaves if widths is None else items(widths)
    if listed is None or len(listed) != n_leaves:
        raise ValueError(f"widths should hold one width per leaf, {n_leaves}, got {short(widths)}")
    chosen = [integer(f"widths[{i}]", w, 1, _MOST) for i, w in enumerate(listed)]

    def leaf(w: int) -> TailCost:
        return lambda k, p: np.asarray(model.tail_time(k, p, batch, d, w, objective))

    def first(k: Array) -> Array:
        if head == "root":
            return np.asarray(model.head_time(k, n_clusters - 1, batch, d, objective), dtype=np.float64)
        return float(model.product_time(n_clusters, batch, d, objective)) + leaf(chosen[0])(k, mass[k])

    tails = [leaf(w) for w in (chosen if head == "root" else chosen[1:])]
    problem = _Problem(mass, first, tails, 1, align, model.quadrangle_share(batch))
    cutoffs, seconds, *_ = (_search if model.monotone else _search_any)(problem)
    return tuple(cutoffs), seconds
