"""The reader's cutoffs against the planner's, on the clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ...cost import MeasuredCost
from ...planning import Plan, plan
from ..kit.costs import cost_at_hand
from ..kit.explorer import Explorer
from ..kit.parts import listed
from ..kit.plots import seconds_text

#: What a duel may take: seconds by prediction, and bytes of weights with their gradients.
DUEL_SECONDS, DUEL_BYTES = 6.0, 2e9
_ROUNDS, _SETS = 9, 2


def duel(explorer: Explorer, cutoffs: Sequence[int], tick: Callable[[float, str], None]) -> str:
    """Training steps with these cutoffs and with the planner's, timed in turns on this machine, in one sentence.

    The batch is halved until the predicted time is at most `DUEL_SECONDS`; the planner plans for that batch.

    Raises:
        LookupError: no timings of any machine to predict from.
        ValueError: no cutoffs, or layers too large for the memory.
    """
    from ...timing import interleave
    from ...workloads import Shape, layer_steps

    if not cutoffs:
        raise ValueError("no cutoffs to measure: choose one at least")
    own = isinstance(explorer.cost, MeasuredCost) and not explorer.counted and not explorer.cost.on_gpu
    cost = explorer.cost if own else cost_at_hand("cpu")  # it is run on the CPU
    words, d, batch = explorer.vocabulary, explorer.in_features, explorer.batch
    widths = explorer.widths_for(len(cutoffs))
    shares = np.diff([0.0, *words.cumulative[[*cutoffs, len(words)]]])[1:].tolist()
    whose = "" if cost.name.startswith("this machine") else " from another machine's timings"

    def predicted(at: int) -> tuple[float, Plan]:
        found = plan(words, d, at, cost=cost, n_tails=len(cutoffs), widths=widths, min_head_share=0.75)
        return cost.layer(len(words), cutoffs, widths, shares, d, at).seconds, found

    yours, found = predicted(batch)
    while (yours + found.time) * (_ROUNDS + _SETS) > DUEL_SECONDS and batch > 32:
        batch //= 2
        yours, found = predicted(batch)
    layers = [cost.layer(len(words), c, widths, shares, d, batch) for c in (cutoffs, found.cutoffs)]
    if sum(8.0 * layer.parameters for layer in layers) > DUEL_BYTES:
        raise ValueError(
            f"these two layers have {sum(x.parameters for x in layers):,} weights, too many to measure here: choose "
            "narrower tails or a smaller d"
        )
    tick(0.0, "building both layers ...")
    steps = {
        name: layer_steps(Shape(len(words), d, batch, tuple(c), tuple(widths)), sets=_SETS, shares=words.shares)
        for name, c in (("your layer", cutoffs), ("the planner's layer", found.cutoffs))
    }
    you, planner = interleave(steps, rounds=_ROUNDS, seconds=2 * DUEL_SECONDS, progress=tick).values()
    apart = you.q1 > planner.q3 or planner.q1 > you.q3
    won = "you are faster" if you.median < planner.median else "the planner is faster"
    return (
        f"With B = {batch:,}{'' if batch == explorer.batch else ' (so that it takes seconds)'}, "
        f"you at {listed(cutoffs)}, the planner at {listed(found.cutoffs)}. Predicted{whose}: you "
        f"{seconds_text(yours)}, the planner {seconds_text(found.time)}. Measured here, median of {you.n} steps in "
        f"turns: you {seconds_text(you.median)} ({seconds_text(you.q1)} to {seconds_text(you.q3)}), the planner "
        f"{seconds_text(planner.median)} ({seconds_text(planner.q1)} to {seconds_text(planner.q3)}). Your score, "
        f"the planner's time over yours: {found.time / yours:.2f} predicted, {planner.median / you.median:.2f} "
        f"measured; {won if apart else 'the quartiles overlap, so call it a draw'}."
    )
