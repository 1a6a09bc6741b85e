"""KerBS: its kernel, its senses and its softmax, each identity in fp64."""

from __future__ import annotations

import copy
import math
from decimal import Decimal, getcontext

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional as F

from adasoft import AdaptiveSoftmax
from adasoft.alternatives import FullSoftmax
from adasoft.kerbs import (
    KERNELS,
    KerBS,
    SenseLogits,
    kernel,
    log_sum_by_word,
    places_of,
    starting_words,
    theta_of,
    with_senses_in_head,
)

pytestmark = pytest.mark.usefixtures("one_thread", "in_fp64")

B, D, V = 7, 6, 5
THETAS = (
    -50.0,
    -5.0,
    -1.0,
    -0.51,
    -0.49,
    -1.01e-3,
    -0.99e-3,
    -1e-9,
    0.0,
    1e-9,
    0.99e-3,
    1.01e-3,
    0.49,
    0.51,
    2.0,
    10.0,
)


def drawn(kind="free", senses=(2, 1, 3, 4, 1), **options):
    """A softmax with thetas all over their range, states and targets."""
    layer = KerBS(D, V, senses=senses, kernel=kind, **options)
    if layer.output.raw_theta is not None:
        layer.output.raw_theta.data.uniform_(-2, 1.5)
    layer.output.weight.data.normal_()
    return layer, torch.randn(B, D), torch.arange(B) % V


# ---------------------------------------------------------------- the kernel


def exactly(c, theta):
    """The paper's formula in fifty digits."""
    getcontext().prec = 50
    c, theta = Decimal(c), Decimal(theta)
    if theta == 0:
        return float(c)
    a = -theta / (2 * ((-theta).exp() + theta - 1))
    return float(a * ((-theta * c).exp() - 1))


@pytest.mark.parametrize("theta", THETAS)
def test_the_kernel_is_the_papers_formula_with_integral_one_half(theta):
    for c in (-1.0, -0.3, 0.0, 1e-7, 0.2, 1.0):
        found = kernel(torch.tensor(c), torch.tensor(theta)).item()
        assert found == pytest.approx(exactly(c, theta), rel=1e-13, abs=1e-300)
    nodes, weights = np.polynomial.legendre.leggauss(60)
    c = torch.from_numpy(np.linspace(-1, 1, 200))
    for below_zero in ("kernel", "product"):
        inside = kernel(torch.from_numpy((nodes + 1) / 2), torch.tensor(theta), below_zero=below_zero)
        assert float(inside @ torch.from_numpy(weights)) / 2 == pytest.approx(0.5, rel=1e-12)
        rise = kernel(c, torch.tensor(theta), below_zero=below_zero).diff()
        # on the far side exp(-50) is lost beside 1
        assert (rise >= 0 if theta == -50 and below_zero == "kernel" else rise > 0).all()


@pytest.mark.parametrize("theta", [t for t in THETAS if -50 < t < 10])
def test_gradients_of_the_kernel_by_finite_differences(theta):
    c = torch.tensor([-0.9, -0.2, 0.1, 0.7, 1.0]).requires_grad_()
    at = torch.tensor(theta).requires_grad_()
    for below_zero in ("kernel", "product"):
        if abs(abs(theta) - 1e-3) > 1e-4:  # a step of the check crosses from one form to the other
            assert gradcheck(lambda c, t, b=below_zero: kernel(c, t, below_zero=b), (c, at), rtol=1e-5)
    # where forms meet, both sides agree in value and gradient
    for edge in (1e-3, 0.5):
        pair = torch.tensor([edge * (1 - 1e-9), edge * (1 + 1e-9)]).requires_grad_()
        values = kernel(c.detach()[:, None], pair)  # a theta for each column: two ways to the same values
        torch.testing.assert_close(values, kernel(c.detach()[:, None, None], pair[:, None]).squeeze(2))
        torch.testing.assert_close(values[:, 0], values[:, 1], rtol=1e-9, atol=0)
        slopes = torch.autograd.grad(values.sum(), pair)[0]
        torch.testing.assert_close(slopes[0], slopes[1], rtol=1e-7, atol=0)


def test_the_kink_at_a_right_angle():
    """0 on both sides; slope 1 below and -a theta above, which is 1 only for theta -> 0."""
    for theta, slope in ((0.0, 1.0), (-1.0, 0.5 / (math.e - 2)), (-3.0, 9 / 2 / (math.exp(3) - 4))):
        step = torch.tensor([-1e-7, 0.0, 1e-7])
        found = kernel(step, torch.tensor(theta), below_zero="product") / 1e-7
        assert found.tolist() == pytest.approx([-1.0, 0.0, slope], rel=1e-6)
        whole = kernel(step, torch.tensor(theta)) / 1e-7  # without the switch there is no kink
        assert whole.tolist() == pytest.approx([-slope, 0.0, slope], rel=1e-6)


@pytest.mark.parametrize("kind", ["free", "released"])
def test_theta_stays_in_its_bounds_and_nothing_overflows(kind):
    raw = torch.tensor([-math.inf, -1e30, -4.9, -4, -1, 0, 1, 2.9, 3.0, 4.2, 1e30, math.inf], dtype=torch.float32)
    theta = theta_of(raw.requires_grad_(), kind)
    low, high = {"free": (-5.0, 5.0), "released": (-math.exp(4), -math.exp(-5))}[kind]
    assert theta.min() >= low * (1 + 1e-6) and theta.max() <= high + 1e-6 * abs(high)
    inner = raw[3:9].detach()
    torch.testing.assert_close(theta[3:9], inner if kind == "free" else -inner.exp())
    rise = theta_of(torch.linspace(-8, 8, 300), kind).diff()
    assert ((rise >= 0) if kind == "free" else (rise <= 0)).all()
    values = kernel(torch.linspace(-1, 1, 9, dtype=torch.float32)[:, None], theta[1:-1])
    assert torch.isfinite(values).all()
    assert torch.isfinite(torch.autograd.grad(values.sum(), raw)[0][1:-1]).all()
    start = theta_of(torch.tensor(0.0), kind)
    assert start == (0.0 if kind == "free" else -1.0)
    assert kernel(torch.tensor(1.0), start).item() == pytest.approx(1.0 if kind == "free" else 1.196, abs=5e-4)


# ---------------------------------------------------------------- senses


def test_senses_begin_as_in_the_authors_code():
    assert torch.equal(starting_words(7, 3), torch.arange(21) % 7)
    words = starting_words(5, [2, 1, 3, 4, 1])
    assert torch.bincount(words).tolist() == [2, 1, 3, 4, 1]
    for word, places in enumerate(places_of(words, 5)):
        assert places[places < len(words)].tolist() == (words == word).nonzero().squeeze(1).tolist()


def test_sums_by_word_are_a_product_with_a_matrix_of_zeros_and_ones():
    layer, x, _ = drawn()
    senses = layer.output
    member = F.one_hot(senses.words, V).double()
    scores = senses.scores(x)
    torch.testing.assert_close(log_sum_by_word(scores, senses.places), (scores.exp() @ member).log())
    far = scores - 5000  # where exp gives 0
    torch.testing.assert_close(log_sum_by_word(far, senses.places) + 5000, (scores.exp() @ member).log())
    torch.testing.assert_close(layer.log_prob(x), (scores.softmax(1) @ member).log())
    torch.testing.assert_close(layer.log_prob(x).exp().sum(1), torch.ones(B))


def by_definition(layer, x):
    """K of each state and sense by loops, with lengths and angles as the paper writes them; (B, V) probabilities."""
    senses, out = layer.output, []
    for h in x:
        total = [0.0] * V
        for e, theta, word in zip(senses.weight, senses.theta, senses.words.tolist(), strict=True):
            lengths = float(h.norm() * e.norm())
            c = float(h @ e) / lengths
            k = c if (senses.kernel == "released" and c <= 0) else exactly(c, theta.item())
            total[word] += math.exp(lengths * k)
        out.append([p / sum(total) for p in total])
    return torch.tensor(out)


@pytest.mark.parametrize("kind", KERNELS)
def test_log_prob_is_the_definition(kind):
    layer, x, target = drawn(kind)
    with torch.no_grad():
        expected = by_definition(layer, x).log()
        torch.testing.assert_close(layer.log_prob(x), expected, rtol=1e-9, atol=1e-9)
        output, loss = layer(x, target)
        torch.testing.assert_close(output, expected[range(B), target], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(loss, -output.mean())


@pytest.mark.parametrize("kind", ["free", "product"])
def test_one_sense_and_theta_zero_are_the_full_softmax(kind):
    layer, full = KerBS(D, V, senses=1, kernel=kind), FullSoftmax(D, V, dtype=torch.float64)
    layer.output.weight.data = full.output.weight.data.clone()
    x, target = torch.randn(B, D, requires_grad=True), torch.arange(B) % V
    torch.testing.assert_close(layer.log_prob(x), full.log_prob(x))
    torch.testing.assert_close(layer.topk(x, 3), full.topk(x, 3))
    for ours, theirs in (
        (layer(x, target).loss, full(x, target).loss),
        (layer(x, target).output.square().sum(), full(x, target).output.square().sum()),
    ):
        found = torch.autograd.grad(ours, [x, layer.output.weight])
        torch.testing.assert_close(ours, theirs)
        torch.testing.assert_close(found, torch.autograd.grad(theirs, [x, full.output.weight]))


@pytest.mark.parametrize("kind", KERNELS)
def test_copies_of_one_sense_change_nothing(kind):
    one, x, _ = drawn(kind, 1)
    for m in (2, 3, 4):
        many = KerBS(D, V, senses=m, kernel=kind)
        with torch.no_grad():
            for name, value in many.output.named_parameters():
                value.copy_(torch.cat([one.output.get_parameter(name)] * m))
        torch.testing.assert_close(many.log_prob(x), one.log_prob(x))


def test_the_order_of_senses_changes_nothing():
    layer, x, target = drawn()
    other, order = copy.deepcopy(layer), torch.randperm(11)
    with torch.no_grad():
        other.output.weight.copy_(layer.output.weight[order])
        other.output.raw_theta.copy_(layer.output.raw_theta[order])
    other.output.assign(layer.output.words[order])
    torch.testing.assert_close(other.log_prob(x), layer.log_prob(x))
    torch.testing.assert_close(other(x, target), layer(x, target))


def test_a_moved_sense_changes_two_words_by_its_own_mass():
    layer, x, _ = drawn()
    before, mass = layer.log_prob(x).exp(), layer.output.scores(x).softmax(1)
    words = layer.output.words.clone()
    sense = int((words == 2).nonzero()[1])
    words[sense] = 4
    layer.output.assign(words)
    change = layer.log_prob(x).exp() - before
    expected = torch.zeros(B, V)
    expected[:, 2], expected[:, 4] = -mass[:, sense], mass[:, sense]
    torch.testing.assert_close(change, expected)


def test_two_senses_represent_opposite_meanings_and_one_vector_cannot():
    """Word 0 at u and -u, word 1 at v and -v."""
    u, v = torch.eye(D)[:2] * 5
    x, target = torch.stack([u, -u, v, -v]), torch.tensor([0, 0, 1, 1])
    both = KerBS(D, 2, senses=2)
    with torch.no_grad():
        both.output.weight.copy_(torch.stack([u, v, -u, -v]))
    assert torch.equal(both.topk(x, 1).indices.squeeze(1), target)
    for _ in range(50):
        single = KerBS(D, 2, senses=1, kernel="product")
        assert (single.topk(x, 1).indices.squeeze(1) == target).double().mean() == 0.5


# ---------------------------------------------------------------- as the other softmaxes


@pytest.mark.parametrize("kind", KERNELS)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_chunks_of_rows_give_the_losses_and_gradients_of_all_rows(kind, reduction, monkeypatch):
    layer, x, target = drawn(kind, reduction=reduction, ignore_index=1)
    x.requires_grad_()
    parameters = [x, *layer.parameters()]
    dense = -layer.log_prob(x).gather(1, target.unsqueeze(1)).squeeze(1).masked_fill(target == 1, 0.0)
    expected = {"mean": dense.sum() / (target != 1).sum(), "sum": dense.sum(), "none": dense}[reduction]
    upstream = torch.randn(expected.shape)
    wanted = torch.autograd.grad((expected * upstream).sum(), parameters)
    for rows in (1, 2, 100):
        monkeypatch.setattr("adasoft.kerbs.softmax.chunk_rows", lambda *_, rows=rows: rows)
        output, loss = layer(x, target)
        torch.testing.assert_close((output, loss), (-dense, expected))
        torch.testing.assert_close(torch.autograd.grad((loss * upstream).sum(), parameters), wanted)


@pytest.mark.parametrize("kind", KERNELS)
def test_gradcheck(kind):
    layer = KerBS(2, 3, senses=(1, 2, 1), kernel=kind)
    x, target = torch.randn(3, 2, requires_grad=True), torch.arange(3)
    names = [name for name, _ in layer.named_parameters()]

    def run(x, *values):
        out = torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x, target[:2]))
        return out.output, out.loss

    inputs = (x[:2].detach().requires_grad_(), *(p.detach().requires_grad_() for p in layer.parameters()))
    assert gradcheck(run, inputs, nondet_tol=1e-12)
    assert gradgradcheck(run, inputs, nondet_tol=1e-12)
    per_row = torch.func.vmap(torch.func.grad(lambda h, t: layer(h[None], t[None]).loss), (0, 0))(x.detach(), target)
    whole = torch.autograd.grad(layer(x, target).loss * 3, x)[0]
    torch.testing.assert_close(per_row, whole)


def test_ids_in_any_order_shapes_and_bad_targets():
    order = torch.tensor([3, 0, 4, 1, 2])
    layer, x, target = drawn(order=order)
    by_rank = copy.deepcopy(layer)
    by_rank._keep_order(None)
    torch.testing.assert_close(layer.log_prob(x)[:, order], by_rank.log_prob(x))
    torch.testing.assert_close(layer(x, order[target]), by_rank(x, target))
    assert torch.equal(layer.topk(x, 2).indices, order[by_rank.topk(x, 2).indices])
    assert layer(x.view(1, B, D), target.view(1, B)).output.shape == (1, B)
    assert layer.log_prob(x[0]).shape == (V,) and layer.log_prob(x[:0]).shape == (0, V)
    empty = layer(x, torch.full((B,), -100))
    assert empty.loss.isnan() and not empty.output.any()
    with pytest.raises(RuntimeError, match=r"should be in \[0, 4\] or ignore_index"):
        layer(x, target + 1)
    assert layer.operations(10) == 3 * layer.operations(10, train=False) == 6 * 10 * D * 11


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", KERNELS)
def test_low_precision_and_autocast(kind, dtype):
    layer, x, target = drawn(kind)
    layer, x = layer.float(), x.float().requires_grad_()
    exact = layer(x, target)
    gradients = torch.autograd.grad(exact.loss, [x, *layer.parameters()])
    with torch.autocast("cpu", dtype=dtype):
        output, loss = layer(x, target)
        assert output.dtype == loss.dtype == layer.log_prob(x).dtype == torch.float32
        torch.testing.assert_close(layer.log_prob(x).gather(1, target[:, None])[:, 0], output, rtol=0.03, atol=0.03)
    for a, b in zip(torch.autograd.grad(loss, [x, *layer.parameters()]), gradients, strict=True):
        assert (a - b).norm() <= 0.03 * b.norm()
    torch.testing.assert_close(output, exact.output, rtol=0.03, atol=0.03)
    low = copy.deepcopy(layer).to(dtype)(x.to(dtype), target)
    assert low.output.dtype == dtype and low.loss.dtype == dtype
    torch.testing.assert_close(low.output.float(), exact.output, rtol=0.05, atol=0.05)


def test_states_and_senses_of_zeros_have_finite_gradients():
    layer, x, target = drawn("released")
    layer.output.weight.data[0], x[0] = 0, 0
    layer(x.requires_grad_(), target).loss.backward()
    assert all(torch.isfinite(value.grad).all() for value in (x, *layer.parameters()))


def test_what_hangs_on_the_child_counts():
    layer, x, target = drawn()
    plain = layer(x, target)
    layer.output.register_forward_hook(lambda module, inputs, logits: logits + torch.arange(V))
    shifted = (layer.log_prob(x) - torch.arange(V)).log_softmax(1)
    torch.testing.assert_close(shifted.gather(1, target[:, None]).squeeze(1), plain.output)
    assert not torch.equal(layer(x, target).output, plain.output)


# ---------------------------------------------------------------- senses in the head of an adaptive softmax

CUTOFFS, WIDTHS = [6, 12], [3, 2]


def in_head(senses, kind="free"):
    layer = with_senses_in_head(D, 20, CUTOFFS, widths=WIDTHS, senses=senses, kernel=kind, dtype=torch.float64)
    for p in layer.parameters():
        p.data.normal_()
    return layer


def test_one_sense_in_the_head_is_the_adaptive_softmax():
    layer, stock = in_head(1, "product"), AdaptiveSoftmax(D, 20, CUTOFFS, widths=WIDTHS, dtype=torch.float64)
    stock.load_state_dict({k: v for k, v in layer.state_dict().items() if k != "head.words"})
    x, target = torch.randn(20, D, requires_grad=True), torch.arange(20)
    torch.testing.assert_close(layer.log_prob(x), stock.log_prob(x))
    torch.testing.assert_close(tuple(layer(x, target)), tuple(stock(x, target)))
    ours, theirs = (
        torch.autograd.grad(a(x, target).loss, [x, a.head.weight, *a.tail.parameters()]) for a in (layer, stock)
    )
    torch.testing.assert_close(ours, theirs)
    assert torch.equal(layer.topk(x, 4).indices, stock.topk(x, 4).indices)


@pytest.mark.parametrize("kind", KERNELS)
def test_senses_in_the_head_keep_the_likelihood_exact(kind):
    layer, x, target = in_head([3, 1, 2, 2, 4, 1], kind), torch.randn(20, D), torch.arange(20)
    senses, c = layer.senses, CUTOFFS[0]
    head = (senses.scores(x).softmax(1) @ F.one_hot(senses.words, c + 2).double()).log()
    parts = [head[:, :c]]
    parts += [head[:, c + i, None] + tail(x).log_softmax(1) for i, tail in enumerate(layer.tail)]
    expected = torch.cat(parts, 1)
    torch.testing.assert_close(layer.log_prob(x), expected)
    torch.testing.assert_close(layer(x, target).output, expected.diagonal())
    torch.testing.assert_close(layer.topk(x, 5).values, expected.topk(5).values)
    assert torch.bincount(senses.words).tolist() == [3, 1, 2, 2, 4, 1, 1, 1]
    with pytest.raises(ValueError, match=r"words from 6 on should have one sense each, got 2"):
        senses.assign(senses.words.clone().index_fill_(0, torch.tensor([8]), 7))


# ---------------------------------------------------------------- state and refusals


def test_a_checkpoint_keeps_whose_the_senses_are():
    layer, x, target = drawn()
    words = layer.output.words.clone()
    words[int((words == 3).nonzero()[0])] = 1
    layer.output.assign(words)
    fresh = KerBS(D, V, senses=(2, 1, 3, 4, 1))
    fresh.load_state_dict(layer.state_dict())
    assert torch.equal(fresh.output.words, words) and torch.equal(fresh.log_prob(x), layer.log_prob(x))
    assert torch.equal(copy.deepcopy(layer)(x, target).output, layer(x, target).output)
    emptied = {**layer.state_dict(), "output.words": torch.tensor([0, 0, 2, 3, 4, 0, 2, 3, 2, 3, 3])}
    with pytest.raises(RuntimeError, match=r"output\.words of the checkpoint: .* 1 to 4 senses, got 0 for word 1"):
        fresh.load_state_dict(emptied)
    assert torch.equal(fresh.output.words, words)
    with pytest.raises(RuntimeError, match=r"Missing key.*output\.words"):
        fresh.load_state_dict({k: v for k, v in layer.state_dict().items() if k != "output.words"})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: KerBS(D, V, senses=0), "senses should be an integer from 1 to 4, got 0"),
        (lambda: KerBS(D, V, senses=5), "senses should be an integer from 1 to 4, got 5"),
        (lambda: KerBS(D, V, senses=1.5), "senses should be an integer from 1 to 4, got 1.5"),
        (lambda: KerBS(D, V, senses=[1, 2]), "senses should hold one number per word, 5, got 2"),
        (lambda: KerBS(D, V, senses=[1, 2, 0, 1, 1]), r"senses\[2\] should be an integer from 1 to 4, got 0"),
        (lambda: KerBS(D, V, kernel="gauss"), "kernel should be 'free', 'released' or 'product', got 'gauss'"),
        (lambda: SenseLogits(D, V, many=6), "many should be an integer from 1 to 5, got 6"),
        (lambda: kernel(torch.ones(2), torch.tensor([0.0, 10.5])), "theta should be from -55 to 10, got 10.5"),
        (lambda: kernel(torch.ones(2), torch.tensor([0.0, -60.0])), "theta should be from -55 to 10, got -60"),
        (lambda: kernel(torch.ones(2), torch.tensor([0.0, math.nan])), "theta should be from -55 to 10, got nan"),
        (
            lambda: kernel(torch.ones(2), torch.tensor(0.0), below_zero="x"),
            "below_zero should be 'kernel' or 'product'",
        ),
        (lambda: theta_of(torch.zeros(1), "product"), "kind should be 'free' or 'released', got 'product'"),
        (lambda: KerBS(D, V).output.assign(torch.arange(10) % 4), "1 to 4 senses, got 0 for word 4"),
        (lambda: KerBS(D, V).output.assign(torch.tensor([0] * 5 + [1, 1, 2, 3, 4])), "got 5 for word 0"),
        (lambda: KerBS(D, V).output.assign(torch.arange(10)), "words should be from 0 to 4, got 5"),
        (lambda: KerBS(D, V).output.assign(torch.arange(5)), "words should hold 10 senses, got 5"),
        (
            lambda: KerBS(D, V).output.assign(torch.zeros(10)),
            r"words should be int64 of shape \(S,\), got torch.float64",
        ),
    ],
)
def test_bad_settings_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_what_is_not_finite_is_refused_by_name():
    for name, change in (
        ("input", lambda layer, x: x.index_put_((torch.tensor(2), torch.tensor(1)), torch.tensor(math.nan))),
        ("weight", lambda layer, x: layer.output.weight.data.index_fill_(0, torch.tensor([3]), math.inf)),
        ("raw_theta", lambda layer, x: layer.output.raw_theta.data.fill_(math.nan)),
    ):
        layer, x, target = drawn()
        change(layer, x)
        for act in (lambda: layer(x, target), lambda: layer.log_prob(x), lambda: layer.topk(x, 2)):  # noqa: B023
            with pytest.raises(RuntimeError, match=f"{name}_? should hold finite numbers, got nan or inf"):
                act()
    with pytest.raises(TypeError, match="head_bias should not be given"):
        with_senses_in_head(D, 20, CUTOFFS, head_bias=True)
    with pytest.raises(RuntimeError, match="stock_state_dict should be asked of a head with one vector a word"):
        in_head(2).stock_state_dict()


def test_on_the_meta_device_there_are_shapes_only():
    with torch.device("meta"):
        layer = KerBS(D, V, senses=(2, 1, 3, 4, 1))
    assert layer.log_prob(torch.zeros(2, D, device="meta")).shape == (2, V)
    real, x, _ = drawn()
    layer.to_empty(device="cpu").load_state_dict(real.state_dict())
    assert torch.equal(layer.log_prob(x), real.log_prob(x))
