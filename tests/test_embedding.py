"""The adaptive embedding: against loops, tied to the layer through all that can be done to a model, what it saves."""

import copy
import io
import math
import pickle
from dataclasses import dataclass
from unittest import mock

import numpy as np
import oracle
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call
from torch.nn import functional as F

import adasoft
from adasoft import AdaptiveEmbedding, AdaptiveSoftmax
from adasoft.embedding import Saving, TiedEmbedding, savings, table

pytestmark = pytest.mark.usefixtures("one_thread")

KINDS = ["untied", "words", "words and projections"]
IDS = [0, 4, 5, 11, 12, 19, 12, 3]  # the corners of all clusters of `make`, one word twice


def make(kind="untied", d=8, n_words=20, cutoffs=(5, 12), *, seed=0, padding_idx=None, **kwargs):
    """An embedding and the layer it is tied to (None for "untied")."""
    torch.manual_seed(seed)
    kwargs.setdefault("dtype", torch.float64)
    if "div_value" not in kwargs:
        kwargs.setdefault("widths", [4, 2, 2][: len(cutoffs)])
    if kind == "untied":
        return AdaptiveEmbedding(n_words, d, cutoffs, padding_idx=padding_idx, **kwargs), None
    layer = AdaptiveSoftmax(d, n_words, cutoffs, head_bias=True, **kwargs)
    return AdaptiveEmbedding.tied(layer, tie_projections=kind != "words", padding_idx=padding_idx), layer


def value_of(embedding):
    """The parameters that an embedding reads, wherever they live, by the names of an untied one."""
    if isinstance(embedding, TiedEmbedding):
        layer, out = embedding.layer, {"head.weight": embedding.layer.head.weight}
        for i, (down, words) in enumerate(layer.tail):
            out[f"words.{i}.weight"] = words.weight
            projection = down if embedding.tie_projections else embedding.projections[i]
            out[f"projections.{i}.weight"] = projection.weight
        return out
    return dict(embedding.named_parameters())


def transposed(embedding):
    return isinstance(embedding, TiedEmbedding) and embedding.tie_projections


class Pair(nn.Module):
    """A model with input and output words, the embedding named first."""

    def __init__(self, kind="words", **kwargs):
        super().__init__()
        self.embedding, self.output = make(kind, **kwargs)

    def forward(self, ids, following):
        return self.output(self.embedding(ids).tanh(), following)


def assert_tied(pair):
    embedding, layer = pair.embedding, pair.output
    assert embedding.layer is layer
    n_own = 0 if embedding.tie_projections else len(layer.tail)
    assert len(list(pair.parameters())) == len(list(layer.parameters())) + n_own
    # and in use: a step on the layer's numbers moves the embedding
    with torch.no_grad():
        before = embedding(torch.arange(20, device=layer.head.weight.device))
        for p in layer.parameters():
            p.add_(1)
        after = embedding(torch.arange(20, device=layer.head.weight.device))
    assert (before != after).any(1).all()


# ---------------------------------------------------------------- against loops


def vectors(embedding, ids):
    """The vector of each id, by loops."""
    value = {name: p.detach() for name, p in value_of(embedding).items()}
    head = value["head.weight"].tolist()
    words = [value[f"words.{i}.weight"].tolist() for i in range(embedding.n_clusters)]
    projections = [value[f"projections.{i}.weight"] for i in range(embedding.n_clusters)]
    projections = [(p.t() if transposed(embedding) else p).tolist() for p in projections]
    rank_of_id = list(range(embedding.num_embeddings))
    if embedding.order is not None:
        for rank, word in enumerate(embedding.order.tolist()):
            rank_of_id[word] = rank
    out = []
    for word in ids:
        rank = rank_of_id[word]
        cluster = sum(rank >= c for c in embedding.cutoffs[:-1])
        if word == embedding.padding_idx:
            out.append([0.0] * embedding.embedding_dim)
        elif cluster == 0:
            out.append(head[rank])
        else:
            narrow = words[cluster - 1][rank - embedding.cutoffs[cluster - 1]]
            rows = projections[cluster - 1]
            out.append([math.fsum(a * b for a, b in zip(row, narrow, strict=True)) for row in rows])
    return out


def dense(embedding, value, ids):
    """The same by one whole table, differentiable."""
    parts = [value["head.weight"][: embedding.cutoffs[0]]]
    for i in range(embedding.n_clusters):
        p = value[f"projections.{i}.weight"]
        parts.append(value[f"words.{i}.weight"] @ (p if transposed(embedding) else p.t()))
    whole = torch.cat(parts)
    whole = whole if embedding.order is None else whole[embedding.order.argsort()]
    return (
        whole[ids] * (ids != embedding.padding_idx).unsqueeze(-1) if embedding.padding_idx is not None else whole[ids]
    )


@dataclass
class Case:
    embedding: AdaptiveEmbedding
    ids: torch.Tensor
    upstream: torch.Tensor


@st.composite
def cases(draw):
    """Embeddings of every shape that is legal, with batches that lean towards the corners."""
    random = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    d, n_words = draw(st.integers(1, 10)), draw(st.integers(2, 40))
    cutoffs = sorted(draw(st.sets(st.integers(1, n_words - 1), min_size=1, max_size=4)))
    embedding, _ = make(
        draw(st.sampled_from(KINDS)),
        d,
        n_words,
        cutoffs,
        widths=[draw(st.integers(1, 12)) for _ in cutoffs],
        order=torch.randperm(n_words, generator=random) if draw(st.booleans()) else None,
        padding_idx=draw(st.one_of(st.none(), st.integers(0, n_words - 1))),
        seed=draw(st.integers(0, 99)),
    )
    leading = draw(st.lists(st.integers(0, 4), max_size=3))
    low, high = draw(st.sampled_from([(0, n_words), (0, cutoffs[0]), (cutoffs[-1], n_words), (n_words - 1, n_words)]))
    ids = torch.randint(low, high, leading, generator=random)
    ids = ids if embedding.order is None else embedding.order[ids]
    upstream = torch.randn(*leading, d, generator=random, dtype=torch.float64)
    return Case(embedding, ids, upstream)


def check_case(case):
    embedding, ids = case.embedding, case.ids
    out = embedding(ids)
    assert out.shape == (*ids.shape, embedding.embedding_dim) and out.dtype == torch.float64
    true = vectors(embedding, ids.flatten().tolist())
    assert out.flatten().tolist() == pytest.approx([v for row in true for v in row], rel=1e-12, abs=1e-12)

    value = {name: p.detach().clone().requires_grad_() for name, p in value_of(embedding).items()}
    (out * case.upstream).sum().backward()
    (dense(embedding, value, ids) * case.upstream).sum().backward()
    for name, p in value_of(embedding).items():
        assert p.grad is not None, name
        torch.testing.assert_close(p.grad, value[name].grad, rtol=1e-11, atol=1e-11, msg=lambda m, n=name: n + m)


@given(cases())
def test_forward_and_backward_against_loops(case):
    check_case(case)


@given(cases())
def test_the_static_route_against_loops(case):
    with mock.patch("torch.compiler.is_compiling", lambda: True):
        check_case(case)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("static", [False, True])
def test_gradcheck_and_gradgradcheck(kind, static, monkeypatch):
    monkeypatch.setattr("torch.compiler.is_compiling", lambda: static)
    embedding, layer = make(kind, order=list(range(19, -1, -1)), padding_idx=3)
    both = nn.ModuleDict({"embedding": embedding} if layer is None else {"embedding": embedding, "layer": layer})
    both.forward = lambda ids: both["embedding"](ids)
    used = {id(p) for p in value_of(embedding).values()}
    names, values = zip(*((n, p) for n, p in both.named_parameters() if id(p) in used), strict=True)

    def run(*parameters):
        return functional_call(both, dict(zip(names, parameters, strict=True)), (torch.tensor(IDS),))

    assert gradcheck(run, values)
    assert gradgradcheck(run, values)


@pytest.mark.parametrize("word", range(20))
@pytest.mark.parametrize("static", [False, True])
def test_every_parameter_has_a_gradient_whatever_the_word(word, static, monkeypatch):
    monkeypatch.setattr("torch.compiler.is_compiling", lambda: static)
    embedding, _ = make(padding_idx=4)
    embedding(torch.full((3,), word)).sum().backward()
    for name, p in embedding.named_parameters():
        assert p.grad is not None and p.grad.shape == p.shape, name
    assert (word == 4) != any(p.grad.any() for p in embedding.parameters())


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("leading", [(0,), (2, 0)])
def test_an_empty_batch(leading, static, monkeypatch):
    monkeypatch.setattr("torch.compiler.is_compiling", lambda: static)
    embedding, _ = make()
    out = embedding(torch.empty(leading, dtype=torch.long))
    assert out.shape == (*leading, 8)
    out.sum().backward()
    assert all(p.grad is not None and not p.grad.any() for p in embedding.parameters())


def test_the_short_list_is_a_plain_embedding():
    embedding, _ = make(padding_idx=2)
    plain = nn.Embedding.from_pretrained(embedding.head.weight.detach().clone(), freeze=False, padding_idx=2)
    ids, upstream = torch.tensor([[0, 1, 4], [1, 0, 1]]), torch.randn(2, 3, 8, dtype=torch.float64)
    ours = torch.autograd.grad((embedding(ids) * upstream).sum(), embedding.head.weight)
    theirs = torch.autograd.grad((plain(ids) * upstream).sum(), plain.weight)
    assert torch.equal(embedding(ids), plain(ids))
    torch.testing.assert_close(ours, theirs)


def test_all_words_start_with_vectors_of_about_the_same_length():
    torch.manual_seed(0)
    embedding = AdaptiveEmbedding(3000, 256, [1000, 2000])
    lengths = embedding(torch.arange(3000)).norm(dim=1).view(3, 1000).square().mean(1)
    assert lengths.tolist() == pytest.approx([1, 1, 1], rel=0.15)
    embedding.reset_parameters()
    assert not torch.equal(embedding(torch.arange(3000)).norm(dim=1).view(3, 1000).square().mean(1), lengths)


# ---------------------------------------------------------------- the contract


def test_the_clusters_are_the_layers():
    layer = AdaptiveSoftmax(64, 1000, [100, 400], order=torch.arange(1000).flip(0))
    own = AdaptiveEmbedding(1000, 64, [100, 400], order=torch.arange(1000).flip(0))
    tied = AdaptiveEmbedding.tied(layer)
    for embedding in (own, tied):
        for name in ("cutoffs", "widths", "div_value", "shortlist_size", "n_clusters"):
            assert getattr(embedding, name) == getattr(layer, name), name
        assert (embedding.num_embeddings, embedding.embedding_dim) == (1000, 64)
        assert torch.equal(embedding.order, layer.order)
    assert [w.weight.shape for w in own.words] == [w.weight.shape for _, w in layer.tail]
    assert adasoft.AdaptiveEmbedding is AdaptiveEmbedding


def test_order_is_a_relabelling():
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    by_id, by_rank = make(order=order)[0], make()[0]
    assert torch.equal(by_id(order), by_rank(torch.arange(20)))
    assert set(by_id.state_dict()) - set(by_rank.state_dict()) == {"order"}


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8])
def test_integer_ids_of_every_kind(dtype):
    embedding, _ = make()
    assert torch.equal(embedding(torch.tensor(IDS, dtype=dtype)), embedding(torch.tensor(IDS)))


@pytest.mark.parametrize("static", [False, True])
def test_strided_ids(static, monkeypatch):
    monkeypatch.setattr("torch.compiler.is_compiling", lambda: static)
    embedding, _ = make()
    ids = torch.randint(20, (6, 4, 5), generator=torch.Generator().manual_seed(0)).permute(2, 0, 1)[::2, 1:]
    assert not ids.is_contiguous()
    assert torch.equal(embedding(ids), embedding(ids.contiguous()))
    torch.testing.assert_close(embedding(ids[0, 0, 0]), embedding(ids)[0, 0, 0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("static", [False, True])
def test_the_result_may_be_changed_in_place(static, monkeypatch):
    # FSDP2 would lose its hook if the result were a view
    monkeypatch.setattr("torch.compiler.is_compiling", lambda: static)
    embedding, _ = make()
    out = embedding(torch.tensor(IDS).view(2, 4))
    assert not out._is_view()
    first = torch.autograd.grad((out * 1).square().sum(), list(embedding.parameters()))
    out = embedding(torch.tensor(IDS).view(2, 4))
    out *= 3
    third = torch.autograd.grad(out.square().sum() / 9, list(embedding.parameters()))
    for a, b in zip(first, third, strict=True):
        torch.testing.assert_close(a, b)


def test_padding_counts_from_the_end_too():
    assert make(padding_idx=-1)[0].padding_idx == 19
    assert not make(padding_idx=-1)[0](torch.tensor([19, 19])).any()
    assert make(padding_idx=np.int64(4))[0].padding_idx == 4


@pytest.mark.parametrize(
    "bad, low, high",
    [
        ([20], 20, 20),
        ([-1, 3], -1, -1),
        ([25, -7], -7, 25),
        ([-(2**63)], -(2**63), -(2**63)),
    ],
)
@pytest.mark.parametrize("order", [None, torch.arange(20).flip(0)], ids=["sorted ids", "order"])
@pytest.mark.parametrize("padding_idx", [None, 3])
def test_an_id_out_of_range_is_named(bad, low, high, order, padding_idx):
    embedding, _ = make(order=order, padding_idx=padding_idx)
    n_bad = sum(not 0 <= i < 20 for i in bad)
    with pytest.raises(IndexError) as error:
        embedding(torch.tensor([*bad, 0, 3]))
    assert str(error.value) == (
        f"ids should be in [0, 19], but values in range [{low}, {high}] were found. {n_bad} of {len(bad) + 2} ids are "
        "out of range."
    )
    with mock.patch("torch.compiler.is_compiling", lambda: True):
        out = embedding(torch.tensor([*bad, 0, 5]))
    assert out.isnan().all(1).tolist() == [not 0 <= i < 20 for i in [*bad, 0, 5]]
    assert not out[-2:].isnan().any()


@pytest.mark.parametrize("dtype", [torch.bool, torch.float32, torch.complex64])
def test_ids_that_are_no_integers_are_refused(dtype):
    with pytest.raises(RuntimeError, match=f"ids should hold integer word ids, got dtype {dtype}"):
        make()[0](torch.zeros(3, dtype=dtype))


def test_devices_are_named():
    with pytest.raises(RuntimeError, match="ids should be on the device of the embedding, cpu, got meta"):
        make()[0](torch.zeros(3, dtype=torch.long, device="meta"))


GOOD = dict(num_embeddings=20, embedding_dim=8, cutoffs=[5, 12])


@pytest.mark.parametrize(
    "kwargs, error, message",
    [
        (dict(num_embeddings=0), ValueError, "num_embeddings should be an integer of at least 1, got 0"),
        (dict(embedding_dim=2.5), ValueError, "embedding_dim should be an integer of at least 1, got 2.5"),
        (dict(cutoffs=[5, 20]), ValueError, "between 1 and num_embeddings-1, got [5, 20]: 20 is not between 1 and 19"),
        (dict(cutoffs=[]), ValueError, "cutoffs should be a sequence of length larger than 0, got an empty one"),
        (dict(cutoffs=[5, 12, 15]), ValueError, "gives tail 2 a width of 0 (embedding_dim=8 // 4.0**2)"),
        (dict(widths=[4]), ValueError, "widths should hold one width per tail, 2, got 1: [4]"),
        (dict(order=[0, 1]), ValueError, "order should hold all 20 ids, got 2"),
        (dict(padding_idx=20), ValueError, "padding_idx should be between -20 and 19, got 20"),
        (dict(padding_idx=-21), ValueError, "padding_idx should be between -20 and 19, got -21"),
        (dict(padding_idx="a"), TypeError, "padding_idx should be an int or None, got 'a'"),
        (dict(padding_idx=True), TypeError, "padding_idx should be an int or None, got True"),
    ],
)
def test_bad_arguments_are_named(kwargs, error, message):
    good = {**GOOD, "div_value": 2} if "widths" not in kwargs and kwargs.get("cutoffs") != [5, 12, 15] else GOOD
    with pytest.raises(error) as raised:
        AdaptiveEmbedding(**{**good, **kwargs})
    assert message in str(raised.value)


def test_numbers_of_every_kind():
    for kind in (np.int64, np.uint8, torch.tensor):
        embedding = AdaptiveEmbedding(
            kind(20), kind(8), np.array([5, 12]), kind(2), order=np.arange(20)[::-1], padding_idx=kind(3)
        )
        assert embedding.cutoffs == [5, 12, 20] and embedding.widths == [4, 2]
        assert embedding.padding_idx == 3 and type(embedding.padding_idx) is int
        assert AdaptiveEmbedding.tied(AdaptiveSoftmax(8, 20, [5, 12], 2.0), padding_idx=kind(3)).padding_idx == 3
    assert AdaptiveEmbedding(20, 8, [5, 12], widths=np.array([3, 2]), padding_idx=np.int64(-1)).padding_idx == 19


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.uint64])
def test_ids_that_cannot_hold_all_words(dtype, static, monkeypatch):
    monkeypatch.setattr("torch.compiler.is_compiling", lambda: static)
    embedding = AdaptiveEmbedding(300, 8, [100, 200], 2.0, padding_idx=7)
    ids = torch.tensor([0, 7, 100, 127]).to(dtype)
    assert torch.equal(embedding(ids), embedding(ids.long()))


@pytest.mark.parametrize("bad", [2**64 - 100, 2**64 - 1, 2**63, 20])
def test_an_id_no_dtype_hides(bad):
    embedding, ids = AdaptiveEmbedding(20, 8, [5, 12], 2.0, padding_idx=7), torch.tensor([bad, 3], dtype=torch.uint64)
    with pytest.raises(IndexError, match=rf"values in range \[{bad}, {bad}\] were found. 1 of 2 ids"):
        embedding(ids)


def test_only_an_adaptive_softmax_can_be_tied_to():
    with pytest.raises(TypeError, match="layer should be an AdaptiveSoftmax, got Linear"):
        AdaptiveEmbedding.tied(nn.Linear(3, 4))
    with pytest.raises(ValueError, match="padding_idx should be between -20 and 19, got 20"):
        make("words", padding_idx=20)


def test_print_says_what_is_tied():
    assert make()[0].extra_repr() == "20, 8, cutoffs=[5, 12], widths=[4, 2]"
    text = make("words", padding_idx=3, order=list(range(20)))[0].extra_repr()
    assert text == "20, 8, cutoffs=[5, 12], widths=[4, 2], padding_idx=3, order=given, words tied"
    assert make(KINDS[2])[0].extra_repr().endswith(", words and projections tied")


def test_one_host_read_in_forward_and_none_in_backward(monkeypatch):
    embedding, _ = make(order=list(range(19, -1, -1)), padding_idx=3)
    ids = torch.tensor(IDS)
    with oracle.host_reads(monkeypatch) as seen:
        out = embedding(ids).sum()
    assert seen == ["tolist"]
    with oracle.host_reads(monkeypatch) as seen:
        out.backward()
    assert seen == []
    with mock.patch("torch.compiler.is_compiling", lambda: True), oracle.host_reads(monkeypatch) as seen:
        embedding(ids).sum().backward()
    assert seen == []


def test_deterministic_algorithms():
    embedding, _ = make(d=64, n_words=500, cutoffs=(50, 200), widths=[16, 4], dtype=torch.float32)
    ids = torch.randint(500, (64, 20), generator=torch.Generator().manual_seed(0))
    upstream = torch.randn(64, 20, 64)
    torch.use_deterministic_algorithms(True)
    try:
        runs = [torch.autograd.grad((embedding(ids) * upstream).sum(), list(embedding.parameters())) for _ in range(2)]
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


# ---------------------------------------------------------------- dtypes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("low", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("static", [False, True])
def test_autocast(kind, low, static, monkeypatch):
    monkeypatch.setattr("torch.compiler.is_compiling", lambda: static)
    embedding, _ = make(kind, dtype=torch.float32)
    ids = torch.tensor(IDS)
    with torch.autocast("cpu", low):
        out = embedding(ids)
    assert out.dtype == torch.float32  # as nn.Embedding
    full = embedding(ids)
    torch.testing.assert_close(out, full, rtol=1e-2, atol=1e-2)
    assert torch.equal(out[:2], full[:2])  # no product there
    assert not torch.equal(out, full)
    out.sum().backward()
    assert value_of(embedding)["words.0.weight"].grad.dtype == torch.float32


@pytest.mark.parametrize("low", [torch.bfloat16, torch.float16])
def test_pure_low_precision(low):
    embedding, _ = make(d=123, n_words=507, cutoffs=(50, 255), widths=[30, 7], dtype=torch.float32)
    ids = torch.randint(507, (255,), generator=torch.Generator().manual_seed(0))
    half = copy.deepcopy(embedding).to(low)
    exact = copy.deepcopy(half).double()
    plain = dense(half, dict(half.named_parameters()), ids)
    ours, true = half(ids), exact(ids)
    assert ours.dtype == low and all(p.dtype == low for p in half.parameters())
    assert (ours - true).norm() <= (plain - true).norm() * 1.05 + true.norm() * torch.finfo(low).eps / 10
    upstream = torch.randn(255, 123, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).to(low)
    of_exact = torch.autograd.grad(true, list(exact.parameters()), upstream.double())
    of_plain = torch.autograd.grad(plain, list(half.parameters()), upstream)
    of_ours = torch.autograd.grad(ours, list(half.parameters()), upstream)
    for a, b, t in zip(of_ours, of_plain, of_exact, strict=True):
        assert a.dtype == low
        assert (a - t).norm() <= (b - t).norm() * 1.05 + t.norm() * torch.finfo(low).eps / 4


# ---------------------------------------------------------------- tied


FOLLOWING = [19, 0, 12, 4, 11, 5, 6, 2]


@pytest.mark.parametrize("kind", KINDS[1:])
@pytest.mark.parametrize("order", [None, list(range(19, -1, -1))], ids=["sorted ids", "order"])
def test_the_gradients_of_both_uses_add(kind, order):
    pair = Pair(kind, order=order)
    apart = copy.deepcopy(pair)
    apart.embedding = copy.deepcopy(pair.embedding)  # alone: with a layer of its own behind it
    ids, following = torch.tensor(IDS), torch.tensor(FOLLOWING)
    for model in (pair, apart):
        model(ids, following).loss.backward()
    for (name, one), two in zip(pair.output.named_parameters(), apart.output.parameters(), strict=True):
        of_input = [p.grad for n, p in value_of(apart.embedding).items() if n == RENAMED[kind].get(name)]
        total = two.grad + of_input[0] if of_input else two.grad
        torch.testing.assert_close(one.grad, total, rtol=1e-12, atol=1e-12)
        assert bool(of_input) == (name in RENAMED[kind]) and all(g.any() for g in of_input)


_WORDS = {"head.weight": "head.weight", "tail.0.1.weight": "words.0.weight", "tail.1.1.weight": "words.1.weight"}
_ALL = _WORDS | {"tail.0.0.weight": "projections.0.weight", "tail.1.0.weight": "projections.1.weight"}
RENAMED = dict(zip(KINDS[1:], (_WORDS, _ALL), strict=True))


@pytest.mark.parametrize("kind", KINDS[1:])
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW, torch.optim.Adagrad])
def test_after_a_step_both_see_the_same_numbers(kind, optimizer):
    pair = Pair(kind)
    before = pair.embedding(torch.arange(20)).detach()
    # in groups of their own, too: no parameter is in both
    steps = optimizer([{"params": list(part.parameters())} for part in (pair.embedding, pair.output)], lr=0.1)
    pair(torch.tensor(IDS), torch.tensor(FOLLOWING)).loss.backward()
    assert all(p.grad is not None for p in pair.parameters())
    steps.step()
    after = pair.embedding(torch.arange(20)).detach()
    assert (before != after).any(1).all()  # the softmax's gradient reaches the words of every cluster
    value = {name: p.detach() for name, p in value_of(pair.embedding).items()}
    torch.testing.assert_close(after, dense(pair.embedding, value, torch.arange(20)), rtol=1e-12, atol=1e-12)
    assert_tied(pair)


def test_the_clusters_own_rows_get_no_gradient_from_the_embedding():
    embedding, layer = make("words")
    embedding(torch.arange(20)).sum().backward()
    assert layer.head.weight.grad[:5].all() and not layer.head.weight.grad[5:].any()
    assert layer.head.bias.grad is None


def by_saving(pair):
    file = io.BytesIO()
    torch.save(pair, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def by_checkpoint(pair):
    file = io.BytesIO()
    torch.save(pair.state_dict(), file)
    other = Pair(KINDS[1 + pair.embedding.tie_projections], seed=7, order=pair.output.order)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    return other


def by_assign(pair):
    with torch.device("meta"):
        other = Pair(KINDS[1 + pair.embedding.tie_projections], order=pair.output.order)
    other.load_state_dict({key: value.clone() for key, value in pair.state_dict().items()}, assign=True)
    return other


def by_to_empty(pair):
    with torch.device("meta"):
        other = Pair(KINDS[1 + pair.embedding.tie_projections], order=pair.output.order)
    other.to_empty(device="cpu")
    other.load_state_dict(pair.state_dict())
    return other


def by_overwriting(pair):
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        return copy.deepcopy(pair).float().double()
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(False)


def by_swapping(pair):
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        return copy.deepcopy(pair).float().double()
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)


def by_conversion(pair):
    return copy.deepcopy(pair).to(torch.float32).to("cpu").double()


def by_pickle(pair):
    return pickle.loads(pickle.dumps(pair))


WAYS = [
    copy.deepcopy,
    by_pickle,
    by_saving,
    by_checkpoint,
    by_assign,
    by_to_empty,
    by_overwriting,
    by_swapping,
    by_conversion,
]


@pytest.mark.parametrize("kind", KINDS[1:])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("order", [None, list(range(19, -1, -1))], ids=["sorted ids", "order"])
def test_the_tie_lasts(kind, way, order):
    pair = Pair(kind, order=order)
    with torch.no_grad():  # numbers that fp32 holds, for the ways that go through it
        for p in pair.parameters():
            p.copy_(p.float())
    other = way(pair)
    ids, following = torch.tensor(IDS), torch.tensor(FOLLOWING)
    for one, two in zip(pair(ids, following), other(ids, following), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0)
    assert_tied(other)
    assert_tied(pair)
    other.output.head.weight.data.fill_(1.5)
    assert not (pair.output.head.weight == 1.5).any()


@pytest.mark.parametrize("kind", KINDS[1:])
def test_a_checkpoint_holds_the_words_once(kind):
    pair = Pair(kind, n_words=4000, cutoffs=(500, 2000))

    def size(state):
        file = io.BytesIO()
        torch.save(state, file)
        file.seek(0)
        return file.getbuffer().nbytes, torch.load(file, weights_only=True)

    n_both, both = size(pair.state_dict())
    n_layer, _ = size(pair.output.state_dict())
    own = 0 if kind == KINDS[2] else sum(p.weight.nbytes for p in pair.embedding.projections)
    assert n_both - n_layer < own + 8_000  # names and other entries of the archive
    assert [key for key in both if key.startswith("embedding")] == (
        [] if kind == KINDS[2] else ["embedding.projections.0.weight", "embedding.projections.1.weight"]
    )
    storages = [value.untyped_storage().data_ptr() for value in both.values()]
    assert len(set(storages)) == len(storages)  # safetensors refuses shared memory


def test_an_untied_checkpoint():
    embedding, other = make(order=list(range(20)))[0], make(order=list(range(20)), seed=1)[0]
    assert list(embedding.state_dict()) == [
        "order",
        "head.weight",
        "words.0.weight",
        "words.1.weight",
        "projections.0.weight",
        "projections.1.weight",
    ]
    other.load_state_dict(embedding.state_dict())
    assert torch.equal(other(torch.arange(20)), embedding(torch.arange(20)))
    # one without an order keeps the constructor's, another order is refused
    flipped = make(order=list(range(19, -1, -1)), seed=2)[0]
    state = {k: v for k, v in embedding.state_dict().items() if k != "order"}
    flipped.load_state_dict(state)
    assert torch.equal(flipped(torch.arange(19, -1, -1)), embedding(torch.arange(20)))
    with pytest.raises(RuntimeError, match="order of the checkpoint differs from this module's"):
        flipped.load_state_dict(embedding.state_dict())
    make()[0].load_state_dict(embedding.state_dict())  # an order that says nothing
    with pytest.raises(RuntimeError, match=r"an id is its rank\)\. Build it with order=checkpoint\['order'\]"):
        make()[0].load_state_dict(flipped.state_dict())
    with pytest.raises(RuntimeError, match="Unexpected key"):
        embedding.load_state_dict({**embedding.state_dict(), "strange": torch.zeros(1)})


def test_the_callers_order_is_not_aliased():
    order = torch.arange(20)
    embedding, _ = make(order=order)
    expected = embedding(torch.tensor([3]))
    order.fill_(0)
    assert torch.equal(embedding.double()(torch.tensor([3])), expected)


@pytest.mark.parametrize("order", [None, list(range(19, -1, -1))], ids=["sorted ids", "order"])
def test_meta_device(order):
    source, _ = make(order=order)
    for how in ("to_empty", "assign"):
        other, _ = make(order=order, device="meta")
        assert all(p.is_meta for p in other.parameters())
        if how == "to_empty":
            other.to_empty(device="cpu")
        other.load_state_dict(source.state_dict(), assign=how == "assign")
        assert torch.equal(other(torch.arange(20)), source(torch.arange(20)))


@pytest.mark.parametrize("kind", KINDS[1:])
def test_resetting_a_tied_embedding_leaves_the_layer_alone(kind):
    embedding, layer = make(kind)
    before = copy.deepcopy(layer.state_dict())
    own = [p.weight.detach().clone() for p in embedding.projections]
    embedding.reset_parameters()
    assert all(torch.equal(v, before[k]) for k, v in layer.state_dict().items())
    assert all(torch.equal(p.weight, o) == (kind == KINDS[2]) for p, o in zip(embedding.projections, own, strict=True))


# ---------------------------------------------------------------- compile and export


@pytest.fixture
def dynamo():
    import torch._dynamo

    torch._dynamo.reset()
    yield torch._dynamo
    torch._dynamo.reset()


@pytest.mark.parametrize("kind", KINDS)
def test_compiles_whole_and_once(kind, dynamo):
    from torch._dynamo.testing import CompileCounterWithBackend

    embedding, _ = make(kind, order=list(range(19, -1, -1)), padding_idx=3)
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(embedding, backend=counter, fullgraph=True)
    words = list(value_of(embedding).values())
    for ids in (IDS, [0] * 8, [3] * 8, [19] * 8):
        ids = torch.tensor(ids).view(2, 4)
        ours, routed = compiled(ids), embedding(ids)
        torch.testing.assert_close(ours, routed, rtol=1e-12, atol=1e-12)
        for a, b in zip(*(torch.autograd.grad(o.square().sum(), words) for o in (ours, routed)), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    bad = compiled(torch.tensor([[0, 20, 3, -1], [1, 2, 4, 5]]))
    assert bad.isnan().all(-1).tolist() == [[False, True, False, True], [False] * 4]
    assert counter.frame_count == 1


@pytest.mark.parametrize("kind", KINDS[1:])
def test_the_pair_compiles_whole_and_once(kind, dynamo):
    from torch._dynamo.testing import CompileCounterWithBackend

    pair = Pair(kind)
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(pair, backend=counter, fullgraph=True)
    for ids in (IDS, FOLLOWING):
        ids, following = torch.tensor(ids), torch.tensor(FOLLOWING)
        grads = [torch.autograd.grad(m(ids, following).loss, list(pair.parameters())) for m in (compiled, pair)]
        for a, b in zip(*grads, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    assert counter.frame_count == 1


@pytest.mark.parametrize("kind", KINDS)
def test_exports(kind, dynamo):
    embedding, _ = make(kind, order=list(range(19, -1, -1)))
    program = torch.export.export(embedding, (torch.tensor(IDS),), dynamic_shapes=({0: torch.export.Dim("n")},))
    for n in (8, 13):
        ids = torch.randint(20, (n,), generator=torch.Generator().manual_seed(n))
        torch.testing.assert_close(program.module()(ids), embedding(ids), rtol=1e-12, atol=1e-12)


# ---------------------------------------------------------------- what is saved


def count(*modules):
    parameters = list(nn.ModuleList(modules).parameters())
    return sum(p.numel() for p in parameters), sum(p.nbytes for p in parameters)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_savings_are_those_of_real_modules(bias, dtype):
    V, d, cutoffs, widths = 500, 24, [40, 200], [10, 3]
    kwargs = dict(widths=widths, dtype=dtype)
    layer = AdaptiveSoftmax(d, V, cutoffs, head_bias=bias, **kwargs)
    words, linear = nn.Embedding(V, d, dtype=dtype), nn.Linear(d, V, bias=bias, dtype=dtype)
    tied = nn.Linear(d, V, bias=bias, dtype=dtype)
    expected = {
        "full embedding + full softmax": count(words, linear),
        "full, words tied": count(tied),
        "adaptive embedding + adaptive softmax": count(AdaptiveEmbedding(V, d, cutoffs, **kwargs), layer),
        "adaptive, words tied": count(AdaptiveEmbedding.tied(layer), layer),
        "adaptive, words and projections tied": count(AdaptiveEmbedding.tied(layer, tie_projections=True), layer),
    }
    rows = savings(layer)
    assert {r.name: (r.parameters, r.bytes) for r in rows} == expected
    assert [r.share for r in rows] == [r.parameters / rows[0].parameters for r in rows]
    assert [r.bytes for r in savings(layer, dtype=torch.float64)] == [8 * r.parameters for r in rows]


def test_savings_of_a_plan():
    counts = 1e6 / np.arange(1, 3001)
    plan = adasoft.plan(counts, 64, 512, n_tails=2)
    layer = AdaptiveSoftmax.from_plan(plan)
    assert savings(plan) == savings(layer)
    assert savings(plan, dtype=torch.float16) == savings(layer, dtype=torch.float16)
    full = adasoft.plan(counts, 64, 512, n_tails=0)
    assert [r.parameters for r in savings(full)] == [2 * 3000 * 64, 3000 * 64, 2 * 3000 * 64, 3000 * 64, 3000 * 64]


def test_the_table_of_savings():
    rows = [Saving("full", 2_000_000, 8_000_000, 1.0), Saving("adaptive, tied", 30_000, 120_000, 0.015)]
    assert table(rows).splitlines() == [
        "                parameters  MiB  of full",
        "full             2,000,000  7.6   100.0%",
        "adaptive, tied      30,000  0.1     1.5%",
    ]


# ---------------------------------------------------------------- at full size


@pytest.mark.long
def test_a_large_vocabulary():
    torch.manual_seed(0)
    embedding = AdaptiveEmbedding(267_735, 64, [20_000, 40_000, 200_000], dtype=torch.float64)
    ids = torch.randint(267_735, (8, 512), generator=torch.Generator().manual_seed(0))
    upstream = torch.randn(8, 512, 64, dtype=torch.float64)
    value = {name: p.detach().clone().requires_grad_() for name, p in embedding.named_parameters()}
    (embedding(ids) * upstream).sum().backward()
    (F.embedding(ids, dense(embedding, value, torch.arange(267_735))) * upstream).sum().backward()
    for name, p in embedding.named_parameters():
        torch.testing.assert_close(p.grad, value[name].grad, rtol=1e-11, atol=1e-11)
