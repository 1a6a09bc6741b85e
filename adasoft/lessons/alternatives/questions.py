"""What the lesson on alternatives asks: questions with one number as their answer, and predictions."""

from __future__ import annotations

from typing import Any

from ..kit.grading import Prediction, Question, register


def _windows() -> Any:
    # here, because it needs torch, which takes seconds to load
    from . import windows

    return windows


def _opened() -> tuple[float, float]:
    """Percent of the hidden states that open each tail of the small adaptive model, as the question says them."""
    return 92.5, 30.7


def _taken(first: float, second: float) -> float:
    """Percent of the full softmax's multiplications, if these percentages of the hidden states open the tails."""
    return (48_096 + first / 100 * 36_576 + second / 100 * 32_384) / 3_840


QUESTIONS: dict[str, Question] = {
    "second look": Question(
        "SVD-softmax with $V$ = 800,000 words, $d$ = 512, $W$ = 64, $N$ = 40,000. Do not count the $d \\times d$ "
        "rotation of the hidden state. What percentage of the full softmax's $V d$ multiplications is left?",
        lambda: 100 * (800_000 * 64 + 40_000 * (512 - 64)) / (800_000 * 512),
        {
            "That is the preview alone. N words get a second look, with the columns that are left.": lambda: 12.5,
            "That is the second look alone; every word has its preview, too.": lambda: 100 * 40_000 * 448 / 409.6e6,
            "N words at full width count their first W columns twice: d - W are left.": lambda: 12.5 + 5.0,
            "Those are the N words as a share of V.": lambda: 5.0,
            "That is what is saved.": lambda: 100 - 100 * (51.2e6 + 17.92e6) / 409.6e6,
        },
        "V W + N (d - W) = 51.2 + 17.9 million, of 409.6 million.",
        tolerance=0.01,
        unit="%",
    ),
    "gate and expert": Question(
        "100 classes in 10 experts of 10 classes each, all equally busy. A token reads the gate, one vector per "
        "expert, and one expert. How many times cheaper is that than the full softmax?",
        lambda: 5.0,
        {
            "The gate is missing: it has a vector for each expert.": lambda: 10.0,
            "That runs all ten experts; the gate picks one.": lambda: 100 / 110,
            "That is the number of vectors read; divide 100 by it.": lambda: 20.0,
            "That is the share of the arithmetic; turn it around.": lambda: 0.2,
        },
        "100 vectors against 10 for the gate and 10 for the expert.",
        tolerance=0.005,
        unit="times",
    ),
    "pairs": Question(
        "The small adaptive softmax of the first picture takes 48,096 multiplications for its head, 36,576 more for "
        "tail 1 and 32,384 more for tail 2. For the ten best words, 92.5 % of the hidden states open tail 1 and 30.7 % "
        "open tail 2. What percentage of the full softmax's 384,000 multiplications does it take on average?",
        lambda: _taken(*_opened()),
        {
            "That opens both tails for every hidden state.": lambda: _taken(100, 100),
            "That is the head alone.": lambda: _taken(0, 0),
            "The head is missing: every hidden state reads it.": lambda: _taken(*_opened()) - _taken(0, 0),
            "That is what is saved.": lambda: 100 - _taken(*_opened()),
            "That leaves out the other tail, which some hidden states open.": lambda: _taken(_opened()[0], 0),
            "That is how often a tail is opened; the tails differ in size, and the head is read as well.": lambda: (
                sum(_opened()) / 2
            ),
        },
        "48,096 + 0.925 x 36,576 + 0.307 x 32,384 = 91,871. The words found are the same as with both tails opened.",
        tolerance=0.005,
        unit="%",
    ),
}

PREDICTIONS: dict[str, Prediction] = {
    "cheapest": Prediction(
        "SVD-softmax on the small model of the first picture ($V$ = 8,000, $d$ = 48) should find 99 % of the ten best "
        "words. What percentage of the full softmax's multiplications does it need at least?",
        lambda e: _windows().cheapest_percent(e.small),
        "% of the multiplications",
    ),
    "sixth": Prediction(
        "On a larger trained model ($V$ = 17,724, $d$ = 256), SVD-softmax finds 99.9 % of the ten best words with a "
        "sixth of the multiplications. On the recorded CPU, 256 hidden states are scored together. How many times as "
        "fast as the full softmax is it?",
        lambda _: _factor(),
        "times the full softmax’s speed",
    ),
}


def _factor() -> float:
    # here, because it needs torch
    from .comparison import asked_factor

    return asked_factor()


register(QUESTIONS, PREDICTIONS, lesson="07")
