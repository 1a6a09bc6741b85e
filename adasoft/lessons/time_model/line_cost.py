"""The paper's forms for tails that are narrower than the head, as those of the planner are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...cost import Form, Objective, PaperCost, Values
from .flat_affine import FlatAffine


@dataclass(frozen=True)
class LineCost(PaperCost):
    """A `PaperCost` whose words are as wide as their tail.

    The paper's model knows one width. Here a word of a tail of width w costs w/d of a word of the head, and the
    projection down to w costs as much as w words; so the forms differ in nothing but who pays the constant.
    """

    @classmethod
    def of(cls, line: FlatAffine, batch: int, form: Form) -> LineCost:
        """The forms of a line that was measured with ``batch`` tokens."""
        return cls(line.c, line.lam / batch, line.k0, float(batch), form=form, name=f"the paper's {form} form")

    def tail_time(
        self,
        size: Values,
        share: Values,
        batch: float,
        d: float,
        width: float,
        objective: Objective,
        opened: float | None = 1.0,
    ) -> Values:
        """Seconds of a tail in the chosen form."""
        words = np.asarray(size, dtype=np.float64) * (width / d) + (width if width < d else 0.0)
        return super().tail_time(words, share, batch, d, width, objective, opened)
