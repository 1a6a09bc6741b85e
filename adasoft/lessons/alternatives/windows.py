"""SVD-softmax of the small full model at any W and N, and the tails that exact decoding of the adaptive one opens.

All of it is computed once: the models do not change.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...alternatives.svd_softmax import Choice, SVDSoftmax
from ...decoding import agreement
from .small_models import STATES, TOPS, SmallModels

#: Of the states that are not chosen by, how many a picture is made of.
SHOWN = 128


def reported(models: SmallModels) -> Tensor:
    """The hidden states that pictures are made of; W and N are chosen by others."""
    return models.states[STATES // 2 : STATES // 2 + SHOWN]


def chosen_by(models: SmallModels) -> Tensor:
    """The hidden states that W and N are chosen by."""
    return models.states[: STATES // 2]


@lru_cache(maxsize=2)
def svd_of(models: SmallModels) -> SVDSoftmax:
    """SVD-softmax of the full small model, decomposed once."""
    return SVDSoftmax(models.full)


@lru_cache(maxsize=2)
def _best(models: SmallModels) -> Tensor:
    return models.full.topk(reported(models), max(TOPS)).indices


def window(models: SmallModels, width: int, n_full: int) -> SVDSoftmax:
    """SVD-softmax of the full small model at this W and N; the same object at every call."""
    svd = svd_of(models)
    svd.set_window(width, n_full)
    return svd


@lru_cache(maxsize=256)
def quality(models: SmallModels, width: int, n_full: int) -> dict[str, float]:
    """Recall at 1 and 10 on the reported states, and arithmetic at a W and N."""
    svd, x = window(models, width, n_full), reported(models)
    ours, true = svd.topk(x, max(TOPS)).indices, _best(models)
    recalls = {f"recall {k}": agreement(ours, true, k) for k in (1, max(TOPS))}
    return recalls | {"utilisation": svd.utilisation}


def utilisation(models: SmallModels, width: int, n_full: Any) -> Any:
    """Multiplications of a W and N as a share of the full softmax's; N may be an array."""
    n, d = models.full.n_classes, models.full.in_features
    return (d * d + n * width + n_full * (d - width)) / (n * d)


@lru_cache(maxsize=2)
@torch.no_grad()
def recall_curves(models: SmallModels) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """N, and for every W from 1 to d the recall of the ten best words that it guarantees (see `SVDSoftmax.choose`).

    All W in one go, a column after the other: `SVDSoftmax.needed` for each would take a minute.
    """
    svd, k = svd_of(models), max(TOPS)
    matrix, turned = torch.cat([svd.preview, svd.rest], 1), reported(models) @ svd.basis
    logits = torch.zeros(len(turned), svd.n_classes) if svd.bias is None else svd.bias.repeat(len(turned), 1)
    values, words = (logits + turned @ matrix.T).topk(k)
    spare = k - 1 - np.arange(k)
    places = np.unique(np.geomspace(1, svd.n_classes, 60).round().astype(np.int64))
    shares = []
    for column in range(svd.in_features):
        logits += turned[:, column : column + 1] * matrix[:, column]
        levels = torch.cat([logits.gather(1, words), values], 1).numpy()  # own preview, own logit
        needed = []
        for row, wanted in zip(logits.numpy(), levels, strict=True):
            high = np.sort(row[row > wanted.min()])
            above = len(high) - np.searchsorted(high, wanted, side="right")
            needed.append(np.maximum(above[:k] + 1, above[k:] - spare))
        shares.append(np.searchsorted(np.sort(np.concatenate(needed)), places, side="right") / (k * len(turned)))
    return places.astype(float), np.stack(shares)


def recall_curve(models: SmallModels, width: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """N, and the recall of the ten best words that it guarantees at a W."""
    places, shares = recall_curves(models)
    return places, shares[width - 1]


@lru_cache(maxsize=32)
def choose(models: SmallModels, recall: float) -> Choice:
    """The W and N of least arithmetic that find this share of the ten best words, on the states to choose by."""
    return svd_of(models).choose(chosen_by(models), recall, max(TOPS))


def cheapest_percent(models: SmallModels) -> float:
    """Percent of the arithmetic of the cheapest W and N for 99 % of the ten best words, as the panel chooses them."""
    return 100 * choose(models, 0.99).utilisation


# ---------------------------------------------------------------------- for the picture that the page draws


@lru_cache(maxsize=2)
def all_curves(models: SmallModels) -> dict[str, Any]:
    """Sizes, and the curve of every W: what ``static/window.js`` needs to compute by itself."""
    places, curves = recall_curves(models)
    return {
        "n": models.full.n_classes,
        "d": models.full.in_features,
        "places": [int(place) for place in places],
        "curves": [[round(float(share), 4) for share in shares] for shares in curves],
    }


@lru_cache(maxsize=64)
def preview_ranks(models: SmallModels, place: int) -> list[list[int]]:
    """Of each of the ten best words of a hidden state, its rank in the preview by W = 1, 2, ... d columns."""
    svd, x = svd_of(models), models.states[place : place + 1]
    words = models.full.topk(x, max(TOPS)).indices[0]
    matrix = torch.cat([svd.preview, svd.rest], 1)
    previews = (matrix * (x @ svd.basis)).cumsum(1)
    if svd.bias is not None:
        previews = previews + svd.bias[:, None]
    return [((previews > previews[word]).sum(0) + 1).tolist() for word in words.tolist()]
