"""The panels of the notebooks: widgets around one `Explorer`.

Every function returns a widget. A panel shown again for the same explorer (its cell run again) replaces the old one. An
error in a callback is shown in one line under the controls, for JupyterLab would hide it.
"""

from __future__ import annotations

import html
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as w
import numpy as np
import plotly.graph_objects as go
import traitlets as t

from ..cost import Cost, MeasuredCost, cpu_name
from ..partition import Plan, two_clusters
from ..vocabulary import Vocabulary
from . import figures as f
from .picker import CutPicker
from .state import (
    COUNTED_MULTIPLICATIONS,
    COUNTED_WORDS,
    LANGUAGES,
    LOCK,
    MAX_TAILS,
    WIDTH_RULES,
    Explorer,
    load_language,
    measured_cost,
)

_WIDE = {"description_width": "initial"}


class _PageHelper(anywidget.AnyWidget):  # type: ignore[misc]
    """Invisible: fits responsive figures to their cell, gives slider handles their names, text the theme's colour."""

    _esm = """
    let hooked = false;
    function names() {
      for (const s of document.querySelectorAll('.adasoft .widget-slider')) {
        const name = s.querySelector('.widget-label')?.textContent;
        for (const h of s.querySelectorAll('.noUi-handle')) if (name) h.setAttribute('aria-label', name);
      }
    }
    function hook() {                  // once per page; FigureWidget fires this event after its first draw
      if (hooked) return; hooked = true;
      document.addEventListener('plotlywidget-after-render', () => window.dispatchEvent(new Event('resize')));
    }
    export default {
      initialize() { hook(); },
      render({ el }) {
        el.style.display = 'none'; hook();
        const kick = () => { window.dispatchEvent(new Event('resize')); names(); };
        kick(); const timers = [300, 1500, 4000].map(ms => setTimeout(kick, ms));
        return () => timers.forEach(clearTimeout);
      } }"""
    _css = """
    .adasoft .js-plotly-plot text:not(.hovertext text) { fill: var(--jp-content-font-color1, #444) !important; }
    .adasoft .adasoft-words { line-height: 1.45; }
    .adasoft .adasoft-words, .adasoft .adasoft-words * { color: var(--jp-content-font-color1); }
    .adasoft .adasoft-problem:not(:empty) { border-left: 4px solid var(--jp-error-color1, #c00); padding-left: 8px; }
    .adasoft table { border-collapse: collapse; font-size: 12px; }
    .adasoft td, .adasoft th { padding: 3px 10px; text-align: right; border-bottom: 1px solid var(--jp-border-color2); }
    .adasoft td:first-child, .adasoft th:first-child { text-align: left; }
    .adasoft .widget-html-content { white-space: normal; }
    """


class _Line(w.HTML):  # type: ignore[misc]
    """One paragraph of text under a figure, or one line that says what went wrong."""

    def __init__(self, kind: str = "words") -> None:
        super().__init__("")
        self._kind = kind

    def say(self, text: str) -> None:
        """Show plain text; nothing for an empty one."""
        role = "alert" if self._kind == "problem" else "status"
        new = f'<div class="adasoft-{self._kind}" role="{role}">{html.escape(text)}</div>' if text else ""
        if new != self.value:  # type: ignore[has-type]
            self.value = new


class _Panel:
    """A box with a line for problems, and handlers that are dead while the panel itself writes to its controls."""

    def __init__(self) -> None:
        self.problem = _Line("problem")
        self._writing = False

    def box(self, *children: w.Widget) -> w.VBox:
        box = w.VBox([*children, self.problem, _PageHelper()], layout=w.Layout(width="100%"))
        box.add_class("adasoft")
        return box

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Show an exception in one line, clear the line after success."""
        with LOCK:
            try:
                yield
                self.problem.say("")
            except Exception as error:
                self.problem.say(f"{type(error).__name__}: {_one_line(error)}")

    @contextmanager
    def writing(self) -> Iterator[None]:
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

    def button(self, text: str, act: Callable[[], None], tooltip: str = "") -> w.Button:
        """A named button."""
        button = w.Button(description=text, tooltip=tooltip or text, layout=w.Layout(width="auto"))

        def handler(_button: Any) -> None:
            with self.guarded():
                act()

        button.on_click(handler)
        return button


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or "no details"


class _Figure(go.FigureWidget):  # type: ignore[misc]
    """A FigureWidget that takes no data back from the browser.

    The browser reports how its drawing differs from the data; if newer data came meanwhile, plotly 7.1 takes that for
    an edit, fails on arrays and drops lists. Nothing here is edited in the browser.
    """

    @t.observe("_js2py_traceDeltas")  # type: ignore[misc]
    def _handler_js2py_traceDeltas(self, change: Any) -> None:
        self._trace_edit_in_process = False
        if change["new"]:
            self._js2py_traceDeltas = None

    @t.observe("_js2py_layoutDelta")  # type: ignore[misc]
    def _handler_js2py_layoutDelta(self, change: Any) -> None:
        self._layout_edit_in_process = False
        if change["new"]:
            self._js2py_layoutDelta = None


def _live(figure: go.Figure) -> _Figure:
    """The live copy of a complete figure (never fill a FigureWidget before it is shown)."""
    widget = _Figure(figure)
    widget._config = {"responsive": True, "displayModeBar": False}
    return widget


def _costs(counted: Cost, explorer: Explorer) -> dict[str, Cost]:
    """What can be asked for a price: the counting model, the timings at hand, and whatever the explorer holds."""
    measured = measured_cost()
    costs: dict[str, Cost] = {counted.name: counted}
    for cost in (measured, explorer.cost):
        if cost is not None and cost is not COUNTED_WORDS and cost is not COUNTED_MULTIPLICATIONS:
            costs[cost.name] = cost
    return costs


def _row(*children: w.Widget) -> w.HBox:
    return w.HBox(list(children), layout=w.Layout(flex_flow="row wrap", align_items="center"))


class _Pair:
    """A slider and a number box for one value; slider handles have no name of their own, number boxes have.

    The browser's slider snaps to its steps and sends the snapped value back: what lies in the same step as the present
    value is no move of the reader's, else a typed 15,367 would turn into 15,311.

    Args:
        panel: whose problem line shows a refused number.
        number: the number box.
        name: of the slider.
        act: called with the new value, and whether it may be clipped to what is possible.
        high: largest value; ``step``: of the slider, in powers of ten if ``log``.
    """

    def __init__(
        self, panel: _Panel, number: w.Widget, name: str, act: Callable[[float, bool], None], *,
        low: float = 1.0, high: float = 10.0, step: float = 0.005, log: bool = False,
    ) -> None:  # fmt: skip
        self.panel, self.number, self.step, self.log, self.high = panel, number, step, log, high
        kind = w.FloatLogSlider if log else w.FloatSlider
        limits = {"min": 0.0, "max": self._grid(high) * step} if log else {"min": low, "max": high}
        self.slider = kind(value=low, step=step, description=name, readout=False, style=_WIDE, **limits)
        self.row = _row(self.slider, number)

        def slid(value: float) -> None:
            if self._grid(value) != self._grid(number.value):
                act(min(value, self.high), True)

        def typed(value: float) -> None:
            try:
                act(value, False)
            except Exception:
                self.show(self._shown)  # what holds stays visible
                raise

        panel.on_value(self.slider, slid)
        panel.on_value(number, typed)

    def _grid(self, value: float) -> int:
        return round((math.log10(max(value, 1.0)) if self.log else value) / self.step)

    def show(self, value: float, high: float | None = None) -> None:
        """Show a value without acting on it."""
        self._shown = value
        with self.panel.writing():
            if high is not None and high != self.high:
                self.high = high
                self.slider.max = (self._grid(high) + 1) * self.step if self.log else high
            at = min(self._grid(value) * self.step, self.slider.max)
            self.slider.value = 10**at if self.log else min(value, self.slider.max)
            self.number.value = value


def _cutoff_pair(panel: _Panel, explorer: Explorer, i: int, name: str, number_name: str) -> _Pair:
    number = w.IntText(1, description=number_name, style=_WIDE, layout=w.Layout(width="260px"))
    act = lambda value, clip: explorer.set_cutoff(i, round(value), clip=clip)  # noqa: E731
    return _Pair(panel, number, name, act, log=True)


# ---------------------------------------------------------------------- cutoffs


def _picker(panel: _Panel, explorer: Explorer, height: int = 260) -> tuple[CutPicker, Callable[[], None]]:
    picker = CutPicker(height=height)

    def dragged(cuts: Sequence[int]) -> None:
        # both come in one message, so `moved` is already new
        if len(cuts) == len(explorer.cutoffs):
            explorer.set_cutoff(min(picker.moved, len(cuts) - 1), cuts[picker.moved], clip=True)
            explorer.cutoffs = tuple(cuts)

    panel.on_value(picker, dragged, "cuts")

    def redraw() -> None:
        bands = [f"{n} · {f.percent(p)} of tokens" for n, p in zip(explorer.names, explorer.token_shares, strict=True)]
        with panel.writing():
            picker.show(explorer.vocabulary, explorer.cutoffs, bands)

    return picker, redraw


def cut_panel(explorer: Explorer, *, most: int = MAX_TAILS, settings: bool = True, slot: str = "cuts") -> w.VBox:
    """Cutoffs dragged on the plot, slid and typed; shares, cost per cluster and total follow.

    Args:
        explorer: what it reads and writes.
        most: how many cutoffs can be had, 1 to 5; with 1 the number is not offered.
        settings: offer the cost model, the widths, d and B.
        slot: a second panel for one explorer needs another name here.
    """
    panel = _Panel()
    picker, redraw_picker = _picker(panel, explorer)
    figure, words = _live(f.cut_figure(explorer)), _Line()
    names = [f"cutoff {i + 1}" for i in range(most)]
    pairs = [_cutoff_pair(panel, explorer, i, name, f"{name}, words") for i, name in enumerate(names)]

    n_tails = w.Dropdown(options=list(range(most + 1)), description="number of cutoffs", style=_WIDE,
                         layout=w.Layout(width="190px"))  # fmt: skip
    costs = _costs(COUNTED_MULTIPLICATIONS, explorer)
    cost = w.Dropdown(options=list(costs), description="cost model", style=_WIDE, layout=w.Layout(width="430px"))
    widths = w.Dropdown(options=list(WIDTH_RULES), description="width of the tails", style=_WIDE,
                        layout=w.Layout(width="270px"))  # fmt: skip
    d = w.IntText(description="hidden size d", style=_WIDE, layout=w.Layout(width="170px"))
    batch = w.IntText(description="tokens per step B", style=_WIDE, layout=w.Layout(width="200px"))
    panel.on_value(n_tails, explorer.set_n_tails)
    panel.on_value(cost, lambda name: setattr(explorer, "cost", costs[name]))
    panel.on_value(widths, lambda name: setattr(explorer, "width_rule", name))

    def size(name: str, box: w.IntText) -> Callable[[int], None]:
        def act(value: int) -> None:
            try:
                setattr(explorer, name, value)
            except Exception:
                with panel.writing():
                    box.value = getattr(explorer, name)
                raise

        return act

    panel.on_value(d, size("in_features", d))
    panel.on_value(batch, size("batch", batch))
    note = _Line()

    def plan_it() -> None:
        found = explorer.plan_for_me()
        explorer.cutoffs = found.cutoffs
        note.say(plan_text(explorer, found))

    def paper() -> None:
        explorer.cutoffs = explorer.paper_cutoffs()[:most]
        note.say(f"The authors took these for a vocabulary of about this size: {_list(explorer.cutoffs)}.")

    def reset() -> None:
        explorer.reset()
        note.say("")

    buttons = _row(
        panel.button("Plan for me", plan_it, "The exact best cutoffs, with at least 75 % of the tokens in the head"),
        panel.button("The authors' cutoffs", paper),
        panel.button("Reset", reset, "Back to the first cutoffs"),
    )

    def redraw() -> None:
        redraw_picker()
        if explorer.cost.name not in costs:
            costs[explorer.cost.name] = explorer.cost
        for i, pair in enumerate(pairs):
            pair.row.layout.display = None if i < len(explorer.cutoffs) else "none"
            if i < len(explorer.cutoffs):
                pair.show(explorer.cutoffs[i], len(explorer.vocabulary) - 1)
        with panel.writing():
            if cost.options != tuple(costs):
                cost.options = tuple(costs)
            n_tails.value = len(explorer.cutoffs) if len(explorer.cutoffs) <= most else None
            cost.value, widths.value = explorer.cost.name, explorer.width_rule
            d.value, batch.value = explorer.in_features, explorer.batch
        f.push(figure, *f.cut_data(explorer))
        words.say("In words: " + f.cut_sentence(explorer))

    settings_rows = [_row(cost, widths), _row(d, batch)] if settings else []
    first = [_row(n_tails, buttons)] if most > 1 else [buttons]
    box = panel.box(picker, *(pair.row for pair in pairs), *first, *settings_rows, note, figure, words)
    explorer.attach(slot, _shown(panel, redraw), box)
    return box


def _shown(panel: _Panel, redraw: Callable[[], None]) -> Callable[[], None]:
    """A redraw whose failure is shown in the panel instead of being lost."""

    def act() -> None:
        try:
            redraw()
        except Exception as error:
            panel.problem.say(f"{type(error).__name__}: {_one_line(error)}")

    return act


def _list(cutoffs: Sequence[int]) -> str:
    return " and ".join(f"{c:,}" for c in cutoffs) or "none"


def plan_text(explorer: Explorer, found: Plan) -> str:
    """A plan in one sentence."""
    return (
        f"Planned: {_list(found.cutoffs)} (at least {100 * found.min_head_share:.0f} % of the tokens in the head). "
        f"{f.amount_text(explorer, found.time)}, {found.speedup:,.1f} times less than the full softmax; no other "
        f"{found.n_tails} cutoffs are better under this cost model."
    )


# ---------------------------------------------------------------------- this machine


def machine_panel(explorer: Explorer, *, slot: str = "machine") -> w.VBox:
    """Which processor this is, whose timings the predictions rest on, and a button that times this machine."""
    panel, card = _Panel(), w.HTML()
    lengths = [("10 seconds, rough", 10.0), ("60 seconds", 60.0), ("3 minutes, best", 180.0)]
    seconds = w.Dropdown(options=lengths, value=60.0, description="time for it", style=_WIDE)
    bar = w.FloatProgress(0.0, min=0.0, max=1.0, layout=w.Layout(width="300px", visibility="hidden"))
    step = _Line()

    def tick(done: float, text: str) -> None:
        bar.value = done
        step.say(text)

    def calibrate() -> None:
        # here, because timing needs torch, which takes seconds to load
        from adasoft import calibrate as run

        button.disabled, bar.layout.visibility = True, "visible"
        try:
            tick(0.0, "Timing this machine; leave it alone as far as you can ...")
            cost = run("cpu", seconds=float(seconds.value), progress=tick)
            explorer.cost = measured_cost() or cost
            step.say("Timed. All predictions on this page now rest on this machine.")
        except BaseException:
            step.say("")
            raise
        finally:
            button.disabled, bar.layout.visibility = False, "hidden"

    button = panel.button("Time this machine", calibrate, "Runs matrix products and saves the record")

    def redraw() -> None:
        cores = os.cpu_count() or 1
        rows = {"this machine": f"{cpu_name()}, {cores} logical processor{'s' * (cores > 1)}"}
        cost = explorer.cost
        record = cost.record if isinstance(cost, MeasuredCost) else None
        if record:
            whose = "this machine" if cost.name.startswith("this machine") else "a recorded machine, not this one"
            rows["timings used"] = whose if cost.name.startswith(("this", "recorded")) else cost.name
            rows["timed device"] = f"{record['device']['name']}, {record['threads']} threads, {record['dtype']}"
            rows["date"], rows["torch"] = str(record["date"])[:10], str(record["torch"])
            error = record.get("errors", {}).get("train layers, not fitted", {}).get("median")
            if error is not None:
                rows["error of predictions"] = f"{f.percent(error)} (median, on layers it was not fitted to)"
        elif explorer.counted:
            rows["timings used"] = "none at hand: costs are counted, not timed, until you time this machine"
        else:
            rows["timings used"] = cost.name
        cells = "".join(f"<tr><th>{k}</th><td>{html.escape(v)}</td></tr>" for k, v in rows.items())
        card.value = f'<table aria-label="machine card">{cells}</table>'

    box = panel.box(card, _row(button, seconds, bar), step)
    explorer.attach(slot, _shown(panel, redraw), box)
    return box


# ---------------------------------------------------------------------- words


def _language_box(panel: _Panel, explorer: Explorer) -> tuple[w.Dropdown, Callable[[], None]]:
    options = [(name, code) for code, name in LANGUAGES.items()]
    box = w.Dropdown(options=[*options, ("own text", "")], description="language", style=_WIDE)

    def choose(code: str) -> None:
        if code:
            explorer.vocabulary = load_language(code)

    panel.on_value(box, choose)

    def redraw() -> None:
        codes = [code for code in LANGUAGES if LANGUAGES[code] == explorer.vocabulary.name]
        with panel.writing():
            box.value = codes[0] if codes else ""

    return box, redraw


def coverage_panel(explorer: Explorer, *, slot: str = "coverage") -> w.VBox:
    """A language, its rank-frequency curve with two fitted laws, and the words that a share of the tokens needs."""
    panel = _Panel()
    language, redraw_language = _language_box(panel, explorer)
    state = {"share": 80.0}
    number = w.BoundedFloatText(80.0, min=0.1, max=100.0, step=0.1, description="share of the tokens, %", style=_WIDE,
                                layout=w.Layout(width="240px"))  # fmt: skip
    figure, words = _live(f.coverage_figure(explorer.vocabulary, 0.8)), _Line()

    def redraw() -> None:
        redraw_language()
        pair.show(state["share"])
        f.push(figure, *f.coverage_data(explorer.vocabulary, state["share"] / 100))
        words.say("In words: " + f.coverage_sentence(explorer.vocabulary, state["share"] / 100))

    def set_share(value: float, _clip: bool) -> None:
        state["share"] = float(value)
        redraw()

    pair = _Pair(panel, number, "share, %", set_share, high=100.0, step=0.1)
    box = panel.box(_row(language, pair.row), figure, words)
    explorer.attach(slot, _shown(panel, redraw), box)
    return box


def languages_panel(explorer: Explorer, *, slot: str = "languages") -> w.VBox:
    """Coverage of up to six languages side by side, with a table; the explorer's words come along if they are none."""
    panel = _Panel()
    options = [(name, code) for code, name in LANGUAGES.items()]
    chosen = w.SelectMultiple(options=options, value=("en", "de", "fi"), rows=6, description="languages")
    figure, table, words = _live(f.languages_figure([])), w.HTML(), _Line()

    def redraw() -> None:
        own = [] if explorer.vocabulary.name in LANGUAGES.values() else [explorer.vocabulary]
        codes = list(chosen.value)[: f.MOST_LINES - len(own)]
        vocabularies = [*own, *map(load_language, codes)]
        f.push(figure, *f.languages_data(vocabularies))
        rows = f.languages_table(vocabularies)
        heads = {"name": "words of", "n_classes": "V", "first 2000": "in the first 2,000", "50%": "words for 50 %",
                 "80%": "for 80 %", "95%": "for 95 %", "99%": "for 99 %"}  # fmt: skip
        table.value = (
            f"<table><tr>{''.join(f'<th>{h}</th>' for h in heads.values())}</tr>"
            + "".join(f"<tr>{''.join(f'<td>{_cell(row[k])}</td>' for k in heads)}</tr>" for row in rows)
            + "</table>"
        )
        words.say("In words: " + f.languages_sentence(vocabularies))
        if len(chosen.value) > len(codes):
            raise ValueError(f"{f.MOST_LINES} curves at most: {len(chosen.value) - len(codes)} of your choice left out")

    panel.on_value(chosen, lambda _: redraw())
    note = w.HTML("<small>Several: hold Ctrl (on a Mac: Command), or Shift with the arrow keys.</small>")
    box = panel.box(chosen, note, figure, table, words)
    explorer.attach(slot, _shown(panel, redraw), box)
    return box


def _cell(value: float | int | str) -> str:
    if isinstance(value, str):
        return html.escape(value)
    return f"{value:,}" if isinstance(value, int) else f.percent(value)


def read_words(path: str | os.PathLike[str], name: str | None = None) -> Vocabulary:
    """The words of a text (lowered), or of a file with ``word<TAB>count`` in each line, whichever it looks like."""
    try:
        return Vocabulary.read(path, tokenizer="words", lower=True, name=name)
    except TypeError:  # counts: their reader knows no tokenizer
        return Vocabulary.from_counts_file(path, name=name)


def own_text_panel(explorer: Explorer, *, slot: str = "own text") -> w.VBox:
    """The reader's own words: a file picked or dropped, or a path typed."""
    panel, words = _Panel(), _Line()
    upload = w.FileUpload(description="Pick a file", tooltip="A text, or lines of word<TAB>count")
    path = w.Text(placeholder="a path on this computer, for large files", description="or its path",
                  continuous_update=False, style=_WIDE, layout=w.Layout(width="420px"))  # fmt: skip

    def take(file: str | Path, name: str) -> None:
        try:
            vocabulary = read_words(file, name)
            if len(vocabulary) < 3:
                raise ValueError(f"only {len(vocabulary)} different words")
        except Exception as error:
            reason = _one_line(error).replace(str(file), name)
            raise ValueError(
                f"{name} was not read: {reason}. Way out: a plain text in UTF-8 with a few hundred words, or lines of "
                "word, tab, count; also as .gz, .xz or .bz2."
            ) from None
        explorer.vocabulary = vocabulary
        words.say(
            f"Read {name}: {vocabulary.total:,} tokens, {len(vocabulary):,} different words; all panels now "
            "show it. Most frequent: " + ", ".join((vocabulary.words or ())[:8]) + "."
        )

    def uploaded(files: Sequence[Mapping[str, Any]]) -> None:
        if not files:
            return
        file = files[0]
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "upload"
            copy.write_bytes(bytes(file["content"]))
            take(copy, str(file["name"]))

    def typed(_value: Any = None) -> None:
        if path.value.strip():
            file = Path(path.value.strip()).expanduser()
            take(file, file.name or str(file))

    def back() -> None:
        explorer.vocabulary = load_language("en")
        words.say("")

    panel.on_value(upload, uploaded)
    buttons = (panel.button("Read it", typed), panel.button("Back to English", back))
    note = w.HTML("<small>Above about 7 MB, type the path. Nothing leaves this computer.</small>")
    box = panel.box(_row(upload, path, *buttons), note, words)
    explorer.attach(slot, lambda: None, box)
    return box


# ---------------------------------------------------------------------- the lesson on clusters


def two_clusters_panel(explorer: Explorer, *, slot: str = "two clusters") -> w.VBox:
    """The U-curve of one cutoff, counted or timed, in the root or in leaves."""
    panel = _Panel()
    costs = _costs(COUNTED_WORDS, explorer)
    cost = w.Dropdown(options=list(costs), description="cost model", style=_WIDE, layout=w.Layout(width="430px"))
    pair = _cutoff_pair(panel, explorer, 0, "cut", "words in the first cluster")
    words, shown = _Line(), {"best": False}

    def found() -> Any:
        key = ("two clusters", explorer._sizes)
        return explorer._cached(key, lambda: two_clusters(
            explorer.vocabulary, explorer.in_features, explorer.batch, cost=explorer.cost))  # fmt: skip

    if explorer.cost.name not in costs:
        explorer.cost = COUNTED_WORDS
    figure = _live(f.two_clusters_figure(explorer, found()))

    def redraw() -> None:
        if explorer.cost.name not in costs:
            costs[explorer.cost.name] = explorer.cost
        with panel.writing():
            if cost.options != tuple(costs):
                cost.options = tuple(costs)
            cost.value = explorer.cost.name
        if explorer.cutoffs:
            pair.show(explorer.cutoffs[0], len(explorer.vocabulary) - 1)
        f.push(figure, *f.two_clusters_data(explorer, found()))
        words.say("In words: " + f.two_clusters_sentence(explorer, found(), shown["best"]))

    def reveal() -> None:
        shown["best"] = not shown["best"]
        with figure.batch_update():
            figure.data[4].visible = shown["best"]
        button.description = "Hide the best" if shown["best"] else "Show the best"
        redraw()

    button = panel.button("Show the best", reveal, "Marks the best cut with a star")
    panel.on_value(cost, lambda name: setattr(explorer, "cost", costs[name]))
    box = panel.box(_row(cost, button), pair.row, figure, words)
    explorer.attach(slot, _shown(panel, redraw), box)
    return box


def swap_panel() -> w.VBox:
    """Two clusters as areas: which share belongs to which size?"""
    panel, picture, words = _Panel(), w.HTML(), _Line()

    def pair(name: str, value: float, low: float, high: float, step: float) -> _Pair:
        number = w.BoundedFloatText(value, min=low, max=high, step=step, description=name, style=_WIDE,
                                    layout=w.Layout(width="270px"))  # fmt: skip

        def act(new: float, _clip: bool) -> None:
            new_pair.show(new)
            redraw()

        new_pair = _Pair(panel, number, name, act, low=low, high=high, step=step)
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
        words.say("In words: " + f.swap_sentence(int(a), int(b), p / 100, q / 100))

    def swap() -> None:
        p, q = pairs[2:]
        shares = p.number.value, q.number.value
        q.show(shares[0])
        p.show(shares[1])
        redraw()

    redraw()
    return panel.box(*(pair.row for pair in pairs), _row(panel.button("Swap the shares", swap)), picture, words)


def beat_the_planner(explorer: Explorer, *, slot: str = "game") -> w.VBox:
    """The reader against the exact search, with the same number of cutoffs and the same floor on the head."""
    panel, words, verdict = _Panel(), _Line(), _Line()
    picker, redraw_picker = _picker(panel, explorer)
    best: dict[Any, tuple[float, tuple[int, ...]]] = {}

    def key() -> Any:
        return (*explorer._sizes, len(explorer.cutoffs))

    def redraw() -> None:
        redraw_picker()
        share, seconds = explorer.token_shares[0], explorer.prediction.seconds
        allowed = share >= 0.75
        if allowed and explorer.cutoffs and seconds < best.get(key(), (np.inf, ()))[0]:
            best[key()] = seconds, explorer.cutoffs
        record = best.get(key())
        words.say(
            f"Now: {f.amount_text(explorer, seconds)} at {_list(explorer.cutoffs)}, "
            + f"head {f.percent(share)} of the tokens"
            + ("" if allowed else " - not allowed, the head must hold 75 %")
            + (f". Your best: {f.amount_text(explorer, record[0])} at {_list(record[1])}." if record else ".")
        )
        verdict.say("")

    def compare() -> None:
        record = best.get(key())
        if record is None:
            raise ValueError("no allowed cut yet: move a cutoff so that the head holds at least 75 % of the tokens")
        found = explorer.plan_for_me()
        behind = record[0] / found.time - 1
        if behind < 1e-9:
            text = "A draw: you found the optimum."
        elif behind < 0.02:
            text = f"Within {100 * behind:.2g} %: as good in practice, for the bottom of the curve is flat."
        else:
            text = f"The planner is ahead by {100 * behind:.0f} %."
        verdict.say(f"{text} You: {_list(record[1])}. {plan_text(explorer, found)}")

    box = panel.box(picker, words, _row(panel.button("Compare with the planner", compare)), verdict)
    explorer.attach(slot, _shown(panel, redraw), box)
    return box
