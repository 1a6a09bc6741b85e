"""`bench layer --device cuda`: the layer over a grid of large sizes, and against every full softmax that is installed.

Each thing that is timed is tried once by itself first: what runs out of memory, fails or is not installed is recorded
as that, and the rest goes on. After ``seconds`` nothing is begun any more.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..cost import count_operations
from ..planning import plan
from ..records import load_cost
from ..text import Row, Say, table
from ..vocabulary import Vocabulary
from .common import peak_mib
from .rivals import FullLoss, brief, full_softmaxes
from .sizes import Sizes

if TYPE_CHECKING:
    import torch

    from ..cost import MeasuredCost
    from ..timing import Step, Timing
    from ..workloads import Shape

COLUMNS = ("V", "d", "N", "cutoffs", "what", "ms", "q1", "q3", "runs", "TFLOP/s", "of stock", "of bare", "peak MiB")

Keep = Callable[[list[Row]], None]


def _tried(items: Mapping[str, Callable[[], list[Step]]]) -> tuple[dict[str, list[Step]], dict[str, str]]:
    """Those that run, each made and run once; and why the others do not."""
    import torch

    runs: dict[str, list[Step]] = {}
    failed: dict[str, str] = {}
    for name, make in items.items():
        try:
            steps = make()
            for step in steps:
                step()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            runs[name] = steps
        except torch.OutOfMemoryError:
            failed[name] = "out of memory"
        except Exception as error:  # a kernel that does not compile must not end the benchmark
            failed[name] = f"failed ({brief(error)})"
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    return runs, failed


def _in_turns(runs: Mapping[str, list[Step]], device: str, rounds: int) -> tuple[dict[str, Timing], dict[str, str]]:
    """Times of things that take turns; of each by itself where all together, each with its weights and gradients,
    need more memory than there is. And what has none at all."""
    import torch

    from ..timing import interleave

    if not runs:
        return {}, {}
    try:
        return interleave(runs, device=device, rounds=rounds), {}
    except torch.OutOfMemoryError:
        timings: dict[str, Timing] = {}
        failed: dict[str, str] = {}
        for name, steps in runs.items():
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            try:
                timings |= interleave({name: steps}, device=device, rounds=rounds)
            except torch.OutOfMemoryError:
                failed[name] = "out of memory beside the others"
        return timings, failed


def full_steps(shape: Shape, loss: FullLoss, device: str, dtype: torch.dtype) -> list[Step]:
    """A training step of a full softmax: V x d weights, one input set, the same for every ``loss``. Returns it."""
    import torch

    from ..workloads import draw_targets, token_shares

    random = torch.Generator(device=device).manual_seed(0)
    sizes = ((shape.n_classes, 0.02), (shape.batch, 1.0))
    weight, x = (
        (torch.randn(n, shape.in_features, generator=random, device=device, dtype=dtype) * scale).requires_grad_()
        for n, scale in sizes
    )
    target = draw_targets(token_shares(shape.n_classes), shape.batch, 0).to(device)

    def step() -> Any:
        x.grad = weight.grad = None
        out = loss(x, weight, target)
        out.backward()  # type: ignore[no-untyped-call]
        return out.detach()

    return [step]


def _measured(
    shape: Shape, items: Mapping[str, Callable[[], list[Step]]], device: str, rounds: int, absent: Mapping[str, str]
) -> list[Row]:
    """One row for each thing: its time among the others, or why there is none."""
    import torch

    runs, failed = _tried(items)
    failed.update(absent)
    timings, alone = _in_turns(runs, device, rounds)
    failed.update(alone)
    full = count_operations([(shape.batch, shape.n_classes, shape.in_features)])
    adaptive = count_operations(shape.products())
    rows = []
    for name in (*items, *absent):
        row: Row = {
            "V": shape.n_classes,
            "d": shape.in_features,
            "N": shape.batch,
            "cutoffs": [] if name.startswith("full") else list(shape.cutoffs),
            "what": name,
        }
        if name in timings:
            timing = timings[name]
            row |= {"ms": timing.median * 1e3, "q1": timing.q1 * 1e3, "q3": timing.q3 * 1e3, "runs": timing.n}
            operations = full if name.startswith("full") else adaptive
            row["TFLOP/s"] = 1e-12 * operations / timing.median
            for other, key in (("stock", "of stock"), ("bare products", "of bare")):
                if other in timings:
                    row[key] = timing.median / timings[other].median
            try:
                if name.startswith("full"):
                    row["loss"] = float(runs[name][0]())  # they should agree
                row["peak MiB"] = peak_mib(runs[name][0], device)
            except torch.OutOfMemoryError:
                row["peak MiB"] = "out of memory"
        else:
            row["ms"] = failed[name]
        rows.append(row)
    return rows


def _ours(shape: Shape, device: str, dtype: torch.dtype) -> dict[str, Callable[[], list[Step]]]:
    from ..workloads import bare_products, captured_steps, layer_steps, ours

    tokens = [share * shape.batch for share in shape.tail_shares()]
    items: dict[str, Callable[[], list[Step]]] = {
        "ours": lambda: layer_steps(shape, device, dtype, make=ours),
        "bare products": lambda: [bare_products(shape, tokens, device, dtype)],
    }
    if device.startswith("cuda"):
        items["ours, CUDA graph"] = lambda: captured_steps(shape, device, dtype)
    return items


def bench_grid(
    sizes: Sizes, *, device: str, dtype: torch.dtype, rounds: int, until: float, say: Say, keep: Keep
) -> list[Row]:
    """Stock, ours (also replayed from a CUDA graph) and the bare products over the grid, at equal cutoffs.

    ``of bound``: ours over the larger of half of stock's time and 1.25 times the bare products'. ``until``: the value
    of ``time.perf_counter`` after which no case is begun; such cases are recorded as that.
    """
    from ..workloads import Shape, layer_steps, stock

    rows: list[Row] = []
    for d, n, (v, cutoffs) in itertools.product(sizes.widths, sizes.tokens, sizes.vocabularies):
        shape = Shape(v, d, n, cutoffs, tuple(d // 4 ** (i + 1) for i in range(len(cutoffs))))
        if time.perf_counter() > until:
            rows.append({"V": v, "d": d, "N": n, "cutoffs": list(cutoffs), "what": "ours", "ms": "not begun (time)"})
            continue

        def of_stock(shape: Shape = shape) -> list[Step]:
            return layer_steps(shape, device, dtype, make=stock)

        case = _measured(shape, {"stock": of_stock, **_ours(shape, device, dtype)}, device, rounds, {})
        for row in case:
            if row["what"].startswith("ours") and "of stock" in row and "of bare" in row:
                row["of bound"] = 1 / max(0.5 / row["of stock"], 1.25 / row["of bare"])
        say(table(case, [*COLUMNS, "of bound"]))
        rows += case
        keep(rows)
    return rows


def bench_against_full(
    sizes: Sizes, *, device: str, dtype: torch.dtype, rounds: int, until: float, say: Say, keep: Keep
) -> list[Row]:
    """Ours with cutoffs planned for this device, and every full softmax that is installed, on the same sizes.

    ``of best full``: time over the fastest full softmax's.
    """
    from ..workloads import Shape, layer_steps, stock

    v, floor, cases = sizes.against
    vocabulary = Vocabulary.synthetic(v, shift=2.7)
    cost = _cost(device, dtype, say)
    losses = full_softmaxes()
    absent = {name: why for name, why in losses.items() if isinstance(why, str)}
    rows: list[Row] = []
    for d, n in cases:
        if time.perf_counter() > until:
            rows.append({"V": v, "d": d, "N": n, "what": "all", "ms": "not begun (time)"})
            continue
        made = plan(vocabulary, d, n, cost=cost, min_head_share=floor)
        if not made.n_tails:
            rows.append({"V": v, "d": d, "N": n, "what": "ours", "ms": "the plan has no tails"})
            continue
        shape = Shape(v, d, n, tuple(made.cutoffs), tuple(made.widths))
        items = dict(_ours(shape, device, dtype))
        if list(made.widths) == [d // 4 ** (i + 1) for i in range(made.n_tails)]:
            items["stock"] = lambda shape=shape: layer_steps(shape, device, dtype, make=stock)  # type: ignore[misc]
        for name, loss in losses.items():
            if not isinstance(loss, str):
                items[name] = lambda shape=shape, loss=loss: full_steps(shape, loss, device, dtype)  # type: ignore[misc]
        case = _measured(shape, items, device, rounds, absent)
        full = [row["ms"] for row in case if row["what"].startswith("full") and isinstance(row["ms"], float)]
        for row in case:
            if full and isinstance(row["ms"], float):
                row["of best full"] = row["ms"] / min(full)
        say(f"planned with {cost.name}, head share {made.shares[0]:.3f}, widths {list(made.widths)}:")
        say(table(case, [*COLUMNS, "loss", "of best full"]))
        rows += case
        keep(rows)
    return rows


def _cost(device: str, dtype: torch.dtype, say: Say) -> MeasuredCost:
    """This device's cost model: the recorded one, or a short calibration."""
    from ..calibration import calibrate

    try:
        return load_cost(device.split(":")[0], dtype=str(dtype).removeprefix("torch."))
    except LookupError:
        say(f"no timings of this device with {dtype}: calibrating for 40 s")
        return calibrate(device, dtype, seconds=40, progress=False)


def bench_large(
    out: Row,
    *,
    device: str,
    dtype: torch.dtype,
    rounds: int,
    seconds: float,
    sizes: Sizes,
    say: Say,
    keep: Callable[[Row], None],
) -> None:
    """Both parts, into ``out["full"]`` and ``out["grid"]``; ``keep`` is given ``out`` after each case."""
    until = time.perf_counter() + seconds

    def part(name: str, run: Callable[..., list[Row]]) -> None:
        def kept(rows: list[Row]) -> None:
            out[name] = rows
            keep(out)

        out[name] = run(sizes, device=device, dtype=dtype, rounds=rounds, until=until, say=say, keep=kept)

    say(f"ours with planned cutoffs against full softmaxes, {dtype}:")
    part("full", bench_against_full)
    say(f"\nlarge sizes at equal cutoffs, {dtype}:")
    part("grid", bench_grid)
    worst = [row["of bound"] for row in out["grid"] if row["what"] == "ours" and "of bound" in row]
    if worst:
        say(f"ours over the larger of 0.5 stock and 1.25 bare products: at most {max(worst):.3f} in {len(worst)} cases")
    say("")
