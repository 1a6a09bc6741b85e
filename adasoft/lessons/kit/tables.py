"""Tables for a page: every cell is escaped, the first of each row names it."""

from __future__ import annotations

import html
from collections.abc import Sequence


def html_table(
    rows: Sequence[Sequence[str]],
    heads: Sequence[str] = (),
    *,
    label: str = "",
    sentences: bool = False,
    scrolls: bool = False,
) -> str:
    """A table in HTML.

    Args:
        rows: cells from left to right; the first is the row's name.
        heads: of the columns; none by default.
        label: the table's name for screen readers.
        sentences: cells hold sentences, so they begin at the left; else numbers, which end at the right.
        scrolls: it may be wider than the page, and then scrolls by itself.

    >>> html_table([["<b>", "5"]], ["word", "count"], label="words")
    '<table aria-label="words"><tr><th scope="col">word</th><th scope="col">count</th></tr><tr><th scope="row">&lt;b&gt;</th><td>5</td></tr></table>'
    """  # noqa: E501
    top = "".join(f'<th scope="col">{html.escape(head)}</th>' for head in heads)
    body = "".join(
        f'<tr><th scope="row">{html.escape(row[0])}</th>'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    named = f' aria-label="{html.escape(label)}"' if label else ""
    kind = ' class="adasoft-sentences"' if sentences else ""
    table = f"<table{kind}{'' if scrolls else named}>{f'<tr>{top}</tr>' if heads else ''}{body}</table>"
    return f'<div class="adasoft-scrolls" tabindex="0" role="region"{named}>{table}</div>' if scrolls else table
