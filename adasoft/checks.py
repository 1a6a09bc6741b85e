"""The one grammar of refusal: ``NAME should be RULE, got VALUE``.

What counts as a number: Python's own, NumPy's scalars, and arrays or tensors of no dimension. A bool is no number, a
text is none, and a masked entry is none.
"""

from __future__ import annotations

import contextlib
import math
import numbers
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from .files import short


def integer(name: str, value: Any, least: int, most: int | None = None) -> int:
    """``value`` as an int. Raises ValueError if it is no integer, or not between ``least`` and ``most``."""
    plain = _plain(value)
    fits = type(plain) is int or (isinstance(plain, numbers.Integral) and not isinstance(plain, bool))
    if not fits or plain < least or (most is not None and plain > most):
        rule = f"of at least {least}" if most is None else f"from {least} to {most:,}"
        raise ValueError(f"{name} should be an integer {rule}, got {short(value)}")
    return int(plain)


def number(name: str, value: Any, least: float, most: float, rule: str) -> float:
    """``value`` as a float. Raises ValueError, with ``rule``, if it is no number between ``least`` and ``most``."""
    plain = _plain(value)
    found = math.nan
    if isinstance(plain, numbers.Real | Decimal) and not isinstance(plain, bool):
        with contextlib.suppress(OverflowError, ValueError):  # an int that no float can hold; a signalling NaN
            found = float(plain)
    if not least <= found <= most:
        raise ValueError(f"{name} should be {rule}, got {short(value)}")
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
