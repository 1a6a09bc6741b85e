"""What the reader of lesson 03 writes: an honest stopwatch, tried on a device that is simulated."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from ..kit.exercises import Exercise


class Device:
    """A simulated device, which works behind the program's back as a GPU does; its clock tells simulated seconds.

    ``run()`` hands a piece of work over and returns at once; ``wait()`` returns when all of it is done; ``clock()``
    tells the seconds so far. The first run also pays for waking the device up.
    """

    def __init__(self, seconds: Sequence[float], hand_over: float = 0.01) -> None:
        self._seconds, self._hand_over = tuple(seconds), hand_over
        self._now = self._free_at = 0.0
        self._runs = 0

    def run(self) -> None:
        """Hand over one piece of work."""
        self._now += self._hand_over
        takes = self._seconds[min(self._runs, len(self._seconds) - 1)]
        self._free_at = max(self._free_at, self._now) + takes
        self._runs += 1

    def wait(self) -> None:
        """Return when all work is done."""
        self._now = max(self._now, self._free_at)

    def clock(self) -> float:
        """Seconds so far."""
        return self._now

    def __repr__(self) -> str:
        return f"a device whose runs take {', '.join(f'{s:g}' for s in self._seconds)} s"


def stopwatch(device: Device, repeats: int) -> float:
    """Median seconds of one run, warmed up and waited for."""
    device.run()
    device.wait()
    times = []
    for _ in range(repeats):
        start = device.clock()
        device.run()
        device.wait()
        times.append(device.clock() - start)
    return statistics.median(times)


def _times(device: Device, repeats: int, *, warm_up: bool = True, wait: bool = True) -> list[float]:
    if warm_up:
        device.run()
        device.wait()
    times = []
    for _ in range(repeats):
        start = device.clock()
        device.run()
        if wait:
            device.wait()
        times.append(device.clock() - start)
    return times


def _first_read_late(device: Device, repeats: int) -> float:
    device.run()  # handed over, not waited for: it runs into the first measurement
    times = _times(device, repeats, warm_up=False)
    return statistics.median(times)


def _all_at_once(device: Device, repeats: int, *, warm_up: bool = True) -> float:
    if warm_up:
        device.run()
        device.wait()
    start = device.clock()
    for _ in range(repeats):
        device.run()
    device.wait()
    return (device.clock() - start) / repeats


EXERCISES = {
    "stopwatch": Exercise(
        text="The median time of one run on a device, warmed up and waited for.",
        solution=stopwatch,
        cases=lambda: [
            (Device((9.0, 2.0, 2.2, 2.1)), 3),
            (Device((7.0, 1.0, 1.3, 8.0, 1.1, 1.2)), 5),
            (Device((5.0, 0.5)), 1),
            (Device((6.0, 3.0, 2.0, 2.5, 2.6, 2.4, 2.1, 2.2, 2.3, 2.7, 5.0, 5.1, 5.2, 5.3, 5.4)), 13),
            (Device((30.0, 4.0, 4.4, 5.0, 4.2, 40.0, 4.1, 4.3)), 7),
        ],
        bugs={
            "No warm-up: the first run, which also wakes the device up, is among your times. Run once, and wait, "
            "before you start the clock.": lambda device, repeats: statistics.median(
                _times(device, repeats, warm_up=False)
            ),
            "The cold first run is among your times, and the mean lets it count. Warm up, then take the median.": (
                lambda device, repeats: statistics.fmean(_times(device, repeats, warm_up=False))
            ),
            "That is the mean, and one busy moment spoils it. Take the median.": lambda device, repeats: (
                statistics.fmean(_times(device, repeats))
            ),
            "You handed all runs over and waited once: one number for all, so no median. Wait, and read the clock, "
            "around each run.": _all_at_once,
            "No warm-up, and one clock around all runs: their mean, the cold first one included. Warm up, and read the "
            "clock around each run.": lambda device, repeats: _all_at_once(device, repeats, warm_up=False),
            "That is in milliseconds; the clock tells seconds, and so should you.": lambda device, repeats: (
                1e3 * stopwatch(device, repeats)
            ),
            "That is one run, whatever `repeats` says. Time so many, then take the median.": lambda device, _repeats: (
                stopwatch(device, 1)
            ),
            "That is always ten runs. Time as many as `repeats` says.": lambda device, _repeats: stopwatch(device, 10),
            "That is the first call alone, cold.": lambda device, _repeats: _times(device, 1, warm_up=False)[0],
            "The clock stops before the work is done: run() only hands it over. Call wait() before you read the clock "
            "the second time.": lambda device, repeats: statistics.median(_times(device, repeats, wait=False)),
            "You do not wait for the warm-up, so it runs into your first measurement.": _first_read_late,
            "That is the time of all runs together. Time each run by itself, then take the median.": (
                lambda device, repeats: sum(_times(device, repeats))
            ),
            "That is the fastest run, which flatters. Take the median.": lambda device, repeats: min(
                _times(device, repeats)
            ),
            "The first run is left out, but you still divide by all: use the number of runs that you timed.": (
                lambda device, repeats: sum(_times(device, repeats)) / (repeats + 1)
            ),
        },
        why="Warm-up, wait, median: the three rules that every timing in these lessons follows.",
    ),
}
