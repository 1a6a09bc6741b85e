"""Routing of tokens to clusters, and linear + cross entropy in chunks, whose gradients are made in forward.

The negative log-likelihood of adaptive softmax is exactly a sum of ordinary cross entropies: one over the head
for every token, and one over tail i for the tokens of tail i. So all that is special happens before (which token
goes where: :func:`route`) and after (the sum).

The cross entropies are computed chunk by chunk. The logits of a chunk live in one buffer that every chunk reuses, and
are never kept for backward. Instead, forward also computes the gradients of the summed loss, while a chunk's logits are
there. These gradients, dx and all dW, stay alive until backward, which scales them and hands them over
(:func:`early_nll`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, linear

from . import gpu
from .gpu.products import product
from .tuning import CHUNK_ELEMENTS, CHUNK_ROWS, GPU_CHUNK_ELEMENTS
from .watchers import batched_gradient, full_precision

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


def span(ids: Tensor) -> str:
    """The smallest and the largest of some ids, of any integer dtype, for a message."""
    numbers = ids.tolist()
    return f"[{min(numbers)}, {max(numbers)}]"


def route(ranks: Tensor, edges: Tensor) -> tuple[Routing, int]:
    """Sort tokens by rank, and so by cluster, with one sort and one read on the host.

    ``ranks`` (N,) as from :func:`adasoft.ranks.target_ranks`; ``edges`` = [0, c_1, ..., c_J, V, V + 1] on the same
    device. Returns the routing and the number of targets out of range. One read brings the cluster sizes and that
    number to the host together: PyTorch needs the sizes there to slice out a tail's tokens.
    """
    # stable: tokens of the same rank stay in the order of the batch, on every device
    ordered, permutation = torch.sort(ranks, stable=True)
    bounds = torch.searchsorted(ordered, edges).tolist()
    sizes = [b - a for a, b in pairwise(bounds)]
    return Routing(permutation, ordered, sizes), len(ranks) - sum(sizes)


def chunk_rows(n_rows: int, n_words: int, on_gpu: bool = False) -> int:
    """Rows of a chunk for ``n_rows`` tokens and ``n_words`` logits each."""
    least, most = CHUNK_ROWS
    if on_gpu:
        return max(1, min(n_rows, max(least, GPU_CHUNK_ELEMENTS // max(n_words, 1))))
    return max(1, min(n_rows, most, max(least, CHUNK_ELEMENTS // max(n_words, 1))))


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
    one number. ``rows``: rows of a chunk (default :func:`chunk_rows`). ``into`` = (losses (m,), index (n,)): nll is
    added to ``losses[index]``. The index has no duplicates.

    Returns nll (n,), or ``losses`` (m,) if ``into`` is given; dx, dweight, dbias, each None if not asked for. nll is
    fp32 for fp16 and bf16 inputs; dweight and dbias are then summed over chunks and returned in fp32 as well.
    """
    n, k = x.shape[0], weight.shape[0]
    half = x.dtype in _LOW_PRECISION
    sum_dtype = torch.float32 if half else x.dtype  # of losses, probabilities and sums over chunks
    want_x, want_w, want_b = gradients
    dw: Tensor | None = None
    rows = chunk_rows(n, k, x.is_cuda) if rows is None else rows
    # one number for all rows is a factor of the products, which costs nothing
    alpha = 1.0 if isinstance(row_weight, Tensor) else row_weight

    # On a GPU with Triton: kernels for everything between the matrix products.
    ops = gpu.on(x.device) if x.is_cuda and x.dtype != torch.float64 else None
    if ops is not None and n:
        weights = row_weight.float() if isinstance(row_weight, Tensor) else None
        return ops.dense_nll(x, weight, bias, target, weights, gradients, alpha=alpha, rows=rows, into=into)  # type: ignore[no-any-return]

    # Buffers that every chunk reuses: for logits, and in half precision for fp32 probabilities. A single chunk needs no
    # slicing and no preallocated buffers.
    db = weight.new_zeros(k, dtype=sum_dtype) if want_b else None
    buffers = None if n <= rows else (x.new_empty(rows, k), x.new_empty(rows, k, dtype=sum_dtype) if half else None)
    dx = torch.empty_like(x) if want_x and buffers is not None else None
    on_host = not half and _on_host(x)
    losses = []

    for start in range(0, n, rows):
        # Logits of a chunk of rows (_c).
        x_c, t_c, dx_c, logits, probs = x, target, None, None, None
        if buffers is not None:
            x_c, t_c = x[start : start + rows], target[start : start + rows]
            dx_c = None if dx is None else dx[start : start + rows]
            logits, probs = (None if v is None else v[: len(x_c)] for v in buffers)
        t_c = t_c.unsqueeze(1)
        if bias is None:
            logits = torch.mm(x_c, weight.t(), out=logits)
        else:
            logits = torch.addmm(bias, x_c, weight.t(), out=logits)

        # Probabilities and losses. Except in half precision, the probabilities replace the logits.
        if on_host:
            probs = torch.softmax(logits, 1, out=logits)
            p = probs.gather(1, t_c)
            numbers = p.numpy()  # a view of p
            losses.append(_nll_on_host(x_c, weight, bias, probs, p, numbers, t_c))
        else:
            wanted = logits.gather(1, t_c).squeeze(1).to(sum_dtype)
            largest = logits.amax(1).to(sum_dtype)
            if half:
                probs = torch.softmax(logits, 1, dtype=sum_dtype, out=probs)
            else:
                probs = torch.softmax(logits, 1, out=logits)
            # log-sum-exp = max logit - log(its probability): softmax has done the sum already, and the largest
            # probability is at least 1/k, so its logarithm is safe where the target's own may have underflowed.
            # The difference comes first: it is exact for a target that wins, however large the logits.
            losses.append((largest - wanted) - probs.amax(1).log())
        if not (want_x or want_w or want_b):
            continue

        # Gradient of the logits, in their place: probabilities less 1 at the target, times the row's weight.
        if on_host:
            numbers -= 1  # changes p; for few numbers in a quarter of the time that torch takes
            probs.scatter_(1, t_c, p)
        else:
            probs.scatter_add_(1, t_c, torch.full_like(t_c, -1, dtype=sum_dtype))
        if isinstance(row_weight, Tensor):
            probs.mul_(row_weight[start : start + rows].to(sum_dtype).unsqueeze(1))
        if half:
            logits.copy_(probs)  # the products run in x's precision, on tensor cores where there are any
        dlogits = logits  # logits now holds their gradient: it is probs, or was copied from it

        # Gradients of input, weights and bias. With beta = 0 addmm ignores its first argument: any tensor that fits.
        if want_x:
            dx_c = torch.addmm(x_c, dlogits, weight, beta=0, alpha=alpha, out=dx_c)
            dx = dx_c if buffers is None else dx
        if want_w and half:
            part = torch.mm(dlogits.t(), x_c).to(sum_dtype).mul_(alpha)
            dw = part if dw is None else dw.add_(part)
        elif want_w:
            dw = torch.addmm(weight if dw is None else dw, dlogits.t(), x_c, beta=int(start > 0), alpha=alpha, out=dw)
        if db is not None:
            db.add_(probs.sum(0), alpha=alpha)

    # Without rows no chunk has made the gradients.
    if not n:
        dx = torch.empty_like(x) if want_x else None
        dw = torch.zeros_like(weight, dtype=sum_dtype) if want_w else None
    nll = losses[0] if len(losses) == 1 else torch.cat([x.new_empty(0, dtype=sum_dtype), *losses])
    return nll if into is None else into[0].index_add_(0, into[1], nll), dx, dw, db


def _on_host(x: Tensor) -> bool:
    """Whether the host can read tensor values without a device synchronisation."""
    return x.is_cpu


def _nll_on_host(
    x: Tensor, weight: Tensor, bias: Tensor | None, probs: Tensor, p: Tensor, numbers: Any, target: Tensor
) -> Tensor:
    """Minus the logarithm of the target's probability ``p`` (n, 1), where reading its values is free.

    ``numbers`` is a NumPy view of ``p``. The largest logit and its probability are not needed here, which saves two
    passes over a chunk, a few per cent of a step on a CPU. Only rows whose target has next to no probability (or is
    nan) go by the most probable word j: log-sum-exp = logit_j - log p_j, with both logits computed once more.
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


# ---------------------------------------------------------------- gradients that are computed in forward

#: (flat, needs, weights) -> losses of rows, and the gradients of ``sum(weights * losses)``. ``flat``: all fields of all
#: groups (:class:`Group`), in a row. ``needs``: for each, whether its gradient is needed; the gradients come in the
#: same order, None where not. ``weights``: one tensor for each of the losses, or one number for all.
OnePass: TypeAlias = Callable[[Sequence[Any], Sequence[bool], list[Tensor] | float], tuple[list[Tensor], list[Any]]]
#: (flat, dtype) -> the same losses by plain operations on whole logits, which are of this dtype.
PlainLosses: TypeAlias = Callable[[Sequence[Any], torch.dtype], list[Tensor]]


def early_nll(
    in_one_pass: OnePass, plain: PlainLosses, flat: Sequence[Tensor | None], scale: float, need_total: bool
) -> tuple[list[Tensor], Tensor]:
    """Losses of rows, and ``scale`` times the sum of them all. Both are differentiable with respect to ``flat``.

    ``flat`` holds all fields of all groups, in a row; ``flat[0]`` has the dtype of the products.

    The gradients of the sum are computed in forward, while a chunk's logits are there: three products instead of the
    four that recomputing would take, and no logits kept. If backward asks for anything else (per-row gradients, a
    second backward through the same graph) the logits are computed once more. ``need_total=False`` says that gradients
    will come through the per-row losses only, so none are computed in forward.
    """
    *losses, total = _EarlyNLL.apply(  # type: ignore[no-untyped-call]
        in_one_pass, plain, scale, need_total and torch.is_grad_enabled(), *flat
    )
    return losses, total


class _EarlyNLL(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, in_one_pass: OnePass, plain: PlainLosses, scale: float, early: bool, *flat: Tensor | None
    ) -> tuple[Tensor, ...]:
        # alpha is applied in forward and pending left for backward: alpha * pending = scale. fp16 gradients times 1/n
        # would underflow before a loss scale reaches them, so they are scaled later, in fp32.
        alpha = 1.0 if flat[0].dtype in _LOW_PRECISION else scale  # type: ignore[union-attr]
        # without tokens the gradients are zeros, and the mean has the scale nan, which must not multiply them
        ctx.early = early and len(flat[0]) > 0  # type: ignore[arg-type]
        needs = ctx.needs_input_grad[4:] if ctx.early else (False,) * len(flat)
        losses, gradients = in_one_pass(flat, needs, alpha)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*flat)
        ctx.in_one_pass, ctx.plain, ctx.gradients = in_one_pass, plain, gradients if ctx.early else None
        ctx.scale, ctx.alpha, ctx.pending = scale, alpha, scale / alpha if alpha else 0.0
        ctx.losses = [(len(nll), nll.dtype, nll.device) for nll in losses]
        return (*losses, (torch.cat(losses) if len(losses) > 1 else losses[0]).sum().mul_(scale))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:  # type: ignore[override]
        *per_row, total = grads
        flat, needs = ctx.saved_tensors, ctx.needs_input_grad[4:]
        # a graph of the gradients is asked for, or they are batched (vmap), which the in-place code cannot handle
        differentiable = torch.is_grad_enabled() or any(map(batched_gradient, grads))
        with full_precision(flat[0].device.type):
            # The sum alone: hand over what forward computed and forget it, so that it becomes .grad without a copy.
            if total is not None and ctx.early and not differentiable and all(g is None for g in per_row):
                gradients, ctx.gradients = ctx.gradients, None
                if gradients is None:  # as in forward, so that each backward gives the same bits
                    _, gradients = ctx.in_one_pass(flat, needs, ctx.alpha)
                return None, None, None, None, *_scaled(gradients, flat, total, ctx.pending)
            # Anything else: a weight for each row.
            weights = []
            for gradient, (n, dtype, device) in zip(per_row, ctx.losses, strict=True):
                weight = torch.zeros(n, dtype=dtype, device=device)
                weight = weight if total is None else weight + total * ctx.scale
                weights.append(weight if gradient is None else weight + gradient)
            if differentiable:
                gradients = _differentiable(ctx.plain, flat, needs, weights)
            else:
                _, gradients = ctx.in_one_pass(flat, needs, weights)
            return None, None, None, None, *map(_like, gradients, flat)


def _like(gradient: Tensor | None, value: Tensor | None) -> Tensor | None:
    if gradient is None or value is None or gradient.dtype == value.dtype:
        return gradient
    return gradient.to(value.dtype)


def _scaled(
    gradients: list[Tensor | None], flat: Sequence[Tensor | None], total: Tensor, pending: float
) -> list[Tensor | None]:
    # On a CPU reading the number is free and usually saves a pass over every gradient. On a GPU it would have to wait
    # for the device, and the pass is cheap.
    if pending == 1.0 and _on_host(total) and total.item() == 1.0:
        return [_like(g, v) for g, v in zip(gradients, flat, strict=True)]
    factor = total * pending

    def scaled(g: Tensor, v: Tensor | None) -> Tensor:
        if v is None or g.dtype == v.dtype:
            return g * factor
        return torch.mul(g, factor, out=torch.empty_like(g, dtype=v.dtype))  # one pass, rounded once

    return [None if g is None else scaled(g, v) for g, v in zip(gradients, flat, strict=True)]


def _differentiable(
    plain: PlainLosses, flat: Sequence[Any], needs: Sequence[bool], weights: list[Tensor]
) -> list[Tensor | None]:
    """The same gradients by plain operations on whole logits, themselves differentiable where grad mode is on."""
    create_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        # Differentiate with respect to aliases, so that autograd stops there even if x depends on weight (tied
        # embeddings). Pass the upstream gradients as grad_outputs, so that autograd does not follow them either: they
        # may depend on both (a squared loss).
        aliases = [v.view_as(v) if need else v for v, need in zip(flat, needs, strict=True)]
        losses = plain(aliases, weights[0].dtype)
    inputs = [v for v, need in zip(aliases, needs, strict=True) if need]
    gradients = iter(torch.autograd.grad(losses, inputs, weights, create_graph=create_graph))
    return [next(gradients) if need else None for need in needs]


# ---------------------------------------------------------------- head and tails


class Group(NamedTuple):
    """One cross entropy over n tokens and k words, of the logits ``x weight^T + bias``.

    For a tail ``x`` is None and stands for ``dropout_mask * (x0[rows] projection^T)``, where x0 is the first group's x:
    the tokens of a tail are some of the head's. Their losses are added to the first group's, and the gradients for x0
    are summed in the first group's.

    All fields are tensors, or None. Also used for booleans, which say whether a field's gradient is needed.
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
    """(n,) int64: rows of x0, each at most once."""
    projection: Any = None
    """(d_i, d)"""
    dropout_mask: Any = None
    """(n, d_i), or None: zeros, and 1 / (1 - probability) where a number is kept."""


def grouped_nll(groups: list[Group], scale: float, *, need_total: bool = True) -> tuple[list[Tensor], Tensor]:
    """Per-row losses of each group that is not a tail, and ``scale`` times the sum of them all.

    Both are differentiable, see :func:`early_nll`.
    """
    return early_nll(_groups_in_one_pass, _groups_plain, [v for group in groups for v in group], scale, need_total)


def _grouped(flat: Sequence[Any]) -> list[Group]:
    n = len(Group._fields)
    return [Group._make(flat[i : i + n]) for i in range(0, len(flat), n)]


def _groups_in_one_pass(
    flat: Sequence[Any], needs: Sequence[bool], weights: list[Tensor] | float
) -> tuple[list[Tensor], list[Any]]:
    """Losses of each group that is not a tail, tail losses added to the first's; and the gradients needed."""
    losses: list[Tensor] = []
    gradients: list[Tensor | None] = []
    for group, need in zip(_grouped(flat), _grouped(needs), strict=True):
        x, weight, bias, target, rows, projection, dropout_mask = group
        if rows is None:
            row_weight = weights[len(losses)] if isinstance(weights, list) else weights
            want = (need.x, need.weight, need.bias)
            nll, *of_group = linear_nll(x, weight, bias, target, row_weight=row_weight, gradients=want)
            losses.append(nll)
            gradients += [*of_group, None, None, None, None]
            continue
        # A tail: its rows of the first x, projected.
        x, dx = flat[0].index_select(0, rows), gradients[0]
        h = torch.mm(x, projection.t())
        h = h if dropout_mask is None else h.mul_(dropout_mask)
        row_weight = weights[0].index_select(0, rows) if isinstance(weights, list) else weights
        want = (dx is not None or need.projection, need.weight, need.bias)
        _, dh, dw, db = linear_nll(
            h, weight, bias, target, row_weight=row_weight, gradients=want, into=(losses[0], rows)
        )
        # Back through the projection.
        if dh is not None and dropout_mask is not None:
            dh.mul_(dropout_mask)
        if dh is not None and dx is not None:
            dx.index_add_(0, rows, torch.mm(dh, projection))
        gradients += [None, dw, db, None, None, _outer(dh, x) if need.projection else None, None]
    return losses, gradients


def _groups_plain(flat: Sequence[Any], dtype: torch.dtype) -> list[Tensor]:
    """The same losses by plain operations, which autograd differentiates."""
    losses: list[Tensor] = []
    for x, weight, bias, target, rows, projection, dropout_mask in _grouped(flat):
        if rows is not None:
            x = linear(flat[0].index_select(0, rows), projection)
            x = x if dropout_mask is None else x * dropout_mask
        nll = cross_entropy(linear(x, weight, bias).to(dtype), target, reduction="none")
        if rows is None:
            losses.append(nll)
        else:
            losses[0] = losses[0].index_add(0, rows, nll)
    return losses


def _outer(a: Any, x: Tensor) -> Tensor:
    """``a^T x`` of (n, m) and (n, d): (m, d). In half precision, partial sums over chunks of rows are added in fp32."""
    if x.dtype not in _LOW_PRECISION:
        return torch.mm(a.t(), x)
    if x.is_cuda:  # sums are in fp32 there
        return product(a.t(), x, whole=True)
    parts = zip(*(torch.split(v, CHUNK_ROWS[1]) for v in (a, x)), strict=True)
    return sum(torch.mm(p.t(), q).float() for p, q in parts)  # type: ignore[return-value]
