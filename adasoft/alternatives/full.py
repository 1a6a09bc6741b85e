"""The full softmax: what all others are compared with."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..children import plain_linears
from ..decoding import log_softmax
from ..loss import Group, grouped_nll
from .protocol import Product, SoftmaxModule


class FullSoftmax(SoftmaxModule):
    r"""Every word in every step: :math:`p(w) = \exp(h \cdot v_w) / \sum_u \exp(h \cdot v_u)`. Exact.

    The loss is computed in chunks of rows by :func:`adasoft.loss.grouped_nll`, the same code that runs the clusters
    of the adaptive softmax: a fair and fast baseline, in which no logits are kept.

    >>> softmax = FullSoftmax(64, 1000)
    >>> f"{softmax.n_parameters:,}", f"{softmax.operations(batch=128):,.0f}"
    ('64,000', '49,152,000')

    Parameters: ``output.weight`` (V, d) by rank; ``bias``: add ``output.bias`` (V,); the paper's comparison has none.
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        *,
        bias: bool = False,
        order: Any = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            in_features, n_classes, order=order, ignore_index=ignore_index, reduction=reduction, device=device
        )
        self.output = nn.Linear(in_features, n_classes, bias=bool(bias), device=device, dtype=dtype)

    def _plain(self) -> bool:
        return plain_linears([self.output], [self.n_classes])

    def _weights(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        bias = self.output.bias
        return self.output.weight.to(x.dtype), None if bias is None else bias.to(x.dtype)

    def _nll(self, x: Tensor, ranks: Tensor, scale: float, need_total: bool) -> tuple[Tensor, Tensor]:
        (nll,), total = grouped_nll([Group(x, *self._weights(x), ranks)], scale, need_total=need_total)
        return nll, total

    def _log_prob(self, x: Tensor, product: Product) -> Tensor:
        return log_softmax(product(self.output, x, self.n_classes, "output"))

    def operations(self, batch: int, train: bool = True) -> float:
        """2 B d V per product: one to decode, three to train."""
        return (6.0 if train else 2.0) * batch * self.in_features * self.n_classes
