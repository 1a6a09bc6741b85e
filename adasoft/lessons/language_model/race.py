"""Stored trainings as a race: how far each softmax has read, and how well it predicts, at every second; no torch.

For the first picture of the lesson, which `static/race.js` replays, for its still, and for the lesson's own code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...results.folders import results_folder
from ...results.short_tables import StoredTable, stored_tables
from ...results.trainings import stored_runs
from ...text import Row

#: Who runs, and what each is called on the page.
RUNNERS = {
    "full": "full softmax",
    "adaptive": "adaptive, the authors' cutoffs",
    "planned-0.75": "adaptive, planned, head ≥ 75 %",
    "hierarchical": "hierarchical softmax",
}
#: The same where there is little room.
SHORT = {
    "full": "full softmax",
    "adaptive": "authors' cutoffs",
    "planned-0.75": "planned",
    "hierarchical": "hierarchical",
}
#: Marks of the stored loss that one point of a line is the mean of: a mark alone is noisy.
SMOOTH = 5


@dataclass(frozen=True)
class Runner:
    """One softmax and its training, the mean over its seeds."""

    name: str
    label: str
    cutoffs: tuple[int, ...]
    seconds: float
    """Of the whole training, by steps that all runners took in turns on one machine."""
    words: int
    """Read in all epochs together."""
    line: tuple[tuple[float, float], ...]
    """(seconds, perplexity of the words just read), in the first epoch: no word was seen before."""
    epochs: tuple[tuple[float, float], ...]
    """(seconds, validation perplexity) after each epoch."""
    valid_words: int
    """Of the validation part."""

    @property
    def perplexity(self) -> float:
        """On the validation part, at the end."""
        return self.epochs[-1][1]

    @property
    def nats(self) -> float:
        """-log p of the right word, summed over the validation part."""
        return self.valid_words * math.log(self.perplexity)


@dataclass(frozen=True)
class Race:
    """Runners over the same words."""

    text: str
    n_words: int
    """V."""
    runners: tuple[Runner, ...]
    provenance: str

    def runner(self, name: str) -> Runner:
        """The runner of this name."""
        return next(one for one in self.runners if one.name == name)

    def faster(self, name: str) -> float:
        """How many times sooner it ends than the full softmax."""
        return self.runner("full").seconds / self.runner(name).seconds

    def higher(self, name: str) -> float:
        """Its validation perplexity over that of the full softmax, minus 1."""
        return self.runner(name).perplexity / self.runner("full").perplexity - 1

    def json(self) -> dict[str, Any]:
        """What the page needs."""
        return {
            "text": self.text,
            "V": self.n_words,
            "provenance": self.provenance,
            "runners": [
                {
                    "name": one.name,
                    "label": one.label,
                    "short": SHORT[one.name],
                    "seconds": round(one.seconds, 2),
                    "words": one.words,
                    "line": [[round(second, 2), round(value, 2)] for second, value in one.line],
                    "epochs": [[round(second, 2), round(value, 2)] for second, value in one.epochs],
                }
                for one in self.runners
            ],
        }


def stored_race(folder: Path | None = None) -> Race:
    """The first stored table that holds all runners, timed in turns.

    Raises ValueError if there is none.
    """
    folder = folder or results_folder()
    records = {record["file"]: record for record in stored_runs(folder)}
    for table in stored_tables(folder):
        rows = [table.row(name) for name in RUNNERS]
        if all(row is not None and row["timed"] for row in rows):
            return _race(table, [row for row in rows if row is not None], records)
    raise ValueError(
        f"the race needs {', '.join(RUNNERS)} of one text, timed in turns; {folder} does not hold them all"
    )


def _race(table: StoredTable, rows: Sequence[Row], records: dict[str, Row]) -> Race:
    runners = [_runner(row, [records[file] for file in row["files"]]) for row in rows]
    timed_on = rows[0]["timed on"]
    seeds = ", ".join(f"{row['seeds']} for {RUNNERS[row['name']]}" for row in rows)
    provenance = f"{table.sizes}; steps timed in turns on {timed_on}; seeds: {seeds}"
    return Race(str(rows[0]["corpus"]), int(rows[0]["V"]), tuple(runners), provenance)


def _runner(row: Row, records: Sequence[Row]) -> Runner:
    curve, settings = records[0]["curve"], records[0]["settings"]
    per_window = 60 * row["minutes"] / (settings["epochs"] * curve["windows"])
    losses = np.mean([record["curve"]["loss"] for record in records], axis=0)
    first = [i for i, window in enumerate(curve["window"]) if window <= curve["windows"]]
    line = [
        (per_window * curve["window"][i], float(np.exp(losses[max(0, i - SMOOTH + 1) : i + 1].mean())))
        for i in first[SMOOTH - 1 :]
    ]
    return Runner(
        name=row["name"],
        label=RUNNERS[row["name"]],
        cutoffs=tuple(row["cutoffs"]),
        seconds=60 * row["minutes"],
        words=int(records[0]["corpus"]["train"] * settings["epochs"]),
        line=tuple(line),
        epochs=tuple((60 * minutes, valid) for minutes, _, valid in row["curve"]),
        valid_words=int(records[0]["corpus"]["valid"]),
    )
