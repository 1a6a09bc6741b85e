"""Recorded products that start together: pairs whose counts and times disagree, for the first picture of lesson 03."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ...records import read_record, shipped_records
from ..kit.picker import COLORS
from ..kit.plots import FULL_COLOR, TEXT_COLOR, plain, seconds_text

#: Pairs of recorded shapes (tokens, words, numbers per word), and why their times are what they are.
PAIRS: tuple[tuple[str, tuple[int, int, int], tuple[int, int, int], str], ...] = (
    (
        "Race 1",
        (1, 64, 16),
        (16, 256, 64),
        "Both are over before the machine has properly begun: what you see is what it costs to start; "
        "the difference between them is noise.",
    ),
    (
        "Race 2",
        (12, 268_479, 32),
        (221, 15_423, 128),
        "The long list is read from memory, but each number is used for only 12 tokens: reading takes longer than "
        "multiplying.",
    ),
    (
        "Race 3",
        (278, 3553, 512),
        (228, 5103, 1024),
        "Products of this size keep the machine multiplying, and then counting is right.",
    ),
)
ASK = "Which product finishes first? Your bet starts the race."
_HINT = (
    "The area of each block is its number of multiplications, to scale. “Both together” means within 5 %. Guess, then "
    "watch the clock."
)
#: What the open picture shows: a pair that no round races, so that it gives no answer away.
OPEN = (52, 73_353, 8), (436, 643, 256)


def recorded_products(objective: str = "train") -> tuple[dict[tuple[int, ...], float], str]:
    """Median seconds of each product that a recorded CPU timed, by (tokens, words, numbers), and that CPU's name.

    Raises LookupError where no record ships.
    """
    path = next((path for path in shipped_records() if "cpu" in path.name), None)
    if path is None:
        raise LookupError("there are no recorded timings of a CPU; a checkout has them in data/machines")
    cost = read_record(path)
    found = {
        tuple(sample["shape"]): float(sample["median"])
        for sample in (cost.record or {})["samples"]
        if (sample["kind"], sample["objective"]) == ("product", objective)
    }
    return found, cost.name


def product_races() -> dict[str, Any]:
    """What `Race` shows in lesson 03."""
    times, name = recorded_products()
    races = [_race(times, *pair) for pair in PAIRS]
    source = (
        f"Recorded on another machine ({name}): products with their softmax and gradients, median. The replay is slow "
        "motion."
    )
    return {"once": True, "replay": 3.5, "source": source, "races": races}


def open_race() -> dict[str, Any]:
    """The race of the open picture."""
    return _race(recorded_products()[0], "", *OPEN, "")


def _race(
    times: Mapping[tuple[int, ...], float], label: str, small: tuple[int, ...], large: tuple[int, ...], why: str
) -> dict[str, Any]:
    runners = []
    for title, shape, cluster in (("Small", small, 1), ("Large", large, 0)):
        runners.append(
            {
                "name": title,
                "detail": f"{_sizes(shape)} = {work_text(math.prod(shape))} multiplications",
                "short": f"{_sizes(shape)}: {work_text(math.prod(shape))}",
                "seconds": times[shape],
                "work": math.prod(shape),
                "cluster": cluster,
            }
        )
    return {"label": label, "ask": ASK, "hint": _HINT, "why": why, "runners": runners}


def _sizes(shape: Sequence[int]) -> str:
    tokens, words, numbers = shape
    token = "1 token" if tokens == 1 else f"{tokens:,} tokens"
    return f"{token} × {words:,} words × {numbers} numbers"


def work_text(multiplications: int) -> str:
    """1,024; 436 million.

    >>> work_text(1024), work_text(436_286_000), work_text(1_191_408_000)
    ('1,024', '436 million', '1.19 billion')
    """
    if multiplications >= 1e9:
        return f"{multiplications / 1e9:.3g} billion"
    return f"{multiplications / 1e6:.3g} million" if multiplications >= 1e6 else f"{multiplications:,}"


def race_svg(race: Mapping[str, Any], caption: str) -> str:
    """A race at its end, as a picture: blocks and bars to scale. A runner whose seconds are None is left open."""
    runners = race["runners"]
    most, longest = max(r.get("work") or 0 for r in runners), max(r["seconds"] or 0 for r in runners)
    parts = [f'<text x="8" y="20" font-size="15" font-weight="bold">{plain(race["ask"])}</text>']
    lane = 100 if most else 52
    for number, runner in enumerate(runners):
        top = 34 + number * lane
        color = FULL_COLOR if runner.get("cluster") is None else COLORS[runner["cluster"]]
        left = 112 if most else 8
        if most:
            edge = max(3.0, 84 * math.sqrt(runner["work"] / most))
            parts.append(
                f'<rect x="8" y="{top + 84 - edge:.1f}" width="{edge:.1f}" height="{edge:.1f}" fill="{color}"/>'
            )
        seconds = runner["seconds"]
        width = 560 * seconds / longest if seconds else 0
        parts.append(
            f'<text x="{left}" y="{top + 14}"><tspan font-weight="bold">{plain(runner["name"])}</tspan> '
            f"{plain(runner['detail'])}</text>"
            f'<rect x="{left}" y="{top + 22}" width="{width:.1f}" height="18" fill="{color}"/>'
            f'<text x="{left + width + 8:.1f}" y="{top + 36}" font-weight="bold">'
            f"{seconds_text(seconds) if seconds else '?'}</text>"
        )
    bottom = 34 + lane * len(runners) + 16
    parts.append(f'<text x="8" y="{bottom}" font-weight="bold">{plain(caption)}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {bottom + 12}" font-family="sans-serif" '
        f'font-size="13" fill="{TEXT_COLOR}">{"".join(parts)}</svg>'
    )
