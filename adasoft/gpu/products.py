"""Products of half precision whose sums a GPU hands over in fp32. PyTorch's own, without Triton."""

from __future__ import annotations

import functools

import torch
from torch import Tensor


def product(a: Tensor, b: Tensor, *, whole: bool) -> Tensor:
    """``a b`` in fp16 or bf16; the ``whole`` of a gradient, where the device can, in fp32 and so not yet rounded."""
    if whole and a.is_cuda and _products_in_fp32(a.device, a.dtype):
        return torch.mm(a, b, out_dtype=torch.float32)
    return torch.mm(a, b)


@functools.cache
def _products_in_fp32(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether this PyTorch gives products of this dtype in fp32: on CUDA, from 2.8 on."""
    ones = torch.ones(16, 16, device=device, dtype=dtype)
    try:
        return torch.mm(ones, ones, out_dtype=torch.float32).dtype == torch.float32
    except (TypeError, RuntimeError):
        return False
