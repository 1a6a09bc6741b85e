"""The stills of the lesson on the time model, made with recorded timings."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ..kit.cuts import cut_figure
from ..kit.languages import load_language
from ..kit.picker import COLORS
from ..kit.plots import FULL_COLOR, Picture, still
from . import figures as tf
from .explorer import MOST_TAILS, TimingExplorer


def still_explorer(**more: Any) -> TimingExplorer:
    """English on the recorded machine, as the lessons start."""
    # here, because that module renders the stills of all others
    from ..kit.stills import recorded_cost

    return TimingExplorer(load_language("en"), cost=recorded_cost(), n_words=20_000, **{"batch": 256, **more})


@lru_cache(maxsize=1)
def _searched() -> TimingExplorer:
    """With every plan found that the pictures show; made once, for it takes seconds."""
    explorer = still_explorer()
    for cost in explorer.models().values():
        for j in range(MOST_TAILS + 1):
            explorer.search(cost, j)
    return explorer


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
        "warm, cold cache, waited for; again and again, median",
    ),
)


@still(
    "03_ways",
    "Four time lines. Once, no warm-up: the clock runs over the start-up and the product. Hot cache: products follow "
    "each other, and the shortest is taken. Not waiting: the clock stops when the work is handed to the GPU, before "
    "it is done. In turns: after a warm-up, products and other work take turns, and each product is timed alone.",
)
def _ways_still() -> Picture:
    colors = (FULL_COLOR, COLORS[0], COLORS[1])
    parts = []
    for number, (name, steps, clock, why) in enumerate(_WAYS_SVG):
        top, x = 14 + 62 * number, 150.0
        parts.append(f'<text x="8" y="{top + 20}" font-weight="bold">{name}</text>')
        for text, width, color in steps:
            parts.append(
                f'<rect x="{x:g}" y="{top}" width="{width - 3}" height="30" rx="3" fill="{colors[color]}" '
                f'fill-opacity=".35" stroke="{colors[color]}"/><text x="{x + 6:g}" y="{top + 20}">{text}</text>'
            )
            x += width
        left, right = 150 + clock[0], 147 + clock[1]
        parts.append(
            f'<path d="M{left} {top + 34}v7H{right}v-7" fill="none" stroke="{COLORS[5]}" stroke-width="2.5"/>'
            f'<text x="{right + 10}" y="{top + 47}">clock: {why}</text>'
        )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 264" font-family="sans-serif" font-size="12" '
        f'fill="#727a82">{"".join(parts)}</svg>'
    )


@still(
    "03_product",
    "Time of a product against its words k, on logarithmic axes. The cost model of a recorded CPU starts nearly flat "
    "and turns into a straight rise after some hundred words. A line set by hand lies apart from it: too high at the "
    "left, too low at the right. Two dotted lines up to 50 words mark the flat parts that the paper prints, 0.40 and "
    "0.22 ms.",
)
def _product_still() -> Picture:
    return tf.product_figure(still_explorer())


@still(
    "03_clusters",
    "Left: the cost of two clusters against the size of the first is a U under every model, with its lowest point "
    "between 2,000 and 3,000 words. Right: the cost of the best plan against the number of tails. By counted "
    "multiplications it falls up to 9 tails; by the timings it is lowest at a few tails and rises again.",
)
def _clusters_still() -> Picture:
    return tf.clusters_figure(_searched())


@still(
    "03_replan",
    "Three bars, predicted by the timings of the recorded machine: the authors' cutoffs take longest; the plan with "
    "the fewest multiplications, which has 9 tails, takes longer than the plan with the least time, which has fewer.",
)
def _replan_still() -> Picture:
    return tf.replan_figure(_searched())


@still(
    "03_cutoffs",
    "Three plots for the timed plan of 20,000 English words: a head of 1,074 words with 75 percent of the tokens and "
    "a few tails; the head costs most; the total lies on the right arm of a U, above its bottom near 70 words.",
)
def _plan_still() -> Picture:
    explorer = still_explorer()
    explorer.cutoffs = explorer.best_plan(explorer.cost).cutoffs
    return cut_figure(explorer)
