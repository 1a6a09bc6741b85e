"""What all benchmarks share: tables, provenance, files."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from ..files import cache_dir, write_whole

if TYPE_CHECKING:
    from ..timing import Step

Row = dict[str, Any]
Say = Callable[[str], None]


def table(rows: Sequence[Row], columns: Sequence[str], width: int | None = None) -> str:
    """Rows as text, columns aligned; with a ``width``, in blocks of no more signs, the first column before each."""
    cells = [list(columns)] + [[_text(row.get(column, "")) for column in columns] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    blocks: list[list[int]] = [[0]]
    for i in range(1, len(columns)):
        if width is not None and len(blocks[-1]) > 1 and sum(2 + widths[j] for j in blocks[-1]) + widths[i] > width:
            blocks.append([0])
        blocks[-1].append(i)
    return "\n\n".join(
        "\n".join("  ".join(row[i].rjust(widths[i]) for i in block) for row in cells) for block in blocks
    )


def results_folder() -> Path:
    """Where records of trainings and benchmarks lie: ``data/results`` of a checkout, else in the cache.

    An installed package has no such folder, and site-packages is no place for a reader's results.
    """
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").is_file() and (checkout / "data").is_dir():
        return checkout / "data" / "results"
    return cache_dir() / "results"


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def provenance(device: str | None = None) -> Row:
    """Where and with what a benchmark ran."""
    out: Row = {
        "adasoft": __version__,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }
    out["numpy"] = np.__version__
    if device is not None:
        import torch

        from ..timing import describe

        out |= {"torch": torch.__version__, "threads": torch.get_num_threads(), "device": describe(device)}
    return out


def peak_mib(step: Step, device: str) -> float:
    """:func:`adasoft.timing.peak_bytes` in MiB, without the lines by which the profiler announces itself."""
    from ..timing import peak_bytes

    with _without_notices():
        return peak_bytes(step, device) / 2**20


@contextlib.contextmanager
def _without_notices() -> Iterator[None]:
    """Let nothing be seen of what libraries below Python write to the stream of errors. Exceptions pass."""
    with contextlib.suppress(AttributeError, OSError, ValueError):  # there may be no such stream
        sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the memory of the device does not suffice; that of a CPU has no type of its own."""
    import torch

    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "DefaultCPUAllocator" in str(error)


def save(record: Row, path: str) -> None:
    """Write a benchmark's record, whole or not at all."""
    write_whole(path, json.dumps(record, indent=1) + "\n")
