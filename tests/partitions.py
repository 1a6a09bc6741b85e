"""Cost models for tests of plans, and the best of all partitions by brute force."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import strategies as st

from adasoft import MeasuredCost, PaperCost
from adasoft.cost import Cost


def measured(seed: int = 0) -> MeasuredCost:
    """A cost model with drawn coefficients; each term matters at the sizes of these tests."""
    rng = np.random.default_rng(seed)

    def draw(scale):
        return (rng.random(len(scale)) * scale).tolist()

    kinds = {
        "product": draw([1e-4, 1e-7, 1e-6, 1e-6, 1e-6, 1e-6]),
        "projection": draw([1e-4, 1e-8, 1e-7, 1e-7]),
        "rows": draw([1e-4, 1e-7, 1e-8]),
    }
    more = {"search": draw([1e-4, 1e-6, 1e-7, 1e-9]), "head": draw([1e-6]), "full": draw([1e-6])}
    vector = {"vector": draw([1e-4, 1e-7, 1e-6, 1e-6])}
    parts = {"train": kinds | {"full": more["full"]}, "decode": kinds | more | vector}
    return MeasuredCost(parts, {"train": 2e-4, "decode": 2e-4}, name="drawn")


COSTS = {
    "last": PaperCost(1e-3, 1e-6, k0=3, batch0=40),
    "first": PaperCost(1e-3, 1e-6, k0=3, batch0=40, form="first"),
    "expected": PaperCost(1e-3, 1e-6, k0=3, batch0=40, form="expected"),
    "measured": measured(0),
    "measured, flat": measured(1),
}


class Odd(Cost):
    """Neither monotone nor Monge: what a user may bring."""

    name = "odd"

    def product_time(self, k, rows, d, objective="train"):
        return 1.0 + np.cos(np.asarray(k) * 1.7) + np.sin(np.asarray(rows) * 0.3)


counts_of = st.lists(st.integers(0, 50), min_size=2, max_size=12).filter(any)


def brute(vocabulary, d, batch, cost, widths, floor=0.0, objective="train", align=1, mean=0.0):
    """(seconds, cutoffs) of the best of all partitions, by looking at each; None if there is none.

    ``floor``: of the head's share; ``mean``: of the mean width per token.
    """
    n, mass = vocabulary.n_classes, vocabulary.cumulative
    best = None
    for cutoffs in itertools.combinations(range(1, n), len(widths)):
        shares = np.diff(mass[[0, *cutoffs, n]])
        if any(c % align for c in cutoffs) or shares[0] < floor - 1e-12 or np.dot([d, *widths], shares) < mean - 1e-9:
            continue
        seconds = cost.layer(n, cutoffs, widths, shares[1:].tolist(), d, batch, objective).seconds
        if best is None or seconds < best[0] * (1 - 1e-12):
            best = (seconds, cutoffs)
    return best
