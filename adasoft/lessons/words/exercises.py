"""What the reader writes in the first two lessons: p(word) through head and tail, and coverage from counts."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
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


def _head_alone_last(word: int, h: Array, head: Array, P: Array, W: Array) -> float:
    """The same, with its last word in place of the entry for the tail."""
    k_h, p_head = len(head) - 1, _softmax(head[:-1] @ h)
    return float(p_head[word] if word < k_h else p_head[-1] * _softmax(W @ (P @ h))[word - k_h])


def _head_alone_missed(word: int, h: Array, head: Array, P: Array, W: Array) -> float:
    """The same, asked for the entry that it lacks: an IndexError."""
    k_h, p_head = len(head) - 1, _softmax(head[:-1] @ h)
    return float(p_head[word] if word < k_h else p_head[k_h] * _softmax(W @ (P @ h))[word - k_h])


def _two_apart(word: int, h: Array, head: Array, P: Array, W: Array) -> float:
    """A softmax for the head's words, and another one for the tail's."""
    k_h = len(head) - 1
    return float(_softmax(head[:-1] @ h)[word] if word < k_h else _softmax(W @ (P @ h))[word - k_h])


def _no_softmax(word: int, h: Array, head: Array, P: Array, W: Array) -> float:
    k_h, scores = len(head) - 1, head @ h
    return float(scores[word] if word < k_h else scores[k_h] * (W @ (P @ h))[word - k_h])


def _no_softmax_added(word: int, h: Array, head: Array, P: Array, W: Array) -> float:
    k_h, scores = len(head) - 1, head @ h
    return float(scores[word] if word < k_h else scores[k_h] + (W @ (P @ h))[word - k_h])


def _no_softmax_alone(word: int, h: Array, head: Array, P: Array, W: Array) -> float:
    k_h = len(head) - 1
    return float((head @ h)[word] if word < k_h else (W @ (P @ h))[word - k_h])


def _no_softmax_in_head(word: int, h: Array, head: Array, P: Array, W: Array) -> float:
    k_h, scores = len(head) - 1, head @ h
    return float(scores[word] if word < k_h else scores[k_h] * _softmax(W @ (P @ h))[word - k_h])


def _not_shifted(word: int, h: Array, head: Array, P: Array, W: Array) -> float:
    p_head, k_h = _softmax(head @ h), len(head) - 1
    return float(p_head[word] if word < k_h else p_head[k_h] * _softmax(W @ (P @ h))[word])


def _head_too_long(word: int, h: Array, head: Array, P: Array, W: Array) -> float:
    p_head, k_h = _softmax(head @ h), len(head)
    return float(p_head[word] if word < k_h else p_head[-1] * _softmax(W @ (P @ h))[word - k_h])


def _first_of_tail(word: int, h: Array, head: Array, P: Array, W: Array) -> float:
    """``<=`` in place of ``<``: the tail's first word gets the entry for the tail."""
    p_head, k_h = _softmax(head @ h), len(head) - 1
    return float(p_head[word]) if word <= k_h else _probability(word, h, head, P, W)


def _no_softmax_in_tail(word: int, h: Array, head: Array, P: Array, W: Array) -> float:
    p_head, k_h = _softmax(head @ h), len(head) - 1
    return float(p_head[word] if word < k_h else p_head[k_h] * (W @ (P @ h))[word - k_h])


def _first_entry(word: int, h: Array, head: Array, P: Array, W: Array) -> float:
    p_head, k_h = _softmax(head @ h), len(head) - 1
    return float(p_head[word] if word < k_h else p_head[0] * _softmax(W @ (P @ h))[word - k_h])


def _not_narrowed(word: int, h: Array, head: Array, P: Array, W: Array) -> float:
    p_head, k_h = _softmax(head @ h), len(head) - 1
    return float(p_head[word] if word < k_h else p_head[k_h] * _softmax(W @ h)[word - k_h])


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


def _opens_for_head_words(function: Callable[..., Any]) -> str:
    """A hint where a right function computes the tail even for words of the head."""
    opened: list[bool] = []

    class Watched(np.ndarray[Any, Any]):
        """Says when it is computed with; to ask for its length or a row is free."""

        def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **more: Any) -> Any:
            opened.append(True)
            return getattr(ufunc, method)(*(np.asarray(one) for one in inputs), **more)

        def __array_function__(self, what: Any, types: Any, inputs: Any, more: Any) -> Any:
            opened.append(True)
            return what(*(np.asarray(one) if isinstance(one, Watched) else one for one in inputs), **more)

        def dot(self, other: Any, out: Any = None) -> Any:
            return self @ other

    for word, h, head, P, W in _probability_cases():
        if word < len(head) - 1:
            with contextlib.suppress(Exception):  # its results were right before
                function(word, h, head, P.view(Watched), W.view(Watched))
    return _TAIL_FOR_ALL if opened else ""


_TAIL_FOR_ALL = (
    "But your function computes the tail for words of the head, too, and throws it away: then nothing is saved. Return "
    "from the head first, and compute W @ (P @ h) only below that."
)


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


def _places(counts: Array, share: float) -> int:
    """``argsort`` in place of ``sort``: where the counts stand, not the counts."""
    places = np.argsort(counts)[::-1].cumsum()
    return int(np.searchsorted(places / places[-1], share)) + 1


def _left_over(counts: Array, share: float) -> int:
    """The words that are left when those are gone."""
    return len(counts) - _words_for_share(counts, share)


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
            "The head's softmax lacks the entry for the tail, so p_head[-1] is the head's last word. Keep head's last "
            "row: it is that entry.": _head_alone_last,
            "Without its last row the head has no entry for the tail. Take the softmax of all of head @ h.": (
                _head_alone_missed
            ),
            "Those are two softmaxes apart: each sums to 1, together to 2. Keep head's last row in the first, and "
            "multiply the tail's probability by it.": _two_apart,
            "Those are scores: each needs a softmax before it is a probability, one over the head and one over the "
            "tail.": _no_softmax,
            "Those are scores, added up: take a softmax of the head's and one of the tail's, then multiply.": (
                _no_softmax_added
            ),
            "Those are the scores themselves. Take a softmax over the head and one over the tail, and multiply by "
            "p(tail) for a word of the tail.": _no_softmax_alone,
            "The head's scores are not probabilities yet: they need a softmax, as the tail's do.": _no_softmax_in_head,
            "The tail numbers its own words from 0: the row of W is word - k_h.": _not_shifted,
            "The head has one entry more than words, so it holds len(head) - 1 words.": _head_too_long,
            "The head's words are 0 to k_h - 1: compare with word < k_h, since k_h is already the tail's first word.": (
                _first_of_tail
            ),
            "The tail's scores are not probabilities yet: they need a softmax of their own.": _no_softmax_in_tail,
            "p(tail) is the head's last entry, not its first.": _first_entry,
            "The tail works with the narrowed state: W @ (P @ h).": _not_narrowed,
            "That is one softmax over all scores, in which the entry for the tail plays no part. Here there are two "
            "softmaxes, one in the head and one in the tail.": _one_softmax,
            "Those are exponentials. Divide each by the sum of the exponentials of its own softmax.": _scores,
        },
        rule=_opens_for_head_words,
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
            "np.argsort gives places, not counts: np.sort(counts) is enough.": _places,
            "Those are the words that are left over.": _left_over,
            "That is the share they cover. The question is how many words it takes.": _coverage,
        },
    ),
}
