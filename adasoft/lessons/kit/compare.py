"""Results of the reader's code beside the expected ones: shapes first, then values; and how both are shown.

Results are numbers, texts, arrays, tensors, or tuples of these. Nothing here imports torch.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

#: Longest text of one value, in characters.
LONGEST = 240
#: Elements of an array that are shown at each of its ends, and from how many on the rest is left out.
_ENDS, _MANY = 3, 8


@dataclass(frozen=True)
class Difference:
    """How a result differs from the expected one, in words."""

    kind: Literal["nothing", "kind", "shape", "dtype", "value"]
    text: str


def is_tensor(value: Any) -> bool:
    """Whether this is a tensor, told without torch."""
    return type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "detach")


def _is_number(value: Any) -> bool:
    return isinstance(value, (numbers.Number, np.number, np.bool_)) and not isinstance(value, np.ndarray)


def _is_parts(value: Any) -> bool:
    """Whether this holds several results: a tuple, or a list of other things than numbers."""
    return isinstance(value, tuple) or (isinstance(value, list) and not all(_is_number(item) for item in value))


def _array(value: Any) -> np.ndarray[Any, Any] | None:
    """Numbers as an array; None for anything else."""
    if is_tensor(value):
        value = value.detach().cpu()
        value = (value.float() if str(value.dtype) in ("torch.bfloat16", "torch.float16") else value).numpy()
    try:
        array = np.asarray(value)
    except (ValueError, TypeError):  # a list of lists of different lengths
        return None
    return array if array.dtype.kind in "biufc" else None


def difference(yours: Any, expected: Any, tolerance: float) -> Difference | None:
    """How ``yours`` differs; None if it does not, up to ``tolerance`` times the expected numbers."""
    if yours is None or yours is Ellipsis:
        return Difference("nothing", "nothing comes back")
    if _is_parts(expected):
        return _of_parts(yours, expected, tolerance)
    wanted = None if isinstance(expected, str) else _array(expected)
    if wanted is None:
        same = type(yours) is type(expected) and yours == expected
        return None if same else Difference("value", "yours is another one")
    found = None if isinstance(yours, str) or _is_parts(yours) else _array(yours)
    if found is None:
        what = f"{len(yours)} results" if _is_parts(yours) else _a(yours)
        return Difference("kind", f"yours is {what}, expected {_kind(expected, wanted)}")
    if found.shape != wanted.shape:
        return Difference("shape", f"yours is {_kind(yours, found)}, expected {_kind(expected, wanted)}")
    return _of_values(found, wanted, tolerance, scalar=_is_number(expected))


def _kind(value: Any, array: np.ndarray[Any, Any]) -> str:
    return "a single number" if array.shape == () else f"of shape {tuple(array.shape)}"


def _of_parts(yours: Any, expected: Sequence[Any], tolerance: float) -> Difference | None:
    if not isinstance(yours, (tuple, list)):
        return Difference("kind", f"yours is one result, expected {len(expected)}")
    if len(yours) != len(expected):
        return Difference("kind", f"yours has {len(yours)} results, expected {len(expected)}")
    found = [(i, difference(a, b, tolerance)) for i, (a, b) in enumerate(zip(yours, expected, strict=True))]
    wrong = [(i, one) for i, one in found if one is not None]
    # shapes before values
    order = ("nothing", "kind", "shape", "dtype", "value")
    for i, one in sorted(wrong, key=lambda pair: order.index(pair[1].kind)):
        return Difference(one.kind, f"result {i + 1} of {len(expected)}: {one.text}")
    return None


def _of_values(
    found: np.ndarray[Any, Any], wanted: np.ndarray[Any, Any], tolerance: float, *, scalar: bool
) -> Difference | None:
    whole = wanted.dtype.kind in "biu" and not scalar
    wide = np.complex128 if "c" in (found.dtype.kind, wanted.dtype.kind) else np.float64
    a, b = found.astype(wide), wanted.astype(wide)
    near = _near(a, b, tolerance)
    if not near.all():
        with np.errstate(invalid="ignore"):
            off = np.where(near, 0.0, np.nan_to_num(np.abs(a - b), nan=np.inf, posinf=np.inf))
        at = np.unravel_index(int(off.argmax()), off.shape)
        where = f" at [{', '.join(map(str, at))}]" if at else ""
        if np.isnan(a[at]):
            return Difference("value", f"yours is NaN, not a number{where}")
        much = "" if not np.isfinite(off[at]) else f": off by {_number(float(off[at]))}"
        count = f"{int((~near).sum()):,} of {near.size:,} entries differ; the largest difference is{where}"
        return Difference("value", f"{count}{much}" if at else f"off by {_number(float(off[at]))}")
    if whole and found.dtype.kind not in "biu":
        return Difference("dtype", f"the values are right, but yours are {found.dtype}, expected {wanted.dtype}")
    if whole and (wanted.dtype.kind == "b") != (found.dtype.kind == "b"):
        return Difference("dtype", f"the values are right, but yours are {found.dtype}, expected {wanted.dtype}")
    return None


def _near(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any], tolerance: float) -> np.ndarray[Any, Any]:
    finite = np.abs(b[np.isfinite(b)])
    # small entries beside large ones carry the rounding of the large ones
    slack = 0.01 * tolerance * (float(finite.max()) if finite.size else 0.0)
    near: np.ndarray[Any, Any] = np.isclose(a, b, rtol=tolerance, atol=slack, equal_nan=True)
    return near


def _a(value: Any) -> str:
    name = type(value).__name__
    return f"an {name}" if name[0] in "aeiouAEIOU" else f"a {name}"


def _number(value: Any) -> str:
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, (int, np.integer)):
        return f"{int(value):,}" if abs(int(value)) >= 10_000 else str(int(value))
    return f"{value:.6g}"


def shown_beside(yours: Any, expected: Any, tolerance: float) -> tuple[str, str]:
    """Both as `shown`; of arrays that would read the same, the first entries that differ."""
    texts = shown(yours), shown(expected)
    if texts[0] != texts[1] or _is_parts(yours) or _is_parts(expected):
        return texts
    a, b = _array(yours), _array(expected)
    if a is None or b is None or a.shape != b.shape or not a.shape:
        return texts
    places = np.argwhere(~_near(a, b, tolerance))[:_ENDS]
    if not len(places):
        return texts

    def listed(array: np.ndarray[Any, Any]) -> str:
        entries = (f"[{', '.join(map(str, at))}] {_number(array[tuple(at)].item())}" for at in places.tolist())
        return "; ".join(entries)

    return listed(a), listed(b)


def shown(value: Any) -> str:
    """A value in one short line: arrays and tensors with their ends and their shape."""
    text = _shown(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 4]} ..."


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_shown, value))}{',' * (len(value) == 1)})"
    if value is None or value is Ellipsis or isinstance(value, (str, bool)):
        return "..." if value is Ellipsis else repr(value)
    if isinstance(value, complex):
        return f"{value:.6g}"
    if _is_number(value):
        return _number(value)
    if isinstance(value, list) and (_is_parts(value) or len(value) <= _MANY):
        return f"[{', '.join(map(_shown, value[:_MANY]))}{', ...' * (len(value) > _MANY)}]"
    array = _array(value) if is_tensor(value) or isinstance(value, (np.ndarray, list)) else None
    if array is None:
        return getattr(value, "__name__", None) or _a(value)
    if array.shape == ():
        return _number(array.item())
    with np.printoptions(threshold=_MANY, edgeitems=_ENDS):
        numbers_ = " ".join(
            np.array2string(
                array,
                separator=", ",
                formatter={"float": lambda x: f"{x:.5g}", "bool": lambda x: str(bool(x))},
                max_line_width=10_000,
            ).split()
        )
    sizes = " x ".join(map(str, array.shape))
    return numbers_ if array.ndim == 1 and array.size <= _MANY else f"{numbers_} ({sizes})"
