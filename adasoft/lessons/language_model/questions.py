"""What the lesson on language models asks: questions with one number as their answer, and predictions."""

from __future__ import annotations

import math

from ...results.short_tables import StoredTable, stored_tables
from ...results.suite import PAPER_TEXT8
from ..kit.grading import Prediction, Question, register
from ..kit.progress import add_decisions
from ..kit.report import add_section
from . import bets
from .sentences import sizes_text
from .stored_ranks import nearest_ranked, rare_share

QUESTIONS: dict[str, Question] = {
    "nats": Question(
        "On held-out text a model needs 4.6 nats per token. What is its perplexity?",
        lambda: math.exp(4.6),
        {
            "That is 2 to the loss: right for bits, but these are nats.": lambda: 2**4.6,
            "That is 10 to the loss; nats use base e.": lambda: 10**4.6,
            "That is the loss itself; the perplexity is e to the loss.": lambda: 4.6,
            "That is the logarithm; it goes the other way round.": lambda: math.log(4.6),
            "That is e to minus the loss: the probability of the right word. Perplexity is one over it.": lambda: (
                math.exp(-4.6)
            ),
        },
        "e to the 4.6: as unsure as among 99 equally likely words.",
        tolerance=0.01,
    ),
    "two hundredths": Question(
        "Another model needs 0.02 nats more. By what percentage is its perplexity higher?",
        lambda: 100 * math.expm1(0.02),
        {
            "That is a fraction; the question asks for percent: times 100.": lambda: math.expm1(0.02),
            "Those are nats; the question asks for percent.": lambda: 0.02,
            "That is the factor between the two perplexities; the rise in percent is what goes beyond 1.": lambda: (
                math.exp(0.02)
            ),
            "That is with base 2: right for bits, but these are nats.": lambda: 100 * (2**0.02 - 1),
            "That is 0.02 of 4.6 nats: percent of the loss, not of the perplexity.": lambda: 100 * 0.02 / 4.6,
        },
        "e to the 0.02 is 1.0202, whatever the loss was. Small differences in nats are shares of the perplexity.",
        unit="%",
    ),
    "shares of a step": Question(
        "With the full softmax, the output layer takes 70 % of a training step; in the adaptive model's step, which is "
        "shorter, it takes 25 %. Suppose the rest takes as long as before. How many times faster is the step?",
        lambda: 0.75 / 0.30,
        {
            "70 over 25 compares shares of two different wholes.": lambda: 70 / 25,
            "That would be the gain if the layer took no time at all.": lambda: 1 / 0.3,
            "That takes 45 points off the old step, but the 25 % are a share of the new, shorter one.": lambda: (
                1 / 0.55
            ),
            "That is the new step as a part of the old one; turn it around.": lambda: 0.4,
        },
        "Of 100 ms, the 30 that stay are 75 % of the new step, which is thus 40 ms: 100/40.",
        tolerance=0.01,
        unit="times",
    ),
    "one word": Question(
        "A vocabulary has one entry, so every word of the text becomes `<unk>`. What perplexity does any model reach?",
        lambda: 1.0,
        {
            "That is the loss, 0 nats; the perplexity is e to it.": lambda: 0.0,
            "That would be right for two equally likely words.": lambda: 2.0,
            "That is the percentage of right predictions.": lambda: 100.0,
            "That is e: a loss of one nat. There is nothing to be unsure about here.": lambda: math.e,
        },
        "Nothing is left to predict. Every word that becomes <unk> makes a model look better: compare perplexities "
        "over the same words of the same text only.",
        tolerance=0.002,
    ),
    "sampled loss": Question(
        "$V = 13{,}000$. In training, a sampled softmax reports 3.0 nats per token, computed over the target and its "
        "samples. Over all words it needs 5.1 nats on the validation part. Which perplexity may be compared with the "
        "full softmax's?",
        lambda: math.exp(5.1),
        {
            "That is among the target and a few samples: an easier question than among all words.": lambda: math.exp(3),
            "Those are nats; the perplexity is e to them.": lambda: 5.1,
            "The two do not add up: one is an estimate of something else.": lambda: math.exp(8.1),
            "The mean of two different things is neither of them.": lambda: math.exp(4.05),
        },
        "e to the 5.1, about 164: a loss over samples does not give a perplexity.",
        tolerance=0.01,
    ),
    "the right word": Question(
        "A model has perplexity 90. What probability does it give the right next word, in percent, as a geometric mean "
        "over the text?",
        lambda: 100 / 90,
        {
            "That is the probability itself; the question is in percent.": lambda: 1 / 90,
            "That is the perplexity: as unsure as among 90 words.": lambda: 90.0,
            "That is the loss in nats, the logarithm of 90.": lambda: math.log(90),
            "That takes the perplexity from 100, but it is no percentage.": lambda: 10.0,
        },
        "One part in 90: the loss is the mean of -log p, so e to the loss is one over the geometric mean of p.",
        tolerance=0.02,
        unit="%",
    ),
    "pieces": Question(
        "A model has perplexity 25 per byte-pair piece, and a word has 1.5 pieces. What is its perplexity per word?",
        lambda: 25**1.5,
        {
            "Per piece: a word must be right in all its pieces, and their losses add.": lambda: 25.0,
            "Losses add, so perplexities multiply: not 1.5 times, but to the power of 1.5.": lambda: 37.5,
            "That is e to the 25: 25 is a perplexity already, no loss.": lambda: math.exp(25),
            "That divides; a word of several pieces is harder, not easier.": lambda: 25 / 1.5,
            "That is the power the other way round, as if a piece held one and a half words.": lambda: 25 ** (1 / 1.5),
        },
        "1.5 pieces of log 25 nats each: e to the (1.5 × 3.22), which is 25 to the 1.5.",
        tolerance=0.01,
    ),
}


def _ranked_table() -> StoredTable | None:
    tables = stored_tables()
    return nearest_ranked(tables[0], tables) if tables else None


PREDICTIONS: dict[str, Prediction] = {
    "paper minutes": Prediction(
        "The paper, on the text Text8 and a GPU of 2016: five epochs with the full softmax took 83 minutes. How many "
        "minutes did they take with the adaptive softmax?",
        lambda _: float(PAPER_TEXT8["adaptive"][1]),
        "minutes",
    ),
    "rare words": Prediction(
        "On WikiText-2 ($V = 33{,}278$), the model with planned cutoffs needs 0.08 nats per token more than the full "
        "softmax's. The words beyond the 5,000 most frequent are 12 % of the text. What percentage of the extra loss "
        "comes from them?",
        lambda _: 100 * rare_share(_ranked_table(), "planned-0.75", 5000),
        "% of the extra loss",
    ),
    "live faster": Prediction(
        lambda e: (
            f"{e.vocabulary.name}: {sizes_text(len(e.vocabulary), e.in_features, e.batch, e.cutoffs)} The output "
            f"layer alone should be {e.speedup:.2g} times faster than the full softmax. How many times faster is a "
            "whole training step, LSTM and optimizer included?"
        ),
        lambda e: float(e.measured_speedup()),
        "times",
        "How many times faster is a whole training step, LSTM and optimizer included?",
    ),
}

register(QUESTIONS, PREDICTIONS, lesson="06")
add_decisions("06", bets.bets)
add_section("06", bets.section)
