"""Exact decoding against brute force over the whole distribution."""

import itertools
import math
from unittest import mock

import oracle
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from adasoft import AdaptiveSoftmax
from adasoft import decoding as D
from adasoft import layer as layer_room

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True, scope="module")
def the_search():
    """Layers here are small: without this, topk would look at all their words."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layer_room, "FEW_LOGITS", 0)
        yield


def layer_with_bias(words, clusters, *, d=4, n_classes=20, cutoffs=(5, 12), dtype=torch.float64, order=None):
    """A layer whose head has the given biases for its words and its clusters, on top of small weights."""
    torch.manual_seed(0)
    layer = AdaptiveSoftmax(
        d, n_classes, cutoffs, head_bias=True, widths=[3, 2][: len(cutoffs)], dtype=dtype, order=order
    )
    with torch.no_grad():
        layer.head.bias.copy_(torch.tensor([*words, *clusters]))
    return layer


def every_way():
    """With all tests before a tail is searched, without test 2 where rows are few, and with tails searched whole."""
    for small in (0, 1, 1 << 40):
        with mock.patch.object(D, "SMALL_PRICE", small):
            yield small


def check_topk(layer, x, k, atol=1e-12):
    """Values and words of `topk` against the whole distribution; ties may come in any order."""
    for _ in every_way():
        check_topk_one_way(layer, x, k, atol)


def check_topk_one_way(layer, x, k, atol):
    brute = layer.log_prob(x)
    values, indices = layer.topk(x, k)
    assert values.shape == indices.shape == (*x.shape[:-1], k)
    assert values.dtype == brute.dtype and indices.dtype == torch.int64
    # log_prob rounds twice to a low precision (within the cluster, and the sum), topk once
    rtol = 2.5 * torch.finfo(brute.dtype).eps
    torch.testing.assert_close(values, brute.topk(k).values, rtol=rtol, atol=atol)
    torch.testing.assert_close(brute.gather(-1, indices), values, rtol=rtol, atol=atol)
    for row in indices.reshape(-1, k).tolist():
        assert len(set(row)) == k


@pytest.fixture
def computed(monkeypatch):
    """A list that fills with (rows, words) of each block of logits that is computed in a tail, small ones included."""
    calls, logits = [], D.chunked_logits
    monkeypatch.setattr(D, "SMALL_PRICE", 0)

    def spy(z, weight):
        for part, values in logits(z, weight):
            calls.append(tuple(values.shape))
            yield part, values

    monkeypatch.setattr(D, "chunked_logits", spy)
    return calls


# ---------------------------------------------------------------- topk and predict


@given(oracle.cases())
def test_topk_for_every_k_against_loops(case):
    layer, x = case.layer, case.x.reshape(-1, case.layer.in_features)
    truth = oracle.log_prob(layer, x.tolist())
    torch.testing.assert_close(
        layer.log_prob(x), torch.tensor(truth, dtype=torch.float64).view(len(x), layer.n_classes)
    )
    best = torch.tensor([sorted(row, reverse=True) for row in truth], dtype=torch.float64).view(len(x), layer.n_classes)
    for k, _ in itertools.product(range(1, layer.n_classes + 1), every_way()):
        values, indices = layer.topk(x, k)
        torch.testing.assert_close(values, best[:, :k], rtol=1e-10, atol=1e-10)
        for row, words, probabilities in zip(truth, indices.tolist(), values.tolist(), strict=True):
            assert len(set(words)) == k
            assert [row[w] for w in words] == pytest.approx(probabilities, rel=1e-10, abs=1e-10)
    assert torch.equal(layer.predict(x), layer.topk(x, 1).indices.squeeze(-1))
    if len(x):
        # not equal to argmax where two words tie, but as probable
        picked = [row[w] for row, w in zip(truth, layer.predict(x).tolist(), strict=True)]
        assert picked == pytest.approx([max(row) for row in truth], rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("leading", [(), (3,), (2, 3), (2, 1, 3), (0,), (2, 0)])
@pytest.mark.parametrize("order", [None, torch.arange(19, -1, -1)], ids=["sorted ids", "order"])
def test_shapes_follow_the_leading_dimensions(leading, order):
    layer = layer_with_bias([0.0] * 5, [1.0, 1.0], order=order)
    x = torch.randn(*leading, 4, dtype=torch.float64)
    assert layer.predict(x).shape == leading
    assert layer.predict(x).dtype == torch.int64
    assert torch.equal(layer.predict(x), layer.log_prob(x).argmax(-1))
    assert layer.sample(x).shape == (*leading, 1)
    assert layer.sample(x, 7).shape == (*leading, 7)
    check_topk(layer, x, 9)


@pytest.mark.parametrize("k", [0, -1, 21, 2.0, "3", None])
def test_topk_names_a_bad_k(k):
    layer = layer_with_bias([0.0] * 5, [0.0, 0.0])
    with pytest.raises(ValueError, match=r"k should be an integer from 1 to 20, got") as error:
        layer.topk(torch.zeros(4, dtype=torch.float64), k)
    assert repr(k) in str(error.value)


@pytest.mark.parametrize("n", [0, -1, 2.0, None])
def test_sample_names_a_bad_n(n):
    layer = layer_with_bias([0.0] * 5, [0.0, 0.0])
    with pytest.raises(ValueError, match="n should be an integer of at least 1, got") as error:
        layer.sample(torch.zeros(4, dtype=torch.float64), n)
    assert repr(n) in str(error.value)


@pytest.mark.parametrize(
    "words, clusters",
    [
        ([0.0] * 5, [-1e5, -1e5]),
        ([-1e5] * 5, [0.0, -1e5]),
        ([0.0, -math.inf, -1e4, -math.inf, 1.0], [-math.inf, 0.0]),
        ([-math.inf] * 5, [-math.inf, 0.0]),
        ([0.0, *[-math.inf] * 4], [-math.inf, -math.inf]),
    ],
    ids=["no tail", "one tail", "some impossible", "only one tail possible", "one word possible"],
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_words_next_to_impossible(words, clusters, dtype):
    if dtype == torch.float16:
        words, clusters = ([b if b in (0.0, 1.0, -math.inf) else -6e4 for b in part] for part in (words, clusters))
    layer = layer_with_bias(words, clusters, dtype=dtype)
    x = torch.randn(3, 4, dtype=dtype)
    for k in range(1, 21):
        check_topk(layer, x, k, atol={torch.float64: 1e-9, torch.float32: 1e-6}.get(dtype, 1e-3))


def test_ties():
    layer = layer_with_bias([0.0] * 5, [0.0, 0.0])
    with torch.no_grad():
        for p in layer.parameters():
            p.zero_()
    for k in range(1, 21):
        check_topk(layer, torch.randn(3, 4, dtype=torch.float64), k)


def test_a_row_of_nan_still_names_words():
    layer = layer_with_bias([0.0] * 5, [0.0, 0.0], order=torch.randperm(20))
    x = torch.randn(3, 4, dtype=torch.float64)
    x[1] = math.nan
    for k, _ in itertools.product(range(1, 21), every_way()):
        values, indices = layer.topk(x, k)
        assert values[1].isnan().all()
        assert len(set(indices[1].tolist())) == k and int(indices.min()) >= 0 and int(indices.max()) < 20
        torch.testing.assert_close(values[::2], layer.log_prob(x[::2]).topk(k).values)


def test_tails_that_cannot_enter_are_not_opened(computed):
    layer = layer_with_bias([0.0] * 5, [-100.0, -100.0])
    x = torch.randn(6, 4, dtype=torch.float64)
    layer.topk(x, 5)
    layer.predict(x)
    assert computed == [] and not layer.opened(x, 5).any()
    layer.topk(x, 6)  # a sixth word must come from a tail; which one is the better is settled by opening both
    assert computed[0] == (6, 7) and layer.opened(x, 6)[:, 0].all()


def test_only_rows_that_may_profit_open_a_tail(computed):
    # row 0 speaks for the short-list, row 1 for the first tail, row 2 for the second
    layer = layer_with_bias([0.0] * 5, [-10.0, -10.0])
    with torch.no_grad():
        layer.head.weight.zero_()
        layer.head.weight[3, 0], layer.head.weight[5, 1], layer.head.weight[6, 2] = 1.0, 1.0, 1.0
    x = 50 * torch.eye(3, 4, dtype=torch.float64)
    words = layer.predict(x)
    assert computed == [(1, 7), (1, 8)]
    assert layer.opened(x, 1).tolist() == [[False, False], [True, False], [False, True]]
    assert torch.equal(words, layer.log_prob(x).argmax(-1))
    assert words[0] == 3 and 5 <= words[1] < 12 <= words[2]


@pytest.mark.parametrize("small", [245, 300, 600])
def test_a_tail_searched_whole_for_some_rows(small, monkeypatch):
    layer = layer_with_bias([0.0] * 5, [-10.0, -10.0])
    with torch.no_grad():
        layer.head.weight.zero_()
        layer.head.weight[3, 0], layer.head.weight[5, 1], layer.head.weight[6, 2] = 1.0, 1.0, 1.0
    monkeypatch.setattr(D, "SMALL_PRICE", small)  # above one row of either tail, below all rows of both
    for k in (1, 2, 3):
        check_topk_one_way(layer, torch.tensor([20.0, 30.0, 14.0]).diag().double() @ torch.eye(3, 4).double(), k, 1e-12)


@pytest.mark.parametrize("rows", [1, D.BOUND_ROWS - 1, D.BOUND_ROWS])
def test_bounds_are_made_for_many_rows_only(rows):
    layer = large_layer()
    head = layer.head.weight.detach(), layer.head.bias.detach()
    tails = [D.Tail(projection.weight.detach(), output.weight.detach()) for projection, output in layer.tail]
    made = []

    def bounds(weight):
        made.append(next(i for i, tail in enumerate(tails) if tail.weight is weight))
        return D.block_bounds(weight)

    x = torch.randn(rows, 24)
    for small, expected in ((1, [0, 1, 2] if rows >= D.BOUND_ROWS else []), (0, [0, 1, 2]), (1 << 40, [])):
        made.clear()
        opened = D.topk_ranks(x, head, layer.cutoffs, tails, 600, small=small, bounds=bounds)[2]
        assert made == expected and (opened.all() or small < 1 << 40)


class LargeOperations(TorchDispatchMode):
    """Counts operations on more numbers than PyTorch leaves to one thread."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        sizes = [v.numel() for v in torch.utils._pytree.tree_leaves((args, out)) if isinstance(v, torch.Tensor)]
        self.count += not func.is_view and max(sizes, default=0) > 1 << 15
        return out


@pytest.mark.parametrize("rows", [1, 2, 4, 8])
@pytest.mark.parametrize("k", [1, 10])
@pytest.mark.parametrize("n_classes, cutoffs", [(2_000, [300]), (10_000, [1_000, 4_000]), (90_000, [2_000, 10_000])])
def test_few_rows_take_few_large_operations(n_classes, cutoffs, k, rows):
    # a busy machine makes threads wait for each other at each: no more of them than one per tail above a plain search
    layer = AdaptiveSoftmax(64, n_classes, cutoffs, head_bias=True)
    with torch.no_grad():
        layer.head.bias[cutoffs[0] :] = 12.0  # every tail is opened
    x = torch.randn(rows, 64)
    with torch.no_grad(), LargeOperations() as ours:
        layer.topk(x, k)
    with torch.no_grad(), LargeOperations() as plain:
        layer.log_prob(x).topk(k)
    assert ours.count <= plain.count + len(cutoffs)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("pay", [False, True])
def test_products_of_few_rows(pay, bias, monkeypatch):
    monkeypatch.setattr(D, "_columns_pay", lambda: pay)
    monkeypatch.setattr(D, "COLUMN_WEIGHTS", 6400)
    weight, b = torch.randn(101, 64), torch.randn(101) if bias else None
    for n in (0, 1, 2, 3, 4, 5):
        x = torch.randn(64, n).t()  # rows that do not lie one after another
        expected = x.double() @ weight.double().T + (0 if b is None else b)
        torch.testing.assert_close(D.linear(x, weight, b).double(), expected, rtol=0, atol=1e-4)


def test_columns_are_for_amd_processors(monkeypatch):
    names = {
        "AMD EPYC 7763 64-Core Processor": True,
        "AMD64 Family 25 Model 33 Stepping 0, AuthenticAMD": True,
        "AMD64": False,  # Windows' name for all of 64 bits
        "Intel(R) Xeon(R) Processor": False,
        "aarch64": False,
    }
    for name, pay in names.items():
        monkeypatch.setattr(D, "cpu_name", lambda name=name: name)
        assert D._columns_pay.__wrapped__() == (pay and torch.backends.mkl.is_available())


def test_small_tails_are_searched_whole(computed, monkeypatch):
    layer = layer_with_bias([0.0] * 5, [1.0, 1.0])
    x = torch.randn(6, 4, dtype=torch.float64)

    def searched(small):
        computed.clear()
        monkeypatch.setattr(D, "SMALL_PRICE", small)
        layer.topk(x, 10)
        sizes = {words for _, words in computed}
        for k in range(1, 21):
            check_topk_one_way(layer, x, k, 1e-12)
        return sizes

    first, second = 6 * 7 * (3 + 32), 6 * 8 * (2 + 32)
    assert searched(0) == {7, 8} and searched(first) == {8}
    assert searched((first + second + 1) // 2) == set()
    computed.clear()
    assert layer.opened(x, 10).all() and {words for _, words in computed} == {7, 8}  # those that had to be opened


def test_of_few_logits_all_are_looked_at(monkeypatch, computed):
    layer, order = layer_with_bias([0.0] * 5, [1.0, 1.0]), torch.randperm(20)
    x = torch.randn(2, 3, 4, dtype=torch.float64)
    monkeypatch.setattr(layer_room, "FEW_LOGITS", 6 * 20)
    check_topk_one_way(layer, x, 9, 1e-12)
    check_topk_one_way(layer_with_bias([0.0] * 5, [1.0, 1.0], order=order), x, 9, 1e-12)
    assert not computed
    with pytest.raises(ValueError, match="k should be an integer from 1 to 20, got 21"):
        layer.topk(x, 21)
    with pytest.raises(RuntimeError, match="input_ should have the shape"):
        layer.topk(x[..., :3], 2)
    monkeypatch.setattr(layer_room, "FEW_LOGITS", 6 * 20 - 1)
    layer.topk(x, 9)
    assert computed


@pytest.mark.parametrize("elements", [1, 7, 20, 64])
def test_chunks_do_not_change_the_answer(elements, monkeypatch, computed):
    layer = layer_with_bias([0.0] * 5, [1.0, 1.0])
    x = torch.randn(13, 4, dtype=torch.float64)
    whole = {k: layer.topk(x, k) for k in (1, 4, 7, 20)}
    monkeypatch.setattr(D, "CHUNK_ELEMENTS", elements)
    for k, (values, indices) in whole.items():
        computed.clear()
        chunked = layer.topk(x, k)
        torch.testing.assert_close(chunked.values, values, rtol=1e-12, atol=1e-12)
        assert torch.equal(chunked.indices, indices)
        # rows at once times words of the tail
        assert all(rows == 1 or rows * words <= elements for rows, words in computed) and computed


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_topk_in_other_precisions(dtype):
    layer = layer_with_bias([0.0] * 5, [1.0, 1.0], dtype=dtype)
    for k in range(1, 21):
        check_topk(layer, torch.randn(9, 4, dtype=dtype), k, atol=1e-6 if dtype == torch.float32 else 1e-3)


@pytest.mark.parametrize("low", [torch.bfloat16, torch.float16])
def test_autocast_decodes_in_fp32(low):
    layer = layer_with_bias([0.0] * 5, [1.0, 1.0], dtype=torch.float32)
    x = torch.randn(9, 4)
    with torch.autocast("cpu", low):
        assert layer.log_prob(x).dtype == torch.float32
        check_topk(layer, x, 20, atol=1e-6)
        sums = layer.log_prob(x).exp().sum(-1)
    torch.testing.assert_close(sums, torch.ones(9), rtol=0, atol=1e-5)


def test_decoding_makes_no_graph():
    layer = layer_with_bias([0.0] * 5, [1.0, 1.0])
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert not layer.topk(x, 3).values.requires_grad
    assert layer.log_prob(x).requires_grad


# ---------------------------------------------------------------- bounds, at sizes where they work


def large_layer(dtype=torch.float32, *, scale=1.0, order=None, n_classes=9000, seed=0):
    """Some thousand words per tail, so that words come in blocks; rarer words have smaller weights, as if trained."""
    torch.manual_seed(seed)
    layer = AdaptiveSoftmax(
        24, n_classes, [300, 1500, 5007], head_bias=True, widths=[12, 6, 3], order=order, dtype=dtype
    )
    with torch.no_grad():
        layer.head.bias[300:] = torch.tensor([4.8, 4.4, 3.8])  # some per cent of the tokens in each tail
        for _, output in layer.tail:
            output.weight.mul_(scale * torch.linspace(2.0, 0.5, len(output.weight), dtype=dtype).unsqueeze(1))
    return layer


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scale", [0.3, 3.0, 30.0])
@pytest.mark.parametrize("k", [1, 10, 100, 2000])
def test_topk_over_blocks_of_words(dtype, scale, k):
    layer = large_layer(dtype, scale=scale, order=torch.randperm(9000, generator=torch.Generator().manual_seed(3)))
    x = 3 * torch.randn(40, 24, dtype=dtype)
    check_topk(layer, x, k, atol={torch.float64: 1e-10, torch.float32: 2e-5}.get(dtype, 2e-2))


@pytest.mark.parametrize("k", [1, 3, 10])
def test_many_equal_words_in_different_blocks(k):
    layer = large_layer(torch.float64)
    with torch.no_grad():
        for _, output in layer.tail:  # every 200th word is the same, and the best
            output.weight[::200] = output.weight.abs().amax(0) * 3
        layer.head.weight[300:] += 1
    check_topk(layer, torch.rand(30, 24, dtype=torch.float64), k)


@pytest.mark.parametrize("words", [1, 5, 64, 65, 127, 128, 700])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_block_bounds_hold(words, dtype):
    torch.manual_seed(words)
    weight, z = 3 * torch.randn(words, 7, dtype=dtype), 5 * torch.randn(50, 7, dtype=dtype)
    blocks = D.block_bounds(weight)
    s = z.to(blocks.means.dtype)
    inner = s @ blocks.means.T
    logits = z.double() @ weight.double().T
    slack = 1e-4 if dtype != torch.float64 else 1e-12
    assert (logits.amax(1) <= (inner + s.norm(dim=1, keepdim=True) * blocks.radii).amax(1) + slack).all()
    assert (logits.logsumexp(1) >= (inner + blocks.log_sizes).logsumexp(1) - slack).all()
    assert (
        blocks.log_sizes.exp().sum() == pytest.approx(words)
        and blocks.largest >= weight.double().norm(dim=1).max() * 0.999
    )


@pytest.fixture(params=["highest", "high", "medium"])
def precision(request):
    """fp32 products of numbers cut to fewer digits, where the processor has such; elsewhere they stay as they are."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(request.param)
    yield request.param
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("width", [1, 8, 33])
@pytest.mark.parametrize("spread", [0.0, 1e-3, 1.0])
def test_no_word_lies_outside_its_radius(precision, width, spread):
    # far from zero and close together: squares of distances are small differences of large numbers
    weight = 50 + spread * torch.randn(300, width, generator=torch.Generator().manual_seed(width))
    blocks = D.block_bounds(weight)
    means = blocks.means.repeat_interleave(D.BLOCK, 0)[:300]
    distances = (weight.double() - means.double()).norm(dim=1)
    assert (distances <= blocks.radii.repeat_interleave(D.BLOCK)[:300]).all()
    assert (blocks.radii < 1.1 * distances.max() + 0.3 * blocks.largest).all()


def test_bounds_spare_most_of_what_the_cluster_bound_opens():
    layer = large_layer()
    x = torch.randn(200, 24)
    sharp = layer.opened(x, 10)
    head = layer.head.weight, layer.head.bias
    tails = [D.Tail(projection.weight, output.weight) for projection, output in layer.tail]

    def nothing_known(weight):
        blocks = D.block_bounds(weight)
        return blocks._replace(radii=torch.full_like(blocks.radii, torch.inf))

    with torch.no_grad():
        blunt = D.topk_ranks(x, head, layer.cutoffs, tails, 10, small=0, bounds=nothing_known)[2]
    assert not (sharp & ~blunt).any()
    assert float(blunt[:, 2].float().mean()) > 0.9 > 0.1 > float(sharp[:, 2].float().mean())


def by_optimizer(optimizer, weights, **options):
    """Three rare words only, by a mask of the gradient: their weights grow."""
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
        weight.grad[101:104] = -30 * weight.detach()[101:104].sign()
    made = optimizer(weights, **options)
    for _ in range(5):
        made.step()


def by_load(layer, assign):
    state = {name: value.clone() for name, value in layer.state_dict().items()}
    for name, value in state.items():
        if name.endswith("1.weight"):
            value[101:104] *= 40
    layer.load_state_dict(state, assign=assign)


def grown(weight):
    new = torch.nn.Parameter(weight.detach().clone())
    new.data[101:104] *= 40
    return new


def by_inference(weights):
    with torch.inference_mode():
        for weight in weights:
            weight[101:104] *= 40


def by_another_process(weights):
    for weight in weights:
        weight.data.share_memory_()
    worker = torch.multiprocessing.get_context("fork").Process(target=scale_three_words, args=(weights,))
    worker.start()
    worker.join()
    assert worker.exitcode == 0


def scale_three_words(weights):
    for weight in weights:
        weight.detach().numpy()[101:104] *= 40


fused = {"fused": True}
CHANGES = {
    "Adagrad": lambda _, weights: by_optimizer(torch.optim.Adagrad, weights, lr=1.0),
    "fused Adagrad": lambda _, weights: by_optimizer(torch.optim.Adagrad, weights, lr=1.0, **fused),
    "fused Adam": lambda _, weights: by_optimizer(torch.optim.Adam, weights, lr=0.5, **fused),
    "fused AdamW": lambda _, weights: by_optimizer(torch.optim.AdamW, weights, lr=0.5, weight_decay=0.0, **fused),
    "fused SGD": lambda _, weights: by_optimizer(torch.optim.SGD, weights, lr=0.05, **fused),
    "data": lambda _, weights: [weight.data[101:104].mul_(40) for weight in weights],
    "data, all at once": lambda _, weights: torch._foreach_mul_([w.data[101:104] for w in weights], 40.0),
    "data replaced": lambda _, weights: [setattr(weight, "data", grown(weight).data) for weight in weights],
    "NumPy": lambda _, weights: scale_three_words(weights),
    "inference mode": lambda _, weights: by_inference(weights),
    "another process": lambda _, weights: by_another_process(weights),
    "swap_tensors": lambda _, weights: [torch.utils.swap_tensors(weight, grown(weight)) for weight in weights],
    "load": lambda layer, _: by_load(layer, assign=False),
    "load, assign": lambda layer, _: by_load(layer, assign=True),
    "replaced": lambda layer, _: [setattr(tail[1], "weight", grown(tail[1].weight)) for tail in layer.tail],
}


@pytest.mark.parametrize("rows", [2, 50, 300])
@pytest.mark.parametrize("change", CHANGES)
def test_no_change_of_the_weights_is_missed(change, rows):
    layer = large_layer().eval()
    x = 3 * torch.randn(rows, 24)
    before = layer.topk(x, 10)
    CHANGES[change](layer, [output.weight for _, output in layer.tail])
    check_topk(layer, x, 10, atol=2e-5)
    assert not torch.equal(layer.topk(x, 10).indices, before.indices)


def test_other_weights_for_one_call():
    layer = large_layer().eval()
    x = 3 * torch.randn(50, 24)
    before = layer.topk(x, 10)
    other = {name: grown(value) for name, value in layer.named_parameters() if name.endswith("1.weight")}
    inside, whole = (
        torch.func.functional_call(Calls(layer), {f"layer.{name}": value for name, value in other.items()}, (x, act))
        for act in (lambda layer, x: layer.topk(x, 10), lambda layer, x: layer.log_prob(x).topk(10))
    )
    torch.testing.assert_close(inside.values, whole.values, rtol=1e-6, atol=2e-5)
    assert not torch.equal(inside.indices, before.indices)
    assert torch.equal(layer.topk(x, 10).values, before.values)


class Calls(torch.nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, act):
        return act(self.layer, x)


# ---------------------------------------------------------------- tails where the bounds are nearly tight


def one_tail(weight, k, z, reach):
    """Arguments of `topk_ranks`: ``k`` short-list words of logit 0, and one tail with a logit of ``reach`` per row.

    ``weight`` (words, width), ``z`` (n, width) after the projection, ``reach`` (n,): how far the cluster is above the
    k-th best word, exactly. So the tail's best word belongs to the k best if its log-sum-exp less its largest logit is
    smaller than that.
    """
    width = weight.shape[1]
    x = torch.cat([z, reach.unsqueeze(1)], 1)
    projection, head = torch.eye(width, width + 1, dtype=z.dtype), torch.zeros(k + 1, width + 1, dtype=z.dtype)
    head[k, width] = 1.0
    tail = D.Tail(projection, weight)
    return x, (head, None), [k, k + len(weight)], [tail], k


def gap(logits):
    """Log-sum-exp less the largest logit."""
    return logits.logsumexp(1) - logits.amax(1)


def check_one_tail(weight, z, margin=1e-10):
    """The tail's best word is just above, just below, or for some rows far below the k-th best of the short-list."""
    logits, n = z @ weight.T, torch.arange(len(z))
    ways = [margin, -margin, torch.where(n % 2 == 0, margin, -1.0), torch.where(n > len(z) // 2, margin, -1.0)]
    for k, above_it, small in itertools.product((1, 3), ways, (0, 1)):
        reach = gap(logits) + above_it
        arguments = one_tail(weight, k, z, reach)
        values, ranks, _ = D.topk_ranks(*arguments, small=small)
        total = torch.logaddexp(reach, torch.tensor(k, dtype=z.dtype).log())
        within = (reach - total).unsqueeze(1) + logits.log_softmax(1)
        whole = torch.cat([(-total).unsqueeze(1).expand(-1, k), within], 1)
        torch.testing.assert_close(values, whole.topk(k).values, rtol=0, atol=margin / 20)
        torch.testing.assert_close(whole.gather(1, ranks), values, rtol=0, atol=margin / 20)


def signs(words, ones):
    """(words, 1) of -1, and 1 at the places ``ones``."""
    weight = -torch.ones(words, 1, dtype=torch.float64)
    weight[ones] = 1.0
    return weight


TIGHT = {
    "two words": signs(2, slice(1, 2)),
    "half and half in every block": signs(256, slice(None, None, 2)),
    "half and half, five blocks": signs(320, slice(1, None, 2)),
    "half and half, a short block": signs(300, slice(None, None, 2)),
    "whole blocks of each sign": signs(320, slice(64, 192)),
    "a short block of its own sign": signs(300, slice(256, None)),
    "the last word, alone in its block": signs(257, slice(256, None)),
    "the last word of the first block": signs(320, slice(63, 64)),
    "the first word of the last block": signs(320, slice(256, 257)),
    "one word within a short block": signs(300, slice(280, 281)),
    "one sign": signs(256, slice(0)),
}


@pytest.mark.parametrize("name", TIGHT)
@pytest.mark.parametrize("width", [1, 3])
def test_nearly_tight_bounds_lose_no_word(name, width):
    sizes = torch.tensor([1e-4, 1e-3, 0.01, 0.02, 0.05, 0.3, 2.0], dtype=torch.float64)
    z = torch.cat([sizes, -sizes]).unsqueeze(1)
    weight = TIGHT[name]
    if width > 1:  # the same in another direction
        turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))[0]
        weight, z = weight @ turn[:1], z @ turn[:1]
    for rows in (z, z.repeat(3, 1)):  # few and many
        check_one_tail(weight, rows)


@pytest.mark.parametrize("rows_at_once", [1, 2, 3])
@pytest.mark.parametrize("name", ["half and half, five blocks", "a short block of its own sign"])
def test_nearly_tight_bounds_in_chunks(name, rows_at_once, monkeypatch):
    weight = TIGHT[name]
    monkeypatch.setattr(D, "CHUNK_ELEMENTS", rows_at_once * len(weight))
    check_one_tail(weight, torch.tensor([[2.0], [0.01], [1.0], [-3.0], [0.05], [4.0], [-0.5]], dtype=torch.float64))


@st.composite
def tails(draw):
    """Weights and rows of a tail: signs, few distinct words, or any, in runs or mixed, all of one size or not."""
    random = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    words, width = draw(st.integers(1, 400)), draw(st.integers(1, 3))
    distinct = draw(st.integers(1, 4))
    kind = draw(st.sampled_from(["signs", "few", "any"]))
    weight = torch.randn(words, width, generator=random, dtype=torch.float64)
    if kind != "any":
        chosen = weight[:distinct] if kind == "few" else weight.sign()[:distinct]
        which = torch.randint(len(chosen), (words,), generator=random)
        weight = chosen[which.sort().values if draw(st.booleans()) else which]
    z = torch.randn(draw(st.sampled_from([1, 7, 40])), width, generator=random, dtype=torch.float64)
    return weight, z * draw(st.sampled_from([1e-3, 0.01, 0.05, 1.0, 5.0]))


@given(tails())
def test_drawn_tails_lose_no_word(drawn):
    check_one_tail(*drawn)


def above(values, dtype):
    """The next number of ``dtype`` above each."""
    rounded = values.to(dtype)
    return torch.where(rounded.double() > values, rounded, rounded.nextafter(rounded.new_tensor(math.inf)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("words", [2, 64, 256, 320])
def test_rounded_logits_lose_no_word(dtype, words):
    # logits of about 100 to 200 that differ by less than their rounding: what is found must go by the rounded ones
    generator = torch.Generator().manual_seed(words)
    turned = 0
    for _ in range(40):
        pair = 100 + torch.rand(2, 1, generator=generator)
        weight = pair[torch.randint(2, (words,), generator=generator)].to(dtype)
        z = (1 + torch.rand(40, 1, generator=generator)).to(dtype)
        reach = above(gap(torch.mm(z, weight.T).double()), dtype)
        arguments = one_tail(weight, 1, z, reach)
        found, whole = (D.topk_ranks(*arguments, small=small)[0] for small in (0, 1 << 40))
        torch.testing.assert_close(found, whole, rtol=0, atol=1e-4)
        turned += int((gap(z.double() @ weight.double().T) > reach.double()).sum())
    assert turned > 20  # rows whose best word exact logits would have passed over


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_logit_may_be_off_by_the_whole_doubt(dtype, monkeypatch):
    # as sums in low precision on a GPU may be: the best word one unit of rounding up, all others one down
    z, weight = torch.linspace(1, 2, 9).unsqueeze(1).to(dtype), torch.full((256, 1), 100.0, dtype=dtype)
    moved = (z.double() @ weight.double().T) * (1 - torch.finfo(dtype).eps)
    moved[:, 70] = z[:, 0].double() * 100 * (1 + torch.finfo(dtype).eps)
    monkeypatch.setattr(D, "chunked_logits", lambda z, _: [(slice(0, len(z)), moved.float()[-len(z) :])])
    for rows in range(1, 10):
        _, ranks, _ = D.topk_ranks(*one_tail(weight, 1, z[-rows:], above(gap(moved[-rows:]), dtype)), small=0)
        assert (ranks[:, 0] == 71).all()


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_doubt_follows_the_precision_of_products(precision, monkeypatch):
    # where fp32 products are made of bf16 numbers, means, distances and logits are as rough as those
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: precision)
    error = {"highest": 2.0**-23, "high": 2.0**-10, "medium": 2.0**-7}[precision]
    weight = torch.full((256, 1), 100.0)
    moved = torch.full((1, 256), 100 * (1 - error))
    moved[0, 70] = 100 * (1 + error)
    monkeypatch.setattr(D, "chunked_logits", lambda z, _: [(slice(0, 1), moved)])
    _, ranks, _ = D.topk_ranks(*one_tail(weight, 1, torch.ones(1, 1), gap(moved) + 1e-4), small=0)
    assert ranks.item() == 71


def test_largest_finds_what_topk_finds():
    torch.manual_seed(0)
    for words in (2, 63, 64, 600, 5121, 6000):
        values = torch.randn(16, words)
        values[3, ::7] = -math.inf
        values[5] = -math.inf
        values[6, -1] = math.nan
        values[7, words // 2] = 50
        values[8] = -math.inf
        values[8, -1] = 1  # in the last block, which may be short
        for k in (1, 2, 8):
            if k <= words:
                found, where = D.largest(values, k)
                torch.testing.assert_close(found, values.topk(k).values, equal_nan=True)
                torch.testing.assert_close(values.gather(1, where), found, equal_nan=True)
                assert all(len(set(row)) == k for row in where.tolist())


# ---------------------------------------------------------------- scores of given words


@given(oracle.cases())
def test_scores_of_candidates_against_loops(case):
    layer, x = case.layer, case.x.reshape(-1, case.layer.in_features)
    truth = torch.tensor(oracle.log_prob(layer, x.tolist()), dtype=torch.float64).view(len(x), layer.n_classes)
    candidates = torch.randint(layer.n_classes, (len(x), 5), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(layer.score(x, candidates), truth.gather(1, candidates), rtol=1e-10, atol=1e-10)
    assert layer.score(x, candidates[:, :0]).shape == (len(x), 0)


def test_scores_open_only_the_tails_they_need(monkeypatch):
    layer = layer_with_bias([0.0] * 5, [0.0, 0.0])
    sizes, whole = [], D.tail_log_prob
    monkeypatch.setattr(D, "tail_log_prob", lambda x, tail: sizes.append((len(x), len(tail.weight))) or whole(x, tail))
    x = torch.randn(2, 3, 4, dtype=torch.float64)
    candidates = torch.tensor([[[0, 1], [2, 13], [14, 12]], [[0, 0], [4, 3], [1, 2]]])
    torch.testing.assert_close(layer.score(x, candidates), layer.log_prob(x).gather(-1, candidates))
    assert sizes == [(2, 8)]


@pytest.mark.parametrize(
    "candidates, said",
    [
        (torch.zeros(3, 2), "integer word ids, got dtype torch.float32"),
        (torch.zeros(2, 2, dtype=torch.long), r"should have the shape \(3, 'm'\), got \(2, 2\)"),
        (torch.tensor([[0, 20], [0, 0], [0, 0]]), r"in \[0, 19\], got 20 \(1 of 6 are out of range\)"),
        (torch.tensor([[0, -1], [-7, 0], [0, 0]]), r"in \[0, 19\], got -1 \(2 of 6"),
    ],
)
def test_score_names_bad_candidates(candidates, said):
    layer = layer_with_bias([0.0] * 5, [0.0, 0.0])
    with pytest.raises(RuntimeError, match=said):
        layer.score(torch.zeros(3, 4, dtype=torch.float64), candidates)


# ---------------------------------------------------------------- sample


def chi_square(counts, probabilities):
    """Pearson's statistic; words of probability zero must not occur at all."""
    expected = probabilities * counts.sum(-1, keepdim=True)
    assert not counts[expected == 0].any()
    return torch.where(expected > 0, (counts - expected) ** 2 / expected, 0.0).sum(-1)


def counts_of(words, n_classes):
    return torch.stack([torch.bincount(row, minlength=n_classes) for row in words]).double()


@pytest.mark.parametrize("order", [None, torch.arange(9).flip(0)], ids=["sorted ids", "order"])
@pytest.mark.parametrize("elements", [D.CHUNK_ELEMENTS, 5])
def test_samples_follow_the_distribution(order, elements, monkeypatch):
    monkeypatch.setattr(D, "CHUNK_ELEMENTS", elements)
    torch.manual_seed(0)
    layer = AdaptiveSoftmax(3, 9, [2, 5], widths=[3, 2], dtype=torch.float64, order=order)
    with torch.no_grad():
        for p in layer.parameters():
            p.mul_(2)
    x = torch.randn(3, 3, dtype=torch.float64)
    words = layer.sample(x, 50_000, generator=torch.Generator().manual_seed(0))
    p = layer.log_prob(x).detach().exp()
    assert float(p.min()) * 50_000 > 50
    # 8 degrees of freedom: above 40 with probability 3e-6
    assert chi_square(counts_of(words, 9), p).max() < 40
    # draws are independent: pairs of neighbours follow the product (80 degrees of freedom, 150 at 4e-6)
    pairs = words[:, ::2] * 9 + words[:, 1::2]
    assert chi_square(counts_of(pairs, 81), (p.unsqueeze(2) * p.unsqueeze(1)).flatten(1)).max() < 150
    # and independent between rows
    across = words[0] * 9 + words[1]
    assert chi_square(counts_of([across], 81), torch.outer(p[0], p[1]).flatten()[None]) < 150


def test_impossible_words_are_never_drawn():
    layer = layer_with_bias([-math.inf, 0.0, -1e4, 0.0, -math.inf], [-1e4, 0.0])
    with torch.no_grad():
        layer.tail[1][0].weight.fill_(1.0)
        layer.tail[1][1].weight.copy_(torch.tensor([[-1e4], [0.0], [0.0], *[[-1e4]] * 5]).expand(8, 2))
    words = layer.sample(torch.ones(2, 4, dtype=torch.float64), 3_000)
    assert set(words.flatten().tolist()) == {1, 3, 13, 14}


@pytest.mark.parametrize("u", [0.0, 0.25, 0.5, 1 - 2.0**-53])
def test_draws_at_the_edges_of_the_unit_interval(u, monkeypatch):
    made = []

    def rand(*shape, dtype, **kwargs):
        made.append(dtype)
        return torch.full(shape, u, dtype=torch.float64)

    monkeypatch.setattr(torch, "rand", rand)
    rows = torch.tensor([[0.0, 0.5, 0.0, 0.5, 0.0], [0.25, 0.25, 0.25, 0.25, 0.0], [0.0, 0.0, 0.0, 0.1, 0.0]])
    drawn = D._draw(rows.double().log(), 2, None)
    expected = {0.0: [1, 0, 3], 0.25: [1, 1, 3], 0.5: [3, 2, 3]}.get(u, [3, 3, 3])
    assert drawn.tolist() == [[word, word] for word in expected]
    # a sum in fp32 would lose the second word, and a number drawn in fp32 most of such words
    rare = D._draw(torch.tensor([[1.0, 2.0**-30]]).log(), 1, None)
    assert rare.tolist() == [[int(u > 0.9)]] and set(made) == {torch.float64}


def test_a_generator_repeats():
    layer = layer_with_bias([0.0] * 5, [1.0, 1.0])
    x = torch.randn(4, 4, dtype=torch.float64)
    draws = [layer.sample(x, 30, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_sampling_opens_only_the_tails_that_were_drawn(monkeypatch):
    layer = layer_with_bias([0.0] * 5, [-1e4, 0.0])
    sizes, whole = [], D.tail_log_prob
    monkeypatch.setattr(D, "tail_log_prob", lambda x, tail: sizes.append(len(tail.weight)) or whole(x, tail))
    layer.sample(torch.randn(6, 4, dtype=torch.float64), 40)
    assert set(sizes) == {8}


# ---------------------------------------------------------------- nucleus


def nucleus(p, top_p):
    """The fewest words that hold ``top_p``, found by sorting, and their probabilities relative to each other."""
    order = sorted(range(len(p)), key=lambda w: -p[w])
    kept, total = [], 0.0
    for w in order:
        kept.append(w)
        total += p[w]
        if total >= top_p:
            break
    return {w: p[w] / total for w in kept}


@pytest.mark.parametrize("top_p", [1e-9, 0.3, 0.8, 0.97, 1.0])
@pytest.mark.parametrize("order", [None, torch.arange(19, -1, -1)], ids=["sorted ids", "order"])
def test_nucleus_draws_follow_its_distribution(top_p, order):
    layer = layer_with_bias([2.0, 0.0, 1.0, -1.0, 0.5], [1.5, 1.0], order=order)
    x = torch.randn(3, 4, dtype=torch.float64)
    words = layer.sample(x, 20_000, top_p=top_p, generator=torch.Generator().manual_seed(0))
    for row, p in zip(words, layer.log_prob(x).exp().tolist(), strict=True):
        kept = nucleus(p, top_p)
        expected = torch.tensor([kept.get(w, 0.0) for w in range(20)], dtype=torch.float64)
        assert chi_square(counts_of([row], 20), expected[None]) < 55  # at most 19 degrees of freedom
        assert set(row.tolist()) == {w for w in kept if kept[w] > 1e-3} | (set(row.tolist()) & set(kept))


def test_a_nucleus_may_end_at_the_mass_exactly():
    layer = layer_with_bias([2.0, 1.0, 0.5, -1.0, 0.0], [-3.0, -3.0])
    x = torch.randn(4, dtype=torch.float64)
    best = layer.topk(x, 20)
    for size in (1, 2, 3):
        words = layer.sample(x, 500, top_p=float(best.values.exp().cumsum(0)[size - 1]))
        assert set(words.tolist()) == set(best.indices[:size].tolist())


def test_a_nucleus_of_thousands_of_words():
    layer = large_layer(torch.float64, scale=0.1)
    x = torch.randn(4, 24, dtype=torch.float64)
    x[2] = 90 * layer.head.weight[7].detach()  # one row is peaked, the others need most of the words
    words = layer.sample(x, 3000, top_p=0.95, generator=torch.Generator().manual_seed(0))
    sizes = []
    for row, p in zip(words, layer.log_prob(x).exp().tolist(), strict=True):
        kept = nucleus(p, 0.95)
        assert set(row.tolist()) <= set(kept)
        # in the order of their probabilities, in twenty parts: 19 degrees of freedom at most
        part = (torch.tensor(list(kept.values()), dtype=torch.float64).cumsum(0) * 20).long().clamp(max=19)
        part_of = dict(zip(kept, part.tolist(), strict=True))
        expected = torch.zeros(20, dtype=torch.float64).index_add(0, part, torch.tensor(list(kept.values())).double())
        counts = torch.bincount(torch.tensor([part_of[word] for word in row.tolist()]), minlength=20)
        assert chi_square(counts[None].double(), expected[None]) < 55
        sizes.append(len(kept))
    assert sizes[2] < 64 and min(sizes[:2] + sizes[3:]) > 4096


@pytest.mark.parametrize("top_p", [0, 0.0, -0.1, 1.01, "0.9", math.nan])
def test_sample_names_a_bad_top_p(top_p):
    layer = layer_with_bias([0.0] * 5, [0.0, 0.0])
    with pytest.raises(ValueError, match="top_p should be above 0 and at most 1, got"):
        layer.sample(torch.zeros(4, dtype=torch.float64), top_p=top_p)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_nothing_is_drawn_from_what_is_no_distribution(bad):
    layer = layer_with_bias([0.0] * 5, [0.0, 0.0])
    with pytest.raises(ValueError, match="input should hold finite numbers"):
        layer.sample(torch.full((2, 4), bad, dtype=torch.float64))


def test_nothing_is_drawn_if_one_row_overflows():
    layer = AdaptiveSoftmax(8, 40, [5, 12], widths=[4, 2])
    with torch.no_grad():
        layer.head.weight.fill_(3e38)
    assert layer.sample(torch.zeros(1, 8), 2).shape == (1, 2)
    with pytest.raises(ValueError, match="the probabilities are not finite"):
        layer.sample(torch.tensor([[0.0] * 8, [9.0] * 8]), 2)


@pytest.mark.parametrize("top_p", [None, 0.5, 1.0])
@pytest.mark.parametrize("part", ["head", "tail"])
def test_nothing_is_drawn_from_nan(part, top_p):
    layer = AdaptiveSoftmax(8, 40, [5, 12], widths=[4, 2])
    with torch.no_grad():
        (layer.head.weight if part == "head" else layer.tail[0][1].weight).fill_(float("nan"))
        if part == "tail":
            layer.head.weight.zero_()
    with pytest.raises(ValueError, match="the probabilities are not finite"):
        layer.sample(torch.ones(30, 8), 4, **({} if top_p is None else {"top_p": top_p}))
