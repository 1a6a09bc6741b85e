"""Hierarchical softmax with two levels: first the word's class, then the word within it."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..checks import integer
from ..children import plain_linears
from ..decoding import log_softmax
from ..loss import Group, grouped_nll
from ..vocabulary import Vocabulary
from .protocol import Product, SoftmaxModule, check_counts


def frequency_bins(counts: Any, n_bins: int) -> list[int]:
    """Edges 0 = e_0 < e_1 < ... < e_C = V of ``n_bins`` classes of about equal sums of square-rooted counts.

    ``counts`` (V,) by rank. Word by word, a class is closed once the running share of sqrt(count) has passed a / C
    (Mikolov et al. 2011, as in RNNLM); a word above 1 / C is a class alone. So no class holds more than 1 / C and its
    last word, unless heavy words before it have put the bins behind; each class holds at least one word.

    Raises ValueError if ``n_bins`` is not between 1 and V, or counts are not finite, negative or all 0.
    """
    roots, n_bins = np.sqrt(check_counts(counts)), integer("n_bins", n_bins, 1)
    n = len(roots)
    if n_bins > n:
        raise ValueError(f"n_bins should be at most the number of words, {n}, got {n_bins}")
    share = np.cumsum(roots) / roots.sum()
    passed = np.searchsorted(share, np.arange(1, n_bins) / n_bins, side="right") + 1
    edges = [0]
    for a, after in enumerate(passed.tolist(), start=1):
        edges.append(min(max(after, edges[-1] + 1), n - (n_bins - a)))
    return [*edges, n]


class HierarchicalSoftmax(SoftmaxModule):
    r"""Two levels (Goodman 2001; Mikolov et al. 2011), the HSM (freq) of Grave et al. 2017. Exact.

    .. math:: p(w) = p(c(w)) \, p(w | c(w)), \qquad
              p(c) = \mathrm{softmax}_c(h \cdot a_c), \quad p(w | c) = \mathrm{softmax}_{w \in c}(h \cdot v_w)

    Classes are frequency bins on square-rooted counts (:func:`frequency_bins`), so their words are neighbours by
    rank: sorting a batch by rank makes both a class's tokens and its words slices, without copies. A training step is
    one product for the classes and one for each class that a token falls in, at most min(C, B).

    The rows of words alone in their class are never trained; they are kept (and counted) so that row r is rank r.

    Parameters: ``classes.weight`` (C, d), ``output.weight`` (V, d), no biases.

    >>> softmax = HierarchicalSoftmax(16, 100, counts=[1000 // rank for rank in range(1, 101)])
    >>> softmax.edges[:5], len(softmax.edges) - 1
    ([0, 3, 7, 12, 20], 10)

    Args:
        counts: (V,) by rank, falling.
        n_groups: C; default the square root of V, rounded up.
    """

    _edges: Tensor

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        *,
        counts: Any,
        n_groups: int | None = None,
        order: Any = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            in_features, n_classes, order=order, ignore_index=ignore_index, reduction=reduction, device=device
        )
        vocabulary = Vocabulary(counts)
        if len(vocabulary) != n_classes:
            raise ValueError(f"counts should hold one count per word, {n_classes}, got {len(vocabulary)}")
        if not np.array_equal(vocabulary.order, np.arange(n_classes)):
            raise ValueError("counts should be falling, one per rank; give ids in another order by order=")
        groups = math.ceil(math.sqrt(n_classes)) if n_groups is None else integer("n_groups", n_groups, 1)
        if groups > n_classes:
            raise ValueError(f"n_groups should be at most n_classes={n_classes}, got {groups}")
        self.edges = frequency_bins(vocabulary.counts, groups)
        self.n_groups = groups
        self.sizes = [b - a for a, b in itertools.pairwise(self.edges)]
        shares = np.diff(vocabulary.cumulative[self.edges])
        #: multiply-adds per token and unit of d within its class, on average; a class of one word needs none
        self._inside = float(sum(p * k for p, k in zip(shares, self.sizes, strict=True) if k > 1))
        self._keep(_edges=torch.tensor(self.edges, device="cpu"))
        kwargs: dict[str, Any] = {"bias": False, "device": device, "dtype": dtype}
        self.classes = nn.Linear(in_features, groups, **kwargs)
        self.output = nn.Linear(in_features, n_classes, **kwargs)

    def _plain(self) -> bool:
        made = [self.classes, self.output]
        return plain_linears(made, [self.n_groups, self.n_classes]) and all(child.bias is None for child in made)

    def _nll(self, x: Tensor, ranks: Tensor, scale: float, need_total: bool) -> tuple[Tensor, Tensor]:
        ranks, permutation = ranks.sort(stable=True)
        edges = self._table("_edges", x.device)
        bounds = torch.searchsorted(ranks, edges).tolist()
        tokens = [b - a for a, b in itertools.pairwise(bounds)]
        x = x.index_select(0, permutation)
        group = torch.searchsorted(edges, ranks, right=True) - 1
        inside = ranks - edges[group]
        # Splits rather than slices: the backward of all parts together writes the whole gradient once.
        weights = torch.split(self.output.weight.to(x.dtype), self.sizes)
        rows, targets = torch.split(x, tokens), torch.split(inside, tokens)
        groups = [Group(x, self.classes.weight.to(x.dtype), None, group)]
        opened = [i for i, n in enumerate(tokens) if n and self.sizes[i] > 1]
        for i in opened or [0]:
            n = tokens[i] if opened else 0  # nothing opened: an empty product, so that the weights get zeros
            groups.append(Group(rows[i][:n], weights[i], None, targets[i][:n]))
        (nll, *parts), total = grouped_nll(groups, scale, need_total=need_total)
        within = dict(zip(opened, parts, strict=False))
        if opened:
            nll = nll + torch.cat([within[i] if i in within else nll.new_zeros(n) for i, n in enumerate(tokens)])
        return torch.zeros_like(nll).index_copy(0, permutation, nll), total

    def _log_prob(self, x: Tensor, product: Product) -> Tensor:
        group = log_softmax(product(self.classes, x, self.n_groups, "classes"))
        logits = product(self.output, x, self.n_classes, "output")
        parts = torch.split(logits, self.sizes, 1)
        return torch.cat([log_softmax(z) + group[:, i, None] for i, z in enumerate(parts)], 1)

    def operations(self, batch: int, train: bool = True) -> float:
        """Training: 2 B d (C + sum_c p_c k_c) per product, p_c the share of tokens and k_c the words of class c.

        Words alone in their class need no product. Decoding: 2 B d (C + V).
        """
        columns = self.n_groups + (self._inside if train else self.n_classes)
        return (6.0 if train else 2.0) * batch * self.in_features * columns

    def extra_repr(self) -> str:
        """Sizes, for ``print``."""
        return f"{super().extra_repr()}, n_groups={self.n_groups}"
