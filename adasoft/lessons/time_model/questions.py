"""What the lesson on the time model asks: questions with one number as their answer, and predictions."""

from __future__ import annotations

from typing import Any

from ..kit.grading import Prediction, Question, register
from . import cluster_figures as cf
from . import figures as f
from .explorer import GUESS_BATCH, TimingExplorer

#: Where the guesses are made, and the panels below them start.
START = {"batch": GUESS_BATCH}


def timed(explorer: Any) -> TimingExplorer:
    """An explorer that has timings. Raises TypeError for any other."""
    if not isinstance(explorer, TimingExplorer):
        raise TypeError(f"this prediction needs a TimingExplorer, got {explorer!r}")
    return explorer


QUESTIONS: dict[str, Question] = {
    "not waiting": Question(
        "A GPU product takes 2 ms; handing it over to the GPU takes 0.01 ms. A clock around 100 of them stops without "
        "waiting for the GPU. How many milliseconds does it show for all 100 together?",
        lambda: 1.0,
        {
            "That is the work: 100 x 2 ms. The clock stopped before it was done.": lambda: 200.0,
            "That is one product; 100 were handed over.": lambda: 2.0,
            "That is one hand-over; there were 100.": lambda: 0.01,
            "The hand-overs and the work: the clock did not wait for the work.": lambda: 201.0,
        },
        "100 x 0.01 ms. The product looks 200 times as fast as it is.",
        unit="ms",
    ),
    "on the flat part": Question(
        "Take $c = 0.20$ ms, $\\lambda = 2$ µs per word and $k_0 = 50$. How many milliseconds does a product with "
        "$k = 10$ words take?",
        lambda: 0.3,
        {
            "That is c + λ k, but k = 10 lies below k₀: the time is flat there.": lambda: 0.22,
            "Mind the units: λ is in microseconds, 50 x 2 µs = 0.1 ms.": lambda: 100.2,
            "That is the right time in microseconds; the question asks for milliseconds.": lambda: 300.0,
            "That is k = 10 in microseconds, and the time is flat there.": lambda: 220.0,
            "That is c alone; the flat part is c + λ k₀.": lambda: 0.2,
            "That is λ k₀ alone; c is missing.": lambda: 0.1,
            "That is c + λ (k₀ + k): the larger of the two counts, not the sum.": lambda: 0.32,
        },
        "0.20 ms + 50 x 0.002 ms, as for every k up to 50.",
        unit="ms",
    ),
    "largest c": Question(
        "The paper's K40 is flat at 0.40 ms up to $k_0 = 50$ words. At its peak rate, the arithmetic of one word takes "
        "2.4 µs. How many milliseconds can $c$ be at most?",
        lambda: 0.4 - 50 * 2.4e-3,
        {
            "That is the whole flat part, c + λ k₀; subtract λ k₀.": lambda: 0.4,
            "That is λ k₀; c is the rest of the 0.40 ms.": lambda: 50 * 2.4e-3,
            "Mind the units: 50 x 2.4 µs are 120 µs = 0.12 ms, and c is the rest of 0.40 ms.": lambda: 120.0,
            "Mind the units: 50 x 2.4 µs are 0.12 ms; you took 120 off, as if they were milliseconds.": (
                lambda: 0.4 - 50 * 2.4
            ),
            "You added: the flat part already holds λ k₀.": lambda: 0.4 + 50 * 2.4e-3,
            "You subtracted one word, not 50.": lambda: 0.4 - 2.4e-3,
            "You took λ as 24 µs: 50 words at 2.4 µs are 0.12 ms.": lambda: 0.4 - 50 * 2.4e-4,
        },
        "0.40 ms - 50 x 0.0024 ms. A bound from arithmetic; the paper never gave λ.",
        unit="ms",
    ),
    "one more tail": Question(
        "Three tails, $c = 0.3$ ms per cluster, and 4.0 ms for all words together. A fourth tail would bring the words "
        "down to 3.8 ms. If every cluster pays $c$, how many milliseconds does the whole layer then take?",
        lambda: 5 * 0.3 + 3.8,
        {
            "The head is a cluster, too: J + 1 constants.": lambda: 4 * 0.3 + 3.8,
            "That is with three tails; the question is about four.": lambda: 4 * 0.3 + 4.0,
            "The constants are missing.": lambda: 3.8,
            "Three constants; with four tails and the head there are five.": lambda: 3 * 0.3 + 3.8,
            "One constant for all: every cluster pays its own.": lambda: 0.3 + 3.8,
            "One constant for each cluster; projections are not counted here.": lambda: 9 * 0.3 + 3.8,
        },
        "5 x 0.3 + 3.8 = 5.3 ms; with three tails it was 4 x 0.3 + 4.0 = 5.2 ms. Fewer multiplications, more time.",
        tolerance=0.002,
        unit="ms",
    ),
}

PREDICTIONS: dict[str, Prediction] = {
    "twice the time": Prediction(
        lambda e: (
            f"B = {GUESS_BATCH} tokens, d = {e.in_features:,}, softmax and gradients included. How many words can you "
            "score in less than twice the time of one word?"
        ),
        lambda e: f.words_for_twice(timed(e), GUESS_BATCH),
        "words, by the cost model",
        "How many words can you score in less than twice the time of one word?",
        START,
    ),
    "best number": Prediction(
        lambda e: (
            f"{len(e.vocabulary):,} words, d = {e.in_features:,}, B = {GUESS_BATCH}. By the clock, how many tails "
            "are best?"
        ),
        lambda e: float(cf.timed_plan(timed(e), GUESS_BATCH).n_tails),
        "tails, by the timings",
        "By the clock, how many tails are best?",
        START,
    ),
    "worth of time": Prediction(
        "One plan has the fewest multiplications, the other the least time. "
        f"At $B = {GUESS_BATCH}$, how much shorter is a step with the second plan, in percent?",
        lambda e: max(0.1, 100 * cf.replan_gain(timed(e), GUESS_BATCH)),
        "%, by the timings",
        sizes=START,
        within=(0, 100),  # by time, the plan made by time is no slower
    ),
}

register(QUESTIONS, PREDICTIONS, lesson="03")
