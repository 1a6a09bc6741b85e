"""What margins are for: how far apart embeddings of different classes lie, and whether the nearest is of one class."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def _cosines(embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines of all pairs (N, N), and which are of one class."""
    if embeddings.dim() != 2 or labels.shape != embeddings.shape[:1]:
        raise ValueError(
            f"embeddings and labels should be of the shapes (N, d) and (N,), got {tuple(embeddings.shape)} and "
            f"{tuple(labels.shape)}"
        )
    unit = F.normalize(embeddings.double(), dim=1)
    return unit @ unit.t(), labels.unsqueeze(0) == labels.unsqueeze(1)


@torch.no_grad()
def angle_gap(embeddings: Tensor, labels: Tensor) -> float:
    """Wasserstein distance, in degrees, between the angles of pairs of one class and those of two classes.

    ``embeddings`` (N, d), ``labels`` (N,). Raises ValueError if either kind of pair is missing.

    >>> angle_gap(torch.tensor([[1.0, 0], [2, 0], [0, 1], [0, 3]]), torch.tensor([0, 0, 1, 1]))
    90.0
    """
    from scipy.stats import wasserstein_distance

    cosines, same = _cosines(embeddings, labels)
    angles = cosines.clamp(-1, 1).acos().rad2deg()
    above = torch.ones_like(same).triu(1)
    within, between = angles[same & above], angles[~same & above]
    if not len(within) or not len(between):
        raise ValueError(
            f"labels should have pairs of one class and of two, got {len(within)} and {len(between)} of them"
        )
    return float(wasserstein_distance(within.numpy(), between.numpy()))


@torch.no_grad()
def nearest_of_same_class(embeddings: Tensor, labels: Tensor) -> float:
    """Share of the rows whose nearest other row, by angle, is of their class.

    ``embeddings`` (N, d), ``labels`` (N,). Rows whose class has no other row do not count; ValueError if none does.
    """
    cosines, same = _cosines(embeddings, labels)
    same = same.clone().fill_diagonal_(False)
    counted = same.any(1)
    if not bool(counted.any()):
        raise ValueError("labels should have a class of two rows or more, got none")
    nearest = cosines.fill_diagonal_(-2.0).argmax(1)
    return float(same.gather(1, nearest.unsqueeze(1)).squeeze(1)[counted].double().mean())
