"""The hyperplanes between the classes of a softmax over unit vectors.

The hyperplane between class y and class j goes through the origin; its normal is
``(w_y - w_j) / |w_y - w_j|``, with w of length one. An embedding x of length one lies on the side of y if its distance
``x . normal`` is above 0. HASeparator's released code makes all normals, a tensor of B x d x C numbers. They are not
needed: ``|w_y - w_j|^2 = 2 - 2 w_y . w_j``, so the distance is ``(c_y - c_j) / sqrt(2 - 2 G_yj)`` with the cosines
``c = W x`` and ``G = W W^T``, B C + C^2 numbers.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..checks import integer

#: Below this squared distance two class vectors count as one, and there is no hyperplane between them.
_SAME = 1e-12


def distances(cosines: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Signed distances of embeddings to the hyperplanes between their class and each class: (B, C).

    ``cosines`` (B, C) of unit embeddings and unit class vectors; ``target`` (B,); ``weight`` (C, d), unit rows. All are
    positive, but for a row's own class, where the distance is 0, if and only if the row is classified right. Between
    two classes of one vector the distance is 0 as well.

    >>> weight = torch.eye(3)
    >>> distances(weight, torch.tensor([0, 1, 2]), weight).round(decimals=3)
    tensor([[0.0000, 0.7070, 0.7070],
            [0.7070, 0.0000, 0.7070],
            [0.7070, 0.7070, 0.0000]])
    """
    apart = 2 - 2 * (weight @ weight.t())[target]
    same = (apart <= _SAME).scatter(1, target.unsqueeze(1), True)
    # the root of 1 in their places, so that neither value nor gradient is 0 / 0
    apart = apart.masked_fill(same, 1.0)
    return ((cosines.gather(1, target.unsqueeze(1)) - cosines) / apart.sqrt()).masked_fill(same, 0.0)


@torch.no_grad()
def reachable_margins(weight: Tensor) -> Tensor:
    """For each class, the largest margin that an embedding at the class vector itself has to all hyperplanes: (C,).

    Half the sine of the angle: at ``x = w_y`` the distance to the hyperplane of class j is ``sin(phi_yj / 2)``, with
    phi the angle between the two vectors. A larger margin cannot be met there while the class vectors stay. ``weight``
    (C, d) of any lengths above 0.
    """
    unit = torch.nn.functional.normalize(weight, dim=1)
    least = (1 - unit @ unit.t()).clamp(min=0).fill_diagonal_(math.inf).amin(1)
    return (least / 2).sqrt()


def largest_margin(n_classes: int, in_features: int) -> float:
    """The margin that no arrangement of the class vectors lets every class reach.

    The best arrangement of C classes is a regular simplex, ``sqrt(C / (2 (C - 1)))``; it needs C - 1 features. With
    fewer the bound is the same, but is not reached.

    >>> round(largest_margin(10, 64), 3)
    0.745
    """
    n, _ = integer("n_classes", n_classes, 2), integer("in_features", in_features, 1)
    return math.sqrt(n / (2 * (n - 1)))
