"""Things that people attach to a layer's children, for the tests of the layer and of the other softmaxes."""

import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm, weight_norm


class LowRank(nn.Module):
    """An adapter in a Linear's place: it has the weight, and a forward that adds to it."""

    def __init__(self, base):
        super().__init__()
        self.base = base
        base.weight.requires_grad_(False)
        random = torch.Generator().manual_seed(5)
        rows, columns = base.weight.shape
        self.down = nn.Parameter(torch.randn(2, columns, generator=random, dtype=torch.float64))
        self.up = nn.Parameter(torch.randn(rows, 2, generator=random, dtype=torch.float64))

    @property
    def weight(self):
        return self.base.weight

    @property
    def bias(self):
        return self.base.bias

    def forward(self, x):
        return self.base(x) + x @ self.down.t() @ self.up.t()


class Scaled(nn.Linear):
    """A subclass whose forward is not that of a Linear."""

    def forward(self, x):
        return super().forward(x) * 1.5


class Negated(nn.Module):
    """A parametrization."""

    def forward(self, weight):
        return -weight


class Marked(torch.Tensor):
    """A tensor subclass, as quantised weights are: its products are twice as large."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func is not nn.functional.linear:
            return super().__torch_function__(func, types, args, kwargs or {})
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {})) * 2


def as_scaled(child):
    made = Scaled(child.in_features, child.out_features, bias=child.bias is not None, dtype=torch.float64)
    made.load_state_dict(child.state_dict())
    return made


def with_bias(child):
    made = nn.Linear(child.in_features, child.out_features, dtype=torch.float64)
    with torch.no_grad():
        made.weight.copy_(child.weight)
        made.bias.copy_(torch.linspace(-1, 1, len(made.bias)))
    return made


def marked(child):
    child.weight = nn.Parameter(child.weight.detach().as_subclass(Marked), requires_grad=False)
    return child


def offloaded(child):
    """As accelerate does: forward is replaced on the instance, and the weight lies elsewhere between calls."""
    weight, whole = child.weight.detach(), child.forward

    def forward(x):
        child.weight = nn.Parameter(weight.clone())
        try:
            return whole(x)
        finally:
            child.weight = nn.Parameter(weight.to("meta"))

    child.weight = nn.Parameter(weight.to("meta"))
    child.forward = forward
    return child


def in_place(change):
    def made(child):
        change(child)
        return child

    return made


ATTACHED = {
    "forward hook": in_place(lambda m: m.register_forward_hook(lambda module, args, out: out * 1.3)),
    "forward pre-hook": in_place(lambda m: m.register_forward_pre_hook(lambda module, args: (args[0] * 0.7,))),
    "backward hook": in_place(lambda m: m.register_full_backward_hook(lambda module, a, b: (a[0] * 2,))),
    "backward pre-hook": in_place(lambda m: m.register_full_backward_pre_hook(lambda module, b: (b[0] * 3,))),
    "pruning": in_place(lambda m: prune.l1_unstructured(m, "weight", 0.5)),
    "pruned twice": in_place(
        lambda m: prune.ln_structured(prune.l1_unstructured(m, "weight", 0.3), "weight", 0.3, n=2, dim=0)
    ),
    "weight norm": in_place(parametrizations.weight_norm),
    "weight norm of old": in_place(weight_norm),
    "spectral norm": in_place(parametrizations.spectral_norm),
    "spectral norm of old": in_place(spectral_norm),
    "parametrization": in_place(lambda m: parametrize.register_parametrization(m, "weight", Negated())),
    "adapter": LowRank,
    "subclass": as_scaled,
    "bias": with_bias,
}
#: whole tails take what need not be a Linear
WHOLE = ["forward hook", "forward pre-hook", "backward hook", "backward pre-hook"]


def attach(layer, name, place):
    torch.manual_seed(11)
    parent, _, last = place.rpartition(".")
    setattr(layer.get_submodule(parent), last, ATTACHED[name](layer.get_submodule(place)))
    return layer


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
