"""What the lessons ask: questions with one number as their answer, and predictions to commit before one is shown.

One section per notebook. :mod:`.checks` grades them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ...cost import Cost
from ..live_timing import figures as live_figures
from ..time_model import figures as time_figures
from ..time_model.explorer import TimingExplorer
from .explorer import COUNTED_WORDS, Explorer, cost_at_hand, fitted, load_language


@dataclass(frozen=True)
class Question:
    """A question with one number as its answer."""

    text: str
    expected: Callable[[], float]
    wrong: dict[str, Callable[[], float]] = field(default_factory=dict)
    """Hint -> the wrong answer it is for."""
    why: str = ""
    tolerance: float = 0.02
    unit: str = ""


def _en() -> Any:
    return load_language("en")


def _timed(explorer: Explorer) -> TimingExplorer:
    if not isinstance(explorer, TimingExplorer):
        raise TypeError(f"this prediction needs a TimingExplorer, got {explorer!r}")
    return explorer


def _clock(explorer: Explorer) -> Cost:
    """The explorer's timings, else those at hand. Raises LookupError if there are none."""
    return cost_at_hand() if explorer.counted else explorer.cost


def _layer_views() -> Any:
    # here, because it needs torch, which takes seconds to load
    from ..layer import comparisons as layer_views

    return layer_views


def _alternatives() -> Any:
    from ..alternatives import explorer as alternatives_state

    return alternatives_state


def _paper() -> dict[str, tuple[int, int]]:
    # here, because the benchmarks load much that the lessons do not need
    from ...bench.training import PAPER_TEXT8

    return PAPER_TEXT8


QUESTIONS: dict[str, Question] = {
    # ---- 00
    "full cost": Question(
        "A full softmax scores V = 321,180 words with a hidden size of d = 512. How many million multiplications is "
        "that for one token?",
        lambda: 321_180 * 512 / 1e6,
        {
            "That is V alone: each word's score is a sum of d products.": lambda: 0.32118,
            "That is V x d, but the question is in millions.": lambda: 321_180.0 * 512,
            "That is for a whole batch of 2,560 tokens; here it is one token.": lambda: 321_180 * 512 * 2560 / 1e6,
            "That is V + d; every word meets every feature.": lambda: (321_180 + 512) / 1e6,
        },
        "V x d = 321,180 x 512, about 164 million.",
        unit="million",
    ),
    "head outputs": Question(
        "One cutoff at 2,000, so one tail. How many numbers does the head compute for each token?",
        lambda: 2001.0,
        {
            "Those are the words. The head must also say 'it is in the tail': one entry more per tail.": lambda: 2000.0,
            "That is the tail's size; the head holds the frequent words.": lambda: 321_180.0 - 2000,
            "That is the whole vocabulary, which is what we want to avoid.": lambda: 321_180.0,
            "One entry per tail, and there is one tail only.": lambda: 2002.0,
        },
        "k_h + J = 2,000 words and 1 entry for the tail.",
        tolerance=0.0,
    ),
    "tail share": Question(
        "English, one cutoff at 2,000: which percentage of the tokens falls into the tail?",
        lambda: 100 * (1 - _en().share_of_first(2000)),
        {
            "That is p_h, the head's share; the tail has the rest.": lambda: 100 * _en().share_of_first(2000),
            "That is its share of the WORDS; tokens are counted with repetition.": lambda: 100 * (1 - 2000 / 321_180),
            "Right as a share, but the question is in percent.": lambda: 1 - _en().share_of_first(2000),
        },
        "1 - p_h: read the label of the tail's band in the plot.",
        tolerance=0.03,
        unit="%",
    ),
    "typical error": Question(
        "Suppose the model predicts 250 ms for a layer, and a card says that its median error is 8 %. By how many "
        "milliseconds is a typical prediction off?",
        lambda: 0.08 * 250,
        {
            "That is the error in percent; of 250 ms it is more.": lambda: 8.0,
            "That is where it may end above; the question is how far off.": lambda: 270.0,
            "That is where it may end below; the question is how far off.": lambda: 230.0,
            "8 % is 0.08, not 0.008.": lambda: 2.0,
        },
        "8 % of 250 ms. Half of the layers are off by less, half by more.",
        unit="ms",
    ),
    # ---- 01
    "zipf ratio": Question(
        "If Zipf's law held exactly with s = 1, how many times as frequent as the word of "
        "rank 1,000 is the word of rank 10?",
        lambda: 100.0,
        {
            "That is the difference of the ranks; the law is about their ratio.": lambda: 990.0,
            "That is the difference of the logarithms: two powers of ten apart.": lambda: 2.0,
            "That compares rank 1,000 with rank 1.": lambda: 1000.0,
            "Upside down: the word of rank 10 is the more frequent one.": lambda: 0.01,
        },
        "p_r = 1 / (r Z), so p_10 / p_1000 = 1000 / 10.",
        unit="times",
    ),
    "five points more": Question(
        "English: going from 90 % to 95 % of the tokens, how many words come on top?",
        lambda: float(_en().words_for_share(0.95) - _en().words_for_share(0.9)),
        {
            "Those are all words for 95 %; the first 90 % need many of them already.": lambda: float(
                _en().words_for_share(0.95)
            ),
            "Those are the words for 90 %; the question is about the five points after.": lambda: float(
                _en().words_for_share(0.9)
            ),
            "That is from 80 % to 90 %; the next five points are dearer.": lambda: float(
                _en().words_for_share(0.9) - _en().words_for_share(0.8)
            ),
            "That is 5 % of the words; the question is about 5 % of the tokens.": lambda: 0.05 * len(_en()),
        },
        "Set the share to 90 and to 95, and read the sentence under the figure.",
        unit="words",
    ),
    "the tail": Question(
        "English again: how many words share the last 1 % of the tokens?",
        lambda: float(len(_en()) - _en().words_for_share(0.99)),
        {
            "Those make the first 99 %; the question is about the others.": lambda: float(_en().words_for_share(0.99)),
            "That is 1 % of the words, not the words of the last 1 % of tokens.": lambda: 0.01 * len(_en()),
            "That is the last 5 %.": lambda: float(len(_en()) - _en().words_for_share(0.95)),
        },
        "V less the words that hold 99 %.",
        unit="words",
    ),
    "finnish tail": Question(
        "A head of 2,000 words. How many times as many tokens fall into the tail in Finnish as in English?",
        lambda: (1 - load_language("fi").share_of_first(2000)) / (1 - _en().share_of_first(2000)),
        {
            "That is the ratio of the heads, upside down; the tails differ by more.": lambda: (
                _en().share_of_first(2000) / load_language("fi").share_of_first(2000)
            ),
            "Upside down: Finnish has the larger tail.": lambda: (
                (1 - _en().share_of_first(2000)) / (1 - load_language("fi").share_of_first(2000))
            ),
            "That is the difference in points; the question is the ratio.": lambda: (
                100 * (_en().share_of_first(2000) - load_language("fi").share_of_first(2000))
            ),
        },
        "(1 - p_h) of Finnish over that of English; the table has p_h in its column for the first 2,000.",
        tolerance=0.03,
        unit="times",
    ),
    # ---- 02
    "count by hand": Question(
        "10,000 words, cut at 2,000; the tail has 20 % of the tokens. How many words are scored per token, on average?",
        lambda: 2001 + 0.2 * 8000,
        {
            "That pays the tail for every token; only 20 % of them open it.": lambda: 10_001.0,
            "The head's entry for the tail is missing.": lambda: 3600.0,
            "Every token pays the head, also those that go on to the tail.": lambda: 0.8 * 2001 + 0.2 * 8000,
            "You took the share of the head (80 %) for the tail.": lambda: 2001 + 0.8 * 8000,
        },
        "k_h + 1 + p_t k_t = 2,000 + 1 + 0.2 x 8,000.",
        tolerance=0.0001,
        unit="words",
    ),
    "swap saving": Question(
        "Two clusters whose words cost the same, 1,000 and 9,000 of them, with shares 20 % and 10 % to give away. How "
        "many words per token does the better order save over the worse?",
        lambda: 800.0,
        {
            "That is what the better order costs; the question is the difference.": lambda: 1100.0,
            "That is what the worse order costs; the question is the difference.": lambda: 1900.0,
            "That is the difference of sizes; multiply it by the difference of the shares, 0.1.": lambda: 8000.0,
            "The better order saves: no minus.": lambda: -800.0,
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
        "scores together, head left out?",
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
            "The head is a product too.": lambda: 8 * 0.2,
            "Each tail has two products: the projection, and the scores.": lambda: 5 * 0.2,
            "That is the number of products; each takes 0.2 ms.": lambda: 9.0,
            "That is one product.": lambda: 0.2,
        },
        "1 + 2 J = 9 products of 0.2 ms.",
        tolerance=0.001,
        unit="ms",
    ),
    # ---- 03
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
        "100 x 0.01 ms. It would make the product look 200 times as fast as it is.",
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
        "0.40 ms - 50 x 0.0024 ms. A bound from arithmetic, not a figure of the paper's: lambda was never printed.",
        unit="ms",
    ),
    "one more tail": Question(
        "Three tails, c = 0.3 ms per cluster, and 4.0 ms for all words together. A fourth tail would bring the words "
        "down to 3.8 ms. By the last form, (J + 1) c + words, how many milliseconds is the whole then?",
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
    # ---- 04
    "which number": Question(
        "Five runs of a layer: 10, 11, 10, 48 and 12 ms. Which number tells best what a run takes?",
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
            "That is 5 of 20: the difference against the prediction. Truth is the measurement.": lambda: 25.0,
            "That is the difference in milliseconds.": lambda: 5.0,
            "That is what is left; the question is what is missing.": lambda: 80.0,
            "That is what was measured in percent of the prediction.": lambda: 125.0,
        },
        "1 - 20/25.",
        unit="%",
    ),
    "the whole step": Question(
        "In a training step, the full softmax takes 60 % of the time. An adaptive layer is 10 times as fast. How many "
        "times as fast is the whole step?",
        lambda: 1 / (0.4 + 0.06),
        {
            "That is the layer alone; 40 % of the step is as slow as before.": lambda: 10.0,
            "That would hold if the layer cost nothing at all.": lambda: 2.5,
            "That is 60 % of 10: speed-ups do not add up like that, times do.": lambda: 6.0,
            "That is the part of the time that is left; turn it around.": lambda: 0.46,
        },
        "1 / (0.40 + 0.60 / 10).",
        tolerance=0.01,
        unit="times",
    ),
    "room for logits": Question(
        "A full softmax at B = 2,560 and V = 267,735 in float32: how many gigabytes (1e9 bytes) are its logits alone?",
        lambda: 4e-9 * 2560 * 267_735,
        {
            "That is the number of logits; each takes four bytes.": lambda: 1e-9 * 2560 * 267_735,
            "That is with two bytes per number, as in bfloat16.": lambda: 2e-9 * 2560 * 267_735,
            "That is with eight bytes per number, as in float64.": lambda: 8e-9 * 2560 * 267_735,
            "That is one token's logits; there are 2,560 tokens.": lambda: 4e-9 * 267_735,
        },
        "2,560 x 267,735 x 4 bytes. In training, their softmax and their gradient come on top.",
        unit="GB",
    ),
    # ---- 05
    "chain": Question(
        "The head gives tail 1 the probability 0.2; within tail 1 the word has 0.01. What is its -log p, in nats?",
        lambda: -math.log(0.2 * 0.01),
        {
            "That is the head's part alone; the word must also be found within the tail.": lambda: -math.log(0.2),
            "That is the tail's part alone; the tail must be chosen first.": lambda: -math.log(0.01),
            "That is p itself; the loss is its logarithm, with a minus.": lambda: 0.002,
            "Probabilities along a path multiply; you added them before the logarithm.": lambda: -math.log(0.21),
            "That is the logarithm to base 10; nats use base e.": lambda: -math.log10(0.002),
        },
        "-log 0.2 - log 0.01 = 1.61 + 4.61.",
        tolerance=0.005,
        unit="nats",
    ),
    "rows": Question(
        "1,000 tokens, none ignored: 800 have their target in the head, 150 in tail 1, 50 in tail 2. How many rows go "
        "into head and tails together, each cluster's counted once?",
        lambda: 1200.0,
        {
            "The head sees every token: it must say 'tail 1' for those of tail 1, too.": lambda: 1000.0,
            "That is each token in each cluster; a tail sees its own tokens only.": lambda: 3000.0,
            "Those are the tails' rows; the head has rows as well.": lambda: 200.0,
            "Those are the tokens of the head; all others pass through it as well.": lambda: 800.0,
            "Projection and words are one cluster: count its rows once.": lambda: 1400.0,
        },
        "1,000 in the head, then 150 and 50.",
        tolerance=0.0,
        unit="rows",
    ),
    "difference": Question(
        "The loss is 2.3006 with θ + ε and 2.2994 with θ - ε, where ε = 0.001. What is the central difference?",
        lambda: 0.6,
        {
            "That is the difference of the losses; divide it by the distance of the two places.": lambda: 0.0012,
            "The two places are 2ε apart, not ε.": lambda: 1.2,
            "Minus: the loss falls when θ falls, so the slope is positive.": lambda: -0.6,
            "Divide by 2ε; you multiplied.": lambda: 0.0012 * 0.002,
        },
        "(2.3006 - 2.2994) / 0.002.",
        tolerance=0.005,
    ),
    "gradients": Question(
        "J = 3 tails, no bias. How many weight matrices does the layer have, each with a gradient after every batch?",
        lambda: 7.0,
        {
            "That is one for each cluster; a tail has two, its projection and its words.": lambda: 4.0,
            "Those are the tails; the head has a matrix, too.": lambda: 6.0,
            "Only the tails, and each has two.": lambda: 3.0,
            "The head needs no projection: it works at full width.": lambda: 8.0,
        },
        "1 + 2 J: the head, and a projection and the words of each tail.",
        tolerance=0.0,
    ),
    "skip": Question(
        "Asked for the 10 best words. The tails have 0.30, 0.05 and 0.01; the tenth best word found so far has 0.02. "
        "How many tails can be skipped without looking inside?",
        lambda: 1.0,
        {
            "Those must be opened: a word in them could still have more than 0.02.": lambda: 2.0,
            "The last tail has 0.01 in all, so none of its words can have 0.02.": lambda: 0.0,
            "A tail of 0.30 may hold a word of 0.25; that would enter.": lambda: 3.0,
        },
        "Only the one below 0.02: no word has more than its whole tail.",
        tolerance=0.0,
    ),
    # ---- 06
    "nats": Question(
        "On held-out text a model needs 4.6 nats per token. What is its perplexity?",
        lambda: math.exp(4.6),
        {
            "That is 2 to the loss: right for bits, but these are nats.": lambda: 2**4.6,
            "That is 10 to the loss; nats use base e.": lambda: 10**4.6,
            "That is the loss itself; the perplexity is e to the loss.": lambda: 4.6,
            "That is the logarithm; it goes the other way round.": lambda: math.log(4.6),
        },
        "e to the 4.6: as unsure as between 99 words that are equally likely.",
        tolerance=0.01,
    ),
    "two hundredths": Question(
        "Another model needs 0.02 nats more. By how many percent is its perplexity higher?",
        lambda: 100 * math.expm1(0.02),
        {
            "Those are the nats; the question is in percent.": lambda: 0.02,
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
        "With the full softmax, the output layer takes 70 % of a step; with the adaptive one, 25 % of its own step. "
        "The rest takes as long as before. How many times faster is the step?",
        lambda: 0.75 / 0.30,
        {
            "70 over 25 compares shares of two different wholes.": lambda: 70 / 25,
            "That would be the gain if the layer cost nothing any more.": lambda: 1 / 0.3,
            "That takes 45 points off the old step; but the 25 % are of the new, shorter one.": lambda: 1 / 0.55,
            "That is the new step as a part of the old one; turn it around.": lambda: 0.4,
        },
        "Of 100 ms, the 30 that stay are 75 % of the new step, which is thus 40 ms: 100/40.",
        tolerance=0.01,
        unit="times",
    ),
    "one word": Question(
        "A vocabulary of one word: every word of the text is <unk>. What perplexity does any model reach?",
        lambda: 1.0,
        {
            "That is the loss, 0 nats; the perplexity is e to it.": lambda: 0.0,
            "With two words that are equally likely it would be that.": lambda: 2.0,
            "That is the share of right predictions in percent.": lambda: 100.0,
            "That is e: a loss of one nat. There is nothing to be unsure about here.": lambda: math.e,
        },
        "Nothing is left to predict. Every word that becomes <unk> makes a model look better: only perplexities over "
        "the same words of the same text can be compared.",
        tolerance=0.002,
    ),
    "sampled loss": Question(
        "V = 13,000. In training, a sampled softmax reports 3.0 nats per token, among the target and its samples; over "
        "all words it needs 5.1 nats on the validation part. Which perplexity may stand beside the full softmax's?",
        lambda: math.exp(5.1),
        {
            "That is among the target and a few samples: an easier question than among all words.": lambda: math.exp(3),
            "Those are nats; the perplexity is e to them.": lambda: 5.1,
            "The two do not add up: one is an estimate of something else.": lambda: math.exp(8.1),
            "Their mean is neither the one nor the other.": lambda: math.exp(4.05),
        },
        "e to the 5.1, about 164: a loss over samples is no perplexity.",
        tolerance=0.01,
    ),
    "the right word": Question(
        "A model has perplexity 90. In the geometric mean over the text, what probability does it give to the right "
        "next word, in percent?",
        lambda: 100 / 90,
        {
            "That is the probability itself; the question is in percent.": lambda: 1 / 90,
            "That is the perplexity: as unsure as between 90 words.": lambda: 90.0,
            "That is the loss in nats, the logarithm of 90.": lambda: math.log(90),
            "That takes the perplexity from 100, but it is no percentage.": lambda: 10.0,
        },
        "One part in 90: the loss is the mean of -log p, so its e-th power is one over the geometric mean of p.",
        tolerance=0.02,
        unit="%",
    ),
    "numbers of a cell": Question(
        "The example cell with e = d = 128: two linear maps from e + d numbers to d, each with a bias. How many "
        "numbers does it learn?",
        lambda: 2.0 * (256 * 128 + 128),
        {
            "The biases are missing: d more for each map.": lambda: 2.0 * 256 * 128,
            "That is one of the two maps.": lambda: 256.0 * 128 + 128,
            "Each map sees the input and the state: e + d numbers, not d.": lambda: 2.0 * (128 * 128 + 128),
            "That is with four maps, as an LSTM has; this cell has two.": lambda: 4.0 * (256 * 128 + 128),
        },
        "2 x (256 x 128 + 128). “Check the cell” tells it for yours.",
        tolerance=0.001,
    ),
    "pieces": Question(
        "A model of byte-pair pieces has perplexity 30 per piece; a word has 1.5 pieces. What is it per word?",
        lambda: 30**1.5,
        {
            "Per piece: a word must be right in all its pieces, and their losses add.": lambda: 30.0,
            "Losses add, so perplexities multiply: not 1.5 times, but to the power of 1.5.": lambda: 45.0,
            "That divides; a word of several pieces is harder, not easier.": lambda: 20.0,
            "That is the power the other way round, per piece of one and a half words.": lambda: 30 ** (1 / 1.5),
        },
        "1.5 pieces of log 30 nats each: e to the (1.5 x 3.40), which is 30 to the 1.5.",
        tolerance=0.01,
    ),
    # ---- 07
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
        "and one expert. How many times less is that than the full softmax?",
        lambda: 5.0,
        {
            "The gate is missing: it has a row for each expert.": lambda: 10.0,
            "That runs all ten experts; the gate picks one.": lambda: 100 / 110,
            "That is the number of rows read; the question is how many times less than 100.": lambda: 20.0,
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
        "(70 + 96) / 2. The words are the same ones that all tails would give.",
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
            "20 % of the arithmetic promises 5 times, and 3 times came true: put them in relation.": lambda: 300.0,
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

#: Name -> (question, the true value, unit). The explorer is the notebook's.
PREDICTIONS: dict[str, tuple[str | Callable[[Explorer], str], Callable[[Explorer], float], str]] = {
    # ---- 00
    "half": (
        lambda e: (
            f"Half of all words on a page ({e.vocabulary.name}) are among the n most frequent ones. What is n? "
            "Commit to a guess."
        ),
        lambda e: float(e.vocabulary.words_for_share(0.5)),
        "words",
    ),
    "speedup": (
        lambda e: (
            f"One cutoff at {fitted((2000,), len(e.vocabulary))[0]:,} words. How many times less will the layer cost "
            "than the full softmax? Commit to a guess."
        ),
        lambda e: e.speedup_at((2000,)),
        "times",
    ),
    # ---- 01
    "coverage 95": (
        "English, 321,180 words. How many of the most frequent ones make up 95 % of all tokens? Commit to a guess.",
        lambda e: float(_en().words_for_share(0.95)),
        "words",
    ),
    "finnish": (
        "And Finnish, which builds words by endings: how many words for 95 % of the tokens? Commit to a guess.",
        lambda e: float(load_language("fi").words_for_share(0.95)),
        "words",
    ),
    # ---- 02
    "best cut": (
        "One cut, counted in words scored per token: how many words should the first cluster hold? Commit to a guess.",
        lambda e: float(e.plan_for_me(1, min_head_share=0.0, cost=COUNTED_WORDS).cutoffs[0]),
        "words",
    ),
    "second cutoff": (
        "In time: the best single cutoff takes a while. How many times faster is the best PAIR of cutoffs? Commit to a "
        "guess.",
        lambda e: e.plan_for_me(1, cost=_clock(e)).time / e.plan_for_me(2, cost=_clock(e)).time,
        "times, by the timings",
    ),
    # ---- 03
    "twice the time": (
        lambda e: (
            f"A product of (B x d) by (d x k), here with B = {e.batch:,} and d = {e.in_features:,}, for k = 1. "
            "Up to how many words k does it take less than twice that time? Commit to a guess."
        ),
        lambda e: time_figures.words_for_twice(_timed(e)),
        "words",
    ),
    "best number": (
        lambda e: (
            f"{len(e.vocabulary):,} words, B = {e.batch:,}. Up to the ninth, each further tail saves multiplications. "
            "By the timings, of how many clusters is the fastest plan, the head included? Commit to a guess."
        ),
        lambda e: time_figures.timed_plan(_timed(e)).n_tails + 1.0,
        "clusters",
    ),
    "worth of time": (
        "Two plans: one with the fewest multiplications, one with the least time. Judged by the clock, how many "
        "percent of a step does the second save? Commit to a guess.",
        lambda e: max(0.1, 100 * time_figures.replan_gain(_timed(e))),
        "%",
    ),
    # ---- 04
    "PyTorch beside ours": (
        "PyTorch's adaptive layer computes the same as ours with the same cutoffs. How many times as long does a "
        "training step of it take? A recorded machine answers; your clock comes next. Commit to a guess.",
        lambda e: live_figures.recorded_ratio(_timed(e)),
        "times, on the recorded machine",
    ),
    "beside the bottom": (
        lambda e: (
            f"Only cutoff c{e.active + 1} moves. You miss the best place and put it at half of that. By how many "
            "percent does the step get longer? The cost model answers; then you measure. Commit to a guess."
        ),
        lambda e: live_figures.price_of_half(_timed(e)),
        "%, by the cost model",
    ),
    # ---- 05
    "tail tokens": (
        lambda e: (
            f"The last tail holds {100 * e.word_shares[-1]:.0f} % of the words. Of {e.batch:,} tokens, how many go "
            "there? Commit to a guess."
        ),
        lambda e: e.batch * e.token_shares[-1],
        "tokens",
    ),
    "digits": (
        "Numbers of fp64 have about 16 digits. With the best step ε, to how many digits will a central difference "
        "agree with backward()? Commit to a guess.",
        lambda e: _layer_views().best_agreement(e),
        "digits",
    ),
    "opened": (
        "Now the ten best words of each hidden state. Of all (row, tail) pairs, what percentage has a tail that is, as "
        "a whole, at least as probable as the tenth word, so that this rule cannot skip it? Commit to a guess.",
        lambda e: _layer_views().unskipped_percent(e, 10),
        "%",
    ),
    # ---- 06
    "paper minutes": (
        "The paper, Text8, a GPU of 2016: five epochs with the full softmax took 83 minutes. How many minutes did they "
        "take with the adaptive softmax? Commit to a guess.",
        lambda _: float(_paper()["adaptive"][1]),
        "minutes",
    ),
    "live faster": (
        lambda e: (
            f"{e.vocabulary.name}: V = {len(e.vocabulary):,}, d = {e.in_features:,}, B = {e.batch:,}, cutoffs "
            f"{', '.join(f'{c:,}' for c in e.cutoffs) or 'none'}. LSTM and all, how many times as many words per "
            "second will training read with these cutoffs as with the full softmax? Commit to a guess."
        ),
        lambda e: float(e.measured_speedup()),  # type: ignore[attr-defined]
        "times",
    ),
    # ---- 07
    "cheapest": (
        "A small trained model, V = 8,000 and d = 48. SVD-softmax shall find 99 % of the ten best words. What "
        "percentage of the full softmax's multiplications does it need at least? Commit to a guess.",
        lambda e: _alternatives().cheapest_percent(e),
        "% of the multiplications",
    ),
    "pairs opened": (
        "A small adaptive softmax with two tails, trained on the same text. Exact decoding of the ten best words: what "
        "percentage of the (row, tail) pairs must be opened? Commit to a guess.",
        lambda e: e.pairs_percent(10),  # type: ignore[attr-defined]
        "% of the pairs",
    ),
}
