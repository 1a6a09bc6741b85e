"""The layer: against loops, against the stock layer, and what the stock layer cannot do."""

import copy
import io
import pickle
import subprocess
import sys
from fractions import Fraction
from types import SimpleNamespace
from unittest import mock

import numpy as np
import oracle
import pytest
import torch
from hypothesis import given
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call

from adasoft import AdaptiveEmbedding, AdaptiveSoftmax, loss
from adasoft.layer import AdaptiveOutput

pytestmark = pytest.mark.usefixtures("one_thread")

LOW = (torch.bfloat16, torch.float16)


def make(d=8, n_classes=20, cutoffs=(5, 12), *, seed=0, **kwargs):
    torch.manual_seed(seed)
    kwargs.setdefault("dtype", torch.float64)
    if "div_value" not in kwargs:
        kwargs.setdefault("widths", [4, 2, 2][: len(cutoffs)])
    return AdaptiveSoftmax(d, n_classes, cutoffs, **kwargs)


def batch(*leading, d=8, n_classes=20, dtype=torch.float64, seed=1):
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(*leading, d, generator=random, dtype=torch.float64).to(dtype)
    return x.requires_grad_(), torch.randint(n_classes, leading, generator=random)


def gradients(objective, layer, x, **kwargs):
    return torch.autograd.grad(objective, [x, *layer.parameters()], **kwargs)


def assert_all_close(ours, theirs, tolerance=1e-10):
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


# ---------------------------------------------------------------- against loops


def check_case(case):
    layer, x, target = case.layer, case.x.requires_grad_(), case.target
    output, loss_ = layer(x, target)
    true_output, true_loss = oracle.outputs(layer, x, target)
    assert output.shape == target.shape and output.dtype == torch.float64
    assert output.flatten().tolist() == pytest.approx(true_output, rel=1e-10, abs=1e-10)
    if layer.reduction == "none":
        assert torch.equal(loss_, -output)
    else:
        assert loss_.shape == ()
        assert loss_.item() == pytest.approx(true_loss, rel=1e-10, abs=1e-10, nan_ok=True)

    value, dense_x = oracle.leaves(layer), x.detach().clone().requires_grad_()
    case.objective(output, loss_).backward()
    if case.counted:
        dense = oracle.dense_forward(layer, value, dense_x, target)
        assert dense[0].flatten().tolist() == pytest.approx(true_output, rel=1e-10, abs=1e-10)
        case.objective(*dense).backward()
    for name, p in [("input", x), *layer.named_parameters()]:
        true = (dense_x if name == "input" else value[name]).grad
        true = torch.zeros_like(p) if true is None else true  # no token counts
        assert p.grad is not None and p.grad.dtype == p.dtype, name
        torch.testing.assert_close(p.grad, true, rtol=1e-10, atol=1e-10, msg=lambda m, name=name: f"{name}: {m}")


@given(oracle.cases())
def test_forward_and_backward_against_loops(case):
    check_case(case)


@given(oracle.cases())
def test_the_static_route_against_loops(case):
    # the route of torch.compile and torch.export, run without either
    with mock.patch("torch.compiler.is_compiling", lambda: True):
        check_case(case)


def test_log_prob_backward():
    layer, (x, _) = make(head_bias=True, order=torch.randperm(20)), batch(2, 3)
    upstream = torch.randn(2, 3, 20, dtype=torch.float64)
    value, dense_x = oracle.leaves(layer), x.detach().clone().requires_grad_()
    (layer.log_prob(x) * upstream).sum().backward()
    (oracle.dense_log_prob(layer, value, dense_x) * upstream).sum().backward()
    assert_all_close([x.grad, *(p.grad for p in layer.parameters())], [dense_x.grad, *(v.grad for v in value.values())])
    truth = oracle.log_prob(layer, x.detach().view(-1, 8).tolist())
    torch.testing.assert_close(layer.log_prob(x).detach().view(6, 20), torch.tensor(truth, dtype=torch.float64))


# ---------------------------------------------------------------- a drop-in for the stock layer

STOCK = [
    dict(in_features=16, n_classes=20, cutoffs=[5, 12]),
    dict(in_features=16, n_classes=20, cutoffs=[5, 12], div_value=2.0, head_bias=True),
    dict(in_features=7, n_classes=20, cutoffs=[19], div_value=3),
    dict(in_features=5, n_classes=9, cutoffs=[1], head_bias=True),
    dict(in_features=9, n_classes=9, cutoffs=[1, 2, 8], div_value=1.5),
    dict(in_features=4, n_classes=2, cutoffs=(1,), div_value=1),
]


def both(kwargs, dtype=torch.float64):
    pair = []
    for cls in (nn.AdaptiveLogSoftmaxWithLoss, AdaptiveSoftmax):
        torch.manual_seed(3)
        pair.append(cls(**kwargs, dtype=dtype))
    return pair


@pytest.mark.parametrize("kwargs", STOCK)
def test_same_seed_same_parameters_and_attributes(kwargs):
    stock, ours = both(kwargs)
    assert list(stock.state_dict()) == list(ours.state_dict())
    for name, value in stock.state_dict().items():
        assert torch.equal(value, ours.state_dict()[name]), name
    torch.manual_seed(9)
    stock.reset_parameters()
    torch.manual_seed(9)
    ours.reset_parameters()
    for name, value in stock.state_dict().items():
        assert torch.equal(value, ours.state_dict()[name]), name
    names = [
        "in_features",
        "n_classes",
        "cutoffs",
        "div_value",
        "head_bias",
        "shortlist_size",
        "n_clusters",
        "head_size",
    ]
    for name in names:
        assert getattr(stock, name) == getattr(ours, name), name
    assert [name for name, _ in stock.named_modules()] == [name for name, _ in ours.named_modules()]
    assert ours.widths == [projection.out_features for projection, _ in stock.tail]


@pytest.mark.parametrize("kwargs", STOCK)
@pytest.mark.parametrize("used", ["loss", "output", "both"])
@pytest.mark.parametrize("n", [1, 3, 40, None])
def test_same_values_and_gradients(kwargs, used, n):
    stock, ours = both(kwargs)
    leading = () if n is None else (n,)
    x, target = batch(*leading, d=kwargs["in_features"], n_classes=kwargs["n_classes"])
    upstream = torch.randn(leading, dtype=torch.float64)

    def run(layer):
        out = layer(x, target)
        objective = (out.output * upstream).sum() * (used != "loss") + out.loss * (used != "output") * 1.7
        return *out, *gradients(objective, layer, x, materialize_grads=True)

    assert_all_close(run(ours), run(stock))
    assert_all_close([ours.log_prob(x.view(-1, x.shape[-1]))], [stock.log_prob(x.view(-1, x.shape[-1]))])
    if n is not None:
        assert torch.equal(ours.predict(x), stock.predict(x))


def test_output_and_loss_by_name_and_place():
    layer, (x, target) = make(), batch(4)
    out = layer(x, target)
    output, loss_ = out
    assert out.output is output and out.loss is loss_
    assert type(out)._fields == ("output", "loss")


@pytest.mark.parametrize("kwargs", STOCK)
def test_checkpoints_load_strictly_both_ways(kwargs):
    stock, ours = both(kwargs)
    ours.reset_parameters()
    assert ours.load_state_dict(stock.state_dict(), strict=True) == ([], [])
    assert torch.equal(ours.head.weight, stock.head.weight)
    ours.reset_parameters()
    assert stock.load_state_dict(ours.stock_state_dict(), strict=True) == ([], [])
    assert torch.equal(ours.head.weight, stock.head.weight)
    ordered = AdaptiveSoftmax(**kwargs, dtype=torch.float64, order=torch.randperm(kwargs["n_classes"]))
    stock.load_state_dict(ordered.stock_state_dict(), strict=True)
    assert torch.equal(ordered.head.weight, stock.head.weight)


def stock_message(error):
    """What the stock layer says, without the punctuation at its end."""
    return str(error.value).strip().rstrip(".")


BAD_CUTOFFS = [[], [0, 3], [3, 3], [4, 2], [20], [5, 25], [-1], [2.5], [3, 5.5]]


@pytest.mark.parametrize("cutoffs", BAD_CUTOFFS, ids=str)
def test_bad_cutoffs_are_refused_in_the_stock_layers_words(cutoffs):
    with pytest.raises(ValueError) as theirs:
        nn.AdaptiveLogSoftmaxWithLoss(16, 20, cutoffs)
    with pytest.raises(ValueError) as ours:
        AdaptiveSoftmax(16, 20, cutoffs)
    assert str(ours.value).startswith(stock_message(theirs))
    if cutoffs:
        assert f"got {cutoffs}" in str(ours.value)


@pytest.mark.parametrize("cutoffs", [7, None, "57", [True], [None], ["5"]], ids=repr)
def test_cutoffs_of_a_wrong_type_are_refused_too(cutoffs):
    with pytest.raises(ValueError, match=r"cutoffs should be a sequence of unique, positive integers .*, got"):
        AdaptiveSoftmax(16, 20, cutoffs)


@pytest.mark.parametrize("n_target", [3, 5])
def test_a_size_mismatch_is_refused_in_the_stock_layers_words(n_target):
    stock, ours = both(STOCK[0])
    x, _ = batch(4, d=16)
    messages = []
    for layer in (stock, ours):
        with pytest.raises(RuntimeError) as error:
            layer(x, torch.zeros(n_target, dtype=torch.long))
        messages.append(stock_message(error))
    assert messages[1].startswith(messages[0])
    assert "(4, 16)" in messages[1] and f"({n_target},)" in messages[1]


@pytest.mark.parametrize("bad", [[20], [-1], [-1, 25], [-100, 20]], ids=str)
@pytest.mark.parametrize("order", [None, torch.arange(20).flip(0)], ids=["sorted ids", "order"])
def test_a_target_out_of_range_is_refused_in_the_stock_layers_words(bad, order):
    stock, _ = both(STOCK[0])
    ours = make(16, order=order, ignore_index=-7)
    x, _ = batch(len(bad) + 2, d=16)
    target = torch.tensor([0, *bad, 19])
    sentence = "Target values should be in [0, 19], but values in range ["
    for layer in (stock, ours):
        with pytest.raises(RuntimeError) as error:
            layer(x, target)
        assert str(error.value).startswith(sentence)
    # ours are the values out of range, where the stock layer's are those of all
    assert f"[{min(bad)}, {max(bad)}] were found. {len(bad)} of {len(target)} targets" in str(error.value)
    assert "ignore_index=-7" in str(error.value)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, *LOW])
def test_to_and_half(dtype):
    layer = make(dtype=torch.float32, order=torch.randperm(20)).to(dtype)
    assert layer.order.dtype == torch.int64
    x, target = batch(6, dtype=dtype)
    output, loss_ = layer(x, target)
    assert output.dtype == loss_.dtype == dtype
    if dtype == torch.float16:
        assert make(dtype=torch.float32).half()(x, target).output.dtype == dtype


@pytest.mark.parametrize("order", [None, torch.arange(20).flip(0)], ids=["sorted ids", "order"])
def test_copies(order):
    layer, (x, target) = make(order=order), batch(6)
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    copies = [copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), torch.load(file, weights_only=False)]
    expected = layer(x, target)
    with torch.no_grad():
        layer.head.weight.zero_()
    for other in copies:
        assert_all_close(other(x, target), expected, 0)
        assert torch.equal(other.topk(x, 20).indices, copies[0].topk(x, 20).indices)


# ---------------------------------------------------------------- made without memory


def by_to_empty(layer, state):
    layer.to_empty(device="cpu").load_state_dict(state)


def by_assign(layer, state):
    layer.load_state_dict(state, assign=True)


@pytest.mark.parametrize("order", [None, list(range(19, -1, -1))], ids=["sorted ids", "order"])
@pytest.mark.parametrize("by", [by_to_empty, by_assign])
@pytest.mark.parametrize("how", ["argument", "context"])
def test_meta_device(order, by, how):
    # cutoffs and order are no weights: they must come to life with the layer, not from a checkpoint
    real, (x, target) = make(order=order), batch(6)
    if how == "argument":
        layer = make(order=order, device="meta", seed=5)
    else:
        with torch.device("meta"):
            layer = make(order=order, seed=5)
    assert all(p.is_meta for p in layer.parameters())
    by(layer, real.state_dict())
    assert not any(v.is_meta for v in [*layer.parameters(), *layer.buffers()])
    assert_all_close(layer(x, target), real(x, target), 0)
    assert torch.equal(layer.topk(x, 7).indices, real.topk(x, 7).indices)
    assert list(layer.state_dict()) == list(real.state_dict())


def test_skip_init():
    layer = nn.utils.skip_init(AdaptiveSoftmax, 8, 20, [5, 12], widths=[4, 2], dtype=torch.float64)
    layer.load_state_dict(make().state_dict())
    x, target = batch(6)
    assert_all_close(layer(x, target), make()(x, target), 0)


def test_devices_are_named():
    layer, (x, target) = make(), batch(3)
    with pytest.raises(RuntimeError, match="target_ should be on the device of input_, cpu, got meta"):
        layer(x, target.to("meta"))
    with pytest.raises(RuntimeError, match="input_ should be on the layer's device, cpu, got meta"):
        layer(x.to("meta"), target)
    with pytest.raises(RuntimeError, match="input_ should be on the layer's device, cpu, got meta"):
        layer(x.to("meta"), target.to("meta"))
    for call in (layer.log_prob, layer.predict, layer.sample, lambda v: layer.topk(v, 3)):
        with pytest.raises(RuntimeError, match="input_ should be on the layer's device, cpu, got meta"):
            call(x.to("meta"))


# ---------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    "kwargs, message",
    [
        (dict(widths=[3]), r"widths should hold one width per tail, 2, got 1: \[3\]"),
        (dict(widths=[3, 0]), r"widths\[1\] should be an integer of at least 1, got 0"),
        (dict(widths=[3, 2.0]), r"widths\[1\] should be an integer of at least 1, got 2.0"),
        (dict(div_value=4.0), r"div_value=4.0 gives tail 2 a width of 0 \(in_features=8 // 4.0\*\*2\)"),
        (dict(div_value=0), "div_value should be above 0, got 0"),
        (dict(div_value=float("nan")), "div_value should be above 0, got nan"),
        (dict(reduction="average"), "reduction should be 'mean', 'sum' or 'none', got 'average'"),
        (dict(tail_dropout=1.0), "tail_dropout should be at least 0 and below 1, got 1.0"),
        (dict(tail_dropout=-0.1), "tail_dropout should be at least 0 and below 1, got -0.1"),
        (dict(d=0), "in_features should be an integer of at least 1, got 0"),
        (dict(n_classes=-3), "n_classes should be an integer of at least 1, got -3"),
        (dict(order=[0] * 20), "order should hold each id from 0 to 19 once, got 0 twice and 1 not at all"),
        (dict(order=range(19)), "order should hold all 20 ids, got 19"),
        (dict(order=range(21)), "order should hold all 20 ids, got 21"),
        (dict(order=[*range(19), 20]), "order should hold each id from 0 to 19 once, got 20 at place 19"),
        (dict(order=[-1, *range(1, 20)]), "order should hold each id from 0 to 19 once, got -1 at place 0"),
        (dict(order=torch.arange(20.0)), "order should be a 1-D sequence of integer ids, got dtype torch.float32"),
        (dict(order=torch.ones(20, dtype=torch.bool)), "order should be .* integer ids, got dtype torch.bool"),
        (dict(order=torch.arange(20).view(4, 5)), r"order should be a 1-D sequence .* shape \(4, 5\)"),
    ],
)
def test_bad_arguments_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        make(**kwargs)


@pytest.mark.parametrize("kind", [tuple, list, torch.tensor, lambda v: torch.tensor(v).numpy()])
def test_cutoffs_of_every_kind(kind):
    layer = make(cutoffs=kind([5, 12]))
    assert layer.cutoffs == [5, 12, 20] and all(type(c) is int for c in layer.cutoffs)


def test_ignore_index_of_a_wrong_type():
    with pytest.raises(TypeError, match="ignore_index should be an int, got None"):
        make(ignore_index=None)


@pytest.mark.parametrize("ignore_index", [2**63, -(2**63) - 1, 10**30])
def test_ignore_index_is_a_number_that_ids_can_be(ignore_index):
    with pytest.raises(ValueError, match=r"ignore_index should be between -2\*\*63 and 2\*\*63 - 1.* got -?\d+"):
        make(ignore_index=ignore_index)


@pytest.mark.parametrize(
    "ignore_index", [2**63 - 1, -(2**63), 20, np.int64(7), np.uint8(255), torch.tensor(-1)], ids=repr
)
def test_every_id_can_be_ignored(ignore_index):
    layer, (x, _) = make(ignore_index=ignore_index), batch(3)
    made = layer(x, torch.tensor([1, int(ignore_index), 13]))
    assert type(layer.ignore_index) is int and made.output[1] == 0.0
    assert_all_close(made, (made.output, -made.output.sum() / 2))


def test_numbers_of_every_kind():
    plain = make(8, 20, [5, 12], div_value=2.0, tail_dropout=0.25)
    for kind in (np.int64, np.int8, np.uint64, torch.tensor):
        layer = make(kind(8), kind(20), [kind(5), kind(12)], div_value=kind(2), tail_dropout=np.float32(0.25))
        assert layer.widths == plain.widths and layer.cutoffs == plain.cutoffs
        assert [type(v) for v in (layer.in_features, layer.n_classes, layer.div_value, layer.tail_dropout)] == [
            int,
            int,
            float,
            float,
        ]
    assert make(div_value=np.float32(1.5)).widths == make(div_value=1.5).widths
    assert make(div_value=Fraction(3, 2)).widths == make(div_value=1.5).widths
    assert make(reduction=np.str_("none")).reduction == "none"
    for widths in (np.array([4, 2], np.uint8), torch.tensor([4, 2]), (np.int32(4), np.int16(2)), dict.fromkeys([4, 2])):
        assert make(widths=widths).widths == [4, 2]
    for cutoffs in (np.array([5, 12], np.uint16), dict.fromkeys([5, 12]), [torch.tensor(5), np.int8(12)]):
        assert make(cutoffs=cutoffs).cutoffs == [5, 12, 20]


@pytest.mark.parametrize(
    "kwargs, message",
    [
        (dict(d=True), "in_features should be an integer of at least 1, got True"),
        (dict(d=torch.tensor(True)), r"in_features should be an integer of at least 1, got tensor\(True\)"),
        (dict(n_classes=np.array([20, 20])), "n_classes should be an integer of at least 1, got array"),
        (dict(cutoffs=[np.True_, 5]), "cutoffs should be .* is not an integer"),
        (dict(cutoffs=np.array([[5, 12]])), "cutoffs should be .* is not an integer"),
        (dict(cutoffs=np.array([5, 12, 5])), r"got \[5, 12, 5\]: 5 does not come after 12"),
        (dict(widths=4), "widths should be a sequence of positive integers, got 4"),
        (dict(widths=np.array(4)), r"widths should be a sequence of positive integers, got array\(4\)"),
        (dict(widths=np.array([4.0, 2.0])), r"widths\[0\] should be an integer of at least 1, got"),
        (dict(widths=[True, 2]), r"widths\[0\] should be an integer of at least 1, got True"),
        (dict(widths="42"), r"widths\[0\] should be an integer of at least 1, got '4'"),
        (dict(div_value="4"), "div_value should be above 0, got '4'"),
        (dict(div_value=True), "div_value should be above 0, got True"),
        (dict(div_value=None), "div_value should be above 0, got None"),
        (dict(div_value=np.array([4.0, 2.0])), r"div_value should be above 0, got array"),
        (dict(reduction=None), "reduction should be 'mean', 'sum' or 'none', got None"),
        (dict(reduction=np.array(["mean", "sum"])), "reduction should be 'mean', 'sum' or 'none', got array"),
        (dict(tail_dropout="0.1"), "tail_dropout should be at least 0 and below 1, got '0.1'"),
        (dict(tail_dropout=None), "tail_dropout should be at least 0 and below 1, got None"),
        (dict(tail_dropout=False), "tail_dropout should be at least 0 and below 1, got False"),
        (dict(tail_dropout=[0.1, 0.2]), "tail_dropout should be at least 0 and below 1, got"),
        (dict(tail_dropout=float("nan")), "tail_dropout should be at least 0 and below 1, got nan"),
        (dict(order="a" * 20), "order should be a 1-D sequence of integer ids, got dtype <U20"),
        (dict(order=["a"] * 20), "order should be a 1-D sequence of integer ids, got dtype <U1"),
        (dict(order=[2**64, *range(19)]), "order should be a 1-D sequence of integer ids, got dtype object"),
        (dict(order=np.array([2**64 - 1, *range(19)], np.uint64)), f"got {2**64 - 1} at place 0"),
        (dict(order=np.ma.masked_equal(np.arange(20), 3)), "order should hold all 20 ids, got an array .* are masked"),
        (dict(order=torch.arange(20).bfloat16()), "order should be a 1-D .* got dtype torch.bfloat16"),
    ],
)
def test_arguments_of_a_wrong_kind_are_named(kwargs, message):
    if "div_value" not in kwargs:
        kwargs.setdefault("widths", [4, 2])
    with pytest.raises(ValueError, match=message):
        make(**kwargs)


def test_orders_from_numpy():
    falling = np.arange(20)[::-1]  # a view with a negative stride
    frozen = falling.copy()
    frozen.flags.writeable = False
    kinds = [falling, frozen, *(falling.astype(kind) for kind in ("u1", "u2", "u4", "u8", "i1", ">i8"))]
    of_torch = (torch.uint8, torch.uint16, torch.uint64, torch.int8)
    kinds += [torch.from_numpy(falling.copy()).to(kind) for kind in of_torch]
    kinds += [list(falling), [torch.tensor(i) for i in range(19, -1, -1)]]
    for order in kinds:
        assert torch.equal(make(order=order).order, torch.arange(19, -1, -1))


@pytest.mark.parametrize("number", [3, np.int64(3), np.uint8(3), torch.tensor(3)], ids=repr)
def test_counts_of_every_kind(number):
    layer, (x, _) = make(), batch(4)
    assert layer.topk(x, number).values.shape == layer.sample(x, number).shape == (4, 3)
    assert layer.opened(x, number).shape == (4, 2)


@pytest.mark.parametrize(
    "number", [True, np.True_, torch.tensor(True), 3.0, np.float32(3), "3", None, 0, [3], -1], ids=repr
)
def test_counts_that_are_none_are_named(number):
    layer, (x, _) = make(), batch(4)
    with pytest.raises(ValueError, match="k should be an integer from 1 to 20, got "):
        layer.topk(x, number)
    with pytest.raises(ValueError, match="n should be an integer of at least 1, got "):
        layer.sample(x, number)


def test_shares_of_every_kind():
    layer, (x, _) = make(), batch(4)
    truth = layer.sample(x, 5, top_p=0.5, generator=torch.Generator().manual_seed(0))
    for share in (np.float32(0.5), np.float64(0.5), torch.tensor(0.5), Fraction(1, 2)):
        assert torch.equal(layer.sample(x, 5, top_p=share, generator=torch.Generator().manual_seed(0)), truth)
    assert layer.sample(x, top_p=1).shape == (4, 1)
    for share in (True, "0.5", 0, 1.1, float("nan"), np.array([0.5, 0.6]), [0.5]):
        with pytest.raises(ValueError, match="top_p should be above 0 and at most 1, got "):
            layer.sample(x, top_p=share)


def test_widths_are_as_given():
    layer = make(16, 30, (5, 12, 20), widths=[7, 1, 30])
    shapes = [tuple(p.shape) for p in layer.parameters()]
    assert shapes == [(8, 16), (7, 16), (7, 7), (1, 16), (8, 1), (30, 16), (10, 30)]
    assert "widths=[7, 1, 30]" in repr(layer) and "cutoffs=[5, 12, 20]" in repr(layer)


def plan(**kwargs):
    return SimpleNamespace(
        **{"in_features": 8, "n_classes": 20, "cutoffs": [5, 12], "widths": [4, 2], "order": None, **kwargs}
    )


def test_from_plan():
    layer = AdaptiveSoftmax.from_plan(plan(), head_bias=True, dtype=torch.float64)
    assert (layer.in_features, layer.n_classes, layer.cutoffs, layer.widths) == (8, 20, [5, 12, 20], [4, 2])
    assert layer.order is None and layer.head_bias
    order = torch.randperm(20)
    assert torch.equal(AdaptiveSoftmax.from_plan(plan(order=order.numpy())).order, order)
    assert AdaptiveSoftmax.from_plan(plan(), widths=[1, 1]).widths == [1, 1]


def test_a_plan_without_tails_is_a_full_softmax():
    with pytest.raises(ValueError, match=r"no tails.*torch\.nn\.Linear\(8, 20\)"):
        AdaptiveSoftmax.from_plan(plan(cutoffs=[], widths=[]))


# ---------------------------------------------------------------- inputs and targets


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.int64, torch.int16, torch.int8])
def test_integer_targets_of_every_kind(dtype):
    layer, (x, target) = make(), batch(6)
    assert_all_close(layer(x, target.to(dtype)), layer(x, target), 0)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.uint16, torch.uint32, torch.uint64])
@pytest.mark.parametrize("n_classes", [200, 70_000])
@pytest.mark.parametrize("on_host", [True, False])
def test_targets_that_cannot_hold_all_words(dtype, n_classes, on_host):
    largest = min(torch.iinfo(dtype).max, n_classes - 1)
    layer, (x, _) = make(n_classes=n_classes), batch(3)
    layer.reads_host = on_host
    target = torch.tensor([0, largest, largest // 2]).to(dtype)
    assert_all_close(layer(x, target), layer(x, target.long()))
    assert_all_close([layer.score(x, target[:, None])], [layer.score(x, target.long()[:, None])])


@pytest.mark.parametrize(
    "dtype, bad",
    [
        (torch.uint8, 255),
        (torch.uint16, 65436),
        (torch.uint32, 2**32 - 100),
        (torch.uint64, 2**64 - 100),
        (torch.uint64, 2**63),
        (torch.uint64, 2**64 - 1),
        (torch.int8, -128),
        (torch.int64, -(2**63)),
        (torch.int64, 2**63 - 1),
    ],
)
def test_a_target_no_dtype_hides(dtype, bad):
    """2**64 - 100 is no -100, which is ignored."""
    layer, (x, _) = make(), batch(2)
    target = torch.tensor([bad, 3], dtype=dtype)
    with pytest.raises(RuntimeError, match=rf"values in range \[{bad}, {bad}\] were found. 1 of 2 targets"):
        layer(x, target)
    with pytest.raises(RuntimeError, match=rf"candidates should be in \[0, 19\], got {bad} \(1 of 2 are"):
        layer.score(x, target[:, None])
    layer.reads_host = False
    assert layer(x, target).output.isnan().tolist() == [True, False]


@pytest.mark.parametrize("dtype", [torch.bool, torch.float32, torch.float16, torch.complex64])
def test_other_targets_are_refused(dtype):
    layer, (x, target) = make(), batch(6)
    with pytest.raises(RuntimeError, match=f"target_ should hold integer word ids, got dtype {dtype}"):
        layer(x, target.to(dtype))


def test_bad_inputs_are_named():
    layer, (x, target) = make(), batch(6)
    with pytest.raises(RuntimeError, match=r"input_ should have the shape \(\.\.\., 8\), got \(6, 7\)"):
        layer(x[:, :7], target)
    with pytest.raises(RuntimeError, match=r"shape \(\.\.\., 8\), got \(\)"):
        layer.predict(torch.tensor(1.0))
    with pytest.raises(RuntimeError, match=r"floating-point numbers, got dtype torch.int64"):
        layer(x.long(), target)
    with pytest.raises(RuntimeError, match=r"input_ should have the dtype .* torch\.float64, got torch\.float32"):
        layer(x.float(), target)


@pytest.mark.parametrize("on_host", [True, False])
@pytest.mark.parametrize("spoil", [float("nan"), float("inf"), 1e300, 1e200])
def test_input_and_logits_that_are_not_finite(spoil, on_host, monkeypatch):
    # 1e300: the projections overflow; 1e200: finite logits, apart by more than any exponential can hold
    monkeypatch.setattr(loss, "_on_host", lambda _: on_host)
    stock, ours = both(STOCK[1])
    x, _ = batch(20, d=16)
    target = torch.arange(20)
    clean = ours(x, target).output.detach()
    with torch.no_grad():
        stock.head.weight *= 1e10 if spoil == 1e300 else 1.0
        ours.head.weight.copy_(stock.head.weight)
        before = ours(x, target).output if spoil == 1e300 else clean
        for row in (1, 7, 15):
            x[row] = x[row].sign() * spoil
    out = ours(x, target)
    rest = [i for i in range(20) if i not in (1, 7, 15)]
    assert_all_close([out.output[rest]], [before[rest]])
    torch.testing.assert_close(out.output, stock(x, target).output, equal_nan=True)
    assert out.loss.isfinite() == (spoil == 1e200)
    out.loss.backward()
    assert x.grad[rest].isfinite().all()
    with torch.no_grad():
        layer_static = copy.deepcopy(ours)
        layer_static.reads_host = False
        torch.testing.assert_close(layer_static(x, target).output, out.output, equal_nan=True)


@pytest.mark.parametrize("on_host", [True, False])
def test_a_word_that_cannot_be(on_host, monkeypatch):
    monkeypatch.setattr(loss, "_on_host", lambda _: on_host)
    stock, ours = both(STOCK[1])
    with torch.no_grad():
        for layer in (stock, ours):
            layer.head.bias[[2, 6]] = -float("inf")  # a word of the short-list, and the second tail
    x, _ = batch(20, d=16)
    output = ours(x, torch.arange(20)).output
    assert (output == -float("inf")).nonzero().squeeze(1).tolist() == [2, *range(12, 20)]
    torch.testing.assert_close(output, stock(x, torch.arange(20)).output)
    few = torch.tensor([0, 1, 5, 11])
    grads = gradients(ours(x[few], few).loss, ours, x)
    assert all(g.isfinite().all() for g in grads)
    assert_all_close(grads, gradients(stock(x[few], few).loss, stock, x, materialize_grads=True))


SHORT_OF_MEMORY = """
import resource, torch
from pathlib import Path
from adasoft import AdaptiveSoftmax
torch.set_num_threads(1)
layer = AdaptiveSoftmax(64, 200_000, [1000, 20_000])
x, target = torch.randn(1024, 64), torch.randint(200_000, (1024,))
layer(x[:64], target[:64]).loss.backward()
held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + 250 * 2**20, resource.RLIM_INFINITY))
try:
    layer.log_prob(x)  # 0.8 GiB
except RuntimeError as error:
    print(error)
layer(x, target).loss.backward()  # all logits at once would be as much
layer.topk(x[:64], 3)
print("still going")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a process by Linux's means")
def test_too_little_memory_is_an_error_and_no_end():
    done = subprocess.run([sys.executable, "-c", SHORT_OF_MEMORY], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "can't allocate memory" in done.stdout and done.stdout.endswith("still going\n")


@pytest.mark.parametrize("leading", [(), (1,), (2, 3), (2, 1, 3)])
def test_leading_dimensions(leading):
    layer, (x, target) = make(), batch(*leading)
    flat = layer(x.reshape(-1, 8), target.reshape(-1))
    output, loss_ = layer(x, target)
    assert output.shape == leading
    assert_all_close([output.flatten(), loss_], flat, 0)
    assert layer.log_prob(x).shape == (*leading, 20)


def test_no_result_is_a_view():
    """FSDP2 would lose its hook when it is changed in place."""
    layer, (x, target) = make(), batch(2, 3)
    results = [*layer(x, target), layer.log_prob(x), layer.log_prob(x[0]), AdaptiveEmbedding.tied(layer)(target)]
    for result in (*results, layer(x[0], target[0]).output):
        assert result.grad_fn is not None and not result._is_view()


def test_strided_inputs():
    layer, (x, target) = make(), batch(5, 3)
    swapped, other = x.detach().transpose(0, 1), target.t()
    assert not swapped.is_contiguous()
    torch.testing.assert_close(layer(swapped, other).output, layer(x, target).output.t())


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("leading", [(0,), (2, 0), "all ignored"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, *LOW])
@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_a_batch_without_tokens(reduction, leading, dtype, factor):
    layer = make(head_bias=True, reduction=reduction, dtype=dtype)
    x, target = batch(*((4,) if leading == "all ignored" else leading), dtype=dtype)
    if leading == "all ignored":
        target.fill_(-100)
    output, loss_ = layer(x, target)
    assert output.shape == target.shape and not output.any()
    if reduction == "mean":
        # as cross_entropy has it
        reference = nn.functional.cross_entropy(torch.zeros(4, 3), torch.full((4,), -100))
        assert loss_.isnan() and reference.isnan()
    else:
        assert not loss_.any()
    (loss_.sum() * factor).backward()
    for p in [x, *layer.parameters()]:
        assert p.grad is not None and not p.grad.any()


@pytest.mark.parametrize("ignore_index", [2, 7, 19])
@pytest.mark.parametrize("order", [None, torch.arange(20).roll(3)], ids=["sorted ids", "order"])
def test_ignore_index_may_be_a_class(ignore_index, order):
    layer, (x, _) = make(ignore_index=ignore_index, order=order), batch(20)
    output, loss_ = layer(x, torch.arange(20))
    assert output[ignore_index] == 0
    keep = torch.arange(20) != ignore_index
    rest_output, rest_loss = layer(x[keep], torch.arange(20)[keep])
    assert_all_close([output[keep], loss_], [rest_output, rest_loss], 1e-12)


@pytest.mark.parametrize("tail", [0, 1])
def test_ignoring_comes_before_remapping(tail):
    # cutoff + ignore_index is the ignored number once its cutoff is taken off, and must train all the same
    ignore_index = 2
    layer = make(ignore_index=ignore_index)
    word = layer.cutoffs[tail] + ignore_index
    x, _ = batch(1)
    output, loss_ = layer(x, torch.tensor([word]))
    assert output.item() == pytest.approx(oracle.log_prob(layer, x.tolist())[0][word])
    loss_.backward()
    row = layer.tail[tail][1].weight.grad[ignore_index]
    # towards the hidden state: the word becomes more probable
    hidden = layer.tail[tail][0](x)[0]
    assert (row * hidden).sum() < -1e-3 * hidden.square().sum()


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_output_is_in_the_order_of_the_tokens(reduction):
    layer, (x, _) = make(reduction=reduction), batch(20)
    target = torch.randperm(20)
    together = layer(x, target)
    one_by_one = torch.stack([layer(x[i], target[i]).output for i in range(20)])
    torch.testing.assert_close(together.output, one_by_one)
    if reduction == "none":
        torch.testing.assert_close(together.loss, -one_by_one)


@pytest.mark.parametrize("word", range(20))
def test_every_parameter_has_a_gradient_whatever_the_word(word):
    layer, (x, _) = make(head_bias=True), batch(1)
    layer(x, torch.tensor([word])).loss.backward()
    for name, p in layer.named_parameters():
        assert p.grad is not None, name
    for i in range(2):
        touched = layer.cutoffs[i] <= word < layer.cutoffs[i + 1]
        assert all(bool(p.grad.any()) == touched for p in layer.tail[i].parameters())


# ---------------------------------------------------------------- tail dropout


def test_tail_dropout():
    layer, (x, _) = make(widths=[1, 1], tail_dropout=0.5), batch(1)
    x = x.detach().expand(400, 8).contiguous()
    word = torch.full((400,), 7)
    torch.manual_seed(0)
    dropped = layer(x, word).output
    plain = layer.eval()(x[:1], word[:1]).output
    assert_all_close([plain[0]], [layer.log_prob(x[0])[7]], 1e-12)
    # one hidden number: a token sees it doubled or not at all
    torch.testing.assert_close(plain, make(widths=[1, 1])(x[:1], word[:1]).output)
    twin = make(widths=[1, 1])
    with torch.no_grad():
        twin.tail[0][0].weight.mul_(2)
        doubled = twin(x[0], word[0]).output
        twin.tail[0][0].weight.zero_()
        gone = twin(x[0], word[0]).output
    near = torch.stack([(dropped - doubled).abs(), (dropped - gone).abs()])
    assert near.amin(0).max() < 1e-12 < (doubled - gone).abs()
    assert 140 < int((near[0] < near[1]).sum()) < 260  # 6 standard deviations
    # no dropout for the short-list, nor in decoding
    short = torch.full((400,), 2)
    assert torch.equal(layer.train()(x, short).output, layer.eval()(x, short).output)
    assert torch.equal(layer.train().log_prob(x[:3]), layer.eval().log_prob(x[:3]))


# ---------------------------------------------------------------- order


@pytest.mark.parametrize("route", ["routed", "static", "called"])
def test_tail_dropout_falls_on_each_number_by_itself(route):
    layer, (x, _) = make(widths=[2, 2], tail_dropout=0.5), batch(1)
    layer.reads_host = route != "static"
    if route == "called":
        layer.head.register_forward_hook(lambda *_: None)
    torch.manual_seed(0)
    output = layer(x.expand(200, -1), torch.full((200,), 7)).output
    assert len(output.detach().unique()) == 4  # two numbers, each there or not


def test_order_is_a_relabelling():
    plain, (x, ranks) = make(), batch(50)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    layer = make(order=order)
    assert_all_close(layer(x, order[ranks]), plain(x, ranks), 0)
    assert_all_close(gradients(layer(x, order[ranks]).loss, layer, x), gradients(plain(x, ranks).loss, plain, x), 0)
    assert torch.equal(layer.log_prob(x)[:, order], plain.log_prob(x))
    assert torch.equal(layer.predict(x), order[plain.predict(x)])
    assert torch.equal(layer.topk(x, 9).indices, order[plain.topk(x, 9).indices])
    one, other = (v.sample(x, 5, generator=torch.Generator().manual_seed(0)) for v in (layer, plain))
    assert torch.equal(one, order[other])


@pytest.mark.parametrize(
    "kind", [list, tuple, torch.tensor, lambda v: torch.tensor(v).numpy(), lambda v: torch.tensor(v).int()]
)
def test_order_of_every_kind(kind):
    ids = [*range(19, -1, -1)]
    layer = make(order=kind(ids))
    assert layer.order.tolist() == ids and layer.order.dtype == torch.int64
    assert "order=given" in repr(layer)


def test_the_callers_order_is_not_aliased():
    ids = torch.arange(20).flip(0)
    layer = make(order=ids)
    ids.zero_()
    assert layer.order.tolist() == layer.float().order.tolist() == [*range(19, -1, -1)]


def test_order_is_one_key_of_the_checkpoint():
    order = torch.randperm(20)
    plain, layer = make(), make(order=order)
    assert set(layer.state_dict()) - set(plain.state_dict()) == {"order"}
    assert list(layer.stock_state_dict()) == list(plain.state_dict())
    same = make(order=order, seed=5)
    assert same.load_state_dict(layer.state_dict(), strict=True) == ([], [])
    assert torch.equal(same.head.weight, layer.head.weight)


def test_a_checkpoint_without_order_keeps_the_constructors():
    order = torch.randperm(20)
    layer = make(order=order, seed=5)
    assert layer.load_state_dict(make().state_dict(), strict=True) == ([], [])
    assert torch.equal(layer.order, order) and torch.equal(layer.head.weight, make().head.weight)


def test_an_order_that_says_nothing_loads_without_one():
    plain = make(seed=5)
    assert plain.load_state_dict(make(order=range(20)).state_dict(), strict=True) == ([], [])
    assert plain.order is None and list(plain.state_dict()) == list(make().state_dict())
    identity, (x, target) = make(order=range(20)), batch(6)
    assert_all_close(identity(x, target), make()(x, target), 0)


@pytest.mark.parametrize("own", [None, [1, 0, *range(2, 20)]], ids=["sorted ids", "order"])
def test_another_order_is_refused(own):
    state = make(order=[0, 1, 3, 2, *range(4, 20)]).state_dict()
    for module, prefix in ((make(order=own), ""), (nn.Sequential(make(order=own)), "0.")):
        with pytest.raises(RuntimeError, match=f"{prefix}order of the checkpoint differs from this") as error:
            module.load_state_dict({prefix + key: value for key, value in state.items()})
        assert "Build it with order=" in str(error.value)
    at = "its rank 2 is id 3, this module has no order"
    at = at if own is None else "its rank 0 is id 0, this module has 1 there"
    assert at in str(error.value)


def test_an_order_of_another_length_is_refused():
    state = make().state_dict() | {"order": torch.arange(21)}
    with pytest.raises(RuntimeError, match=r"order of the checkpoint should hold 20 ids, got the shape \(21,\)"):
        make().load_state_dict(state)


def test_other_strange_keys_are_still_refused():
    with pytest.raises(RuntimeError, match="Unexpected key"):
        make().load_state_dict(make().state_dict() | {"ordre": torch.arange(20)})
    state = make().state_dict()
    del state["head.weight"]
    with pytest.raises(RuntimeError, match="Missing key"):
        make().load_state_dict(state)


# ---------------------------------------------------------------- derivatives


def with_parameters(layer, target, pick):
    names = [name for name, _ in layer.named_parameters()]

    def function(x, *values):
        return pick(functional_call(layer, dict(zip(names, values, strict=True)), (x, target)))

    return function


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_gradcheck_and_gradgradcheck(reduction):
    layer = make(2, 5, (2, 4), widths=[1, 2], head_bias=True, reduction=reduction, order=[3, 0, 1, 4, 2])
    x, target = batch(3, d=2, n_classes=5)
    arguments = (x, *layer.parameters())
    assert gradcheck(with_parameters(layer, target, tuple), arguments)
    assert gradgradcheck(with_parameters(layer, target, tuple), arguments)


@pytest.mark.parametrize("square", [lambda o: o.loss**2, lambda o: (o.output**2).sum() * o.loss], ids=["loss", "both"])
def test_a_penalty_on_the_gradient(square):
    layer, (x, target) = make(head_bias=True), batch(7)
    value, dense_x = oracle.leaves(layer), x.detach().clone().requires_grad_()
    first = gradients(square(layer(x, target)), layer, x, create_graph=True)
    second = gradients(sum(g.square().sum() for g in first), layer, x)
    dense = AdaptiveOutput(*oracle.dense_forward(layer, value, dense_x, target))
    inputs = [dense_x, *value.values()]
    true_first = torch.autograd.grad(square(dense), inputs, create_graph=True)
    assert_all_close(first, true_first)
    assert_all_close(second, torch.autograd.grad(sum(g.square().sum() for g in true_first), inputs))


@pytest.mark.parametrize("pick", [lambda o: o.loss, lambda o: o.loss * 0.3, lambda o: o.output.sum()])
def test_backward_twice_gives_the_same(pick):
    layer, (x, target) = make(), batch(30)
    value = pick(layer(x, target))
    first = gradients(value, layer, x, retain_graph=True)
    first = [g.clone() for g in first]
    for create in (False, True):
        assert_all_close(gradients(value, layer, x, retain_graph=True, create_graph=create), first, 1e-12)


def test_gradients_accumulate_over_batches():
    layer = make()
    parts = [batch(5, seed=i) for i in range(3)]
    for x, target in parts:
        layer(x, target).loss.backward()
    summed = [p.grad.clone() for p in layer.parameters()]
    one_by_one = [gradients(layer(x, target).loss, layer, x)[1:] for x, target in parts]
    assert_all_close(summed, [sum(grads) for grads in zip(*one_by_one, strict=True)], 1e-12)


@pytest.mark.parametrize(
    "frozen", [["input"], ["head.weight"], ["tail.0.1.weight", "tail.1.0.weight"], ["input", "head.weight"]], ids=str
)
@pytest.mark.parametrize("used", ["loss", "output"])
def test_frozen_parts(frozen, used):
    layer, (x, target) = make(head_bias=True), batch(9)
    whole = gradients(getattr(layer(x, target), used).sum(), layer, x)
    leaves = {"input": x, **dict(layer.named_parameters())}
    for name in frozen:
        leaves[name].requires_grad_(False)
    getattr(layer(x, target), used).sum().backward()
    for (name, leaf), expected in zip(leaves.items(), whole, strict=True):
        if name in frozen:
            assert leaf.grad is None
        else:
            torch.testing.assert_close(leaf.grad, expected)


def test_no_grad_makes_no_gradients(monkeypatch):
    layer, (x, target) = make(), batch(9)
    expected = layer(x, target)
    asked = []
    linear_nll = loss.linear_nll

    def spy(*args, **kwargs):
        asked.append(kwargs["gradients"])
        return linear_nll(*args, **kwargs)

    monkeypatch.setattr(loss, "linear_nll", spy)
    for context in (torch.no_grad(), torch.inference_mode()):
        with context:
            out = layer(x, target)
        assert not out.loss.requires_grad
        assert_all_close(out, [v.detach() for v in expected], 0)
    # with reduction "none" the loss is the output, and its gradients cannot be known in forward
    make(reduction="none")(x, target)
    assert len(asked) == 9 and not any(any(flags) for flags in asked)


def test_checkpointing():
    layer, (x, target) = make(), batch(9)
    plain = gradients(layer(x, target).loss, layer, x)
    again = torch.utils.checkpoint.checkpoint(lambda v: layer(v, target).loss, x, use_reentrant=False)
    assert_all_close(gradients(again, layer, x), plain, 1e-12)


def test_a_weight_changed_between_forward_and_backward_is_noticed():
    layer, (x, target) = make(), batch(9)
    value = layer(x, target).loss
    with torch.no_grad():
        layer.head.weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        value.backward()


def test_gradients_made_in_forward_become_grad_without_a_copy(monkeypatch):
    made = set()
    linear_nll = loss.linear_nll

    def spy(*args, **kwargs):
        out = linear_nll(*args, **kwargs)
        made.update(v.data_ptr() for v in out[2:] if v is not None)
        return out

    monkeypatch.setattr(loss, "linear_nll", spy)
    layer, (x, target) = make(head_bias=True, dtype=torch.float32), batch(9, dtype=torch.float32)
    layer(x, target).loss.backward()
    big = [layer.head.weight, layer.head.bias, *(output.weight for _, output in layer.tail)]
    assert {p.grad.data_ptr() for p in big} == made and len(made) == 4


# ---------------------------------------------------------------- chunks and memory


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 7, 13])
def test_chunks_do_not_change_the_result(rows, monkeypatch):
    layer, (x, target) = make(head_bias=True), batch(13)
    upstream = torch.randn(13, dtype=torch.float64)

    def run():
        out = layer(x, target)
        of_loss = gradients(out.loss, layer, x, retain_graph=True)
        return *out, *of_loss, *gradients((out.output * upstream).sum(), layer, x)

    whole = run()
    monkeypatch.setattr(loss, "CHUNK_ROWS", (rows, rows))
    assert_all_close(run(), whole, 1e-12)
    monkeypatch.setattr(loss, "CHUNK_ROWS", (1, 1000))
    monkeypatch.setattr(loss, "CHUNK_ELEMENTS", 8 * rows)
    assert_all_close(run(), whole, 1e-12)


@pytest.mark.parametrize("used", ["loss", "output"])
def test_no_logits_are_kept_for_backward(used):
    n, n_classes = 64, 400
    layer = make(4, n_classes, (50, 150), widths=[2, 1])
    x, target = batch(n, d=4, n_classes=n_classes)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda v: saved.append(v) or v, lambda v: v):
        value = getattr(layer(x, target), used).sum()
    # what is kept are inputs, weights and routing: nothing of the size tokens times words
    largest = max(x.numel(), *(p.numel() for p in layer.parameters()))
    assert saved and max(v.numel() for v in saved) <= largest < n * layer.head_size
    value.backward()


@pytest.mark.parametrize("used", ["loss", "output"])
def test_one_host_read_in_forward_and_none_in_backward(used, monkeypatch):
    # what a CPU looks at because it is free there is done another way on a GPU: take that one
    monkeypatch.setattr(loss, "_on_host", lambda _: False)
    layer, (x, target) = make(order=torch.randperm(20), head_bias=True), batch(30)
    with oracle.host_reads(monkeypatch) as forward:
        value = getattr(layer(x, target), used).sum()
    assert forward == ["tolist"]
    with oracle.host_reads(monkeypatch) as backward:
        value.backward()
    assert backward == []


def test_no_host_read_where_none_is_wanted(monkeypatch):
    layer, (x, target) = make(order=torch.randperm(20), head_bias=True), batch(30)
    expected = layer(x, target)
    layer.reads_host = False
    with oracle.host_reads(monkeypatch) as reads:
        out = layer(x, target)
        out.loss.backward()
    assert reads == []
    assert_all_close(out, expected)
    assert layer(x, torch.full((30,), 20)).loss.isnan()


def test_host_reads_are_noticed(monkeypatch):
    # the counter itself: the stock layer reads at least twice per band
    stock, _ = both(STOCK[0])
    x, target = batch(30, d=16)
    with oracle.host_reads(monkeypatch) as reads:
        stock(x, target)
    assert len(reads) >= 2 * 3
    with oracle.host_reads(monkeypatch) as reads:
        x[target > 3].sum().item()
        bool(target[0])
        float(x.detach()[0, 0])
    assert {"index", "item", "__bool__", "__float__"} <= set(reads)


# ---------------------------------------------------------------- precisions


@pytest.mark.parametrize("low", LOW)
@pytest.mark.parametrize("x_dtype", [torch.float32, *LOW])
@pytest.mark.parametrize("p_dtype", [torch.float32, *LOW])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_autocast(low, x_dtype, p_dtype, reduction):
    layer = make(16, 40, (10, 25), head_bias=True, dtype=p_dtype, reduction=reduction)
    x, target = batch(50, d=16, n_classes=40, dtype=x_dtype)
    with torch.autocast("cpu", low):
        output, loss_ = layer(x, target)
    assert output.dtype == loss_.dtype == torch.float32
    loss_.mean().backward()
    value, dense_x = oracle.leaves(layer), x.detach().double().requires_grad_()
    true_output, true_loss = oracle.dense_forward(layer, value, dense_x, target)
    true_loss.mean().backward()
    torch.testing.assert_close(output.double(), true_output, rtol=0.02, atol=0.02)
    for p, true in zip([x, *layer.parameters()], [dense_x, *value.values()], strict=True):
        assert p.grad.dtype == p.dtype
        assert (p.grad - true.grad).norm() <= 0.03 * true.grad.norm()


def test_autocast_leaves_fp64_alone():
    layer, (x, target) = make(), batch(5)
    with torch.autocast("cpu", torch.bfloat16):
        output, loss_ = layer(x, target)
    assert_all_close([output, loss_], layer(x, target), 0)
    low = make(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(RuntimeError, match=r"the dtype .* got torch\.float64"):
        low(x, target)


@pytest.mark.parametrize("used", ["loss", "output"])
@pytest.mark.parametrize("dtype", [torch.float32, *LOW])
def test_error_no_worse_than_the_stock_layers(dtype, used):
    kwargs = dict(in_features=123, n_classes=507, cutoffs=[50, 255], head_bias=True)
    stock, ours = both(kwargs, dtype)
    x, target = batch(255, d=123, n_classes=507, dtype=dtype)
    truth = AdaptiveSoftmax(**kwargs, dtype=torch.float64)
    truth.load_state_dict(ours.state_dict())
    upstream = torch.randn(255, dtype=torch.float32, generator=torch.Generator().manual_seed(2)).to(dtype)

    def run(layer, x, target):
        out = layer(x, target)
        objective = out.loss if used == "loss" else (out.output * upstream.to(x.dtype)).sum()
        return *out, *gradients(objective, layer, x)

    true = run(truth, x.detach().double().requires_grad_(), target)
    for mine, theirs, exact in zip(run(ours, x, target), run(stock, x, target), true, strict=True):
        assert mine.dtype == theirs.dtype == dtype
        # rms over all entries. Chance needs more room for a single number such as the loss, and in fp32, where the
        # order of the sums decides (ours run in the order of the clusters; which is nearer differs among CPUs)
        steps = 4 if mine.dim() == 0 else 2 if dtype == torch.float32 else 0.1
        allowed = (theirs - exact).square().mean().sqrt() * 1.05
        allowed += exact.square().mean().sqrt() * torch.finfo(dtype).eps * steps
        assert (mine - exact).square().mean().sqrt() <= allowed


@pytest.mark.parametrize("low", LOW)
def test_autocast_error_no_worse_than_plain_operations(low):
    layer = make(123, 507, (50, 255), widths=[30, 7], head_bias=True, dtype=torch.float32)
    x, target = batch(255, d=123, n_classes=507, dtype=torch.float32)
    value = oracle.leaves(layer)
    true = torch.autograd.grad(oracle.dense_forward(layer, value, x.double(), target)[1], [x, *value.values()])
    with torch.autocast("cpu", low):
        ours = gradients(layer(x, target).loss, layer, x)
        parameters = dict(layer.named_parameters())
        dense = oracle.dense_forward(layer, parameters, x, target)[1]
    theirs = torch.autograd.grad(dense, [x, *parameters.values()])
    for mine, plain, exact in zip(ours, theirs, true, strict=True):
        assert (mine - exact).norm() <= (plain - exact).norm() * 1.05 + exact.norm() * torch.finfo(low).eps / 4


# ---------------------------------------------------------------- compile and export


@pytest.fixture
def dynamo():
    import torch._dynamo

    torch._dynamo.reset()
    yield torch._dynamo
    torch._dynamo.reset()


@pytest.mark.parametrize("reduction, order", [("mean", None), ("none", list(range(19, -1, -1)))])
def test_compiles_whole_and_once(reduction, order, dynamo):
    from torch._dynamo.testing import CompileCounterWithBackend

    layer = make(reduction=reduction, order=order, head_bias=True, ignore_index=3)
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(layer, backend=counter, fullgraph=True)
    targets = [torch.arange(6), torch.arange(12, 18), torch.tensor([3, 3, 3, 3, 3, 1]), batch(6)[1]]
    for target in targets:
        x, _ = batch(6)
        ours, routed = compiled(x, target), layer(x, target)
        assert_all_close(ours, routed)
        grads = gradients(ours.loss.square().sum(), layer, x)
        assert_all_close(grads, gradients(routed.loss.square().sum(), layer, x))
    assert counter.frame_count == 1
    # nothing can be raised there: a bad target must not pass for a good one
    bad = compiled(x, torch.tensor([0, 1, 20, 3, -1, 5]))
    assert bad.output.isnan().tolist() == [False, False, True, False, True, False]
    assert bad.loss.isnan().any()
    assert counter.frame_count == 1


def test_compiles_under_autocast(dynamo):
    layer = make(dtype=torch.float32)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    x, target = batch(6, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        out, routed = compiled(x, target), layer(x, target)
    assert out.output.dtype == out.loss.dtype == torch.float32
    assert_all_close(out, routed, 1e-2)
    assert_all_close(gradients(out.loss, layer, x), gradients(routed.loss, layer, x), 1e-2)


def test_exports(dynamo):
    layer = make(order=list(range(19, -1, -1)))
    x, target = batch(6)
    n = torch.export.Dim("n")
    program = torch.export.export(layer, (x.detach(), target), dynamic_shapes=({0: n}, {0: n})).module()
    for size in (6, 11):
        x, target = batch(size, seed=size)
        assert_all_close(program(x.detach(), target), layer(x.detach(), target))


# ---------------------------------------------------------------- many words, at full size


@pytest.mark.long
@pytest.mark.parametrize("cutoffs", [(2000, 10000), (1,), (43999,)], ids=str)
def test_a_large_vocabulary_against_the_stock_layer(cutoffs):
    kwargs = dict(in_features=64, n_classes=44_000, cutoffs=cutoffs, dtype=torch.float64)
    torch.manual_seed(0)
    stock = nn.AdaptiveLogSoftmaxWithLoss(**kwargs)
    ours = AdaptiveSoftmax(**kwargs)
    ours.load_state_dict(stock.state_dict())
    x, target = batch(2560, d=64, n_classes=44_000)
    assert_all_close(
        gradients(ours(x, target).loss, ours, x),
        gradients(stock(x, target).loss, stock, x, materialize_grads=True),
        1e-10,
    )
    some = x[:64].detach()
    assert torch.equal(ours.predict(some), stock.predict(some))
    torch.testing.assert_close(ours.topk(some, 100).values, stock.log_prob(some).topk(100).values)


@pytest.mark.long
def test_more_logits_than_32_bits_can_count():
    """7,300 tokens in a tail of 299,990 words: 2.19e9 logits, above 2**31."""
    torch.manual_seed(0)
    layer = AdaptiveSoftmax(16, 300_000, [10], widths=[4], reduction="sum")
    x, target = torch.randn(7300, 16), torch.randint(10, 300_000, (7300,))
    assert len(x) * (layer.n_classes - 10) > 2**31
    inputs = x.clone().requires_grad_()
    output, total = layer(inputs, target)
    total.backward()
    best = layer.topk(x, 3)
    for rows in (slice(0, 5), slice(7290, 7300)):
        few = x[rows].clone().requires_grad_()
        expected, total = layer(few, target[rows])
        total.backward()
        torch.testing.assert_close(output[rows], expected)
        torch.testing.assert_close(inputs.grad[rows], few.grad)
        torch.testing.assert_close(best.values[rows], layer.log_prob(x[rows]).topk(3).values)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: AdaptiveSoftmax(8, 20, torch.tensor([2.5, 7.9])), ValueError, "is not an integer"),
        (lambda: AdaptiveSoftmax(8, 20, [2, 7], widths=torch.tensor([4.7, 2.2])), ValueError, r"widths\[0\] should be"),
        (lambda: AdaptiveSoftmax(8, 20, [2, 7], ignore_index=True), TypeError, "ignore_index should be an int"),
    ],
)
def test_floats_and_bools_are_no_integers(make, error, says):
    with pytest.raises(error, match=says):
        make()


def test_integer_tensors_are_integers():
    layer = AdaptiveSoftmax(8, 20, torch.tensor([2, 7]), widths=torch.tensor([4, 2]))
    assert layer.cutoffs == [2, 7, 20] and layer.widths == [4, 2]


def test_a_plan_s_widths_give_way_to_div_value():
    assert AdaptiveSoftmax.from_plan(plan(widths=[3, 1])).widths == [3, 1]
    assert AdaptiveSoftmax.from_plan(plan(widths=[3, 1]), div_value=2.0).widths == [4, 2]
