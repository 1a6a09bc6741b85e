"""Cross entropy over words whose logits come from several products but share one normalisation, in chunks.

D-softmax, D-softmax* and the sampled softmax all need it: logits = [x_1 W_1^T + b_1, x_2 W_2^T + b_2, ...], one
softmax over all columns. A chunk of rows writes its products side by side into one buffer, and its gradients are
made while the logits are there, as in :mod:`adasoft.loss`; no logits are kept for backward.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..loss import chunk_rows, early_nll

_LOW_PRECISION = (torch.float16, torch.bfloat16)


class Band(NamedTuple):
    """Some columns of the logits: ``x`` (n, d_i), ``weight`` (k_i, d_i), ``bias`` (k_i,) or None."""

    x: Tensor
    weight: Tensor
    bias: Tensor | None = None


def band(x: Tensor, child: Any) -> Band:
    """The columns of a Linear with nothing attached, in the dtype of ``x``."""
    return Band(x, child.weight.to(x.dtype), None if child.bias is None else child.bias.to(x.dtype))


class Own(NamedTuple):
    """One more column, last, with a word of its own in each row; its x is the first band's."""

    weight: Tensor
    """(n, d)"""
    bias: Tensor
    """(n,)"""
    hidden: Tensor
    """(n,) int64: a column that this row leaves out; the own column itself if none."""


def joint_nll(
    bands: list[Band], target: Tensor, scale: float, *, own: Own | None = None, need_total: bool = True
) -> tuple[Tensor, Tensor]:
    """Per-row losses (n,) and ``scale`` times their sum, differentiable as in :func:`adasoft.loss.early_nll`.

    ``target`` (n,) int64 counts the columns through all bands.
    """
    flat = [*(v for band in bands for v in band), *(own or (None, None, None)), target]
    (nll,), total = early_nll(_in_chunks, _plain, flat, scale, need_total)
    return nll, total


def _logits(flat: Any) -> Tensor:
    """All columns at once, (n, K), as a plain graph: where chunks cannot do."""
    *bands, (own_weight, own_bias, hidden) = [flat[i : i + 3] for i in range(0, len(flat), 3)]
    columns = torch.cat([F.linear(*band) for band in bands], 1)
    if own_weight is None:
        return columns
    columns = F.pad(columns, (0, 1)).scatter(1, hidden.unsqueeze(1), -torch.inf)
    last = (bands[0][0] * own_weight).sum(1) + own_bias
    return torch.cat([columns[:, :-1], last.unsqueeze(1)], 1)


def _plain(flat: Sequence[Any], dtype: torch.dtype) -> list[Tensor]:
    return [F.cross_entropy(_logits(flat[:-1]).to(dtype), flat[-1], reduction="none")]


def _in_chunks(
    flat: Sequence[Any], needs: Sequence[bool], weights: list[Tensor] | float
) -> tuple[list[Tensor], list[Tensor | None]]:
    """Losses (n,), and the gradients of ``sum(weights * losses)`` that are needed, in the order of ``flat``."""
    *flat, target = flat
    needs, row_weight = needs[:-1], weights[0] if isinstance(weights, list) else weights
    *bands, own = [flat[i : i + 3] for i in range(0, len(flat), 3)]
    own_weight, own_bias, hidden = own
    x = bands[0][0]
    n, columns = len(target), sum(len(w) for _, w, _ in bands) + (own_weight is not None)
    dtype = torch.float32 if x.dtype in _LOW_PRECISION else x.dtype
    made: list[Tensor | None] = []
    for i, (value, need) in enumerate(zip(flat, needs, strict=True)):
        # those of x in its own precision, as each row is written once; those of weights are sums
        kind = x.dtype if i % 3 == 0 else dtype
        made.append(torch.zeros_like(value, dtype=kind) if need else None)
    nll = torch.empty(n, dtype=dtype, device=target.device)
    rows = chunk_rows(n, columns, target.is_cuda)
    low, on_host = x.dtype != dtype, x.dtype == dtype and x.device.type == "cpu"
    # one weight for all rows rides along in the products for free
    alpha = 1.0 if isinstance(row_weight, Tensor) else row_weight
    buffer = x.new_empty(min(rows, n), columns)

    for start in range(0, n, rows):
        # Logits of a chunk of rows: the products of all bands side by side, then the own column.
        part = slice(start, min(start + rows, n))
        t = target[part].unsqueeze(1)
        logits = buffer[: len(t)]
        at = 0
        for band_x, weight, bias in bands:
            out = logits[:, at : at + len(weight)]
            at += len(weight)
            if bias is None:
                torch.mm(band_x[part], weight.t(), out=out)
            else:
                torch.addmm(bias, band_x[part], weight.t(), out=out)
        if own_weight is not None:
            logits.scatter_(1, hidden[part].unsqueeze(1), -torch.inf)
            logits[:, -1] = (x[part] * own_weight[part]).sum(1) + own_bias[part]

        # Probabilities and losses.
        picked = None if on_host else (logits.amax(1) - logits.gather(1, t).squeeze(1)).to(dtype)
        probs = torch.softmax(logits, 1, dtype=dtype) if low else torch.softmax(logits, 1, out=logits)
        if picked is None:
            nll[part] = _nll_on_host(flat, part, probs, t)
        else:
            # log-sum-exp = largest logit - log(its probability)
            nll[part] = picked - probs.amax(1).log()
        if not any(needs):
            continue

        # Gradient of the logits, in their place.
        probs.scatter_add_(1, t, torch.full_like(t, -1, dtype=dtype))
        if isinstance(row_weight, Tensor):
            probs.mul_(row_weight[part].unsqueeze(1))
        g = logits.copy_(probs) if low else probs

        # Gradients of each band, and of the own column.
        at = 0
        for i, (band_x, weight, _) in enumerate(bands):
            columns_i = slice(at, at + len(weight))
            at += len(weight)
            dx, dw, db = made[3 * i : 3 * i + 3]
            if dx is not None:
                torch.addmm(dx[part], g[:, columns_i], weight, beta=0, alpha=alpha, out=dx[part])
            if dw is not None and low:
                dw.add_((g[:, columns_i].t() @ band_x[part]).to(dtype), alpha=alpha)
            elif dw is not None:
                dw.addmm_(g[:, columns_i].t(), band_x[part], alpha=alpha)
            if db is not None:
                db.add_(probs[:, columns_i].sum(0), alpha=alpha)
        if own_weight is not None:
            last = probs[:, -1:] * alpha
            if made[0] is not None:
                made[0][part] += (last * own_weight[part]).to(x.dtype)
            if made[-3] is not None:
                made[-3][part] = (last * x[part]).to(made[-3].dtype)
            if made[-2] is not None:
                made[-2][part] = last.squeeze(1)
    return [nll], [*made, None]


def _nll_on_host(flat: Any, part: slice, probs: Tensor, target: Tensor) -> Tensor:
    """Minus the logarithm of the target's probability: on a CPU a look at the numbers spares two passes over all.

    Rows whose target has next to no probability (or is nan) are computed once more.
    """
    p = probs.gather(1, target).squeeze(1)
    out = p.log().neg_()
    lost = (~(p > 1e-30)).nonzero().squeeze(1)
    if len(lost):
        # in a band x goes by rows, in the own column everything
        rows = [v if v is None or (i % 3 and i < len(flat) - 3) else v[part][lost] for i, v in enumerate(flat)]
        out[lost] = F.cross_entropy(_logits(rows), target[lost].squeeze(1), reduction="none")
    return out
