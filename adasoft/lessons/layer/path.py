"""One word on its way through the layer: the products it needs, its loss in parts, and the sum over all words."""

from __future__ import annotations

import math
import re
from itertools import pairwise

from ..kit import plots as f
from ..kit.picker import COLORS
from .drawing import box, canvas, line, power_of_ten, short, text
from .explorer import LayerExplorer, WordReading

#: Nats at the right end of the loss's bar: it stays where it is while the word changes.
MOST_NATS = 14.0


def _probability(p: float) -> str:
    if p >= 1e-4:
        return f"{p:.3f}" if p >= 0.01 else f"{p:.2g}"
    exponent = math.floor(math.log10(p))
    return f"{p / 10.0**exponent:.1f} × {power_of_ten(exponent)}"


def multiplications(explorer: LayerExplorer, cluster: int) -> int:
    """Multiplications of the forward products for one token of a cluster."""
    layer = explorer.layer
    edges, d = layer.cutoffs, layer.in_features
    tail = 0 if cluster == 0 else layer.widths[cluster - 1] * (d + edges[cluster] - edges[cluster - 1])
    return d * layer.head_size + tail


def named(explorer: LayerExplorer, rank: int) -> str:
    """A word without its quotes."""
    return explorer.word_name(rank).strip("“”")


def _products(explorer: LayerExplorer, reading: WordReading) -> list[str]:
    """The boxes: hidden state, head, tails; dashed where nothing is computed."""
    layer, chosen = explorer.layer, reading.cluster
    d, edges = layer.in_features, [0, *layer.cutoffs]
    name, tail = short(named(explorer, explorer.rank), 12), f"tail {chosen}"
    body = [
        text(4, 16, "hidden state"),
        box(4, 24, 84, 38, "#888888"),
        text(10, 48, f"{d} numbers"),
        line([(88, 43), (104, 43)], 'stroke-width="2"'),
        text(104, 16, "head: every token"),
        box(104, 24, 192, 38, COLORS[0]),
        text(112, 40, f"{parts_of(layer.shortlist_size, 'word')} + {parts_of(layer.n_clusters, 'tail')}"),
        text(
            112, 56, short(f"{explorer.word_name(0)} … {explorer.word_name(edges[1] - 1)}", 25), 'font-style="italic"'
        ),
        text(352, 16, "tails: project, then score"),
    ]
    total = math.exp(-reading.head_part - reading.tail_part)
    if chosen:
        body += [
            text(104, 84, f"p({tail}) = {_probability(math.exp(-reading.head_part))}"),
            text(104, 104, f"× p(word in {tail}) = {_probability(math.exp(-reading.tail_part))}"),
        ]
    # the word is shortened, never a number; in the head it is the only line
    y, equals = (124, "= ") if chosen else (84, "")
    body.append(text(104, y, f"{equals}p({name}) = {_probability(total)}", 'font-weight="bold"'))
    for i, (start, end) in enumerate(pairwise(edges[1:])):
        y, on, width = 24 + 46 * i, chosen == i + 1, layer.widths[i]
        color, faint = (COLORS[i + 1], "") if on else (None, 'opacity=".75"')
        body += [
            box(352, y, 62, 38, color),
            text(358, y + 23, f"{d} × {width}", faint),
            line([(414, y + 19), (428, y + 19)], faint),
            box(428, y, 138, 38, color),
            text(434, y + 16, f"{parts_of(end - start, 'word')} × {width}", faint),
            text(434, y + 32, short(named(explorer, start) + " …", 18), f'font-style="italic" {faint}'),
            text(574, y + 16, f"tail {i + 1}", faint if not on else 'font-weight="bold"'),
            text(574, y + 32, "runs" if on else "not run", faint),
        ]
        if on:
            body.append(line([(296, 43), (324, 43), (324, y + 19), (352, y + 19)], 'stroke-width="2"'))
    return body


def parts_of(n: int, what: str) -> str:
    """1 tail, 2 tails, 1,500 words."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _bar(y: float, name: str, parts: list[tuple[float, str, str]], most: float, after: str = "") -> list[str]:
    """A bar of parts (amount, colour, label), one behind the other, on a scale that ends at ``most``."""
    x, scale = 104.0, 462 / most
    body = [text(98, y + 16, name, 'text-anchor="end"')]
    for amount, color, label in parts:
        wide = min(amount, max(0.0, most - (x - 104) / scale)) * scale
        body.append(box(x, y, wide, 22, color))
        # where there is no room for the name, its number alone
        if fits := next((one for one in (label, re.findall(r"[\d.]+(?: %)?$", label)[0]) if wide > 7.6 * len(one)), ""):
            body.append(text(x + wide / 2, y + 16, fits, 'text-anchor="middle"'))
        x += wide
    return [*body, text(x + 8, y + 16, after, 'font-weight="bold"')]


def path_svg(explorer: LayerExplorer, reading: WordReading) -> str:
    """Which products the word needs, its loss in two parts, and the probability of all words, cluster by cluster."""
    below = max(140, 36 + 46 * explorer.layer.n_clusters)
    tail = reading.cluster
    loss = [(reading.head_part, COLORS[0], f"head {reading.head_part:.2f}")]
    if tail:
        loss.append((reading.tail_part, COLORS[tail], f"tail {tail}: {reading.tail_part:.2f}"))
    names = ["head", *(f"tail {i + 1}" for i in range(explorer.layer.n_clusters))]

    def masses(values: list[float]) -> list[tuple[float, str, str]]:
        rows = zip(values, COLORS, names, strict=False)
        return [(value, color, f"{name} {f.percent(value)}") for value, color, name in rows]

    body = [
        *_products(explorer, reading),
        *_bar(below, "loss −log p", loss, MOST_NATS, f"{reading.head_part + reading.tail_part:.2f} nats"),
        *_bar(below + 38, "all words", masses(reading.masses), 1.0, "sum 1"),
        *_bar(below + 66, "by the counts", masses(explorer.token_shares), 1.0, "sum 1"),
    ]
    where = "the head alone" if tail == 0 else f"the head and tail {tail}"
    name = explorer.word_name(explorer.rank)
    label = f"The products that the word {name} needs: {where}; its loss in parts; and all words, which sum to one"
    return canvas(body, below + 96, label)


def word_sentence(explorer: LayerExplorer, reading: WordReading) -> str:
    """One word and one hidden state in words."""
    n, name = len(explorer.vocabulary), explorer.word_name(explorer.rank)
    total = reading.head_part + reading.tail_part
    where = "the head" if reading.cluster == 0 else f"tail {reading.cluster}"
    parts = f" = {reading.head_part:.4f} (head) + {reading.tail_part:.4f} (tail)" if reading.cluster else ""
    agrees = math.isclose(reading.forward, -total, rel_tol=1e-9, abs_tol=1e-12)
    same = "agrees" if agrees else f"returns {reading.forward:.4f}"
    cost, full = multiplications(explorer, reading.cluster), n * explorer.in_features
    best = ", ".join(f"{explorer.word_name(rank)} {f.percent(p)}" for rank, p in reading.best[:5])
    return (
        f"{name}, rank {explorer.rank + 1:,} of {n:,}, is in {where}. −log p = {total:.4f} nats{parts}; forward() "
        f"{same}. Multiplications: {cost:,} instead of {full:,}. Most probable after this state: {best}."
    )


# ---------------------------------------------------------------- beside the paper

#: The authors' layer for Text8: words (about), cutoffs, hidden size. Tails: d/4 in the paper, d/4^i in their code.
TEXT8 = (44_370, (2000, 10_000), 512)
#: Minutes of five epochs in the paper: full softmax, adaptive.
MINUTES = (83, 30)


def layer_weights(sizes: list[int], widths: list[int], d: int) -> int:
    """Weights of head and tails; ``sizes``: words of each cluster, ``widths``: of the tails."""
    head = d * (sizes[0] + len(widths))
    return head + sum(width * (d + size) for size, width in zip(sizes[1:], widths, strict=True))


def _blocks(y: float, edges: list[int], widths: list[int], unit: float, ghosts: list[int] | None = None) -> list[str]:
    """Clusters as rectangles: as wide as their words, as high as the numbers that each word has."""
    body, scale = [], 620 / edges[-1]
    for i, ((start, end), width) in enumerate(zip(pairwise(edges), widths, strict=True)):
        x, wide = 10 + start * scale, (end - start) * scale - 1
        if ghosts and i:
            body.append(box(x, y, wide, ghosts[i - 1] * unit, None))
        body.append(box(x, y, wide, max(2, width * unit), COLORS[i], 0.55))
    return body


def layout_sentence(explorer: LayerExplorer) -> str:
    """The reader's layer beside the authors', in words."""
    n, cutoffs, _ = TEXT8
    head, own = explorer.layer.cutoffs[0], len(explorer.vocabulary)
    weights = layer_weights(
        [b - a for a, b in pairwise([0, *explorer.layer.cutoffs])], list(explorer.widths), explorer.in_features
    )
    widths = ", ".join(map(str, explorer.widths))
    fewer = own * explorer.in_features / weights
    return (
        f"Your layer has {fewer:.1f} times fewer weights than the full softmax: its head holds "
        f"{100 * head / own:.2g} % of the words, theirs {100 * cutoffs[0] / n:.2g} %. "
        f"Numbers per word in your tails: {widths} (8 is the least)."
    )


def layout_svg(explorer: LayerExplorer) -> str:
    """The authors' layer for Text8, to scale, under the full softmax it replaces; and the reader's below."""
    n, cutoffs, d = TEXT8
    edges, unit = [0, *cutoffs, n], 84 / d
    sizes = [b - a for a, b in pairwise(edges)]
    code, paper = [d // 4, d // 16], [d // 4, d // 4]
    full = n * d
    mine = [0, *explorer.layer.cutoffs]
    mine_sizes, own = [b - a for a, b in pairwise(mine)], [explorer.in_features, *explorer.widths]
    weights = layer_weights(mine_sizes, own[1:], own[0])

    def millions(count: float) -> str:
        return f"{count / 1e6:.1f} million weights"

    body = [
        text(10, 16, f"Full softmax on Text8: about {n:,} words × {d} numbers, {millions(full)}, {MINUTES[0]} minutes"),
        box(10, 24, 620, 84, "#888888", 0.3),
        text(
            10, 134, f"The authors' adaptive softmax: {millions(layer_weights(sizes, code, d))}, {MINUTES[1]} minutes"
        ),
        *_blocks(142, edges, [d, *code], unit, paper),
        text(210, 212, f"tail 2: {code[1]} numbers per word in their code, {paper[1]} in the paper (dashed)"),
        text(
            10,
            262,
            f"Yours: {mine[-1]:,} words, {weights:,} weights, {mine[-1] * own[0] / weights:.1f} times fewer than full",
        ),
        *_blocks(270, mine, own, 84 / own[0]),
        text(10, 374, "Wide: the words. High: the numbers that each word has. Each layer has its own scale."),
    ]
    return canvas(
        body,
        384,
        "The full softmax of the paper as one large block, its adaptive layer as a head and two flat tails, and yours",
    )
