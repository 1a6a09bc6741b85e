"""What the last lesson asks: questions with one number as their answer, and predictions."""

from __future__ import annotations

from typing import Any

from ..kit.grading import Prediction, Question, register
from ..kit.progress import add_decisions
from ..kit.report import add_section
from . import report
from .scenarios import CHANCE, SCENARIOS, pieces_table

QUESTIONS: dict[str, Question] = {
    "adam": Question(
        "Now two million items and $d$ = 512, in fp32. Training with Adam keeps four numbers for each parameter: the "
        "weight, its gradient, and two moments. How many GB (of $10^9$ bytes) does a full softmax need?",
        lambda: 2e6 * 512 * 16 / 1e9,
        {
            "Those are the weights alone; training keeps four numbers for each.": lambda: 4.096,
            "Weight and gradient only: Adam keeps two moments as well.": lambda: 8.192,
            "The two moments are counted, the gradient is not.": lambda: 12.288,
            "That is in units of 2^30 bytes; here a GB is 10^9.": lambda: 2e6 * 512 * 16 / 2**30,
            "That is 8 bytes a number, as in fp64; fp32 takes 4.": lambda: 32.768,
            "That is in MB; a GB is 10^9 bytes, a thousand of them.": lambda: 16_384.0,
        },
        "2 × 10^6 rows of 512 numbers, 4 bytes each, four times.",
        tolerance=0.005,
        unit="GB",
    ),
    "mean width": Question(
        "$d$ = 256. The head holds 86 % of the tokens, tail 1 (width 64) 10 %, tail 2 (width 16) 4 %. What is the mean "
        "width of a token?",
        lambda: 0.86 * 256 + 0.10 * 64 + 0.04 * 16,
        {
            "That is the mean over clusters; weight each width by its share.": lambda: (256 + 64 + 16) / 3,
            "The tails are missing.": lambda: 0.86 * 256,
            "That is the share of d; multiply it by 256.": lambda: (0.86 * 256 + 6.4 + 0.64) / 256,
            "Tail 2 is missing.": lambda: 0.86 * 256 + 6.4,
        },
        "220.2 + 6.4 + 0.6 = 227.2, or 89 % of d.",
        tolerance=0.002,
        unit="numbers",
    ),
    "whole step": Question(
        "In a training with 8,000 word pieces, the output layer takes 76 % of a step. You make the layer 4 times "
        "faster. How many times faster is the whole step?",
        lambda: round(1 / (0.24 + 0.76 / 4), 2),
        {
            "That is the layer alone; the other 24 % of the step stay as they are.": lambda: 4.0,
            "That is what a step takes now; turn it around.": lambda: 0.24 + 0.76 / 4,
            "4 times 0.76: times do not add up that way. Add the parts of a step.": lambda: 3.04,
            "That is the limit, with a layer that takes no time at all.": lambda: 1 / 0.24,
            "The step now takes 43 % of its time; divide 1 by that, instead of adding what is saved to 1.": lambda: (
                1.57
            ),
            "Three quarters of the layer's time are saved, not of the step's; and divide by what remains.": lambda: (
                1.75
            ),
        },
        "0.24 + 0.76 / 4 = 0.43 of a step. A layer that took no time would make it 4.17 times faster, at most.",
        tolerance=0.015,
        unit="times",
    ),
}


def _full_ms(explorer: Any) -> float:
    case, words = SCENARIOS["keyboard"], explorer.words_of_case("keyboard")
    return 1e3 * float(explorer.cost_of_case("keyboard").full_time(len(words), case.batch, case.d, case.objective))


def _lost_percent(_explorer: Any) -> float:
    row = pieces_table().row("adaptive")
    return 100 * float(row["of full"]) if row else float("nan")


PREDICTIONS: dict[str, Prediction] = {
    "keyboard": Prediction(
        "One hidden state, 20,000 words, $d$ = 256: how many milliseconds does a full softmax take to find the best "
        "words, on the recorded CPU with two threads?",
        _full_ms,
        "ms",
    ),
    "pieces": Prediction(
        "A language model with 8,000 word pieces was trained twice: with a full softmax, and with an adaptive one "
        "whose head holds the 2,000 most frequent pieces. By what percentage was the perplexity of the adaptive one "
        "higher?",
        _lost_percent,
        "%",
        chance=100 * CHANCE,
    ),
}

register(QUESTIONS, PREDICTIONS, lesson="08")
add_section("08", report.section)
add_decisions("08", report.decisions)
