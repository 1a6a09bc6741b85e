"""What the lesson on alternatives asks: questions with one number as their answer, and predictions."""

from __future__ import annotations

from typing import Any

from ..kit.grading import Prediction, Question, register


def _explorer() -> Any:
    # here, because it needs torch, which takes seconds to load
    from . import explorer

    return explorer


QUESTIONS: dict[str, Question] = {
    "second look": Question(
        "SVD-softmax: V = 800,000, d = 512, W = 64, N = 40,000. Without the d x d turn of the state, what percentage "
        "of the full softmax's V d multiplications is left?",
        lambda: 100 * (800_000 * 64 + 40_000 * (512 - 64)) / (800_000 * 512),
        {
            "That is the preview alone; N words are looked at again, with the columns left.": lambda: 12.5,
            "That is the second look alone; every word has its preview, too.": lambda: 100 * 40_000 * 448 / 409.6e6,
            "N words at full width counts their first W columns twice: d - W are left.": lambda: 12.5 + 5.0,
            "Those are the N words as a share of V.": lambda: 5.0,
            "That is what is saved.": lambda: 100 - 100 * (51.2e6 + 17.92e6) / 409.6e6,
        },
        "V W + N (d - W) = 51.2 + 17.9 million, of 409.6 million.",
        tolerance=0.01,
        unit="%",
    ),
    "gate and expert": Question(
        "100 classes in 10 experts of 10 classes each, all equally busy. A token reads the gate, one row per expert, "
        "and one expert. How many times cheaper is that than the full softmax?",
        lambda: 5.0,
        {
            "The gate is missing: it has a row for each expert.": lambda: 10.0,
            "That runs all ten experts; the gate picks one.": lambda: 100 / 110,
            "That is the number of rows read; divide 100 by it.": lambda: 20.0,
            "That is the share of the arithmetic; turn it around.": lambda: 0.2,
        },
        "100 rows against 10 for the gate and 10 for the expert.",
        tolerance=0.005,
        unit="times",
    ),
    "pairs": Question(
        "Two tails. For the ten best words, 30 % of the rows open tail 1 and 4 % open tail 2. What percentage of the "
        "(row, tail) pairs is skipped?",
        lambda: 83.0,
        {
            "That is what is opened; the question is what is skipped.": lambda: 17.0,
            "Each row has two pairs: take the mean of both tails, not their sum.": lambda: 66.0,
            "That is tail 1 alone.": lambda: 70.0,
            "That is tail 2 alone.": lambda: 96.0,
        },
        "(70 + 96) / 2. The words found are the same as with all tails opened.",
        tolerance=0.005,
        unit="%",
    ),
    "promised": Question(
        "A method has 20 % of the arithmetic. The full softmax takes 90 ms, the method 30 ms. By its "
        "arithmetic it should be 5 times faster. How many percent of that factor did it reach?",
        lambda: 60.0,
        {
            "That is its time in percent of the full one; compare 3 times with the 5 times promised.": (
                lambda: 100 / 3
            ),
            "20 % of the arithmetic promises 5 times, and 3 times came true: divide them.": lambda: 300.0,
            "That is upside down: what was promised over what came true.": lambda: 500 / 3,
            "Those are the percent of time saved.": lambda: 200 / 3,
            "That is the time saved over the time promised to be saved; the question is about the factors.": (
                lambda: 100 * 60 / 72
            ),
            "The factors themselves, 3 and 5, not what they have beyond 1.": lambda: 50.0,
        },
        "90/30 = 3 times, of the 5 times that a fifth of the arithmetic promises. Memory and search take their part.",
        tolerance=0.005,
        unit="%",
    ),
}

PREDICTIONS: dict[str, Prediction] = {
    "cheapest": Prediction(
        "A small trained model, V = 8,000 and d = 48. SVD-softmax should find 99 % of the ten best words. What "
        "percentage of the full softmax's multiplications does it need at least? Commit to a guess.",
        lambda e: _explorer().cheapest_percent(e),
        "% of the multiplications",
    ),
    "pairs opened": Prediction(
        "A small adaptive softmax with two tails, trained on the same text. Exact decoding of the ten best words: what "
        "percentage of the (row, tail) pairs must be opened? Commit to a guess.",
        lambda e: e.pairs_percent(10),
        "% of the pairs",
    ),
}

register(QUESTIONS, PREDICTIONS, lesson="07")
