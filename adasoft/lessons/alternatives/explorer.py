"""What the lesson on alternatives adds to the one state: W and N, experts, a case."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import traitlets as t
from torch import Tensor

from ...alternatives.doubly_sparse_training import Settings
from ...alternatives.svd_softmax import Choice, SVDSoftmax
from ...files import cache_dir, writable_folder
from ...timing import interleave
from ..kit import forms
from ..kit.kept import fitted
from ..kit.saved import not_kept, removed
from ..kit.traits import Real, Whole, kept
from ..kit.views import LOCK
from ..time_model.explorer import TimingExplorer
from ..time_model.timings import Tick
from . import cases as sc
from . import experts, windows
from .small_models import STATES, TOPS, SmallModels, small_models

_FORMS = {
    "case": forms.both(
        forms.measured(),
        forms.fields(
            bet=forms.text,
            known=forms.fields(opened=forms.optional(forms.SHARE), arithmetic=forms.table(forms.SECONDS)),
        ),
    ),
    "bets": forms.each(forms.row(forms.flag)),
    "experts": forms.fields(
        sizes=forms.fields(stages=forms.each(forms.COUNT, fewest=1), threshold=forms.number(0), epochs=forms.COUNT),
        known=forms.each(forms.each(forms.number(0, experts.GROUPS * experts.PER_GROUP - 1, whole=True)), fewest=1),
        points=forms.each(forms.row(forms.COUNT, forms.COUNT, forms.number()), fewest=1),
        step=forms.COUNT,
        steps=forms.COUNT,
        exact=forms.COUNT,
        rows=forms.COUNT,
        task=forms.number(),
    ),
}


class AlternativesExplorer(TimingExplorer):
    """A `TimingExplorer` that also holds two small trained models and what is asked of them.

    The words of the explorer are those of the case that is timed; the small models have words of their own.

    Args:
        vocabulary: a `Vocabulary` or a language code.
        traits: any other trait, by name; ``n_words`` is V of the case, 20,000 by default.

    Raises:
        TraitError: a value out of range; it says which range.
    """

    _begin: ClassVar[Mapping[str, Any]] = {
        "n_words": 20_000,
        "in_features": 256,
        "batch": 256,
        "cutoffs": (1000, 5000),
    }
    _forms: ClassVar[Mapping[str, forms.Form]] = {**TimingExplorer._forms, **_FORMS}

    width = kept(Whole(6, 1, None, "W"))
    """W of SVD-softmax on the small model."""
    n_full = kept(Whole(250, 1, None, "N"))
    """N."""
    wanted = kept(Real(99.0, 1, 100, "the wanted recall, in percent,"))
    """Percent of the ten best words that ``choose`` should find."""
    place = kept(Whole(1, 1, STATES, "hidden state"))
    """Which hidden state is shown, from 1."""
    n_experts = kept(Whole(10, 1, 20, "the number of experts"))
    threshold = kept(Real(0.03, 0, 0.3, "the threshold"))
    mitosis = kept(t.Bool(False))
    """Whether the experts begin as half of them and are cloned."""
    epochs = t.Int(experts.EPOCHS)
    """Of each stage of their training; not kept."""
    n_items = t.Int(experts.ITEMS)
    """Points of each synthetic class; not kept."""
    task = kept(t.Enum(sc.TASKS, sc.BEST))
    exact = kept(t.Bool(False))
    """Whether only exact methods will do."""
    bet = kept(t.Unicode(""))
    """The method that the reader bets on; empty: none yet."""

    #: What `choose` found last; None before.
    chosen: Choice | None = None
    #: What times a case in turns; another one in tests.
    clock: Callable[..., Any] = staticmethod(interleave)

    def _fit(self, cutoffs: Sequence[int]) -> tuple[int, ...]:
        # their number stays, for each has its box in the panel
        return as_many(cutoffs, len(self.vocabulary))

    @t.validate("width", "n_full")
    def _a_window(self, proposal: Any) -> int:
        letter, most = ("W", self.small.full.in_features), ("N", self.small.full.n_classes)
        name, high = letter if proposal["trait"].name == "width" else most
        if proposal["value"] > high:
            raise t.TraitError(f"{name} should be from 1 to {high:,}, got {proposal['value']:,}")
        return int(proposal["value"])

    def forget(self) -> None:
        """As `Explorer.forget`, and delete the experts' checkpoint."""
        if self._choices is not None:
            removed(self.checkpoint)
        super().forget()

    # ---- the small models, and SVD-softmax of the full one

    @property
    def small(self) -> SmallModels:
        """The small models. Raises LookupError if they are not there."""
        return small_models()

    @property
    def reported(self) -> Tensor:
        """The hidden states that pictures are made of; W and N are chosen by others."""
        return windows.reported(self.small)

    @property
    def chosen_by(self) -> Tensor:
        """The hidden states that W and N are chosen by."""
        return windows.chosen_by(self.small)

    def window(self) -> SVDSoftmax:
        """SVD-softmax of the full small model at the present W and N."""
        return windows.window(self.small, self.width, self.n_full)

    def quality(self) -> dict[str, float]:
        """Recall at 1 and 10, and arithmetic, at the present W and N."""
        return windows.quality(self.small, self.width, self.n_full)

    def choose(self) -> Choice:
        """Set the W and N of least arithmetic for the wanted recall of the ten best words."""
        found = self.chosen = windows.choose(self.small, self.wanted / 100)
        with LOCK, self.hold_trait_notifications():  # views see both at once
            self.width, self.n_full = found.width, found.n_full
        return found

    def top_words(self) -> list[dict[str, Any]]:
        """The ten best words of the shown state by the full softmax: each with its probability, and its rank in the
        preview by every W."""
        best = self.small.full.topk(self.small.states[self.place - 1 : self.place], max(TOPS))
        ranks = windows.preview_ranks(self.small, self.place - 1)
        return [
            {"word": self.small.words[word], "p": math.exp(value), "ranks": own}
            for word, value, own in zip(best.indices[0].tolist(), best.values[0].tolist(), ranks, strict=True)
        ]

    # ---- experts on the synthetic classes

    @property
    def checkpoint(self) -> Path:
        """Where the training of the experts is kept, so that it can continue."""
        name = f"experts-of-{self._lesson or 'no-lesson'}.safetensors"
        return cache_dir() / "lessons" / name

    @property
    def expert_settings(self) -> Settings:
        """How the experts are trained: in one stage, or cloned once."""
        stages = [self.n_experts]
        if self.mitosis and stages[0] % 2 == 0:
            stages.insert(0, stages[0] // 2)
        return Settings(stages=tuple(stages), threshold=self.threshold, epochs=self.epochs)

    @property
    def expert_sizes(self) -> dict[str, Any]:
        """What a training of experts depends on."""
        return experts.sizes_of(self.expert_settings)

    def train_experts(self, *, from_start: bool, tick: Tick, heard: Callable[[Mapping[str, Any]], None]) -> None:
        """Train experts on the 10 x 10 classes; ``heard`` is told now and then how far they are, as it is kept.

        Raises ValueError if there is nothing to continue, or if it was made with other settings.
        """
        with LOCK:
            settings, kept = self.expert_settings, self.recall("experts") or {}
        path = self.checkpoint
        if from_start:
            removed(path)
            kept = {}
        elif not path.exists() or not kept:
            raise ValueError("there is nothing to continue: press Train to start again")
        elif kept["sizes"] != experts.sizes_of(settings):
            raise ValueError("the experts below were trained with other settings: set those again, or press Train")
        elif kept["step"] >= kept["steps"]:
            raise ValueError("this training is finished: press Train to start again")
        state = experts.Watched(kept, settings, self.n_items)
        checkpoint: Path | None = path
        try:
            writable_folder(path.parent)
        except OSError as error:
            not_kept(path, error)
            checkpoint = None
        try:
            experts.train(state, checkpoint, tick=tick, heard=heard)
        finally:
            if state.now:
                self.note("experts", state.now)

    # ---- a case

    @property
    def case(self) -> sc.Case:
        """What is to be timed with the present settings."""
        return sc.Case(
            self.task,
            self.exact,
            self.in_features,
            self.batch,
            tuple(self.cutoffs),
            tuple(self.widths),
            self.device,
            self.experts_for_case.n_experts,
            self.expert_share,
        )

    @property
    def experts_for_case(self) -> Any:
        """The stored experts whose sizes the case takes: the fewest."""
        return self.small.experts[0]

    @property
    def expert_share(self) -> float:
        """Words that the expert of a token knows, as a share of V, on average: of the stored experts."""
        found = self.experts_for_case.found
        rows = sum(u * size for u, size in zip(found["shares"], found["sizes"], strict=True))
        return float(rows / self.small.full.n_classes)

    @property
    def case_sizes(self) -> dict[str, Any]:
        """What the timings of a case depend on."""
        case = self.case
        return {
            "words": self.vocabulary.name,
            "V": len(self.vocabulary),
            "d": case.in_features,
            "rows": case.rows,
            "cutoffs": list(case.cutoffs),
            "widths": list(case.widths),
            "device": case.device,
            "task": case.task,
            "exact": case.exact,
            "experts": [case.n_experts, round(case.expert_share, 4)],
        }

    def time_case(self, seconds: float, tick: Tick, heard: Callable[[str, float], None]) -> dict[str, Any]:
        """Time the case in turns; what is known of the softmaxes besides."""
        with LOCK:
            case, words = self.case, self.vocabulary
        return sc.time_case(
            case,
            words,
            windows.svd_of(self.small).singular_values,
            seconds=seconds,
            tick=tick,
            heard=heard,
            clock=self.clock,
        )


def as_many(cutoffs: Sequence[int], n: int) -> tuple[int, ...]:
    """The cutoffs that fit n words, and new ones (the middle on the log scale) for those that do not, if n has room.

    >>> as_many((1000, 5000), 2000), as_many((1000, 5000), 900), as_many((1000, 5000), 3)
    ((1000, 1414), (30, 164), (2,))
    """
    found = list(fitted(cutoffs, n))
    while len(found) < len(cutoffs) and found[-1] + 1 < n:
        found.append(min(max(round((found[-1] * n) ** 0.5), found[-1] + 1), n - 1))
    return tuple(found)


def cheapest_percent(explorer: AlternativesExplorer) -> float:
    """Percent of the arithmetic that the cheapest W and N need for 99 % of the ten best words of the small model."""
    return windows.cheapest_percent(explorer.small)
