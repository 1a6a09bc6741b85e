"""What the lesson on live timing asks: questions with one number as their answer, and predictions."""

from __future__ import annotations

from typing import Any

from ..kit.grading import Prediction, Question, register
from . import figures as f
from .explorer import LiveTimingExplorer


def live_timed(explorer: Any) -> LiveTimingExplorer:
    """An explorer that has layers to time. Raises TypeError for any other."""
    if not isinstance(explorer, LiveTimingExplorer):
        raise TypeError(f"this prediction needs a LiveTimingExplorer, got {explorer!r}")
    return explorer


QUESTIONS: dict[str, Question] = {
    "which number": Question(
        "Five runs of a layer take 10, 11, 10, 48 and 12 ms. Which number (in ms) best says how long a run takes?",
        lambda: 11.0,
        {
            "That is the mean: one busy moment of the machine makes up half of it.": lambda: 18.2,
            "That is the fastest, which a cache may have helped; most runs take longer.": lambda: 10.0,
            "That is the busy moment itself.": lambda: 48.0,
            "That is the mean of the largest and the smallest.": lambda: 29.0,
        },
        "The median: sorted 10, 10, 11, 12, 48, the middle one.",
        tolerance=0.01,
        unit="ms",
    ),
    "how far off": Question(
        "Predicted 20 ms, measured 25 ms. By how many percent of the measured time is the prediction too low?",
        lambda: 20.0,
        {
            "That is 5 of 20: the difference relative to the prediction. The measurement is the truth.": lambda: 25.0,
            "That is the difference in milliseconds.": lambda: 5.0,
            "The right size; “too low by” has the minus sign in it already.": lambda: -20.0,
            "That is what is left; the question is what is missing.": lambda: 80.0,
            "That is what was measured in percent of the prediction.": lambda: 125.0,
        },
        "1 - 20/25.",
        unit="%",
    ),
    "room for logits": Question(
        "A full softmax with $B = 2{,}560$ and $V = 267{,}735$ in float32: how many gigabytes ($10^9$ bytes) do its "
        "logits alone take?",
        lambda: 4e-9 * 2560 * 267_735,
        {
            "That is the number of logits; each takes four bytes.": lambda: 1e-9 * 2560 * 267_735,
            "That is with two bytes per number, as in bfloat16.": lambda: 2e-9 * 2560 * 267_735,
            "That is with eight bytes per number, as in float64.": lambda: 8e-9 * 2560 * 267_735,
            "That is one token's logits; there are 2,560 tokens.": lambda: 4e-9 * 267_735,
            "That is in GiB, of 2^30 bytes each.": lambda: 4 * 2560 * 267_735 / 2**30,
        },
        "2,560 x 267,735 x 4 bytes. In training, their softmax and their gradients need more memory still.",
        unit="GB",
    ),
    "the whole step": Question(
        "In a training step, the full softmax takes 60 % of the time. An adaptive layer is 10 times as fast. How many "
        "times faster does the whole step get?",
        lambda: 1 / (0.4 + 0.06),
        {
            "That is the layer alone; 40 % of the step is as slow as before.": lambda: 10.0,
            "That would hold if the layer cost nothing at all.": lambda: 2.5,
            "That is 60 % of 10: speed-ups do not add up; times do.": lambda: 6.0,
            "That is the part of the time that is left; turn it around.": lambda: 0.46,
        },
        "1 / (0.40 + 0.60 / 10).",
        tolerance=0.01,
        unit="times",
    ),
}

PREDICTIONS: dict[str, Prediction] = {
    "PyTorch beside ours": Prediction(
        "With the same cutoffs, PyTorch's adaptive layer computes the same loss as ours. How many times as long does "
        "one training step of it take?",
        lambda e: f.recorded_ratio(live_timed(e)),
        "times, on the recorded machine",
    ),
    "beside the bottom": Prediction(
        lambda e: f"Take the fastest {f.letter(e.active)} and halve it. How many percent slower is a step?",
        lambda e: f.price_of_half(live_timed(e)),
        "%, by the cost model",
        "How many percent slower is a step if the fastest cutoff is halved?",
    ),
}

register(QUESTIONS, PREDICTIONS, lesson="04")
