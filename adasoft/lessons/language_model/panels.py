"""The panels of the lesson on perplexity that read a text and train on it."""

from __future__ import annotations

import html
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets as w

from ..kit.parts import WIDE, Job, Line, Panel, row, safely
from ..kit.widgets import FileDrop, NumberBox
from ..time_model.timings import Tick, busy_text
from . import sentences as said
from .explorer import TrainingExplorer
from .looks import LABELS
from .trainer import Trainer

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

    told = "Reads the text; its words are then those of all panels of this lesson"
    job = Job(panel, "Read it", read, told, queues=True)

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

    box = panel.box(row(path, tokens), row(drop, back_button), row(job.row, job.line), panel.problem, card)
    explorer.attach(slot, safely(panel, redraw), box)
    return box


# ---------------------------------------------------------------------- training


def number_of(panel: Panel, explorer: TrainingExplorer, name: str, text: str) -> NumberBox:
    """A box for a number of the explorer's."""
    box = NumberBox(description=text)
    panel.on_number(box, partial(setattr, explorer, name), partial(getattr, explorer, name))
    return box


def training_panel(explorer: TrainingExplorer, *, slot: str = "training") -> w.VBox:
    """Softmaxes trained in turns on the text: perplexity against seconds and tokens as they train, and a table."""
    panel, estimate = Panel(), Line()
    trainer = Trainer(panel, explorer, "training", LABELS, "full", explorer.request, guessed=True)
    ticks = {
        name: w.Checkbox(description=label, indent=False, layout=w.Layout(width="auto", margin="0 16px 0 0"))
        for name, label in LABELS.items()
    }

    def ticked(_value: Any) -> None:
        explorer.ticked = tuple(name for name, box in ticks.items() if box.value)

    for tick in ticks.values():
        panel.on_value(tick, ticked)
    names = {"seconds": "seconds for each", "in_features": "hidden size d", "seed": "seed"}
    numbers = {name: number_of(panel, explorer, name, text) for name, text in names.items()}

    def redraw() -> None:
        with panel.writing():
            for name, box in ticks.items():
                box.value = name in explorer.ticked
            for name, number in numbers.items():
                number.value = float(getattr(explorer, name))
        n, seconds = len(explorer.ticked), explorer.seconds
        yours = f" Yours: {said.cutoffs_text(explorer.cutoffs)}." if "yours" in explorer.ticked else ""
        estimate.say(
            f"{n} softmax{'es' * (n != 1)}, {seconds} s each: about {duration(1.4 * n * seconds)} in all."
            f"{reading_first(explorer)}{yours} {busy_text()}".strip()
        )
        trainer.redraw()

    controls = (row(*ticks.values()), row(*numbers.values(), trainer.buttons), estimate)
    box = panel.box(*controls, panel.problem, *trainer.views)
    explorer.attach(slot, safely(panel, redraw), box)
    return box


def duration(seconds: float) -> str:
    """34 s; 3 minutes."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} minutes"


def reading_first(explorer: TrainingExplorer) -> str:
    """What is to be added to an estimate while the text is not read."""
    if explorer.corpus is not None:
        return ""
    return " Before that the text is read" + (", a minute or two the first time." if explorer.source == "docs" else ".")
