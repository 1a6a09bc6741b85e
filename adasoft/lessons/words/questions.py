"""What the first two lessons ask: questions with one number as their answer, and predictions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ..kit.grading import Prediction, Question, register
from ..kit.kept import fitted
from ..kit.languages import LANGUAGES, LOADED, load_language
from .paper import steps


def _en() -> Any:
    return load_language("en")


def _tail_share(cutoff: int) -> float:
    """The percentage of the tokens of English behind a cutoff."""
    return float(100 * (1 - _en().share_of_first(cutoff)))


def _more_words(words: Any) -> float:
    """Words that five more points need, from 90 % of the tokens on."""
    return float(words.words_for_share(0.95) - words.words_for_share(0.9))


def _last_words(words: Any) -> float:
    """Words that share the last percent of the tokens."""
    return float(len(words) - words.words_for_share(0.99))


def _elsewhere(of: Callable[[Any], float]) -> Callable[[float], str]:
    """A hint for who computes it for another language that was looked at: the reading panel changes all cells."""

    def hint(value: float) -> str:
        off = {code: abs(of(words) / value - 1) for code, words in LOADED.items() if code != "en" and value > 0}
        code = min(off, key=lambda one: off[one], default="")
        if not code or off[code] > 0.02:
            return ""
        return (
            f"That is {LANGUAGES[code]}, and the question is about English: choose English under the text at the top, "
            "and run the cell again that defines words."
        )

    return hint


QUESTIONS: dict[str, Question] = {
    "full cost": Question(
        "A full softmax scores $V = 321{,}180$ words with a hidden size of $d = 512$. How many *billion* "
        "multiplications does it take to score one step of $B = 2{,}560$ tokens?",
        lambda: 321_180 * 512 * 2560 / 1e9,
        {
            "That is for one token; a step has 2,560 of them.": lambda: 321_180 * 512 / 1e9,
            "That is one token in millions; the question is about a step of 2,560 tokens, in billions.": lambda: (
                321_180 * 512 / 1e6
            ),
            "That is V B: each word's score is a sum of d products.": lambda: 321_180 * 2560 / 1e9,
            "That is V d B, but the question is in billions.": lambda: 321_180.0 * 512 * 2560,
            "The right digits, in millions; the question is in billions.": lambda: 321_180 * 512 * 2560 / 1e6,
            "That is for training, with its backward pass; scoring alone takes a third of it.": lambda: (
                3 * 321_180 * 512 * 2560 / 1e9
            ),
        },
        "V d B = 321,180 × 512 × 2,560, about 421 billion.",
        unit="billion",
    ),
    "head outputs": Question(
        "One cutoff at 2,000, so one tail. How many scores does the head compute for each token?",
        lambda: 2001.0,
        {
            "Those are the words. The head must also say 'it is in the tail': one entry more per tail.": lambda: 2000.0,
            "That is the tail's size; the head holds the frequent words.": lambda: 321_180.0 - 2000,
            "That is the whole vocabulary, which is what we want to avoid.": lambda: 321_180.0,
            "There is one entry per tail, and only one tail.": lambda: 2002.0,
            "That is for a cutoff of 4,000; the question is for 2,000.": lambda: 4001.0,
            "That is d, the numbers that go into one score; the question is how many scores come out.": lambda: 512.0,
        },
        "2,000 words and one entry for the tail.",
        tolerance=0.0,
        unit="scores",
    ),
    "tail share": Question(
        "Press **Reset**, which puts the handle at 2,000. What percentage of the tokens of English falls into the "
        "tail?",
        partial(_tail_share, 2000),
        {
            "That is the head's share; the tail has the rest.": lambda: 100 * _en().share_of_first(2000),
            "That is its share of the WORDS; tokens are counted with repetition.": lambda: 100 * (1 - 2000 / 321_180),
            "Right as a share, but the question is in percent.": lambda: 1 - _en().share_of_first(2000),
            **{
                f"That is for a cutoff of about {cut:,}; the question is for 2,000, where Reset puts it.": partial(
                    _tail_share, cut
                )
                for cut in (1_000, 3_000, 4_000, 5_000, 6_000, 7_000, 8_000)
            },
        },
        "That is all that the head does not hold: 100 % less its 78.6 %.",
        tolerance=0.03,
        unit="%",
    ),
    "typical error": Question(
        "Suppose the model predicts 250 ms for a layer, and a card says that its median error is 8 %. By how many "
        "milliseconds is a typical prediction off?",
        lambda: 0.08 * 250,
        {
            "That is the error in percent; the question is in milliseconds.": lambda: 8.0,
            "That is how long the layer may take; the question is how far off the prediction is.": lambda: 270.0,
            "That is how little the layer may take; the question is how far off the prediction is.": lambda: 230.0,
            "8 % is 0.08, not 0.008.": lambda: 2.0,
        },
        "8 % of 250 ms. Half of the layers are off by less, half by more.",
        unit="ms",
    ),
    "zipf ratio": Question(
        "If Zipf's law held exactly with $s = 1$, how many times as frequent as the word of rank 1,000 is the word of "
        "rank 10?",
        lambda: 100.0,
        {
            "That is the difference of the ranks; the law is about their ratio.": lambda: 990.0,
            "That is the difference of the logarithms: two powers of ten apart.": lambda: 2.0,
            "That compares rank 1,000 with rank 1.": lambda: 1000.0,
            "Upside down: the word of rank 10 is the more frequent one.": lambda: 0.01,
            "That is one power of ten; from rank 10 to rank 1,000 there are two.": lambda: 10.0,
            "That is right for s = 2; with s = 1 the frequency falls as fast as the rank rises.": lambda: 10_000.0,
        },
        "Frequency is proportional to 1 / r, so the ratio is 1,000 / 10.",
        unit="times",
    ),
    "five points more": Question(
        "English: going from 90 % to 95 % of the tokens, how many additional words are needed?",
        lambda: _more_words(_en()),
        {
            "Those are all words for 95 %; the first 90 % need many of them already.": lambda: float(
                _en().words_for_share(0.95)
            ),
            "Those are the words for 90 %; the question is about the next five points.": lambda: float(
                _en().words_for_share(0.9)
            ),
            "That is from 80 % to 90 %; the next five points need more.": lambda: float(
                _en().words_for_share(0.9) - _en().words_for_share(0.8)
            ),
            "That is 5 % of the words; the question is about 5 % of the tokens.": lambda: 0.05 * len(_en()),
        },
        "16,300 − 6,995: these five points need more words than the first ninety.",
        elsewhere=_elsewhere(_more_words),
        unit="words",
    ),
    "the tail": Question(
        "English again: how many words share the last 1 % of the tokens?",
        lambda: _last_words(_en()),
        {
            "Those make the first 99 %; the question is about the others.": lambda: float(_en().words_for_share(0.99)),
            "That is 1 % of the words, not the words of the last 1 % of tokens.": lambda: 0.01 * len(_en()),
            "That is the last 5 %.": lambda: float(len(_en()) - _en().words_for_share(0.95)),
        },
        "All 321,180 words minus those that hold 99 %.",
        elsewhere=_elsewhere(_last_words),
        unit="words",
    ),
    "finnish tail": Question(
        "Take the first 2,000 words as the head and all others as the tail. How many times as many tokens fall into "
        "the tail in Finnish as in English? (One decimal.)",
        lambda: (1 - load_language("fi").share_of_first(2000)) / (1 - _en().share_of_first(2000)),
        {
            "That is the ratio of the heads, upside down; the tails differ by more.": lambda: (
                _en().share_of_first(2000) / load_language("fi").share_of_first(2000)
            ),
            "Upside down: Finnish has the larger tail.": lambda: (
                (1 - _en().share_of_first(2000)) / (1 - load_language("fi").share_of_first(2000))
            ),
            "Nearly. Take both heads with their decimal, subtract each from 100 %, and round only the ratio, to one "
            "decimal.": lambda: 2.0,
            "That is the difference in percentage points; the question is about the ratio.": lambda: (
                100 * (_en().share_of_first(2000) - load_language("fi").share_of_first(2000))
            ),
        },
        "Take both heads from the table, subtract each from 100 %, and divide.",
        tolerance=0.03,
        unit="times",
    ),
}

PREDICTIONS: dict[str, Prediction] = {
    "half": Prediction(
        lambda e: f"How many of the most frequent words make up half of all tokens ({e.vocabulary.name})?",
        lambda e: float(e.vocabulary.words_for_share(0.5)),
        "words",
        "How many of the most frequent words make up half of all tokens?",
    ),
    "speedup": Prediction(
        lambda e: (
            f"One cutoff at {fitted((2000,), len(e.vocabulary))[0]:,} words. How many times faster than the full "
            "softmax is a training step of the layer?"
        ),
        lambda e: e.speedup_at((2000,)),
        "times",
        "How many times faster than the full softmax is a training step of the layer?",
    ),
    "full width": Prediction(
        "Suppose the tail behind this page's 2,000 words kept all $d = 512$ numbers. How many times faster than the "
        "full softmax would the layer still be?",
        lambda e: steps(e.vocabulary, e.cost)[1].speedup,
        "times",
    ),
    "coverage 95": Prediction(
        "English, 321,180 words. How many of the most frequent ones make up 95 % of all tokens?",
        lambda e: float(_en().words_for_share(0.95)),
        "words",
    ),
    "finnish": Prediction(
        "How many of the most frequent Finnish words make up 95 % of all Finnish tokens?",
        lambda e: float(load_language("fi").words_for_share(0.95)),
        "words",
    ),
}

_FIRST = ("full cost", "head outputs", "tail share", "typical error", "half", "speedup", "full width")
for _lesson in ("00", "01"):
    register(
        {key: one for key, one in QUESTIONS.items() if (key in _FIRST) == (_lesson == "00")},
        {key: one for key, one in PREDICTIONS.items() if (key in _FIRST) == (_lesson == "00")},
        lesson=_lesson,
    )
