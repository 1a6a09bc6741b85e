"""Six small drawings of what each softmax computes for one token: which part of which weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from ..kit.plots import TEXT_COLOR
from .looks import ADAPTIVE_COLOR, OTHERS_COLOR

#: x, y, width and height in a drawing of 120 by 60, and whether it is computed.
Block: TypeAlias = tuple[float, float, float, float, bool]

_STRIPES = (4, 31, 47, 78, 103)
RIVALS: dict[str, Sequence[Block]] = {
    "full softmax": ((0, 0, 120, 60, True),),
    "sampled": ((0, 0, 120, 60, False), *((x, 0, 5, 60, True) for x in _STRIPES)),
    "hierarchical": ((0, 0, 22, 60, True), *((28 + 23 * i, 0, 21, 60, i == 2) for i in range(4))),
    "D-softmax": ((0, 0, 24, 40, True), (26, 40, 36, 14, True), (64, 54, 56, 6, True)),
    "D-softmax*": ((0, 0, 24, 60, True), (26, 0, 36, 15, True), (64, 0, 56, 5, True)),
    "adaptive": ((0, 0, 24, 60, True), (26, 0, 36, 15, True), (64, 0, 56, 5, False)),
}


def rivals_svg() -> str:
    """Words run from left to right, numbers of the hidden state from top to bottom; filled is what is computed."""
    parts = []
    for i, (name, blocks) in enumerate(RIVALS.items()):
        left, top = 8 + 156 * (i % 3), 28 + 108 * (i // 3)
        parts.append(f'<text x="{left}" y="{top - 8}" font-weight="bold">{name}</text>')
        color = ADAPTIVE_COLOR if name == "adaptive" else OTHERS_COLOR
        for x, y, width, height, computed in blocks:
            fill = color if computed else "none"
            parts.append(
                f'<rect x="{left + x:g}" y="{top + y:g}" width="{width:g}" height="{height:g}" fill="{fill}" '
                f'stroke="{color}"/>'
            )
    note = "filled: computed for a token; words from frequent to rare →, numbers of the hidden state ↓"
    parts.append(f'<text x="8" y="222">{note}</text>')
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 560 230" width="560" style="font:13px sans-serif" '
        f'fill="{TEXT_COLOR}">{"".join(parts)}</svg>'
    )
