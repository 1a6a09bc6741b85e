"""What hangs on the children of a layer: hooks, parametrizations, adapters in their place.

A layer that multiplies by the weight of a child does not call it. That is the same only where the child is what the
constructor made, with nothing attached: everything else has to be called, as the stock layer does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from torch import Tensor, nn
from torch.nn.modules import module as _hooks
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm


def bare(child: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether a call of ``child`` does what the class ``kind`` says and nothing else: no hook, no other ``forward``."""
    own = child.__dict__
    return type(child) is kind and not (
        own["_forward_hooks"]
        or own["_forward_pre_hooks"]
        or own["_backward_hooks"]
        or own["_backward_pre_hooks"]
        or "forward" in own
    )


def plain(child: Any, kind: type[nn.Module] = nn.Linear, *, bias: bool = False) -> bool:
    """Whether ``child`` is a ``kind`` (Linear, Embedding) whose call is no more than the use of its weight.

    ``bias``: it may have one. Not plain: a subclass, a parametrization (weight norm, spectral norm), a hook, a pruning
    mask, a patched ``forward`` (offloading), an adapter, a weight that is more than a tensor (quantised, sharded).
    """
    if not bare(child, kind):
        return False
    # a replica of nn.DataParallel has plain tensors in place of parameters
    values = child.__dict__ if getattr(child, "_is_replica", False) else child._parameters
    return type(values.get("weight")) in (nn.Parameter, Tensor) and (bias or values.get("bias") is None)


def all_plain(head: Any, tails: Any) -> bool:
    """Whether no child of an adaptive softmax has to be called: ``head``, and ``tails`` of (projection, words)."""
    if _any_global_hook() or not plain(head, bias=True) or not bare(tails, nn.ModuleList):
        return False
    for tail in tails:
        if not bare(tail, nn.Sequential) or len(tail) != 2 or not (plain(tail[0]) and plain(tail[1])):
            return False
    return True


def _any_global_hook() -> bool:
    return bool(
        _hooks._global_forward_hooks
        or _hooks._global_forward_pre_hooks
        or _hooks._global_backward_hooks
        or _hooks._global_backward_pre_hooks
    )


def sharded(child: nn.Module) -> bool:
    """Whether a call of ``child`` gathers its parameters from other processes, so that all must make it."""
    return any(hasattr(p, "full_tensor") for p in child.parameters())


def nothing_from(parameters: Iterable[Tensor]) -> Tensor | float:
    """0, with a gradient of zeros for each parameter: what a child that was not called adds to a loss."""
    # the sum over no element: a product with 0 would give nan for weights that are not finite
    return sum(p.flatten()[:0].sum() for p in parameters if p.requires_grad)


def weight_of(child: Any, name: str) -> Tensor:
    """The weight that a call of ``child``, a Linear, would multiply by, for somebody else who needs it.

    Raises RuntimeError, naming the child, where what hangs on it keeps the weight from being known.
    """
    standard = isinstance(child, nn.Linear) and type(child).forward is nn.Linear.forward
    if not standard or "forward" in child.__dict__:
        raise RuntimeError(
            f"{name} should be a torch.nn.Linear, since its weight is read as words, got a {type(child).__name__}"
            f"{' with a forward of its own' if standard else ''}. Merge the adapter into it, or use an embedding that "
            "is not tied"
        )
    for hook in child._forward_pre_hooks.values():
        # Those of old make the weight anew in each call of the child: it is that of the last call until then.
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == "weight":
            return cast(Tensor, hook.apply_mask(child))
        if isinstance(hook, WeightNorm) and hook.name == "weight":
            return cast(Tensor, hook.compute_weight(child))
        if isinstance(hook, SpectralNorm) and hook.name == "weight":
            return cast(Tensor, hook.compute_weight(child, do_power_iteration=False))
    return child.weight
