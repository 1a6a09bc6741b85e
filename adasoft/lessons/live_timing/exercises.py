"""What the reader of lesson 04 writes: how much faster a whole training step gets when its layer does."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from ..kit.exercises import Exercise

Runs = Sequence[float]


def step_speedup(steps: Runs, slow_layer: Runs, fast_layer: Runs) -> float:
    """How many times faster a whole step gets when its slow layer is replaced by the fast one."""
    step = statistics.median(steps)
    rest = step - statistics.median(slow_layer)
    return step / (rest + statistics.median(fast_layer))


def _with(middle: Callable[[Runs], float]) -> Callable[[Runs, Runs, Runs], float]:
    def speedup(steps: Runs, slow_layer: Runs, fast_layer: Runs) -> float:
        return middle(steps) / (middle(steps) - middle(slow_layer) + middle(fast_layer))

    return speedup


_median = statistics.median

EXERCISES = {
    "step speed-up": Exercise(
        text="How many times faster a whole training step gets when its output layer is replaced.",
        solution=step_speedup,
        cases=lambda: [
            ([100.0, 101.0, 99.0], [60.0, 61.0, 59.0], [6.0, 6.1, 5.9]),
            ([50.0, 52.0, 51.0, 49.0, 300.0], [20.0, 21.0, 19.0, 20.5, 90.0], [4.0, 4.4, 4.1, 30.0, 3.9]),
            ([10.0, 10.2, 9.9, 10.1], [3.0, 3.1, 2.9, 3.05], [3.0, 3.2, 2.8, 3.1]),
            ([8.0, 8.1, 7.9], [2.0, 2.2, 1.9], [4.0, 4.1, 3.9]),
        ],
        bugs={
            "That is the speed-up of the layer alone. The rest of the step takes as long as before.": (
                lambda _steps, slow, fast: _median(slow) / _median(fast)
            ),
            "That would hold if the new layer took no time at all: add it to the rest.": lambda steps, slow, _fast: (
                _median(steps) / (_median(steps) - _median(slow))
            ),
            "Upside down: the time before belongs above the line, the time after below.": lambda steps, slow, fast: (
                (_median(steps) - _median(slow) + _median(fast)) / _median(steps)
            ),
            "That is a mean, and one busy moment spoils it. Take the median of each list.": _with(statistics.fmean),
            "That takes the fastest run of each. Take the median.": _with(min),
            "You added the new layer, but the old one is still in there: subtract it.": lambda steps, _slow, fast: (
                _median(steps) / (_median(steps) + _median(fast))
            ),
        },
        why="Only the softmax's part of a step gets faster: that bounds what any layer can bring.",
    ),
}
