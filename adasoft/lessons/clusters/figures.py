"""Figures of the lesson on clusters, and their sentences; no widgets."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from ...tradeoffs import TwoClusters
from ..kit.explorer import Explorer
from ..kit.picker import COLORS, places
from ..kit.plots import FULL_COLOR, LOG, Data, Layout, amount_text, filled


def two_clusters_data(explorer: Explorer, found: TwoClusters) -> tuple[Data, Layout]:
    """Cost of two clusters against the size of the first, in the root or in a leaf."""
    sizes = found.sizes
    at = places(len(sizes), 280) - 1
    curves = [explorer.amount(values[at]) for values in (found.root, found.leaf)]
    best = int(found.root.argmin())
    here = (explorer.cutoffs[0] if explorer.cutoffs else 1) - 1
    data = {
        0: {"x": sizes[at].astype(float), "y": curves[0]},
        1: {"x": sizes[at].astype(float), "y": curves[1]},
        2: {"x": sizes[[0, -1]].astype(float), "y": np.full(2, explorer.amount(found.full))},
        3: {"x": np.asarray([sizes[here]], dtype=float), "y": explorer.amount(found.root[[here]])},
        4: {"x": np.asarray([sizes[best]], dtype=float), "y": explorer.amount(found.root[[best]])},
    }
    return data, {"yaxis.title.text": explorer.unit}


def two_clusters_figure(explorer: Explorer, found: TwoClusters) -> go.Figure:
    """The paper's first experiment, with the reader's words."""
    figure = go.Figure()
    figure.add_scatter(mode="lines", line={"color": COLORS[0], "width": 3}, name="frequent words in the root")
    figure.add_scatter(mode="lines", line={"color": COLORS[1], "dash": "dash"}, name="both clusters in leaves")
    figure.add_scatter(mode="lines", line={"color": FULL_COLOR, "dash": "dot"}, name="full softmax")
    figure.add_scatter(mode="markers", marker={"size": 14, "symbol": "diamond", "color": COLORS[5]}, name="your cut")
    figure.add_scatter(
        mode="markers", marker={"size": 13, "symbol": "star", "color": COLORS[2]}, name="best", visible=False
    )
    figure.update_xaxes(title_text="words in the first cluster, k<sub>h</sub>", **LOG)
    figure.update_yaxes(type="log", dtick="D2", tickformat=",.6~r")
    figure = filled(figure, *two_clusters_data(explorer, found), 340)
    figure.update_layout(showlegend=True, legend={"orientation": "h", "y": 1.12})
    return figure


def two_clusters_sentence(explorer: Explorer, found: TwoClusters, best: bool = False) -> str:
    """Two clusters in words; the best cut only if asked."""
    here = explorer.cutoffs[0] if explorer.cutoffs else 1
    root, leaf = float(found.root[here - 1]), float(found.leaf[here - 1])
    text = (
        f"Your cut: {here:,} words in the first cluster, {len(explorer.vocabulary) - here:,} in the second. "
        f"{amount_text(explorer, root)} with the frequent words in the root, {amount_text(explorer, leaf)} with both "
        f"in leaves, {amount_text(explorer, found.full)} for the full "
        f"softmax ({found.full / root:,.1f} times as much as the first)."
    )
    if best:
        at = int(found.root.argmin())
        text += (
            f" Best in the root: {int(found.sizes[at]):,} words, {amount_text(explorer, float(found.root[at]))}, "
            f"{found.full / found.root[at]:,.1f} times cheaper than the full softmax."
        )
    return text


def swap_svg(k_small: int, k_large: int, p_small: float, p_large: float) -> str:
    """Two clusters as areas, share x size, as they are and with their shares swapped."""
    scale_x, scale_y = 300 / (k_small + k_large), 130 / max(p_small + p_large, 1e-9)
    parts = []
    for left, shares, title in ((20, (p_small, p_large), "as set"), (400, (p_large, p_small), "shares swapped")):
        total = shares[0] * k_small + shares[1] * k_large
        parts.append(f'<text x="{left}" y="16" font-weight="bold">{title}: {total:,.0f} words per token</text>')
        x = float(left)
        for i, (k, p) in enumerate(zip((k_small, k_large), shares, strict=True)):
            w, h = k * scale_x, p * scale_y
            parts.append(
                f'<rect x="{x:.1f}" y="{170 - h:.1f}" width="{w:.1f}" height="{h:.1f}" fill="{COLORS[i + 1]}" '
                f'fill-opacity=".55" stroke="currentColor"/>'
                f'<text x="{x + 2:.1f}" y="{188 + 16 * i}">k = {k:,}, p = {100 * p:.0f} %, p k = {p * k:,.0f}</text>'
            )
            x += w
    label = "Two clusters drawn as rectangles, share of tokens high and words wide; the area is the cost"
    return (
        f'<svg viewBox="0 0 760 214" role="img" aria-label="{label}" style="width:100%;max-width:760px;font:12px '
        f'sans-serif;fill:currentColor">{"".join(parts)}</svg>'
    )


def swap_sentence(k_small: int, k_large: int, p_small: float, p_large: float) -> str:
    """The swap in words."""
    now, swapped = p_small * k_small + p_large * k_large, p_large * k_small + p_small * k_large
    if abs(now - swapped) < 1e-9:
        return "Equal sizes or equal shares: swapping changes nothing."
    better = "better as set" if now < swapped else "better swapped"
    return (
        f"As set, {now:,.0f} words scored per token in these two clusters; swapped, {swapped:,.0f}. It is {better}: "
        "the more frequent words belong in the smaller cluster. The difference is (p - p')(k' - k) = "
        f"{abs(now - swapped):,.0f}."
    )
