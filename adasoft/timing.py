"""Honest timing: what is timed takes turns, is warm, and is timed by the clock of its device.

For calibration, benchmarks and lessons. Honest means: every item is warmed up; all items take turns, so that a busy
spell of the machine hits all alike; each item rotates among input sets, so that no cache holds its weights from the
turn before; GPUs are timed by events; median and quartiles are kept.
"""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from .records import cpu_name

Step = Callable[[], Any]
#: Runs a step and returns the seconds that it took.
Clock = Callable[[Step], float]
#: Called with the part done (0 to 1) and what is being done.
Progress = Callable[[float, str], None]


class Timing(NamedTuple):
    """Seconds: median and quartiles of ``n`` runs."""

    median: float
    q1: float
    q3: float
    n: int


def interleave(
    items: Mapping[str, Sequence[Step]],
    *,
    device: str | torch.device = "cpu",
    rounds: int | Mapping[str, int] = 7,
    seconds: float = math.inf,
    warm_up: bool = True,
    progress: Progress | None = None,
    heard: Callable[[str, float], None] | None = None,
    clock: Clock | None = None,
) -> dict[str, Timing]:
    """Time several things that take turns.

    ``items`` maps a name to one callable per input set; round r runs set r modulo their number. Every set runs once
    before any is timed (``warm_up``). ``rounds``: how many, or how many for each name. Nothing is begun after
    ``seconds`` (warm-up included), but each item runs once at least. ``heard`` is told of every run as it ends: name
    and seconds. An exception in ``progress``, which is called before every run, stops it all. ``clock`` runs a step and
    returns its seconds; by default the clock of the device.
    """
    started = time.perf_counter()
    turns = dict.fromkeys(items, rounds) if isinstance(rounds, int) else dict(rounds)
    warming = {name: sets[: turns[name]] for name, sets in items.items()} if warm_up else {}
    total, done = sum(turns.values()) + sum(map(len, warming.values())), 0

    def tell(text: str) -> None:
        if progress:
            progress(min(1.0, max(done / total, (time.perf_counter() - started) / seconds)), text)

    for name, sets in warming.items():
        tell(f"warm-up: {name}")
        for step in sets:
            step()
            done += 1
    found: dict[str, list[float]] = {name: [] for name in items}
    if clock is None:
        clock = _EventClock(torch.device(device)) if torch.device(device).type == "cuda" else _time_on_host
    for turn in range(max(turns.values())):
        for name, sets in items.items():
            if turn >= turns[name]:
                continue
            elapsed = time.perf_counter() - started
            if turn and elapsed > seconds:
                break
            tell(name)
            found[name].append(clock(sets[turn % len(sets)]))
            done += 1
            if heard:
                heard(name, found[name][-1])
    out = {}
    for name, times in found.items():
        q1, median, q3 = np.percentile(times, [25, 50, 75]).tolist()
        out[name] = Timing(median, q1, q3, len(times))
    return out


#: Runs before and after a run that tell how fast the machine was just then.
_NEIGHBOURS = 15


def steady(heard: Sequence[tuple[str, float]]) -> dict[str, Timing]:
    """Times at the machine's middle speed, from runs (name, seconds) that took turns, in the order they were heard.

    A machine that is shared or throttled gets slower and faster by tens of per cent for seconds at a time. The runs
    around a run, each over the usual time of its name, tell how slow it was just then; that factor is taken out before
    median and quartiles are. A name with few runs is then compared with others that were timed at other moments.

    >>> slow = [("a", 2.0), ("b", 4.0)] * 20
    >>> usual = [("a", 1.0), ("b", 2.0)] * 40
    >>> round(steady([*usual, *slow, ("c", 6.0), *slow, *usual])["c"].median, 2)
    3.0
    """
    names = [name for name, _ in heard]
    logs = np.log([max(seconds, 1e-12) for _, seconds in heard])
    places = {name: np.array([i for i, other in enumerate(names) if other == name]) for name in dict.fromkeys(names)}
    slow = np.zeros(len(logs))
    for _ in range(10):
        left = logs.copy()
        for at in places.values():
            left[at] -= np.median(logs[at] - slow[at])
        padded = np.pad(left, _NEIGHBOURS, constant_values=np.nan)
        slow = np.nanmedian(np.lib.stride_tricks.sliding_window_view(padded, 2 * _NEIGHBOURS + 1), axis=1)
        slow -= np.median(slow)
    out = {}
    for name, at in places.items():
        q1, median, q3 = np.exp(np.percentile(logs[at] - slow[at], [25, 50, 75])).tolist()
        out[name] = Timing(median, q1, q3, len(at))
    return out


def _time_on_host(step: Step) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


class _EventClock:
    """Seconds of a step on the GPU, between two events on the stream of that GPU, be it the current one or not."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.begin, self.end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]

    def __call__(self, step: Step) -> float:
        torch.cuda.synchronize(self.device)
        stream = torch.cuda.current_stream(self.device)
        self.begin.record(stream)
        step()
        self.end.record(stream)
        torch.cuda.synchronize(self.device)
        return float(self.begin.elapsed_time(self.end)) * 1e-3


def peak_bytes(step: Step, device: str | torch.device = "cpu") -> int:
    """Most bytes of tensors that a step holds at once beyond what it began with; gradients of an earlier run, which it
    frees first, do not count as there before (on a GPU they do). After one run to warm up."""
    device = torch.device(device)
    step()
    if device.type == "cuda":  # pragma: no cover - needs a GPU
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)  # the gradients of the run before among it
        torch.cuda.reset_peak_memory_stats(device)
        step()
        torch.cuda.synchronize(device)
        return int(torch.cuda.max_memory_allocated(device) - before)
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        step()
    found = seen.profiler.kineto_results.events()  # type: ignore[union-attr]
    changes = sorted((e.start_ns(), e.nbytes()) for e in found if e.name() == "[memory]")
    most = lowest = held = 0
    for _, change in changes:
        held += change
        lowest = min(lowest, held)
        most = max(most, held - lowest)
    return most


def describe(device: str | torch.device) -> dict[str, Any]:
    """What this device is: type, name, driver or cores, system."""
    device = torch.device(device)
    out: dict[str, Any] = {"type": device.type, "system": f"{platform.system()} {platform.machine()}"}
    if device.type == "cuda":  # pragma: no cover - needs a GPU
        properties = torch.cuda.get_device_properties(device)
        out |= {"name": properties.name, "memory": properties.total_memory, "cuda": torch.version.cuda}
        out["multiprocessors"] = properties.multi_processor_count
        out["driver"] = _driver()
    else:
        out |= {"name": cpu_name(), "cores": os.cpu_count(), "capability": torch.backends.cpu.get_cpu_capability()}
    return out


def _driver() -> str:
    try:
        for line in Path("/proc/driver/nvidia/version").read_text(encoding="utf-8").splitlines():
            return line.strip()
    except OSError:
        pass
    return "unknown"
