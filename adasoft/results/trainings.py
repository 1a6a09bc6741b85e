"""Records of finished trainings, and the rows of the table that they make."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..files import DamagedFile
from ..lm.run_records import read_rates, read_run_record, repeatable
from ..screen import one_line
from ..text import Row, counted
from .suite import ROW_LABELS, ROW_SETTINGS

if TYPE_CHECKING:
    from ..corpora import Corpus
    from ..lm.settings import Settings

#: Settings that no step takes longer for.
_TIMELESS = ("seed", "epochs", "learning_rate", "warmup", "halve_from")


def stored_as(folder: Path, name: str, corpus: Corpus, settings: Settings, device: str) -> tuple[Path, bool]:
    """The file of the record of a run of a table in a folder, and whether it is there.

    A record of other settings or another text of the same name keeps its file: the new one's gets digits in its name.
    Raises ValueError for a file that is not a record.
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
        where = f"{device['name']} with {capability}, {counted(threads, 'thread')}"
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

    return {k: v for k, v in Settings.read(settings).changed().items() if k not in ROW_SETTINGS}


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
    rows = [_row(records, rates) for records in groups.values()]
    order = {name: place for place, name in enumerate(ROW_LABELS)}

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


def _row(records: list[Row], rates: Mapping[Any, Row]) -> Row:
    """The row of runs that differ only in the seed."""
    first = records[0]
    settings, corpus = first["settings"], first["corpus"]
    digest, _, device = first["key"]
    base = _base(settings)
    perplexities = np.array([r["test perplexity"] for r in records])
    rate = rates.get((digest, _timed_by(settings), device))
    words = rate["words/s"] if rate else float(np.mean([r["words per second"] for r in records]))
    share = rate["output share"] if rate else float(np.mean([r["shares"]["output"] for r in records]))
    return {
        "corpus": corpus["name"],
        "V": corpus["V"],
        "title": _title(base) + (f", on {device}" if device != "cpu" else ""),
        "name": first.get("row", settings["softmax"]),
        "cutoffs": first["cutoffs"],
        "widths": first["widths"],
        "seeds": len(records),
        "table": (corpus["name"], digest, json.dumps(base, sort_keys=True), device),
        "head share": first["head share"],
        "mean width": _mean_width(first),
        "test": float(perplexities.mean()),
        "lowest": float(perplexities.min()),
        "highest": float(perplexities.max()),
        "valid": float(np.mean([r["epochs"][-1]["valid"] for r in records])),
        "minutes": corpus["train"] * settings["epochs"] / words / 60,
        "words/s": words,
        "output share": share,
        "output ms": settings["batch"] * settings["bptt"] / words * share * 1e3,
        "timed": rate is not None,
        "timed on": rate["timed on"] if rate else "",
        "parameters": first["parameters"],
        "output parameters": first["output parameters"],
        "command": first.get("command", ""),
        "epochs": settings["epochs"],
        "d": settings["hidden"],
        "per word": float(np.mean([_per_word(r) for r in records])),
        "device": first["device"]["name"],
        "dates": sorted({str(r["date"])[:10] for r in records}),
        "files": [r["file"] for r in records],
    }


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
