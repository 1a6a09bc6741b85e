"""The reader's cutoffs against the planner's, on the clock."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from ...cost import MeasuredCost
from ...planning import Plan, plan
from ..kit.costs import cost_at_hand
from ..kit.explorer import FLOOR, Explorer

#: What a duel may take: seconds by prediction, and bytes of weights with their gradients.
DUEL_SECONDS, DUEL_BYTES = 6.0, 2e9
_ROUNDS, _SETS = 9, 2
#: How unsure the ratio of two alike medians may be, as a share of it: beyond, the machine was too busy to tell.
NOISE = 0.25
#: Fewer steps of a layer tell nothing.
FEWEST = 5


class Side(NamedTuple):
    """One of the two layers."""

    cutoffs: tuple[int, ...]
    predicted: float
    """Seconds of a step."""
    median: float
    q1: float
    q3: float
    n: int

    @property
    def unsure(self) -> float:
        """Half of the median's 95 % interval (McGill, Tukey and Larsen, 1978), as a share of the median.

        Two medians whose intervals do not meet differ by more than chance.
        """
        if self.n < FEWEST:
            return math.inf
        return 1.57 * (self.q3 - self.q1) / (math.sqrt(self.n) * self.median)

    @property
    def kept(self) -> dict[str, Any]:
        """As JSON."""
        measured = [self.median, self.q1, self.q3, self.n]
        return {"cutoffs": list(self.cutoffs), "predicted": self.predicted, "measured": measured}


class Duel(NamedTuple):
    """A measured game."""

    batch: int
    asked: int
    """The batch that the reader had chosen; ``batch`` is smaller where a step would have taken too long."""
    whose: str
    """The timings that the predictions come from."""
    you: Side
    planner: Side

    @property
    def outcome(self) -> Literal["you", "planner", "alike", "too busy"]:
        """Who is faster by more than chance; else whether the two are alike, or the machine too busy to tell."""
        fast, slow = sorted((self.you, self.planner), key=lambda side: side.median)
        if fast.median * (1 + fast.unsure) < slow.median * (1 - slow.unsure):
            return "you" if fast is self.you else "planner"
        return "alike" if fast.unsure + slow.unsure <= NOISE else "too busy"

    @property
    def spread(self) -> float:
        """How many times longer a slow step takes than a fast one of the same layer: the third quartile over the
        first."""
        return max(side.q3 / side.q1 for side in (self.you, self.planner))

    @property
    def kept(self) -> dict[str, Any]:
        """As JSON; `from_kept` reads it."""
        named = {"batch": self.batch, "asked": self.asked, "whose": self.whose}
        return {**named, "you": self.you.kept, "planner": self.planner.kept}

    @classmethod
    def from_kept(cls, kept: dict[str, Any]) -> Duel:
        """A game as `ClustersExplorer.kept_duel` recalls it."""
        you, planner = (
            Side(tuple(side["cutoffs"]), side["predicted"], *side["measured"])
            for side in (kept["you"], kept["planner"])
        )
        return cls(kept["batch"], kept["asked"], kept["whose"], you, planner)


def duel(explorer: Explorer, cutoffs: Sequence[int], tick: Callable[[float, str], None]) -> Duel:
    """Time training steps with these cutoffs and with the planner's, in turns, on this machine.

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

    def predicted(at: int) -> tuple[float, Plan]:
        found = plan(words, d, at, cost=cost, n_tails=len(cutoffs), widths=widths, min_head_share=FLOOR)
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
    return Duel(
        batch,
        explorer.batch,
        cost.name,
        Side(tuple(map(int, cutoffs)), float(yours), you.median, you.q1, you.q3, you.n),
        Side(tuple(map(int, found.cutoffs)), float(found.time), planner.median, planner.q1, planner.q3, planner.n),
    )
