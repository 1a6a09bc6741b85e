"""The softmaxes beside ours: each against plain loops in fp64, and what all of them promise alike."""

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional as F

from adasoft import AdaptiveSoftmax, PaperCost, Vocabulary, alternatives
from adasoft import loss as L
from adasoft.alternatives import NAMES, build, frequency_bins, proportional_widths
from adasoft.alternatives.chunked import Band, Own, joint_nll

pytestmark = pytest.mark.usefixtures("one_thread")

D, V = 8, 30
COUNTS = [1000 // (r + 1) for r in range(V)]
CUT = {"cutoffs": [6, 15]}
NEEDS_CUTOFFS = ("d-softmax", "d-softmax-star", "adaptive")


def make(name, d=D, counts=COUNTS, *, seed=0, **options):
    torch.manual_seed(seed)
    options.setdefault("dtype", torch.float64)
    if name in NEEDS_CUTOFFS:
        options.setdefault("cutoffs", CUT["cutoffs"])
        if name != "d-softmax":
            options.setdefault("widths", [4, 2])
    return build(name, d, counts, **options)


def batch(*leading, d=D, n_classes=V, seed=1, dtype=torch.float64):
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(*leading, d, generator=random, dtype=torch.float64).to(dtype)
    return x.requires_grad_(), torch.randint(n_classes, leading, generator=random)


# ---------------------------------------------------------------- truth, by loops over words


def log_softmax(logits):
    top = max(logits)
    total = math.log(math.fsum(math.exp(z - top) for z in logits))
    return [z - top - total for z in logits]


def product(row, weight):
    return [math.fsum(a * b for a, b in zip(row, w, strict=True)) for w in weight]


def truth(layer, row):
    """Log-probabilities by rank of one hidden state, from the weights' names alone."""
    value = {name: p.detach().double().tolist() for name, p in layer.named_parameters()}
    kind = type(layer).__name__
    if kind in ("FullSoftmax", "SampledSoftmax"):
        bias = value.get("output.bias", [0.0] * layer.n_classes)
        return log_softmax([z + b for z, b in zip(product(row, value["output.weight"]), bias, strict=True)])
    if kind == "HierarchicalSoftmax":
        of_class, out = log_softmax(product(row, value["classes.weight"])), []
        for c, (low, high) in enumerate(itertools.pairwise(layer.edges)):
            inside = log_softmax(product(row, value["output.weight"][low:high]))
            out += [of_class[c] + z for z in inside]
        return out
    if kind == "DSoftmax":
        logits, at = [], 0
        for i, width in enumerate(layer.widths):
            logits += product(row[at : at + width], value[f"bands.{i}.weight"])
            at += width
        return log_softmax(logits)
    tails = [
        product(product(row, value[f"tail.{i}.0.weight"]), value[f"tail.{i}.1.weight"])
        for i in range(len(layer.cutoffs) - 1)
    ]
    head = product(row, value["head.weight"])
    if kind == "DSoftmaxStar":
        return log_softmax(head + [z for tail in tails for z in tail])
    assert kind == "Adaptive"
    head, short = log_softmax(head), layer.cutoffs[0]
    return head[:short] + [head[short + i] + z for i, tail in enumerate(tails) for z in log_softmax(tail)]


def true_log_prob(layer, x):
    by_rank = [truth(layer, row) for row in x.detach().double().reshape(-1, layer.in_features).tolist()]
    ids = range(layer.n_classes) if layer.order is None else layer.order.tolist()
    out = [[math.nan] * layer.n_classes for _ in by_rank]
    for row, words in zip(out, by_rank, strict=True):
        for rank, i in enumerate(ids):
            row[i] = words[rank]
    return torch.tensor(out, dtype=torch.float64).view(*x.shape[:-1], layer.n_classes)


def reduced(nll, n, reduction):
    if reduction == "none":
        return nll
    return nll.sum() / n if reduction == "mean" else nll.sum()


# ---------------------------------------------------------------- what all promise


@st.composite
def cases(draw, name):
    d, n_classes = draw(st.integers(4, 10)), draw(st.integers(4, 40))
    random = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    cutoffs = sorted(draw(st.sets(st.integers(1, n_classes - 1), min_size=1, max_size=3)))
    options = {"reduction": draw(st.sampled_from(["mean", "sum", "none"])), "dtype": torch.float64}
    if name in NEEDS_CUTOFFS:
        options["cutoffs"] = cutoffs
        if name != "d-softmax":
            options["widths"] = [draw(st.integers(1, 5)) for _ in cutoffs]
    if name == "hierarchical":
        options["n_groups"] = draw(st.integers(1, n_classes))
    if name in ("full", "sampled"):
        options["bias"] = draw(st.booleans())
    counts = torch.randint(0, 1000, (n_classes,), generator=random)
    counts[0] += 1
    if draw(st.booleans()):
        counts = counts.sort(descending=True).values
    layer = build(name, d, counts.numpy(), **options).eval()
    spread = draw(st.sampled_from([1.0, 30.0]))
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(torch.randn(p.shape, generator=random, dtype=p.dtype) * spread / p.shape[-1] ** 0.5)
    leading = draw(st.lists(st.integers(0, 4), max_size=3))
    x = torch.randn(*leading, d, generator=random, dtype=torch.float64)
    target = torch.randint(n_classes, leading, generator=random)
    ignored = draw(st.sampled_from([0.0, 0.4, 1.1]))
    target = torch.where(torch.rand(leading, generator=random) < ignored, -100, target)
    upstream = torch.randn(leading, generator=random, dtype=torch.float64)
    return layer, x.requires_grad_(), target, upstream, draw(st.booleans())


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=max(25, settings().max_examples // len(NAMES)))  # together one profile's worth
@given(data=st.data())
def test_any_layer_equals_the_loops(name, data):
    layer, x, target, upstream, through_output = data.draw(cases(name))
    words = true_log_prob(layer, x)
    torch.testing.assert_close(layer.log_prob(x), words, rtol=1e-9, atol=1e-9)
    counted = target != -100
    picked = words.gather(-1, target.clamp(min=0).unsqueeze(-1)).squeeze(-1).masked_fill(~counted, 0.0)
    output, loss = layer(x, target)
    assert output.shape == target.shape
    torch.testing.assert_close(output, picked, rtol=1e-9, atol=1e-9)
    n = int(counted.sum())
    expected = reduced(-picked, n, layer.reduction)
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-9, equal_nan=True)

    # gradients: those of the dense log-probabilities
    def objective(output, loss):
        total = (output * upstream).sum() if through_output else 0.0
        return total + (loss * upstream).sum() if layer.reduction == "none" else total + 1.7 * loss

    inputs = [x, *layer.parameters()]
    ours = torch.autograd.grad(objective(output, loss), inputs)
    if not n:
        assert all(not g.any() for g in ours)
        return
    dense = layer.log_prob(x).gather(-1, target.clamp(min=0).unsqueeze(-1)).squeeze(-1).masked_fill(~counted, 0.0)
    theirs = torch.autograd.grad(objective(dense, reduced(-dense, n, layer.reduction)), inputs, materialize_grads=True)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_sums_to_one_and_topk_is_brute_force(name):
    layer = make(name)
    x, _ = batch(3, 4)
    log_prob = layer.log_prob(x)
    assert log_prob.shape == (3, 4, V)
    torch.testing.assert_close(log_prob.exp().sum(-1), torch.ones(3, 4, dtype=torch.float64))
    for k in (1, 5, V):
        values, indices = layer.topk(x, k)
        wanted = log_prob.topk(k)
        torch.testing.assert_close(values, wanted.values)
        assert torch.equal(indices, wanted.indices)
    assert layer.topk(torch.empty(0, D, dtype=torch.float64), 2).values.shape == (0, 2)
    for k in (0, V + 1, 1.5, True):
        with pytest.raises(ValueError, match=r"k should be an integer from 1 to 30, got"):
            layer.topk(x, k)


@pytest.mark.parametrize("name", NAMES)
def test_gradcheck(name):
    layer = (
        make(name, 4, COUNTS[:9], cutoffs=[3, 5], widths=[2, 1, 1] if name == "d-softmax" else [2, 1])
        if name in NEEDS_CUTOFFS
        else make(name, 4, COUNTS[:9])
    )
    layer.eval()
    x, target = batch(5, d=4, n_classes=9)
    names = [n for n, _ in layer.named_parameters()]

    def run(x, *values):
        out = torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x, target))
        return out.output, out.loss

    # a second backward through the same graph computes the logits again, and rounds otherwise
    inputs = (x, *(p.detach().requires_grad_() for p in layer.parameters()))
    assert gradcheck(run, inputs, nondet_tol=1e-12)
    assert gradgradcheck(run, inputs, nondet_tol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_ids_in_any_order(name):
    random = np.random.default_rng(0)
    order = random.permutation(V)
    counts = np.empty(V, dtype=int)
    counts[order] = COUNTS
    ranks, ids = make(name).eval(), make(name, counts=Vocabulary(counts)).eval()
    assert ranks.order is None and np.array_equal(counts[ids.order.numpy()], COUNTS)
    x, target = batch(6)
    torch.testing.assert_close(ids.log_prob(x)[:, ids.order], ranks.log_prob(x))
    torch.testing.assert_close(ids(x, ids.order[target]).output, ranks(x, target).output)
    assert torch.equal(ids.topk(x, 3).indices, ids.order[ranks.topk(x, 3).indices])
    assert make(name, counts=counts, order=None).order is None
    # a checkpoint of other words is refused, the own one loads
    copy.deepcopy(ids).load_state_dict(ids.state_dict())
    other = {**ids.state_dict(), "order": ids.order.flip(0)}
    with pytest.raises(RuntimeError, match="order of the checkpoint differs"):
        ids.load_state_dict(other)


@pytest.mark.parametrize("name", NAMES)
def test_ignored_empty_and_bad_targets(name):
    layer = make(name, ignore_index=7)
    x, target = batch(2, 5)
    target[0, :3] = 7
    output, loss = layer(x, target.int())
    assert not output[0, :3].any() and torch.isfinite(loss)
    torch.testing.assert_close(loss, -output.sum() / int((target != 7).sum()))
    for rows in (x[:, :0], x):
        empty = layer(rows, torch.full(rows.shape[:-1], 7))
        assert empty.loss.isnan() and not empty.output.any()
        grads = torch.autograd.grad(empty.loss, [x, *layer.parameters()])
        assert all(not g.any() for g in grads)
    for wrong in (V, -3, 2**62, -(2**62)):
        one = target.clone()
        one[1, 1] = wrong
        with pytest.raises(RuntimeError, match=r"\[0, 29\](.|\n)*ignore_index=7") as error:
            layer(x, one)
        assert f"[{wrong}, {wrong}]" in str(error.value)
    target[1, 1] = V
    with pytest.raises(RuntimeError, match=r"shape"):
        layer(x[..., :-1], target)
    with pytest.raises(RuntimeError, match=r"\(2, 5\)"):
        layer(x, target[0])
    with pytest.raises(RuntimeError, match="integer word ids"):
        layer(x, target.double())
    with pytest.raises(RuntimeError, match="should have the dtype of the layer's weights"):
        layer(x.float(), target.clamp(0, 3))


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_has_a_gradient(name):
    layer = make(name)
    x, _ = batch(3)
    layer(x, torch.zeros(3, dtype=torch.long)).loss.backward()
    assert all(p.grad is not None and p.grad.shape == p.shape for p in layer.parameters())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_and_autocast(name, dtype):
    layer = make(name, dtype=torch.float32).eval()
    x, target = batch(40, dtype=torch.float32)
    exact = layer(x, target)
    exact_grads = torch.autograd.grad(exact.loss, [x, *layer.parameters()])
    with torch.autocast("cpu", dtype=dtype):
        output, loss = layer(x, target)
        assert output.dtype == loss.dtype == layer.log_prob(x).dtype == torch.float32
        rounded = layer(x.to(dtype), target)  # the input of another layer under autocast
        assert rounded.output.dtype == rounded.loss.dtype == layer.log_prob(x.to(dtype)).dtype == torch.float32
    grads = torch.autograd.grad(loss, [x, *layer.parameters()])
    torch.testing.assert_close(output, exact.output, rtol=0.03, atol=0.03)
    for a, b in zip(grads, exact_grads, strict=True):
        assert a.dtype == torch.float32 and (a - b).norm() <= 0.03 * b.norm()
    low, x_low = copy.deepcopy(layer).to(dtype), x.detach().to(dtype).requires_grad_()
    output, loss = low(x_low, target)
    assert output.dtype == loss.dtype == dtype
    torch.testing.assert_close(output.float(), exact.output, rtol=0.05, atol=0.05)
    for a, b in zip(torch.autograd.grad(loss, [x_low, *low.parameters()]), exact_grads, strict=True):
        assert a.dtype == dtype and (a.float() - b).norm() <= 0.05 * b.norm()


@pytest.mark.parametrize("name", NAMES)
def test_learns_a_unigram_distribution(name):
    # h = (1, 0, ...): what is learnt are the words' frequencies, by every method, sampled included
    random = torch.Generator().manual_seed(3)
    p = torch.tensor(COUNTS, dtype=torch.float64) / sum(COUNTS)
    options = {"n_samples": 10, "generator": random} if name == "sampled" else {}
    # each segment of d-softmax must see a constant
    layer, x = make(name, **options).train(), torch.ones(1, D, dtype=torch.float64)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    entropy = float(-(p * p.log()).sum())
    steps = 600
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 0.05 * (1 - step / steps)
        target = torch.multinomial(p, 256, replacement=True, generator=random)
        optimizer.zero_grad()
        layer(x.expand(256, D), target).loss.backward()
        optimizer.step()
    layer.eval()
    cross = float(-(p * layer.log_prob(x)[0].detach()).sum())
    assert entropy <= cross < entropy + 0.02


# ---------------------------------------------------------------- counts


def test_parameters_and_operations_by_hand():
    B = 10
    full = make("full")
    assert full.n_parameters == V * D
    assert full.operations(B) == 3 * 2 * B * V * D and full.operations(B, train=False) == 2 * B * V * D
    assert make("full", bias=True).n_parameters == V * D + V
    sampled = make("sampled")
    assert sampled.n_samples == 6 and sampled.n_parameters == V * D
    assert sampled.operations(B) == 3 * 2 * B * 7 * D
    assert sampled.operations(B, train=False) == full.operations(B, train=False)
    hsm = make("hierarchical", counts=[8, 4, 2, 1, 1], n_groups=3)
    assert hsm.edges == [0, 1, 3, 5]  # square roots 2.8 | 2 + 1.4 | 1 + 1
    inside = 6 / 16 * 2 + 2 / 16 * 2  # the first word is alone in its class
    assert hsm.n_parameters == (3 + 5) * D
    assert hsm.operations(B) == pytest.approx(6 * B * D * (3 + inside))
    assert hsm.operations(B, train=False) == 2 * B * D * (3 + 5)
    d = make("d-softmax", widths=[5, 2, 1])
    assert d.n_parameters == 6 * 5 + 9 * 2 + 15 == 63
    assert d.operations(B) == 6 * B * 63 and d.operations(B, train=False) == 2 * B * 63
    star = make("d-softmax-star")
    assert star.n_parameters == 6 * 8 + (8 * 4 + 4 * 9) + (8 * 2 + 2 * 15) == 162
    assert star.operations(B) == 6 * B * 162
    ours = make("adaptive")
    assert ours.n_parameters == 162 + 2 * 8
    shares = [sum(COUNTS[6:15]) / sum(COUNTS), sum(COUNTS[15:]) / sum(COUNTS)]
    by_hand = 6 * B * ((6 + 2) * 8 + shares[0] * 4 * (8 + 9) + shares[1] * 2 * (8 + 15))
    assert ours.operations(B) == pytest.approx(by_hand)
    predicted = PaperCost(c=1.0, lam=1.0).layer(V, [6, 15], [4, 2], shares, D, B)
    assert predicted.operations == pytest.approx(by_hand) and predicted.parameters == ours.n_parameters
    assert ours.operations(B, train=False) == 2 * B * (162 + 16)
    bare = build("adaptive", D, V, **CUT)
    with pytest.raises(ValueError, match="counts"):
        bare.operations(B)


# ---------------------------------------------------------------- one softmax over several products


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 100])
def test_chunks_do_not_matter(rows, monkeypatch):
    monkeypatch.setattr(L, "CHUNK_ROWS", (rows, rows))
    random = torch.Generator().manual_seed(0)

    def leaf(*shape):
        return torch.randn(*shape, generator=random, dtype=torch.float64).requires_grad_()

    x, z, w, v, bias, own, own_bias = leaf(7, 4), leaf(7, 2), leaf(5, 4), leaf(3, 2), leaf(5), leaf(7, 4), leaf(7)
    hidden = torch.tensor([0, 8, 4, 8, 1, 6, 8])
    target = torch.tensor([8, 8, 2, 8, 5, 8, 7])
    leaves = [x, z, w, v, bias, own, own_bias]
    upstream = torch.randn(7, generator=random, dtype=torch.float64)
    nll, total = joint_nll([Band(x, w, bias), Band(z, v)], target, 0.3, own=Own(own, own_bias, hidden))
    last = ((x * own).sum(1) + own_bias).unsqueeze(1)
    columns = torch.cat([x @ w.t() + bias, z @ v.t()], 1)
    columns = torch.cat([columns.masked_fill(F.one_hot(hidden, 9)[:, :8].bool(), -math.inf), last], 1)
    dense = F.cross_entropy(columns, target, reduction="none")
    torch.testing.assert_close(nll, dense)
    torch.testing.assert_close(total, 0.3 * dense.sum())
    for ours, theirs in (
        (2 * total, 0.6 * dense.sum()),
        (nll @ upstream + total, dense @ upstream + 0.3 * dense.sum()),
    ):
        wanted = torch.autograd.grad(theirs, leaves, retain_graph=True)
        for _ in range(2):  # the second goes the long way
            for a, b in zip(torch.autograd.grad(ours, leaves, retain_graph=True), wanted, strict=True):
                torch.testing.assert_close(a, b)
    both = []
    for value in (nll @ upstream + total, dense @ upstream + 0.3 * dense.sum()):
        first = torch.autograd.grad(value, [x, w, own], create_graph=True)
        both.append(torch.autograd.grad(sum((g**2).sum() for g in first), leaves))
    for a, b in zip(*both, strict=True):
        torch.testing.assert_close(a, b)


def test_a_target_of_no_probability_keeps_its_loss():
    x = torch.tensor([[1.0, 1.0]]).requires_grad_()
    w, v = torch.tensor([[0.0], [500.0]]), torch.tensor([[-300.0]])
    for target, loss in ((0, 500.0), (1, 0.0), (2, 800.0)):
        nll, total = joint_nll([Band(x[:, :1], w), Band(x[:, 1:], v)], torch.tensor([target]), 1.0)
        assert nll.item() == total.item() == loss
    own = Own(torch.tensor([[-100.0]]), torch.zeros(1), torch.tensor([0]))
    nll, _ = joint_nll([Band(x[:, :1], w)], torch.tensor([2]), 1.0, own=own)
    assert nll.item() == 600.0


# ---------------------------------------------------------------- sampled


def inclusion_probabilities(p, m):
    """That each word is among m different ones drawn one after another: a sum over all orders."""
    out = [0.0] * len(p)
    for words in itertools.permutations(range(len(p)), m):
        chance, left = 1.0, 1.0
        for w in words:
            chance *= p[w] / left
            left -= p[w]
        for w in words:
            out[w] += chance
    return np.array(out)


def test_samples_have_the_exact_inclusion_probabilities_and_weights():
    n, m, rounds = 6, 3, 8000
    layer = make("sampled", 2, COUNTS[:n], n_samples=m, generator=torch.Generator().manual_seed(5))
    seen, weighted = np.zeros((rounds, n)), np.zeros((rounds, n))
    for i in range(rounds):
        words, log_pi = layer.draw()
        assert len(words) == m and torch.equal(words, words.unique())
        seen[i, words] = 1.0
        weighted[i, words] = np.exp(-log_pi[words].numpy())
    exact = inclusion_probabilities(layer.p.double().tolist(), m)
    spread = np.sqrt(exact * (1 - exact) / rounds)
    assert (np.abs(seen.mean(0) - exact) < 4.5 * spread).all()
    # the reciprocal of pi makes every word count once: the correction is right on average
    assert (np.abs(weighted.mean(0) - 1.0) < 4.5 * weighted.std(0) / rounds**0.5).all()
    assert weighted.std(0).max() > 0.3  # and not because all were sampled


def test_proposals():
    p = make("sampled").p.double()
    r = torch.arange(V, dtype=torch.float64)
    torch.testing.assert_close(p, ((r + 2) / (r + 1)).log() / math.log(V + 1), rtol=1e-6, atol=0)
    assert float(p.sum()) == pytest.approx(1.0, rel=1e-6)
    p = make("sampled", counts=[16, 1, 0], proposal="unigram", power=0.5).p
    assert p.tolist() == pytest.approx([4 / 6, 1 / 6, 1 / 6])
    with pytest.raises(ValueError, match="proposal should be 'log-uniform' or 'unigram'"):
        make("sampled", proposal="zipf")
    with pytest.raises(ValueError, match="needs counts"):
        build("sampled", D, V, proposal="unigram")
    with pytest.raises(ValueError, match="n_samples should be at most"):
        make("sampled", n_samples=V + 1)


@pytest.mark.parametrize("correct_target", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_one_sampled_loss_by_loops(correct_target, bias, monkeypatch):
    layer = make("sampled", n_samples=9, correct_target=correct_target, bias=bias)
    words, log_pi = layer.draw()
    monkeypatch.setattr(layer, "draw", lambda *_: (words, log_pi))
    x, _ = batch(V)
    target = torch.arange(V)  # hits and misses
    output, loss = layer(x, target)
    weight = layer.output.weight.tolist()
    offset = layer.output.bias.tolist() if bias else [0.0] * V
    for row, t, ours in zip(x.tolist(), range(V), output.tolist(), strict=True):
        s = {w: product(row, [weight[w]])[0] + offset[w] - float(log_pi[w]) for w in words.tolist() if w != t}
        own = product(row, [weight[t]])[0] + offset[t] - (float(log_pi[t]) if correct_target else 0.0)
        assert ours == pytest.approx(log_softmax([own, *s.values()])[0], abs=1e-12)
    inputs = [x, *layer.parameters()]
    columns = F.linear(x, layer.output.weight, layer.output.bias) - log_pi.double()
    own = columns.diagonal() + (0.0 if correct_target else log_pi.double())
    columns = columns[:, words].masked_fill(words == target[:, None], -math.inf)
    dense = F.cross_entropy(torch.cat([own[:, None], columns], 1), torch.zeros_like(target))
    for a, b in zip(torch.autograd.grad(loss, inputs), torch.autograd.grad(dense, inputs), strict=True):
        torch.testing.assert_close(a, b)


def test_the_sampled_denominator_and_its_gradient_are_unbiased():
    rounds = 1000
    random = torch.Generator().manual_seed(2)
    layer = make("sampled", 3, COUNTS[:8], n_samples=4, correct_target=False, generator=random)
    x, target = batch(1, d=3, n_classes=8)
    own = (x * layer.output.weight[target]).sum()
    full = F.linear(x, layer.output.weight).exp().sum()
    exact = torch.cat([full.detach().view(1), torch.autograd.grad(full, x)[0][0]])
    drawn = []
    for _ in range(rounds):
        estimate = (own - layer(x, target).output).exp().sum()
        gradient = torch.autograd.grad(estimate, x, retain_graph=True)[0][0]
        drawn.append(torch.cat([estimate.detach().view(1), gradient]))
    drawn = torch.stack(drawn)
    assert ((drawn.mean(0) - exact).abs() < 4.5 * drawn.std(0) / rounds**0.5).all()
    assert (drawn.std(0) > 0.05 * exact.abs()).all()


@pytest.mark.parametrize("correct_target", [True, False])
def test_sampling_approaches_the_full_softmax_and_reaches_it(correct_target):
    x, target = batch(20)
    errors = []
    for m in (3, 12, 24, V):
        layer = make("sampled", n_samples=m, correct_target=correct_target, generator=torch.Generator().manual_seed(0))
        inputs = [x, layer.output.weight]
        exact = torch.cat([g.flatten() for g in torch.autograd.grad(layer.eval()(x, target).loss, inputs)])
        layer.train()
        drawn = [torch.autograd.grad(layer(x, target).loss, inputs) for _ in range(60)]
        mean = sum(torch.cat([g.flatten() for g in gradients]) for gradients in drawn) / 60
        errors.append(float((mean - exact).norm() / exact.norm()))
    assert errors[0] > errors[1] > errors[2] > errors[3]
    assert errors[2] < 0.25 and errors[3] < 1e-12


def test_same_seed_same_samples():
    def losses(generator_seed):
        layer = make("sampled", generator=torch.Generator().manual_seed(generator_seed))
        x, target = batch(5)
        return [layer(x, target).loss.item() for _ in range(3)]

    assert losses(1) == losses(1) != losses(2)
    layer, (x, target) = make("sampled"), batch(5)
    torch.manual_seed(4)
    first = layer(x, target).loss.item()
    assert first != layer(x, target).loss.item()
    torch.manual_seed(4)
    assert first == layer(x, target).loss.item()
    assert layer.estimates and not make("full").estimates
    layer.eval()
    assert layer(x, target).loss.item() == layer(x, target).loss.item()


# ---------------------------------------------------------------- hierarchical


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=60), st.data())
def test_bins_balance_square_rooted_counts(counts, data):
    counts = sorted(counts, reverse=True)
    counts[0] += 1
    n_bins = data.draw(st.integers(1, len(counts)))
    edges = frequency_bins(counts, n_bins)
    assert edges[0] == 0 and edges[-1] == len(counts) and len(edges) == n_bins + 1
    assert all(a < b for a, b in itertools.pairwise(edges))
    # RNNLM's loop, word by word
    total, running, group, expected = math.fsum(map(math.sqrt, counts)), 0.0, 0, []
    for word, count in enumerate(counts):
        group = max(group, n_bins - (len(counts) - word))  # enough words must be left for the other classes
        expected.append(group)
        running += math.sqrt(count) / total
        if running > (group + 1) / n_bins + 1e-12 and group < n_bins - 1:
            group += 1
    ours = [i for i, (a, b) in enumerate(itertools.pairwise(edges)) for _ in range(b - a)]
    share = np.cumsum(np.sqrt(counts)) / total
    near = np.abs(share[:, None] * n_bins - np.arange(1, n_bins)).min(initial=1.0)
    assert ours == expected or near < 1e-9  # a tie may fall either way by rounding


def test_bins_of_a_text_are_balanced():
    counts = Vocabulary.synthetic(10_000, exponent=1.0).counts
    edges = frequency_bins(counts, 100)
    roots = np.sqrt(counts)
    mass = np.add.reduceat(roots, edges[:-1]) / roots.sum()
    assert mass.max() <= 0.01 + roots[0] / roots.sum() and mass.min() > 0.005
    assert edges[1] < 10 and edges[-1] - edges[-2] > 100  # few frequent words, many rare ones
    layer = build("hierarchical", 4, counts)
    assert layer.n_groups == 100 == math.ceil(math.sqrt(10_000)) and layer.edges == edges


def test_words_alone_in_their_class():
    layer = make("hierarchical", n_groups=V)  # a full softmax in disguise
    x, target = batch(6)
    layer(x, target).loss.backward()
    assert not layer.output.weight.grad.any() and layer.classes.weight.grad.any()
    torch.testing.assert_close(layer.log_prob(x), F.log_softmax(x @ layer.classes.weight.t(), 1))
    assert layer.operations(1) == 6 * D * V
    with pytest.raises(ValueError, match="n_groups should be at most"):
        make("hierarchical", n_groups=V + 1)
    with pytest.raises(ValueError, match="counts should be falling"):
        alternatives.HierarchicalSoftmax(D, 3, counts=[1, 2, 3])
    with pytest.raises(ValueError, match="one count per word, 3, got 2"):
        alternatives.HierarchicalSoftmax(D, 3, counts=[2, 1])


# ---------------------------------------------------------------- D-softmax


def test_widths():
    assert proportional_widths(512, 3) == [391, 97, 24] and sum([391, 97, 24]) == 512
    assert proportional_widths(3, 3) == [1, 1, 1] and proportional_widths(5, 4) == [2, 1, 1, 1]
    for d, n in itertools.product(range(1, 40), range(1, 6)):
        if d < n:
            with pytest.raises(ValueError, match="at least the number of bands"):
                proportional_widths(d, n)
        else:
            made = proportional_widths(d, n)
            assert sum(made) == d and len(made) == n and min(made) >= 1 and made == sorted(made, reverse=True)
    with pytest.raises(ValueError, match="sum to in_features=8"):
        make("d-softmax", widths=[4, 2, 1])
    with pytest.raises(ValueError, match="one width per band, 3, got 2"):
        make("d-softmax", widths=[6, 2])
    with pytest.raises(ValueError, match=r"widths\[1\] should be an integer of at least 1"):
        make("d-softmax-star", widths=[4, 0])
    assert make("d-softmax-star", 512, widths=None).widths == make("adaptive", 512, widths=None).widths == [128, 32]


def test_star_is_the_adaptive_layer_without_its_hierarchy():
    star, ours = make("d-softmax-star"), make("adaptive")
    assert {n for n, _ in star.named_parameters()} == {n for n, _ in ours.named_parameters()}
    assert isinstance(ours, AdaptiveSoftmax)
    # the same words inside a tail are weighed alike: their conditional distributions agree
    values = ours.state_dict()
    values["head.weight"] = values["head.weight"][:6]
    star.load_state_dict(values)
    x, _ = batch(4)
    for part in (slice(0, 6), slice(6, 15), slice(15, V)):
        torch.testing.assert_close(
            F.log_softmax(star.log_prob(x)[:, part], 1), F.log_softmax(ours.log_prob(x)[:, part], 1)
        )


# ---------------------------------------------------------------- build


def test_build_says_what_is_wrong():
    with pytest.raises(ValueError, match=r"name should be one of full, sampled.*got 'nce'"):
        build("nce", D, V)
    with pytest.raises(TypeError, match=r"full takes no option 'cutoffs'; it takes bias, order"):
        build("full", D, V, cutoffs=[3])
    with pytest.raises(TypeError, match=r"d-softmax needs the option cutoffs"):
        build("d-softmax", D, V)
    with pytest.raises(ValueError, match="hierarchical needs counts or a Vocabulary, got only the number of words, 30"):
        build("hierarchical", D, V)
    with pytest.raises(ValueError, match="counts"):
        build("hierarchical", D, [])
    with pytest.raises(ValueError, match="n_classes should be an integer of at least 1"):
        build("full", D, 0)
    with pytest.raises(ValueError, match="reduction should be"):
        build("full", D, V, reduction="max")
    with pytest.raises(TypeError, match="ignore_index should be an int"):
        build("full", D, V, ignore_index=None)
    assert build("full", D, np.int64(V)).n_classes == V
    assert build("hierarchical", D, {"a": 3, "b": 5}).order.tolist() == [1, 0]
    assert "n_samples=6" in repr(build("sampled", D, V)) and "n_groups=6" in repr(make("hierarchical"))
    assert "widths=[6, 1, 1]" in repr(make("d-softmax", widths=[6, 1, 1])) and "cutoffs=[6, 15]" in repr(
        make("d-softmax-star")
    )


# ---------------------------------------------------------------- tables, devices, dtypes


@pytest.mark.parametrize("name", ["full", "sampled", "d-softmax", "d-softmax-star"])
def test_log_prob_changed_in_place_is_noticed(name):
    """As torch does for its own: backward needs the log-probabilities as they were."""
    layer, (x, _) = make(name), batch(5)
    out = layer.log_prob(x)
    loss = out.exp_().sum()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("order", [None, list(range(V))[::-1]], ids=["by rank", "order"])
@pytest.mark.parametrize("name", [n for n in NAMES if n != "adaptive"])
def test_a_layer_made_on_the_meta_device(name, order):
    """Its tables come from the host, whatever memory `to_empty` finds."""
    whole = make(name, order=order).eval()
    x, target = batch(40)
    for assign in (False, True):
        made = make(name, order=order, device="meta").eval()
        if not assign:
            made.to_empty(device="cpu")
            for buffer in made.buffers():
                if buffer.is_floating_point():
                    buffer.fill_(float("nan"))
        made.load_state_dict(whole.state_dict(), assign=assign)
        if assign or name != "sampled":
            assert torch.equal(made.log_prob(x), whole.log_prob(x))
            assert torch.equal(made(x, target).output, whole(x, target).output)


def test_the_proposal_stays_in_fp32():
    """In fp16, times of the draws would overflow, and the correction would be gone without a word."""
    layer = build("sampled", 4, 100_000, n_samples=20_000).half()
    assert layer.p.dtype == torch.float32
    words, log_pi = layer.draw()
    assert log_pi.isfinite().all() and (log_pi < 0).any() and len(words.unique()) == 20_000
    assert log_pi.exp().sum() == pytest.approx(20_000, rel=0.1)


def test_counts_may_be_a_tensor():
    layer = build("hierarchical", 4, torch.tensor(COUNTS))
    assert layer.n_classes == V and layer.edges == make("hierarchical").edges
    assert build("full", 4, torch.tensor([3.0])).n_classes == 1  # one word, not three


# ---------------------------------------------------------------- numbers of other kinds


@pytest.mark.parametrize("name", NAMES)
def test_numbers_of_numpys_kinds(name):
    layer, (x, target) = make(name, ignore_index=np.int64(7)), batch(5)
    assert layer.ignore_index == 7 and type(layer.ignore_index) is int
    expected = layer.topk(x, 3).indices
    for k in (np.int64(3), np.uint8(3), np.array(3), torch.tensor(3)):
        assert torch.equal(layer.topk(x, k).indices, expected)
    for k in (np.bool_(True), 3.0, np.float64(3.0), "3", None):
        with pytest.raises(ValueError, match=r"k should be an integer from 1 to 30, got"):
            layer.topk(x, k)
    for wrong in (2**63, -(2**63) - 1, np.uint64(2**64 - 100)):
        with pytest.raises(ValueError, match=r"ignore_index should be .*2\*\*63.*, got "):
            make(name, ignore_index=wrong)
    for wrong in (True, np.bool_(True), 1.0, "1"):
        with pytest.raises(TypeError, match="ignore_index should be an int, got"):
            make(name, ignore_index=wrong)
    for edge in (2**63 - 1, -(2**63)):
        assert make(name, ignore_index=edge)(x, target).loss.isfinite()
    # as int64 it would be -100, which is ignored; it is out of range
    huge = torch.from_numpy(np.array([1, 2, 3, 4, 2**64 - 100], dtype=np.uint64))
    if name != "adaptive":
        with pytest.raises(
            RuntimeError, match=r"1 of 5 are not: values in \[18446744073709551516, 18446744073709551516"
        ):
            make(name)(x, huge)
    for dtype in (torch.int8, torch.uint8, torch.int16, torch.int32, torch.uint16, torch.uint32, torch.uint64):
        torch.manual_seed(0)
        ours = layer(x, target.to(dtype)).loss
        torch.manual_seed(0)
        assert ours == layer(x, target).loss


def test_numbers_that_are_none_are_named():
    for wrong in (True, np.bool_(True), 5.0, "5", None):
        for call in (
            lambda v=wrong: build("full", v, V),
            lambda v=wrong: build("sampled", D, V, n_samples=v) if v is not None else build("full", v, V),
            lambda v=wrong: make("hierarchical", n_groups=v) if v is not None else build("full", v, V),
            lambda v=wrong: frequency_bins(COUNTS, v),
            lambda v=wrong: proportional_widths(v, 3),
            lambda v=wrong: proportional_widths(512, v),
        ):
            with pytest.raises(ValueError, match=r"should be an integer of at least 1, got"):
                call()
    for wrong in (True, np.bool_(True)):
        with pytest.raises(ValueError, match=r"n_classes should be an integer of at least 1, got"):
            build("full", D, wrong)
    assert build("full", D, np.array(V)).n_classes == build("full", D, torch.tensor(V)).n_classes == V
    for wrong in (5, 1.5, True):
        with pytest.raises(ValueError, match=r"widths should be a sequence of positive integers, got"):
            make("d-softmax", widths=wrong)
    for wrong in (np.array([4.0, 2.0, 2.0]), np.array([True] * 3), np.ma.array([4, 2, 2], mask=[1, 0, 0])):
        with pytest.raises(ValueError, match=r"widths\[0\] should be an integer of at least 1, got"):
            make("d-softmax", widths=wrong)
    for widths in (np.array([5, 2, 1]), torch.tensor([5, 2, 1]), (np.uint8(5), 2, 1)):
        made = make("d-softmax", widths=widths).widths
        assert made == [5, 2, 1] and all(type(w) is int for w in made)
    assert proportional_widths(np.int64(512), np.int64(3), np.float32(4.0)) == [391, 97, 24]
    for wrong in (0, -1.0, math.nan, math.inf, "4", True):
        with pytest.raises(ValueError, match=r"ratio should be a finite number above 0, got"):
            proportional_widths(512, 3, wrong)
    for wrong in (math.nan, math.inf, "1", True, None):
        with pytest.raises(ValueError, match=r"power should be a finite number, got"):
            make("sampled", proposal="unigram", power=wrong)
    assert make("sampled", proposal="unigram", power=np.float32(0.5)).p.sum() == pytest.approx(1.0)


def test_counts_are_checked_where_they_come_without_a_vocabulary():
    for call in (
        lambda counts: frequency_bins(counts, 2),
        lambda counts: alternatives.SampledSoftmax(D, 3, proposal="unigram", counts=counts),
    ):
        for wrong in ([3, -1, 1], [0, 0, 0], [3, math.nan, 1], [3, math.inf, 1]):
            with pytest.raises(ValueError, match="counts should be finite, not negative and not all 0"):
                call(wrong)
        with pytest.raises(ValueError, match="counts should hold a number for each word, got 1 masked ones"):
            call(np.ma.array([3, 2, 1], mask=[0, 1, 0]))
        with pytest.raises(ValueError, match=r"counts should have the shape \(V,\), got \(1, 3\)"):
            call([[3, 2, 1]])
        call(np.ma.array([3, 2, 1]))
        call(torch.tensor([3, 2, 1]))
    with pytest.raises(ValueError, match=r"counts should have the shape \(4,\), got \(3,\)"):
        alternatives.SampledSoftmax(D, 4, proposal="unigram", counts=[3, 2, 1])
    with pytest.raises(ValueError, match="n_bins should be at most the number of words, 3, got 4"):
        frequency_bins([3, 2, 1], 4)
