"""Which senses move to which words. The number of senses never changes, and no word loses its last one.

Two orders of the words that ask for a sense (``ORDERS``):

``"paper"``
    The words beside Miao et al.'s algorithm: badly predicted words are helped, by moving averages of the logarithm of
    their probability; the worst first. The threshold is ours: the mean over all words seen.
``"released"``
    The authors' code: rising ``(count / sum of p) / sqrt(count)``, the inverse of accuracy over the root of the count,
    for words more frequent than the median. That puts *well* predicted frequent words first, the opposite.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..checks import choice, integer
from .senses import MOST

ORDERS = ("paper", "released")


class Move(NamedTuple):
    """One sense that changes its word."""

    sense: int
    giver: int
    """The word it leaves."""
    receiver: int
    """The word it goes to."""


def receivers(
    order: str, count: Tensor, probability: Tensor, log_probability: Tensor, threshold: float | None = None
) -> list[int]:
    """The words that ask for a sense, the first to be served first; ties by rank.

    Args:
        order: one of :data:`ORDERS`.
        count: (V,) tokens of each word since the start of the sums.
        probability: (V,) sums of p(word) over them; for ``"released"``.
        log_probability: (V,) sums of log p(word) over them; for ``"paper"``.
        threshold: ``"paper"``: words ask whose mean log p is below it; default the mean over all words seen.

    >>> count, p = torch.tensor([4.0, 4.0, 1.0]), torch.tensor([3.6, 0.4, 0.5])
    >>> receivers("released", count, p, p.log()), receivers("paper", count, p, count * (p / count).log())
    ([], [1])
    """
    seen = count > 0
    if choice("order", order, ORDERS) == "released":
        asks = seen & (count > count.median())
        rank = (count / probability) / count.sqrt()
    else:
        rank = log_probability / count
        asks = seen & (rank < (rank[seen].mean() if threshold is None else threshold))
    words = torch.argsort(rank.masked_fill(~asks, torch.inf), stable=True)
    found: list[int] = words[: int(asks.sum())].tolist()
    return found


def planned_moves(words: Tensor, usage: Tensor, asking: Iterable[int], limit: int) -> list[Move]:
    """Greedy moves: each word that asks, in its turn, gets the least used sense that may go. Deterministic.

    A sense may go if its word keeps another, and if that word has not itself been given one in this round. A word with
    4 senses gets none. Sources leave open whether a word may be served twice in a round: here it is served once.

    Args:
        words: (S,) the word of each sense.
        usage: (S,) how much each sense is used; ties by place.
        asking: words, the first to be served first.
        limit: most moves, at least 1.

    >>> planned_moves(torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([5.0, 4, 9, 1, 2, 8]), [2, 1], 2)
    [Move(sense=3, giver=0, receiver=2)]
    """
    limit = integer("limit", limit, 1)
    left: Sequence[int] = torch.bincount(words).tolist()
    senses, served = [*left], set()
    owner: list[int] = words.tolist()
    donors: list[int] = torch.argsort(usage, stable=True).tolist()
    moves: list[Move] = []
    for receiver in asking:
        if len(moves) == limit:
            break
        if senses[receiver] >= MOST or receiver in served:
            continue
        free = (s for s in donors if senses[owner[s]] > 1 and owner[s] != receiver and owner[s] not in served)
        sense = next(free, None)
        if sense is None:
            continue
        moves.append(Move(sense, owner[sense], receiver))
        senses[owner[sense]] -= 1
        senses[receiver] += 1
        donors.remove(sense)
        served.add(receiver)
    return moves
