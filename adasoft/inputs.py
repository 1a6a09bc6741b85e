"""What the modules ask of the tensors they are called with: hidden states, targets, ids. Otherwise RuntimeError."""

from __future__ import annotations

import torch
from torch import Tensor

from .watchers import autocasts, traced


def check_hidden(name: str, x: Tensor, in_features: int, weight: Tensor | None) -> None:
    """Hidden states ``x`` (..., d) in the dtype and on the device of the ``weight`` they are multiplied by.

    ``weight``: None where a child is called, which knows in which dtype and where it computes.
    """
    if traced():
        return  # sizes are tensors there, and a look at them would be part of the trace
    if x.dim() < 1 or x.shape[-1] != in_features:
        raise RuntimeError(f"{name} should have the shape (..., {in_features}), got {tuple(x.shape)}")
    if not x.is_floating_point():
        raise RuntimeError(f"{name} should hold floating-point numbers, got dtype {x.dtype}")
    if weight is None:
        return
    if x.device != weight.device:
        raise RuntimeError(f"{name} should be on the layer's device, {weight.device}, got {x.device}")
    if x.dtype != weight.dtype and not autocasts(x):
        raise RuntimeError(f"{name} should have the dtype of the layer's weights, {weight.dtype}, got {x.dtype}")


def check_ids(name: str, ids: Tensor) -> None:
    """Word ids of any integer dtype."""
    if ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool:
        raise RuntimeError(f"{name} should hold integer word ids, got dtype {ids.dtype}")


def check_target(target_: Tensor, input_: Tensor) -> None:
    """One word id for each hidden state."""
    check_ids("target_", target_)
    if not traced() and input_.shape[:-1] != target_.shape:
        raise RuntimeError(
            # the first sentence is the stock layer's
            "Input and target should have the same size in the batch dimension. Got input_ of shape "
            f"{tuple(input_.shape)} and target_ of shape {tuple(target_.shape)}, expected {tuple(input_.shape[:-1])}."
        )
    if target_.device != input_.device:
        raise RuntimeError(f"target_ should be on the device of input_, {input_.device}, got {target_.device}")
