"""`bench layer`: full softmax, PyTorch's layer, ours and the bare matrix products, forward + backward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from ..cost import count_operations
from ..text import Row, Say, table
from .common import out_of_memory, peak_mib, provenance
from .large import bench_large
from .sizes import SIZES, Cut, Sizes

if TYPE_CHECKING:
    import torch

    from ..workloads import Shape

_Measured = TypeVar("_Measured")


def _shape(n_classes: int, d: int, batch: int, cutoffs: tuple[int, ...]) -> Shape:
    from ..workloads import Shape

    return Shape(n_classes, d, batch, cutoffs, tuple(d // 4 ** (i + 1) for i in range(len(cutoffs))))


def bench_layer(
    *,
    device: str = "cpu",
    dtype: str = "float32",
    rounds: int = 21,
    full: bool = True,
    shapes: bool = True,
    large: bool | None = None,
    seconds: float = 300.0,
    sizes: Sizes = SIZES,
    say: Say = print,
    keep: Callable[[Row], None] | None = None,
) -> Row:
    """Full softmax, PyTorch's layer, ours and the bare matrix products: forward + backward, in turns.

    Then, with ``shapes``: ours against PyTorch's layer over those of ``sizes``, the median of the ratios of
    neighbouring runs; and batches that miss all tails, where ours writes gradients of zero that PyTorch leaves out.

    With ``large`` (by default on a GPU), first of all, and for ``seconds`` at most: ours with planned cutoffs against
    every full softmax installed, and a grid of large sizes (:mod:`adasoft.bench.large`). After each case, ``keep`` is
    given the record so far.
    """
    import torch

    kind = getattr(torch, dtype)
    out: Row = {"bench": "layer", **provenance(device), "dtype": dtype, "rows": []}
    keep = keep or (lambda record: None)
    if device.startswith("cuda") if large is None else large:
        bench_large(out, device=device, dtype=kind, rounds=rounds, seconds=seconds, sizes=sizes, say=say, keep=keep)
    rows = out["rows"]
    for n_classes, cutoffs in sizes.layers:
        rows += _unless_full(partial(_compare, n_classes, cutoffs, device, kind, rounds, full), say) or []
    say(
        table(
            rows,
            ["V", "cutoffs", "what", "ms", "q1", "q3", "runs", "of stock", "of bare", "GFLOP/s", "peak MiB"],
        )
    )
    keep(out)
    if shapes:
        say(f"\n{len(sizes.shapes)} shapes, ours over PyTorch's layer, median of interleaved pairs:")
        pairs = [
            _unless_full(partial(_pair, _shape(*case), device, kind, rounds, sizes.pair_seconds), say)
            for case in sizes.shapes
        ]
        out["shapes"] = [row for row in pairs if row]
        say(table(out["shapes"], ["V", "d", "B", "cutoffs", "ours ms", "stock ms", "pairs", "ratio", "q1", "q3"]))
        say(f"largest ratio {max((row['ratio'] for row in out['shapes']), default=float('nan')):.3f}")
        keep(out)
        say("\nbatches without a token in any tail (ours gives the tails gradients of zero, PyTorch none):")
        missed = [
            _unless_full(partial(_missed, _shape(*sizes.shapes[i]), device, kind, rounds, sizes.pair_seconds), say)
            for i in sizes.missed
        ]
        out["missed"] = [row for row in missed if row]
        say(table(out["missed"], ["V", "d", "B", "ours ms", "stock ms", "ratio", "zeros ms", "ours less zeros"]))
    if device == "cpu" and dtype == "float32":
        out["bf16"] = _bf16(sizes.layers, rounds, say)
    return out


def _unless_full(measure: Callable[[], _Measured], say: Say) -> _Measured | None:
    """What is measured, or None, said so, where the memory does not suffice."""
    import torch

    try:
        return measure()
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        say(f"left out, out of memory: {str(error).splitlines()[0]}")
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return None


def _bf16(layers: Sequence[Cut], rounds: int, say: Say) -> list[Row]:
    import torch

    if not torch.cpu._is_avx512_bf16_supported():
        say("\nbf16: this CPU has no bf16 arithmetic, so it is not timed")
        return []
    rows = [row for n, cutoffs in layers for row in _compare(n, cutoffs, "cpu", torch.bfloat16, rounds, False)]
    say("\nbf16:\n" + table(rows, ["V", "cutoffs", "what", "ms", "q1", "q3", "runs", "of stock", "of bare"]))
    return rows


def _compare(
    n_classes: int, cutoffs: tuple[int, ...], device: str, kind: torch.dtype, rounds: int, full: bool
) -> list[Row]:
    from ..timing import interleave
    from ..workloads import FullSoftmax, bare_products, layer_steps, ours, stock

    d, batch = 512, 2560
    shape = _shape(n_classes, d, batch, cutoffs)
    tokens = [share * batch for share in shape.tail_shares()]
    items = {
        "stock": layer_steps(shape, device, kind, make=stock),
        "ours": layer_steps(shape, device, kind, make=ours),
        "bare products": [bare_products(shape, tokens, device, kind)],
    }
    turns = dict.fromkeys(items, rounds)
    if full:
        items["full softmax"] = layer_steps(shape, device, kind, make=FullSoftmax, sets=1)
        turns["full softmax"] = 3 if device == "cpu" else rounds
    timings = interleave(items, device=device, rounds=turns)
    operations, of_full = count_operations(shape.products()), count_operations([(batch, n_classes, d)])
    return [
        {
            "V": n_classes,
            "cutoffs": list(cutoffs),
            "d": d,
            "B": batch,
            "what": name,
            "ms": timing.median * 1e3,
            "q1": timing.q1 * 1e3,
            "q3": timing.q3 * 1e3,
            "runs": timing.n,
            "of stock": timing.median / timings["stock"].median,
            "of bare": timing.median / timings["bare products"].median,
            "GFLOP/s": 1e-9 * (of_full if name == "full softmax" else operations) / timing.median,
            "peak MiB": peak_mib(items[name][0], device),
        }
        for name, timing in timings.items()
    ]


def _pair(shape: Shape, device: str, kind: torch.dtype, rounds: int, seconds: float) -> Row:
    from ..workloads import layer_steps, ours, stock

    timed = _ratio(
        {make.__name__: layer_steps(shape, device, kind, make=make) for make in (ours, stock)}, device, rounds, seconds
    )
    return {**_sizes(shape), **timed}


def _sizes(shape: Shape) -> Row:
    return {
        "V": shape.n_classes,
        "d": shape.in_features,
        "B": shape.batch,
        "cutoffs": list(shape.cutoffs),
        "widths": list(shape.widths),
    }


def _ratio(steps: Row, device: str, rounds: int, seconds: float) -> Row:
    """Median times of both, and median and quartiles of the ratios of neighbouring runs.

    Short steps are run more often, for ``seconds`` together.
    """
    import numpy as np

    from ..timing import interleave

    pairs: list[tuple[float, float]] = []
    for name in ("ours", "stock"):
        for step in steps[name]:
            step()
    least = max(5, rounds)
    while len(pairs) < least or (sum(map(sum, pairs)) < seconds and len(pairs) < 400):
        turn = len(pairs)
        names = ("ours", "stock") if turn % 2 else ("stock", "ours")
        items = {name: [steps[name][turn // 2 % len(steps[name])]] for name in names}
        once = interleave(items, device=device, rounds=1, warm_up=False)
        pairs.append((once["ours"].median, once["stock"].median))
    a, b = np.array(pairs).T
    q1, ratio, q3 = np.percentile(a / b, [25, 50, 75]).tolist()
    return {
        "ours ms": float(np.median(a)) * 1e3,
        "stock ms": float(np.median(b)) * 1e3,
        "pairs": len(pairs),
        "ratio": ratio,
        "q1": q1,
        "q3": q3,
    }


def _missed(shape: Shape, device: str, kind: torch.dtype, rounds: int, seconds: float) -> Row:
    import numpy as np

    from ..workloads import layer_steps, ours, stock

    shares = np.zeros(shape.n_classes)
    shares[: shape.cutoffs[0]] = 1 / shape.cutoffs[0]
    steps = {
        make.__name__: layer_steps(shape, device, kind, make=make, shares=shares, sets=1) for make in (ours, stock)
    }
    timed = _ratio(steps, device, rounds, seconds)
    edges = [*shape.cutoffs, shape.n_classes]
    sizes = [n for i, w in enumerate(shape.widths) for n in (shape.in_features * w, (edges[i + 1] - edges[i]) * w)]
    zeros = _zeros(sizes, device, kind, rounds)
    return {**_sizes(shape), **timed, "zeros ms": zeros, "ours less zeros": timed["ours ms"] - zeros}


def _zeros(sizes: list[int], device: str, kind: torch.dtype, rounds: int) -> float:
    import torch

    from ..timing import interleave

    def step() -> None:
        for n in sizes:
            torch.zeros(n, device=device, dtype=kind)

    return interleave({"zeros": [step]}, device=device, rounds=max(5, rounds))["zeros"].median * 1e3
