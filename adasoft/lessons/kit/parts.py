"""Building blocks of the panels: a box that shows its errors, controls in pairs, figures that take no data back.

A panel is made of a :class:`Panel`, its controls (:class:`Pair`, `cuts.cut_picker`), a :class:`LiveFigure` changed by
its ``push``, and a :class:`Line` that says it in words; it is bound to an `Explorer` by
``explorer.attach(slot, safely(panel, redraw), box)``.
"""

from __future__ import annotations

import html
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar, TypeAlias, TypeVar

import ipywidgets as w
import plotly.graph_objects as go
import traitlets as t

from ...cost import Cost
from .costs import COUNTED_MULTIPLICATIONS, COUNTED_WORDS, measured_cost, recorded_costs
from .explorer import Explorer
from .views import LOCK
from .widgets import LiveFigure, NumberBox, PageHelper, Slider

WIDE = {"description_width": "initial"}
T = TypeVar("T")


class Line(w.HTML):  # type: ignore[misc]
    """One paragraph of text under a figure, or one line that says what went wrong."""

    def __init__(self, kind: str = "words") -> None:
        super().__init__("")
        self.kind, self.text = kind, ""

    def say(self, text: str) -> None:
        """Show plain text; nothing for an empty one."""
        self.text = text
        role = "alert" if self.kind == "problem" else "status"
        new = f'<div class="adasoft-{self.kind}" role="{role}">{html.escape(text)}</div>' if text else ""
        if new != self.value:  # type: ignore[has-type]
            self.value = new


#: Under a figure while it shows what is being measured.
UNDER_WAY = "Measuring here, now: the figure shows the medians so far; the sentence follows at the end."


class Panel:
    """A box with a line for problems, and handlers that are dead while the panel itself writes to its controls."""

    def __init__(self) -> None:
        self.problem = Line("problem")
        self._writing = False
        self._refused: NumberBox | None = None

    def box(self, *children: w.Widget) -> w.VBox:
        """The children, the line for problems and the page helper, in one box.

        The line stands below the children unless it is one of them: best beside the controls that may be refused.
        """
        below = [] if self.problem in children else [self.problem]
        box = w.VBox([*children, *below, PageHelper()], layout=w.Layout(width="100%"))
        box.add_class("adasoft")
        return box

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Show an exception in one line, clear the line after success."""
        with LOCK:
            self._refuse(None)
            try:
                yield
                self.problem.say("")
            except Exception as error:
                # a number is refused where it was typed: the line for problems may be out of sight
                self.problem.say("" if self._refused else failure(error))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """While the panel itself writes to its controls, their handlers do nothing."""
        before, self._writing = self._writing, True
        try:
            yield
        finally:
            self._writing = before

    def on_value(self, widget: w.Widget, act: Callable[[Any], None], name: str = "value") -> None:
        """Call ``act(new value)`` when the reader changes a control."""

        def handler(change: Mapping[str, Any]) -> None:
            with LOCK:  # before looking: another thread may be writing
                if not self._writing:
                    with self.guarded():
                        act(change["new"])

        widget.observe(handler, name)

    def on_number(self, box: NumberBox, act: Callable[[Any], None], present: Callable[[], float]) -> None:
        """Call ``act(new value)`` when the reader types a number; a refused one gives way to the ``present`` one."""

        def typed(value: float) -> None:
            try:
                if box.whole and value != round(value):
                    raise ValueError(f"{box.description} should be a whole number, got {value:g}")
                act(round(value) if box.whole else value)
            except Exception as error:
                with self.writing():
                    box.value = present()  # what holds stays visible
                self._refuse(box, failure(error))
                raise

        self.on_value(box, typed)

    def _refuse(self, box: NumberBox | None, why: str = "") -> None:
        if self._refused is not None:
            self._refused.refused = ""
        self._refused = box
        if box is not None:
            box.refused = why

    def button(self, text: str, act: Callable[[], None], tooltip: str = "") -> w.Button:
        """A named button."""
        button = w.Button(description=text, tooltip=tooltip or text, layout=w.Layout(width="auto"))

        def handler(_button: Any) -> None:
            with self.guarded():
                act()

        button.on_click(handler)
        return button


def one_line(error: BaseException) -> str:
    """What an exception says, in one line."""
    return " ".join(str(error).split()) or "no details"


def live(figure: go.Figure, label: str = "figure; the sentence below it says what it shows") -> LiveFigure:
    """The live copy of a complete figure."""
    return LiveFigure(figure, label)


_WAYS_OUT = {
    MemoryError: "choose a smaller d, B or vocabulary",
    Exception: "run this cell again; if that does not help, restart the kernel and run from the top",
}


def failure(error: BaseException) -> str:
    """An exception for the reader: what it says, and its kind and the way out unless it is a refusal, which says so."""
    said = one_line(error) if len(one_line(error)) <= 400 else one_line(error)[:400] + " ..."
    if isinstance(error, (ValueError, t.TraitError)) or type(error) is LookupError:
        return said
    text = f"{type(error).__name__}: {said}"
    if isinstance(error, OSError):
        return text
    way = next(way for kind, way in _WAYS_OUT.items() if isinstance(error, kind) or kind is Exception)
    return f"{text}{'' if text.endswith('.') else '.'} What works: {way}."


#: What a job does, given its tick.
Work: TypeAlias = Callable[[Callable[[float, str], None]], "str | None"]


class Stopped(Exception):
    """The reader pressed Stop, or the panel is gone."""


class Job:
    """Work of some seconds in a thread of its own, with a bar, a line and a stop button.

    The page stays alive meanwhile. One job runs at a time in a kernel, for two would disturb each other's timings.

    Args:
        panel: whose problem line shows a failure.
        text: of the button that starts it.
        work: called in the thread with ``tick(done, text)``, done from 0 to 1; a tick after Stop raises `Stopped`,
            which ``work`` lets through. A text that it returns is shown when it has ended.
        tooltip: of the button.
        queues: pressed while another job runs, it waits for that to end; else it is refused.
    """

    _running = threading.Lock()
    _BUSY = "another measurement is running"
    _under_way = ""
    _turned_away: ClassVar[list[Line]] = []

    def __init__(self, panel: Panel, text: str, work: Work, tooltip: str = "", *, queues: bool = False) -> None:
        self.panel, self._stopped, self._said, self._queues = panel, False, 0.0, queues
        self._work = work
        self.thread: threading.Thread | None = None
        self.start = panel.button(text, self.begin, tooltip)
        self._starts = [self.start]
        self.stop = panel.button("Stop", self._halt, f"Stops: {text}")
        self.stop.disabled = True
        self.bar = w.FloatProgress(0.0, min=0.0, max=1.0, layout=w.Layout(width="200px", visibility="hidden"))
        self.line = Line()
        self.row = row(self.start, self.stop, self.bar)

    def _halt(self) -> None:
        self._stopped = True

    def also(self, text: str, work: Work, tooltip: str = "") -> w.Button:
        """A second button, which starts other work with the same bar, line and Stop."""
        self._starts.append(self.panel.button(text, partial(self.begin, work), tooltip))
        return self._starts[-1]

    @property
    def stopped(self) -> bool:
        """Whether it should end: Stop was pressed, or the panel is gone."""
        return self._stopped or self.bar.comm is None

    def _idle(self, idle: bool) -> None:
        for button in self._starts:
            button.disabled = not idle
        self.stop.disabled = idle

    def begin(self, work: Work | None = None) -> None:
        """Start it, as its button does, or start other work.

        Raises ValueError while another job runs, unless it queues, and while it waits or runs itself.
        """
        idle = self.stop.disabled  # neither waiting nor running
        free = idle and Job._running.acquire(blocking=False)
        if not free and not (idle and self._queues):
            Job._turned_away.append(self.panel.problem)
            raise ValueError(f"{Job._BUSY}, started by “{Job._under_way}”: wait for it, or stop it there")
        self._stopped = False
        self._idle(False)
        if free:
            self._take_over()
        act = self._run if free else self._queue
        self.thread = threading.Thread(target=act, args=(work or self._work,), daemon=True)
        self.thread.start()

    def _take_over(self) -> None:
        Job._under_way = self.start.description
        self.bar.value, self.bar.layout.visibility = 0.0, "visible"

    def _queue(self, work: Work) -> None:
        """Run it once the job under way has ended; Stop takes it out of the queue."""
        self.line.say(f"Waits for “{Job._under_way}” to end ...")
        while not Job._running.acquire(timeout=0.05):
            if self.stopped:
                with LOCK:
                    self._idle(True)
                    self.line.say("Stopped.")
                return
        self._take_over()
        self._run(work)

    def tick(self, done: float, text: str) -> None:
        """Show how far it is; raises `Stopped` if it should end."""
        if self.stopped:
            raise Stopped
        now = time.perf_counter()
        if now - self._said > 0.1:  # more often would disturb what is measured
            self._said, self.bar.value = now, done
            self.line.say(text)

    def _run(self, work: Work) -> None:
        told = ""
        try:
            told = work(self.tick) or ""
            self.line.say("")
        except Stopped:
            self.line.say("Stopped.")
        except Exception as error:
            with LOCK:  # once the press that began it is done, for that clears the line
                self.line.say("")
                self.panel.problem.say(failure(error))
        finally:
            with LOCK:  # whole: a press in between would be turned away for nothing, or lose its Stop
                while Job._turned_away:  # it holds no longer
                    if Job._BUSY in (line := Job._turned_away.pop()).value:
                        line.say("")
                Job._running.release()
                self._idle(True)
                self.bar.layout.visibility = "hidden"
                if told:
                    self.line.say(told)


def readable(panel: Panel, read: Callable[[], list[T]]) -> list[T]:
    """What is recorded; where a file of it is damaged, the panel says which, and nothing recorded is offered."""
    try:
        return read()
    except (ValueError, OSError) as error:
        panel.problem.say(one_line(error))
        return []


def costs_at_hand(counted: Cost, explorer: Explorer) -> dict[str, Cost]:
    """The cost models to choose from: the counting one, this machine's, recorded ones, and the explorer's own."""
    measured = measured_cost()
    costs: dict[str, Cost] = {counted.name: counted}
    for cost in (measured, *recorded_costs(), explorer.cost):
        if cost is not None and cost is not COUNTED_WORDS and cost is not COUNTED_MULTIPLICATIONS:
            costs[cost.name] = cost
    return costs


def row(*children: w.Widget) -> w.HBox:
    """Side by side, wrapped where there is no room."""
    return w.HBox(list(children), layout=w.Layout(flex_flow="row wrap", align_items="center"))


class Pair:
    """A slider and a number box for one value.

    A slider stands at steps; what lies in the same step as the present value is no move of the reader's, else a typed
    15,367 would turn into 15,311.

    Args:
        panel: whose problem line shows a refused number.
        number: the number box, with a ``unit``: the slider gives the name in sight.
        name: of the slider.
        act: called with the new value, and whether it may be clipped to what is possible.
        low, high: least and largest value; ``step``: of the slider, in powers of ten if ``log``.
    """

    def __init__(
        self,
        panel: Panel,
        number: NumberBox,
        name: str,
        act: Callable[[float, bool], None],
        *,
        low: float = 1.0,
        high: float = 10.0,
        step: float = 0.005,
        log: bool = False,
    ) -> None:
        self.panel, self.number, self.step, self.log, self.high = panel, number, step, log, high
        self._shown = low
        limits = {"min": 0.0, "max": math.ceil(math.log10(high) / step) * step} if log else {"min": low, "max": high}
        self.slider = Slider(value=low, step=step, description=name, log=log, **limits)
        self.row = row(self.slider, number)

        def slid(value: float) -> None:
            if self._grid(value) != self._grid(number.value):
                act(min(value, self.high), True)

        panel.on_value(self.slider, slid)
        panel.on_number(number, lambda value: act(value, False), lambda: self._shown)

    def _grid(self, value: float) -> int:
        return round((math.log10(max(value, 1.0)) if self.log else value) / self.step)

    def show(self, value: float, high: float | None = None) -> None:
        """Show a value without acting on it."""
        self._shown = float(value)
        with self.panel.writing():
            if high is not None and high != self.high:
                self.high = high
                self.slider.max = (self._grid(high) + 1) * self.step if self.log else high
            self.slider.value = self.number.value = float(value)


def safely(panel: Panel, redraw: Callable[[], None]) -> Callable[[], None]:
    """A redraw whose failure is shown in the panel instead of being lost, until it succeeds again."""
    told = ""

    def act() -> None:
        nonlocal told
        try:
            redraw()
        except Exception as error:
            told = failure(error)
            panel.problem.say(told)
        else:
            if told and panel.problem.text == told:
                panel.problem.say("")

    return act


def listed(cutoffs: Sequence[int]) -> str:
    """2,000 and 10,000; none."""
    return " and ".join(f"{c:,}" for c in cutoffs) or "none"
