"""What the lesson on clusters asks: questions with one number as their answer, and predictions."""

from __future__ import annotations

from ..kit.costs import COUNTED_WORDS, cost_at_hand
from ..kit.explorer import Explorer
from ..kit.grading import Prediction, Question, register


def _best_time(explorer: Explorer, n_tails: int) -> float:
    """Of the best plan, by the explorer's timings, else by those of a machine. Raises LookupError if there are none."""
    return explorer.plan_for_me(n_tails, cost=cost_at_hand() if explorer.counted else None).time


QUESTIONS: dict[str, Question] = {
    "count by hand": Question(
        "10,000 words, cut at 2,000; the tail has 20 % of the tokens. How many words are scored per token, on average?",
        lambda: 2001 + 0.2 * 8000,
        {
            "That counts the tail for every token; only 20 % of them open it.": lambda: 10_001.0,
            "The head's entry for the tail is missing.": lambda: 3600.0,
            "Every token passes through the head, also those that go on to the tail.": lambda: 0.8 * 2001 + 0.2 * 8000,
            "You took the share of the head (80 %) for the tail.": lambda: 2001 + 0.8 * 8000,
        },
        "k_h + 1 + p_t k_t = 2,000 + 1 + 0.2 x 8,000.",
        tolerance=0.0001,
        unit="words",
    ),
    "swap saving": Question(
        "Two clusters of 1,000 and 9,000 words, all equally expensive; one gets 20 % of the tokens, the other 10 %. "
        "How many words per token does the better order save?",
        lambda: 800.0,
        {
            "That is what the better order costs; the question is about the difference.": lambda: 1100.0,
            "That is what the worse order costs; the question is about the difference.": lambda: 1900.0,
            "That is the difference of sizes; multiply it by the difference of the shares, 0.1.": lambda: 8000.0,
            "The better order saves words: no minus sign.": lambda: -800.0,
        },
        "(0.2 - 0.1) x (9,000 - 1,000).",
        unit="words",
    ),
    "tail width": Question(
        "d = 512 and the rule d/4, d/16, d/64 ...: how wide is tail 2?",
        lambda: 32.0,
        {
            "That is tail 1.": lambda: 128.0,
            "That is tail 3, d/64 (the floor is 8).": lambda: 8.0,
            "That is d/8: each tail is a quarter of the one before.": lambda: 64.0,
            "That is d/2: divide by 4, and by 4 again.": lambda: 256.0,
        },
        "512 / 4 / 4.",
        tolerance=0.0,
    ),
    "tail token": Question(
        "A token falls into a tail of 10,000 words and width 128; d = 512. How many multiplications for projection and "
        "scores together, without the head?",
        lambda: 512.0 * 128 + 128 * 10_000,
        {
            "The projection from d to the width is missing.": lambda: 1_280_000.0,
            "That is the full width d; this tail is narrower.": lambda: 5_120_000.0,
            "That is the projection alone.": lambda: 65_536.0,
        },
        "d d_1 + d_1 k_1 = 512 x 128 + 128 x 10,000.",
        tolerance=0.005,
    ),
    "fixed costs": Question(
        "Suppose that starting one product takes 0.2 ms. A layer has a head and J = 4 tails, each with two products, "
        "projection and words. How many milliseconds go into starting?",
        lambda: (1 + 2 * 4) * 0.2,
        {
            "The head is a product, too.": lambda: 8 * 0.2,
            "Each tail has two products: the projection, and the scores.": lambda: 5 * 0.2,
            "That is the number of products; each takes 0.2 ms.": lambda: 9.0,
            "That is one product.": lambda: 0.2,
        },
        "1 + 2 J = 9 products of 0.2 ms.",
        tolerance=0.001,
        unit="ms",
    ),
}

PREDICTIONS: dict[str, Prediction] = {
    "best cut": Prediction(
        "One cut, counted in words scored per token: how many words should the first cluster hold? Commit to a guess.",
        lambda e: float(e.plan_for_me(1, min_head_share=0.0, cost=COUNTED_WORDS).cutoffs[0]),
        "words",
    ),
    "second cutoff": Prediction(
        "Now in time: how many times faster is the best PAIR of cutoffs than the best single one? Commit to a guess.",
        lambda e: _best_time(e, 1) / _best_time(e, 2),
        "times, by the timings",
    ),
}

register(QUESTIONS, PREDICTIONS, lesson="02")
