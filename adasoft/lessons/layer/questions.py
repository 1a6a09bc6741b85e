"""What the lesson on the layer asks: questions with one number as their answer, and predictions."""

from __future__ import annotations

import math
from typing import Any

from ..kit.grading import Prediction, Question, register

#: For how many best words the reader guesses what the first rule leaves open.
GUESSED_FOR = 1


def _comparisons() -> Any:
    # here, because it needs torch, which takes seconds to load
    from . import comparisons

    return comparisons


QUESTIONS: dict[str, Question] = {
    "rows": Question(
        "Of 1,000 tokens, none ignored, 800 have their target in the head, 150 in tail 1 and 50 in tail 2. "
        "Head and tails each work through a matrix with one row per token that they see. How many rows do the three "
        "have together?",
        lambda: 1200.0,
        {
            "The head sees every token: it must also learn to say 'tail 1'.": lambda: 1000.0,
            "That is each token in each cluster; a tail sees only its own tokens.": lambda: 3000.0,
            "Those are the tails' rows; the head has rows as well.": lambda: 200.0,
            "Those are the tokens of the head; all others pass through it as well.": lambda: 800.0,
            "Projection and words are one cluster: count its rows once.": lambda: 1400.0,
            "You left out tail 2: its 50 tokens are rows, too.": lambda: 1150.0,
            "You left out tail 1: its 150 tokens are rows, too.": lambda: 1050.0,
        },
        "1,000 in the head, then 150 and 50.",
        tolerance=0.0,
        unit="rows",
    ),
    "chain": Question(
        "The head gives tail 1 the probability 0.2. Within tail 1 the word has 0.01. What is the word's "
        r"$-\log p$, in nats?",
        lambda: -math.log(0.2 * 0.01),
        {
            "That is the head's part alone; the word must also be found within the tail.": lambda: -math.log(0.2),
            "That is the tail's part alone; the tail must be chosen first.": lambda: -math.log(0.01),
            "The minus is missing: the loss is -log p, and positive.": lambda: math.log(0.002),
            "That is the logarithm to base 2, in bits; nats use base e.": lambda: -math.log2(0.002),
            "That is p itself; the loss is its logarithm, with a minus.": lambda: 0.002,
            "Probabilities along a path multiply; you added them before the logarithm.": lambda: -math.log(0.21),
            "That is the logarithm to base 10; nats use base e.": lambda: -math.log10(0.002),
        },
        "-log 0.2 - log 0.01 = 1.61 + 4.61.",
        tolerance=0.005,
        unit="nats",
    ),
    "difference": Question(
        r"The loss is 2.3006 at $\theta + \varepsilon$ and 2.2994 at $\theta - \varepsilon$, with "
        r"$\varepsilon = 0.001$. What is the central difference?",
        lambda: 0.6,
        {
            "That is the difference of the losses; divide it by the distance between the two places.": lambda: 0.0012,
            "The two places are 2ε apart, not ε.": lambda: 1.2,
            "The loss falls when θ falls, so the slope is positive.": lambda: -0.6,
            "Divide by 2ε; you multiplied.": lambda: 0.0012 * 0.002,
        },
        "(2.3006 - 2.2994) / 0.002.",
        tolerance=0.005,
    ),
    "gradients": Question(
        "A layer has $J = 3$ tails and no bias. How many weight matrices does it have, each with a gradient after "
        "every batch?",
        lambda: 7.0,
        {
            "That is one for each cluster; a tail has two, its projection and its words.": lambda: 4.0,
            "Those are the tails; the head has a matrix, too.": lambda: 6.0,
            "Those are the tails alone, and each of them has two.": lambda: 3.0,
            "The head needs no projection: it works at full width.": lambda: 8.0,
        },
        "1 + 2 J: the head, and a projection and the words of each tail.",
        tolerance=0.0,
    ),
    "skip": Question(
        "You want the 10 best words. The tails have probability 0.30, 0.05 and 0.01; the tenth-best word found so far "
        "has 0.02. How many tails can be skipped without looking inside?",
        lambda: 1.0,
        {
            "Those must be opened: a word in them could still have more than 0.02.": lambda: 2.0,
            "The last tail has 0.01 in all, so none of its words can have 0.02.": lambda: 0.0,
            "A tail of 0.30 may hold a word of 0.25, which would be among the ten.": lambda: 3.0,
        },
        "Only the one below 0.02: no word has more than its whole tail.",
        tolerance=0.0,
    ),
}

PREDICTIONS: dict[str, Prediction] = {
    "tail tokens": Prediction(
        lambda e: (
            f"{e.vocabulary.name}: the last tail holds {100 * e.word_shares[-1]:.0f} % of the words. "
            f"Of {e.batch:,} tokens, how many have their target there?"
        ),
        lambda e: e.batch * e.token_shares[-1],
        "tokens",
        "How many tokens of a batch have their target in the last tail?",
    ),
    "digits": Prediction(
        "Numbers in fp64 have about 16 digits. In the layer that this lesson starts with, and with the best step "
        "$\\varepsilon$, to how many digits will the central difference agree with `backward()`?",
        lambda e: _comparisons().best_agreement(),
        "digits",
    ),
    "opened": Prediction(
        "Train the layer first. 64 hidden states with two tails each make 128 pairs, 128 chances to skip a tail. You "
        "want the one best word. In what percentage must the tail still be opened by the first rule?",
        lambda e: _comparisons().unskipped_percent(e, GUESSED_FOR),
        "% of the pairs",
        sizes={"k": GUESSED_FOR},
    ),
}

register(QUESTIONS, PREDICTIONS, lesson="05")
