"""The exact search against brute force and plain dynamic programming, stage by stage."""

from __future__ import annotations

import itertools
import math
import time
import tracemalloc

import numpy as np
import pytest
from partitions import COSTS, brute, measured

import adasoft
from adasoft import Vocabulary, search
from adasoft.planning import default_widths
from adasoft.search import Effort, Problem, all_pairs, best_cutoffs


def problem_of(counts, cost, n_tails, *, d=16, batch=40, **limits):
    return Problem.of(Vocabulary(counts).cumulative, cost, d, batch, default_widths(d, n_tails), **limits)


@pytest.mark.parametrize("name", COSTS)
@pytest.mark.parametrize(("cells", "rank_by_rank"), [(3, 0), (3, 10), (5, 60_000)])
def test_every_stage_of_the_search_is_exact(name, cells, rank_by_rank):
    """Small vocabularies would skip the rounds of splitting; with few cells all stages run on them."""
    rng, cost = np.random.default_rng(cells + rank_by_rank), COSTS[name]
    for _ in range(15):
        counts = rng.zipf(1.4, size=rng.integers(15, 26)).clip(max=10_000)
        vocabulary, j = Vocabulary(counts), int(rng.integers(1, 4))
        problem = problem_of(counts, cost, j, first=max(1, vocabulary.words_for_share(0.2)))
        cutoffs, seconds, bound = best_cutoffs(problem, Effort(cells, rank_by_rank))
        best = brute(vocabulary, 16, 40, cost, default_widths(16, j), 0.2)
        assert seconds + float(cost.rows_time(40, 16, "train")) == pytest.approx(best[0], rel=1e-9)
        assert bound == seconds == problem.total(cutoffs)


@pytest.mark.parametrize("name", COSTS)
def test_bounds_lie_below_every_partition_and_touch_single_ones(name):
    """What the search drops, it drops by these: a bound a little too high loses an optimum that no luck finds."""
    rng, n = np.random.default_rng(8), 30
    for _ in range(4):
        problem = problem_of(rng.zipf(1.3, size=n).clip(max=1000), COSTS[name], 3, batch=60)
        mass = problem.cumulative
        every = np.array(list(itertools.combinations(range(1, n), 3)))
        edges = np.column_stack([every, np.full(len(every), n)])
        sizes, shares = np.diff(edges, axis=1), np.diff(mass[edges], axis=1)
        parts = [problem.tails[i](sizes[:, i].astype(float), shares[:, i]) for i in range(3)]
        total = problem.head(every[:, 0]) + sum(parts)
        for number in (1, 2, 3, 5, 1000):
            cells = [search._geometric_cells(*problem.limits(i), Effort(number)) for i in range(3)]
            place = [np.searchsorted(cells[i][0], every[:, i], side="right") - 1 for i in range(3)]
            assert all((every[:, i] <= cells[i][1][place[i]]).all() for i in range(3))
            inside = search._inside(problem, cells)
            last = problem.tails[2](n - cells[2][1].astype(float), mass[n] - mass[cells[2][1]])
            bound = problem.head(cells[0][0])[place[0]] + last[place[2]] + sum(inside[i][place[i]] for i in range(3))
            for i in range(2):
                pair = search._pair_bounds(problem, i, cells[i], cells[i + 1])[place[i], place[i + 1]]
                assert (pair <= parts[i] * (1 + 1e-12)).all()
                bound = bound + pair
            assert (bound <= total * (1 + 1e-12)).all()
        assert all((low == high).all() for low, high in cells)
        assert bound == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize("name", COSTS)
def test_a_search_that_is_cut_short_says_what_is_left_open(name):
    """Without the quadrangle inequality and with room for few cells the optimum is bounded instead of found."""
    rng, left_open = np.random.default_rng(5), 0
    for _ in range(15):
        counts = rng.zipf(1.2, size=26).clip(max=1000)
        problem = problem_of(counts, COSTS[name], 2)._replace(quadrangle_share=math.inf)
        _, seconds, bound = best_cutoffs(problem, Effort(cells=3, most_cells=4))
        best = min(problem.total(cutoffs) for cutoffs in itertools.combinations(range(1, 26), 2))
        assert bound <= best * (1 + 1e-9) and seconds >= best * (1 - 1e-9)
        left_open += bound < seconds
    assert left_open


@pytest.mark.parametrize("name", COSTS)
def test_large_search_equals_dense_dynamic_programming(name):
    """1,500 words: too many partitions to enumerate, few enough for all pairs of ranks."""
    rng = np.random.default_rng(7)
    cost = COSTS[name]
    for counts in (
        rng.zipf(1.3, 1500).clip(max=10**6),
        np.ones(1500),
        1 / np.arange(1.0, 1501),
        np.r_[1e9, np.ones(1499)],
    ):
        vocabulary = Vocabulary(counts)
        for j in (1, 2, 3):
            first = max(1, vocabulary.words_for_share(0.1))
            problem = problem_of(vocabulary, cost, j, d=64, batch=500, first=first)
            assert best_cutoffs(problem)[1] == pytest.approx(all_pairs(problem)[1], rel=1e-9)


def test_a_million_words_within_the_bounds():
    """The aim is 0.1 s; `python -m adasoft bench plan` prints it. Here a bound that a busy machine keeps."""
    vocabulary = Vocabulary.synthetic(1_000_000, shift=2.7)
    started = time.perf_counter()
    plan = adasoft.plan(vocabulary, 512, 2560, cost=measured(0), n_tails=5, min_head_share=0.75)
    assert time.perf_counter() - started < 2.0
    assert plan.n_tails == 5 and plan.gap == 0.0


def test_many_equal_partitions_do_not_fill_the_memory():
    """When decoding, words may move between tails of one width for nothing: no cell can ever be dropped."""
    vocabulary = Vocabulary.synthetic(300_000, shift=2.7)
    tracemalloc.start()
    plan = adasoft.plan(
        vocabulary, 512, 256, cost=measured(0), widths=[8, 8, 8, 8, 8], objective="decode", min_head_share=0.5
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert plan.gap == 0.0 and peak < 5e8
    one = adasoft.plan(vocabulary, 512, 256, cost=measured(0), widths=[8], objective="decode", min_head_share=0.5)
    assert plan.time >= one.time  # the same arithmetic and four products more


def test_the_limits_of_each_cutoff_by_hand():
    """The least rank of cutoff i meets its floor, is a multiple of align, and leaves room for those before it."""

    def limits(n_tails, **more):
        problem = problem_of(np.ones(20), COSTS["last"], n_tails, **more)
        return [problem.limits(i) for i in range(n_tails)]

    assert limits(3) == [(1, 17), (2, 18), (3, 19)]
    assert limits(3, first=4, floors=(9, 9)) == [(4, 17), (9, 18), (10, 19)]
    assert limits(3, first=4, align=4, floors=(9,)) == [(1, 2), (3, 3), (4, 4)]
    assert limits(3, first=3, align=2, floors=(5, 9)) == [(2, 7), (3, 8), (5, 9)]


@pytest.mark.parametrize("seed", range(5))
def test_splitting_keeps_every_rank(seed):
    rng = np.random.default_rng(seed)
    edges = np.unique(rng.integers(1, 60, 12))
    lo, hi = edges[:-1], edges[1:] - 1
    kept = rng.random(len(lo)) < 0.7
    kept[0] = True
    ranks = [np.arange(a, b + 1) for a, b in zip(lo[kept], hi[kept], strict=True)]
    for cells in (1, 7, 40):
        a, b = search._split(lo[kept], hi[kept], Effort(cells))
        parts = [np.arange(x, y + 1) for x, y in zip(a, b, strict=True)]
        assert np.concatenate(parts).tolist() == np.concatenate(ranks).tolist()
        assert len(parts) > len(ranks) or all(len(r) == 1 for r in ranks)


def test_the_minima_of_rows_where_the_last_rows_have_no_column():
    """The rows above them must still reach every column."""
    rows, columns = np.arange(1, 24), np.arange(3, 15)
    rest = np.linspace(40, 0, len(columns))  # the last columns are the best

    def cost(row, column):
        size = columns[column] - rows[row]
        return np.where(size > 0, np.sqrt(np.maximum(size, 1)) + rest[column], np.inf)

    value, column = search._row_minima(cost, len(rows), len(columns))
    table = cost(*np.indices((len(rows), len(columns))))
    assert value.tolist() == table.min(1).tolist()
    has_one = np.isfinite(value)
    assert not has_one.all() and column[has_one].tolist() == table.argmin(1)[has_one].tolist()


def test_no_extra_cost_is_counted_for_tails_too_small_for_the_quadrangle_inequality():
    """Below the share from which it holds, nothing is known about the increase at the other end of a cell."""
    problem = Problem(
        cumulative=np.linspace(0, 1, 101),
        head=lambda k: np.asarray(k, dtype=float),
        tails=[lambda k, p: np.asarray(k, dtype=float) ** 2] * 2,
        quadrangle_share=0.3,
    )
    one_cell = [(np.array([20]), np.array([24])), (np.array([35]), np.array([39]))]
    first, second = search._inside(problem, one_cell)
    assert (first, second) == (0, 0)  # from rank 24 to 39 only 15 % at most: that tail adds to neither
    first, second = search._inside(problem._replace(quadrangle_share=0.1), one_cell)
    # from rank r to r + 1 the left increase is that at r, the right one that at r + 1; least for the last two ranks
    assert (first, second) == (23 - 20, (38 - 24) ** 2 - (35 - 24) ** 2)
    late = [(np.array([20]), np.array([24])), (np.array([80]), np.array([84]))]
    assert search._inside(problem, late)[1] == 0  # the last tail holds 16 %
