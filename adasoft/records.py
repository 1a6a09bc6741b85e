"""Machine records: the timings of a device and the cost model fitted to them, as files.

Written by :func:`adasoft.calibrate` into the reader's cache, shipped with adasoft for some machines, read back here
without torch. ``data/machines/record.schema.json`` describes the format.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .cost import OBJECTIVES, TERMS, MeasuredCost, lower_bounds
from .files import DamagedFile, cache_dir, checksum, entry, read_json, short, write_whole

RECORD_FORMAT = "adasoft machine record"
#: 2 since records hold the device's rates, and what a full softmax takes that holds all its logits.
RECORD_VERSION = 2
_READ_VERSIONS = (1, 2)
#: Bytes of a number in each dtype that is timed.
ITEM_SIZES = {"float32": 4, "bfloat16": 2, "float16": 2, "float64": 8}


def cpu_name() -> str:
    """The processor's name as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown CPU"


def read_record(path: str | os.PathLike[str]) -> MeasuredCost:
    """The cost model of a machine record.

    Raises FileNotFoundError, PermissionError, or ValueError with the name of file and field, and what to do, for a
    record that is damaged (not JSON, a checksum that does not fit, fields that are missing or of another kind) or
    foreign (another format or version).
    """
    path = Path(path)
    remedy = "name a machine record, or calibrate again"  # a file that was named is not ours to delete
    if path in shipped_records():
        remedy = "install adasoft again"
    elif path.parent == cache_dir() / "machines":
        remedy = "delete it and calibrate again"
    record = read_json(path, remedy=remedy)
    if record.get("format") != RECORD_FORMAT:
        raise ValueError(
            f"{path} is not a machine record: its 'format' should be {RECORD_FORMAT!r}, got "
            f"{short(record.get('format'))}; {remedy}"
        )
    found = entry(record, "version", kind=int, path=path, remedy=remedy)
    if found not in _READ_VERSIONS:
        raise ValueError(
            f"{path} comes from another adasoft: it has version {short(found)}, expected {RECORD_VERSION}; {remedy}"
        )
    _check_fields(record, path, remedy)
    if record.get("sha256") != checksum(record):
        raise ValueError(f"{path} is damaged or was edited: its checksum does not fit its content; {remedy}")
    try:
        cost = MeasuredCost(
            record["coefficients"],
            record["flat"],
            itemsize=record["itemsize"],
            name=record_name(record),
            record=record,
            path=path,
        )
        if "rates" in record:
            check_physical(cost, record["rates"])
    except ValueError as error:
        raise DamagedFile(path, str(error), remedy) from error
    return cost


def check_physical(cost: MeasuredCost, rates: Mapping[str, float]) -> None:
    """Raises ValueError, with the name of the coefficient, for a model that implies more than the device's best rates.

    ``rates``: seconds per multiply-add (``"arithmetic"``) and per byte (``"traffic"``) in its fastest samples.
    """
    for objective in OBJECTIVES:
        least = lower_bounds(rates["arithmetic"], rates["traffic"], cost.itemsize, objective)
        for kind, terms in TERMS.items():
            if kind == "vector" and not cost.coefficients[objective][kind].any():  # older records do not tell
                continue
            for term, lowest, found in zip(terms, least[kind], cost.coefficients[objective][kind], strict=True):
                if found < lowest * (1 - 1e-6):
                    raise ValueError(
                        f"coefficients.{objective}.{kind} is unphysical: that of {term!r} should be at least "
                        f"{lowest:.3g}, as in the device's fastest sample, got {found:.3g}"
                    )


def record_name(record: Mapping[str, Any]) -> str:
    """The machine, the numbers and the day, for people."""
    captured = ", captured" if record.get("captured") else ""
    return f"{record['device']['name']}, {record['dtype']}{captured}, {record['date'][:10]}"


def _check_fields(record: Mapping[str, Any], path: Path, remedy: str) -> None:
    """All that is read of a record, but for the coefficients' values."""

    def field(*names: str, kind: type, **limits: float) -> Any:
        value = entry(record, *names, kind=kind, path=path, remedy=remedy, **limits)
        if kind is str and not value.isprintable():  # it is printed on terminals
            raise DamagedFile(path, f"{'.'.join(names)} should be printable, got {short(value)}", remedy)
        return value

    def refuse(name: str, rule: str, value: Any) -> None:
        raise DamagedFile(path, f"{name} should be {rule}, got {short(value)}", remedy)

    field("device", "name", kind=str)
    if (device := field("device", "type", kind=str)) not in ("cpu", "cuda"):
        refuse("device.type", "'cpu' or 'cuda'", device)
    if (dtype := field("dtype", kind=str)) not in ITEM_SIZES:
        refuse("dtype", f"one of {', '.join(ITEM_SIZES)}", dtype)
    if (itemsize := field("itemsize", kind=int)) != ITEM_SIZES[dtype]:
        refuse("itemsize", f"{ITEM_SIZES[dtype]} for {dtype}", itemsize)
    if not re.match(r"\d{4}-\d{2}-\d{2}", date := field("date", kind=str)):
        refuse("date", "a date like 2026-01-31", date)
    for text in ("torch", "adasoft"):
        field(text, kind=str)
    field("threads", kind=int, least=1)
    for objective in OBJECTIVES:
        field("flat", objective, kind=float)
        product = field("coefficients", objective, "product", kind=list)
        if not any(product) and not record["flat"][objective]:  # predicts that everything takes no time
            refuse(f"coefficients.{objective}.product", "above 0 somewhere", product)
    if record["version"] > 1:
        field("captured", kind=bool)
        for rate in ("arithmetic", "traffic"):
            field("rates", rate, kind=float, least=0)
    field("samples", kind=list)
    if "errors" in record:
        for name in field("errors", kind=dict):
            field("errors", name, "median", kind=float, least=0)


def file_name(record: Mapping[str, Any]) -> str:
    """The name a record is stored under: device and dtype."""
    words = "".join(c.lower() if c.isalnum() else " " for c in record["device"]["name"]).split()
    threads = f"-{record['threads']}threads" if record["device"]["type"] == "cpu" else ""
    captured = "-captured" if record.get("captured") else ""
    return f"{record['device']['type']}-{'-'.join(words)}{threads}-{record['dtype']}{captured}.json"


def write_record(record: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a record whole or not at all, one sample per line: readable, and small in a diff."""
    text = json.dumps({k: v for k, v in record.items() if k != "samples"}, indent=1)
    lines = ",\n".join("  " + json.dumps(sample) for sample in record.get("samples", []))
    write_whole(path, text[: text.rindex("\n}")] + ',\n "samples": [\n' + lines + "\n ]\n}\n")


def shipped_records() -> list[Path]:
    """The machine records that come with adasoft."""
    here = Path(__file__).resolve().parent
    for folder in (here / "_machines", here.parent / "data" / "machines"):
        records = sorted(path for path in folder.glob("*.json") if not path.name.endswith(".schema.json"))
        if records:
            return records
    return []


def cached_records() -> list[Path]:
    """The reader's own machine records, newest first."""
    found = []
    for path in (cache_dir() / "machines").glob("*.json"):
        with contextlib.suppress(OSError):  # deleted just now, or a link to nothing
            found.append((path.stat().st_mtime, path))
    return [path for _, path in sorted(found, reverse=True)]


def _gpu_name(device: str | None) -> str | None:
    """What torch calls this GPU; None if torch is not imported, or sees none."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    # pragma: no cover - needs a GPU
    return str(torch.cuda.get_device_name(device if device and device.startswith("cuda") else None))


def load_cost(device: str | None = None, *, dtype: str = "float32", captured: bool = False) -> MeasuredCost:
    """The cost model of this machine, else the recorded one of the same device type.

    ``device`` is ``"cpu"``, ``"cuda"``, ``"cuda:1"`` ... or None for whatever was calibrated last (else the CPU).
    ``captured``: timings of steps that a CUDA graph replays. Looks for the newest record in the cache that was made on
    this machine (the name of a GPU is compared only if torch is imported already), then among the records that ship;
    never calibrates and never imports torch. The name says which it is. Raises LookupError if there is none, ValueError
    for a damaged record, with its name.

    >>> cost = load_cost("cuda", dtype="bfloat16")
    >>> seconds = cost.full_time(50_000, 8192, 1024)
    >>> 0 < seconds < 1
    True
    """
    device, dtype = None if device is None else str(device), str(dtype).removeprefix("torch.")
    kind = None if device is None else device.partition(":")[0]
    for path in cached_records():
        cost = read_record(path)
        record = cost.record or {}
        name = cpu_name() if record["device"]["type"] == "cpu" else _gpu_name(device)
        here = name in (None, record["device"]["name"])
        fits = (record["dtype"], cost.captured) == (dtype, captured)
        if here and fits and kind in (None, record["device"]["type"]):
            cost.name = f"this machine: {cost.name}"
            return cost
    for path in shipped_records():
        cost = read_record(path)
        record = cost.record or {}
        fits = (record["dtype"], cost.captured) == (dtype, captured)
        if fits and record["device"]["type"] == (kind or "cpu"):
            cost.name = f"recorded machine: {cost.name}"
            return cost
    how = (f" --device {device}" if device else "") + " --captured" * captured
    raise LookupError(
        f"there are no timings of a {device or 'cpu'} device with {dtype}{', captured' * captured}: run `python -m "
        f"adasoft calibrate{how}` on it, or pass cost=PaperCost(...)"
    )
