"""The figures of the lesson on the layer, and the sentences that say the same; `path` has those of one word."""

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
from ..kit.picker import COLORS
from .comparisons import GradientCheck
from .drawing import box, canvas, cross, dot, line, power_of_ten, ring, short, text
from .explorer import STATES, TOP, LayerExplorer
from .questions import GUESSED_FOR, PREDICTIONS

# ---------------------------------------------------------------- a batch


@dataclass(frozen=True)
class RoutedBatch:
    """Targets as the layer sorts them."""

    order: list[int]
    """Token numbers as sorted."""
    sizes: list[int]
    """Tokens of the head alone, of each tail, ignored ones."""


def routed_batch(explorer: LayerExplorer, targets: Sequence[int]) -> RoutedBatch:
    """The layer's own routing; ``targets``: ranks from 0, or the layer's ``ignore_index``."""
    layer = explorer.layer
    ranks = target_ranks(torch.tensor(targets), len(explorer.vocabulary), layer.ignore_index, None)
    edges = torch.tensor([0, *layer.cutoffs, layer.n_classes + 1])
    routing, _ = route(ranks, edges)
    return RoutedBatch(routing.permutation.tolist(), routing.sizes)


def batch_svg(explorer: LayerExplorer, sentence: Sequence[str]) -> str:
    """The scores that a sorted batch needs, to scale: a row for each token, a column for each word."""
    ranks = [explorer.vocabulary.rank_of(word) for word in sentence]
    routed = routed_batch(explorer, ranks)
    edges, n, left, top, high = [0, *explorer.layer.cutoffs], len(sentence), 118, 50, 16
    scale = (638 - left) / edges[-1]
    clusters = np.searchsorted(edges[1:], ranks, side="right")
    body = [text(left - 6, 38, "sorted by rank", 'text-anchor="end"'), box(left, top, 638 - left, n * high, None)]
    for i, (start, end) in enumerate(pairwise(edges)):
        name, wide = "head" if i == 0 else f"tail {i}", (end - start) * scale
        body.append(
            box(left + start * scale, 24, wide - 2, max(3, 20 * [32, *explorer.widths][i] / 32), COLORS[i], 0.8)
        )
        body.append(text(left + start * scale, 16, f"{name}: {end - start:,} words" if i else name))
    for place, token in enumerate(routed.order):
        y, cluster = top + place * high, int(clusters[token])
        body += [
            box(0, y + 1, left - 5, high - 2, COLORS[cluster], 0.3),
            text(6, y + 12, short(sentence[token], 15), 'font-style="italic"'),
        ]
        for part in sorted({0, cluster}):
            wide = (edges[part + 1] - edges[part]) * scale - 2
            body.append(box(left + edges[part] * scale, y, wide, high - 1, COLORS[part], 0.9))
    return canvas(
        body, top + n * high + 4, "The scores that a batch needs: a strip for the head, a block for each tail"
    )


@dataclass(frozen=True)
class Counted:
    """A whole batch of B drawn tokens."""

    drawn: list[int]
    """Tokens of each cluster."""
    expected: list[float]
    """The same by the counts, B p."""


def counted_batch(explorer: LayerExplorer, seed: int) -> Counted:
    """``explorer.batch`` drawn tokens, cluster by cluster, beside what the counts promise."""
    _, target = explorer.drawn(explorer.batch, np.random.default_rng(100 + seed))
    edges = torch.tensor(explorer.layer.cutoffs)
    found = torch.bincount(torch.bucketize(target, edges, right=True), minlength=len(edges) + 1)
    return Counted(found.tolist()[: len(edges)], [explorer.batch * share for share in explorer.token_shares])


def asked_now(explorer: LayerExplorer, key: str) -> bool:
    """Whether the guess that is kept was for the words and sizes of now."""
    result, question = explorer.recall(f"result {key}"), PREDICTIONS[key].question
    now = question if isinstance(question, str) else question(explorer)
    return not isinstance(result, dict) or result.get("question") == now


def counts_svg(explorer: LayerExplorer, counted: Counted, guess: float | None) -> str:
    """Tokens of each cluster: expected (line), drawn (circle), and the reader's guess for the last tail (cross)."""
    left, wide, n = 92, 440, len(counted.drawn)
    scale = wide / explorer.batch
    words_of = short(explorer.vocabulary.name, 28)  # the question may have been asked of others
    body = [text(left, 14, f"of {explorer.batch:,} tokens, {words_of}; line: B × share; circle: drawn")]
    for i, (drawn, expected) in enumerate(zip(counted.drawn, counted.expected, strict=True)):
        y, name = 40 + 34 * i, explorer.names[i]
        words = f"{100 * explorer.word_shares[i]:.0f} % of words"
        body += [
            text(left - 8, y + 4, name, 'text-anchor="end"'),
            box(left, y - 8, expected * scale, 16, COLORS[i], 0.3),
            line([(left + expected * scale, y - 12), (left + expected * scale, y + 12)], 'stroke-width="2.5"'),
            dot(left + drawn * scale, y, COLORS[i], 5.5),
            text(left + max(drawn, expected) * scale + 12, y + 4, f"{drawn:,} drawn, {expected:,.0f} expected; {words}")
            if max(drawn, expected) * scale < wide / 2
            else text(left + 8, y + 4, f"{drawn:,} drawn, {expected:,.0f} expected; {words}"),
        ]
    if guess is not None and 0 <= guess <= explorer.batch:
        y = 40 + 34 * (n - 1)
        # a guess for other words or another B is no guess of what is drawn here
        said = (
            f"your guess: {guess:,.4g}" if asked_now(explorer, "tail tokens") else f"guessed for others: {guess:,.4g}"
        )
        place, beyond = left + guess * scale, guess > 0.6 * explorer.batch
        body += [
            cross(place, y + 22),
            text(place + (-12 if beyond else 12), y + 27, said, 'text-anchor="end"' if beyond else ""),
        ]
    return canvas(body, 40 + 34 * n + 6, "Tokens of a batch in each cluster, drawn and expected")


# ---------------------------------------------------------------- gradients and training


def curve_svg(check: GradientCheck, log_step: float, guess: float | None = None) -> str:
    """Digits to which the two gradients agree against the step, on a logarithmic axis."""
    left, top, wide, high = 76, 26, 470, 150
    body: list[str] = []

    def x(step: float) -> float:
        return left + wide * (math.log10(step) + 12) / 12

    def y(error: float) -> float:
        return top + high * (1 - max(0.0, -math.log10(max(error, 1e-16))) / 16)

    for power in range(-12, 1, 2):
        place = x(10.0**power)
        body.append(line([(place, top), (place, top + high)], 'stroke-opacity=".15"'))
        body.append(text(place, top + high + 18, power_of_ten(power), 'text-anchor="middle"'))
    for digits in (0, 4, 8, 12, 16):
        place = y(10.0**-digits)
        body.append(line([(left, place), (left + wide, place)], 'stroke-opacity=".15"'))
        body.append(text(left - 6, place + 4, f"{digits} digits", 'text-anchor="end"'))
    if check.analytic == check.numeric == 0:
        body.append(text(left + wide / 2, top + high / 2, "0 and 0: nothing to compare", 'text-anchor="middle"'))
    else:
        body.append(line([(x(h), y(e)) for h, e in sorted(check.curve)], 'stroke-width="1.5" stroke-opacity=".6"'))
        body += [dot(x(step), y(e), radius=3.5) for step, e in check.curve]
        here = x(10.0**log_step), y(check.error)
        body += [ring(*here), text(here[0] + 12, here[1] - 8, "your step")]
    body.append(text(left, top - 10, "← rounding"))
    body.append(text(left + wide, top - 10, "the loss bends →", 'text-anchor="end"'))
    body.append(text(left + wide / 2, top + high + 38, "step ε", 'text-anchor="middle"'))
    if guess is not None and 0 <= guess <= 16:
        level = y(10.0**-guess)
        body.append(line([(left, level), (left + wide, level)], 'stroke-dasharray="2 4"'))
        body += [cross(left + wide, level), text(left + wide + 12, level + 4, "your guess")]
    return canvas(body, 220, "Digits to which finite differences agree with backward, against the step")


def loss_svg(losses: Sequence[float], entropies: tuple[float, float], steps: int) -> str:
    """Loss of each training step, between what the counts alone give and the least possible."""
    left, top, wide, high = 44, 26, 440, 150
    start, floor = entropies
    upper, lower = max([start, *losses]) + 0.1, min([floor, *losses]) - 0.1

    def x(step: float) -> float:
        return left + wide * step / max(1, steps - 1)

    def y(loss: float) -> float:
        return top + high * (upper - loss) / (upper - lower)

    body = [text(0, 14, "loss, nats per token")]
    tick = 0.5 if upper - lower < 3 else 1.0
    for value in np.arange(math.ceil(lower / tick), math.floor(upper / tick) + 1) * tick:
        body.append(line([(left, y(value)), (left + wide, y(value))], 'stroke-opacity=".15"'))
        body.append(text(left - 6, y(value) + 4, f"{value:.1f}", 'text-anchor="end"'))
    for value, name in ((start, "counts only"), (floor, "best possible")):
        body.append(line([(left, y(value)), (left + wide, y(value))], 'stroke-dasharray="5 4" stroke-opacity=".8"'))
        body.append(text(left + wide + 6, y(value) + 4, f"{name} {value:.2f}"))
    if losses:
        body.append(line([(x(i), y(v)) for i, v in enumerate(losses)], 'stroke-width="2"'))
    for i in (0, steps // 2, steps):
        body.append(text(left + wide * i / steps, top + high + 20, f"{i}", 'text-anchor="middle"'))
    body.append(text(left + wide / 2, top + high + 38, "training step", 'text-anchor="middle"'))
    return canvas(body, 220, "Training loss against the step, between two dashed lines")


# ---------------------------------------------------------------- decoding


def left_open(explorer: LayerExplorer, k: int, second: bool) -> list[bool]:
    """Which tails the first rule does not skip for the chosen state; or both rules together."""
    found, row = explorer.decoded(), explorer.state - 1
    if second:
        return explorer.opened(row, k)
    return (found["tails"][row] >= found["best"][row, k - 1]).tolist()


def decoding_data(explorer: LayerExplorer, second: bool = True) -> tuple[f.Data, f.Layout]:
    """One hidden state: its tails against the k-th best word; all of them: shares of (state, tail) pairs against k.

    ``second``: with the second rule, which the lesson explains after the first.
    """
    found, pairs, row = explorer.decoded(), explorer.pairs(), explorer.state - 1
    tails, within = found["tails"][row].exp().numpy(), found["within"][row].exp().numpy()
    k = min(explorer.k, found["best"].shape[1])
    threshold = float(found["best"][row, k - 1].exp())
    opened = left_open(explorer, k, second)
    numbers, colors = np.arange(1.0, len(tails) + 1), list(COLORS[1 : len(tails) + 1])
    ks, guess = np.array(pairs.ks, dtype=float), explorer.recall("guess opened")
    at = min(range(len(pairs.ks)), key=lambda i: abs(pairs.ks[i] - k))
    data: f.Data = {
        0: {
            "x": numbers,
            "y": tails,
            "text": [" open" if yes else " skip" for yes in opened],
            "marker.color": colors,
        },
        1: {"x": numbers, "y": within, "marker.color": colors},
        2: {
            "x": np.array([0.5, len(tails) + 0.5]),
            "y": np.full(2, threshold),
        },
        3: {"x": ks, "y": pairs.bound},
        4: {"x": ks, "y": pairs.opened, "visible": second},
        5: {"x": ks, "y": pairs.needed},
        6: {
            "x": np.full(1, float(pairs.ks[at])),
            "y": np.full(1, float((pairs.opened if second else pairs.bound)[at])),
        },
        7: {"x": np.full(1, float(GUESSED_FOR)), "y": np.full(1, math.nan if guess is None else guess / 100)},
    }
    return data, {"xaxis.range": (0.5, len(tails) + 0.5)}


_SHARES = (
    ("the first rule does not skip it", "solid"),
    ("nor does the second: topk opens it", "longdashdot"),
    ("it holds one of the k words", "dot"),
)


def decoding_figure(explorer: LayerExplorer) -> go.Figure:
    """Which tails can be skipped: for one hidden state, and on average."""
    titles = ("tails after this hidden state", f"all {STATES} hidden states: (state, tail) pairs")
    figure = make_subplots(1, 2, subplot_titles=titles, horizontal_spacing=0.15, column_widths=[0.38, 0.62])
    grey: dict[str, Any] = {"color": f.TEXT_COLOR}
    hover = "tail %{x}, as a whole: %{y:.2%}<extra></extra>"
    figure.add_scatter(
        row=1,
        col=1,
        mode="markers+text",
        name="a whole tail",
        textposition="bottom right",
        marker={"size": 14, "symbol": "square"},
        hovertemplate=hover,
    )
    hover = "best word in tail %{x}: %{y:.2%}<extra></extra>"
    figure.add_scatter(row=1, col=1, mode="markers", name="its best word", marker=f.MEASURED, hovertemplate=hover)
    figure.add_scatter(
        row=1,
        col=1,
        mode="lines",
        name="k-th best word",
        line={**grey, "dash": "dash"},
        hovertemplate="the last word wanted: %{y:.2%}<extra></extra>",
    )
    for name, dash in _SHARES:
        figure.add_scatter(
            row=1,
            col=2,
            mode="lines",
            name=name,
            line={**grey, "dash": dash, "width": 2.5},
            hovertemplate=f"{name}<br>%{{x}} best words: %{{y:.1%}}<extra></extra>",
        )
    figure.add_scatter(row=1, col=2, mode="markers", name="you", marker=f.YOU, hoverinfo="skip", cliponaxis=False)
    figure.add_scatter(
        row=1,
        col=2,
        mode="markers",
        name="your guess",
        marker=f.GUESSED,
        cliponaxis=False,
        hovertemplate="your guess: %{y:.1%}<extra></extra>",
    )
    figure.update_xaxes(row=1, col=1, tickprefix="tail ", dtick=1, fixedrange=True)
    figure.update_yaxes(row=1, col=1, title_text="probability", fixedrange=True, **f.LOG)
    figure.update_xaxes(
        row=1, col=2, title_text="best words asked for, k", range=[0, TOP[-1] + 1], tickvals=[1, 10, 20, 30, 40, 50]
    )
    figure.update_xaxes(row=1, col=2, fixedrange=True)
    figure.update_yaxes(
        row=1, col=2, title_text="share of pairs", tickformat=".0%", range=[-0.03, 1.05], fixedrange=True
    )
    figure.update_annotations(font_size=13)
    figure = f.filled(figure, *decoding_data(explorer), 320)
    # below the title of the axis
    figure.update_layout(showlegend=True, legend={"orientation": "h", "y": -0.32, "yanchor": "top"}, margin={"b": 110})
    return figure


_CHIP = "display:inline-block;margin:0 10px 4px 0;line-height:1.5"


def words_html(explorer: LayerExplorer) -> str:
    """The k best words after this state, each with its probability, in the colour of its cluster; the tails' fate."""
    edges = explorer.layer.cutoffs
    best = explorer.best_words(min(explorer.k, 20))
    clusters = np.searchsorted(edges, [rank for rank, _ in best], side="right")
    names = explorer.names
    chips = "".join(
        f'<span class="adasoft-chip" title="{names[i]}" style="{_CHIP};border-bottom:4px solid {COLORS[i]}">'
        f"<em>{html.escape(explorer.word_name(rank).strip('“”'))}</em> {f.percent(p)}</span>"
        for (rank, p), i in zip(best, clusters, strict=True)
    )
    key = " ".join(
        f'<span style="{_CHIP};border-bottom:4px solid {COLORS[i]}">{name}</span>'
        for i, name in enumerate(names[: MAX_TAILS + 1])
    )
    more = "" if explorer.k <= 20 else f" and {explorer.k - 20} more"
    return f'<div class="adasoft-chips">{chips}{more}</div><small>{key}</small>'


def decoding_sentence(explorer: LayerExplorer, second: bool = True) -> str:
    """The decoding figure in words."""
    found, pairs, row = explorer.decoded(), explorer.pairs(), explorer.state - 1
    k = min(explorer.k, found["best"].shape[1])
    threshold = found["best"][row, k - 1]
    tails, within = found["tails"][row], found["within"][row]
    verdicts = []
    for i, opened in enumerate(left_open(explorer, k, second)):
        fate = "is skipped" if not opened else "is opened and holds a word wanted"
        if opened and within[i] < threshold:
            fate = "is opened in vain"
        verdicts.append(f"tail {i + 1} ({f.percent(float(tails[i].exp()))}) {fate}")
    nearest = min(range(len(pairs.ks)), key=lambda i: abs(pairs.ks[i] - k))
    said = "" if explorer.losses else " The layer is not trained: it knows the counts only."
    shares = {name: f.percent(float(getattr(pairs, name)[nearest])) for name in ("opened", "needed")}
    spared = 1 - float(pairs.bound[nearest])
    skips = "none" if spared == 0 else "all" if spared == 1 else f.percent(spared)
    few = "only " if pairs.needed[nearest] < 0.25 else ""
    needed = f"{few}{shares['needed']}" if pairs.needed[nearest] else "none of them"
    wanted = "best word" if pairs.ks[nearest] == 1 else f"{pairs.ks[nearest]} best"
    held = "held a wanted word" if pairs.needed[nearest] else "held any wanted word"
    rules = f" With the second rule, topk opens {shares['opened']}." if second else ""
    result = explorer.recall("result opened")
    judged = result.get("truth") if isinstance(result, dict) else None
    now = 100 * float(pairs.bound[pairs.ks.index(GUESSED_FOR)])
    if explorer.losses and judged is not None and abs(now - judged) > 0.5:
        said += f" When you guessed, it was {judged:.3g} % for the best word; with this layer, it is {now:.3g} %."
    return (
        f"Hidden state {explorer.state}: word number {k} has "
        f"{f.percent(float(threshold.exp()))}; {', '.join(verdicts)}. Of all {STATES * len(tails)} pairs, for the "
        f"{wanted}, the first rule skips {skips}; {needed} {held}.{rules}{said}"
    )
