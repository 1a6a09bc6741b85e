"""The best decision within a budget, found with the reader's three knobs; and the budget of the reader's own case."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from ...cost import Cost
from ...vocabulary import Vocabulary
from .scenarios import BUDGETS, MOST_TAILS, OWN_ROOM, OWN_WIDTH, SCENARIOS, STEP, Budget, Outcome, Scenario, outcome

#: A head's words and the tails' widths.
_Setting = tuple[int, tuple[int, ...]]


def spread(first: int, tails: int, n_words: int) -> list[int]:
    """Cutoffs behind the first, evenly spaced on the logarithmic scale up to V: as on the page."""
    cuts = [first]
    for i in range(1, tails):
        cut = math.floor(first * (n_words / first) ** (i / tails) + 0.5)
        cuts.append(min(max(cut, cuts[i - 1] + 1), n_words - tails + i))
    return cuts


def searched(case: Scenario, words: Vocabulary, cost: Cost, budget: Budget) -> Outcome:
    """The fastest decision within a budget that a search finds; the one that misses it least where none keeps it.

    It turns what the reader turns: the head's share, the number of tails up to `MOST_TAILS`, and their widths in steps
    of `STEP`. First a coarse grid, then small steps from the best of each number of tails.
    """
    n, known = len(words), dict[_Setting, tuple[float, float, Outcome]]()

    def value(setting: _Setting) -> tuple[float, float, Outcome]:
        if setting not in known:
            first, widths = setting
            found = outcome(case, words, cost, spread(first, len(widths), n), widths)
            over = (found.seconds / budget.seconds, found.bytes / budget.bytes, budget.width / found.width)
            known[setting] = sum(max(0.0, each - 1) for each in over), found.seconds, found
        return known[setting]

    def better(setting: _Setting) -> tuple[float, float]:
        return value(setting)[:2]

    most = max(1, n - MOST_TAILS)
    heads = sorted({min(most, words.words_for_share(float(share))) for share in np.linspace(0.3, 0.99, 24)})
    best = []
    for tails in range(1, min(MOST_TAILS, n - 1) + 1):
        grid = ((first, widths) for widths in _families(tails, case.d) for first in heads)
        best.append(_climbed(min(grid, key=better), better, most, case.d))
    return value(_climbed(min(best, key=better), better, most, case.d, pairs=True))[2]


def _families(tails: int, d: int) -> set[tuple[int, ...]]:
    """Widths that start somewhere and narrow by a ratio."""
    starts = (d // 32, d // 16, d // 8, d // 4, d // 2)
    return {
        tuple(max(STEP, round(start / ratio**i / STEP) * STEP) for i in range(tails))
        for start in starts
        for ratio in (1, 2, 4)
    }


def _climbed(
    start: _Setting,
    better: Callable[[_Setting], tuple[float, float]],
    most: int,
    d: int,
    *,
    pairs: bool = False,
) -> _Setting:
    """The setting where no small step leads to a better one; ``pairs``: nor two tails changed at once."""
    best = start
    for reach in (0.1, 0.03, 0.01, 0.003):
        while (step := min(_steps(best, reach, most, d, pairs), key=better)) and better(step) < better(best):
            best = step
    return best


def _steps(setting: _Setting, reach: float, most: int, d: int, pairs: bool) -> Iterator[_Setting]:
    """Settings beside one: a larger or smaller head, one tail (or two) wider or narrower, or both."""
    first, widths = setting
    turned = {widths}
    for _ in range(1 + pairs):
        turned |= {
            (*each[:i], width + by, *each[i + 1 :])
            for each in turned
            for i, width in enumerate(each)
            for by in (-STEP, STEP)
            if STEP <= width + by <= d
        }
    for head in {min(most, max(1, round(first * by))) for by in (1 - reach, 1, 1 + reach)}:
        for each in turned:
            yield head, each


def budget_of(name: str, words: Vocabulary, cost: Cost) -> Budget:
    """The budget; in the reader's own case a little more time and memory than the fastest layer of that mean width."""
    if name in BUDGETS:
        return BUDGETS[name]
    case = SCENARIOS[name]
    best = searched(case, words, cost, Budget(math.inf, math.inf, OWN_WIDTH * case.d))
    return Budget(OWN_ROOM * best.seconds, OWN_ROOM * best.bytes, OWN_WIDTH * case.d)
