"""Whose timings a command uses."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from .arguments import only_with

if TYPE_CHECKING:
    from ..cost import MeasuredCost


def machine_options(p: Any) -> None:
    """Add whose timings to use."""
    group = p.add_argument_group("machine")
    group.add_argument("--device", help="whose timings to use: cpu or cuda (default: what was calibrated last)")
    group.add_argument("--dtype", default="float32", help="use timings of this number format (float32)")
    group.add_argument("--record", metavar="FILE", help="use this machine record instead")
    group.add_argument(
        "--captured",
        action="store_true",
        help="use timings of steps that a CUDA graph replays, without launches (`calibrate --captured`)",
    )


def cost_for(options: argparse.Namespace) -> MeasuredCost:
    """The timings that are asked for."""
    from ..records import load_cost, read_record

    device = options.device or ("cuda" if options.captured else None)
    if options.record is None:
        return load_cost(device, dtype=options.dtype, captured=options.captured)
    only_with(options, "timings of this machine; leave it out with --record", "captured")
    return read_record(options.record)
