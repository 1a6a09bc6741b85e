"""Pairs of a hidden state and the next word, for sequences side by side: which are seen, and what they predict."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

#: In the place of a word: nothing is remembered here. No id is negative.
EMPTY = -1


class Pairs(NamedTuple):
    """The last n pairs of each of B sequences, the oldest first. A tuple of tensors, as a state of a body is."""

    keys: Tensor
    """Hidden states (B, n, d), without gradients."""
    words: Tensor
    """The words after them (B, n), ids; -1: nothing is remembered here."""


class Scores(NamedTuple):
    """What the pairs seen from some positions say of their target."""

    log_prob: Tensor
    """(B, T), log of p_cache(target); -inf where the target is not among them, or there are none."""
    filled: Tensor
    """(B, T), bool: whether any pair is seen."""


def no_pairs(hidden: Tensor) -> Pairs:
    """Those of a text that begins, of the dtype and on the device of ``hidden`` (B, T, d)."""
    batch, _, d = hidden.shape
    return Pairs(hidden.new_empty(batch, 0, d), torch.empty(batch, 0, dtype=torch.long, device=hidden.device))


def seen(words: Tensor, n_steps: int, size: int, resets: Tensor | None) -> Tensor:
    """Which pairs each of the last ``n_steps`` positions sees: ``words`` (B, n + T) -> (B, T, n + T), bool.

    Position t of the T sees the ``size`` pairs before its own, but for empty ones, and none from before the last
    position up to t where ``resets`` (B, T) is True.
    """
    total = words.shape[1]
    place = torch.arange(total, device=words.device)
    own = place[total - n_steps :].unsqueeze(1)
    visible = ((place < own) & (place >= own - size)).unsqueeze(0) & (words != EMPTY).unsqueeze(1)
    if resets is not None:
        visible = visible & (place >= _first_seen(resets, total - n_steps).unsqueeze(2))
    return visible


def _first_seen(resets: Tensor, n_before: int) -> Tensor:
    """The first place that each position may see: that of its last reset, or 0. (B, T)"""
    own = torch.arange(n_before, n_before + resets.shape[1], device=resets.device)
    return torch.where(resets, own, 0).cummax(1).values


def target_scores(pairs: Pairs, query: Tensor, target: Tensor, theta: Tensor | float, visible: Tensor) -> Scores:
    """log p_cache of each target: Grave et al. 2017, sum of exp(theta h_t . h_i) where the pair's word is the target.

    ``query`` (B, T, d), ``target`` (B, T); ``visible`` (B, T, m) of the m pairs. Sums in fp32 at least. Gradients flow
    into query, keys and theta.
    """
    logits = theta * _dots(query, pairs.keys)
    hit = visible & (pairs.words.unsqueeze(1) == target.unsqueeze(2))
    return Scores(_log_sum(logits, hit) - _log_sum(logits, visible, empty=0.0), visible.any(2))


def word_scores(pairs: Pairs, query: Tensor, theta: Tensor | float, visible: Tensor) -> tuple[Tensor, Tensor]:
    """p_cache of each remembered word, at one position: query (B, d), visible (B, m) -> words (B, m), log p (B, m).

    A word that is remembered several times has its whole probability at one of its places, and -1 and -inf at others.
    """
    logits = (theta * _dots(query.unsqueeze(1), pairs.keys).squeeze(1)).masked_fill(~visible, -torch.inf)
    words, order = pairs.words.masked_fill(~visible, EMPTY).sort(1)
    logits = logits.gather(1, order)
    first = torch.ones_like(words, dtype=torch.bool)
    first[:, 1:] = words[:, 1:] != words[:, :-1]
    group = first.cumsum(1) - 1  # words are sorted: one group for each different word
    largest = torch.full_like(logits, -torch.inf).scatter_reduce(1, group, logits.detach(), "amax")
    shift = largest.masked_fill(largest == -torch.inf, 0.0)
    sums = torch.zeros_like(logits).scatter_add(1, group, (logits - shift.gather(1, group)).exp())
    total = _log_sum(logits, words != EMPTY, empty=0.0)
    log_prob = (shift + sums.log()).gather(1, group) - total.unsqueeze(1)
    kept = first & (words != EMPTY)
    return words.masked_fill(~kept, EMPTY), log_prob.masked_fill(~kept, -torch.inf)


def joined(before: Pairs, hidden: Tensor, words: Tensor) -> Pairs:
    """The pairs so far, and new ones: hidden (B, T, d), words (B, T)."""
    return Pairs(torch.cat([before.keys.to(hidden.dtype), hidden], 1), torch.cat([before.words, words], 1))


def latest(pairs: Pairs, size: int, resets: Tensor | None) -> Pairs:
    """The last ``size`` of them, for the next positions: without gradients, and without what a reset forgot.

    ``resets`` (B, T), of the last T pairs.
    """
    words = pairs.words
    if resets is not None:
        total = words.shape[1]
        least = _first_seen(resets, total - resets.shape[1])[:, -1:]
        words = words.masked_fill(torch.arange(total, device=words.device) < least, EMPTY)
    return Pairs(pairs.keys[:, -size:].detach().clone(), words[:, -size:].clone())


def _dots(query: Tensor, keys: Tensor) -> Tensor:
    """h_t . h_i, (B, T, d) and (B, m, d) -> (B, T, m), in fp32 at least: theta h . h overflows half precision."""
    dtype = torch.promote_types(query.dtype, torch.float32)
    with torch.autocast(query.device.type, enabled=False):
        return query.to(dtype) @ keys.to(dtype).transpose(1, 2)


def _log_sum(logits: Tensor, chosen: Tensor, empty: float = -torch.inf) -> Tensor:
    """Log-sum-exp of the chosen logits, (..., m) -> (...); ``empty`` where there are none, with gradients of zeros."""
    if not logits.shape[-1]:
        return logits.sum(-1) + empty
    inside = logits.masked_fill(~chosen, -torch.inf)
    return torch.logsumexp(inside, -1).masked_fill(~chosen.any(-1), empty)
