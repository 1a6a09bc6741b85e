"""Runs to be trained side by side: what each softmax stands for, and whether they fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...cost import Cost
from ...lm.settings import AUTHORS_CUTOFFS, BodyMaker, Partition, Settings, authors_cutoffs
from ...results.suite import PAPER_TEXT8, SUITE
from ..time_model.timings import check_memory
from .looks import LABELS

#: Steps of a window, as in the paper.
STEPS = 20
#: Settings of those whose cutoffs are not the reader's.
_SETTINGS = {**{name: SUITE[name] for name in PAPER_TEXT8}, "planned": SUITE["planned-0.75"]}
#: Those that take the authors' cutoffs.
_AUTHORS = ("d-softmax", "d-softmax-star", "adaptive")


def settings_of(names: Sequence[str], n_classes: int, common: Settings) -> dict[str, Settings]:
    """The settings of each softmax named; the rest as in ``common``. Raises ValueError where one makes no sense."""
    if not names:
        raise ValueError("nothing is ticked: choose at least one softmax")
    for name in names:
        if name in _AUTHORS and not authors_cutoffs(n_classes):
            raise ValueError(
                f"{LABELS[name]}: the authors cut at {AUTHORS_CUTOFFS[0][1][0]:,} words or more, and this text has "
                f"V = {n_classes:,}; untick it, and set your own cutoffs"
            )
    return {name: replace(common, **_SETTINGS.get(name, {})) for name in names}


@dataclass(frozen=True)
class Request:
    """Runs to be trained side by side: settings by name, and clusters and bodies where they do not follow from them."""

    settings: dict[str, Settings]
    clusters: dict[str, Partition]
    bodies: dict[str, BodyMaker]
    cost: Cost | None

    def check_memory(self, n_classes: int) -> None:
        """Raise `TooLarge` if they need more memory than there is."""
        some = next(iter(self.settings.values()))
        d, words = some.hidden, n_classes * some.hidden
        # weights, gradients and Adagrad's sums of embedding, words and gates; logits with what is made of them
        needed = 12.0 * len(self.settings) * (2 * words + 9 * d * d) + 12.0 * some.tokens * n_classes
        check_memory(needed, "cpu", f"{len(self.settings)} models of V = {n_classes:,} and d = {d}")
