"""The front of time and capacity against brute force; two clusters by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from partitions import brute, counts_of, measured

import adasoft
from adasoft import PaperCost, Vocabulary
from adasoft.tradeoffs import FrontPoint, front_table


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


def test_the_number_of_tails_of_a_front_follows_the_widths():
    arguments = dict(cost=measured(4), points=3)
    words = 1000 // np.arange(1, 101)
    assert {p.widths for p in adasoft.front(words, 64, 400, **arguments)} == {(16, 8), ()}
    assert adasoft.front(words, 64, 400, widths=[20, 12, 9], **arguments)[0].widths == (20, 12, 9)
    assert adasoft.front(words, 64, 400, width_ratio=2, **arguments)[0].widths == (32, 16)
    for n_tails, rule in ((0, "an integer of at least 1"), (100, "from 1 to 99 with 100 words and align=1")):
        with pytest.raises(ValueError, match=rf"^n_tails should be {rule}, got {n_tails}$"):
            adasoft.front(words, 64, 400, n_tails=n_tails, **arguments)
    with pytest.raises(ValueError, match=r"^n_tails should be from 1 to 99 .*, got 0$"):
        adasoft.front(words, 64, 400, widths=[], **arguments)


def test_the_front_as_a_table():
    points = [
        FrontPoint(0.0015, 100.4, 0.5, (1000, 20_000), (16, 8), True),
        FrontPoint(0.006, 128.0, 1.0, (), (), True),
    ]
    assert front_table(points).splitlines() == [
        "mean width  head holds          time  speedup  cutoffs",
        "       100       50.0%      1.500 ms      4.0  1,000, 20,000",
        "       128      100.0%      6.000 ms      1.0  none: the full softmax",
    ]


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
