"""What the lesson on clusters asks: questions with one number as their answer, and predictions."""

from __future__ import annotations

from typing import Any

from ...cost import Cost
from ..kit.costs import COUNTED_WORDS
from ..kit.explorer import Explorer
from ..kit.grading import Prediction, Question, register


def _clock(explorer: Any) -> Cost:
    """Whose times are asked for. Raises LookupError if there are none."""
    return explorer.by_the_clock  # type: ignore[no-any-return]


def _second_tail(explorer: Explorer) -> str:
    widths = " and ".join(f"{width:,}" for width in explorer.widths_for(2))
    return (
        f"With d = {explorer.in_features:,}, B = {explorer.batch:,} and tails {widths} numbers wide, how many times "
        f"faster is the best pair of cutoffs than the best single cutoff? Times: {_clock(explorer).name}."
    )


QUESTIONS: dict[str, Question] = {
    "count by hand": Question(
        "A list has 10,000 words and is cut after 2,000. 20 % of the tokens belong to the tail. How many words are "
        "scored per token, on average?",
        lambda: 2001 + 0.2 * 8000,
        {
            "That counts the tail for every token; only 20 % of them open it.": lambda: 10_001.0,
            "The head's entry for the tail is missing.": lambda: 3600.0,
            "Every token passes through the head, including those that go on to the tail.": lambda: (
                0.8 * 2001 + 0.2 * 8000
            ),
            "You took the share of the head (80 %) for the tail.": lambda: 2001 + 0.8 * 8000,
            "That is the head alone; one token in five goes on to the tail.": lambda: 2001.0,
            "That is the tail alone; every token is scored against the head first.": lambda: 0.2 * 8000,
            "The tail has 10,000 - 2,000 words, not all 10,000.": lambda: 2001 + 0.2 * 10_000,
            "You applied both shares: the head is paid for by every token.": lambda: 0.8 * 2000 + 0.2 * 8000,
        },
        "2,000 + 1 for the head, 0.2 x 8,000 for the tail.",
        tolerance=0.0001,
        unit="words",
    ),
    "swap saving": Question(
        "Two tails of 2,000 and 30,000 words cost the same per word. One gets 4 % of the tokens, the other 9 %. How "
        "many words per token does the better assignment save?",
        lambda: 1400.0,
        {
            "That is what the better assignment costs; the question is about the difference.": lambda: 1380.0,
            "That is what the worse assignment costs; the question is about the difference.": lambda: 2780.0,
            "That is what the large tail costs with the large share. Count both tails, as they are and after they have "
            "traded their shares.": lambda: 0.09 * 30_000,
            "That is what the large tail costs with the small share. Count both tails, as they are and after they have "
            "traded their shares.": lambda: 0.04 * 30_000,
            "That is what the large tail saves; the small one gets the large share, and costs more now.": lambda: (
                0.05 * 30_000
            ),
            "The large tail saves 1,500 words, but the small one costs 100 more: subtract them.": lambda: 1600.0,
            "That is what the small tail costs more; the large one saves words.": lambda: 0.05 * 2000,
            "Multiply the difference of the sizes by the difference of the shares, not by one share.": lambda: (
                0.09 * 28_000
            ),
            "Multiply the difference of the sizes by the difference of the shares, 0.05, not by a share.": lambda: (
                0.04 * 28_000
            ),
            "That is the difference of the sizes; multiply it by the difference of the shares, 0.05.": lambda: 28_000.0,
            "The better assignment saves words: no minus sign.": lambda: -1400.0,
            "Shares are fractions: 5 % is 0.05.": lambda: 140_000.0,
        },
        "(0.09 - 0.04) x (30,000 - 2,000).",
        tolerance=0.005,
        unit="words",
    ),
    "tail width": Question(
        "With d = 1,024 and the widths $d/4$, $d/16$, $d/64$ and so on: how wide is tail 2?",
        lambda: 64.0,
        {
            "That is tail 1.": lambda: 256.0,
            "That is tail 3, d/64.": lambda: 16.0,
            "That is d/8: each tail is a quarter as wide as the one before.": lambda: 128.0,
            "That is d/2: divide by 4, and by 4 again.": lambda: 512.0,
            "That is tail 2 of the panel, where d = 512.": lambda: 32.0,
        },
        "1,024 / 4 / 4.",
        tolerance=0.0,
    ),
    "tail token": Question(
        "A token falls into a tail of 10,000 words and width 128; d = 512. How many multiplications do the projection "
        "and the scores take together, without the head?",
        lambda: 512.0 * 128 + 128 * 10_000,
        {
            "The projection from d to the width is missing.": lambda: 1_280_000.0,
            "That is the full width d; this tail is narrower.": lambda: 5_120_000.0,
            "That is the projection alone.": lambda: 65_536.0,
            "The projection is right, but the scores use the full width d: the tail works with 128 numbers per "
            "word.": lambda: 65_536.0 + 5_120_000.0,
        },
        "512 x 128 for the projection, 128 x 10,000 for the scores.",
        tolerance=0.005,
    ),
    "fixed costs": Question(
        "Suppose that starting a product takes 0.2 ms. A layer has a head and 4 tails, and each tail needs two "
        "products: the projection and the scores. How many milliseconds go into starting matrix products?",
        lambda: (1 + 2 * 4) * 0.2,
        {
            "The head is a product, too.": lambda: 8 * 0.2,
            "The head is one product: it has no projection.": lambda: 10 * 0.2,
            "Each tail has two products: the projection, and the scores.": lambda: 5 * 0.2,
            "Each tail has two products, and the head is one more.": lambda: 4 * 0.2,
            "That is the number of products; each takes 0.2 ms.": lambda: 9.0,
            "That is one product.": lambda: 0.2,
        },
        "1 + 2 x 4 = 9 products of 0.2 ms.",
        tolerance=0.001,
        unit="ms",
    ),
}

PREDICTIONS: dict[str, Prediction] = {
    "best cut": Prediction(
        "Where is the coloured area smallest? Give the number of words in the head.",
        lambda e: float(e.plan_for_me(1, min_head_share=0.0, cost=COUNTED_WORDS).cutoffs[0]),
        "words",
    ),
    "swap": Prediction(
        "Tail 2 has nine times the words of tail 1, and twice its share of the tokens. Together they score 1,900 words "
        "per token. Now they trade their shares: the small tail gets the large one. Do they score more or fewer? Give "
        "a number.",
        lambda _e: 0.2 * 1000 + 0.1 * 9000,
        "words",
    ),
    "second cutoff": Prediction(
        _second_tail,
        lambda e: e.plan_for_me(1, cost=_clock(e)).time / e.plan_for_me(2, cost=_clock(e)).time,
        "times",
        "How many times faster is the best pair of cutoffs than the best single cutoff?",
    ),
}

register(QUESTIONS, PREDICTIONS, lesson="02")
