"""The stopwatch: things take turns, within the time that is given, and memory is what a step adds."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from adasoft import timing as T


def test_interleave_takes_turns_and_rotates_input_sets():
    seen = []
    items = {"a": [lambda: seen.append("a0"), lambda: seen.append("a1")], "b": [lambda: seen.append("b0")]}
    timings = T.interleave(items, rounds=3)
    assert seen == ["a0", "a1", "b0", "a0", "b0", "a1", "b0", "a0", "b0"]
    assert timings["a"].n == timings["b"].n == 3
    assert T.interleave(items, rounds={"a": 2, "b": 1})["b"].n == 1


def test_interleave_keeps_its_time_and_reports_progress():
    told = []
    started = time.perf_counter()
    timings = T.interleave(
        {"nap": [lambda: time.sleep(0.02)]}, rounds=1000, seconds=0.3, progress=lambda d, t: told.append(d)
    )
    assert time.perf_counter() - started < 2.0
    assert 0.02 <= timings["nap"].median < 0.2 and timings["nap"].q1 <= timings["nap"].median <= timings["nap"].q3
    assert told == sorted(told) and told[-1] <= 1.0


def test_warming_up_is_part_of_the_progress():
    """It is half of a calibration: a bar that counts only what follows stands at 0 % meanwhile."""
    told = []
    items = {"a": [lambda: None] * 2, "b": [lambda: None] * 2}
    T.interleave(items, rounds=2, progress=lambda done, text: told.append((done, text)))
    assert told == [
        (0 / 8, "warm-up: a"),
        (2 / 8, "warm-up: b"),
        (4 / 8, "a"),
        (5 / 8, "b"),
        (6 / 8, "a"),
        (7 / 8, "b"),
    ]
    told.clear()
    T.interleave(items, rounds=2, seconds=1e-9, progress=lambda done, text: told.append((done, text)))
    assert [done for done, _ in told] == [1.0] * 4  # the time is up: each once, and no more
    told.clear()
    T.interleave(items, rounds=2, warm_up=False, progress=lambda done, text: told.append((done, text)))
    assert told == [(0.0, "a"), (0.25, "b"), (0.5, "a"), (0.75, "b")]


def test_what_a_step_frees_first_does_not_count_as_there_before():
    held = []

    def make():
        held.append(torch.empty(2**20, dtype=torch.uint8))

    def replace():
        del held[0]
        make()

    assert T.peak_bytes(make) == 2**20  # the profiler knows of the second of the two blocks that this leaves
    assert T.peak_bytes(replace) == 2**20


def test_slow_spells_are_taken_out():
    """Two shapes that take turns; the machine is three times as slow for a while, when a third one is timed."""
    rng = np.random.default_rng(0)
    heard, truth = [], {"a": 1e-3, "b": 5e-2, "rare": 2e-2}
    for turn in range(60):
        slow = 3.0 if 20 <= turn < 35 else 1.0
        for name in ("a", "b", *(["rare"] if 22 <= turn < 27 else [])):
            heard.append((name, truth[name] * slow * float(np.exp(rng.normal(0, 0.02)))))
    found = T.steady(heard)
    assert {name: found[name].median for name in truth} == pytest.approx(truth, rel=0.05)
    assert found["rare"].n == 5 and found["a"].n == 60
    assert all(t.q1 <= t.median <= t.q3 and t.q3 / t.q1 < 1.1 for t in found.values())
    assert T.steady([("a", 0.5)])["a"] == pytest.approx((0.5, 0.5, 0.5, 1))
