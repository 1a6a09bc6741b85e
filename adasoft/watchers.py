"""Who else is at work on the operations: transforms, tracers, checkpointing, autocast.

The fast routes look at numbers on the host, write into buffers again and again, and make gradients in forward. That is
the same only where nobody differentiates, batches, records or keeps the single operations. Two questions decide.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.autograd import forward_ad

_functorch = torch._C._functorch
_MODES = torch._C._TorchDispatchModeKey


def watched() -> bool:
    """Whether only PyTorch's own operations will do, each with a result of its own.

    So it is within a transform of ``torch.func`` (grad, vjp, jvp, vmap, ...), at a level of forward-mode
    differentiation, under ``torch.jit.trace``, and while selective checkpointing keeps results or gives them back.
    """
    if torch._C._are_functorch_transforms_active():
        return True
    if torch.compiler.is_compiling():
        return False
    return forward_ad._current_level >= 0 or traced() or _results_are_kept()


def traced() -> bool:
    """Whether ``torch.jit.trace`` records: sizes are tensors then, and a look at one would fix it in the record."""
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]


def unreadable(values: Tensor) -> bool:
    """Whether the host cannot read these numbers, or reading them would bind a graph to them.

    So it is under ``torch.compile``, ``torch.export``, ``torch.jit.trace`` and ``make_fx``, for tensors without
    numbers (the meta device, fake tensors), and for those that ``vmap`` batches.
    """
    if torch.compiler.is_compiling() or values.is_meta or traced():
        return True
    if isinstance(values, FakeTensor) or (torch._C._len_torch_dispatch_stack() and _numbers_are_proxies()):
        return True
    return torch._C._are_functorch_transforms_active() and _batched(values)


def batched_gradient(gradient: Tensor | None) -> bool:
    """Whether this stands for several gradients at once: ``is_grads_batched=True``, or ``vmap`` around a backward."""
    if gradient is None:
        return False
    if torch._C._are_functorch_transforms_active():
        return True
    if torch.compiler.is_compiling():  # compiled autograd
        return False
    return bool(_functorch.is_legacy_batchedtensor(gradient))


def autocasts(x: Tensor) -> bool:
    """Whether autocast chooses the dtype of a product with ``x``. It leaves fp64 alone; a meta device has none."""
    return x.dtype != torch.float64 and not x.is_meta and torch.is_autocast_enabled(x.device.type)


def full_precision(device: str) -> contextlib.AbstractContextManager[Any]:
    """Autocast off. Entering the context costs as much as a small product, so only where it is on."""
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else contextlib.nullcontext()


def reshaped(values: Tensor, shape: Sequence[int]) -> Tensor:
    """``values.view(shape)``, but not a view to autograd: FSDP2 loses its hook when a view is changed in place."""
    if traced():
        return values.reshape(shape)  # the other would keep the sizes of the example
    return torch.ops.aten._unsafe_view(values, shape)  # type: ignore[no-any-return]


def _results_are_kept() -> bool:
    # the two modes of selective checkpointing, and classes made from them, have no public name
    return torch._C._len_torch_dispatch_stack() > 0 and any(
        base.__module__ == "torch.utils.checkpoint"
        for mode in torch.utils._python_dispatch._get_current_dispatch_mode_stack()
        for base in type(mode).__mro__
    )


def _numbers_are_proxies() -> bool:
    return any(torch._C._get_dispatch_mode(key) is not None for key in (_MODES.FAKE, _MODES.PROXY))


def _batched(values: Tensor) -> bool:
    while _functorch.is_functorch_wrapped_tensor(values):
        if _functorch.is_batchedtensor(values):
            return True
        values = _functorch.get_unwrapped(values)
    return False
