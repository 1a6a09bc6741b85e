"""The panels of the lesson on live timing: layers side by side, and a U-curve measured point by point."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import ipywidgets as w

from ..kit.parts import UNDER_WAY, WIDE, Job, Line, Panel, live, readable, row, safely
from ..kit.views import LOCK
from ..time_model.explorer import TimingExplorer
from ..time_model.panels import budget_box, device_box, estimate_text, kept, now_and_then, size_boxes
from ..time_model.recorded import recorded_layers
from ..time_model.timings import (
    DTYPES,
    FULL,
    OURS,
    PLAN,
    STOCK,
    LayerJob,
    Tally,
    Tick,
    check_memory,
    device_text,
    rounds_within,
    spreads,
    time_layers,
    time_layers_wrongly,
)
from . import figures as lf

HERE = "measured here, live"
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


def _dtype_box(panel: Panel, explorer: TimingExplorer) -> w.Dropdown:
    box = w.Dropdown(options=list(DTYPES), description="numbers", style=WIDE, layout=w.Layout(width="170px"))
    panel.on_value(box, lambda dtype: setattr(explorer, "dtype", dtype))
    return box


def live_panel(explorer: TimingExplorer, *, slot: str = "live") -> w.VBox:
    """Full softmax, PyTorch's layer, ours and the plan, timed in turns; predictions beside; recorded machines."""
    panel, words, estimate = Panel(), Line(), Line()
    boxes, redraw_boxes = size_boxes(panel, explorer, ("n_words", "in_features", "batch"))
    device, redraw_device = device_box(panel, explorer)
    dtype, budget = _dtype_box(panel, explorer), budget_box()
    recorded = {found.label: found for found in readable(panel, recorded_layers)}
    shown = w.Dropdown(options=[HERE, *recorded], description="shown", style=WIDE, layout=w.Layout(width="560px"))
    ticks = {
        name: w.Checkbox(True, description=name, indent=False, layout=w.Layout(width="auto", margin="0 16px 0 0"))
        for name in (FULL, STOCK, OURS, PLAN)
    }
    for box_ in (*ticks.values(), budget, shown):
        panel.on_value(box_, lambda _: redraw())

    def chosen() -> LayerJob:
        return explorer.layer_job({name: box.value for name, box in ticks.items()})

    def state() -> tuple[Any, Any, Any]:
        if shown.value in recorded:
            found = recorded[shown.value]
            return found.times, found.predicted, {}
        sizes = explorer.layer_sizes
        wrongly: Mapping[str, Any] = explorer.recall("layers timed wrongly") or {}
        wrong = wrongly["seconds"] if wrongly.get("sizes") == sizes else {}
        # the model is of our layer: it knows nothing of how PyTorch's is made
        predicted = {name: s for name, s in chosen().seconds(explorer.timings[0]).items() if name != STOCK}
        return spreads(explorer.recall("layers"), sizes), predicted, wrong

    def one_round() -> float:
        return sum(chosen().seconds(explorer.timings[0]).values())

    def begin() -> tuple[LayerJob, dict[str, Any]]:
        with LOCK:
            with panel.writing():
                shown.value = HERE
            redraw()
            job, sizes = chosen(), explorer.layer_sizes
        way = "Take a smaller V, B or d, or leave the full softmax out."
        check_memory(job.bytes(_BYTES[sizes["dtype"]]), sizes["device"], "timing these layers", way)
        return job, sizes

    def measure(tick: Tick) -> None:
        job, sizes = begin()
        with LOCK:
            one = one_round()
        tally = Tally(sizes, sizes["device"])

        def draw() -> None:
            if explorer.layer_sizes == sizes and shown.value == HERE:
                figure.push(*lf.bars_data(tally.spreads(), *state()[1:]))
                words.say(UNDER_WAY)

        show = now_and_then(draw)

        def heard(name: str, seconds: float) -> None:
            tally.heard(name, seconds)
            show()

        how = {"device": sizes["device"], "dtype": sizes["dtype"], "tick": tick, "heard": heard}
        seconds = float(budget.value)
        kept(
            explorer,
            "layers",
            tally,
            lambda: time_layers(job, seconds=seconds, rounds=rounds_within(one, seconds), **how),
        )

    def measure_wrongly(tick: Tick) -> None:
        job, sizes = begin()
        found = time_layers_wrongly(job, device=sizes["device"], dtype=sizes["dtype"], tick=tick)
        explorer.note("layers timed wrongly", {"sizes": sizes, "seconds": found})

    job = Job(panel, "Measure in turns", measure, "Warmed up, all in turns, median and quartiles")
    wrong_job = Job(panel, "Time them wrongly", measure_wrongly, "Each once, cold, one after the other")
    figure = live(lf.bars_figure(*state()))

    def redraw() -> None:
        redraw_boxes()
        redraw_device()
        with panel.writing():
            dtype.value = explorer.dtype
        figure.push(*lf.bars_data(*state()))
        if shown.value in recorded:
            words.say("RECORDED, not this machine. " + lf.recorded_sentence(recorded[shown.value]))
            estimate.say("")
            return
        whose = explorer.timings[1]
        times, predicted, wrong = state()
        last: Mapping[str, Any] = explorer.recall("layers") or {}
        made = f" Measured on {last['device']}, {last['date'][:10]}." if times else ""
        words.say("In words: " + lf.bars_sentence(times, predicted, wrong, whose) + made)
        one, needed = one_round(), chosen().bytes(_BYTES[explorer.dtype]) / 2**30
        text = estimate_text(one, float(budget.value), whose)
        estimate.say(f"{device_text(explorer.device)}. {text} Memory: about {needed:,.2g} GiB.")

    box = panel.box(
        shown,
        row(device, dtype, *boxes),
        row(*ticks.values()),
        row(budget, job.row, job.line),
        row(wrong_job.row, wrong_job.line),
        estimate,
        figure,
        words,
    )
    explorer.attach(slot, safely(panel, redraw), box)
    return box


def curve_panel(explorer: TimingExplorer, *, slot: str = "curve") -> w.VBox:
    """The U-curve of the cutoff that moved last, predicted, and measured point by point on top of it."""
    panel, words, estimate = Panel(), Line(), Line()
    which = w.Dropdown(description="cutoff that moves", style=WIDE, layout=w.Layout(width="220px"))
    budget = budget_box()
    panel.on_value(which, lambda i: setattr(explorer, "active", i))
    panel.on_value(budget, lambda _: redraw())

    def measured() -> dict[str, Any]:
        return dict(spreads(explorer.recall("curve"), explorer.curve_sizes))

    def measure(tick: Tick) -> None:
        with LOCK:
            job, sizes = explorer.curve_job(), explorer.curve_sizes
            one = sum(job.seconds(explorer.timings[0]).values())
        needed, what = job.bytes(_BYTES[sizes["dtype"]]), f"timing {len(job.layers)} layers"
        check_memory(needed, sizes["device"], what, "Take a smaller V, B or d.")
        tally = Tally(sizes, sizes["device"])

        def draw() -> None:
            if explorer.curve_sizes == sizes:
                figure.push(*lf.curve_data(explorer, tally.spreads()))
                words.say(UNDER_WAY)

        show = now_and_then(draw)

        def heard(name: str, seconds: float) -> None:
            tally.heard(name, seconds)
            show()

        how = {"device": sizes["device"], "dtype": sizes["dtype"], "heard": heard}
        seconds = float(budget.value)
        kept(
            explorer,
            "curve",
            tally,
            lambda: time_layers(
                job,
                seconds=seconds,
                rounds=rounds_within(one, seconds),
                tick=lambda done, c: tick(done, f"{c} words" if c.isdecimal() else c),
                **how,
            ),
        )

    job = Job(panel, "Measure the U-curve", measure, "Our layer at ten places of the cutoff, in turns")
    figure = live(lf.curve_figure(explorer, measured()))

    def redraw() -> None:
        options = [(f"c{i + 1} = {c:,}", i) for i, c in enumerate(explorer.cutoffs)]
        with panel.writing():
            if list(which.options) != options:
                which.options = options
            which.value = explorer.active if explorer.cutoffs else None
        times = measured()
        figure.push(*lf.curve_data(explorer, times))
        words.say("In words: " + lf.curve_sentence(explorer, times))
        cost, whose = explorer.timings
        one = sum(explorer.curve_job().seconds(cost).values()) if explorer.cutoffs else math.nan
        estimate.say(estimate_text(one, float(budget.value), whose))

    box = panel.box(row(which, budget, job.row, job.line), estimate, figure, words)
    explorer.attach(slot, safely(panel, redraw), box)
    return box
