"""What the lesson on alternatives adds to the one state: W and N, experts, the best words asked for, a case."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import traitlets as t
from torch import Tensor

from ...alternatives.doubly_sparse_training import Settings
from ...alternatives.svd_softmax import Choice, SVDSoftmax
from ...files import cache_dir, writable_folder
from ..kit import forms
from ..kit.saved import not_kept, removed
from ..kit.views import LOCK
from ..time_model.explorer import TimingExplorer
from ..time_model.timings import Tick
from . import cases as sc
from . import experts, windows
from .small_models import STATES, TOPS, SmallModels, small_models

#: Up to how many best words may be asked for.
MOST = 50
#: For how many best words pairs and times are shown.
PLACES = (1, 2, 5, 10, 20, 50)


def _with_full_softmax(points: Any, name: str) -> None:
    """All others are compared with it."""
    if not any(what == "full softmax" and recall >= 0.95 for what, _, recall in points):
        raise ValueError(f"{name} should hold the full softmax")


_BEGIN: dict[str, Any] = {
    "width": 6,
    "n_full": 250,
    "wanted": 99.0,
    "best": 10,
    "place": 1,
    "n_experts": 10,
    "threshold": 0.03,
    "mitosis": False,
    "stored": 0,
    "expert": 1,
    "task": sc.BEST,
    "exact": False,
    "bet": "",
}
_FORMS = {
    "skipped tails": forms.measured(),
    "case": forms.both(
        forms.measured(),
        forms.fields(
            bet=forms.text,
            known=forms.fields(opened=forms.optional(forms.SHARE), arithmetic=forms.table(forms.SECONDS)),
        ),
    ),
    "bets": forms.each(forms.row(forms.flag)),
    "svd windows": forms.fields(
        points=forms.both(forms.each(forms.row(forms.text, forms.SECONDS, forms.SHARE)), _with_full_softmax),
        device=forms.text,
        date=forms.text,
    ),
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
_RANGES = {
    "wanted": ("the wanted recall, in percent,", 1.0, 100.0),
    "best": ("k", 1, MOST),
    "place": ("hidden state", 1, STATES),
    "n_experts": ("the number of experts", 1, 20),
    "threshold": ("the threshold", 0.0, 0.3),
    "expert": ("expert", 1, 64),
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
    _kept_traits: ClassVar[tuple[str, ...]] = (*TimingExplorer._kept_traits, *_BEGIN)
    _forms: ClassVar[Mapping[str, forms.Form]] = {**TimingExplorer._forms, **_FORMS}

    width = t.Int(_BEGIN["width"])
    """W of SVD-softmax on the small model."""
    n_full = t.Int(_BEGIN["n_full"])
    """N."""
    wanted = t.Float(_BEGIN["wanted"])
    """Percent of the ten best words that ``choose`` should find."""
    best = t.Int(_BEGIN["best"])
    """How many best words the exact decoder is asked for."""
    place = t.Int(_BEGIN["place"])
    """Which hidden state is shown, from 1."""
    n_experts = t.Int(_BEGIN["n_experts"])
    threshold = t.Float(_BEGIN["threshold"])
    mitosis = t.Bool(_BEGIN["mitosis"])
    """Whether the experts begin as half of them and are cloned."""
    epochs = t.Int(experts.EPOCHS)
    """Of each stage of their training; not kept."""
    n_items = t.Int(experts.ITEMS)
    """Points of each synthetic class; not kept."""
    stored = t.Int(_BEGIN["stored"])
    """Which of the stored doubly sparse softmaxes."""
    expert = t.Int(_BEGIN["expert"])
    """Which of its experts, from 1."""
    task = t.Enum(sc.TASKS, _BEGIN["task"])
    exact = t.Bool(_BEGIN["exact"])
    """Whether only exact methods will do."""
    bet = t.Unicode(_BEGIN["bet"])
    """The method that the reader bets on; empty: none yet."""

    # ---- what may be set, and what is kept

    @t.validate(*_RANGES)
    def _in_its_range(self, proposal: Any) -> Any:
        letter, low, high = _RANGES[proposal["trait"].name]
        if not low <= proposal["value"] <= high:
            raise t.TraitError(f"{letter} should be from {low:g} to {high:g}, got {proposal['value']:g}")
        return proposal["value"]

    @t.validate("width", "n_full")
    def _a_window(self, proposal: Any) -> int:
        letter, high = ("W", self.small.full.in_features), ("N", self.small.full.n_classes)
        name, most = letter if proposal["trait"].name == "width" else high
        if not 1 <= proposal["value"] <= most:
            raise t.TraitError(f"{name} should be from 1 to {most:,}, got {proposal['value']:,}")
        return int(proposal["value"])

    @t.validate("stored")
    def _one_of_them(self, proposal: Any) -> int:
        if not 0 <= proposal["value"] < len(self.small.experts):
            raise t.TraitError(f"stored should be below {len(self.small.experts)}, got {proposal['value']}")
        return int(proposal["value"])

    @t.observe(*_BEGIN)
    def _chosen(self, change: Any) -> None:
        if self._quiet:
            return
        with LOCK:
            self._keep(change["name"])
            self.version += 1

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
        """Recall at 1, 5 and 10, divergence in nats, and arithmetic at the present W and N."""
        return windows.quality(self.small, self.width, self.n_full)

    def recall_curve(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """N, and the recall of the ten best words that it guarantees at the present W (see `SVDSoftmax.choose`)."""
        return windows.recall_curve(self.small, self.width)

    def choose(self) -> Choice:
        """Set the W and N of least arithmetic for the wanted recall of the ten best words."""
        found = windows.choose(self.small, self.wanted / 100)
        with LOCK, self.hold_trait_notifications():  # views see both at once
            self.width, self.n_full = found.width, found.n_full
        return found

    def top_words(self) -> tuple[list[str], list[float], list[float]]:
        """The ten best words of the shown state by the full softmax: words, their probabilities, and those that
        SVD-softmax gives them."""
        x = self.small.states[self.place - 1 : self.place]
        full = self.small.full.topk(x, max(TOPS))
        ours = self.window().log_prob(x)[0, full.indices[0]]
        return (
            [self.small.words[i] for i in full.indices[0].tolist()],
            full.values[0].exp().tolist(),
            ours.exp().tolist(),
        )

    # ---- the tails that exact decoding skips

    def opened_shares(self, k: int) -> list[float]:
        """Share of the rows for which ``topk(k)`` opens each tail of the small adaptive model."""
        return windows.opened_shares(self.small, k)

    def pairs_percent(self, k: int) -> float:
        """Percent of the (row, tail) pairs that are opened."""
        return 100 * float(np.mean(self.opened_shares(k)))

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

        Raises ValueErrX, or if it was made with other settings.
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
        """The stored experts whose sizes the case takes."""
        return self.small.experts[self.stored]

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
            case, words, windows.svd_of(self.small).singular_values, seconds=seconds, tick=tick, heard=heard
        )


def cheapest_percent(explorer: AlternativesExplorer) -> float:
    """Percent of the arithmetic that the cheapest W and N need for 99 % of the ten best words of the small model."""
    return windows.cheapest_percent(explorer.small)
