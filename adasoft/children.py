"""What hangs on the children of a layer: hooks, parametrizations, adapters in their place.

A layer that multiplies by the weight of a child does not call it. That is the same only where the child is what the
constructor made, with nothing attached: everything else has to be called, as the stock layer does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.modules import module as _hooks
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from .watchers import traced


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


def plain_linears(children: Sequence[Any], sizes: Sequence[int]) -> bool:
    """Whether none of these children, Linears with or without bias, has to be called; ``sizes``: rows of the weights.

    Other sizes are for who calls the children to complain of. In a trace, where sizes are tensors, all are called.
    """
    if traced() or _any_global_hook() or not all(plain(child, bias=True) for child in children):
        return False
    return [len(child.weight) for child in children] == [*sizes]


def all_plain(head: Any, tails: Any, sizes: Sequence[int]) -> bool:
    """Whether no child of an adaptive softmax has to be called: ``head``, and ``tails`` of (projection, words).

    ``sizes``: rows of the weight of the head and of each tail's words. Others are for who calls them to complain of.
    """
    if traced() or _any_global_hook() or not plain(head, bias=True) or not bare(tails, nn.ModuleList):
        return False
    rows = [len(head.weight)]
    for tail in tails._modules.values():  # as indexing and iterating are, but in a fraction of the time
        pair = [*tail._modules.values()]
        if not bare(tail, nn.Sequential) or len(pair) != 2 or not (plain(pair[0]) and plain(pair[1])):
            return False
        rows.append(len(pair[1].weight))
    return rows == sizes


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


def of_width(logits: Tensor, size: int, name: str) -> Tensor:
    """The logits that a call of the child ``name`` gave. RuntimeError if they are not ``size`` for each row."""
    if not traced() and logits.shape[-1] != size:
        shape = tuple(logits.shape)
        raise RuntimeError(f"{name} should give {size} logits for each row, got an output of shape {shape}")
    return logits


def nothing_from(parameters: Iterable[Tensor]) -> Tensor | float:
    """0, with a gradient of zeros for each parameter: what a child that was not called adds to a loss."""
    # the sum over no element: a product with 0 would give nan for weights that are not finite
    return sum(p.flatten()[:0].sum() for p in parameters if p.requires_grad)


def weight_of(child: Any, name: str, otherwise: str = "use an embedding that is not tied") -> Tensor:
    """The weight that a call of ``child``, a Linear, would multiply by, for somebody else who needs it.

    Raises RuntimeError, naming the child and what to do ``otherwise``, where what hangs on it keeps the weight from
    being known.
    """
    standard = isinstance(child, nn.Linear) and type(child).forward is nn.Linear.forward
    if not standard or "forward" in child.__dict__:
        raise RuntimeError(
            f"{name} should be a torch.nn.Linear, since its weight is read as words, got a {type(child).__name__}"
            f"{' with a forward of its own' if standard else ''}. Merge the adapter into it, or {otherwise}"
        )
    weight: Tensor = value_now(child)
    return weight


def value_now(module: Any, name: str = "weight") -> Any:
    """This parameter of ``module`` as its next call would have it.

    Older masks and norms compute it in each call; until then the attribute is that of the last call.
    """
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name:
            return hook.apply_mask(module)  # type: ignore[no-untyped-call]
        if isinstance(hook, WeightNorm) and hook.name == name:
            return hook.compute_weight(module)
        if isinstance(hook, SpectralNorm) and hook.name == name:
            return hook.compute_weight(module, do_power_iteration=False)
    return getattr(module, name)


def weights_of(child: Any, name: str) -> tuple[Tensor, Tensor | None]:
    """Weight and bias of a trained Linear, for somebody who copies them and never calls it.

    Raises RuntimeError, naming the child, where they are not all that a call of it does.
    """
    otherwise = "pass the weight (V, d) that its calls amount to"
    weight, bias = weight_of(child, name, otherwise), value_now(child, "bias")
    if type(weight) not in (nn.Parameter, Tensor):
        raise RuntimeError(f"{name} should have a weight of plain numbers, got a {type(weight).__name__}")
    ours = (BasePruningMethod, WeightNorm, SpectralNorm)
    hooks = [*child._forward_hooks.values(), *child._forward_pre_hooks.values()]
    for hook in hooks:
        if not isinstance(hook, ours):
            raise RuntimeError(
                f"{name} should have no hook on its calls, since its weight is copied and it is never called, got "
                f"{hook!r}. Remove the hook, or {otherwise}"
            )
    return weight, bias
