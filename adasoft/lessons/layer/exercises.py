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
    entry: str = "own",
    shift: bool = True,
    project: bool = True,
    own_rows: bool = True,
    head_part: bool = True,
    tail_part: bool = True,
    mean: str = "batch",
    sign: int = 1,
    axis: int = 1,
) -> Any:
    """The mean loss; each argument set otherwise makes one typical mistake.

    ``entry``: which entry of the head a tail's word takes: its own tail's, the tails' in reverse, the last or the
    first of them for all, or "none". ``mean``: over the batch, a "sum", over all "rows", or each tail's own mean:
    "guarded" where a tail has no tokens, or "NaN" there.
    """
    import torch

    head_target, total, rows = target.clone(), hidden.new_zeros(()), len(target)
    short = target < cutoffs[0]
    for i, ((P, W), (start, inside)) in enumerate(zip(tails, _parts(target, tails, cutoffs), strict=True)):
        place_in_head = {"reversed": len(tails) - 1 - i, "last": len(tails) - 1, "first": 0}.get(entry, i)
        head_target[inside] = cutoffs[0] + place_in_head
        chosen = inside if own_rows else torch.ones_like(inside)
        place = (target[chosen] - (start if shift else 0)).clamp(0, len(W) - 1)
        scores = hidden[chosen] @ P.T @ W.T if project else hidden[chosen] @ W.T
        losses = -torch.log_softmax(scores, axis).gather(1, place[:, None])
        rows += int(inside.sum())
        if not tail_part or (mean == "guarded" and not len(losses)):
            continue
        total = total + (losses.mean() if mean in ("guarded", "NaN") else losses.sum() / len(target))
    if head_part:
        counted = short if entry == "none" else torch.ones_like(short)
        log_p = torch.log_softmax(hidden @ head.T, axis)[counted]
        total = total - log_p.gather(1, head_target[counted][:, None]).sum() / len(target)
    return sign * total * {"sum": len(target), "rows": len(target) / rows}.get(mean, 1)


def adaptive_loss(hidden: Any, target: Any, head: Any, tails: Any, cutoffs: Any) -> Any:
    """Mean of -log p over a batch: hidden (B, d), target (B,) ranks from 0, head (k_h + J, d), tails [(P, W), ...]."""
    return _loss(hidden, target, head, tails, cutoffs)


def _wrong(**mistake: Any) -> Any:
    def wrong(hidden: Any, target: Any, head: Any, tails: Any, cutoffs: Any) -> Any:
        return _loss(hidden, target, head, tails, cutoffs, **mistake)

    return wrong


def _whole_target(hidden: Any, target: Any, head: Any, tails: Any, cutoffs: Any) -> Any:
    """Ranks of tails as targets of the head: cross_entropy refuses what lies beyond its entries."""
    import torch.nn.functional as F

    return F.cross_entropy(hidden @ head.T, target)


def _cases() -> list[tuple[Any, ...]]:
    """Small batches, each with two tails: with one, a mixed-up tail would not show. Tails are as wide as the head and
    longer than the ranks in them: so a mistake shows in its result, and not as an error of shapes."""
    import torch

    random = torch.Generator().manual_seed(5)

    def drawn(*shape: int) -> Any:
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    cases: list[tuple[Any, ...]] = []
    for cutoffs, sizes, target in (
        ((3, 23), (20, 60), [0, 5, 2, 30, 1, 14]),
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
            "Do you give the head the whole target? It has k_h + J entries only: a word of tail i takes "
            "entry k_h + i - 1.": _whole_target,
            "F.cross_entropy gives the mean over a tail's own tokens; so a tail of one token weighs as much as all of "
            "the head. Take each tail's sum (reduction='sum') and divide once, by the batch.": _wrong(mean="guarded"),
            "F.cross_entropy gives the mean over a tail's own tokens, and NaN for a tail without any. Take each tail's "
            "sum (reduction='sum') and divide once, by the batch.": _wrong(mean="NaN"),
            "That is the head's part alone: a word of a tail must also be found within its tail.": _wrong(
                tail_part=False
            ),
            "Those are the tails' parts alone: every token has a part in the head, too.": _wrong(head_part=False),
            "Every word of a tail takes the head's last entry, as clamped targets do; a word of tail i needs entry "
            "k_h + i - 1.": _wrong(entry="last"),
            "Every word of a tail takes the entry of tail 1 here; a word of tail i needs entry k_h + i - 1.": _wrong(
                entry="first"
            ),
            "Clamped targets send every tail to the head's last entry, and the tails' own parts are missing.": _wrong(
                entry="last", tail_part=False
            ),
            "Clamped targets send every tail to the entry of tail 1, and the tails' own parts are missing.": _wrong(
                entry="first", tail_part=False
            ),
            "The head's entries for the tails are in reverse order: tail 1 comes first, at row k_h.": _wrong(
                entry="reversed"
            ),
            "That is the sum over the batch: divide it by the number of tokens.": _wrong(mean="sum"),
            "The sign is wrong: a loss is -log p, and positive.": _wrong(sign=-1),
            "The tail's part alone is not enough: a word of tail i also needs the head's entry for that tail, row "
            "k_h + i - 1 of the head.": _wrong(entry="none"),
            "Within a tail, targets count from its first word: subtract the cutoff where the tail begins.": _wrong(
                shift=False
            ),
            "A tail first projects the hidden state (P), then scores its words (W): the projection is missing.": _wrong(
                project=False
            ),
            "The mean is over the tokens of the batch. You divided by the rows of all products, which counts tokens of "
            "a tail twice.": _wrong(mean="rows"),
            "A tail takes only the rows whose target lies in it: select them before the product.": _wrong(
                own_rows=False
            ),
            "Each row's probabilities sum to one over the words: take log_softmax along dimension 1.": _wrong(axis=0),
        },
    )
}
