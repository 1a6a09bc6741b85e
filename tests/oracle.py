"""The truth that the layer is held against, and what several test files share.

Values come from plain Python loops over rows, clusters and words in fp64; gradients from autograd through
:mod:`adasoft.reference`, whose values are checked against the loops. Neither shares a line with the code under test.
"""

from __future__ import annotations

import itertools
import math
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from adasoft.layer import AdaptiveSoftmax
from adasoft.reference import log_probabilities

# ---------------------------------------------------------------- values, by loops


def _log_softmax(logits: list[float]) -> list[float]:
    largest = max(logits)
    total = math.fsum(math.exp(z - largest) for z in logits)
    return [(z - largest) - math.log(total) for z in logits]


def _product(row: list[float], weight: list[list[float]]) -> list[float]:
    return [math.fsum(a * b for a, b in zip(row, w, strict=True)) for w in weight]


def log_prob(layer: AdaptiveSoftmax, rows: list[list[float]]) -> list[list[float]]:
    """The whole distribution of each row, in the order of the user's ids."""
    value = {name: p.detach().double().tolist() for name, p in layer.named_parameters()}
    edges = list(layer.cutoffs)
    id_of_rank = list(range(layer.n_classes)) if layer.order is None else layer.order.tolist()
    out = []
    for row in rows:
        head_logits = _product(row, value["head.weight"])
        if "head.bias" in value:
            head_logits = [z + b for z, b in zip(head_logits, value["head.bias"], strict=True)]
        head = _log_softmax(head_logits)
        words = [math.nan] * layer.n_classes
        for rank in range(edges[0]):
            words[id_of_rank[rank]] = head[rank]
        for i in range(len(edges) - 1):
            hidden = _product(row, value[f"tail.{i}.0.weight"])
            tail = _log_softmax(_product(hidden, value[f"tail.{i}.1.weight"]))
            for j, inside in enumerate(tail):
                words[id_of_rank[edges[i] + j]] = head[edges[0] + i] + inside
        out.append(words)
    return out


def outputs(layer: AdaptiveSoftmax, x: Tensor, target: Tensor) -> tuple[list[float], float]:
    """``output`` of each token, flat, and the loss; with reduction "none" the sum stands for the loss."""
    rows = x.detach().double().reshape(-1, layer.in_features).tolist()
    out, counted = [], 0
    for word, words in zip(target.reshape(-1).tolist(), log_prob(layer, rows), strict=True):
        if word == layer.ignore_index:
            out.append(0.0)
        else:
            out.append(words[word])
            counted += 1
    loss = -math.fsum(out)
    if layer.reduction == "mean":
        loss = loss / counted if counted else math.nan
    return out, loss


# ---------------------------------------------------------------- gradients, by autograd through a dense formula


def leaves(layer: AdaptiveSoftmax) -> dict[str, Tensor]:
    """fp64 copies of the parameters, to take gradients by."""
    return {name: p.detach().double().requires_grad_() for name, p in layer.named_parameters()}


def dense_log_prob(layer: AdaptiveSoftmax, value: dict[str, Tensor], x: Tensor) -> Tensor:
    """:func:`adasoft.reference.log_probabilities` in the order of the user's ids."""
    tails = [(value[f"tail.{i}.0.weight"], value[f"tail.{i}.1.weight"]) for i in range(len(layer.cutoffs) - 1)]
    out = log_probabilities(x, value["head.weight"], tails, value.get("head.bias"))
    return out if layer.order is None else out[..., layer.order.argsort()]


def dense_forward(layer: AdaptiveSoftmax, value: dict[str, Tensor], x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """``output`` and ``loss`` of the layer, dense and differentiable."""
    counted = target != layer.ignore_index
    ids = torch.where(counted, target, 0).long()
    picked = dense_log_prob(layer, value, x).gather(-1, ids.unsqueeze(-1)).squeeze(-1)
    output = torch.where(counted, picked, 0.0)
    if layer.reduction == "none":
        return output, -output
    loss = -output.sum()
    return output, loss / counted.sum() if layer.reduction == "mean" else loss


# ---------------------------------------------------------------- drawn cases


@dataclass
class Case:
    """One drawn layer with a batch and upstream gradients; a gradient of None means that part is not used."""

    layer: AdaptiveSoftmax
    x: Tensor
    target: Tensor
    d_output: Tensor | None
    d_loss: Tensor | float | None

    def objective(self, output: Tensor, loss: Tensor) -> Tensor:
        total = output.new_zeros(())
        if self.d_output is not None:
            total = total + (output * self.d_output).sum()
        if self.d_loss is not None:
            total = total + (loss * self.d_loss).sum()
        return total

    @property
    def counted(self) -> int:
        return int((self.target != self.layer.ignore_index).sum())


@st.composite
def cases(draw: Any) -> Case:
    """Layers of every shape that is legal, with batches that lean towards the corners."""
    seed = draw(st.integers(0, 2**31))
    d, n_classes = draw(st.integers(1, 12)), draw(st.integers(2, 40))
    cutoffs = sorted(draw(st.sets(st.integers(1, n_classes - 1), min_size=1, max_size=4)))
    if draw(st.booleans()):
        cutoffs = sorted({*cutoffs[:3], draw(st.sampled_from([1, n_classes - 1]))})
    widths = [draw(st.integers(1, 6)) for _ in cutoffs]
    ignored = draw(st.sampled_from(["never", "some", "class", "all"]))
    reduction = draw(st.sampled_from(["mean", "sum", "none"]))
    leading = draw(st.lists(st.integers(0, 4), max_size=3))
    where = draw(st.sampled_from(["anywhere", "short-list", "one tail", "one token per cluster"]))
    spread = draw(st.sampled_from([1.0, 30.0]))  # 30: some probabilities are far below the smallest fp32 number
    used = draw(st.sampled_from(["loss", "output", "both", "plain loss"]))
    head_bias, ordered = draw(st.booleans()), draw(st.booleans())

    random = torch.Generator().manual_seed(seed)
    order = torch.randperm(n_classes, generator=random) if ordered else None
    some_class = int(torch.randint(n_classes, (), generator=random))
    layer = AdaptiveSoftmax(
        d,
        n_classes,
        cutoffs,
        head_bias=head_bias,
        dtype=torch.float64,
        widths=widths,
        order=order,
        reduction=reduction,
        ignore_index=some_class if ignored == "class" else -100,
    )
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(torch.randn(p.shape, generator=random, dtype=p.dtype) * spread / p.shape[-1] ** 0.5)

    if where == "one token per cluster":
        leading = [len(cutoffs) + 1]
    n = math.prod(leading)
    edges = [0, *cutoffs, n_classes]
    bands = {"anywhere": (0, n_classes), "short-list": (0, cutoffs[0]), "one tail": (cutoffs[-1], n_classes)}
    spans = [bands[where]] * n if where in bands else list(itertools.pairwise(edges))
    ranks = [int(torch.randint(low, high, (), generator=random)) for low, high in spans]
    ids = torch.tensor(ranks, dtype=torch.long)
    ids = ids if order is None else order[ids]
    if ignored in ("some", "all"):
        chance = 0.4 if ignored == "some" else 1.1
        ids = torch.where(torch.rand(n, generator=random) < chance, layer.ignore_index, ids)
    x = torch.randn(*leading, d, generator=random, dtype=torch.float64)

    def upstream(shape: list[int]) -> Tensor:
        return torch.randn(shape, generator=random, dtype=torch.float64)

    loss_shape = leading if reduction == "none" else []
    d_loss = 1.0 if used == "plain loss" else upstream(loss_shape) if used in ("loss", "both") else None
    d_output = upstream(leading) if used in ("output", "both") else None
    return Case(layer, x, ids.view(leading), d_output, d_loss)


# ---------------------------------------------------------------- host reads

_READS = ("tolist", "item", "numpy", "cpu", "__bool__", "__int__", "__float__", "__index__", "__array__")
_SYNCHRONISING = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique", "is_nonzero")


class _Operations(TorchDispatchMode):
    def __init__(self, seen: list[str]) -> None:
        super().__init__()
        self.seen = seen

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.__name__.split(".")[0]
        # an index by a mask must know on the host how many rows it picks
        by_mask = name in ("index", "index_put", "index_put_") and any(
            isinstance(i, Tensor) and i.dtype in (torch.bool, torch.uint8) for i in args[1]
        )
        if by_mask or name.startswith(_SYNCHRONISING):
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


@contextmanager
def host_reads(monkeypatch: Any) -> Any:
    """The reads of the host that would stall a GPU, by name.

    ``tolist`` and ``numpy`` of a tensor on a CPU go past the dispatcher, so the methods are watched as well.
    """
    seen: list[str] = []

    def watched(name: str) -> Any:
        original = getattr(torch.Tensor, name)

        def method(self: Tensor, *args: Any, **kwargs: Any) -> Any:
            seen.append(name)
            return original(self, *args, **kwargs)

        return method

    with monkeypatch.context() as patch, _Operations(seen):
        for name in _READS:
            patch.setattr(torch.Tensor, name, watched(name))
        yield seen


# ---------------------------------------------------------------- two steps of training, for one process or two

N_STEPS = 2


def two_steps(model: torch.nn.Module, batches: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
    """Parameters after `N_STEPS` of gradient descent with momentum; every parameter must have a gradient."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    for x, target in batches:
        optimizer.zero_grad()
        model(x, target).loss.backward()
        assert all(p.grad is not None for p in model.parameters())
        optimizer.step()
    return [p.detach().clone() for p in model.parameters()]


def distributed_worker(rank: int, folder: str, n_processes: int) -> None:
    """One process of `test_distributed`: here, so that a spawned process can import it."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=n_processes
    )
    after = []
    for layer, batches in torch.load(f"{folder}/start.pt", weights_only=False):
        share = [(x.chunk(n_processes)[rank], t.chunk(n_processes)[rank]) for x, t in batches]
        after.append(two_steps(torch.nn.parallel.DistributedDataParallel(layer), share))
    torch.save(after, f"{folder}/end{rank}.pt")
    torch.distributed.destroy_process_group()
