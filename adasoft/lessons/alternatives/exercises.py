"""What the reader of the lesson on alternatives writes: the preview of SVD-softmax, and its second look."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kit.exercises import Exercise

_Array = np.ndarray[Any, Any]


def _svd_scores(B: _Array, R: _Array, h: _Array, W: int, N: int) -> _Array:
    turned = R.T @ h
    scores: _Array = B[:, :W] @ turned[:W]
    best = np.argsort(-scores)[:N]
    scores[best] += B[best, W:] @ turned[W:]
    return scores


def _columns_for_rows(B: _Array, R: _Array, h: _Array, W: int, N: int) -> _Array:
    scores = np.zeros(len(B))
    scores[:W] = B[:W] @ (R.T @ h)
    return scores


def _not_rotated(B: _Array, R: _Array, h: _Array, W: int, N: int) -> _Array:
    scores: _Array = B[:, :W] @ h[:W]
    best = np.argsort(-scores)[:N]
    scores[best] += B[best, W:] @ h[W:]
    return scores


def _rotated_the_other_way(B: _Array, R: _Array, h: _Array, W: int, N: int) -> _Array:
    return _not_rotated(B, R, R @ h, W, N)


def _preview_only(B: _Array, R: _Array, h: _Array, W: int, N: int) -> _Array:
    scores: _Array = B[:, :W] @ (R.T @ h)[:W]
    return scores


def _smallest_columns(B: _Array, R: _Array, h: _Array, W: int, N: int) -> _Array:
    turned = R.T @ h
    scores: _Array = B[:, -W:] @ turned[-W:]
    best = np.argsort(-scores)[:N]
    scores[best] += B[best, :-W] @ turned[:-W]
    return scores


def _counted_twice(B: _Array, R: _Array, h: _Array, W: int, N: int) -> _Array:
    turned = R.T @ h
    scores: _Array = B[:, :W] @ turned[:W]
    best = np.argsort(-scores)[:N]
    scores[best] += B[best] @ turned
    return scores


def _replaced(B: _Array, R: _Array, h: _Array, W: int, N: int) -> _Array:
    turned = R.T @ h
    scores: _Array = B[:, :W] @ turned[:W]
    best = np.argsort(-scores)[:N]
    scores[best] = B[best, W:] @ turned[W:]
    return scores


def _all_in_full(B: _Array, R: _Array, h: _Array, W: int, N: int) -> _Array:
    scores: _Array = B @ (R.T @ h)
    return scores


def _worst_words(B: _Array, R: _Array, h: _Array, W: int, N: int) -> _Array:
    turned = R.T @ h
    scores: _Array = B[:, :W] @ turned[:W]
    worst = np.argsort(scores)[:N]
    scores[worst] += B[worst, W:] @ turned[W:]
    return scores


def _nothing_for_the_rest(B: _Array, R: _Array, h: _Array, W: int, N: int) -> _Array:
    scores = _svd_scores(B, R, h, W, N)
    best = np.argsort(-(B[:, :W] @ (R.T @ h)[:W]))[:N]
    out = np.zeros_like(scores)
    out[best] = scores[best]
    return out


def _first_words(B: _Array, R: _Array, h: _Array, W: int, N: int) -> _Array:
    turned = R.T @ h
    scores: _Array = B[:, :W] @ turned[:W]
    scores[:N] += B[:N, W:] @ turned[W:]
    return scores


def _largest_either_way(B: _Array, R: _Array, h: _Array, W: int, N: int) -> _Array:
    turned = R.T @ h
    scores: _Array = B[:, :W] @ turned[:W]
    best = np.argsort(-np.abs(scores))[:N]
    scores[best] += B[best, W:] @ turned[W:]
    return scores


def _only_the_best(B: _Array, R: _Array, h: _Array, W: int, N: int) -> _Array:
    best = np.argsort(-(B[:, :W] @ (R.T @ h)[:W]))[:N]
    scores: _Array = _svd_scores(B, R, h, W, N)[best]
    return scores


def _cases() -> list[tuple[Any, ...]]:
    cases: list[tuple[Any, ...]] = []
    for seed, (n, d, width, n_full) in enumerate([(12, 4, 1, 3), (40, 8, 3, 6), (200, 16, 4, 20)]):
        random = np.random.default_rng(seed)
        left, values, right = np.linalg.svd(random.normal(size=(n, d)), full_matrices=False)
        cases.append((left * values, right.T, random.normal(size=d), width, n_full))
    return cases


EXERCISES = {
    "svd scores": Exercise(
        text="SVD-softmax for one hidden state: the scores of all words by W columns, the N best completed.",
        solution=_svd_scores,
        cases=_cases,
        bugs={
            "B[:W] takes W rows, which are words. A preview is W columns of every word: B[:, :W].": _columns_for_rows,
            "The hidden state is not rotated: the columns of B go with R.T @ h.": _not_rotated,
            "Rotated the other way: A = B R.T, so the state becomes R.T @ h, not R @ h.": _rotated_the_other_way,
            "The N best are chosen but their scores are still previews: add their other d - W columns.": _preview_only,
            "Those are the last columns, of the smallest singular values. The first W carry most of a score.": (
                _smallest_columns
            ),
            "The first W columns of the N best words count twice: add only the columns from W on.": _counted_twice,
            "The rest replaces the preview of the N best, where it should be added to it: +=, not =.": _replaced,
            "Those are the full softmax's scores: right, and nothing is saved. Only the N best get all d columns.": (
                _all_in_full
            ),
            "np.argsort sorts upwards, so its first N are the worst words of the preview.": _worst_words,
            "All words but the N best got 0: let them keep their previews.": _nothing_for_the_rest,
            "Those are the first N words, not the N best: sort by the preview.": _first_words,
            "Large is not best: a very negative preview is a bad word. Sort without abs.": _largest_either_way,
            "Those are the scores of the N completed words alone: return all of them, most as previews.": (
                _only_the_best
            ),
        },
    )
}
