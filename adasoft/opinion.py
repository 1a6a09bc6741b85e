"""A second opinion on cutoffs that are there already: what the head holds, what a step takes, what to change.

:func:`check` prices a layer as its owner runs it, with the ids as they are; the same layer with ids by falling count;
and the plan. NumPy only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .checks import integer, items, number
from .cost import Cost, LayerCost, Objective
from .files import short
from .planning import Plan, Request, plan
from .text import table, wrapped

#: Numbers per word in a tail below which its words can hardly be told apart; `adasoft.default_widths` stops there too.
NARROW = 8


class Priced(NamedTuple):
    """Cutoffs with what they hold and take."""

    cutoffs: tuple[int, ...]
    widths: tuple[int, ...]
    shares: tuple[float, ...]
    """Shares of the tokens: head, tail 1, ..., tail J."""
    cost: LayerCost
    """Predicted time, arithmetic, parameters and peak memory of a step."""


class Advice(NamedTuple):
    """One change."""

    seconds: float
    """Predicted gain per step, once the changes above it are made."""
    reason: str
    code: str


@dataclass(frozen=True)
class Opinion:
    """What :func:`check` found. ``print(opinion)`` tells it."""

    theirs: Priced
    """The layer with the ids as they are."""
    sorted: Priced
    """The same layer with ids by falling count."""
    plan: Plan
    """The fastest cutoffs for these counts."""
    narrow: tuple[int, ...]
    """Tails, counted from 1, of fewer than 8 numbers per word."""
    advice: tuple[Advice, ...]
    """What to change, the largest gain first; empty where there is nothing."""

    def __str__(self) -> str:
        best = self.plan
        planned = Priced(best.cutoffs, best.widths, best.shares, best.breakdown)
        rows = [
            {
                "": what,
                "head": f"{layer.shares[0]:.1%}",
                "ms": layer.cost.seconds * 1e3,
                "MiB": layer.cost.peak_bytes / 2**20,
                "widths": layer.widths,
                "cutoffs": layer.cutoffs,
            }
            for what, layer in (("yours", self.theirs), ("sorted", self.sorted), ("planned", planned))
        ]
        title = f"{best.vocabulary}: V = {best.n_classes:,}, d = {best.in_features}, B = {best.batch:,}"
        lines = [f"{title} ({best.objective})", f"cost model: {best.cost}", "", table(rows, list(rows[0])), ""]
        for place, (_, reason, code) in enumerate(self.advice, 1):
            lines += [wrapped(f"{place}. {reason}"), f"       {code}"]
        return "\n".join(lines if self.advice else [*lines, "Nothing to change: the plan is hardly faster."])


def check(
    counts: Any,
    cutoffs: Sequence[int],
    in_features: int,
    batch: int,
    *,
    widths: Sequence[int] | None = None,
    div_value: float = 4.0,
    unsorted: bool = False,
    cost: Cost | None = None,
    objective: Objective = "train",
    min_head_share: float = 0.75,
) -> Opinion:
    """What cutoffs that somebody runs hold and take, and what to change, in order of gain.

    Args:
        counts: a `Vocabulary`, or what one is made of: counts in the order of the ids.
        cutoffs: c_1 < ... < c_J, without V.
        in_features: hidden size d.
        batch: tokens per step B.
        widths: widths of the tails; None: d / div_value^i, rounded down, at least 1, as PyTorch's layer has them.
        div_value: see ``widths``.
        unsorted: the layer numbers its words as ``counts`` does. By default it numbers them by falling count.
        cost: a cost model; None: that of this machine, as in :func:`adasoft.plan`.
        objective: ``"train"`` (forward and backward) or ``"decode"``.
        min_head_share: of the plan beside it.

    Raises:
        ValueError: cutoffs that do not rise from 1 to below V; widths that are not one per tail; what
            :func:`adasoft.plan` refuses.
        TypeError: ``cost`` is not a cost model.
        LookupError: no cost model is given and there is no machine record to use.

    >>> from adasoft import PaperCost
    >>> counts = [1] * 5000 + [1000] * 100  # the frequent words come last
    >>> opinion = check(counts, [100, 1000], 64, 256, unsorted=True, cost=PaperCost(1e-5, 1e-9))
    >>> f"{opinion.theirs.shares[0]:.1%} of the tokens in the head, {opinion.sorted.shares[0]:.1%} if sorted"
    '0.1% of the tokens in the head, 95.2% if sorted'
    >>> opinion.advice[0].code
    'AdaptiveSoftmax(64, 5100, [100, 1000], widths=[16, 4], order=Vocabulary(counts).order)'
    """
    request = Request.of(counts, in_features, batch, cost=cost, objective=objective)
    words, d, n = request.vocabulary, request.in_features, request.vocabulary.n_classes
    cuts = _checked_cutoffs(cutoffs, n)
    if widths is None:
        ratio = number("div_value", div_value, 1, math.inf, "at least 1")
        wide = [max(int(d / ratio ** (i + 1)), 1) for i in range(len(cuts))]
    else:
        wide = [integer(f"widths[{i}]", width, 1, d) for i, width in enumerate(items(widths) or ())]
        if len(wide) != len(cuts):
            raise ValueError(f"widths should be one for each of {len(cuts)} tails, got {short(widths)}")
    by_id = np.empty(n)
    by_id[words.order] = words.counts / words.counts.sum(dtype=np.float64)

    def priced(share_of: Any, wide: Sequence[int] = tuple(wide)) -> Priced:
        shares = np.diff(np.concatenate([[0.0], np.cumsum(share_of)])[[0, *cuts, n]])
        layer = request.cost.layer(n, cuts, wide, shares[1:].tolist(), d, request.batch, objective)
        return Priced(cuts, tuple(wide), tuple(shares.tolist()), layer)

    in_order = priced(by_id[words.order])
    theirs = priced(by_id) if unsorted else in_order
    best = plan(words, d, request.batch, cost=request.cost, objective=objective, min_head_share=min_head_share)
    narrow = tuple(i for i, width in enumerate(wide, 1) if width < min(NARROW, d))
    wider = priced(by_id[words.order], [max(width, min(NARROW, d)) for width in wide]) if narrow else None
    return Opinion(theirs, in_order, best, narrow, _advice(theirs, in_order, best, wider))


def _advice(theirs: Priced, in_order: Priced, best: Plan, wider: Priced | None) -> tuple[Advice, ...]:
    d, n, cuts = best.in_features, best.n_classes, list(theirs.cutoffs)
    found = []
    gain = theirs.cost.seconds - in_order.cost.seconds
    if in_order.shares[0] > theirs.shares[0]:
        reason = (
            f"Sort the ids by falling count, or let the layer do it: the head then holds {in_order.shares[0]:.1%} of "
            f"the tokens instead of {theirs.shares[0]:.1%}, and a step of the output layer takes "
            f"{_share(in_order.cost.seconds, theirs.cost.seconds)} of the time."
        )
        found.append(
            Advice(
                gain,
                reason,
                f"AdaptiveSoftmax({d}, {n}, {cuts}, widths={list(theirs.widths)}, order=Vocabulary(counts).order)",
            )
        )
    gain = in_order.cost.seconds - best.time
    if gain > 0.01 * in_order.cost.seconds:
        reason = (
            f"Take the planned cutoffs: {_share(best.time, in_order.cost.seconds)} of the time of yours with sorted "
            f"ids, with {best.head_share:.1%} of the tokens in the head. A smaller head may cost some perplexity: "
            "train both for a while."
        )
        found.append(Advice(gain, reason, f"AdaptiveSoftmax.from_plan(plan(counts, {d}, {best.batch}))"))
    found.sort(key=lambda each: -each.seconds)
    if wider:
        changed = zip(theirs.widths, wider.widths, strict=True)
        few = ", ".join(f"tail {i}: {old}" for i, (old, new) in enumerate(changed, 1) if old < new)
        reason = (
            f"If you keep your cutoffs, widen the narrow tails ({few}): so few numbers per word hardly tell words "
            f"apart. A step takes {_share(wider.cost.seconds, in_order.cost.seconds)} of the time."
        )
        gain = in_order.cost.seconds - wider.cost.seconds
        found.append(Advice(gain, reason, f"AdaptiveSoftmax({d}, {n}, {cuts}, widths={list(wider.widths)})"))
    return tuple(found)


def _share(seconds: float, of: float) -> str:
    return f"{seconds / of:.2f}" if of else "all"


def _checked_cutoffs(cutoffs: Any, n: int) -> tuple[int, ...]:
    listed = items(cutoffs)
    if not listed:
        raise ValueError(f"cutoffs should be a sequence of at least one integer, got {short(cutoffs)}")
    cuts = tuple(integer(f"cutoffs[{i}]", cut, 1) for i, cut in enumerate(listed))
    if any(a >= b for a, b in zip(cuts, [*cuts[1:], n], strict=True)):
        raise ValueError(f"cutoffs should rise and stay below the {n:,} words, got {short(list(cuts))}")
    return cuts
