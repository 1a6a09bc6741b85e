"""One level of a tree: all its nodes at once, each a logistic regression between two halves of its labels.

The rows of a node are those whose label it holds. They lie in blocks of :data:`ROWS`, so that nodes of any size share
one batched product; places that no row fills do not count. For node v, with zeta = +1 for labels on the right and -1 on
the left, the objective (Bamler and Mandt, section 2.2) is

    L_v = sum over rows of log s(zeta (w . z + b))  -  strength (|w|^2 + b^2).

`ascended` raises it along (w, b), `divided` along zeta; each finds the maximum, so that neither ever lowers it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

#: Rows in a block.
ROWS = 16
_STEPS, _HALVINGS, _TOLERANCE = 100, 30, 1e-12


class Blocks(NamedTuple):
    """Rows of the nodes of a level, G blocks of R rows with k components and a 1."""

    z: Tensor
    """(G, R, k + 1): components, then 1 for the bias; zeros where there is no row."""
    label: Tensor
    """(G, R): 0 where there is no row."""
    counts: Tensor
    """(G, R): 1 for a row, 0 for none."""
    node: Tensor
    """(G,): the node within its level."""

    def of(self, nodes: Tensor) -> Blocks:
        """The blocks of some nodes, ``nodes`` (M,) bool."""
        kept = nodes[self.node].nonzero().squeeze(1)
        return Blocks(self.z[kept], self.label[kept], self.counts[kept], self.node[kept])

    def summed(self, values: Tensor, n_nodes: int) -> Tensor:
        """Sums over the blocks of each node: (G, ...) -> (M, ...)."""
        return values.new_zeros(n_nodes, *values.shape[1:]).index_add_(0, self.node, values)


def blocks_of(z: Tensor, label: Tensor, node: Tensor, n_nodes: int) -> Blocks:
    """Rows z (N, k) with labels (N,) in the blocks of their nodes (N,)."""
    order = node.argsort(stable=True)
    sizes = node.bincount(minlength=n_nodes)
    n_blocks = (sizes + ROWS - 1) // ROWS
    first_row, first_place = sizes.cumsum(0) - sizes, (n_blocks.cumsum(0) - n_blocks) * ROWS
    own = node[order]
    place = first_place[own] + torch.arange(len(z)) - first_row[own]
    total = int(n_blocks.sum())
    with_one = torch.cat([z, z.new_ones(len(z), 1)], 1)
    return Blocks(
        z.new_zeros(total * ROWS, z.shape[1] + 1).index_copy_(0, place, with_one[order]).view(total, ROWS, -1),
        label.new_zeros(total * ROWS).index_copy_(0, place, label[order]).view(total, ROWS),
        z.new_zeros(total * ROWS).index_fill_(0, place, 1.0).view(total, ROWS),
        torch.arange(n_nodes).repeat_interleave(n_blocks),
    )


def objective(blocks: Blocks, right: Tensor, weights: Tensor, strength: float) -> Tensor:
    """L_v of every node (M,): ``right`` (C,) bool, the labels' sides; ``weights`` (M, k + 1), w and b."""
    scores = _sides(blocks, right) * _scores(blocks, weights)
    fit = blocks.summed((F.logsigmoid(scores) * blocks.counts).sum(1), len(weights))
    return fit - strength * weights.square().sum(1)


def _sides(blocks: Blocks, right: Tensor) -> Tensor:
    return 2.0 * right[blocks.label].to(blocks.z.dtype) - 1


def _scores(blocks: Blocks, weights: Tensor) -> Tensor:
    return torch.bmm(blocks.z, weights[blocks.node].unsqueeze(2)).squeeze(2)


def ascended(blocks: Blocks, right: Tensor, weights: Tensor, strength: float) -> Tensor:
    """The weights (M, k + 1) of largest L_v, by Newton's method from ``weights``.

    A step that does not gain is halved, so that the start does not matter; the authors' code cuts steps at length 1 and
    makes the Hessian anew every ninth step.
    """
    weights, n = weights.clone(), len(weights)
    active = torch.ones(n, dtype=torch.bool)
    value = objective(blocks, right, weights, strength)
    for _ in range(_STEPS):
        blocks = blocks.of(active)
        sides = _sides(blocks, right)
        wrong = torch.sigmoid(-sides * _scores(blocks, weights)) * blocks.counts
        slopes = blocks.summed(torch.bmm((sides * wrong).unsqueeze(1), blocks.z).squeeze(1), n) - 2 * strength * weights
        bends = blocks.summed(torch.bmm(blocks.z.mT * (wrong * (1 - wrong)).unsqueeze(1), blocks.z), n)
        bends.diagonal(dim1=1, dim2=2).add_(2 * strength)
        steps = torch.zeros_like(weights)
        steps[active] = torch.linalg.solve(bends[active], slopes[active])
        promised = (slopes * steps).sum(1)
        active &= promised > _TOLERANCE * (1 + value.abs())
        if not bool(active.any()):
            break
        lengths = active.to(weights.dtype)
        for _ in range(_HALVINGS):
            reached = objective(blocks, right, weights + lengths.unsqueeze(1) * steps, strength)
            short = active & ~(reached >= value + 1e-4 * lengths * promised)
            if not bool(short.any()):
                break
            lengths = torch.where(short, lengths / 2, lengths)
        else:
            active &= ~short  # what is left to gain drowns in rounding
            lengths = lengths * ~short
        weights += lengths.unsqueeze(1) * steps
        value = torch.where(active, reached, value)
    return weights


def divided(gains: Tensor, node: Tensor, n_nodes: int, half: int) -> Tensor:
    """The labels that go right (C,) bool, such that the sum of their ``gains`` (C,) is largest in each node (C,).

    As log s(a) - log s(-a) = a, label y on the right rather than on the left adds Delta_y, the sum of w . z + b over
    its rows, to L_v (eq. 9): the labels of largest Delta go right. No side takes more than ``half`` labels: of n labels
    those with a positive Delta go right, but at least n - half and at most half. With no padding that is one half.
    Of equal Deltas the smaller label goes right.
    """
    order = gains.argsort(descending=True, stable=True)
    order = order[node[order].argsort(stable=True)]
    sizes = node.bincount(minlength=n_nodes)
    wished = (gains > 0).long().new_zeros(n_nodes).index_add_(0, node, (gains > 0).long())
    n_right = torch.minimum(torch.maximum(wished, sizes - half), torch.full_like(sizes, half))
    own = node[order]
    place = torch.arange(len(gains)) - (sizes.cumsum(0) - sizes)[own]
    return torch.zeros_like(gains, dtype=torch.bool).index_copy_(0, order, place < n_right[own])
