"""The layers of the lesson on live timing: what a measurement times, what it needs, and how it is done; no widgets."""

from __future__ import annotations

import gc
import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...cost import Cost
from ..time_model.timings import Bench, Step, Tick

Array = npt.NDArray[Any]

FULL, STOCK, OURS, PLAN = "full softmax", "PyTorch's layer", "ours", "our plan"


@dataclass(frozen=True)
class LayerJob:
    """Layers to time at one V, d and B: name -> (cutoffs, widths); a full softmax has no cutoffs."""

    n_classes: int
    in_features: int
    batch: int
    layers: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]
    shares: Array
    """(V,) of the words, by rank."""

    def tail_shares(self, cutoffs: Sequence[int]) -> list[float]:
        """Share of the tokens in each tail."""
        mass = np.concatenate([[0.0], self.shares.cumsum()])
        return np.diff(mass[[*cutoffs, self.n_classes]]).tolist()  # type: ignore[no-any-return]

    def bytes(self, itemsize: int) -> float:
        """Memory while all of them take turns, roughly: every layer's weights and gradients stay, and the largest
        set of logits, their softmax and their gradient are added."""
        weights, logits = 0.0, 0.0
        for _, cutoffs, widths in self.layers:
            edges = [*cutoffs, self.n_classes]
            head = edges[0] + len(cutoffs)
            sizes = [b - a for a, b in itertools.pairwise(edges)]
            weights += head * self.in_features + sum(
                w * (k + self.in_features) for w, k in zip(widths, sizes, strict=True)
            )
            rows = [self.batch * p for p in self.tail_shares(cutoffs)]
            logits = max(logits, self.batch * head + sum(n * k for n, k in zip(rows, sizes, strict=True)))
        return itemsize * (2 * weights + 3 * logits + 4 * len(self.layers) * self.batch * self.in_features)

    def seconds(self, cost: Cost | None) -> dict[str, float]:
        """Predicted seconds of each layer; nan without a cost model."""
        out = {}
        for name, cutoffs, widths in self.layers:
            shares = self.tail_shares(cutoffs)
            out[name] = (
                math.nan
                if cost is None
                else cost.layer(self.n_classes, cutoffs, widths, shares, self.in_features, self.batch).seconds
            )
        return out


def layer_items(job: LayerJob, device: str, dtype: str, bench: Bench) -> dict[str, list[Step]]:
    """Training steps for each layer of a job."""
    import torch

    from ...workloads import FullSoftmax, Shape, ours, stock

    out = {}
    for name, cutoffs, widths in job.layers:
        shape = Shape(job.n_classes, job.in_features, job.batch, cutoffs, widths)
        make: Any = FullSoftmax if not cutoffs else stock if name == STOCK else ours
        out[name] = bench.layer(shape, device, getattr(torch, dtype), make=make, shares=job.shares)
    return out


def time_layers(
    job: LayerJob, *, bench: Bench, device: str, dtype: str, seconds: float, rounds: int, tick: Tick, heard: Any
) -> None:
    """Time the layers of a job in turns."""
    tick(0.0, "making the layers")
    items = layer_items(job, device, dtype, bench)
    bench.interleave(items, device=device, rounds=rounds, seconds=seconds, progress=tick, heard=heard)
    items.clear()
    gc.collect()  # gigabytes may hang in cycles


def time_layers_wrongly(
    job: LayerJob,
    *,
    bench: Bench,
    device: str,
    dtype: str,
    tick: Tick,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Each layer once, cold, one after the other, without waiting for a GPU: seconds by name."""
    out = {}
    for number, (name, steps) in enumerate(layer_items(job, device, dtype, bench).items()):
        tick(number / len(job.layers), name)
        started = clock()
        steps[0]()
        out[name] = clock() - started
    return out
