"""What the lessons can ask for a price: two models that count, this machine's timings, and recorded ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...cost import Cost, MeasuredCost, PaperCost
from ...records import cached_records, load_cost, read_record, shipped_records
from .saved import say_once

#: Nothing but words scored: g(k, n) = n k. No width, no projection, no constant.
COUNTED_WORDS = PaperCost(c=0.0, lam=1.0, k0=0.0, name="counted: words scored")
_MULTIPLY = {"product": [0, 1, 0, 0, 0, 0], "projection": [0, 1, 0, 0], "rows": [0, 0, 0]}
#: Nothing but the multiplications of the forward products: n k d, and n d d_i for a projection.
COUNTED_MULTIPLICATIONS = MeasuredCost(
    {"train": _MULTIPLY, "decode": _MULTIPLY}, {"train": 0.0, "decode": 0.0}, name="counted: multiplications"
)


def counts(cost: Cost) -> bool:
    """Whether a cost model counts instead of timing."""
    return cost is COUNTED_WORDS or cost is COUNTED_MULTIPLICATIONS


def cost_at_hand(device: str | None = None, *, dtype: str = "float32") -> MeasuredCost:
    """As `adasoft.load_cost`; a damaged record of this machine is reported once, and a recorded one takes its place.

    Raises LookupError if there is none.
    """
    try:
        return load_cost(device, dtype=dtype)
    except ValueError as error:
        say_once(f"The timings of this machine are not used: {error}.")
    kind = (device or "cpu").partition(":")[0]
    for cost in recorded_costs():
        record = cost.record or {}
        if (record["device"]["type"], record["dtype"]) == (kind, dtype):
            return cost
    raise LookupError(f"there are no timings of a {kind} device with {dtype}")


def measured_cost() -> MeasuredCost | None:
    """The cost model of this machine, else of a recorded one; None if there is none at all."""
    try:
        return cost_at_hand()
    except LookupError:
        return None


def recorded_costs() -> list[MeasuredCost]:
    """Of the machines whose timings ship with adasoft; their names say so."""
    costs = _readable(shipped_records())
    for cost in costs:
        cost.name = f"recorded machine: {cost.name}"
    return costs


def _readable(paths: Sequence[Path]) -> list[MeasuredCost]:
    """The records that can be read; each other is said once."""
    costs = []
    for path in paths:
        try:
            costs.append(read_record(path))
        except (ValueError, OSError) as error:
            say_once(f"A record of timings is not used: {error}.")
    return costs


#: Stands for the timings of this machine, whatever their date, or the recorded ones in their place.
AT_HAND = "timings at hand"


def cost_named(name: str) -> Cost:
    """A cost model by its name. Raises LookupError if there is none."""
    if name == AT_HAND:
        return cost_at_hand()
    recorded = _readable([*cached_records(), *shipped_records()])
    for cost in (COUNTED_WORDS, COUNTED_MULTIPLICATIONS, *recorded, *recorded_costs()):
        if cost.name == name:
            return cost
    raise LookupError(f"there is no cost model named {name!r} any more")
