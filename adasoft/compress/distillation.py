"""Distillation from the stored best words of a teacher; for the adaptive softmax, without opening further tails.

A student learns from the text and from a teacher's probabilities q (Hinton, Vinyals and Dean 2015). MicroNet's winner
stores only the 30 best words of each token, and weighs the two losses by a number a that rises in a straight line
during training, from 0.5 to 0.95 (teacher annealing):

    loss = a * -log p(target) + (1 - a) * -sum_k q_k log p(w_k)

An adaptive softmax computes one tail for a token, that of its target. The 30 words may lie in any; so only those count
that lie in the head's short-list or in the target's own tail, and q is renormalised among them,
``q_k / (sum of those that count + 1e-8)``. Then no other tail is computed. The price: where the target lies in the
head, as that of most tokens does, the student learns of frequent words only.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..checks import integer, number
from ..inputs import check_hidden, check_target
from ..layer import AdaptiveSoftmax

#: What the authors add to the sum of the probabilities that count, so that none counting gives 0 and not 0 / 0.
_NONE = 1e-8
#: How far above 1 rounding may carry a sum of probabilities.
_ROUNDING = 1e-3


class SoftLabels(NamedTuple):
    """A teacher's best words of each token."""

    ids: Tensor
    """(n, k), the user's ids."""
    probabilities: Tensor
    """(n, k), their probabilities among all words: they sum to at most 1."""


class Distilled(NamedTuple):
    """Losses of a batch."""

    loss: Tensor
    """The mean of both losses, weighed by a: a number, in nats."""
    hard: Tensor
    """(n,) negative log-likelihood of each target."""
    soft: Tensor
    """(n,) cross entropy to the teacher's words that count; 0 where none does."""


@torch.no_grad()
def top_labels(teacher: AdaptiveSoftmax, hidden: Tensor, k: int = 30) -> SoftLabels:
    """The teacher's k best words of each state (n, d), exactly: without tails that cannot hold one of them.

    >>> labels = top_labels(AdaptiveSoftmax(8, 100, [10, 40], div_value=2), torch.randn(5, 8), k=3)
    >>> labels.ids.shape, bool((labels.probabilities.sum(1) <= 1).all())
    (torch.Size([5, 3]), True)

    Raises ValueError if k is not between 1 and V, RuntimeError if the states do not fit.
    """
    values, ids = teacher.topk(hidden, k)
    return SoftLabels(ids, values.exp())


def check_labels(labels: SoftLabels, n_classes: int) -> None:
    """Refuse what cannot be a teacher's best words among ``n_classes``.

    Raises ValueError for shapes other than (n, k), ids out of range or twice in a row, probabilities that are negative,
    not finite, or sum to more than 1 (by more than 0.001).
    """
    ids, probabilities = labels
    if ids.dim() != 2 or ids.shape != probabilities.shape:
        shapes = f"{tuple(ids.shape)} and {tuple(probabilities.shape)}"
        raise ValueError(f"labels should be ids and probabilities of one shape (n, k), got {shapes}")
    if ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool:
        raise ValueError(f"labels.ids should be integers, got {ids.dtype}")
    if not probabilities.is_floating_point():
        raise ValueError(f"labels.probabilities should be floating-point numbers, got {probabilities.dtype}")
    outside = ids[(ids < 0) | (ids >= n_classes)]
    if len(outside):
        raise ValueError(f"labels.ids should be from 0 to {n_classes - 1}, got {int(outside[0])}")
    if bool((ids.sort(1).values.diff(dim=1) == 0).any()):
        raise ValueError("labels.ids should differ within a row, got one twice")
    odd = probabilities[~(torch.isfinite(probabilities) & (probabilities >= 0))]
    if len(odd):
        raise ValueError(f"labels.probabilities should be finite and at least 0, got {float(odd[0]):g}")
    most = float(probabilities.sum(1, dtype=torch.float64).max()) if len(ids) else 0.0
    if most > 1 + _ROUNDING:
        raise ValueError(f"labels.probabilities should sum to at most 1 in each row, got {most:.6g}")


def annealed(step: int, steps: int, first: float = 0.5, last: float = 0.95) -> float:
    """The weight a of the text's own words in step 0 to ``steps`` - 1 of a training: a straight line.

    >>> annealed(0, 11), round(annealed(5, 11), 3), annealed(10, 11)
    (0.5, 0.725, 0.95)
    """
    steps = integer("steps", steps, 1)
    step = integer("step", step, 0, steps - 1)
    first, last = (_weight(name, value) for name, value in (("first", first), ("last", last)))
    return last if steps == 1 else first + (last - first) * step / (steps - 1)


def distil(log_prob: Tensor, target: Tensor, labels: SoftLabels, a: float) -> Distilled:
    """The loss where all words are computed: ``log_prob`` (n, V), ``target`` (n,) ids, ``labels`` of k words each.

    q is renormalised among the k words. With all V words of a model equal to the student, the gradient of the soft loss
    is 0. Raises ValueError for labels out of order (:func:`check_labels`), a outside 0 to 1, targets out of range.
    """
    if log_prob.dim() != 2 or target.shape != log_prob.shape[:1]:
        raise ValueError(
            f"log_prob and target should be of the shapes (n, V) and (n,), got {tuple(log_prob.shape)} and "
            f"{tuple(target.shape)}"
        )
    _check(target, labels, log_prob.shape[1], log_prob.isnan().any(), "log_prob")
    hard = -log_prob.gather(1, target.long().unsqueeze(1)).squeeze(1)
    words = log_prob.gather(1, labels.ids.long())
    return _joined(hard, words, labels.probabilities.to(log_prob.dtype), a)


def distil_adaptive(layer: AdaptiveSoftmax, hidden: Tensor, target: Tensor, labels: SoftLabels, a: float) -> Distilled:
    """The loss of an adaptive softmax for states (n, d), targets (n,), and the teacher's words of each.

    Words in the short-list and in the target's own tail count. Where all k do, it is the loss of :func:`distil`.
    Keeps the logits of the head for all tokens, and of each tail for its own, until backward.

    Raises ValueError for labels that :func:`check_labels` refuses or not one row for each state, a outside 0 to 1,
    targets out of range, states that are not finite, a layer with ``tail_dropout``; RuntimeError if states do not fit.

    >>> layer = AdaptiveSoftmax(8, 100, [10, 40], div_value=2)
    >>> hidden, target = torch.randn(5, 8), torch.tensor([0, 3, 12, 50, 99])
    >>> distil_adaptive(layer, hidden, target, top_labels(layer, hidden, 3), a=0.5).soft.shape
    torch.Size([5])
    """
    check_hidden("hidden", hidden, layer.in_features, None)
    check_target(target, hidden)
    if hidden.dim() != 2:
        raise ValueError(f"hidden should be of the shape (n, d), got {tuple(hidden.shape)}")
    if layer.tail_dropout:
        raise ValueError(f"tail_dropout of layer should be 0 for distillation, got {layer.tail_dropout:g}")
    _check(target, labels, layer.n_classes, ~torch.isfinite(hidden).all(), "hidden")
    ranks, words = (_ranks(layer, ids) for ids in (target, labels.ids))
    edges = torch.tensor(layer.cutoffs[:-1], device=hidden.device)
    # 0 in the short-list, i in tail i
    own, theirs = (torch.bucketize(ids, edges, right=True) for ids in (ranks, words))
    short = layer.shortlist_size
    head = F.log_softmax(layer.head(hidden), 1)
    entries = (
        torch.where(at == 0, ids, short - 1 + at)
        for ids, at in ((ranks.unsqueeze(1), own.unsqueeze(1)), (words, theirs))
    )
    hard, soft = (head.gather(1, entry) for entry in entries)
    for i, tail in enumerate(layer.tail):
        rows = (own == i + 1).nonzero().squeeze(1)
        if not len(rows):
            continue
        log_prob = F.log_softmax(tail(hidden[rows]), 1)
        start, inside = layer.cutoffs[i], theirs[rows] == i + 1
        of_words = log_prob.gather(1, torch.where(inside, words[rows] - start, 0))
        hard = hard.index_add(0, rows, log_prob.gather(1, ranks[rows].unsqueeze(1) - start))
        soft = soft.index_add(0, rows, torch.where(inside, of_words, 0.0))
    counted = (theirs == 0) | (theirs == own.unsqueeze(1))
    return _joined(-hard.squeeze(1), soft, labels.probabilities.to(head.dtype) * counted, a)


def _joined(hard: Tensor, words: Tensor, probabilities: Tensor, a: float) -> Distilled:
    a = _weight("a", a)
    q = probabilities / (probabilities.sum(1, keepdim=True) + _NONE)
    soft = -(q * words).sum(1)
    return Distilled(a * hard.mean() + (1 - a) * soft.mean(), hard, soft)


def _ranks(layer: AdaptiveSoftmax, ids: Tensor) -> Tensor:
    ids = ids.long().contiguous()
    return ids if layer.order is None else layer.order.argsort()[ids]


def _weight(name: str, value: float) -> float:
    return number(name, value, 0, 1, "from 0 to 1")


def _check(target: Tensor, labels: SoftLabels, n_classes: int, odd: Tensor, name: str) -> None:
    check_labels(labels, n_classes)
    if len(labels.ids) != len(target) or not len(target):
        raise ValueError(
            f"labels should have a row for each target, one at least, got {len(labels.ids)} rows for {len(target)}"
        )
    outside = target[(target < 0) | (target >= n_classes)]
    if len(outside):
        raise ValueError(f"target should be from 0 to {n_classes - 1}, got {int(outside[0])}")
    if bool(odd):
        raise ValueError(f"{name} should hold finite numbers, got nan or inf")
