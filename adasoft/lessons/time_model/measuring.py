"""What every panel that measures has: boxes for sizes, devices and seconds, an estimate, and what is kept."""

from __future__ import annotations

import html
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import ipywidgets as w

from ..kit.parts import WIDE, Line, Panel, Stopped
from ..kit.plots import seconds_text
from ..kit.views import LOCK
from ..kit.widgets import NumberBox
from .explorer import TimingExplorer
from .timings import Tally, busy_text, devices, rounds_within

#: Seconds that a measurement may take, as offered.
BUDGETS = [("5 seconds", 5.0), ("10 seconds", 10.0), ("30 seconds", 30.0), ("2 minutes", 120.0)]
_SIZES = {"n_words": "words V", "in_features": "hidden size d", "batch": "tokens per step B", "most": "largest k"}


class Result(Line):
    """One bold sentence under a figure, perhaps more in sight, and the rest folded."""

    def say(self, text: str, more: str = "", also: str = "") -> None:
        """Show plain texts; ``also`` stands in sight below the bold one."""
        self.text = text
        bold = f'<div class="adasoft-words" role="status"><b>{html.escape(text)}</b></div>' if text else ""
        rest = f"<div>{html.escape(also)}</div>" if also else ""
        rest += f"<details><summary>More</summary>{html.escape(more)}</details>" if more else ""
        new = bold + (f'<div class="adasoft-words">{rest}</div>' if rest else "")
        if new != self.value:
            self.value = new


def instruction(text: str) -> Line:
    """The line above a panel that says what to do."""
    line = Line()
    line.say(text)
    return line


def folded(title: str, *children: w.Widget) -> w.VBox:
    """Settings that the first look does not need, behind a button."""
    rest = w.VBox(list(children), layout=w.Layout(display="none", width="100%"))
    button = w.ToggleButton(False, description=title, tooltip=title, layout=w.Layout(width="auto"))

    def toggled(change: Any) -> None:
        rest.layout.display = None if change["new"] else "none"

    button.observe(toggled, "value")
    return w.VBox([button, rest], layout=w.Layout(width="100%"))


def size_boxes(
    panel: Panel, explorer: TimingExplorer, names: Sequence[str]
) -> tuple[list[NumberBox], Callable[[], None]]:
    """Number boxes for sizes of the explorer, and the function that shows them again. A refused number goes back."""
    boxes: dict[str, NumberBox] = {}

    def present(name: str) -> int:
        return len(explorer.vocabulary) if name == "n_words" else getattr(explorer, name)  # type: ignore[no-any-return]

    for name in names:
        boxes[name] = NumberBox(description=_SIZES[name])
        act = explorer.take_first_words if name == "n_words" else partial(setattr, explorer, name)
        panel.on_number(boxes[name], act, partial(present, name))

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
        explorer.take_sizes(wanted)
        note.say(text)

    def back() -> None:
        if not mine:
            raise ValueError("these are your sizes: nothing to go back to")
        explorer.take_sizes(mine)
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
        options=BUDGETS, value=10.0, description="measure for", style=WIDE, layout=w.Layout(width="190px")
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


def kept(
    explorer: TimingExplorer,
    key: str,
    tally: Tally,
    work: Callable[[], None],
    note: Callable[[Mapping[str, Any]], None] | None = None,
) -> None:
    """Do the work; what was heard until it ended or was stopped is kept under the key, or by ``note``."""
    note = note or partial(explorer.note, key)
    try:
        work()
    except Stopped:
        if tally.runs:
            note(tally.json())
        raise
    except BaseException:
        with LOCK:
            explorer.version += 1  # what was drawn meanwhile goes
        raise
    note(tally.json())


def estimate_text(one_round: float, budget: float, whose: str, busy: str | None = None) -> str:
    """How long a measurement will take, before it starts; ``busy``: a warning, by default `busy_text`."""
    busy = busy_text() if busy is None else busy
    if not math.isfinite(one_round):
        return f"It ends after about {budget:.0f} s, or after its first round ({whose}). {busy}".strip()
    rounds = rounds_within(one_round, budget)
    seconds = (rounds + 2) * one_round
    text = f"Estimated time: {seconds_text(seconds)} (2 rounds of warm-up, {rounds} timed), predicted by {whose}."
    if "recorded machine" in whose:
        text += " Yours may well need several times as long or as short; Stop keeps what is measured by then."
    if seconds > 1.5 * budget:
        text += f" That is more than {budget:.0f} s: choose smaller sizes, or wait."
    return f"{text} {busy}".strip()
