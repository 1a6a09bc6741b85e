"""Doubly sparse softmax trained live on ten groups of ten classes: how it is trained, and its state as JSON."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...alternatives import DoublySparseSoftmax, synthetic_hierarchy
from ...alternatives.doubly_sparse_training import Settings, Step
from ...files import DamagedFile
from ..kit.parts import one_line
from ..time_model.timings import Tick

#: The synthetic classes: ten groups of ten.
GROUPS, PER_GROUP = 10, 10
#: Points of each class.
ITEMS = 100
#: Epochs of each stage of the training on them, of 20 steps each.
EPOCHS = 40


@lru_cache(maxsize=2)
def hierarchy(n_items: int) -> synthetic_hierarchy.Hierarchy:
    """The paper's synthetic data: ten groups of ten classes."""
    return synthetic_hierarchy.hierarchy(GROUPS, PER_GROUP, n_items)


def sizes_of(settings: Settings) -> dict[str, Any]:
    """What a training depends on, as it is kept."""
    return {"stages": list(settings.stages), "threshold": settings.threshold, "epochs": settings.epochs}


def train(
    state: Watched,
    checkpoint: Path | None,
    *,
    tick: Tick,
    heard: Callable[[Mapping[str, Any]], None],
) -> None:
    """Train, from the checkpoint if there is one; ``state.now`` tells how far they are, even when this ends early.

    Raises DamagedFile if it cannot continue from the checkpoint.
    """
    going_on = checkpoint is not None and checkpoint.exists()

    def follow(step: Step, softmax: DoublySparseSoftmax) -> None:
        state.see(step, softmax)
        tick((step.step + 1) / state.steps, f"step {step.step + 1} of {state.steps}, {step.n_rows} class vectors")
        heard(state.now)

    threads = torch.get_num_threads()
    with warnings.catch_warnings():  # the panel tells of an emptied expert and of a collapsed gate
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            torch.set_num_threads(1)  # many tiny products: more threads would wait for each other
            synthetic_hierarchy.train_hierarchy(
                hierarchy(state.n_items), state.settings, checkpoint=checkpoint, callback=follow, progress=False
            )
        except Exception as error:
            if not going_on or state.now:  # else it did not even begin
                raise
            reason = error.args[1] if isinstance(error, DamagedFile) else one_line(error)
            raise DamagedFile(str(checkpoint), reason, "press Train to start again") from error
        finally:
            torch.set_num_threads(threads)
            if state.now:
                state.finish()


class Watched:
    """How far a training of experts is, as JSON."""

    def __init__(self, kept: Mapping[str, Any], settings: Settings, n_items: int) -> None:
        self.steps = -(-len(hierarchy(n_items).target) // settings.batch) * settings.epochs * len(settings.stages)
        self._points: list[list[float]] = [list(p) for p in kept.get("points", ())]
        self.settings, self.n_items = settings, n_items
        self._softmax: DoublySparseSoftmax | None = None
        self._last: Step | None = None
        self.now: dict[str, Any] = {}

    def see(self, step: Step, softmax: DoublySparseSoftmax) -> None:
        """One more step."""
        self._softmax, self._last = softmax, step
        per_epoch = self.steps // (self.settings.epochs * len(self.settings.stages))
        if step.step % per_epoch == 0 or not self.now:
            self._points.append([step.step + 1, step.n_rows, step.task])
            self._describe(step, softmax)
        self.now = {**self.now, "step": step.step + 1}

    def finish(self) -> None:
        """The last state, pruned as it is."""
        if self._softmax is not None and self._last is not None:
            self._describe(self._last, self._softmax)

    def _describe(self, step: Step, softmax: DoublySparseSoftmax) -> None:
        known = [softmax.expert(k).tolist() for k in range(softmax.n_experts)]
        found = synthetic_hierarchy.recovery(softmax, hierarchy(self.n_items).groups)
        self.now = {
            "sizes": sizes_of(self.settings),
            "known": known,
            "points": self._points,
            "step": step.step + 1,
            "steps": self.steps,
            "exact": found.exact,
            "task": step.task,
            "rows": sum(map(len, known)),
        }


def utilised(kept: Mapping[str, Any]) -> float:
    """Arithmetic of trained experts as a share of the full softmax's, if all get equally many of the tokens."""
    alive = [len(one) for one in kept["known"] if one]
    n = GROUPS * PER_GROUP
    return (len(kept["known"]) + float(np.mean(alive))) / n if alive else math.nan
