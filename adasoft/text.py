"""Numbers and tables as plain text, for whatever prints them: benchmarks, stored results, the command line.

What a terminal can show of a text is the business of :mod:`adasoft.screen`.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

Row = dict[str, Any]
Say = Callable[[str], None]
#: Characters of a line that no terminal breaks.
WIDTH = 100


def table(rows: Sequence[Row], columns: Sequence[str], width: int | None = None) -> str:
    """Rows as text with aligned columns. With a ``width``, in blocks no wider than that, the first column in each.

    >>> print(table([{"word": "the", "count": 12345}, {"word": "of", "count": 2.5}], ["word", "count"]))
    word   count
     the  12,345
      of   2.500
    """
    cells = [list(columns)] + [[_cell(row.get(column, "")) for column in columns] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    blocks: list[list[int]] = [[0]]
    for i in range(1, len(columns)):
        if width is not None and len(blocks[-1]) > 1 and sum(2 + widths[j] for j in blocks[-1]) + widths[i] > width:
            blocks.append([0])
        blocks[-1].append(i)
    return "\n\n".join(
        "\n".join("  ".join(row[i].rjust(widths[i]) for i in block) for row in cells) for block in blocks
    )


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown.

    >>> print(markdown_table(["word", "count"], [["the", "12,345"]]))
    | word | count |
    | --- | --- |
    | the | 12,345 |
    """
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *rows))


def wrapped(text: str) -> str:
    """A paragraph in lines of at most :data:`WIDTH` characters."""
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "epoch"), counted(2_000, "epoch")
    ('1 epoch', '2,000 epochs')
    """
    return f"{number:,} {noun}{'s' * (number != 1)}"


def signed(share: float) -> str:
    """A change in percent, kept on one line by its space; a dash where there is nothing to compare.

    >>> signed(-0.35), signed(float("nan"))
    ('−35.0\\xa0%', '–')
    """
    return f"{100 * share:+.1f}\u00a0%".replace("-", "−") if math.isfinite(share) else "–"
