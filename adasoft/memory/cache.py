"""`NeuralCache`: what the text has just said, mixed into any softmax of this package (Grave et al. 2017)."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checks import ABOVE_0, BELOW_1, integer, number
from ..decoding import TopK
from ..inputs import check_hidden, check_ids, check_target
from .pairs import EMPTY, Pairs, joined, latest, no_pairs, seen, target_scores, word_scores

#: What theta can be: beyond it, theta times a product of two states would overflow fp32.
_MOST_THETA = 1e30


class CachedOutput(NamedTuple):
    """What :class:`NeuralCache` returns."""

    output: Tensor
    """Log-probability of each target (B, T); 0 where it is ignored."""
    loss: Tensor
    """Its negative, reduced as the softmax does."""
    state: Pairs
    """For the next positions of the same sequences; no gradient flows through it."""


class NeuralCache(nn.Module):
    r"""A softmax, and beside it a cache of the last N pairs of a state and the word that came after it.

    .. math::
        p_{cache}(w) = \frac{\sum_i 1[w = x_{i+1}] \exp(\theta\, h_t \cdot h_i)}{\sum_i \exp(\theta\, h_t \cdot h_i)},
        \qquad p = (1 - \lambda)\, p_{softmax} + \lambda\, p_{cache}

    (Grave, Joulin and Usunier 2017, the linear mixture). theta = 0 counts words alone, the unigram cache of Kuhn and De
    Mori 1990. While nothing is remembered, p is the softmax's own; the code of MicroNet loses lambda there. The words
    of the past are inputs already: nothing is known that a model may not know.

    Unlike a softmax, it needs time: hidden states (B, T, d) of T successive words of B sequences, and the ``state`` of
    the call before (None: the text begins). Sequences never see each other's pairs. (The code of MicroNet is made for
    one sequence, but trains on several laid end to end.) A cache longer than the text remembers all of it. What is
    remembered are the states as they are passed: in training, after dropout.

    >>> from adasoft.alternatives import FullSoftmax
    >>> cache = NeuralCache(FullSoftmax(4, 10), size=100, theta=0.5, lam=0.2)
    >>> hidden, words = torch.randn(2, 6, 4), torch.randint(10, (2, 6))
    >>> output, loss, state = cache(hidden, words)
    >>> cache(hidden, words, state).output.shape, state.words.shape
    (torch.Size([2, 6]), torch.Size([2, 6]))
    >>> cache.topk(hidden[:, -1], 3, state).indices.shape
    torch.Size([2, 3])

    Args:
        softmax: anything that follows :class:`adasoft.alternatives.Softmax`. It keeps its own order of ids and its
            ``ignore_index``; an ignored target is not remembered, but has its place among the N.
        size: N, at least 1.
        theta: at least 0 and at most 1e30. It scales with 1 / |h|^2.
        lam: lambda, at least 0 and below 1. 0 is the softmax alone.
        trained: learn both with the model, as MicroNet does: theta = softplus(``raw_theta``), lambda =
            sigmoid(``raw_lam``), from these values, both above 0. Keys of the current call carry gradients, older ones
            do not. Otherwise both are constants of the object and no part of ``state_dict``.

    Raises ValueError for values out of range.
    """

    def __init__(self, softmax: Any, size: int, *, theta: float = 1.0, lam: float = 0.1, trained: bool = False) -> None:
        super().__init__()
        self.softmax, self.size, self.trained = softmax, integer("size", size, 1), bool(trained)
        self.in_features, self.n_classes = softmax.in_features, softmax.n_classes
        if self.trained:
            self.raw_theta, self.raw_lam = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(()))
        self.set(theta, lam)

    # ------------------------------------------------------------------ theta and lambda

    @torch.no_grad()
    def set(self, theta: float, lam: float) -> None:
        """Other values, as a search has found them; what is trained goes on from them."""
        theta, lam = checked(theta, lam, trained=self.trained)
        if self.trained:
            # the inverse of softplus, which overflows for no theta
            self.raw_theta.fill_(theta + math.log(-math.expm1(-theta)))
            self.raw_lam.fill_(math.log(lam) - math.log1p(-lam))
        else:
            self._theta, self._lam = theta, lam

    @property
    def theta(self) -> float:
        """theta as it stands."""
        return F.softplus(self.raw_theta).item() if self.trained else self._theta

    @property
    def lam(self) -> float:
        """lambda as it stands."""
        return self.raw_lam.sigmoid().item() if self.trained else self._lam

    def _mixed(self, of_softmax: Tensor, of_cache: Tensor, filled: Tensor) -> Tensor:
        if self.trained:
            return mixed(of_softmax, of_cache, filled, F.logsigmoid(-self.raw_lam), F.logsigmoid(self.raw_lam))
        return mixed(of_softmax, of_cache, filled, *log_shares(self._lam))

    def _sharpness(self) -> Tensor | float:
        return F.softplus(self.raw_theta) if self.trained else self._theta

    # ------------------------------------------------------------------ text as it was

    def forward(
        self, hidden: Tensor, target: Tensor, state: Pairs | None = None, resets: Tensor | None = None
    ) -> CachedOutput:
        """Log-probabilities of the targets and the loss, for T words of B sequences in the order of the text.

        Scores of all pairs are kept for backward: some B T (N + T) numbers.

        Args:
            hidden: (B, T, d), T at least 1.
            target: (B, T), the word after each.
            state: of the call before; None: nothing is remembered yet.
            resets: (B, T), bool: True where a document begins. That position and those after it see no pair from
                before. None: the cache runs on across documents.

        Raises RuntimeError where shapes, dtypes or devices do not fit, for a target out of range, and for a softmax
        whose output is an estimate (sampled, in training mode), which is no probability to be mixed.
        """
        self._check(hidden, target, state, resets)
        output = self.softmax(hidden, target).output
        before = no_pairs(hidden) if state is None else state
        ignored = target == self.softmax.ignore_index
        pairs = joined(before, hidden, target.long().masked_fill(ignored, EMPTY))
        visible = seen(pairs.words, target.shape[1], self.size, resets)
        scores = target_scores(pairs, hidden, target, self._sharpness(), visible)
        output = self._mixed(output, scores.log_prob.to(output.dtype), scores.filled & ~ignored)
        return CachedOutput(output, self._reduced(output, ignored), latest(pairs, self.size, resets))

    def _reduced(self, output: Tensor, ignored: Tensor) -> Tensor:
        if self.softmax.reduction == "none":
            return -output
        loss = -output.sum()
        return loss / (~ignored).sum() if self.softmax.reduction == "mean" else loss

    def remember(
        self, hidden: Tensor, words: Tensor, state: Pairs | None = None, resets: Tensor | None = None
    ) -> Pairs:
        """The state after more words, without scoring them: arguments as of :meth:`forward`."""
        self._check(hidden, words, state, resets)
        before = no_pairs(hidden) if state is None else state
        ignored = words == self.softmax.ignore_index
        bad = ~ignored & ((words < 0) | (words >= self.n_classes))
        if bool(bad.any()):
            raise RuntimeError(f"words should be ids from 0 to {self.n_classes - 1}, got {int(words[bad][0])}")
        kept = words.long().masked_fill(ignored, EMPTY)
        return latest(joined(before, hidden, kept), self.size, resets)

    # ------------------------------------------------------------------ the next word

    def log_prob(self, hidden: Tensor, state: Pairs | None = None) -> Tensor:
        """Log-probabilities of all words, for the next word of each sequence: (B, d) -> (B, V). They sum to one."""
        own: Tensor = self.softmax.log_prob(hidden)
        words, scores, filled = self._remembered(hidden, state)
        # places without a word go into a column of their own, which is cut off
        columns = words.masked_fill(words == EMPTY, self.n_classes)
        spread = own.new_full((len(own), self.n_classes + 1), -torch.inf).scatter(1, columns, scores.to(own.dtype))
        return self._mixed(own, spread[:, : self.n_classes], filled.unsqueeze(1))

    @torch.no_grad()
    def topk(self, hidden: Tensor, k: int, state: Pairs | None = None) -> TopK:
        """The k most probable next words: (B, d) -> values (B, k), indices (B, k). As exact as the softmax's ``topk``.

        The softmax's own k best and the remembered words are looked at, at most k + N: the probabilities of all others
        are (1 - lam) times the softmax's, and keep their order.

        Raises ValueError if k is not between 1 and V.
        """
        best = self.softmax.topk(hidden, integer("k", k, 1, self.n_classes))
        words, scores, filled = self._remembered(hidden, state)
        nothing = words == EMPTY
        known = _log_prob_of(self.softmax, hidden, words.clamp(min=0))
        remembered = self._mixed(known, scores.to(known.dtype), filled.unsqueeze(1))
        others = self._mixed(best.values, torch.full_like(best.values, -torch.inf), filled.unsqueeze(1))
        # a word of both lists counts once, with what the cache adds
        twice = (best.indices.unsqueeze(2) == words.unsqueeze(1)).any(2)
        values = torch.cat([others.masked_fill(twice, -torch.inf), remembered.masked_fill(nothing, -torch.inf)], 1)
        values, at = values.topk(k, 1)
        return TopK(values, torch.cat([best.indices, words], 1).gather(1, at))

    def _remembered(self, hidden: Tensor, state: Pairs | None) -> tuple[Tensor, Tensor, Tensor]:
        """Words (B, n), each once, log p_cache (B, n), and whether there are any (B,)."""
        check_hidden("hidden", hidden, self.in_features, None)
        if hidden.dim() != 2:
            raise RuntimeError(f"hidden should have the shape (B, {self.in_features}), got {tuple(hidden.shape)}")
        if state is None:
            state = no_pairs(hidden.unsqueeze(1))
        self._check_state(state, len(hidden))
        visible = state.words != EMPTY
        return *word_scores(state, hidden, self._sharpness(), visible), visible.any(1)

    # ------------------------------------------------------------------ checks

    def _check(self, hidden: Tensor, target: Tensor, state: Pairs | None, resets: Tensor | None) -> None:
        check_hidden("hidden", hidden, self.in_features, None)
        if hidden.dim() != 3 or not hidden.shape[1]:
            raise RuntimeError(
                f"hidden should have the shape (B, T, {self.in_features}), words in the order of the text, T at least "
                f"1, got {tuple(hidden.shape)}"
            )
        check_ids("target", target)
        check_target(target, hidden)
        if self.softmax.training and getattr(self.softmax, "estimates", False):
            raise RuntimeError(
                f"softmax should be exact, got a {type(self.softmax).__name__} in training mode, whose output is an "
                "estimate and no probability"
            )
        if state is not None:
            self._check_state(state, len(hidden))
        if resets is not None and (resets.dtype != torch.bool or resets.shape != target.shape):
            raise RuntimeError(
                f"resets should hold bools of the shape {tuple(target.shape)}, got {resets.dtype} of "
                f"{tuple(resets.shape)}"
            )

    def _check_state(self, state: Pairs, batch: int) -> None:
        keys, words = state
        n = words.shape[1] if words.dim() == 2 else -1
        if keys.shape != (batch, n, self.in_features) or words.shape != (batch, n) or n > self.size:
            raise RuntimeError(
                f"state should hold up to {self.size} pairs of {batch} sequences, keys (B, n, {self.in_features}) and "
                f"words (B, n), got {tuple(keys.shape)} and {tuple(words.shape)}"
            )

    def extra_repr(self) -> str:
        """Size and values, for ``print``."""
        return f"size={self.size}, theta={self.theta:.4g}, lam={self.lam:.4g}, trained={self.trained}"


def checked(theta: float, lam: float, *, trained: bool = False) -> tuple[float, float]:
    """Both as floats. Raises ValueError for a theta below 0 or a lambda outside [0, 1); for training, at 0 too."""
    least = ABOVE_0 if trained else 0
    theta = number("theta", theta, least, _MOST_THETA, f"{'above' if trained else 'at least'} 0 and at most 1e30")
    lam = number("lam", lam, least, BELOW_1, f"{'above' if trained else 'at least'} 0 and below 1")
    return theta, lam


def log_shares(lam: float) -> tuple[float, float]:
    """log(1 - lam) and log(lam), which is -inf for 0."""
    return math.log1p(-lam), math.log(lam) if lam else -math.inf


def mixed(
    of_softmax: Tensor, of_cache: Tensor, filled: Tensor, log_rest: Tensor | float, log_lam: Tensor | float
) -> Tensor:
    """log((1 - lam) p_softmax + lam p_cache) where the cache is ``filled``, else log p_softmax."""
    return torch.where(filled, torch.logaddexp(of_softmax + log_rest, of_cache + log_lam), of_softmax)


def _log_prob_of(softmax: Any, hidden: Tensor, words: Tensor) -> Tensor:
    """The softmax's log-probabilities of some words: (B, d), ids (B, m) -> (B, m)."""
    scored: Tensor = (
        softmax.score(hidden, words) if hasattr(softmax, "score") else softmax.log_prob(hidden).gather(1, words)
    )
    return scored
