"""A balanced binary decision tree over labels: a distribution that is cheap to draw from."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checks import integer
from ..inputs import check_hidden, check_ids


class Tree(nn.Module):
    """``p(y|x)``, the product along the path to y's leaf of ``s(zeta (w . z + b))``, zeta = 1 right, -1 left.

    z: the k whitened principal components of x. Draws and the probability of a label take d k operations for z and
    k log2 C for the path; those of all labels take k C. A node that leads to padding on one side has the bias plus or
    minus infinity, so that padding has probability 0 exactly. `fit_tree` makes one. Not trained by gradients: all
    that it holds are buffers, and its results carry none.

    Args:
        centre: (d,), subtracted from x.
        projection: (d, k), then multiplied.
        weight: (2**depth - 1, k), w of the inner nodes, level by level; the children of node i are 2 i + 1 (left) and
            2 i + 2.
        bias: (2**depth - 1,), b.
        leaf: (C,), the leaf of each label, from 0 to 2**depth - 1, no two alike.
    """

    def __init__(self, centre: Tensor, projection: Tensor, weight: Tensor, bias: Tensor, leaf: Tensor) -> None:
        super().__init__()
        self.in_features, self.n_components = projection.shape
        self.n_classes = integer("n_classes", len(leaf), 2)
        self.depth = (len(weight) + 1).bit_length() - 1
        fits = weight.shape == (2**self.depth - 1, self.n_components) and bias.shape == weight.shape[:1]
        if not fits or centre.shape != (self.in_features,):
            shapes = [tuple(tensor.shape) for tensor in (centre, projection, weight, bias)]
            raise ValueError(f"centre, projection, weight and bias should have shapes that fit, got {shapes}")
        label = torch.full((2**self.depth,), -1, device=leaf.device)
        if bool(((leaf < 0) | (leaf >= len(label))).any()) or int(leaf.bincount(minlength=1).max()) > 1:
            raise ValueError(f"leaf should be a different one of {len(label)} leaves for each label, got {leaf}")
        label = label.index_copy_(0, leaf.long(), torch.arange(len(leaf), device=leaf.device))
        _check_padding(label, bias)
        for name, tensor in (
            ("centre", centre),
            ("projection", projection),
            ("weight", weight),
            ("bias", bias),
            ("leaf", leaf.long()),
            ("label", label),
        ):
            self.register_buffer(name, tensor)

    centre: Tensor
    projection: Tensor
    weight: Tensor
    bias: Tensor
    leaf: Tensor
    label: Tensor
    """(2**depth,): the label of each leaf, -1 for padding."""

    @torch.no_grad()
    def components(self, input: Tensor) -> Tensor:
        """z: (..., d) -> (..., k). Of the rows it was fitted to: means 0, variances 1, uncorrelated."""
        check_hidden("input", input, self.in_features, self.projection)
        return (input - self.centre) @ self.projection

    @torch.no_grad()
    def log_prob(self, input: Tensor) -> Tensor:
        """Log-probabilities of all labels: (..., d) -> (..., C). They sum to one."""
        scores = F.linear(self.components(input), self.weight, self.bias)
        leaves = scores.new_zeros(*scores.shape[:-1], 1)
        for level in range(self.depth):
            own = scores[..., 2**level - 1 : 2 ** (level + 1) - 1]
            both = torch.stack([leaves + F.logsigmoid(-own), leaves + F.logsigmoid(own)], -1)
            leaves = both.flatten(-2)
        return leaves[..., self.leaf]

    @torch.no_grad()
    def score(self, input: Tensor, candidates: Tensor) -> Tensor:
        """Log-probabilities of given labels: (..., d) and ids (..., m) -> (..., m), by their paths alone.

        Raises RuntimeError if shapes or dtypes do not fit, or an id is out of range.
        """
        z = self.components(input)
        check_ids("candidates", candidates)
        if candidates.dim() != z.dim() or candidates.shape[:-1] != z.shape[:-1]:
            raise RuntimeError(
                f"candidates should have the shape {(*z.shape[:-1], 'm')}, got {tuple(candidates.shape)} for an input "
                f"of shape {tuple(input.shape)}"
            )
        bad = (candidates < 0) | (candidates >= self.n_classes)
        if bool(bad.any()):
            raise RuntimeError(
                f"candidates should be in [0, {self.n_classes - 1}], got {int(candidates[bad][0])} "
                f"({int(bad.sum())} of {candidates.numel()} are out of range)"
            )
        levels = torch.arange(self.depth, device=z.device)
        below = self.leaf[candidates.long()].unsqueeze(-1) >> (self.depth - 1 - levels)  # (..., m, depth)
        scores = self._scores(z.unsqueeze(-2), 2**levels - 1 + (below >> 1))
        return F.logsigmoid(torch.where(below % 2 == 1, scores, -scores)).sum(-1)

    @torch.no_grad()
    def sample(self, input: Tensor, n: int = 1, *, generator: torch.Generator | None = None) -> Tensor:
        """``n`` independent labels per row: (..., d) -> (..., n), by walks from the root.

        Raises ValueError if n is not positive, and for input that is not finite.
        """
        n = integer("n", n, 1)
        z = self.components(input)
        if not bool(torch.isfinite(z).all()):
            raise ValueError("input should hold finite numbers, got others: there is no distribution to draw from")
        place = torch.zeros(*z.shape[:-1], n, dtype=torch.long, device=z.device)
        for level in range(self.depth):
            chance = torch.sigmoid(self._scores(z, 2**level - 1 + place))
            drawn = torch.rand(place.shape, dtype=z.dtype, device=z.device, generator=generator)
            place = 2 * place + (drawn < chance)
        return self.label[place]

    def _scores(self, z: Tensor, node: Tensor) -> Tensor:
        """``w . z + b`` of nodes (..., m)."""
        return torch.matmul(self.weight[node], z.unsqueeze(-1)).squeeze(-1) + self.bias[node]

    def extra_repr(self) -> str:
        """Sizes, for ``print``."""
        return f"{self.in_features}, {self.n_classes}, n_components={self.n_components}, depth={self.depth}"


def _check_padding(label: Tensor, bias: Tensor) -> None:
    """Refuse biases by which a walk could end at padding."""
    taken, depth = label >= 0, len(label).bit_length() - 1
    for level in reversed(range(depth)):
        left, right = taken.view(-1, 2).unbind(1)
        own = bias[2**level - 1 : 2 ** (level + 1) - 1]
        wrong = (left & ~right & (own != -torch.inf)) | (right & ~left & (own != torch.inf))
        if bool(wrong.any()):
            raise ValueError(f"bias of a node with padding on one side should be infinite, got {float(own[wrong][0])}")
        taken = left | right
