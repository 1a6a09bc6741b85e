"""The plans that the page carries, because nothing can search for them there."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from ...cost import Cost
from ...planning import Infeasible, plan
from ...vocabulary import Vocabulary
from ..kit.explorer import FLOOR


def plans(
    vocabularies: Sequence[Vocabulary],
    costs: Sequence[Cost],
    hidden_sizes: Sequence[int],
    batches: Sequence[int],
    numbers_of_tails: Sequence[int] = (1, 2, 3, 4, 5),
) -> list[dict[str, Any]]:
    """The best cutoffs for every combination, as the explorer looks them up; some 40 ms each.

    With the floor of the notebooks' plans: a head too small for the tokens is fast, and describes common words badly.
    """
    found = []
    for (i, vocabulary), (j, cost) in itertools.product(enumerate(vocabularies), enumerate(costs)):
        possible = [tails for tails in numbers_of_tails if tails < len(vocabulary)]
        for d, batch, tails in itertools.product(hidden_sizes, batches, possible):
            try:
                best = plan(vocabulary, d, batch, cost=cost, n_tails=tails, min_head_share=FLOOR)
            except Infeasible:  # so few words that no head of this share leaves enough for the tails
                continue
            found.append({"text": i, "cost": j, "d": d, "batch": batch, "cuts": list(best.cutoffs)})
    return found
