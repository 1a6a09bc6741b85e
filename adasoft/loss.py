"""Routing of tokens to clusters, and linear + cross entropy in chunks.

The negative log-likelihood of adaptive softmax is exactly a sum of ordinary cross entropies: one over the head
for every token, and one over tail i for the tokens of tail i. So all that is special happens before (which token
goes where: :func:`route`) and after (the sum). The cross entropies are computed chunk by chunk: the logits of a
chunk live in one buffer that every chunk reuses, and are never kept for backward.
"""

from __future__ import annotations

import contextlib
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

#: Logits of one chunk, at most. In fp32 that stays just below 32 MiB: larger buffers are handed back to the system by
#: the C library each time, and their page faults in every step cost more than longer chunks gain.
CHUNK_ELEMENTS = (1 << 23) - (1 << 14)
#: Rows of one chunk, at least and at most: with fewer, the gradient of the weights is read and written too often for
#: the arithmetic in between; with more, the logits leave the caches.
CHUNK_ROWS = (64, 1024)

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
    ids = target.long()
    beyond = ids >= n_classes
    if rank_of_id is None:
        ranks = ids.clamp(min=-1)
    else:
        # out-of-range ids must not index the table: they are looked up as 0 and marked right after
        ranks = torch.where(ids < 0, -1, rank_of_id[ids.masked_fill((ids < 0) | beyond, 0)])
    ranks = torch.where(beyond, n_classes + 1, ranks)
    # the comparison is made on the user's ids, so that ignore_index may also be a class
    return torch.where(ids == ignore_index, n_classes, ranks)


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


def chunk_rows(n_rows: int, n_words: int) -> int:
    """Rows of a chunk for ``n_rows`` tokens and ``n_words`` logits each."""
    low, high = CHUNK_ROWS
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
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """Per-row cross entropy of ``softmax(x @ weight.T + bias)``, and on request its gradients, in one pass.

    Shapes: ``x`` (n, d), ``weight`` (k, d), ``bias`` (k,) or None, ``target`` (n,) in 0..k-1. ``gradients`` says
    which of x, weight and bias get one. They are those of ``sum(row_weight * nll)``; ``row_weight`` is (n,) or
    one number. ``rows``: rows of a chunk (default :func:`chunk_rows`).

    Returns nll (n,), dx, dweight, dbias. nll is fp32 for fp16 and bf16 inputs, where dweight and dbias are
    summed over chunks and returned in fp32 as well.
    """
    n, k = x.shape[0], weight.shape[0]
    low = x.dtype in _LOW_PRECISION
    statistics = torch.float32 if low else x.dtype
    want_x, want_w, want_b = gradients
    want = want_x or want_w or want_b
    nll = x.new_empty(n, dtype=statistics)
    dx = torch.empty_like(x) if want_x else None
    dw = torch.empty_like(weight, dtype=statistics) if want_w and n else None
    db = torch.zeros_like(weight[:, 0], dtype=statistics) if want_b else None
    if want_w and not n:
        dw = torch.zeros_like(weight, dtype=statistics)
    rows = chunk_rows(n, k) if rows is None else rows
    logits_buffer = x.new_empty(min(rows, n), k)
    probs_buffer = torch.empty_like(logits_buffer, dtype=statistics) if low else logits_buffer
    uniform = not isinstance(row_weight, Tensor)
    on_host = not low and _on_host(x)
    # a uniform weight rides along in the products for free
    alpha = float(row_weight) if not isinstance(row_weight, Tensor) else 1.0

    whole = n <= rows  # small batches are worth the fewer calls
    for start in range(0, n, rows):
        part = slice(start, min(start + rows, n))
        x_c, t_c = (x, target) if whole else (x[part], target[part])
        logits, probs = logits_buffer, probs_buffer
        if len(logits) > len(x_c):
            logits, probs = logits[: len(x_c)], probs[: len(x_c)]
        t_c = t_c.unsqueeze(1)
        if bias is None:
            torch.mm(x_c, weight.t(), out=logits)
        else:
            torch.addmm(bias, x_c, weight.t(), out=logits)
        if on_host:
            torch.softmax(logits, 1, out=probs)
            p = probs.gather(1, t_c)
            nll_c = _nll_on_host(x_c, weight, bias, probs, p, t_c)
        else:
            wanted = logits.gather(1, t_c).squeeze(1).to(statistics)
            largest = logits.amax(1).to(statistics)
            if low:
                torch.softmax(logits, 1, dtype=statistics, out=probs)
            else:
                torch.softmax(logits, 1, out=probs)
            # log-sum-exp = max logit - log(its probability): softmax has done the sum already, and the largest
            # probability is at least 1/k, so its logarithm is safe where the target's own may have underflowed.
            # The difference comes first: it is exact for a target that wins, however large the logits.
            nll_c = (largest - wanted) - probs.amax(1).log()
        if whole:
            nll = nll_c
        else:
            nll[part] = nll_c
        if not want:
            continue
        if on_host:
            probs.scatter_(1, t_c, p.sub_(1))
        else:
            probs.scatter_add_(1, t_c, torch.full_like(t_c, -1, dtype=statistics))
        if not uniform:
            probs.mul_(row_weight[part].to(statistics).unsqueeze(1))  # type: ignore[index]
        if low:
            logits.copy_(probs)  # the products run in x's precision, on tensor cores where there are any
        if dx is not None:
            out = dx if whole else dx[part]
            torch.addmm(out, logits, weight, beta=0, alpha=alpha, out=out)
        if dw is not None:
            if low:
                product = torch.mm(logits.t(), x_c).to(statistics).mul_(alpha)
                dw.copy_(product) if start == 0 else dw.add_(product)
            else:
                torch.addmm(dw, logits.t(), x_c, beta=int(start > 0), alpha=alpha, out=dw)
        if db is not None:
            db.add_(probs.sum(0), alpha=alpha)
    return nll, dx, dw, db


def _on_host(x: Tensor) -> bool:
    """Whether numbers can be looked at without stalling a queue."""
    return x.device.type == "cpu"


def _nll_on_host(x: Tensor, weight: Tensor, bias: Tensor | None, probs: Tensor, p: Tensor, target: Tensor) -> Tensor:
    """Minus the logarithm of the target's probability ``p`` (n, 1), where a look at the numbers costs nothing.

    It spares the two passes over all logits that finding the largest ones takes, a few per cent of a step on a CPU.
    Rows whose target has next to no probability (or is nan) go by the most probable word j instead:
    log-sum-exp = logit_j - log p_j, with the two logits computed once more.
    """
    out = p.log().neg_().squeeze(1)
    below = ~(p.numpy() > 1e-30)
    if below.any():
        lost = torch.from_numpy(below.nonzero()[0])
        top, j = probs[lost].max(1)
        best, wanted = ((x[lost] * weight[i]).sum(1) for i in (j, target[lost, 0]))
        if bias is not None:
            best, wanted = best + bias[j], wanted + bias[target[lost, 0]]
        out[lost] = (best - wanted) - top.log()
    return out


def full_precision(device: str) -> contextlib.AbstractContextManager[Any]:
    """Autocast off. Entering the context costs as much as a small product, so only where it is on."""
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else contextlib.nullcontext()


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
        groups = [flat[i : i + 4] for i in range(0, len(flat), 4)]
        needs = ctx.needs_input_grad[2:]
        low = groups[0][0].dtype in _LOW_PRECISION  # type: ignore[union-attr]
        # fp16 gradients times 1/n would underflow before a loss scale reaches them: scale later, in fp32
        alpha = 1.0 if low else scale
        losses: list[Tensor] = []
        made: list[Tensor | None] = []
        for i, (x, weight, bias, target) in enumerate(groups):
            wanted = needs[4 * i : 4 * i + 3] if early else (False, False, False)
            nll, dx, dw, db = linear_nll(x, weight, bias, target, row_weight=alpha, gradients=wanted)  # type: ignore[arg-type]
            losses.append(nll)
            made += [dx, dw, db, None]
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*flat)
        ctx.scale, ctx.pending = scale, scale / alpha if alpha else 0.0
        ctx.made = made if early else None
        total = torch.cat(losses).sum() * scale
        return (*losses, total)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        *per_token, total = grads
        flat = ctx.saved_tensors
        groups = [flat[i : i + 4] for i in range(0, len(flat), 4)]
        needs = ctx.needs_input_grad[2:]
        with full_precision(flat[0].device.type):
            if torch.is_grad_enabled():
                return (None, None, *_differentiable(groups, needs, per_token, total, ctx.scale))
            if ctx.made is not None and all(g is None for g in per_token) and total is not None:
                # hand the buffers over and forget them, so that they become .grad without a copy
                made, ctx.made = ctx.made, None
                return (None, None, *_scaled(made, flat, total, ctx.pending))
            out: list[Tensor | None] = []
            for i, (x, weight, bias, target) in enumerate(groups):
                need = needs[4 * i : 4 * i + 3]
                row_weight = _row_weight(per_token[i], total, ctx.scale, x)
                _, *made = linear_nll(x, weight, bias, target, row_weight=row_weight, gradients=need)
                out += [_like(g, v) for g, v in zip(made, (x, weight, bias), strict=True)] + [None]
            return (None, None, *out)


def _like(gradient: Tensor | None, value: Tensor | None) -> Tensor | None:
    return gradient if gradient is None or value is None else gradient.to(value.dtype)


def _row_weight(per_token: Tensor | None, total: Tensor | None, scale: float, x: Tensor) -> Tensor:
    dtype = torch.float32 if x.dtype in _LOW_PRECISION else x.dtype
    weight = torch.zeros(x.shape[0], dtype=dtype, device=x.device)
    if total is not None:
        weight = weight + total * scale
    return weight if per_token is None else weight + per_token


def _scaled(
    made: list[Tensor | None], flat: tuple[Tensor | None, ...], total: Tensor, pending: float
) -> list[Tensor | None]:
    # On a CPU a look at the number is free and usually spares a pass over every gradient. On a GPU it would
    # stall the queue, and the pass is cheap.
    if pending == 1.0 and _on_host(total) and float(total.detach().numpy()) == 1.0:
        return [_like(g, v) for g, v in zip(made, flat, strict=True)]
    factor = total * pending
    return [None if g is None else _like(g * factor, v) for g, v in zip(made, flat, strict=True)]


def _differentiable(
    groups: list[Any], needs: tuple[bool, ...], per_token: list[Tensor | None], total: Tensor | None, scale: float
) -> list[Tensor | None]:
    """The same gradients as a graph of their own, for double backward (whole logits, plain operations)."""
    out: list[Tensor | None] = []
    for i, (*values, target) in enumerate(groups):
        row_weight = _row_weight(per_token[i], total, scale, values[0])
        # Aliases, and the row weights as grad_outputs: x may depend on weight (tied embeddings) and the upstream
        # gradients on both (a squared loss), and the gradients of this step must not run through either.
        aliases: list[Any] = [v if v is None else v.view_as(v) for v in values]
        logits = torch.nn.functional.linear(*aliases).to(row_weight.dtype)
        nll = torch.nn.functional.cross_entropy(logits, target, reduction="none")
        inputs = [v for v, need in zip(aliases, needs[4 * i :], strict=False) if need]
        made = iter(torch.autograd.grad(nll, inputs, row_weight, create_graph=True) if inputs else ())
        out += [next(made) if need else None for need in needs[4 * i : 4 * i + 3]] + [None]
    return out


class Group(NamedTuple):
    """One cross entropy: ``x`` (n, d), ``weight`` (k, d), ``bias`` (k,) or None, ``target`` (n,) int64."""

    x: Tensor
    weight: Tensor
    bias: Tensor | None
    target: Tensor


def grouped_nll(groups: list[Group], scale: float, *, need_total: bool = True) -> tuple[list[Tensor], Tensor]:
    """Per-row losses of each group, and ``scale`` times the sum of them all.

    Both are differentiable. ``need_total=False`` says that gradients will come through the per-row losses only,
    so none are made in forward.
    """
    early = need_total and torch.is_grad_enabled() and any(v is not None and v.requires_grad for g in groups for v in g)
    # the mean over no token has the scale nan, which must not multiply gradients that are zeros
    early = early and len(groups[0].x) > 0
    *losses, total = _GroupedNLL.apply(scale, early, *(v for g in groups for v in g))  # type: ignore[no-untyped-call]
    return losses, total
