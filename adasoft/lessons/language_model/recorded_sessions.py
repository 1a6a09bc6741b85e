"""Trainings of the lesson on perplexity that ship with the project, for readers who do not train.

python -m adasoft.lessons.language_model.recorded_sessions            # makes data/results/live-docs-cpu.json again
"""

from __future__ import annotations

import argparse
import importlib
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...files import read_json, writable_folder, write_whole
from ...results.folders import own_results_folder, results_folder
from .kept import FORMS
from .looks import LABELS

#: What an explorer keeps of a session, and under which names.
KEYS = ("text", "training", "own cell", "written")


@dataclass(frozen=True)
class Session:
    """One recorded session."""

    label: str
    provenance: str
    kept: Mapping[str, Any]
    """By `KEYS`, as an explorer keeps them."""


def recorded_sessions(folder: Path | None = None) -> list[Session]:
    """The sessions in a folder (``data/results`` by default); none if there are none.

    Raises ValueError for a file that is not a session.
    """
    out = []
    for path in sorted((folder or results_folder()).glob("live-*.json")):
        try:
            found = read_json(path)
            kept = {key: found[key] for key in KEYS}
            for key, value in kept.items():
                FORMS[key](value, key)
            one, device = kept["training"], kept["training"]["device"]["name"]
            threads, date = one["threads"], str(one["date"])[:10]
            made = f"{device}, {threads} thread{'s' * (threads > 1)}"
            out.append(
                Session(
                    f"recorded: {made}, {date}, {one['corpus']['name']}, V = {one['corpus']['V']:,}",
                    f"Recorded on {date} on another machine ({made}, torch {one['torch']}) by `{found['command']}`; "
                    f"file data/results/{path.name}.",
                    kept,
                )
            )
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise ValueError(f"{path.name} is not a recorded session: {type(error).__name__} {error}") from error
    return out


def record(source: str, seconds: int, names: Sequence[str], command: str) -> dict[str, Any]:
    """What the lesson's buttons give with its first choices: all ``names`` trained, the own cell, 40 words each."""
    # here, because torch takes seconds to load
    from .explorer import TrainingExplorer
    from .own_cell import CELL, cell_maker

    explorer = TrainingExplorer("en", source=source, ticked=tuple(names), seconds=seconds)

    def tick(done: float, text: str) -> None:
        print(f"\r{100 * done:3.0f} % {text:<60}", end="", file=sys.stderr)

    how: dict[str, Any] = {"from_start": True, "tick": tick, "heard": lambda _: None}
    explorer.train("training", explorer.request, seconds, **how)
    written = explorer.trained["training"].write(40, start="the", seed=1, tick=tick)
    explorer.train("own cell", lambda: explorer.cell_request(cell_maker(CELL)), seconds, **how)
    kept = {key: explorer.recall(key) for key in KEYS[:3]}
    return {"live": "06", "command": command, **kept, "written": {"start": "the", "seed": 1, "words": written}}


def main(arguments: Sequence[str] | None = None) -> int:
    """Train and write the record."""
    parser = argparse.ArgumentParser(prog=f"python -m {__spec__.name}", description=record.__doc__)
    parser.add_argument("--source", default="docs", help="docs, a file or a folder")
    parser.add_argument("--seconds", type=int, default=60, help="for each, by its own clock (60)")
    parser.add_argument("--names", default=",".join(LABELS), help="the softmaxes")
    parser.add_argument("--output", type=Path, default=own_results_folder() / "live-docs-cpu.json")
    options = parser.parse_args(arguments)
    writable_folder(options.output.parent)  # before the work
    given = sys.argv[1:] if arguments is None else list(arguments)
    command = shlex.join(["python", "-m", "adasoft.lessons.language_model.recorded_sessions", *given])
    found = record(options.source, options.seconds, options.names.split(","), command)
    write_whole(options.output, json.dumps(found, indent=1) + "\n")
    print(f"\nwritten to {options.output}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    # the module as imported, not this copy
    raise SystemExit(importlib.import_module("adasoft.lessons.language_model.recorded_sessions").main())
