"""Language models trained in turns; no widgets.

Every run takes a slice of training, then the next one has its turn, always the one whose own clock is furthest behind:
whatever else the machine does slows all of them alike. Perplexities are taken between the slices; no clock counts them.
"""

from __future__ import annotations

import datetime
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from ...corpora import Corpus
from ...cost import Cost
from ...lm.run import Run
from ...lm.settings import BodyMaker, Partition, Settings
from ...timing import describe
from ..time_model.timings import Tick
from .texts import provenance

#: Seconds of training in a row.
SLICE = 0.25
#: Perplexity is taken after this many steps, and then each time their number has grown by this factor.
FIRST, GROWTH = 8, 1.6
#: Never reached: the reader's seconds end a training.
EPOCHS = 10**6


class Point(NamedTuple):
    """How far a run is at one moment."""

    seconds: float
    """Of its own training."""
    tokens: int
    """Trained on so far."""
    valid: float
    """Perplexity on the validation part."""
    train: float
    """exp of the mean training loss since the point before."""


class Lane:
    """One of the runs, with its points.

    Args:
        name: as in `looks.LABELS`.
        run: at its start.
    """

    def __init__(self, name: str, run: Run) -> None:
        self.name, self.run, self.points = name, run, list[Point]()
        # once: the body may be the reader's, and what is shown while it trains runs no code of theirs
        self._sizes = run.model.n_parameters, sum(p.numel() for p in run.model.softmax.parameters())
        self._steps = run.steps()
        self._mark, self._losses = FIRST, list[float]()

    @property
    def seconds(self) -> float:
        """Of training, by its own clock."""
        return self.run.position.seconds

    def advance(self, seconds: float) -> None:
        """Train for so many seconds more, at least one step.

        Raises ValueError if the loss is no longer finite.
        """
        until = self.seconds + seconds
        try:
            while True:
                progress = next(self._steps)
                self._losses.append(progress.loss)
                if len(self.run.losses) >= self._mark:
                    self._mark = max(self._mark + FIRST, round(self._mark * GROWTH))
                    self.measure(progress.valid)
                if self.seconds >= until:
                    break
        except RuntimeError as error:
            raise ValueError(f"{self.name}: {error}") from error

    def measure(self, valid: float | None = None) -> None:
        """Add a point, unless nothing was trained since the last one; ``valid``: the perplexity, if it is known."""
        tokens = self.run.position.tokens
        if not self._losses or (self.points and self.points[-1].tokens == tokens):
            return
        valid = self.run.perplexity("valid") if valid is None else valid
        train = math.exp(min(float(np.mean(self._losses)), 700.0))
        self.points.append(Point(round(self.seconds, 4), tokens, round(valid, 3), round(train, 3)))
        self._losses.clear()

    def json(self) -> dict[str, Any]:
        """All there is to show of it."""
        run, (parameters, output) = self.run, self._sizes
        total = sum(run.phases.values()) or 1.0
        return {
            "cutoffs": list(run.clusters.cutoffs),
            "widths": list(run.clusters.widths),
            "points": [list(point) for point in self.points],
            "seconds": round(self.seconds, 4),
            "tokens": run.position.tokens,
            "steps": len(run.losses),
            "shares": {part: round(seconds / total, 5) for part, seconds in run.phases.items()},
            "parameters": parameters,
            "output parameters": output,
        }


class Turns:
    """Runs side by side on one corpus.

    Args:
        corpus: of all of them.
        settings: of each run, by name.
        clusters: cutoffs and widths of those that do not follow from their settings.
        bodies: what makes the body of those with one of their own.
        cost: cost model of planned cutoffs.
        tick: called while they are built and warmed up; raises to stop.

    Raises ValueError as `Run` does.
    """

    def __init__(
        self,
        corpus: Corpus,
        settings: Mapping[str, Settings],
        *,
        clusters: Mapping[str, Partition] | None = None,
        bodies: Mapping[str, BodyMaker] | None = None,
        cost: Cost | None = None,
        tick: Tick = lambda _done, _text: None,
    ) -> None:
        self.corpus, self.lanes, self._device = corpus, list[Lane](), describe("cpu")
        before = torch.get_num_threads()

        def made(name: str) -> Run:
            own = (clusters or {}).get(name), (bodies or {}).get(name)
            return Run(corpus, settings[name], cost=cost, clusters=own[0], body=own[1])

        try:
            self.threads = self._fewest_threads(made(next(iter(settings))), before, tick)
            torch.set_num_threads(self.threads)
            for i, name in enumerate(settings):
                tick(0.0, f"warming up: {i + 1} of {len(settings)} ...")
                made(name).time_step()  # a throwaway: what is new to the machine is not timed
                self.lanes.append(Lane(name, made(name)))
        finally:
            torch.set_num_threads(before)

    @staticmethod
    def _fewest_threads(run: Run, most: int, tick: Tick) -> int:
        """All threads or one, whichever makes quicker steps now: where others work, several wait for each other."""
        if most == 1:
            return 1
        quickest: dict[int, float] = {}
        for threads in (1, most, 1, most):
            tick(0.0, f"trying {threads} thread{'s' * (threads > 1)} ...")
            torch.set_num_threads(threads)
            begun = time.perf_counter()
            run.time_step()
            took = time.perf_counter() - begun
            quickest[threads] = min(took, quickest.get(threads, took))
        return min(quickest, key=lambda threads: quickest[threads])

    def train(self, seconds: float, *, tick: Tick, heard: Callable[[], None]) -> None:
        """Train every run for so many seconds more than the furthest has; a point of each at the end.

        Args:
            seconds: by each run's own clock.
            tick: called after every slice with the part done and a text; raises to stop, and all stand where they are.
            heard: called after every slice.
        """
        until = max(lane.seconds for lane in self.lanes) + seconds
        begin = {lane.name: lane.seconds for lane in self.lanes}
        whole = sum(until - start for start in begin.values())
        threads = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            while (lane := min(self.lanes, key=lambda one: one.seconds)).seconds < until:
                lane.advance(min(SLICE, until - lane.seconds))
                heard()
                done = sum(min(one.seconds, until) - begin[one.name] for one in self.lanes)
                tick(done / whole, f"{done:.0f} of {whole:.0f} s of training")
            for lane in self.lanes:
                tick(1.0, "the last perplexities ...")
                lane.measure()
                heard()
        finally:
            torch.set_num_threads(threads)

    def json(self) -> dict[str, Any]:
        """What there is to show of all runs, with their provenance."""
        corpus, settings = self.corpus, self.lanes[0].run.settings
        return {
            "corpus": provenance(corpus),
            "d": settings.hidden,
            "B": settings.tokens,
            "seed": settings.seed,
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "torch": torch.__version__,
            "threads": self.threads,
            "device": self._device,
            "lanes": {lane.name: lane.json() for lane in self.lanes},
        }

    def write(self, n: int, *, start: str | None, seed: int, tick: Tick) -> dict[str, str]:
        """``n`` words of each model, drawn after ``start``. Raises ValueError for a word that is not in the text."""
        known = self.corpus.vocabulary.words or ()
        if start is not None and start not in known:
            raise ValueError(f"{start!r} is not among the {len(known):,} words of {self.corpus.name}: choose another")
        written = {}
        for i, lane in enumerate(self.lanes):
            tick(i / len(self.lanes), f"{lane.name} writes ...")
            written[lane.name] = lane.run.sample(n, start=start, seed=seed)
        return written
