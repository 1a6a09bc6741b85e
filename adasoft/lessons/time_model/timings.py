"""What the lessons on time measure, keep and refuse; no widgets.

Sizes go in, seconds come out. Everything that needs torch imports it when called.
"""

from __future__ import annotations

import datetime
import gc
import itertools
import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...cost import Cost, MeasuredCost
from ..kit.costs import cost_at_hand, counts

Array = npt.NDArray[Any]
Step = Callable[[], Any]
#: Called with the part done (0 to 1) and what is being done; raises to stop.
Tick = Callable[[float, str], None]

DTYPES = ("float32", "bfloat16", "float16")
#: What is timed of a product, and the cost model's objective for it; the model knows no product alone.
PRODUCTS = {"with its softmax and gradients": "train", "the product alone, as the paper": "product"}

# ---------------------------------------------------------------------- machines


def devices() -> list[str]:
    """The devices that can be timed here."""
    import torch

    return ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def device_text(device: str) -> str:
    """The name of a device, and how many threads a CPU runs."""
    import torch

    from ...timing import describe

    threads = torch.get_num_threads()
    more = f", {threads} thread{'s' * (threads > 1)}" if device == "cpu" else ""
    return f"{describe(device)['name']}{more}"


def model_for(cost: Cost, device: str, dtype: str) -> tuple[MeasuredCost | None, str]:
    """The timings to predict with on a device, and whose they are; None if there are none at all.

    The explorer's own if they are of such a device, else what is at hand.
    """
    timed = isinstance(cost, MeasuredCost) and not counts(cost)
    if not timed or (cost.record and cost.record["device"]["type"] != device):  # type: ignore[attr-defined]
        try:
            cost = cost_at_hand(device, dtype=dtype)
        except LookupError:
            try:
                cost = cost_at_hand()
            except LookupError:
                return None, "no timings are at hand, so nothing is predicted"
    assert isinstance(cost, MeasuredCost)
    record = cost.record or {}
    text = cost.name
    if record and record["device"]["type"] != device:
        text += f" (another kind of device: it says little about {device})"
    elif record and record["dtype"] != dtype:
        text += f" (timed with {record['dtype']}, not {dtype})"
    return cost, text


def free_bytes(device: str) -> float:
    """Memory that can still be taken on a device; inf where the system does not tell."""
    if device != "cpu":
        import torch

        return float(torch.cuda.mem_get_info(device)[0])
    found = [math.inf]
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                found.append(1024.0 * int(line.split()[1]))
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
        used = Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii").strip()
        if limit != "max":
            found.append(float(limit) - float(used))
    except (OSError, ValueError):
        pass
    return min(found)


def busy_text() -> str:
    """A warning if other programs keep this machine's cores busy; nothing where the system does not tell."""
    try:
        load = os.getloadavg()[0]
    except (OSError, AttributeError):
        return ""
    cores = os.cpu_count() or 1
    if load < 0.75 * cores:
        return ""
    return (
        f"This machine is busy (load {load:.1f} on {cores} cores): times may come out several times too long, most of "
        "all those of many small steps. Close what you can before you measure."
    )


class TooLarge(ValueError):
    """More memory would be needed than is free."""


def check_memory(needed: float, device: str, what: str, way: str = "Take a smaller k, B or d.") -> None:
    """Raise `TooLarge` with the way out if ``needed`` bytes are more than 0.7 of what is free."""
    free = free_bytes(device)
    if needed > 0.7 * free:
        raise TooLarge(
            f"{what} would need about {needed / 2**30:,.2g} GiB, and {free / 2**30:,.3g} GiB are free on this "
            f"{device}. {way}"
        )


# ---------------------------------------------------------------------- bookkeeping


class Spread(NamedTuple):
    """Seconds: median and quartiles of n runs."""

    median: float
    q1: float
    q3: float
    n: int


def spread(seconds: Sequence[float]) -> Spread:
    """Median and quartiles. Raises ValueError for no runs."""
    if not seconds:
        raise ValueError("no runs, so no median")
    q1, median, q3 = np.percentile(seconds, [25, 50, 75]).tolist()
    return Spread(median, q1, q3, len(seconds))


class Tally:
    """Collects the runs of a measurement as they end; its ``json`` is what is kept."""

    def __init__(self, sizes: Mapping[str, Any], device: str) -> None:
        self.sizes, self.device = dict(sizes), device
        self.date = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        self.runs: dict[str, list[float]] = {}

    def heard(self, name: str, seconds: float) -> None:
        """One more run."""
        self.runs.setdefault(name, []).append(seconds)

    def spreads(self) -> dict[str, Spread]:
        """What was heard so far."""
        return {name: spread(seconds) for name, seconds in self.runs.items()}

    def json(self) -> dict[str, Any]:
        """Sizes, device, date, and median, quartiles and number of runs for each name."""
        times = {name: list(found) for name, found in self.spreads().items()}
        return {"sizes": self.sizes, "device": device_text(self.device), "date": self.date, "times": times}


def spreads(kept: Mapping[str, Any] | None, sizes: Mapping[str, Any]) -> dict[str, Spread]:
    """The spreads of a kept measurement if it was made at these sizes, else nothing."""
    if not kept or kept.get("sizes") != json.loads(json.dumps(sizes)):
        return {}
    return {name: Spread(float(t[0]), float(t[1]), float(t[2]), int(t[3])) for name, t in kept["times"].items()}


def rounds_within(one_round: float, budget: float, most: int = 25, sets: int = 2) -> int:
    """How many rounds fit into ``budget`` seconds beside ``sets`` rounds of warm-up; 3 to ``most``."""
    if not (one_round > 0 and math.isfinite(one_round)):
        return most
    return int(min(most, max(3, budget / one_round - sets)))


# ---------------------------------------------------------------------- products


def time_products(
    ks: Sequence[int], batch: int, d: int, *, device: str, what: str, seconds: float, tick: Tick, heard: Any
) -> None:
    """Time (B x d) by (d x k) products for all k in turns. ``heard`` gets the k as a text, and seconds."""
    from ...timing import interleave
    from ...workloads import product_items

    made = product_items([(batch, k, d) for k in ks], device, objective=what)
    items = {str(k): made[batch, k, d] for k in ks}
    interleave(
        items, device=device, rounds=25, seconds=seconds, progress=lambda done, k: tick(done, f"{k} words"), heard=heard
    )


def product_bytes(most: int, batch: int, d: int, points: int = 14) -> float:
    """Memory of a sweep over products up to ``most`` words, roughly: pool, logits and gradients."""
    return 4.0 * (max(2**24, 2 * max(most, batch) * d) + points * (most + batch) * d + 4 * batch * most)


def product_seconds(cost: MeasuredCost | None, ks: Sequence[int], batch: int, d: int) -> float:
    """Predicted seconds of one round over all k; nan if nothing is known."""
    if cost is None:
        return math.nan
    return float(np.sum(cost.product_time(np.asarray(ks, dtype=np.float64), batch, d, "train")))


#: The wrong ways to time a product, and the right one, as they are named in the figure.
ONCE, HOT, UNFINISHED, TURNS = (
    "once, no warm-up",
    "hot cache, best of 20",
    "not waiting for the GPU",
    "in turns, median",
)
#: The wrong ones first.
WAYS = (ONCE, HOT, UNFINISHED, TURNS)


def wrong_ways(
    k: int, batch: int, d: int, *, device: str, tick: Tick, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Seconds of one product, timed in ways that mislead: once and cold; the same numbers again and again, the best
    counts; and, on a GPU, without waiting for it."""
    from ...workloads import product_items

    ((step, again),) = product_items([(batch, k, d)], device).values()
    found: dict[str, float] = {}

    def run(step: Step, wait: bool = True) -> float:
        started = clock()
        step()
        if wait and device != "cpu":
            _synchronise(device)
        return clock() - started

    tick(0.0, ONCE)
    found[ONCE] = run(step)
    times = []
    for i in range(20):
        tick(i / 20, HOT)
        times.append(run(again))
    found[HOT] = min(times)
    if device != "cpu":
        found[UNFINISHED] = run(again, wait=False)
        _synchronise(device)
    return found


def _synchronise(device: str) -> None:
    import torch

    torch.cuda.synchronize(device)


def right_way(k: int, batch: int, d: int, *, device: str, seconds: float, tick: Tick, heard: Any) -> None:
    """One product in turns with other work, as in training: rotating inputs, warmed up, in turn with a pass over memory
    that leaves nothing of the product in the caches. ``heard`` gets `TURNS` and seconds."""
    import torch

    from ...timing import interleave
    from ...workloads import product_items

    (steps,) = product_items([(batch, k, d)], device, sets=4).values()
    other = torch.zeros(2**24, device=device)
    interleave(
        {TURNS: steps, "other work": [lambda: other.add_(1.0)]},
        device=device,
        rounds=25,
        seconds=seconds,
        progress=tick,
        heard=lambda name, s: heard(name, s) if name == TURNS else None,
    )


# ---------------------------------------------------------------------- layers

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
        set of logits, their softmax and their gradient comes on top."""
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


def layer_items(job: LayerJob, device: str, dtype: str) -> dict[str, list[Step]]:
    """Training steps for each layer of a job."""
    import torch

    from ...workloads import FullSoftmax, Shape, layer_steps, ours, stock

    out = {}
    for name, cutoffs, widths in job.layers:
        shape = Shape(job.n_classes, job.in_features, job.batch, cutoffs, widths)
        make: Any = FullSoftmax if not cutoffs else stock if name == STOCK else ours
        out[name] = layer_steps(shape, device, getattr(torch, dtype), make=make, shares=job.shares)
    return out


def time_layers(job: LayerJob, *, device: str, dtype: str, seconds: float, rounds: int, tick: Tick, heard: Any) -> None:
    """Time the layers of a job in turns."""
    from ...timing import interleave

    tick(0.0, "making the layers")
    items = layer_items(job, device, dtype)
    interleave(items, device=device, rounds=rounds, seconds=seconds, progress=tick, heard=heard)
    items.clear()
    gc.collect()  # gigabytes may hang in cycles


def time_layers_wrongly(
    job: LayerJob, *, device: str, dtype: str, tick: Tick, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Each layer once, cold, one after the other, without waiting for a GPU: seconds by name."""
    out = {}
    for number, (name, steps) in enumerate(layer_items(job, device, dtype).items()):
        tick(number / len(job.layers), name)
        started = clock()
        steps[0]()
        out[name] = clock() - started
    return out


# ---------------------------------------------------------------------- words


def percent_off(predicted: float, measured: float) -> str:
    """``29 % too low``, ``12 % too high``, ``right to a percent``; of the measured time."""
    error = predicted / measured - 1
    if abs(error) < 0.01:
        return "right to a percent"
    size = f"{100 * abs(error):.0f} %" if error < 1 else f"{predicted / measured:.1f} times"
    return f"{size} too {'low' if error < 0 else 'high'}" if error < 1 else f"{size} the measured time"
