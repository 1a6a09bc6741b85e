"""The fast code against :mod:`adasoft.reference`, on drawn cases; and the reference against loops and by hand."""

import itertools

import numpy as np
import oracle
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from adasoft import PaperCost, plan, reference


def _weights(layer):
    """Head, tails and bias, as the reference takes them."""
    return layer.head.weight, [(projection.weight, words.weight) for projection, words in layer.tail], layer.head.bias


def _rank_of_id(layer):
    return torch.arange(layer.n_classes) if layer.order is None else layer.order.argsort()


@given(oracle.cases())
def test_log_probabilities(case):
    layer, x = case.layer, case.x
    truth = reference.log_probabilities(x, *_weights(layer))
    by_id = truth[..., _rank_of_id(layer)]
    rows = x.reshape(-1, layer.in_features).tolist()
    loops = torch.tensor(oracle.log_prob(layer, rows), dtype=torch.float64).view(by_id.shape)
    torch.testing.assert_close(by_id, loops, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(layer.log_prob(x), by_id, rtol=1e-11, atol=1e-11)


@given(oracle.cases())
def test_loss_and_its_gradients(case):
    layer, x = case.layer, case.x.requires_grad_()
    counted = case.target != layer.ignore_index
    layer.reduction = "mean"
    made = layer(x, case.target).loss
    ranks = _rank_of_id(layer)[case.target[counted]]
    truth = reference.loss(x[counted], ranks, *_weights(layer))
    torch.testing.assert_close(made, truth, equal_nan=True, rtol=1e-11, atol=1e-11)
    if counted.any():
        values = [x, *layer.parameters()]
        of_layer, of_reference = (torch.autograd.grad(loss, values, materialize_grads=True) for loss in (made, truth))
        torch.testing.assert_close(of_layer, of_reference, rtol=1e-9, atol=1e-11)


@st.composite
def planned(draw):
    counts = sorted(draw(st.lists(st.integers(1, 10_000), min_size=6, max_size=40)), reverse=True)
    # without a flat part, with one that covers some tails, and with nothing else
    c, lam = draw(st.sampled_from([(0.0, 1e-8), (1e-6, 1e-8), (1e-6, 1e-10)]))
    return counts, draw(st.integers(1, 500)), draw(st.integers(1, 4)), {"c": c, "lam": lam, "k0": 3.0}


@given(planned())
def test_plans(case):
    counts, batch, n_tails, numbers = case
    p = np.array(counts) / sum(counts)
    g = reference.product_time(**numbers)
    made = plan(counts, 8, batch, cost=PaperCost(**numbers), n_tails=n_tails, min_head_share=0)
    assert made.time == pytest.approx(reference.cost(made.cutoffs, p, batch, g), rel=1e-12)
    best = reference.best_cutoffs(p, batch, n_tails, g)
    # where several partitions are equally fast, either may be found
    assert made.time == pytest.approx(reference.cost(best, p, batch, g), rel=1e-12)
    assert len(best) == n_tails and sorted({*best, 0, len(p)}) == [0, *best, len(p)]


def test_one_word_in_each_cluster():
    assert reference.best_cutoffs([0.5, 0.3, 0.2], 10, 2, reference.product_time(1e-6, 1e-9)) == [1, 2]


def _cost_of_clusters(clusters, p, batch, g):
    """Time of any partition: the words of the head, then of each tail, in any order."""
    head, *tails = ([*cluster] for cluster in clusters)
    return float(g(len(head) + len(tails), batch) + sum(g(len(tail), p[tail].sum() * batch) for tail in tails))


@pytest.mark.parametrize("seed", range(8))
def test_rank_order_is_best_where_g_is_affine(seed):
    """The exchange argument: over all partitions of the words, not only by cutoffs."""
    rng, n = np.random.default_rng(seed), 6
    p = np.sort(rng.random(n) ** 3)[::-1]
    p /= p.sum()
    g = reference.product_time(c=10 * rng.random(), lam=1.0, k0=0)
    for J in (1, 2):
        labels = (np.array(each) for each in itertools.product(range(J + 1), repeat=n) if len({*each}) == J + 1)
        costs = [_cost_of_clusters([np.flatnonzero(each == i) for i in range(J + 1)], p, 100, g) for each in labels]
        best = reference.best_cutoffs(p, 100, J, g)
        assert reference.cost(best, p, 100, g) == pytest.approx(min(costs), rel=1e-12)


def test_where_g_is_flat_rank_order_is_a_restriction():
    """The counterexample of `best_cutoffs`: a tail below the flat time may hold more tokens for nothing."""
    p, g = np.array([0.90, 0.04, 0.03, 0.02, 0.01]), reference.product_time(c=0.0, lam=1.0, k0=1, B0=10)
    best = reference.best_cutoffs(p, 100, 2, g)
    assert best == [1, 3] and reference.cost(best, p, 100, g) == pytest.approx(324)
    assert _cost_of_clusters([[0], [1, 2], [3, 4]], p, 100, g) == pytest.approx(324)
    assert _cost_of_clusters([[0], [1, 4], [2, 3]], p, 100, g) == pytest.approx(320)
