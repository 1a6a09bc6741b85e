"""What is timed is the layer and its parts, on inputs of their own, with the memory that is predicted."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import adasoft
from adasoft import timing as T
from adasoft import workloads as W


def test_targets_hold_each_clusters_share():
    shares = W.token_shares(5000)
    counts = np.bincount(W.draw_targets(shares, 1000, 3).numpy(), minlength=5000)
    expected = shares.cumsum() * 1000
    assert np.abs(counts.cumsum() - expected).max() <= 1 + 1e-9
    assert not torch.equal(W.draw_targets(shares, 1000, 3), W.draw_targets(shares, 1000, 4))


def test_what_is_timed_is_the_layer():
    shape = W.Shape(500, 32, 64, (50, 200), (8, 2))
    for make in (W.ours, W.stock, W.FullSoftmax):
        layer = make(shape)
        (step,) = W.layer_steps(shape, sets=1, make=lambda _, layer=layer: layer)
        step()
        assert all(p.grad is not None for p in layer.parameters())
    W.bare_products(shape, [10, 3], "cpu", torch.float32)()
    pool = W.Pool(10_000, torch.device("cpu"), torch.float32)
    for objective in ("train", "decode"):
        W.product_step(pool, 8, 50, 16, objective)()
        W.projection_step(pool, 8, 32, 4, objective)()
    W.rows_step(pool, 8, 16)()


def test_gradients_are_freed_before_each_step(monkeypatch):
    """Else they add up: one more addition is timed, and the numbers grow from turn to turn."""
    pool, leaves = W.Pool(10_000, torch.device("cpu"), torch.float32), []
    take = pool.take
    monkeypatch.setattr(pool, "take", lambda *size: leaves.append(take(*size)) or leaves[-1])
    product = W.product_step(pool, 8, 50, 16, "train")
    shape = W.Shape(500, 32, 64, (50, 200), (8, 2))
    layer = W.ours(shape)
    leaves += layer.parameters()
    layer.register_forward_pre_hook(lambda _, given: leaves.append(given[0]))
    (whole,) = W.layer_steps(shape, sets=1, make=lambda _: layer)
    product()
    whole()
    kept = [leaf.grad.clone() for leaf in leaves]
    product()
    whole()
    for leaf, gradient in zip(leaves, kept, strict=False):  # the layer's input is in `leaves` twice by now
        assert gradient.any()
        torch.testing.assert_close(leaf.grad, gradient)


def test_each_input_set_has_its_own_memory(monkeypatch):
    """Else the caches hold the weights from the turn before."""
    steps = W.product_items([(8, 50, 16)], objective="product", sets=3)[8, 50, 16]
    seen = []
    monkeypatch.setattr(torch, "mm", lambda *sides, out: seen.append([side.data_ptr() for side in (*sides, out)]))
    for step in steps:
        step()
    assert len(set(itertools.chain(*seen))) == 3 * 3


def test_inputs_are_aligned_as_an_allocator_would():
    pool = W.Pool(2**16, torch.device("cpu"), torch.bfloat16)
    assert all(pool.take(7, 9).data_ptr() % 64 == pool.numbers.data_ptr() % 64 for _ in range(20))


@pytest.mark.parametrize(
    "shape",
    [
        W.Shape(20_000, 128, 512, (1000, 5000), (32, 8)),
        W.Shape(30_000, 64, 2048, (300,), (64,)),
        W.Shape(9000, 256, 64, (4000, 8000), (64, 16)),
    ],
    ids=str,
)
def test_predicted_memory_is_what_a_step_holds(shape):
    made = adasoft.PaperCost(1e-4, 1e-9).layer(
        shape.n_classes, shape.cutoffs, shape.widths, shape.tail_shares(), shape.in_features, shape.batch
    )
    # the weights and the input are there before
    predicted = made.peak_bytes - 4 * (made.parameters + shape.batch * shape.in_features)
    assert T.peak_bytes(W.layer_steps(shape, sets=1)[0]) == pytest.approx(predicted, rel=0.06)


def test_the_parts_of_a_layer_do_what_the_layer_does():
    """As many multiplications, counted while both run; the parts of a tail without tokens are left out."""
    from torch.utils.flop_counter import FlopCounterMode

    for shape in (W.Shape(600, 16, 40, (60, 200), (8, 4)), W.Shape(3000, 16, 4, (2500, 2990), (8, 4))):
        pool = W.Pool(1 << 16, torch.device("cpu"), torch.float32)
        counted = []
        for step in (W.layer_steps(shape)[0], W.parts_step(shape, pool)):
            with FlopCounterMode(display=False) as counter:
                step()
            counted.append(counter.get_total_flops())
        assert counted[1] == pytest.approx(counted[0], rel=0.1)  # whole tokens there, shares of them here


def test_decoded_layers_say_which_tails_are_opened():
    shape, (step,) = W.decode_steps(W.Shape(90_000, 16, 5, (300, 900), (8, 4)))
    assert len(shape.opened) == 2 and all(0 <= share <= 1 for share in shape.opened) and shape.batch == 5
    assert step().indices.shape == (5, 10)
    few, _ = W.decode_steps(W.Shape(900, 16, 5, (300, 600), (8, 4)))
    assert few.opened == (1.0, 1.0)  # so few that all words are computed
