"""The panels of a case to bet on, and of which method when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import ipywidgets as w

from ..kit.cuts import cut_picker, cutoff_pair
from ..kit.parts import UNDER_WAY, WIDE, Job, Line, Panel, live, one_line, readable, row, safely
from ..kit.tables import html_table
from ..kit.views import LOCK, replace
from ..kit.widgets import NumberBox
from ..time_model.panels import budget_box, device_box, now_and_then, size_boxes
from ..time_model.timings import Tally, Tick, busy_text, check_memory, device_text, spreads
from . import cases as sc
from . import figures as af
from .explorer import AlternativesExplorer
from .sentences import case_sentence
from .stored import claims, recorded_cases, stored_comparisons, which_when

HERE = "measured here, live"


# ---------------------------------------------------------------------- a case


def case_panel(explorer: AlternativesExplorer, *, slot: str = "case") -> w.VBox:
    """A case: the reader bets on a method, then all that answer it are timed in turns."""
    panel, words, estimate, score = Panel(), Line(), Line(), Line()
    picker, redraw_picker = cut_picker(panel, explorer, height=200)
    cuts = [cutoff_pair(panel, explorer, i, f"cutoff {i + 1}", f"cutoff {i + 1}, words") for i in range(2)]
    boxes, redraw_boxes = size_boxes(panel, explorer, ("n_words", "in_features"))
    rows = NumberBox(description="rows at once")
    panel.on_number(rows, partial(setattr, explorer, "batch"), lambda: explorer.batch)
    device, redraw_device = device_box(panel, explorer)
    task = w.Dropdown(options=list(sc.TASKS), description="task", style=WIDE, layout=w.Layout(width="270px"))
    exact = w.Checkbox(description="exact only", indent=False, layout=w.Layout(width="auto"))
    bet = w.Dropdown(description="your bet", style=WIDE, layout=w.Layout(width="280px"))
    budget = budget_box()
    recorded = {one.label: one for one in readable(panel, recorded_cases)}
    shown = w.Dropdown(options=[HERE, *recorded], description="shown", style=WIDE, layout=w.Layout(width="560px"))
    panel.on_value(task, lambda value: setattr(explorer, "task", value))
    panel.on_value(exact, lambda value: setattr(explorer, "exact", value))
    panel.on_value(bet, lambda value: setattr(explorer, "bet", value))
    for control in (shown, budget):
        panel.on_value(control, lambda _: redraw())

    def found() -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        if shown.value in recorded:
            one = recorded[shown.value]
            return one.times, one.known
        last: Mapping[str, Any] = explorer.recall("case") or {}
        times = spreads(last, explorer.case_sizes)
        return times, last.get("known", {}) if times else {}

    def names() -> tuple[str, ...]:
        if shown.value in recorded:
            return tuple(recorded[shown.value].times)
        return explorer.case.names if explorer.cutoffs else (sc.FULL,)

    def figure_state() -> tuple[Any, ...]:
        times, known = found()
        return names(), times, known.get("arithmetic", {})

    figure = live(af.case_figure(*figure_state()))

    def measure(tick: Tick) -> None:
        with LOCK:
            with panel.writing():
                shown.value = HERE
            redraw()
            case, sizes, betted = explorer.case, explorer.case_sizes, explorer.bet
            if betted not in case.names:
                raise ValueError("bet first: choose under “your bet” which method will take least time")
            check_memory(
                case.bytes(len(explorer.vocabulary)),
                case.device,
                "timing this case",
                "Take a smaller V or d, or fewer rows.",
            )
        tally = Tally(sizes, sizes["device"])

        def draw() -> None:
            if explorer.case_sizes == sizes and shown.value == HERE:
                figure.push(*af.case_data(case.names, tally.spreads(), {}))
                words.say(UNDER_WAY)

        show = now_and_then(draw)

        def heard(name: str, seconds: float) -> None:
            tally.heard(name, seconds)
            show()

        try:
            known = explorer.time_case(float(budget.value), tick, heard)
        except BaseException:
            with LOCK:
                redraw()  # what was drawn meanwhile is not kept
            raise
        result = tally.json() | {"known": known, "bet": betted}
        winner = min(tally.spreads().items(), key=lambda item: item[1].median)[0]
        bets = [*(explorer.recall("bets") or []), [betted == winner]][-50:]
        explorer.remember("bets", bets)
        explorer.note("case", result)

    job = Job(panel, "Measure the case", measure, "Makes every method that answers the case, and times them in turns")

    def redraw() -> None:
        redraw_boxes()
        redraw_device()
        redraw_picker()
        for i, pair in enumerate(cuts):
            there = i < len(explorer.cutoffs)
            pair.row.layout.display = "flex" if there else "none"
            if there:
                pair.show(explorer.cutoffs[i], explorer.limits(i)[1])
        allowed = explorer.case.names if explorer.cutoffs else ()
        options = [("choose ...", ""), *((name, name) for name in allowed)]
        with panel.writing():
            rows.value = float(explorer.batch)
            task.value, exact.value = explorer.task, explorer.exact
            if list(bet.options) != options:
                bet.options = options
            bet.value = explorer.bet if explorer.bet in allowed else ""
        figure.push(*af.case_data(*figure_state()))
        times, known = found()
        if shown.value in recorded:
            words.say(
                f"RECORDED, not this machine. {recorded[shown.value].provenance} " + case_sentence(times, known, "", "")
            )
        else:
            last: Mapping[str, Any] = explorer.recall("case") or {}
            made = f"Measured on {last['device']}, {last['date'][:10]}." if times else ""
            words.say("In words: " + case_sentence(times, known, last.get("bet", "") if times else "", made))
        needed = explorer.case.bytes(len(explorer.vocabulary)) / 2**30 if explorer.cutoffs else 0.0
        sparse = explorer.experts_for_case
        estimate.say(
            f"{device_text(explorer.device)}. Memory: about {needed:,.2g} GiB. No model of this size is trained "
            f"here, so the weights are random: SVD-softmax takes W = d/8 and N = V/32; experts are as large as in "
            f"the stored {sparse.label}, {100 * explorer.expert_share:.0f} % of V. {busy_text()}".strip()
        )
        bets = explorer.recall("bets") or []
        won = sum(bool(one[0]) for one in bets)
        score.say(f"Your bets so far: {won} of {len(bets)} right." if bets else "")

    box = panel.box(
        shown,
        row(task, exact, device),
        row(*boxes, rows),
        picker,
        *(pair.row for pair in cuts),
        row(bet, budget, job.row, job.line),
        score,
        estimate,
        figure,
        words,
    )
    explorer.attach(slot, safely(panel, redraw), box)
    return box


# ---------------------------------------------------------------------- which when


def _sentences(label: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return html_table(rows, heads, label=label, sentences=True, scrolls=True)


def which_panel() -> w.VBox:
    """What the papers claim beside what was measured, and which method when, all from stored results."""
    panel, first, second, third, words = Panel(), w.HTML(), w.HTML(), w.HTML(), Line()
    try:
        first.value = _sentences("claims and measurements", ("claim", "what we measured"), claims())
        second.value = _sentences("which softmax when", ("case", "fastest", "next", "from"), which_when())
        rows, said = stored_comparisons()
        third.value = _sentences("trained models compared", rows[0], rows[1:]) if rows else ""
        words.say(said)
    except (ValueError, LookupError) as error:
        panel.problem.say(one_line(error))
    box = panel.box(second, first, third, words)
    box.add_class("adasoft-long")
    replace("which when", box)
    return box
