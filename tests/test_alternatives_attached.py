"""What hangs on the softmaxes beside ours counts: hooks, masks, adapters, averages of models, transforms."""

import copy
import itertools
from unittest import mock

import pytest
import torch
from attachments import ATTACHED, WHOLE, attach, close, marked, offloaded
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from adasoft import layer as layer_room
from adasoft.alternatives import NAMES, DoublySparseSoftmax, FullSoftmax, SVDSoftmax, build

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning"),
    # tracing will go; forward mode of torch.func still uses scripts
    pytest.mark.filterwarnings("ignore:.*torch.jit.*is deprecated:DeprecationWarning"),
]

D, V = 8, 20
COUNTS = [1000 // (r + 1) for r in range(V)]
#: Overlapping experts, one without rows; rank 19 is in none.
EXPERTS = [[0, 1, 2, 5, 7, 11], [], [*range(2, 19)], [1, 3, 8, 9]]

KINDS = [*NAMES, "doubly-sparse"]
CHILDREN = {
    "full": ["output"],
    "sampled": ["output"],
    "hierarchical": ["classes", "output"],
    "d-softmax": ["bands.0", "bands.2"],
    "d-softmax-star": ["head", "tail.0.0", "tail.1.1"],
    "adaptive": ["head", "tail.0.0", "tail.1.1"],
    "doubly-sparse": ["gate"],
}
CASES = [(kind, name, place) for kind in KINDS for name in ATTACHED for place in CHILDREN[kind]]
CASES += [("d-softmax-star", name, "tail.0") for name in WHOLE]


def make(kind, *, seed=0, **options):
    """A layer of random weights, fp64."""
    torch.manual_seed(seed)
    options.setdefault("dtype", torch.float64)
    if kind == "doubly-sparse":
        dtype = options.pop("dtype")
        made = DoublySparseSoftmax(D, V, len(EXPERTS), **options)
        state = {
            "gate.weight": torch.randn(len(EXPERTS), D),
            "weight": torch.randn(sum(map(len, EXPERTS)), D),
            "members": torch.tensor([rank for ranks in EXPERTS for rank in ranks]),
            "sizes": torch.tensor([len(ranks) for ranks in EXPERTS]),
        }
        made.load_state_dict(state, strict=False)
        return made.to(dtype)
    if kind in ("d-softmax", "d-softmax-star", "adaptive"):
        options.setdefault("cutoffs", [5, 12])
    if kind in ("d-softmax-star", "adaptive"):
        options.setdefault("widths", [4, 2])
    if kind == "sampled":
        options.setdefault("n_samples", V)  # training is exact then
    options.setdefault("order", None)
    return build(kind, D, COUNTS, **options)


def batch(n=30, seed=1):
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(n, D, generator=random, dtype=torch.float64)
    return x, torch.randint(V - 1, (n,), generator=random)


def called(layer, x, zeros=False):
    """Log-probabilities (n, V) that the calls of all children give, by plain operations, in the order of the ids."""
    kind = type(layer).__name__
    if kind in ("FullSoftmax", "SampledSoftmax"):
        out = layer.output(x).log_softmax(1)
    elif kind == "HierarchicalSoftmax":
        of_class, words = layer.classes(x).log_softmax(1), layer.output(x)
        spans = itertools.pairwise(layer.edges)
        out = torch.cat([words[:, a:b].log_softmax(1) + of_class[:, c, None] for c, (a, b) in enumerate(spans)], 1)
    elif kind == "DSoftmax":
        segments = x.split(layer.widths, 1)
        out = torch.cat([band(h) for band, h in zip(layer.bands, segments, strict=True)], 1).log_softmax(1)
    elif kind == "DSoftmaxStar":
        out = torch.cat([layer.head(x), *(tail(x) for tail in layer.tail)], 1).log_softmax(1)
    elif kind == "Adaptive":
        head = layer.head(x).log_softmax(1)
        parts = [tail(x).log_softmax(1) + head[:, 5 + i, None] for i, tail in enumerate(layer.tail)]
        out = torch.cat([head[:, :5], *parts], 1)
    else:
        gates = layer.gate(x)
        empty = torch.tensor([not size for size in layer.sizes.tolist()])
        value, expert = gates.masked_fill(empty, -torch.inf).softmax(1).max(1)
        rows = []
        edges = [0, *layer.sizes.cumsum(0).tolist()]
        for h, g, k in zip(x, value, expert.tolist(), strict=True):
            own = slice(edges[k], edges[k + 1])
            logits = torch.zeros(V, dtype=x.dtype) if zeros else torch.full((V,), -torch.inf, dtype=x.dtype)
            rows.append(logits.index_copy(0, layer.members[own], layer.weight[own] @ (g * h)))
        out = torch.stack(rows).log_softmax(1)
    return out if layer.order is None else out[:, layer.order.argsort()]


def agree_in_everything(layer, other, x):
    words = called(other, x)
    close(layer.log_prob(x), words)
    close(layer.log_prob(x.view(2, -1, D)).flatten(0, 1), called(other, x))
    for k in (1, 4):
        values, ids = layer.topk(x, k)
        wanted = called(other, x).topk(k)
        close(values, wanted.values)
        assert torch.equal(ids, wanted.indices)
    one = layer.topk(x[:1], 2)
    assert torch.equal(one.indices, called(other, x[:1]).topk(2).indices)


# ---------------------------------------------------------------- children


@pytest.mark.parametrize(("kind", "name", "place"), CASES)
def test_losses_gradients_and_answers_are_those_of_calls(kind, name, place):
    layer, other = (attach(make(kind), name, place) for _ in range(2))
    for step in range(2):
        x, target = batch(seed=step)
        mine, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
        output, loss = layer(mine, target)
        picked = called(other, theirs, zeros=True).gather(1, target[:, None]).squeeze(1)
        close(output, picked)
        close(loss, -picked.mean())
        (loss + output.pow(2).mean()).backward()
        (picked.pow(2).mean() - picked.mean()).backward()
        close(mine.grad, theirs.grad)
        for (key, p), q in zip(layer.named_parameters(), other.parameters(), strict=True):
            if q.grad is None:
                assert p.grad is None or not p.grad.any(), key
            else:
                close(p.grad, q.grad)
            with torch.no_grad():
                for each in (p, q):
                    each.grad is None or each.sub_(each.grad * 0.3)
                    each.grad = None
    layer.eval(), other.eval()
    agree_in_everything(layer, other, batch(12)[0])


@pytest.mark.parametrize(("kind", "name", "place"), CASES)
def test_loaded_weights_count_too(kind, name, place):
    # a mask or norm of old makes the weight in each call: after loading it is still that of the last call
    layer, other = (attach(make(kind), name, place) for _ in range(2))
    x, target = batch(12)
    layer(x, target), called(other, x)
    state = {k: v + 0.3 if v.is_floating_point() and "mask" not in k else v for k, v in layer.state_dict().items()}
    for each in (layer, other):
        each.load_state_dict(state)
        each.eval()
    agree_in_everything(layer, other, x)
    known = called(other, x).gather(1, target[:, None]).squeeze(1)
    close(layer(x, target).output, known)


@pytest.mark.parametrize("change", [marked, offloaded])
@pytest.mark.parametrize(("kind", "place"), [(kind, place) for kind in KINDS for place in CHILDREN[kind]])
def test_what_can_only_be_called(kind, place, change):
    layer, other = make(kind), make(kind)
    x, target = batch(12)
    for each in (layer, other):
        parent, _, last = place.rpartition(".")
        setattr(each.get_submodule(parent), last, change(each.get_submodule(place)))
        each.eval()
    agree_in_everything(layer, other, x)
    close(layer(x, target).output, called(other, x).gather(1, target[:, None]).squeeze(1))


@pytest.mark.parametrize("name", ["forward hook", "pruning", "adapter", "bias"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_ignored_tokens_leading_dimensions_and_order(kind, name, reduction):
    order = torch.randperm(V, generator=torch.Generator().manual_seed(2))
    layer, other = (
        attach(make(kind, order=order, reduction=reduction, ignore_index=7), name, CHILDREN[kind][-1]) for _ in range(2)
    )
    x, target = batch(30)
    target[target == order[-1]] = order[0]  # in no expert
    target[:9] = 7
    theirs = called(other, x, zeros=True).gather(1, target[:, None]).squeeze(1).masked_fill(target == 7, 0.0)
    output, loss = layer(x.view(2, 15, D), target.view(2, 15))
    close(output.flatten(), theirs)
    expected = {"mean": -theirs.sum() / (target != 7).sum(), "sum": -theirs.sum(), "none": -theirs.view(2, 15)}
    close(loss, expected[reduction])
    nothing = layer(x[:3], torch.full((3,), 7))
    assert not nothing.output.any()
    assert reduction != "mean" or nothing.loss.isnan()
    (nothing.loss.nan_to_num().sum() if reduction == "none" else nothing.loss).backward()
    for key, p in layer.named_parameters():
        assert not p.requires_grad or (p.grad is not None and not p.grad.any()), key
    target[0] = V
    with pytest.raises(RuntimeError, match=r"\[0, 19\](.|\n)*ignore_index=7"):
        layer(x, target)


@pytest.mark.parametrize("kind", KINDS)
def test_hooks_on_all_modules(kind):
    layer, other = make(kind), make(kind)
    x, target = batch(12)
    handle = nn.modules.module.register_module_forward_hook(
        lambda module, args, out: out * 1.3 if isinstance(module, nn.Linear) else None
    )
    try:
        close(layer(x, target).output, called(other, x, zeros=True).gather(1, target[:, None]).squeeze(1))
        agree_in_everything(layer.eval(), other.eval(), x)
    finally:
        handle.remove()


@pytest.mark.parametrize("kind", KINDS)
def test_low_precision_and_autocast(kind):
    layer = make(kind).float()
    for place in CHILDREN[kind]:
        layer = attach(layer, "forward hook", place)
    x, target = batch(30)
    x = x.float()
    if kind == "doubly-sparse":  # only rows of which the gate is sure, whatever rounding does
        with torch.no_grad():
            share = layer.gate(x)[:, [0, 2, 3]].softmax(1).sort(1).values
        sure = share[:, -1] > share[:, -2] + 0.2
        x, target = x[sure], target[sure]
    exact = layer(x, target)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, loss = layer(x, target)
        assert output.dtype == loss.dtype == layer.topk(x, 3).values.dtype == layer.log_prob(x).dtype == torch.float32
    torch.testing.assert_close(output, exact.output, rtol=0.06, atol=0.06)
    low = layer.to(torch.bfloat16)
    output, loss = low(x.bfloat16(), target)
    assert output.dtype == loss.dtype == low.log_prob(x.bfloat16()).dtype == torch.bfloat16
    torch.testing.assert_close(output.float(), exact.output, rtol=0.1, atol=0.1)


@pytest.mark.parametrize(
    ("kind", "place"), [(kind, place) for kind in KINDS for place in CHILDREN[kind] if not place.endswith(".0.0")]
)
def test_a_child_of_another_width_is_named(kind, place):
    layer = make(kind)
    parent, _, last = place.rpartition(".")
    child = layer.get_submodule(place)
    setattr(layer.get_submodule(parent), last, nn.Linear(child.in_features, 3).double())
    x, target = batch()
    name = place.removesuffix(".1") if place.startswith("tail") else place
    for call in (lambda: layer(x, target), lambda: layer.log_prob(x), lambda: layer.topk(x, 2)):
        with pytest.raises(RuntimeError, match=rf"{name} should give \d+ logits for each row, got an output of shape"):
            call()


@pytest.mark.parametrize("kind", KINDS)
def test_plain_children_are_not_called(kind):
    # what makes them fast; and what is removed leaves nothing behind
    layer = make(kind)
    for place in CHILDREN[kind]:
        attach(layer, "pruning", place)
        prune.remove(layer.get_submodule(place), "weight")
    x, target = batch()
    called = []
    # the search of the adaptive softmax: of so few logits topk would look at all
    search = mock.patch.object(layer_room, "FEW_LOGITS", 0)
    with search, mock.patch.object(nn.Linear, "forward", lambda self, x: called.append(self)):
        layer(x, target)
        layer.topk(x, 3)
    assert not called


@pytest.mark.parametrize("name", ["forward hook", "pruning", "weight norm", "adapter"])
@pytest.mark.parametrize("correct_target", [True, False])
def test_one_sampled_loss_of_a_child_that_is_called(name, correct_target):
    layer, other = (attach(make("sampled", n_samples=7, correct_target=correct_target), name, "output") for _ in "ab")
    words, log_pi = layer.draw()
    x, target = batch(V)
    with mock.patch.object(layer, "draw", lambda *_: (words, log_pi)):
        output, loss = layer(x, target)
    logits, log_pi = other.output(x), log_pi.double()
    own = logits.gather(1, target[:, None]) - (log_pi[target][:, None] if correct_target else 0.0)
    others = (logits - log_pi)[:, words].masked_fill(words == target[:, None], -torch.inf)
    nll = F.cross_entropy(torch.cat([own, others], 1), torch.zeros_like(target), reduction="none")
    close(output, -nll)
    loss.backward()
    nll.mean().backward()
    for p, q in zip(layer.parameters(), other.parameters(), strict=True):
        assert (p.grad is None) == (q.grad is None)
        if p.grad is not None:
            close(p.grad, q.grad)


# ---------------------------------------------------------------- layers that are copied, never called


@pytest.mark.parametrize("name", ["pruning", "pruned twice", "parametrization", *(n for n in ATTACHED if "norm" in n)])
@pytest.mark.parametrize("whole", [True, False])
def test_masks_and_norms_of_a_copied_layer_count(name, whole):
    full = FullSoftmax(D, V, dtype=torch.float64)
    attach(full, name, "output")
    full(*batch())
    full.eval().load_state_dict({k: v + 0.3 if "mask" not in k else v for k, v in full.state_dict().items()})
    x, _ = batch(12)
    given_layer = full if whole else full.output
    svd, sparse = SVDSoftmax(given_layer, D, 1), DoublySparseSoftmax.from_full(given_layer, 1)
    for made in (svd, sparse):
        close(made.log_prob(x), called(full, x))


def test_a_mask_on_the_bias_of_a_copied_layer_counts():
    full = FullSoftmax(D, V, bias=True, dtype=torch.float64)
    prune.random_unstructured(full.output, "bias", 0.5)
    with torch.no_grad():
        full.output.bias_orig.add_(1.0)
    x, _ = batch(12)
    close(SVDSoftmax(full, D, 1).log_prob(x), called(full, x))


@pytest.mark.parametrize("make_from", [SVDSoftmax, DoublySparseSoftmax.from_full])
def test_a_copied_layer_with_more_to_it_than_a_weight_is_refused(make_from):
    def full(name):
        return attach(FullSoftmax(D, V, dtype=torch.float64), name, "output")

    for name in ("adapter", "subclass"):
        with pytest.raises(
            RuntimeError, match=r"full\.output should be a torch.nn.Linear, .* Merge the adapter into it,"
        ):
            make_from(full(name))
    for name in ("forward hook", "forward pre-hook"):
        with pytest.raises(RuntimeError, match=r"full\.output should have no hook on its calls, .* Remove the hook"):
            make_from(full(name))
        with pytest.raises(RuntimeError, match=r"full should have no hook on its calls"):
            make_from(full(name).output)
    for name in ("backward hook", "backward pre-hook"):  # nothing is learnt here
        make_from(full(name))
    with pytest.raises(RuntimeError, match=r"full should have a weight of plain numbers, got a Marked"):
        make_from(marked(nn.Linear(D, V, bias=False)))
    with pytest.raises(RuntimeError, match=r"full should be a torch.nn.Linear, .* with a forward of its own"):
        make_from(offloaded(nn.Linear(D, V, bias=False)))


def test_nothing_of_a_copied_layer_is_kept():
    full = FullSoftmax(D, V, dtype=torch.float64)
    x, _ = batch(12)
    made = [SVDSoftmax(full, 2, 5), DoublySparseSoftmax.from_full(full, 2)]
    before = [m.log_prob(x) for m in made]
    full.output.weight.data.zero_()
    for m, words in zip(made, before, strict=True):
        assert torch.equal(m.log_prob(x), words)


# ---------------------------------------------------------------- weights of doubly sparse softmax themselves


@pytest.mark.parametrize("name", ["pruning", "weight norm", "weight norm of old", "parametrization"])
def test_what_hangs_on_the_rows_counts(name):
    layer, other = make("doubly-sparse"), make("doubly-sparse")
    for each in (layer, other):
        torch.manual_seed(2)
        ATTACHED[name](each)
    x, target = batch(12)
    close(layer(x, target).output, called(other, x, zeros=True).gather(1, target[:, None]).squeeze(1))
    layer.penalties(x).lasso.backward()
    state = {k: v + 0.3 if v.is_floating_point() and "mask" not in k else v for k, v in layer.state_dict().items()}
    for each in (layer, other):
        each.load_state_dict(state)
        each.eval()
    other(x, target)  # makes a mask or norm of old anew
    agree_in_everything(layer, other, x)
    close(layer.penalties(x).lasso, other.weight.square().mean(1).sqrt().sum())


@pytest.mark.parametrize("name", ["pruning", "weight norm", "parametrization"])
def test_experts_with_something_attached_do_not_change(name):
    for place, text in (("", "weight should be a plain parameter"), ("gate", "gate should be a torch.nn.Linear")):
        layer = make("doubly-sparse")
        ATTACHED[name](layer.get_submodule(place))
        before = {k: v.clone() for k, v in layer.state_dict().items()}
        x, _ = batch()
        for change, given in (("prune", 0.1), ("split", 2), ("revive", x)):
            with pytest.raises(
                RuntimeError, match=rf"{text} .*to change the experts, got (.|\n)* Remove what is attached"
            ):
                getattr(layer, change)(given)
        with pytest.raises(RuntimeError, match="to change the experts"):
            layer.load_state_dict(DoublySparseSoftmax(D, V, 3, dtype=torch.float64).state_dict(), strict=False)
        assert all(torch.equal(v, before[k]) for k, v in layer.state_dict().items())
        layer.load_state_dict(before)
    for other in ("adapter", "subclass", "bias"):
        with pytest.raises(RuntimeError, match=r"gate should be a torch\.nn\.Linear"):
            attach(make("doubly-sparse"), other, "gate").split(2)
    hooked = attach(make("doubly-sparse"), "forward hook", "gate")  # which does not ask how many experts there are
    hooked.split(2, noise=0.0)
    close(hooked.log_prob(x), called(hooked, x))


# ---------------------------------------------------------------- tables are not weights

ORDER = torch.randperm(V, generator=torch.Generator().manual_seed(2))
ALL = [*KINDS, "svd"]


def ordered(kind):
    if kind == "svd":
        return SVDSoftmax(make("full", order=ORDER), 3, 6)
    return make(kind, order=ORDER, **({"n_samples": 7} if kind == "sampled" else {})).eval()


def asked(layer):
    x, target = batch(200)
    return [*layer(x, ORDER[target]), layer.log_prob(x), *layer.topk(x, 3)]


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("decay", [0.9, 0.999, 1 / 3])
def test_averages_leave_tables_alone(kind, decay):
    layer = ordered(kind)
    averaged = AveragedModel(layer, use_buffers=True, multi_avg_fn=get_ema_multi_avg_fn(decay))
    for _ in range(5):
        averaged.update_parameters(layer)
    torch.testing.assert_close(asked(averaged.module), asked(layer))


@pytest.mark.parametrize("kind", ALL)
def test_averages_written_into_a_state_dict_leave_tables_alone(kind):
    layer = ordered(kind)
    averaged = copy.deepcopy(layer)
    with torch.no_grad():
        for mine, other in zip(averaged.state_dict().values(), layer.state_dict().values(), strict=True):
            mine.copy_(0.9 * mine + 0.1 * other)
    torch.testing.assert_close(asked(averaged), asked(layer))


@pytest.mark.parametrize("kind", ALL)
def test_an_averaged_checkpoint_loads_or_is_refused(kind):
    layer = ordered(kind)
    state = {k: 0.9 * v + 0.1 * v for k, v in layer.state_dict().items()}
    assert all(v.is_floating_point() for v in state.values())
    other = copy.deepcopy(layer)
    other.load_state_dict(state)
    torch.testing.assert_close(asked(other), asked(layer))
    with pytest.raises(RuntimeError, match="order of the checkpoint differs from this module's"):
        layer.load_state_dict(state | {"order": (ORDER + ORDER.flip(0)) / 2})
    without = {k: v for k, v in layer.state_dict().items() if k != "order"}
    if kind != "adaptive":
        with pytest.raises(RuntimeError, match=r"Missing key.*\"order\""):
            layer.load_state_dict(without)


@pytest.mark.parametrize("kind", ALL)
def test_no_integer_buffers(kind):
    layer = ordered(kind)
    assert all(buffer.is_floating_point() for buffer in layer.buffers())
    assert set(layer._stored) <= set(layer.state_dict())
    assert not list(layer.buffers()) or kind == "svd"


@pytest.mark.parametrize("kind", ALL)
def test_tables_are_found_where_only_the_weights_were_moved(kind):
    layer = ordered(kind)
    expected = asked(layer)
    for name, table in layer._tables.items():
        setattr(layer, name, None if table is None else table.to("meta"))
    torch.testing.assert_close(asked(layer), expected)
    if kind == "sampled":
        layer.p = layer.p.to("meta")
        x, target = batch()
        assert layer.train()(x, target).loss.isfinite()


def test_tables_of_experts_are_compared_or_taken_whole():
    layer = ordered("doubly-sparse")
    state = layer.state_dict()
    other = DoublySparseSoftmax(D, V, 2, order=ORDER, dtype=torch.float64)
    for name in ("members", "sizes"):
        with pytest.raises(RuntimeError, match=rf"{name} should be integers, got torch.float32: an average"):
            other.load_state_dict(state | {name: state[name] * 1.0})
        for bad in (torch.ones(4, dtype=torch.bool), "members", state[name][None]):
            with pytest.raises(RuntimeError, match=rf"{name} should be integers in one dimension, got"):
                other.load_state_dict(state | {name: bad})
        with pytest.raises(RuntimeError, match=rf"Missing key.*{name}"):
            layer.load_state_dict({k: v for k, v in state.items() if k != name})
    moved = state | {"members": state["members"] + 0.5}
    with pytest.raises(RuntimeError, match=r"members should be integers, got torch\.float32"):
        layer.load_state_dict(moved)
    assert other.n_experts == 2
    other.load_state_dict(state | {name: state[name].int() for name in ("members", "sizes")})
    torch.testing.assert_close(asked(other.eval()), asked(layer))
    assert other.members.dtype == other.sizes.dtype == torch.int64
    state["members"].zero_()  # what state_dict gave was a copy
    torch.testing.assert_close(asked(other), asked(layer))


@pytest.mark.parametrize("kind", ALL)
def test_pickled_deepcopied_and_cast(kind, tmp_path):
    layer = ordered(kind)
    torch.save(layer, tmp_path / "whole.pt")
    for made in (copy.deepcopy(layer), torch.load(tmp_path / "whole.pt", weights_only=False), layer.float().double()):
        torch.testing.assert_close(asked(made), asked(layer), rtol=1e-5, atol=1e-5)
        assert torch.equal(made.order, ORDER)


# ---------------------------------------------------------------- who watches the single operations


def dense(layer, values, x, target):
    """``output`` by the calls of all children, differentiable by anything; of training mode where that differs."""

    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            return called(self.layer, x, zeros=True)

    named = {f"layer.{k}": v for k, v in values.items()}
    return torch.func.functional_call(Whole(), named, (x,)).gather(1, target[:, None]).squeeze(1)


def value_and_loss(layer, values, x, target):
    return torch.func.functional_call(layer, values, (x, target))


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_torch_func(kind):
    layer = make(kind, ignore_index=V - 1)
    x, target = batch(7)
    values = {k: p.detach() for k, p in layer.named_parameters()}

    def ours(values, x):
        return value_and_loss(layer, values, x, target).loss

    def theirs(values, x):
        return -dense(layer, values, x, target).mean()

    def agree(a, b):
        for one, two in zip(torch.utils._pytree.tree_leaves(a), torch.utils._pytree.tree_leaves(b), strict=True):
            close(one, two)

    agree(torch.func.grad(ours, argnums=(0, 1))(values, x), torch.func.grad(theirs, argnums=(0, 1))(values, x))
    agree(
        torch.func.vjp(ours, values, x)[1](torch.tensor(2.0).double()),
        torch.func.vjp(theirs, values, x)[1](torch.tensor(2.0).double()),
    )
    moved = {k: torch.ones_like(v) for k, v in values.items()}, torch.ones_like(x)
    agree(torch.func.jvp(ours, (values, x), moved), torch.func.jvp(theirs, (values, x), moved))
    agree(torch.func.hessian(ours, argnums=1)(values, x), torch.func.hessian(theirs, argnums=1)(values, x))

    def each(x):
        return value_and_loss(layer, values, x, target).output

    agree(torch.func.jacrev(each)(x), torch.func.jacrev(lambda x: dense(layer, values, x, target))(x))
    agree(torch.func.jacfwd(each)(x), torch.func.jacrev(each)(x))
    # one gradient for each token
    per_token = torch.func.vmap(
        torch.func.grad(lambda v, x, t: value_and_loss(layer, v, x[None], t[None]).loss), (None, 0, 0)
    )(values, x, target)
    total = {k: v.sum(0) / 7 for k, v in per_token.items()}
    agree(total, torch.func.grad(ours)(values, x))


@pytest.mark.parametrize("kind", KINDS)
def test_answers_under_vmap(kind):
    layer = make(kind, order=ORDER).eval()
    x, target = batch(12)
    stacked = x.view(3, 4, D)
    close(torch.func.vmap(layer.log_prob)(stacked), layer.log_prob(stacked))
    for k in (3, 12):  # more than some experts know
        values, ids = torch.func.vmap(lambda x, k=k: layer.topk(x, k))(stacked)
        expected = layer.topk(stacked, k)
        close(values, expected.values)
        assert torch.equal(ids, expected.indices)
        assert (ids < 0).any() == (kind == "doubly-sparse" and k == 12)
    target = target.view(3, 4)
    target[0, 0], target[1, 1] = -100, V  # ignored, and out of range, of which nothing can be raised
    output = torch.func.vmap(lambda x, t: layer(x, t).output)(stacked, target)
    assert output[0, 0] == 0 and output[1, 1].isnan()
    rest = torch.ones(3, 4, dtype=torch.bool)
    rest[0, 0] = rest[1, 1] = False
    close(output[rest], layer(stacked[rest], target[rest]).output)
    # a forward over several softmaxes of one form, as ensembles do
    values = {k: torch.stack([p.detach(), p.detach() * 0.5]) for k, p in layer.named_parameters()}
    both = torch.func.vmap(lambda v: value_and_loss(layer, v, x, target.flatten().clamp(0, V - 1)).output)(values)
    other = copy.deepcopy(layer)
    with torch.no_grad():
        for p in other.parameters():
            p.mul_(0.5)
    close(both[1], other(x, target.flatten().clamp(0, V - 1)).output)


@pytest.mark.parametrize("kind", KINDS)
def test_forward_mode(kind):
    layer = make(kind)
    x, target = batch(9)
    direction = torch.randn(9, D, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    forward_ad = torch.autograd.forward_ad
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, direction)
        tangents = [forward_ad.unpack_dual(v).tangent for v in (*layer(dual, target), layer.log_prob(dual))]
    x.requires_grad_()
    for value, tangent in zip((*layer(x, target), layer.log_prob(x)), tangents, strict=True):
        known = value.isfinite()
        (gradient,) = torch.autograd.grad(value[known].sum(), x, retain_graph=True)
        close((gradient * direction).sum(), tangent[known].sum())


@pytest.mark.parametrize("kind", KINDS)
def test_batches_of_gradients(kind):
    layer = make(kind)
    x, target = batch(9)
    x.requires_grad_()
    inputs = [x, *layer.parameters()]
    for which in ("output", "loss", "both"):
        output, loss = layer(x, target)
        value = {"output": output, "loss": loss[None], "both": torch.cat([output, loss[None]])}[which]
        upstream = torch.randn(3, len(value), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        many = torch.autograd.grad(value, inputs, upstream, is_grads_batched=True, retain_graph=True)
        for i in range(3):
            one = torch.autograd.grad(value, inputs, upstream[i], retain_graph=True)
            for a, b in zip(many, one, strict=True):
                close(a[i], b)


@pytest.mark.parametrize("kind", KINDS)
def test_each_backward_gives_the_same_numbers(kind):
    layer = make(kind)
    x, target = batch(9)
    x.requires_grad_()
    inputs = [x, *layer.parameters()]
    _, loss = layer(x, target)
    first, second, third = (torch.autograd.grad(loss, inputs, retain_graph=True) for _ in range(3))
    for a, b, c in zip(first, second, third, strict=True):
        assert torch.equal(a, b) and torch.equal(a, c)
    names = [n for n, _ in layer.named_parameters()]

    def run(x, *values):
        return value_and_loss(layer, dict(zip(names, values, strict=True)), x, target).loss

    leaves = [x, *(p.detach().requires_grad_() for p in layer.parameters())]
    assert torch.autograd.gradcheck(run, leaves)  # with no allowance for another second backward


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mutable", [False, True])
@pytest.mark.parametrize("rule", ["mm", "all products", "everything"])
def test_selective_checkpointing(kind, mutable, rule):
    layer = make(kind)
    x, target = batch(9)
    ops = torch.ops.aten
    products = [ops.mm, ops.addmm, ops.bmm]

    def policy(context, op, *args, **kwargs):
        wanted = products[:1] if rule == "mm" else products
        kept = rule == "everything" or getattr(op, "overloadpacket", None) in wanted
        policies = torch.utils.checkpoint.CheckpointPolicy
        return policies.MUST_SAVE if kept else policies.PREFER_RECOMPUTE

    def contexts():
        return torch.utils.checkpoint.create_selective_checkpoint_contexts(policy, allow_cache_entry_mutation=mutable)

    def run(checkpointed):
        z = x.clone().requires_grad_()

        def inside(z):
            return layer(z * 1.5, target).loss

        if checkpointed:
            loss = torch.utils.checkpoint.checkpoint(inside, z, use_reentrant=False, context_fn=contexts)
        else:
            loss = inside(z)
        return [loss, *torch.autograd.grad(loss, [z, *layer.parameters()])]

    for a, b in zip(run(True), run(False), strict=True):
        close(a, b)


@pytest.mark.parametrize("kind", ALL)
def test_meta_device(kind):
    layer = ordered(kind).to("meta")
    x, target = (
        torch.empty(2, 5, D, dtype=torch.float64, device="meta"),
        torch.empty(2, 5, dtype=torch.long, device="meta"),
    )
    for training in (False, True):
        output, loss = layer.train(training)(x, target)
        assert output.shape == (2, 5) and loss.shape == () and output.is_meta
    assert layer.log_prob(x).shape == (2, 5, V)
    assert layer.topk(x, 3).indices.shape == (2, 5, 3)
    layer.load_state_dict(layer.state_dict())
    with torch.device("meta"):
        if kind == "svd":
            with pytest.raises(ValueError, match="weight should hold numbers, got the meta device"):
                ordered(kind)
            return
        made = DoublySparseSoftmax(D, V, 2, dtype=torch.float64) if kind == "doubly-sparse" else ordered(kind)
    assert made.log_prob(x).is_meta and made(x, target).output.is_meta
    if kind == "doubly-sparse":
        with pytest.raises(
            RuntimeError, match="members should hold numbers to change the experts, got the meta device"
        ):
            made.load_state_dict(layer.state_dict(), strict=False)


#: Compilers take seconds for each: those of other forms as a matter of course, the rest with ``--long``.
COMPILED = [pytest.param(kind, marks=[] if kind in ("full", "doubly-sparse") else pytest.mark.long) for kind in ALL]


class Answers(nn.Module):
    """What tracing and export take: a module with one forward."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer.log_prob(x), self.layer.topk(x, 3).indices


@pytest.mark.parametrize("kind", ALL)
def test_traces_take_other_batches(kind):
    layer = ordered(kind)
    x, target = batch(5)
    target = ORDER[target]
    if kind == "doubly-sparse":
        layer.measure(x)  # tracing asks for every property
    traced = torch.jit.trace(Answers(layer), (x,))
    for other in (batch(9, seed=4)[0], batch(6, seed=4)[0].view(2, 3, D)[:, 0]):
        words, ids = traced(other)
        close(words, layer.log_prob(other))
        assert torch.equal(ids, layer.topk(other, 3).indices)
    forward = torch.jit.trace(layer, (x, target))
    other, words = batch(9, seed=4)
    close(forward(other, ORDER[words])[0], layer(other, ORDER[words]).output)


@pytest.mark.parametrize("kind", COMPILED)
def test_exported_programs_take_other_batches(kind):
    layer = ordered(kind)
    x, target = batch(5)
    rows = torch.export.Dim("rows", min=2)
    program = torch.export.export(layer, (x, ORDER[target]), dynamic_shapes=({0: rows}, {0: rows}))
    other, words = batch(9, seed=4)
    torch.testing.assert_close(tuple(program.module()(other, ORDER[words])), tuple(layer(other, ORDER[words])))

    program = torch.export.export(Answers(layer), (x,), dynamic_shapes=({0: rows},))
    words, ids = program.module()(other)
    close(words, layer.log_prob(other))
    assert torch.equal(ids, layer.topk(other, 3).indices)


@pytest.mark.parametrize("kind", COMPILED)
def test_compiled_as_one_graph(kind):
    torch._dynamo.reset()
    layer = ordered(kind)
    x, target = batch(9)
    target = ORDER[target]
    target[0], target[1] = -100, V
    whole = {"backend": "eager", "fullgraph": True}
    output, loss = torch.compile(layer, **whole)(x, target)
    assert output[0] == 0 and output[1].isnan() and loss.isnan()
    expected = layer(x[2:], target[2:])
    torch.testing.assert_close(output[2:], expected.output)
    target[1] = -100
    torch.testing.assert_close(torch.compile(layer, **whole)(x, target).loss, expected.loss)
    close(torch.compile(layer.log_prob, **whole)(x), layer.log_prob(x))
    found = torch.compile(lambda x: layer.topk(x, 3), **whole)(x)
    assert torch.equal(found.indices, layer.topk(x, 3).indices)
    if kind == "svd":
        return
    layer.train()
    inputs = [p for p in layer.parameters()]
    ours = torch.autograd.grad(torch.compile(layer, **whole)(x[2:], target[2:]).loss, inputs)
    if kind != "sampled":
        for a, b in zip(ours, torch.autograd.grad(layer(x[2:], target[2:]).loss, inputs), strict=True):
            close(a, b)
