"""The stills of the lesson on clusters."""

from __future__ import annotations

from ...tradeoffs import two_clusters
from ..kit.costs import COUNTED_MULTIPLICATIONS, COUNTED_WORDS
from ..kit.cuts import cut_figure, picker_figure
from ..kit.explorer import Explorer
from ..kit.languages import load_language
from ..kit.plots import TEXT_COLOR, Picture, still
from . import figures as f


@still(
    "02_two_clusters",
    "Words scored per token against the size of the first cluster, on logarithmic axes: a U with its bottom at about "
    "15 thousand words, some ten times below the full softmax. The curve with both clusters in leaves lies close to "
    "the other.",
)
def _two_clusters() -> Picture:
    explorer = Explorer(load_language("en"), cost=COUNTED_WORDS)
    found = two_clusters(explorer.vocabulary, explorer.in_features, explorer.batch, cost=COUNTED_WORDS)
    return f.two_clusters_figure(explorer, found)


@still(
    "02_swap",
    "Two clusters drawn as rectangles, share of the tokens high and words wide. As set, 1,000 words with 10 percent "
    "and 9,000 words with 20 percent: 1,900 words per token. With the shares swapped: 1,100.",
)
def _swap() -> Picture:
    # an image knows no theme: the grey that reads on both
    return f.swap_svg(1000, 9000, 0.1, 0.2).replace(
        "<svg ", f'<svg xmlns="http://www.w3.org/2000/svg" color="{TEXT_COLOR}" '
    )


@still(
    "02_cutoffs",
    "The cut explorer for English with cutoffs at 2,000 and 10,000. The head has 79 percent of the tokens. Under the "
    "words, the multiplications against the first cutoff: the head rises, tail 1 falls, the total is far below the "
    "dotted line of the full softmax. Bars compare words, tokens and multiplications per cluster.",
)
def _cutoffs() -> Picture:
    return cut_figure(Explorer(load_language("en"), cost=COUNTED_MULTIPLICATIONS, cutoffs=(2000, 10000)))


@still(
    "02_game",
    "The words of English with two handles, at 2,000 and 10,000 words: the head has 78.6 percent of the tokens, tail 1 "
    "13.8 percent, tail 2 7.6 percent.",
)
def _game() -> Picture:
    return picker_figure(Explorer(load_language("en"), cost=COUNTED_MULTIPLICATIONS, cutoffs=(2000, 10000)))
