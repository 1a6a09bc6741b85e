"""Time against capacity (:func:`front`), and the paper's first experiment (:func:`two_clusters`). NumPy only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .checks import integer
from .cost import Cost, Objective
from .files import short
from .planning import LARGEST_SIDE, Request
from .search import ROUNDING, Array, TailCost, best_cutoffs


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
    n_tails: int | None = None,
    widths: Sequence[int] | None = None,
    width_ratio: float | None = None,
    align: int = 1,
    objective: Objective = "train",
    points: int = 12,
) -> list[FrontPoint]:
    """Time against mean width per token, fastest first; the last point is the full softmax.

    Each point between minimises time + price x lost width for some price, over all partitions into ``n_tails`` tails of
    the given widths. Such a point is on the front exactly: anything wider is slower. Points of the front
    that lie above the line between two neighbours are not found this way. ``exact`` is False only for the full
    softmax, and only if a tail has the width d: a layer of the same mean width might then be faster.

    Arguments and errors as in :func:`adasoft.plan`; ``n_tails=None``: as many as there are ``widths``, else 2. There
    are no floors: the front shows what they cost.

    >>> from adasoft import PaperCost, Vocabulary
    >>> points = front(Vocabulary.synthetic(50_000), 512, 2560, cost=PaperCost(1e-4, 1e-9), points=4)
    >>> [(round(point.mean_width), point.cutoffs) for point in points]
    [(387, (1606, 16205)), (435, (6004, 24580)), (468, (14438, 36772)), (512, ())]
    """
    if n_tails is None and widths is None:
        n_tails = 2
    if n_tails is not None:
        n_tails = integer("n_tails", n_tails, 1)
    points = integer("points", points, 2)
    request = Request.of(
        counts,
        in_features,
        batch,
        cost=cost,
        n_tails=n_tails,
        widths=widths,
        width_ratio=width_ratio,
        align=align,
        objective=objective,
    )
    d, batch, model, n_tails = request.in_features, request.batch, request.cost, request.n_tails or 0
    mass, n = request.vocabulary.cumulative, request.vocabulary.n_classes
    if not 0 < n_tails <= request.most_tails:
        rule = f"from 1 to {request.most_tails} with {n:,} words and align={short(request.align)}"
        raise ValueError(f"n_tails should be {rule}, got {short(n_tails)}")
    chosen = request.widths_of(n_tails)
    plain = request.problem(n_tails)
    overhead = float(model.rows_time(batch, d, objective))

    def priced(tail: TailCost, price: float) -> TailCost:
        return lambda size, share: tail(size, share) + price * share

    def solve(price: float) -> FrontPoint:
        """The layer of least time + price x lost width."""
        tails = [priced(tail, price * (d - width)) for tail, width in zip(plain.tails, chosen, strict=True)]
        cutoffs, total, bound = best_cutoffs(plain._replace(tails=tails))
        shares = np.diff(mass[[0, *cutoffs, n]])
        lost = float(np.dot(np.subtract(d, chosen), shares[1:]))
        return FrontPoint(
            time=total - price * lost + overhead,
            mean_width=d - lost,
            head_share=float(shares[0]),
            cutoffs=tuple(cutoffs),
            widths=tuple(chosen),
            exact=bound >= total * (1 - ROUNDING),
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
    # a layer with tails that is slower than the full softmax is not a trade: the full softmax is wider
    kept = [point for point in found if point is full or point.time < full.time]
    return sorted(kept, key=lambda point: point.mean_width)


def front_table(points: Sequence[FrontPoint]) -> str:
    """The points of :func:`front` as a table of text: capacity, time and cutoffs, fastest first."""
    lines = [f"{'mean width':>10}{'head holds':>12}{'time':>14}{'speedup':>9}  cutoffs"]
    for point in points:
        cutoffs = ", ".join(f"{cutoff:,}" for cutoff in point.cutoffs) or "none: the full softmax"
        speedup = points[-1].time / point.time if point.time else math.nan
        lines.append(
            f"{point.mean_width:>10.0f}{point.head_share:>12.1%}{point.time * 1e3:>11,.3f} ms{speedup:>9.1f}  {cutoffs}"
        )
    return "\n".join(lines)


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

    ``width``: of the second cluster, d by default as in the paper's figure. The arrays have V - 1 values. Raises
    ValueError as :func:`adasoft.plan`.

    >>> from adasoft import PaperCost
    >>> two = two_clusters([50, 30, 10, 5, 5], 16, 40, cost=PaperCost(1e-3, 1e-6, k0=0, batch0=0))
    >>> int(two.sizes[two.root.argmin()])
    2
    """
    request = Request.of(counts, in_features, batch, cost=cost, objective=objective)
    d, batch, model, vocabulary = request.in_features, request.batch, request.cost, request.vocabulary
    n = vocabulary.n_classes
    if n < 2:
        raise ValueError(f"counts should have at least 2 words to make two clusters, got {n}")
    width = d if width is None else integer("width", width, 1, LARGEST_SIDE)
    sizes = np.arange(1.0, n)
    p = vocabulary.cumulative[1:n]
    tail = np.asarray(model.tail_time(n - sizes, 1 - p, batch, d, width, objective))
    root = np.asarray(model.head_time(sizes, 1, batch, d, objective)) + tail
    leaf = float(model.product_time(2, batch, d, objective)) + tail
    leaf = leaf + np.asarray(model.tail_time(sizes, p, batch, d, d, objective))
    return TwoClusters(sizes, root, leaf, model.full_time(n, batch, d, objective))
