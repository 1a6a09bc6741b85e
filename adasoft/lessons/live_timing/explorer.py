"""What the lesson on live timing adds to the state of lesson 03: layers to time, a log of what was measured."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import traitlets as t

from ...text import counted
from ..kit import forms
from ..kit.costs import COUNTED_MULTIPLICATIONS
from ..kit.traits import kept
from ..kit.views import LOCK
from ..time_model.explorer import TimingExplorer
from ..time_model.timings import Spread, spreads
from .layers import FULL, OURS, PLAN, STOCK, LayerJob

#: Measurements of layers that the log keeps.
LOGGED = 12
_SIZE = forms.number(1, whole=True)
_SIZES = forms.fields(V=_SIZE, d=_SIZE, B=_SIZE, cutoffs=forms.each(_SIZE), device=forms.text, dtype=forms.text)
_LOGGED = forms.fields(sizes=_SIZES, predicted=forms.table(forms.SECONDS), whose=forms.text, plan=forms.each(_SIZE))


def _load(value: Any, name: str) -> None:
    """Load and cores when it began; older measurements do not say."""
    forms.optional(forms.row(forms.number(0), forms.number(1)))(value.get("load"), f"{name}.load")


_FORMS = {
    "layers": forms.both(forms.measured(), _load),
    "layers log": forms.each(forms.both(forms.measured(), _LOGGED, _load)),
    "curve": forms.both(forms.measured(forms.decimal), _load),
    "layer race": forms.table(forms.text),
    "layers timed wrongly": forms.fields(sizes=forms.anything, seconds=forms.table(forms.SECONDS)),
}


class LiveTimingExplorer(TimingExplorer):
    """A `TimingExplorer` that also holds whole layers to time, and what was measured of them."""

    _forms: ClassVar[Mapping[str, forms.Form]] = {**TimingExplorer._forms, **_FORMS}

    scaled = kept(t.Bool(False))
    """Whether predictions are drawn scaled to the measured points, so that shapes can be compared."""

    # ---- layers side by side

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
                f"PyTorch's layer would have a tail of width 0 with d = {self.in_features} and "
                f"{counted(len(cuts), 'tail')}: untick it"
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

    def predicted_layers(self, which: Mapping[str, bool] | None = None) -> dict[str, float]:
        """Predicted seconds of those layers that the cost model knows; none of numbers it was not timed with.

        It is fitted to our layer, so it says nothing about PyTorch's.
        """
        if not self.judges:
            return {}
        found = self.layer_job(which).seconds(self.timings[0])
        return {name: seconds for name, seconds in found.items() if name != STOCK and math.isfinite(seconds)}

    def measured_layers(self) -> dict[str, Spread]:
        """What was measured last at the present settings."""
        return spreads(self.measured_entry(), self.layer_sizes)

    def measured_entry(self) -> Mapping[str, Any] | None:
        """The last measurement at the present settings, as it is kept."""
        entries = (self.recall("layers"), *self.log())
        return next((entry for entry in entries if spreads(entry, self.layer_sizes)), None)

    def timed_wrongly(self) -> dict[str, float]:
        """Single cold shots at the present settings."""
        found: Mapping[str, Any] = self.recall("layers timed wrongly") or {}
        same = found.get("sizes") == json.loads(json.dumps(self.layer_sizes))
        return dict(found["seconds"]) if same else {}

    def log(self) -> list[Mapping[str, Any]]:
        """Measurements of layers, the newest first, each with what was predicted."""
        return list(reversed(self.recall("layers log") or []))

    def note_layers(self, value: Mapping[str, Any], predicted: Mapping[str, float], plan: Sequence[int]) -> None:
        """Keep a measurement of layers and add it to the log, with what was ``predicted`` and the ``plan`` then."""
        named = {name: seconds for name, seconds in predicted.items() if name in value["times"]}
        entry = {**value, "predicted": named, "whose": self.timings[1], "plan": list(plan)}
        with LOCK:
            self.remember("layers log", [*(self.recall("layers log") or []), entry][-LOGGED:])
            self.note("layers", value)

    # ---- the U-curve

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
