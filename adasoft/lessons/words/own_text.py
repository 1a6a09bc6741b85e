"""The panel of the reader's own words: a file picked, dropped or named by its path, and its curve beside a language."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import ipywidgets as w

from ...vocabulary import Vocabulary, comparable
from ..kit.explorer import Explorer
from ..kit.languages import language_of, load_language, read_words
from ..kit.parts import WIDE, Job, Line, Panel, Stopped, live, one_line, row, safely
from ..kit.readers_code import run_readers_code
from ..kit.views import LOCK
from ..kit.widgets import FileDrop
from . import figures as f
from .widgets import PathBox

#: Fewer different words are no vocabulary to cut.
_FEWEST = 3
_WHAT_WORKS = (
    "What works: a plain text in UTF-8 with a few hundred words, or a file with a word, a tab and a count on each "
    "line; also as .gz, .xz or .bz2."
)


def own_text_panel(explorer: Explorer, *, slot: str = "own text") -> w.VBox:
    """The reader's own words: a file picked or dropped, or a path typed; then their curve beside a language's."""
    panel, words, typical = Panel(), Line(), Line()
    kinds = [("what it looks like", ""), ("a text", "text"), ("a list of words and counts", "counts")]
    kind = w.Dropdown(options=kinds, description="read it as", style=WIDE)
    figure = live(f.languages_figure([]), "figure: coverage of your text and of English; the sentence below it says it")
    cutoffs: tuple[int, ...] = ()  # before the own text, which may have been too short for them

    def read(file: Path, name: str, tick: Callable[[float, str], None]) -> None:
        tick(0.0, f"Reading {name} ...")
        nonlocal cutoffs
        vocabulary = _read(file, name, kind.value or None, job)
        with LOCK:
            cutoffs = cutoffs or explorer.cutoffs
            explorer.vocabulary = vocabulary
            words.say(_told(vocabulary, name))

    def typed(tick: Callable[[float, str], None]) -> None:
        words.say("")
        if not path.value.strip():
            raise ValueError("type the path of a file, or pick one")
        file = Path(path.value.strip()).expanduser()
        if not file.exists():
            raise ValueError(f"there is no file {file}; paths begin in {Path.cwd()}")
        read(file, file.name or str(file), tick)

    def dropped(copy: Path, name: str) -> None:
        words.say("")
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
        nonlocal cutoffs
        explorer.vocabulary = load_language("en")
        if cutoffs:
            explorer.cutoffs, cutoffs = cutoffs, ()
        explorer.use_in_all_lessons()
        words.say("")

    def redraw() -> None:
        english = load_language("en")
        own = language_of(explorer.vocabulary) is None
        if not own:
            figure.push(*f.languages_data([english]))
            typical.say("Your text will be drawn beside this curve of English.")
            return
        mine, whole = comparable([explorer.vocabulary, english])
        figure.push(*f.languages_data([mine, whole]))
        telling = f.typical_words(explorer.vocabulary, english)
        text = f.own_sentence(mine, whole)
        typical.say(text + (f" Most typical of it: {', '.join(telling)}." if telling else ""))

    job = Job(panel, "Read it", typed, "Reads the file at this path")
    path = PathBox(job.begin, panel.guarded, "or its path")
    drop = FileDrop(dropped, panel.guarded)
    back_button = panel.button("Back to English", back)  # never disabled: the focus would be lost with the press
    box = panel.box(row(drop, kind), row(path, job.row, back_button), job.line, words, figure, typical)
    explorer.attach(slot, safely(panel, redraw), box)
    return box


def _read(file: Path, name: str, kind: Literal["text", "counts"] | None, job: Job) -> Vocabulary:
    """The words of a file, read so that Stop ends it. Raises ValueError with the reason and with what works."""
    try:
        vocabulary = run_readers_code(
            lambda _alive: read_words(file, name, kind),
            patience=math.inf,
            stopped=lambda: job.stopped,
            on_stop=Stopped(),
        )
        if len(vocabulary) < _FEWEST:
            raise ValueError(f"it has only {f.many(len(vocabulary), 'different word')}")
    except Stopped:
        raise
    except Exception as error:
        reason = one_line(error).replace(str(file), name).replace("give kind='text'", "read it as a text")
        raise ValueError(f"{name} was not read: {reason.rstrip('.?')}. {_WHAT_WORKS}") from None
    return vocabulary


def _told(vocabulary: Vocabulary, name: str) -> str:
    """What was read."""
    first = " ".join(f"“{word}”" for word in (vocabulary.words or ())[:8])
    size = f"{f.many(int(vocabulary.total), 'token')}, {f.many(len(vocabulary), 'different word')}"
    return (
        f"Read {name}: {size}. This page and all lessons now use it; only the counts are kept. Most frequent: {first}."
    )
