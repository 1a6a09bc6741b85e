"""The panel of a case to bet on: all methods that answer it, timed in turns on the reader's machine."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import ipywidgets as w

from ..kit.parts import UNDER_WAY, WIDE, Job, Line, Panel, live, readable, row, safely
from ..kit.views import LOCK
from ..kit.widgets import NumberBox
from ..time_model.panels import budget_box, device_box, now_and_then, size_boxes
from ..time_model.timings import Tally, Tick, busy_text, check_memory, device_text, spreads
from . import cases as sc
from . import figures as af
from .explorer import AlternativesExplorer
from .sentences import case_sentence, tied
from .stored import recorded_cases

HERE = "measured here, live"
#: What is shown -> what is kept, and stands in the records.
_TASKS = [("the ten best words of each hidden state", sc.BEST), (sc.TRAIN, sc.TRAIN)]


class _Case:
    """The controls of a case, what they show, and the measurement."""

    def __init__(self, explorer: AlternativesExplorer) -> None:
        self.explorer, self.panel = explorer, Panel()
        panel = self.panel
        self.words, self.estimate, self.score = Line(), Line(), Line()
        self.sizes, self.redraw_sizes = size_boxes(panel, explorer, ("n_words", "in_features"))
        self.rows = NumberBox(description="hidden states at once", width="60px")
        panel.on_number(self.rows, partial(setattr, explorer, "batch"), lambda: explorer.batch)
        self.cuts = [NumberBox(description=f"cutoff c{i + 1}", width="60px") for i in range(2)]
        for i, box in enumerate(self.cuts):
            panel.on_number(box, partial(explorer.set_cutoff, i), partial(self._cutoff, i))
        self.device, self.redraw_device = device_box(panel, explorer)
        self.task = w.Dropdown(options=_TASKS, description="task", style=WIDE, layout=w.Layout(width="310px"))
        self.exact = w.Checkbox(
            description="exact only", indent=False, layout=w.Layout(width="auto", margin="2px 16px 2px 8px")
        )
        self.bet = w.Dropdown(description="your bet", style=WIDE, layout=w.Layout(width="280px"))
        self.budget = budget_box()
        self.recorded = {one.label: one for one in readable(panel, recorded_cases)}
        self.shown = w.Dropdown(
            options=[HERE, *self.recorded], description="shown", style=WIDE, layout=w.Layout(width="560px")
        )
        for control, trait in ((self.task, "task"), (self.exact, "exact"), (self.bet, "bet")):
            panel.on_value(control, partial(setattr, explorer, trait))
        for control in (self.shown, self.budget):
            panel.on_value(control, lambda _: self.redraw())
        self._last: Mapping[str, Any] | None = None
        self.figure = live(af.case_figure(*self.state()))
        tooltip = "Makes every method that answers the case, and times them in turns"
        self.job = Job(panel, "Measure the case", self.measure, tooltip)

    def box(self) -> w.VBox:
        """All of it, the question first; what is said of a measurement stands near the button, not below the figure."""
        job = self.job
        return self.panel.box(
            row(self.task, self.exact, self.device),
            row(*self.sizes, self.rows, *self.cuts),
            row(self.bet, self.budget, job.row, job.line),
            self.score,
            self.words,
            self.figure,
            self.shown,
            self.estimate,
        )

    def _cutoff(self, i: int) -> float:
        return float(self.explorer.cutoffs[i]) if i < len(self.explorer.cutoffs) else 1.0

    def found(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Times, and what is known besides, of what is shown."""
        if self.shown.value in self.recorded:
            one = self.recorded[self.shown.value]
            return one.times, one.known
        last: Mapping[str, Any] = self.explorer.recall("case") or {}
        times = spreads(last, self.explorer.case_sizes)
        return times, last.get("known", {}) if times else {}

    def state(self) -> tuple[Any, ...]:
        """What the figure is made of."""
        times, known = self.found()
        if self.shown.value in self.recorded:
            exact, _ = sc.WHO[self.recorded[self.shown.value].sizes["task"]]
            names = tuple(n for n in times if n in exact or not self.explorer.exact)
        else:
            names = self.explorer.case.names if self.explorer.cutoffs else (sc.FULL,)
        return names, times, known.get("arithmetic", {})

    def measure(self, tick: Tick) -> None:
        """Time the case, with the figure following."""
        explorer, shown = self.explorer, self.shown
        with LOCK:
            with self.panel.writing():
                shown.value = HERE
            self.redraw()
            case, sizes, betted = explorer.case, explorer.case_sizes, explorer.bet
            if betted not in case.names:
                raise ValueError("bet first: choose under “your bet” which method will take least time")
            needed = case.bytes(len(explorer.vocabulary))
            check_memory(needed, case.device, "timing this case", "Take a smaller V or d, or fewer rows.")
        tally = Tally(sizes, sizes["device"])

        def draw() -> None:
            if explorer.case_sizes == sizes and shown.value == HERE:
                self.figure.push(*af.case_data(case.names, tally.spreads(), {}))
                self.words.say(UNDER_WAY)

        show = now_and_then(draw)

        def heard(name: str, seconds: float) -> None:
            tally.heard(name, seconds)
            show()

        try:
            known = explorer.time_case(float(self.budget.value), tick, heard)
        except BaseException:
            with LOCK:
                self.redraw()  # what was drawn meanwhile is not kept
            raise
        first = tied(tally.spreads())
        # who has just seen a case measured no longer bets, and where all are level there is nothing to bet on
        counted = not spreads(explorer.recall("case"), sizes)
        if counted and len(first) < len(tally.spreads()):
            explorer.remember("bets", [*(explorer.recall("bets") or []), [betted in first]][-50:])
        explorer.note("case", tally.json() | {"known": known, "bet": betted, "counted": counted})

    def redraw(self) -> None:
        """Show the explorer's state."""
        explorer = self.explorer
        last, self._last = self._last, explorer.case_sizes
        if last not in (None, self._last) and explorer.bet:
            explorer.bet = ""  # a bet is for one case; this draws everything again
            return
        self.redraw_sizes()
        self.redraw_device()
        allowed = explorer.case.names if explorer.cutoffs else ()
        options = [("choose ...", ""), *((name, name) for name in allowed)]
        with self.panel.writing():
            self.rows.value = float(explorer.batch)
            for i, box in enumerate(self.cuts):
                box.layout.display = "" if i < len(explorer.cutoffs) else "none"
                box.value = self._cutoff(i)
            self.task.value, self.exact.value = explorer.task, explorer.exact
            if list(self.bet.options) != options:
                self.bet.options = options
            self.bet.value = explorer.bet if explorer.bet in allowed else ""
        self.figure.push(*af.case_data(*self.state()))
        self.words.say(self.sentence())
        self.estimate.say(self.estimated())
        bets = explorer.recall("bets") or []
        won = sum(bool(one[0]) for one in bets)
        self.score.say(f"Your bets so far: {won} of {len(bets)} right." if bets else "")

    def sentence(self) -> str:
        """What the figure shows."""
        times, known = self.found()
        if self.shown.value in self.recorded:
            provenance = self.recorded[self.shown.value].provenance
            one = self.recorded[self.shown.value].sizes
            shown = {n: t for n, t in times.items() if n in self.state()[0]}
            return (
                f"RECORDED, not this machine. V = {one['V']:,}, d = {one['d']}, hidden states at once: {one['rows']}; "
                f"the boxes above set your own measurement. {case_sentence(shown, known, '', '')} {provenance}"
            )
        last: Mapping[str, Any] = self.explorer.recall("case") or {}
        made = f"{last['device']}, {last['date'][:10]}." if times else ""
        told = case_sentence(
            times, known, last.get("bet", "") if times else "", made, counted=last.get("counted", True)
        )
        return f"Measured here. {told}" if times else told

    def estimated(self) -> str:
        """What it needs, and what is timed in place of trained models."""
        explorer = self.explorer
        needed = explorer.case.bytes(len(explorer.vocabulary)) / 2**30 if explorer.cutoffs else 0.0
        return (
            f"{device_text(explorer.device)}. Memory: about {needed:,.2g} GiB. The weights are random: SVD-softmax "
            f"takes W = d/8 and N = V/32; experts know {100 * explorer.expert_share:.0f} % of V. {busy_text()}"
        ).strip()


def case_panel(explorer: AlternativesExplorer, *, slot: str = "case") -> w.VBox:
    """A case: the reader bets on a method, then all that answer it are timed in turns."""
    case = _Case(explorer)
    box = case.box()
    explorer.attach(slot, safely(case.panel, case.redraw), box)
    return box
