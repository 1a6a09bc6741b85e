"""SVD-softmax: against plain loops in fp64, and against the full softmax it is made from."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from adasoft import loss as L
from adasoft.alternatives import FullSoftmax, HierarchicalSoftmax, SVDSoftmax
from adasoft.alternatives import svd_softmax as module
from adasoft.alternatives.svd_softmax import best, decompose, power_law, products, spectrum_matrix

pytestmark = pytest.mark.usefixtures("one_thread")

D, V = 8, 50
SPECTRUM = [3.0 / (i + 1) for i in range(D)]


def weight(n=V, d=D, seed=0, dtype=torch.float64):
    return spectrum_matrix(n, [3.0 / (i + 1) for i in range(d)], seed=seed, dtype=dtype)


def normal(*shape, seed=1, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def full_layer(*, bias=False, order=None, dtype=torch.float64, **options):
    made = FullSoftmax(D, V, bias=bias, order=order, dtype=dtype, **options)
    with torch.no_grad():
        made.output.weight.copy_(weight())
        if bias:
            made.output.bias.copy_(normal(V, seed=2))
    return made


# ---------------------------------------------------------------- truth, by loops over words


def truth(matrix, bias, row, width, n_full):
    """Logits by rank of one hidden state, from the decomposition that LAPACK gives."""
    u, s, vt = torch.linalg.svd(matrix.double(), full_matrices=False)
    b, v = (u * s).tolist(), vt.tolist()
    turned = [math.fsum(a * x for a, x in zip(line, row, strict=True)) for line in v]
    bias = [0.0] * len(b) if bias is None else bias.tolist()
    preview = [math.fsum(p * t for p, t in zip(line[:width], turned[:width], strict=True)) for line in b]
    preview = [z + c for z, c in zip(preview, bias, strict=True)]
    out = list(preview)
    for w in sorted(range(len(b)), key=lambda w: -preview[w])[:n_full]:
        out[w] = math.fsum(p * t for p, t in zip(b[w], turned, strict=True)) + bias[w]
    return out


def log_softmax(logits):
    top = max(logits)
    total = math.log(math.fsum(math.exp(z - top) for z in logits))
    return [z - top - total for z in logits]


@st.composite
def cases(draw):
    seed = draw(st.integers(0, 2**31))
    d, n = draw(st.integers(1, 10)), draw(st.integers(1, 60))
    # fewer words than columns: the vectors of singular values 0 are free, and only W up to the rank is defined
    width, n_full = draw(st.integers(1, min(d, n))), draw(st.integers(1, n))
    matrix = normal(n, d, seed=seed) * draw(st.sampled_from([1.0, 20.0])) / d**0.5
    bias = normal(n, seed=seed + 1) if draw(st.booleans()) else None
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed)) if draw(st.booleans()) else None
    x = normal(*draw(st.lists(st.integers(0, 4), max_size=3)), d, seed=seed + 2)
    return matrix, bias, order, width, n_full, x


@given(case=cases())
def test_any_layer_equals_the_loops(case):
    matrix, bias, order, width, n_full, x = case
    layer = SVDSoftmax(matrix, width, n_full, bias=bias, order=order)
    n, leading = len(matrix), x.shape[:-1]
    by_rank = [log_softmax(truth(matrix, bias, r, width, n_full)) for r in x.reshape(-1, x.shape[-1]).tolist()]
    expected = torch.tensor(by_rank, dtype=torch.float64).view(*leading, n)
    if order is not None:
        expected = expected[..., order.argsort()]
    found = layer.log_prob(x)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(found.exp().sum(-1), torch.ones(leading, dtype=torch.float64))
    target = torch.randint(n, leading, generator=torch.Generator().manual_seed(3))
    output, loss = layer(x, target)
    torch.testing.assert_close(output, expected.gather(-1, target.unsqueeze(-1)).squeeze(-1), rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(loss, -output.mean(), equal_nan=True)
    k = min(5, n)
    values, indices = layer.topk(x, k)
    torch.testing.assert_close(values, expected.topk(k).values, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(found.gather(-1, indices), values, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("window", [(D, 1), (D, 7), (3, V)])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_whole_width_and_all_words_are_exact(window, bias, dtype):
    full = full_layer(bias=bias, order=torch.randperm(V), ignore_index=4, reduction="sum").to(dtype)
    layer = SVDSoftmax(full, *window)
    x, target = 3 * normal(5, 4, D, dtype=dtype), torch.randint(V, (5, 4))
    torch.testing.assert_close(layer.log_prob(x), full.log_prob(x).detach())
    output, loss = layer(x, target)
    torch.testing.assert_close(output, full(x, target).output.detach())  # ignores 4 too
    torch.testing.assert_close(loss, full(x, target).loss.detach())
    assert torch.equal(layer.topk(x, 10).indices, full.topk(x, 10).indices)
    assert layer.recall(x) == 1.0 and layer.divergence(x) < 1e-6


def test_a_linear_layer_a_weight_and_a_softmax_give_the_same():
    full = full_layer(bias=True)
    linear = nn.Linear(D, V, dtype=torch.float64)
    linear.load_state_dict(full.output.state_dict())
    x = normal(6, D)
    a, b, c = SVDSoftmax(full), SVDSoftmax(linear), SVDSoftmax(linear.weight, bias=linear.bias)
    assert (a.width, a.n_full) == (1, 1)
    assert torch.equal(a.log_prob(x), b.log_prob(x)) and torch.equal(a.log_prob(x), c.log_prob(x))
    with torch.no_grad():
        linear.weight.zero_()
    assert torch.equal(b.log_prob(x), a.log_prob(x))  # a copy


# ---------------------------------------------------------------- decomposition


@pytest.mark.parametrize("shape", [(40, 6), (6, 6), (4, 7)])
@pytest.mark.parametrize("rows", [1 << 23, 50])
def test_decomposition_is_lapacks(shape, rows, monkeypatch):
    monkeypatch.setattr(module, "_TURNED", rows)
    matrix = normal(*shape)
    values, basis, turned = decompose(matrix)
    theirs = torch.linalg.svdvals(matrix)
    torch.testing.assert_close(values[: len(theirs)], theirs)
    assert (values[len(theirs) :] < 1e-7).all()
    torch.testing.assert_close(basis.t() @ basis, torch.eye(shape[1], dtype=torch.float64))
    torch.testing.assert_close(turned @ basis.t(), matrix)
    torch.testing.assert_close(turned.norm(dim=0), values, rtol=1e-7, atol=1e-7)


def test_decomposition_of_a_steep_spectrum_in_low_precision():
    # singular values over nine decades: those that squaring loses are far below fp32's rounding of the matrix
    spectrum = torch.logspace(0, -9, 16, dtype=torch.float64)
    exact = spectrum_matrix(300, spectrum, dtype=torch.float64)
    for dtype, tolerance in ((torch.float64, 1e-15), (torch.float32, 2e-7), (torch.bfloat16, 2e-2)):
        matrix = exact.to(dtype)
        values, basis, turned = decompose(matrix)
        assert turned.dtype == basis.dtype == dtype
        error = turned.double() @ basis.double().t() - matrix.double()
        assert error.norm() <= 3 * tolerance
        s = torch.linalg.svdvals(matrix.double())
        torch.testing.assert_close(values.double(), s, rtol=1e-3, atol=2e-7)
        # the preview is as good as LAPACK's: the best of its rank
        for width in (2, 4, 8):
            ours = turned[:, :width].double() @ basis[:, :width].double().t()
            assert (ours - matrix.double()).norm() <= s[width:].norm() * 1.001 + 3 * tolerance


# ---------------------------------------------------------------- the best of many, products with few


@given(
    rows=st.integers(0, 4),
    words=st.integers(1, 700),
    n=st.integers(1, 700),
    seed=st.integers(0, 2**31),
    kind=st.sampled_from(["random", "ties", "falling", "one block", "infinite"]),
)
def test_best_is_topk(rows, words, n, seed, kind):
    n = min(n, words) if seed % 2 else min(1 + n % 20, words)
    values = normal(rows, words, seed=seed, dtype=torch.float32)
    if kind == "ties":
        values = (2 * values).round()
    if kind == "falling":
        values = values.sort(dim=1, descending=True).values
    if kind == "one block":
        values[:, : words // 3] += 50
    if kind == "infinite":
        values[values < 0] = -math.inf
    columns = best(values, n)
    assert columns.shape == (rows, n)
    assert all(len(set(row)) == n for row in columns.tolist()) or kind == "infinite"
    found = values.gather(1, columns).sort(dim=1, descending=True).values
    assert torch.equal(found, values.topk(n, dim=1).values)


@pytest.mark.parametrize("words", [64, 65, 640, 1000, 1023])
@pytest.mark.parametrize("n", [1, 3, 30])
def test_best_finds_what_is_behind_the_last_whole_block(words, n):
    values = normal(2, words, dtype=torch.float32)
    values[0, -n:] += 50
    values[1, -1] += 50
    columns = best(values, n)
    assert sorted(columns[0].tolist()) == list(range(words - n, words)) and words - 1 in columns[1]


def test_best_of_nan_does_not_fail():
    values = normal(3, 999, dtype=torch.float32)
    values[1] = math.nan
    columns = best(values, 5)
    assert columns.shape == (3, 5) and torch.equal(columns[0].sort().values, values[0].topk(5).indices.sort().values)
    layer = SVDSoftmax(weight(999), 2, 5)
    x = normal(3, D)
    expected = layer.topk(x, 4)
    x[1, 2] = math.nan
    values, indices = layer.topk(x, 4)
    assert values[1].isnan().all()
    for i in (0, 2):
        assert torch.equal(indices[i], expected.indices[i])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("n", "m"), [(1, 7), (2, 7), (5, 1), (0, 3), (3, 0)])
def test_products_with_few(dtype, n, m, monkeypatch):
    monkeypatch.setattr(module, "_COPIED", 60)
    x, matrix = normal(n, 5, dtype=dtype), normal(30, 5, seed=2, dtype=dtype)
    words = torch.randint(30, (n, m))
    expected = (x.double().unsqueeze(1) * matrix.double()[words]).sum(2)
    before = torch.get_num_threads()
    for threads in (1, 3):
        torch.set_num_threads(threads)
        try:
            found = products(x, matrix, words)
        finally:
            torch.set_num_threads(before)
        assert found.dtype == dtype and found.shape == (n, m)
        torch.testing.assert_close(found.double(), expected, rtol=2e-2 if dtype == torch.bfloat16 else 1e-5, atol=1e-2)


@pytest.mark.parametrize("rows", [1, 3])
def test_chunks_do_not_matter(rows, monkeypatch):
    layer = SVDSoftmax(full_layer(bias=True), 2, 9)
    x, target = normal(7, D), torch.randint(V, (7,))
    whole = layer.topk(x, 4), layer(x, target), layer.recall(x), layer.divergence(x)
    monkeypatch.setattr(L, "CHUNK_ROWS", (rows, rows))
    parts = layer.topk(x, 4), layer(x, target), layer.recall(x), layer.divergence(x)
    torch.testing.assert_close(parts[0].values, whole[0].values)
    assert torch.equal(parts[0].indices, whole[0].indices)
    torch.testing.assert_close(parts[1], whole[1])
    assert parts[2] == whole[2] and parts[3] == pytest.approx(whole[3])


# ---------------------------------------------------------------- quality


def test_recall_and_divergence_against_loops_and_against_w_and_n():
    matrix, x = weight(300, 12), 4 * normal(40, 12)
    layer = SVDSoftmax(matrix)
    exact = x @ matrix.t()
    full, true = exact.log_softmax(1), exact.topk(10).indices.tolist()
    seen = {}
    for width in (1, 3, 6, 12):
        for n_full in (1, 4, 10, 20, 60, 150, 300):
            layer.set_window(width, n_full)
            ours = layer.topk(x, 10).indices.tolist()
            found = sum(len(set(a) & set(b)) for a, b in zip(true, ours, strict=True)) / 400
            assert layer.recall(x) == found
            approximated = layer.log_prob(x)
            by_hand = (full.exp() * (full - approximated)).sum(1)
            assert (by_hand >= -1e-12).all()
            assert layer.divergence(x) == pytest.approx(float(by_hand.mean()), abs=1e-12)
            seen[width, n_full] = found, layer.divergence(x)
    for width in (1, 3, 6, 12):
        of_width = [seen[width, n] for n in (10, 20, 60, 150, 300)]
        assert [r for r, _ in of_width] == sorted(r for r, _ in of_width)
        assert [d for _, d in of_width] == sorted((d for _, d in of_width), reverse=True)
        assert seen[width, 300] == (1.0, pytest.approx(0.0, abs=1e-9))
    assert seen[3, 20][0] > seen[1, 20][0] and seen[3, 20][1] < seen[1, 20][1]
    assert seen[12, 1] == (1.0, pytest.approx(0.0, abs=1e-9))


def needed_by_loops(matrix, x, width, k):
    """N that each true word asks for, by the rule in ``choose``."""
    out = []
    u, s, vt = torch.linalg.svd(matrix, full_matrices=False)
    for row in x:
        exact = (matrix @ row).tolist()
        preview = ((u * s)[:, :width] @ (vt @ row)[:width]).tolist()
        for above, t in enumerate(sorted(range(len(exact)), key=lambda w: -exact[w])[:k]):
            place = 1 + sum(z > preview[t] for z in preview)
            beyond = sum(z > exact[t] for z in preview)
            out.append(max(place, beyond - (k - 1 - above)))
    return sorted(out)


@pytest.mark.parametrize("recall", [0.5, 0.87, 0.9, 1.0])
def test_choice_is_the_cheapest_and_keeps_its_word(recall):
    matrix, x, k = weight(120, 8), 4 * normal(12, 8), 5
    layer = SVDSoftmax(matrix)
    choice = layer.choose(x, recall, k, widths=[1, 2, 3, 5])
    assert (layer.width, layer.n_full) == choice[:2] and layer.utilisation == choice.utilisation
    assert choice.recall == layer.recall(x, k) >= recall
    pairs = []
    for width in (1, 2, 3, 5, 8):
        needed = needed_by_loops(matrix, x, width, k)
        n_full = needed[math.ceil(recall * len(needed)) - 1]
        pairs.append((8 * 8 + 120 * width + n_full * (8 - width), width, n_full))
        # that many do reach it, as the rule says
        assert SVDSoftmax(matrix, width, n_full).recall(x, k) >= recall
    assert (choice.width, choice.n_full) == min(pairs)[1:]
    made = SVDSoftmax.for_recall(matrix, x, recall, k, widths=[1, 2, 3, 5])
    assert (made.width, made.n_full) == choice[:2]


@given(seed=st.integers(0, 2**31), d=st.integers(1, 6), k=st.integers(1, 4), flat=st.booleans())
def test_needed_is_counted_as_by_loops(seed, d, k, flat):
    matrix, x = normal(40, d, seed=seed), normal(5, d, seed=seed + 1)
    matrix = matrix if flat else matrix @ torch.diag(torch.tensor([0.5**i for i in range(d)], dtype=torch.float64))
    for width in range(1, d + 1):
        layer = SVDSoftmax(matrix, width)
        assert sorted(layer.needed(x, k).flatten().tolist()) == needed_by_loops(matrix, x, width, k)


def test_choice_on_a_flat_spectrum_is_the_whole_width():
    layer = SVDSoftmax(spectrum_matrix(60, [1.0] * D, dtype=torch.float64), 1, 1)
    choice = layer.choose(9 * normal(20, D), 1.0, 3, widths=[1])
    assert choice.recall == 1.0 and choice.utilisation > 1
    for bad in (0, 1.5, True, "all"):
        with pytest.raises(ValueError, match=r"recall should be above 0 and at most 1, got"):
            layer.choose(normal(2, D), bad)
    with pytest.raises(ValueError, match=r"k should be an integer from 1 to 60"):
        layer.choose(normal(2, D), 0.9, 61)
    with pytest.raises(ValueError, match=r"width should be at most in_features=8, got 9"):
        layer.choose(normal(2, D), 0.9, widths=[9])
    with pytest.raises(ValueError, match=r"at least one hidden state"):
        layer.choose(normal(0, D))


def test_an_interrupted_choice_leaves_a_window_that_holds(monkeypatch):
    layer = SVDSoftmax(weight(), 3, 7)

    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_above", stop)
    with pytest.raises(KeyboardInterrupt):
        layer.choose(normal(4, D))
    assert (layer.width, layer.n_full) == (3, 7) and layer.preview.shape == (V, 3)


# ---------------------------------------------------------------- as a module


def test_nothing_is_learnt():
    layer = SVDSoftmax(full_layer(), 2, 5)
    assert not list(layer.parameters())
    x = normal(4, D).requires_grad_()
    target = torch.arange(4)
    before = layer(x, target)
    assert not before.output.requires_grad and not before.loss.requires_grad
    assert not layer.log_prob(x).requires_grad and not layer.topk(x, 2).values.requires_grad
    layer.train()
    assert torch.equal(layer(x, target).output, before.output)


def test_counts_by_hand():
    layer = SVDSoftmax(full_layer(bias=True), 2, 5)
    assert layer.operations(10) == layer.operations(10, train=False) == 2 * 10 * (D * D + V * 2 + 5 * (D - 2))
    assert layer.utilisation == (D * D + V * 2 + 5 * (D - 2)) / (V * D)
    assert layer.n_parameters == V * D + D * D + V
    assert layer.memory == 8 * (V * D + D * D + V + D)
    with pytest.raises(ValueError, match="not trained"):
        layer.operations(10, train=True)
    assert "width=2, n_full=5" in repr(layer)


def test_windows_and_checkpoints():
    full = full_layer(bias=True, order=torch.randperm(V))
    x = normal(5, D)
    layer = SVDSoftmax(full, 2, 5)
    narrow = layer.log_prob(x)
    layer.set_window(6)
    assert (layer.width, layer.n_full) == (6, 5)
    torch.testing.assert_close(layer.log_prob(x), SVDSoftmax(full, 6, 5).log_prob(x))
    layer.set_window(n_full=9)
    torch.testing.assert_close(layer.log_prob(x), SVDSoftmax(full, 6, 9).log_prob(x))
    other = SVDSoftmax(torch.zeros(V, D, dtype=torch.float64), 2, 5, bias=torch.zeros(V), order=full.order)
    other.load_state_dict(layer.state_dict())  # cut at 6, loads into 2
    torch.testing.assert_close(other.log_prob(x), narrow)
    assert other.preview.is_contiguous() and other.rest.is_contiguous()
    with pytest.raises(RuntimeError, match="order of the checkpoint differs"):
        SVDSoftmax(full_layer(bias=True)).load_state_dict(layer.state_dict())
    with pytest.raises(RuntimeError, match="size mismatch"):
        SVDSoftmax(weight(V + 1), bias=torch.zeros(V + 1)).load_state_dict(
            {k: v for k, v in layer.state_dict().items() if k != "order"}
        )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_and_autocast(dtype):
    layer = SVDSoftmax(full_layer(bias=True, dtype=torch.float32), 3, 10)
    x, target = normal(40, D, dtype=torch.float32), torch.randint(V, (40,))
    exact = layer(x, target)
    with torch.autocast("cpu", dtype=dtype):
        output, loss = layer(x, target)
        assert output.dtype == loss.dtype == layer.log_prob(x).dtype == layer.topk(x, 2).values.dtype == torch.float32
    torch.testing.assert_close(output, exact.output, rtol=0.03, atol=0.03)
    low = copy.deepcopy(layer).to(dtype)
    output, loss = low(x.to(dtype), target)
    assert output.dtype == loss.dtype == dtype
    torch.testing.assert_close(output.float(), exact.output, rtol=0.05, atol=0.05)
    made = SVDSoftmax(full_layer(bias=True, dtype=torch.float32).to(dtype), 3, 10)
    assert made.preview.dtype == dtype and made.singular_values.dtype == torch.float32
    torch.testing.assert_close(made(x.to(dtype), target).output.float(), exact.output, rtol=0.05, atol=0.05)


def test_bad_input():
    full = full_layer()
    for width in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match=r"width should be an integer of at least 1, got"):
            SVDSoftmax(full, width)
    with pytest.raises(ValueError, match=r"width should be at most in_features=8, got 9"):
        SVDSoftmax(full, 9)
    with pytest.raises(ValueError, match=r"n_full should be at most n_classes=50, got 51"):
        SVDSoftmax(full, 2, 51)
    layer = SVDSoftmax(full, 2, 5)
    with pytest.raises(ValueError, match=r"n_full should be an integer of at least 1, got 0"):
        layer.set_window(n_full=0)
    assert (layer.width, layer.n_full) == (2, 5)
    with pytest.raises(TypeError, match=r"full should be an nn.Linear, a FullSoftmax or a weight .* got Hierarchical"):
        SVDSoftmax(HierarchicalSoftmax(4, 6, counts=range(6, 0, -1)))
    with pytest.raises(TypeError, match="bias is taken from the layer"):
        SVDSoftmax(nn.Linear(4, 6), bias=torch.zeros(6))
    with pytest.raises(ValueError, match=r"bias should have the shape \(50,\), got \(4,\)"):
        SVDSoftmax(weight(), bias=torch.zeros(4))
    with pytest.raises(ValueError, match=r"weight \(V, d\) of floats, got shape \(50,\)"):
        SVDSoftmax(torch.zeros(50))
    broken = weight()
    broken[3, 2] = math.inf
    with pytest.raises(ValueError, match="weight should hold finite numbers"):
        SVDSoftmax(broken)
    for k in (0, V + 1, 1.5, True):
        with pytest.raises(ValueError, match=r"k should be an integer from 1 to 50, got"):
            layer.topk(normal(2, D), k)
    with pytest.raises(RuntimeError, match="input should have the dtype of the layer's weights"):
        layer.topk(normal(2, D, dtype=torch.float32), 1)
    with pytest.raises(RuntimeError, match=r"\[0, 49\]"):
        layer(normal(2, D), torch.tensor([0, 50]))
    assert math.isnan(layer.recall(normal(0, D))) and layer.topk(normal(0, D), 2).values.shape == (0, 2)


# ---------------------------------------------------------------- matrices of a given spectrum


def test_spectrum_matrix_has_it_and_a_power_law_is_found():
    spectrum = power_law([2.0 * i**-0.7 for i in range(1, 9)], 12)
    torch.testing.assert_close(spectrum, torch.tensor([2.0 * i**-0.7 for i in range(1, 13)], dtype=torch.float64))
    torch.testing.assert_close(power_law([*spectrum.tolist(), 0.0], 3), spectrum[:3])
    matrix = spectrum_matrix(500, spectrum, seed=4)
    assert matrix.dtype == torch.float32 and matrix.shape == (500, 12)
    torch.testing.assert_close(torch.linalg.svdvals(matrix.double()), spectrum, rtol=1e-5, atol=1e-6)
    assert torch.equal(matrix, spectrum_matrix(500, spectrum, seed=4))
    assert not torch.equal(matrix, spectrum_matrix(500, spectrum, seed=5))
    with pytest.raises(ValueError, match="at least two of them positive"):
        power_law([1.0, 0.0], 3)
    with pytest.raises(ValueError, match="not negative"):
        spectrum_matrix(20, [1.0, -1.0])
    with pytest.raises(ValueError, match=r"at least the number of singular values, 3, got 2"):
        spectrum_matrix(2, [3.0, 2.0, 1.0])


def test_numbers_of_numpys_kinds():
    layer, x = SVDSoftmax(weight(), np.int64(3), np.uint8(7)), 4 * normal(12, D)
    assert (layer.width, layer.n_full) == (3, 7) and type(layer.width) is type(layer.n_full) is int
    wanted = layer.choose(x, 0.5, 3, widths=[2, 4])
    for recall in (np.float32(0.5), np.array(0.5), torch.tensor(0.5)):
        assert layer.choose(x, recall, np.int64(3), widths=np.array([2, 4])) == wanted
    assert layer.recall(x, np.int64(3)) == wanted.recall
    assert torch.equal(layer.topk(x, np.int64(3)).indices, layer.topk(x, 3).indices)
    for wrong in (np.bool_(True), np.float64(0.0), torch.tensor(1.5), None, math.nan):
        with pytest.raises(ValueError, match=r"recall should be above 0 and at most 1, got"):
            layer.choose(x, wrong)
    for wrong in (4, True):
        with pytest.raises(ValueError, match=r"widths should be a sequence of positive integers, got"):
            layer.choose(x, 0.5, widths=wrong)
    with pytest.raises(TypeError, match=r"bias should be a tensor \(V,\), got ndarray"):
        SVDSoftmax(weight(), bias=np.zeros(V))
    assert torch.equal(
        spectrum_matrix(np.int64(9), np.array([3.0, 2.0]), seed=np.int64(2)), spectrum_matrix(9, [3.0, 2.0], seed=2)
    )
    with pytest.raises(ValueError, match=r"seed should be an integer, got 1\.5"):
        spectrum_matrix(9, [3.0, 2.0], seed=1.5)
