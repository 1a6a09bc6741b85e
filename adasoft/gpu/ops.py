"""The loss of adaptive softmax over ragged clusters, in Triton: Python never waits, no logits of a tail are stored.

How many tokens fall into each tail is known on the device alone. So every kernel is launched for the worst case (all
tokens in this tail), reads the tail's first and last row from ``offsets`` on the device, and programs beyond it leave
at once. Shapes do not depend on the targets: one compiled graph or one CUDA graph serves every batch, and the
arithmetic is that of the rows that are there. The result is exact for any split of the batch.

For one row with hidden state h and target t, let l be the log-sum-exp over all words but t, and

.. math:: a = l - h \\cdot w_t, \\qquad -\\log p(t) = \\log(1 + e^a), \\qquad q = 1 - p(t) = \\frac{1}{1 + e^{-a}}

Leaving t out of the sum keeps a loss near zero, and its gradient, as precise as a large one. Then

.. math:: \\frac{\\partial}{\\partial h} = q \\Big( \\sum_{w \\ne t} e^{z_w - l} w_w - w_t \\Big)

whose sum is an attention over the tail's words: it is built tile by tile along with l, as in FlashAttention (Dao et
al. 2022). It does not depend on the upstream gradient, which only scales it. Products of size (rows x words x width),
where the bare products are 3 and recomputing everything would take 5:

- tails: 2 in forward (1 without gradients), 2 in backward (logits again, gradient of the weights): 4 for any upstream
  gradient. A width above ``tiles(...).columns`` repeats the logits once per block of columns.
- head: 2 in forward and, if only the sum is asked for, the third too, as in :mod:`adasoft.loss`: 3. Under
  ``torch.compile`` both results have upstream gradients, so the logits are made once more in backward: 4.
  The head's shape is fixed, so its products are cuBLAS's, with one kernel that turns a chunk of logits
  into losses and gradients in place.

No atomics: the same input gives the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

try:
    import triton
except ImportError as error:
    raise ImportError("adasoft.gpu.ops needs Triton: pip install 'adasoft[gpu]' (Linux)") from error

from ..tuning import CHUNK_ROWS, GPU_CHUNK_ELEMENTS
from ..watchers import batched_gradient
from .kernels import (
    INTERPRETED,
    combine_kernel,
    expectation_kernel,
    linear_kernel,
    outer_kernel,
    softmax_kernel,
    tiles,
    weight_kernel,
)
from .products import product

#: Programs to fill the device with. A tail of few rows splits its words over that many, and the partial results
#: (this many tiles of rows x width, in fp32) are combined afterwards.
PROGRAMS = 256

_DTYPES = (torch.float16, torch.bfloat16, torch.float32)


# ---------------------------------------------------------------- operators


def _on(x: Tensor) -> AbstractContextManager[Any]:
    if x.is_cuda:
        return torch.cuda.device(x.device)
    if not INTERPRETED:
        raise RuntimeError(
            f"x is on {x.device}: Triton's kernels need a GPU, or TRITON_INTERPRET=1 set before Triton is imported"
        )
    return nullcontext()


def _precision() -> str:
    if INTERPRETED:
        return "interpreter"
    # as torch's own fp32 products; fp16 and bf16 do not look at it
    matmul = torch.backends.cuda.matmul
    asked = getattr(matmul, "fp32_precision", None)  # before torch 2.9 there is only the older name
    return "tf32" if asked == "tf32" or (asked is None and matmul.allow_tf32) else "ieee"


def _splits(programs: int, rows: int, tile: int) -> int:
    """Shares of the rows for a kernel that owns its output tile, so that few tiles fill the device too."""
    return max(1, min(PROGRAMS // max(programs, 1), -(-rows // tile), 64))


def _finish(parts: Tensor, dtype: torch.dtype) -> Tensor:
    return (parts[0] if len(parts) == 1 else parts.sum(0)).to(dtype)


def _normalised(g: Tensor) -> tuple[Tensor, Tensor]:
    # in fp16 an upstream gradient of 1/n would underflow in the products; it comes back in fp32 afterwards
    unit = torch.linalg.vector_norm(g, float("inf")) if g.numel() else g.new_ones(())
    unit = torch.where(unit == 0, 1.0, unit)
    return g / unit, unit


def _plain_gradients_only(name: str, *gradients: Tensor | None) -> None:
    if torch.is_grad_enabled():
        raise RuntimeError(f"{name} has no second derivatives; the eager route of AdaptiveSoftmax has")
    if any(map(batched_gradient, gradients)):
        raise RuntimeError(f"{name} takes no batched gradients; the eager route of AdaptiveSoftmax does")


@torch.library.custom_op(
    "adasoft::ragged_linear", mutates_args=(), schema="(Tensor x, Tensor[] weights, Tensor offsets) -> Tensor"
)
def _linear(x: Tensor, weights: Sequence[Tensor], offsets: Tensor) -> Tensor:
    x = x.contiguous()
    n, d = x.shape
    hidden = x.new_zeros(n, max(w.shape[0] for w in weights))
    rows, columns, inner = (16, 16, 16) if INTERPRETED else (64, 64, 64 if x.dtype != torch.float32 else 32)
    tile: dict[str, Any] = {"ROWS": rows, "COLUMNS": columns, "INNER": inner, "PRECISION": _precision()}
    with _on(x):
        for i, w in enumerate(weights if n else ()):
            grid = (triton.cdiv(n, rows), triton.cdiv(w.shape[0], columns))
            strides = d, d, 1, hidden.shape[1]
            tensors = x, w.contiguous(), hidden, offsets
            linear_kernel[grid](*tensors, i, d, w.shape[0], *strides, **tile, num_warps=4, num_stages=4)
    return hidden


@_linear.register_fake
def _(x: Tensor, weights: Sequence[Tensor], offsets: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], max(w.shape[0] for w in weights))


@torch.library.custom_op(
    "adasoft::ragged_linear_grad",
    mutates_args=(),
    schema="(Tensor grad, Tensor x, Tensor[] weights, Tensor offsets, bool want_x, bool[] want) -> Tensor[]",
)
def _linear_grad(
    grad: Tensor, x: Tensor, weights: Sequence[Tensor], offsets: Tensor, want_x: bool, want: Sequence[bool]
) -> list[Tensor]:
    x, grad = x.contiguous(), grad.contiguous()
    n, d = x.shape
    gradients = [torch.zeros_like(x) if want_x else x.new_empty(0)]
    rows, columns, inner = (16, 16, 16) if INTERPRETED else (64, 64, 64 if x.dtype != torch.float32 else 32)
    launch: dict[str, Any] = {"PRECISION": _precision(), "num_warps": 4, "num_stages": 3}
    with _on(x):
        for i, w in enumerate(weights):
            # Gradient of x: the weights of all tails write into one.
            width = w.shape[0]
            if want_x and n:
                grid = (triton.cdiv(n, rows), triton.cdiv(d, columns))
                strides = grad.shape[1], 1, d, d
                tensors = grad, w.contiguous(), gradients[0], offsets
                linear_kernel[grid](*tensors, i, width, d, *strides, ROWS=rows, COLUMNS=columns, INNER=inner, **launch)
            if not want[i]:
                gradients.append(x.new_empty(0))
                continue

            # Gradient of a weight: the rows are shared out so that its few tiles fill the device.
            down, across = triton.cdiv(width, rows), triton.cdiv(d, columns)
            splits = _splits(down * across, n, inner)
            parts = x.new_empty(splits, width, d, dtype=torch.float32)
            sizes = width, d, grad.shape[1], d, splits
            tile = {"ROWS": inner, "A": rows, "B": columns}
            outer_kernel[(down, across, splits)](grad, x, parts, offsets, i, *sizes, **tile, **launch)
            gradients.append(_finish(parts, w.dtype))
    return gradients


@_linear_grad.register_fake
def _(
    grad: Tensor, x: Tensor, weights: Sequence[Tensor], offsets: Tensor, want_x: bool, want: Sequence[bool]
) -> list[Tensor]:
    wanted = zip(weights, want, strict=True)
    return [x.new_empty(x.shape) if want_x else x.new_empty(0)] + [
        w.new_empty(w.shape) if yes else x.new_empty(0) for w, yes in wanted
    ]


def _linear_setup(ctx: Any, inputs: Any, output: Any) -> None:
    x, weights, offsets = inputs
    ctx.save_for_backward(x, offsets, *weights)


def _linear_backward(ctx: Any, grad: Tensor) -> Any:
    _plain_gradients_only("ragged_linear", grad)
    x, offsets, *weights = ctx.saved_tensors
    want_x, want = ctx.needs_input_grad[0], list(ctx.needs_input_grad[1])
    dx, *gradients = _linear_grad(grad, x, weights, offsets, want_x, want)
    dw = [g if yes else None for g, yes in zip(gradients, want, strict=True)]
    return dx if want_x else None, dw, None


_linear.register_autograd(_linear_backward, setup_context=_linear_setup)


@torch.library.custom_op(
    "adasoft::ragged_tails",
    mutates_args=(),
    schema="(Tensor hidden, Tensor[] weights, Tensor target, Tensor offsets, bool want)"
    " -> (Tensor nll, Tensor margin, Tensor peak, Tensor scale, Tensor direction)",
)
def _tails(
    hidden: Tensor, weights: Sequence[Tensor], target: Tensor, offsets: Tensor, want: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    hidden = hidden.contiguous()
    n, stride = hidden.shape
    margin = hidden.new_full((n,), float("-inf"), dtype=torch.float32)
    peak, scale = torch.zeros_like(margin), torch.zeros_like(margin)
    direction = torch.zeros_like(hidden) if want else hidden.new_empty(0)
    with _on(hidden):
        for i, w in enumerate(weights if n else ()):
            # Partial sums: programs share the words of a tile of rows, so that few rows fill the device too.
            words, width = w.shape
            w, t = w.contiguous(), tiles(width, hidden)
            blocks = triton.cdiv(width, t.columns)
            row_tiles = triton.cdiv(n, t.rows)
            slots = max(row_tiles, min(PROGRAMS, row_tiles * triton.cdiv(words, t.words)))
            largest = margin.new_empty(slots * t.rows)
            total = torch.empty_like(largest)
            mean = largest.new_empty(slots * t.rows, width) if want else largest
            tile: dict[str, Any] = {"ROWS": t.rows, "WORDS": t.words, "COLUMNS": t.columns, "BLOCKS": blocks}
            tile |= {"PROGRAMS": PROGRAMS, "GRADS": want, "PRECISION": _precision()}
            launch = {"num_warps": t.warps, "num_stages": t.stages}
            given, partial, sizes = (hidden, w, target, offsets, i), (largest, total, mean), (words, width, stride)
            expectation_kernel[(slots, blocks if want else 1)](*given, *partial, *sizes, **tile, **launch)

            # Their combination, and the target's own logit.
            part, results = min(8, t.rows), (margin, peak, scale, direction)
            combine_kernel[(triton.cdiv(n, part),)](*given, *partial, *results, *sizes, **tile, PART=part, num_warps=4)
    return F.softplus(margin), margin, peak, scale, direction


@_tails.register_fake
def _(
    hidden: Tensor, weights: Sequence[Tensor], target: Tensor, offsets: Tensor, want: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    nll = hidden.new_empty(hidden.shape[0], dtype=torch.float32)
    direction = hidden.new_empty(hidden.shape) if want else hidden.new_empty(0)
    return nll, torch.empty_like(nll), torch.empty_like(nll), torch.empty_like(nll), direction


@torch.library.custom_op(
    "adasoft::ragged_tails_grad",
    mutates_args=(),
    schema="(Tensor hidden, Tensor[] weights, Tensor target, Tensor offsets, Tensor margin, Tensor peak, Tensor scale,"
    " Tensor row_weight, bool[] want) -> Tensor[]",
)
def _tails_grad(
    hidden: Tensor,
    weights: Sequence[Tensor],
    target: Tensor,
    offsets: Tensor,
    margin: Tensor,
    peak: Tensor,
    scale: Tensor,
    row_weight: Tensor,
    want: Sequence[bool],
) -> list[Tensor]:
    hidden = hidden.contiguous()
    n, stride = hidden.shape
    missing = torch.sigmoid(margin)
    row_weight, unit = _normalised(row_weight.float())
    gradients = []
    with _on(hidden):
        for i, w in enumerate(weights):
            if not want[i]:
                gradients.append(w.new_empty(0))
                continue
            words, width = w.shape
            t = tiles(width, hidden, owner="words")
            blocks = triton.cdiv(width, t.columns)
            word_tiles = triton.cdiv(words, t.words)
            splits = _splits(word_tiles * blocks, n, t.rows)
            parts = w.new_empty(splits, words, width, dtype=w.dtype if splits == 1 else torch.float32)
            given = hidden, w.contiguous(), target, peak, scale, missing, row_weight, unit
            tile: dict[str, Any] = {"ROWS": t.rows, "WORDS": t.words, "COLUMNS": t.columns, "BLOCKS": blocks}
            launch: dict[str, Any] = {"PRECISION": _precision(), "num_warps": t.warps, "num_stages": t.stages}
            weight_kernel[(word_tiles, blocks, splits)](
                *given, parts, offsets, i, words, width, stride, splits, **tile, **launch
            )
            gradients.append(_finish(parts, w.dtype))
    return gradients


@_tails_grad.register_fake
def _(
    hidden: Tensor,
    weights: Sequence[Tensor],
    target: Tensor,
    offsets: Tensor,
    margin: Tensor,
    peak: Tensor,
    scale: Tensor,
    row_weight: Tensor,
    want: Sequence[bool],
) -> list[Tensor]:
    wanted = zip(weights, want, strict=True)
    return [w.new_empty(w.shape) if yes else w.new_empty(0) for w, yes in wanted]


def _tails_setup(ctx: Any, inputs: Any, output: Any) -> None:
    hidden, weights, target, offsets, _ = inputs
    _, margin, peak, scale, direction = output
    ctx.mark_non_differentiable(margin, peak, scale, direction)
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(hidden, target, offsets, margin, peak, scale, direction, *weights)


def _tails_backward(ctx: Any, grad: Tensor | None, *_: Any) -> Any:
    _plain_gradients_only("ragged_tails", grad)
    hidden, target, offsets, margin, peak, scale, direction, *weights = ctx.saved_tensors
    want_x, want = ctx.needs_input_grad[0], list(ctx.needs_input_grad[1])
    if grad is None:
        return None, [None] * len(weights), None, None, None
    dx = (direction * grad.unsqueeze(1)).to(hidden.dtype) if want_x else None
    dw: list[Tensor | None] = [None] * len(weights)
    if any(want):
        gradients = _tails_grad(hidden, weights, target, offsets, margin, peak, scale, grad, want)
        dw = [g if yes else None for g, yes in zip(gradients, want, strict=True)]
    return dx, dw, None, None, None


_tails.register_autograd(_tails_backward, setup_context=_tails_setup)


def padded(weight: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
    """The weights (k, d) and a bias (k,) of a product, with as many rows of zeros as cuBLAS' fast kernels ask for.

    Where tensor cores multiply, cuBLAS takes far slower kernels for rows that are not a multiple of 16 bytes, and the
    k_h + J words of a head rarely are one; the copy costs next to nothing. ``bench layer --device cuda`` shows it: its
    bare products do not pad, and can take longer than the whole layer.
    """
    each = 16 // weight.element_size()
    more = -len(weight) % each
    if not more or (weight.dtype == torch.float32 and _precision() != "tf32"):
        return weight, bias
    out = weight.new_empty(len(weight) + more, weight.shape[1])
    out[: len(weight)] = weight
    out[len(weight) :] = 0
    return out, None if bias is None else F.pad(bias, (0, more))


def softmax_rows(
    logits: Tensor,
    target: Tensor,
    row_weight: Tensor | None,
    nll: Tensor,
    start: int,
    grads: bool,
    place: Tensor | None = None,
    k: int | None = None,
) -> None:
    """Negative log-likelihoods of the rows from ``start`` on, whose ``logits`` (rows, k) these are.

    ``logits`` may have more columns than the ``k`` words: what is in them is not looked at. The losses
    are written to ``nll`` (n,) fp32, or added at ``nll[place]``, ``place`` (n,) holding each number at most once.
    With ``grads``, the logits become their gradient times the row's weight (1 for None), in place. ``target`` (n,)
    int64, ``row_weight`` (n,) fp32: those of all chunks.
    """
    rows = len(logits)
    k = logits.shape[1] if k is None else k
    # as tried on an H200: a long row alone on its processor wants many loads under way
    if rows <= PROGRAMS and k > 16_384:
        block, warps = 16_384, 32
    elif k > 32_768:
        block, warps = 4096, 16
    else:
        block, warps = (2048, 8) if k > 4096 else (1024, 4)
    block = min(block, max(16, triton.next_power_of_2(k)))
    with _on(logits):
        tile: dict[str, Any] = {"BLOCK": block, "GRADS": grads, "PRECISION": _precision()}
        given = logits, target, row_weight, nll, place
        softmax_kernel[(rows,)](*given, k, logits.stride(0), start, **tile, num_warps=warps)


def dense_nll(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    target: Tensor,
    row_weight: Tensor | None,
    gradients: Sequence[bool],
    *,
    alpha: float = 1.0,
    rows: int,
    into: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """:func:`adasoft.loss.linear_nll` of at least one row by three products and one kernel per chunk of ``rows`` rows.

    Gradients are those of ``alpha * sum(row_weight * nll)``; ``row_weight`` (n,) fp32, or None for 1.
    """
    n, k = x.shape[0], weight.shape[0]
    want_x, want_w, want_b = gradients
    low, whole = x.dtype != torch.float32, n <= rows
    nll, place = (x.new_empty(n, dtype=torch.float32), None) if into is None else into
    row_weight, target = None if row_weight is None else row_weight.contiguous(), target.contiguous()
    dx = torch.empty_like(x) if want_x else None
    dw: Tensor | None = None
    db = nll.new_zeros(k) if want_b else None
    wide, wide_bias = padded(weight, bias)
    buffer = x.new_empty(min(rows, n), len(wide))
    for start in range(0, n, rows):
        x_c, dx_c, logits = x, dx, buffer
        if not whole:  # every call counts where a step is short
            x_c, dx_c = x[start : start + rows], None if dx is None else dx[start : start + rows]
            logits = buffer[: len(x_c)]
        # Logits, then in their place their gradients, then those of input, weights and bias.
        if wide_bias is None:
            torch.mm(x_c, wide.t(), out=logits)
        else:
            torch.addmm(wide_bias, x_c, wide.t(), out=logits)
        softmax_rows(logits, target, row_weight, nll, start, any(gradients), place, k)
        # with beta = 0 the first argument is not looked at
        if dx_c is not None:
            torch.addmm(x_c, logits, wide, beta=0, alpha=alpha, out=dx_c)
        if want_w and low:
            gradient = product(logits.t(), x_c, whole=whole)[:k]
            if dw is not None:
                dw.add_(gradient, alpha=alpha)
            else:
                dw = gradient.float() if alpha == 1.0 else gradient.float().mul_(alpha)
        elif want_w:
            dw = torch.addmm(wide if dw is None else dw, logits.t(), x_c, beta=int(start > 0), alpha=alpha, out=dw)
        if db is not None:
            db.add_(logits[:, :k].sum(0, dtype=torch.float32), alpha=alpha)
    return nll, dx, None if dw is None else dw[:k], db


@torch.library.custom_op(
    "adasoft::ragged_head",
    mutates_args=(),
    schema="(Tensor x, Tensor weight, Tensor? bias, Tensor target, Tensor row_weight, bool[] want)"
    " -> (Tensor nll, Tensor total, Tensor direction, Tensor dweight, Tensor dbias)",
)
def _head(
    x: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor, row_weight: Tensor, want: Sequence[bool]
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    n, k = x.shape[0], weight.shape[0]
    x = x.contiguous()

    def zeros(*shape: int) -> Tensor:  # a new one each time: what an operator returns may not share memory
        return x.new_zeros(shape, dtype=torch.float32)

    if n:
        rows = max(CHUNK_ROWS[0], GPU_CHUNK_ELEMENTS // k)
        nll, dx, dw, db = dense_nll(x, weight, bias, target, row_weight, want, rows=rows)
    else:
        nll, dx = zeros(0), torch.empty_like(x) if want[0] else None
        dw, db = (zeros(*shape) if yes else None for shape, yes in ((weight.shape, want[1]), ((k,), want[2])))
    total = (nll * row_weight).sum()
    dx = x.new_empty(0) if dx is None else dx
    return nll, total, dx, zeros(0) if dw is None else dw, zeros(0) if db is None else db


@_head.register_fake
def _(
    x: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor, row_weight: Tensor, want: Sequence[bool]
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    nll = x.new_empty(x.shape[0], dtype=torch.float32)
    return (
        nll,
        nll.new_empty(()),
        x.new_empty(x.shape) if want[0] else x.new_empty(0),
        nll.new_empty(weight.shape if want[1] else 0),
        nll.new_empty(weight.shape[0] if want[2] else 0),
    )


def _head_setup(ctx: Any, inputs: Any, output: Any) -> None:
    x, weight, bias, target, live, want = inputs
    _, _, direction, dw, db = output
    ctx.mark_non_differentiable(direction, dw, db)
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(x, weight, bias, target, live, direction, dw, db)
    ctx.early = want[1] or want[2]


def _head_backward(ctx: Any, per_token: Tensor | None, total: Tensor | None, *_: Any) -> Any:
    _plain_gradients_only("ragged_head", per_token, total)
    x, weight, bias, target, live, direction, dw, db = ctx.saved_tensors
    want_x, want_w, want_b = ctx.needs_input_grad[:3]
    if per_token is None and total is None:
        return (None,) * 6
    g = live * total if total is not None else torch.zeros_like(live)
    if per_token is not None:
        g = g + per_token * live
    dx = (direction * g.unsqueeze(1)).to(x.dtype) if want_x else None
    if want_w or want_b:
        if ctx.early and per_token is None:
            unit = total
        else:
            g, unit = _normalised(g)
            *_, dw, db = _head(x, weight, bias, target, g, [False, want_w, want_b])
    dw = (dw * unit).to(weight.dtype) if want_w else None
    db = (db * unit).to(bias.dtype) if want_b else None
    return dx, dw, db, None, None, None


_head.register_autograd(_head_backward, setup_context=_head_setup)


# ---------------------------------------------------------------- the loss


class RaggedLoss(NamedTuple):
    """What :func:`ragged_nll` returns. ``N`` tokens."""

    nll: Tensor
    """(N,) fp32: negative log-likelihood of each token, in token order; 0 where ignored, nan for a bad target."""
    total: Tensor
    """() fp32: their sum; its gradients are cheaper than those of ``nll.sum()``. nan if any target is bad."""
    counted: Tensor
    """() int64: tokens that are not ignored, on the device."""


def ragged_nll(
    x: Tensor,
    ranks: Tensor,
    edges: Tensor,
    head: Tensor,
    head_bias: Tensor | None,
    tails: Sequence[tuple[Tensor, Tensor]],
    *,
    dropout: float = 0.0,
) -> RaggedLoss:
    """Negative log-likelihood of adaptive softmax, on the device alone: Python reads nothing back from it.

    Args:
        x: hidden states (N, d), fp16, bf16 or fp32. Statistics are in fp32.
        ranks: (N,) int64, as from :func:`adasoft.ranks.target_ranks`: V for an ignored token, -1 or V + 1 for a bad
            one. Rows of ignored and bad tokens are not looked at: they may hold anything.
        edges: (J + 3,) int64, 0, c_1, ..., c_J, V, V + 1, on x's device.
        head: (k_h + J, d). ``head_bias``: (k_h + J,) or None.
        tails: of each tail the projection (d_i, d) and the words (k_i, d_i).
        dropout: on the projected inputs of the tails.

    Both ``nll`` and ``total`` are differentiable, once. A tail without tokens gets gradients of exact zeros; a bad
    target makes the loss nan and adds nothing to the gradients.

    Memory beside the gradients, all independent of the targets: chunks of the head's logits (`GPU_CHUNK_ELEMENTS`), the
    projected inputs (N x widest tail), and per tail, one after the other, at most
    max(N, ``PROGRAMS`` x rows of a tile) x d_i numbers in fp32.

    Raises:
        TypeError: x is of another dtype.
        ValueError: shapes do not fit.
        RuntimeError: x is not on a GPU (and Triton's interpreter is off), or second derivatives or batched gradients
            are asked for.
    """
    n_tails, shortlist = len(tails), head.shape[0] - len(tails)
    if x.dtype not in _DTYPES:
        raise TypeError(f"x should be fp16, bf16 or fp32, got {x.dtype}")
    _check("x", x, (None, None))
    n, d = x.shape
    _check("ranks", ranks, (n,))
    _check("edges", edges, (n_tails + 3,))
    _check("head", head, (None, d))
    if head_bias is not None:
        _check("head_bias", head_bias, (head.shape[0],))
    if not tails:
        raise ValueError("tails should hold at least one (projection, words), got none")
    for i, (projection, words) in enumerate(tails):
        _check(f"tails[{i}][0]", projection, (None, d))
        _check(f"tails[{i}][1]", words, (None, projection.shape[0]))
    weights = {"head": head, "head_bias": head_bias, **{f"tails[{i}]": w for i, pair in enumerate(tails) for w in pair}}
    for name, w in weights.items():
        if w is not None and w.dtype != x.dtype:
            raise TypeError(f"{name} should have x's dtype, {x.dtype}, got {w.dtype}")

    # Route: sort by rank; tokens of a cluster are then rows from one offset to the next. Wrong ones lie at both ends.
    ordered, permutation = torch.sort(ranks, stable=True)
    offsets = torch.searchsorted(ordered, edges)
    ends = offsets[1 : n_tails + 2]
    position = torch.arange(n, device=x.device)
    live = (position >= offsets[0]) & (position < offsets[n_tails + 1])
    x = x.index_select(0, permutation).masked_fill(~live.unsqueeze(1), 0.0)

    # Targets within the head and within the tails.
    # among all edges, not a slice of them: inductor of torch 2.11 reads a slice from the beginning of the table
    tail = torch.searchsorted(edges, ordered, right=True) - 2
    first = tail < 0
    head_target = torch.where(first, ordered, tail + shortlist).masked_fill(~live, 0)
    tail_target = ordered - edges[tail.clamp(0, n_tails - 1) + 1]

    # Losses of the head for all tokens, and of the tails for their own.
    grads = torch.is_grad_enabled()
    # under torch.compile the per-token losses always have an upstream gradient, and early ones would be thrown away
    early = grads and not torch.compiler.is_compiling()
    want = [
        grads and x.requires_grad,
        early and head.requires_grad,
        early and head_bias is not None and head_bias.requires_grad,
    ]
    per_token, total, *_ = _head(x, head, head_bias, head_target, live.float(), want)
    projections, outputs = [p for p, _ in tails], [w for _, w in tails]
    hidden = _linear(x, projections, ends)
    if dropout > 0:
        hidden = F.dropout(hidden, dropout)
    in_tail, *_ = _tails(hidden, outputs, tail_target, ends, grads and hidden.requires_grad)

    # Sums; ignored tokens count nothing, wrong ones make them nan.
    counted, bad = offsets[n_tails + 1] - offsets[0], offsets[0] + n - offsets[n_tails + 2]
    outside = torch.where(ordered == edges[-2], 0.0, float("nan"))
    nll = torch.where(live, per_token + in_tail, outside)
    # without tokens the upstream gradient of a mean is nan, which must not reach gradients that are zeros
    total = torch.where(counted > 0, total + in_tail.sum(), 0.0)
    total = total + torch.where(bad > 0, float("nan"), 0.0)
    return RaggedLoss(torch.zeros_like(nll).index_copy(0, permutation, nll), total, counted + bad)


def _check(name: str, value: Tensor, shape: tuple[int | None, ...]) -> None:
    fits = value.dim() == len(shape) and all(b is None or a == b for a, b in zip(value.shape, shape, strict=True))
    if not fits:
        expected = ", ".join("any" if b is None else str(b) for b in shape)
        raise ValueError(f"{name} should have the shape ({expected}), got {tuple(value.shape)}")
