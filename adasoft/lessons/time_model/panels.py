"""The panels of the lesson on the time model: timed wrongly and rightly, flat then affine, clusters, replanned."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import ipywidgets as w

from ..kit import plots as f
from ..kit.explorer import MAX_TAILS, WIDTH_RULES
from ..kit.parts import UNDER_WAY, WIDE, Job, Line, Pair, Panel, Stopped, live, row, safely
from ..kit.views import LOCK
from ..kit.widgets import NumberBox
from . import figures as tf
from .explorer import MOST_TAILS, TimingExplorer
from .flat_affine import PAPER_SIZES, PAPER_TWO_SIZES
from .timings import (
    PRODUCTS,
    TURNS,
    Tally,
    Tick,
    busy_text,
    check_memory,
    devices,
    product_bytes,
    product_seconds,
    right_way,
    rounds_within,
    spreads,
    time_products,
    wrong_ways,
)

#: Seconds that a measurement may take, as offered.
BUDGETS = [("5 seconds", 5.0), ("10 seconds", 10.0), ("30 seconds", 30.0), ("2 minutes", 120.0)]
#: Presses of the wrong button that are kept.
PRESSES = 8
_SIZES = {"n_words": "words V", "in_features": "hidden size d", "batch": "tokens per step B", "most": "largest k"}


def size_boxes(
    panel: Panel, explorer: TimingExplorer, names: Sequence[str]
) -> tuple[list[NumberBox], Callable[[], None]]:
    """Number boxes for sizes of the explorer, and the function that shows them again. A refused number goes back."""
    boxes: dict[str, NumberBox] = {}

    def present(name: str) -> int:
        return len(explorer.vocabulary) if name == "n_words" else getattr(explorer, name)  # type: ignore[no-any-return]

    for name in names:
        boxes[name] = NumberBox(description=_SIZES[name])
        panel.on_number(boxes[name], partial(setattr, explorer, name), partial(present, name))

    def redraw() -> None:
        with panel.writing():
            for name, box in boxes.items():
                box.value = present(name)

    return list(boxes.values()), redraw


def sizes_and_back(
    panel: Panel, explorer: TimingExplorer, wanted: Mapping[str, Any], note: Line, text: str
) -> tuple[w.Button, w.Button]:
    """Two buttons: one takes the paper's sizes and says so, the other goes back to those before."""
    mine: dict[str, Any] = {}

    def there() -> None:
        now = {name: getattr(explorer, name) for name in wanted}
        if now != dict(wanted):
            mine.update(now)
        for name, value in wanted.items():
            setattr(explorer, name, value)
        note.say(text)

    def back() -> None:
        if not mine:
            raise ValueError("these are your sizes: nothing to go back to")
        for name, value in mine.items():
            setattr(explorer, name, value)
        mine.clear()
        note.say("")

    return (
        panel.button("The paper's sizes", there, text),
        panel.button("My sizes again", back, "Back to the sizes before the paper's"),
    )


def device_box(panel: Panel, explorer: TimingExplorer) -> tuple[w.Dropdown, Callable[[], None]]:
    """What is timed on; only what is there is offered."""
    found = devices()
    if explorer.device not in found:  # chosen on another machine
        explorer.device = found[0]
    box = w.Dropdown(options=found, description="device", style=WIDE, layout=w.Layout(width="150px"))
    panel.on_value(box, lambda device: setattr(explorer, "device", device))

    def redraw() -> None:
        with panel.writing():
            box.value = explorer.device

    return box, redraw


def budget_box() -> w.Dropdown:
    """How long a measurement may take."""
    return w.Dropdown(
        options=BUDGETS, value=10.0, description="time for it", style=WIDE, layout=w.Layout(width="190px")
    )


def now_and_then(act: Callable[[], None], every: float = 0.2) -> Callable[[], None]:
    """``act`` under the lock, but not more often than every so many seconds: drawing would disturb what is timed."""
    last = [-math.inf]

    def call() -> None:
        if time.monotonic() - last[0] >= every:
            with LOCK:
                act()
            last[0] = time.monotonic()

    return call


def kept(explorer: TimingExplorer, key: str, tally: Tally, work: Callable[[], None]) -> None:
    """Do the work; what was heard until it ended or was stopped is kept under the key."""
    try:
        work()
    except Stopped:
        if tally.runs:
            explorer.note(key, tally.json())
        raise
    except BaseException:
        with LOCK:
            explorer.version += 1  # what was drawn meanwhile goes
        raise
    explorer.note(key, tally.json())


def estimate_text(one_round: float, budget: float, whose: str) -> str:
    """How long a measurement will take, before it starts."""
    busy = busy_text()
    if not math.isfinite(one_round):
        return f"It ends after about {budget:.0f} s, or after its first round ({whose}). {busy}".strip()
    rounds = rounds_within(one_round, budget)
    seconds = (rounds + 2) * one_round
    takes = f"it should take about {f.seconds_text(seconds)}: 2 rounds of warm-up, {rounds} timed."
    text = f"By the timings at hand ({whose}) {takes}"
    if seconds > 1.5 * budget:
        text += f" That is more than {budget:.0f} s: choose smaller sizes, or wait."
    return f"{text} {busy}".strip()


# ---------------------------------------------------------------------- timed wrongly


def wrong_timing_panel(explorer: TimingExplorer, *, slot: str = "wrong timing") -> w.VBox:
    """One product timed in wrong ways and in the right one, side by side."""
    panel, words = Panel(), Line()
    boxes, redraw_boxes = size_boxes(panel, explorer, ("in_features", "batch"))
    number = NumberBox(description="words k, typed", unit="")
    pair = Pair(panel, number, "words k", lambda k, _: setattr(explorer, "k", round(k)), high=20_000, log=True)

    def presses() -> list[Mapping[str, float]]:
        found: Mapping[str, Any] = explorer.recall("timed wrongly") or {}
        return list(found["presses"]) if found.get("sizes") == explorer.once_sizes else []

    def right() -> Any:
        return spreads(explorer.recall("timed rightly"), explorer.once_sizes).get(TURNS)

    figure = live(tf.wrong_figure(presses(), right()))

    def check() -> None:
        check_memory(
            product_bytes(explorer.k, explorer.batch, explorer.in_features, 4), explorer.device, "this product"
        )

    def wrongly(tick: Tick) -> None:
        check()
        sizes = explorer.once_sizes
        found = wrong_ways(sizes["k"], sizes["B"], sizes["d"], device=sizes["device"], tick=tick)
        explorer.note("timed wrongly", {"sizes": sizes, "presses": [*presses(), found][-PRESSES:]})

    def rightly(tick: Tick) -> None:
        check()
        sizes = explorer.once_sizes
        tally = Tally(sizes, sizes["device"])
        how = {"device": sizes["device"], "seconds": 10.0, "tick": tick, "heard": tally.heard}
        kept(explorer, "timed rightly", tally, lambda: right_way(sizes["k"], sizes["B"], sizes["d"], **how))

    wrong_job = Job(panel, "Time it wrongly", wrongly, "Once and cold, then again and again with the same numbers")
    right_job = Job(panel, "Time it rightly", rightly, "Warmed up, in turns with other work, inputs rotating, median")

    def redraw() -> None:
        redraw_boxes()
        pair.show(explorer.k)
        figure.push(*tf.wrong_data(presses(), right()))
        words.say("In words: " + tf.wrong_sentence(presses(), right()))

    box = panel.box(
        row(pair.row, *boxes), row(wrong_job.row, wrong_job.line), row(right_job.row, right_job.line), figure, words
    )
    explorer.attach(slot, safely(panel, redraw), box)
    return box


# ---------------------------------------------------------------------- flat, then affine


def product_panel(explorer: TimingExplorer, *, slot: str = "product") -> w.VBox:
    """Time of a product against its words: measured here, and a line to fit by hand."""
    panel, words, paper, estimate, note = Panel(), Line(), Line(), Line(), Line()
    boxes, redraw_boxes = size_boxes(panel, explorer, ("in_features", "batch", "most"))
    device, redraw_device = device_box(panel, explorer)
    what = w.Dropdown(options=list(PRODUCTS), description="what is timed", style=WIDE, layout=w.Layout(width="330px"))
    budget = budget_box()
    panel.on_value(what, lambda value: setattr(explorer, "product", value))
    panel.on_value(budget, lambda _: redraw())
    figure = live(tf.product_figure(explorer))

    def part(i: int, name: str, unit: str, scale: float, high: float) -> Pair:
        number = NumberBox(description=f"{name}, {unit}", unit=unit, whole=False, width="120px")

        def act(value: float, _clip: bool) -> None:
            if value < 0:
                raise ValueError(f"{name} = {value:g} is refused: it should be at least 0")
            line = explorer.hand_line()
            values = [line.c, line.lam, line.k0]
            values[i] = value * scale
            explorer.line = tuple(values)

        return Pair(panel, number, name, act, high=high, step=0.01, log=True)

    pairs = [
        part(0, "c", "µs", 1e-6, 1e6),
        part(1, "lambda", "ns per word", 1e-9, 1e7),
        part(2, "k0", "words", 1.0, 2000.0),
    ]

    def fit() -> None:
        by_hand, best = explorer.hand_line(), explorer.fitted_line()
        sizes, seconds, what_fitted = explorer.to_fit()
        before, after = (float(abs(line.errors(sizes, seconds)).mean()) for line in (by_hand, best))
        explorer.line = (best.c, best.lam, best.k0)
        note.say(
            f"Fitted to the {what_fitted}: {tf.line_text(best)}. Mean error {f.percent(after)}; your line's was "
            f"{f.percent(before)}."
        )

    wanted = {"product": list(PRODUCTS)[1], **PAPER_SIZES, "most": 256}
    papers = sizes_and_back(
        panel,
        explorer,
        wanted,
        note,
        "The paper's product: (2560 x 2048) by (2048 x k), without softmax and gradients; k up to 256 here.",
    )

    def measure(tick: Tick) -> None:
        with LOCK:
            sizes, ks = explorer.product_sizes, explorer.sweep
            batch, d, kind = explorer.batch, explorer.in_features, PRODUCTS[explorer.product]
        check_memory(product_bytes(ks[-1], batch, d, len(ks)), sizes["device"], "these products")
        tally = Tally(sizes, sizes["device"])

        def draw() -> None:
            figure.push(*tf.sweep_data(tally.spreads()))
            words.say(UNDER_WAY)

        show = now_and_then(draw)

        def heard(name: str, seconds: float) -> None:
            tally.heard(name, seconds)
            if explorer.product_sizes == sizes:
                show()

        tick(0.0, "making the numbers")
        how = {"device": sizes["device"], "what": kind, "seconds": float(budget.value), "tick": tick, "heard": heard}
        kept(explorer, "product sweep", tally, lambda: time_products(ks, batch, d, **how))

    job = Job(panel, "Measure the products", measure, "All k in turns; the points appear as they come")

    def redraw() -> None:
        redraw_boxes()
        redraw_device()
        with panel.writing():
            what.value = explorer.product
        line = explorer.hand_line()
        for pair, value in zip(pairs, (line.c * 1e6, line.lam * 1e9, line.k0), strict=True):
            pair.show(float(f"{value:.4g}"))
        figure.push(*tf.product_data(explorer))
        words.say("In words: " + tf.product_sentence(explorer))
        paper.say(tf.disagreement(explorer))
        cost, whose = explorer.timings
        one = product_seconds(cost, explorer.sweep, explorer.batch, explorer.in_features)
        last: Mapping[str, Any] = explorer.recall("product sweep") or {}
        shown = f" Points: {last['device']}, {last['date'][:10]}." if explorer.swept() else ""
        estimate.say(estimate_text(one, float(budget.value), whose) + shown)

    buttons = row(panel.button("Fit for me", fit, "Least squares of the relative errors"), *papers)
    box = panel.box(
        row(device, what),
        row(*boxes, budget),
        row(job.row, job.line),
        estimate,
        figure,
        *(pair.row for pair in pairs),
        buttons,
        note,
        words,
        paper,
    )
    explorer.attach(slot, safely(panel, redraw), box)
    return box


# ---------------------------------------------------------------------- clusters


def clusters_panel(explorer: TimingExplorer, *, slot: str = "clusters") -> w.VBox:
    """Time against the size of the short-list, and against the number of tails, under each model."""
    panel, first, second, note = Panel(), Line(), Line(), Line()
    boxes, redraw_boxes = size_boxes(panel, explorer, ("n_words", "in_features", "batch"))
    widths = w.Dropdown(
        options=list(WIDTH_RULES), description="width of the tails", style=WIDE, layout=w.Layout(width="270px")
    )
    panel.on_value(widths, lambda rule: setattr(explorer, "width_rule", rule))
    figure = live(tf.clusters_figure(explorer))

    def search(tick: Tick) -> None:
        with LOCK:
            models = explorer.models()
        for number, j in enumerate(range(MOST_TAILS + 1)):
            for name, cost in models.items():
                tick(number / (MOST_TAILS + 1), f"{j} tails, {name}")
                explorer.search(cost, j)
            with LOCK:
                figure.push(*tf.clusters_data(explorer))
        with LOCK:
            explorer.version += 1

    job = Job(panel, "Search 0 to 10 tails", search, "An exact plan for each number of tails under each model")

    def redraw() -> None:
        redraw_boxes()
        with panel.writing():
            widths.value = explorer.width_rule
        figure.push(*tf.clusters_data(explorer))
        first.say("In words: " + tf.shortlist_sentence(explorer))
        second.say(tf.number_sentence(explorer))

    papers = sizes_and_back(
        panel,
        explorer,
        PAPER_TWO_SIZES,
        note,
        "The paper's experiment with two clusters: V = 10,000, d = 128, B = 512.",
    )
    box = panel.box(row(*boxes, widths), row(*papers, note), row(job.row, job.line), figure, first, second)
    explorer.attach(slot, safely(panel, redraw), box)
    return box


# ---------------------------------------------------------------------- replanned


def replan_panel(explorer: TimingExplorer, *, slot: str = "replan") -> w.VBox:
    """The plan by counting and the plan by timings, both judged by the timings."""
    panel, words, note = Panel(), Line(), Line()
    boxes, redraw_boxes = size_boxes(panel, explorer, ("n_words", "in_features", "batch"))
    figure = live(tf.replan_figure(explorer))

    def take() -> None:
        cost, _ = explorer.timings
        if cost is None:
            raise LookupError("no timings at hand to plan with: time this machine, then press again")
        found = explorer.best_plan(cost, MAX_TAILS)
        explorer.cost = cost
        explorer.cutoffs = found.cutoffs
        note.say(f"Taken, with at most {MAX_TAILS} tails: {found.n_tails} tails, {f.seconds_text(found.time)}.")

    def redraw() -> None:
        redraw_boxes()
        figure.push(*tf.replan_data(explorer))
        words.say("In words: " + tf.replan_sentence(explorer))

    button = panel.button("Take the timed plan", take, "Sets the cutoffs and the cost model of all panels here")
    box = panel.box(row(*boxes, button), note, figure, words)
    explorer.attach(slot, safely(panel, redraw), box)
    return box
