"""Honest timing of products, layer parts and layers on this device, and the machine records made of it.

Honest means: the parts are the very functions that the layer runs; every item is warmed up; all items take turns,
so that a busy spell of the machine hits all alike; each item rotates among input sets, so that no cache holds its
weights from the turn before; GPUs are timed by events; median and quartiles are kept.
"""

from __future__ import annotations

import datetime
import itertools
import json
import math
import os
import platform
import random
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from . import __version__, decoding
from .checks import number
from .cost import (
    RECORD_FORMAT,
    RECORD_VERSION,
    TERMS,
    MeasuredCost,
    cache_dir,
    checksum,
    cpu_name,
    product_terms,
    projection_terms,
    read_record,
    rows_terms,
    write_whole,
)
from .files import short, writable_folder
from .layer import AdaptiveSoftmax
from .loss import Group, grouped_nll, route, target_ranks
from .planning import default_widths

Step = Callable[[], Any]
#: Called with the part done (0 to 1) and what is being done.
Progress = Callable[[float, str], None]


class Timing(NamedTuple):
    """Seconds: median and quartiles of ``n`` runs."""

    median: float
    q1: float
    q3: float
    n: int


def interleave(
    items: Mapping[str, Sequence[Step]],
    *,
    device: str | torch.device = "cpu",
    rounds: int | Mapping[str, int] = 7,
    seconds: float = math.inf,
    warm_up: bool = True,
    progress: Progress | None = None,
    heard: Callable[[str, float], None] | None = None,
) -> dict[str, Timing]:
    """Time several things that take turns.

    ``items`` maps a name to one callable per input set; round r runs set r modulo their number. Every set runs once
    before any is timed (``warm_up``). ``rounds``: how many, or how many for each name. Nothing is begun after
    ``seconds`` (warm-up included), but each item runs once at least. ``heard`` is told of every run as it ends: name
    and seconds. An exception in ``progress``, which is called before every run, stops it all.
    """
    started = time.perf_counter()
    turns = dict.fromkeys(items, rounds) if isinstance(rounds, int) else dict(rounds)
    warming = {name: sets[: turns[name]] for name, sets in items.items()} if warm_up else {}
    total, done = sum(turns.values()) + sum(map(len, warming.values())), 0

    def tell(text: str) -> None:
        if progress:
            progress(min(1.0, max(done / total, (time.perf_counter() - started) / seconds)), text)

    for name, sets in warming.items():
        tell(f"warm-up: {name}")
        for step in sets:
            step()
            done += 1
    found: dict[str, list[float]] = {name: [] for name in items}
    clock = _EventClock(torch.device(device)) if torch.device(device).type == "cuda" else _time_on_host
    for turn in range(max(turns.values())):
        for name, sets in items.items():
            if turn >= turns[name]:
                continue
            elapsed = time.perf_counter() - started
            if turn and elapsed > seconds:
                break
            tell(name)
            found[name].append(clock(sets[turn % len(sets)]))
            done += 1
            if heard:
                heard(name, found[name][-1])
    out = {}
    for name, times in found.items():
        q1, median, q3 = np.percentile(times, [25, 50, 75]).tolist()
        out[name] = Timing(median, q1, q3, len(times))
    return out


def _time_on_host(step: Step) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


class _EventClock:
    """Seconds of a step on the GPU, between two events on the stream of that GPU, be it the current one or not."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.begin, self.end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]

    def __call__(self, step: Step) -> float:
        torch.cuda.synchronize(self.device)
        stream = torch.cuda.current_stream(self.device)
        self.begin.record(stream)
        step()
        self.end.record(stream)
        torch.cuda.synchronize(self.device)
        return float(self.begin.elapsed_time(self.end)) * 1e-3


def peak_bytes(step: Step, device: str | torch.device = "cpu") -> int:
    """Most bytes of tensors that a step holds at once beyond what it began with; gradients of an earlier run, which it
    frees first, do not count as there before (on a GPU they do). After one run to warm up."""
    device = torch.device(device)
    step()
    if device.type == "cuda":  # pragma: no cover - needs a GPU
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)  # the gradients of the run before among it
        torch.cuda.reset_peak_memory_stats(device)
        step()
        torch.cuda.synchronize(device)
        return int(torch.cuda.max_memory_allocated(device) - before)
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        step()
    found = seen.profiler.kineto_results.events()  # type: ignore[union-attr]
    changes = sorted((e.start_ns(), e.nbytes()) for e in found if e.name() == "[memory]")
    most = lowest = held = 0
    for _, change in changes:
        held += change
        lowest = min(lowest, held)
        most = max(most, held - lowest)
    return most


# ---------------------------------------------------------------------- things to time


class _Pool:
    """Random numbers that all items take their inputs and weights from, at drawn places; memory stays bounded."""

    def __init__(self, elements: int, device: torch.device, dtype: torch.dtype, seed: int = 0) -> None:
        generator = torch.Generator(device="cpu").manual_seed(seed)
        self.numbers = (torch.randn(elements, generator=generator) * 0.05).to(device=device, dtype=dtype)
        self.draw = random.Random(seed)
        self.device = device

    def take(self, rows: int, columns: int) -> Tensor:
        # aligned as an allocator would: kernels are chosen by it
        start = self.draw.randrange(max(1, len(self.numbers) - rows * columns)) // 256 * 256
        return self.numbers[start : start + rows * columns].view(rows, columns).detach().requires_grad_()

    def targets(self, n: int, k: int) -> Tensor:
        return torch.tensor([self.draw.randrange(k) for _ in range(n)], device=self.device)


def product_step(pool: _Pool, n: int, k: int, d: int, objective: str, *, head: bool | None = None) -> Step:
    """What the head or a tail does with n rows, k words, d features.

    When decoding, the head normalises and finds the ten best; a tail, for a row that opens it, nearly always finds by
    the largest logit that the row has nothing there. ``head``: which of the two; by default the head if d >= 256.
    """
    x, weight = pool.take(n, d), pool.take(k, d)
    if objective == "decode":
        with torch.no_grad():
            x, weight = x.detach(), weight.detach()

        def decode_head() -> None:
            decoding.largest(decoding.head_log_prob(x, (weight, None)), min(10, k))

        def decode_tail() -> None:
            for _, logits in decoding.chunked_logits(x, weight):
                maxima = decoding.block_maxima(logits)
                if maxima is not None:
                    maxima.amax(1)

        return decode_head if (d >= 256 if head is None else head) else decode_tail
    target = pool.targets(n, k)

    def train() -> None:
        x.grad = weight.grad = None
        grouped_nll([Group(x, weight, None, target)], 1.0)[1].backward()  # type: ignore[no-untyped-call]

    return train


def product_items(
    sizes: Sequence[tuple[int, int, int]],
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    *,
    objective: str = "train",
    sets: int = 2,
) -> dict[tuple[int, int, int], list[Step]]:
    """Steps of (n x d) by (d x k) products, one per input set, for each (n, k, d) of ``sizes``.

    ``objective``: ``"train"`` (with softmax and gradients) and ``"decode"`` as the layer does it, or ``"product"``: the
    product alone, into a buffer that is there.
    """
    largest = max(max(n, k) * d for n, k, d in sizes)
    pool = _Pool(max(2**24, 2 * largest), torch.device(device), dtype)

    def make(n: int, k: int, d: int) -> Step:
        if objective != "product":
            return product_step(pool, n, k, d, objective)
        x, weight = pool.take(n, d).detach(), pool.take(k, d).detach()
        out = torch.empty(n, k, device=device, dtype=dtype)
        return lambda: torch.mm(x, weight.t(), out=out)

    return {size: [make(*size) for _ in range(sets)] for size in sizes}


def projection_step(pool: _Pool, n: int, d: int, width: int, objective: str) -> Step:
    """A tail's projection of n rows from d to ``width``: rows picked out of a batch, their gradients put back."""
    batch = 2 * n
    x, weight, upstream = (v.detach() for v in (pool.take(batch, d), pool.take(width, d), pool.take(n, width)))
    rows = torch.tensor(pool.draw.sample(range(batch), n), device=pool.device)
    dx = torch.zeros_like(x)

    @torch.no_grad()
    def train() -> None:
        picked = x.index_select(0, rows)
        torch.mm(picked, weight.t())
        torch.mm(upstream.t(), picked)
        dx.index_add_(0, rows, torch.mm(upstream, weight))

    def decode() -> None:
        with torch.no_grad():
            F.linear(x[:n], weight)

    return train if objective == "train" else decode


def rows_step(pool: _Pool, n: int, d: int, objective: str) -> Step:
    """Sorting n targets by cluster; when decoding, picking rows."""
    x = pool.take(n, d)
    ids = pool.targets(n, 1 << 20)
    edges = torch.tensor([0, 1000, 1 << 20, (1 << 20) + 1], device=pool.device)

    def train() -> None:
        route(target_ranks(ids, 1 << 20, -100, None), edges)

    def decode() -> None:
        with torch.no_grad():
            x[(ids >= 0).nonzero().squeeze(1)]

    return train if objective == "train" else decode


class Shape(NamedTuple):
    """A layer and a batch to time: V, d, B, cutoffs and widths."""

    n_classes: int
    in_features: int
    batch: int
    cutoffs: tuple[int, ...]
    widths: tuple[int, ...]

    def tail_shares(self) -> list[float]:
        """Shares of the tails under :func:`token_shares`."""
        mass = np.concatenate([[0.0], token_shares(self.n_classes).cumsum()])
        return np.diff(mass[[*self.cutoffs, self.n_classes]]).tolist()  # type: ignore[no-any-return]


def token_shares(n_classes: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Zipf-Mandelbrot shares (exponent 1, shift 2.7) that tokens of timed layers are drawn from."""
    weights = 1.0 / (np.arange(1, n_classes + 1) + 2.7)
    return weights / weights.sum()  # type: ignore[no-any-return]


def draw_targets(shares: np.ndarray[Any, Any], batch: int, seed: int) -> Tensor:
    """(B,) ranks such that each cluster gets its share of the batch, as nearly as whole tokens allow.

    Drawn by strata: one token in each B-th of the mass. A timing then tells of the layer and not of the luck of one
    batch; the spread of a real batch is that of a binomial draw.
    """
    rng = np.random.default_rng(seed)
    u = (np.arange(batch) + rng.random(batch)) / batch
    ranks = np.searchsorted(shares.cumsum(), u * (1 - 1e-12), side="right").clip(max=len(shares) - 1)
    return torch.from_numpy(rng.permutation(ranks))


def layer_steps(
    shape: Shape,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    *,
    sets: int = 2,
    make: Callable[[Shape], torch.nn.Module] | None = None,
    shares: np.ndarray[Any, Any] | None = None,
) -> list[Step]:
    """Training steps (forward and backward) of a layer, one per input set. Gradients are freed before each.

    ``make`` builds the layer (ours by default); called with (input, target) it should return ``.loss``. ``shares`` (V,)
    of the words, by rank; :func:`token_shares` by default.
    """
    with torch.device(device):  # a GPU draws millions of weights in no time
        layer = ours(shape) if make is None else make(shape)
    layer = layer.to(device=device, dtype=dtype)
    shares = token_shares(shape.n_classes) if shares is None else shares
    steps: list[Step] = []
    for seed in range(sets):
        x = torch.randn(shape.batch, shape.in_features, dtype=dtype).to(device).requires_grad_()
        target = draw_targets(shares, shape.batch, seed).to(device)

        def step(x: Tensor = x, target: Tensor = target) -> None:
            x.grad = None
            layer.zero_grad(set_to_none=True)
            layer(x, target).loss.backward()

        steps.append(step)
    return steps


def ours(shape: Shape) -> torch.nn.Module:
    """Our layer of this shape."""
    return AdaptiveSoftmax(shape.in_features, shape.n_classes, shape.cutoffs, widths=shape.widths)


def stock(shape: Shape) -> torch.nn.Module:
    """PyTorch's layer of this shape; its widths are d // 4**i."""
    return torch.nn.AdaptiveLogSoftmaxWithLoss(shape.in_features, shape.n_classes, list(shape.cutoffs))


class FullSoftmax(torch.nn.Module):
    """Linear layer and cross entropy over all words, as one writes it by hand."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(shape.in_features, shape.n_classes, bias=False)

    def forward(self, x: Tensor, target: Tensor) -> Any:
        """Returns an object with ``.loss``."""
        return _Loss(F.cross_entropy(self.linear(x), target))


class _Loss(NamedTuple):
    loss: Tensor


def bare_products(shape: Shape, rows: Sequence[float], device: str | torch.device, dtype: torch.dtype) -> Step:
    """The matrix products that a training step cannot avoid, into buffers that are there: three for the head, and for
    each tail three for its projection and three for its output. ``rows``: tokens of each tail."""
    edges, d = [*shape.cutoffs, shape.n_classes], shape.in_features
    sizes = [(shape.batch, edges[0] + len(shape.cutoffs), d)]
    for i, (n, width) in enumerate(zip(rows, shape.widths, strict=True)):
        sizes += [(round(n), width, d), (round(n), edges[i + 1] - edges[i], width)]
    made = []
    for n, k, w in sizes:
        x, weight, y = (torch.randn(size, dtype=dtype).to(device) for size in ((n, w), (k, w), (n, k)))
        made.append((x, weight, y, torch.empty_like(y), torch.empty_like(x), torch.empty_like(weight)))

    def step() -> None:
        for x, weight, y, out, dx, dweight in made:
            torch.mm(x, weight.t(), out=out)
            torch.mm(y, weight, out=dx)
            torch.mm(y.t(), x, out=dweight)

    return step


# ---------------------------------------------------------------------- which shapes


def _log_uniform(draw: random.Random, low: float, high: float) -> int:
    return round(math.exp(draw.uniform(math.log(low), math.log(high))))


def _products(draw: random.Random, number: int, limit: float) -> list[tuple[int, int, int]]:
    out: list[tuple[int, int, int]] = []
    while len(out) < number:
        if len(out) % 2:  # like a head: many rows, full width
            n, k, d = _log_uniform(draw, 200, 4096), _log_uniform(draw, 200, 20_000), draw.choice([128, 256, 512, 1024])
        else:  # like a tail: few rows, many words, narrow
            n, k, d = (
                _log_uniform(draw, 4, 1500),
                _log_uniform(draw, 1000, 280_000),
                draw.choice([8, 16, 32, 64, 128, 256]),
            )
        if limit / 300 < n * k * d < limit and n * k < limit / 30 and k * d < 2**24:
            out.append((n, k, d))
    return out


def draw_layers(number: int, seed: int, *, operations: float = math.inf, parameters: float = math.inf) -> list[Shape]:
    """Layers drawn from V 10k to 300k, d 128 to 1024, B 256 to 4096, J 1 to 4, head shares from about 0.5 up.

    Cutoffs are log-uniform; ``operations`` (of one training step) and ``parameters`` bound what is drawn.
    """
    draw = random.Random(seed)
    out: list[Shape] = []
    while len(out) < number:
        v, d = _log_uniform(draw, 10_000, 300_000), draw.choice([128, 256, 512, 1024])
        b, j = _log_uniform(draw, 256, 4096), 1 + len(out) % 4
        cutoffs = sorted(_log_uniform(draw, 300, 0.8 * v) for _ in range(j))
        if cutoffs[0] > 0.2 * v or any(q < 1.3 * p for p, q in itertools.pairwise(cutoffs)):
            continue
        shape = Shape(v, d, b, tuple(cutoffs), tuple(default_widths(d, j)))
        cost = _Counter().layer(v, shape.cutoffs, shape.widths, shape.tail_shares(), d, b)
        if cost.operations <= operations and cost.parameters <= parameters:
            out.append(shape)
    return out


class _Counter(MeasuredCost):
    """Counts operations and parameters only."""

    def __init__(self) -> None:
        zeros = {kind: [0.0] * len(terms) for kind, terms in TERMS.items()}
        super().__init__({"train": zeros, "decode": zeros}, {})


# ---------------------------------------------------------------------- calibration


def calibrate(
    device: str | torch.device = "cpu",
    dtype: str | torch.dtype = "float32",
    *,
    seconds: float = 60.0,
    progress: bool | Progress = True,
    save: bool | str | os.PathLike[str] = True,
) -> MeasuredCost:
    """Time this device and fit a cost model to it.

    Args:
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"`` ...
        dtype: of weights and inputs, ``"float32"``, ``"bfloat16"``, ``"float16"`` or ``"float64"``.
        seconds: about how long it may take, above 0; with less time smaller shapes are timed, and fewer times. 60 is
            meant for 2 cores. Interrupting it leaves no record behind.
        progress: show a bar; or a function called with the part done and a text.
        save: write the record to the cache (``ADASOFT_CACHE``), or to the given file; False: do not.

    Returns the model; its ``record`` holds the timings, the provenance and the errors, both on the parts it
    was fitted to and on whole layers that it was not fitted to; its ``path`` is the file, None if there is none.

    Raises RuntimeError if the device is not there, ValueError for another dtype, OSError, before anything is timed, if
    the given file cannot be written. A cache that cannot be written is a RuntimeWarning: the model is returned anyway.
    """
    device, dtype = _check_device(device), _check_dtype(dtype)
    seconds = number("seconds", seconds, math.ulp(0.0), 86_400, "a number of seconds above 0 and at most 86,400")
    path = _checked_target(save)
    show, close = _progress(progress)
    started = time.perf_counter()
    gpu = device.type == "cuda"
    draw = random.Random(1)
    itemsize = torch.empty(0, dtype=dtype).element_size()
    # A step of the largest product or layer should take some 60 ms: a GPU can take 100 times the work. Everything runs
    # at least three times, so less time means smaller shapes.
    scale = (100.0 if gpu else 1.0) * min(1.0, max(seconds, 3.0) / 60.0)

    def tell(text: str) -> None:
        show(min(1.0, (time.perf_counter() - started) / seconds), text)

    tell("making random inputs")
    pool = _Pool(2**28 if gpu else 2**26, device, dtype)
    samples: dict[str, tuple[str, str, Any]] = {}
    items: dict[str, list[Step]] = {}

    def add(kind: str, objective: str, shape: tuple[int, ...], make: Callable[[], Step]) -> None:
        name = f"{objective} {kind} {' x '.join(f'{side:,}' for side in shape)}"
        tell(f"making: {name}")
        samples[name], items[name] = (objective, kind, shape), [make() for _ in range(2)]

    # What few drawn shapes are: heads that outgrow the caches, and weights beyond 32 MiB.
    heads = [(1500, 4000, 1024), (2000, 10_000, 256), (1200, 8000, 512)]
    beyond = [(60, 40_000, 256), (20, 100_000, 128), (120, 14_000, 1024), (30, 200_000, 64)]
    if seconds < 30:
        heads, beyond = heads[1:2], beyond[:1]
    given, drawn = [(1, 64, 16), (16, 256, 64), *heads, *beyond], _products(draw, 32, 1.5e9 * scale)
    for n, k, d in given + drawn:
        add("product", "train", (n, k, d), partial(product_step, pool, n, k, d, "train"))
    for n, k, d in given:
        add("product", "decode", (n, k, d), partial(product_step, pool, n, k, d, "decode"))
    for place, (n, k, d) in enumerate(drawn):
        if place // 2 % 2 == 0:  # half of them, tails and heads in turns
            head = bool(place % 2)
            add("product", "decode", (n, k, d), partial(product_step, pool, n, k, d, "decode", head=head))
    for _ in range(8):
        n, d, w = (
            _log_uniform(draw, 4, 2000),
            draw.choice([128, 256, 512, 1024]),
            draw.choice([8, 16, 32, 64, 128, 256]),
        )
        for objective in ("train", "decode"):
            add("projection", objective, (n, d, w), partial(projection_step, pool, n, d, w, objective))
    for n, d in ((64, 256), (512, 128), (1024, 1024), (4096, 512), (2048, 256)):
        for objective in ("train", "decode"):
            add("rows", objective, (n, d), partial(rows_step, pool, n, d, objective))
    layers = draw_layers(20, 7, operations=3e10 * scale, parameters=1.2e7)
    for place, shape in enumerate(layers):
        kind = "layer" if place // 4 % 2 else "check"  # half of the layers are kept out of the fit
        name = f"layer {place + 1} of {len(layers)}, {shape.n_classes:,} words"
        tell(f"making: {name}")
        samples[name], items[name] = ("train", kind, shape), layer_steps(shape, device, dtype)

    made = time.perf_counter() - started
    left = max(1.0, seconds - made - 1.5)

    def timed(part: float, text: str) -> None:
        show(min(1.0, max(made / seconds, (made + part * left) / (made + left + 1.5))), text)  # never back

    timings = interleave(items, device=device, rounds=60, seconds=left, progress=timed)
    show(1.0, "fitting")
    coefficients, flat = {}, {}
    for objective in ("train", "decode"):
        chosen = [(kind, shape, timings[name].median) for name, (o, kind, shape) in samples.items() if o == objective]
        coefficients[objective], flat[objective] = _fit([s for s in chosen if s[0] != "check"], itemsize)
    model = MeasuredCost(coefficients, flat, itemsize=itemsize)
    rows = []
    for name, (objective, kind, shape) in samples.items():
        predicted = predict(model, kind, shape, objective)
        rows.append(
            {"kind": kind, "objective": objective, "shape": shape, "predicted": predicted, **timings[name]._asdict()}
        )
    record = {
        "format": RECORD_FORMAT,
        "version": RECORD_VERSION,
        "device": describe(device),
        "dtype": str(dtype).removeprefix("torch."),
        "itemsize": itemsize,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "adasoft": __version__,
        "seconds": round(time.perf_counter() - started, 1),
        "command": f"python -m adasoft calibrate --device {device} --dtype {str(dtype).removeprefix('torch.')}",
        "coefficients": {o: {k: v.tolist() for k, v in kinds.items()} for o, kinds in model.coefficients.items()},
        "flat": model.flat,
        "errors": _errors(rows),
        "samples": rows,
    }
    record = json.loads(json.dumps(record))  # what a reader of the file will see: lists, not tuples
    record["sha256"] = checksum(record)
    close()
    if path is not None:
        if save is True:
            path = path / file_name(record)
        try:
            write_record(record, path)
        except OSError as error:  # a disk that filled up meanwhile
            if save is not True:
                raise
            warnings.warn(_not_kept(error), RuntimeWarning, stacklevel=2)
        else:
            return read_record(path)
    name = f"{record['device']['name']}, {record['dtype']}, {record['date'][:10]}"
    return MeasuredCost(model.coefficients, model.flat, itemsize=itemsize, name=name, record=record)  # type: ignore[arg-type]


def _checked_target(save: bool | str | os.PathLike[str]) -> Path | None:
    """The folder of the cache, or the given file, where it can be written; None if the record is not kept."""
    if save is False:
        return None
    if save is True:
        try:
            return writable_folder(cache_dir() / "machines")
        except OSError as error:
            warnings.warn(_not_kept(error), RuntimeWarning, stacklevel=3)
            return None
    path = Path(save)
    if path.is_dir():
        raise IsADirectoryError(f"save should be a file, got the folder {path}")
    if not path.exists() or path.is_file():  # else a device or a pipe
        writable_folder(path.parent)
    return path


def _not_kept(error: OSError) -> str:
    return (
        f"the timings of this machine will not be kept: {error}. Let ADASOFT_CACHE name a folder that can be written, "
        "or give a file (save=..., --output)"
    )


def predict(cost: MeasuredCost, kind: str, shape: Any, objective: Any = "train") -> float:
    """Predicted seconds of one sample of a record: ``kind`` and ``shape`` as stored there."""
    if kind == "product":
        n, k, d = shape
        return float(cost.product_time(k, n, d, objective))
    if kind == "projection":
        n, d, width = shape
        return float(cost.projection_time(n, d, width, objective))
    if kind == "rows":
        n, d = shape
        return float(cost.rows_time(n, d, objective))
    shape = Shape(*shape)
    layer = cost.layer(
        shape.n_classes, shape.cutoffs, shape.widths, shape.tail_shares(), shape.in_features, shape.batch, objective
    )
    return layer.seconds


def _terms(kind: str, shape: Any, itemsize: int, flat: float, active: Callable[[Any], bool]) -> tuple[Any, float]:
    """One row of the fit: the terms of all kinds, and the seconds of products that sit on the flat part."""
    sizes = [len(terms) for terms in TERMS.values()]
    row = np.zeros(sum(sizes))
    start = dict(zip(TERMS, np.cumsum([0, *sizes]).tolist(), strict=False))
    fixed = 0.0

    def add(part: str, values: Any) -> None:
        row[start[part] : start[part] + len(TERMS[part])] += np.asarray(values, dtype=np.float64)

    def product(n: float, k: float, d: float) -> None:
        nonlocal fixed
        terms = product_terms(k, n, d, itemsize)
        if active(terms):
            add("product", terms)
        else:
            fixed += flat

    if kind == "product":
        n, k, d = shape
        product(n, k, d)
    elif kind == "projection":
        add("projection", projection_terms(*shape))
    elif kind == "rows":
        add("rows", rows_terms(*shape))
    else:
        edges = [*shape.cutoffs, shape.n_classes]
        d, b = shape.in_features, shape.batch
        add("rows", rows_terms(b, d))
        product(b, edges[0] + len(shape.cutoffs), d)
        for i, (share, width) in enumerate(zip(shape.tail_shares(), shape.widths, strict=True)):
            product(share * b, edges[i + 1] - edges[i], width)
            add("projection", projection_terms(share * b, d, width))
    return row, fixed


def _fit(samples: list[tuple[str, Any, float]], itemsize: int) -> tuple[dict[str, list[float]], float]:
    """Non-negative least squares of relative errors, parts and layers together; outliers weigh less.

    The flat part of the products is the time of the smallest one. Which products sit on it depends on the
    coefficients and the other way round, so both are found in turn.
    """
    from scipy.optimize import nnls

    flat = min(seconds for kind, _, seconds in samples if kind == "product")
    seconds = np.array([s for *_, s in samples])
    # a layer is what is asked for in the end: its error counts more than a part's
    importance = np.array([3.0 if kind == "layer" else 1.0 for kind, *_ in samples])
    sizes = [len(terms) for terms in TERMS.values()]
    found = None
    weight = np.ones(len(samples))
    for _ in range(12):
        kept = found

        def active(terms: Any, kept: Any = kept) -> bool:
            return kept is None or float(np.dot(kept[: sizes[0]], np.asarray(terms, dtype=np.float64))) > flat

        rows, fixed = zip(*(_terms(kind, shape, itemsize, flat, active) for kind, shape, _ in samples), strict=True)
        matrix, target = np.stack(rows) / seconds[:, None], 1 - np.array(fixed) / seconds
        scale = np.maximum(np.abs(matrix).max(0), 1e-300)
        row_weight = (importance * weight)[:, None]
        solution, _ = nnls(matrix / scale * row_weight, target * row_weight[:, 0])
        found = solution / scale
        error = np.abs(matrix @ found - target)
        weight = 1 / np.sqrt(np.maximum(error, 0.03))  # towards the least absolute error
        weight /= weight.mean()
    assert found is not None
    edges = np.cumsum([0, *sizes])
    return {kind: found[a:b].tolist() for kind, a, b in zip(TERMS, edges, edges[1:], strict=False)}, flat


def _errors(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    out = {}
    for key in ("train product", "decode product", "train layer", "train check"):
        objective, kind = key.split()
        errors = [
            abs(r["predicted"] / r["median"] - 1) for r in rows if (r["objective"], r["kind"]) == (objective, kind)
        ]
        name = {"layer": "train layers, fitted", "check": "train layers, not fitted"}.get(kind, f"{key}s, fitted")
        out[name] = {"median": float(np.median(errors)), "largest": float(max(errors)), "n": len(errors)}
    return out


def describe(device: str | torch.device) -> dict[str, Any]:
    """What this device is: type, name, driver or cores, system."""
    device = torch.device(device)
    out: dict[str, Any] = {"type": device.type, "system": f"{platform.system()} {platform.machine()}"}
    if device.type == "cuda":  # pragma: no cover - needs a GPU
        properties = torch.cuda.get_device_properties(device)
        out |= {"name": properties.name, "memory": properties.total_memory, "cuda": torch.version.cuda}
        out["multiprocessors"] = properties.multi_processor_count
        out["driver"] = _driver()
    else:
        out |= {"name": cpu_name(), "cores": os.cpu_count(), "capability": torch.backends.cpu.get_cpu_capability()}
    return out


def _driver() -> str:
    try:
        for line in Path("/proc/driver/nvidia/version").read_text(encoding="utf-8").splitlines():
            return line.strip()
    except OSError:
        pass
    return "unknown"


def file_name(record: Mapping[str, Any]) -> str:
    """The name a record is stored under: device and dtype."""
    words = "".join(c.lower() if c.isalnum() else " " for c in record["device"]["name"]).split()
    threads = f"-{record['threads']}threads" if record["device"]["type"] == "cpu" else ""
    return f"{record['device']['type']}-{'-'.join(words)}{threads}-{record['dtype']}.json"


def write_record(record: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a record whole or not at all, one sample per line: readable, and small in a diff."""
    text = json.dumps({k: v for k, v in record.items() if k != "samples"}, indent=1)
    lines = ",\n".join("  " + json.dumps(sample) for sample in record.get("samples", []))
    write_whole(path, text[: text.rindex("\n}")] + ',\n "samples": [\n' + lines + "\n ]\n}\n")


def _check_device(device: str | torch.device) -> torch.device:
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise RuntimeError(f"device should be 'cpu', 'cuda' or the like, got {short(device)}") from error
    if found.type not in ("cpu", "cuda"):
        raise RuntimeError(f"device should be a CPU or CUDA device, got {device!r}")
    if found.type == "cuda" and not torch.cuda.is_available():
        raise RuntimeError(f"device={device!r}: this PyTorch ({torch.__version__}) sees no CUDA device")
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():  # pragma: no cover - needs a GPU
        raise RuntimeError(f"device should be one of {torch.cuda.device_count()} CUDA devices, got {device!r}")
    return found


def _check_dtype(dtype: str | torch.dtype) -> torch.dtype:
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if found not in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        raise ValueError(f"dtype should be float32, float64, bfloat16 or float16, got {short(dtype)}")
    return found  # type: ignore[no-any-return]


def _progress(progress: bool | Progress) -> tuple[Progress, Callable[[], None]]:
    if callable(progress):
        return progress, lambda: None
    if not progress:
        return lambda done, text: None, lambda: None
    from tqdm.auto import tqdm

    bar = tqdm(total=100, unit="%", bar_format="{l_bar}{bar}| {elapsed} {postfix}")

    def show(done: float, text: str) -> None:
        bar.set_postfix_str(text[:48], refresh=False)
        bar.update(round(100 * min(done, 1.0)) - bar.n)

    return show, bar.close
