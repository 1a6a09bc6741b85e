"""What the lesson on the time model asks: questions with one number as their answer, and predictions."""

from __future__ import annotations

from typing import Any

from ..kit.grading import Prediction, Question, register
from . import figures as f
from .explorer import TimingExplorer


def timed(explorer: Any) -> TimingExplorer:
    """An explorer that has timings. Raises TypeError for any other."""
    if not isinstance(explorer, TimingExplorer):
        raise TypeError(f"this prediction needs a TimingExplorer, got {explorer!r}")
    return explorer


QUESTIONS: dict[str, Question] = {
    "not waiting": Question(
        "A GPU product takes 2 ms; handing it to the GPU takes 0.01 ms. A clock around 100 of them stops without "
        "waiting for the GPU. How many milliseconds does it show?",
        lambda: 1.0,
        {
            "That is the work: 100 x 2 ms. The clock stopped before it was done.": lambda: 200.0,
            "That is one product; 100 were handed over.": lambda: 2.0,
            "That is one hand-over; there were 100.": lambda: 0.01,
            "The hand-overs and the work: the clock did not wait for the work.": lambda: 201.0,
        },
        "100 x 0.01 ms. That would make the product look 200 times as fast as it is.",
        unit="ms",
    ),
    "on the flat part": Question(
        "g(k) = max(c + lambda k0, c + lambda k) with c = 0.20 ms, lambda = 2 µs per word, k0 = 50. How many "
        "milliseconds does a product with k = 10 words take?",
        lambda: 0.3,
        {
            "That is c + lambda k, but k = 10 lies below k0: the time is flat there.": lambda: 0.22,
            "That is c alone; the flat part is c + lambda k0.": lambda: 0.2,
            "That is lambda k0 alone; c is missing.": lambda: 0.1,
            "That is c + lambda (k0 + k): the larger of the two counts, not the sum.": lambda: 0.32,
        },
        "0.20 ms + 50 x 0.002 ms, as for every k up to 50.",
        unit="ms",
    ),
    "largest c": Question(
        "The paper's K40: flat at 0.40 ms up to k0 = 50 words. From its peak arithmetic, a word costs at least 2.4 µs. "
        "How many milliseconds can c be at most?",
        lambda: 0.4 - 50 * 2.4e-3,
        {
            "That is the whole flat part, c + lambda k0; take lambda k0 off.": lambda: 0.4,
            "That is lambda k0; c is the rest of the 0.40 ms.": lambda: 50 * 2.4e-3,
            "You added: the flat part already holds lambda k0.": lambda: 0.4 + 50 * 2.4e-3,
            "One word only was taken off, not 50.": lambda: 0.4 - 2.4e-3,
        },
        "0.40 ms - 50 x 0.0024 ms. A bound from arithmetic, not a number from the paper, which never printed lambda.",
        unit="ms",
    ),
    "one more tail": Question(
        "Three tails, c = 0.3 ms per cluster, and 4.0 ms for all words together. A fourth tail would bring the words "
        "down to 3.8 ms. By the last form, (J + 1) c + words, how many milliseconds does the whole layer take then?",
        lambda: 5 * 0.3 + 3.8,
        {
            "The head is a cluster, too: J + 1 constants.": lambda: 4 * 0.3 + 3.8,
            "That is with three tails; the question is about four.": lambda: 4 * 0.3 + 4.0,
            "The constants are missing.": lambda: 3.8,
            "One constant for all: every cluster pays its own.": lambda: 0.3 + 3.8,
            "This form has one constant for each cluster, projections not counted.": lambda: 9 * 0.3 + 3.8,
        },
        "5 x 0.3 + 3.8 = 5.3 ms, and with three tails 4 x 0.3 + 4.0 = 5.2 ms: fewer multiplications, more time.",
        tolerance=0.002,
        unit="ms",
    ),
}

PREDICTIONS: dict[str, Prediction] = {
    "twice the time": Prediction(
        lambda e: (
            f"A product of (B x d) by (d x k), here with B = {e.batch:,} and d = {e.in_features:,}, for k = 1. "
            "Up to how many words k does it take less than twice that time? Commit to a guess."
        ),
        lambda e: f.words_for_twice(timed(e)),
        "words",
    ),
    "best number": Prediction(
        lambda e: (
            f"{len(e.vocabulary):,} words, B = {e.batch:,}. Up to the ninth, each further tail saves multiplications. "
            "By the timings, of how many clusters is the fastest plan, the head included? Commit to a guess."
        ),
        lambda e: f.timed_plan(timed(e)).n_tails + 1.0,
        "clusters",
    ),
    "worth of time": Prediction(
        "Two plans: one with the fewest multiplications, one with the least time. Judged by the clock, how many "
        "percent of a step does the second save? Commit to a guess.",
        lambda e: max(0.1, 100 * f.replan_gain(timed(e))),
        "%",
    ),
}

register(QUESTIONS, PREDICTIONS, lesson="03")
