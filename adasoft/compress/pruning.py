"""Gradual pruning by magnitude, and how much of each matrix: as much as one bound on the perplexity allows.

The share s of zeros rises from s_i to s_f between the steps t_0 and t_1, fast at first, while there is much to spare
(Zhu and Gupta 2017; MicroNet's winner prunes by it):

    s_t = s_f + (s_i - s_f) (1 - (t - t_0) / (t_1 - t_0))^3

The smallest weights go, and never come back: a pruned weight is set to 0 again after each step of the optimizer.

Matrices do not bear pruning alike. Each is pruned alone, to a few sparsities, and the perplexity measured. A bound on
that perplexity then gives every matrix a sparsity of its own; the bound itself is found by bisection, so that all
together have the sparsity that is asked for.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, pairwise

import torch
from torch import Tensor, nn

from ..checks import ABOVE_0, BELOW_1, FINITE, integer, number

#: Sparsity -> perplexity of a matrix pruned alone, in rising order of sparsity, from 0 on.
Curve = dict[float, float]
#: Halvings of the interval of the bound: to the last bits of fp64.
_HALVINGS = 60


def _sparsity(name: str, value: float) -> float:
    return number(name, value, 0, BELOW_1, "at least 0 and below 1")


def cubic_sparsity(step: int, start: int, end: int, final: float, initial: float = 0.0) -> float:
    """The sparsity of a step: ``initial`` up to step ``start``, ``final`` from step ``end`` on, the cubic between.

    >>> [round(cubic_sparsity(t, 10, 20, 0.8), 3) for t in (0, 10, 12, 15, 20, 99)]
    [0.0, 0.0, 0.39, 0.7, 0.8, 0.8]

    Raises ValueError for sparsities outside [0, 1) or falling, and steps that are negative or do not rise.
    """
    step, start = integer("step", step, 0), integer("start", start, 0)
    end = integer("end", end, start + 1)
    initial, final = _sparsity("initial", initial), _sparsity("final", final)
    if final < initial:
        raise ValueError(f"final should be at least initial={initial:g}, got {final:g}")
    if not start < step < end:
        return initial if step <= start else final
    return final + (initial - final) * (1 - (step - start) / (end - start)) ** 3


@torch.no_grad()
def magnitude_mask(weight: Tensor, sparsity: float, kept: Tensor | None = None) -> Tensor:
    """Which weights stay: all but the ``round(sparsity * n)`` smallest of n, a tensor of bools of the weight's shape.

    Of equal ones the first go. ``kept``: an earlier mask; what it has pruned goes first, so that masks are nested.

    >>> magnitude_mask(torch.tensor([3.0, -0.5, 2.0, 0.1]), 0.5)
    tensor([ True, False,  True, False])

    Raises ValueError for a sparsity outside [0, 1), weights that are not finite, a mask of another shape.
    """
    sparsity = _sparsity("sparsity", sparsity)
    if not bool(torch.isfinite(weight).all()):
        raise ValueError("weight should hold finite numbers, got nan or inf")
    size = weight.detach().abs()
    if kept is not None:
        if kept.shape != weight.shape or kept.dtype != torch.bool:
            raise ValueError(
                f"kept should be bools of the shape {tuple(weight.shape)}, got {kept.dtype} of {tuple(kept.shape)}"
            )
        size = size.masked_fill(~kept, -1.0)
    mask = torch.ones(weight.numel(), dtype=torch.bool, device=weight.device)
    mask[size.flatten().argsort(stable=True)[: round(sparsity * weight.numel())]] = False
    return mask.view(weight.shape)


class GradualPruning:
    """Prunes the weights of a training step by step. Call :meth:`step` after each step of the optimizer.

    >>> weight = nn.Parameter(torch.arange(1.0, 11.0))
    >>> pruning = GradualPruning({"weight": weight}, {"weight": 0.5}, start=0, end=4)
    >>> for t in range(5):
    ...     pruning.step(t)
    >>> weight.tolist(), pruning.sparsity()
    ([0.0, 0.0, 0.0, 0.0, 0.0, 6.0, 7.0, 8.0, 9.0, 10.0], 0.5)

    Args:
        weights: the parameters by name.
        final: the sparsity that each has at the end, by the same names.
        start, end: the first step of the schedule and the one at which it is over, see :func:`cubic_sparsity`.
        every: steps from one choice of weights to the next; the last is made at ``end``.

    Raises ValueError for names that differ, sparsities outside [0, 1) and steps that do not rise.
    """

    def __init__(
        self, weights: Mapping[str, nn.Parameter], final: Mapping[str, float], start: int, end: int, every: int = 1
    ) -> None:
        if weights.keys() != final.keys() or not weights:
            raise ValueError(f"final should name the weights {sorted(weights)}, one at least, got {sorted(final)}")
        self.weights = dict(weights)
        self.final = {name: _sparsity(f"final[{name!r}]", final[name]) for name in weights}
        self.start, self.every = integer("start", start, 0), integer("every", every, 1)
        self.end = integer("end", end, self.start + 1)
        self.masks = {name: torch.ones_like(w, dtype=torch.bool) for name, w in self.weights.items()}

    def step(self, t: int) -> None:
        """Choose again where the schedule says so, and set to 0 what is pruned. ``t``: the step, from 0."""
        if self.start <= t <= self.end and ((t - self.start) % self.every == 0 or t == self.end):
            for name, weight in self.weights.items():
                sparsity = cubic_sparsity(t, self.start, self.end, self.final[name])
                self.masks[name] = magnitude_mask(weight, sparsity, self.masks[name])
        self.apply()

    @torch.no_grad()
    def apply(self) -> None:
        """Set to 0 what is pruned."""
        for name, weight in self.weights.items():
            weight.masked_fill_(~self.masks[name], 0.0)

    def sparsity(self) -> float:
        """Share of all weights that is pruned now."""
        pruned = sum(int((~mask).sum()) for mask in self.masks.values())
        return pruned / sum(mask.numel() for mask in self.masks.values())


# ---------------------------------------------------------------------- how much of each matrix


@torch.no_grad()
def sensitivities(
    weights: Mapping[str, nn.Parameter], perplexity: Callable[[], float], grid: Sequence[float]
) -> dict[str, Curve]:
    """The perplexity with each matrix pruned alone, by name: one curve from sparsity 0 on. The weights are given back.

    ``perplexity()``: that of the model as it stands. ``grid``: rising sparsities between 0 and 1, without both.

    Raises ValueError for a grid that does not rise, or a perplexity that is not a number of at least 1.
    """
    shares = [number(f"grid[{i}]", share, ABOVE_0, BELOW_1, "between 0 and 1") for i, share in enumerate(grid)]
    if not shares or any(a >= b for a, b in pairwise(shares)):
        raise ValueError(f"grid should rise and hold one sparsity at least, got {list(grid)}")
    whole = _measured(perplexity)
    curves: dict[str, Curve] = {}
    for name, weight in weights.items():
        before = weight.detach().clone()
        curves[name] = {0.0: whole}
        try:
            for share in shares:
                weight.copy_(before * magnitude_mask(before, share))
                curves[name][share] = _measured(perplexity)
        finally:
            weight.copy_(before)
    return curves


def sparsities_within(curves: Mapping[str, Curve], bound: float) -> dict[str, float]:
    """The largest sparsity of each matrix up to which its curve, linear between its points, stays within ``bound``.

    >>> sparsities_within({"a": {0.0: 100.0, 0.5: 110.0}, "b": {0.0: 100.0, 0.5: 200.0}}, 105)
    {'a': 0.25, 'b': 0.025}

    0 for a matrix whose curve begins above it; the end of the curve where all of it lies within.
    """
    bound = number("bound", bound, 0, math.inf, "at least 0")
    return {name: _reach(curve, bound) for name, curve in curves.items()}


def common_threshold(
    curves: Mapping[str, Curve], sizes: Mapping[str, int], target: float
) -> tuple[float, dict[str, float]]:
    """The perplexity that all matrices may reach, and their sparsities, such that together they have ``target``.

    ``sizes``: numbers of weights by name. The total rises with the bound, so that bisection finds it. Where a curve is
    flat or falls, the total jumps at that bound; every sparsity then goes the same share of the way, so that the total
    is the target all the same.

    >>> curves = {"a": {0.0: 100.0, 0.5: 110.0}, "b": {0.0: 100.0, 0.5: 200.0}}
    >>> bound, shares = common_threshold(curves, {"a": 10, "b": 10}, 0.1375)
    >>> round(bound, 6), {name: round(share, 6) for name, share in shares.items()}
    (105.0, {'a': 0.25, 'b': 0.025})

    Raises ValueError if names differ, the target is outside [0, 1) or beyond what the curves reach.
    """
    if curves.keys() != sizes.keys() or not curves:
        raise ValueError(f"sizes should name the matrices {sorted(curves)}, one at least, got {sorted(sizes)}")
    target = _sparsity("target", target)
    counts = {name: integer(f"sizes[{name!r}]", size, 1) for name, size in sizes.items()}
    total = sum(counts.values())

    def together(shares: Mapping[str, float]) -> float:
        return sum(share * counts[name] for name, share in shares.items()) / total

    low = min(curve[0.0] for curve in curves.values())
    high = max(max(curve.values()) for curve in curves.values())
    below, above = dict.fromkeys(curves, 0.0), sparsities_within(curves, high)
    if together(above) < target:
        raise ValueError(f"target should be at most {together(above):.4g}, what the curves reach, got {target:g}")
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        shares = sparsities_within(curves, middle)
        if together(shares) >= target:
            high, above = middle, shares
        else:
            low, below = middle, shares
    rise = together(above) - together(below)
    part = (target - together(below)) / rise if rise else 0.0
    return high, {name: share + part * (above[name] - share) for name, share in below.items()}


def _measured(perplexity: Callable[[], float]) -> float:
    return number("perplexity()", perplexity(), 1, FINITE, "a finite number of at least 1")


def _reach(curve: Curve, bound: float) -> float:
    shares = list(curve)
    # what a matrix costs never falls with its sparsity here: a dip below the start would make the bound ambiguous
    worst = list(accumulate(curve.values(), max))
    if worst[0] > bound:
        return 0.0
    if worst[-1] <= bound:
        return shares[-1]
    at = bisect_left(worst, True, key=lambda value: value > bound)
    below, above = worst[at - 1], worst[at]
    return shares[at - 1] + (shares[at] - shares[at - 1]) * (bound - below) / (above - below)
