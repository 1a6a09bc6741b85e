"""What the reader writes in the lesson on clusters: the cost of a partition, counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..kit.exercises import Exercise


def _parts(counts: Any, cutoffs: Sequence[int]) -> tuple[Any, Any]:
    """Words and share of the tokens of each cluster, the head first."""
    edges = [0, *cutoffs, len(counts)]
    mass = np.concatenate([[0.0], np.cumsum(counts) / np.sum(counts)])
    return np.diff(edges), np.diff(mass[edges])


def multiplications(counts: Any, cutoffs: Sequence[int], d: int, widths: Sequence[int]) -> float:
    """Multiplications per token of a head with one entry for each tail, and of tails with a projection each.

    >>> multiplications([6, 2, 1, 1], [1, 2], 8, [4, 2])  # 8 x 3, 0.2 x (8 x 4 + 4), 0.2 x (8 x 2 + 2 x 2)
    35.2
    """
    sizes, shares = _parts(counts, cutoffs)
    total = float(d * (sizes[0] + len(cutoffs)))
    for k, p, width in zip(sizes[1:], shares[1:], widths, strict=True):
        total += float(p * (d * width + width * k))
    return total


def _without_entries(counts: Any, cutoffs: Sequence[int], d: int, widths: Sequence[int]) -> float:
    return multiplications(counts, cutoffs, d, widths) - d * len(cutoffs)


def _one_entry(counts: Any, cutoffs: Sequence[int], d: int, widths: Sequence[int]) -> float:
    return multiplications(counts, cutoffs, d, widths) - d * (len(cutoffs) - 1)


def _every_token(counts: Any, cutoffs: Sequence[int], d: int, widths: Sequence[int]) -> float:
    sizes, _ = _parts(counts, cutoffs)
    tails = sum(float(d * width + width * k) for k, width in zip(sizes[1:], widths, strict=True))
    return float(d * (sizes[0] + len(cutoffs))) + tails


def _without_projections(counts: Any, cutoffs: Sequence[int], d: int, widths: Sequence[int]) -> float:
    sizes, shares = _parts(counts, cutoffs)
    tails = sum(float(p * width * k) for k, p, width in zip(sizes[1:], shares[1:], widths, strict=True))
    return float(d * (sizes[0] + len(cutoffs))) + tails


def _full_width(counts: Any, cutoffs: Sequence[int], d: int, widths: Sequence[int]) -> float:
    sizes, shares = _parts(counts, cutoffs)
    tails = sum(float(p * d * k) for k, p in zip(sizes[1:], shares[1:], strict=True))
    return float(d * (sizes[0] + len(cutoffs))) + tails


def _cutoffs_as_sizes(counts: Any, cutoffs: Sequence[int], d: int, widths: Sequence[int]) -> float:
    _, shares = _parts(counts, cutoffs)
    ends = [*cutoffs[1:], len(counts)]
    tails = sum(float(p * (d * width + width * k)) for k, p, width in zip(ends, shares[1:], widths, strict=True))
    return float(d * (cutoffs[0] + len(cutoffs))) + tails


def _head_for_its_own(counts: Any, cutoffs: Sequence[int], d: int, widths: Sequence[int]) -> float:
    sizes, shares = _parts(counts, cutoffs)
    head = float(d * (sizes[0] + len(cutoffs)))
    return multiplications(counts, cutoffs, d, widths) - head + float(shares[0]) * head


def _no_zero(counts: Any, cutoffs: Sequence[int], d: int, widths: Sequence[int]) -> float:
    edges, mass = [0, *cutoffs, len(counts)], np.cumsum(counts) / np.sum(counts)
    return float(np.diff(mass[edges])[0])  # fails: the last edge is one too large


def _one_word_late(counts: Any, cutoffs: Sequence[int], d: int, widths: Sequence[int]) -> float:
    return _with_late_shares(_parts(counts, cutoffs)[0], counts, cutoffs, d, widths)


def _last_word_lost(counts: Any, cutoffs: Sequence[int], d: int, widths: Sequence[int]) -> float:
    return _with_late_shares(np.diff([0, *cutoffs, len(counts) - 1]), counts, cutoffs, d, widths)


def _with_late_shares(sizes: Any, counts: Any, cutoffs: Sequence[int], d: int, widths: Sequence[int]) -> float:
    shares = np.diff((np.cumsum(counts) / np.sum(counts))[[*cutoffs, len(counts) - 1]])
    tails = sum(float(p * (d * width + width * k)) for k, p, width in zip(sizes[1:], shares, widths, strict=True))
    return float(d * (sizes[0] + len(cutoffs))) + tails


def _counts_as_shares(counts: Any, cutoffs: Sequence[int], d: int, widths: Sequence[int]) -> float:
    head = float(d * (_parts(counts, cutoffs)[0][0] + len(cutoffs)))
    return head + (multiplications(counts, cutoffs, d, widths) - head) * float(np.sum(counts))


def _cases() -> list[tuple[Any, ...]]:
    drawn = np.random.default_rng(2)
    zipf = np.sort(drawn.zipf(1.5, 60).clip(max=500))[::-1]
    return [
        (np.array([6, 2, 1, 1]), [1, 2], 8, [4, 2]),
        (np.array([60, 20, 10, 5, 3, 2]), [2], 16, [4]),
        (zipf, [10, 30], 64, [16, 4]),
        (zipf, [5, 15, 40], 64, [16, 8, 8]),
    ]


EXERCISES: dict[str, Exercise] = {
    "multiplications": Exercise(
        text="Multiplications per token of an adaptive softmax with given cutoffs and widths.",
        solution=multiplications,
        cases=_cases,
        bugs={
            "The head has one more entry for each tail: k_h + J of them, not k_h.": _without_entries,
            "The head has one entry for each tail, not one for all of them together.": _one_entry,
            "Only the share p_i of the tokens opens tail i; you charge every token for it.": _every_token,
            "The projection from d to d_i is missing: d d_i more for each token of tail i.": _without_projections,
            "The words of tail i have d_i numbers each, not d; the projection to d_i costs d d_i.": _full_width,
            "A tail reaches from one cutoff to the next; you took its end for its size.": _cutoffs_as_sizes,
            "An index is too large: np.cumsum has no 0 in front, so put one there; and tail 1 has widths[0].": _no_zero,
            "Your shares are one word late: mass[c] of np.cumsum alone counts word c + 1, too. Put a 0 in front of "
            "it.": _one_word_late,
            "Edges that end at len(counts) - 1 lose the last word. Put a 0 in front of np.cumsum, and end them at "
            "len(counts).": _last_word_lost,
            "Counts are not shares: divide them by their sum.": _counts_as_shares,
            "Every token passes through the head, including those that go on to a tail.": _head_for_its_own,
        },
        by_hand="the head alone is d (k_h + J) = 8 x (1 + 2) = 24, and tail 1 adds p_1 (d d_1 + d_1 k_1) = "
        "0.2 x (8 x 4 + 4 x 1) = 7.2.",
        why="This is the number that the panel of section 3 shows.",
    )
}
