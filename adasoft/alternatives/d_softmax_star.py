"""D-softmax*: each band of rare words sees a projection of the whole hidden state."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..decoding import log_softmax
from ..layer import _check_cutoffs
from ..partition import default_widths
from .chunked import Band, joint_nll
from .protocol import SoftmaxModule, check_widths


class DSoftmaxStar(SoftmaxModule):
    r"""The variant of D-softmax in Grave et al. 2017: projections instead of segments. Exact.

    .. math:: s_w = h \cdot v_w \text{ for the frequent words}, \qquad s_w = (P_i h) \cdot v_w \text{ in band } i,

    and one normalisation over all words. It has the weights of an adaptive softmax of the same cutoffs and widths,
    less the head's entries for the tails: what it lacks is the hierarchy, so every token computes every band.

    Parameters: ``head.weight`` (c_1, d); ``tail.i.0.weight`` P_i (d_i, d), ``tail.i.1.weight`` (k_i, d_i), no biases.

    Args:
        cutoffs: ranks c_1 < ... < c_J.
        widths: d_1 ... d_J; default d/4, d/16, ..., at least 8 (:func:`adasoft.partition.default_widths`).
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
        self.cutoffs = [*_check_cutoffs(cutoffs, n_classes), n_classes]
        n = len(self.cutoffs) - 1
        self.widths = default_widths(in_features, n) if widths is None else check_widths(widths, n, "cutoff")
        kwargs: dict[str, Any] = {"bias": False, "device": device, "dtype": dtype}
        self.head = nn.Linear(in_features, self.cutoffs[0], **kwargs)
        self.tail = nn.ModuleList(
            nn.Sequential(nn.Linear(in_features, width, **kwargs), nn.Linear(width, high - low, **kwargs))
            for width, (low, high) in zip(self.widths, itertools.pairwise(self.cutoffs), strict=True)
        )

    def _bands(self, x: Tensor) -> list[Band]:
        tails = [(p.weight.to(x.dtype), o.weight.to(x.dtype)) for p, o in self.tail]  # type: ignore[misc, has-type]
        return [Band(x, self.head.weight.to(x.dtype)), *(Band(F.linear(x, p), o) for p, o in tails)]

    def _nll(self, x: Tensor, ranks: Tensor, scale: float, need_total: bool) -> tuple[Tensor, Tensor]:
        return joint_nll(self._bands(x), ranks, scale, need_total=need_total)

    def _log_prob(self, x: Tensor) -> Tensor:
        return log_softmax(torch.cat([b.x @ b.weight.t() for b in self._bands(x)], 1))

    def operations(self, batch: int, train: bool = True) -> float:
        """2 B (k_h d + sum_i d_i (d + k_i)) per product: one to decode, three to train."""
        return (6.0 if train else 2.0) * batch * self.n_parameters

    def extra_repr(self) -> str:
        """Sizes, cutoffs and widths, for ``print``."""
        return f"{super().extra_repr()}, cutoffs={self.cutoffs[:-1]}, widths={self.widths}"
