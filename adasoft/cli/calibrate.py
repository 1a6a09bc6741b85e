"""`adasoft calibrate`: time this machine and keep its cost model."""

from __future__ import annotations

import argparse
import shlex
import sys
import warnings
from typing import Any

from .arguments import can_be_written, device_option, file_name, number, use_device


def add(commands: Any) -> None:
    """Add the parser."""
    p = commands.add_parser(
        "calibrate",
        help="time this machine (a minute) and keep its cost model",
        description="Time products, layer parts and layers on this device, fit the cost model, keep it in the cache.",
    )
    p.set_defaults(run=run)
    device_option(p, help="cpu, cuda, cuda:1 ... (cpu)")
    p.add_argument("--dtype", default="float32", help="float32, bfloat16, float16 or float64 (float32)")
    p.add_argument("--captured", action="store_true", help="CUDA: time training steps as a CUDA graph replays them")
    p.add_argument("--seconds", type=number(0), metavar="S", default=60.0, help="how long, roughly, in seconds (60)")
    p.add_argument("--output", type=file_name, metavar="FILE", help="write the record here instead of into the cache")


def run(options: argparse.Namespace) -> None:
    """Measure, and say how well the fit predicts what it has not seen."""
    from .. import calibration

    can_be_written(options.output)
    use_device(options.device)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *_: print(f"adasoft calibrate: {message}", file=sys.stderr)
        cost = calibration.calibrate(
            options.device,
            options.dtype,
            captured=options.captured,
            seconds=options.seconds,
            save=options.output or True,
        )
    record = cost.record or {}
    print(f"{cost.name}: {record['threads']} threads, torch {record['torch']}, {record['seconds']:.0f} s")
    for name, error in record["errors"].items():
        print(
            f"  {name:30} error {error['median']:6.1%} (median), {error['largest']:6.1%} (largest), "
            f"{error['signed']:+6.1%} (median with its sign), {error['n']} shapes"
        )
    if cost.path is None:
        return
    how = ("" if options.dtype == "float32" else f" --dtype {options.dtype}") + " --captured" * options.captured
    if options.output:
        how = f" --record {shlex.quote(str(cost.path))}"
    print(f"written to {cost.path}; `python -m adasoft plan{how}` uses it from now on")
