"""What the lessons on time add to the one state: a device, a product, a line drawn by hand, measurements."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import traitlets as t

from ...cost import Cost, MeasuredCost
from ...planning import Plan, plan
from ...tradeoffs import TwoClusters, two_clusters
from ...vocabulary import Vocabulary
from ..kit import forms
from ..kit.costs import COUNTED_MULTIPLICATIONS
from ..kit.explorer import FLOOR
from ..kit.first_words import FirstWordsExplorer
from ..kit.kept import fitted
from ..kit.traits import Whole, kept
from ..kit.views import LOCK
from .flat_affine import FlatAffine, fit_flat_affine, sweep_sizes
from .line_cost import LineCost
from .timings import DTYPES, PRODUCTS, WAYS, Bench, Spread, judges, model_for, spreads

#: Up to which number of tails the best plans are compared.
MOST_TAILS = 10
#: The tokens per step that the guesses are for, whatever a panel shows later.
GUESS_BATCH = 64
#: Sweeps at other sizes that are kept beside the last one.
SWEEPS = 7
#: The models that price clusters, as the figures name them.
COUNTED, BY_SHARE, EACH, TIMED = (
    "counted multiplications",
    "a tail pays its share of c",
    "every cluster pays c",
    "timings",
)

_FORMS = {
    "product sweep": forms.measured(forms.decimal),
    "product sweeps": forms.each(forms.measured(forms.decimal)),
    "lines": forms.table(forms.row(*[forms.number(0)] * 3)),
    "timed properly": forms.measured(),
    "timed wrongly": forms.fields(
        sizes=forms.anything, presses=forms.each(forms.table(forms.SECONDS, keys=WAYS), fewest=1)
    ),
    "race bets": forms.table(forms.text),
}


class TimingExplorer(FirstWordsExplorer):
    """An `Explorer` that also holds what is measured: a device, a number type, products.

    Args:
        vocabulary: a `Vocabulary` or a language code.
        traits: any other trait, by name. ``n_words`` is V, the most frequent words that are kept (all by default);
            whatever words are set later are cut as well.

    Raises:
        TraitError: a value out of range; it says which range.
    """

    _before_words: ClassVar[tuple[str, ...]] = ()  # `n_words` says so itself
    _forms: ClassVar[Mapping[str, forms.Form]] = {**FirstWordsExplorer._forms, **_FORMS}

    n_words = kept(Whole(2**31 - 1, 3, None, "V"), before_words=True)
    device = kept(t.Unicode("cpu"))
    dtype = kept(t.Enum(DTYPES, DTYPES[0]))
    k = kept(Whole(1000, 1, 2**20, "k"))
    """Words of the single product."""
    most = kept(Whole(2000, 8, 2**20, "the largest k"))
    """Largest k of the sweep."""
    product = kept(t.Enum(tuple(PRODUCTS), next(iter(PRODUCTS))))
    """What is timed of a product."""

    def __init__(self, vocabulary: Vocabulary | str | None = None, **traits: Any) -> None:
        self.bench = Bench()
        """Where it is timed."""
        self._searched: dict[Any, dict[int, Plan]] = {}
        self._searches: list[tuple[Any, str, dict[int, float]]] = []
        self._timings: dict[Any, tuple[MeasuredCost | None, str]] = {}
        super().__init__(vocabulary, **traits)

    # ---- what may be set, and what is kept

    @property
    def line(self) -> tuple[float, ...]:
        """c, lambda and k0 as set by hand at the present sizes (seconds, seconds per word, words); empty until they
        are: a line drawn at another B says nothing here."""
        lines: Mapping[str, Sequence[float]] = self.recall("lines") or {}
        return tuple(float(value) for value in lines.get(self._line_key, ()))

    @line.setter
    def line(self, values: Sequence[float]) -> None:
        if len(values) != 3:
            raise ValueError(f"line should hold c, lambda and k0, got {len(values)} numbers")
        line = FlatAffine(*(float(value) for value in values))  # says what is wrong with it
        lines: Mapping[str, Sequence[float]] = self.recall("lines") or {}
        self.note("lines", {**lines, self._line_key: [line.c, line.lam, line.k0]})

    @property
    def _line_key(self) -> str:
        return json.dumps(self.product_sizes, sort_keys=True)

    def take_first_words(self, n: int) -> None:
        """Cut the words after the first ``n``. Raises ValueError for more than there are."""
        there = len(self._whole)
        if n > there:
            raise ValueError(f"V should be at most {there:,}, the words of {self._whole.name}, got {n:,}")
        self.n_words = n

    def take_sizes(self, sizes: Mapping[str, Any]) -> None:
        """Set several traits in one step: no view sees, and prices, a mixture of old and new sizes."""
        with LOCK:
            with self.muted():
                for name, value in sizes.items():
                    setattr(self, name, value)
                self.vocabulary = self._whole  # cut again
                self.cutoffs = fitted(self.cutoffs, len(self.vocabulary))
                self.active = max(0, min(self.active, len(self.cutoffs) - 1))
            for name in (*sizes, "cutoffs"):
                self._keep(name)
            self.version += 1

    def note(self, key: str, value: Any) -> None:
        """Keep a measurement, and let all views know."""
        with LOCK:
            self.remember(key, value)
            self.version += 1

    def note_sweep(self, value: Mapping[str, Any]) -> None:
        """Keep a sweep over products; those at other sizes stay, to compare with and to come back to."""
        with LOCK:
            others = [one for one in self._sweeps() if one["sizes"] != value["sizes"]]
            self.remember("product sweeps", others[:SWEEPS][::-1])
            self.note("product sweep", value)

    def _sweeps(self) -> list[Mapping[str, Any]]:
        """What was measured of products, the newest first."""
        last = self.recall("product sweep")
        return [*([last] if last else []), *reversed(self.recall("product sweeps") or [])]

    # ---- products

    @property
    def timings(self) -> tuple[MeasuredCost | None, str]:
        """The cost model to predict this device with, and whose it is."""
        key = (self.cost, self.device, self.dtype)
        if key not in self._timings:  # read once: plans are found again by the object
            self._timings[key] = model_for(*key, self.bench.costs)
        return self._timings[key]  # type: ignore[no-any-return]

    @property
    def judges(self) -> bool:
        """Whether that cost model was timed on this kind of device with these numbers."""
        return judges(self.timings[0], self.device, self.dtype)

    @property
    def sweep(self) -> list[int]:
        """The word counts of the sweep."""
        return sweep_sizes(self.most)

    @property
    def product_sizes(self) -> dict[str, Any]:
        """What a sweep depends on; a kept one counts if it was made at the same."""
        return {"B": self.batch, "d": self.in_features, "device": self.device, "what": self.product}

    @property
    def once_sizes(self) -> dict[str, Any]:
        """What the single product depends on."""
        return {"k": self.k, "B": self.batch, "d": self.in_features, "device": self.device}

    def swept(self) -> dict[int, Spread]:
        """Measured spread of each k, if there is a sweep at these sizes."""
        return self._swept_of(self.product)

    def _swept_of(self, product: str) -> dict[int, Spread]:
        sizes = {**self.product_sizes, "what": product}
        found = next((times for one in self._sweeps() if (times := spreads(one, sizes))), {})
        return {int(k): times for k, times in found.items()}

    def swept_before(self) -> tuple[str, dict[int, Spread]]:
        """The last sweep at other sizes: what differed, and the measured spread of each k; empty if there is none."""
        now = {**self.product_sizes}
        for last in self._sweeps():
            if isinstance(last["sizes"], Mapping) and {**now, **last["sizes"]} != now:
                apart = [
                    f"{name} = {value:,}" if isinstance(value, int) else str(value)
                    for name, value in last["sizes"].items()
                    if now.get(name) != value
                ]
                return ", ".join(apart), {int(k): times for k, times in spreads(last, last["sizes"]).items()}
        return "", {}

    def modelled(self, sizes: Sequence[float]) -> list[float]:
        """Seconds of the cost model's products; none if there is no model, or for the product alone."""
        cost, _ = self.timings
        if cost is None or PRODUCTS[self.product] != "train":
            return []
        return np.asarray(cost.product_time(np.asarray(sizes, float), self.batch, self.in_features)).tolist()  # type: ignore[no-any-return]

    def to_fit(self) -> tuple[list[int], list[float], str]:
        """k and seconds that a line is fitted to, and what they are: the measured points, else the cost model."""
        swept = self.swept()
        if len(swept) >= 4:
            return list(swept), [times.median for times in swept.values()], "measured points"
        seconds = self.modelled(self.sweep)
        recorded = self.timings[1].startswith("recorded machine")
        what = f"dashed curve ({'recorded on another machine' if recorded else 'the cost model'})"
        return self.sweep if seconds else [], seconds, what

    def fitted_line(self) -> FlatAffine:
        """The best line. Raises ValueError if there is nothing to fit."""
        sizes, seconds, _ = self.to_fit()
        if len(sizes) < 4:
            raise ValueError("there is nothing to fit a line to yet: press “Measure the products” first")
        return fit_flat_affine(sizes, seconds)

    def hand_line(self) -> FlatAffine:
        """The line as set; before that, one that is wrong in each part."""
        if self.line:
            return FlatAffine(*self.line)
        sizes, seconds, _ = self.to_fit()
        if not sizes:
            return FlatAffine(1e-3, 1e-5, 50.0)
        slope = seconds[-1] / sizes[-1]
        return FlatAffine(2.0 * seconds[0], 0.4 * slope, 50.0)

    # ---- clusters

    def model_line(self) -> FlatAffine:
        """The line that the paper's forms are made of: the best one at the present sizes, through your points of a
        product with its softmax and gradients if there are enough, else through the timings."""
        sizes, seconds = self._for_the_forms()
        return fit_flat_affine(sizes, seconds) if len(sizes) >= 4 else self.hand_line()

    @property
    def line_is_yours(self) -> bool:
        """Whether `model_line` goes through points measured here."""
        return len(self._swept_of(next(iter(PRODUCTS)))) >= 4

    def _for_the_forms(self) -> tuple[list[int], list[float]]:
        cost, _ = self.timings
        if self.line_is_yours:
            swept = self._swept_of(next(iter(PRODUCTS)))
            return list(swept), [times.median for times in swept.values()]
        if cost is None:
            return [], []
        sizes = sweep_sizes(2000)  # whatever the largest k of the plot is
        seconds = cost.product_time(np.asarray(sizes, float), self.batch, self.in_features)
        return sizes, np.asarray(seconds).tolist()

    def models(self) -> dict[str, Cost]:
        """What is asked for a price in the comparison: counting, two ways to charge the constant, the timings."""
        line, (cost, _) = self.model_line(), self.timings
        found: dict[str, Cost] = {
            COUNTED: COUNTED_MULTIPLICATIONS,
            BY_SHARE: LineCost.of(line, self.batch, "first"),
            EACH: LineCost.of(line, self.batch, "last"),
        }
        return {**found, TIMED: cost} if cost is not None else found

    def shortlists(self, cost: Cost) -> TwoClusters:
        """Time of two clusters against the size of the first, under a cost model; both of full width."""
        key = ("two", self.vocabulary, self.in_features, self.batch, cost)
        return self._cached(  # type: ignore[no-any-return]
            key, lambda: two_clusters(self.vocabulary, self.in_features, self.batch, cost=cost)
        )

    def _search_key(self, cost: Cost, batch: int | None = None) -> Any:
        words = self.vocabulary  # cut again, they are others, with the same counts
        key = words.name, len(words), float(words.total)
        return key, self.in_features, batch or self.batch, self.width_rule, cost

    def found(self, cost: Cost) -> dict[int, Plan]:
        """The best plans found so far under a cost model, by their number of tails."""
        return dict(self._searched.get(self._search_key(cost), {}))

    def found_shares(self, cost: Cost) -> dict[int, float]:
        """Time of those plans over that of a full softmax, by their number of tails."""
        plans = self.found(cost)
        return {j: plans[j].time / plans[j].full.seconds for j in sorted(plans)}

    def note_search(self) -> None:
        """A search under the timings is complete: it stays to compare with when sizes change."""
        cost = self.timings[0]
        if cost is not None:
            label = f"B = {self.batch:,}, d = {self.in_features:,}, V = {len(self.vocabulary):,}"
            done = (self._search_key(cost), label, self.found_shares(cost))
            self._searches = [done, *(one for one in self._searches if one[0] != done[0])][:2]

    def earlier_search(self) -> tuple[str, dict[int, float]]:
        """The last search under the timings at other sizes: these, and its shares; empty if there is none."""
        cost = self.timings[0]
        key = None if cost is None else self._search_key(cost)
        return next(((label, shares) for other, label, shares in self._searches if other != key), ("", {}))

    def search(self, cost: Cost, n_tails: int, batch: int | None = None) -> Plan | None:
        """The best plan with so many tails, found once, at the present B or another; None where so many do not fit."""
        if len(self._searched) > 100:
            self._searched.clear()
        known = self._searched.setdefault(self._search_key(cost, batch), {})
        if n_tails not in known:
            try:
                known[n_tails] = plan(
                    self.vocabulary,
                    self.in_features,
                    batch or self.batch,
                    cost=cost,
                    n_tails=n_tails,
                    widths=self.widths_for(n_tails),
                    min_head_share=FLOOR,
                )
            except ValueError:  # so many tails do not fit behind the floor
                return None
        return known[n_tails]  # type: ignore[no-any-return]

    def best_plan(self, cost: Cost, most: int = 5, batch: int | None = None) -> Plan:
        """The best plan with up to ``most`` tails under a cost model, at the present B or another."""
        plans = [found for j in range(most + 1) if (found := self.search(cost, j, batch)) is not None]
        return min(plans, key=lambda found: found.time)
