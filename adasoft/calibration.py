"""Calibration: which shapes to time, and the machine record made of their times and of the cost model that fits them.

:func:`calibrate` times this device (:mod:`adasoft.timing`, :mod:`adasoft.workloads`) and returns the
:class:`adasoft.MeasuredCost` that :func:`adasoft.plan` asks.
"""

from __future__ import annotations

import datetime
import itertools
import json
import math
import os
import random
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from . import __version__
from .checks import number
from .cost import OBJECTIVES, MeasuredCost, count_operations, lower_bounds
from .files import cache_dir, checksum, short, writable_folder
from .fit import RATES, errors_of, fit, predict, rates
from .planning import default_widths
from .records import RECORD_FORMAT, RECORD_VERSION, file_name, read_record, record_name, write_record
from .timing import Progress, Step, describe, interleave, steady
from .workloads import (
    FullSoftmax,
    Pool,
    Shape,
    bare_step,
    captured_steps,
    decode_steps,
    full_decode_step,
    layer_steps,
    product_step,
    projection_step,
    replayed,
    rows_step,
)

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
        products = shape.products()
        if count_operations(products) <= operations and sum(k * d for _, k, d in products) <= parameters:
            out.append(shape)
    return out


class _Sample(NamedTuple):
    """What is timed: its objective, kind and shape, the steps that take turns, and how often at most."""

    objective: str
    kind: str
    shape: Any
    steps: list[Step]
    rounds: int = 60


#: How often a sample that takes long is timed: `steady` compares it with what was timed beside it.
_FEW = 5


def _samples(
    device: torch.device, dtype: torch.dtype, scale: float, large: bool, captured: bool, tell: Callable[[str], None]
) -> dict[str, _Sample]:
    """All that a calibration times, by name.

    ``scale``: arithmetic of the largest, as a multiple of what suits two cores in a minute; ``large``: with more than
    one product of each kind that outgrows the caches; ``captured``: training steps replayed from CUDA graphs.
    """
    tell("making random inputs")
    draw = random.Random(1)
    pool = Pool(2**28 if device.type == "cuda" else 2**26, device, dtype)
    samples: dict[str, _Sample] = {}

    def add(kind: str, objective: str, shape: tuple[int, ...], make: Callable[[], Step], rounds: int = 60) -> None:
        name = f"{objective} {kind} {' x '.join(f'{side:,}' for side in shape)}"
        tell(f"making: {name}")
        steps = [make() for _ in range(2)]
        if captured and objective == "train":
            steps = [replayed(step) for step in steps]
        samples[name] = _Sample(objective, kind, shape, steps, rounds)

    # What few drawn shapes are: heads that outgrow the caches, and weights beyond 32 MiB.
    heads = [(1500, 4000, 1024), (2000, 10_000, 256), (1200, 8000, 512)]
    beyond = [(60, 40_000, 256), (20, 100_000, 128), (120, 14_000, 1024), (30, 200_000, 64)]
    if not large:
        heads, beyond = heads[1:2], beyond[:1]
    given, drawn = [(1, 64, 16), (16, 256, 64), *heads, *beyond], _products(draw, 32, 1.5e9 * scale)
    for n, k, d in given + drawn:
        add("product", "train", (n, k, d), partial(product_step, pool, n, k, d, "train"))
    decoded = [((max(2, n), k, d), d >= 256) for n, k, d in given]
    # half of them, tails and heads in turns
    decoded += [(shape, bool(place % 2)) for place, shape in enumerate(drawn) if place // 2 % 2 == 0]
    decoded += [((1, k, d), head) for k, d, head in _VECTORS]
    for (n, k, d), head in decoded:
        make = partial(product_step, pool, n, k, d, "decode", head=head)
        add("head" if head else "product", "decode", (n, k, d), make)
    for _ in range(8):
        n, d, w = (
            _log_uniform(draw, 4, 2000),
            draw.choice([128, 256, 512, 1024]),
            draw.choice([8, 16, 32, 64, 128, 256]),
        )
        for objective in ("train", "decode"):
            add("projection", objective, (n, d, w), partial(projection_step, pool, n, d, w, objective))
    if not captured:  # the sort is read on the host
        for n, d in ((64, 256), (512, 128), (1024, 1024), (4096, 512), (2048, 256)):
            add("rows", "train", (n, d), partial(rows_step, pool, n, d))
    gpu, part = device.type == "cuda", min(1.0, scale / (100.0 if device.type == "cuda" else 1.0))
    # What bounds the fit: a product limited by arithmetic, and one by reading weights; on a GPU 9e12 operations, 1 GiB.
    side = 2 ** math.floor(math.log2((16384 if gpu else 1024) * part ** (1 / 3)))
    bounds = {
        "arithmetic": (side, 2 * side, side // 2 if gpu else side),
        "traffic": (1, (2**30 if gpu else 2**27) // 4096 // dtype.itemsize, 4096),
    }
    for kind, (n, k, d) in bounds.items():
        add(kind, "decode", (n, k, d), partial(bare_step, n, k, d, device, dtype), _FEW)

    def add_layer(kind: str, shape: Shape, text: str, rounds: int = 60, **how: Any) -> None:
        tell(f"making: {text}")
        if captured and kind != "full":  # the layer has a route of its own that reads nothing on the host
            steps = captured_steps(shape, device, dtype)
        else:
            steps = layer_steps(shape, device, dtype, **how)
            steps = [replayed(step) for step in steps] if captured else steps
        samples[text] = _Sample("train", kind, shape, steps, rounds)

    layers = draw_layers(20, 7, operations=3e10 * scale, parameters=1.2e7)
    for place, shape in enumerate(layers):
        kind = "layer" if place // 4 % 2 else "check"  # half of the layers are kept out of the fit
        add_layer(kind, shape, f"layer {place + 1} of {len(layers)}, {shape.n_classes:,} words")
    if large:
        layers = draw_layers(4, 11, operations=2e11 * scale, parameters=6e7)
        for place, shape in enumerate(layers):
            text = f"large layer {place + 1} of {len(layers)}, {shape.n_classes:,} words"
            add_layer("layer", shape, text, _FEW)
    # Decoding one row, and many: a third of the layers is kept out of the fit.
    for place, shape in enumerate(draw_layers(15 if large else 3, 13, operations=3e10 * scale, parameters=1.2e7)):
        for b in (1, 16, 256):
            tell(f"making: best words of {b} rows, {shape.n_classes:,} words")
            opened, steps = decode_steps(shape._replace(batch=b), device, dtype)
            kind = "check" if place % 3 == 2 else "layer"
            samples[f"best of {b} rows, layer {place + 1}"] = _Sample("decode", kind, opened, steps)
    full = [(256_000, 1024, 2048), (128_000, 512, 4096), (50_000, 1024, 8192)] if gpu else _FULL_ON_CPU
    for v, d, b in full if large else full[:1]:
        shape = Shape(v, d, max(2, round(b * part)), (), ())
        add_layer("full", shape, f"full softmax, {v:,} words, d = {d}", _FEW, make=FullSoftmax)
        for b in {1, max(1, shape.batch // 4)}:
            best = full_decode_step(pool.take(b, d), pool.take(v, d))
            name = f"best of {b:,} rows, {v:,} words, d = {d}"
            samples[name] = _Sample("decode", "full", shape._replace(batch=b), [best], _FEW)
    return samples


#: k and d of products of one row when decoding, and whether they are heads.
_VECTORS = [
    (60_000, 16, False),
    (9000, 64, False),
    (40_000, 64, False),
    (20_000, 256, False),
    (40_000, 32, True),
    (2000, 128, True),
    (20_000, 128, True),
    (5000, 512, True),
    (8000, 1024, True),
]


#: V, d and B of full softmaxes that two cores do in some 0.3 s.
_FULL_ON_CPU = [(50_000, 128, 512), (100_000, 256, 128), (30_000, 256, 512)]


# ---------------------------------------------------------------------- calibration


def calibrate(
    device: str | torch.device = "cpu",
    dtype: str | torch.dtype = "float32",
    *,
    captured: bool = False,
    seconds: float = 60.0,
    progress: bool | Progress = True,
    save: bool | str | os.PathLike[str] = True,
) -> MeasuredCost:
    """Time this device and fit a cost model to it.

    Args:
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"`` ...
        dtype: of weights and inputs, ``"float32"``, ``"bfloat16"``, ``"float16"`` or ``"float64"``.
        captured: time training steps as a CUDA graph replays them, without Python and the launches of kernels, for
            :func:`adasoft.plan` with ``captured=True``. Only for CUDA devices. Decoding is timed as without it.
        seconds: about how long it may take, above 0; with less time smaller shapes are timed, and fewer times. 60 is
            meant for 2 cores. Interrupting it leaves no record behind.
        progress: show a bar; or a function called with the part done and a text.
        save: write the record to the cache (``ADASOFT_CACHE``), or to the given file; False: do not.

    Returns the model; its ``record`` holds the timings, the provenance and the errors, both on the parts it
    was fitted to and on whole layers that it was not fitted to; its ``path`` is the file, None if there is none.

    Times are medians at the machine's middle speed (:func:`adasoft.timing.steady`), and no coefficient falls below what
    the device's fastest bare products show.

    Raises RuntimeError if the device is not there, ValueError for another dtype or a captured CPU, OSError, before
    anything is timed, if the given file cannot be written. A cache that cannot be written is a RuntimeWarning: the
    model is returned anyway.

    >>> cost = calibrate("cpu", seconds=60)  # doctest: +SKIP
    >>> cost.record["errors"]["train layers, not fitted"]["median"]  # doctest: +SKIP
    0.09
    """
    device, dtype = _check_device(device), _check_dtype(dtype)
    if captured and device.type != "cuda":
        raise ValueError(f"captured should be False for device={str(device)!r}: only CUDA devices replay graphs")
    seconds = number("seconds", seconds, math.ulp(0.0), 86_400, "a number of seconds above 0 and at most 86,400")
    path = _checked_target(save)
    show, close = _progress(progress)
    started = time.perf_counter()
    itemsize = torch.empty(0, dtype=dtype).element_size()
    # A step of the largest product or layer should take some 60 ms: a GPU can take 100 times the work. Everything runs
    # at least three times, so less time means smaller shapes.
    scale = (100.0 if device.type == "cuda" else 1.0) * min(1.0, max(seconds, 3.0) / 60.0)

    def tell(text: str) -> None:
        show(min(1.0, (time.perf_counter() - started) / seconds), text)

    samples = _samples(device, dtype, scale, seconds >= 30, captured, tell)
    made = time.perf_counter() - started
    left = max(1.0, seconds - made - 1.5)

    def timed(part: float, text: str) -> None:
        show(min(1.0, max(made / seconds, (made + part * left) / (made + left + 1.5))), text)  # never back

    heard: list[tuple[str, float]] = []
    interleave(
        {name: sample.steps for name, sample in samples.items()},
        device=device,
        rounds={name: sample.rounds for name, sample in samples.items()},
        seconds=left,
        progress=timed,
        heard=lambda name, seconds: heard.append((name, seconds)),
    )
    show(1.0, "fitting")
    timings = steady(heard)
    found = rates([(s.objective, s.kind, s.shape, timings[name].median) for name, s in samples.items()], itemsize)
    coefficients, flat = {}, {}
    for objective in OBJECTIVES:
        fitted = [
            (sample.kind, sample.shape, timings[name].median)
            for name, sample in samples.items()
            if sample.objective == objective and sample.kind != "check" and sample.kind not in RATES
        ]
        least = lower_bounds(found["arithmetic"], found["traffic"], itemsize, objective)
        coefficients[objective], flat[objective] = fit(fitted, itemsize, least, objective, device.type == "cuda")
    model = MeasuredCost(coefficients, flat, itemsize=itemsize)
    rows = []
    for name, (objective, kind, shape, *_) in samples.items():
        predicted = (
            found[kind] * RATES[kind](shape, itemsize) if kind in RATES else predict(model, kind, shape, objective)
        )
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
        "captured": captured,
        "command": f"python -m adasoft calibrate --device {device} --dtype {str(dtype).removeprefix('torch.')}"
        f"{' --captured' * captured}",
        "rates": found,
        "coefficients": {o: {k: v.tolist() for k, v in kinds.items()} for o, kinds in model.coefficients.items()},
        "flat": model.flat,
        "errors": errors_of(rows),
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
    name = record_name(record)
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
