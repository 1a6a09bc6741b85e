"""Drawings for readers who run nothing: a token on its way through the layer, and a text that is half legible.

Each lies on a light card of its own, so that it reads on a light and on a dark page.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

from ...planning import default_widths
from ...vocabulary import Vocabulary
from .passages import Piece

_WIDTH, _INK, _GREY, _BLUE = 760, "#1d2329", "#6b737b", "#0a5c94"
#: Head and tails as the scene of a token draws them in its light theme; a dark page turns both bright.
_CLUSTERS = ("#0a6cad", "#a05e00", "#00825d", "#b04a8b", "#5b6ee1", "#c44d00")
_SERIF, _SANS = "Georgia, 'Times New Roman', serif", "system-ui, sans-serif"
#: Widths of letters in a serif type, as parts of its size; others are half as wide as high.
_LETTERS = {**dict.fromkeys("ijlt'", 0.28), **dict.fromkeys("frsI", 0.36), **dict.fromkeys(" .,:;!", 0.25)}
_LETTERS |= {**dict.fromkeys("ceaz", 0.44), **dict.fromkeys("mM", 0.78), "w": 0.72, **dict.fromkeys("OTABDS", 0.68)}


def _text(x: float, y: float, text: str, *, size: int = 15, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" {more}>{html.escape(text)}</text>'


def _card(height: float, parts: Sequence[str], font: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" width="{_WIDTH}" '
        f'font-family="{font}" fill="{_INK}"><rect width="{_WIDTH}" height="{height:.0f}" rx="10" fill="#f7f8fa"/>'
        f"{''.join(parts)}</svg>"
    )


def token_svg(vocabulary: Vocabulary, sentence: str, word: str, cutoffs: Sequence[int], d: int = 512) -> str:
    """A sentence, one word of which is scored: by a full softmax, and by a head and the tail that holds the word.

    Areas are multiplications, to scale: a block is as wide as its words and as high as the numbers that each holds.
    """
    words = vocabulary.words or ()
    ranks = {w: words.index(w) + 1 for w in sentence.split()}
    n, edges = len(vocabulary), [0, *cutoffs, len(vocabulary)]
    widths = [d, *default_widths(d, len(cutoffs))]
    names = ["head", *(f"tail {i + 1}" for i in range(len(cutoffs)))]
    cluster = {w: sum(rank > c for c in cutoffs) for w, rank in ranks.items()}
    left, unit, full_top, own_top = 24.0, 84.0, 96.0, 240.0
    scale = (_WIDTH - 2 * left) / n
    parts, x = [], left
    for one in sentence.split():
        wide = _width_of(one, 21)
        color, strong = _CLUSTERS[cluster[one]], 'font-weight="700"' if one == word else ""
        parts.append(_text(x, 40, one, size=21, more=f'font-family="{_SERIF}" {strong}'))
        parts.append(f'<rect x="{x:.1f}" y="47" width="{wide:.1f}" height="{6 if one == word else 4}" fill="{color}"/>')
        x += wide + 12
    parts.append(_text(left, full_top - 10, f"Full softmax: all {n:,} words are scored", more='font-weight="600"'))
    parts.append(f'<rect x="{left}" y="{full_top}" width="{scale * n:.1f}" height="{unit}" fill="#7d858d"/>')
    opened = names[cluster[word]]
    title = f"Adaptive softmax: the head answers “{opened}”, and only then is {opened} computed"
    parts.append(_text(left, own_top - 10, title, more='font-weight="600"'))
    for i, width in enumerate(widths):
        x, wide = left + scale * edges[i], max(3.0, scale * (edges[i + 1] - edges[i]) - 1)
        lit = i in (0, cluster[word])
        parts.append(
            f'<rect x="{x:.1f}" y="{own_top}" width="{wide:.1f}" height="{max(3.0, unit * width / d):.1f}" '
            f'fill="{_CLUSTERS[i]}" fill-opacity="{1 if lit else 0.3}"/>'
        )
    label_top = own_top + unit + 20
    parts.append(_text(left, label_top, f"head: {edges[1]:,} words of {d} numbers"))
    for i in range(1, len(widths)):
        y = own_top + 28 + unit * widths[i] / d + 22 * (len(widths) - 1 - i)
        x = left + scale * edges[i] + 12
        parts.append(_text(x, y, f"{names[i]}: {edges[i + 1] - edges[i]:,} words of {widths[i]} numbers"))

    def spent(i: int) -> int:
        """Multiplications for a word of cluster i."""
        tail = d * widths[i] + widths[i] * (edges[i + 1] - edges[i]) if i else 0
        return (edges[1] + len(cutoffs)) * d + tail

    told = (
        f"For “{word}”: {n * d / 1e6:,.0f} million multiplications in full, "
        f"{spent(cluster[word]) / 1e6:,.0f} million here."
    )
    parts.append(_text(left, label_top + 34, told, size=16, more='font-weight="600"'))
    return _card(label_top + 54, parts, _SANS)


def _width_of(text: str, size: float) -> float:
    """Of a text in a serif type, about."""
    return size * sum(_LETTERS.get(letter, 0.5) for letter in text)


def reading_svg(pieces: Sequence[Piece], n: int, last: int, name: str) -> str:
    """A text in which the ``n`` most frequent words can be read, and its words on a line by rank up to ``last``."""
    size, left, right, line = 22, 28.0, _WIDTH - 28.0, 38.0
    x, y, parts = left, 46.0, []
    for text, rank in pieces:
        wide = _width_of(text, size)
        if rank >= 0 and x + wide > right:
            x, y = left, y + line
        if rank < 0:
            parts.append(_text(x, y, text, size=size, more=f'font-family="{_SERIF}"') if text.strip() else "")
        elif 0 < rank <= n:
            fill = f'fill="{_BLUE}"' if rank > n / 1.8 else ""
            parts.append(_text(x, y, text, size=size, more=f'font-family="{_SERIF}" {fill}'))
        else:
            parts.append(
                f'<rect x="{x:.1f}" y="{y - 18:.1f}" width="{wide:.1f}" height="24" rx="4" fill="{_INK}" '
                'fill-opacity=".2"/>'
            )
        x += wide
    words = [(text, rank) for text, rank in pieces if rank >= 0]
    legible = sum(0 < rank <= n for _, rank in words)
    y += 46
    said = f"The {n:,} most frequent words of {name}: {legible} of {len(words)} words can be read."
    parts.append(_text(left, y, said, size=16, more='font-weight="600"'))
    parts += _rank_line([(text, rank) for text, rank in words if rank > 0], n, last, left, right, y + 130)
    return _card(y + 176, parts, _SANS)


def _rank_line(
    words: Sequence[tuple[str, int]], n: int, last: int, left: float, right: float, base: float
) -> list[str]:
    """The words of a text as dots at their ranks, and a handle at rank n."""
    top = math.log10(last)

    def place(rank: float) -> float:
        return left + math.log10(rank) / top * (right - left)

    parts = [
        f'<rect x="{left}" y="{base - 104:.1f}" width="{place(n) - left:.1f}" height="104" fill="{_BLUE}" '
        'fill-opacity=".1"/>'
    ]
    for power in range(int(top) + 1):
        x = place(10**power)
        parts.append(f'<path d="M{x:.1f},{base - 104:.1f}v104" stroke="{_INK}" stroke-opacity=".15"/>')
        parts.append(_text(x, base + 18, f"{10**power:,}", size=13, more='text-anchor="middle"'))
    parts.append(
        _text((left + right) / 2, base + 36, "rank of each word of the text", size=13, more='text-anchor="middle"')
    )
    heights: dict[int, int] = {}
    for _, rank in sorted(words, key=lambda word: word[1]):
        at = round(place(rank) / 9)
        level = heights[at] = heights.get(at, -1) + 1
        fill = _BLUE if rank <= n else "#f7f8fa"
        edge = _BLUE if rank <= n else _GREY
        parts.append(
            f'<circle cx="{9 * at}" cy="{base - 7 - 9 * level:.1f}" r="4" fill="{fill}" stroke="{edge}" '
            'stroke-width="1.5"/>'
        )
    x = place(n)
    parts.append(f'<path d="M{x:.1f},{base - 108:.1f}V{base:.1f}" stroke="{_INK}" stroke-width="2"/>')
    parts.append(f'<circle cx="{x:.1f}" cy="{base - 108:.1f}" r="8" fill="#fff" stroke="{_INK}" stroke-width="3"/>')
    return parts
