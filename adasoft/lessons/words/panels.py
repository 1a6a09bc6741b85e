"""Panels of the first two lessons: this machine, how unequal words are, languages side by side, the reader's own words.

Every function returns a widget. A panel shown again for the same explorer (its cell run again) replaces the old one.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import ipywidgets as w

from ...cost import MeasuredCost
from ...files import cache_dir, writable_folder
from ...records import cpu_name
from ...vocabulary import comparable
from ..kit.costs import measured_cost
from ..kit.explorer import Explorer
from ..kit.languages import LANGUAGES, language_of, load_language, read_words
from ..kit.parts import (
    WIDE,
    Job,
    Line,
    Pair,
    Panel,
    Stopped,
    live,
    one_line,
    row,
    safely,
)
from ..kit.readers_code import run_readers_code
from ..kit.saved import not_kept
from ..kit.tables import html_table
from ..kit.views import LOCK
from ..kit.widgets import FileDrop, NumberBox
from . import figures as f


def _gpu_in_sight() -> bool:
    """Whether there may be an NVIDIA GPU; told without torch, which takes seconds to load."""
    return Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi") is not None


def machine_panel(explorer: Explorer, *, slot: str = "machine") -> w.VBox:
    """Which processor this is, whose timings the predictions rest on, and a button that times this machine."""
    panel, card, done = Panel(), w.HTML(), Line()
    lengths = [("10 seconds, rough", 10.0), ("60 seconds", 60.0), ("3 minutes, best", 180.0)]
    seconds = w.Dropdown(
        options=lengths, value=60.0, description="time for it", style=WIDE, layout=w.Layout(width="230px")
    )
    device = w.Dropdown(options=["cpu", "cuda"], description="device", style=WIDE, layout=w.Layout(width="150px"))
    device.layout.display = None if _gpu_in_sight() else "none"

    def calibrate(tick: Callable[[float, str], None]) -> None:
        done.say("")
        tick(0.0, "Timing this machine; leave it alone as far as you can ...")
        # here, because timing needs torch, which takes seconds to load
        from ... import calibrate as run

        folder, save = cache_dir() / "machines", True
        try:
            writable_folder(folder)
        except OSError as error:  # better known before minutes of timing than after
            not_kept(folder / "record", error)
            save = False
        cost = run(device.value, seconds=float(seconds.value), progress=tick, save=save)
        if cost.path is None:
            cost.name = f"this machine: {cost.name}"
        with LOCK:
            # a record that is kept is taken as every lesson reads it
            explorer.cost = cost if cost.path is None else measured_cost() or cost
            done.say(
                "Timed. All predictions on this page now rest on this machine"
                + (f", until the kernel ends: {folder} cannot be written." if cost.path is None else ".")
            )

    job = Job(panel, "Time this machine", calibrate, "Runs matrix products and saves the record")

    def redraw() -> None:
        cores = os.cpu_count() or 1
        rows = {"this machine": f"{cpu_name()}, {cores} logical processor{'s' * (cores > 1)}"}
        cost = explorer.cost
        record = cost.record if isinstance(cost, MeasuredCost) else None
        if record:
            rows |= f.record_rows(record, mine=cost.name.startswith("this machine"))
            if not cost.name.startswith(("this", "recorded")):
                rows["timings used"] = cost.name
        elif explorer.counted:
            rows["timings used"] = "none yet: costs are counted, not timed, until you time this machine"
        else:
            rows["timings used"] = cost.name
        card.value = html_table(list(rows.items()), label="machine card")

    forget = panel.button(
        "Forget my choices",
        explorer.forget,
        "In all lessons: words, cutoffs, sizes and measurements go back to the start; timings of this machine stay",
    )
    settings = row(seconds, device, forget)
    box = panel.box(card, settings, row(job.row, job.line), done)
    explorer.attach(slot, safely(panel, redraw), box)
    return box


def _language_box(panel: Panel, explorer: Explorer) -> tuple[w.Dropdown, Callable[[], None]]:
    options = [(name, code) for code, name in LANGUAGES.items()]
    box = w.Dropdown(options=[*options, ("own text", "")], description="language", style=WIDE)

    def choose(code: str) -> None:
        if code:
            explorer.vocabulary = load_language(code)

    panel.on_value(box, choose)

    def redraw() -> None:
        with panel.writing():
            box.value = language_of(explorer.vocabulary) or ""

    return box, redraw


def coverage_panel(explorer: Explorer, *, slot: str = "coverage") -> w.VBox:
    """A language, its rank-frequency curve with two fitted laws, and the words that a share of the tokens needs."""
    panel = Panel()
    language, redraw_language = _language_box(panel, explorer)
    state = {"share": 80.0}
    number = NumberBox(description="share of the tokens, %", unit="%", whole=False)
    figure, words = live(f.coverage_figure(explorer.vocabulary, 0.8)), Line()

    def redraw() -> None:
        redraw_language()
        pair.show(state["share"])
        figure.push(*f.coverage_data(explorer.vocabulary, state["share"] / 100))
        words.say(f.coverage_sentence(explorer.vocabulary, state["share"] / 100))

    def set_share(value: float, _clip: bool) -> None:
        if not 0 < value <= 100:
            raise ValueError(f"the share should be above 0 and at most 100 %, got {value:g} %")
        state["share"] = float(value)
        redraw()

    pair = Pair(panel, number, "share", set_share, high=100.0, step=0.1)
    box = panel.box(row(language, pair.row), figure, words)
    explorer.attach(slot, safely(panel, redraw), box)
    return box


def languages_panel(explorer: Explorer, *, slot: str = "languages") -> w.VBox:
    """Coverage of up to six languages side by side, and of the reader's own words, with a table."""
    panel = Panel()
    options = [(name, code) for code, name in LANGUAGES.items()]
    chosen = w.SelectMultiple(options=options, value=("en", "de", "fi"), rows=6, description="languages")
    figure, table, words = live(f.languages_figure([])), w.HTML(), Line()

    def redraw() -> None:
        own = [explorer.vocabulary] if language_of(explorer.vocabulary) is None else []
        codes = list(chosen.value)[: f.MOST_LINES - len(own)]
        whole = [*own, *map(load_language, codes)]
        vocabularies = comparable(whole)
        figure.push(*f.languages_data(vocabularies))
        table.value = html_table(f.languages_table(vocabularies), list(f.HEADS.values()), label="languages compared")
        cut = any(len(after) < len(before) for after, before in zip(vocabularies, whole, strict=True))
        words.say(f.languages_sentence(vocabularies, cut=cut))
        if len(chosen.value) > len(codes):
            raise ValueError(
                f"at most {f.MOST_LINES} curves fit: {len(chosen.value) - len(codes)} of your choice are left out"
            )

    panel.on_value(chosen, lambda _: redraw())
    note = w.HTML("<small>To choose several, hold Ctrl (Command on a Mac), or press Shift with the arrow keys.</small>")
    box = panel.box(chosen, note, figure, table, words)
    explorer.attach(slot, safely(panel, redraw), box)
    return box


def own_text_panel(explorer: Explorer, *, slot: str = "own text") -> w.VBox:
    """The reader's own words: a file picked or dropped, or a path typed."""
    panel, words = Panel(), Line()
    path = w.Text(
        placeholder="a path on this computer",
        description="or its path",
        continuous_update=False,
        style=WIDE,
        layout=w.Layout(width="420px"),
    )
    kinds = [("what it looks like", ""), ("a text", "text"), ("a list of words and counts", "counts")]
    kind = w.Dropdown(options=kinds, description="read it as", style=WIDE)

    def read(file: Path, name: str, tick: Callable[[float, str], None]) -> None:
        tick(0.0, f"Reading {name} ...")
        try:
            vocabulary = run_readers_code(
                lambda _alive: read_words(file, name, kind.value or None),
                patience=math.inf,
                stopped=lambda: job.stopped,
                on_stop=Stopped(),
            )
            if len(vocabulary) < 3:
                raise ValueError(f"only {len(vocabulary)} different words")
        except Stopped:
            raise
        except Exception as error:
            reason = one_line(error).replace(str(file), name).replace("give kind='text'", "read it as a text")
            raise ValueError(
                f"{name} was not read: {reason}. Way out: a plain text in UTF-8 with a few hundred words, or lines of "
                "word, tab, count; also as .gz, .xz or .bz2."
            ) from None
        with LOCK:
            explorer.vocabulary = vocabulary
            words.say(
                f"Read {name}: {vocabulary.total:,} tokens, {len(vocabulary):,} different words; this page and all "
                "lessons now use it (only the counts are kept). Most frequent: "
                + " ".join(f"“{word}”" for word in (vocabulary.words or ())[:8])
                + "."
            )

    def typed(tick: Callable[[float, str], None]) -> None:
        if not path.value.strip():
            raise ValueError("type the path of a file, or pick one")
        file = Path(path.value.strip()).expanduser()
        read(file, file.name or str(file), tick)

    def dropped(copy: Path, name: str) -> None:
        folder = tempfile.TemporaryDirectory(prefix="adasoft-")  # the copy is gone once this returns
        file = Path(shutil.move(copy, folder.name))

        def read_copy(tick: Callable[[float, str], None]) -> None:
            with folder:
                read(file, name, tick)

        try:
            job.begin(read_copy)
        except ValueError:
            folder.cleanup()
            raise

    def back() -> None:
        explorer.vocabulary = load_language("en")
        explorer.use_in_all_lessons()
        words.say("")

    job = Job(panel, "Read it", typed, "Reads the file at this path")
    drop = FileDrop(dropped, panel.guarded)
    back_button = panel.button("Back to English", back)
    box = panel.box(row(drop, kind), row(path, job.row, back_button), job.line, words)
    explorer.attach(slot, lambda: None, box)
    return box
