"""Cutoffs dragged on the curve of the words: a small anywidget without any library of its own.

Python hears during the drag. Handles are sliders to screen readers, move by keyboard, and cannot pass one another.
"""

from __future__ import annotations

from typing import Any

import anywidget
import numpy as np
import traitlets as t

from ...vocabulary import Vocabulary
from .widgets import STATIC

#: Head, then tails: Okabe and Ito's colours, told apart by colour-blind readers; every band is named as well.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")


class CutPicker(anywidget.AnyWidget):  # type: ignore[misc]
    """The shares of the words by rank, with one handle per cutoff.

    ``cuts`` is written by both sides; ``moved`` says which handle moved last; ``bands`` names the clusters.
    """

    _esm = STATIC / "picker.js"
    _css = STATIC / "picker.css"
    n = t.Int(1000).tag(sync=True)
    xs = t.List(t.Float(), [1.0]).tag(sync=True)
    ys = t.List(t.Float(), [1.0]).tag(sync=True)
    mass = t.List(t.Float()).tag(sync=True)
    cuts = t.List(t.Int()).tag(sync=True, echo_update=False)
    moved = t.Int(0).tag(sync=True)
    bands = t.List(t.Unicode()).tag(sync=True)
    colors = t.List(t.Unicode(), list(COLORS)).tag(sync=True)
    height = t.Int(300).tag(sync=True)
    label = t.Unicode("cutoffs").tag(sync=True)
    mark: t.List[Any] = t.List().tag(sync=True)
    """Rank, share and name of a word to mark on the curve; empty for none."""

    @t.validate("cuts")
    def _in_order(self, proposal: Any) -> list[int]:
        return sorted({min(max(int(c), 1), max(1, self.n - 1)) for c in proposal["value"]})

    def show(self, vocabulary: Vocabulary, cuts: tuple[int, ...], bands: list[str]) -> None:
        """Draw these words and cutoffs, in one message to the browser."""
        with self.hold_sync():
            if getattr(self, "_words", None) is not vocabulary:
                self._words = vocabulary
                self.n = len(vocabulary)
                ranks = places(len(vocabulary))
                seen = ranks[vocabulary.counts[ranks - 1] > 0]  # a count of 0 has no place on a log axis
                self.xs = ranks.astype(float).tolist()
                self.ys = vocabulary.shares[seen - 1].tolist()
                self.mass = vocabulary.cumulative[ranks].tolist()
                self.label = f"Words of {vocabulary.name} by frequency, with cutoffs"
            self.cuts = list(cuts)
            self.bands = bands


def places(n: int, points: int = 320) -> np.ndarray[Any, Any]:
    """Ranks 1..n, about ``points`` of them, evenly spaced on a log axis, both ends included."""
    return np.unique(np.geomspace(1, n, points).round().astype(np.int64))
