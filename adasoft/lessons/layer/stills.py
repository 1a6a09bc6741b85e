"""The stills of the lesson on the layer: what its notebook shows where nothing runs."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..kit import plots as f
from ..kit.costs import COUNTED_MULTIPLICATIONS
from .bound import bound_svg
from .comparisons import FIRST_COLUMN, GradientCheck, gradient_batch, gradient_check
from .explorer import TRAIN_STEPS, LayerExplorer
from .figures import batch_svg, curve_svg, decoding_figure, loss_svg
from .path import layout_svg, path_svg
from .widgets import SENTENCES


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
    "05_batch",
    "A sentence as 21 rows, sorted by rank, against 5,000 words as columns: a narrow strip for the head, a small "
    "block for each tail, most of the frame empty.",
)
def _batch_still() -> f.Picture:
    return _image(batch_svg(_shown(False), SENTENCES[0].split()))


@f.still(
    "05_layout",
    "Text8's full softmax as one large block; the authors' layer as a narrow head and two flat tails; yours.",
)
def _layout_still() -> f.Picture:
    return _image(layout_svg(_shown(False)))


@f.still(
    "05_word",
    "The word fans: head and tail 1 run, tail 2 is dashed. Of its loss of 8.99 nats, 7.22 come from the tail.",
)
def _word_still() -> f.Picture:
    return _image(path_svg(_shown(False), _shown(False).reading()))


@f.still(
    "05_bound",
    "Words of each tail as points in a circle around their mean, with a solid line that touches it. Tail 1: a dashed "
    "line crosses the circle, right of all words; tail 2: it lies beyond.",
)
def _bound_still() -> f.Picture:
    return _image(bound_svg(_shown(True), 10))


@f.still(
    "05_gradient",
    "Digits of agreement against the step ε: eight to nine in the middle, about one at both ends.",
)
def _gradient_still() -> f.Picture:
    explorer = _shown(False)
    check = gradient_check(explorer, "head.weight", 0, FIRST_COLUMN, -5.0, False)
    x, target = gradient_batch(explorer, False)
    loss = float(explorer.layer(x, target).loss.detach())
    # Rounding errors differ from machine to machine: the still draws their law. Cutting off the series costs c h^2;
    # a loss is known to eps L, which the division makes eps L / h.
    c, eps = dict(check.curve)[0.1] / 0.01, float(np.finfo(np.float64).eps)
    law = [(h, max(c * h**2, eps * loss / (h * abs(check.analytic)))) for h, _ in check.curve]
    return _image(curve_svg(GradientCheck(check.analytic, check.numeric, dict(law)[1e-5], law), -5.0))


@f.still(
    "05_training",
    "The loss falls from the counts, at 6.5 nats, to about 5; the best possible is 4.2.",
)
def _training_still() -> f.Picture:
    losses = [round(loss, 2) for loss in _shown(True).losses]
    return _image(loss_svg(losses, _shown(True).entropies, TRAIN_STEPS))


@f.still(
    "05_decoding",
    "Left: for the ten best words, both tails lie above the tenth-best, the best word in each far below. Right: shares "
    "of pairs against k.",
)
def _decoding_still() -> f.Picture:
    explorer = _shown(True)
    explorer.k = 10
    figure = decoding_figure(explorer)
    # an image is shown at about half its width
    figure.update_layout(font_size=17, height=420, margin={"b": 150}).update_annotations(font_size=18)
    return figure.update_yaxes(tickfont_size=15, col=1)
