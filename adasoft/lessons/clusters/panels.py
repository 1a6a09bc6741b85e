"""Panels of the lesson on clusters: one cut, the swap of two clusters, and the reader against the planner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as w
import numpy as np

from ..kit.costs import COUNTED_WORDS
from ..kit.cuts import cut_picker, cutoff_pair, plan_text
from ..kit.explorer import Explorer
from ..kit.parts import WIDE, Job, Line, Pair, Panel, costs_at_hand, listed, live, row, safely
from ..kit.plots import amount_text, percent
from ..kit.views import replace
from ..kit.widgets import NumberBox
from . import figures as f
from .duel import duel


def two_clusters_panel(explorer: Explorer, *, slot: str = "two clusters") -> w.VBox:
    """The U-curve of one cutoff, counted or timed, in the root or in leaves."""
    panel = Panel()
    costs = costs_at_hand(COUNTED_WORDS, explorer)
    cost = w.Dropdown(options=list(costs), description="cost model", style=WIDE, layout=w.Layout(width="430px"))
    pair = cutoff_pair(panel, explorer, 0, "cut", "words in the first cluster", "words in the first cluster")
    words, shown = Line(), {"best": False}

    if explorer.cost.name not in costs:
        explorer.cost = COUNTED_WORDS
    figure = live(f.two_clusters_figure(explorer, explorer.two_clusters()))

    def redraw() -> None:
        if explorer.cost.name not in costs:
            costs[explorer.cost.name] = explorer.cost
        with panel.writing():
            if cost.options != tuple(costs):
                cost.options = tuple(costs)
            cost.value = explorer.cost.name
        if explorer.cutoffs:
            pair.show(explorer.cutoffs[0], len(explorer.vocabulary) - 1)
        figure.push(*f.two_clusters_data(explorer, explorer.two_clusters()))
        words.say(f.two_clusters_sentence(explorer, explorer.two_clusters(), shown["best"]))

    def reveal() -> None:
        shown["best"] = not shown["best"]
        figure.push({4: {"visible": shown["best"]}})
        button.description = "Hide the best" if shown["best"] else "Show the best"
        redraw()

    button = panel.button("Show the best", reveal, "Marks the best cut with a star")
    panel.on_value(cost, lambda name: setattr(explorer, "cost", costs[name]))
    box = panel.box(row(cost, button), pair.row, figure, words)
    explorer.attach(slot, safely(panel, redraw), box)
    return box


def swap_panel() -> w.VBox:
    """Two clusters as areas: which share belongs to which size?"""
    panel, picture, words = Panel(), w.HTML(), Line()

    def pair(name: str, value: float, low: float, high: float, step: float) -> Pair:
        number = NumberBox(description=name, unit="", whole=step >= 1)

        def act(new: float, _clip: bool) -> None:
            if not low <= new <= high:
                raise ValueError(f"{name} should be from {low:,g} to {high:,g}, got {new:,g}")
            new_pair.show(new)
            redraw()

        new_pair = Pair(panel, number, name, act, low=low, high=high, step=step)
        new_pair.show(value)
        return new_pair

    pairs = [
        pair("words of the small one", 1000, 100, 5000, 100),
        pair("words of the large one", 9000, 100, 20000, 100),
        pair("share of the small one, %", 10, 0, 50, 1),
        pair("share of the large one, %", 20, 0, 50, 1),
    ]

    def redraw() -> None:
        a, b, p, q = (pair.number.value for pair in pairs)
        picture.value = f.swap_svg(int(a), int(b), p / 100, q / 100)
        words.say(f.swap_sentence(int(a), int(b), p / 100, q / 100))

    def swap() -> None:
        p, q = pairs[2:]
        shares = p.number.value, q.number.value
        q.show(shares[0])
        p.show(shares[1])
        redraw()

    redraw()
    box = panel.box(*(pair.row for pair in pairs), row(panel.button("Swap the shares", swap)), picture, words)
    box.add_class("adasoft-long")
    replace("swap", box)
    return box


def beat_the_planner(explorer: Explorer, *, slot: str = "game") -> w.VBox:
    """The reader against the exact search, with the same number of cutoffs and the same floor on the head."""
    panel, words, verdict = Panel(), Line(), Line()
    picker, redraw_picker = cut_picker(panel, explorer)
    best: dict[Any, tuple[float, tuple[int, ...]]] = {}

    def key() -> Any:
        return (*explorer.sizes, len(explorer.cutoffs))

    def redraw() -> None:
        redraw_picker()
        share, seconds = explorer.token_shares[0], explorer.prediction.seconds
        allowed = share >= 0.75
        if allowed and explorer.cutoffs and seconds < best.get(key(), (np.inf, ()))[0]:
            best[key()] = seconds, explorer.cutoffs
        record = best.get(key())
        words.say(
            f"Now: {amount_text(explorer, seconds)} at {listed(explorer.cutoffs)}, "
            + f"head {percent(share)} of the tokens"
            + ("" if allowed else " - not allowed, the head must hold 75 %")
            + (f". Your best: {amount_text(explorer, record[0])} at {listed(record[1])}." if record else ".")
            + (" These are counts; for times, choose a machine in section 3." if explorer.counted else "")
        )
        verdict.say("")

    def yours() -> tuple[float, tuple[int, ...]]:
        if key() not in best:
            raise ValueError("no allowed cut yet: move a cutoff so that the head holds at least 75 % of the tokens")
        return best[key()]

    def compare() -> None:
        record = yours()
        found = explorer.plan_for_me()
        behind = record[0] / found.time - 1
        if behind < 1e-9:
            text = "A draw: you found the optimum."
        elif behind < 0.02:
            text = f"Within {100 * behind:.2g} %: as good in practice, because the bottom of the curve is flat."
        else:
            text = f"The planner is ahead by {100 * behind:.0f} %."
        verdict.say(f"{text} You: {listed(record[1])}. {plan_text(explorer, found)}")

    def measure(tick: Callable[[float, str], None]) -> None:
        tick(0.0, "loading torch ...")
        text = duel(explorer, yours()[1], tick)
        explorer.remember("game", text)
        measured.say(text)

    measured = Line()
    job = Job(panel, "Measure both", measure, "Runs your layer and the planner's in turns, for some seconds")
    last = explorer.recall("game")
    measured.say(f"Last time: {last}" if last else "")
    buttons = row(panel.button("Compare with the planner", compare), job.row)
    box = panel.box(picker, words, buttons, verdict, job.line, measured)
    explorer.attach(slot, safely(panel, redraw), box)
    return box
