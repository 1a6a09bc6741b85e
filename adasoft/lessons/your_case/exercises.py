"""What the reader of the last lesson writes: the memory of a layer, counted."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from ..kit.exercises import Exercise
from .scenarios import parameters

_Cuts = Sequence[int]


def _sizes(n: int, cutoffs: _Cuts) -> list[int]:
    edges = [*cutoffs, n]
    return [b - a for a, b in itertools.pairwise(edges)]


def _no_entries(n: int, d: int, cutoffs: _Cuts, widths: _Cuts) -> int:
    return cutoffs[0] * d + sum(w * (d + k) for w, k in zip(widths, _sizes(n, cutoffs), strict=True))


def _no_projections(n: int, d: int, cutoffs: _Cuts, widths: _Cuts) -> int:
    tails = sum(w * k for w, k in zip(widths, _sizes(n, cutoffs), strict=True))
    return (cutoffs[0] + len(widths)) * d + tails


def _full_width(n: int, d: int, cutoffs: _Cuts, widths: _Cuts) -> int:
    return (n + len(widths)) * d + sum(w * d for w in widths)


def _cutoffs_for_sizes(n: int, d: int, cutoffs: _Cuts, widths: _Cuts) -> int:
    ends = [*cutoffs[1:], n]
    return (cutoffs[0] + len(widths)) * d + sum(w * (d + k) for w, k in zip(widths, ends, strict=True))


def _last_tail_forgotten(n: int, d: int, cutoffs: _Cuts, widths: _Cuts) -> int:
    sizes = [b - a for a, b in itertools.pairwise(cutoffs)]
    return (cutoffs[0] + len(widths)) * d + sum(w * (d + k) for w, k in zip(widths, sizes, strict=False))


def _edges_off(n: int, d: int, cutoffs: _Cuts, widths: _Cuts) -> int:
    sizes = [k - 1 for k in _sizes(n, cutoffs)]
    return (cutoffs[0] + len(widths)) * d + sum(w * (d + k) for w, k in zip(widths, sizes, strict=True))


def _edges_over(n: int, d: int, cutoffs: _Cuts, widths: _Cuts) -> int:
    sizes = [k + 1 for k in _sizes(n, cutoffs)]
    return (cutoffs[0] + len(widths)) * d + sum(w * (d + k) for w, k in zip(widths, sizes, strict=True))


def _full_softmax(n: int, d: int, cutoffs: _Cuts, widths: _Cuts) -> int:
    return n * d


def _cases() -> list[tuple[Any, ...]]:
    return [
        (100, 8, (20,), (4,)),
        (10_000, 64, (2000, 5000), (16, 4)),
        (50_000, 256, (900, 4000, 20_000), (128, 32, 8)),
    ]


EXERCISES = {
    "count parameters": Exercise(
        text="The parameters of an adaptive softmax: head, entries of the tails, projections, and words of the tails.",
        solution=parameters,
        why="Times the bytes for each parameter, this is the memory bar: the weight, or in training also its gradient "
        "and Adam's two moments.",
        cases=_cases,
        bugs={
            "The head has one more row for each tail: its entries are missing.": _no_entries,
            "Each tail first projects the hidden state, by d times its width numbers: those are missing.": (
                _no_projections
            ),
            "All words are counted with d numbers; those of tail i have only widths[i].": _full_width,
            "A tail ends where the next begins: its size is the difference of two cutoffs, not a cutoff.": (
                _cutoffs_for_sizes
            ),
            "Each tail has a word too few: its size is the next edge minus its own, with no - 1.": _edges_off,
            "Each tail has a word too many: its size is the next edge minus its own, with no + 1.": _edges_over,
            "That is the full softmax: the tails' words have fewer than d numbers.": _full_softmax,
            "The last tail, from the last cutoff to V, is missing.": _last_tail_forgotten,
        },
    )
}
