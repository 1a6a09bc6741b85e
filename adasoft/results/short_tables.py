"""Stored trainings, one table for each corpus and model: for the lesson on language models, and in Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..text import Row, counted, markdown_table, signed
from .folders import results_folder
from .suite import ROW_LABELS
from .trainings import by_rank, stored_runs, summary


@dataclass(frozen=True)
class StoredTable:
    """The stored runs of one corpus and one model."""

    label: str
    sizes: str
    provenance: str
    rows: tuple[Row, ...]
    """As :func:`adasoft.results.trainings.summary` gives them, and what ``by_rank`` adds where the records have it.

    ``curve``: (minutes, tokens, validation perplexity) by epoch. ``words per token``: below 1 for byte-pair pieces.
    """
    commands: tuple[str, ...]

    def row(self, name: str) -> Row | None:
        """The row of this name, if it is stored."""
        return next((row for row in self.rows if row["name"] == name), None)

    @property
    def pieces_per_word(self) -> float:
        """Tokens of a word: 1, but for byte-pair pieces."""
        return 1 / float(self.rows[0]["words per token"])


def stored_tables(folder: Path | None = None, keep: Callable[[Row], bool] | None = None) -> list[StoredTable]:
    """One table for each corpus and model in a folder (``data/results`` by default); none if nothing is stored.

    ``keep``: which rows to take. Raises ValueError for a file that is not a record.
    """
    folder = folder or results_folder()
    records = {record["file"]: record for record in stored_runs(folder)}
    ranked = {tuple(row["files"]): row for rows in by_rank(folder) for row in rows}
    tables: dict[Any, list[tuple[Row, list[Row]]]] = {}
    for row in summary(folder):
        if keep is None or keep(row):
            row = ranked.get(tuple(row["files"]), row)
            tables.setdefault(row["table"], []).append((row, [records[file] for file in row["files"]]))
    return [_table(pairs) for pairs in tables.values()]


def _table(pairs: list[tuple[Row, list[Row]]]) -> StoredTable:
    """The table of rows, each with its records."""
    records = [record for _, of_row in pairs for record in of_row]
    rows = tuple({**row, **_curve(row, of_row)} for row, of_row in pairs)
    first, corpus = rows[0], records[0]["corpus"]
    pieces = first["words per token"] < 0.999
    model = f"{first['title']}, d = {first['d']}, {counted(first['epochs'], 'epoch')}"
    vocabulary = f"V = {first['V']:,}"
    per_word = f", {1 / first['words per token']:.2f} pieces per word" if pieces else ""

    dates = sorted({date for row in rows for date in row["dates"]})
    numbers = sorted({record["threads"] for record in records if record["device"]["type"] == "cpu"})
    threads = f", {' or '.join(map(str, numbers))} thread{'s' * (numbers[-1] > 1)}" if numbers else ""
    machines = " and ".join(sorted({row["timed on"] for row in rows if row["timed"]}))
    timed = [f"in turns with all others on {machines}"] if machines else []
    if not all(row["timed"] for row in rows):
        timed.append("in each run by itself (marked ~)")
    files = sorted(name for row in rows for name in row["files"])
    return StoredTable(
        label=f"{first['corpus']}: {vocabulary}{' pieces' * pieces}, {model}",
        sizes=f"{first['corpus']}, {corpus['train']:,} tokens, {vocabulary}{per_word}, {model}",
        provenance=(
            f"Trained on {_range(dates)} on other machines ({first['device']}{threads}, torch {records[0]['torch']}), "
            f"its steps timed {' or '.join(timed)}; {len(files)} file{'s' * (len(files) > 1)} "
            f"data/results/{_range([files[0], files[-1]])}."
        ),
        rows=rows,
        commands=tuple(row["command"] for row in rows),
    )


def _curve(row: Row, records: list[Row]) -> Row:
    """What a row's records say of its epochs: the validation perplexity after each, the geometric mean over seeds."""
    corpus = records[0]["corpus"]
    nats = np.log([[epoch["valid"] for epoch in record["epochs"]] for record in records]).mean(0)
    curve = [
        (row["minutes"] * epoch / len(nats), corpus["train"] * epoch, math.exp(value))
        for epoch, value in enumerate(nats, 1)
    ]
    return {"curve": curve, "words per token": corpus.get("words", corpus)["test"] / corpus["test"]}


def _range(values: list[str]) -> str:
    return values[0] if values[0] == values[-1] else f"{values[0]} to {values[-1]}"


def markdown(folder: Path | None = None) -> str:
    """The short tables of stored trainings, one for each corpus and model: perplexity, and the output layer's time.

    Perplexities of byte-pair pieces are given per word. Raises ValueError for a file that is not a record.
    """
    tables = []
    for stored in stored_tables(folder):
        tokens = stored.pieces_per_word
        heads = [stored.label, "test perplexity" + (" per word" if tokens > 1.001 else ""), "output layer's time"]
        tables.append(markdown_table(heads, [_short_row(row, tokens) for row in stored.rows]))
    return "\n\n".join(tables)


def _short_row(row: Row, tokens: float) -> list[str]:
    """``tokens``: of a word."""
    notes = []
    if "of full" in row and row["name"] != "full":
        notes.append(signed(row["of full"]).replace("\u00a0", " "))
    if row["seeds"] > 1:
        notes.append(f"{row['seeds']} seeds, {row['lowest'] ** tokens:.1f} to {row['highest'] ** tokens:.1f}")
    perplexity = f"{row['per word']:.1f}" + (f" ({'; '.join(notes)})" if notes else "")
    time = f"{row['of authors']:#.2g}".rstrip(".") if "of authors" in row else "–"
    return [str(ROW_LABELS.get(row["name"], row["name"])), perplexity, f"{'' if row['timed'] else '~'}{time}"]
