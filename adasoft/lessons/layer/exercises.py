"""What the lesson on the layer asks the reader to write: the adaptive loss of a batch."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from ..kit.exercises import Exercise


def _parts(target: Any, tails: Any, cutoffs: Any) -> list[tuple[int, Any]]:
    """For each tail its first rank, and which tokens lie in it."""
    edges = [*cutoffs, cutoffs[-1] + len(tails[-1][1])]
    return [(start, (start <= target) & (target < end)) for start, end in pairwise(edges)]


def _loss(
    hidden: Any,
    target: Any,
    head: Any,
    tails: Any,
    cutoffs: Any,
    *,
    entry: bool = True,
    shift: bool = True,
    project: bool = True,
    own_rows: bool = True,
    all_rows: bool = False,
    axis: int = 1,
) -> Any:
    """The mean loss; each argument set otherwise makes one typical mistake."""
    import torch

    head_target, total, rows = target.clone(), hidden.new_zeros(()), len(target)
    short = target < cutoffs[0]
    for i, ((P, W), (start, inside)) in enumerate(zip(tails, _parts(target, tails, cutoffs), strict=True)):
        head_target[inside] = cutoffs[0] + i
        chosen = inside if own_rows else torch.ones_like(inside)
        place = (target[chosen] - (start if shift else 0)).clamp(0, len(W) - 1)
        scores = hidden[chosen] @ P.T @ W.T if project else hidden[chosen] @ W.T
        total = total - torch.log_softmax(scores, axis).gather(1, place[:, None]).sum()
        rows += int(inside.sum())
    counted = torch.ones_like(short) if entry else short
    log_p = torch.log_softmax(hidden @ head.T, axis)[counted]
    total = total - log_p.gather(1, head_target[counted][:, None]).sum()
    return total / (rows if all_rows else len(target))


def adaptive_loss(hidden: Any, target: Any, head: Any, tails: Any, cutoffs: Any) -> Any:
    """Mean of -log p over a batch: hidden (B, d), target (B,) ranks from 0, head (k_h + J, d), tails [(P, W), ...]."""
    return _loss(hidden, target, head, tails, cutoffs)


def _wrong(**mistake: Any) -> Any:
    def wrong(hidden: Any, target: Any, head: Any, tails: Any, cutoffs: Any) -> Any:
        return _loss(hidden, target, head, tails, cutoffs, **mistake)

    return wrong


def _cases() -> list[tuple[Any, ...]]:
    """Small batches. Tails as wide as the head and longer than the ranks in them: so a mistake shows in its result, and
    not as an error of shapes."""
    import torch

    random = torch.Generator().manual_seed(5)

    def drawn(*shape: int) -> Any:
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    cases: list[tuple[Any, ...]] = []
    for cutoffs, sizes, target in (
        ((3,), (20,), [0, 5, 2, 9, 1, 14]),
        ((2, 10), (8, 30), [0, 4, 1, 12, 3, 25, 0, 6]),
        ((2, 10), (8, 30), [0, 4, 1, 3, 0, 6]),  # nobody comes to the last tail
    ):
        d = 4
        tails = [(drawn(d, d), drawn(size, d)) for size in sizes]
        head = drawn(cutoffs[0] + len(tails), d)
        cases.append((drawn(len(target), d), torch.tensor(target), head, tails, cutoffs))
    return cases


EXERCISES: dict[str, Exercise] = {
    "adaptive loss": Exercise(
        text=(
            "Write the adaptive loss of a batch: one cross entropy over the head for all tokens, and one over each "
            "tail for its own."
        ),
        solution=adaptive_loss,
        cases=_cases,
        bugs={
            "The tail's part alone is not enough: a word of tail i also needs the head's entry for that tail, row "
            "k_h + i - 1 of the head.": _wrong(entry=False),
            "Within a tail, targets count from its first word: subtract the cutoff where the tail begins.": _wrong(
                shift=False
            ),
            "A tail first projects the hidden state (P), then scores its words (W): the projection is missing.": _wrong(
                project=False
            ),
            "The mean is over the tokens of the batch. You divided by the rows of all products, which counts tokens of "
            "a tail twice.": _wrong(all_rows=True),
            "A tail takes only the rows whose target lies in it: select them before the product.": _wrong(
                own_rows=False
            ),
            "Each row's probabilities sum to one over the words: take log_softmax along dimension 1.": _wrong(axis=0),
        },
    )
}
