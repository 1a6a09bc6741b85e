"""A text that a model has read once, for caches to be compared on it; and the search for theta and lambda."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..checks import integer
from .cache import checked, log_shares, mixed
from .pairs import Scores, joined, latest, no_pairs, seen, target_scores

#: The search of MicroNet: steps of a twentieth of the value, longer after a success, shorter after a failure, and the
#: share of the value below which a step is too short to go on.
_FIRST, _LONGER, _SHORTER, _LEAST = 0.05, 1.2, 0.5, 0.005
#: Positions that are scored at once.
_CHUNK = 256


class Passage:
    """Hidden states, targets and the softmax's log-probabilities of a text: what any cache needs to know of the model.

    The text is B sequences of T words in their order; as a rule B is 1. ``resets`` as in :class:`NeuralCache`.

    >>> from adasoft.alternatives import FullSoftmax
    >>> softmax, hidden, words = FullSoftmax(4, 10), torch.randn(1, 50, 4), torch.randint(10, (1, 50))
    >>> passage = Passage.of(softmax, hidden, words)
    >>> found = search(lambda theta, lam: float(passage.nats(20, theta, lam).mean()), theta=0.5, lam=0.1)
    >>> found.nats <= float(passage.nats(20, 0.5, 0.1).mean())
    True

    Args:
        hidden: (B, T, d).
        target: (B, T), the word after each; none of them ignored.
        log_prob: (B, T), the softmax's log-probability of each.
        resets: (B, T), True where a document begins, or None.
    """

    def __init__(self, hidden: Tensor, target: Tensor, log_prob: Tensor, resets: Tensor | None = None) -> None:
        shape = tuple(target.shape)
        for name, value in (("hidden", hidden[..., 0]), ("log_prob", log_prob), ("resets", resets)):
            if value is not None and tuple(value.shape) != shape:
                raise ValueError(f"{name} should be of one text, (B, T) = {shape}, got {tuple(value.shape)}")
        if target.dim() != 2 or not target.numel():
            raise ValueError(f"target should have the shape (B, T), both at least 1, got {shape}")
        if bool((target < 0).any()):
            raise ValueError(f"target should hold ids of words, none of them ignored, got {int(target.min())}")
        self.hidden, self.target, self.log_prob, self.resets = hidden.detach(), target, log_prob.detach(), resets
        self._last: tuple[tuple[int, float, int], Scores] | None = None

    @classmethod
    @torch.no_grad()
    def of(cls, softmax: Any, hidden: Tensor, target: Tensor, resets: Tensor | None = None) -> Passage:
        """From a softmax, in evaluation mode, and the hidden states (B, T, d) of a body."""
        training = softmax.training
        softmax.eval()
        try:
            output = softmax(hidden, target).output
        finally:
            softmax.train(training)
        return cls(hidden, target, output, resets)

    @torch.no_grad()
    def scores(self, size: int, theta: float, until: int | None = None) -> Scores:
        """What caches of ``size`` pairs say of the first ``until`` targets (all by default): log p_cache, filled."""
        theta, _ = checked(theta, 0.0)
        steps = self.target.shape[1]
        until = steps if until is None else integer("until", until, 1, steps)
        key = (integer("size", size, 1), theta, until)
        if self._last is not None and self._last[0] == key:
            return self._last[1]  # another lambda for the same theta costs next to nothing
        state, parts = no_pairs(self.hidden), []
        for start in range(0, until, _CHUNK):
            at = slice(start, min(start + _CHUNK, until))
            query, words = self.hidden[:, at], self.target[:, at].long()
            resets = None if self.resets is None else self.resets[:, at]
            pairs = joined(state, query, words)
            parts.append(target_scores(pairs, query, words, theta, seen(pairs.words, words.shape[1], size, resets)))
            state = latest(pairs, size, resets)
        scores = Scores(torch.cat([s.log_prob for s in parts], 1), torch.cat([s.filled for s in parts], 1))
        self._last = (key, scores)
        return scores

    def nats(self, size: int, theta: float, lam: float, until: int | None = None) -> Tensor:
        """-log p of the first ``until`` targets with a cache of ``size`` pairs: (B, until), fp64.

        The cache is empty at the beginning of the passage. To tune on its first part and report on the rest, where the
        cache goes on as in a running text: search on ``nats(..., until=n)``, report ``nats(...)[:, n:]``.

        Raises ValueError for a size below 1, a theta below 0 or a lambda outside [0, 1).
        """
        theta, lam = checked(theta, lam)
        scores = self.scores(size, theta, until)
        own = self.log_prob[:, : scores.filled.shape[1]].double()
        return -mixed(own, scores.log_prob.double(), scores.filled, *log_shares(lam))


class Found(NamedTuple):
    """What :func:`search` found."""

    theta: float
    lam: float
    nats: float
    """The least that was found."""
    tried: int
    """How often ``nats`` was asked."""


def search(nats: Callable[[float, float], float], *, theta: float, lam: float, most: int = 500) -> Found:
    """theta and lambda of least ``nats(theta, lam)``, by alternating steps along each, as MicroNet searches them.

    Each has a step of its own, at first a twentieth of its value. A step that lowers ``nats`` is taken, and the next is
    1.2 times as long; else the next is half as long and goes the other way. The search ends when both steps are below
    0.5 % of their values, or after ``most`` calls. Steps to where theta would be below 0, or lambda outside [0, 1),
    fail without a call. A value that starts at 0 stays there: ``theta=0`` searches the best unigram cache.

    It finds a minimum near where it starts, in each of the two directions; start from the best of a coarse grid.
    Whether the authors' search turns round after a failure is not said; ours does.

    Raises ValueError for values out of range.

    >>> found = search(lambda theta, lam: (theta - 2) ** 2 + (lam - 0.3) ** 2, theta=1.0, lam=0.1)
    >>> round(found.theta, 1), round(found.lam, 1)
    (2.0, 0.3)
    """
    theta, lam = checked(theta, lam)
    most = integer("most", most, 1)
    values, steps = [theta, lam], [_FIRST * theta, _FIRST * lam]
    best, tried = nats(theta, lam), 1
    while tried < most and any(abs(step) > _LEAST * value for step, value in zip(steps, values, strict=True)):
        for i in (0, 1):
            if abs(steps[i]) <= _LEAST * values[i]:
                continue
            moved = values.copy()
            moved[i] += steps[i]
            if moved[0] >= 0 and 0 <= moved[1] < 1:
                now, tried = nats(*moved), tried + 1
                if now < best:
                    best, values, steps[i] = now, moved, _LONGER * steps[i]
                    continue
            steps[i] *= -_SHORTER
    return Found(values[0], values[1], best, tried)
