r"""The kernel of KerBS: the inner product with a learnt spread, ``K = |h| |e| k(cos(h, e), theta)``.

The paper's kernel is

.. math:: k(c, \theta) = a\,(e^{-\theta c} - 1), \qquad a = \frac{-\theta}{2\,(e^{-\theta} + \theta - 1)}.

With this a, k has the integral 1/2 over c in [0, 1] for every theta, as c itself has. It rises with c; for theta -> 0
it is c. Below 0, theta makes it convex, sharper than the inner product around the sense's own direction; above 0,
concave.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..checks import choice
from ..watchers import unreadable, watched

#: How a sense's theta comes from its parameter, see :func:`theta_of`; ``"product"``: the inner product, no parameter.
KERNELS = ("free", "released", "product")
#: Where :func:`kernel` is defined: beyond, exp leaves fp32 (below), or grows for opposite directions (above).
LOWEST, HIGHEST = -55.0, 10.0

#: Below this |theta|, k is a series in theta: expm1(-theta c) / theta loses its derivative to rounding.
_SMALL = 1e-3
#: Below this |theta|, so is a: exp(-theta) + theta - 1 cancels.
_CANCELS = 0.5
#: Ranges of the parameter; the ends are never reached.
_RANGES = {"free": (-5.0, 5.0), "released": (-5.0, 4.0)}


def kernel(cosine: Tensor, theta: Tensor, *, below_zero: str = "kernel") -> Tensor:
    """k(c, theta), elementwise with broadcasting. Differentiable in both.

    ``below_zero="product"``: c itself where c <= 0, as the released code has it (there up to 1e-7). Both sides are 0 at
    c = 0, but the slopes are 1 below and -a theta above: a kink unless theta is 0.

    >>> kernel(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor(-1.0))
    tensor([-0.4400,  0.0000,  1.1961])

    Raises ValueError if theta is not from -55 to 10.
    """
    choice("below_zero", below_zero, ("kernel", "product"))
    if not unreadable(theta) and theta.numel():
        least, most = theta.detach().min().item(), theta.detach().max().item()
        if not (least >= LOWEST and most <= HIGHEST):
            wrong = most if least >= LOWEST else least
            raise ValueError(f"theta should be from {LOWEST:g} to {HIGHEST:g}, got {wrong:g}")
    return raised(cosine, theta, below_zero)


def raised(cosine: Tensor, theta: Tensor, below_zero: str) -> Tensor:
    """:func:`kernel` without a look at the values, which is what a layer with a bounded theta needs.

    Written with t = -theta as ``(expm1(t c) / t) / (2 (expm1(t) - t) / t^2)``: no difference of large numbers.
    """
    t = -theta
    small = t.abs() < _SMALL
    safe = torch.where(small, 1.0, t)
    area = _area(t)
    risen = torch.expm1(safe * cosine) * (1 / (safe * area))
    if theta.dim() == 1 and cosine.shape[-1] == len(theta) and not (watched() or unreadable(theta)):
        few = small.nonzero().squeeze(1)  # a theta for each column: most columns need no series
        if len(few):
            risen = risen.index_copy(-1, few, _series(cosine.index_select(-1, few), t[few]) / area[few])
    else:
        risen = torch.where(small, _series(cosine, torch.where(small, t, 0.0)) / area, risen)
    return risen if below_zero == "kernel" else torch.where(cosine <= 0, cosine, risen)


def _series(cosine: Tensor, t: Tensor) -> Tensor:
    """``expm1(t c) / t`` for small t."""
    u = t * cosine
    return cosine * (1 + u / 2 * (1 + u / 3 * (1 + u / 4 * (1 + u / 5))))


def _area(t: Tensor) -> Tensor:
    """``2 (expm1(t) - t) / t^2``: twice the area of expm1(t c) / t over c in [0, 1]; 1 at 0."""
    near = t.abs() < _CANCELS
    inside, outside = torch.where(near, t, 0.0), torch.where(near, 1.0, t)
    series = torch.ones_like(t)
    for k in range(14, 2, -1):  # 1 + t/3 (1 + t/4 (1 + ...))
        series = 1 + inside / k * series
    return torch.where(near, series, 2 * (torch.expm1(outside) - outside) / outside.square())


def theta_of(raw: Tensor, kind: str) -> Tensor:
    """theta of the parameter ``raw``, within bounds whatever the parameter is. At raw = 0 it starts.

    ===============  ==========================================  =====================  =======
    kind             theta                                       within                 starts
    ===============  ==========================================  =====================  =======
    ``"free"``       the parameter, squashed                     -5 to 5                0
    ``"released"``   -exp of the parameter, squashed to -5 to 4  -54.6 to -0.0067       -1
    ===============  ==========================================  =====================  =======

    *Free* is this package's choice for the paper's kernel: it starts as the inner product and can go both ways.
    *Released* is the authors' code, which knows only kernels sharper than the inner product. *Squashed*: unchanged
    but for the last unit at either end, which a tanh bends towards it; that form is ours.

    >>> theta_of(torch.tensor([0.0, 3.0, 100.0]), "free")
    tensor([0., 3., 5.])
    """
    low, high = _RANGES[choice("kind", kind, tuple(_RANGES))]
    inside = raw.clamp(low + 1, high - 1)
    bent = inside + torch.tanh(raw - inside)
    return bent if kind == "free" else -torch.exp(bent)
