"""What all benchmarks share: tables, provenance, files."""

from __future__ import annotations

import datetime
import json
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..files import cache_dir, write_whole

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


def plain(text: str) -> str:
    """The text of somebody else's file without what a terminal obeys or hides: control characters as escapes."""
    joiners = "\u200c\u200d"  # parts of words in some scripts
    return "".join(
        c.encode("unicode_escape").decode()
        if c not in joiners and (unicodedata.category(c)[0] == "C" or c in "\u2028\u2029")
        else c
        for c in text
    )


def fits_terminal(text: str, encoding: str | None) -> str:
    """The text as a terminal of this encoding can show it: a minus and the like in ASCII, other signs as escapes."""
    for sign, ascii_sign in (("\u2212", "-"), ("\u2265", ">="), ("\u2013", "-"), ("\u00a0", " ")):
        try:
            sign.encode(encoding or "utf-8")
        except (UnicodeEncodeError, LookupError):
            text = text.replace(sign, ascii_sign)
    try:
        return text.encode(encoding or "utf-8", "backslashreplace").decode(encoding or "utf-8")
    except LookupError:
        return text


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

        from ..machine import describe

        out |= {"torch": torch.__version__, "threads": torch.get_num_threads(), "device": describe(device)}
    return out


def save(record: Row, path: str) -> None:
    """Write a benchmark's record, whole or not at all."""
    write_whole(path, json.dumps(record, indent=1) + "\n")
