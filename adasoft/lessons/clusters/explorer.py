"""The explorer of the lesson on clusters: what else it keeps, and what its figures are made of."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, NamedTuple

from ...cost import Cost
from ...planning import Infeasible, Plan
from ...tradeoffs import FrontPoint, front
from ..kit import forms
from ..kit.costs import COUNTED_WORDS, cost_at_hand, counts, recorded_costs
from ..kit.explorer import MAX_TAILS, Explorer

_SIDE = forms.fields(cutoffs=forms.each(forms.COUNT, fewest=1), predicted=forms.SECONDS, measured=forms.SPREAD)


class Tails(NamedTuple):
    """The best cutoffs with one number of tails."""

    plan: Plan
    starting: float
    """Seconds of the same products with next to nothing in them."""


def starting_time(cost: Cost, n_tails: int) -> float:
    """Seconds that a layer takes however little it computes: all of its products with one number each.

    >>> from adasoft import PaperCost
    >>> starting_time(PaperCost(c=0.5, lam=0.0), 2)  # the head's product and one for each tail
    1.5
    """
    head, tail = float(cost.product_time(1, 1, 1)), float(cost.projection_time(1, 1, 1))
    sorting = float(cost.rows_time(1, 1)) if n_tails else 0.0
    return (1 + n_tails) * head + n_tails * tail + sorting


class ClustersExplorer(Explorer):
    """An `Explorer` that also keeps the swaps found without effect, the places tried in the game, and the last duel."""

    _forms: ClassVar[Mapping[str, forms.Form]] = {
        **Explorer._forms,
        "swaps found": forms.each(forms.text),
        "game": forms.fields(of=forms.each(forms.text), trail=forms.each(forms.row(forms.COUNT, forms.COUNT))),
        "duel": forms.fields(batch=forms.COUNT, asked=forms.COUNT, whose=forms.text, you=_SIDE, planner=_SIDE),
    }

    @property
    def by_the_clock(self) -> Cost:
        """The cost model that it was made with, or where that one counts, the recorded CPU.

        What the reader chooses is for the panel in which it is chosen: the text speaks of these times. Raises
        LookupError if there are none.
        """
        if not counts(self._start["cost"]):
            return self._start["cost"]  # type: ignore[no-any-return]
        return next((cost for cost in recorded_costs() if not cost.on_gpu), None) or cost_at_hand("cpu")

    def best_cut(self) -> int:
        """The one cutoff with the fewest words scored per token."""
        key = ("best cut", self.vocabulary)
        search = partial(self.plan_for_me, 1, min_head_share=0.0, cost=COUNTED_WORDS)
        return int(self._cached(key, search).cutoffs[0])

    def _known_as(self, cost: Cost) -> Cost | str:
        """What a result is cached under: a record's name, for each reading of it makes another object."""
        return cost if cost in (self.cost, self._start["cost"]) else cost.name

    def _sizes_by(self, cost: Cost) -> tuple[Any, ...]:
        """All that a price by this cost model depends on, the cutoffs left out."""
        return *(part for part in self.sizes if part is not self.cost), self._known_as(cost)

    def tails(self, cost: Cost) -> list[Tails]:
        """The best cutoffs of 1 to 5 tails, as many as the floor of the head's share leaves room for."""

        def make() -> list[Tails]:
            found = []
            for n_tails in range(1, MAX_TAILS + 1):
                try:
                    found.append(Tails(self.plan_for_me(n_tails, cost=cost), starting_time(cost, n_tails)))
                except Infeasible:
                    break
            return found

        return self._cached(("tails", self._sizes_by(cost)), make)  # type: ignore[no-any-return]

    def floored(self, cost: Cost) -> Plan:
        """The best pair of cutoffs with the floor; fewer of them where there is no room for two."""
        rows = self.tails(cost)[:2]
        return rows[-1].plan if rows else self.plan_for_me(0, cost=cost)

    def front(self, cost: Cost, points: int = 12) -> list[FrontPoint]:
        """Time against the mean width of a token's vector, with two tails (one, where there are two words)."""

        def make() -> list[FrontPoint]:
            n_tails = min(2, len(self.vocabulary) - 1)
            search = partial(front, self.vocabulary, self.in_features, self.batch, cost=cost, points=points)
            return self.priced(partial(search, widths=self.widths_for(n_tails)), cost, 12 * self.patience)

        return self._cached(("front", self._sizes_by(cost)), make)  # type: ignore[no-any-return]

    def seconds_by(self, cost: Cost) -> float:
        """Seconds of a step with the present cutoffs under another cost model."""

        def make() -> float:
            n, shares = len(self.vocabulary), self.token_shares[1:]
            d, batch, objective = self.in_features, self.batch, self.objective
            return cost.layer(n, self.cutoffs, self.widths, shares, d, batch, objective).seconds  # type: ignore[arg-type]

        return self.priced(make, cost)

    @property
    def _game(self) -> list[str]:
        """What the times of the game depend on."""
        words, kind = self.vocabulary, self._known_as(self.cost)
        named = (words.name, len(words), words.total, self.in_features, self.batch)
        return [*map(str, named), kind if isinstance(kind, str) else kind.name]

    def keep_trail(self, trail: list[list[int]]) -> None:
        """Keep the places that the reader has tried in the game, for these words, sizes and timings."""
        self.remember("game", {"of": self._game, "trail": trail})

    def kept_trail(self) -> list[list[int]] | None:
        """The places tried before with these words, sizes and timings; None if there are none."""
        kept = self.recall("game")
        if kept is None or kept["of"] != self._game:
            return None
        n = len(self.vocabulary)
        return [place for place in kept["trail"] if place[0] < place[1] < n] or None

    def start_over(self) -> None:
        """The same as of any `Explorer`; the game is dark again."""
        self.unremember("game")
        super().start_over()

    def kept_duel(self) -> dict[str, Any] | None:
        """The last measured game, as `duel.Duel.kept` wrote it."""
        return self.recall("duel")  # type: ignore[no-any-return]
