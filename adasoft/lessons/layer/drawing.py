"""Shapes of the lesson's drawings: SVG that follows the theme's text colour, 640 units wide, text of 14."""

from __future__ import annotations

import html
from collections.abc import Sequence

from ..kit.plots import GUESSED, YOU

WIDE = 640


def canvas(body: Sequence[str], height: float, label: str) -> str:
    """The whole drawing, with its name for screen readers."""
    return (
        f'<svg viewBox="0 0 {WIDE} {height:g}" role="img" aria-label="{html.escape(label, quote=True)}" '
        f'style="width:100%;max-width:680px;font:14px sans-serif;fill:currentColor">{"".join(body)}</svg>'
    )


def text(x: float, y: float, words: str, more: str = "") -> str:
    """One line of text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{html.escape(words)}</text>'


def line(points: Sequence[tuple[float, float]], more: str = "") -> str:
    """A line through points."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="currentColor" {more}/>'


def box(x: float, y: float, wide: float, high: float, color: str | None, strength: float = 0.35) -> str:
    """A box of a colour where something is computed, else an empty dashed one."""
    style = (
        f'fill="{color}" fill-opacity="{strength}" stroke="{color}"' if color else 'fill="none" stroke="currentColor"'
    )
    dashed = "" if color else ' stroke-opacity=".5" stroke-dasharray="4 4"'
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(wide, 1):.1f}" height="{high:.1f}" {style}{dashed}/>'


def dot(x: float, y: float, color: str = "currentColor", radius: float = 4.5) -> str:
    """What is measured."""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{color}"/>'


def ring(x: float, y: float) -> str:
    """Where the reader is."""
    radius, width = YOU["size"] / 2, YOU["line"]["width"]  # type: ignore[operator, index]
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="none" stroke="currentColor" stroke-width="{width}"/>'
    )


def cross(x: float, y: float) -> str:
    """What the reader guessed."""
    r = GUESSED["size"] / 2  # type: ignore[operator]
    arms = [[(x - r, y - r), (x + r, y + r)], [(x - r, y + r), (x + r, y - r)]]
    return "".join(line(arm, 'stroke-width="3"') for arm in arms)


def power_of_ten(exponent: int) -> str:
    """10⁻⁵, and 1 for 0."""
    if exponent == 0:
        return "1"
    return "10" + "".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(c)] if c.isdigit() else "⁻" for c in str(exponent))


def short(words: str, letters: int) -> str:
    """A text that fits, with an ellipsis where it is cut."""
    return words if len(words) <= letters else words[: max(1, letters - 1)] + "…"
