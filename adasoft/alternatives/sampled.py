"""Sampled softmax: in training, each batch sees its targets and a random part of the words."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..checks import FINITE, choice, integer, number
from ..decoding import log_softmax
from .chunked import Band, Own, joint_nll
from .full import FullSoftmax
from .protocol import called, check_counts

PROPOSALS = ("log-uniform", "unigram")
#: Share of the words that is sampled by default, as in Grave et al. 2017.
SHARE = 0.2


class SampledSoftmax(FullSoftmax):
    r"""A full softmax that trains on samples (Bengio and Senecal 2008; Jean et al. 2015).

    Per batch, m different words S are drawn, and a token with target t has the loss

    .. math:: -s_t + \log\Big(e^{s_t} + \sum_{w \in S, w \ne t} e^{s_w}\Big), \qquad
              s_w = h \cdot v_w - \log \pi_w,

    where :math:`\pi_w` is the expected count of w among the samples; a sampled word that equals the target (an
    accidental hit) is left out of the sum.

    Drawing: words come one after another with probabilities p until m different ones are there. TensorFlow's
    candidate samplers do so and take ``-expm1(n_tries * log1p(-p))`` as the expected count after n_tries draws. Here
    the draws come in continuous time: word w first at an exponential time of rate p_w. The first m words are then
    distributed just the same, no loop is needed, and with T, the time of word m + 1, in the place of the number of
    tries,

    .. math:: \pi_w = 1 - e^{-p_w T}

    makes :math:`\sum_{w \in S} f_w / \pi_w` an unbiased estimate of :math:`\sum_w f_w` for any f (Cohen and
    Kaplan 2008, rank conditioning).

    What is exact: evaluation mode, ``log_prob`` and ``topk``, which are the full softmax; training with
    n_samples = V. Otherwise ``output`` and ``loss`` of training mode are estimates: log-probabilities among the
    candidates, not comparable with perplexities. With ``correct_target=False`` the target's own logit is not
    corrected; then the sum in the logarithm is an unbiased estimate of the softmax's denominator. The loss, a
    logarithm of it, is too low on average, and its gradient slightly biased, in both forms.

    >>> softmax = SampledSoftmax(16, 100, n_samples=20)
    >>> hidden, words = torch.randn(5, 16), torch.randint(100, (5,))
    >>> estimate = softmax.train()(hidden, words).loss
    >>> exact = softmax.eval()(hidden, words).loss

    Args:
        n_samples: m, from 1 to V; default 20 % of V.
        proposal: ``"log-uniform"``, p of rank r in proportion to log((r + 2) / (r + 1)), a Zipf-like law that needs
            no counts; or ``"unigram"``, counts to the ``power``.
        counts: (V,) by rank, for ``"unigram"``. Words of count 0 get the smallest positive count.
        power: exponent of the counts.
        correct_target: subtract log pi from the target's logit too, as TensorFlow does.
        generator: of the draws, on the layer's device; default torch's global one. Equal seeds give equal samples.
            ``torch.compile(fullgraph=True)`` takes none but the global one.
    """

    estimates = True

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        *,
        n_samples: int | None = None,
        proposal: str = "log-uniform",
        counts: Any = None,
        power: float = 0.75,
        correct_target: bool = True,
        generator: torch.Generator | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(in_features, n_classes, **kwargs)
        self.n_samples = max(1, round(SHARE * n_classes)) if n_samples is None else integer("n_samples", n_samples, 1)
        if self.n_samples > n_classes:
            raise ValueError(f"n_samples should be at most n_classes={n_classes}, got {n_samples}")
        self.proposal = choice("proposal", proposal, PROPOSALS)
        self.correct_target = bool(correct_target)
        self.generator = generator
        p = _proposal(proposal, n_classes, counts, power)
        self._keep(p=torch.from_numpy(p).float())

    p: Tensor

    def draw(self, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
        """One sample: n_samples different ranks, ascending (m,), and log pi of every word (V,), fp32.

        ``device``: by default that of the weights.
        """
        p = self._table("p", self.p.device if device is None else device)
        if self.n_samples == self.n_classes:
            return torch.arange(self.n_classes, device=p.device), torch.zeros_like(p)
        times = torch.empty_like(p).exponential_(generator=self.generator).div_(p)
        first = times.topk(self.n_samples + 1, largest=False)
        until = first.values[-1]
        return first.indices[:-1].sort().values, torch.log(-torch.expm1(-p * until))

    def _nll(self, x: Tensor, ranks: Tensor, scale: float, need_total: bool) -> tuple[Tensor, Tensor]:
        if not self.training:
            return super()._nll(x, ranks, scale, need_total)
        words, log_pi = self.draw(x.device)
        m = len(words)
        weight, bias = self._weights(x)
        both = torch.cat([words, ranks])
        # an embedding look-up: its backward is deterministic on a GPU as well
        rows, own = torch.split(F.embedding(both, weight), [m, len(ranks)])
        correction = -log_pi[both].to(x.dtype)
        if not self.correct_target:
            correction = torch.cat([correction[:m], torch.zeros_like(correction[m:])])
        if bias is not None:
            correction = correction + F.embedding(both, bias.unsqueeze(1)).squeeze(1)
        place = torch.searchsorted(words, ranks).clamp(max=m - 1)
        hidden = torch.where(words[place] == ranks, place, m)
        target = torch.full_like(ranks, m)
        bands = [Band(x, rows, correction[:m])]
        return joint_nll(bands, target, scale, own=Own(own, correction[m:], hidden), need_total=need_total)

    def _called_nll(self, x: Tensor, ranks: Tensor) -> Tensor:
        if not self.training:
            return super()._called_nll(x, ranks)
        words, log_pi = self.draw(x.device)
        logits = called(self.output, x, self.n_classes, "output")
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        own = logits.gather(1, ranks.unsqueeze(1))
        if self.correct_target:
            own = own - log_pi[ranks].unsqueeze(1)
        others = (logits - log_pi).index_select(1, words).masked_fill(words == ranks.unsqueeze(1), -torch.inf)
        return -log_softmax(torch.cat([own, others], 1))[:, 0]

    def operations(self, batch: int, train: bool = True) -> float:
        """Training: m shared words and the target, 2 B d (m + 1) per product, three products."""
        if not train:
            return super().operations(batch, train=False)
        return 6.0 * batch * self.in_features * (self.n_samples + 1)

    def extra_repr(self) -> str:
        """Sizes and samples, for ``print``."""
        return f"{super().extra_repr()}, n_samples={self.n_samples}, proposal={self.proposal!r}"


def _proposal(proposal: str, n_classes: int, counts: Any, power: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    """p of each rank, (V,), summing to 1."""
    if proposal == "log-uniform":
        ranks = np.arange(n_classes)
        return np.asarray(np.log1p(1.0 / (ranks + 1.0)) / math.log(n_classes + 1.0))
    if counts is None:
        raise ValueError("proposal='unigram' needs counts, got none; proposal='log-uniform' works without")
    values = check_counts(counts)
    if len(values) != n_classes:
        raise ValueError(f"counts should have the shape ({n_classes},), got {values.shape}")
    power = number("power", power, -FINITE, FINITE, "a finite number")
    values = np.maximum(values, values[values > 0].min()) / values.max()
    weights = values**power
    return np.asarray(weights / weights.sum())
