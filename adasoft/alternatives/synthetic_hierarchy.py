"""The synthetic hierarchy on which doubly sparse softmax was first shown: do its experts find the groups?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checks import ABOVE_0, FINITE, integer, number
from .doubly_sparse import DoublySparseSoftmax
from .doubly_sparse_training import History, Settings, fit, seed_of


class Hierarchy(NamedTuple):
    """Points of classes that lie in groups."""

    inputs: Tensor
    """(n, d), fp32"""
    target: Tensor
    """(n,), classes"""
    groups: Tensor
    """(V,), the group of each class"""


def hierarchy(
    n_groups: int = 10,
    per_group: int = 10,
    n_items: int = 100,
    in_features: int = 100,
    *,
    variance: float = 100.0,
    ratio: float = 10.0,
    seed: int = 0,
) -> Hierarchy:
    """The paper's synthetic data, as its code draws them: three levels of Gaussians.

    Group centres have the given ``variance`` per coordinate, class centres variance / ratio around their group's, the
    ``n_items`` points of a class variance / ratio^2 around the class's.
    """
    sizes = [
        integer(name, v, 1) for name, v in (("n_groups", n_groups), ("per_group", per_group), ("n_items", n_items))
    ]
    variance, ratio = (
        number(name, value, ABOVE_0, FINITE, "a finite number above 0")
        for name, value in (("variance", variance), ("ratio", ratio))
    )
    random = torch.Generator().manual_seed(integer("seed", seed))
    points = torch.zeros(1, integer("in_features", in_features, 1))
    for level, size in enumerate(sizes):
        scale = (variance / ratio**level) ** 0.5
        points = points.repeat_interleave(size, 0)
        points = points + scale * torch.randn(points.shape, generator=random)
    classes = torch.arange(n_groups * per_group)
    return Hierarchy(points, classes.repeat_interleave(n_items), classes // per_group)


def train_hierarchy(
    data: Hierarchy, settings: Settings | None = None, **options: Any
) -> tuple[DoublySparseSoftmax, nn.Module, History]:
    """Softmax, body and history of :func:`fit` on such data; ``options`` are its own.

    The body is the authors': a fifth of the inputs dropped, one layer of as many ReLU units.
    """
    settings = Settings() if settings is None else settings
    d, device = data.inputs.shape[1], data.inputs.device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed_of(settings.seed, "start"))
        body = nn.Sequential(nn.Dropout(0.2), nn.Linear(d, d), nn.ReLU()).to(device)
        softmax = DoublySparseSoftmax(d, len(data.groups), settings.stages[0], device=device)
    history = fit(softmax, data.inputs, data.target, settings, body=body, **options)
    return softmax.eval(), body.eval(), history


class Recovery(NamedTuple):
    """How far experts are groups."""

    exact: int
    """Groups whose words are the words of some expert, all of them and no others."""
    overlap: Tensor
    """(K, groups): words that each expert has of each group."""


def recovery(softmax: DoublySparseSoftmax, groups: Tensor | Sequence[int]) -> Recovery:
    """Compare the experts with known ``groups`` (V,), numbers from 0."""
    known = torch.as_tensor(groups)
    if known.shape != (softmax.n_classes,) or known.is_floating_point() or int(known.min()) < 0:
        raise ValueError(f"groups should hold one number from 0 per class, {softmax.n_classes}, got {known.shape}")
    members = softmax.membership().cpu()
    inside = F.one_hot(known.cpu().long())
    overlap = members.long() @ inside
    full = (overlap == inside.sum(0)) & (members.sum(1, keepdim=True) == inside.sum(0))
    return Recovery(int((full & (inside.sum(0) > 0)).any(0).sum()), overlap)
