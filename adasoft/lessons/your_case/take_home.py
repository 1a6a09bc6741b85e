"""What the reader takes home from a case: the layer that was decided on, as an object and as a line to paste."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...cost import Cost
from ...planning import Plan, plan
from ...vocabulary import Vocabulary
from .scenarios import Scenario

if TYPE_CHECKING:
    from ...layer import AdaptiveSoftmax

#: Of the plan where nothing is decided: the least share of the tokens in the head, and each tail beside the one before.
HEAD_SHARE, RATIO = 0.85, 2


@dataclass(frozen=True)
class TakeHome:
    """A layer to build; ``print`` shows what it is, and the line that builds it elsewhere."""

    said: str
    d: int
    n_words: int
    cutoffs: tuple[int, ...]
    widths: tuple[int, ...]

    def layer(self) -> AdaptiveSoftmax:
        """The layer, with ids in the order of frequency: 0 is the most frequent."""
        from ...layer import AdaptiveSoftmax  # here, because it loads torch, and every lesson loads this module

        return AdaptiveSoftmax(self.d, self.n_words, list(self.cutoffs), widths=list(self.widths))

    @property
    def code(self) -> str:
        """The line that builds it elsewhere."""
        return f"adasoft.AdaptiveSoftmax({self.d}, {self.n_words}, {list(self.cutoffs)}, widths={list(self.widths)})"

    def __str__(self) -> str:
        return f"{self.said}\n{self.code}"


def taken(title: str, case: Scenario, words: Vocabulary, cost: Cost, kept: Mapping[str, Any] | None) -> TakeHome:
    """The decision that is kept for a case; where there is none, a plan, which says so."""
    if kept is not None:
        said = f"{title}: your decision. {words.name}, {len(words):,} {case.unit}s."
        return TakeHome(said, case.d, len(words), tuple(kept["cutoffs"]), tuple(kept["widths"]))
    best = _planned(case, words, cost, None)
    if not best.cutoffs:  # a full softmax would be the fastest
        best = _planned(case, words, cost, 1)
    said = (
        f"{title}: nothing is decided yet, so this is a plan. {words.name}, {len(words):,} {case.unit}s; at least "
        f"{100 * HEAD_SHARE:.0f} % of the tokens in the head, each tail half as wide as the one before."
    )
    return TakeHome(said, case.d, len(words), best.cutoffs, best.widths)


def _planned(case: Scenario, words: Vocabulary, cost: Cost, n_tails: int | None) -> Plan:
    return plan(
        words,
        case.d,
        case.batch,
        cost=cost,
        objective=case.objective,
        n_tails=n_tails,
        min_head_share=HEAD_SHARE,
        width_ratio=RATIO,
    )
