"""The fit of a tree: standardise, take whitened principal components, then level by level from the root."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..checks import ABOVE_0, FINITE, integer, number
from .splits import ascended, blocks_of, divided
from .tree import Tree

#: Components of the paper.
COMPONENTS = 16
#: A standard deviation, and the root of an eigenvalue, below this share of the largest counts as none.
_NONE = 1e-6
_ROUNDS = 100


@torch.no_grad()
def fit_tree(x: Tensor, y: Tensor, n_classes: int, *, n_components: int | None = None, strength: float = 0.1) -> Tree:
    """A balanced binary tree of the labels, fitted to the rows (Bamler and Mandt 2020, section 2.2).

    Each feature is standardised, then the top k principal components are whitened, as in the authors' code. From the
    root, each node alternates between Newton's ascent in its weights and the best balanced split of its labels (eq. 9),
    from the dominant direction of its labels' sums, until no label moves. The authors' Julia splits anew by that first
    direction, never by the fitted weights, and leaves b out.

    C labels are padded to a power of two. A node whose labels fit into one half sends all of them there, with
    probability 1: nothing is better for it, and the levels below have as much room. Labels without rows get leaves,
    and a probability above 0, as the regulariser keeps weights finite. A feature without variance is left out, in later
    rows as well.

    >>> x, y = torch.tensor([[0.0], [1.0], [4.0], [5.0]]), torch.tensor([0, 1, 2, 3])
    >>> tree = fit_tree(x, y, 4)
    >>> tree.leaf.tolist()
    [0, 1, 2, 3]

    Args:
        x: (N, d), floating point; the fit itself is in fp64, on the CPU.
        y: (N,), labels from 0 to C - 1.
        n_classes: C, at least 2.
        n_components: k, at most the rank of the features; by default 16, or that rank if it is lower.
        strength: of the regulariser |w|^2 + b^2 of each node, 0.1 in the paper; half of that in the authors' code is
            its ``reg``, 1 by default.

    Raises ValueError for rows that are not finite, labels out of range, no rows, no feature with variance.
    """
    n_classes = integer("n_classes", n_classes, 2)
    strength = number("strength", strength, ABOVE_0, FINITE, "a finite number above 0")
    _check(x, y, n_classes)
    rows, y = x.double().cpu(), y.long().cpu()
    centre, projection = _whitening(rows, n_components)
    z = (rows - centre) @ projection
    depth = (n_classes - 1).bit_length()
    n = 2**depth - 1
    weights, node = z.new_zeros(n, z.shape[1] + 1), torch.zeros(n_classes, dtype=torch.long)
    for level in range(depth):
        at = slice(2**level - 1, 2 ** (level + 1) - 1)
        weights[at], right = _fit_level(z, y, node, 2**level, 2 ** (depth - level - 1), strength)
        node = 2 * node + right
    kinds: dict[str, Any] = {"dtype": x.dtype, "device": x.device}
    centre, projection, w, b = (p.to(**kinds) for p in (centre, projection, weights[:, :-1], weights[:, -1]))
    return Tree(centre, projection, w.contiguous(), b.contiguous(), node.to(x.device))


def _check(x: Tensor, y: Tensor, n_classes: int) -> None:
    if x.dim() != 2 or y.shape != x.shape[:1] or not len(x):
        raise ValueError(
            f"x and y should be of the shapes (N, d) and (N,), N > 0, got {tuple(x.shape)} and {tuple(y.shape)}"
        )
    if not x.is_floating_point() or y.is_floating_point() or y.dtype == torch.bool:
        raise ValueError(f"x should hold floating-point numbers and y integers, got {x.dtype} and {y.dtype}")
    if not bool(torch.isfinite(x).all()):
        raise ValueError("x should hold finite numbers, got nan or inf")
    bad = (y < 0) | (y >= n_classes)
    if bool(bad.any()):
        raise ValueError(f"y should be from 0 to {n_classes - 1}, got {int(y[bad][0])}")


def _whitening(x: Tensor, n_components: int | None) -> tuple[Tensor, Tensor]:
    """Centre (d,) and projection (d, k) such that the components have means 0 and the identity as covariance."""
    centre, deviation = x.mean(0), x.std(0, correction=0)
    varies = deviation > _NONE * x.abs().amax(0)
    if not bool(varies.any()):
        raise ValueError("x should have a feature with variance, got none")
    scale = torch.where(varies, 1 / deviation.where(varies, torch.ones(())), 0.0)
    standard = (x - centre) * scale
    values, vectors = torch.linalg.eigh(standard.mT @ standard / len(x))
    rank = int((values > _NONE * values[-1]).sum())
    k = min(COMPONENTS, rank) if n_components is None else integer("n_components", n_components, 1)
    if k > rank:
        raise ValueError(f"n_components should be at most {rank}, the rank of the features, got {k}")
    top, directions = values[-k:].flip(0), vectors[:, -k:].flip(1)
    return centre, scale.unsqueeze(1) * _with_signs(directions.mT).mT / top.sqrt()


def _with_signs(directions: Tensor) -> Tensor:
    """Directions (..., k) of either sign, with that which makes their largest number positive."""
    largest = directions.gather(-1, directions.abs().argmax(-1, keepdim=True))
    return directions * torch.where(largest < 0, -1.0, 1.0)


def _fit_level(z: Tensor, y: Tensor, node: Tensor, n_nodes: int, half: int, strength: float) -> tuple[Tensor, Tensor]:
    """Weights (M, k + 1) of the nodes of a level and the labels that go right (C,), 0 or 1."""
    sizes = node.bincount(minlength=n_nodes)
    splits = sizes > half
    blocks = blocks_of(z, y, node[y], n_nodes)
    sums = torch.zeros(len(node), z.shape[1] + 1, dtype=z.dtype)
    sums.index_add_(0, y, torch.cat([z, z.new_ones(len(z), 1)], 1))  # of each label: S_y and n_y
    weights = _first_direction(sums, node, n_nodes)
    right = divided((sums * weights[node]).sum(1), node, n_nodes, half)
    moving = splits.clone()
    for _ in range(_ROUNDS):
        some = blocks.of(moving)
        weights = torch.where(moving.unsqueeze(1), ascended(some, right, weights, strength), weights)
        gains = (sums * weights[node]).sum(1)
        other = divided(gains, node, n_nodes, half)
        change = gains * (other.to(gains.dtype) - right.to(gains.dtype))
        gained = change.new_zeros(n_nodes).index_add_(0, node, change)
        scale = gains.new_zeros(n_nodes).index_add_(0, node, gains.abs())
        moving &= gained > 1e-9 * scale  # labels that swap for nothing have not moved
        if not bool(moving.any()):
            break
        right = torch.where(moving[node], other, right)
    weights[~splits] = 0.0
    weights[~splits & (sizes > 0), -1] = -torch.inf  # all labels on the left, padding on the right
    return weights, (right & splits[node]).long()


def _first_direction(sums: Tensor, node: Tensor, n_nodes: int) -> Tensor:
    """Start of each node (M, k + 1): the dominant eigenvector of its labels' sums, and minus the mean score."""
    n_labels = node.bincount(minlength=n_nodes).clamp(min=1).unsqueeze(1)
    total = sums.new_zeros(n_nodes, sums.shape[1]).index_add_(0, node, sums)
    apart = (sums - (total / n_labels)[node])[:, :-1]
    spread = sums.new_zeros(n_nodes, apart.shape[1], apart.shape[1])
    spread.index_add_(0, node, apart.unsqueeze(2) * apart.unsqueeze(1))
    direction = _with_signs(torch.linalg.eigh(spread)[1][:, :, -1])
    mean = (total[:, :-1] * direction).sum(1) / total[:, -1].clamp(min=1)
    return torch.cat([direction, -mean.unsqueeze(1)], 1)
