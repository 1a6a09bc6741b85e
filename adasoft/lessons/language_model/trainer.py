"""What the panels share that train: a figure, a table and a sentence of runs in turns, and the buttons."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import ipywidgets as w

from ..kit.done import guess_of
from ..kit.parts import WIDE, Job, Line, Panel, Stopped, live, readable, row
from ..kit.readers_code import run_readers_code
from ..kit.views import LOCK
from ..time_model.panels import now_and_then
from ..time_model.timings import Tick
from . import figures as tf
from . import sentences as said
from .explorer import TrainingExplorer
from .looks import EXAMPLE_LABELS
from .recorded_sessions import recorded_sessions
from .trainings import Request
from .turns import Turns

HERE = "trained here, live"
#: The key by which `predict` keeps the guess of the speed-up.
GUESSED = "live faster"


class Trainer:
    """A figure, a table and a sentence of runs that are trained in turns, with the buttons that train them.

    Args:
        panel: where all is shown.
        explorer: what is read and written.
        key: what the result is kept under.
        labels: of the runs.
        base: the run that others are compared with.
        request: what to train, asked for at each press of Train.
        patience: of code of the reader's that is trained: seconds that it may be silent; None if there is none.
        seconds: the explorer's trait that says how long.
        guessed: the reader has guessed what it will measure, so no recorded answer is shown before it is asked for.
    """

    def __init__(
        self,
        panel: Panel,
        explorer: TrainingExplorer,
        key: str,
        labels: Mapping[str, str],
        base: str,
        request: Callable[[], Request],
        *,
        patience: float | None = None,
        guessed: bool = False,
        seconds: str = "seconds",
    ) -> None:
        self.explorer, self.key, self.labels, self.base, self._request = explorer, key, labels, base, request
        self._patience, self._seconds = patience, seconds
        self._turns: Turns | None = None
        self.sessions = {session.label: session for session in readable(panel, recorded_sessions)}
        self.shown = w.Dropdown(
            options=[HERE, *self.sessions], description="shown", style=WIDE, layout=w.Layout(width="560px")
        )
        if not self.kept() and self.sessions and not guessed:
            self.shown.value = next(iter(self.sessions))  # something to look at before the first training
        self.loss = w.Checkbox(
            False, description="also exp of the training loss", indent=False, layout=w.Layout(width="auto")
        )
        self.panel, self.words, self.table, self.made = panel, Line(), w.HTML(), w.HTML()
        self.figure = live(tf.training_figure(self.kept(), labels))
        told = "Trains what is chosen from the start, in turns"
        self.job = Job(panel, "Train", partial(self._work, True), told, queues=True)
        more = "Trains the models in memory for as many seconds more"
        self.on = self.job.also("Go on", partial(self._work, False), more)
        self.job.row.children = (self.job.start, self.on, self.job.stop, self.job.bar)
        self.buttons = row(self.job.row, self.job.line)
        #: What there is to see, the sentence first: it is in sight beside the buttons.
        self.views: tuple[w.Widget, ...] = (
            self.words,
            self.figure,
            self.table,
            row(self.shown, self.loss),
            self.made,
        )
        for control in (self.shown, self.loss):
            panel.on_value(control, lambda _: self.redraw())

    def kept(self) -> Mapping[str, Any]:
        """What is shown: a recorded session, or what was trained here."""
        if self.shown.value in self.sessions:
            return self.sessions[self.shown.value].kept[self.key]  # type: ignore[no-any-return]
        if self._turns is not None:  # under way
            return self._turns.json()
        return self.explorer.recall(self.key) or {}

    def _work(self, from_start: bool, tick: Tick) -> None:
        with LOCK, self.panel.writing():
            self.shown.value = HERE
        self._redraw()
        show = now_and_then(self._redraw, every=0.5)

        def heard(turns: Turns) -> None:
            self._turns = turns
            if self.shown.value == HERE:
                show()

        def train(alive: Callable[[], None] = lambda: None) -> None:
            def lively(done: float, text: str) -> None:
                alive()
                tick(done, text)

            seconds = float(getattr(self.explorer, self._seconds))
            self.explorer.train(self.key, self._request, seconds, from_start=from_start, tick=lively, heard=heard)

        try:
            if self._patience is None:
                train()
            else:
                run_readers_code(train, patience=self._patience, stopped=lambda: self.job.stopped, on_stop=Stopped())
        finally:
            self._turns = None
            self._redraw()

    def _redraw(self) -> None:
        with LOCK:
            self.redraw()

    def _ticked_of(self, kept: Mapping[str, Any]) -> Mapping[str, Any]:
        """Of a recorded session, the runs that are ticked: eight curves are too many to tell apart."""
        lanes = {name: lane for name, lane in kept["lanes"].items() if name in self.explorer.ticked}
        return {**kept, "lanes": lanes} if lanes else kept

    def _guess_of(self, kept: Mapping[str, Any]) -> float:
        """The reader's guess of the speed-up; nan if it was made for another text, other sizes or cutoffs."""
        found = guess_of(GUESSED, self.explorer.recall)
        if found is None or "yours" not in kept.get("lanes", {}):
            return math.nan
        guess, result = found
        e = self.explorer
        asked = result["question"] if result else said.sizes_text(len(e.vocabulary), e.in_features, e.batch, e.cutoffs)
        trained = kept["corpus"]["V"], kept["d"], kept["B"], kept["lanes"]["yours"]["cutoffs"]
        return guess if said.sizes_text(*trained) in asked else math.nan

    def redraw(self) -> None:
        """Draw everything again."""
        kept = self.kept()
        recorded = self.sessions.get(self.shown.value)
        guess = math.nan if recorded else self._guess_of(kept)
        labels = {name: EXAMPLE_LABELS.get(name, label) if recorded else label for name, label in self.labels.items()}
        drawn = self._ticked_of(kept) if recorded else kept
        self.figure.push(*tf.training_data(drawn, labels, self.loss.value, guess))
        self.table.value = said.training_table(kept, labels, self.base)
        text = said.training_sentence(drawn, labels, self.base, guess)
        if self.loss.value:
            text += f" {said.loss_sentence(drawn, labels)}"
        here = "Trained here:" if self._turns is None else "Training here, now:"
        self.words.say(f"{'Recorded, not this machine:' if recorded else here} {text}")
        about = f"{said.conditions(kept)}." if kept else ""
        about += f" {recorded.provenance}" if recorded else ""
        body = f"<details><summary>Text, sizes and machine</summary>{html.escape(about)}</details>"
        self.made.value = body if about else ""
