r"""The adaptive softmax of Grave et al. (ICML 2017) in plain NumPy and PyTorch, to be read first and beside the paper.

Nothing here is fast. The tests hold the fast code against it: :class:`adasoft.AdaptiveSoftmax` against the first half,
:func:`adasoft.plan` against the second.

Letters
    V words, sorted by falling frequency and numbered from 0, so that a word is its rank; hidden states h of size d; a
    batch of B tokens. Cutoffs c_1 < ... < c_J split the words: the first k_h = c_1 form the short-list in the head,
    the k_i = c_{i+1} - c_i words from rank c_i on form tail i, with c_{J+1} = V. A token falls into tail i with
    probability p_i.

Weights
    ``head`` (k_h + J, d): one row per word of the short-list, then one per tail. ``tails``: for each the projection
    P_i (d_i, d) and its words W_i (k_i, d_i), where a tail of rare words has a small width d_i. ``bias`` (k_h + J,)
    belongs to the head, or is None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, linear, log_softmax

Tails: TypeAlias = Sequence[tuple[Tensor, Tensor]]
#: g(k, B): seconds to multiply B hidden states by the weights of k words. Either may be an array.
ProductTime: TypeAlias = Callable[[Any, Any], Any]

# ---------------------------------------------------------------- the softmax


def log_probabilities(h: Tensor, head: Tensor, tails: Tails, bias: Tensor | None = None) -> Tensor:
    r"""Log-probabilities of all words: (..., d) -> (..., V).

    The head decides between the words of the short-list and the tails, and a tail between its own words:

    .. math::
        \log p(w \mid h) = \begin{cases}
            \log p_{head}(w \mid h) & w < k_h \\
            \log p_{head}(\text{tail } i \mid h) + \log p_i(w \mid h) & c_i \le w < c_{i+1}
        \end{cases}

    where p_head is the softmax of the head's logits and p_i that of the logits :math:`W_i P_i h`.

    Two words in the head and four in one tail, with weights of zero: the head gives 1/3 to each of its three entries,
    and the tail splits its third into four equal parts.

    >>> h, head, tail = torch.zeros(1, 2), torch.zeros(3, 2), (torch.zeros(1, 2), torch.zeros(4, 1))
    >>> log_probabilities(h, head, [tail]).exp()
    tensor([[0.3333, 0.3333, 0.0833, 0.0833, 0.0833, 0.0833]])
    """
    k_h = len(head) - len(tails)
    of_head = log_softmax(linear(h, head, bias), -1)
    parts = [of_head[..., :k_h]]
    for i, (P, W) in enumerate(tails):
        parts.append(of_head[..., k_h + i, None] + log_softmax(linear(linear(h, P), W), -1))
    return torch.cat(parts, -1)


def loss(h: Tensor, target: Tensor, head: Tensor, tails: Tails, bias: Tensor | None = None) -> Tensor:
    r"""Mean of :math:`-\log p(w \mid h)` over a batch of ``h`` (B, d) and target words (B,), without the other words.

    By the equation above this is a sum of ordinary cross entropies: one over the head for all B tokens, and one over
    tail i for the :math:`p_i B` tokens whose target lies in it. This is where the time is saved: most tokens never
    meet the many words of the tails.

    >>> h, head, tail = torch.zeros(2, 2), torch.zeros(3, 2), (torch.zeros(1, 2), torch.zeros(4, 1))
    >>> loss(h, torch.tensor([0, 5]), head, [tail])  # (log 3 + log 12) / 2
    tensor(1.7918)
    """
    k_h = len(head) - len(tails)
    sizes = [k_h, *(len(W) for _, W in tails)]
    edges = np.cumsum([0, *sizes]).tolist()  # 0, c_1, ..., c_J, V
    head_target, total = target.clone(), h.new_zeros(())
    for i, (P, W) in enumerate(tails):
        c, next_c = edges[i + 1], edges[i + 2]
        inside = (c <= target) & (target < next_c)
        head_target[inside] = k_h + i
        total = total + cross_entropy(linear(linear(h[inside], P), W), target[inside] - c, reduction="sum")
    total = total + cross_entropy(linear(h, head, bias), head_target, reduction="sum")
    return total / len(h)


# ---------------------------------------------------------------- the computation time, and the best clusters


def product_time(c: float, lam: float, k0: float = 50, B0: float = 2560) -> ProductTime:
    r"""The paper's model of the time that a product takes on a GPU, as a function g(k, B):

    .. math:: g(k, B) = \max(c + \lambda k_0 B_0,\; c + \lambda k B)

    It is flat for small products, which do not fill the device, and then grows with their size. ``c`` in seconds,
    ``lam`` in seconds per word and token.

    >>> g = product_time(c=0.3e-3, lam=1e-9)
    >>> print(f"{g(10, 128):.6f} {g(50, 2560):.6f} {g(10_000, 2560):.6f}")
    0.000428 0.000428 0.025900
    """
    return lambda k, B: np.maximum(c + lam * k0 * B0, c + lam * k * B)


def cost(cutoffs: Sequence[int], p: npt.ArrayLike, B: float, g: ProductTime) -> float:
    r"""Seconds of a batch with these cutoffs, where word w has the probability ``p[w]``, (V,):

    .. math:: C = g(k_h + J, B) + \sum_i g(k_i, p_i B)

    >>> p = np.array([8, 4, 2, 1, 1]) / 16
    >>> cost([2], p, 100, lambda k, B: k * B)  # 3 entries for 100 tokens, 3 words for a quarter of them
    375.0
    """
    S = np.cumsum([0, *np.asarray(p)])  # S[w]: probability of the w most frequent words
    head = g(cutoffs[0] + len(cutoffs), B)
    return float(head + sum(g(b - a, (S[b] - S[a]) * B) for a, b in pairwise([*cutoffs, len(S) - 1])))


def best_cutoffs(p: npt.ArrayLike, B: float, J: int, g: ProductTime) -> list[int]:
    r"""The J cutoffs of least cost, by dynamic programming over the rank where a tail ends, in :math:`O(J V^2)` steps.

    Cutoffs are all there is to choose: exchanging a frequent word of a larger tail for a rarer one of a smaller tail
    changes no size and leaves fewer tokens for the larger tail. So the words of a best partition are in order of
    frequency. Let :math:`T_i(b)` be the least cost of the head and the first i tails if these hold the words before
    rank b, and S(b) the probability of those words. Tail i begins at some rank a:

    .. math:: T_0(b) = g(b + J, B), \qquad T_i(b) = \min_{a < b} \; T_{i-1}(a) + g\big(b - a, (S(b) - S(a)) B\big)

    The least cost is :math:`T_J(V)`, and the minimising a of each step leads back from V to the cutoffs. (The paper
    names dynamic programming and prints no recurrence.)

    A thousand words that follow Zipf's law:

    >>> p = 1 / np.arange(1, 1001)
    >>> best_cutoffs(p / p.sum(), 2560, 4, product_time(c=0.0, lam=1e-9, k0=0))
    [17, 113, 308, 604]
    """
    S = np.cumsum([0, *np.asarray(p)])
    V = len(S) - 1
    T = np.array([np.inf, *(g(b + J, B) for b in range(1, V + 1))])  # a head holds at least one word
    begins = []  # begins[i][b]: where tail i + 1 begins if it ends before rank b
    for _ in range(J):
        a_of_b, next_T = np.zeros(V + 1, int), np.full(V + 1, np.inf)
        for b in range(1, V + 1):
            a = np.arange(b)
            totals = T[a] + g(b - a, (S[b] - S[a]) * B)
            a_of_b[b] = totals.argmin()
            next_T[b] = totals[a_of_b[b]]
        begins.append(a_of_b)
        T = next_T
    cutoffs = [V]
    for a_of_b in reversed(begins):
        cutoffs.insert(0, int(a_of_b[cutoffs[0]]))
    return cutoffs[:-1]
