"""What the reader of the lesson on perplexity writes: the perplexities of a text cut into pieces; no torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..kit.exercises import Exercise

Numbers: TypeAlias = NDArray[Any]
Pair: TypeAlias = tuple[float, float]


def perplexities(log_p: Numbers, starts: Numbers) -> Pair:
    """Per piece and per word; ``log_p`` (n,) of the pieces, ``starts`` (n,) True where a piece begins a word."""
    loss = -log_p.sum()
    return float(np.exp(loss / len(log_p))), float(np.exp(loss / starts.sum()))


def _by_exponent(make: Callable[[float, int, int], Pair]) -> Callable[[Numbers, Numbers], Pair]:
    """A function of the reader's that has its results from the sum of the losses, the pieces and the words alone."""
    return lambda log_p, starts: make(float(-log_p.sum()), len(log_p), int(starts.sum()))


def _mean_of_each_word(log_p: Numbers, starts: Numbers) -> Pair:
    edges = np.flatnonzero(starts)
    words = np.add.reduceat(-log_p, edges) / np.diff([*edges, len(log_p)])
    return float(np.exp(-log_p.mean())), float(np.exp(words.mean()))


def _first_pieces(log_p: Numbers, starts: Numbers) -> Pair:
    return float(np.exp(-log_p.mean())), float(np.exp(-log_p[starts].mean()))


def _mean_of_inverses(log_p: Numbers, starts: Numbers) -> Pair:
    words = np.add.reduceat(-log_p, np.flatnonzero(starts))
    return float(np.exp(-log_p).mean()), float(np.exp(words).mean())


def _cases() -> list[tuple[Numbers, Numbers]]:
    rng = np.random.default_rng(6)
    cases = [(np.log([0.5, 0.25]), np.array([True, False]))]
    for n in (6, 40):
        starts = rng.random(n) < 0.6
        starts[0], starts[1] = True, False
        cases.append((np.log(rng.uniform(0.02, 0.9, n)), starts))
    return cases


EXERCISES: dict[str, Exercise] = {
    "perplexities": Exercise(
        text="The perplexity per piece and per word of a text whose words are cut into pieces.",
        solution=perplexities,
        cases=_cases,
        bugs={
            "Per word is the same as per piece here: divide the summed loss by the number of words, not of pieces.": (
                _by_exponent(lambda loss, n, _: (float(np.exp(loss / n)),) * 2)
            ),
            "The sign is missing: a loss is minus the logarithm, so that a perplexity is at least 1.": (
                _by_exponent(lambda loss, n, words: (float(np.exp(-loss / n)), float(np.exp(-loss / words))))
            ),
            "The sign is missing in one of the two: both need the loss, which is minus the logarithm.": (
                _by_exponent(lambda loss, n, words: (float(np.exp(-loss / n)), float(np.exp(loss / words))))
            ),
            "The sign is missing per word: there, too, the loss is minus the logarithm.": (
                _by_exponent(lambda loss, n, words: (float(np.exp(loss / n)), float(np.exp(-loss / words))))
            ),
            "The two are swapped: the one per piece comes first.": (
                _by_exponent(lambda loss, n, words: (float(np.exp(loss / words)), float(np.exp(loss / n))))
            ),
            "Per word you took the first pieces only: all pieces of a word count, the later ones too.": _first_pieces,
            "Those are powers of 2; these logarithms are natural, so the base is e.": (
                _by_exponent(lambda loss, n, words: (float(2 ** (loss / n)), float(2 ** (loss / words))))
            ),
            "The losses of a word's pieces add up: a word needs all of its pieces. You took their mean.": (
                _mean_of_each_word
            ),
            "That is the mean of 1/p. Perplexity is e to the mean loss: average the logarithms, then take the power.": (
                _mean_of_inverses
            ),
            "Per word you took 1.5 pieces for each word; count them: len(log_p) / starts.sum().": (
                _by_exponent(lambda loss, n, _: (float(np.exp(loss / n)), float(np.exp(1.5 * loss / n))))
            ),
            "Losses add up, so perplexities multiply: per word it is a power of the one per piece, not a multiple.": (
                _by_exponent(lambda loss, n, words: (float(np.exp(loss / n)), float(np.exp(loss / n)) * n / words))
            ),
            "Those are nats: the losses themselves. Raise e to them.": (
                _by_exponent(lambda loss, n, words: (loss / n, loss / words))
            ),
        },
        why="The same loss, shared among fewer units: that is why only perplexities per word can be compared.",
    )
}
