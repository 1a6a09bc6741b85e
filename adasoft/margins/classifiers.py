"""Softmaxes for classifiers, with and without margins. All take embeddings (B, d) and labels (B,)."""

from __future__ import annotations

import abc
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checks import ABOVE_0, integer, number
from ..inputs import check_hidden, check_target
from .hyperplanes import distances, largest_margin

#: Inside the square root of 1 - cos^2, whose gradient has no end at 0.
_EPSILON = 1e-12


class MarginClassifier(nn.Module, abc.ABC):
    """What all classifiers here share: C class vectors of d numbers, ``loss`` and ``logits``.

    Prediction never knows the label: it is the largest of :meth:`logits`. (The released call of HASeparator needs
    labels at inference too.)

    Args:
        in_features: size d of the embeddings.
        n_classes: number of classes C, at least 2.
    """

    def __init__(self, in_features: int, n_classes: int) -> None:
        super().__init__()
        self.in_features, self.n_classes = integer("in_features", in_features, 1), integer("n_classes", n_classes, 2)
        self.weight = nn.Parameter(torch.randn(self.n_classes, self.in_features) / math.sqrt(self.in_features))

    @abc.abstractmethod
    def logits(self, input: Tensor) -> Tensor:
        """Scores of all classes, without any margin: (B, d) -> (B, C)."""

    def training_logits(self, input: Tensor, target: Tensor) -> Tensor:
        """Scores that the loss is made of: those of :meth:`logits`, but for the margin at the row's own class."""
        return self.logits(input)

    def penalty(self, input: Tensor, target: Tensor) -> Tensor:
        """What is added to the mean cross entropy; a number."""
        return input.new_zeros(())

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss, a number: mean cross entropy of :meth:`training_logits`, and :meth:`penalty`.

        Losses of different scales and margins cannot be compared, and are no log-likelihoods of the predictions.

        Raises RuntimeError for embeddings that do not fit or are not finite, and for labels outside 0 to C - 1.
        """
        check_hidden("input", input, self.in_features, self.weight)
        check_target(target, input)
        if input.dim() != 2 or not len(input):
            raise RuntimeError(f"input should be of shape (B, {self.in_features}), B > 0, got {tuple(input.shape)}")
        if not bool(torch.isfinite(input).all()):
            raise RuntimeError("input should hold finite numbers, got nan or inf")
        target = target.long()
        if bool(((target < 0) | (target >= self.n_classes)).any()):
            wrong = target[(target < 0) | (target >= self.n_classes)][0]
            raise RuntimeError(f"target should be from 0 to {self.n_classes - 1}, got {int(wrong)}")
        return F.cross_entropy(self.training_logits(input, target), target) + self.penalty(input, target)

    @torch.no_grad()
    def predict(self, input: Tensor) -> Tensor:
        """The most probable class of each row: (B, d) -> (B,)."""
        return self.logits(input).argmax(1)


class Plain(MarginClassifier):
    """A linear layer with bias and cross entropy: the softmax as ever."""

    def __init__(self, in_features: int, n_classes: int) -> None:
        super().__init__(in_features, n_classes)
        self.bias = nn.Parameter(torch.zeros(self.n_classes))

    def logits(self, input: Tensor) -> Tensor:
        """``W x + b``."""
        return F.linear(input, self.weight, self.bias)


class _Unit(MarginClassifier):
    """Unit vectors: only angles count."""

    def cosines(self, input: Tensor) -> Tensor:
        """Cosines of embeddings and class vectors: (B, d) -> (B, C). Of a vector of zeros, 0."""
        return F.normalize(input, dim=1) @ F.normalize(self.weight, dim=1).t()


class Normalized(_Unit):
    """The softmax of ``s cos(theta)``: no lengths, no bias, no margin. The control of every margin.

    With s = 1 the cross entropy cannot fall below ``log(1 + (C - 1) exp(-C / (C - 1)))``, 1.377 for 10 classes.

    Args:
        in_features, n_classes: as in `MarginClassifier`.
        scale: s, above 0.
    """

    def __init__(self, in_features: int, n_classes: int, scale: float = 16.0) -> None:
        super().__init__(in_features, n_classes)
        self.scale = number("scale", scale, ABOVE_0, 1e6, "above 0 and at most 1e6")

    def logits(self, input: Tensor) -> Tensor:
        """``s cos(theta)``."""
        return self.scale * self.cosines(input)


class CosFace(Normalized):
    """``s (cos(theta) - m)`` at the row's own class (Wang et al. 2018).

    Args:
        in_features, n_classes, scale: as in `Normalized`.
        margin: m, from 0 to 2, the largest difference of two cosines.
    """

    def __init__(self, in_features: int, n_classes: int, scale: float = 16.0, margin: float = 0.35) -> None:
        super().__init__(in_features, n_classes, scale)
        self.margin = number("margin", margin, 0, 2, "from 0 to 2")

    def training_logits(self, input: Tensor, target: Tensor) -> Tensor:
        """The scores with the margin."""
        own = F.one_hot(target, self.n_classes).to(input.dtype)
        return self.scale * (self.cosines(input) - self.margin * own)


class ArcFace(Normalized):
    """``s cos(theta + m)`` at the row's own class (Deng et al. 2019).

    Where theta + m exceeds pi the cosine would rise again; there ``cos(theta) - m sin(m)`` goes on falling.

    Args:
        in_features, n_classes, scale: as in `Normalized`.
        margin: m in radians, from 0 to pi.
    """

    def __init__(self, in_features: int, n_classes: int, scale: float = 16.0, margin: float = 0.5) -> None:
        super().__init__(in_features, n_classes, scale)
        self.margin = number("margin", margin, 0, math.pi, "from 0 to pi")

    def training_logits(self, input: Tensor, target: Tensor) -> Tensor:
        """The scores with the margin."""
        cosines, m, place = self.cosines(input), self.margin, target.unsqueeze(1)
        own = cosines.gather(1, place)
        sine = (1 - own * own).clamp(min=_EPSILON).sqrt()
        moved = torch.where(own > -math.cos(m), own * math.cos(m) - sine * math.sin(m), own - m * math.sin(m))
        return self.scale * cosines.scatter(1, place, moved)


class SphereFace(_Unit):
    """``|x| psi(theta)`` at the row's own class, ``|x| cos(theta)`` elsewhere (Liu et al. 2017).

    ``psi(theta) = (-1)^k cos(m theta) - 2 k`` with ``k = floor(m theta / pi)``; cos(m theta) alone rises again and is
    no margin.

    Args:
        in_features, n_classes: as in `MarginClassifier`.
        margin: m, an integer from 1 (none) to 4.
    """

    def __init__(self, in_features: int, n_classes: int, margin: int = 4) -> None:
        super().__init__(in_features, n_classes)
        self.margin = integer("margin", margin, 1, 4)

    def logits(self, input: Tensor) -> Tensor:
        """``|x| cos(theta)``."""
        lengths: Tensor = input.norm(dim=1, keepdim=True)
        return lengths * self.cosines(input)

    def training_logits(self, input: Tensor, target: Tensor) -> Tensor:
        """The scores with the margin."""
        cosines, place = self.cosines(input), target.unsqueeze(1)
        own = cosines.gather(1, place)
        with torch.no_grad():
            k = (self.margin * own.clamp(-1, 1).acos() / math.pi).floor().clamp(max=self.margin - 1)
        before, multiple = torch.ones_like(own), own  # Chebyshev's polynomials: cos(m theta) of cos(theta)
        for _ in range(self.margin - 1):
            before, multiple = multiple, 2 * own * multiple - before
        moved = (1 - 2 * (k % 2)) * multiple - 2 * k
        lengths: Tensor = input.norm(dim=1, keepdim=True)
        return lengths * cosines.scatter(1, place, moved)


class HASeparator(Normalized):
    """The normalised softmax, and a hinge on the distances to the hyperplanes of the row's class.

    ``loss = CE(s cos) + mean over rows of sum_{j != y} max(0, m - distance_yj)``, :func:`distances`. The authors' code
    counts j = y as well, whose distance is 0: a constant m, which is left out here.

    Args:
        in_features, n_classes: as in `MarginClassifier`.
        scale: s; 1 in the released setting.
        margin: m; 0.1 in the released setting. Below the `largest_margin` of any arrangement, 0.745 for 10 classes;
            at or below 0, only rows on the wrong side count. What the class vectors of now allow: `reachable_margins`.
    """

    def __init__(self, in_features: int, n_classes: int, scale: float = 1.0, margin: float = 0.1) -> None:
        super().__init__(in_features, n_classes, scale)
        most = largest_margin(self.n_classes, self.in_features)
        rule = f"from -1 to {most:.4f}, which no arrangement of {self.n_classes} classes can exceed"
        self.margin = number("margin", margin, -1, most, rule)

    def penalty(self, input: Tensor, target: Tensor) -> Tensor:
        """The hinge."""
        reached = distances(self.cosines(input), target, F.normalize(self.weight, dim=1))
        own = F.one_hot(target, self.n_classes).bool()
        return (self.margin - reached).clamp(min=0).masked_fill(own, 0.0).sum(1).mean()


#: By name, for tables.
CLASSIFIERS: dict[str, type[MarginClassifier]] = {
    "softmax": Plain,
    "normalised": Normalized,
    "SphereFace": SphereFace,
    "CosFace": CosFace,
    "ArcFace": ArcFace,
    "HASeparator": HASeparator,
}
