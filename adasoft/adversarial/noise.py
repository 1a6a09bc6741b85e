"""What can draw negatives: anything that draws labels and knows the probability of each exactly."""

from __future__ import annotations

import math
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..checks import ABOVE_0, FINITE, integer, number
from ..layer import AdaptiveOutput, AdaptiveSoftmax


class Noise(Protocol):
    """A distribution p_n(y|x) over C labels. `Tree` is one, and so is a trained `AdaptiveSoftmax`."""

    n_classes: int

    def log_prob(self, input: Tensor) -> Tensor:
        """Log-probabilities of all labels: (..., d) -> (..., C). They sum to one."""

    def score(self, input: Tensor, candidates: Tensor) -> Tensor:
        """Those of given labels: (..., d) and ids (..., m) -> (..., m)."""

    def sample(self, input: Tensor, n: int = 1, *, generator: torch.Generator | None = None) -> Tensor:
        """``n`` independent labels per row: (..., d) -> (..., n)."""


class Frequency(nn.Module):
    """Labels as often as they occur, whatever x: ``p_n(y)`` in proportion to ``counts + added``.

    >>> Frequency(torch.tensor([7, 2, 0])).log_prob(torch.zeros(1, 4)).exp()
    tensor([[0.6667, 0.2500, 0.0833]])

    Args:
        counts: (C,), finite and not negative.
        added: to each count, above 0, so that a label without rows can be predicted.
    """

    def __init__(self, counts: Any, added: float = 1.0) -> None:
        super().__init__()
        values = torch.as_tensor(counts).double() + number("added", added, ABOVE_0, FINITE, "a finite number above 0")
        if values.dim() != 1 or not bool(torch.isfinite(values).all()) or bool((values < added).any()):
            raise ValueError(f"counts should be finite, not negative and of shape (C,), got {counts}")
        self.n_classes = integer("n_classes", len(values), 2)
        self.register_buffer("log_share", (values / values.sum()).log())
        self.register_buffer("reached", values.cumsum(0) / values.sum())

    log_share: Tensor
    reached: Tensor

    def log_prob(self, input: Tensor) -> Tensor:
        """The same for every row: (..., d) -> (..., C)."""
        return self.log_share.to(input.dtype).expand(*input.shape[:-1], self.n_classes)

    def score(self, input: Tensor, candidates: Tensor) -> Tensor:
        """Log-probabilities of labels (..., m)."""
        return self.log_share.to(input.dtype)[candidates]

    def sample(self, input: Tensor, n: int = 1, *, generator: torch.Generator | None = None) -> Tensor:
        """``n`` labels per row: (..., d) -> (..., n), by bisection."""
        shape = (*input.shape[:-1], integer("n", n, 1))
        drawn = torch.rand(shape, dtype=torch.float64, device=self.reached.device, generator=generator)
        # the last sum may round to less than a draw
        return torch.searchsorted(self.reached, drawn, right=True).clamp(max=self.n_classes - 1)


class Uniform(nn.Module):
    """Every label as likely as any other: plain negative sampling.

    Args:
        n_classes: C, at least 2.
    """

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.n_classes = integer("n_classes", n_classes, 2)

    def log_prob(self, input: Tensor) -> Tensor:
        """-log C: (..., d) -> (..., C)."""
        return input.new_full((), -math.log(self.n_classes)).expand(*input.shape[:-1], self.n_classes)

    def score(self, input: Tensor, candidates: Tensor) -> Tensor:
        """-log C for labels (..., m)."""
        return input.new_full((), -math.log(self.n_classes)).expand(candidates.shape)

    def sample(self, input: Tensor, n: int = 1, *, generator: torch.Generator | None = None) -> Tensor:
        """``n`` labels per row: (..., d) -> (..., n)."""
        shape = (*input.shape[:-1], integer("n", n, 1))
        return torch.randint(self.n_classes, shape, device=input.device, generator=generator)


class Projected(nn.Module):
    """An adaptive softmax on few features: a linear map from d to its ``in_features``, then the layer.

    Trained by its exact loss (:meth:`forward`) it is a noise nearer to the data than a tree of as many numbers, whose
    draws take more. A combination of this package, not of a paper.

    Args:
        in_features: d.
        softmax: an `AdaptiveSoftmax` of few features.
    """

    def __init__(self, in_features: int, softmax: AdaptiveSoftmax) -> None:
        super().__init__()
        self.projection = nn.Linear(integer("in_features", in_features, 1), softmax.in_features, bias=False)
        self.softmax = softmax
        self.n_classes = softmax.n_classes

    def forward(self, input: Tensor, target: Tensor) -> AdaptiveOutput:
        """Log-probabilities of the targets and the loss that trains it."""
        found: AdaptiveOutput = self.softmax(self.projection(input), target)
        return found

    def log_prob(self, input: Tensor) -> Tensor:
        """Log-probabilities of all labels: (..., d) -> (..., C)."""
        return self.softmax.log_prob(self.projection(input))

    @torch.no_grad()
    def score(self, input: Tensor, candidates: Tensor) -> Tensor:
        """Those of labels (..., m)."""
        return self.softmax.score(self.projection(input), candidates)

    @torch.no_grad()
    def sample(self, input: Tensor, n: int = 1, *, generator: torch.Generator | None = None) -> Tensor:
        """``n`` labels per row: (..., d) -> (..., n)."""
        return self.softmax.sample(self.projection(input), n, generator=generator)
