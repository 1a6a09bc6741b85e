r"""The adaptive softmax of Grave et al. (ICML 2017) in plain NumPy and PyTorch. Read this first, alongside the paper.

Nothing here is fast. The tests check the fast code against it: :class:`adasoft.AdaptiveSoftmax` against the softmax
below, :func:`adasoft.plan` against the computation time and the best cutoffs.

Letters
    V words, sorted by falling frequency and numbered from 0, so that a word is its rank; a hidden state h of size d;
    a batch of B tokens. The cutoffs c_1 < ... < c_J split the words: the first k_h = c_1 form the short-list in the
    head, and tail i, for i = 1 ... J, holds the k_i = c_{i+1} - c_i words from rank c_i on, with c_{J+1} = V. A token
    falls into tail i with probability p_i, the sum of the probabilities of its words. Code counts tails from 0:
    ``tails[0]`` is tail 1.

Weights
    ``head`` (k_h + J, d): one row per word of the short-list, then one per tail. ``tails``: for each tail the
    projection P_i (d_i, d) and the output weights W_i (k_i, d_i), one row per word. The rarer its words, the smaller
    a tail's width d_i: rare words have few examples to learn from, and fewer weights take less time. ``bias``
    (k_h + J,) belongs to the head, or is None.
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
#: g(k, B): time in seconds to multiply B hidden states by the weights of k words. Either may be an array.
ProductTime: TypeAlias = Callable[[Any, Any], Any]

# ---------------------------------------------------------------- the softmax


def log_probabilities(h: Tensor, head: Tensor, tails: Tails, bias: Tensor | None = None) -> Tensor:
    r"""Log-probabilities of all words: (..., d) -> (..., V).

    The head decides between the words of the short-list and the tails, and a tail between its own words:

    .. math::
        \log p(w \mid h) = \begin{cases}
            \log p_{\text{head}}(w \mid h) & w < k_h \\
            \log p_{\text{head}}(\text{tail } i \mid h) + \log p_{\text{tail } i}(w \mid h) & c_i \le w < c_{i+1}
        \end{cases}

    Here :math:`p_{\text{head}}` is the softmax of the head's logits, and :math:`p_{\text{tail } i}` that of the logits
    :math:`W_i P_i h`.

    Two words in the head and four in one tail, with weights of zero: the head gives 1/3 to each of its three entries,
    and the tail splits its third into four equal parts.

    >>> h, head, tail = torch.zeros(1, 2), torch.zeros(3, 2), (torch.zeros(1, 2), torch.zeros(4, 1))
    >>> log_probabilities(h, head, [tail]).exp()
    tensor([[0.3333, 0.3333, 0.0833, 0.0833, 0.0833, 0.0833]])
    """
    k_h = len(head) - len(tails)
    head_log_probs = log_softmax(linear(h, head, bias), -1)
    parts = [head_log_probs[..., :k_h]]
    for i, (P, W) in enumerate(tails):
        parts.append(head_log_probs[..., k_h + i, None] + log_softmax(linear(linear(h, P), W), -1))
    return torch.cat(parts, -1)


def loss(h: Tensor, target: Tensor, head: Tensor, tails: Tails, bias: Tensor | None = None) -> Tensor:
    r"""Mean of :math:`-\log p(w \mid h)` over a batch of ``h`` (B, d) and target words (B,).

    It is computed without the probabilities of the other words. By the equation of :func:`log_probabilities` the sum
    over the batch is a sum of ordinary cross entropies: one over the head for all B tokens, and one over each tail for
    the tokens whose target lies in it, :math:`p_i B` on average. This saves the time: for most tokens no tail is
    computed.

    >>> h, head, tail = torch.zeros(2, 2), torch.zeros(3, 2), (torch.zeros(1, 2), torch.zeros(4, 1))
    >>> loss(h, torch.tensor([0, 5]), head, [tail])  # (log 3 + log 12) / 2
    tensor(1.7918)
    """
    k_h = len(head) - len(tails)
    sizes = [k_h, *(len(W) for _, W in tails)]
    edges = np.cumsum([0, *sizes]).tolist()  # 0, c_1, ..., c_J, V
    head_target, total = target.clone(), h.new_zeros(())
    for i, (P, W) in enumerate(tails):
        start, end = edges[i + 1], edges[i + 2]
        inside = (start <= target) & (target < end)
        head_target[inside] = k_h + i
        total = total + cross_entropy(linear(linear(h[inside], P), W), target[inside] - start, reduction="sum")
    total = total + cross_entropy(linear(h, head, bias), head_target, reduction="sum")
    return total / len(h)


# ---------------------------------------------------------------- the computation time, and the best clusters


def product_time(c: float, lam: float, k0: float = 50, B0: float = 2560) -> ProductTime:
    r"""The paper's model of the time that a product takes on a GPU, as a function g(k, B):

    .. math:: g(k, B) = \max(c + \lambda k_0 B_0,\; c + \lambda k B)

    It is flat for small products, which do not fill the device, and then grows with k B. The hidden size d and the
    projections do not enter it. ``c``: a constant time in seconds (not a cutoff); ``lam``: seconds per word and token;
    ``k0``: number of words up to which the time is flat at the batch ``B0``.

    >>> g = product_time(c=0.3e-3, lam=1e-9)
    >>> print(f"{g(10, 128):.6f} {g(50, 2560):.6f} {g(10_000, 2560):.6f}")
    0.000428 0.000428 0.025900
    """
    return lambda k, B: np.maximum(c + lam * k0 * B0, c + lam * k * B)


def cost(cutoffs: Sequence[int], p: npt.ArrayLike, B: float, g: ProductTime) -> float:
    r"""Time in seconds for one batch with these cutoffs; ``p`` (V,): probability of each word.

    .. math:: C = g(k_h + J, B) + \sum_i g(k_i, p_i B)

    The number of tokens in tail i varies from batch to batch. Its mean :math:`p_i B` stands for it, an approximation
    where g is not affine: the mean time is at least g of the mean, as g is convex.

    >>> p = np.array([8, 4, 2, 1, 1]) / 16
    >>> cost([2], p, 100, lambda k, B: k * B)  # 3 entries for 100 tokens, 3 words for a quarter of them
    375.0
    """
    S = np.cumsum([0, *np.asarray(p)])  # S[w]: probability of the w most frequent words
    head = g(cutoffs[0] + len(cutoffs), B)
    return float(head + sum(g(b - a, (S[b] - S[a]) * B) for a, b in pairwise([*cutoffs, len(S) - 1])))


def best_cutoffs(p: npt.ArrayLike, B: float, J: int, g: ProductTime) -> list[int]:
    r"""The J cutoffs of least cost, by dynamic programming in :math:`O(J V^2)` steps; J < V.

    Only cutoffs are tried, so every cluster holds consecutive ranks. Where g is affine, the best of all partitions is
    among these: exchanging a frequent word of a larger tail for a rarer word of a smaller tail, or a word of a tail for
    a rarer word of the head, changes no size and does not raise the sum of :math:`p_i k_i`. Where g is flat, rank order
    is a restriction that we choose. For p = (0.90, 0.04, 0.03, 0.02, 0.01), B = 100, J = 2 and g = max(10, k B) the
    best cutoffs cost 324 (clusters {0}, {1, 2}, {3, 4}), but {0}, {1, 4}, {2, 3} cost 320.

    Dynamic programming runs over the rank where a tail ends. Let :math:`T_i(b)` be the least cost of the head and the
    first i tails if they hold the words before rank b, and S(b) the probability of those words. Tail i begins at some
    rank a:

    .. math::
        T_0(0) = \infty, \quad T_0(b) = g(b + J, B), \qquad
        T_i(b) = \min_{0 \le a < b} \; T_{i-1}(a) + g\big(b - a, (S(b) - S(a)) B\big), \quad T_i(0) = \infty

    An empty head is not allowed, hence :math:`T_0(0)`. The least cost is :math:`T_J(V)`, and the minimising a of each
    step leads back from V to the cutoffs. (The paper names dynamic programming and prints no recurrence.)

    A thousand words that follow Zipf's law:

    >>> p = 1 / np.arange(1, 1001)
    >>> best_cutoffs(p / p.sum(), 2560, 4, product_time(c=0.0, lam=1e-9, k0=0))
    [17, 113, 308, 604]
    """
    S = np.cumsum([0, *np.asarray(p)])
    V = len(S) - 1
    T = np.array([np.inf, *(g(b + J, B) for b in range(1, V + 1))])  # a head holds at least one word
    begins = []  # one array per tail: where the tail begins if it ends before rank b
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
