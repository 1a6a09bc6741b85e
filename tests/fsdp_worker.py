"""One process of `test_distributed`: ways to shard the layer and its embedding, and checkpoints of them."""

from __future__ import annotations

import copy

import torch
from torch import distributed as dist
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, set_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torchrun_example import CUTOFFS, TOKENS, D, TinyModel, V, batches, shard

from adasoft import AdaptiveEmbedding, AdaptiveSoftmax


def make(kind: str, seed: int = 0) -> TinyModel:
    torch.manual_seed(seed)
    model = TinyModel()
    if kind == "untied":
        model.embedding = AdaptiveEmbedding(V, D, CUTOFFS, div_value=2, order=model.output.order, padding_idx=7)
    elif kind == "words and projections":
        model.embedding = AdaptiveEmbedding.tied(model.output, tie_projections=True)
    return model.double()


def check_step(kind: str, model: TinyModel, one: TinyModel) -> None:
    """A share of the batch, sharded, gives the loss and gradients of one process with the whole batch."""
    rank, half = dist.get_rank(), TOKENS // 2
    for words, following in batches()[:2]:
        for m in (model, one):
            m.zero_grad()
        mine = slice(rank * half, (rank + 1) * half)
        assert (following[half:] >= V - CUTOFFS[1]).all(), "rank 1 should miss the last tail"
        loss = model(words[mine], following[mine])
        loss.backward()
        whole = one(words, following)
        whole.backward()
        mean = loss.detach().clone()
        dist.all_reduce(mean)
        torch.testing.assert_close(mean / 2, whole.detach(), rtol=1e-12, atol=1e-12)
        for (name, p), q in zip(model.named_parameters(), one.named_parameters(), strict=True):
            assert name == q[0] and p.grad is not None
            torch.testing.assert_close(p.grad.full_tensor(), q[1].grad, rtol=1e-12, atol=1e-12, msg=f"{kind}: {name}")


def groups(mesh: dist.DeviceMesh) -> None:
    for kind in ("untied", "words", "words and projections"):
        model = make(kind)
        one = copy.deepcopy(model)
        if kind == "untied":
            fully_shard(model.embedding, mesh=mesh)
            fully_shard(model.output, mesh=mesh)
            fully_shard(model, mesh=mesh)
        else:
            shard(model)
        check_step(kind, model, one)
    model = make("words")
    one = copy.deepcopy(model)
    fully_shard(model, mesh=mesh)
    check_step("only the root", model, one)


def children(mesh: dist.DeviceMesh) -> None:
    """Each child in a group of its own: a tail is called on each process, or those with tokens would wait for ever."""
    model = make("untied")
    one = copy.deepcopy(model)
    for child in (model.output.head, *model.output.tail, *model.embedding.words, *model.embedding.projections):
        fully_shard(child, mesh=mesh)
    fully_shard(model, mesh=mesh)
    check_step("children", model, one)


def groups_apart(mesh: dist.DeviceMesh) -> None:
    model = make("words")
    fully_shard(model.output, mesh=mesh)
    fully_shard(model, mesh=mesh)
    try:
        model(*batches()[0])
    except RuntimeError as error:
        assert "fully_shard([embedding, layer])" in str(error)
    else:
        raise AssertionError("sharded words were read")


def in_place(mesh: dist.DeviceMesh) -> None:
    """What the modules return may be changed in place: FSDP2 would lose its hook on a view, and resharded words."""
    embedding = AdaptiveEmbedding(V, D, CUTOFFS, div_value=2, dtype=torch.float64)
    one = copy.deepcopy(embedding)
    fully_shard(embedding, mesh=mesh, reshard_after_forward=True)
    words = torch.arange(V).view(2, -1)
    for m in (embedding, one):
        x = m(words)
        x *= 2
        x.square().sum().backward()
    for p, q in zip(embedding.parameters(), one.parameters(), strict=True):
        torch.testing.assert_close(p.grad.full_tensor(), q.grad)


def mixed_precision(mesh: dist.DeviceMesh) -> None:
    model = make("words").float()
    one = copy.deepcopy(model)
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    fully_shard([model.embedding, model.output], mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)
    words, following = batches()[0]
    loss = model(words, following)
    loss.backward()
    one(words, following).backward()
    assert loss.dtype == torch.bfloat16
    for p, q in zip(model.parameters(), one.parameters(), strict=True):
        assert p.grad.dtype == torch.float32
        torch.testing.assert_close(p.grad.full_tensor(), q.grad, rtol=0.05, atol=0.02)


def decoding(mesh: dist.DeviceMesh) -> None:
    """Methods other than forward, before any forward, and in training."""
    torch.manual_seed(0)
    layer = AdaptiveSoftmax(D, V, CUTOFFS, div_value=2, order=torch.randperm(V), dtype=torch.float64)
    one = copy.deepcopy(layer)
    fully_shard(layer, mesh=mesh, reshard_after_forward=True)
    x = torch.randn(2, 3, D, dtype=torch.float64)
    try:
        layer.topk(x, 3)
    except RuntimeError as error:
        assert "DTensor" in str(error)
    else:
        raise AssertionError("sharded words were read: are the names of forward_methods still needed?")
    for name in AdaptiveSoftmax.forward_methods:
        register_fsdp_forward_method(layer, name)
    torch.testing.assert_close(layer.topk(x, 5), one.topk(x, 5))
    assert torch.equal(layer.predict(x), one.predict(x))
    candidates = torch.randint(V, (2, 3, 4))
    torch.testing.assert_close(layer.score(x, candidates), one.score(x, candidates))
    assert torch.equal(layer.opened(x, 1), one.opened(x, 1))
    for m in (layer, one):
        m.log_prob(x).square().sum().backward()
    for p, q in zip(layer.parameters(), one.parameters(), strict=True):
        assert type(p).__name__ == "DTensor"
        torch.testing.assert_close(p.grad.full_tensor(), q.grad)


def checkpoints(mesh: dist.DeviceMesh) -> None:
    """From one process to several and back, and from sharded to sharded."""
    full = StateDictOptions(full_state_dict=True)
    words, following = batches()[0]
    for kind in ("words", "words and projections"):
        one, model, other = make(kind), make(kind, seed=1), make(kind, seed=2)
        loss = one(words, following).detach()
        shard(model)
        shard(other)
        set_model_state_dict(model, one.state_dict(), options=full)
        torch.testing.assert_close(model(words, following).detach(), loss, rtol=1e-12, atol=1e-12)
        whole = get_model_state_dict(model, options=full)
        assert list(whole) == list(one.state_dict())
        assert all(torch.equal(whole[key], value) for key, value in one.state_dict().items())
        other.load_state_dict(model.state_dict())
        torch.testing.assert_close(other(words, following).detach(), loss, rtol=1e-12, atol=1e-12)


def main() -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    mesh = init_device_mesh("cpu", (2,))
    for check in (groups, children, groups_apart, in_place, mixed_precision, decoding, checkpoints):
        check(mesh)
        print(f"process {dist.get_rank()}: {check.__name__} holds")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
