"""`bench train`: training steps of all the softmaxes of the table, in turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from ..results.suite import SUITE, suite
from ..text import Row, Say, table
from .common import provenance

if TYPE_CHECKING:
    from ..corpora import Corpus
    from ..lm.settings import Settings


def possible(
    runs: Mapping[str, Settings], corpus: Corpus, device: str, say: Say, *, tails: bool = False
) -> dict[str, Settings]:
    """Those of some runs whose cutoffs the words allow, with ``tails`` only those with tails; why not the others."""
    from ..lm.settings import partition

    found = {}
    for name, settings in runs.items():
        try:
            clusters = partition(settings, corpus, device=device.partition(":")[0])
        except ValueError as error:
            say(f"{name}: left out, {error}")
            continue
        if tails and settings.softmax == "adaptive" and not clusters.cutoffs:
            say(f"{name}: left out, its plan has no tails")
            continue
        found[name] = settings
    return found


def bench_train(
    corpus: Corpus,
    settings: Settings,
    *,
    rows: Sequence[str] = tuple(SUITE),
    device: str = "cpu",
    rounds: int = 15,
    say: Say = print,
) -> Row:
    """Training steps of all softmaxes of a table, in turns: words per second, and the output layer's share of it.

    All models are in memory at once. Two steps of each warm up. Rows whose cutoffs the words do not allow are left
    out; raises ValueError where none is left.
    """
    from ..lm.clock import PHASES
    from ..lm.run import Run

    chosen = possible(dict(suite(settings, rows, seeds=1)), corpus, device, say)
    if not chosen:
        raise ValueError(f"rows should have one that fits the words of {corpus.name}, V = {corpus.n_classes:,}")
    runs = {name: Run(corpus, one, device=device) for name, one in chosen.items()}
    spent: dict[str, list[list[float]]] = {name: [] for name in runs}
    for turn in range(rounds + 2):
        for name, run in runs.items():
            parts = run.time_step()
            if turn >= 2:
                spent[name].append([parts[p] for p in PHASES])
    out: list[Row] = []
    for name, run in runs.items():
        parts_ms = np.array(spent[name]) * 1e3
        whole = np.percentile(parts_ms.sum(1), [25, 50, 75])
        output = np.percentile(parts_ms[:, PHASES.index("output")], [25, 50, 75])
        out.append(
            {
                "row": name,
                "settings": asdict(run.settings),
                "cutoffs": list(run.clusters.cutoffs),
                "widths": list(run.clusters.widths),
                "step ms": float(whole[1]),
                "q1": float(whole[0]),
                "q3": float(whole[2]),
                "output ms": float(output[1]),
                "output q1": float(output[0]),
                "output q3": float(output[2]),
                "output share": float(output[1] / whole[1]),
                "words/s": run.settings.tokens / float(whole[1]) * 1e3,
                "runs": rounds,
            }
        )
    base = next((r["output ms"] for r in out if r["row"] == "adaptive"), None)
    for row in out:
        row["of authors"] = row["output ms"] / base if base else None
    say(f"{corpus.name}: V = {corpus.n_classes:,}, d = {settings.hidden}, B = {settings.tokens}")
    columns = [
        "row",
        "cutoffs",
        "step ms",
        "q1",
        "q3",
        "output ms",
        "output q1",
        "output q3",
        "output share",
        "of authors",
        "words/s",
    ]
    say(table(out, columns))
    about = {"name": corpus.name, "digest": corpus.digest, "V": corpus.n_classes, "licence": corpus.licence}
    return {"bench": "train", **provenance(device), "corpus": about, "rows": out}
