"""KerBS as a softmax over hidden states, and an adaptive softmax whose head has several senses for a word."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..alternatives.protocol import Product, SoftmaxModule
from ..children import bare, of_width
from ..decoding import log_softmax
from ..layer import AdaptiveSoftmax
from ..loss import chunk_rows, early_nll
from ..ranks import target_ranks
from .senses import SenseLogits, check_finite, sense_scores


class KerBS(SoftmaxModule):
    r"""Kernelised Bayesian softmax: :math:`p(w) = \sum_{j \in w} e^{K_j(h)} / \sum_j e^{K_j(h)}`. Exact.

    The loss is computed in chunks of rows: no scores of all senses are kept for backward. ``order``, ``ignore_index``,
    ``reduction`` and all methods are those of the softmaxes in :mod:`adasoft.alternatives`.

    With one sense a word and ``kernel="product"`` it is the full softmax without bias. Senses move between words only
    with an :class:`.Allocator`.

    >>> softmax = KerBS(64, 1000, senses=2)
    >>> output, loss = softmax(torch.randn(5, 64), torch.randint(1000, (5,)))
    >>> f"{softmax.n_parameters:,}", softmax.topk(torch.randn(5, 64), 3).indices.shape
    ('130,000', torch.Size([5, 3]))

    Parameters: those of its child ``output``, a :class:`.SenseLogits`.

    Args:
        in_features: hidden size d.
        n_classes: number of words V.
        senses: M, 1 to 4 senses for all words, or a number for each, by rank.
        kernel: ``"free"``: the paper's kernel in a bounded range of ours; ``"released"``: the authors' code;
            ``"product"``: the inner product.
        order, ignore_index, reduction, device, dtype: as in :class:`adasoft.alternatives.SoftmaxModule`.
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        *,
        senses: int | Sequence[int] = 2,
        kernel: str = "free",
        order: Any = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            in_features, n_classes, order=order, ignore_index=ignore_index, reduction=reduction, device=device
        )
        self.output = SenseLogits(in_features, n_classes, senses, kernel, device=device, dtype=dtype)

    @property
    def senses(self) -> SenseLogits:
        """The senses, for an :class:`.Allocator`."""
        return self.output

    def sense_words(self, target: Tensor) -> Tensor:
        """Ranks of targets (n,), for an :class:`.Allocator`; -1 where a target does not count."""
        return _held(self, target, self._table("_ranks", target.device), self.n_classes)

    def _plain(self) -> bool:
        return bare(self.output, SenseLogits)

    def _nll(self, x: Tensor, ranks: Tensor, scale: float, need_total: bool) -> tuple[Tensor, Tensor]:
        senses = self.output
        check_finite(input_=x, weight=senses.weight, raw_theta=senses.raw_theta)
        flat = [x, senses.weight.to(x.dtype), senses.raw_theta, senses.places.index_select(0, ranks)]
        plain = partial(_losses, senses.kernel)
        (nll,), total = early_nll(partial(_in_chunks, plain, len(senses.words)), plain, flat, scale, need_total)
        return nll, total

    def _log_prob(self, x: Tensor, product: Product) -> Tensor:
        return log_softmax(of_width(self.output(x.to(self.output.weight.dtype)), self.n_classes, "output"))

    def operations(self, batch: int, train: bool = True) -> float:
        """2 B d S per product for S senses; the kernel's one exponential for each sense and row is not counted."""
        return (6.0 if train else 2.0) * batch * self.in_features * len(self.output.words)


def _losses(kernel: str, flat: Sequence[Any], dtype: torch.dtype) -> list[Tensor]:
    """Losses (n,) as a plain graph: x, weight, raw theta, and the places of the targets' senses (n, most)."""
    x, weight, raw, places = flat
    scores = sense_scores(x, weight, raw, kernel).to(dtype)
    none = places == len(weight)
    own = scores.gather(1, places.masked_fill(none, 0)).masked_fill(none, -torch.inf)
    return [scores.logsumexp(1) - own.logsumexp(1)]


def _in_chunks(
    plain: Any, n_senses: int, flat: Sequence[Any], needs: Sequence[bool], weights: list[Tensor] | float
) -> tuple[list[Tensor], list[Tensor | None]]:
    """Losses (n,), and the gradients of ``sum(weights * losses)`` that are needed, some rows at a time."""
    x, weight, raw, places = flat
    dtype = torch.promote_types(x.dtype, torch.float32)
    row_weight = weights[0] if isinstance(weights, list) else x.new_full((len(x),), weights, dtype=dtype)
    made = [torch.zeros_like(v, dtype=dtype) if need else None for v, need in zip(flat, needs, strict=True)]
    nll = x.new_empty(len(x), dtype=dtype)
    rows = chunk_rows(len(x), n_senses, x.is_cuda)
    for start in range(0, len(x), rows):
        part = slice(start, start + rows)
        with torch.enable_grad():
            values = [x[part], weight, raw, places[part]]
            leaves = [v.detach().requires_grad_() if need else v for v, need in zip(values, needs, strict=True)]
            (losses,) = plain(leaves, dtype)
        nll[part] = losses.detach()
        wanted = [v for v, need in zip(leaves, needs, strict=True) if need]
        if not wanted:
            continue
        found = iter(torch.autograd.grad(losses, wanted, row_weight[part]))
        for i, gradient in enumerate(made):
            if gradient is not None and i == 0:
                gradient[part] = next(found)
            elif gradient is not None:
                gradient.add_(next(found))
    return [nll], made


def _held(layer: Any, target: Tensor, table: Tensor | None, first: int) -> Tensor:
    """Ranks of targets (n,) among the ``first`` words; -1 for other words and what is ignored."""
    ranks = target_ranks(target, layer.n_classes, layer.ignore_index, table)
    wrong = target[(ranks < 0) | (ranks > layer.n_classes)]
    if len(wrong):
        rule = f"in [0, {layer.n_classes - 1}] or ignore_index={layer.ignore_index}"
        raise RuntimeError(f"target should be {rule}, got {int(wrong[0])}")
    return ranks.masked_fill(ranks >= first, -1)


class _WithSenses(AdaptiveSoftmax):
    """An adaptive softmax whose head is a :class:`.SenseLogits`; made by :func:`with_senses_in_head`."""

    head: SenseLogits  # type: ignore[assignment]

    @property
    def senses(self) -> SenseLogits:
        """The senses of the head, for an :class:`.Allocator`."""
        return self.head

    def sense_words(self, target: Tensor) -> Tensor:
        """Ranks of targets (n,) that the head holds, for an :class:`.Allocator`; -1 for all others."""
        return _held(self, target, self._table("_ranks", target.device), self.shortlist_size)

    def stock_state_dict(self) -> dict[str, Tensor]:
        """RuntimeError: PyTorch's layer has no senses."""
        raise RuntimeError("stock_state_dict should be asked of a head with one vector a word, got one with senses")


def with_senses_in_head(
    in_features: int,
    n_classes: int,
    cutoffs: Sequence[int],
    *,
    senses: int | Sequence[int] = 2,
    kernel: str = "free",
    device: Any = None,
    dtype: torch.dtype | None = None,
    **options: Any,
) -> _WithSenses:
    """An adaptive softmax with ``senses`` for each word of the head, and one vector for each word of the tails.

    The head holds the frequent words, whose meanings are many, and few enough that M vectors for each are affordable:
    (c_1 M + J) columns instead of c_1 + J. The entries of the tails keep one sense. The likelihood stays exact, a sum
    of log-softmaxes; all methods are those of :class:`adasoft.AdaptiveSoftmax`, which here calls its head and keeps
    its logits for backward.

    >>> layer = with_senses_in_head(16, 1000, [100, 300], senses=2)
    >>> output, loss = layer(torch.randn(5, 16), torch.tensor([0, 50, 150, 400, 999]))
    >>> len(layer.senses.words), layer.senses.n_words
    (202, 102)

    Args:
        in_features, n_classes, cutoffs, options: as in :class:`adasoft.AdaptiveSoftmax`, without ``head_bias``.
        senses: 1 to 4 for all words of the head, or a number for each of the c_1.
        kernel: as in :class:`KerBS`.
        device, dtype: of the parameters.

    Raises ValueError for numbers that do not fit, TypeError for ``head_bias``.
    """
    if "head_bias" in options:
        raise TypeError("head_bias should not be given: senses have no bias")
    layer = _WithSenses(in_features, n_classes, cutoffs, device=device, dtype=dtype, **options)
    each = [*senses, *[1] * layer.n_clusters] if isinstance(senses, Sequence) else senses
    first = layer.shortlist_size
    layer.head = SenseLogits(in_features, layer.head_size, each, kernel, many=first, device=device, dtype=dtype)
    return layer
