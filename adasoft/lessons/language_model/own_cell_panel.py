"""The panel for a recurrent cell of the reader's own: written, checked, and trained beside an LSTM."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import ipywidgets as w

from ..kit.parts import WIDE, Line, Panel, Stopped, row, safely
from ..kit.readers_code import run_readers_code
from ..time_model.timings import Tick
from .explorer import TrainingExplorer
from .looks import CELL_LABELS
from .own_cell import CELL, cell_maker, check_cell
from .panels import duration, number_of, reading_first
from .trainer import Trainer

#: The name of the box above it: the code needs the width.
_STYLE = """<style>
.adasoft-code { flex-direction: column; align-items: stretch; }
.adasoft-code > label { align-self: flex-start; width: auto; }
.adasoft-code textarea { box-sizing: border-box; width: 100%; min-width: 0; white-space: pre;
  font: 12px/1.4 var(--jp-code-font-family); }
.adasoft-code textarea:focus-visible { outline: 2px solid var(--jp-brand-color1, #1976d2); outline-offset: 1px; }
</style>"""


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
    style = w.HTML(_STYLE)

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
        seconds="cell_seconds",
    )
    buttons = [trainer.job.also("Check the cell", check, "Runs it for two steps")]
    seconds, estimate = number_of(panel, explorer, "cell_seconds", "seconds for each"), Line()
    if cell is None:
        top = w.Textarea(
            explorer.recall("cell code") or CELL,
            description="code of your cell",
            rows=15,
            style=WIDE,
            continuous_update=False,
            layout=w.Layout(width="calc(100% - 8px)", max_width="760px"),
        )
        top.add_class("adasoft-code")
        panel.on_value(top, typed)
        buttons.append(panel.button("Back to the example", reset))
    else:
        top = w.HTML(f"Your cell: <code>{html.escape(getattr(cell, '__name__', repr(cell)))}</code>")
    controls = row(*buttons, seconds, trainer.buttons)
    box = panel.box(top, style, controls, estimate, panel.problem, *trainer.views)

    def redraw() -> None:
        with panel.writing():
            seconds.value = float(explorer.cell_seconds)
        estimate.say(
            f"An LSTM and your cell, {explorer.cell_seconds} s each: about {duration(2.8 * explorer.cell_seconds)}."
            f"{reading_first(explorer)} A cell that is silent for {3 * patience:g} s is stopped."
        )
        trainer.redraw()

    explorer.attach(slot, safely(panel, redraw), box)
    return box
