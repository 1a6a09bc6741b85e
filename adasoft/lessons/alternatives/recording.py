"""Measures what the lesson on alternatives shows to readers who measure nothing.

python -m adasoft.lessons.alternatives.recording        # makes data/results/alternatives-cpu.json again, in minutes
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ...alternatives import FullSoftmax
from ...alternatives.svd_softmax import SVDSoftmax, power_law, spectrum_matrix
from ...files import writable_folder, write_whole
from ...results.folders import own_results_folder
from ...timing import describe, interleave
from ..time_model.timings import Tally
from . import cases as sc
from .explorer import AlternativesExplorer
from .small_models import small_models
from .stored import FILE, markdown

#: The sizes that SVD-softmax's claim is about, as far as they fit a small machine: V as printed, fewer columns.
CLAIM = {"V": 800_000, "d": 256, "width": 32, "n_full": 50_000, "rows": 16}
#: Cases that are recorded: task, exact only, V, d, rows.
CASES = (
    (sc.BEST, False, 2_000, 128, 256),
    (sc.BEST, False, 20_000, 256, 256),
    (sc.BEST, False, 20_000, 256, 1),
    (sc.BEST, False, 100_000, 256, 256),
    (sc.BEST, False, 100_000, 256, 1),
    (sc.TRAIN, False, 2_000, 128, 256),
    (sc.TRAIN, False, 20_000, 256, 256),
    (sc.TRAIN, False, 100_000, 256, 256),
)


def measure_claim(tell: Callable[[str], None]) -> dict[str, Any]:
    """SVD-softmax against the full softmax at the sizes of its claim; medians in seconds."""
    values = power_law(SVDSoftmax(small_models().full).singular_values, CLAIM["d"])
    full = FullSoftmax(CLAIM["d"], CLAIM["V"]).eval()
    tell("drawing the weights of the claim")
    with torch.no_grad():
        full.output.weight.copy_(spectrum_matrix(CLAIM["V"], values))
    tell("decomposing them")
    svd = SVDSoftmax(full, CLAIM["width"], CLAIM["n_full"])
    times: dict[str, dict[str, float]] = {}
    for rows in (1, CLAIM["rows"]):
        hidden = torch.randn(rows, CLAIM["d"], generator=torch.Generator().manual_seed(rows))
        found = interleave(
            {"full": [partial(full.topk, hidden, 10)], "svd": [partial(svd.topk, hidden, 10)]},
            rounds=9,
            seconds=60,
            progress=lambda _, name: tell(f"the claim, {name}"),
        )
        times[str(rows)] = {name: timing.median for name, timing in found.items()}
    return {**CLAIM, "utilisation": svd.utilisation, "times": times}


def make(tell: Callable[[str], None], command: str, *, claim: bool = True) -> dict[str, Any]:
    """What the lesson's buttons give with its first choices, some cases, and SVD-softmax at its claim's sizes."""
    explorer = AlternativesExplorer("en")

    def tick(_done: float, text: str) -> None:
        tell(text)

    explorer.train_experts(from_start=True, tick=tick, heard=lambda _: None)
    explorer.checkpoint.unlink(missing_ok=True)
    cases = []
    for task, exact, v, d, rows in CASES:
        explorer.n_words = v
        explorer.task, explorer.exact, explorer.in_features, explorer.batch = task, exact, d, rows
        explorer.cutoffs = (max(200, v // 20), v // 4)
        tally = Tally(explorer.case_sizes, "cpu")
        known = explorer.time_case(20.0, tick, tally.heard)
        cases.append({"sizes": tally.sizes, "times": tally.json()["times"], "known": known})
    return {
        "alternatives": "07",
        "device": describe("cpu"),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "command": command,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "experts": explorer.recall("experts"),
        "cases": cases,
        "claim": measure_claim(tell) if claim else {},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write the record."""
    parser = argparse.ArgumentParser(prog="python -m adasoft.lessons.alternatives.recording", description=make.__doc__)
    parser.add_argument("--output", type=Path, default=own_results_folder() / FILE)
    text = "print the tables of data/results/README.md from what is stored"
    parser.add_argument("--markdown", action="store_true", help=text)
    parser.add_argument("--no-claim", action="store_true", help="leave out V = 800,000, which takes 3 GB")
    options = parser.parse_args(arguments)
    if options.markdown:
        print(markdown(options.output.parent))
        return 0
    writable_folder(options.output.parent)  # before the work
    given = sys.argv[1:] if arguments is None else list(arguments)
    command = shlex.join(["python", "-m", "adasoft.lessons.alternatives.recording", *given])
    found = make(lambda text: print(f"\r{text:<78}", end="", file=sys.stderr), command, claim=not options.no_claim)
    write_whole(options.output, json.dumps(found, indent=1) + "\n")
    print(f"\nwritten to {options.output}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    # the module as imported, not this copy
    raise SystemExit(importlib.import_module("adasoft.lessons.alternatives.recording").main())
