"""What hangs on the layer counts: hooks, masks, parametrizations and adapters give what they give PyTorch's layer."""

import copy
import itertools
from unittest import mock

import pytest
import torch
from attachments import ATTACHED, WHOLE, attach, close, marked, offloaded
from torch import nn
from torch.nn.utils import prune
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from adasoft import AdaptiveEmbedding, AdaptiveSoftmax
from adasoft import layer as layer_room

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # the old weight norm and fake quantisation still work, and say that they will go
    pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*torch.ao.quantization.*:DeprecationWarning"),
]

D, V, CUTOFFS = 8, 20, [5, 12]


def both(**kwargs):
    """PyTorch's layer and ours with the same weights, fp64."""
    pair = []
    for cls in (nn.AdaptiveLogSoftmaxWithLoss, AdaptiveSoftmax):
        torch.manual_seed(3)
        pair.append(cls(D, V, CUTOFFS, div_value=2.0, dtype=torch.float64, **kwargs))
    return pair


def batch(n=30, seed=1, high=V):
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(n, D, generator=random, dtype=torch.float64)
    return x, torch.randint(high, (n,), generator=random)


PLACES = ["head", "tail.0.0", "tail.1.1"]
CASES = [*itertools.product(ATTACHED, PLACES), *itertools.product(WHOLE, ["tail.0"])]


def agree_in_everything(stock, ours, x):
    """All that can be asked of a layer without a target."""
    torch.manual_seed(0)
    theirs = stock.log_prob(x)
    torch.manual_seed(0)
    close(ours.log_prob(x), theirs)
    assert torch.equal(ours.predict(x), theirs.argmax(1))
    values, ids = ours.topk(x, 4)
    close(values, theirs.topk(4).values)
    assert torch.equal(ids, theirs.topk(4).indices)
    close(ours.score(x, ids), theirs.gather(1, ids))
    # a nucleus of next to nothing holds the best word; a draw of all is a word of probability above 0
    assert torch.equal(ours.sample(x, top_p=1e-9), theirs.argmax(1, keepdim=True))
    drawn = ours.sample(x, 2000, generator=torch.Generator().manual_seed(0))
    shares = torch.stack([torch.bincount(row, minlength=V) for row in drawn]) / 2000
    assert (shares - theirs.exp()).abs().max() < 0.06  # five deviations of the largest possible
    assert ours.opened(x, 4).shape == (len(x), 2)


# ---------------------------------------------------------------- the layer


@pytest.mark.parametrize(("name", "place"), CASES)
def test_losses_gradients_and_steps_are_those_of_pytorchs_layer(name, place):
    stock, ours = (attach(layer, name, place) for layer in both())
    for step in range(3):
        losses = []
        for layer in (stock, ours):
            x, target = batch(seed=step)
            x.requires_grad_()
            torch.manual_seed(step)
            output, loss = layer(x, target)
            layer.zero_grad()
            (loss + output.pow(2).mean()).backward()
            losses += [output, loss, x.grad]
        for theirs, mine in zip(losses[:3], losses[3:], strict=True):
            close(mine, theirs)
        for (key, theirs), mine in zip(stock.named_parameters(), ours.parameters(), strict=True):
            if theirs.grad is None:
                assert mine.grad is None or not mine.grad.any(), key
            else:
                close(mine.grad, theirs.grad)
            with torch.no_grad():
                for p in (theirs, mine):
                    p.grad is None or p.sub_(p.grad * 0.3)
    stock.eval(), ours.eval()
    agree_in_everything(stock, ours, batch(40)[0])


@pytest.mark.parametrize(("name", "place"), CASES)
def test_loaded_weights_count_too(name, place):
    # a mask or norm of old makes the weight in each call: after loading it is still that of the last call
    stock, ours = (attach(layer, name, place) for layer in both())
    state = {k: v + 0.3 if "mask" not in k else v for k, v in stock.state_dict().items()}
    x, target = batch()
    for layer in (stock, ours):
        layer(x, target)
        layer.load_state_dict(state)
        layer.eval()
    close(ours(x, target).loss, stock(x, target).loss)
    agree_in_everything(stock, ours, x)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("change", [marked, offloaded])
def test_what_can_only_be_called(change, place):
    x, target = batch()
    pair = both()
    for layer in pair:
        parent, _, last = place.rpartition(".")
        setattr(layer.get_submodule(parent), last, change(layer.get_submodule(place)))
    stock, ours = pair
    close(ours(x, target).loss, stock(x, target).loss)
    agree_in_everything(stock, ours, x)


@pytest.mark.parametrize("name", ATTACHED)
def test_without_a_host_read(name):
    _, ours = both()
    attach(attach(ours, name, "head"), name, "tail.0.1")
    x, target = batch()
    target[::4] = -100
    torch.manual_seed(0)
    routed = ours.eval()(x, target)
    ours.reads_host = False
    torch.manual_seed(0)
    close(ours(x, target), routed)


@pytest.mark.parametrize("name", ["forward hook", "pruning", "adapter", "parametrization"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_ignored_tokens_leading_dimensions_and_order(name, reduction):
    order = torch.randperm(V, generator=torch.Generator().manual_seed(2))
    stock, _ = both()
    ours = AdaptiveSoftmax(D, V, CUTOFFS, 2.0, dtype=torch.float64, order=order, reduction=reduction, ignore_index=7)
    ours.load_state_dict(stock.state_dict())
    for layer in (stock, ours):
        attach(attach(layer, name, "head"), name, "tail.1.1")
    x, target = batch(30)
    rank = order.argsort()[target]
    theirs = torch.where(target == 7, 0.0, stock(x, rank).output)
    output, loss = ours(x.view(2, 15, D), target.view(2, 15))
    close(output.flatten(), theirs)
    expected = {"mean": -theirs.sum() / (target != 7).sum(), "sum": -theirs.sum(), "none": -theirs.view(2, 15)}
    close(loss, expected[reduction])
    close(ours.log_prob(x)[:, order], stock.log_prob(x))
    nothing = ours(x[:3], torch.full((3,), 7))
    assert not nothing.output.any()
    (nothing.loss.nan_to_num().sum() if reduction == "none" else nothing.loss).backward()
    for key, p in ours.named_parameters():
        assert not p.requires_grad or (p.grad is not None and not p.grad.any()), key


def test_every_parameter_has_a_gradient_in_every_batch():
    _, ours = both()
    attach(attach(ours, "adapter", "tail.0.0"), "pruning", "tail.1.1")
    x, _ = batch(4)
    ours(x, torch.zeros(4, dtype=torch.long)).loss.backward()
    for key, p in ours.named_parameters():
        assert (p.grad is not None) == p.requires_grad, key
        assert "tail" not in key or p.grad is None or not p.grad.any(), key


def test_a_tail_without_tokens_is_not_called():
    _, ours = both()
    sizes = []
    ours.tail[0].register_forward_pre_hook(lambda module, args: sizes.append(len(args[0])))
    x, _ = batch(4)
    ours(x, torch.tensor([0, 13, 13, 4]))
    ours(x, torch.tensor([0, 6, 13, 6]))
    assert sizes == [2]


def test_hooks_on_all_modules():
    stock, ours = both()
    x, target = batch()
    seen = []

    def hook(module, args, out):
        seen.append(type(module).__name__)
        return out * 1.2 if isinstance(module, nn.Linear) else None

    with nn.modules.module.register_module_forward_hook(hook):
        close(ours(x, target).loss, stock(x, target).loss)
        agree_in_everything(stock, ours, x)
        seen.clear()
        ours(x, target)
    assert seen == ["Linear", "Linear", "Linear", "Sequential", "Linear", "Linear", "Sequential", "AdaptiveSoftmax"]


@pytest.mark.parametrize("autocast", [torch.bfloat16, torch.float16])
def test_under_autocast(autocast):
    stock, ours = (attach(layer.float(), "forward hook", "tail.0.1") for layer in both())
    x, target = (v.float() if v.is_floating_point() else v for v in batch())
    with torch.autocast("cpu", autocast):
        output, loss = ours(x, target)
        assert output.dtype == loss.dtype == ours.topk(x, 3).values.dtype == torch.float32
    torch.testing.assert_close(output, stock(x, target).output, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("reads_host", [True, False])
def test_dropout_in_tails(reads_host):
    made = AdaptiveSoftmax(D, V, CUTOFFS, 2.0, dtype=torch.float64, tail_dropout=0.5)
    made.reads_host = reads_host
    attach(made, "forward hook", "tail.0.1")
    x, target = batch(2000)
    whole = made.eval()(x, target).loss.item()
    dropped = {made.train()(x, target).loss.item() for _ in range(3)}
    assert len(dropped) == 3 and all(loss > whole for loss in dropped)
    made.tail[1].register_forward_hook(lambda module, args, out: out)
    with pytest.raises(RuntimeError, match=r"tail\.1 should be the Sequential .* Attach it to tail\.1\.0 or"):
        made(x, target)
    made.eval()(x, target)


@pytest.mark.parametrize("place", ["head", "tail.1"])
def test_a_child_of_another_width_is_named(place):
    _, ours = both()
    setattr(ours.get_submodule(place.rpartition(".")[0]), place.rpartition(".")[2], nn.Linear(D, 3).double())
    x, target = batch()
    for call in (lambda: ours(x, target), lambda: ours.log_prob(x), lambda: ours.topk(x, 2)):
        with pytest.raises(RuntimeError, match=rf"{place} should give \d+ logits for each row, got an output of shape"):
            call()


def test_plain_children_are_not_called():
    # what makes the layer fast; and what is removed leaves nothing behind
    _, ours = both()
    attach(ours, "pruning", "head")
    prune.remove(ours.head, "weight")
    handle = ours.tail[0].register_forward_hook(lambda *args: None)
    handle.remove()
    x, target = batch()
    called = []
    # the search: of so few logits topk would look at all
    search = mock.patch.object(layer_room, "FEW_LOGITS", 0)
    with search, mock.patch.object(nn.Linear, "forward", lambda self, x: called.append(self)):
        ours(x, target)
        ours.topk(x, 3)
    assert not called


# ---------------------------------------------------------------- the embedding


def by_hand(embedding, ids):
    rows = []
    edges = [0, *embedding.cutoffs]
    for i in ids.tolist():
        rank = i if embedding.order is None else int((embedding.order == i).nonzero())
        cluster = sum(rank >= e for e in edges[1:-1])
        place = torch.tensor([rank - edges[cluster]])
        if not cluster:
            rows.append(embedding.head(place))
        else:
            rows.append(embedding.projections[cluster - 1](embedding.words[cluster - 1](place)))
    return torch.cat(rows)


EMBEDDED = ["forward hook", "forward pre-hook", "pruning", "weight norm", "parametrization"]


@pytest.mark.parametrize("place", ["head", "words.0", "projections.1"])
@pytest.mark.parametrize("name", EMBEDDED)
@pytest.mark.parametrize("route", ["routed", "static"])
def test_children_of_an_embedding(name, place, route, monkeypatch):
    if name == "forward pre-hook" and not place.startswith("projections"):
        pytest.skip("ids have no fractions")
    torch.manual_seed(0)
    embedding = AdaptiveEmbedding(V, D, CUTOFFS, 2.0, dtype=torch.float64, order=torch.randperm(V))
    attach(embedding, name, place)
    ids = torch.randint(V, (50,))
    with torch.no_grad():
        for p in embedding.parameters():
            p.add_(0.1)  # behind what a mask of old has kept
    expected = by_hand(embedding, ids)
    if route == "static":
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    close(embedding(ids), expected)
    embedding(ids).sum().backward()
    assert all(p.grad is not None for p in embedding.parameters())


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("tie_projections", [False, True])
@pytest.mark.parametrize(
    "name",
    ["forward hook", "pruning", "parametrization", *(name for name in ATTACHED if "norm" in name)],
)
def test_a_tied_embedding_reads_the_weights_that_the_layer_multiplies_by(name, place, tie_projections):
    _, layer = both()
    attach(layer, name, place)
    embedding = AdaptiveEmbedding.tied(layer, tie_projections=tie_projections)
    layer.eval()
    x, target = batch()
    layer(x, target)
    with torch.no_grad():
        for p in layer.parameters():
            p.add_(0.1)
    ids = torch.arange(V)
    words = embedding(ids)
    layer(x, target)  # now a mask of old has made its weight anew
    tails = [layer.tail[i][1].weight for i in range(2)]
    up = [layer.tail[i][0].weight.t() if tie_projections else embedding.projections[i].weight for i in range(2)]
    expected = [layer.head.weight[:5], *(w @ p.t() for w, p in zip(tails, up, strict=True))]
    close(words, torch.cat(expected))


@pytest.mark.parametrize("name", ["adapter", "subclass"])
@pytest.mark.parametrize("place", ["head", "tail.1.1"])
def test_a_tied_embedding_refuses_words_that_it_cannot_know(name, place):
    _, layer = both()
    embedding = AdaptiveEmbedding.tied(layer)
    attach(layer, name, place)
    with pytest.raises(RuntimeError, match=rf"the layer's {place} should be a torch.nn.Linear, .* got a "):
        embedding(torch.arange(3))
    layer.tail[0] = nn.Linear(D, 7).double()
    layer.head = nn.Linear(D, 7).double()
    with pytest.raises(RuntimeError, match=r"the layer's tail\.0 should be a Sequential of projection and words"):
        embedding(torch.arange(3))


# ---------------------------------------------------------------- tables are not weights


def modules():
    order = torch.randperm(V, generator=torch.Generator().manual_seed(2))
    kwargs = dict(dtype=torch.float64, order=order)
    yield AdaptiveSoftmax(D, V, CUTOFFS, 2.0, **kwargs)
    yield AdaptiveEmbedding(V, D, CUTOFFS, 2.0, **kwargs)


def asked(module, x, target):
    if isinstance(module, AdaptiveEmbedding):
        return [module(target)]
    return [*module(x, target), module.log_prob(x), module.topk(x, 3).indices]


@pytest.mark.parametrize("module", list(modules()), ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("decay", [0.9, 0.999, 1 / 3])
def test_averages_leave_tables_alone(module, decay):
    averaged = AveragedModel(module, use_buffers=True, multi_avg_fn=get_ema_multi_avg_fn(decay))
    x, target = batch(200)
    for _ in range(5):
        averaged.update_parameters(module)
    torch.testing.assert_close(asked(averaged.module, x, target), asked(module, x, target))
    assert torch.equal(averaged.module.order, module.order)


@pytest.mark.parametrize("module", list(modules()), ids=lambda m: type(m).__name__)
def test_averages_written_into_a_state_dict_leave_tables_alone(module):
    averaged = copy.deepcopy(module)
    x, target = batch(200)
    with torch.no_grad():
        for mine, other in zip(averaged.state_dict().values(), module.state_dict().values(), strict=True):
            mine.copy_(0.9 * mine + 0.1 * other)
    torch.testing.assert_close(asked(averaged, x, target), asked(module, x, target))


@pytest.mark.parametrize("module", list(modules()), ids=lambda m: type(m).__name__)
def test_an_averaged_checkpoint_loads_or_is_refused(module):
    state = {k: 0.9 * v + 0.1 * v for k, v in module.state_dict().items()}
    assert state["order"].is_floating_point()
    copy.deepcopy(module).load_state_dict(state)
    # the mean of two orders is no order
    state["order"] = (module.order + module.order.flip(0)) / 2
    with pytest.raises(RuntimeError, match="order of the checkpoint differs from this module's"):
        module.load_state_dict(state)
    for bad in (torch.ones(V, dtype=torch.bool), "order", module.order[:-1], module.order.view(4, 5)):
        with pytest.raises(RuntimeError, match="order of the checkpoint should"):
            module.load_state_dict(state | {"order": bad})


def test_no_buffers():
    for module in modules():
        assert not list(module.buffers())
        assert "order" in module.state_dict()


@pytest.mark.parametrize("module", list(modules()), ids=lambda m: type(m).__name__)
def test_tables_are_found_where_only_the_weights_were_moved(module):
    # as sharding does, which knows parameters and buffers only
    x, target = batch()
    expected = asked(module, x, target)
    for name, table in module._tables.items():
        setattr(module, name, None if table is None else table.to("meta"))
    torch.testing.assert_close(asked(module, x, target), expected)
    assert module._edges.device.type == module._ranks.device.type == "cpu"
