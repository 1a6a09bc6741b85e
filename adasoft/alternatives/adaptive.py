"""The adaptive softmax behind the protocol that the other softmaxes follow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..cost import count_operations, layer_products
from ..layer import AdaptiveSoftmax
from ..planning import default_widths
from ..vocabulary import Vocabulary


class Adaptive(AdaptiveSoftmax):
    """:class:`adasoft.AdaptiveSoftmax` (Grave et al. 2017) that also counts its parameters and operations. Exact.

    Arguments, weights and methods are the layer's, except that widths not given are those of a plan, d/4, d/16, ...,
    at least 8 (:func:`adasoft.planning.default_widths`), so that D-softmax* has the same.

    >>> softmax = Adaptive(64, 1000, [100, 300])
    >>> softmax.widths, f"{softmax.n_parameters:,}"
    ([16, 8], '16,864')

    Args:
        counts: (V,) by rank, falling; ``operations`` of training needs to know how many tokens each tail sees.
    """

    estimates = False

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        *,
        counts: Any = None,
        widths: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        if widths is None and "div_value" not in kwargs:
            widths = default_widths(in_features, len(cutoffs))
        super().__init__(in_features, n_classes, cutoffs, widths=widths, **kwargs)
        self.tail_shares: list[float] | None = None
        if counts is not None:
            vocabulary = Vocabulary(counts)
            if len(vocabulary) != n_classes:
                raise ValueError(f"counts should hold one count per word, {n_classes}, got {len(vocabulary)}")
            if not np.array_equal(vocabulary.order, np.arange(n_classes)):
                raise ValueError("counts should be falling, one per rank; give ids in another order by order=")
            self.tail_shares = np.diff(vocabulary.cumulative[self.cutoffs]).tolist()

    @property
    def n_parameters(self) -> int:
        """Numbers to learn."""
        return sum(p.numel() for p in self.parameters())

    def operations(self, batch: int, train: bool = True, *, opened: Sequence[float] | None = None) -> float:
        """2 B [(k_h + J) d + sum_i p_i d_i (d + k_i)] per product, three products; decoding opens all, p_i = 1.

        ``opened``: for decoding, the share of the rows that open each tail.

        Raises ValueError for training if no counts were given.
        """
        shares: Sequence[float] | None = self.tail_shares
        if not train:
            shares = [1.0] * self.n_clusters if opened is None else opened
        if shares is None:
            raise ValueError("counts: the operations of a training step depend on the tails' shares; give counts")
        rows = [share * batch for share in shares]
        cutoffs, d = self.cutoffs[:-1], self.in_features
        return count_operations(layer_products(self.n_classes, cutoffs, self.widths, d, batch, rows), train)
