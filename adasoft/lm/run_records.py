"""Records of trainings (``record.json``, ``train-*.json``), read with every field checked that is used here."""

from __future__ import annotations

import math
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from ..files import DamagedFile, entry, read_json, short

Record = dict[str, Any]
#: No count, and no number per second, is above this; what is made of them stays within fp64.
_MOST = 1e15


def read_run_record(path: str | os.PathLike[str], remedy: str = "delete it") -> Record:
    """The record of one training, as :func:`adasoft.lm.launch.record_of` makes it.

    Raises :class:`adasoft.files.DamagedFile` with the name of the file and of the field for anything else.
    """
    path = Path(path)
    record: Record = read_json(path, remedy=remedy, finite=False)
    told = partial(entry, record, path=path, remedy=remedy)
    listed = partial(_numbers, record, path=path, remedy=remedy)
    for name in ("train", "adasoft", "date", "torch"):
        told(name, kind=str)
    for name in ("command", "row"):
        if name in record:
            told(name, kind=str)
    for name in ("threads", "parameters", "output parameters"):
        told(name, kind=int, least=1, most=_MOST)
    for name in ("name", "digest"):
        told("corpus", name, kind=str)
    for name in ("V", "train", "valid", "test"):
        told("corpus", name, kind=int, least=1, most=_MOST)
    if "words" in record["corpus"]:
        told("corpus", "words", "test", kind=float, least=1, most=_MOST)
    for name in ("type", "name"):
        told("device", name, kind=str)
    record["settings"] = _settings(told("settings", kind=dict), path, remedy)
    for name in ("cutoffs", "widths"):
        listed(name, kind=int, least=1, most=_MOST)
    told("head share", kind=float, least=0, most=1 + 1e-9)
    if "cluster shares" in record:
        listed("cluster shares", kind=float, least=0, most=1 + 1e-9)
        ends = len(record["widths"]) + 1
        if record["settings"]["softmax"] == "adaptive" and len(record["cluster shares"]) != ends:
            raise DamagedFile(path, f"cluster shares should hold {ends} numbers, one more than widths", remedy)
    done = told("done", kind=bool)
    if record.get("test perplexity", 0) is not None:
        _check_perplexity(record, "test perplexity", path, remedy)
    told("seconds", kind=float, least=0)
    told("words per second", kind=float, least=1e-9 if done else 0, most=_MOST)
    for part in ("body", "output", "optimizer"):
        told("shares", part, kind=float, least=1e-9 if done and part == "output" else 0, most=1 + 1e-9)
    for i, epoch in enumerate(told("epochs", kind=list)):
        _check_perplexity(epoch, "valid", path, remedy, f"epochs.{i}.")
    if done and len(record["epochs"]) != record["settings"].get("epochs"):
        rule = f"epochs should hold those of settings.epochs, {short(record['settings'].get('epochs'))}"
        raise DamagedFile(path, f"{rule}, got {len(record['epochs'])}", remedy)
    if record.get("test by rank") is not None:
        sizes = {
            len(listed("test by rank", name, kind=float if name == "nats" else int, least=0, most=_MOST))
            for name in ("from rank", "tokens", "nats")
        }
        if len(sizes) > 1 or not sum(record["test by rank"]["tokens"]):
            rule = "test by rank should hold from rank, tokens and nats of one length, and tokens above 0"
            raise DamagedFile(path, rule, remedy)
    return record


def _check_perplexity(found: Any, name: str, path: Path, remedy: str, above: str = "") -> None:
    """Refuse what cannot be a perplexity. That of a training that has diverged may be nan or infinite."""
    value: Any = found.get(name) if isinstance(found, Mapping) else None
    if type(value) not in (int, float) or value < 1:
        raise DamagedFile(path, f"{above}{name} should be a number of at least 1, got {short(value)}", remedy)


def read_rates(path: str | os.PathLike[str], remedy: str = "delete it") -> Record:
    """The rates of ``bench train``: words per second of each softmax. Raises as :func:`read_run_record`."""
    path = Path(path)
    record: Record = read_json(path, remedy=remedy)
    told = partial(entry, record, path=path, remedy=remedy)
    told("date", kind=str)
    told("threads", kind=int, least=1)
    told("corpus", "digest", kind=str)
    for name in ("type", "name"):
        told("device", name, kind=str)
    for i, row in enumerate(told("rows", kind=list)):
        inside = partial(entry, {"rows": {str(i): row}}, "rows", str(i), path=path, remedy=remedy)
        row["settings"] = _settings(inside("settings", kind=dict), path, remedy)
        inside("words/s", kind=float, least=1e-9, most=_MOST)
        inside("output share", kind=float, least=1e-9, most=1 + 1e-9)
    return record


def _numbers(
    record: Mapping[str, Any], *names: str, kind: type, path: Path, remedy: str, least: float, most: float = math.inf
) -> list[Any]:
    """The entry, a list whose members are numbers as :func:`adasoft.files.entry` wants them."""
    values: list[Any] = entry(record, *names, kind=list, path=path, remedy=remedy)
    name = ".".join(names)
    for i, value in enumerate(values):
        entry({f"{name}[{i}]": value}, f"{name}[{i}]", kind=kind, path=path, remedy=remedy, least=least, most=most)
    return values


def _settings(values: Mapping[str, Any], path: Path, remedy: str) -> dict[str, Any]:
    """The settings, and the defaults of those that were added since."""
    from .settings import Settings

    try:
        Settings.read(values)
    except (ValueError, TypeError) as error:
        raise DamagedFile(path, f"settings: {error}", remedy) from error
    return {**asdict(Settings()), **values}


_TORCHRUN = re.compile(r"--nproc_per_node=\d+")


def repeatable(command: str) -> str:
    """A recorded command, quoted so that pasting it runs adasoft and nothing else; empty for any other command."""
    try:
        words = shlex.split(command)
    except ValueError:
        return ""
    if words[:1] == ["torchrun"] and _TORCHRUN.fullmatch("".join(words[1:2])):
        start, rest = words[:2], words[2:]
    else:
        start, rest = words[:1], words[1:]
    if start[:1] not in (["python"], ["torchrun"]) or rest[:2] != ["-m", "adasoft"]:
        return ""
    return shlex.join(words)
