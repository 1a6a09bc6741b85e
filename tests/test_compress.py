"""What makes a trained model small: distillation, pruning, rounding and their account; every identity in fp64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from adasoft import AdaptiveEmbedding, AdaptiveSoftmax
from adasoft import compress as C

V, D, N, CUTOFFS = 40, 6, 50, [8, 20]


pytestmark = pytest.mark.usefixtures("in_fp64", "one_thread")


def drawn(order=None):
    layer = AdaptiveSoftmax(D, V, CUTOFFS, div_value=2, head_bias=True, order=order)
    return layer, torch.randn(N, D), torch.randint(V, (N,))


def all_labels(layer, hidden):
    """The whole distribution of a teacher, as labels of V words."""
    return C.SoftLabels(torch.arange(V).expand(len(hidden), V), layer.log_prob(hidden).exp().detach())


def ranks_of(layer, ids):
    return ids if layer.order is None else layer.order.argsort()[ids]


# ---------------------------------------------------------------------- distillation


def test_a_of_1_is_cross_entropy():
    layer, hidden, target = drawn()
    labels = C.top_labels(drawn()[0], hidden, 5)
    own = layer(hidden, target)
    found = C.distil_adaptive(layer, hidden, target, labels, 1.0)
    torch.testing.assert_close(found.loss, own.loss, rtol=1e-12, atol=0)
    torch.testing.assert_close(found.hard, -own.output, rtol=1e-12, atol=0)
    full = C.distil(layer.log_prob(hidden), target, labels, 1.0)
    torch.testing.assert_close(full.loss, own.loss, rtol=1e-12, atol=0)


def test_full_soft_labels_of_an_equal_model_give_no_gradient():
    layer, hidden, target = drawn()
    hidden.requires_grad_()
    C.distil(layer.log_prob(hidden), target, all_labels(layer, hidden), 0.0).loss.backward()
    for tensor in (hidden, *layer.parameters()):
        assert tensor.grad.abs().max() < 1e-15
    # and those of another model do
    other = all_labels(drawn()[0], hidden.detach())
    (moved,) = torch.autograd.grad(C.distil(layer.log_prob(hidden), target, other, 0.0).loss, hidden)
    assert moved.abs().max() > 1e-4


def inside_labels(layer, target, k=5):
    """k words of each row that all lie in the head or the target's own tail."""
    ranks, rows = ranks_of(layer, target), []
    order = torch.arange(V) if layer.order is None else layer.order
    for rank in ranks.tolist():
        inside = [*range(CUTOFFS[0])]
        if rank >= CUTOFFS[0]:
            start, stop = (CUTOFFS[0], CUTOFFS[1]) if rank < CUTOFFS[1] else (CUTOFFS[1], V)
            inside += range(start, stop)
        chosen = torch.tensor(inside)[torch.randperm(len(inside))[:k]]
        rows.append(order[chosen])
    return C.SoftLabels(torch.stack(rows), torch.rand(len(target), k) / k)


@pytest.mark.parametrize("shuffled", [False, True])
def test_restricted_is_full_where_all_words_lie_in_head_and_own_tail(shuffled):
    layer, hidden, target = drawn(torch.randperm(V) if shuffled else None)
    labels = inside_labels(layer, target)
    restricted = C.distil_adaptive(layer, hidden, target, labels, 0.3)
    full = C.distil(layer.log_prob(hidden), target, labels, 0.3)
    for a, b in zip(restricted, full, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)
    names = [name for name, _ in layer.named_parameters()]
    grads = [torch.autograd.grad(found.loss, [*layer.parameters()]) for found in (restricted, full)]
    for name, a, b in zip(names, *grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-13, msg=name)


def test_restricted_by_a_double_loop():
    layer, hidden, target = drawn()
    labels = C.SoftLabels(torch.stack([torch.randperm(V)[:7] for _ in range(N)]), torch.rand(N, 7) / 7)
    log_prob, edges = layer.log_prob(hidden), [0, *CUTOFFS, V]
    soft, without = [], 0
    for i in range(N):
        cluster = next(j for j in range(3) if edges[j] <= target[i] < edges[j + 1])
        counts = [
            (q, w)
            for q, w in zip(labels.probabilities[i].tolist(), labels.ids[i].tolist(), strict=True)
            if w < edges[1] or edges[cluster] <= w < edges[cluster + 1]
        ]
        total = sum(q for q, _ in counts) + 1e-8
        soft.append(-sum(q / total * log_prob[i, w].item() for q, w in counts))
        without += not counts
    found = C.distil_adaptive(layer, hidden, target, labels, 0.25)
    torch.testing.assert_close(found.soft, torch.tensor(soft), rtol=1e-12, atol=1e-14)
    expected = 0.25 * found.hard.mean() + 0.75 * found.soft.mean()
    assert without and found.loss.item() == pytest.approx(expected.item(), rel=1e-12)


def test_no_tail_is_opened_that_no_target_lies_in():
    layer, hidden, _ = drawn()
    target = torch.randint(CUTOFFS[1], (N,))  # none in the second tail
    labels, called = all_labels(layer, hidden), []
    layer.tail[1].register_forward_hook(lambda *_: called.append(1))
    C.distil_adaptive(layer, hidden, target, labels, 0.5).loss.backward()
    assert not called and layer.tail[1][1].weight.grad is None


def test_the_teachers_best_words_are_its_best():
    layer, hidden, _ = drawn(torch.randperm(V))
    ids, probabilities = C.top_labels(layer, hidden, 5)
    expected = layer.log_prob(hidden).exp().topk(5)
    torch.testing.assert_close(probabilities, expected.values)
    assert torch.equal(ids, expected.indices)


def test_annealing_is_a_straight_line():
    line = [C.annealed(step, 10) for step in range(10)]
    assert line == pytest.approx([0.5 + 0.05 * step for step in range(10)])
    assert C.annealed(0, 1) == 0.95


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ids, p: (ids + V, p), f"labels.ids should be from 0 to {V - 1}, got {V}"),
        (lambda ids, p: (ids - 1, p), f"labels.ids should be from 0 to {V - 1}, got -1"),
        (lambda ids, p: (ids * 0, p), "labels.ids should differ within a row"),
        (lambda ids, p: (ids.double(), p), "labels.ids should be integers"),
        (lambda ids, p: (ids, p.long()), "labels.probabilities should be floating-point"),
        (lambda ids, p: (ids, p * math.nan), "labels.probabilities should be finite and at least 0, got nan"),
        (lambda ids, p: (ids, -p), "labels.probabilities should be finite and at least 0, got -"),
        (lambda ids, p: (ids, p + 0.3), "labels.probabilities should sum to at most 1 in each row, got 1.9"),
        (lambda ids, p: (ids[:, :2], p), r"of one shape \(n, k\), got"),
        (lambda ids, p: (ids[:3], p[:3]), "labels should have a row for each target, one at least, got 3 rows for 50"),
    ],
)
def test_bad_labels_are_refused_by_name(change, message):
    layer, hidden, target = drawn()
    labels = C.SoftLabels(*change(torch.arange(3).repeat(N, 1), torch.full((N, 3), 1 / 3)))
    with pytest.raises(ValueError, match=message):
        C.distil_adaptive(layer, hidden, target, labels, 0.5)
    with pytest.raises(ValueError, match=message):
        C.distil(layer.log_prob(hidden), target, labels, 0.5)


def test_bad_batches_of_distillation_are_refused_by_name():
    layer, hidden, target = drawn()
    labels = C.top_labels(layer, hidden, 3)
    for a in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="a should be from 0 to 1"):
            C.distil_adaptive(layer, hidden, target, labels, a)
    with pytest.raises(ValueError, match=f"target should be from 0 to {V - 1}, got {V}"):
        C.distil_adaptive(layer, hidden, target.clone().fill_(V), labels, 0.5)
    with pytest.raises(ValueError, match="hidden should hold finite numbers"):
        C.distil_adaptive(layer, hidden * math.nan, target, labels, 0.5)
    with pytest.raises(ValueError, match="log_prob should hold finite numbers"):
        C.distil(layer.log_prob(hidden) * math.nan, target, labels, 0.5)
    with pytest.raises(ValueError, match="tail_dropout of layer should be 0"):
        C.distil_adaptive(AdaptiveSoftmax(D, V, CUTOFFS, 2, tail_dropout=0.1), hidden, target, labels, 0.5)
    with pytest.raises(ValueError, match="step should be an integer from 0 to 9, got 10"):
        C.annealed(10, 10)


# ---------------------------------------------------------------------- pruning


def test_the_cubic_by_hand():
    for t in range(5, 16):
        expected = 0.7 + (0.1 - 0.7) * (1 - (t - 5) / 10) ** 3
        assert C.cubic_sparsity(t, 5, 15, 0.7, 0.1) == pytest.approx(expected, rel=1e-14)
    assert C.cubic_sparsity(0, 5, 15, 0.7, 0.1) == 0.1 and C.cubic_sparsity(99, 5, 15, 0.7, 0.1) == 0.7


@pytest.mark.parametrize("sparsity", [0, 0.013, 0.358, 0.5, 0.99])
def test_sparsity_to_the_entry_and_idempotent(sparsity):
    weight = torch.randn(17, 23)
    mask = C.magnitude_mask(weight, sparsity)
    pruned = weight * mask
    assert int((pruned == 0).sum()) == round(sparsity * weight.numel())
    assert not sparsity or weight[~mask].abs().max() <= weight[mask].abs().min()
    assert torch.equal(C.magnitude_mask(pruned, sparsity), mask)
    ties = C.magnitude_mask(torch.ones(10), 0.3)
    assert ties.tolist() == [False] * 3 + [True] * 7


def test_what_is_pruned_never_comes_back_while_others_move():
    weights = {"a": nn.Parameter(torch.randn(9, 11)), "b": nn.Parameter(torch.randn(13))}
    pruning = C.GradualPruning(weights, {"a": 0.6, "b": 0.25}, start=2, end=12, every=7)
    before = {name: torch.zeros_like(w, dtype=torch.bool) for name, w in weights.items()}
    for t in range(15):
        with torch.no_grad():
            for w in weights.values():
                w.add_(torch.randn_like(w))  # a step of an optimizer, which moves the pruned ones as well
        pruning.step(t)
        for name, w in weights.items():
            zero = w.detach() == 0
            assert not (before[name] & ~zero).any()
            chosen = 2 + (t - 2) // 7 * 7 if t < 12 else 12  # the last step at which weights were chosen
            share = 0.0 if t < 2 else C.cubic_sparsity(chosen, 2, 12, pruning.final[name])
            assert int(zero.sum()) == round(share * w.numel())
            before[name] = zero
    assert pruning.sparsity() == (round(0.6 * 99) + round(0.25 * 13)) / 112


def test_sensitivities_prune_one_at_a_time_and_give_back():
    weights = {"a": nn.Parameter(torch.randn(10)), "b": nn.Parameter(torch.randn(20))}
    before = {name: w.detach().clone() for name, w in weights.items()}

    def perplexity():
        return 10.0 + sum(k * float((w == 0).sum()) for k, w in zip((1, 100), weights.values(), strict=True))

    curves = C.sensitivities(weights, perplexity, [0.2, 0.5])
    assert curves == {"a": {0.0: 10.0, 0.2: 12.0, 0.5: 15.0}, "b": {0.0: 10.0, 0.2: 410.0, 0.5: 1010.0}}
    for name, w in weights.items():
        assert torch.equal(w, before[name])
    weights["b"].data[0] = 0.0
    with pytest.raises(RuntimeError, match="stop"):
        C.sensitivities(weights, lambda: (_ for _ in ()).throw(RuntimeError("stop")), [0.5])
    assert weights["b"][0] == 0


def test_the_common_threshold_meets_the_total_and_keeps_to_the_bound():
    generator = torch.Generator().manual_seed(1)
    grid = [0.0, 0.2, 0.5, 0.8]
    for _ in range(20):
        rises = torch.rand(3, 3, generator=generator).cumsum(1).mul(30).add(100).tolist()
        curves = {name: dict(zip(grid, [100.0, *rise], strict=True)) for name, rise in zip("abc", rises, strict=True)}
        sizes = {"a": 1000, "b": 50, "c": 400}
        for target in (0.0, 0.05, 0.358, 0.79):
            bound, shares = C.common_threshold(curves, sizes, target)
            together = sum(shares[name] * sizes[name] for name in sizes) / 1450
            assert together == pytest.approx(target, abs=1e-9)
            for name, share in shares.items():
                at = next((i for i in range(3) if grid[i] <= share <= grid[i + 1]), 2)
                a, b = curves[name][grid[at]], curves[name][grid[at + 1]]
                reached = a + (b - a) * (share - grid[at]) / (grid[at + 1] - grid[at])
                # every matrix stands at the bound, unless its curve ends before
                assert reached == pytest.approx(bound, rel=1e-9) or (share == 0.8 and reached < bound) or target == 0


def test_the_threshold_where_a_curve_falls():
    curves = {"a": {0.0: 100.0, 0.5: 90.0, 0.8: 120.0}, "b": {0.0: 100.0, 0.5: 150.0, 0.8: 151.0}}
    assert C.sparsities_within(curves, 100.0) == pytest.approx({"a": 0.5, "b": 0.0})
    assert C.sparsities_within(curves, 99.0) == {"a": 0.0, "b": 0.0}
    bound, shares = C.common_threshold(curves, {"a": 10, "b": 10}, 0.1)
    assert bound == pytest.approx(100) and shares == pytest.approx({"a": 0.2, "b": 0.0})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: C.cubic_sparsity(0, 0, 9, 1.0), "final should be at least 0 and below 1, got 1"),
        (lambda: C.cubic_sparsity(0, 0, 9, 0.5, -0.1), "initial should be at least 0 and below 1, got -0.1"),
        (lambda: C.cubic_sparsity(0, 0, 9, 0.2, 0.3), "final should be at least initial=0.3, got 0.2"),
        (lambda: C.cubic_sparsity(0, 9, 9, 0.5), "end should be an integer of at least 10, got 9"),
        (lambda: C.magnitude_mask(torch.ones(3), math.nan), "sparsity should be at least 0 and below 1, got nan"),
        (lambda: C.magnitude_mask(torch.tensor([math.nan]), 0.5), "weight should hold finite numbers"),
        (lambda: C.magnitude_mask(torch.ones(3), 0.5, torch.ones(2, dtype=torch.bool)), "kept should be bools of"),
        (lambda: C.GradualPruning({"a": nn.Parameter(torch.ones(2))}, {"b": 0.5}, 0, 9), "final should name"),
        (lambda: C.GradualPruning({"a": nn.Parameter(torch.ones(2))}, {"a": 1.5}, 0, 9), r"final\['a'\] should be"),
        (lambda: C.sensitivities({}, lambda: 1.0, [0.5, 0.2]), "grid should rise"),
        (lambda: C.sensitivities({}, lambda: 1.0, [1.0]), r"grid\[0\] should be between 0 and 1, got 1"),
        (lambda: C.sensitivities({}, lambda: math.nan, [0.5]), r"perplexity\(\) should be a finite number of at least"),
        (lambda: C.common_threshold({"a": {0.0: 9.0, 0.5: 9.5}}, {"a": 3}, 0.6), "target should be at most 0.5"),
        (lambda: C.common_threshold({"a": {0.0: 9.0, 0.5: 9.5}}, {"b": 3}, 0.1), "sizes should name the matrices"),
        (lambda: C.common_threshold({"a": {0.0: 9.0, 0.5: 9.5}}, {"a": 3}, -1), "target should be at least 0 and"),
    ],
)
def test_bad_pruning_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# ---------------------------------------------------------------------- rounding


@pytest.mark.parametrize("bits", [2, 4, 9, 16])
def test_the_error_of_rounding_and_its_idempotence(bits):
    weight = torch.randn(12, 30) * torch.logspace(-3, 3, 12).unsqueeze(1)
    found = C.quantize(weight, bits)
    most = 2 ** (bits - 1) - 1
    assert torch.equal(found.levels, found.levels.round())
    assert torch.equal(found.levels.abs().amax(1), torch.full((12,), float(most)))  # each row has its own scale
    assert ((found.values - weight).abs() <= (1 + 1e-12) / (2 * found.scales)).all()
    again = C.quantize(found.values, bits)
    assert torch.equal(again.levels, found.levels)
    torch.testing.assert_close(again.values, found.values, rtol=1e-15, atol=0)
    assert torch.equal(C.fake_quantize(weight, bits), found.values)
    vector = C.quantize(weight[3], bits)
    assert vector.scales.shape == (1,) and torch.equal(vector.values, found.values[3])


def test_32_bits_are_the_identity_and_zeros_stay():
    weight = torch.randn(3, 4)
    assert C.fake_quantize(weight, 32) is weight
    weight[1] = 0.0
    assert torch.equal(C.fake_quantize(weight, 4)[1], torch.zeros(4))
    states = C.RunningRange(32)
    assert states(weight) is weight


def test_the_gradient_goes_straight_through():
    weight, x, bits = torch.randn(5, 7, requires_grad=True), torch.randn(9, 7), 4
    F.linear(x, C.fake_quantize(weight, bits)).square().sum().backward()
    rounded = C.quantize(weight, bits).values.requires_grad_()
    F.linear(x, rounded).square().sum().backward()
    assert torch.equal(weight.grad, rounded.grad)
    (unrounded,) = torch.autograd.grad(F.linear(x, weight).square().sum(), weight)
    assert not torch.allclose(weight.grad, unrounded)


def test_rounding_all_parameters_is_the_straight_through_gradient():
    weight, x = nn.Parameter(torch.randn(5, 7)), torch.randn(9, 7)
    exact = weight.detach().clone()
    with C.quantized_weights([weight], 4):
        assert torch.equal(weight, C.quantize(exact, 4).values)
        F.linear(x, weight).square().sum().backward()
    assert torch.equal(weight, exact)
    by_hand = exact.clone().requires_grad_()
    F.linear(x, C.fake_quantize(by_hand, 4)).square().sum().backward()
    assert torch.equal(weight.grad, by_hand.grad)
    with pytest.raises(KeyError), C.quantized_weights([weight], 4):
        raise KeyError
    assert torch.equal(weight, exact)


def test_the_range_of_states_follows_them():
    states, sizes = C.RunningRange(5, decay=0.9), [2.0, 3.0, 0.5]
    biased = 0.0
    for n, size in enumerate(sizes, 1):
        x = torch.linspace(-size, size / 2, 11)
        states(x)
        biased = 0.9 * biased + 0.1 * size
        assert states.range == pytest.approx(biased / (1 - 0.9**n), rel=1e-12)
    states.eval()
    r, scale = states.range, 15 / states.range
    x = torch.tensor([-9.0, -r, 0.3, r / 2, 9.0], requires_grad=True)
    found = states(x)
    found.sum().backward()
    assert found.tolist() == pytest.approx([-r, -r, round(0.3 * scale) / scale, round(r / 2 * scale) / scale, r])
    assert x.grad.tolist() == [0.0, 1.0, 1.0, 1.0, 0.0] and states.range == r


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: C.quantize(torch.ones(2, 2), 1), ValueError, "bits should be an integer from 2 to 31, got 1"),
        (lambda: C.fake_quantize(torch.ones(2, 2), 33), ValueError, "bits should be an integer from 2 to 32, got 33"),
        (lambda: C.fake_quantize(torch.tensor([math.inf]), 9), ValueError, "weight should hold finite numbers"),
        (lambda: C.fake_quantize(torch.tensor([math.nan]), 32), ValueError, "weight should hold finite numbers"),
        (lambda: C.quantize(torch.ones(2, 2, 2), 9), ValueError, "weight should be a vector or a matrix, got the"),
        (lambda: C.RunningRange(1), ValueError, "bits should be an integer from 2 to 32, got 1"),
        (lambda: C.RunningRange(9, 1.0), ValueError, "decay should be at least 0 and below 1, got 1"),
        (lambda: C.RunningRange()(torch.tensor([math.nan])), ValueError, "x should hold finite numbers"),
        (lambda: C.RunningRange().eval()(torch.ones(2)), RuntimeError, "range should come from a batch in training"),
    ],
)
def test_bad_rounding_is_refused_by_name(make, error, message):
    with pytest.raises(error, match=message):
        make()


# ---------------------------------------------------------------------- the account

#: MicroNet's winner on WikiText-103: cutoffs 3,500 and 25,000, widths 256, 64 and 4.
WORDS, HEAD, SECOND, THIRD = 267_735, 3_502, 21_500, 242_735


def tail(width, words):
    return C.product_operations(256, width) + C.product_operations(width, words, bias=True)


def test_a_layer_made_by_hand():
    weight = torch.tensor([[1.0, 0.0, 2.0], [0.0, 0.0, 3.0]])
    found = C.linear_operations(weight, torch.tensor([1.0, 0.0]))
    # half the entries are not 0: 3 multiplications; half of 2 x 2 sums, and 1 bias
    assert (found.multiplications, found.additions, found.others) == (3.0, 3.0, 0.0)
    assert found.total(8) == 3 * 8 / 32 + 3
    stored = C.storage_of([weight, weight.detach(), torch.ones(4)], scales=2)  # a tied matrix once
    assert stored == C.Storage(nonzeros=7, entries=10, scales=2)
    assert stored.size(8) == 7 * 8 / 32 + 10 / 32 + 2 and stored.size(mask=False) == 9


@pytest.mark.parametrize(
    ("found", "printed"),
    [
        (C.product_operations(256, HEAD, bias=True), 1_793_024),
        (tail(64, SECOND), 2_784_704),
        (tail(4, THIRD), 1_943_924),
        (C.softmax_operations(HEAD), 10_505),
        (C.softmax_operations(SECOND), 64_499),
        (C.softmax_operations(THIRD), 728_204),
        (C.transformer_parts(256, 8, 24, 768, 97)["queries, keys, values"], 294_912),
        (C.layer_norm_operations(256), 1_536),
        (C.cache_operations(2000, 256), 1_027_999),
        (C.softmax_operations(0), 0),
    ],
)
def test_the_printed_rows(found, printed):
    assert found.total() == printed


def test_the_report_forgets_the_multiplications_of_the_cache():
    found = C.cache_operations(2000, 256)
    assert found.additions + found.others == 515_999 and found.multiplications == 2000 * 256


def test_the_printed_model_without_clusters_to_the_operation():
    """The stored output of the notebook: a full softmax, 8 layers, 257 positions, no cache."""
    layer = C.transformer_parts(256, 8, 24, 768, 257)
    total = sum((part for _ in range(8) for part in layer.values()), C.Operations())
    total += C.product_operations(256, WORDS, bias=True) + C.softmax_operations(WORDS)
    assert (total.multiplications, total.additions) == (74_097_600, 74_081_664)
    # the softmax over an empty cache costs -1 there
    assert total.others - 1 == 840_083 and total.total() - 1 == 149_019_347
    numbers = WORDS * 257 + 8 * (256 * 576 + 576 + 24 * 257 + 192 * 256 + 2 * 256 * 768 + 768 + 256)
    assert numbers == 73_588_631
    assert C.Storage(numbers, numbers).size() == 75_888_275.71875


def test_the_adaptive_model_of_the_paper():
    """8.3 million parameters, 17 million operations; 198,232, 35,479 and 11,858 tokens of the test in the bins."""
    parts = C.transformer_parts(256, 8, 24, 768, 97)
    total = sum((part for _ in range(8) for part in parts.values()), C.Operations())
    total += C.product_operations(256, HEAD, bias=True) + tail(64, SECOND) + tail(4, THIRD)
    for n in (HEAD, SECOND, THIRD):
        total += C.softmax_operations(n)
    for width, tokens in ((64, 35_479), (4, 11_858)):
        share = tokens / (198_232 + 35_479 + 11_858)
        total += C.linear_operations(torch.ones(256, width), None, share)
    assert round(total.total() / 1e6) == 17
    assert round((total + C.cache_operations(2000, 256)).total() / 1e6) == 18
    words = 3_500 * 256 + SECOND * 64 + THIRD * 4
    layers = 8 * (256 * 576 + 576 + 24 * 97 + 192 * 256 + 2 * 256 * 768 + 768 + 256)
    numbers = words + WORDS + 2 * 257 + 2 * 256 * 68 + layers
    assert numbers + 8 * 4 * 256 == 8_304_213  # as printed, with the gains of layer norm
    assert C.score(1.8e6, 8.8e6) == pytest.approx(0.0387, abs=4e-4)


def test_the_parts_of_our_modules():
    layer = AdaptiveSoftmax(D, V, CUTOFFS, div_value=2)
    parts = C.softmax_parts(layer)
    assert parts["head"].total() == 10 * (2 * D - 1)
    assert parts["tail 1"].total() == 3 * (2 * D - 1) + 12 * 5 and parts["tail 2"].total() == 1 * 11 + 20 * 1
    assert parts["softmaxes"].total() == 3 * (10 + 12 + 20) - 3
    embedding = AdaptiveEmbedding.tied(layer)
    assert C.embedding_operations(embedding, [0.5, 0.25]).total() == 0.5 * D * 5 + 0.25 * D * 1
    assert C.embedding_operations(nn.Embedding(V, D)).total() == 0
    inputs, rest = C.lstm_operations(nn.LSTM(D, 4))
    assert inputs.total() == 16 * 2 * D and rest.total() == 16 * 2 * 4 + 16 + 36
    # a model's own words, and not twice
    both = C.storage_of([*layer.parameters(), *embedding.parameters()])
    assert both.entries == sum(p.numel() for p in layer.parameters()) + D * 3 + D * 1


def test_density_scales_products_and_bits_multiplications():
    layer = AdaptiveSoftmax(D, V, CUTOFFS, div_value=2)
    dense = C.softmax_parts(layer)["head"]
    with torch.no_grad():
        layer.head.weight.mul_(C.magnitude_mask(layer.head.weight, 0.5))
    sparse = C.softmax_parts(layer)["head"]
    assert (sparse.multiplications, sparse.additions) == (dense.multiplications / 2, dense.additions / 2)
    assert sparse.total(8) == sparse.multiplications / 4 + sparse.additions


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: C.Operations(1.0).total(1), "bits should be an integer from 2 to 32, got 1"),
        (lambda: C.Storage(1, 1).size(64), "bits should be an integer from 2 to 32, got 64"),
        (lambda: C.storage_of([torch.tensor([math.nan])]), "tensors should hold finite numbers"),
        (lambda: C.product_operations(2, 2, density=1.5), "density should be from 0 to 1, got 1.5"),
        (lambda: C.linear_operations(torch.ones(2, 2), None, math.nan), "share should be from 0 to 1, got nan"),
        (lambda: C.score(math.nan, 1), "parameters should be a finite number of at least 0, got nan"),
        (lambda: C.lstm_operations(nn.LSTM(3, 3, 2)), "lstm should have one layer"),
        (lambda: C.embedding_operations(AdaptiveEmbedding(V, D, CUTOFFS, 2), [0.1]), "shares should be one for each"),
    ],
)
def test_bad_accounts_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()
