"""What the lessons on time add to the one state: a device, a product, a line drawn by hand, measurements."""

from __future__ import annotations

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
from ..kit.first_words import FirstWordsExplorer
from ..kit.views import LOCK
from .flat_affine import FlatAffine, fit_flat_affine, sweep_sizes
from .timings import DTYPES, FULL, OURS, PLAN, PRODUCTS, STOCK, WAYS, LayerJob, Spread, model_for, spreads

#: Up to which number of tails the best plans are compared.
MOST_TAILS = 10
#: Least share of the tokens in the head of every plan, as everywhere in the lessons.
FLOOR = 0.75
WHOLE = 2**31 - 1

_BEGIN: dict[str, Any] = {
    "device": "cpu",
    "dtype": "float32",
    "k": 1000,
    "most": 2000,
    "product": next(iter(PRODUCTS)),
    "line": (),
}
_RANGES = {"n_words": ("V", 3, WHOLE), "k": ("k", 1, 2**20), "most": ("the largest k", 8, 2**20)}
_FORMS = {
    "product sweep": forms.measured(forms.decimal),
    "timed rightly": forms.measured(),
    "timed wrongly": forms.fields(
        sizes=forms.anything, presses=forms.each(forms.table(forms.SECONDS, keys=WAYS), fewest=1)
    ),
    "layers": forms.measured(),
    "curve": forms.measured(forms.decimal),
    "layers timed wrongly": forms.fields(sizes=forms.anything, seconds=forms.table(forms.SECONDS)),
}


class TimingExplorer(FirstWordsExplorer):
    """An `Explorer` that also holds what is measured: a device, a number type, products and layers.

    Args:
        vocabulary: a `Vocabulary` or a language code.
        traits: any other trait, by name. ``n_words`` is V, the most frequent words that are kept (all by default);
            whatever words are set later are cut as well.

    Raises:
        TraitError: a value out of range; it says which range.
    """

    _kept_traits: ClassVar[tuple[str, ...]] = (*FirstWordsExplorer._kept_traits, *_BEGIN)
    _forms: ClassVar[Mapping[str, forms.Form]] = {**FirstWordsExplorer._forms, **_FORMS}

    device = t.Unicode(_BEGIN["device"])
    dtype = t.Enum(DTYPES, _BEGIN["dtype"])
    n_words = t.Int(WHOLE)
    k = t.Int(_BEGIN["k"])
    """Words of the single product."""
    most = t.Int(_BEGIN["most"])
    """Largest k of the sweep."""
    product = t.Enum(tuple(PRODUCTS), _BEGIN["product"])
    """What is timed of a product."""
    line = t.Tuple()
    """c, lambda and k0 as set by hand (seconds, seconds per word, words); empty until they are."""

    def __init__(self, vocabulary: Vocabulary | str | None = None, **traits: Any) -> None:
        self._searched: dict[Any, dict[int, Plan]] = {}
        self._timings: dict[Any, tuple[MeasuredCost | None, str]] = {}
        super().__init__(vocabulary, **traits)

    # ---- what may be set, and what is kept

    @t.validate("n_words", "k", "most")
    def _in_range(self, proposal: Any) -> int:
        letter, low, high = _RANGES[proposal["trait"].name]
        if not low <= proposal["value"] <= high:
            allowed = f"from {low:,} to {high:,}" if high < WHOLE else f"at least {low:,}"
            raise t.TraitError(f"{letter} should be {allowed}, got {proposal['value']:,}")
        return int(proposal["value"])

    @t.validate("line")
    def _a_line(self, proposal: Any) -> tuple[float, ...]:
        values = tuple(float(value) for value in proposal["value"])
        if len(values) not in (0, 3):
            raise t.TraitError(f"line should hold c, lambda and k0, got {len(values)} numbers")
        if values:
            FlatAffine(*values)  # says what is wrong with it
        return values

    @t.observe(*_BEGIN)
    def _moved(self, change: Any) -> None:
        if not self._quiet:
            with LOCK:
                self._keep(change["name"])
                self.version += 1

    def note(self, key: str, value: Any) -> None:
        """Keep a measurement, and let all views know."""
        with LOCK:
            self.remember(key, value)
            self.version += 1

    # ---- products

    @property
    def timings(self) -> tuple[MeasuredCost | None, str]:
        """The cost model to predict this device with, and whose it is."""
        key = (self.cost, self.device, self.dtype)
        if key not in self._timings:  # read once: plans are found again by the object
            self._timings[key] = model_for(*key)
        return self._timings[key]  # type: ignore[no-any-return]

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
        return {int(k): times for k, times in spreads(self.recall("product sweep"), self.product_sizes).items()}

    def modelled(self, sizes: Sequence[int]) -> list[float]:
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
        return self.sweep if seconds else [], seconds, "curve of the cost model"

    def fitted_line(self) -> FlatAffine:
        """The best line. Raises ValueError if there is nothing to fit."""
        sizes, seconds, _ = self.to_fit()
        if len(sizes) < 4:
            raise ValueError("nothing to fit a line to yet: press “Measure the products” first")
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

    def models(self) -> dict[str, Cost]:
        """What is asked for a price in the comparison: counting, the paper's forms with the line as set, timings."""
        line, (cost, _) = self.hand_line(), self.timings
        found: dict[str, Cost] = {
            "counted multiplications": COUNTED_MULTIPLICATIONS,
            "the paper's first form": line.cost(self.batch, "first"),
            "the paper's last form": line.cost(self.batch, "last"),
        }
        return {**found, "timings": cost} if cost is not None else found

    def shortlists(self, cost: Cost) -> TwoClusters:
        """Time of two clusters against the size of the first, under a cost model; both of full width."""
        key = ("two", self.vocabulary, self.in_features, self.batch, cost)
        return self._cached(  # type: ignore[no-any-return]
            key, lambda: two_clusters(self.vocabulary, self.in_features, self.batch, cost=cost)
        )

    def _search_key(self, cost: Cost) -> Any:
        return self.vocabulary, self.in_features, self.batch, self.width_rule, cost

    def found(self, cost: Cost) -> dict[int, Plan]:
        """The best plans found so far under a cost model, by their number of tails."""
        return dict(self._searched.get(self._search_key(cost), {}))

    def search(self, cost: Cost, n_tails: int) -> Plan | None:
        """The best plan with so many tails, found once; None where so many do not fit."""
        if len(self._searched) > 100:
            self._searched.clear()
        known = self._searched.setdefault(self._search_key(cost), {})
        if n_tails not in known:
            try:
                known[n_tails] = plan(
                    self.vocabulary,
                    self.in_features,
                    self.batch,
                    cost=cost,
                    n_tails=n_tails,
                    widths=self.widths_for(n_tails),
                    min_head_share=FLOOR,
                )
            except ValueError:  # so many tails do not fit behind the floor
                return None
        return known[n_tails]  # type: ignore[no-any-return]

    def best_plan(self, cost: Cost, most: int = 5) -> Plan:
        """The best plan with up to ``most`` tails under a cost model."""
        plans = [found for j in range(most + 1) if (found := self.search(cost, j)) is not None]
        return min(plans, key=lambda found: found.time)

    # ---- layers

    def layer_job(self, which: Mapping[str, bool] | None = None) -> LayerJob:
        """The layers to time: the full softmax, PyTorch's and ours with the cutoffs as set, and ours as planned."""
        cuts = tuple(self.cutoffs)
        layers: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {FULL: ((), ())}
        if cuts:
            stock = tuple(self.in_features // 4 ** (i + 1) for i in range(len(cuts)))
            layers |= {STOCK: (cuts, stock), OURS: (cuts, tuple(self.widths))}
        found = self.best_plan(self.timings[0] or COUNTED_MULTIPLICATIONS)
        layers[PLAN] = (tuple(found.cutoffs), tuple(found.widths))
        chosen = tuple((name, *layers[name]) for name in layers if which is None or which.get(name))
        if not chosen:
            raise ValueError("nothing is ticked: choose at least one thing to time")
        if any(name == STOCK and 0 in widths for name, _, widths in chosen):
            raise ValueError(
                f"PyTorch's layer would have a tail of width 0 with d = {self.in_features} and {len(cuts)} "
                f"tail{'s' * (len(cuts) > 1)}: untick it"
            )
        return LayerJob(len(self.vocabulary), self.in_features, self.batch, chosen, self.vocabulary.shares)

    @property
    def layer_sizes(self) -> dict[str, Any]:
        """What the timings of the layers depend on."""
        return {
            "words": self.vocabulary.name,
            "V": len(self.vocabulary),
            "d": self.in_features,
            "B": self.batch,
            "cutoffs": list(self.cutoffs),
            "widths": self.widths,
            "device": self.device,
            "dtype": self.dtype,
        }

    def curve_job(self, points: int = 9) -> LayerJob:
        """Our layer at cutoffs spread between the neighbours of the one that moved last, its own place included."""
        if not self.cutoffs:
            raise ValueError("there is no cutoff to move: set one in the panel of the cutoffs")
        i = self.active
        low, high = self.limits(i)
        # the ends are expensive and tell little: a head of nearly all words, a tail of one
        places = np.geomspace(max(low, 16), max(high * 0.9, low), points).round().astype(np.int64).clip(low, high)
        layers = []
        for c in np.unique([*places.tolist(), self.cutoffs[i]]).tolist():
            layers.append((str(c), (*self.cutoffs[:i], int(c), *self.cutoffs[i + 1 :]), tuple(self.widths)))
        return LayerJob(len(self.vocabulary), self.in_features, self.batch, tuple(layers), self.vocabulary.shares)

    @property
    def curve_sizes(self) -> dict[str, Any]:
        """What a measured U-curve depends on: all but the cutoff that moves."""
        i = self.active
        others = [*self.cutoffs[:i], None, *self.cutoffs[i + 1 :]]
        return {**self.layer_sizes, "cutoffs": others}
