"""The panels of the lesson on the time model: a race, products timed wrongly and properly, clusters, planned again."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import ipywidgets as w

from ...text import counted
from ..kit.explorer import MAX_TAILS, WIDTH_RULES
from ..kit.parts import WIDE, Job, Line, Pair, Panel, live, row, safely
from ..kit.plots import seconds_text
from ..kit.views import LOCK
from ..kit.widgets import NumberBox
from . import cluster_figures as cf
from . import figures as tf
from .explorer import MOST_TAILS, TimingExplorer
from .flat_affine import PAPER_TWO_SIZES

# what measures elsewhere, too: other lessons import it from here
from .measuring import Result, instruction, sizes_and_back
from .measuring import budget_box as budget_box
from .measuring import device_box as device_box
from .measuring import kept as kept
from .measuring import now_and_then as now_and_then
from .measuring import size_boxes as size_boxes
from .race import product_races
from .timings import TURNS, Tally, Tick, busy_text, product_bytes, right_way, spreads, wrong_ways
from .widgets import Race

#: Presses of the wrong button that are kept.
PRESSES = 8


def race_panel(explorer: TimingExplorer, *, slot: str = "race") -> w.VBox:
    """Two recorded products start together; the reader bets first. The bets are kept."""
    panel = Panel()
    race = Race(data=product_races(), bets=explorer.recall("race bets") or {})
    panel.on_value(race, partial(explorer.remember, "race bets"), "bets")
    box = panel.box(race)
    explorer.attach(slot, lambda: None, box)
    return box


# ---------------------------------------------------------------------- timed wrongly


def wrong_timing_panel(explorer: TimingExplorer, *, slot: str = "wrong timing") -> w.VBox:
    """One product timed in wrong ways and in the right one, side by side."""
    panel, words, busy = Panel(), Result(), Line()
    boxes, redraw_boxes = size_boxes(panel, explorer, ("in_features", "batch"))
    number = NumberBox(description="words k, typed", unit="")
    pair = Pair(panel, number, "words k", lambda k, _: setattr(explorer, "k", round(k)), high=20_000, log=True)

    def presses() -> list[Mapping[str, float]]:
        found: Mapping[str, Any] = explorer.recall("timed wrongly") or {}
        return list(found["presses"]) if found.get("sizes") == explorer.once_sizes else []

    def right() -> Any:
        return spreads(explorer.recall("timed properly"), explorer.once_sizes).get(TURNS)

    figure = live(tf.wrong_figure(presses(), right()))

    def check() -> None:
        needed = product_bytes(explorer.k, explorer.batch, explorer.in_features, 4)
        explorer.bench.check_memory(needed, explorer.device, "this product")

    def wrongly(tick: Tick) -> None:
        check()
        sizes = explorer.once_sizes
        found = wrong_ways(sizes["k"], sizes["B"], sizes["d"], bench=explorer.bench, device=sizes["device"], tick=tick)
        explorer.note("timed wrongly", {"sizes": sizes, "presses": [*presses(), found][-PRESSES:]})

    def properly(tick: Tick) -> None:
        check()
        sizes = explorer.once_sizes
        tally = Tally(sizes, sizes["device"])
        how = {
            "bench": explorer.bench,
            "device": sizes["device"],
            "seconds": 10.0,
            "tick": tick,
            "heard": tally.heard,
        }
        kept(explorer, "timed properly", tally, lambda: right_way(sizes["k"], sizes["B"], sizes["d"], **how))

    job = Job(panel, "Time it wrongly", wrongly, "Once and cold, then again and again with the same numbers")
    other = job.also("Time it properly", properly, "Warmed up, in turns with other work, inputs rotating, median")
    job.row.children = (job.start, other, job.stop, job.bar)

    def redraw() -> None:
        redraw_boxes()
        pair.show(explorer.k)
        figure.push(*tf.wrong_data(presses(), right()))
        words.say(*tf.wrong_sentence(presses(), right()))
        busy.say(busy_text(explorer.bench.load()))

    box = panel.box(
        instruction("Press “Time it wrongly” three or four times, then “Time it properly” once."),
        job.row,
        job.line,
        figure,
        words,
        row(pair.row, *boxes),
        busy,
    )
    explorer.attach(slot, safely(panel, redraw), box)
    return box


# ---------------------------------------------------------------------- clusters


def clusters_panel(explorer: TimingExplorer, *, slot: str = "clusters") -> w.VBox:
    """Time against the size of the short-list, and against the number of tails, under each model."""
    panel, result, note = Panel(), Result(), Line()
    boxes, redraw_boxes = size_boxes(panel, explorer, ("n_words", "in_features", "batch"))
    widths = w.Dropdown(
        options=list(WIDTH_RULES), description="width of the tails", style=WIDE, layout=w.Layout(width="270px")
    )
    panel.on_value(widths, lambda rule: setattr(explorer, "width_rule", rule))
    figure = live(cf.clusters_figure(explorer))

    def search(tick: Tick) -> None:
        with LOCK:
            models = explorer.models()
        for j in range(MOST_TAILS + 1):
            for name, cost in models.items():
                tick(j / (MOST_TAILS + 1), f"{j} tails, {name}")
                explorer.search(cost, j)
            with LOCK:
                figure.push(*cf.clusters_data(explorer))
        with LOCK:
            explorer.note_search()
            explorer.version += 1

    job = Job(panel, "Search", search, "An exact plan for each number of tails, 0 to 10, under each model")

    def redraw() -> None:
        redraw_boxes()
        with panel.writing():
            widths.value = explorer.width_rule
        figure.push(*cf.clusters_data(explorer))
        best, more = cf.number_sentence(explorer)
        result.say(best, f"{more} {cf.shortlist_sentence(explorer)}".strip())

    papers = sizes_and_back(
        panel,
        explorer,
        PAPER_TWO_SIZES,
        note,
        "The paper's experiment with two clusters: V = 10,000, d = 128, B = 512.",
    )
    box = panel.box(
        instruction("Press “Search”. Then set B to 2,560 and search again: the earlier curve stays, grey."),
        row(boxes[2], job.row, job.line),
        figure,
        result,
        row(*boxes[:2], widths),
        row(*papers, note),
    )
    explorer.attach(slot, safely(panel, redraw), box)
    return box


# ---------------------------------------------------------------------- replanned


def replan_panel(explorer: TimingExplorer, *, slot: str = "replan") -> w.VBox:
    """The plan by counting and the plan by timings, both judged by the timings."""
    panel, result, note = Panel(), Result(), Line()
    boxes, redraw_boxes = size_boxes(panel, explorer, ("n_words", "in_features", "batch"))
    figure = live(cf.replan_figure(explorer))

    def take() -> None:
        cost, _ = explorer.timings
        if cost is None:
            raise LookupError("there are no timings to plan with: time this machine, then press again")
        shown, found = cf.timed_plan(explorer), explorer.best_plan(cost, MAX_TAILS)
        explorer.cost = cost
        explorer.cutoffs = found.cutoffs
        told = f"Taken: {counted(found.n_tails, 'tail')}, {seconds_text(found.time)}."
        if shown.n_tails > MAX_TAILS:
            told = (
                f"The panel below holds {MAX_TAILS} tails at most, so this is the best plan with so many: "
                f"{seconds_text(found.time)} instead of {seconds_text(shown.time)} with {shown.n_tails}."
            )
        note.say(told)

    def redraw() -> None:
        button.disabled = True  # until the plan that it takes is in sight
        redraw_boxes()
        try:
            figure.push(*cf.replan_data(explorer))
            result.say(*cf.replan_sentence(explorer))
        finally:
            button.disabled = False

    button = panel.button("Take the timed plan", take, "Sets the cutoffs and the cost model of all panels here")
    box = panel.box(
        instruction(
            "Set B to 2,560 and watch what is left of the gain. Then set B back to 64 and take the timed plan."
        ),
        row(*boxes, button),
        note,
        figure,
        result,
    )
    explorer.attach(slot, safely(panel, redraw), box)
    return box
