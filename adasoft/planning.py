"""Plans: the cutoffs that make an adaptive softmax fastest for given words on a measured machine.

:func:`plan` checks a request, has :mod:`adasoft.search` find the best cutoffs for each number of tails, and returns the
fastest as a :class:`Plan`. NumPy only: neither torch nor a calibration is needed.

Time alone usually favours a smaller head than perplexity would. A floor on the share of tokens in the head
(``min_head_share``) keeps it large; :func:`adasoft.front` shows what that costs.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .checks import integer, items, number
from .cost import Cost, LayerCost, Objective
from .files import short
from .records import load_cost
from .search import Problem, best_cutoffs, ceil_div
from .vocabulary import Vocabulary

#: A sanity limit on hidden sizes and batches.
LARGEST_SIDE = 2**31 - 1


class Infeasible(ValueError):
    """No partition with that many tails meets the floors."""


@dataclass(frozen=True)
class Plan:
    """Cutoffs and widths for a vocabulary, a hidden size, a batch and a machine.

    Build the layer with ``AdaptiveSoftmax.from_plan(plan)``. ``print(plan)`` shows a table.

    >>> from adasoft import PaperCost, Vocabulary, plan
    >>> best = plan(Vocabulary.synthetic(50_000), 512, 2560, cost=PaperCost(1e-4, 1e-9), n_tails=2)
    >>> best.shortlist_size, best.tail_sizes, best.widths
    (2894, (15600, 31506), (128, 32))
    >>> f"{best.head_share:.2f} of the tokens in the head, {best.speedup:.1f} times faster"
    '0.75 of the tokens in the head, 6.0 times faster'
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
    """Predicted time, arithmetic and parameters of the layer by cluster and part, and its peak memory."""
    full: LayerCost
    """The same for the full softmax."""
    cost: str
    """Name of the cost model: the machine that it was measured on, or "paper"."""
    objective: str
    """What the plan is for: ``"train"`` (forward and backward) or ``"decode"`` (the k best words)."""
    min_head_share: float
    """The floor that was asked for: least share of tokens in the head. ``head_share`` is the share it got."""
    gap: float = 0.0
    """Proven bound: the optimum over the cutoffs that the request allows takes at least ``time * (1 - gap)``, so
    ``time`` is at most ``gap / (1 - gap)`` above it. 0 means optimal, up to rounding."""
    vocabulary: str = "counts"
    """Name of the vocabulary, for the title of the table."""
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
    """Width of tail i, counted from 1: d / ratio^i, rounded down, at least 8, and never above d.

    The layer's ``div_value`` has no such minimum: there a width of 0 raises ValueError.
    """
    max_power = 700 / math.log(max(ratio, 1.001))  # so that fp64 can hold ratio^i; the width is at its minimum by then
    return [min(in_features, max(int(in_features / ratio ** min(i + 1, max_power)), 8)) for i in range(n_tails)]


@dataclass(frozen=True)
class Request:
    """What a plan is asked for, every value checked. :func:`plan` explains the values."""

    vocabulary: Vocabulary
    in_features: int
    batch: int
    cost: Cost
    objective: Objective
    n_tails: int | None = None
    widths: tuple[int, ...] | None = None
    width_ratio: float = 4.0
    min_head_share: float = 0.0  # no floor unless asked for: `plan` asks for 0.75, `front` and `two_clusters` for none
    min_shares: tuple[float, ...] = ()
    align: int = 1
    opened: float | tuple[float, ...] = 1.0
    min_tail_size: int = 1

    @classmethod
    def of(
        cls,
        counts: Any,
        in_features: Any,
        batch: Any,
        *,
        cost: Cost | None = None,
        objective: Any = "train",
        n_tails: Any = None,
        widths: Any = None,
        width_ratio: Any = None,
        min_head_share: Any = 0.0,
        min_shares: Any = (),
        align: Any = 1,
        opened: Any = 1.0,
        min_tail_size: Any = None,
    ) -> Request:
        """The request in these values. Raises as :func:`plan`."""
        vocabulary = counts if isinstance(counts, Vocabulary) else Vocabulary(counts)
        d, batch = integer("in_features", in_features, 1, LARGEST_SIDE), integer("batch", batch, 1, LARGEST_SIDE)
        if objective not in ("train", "decode"):
            raise ValueError(f"objective should be 'train' or 'decode', got {short(objective)}")
        cost = load_cost() if cost is None else cost
        if not isinstance(cost, Cost):
            raise TypeError(
                f"cost should be a cost model (PaperCost, MeasuredCost, or your own Cost), got {short(cost)}"
            )
        align = integer("align", align, 1)
        min_head_share = number("min_head_share", min_head_share, 0, 1, "between 0 and 1")
        if n_tails is not None:
            n_tails = integer("n_tails", n_tails, 0)
        if width_ratio is not None:
            if widths is not None:
                raise ValueError(f"width_ratio should be None where widths are given, got {short(width_ratio)}")
            width_ratio = number("width_ratio", width_ratio, 1, sys.float_info.max, "at least 1 and finite")
        if widths is not None:
            widths = _checked_widths(widths, n_tails, d)
            n_tails = len(widths)
        opened = _checked_opened(opened, n_tails, objective)
        min_shares = _checked_shares(min_shares, n_tails, min_head_share)
        if min_tail_size is None:
            min_tail_size = ceil_div(vocabulary.n_classes, 100) if objective == "decode" else 1
        return cls(
            vocabulary,
            d,
            batch,
            cost,
            objective,
            n_tails,
            widths,
            4.0 if width_ratio is None else width_ratio,
            min_head_share,
            min_shares,
            align,
            opened,
            integer("min_tail_size", min_tail_size, 1),
        )

    @property
    def min_first_cutoff(self) -> int:
        """The least first cutoff that meets the floor on the head's share: a multiple of ``align``, rounded up."""
        return ceil_div(max(1, self.vocabulary.words_for_share(self.min_head_share)), self.align) * self.align

    @property
    def most_tails(self) -> int:
        """The largest number of tails for which there are cutoffs."""
        highest = (self.vocabulary.n_classes - self.min_tail_size) // self.align
        room = highest - self.min_first_cutoff // self.align
        return 0 if room < 0 else room // ceil_div(self.min_tail_size, self.align) + 1

    def widths_of(self, n_tails: int) -> list[int]:
        """The widths of that many tails."""
        return default_widths(self.in_features, n_tails, self.width_ratio) if self.widths is None else [*self.widths]

    def opened_of(self, n_tails: int) -> list[float]:
        """For each of that many tails, the fraction of the rows for which it is computed when decoding."""
        return [*self.opened] if isinstance(self.opened, tuple) else [self.opened] * n_tails

    def problem(self, n_tails: int) -> Problem:
        """What :mod:`adasoft.search` solves for that many tails. Raises Infeasible if floors leave too few words."""
        problem = Problem.of(
            self.vocabulary.cumulative,
            self.cost,
            self.in_features,
            self.batch,
            self.widths_of(n_tails),
            self.objective,
            self.opened_of(n_tails),
            first=self.min_first_cutoff,
            align=self.align,
            floors=tuple(self.vocabulary.words_for_share(share) for share in self.min_shares),
            least=self.min_tail_size,
        )
        for i in range(n_tails):
            lowest, highest = problem.limits(i)
            if lowest > highest:
                # Tail i + 1 (from 1) starts at this cutoff. The floors push it up so far that this tail and those
                # behind it cannot have a word each.
                raise Infeasible(
                    f"min_shares leaves too few words for tails {i + 1} to {n_tails}: lower the floors or n_tails"
                    if i + 1 < n_tails
                    else f"min_shares leaves no words for tail {n_tails}, the last: lower the floors or n_tails"
                )
        return problem


def plan(
    counts: Any,
    in_features: int,
    batch: int,
    *,
    cost: Cost | None = None,
    n_tails: int | None = None,
    widths: Sequence[int] | None = None,
    width_ratio: float | None = None,
    min_head_share: float = 0.75,
    min_shares: Sequence[float] = (),
    align: int = 1,
    objective: Objective = "train",
    opened: float | Sequence[float] = 1.0,
    min_tail_size: int | None = None,
    captured: bool = False,
) -> Plan:
    """The fastest cutoffs for these words on this machine.

    Args:
        counts: a `Vocabulary`, or what one is made of: counts in any order (array or mapping).
        in_features: hidden size d.
        batch: tokens per step B.
        cost: a cost model. None: the cached record of this machine, else the shipped record of a machine of the same
            device type (`load_cost`); ``plan.cost`` says which. Nothing is ever calibrated here.
        n_tails: number of tails J; None: the best of 0 to 5; 0: a plain full softmax.
        widths: widths of the tails, in order; None: by ``width_ratio``.
        width_ratio: tail i has the width d / width_ratio^i, at least 8 (without ``widths``; the layer's ``div_value``
            has no such minimum). None: 4, as in the paper. In trainings with d = 256, a ratio of 2 gave better
            perplexities for little more time.
        min_head_share: least share of tokens in the head. Time alone usually favours a smaller head, perplexity a
            larger one, so most plans cut exactly where this floor is met. Choose it yourself.
        min_shares: like ``min_head_share``, for the cumulative share up to tail 1, up to tail 2, and so on. At most
            J - 1 of them, rising.
        align: cutoffs are multiples of it.
        objective: ``"train"`` (forward and backward) or ``"decode"`` (the k best words).
        opened: for ``"decode"``: the fraction of the rows for which a tail is computed, 1 (all) unless you measured
            less (`AdaptiveSoftmax.opened`); one number, or one per tail (then pass ``n_tails`` or ``widths``).
        min_tail_size: least number of words in a tail. None: 1 for training, a hundredth of all words for decoding.
        captured: plan by timings of steps that a CUDA graph replays, without Python and launches
            (``python -m adasoft calibrate --device cuda --captured``).

    When decoding, how many tokens a tail holds does not matter, and under a measured cost model a word takes least time
    in the narrowest tail. With one ``opened`` for all tails, the optimum therefore usually puts as many words as it may
    into the last tail, and leaves the earlier ones with as few as they may have: hence ``min_tail_size``.
    ``min_shares`` keeps more tokens in them.

    The result is optimal under the cost model, up to rounding, whatever the counts: ``plan.gap`` is 0. It can be above
    0 only where the cost model breaks the quadrangle inequality (``PaperCost(form="expected")`` for tails with few
    tokens, or a model of your own) and very many cutoffs are almost equally good. Then ``gap`` bounds the possible
    improvement.

    Numbers may be Python's, NumPy's, or arrays without dimensions; sequences may be one-dimensional arrays.

    Raises:
        ValueError: bad arguments, or a request that cannot be met (`Infeasible`); it says what would be feasible.
        TypeError: ``cost`` is not a cost model.
        LookupError: no cost model is given and there is no machine record to use.

    Here the best head holds more than the floor:

    >>> from adasoft import PaperCost, Vocabulary
    >>> best = plan(Vocabulary.synthetic(50_000), 512, 2560, cost=PaperCost(1e-4, 1e-9), min_head_share=0.5)
    >>> best.cutoffs, round(best.head_share, 2)
    ((296, 2990, 9227, 19132, 32722), 0.55)
    """
    if cost is None and captured:
        cost = load_cost("cuda", captured=True)
    elif captured and not getattr(cost, "captured", False):
        raise ValueError(f"cost should be timings of captured steps where captured=True, got {short(cost)}")
    request = Request.of(
        counts,
        in_features,
        batch,
        cost=cost,
        objective=objective,
        n_tails=n_tails,
        widths=widths,
        width_ratio=width_ratio,
        min_head_share=min_head_share,
        min_shares=min_shares,
        align=align,
        opened=opened,
        min_tail_size=min_tail_size,
    )
    if request.n_tails is None:
        return fastest([_planned(request, j) for j in range(min(5, request.most_tails) + 1)])
    if request.n_tails > request.most_tails:
        raise _too_many_tails(request, request.n_tails)
    return _planned(request, request.n_tails)


def fastest(plans: Sequence[Plan]) -> Plan:
    """The fastest of some plans for the same words; its ``gap`` counts what the bounds of the others leave open."""
    best = min(plans, key=lambda each: each.time)
    # no partition with any of the numbers of tails tried takes less time
    least = min(each.time * (1 - each.gap) for each in plans)
    return replace(best, gap=max(0.0, 1 - least / best.time) if least < best.time else 0.0)


def _planned(request: Request, n_tails: int) -> Plan:
    """The best plan with that many tails."""
    vocabulary, cost, d, batch = request.vocabulary, request.cost, request.in_features, request.batch
    n, objective, order = vocabulary.n_classes, request.objective, vocabulary.order
    # without tails there is nothing to choose: any bound equal to the time says that the gap is 0
    cutoffs, seconds, bound = best_cutoffs(request.problem(n_tails)) if n_tails else ([], 1.0, 1.0)
    widths = request.widths_of(n_tails)
    shares = tuple(float(share) for share in np.diff(vocabulary.cumulative[[0, *cutoffs, n]]))
    return Plan(
        in_features=d,
        n_classes=n,
        batch=batch,
        cutoffs=tuple(cutoffs),
        widths=tuple(widths),
        shares=shares,
        breakdown=cost.layer(n, cutoffs, widths, shares[1:], d, batch, objective, request.opened_of(n_tails)),
        full=cost.layer(n, [], [], [], d, batch, objective),
        cost=cost.name,
        objective=objective,
        min_head_share=request.min_head_share,
        gap=max(0.0, 1 - bound / seconds) if bound < seconds else 0.0,
        vocabulary=vocabulary.name,
        order=None if np.array_equal(order, np.arange(n)) else order,
    )


def _too_many_tails(request: Request, n_tails: int) -> Infeasible:
    n, align, least = request.vocabulary.n_classes, request.align, request.min_tail_size
    first = request.min_first_cutoff
    needed = f"{first:,}" if first <= n else f"more than {n:,}"  # with an align beyond V
    room = max(0, (n - least) // align - ceil_div(least, align) * (n_tails - 1)) * align
    tails = "" if least == 1 else f", min_tail_size={least:,}"
    return Infeasible(
        f"n_tails should be at most {request.most_tails} with min_head_share={request.min_head_share:g}{tails}, "
        f"align={short(align)} and {n:,} words, of which the head needs {needed}, got {short(n_tails)}; "
        f"min_head_share={request.vocabulary.share_of_first(room):.6g} at most would leave room for so many"
    )


def _checked_widths(widths: Any, n_tails: int | None, d: int) -> tuple[int, ...]:
    listed = items(widths)
    if listed is None:
        raise ValueError(f"widths should be a sequence of integers or None, got {short(widths)}")
    given = tuple(integer(f"widths[{i}]", width, 1) for i, width in enumerate(listed))
    if any(width > d for width in given):
        raise ValueError(f"widths should be at most in_features={d}, got {short(list(given))}")
    if n_tails not in (None, len(given)):
        raise ValueError(f"widths should hold n_tails={short(n_tails)} widths, got {short(list(given))}")
    return given


def _checked_opened(opened: Any, n_tails: int | None, objective: str) -> float | tuple[float, ...]:
    listed, rule = items(opened), "a share above 0 and at most 1, or one per tail"
    try:
        given = tuple(number("opened", v, math.ulp(0.0), 1, rule) for v in ([opened] if listed is None else listed))
    except ValueError:
        raise ValueError(f"opened should be {rule}, got {short(opened)}") from None
    if objective == "train" and any(share != 1 for share in given):
        raise ValueError(f"opened should be 1 for objective='train' (it is for 'decode'), got {short(opened)}")
    if listed is not None and len(given) != n_tails:
        raise ValueError(f"opened should be one number or one for each of n_tails={n_tails}, got {short(opened)}")
    return given[0] if listed is None else given


def _checked_shares(min_shares: Any, n_tails: int | None, min_head_share: float) -> tuple[float, ...]:
    listed = items(min_shares)
    if listed is None:
        raise ValueError(f"min_shares should be a sequence of shares, got {short(min_shares)}")
    given = tuple(number(f"min_shares[{i}]", share, 0, 1, "between 0 and 1") for i, share in enumerate(listed))
    if given and (n_tails is None or len(given) > n_tails - 1):
        rule = "hold at most J - 1 shares, with n_tails or widths given"
        raise ValueError(f"min_shares should {rule}, got {short(list(given))} and n_tails={n_tails}")
    if not all(a <= b for a, b in zip([min_head_share, *given], given, strict=False)):
        raise ValueError(
            f"min_shares should rise from min_head_share={min_head_share:g} to at most 1, got {short(list(given))}"
        )
    return given
