"""What all benchmarks share: tables, provenance, files."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import __version__
from ..cost import write_whole

Row = dict[str, Any]
Say = Callable[[str], None]


def table(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """Rows as text, columns aligned."""
    cells = [list(columns)] + [[_text(row.get(column, "")) for column in columns] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)


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

        from ..machine import describe

        out |= {"torch": torch.__version__, "threads": torch.get_num_threads(), "device": describe(device)}
    return out


def save(record: Row, path: str) -> None:
    """Write a benchmark's record, whole or not at all."""
    write_whole(path, json.dumps(record, indent=1) + "\n")
