"""Counts and words as a caller passes them (arrays, sequences, mappings): checked, and as one array each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: The largest count: that of an int64.
LARGEST = 2**63 - 1


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """The array itself, which can no longer be written to."""
    array.setflags(write=False)
    return array


def unmasked(argument: str, value: Any) -> Any:
    """``value``, unless entries of it are masked: NumPy would take what lies under the mask."""
    if masked := int(np.ma.getmaskarray(value).sum()) if isinstance(value, np.ma.MaskedArray) else 0:
        raise ValueError(
            f"{argument} should have no masked entries, got {masked}; leave them out (.compressed()) or give them "
            "a value (.filled(0))"
        )
    return value


def total_of(counts: NDArray[Any]) -> int | float:
    """The sum of counts: an exact int for integers, else a float."""
    if counts.dtype == np.float64:
        return float(counts.sum())
    # Two halves: neither sum can overflow an int64 below 2^31 words.
    return (int((counts >> 32).sum()) << 32) + int((counts & (2**32 - 1)).sum())


def unpack_mapping(counts: Mapping[Any, float]) -> tuple[tuple[str, ...] | None, list[float]]:
    """The words (None if the keys are ids) and the counts in the order of the ids."""
    kinds = set(map(type, counts))
    if all(issubclass(kind, str) for kind in kinds):
        return tuple(counts), list(counts.values())
    if not all(issubclass(kind, int | np.integer) and kind is not bool for kind in kinds):
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise TypeError(f"counts should have keys that are all words (str) or all ids (int), got {names}")
    size = len(counts)
    missing = next((i for i in range(size) if i not in counts), None)
    if missing is not None:
        raise ValueError(
            f"counts should have the ids 0 to {size - 1}, all {size}, got {min(counts)} to {max(counts)} without "
            f"{missing}. np.bincount(ids, minlength=n_classes) counts absent ids as 0"
        )
    return None, [counts[i] for i in range(size)]


def checked_words(words: Sequence[str]) -> tuple[str, ...]:
    """``words`` as a tuple. Raises TypeError or ValueError unless they are a sequence of distinct strings."""
    # A set would pass for a sequence, in an order that nobody chose.
    if isinstance(words, str | bytes | Mapping) or not hasattr(words, "__getitem__"):
        raise TypeError(f"words should be a sequence of strings, got a {type(words).__name__}")
    seen: dict[str, int] = {}
    for i, word in enumerate(words):
        if not isinstance(word, str):
            raise TypeError(f"words should be strings, got {word!r} ({type(word).__name__}) at id {i}")
        if seen.setdefault(str(word), i) != i:
            raise ValueError(f"words should be distinct, got {word!r} at ids {seen[word]} and {i}")
    return tuple(seen)


def checked_counts(counts: ArrayLike, words: Sequence[str] | None) -> NDArray[Any]:
    """(V,) int64 or float64 in the order of the ids, a copy."""

    def refuse(wanted: str, wrong: ArrayLike, values: Any) -> ValueError:
        i = int(np.argmax(wrong))
        word = f" ({words[i]!r})" if words is not None and i < len(words) else ""
        return ValueError(f"counts should be {wanted}, got {values[i]} at id {i}{word}")

    kind = type(counts).__name__
    kinds = set(map(type, counts)) if isinstance(counts, list | tuple) else set()
    if type(np.ma.masked) in kinds:
        counts = np.ma.array([0 for count in cast("list[Any]", counts) if count is np.ma.masked], mask=True)
    unmasked("counts", counts)
    if kinds & {bool, np.bool_}:  # numpy would take True for 1
        raise TypeError(f"counts should be numbers, got booleans in the {kind}")
    try:
        array = np.array(counts, dtype=np.int64 if kinds == {int} else None)
    except OverflowError:  # numpy alone would go on with floats or objects
        numbers = cast("list[int]", counts)
        raise refuse("0 to 2**63 - 1", [not 0 <= x <= LARGEST for x in numbers], numbers) from None
    except (TypeError, ValueError) as error:
        raise TypeError(f"counts should be a 1-D array of numbers, got a {kind} ({error})") from error
    if array.ndim != 1:
        raise ValueError(f"counts should be a 1-D array (V,), got a {kind} of shape {array.shape}")
    if not len(array):
        raise ValueError("counts should hold at least one count, got none")
    if array.dtype.kind not in "iuf":
        raise TypeError(f"counts should be integers or floats, got dtype {array.dtype}")
    if array.dtype.kind == "f":
        array = array.astype(np.float64)
        if not np.isfinite(array).all():
            raise refuse("finite numbers", ~np.isfinite(array), array)
    if array.min() < 0:
        raise refuse("non-negative numbers", array < 0, array)
    if array.dtype.kind != "f":
        if array.max() > LARGEST:
            raise refuse("0 to 2**63 - 1", array > LARGEST, array)
        array = array.astype(np.int64)
    if not array.any():
        raise ValueError(f"counts should not all be zero, got {len(array)} zeros")
    with np.errstate(over="ignore"):
        if not math.isfinite(total_of(array)):
            raise ValueError("counts should have a sum that a float64 can hold, got more; divide them by the largest")
    return array
