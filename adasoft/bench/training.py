"""`adasoft table`: the paper's table from stored runs; `bench train`: steps of all its softmaxes in turns."""

from __future__ import annotations

import itertools
import json
import math
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..files import DamagedFile
from ..lm.run_records import read_rates, read_run_record, repeatable
from ..screen import one_line
from .common import Row, Say, provenance, table

if TYPE_CHECKING:
    from ..corpora import Corpus
    from ..lm.settings import Settings

#: The rows of the paper's Text8 table, and ours: planned cutoffs at three floors of the head's share, at two with
#: tails of half, not a quarter of the width, and at two with a floor on the mean width, under which tails choose their
#: widths; the authors' cutoffs and the wider ones with tail dropout of 0.2 (Baevski 2019).
SUITE: dict[str, dict[str, Any]] = {
    "full": {"softmax": "full"},
    "sampled": {"softmax": "sampled"},
    "hierarchical": {"softmax": "hierarchical"},
    "d-softmax": {"softmax": "d-softmax"},
    "d-softmax-star": {"softmax": "d-softmax-star"},
    "adaptive": {"softmax": "adaptive", "cutoffs": "authors"},
    "planned-0.75": {"softmax": "adaptive", "cutoffs": "plan", "min_head_share": 0.75},
    "planned-0.65": {"softmax": "adaptive", "cutoffs": "plan", "min_head_share": 0.65},
    "planned-0.85": {"softmax": "adaptive", "cutoffs": "plan", "min_head_share": 0.85},
    "planned-wide": {"softmax": "adaptive", "cutoffs": "plan", "min_head_share": 0.75, "width_ratio": 2.0},
    "planned-wide-0.85": {"softmax": "adaptive", "cutoffs": "plan", "min_head_share": 0.85, "width_ratio": 2.0},
    "planned-mean-0.65": {"softmax": "adaptive", "cutoffs": "plan", "min_head_share": 0.65, "min_mean_width": 0.94},
    "planned-mean-0.75": {"softmax": "adaptive", "cutoffs": "plan", "min_head_share": 0.75, "min_mean_width": 0.94},
    "tail-dropout": {"softmax": "adaptive", "cutoffs": "authors", "tail_dropout": 0.2},
    "planned-wide-dropout": {
        "softmax": "adaptive", "cutoffs": "plan", "min_head_share": 0.75, "width_ratio": 2.0, "tail_dropout": 0.2,
    },
    "planned-wide-0.85-dropout": {
        "softmax": "adaptive", "cutoffs": "plan", "min_head_share": 0.85, "width_ratio": 2.0, "tail_dropout": 0.2,
    },
}  # fmt: skip
#: Rows that are trained with three seeds; the others with one.
THREE_SEEDS = ("full", "adaptive", "planned-0.75", "planned-wide-0.85")
#: Settings that no step takes longer for.
_TIMELESS = ("seed", "epochs", "learning_rate", "warmup", "halve_from")
#: Perplexity and minutes for 5 epochs on Text8 in Grave et al. 2017, on a GPU, d = 512.
PAPER_TEXT8 = {
    "full": (144, 83), "sampled": (166, 41), "hierarchical": (166, 34), "d-softmax": (195, 53),
    "d-softmax-star": (147, 54), "adaptive": (147, 30),
}  # fmt: skip


def suite(settings: Settings, rows: Sequence[str] = tuple(SUITE), seeds: int = 3) -> Iterator[tuple[str, Settings]]:
    """Names and settings of the runs of a table, those that matter most first.

    Raises ValueError for a row it does not know.
    """
    for name in rows:
        if name not in SUITE:
            raise ValueError(f"rows should be some of {', '.join(SUITE)}, got {name!r}")
    for seed in range(seeds):
        for name in rows:
            if seed == 0 or name in THREE_SEEDS:
                yield name, replace(settings, **SUITE[name], seed=settings.seed + seed)


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


def stored_as(folder: Path, name: str, corpus: Corpus, settings: Settings, device: str) -> tuple[Path, bool]:
    """The file of the record of a run of a table in a folder, and whether it is there.

    A record of other settings or another text of the same name keeps its file: the new one's gets digits in its name.
    Raises ValueError for a file that is no record.
    """
    first = path = folder / _file_name(name, corpus, settings, device)
    what = (corpus.digest, _key(asdict(settings)), device, settings.seed)
    numbers = itertools.count(2)
    while path.exists():
        record = read_run_record(path)
        if (*_identity(record), record["settings"]["seed"]) == what:
            return path, True
        path = first.with_stem(f"{first.stem}-{next(numbers)}")
    return path, False


def _file_name(name: str, corpus: Corpus, settings: Settings, device: str) -> str:
    words = re.sub(r"\W+", "-", corpus.name)
    if corpus.n_words["train"] != len(corpus.train):
        words += f"-{corpus.n_classes}pieces"
    kind = re.sub(r"\W+", "-", _title(_base(asdict(settings))).removeprefix("lstm")).strip("-")
    return "-".join(["train", words, device, *([kind] if kind else []), name, f"seed{settings.seed}.json"])


def stored_runs(folder: Path) -> list[Row]:
    """The records of finished runs in a folder. Raises ValueError for a file that is none.

    What is shown of them has no control characters, and commands are such as can be pasted.
    """
    out = []
    for path in sorted(folder.glob("train-*.json")):
        record = read_run_record(path)
        if record["done"] and record["test perplexity"] is not None:
            key = _identity(record)
            for name in ("date", "torch", "row"):
                if name in record:
                    record[name] = one_line(record[name])
            for about in (record["corpus"], record["device"]):
                about["name"] = one_line(about["name"])
            if "command" in record:
                record["command"] = one_line(repeatable(record["command"]))
            out.append({**record, "key": key, "file": one_line(path.name)})
    return out


def _identity(record: Row) -> tuple[str, str, str]:
    """Text, settings without the seed, and type of device."""
    return record["corpus"]["digest"], _key(record["settings"]), record["device"]["type"]


def stored_rates(folder: Path) -> dict[Any, Row]:
    """(digest, settings that a step's time depends on, type of device) -> the row of `bench train`, by the newest file.

    With ``"timed on"``, the machine.
    """
    found: dict[Any, Row] = {}
    records = [read_rates(p) for p in sorted(folder.glob("bench-train-*.json"))]
    for record in sorted(records, key=lambda r: str(r["date"])):
        device, threads = record["device"], record["threads"]
        device["name"] = one_line(device["name"])
        capability = one_line(str(device.get("capability", "")))
        where = f"{device['name']} with {capability}, {threads} thread{'s' * (threads > 1)}"
        machine = device["name"] if device["type"] != "cpu" else where
        for row in record["rows"]:
            key = (record["corpus"]["digest"], _timed_by(row["settings"]), device["type"])
            found[key] = {**row, "timed on": machine}
    return found


def _per_word(record: Row) -> float:
    """Test perplexity per word, exp(nats of the test part / its words).

    It compares vocabularies of pieces of any size; one of words only if no word became <unk>.
    """
    corpus = record["corpus"]
    tokens_per_word = corpus["test"] / corpus.get("words", corpus)["test"]
    try:
        return float(record["test perplexity"] ** tokens_per_word)
    except OverflowError:  # a training that has diverged
        return math.inf


def _timed_by(settings: Mapping[str, Any]) -> str:
    """Settings without those that no step takes longer for."""
    from ..lm.settings import Settings

    left = Settings.read(settings).changed()
    return json.dumps({k: v for k, v in left.items() if k not in _TIMELESS}, sort_keys=True)


def _mean_width(record: Row) -> float:
    """Of an adaptive softmax, d p_h + sum_i d_i p_i; nan where the record does not tell the shares."""
    settings = record["settings"]
    if settings["softmax"] != "adaptive" or "cluster shares" not in record:
        return math.nan
    return float(np.dot(record["cluster shares"], [settings["hidden"], *record["widths"]]))


def _key(settings: Mapping[str, Any]) -> str:
    from ..lm.settings import Settings

    return json.dumps(replace(Settings.read(settings), seed=0).changed(), sort_keys=True)


def _base(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What all rows of a table have in common: the settings without the seed and those that make rows."""
    from ..lm.settings import Settings

    own = {"seed"}.union(*SUITE.values())
    return {k: v for k, v in Settings.read(settings).changed().items() if k not in own}


def _title(base: Mapping[str, Any]) -> str:
    """A table's settings in words: the model, and what else is not as in the paper."""
    from ..lm.settings import PRESETS

    left = {k: v for k, v in base.items() if k not in ("hidden", "epochs")}
    words = []
    for name, preset in PRESETS.items():
        if preset and preset.items() <= left.items():
            left = {k: v for k, v in left.items() if k not in preset or k == "model"}
            words.append("its preset" if name == left.get("model") else f"preset {name}")
    words += [f"{k.replace('_', ' ')} {v}" for k, v in left.items() if k != "model"]
    return one_line(", ".join([str(left.get("model", "lstm")), *words]))


def summary(folder: Path) -> list[Row]:
    """The rows of the table: runs that differ only in the seed are one row.

    Times are those of `bench train`, which lets all softmaxes take turns on a machine with nothing else to do; where
    there is none, those of the runs themselves, marked ``~``.
    """
    groups: dict[Any, list[Row]] = {}
    for record in stored_runs(folder):
        groups.setdefault(record["key"], []).append(record)
    rates = stored_rates(folder)
    rows = []
    for key, records in groups.items():
        one, settings = records[0], records[0]["settings"]
        name = one.get("row", settings["softmax"])
        base = _base(settings)
        found = np.array([r["test perplexity"] for r in records])
        rate = rates.get((key[0], _timed_by(settings), key[2]))
        words = rate["words/s"] if rate else float(np.mean([r["words per second"] for r in records]))
        share = rate["output share"] if rate else float(np.mean([r["shares"]["output"] for r in records]))
        seconds = one["corpus"]["train"] * settings["epochs"] / words
        rows.append(
            {
                "corpus": one["corpus"]["name"], "V": one["corpus"]["V"],
                "title": _title(base) + (f", on {key[2]}" if key[2] != "cpu" else ""),
                "name": name, "cutoffs": one["cutoffs"], "widths": one["widths"], "seeds": len(records),
                "table": (one["corpus"]["name"], key[0], json.dumps(base, sort_keys=True), key[2]),
                "head share": one["head share"], "mean width": _mean_width(one),
                "test": float(found.mean()), "lowest": float(found.min()), "highest": float(found.max()),
                "valid": float(np.mean([r["epochs"][-1]["valid"] for r in records])),
                "minutes": seconds / 60, "words/s": words, "output share": share,
                "output ms": settings["batch"] * settings["bptt"] / words * share * 1e3, "timed": rate is not None,
                "timed on": rate["timed on"] if rate else "",
                "parameters": one["parameters"], "output parameters": one["output parameters"],
                "command": one.get("command", ""), "epochs": settings["epochs"], "d": settings["hidden"],
                "per word": float(np.mean([_per_word(r) for r in records])),
                "device": one["device"]["name"], "dates": sorted({str(r["date"])[:10] for r in records}),
                "files": [r["file"] for r in records],
            }
        )  # fmt: skip
    order = {name: place for place, name in enumerate(SUITE)}

    def place_of(row: Row) -> tuple[Any, ...]:
        # a table of words before those of pieces, few pieces before many
        pieces = row["per word"] != row["test"]
        return row["corpus"], row["title"], pieces, row["V"], row["table"], order.get(row["name"], len(order))

    rows.sort(key=place_of)
    for row in rows:
        mates = [r for r in rows if r["table"] == row["table"]]
        full = next((r for r in mates if r["name"] == "full"), None)
        authors = next((r for r in mates if r["name"] == "adaptive"), None)
        if full:
            row["of full"] = row["per word"] / full["per word"] - 1
        # a time in turns and one of a run by itself, or on two machines, have no ratio
        if full and full["timed on"] == row["timed on"]:
            row["faster"] = full["minutes"] / row["minutes"]
        if authors and authors["timed on"] == row["timed on"]:
            row["of authors"] = row["output ms"] / authors["output ms"]
    return rows


#: Signs of a line in the tables of this module: what a terminal shows without breaking it.
_WIDTH = 100


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _epochs(row: Row) -> str:
    return f"{row['epochs']} epoch{'s' * (row['epochs'] != 1)}"


def print_table(folder: Path, *, say: Say = print, commands: bool = False) -> list[Row]:
    """The table, one for each corpus and model, beside the paper's. Raises FileNotFoundError if there are no runs."""
    rows = summary(folder)
    if not rows:
        raise FileNotFoundError(f"{folder} holds no finished runs (train-*.json): python -m adasoft table --run CORPUS")
    for key in dict.fromkeys(r["table"] for r in rows):
        mine = [r for r in rows if r["table"] == key]
        one = mine[0]
        where = f"{one['title']}, d = {one['d']}, {_epochs(one)}, {one['device']}"
        say("\n" + _wrapped(f"{one['corpus']}: V = {one['V']:,}, {where}"))
        lines = []
        for r in mine:
            spread = "" if r["seeds"] == 1 else f"{r['lowest']:.1f}-{r['highest']:.1f}"
            paper = PAPER_TEXT8.get(r["name"])
            lines.append(
                {
                    "softmax": r["name"],
                    "perplexity": f"{r['test']:.2f}", "seeds": spread,
                    "per word": f"{r['per word']:.1f}",
                    "to full": f"{r['of full']:+.1%}" if "of full" in r else "",
                    "minutes": f"{'' if r['timed'] else '~'}{r['minutes']:.1f}",
                    "faster": f"{r['faster']:.2f}" if "faster" in r else "",
                    "paper, Text8": "{} / {} min".format(*paper) if paper else "",
                    "words/s": int(r["words/s"]), "output": f"{r['output share']:.0%}",
                    "output ms": f"{r['output ms']:.1f}",
                    "of authors": f"{r['of authors']:.2f}" if "of authors" in r else "",
                    "parameters": f"{r['parameters'] / 1e6:.2f}M",
                    "mean width": "" if math.isnan(r["mean width"]) else f"{r['mean width']:.0f}",
                    "cutoffs": r["cutoffs"], "widths": r["widths"],
                }
            )  # fmt: skip
        # of words, the perplexity per word is the perplexity
        columns = [c for c in lines[0] if c != "per word" or one["per word"] != one["test"]]
        say(table(lines, columns, _WIDTH))
        if commands:
            for r in mine:
                say(f"  {r['name']}: {r['command']}")
    say(
        "\n"
        + _wrapped(
            "faster: minutes of full over minutes. output: share of a step's time in the output layer (forward and "
            "backward); of authors: its milliseconds over those of the authors' cutoffs. ~: timed while other work may "
            "have run. The paper's column: perplexity / minutes, 5 epochs on Text8, d = 512, on a GPU."
        )
    )
    return rows


def by_rank(folder: Path) -> list[list[Row]]:
    """Where the loss lies: for each table of :func:`summary`, rows of nats per token by the rank of the word.

    ``nats``: what the words of each band add to the mean loss, the mean over seeds; ``more``: the difference to the
    full softmax, or to the authors' cutoffs where no record of that tells it (``to``). The sum of ``more`` is the
    logarithm of the ratio of perplexities, over the runs whose records tell this; older records do not, and their rows
    are left out, as are tables with neither of the two.
    """
    records = {r["file"]: r for r in stored_runs(folder)}
    tables: dict[Any, list[Row]] = {}
    for row in summary(folder):
        found = [records[file]["test by rank"] for file in row["files"] if records[file].get("test by rank")]
        for file in row["files"]:
            mine = records[file].get("test by rank")
            if mine and mine["from rank"] != found[0]["from rank"]:
                raise DamagedFile(folder / file, "test by rank.from rank differs from that of another seed")
        if found:
            tokens = np.array(found[0]["tokens"])
            nats = np.mean([f["nats"] for f in found], 0) / tokens.sum()
            mine = {"ranks": found[0]["from rank"], "shares": tokens / tokens.sum(), "nats": nats}
            tables.setdefault(row["table"], []).append({**row, **mine})
    out = []
    for rows in tables.values():
        base = next((r for name in ("full", "adaptive") for r in rows if r["name"] == name), None)
        if base is not None:
            for row in rows:
                if row["ranks"] != base["ranks"]:
                    wrong = folder / row["files"][0]
                    raise DamagedFile(wrong, f"test by rank.from rank differs from that of {base['name']}")
            out.append([{**row, "more": row["nats"] - base["nats"], "to": base["name"]} for row in rows])
    return out


def print_by_rank(folder: Path, *, say: Say = print) -> list[list[Row]]:
    """Print :func:`by_rank`. Raises FileNotFoundError if no record tells it."""
    tables = by_rank(folder)
    if not tables:
        raise FileNotFoundError(f"{folder} holds no runs that tell their loss by rank: python -m adasoft table --run")
    for rows in tables:
        one = rows[0]
        what = f"thousandths of a nat per token more than {one['to']}, by the rank of the word"
        about = f"{one['corpus']}: V = {one['V']:,}, {one['title']}, d = {one['d']}, {_epochs(one)}"
        say("\n" + _wrapped(f"{about}; {what}"))
        ends = [f"{first:,}-" for first in one["ranks"]]
        lines: list[Row] = [
            {"softmax": "share of tokens", **dict(zip(ends, map("{:.1%}".format, one["shares"]), strict=True))}
        ]
        for row in rows:
            told = {end: f"{1000 * more:+.1f}" for end, more in zip(ends, row["more"], strict=True)}
            lines.append({"softmax": row["name"], **told, "all": f"{1000 * row['more'].sum():+.1f}"})
        say(table(lines, ["softmax", *ends, "all"], _WIDTH))
    return tables


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
                "row": name, "settings": asdict(run.settings), "cutoffs": list(run.clusters.cutoffs),
                "widths": list(run.clusters.widths), "step ms": float(whole[1]), "q1": float(whole[0]),
                "q3": float(whole[2]), "output ms": float(output[1]), "output q1": float(output[0]),
                "output q3": float(output[2]), "output share": float(output[1] / whole[1]),
                "words/s": run.settings.tokens / float(whole[1]) * 1e3, "runs": rounds,
            }
        )  # fmt: skip
    base = next((r["output ms"] for r in out if r["row"] == "adaptive"), None)
    for row in out:
        row["of authors"] = row["output ms"] / base if base else None
    say(f"{corpus.name}: V = {corpus.n_classes:,}, d = {settings.hidden}, B = {settings.tokens}")
    columns = ["row", "cutoffs", "step ms", "q1", "q3", "output ms", "output q1", "output q3", "output share",
               "of authors", "words/s"]  # fmt: skip
    say(table(out, columns))
    about = {"name": corpus.name, "digest": corpus.digest, "V": corpus.n_classes, "licence": corpus.licence}
    return {"bench": "train", **provenance(device), "corpus": about, "rows": out}
