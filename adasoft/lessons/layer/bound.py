"""The second rule of decoding in a drawing: a block of each tail's words, and what none of them can exceed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...decoding import BLOCK, block_bounds
from ..kit.picker import COLORS
from .drawing import WIDE, canvas, dot, line, short, text
from .explorer import LayerExplorer

#: Tails that have room side by side.
MOST = 3


@dataclass(frozen=True)
class BlockView:
    """The block of a tail that comes nearest to the k best words, in the plane of h and of its largest spread."""

    tail: int
    """From 1."""
    first: int
    """Rank of its first word, from 0."""
    words: np.ndarray[Any, Any]
    """(n, 2): along h, and across it; both lengths are those of the tail's own space."""
    mean: tuple[float, float]
    radius: float
    needed: float
    """How far along h a word would have to lie, at least, to be among the k best; -inf where places are empty."""
    left: bool
    """Whether the first rule leaves its tail."""
    holds: bool
    """Whether a word of the tail is among the k best, of those up to its last."""

    @property
    def most(self) -> float:
        """How far along h a word of the block can lie at most."""
        return self.mean[0] + self.radius

    @property
    def skipped(self) -> bool:
        """Whether the second rule skips it, and with it the tail, for no other block comes nearer."""
        return self.most < self.needed


@torch.no_grad()
def nearest_blocks(explorer: LayerExplorer, k: int) -> list[BlockView]:
    """Of each tail, the block whose bound comes nearest to the k best words after the chosen hidden state."""
    layer, x = explorer.layer, explorer.states[explorer.state - 1]
    log_prob, cluster = layer.log_prob(x), torch.log_softmax(layer.head(x), 0)[layer.shortlist_size :]
    found: list[BlockView] = []
    for i, (projection, words) in enumerate(layer.tail):  # type: ignore[misc]
        z, weight = projection(x), words.weight  # type: ignore[has-type]
        norm, blocks = z.norm(), block_bounds(weight)  # type: ignore[arg-type]
        inner = blocks.means @ z
        start, end = layer.cutoffs[i : i + 2]
        before = log_prob[:start]  # the head, and the tails before this one
        wanted = before.topk(k).values[-1] if k <= len(before) else torch.tensor(-torch.inf, dtype=z.dtype)
        needed = float((wanted - cluster[i] + torch.logsumexp(inner + blocks.log_sizes, 0)) / norm)
        at = int((inner + norm * blocks.radii).argmax())
        own, first = weight[at * BLOCK : (at + 1) * BLOCK], start + at * BLOCK  # type: ignore[index]
        axes = _plane(own - blocks.means[at], z / norm)  # type: ignore[operator]
        mean = axes @ blocks.means[at]
        place, radius = (float(mean[0]), float(mean[1])), float(blocks.radii[at])
        left, holds = (bool(p >= wanted) for p in (cluster[i], log_prob[start:end].max()))
        found.append(BlockView(i + 1, first, (own @ axes.T).numpy(), place, radius, needed, left, holds))
    return found


def _plane(around: Tensor, along: Tensor) -> Tensor:
    """(2, d_i): the direction of h, and that of the largest spread across it."""
    across = around - torch.outer(around @ along, along)
    side = torch.linalg.svd(across).Vh[0]
    side = side - (side @ along) * along
    return torch.stack([along, side / side.norm().clamp(min=1e-12)])


def verdict(view: BlockView) -> str:
    """What becomes of the block's tail."""
    if not view.left:
        return "closed by the first rule"
    if view.skipped:
        return "closed by the second rule"
    return "opened for one of the best" if view.holds else "opened in vain"


def bound_svg(explorer: LayerExplorer, k: int) -> str:
    """The nearest block of each tail: its words, the circle around them, what no word exceeds, what it would take."""
    views = nearest_blocks(explorer, k)[:MOST]
    column, middle, half = WIDE / len(views), 128.0, 72.0
    body = [
        line([(4, 12), (26, 12)], 'stroke-width="2.5"'),
        text(34, 17, "no word of the block lies to the right: h·w ≤ h·mean + |h|·radius", 'font-weight="bold"'),
        line([(4, 34), (26, 34)], 'stroke-width="2" stroke-dasharray="5 4"'),
        text(34, 39, f"where a word must lie to be among the {k} best" if k > 1 else "where the best word must lie"),
        line([(440, 34), (476, 34)], 'stroke-width="3"'),
        line([(467, 29), (476, 34), (467, 39)], 'stroke-width="3"'),
        text(484, 39, "along h, scores rise"),
    ]
    for i, view in enumerate(views):
        center, scale, color = column * (i + 0.5), half / max(view.radius, 1e-12), COLORS[view.tail]
        place = center + min(column / 2 - 4, max(-half - 12, (view.needed - view.mean[0]) * scale))
        upright = (middle - half - 6, middle + half + 6)
        first, last = (short(explorer.word_name(rank), 12) for rank in (view.first, view.first + len(view.words) - 1))
        body += [
            f'<circle cx="{center:.1f}" cy="{middle:.1f}" r="{half:.1f}" fill="{color}" fill-opacity=".12" '
            'stroke="currentColor"/>',
            *(
                dot(center + (along - view.mean[0]) * scale, middle - (across - view.mean[1]) * scale, color, 3.5)
                for along, across in view.words
            ),
            line([(center - 7, middle), (center + 7, middle)], 'stroke-width="2.5"'),
            line([(center, middle - 7), (center, middle + 7)], 'stroke-width="2.5"'),
            line([(center + half, y) for y in upright], 'stroke-width="2.5"'),
            line([(place, y) for y in upright], 'stroke-width="2" stroke-dasharray="5 4"'),
            text(center, 224, f"{first} … {last}", 'text-anchor="middle" font-style="italic"'),
            text(center, 244, f"tail {view.tail}: {verdict(view)}", 'text-anchor="middle" font-weight="bold"'),
        ]
    told = "; ".join(f"tail {view.tail}: {verdict(view)}" for view in views)
    return canvas(body, 252, f"A block of words of each tail as points in a circle; {told}")
