"""Full softmaxes that one would take instead of an adaptive one: PyTorch's two, Cut Cross-Entropy, Liger, quack."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

#: input (N, d), weight (V, d), target (N,) -> mean negative log-likelihood
FullLoss = Callable[["Tensor", "Tensor", "Tensor"], "Tensor"]


def plain(x: Tensor, weight: Tensor, target: Tensor) -> Tensor:
    """Linear layer and cross entropy, as one writes it by hand."""
    from torch.nn import functional as F

    return F.cross_entropy(F.linear(x, weight), target)


def _fused() -> FullLoss:
    import torch
    from torch.nn import functional as F

    # chunks of its own choice; the arguments' names are those of torch 2.13
    options = torch.nn.LinearCrossEntropyOptions()
    return lambda x, weight, target: F.linear_cross_entropy(x, weight, target, options=options)


def _cut() -> FullLoss:
    from cut_cross_entropy import linear_cross_entropy  # type: ignore[import-not-found]

    return lambda x, weight, target: linear_cross_entropy(x, weight, target)


def _liger() -> FullLoss:
    from liger_kernel.transformers import fused_linear_cross_entropy  # type: ignore[import-not-found]

    loss = fused_linear_cross_entropy.LigerFusedLinearCrossEntropyLoss()
    return lambda x, weight, target: loss(weight, x, target)


def _quack() -> FullLoss:
    from quack.linear_cross_entropy import chunked_linear_cross_entropy  # type: ignore[import-not-found]

    return lambda x, weight, target: chunked_linear_cross_entropy(x, weight, target)


def full_softmaxes() -> dict[str, FullLoss | str]:
    """Each by name; for one that is not installed, the reason."""
    found: dict[str, FullLoss | str] = {"full: plain": plain}
    loads = {
        "full: torch, fused": _fused,
        "full: Cut Cross-Entropy": _cut,
        "full: Liger": _liger,
        "full: quack": _quack,
    }
    for name, load in loads.items():
        try:
            found[name] = load()
        except Exception as error:  # what another package raises on import is not ours to foresee
            found[name] = f"absent ({brief(error)})"
    return found


def brief(error: BaseException) -> str:
    """An error in one line."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:160]}" if text else type(error).__name__
