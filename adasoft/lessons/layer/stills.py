"""The stills of the lesson on the layer: what its notebook shows where nothing runs."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..kit import plots as f
from ..kit.costs import COUNTED_MULTIPLICATIONS
from ..kit.languages import read_words
from .comparisons import CASES, GradientCheck, drop_in_case, drop_in_verdict, gradient_batch, gradient_check
from .explorer import LICENCE, TRAIN_STEPS, LayerExplorer
from .figures import curve_svg, decoding_figure, loss_svg, routed_batch, word_figure


@lru_cache(maxsize=2)
def _shown(trained: bool) -> LayerExplorer:
    explorer = LayerExplorer("en", cost=COUNTED_MULTIPLICATIONS)
    if trained:
        explorer.train()
    return explorer


def _image(svg: str) -> str:
    # an image knows no theme: the grey that reads on both
    return svg.replace("<svg ", f'<svg xmlns="http://www.w3.org/2000/svg" color="{f.TEXT_COLOR}" ', 1)


@f.still(
    "05_word",
    "The word fans: its loss of 9 nats is 1.8 for the head and 7.2 for the tail; all words stacked reach one, 73 "
    "percent of it in the head; the probability of each word falls with its rank.",
)
def _word_still() -> f.Picture:
    return word_figure(_shown(False))


@f.still(
    "05_routing",
    "28 squares, each a token with the letter of its cluster, mixed. Lines lead to the same squares sorted by cluster.",
)
def _routing_still() -> f.Picture:
    return _image(routed_batch(_shown(False), 28, 0, False).svg(_shown(False)))


@f.still(
    "05_gradient",
    "Digits of agreement against the step ε: none or one at ε = 1, eight to nine near ε = 0.0001, and about one at the "
    "smallest step.",
)
def _gradient_still() -> f.Picture:
    explorer = _shown(False)
    check = gradient_check(explorer, "head.weight", 0, 0, -5.0, False)
    x, target = gradient_batch(explorer, False)
    loss = float(explorer.layer(x, target).loss.detach())
    # Rounding errors differ from machine to machine: the still draws their law. Cutting off the series costs c h^2;
    # a loss is known to eps L, which the division makes eps L / h.
    c, eps = dict(check.curve)[0.1] / 0.01, float(np.finfo(np.float64).eps)
    law = [(h, max(c * h**2, eps * loss / (h * abs(check.analytic)))) for h, _ in check.curve]
    return _image(curve_svg(GradientCheck(check.analytic, check.numeric, dict(law)[1e-5], law), -5.0))


@f.still(
    "05_training",
    "The loss against the training step: from the upper dashed line, the counts only, at 6.5 nats, it falls quickly to "
    "5, above the lower dashed line, the best possible, at 4.2.",
)
def _training_still() -> f.Picture:
    losses = [round(loss, 2) for loss in _shown(True).losses]
    return _image(loss_svg(losses, _shown(True).entropies, TRAIN_STEPS))


@f.still(
    "05_decoding",
    "Left, one hidden state: both tails lie above the tenth best word, the best word in each far below it. Right, "
    "shares of pairs against k: not below the k-th word, 43 to 100 percent; opened by topk, 28 to 98 percent; holding "
    "one of the k words, near zero until k = 10.",
)
def _decoding_still() -> f.Picture:
    return decoding_figure(_shown(True))


@f.still(
    "05_drop_in",
    "Seven calls to both layers. Both answer a plain batch; PyTorch's refuses four that ours answers; one is answered "
    "in different shapes, and ours refuses one.",
)
def _drop_in_still() -> f.Picture:
    explorer, rows = _shown(False), {}
    for case in CASES:
        stock, ours = drop_in_case(explorer, case)
        rows[case] = drop_in_verdict(stock, ours)
    return f.card_svg(rows, 290)


@f.still(
    "05_own_words",
    "The three plots of section 1 for the 96 words of this project's licence: the second lies in the head.",
)
def _own_words_still() -> f.Picture:
    licence = read_words(LICENCE, "LICENSE")
    explorer = LayerExplorer(licence, cost=COUNTED_MULTIPLICATIONS)
    explorer.word = 2
    return word_figure(explorer)
