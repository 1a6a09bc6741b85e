"""How far a run has come: its position, kept in checkpoints, and what :meth:`adasoft.lm.run.Run.steps` tells of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass
class Epoch:
    """What an epoch came to."""

    epoch: int
    train: float
    """Perplexity while training."""
    valid: float
    """Perplexity on the validation part after it."""
    seconds: float
    """Of training, from the beginning of the run."""


@dataclass
class Position:
    """Where a run stands."""

    epoch: int = 1
    """From 1."""
    window: int = 0
    """Windows of this epoch that are done."""
    seconds: float = 0.0
    """Of training so far."""
    tokens: int = 0
    """Predicted so far."""
    epochs: list[Epoch] = field(default_factory=list)
    """Those that are over."""


class Progress(NamedTuple):
    """How far a run has come; :meth:`Run.steps` gives one after every step or every few."""

    epoch: int
    """From 1."""
    window: int
    """Windows of this epoch that are done."""
    windows: int
    """Of an epoch."""
    loss: float
    """Nats per token, mean since the last progress."""
    seconds: float
    """Of training so far, without evaluations, checkpoints and pauses."""
    words_per_second: float
    """Of training so far in this process's time; over all processes."""
    phases: dict[str, float]
    """Share of the time in each of :data:`adasoft.lm.clock.PHASES`."""
    valid: float | None
    """Perplexity on the validation part, at the end of an epoch; None before."""
