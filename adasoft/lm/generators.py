"""Random numbers of a run: torch's generators as this run left them, whatever else draws from them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class Generators:
    """The states of torch's generators that belong to one run: the CPU's, and that of its GPU.

    They begin where torch's stand at the first use of :meth:`own`. :attr:`states` is kept in checkpoints.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.states: list[Tensor] = []

    @contextmanager
    def own(self) -> Iterator[None]:
        """Within it, torch's generators stand where this run left them; afterwards, where they stood before."""
        before = self._read()
        if self.states:
            self._write(self.states)
        try:
            yield
        finally:
            self.states = self._read()
            self._write(before)

    def _read(self) -> list[Tensor]:
        states = [torch.get_rng_state()]
        if self.device.type == "cuda":  # pragma: no cover - needs a GPU
            states.append(torch.cuda.get_rng_state(self.device))
        return states

    def _write(self, states: list[Tensor]) -> None:
        torch.set_rng_state(states[0])
        if self.device.type == "cuda":  # pragma: no cover - needs a GPU
            torch.cuda.set_rng_state(states[1], self.device)
