"""Traits of explorers that say their range, and which of them are kept over a restart.

A trait that an explorer keeps is tagged where it is declared: ``d = kept(Whole(512, 1, 2**20, "d"))``.
"""

from __future__ import annotations

from typing import Any, TypeVar

import traitlets as t

T = TypeVar("T", bound="t.TraitType[Any, Any]")


class _InRange:
    """A number from ``low`` to ``high``, called ``letter`` in the lessons; ``high`` None: there is no largest."""

    def __init__(self, default: float, low: float, high: float | None, letter: str) -> None:
        super().__init__(default)  # type: ignore[call-arg]
        self.low, self.high, self.letter = low, high, letter

    def validate(self, owner: Any, value: Any) -> Any:
        """The value. Raises TraitError, with the range, outside of it."""
        value = super().validate(owner, value)  # type: ignore[misc]
        if not self.low <= value <= (value if self.high is None else self.high):
            allowed = f"at least {self.low:,}" if self.high is None else f"from {self.low:,} to {self.high:,}"
            raise t.TraitError(f"{self.letter} should be {allowed}, got {value:,}")
        return value


class Whole(_InRange, t.Int):  # type: ignore[misc, type-arg]
    """A whole number with a range."""


class Real(_InRange, t.Float):  # type: ignore[misc, type-arg]
    """A number with a range."""


def kept(trait: T, *, before_words: bool = False) -> T:
    """Keep the trait's value over a restart; ``before_words``: the words depend on it, so it is set before them."""
    return trait.tag(kept=True, before_words=before_words)  # type: ignore[no-any-return]


def kept_names(explorer: t.HasTraits, before_words: bool | None = None) -> tuple[str, ...]:
    """The traits that are kept, those of a lesson before those of all, in the order of their declaration.

    ``before_words``: only those that the words depend on, or only the others.
    """
    declared = dict.fromkeys(name for kind in type(explorer).__mro__ for name in vars(kind))
    tags = {name: trait.metadata["before_words"] for name, trait in explorer.traits(kept=True).items()}
    return tuple(name for name in declared if name in tags and before_words in (None, tags[name]))
