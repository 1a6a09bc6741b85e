"""Exact decoding: the best words, and words drawn from the distribution, over head and tails.

A word's log-probability in tail i is that of its cluster plus its own within the tail, which is never above 0.
So a row whose cluster lies below the k-th best word found so far need not open the tail: nothing in it can enter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

#: Log-probabilities held at once while tails are opened (64 MiB in fp32).
CHUNK_ELEMENTS = 1 << 24


class TopK(NamedTuple):
    """``values`` (..., k) log-probabilities in falling order and ``indices`` (..., k), the user's ids."""

    values: Tensor
    indices: Tensor


Tail = Callable[[Tensor], Tensor]


def _chunks(rows: Tensor, n_words: int) -> tuple[Tensor, ...]:
    return torch.split(rows, _rows(n_words))


def topk_ranks(
    x: Tensor, head_log_prob: Tensor, cutoffs: list[int], tails: list[Tail], k: int
) -> tuple[Tensor, Tensor]:
    """The ``k`` best words of every row, as (values, ranks), each (N, k).

    ``x`` (N, d); ``head_log_prob`` (N, c_1 + J); ``cutoffs`` = [c_1, ..., V]; ``tails[i]`` maps rows (n, d) to
    log-probabilities within tail i (n, k_i). Exact: a tail is passed over only for rows where its cluster's
    log-probability is below the k-th best word's. Words with equal values come in no set order.
    """
    n, shortlist = len(x), cutoffs[0]
    found = min(k, shortlist)
    values, ranks = head_log_prob[:, :shortlist].topk(found, dim=1)
    if found < k:
        values = torch.cat([values, values.new_full((n, k - found), -torch.inf)], 1)
        ranks = torch.cat([ranks, ranks.new_full((n, k - found), -1)], 1)
    for i, tail in enumerate(tails):
        cluster = head_log_prob[:, shortlist + i]
        # "not below" lets a word of probability zero or nan fill a place that is still empty (rank -1)
        opened = (~(cluster < values[:, -1])).nonzero().squeeze(1)
        size = cutoffs[i + 1] - cutoffs[i]
        for rows in _chunks(opened, size):
            if not len(rows):
                continue
            inside, where = tail(x[rows]).topk(min(k, size), dim=1)
            both = torch.cat([values[rows], inside + cluster[rows].unsqueeze(1)], 1)
            both_ranks = torch.cat([ranks[rows], where + cutoffs[i]], 1)
            # places still empty lose against words of equal value (-inf)
            key = torch.where(both_ranks < 0, -torch.inf, both.clamp(min=torch.finfo(both.dtype).min))
            best = key.topk(k, dim=1).indices
            values[rows], ranks[rows] = both.gather(1, best), both_ranks.gather(1, best)
    return values, ranks


def _draw(log_prob: Tensor, n: int, generator: torch.Generator | None) -> Tensor:
    """``n`` draws per row of (N, k) log-probabilities by inverse cumulative probability, in fp64."""
    mass = log_prob.double().exp().cumsum(1)
    u = torch.rand(len(log_prob), n, dtype=torch.float64, device=log_prob.device, generator=generator)
    # right=True passes over words of probability zero; the clamp covers u * total rounding up to the total
    return torch.searchsorted(mass, u * mass[:, -1:], right=True).clamp(max=log_prob.shape[1] - 1)


def sample_ranks(
    x: Tensor,
    head_log_prob: Tensor,
    cutoffs: list[int],
    tails: list[Tail],
    n: int,
    generator: torch.Generator | None = None,
) -> Tensor:
    """``n`` independent words per row from the exact distribution, as ranks (N, n). Arguments as `topk_ranks`."""
    shortlist = cutoffs[0]
    out = torch.cat([_draw(part, n, generator) for part in torch.split(head_log_prob, _rows(head_log_prob.shape[1]))])
    clusters = out - shortlist
    for i, tail in enumerate(tails):
        chosen = clusters == i
        for rows in _chunks(chosen.any(1).nonzero().squeeze(1), cutoffs[i + 1] - cutoffs[i]):
            if len(rows):
                drawn = _draw(tail(x[rows]), n, generator) + cutoffs[i]
                out[rows] = torch.where(chosen[rows], drawn, out[rows])
    return out


def _rows(n_words: int) -> int:
    return max(1, CHUNK_ELEMENTS // max(n_words, 1))
