"""The paper's form of g(k), flat and then affine: the line, its fit, and what the paper prints of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...cost import Form, PaperCost

Array = npt.NDArray[Any]

#: What the paper prints of its measurement (section 4, first version): (2560 x 2048) by (2048 x k), mean of 1000 runs.
PAPER_FLAT = {"K40": 0.40e-3, "Maxwell": 0.22e-3}
PAPER_K0 = 50
PAPER_SIZES = {"batch": 2560, "in_features": 2048}
#: Its experiment with two clusters on the Penn Treebank (10,000 words), and what it prints of it: the best short-list,
#: seconds with it in the root, and of the full softmax.
PAPER_TWO_SIZES = {"n_words": 10_000, "in_features": 128, "batch": 512}
PAPER_SHORTLIST, PAPER_TWO, PAPER_FULL = 1400, 0.33e-3, 0.80e-3

# ---------------------------------------------------------------------- the paper's form of g


@dataclass(frozen=True)
class FlatAffine:
    """``g(k) = max(c + lambda k0, c + lambda k)``: seconds of a product against its words k (the paper, section 4)."""

    c: float
    """Seconds whatever the size."""
    lam: float
    """Seconds per word, for the whole batch."""
    k0: float
    """Words up to which the time is flat."""

    def __post_init__(self) -> None:
        for name, value in (("c", self.c), ("lam", self.lam), ("k0", self.k0)):
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} should be a finite number of at least 0, got {value!r}")

    def __call__(self, k: Any) -> Any:
        """Seconds for k words (a number or an array)."""
        return self.c + self.lam * np.maximum(k, self.k0)

    @property
    def flat(self) -> float:
        """Seconds of the flat part, c + lambda k0."""
        return self.c + self.lam * self.k0

    @property
    def start_in_words(self) -> float:
        """How many words cost as much as the flat part; inf if words cost nothing."""
        return self.flat / self.lam if self.lam else math.inf

    def errors(self, k: Any, seconds: Any) -> Array:
        """Relative errors of the line at measured points."""
        return np.asarray(self(np.asarray(k, dtype=np.float64)) / np.asarray(seconds) - 1.0)

    def cost(self, batch: int, form: Form = "last") -> PaperCost:
        """The paper's cost model with this line, taken at a batch of ``batch`` tokens."""
        return PaperCost(self.c, self.lam / batch, self.k0, float(batch), form=form, name=f"the paper's {form} form")


def fit_flat_affine(k: Any, seconds: Any) -> FlatAffine:
    """The `FlatAffine` with the least sum of squared relative errors.

    Args:
        k: words, at least 4 different sizes.
        seconds: one for each, above 0.

    Exact: with the points of the flat part given, the problem is linear, so each split is solved by (non-negative)
    least squares; k0 may also lie on a point. Where no size lies on a flat part, k0 is 0.

    Raises ValueError for other shapes, sizes or seconds.
    """
    from scipy.optimize import nnls

    sizes, times = np.asarray(k, dtype=np.float64), np.asarray(seconds, dtype=np.float64)
    if sizes.ndim != 1 or sizes.shape != times.shape or len(np.unique(sizes)) < 4:
        raise ValueError(
            f"k and seconds should be two lists with at least 4 different k, got shapes {sizes.shape} and {times.shape}"
            f" with {len(np.unique(sizes))} different k"
        )
    if not (np.isfinite(times).all() and (times > 0).all() and np.isfinite(sizes).all() and (sizes >= 0).all()):
        raise ValueError(
            f"k should be at least 0 and seconds above 0, all finite; got {sizes.tolist()} and {times.tolist()}"
        )
    order = np.argsort(sizes, kind="stable")
    sizes, times = sizes[order], times[order]
    best, least = FlatAffine(0.0, 0.0, 0.0), math.inf

    def consider(c: float, lam: float, k0: float) -> None:
        nonlocal best, least
        line = FlatAffine(c, lam, k0)
        error = float((line.errors(sizes, times) ** 2).sum())
        if error < least * (1 - 1e-9):
            best, least = line, error

    def affine(x: Array, t: Array) -> tuple[float, float]:
        scale = max(float(x.max()), 1.0)
        (c, lam), _ = nnls(np.stack([1 / t, x / scale / t], 1), np.ones(len(t)))
        return float(c), float(lam) / scale

    for k0 in (0.0, *sizes[:-1].tolist()):
        if len(np.unique(np.maximum(sizes, k0))) > 1:
            consider(*affine(np.maximum(sizes, k0), times), k0)
    for split in range(1, len(sizes) - 1):
        below, above = times[:split], slice(split, None)
        if len(np.unique(sizes[above])) < 2:
            continue
        flat = float((1 / below).sum() / (1 / below**2).sum())
        c, lam = affine(sizes[above], times[above])
        if lam > 0 and sizes[split - 1] <= (flat - c) / lam <= sizes[split]:
            consider(c, lam, (flat - c) / lam)
    return best if best.k0 > sizes[0] * (1 + 1e-6) else FlatAffine(best.c, best.lam, 0.0)


def sweep_sizes(most: int, points: int = 14) -> list[int]:
    """Word counts from 1 to ``most``, evenly spread on a log scale. Raises ValueError for ``most`` below 8."""
    if most < 8:
        raise ValueError(f"the largest k should be at least 8, got {most:,}")
    return np.unique(np.geomspace(1, most, points).round().astype(np.int64)).tolist()  # type: ignore[no-any-return]
