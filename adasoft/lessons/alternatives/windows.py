"""SVD-softmax of the small full model at any W and N, and the tails that exact decoding of the adaptive one opens.

All of it is computed once: the models do not change.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
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


@lru_cache(maxsize=64)
def recall_curve(models: SmallModels, width: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """N, and the recall of the ten best words that it guarantees at a W (see `SVDSoftmax.choose`)."""
    svd = window(models, width, 1)
    needed = svd.needed(reported(models), max(TOPS)).flatten().sort().values.numpy()
    places = np.unique(np.geomspace(1, svd.n_classes, 60).round().astype(np.int64))
    return places.astype(float), np.searchsorted(needed, places, side="right") / len(needed)


@lru_cache(maxsize=32)
def choose(models: SmallModels, recall: float) -> Choice:
    """The W and N of least arithmetic that find this share of the ten best words, on the states to choose by."""
    return svd_of(models).choose(chosen_by(models), recall, max(TOPS))


def cheapest_percent(models: SmallModels) -> float:
    """Percent of the arithmetic of the cheapest W and N for 99 % of the ten best words, as the panel chooses them."""
    return 100 * choose(models, 0.99).utilisation
