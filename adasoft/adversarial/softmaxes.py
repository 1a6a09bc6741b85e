"""Softmaxes that train on a few negatives drawn from a noise. All are exact in evaluation mode.

Scores ``xi_y = w_y . x + b_y``; a step looks at the labels drawn and at no others.
"""

from __future__ import annotations

import abc
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..alternatives.protocol import Product, SoftmaxModule, called, multiplied
from ..checks import integer, not_negative
from ..children import plain_linears
from ..decoding import log_softmax
from .noise import Noise, Uniform


class NoiseSoftmax(SoftmaxModule, abc.ABC):
    """What all softmaxes here share: scores, draws, exact evaluation. A softmax as in `alternatives.protocol`.

    In training mode ``output`` is minus the loss of each row, no log-probability; in evaluation mode it is one, among
    all C labels. Negatives may equal the label itself, which the theory needs.

    Args:
        in_features, n_classes: d and C.
        noise: with the methods of `Noise`, over the same C labels. If it is a module it becomes a child, ``noise``, and
            its numbers are part of the ``state_dict``; training gives them no gradients. It sees x as the products do:
            under autocast in its dtype, which a `Tree` of another dtype refuses.
        n_negatives: m per row; their losses are averaged, as in the authors' code.
        regulariser: lambda.
        sparse: gradients of the weights as sparse tensors, so that a step takes no time for labels not drawn; the
            optimiser should take them (``torch.optim.Adagrad`` does).
        generator: of the draws.
        ignore_index, reduction, device: as in ``SoftmaxModule``; an id is a label, there is no ``order``.
    """

    estimates = True

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        noise: Noise,
        *,
        n_negatives: int = 1,
        regulariser: float = 0.0,
        sparse: bool = False,
        generator: torch.Generator | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(in_features, n_classes, ignore_index=ignore_index, reduction=reduction, device=device)
        integer("n_classes", n_classes, 2)
        if noise.n_classes != self.n_classes:
            raise ValueError(f"noise should have n_classes={self.n_classes}, got {noise.n_classes}")
        self.noise = noise
        self.n_negatives = integer("n_negatives", n_negatives, 1)
        self.regulariser = not_negative("regulariser", regulariser)
        self.sparse, self.generator = bool(sparse), generator
        self.output = nn.Linear(self.in_features, self.n_classes, device=device, dtype=dtype)
        nn.init.xavier_uniform_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    @abc.abstractmethod
    def _estimate(self, x: Tensor, scores: Tensor, labels: Tensor) -> Tensor:
        """x (n, d); scores xi and labels (n, 1 + m), the row's own first -> losses (n,)."""

    def _negatives(self, x: Tensor, own: Tensor) -> Tensor:
        """m labels per row, x (n, d), own (n,) -> (n, m)."""
        return self.noise.sample(x, self.n_negatives, generator=self.generator)

    def _weight(self) -> Tensor:
        return self.output.weight

    def _plain(self) -> bool:
        return plain_linears([self.output], [self.n_classes])

    def scores(self, input: Tensor) -> Tensor:
        """xi of all labels: (..., d) -> (..., C)."""
        return called(self.output, self._flat(input, True), self.n_classes, "output").view(*input.shape[:-1], -1)

    def _nll(self, x: Tensor, ranks: Tensor, scale: float, need_total: bool) -> tuple[Tensor, Tensor]:
        if not self.training:
            nll = -self._log_prob(x, multiplied).gather(1, ranks.unsqueeze(1)).squeeze(1)
            return nll, nll.sum() * scale
        labels = torch.cat([ranks.unsqueeze(1), self._negatives(x, ranks)], 1)
        # look-ups, whose gradients can be sparse
        weight = F.embedding(labels, self.output.weight, sparse=self.sparse).to(x.dtype)
        bias = torch.gather(self.output.bias, 0, labels.reshape(-1), sparse_grad=self.sparse)
        scores = (weight * x.unsqueeze(1)).sum(2) + bias.view(labels.shape).to(x.dtype)
        nll = self._estimate(x, scores, labels)
        return nll, nll.sum() * scale

    def _called_nll(self, x: Tensor, ranks: Tensor) -> Tensor:
        if not self.training:
            return super()._called_nll(x, ranks)
        labels = torch.cat([ranks.unsqueeze(1), self._negatives(x, ranks)], 1)
        return self._estimate(x, called(self.output, x, self.n_classes, "output").gather(1, labels), labels)

    def _log_prob(self, x: Tensor, product: Product) -> Tensor:
        return log_softmax(product(self.output, x, self.n_classes, "output"))

    @property
    def n_parameters(self) -> int:
        """Numbers to learn: those of the scores, without the noise."""
        return sum(p.numel() for p in self.output.parameters())

    def operations(self, batch: int, train: bool = True) -> float:
        """2 B d (1 + m) per product, of three, to train; 2 B d C to decode. What the noise takes does not count."""
        labels = 3 * (1 + self.n_negatives) if train else self.n_classes
        return 2.0 * batch * self.in_features * labels


class AdversarialSoftmax(NoiseSoftmax):
    r"""Negatives from a model of the data, and their bias added back (Bamler and Mandt, ICLR 2020).

    .. math:: -\log \sigma(\xi_y) - \log \sigma(-\xi_{y'})
              + \lambda (\xi_y + \log p_n(y|x))^2 + \lambda (\xi_{y'} + \log p_n(y'|x))^2,

    y' drawn from p_n (eq. 6); the regulariser acts on the unbiased scores. Prediction is a softmax over
    ``xi + log p_n`` (eq. 5). At the optimum, ``xi = log(p_data / p_n)``, its normaliser is 1: see `excess`. With
    `Uniform` noise this is plain negative sampling.

    >>> from adasoft.adversarial import Frequency
    >>> softmax = AdversarialSoftmax(4, 10, Frequency(torch.arange(10)), regulariser=1e-3)
    >>> x, labels = torch.randn(5, 4), torch.arange(5)
    >>> estimate = softmax.train()(x, labels).loss
    >>> exact = softmax.eval()(x, labels).loss
    """

    def _estimate(self, x: Tensor, scores: Tensor, labels: Tensor) -> Tensor:
        unbiased = scores + self.noise.score(x, labels)
        return contrasted(scores) + _mean_over_negatives(self.regulariser * unbiased.square())

    def _unbiased(self, x: Tensor, product: Product) -> Tensor:
        return product(self.output, x, self.n_classes, "output") + self.noise.log_prob(x)

    def _log_prob(self, x: Tensor, product: Product) -> Tensor:
        return log_softmax(self._unbiased(x, product))

    @torch.no_grad()
    def excess(self, input: Tensor) -> Tensor:
        """Logarithm of the normaliser of ``xi + log p_n``: (..., d) -> (...). 0 where training has converged."""
        return self._unbiased(self._flat(input, True), called).logsumexp(1).view(input.shape[:-1])


class NCE(NoiseSoftmax):
    """Noise-contrastive estimation: as `AdversarialSoftmax`, but xi itself is to be the log-probability.

    ``-log s(xi_y - log p_n(y)) - log s(-(xi_y' - log p_n(y')))``, with ``regulariser`` times the squares of xi;
    prediction from xi alone. The bias starts at -log C, where the normaliser is about 1.

    >>> from adasoft.adversarial import Uniform
    >>> softmax = NCE(4, 10, Uniform(10))
    >>> f"{softmax.output.bias[0].item():.3f}"
    '-2.303'
    """

    def __init__(self, in_features: int, n_classes: int, noise: Noise, **kwargs: Any) -> None:
        super().__init__(in_features, n_classes, noise, **kwargs)
        nn.init.constant_(self.output.bias, -math.log(self.n_classes))

    def _estimate(self, x: Tensor, scores: Tensor, labels: Tensor) -> Tensor:
        loss = contrasted(scores - self.noise.score(x, labels))
        return loss + _mean_over_negatives(self.regulariser * scores.square())


class OneVsEach(NoiseSoftmax):
    """A sampled lower bound: ``log p(y|x)`` is at least the sum over y' != y of ``log s(xi_y - xi_y')``.

    Negatives are drawn evenly from the labels other than y and weigh (C - 1) / m (Titsias 2016). ``regulariser`` times
    the squares of xi is added.

    Args:
        in_features, n_classes: d and C; there is no noise to choose.
    """

    def __init__(self, in_features: int, n_classes: int, **kwargs: Any) -> None:
        super().__init__(in_features, n_classes, Uniform(n_classes), **kwargs)

    def _negatives(self, x: Tensor, own: Tensor) -> Tensor:
        shape, device = (len(x), self.n_negatives), x.device
        others = torch.randint(self.n_classes - 1, shape, device=device, generator=self.generator)
        return others + (others >= own.unsqueeze(1))

    def _estimate(self, x: Tensor, scores: Tensor, labels: Tensor) -> Tensor:
        bound = F.softplus(scores[:, 1:] - scores[:, :1]).mean(1) * (self.n_classes - 1)
        return bound + _mean_over_negatives(self.regulariser * scores.square())


def contrasted(scores: Tensor) -> Tensor:
    """``-log s(score)`` of the first column and the mean of ``-log s(-score)`` over the others: (n, 1 + m) -> (n,)."""
    return _mean_over_negatives(torch.cat([F.softplus(-scores[:, :1]), F.softplus(scores[:, 1:])], 1))


def _mean_over_negatives(values: Tensor) -> Tensor:
    return values[:, 0] + values[:, 1:].mean(1)
