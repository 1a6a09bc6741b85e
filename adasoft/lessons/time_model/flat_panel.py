"""The panel of the flat part: products measured against k, and a line through them that the reader drags."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets as w
import numpy as np

from ..kit.parts import UNDER_WAY, WIDE, Job, Line, Panel, row, safely
from ..kit.plots import percent
from ..kit.views import LOCK
from . import figures as tf
from .explorer import TimingExplorer
from .flat_affine import PAPER_SIZES
from .measuring import (
    Result,
    budget_box,
    device_box,
    estimate_text,
    folded,
    instruction,
    kept,
    now_and_then,
    size_boxes,
    sizes_and_back,
)
from .timings import PRODUCTS, Spread, Tally, Tick, busy_text, product_bytes, product_seconds, time_products
from .widgets import FlatLine


def product_panel(explorer: TimingExplorer, *, slot: str = "product", every: float = 0.2) -> w.VBox:
    """Time of a product against its words: measured here, and a line to fit by hand.

    ``every``: so many seconds apart points are drawn while they come.
    """
    panel, words, estimate, note = Panel(), Result(), Line(), Line()
    boxes, redraw_boxes = size_boxes(panel, explorer, ("batch", "in_features", "most"))
    device, redraw_device = device_box(panel, explorer)
    what = w.Dropdown(options=list(PRODUCTS), description="what is timed", style=WIDE, layout=w.Layout(width="330px"))
    budget = budget_box()
    panel.on_value(what, lambda value: setattr(explorer, "product", value))
    panel.on_value(budget, lambda _: redraw())
    plot = FlatLine(data=tf.line_view(explorer), line=_values(explorer))
    noted: list[Any] = []

    def drawn(line: list[float]) -> None:
        note.say("")  # what it says is of another line
        explorer.line = tuple(line)

    panel.on_value(plot, drawn, "line")

    def draw(swept: Mapping[str, Spread]) -> None:
        plot.data = tf.line_view(explorer, {int(k): times for k, times in swept.items()})
        words.say(UNDER_WAY)

    job = Job(
        panel,
        "Measure the products",
        lambda tick: _measure(explorer, float(budget.value), tick, draw, every),
        "All k in turns; the points appear as they come",
    )
    wanted = {"product": list(PRODUCTS)[1], **PAPER_SIZES, "most": 256}
    papers = sizes_and_back(
        panel,
        explorer,
        wanted,
        note,
        "The paper's product: (2560 × 2048) by (2048 × k), without softmax and gradients; k up to 256 here.",
    )

    def redraw() -> None:
        redraw_boxes()
        redraw_device()
        with panel.writing():
            what.value = explorer.product
            plot.data = tf.line_view(explorer)
            plot.line = _values(explorer)
        cost, whose = explorer.timings
        now = [explorer.product_sizes, explorer.most, explorer.swept()]
        if noted != now:  # what is said was of other sizes or points
            note.say("")
            noted[:] = now
        one = product_seconds(cost, explorer.sweep, explorer.batch, explorer.in_features)
        last: Mapping[str, Any] = explorer.recall("product sweep") or {}
        shown = f" Measured on {last['device']}, {last['date'][:10]}." if explorer.swept() else ""
        parts = (tf.yours_for_twice, tf.trust_the_points, tf.model_and_points)
        told = " ".join(filter(None, (part(explorer) for part in parts)))
        words.say(told, f"{tf.disagreement(explorer)}{shown}".strip())
        estimate.say(estimate_text(one, float(budget.value), whose, busy_text(explorer.bench.load())))

    fit = panel.button("Fit for me", lambda: _fit(explorer, note), "Least squares of the relative errors")
    box = panel.box(
        instruction("Measure, then drag c, λ and k₀ until the thick line lies on the points (or use arrow keys)."),
        row(boxes[0], fit, job.row, job.line),
        plot,
        note,
        words,
        folded(
            "More sizes, device, the paper's product",
            row(*boxes[1:], budget),
            row(device, what),
            row(*papers),
            estimate,
        ),
    )
    explorer.attach(slot, safely(panel, redraw), box)
    return box


def _values(explorer: TimingExplorer) -> list[float]:
    line = explorer.hand_line()
    return [line.c, line.lam, line.k0]


def _fit(explorer: TimingExplorer, note: Line) -> None:
    """The best line in the place of the reader's, and by how much it is better."""
    by_hand, best = explorer.hand_line(), explorer.fitted_line()
    sizes, seconds, fitted_to = explorer.to_fit()
    before, after = (float(np.median(abs(line.errors(sizes, seconds)))) for line in (by_hand, best))
    explorer.line = (best.c, best.lam, best.k0)
    zero = " c came out as 0: by these points, starting costs nothing that k₀ does not explain." if not best.c else ""
    if fitted_to == "measured points" and abs(before - after) < 5e-4:
        note.say(f"Your line was the best one already: median error {_small(after)}.{zero}")
    elif fitted_to == "measured points":
        note.say(f"Fitted to the measured points: median error {_small(after)}; yours was {percent(before)}.{zero}")
    else:
        note.say(f"There are no points of these sizes, so this is the {fitted_to}. Measure, then fit again.{zero}")


def _small(error: float) -> str:
    return percent(error) if error >= 1e-4 else "less than 0.01 %"


def _measure(
    explorer: TimingExplorer,
    budget: float,
    tick: Tick,
    draw: Callable[[Mapping[str, Spread]], None],
    every: float,
) -> None:
    """Measure the products at the present sizes; what is heard is drawn as long as the sizes stay."""
    with LOCK:
        sizes, ks = explorer.product_sizes, explorer.sweep
        batch, d, kind = explorer.batch, explorer.in_features, PRODUCTS[explorer.product]
    explorer.bench.check_memory(product_bytes(ks[-1], batch, d, len(ks)), sizes["device"], "these products")
    tally = Tally(sizes, sizes["device"])
    show = now_and_then(lambda: draw(tally.spreads()), every)

    def heard(name: str, seconds: float) -> None:
        tally.heard(name, seconds)
        if explorer.product_sizes == sizes:
            show()

    tick(0.0, "making the numbers")
    how = {"device": sizes["device"], "what": kind, "seconds": budget, "tick": tick, "heard": heard}
    work = lambda: time_products(ks, batch, d, bench=explorer.bench, **how)  # noqa: E731
    kept(explorer, "product sweep", tally, work, explorer.note_sweep)
