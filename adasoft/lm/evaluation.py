"""How well a language model predicts a text: nats of each token, perplexity, and where by rank the loss lies."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..corpora import Batches
from .models import LanguageModel

#: Ranks at which :func:`nats_by_rank` begins a new band of words.
BANDS = (0, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000)
#: Words that each of the sequences has at least when a text is read as several side by side.
SEQUENCE = 500
#: exp of more nats than these is beyond fp64.
_MOST_NATS = 700.0


@torch.no_grad()
def nats_of(
    model: LanguageModel, ids: NDArray[Any], batch: int, bptt: int, device: torch.device
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rank and exact negative log-likelihood of each token predicted of a text: (n,), (n,).

    Dropout is off. The text is read as up to ``batch`` sequences side by side, of at least :data:`SEQUENCE` words each,
    in windows of ``bptt`` words that carry the state on; the first word of the text and a remainder shorter than the
    number of sequences are not predicted.
    """
    columns = max(1, min(batch, len(ids) // SEQUENCE))
    windows = Batches(ids, columns, min(bptt, max(1, (len(ids) - 1) // columns)))
    training, state = model.training, None
    ranks: list[Tensor] = []
    nats: list[Tensor] = []
    model.eval()
    try:
        for window in windows:
            x, target = (torch.from_numpy(np.ascontiguousarray(side)).to(device, torch.long) for side in window)
            hidden, state = model.hidden(x, state)
            ranks.append(target.flatten().cpu())
            nats.append(-model.softmax(hidden, target).output.flatten().cpu().double())
    finally:
        model.train(training)
    return torch.cat(ranks).numpy(), torch.cat(nats).numpy()


def perplexity(nats: float) -> float:
    """exp of the nats per token; large, but finite, for a training that has diverged.

    >>> round(perplexity(4.605170186), 6)
    100.0
    """
    return math.exp(min(nats, _MOST_NATS))


def nats_by_rank(ranks: NDArray[np.int64], nats: NDArray[np.float64]) -> dict[str, list[Any]]:
    """Sums over bands of words: the first rank of each, its tokens, their nats. Together they are the whole loss.

    >>> nats_by_rank(np.array([0, 99, 100]), np.array([1.0, 2.0, 4.0]))
    {'from rank': [0, 100], 'tokens': [2, 1], 'nats': [3.0, 4.0]}
    """
    edges = np.array(BANDS)[: max(1, int(np.searchsorted(BANDS, ranks.max(initial=0), side="right")))]
    band = np.searchsorted(edges, ranks, side="right") - 1
    tokens, sums = np.bincount(band, minlength=len(edges)), np.bincount(band, nats, minlength=len(edges))
    return {"from rank": edges.tolist(), "tokens": tokens.tolist(), "nats": sums.round(3).tolist()}
