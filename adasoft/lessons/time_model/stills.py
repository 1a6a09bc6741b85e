"""The stills of the lessons on time, made with recorded timings."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ..kit.cuts import cut_figure
from ..kit.languages import load_language
from ..kit.picker import COLORS
from ..kit.plots import FULL_COLOR, Picture, still
from ..live_timing import figures as lf
from . import figures as tf
from .explorer import MOST_TAILS, TimingExplorer
from .recorded import recorded_layers


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
    "04_layers",
    "Recorded on a CPU with two threads at V = 44,000. Left: the full softmax takes by far the longest. Right, "
    "magnified: PyTorch's layer takes longest, ours less, the bare products least. Whiskers show quartiles; diamonds "
    "show predictions for the full softmax and for ours.",
)
def _layers_still() -> Picture:
    found = next(r for r in recorded_layers() if "44,000" in r.sizes)
    figure = lf.bars_figure(found.times, found.predicted, {})
    figure.add_annotation(text=found.label, xref="paper", yref="paper", x=0, y=1.16, showarrow=False)
    figure.update_layout(margin_t=70)
    return figure


@still(
    "04_curve",
    "The predicted time of our layer against its first cutoff, on logarithmic axes, for 20,000 English words on the "
    "recorded CPU: a shallow U with its lowest point at a few hundred words, far below the dashed line of the full "
    "softmax. A diamond marks the cutoff as set, 1,000. Measured points will appear on top.",
)
def _curve_still() -> Picture:
    return lf.curve_figure(still_explorer(in_features=256, batch=512, cutoffs=(1000, 5000)), {})


@still(
    "03_cutoffs",
    "Three plots for the timed plan of 20,000 English words: a head of 1,074 words with 75 percent of the tokens and "
    "a few tails; the head costs most; the total lies on the right arm of a U, above its bottom near 70 words.",
)
def _plan_still() -> Picture:
    explorer = still_explorer()
    explorer.cutoffs = explorer.best_plan(explorer.cost).cutoffs
    return cut_figure(explorer)


@still(
    "04_cutoffs",
    "Three plots for 20,000 English words cut at 1,000 and 5,000: the head has 74 percent of the tokens and costs "
    "most; the total is far below the dashed line of the full softmax.",
)
def _cut_still() -> Picture:
    return cut_figure(still_explorer(in_features=256, batch=512, cutoffs=(1000, 5000)))
