"""The panels of the lesson on live timing: a race of layers, layers side by side, and a U-curve point by point."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import ipywidgets as w

from ..kit.parts import UNDER_WAY, WIDE, Job, Line, Panel, live, readable, row, safely
from ..kit.tables import html_table
from ..kit.views import LOCK
from ..time_model.measuring import (
    Result,
    budget_box,
    device_box,
    estimate_text,
    folded,
    instruction,
    kept,
    now_and_then,
    size_boxes,
)
from ..time_model.timings import DTYPES, Tally, Tick, busy_text, bytes_text, device_text, rounds_within, spreads
from ..time_model.widgets import Race
from . import figures as lf
from .explorer import LiveTimingExplorer
from .layers import FULL, OURS, PLAN, STOCK, LayerJob, time_layers, time_layers_wrongly
from .race import layer_race
from .recorded import Recorded, recorded_layers
from .shown import HERE, Shown, log_rows, log_texts

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
Records = Callable[[], list[Recorded]]


def layer_race_panel(explorer: LiveTimingExplorer, *, slot: str = "layer race") -> w.VBox:
    """Training steps of recorded layers in real time, each beside its prediction, after a guess, which is kept."""
    panel, race = Panel(), Race(data=layer_race(), bets=explorer.recall("layer race") or {})
    panel.on_value(race, partial(explorer.remember, "layer race"), "bets")
    box = panel.box(race)
    explorer.attach(slot, lambda: None, box)
    return box


def live_panel(
    explorer: LiveTimingExplorer, *, slot: str = "live", every: float = 0.2, records: Records = recorded_layers
) -> w.VBox:
    """Full softmax, PyTorch's layer, ours and the plan, timed in turns; predictions beside; the log; recorded machines.

    ``every``: so many seconds apart points are drawn while they come; ``records``: where recorded machines come from.
    """
    panel, words, estimate, log = Panel(), Result(), Line(), w.HTML()
    boxes, redraw_boxes = size_boxes(panel, explorer, ("n_words", "in_features", "batch"))
    device, redraw_device = device_box(panel, explorer)
    dtype, scaled, budget = _dtype_box(panel, explorer), _scaled_box(panel, explorer), budget_box()
    recorded = {found.label: found for found in readable(panel, records)}
    shown = w.Dropdown(
        options=[HERE, *recorded], description="shown", style=WIDE, layout=w.Layout(width="700px", max_width="100%")
    )
    ticks = {
        name: w.Checkbox(True, description=name, indent=False, layout=w.Layout(width="auto", margin="0 16px 0 0"))
        for name in (FULL, STOCK, OURS, PLAN)
    }
    for box_ in (*ticks.values(), budget, shown):
        panel.on_value(box_, lambda _: redraw())

    def ticked() -> dict[str, bool]:
        return {name: box.value for name, box in ticks.items()}

    def draw(tally: Tally) -> None:
        if explorer.layer_sizes == tally.sizes and shown.value == HERE:
            view = Shown.here(explorer, ticked())
            figure.push(*lf.layers_data(tally.spreads(), view.predicted, view.wrong, view.guess, view.scale))
            words.say(UNDER_WAY)

    def begin() -> LayerJob:
        with LOCK:
            with panel.writing():
                shown.value = HERE
            redraw()
            job = explorer.layer_job(ticked())
        _check_memory(explorer, job, "timing these layers", " or leave the full softmax out")
        return job

    def measure(tick: Tick) -> None:
        _measure_layers(explorer, begin(), float(budget.value), tick, draw, every)

    def measure_wrongly(tick: Tick) -> None:
        _measure_wrongly(explorer, begin(), tick)

    job = Job(panel, "Measure in turns", measure, "Warmed up, all in turns, median and quartiles")
    wrong = job.also("Time them wrongly", measure_wrongly, "Each once, cold, one after the other")
    job.row.children = (job.start, wrong, job.stop, job.bar)
    figure = live(lf.layers_figure(*Shown.here(explorer, ticked()).drawn))

    def redraw() -> None:
        redraw_boxes()
        redraw_device()
        texts = log_texts(explorer)
        with panel.writing():
            dtype.value, scaled.value = explorer.dtype, explorer.scaled
            if shown.options != (options := (HERE, *texts, *recorded)):
                shown.options, shown.value = options, shown.value if shown.value in options else HERE
        view = Shown.of(explorer, ticked(), shown.value, texts, recorded)
        figure.push(*lf.layers_data(*view.drawn))
        words.say(*view.said)
        log.value = html_table(log_rows(explorer), LOG_HEADS, label="log of measurements", scrolls=True)
        estimate.say(_estimate(explorer, ticked(), float(budget.value)))

    box = panel.box(
        instruction("Press “Measure in turns”. Then change one thing, predict, and measure again."),
        row(job.row, scaled, job.line),
        figure,
        words,
        row(*boxes),
        row(*ticks.values()),
        shown,
        estimate,
        folded("Device, numbers, and how long to measure", row(device, dtype, budget)),
        folded("Log of measurements", log),
    )
    explorer.attach(slot, safely(panel, redraw), box)
    return box


LOG_HEADS = (
    "settings",
    "full softmax",
    "PyTorch's layer",
    "ours",
    "our plan",
    "quartiles of ours",
    "ours is faster by",
)


def _dtype_box(panel: Panel, explorer: LiveTimingExplorer) -> w.Dropdown:
    box = w.Dropdown(options=list(DTYPES), description="numbers", style=WIDE, layout=w.Layout(width="170px"))
    panel.on_value(box, lambda dtype: setattr(explorer, "dtype", dtype))
    return box


def _scaled_box(panel: Panel, explorer: LiveTimingExplorer) -> w.Checkbox:
    text = "scale the prediction to my points"
    box = w.Checkbox(explorer.scaled, description=text, indent=False, layout=w.Layout(width="auto", margin="0 12px"))
    panel.on_value(box, lambda scaled: setattr(explorer, "scaled", scaled))
    return box


def _check_memory(explorer: LiveTimingExplorer, job: LayerJob, what: str, more: str = "") -> None:
    needed = job.bytes(_BYTES[explorer.dtype])
    explorer.bench.check_memory(needed, explorer.device, what, f"Take a smaller V, B or d{',' * bool(more)}{more}.")


def _estimate(explorer: LiveTimingExplorer, ticked: Mapping[str, bool], budget: float) -> str:
    """How long it will take and how much memory, before it starts."""
    job, (cost, whose) = explorer.layer_job(ticked), explorer.timings
    one = sum(job.seconds(cost).values()) if explorer.judges else math.nan
    text = estimate_text(one, budget, whose, busy_text(explorer.bench.load()))
    return f"{device_text(explorer.device)}, about {bytes_text(job.bytes(_BYTES[explorer.dtype]))}. {text}"


def _measure_layers(
    explorer: LiveTimingExplorer,
    job: LayerJob,
    budget: float,
    tick: Tick,
    draw: Callable[[Tally], None],
    every: float,
) -> None:
    """Time the layers of a job in turns, and keep what was heard with what was predicted when it began."""
    load = explorer.bench.load()
    with LOCK:
        sizes, predicted = explorer.layer_sizes, explorer.predicted_layers()
        one = sum(job.seconds(explorer.timings[0] if explorer.judges else None).values())
    plan = next((cutoffs for name, cutoffs, _ in job.layers if name == PLAN), ())
    tally = Tally(sizes, sizes["device"])
    show = now_and_then(lambda: draw(tally), every)

    def heard(name: str, seconds: float) -> None:
        tally.heard(name, seconds)
        show()

    how = {"device": sizes["device"], "dtype": sizes["dtype"], "tick": tick, "heard": heard, "bench": explorer.bench}
    rounds = rounds_within(one, budget)
    work = lambda: time_layers(job, seconds=budget, rounds=rounds, **how)  # noqa: E731
    kept(explorer, "layers", tally, work, lambda value: explorer.note_layers({**value, "load": load}, predicted, plan))


def _measure_wrongly(explorer: LiveTimingExplorer, job: LayerJob, tick: Tick) -> None:
    sizes = explorer.layer_sizes
    found = time_layers_wrongly(job, bench=explorer.bench, device=sizes["device"], dtype=sizes["dtype"], tick=tick)
    explorer.note("layers timed wrongly", {"sizes": sizes, "seconds": found})


# ---------------------------------------------------------------------- the U-curve


def curve_panel(explorer: LiveTimingExplorer, *, slot: str = "curve", every: float = 0.2) -> w.VBox:
    """The U-curve of the cutoff that moved last, predicted, and measured point by point.

    ``every``: so many seconds apart points are drawn while they come.
    """
    panel, words, estimate = Panel(), Result(), Line()
    which = w.Dropdown(description="cutoff that moves", style=WIDE, layout=w.Layout(width="220px"))
    scaled, budget = _scaled_box(panel, explorer), budget_box()
    panel.on_value(which, lambda i: setattr(explorer, "active", i))
    panel.on_value(budget, lambda _: redraw())

    def measured() -> dict[str, Any]:
        return dict(spreads(explorer.recall("curve"), explorer.curve_sizes))

    def draw(tally: Tally) -> None:
        if explorer.curve_sizes == tally.sizes:
            figure.push(*lf.curve_data(explorer, tally.spreads()))
            words.say(UNDER_WAY)

    job = Job(
        panel,
        "Measure the U-curve",
        lambda tick: _measure_curve(explorer, float(budget.value), tick, draw, every),
        "Our layer at ten places of the cutoff, in turns",
    )
    figure = live(lf.curve_figure(explorer, measured()))

    def redraw() -> None:
        options = [(f"{lf.letter(i)} = {c:,}", i) for i, c in enumerate(explorer.cutoffs)]
        with panel.writing():
            scaled.value = explorer.scaled
            if list(which.options) != options:
                which.options = options
            which.value = explorer.active if explorer.cutoffs else None
        times = measured()
        figure.push(*lf.curve_data(explorer, times))
        words.say(*lf.curve_sentence(explorer, times))
        cost, whose = explorer.timings
        known = explorer.cutoffs and explorer.judges
        one = sum(explorer.curve_job().seconds(cost).values()) if known else math.nan
        estimate.say(estimate_text(one, float(budget.value), whose, busy_text(explorer.bench.load())))

    box = panel.box(
        instruction("Measure the U-curve: ten places of one cutoff, in turns. Then scale the prediction."),
        row(job.row, which, scaled, job.line),
        figure,
        words,
        row(budget, estimate),
    )
    explorer.attach(slot, safely(panel, redraw), box)
    return box


def _measure_curve(
    explorer: LiveTimingExplorer, budget: float, tick: Tick, draw: Callable[[Tally], None], every: float
) -> None:
    """Time our layer at the places of the curve, in turns."""
    load = explorer.bench.load()
    with LOCK:
        job, sizes = explorer.curve_job(), explorer.curve_sizes
        one = sum(job.seconds(explorer.timings[0] if explorer.judges else None).values())
    _check_memory(explorer, job, f"timing {len(job.layers)} layers")
    tally = Tally(sizes, sizes["device"])
    show = now_and_then(lambda: draw(tally), every)

    def heard(name: str, seconds: float) -> None:
        tally.heard(name, seconds)
        show()

    def place(done: float, text: str) -> None:
        tick(done, f"{text} words" if text.isdecimal() else text)

    how = {"device": sizes["device"], "dtype": sizes["dtype"], "tick": place, "heard": heard, "bench": explorer.bench}
    rounds = rounds_within(one, budget)
    work = lambda: time_layers(job, seconds=budget, rounds=rounds, **how)  # noqa: E731
    kept(explorer, "curve", tally, work, lambda value: explorer.note("curve", {**value, "load": load}))
