"""The theory of adversarial negatives in tables: a row for each x, a column for each label, nothing sampled.

Each function takes ``p_data`` (N, C), the probabilities p_D(y|x) of the labels, and ``p_noise`` (N, C), those of the
negatives; rows sum to 1, and all entries of ``p_noise`` are above 0. Scores are free numbers, one for each (x, y).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def expected_loss(scores: Tensor, p_data: Tensor, p_noise: Tensor, regulariser: float = 0.0) -> Tensor:
    """Mean over rows of the loss (eq. 6 of Bamler and Mandt), expected over positive and negative; a number.

    ``regulariser``: lambda, of the squares of the unbiased scores ``scores + log p_noise``.
    """
    unbiased = scores + p_noise.log()
    loss = -(p_data * F.logsigmoid(scores) + p_noise * F.logsigmoid(-scores))
    return (loss + regulariser * (p_data + p_noise) * unbiased.square()).sum(1).mean()


def optimal_scores(p_data: Tensor, p_noise: Tensor) -> Tensor:
    """The scores of least expected loss without a regulariser, ``log(p_data / p_noise)``: (N, C). Theorem 1.

    Whatever the noise, ``scores + log p_noise`` is then ``log p_data``, already normalised. Of uniform noise the scores
    themselves are the softmax's, up to a constant.

    >>> noise = torch.tensor([[0.5, 0.25, 0.25]])
    >>> optimal_scores(torch.tensor([[0.5, 0.4, 0.1]]), noise).exp().round(decimals=3)
    tensor([[1.0000, 1.6000, 0.4000]])
    """
    return p_data.log() - p_noise.log()


def curvature(p_data: Tensor, p_noise: Tensor) -> Tensor:
    """``alpha = p_noise p_data / (p_noise + p_data)``: (N, C), the diagonal of the Hessian at the optimum, times N.

    The Hessian has nothing off its diagonal. Of a likely label alpha is half of p_data where the noise imitates the
    data, and about 1 / C, so C p_data / 2 times smaller, where it is uniform: that is what adversarial noise gains.
    """
    return p_noise * p_data / (p_noise + p_data)


def inverse_snr(p_data: Tensor, p_noise: Tensor) -> Tensor:
    r"""Noise to signal of one row's gradient at the optimum; a number, least where noise and data agree. Theorem 2.

    The trace of the gradient's covariance times the inverse Hessian,

    .. math:: N \sum_x \Big(C - 1 + \tfrac12 \sum_y \frac{(p_D - p_n)^2}{p_D + p_n}\Big).

    The inner sum lies between 0 and 2: from the best noise to the worst the criterion changes by C / (C - 1) at most.
    It is invariant to preconditioning, so it says nothing of how flat the loss is along a label; `curvature` does.
    """
    unlike = ((p_data - p_noise).square() / (p_data + p_noise)).sum(1)
    return len(p_data) * (p_data.shape[1] - 1 + unlike / 2).sum()


def gradient_covariance(p_data: Tensor, p_noise: Tensor) -> Tensor:
    """Covariance of one row's gradient at the optimum, ``diag(alpha) - 2 alpha alpha^T``: (N, C, C)."""
    alpha = curvature(p_data, p_noise)
    return torch.diag_embed(alpha) - 2 * alpha.unsqueeze(2) * alpha.unsqueeze(1)
