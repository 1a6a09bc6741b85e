"""D-softmax*: each band of rare words sees a projection of the whole hidden state."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import checks
from ..children import all_plain
from ..decoding import log_softmax
from ..planning import default_widths
from .chunked import band, joint_nll
from .protocol import Product, SoftmaxModule


class DSoftmaxStar(SoftmaxModule):
    r"""The variant of D-softmax in Grave et al. 2017: projections instead of segments. Exact.

    .. math:: s_w = h \cdot v_w \text{ for the frequent words}, \qquad s_w = (P_i h) \cdot v_w \text{ in band } i,

    and one normalisation over all words. It has the weights of an adaptive softmax of the same cutoffs and widths,
    less the head's entries for the tails: what it lacks is the hierarchy, so every token computes every band.

    Parameters: ``head.weight`` (c_1, d); ``tail.i.0.weight`` P_i (d_i, d), ``tail.i.1.weight`` (k_i, d_i), no biases.

    >>> softmax = DSoftmaxStar(64, 1000, [100, 300])
    >>> softmax.widths, f"{softmax.n_parameters:,}"
    ([16, 8], '16,736')

    Args:
        cutoffs: ranks c_1 < ... < c_J.
        widths: d_1 ... d_J; default d/4, d/16, ..., at least 8 (:func:`adasoft.planning.default_widths`).
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        *,
        widths: Sequence[int] | None = None,
        order: Any = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            in_features, n_classes, order=order, ignore_index=ignore_index, reduction=reduction, device=device
        )
        self.cutoffs = [*checks.cutoffs(cutoffs, n_classes), n_classes]
        n = len(self.cutoffs) - 1
        self.widths = default_widths(in_features, n) if widths is None else checks.widths(widths, n, "cutoff")
        self._sizes = [b - a for a, b in itertools.pairwise([0, *self.cutoffs])]
        kwargs: dict[str, Any] = {"bias": False, "device": device, "dtype": dtype}
        self.head = nn.Linear(in_features, self.cutoffs[0], **kwargs)
        self.tail = nn.ModuleList(
            nn.Sequential(nn.Linear(in_features, width, **kwargs), nn.Linear(width, size, **kwargs))
            for width, size in zip(self.widths, self._sizes[1:], strict=True)
        )

    def _plain(self) -> bool:
        return all_plain(self.head, self.tail, self._sizes)

    def _nll(self, x: Tensor, ranks: Tensor, scale: float, need_total: bool) -> tuple[Tensor, Tensor]:
        bands = [band(x, self.head)]
        for projection, output in self.tail:  # type: ignore[misc]
            bands.append(band(F.linear(x, projection.weight.to(x.dtype)), output))  # type: ignore[has-type]
        return joint_nll(bands, ranks, scale, need_total=need_total)

    def _log_prob(self, x: Tensor, product: Product) -> Tensor:
        parts = [product(self.head, x, self.cutoffs[0], "head")]
        parts += [product(self.tail[i], x, n, f"tail.{i}") for i, n in enumerate(self._sizes[1:])]
        return log_softmax(torch.cat(parts, 1))

    def operations(self, batch: int, train: bool = True) -> float:
        """2 B (k_h d + sum_i d_i (d + k_i)) per product: one to decode, three to train."""
        return (6.0 if train else 2.0) * batch * self.n_parameters

    def extra_repr(self) -> str:
        """Sizes, cutoffs and widths, for ``print``."""
        return f"{super().extra_repr()}, cutoffs={self.cutoffs[:-1]}, widths={self.widths}"
