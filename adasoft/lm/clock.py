"""Where the time of a training step goes: a clock for :class:`adasoft.lm.run.Run`, on the host or on a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch

#: Phases of a training step: forward and backward of the body with its embedding, of the output layer, and clipping
#: with the optimizer's step.
PHASES = ("body", "output", "optimizer")
#: The phase that ends at a mark.
_PHASE_OF = {
    "body": "body",
    "output": "output",
    "output gradient": "output",
    "backward": "body",
    "optimizer": "optimizer",
}


class Clock:
    """Time of steps by phase: marks on the host, or events on a GPU that are read when asked for.

    ``now``: the host's clock in seconds; ``time.perf_counter`` if None.
    """

    def __init__(self, device: torch.device, now: Callable[[], float] | None = None) -> None:
        self.device, self.cuda = device, device.type == "cuda"
        self._now = now or time.perf_counter
        self.totals = dict.fromkeys(PHASES, 0.0)
        """Seconds in each of :data:`PHASES`, of all steps read so far."""
        self._marks: list[tuple[str, Any]] = []
        self._steps: list[list[tuple[str, Any]]] = []

    def start_step(self) -> None:
        """Begin a step. What an interrupt has left of the one before is forgotten."""
        self._marks = []
        self.mark("start")

    def mark(self, name: str) -> None:
        """What began at the mark before ends here."""
        if self.cuda:  # pragma: no cover - needs a GPU
            now: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            now.record(torch.cuda.current_stream(self.device))
        else:
            now = self._now()
        self._marks.append((name, now))

    def end_step(self) -> None:
        """End a step; it counts at the next reading."""
        self.mark("optimizer")
        self._steps.append(self._marks)
        self._marks = []

    def read(self) -> float:
        """Add up the steps since the last reading; their seconds."""
        if self.cuda and self._steps:  # pragma: no cover - needs a GPU
            self._steps[-1][-1][1].synchronize()
        seconds = 0.0
        for marks in self._steps:
            for (_, begin), (name, end) in pairwise(marks):
                spent = begin.elapsed_time(end) / 1e3 if self.cuda else end - begin
                self.totals[_PHASE_OF[name]] += spent
                seconds += spent
        self._steps.clear()
        return seconds

    def shares(self) -> dict[str, float]:
        """Share of the time in each of :data:`PHASES`; zeros before the first step."""
        total = sum(self.totals.values()) or 1.0
        return {phase: seconds / total for phase, seconds in self.totals.items()}
