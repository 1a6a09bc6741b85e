"""The panels of the lesson on perplexity: stored runs, a text, softmaxes trained live, what they write, an own cell."""

from __future__ import annotations

import html
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets as w

from ...results.short_tables import StoredTable, stored_tables
from ..kit.parts import WIDE, Job, Line, Panel, Stopped, live, one_line, readable, row, safely
from ..kit.readers_code import run_readers_code
from ..kit.views import LOCK, replace
from ..kit.widgets import FileDrop, NumberBox
from ..time_model.timings import Tick, busy_text
from . import sentences as said
from .explorer import TrainingExplorer
from .looks import CELL_LABELS, LABELS
from .own_cell import CELL, cell_maker, check_cell
from .recorded_sessions import recorded_sessions
from .stored_ranks import rank_data, rank_figure, rank_sentence
from .stored_runs import stored_data, stored_figure, stored_sentence, stored_table
from .trainer import Trainer

# ---------------------------------------------------------------------- stored runs


def stored_panel(folder: Path | None = None) -> w.VBox:
    """Stored trainings beside the paper's table. ``folder``: ``data/results`` by default."""
    panel, table, words, ranked, made = Panel(), w.HTML(), Line(), Line(), w.HTML()
    found: dict[str, StoredTable] = {}
    try:
        found = {one.label: one for one in stored_tables(folder)}
    except ValueError as error:
        panel.problem.say(one_line(error))
    shown = w.Dropdown(
        options=list(found) or ["nothing is stored yet"],
        description="stored runs",
        style=WIDE,
        layout=w.Layout(width="560px"),
    )
    figure, ranks = live(stored_figure(found.get(shown.value))), live(rank_figure(found.get(shown.value)))

    def redraw() -> None:
        one = found.get(shown.value)
        figure.push(*stored_data(one))
        table.value = stored_table(one)
        words.say("In words: " + stored_sentence(one))
        ranks.push(*rank_data(one))
        ranked.say("Where the loss differs: " + rank_sentence(one))
        commands = "\n".join(dict.fromkeys(one.commands)) if one else ""
        made.value = (
            f'<details><summary>The commands that made them</summary><pre style="white-space:pre-wrap">'
            f"{html.escape(commands)}</pre></details>"
            if commands
            else ""
        )

    panel.on_value(shown, lambda _: redraw())
    redraw_safely = safely(panel, redraw)
    redraw_safely()
    box = panel.box(shown, figure, words, table, ranks, ranked, made)
    replace("stored", box)
    return box


# ---------------------------------------------------------------------- the text


def text_panel(explorer: TrainingExplorer, *, slot: str = "text") -> w.VBox:
    """The text to train on: the documentation of the installed packages, a path, or a dropped file."""
    panel, card = Panel(), w.HTML()
    path = w.Text(
        description="text",
        placeholder="docs, or the path of a file or folder",
        continuous_update=False,
        style=WIDE,
        layout=w.Layout(width="420px"),
    )
    tokens = NumberBox(description="tokens at most", width="120px")
    panel.on_number(tokens, partial(setattr, explorer, "tokens"), lambda: explorer.tokens)
    panel.on_value(path, lambda value: setattr(explorer, "source", value.strip() or "docs"))

    def read(tick: Tick) -> None:
        explorer.read(tick)

    job = Job(panel, "Read it", read, "Reads the text; its words are then those of all panels of this lesson")

    def back() -> None:
        explorer.source = "docs"

    def dropped(copy: Path, name: str) -> None:
        explorer.drop(copy, name)
        job.begin()

    drop = FileDrop(dropped, panel.guarded)
    back_button = panel.button("Back to the documentation", back, "The documentation of the packages installed here")

    def redraw() -> None:
        with panel.writing():
            tokens.value = float(explorer.tokens)
            path.value = explorer.source
        rows = said.text_rows(explorer.text, explorer.vocabulary.name)
        if explorer.text and explorer.corpus is None:
            again = "press Read it, or train: what you set above is read then"
            rows = {"read last": f"in an earlier session, or with other settings; {again}", **rows}
        left, nowrap = 'style="text-align:left;line-height:1.4"', 'style="white-space:nowrap"'
        cells = "".join(
            f"<tr><th {nowrap}>{html.escape(k)}</th><td {left}>{html.escape(v)}</td></tr>" for k, v in rows.items()
        )
        card.value = f'<table aria-label="the text">{cells}</table>'

    box = panel.box(row(path, tokens), row(drop, back_button), row(job.row, job.line), card)
    explorer.attach(slot, safely(panel, redraw), box)
    return box


# ---------------------------------------------------------------------- training


def _number(panel: Panel, explorer: TrainingExplorer, name: str, text: str) -> NumberBox:
    box = NumberBox(description=text)
    panel.on_number(box, partial(setattr, explorer, name), partial(getattr, explorer, name))
    return box


def training_panel(explorer: TrainingExplorer, *, slot: str = "training") -> w.VBox:
    """Softmaxes trained in turns on the text: perplexity against seconds and tokens as they train, and a table."""
    panel, estimate = Panel(), Line()
    trainer = Trainer(panel, explorer, "training", LABELS, "full", explorer.request)
    ticks = {
        name: w.Checkbox(description=label, indent=False, layout=w.Layout(width="auto", margin="0 16px 0 0"))
        for name, label in LABELS.items()
    }

    def ticked(_value: Any) -> None:
        explorer.ticked = tuple(name for name, box in ticks.items() if box.value)

    for tick in ticks.values():
        panel.on_value(tick, ticked)
    names = {"seconds": "seconds for each", "in_features": "hidden size d", "seed": "seed"}
    numbers = {name: _number(panel, explorer, name, text) for name, text in names.items()}

    def redraw() -> None:
        with panel.writing():
            for name, box in ticks.items():
                box.value = name in explorer.ticked
            for name, number in numbers.items():
                number.value = float(getattr(explorer, name))
        n, seconds = len(explorer.ticked), explorer.seconds
        yours = f" Yours: {said.cutoffs_text(explorer.cutoffs)}." if "yours" in explorer.ticked else ""
        estimate.say(
            f"{n} softmax{'es' * (n != 1)}, {seconds} s each: about {_duration(1.4 * n * seconds)} with the "
            f"perplexities in between, which no clock counts.{yours} {busy_text()}".strip()
        )
        trainer.redraw()

    box = panel.box(
        row(*ticks.values()),
        row(*numbers.values()),
        trainer.buttons,
        estimate,
        row(trainer.shown, trainer.loss),
        trainer.figure,
        trainer.words,
        trainer.table,
    )
    explorer.attach(slot, safely(panel, redraw), box)
    return box


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} minutes"


# ---------------------------------------------------------------------- what the models write


def writing_panel(explorer: TrainingExplorer, *, slot: str = "writing") -> w.VBox:
    """Words drawn from each of the trained models, after a word of the reader's."""
    panel, text, words = Panel(), w.HTML(), Line()
    last = explorer.recall("written") or {"start": "the", "seed": 1}
    start = w.Text(
        last["start"], description="first word", continuous_update=False, style=WIDE, layout=w.Layout(width="240px")
    )
    seed, n = NumberBox(description="seed", value=last["seed"]), NumberBox(description="words of each", value=40)
    chosen = {"seed": last["seed"], "n": 40}

    def take(name: str, called: str, low: int, high: int, value: int) -> None:
        if not low <= value <= high:
            raise ValueError(f"{called} should be from {low:,} to {high:,}, got {value:,}")
        chosen[name] = value

    panel.on_number(seed, partial(take, "seed", "seed", 0, 2**31 - 1), lambda: chosen["seed"])
    panel.on_number(n, partial(take, "n", "words of each", 1, 1000), lambda: chosen["n"])

    def write(tick: Tick) -> None:
        turns = explorer.trained.get("training")
        if turns is None:
            raise ValueError("no model is in memory (they end with the kernel): train one above first")
        first = start.value.strip()
        with LOCK:
            how = dict(chosen)
        made = turns.write(how["n"], start=first or None, seed=how["seed"], tick=tick)
        explorer.note("written", {"start": first, "seed": how["seed"], "words": made})

    job = Job(panel, "Write", write, "Draws words from every model that was trained above")
    sessions = readable(panel, recorded_sessions)

    def redraw() -> None:
        recorded = None if explorer.recall("written") else next(iter(sessions), None)
        written = recorded.kept["written"] if recorded else explorer.recall("written")
        if not written:
            text.value = ""
            words.say("In words: nothing written yet. Train above, then press Write.")
            return
        text.value = "".join(
            f"<p><b>{html.escape(name)}</b><br>{html.escape(line)}</p>"
            for name, line in said.written_paragraphs(written, LABELS).items()
        )
        whose = f"RECORDED, not this machine. {recorded.provenance} " if recorded else "In words: "
        words.say(
            f"{whose}After “{written['start']}”, each model drew its words one after the other from its whole "
            f"distribution, with seed {written['seed']}. ↵ stands for the end of a line."
        )

    box = panel.box(row(start, seed, n), row(job.row, job.line), text, words)
    explorer.attach(slot, safely(panel, redraw), box)
    return box


# ---------------------------------------------------------------------- a cell of the reader's own


def own_cell_panel(
    explorer: TrainingExplorer,
    cell: Callable[[int, int], Any] | None = None,
    *,
    slot: str = "own cell",
    patience: float = 20.0,
) -> w.VBox:
    """A cell of the reader's own beside an LSTM, both with the adaptive softmax and the reader's cutoffs.

    Args:
        explorer: what it reads and writes.
        cell: made as ``cell(e, d)``; it, or what it returns, maps ``(x (b, e), state)`` to ``(output (b, d), state)``.
            None: what the box of code says.
        slot: a second panel for one explorer needs another name here.
        patience: seconds after which code that does not come back is stopped; in training, three times as many.
    """
    panel = Panel()
    style = w.HTML("<style>.adasoft-code textarea {font-family: var(--jp-code-font-family); white-space: pre}</style>")

    def maker() -> Callable[[int, int], Any]:
        return cell if cell is not None else cell_maker(top.value)

    def check(tick: Tick) -> str:
        tick(0.0, "running two steps of it ...")
        d = explorer.in_features
        n = run_readers_code(
            lambda _alive: check_cell(maker(), d),
            patience=patience,
            stopped=lambda: trainer.job.stopped,
            on_stop=Stopped(),
        )
        return f"Two steps of it ran: the shapes fit, {n:,} numbers to learn."

    def typed(value: str) -> None:
        explorer.remember("cell code", value)
        trainer.job.line.say("")

    def reset() -> None:
        with panel.writing():
            top.value = CELL
        typed(CELL)

    trainer = Trainer(
        panel,
        explorer,
        "own cell",
        CELL_LABELS,
        "lstm",
        lambda: explorer.cell_request(maker()),
        patience=3 * patience,
    )
    buttons = [trainer.job.also("Check the cell", check, "Runs it for two steps")]
    if cell is None:
        top = w.Textarea(
            explorer.recall("cell code") or CELL,
            description="code of your cell",
            rows=15,
            style=WIDE,
            continuous_update=False,
            layout=w.Layout(width="100%", max_width="760px"),
        )
        top.add_class("adasoft-code")
        panel.on_value(top, typed)
        buttons.append(panel.button("Back to the example", reset))
    else:
        top = w.HTML(f"Your cell: <code>{html.escape(getattr(cell, '__name__', repr(cell)))}</code>")
    box = panel.box(
        top,
        style,
        row(*buttons),
        trainer.buttons,
        row(trainer.shown, trainer.loss),
        trainer.figure,
        trainer.words,
        trainer.table,
    )
    explorer.attach(slot, safely(panel, trainer.redraw), box)
    return box
