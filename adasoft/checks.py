"""The one grammar of refusal: ``NAME should be RULE, got VALUE``.

What counts as a number: Python's own, NumPy's scalars, and arrays or tensors without dimensions. A bool does not, nor
does a text or a masked entry.
"""

from __future__ import annotations

import contextlib
import math
import numbers
import operator
import sys
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from .files import short

_CUTOFFS = (
    "cutoffs should be a sequence of unique, positive integers sorted in an increasing order, "
    "where each value is between 1 and n_classes-1"
)


#: Bounds for :func:`number`: the smallest number above 0, the largest below 1, the largest that is finite.
ABOVE_0, BELOW_1, FINITE = math.ulp(0.0), math.nextafter(1.0, 0.0), sys.float_info.max


def index(value: Any) -> int | None:
    """``value``, a number or an array of no dimension, as an int; None for what is not an integer."""
    plain = _plain(value)
    if isinstance(plain, bool | np.bool_) or getattr(plain, "ndim", 0) != 0:
        return None
    try:
        return operator.index(plain)
    except TypeError:
        return None


def integer(name: str, value: Any, least: int | None = None, most: int | None = None) -> int:
    """``value`` as an int. Raises ValueError if it is not an integer, or not between ``least`` and ``most``.

    >>> integer("n_tails", 0, 1)
    Traceback (most recent call last):
    ...
    ValueError: n_tails should be an integer of at least 1, got 0
    """
    found = index(value)
    if found is None or (least is not None and found < least) or (most is not None and found > most):
        rule = "" if least is None else f" of at least {least}" if most is None else f" from {least} to {most:,}"
        raise ValueError(f"{name} should be an integer{rule}, got {short(value)}")
    return found


def number(name: str, value: Any, least: float, most: float, rule: str) -> float:
    """``value`` as a float. Raises ValueError, with ``rule``, if it is not a number between ``least`` and ``most``."""
    plain = _plain(value)
    found = math.nan
    if isinstance(plain, numbers.Real | Decimal) and not isinstance(plain, bool):
        with contextlib.suppress(OverflowError, ValueError):  # an int that no float can hold; a signalling NaN
            found = float(plain)
    if not least <= found <= most:
        raise ValueError(f"{name} should be {rule}, got {short(value)}")
    return found


def not_negative(name: str, value: Any) -> float:
    """``value`` as a float. Raises ValueError if it is not a finite number of at least 0."""
    return number(name, value, 0, FINITE, "a finite number of at least 0")


def choice(name: str, value: Any, options: Sequence[str]) -> str:
    """``value`` as a str. Raises ValueError if it is not one of the ``options``."""
    if not isinstance(value, str) or value not in options:
        *others, last = map(repr, options)
        raise ValueError(f"{name} should be {', '.join(others)} or {last}, got {short(value)}")
    return str(value)


def cutoffs(value: Any, n_classes: int) -> list[int]:
    """The cutoffs ``c_1 < ... < c_J`` as a list. Raises ValueError if there are none, or they do not rise below V."""
    try:
        values: list[Any] = [cutoff if index(cutoff) is None else index(cutoff) for cutoff in value]
    except TypeError:
        raise ValueError(f"{_CUTOFFS}, got {short(value)}") from None
    if not values:
        raise ValueError("cutoffs should be a sequence of length larger than 0, got an empty one")
    for i, cutoff in enumerate(values):
        if index(cutoff) is None:
            raise ValueError(f"{_CUTOFFS}, got {values}: {cutoff!r} is not an integer")
        if not 1 <= cutoff <= n_classes - 1:
            raise ValueError(f"{_CUTOFFS}, got {values}: {cutoff} is not between 1 and {n_classes - 1}")
        if i and cutoff <= values[i - 1]:
            raise ValueError(f"{_CUTOFFS}, got {values}: {cutoff} does not come after {values[i - 1]}")
    return values


def widths(value: Any, n: int | None = None, part: str = "tail") -> list[int]:
    """Widths as a list. Raises ValueError if they are not positive, or not ``n``, one for each ``part``."""
    try:
        given = list(value)
    except TypeError:
        raise ValueError(f"widths should be a sequence of positive integers, got {short(value)}") from None
    checked = [integer(f"widths[{i}]", width, 1) for i, width in enumerate(given)]
    if n is not None and len(checked) != n:
        raise ValueError(f"widths should hold one width per {part}, {n}, got {len(checked)}: {short(checked)}")
    return checked


def ignore_index(value: Any) -> int:
    """An id that does not count, as an int. Raises TypeError if it is not an integer, ValueError beyond int64."""
    found = index(value)
    if found is None:
        raise TypeError(f"ignore_index should be an int, got {short(value)}")
    if not -(2**63) <= found < 2**63:
        raise ValueError(f"ignore_index should be between -2**63 and 2**63 - 1, as ids are int64, got {short(value)}")
    return found


def items(value: Any) -> list[Any] | None:
    """What a sequence or a one-dimensional array holds; None for anything else: texts, sets, mappings, numbers."""
    if isinstance(value, str | bytes | bytearray):
        return None
    return list(value) if isinstance(value, Sequence) or getattr(value, "ndim", None) == 1 else None


def _plain(value: Any) -> Any:
    """The Python number in a scalar, array or tensor without dimensions; else the value as it is."""
    if type(value) in (int, float) or getattr(value, "ndim", None) != 0 or not hasattr(value, "item"):
        return value
    return None if np.ma.is_masked(value) else value.item()
