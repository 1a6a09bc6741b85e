"""The front of time and capacity against brute force; two clusters by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from partitions import brute, counts_of, measured

import adasoft
from adasoft import PaperCost, Vocabulary


def test_front_is_a_front_and_its_points_are_exact():
    counts = np.random.default_rng(5).zipf(1.2, 24).clip(max=500)
    vocabulary, cost = Vocabulary(counts), measured(4)
    points = adasoft.front(counts, 16, 400, cost=cost, n_tails=2, points=8)
    assert [p.mean_width for p in points] == sorted(p.mean_width for p in points)
    assert [p.time for p in points] == sorted(p.time for p in points)
    assert points[-1].cutoffs == () and points[-1].mean_width == 16
    assert len(points) > 2
    assert adasoft.front([3, 2, 1], 16, 40, cost=PaperCost(1.0, 1e-9), n_tails=1)[0].cutoffs == ()
    for p in points[:-1]:
        best = brute(vocabulary, 16, 400, cost, p.widths, mean=p.mean_width - 1e-9)
        assert p.exact and p.time == pytest.approx(best[0], rel=1e-9)


@given(counts=counts_of)
@settings(max_examples=20)
def test_two_clusters_by_hand(counts):
    cost = PaperCost(1e-3, 1e-6, k0=3, batch0=40, form="first")
    two = adasoft.two_clusters(counts, 16, 40, cost=cost)
    flat = 1e-3 + 1e-6 * 3 * 40
    total, n = sum(counts), len(counts)
    falling = sorted(counts, reverse=True)
    for k in range(1, n):
        p_h = sum(falling[:k]) / total

        def g(words):
            return max(flat, 1e-3 + 1e-6 * words * 40)

        assert two.root[k - 1] == pytest.approx(g(k + 1) + (1 - p_h) * g(n - k))
        assert two.leaf[k - 1] == pytest.approx(g(2) + p_h * g(k) + (1 - p_h) * g(n - k))
