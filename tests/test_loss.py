"""Routing against loops, and linear + cross entropy in chunks against a truth of higher precision."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from adasoft import gpu
from adasoft import loss as L
from adasoft.ranks import target_ranks

pytestmark = pytest.mark.usefixtures("one_thread")

CHUNKS = (1, 2, 3, 4, 7, 13)


@pytest.fixture(params=["host", "device"])
def route(request, monkeypatch):
    """The two ways to a token's loss: with a look at the numbers, and as on a GPU, without."""
    monkeypatch.setattr(L, "_on_host", lambda _: request.param == "host")
    return request.param


def draw(n, d, k, *, bias=True, dtype=torch.float64, seed=0):
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=random, dtype=torch.float64)
    weight = torch.randn(k, d, generator=random, dtype=torch.float64) / d**0.5
    b = torch.randn(k, generator=random, dtype=torch.float64) if bias else None
    target = torch.randint(k, (n,), generator=random)
    row_weight = torch.randn(n, generator=random, dtype=torch.float64)
    return x.to(dtype), weight.to(dtype), None if b is None else b.to(dtype), target, row_weight


def plain(x, weight, bias, target, row_weight=None):
    """Losses and gradients by autograd over whole logits, in the dtype of the arguments."""
    leaves = [v if v is None else v.detach().clone().requires_grad_() for v in (x, weight, bias)]
    logits = F.linear(*leaves)
    nll = F.cross_entropy(logits, target, reduction="none")
    if row_weight is None:
        return nll.detach()
    (nll * row_weight).sum().backward()
    return [nll.detach(), *(v if v is None else v.grad for v in leaves)]


# ---------------------------------------------------------------- routing


@st.composite
def routings(draw_):
    n_classes = draw_(st.integers(2, 30))
    cutoffs = sorted(draw_(st.sets(st.integers(1, n_classes - 1), min_size=1, max_size=4)))
    order = draw_(st.none() | st.permutations(range(n_classes)))
    ignore_index = draw_(st.sampled_from([-100, -1, 0, n_classes - 1, n_classes, 255]))
    targets = draw_(st.lists(st.integers(-2, n_classes + 2) | st.just(ignore_index), max_size=20))
    return n_classes, cutoffs, order, ignore_index, targets


@given(routings())
def test_routing_against_loops(case):
    n_classes, cutoffs, order, ignore_index, targets = case
    table = None if order is None else torch.tensor(order).argsort()
    ranks = target_ranks(torch.tensor(targets, dtype=torch.long), n_classes, ignore_index, table)
    expected = []
    for word in targets:
        if word == ignore_index:
            expected.append(n_classes)
        elif not 0 <= word < n_classes:
            expected.append(-1 if word < 0 else n_classes + 1)
        else:
            expected.append(word if order is None else order.index(word))
    assert ranks.dtype == torch.int64
    assert ranks.tolist() == expected

    routing, n_bad = L.route(ranks, torch.tensor([0, *cutoffs, n_classes, n_classes + 1]))
    edges = [0, *cutoffs, n_classes, n_classes + 1]
    inside = [[r for r in expected if low <= r < high] for low, high in itertools.pairwise(edges)]
    assert routing.sizes == [len(band) for band in inside]
    assert n_bad == sum(not 0 <= r <= n_classes for r in expected)
    assert routing.ranks.tolist() == sorted(expected)
    # stable: tokens of one word keep their places, so sums run in the same order every time
    assert routing.permutation.tolist() == sorted(range(len(expected)), key=lambda i: expected[i])
    assert routing.n_tokens == sum(len(band) for band in inside[:-1])


def test_chunks_keep_the_buffer_small_and_the_products_long():
    low, high = L.CHUNK_ROWS
    assert L.chunk_rows(10**6, 1) == high
    assert L.chunk_rows(10**6, 10**7) == low
    assert L.chunk_rows(5, 10**7) == 5
    assert L.chunk_rows(0, 10) == 1
    words = L.CHUNK_ELEMENTS // 500
    assert 500 <= L.chunk_rows(10**6, words) <= 501
    # on a GPU the buffer alone sets the limit
    assert L.chunk_rows(10**6, 1000, True) == L.GPU_CHUNK_ELEMENTS // 1000
    assert L.chunk_rows(5, 1000, True) == 5 and L.chunk_rows(10**6, 10**8, True) == low


# ---------------------------------------------------------------- one cross entropy


@pytest.mark.parametrize("rows", CHUNKS)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_fp64_is_exact_for_every_chunk(rows, bias, weighted, route):
    x, weight, b, target, row_weight = draw(13, 5, 11, bias=bias)
    w = row_weight if weighted else 0.37
    truth = plain(x, weight, b, target, w)
    got = L.linear_nll(x, weight, b, target, row_weight=w, gradients=(True, True, bias), rows=rows)
    for a, e in zip(got, truth, strict=True):
        assert (a is None) == (e is None)
        if e is not None:
            torch.testing.assert_close(a, e, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("want", [(i & 1 > 0, i & 2 > 0, i & 4 > 0) for i in range(8)])
def test_only_the_gradients_asked_for(want):
    x, weight, b, target, row_weight = draw(9, 4, 6)
    truth = plain(x, weight, b, target, row_weight)
    nll, *made = L.linear_nll(x, weight, b, target, row_weight=row_weight, gradients=want, rows=4)
    torch.testing.assert_close(nll, truth[0])
    for gradient, wanted, expected in zip(made, want, truth[1:], strict=True):
        assert (gradient is not None) == wanted
        if wanted:
            torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("n, d, k", [(255, 123, 507), (507, 255, 123), (123, 507, 255)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_error_no_worse_than_the_plain_path(n, d, k, dtype, route):
    x, weight, b, target, row_weight = draw(n, d, k, dtype=dtype)
    row_weight = row_weight.float()
    truth = plain(x.double(), weight.double(), b.double(), target, row_weight.double())
    theirs = plain(x, weight, b, target, row_weight)
    ours = L.linear_nll(x, weight, b, target, row_weight=row_weight, gradients=(True, True, True), rows=100)
    assert ours[0].dtype == torch.float32
    for mine, plains, true in zip(ours, theirs, truth, strict=True):
        scale = true.square().mean().sqrt()
        # rms over all entries; a quarter of a rounding step of headroom, for sums in another order
        allowed = (plains - true).square().mean().sqrt() * 1.1 + scale * torch.finfo(dtype).eps / 4
        assert (mine - true).square().mean().sqrt() <= allowed


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(
    "logits, target, expected",
    [
        ([1e4, -1e4], 0, 0.0),
        ([1e4, -1e4], 1, 2e4),
        ([-1e4, -1e4, -1e4], 2, math.log(3)),
        ([1e4, 1e4, -1e4], 0, math.log(2)),
        ([-1e4, 1e4, 0.0], 2, 1e4),
        ([0.0, 800.0], 0, 800.0),
        # several words share what the target lacks
        ([1e4, 1e4, -1e4], 2, 2e4 + math.log(2)),
        ([0.0, 0.0, 0.0, -110.0], 3, 110.0 + math.log(3)),
        # a probability that fp32 holds with few digits only
        ([0.0, -100.0], 1, 100.0),
        ([0.0, 0.0, -95.0], 2, 95.0 + math.log(2)),
    ],
)
def test_very_small_probabilities(dtype, logits, target, expected, route):
    weight = torch.tensor(logits, dtype=dtype).unsqueeze(1)
    one = torch.ones(1, 1, dtype=dtype)
    nll, dx, dw, db = L.linear_nll(one, weight, weight[:, 0] * 0, torch.tensor([target]), gradients=(True, True, True))
    assert nll.item() == pytest.approx(expected, rel=1e-7)
    for gradient in (dx, dw, db):
        assert gradient.isfinite().all()
    assert db.sum().abs() < 1e-6


def test_a_small_loss_beside_large_logits_keeps_its_digits():
    # 4.5e-5 next to 1000 is below one rounding step of fp32: it survives only if the large numbers cancel first
    weight = torch.tensor([[1000.0], [990.0]])
    nll, *_ = L.linear_nll(torch.ones(1, 1), weight, None, torch.tensor([0]))
    assert nll.item() == pytest.approx(math.log1p(math.exp(-10)), rel=2e-3)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_no_rows(dtype):
    x, weight, b, _, _ = draw(0, 4, 6, dtype=dtype)
    nll, dx, dw, db = L.linear_nll(x, weight, b, torch.zeros(0, dtype=torch.long), gradients=(True, True, True))
    assert nll.shape == (0,)
    assert dx.shape == (0, 4)
    assert dw.shape == (6, 4) and not dw.any()
    assert db.shape == (6,) and not db.any()


def test_strided_arguments():
    x, weight, b, target, row_weight = draw(9, 4, 6)
    truth = plain(x, weight, b, target, row_weight)
    strided = (x.t().contiguous().t(), weight.t().contiguous().t(), torch.stack([b, b], 1)[:, 0])
    assert not any(v.is_contiguous() for v in strided)
    ours = L.linear_nll(*strided, target, row_weight=row_weight, gradients=(True, True, True), rows=4)
    for a, e in zip(ours, truth, strict=True):
        torch.testing.assert_close(a, e)


# ---------------------------------------------------------------- the groups


def two_groups(dtype=torch.float64, *, bias=True):
    x, weight, b, target, _ = draw(7, 3, 5, bias=bias, dtype=dtype)
    y, other, _, wanted, _ = draw(4, 2, 6, bias=False, dtype=dtype, seed=1)
    for v in (x, weight, b, y, other):
        if v is not None:
            v.requires_grad_()
    return [L.Group(x, weight, b, target), L.Group(y, other, None, wanted)]


def head_and_tails(dtype=torch.float64, *, bias=True, dropout=True):
    """A head of seven rows, a tail of three of them with dropout, one of two, and one without rows."""
    x, weight, b, target, _ = draw(7, 4, 5, bias=bias, dtype=dtype)
    groups = [L.Group(x, weight, b, target)]
    for i, rows in enumerate([[6, 0, 3], [1, 5], []]):
        h, words, _, wanted, _ = draw(len(rows), 2, 6 - i, bias=False, dtype=dtype, seed=i + 1)
        projection = draw(1, 4, 2, dtype=dtype, seed=i + 5)[1]
        kept = torch.tensor([[0.0, 2.0]], dtype=dtype).expand_as(h).contiguous() if dropout and i == 0 else None
        groups.append(L.Group(None, words, None, wanted, torch.tensor(rows, dtype=torch.long), projection, kept))
    for v in inputs_of(groups, all_floats=True):
        v.requires_grad_()
    return groups


def inputs_of(groups, *, all_floats=False):
    values = [v for g in groups for v in (*g[:3], g.projection) if v is not None]
    return [v for v in values if all_floats or v.requires_grad]


def by_autograd(groups, scale):
    losses = []
    for x, weight, bias, target, rows, projection, dropout_mask in groups:
        if rows is not None:
            x = F.linear(groups[0].x[rows], projection) * (1.0 if dropout_mask is None else dropout_mask)
        nll = F.cross_entropy(F.linear(x, weight, bias), target, reduction="none")
        if rows is None:
            losses.append(nll)
        else:
            losses[0] = losses[0].index_add(0, rows, nll)
    return losses, sum(nll.sum() for nll in losses) * scale


UPSTREAM = {"total": (0.0, 1.0), "scaled total": (0.0, -2.5), "per token": (1.0, 0.0), "both": (1.0, 0.7)}


def objective(losses, total, upstream):
    random = torch.Generator().manual_seed(5)
    per_token, of_total = upstream
    out = total * of_total if of_total else 0.0
    for nll in losses if per_token else ():
        out = out + (nll * torch.randn(nll.shape, generator=random, dtype=nll.dtype)).sum()
    return out


@pytest.mark.parametrize("make", [two_groups, head_and_tails])
@pytest.mark.parametrize("upstream", UPSTREAM.values(), ids=UPSTREAM)
@pytest.mark.parametrize("need_total", [True, False])
@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_gradients_of_groups(make, upstream, need_total, scale, route):
    groups = make()
    expected = torch.autograd.grad(objective(*by_autograd(groups, scale), upstream), inputs_of(groups))
    value = objective(*L.grouped_nll(groups, scale, need_total=need_total), upstream)
    torch.testing.assert_close(value, objective(*by_autograd(groups, scale), upstream))
    # the second and third time through the same graph the logits are computed again; create_graph takes a third way
    for create in (False, False, True, False):
        got = torch.autograd.grad(value, inputs_of(groups), retain_graph=True, create_graph=create)
        for a, e in zip(got, expected, strict=True):
            torch.testing.assert_close(a, e, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("make, frozen", [(two_groups, i) for i in range(5)] + [(head_and_tails, i) for i in range(9)])
@pytest.mark.parametrize("upstream", UPSTREAM.values(), ids=UPSTREAM)
def test_frozen_arguments_cost_and_get_nothing(make, frozen, upstream, monkeypatch):
    groups = make()
    inputs_of(groups)[frozen].requires_grad_(False)
    asked = []

    def spy(*args, gradients=(False, False, False), **kwargs):
        asked.append(gradients)
        return linear_nll(*args, gradients=gradients, **kwargs)

    linear_nll = L.linear_nll
    monkeypatch.setattr(L, "linear_nll", spy)
    value = objective(*L.grouped_nll(groups, 0.5), upstream)
    for create in (False, True):
        got = torch.autograd.grad(value, inputs_of(groups), retain_graph=True, create_graph=create)
        expected = torch.autograd.grad(objective(*by_autograd(groups, 0.5), upstream), inputs_of(groups))
        for a, e in zip(got, expected, strict=True):
            torch.testing.assert_close(a, e, rtol=1e-12, atol=1e-12)
    needed = []
    for g in groups:
        of_hidden, *rest = (v is not None and v.requires_grad for v in g[:3])
        if g.projection is not None:
            of_hidden = groups[0].x.requires_grad or g.projection.requires_grad
        needed.append((of_hidden, *rest))
    assert asked and all(call == needed[i % len(groups)] for i, call in enumerate(asked))


def test_without_gradients_none_are_made(monkeypatch):
    asked = []
    linear_nll = L.linear_nll

    def spy(*args, **kwargs):
        asked.append(kwargs["gradients"])
        return linear_nll(*args, **kwargs)

    monkeypatch.setattr(L, "linear_nll", spy)
    groups = two_groups()
    with torch.no_grad():
        losses, total = L.grouped_nll(groups, 1.0)
    assert not total.requires_grad and not losses[0].requires_grad
    L.grouped_nll([L.Group(*(v if v is None else v.detach() for v in g)) for g in groups], 1.0)
    L.grouped_nll(groups, 1.0, need_total=False)
    assert len(asked) == 6 and not any(any(flags) for flags in asked)
    L.grouped_nll(groups, 1.0)
    assert all(any(flags) for flags in asked[6:])


@pytest.mark.parametrize("make", [two_groups, head_and_tails])
def test_penalty_on_the_gradient_of_groups(make):
    groups = make()

    def first_and_second(losses, total):
        value = total * 0.7 + losses[0].square().sum()
        first = torch.autograd.grad(value, inputs_of(groups), create_graph=True)
        return [*first, *torch.autograd.grad(sum(g.square().sum() for g in first), inputs_of(groups))]

    ours, true = (first_and_second(*nll(groups, 0.3)) for nll in (L.grouped_nll, by_autograd))
    for mine, expected in zip(ours, true, strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_error_of_tails_no_worse_than_the_plain_path(dtype, monkeypatch, route):
    monkeypatch.setattr(L, "CHUNK_ROWS", (16, 16))  # the projection's gradient is a sum over chunks too
    random = torch.Generator().manual_seed(0)
    x, weight, _, target, _ = draw(255, 123, 57, bias=False, dtype=dtype)
    _, projection, _, _, _ = draw(1, 123, 31, dtype=dtype, seed=1)
    _, words, _, wanted, _ = draw(101, 31, 507, bias=False, dtype=dtype, seed=2)
    rows = torch.randperm(255, generator=random)[:101]
    groups = [L.Group(x, weight, None, target), L.Group(None, words, None, wanted, rows, projection)]
    for v in inputs_of(groups, all_floats=True):
        v.requires_grad_()
    exact = [
        L.Group(*(v.detach().double() if v is not None and v.is_floating_point() else v for v in g)) for g in groups
    ]
    for v in inputs_of(exact, all_floats=True):
        v.requires_grad_()
    truth = torch.autograd.grad(by_autograd(exact, 1 / 255)[1], inputs_of(exact))
    theirs = torch.autograd.grad(by_autograd(groups, 1 / 255)[1], inputs_of(groups))
    ours = torch.autograd.grad(L.grouped_nll(groups, 1 / 255)[1], inputs_of(groups))
    for mine, plains, true in zip(ours, theirs, truth, strict=True):
        assert mine.dtype == dtype
        allowed = (plains - true).norm() * 1.1 + true.norm() * torch.finfo(dtype).eps / 4
        assert (mine - true).norm() <= allowed


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_sums_beyond_a_chunk_are_not_rounded(dtype, monkeypatch):
    monkeypatch.setattr(L, "CHUNK_ROWS", (16, 16))
    a, x = (draw(1024, d, 4, dtype=dtype)[0].abs() for d in (8, 12))
    made, true = L._outer(a, x), a.double().t() @ x.double()
    # 64 rounded products, and no rounding of their sum: that would be eps / 4 at best
    assert (made - true).norm() <= true.norm() * torch.finfo(dtype).eps / 8


def test_a_row_that_is_not_finite_spoils_only_itself(route):
    x, weight, b, target, _ = draw(6, 4, 5)
    clean = L.linear_nll(x, weight, b, target, gradients=(True, False, False))
    for rows in (None, 2):
        x[2] = float("nan")
        nll, dx, *_ = L.linear_nll(x, weight, b, target, gradients=(True, False, False), rows=rows)
        others = torch.arange(6) != 2
        assert nll[2].isnan() and dx[2].isnan().all()
        torch.testing.assert_close(nll[others], clean[0][others])
        torch.testing.assert_close(dx[others], clean[1][others])


def test_gradcheck_and_gradgradcheck():
    x, weight, bias, target, _ = draw(2, 2, 3)
    y, other, _, wanted, _ = draw(1, 1, 2, bias=False)

    def function(x, weight, bias, y, other):
        losses, total = L.grouped_nll([L.Group(x, weight, bias, target), L.Group(y, other, None, wanted)], 0.3)
        return (*losses, total)

    values = [v.requires_grad_() for v in (x, weight, bias, y, other)]
    # a second backward computes the logits anew and may round otherwise
    assert gradcheck(function, values, nondet_tol=1e-10)
    assert gradgradcheck(function, values, nondet_tol=1e-10)


@pytest.mark.parametrize("power", [2, 3])
def test_upstream_gradients_that_depend_on_the_parameters(power):
    # the gradient of loss**2 arrives as 2 * loss, which is itself a function of the weights: it must not be
    # differentiated along with the loss, unless a second derivative is asked for
    groups = two_groups()

    def first_and_second(losses, total):
        first = torch.autograd.grad(total**power + (losses[0] ** 2).sum(), inputs_of(groups), create_graph=True)
        return first, torch.autograd.grad(sum(g.square().sum() for g in first), inputs_of(groups))

    ours = first_and_second(*L.grouped_nll(groups, 0.3))
    theirs = first_and_second(*by_autograd(groups, 0.3))
    for mine, true in zip([*ours[0], *ours[1]], [*theirs[0], *theirs[1]], strict=True):
        torch.testing.assert_close(mine, true, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("create", [False, True])
def test_tied_weights_are_counted_once_on_each_path(create):
    # the input is made from the very weight of the softmax, as with tied embeddings
    weight = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    ids, target = torch.tensor([0, 4, 2, 2]), torch.tensor([1, 0, 2, 4])

    def loss(nll_of):
        return nll_of([L.Group(weight[ids].tanh(), weight, None, target)], 0.5)[1]

    (ours,) = torch.autograd.grad(loss(L.grouped_nll), weight, create_graph=create)
    (true,) = torch.autograd.grad(loss(by_autograd), weight)
    torch.testing.assert_close(ours, true, rtol=1e-12, atol=1e-12)


def test_the_mean_of_no_token_has_zero_gradients():
    x, weight, b, _, _ = draw(0, 4, 6)
    values = [v.requires_grad_() for v in (x, weight, b)]
    _, total = L.grouped_nll([L.Group(*values, torch.zeros(0, dtype=torch.long))], float("nan"))
    assert total.isnan()
    for gradient in torch.autograd.grad(total, values):
        assert not gradient.any()


# ---------------------------------------------------------------- memory and copies


class LargestTensor(TorchDispatchMode):
    """Numbers in the largest tensor that any operation made."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for v in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(v, torch.Tensor):
                self.numel = max(self.numel, v.numel())
        return out


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("upstream", [UPSTREAM["total"], UPSTREAM["both"]], ids=["total", "both"])
def test_logits_live_a_chunk_at_a_time_and_are_not_kept(dtype, upstream, monkeypatch):
    n, d, k = 64, 3, 200
    monkeypatch.setattr(L, "CHUNK_ROWS", (8, 8))
    x, weight, b, target, _ = draw(n, d, k, dtype=dtype)
    values = [v.requires_grad_() for v in (x, weight, b)]
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda v: saved.append(v.numel()) or v, lambda v: v):
        losses, total = L.grouped_nll([L.Group(*values, target)], 1.0 / n)
    assert sorted(saved) == sorted([n * d, k * d, k, n])
    made = [v.numel() for v in total.grad_fn.gradients if v is not None]
    assert sorted(made) == sorted([n * d, k * d, k])
    with LargestTensor() as largest:
        _, again = L.grouped_nll([L.Group(*values, target)], 1.0 / n)
        objective(losses, total, upstream).backward()
        again.backward()
    assert largest.numel == 8 * k  # one chunk of logits; all of them would be n * k


def test_gradients_made_in_forward_become_grad_without_a_copy():
    groups = two_groups(torch.float32)
    _, total = L.grouped_nll(groups, 0.25)
    made = {v.data_ptr() for v in total.grad_fn.gradients if v is not None}
    total.backward()
    assert {v.grad.data_ptr() for v in inputs_of(groups)} == made
    assert total.grad_fn.gradients is None  # or the next backward would write into somebody's .grad


def test_a_second_backward_leaves_handed_over_gradients_alone():
    groups = two_groups()
    _, total = L.grouped_nll(groups, 0.25)
    first = torch.autograd.grad(total, inputs_of(groups), retain_graph=True)
    kept = [g.clone() for g in first]
    for g in first:
        g.mul_(1000)  # as gradient clipping does, in place
    second = torch.autograd.grad(total, inputs_of(groups))
    for a, e in zip(second, kept, strict=True):
        torch.testing.assert_close(a, e, rtol=1e-12, atol=1e-12)


class OnGpu:
    """A scalar that says it lies on a GPU, and refuses to be read."""

    is_cpu = False

    def __init__(self, value):
        self.value = value

    def __mul__(self, other):
        return torch.tensor(self.value * other)

    def item(self):
        raise AssertionError("a look at this number would stall the GPU")


def test_the_upstream_gradient_is_read_on_a_cpu_only():
    made, flat = [torch.ones(3), None], (torch.ones(3), None)
    (scaled, nothing) = L._scaled(made, flat, OnGpu(2.0), 1.0)
    assert scaled.tolist() == [2.0, 2.0, 2.0] and nothing is None
    # on a CPU the look spares the pass: the very tensor comes back
    assert L._scaled(made, flat, torch.tensor(1.0), 1.0)[0] is made[0]


def test_fp16_gradients_survive_a_small_scale():
    # 1 / n of a large batch is below the smallest fp16 number once multiplied by a small gradient; it must be
    # applied in fp32, together with the loss scale
    x, weight, b, target, _ = draw(8, 4, 6, dtype=torch.float16)
    values = [v.requires_grad_() for v in (x, weight, b)]
    scale, loss_scale = 2.0**-20, 2.0**16
    _, total = L.grouped_nll([L.Group(*values, target)], scale)
    got = torch.autograd.grad(total * loss_scale, values)
    true = plain(x.double(), weight.double(), b.double(), target, torch.full((8,), scale * loss_scale))[1:]
    for a, e in zip(got, true, strict=True):
        assert a.dtype == torch.float16
        torch.testing.assert_close(a.double(), e, rtol=2e-2, atol=5e-4 * float(e.abs().max()))


def test_where_triton_does_not_run_the_loss_is_computed_without_it(monkeypatch):
    for door in (gpu.on, gpu.load):
        door.cache_clear()
    pytest.importorskip("triton")
    device = torch.device("cpu")  # where its compiler has nothing to compile for
    with pytest.warns(RuntimeWarning, match=r"Triton does not run on cpu \(RuntimeError: x is on cpu"):
        assert gpu.on(device) is None
    assert gpu.on(device) is None  # and is said once
    gpu.load.cache_clear()
    monkeypatch.setattr(gpu.importlib.util, "find_spec", lambda name: None)
    assert gpu.on(torch.device("cpu", 0)) is None
    for door in (gpu.on, gpu.load):
        door.cache_clear()
