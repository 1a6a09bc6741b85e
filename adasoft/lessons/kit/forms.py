"""What kept and recorded values should look like: checks that name the field that does not.

A `Form` is called with a value and its name, and raises ValueError (``NAME should be RULE, got VALUE``) if it does not
fit. Values come from JSON: objects, lists, texts, numbers, true and false.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias

from ...files import short

Form: TypeAlias = Callable[[Any, str], None]


def _refuse(name: str, rule: str, value: Any) -> None:
    raise ValueError(f"{name} should be {rule}, got {short(value)}")


def anything(value: Any, name: str) -> None:
    """Whatever it is: it is compared as a whole."""


def text(value: Any, name: str) -> None:
    """A text."""
    if not isinstance(value, str):
        _refuse(name, "a text", value)


def flag(value: Any, name: str) -> None:
    """True or false."""
    if not isinstance(value, bool):
        _refuse(name, "true or false", value)


def number(least: float = -math.inf, most: float = math.inf, *, above: float = -math.inf, whole: bool = False) -> Form:
    """A finite number from ``least`` to ``most`` and beyond ``above``; true and false are none."""
    rule = "a whole number" if whole else "a finite number"
    limits = [(least, "of at least"), (above, "above"), (most, "of at most")]
    rule += "".join(f" {words} {limit:,g}" for limit, words in limits if math.isfinite(limit))

    def check(value: Any, name: str) -> None:
        fits = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        if not (fits and -1e300 < value < 1e300 and least <= value <= most and value > above):
            _refuse(name, rule, value)

    return check


def optional(form: Form) -> Form:
    """Null, or what ``form`` takes."""
    return lambda value, name: None if value is None else form(value, name)


def each(form: Form, *, fewest: int = 0) -> Form:
    """A list of at least ``fewest`` such values."""

    def check(value: Any, name: str) -> None:
        if not isinstance(value, list) or len(value) < fewest:
            _refuse(name, f"a list of at least {fewest}" if fewest else "a list", value)
        for i, item in enumerate(value):
            form(item, f"{name}[{i}]")

    return check


def row(*forms: Form) -> Form:
    """A list of exactly these values."""

    def check(value: Any, name: str) -> None:
        if not isinstance(value, list) or len(value) != len(forms):
            _refuse(name, f"a list of {len(forms)}", value)
        for i, form in enumerate(forms):
            form(value[i], f"{name}[{i}]")

    return check


def table(form: Form, *, keys: Collection[str] | Callable[[str], bool] | None = None) -> Form:
    """An object whose every value fits ``form``; ``keys``: which names it may have."""
    allowed: Callable[[str], bool] = lambda key: keys is None or (keys(key) if callable(keys) else key in keys)  # noqa: E731

    def check(value: Any, name: str) -> None:
        if not isinstance(value, Mapping):
            _refuse(name, "an object", value)
        for key, item in value.items():
            if not allowed(key):
                raise ValueError(f"{name} has an entry {short(key)} that is not known")
            form(item, f"{name}.{key}")

    return check


def fields(**forms: Form) -> Form:
    """An object that has these entries, and perhaps others; an underscore stands for a blank."""

    def check(value: Any, name: str) -> None:
        if not isinstance(value, Mapping):
            _refuse(name, "an object", value)
        for key, form in forms.items():
            key = key.replace("_", " ")
            if key not in value:
                raise ValueError(f"{name}.{key} is missing")
            form(value[key], f"{name}.{key}")

    return check


def both(*forms: Form) -> Form:
    """What fits all of them."""

    def check(value: Any, name: str) -> None:
        for form in forms:
            form(value, name)

    return check


#: Seconds of a measurement, its quartiles, and how many runs: as `timings.Spread`.
SECONDS = number(above=0)
SPREAD = row(SECONDS, SECONDS, SECONDS, number(1, whole=True))
SHARE = number(0, 1)
COUNT = number(0, whole=True)


def measured(keys: Callable[[str], bool] | None = None) -> Form:
    """A measurement as `timings.Tally` keeps it."""
    return fields(sizes=anything, device=text, date=text, times=table(SPREAD, keys=keys))


def decimal(key: str) -> bool:
    """Whether a name is a whole number from 1, written in digits."""
    return key.isascii() and key.isdecimal() and len(key) < 12 and int(key) > 0
