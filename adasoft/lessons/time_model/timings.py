"""What the lessons on time measure, keep and refuse: single products here, layers in the lesson after; no widgets.

Sizes go in, seconds come out. Everything that needs torch imports it when called.
"""

from __future__ import annotations

import datetime
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


def model_for(
    cost: Cost, device: str, dtype: str, available: Callable[..., MeasuredCost] = cost_at_hand
) -> tuple[MeasuredCost | None, str]:
    """The timings to predict with on a device, and whose they are; None if there are none at all.

    The explorer's own if they are of such a device, else what is ``available`` (see `cost_at_hand`).
    """
    timed = isinstance(cost, MeasuredCost) and not counts(cost)
    if not timed or (cost.record and cost.record["device"]["type"] != device):  # type: ignore[attr-defined]
        try:
            cost = available(device, dtype=dtype)
        except LookupError:
            try:
                cost = available()
            except LookupError:
                return None, "no timings are available, so nothing is predicted"
    assert isinstance(cost, MeasuredCost)
    record = cost.record or {}
    text = cost.name
    if record and record["device"]["type"] != device:
        text += f" (another kind of device: it says little about {device})"
    elif record and record["dtype"] != dtype:
        text += f" (timed with {record['dtype']}, not {dtype})"
    return cost, text


def judges(cost: MeasuredCost | None, device: str, dtype: str) -> bool:
    """Whether a cost model was timed on such a device with such numbers; one without a record is taken at its word."""
    record = None if cost is None else cost.record
    return cost is not None and (record is None or (record["device"]["type"], record["dtype"]) == (device, dtype))


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


def load_now() -> tuple[float, int]:
    """The load average of the last minute, and the cores that share it; no load where the system does not tell."""
    try:
        load = os.getloadavg()[0]
    except (OSError, AttributeError):
        load = 0.0
    return load, os.cpu_count() or 1


def busy_text(now: tuple[float, int] | None = None) -> str:
    """A warning if other programs keep this machine's cores busy; ``now``: load and cores, by default as they are."""
    load, cores = now or load_now()
    if load < 0.75 * cores:
        return ""
    return (
        f"This machine is busy (load {load:.1f} on {cores} cores): times may come out several times too long, most of "
        "all those of many small steps. Close what you can before you measure."
    )


def bytes_text(size: float) -> str:
    """430 GiB, 1.5 GiB, 12 MiB: memory as people write it.

    >>> bytes_text(4.3e2 * 2**30), bytes_text(1.5 * 2**30), bytes_text(12 * 2**20), bytes_text(3)
    ('430 GiB', '1.5 GiB', '12 MiB', 'less than 1 MiB')
    """
    for unit, name in ((2.0**40, "TiB"), (2.0**30, "GiB"), (2.0**20, "MiB")):
        if size >= 0.995 * unit:
            return (
                f"{size / unit:,.0f} {name}" if size >= 9.95 * unit else f"{size / unit:.1f} {name}".replace(".0", "")
            )
    return "less than 1 MiB"


class TooLarge(ValueError):
    """More memory would be needed than is free."""


def check_memory(
    needed: float, device: str, what: str, way: str = "Take a smaller k, B or d.", free: float | None = None
) -> None:
    """Raise `TooLarge` with the way out if ``needed`` bytes are more than 0.7 of what is ``free`` (by default as the
    system tells it)."""
    free = free_bytes(device) if free is None else free
    if needed > 0.7 * free:
        raise TooLarge(
            f"{what} would need about {bytes_text(needed)}, and {bytes_text(free)} are free on this {device}. {way}"
        )


@dataclass(frozen=True)
class Bench:
    """Where things are timed: what makes the work, what reads the clock, what memory there is, whose timings predict.

    An explorer has one; None stands for what `adasoft.timing` and `adasoft.workloads` do.
    """

    product_items: Callable[..., Mapping[Any, Sequence[Step]]] | None = None
    layer_steps: Callable[..., list[Step]] | None = None
    clock: Callable[[Step], float] | None = None
    free_bytes: Callable[[str], float] = free_bytes
    load: Callable[[], tuple[float, int]] = load_now
    costs: Callable[..., MeasuredCost] = cost_at_hand

    def products(self, *args: Any, **kw: Any) -> Mapping[Any, Sequence[Step]]:
        """Steps of products, see `adasoft.workloads.product_items`."""
        from ...workloads import product_items

        return (self.product_items or product_items)(*args, **kw)

    def layer(self, *args: Any, **kw: Any) -> list[Step]:
        """Steps of a layer, see `adasoft.workloads.layer_steps`."""
        from ...workloads import layer_steps

        return (self.layer_steps or layer_steps)(*args, **kw)

    def interleave(self, items: Mapping[str, Sequence[Step]], **how: Any) -> None:
        """Time items in turns, see `adasoft.timing.interleave`."""
        from ...timing import interleave

        interleave(items, clock=self.clock, **how)

    def check_memory(self, needed: float, device: str, what: str, way: str = "Take a smaller k, B or d.") -> None:
        """`check_memory` with the memory that is free here."""
        check_memory(needed, device, what, way, self.free_bytes(device))


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
    ks: Sequence[int],
    batch: int,
    d: int,
    *,
    bench: Bench,
    device: str,
    what: str,
    seconds: float,
    tick: Tick,
    heard: Any,
) -> None:
    """Time (B x d) by (d x k) products for all k in turns. ``heard`` gets the k as a text, and seconds."""
    made = bench.products([(batch, k, d) for k in ks], device, objective=what)
    items = {str(k): made[batch, k, d] for k in ks}
    progress = lambda done, k: tick(done, f"{k} words")  # noqa: E731
    bench.interleave(items, device=device, rounds=25, seconds=seconds, progress=progress, heard=heard)


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
    k: int,
    batch: int,
    d: int,
    *,
    bench: Bench,
    device: str,
    tick: Tick,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Seconds of one product, timed in ways that mislead: once and cold; the same numbers again and again, the best
    counts; and, on a GPU, without waiting for it."""
    ((step, again),) = bench.products([(batch, k, d)], device).values()
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


def right_way(k: int, batch: int, d: int, *, bench: Bench, device: str, seconds: float, tick: Tick, heard: Any) -> None:
    """One product in turns with other work, as in training: rotating inputs, warmed up, in turn with a pass over memory
    that leaves nothing of the product in the caches. ``heard`` gets `TURNS` and seconds."""
    import torch

    (steps,) = bench.products([(batch, k, d)], device, sets=4).values()
    other = torch.zeros(2**24, device=device)
    bench.interleave(
        {TURNS: steps, "other work": [lambda: other.add_(1.0)]},
        device=device,
        rounds=25,
        seconds=seconds,
        progress=tick,
        heard=lambda name, s: heard(name, s) if name == TURNS else None,
    )


# ---------------------------------------------------------------------- words


def percent_off(predicted: float, measured: float) -> str:
    """``29 % too low``, ``12 % too high``, ``right to a percent``; of the measured time."""
    error = predicted / measured - 1
    if abs(error) < 0.01:
        return "right to a percent"
    size = f"{100 * abs(error):.0f} %" if error < 1 else f"{predicted / measured:.1f} times"
    return f"{size} too {'low' if error < 0 else 'high'}" if error < 1 else f"{size} the measured time"
