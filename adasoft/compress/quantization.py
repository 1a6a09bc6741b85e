"""Weights and hidden states of a few bits, rounded in training already, with gradients straight through the rounding.

MicroNet's winner rounds each output channel, a row r of a matrix, to the 2^b - 1 levels of

    round(w S_r) / S_r,    S_r = (2^(b-1) - 1) / max |w_r|

and trains on with it: forward and gradient see the rounded weights, the optimizer moves the exact ones. States are
rounded the same way, within a range that follows their largest value with a decay of 0.999.

Nothing is sped up here: the numbers stay floating-point, as in the authors' code. What is gained is counted by
:mod:`adasoft.compress.accounting`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..checks import BELOW_1, integer, number

#: Bits of an unrounded number: asked for, the weight is left as it is.
EXACT = 32


class Quantized(NamedTuple):
    """A rounded tensor: ``levels / scales``."""

    levels: Tensor
    """Whole numbers from -(2^(b-1) - 1) to 2^(b-1) - 1, in the dtype of the weight."""
    scales: Tensor
    """S, one for each row of a matrix (V, 1), or one for a vector (1,); 1 for a row of zeros."""

    @property
    def values(self) -> Tensor:
        """The rounded weight, at most 1 / (2 S) away from the exact one."""
        return self.levels / self.scales


@torch.no_grad()
def quantize(weight: Tensor, bits: int) -> Quantized:
    """A matrix rounded row by row, or a vector with one scale.

    >>> quantize(torch.tensor([[0.5, -1.0], [0.0, 4.0]]), 3)
    Quantized(levels=tensor([[ 2., -3.],
            [ 0.,  3.]]), scales=tensor([[3.0000],
            [0.7500]]))

    Raises ValueError for bits outside 2 to 31, a weight of no or more than two dimensions, or numbers not finite.
    """
    bits = integer("bits", bits, 2, EXACT - 1)
    _check("weight", weight)
    if weight.dim() not in (1, 2):
        raise ValueError(f"weight should be a vector or a matrix, got the shape {tuple(weight.shape)}")
    largest = weight.abs().amax(-1, keepdim=True) if weight.numel() else weight.new_ones((*weight.shape[:-1], 1))
    scales = torch.where(largest > 0, (2 ** (bits - 1) - 1) / largest, 1.0)
    return Quantized((weight * scales).round(), scales)


class _StraightThrough(torch.autograd.Function):
    """The rounded values forward; the gradient as if nothing had been rounded, or where ``passes`` says so."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, rounded: Tensor, passes: Tensor | None) -> Tensor:
        ctx.passes = passes
        return rounded.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        return gradient if ctx.passes is None else gradient * ctx.passes, None, None


def fake_quantize(weight: Tensor, bits: int) -> Tensor:
    """The weight rounded as by :func:`quantize`; its gradient is that of the rounded one. 32 bits leave it as it is.

    >>> w = torch.tensor([[0.5, -1.0]], requires_grad=True)
    >>> (fake_quantize(w, 3) * torch.tensor([2.0, 5.0])).sum().backward()
    >>> w.grad
    tensor([[2., 5.]])

    Raises ValueError for bits outside 2 to 32, and as :func:`quantize`.
    """
    if integer("bits", bits, 2, EXACT) == EXACT:
        _check("weight", weight)
        return weight
    result: Tensor = _StraightThrough.apply(weight, quantize(weight, bits).values, None)  # type: ignore[no-untyped-call]
    return result


@contextmanager
def quantized_weights(parameters: Iterable[nn.Parameter], bits: int) -> Iterator[None]:
    """Within it, the parameters hold their rounded values; afterwards their exact ones again.

    Forward and backward go inside, the optimizer's step outside: the gradients at the rounded weights then move the
    exact ones, which is :func:`fake_quantize` for every matrix and vector of a model, also inside an LSTM.

    Raises ValueError as :func:`fake_quantize`, before any parameter has changed.
    """
    chosen = list(parameters)
    with torch.no_grad():
        rounded = [fake_quantize(p.detach(), bits).clone() for p in chosen]
        exact = [p.detach().clone() for p in chosen]
        for p, value in zip(chosen, rounded, strict=True):
            p.copy_(value)
    try:
        yield
    finally:
        with torch.no_grad():
            for p, value in zip(chosen, exact, strict=True):
                p.copy_(value)


class RunningRange(nn.Module):
    """Rounds states to ``bits``, within the running mean of their largest absolute value; 32 leaves them as they are.

    In training the range follows each batch, ``r <- decay r + (1 - decay) max |x|``, and is divided by
    ``1 - decay^n`` after n batches, so that the first ones count (the authors leave this to the library Distiller).
    What lies outside the range becomes its end, and gets no gradient; inside it goes straight through.

    Raises ValueError for bits outside 2 to 32, a decay outside 0 to 1 or states that are not finite, RuntimeError if it
    evaluates before it has seen a batch in training.
    """

    biased: Tensor
    seen: Tensor

    def __init__(self, bits: int = 9, decay: float = 0.999) -> None:
        super().__init__()
        self.bits = integer("bits", bits, 2, EXACT)
        self.decay = number("decay", decay, 0, BELOW_1, "at least 0 and below 1")
        self.register_buffer("biased", torch.zeros((), dtype=torch.float64))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    @property
    def range(self) -> float:
        """r, the largest absolute value that states are rounded to; 0 before the first batch."""
        n = int(self.seen)
        return float(self.biased) / (1 - self.decay**n) if n else 0.0

    def forward(self, x: Tensor) -> Tensor:
        """x, of any shape, rounded."""
        _check("x", x)
        if self.bits == EXACT:
            return x
        if self.training and x.numel():
            self.biased.mul_(self.decay).add_((1 - self.decay) * x.detach().abs().max().double())
            self.seen.add_(1)
        if not int(self.seen):
            raise RuntimeError("range should come from a batch in training, got none yet")
        end = self.range
        if end == 0:
            return x * 0
        scale = (2 ** (self.bits - 1) - 1) / end
        inside = x.detach().abs() <= end
        rounded = (x.detach().clamp(-end, end) * scale).round() / scale
        result: Tensor = _StraightThrough.apply(x, rounded, inside)  # type: ignore[no-untyped-call]
        return result


def _check(name: str, value: Tensor) -> None:
    if not bool(torch.isfinite(value).all()):
        raise ValueError(f"{name} should hold finite numbers, got nan or inf")
