"""The scene of lesson 07: the next word of a text scored by four softmaxes, and which parts of each are read.

``static/methods_scene.js`` plays it on the small trained models; here are its data, and a still picture of one moment.
"""

from __future__ import annotations

import html
import itertools
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from torch import Tensor

from . import windows
from .small_models import SmallModels

#: The best words that are looked for.
BEST = 10
#: Which of the stored doubly sparse softmaxes is shown.
EXPERTS = 1
#: d over W, and the N to choose from. Not those of the lesson's first guess, which the picture would give away.
WIDTH_SHARE, RESCORED = 4, (50, 250, 1000, 4000)
#: Which of them the picture begins with.
BEGIN = 1
#: Hidden states that are shown: places whose last words read well, of which one opens no tail, some one, some both.
PLACES = (703, 772, 568, 942)
#: Words before a place that are shown.
BEFORE = 7


@lru_cache(maxsize=2)
def scene_data(models: SmallModels) -> dict[str, Any]:
    """What ``mountMethods`` is given: sizes, and for each place what is read and what is found."""
    width = models.full.in_features // WIDTH_SHARE
    softmax = models.experts[EXPERTS].rebuilt(models.full)
    states = []
    for place in PLACES:
        x, own = models.states[place : place + 1], models.adaptive_states[place : place + 1]
        full = models.full.topk(x, BEST).indices[0]
        adaptive = models.adaptive.topk(own, BEST).indices[0]
        expert = int(softmax.gate(x).argmax())
        known = softmax.topk(x, BEST).indices[0]
        by_svd = [windows.window(models, width, n).topk(x, BEST).indices[0] for n in RESCORED]
        words = [models.words[i] for i in models.contexts[place, -BEFORE:].tolist()]
        states.append(
            {
                "before": " ".join(words),
                "next": models.words[int(models.targets[place])],
                "opened": models.adaptive.opened(own, BEST)[0].tolist(),
                "looked": [runs(previewed(models, x, width, n)) for n in RESCORED],
                "expert": expert,
                "best": [[models.words[i] for i in ids.tolist()] for ids in (full, adaptive)],
                "found": [_common(ours, full) for ours in by_svd],
                "expert found": _common(known, full),
            }
        )
    return {
        "n": len(models.words),
        "d": models.full.in_features,
        "cutoffs": list(models.about["cutoffs"]),
        "widths": list(models.about["widths"]),
        "width": width,
        "rescored": list(RESCORED),
        "begin": BEGIN,
        "sizes": softmax.sizes.tolist(),
        "states": states,
    }


def _common(ours: Tensor, true: Tensor) -> int:
    return len({*ours.tolist()} & {*true.tolist()})


def previewed(models: SmallModels, x: Tensor, width: int, n_full: int) -> list[int]:
    """The words, by rank from 0, that SVD-softmax looks at twice for one hidden state (1, d)."""
    svd = windows.window(models, width, n_full)
    logits = (x @ svd.basis)[:, :width] @ svd.preview.T
    return sorted(logits[0].topk(n_full).indices.tolist())


def runs(ranks: list[int]) -> list[list[int]]:
    """Neighbouring ranks as [first, how many].

    >>> runs([0, 1, 2, 7, 9, 10])
    [[0, 3], [7, 1], [9, 2]]
    """
    found = []
    for _, group in itertools.groupby(enumerate(ranks), key=lambda pair: pair[1] - pair[0]):
        members = [rank for _, rank in group]
        found.append([members[0], len(members)])
    return found


def multiplications(data: Mapping[str, Any], state: Mapping[str, Any], which: int = BEGIN) -> list[tuple[int, int]]:
    """First and second look of the full, adaptive, SVD- and doubly sparse softmax, for one place; ``which`` N."""
    n, d, cutoffs, widths = data["n"], data["d"], data["cutoffs"], data["widths"]
    sizes = np.diff([*cutoffs, n]).tolist()
    tails = [d * own + own * size for own, size, opened in zip(widths, sizes, state["opened"], strict=True) if opened]
    return [
        (n * d, 0),
        ((cutoffs[0] + len(widths)) * d, sum(tails)),
        (d * d + n * data["width"], data["rescored"][which] * (d - data["width"])),
        (len(data["sizes"]) * d, data["sizes"][state["expert"]] * d),
    ]


# ---------------------------------------------------------------------- a still of it

_NAMES = (
    "Full softmax: scores every word",
    "Adaptive softmax: opens only the tails that can matter",
    "SVD-softmax: previews every word, completes the best few",
    "Doubly sparse softmax: asks one expert, who knows some of the words",
)
_INK, _HIGH, _PITCH, _TOP, _WIDE = "#727a82", 48, 92, 74, 900
_OWN = ("#0a6cad", "#b26a00", "#00825d")


def methods_svg(data: Mapping[str, Any], place: int = 0) -> str:
    """The scene after its second look, in greys and colours that read on light and dark."""
    state, n, d = data["states"][place], data["n"], data["d"]
    scale, unit = _WIDE / max(n, sum(data["sizes"])), _HIGH / d
    parts: list[str] = []

    def block(row: int, word: float, numbers: float, words: float, high: float, lit: bool, fill: str = _INK) -> None:
        y = _TOP + row * _PITCH + numbers * unit
        parts.append(
            f'<rect x="{8 + word * scale:.1f}" y="{y:.1f}" width="{max(1.0, words * scale - 1):.1f}" '
            f'height="{max(1.5, high * unit):.1f}" fill="{fill}" fill-opacity="{1 if lit else 0.15}" stroke="{fill}" '
            f'stroke-width="0.6"/>'
        )

    block(0, 0, 0, n, d, True)
    edges = [0, *data["cutoffs"], n]
    for i, own in enumerate([d, *data["widths"]]):
        block(1, edges[i], 0, edges[i + 1] - edges[i], own, i == 0 or state["opened"][i - 1], _OWN[i])
    width = data["width"]
    block(2, 0, 0, n, width, True)
    block(2, 0, width, n, d - width, False)
    for first, many in state["looked"][BEGIN]:
        block(2, first, width, many, d - width, True)
    at = 0
    for i, size in enumerate(data["sizes"]):
        block(3, at, 0, size, d, i == state["expert"])
        at += size
    counted, text = multiplications(data, state), []
    for row, (name, looks) in enumerate(zip(_NAMES, counted, strict=True)):
        y, total = _TOP + row * _PITCH - 10, sum(looks)
        share = total / counted[0][0]
        text.append(f'<text x="8" y="{y}" font-weight="600">{name}</text>')
        text.append(
            f'<text x="{_WIDE + 8}" y="{y}" text-anchor="end">{total:,} multiplications, {100 * share:.0f} %</text>'
        )
    words = f"… {state['before']} ?"
    high = _TOP + 3 * _PITCH + _HIGH + 12
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDE + 16} {high}" width="{_WIDE + 16}" '
        f'style="font:13px sans-serif" fill="{_INK}"><text x="8" y="28" font-size="18" font-style="italic">'
        f"{html.escape(words)}</text>{''.join(parts)}{''.join(text)}</svg>"
    )
