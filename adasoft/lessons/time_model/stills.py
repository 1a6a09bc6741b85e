"""The stills of the lesson on the time model, made with recorded timings."""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import Any

from ..kit.languages import load_language
from ..kit.picker import COLORS
from ..kit.plots import FULL_COLOR, Picture, still
from . import cluster_figures as cf
from . import figures as tf
from .explorer import MOST_TAILS, TimingExplorer
from .race import open_race, race_svg


def still_explorer(**more: Any) -> TimingExplorer:
    """English on the recorded machine, as the lessons start."""
    # here, because that module renders the stills of all others
    from ..kit.stills import recorded_cost

    cost = copy.copy(recorded_cost())
    cost.name = f"recorded machine: {cost.name}"  # as on a page that runs where nothing was timed
    return TimingExplorer(load_language("en"), cost=cost, n_words=20_000, **{"batch": 64, **more})


@lru_cache(maxsize=1)
def _searched() -> TimingExplorer:
    """With every plan found that the pictures show; made once, for it takes seconds."""
    explorer = still_explorer()
    for cost in explorer.models().values():
        for j in range(MOST_TAILS + 1):
            explorer.search(cost, j)
    return explorer


@still(
    "03_race",
    "Two products that a recorded CPU timed, drawn to scale. The small one, 52 tokens against 73,353 words, does 30.5 "
    "million multiplications in 13.1 ms; the large one, 436 tokens against 643 words, does 71.8 million in 2.97 ms: "
    "2.4 times the multiplications, less than a quarter of the time.",
)
def _race_still() -> Picture:
    caption = "2.4 times the multiplications, less than a quarter of the time."
    return race_svg({**open_race(), "ask": "Recorded: which product finishes first?"}, caption)


_WAYS_SVG = (
    ("once, no warm-up", (("start-up", 130, 0), ("product", 90, 1)), (0, 220), "the start-up is timed, too"),
    (
        "hot cache",
        (("product", 70, 1), ("product", 60, 1), ("product", 60, 1)),
        (130, 190),
        "its numbers lie in the cache",
    ),
    ("not waiting (GPU)", (("hand over", 76, 0), ("product, on the GPU", 190, 1)), (0, 76), "it stops too early"),
    (
        "in turns",
        (("warm-up", 110, 0), ("product", 90, 1), ("other work", 100, 2), ("product", 90, 1)),
        (110, 200),
        "warm, cold cache, waited for; the median counts",
    ),
)


#: Behind dark text, on a light page and on a dark one: the colours of `_ways_still`, paler.
_PALE = ("#d9dcdf", "#bfdcf0", "#f7dfb0")


@still(
    "03_ways",
    "Four time lines. Once: the clock runs over start-up and product. Hot cache: products follow each other, the "
    "shortest is taken. Not waiting: the clock stops when the work is handed over. In turns: after a warm-up, products "
    "and other work take turns, each product is timed alone.",
)
def _ways_still() -> Picture:
    colors = (FULL_COLOR, COLORS[0], COLORS[1])
    parts = []
    for number, (name, steps, clock, why) in enumerate(_WAYS_SVG):
        top, x = 14 + 62 * number, 150.0
        parts.append(f'<text x="8" y="{top + 20}" font-weight="bold">{name}</text>')
        for text, width, color in steps:
            parts.append(
                f'<rect x="{x:g}" y="{top}" width="{width - 3}" height="30" rx="3" fill="{_PALE[color]}" '
                f'stroke="{colors[color]}" stroke-width="2"/>'
                f'<text x="{x + 6:g}" y="{top + 20}" fill="#1d2329">{text}</text>'
            )
            x += width
        left, right = 150 + clock[0], 147 + clock[1]
        parts.append(
            f'<path d="M{left} {top + 34}v7H{right}v-7" fill="none" stroke="{COLORS[5]}" stroke-width="2.5"/>'
            f'<text x="{right + 10}" y="{top + 47}">clock: {why}</text>'
        )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 264" font-family="sans-serif" font-size="14" '
        f'fill="#727a82">{"".join(parts)}</svg>'
    )


@still(
    "03_product",
    "Time of a product against its words k, both axes logarithmic. The recorded CPU is flat up to about 80 words, then "
    "rises in a straight line. The best line, flat and then straight, lies on it.",
)
def _product_still() -> Picture:
    explorer = still_explorer()
    line = explorer.fitted_line()
    explorer.line = (line.c, line.lam, line.k0)
    return tf.product_figure(explorer)


@still(
    "03_clusters",
    "Left: the time of two clusters against the size of the first is a U under every model. Right: the time of the "
    "best plan against the number of tails, at B = 64. By counted multiplications it falls up to nine tails; by the "
    "timings it is lowest at three tails and rises again.",
)
def _clusters_still() -> Picture:
    return cf.clusters_figure(_searched())


@still(
    "03_replan",
    "Three bars, predicted by the timings of the recorded machine at B = 64: the authors' cutoffs take 6.44 ms; the "
    "plan with the fewest multiplications, which has nine tails, 4.68 ms; the plan with the least time, which has "
    "three, 3.15 ms.",
)
def _replan_still() -> Picture:
    return cf.replan_figure(_searched())
