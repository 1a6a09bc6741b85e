"""Causal self-attention, a few positions at a time: the cache of keys and values, and that of EL-attention."""

from __future__ import annotations

import torch
from torch import Tensor

from ..checks import integer
from .formulas import attended, attention, expanded_queries, joined, keys_and_values, queries, values_of, with_causal
from .weights import AttentionWeights


class _Rows:
    """Room for rows of size k: (b, p, G, capacity, k), of which the first ``used`` are written."""

    def __init__(self, like: Tensor, capacity: int) -> None:
        b, p, groups, _, size = like.shape
        self.buffer = like.new_empty(b, p, groups, capacity, size)
        self.used = 0

    @property
    def written(self) -> Tensor:
        return self.buffer[..., : self.used, :]

    def append(self, rows: Tensor) -> None:
        end = self.used + rows.shape[-2]
        self.buffer[..., self.used : end, :] = rows
        self.used = end

    def select(self, parent: Tensor) -> None:
        every = torch.arange(len(parent), device=parent.device).unsqueeze(1)
        self.written[:] = self.written[every, parent]


class SelfAttentionCache:
    """What the two caches share: room, beams, bytes. A subclass says what is stored, and how it is asked.

    Args:
        weights: of the layer.
        capacity: positions there is room for, of prompt and words together. Its memory is taken at once.

    For decoding: what is stored has no gradients (:func:`adasoft.attention.el_attention` has).
    """

    def __init__(self, weights: AttentionWeights, capacity: int) -> None:
        if weights.in_features != weights.memory_features:
            raise ValueError(
                f"weights should be of self-attention, whose queries and keys have one input, got inputs of sizes "
                f"{weights.in_features} and {weights.memory_features}"
            )
        self.weights = weights
        self.capacity = integer("capacity", capacity, 1)
        self._shared: list[_Rows] = []  # of the prompt, once for all beams
        self._own: list[_Rows] = []  # of each beam

    # ------------------------------------------------------------------ what a subclass gives

    def _stored(self, x: Tensor) -> tuple[Tensor, ...]:
        """Rows to be stored of new positions: (b, m, s, d) -> tensors (b, m, G, s, k)."""
        raise TypeError(f"{type(self).__name__} should define _stored")

    def _answers(self, x: Tensor, parts: list[list[Tensor]], mask: Tensor | None) -> Tensor:
        """Outputs (b, m, s, d) of the new positions x, given what is stored of each part of the history."""
        raise TypeError(f"{type(self).__name__} should define _answers")

    # ------------------------------------------------------------------ shared

    def attend(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Store new positions and answer them: x (b, m, s, d) -> (b, m, s, d). Each sees itself and all before it.

        Args:
            x: the input of the layer's projections (after the norm, with norm first) for m beams of each of b
                prompts. At first m is 1, unless the beams' prompts differ; later as :meth:`branch` said.
            mask: added to the scores (or True where nothing may be read), broadcastable to (b, m, H, s, n) with n all
                positions so far, the new ones included. The causal mask need not be in it.

        Raises ValueError if x does not fit, or there is no room.
        """
        if torch.is_grad_enabled() and (x.requires_grad or self.weights.output.requires_grad):
            raise ValueError("x should be attended to under torch.no_grad: a cache keeps no gradients")
        first = not self.positions
        self.store(x)
        if x.shape[2] > 1:
            mask = with_causal(mask, x.shape[2], self.positions, x.device)
        if first:
            return self._prompt(x, mask)
        parts = [[rows.written for rows in part] for part in (self._shared, self._own) if part and part[0].used]
        return self._answers(x, parts, mask)

    @torch.no_grad()
    def store(self, x: Tensor) -> None:
        """Store new positions x (b, m, s, d) whose answers are not needed. Raises ValueError as :meth:`attend` does."""
        d = self.weights.in_features
        expected = f"(b, m, s, {d})" if not self._own else f"{self.shape} + (s, {d})"
        if x.dim() != 4 or x.shape[-1] != d or (self._own and x.shape[:2] != self.shape) or not x.shape[2]:
            raise ValueError(f"x should have the shape {expected} with s at least 1, got {tuple(x.shape)}")
        n = self.positions + x.shape[2]
        if n > self.capacity:
            raise ValueError(f"capacity should be at least the {n} positions to be stored, got {self.capacity}")
        stored = self._stored(x)
        if not self._own:
            self._own = [_Rows(rows, self.capacity) for rows in stored]
        for room, rows in zip(self._own, stored, strict=True):
            room.append(rows)

    def _prompt(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Attention of a prompt to itself, with keys and values that are not kept: fewer multiply-adds than EL's."""
        if mask is not None and mask.dim() > 2:
            mask = mask[(None,) * (5 - mask.dim())]
            mask = mask.expand(*x.shape[:2], *mask.shape[2:]).flatten(0, 1)
        return attention(self.weights, x.flatten(0, 1), mask=mask).view_as(x)

    @property
    def positions(self) -> int:
        """Positions stored so far."""
        return sum(part[0].used for part in (self._shared, self._own) if part)

    @property
    def shape(self) -> tuple[int, int]:
        """(b, m): prompts, and beams of each. (0, 0) before anything is stored."""
        return (self._own[0].buffer.shape[0], self._own[0].buffer.shape[1]) if self._own else (0, 0)

    @property
    def nbytes(self) -> int:
        """Bytes of memory taken, room for later positions included."""
        return sum(rows.buffer.untyped_storage().nbytes() for rows in (*self._shared, *self._own))

    def branch(self, beams: int, *, copies: bool = False) -> None:
        """Let every prompt have ``beams`` continuations from here on: m, 1 so far, becomes ``beams``.

        What is stored so far is kept once, and read by all beams; with ``copies``, once for each beam, as many
        implementations do. Raises ValueError if nothing is stored yet, or there are beams already.
        """
        beams = integer("beams", beams, 1)
        if self.shape[1] != 1 or self._shared:
            raise ValueError(f"beams should branch once, after the prompt was stored, got m = {self.shape[1]}")
        before = self._own
        like = [rows.buffer.expand(-1, beams, -1, -1, -1) for rows in before]
        if copies:
            self._own = [_Rows(rows, self.capacity) for rows in like]
            for room, rows in zip(self._own, before, strict=True):
                room.append(rows.written)
            return
        self._shared = [_Rows(rows.buffer, rows.used) for rows in before]
        for room, rows in zip(self._shared, before, strict=True):
            room.append(rows.written)
        self._own = [_Rows(rows, self.capacity - before[0].used) for rows in like]

    def select(self, parent: Tensor) -> None:
        """Let beam j of prompt i go on from what was beam ``parent[i, j]``: ids (b, m). A shared prompt stays put.

        Raises ValueError if they are not (b, m) integers, each from 0 to m - 1.
        """
        if parent.shape != self.shape or parent.dtype != torch.long:
            raise ValueError(f"parent should hold int64 of shape {self.shape}, got {tuple(parent.shape)}")
        if parent.numel() and not 0 <= int(parent.min()) <= int(parent.max()) < self.shape[1]:
            raise ValueError(f"parent should hold beams from 0 to {self.shape[1] - 1}, got {parent.tolist()}")
        for rows in self._own:
            rows.select(parent)

    def rewind(self, positions: int) -> None:
        """Forget all but the first ``positions``. Raises ValueError for more than there are, or less than beams share.

        With beams, their histories up to there are those after the last :meth:`select`.
        """
        shared = self._shared[0].used if self._shared else 0
        positions = integer("positions", positions, shared, self.positions)
        for rows in self._own:
            rows.used = positions - shared


class KeyValueCache(SelfAttentionCache):
    """Keys and values of all positions: 2 G d_h numbers each (2 d where every head has its own).

    >>> cache = KeyValueCache(AttentionWeights.of(torch.nn.MultiheadAttention(6, 3)), capacity=10)
    >>> with torch.no_grad():
    ...     prompt, word = cache.attend(torch.randn(1, 1, 9, 6)), cache.attend(torch.randn(1, 1, 1, 6))
    >>> cache.positions, cache.nbytes
    (10, 480)
    """

    def _stored(self, x: Tensor) -> tuple[Tensor, ...]:
        return keys_and_values(self.weights, x)

    def _answers(self, x: Tensor, parts: list[list[Tensor]], mask: Tensor | None) -> Tensor:
        pairs = [(keys, values) for keys, values in parts]
        return joined(self.weights, attended(queries(self.weights, x), pairs, mask))


class ELCache(SelfAttentionCache):
    """The inputs of all positions, d numbers each: half of a :class:`KeyValueCache`, and the same outputs.

    >>> cache = ELCache(AttentionWeights.of(torch.nn.MultiheadAttention(6, 3)), capacity=10)
    >>> with torch.no_grad():
    ...     prompt, word = cache.attend(torch.randn(1, 1, 9, 6)), cache.attend(torch.randn(1, 1, 1, 6))
    >>> cache.positions, cache.nbytes
    (10, 240)

    A prompt that is stored at once, before anything else, is answered with keys and values, which are then dropped.
    """

    def _stored(self, x: Tensor) -> tuple[Tensor, ...]:
        return (x.unsqueeze(2),)

    def _answers(self, x: Tensor, parts: list[list[Tensor]], mask: Tensor | None) -> Tensor:
        pairs = [(inputs, inputs) for (inputs,) in parts]
        return joined(self.weights, values_of(self.weights, attended(expanded_queries(self.weights, x), pairs, mask)))
