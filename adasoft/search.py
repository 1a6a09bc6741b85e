"""The exact search: cutoffs of least cost for words by falling frequency. For readers of the algorithm; NumPy only.

A layer costs head(c_1) + sum_i cost_i(c_i, c_{i+1}), where cost_i(a, b) is the time of tail i if it holds the words of
ranks a to b - 1. :func:`best_cutoffs` finds the cutoffs that minimise it and assumes nothing about the word counts.
(The paper says "dynamic programming" and gives no recurrence; this is ours.) From here on both tails and cutoffs count
from 0. A cutoff must be a multiple of ``align``; its *place* is that multiple, rank / align.

**The search** is branch and bound over *cells*, ranges of places that a cutoff may take. It needs monotone costs: a
tail over fewer words or tokens never costs more. The cheapest tail from cell A to cell B then spans from the last place
of A to the first of B. Forward and backward dynamic programming over these bounds gives, for each cell of each cutoff,
a lower bound on every partition that goes through it. The other steps:

- The bounds of neighbouring tails let a cutoff be at both ends of its cell at once. :func:`_inside` adds a lower bound
  on what one position costs more.
- The cells with the best bound give a partition; moving one cutoff at a time (:func:`_polish`) makes it a good one.
- Cells whose bound is not below the best partition known are dropped and the others are split, until none is left:
  then the best known is the optimum. If too many cells are left, the search stops and returns its lower bound as well.
- When few places are left, :func:`_rank_by_rank` solves the rest by dynamic programming over single places. This and
  the bounds of :func:`_inside` use the *quadrangle inequality* (QI) below.

Without monotone costs, :func:`all_pairs` looks at every pair of ranks.

**Why the fast search is still exact.** The plain dynamic programming of :func:`adasoft.reference.best_cutoffs` is exact
for any cost; QI buys speed. A tail costs a function of its size k = b - a and of its share p = S(b) - S(a), where S is
the cumulative share. Call cost(a, b) *monotone* if a larger interval never costs less. It satisfies QI (it "is Monge")
if for a <= a' <= b <= b'

    cost(a, b) + cost(a', b') <= cost(a, b') + cost(a', b).

1. k and p are additive over intervals: for them both sides are equal. So are those of any constant.
2. p k satisfies QI. Write D for (right side) - (left side), the lengths and shares of the outer pieces [a, a') and
   [b, b') as l1, s1, l2, s2, and those of the middle as l, s. Then D = (s1+s+s2)(l1+l+l2) + s l - (s1+s)(l1+l)
   - (s+s2)(l+l2) = s1 l2 + s2 l1 >= 0.
3. Let cost be monotone with QI and f convex and non-decreasing (a larger argument never gives less). Then f(cost) is
   monotone with QI. Put x = cost(a', b), y = cost(a, b), y' = cost(a', b'), z = cost(a, b'). Then x <= y, y' <= z since
   cost is monotone, and y + y' <= z + x by QI. With u = y + y' - x <= z we have
   f(y) + f(y') <= f(x) + f(u) <= f(x) + f(z): the first step is convexity (y and y' lie between x and u, and
   x + u = y + y'), the second holds since f is non-decreasing. In particular max(const, cost) keeps QI, the flat part
   of a product included, and so does max(0, k d - const).
4. p g(k) with g convex, non-negative and non-decreasing satisfies QI: in the notation of item 2,
   D = s [g(l1+l+l2) - g(l1+l) - g(l+l2) + g(l)] + s1 [g(l1+l+l2) - g(l1+l)] + s2 [g(l1+l+l2) - g(l+l2)] >= 0. The first
   bracket is not negative by convexity, the others since g is non-decreasing.
5. Sums and non-negative multiples keep both properties.

Hence both printed forms of the paper's model and every measured model (non-negative coefficients on the terms 1, n k d,
n k, k d, n d, with n = p B; in decoding n does not depend on the tail, whose tests add k d) are monotone with QI. Under
QI the best next cutoff never moves left as a cutoff moves right: :func:`_row_minima`, which relies on that, is exact.
The *expected* form of the paper's model is monotone, but its constant is concave in p and breaks QI for tails that few
tokens fall into. The pair bounds rely on monotone costs alone, and QI is used only where it holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .cost import Cost, Objective

Array = npt.NDArray[Any]
#: (size, share) -> seconds of a tail, for arrays.
TailCost = Callable[[Array, Array], Array]
#: First and last place (rank in multiples of ``align``) of each cell.
Cells = tuple[Array, Array]

#: An optimum is proved up to this relative difference, a few roundings of a sum in fp64.
ROUNDING = 1e-12


def ceil_div(n: int, divisor: int) -> int:
    """``n / divisor``, rounded up."""
    return -(-n // divisor)


class Effort(NamedTuple):
    """How the search divides its work. The optimum does not depend on it, only the time and memory to find it."""

    cells: int = 192
    """Target number of cells per cutoff and round: the bounds of a round are matrices of about this size squared."""
    rank_by_rank: int = 60_000
    """Number of places left, over all cutoffs, below which costs with the quadrangle inequality are solved place by
    place."""
    most_cells: int = 2048
    """Limit on the cells of a cutoff. It is reached where many partitions cost nearly the same, so that nothing can be
    dropped."""


_USUAL = Effort()


class Problem(NamedTuple):
    """head(c_1) + sum of tails, over cutoffs that are multiples of ``align``, c_1 >= ``first``."""

    cumulative: Array
    """(V + 1,) ``cumulative[n]``: share of the first n words, S(n). The functions below call it ``S``."""
    head: Callable[[Array], Array]
    """Short-list sizes -> seconds."""
    tails: list[TailCost]
    first: int = 1
    """Least rank of the first cutoff."""
    align: int = 1
    quadrangle_share: float = math.inf
    """Smallest share at and above which a tail's cost satisfies the quadrangle inequality; inf if it never does."""
    floors: tuple[int, ...] = ()
    """Least rank of the second cutoff, the third, ..."""
    least: int = 1
    """Least number of words in a tail."""
    monotone: bool = True
    """Whether a tail over fewer words or tokens never costs more."""

    @classmethod
    def of(
        cls,
        cumulative: Array,
        cost: Cost,
        in_features: int,
        batch: int,
        widths: Sequence[int],
        objective: Objective = "train",
        opened: Sequence[float] | None = None,
        **bounds: Any,
    ) -> Problem:
        """The problem of a layer with tails of these ``widths``; ``bounds`` of the cutoffs: ``first``, ``align`` ..."""

        def head(shortlist: Array) -> Array:
            seconds = cost.head_time(shortlist, len(widths), batch, in_features, objective)
            return np.asarray(seconds, dtype=np.float64)

        def tail_of(width: int, part: float | None) -> TailCost:
            return lambda k, p: np.asarray(cost.tail_time(k, p, batch, in_features, width, objective, part))

        parts: Sequence[float | None] = [1.0] * len(widths) if opened is None else opened
        if objective == "decode" and not cost.searched(len(cumulative) - 1, batch):
            parts = [None] * len(widths)
        tails = [tail_of(width, part) for width, part in zip(widths, parts, strict=True)]
        share = cost.quadrangle_share(batch)
        return cls(cumulative, head, tails, quadrangle_share=share, monotone=cost.monotone, **bounds)

    @property
    def n_classes(self) -> int:
        """Number of words V."""
        return len(self.cumulative) - 1

    def total(self, cutoffs: Sequence[int] | Array) -> float:
        """Seconds of one partition; ``cutoffs`` as ranks."""
        edges = np.asarray([*cutoffs, self.n_classes])
        shares = np.diff(self.cumulative[edges])
        out = float(self.head(edges[:1])[0])
        for tail, size, share in zip(self.tails, np.diff(edges), shares, strict=True):
            out += float(tail(np.asarray([size]), np.asarray([share]))[0])
        return out

    @property
    def gap(self) -> int:
        """Least number of places from one cutoff to the next."""
        return ceil_div(self.least, self.align)

    def limits(self, i: int) -> tuple[int, int]:
        """First and last place (multiple of ``align``) that cutoff i can take."""
        lowest = max(1, ceil_div(self.first, self.align))
        for floor in self.floors[:i]:
            lowest = max(lowest + self.gap, ceil_div(floor, self.align))
        highest = (self.n_classes - self.least) // self.align
        return lowest + self.gap * max(0, i - len(self.floors)), highest - self.gap * (len(self.tails) - 1 - i)


def best_cutoffs(problem: Problem, effort: Effort = _USUAL) -> tuple[list[int], float, float]:
    """The cutoffs of least cost, that cost in seconds, and a bound below the cost of every partition.

    The bound is the cost itself unless too many cells are left. Each cutoff needs at least one place to choose from.

    Raises ValueError if the costs are not monotone and there are too many ranks to look at every pair of them.
    """
    if not problem.monotone:
        return all_pairs(problem)
    n, align, n_tails, S = problem.n_classes, problem.align, len(problem.tails), problem.cumulative

    # Start: cells that grow with the rank, and a partition to beat.
    cells = [_geometric_cells(*problem.limits(i), effort) for i in range(n_tails)]
    best = _polish(problem, [int(problem.limits(i)[0]) for i in range(n_tails)])
    upper = problem.total(np.asarray(best) * align)
    while True:
        # Lower bounds for each cell: from there to the end (backward, with what a place inside the cell costs extra),
        # and from the beginning up to it (forward, without). Their sum bounds whole partitions.
        bounds = [_pair_bounds(problem, i, cells[i], cells[i + 1]) for i in range(n_tails - 1)]
        inside = _inside(problem, cells)
        starts = cells[-1][1] * align
        backward = [inside[-1] + problem.tails[-1](n - starts, S[n] - S[starts])]
        for bound, extra in zip(reversed(bounds), reversed(inside[:-1]), strict=True):
            backward.insert(0, extra + (bound + backward[0]).min(1))
        forward = [problem.head(cells[0][0] * align)]
        for bound, extra in zip(bounds, inside, strict=False):
            forward.append(((forward[-1] + extra)[:, None] + bound).min(0))

        # The most promising cells, polished, may be a better partition than the best known.
        path = _path(problem, cells, bounds, forward[0], backward)
        if path is not None:
            polished = _polish(problem, path)
            value = problem.total(np.asarray(polished) * align)
            if value < upper:
                best, upper = polished, value

        # Drop the cells that no better partition goes through. None left: the best known is the optimum.
        keep = [f + b < upper * (1 - ROUNDING) for f, b in zip(forward, backward, strict=True)]
        if not all(k.any() for k in keep):
            return [c * align for c in best], upper, upper
        kept = [(lo[k], hi[k]) for (lo, hi), k in zip(cells, keep, strict=True)]

        # Few places left, or too many cells: solve the rest place by place where that is exact. The ranges run over
        # dropped gaps as well: that is simpler, and more places cannot make the result worse.
        ranges = [np.arange(lo[0], hi[-1] + 1) for lo, hi in kept]
        crowded = max(len(lo) for lo, _ in kept) > effort.most_cells // 2  # the next split at least doubles them
        if (crowded or sum(map(len, ranges)) < effort.rank_by_rank) and _all_quadrangle(problem, kept):
            solved, value = _rank_by_rank(problem, ranges)
            # The best partition known may lie in dropped cells: those hold nothing better, but maybe its equal.
            if value < upper:
                best, upper = solved, value
            return [c * align for c in best], upper, upper
        if crowded:  # Not proved optimal: return the lower bound as well.
            return [c * align for c in best], upper, float((forward[0] + backward[0]).min())

        # Split what is left, and bound again.
        cells = [_split(lo, hi, effort) for lo, hi in kept]


def _all_quadrangle(problem: Problem, cells: list[Cells]) -> bool:
    """Whether every tail between these cells has a share large enough for the quadrangle inequality."""
    starts = [int(hi[-1]) * problem.align for _, hi in cells]
    ends = [int(lo[0]) * problem.align for lo, _ in cells[1:]] + [problem.n_classes]
    # If quadrangle_share is 0, QI always holds. Otherwise cells that may touch give no positive minimum share.
    return problem.quadrangle_share <= 0 or all(
        a < b and problem.cumulative[b] - problem.cumulative[a] >= problem.quadrangle_share
        for a, b in zip(starts, ends, strict=True)
    )


def _rank_by_rank(problem: Problem, ranges: list[Array]) -> tuple[list[int], float]:
    """Exact dynamic programming over all places of each cutoff's range, for costs with the quadrangle inequality."""
    align, S, n = problem.align, problem.cumulative, problem.n_classes
    gap = problem.gap * align
    starts = ranges[-1] * align
    # Backward: the least cost from each place of each cutoff to the end, and where the next cutoff then lies.
    rest = problem.tails[-1](n - starts, S[n] - S[starts])
    choices: list[Array] = []
    for i in reversed(range(len(ranges) - 1)):
        tail, rows, columns = problem.tails[i], ranges[i] * align, ranges[i + 1] * align

        # default arguments: bound now, since the loop's variables change
        def cost(
            row: Array, column: Array, tail: Any = tail, rows: Any = rows, columns: Any = columns, rest: Any = rest
        ) -> Array:
            a, b = rows[row], columns[column]
            seconds = tail(np.maximum(b - a, 1), np.maximum(S[b] - S[a], 0.0)) + rest[column]
            return np.where(b - a >= gap, seconds, np.inf)

        rest, chosen = _row_minima(cost, len(rows), len(columns))
        choices.insert(0, chosen)
    # Forward: the best first cutoff, and from there along those choices.
    at = int((problem.head(ranges[0] * align) + rest).argmin())
    out = [int(ranges[0][at])]
    for chosen, ranks in zip(choices, ranges[1:], strict=True):
        at = int(chosen[at])
        out.append(int(ranks[at]))
    return out, problem.total(np.asarray(out) * align)


def _row_minima(cost: Callable[[Array, Array], Array], n_rows: int, n_columns: int) -> tuple[Array, Array]:
    """Least entry of each row, and its column, of a matrix whose minima never move left from row to row.

    By the quadrangle inequality that holds here. Tails with too few words cost inf; they fill the lower left of the
    matrix, so the property survives. Every second row is solved between the minima of its neighbours, from coarse to
    fine, all rows of a level in one call: O((rows + columns) log rows) entries are looked at.
    """
    value, column = np.empty(n_rows), np.empty(n_rows, dtype=np.int64)
    stride = 1 << (n_rows - 1).bit_length()
    while stride:
        # The rows of this level, each between the minima of the rows above and below that are solved.
        rows = np.arange(stride - 1, n_rows, 2 * stride)
        if len(rows):
            before, after = rows - stride, rows + stride
            lo = np.where(before >= 0, column[np.maximum(before, 0)], 0)
            hi = np.where(after < n_rows, column[np.minimum(after, n_rows - 1)], n_columns - 1)
            # All their entries as one long array, row after row.
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


def _geometric_cells(lowest: int, highest: int, effort: Effort) -> Cells:
    """Cells over the places from ``lowest`` to ``highest`` whose lengths grow with the rank."""
    edges = np.unique(np.geomspace(lowest, highest + 1, effort.cells + 1).round().astype(np.int64))
    return edges[:-1], edges[1:] - 1


def _split(lo: Array, hi: Array, effort: Effort) -> Cells:
    """Each cell in parts of nearly equal length, at least two where it has two places."""
    parts = max(2, effort.cells // len(lo))
    edges = lo[:, None] + (hi - lo + 1)[:, None] * np.arange(parts + 1) // parts
    a, b = edges[:, :-1].ravel(), edges[:, 1:].ravel() - 1
    return a[a <= b], b[a <= b]


def _pair_bounds(problem: Problem, i: int, left: Cells, right: Cells) -> Array:
    """Least cost of tail i from any place of each left cell to any place of each right cell; inf where there is none.

    Cells may overlap. Then the size is clamped to the least one and the share to 0: no tail has less, so this is still
    a lower bound.
    """
    align, S, gap = problem.align, problem.cumulative, problem.gap
    a, b = left[1], right[0]
    size = np.maximum(b[None, :] - a[:, None], gap) * float(align)
    share = np.maximum(S[b * align][None, :] - S[a * align][:, None], 0.0)
    cost = problem.tails[i](size, share)
    return np.where(right[1][None, :] - left[0][:, None] >= gap, cost, np.inf)


def _inside(problem: Problem, cells: list[Cells]) -> list[Array]:
    """A lower bound on what one position for the cutoff costs beyond the pair bounds, for each cell of each cutoff.

    The bounds of :func:`_pair_bounds` place a cutoff at both ends of its cell at once: at the last place for the tail
    that it starts, at the first for the tail that it ends. A real cutoff that is near one end is far from the other.
    Put it at x, in a cell from lo to hi. The tail before it costs more by cost(a, x) - cost(a, lo), which by the
    quadrangle inequality is smallest for the latest start a; the head costs more by head(x) - head(lo). The tail behind
    it costs more by cost(x, b) - cost(hi, b), which is smallest for the earliest end b. The least sum of the two over
    the cell is bounded at 64 intervals of places.
    """
    align, S, n = problem.align, problem.cumulative, problem.n_classes
    out = []
    for i, (lo, hi) in enumerate(cells):
        # Ranks to look at, evenly spaced, from the first of the cell to its last.
        steps = np.arange(65)
        x = (lo[:, None] + (hi - lo)[:, None] * steps // 64) * align
        # What the cluster before the cutoff costs more as the cutoff moves up from the first rank.
        if i == 0:
            left = problem.head(x.ravel()).reshape(x.shape)
            left = left - left[:, :1]
        else:
            start = int(cells[i - 1][1].max()) * align
            # QI may be used only if the smallest interval has enough share
            valid = ((start <= x[:, 0]) & (S[x[:, 0]] - S[start] >= problem.quadrangle_share))[:, None]
            size, share = np.where(valid, x - start, 0), np.where(valid, S[x] - S[start], 0.0)
            left = problem.tails[i - 1](size.astype(np.float64), share)
            left = np.where(valid, left - left[:, :1], 0.0)
        # What the tail behind it costs more as the cutoff moves down from the last rank.
        end = n if i == len(cells) - 1 else int(cells[i + 1][0].min()) * align
        valid = ((x[:, -1] <= end) & (S[end] - S[x[:, -1]] >= problem.quadrangle_share))[:, None]
        size, share = np.where(valid, end - x, 0), np.where(valid, S[end] - S[x], 0.0)
        right = problem.tails[i](size.astype(np.float64), share)
        right = np.where(valid, right - right[:, -1:], 0.0)
        # Between two neighbouring ranks the left increase is at least that of the first, the right that of the second.
        out.append(np.maximum((left[:, :-1] + right[:, 1:]).min(1), 0.0))
    return out


def _path(
    problem: Problem, cells: list[Any], bounds: list[Array], head: Array, backward: list[Array]
) -> list[int] | None:
    """A partition to polish: the cells of least bound, from the first cutoff on, each cutoff at its first place.

    None if a cell has no place far enough beyond the cutoff before it.
    """
    at = int((head + backward[0]).argmin())
    out = [int(cells[0][0][at])]
    for i, bound in enumerate(bounds):
        at = int((bound[at] + backward[i + 1]).argmin())
        place = max(int(cells[i + 1][0][at]), out[-1] + problem.gap)
        if place > cells[i + 1][1][at]:
            return None
        out.append(place)
    return out


def _polish(problem: Problem, cutoffs: list[int]) -> list[int]:
    """Move one cutoff at a time to its best place, in at most four sweeps: a good partition, not yet a proof."""
    align, S, n = problem.align, problem.cumulative, problem.n_classes
    cutoffs = list(cutoffs)
    last = len(cutoffs) - 1
    for _ in range(4):
        moved = False
        for i, now in enumerate(cutoffs):
            # Places to try: all if they are few, else those nearby and some spaced from either end.
            lowest, highest = problem.limits(i)
            lowest = lowest if i == 0 else max(lowest, cutoffs[i - 1] + problem.gap)
            highest = highest if i == last else min(highest, cutoffs[i + 1] - problem.gap)
            if highest - lowest < 512:
                tried = np.arange(lowest, highest + 1)
            else:
                around = np.arange(max(lowest, now - 64), min(highest, now + 64) + 1)
                wide = np.geomspace(lowest, highest, 128).round().astype(np.int64)
                tried = np.concatenate([around, wide, lowest + highest - wide])
            # Only the two clusters that meet at this cutoff change.
            ranks = tried * align
            end = n if i == last else cutoffs[i + 1] * align
            value = problem.tails[i](end - ranks, S[end] - S[ranks])
            if i == 0:
                value = value + problem.head(ranks)
            else:
                start = cutoffs[i - 1] * align
                value = value + problem.tails[i - 1](ranks - start, S[ranks] - S[start])
            new = int(tried[value.argmin()])
            moved |= new != now
            cutoffs[i] = new
        if not moved:
            break
    return cutoffs


def all_pairs(problem: Problem) -> tuple[list[int], float, float]:
    """:func:`best_cutoffs` by dynamic programming over all pairs of ranks, without any assumption on the costs."""
    align, S, n = problem.align, problem.cumulative, problem.n_classes
    lo, hi = problem.limits(0)[0], problem.limits(len(problem.tails) - 1)[1]
    ranks = np.arange(lo, hi + 1) * align
    if len(ranks) > 5000:
        raise ValueError(
            "cost should be marked monotone, or align leave at most 5,000 ranks (every pair is looked at), got "
            f"{len(ranks):,} ranks: set cost.monotone if the costs are, or pass align={align * len(ranks) // 5000 + 1}"
        )
    size, share = ranks[None, :] - ranks[:, None], S[ranks][None, :] - S[ranks][:, None]
    legal = size >= problem.gap * align
    least = [problem.limits(i)[0] * align for i in range(len(problem.tails))]
    rest = np.where(ranks >= least[-1], problem.tails[-1](n - ranks, S[n] - S[ranks]), np.inf)
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
    return out, best, best
