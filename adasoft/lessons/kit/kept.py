"""What the reader chose and measured, taken up again after a restart: which traits, in which order, and what is said.

`saved` has the file; here is what an explorer reads from it and writes to it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import traitlets as t

from ...cost import Cost
from ...files import short
from ...vocabulary import Vocabulary
from . import forms
from .costs import AT_HAND, cost_named, measured_cost
from .languages import LANGUAGES, language_of, load_language
from .saved import Choices, say_once
from .traits import kept_names
from .views import LOCK

#: What some traits are called in the lessons.
_LETTERS = {"in_features": "d", "batch": "B", "n_words": "V", "n_full": "N", "cost": "cost model"}


def given(vocabulary: Vocabulary | str | None, cost: Cost | None, traits: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of an explorer, as JSON: enough to tell whether they are others than before."""
    named = {"vocabulary": vocabulary, "cost": cost, **traits}
    given = {name: value for name, value in named.items() if value is not None}

    def plain(value: Any) -> Any:
        if isinstance(value, Vocabulary):
            return [value.name, len(value), float(value.total)]
        return value.name if isinstance(value, Cost) else np.asarray(value).tolist()

    return json.loads(json.dumps({name: plain(value) for name, value in given.items()}, default=str))  # type: ignore[no-any-return]


def _code(value: Any) -> str:
    """A language's code. Raises ValueError for anything else."""
    if not isinstance(value, str) or value not in LANGUAGES:
        raise ValueError(f"language should be one of {', '.join(LANGUAGES)}, got {short(value)}")
    return value


def _listed(value: Any) -> tuple[Any, ...]:
    """A list of numbers or texts as a tuple. Raises ValueError for anything else."""
    if not isinstance(value, list) or any(isinstance(item, (bool, list, dict)) or item is None for item in value):
        raise ValueError(f"should be a list of numbers or texts, got {short(value)}")
    return tuple(value)


def _told(value: Any) -> str:
    """A kept value for a line of text."""
    if isinstance(value, tuple):
        return ", ".join(map(_told, value)) or "none"
    if isinstance(value, Cost):
        return short(value.name)[1:-1]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return short(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def fitted(cutoffs: Sequence[int], n: int) -> tuple[int, ...]:
    """The cutoffs that fit n words; the middle on the log scale if none does."""
    return tuple(int(c) for c in cutoffs if c < n) or ((max(1, round(n**0.5)),) if cutoffs else ())


class Kept(t.HasTraits):  # type: ignore[misc]
    """The part of an `Explorer` that keeps the reader's choices under the name of a lesson."""

    #: Traits that are kept without being tagged so (see `traits.kept`): those that the words depend on, and the rest.
    _before_words: ClassVar[tuple[str, ...]] = ()
    _kept_traits: ClassVar[tuple[str, ...]] = ()
    #: What measurements, guesses and the like that it recalls should look like.
    _forms: ClassVar[Mapping[str, forms.Form]] = {}

    vocabulary: Vocabulary
    cutoffs: Any
    version: Any
    meant: tuple[int, ...] = ()
    """The cutoffs as they were chosen; of these, fewer words may leave room for some only, and more bring them back."""

    def __init__(self) -> None:
        self._quiet = True
        self._lesson: str | None = None
        self._choices: Choices | None = None
        self._kept: dict[str, Any] = {}
        super().__init__()

    def _begin_to_keep(self, lesson: str | None, given: dict[str, Any]) -> None:
        """Take the present values as the start, and what was kept over it."""
        self._given, self._lesson, self._meant_first = given, lesson, self.meant
        self._start = {name: getattr(self, name) for name in self.kept_traits}
        self._start["vocabulary"] = self._words_kept = self._chosen_words
        if lesson is not None:
            self._choices = Choices()
            self._choices.check_folder()
            self._take_kept(self._choices)

    @contextmanager
    def muted(self) -> Iterator[None]:
        """While several traits are set one after the other: nothing of it is kept, and no view hears of it."""
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before

    @property
    def _first(self) -> tuple[str, ...]:
        """The kept traits that the words depend on."""
        return (*self._before_words, *kept_names(self, before_words=True))

    @property
    def _rest(self) -> tuple[str, ...]:
        return (*self._kept_traits, *kept_names(self, before_words=False))

    @property
    def kept_traits(self) -> tuple[str, ...]:
        """All kept traits, in the order in which they are set."""
        return (*self._first, *self._rest)

    @property
    def _section(self) -> str:
        return f"lesson {self._lesson}"

    @property
    def _chosen_words(self) -> Vocabulary:
        """The words as chosen, whatever part of them is shown."""
        return self.vocabulary

    def _fit(self, cutoffs: Sequence[int]) -> tuple[int, ...]:
        """What the present words leave of some cutoffs."""
        return fitted(cutoffs, len(self.vocabulary))

    def _take_kept(self, choices: Choices) -> None:
        """Take the reader's choices and say so; what cannot be taken is said in one line and left."""
        try:
            entries = choices.read()
        except ValueError as error:
            say_once(f"Your choices are not used: {error}.")
            return
        refused: list[str] = []
        self._kept = self._fitting(entries.get("kept", {}), refused)
        choices.words = entries.get("words", {}) if entries else None
        mine = self._without_beaten(choices, entries.get(self._section, {}))

        def take(name: str, read: Callable[[], Any]) -> None:
            try:
                setattr(self, name, read())
            except Exception as error:
                refused.append(f"{name} ({' '.join(str(error).split())})")

        for name in self._first:
            if name in mine:
                take(name, lambda name=name: self._read(name, mine[name]))  # type: ignore[misc]
        take("vocabulary", lambda: self._words_again(choices, mine))
        self._words_kept = self._chosen_words
        self.cutoffs = self._fit(self.meant)
        for name in self._rest:
            if name in mine:
                take(name, lambda name=name: self._read(name, mine[name]))  # type: ignore[misc]
        if "cutoffs" in mine and not any(one.startswith("cutoffs ") for one in refused):
            self.meant = _listed(mine["cutoffs"])
        if refused:
            print(f"Of what is kept in {choices.path}, this is not used: {'; '.join(refused)}.")
        self._say_what_is_kept()

    def _fitting(self, kept: Mapping[str, Any], refused: list[str]) -> dict[str, Any]:
        """What has the form that it is recalled in; the rest is named."""
        fitting = {}
        for key, value in kept.items():
            form = forms.number() if key.startswith("guess ") else self._forms.get(key)
            try:
                if form is not None:
                    form(value, key)
                fitting[key] = value
            except ValueError as error:
                refused.append(str(error))
        return fitting

    def _without_beaten(self, choices: Choices, mine: Mapping[str, Any]) -> dict[str, Any]:
        """Of this lesson's choices, those that no new argument beats; the others are replaced in the file, too."""
        before = mine.get("given")
        before = before if isinstance(before, dict) else {}
        new = [name for name, value in self._given.items() if name not in before or before[name] != value]
        out = dict(mine)
        beaten = [name for name in new if out.pop("words" if name == "vocabulary" else name, None) is not None]
        for name in beaten:
            if name == "vocabulary":
                choices.keep(self._section, "words", None)
            else:
                choices.keep(self._section, name, self._said(name))
        if beaten:
            choices.keep(self._section, "given", self._given)
        return out

    def _read(self, name: str, value: Any) -> Any:
        """A trait's value from what JSON says of it."""
        if isinstance(value, bool) and not isinstance(self.traits()[name], t.Bool):
            raise ValueError(f"should not be {str(value).lower()}")
        if name == "cost":
            return cost_named(value)
        if name == "cutoffs":
            cutoffs = _listed(value)
            if any(b <= a for a, b in pairwise(cutoffs)):
                raise ValueError(f"should rise, got {short(value)}")
            return self._fit(cutoffs)
        return _listed(value) if isinstance(self.traits()[name], t.Tuple) else value

    def _said(self, name: str) -> Any:
        """A trait's value as JSON keeps it."""
        if name == "cutoffs":
            return self.meant
        value = getattr(self, name)
        if name != "cost":
            return value
        at_hand = measured_cost()
        return AT_HAND if at_hand is not None and at_hand.name == value.name else value.name

    def _words_again(self, choices: Choices, mine: Mapping[str, Any]) -> Vocabulary:
        """The words to go on with: those chosen in this lesson, unless words for all lessons were chosen since, or an
        argument says otherwise."""
        shared, own = choices.words or {}, mine.get("words")
        here = isinstance(own, dict) and own.get("instead of") == shared
        if here and own is not None and own.get("language") is not None:
            return load_language(_code(own["language"]))
        if here or "vocabulary" not in self._given:
            if shared.get("language") is not None:
                return load_language(_code(shared["language"]))
            if shared.get("own") is not None:
                return choices.own()
        return self._chosen_words

    def _keep(self, name: str) -> None:
        """Keep a choice of the reader's, if this trait is kept."""
        if self._choices is None:
            return
        if name == "vocabulary":
            words, before = self._chosen_words, self._words_kept
            code, self._words_kept = language_of(words), words
            if words is before or (code is None and words.words is None):
                return  # no others, or counts without words, of some code
            if code is None:
                self._choices.keep_own(words)
            shared = self._choices.words or {}
            self._choices.keep(self._section, "words", {"language": code, "instead of": shared})
        elif name in self.kept_traits:
            self._choices.keep(self._section, name, self._said(name))
        else:
            return
        if self._given:
            self._choices.keep(self._section, "given", self._given)

    def _say_what_is_kept(self) -> None:
        """One line on all that differs from what the cell says, and the way back."""
        words = self._chosen_words
        told = [] if words is self._start["vocabulary"] else [f"words of {short(words.name)[1:-1]}"]
        for name in self.kept_traits:
            value = getattr(self, name)
            if value != self._start[name]:
                told.append(f"{_LETTERS.get(name, name.replace('_', ' '))} {_told(value)}")
        if told:
            print(f"Kept from last time: {'; '.join(told)}. To go back, call start_over() on this explorer.")

    def use_in_all_lessons(self) -> None:
        """Make the present words those of all lessons; without it, a language that is looked at stays in its lesson.

        Raises ValueError for counts without words, which cannot be kept.
        """
        words = self._chosen_words
        code = language_of(words)
        if code is None and words.words is None:
            raise ValueError(f"vocabulary should have words to be kept, {words.name!r} has counts only")
        if self._choices is not None:
            if code is not None:
                self._choices.keep_language(code)
            else:
                self._choices.keep_own(words)

    def start_over(self) -> None:
        """Forget what was chosen in this lesson, and go back to what its cell says.

        Measurements stay, and so do words that were chosen for all lessons.
        """
        if self._choices is not None:
            self._choices.drop(self._section)
        with LOCK:
            with self.muted():
                self._to_start()
                if self._choices is not None:
                    self._take_kept(self._choices)
            self.version += 1

    def remember(self, key: str, value: Any) -> None:
        """Keep a JSON value for all lessons, over restarts; in memory only without a ``lesson``.

        Raises TypeError or ValueError for what JSON cannot say.
        """
        if self._choices is not None:
            self._choices.keep("kept", key, value)
        self._kept[key] = value

    def unremember(self, *keys: str) -> None:
        """Forget what was kept under these keys."""
        for key in keys:
            if self._choices is not None:
                self._choices.remove("kept", key)
            self._kept.pop(key, None)

    def recall(self, key: str, default: Any = None) -> Any:
        """What was kept under this key."""
        return self._kept.get(key, default)

    def forget(self) -> None:
        """Forget what all lessons kept, own words included, and go back to the start. Machine records stay."""
        if self._choices is not None:
            self._choices.forget()
        self._kept.clear()
        with LOCK:
            with self.muted():
                self._to_start()
            self.version += 1

    def _to_start(self) -> None:
        if "cost" in self._start and "cost" not in self._given:
            # this machine may have been timed since
            self._start["cost"] = measured_cost() or self._start["cost"]
        self.cutoffs = ()  # none can be in the way of other words
        for name in (*self._first, "vocabulary", *self._rest):
            setattr(self, name, self._start[name])
        self.meant = self._meant_first
        self._words_kept = self._chosen_words

    def refresh(self) -> None:
        """Take what another lesson has chosen for all of them since: words, or to forget everything."""
        if self._choices is None:
            return
        with LOCK:
            self._choices.flush()
            try:
                entries = self._choices.read()
            except ValueError:
                entries = {}  # said by `_take_kept`
            if (entries.get("words", {}) if entries else None) == self._choices.words:
                self._kept = self._fitting(entries.get("kept", self._kept), [])
                return
            with self.muted():
                self._to_start()
                self._take_kept(self._choices)
            self.version += 1
