"""The panel in which cutoffs are dragged, slid and typed, and the smaller picker of other panels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import ipywidgets as w
import traitlets as t

from ...planning import Plan
from .costs import COUNTED_MULTIPLICATIONS
from .cut_stills import cut_figure as cut_figure
from .cut_widget import CutWidget
from .explorer import FLOOR, MAX_TAILS, WIDTH_RULES, Explorer
from .parts import Pair, Panel, costs_at_hand, listed, safely
from .picker import CutPicker
from .plots import amount_text, percent, times
from .widgets import NumberBox


def cutoff_pair(panel: Panel, explorer: Explorer, i: int, name: str, number_name: str, unit: str = "words") -> Pair:
    """Slider and number box of cutoff i (from 0)."""
    number = NumberBox(description=number_name, unit=unit, width="120px")
    act = lambda value, clip: explorer.set_cutoff(i, round(value), clip=clip)  # noqa: E731
    return Pair(panel, number, name, act, log=True)


def cut_picker(panel: Panel, explorer: Explorer, height: int = 260) -> tuple[CutPicker, Callable[[], None]]:
    """The curve of the words with a handle for each cutoff, and the function that draws it again."""
    picker = CutPicker(height=height)

    def dragged(cuts: Sequence[int]) -> None:
        # both come in one message, so `moved` is already new
        if len(cuts) == len(explorer.cutoffs):
            explorer.set_cutoff(min(picker.moved, len(cuts) - 1), cuts[picker.moved], clip=True)
            explorer.cutoffs = tuple(cuts)

    panel.on_value(picker, dragged, "cuts")

    def redraw() -> None:
        bands = [f"{n} · {percent(p)} of tokens" for n, p in zip(explorer.names, explorer.token_shares, strict=True)]
        with panel.writing():
            picker.show(explorer.vocabulary, explorer.cutoffs, bands)

    return picker, redraw


def plan_text(explorer: Explorer, found: Plan, before: Sequence[int] = ()) -> str:
    """A plan in one or two sentences; ``before``: the reader's cutoffs, which the floor may forbid."""
    if not found.cutoffs:
        return "Planned: no cutoffs, so there is nothing to place. Choose how many you want."
    amount, floor = amount_text(explorer, found.time), f"{100 * found.min_head_share:.0f} %"
    one = found.n_tails == 1
    if found.speedup < 1:
        best = f"the best {'cutoff' if one else f'{found.n_tails} cutoffs'}, {listed(found.cutoffs)},"
        verb = "is" if one else "are"
        more = "more expensive" if explorer.counted else "slower"
        return (
            f"A full softmax is {'cheaper' if explorer.counted else 'faster'} here: take 0 cutoffs. Even {best} {verb} "
            f"{times(1 / found.speedup)} times {more}: {amount}."
        )
    better = "cheaper" if explorer.counted else "faster"
    text = f"Planned: {listed(found.cutoffs)}. {amount}, {times(found.speedup)} times {better} than the full softmax. "
    share = float(explorer.vocabulary.cumulative[before[0]]) if before else 1.0
    if share < found.min_head_share and explorer.seconds_at(before) < found.time:
        return (
            f"{text}None that keeps {floor} of the tokens in the head is {better}; yours had {percent(share)}, and the "
            "words outside it would have to share narrow vectors."
        )
    others = "No other cutoff that keeps" if one else f"No other {found.n_tails} cutoffs that keep"
    return f"{text}{others} {floor} of the tokens in the head {'is' if one else 'are'} {better}."


def _choices(explorer: Explorer, costs: Sequence[str]) -> list[dict[str, Any]]:
    """The settings of a panel, for ``cut_controls.js``."""
    return [
        {"key": "cost", "label": "cost model", "value": explorer.cost.name, "options": [[c, c] for c in costs]},
        {
            "key": "width_rule",
            "label": "width of the tails",
            "value": explorer.width_rule,
            "options": [[rule, rule] for rule in WIDTH_RULES],
        },
        {"key": "in_features", "label": "hidden size d", "value": explorer.in_features},
        {"key": "batch", "label": "tokens per step B", "value": explorer.batch},
    ]


_BUTTONS = [
    {
        "key": "plan",
        "text": "Plan for me",
        "title": "The best cutoffs that keep at least 75 % of the tokens in the head",
    },
    {
        "key": "authors",
        "text": "The authors' cutoffs",
        "title": "What the paper's authors took for about as many words",
    },
    {"key": "reset", "text": "Reset", "title": "Back to the first cutoffs and settings"},
]


class _Cuts:
    """What a cut panel remembers besides the explorer: its sentence, its plan, and what they were about."""

    def __init__(self, explorer: Explorer, panel: Panel, widget: CutWidget, guess: str, guess_in: str) -> None:
        self.explorer, self.panel, self.widget = explorer, panel, widget
        self.guess, self.guess_in = guess, guess_in
        self.costs = costs_at_hand(COUNTED_MULTIPLICATIONS, explorer)
        self.settings = True
        self.note = ""
        self.noted: Any = None
        self.plan: Plan | None = None
        self.planned: Any = None

    def remark(self, text: str) -> None:
        """Say something about the present cutoffs, until something changes."""
        self.note, self.noted = text, (self.explorer.sizes, self.explorer.cutoffs)
        self.redraw()

    def pressed(self, key: str) -> None:
        explorer = self.explorer
        if key == "plan":
            before = explorer.cutoffs
            self.plan = found = explorer.plan_for_me(len(before) or 1, min_head_share=FLOOR)
            self.planned = explorer.sizes
            explorer.cutoffs = found.cutoffs
            self.remark(f"{'' if before else 'With one cutoff. '}{plan_text(explorer, found, before)}")
        elif key == "authors":
            explorer.cutoffs = explorer.paper_cutoffs()[: self.widget.most]
            whose = "The authors used these" if len(explorer.cutoffs) > 1 else "The first cutoff that the authors used"
            self.remark(f"{whose} for a vocabulary of about this size: {listed(explorer.cutoffs)}.")
        elif key == "reset":
            if self.settings:
                explorer.reset_settings()
            explorer.reset()

    def chosen(self, key: str, value: Any) -> None:
        """A setting of the reader's; a refused number is said beside its box."""
        if key == "cost":
            self.explorer.cost = self.costs[value]
        elif key == "width_rule":
            self.explorer.width_rule = value
        elif key in ("in_features", "batch"):
            try:
                if value != round(value):
                    raise ValueError(f"{'d' if key == 'in_features' else 'B'} should be a whole number, got {value:g}")
                setattr(self.explorer, key, round(value))
            except (ValueError, t.TraitError) as error:
                self.widget.send({"kind": "refused", "key": key, "text": str(error)})
            else:
                self.widget.send({"kind": "refused", "key": key, "text": ""})

    def heard(self, _widget: Any, content: Mapping[str, Any], _buffers: Any) -> None:
        """A message of the browser."""
        with self.panel.guarded():
            if content.get("kind") == "press":
                try:
                    self.pressed(str(content.get("key")))
                finally:
                    self.widget.send({"kind": "said", "text": self.note})
            elif content.get("kind") == "choose":
                self.chosen(str(content.get("key")), content.get("value"))

    def placed(self, place: Mapping[str, Any]) -> None:
        """The reader moved a cutoff, or turned to another one."""
        explorer, cutoffs = self.explorer, tuple(int(c) for c in place["cuts"])
        active = max(0, min(int(place["active"]), len(cutoffs) - 1))
        try:
            if cutoffs == explorer.cutoffs:
                explorer.active = active
                return
            with explorer.muted():  # one round of redrawing for both
                explorer.active = active
            explorer.cutoffs = cutoffs
        except Exception:
            self.redraw()  # what holds stays visible
            raise

    def marks(self) -> dict[str, Any]:
        """What the reader guessed, and the plan while it is one of these sizes."""
        guess = self.explorer.recall(f"guess {self.guess}") if self.guess else None
        usable = isinstance(guess, (int, float)) and not isinstance(guess, bool) and 0 < guess < 1e12
        plan = self.plan if self.plan is not None and self.planned == self.explorer.sizes else None
        return {
            "guess": {self.guess_in: guess} if usable else None,
            "plan": list(plan.cutoffs) if plan is not None and plan.cutoffs else None,
        }

    def redraw(self) -> None:
        explorer = self.explorer
        if self.noted != (explorer.sizes, explorer.cutoffs):
            self.note = ""  # it spoke of others
        if explorer.cost.name not in self.costs:
            self.costs[explorer.cost.name] = explorer.cost
        with self.panel.writing():
            choices = _choices(explorer, [*self.costs]) if self.settings else []
            self.widget.follow(explorer, note=self.note, marks=self.marks(), choices=choices)


def cut_panel(
    explorer: Explorer,
    *,
    most: int = MAX_TAILS,
    settings: bool | None = None,
    slot: str = "cuts",
    guess: str = "",
    guess_in: Literal["times", "words"] = "times",
    trace: bool = False,
) -> w.VBox:
    """Cutoffs dragged, slid and typed; shares, words, the time of each cluster and the curve of one cutoff follow.

    It computes in the browser, so that a drag redraws within a frame; the kernel hears of it and moves other panels.

    Args:
        explorer: what it reads and writes.
        most: how many cutoffs can be had, 1 to 5; with 1 the number is not offered.
        settings: offer the cost model, the widths, d and B; by default where more than one cutoff can be had.
        slot: a second panel for one explorer needs another name here.
        guess: the key of a prediction, whose guess is drawn as a cross: as a speed-up or, with ``guess_in="words"``, as
            the first cutoff.
        trace: draw the curve only where the handle has been, so that its bottom is to be found; a plan shows it whole.
    """
    panel, widget = Panel(), CutWidget(most=most, trace=trace, buttons=_BUTTONS)
    cuts = _Cuts(explorer, panel, widget, guess, guess_in)
    cuts.settings = most > 1 if settings is None else settings
    widget.on_msg(cuts.heard)
    panel.on_value(widget, cuts.placed, "place")
    box = panel.box(widget)
    explorer.attach(slot, safely(panel, cuts.redraw), box)
    return box
