"""The one object that all panels of a lesson read and write."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, TypeVar

import numpy as np
import traitlets as t

from ...cost import Cost, LayerCost
from ...planning import Plan, default_widths, plan
from ...tradeoffs import TwoClusters, two_clusters
from ...vocabulary import Vocabulary
from .costs import COUNTED_MULTIPLICATIONS, COUNTED_WORDS, counts, measured_cost
from .kept import Kept, fitted, given
from .languages import load_language
from .readers_code import TookTooLong, run_readers_code
from .saved import Choices
from .traits import Whole, kept, kept_names
from .views import LOCK, close_all

E = TypeVar("E", bound="Explorer")
T = TypeVar("T")

#: How the width of tail i follows from d.
WIDTH_RULES: dict[str, Callable[[int, int], list[int]]] = {
    "d/4, d/16, d/64 ...": default_widths,
    "d/4 for every tail": lambda d, n_tails: default_widths(d, 1) * n_tails,
    "d for every tail": lambda d, n_tails: [d] * n_tails,
}
MAX_TAILS = 5
#: Least share of the tokens that a plan of the lessons keeps in the head.
FLOOR = 0.75

#: The explorer of each lesson in this kernel, with what it was made of, by the file that keeps its choices.
LIVE: dict[Any, tuple[Explorer, Any]] = {}


class Explorer(Kept):
    """Words, sizes, cutoffs and a cost model, and what follows from them.

    Views watch ``version`` alone: it rises once all is consistent, so none ever sees cutoffs of another vocabulary.
    A lesson has one explorer in a kernel (see `for_lesson`): making another ends the first one and its panels.

    Args:
        vocabulary: a `Vocabulary` or a language code; English by default.
        cost: a cost model; by default the one of this machine, else a recorded one, else counted multiplications.
        lesson: a name under which the reader's choices are kept in the cache folder and found again: cutoffs, sizes,
            widths, objective, cost model and a language that was looked at for each name; own words, and a language
            chosen by :meth:`use_in_all_lessons`, for all of them. What is found again is said in one line. An
            argument given here beats what was kept when it was not given, or was another; as long as it stays, it is
            what the reader starts from. None: nothing is read or kept.
        traits: any other trait, by name.

    Raises:
        TraitError, ValueError: a value out of range; it says which range.
    """

    #: Seconds that a cost model of the reader's own may take for one figure; a plan may take twelve times as long.
    patience = 5.0
    #: What it starts with where nothing is given.
    _begin: ClassVar[Mapping[str, Any]] = {"cutoffs": (2000,)}

    vocabulary = t.Instance(Vocabulary)
    in_features = kept(Whole(512, 1, 2**20, "d (in_features)"))
    batch = kept(Whole(2560, 1, 2**20, "B (batch)"))
    width_rule = kept(t.Enum(tuple(WIDTH_RULES), next(iter(WIDTH_RULES))))
    objective = kept(t.Enum(("train", "decode"), "train"))
    cost = kept(t.Instance(Cost))  # type: ignore[type-abstract]
    cutoffs = kept(t.Tuple())
    """c_1 < ... < c_J, V left out."""
    active = t.Int(0)
    """Which cutoff moved last, from 0."""
    version = t.Int(0)

    @classmethod
    def for_lesson(cls: type[E], lesson: str, vocabulary: Vocabulary | str | None = None, **traits: Any) -> E:
        """The explorer of a lesson in this kernel: the one that its panels show, made where there is none yet.

        A cell that is run again with the same arguments gets the same object, with what another lesson has chosen for
        all of them since. With other arguments it gets a new one, and the panels of the old one end.

        Args:
            lesson: the name that its choices are kept under; see `Explorer`.
            vocabulary, traits: as for `Explorer`.
        """
        made_with = cls, vocabulary, traits
        with LOCK:
            live, lives_with = LIVE.get((lesson, Choices().path), (None, None))
            if isinstance(live, cls) and lives_with == made_with:
                live.refresh()
                return live
            explorer = cls(vocabulary, lesson=lesson, **traits)
            LIVE[lesson, Choices().path] = explorer, made_with
            return explorer

    def __init__(
        self,
        vocabulary: Vocabulary | str | None = None,
        *,
        cost: Cost | None = None,
        lesson: str | None = None,
        **traits: Any,
    ) -> None:
        words = vocabulary if isinstance(vocabulary, Vocabulary) else load_language(vocabulary or "en")
        if len(words) < 2:
            raise ValueError(f"vocabulary should have at least 2 words, {words.name!r} has {len(words)}")
        if lesson is not None:
            earlier, _ = LIVE.get((lesson, Choices().path), (None, None))
            if earlier is not None:
                earlier.close()
            LIVE[lesson, Choices().path] = self, None
        self._quiet = True
        self._slots: dict[str, tuple[Callable[[Any], None], Any]] = {}
        self._memo: dict[Any, Any] = {}
        self._endless: Cost | None = None
        super().__init__()
        start = {**self._begin, **traits}
        for name in self._first:
            if name in start:
                setattr(self, name, start.pop(name))
        self.vocabulary = words
        self.cost = cost or measured_cost() or COUNTED_MULTIPLICATIONS
        self.meant = tuple(start["cutoffs"])
        if "cutoffs" not in traits:
            start["cutoffs"] = self._fit(self.meant)
        for name, value in start.items():
            setattr(self, name, value)
        self._begin_to_keep(lesson, given(vocabulary, cost, traits))
        self.observe(self._settle, ["vocabulary", "active", *kept_names(self)])
        self._quiet = False

    # ---- what may be set

    @t.validate("vocabulary")
    def _enough_words(self, proposal: Any) -> Vocabulary:
        if len(proposal["value"]) < 2:
            raise t.TraitError("vocabulary should have at least 2 words to be cut")
        return proposal["value"]  # type: ignore[no-any-return]

    @t.validate("cutoffs")
    def _in_order(self, proposal: Any) -> tuple[int, ...]:
        cutoffs, n = tuple(int(c) for c in proposal["value"]), len(self.vocabulary)
        if len(cutoffs) > MAX_TAILS:
            raise t.TraitError(f"cutoffs should be at most {MAX_TAILS}, got {len(cutoffs)}")
        if any(b <= a for a, b in zip((0, *cutoffs), (*cutoffs, n), strict=True)):
            raise t.TraitError(f"cutoffs should rise and lie between 1 and V - 1 = {n - 1:,}, got {list(cutoffs)}")
        return cutoffs

    def _settle(self, change: Any) -> None:
        """What follows from a trait that was set: the others made to fit, the choice kept, the views told."""
        if self._quiet:
            return
        with LOCK:
            if change["name"] == "vocabulary":
                with self.muted():
                    self.cutoffs = self._fit(self.meant)
            elif change["name"] == "cutoffs":
                self.meant = self.cutoffs
            self._keep(change["name"])
            self.active = max(0, min(self.active, len(self.cutoffs) - 1))
            self.version += 1

    def limits(self, i: int) -> tuple[int, int]:
        """Least and largest value of cutoff i (from 0) between its neighbours."""
        edges = (0, *self.cutoffs, len(self.vocabulary))
        return edges[i] + 1, edges[i + 2] - 1

    def set_cutoff(self, i: int, value: int, *, clip: bool = False) -> None:
        """Move one cutoff; ``clip`` stops it at its neighbours, else ValueError says what is possible."""
        low, high = self.limits(i)
        if not low <= value <= high:
            if not clip:
                raise ValueError(f"c{i + 1} should be from {low:,} to {high:,} here, got {value:,}")
            value = min(max(value, low), high)
        with self.muted():  # one round of redrawing for both
            self.active = i
        self.cutoffs = (*self.cutoffs[:i], int(value), *self.cutoffs[i + 1 :])

    def set_n_tails(self, n_tails: int) -> None:
        """Drop the last cutoffs, or add new ones where the widest tail is (in its middle, on the log scale)."""
        cutoffs, n = list(self.cutoffs[:n_tails]), len(self.vocabulary)
        while len(cutoffs) < n_tails:
            edges = [*(cutoffs or [1]), n]
            low, high = max(itertools.pairwise(edges), key=lambda gap: (gap[1] / gap[0], gap[0]))
            if low + 1 >= high:
                raise ValueError(f"no room for {n_tails} cutoffs: the last is {edges[-2]:,} of V = {n:,} words")
            cutoffs = sorted([*cutoffs, min(max(round((low * high) ** 0.5), low + 1), high - 1)])
        self.cutoffs = tuple(cutoffs)

    def plan_for_me(
        self, n_tails: int | None = None, min_head_share: float = FLOOR, *, cost: Cost | None = None
    ) -> Plan:
        """The exact plan with ``n_tails`` tails (as many as now, if None) and the present widths; does not set it."""
        n_tails = len(self.cutoffs) if n_tails is None else n_tails
        search = partial(
            plan,
            self.vocabulary,
            self.in_features,
            self.batch,
            cost=cost or self.cost,
            n_tails=n_tails,
            widths=self.widths_for(n_tails),
            min_head_share=min_head_share,
            objective=self.objective,  # type: ignore[arg-type]
        )
        return self.priced(search, cost, patience=12 * self.patience)

    def two_clusters(self) -> TwoClusters:
        """The paper's first experiment with the present words, sizes and cost model."""
        search = partial(two_clusters, self.vocabulary, self.in_features, self.batch, cost=self.cost)
        return self._cached(("two clusters", self.sizes), lambda: self.priced(search))  # type: ignore[no-any-return]

    def paper_cutoffs(self) -> tuple[int, ...]:
        """The cutoffs that the paper's authors took for a vocabulary of about this size."""
        n = len(self.vocabulary)
        # Penn Treebank 10k, Text8 44k, One Billion Word 793k
        choice = (4000, 40000, 200000) if n > 200_000 else (2000, 10000) if n > 10_000 else (2000,)
        return tuple(c for c in choice if c < n)

    def reset(self) -> None:
        """Back to the cutoffs it was made with, as far as they fit these words."""
        self.cutoffs = self._fit(self._meant_first)
        self.meant = self._meant_first
        self._keep("cutoffs")

    def reset_settings(self) -> None:
        """Back to the cost model, the widths, d and B it was made with."""
        cost = self._start["cost"] if "cost" in self._given else measured_cost()  # it may have been timed since
        for name in ("width_rule", "in_features", "batch"):
            setattr(self, name, self._start[name])
        self.cost = cost or self._start["cost"]

    # ---- what follows

    def priced(self, make: Callable[[], T], cost: Cost | None = None, patience: float | None = None) -> T:
        """What follows from a cost model, the present one by default. One that the reader wrote cannot stop the page.

        Raises `TookTooLong` if it takes more than ``patience`` seconds (see the class), and from then on at once.
        """
        cost = cost or self.cost
        if type(cost).__module__.partition(".")[0] == "adasoft":
            return make()
        if self._endless is cost:
            raise TookTooLong(f"the cost model {cost.name!r} takes too long: choose another")
        try:
            return run_readers_code(lambda _alive: make(), patience=patience or self.patience)
        except TookTooLong:
            self._endless = cost
            raise

    def _cached(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self._memo:
            if len(self._memo) > 32:
                self._memo.clear()
            self._memo[key] = make()
        return self._memo[key]

    @property
    def sizes(self) -> tuple[Any, ...]:
        """All that a price depends on, the cutoffs left out."""
        # the objects themselves: an id could be given again
        return self.vocabulary, self.in_features, self.batch, self.width_rule, self.cost, self.objective

    @property
    def widths(self) -> list[int]:
        """Width d_i of each tail."""
        return self.widths_for(len(self.cutoffs))

    def widths_for(self, n_tails: int) -> list[int]:
        """Widths that the present rule gives so many tails."""
        return WIDTH_RULES[self.width_rule](self.in_features, n_tails)

    @property
    def names(self) -> list[str]:
        """The clusters: head, tail 1 ... tail J."""
        return ["head", *(f"tail {i + 1}" for i in range(len(self.cutoffs)))]

    @property
    def word_shares(self) -> list[float]:
        """Share of the words in each cluster."""
        n = len(self.vocabulary)
        return [float(k) / n for k in np.diff([0, *self.cutoffs, n])]

    @property
    def token_shares(self) -> list[float]:
        """Share of the tokens in each cluster, p_h, p_1 ... p_J."""
        return self._token_shares(self.cutoffs)

    def _token_shares(self, cutoffs: Sequence[int]) -> list[float]:
        return [float(p) for p in np.diff(self.vocabulary.cumulative[[0, *cutoffs, len(self.vocabulary)]])]

    def _layer(self, cutoffs: Sequence[int]) -> LayerCost:
        return self.cost.layer(
            len(self.vocabulary),
            cutoffs,
            self.widths_for(len(cutoffs)),
            self._token_shares(cutoffs)[1:],
            self.in_features,
            self.batch,
            self.objective,  # type: ignore[arg-type]
        )

    @property
    def prediction(self) -> LayerCost:
        """Predicted cost of the layer with these cutoffs."""
        return self._cached((self.sizes, self.cutoffs), lambda: self.priced(lambda: self._layer(self.cutoffs)))  # type: ignore[no-any-return]

    @property
    def full(self) -> LayerCost:
        """Predicted cost of a full softmax."""
        return self._cached((self.sizes, ()), lambda: self.priced(lambda: self._layer(())))  # type: ignore[no-any-return]

    @property
    def speedup(self) -> float:
        """Predicted time of the full softmax over that of these cutoffs."""
        return self.full.seconds / self.prediction.seconds

    def speedup_at(self, cutoffs: Sequence[int]) -> float:
        """The same for other cutoffs, as far as they fit these words."""
        return self.full.seconds / self.seconds_at(cutoffs)

    def seconds_at(self, cutoffs: Sequence[int]) -> float:
        """Predicted time with other cutoffs, as far as they fit these words."""
        fitting = fitted(cutoffs, len(self.vocabulary))
        return self.priced(lambda: self._layer(fitting)).seconds

    def layers_along(self, i: int, points: int = 72) -> list[tuple[int, LayerCost]]:
        """Places of cutoff i between its neighbours, the others fixed, and what the layer costs there."""
        others = (*self.cutoffs[:i], *self.cutoffs[i + 1 :])

        def make() -> list[tuple[int, LayerCost]]:
            low, high = self.limits(i)
            # denser at the right, where a log axis squeezes a steep rise into a few pixels
            places = np.concatenate([np.geomspace(low, high, points), high + low - np.geomspace(low, high, 12)])
            places = np.unique(places.round().astype(np.int64).clip(low, high))
            return [(int(c), self._layer((*others[:i], int(c), *others[i:]))) for c in places]

        return self._cached((self.sizes, "curve", i, others), lambda: self.priced(make))  # type: ignore[no-any-return]

    def curve(self, i: int, points: int = 72) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Total against cutoff i between its neighbours, the others fixed: places and predicted seconds."""
        if not self.cutoffs:
            return np.ones(1), np.full(1, self.full.seconds)
        found = self.layers_along(i, points)
        return np.asarray([float(c) for c, _ in found]), np.asarray([layer.seconds for _, layer in found])

    @property
    def counted(self) -> bool:
        """Whether the cost model counts instead of timing."""
        return counts(self.cost)

    @property
    def unit(self) -> str:
        """What ``amount`` is in."""
        if self.cost is COUNTED_WORDS:
            return "words scored per token"
        return "million multiplications per token" if self.counted else "ms per step"

    def amount(self, seconds: Any) -> Any:
        """Seconds of the cost model in the unit that is shown."""
        if self.counted:
            return np.asarray(seconds) / (self.batch * (1.0 if self.cost is COUNTED_WORDS else 1e6))
        return np.asarray(seconds) * 1e3

    # ---- views

    def close(self) -> None:
        """End all views of it, and keep what was chosen."""
        if self._choices is not None:
            self._choices.flush()
        for slot in list(self._slots):
            handler, widget = self._slots.pop(slot)
            self.unobserve(handler, "version")
            close_all(widget)

    def attach(self, slot: str, redraw: Callable[[], None], widget: Any = None) -> None:
        """Call ``redraw`` at every change. A second view in the same slot (a cell run again) replaces the first."""
        with LOCK:
            old, old_widget = self._slots.pop(slot, (None, None))
            if old is not None:
                self.unobserve(old, "version")
            close_all(old_widget)

            def handler(_change: Any) -> None:
                redraw()

            self._slots[slot] = (handler, widget)
            self.observe(handler, "version")
            redraw()

    def __repr__(self) -> str:
        return (
            f"Explorer({self.vocabulary.name!r}, V={len(self.vocabulary):,}, d={self.in_features}, B={self.batch:,}, "
            f"cutoffs={list(self.cutoffs)}, cost={self.cost.name!r})"
        )
