"""What the lesson on alternatives adds to the one state: W and N, experts, the best words asked for, a case."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import traitlets as t
from torch import Tensor

from ...alternatives import DoublySparseSoftmax, synthetic_hierarchy
from ...alternatives.doubly_sparse_training import Settings, Step
from ...alternatives.svd_softmax import Choice, SVDSoftmax
from ...files import DamagedFile, cache_dir, writable_folder
from ...vocabulary import Vocabulary
from ..kit import forms
from ..kit.parts import one_line
from ..kit.saved import not_kept, removed
from ..kit.views import LOCK
from ..time_model.explorer import TimingExplorer
from ..time_model.timings import Tick
from . import cases as sc
from .small_models import STATES, TOPS, SmallModels, best_words, small_models

#: Of the states that are not chosen by, how many a picture is made of.
SHOWN = 128
#: Up to how many best words may be asked for.
MOST = 50
#: For how many best words pairs and times are shown.
PLACES = (1, 2, 5, 10, 20, 50)
#: The synthetic classes: ten groups of ten.
GROUPS, PER_GROUP = 10, 10
#: Epochs of each stage of the training on them, of 20 steps each.
EPOCHS = 40


def _with_full_softmax(points: Any, name: str) -> None:
    """All others are compared with it."""
    if not any(what == "full softmax" and recall >= 0.95 for what, _, recall in points):
        raise ValueError(f"{name} should hold the full softmax")


_BEGIN: dict[str, Any] = {
    "width": 6, "n_full": 250, "wanted": 99.0, "best": 10, "place": 1, "n_experts": 10, "threshold": 0.03,
    "mitosis": False, "stored": 0, "expert": 1, "task": sc.BEST, "exact": False, "bet": "",
}  # fmt: skip
_FORMS = {
    "skipped tails": forms.measured(), "case": forms.both(forms.measured(), forms.fields(
        bet=forms.text, known=forms.fields(opened=forms.optional(forms.SHARE), arithmetic=forms.table(forms.SECONDS)),
    )),
    "bets": forms.each(forms.row(forms.flag)),
    "svd windows": forms.fields(
        points=forms.both(forms.each(forms.row(forms.text, forms.SECONDS, forms.SHARE)), _with_full_softmax),
        device=forms.text, date=forms.text,
    ),
    "experts": forms.fields(
        sizes=forms.fields(stages=forms.each(forms.COUNT, fewest=1), threshold=forms.number(0), epochs=forms.COUNT),
        known=forms.each(forms.each(forms.number(0, GROUPS * PER_GROUP - 1, whole=True)), fewest=1),
        points=forms.each(forms.row(forms.COUNT, forms.COUNT, forms.number()), fewest=1), step=forms.COUNT,
        steps=forms.COUNT, exact=forms.COUNT, rows=forms.COUNT, task=forms.number(),
    ),
}  # fmt: skip
_RANGES = {
    "wanted": ("the wanted recall, in percent,", 1.0, 100.0), "best": ("k", 1, MOST),
    "place": ("hidden state", 1, STATES), "n_experts": ("the number of experts", 1, 20),
    "threshold": ("the threshold", 0.0, 0.3), "expert": ("expert", 1, 64),
}  # fmt: skip


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
        "n_words": 20_000, "in_features": 256, "batch": 256, "cutoffs": (1000, 5000),
    }  # fmt: skip
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
    stored = t.Int(_BEGIN["stored"])
    """Which of the stored doubly sparse softmaxes."""
    expert = t.Int(_BEGIN["expert"])
    """Which of its experts, from 1."""
    task = t.Enum(sc.TASKS, _BEGIN["task"])
    exact = t.Bool(_BEGIN["exact"])
    """Whether only exact methods will do."""
    bet = t.Unicode(_BEGIN["bet"])
    """The method that the reader bets on; empty: none yet."""

    def __init__(self, vocabulary: Vocabulary | str | None = None, **traits: Any) -> None:
        self._windows: dict[Any, Any] = {}
        super().__init__(vocabulary, **traits)

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
        """As `Explorer.forget`; the experts' checkpoint goes, too."""
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
        return self.small.states[STATES // 2 : STATES // 2 + SHOWN]

    @property
    def chosen_by(self) -> Tensor:
        """The hidden states that W and N are chosen by."""
        return self.small.states[: STATES // 2]

    def window(self, width: int | None = None, n_full: int | None = None) -> SVDSoftmax:
        """SVD-softmax of the full small model at this W and N."""
        svd = _svd()
        svd.set_window(width or self.width, n_full or self.n_full)
        return svd

    def quality(self) -> dict[str, float]:
        """Recall at 1, 5 and 10, divergence in nats, and arithmetic at the present W and N."""

        def make() -> dict[str, float]:
            svd, x = self.window(), self.reported
            ours, true = svd.topk(x, max(TOPS)).indices, _true_best()
            found = {f"recall {k}": best_words(ours, true, k) for k in TOPS}
            return found | {"divergence": svd.divergence(x), "utilisation": svd.utilisation}

        return self._kept_window(("quality", self.width, self.n_full), make)  # type: ignore[no-any-return]

    def recall_curve(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """N, and the recall of the ten best words that it guarantees at the present W (see `SVDSoftmax.choose`)."""

        def make() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
            svd = self.window(n_full=1)
            needed = svd._needed(self.reported, max(TOPS)).flatten().sort().values.numpy()
            places = np.unique(np.geomspace(1, svd.n_classes, 60).round().astype(np.int64))
            return places.astype(float), np.searchsorted(needed, places, side="right") / len(needed)

        return self._kept_window(("curve", self.width), make)  # type: ignore[no-any-return]

    def _kept_window(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self._windows:
            if len(self._windows) > 256:
                self._windows.clear()
            self._windows[key] = make()
        return self._windows[key]

    def choose(self) -> Choice:
        """Set the W and N of least arithmetic for the wanted recall of the ten best words."""
        svd = self.window()
        found = svd.choose(self.chosen_by, self.wanted / 100, max(TOPS))
        with LOCK:
            with self.muted():
                self.width = found.width
            self._keep("width")
            if self.n_full == found.n_full:
                self.version += 1
            self.n_full = found.n_full
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

        def make() -> list[float]:
            return self.small.adaptive.opened(self.small.adaptive_states, k).float().mean(0).tolist()  # type: ignore[no-any-return]

        return self._kept_window(("opened", k), make)  # type: ignore[no-any-return]

    def pairs_percent(self, k: int) -> float:
        """Percent of the (row, tail) pairs that are opened."""
        return 100 * float(np.mean(self.opened_shares(k)))

    # ---- experts on the synthetic classes

    @property
    def checkpoint(self) -> Path:
        """Where the training of the experts stands, so that it can go on."""
        name = f"experts-of-{self._lesson or 'no-lesson'}.safetensors"
        return cache_dir() / "lessons" / name

    @property
    def expert_settings(self) -> Settings:
        """How the experts are trained: in one stage, or cloned once."""
        stages = [self.n_experts]
        if self.mitosis and stages[0] % 2 == 0:
            stages.insert(0, stages[0] // 2)
        return Settings(stages=tuple(stages), threshold=self.threshold, epochs=EPOCHS)

    @property
    def expert_sizes(self) -> dict[str, Any]:
        """What a training of experts depends on."""
        settings = self.expert_settings
        return {"stages": list(settings.stages), "threshold": settings.threshold, "epochs": settings.epochs}

    def train_experts(self, *, anew: bool, tick: Tick, heard: Callable[[Mapping[str, Any]], None]) -> None:
        """Train experts on the 10 x 10 classes; ``heard`` is told now and then how they stand, as it is kept.

        Raises ValueError if there is nothing to go on with, or if it was made with other settings.
        """
        with LOCK:
            settings, sizes = self.expert_settings, self.expert_sizes
        kept = self.recall("experts") or {}
        path: Path | None = self.checkpoint
        assert path is not None
        if anew:
            removed(path)
            kept = {}
        elif not path.exists() or not kept:
            raise ValueError("nothing to go on with: press Train to start anew")
        elif kept["sizes"] != sizes:
            raise ValueError("the experts below were trained with other settings: set those again, or press Train")
        elif kept["step"] >= kept["steps"]:
            raise ValueError("this training has come to its end: press Train to start anew")
        state = _Watched(kept, sizes, settings)
        try:
            writable_folder(path.parent)
        except OSError as error:
            not_kept(path, error)
            path = None

        def follow(step: Step, softmax: DoublySparseSoftmax) -> None:
            state.see(step, softmax)
            tick((step.step + 1) / state.steps, f"step {step.step + 1} of {state.steps}, {step.n_rows} rows")
            heard(state.now)

        before = torch.get_num_threads()
        with warnings.catch_warnings():  # an emptied expert and a collapsed gate are told by the panel
            warnings.simplefilter("ignore", RuntimeWarning)
            try:
                torch.set_num_threads(1)  # many tiny products: more threads would wait for each other
                synthetic_hierarchy.train_hierarchy(
                    hierarchy(), settings, checkpoint=path, callback=follow, progress=False
                )
            except Exception as error:
                if anew or state.now:  # else it did not even begin
                    raise
                reason = error.args[1] if isinstance(error, DamagedFile) else one_line(error)
                raise DamagedFile(str(path), reason, "press Train to start anew") from error
            finally:
                torch.set_num_threads(before)
                if state.now:
                    state.finish()
                    self.note("experts", state.now)

    # ---- a case

    @property
    def case(self) -> sc.Case:
        """What is to be timed with the present settings."""
        return sc.Case(
            self.task, self.exact, self.in_features, self.batch, tuple(self.cutoffs), tuple(self.widths), self.device,
            self.experts_for_case.n_experts, self.expert_share,
        )  # fmt: skip

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
            "words": self.vocabulary.name, "V": len(self.vocabulary), "d": case.in_features, "rows": case.rows,
            "cutoffs": list(case.cutoffs), "widths": list(case.widths), "device": case.device, "task": case.task,
            "exact": case.exact, "experts": [case.n_experts, round(case.expert_share, 4)],
        }  # fmt: skip

    def time_case(self, seconds: float, tick: Tick, heard: Callable[[str, float], None]) -> dict[str, Any]:
        """Time the case in turns; what is known of the softmaxes besides."""
        with LOCK:
            case, words = self.case, self.vocabulary
        return sc.time_case(case, words, _svd().singular_values, seconds=seconds, tick=tick, heard=heard)


@lru_cache(maxsize=1)
def _svd() -> SVDSoftmax:
    return SVDSoftmax(small_models().full)


@lru_cache(maxsize=1)
def _true_best() -> Tensor:
    models = small_models()
    return models.full.topk(models.states[STATES // 2 : STATES // 2 + SHOWN], max(TOPS)).indices


@lru_cache(maxsize=1)
def hierarchy() -> synthetic_hierarchy.Hierarchy:
    """The paper's synthetic data: ten groups of ten classes."""
    return synthetic_hierarchy.hierarchy(GROUPS, PER_GROUP)


class _Watched:
    """How a training of experts stands, as JSON."""

    def __init__(self, kept: Mapping[str, Any], sizes: Mapping[str, Any], settings: Settings) -> None:
        self.steps = -(-len(hierarchy().target) // settings.batch) * settings.epochs * len(settings.stages)
        self._points: list[list[float]] = [list(p) for p in kept.get("points", ())]
        self._settings, self._sizes = settings, dict(sizes)
        self._softmax: DoublySparseSoftmax | None = None
        self._last: Step | None = None
        self.now: dict[str, Any] = {}

    def see(self, step: Step, softmax: DoublySparseSoftmax) -> None:
        """One more step."""
        self._softmax, self._last = softmax, step
        per_epoch = self.steps // (self._settings.epochs * len(self._settings.stages))
        if step.step % per_epoch == 0 or not self.now:
            self._points.append([step.step + 1, step.n_rows, step.task])
            self._describe(step, softmax)
        self.now = {**self.now, "step": step.step + 1}

    def finish(self) -> None:
        """The last state, pruned as it is."""
        if self._softmax is not None and self._last is not None:
            self._describe(self._last, self._softmax)

    def _describe(self, step: Step, softmax: DoublySparseSoftmax) -> None:
        known = [softmax.expert(k).tolist() for k in range(softmax.n_experts)]
        found = synthetic_hierarchy.recovery(softmax, hierarchy().groups)
        self.now = {
            "sizes": self._sizes, "known": known, "points": self._points, "step": step.step + 1, "steps": self.steps,
            "exact": found.exact, "task": step.task, "rows": sum(map(len, known)),
        }  # fmt: skip


def utilised(kept: Mapping[str, Any]) -> float:
    """Arithmetic of trained experts as a share of the full softmax's, if all get equally many of the tokens."""
    alive = [len(one) for one in kept["known"] if one]
    n = GROUPS * PER_GROUP
    return (len(kept["known"]) + float(np.mean(alive))) / n if alive else math.nan


@lru_cache(maxsize=1)
def _cheapest() -> float:
    models = small_models()
    svd = SVDSoftmax(models.full)
    return 100 * svd.choose(models.states[:SHOWN], 0.99, max(TOPS)).utilisation


def cheapest_percent(_explorer: Any) -> float:
    """Percent of the arithmetic that the cheapest W and N need for 99 % of the ten best words of the small model."""
    return _cheapest()
