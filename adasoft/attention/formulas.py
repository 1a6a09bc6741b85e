r"""Attention in two forms, as pure functions: with keys and values, and with the input in their place.

For head i, with X (n, d_x) the input, x a new row, and b_k,i the same at every position:

.. math::
    q_i (X W_{k,i} + 1 b_{k,i})^T = (q_i W_{k,i}^T) X^T + q_i b_{k,i}^T 1^T, \qquad q_i = x W_{q,i} + b_{q,i}

The last term is equal for all positions, and the softmax removes it. Rows of its result A_i sum to 1, so

.. math::
    A_i (X W_{v,i} + 1 b_{v,i}) = (A_i X) W_{v,i} + b_{v,i}

The left sides are :func:`attention` (Vaswani et al. 2017), the right sides :func:`el_attention` (Yan et al. 2021),
which drops b_k; the authors' released code adds it. The query is expanded from H x d_h to H x d_x numbers. Seen so,
EL-attention is attention with one group of keys, which are the values as well: X.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from .weights import AttentionWeights


def attention(weights: AttentionWeights, x: Tensor, memory: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
    """Multi-head attention as usual: x (b, s, d) asks ``memory`` (b, n, d_x), by default x itself: (b, s, d).

    Args:
        weights: of the layer.
        x: what asks.
        memory: what is attended to.
        mask: broadcastable to (b, H, s, n): added to the scores, or, of bools, True where nothing may be read, as in
            PyTorch (and as there, a row that may read nothing is nan). See :func:`causal_mask`.

    Raises ValueError if sizes do not fit.
    """
    memory = checked(weights, x, memory)
    parts = [keys_and_values(weights, memory)]
    return joined(weights, attended(queries(weights, x), parts, mask))


def el_attention(
    weights: AttentionWeights, x: Tensor, memory: Tensor | None = None, mask: Tensor | None = None
) -> Tensor:
    """The same outputs and gradients as :func:`attention` (that of ``key_bias`` is none), without keys and values.

    >>> weights = AttentionWeights.of(torch.nn.MultiheadAttention(6, 3))
    >>> x, memory = torch.randn(2, 4, 6), torch.randn(2, 5, 6)
    >>> torch.allclose(el_attention(weights, x, memory), attention(weights, x, memory), atol=1e-6)
    True
    """
    memory = checked(weights, x, memory)
    parts = [(memory.unsqueeze(-3),) * 2]
    return joined(weights, values_of(weights, attended(expanded_queries(weights, x), parts, mask)))


def causal_mask(steps: int, n: int, device: torch.device | str | None = None) -> Tensor:
    """True where the last ``steps`` of ``n`` positions may not read, for that comes after them: (steps, n).

    >>> causal_mask(2, 3)
    tensor([[False, False,  True],
            [False, False, False]])
    """
    return torch.ones(steps, n, dtype=torch.bool, device=device).triu(n - steps + 1)


def with_causal(mask: Tensor | None, steps: int, n: int, device: torch.device) -> Tensor:
    """``mask``, additive, of bools or None, and :func:`causal_mask` in one."""
    after = causal_mask(steps, n, device)
    if mask is None:
        return after
    return mask | after if mask.dtype == torch.bool else mask.masked_fill(after, -math.inf)


def checked(weights: AttentionWeights, x: Tensor, memory: Tensor | None) -> Tensor:
    """``memory``, or x if that is None. Raises ValueError if the sizes of the two do not fit the weights."""
    if x.dim() < 3 or x.shape[-1] != weights.in_features:
        raise ValueError(f"x should have the shape (b, s, {weights.in_features}), got {tuple(x.shape)}")
    if memory is None:
        memory = x
    if memory.dim() != x.dim() or memory.shape[-1] != weights.memory_features or memory.shape[0] != x.shape[0]:
        shape = f"({x.shape[0]}, n, {weights.memory_features})"
        raise ValueError(f"memory should have the shape {shape}, got {tuple(memory.shape)}")
    if not memory.shape[-2]:
        raise ValueError("memory should hold at least one position, got none")
    return memory


def queries(weights: AttentionWeights, x: Tensor) -> Tensor:
    """(..., s, d) -> (..., H, s, d_h), divided by sqrt(d_h)."""
    return _projected(x, weights.query, weights.query_bias) / math.sqrt(weights.query.shape[1])


def expanded_queries(weights: AttentionWeights, x: Tensor) -> Tensor:
    """Queries times the key projection of their group: (..., s, d) -> (..., H, s, d_x).

    Divided by sqrt(d_h), not sqrt(d_x). Two products: W_q W_k^T itself, d x d_x for each head, would be more work.
    """
    return _by_group(queries(weights, x), weights.key)


def keys_and_values(weights: AttentionWeights, memory: Tensor) -> tuple[Tensor, Tensor]:
    """(..., n, d_x) -> (..., G, n, d_h) and (..., G, n, d_v)."""
    return (
        _projected(memory, weights.key, weights.key_bias),
        _projected(memory, weights.value, weights.value_bias),
    )


def attended(asking: Tensor, parts: Sequence[tuple[Tensor, Tensor]], mask: Tensor | None) -> Tensor:
    """One softmax over the positions of all ``parts``, and the mean of their values under it.

    Args:
        asking: queries (b, H, s, k), or (b, m, H, s, k) for m beams.
        parts: keys (b, G, n, k) and values (b, G, n, v) of parts of the history; with beams (b, p, G, n, ...), p = m,
            or p = 1 where all beams share them: then the rows of all beams are one product.
        mask: see :func:`attention`; broadcastable to (b, H, s, n), or (b, m, H, s, n), n of all parts together.

    Returns (b, H, s, v), or (b, m, H, s, v).
    """
    if asking.dim() == 4:
        return attended(
            asking.unsqueeze(1),
            [(keys.unsqueeze(1), values.unsqueeze(1)) for keys, values in parts],
            mask.unsqueeze(1) if mask is not None and mask.dim() == 4 else mask,
        ).squeeze(1)
    scores = [_unfolded(_folded(asking, keys) @ keys.transpose(-1, -2), asking, keys) for keys, _ in parts]
    total = scores[0] if len(scores) == 1 else torch.cat(scores, -1)
    if mask is not None:
        total = total.masked_fill(mask, -math.inf) if mask.dtype == torch.bool else total + mask
    shares = torch.split(total.softmax(-1), [keys.shape[-2] for keys, _ in parts], -1)
    means = [
        _unfolded(_folded(share, values) @ values, asking, values)
        for share, (_, values) in zip(shares, parts, strict=True)
    ]
    return means[0] if len(means) == 1 else torch.stack(means).sum(0)


def values_of(weights: AttentionWeights, means: Tensor) -> Tensor:
    """The value projection of means of X: (..., H, s, d_x) -> (..., H, s, d_v)."""
    values = _by_group(means, weights.value.transpose(1, 2))
    if weights.value_bias is None:
        return values
    return values + weights.value_bias.repeat_interleave(weights.n_heads // weights.n_groups, 0).unsqueeze(1)


def joined(weights: AttentionWeights, heads: Tensor) -> Tensor:
    """Heads side by side, through the output projection: (..., H, s, d_v) -> (..., s, d)."""
    return F.linear(heads.transpose(-2, -3).flatten(-2), weights.output, weights.output_bias)


def _projected(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    flat = F.linear(x, weight.flatten(0, 1), None if bias is None else bias.flatten())
    return flat.view(*flat.shape[:-1], *weight.shape[:2]).transpose(-2, -3)


def _by_group(rows: Tensor, weight: Tensor) -> Tensor:
    """rows (..., H, s, k) times the weight (G, k, v) of their group: (..., H, s, v). One product per group."""
    *lead, heads, steps, size = rows.shape
    groups, _, out = weight.shape
    many, each = math.prod(lead), heads // groups * steps
    grouped = rows.reshape(many, groups, each, size).transpose(0, 1)
    product = grouped.flatten(1, 2) @ weight  # (G, rows of all, v): a product of 4 dimensions would copy the weight
    return product.view(groups, many, each, out).transpose(0, 1).reshape(*lead, heads, steps, out)


def _folded(rows: Tensor, stored: Tensor) -> Tensor:
    """(b, m, H, s, k) -> (b, p, G, rows, k): all rows that meet the same stored keys, or values."""
    b, m, heads, steps, size = rows.shape
    p, groups = stored.shape[1:3]
    split = rows.reshape(b, p, m // p, groups, heads // groups, steps, size)
    return split.transpose(2, 3).reshape(b, p, groups, m // p * (heads // groups) * steps, size)


def _unfolded(product: Tensor, asking: Tensor, stored: Tensor) -> Tensor:
    """The way back: (b, p, G, rows, v) -> (b, m, H, s, v)."""
    b, m, heads, steps, _ = asking.shape
    p, groups = stored.shape[1:3]
    size = product.shape[-1]
    split = product.reshape(b, p, groups, m // p, heads // groups, steps, size)
    return split.transpose(2, 3).reshape(b, m, heads, steps, size)
