"""Transforms, tracers, checkpointing and export: what works around PyTorch's layer works around ours, equal in fp64."""

import copy
import io
import re
import shutil
import subprocess
import sys
import warnings
from functools import partial

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, linearize, stack_module_state, vjp, vmap
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional as F
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts
from torch.utils.flop_counter import FlopCounterMode

from adasoft import AdaptiveEmbedding, AdaptiveSoftmax
from adasoft.layer import AdaptiveOutput

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:Attempted to insert a get_attr Node:UserWarning"),  # of linearize, within torch
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),  # forward mode makes use of it within torch
]

D, V, CUTOFFS = 8, 20, [5, 12]
F64 = torch.float64


class Stock(nn.AdaptiveLogSoftmaxWithLoss):
    """PyTorch's layer with a layer's weights, given the tokens that count by rank; reduced as the layer does."""

    def __init__(self, layer):
        super().__init__(D, V, CUTOFFS, div_value=2.0, head_bias=layer.head_bias, dtype=F64)
        self.load_state_dict(layer.stock_state_dict())
        self.ranks = torch.arange(V) if layer.order is None else layer.order.argsort()
        self.reduction, self.ignore_index = layer.reduction, layer.ignore_index

    def forward(self, x, target):
        rows = (target != self.ignore_index).nonzero().squeeze(1)
        logged = super().forward(x.index_select(0, rows), self.ranks[target[rows]]).output
        output = x.new_zeros(len(target)).index_add(0, rows, logged)
        if self.reduction == "none":
            return AdaptiveOutput(output, -output)
        return AdaptiveOutput(output, -logged.sum() if self.reduction == "sum" else -logged.mean())


def softmax(**kwargs):
    torch.manual_seed(0)
    return AdaptiveSoftmax(D, V, CUTOFFS, div_value=2.0, dtype=F64, **kwargs)


def hidden(*leading, seed=1):
    return torch.randn(*leading, D, generator=torch.Generator().manual_seed(seed), dtype=F64)


FALLING = list(range(V - 1, -1, -1))
MIXED = torch.tensor([0, 9, 10, 13, 4, 19, 2, 14, 8])
CASES = {
    "sorted ids": (dict(), MIXED),
    "order": (dict(order=FALLING, reduction="sum"), MIXED),
    "head_bias": (dict(head_bias=True, reduction="none"), MIXED),
    "ignored tokens": (dict(head_bias=True, ignore_index=7), torch.tensor([7, 6, 13, 7, 19, 2, 8])),
    "a tail without tokens": (dict(reduction="mean"), torch.tensor([13, 4, 19, 2])),
    "tails without tokens, order": (dict(order=FALLING, head_bias=True, reduction="none"), torch.tensor([19, 17, 18])),
}


@pytest.fixture(params=CASES.values(), ids=CASES)
def pair(request):
    """Ours, PyTorch's with the same weights, hidden states and targets."""
    kwargs, target = request.param
    layer = softmax(**kwargs)
    return layer, Stock(layer), hidden(len(target)), target


def parameters(module):
    return {name: p.detach() for name, p in module.named_parameters()}


def loss_of(module, target):
    """A function of (parameters, hidden states) that is one number."""
    return lambda values, x: functional_call(module, values, (x, target)).loss.sum()


def output_of(module, target):
    return lambda values, x: functional_call(module, values, (x, target)).output


def leaves(tree):
    return [leaf for leaf in torch.utils._pytree.tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def assert_equal(ours, theirs, tolerance=1e-11):
    ours, theirs = leaves(ours), leaves(theirs)
    assert len(ours) == len(theirs) > 0
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


# ---------------------------------------------------------------- transforms that PyTorch's layer knows


def tangents(values, x):
    return {name: torch.cos(v) for name, v in values.items()}, torch.sin(x)


def by_grad(module, x, target):
    return grad(loss_of(module, target), (0, 1))(parameters(module), x)


def by_vjp(module, x, target):
    value, pull = vjp(output_of(module, target), parameters(module), x)
    return value, pull(torch.arange(1.0, 1 + len(x), dtype=F64))


def by_jvp(module, x, target):
    values = parameters(module)
    return jvp(output_of(module, target), (values, x), tangents(values, x))


def by_linearize(module, x, target):
    values = parameters(module)
    value, push = linearize(output_of(module, target), values, x)
    return value, push(*tangents(values, x))


def by_jacrev(module, x, target):
    return jacrev(output_of(module, target), (0, 1))(parameters(module), x)


def by_jacfwd(module, x, target):
    return jacfwd(output_of(module, target), (0, 1))(parameters(module), x)


def by_hessian(module, x, target):
    return hessian(loss_of(module, target), (0, 1))(parameters(module), x)


def by_reverse_over_forward(module, x, target):
    values = parameters(module)
    return grad(lambda v: jvp(loss_of(module, target), (v, x), tangents(v, x))[1])(values)


def by_functionalize(module, x, target):
    return torch.func.functionalize(output_of(module, target))(parameters(module), x)


def by_dual_numbers(module, x, target):
    with forward_ad.dual_level():
        values = {name: forward_ad.make_dual(v, torch.cos(v)) for name, v in parameters(module).items()}
        made = functional_call(module, values, (forward_ad.make_dual(x, torch.sin(x)), target))
        return [forward_ad.unpack_dual(v).tangent for v in made]


def by_batched_gradients(module, x, target):
    x = x.clone().requires_grad_()
    output, loss = module(x, target)
    inputs = [x, *module.parameters()]
    of_loss = torch.arange(1.0, 4, dtype=F64).view(3, *[1] * loss.dim()).expand(3, *loss.shape)
    several = [torch.eye(len(x), dtype=F64), of_loss]
    made = []
    for value, upstream in zip((output, loss), several, strict=True):
        grads = torch.autograd.grad(
            value, inputs, upstream, is_grads_batched=True, retain_graph=True, allow_unused=True
        )
        made += [p.new_zeros(len(upstream), *p.shape) if g is None else g for g, p in zip(grads, inputs, strict=True)]
    return made


def by_batched_gradients_with_graph(module, x, target):
    x = x.clone().requires_grad_()
    inputs = [x, *module.parameters()]
    (first,) = torch.autograd.grad(
        module(x, target).output, x, torch.eye(len(x), dtype=F64), is_grads_batched=True, create_graph=True
    )
    return first, torch.autograd.grad(first.square().sum(), inputs, materialize_grads=True)


def by_vmap_around_backward(module, x, target):
    x = x.clone().requires_grad_()
    output = module(x, target).output
    return vmap(lambda g: torch.autograd.grad(output, x, g, retain_graph=True)[0])(torch.eye(len(x), dtype=F64))


def by_jacobian(module, x, target, **kwargs):
    return torch.autograd.functional.jacobian(lambda v: module(v, target).output, x, vectorize=True, **kwargs)


def by_functional_hessian(module, x, target, **kwargs):
    return torch.autograd.functional.hessian(lambda v: module(v, target).loss.sum(), x, vectorize=True, **kwargs)


def by_three_backwards(module, x, target):
    x = x.clone().requires_grad_()
    inputs, made = [x, *module.parameters()], []
    value = module(x, target).loss.square().sum()
    for _ in range(3):
        made.append(torch.autograd.grad(value, inputs, create_graph=True, materialize_grads=True))
        value = sum(g.square().sum() for g in made[-1])
    return made


TRANSFORMS = {
    "grad": by_grad,
    "vjp": by_vjp,
    "jvp": by_jvp,
    "linearize": by_linearize,
    "jacrev": by_jacrev,
    "jacfwd": by_jacfwd,
    "hessian": by_hessian,
    "reverse over forward": by_reverse_over_forward,
    "functionalize": by_functionalize,
    "forward_ad": by_dual_numbers,
    "is_grads_batched": by_batched_gradients,
    "is_grads_batched, create_graph": by_batched_gradients_with_graph,
    "vmap around backward": by_vmap_around_backward,
    "functional.jacobian": by_jacobian,
    "functional.jacobian, forward": partial(by_jacobian, strategy="forward-mode"),
    "functional.hessian": by_functional_hessian,
    "functional.hessian, forward": partial(by_functional_hessian, outer_jacobian_strategy="forward-mode"),
    "three backwards": by_three_backwards,
}


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")  # of PyTorch's layer
def test_transforms(pair, transform):
    ours, stock, x, target = pair
    assert_equal(transform(ours, x, target), transform(stock, x, target))


@pytest.mark.parametrize("transform", [by_grad, by_jvp, by_dual_numbers, by_batched_gradients])
def test_transforms_with_what_hangs_on_a_child(transform):
    layer = softmax()
    stock = Stock(layer)
    for module in (layer, stock):
        module.head.register_forward_hook(lambda _, args, made: made * 1.5)
    assert_equal(transform(layer, hidden(9), MIXED), transform(stock, hidden(9), MIXED))


def test_tail_dropout_within_a_transform():
    layer, x = softmax(tail_dropout=0.5), hidden(9)
    torch.manual_seed(5)
    expected = torch.autograd.functional.jvp(lambda v: layer(v, MIXED).output, x, x)[1]  # by a double backward
    for name in ("without a graph", "again"):
        torch.manual_seed(5)
        pushed = jvp(lambda v: layer(v, MIXED).output, (x,), (x,))[1]
        assert pushed.shape == expected.shape and pushed.isfinite().all(), name
    assert not torch.equal(pushed, jvp(lambda v: layer(v, MIXED).output, (x,), (x,))[1])


# ---------------------------------------------------------------- vmap, against loops: PyTorch's layer has none


def test_vmap_over_tokens(pair):
    ours, stock, x, target = pair
    for pick in ("output", "loss"):
        if pick == "loss" and ours.reduction == "mean":
            continue  # of a token that does not count, nan
        made = vmap(lambda a, b: getattr(ours(a, b), pick))(x, target)  # noqa: B023
        assert_equal(made, ours(x, target).output * (1 if pick == "output" else -1))
    batched = vmap(lambda a, b: ours(a, b).output)(torch.stack([x, -x]), torch.stack([target, target.flip(0)]))
    assert_equal(batched, torch.stack([stock(x, target).output, stock(-x, target.flip(0)).output]))
    assert_equal(
        vmap(lambda a: ours(a, target).output)(torch.stack([x, -x])),
        torch.stack([stock(x, target).output, stock(-x, target).output]),
    )


def test_vmap_over_targets_alone(pair):
    ours, stock, x, target = pair
    targets = torch.stack([target, target.flip(0), target.roll(1)])
    assert_equal(vmap(lambda b: ours(x, b).output)(targets), torch.stack([stock(x, b).output for b in targets]))


def test_gradients_of_each_sample(pair):
    ours, stock, x, target = pair

    def one(module):
        return grad(lambda values, a, b: functional_call(module, values, (a[None], b[None])).output.sum())

    made = vmap(one(ours), (None, 0, 0))(parameters(ours), x, target)
    loop = [one(stock)(parameters(stock), a, b) for a, b in zip(x, target, strict=True)]
    assert_equal(made, {name: torch.stack([g[name] for g in loop]) for name in loop[0]})


def test_an_ensemble_of_layers(pair):
    ours, stock, x, target = pair
    layers = [copy.deepcopy(ours) for _ in range(3)]
    for i, layer in enumerate(layers):
        for p in layer.parameters():
            p.data.mul_(1 + i)
    values, buffers = stack_module_state(layers)

    def run(v, b):
        return functional_call(ours, (v, b), (x, target)).output

    truth = [functional_call(stock, parameters(layer), (x, target)).output for layer in layers]
    assert_equal(vmap(run)(values, buffers), torch.stack(truth))
    of_each = vmap(grad(lambda v, b: run(v, b).sum()))(values, buffers)
    loop = [grad(lambda v: functional_call(stock, v, (x, target)).output.sum())(parameters(layer)) for layer in layers]
    assert_equal(of_each, {name: torch.stack([g[name] for g in loop]) for name in loop[0]})


def test_decoding_under_vmap():
    layer, x = softmax(order=FALLING), hidden(3, 4)
    assert_equal(vmap(layer.log_prob)(x), layer.log_prob(x))
    assert_equal(vmap(lambda rows: tuple(layer.topk(rows, 3)))(x), tuple(layer.topk(x, 3)))
    assert torch.equal(vmap(layer.predict)(x), layer.predict(x))
    candidates = torch.randint(V, (3, 4, 2))
    assert_equal(vmap(layer.score)(x, candidates), layer.score(x, candidates))
    loop = torch.stack([layer.score(x[0], c) for c in candidates])
    assert_equal(vmap(lambda c: layer.score(x[0], c))(candidates), loop)


# ---------------------------------------------------------------- numerical checks


@pytest.mark.parametrize("pick", [lambda o: o.loss, lambda o: o.output, tuple], ids=["loss", "output", "both"])
def test_gradcheck_of_every_kind(pair, pick):
    """With no tolerance between two backward passes, which is the default."""
    ours, _, x, target = pair
    arguments = (x.requires_grad_(), *(p for p in ours.parameters()))
    names = list(parameters(ours))

    def function(rows, *values):
        return pick(functional_call(ours, dict(zip(names, values, strict=True)), (rows, target)))

    flags = dict(check_forward_ad=True, check_batched_grad=True, check_batched_forward_grad=True, fast_mode=True)
    assert gradcheck(function, arguments, **flags)
    assert gradgradcheck(function, arguments, check_fwd_over_rev=True, check_batched_grad=True, fast_mode=True)


@pytest.mark.parametrize("factor", [1.0, 0.3])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_each_backward_gives_the_same_bits(factor, dtype):
    layer, x = softmax(head_bias=True, ignore_index=7).to(dtype), hidden(9).to(dtype).requires_grad_()
    loss = layer(x, MIXED).loss * factor
    inputs = [x, *layer.parameters()]
    first, second, third = ([g.clone() for g in torch.autograd.grad(loss, inputs, retain_graph=True)] for _ in range(3))
    for a, b, c in zip(first, second, third, strict=True):
        assert torch.equal(a, b) and torch.equal(b, c)


# ---------------------------------------------------------------- checkpointing, hooks, counters


ATEN = torch.ops.aten
KEPT = {
    "mm": [ATEN.mm.default],
    "addmm": [ATEN.addmm.default],
    "all products": [ATEN.mm.default, ATEN.mm.out, ATEN.addmm.default, ATEN.addmm.out],
    "everything": None,
    "nothing": [],
}


def selective(kept, mutation):
    def policy(_, operation, *args, **kwargs):
        keeps = kept is None or operation in kept
        return CheckpointPolicy.MUST_SAVE if keeps else CheckpointPolicy.PREFER_RECOMPUTE

    return partial(create_selective_checkpoint_contexts, policy, allow_cache_entry_mutation=mutation)


def gradients(module, x, target, *, through=None, pick="loss"):
    """Of the loss of a block that ``through`` runs."""
    x = x.clone().requires_grad_()

    def block(rows):
        return tuple(module(rows.tanh(), target))

    output, loss = block(x) if through is None else through(block, x)
    return torch.autograd.grad(
        (loss if pick == "loss" else output).sum(), [x, *module.parameters()], materialize_grads=True
    )


@pytest.mark.parametrize("kept", KEPT.values(), ids=KEPT)
@pytest.mark.parametrize("mutation", [False, True])
@pytest.mark.parametrize("pick", ["loss", "output"])
def test_selective_checkpointing(pair, kept, mutation, pick):
    ours, stock, x, target = pair
    through = partial(checkpoint, use_reentrant=False, context_fn=selective(kept, mutation))
    made = gradients(ours, x, target, through=through, pick=pick)
    assert_equal(made, gradients(stock, x, target, pick=pick))


def test_checkpointing(pair):
    ours, stock, x, target = pair
    through = partial(checkpoint, use_reentrant=False)
    for pick in ("loss", "output"):
        assert_equal(gradients(ours, x, target, through=through, pick=pick), gradients(stock, x, target, pick=pick))
        ours.zero_grad()
        rows = x.clone().requires_grad_()
        output, loss = checkpoint(lambda v: tuple(ours(v.tanh(), target)), rows, use_reentrant=True)
        (loss if pick == "loss" else output).sum().backward()
        assert_equal([rows.grad, *(p.grad for p in ours.parameters())], gradients(stock, x, target, pick=pick))


@pytest.mark.parametrize("pick", ["loss", "output"])
def test_saved_tensors_go_through_hooks(pair, pick):
    ours, stock, x, target = pair
    expected = gradients(stock, x, target, pick=pick)
    with torch.autograd.graph.save_on_cpu():
        assert_equal(gradients(ours, x, target, pick=pick), expected)
    with torch.autograd.graph.allow_mutation_on_saved_tensors():
        rows = x.clone().requires_grad_()
        value = getattr(ours(rows.tanh(), target), pick).sum()
        before = copy.deepcopy(ours.state_dict())
        with torch.no_grad():
            for p in ours.parameters():
                p.mul_(2)
        assert_equal(torch.autograd.grad(value, [rows, *ours.parameters()]), expected)
        ours.load_state_dict(before)

    def pack(value):
        return value.half() if value.is_floating_point() else value

    def unpack(value):
        return value.double() if value.is_floating_point() else value

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        made = gradients(ours, x, target, pick=pick)
    assert_equal(made, expected, 1e-2)
    with torch.autograd.graph.disable_saved_tensors_hooks("none here"):
        assert_equal(gradients(ours, x, target, pick=pick), expected)


def test_hooks_on_the_graph():
    layer, x, seen = softmax(), hidden(9).requires_grad_(), []
    torch.autograd.graph.register_multi_grad_hook(list(layer.parameters()), lambda made: seen.append(len(made)))
    loss = layer(x, MIXED).loss
    edge = torch.autograd.graph.get_gradient_edge(loss)
    expected = torch.autograd.grad(loss, x, retain_graph=True)
    assert_equal(torch.autograd.grad(edge, x, torch.ones((), dtype=F64), retain_graph=True), expected)
    loss.backward()
    assert seen == [len(list(layer.parameters()))]


def test_operations_are_counted_as_those_of_pytorchs_layer(pair):
    counts = []
    ours, stock, x, target = pair
    for module in (ours, stock):
        rows = x.clone().requires_grad_()
        with FlopCounterMode(display=False) as counter:
            loss = module(rows, target).loss.sum()
            forward = counter.get_total_flops()
            loss.backward()
        counts.append((forward, counter.get_total_flops()))
    assert counts[0] == counts[1] and counts[0][1] == 3 * counts[0][0] > 0


# ---------------------------------------------------------------- tensors without numbers, and records of operations


def shapes(tree):
    return [(tuple(leaf.shape), leaf.dtype) for leaf in leaves(tree)]


def every_method(layer, embedding, x, target):
    candidates = target.unsqueeze(-1).expand(*target.shape, 3)
    return {
        "forward": layer(x, target),
        "log_prob": layer.log_prob(x),
        "predict": layer.predict(x),
        "topk": layer.topk(x, 3),
        "score": layer.score(x, candidates),
        "embedding": embedding(target),
        "tied": AdaptiveEmbedding.tied(layer)(target),
    }


@pytest.mark.parametrize("order", [None, FALLING], ids=["sorted ids", "order"])
@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("leading", [(7,), (2, 3), (0,), ()], ids=str)
def test_shapes_without_numbers(order, reduction, dtype, leading):
    def made(device):
        layer = AdaptiveSoftmax(
            D, V, CUTOFFS, div_value=2.0, order=order, reduction=reduction, device=device, dtype=dtype
        )
        embedding = AdaptiveEmbedding(V, D, CUTOFFS, div_value=2.0, order=order, device=device, dtype=dtype)
        x = torch.ones(*leading, D, device=device, dtype=dtype)
        return every_method(layer, embedding, x, torch.ones(leading, dtype=torch.long, device=device))

    truth, meta = made("cpu"), made("meta")
    with FakeTensorMode():
        fake = made("cpu")
    for name, value in truth.items():
        assert shapes(value) == shapes(meta[name]) == shapes(fake[name]), name
        assert all(leaf.is_meta for leaf in leaves(meta[name]))


def test_the_meta_device_has_gradients_too():
    layer = AdaptiveSoftmax(D, V, CUTOFFS, div_value=2.0, device="meta")
    x = torch.empty(9, D, device="meta", requires_grad=True)
    layer(x, torch.empty(9, dtype=torch.long, device="meta")).loss.backward()
    assert all(p.grad.shape == p.shape for p in (x, *layer.parameters()))


def test_fake_inputs_of_a_real_layer():
    layer, mode = softmax(), FakeTensorMode(allow_non_fake_inputs=True)
    x, target = mode.from_tensor(hidden(9)), mode.from_tensor(MIXED)
    with torch.no_grad():
        output, loss = layer(x, target)  # outside of the mode: it is the tensors that have no numbers
    assert output.shape == (9,) and loss.shape == ()


OTHERS = torch.tensor([19, 18, 0])  # another number of tokens for each cluster, and of tokens


@pytest.mark.parametrize(
    "kwargs",
    [pytest.param({}, marks=pytest.mark.long), {"order": FALLING, "ignore_index": 19, "head_bias": True}],
    ids=["plain", "order"],
)
def test_traces_hold_for_other_batches(kwargs):
    layer = softmax(**kwargs)
    embedding = AdaptiveEmbedding(V, D, CUTOFFS, div_value=2.0, order=kwargs.get("order"), dtype=F64, padding_idx=2)
    methods = {
        "forward": (lambda x, t: tuple(layer(x, t)), (hidden(9), MIXED), (hidden(3), OTHERS)),
        "log_prob": (layer.log_prob, (hidden(9),), (hidden(3),)),
        "log_prob, 3-D": (layer.log_prob, (hidden(2, 3),), (hidden(5, 2),)),
        "topk": (lambda x: tuple(layer.topk(x, 3)), (hidden(9),), (hidden(3),)),
        "predict": (layer.predict, (hidden(2, 3),), (hidden(3, 5),)),
        "score": (layer.score, (hidden(9), MIXED[:, None]), (hidden(3), OTHERS[:, None])),
        "embedding": (embedding, (MIXED,), (OTHERS,)),
        "embedding, 2-D": (embedding, (MIXED[:6].view(2, 3),), (MIXED[:6].view(3, 2),)),
        "tied": (AdaptiveEmbedding.tied(layer), (MIXED,), (OTHERS,)),
    }
    for name, (method, example, others) in methods.items():

        class Run(nn.Module):
            def __init__(self, method):
                super().__init__()
                self.part, self.method = layer, method

            def forward(self, *args):
                return self.method(*args)

        traced = torch.jit.trace(Run(method), example)  # a warning of the tracer would be an error
        assert_equal(traced(*others), method(*others))
        if "-D" not in name:
            recorded = make_fx(lambda *args: method(*args), tracing_mode="symbolic", _allow_non_fake_inputs=True)  # noqa: B023
            assert_equal(recorded(*example)(*others), method(*others))


def test_records_of_real_tensors_hold_for_other_targets():
    layer = softmax()
    embedding = AdaptiveEmbedding(V, D, CUTOFFS, div_value=2.0, dtype=F64)
    others = torch.zeros_like(MIXED)  # all in the short-list
    for method, example, other in [
        (lambda x, t: tuple(layer(x, t)), (hidden(9), MIXED), (hidden(9, seed=2), others)),
        (lambda x: tuple(layer.topk(x, 3)), (hidden(9),), (hidden(9, seed=2),)),
        (lambda ids: embedding(ids), (MIXED,), (others,)),
    ]:
        assert_equal(make_fx(method)(*example)(*other), method(*other))


def test_a_trace_of_log_prob_is_that_of_pytorchs_layer():
    class Run(nn.Module):
        def __init__(self, layer):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            return self.layer.log_prob(x)

    ours = softmax()
    traced = [torch.jit.trace(Run(layer), hidden(9)) for layer in (ours, Stock(ours))]
    assert_equal(traced[0](hidden(4)), traced[1](hidden(4)))


def test_scripting_is_refused_as_by_pytorchs_layer():
    layer = softmax()
    for module in (layer, nn.AdaptiveLogSoftmaxWithLoss(D, V, CUTOFFS, div_value=2.0)):
        with warnings.catch_warnings(), pytest.raises((RuntimeError, ValueError, AssertionError)):
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.jit.script(module)


# ---------------------------------------------------------------- compile, export, packages


@pytest.fixture
def dynamo():
    import torch._dynamo

    torch._dynamo.reset()
    yield torch._dynamo
    torch._dynamo.reset()


def drawn(method, **kwargs):
    def run(*args):
        torch.manual_seed(3)
        return method(*args, **kwargs)

    return run


CALLS = {
    "forward": (True, lambda layer: (layer, (hidden(9), MIXED))),
    "log_prob": (True, lambda layer: (layer.log_prob, (hidden(9),))),
    "predict": (True, lambda layer: (layer.predict, (hidden(9),))),
    "topk": (True, lambda layer: (layer.topk, (hidden(9), 3))),
    "score": (True, lambda layer: (layer.score, (hidden(9), MIXED[:, None]))),
    "opened": (False, lambda layer: (layer.opened, (hidden(9), 3))),
    "sample": (False, lambda layer: (layer.sample, (hidden(9), 3))),
}
#: The others take minutes together.
COMPILED_ALWAYS = ("forward", "eager"), ("topk", "eager")


@pytest.mark.parametrize(
    "call, backend",
    [
        pytest.param(call, backend, marks=[] if (call, backend) in COMPILED_ALWAYS else pytest.mark.long)
        for call in CALLS
        for backend in ("eager", "aot_eager")
    ],
)
def test_every_method_compiles(call, backend, dynamo):
    layer = softmax(order=FALLING, head_bias=True)
    whole, of = CALLS[call]
    method, args = of(layer)
    compiled = torch.compile(method, backend=backend, fullgraph=whole)
    assert_equal(drawn(compiled)(*args), drawn(method)(*args))
    # other sizes, with symbols in their place
    args = (hidden(5), *(a[:5] if isinstance(a, torch.Tensor) else a for a in args[1:]))
    assert_equal(drawn(compiled)(*args), drawn(method)(*args))


@pytest.mark.long
@pytest.mark.parametrize("kwargs", [dict(generator=3), dict(top_p=0.7), dict(top_p=0.7, generator=3)], ids=str)
def test_every_kind_of_draw_compiles(kwargs, dynamo):
    layer = softmax()

    def draw(method):
        seed = dict(generator=torch.Generator().manual_seed(kwargs["generator"])) if "generator" in kwargs else {}
        return drawn(method, **{**kwargs, **seed})(hidden(9), 4)

    assert torch.equal(draw(torch.compile(layer.sample, backend="eager")), draw(layer.sample))


def test_a_compiled_search_is_whole_for_many_words(dynamo):
    torch.manual_seed(0)
    layer = AdaptiveSoftmax(16, 5000, [50, 700], widths=[8, 4])
    x = torch.randn(64, 16)
    compiled = torch.compile(layer.topk, backend="eager", fullgraph=True)
    assert_equal(tuple(compiled(x, 5)), tuple(layer.topk(x, 5)), 1e-5)


def test_compiled_transforms(dynamo):
    layer, x = softmax(), hidden(9)

    def objective(rows):
        return layer(rows, MIXED).loss

    compiled = torch.compile(grad(objective), backend="eager", fullgraph=True)
    assert_equal(compiled(x), grad(objective)(x))
    compiled = torch.compile(vmap(lambda a, b: layer(a, b).output), backend="eager", fullgraph=True)
    assert_equal(compiled(x, MIXED), layer(x, MIXED).output)


def test_compiled_autograd(dynamo):
    from torch._dynamo import compiled_autograd

    made = []
    for context in (compiled_autograd._enable(torch.compile(backend="eager")), warnings.catch_warnings()):
        layer, x = softmax(), hidden(9).requires_grad_()
        with context:
            layer(x, MIXED).loss.backward()
        made.append([x.grad, *(p.grad for p in layer.parameters())])
    assert_equal(*made)


class Search(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer.topk(x, 3)


class Tied(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer, self.embedding = layer, AdaptiveEmbedding.tied(layer)

    def forward(self, ids, target):
        return self.layer(self.embedding(ids), target)


PROGRAMS = {
    "forward": (lambda: softmax(order=FALLING), (hidden(9), MIXED), (hidden(3), OTHERS)),
    "topk": (lambda: Search(softmax()), (hidden(9),), (hidden(3),)),
    "tied": (lambda: Tied(softmax()), (MIXED, MIXED.flip(0)), (OTHERS, OTHERS.flip(0))),
}


@pytest.mark.parametrize("strict", [True, False], ids=["strict", "non-strict"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_an_exported_program_is_saved_and_loaded(program, strict, dynamo):
    make, example, others = PROGRAMS[program]
    module, n = make(), torch.export.Dim("n")
    exported = torch.export.export(module, example, dynamic_shapes=tuple({0: n} for _ in example), strict=strict)
    file = io.BytesIO()
    torch.export.save(exported, file)
    file.seek(0)
    made = torch.export.load(file).module()(*others)
    assert type(made) is type(module(*others))  # the named tuple
    assert_equal(tuple(made), tuple(module(*others)))


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::FutureWarning")  # within torch's compiler
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.skipif(shutil.which("g++") is None and shutil.which("clang++") is None, reason="needs a C++ compiler")
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_compiled_package(program, tmp_path, dynamo):
    make, example, others = PROGRAMS[program]
    module, n = make(), torch.export.Dim("n")
    exported = torch.export.export(module, example, dynamic_shapes=tuple({0: n} for _ in example))
    path = torch._inductor.aoti_compile_and_package(exported, package_path=str(tmp_path / "program.pt2"))
    made = torch._inductor.aoti_load_package(path)(*others)
    assert type(made) is type(module(*others))
    assert_equal(tuple(made), tuple(module(*others)))


# ---------------------------------------------------------------- embeddings


def matrix(embedding, layer, values):
    """All vectors, as one matrix, of an embedding's parameters, or those of the model around it."""
    if layer is None:
        parts = [values["head.weight"]]
        parts += [values[f"words.{i}.weight"] @ values[f"projections.{i}.weight"].t() for i in range(2)]
    else:
        parts = [values["layer.head.weight"][: CUTOFFS[0]]]
        for i in range(2):
            up = values.get(f"embedding.projections.{i}.weight")
            up = values[f"layer.tail.{i}.0.weight"].t() if up is None else up
            parts.append(values[f"layer.tail.{i}.1.weight"] @ up.t())
    out = torch.cat(parts)
    return out if embedding.order is None else out[embedding.order.argsort()]


class Lookup(nn.Module):
    """A tied embedding and its layer, called as the embedding."""

    def __init__(self, layer, embedding):
        super().__init__()
        self.layer, self.embedding = layer, embedding

    def forward(self, ids):
        return self.embedding(ids)


@pytest.fixture(params=["untied", "untied, order, padding", "tied", "tied, order, padding", "projections tied"])
def lookup(request):
    """A module of ids; and the same as a look-up in one matrix, of (parameters, ids)."""
    order = FALLING if "order" in request.param else None
    padding = 3 if "padding" in request.param else None
    layer = None
    if request.param.startswith("untied"):
        torch.manual_seed(0)
        embedding = AdaptiveEmbedding(V, D, CUTOFFS, div_value=2.0, order=order, padding_idx=padding, dtype=F64)
        module = embedding
    else:
        layer = softmax(order=order)
        embedding = AdaptiveEmbedding.tied(
            layer, tie_projections=request.param == "projections tied", padding_idx=padding
        )
        module = Lookup(layer, embedding)

    def truth(values, ids):
        vectors = F.embedding(ids, matrix(embedding, layer, values))
        return vectors if padding is None else torch.where((ids == padding).unsqueeze(-1), 0.0, vectors)

    return module, truth


IDS = torch.tensor([0, 3, 13, 4, 19, 3, 7, 8, 14])


def test_transforms_of_embeddings(lookup):
    module, truth = lookup
    values = parameters(module)

    def ours(v, ids=IDS):
        return functional_call(module, v, (ids,))

    def theirs(v, ids=IDS):
        return truth(v, ids)

    pushed = {name: torch.cos(v) for name, v in values.items()}
    transforms = {
        "grad": lambda f: grad(lambda v: f(v).square().sum())(values),
        "jvp": lambda f: jvp(f, (values,), (pushed,)),
        "jacrev": lambda f: jacrev(f)(values),
        "jacfwd": lambda f: jacfwd(f)(values),
        "forward over reverse": lambda f: jvp(grad(lambda v: f(v).pow(3).sum()), (values,), (pushed,)),
        "vmap over ids": lambda f: vmap(f, (None, 0))(values, IDS),
        "of each sample": lambda f: vmap(grad(lambda v, i: f(v, i).square().sum()), (None, 0))(values, IDS),
        "ensemble": lambda f: vmap(f)({name: torch.stack([v, 2 * v, -v]) for name, v in values.items()}),
    }
    for transform in transforms.values():
        assert_equal(transform(ours), transform(theirs))
    with forward_ad.dual_level():
        dual = {name: forward_ad.make_dual(v, pushed[name]) for name, v in values.items()}
        assert_equal(*(forward_ad.unpack_dual(f(dual)).tangent for f in (ours, theirs)))


@pytest.mark.parametrize("kept", [None, [], [ATEN.embedding.default, ATEN.mm.default]], ids=["all", "none", "some"])
def test_checkpointing_of_embeddings(lookup, kept):
    module, _ = lookup
    expected = torch.autograd.grad(module(IDS).square().sum(), list(module.parameters()), materialize_grads=True)
    for context in ({}, {"context_fn": selective(kept, False)}):
        made = checkpoint(module, IDS, use_reentrant=False, **context).square().sum()
        assert_equal(torch.autograd.grad(made, list(module.parameters()), materialize_grads=True), expected)


def test_gradients_of_embeddings_in_batches(lookup):
    module, truth = lookup
    values = {name: p for name, p in module.named_parameters()}
    several = torch.randn(3, len(IDS), D, dtype=F64)
    made = [
        torch.autograd.grad(v, list(values.values()), several, is_grads_batched=True, materialize_grads=True)
        for v in (module(IDS), truth(values, IDS))
    ]
    assert_equal(*made)


def test_a_pair_of_embedding_and_layer():
    model = Tied(softmax())
    values = parameters(model)

    def objective(v, ids, target):
        return functional_call(model, v, (ids, target)).loss

    made = vmap(grad(objective), (None, 0, 0))(values, IDS[:, None], MIXED[:, None])
    model(IDS, MIXED).loss.backward()
    assert_equal([made[name].mean(0) for name in values], [p.grad for p in model.parameters()])


# ---------------------------------------------------------------- several devices, and a Triton that does not import


def replica(module):
    """What nn.DataParallel makes of a module for one device."""
    made = module._replicate_for_data_parallel()
    for name, value in module._parameters.items():
        setattr(made, name, None if value is None else value.view_as(value))  # Broadcast's output: no leaf
    for name, child in module._modules.items():
        setattr(made, name, replica(child))
    return made


def test_replicas_of_data_parallel(pair):
    ours, stock, x, target = pair
    made = replica(ours)
    assert_equal(tuple(made(x, target)), tuple(stock(x, target)))
    assert_equal(made.topk(x, 3).values, ours.topk(x, 3).values)
    made(x, target).loss.sum().backward()
    expected = torch.autograd.grad(stock(x, target).loss.sum(), list(stock.parameters()), materialize_grads=True)
    assert_equal([p.grad for p in ours.parameters()], expected)


def test_replicas_of_embeddings():
    embedding = AdaptiveEmbedding(V, D, CUTOFFS, div_value=2.0, order=FALLING, dtype=F64)
    assert_equal(replica(embedding)(IDS), embedding(IDS))
    with pytest.raises(RuntimeError, match=r"TiedEmbedding cannot be copied by nn\.DataParallel.*Use Distributed"):
        replica(Tied(softmax()))


BROKEN = """
import sys, warnings
sys.path.insert(0, {folder!r})
import torch
from adasoft import AdaptiveSoftmax, gpu

with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    assert gpu.load() is None  # as .to("cuda") does
    assert gpu.load() is None
    assert gpu.on(torch.device("cpu")) is None  # as the loss does there
(said,) = [str(w.message) for w in said if "Triton" in str(w.message)]
print(said)
model = AdaptiveSoftmax(8, 20, [5, 12], div_value=2.0)
for model.reads_host in (True, False):
    model(torch.ones(7, 8), torch.arange(7)).loss.backward()
"""


@pytest.mark.parametrize(
    "line, says",
    [
        ("raise ImportError('libcuda.so.1: cannot open')", r"\(ImportError: .*"),
        pytest.param("raise RuntimeError('0 active drivers')", r"\(RuntimeError: 0 active", marks=pytest.mark.long),
        pytest.param("jit = None", r"\(ImportError: .*|\(ModuleNotFoundError: .*", marks=pytest.mark.long),
    ],
    ids=["ImportError", "RuntimeError", "too old"],
)
def test_a_triton_that_does_not_import_stops_nobody(line, says, tmp_path):
    (tmp_path / "triton").mkdir()
    (tmp_path / "triton" / "__init__.py").write_text(line)
    code = BROKEN.format(folder=str(tmp_path))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert re.match(f"Triton is installed but cannot be imported ({says})", run.stdout), run.stdout
