"""Routing of tokens to clusters, and linear + cross entropy in chunks.

The negative log-likelihood of adaptive softmax is exactly a sum of ordinary cross entropies: one over the head
for every token, and one over tail i for the tokens of tail i. So all that is special happens before (which token
goes where: :func:`route`) and after (the sum). The cross entropies are computed chunk by chunk: the logits of a
chunk live in one buffer that every chunk reuses, and are never kept for backward.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import warnings
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .tuning import CHUNK_ELEMENTS, CHUNK_ROWS, GPU_CHUNK_ELEMENTS
from .watchers import batched_gradient

_LOW_PRECISION = (torch.float16, torch.bfloat16)


class Routing(NamedTuple):
    """Where each token of a batch goes. ``N`` tokens, ``J`` tails."""

    permutation: Tensor
    """(N,) int64: token numbers, sorted by their target's rank; ignored tokens come last."""
    ranks: Tensor
    """(N,) int64: the sorted targets, as ranks."""
    sizes: list[int]
    """J + 2 numbers: tokens of the short-list, of each tail, ignored ones. They sum to N."""

    @property
    def n_tokens(self) -> int:
        """Tokens that count, i.e. all but the ignored ones."""
        return sum(self.sizes[:-1])


def target_ranks(target: Tensor, n_classes: int, ignore_index: int, rank_of_id: Tensor | None) -> Tensor:
    """Targets as ranks: ``V`` stands for an ignored token, ``-1`` or ``V + 1`` for one out of range.

    ``target`` (N,) holds the user's ids, ``rank_of_id`` (V,) or None maps them to ranks. Shape (N,), int64.
    """
    ids = target.long().contiguous()  # a look for their places among the edges wants them so
    ranks = ids.clamp(-1, n_classes)
    if rank_of_id is not None:
        # out-of-range ids must not index the table: they look up another's rank, and do not keep it
        inside = ids.clamp(0, n_classes - 1)
        ranks = torch.where(inside == ids, rank_of_id.index_select(0, inside), ranks)
    ranks = ranks.masked_fill(ids >= n_classes, n_classes + 1)
    if target.dtype == torch.uint64 and ignore_index < 0:
        return ranks  # ids from 2^63 on have come out negative: out of range, and not what is ignored
    # the comparison is made on the user's ids, so that ignore_index may also be a class
    return ranks.masked_fill(ids == ignore_index, n_classes)


def span(ids: Tensor) -> str:
    """The smallest and the largest of some ids, of any integer dtype, for a message."""
    numbers = ids.tolist()
    return f"[{min(numbers)}, {max(numbers)}]"


def route(ranks: Tensor, edges: Tensor) -> tuple[Routing, int]:
    """Sort tokens by cluster with one sort and one host read.

    ``ranks`` (N,) as from :func:`target_ranks`; ``edges`` = [0, c_1, ..., c_J, V, V + 1] on the same device.
    Returns the routing and the number of targets out of range. The host read brings the cluster sizes and that
    number together; without sizes on the host no tail could be given just its own tokens.
    """
    ordered, permutation = torch.sort(ranks, stable=True)
    bounds = torch.searchsorted(ordered, edges).tolist()
    sizes = [b - a for a, b in pairwise(bounds)]
    return Routing(permutation, ordered, sizes), len(ranks) - sum(sizes)


def chunk_rows(n_rows: int, n_words: int, on_gpu: bool = False) -> int:
    """Rows of a chunk for ``n_rows`` tokens and ``n_words`` logits each."""
    low, high = CHUNK_ROWS
    if on_gpu:
        return max(1, min(n_rows, max(low, GPU_CHUNK_ELEMENTS // max(n_words, 1))))
    return max(1, min(n_rows, high, max(low, CHUNK_ELEMENTS // max(n_words, 1))))


def linear_nll(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    target: Tensor,
    *,
    row_weight: Tensor | float = 1.0,
    gradients: tuple[bool, bool, bool] = (False, False, False),
    rows: int | None = None,
    into: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """Per-row cross entropy of ``softmax(x @ weight.T + bias)``, and on request its gradients, in one pass.

    Shapes: ``x`` (n, d), ``weight`` (k, d), ``bias`` (k,) or None, ``target`` (n,) in 0..k-1. ``gradients`` says
    which of x, weight and bias get one. They are those of ``sum(row_weight * nll)``; ``row_weight`` is (n,) or
    one number. ``rows``: rows of a chunk (default :func:`chunk_rows`). ``into``: losses (m,) and places (n,), each at
    most once, to whose losses those of the rows are added.

    Returns nll (n,), or what they were added to; dx, dweight, dbias. nll is fp32 for fp16 and bf16 inputs, where
    dweight and dbias are summed over chunks and returned in fp32 as well.
    """
    n, k = x.shape[0], weight.shape[0]
    low = x.dtype in _LOW_PRECISION
    statistics = torch.float32 if low else x.dtype
    want_x, want_w, want_b = gradients
    dw: Tensor | None = None
    rows = chunk_rows(n, k, x.is_cuda) if rows is None else rows
    # a uniform weight rides along in the products for free
    alpha = 1.0 if isinstance(row_weight, Tensor) else row_weight
    kernel = _kernel(x.device) if x.is_cuda and x.dtype != torch.float64 else None
    if kernel is not None and n:
        weights = row_weight.float() if isinstance(row_weight, Tensor) else None
        return kernel.dense_nll(x, weight, bias, target, weights, gradients, alpha=alpha, rows=rows, into=into)  # type: ignore[no-any-return]
    db = weight.new_zeros(k, dtype=statistics) if want_b else None
    buffers = None if n <= rows else (x.new_empty(rows, k), x.new_empty(rows, k, dtype=statistics) if low else None)
    dx = torch.empty_like(x) if want_x and buffers is not None else None
    on_host = not low and _on_host(x)
    losses = []

    for start in range(0, n, rows):
        x_c, t_c, dx_c, logits, probs = x, target, None, None, None
        if buffers is not None:  # a small batch is worth the fewer calls
            x_c, t_c = x[start : start + rows], target[start : start + rows]
            dx_c = None if dx is None else dx[start : start + rows]
            logits, probs = (None if v is None else v[: len(x_c)] for v in buffers)
        t_c = t_c.unsqueeze(1)
        if bias is None:
            logits = torch.mm(x_c, weight.t(), out=logits)
        else:
            logits = torch.addmm(bias, x_c, weight.t(), out=logits)
        if on_host:
            probs = torch.softmax(logits, 1, out=logits)
            p = probs.gather(1, t_c)
            numbers = p.numpy()
            losses.append(_nll_on_host(x_c, weight, bias, probs, p, numbers, t_c))
        else:
            wanted = logits.gather(1, t_c).squeeze(1).to(statistics)
            largest = logits.amax(1).to(statistics)
            if low:
                probs = torch.softmax(logits, 1, dtype=statistics, out=probs)
            else:
                probs = torch.softmax(logits, 1, out=logits)
            # log-sum-exp = max logit - log(its probability): softmax has done the sum already, and the largest
            # probability is at least 1/k, so its logarithm is safe where the target's own may have underflowed.
            # The difference comes first: it is exact for a target that wins, however large the logits.
            losses.append((largest - wanted) - probs.amax(1).log())
        if not (want_x or want_w or want_b):
            continue
        if on_host:
            numbers -= 1  # in place; for few numbers in a quarter of the time that torch takes
            probs.scatter_(1, t_c, p)
        else:
            probs.scatter_add_(1, t_c, torch.full_like(t_c, -1, dtype=statistics))
        if isinstance(row_weight, Tensor):
            probs.mul_(row_weight[start : start + rows].to(statistics).unsqueeze(1))
        if low:
            logits.copy_(probs)  # the products run in x's precision, on tensor cores where there are any
        # with beta = 0 the first argument is not looked at
        if want_x:
            dx_c = torch.addmm(x_c, logits, weight, beta=0, alpha=alpha, out=dx_c)
            dx = dx_c if buffers is None else dx
        if want_w and low:
            product = torch.mm(logits.t(), x_c).to(statistics).mul_(alpha)
            dw = product if dw is None else dw.add_(product)
        elif want_w:
            dw = torch.addmm(weight if dw is None else dw, logits.t(), x_c, beta=int(start > 0), alpha=alpha, out=dw)
        if db is not None:
            db.add_(probs.sum(0), alpha=alpha)
    if not n:
        dx = torch.empty_like(x) if want_x else None
        dw = torch.zeros_like(weight, dtype=statistics) if want_w else None
    nll = losses[0] if len(losses) == 1 else torch.cat([x.new_empty(0, dtype=statistics), *losses])
    return nll if into is None else into[0].index_add_(0, into[1], nll), dx, dw, db


@functools.cache
def ragged_or_none() -> Any:
    """:mod:`adasoft.gpu.ops`, or None where Triton is not installed, or is but cannot be imported (which is said)."""
    try:
        if importlib.util.find_spec("triton") is None:
            return None
        from .gpu import ops as ragged
    except Exception as error:  # built for another Python, half installed, too old
        _say_without_triton("Triton is installed but cannot be imported", error)
        return None
    return ragged


@functools.cache
def _kernel(device: torch.device) -> Any:
    """:mod:`adasoft.gpu.ops` for its :func:`~adasoft.gpu.ops.dense_nll`, where Triton is installed and runs.

    Its kernel reads and writes the logits once or twice; PyTorch's own operations pass over them some ten times.
    """
    ragged = ragged_or_none()
    if ragged is None or ragged.INTERPRETED:
        return None
    try:
        logits, target = torch.zeros(1, 16, device=device), torch.zeros(1, dtype=torch.long, device=device)
        ragged.softmax_rows(logits, target, None, logits.new_empty(1), 0, True)
    except Exception as error:  # a GPU too old for it, no C compiler: the layer works all the same
        _say_without_triton(f"Triton does not run on {device}", error)
        return None
    return ragged


def _say_without_triton(what: str, error: Exception) -> None:
    text = (str(error).strip().splitlines() or [""])[0]
    warnings.warn(
        f"{what} ({type(error).__name__}: {text}): the loss is computed by PyTorch's own operations there, which takes "
        "longer",
        RuntimeWarning,
        stacklevel=3,
    )


def _on_host(x: Tensor) -> bool:
    """Whether numbers can be looked at without stalling a queue."""
    return x.is_cpu


def _nll_on_host(
    x: Tensor, weight: Tensor, bias: Tensor | None, probs: Tensor, p: Tensor, numbers: Any, target: Tensor
) -> Tensor:
    """Minus the logarithm of the target's probability ``p`` (n, 1), where a look at the ``numbers`` in it is free.

    It spares the two passes over all logits that finding the largest ones takes, a few per cent of a step on a CPU.
    Rows whose target has next to no probability (or is nan) go by the most probable word j instead:
    log-sum-exp = logit_j - log p_j, with the two logits computed once more.
    """
    out = p.log().neg_().squeeze(1)
    if not np.minimum.reduce(numbers, axis=None) > 1e-30:
        lost = torch.from_numpy((~(numbers > 1e-30)).nonzero()[0])
        top, j = probs[lost].max(1)
        best, wanted = ((x[lost] * weight[i]).sum(1) for i in (j, target[lost, 0]))
        if bias is not None:
            best, wanted = best + bias[j], wanted + bias[target[lost, 0]]
        out[lost] = (best - wanted) - top.log()
    return out


def autocasts(x: Tensor) -> bool:
    """Whether autocast chooses the dtype of a product with ``x``. It leaves fp64 alone; a meta device has none."""
    return x.dtype != torch.float64 and not x.is_meta and torch.is_autocast_enabled(x.device.type)


def full_precision(device: str) -> contextlib.AbstractContextManager[Any]:
    """Autocast off. Entering the context costs as much as a small product, so only where it is on."""
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else contextlib.nullcontext()


class Group(NamedTuple):
    """One cross entropy over n tokens and k words, of the logits ``x weight^T + bias``.

    For a tail ``x`` is None and stands for ``noise * (x0[rows] projection^T)``, where x0 is the first group's x: the
    tokens of a tail are some of the head's. Their losses are added to the first group's, and gradients meet in x0's.

    All fields are tensors, or None; or, of the same form, whether a gradient is needed.
    """

    x: Any
    """(n, d) or None"""
    weight: Any
    """(k, d), or (k, d_i) behind a projection."""
    bias: Any
    """(k,) or None"""
    target: Any
    """(n,) int64, each from 0 to k - 1."""
    rows: Any = None
    """(n,) int64: places in x0, each at most once."""
    projection: Any = None
    """(d_i, d)"""
    noise: Any = None
    """(n, d_i), or None: what dropout multiplies projected rows by."""


def _grouped(flat: Sequence[Any]) -> list[Group]:
    n = len(Group._fields)
    return [Group._make(flat[i : i + n]) for i in range(0, len(flat), n)]


class _GroupedNLL(torch.autograd.Function):
    """Cross entropies of several groups (head, tails) and the weighted sum of all of them.

    The gradients of the sum are made in forward, while a chunk's logits are at hand: three products per group
    instead of the four that recomputing would take, and no logits kept. If backward asks for anything else
    (per-token gradients, a second backward through the same graph) the logits are computed once more.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, scale: float, early: bool, *flat: Tensor | None
    ) -> tuple[Tensor, ...]:
        groups = _grouped(flat)
        # fp16 gradients times 1/n would underflow before a loss scale reaches them: scale later, in fp32
        alpha = 1.0 if groups[0].x.dtype in _LOW_PRECISION else scale
        needs = ctx.needs_input_grad[2:] if early else (False,) * len(flat)
        losses, made = _in_one_pass(groups, _grouped(needs), [alpha] * len(groups))
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*flat)
        ctx.scale, ctx.alpha, ctx.pending = scale, alpha, scale / alpha if alpha else 0.0
        ctx.early, ctx.made = early, made if early else None
        return (*losses, (torch.cat(losses) if len(losses) > 1 else losses[0]).sum().mul_(scale))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        *per_token, total = grads
        flat, needs = ctx.saved_tensors, ctx.needs_input_grad[2:]
        # a graph of the gradients is asked for; or they come as several at once, for which there are no buffers
        differentiable = torch.is_grad_enabled() or any(map(batched_gradient, grads))
        sum_alone = all(g is None for g in per_token) and not differentiable
        if total is not None and sum_alone and ctx.made is not None:
            # hand the buffers over and forget them, so that they become .grad without a copy
            made, ctx.made = ctx.made, None
            return (None, None, *_scaled(made, flat, total, ctx.pending))
        with full_precision(flat[0].device.type):
            groups = _grouped(flat)
            if total is not None and sum_alone and ctx.early:
                # as in forward, so that each backward gives the same bits
                _, made = _in_one_pass(groups, _grouped(needs), [ctx.alpha] * len(groups))
                return (None, None, *_scaled(made, flat, total, ctx.pending))
            left = list(per_token)
            row_weights: list[Tensor] = []
            for group in groups:
                if group.rows is None:
                    row_weights.append(_row_weight(left.pop(0), total, ctx.scale, len(group.target), flat[0]))
                else:
                    row_weights.append(row_weights[0].index_select(0, group.rows))
            if differentiable:
                return (None, None, *_differentiable(flat, needs, row_weights))
            _, made = _in_one_pass(groups, _grouped(needs), row_weights)
            return (None, None, *(_like(g, v) for g, v in zip(made, flat, strict=True)))


def _in_one_pass(
    groups: list[Group], needs: list[Group], row_weights: Sequence[Tensor | float]
) -> tuple[list[Tensor], list[Tensor | None]]:
    """Losses of each group, a tail's among the first's; and the gradients needed, as the flat groups lie."""
    losses: list[Tensor] = []
    made: list[Tensor | None] = []
    for group, need, row_weight in zip(groups, needs, row_weights, strict=True):
        x, weight, bias, target, rows, projection, noise = group
        if rows is None:
            want = need.x, need.weight, need.bias
            nll, *gradients = linear_nll(x, weight, bias, target, row_weight=row_weight, gradients=want)
            losses.append(nll)
            made += [*gradients, None, None, None, None]
            continue
        x, dx = groups[0].x.index_select(0, rows), made[0]
        h = torch.mm(x, projection.t())
        h = h if noise is None else h.mul_(noise)
        want = dx is not None or need.projection, need.weight, need.bias
        _, dh, dw, db = linear_nll(
            h, weight, bias, target, row_weight=row_weight, gradients=want, into=(losses[0], rows)
        )
        if dh is not None and noise is not None:
            dh.mul_(noise)
        if dh is not None and dx is not None:
            dx.index_add_(0, rows, torch.mm(dh, projection))
        made += [None, dw, db, None, None, _outer(dh, x) if need.projection else None, None]
    return losses, made


def _outer(a: Any, x: Tensor) -> Tensor:
    """``a^T x`` of (n, m) and (n, d): (m, d). In low precision, sums beyond a chunk of rows are in fp32."""
    if x.dtype not in _LOW_PRECISION:
        return torch.mm(a.t(), x)
    if x.is_cuda:  # sums are in fp32 there
        return product(a.t(), x, whole=True)
    parts = zip(*(torch.split(v, CHUNK_ROWS[1]) for v in (a, x)), strict=True)
    return sum(torch.mm(p.t(), q).float() for p, q in parts)  # type: ignore[return-value]


def product(a: Tensor, b: Tensor, *, whole: bool) -> Tensor:
    """``a b`` in fp16 or bf16; the ``whole`` of a gradient, where the device can, in fp32 and so not yet rounded."""
    if whole and a.is_cuda and _products_in_fp32(a.device, a.dtype):
        return torch.mm(a, b, out_dtype=torch.float32)
    return torch.mm(a, b)


@functools.cache
def _products_in_fp32(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether this PyTorch gives products of this dtype in fp32: on CUDA, from 2.8 on."""
    one = torch.ones(16, 16, device=device, dtype=dtype)
    try:
        return torch.mm(one, one, out_dtype=torch.float32).dtype == torch.float32
    except (TypeError, RuntimeError):
        return False


def _like(gradient: Tensor | None, value: Tensor | None) -> Tensor | None:
    if gradient is None or value is None or gradient.dtype == value.dtype:
        return gradient
    return gradient.to(value.dtype)


def _row_weight(per_token: Tensor | None, total: Tensor | None, scale: float, n: int, x: Tensor) -> Tensor:
    weight = torch.zeros(n, dtype=torch.float32 if x.dtype in _LOW_PRECISION else x.dtype, device=x.device)
    if total is not None:
        weight = weight + total * scale
    return weight if per_token is None else weight + per_token


def _scaled(
    made: list[Tensor | None], flat: tuple[Tensor | None, ...], total: Tensor, pending: float
) -> list[Tensor | None]:
    # On a CPU a look at the number is free and usually spares a pass over every gradient. On a GPU it would
    # stall the queue, and the pass is cheap.
    if pending == 1.0 and _on_host(total) and total.item() == 1.0:
        return [_like(g, v) for g, v in zip(made, flat, strict=True)]
    factor = total * pending

    def scaled(g: Tensor, v: Tensor | None) -> Tensor:
        if v is None or g.dtype == v.dtype:
            return g * factor
        return torch.mul(g, factor, out=torch.empty_like(g, dtype=v.dtype))  # one pass, rounded once

    return [None if g is None else scaled(g, v) for g, v in zip(made, flat, strict=True)]


def _differentiable(flat: Sequence[Any], needs: Sequence[bool], row_weights: list[Tensor]) -> list[Tensor | None]:
    """The same gradients by plain operations on whole logits: with a graph of their own where one is asked for."""
    create_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        # Aliases, and the row weights as grad_outputs: x may depend on weight (tied embeddings) and the upstream
        # gradients on both (a squared loss), and the gradients of this step must not run through either.
        aliases = [v.view_as(v) if need else v for v, need in zip(flat, needs, strict=True)]
        losses = []
        for x, weight, bias, target, rows, projection, noise in _grouped(aliases):
            if rows is not None:
                x = torch.nn.functional.linear(aliases[0].index_select(0, rows), projection)
                x = x if noise is None else x * noise
            logits = torch.nn.functional.linear(x, weight, bias).to(row_weights[0].dtype)
            losses.append(torch.nn.functional.cross_entropy(logits, target, reduction="none"))
    inputs = [v for v, need in zip(aliases, needs, strict=True) if need]
    made = iter(torch.autograd.grad(losses, inputs, row_weights, create_graph=create_graph))
    return [next(made) if need else None for need in needs]


def grouped_nll(groups: list[Group], scale: float, *, need_total: bool = True) -> tuple[list[Tensor], Tensor]:
    """Per-row losses of each group that is no tail, and ``scale`` times the sum of them all.

    Both are differentiable. ``need_total=False`` says that gradients will come through the per-row losses only,
    so none are made in forward.
    """
    flat = [v for group in groups for v in group]
    # the mean over no token has the scale nan, which must not multiply gradients that are zeros
    early = need_total and torch.is_grad_enabled() and len(groups[0].target) > 0
    *losses, total = _GroupedNLL.apply(scale, early, *flat)  # type: ignore[no-untyped-call]
    return losses, total
