"""The figures of the lesson on the layer, and the sentences that say the same."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots

from ...loss import route
from ...ranks import target_ranks
from ..kit import plots as f
from ..kit.explorer import MAX_TAILS
from ..kit.picker import COLORS, places
from .comparisons import GradientCheck
from .explorer import STATES, TOP, LayerExplorer, WordReading

_GREY = "#888888"


def _svg(body: Sequence[str], height: int, label: str) -> str:
    return (
        f'<svg viewBox="0 0 760 {height}" role="img" aria-label="{html.escape(label, quote=True)}" style="width:100%;'
        f'max-width:820px;font:12px sans-serif;fill:currentColor">{"".join(body)}</svg>'
    )


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{html.escape(text)}</text>'


def _box(x: float, y: float, wide: float, high: float, color: str | None) -> str:
    """A box of a colour if it is computed, else an empty dashed one."""
    style = f'fill="{color}" fill-opacity=".3" stroke-width="2"' if color else 'fill="none" stroke-dasharray="4 4"'
    strength = "" if color else ' stroke-opacity=".5"'
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{high:.1f}" rx="3" {style} stroke="currentColor"'
        f"{strength}/>"
    )


def _line(points: Sequence[tuple[float, float]], more: str = "") -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="currentColor" {more}/>'


def _probability(p: float) -> str:
    return f"{p:.3f}" if p >= 0.01 else f"{p:.2g}"


def multiplications(explorer: LayerExplorer, cluster: int) -> int:
    """Multiplications of the forward products for one token of a cluster."""
    layer = explorer.layer
    edges, d = layer.cutoffs, layer.in_features
    tail = 0 if cluster == 0 else layer.widths[cluster - 1] * (d + edges[cluster] - edges[cluster - 1])
    return d * layer.head_size + tail


def path_svg(explorer: LayerExplorer, reading: WordReading) -> str:
    """Which products a token's target needs: the head always, one tail at most."""
    layer, chosen = explorer.layer, reading.cluster
    d, sizes = layer.in_features, [b - a for a, b in pairwise(layer.cutoffs)]
    parts_ = [
        _text(12, 18, "hidden state"),
        _box(12, 28, 82, 34, _GREY),
        _text(22, 49, f"{d} numbers"),
        _line([(94, 45), (126, 45)], 'stroke-width="2"'),
        _text(130, 18, "head, for every token"),
        _box(130, 28, 190, 34, COLORS[0]),
        _text(138, 49, f"{d} x ({layer.shortlist_size:,} words + J = {layer.n_clusters})"),
        _text(420, 18, "tails: a projection, then the words"),
    ]
    name, p = explorer.word_name(explorer.rank), math.exp(-reading.head_part - reading.tail_part)
    if chosen == 0:
        parts_.append(_text(130, 84, f"p({name}) = {_probability(p)}", 'font-weight="bold"'))
    for i, (size, width) in enumerate(zip(sizes, layer.widths, strict=True)):
        y, on = 28 + 46 * i, chosen == i + 1
        color, faint = COLORS[i + 1] if on else None, "" if on else 'opacity=".7"'
        parts_ += [
            _box(420, y, 96, 34, color),
            _text(428, y + 21, f"{d} x {width}", faint),
            _line([(516, y + 17), (534, y + 17)], faint),
            _box(534, y, 130, 34, color),
            _text(542, y + 21, f"{width} x {size:,} words", faint),
            _text(672, y + 21, f"tail {i + 1}" + ("" if on else ", not run"), faint),
        ]
        if on:
            parts_ += [
                _line([(320, 45), (366, 45), (366, y + 17), (420, y + 17)], 'stroke-width="2"'),
                _text(130, 84, f"p(tail {i + 1}) = {_probability(math.exp(-reading.head_part))}"),
                _text(130, 104, f"x  p({name} in tail {i + 1}) = {_probability(math.exp(-reading.tail_part))}"),
                _text(130, 124, f"=  p({name}) = {_probability(p)}", 'font-weight="bold"'),
            ]
    where = "the head alone" if chosen == 0 else f"the head and tail {chosen}"
    return _svg(
        parts_,
        max(132, 26 + 46 * layer.n_clusters),
        f"The products that the word {name} needs: {where}; the other tails are not run",
    )


def word_data(explorer: LayerExplorer, reading: WordReading) -> tuple[f.Data, f.Layout]:
    """-log p in two parts; the probability of all words, stacked; every word's probability by rank."""
    one = [f.plain(explorer.word_name(explorer.rank))]
    data: f.Data = {
        0: {"x": one, "y": np.array([reading.head_part])},
        1: {"x": one, "y": np.array([reading.tail_part])},
    }
    edges, shares = [0, *explorer.layer.cutoffs], explorer.token_shares
    at = places(edges[-1], 240) - 1
    for i in range(MAX_TAILS + 1):
        there = i < len(reading.masses)
        both = [reading.masses[i], shares[i]] if there else [0.0, 0.0]
        name = "head" if i == 0 else f"tail {i}"
        data[2 + i] = {"y": np.array(both), "text": [f"{name} {f.percent(v)}" if v >= 0.03 else "" for v in both]}
        inside = at[(at >= edges[i]) & (at < edges[i + 1])] if there else at[:0]
        y = np.exp(reading.log_prob[inside]) if len(inside) else np.full(1, np.nan)
        data[8 + i] = {"x": inside + 1.0 if len(inside) else np.ones(1), "y": y}
    rank = explorer.rank
    data[14] = {"x": np.array([rank + 1.0]), "y": np.exp(reading.log_prob[[rank]])}
    return data, {}


def word_figure(explorer: LayerExplorer) -> go.Figure:
    """Three views of one hidden state: the loss of the chosen word, the sum over all words, and each of them."""
    titles = ("loss of the word, −log p", "all words sum to one", "probability of each word")
    figure = make_subplots(1, 3, subplot_titles=titles, horizontal_spacing=0.11, column_widths=[0.2, 0.33, 0.47])
    inside = {
        "textposition": "inside",
        "insidetextanchor": "middle",
        "textangle": 0,
        "constraintext": "none",
        "insidetextfont": {"color": f.TEXT_COLOR},
    }

    def pale(color: str, **more: Any) -> dict[str, Any]:
        # the theme's text must be legible on it, dark or light
        return {"marker": {"color": color, "opacity": 0.35, **more}, **inside}

    figure.add_bar(row=1, col=1, name="head", texttemplate="head %{y:.2f}", **pale(COLORS[0]))
    figure.add_bar(
        row=1,
        col=1,
        name="tail",
        texttemplate="tail %{y:.2f}",
        **pale(COLORS[5], pattern={"shape": "/", "solidity": 0.2}),
    )
    for i, color in enumerate(COLORS):
        figure.add_bar(
            row=1,
            col=2,
            x=["this state", "the counts"],
            name="head" if i == 0 else f"tail {i}",
            hovertemplate="%{y:.4f}",
            **pale(color),
        )
    for i, color in enumerate(COLORS):
        figure.add_scatter(
            row=1, col=3, mode="lines", line={"color": color, "width": 2.5}, name="head" if i == 0 else f"tail {i}"
        )
    figure.add_scatter(
        row=1, col=3, mode="markers", name="the word", marker={"size": 13, "symbol": "diamond", "color": COLORS[5]}
    )
    figure.update_yaxes(row=1, col=1, title_text="nats", rangemode="tozero")
    figure.update_yaxes(row=1, col=2, title_text="probability", range=[0, 1.02])
    figure.update_xaxes(row=1, col=3, title_text="rank r", **f.LOG)
    figure.update_yaxes(row=1, col=3, title_text="p(word)", **f.LOG)
    figure.update_annotations(font_size=13)
    figure.update_layout(barmode="stack")
    return f.filled(figure, *word_data(explorer, explorer.reading()), 330)


def word_sentence(explorer: LayerExplorer, reading: WordReading) -> str:
    """One word and one hidden state in words."""
    n, name = len(explorer.vocabulary), explorer.word_name(explorer.rank)
    total = reading.head_part + reading.tail_part
    where = "the head" if reading.cluster == 0 else f"tail {reading.cluster}"
    chain = (
        f"{reading.head_part:.4f}"
        if reading.cluster == 0
        else (
            f"{reading.head_part:.4f} (the head's entry for the tail) + {reading.tail_part:.4f} (the word in the tail)"
        )
    )
    sums = " + ".join(f"{mass:.4f}" for mass in reading.masses)
    cost, full = multiplications(explorer, reading.cluster), n * explorer.in_features
    return (
        f"{name}, rank {explorer.rank + 1:,} of {n:,}, is in {where}. Its −log p is {chain} = {total:.4f} nats; "
        f"forward() returns {reading.forward:.4f}. All words, head and tails: {sums} = {sum(reading.masses):.10f}. "
        f"This token takes {cost:,} multiplications, a full softmax {full:,}."
    )


@dataclass(frozen=True)
class RoutedBatch:
    """A drawn batch before and after its sort."""

    clusters: list[int]
    """Of each token; J + 1 for an ignored one."""
    order: list[int]
    """Token numbers as sorted."""
    names: list[str]
    """Of the targets."""
    sizes: list[int]
    """Tokens of the head alone, of each tail, ignored ones."""
    drawn: list[int]
    """Tokens of each cluster in a whole batch of B."""

    def svg(self, explorer: LayerExplorer) -> str:
        """The picture of it."""
        return routing_svg(self.clusters, self.order, self.names, explorer.layer.n_clusters + 1)


def routed_batch(explorer: LayerExplorer, n: int, seed: int, padding: bool) -> RoutedBatch:
    """``n`` drawn tokens through the layer's own routing; with ``padding`` every fifth target is ignored."""
    layer, n_words = explorer.layer, len(explorer.vocabulary)
    _, batch = explorer.drawn(max(explorer.batch, n), np.random.default_rng(100 + seed))
    target = batch[:n].clone()
    if padding:
        target[::5] = layer.ignore_index
    ranks = target_ranks(target, n_words, layer.ignore_index, None)
    routing, _ = route(ranks, layer._edges)
    # the last edge is V, where the ignored ones stand
    edges = torch.tensor(layer.cutoffs)
    names = ["ignored" if rank == n_words else explorer.word_name(rank) for rank in ranks.tolist()]
    whole = torch.bucketize(batch[: explorer.batch], edges, right=True)
    return RoutedBatch(
        torch.bucketize(ranks, edges, right=True).tolist(),
        routing.permutation.tolist(),
        names,
        routing.sizes,
        torch.bincount(whole, minlength=len(edges)).tolist(),
    )


def routing_svg(clusters: Sequence[int], order: Sequence[int], names: Sequence[str], ignored: int) -> str:
    """Tokens as they come, and after one sort by the rank of their target.

    Args:
        clusters: of each token in its first place; ``J + 1`` for an ignored one.
        order: the permutation: token numbers as sorted.
        names: of the targets, for the tooltips.
        ignored: the number that stands for "ignored".
    """
    n = len(clusters)
    step = min(26.0, 740 / max(n, 1))

    def square(place: int, y: float, token: int) -> str:
        cluster = clusters[token]
        color = None if cluster == ignored else COLORS[cluster % len(COLORS)]
        letter = "–" if cluster == ignored else "h" if cluster == 0 else str(cluster)
        x = 10 + place * step
        return (
            f"<g><title>{html.escape(names[token])}</title>{_box(x, y, step - 3, 22, color)}"
            + _text(x + step / 2 - 1.5, y + 15, letter, 'text-anchor="middle"')
            + "</g>"
        )

    body = [_text(10, 14, "the batch as it comes (h: head, 1, 2 ...: tail, –: ignored)")]
    body += [square(i, 22, i) for i in range(n)]
    for place, token in enumerate(order):
        color = _GREY if clusters[token] == ignored else COLORS[clusters[token] % len(COLORS)]
        points = f'x1="{10 + token * step + step / 2:.1f}" x2="{10 + place * step + step / 2:.1f}" y1="46" y2="112"'
        body.append(f'<line {points} stroke="{color}" stroke-opacity=".8"/>')
    body += [square(place, 114, token) for place, token in enumerate(order)]
    start = 0
    for cluster in sorted(set(clusters)):
        size = sum(c == cluster for c in clusters)
        left, right = 10 + start * step, 10 + (start + size) * step - 3
        name = "ignored" if cluster == ignored else "head only" if cluster == 0 else f"tail {cluster}"
        body.append(_line([(left, 142), (left, 148), (right, 148), (right, 142)]))
        label = f"{name}: {size}"
        body.append(_text((left + right) / 2, 164 + 15 * (cluster % 2), label, 'text-anchor="middle"'))
        start += size
    end = 10 + sum(c != ignored for c in clusters) * step - 3
    body.append(_line([(10, 186), (10, 192), (end, 192), (end, 186)], 'stroke-width="2"'))
    body.append(_text(10, 208, f"the head's product sees all {sum(c != ignored for c in clusters)} rows that count"))
    return _svg(body, 214, "Tokens of a batch as they come, and sorted so that each cluster's tokens are one slice")


def curve_svg(check: GradientCheck, log_step: float) -> str:
    """Relative difference of the two gradients against the step, on logarithmic axes."""
    left, top, wide, high = 90, 16, 560, 150
    body: list[str] = []

    def x(h: float) -> float:
        return left + wide * (math.log10(h) + 12) / 12

    def y(error: float) -> float:
        return top + high * (1 - max(0.0, -math.log10(max(error, 1e-16))) / 16)

    for power in range(-12, 1, 2):
        place = x(10.0**power)
        body.append(_line([(place, top), (place, top + high)], 'stroke-opacity=".15"'))
        body.append(_text(place, top + high + 16, f"1e{power}", 'text-anchor="middle"'))
    for digits in (0, 4, 8, 12, 16):
        place = y(10.0**-digits)
        body.append(_line([(left, place), (left + wide, place)], 'stroke-opacity=".15"'))
        body.append(_text(left - 6, place + 4, f"{digits} digits", 'text-anchor="end"'))
    body.append(_line([(x(h), y(e)) for h, e in sorted(check.curve)], 'stroke-width="2"'))
    body += [f'<circle cx="{x(h):.1f}" cy="{y(e):.1f}" r="3"/>' for h, e in check.curve]
    here = (x(10.0**log_step), y(check.error))
    body.append(_box(here[0] - 6, here[1] - 6, 12, 12, COLORS[5]))
    body.append(_text(here[0] + 10, here[1] - 8, "your step"))
    body.append(
        _text(left + wide / 2, top + high + 34, "step ε (right: too coarse; left: rounding)", 'text-anchor="middle"')
    )
    return _svg(body, 206, "Digits to which finite differences agree with backward, against the step")


def loss_svg(losses: Sequence[float], entropies: tuple[float, float], steps: int) -> str:
    """Loss of each training step, between what the counts alone give and the least possible."""
    left, top, wide, high = 60, 22, 560, 140
    start, floor = entropies
    upper, lower = max([start, *losses]) + 0.1, min([floor, *losses]) - 0.1

    def x(step: float) -> float:
        return left + wide * step / max(1, steps - 1)

    def y(loss: float) -> float:
        return top + high * (upper - loss) / (upper - lower)

    body = [_text(left - 6, 14, "nats per token", 'text-anchor="start"')]
    for value, name in ((start, "counts only"), (floor, "best possible")):
        body.append(_line([(left, y(value)), (left + wide, y(value))], 'stroke-dasharray="5 4" stroke-opacity=".8"'))
        body.append(_text(left + wide + 6, y(value) + 4, f"{name} {value:.2f}"))
    if losses:
        body.append(_line([(x(i), y(v)) for i, v in enumerate(losses)], f'style="stroke:{COLORS[0]};stroke-width:2"'))
    for i in (0, steps // 2, steps):
        body.append(_text(left + wide * i / steps, top + high + 18, f"{i}", 'text-anchor="middle"'))
    body.append(_text(left + wide / 2, top + high + 34, "training step", 'text-anchor="middle"'))
    return _svg(body, 202, "Training loss against the step, between two dashed lines")


def decoding_data(explorer: LayerExplorer) -> tuple[f.Data, f.Layout]:
    """One hidden state: its tails against the k-th best word; all of them: shares of (row, tail) pairs against k."""
    found, pairs, row = explorer._decoded(), explorer.pairs(), explorer.state - 1
    tails, within = found["tails"][row].exp().numpy(), found["within"][row].exp().numpy()
    k = min(explorer.k, found["best"].shape[1])
    threshold = float(found["best"][row, k - 1].exp())
    opened = explorer.layer.opened(explorer.states[row], k).tolist()
    numbers = np.arange(1.0, len(tails) + 1)
    ks = np.array(pairs.ks, dtype=float)
    data: f.Data = {
        0: {"x": numbers, "y": tails, "text": [" open" if yes else " skip" for yes in opened]},
        1: {"x": numbers, "y": within},
        2: {"x": np.array([0.5, len(tails) + 0.5]), "y": np.full(2, threshold)},
        3: {"x": ks, "y": pairs.bound},
        4: {"x": ks, "y": pairs.opened},
        5: {"x": ks, "y": pairs.needed},
        6: {"x": np.full(2, float(k)), "y": np.array([0.0, 1.0])},
    }
    return data, {"xaxis.range": (0.5, len(tails) + 0.5)}


def decoding_figure(explorer: LayerExplorer) -> go.Figure:
    """Which tails can be skipped: for one hidden state, and on average."""
    figure = make_subplots(
        1, 2, subplot_titles=("this hidden state", f"all {STATES} hidden states"), horizontal_spacing=0.12
    )
    figure.add_scatter(
        row=1,
        col=1,
        mode="markers+text",
        name="a whole tail",
        textposition="middle right",
        marker={"size": 13, "symbol": "diamond", "color": COLORS[0]},
    )
    figure.add_scatter(
        row=1, col=1, mode="markers", name="best word in it", marker={"size": 11, "symbol": "x", "color": COLORS[5]}
    )
    figure.add_scatter(row=1, col=1, mode="lines", name="k-th best word", line={"color": _GREY, "dash": "dash"})
    for name, color, dash in (
        ("tail not below the k-th word", COLORS[0], "solid"),
        ("opened by topk", COLORS[2], "dot"),
        ("tail holds one of the k", COLORS[5], "dash"),
    ):
        figure.add_scatter(
            row=1, col=2, mode="lines+markers", name=name, line={"color": color, "dash": dash, "width": 2.5}
        )
    figure.add_scatter(row=1, col=2, mode="lines", name="your k", line={"color": _GREY, "width": 1.5})
    figure.update_xaxes(row=1, col=1, tickprefix="tail ", dtick=1)
    figure.update_yaxes(row=1, col=1, title_text="probability", **f.LOG)
    figure.update_xaxes(
        row=1, col=2, title_text="best words asked for, k", range=[0, TOP[-1] + 1], tickvals=[1, 10, 20, 30, 40, 50]
    )
    figure.update_yaxes(row=1, col=2, tickformat=".0%", range=[-0.03, 1.05], title_text="share of (row, tail) pairs")
    figure.update_annotations(font_size=13)
    figure = f.filled(figure, *decoding_data(explorer), 370)
    figure.update_layout(showlegend=True, legend={"orientation": "h", "y": -0.22}, margin={"b": 90})
    return figure


def decoding_sentence(explorer: LayerExplorer) -> str:
    """The decoding figure in words."""
    found, pairs, row = explorer._decoded(), explorer.pairs(), explorer.state - 1
    k = min(explorer.k, found["best"].shape[1])
    threshold = found["best"][row, k - 1]
    tails, within = found["tails"][row], found["within"][row]
    verdicts = []
    for i, opened in enumerate(explorer.layer.opened(explorer.states[row], k).tolist()):
        fate = "is skipped" if not opened else "is opened and holds a word wanted"
        if opened and within[i] < threshold:
            fate = "is opened in vain"
        verdicts.append(f"tail {i + 1} ({f.percent(float(tails[i].exp()))}) {fate}")
    nearest = min(range(len(pairs.ks)), key=lambda i: abs(pairs.ks[i] - k))
    return (
        f"Hidden state {explorer.state}, confidence {explorer.confidence:g}: word number {k} has "
        f"{f.percent(float(threshold.exp()))}; {', '.join(verdicts)}. Over all {STATES}, for the {pairs.ks[nearest]} "
        f"best: {f.percent(float(pairs.bound[nearest]))} of the tails are not below the last word wanted, topk opens "
        f"{f.percent(float(pairs.opened[nearest]))}, and {f.percent(float(pairs.needed[nearest]))} hold one of them. "
        + ("The layer is trained." if explorer.losses else "The layer is not trained: it knows the counts only.")
    )
