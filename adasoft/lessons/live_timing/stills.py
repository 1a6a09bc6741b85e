"""The stills of the lesson on live timing, made with recorded timings."""

from __future__ import annotations

from ..kit.cuts import cut_figure
from ..kit.plots import Picture, still
from ..time_model.recorded import recorded_layers
from ..time_model.stills import still_explorer
from . import figures as lf


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
    "04_cutoffs",
    "Three plots for 20,000 English words cut at 1,000 and 5,000: the head has 74 percent of the tokens and costs "
    "most; the total is far below the dashed line of the full softmax.",
)
def _cut_still() -> Picture:
    return cut_figure(still_explorer(in_features=256, batch=512, cutoffs=(1000, 5000)))
