"""The kernels against the eager layer and fp64, with times. On a GPU: ``python tests/gpu_agreement.py``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

if "--tiny" in sys.argv[1:]:
    os.environ["TRITON_INTERPRET"] = "1"

import torch
import triton
from torch import Tensor

from adasoft.gpu import ops
from adasoft.layer import AdaptiveSoftmax
from adasoft.ranks import target_ranks


class Agreement(NamedTuple):
    """One line of :func:`check`: relative errors against fp64, the worst of the losses' and of each gradient's."""

    dtype: torch.dtype
    split: str
    kernels: float
    eager: float
    milliseconds: tuple[float, float] | None
    """Forward and backward, kernels and the eager layer; None where there is no GPU to time."""


def check(
    device: str = "cuda",
    *,
    in_features: int = 1024,
    n_classes: int = 60_000,
    cutoffs: Sequence[int] = (4_000, 12_000, 30_000),
    widths: Sequence[int] = (256, 64, 24),
    tokens: int = 4096,
    dtypes: Sequence[torch.dtype] = (torch.bfloat16, torch.float16, torch.float32),
    ragged_nll: Callable[..., ops.RaggedLoss] = ops.ragged_nll,
) -> list[Agreement]:
    """Hold the kernels against the eager layer and fp64 on this device, for several splits of a batch; print a table.

    Raises AssertionError where the kernels' error exceeds twice the eager layer's plus the dtype's rounding.
    """
    random = torch.Generator().manual_seed(0)
    edges = [0, *cutoffs, n_classes]

    def words(low: int, high: int, n: int = tokens) -> Tensor:
        return torch.randint(low, high, (n,), generator=random)

    def several(share: list[float]) -> Tensor:
        """Tokens of every cluster, shuffled, these shares of them."""
        counts = [int(tokens * p) for p in share[1:]]
        parts = [words(a, b, n) for (a, b), n in zip(pairwise(edges), [tokens - sum(counts), *counts], strict=True)]
        return torch.cat(parts)[torch.randperm(tokens, generator=random)]

    falling = [0.5**i for i in range(len(edges) - 1)]
    splits = {
        "falling shares": several([p / sum(falling) for p in falling]),
        "short-list only": words(0, cutoffs[0]),
        "first tail only": words(edges[1], edges[2]),
        "last tail only": words(edges[-2], n_classes),
    }
    splits["some ignored"] = splits["falling shares"].masked_fill(torch.rand(tokens, generator=random) < 0.3, -100)
    out = []
    print(f"{'dtype':>10} {'split':>16} {'kernels':>9} {'eager':>9}   ms kernels / eager")
    for dtype in dtypes:
        layer = AdaptiveSoftmax(in_features, n_classes, list(cutoffs), widths=list(widths)).to(device, dtype)
        truth = AdaptiveSoftmax(in_features, n_classes, list(cutoffs), widths=list(widths)).to(device, torch.float64)
        truth.load_state_dict(layer.state_dict())
        x = torch.randn(tokens, in_features, generator=random).to(device, dtype)
        for name, ids in splits.items():
            target = ids.to(device)

            def kernels(model: Any, rows: Tensor, target: Tensor = target) -> tuple[Tensor, Tensor]:
                ranks = target_ranks(target, n_classes, -100, None)
                tails = [(p.weight, w.weight) for p, w in model.tail]
                ragged = ragged_nll(rows, ranks, model._edges, model.head.weight, None, tails)
                return -ragged.nll, ragged.total / ragged.counted

            def eager(model: Any, rows: Tensor, target: Tensor = target) -> tuple[Tensor, Tensor]:
                out = model(rows, target)
                return out.output, out.loss

            def step(route: Any, model: Any, rows: Tensor) -> list[Tensor]:
                rows = rows.detach().requires_grad_()
                output, loss = route(model, rows)
                return [output.detach(), *torch.autograd.grad(loss, [rows, *model.parameters()])]

            exact = step(eager, truth, x.double())
            kernel_error, eager_error = (_furthest(step(route, layer, x), exact) for route in (kernels, eager))
            times = None
            if x.is_cuda:
                timed = [partial(step, route, layer, x) for route in (kernels, eager)]
                times = _median_ms(timed[0]), _median_ms(timed[1])
            line = Agreement(dtype, name, kernel_error, eager_error, times)
            out.append(line)
            text = "" if times is None else f"   {times[0]:.3f} / {times[1]:.3f}"
            print(f"{str(dtype)[6:]:>10} {name:>16} {line.kernels:9.1e} {line.eager:9.1e}{text}")
            if not line.kernels <= 2 * line.eager + torch.finfo(dtype).eps:
                raise AssertionError(f"{name}, {dtype}: error {line.kernels:.1e}, the eager layer's {line.eager:.1e}")
    return out


def _furthest(values: list[Tensor], exact: list[Tensor]) -> float:
    """The largest relative error among them; for a gradient of exact zeros, infinite unless all are."""
    worst = 0.0
    for a, b in zip(values, exact, strict=True):
        if bool(b.any()):
            worst = max(worst, float((a.double() - b).norm() / b.norm()))
        elif bool(a.any()):
            worst = float("inf")
    return worst


def _median_ms(function: Any) -> float:
    return float(triton.testing.do_bench(function, return_mode="median"))


if __name__ == "__main__":
    if "--tiny" in sys.argv[1:]:  # on the CPU, in Triton's interpreter
        check("cpu", in_features=5, n_classes=30, cutoffs=(12,), widths=(3,), tokens=8, dtypes=(torch.float32,))
    else:
        check()
