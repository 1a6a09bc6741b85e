"""The stills of the lesson on live timing, made with recorded timings."""

from __future__ import annotations

from typing import Any

from ..kit.cuts import cut_figure
from ..kit.languages import load_language
from ..kit.plots import Picture, still
from ..time_model.race import race_svg
from . import figures as lf
from .explorer import LiveTimingExplorer
from .parts import parts_figure, timed_parts
from .race import WORDS, layer_race
from .recorded import recorded_layers


def still_explorer(**more: Any) -> LiveTimingExplorer:
    """English on the recorded machine, as the lesson starts."""
    # here, because that module renders the stills of all others
    from ..kit.stills import recorded_cost

    sizes = {"n_words": 20_000, "in_features": 256, "batch": 512, "cutoffs": (1200, 5000)}
    return LiveTimingExplorer(load_language("en"), cost=recorded_cost(), **{**sizes, **more})


@still(
    "04_race",
    "One training step of two layers with 44,000 words on a recorded CPU. The bar of the full softmax says 2.5 s; in "
    "place of ours there is a question mark.",
)
def _race_still() -> Picture:
    race = layer_race()["races"][0]
    full, ours = race["runners"]
    return race_svg({**race, "runners": [full, {**ours, "seconds": None}]}, "Guess, then start the race.")


@still(
    "04_layers",
    "Recorded on a CPU with two threads at V = 44,000, on a logarithmic axis of time. The full softmax takes by far "
    "the longest, then PyTorch's layer, then ours; its products alone take least. Circles are measured, whiskers show "
    "quartiles; upright lines beside the full softmax and ours are predictions.",
)
def _layers_still() -> Picture:
    found = next(one for one in recorded_layers() if one.n_classes == WORDS)
    figure = lf.layers_figure(found.times, found.predicted, {}, {})
    figure.add_annotation(text=found.label, xref="paper", yref="paper", x=1, y=1.22, showarrow=False)
    figure.update_layout(margin_t=50, height=290)
    return figure


@still(
    "04_parts",
    "Bars of eight layers that a CPU trained, from the fastest to the slowest, in percent of the time of the whole "
    "layer: its matrix products alone take some two thirds of narrow layers and up to nine tenths of wider ones. "
    "Circles, all parts of the layer timed one after the other, lie near the dashed line of the whole layer, but for "
    "one.",
)
def _parts_still() -> Picture:
    return parts_figure(timed_parts()[::3])


@still(
    "04_curve",
    "The predicted time of our layer against its first cutoff, on logarithmic axes, for 20,000 English words on the "
    "recorded CPU: a shallow U with its lowest point at some two hundred words, far below the dashed line of the full "
    "softmax. A ring marks the cutoff as set, 1,200; a dotted line "
    "the smallest head that holds 75 percent of the tokens. Measured points will be drawn over it.",
)
def _curve_still() -> Picture:
    return lf.curve_figure(still_explorer(), {})


@still(
    "04_cutoffs",
    "The cut explorer for 20,000 English words cut at 1,200 and 5,000: the head has 76 percent of the tokens and costs "
    "most; the total is far below the dotted line of the full softmax.",
)
def _cut_still() -> Picture:
    return cut_figure(still_explorer())
