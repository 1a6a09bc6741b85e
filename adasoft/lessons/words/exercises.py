"""What the reader writes in the first two lessons: p(word) through head and tail, and coverage from counts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kit.exercises import Exercise

Array = NDArray[np.float64]


def _softmax(z: Array) -> Array:
    weights: Array = np.exp(z - z.max())
    weights /= weights.sum()
    return weights


# ---- 00: the probability of a word


def _probability(word: int, h: Array, head: Array, P: Array, W: Array) -> float:
    p_head, k_h = _softmax(head @ h), len(head) - 1
    if word < k_h:
        return float(p_head[word])
    return float(p_head[k_h] * _softmax(W @ (P @ h))[word - k_h])


def _without_tail(word: int, h: Array, head: Array, P: Array, W: Array) -> float:
    k_h = len(head) - 1
    return _probability(word, h, head, P, W) if word < k_h else float(_softmax(W @ (P @ h))[word - k_h])


def _added(word: int, h: Array, head: Array, P: Array, W: Array) -> float:
    p_head, k_h = _softmax(head @ h), len(head) - 1
    return float(p_head[word]) if word < k_h else float(p_head[k_h] + _softmax(W @ (P @ h))[word - k_h])


def _head_alone(word: int, h: Array, head: Array, P: Array, W: Array) -> float:
    """The head's softmax without the entry for the tail."""
    k_h = len(head) - 1
    return float(_softmax(head[:-1] @ h)[word]) if word < k_h else _probability(word, h, head, P, W)


def _not_shifted(word: int, h: Array, head: Array, P: Array, W: Array) -> float:
    p_head, k_h = _softmax(head @ h), len(head) - 1
    return float(p_head[word] if word < k_h else p_head[k_h] * _softmax(W @ (P @ h))[word % len(W)])


def _one_softmax(word: int, h: Array, head: Array, P: Array, W: Array) -> float:
    """All scores in one softmax, that of the entry for the tail left out: a full softmax."""
    return float(_softmax(np.concatenate([head[:-1] @ h, W @ (P @ h)]))[word])


def _scores(word: int, h: Array, head: Array, P: Array, W: Array) -> float:
    """Exponentials, not divided by their sum."""
    k_h = len(head) - 1
    if word < k_h:
        return float(np.exp(head @ h)[word])
    return float(np.exp(head @ h)[k_h] * np.exp(W @ (P @ h))[word - k_h])


def _probability_cases() -> list[tuple[Any, ...]]:
    rng = np.random.default_rng(0)
    cases: list[tuple[Any, ...]] = []
    for word in (0, 3, 4, 7, 10):  # four words in the head, seven in the tail
        shapes = (4,), (5, 4), (2, 4), (7, 2)
        cases.append((word, *(rng.normal(size=shape) for shape in shapes)))
    return cases


# ---- 01: how many words make up a share of the tokens


def _words_for_share(counts: Array, share: float) -> int:
    covered = np.sort(counts)[::-1].cumsum() / np.sum(counts)
    return int(np.searchsorted(covered, share)) + 1


def _unsorted(counts: Array, share: float) -> int:
    return int(np.searchsorted(np.cumsum(counts) / np.sum(counts), share)) + 1


def _rare_first(counts: Array, share: float) -> int:
    return int(np.searchsorted(np.sort(counts).cumsum() / np.sum(counts), share)) + 1


def _one_short(counts: Array, share: float) -> int:
    return _words_for_share(counts, share) - 1


def _of_the_words(counts: Array, share: float) -> int:
    return round(share * len(counts))


def _not_divided(counts: Array, share: float) -> int:
    return int(np.searchsorted(np.sort(counts)[::-1].cumsum(), share)) + 1


def _coverage(counts: Array, share: float) -> float:
    """The share itself, of the words found."""
    ordered = np.sort(counts)[::-1]
    return float(ordered[: _words_for_share(counts, share)].sum() / ordered.sum())


def _share_cases() -> list[tuple[Any, ...]]:
    rng = np.random.default_rng(3)
    texts = [rng.permutation(np.round(1e4 / np.arange(1, n + 1) ** s)) for n, s in ((60, 1.0), (200, 1.1), (90, 0.8))]
    return [(counts, share) for counts in texts for share in (0.5, 0.8, 0.95)]


EXERCISES = {
    "probability": Exercise(
        lesson="00",
        text="The probability of a word, numbered by its rank, through a head and one tail.",
        solution=_probability,
        cases=_probability_cases,
        bugs={
            "For a word of the tail that is p(word | tail) alone. Multiply it by p(tail), the head's last entry.": (
                _without_tail
            ),
            "You added p(tail) and p(word | tail): the word is reached through both, so they are multiplied.": _added,
            "The head's softmax lacks the entry for the tail. That entry competes with the head's words, so it belongs "
            "in their sum.": _head_alone,
            "The tail numbers its own words from 0: the row of W is word - k_h.": _not_shifted,
            "That is one softmax over all scores, in which the entry for the tail plays no part. Here there are two "
            "softmaxes, one in the head and one in the tail.": _one_softmax,
            "Those are exponentials. Divide each by the sum of the exponentials of its own softmax.": _scores,
        },
    ),
    "words for a share": Exercise(
        lesson="01",
        text="How many of the most frequent words make up a share of the tokens, from counts in any order.",
        solution=_words_for_share,
        cases=_share_cases,
        bugs={
            "The counts come in any order: sort them first, the largest first.": _unsorted,
            "You began with the rarest words: np.sort is rising, [::-1] turns it around.": _rare_first,
            "One word short: the word at index i is the (i + 1)th.": _one_short,
            "That is a share of the words; the question is about a share of the tokens.": _of_the_words,
            "Counts are not shares yet: divide by their sum.": _not_divided,
            "That is the share they cover. The question is how many words it takes.": _coverage,
        },
    ),
}
