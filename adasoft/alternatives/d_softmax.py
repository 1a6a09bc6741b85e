"""D-softmax: frequent words see a large part of the hidden state, rare words a small one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .. import checks
from ..checks import integer
from ..children import plain_linears
from ..decoding import log_softmax
from .chunked import band, joint_nll
from .protocol import Product, SoftmaxModule


def proportional_widths(in_features: int, n_bands: int, ratio: float = 4.0) -> list[int]:
    """Widths of the segments of D-softmax: in proportion to 1, 1/ratio, 1/ratio^2, ..., summing to d.

    Bands after the first are rounded down, but to at least 1; the first gets the rest. ValueError if d is less than
    the number of bands, or the ratio not above 0.
    """
    in_features, n_bands = integer("in_features", in_features, 1), integer("n_bands", n_bands, 1)
    ratio = checks.number("ratio", ratio, checks.ABOVE_0, checks.FINITE, "a finite number above 0")
    if in_features < n_bands:
        raise ValueError(f"in_features should be at least the number of bands, {n_bands}, got {in_features}")
    whole = sum(ratio**-i for i in range(n_bands))
    rest = [max(1, int(in_features * ratio**-i / whole)) for i in range(1, n_bands)]
    while in_features - sum(rest) < 1:  # so small a d that the minima of 1 leave nothing for the first
        rest[rest.index(max(rest))] -= 1
    return [in_features - sum(rest), *rest]


class DSoftmax(SoftmaxModule):
    r"""Differentiated softmax (Chen, Grangier and Auli 2016). Exact.

    The hidden state is cut into segments :math:`h = [h_0, ..., h_J]`, one per frequency band. A word of band i sees
    its segment only, :math:`s_w = h_i \cdot v_w`; the normalisation runs over all words,

    .. math:: p(w) = e^{s_w} / \sum_{j} \sum_{u \in j} e^{s_u}.

    The output matrix is block-diagonal: sum_i k_i d_i numbers and multiply-adds instead of V d. No biases.

    >>> softmax = DSoftmax(64, 1000, [100, 300])
    >>> softmax.widths, f"{softmax.n_parameters:,}"
    ([49, 12, 3], '9,400')

    Args:
        cutoffs: ranks c_1 < ... < c_J as for the adaptive softmax; J + 1 bands.
        widths: J + 1 widths d_0 ... d_J of the segments, which sum to d. Default: :func:`proportional_widths`, i.e.
            d, d/4, d/16 ... scaled down to the sum d.
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
        n = len(self.cutoffs)
        self.widths = proportional_widths(in_features, n) if widths is None else checks.widths(widths, n, "band")
        if sum(self.widths) != in_features:
            raise ValueError(f"widths should sum to in_features={in_features}, got {self.widths}: {sum(self.widths)}")
        self._sizes = [b - a for a, b in itertools.pairwise([0, *self.cutoffs])]
        self.bands = nn.ModuleList(
            nn.Linear(width, size, bias=False, device=device, dtype=dtype)
            for width, size in zip(self.widths, self._sizes, strict=True)
        )

    def _plain(self) -> bool:
        return plain_linears([*self.bands], self._sizes)

    def _nll(self, x: Tensor, ranks: Tensor, scale: float, need_total: bool) -> tuple[Tensor, Tensor]:
        segments = torch.split(x, self.widths, 1)
        return joint_nll(
            [band(h, b) for h, b in zip(segments, self.bands, strict=True)], ranks, scale, need_total=need_total
        )

    def _log_prob(self, x: Tensor, product: Product) -> Tensor:
        segments = torch.split(x, self.widths, 1)
        made = zip(self.bands, segments, self._sizes, strict=True)
        return log_softmax(torch.cat([product(b, h, n, f"bands.{i}") for i, (b, h, n) in enumerate(made)], 1))

    def operations(self, batch: int, train: bool = True) -> float:
        """2 B sum_i k_i d_i per product: one to decode, three to train."""
        return (6.0 if train else 2.0) * batch * self.n_parameters

    def extra_repr(self) -> str:
        """Sizes, cutoffs and widths, for ``print``."""
        return f"{super().extra_repr()}, cutoffs={self.cutoffs[:-1]}, widths={self.widths}"
