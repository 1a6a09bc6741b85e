"""The one object that all panels read and write."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import traitlets as t
from ipywidgets import Widget

from ...cost import Cost, LayerCost, MeasuredCost, PaperCost, cached_records, load_cost, read_record, shipped_records
from ...files import short
from ...planning import Plan, default_widths, plan
from ...vocabulary import Vocabulary, wordfreq_tokens
from . import forms
from .saved import Choices, say_once

LANGUAGES = {
    "en": "English", "de": "German", "fi": "Finnish", "fr": "French", "es": "Spanish", "it": "Italian", "nl": "Dutch",
    "pl": "Polish", "cs": "Czech", "ru": "Russian", "tr": "Turkish", "ar": "Arabic", "bg": "Bulgarian",
    "da": "Danish", "el": "Greek", "hu": "Hungarian", "ja": "Japanese", "zh": "Chinese",
}  # fmt: skip

#: Held while a callback runs and while views are drawn: JupyterLab may run messages of widgets in threads of their own,
#: beside the thread that runs cells. A slow callback would otherwise finish after, and undo, the one that the reader
#: caused later, and a view drawn by a cell would take a reader's move for its own writing.
LOCK = threading.RLock()

#: How the width of tail i follows from d.
WIDTH_RULES: dict[str, Callable[[int, int], list[int]]] = {
    "d/4, d/16, d/64 ...": default_widths,
    "d/4 for every tail": lambda d, n_tails: default_widths(d, 1) * n_tails,
    "d for every tail": lambda d, n_tails: [d] * n_tails,
}
MAX_TAILS = 5

#: Nothing but words scored: g(k, n) = n k. No width, no projection, no constant.
COUNTED_WORDS = PaperCost(c=0.0, lam=1.0, k0=0.0, name="counted: words scored")

_MULTIPLY = {"product": [0, 1, 0, 0, 0, 0], "projection": [0, 1, 0, 0], "rows": [0, 0, 0]}
#: Nothing but the multiplications of the forward products: n k d, and n d d_i for a projection.
COUNTED_MULTIPLICATIONS = MeasuredCost(
    {"train": _MULTIPLY, "decode": _MULTIPLY}, {"train": 0.0, "decode": 0.0}, name="counted: multiplications"
)


@lru_cache(maxsize=24)
def load_language(code: str) -> Vocabulary:
    """The words of a language (wordfreq), read once per session."""
    vocabulary = Vocabulary.from_wordfreq(code)
    vocabulary.name = LANGUAGES.get(code, code)
    return vocabulary


def counts(cost: Cost) -> bool:
    """Whether a cost model counts instead of timing."""
    return cost is COUNTED_WORDS or cost is COUNTED_MULTIPLICATIONS


def cost_at_hand(device: str | None = None, *, dtype: str = "float32") -> MeasuredCost:
    """As `adasoft.load_cost`; a damaged record of this machine is said once, and a recorded one takes its place.

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
    raise LookupError(f"no timings of a {kind} device with {dtype} are at hand")


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


def _cost_named(name: str) -> Cost:
    """A cost model by its name. Raises LookupError if there is none."""
    if name == AT_HAND:
        return cost_at_hand()
    recorded = _readable([*cached_records(), *shipped_records()])
    for cost in (COUNTED_WORDS, COUNTED_MULTIPLICATIONS, *recorded, *recorded_costs()):
        if cost.name == name:
            return cost
    raise LookupError(f"there is none named {name!r} any more")


#: The traits that every explorer keeps under the name of its lesson.
_KEPT = ("in_features", "batch", "width_rule", "objective", "cost", "cutoffs")


#: What some traits are called in the lessons.
_LETTERS = {"in_features": "d", "batch": "B", "n_words": "V", "n_full": "N", "cost": "cost model"}


def _given(vocabulary: Vocabulary | str | None, cost: Cost | None, traits: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of an explorer, as JSON: enough to tell whether they are others than before."""
    named = {"vocabulary": vocabulary, "cost": cost, **traits}
    given = {name: value for name, value in named.items() if value is not None}

    def plain(value: Any) -> Any:
        if isinstance(value, Vocabulary):
            return [value.name, len(value), float(value.total)]
        return value.name if isinstance(value, Cost) else np.asarray(value).tolist()

    return json.loads(json.dumps({name: plain(value) for name, value in given.items()}, default=str))  # type: ignore[no-any-return]


def language_of(words: Vocabulary) -> str | None:
    """The code of a language whose list these words are."""
    code = next((c for c in LANGUAGES if LANGUAGES[c] == words.name), None)
    return code if code is not None and words is load_language(code) else None


def read_words(path: str | os.PathLike[str], name: str | None = None) -> Vocabulary:
    """The words of a text, cut and folded as the lists of languages are (so that both can be compared), or of a file
    of counts, whichever it looks like."""
    try:
        return Vocabulary.read(path, tokenizer=wordfreq_tokens, name=name)
    except TypeError:  # counts: their reader knows no tokenizer
        return Vocabulary.from_counts_file(path, name=name)


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


#: The explorer of each lesson in this kernel, by the file that keeps its choices.
_LIVE: dict[Any, Any] = {}


class _OnePerLesson(t.MetaHasTraits):  # type: ignore[misc]
    """Makes one explorer per lesson, however often its cell is run: the one that the panels on the page show."""

    def __call__(cls, *arguments: Any, **traits: Any) -> Any:
        lesson = traits.get("lesson")
        if lesson is None:
            return super().__call__(*arguments, **traits)
        made_with = cls, arguments, traits
        with LOCK:
            key = lesson, Choices().path
            old = _LIVE.get(key)
            if old is not None and old._made_with == made_with:
                old.refresh()
                return old
            if old is not None:
                old.close()  # other arguments: its panels would show what is no more
            new = super().__call__(*arguments, **traits)
            new._made_with = made_with
            _LIVE[key] = new
            return new


class Explorer(t.HasTraits, metaclass=_OnePerLesson):
    """Words, sizes, cutoffs and a cost model, and what follows from them.

    Views watch ``version`` alone: it rises once all is consistent, so none ever sees cutoffs of another vocabulary.
    Made again for the same lesson with the same arguments (its cell run again), it is the same object.

    Args:
        vocabulary: a `Vocabulary` or a language code; English by default.
        cost: a cost model; by default the one of this machine, else a recorded one, else counted multiplications.
        lesson: a name under which the reader's choices are kept in the cache folder and found again: cutoffs, sizes,
            widths, objective, cost model and a language that was looked at for each name; own words, and a language
            chosen by :meth:`use_in_all_lessons`, for all of them. What is found again is said in one line. An
            argument given here beats what was kept when it was not given, or was another; as long as it stays, it is
            what the reader starts from. None: nothing is read or kept.
        traits: any other trait, by name.

    Raises:
        TraitError, ValueError: a value out of range; it says which range.
    """

    #: What it starts with where nothing is given.
    _begin: ClassVar[Mapping[str, Any]] = {"cutoffs": (2000,)}
    #: Traits that are kept, in the order in which they are set: those that the words depend on, and the rest.
    _before_words: ClassVar[tuple[str, ...]] = ()
    _kept_traits: ClassVar[tuple[str, ...]] = _KEPT
    #: What measurements, guesses and the like that it recalls should look like.
    _forms: ClassVar[Mapping[str, forms.Form]] = {"game": forms.text}

    vocabulary = t.Instance(Vocabulary)
    in_features = t.Int(512)
    """d"""
    batch = t.Int(2560)
    """B"""
    cutoffs = t.Tuple()
    """c_1 < ... < c_J, V left out."""
    width_rule = t.Enum(tuple(WIDTH_RULES), next(iter(WIDTH_RULES)))
    cost = t.Instance(Cost)  # type: ignore[type-abstract]
    objective = t.Enum(("train", "decode"), "train")
    active = t.Int(0)
    """Which cutoff moved last, from 0."""
    version = t.Int(0)

    def __init__(
        self, vocabulary: Vocabulary | str | None = None, *, cost: Cost | None = None, lesson: str | None = None,
        **traits: Any,
    ) -> None:  # fmt: skip
        words = vocabulary if isinstance(vocabulary, Vocabulary) else load_language(vocabulary or "en")
        if len(words) < 2:
            raise ValueError(f"vocabulary: expected at least 2 words, {words.name!r} has {len(words)}")
        self._quiet, self._slots, self._memo = True, {}, {}  # type: ignore[var-annotated]
        self._lesson, self._choices = lesson, None if lesson is None else Choices()
        self._kept: dict[str, Any] = {}
        super().__init__()
        start = {**self._begin, **traits}
        for name in self._before_words:
            if name in start:
                setattr(self, name, start.pop(name))
        self.vocabulary = words
        self.cost = cost or measured_cost() or COUNTED_MULTIPLICATIONS
        if "cutoffs" not in traits:
            start["cutoffs"] = fitted(start["cutoffs"], len(self.vocabulary))
        for name, value in start.items():
            setattr(self, name, value)
        self._start = {name: getattr(self, name) for name in (*self._before_words, *self._kept_traits)}
        self._start["vocabulary"] = self._words_kept = self._chosen_words
        self._given = _given(vocabulary, cost, traits)
        if self._choices is not None:
            self._choices.check_folder()
            self._find_again(self._choices)
        self._quiet = False

    # ---- what is kept

    @property
    def _section(self) -> str:
        return f"lesson {self._lesson}"

    @property
    def _chosen_words(self) -> Vocabulary:
        """The words as chosen, whatever part of them is shown."""
        return self.vocabulary

    def _find_again(self, choices: Choices) -> None:
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

        for name in self._before_words:
            if name in mine:
                take(name, lambda name=name: self._read(name, mine[name]))  # type: ignore[misc]
        take("vocabulary", lambda: self._words_again(choices, mine))
        self._words_kept = self._chosen_words
        self.cutoffs = fitted(self.cutoffs, len(self.vocabulary))
        for name in self._kept_traits:
            if name in mine:
                take(name, lambda name=name: self._read(name, mine[name]))  # type: ignore[misc]
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
            raise ValueError(f"should be no {str(value).lower()}")
        if name == "cost":
            return _cost_named(value)
        if name == "cutoffs":
            return fitted(_listed(value), len(self.vocabulary))
        return _listed(value) if isinstance(self.traits()[name], t.Tuple) else value

    def _said(self, name: str) -> Any:
        """A trait's value as JSON keeps it."""
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
        elif name in (*self._before_words, *self._kept_traits):
            self._choices.keep(self._section, name, self._said(name))
        else:
            return
        if self._given:
            self._choices.keep(self._section, "given", self._given)

    def _say_what_is_kept(self) -> None:
        """One line on all that differs from what the cell says, and the way back."""
        words = self._chosen_words
        told = [] if words is self._start["vocabulary"] else [f"words of {short(words.name)[1:-1]}"]
        for name in (*self._before_words, *self._kept_traits):
            value = getattr(self, name)
            if value != self._start[name]:
                told.append(f"{_LETTERS.get(name, name.replace('_', ' '))} {_told(value)}")
        if told:
            print(f"Kept from last time: {'; '.join(told)}. The way back: start_over() of this explorer.")

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
            self._quiet = True
            try:
                self._to_start()
                if self._choices is not None:
                    self._find_again(self._choices)
            finally:
                self._quiet = False
            self.version += 1

    def remember(self, key: str, value: Any) -> None:
        """Keep a JSON value for all lessons, over restarts; in memory only without a ``lesson``.

        Raises TypeError or ValueError for what JSON cannot say.
        """
        if self._choices is not None:
            self._choices.keep("kept", key, value)
        self._kept[key] = value

    def recall(self, key: str, default: Any = None) -> Any:
        """What was kept under this key."""
        return self._kept.get(key, default)

    def forget(self) -> None:
        """Forget what all lessons kept, own words included, and go back to the start. Machine records stay."""
        if self._choices is not None:
            self._choices.forget()
        self._kept.clear()
        self._quiet = True
        try:
            self._to_start()
        finally:
            self._quiet = False
        self.version += 1

    def _to_start(self) -> None:
        self.cutoffs = ()  # none can be in the way of other words
        for name in (*self._before_words, "vocabulary", *self._kept_traits):
            setattr(self, name, self._start[name])
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
                entries = {}  # said by `_find_again`
            if (entries.get("words", {}) if entries else None) == self._choices.words:
                self._kept = self._fitting(entries.get("kept", self._kept), [])
                return
            self._quiet = True
            try:
                self._to_start()
                self._find_again(self._choices)
            finally:
                self._quiet = False
            self.version += 1

    def close(self) -> None:
        """End all views of it, and keep what was chosen."""
        if self._choices is not None:
            self._choices.flush()
        for slot in list(self._slots):
            handler, widget = self._slots.pop(slot)
            self.unobserve(handler, "version")
            close_all(widget)

    # ---- what may be set

    @t.validate("in_features", "batch")
    def _at_least_one(self, proposal: Any) -> int:
        name, letter = proposal["trait"].name, "d" if proposal["trait"].name == "in_features" else "B"
        if not 1 <= proposal["value"] <= 2**20:
            raise t.TraitError(f"{letter} ({name}) should be from 1 to {2**20:,}, got {proposal['value']:,}")
        return int(proposal["value"])

    @t.validate("vocabulary")
    def _enough_words(self, proposal: Any) -> Vocabulary:
        if len(proposal["value"]) < 2:
            raise t.TraitError("a vocabulary needs at least 2 words to be cut")
        return proposal["value"]  # type: ignore[no-any-return]

    @t.validate("cutoffs")
    def _in_order(self, proposal: Any) -> tuple[int, ...]:
        cutoffs, n = tuple(int(c) for c in proposal["value"]), len(self.vocabulary)
        if len(cutoffs) > MAX_TAILS:
            raise t.TraitError(f"cutoffs: expected at most {MAX_TAILS}, got {len(cutoffs)}")
        if any(b <= a for a, b in zip((0, *cutoffs), (*cutoffs, n), strict=True)):
            raise t.TraitError(f"cutoffs should rise and lie between 1 and V - 1 = {n - 1:,}, got {list(cutoffs)}")
        return cutoffs

    @t.observe("vocabulary", "in_features", "batch", "cutoffs", "width_rule", "cost", "objective", "active")
    def _settle(self, change: Any) -> None:
        if self._quiet:
            return
        with LOCK:
            if change["name"] == "vocabulary":
                self._quiet = True
                try:
                    self.cutoffs = fitted(self.cutoffs, len(self.vocabulary))
                finally:
                    self._quiet = False
                self._keep("cutoffs")
            self._keep(change["name"])
            self.active = max(0, min(self.active, len(self.cutoffs) - 1))
            self.version += 1

    def limits(self, i: int) -> tuple[int, int]:
        """Least and largest value of cutoff i (from 0) between its neighbours."""
        edges = (0, *self.cutoffs, len(self.vocabulary))
        return edges[i] + 1, edges[i + 2] - 1

    def set_cutoff(self, i: int, value: int, *, clip: bool = False) -> None:
        """Move one cutoff; ``clip`` stops it at its neighbours, else ValueError says what is possible."""
        low, high = self.limits(i)
        if not low <= value <= high:
            if not clip:
                raise ValueError(f"c{i + 1} = {value:,} is refused: here it can be {low:,} to {high:,}")
            value = min(max(value, low), high)
        # one round of redrawing for both
        self._quiet, self.active = True, i
        self._quiet = False
        self.cutoffs = (*self.cutoffs[:i], int(value), *self.cutoffs[i + 1 :])

    def set_n_tails(self, n_tails: int) -> None:
        """Drop the last cutoffs, or add new ones between the last and V (in the middle on the log scale)."""
        cutoffs, n = list(self.cutoffs[:n_tails]), len(self.vocabulary)
        while len(cutoffs) < n_tails:
            last = cutoffs[-1] if cutoffs else 1
            if last + 1 >= n:
                raise ValueError(f"no room for {n_tails} cutoffs: the last is {last:,} of V = {n:,} words")
            cutoffs.append(min(max(round((last * n) ** 0.5), last + 1), n - 1))
        self.cutoffs = tuple(cutoffs)

    def plan_for_me(
        self, n_tails: int | None = None, min_head_share: float = 0.75, *, cost: Cost | None = None
    ) -> Plan:
        """The exact plan with ``n_tails`` tails (as many as now, if None) and the present widths; does not set it."""
        n_tails = len(self.cutoffs) if n_tails is None else n_tails
        return plan(
            self.vocabulary, self.in_features, self.batch, cost=cost or self.cost, n_tails=n_tails,
            widths=self.widths_for(n_tails),
            min_head_share=min_head_share, objective=self.objective,  # type: ignore[arg-type]
        )  # fmt: skip

    def paper_cutoffs(self) -> tuple[int, ...]:
        """The cutoffs that the paper's authors took for a vocabulary of about this size."""
        n = len(self.vocabulary)
        # Penn Treebank 10k, Text8 44k, One Billion Word 793k
        choice = (4000, 40000, 200000) if n > 200_000 else (2000, 10000) if n > 10_000 else (2000,)
        return tuple(c for c in choice if c < n)

    def reset(self) -> None:
        """Back to the cutoffs it was made with, as far as they fit these words."""
        self.cutoffs = fitted(self._start["cutoffs"], len(self.vocabulary))

    # ---- what follows

    def _cached(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self._memo:
            if len(self._memo) > 32:
                self._memo.clear()
            self._memo[key] = make()
        return self._memo[key]

    @property
    def _sizes(self) -> tuple[Any, ...]:
        # the objects themselves: an id could be given again
        return self.vocabulary, self.in_features, self.batch, self.width_rule, self.cost, self.objective

    @property
    def widths(self) -> list[int]:
        """Width d_i of each tail."""
        return self.widths_for(len(self.cutoffs))

    def widths_for(self, n_tails: int) -> list[int]:
        """Widths that the present rule gives so many tails."""
        return WIDTH_RULES[self.width_rule](self.in_features, n_tails)

    @property
    def names(self) -> list[str]:
        """The clusters: head, tail 1 ... tail J."""
        return ["head", *(f"tail {i + 1}" for i in range(len(self.cutoffs)))]

    @property
    def word_shares(self) -> list[float]:
        """Share of the words in each cluster."""
        n = len(self.vocabulary)
        return [float(k) / n for k in np.diff([0, *self.cutoffs, n])]

    @property
    def token_shares(self) -> list[float]:
        """Share of the tokens in each cluster, p_h, p_1 ... p_J."""
        return self._token_shares(self.cutoffs)

    def _token_shares(self, cutoffs: Sequence[int]) -> list[float]:
        return [float(p) for p in np.diff(self.vocabulary.cumulative[[0, *cutoffs, len(self.vocabulary)]])]

    def _layer(self, cutoffs: Sequence[int]) -> LayerCost:
        return self.cost.layer(
            len(self.vocabulary), cutoffs, self.widths_for(len(cutoffs)),
            self._token_shares(cutoffs)[1:], self.in_features, self.batch, self.objective,  # type: ignore[arg-type]
        )  # fmt: skip

    @property
    def prediction(self) -> LayerCost:
        """Predicted cost of the layer with these cutoffs."""
        return self._cached((self._sizes, self.cutoffs), lambda: self._layer(self.cutoffs))  # type: ignore[no-any-return]

    @property
    def full(self) -> LayerCost:
        """Predicted cost of a full softmax."""
        return self._cached((self._sizes, ()), lambda: self._layer(()))  # type: ignore[no-any-return]

    @property
    def speedup(self) -> float:
        """Predicted time of the full softmax over that of these cutoffs."""
        return self.full.seconds / self.prediction.seconds

    def speedup_at(self, cutoffs: Sequence[int]) -> float:
        """The same for other cutoffs, as far as they fit these words."""
        return self.full.seconds / self._layer(fitted(cutoffs, len(self.vocabulary))).seconds

    def curve(self, i: int, points: int = 72) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Total against cutoff i between its neighbours, the others fixed: places and predicted seconds."""
        if not self.cutoffs:
            return np.ones(1), np.full(1, self.full.seconds)
        others = (*self.cutoffs[:i], *self.cutoffs[i + 1 :])

        def make() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
            low, high = self.limits(i)
            # denser at the right, where a log axis squeezes a steep rise into a few pixels
            places = np.concatenate([np.geomspace(low, high, points), high + low - np.geomspace(low, high, 12)])
            places = np.unique(places.round().astype(np.int64).clip(low, high))
            seconds = [self._layer((*others[:i], int(c), *others[i:])).seconds for c in places]
            return places.astype(np.float64), np.asarray(seconds)

        return self._cached((self._sizes, "curve", i, others), make)  # type: ignore[no-any-return]

    @property
    def counted(self) -> bool:
        """Whether the cost model counts instead of timing."""
        return counts(self.cost)

    @property
    def unit(self) -> str:
        """What ``amount`` is in."""
        if self.cost is COUNTED_WORDS:
            return "words scored per token"
        return "million multiplications per token" if self.counted else "ms per step"

    def amount(self, seconds: Any) -> Any:
        """Seconds of the cost model in the unit that is shown."""
        if self.counted:
            return np.asarray(seconds) / (self.batch * (1.0 if self.cost is COUNTED_WORDS else 1e6))
        return np.asarray(seconds) * 1e3

    # ---- views

    def attach(self, slot: str, redraw: Callable[[], None], widget: Any = None) -> None:
        """Call ``redraw`` at every change. A second view in the same slot (a cell run again) replaces the first."""
        with LOCK:
            old, old_widget = self._slots.pop(slot, (None, None))
            if old is not None:
                self.unobserve(old, "version")
            close_all(old_widget)

            def handler(_change: Any) -> None:
                redraw()

            self._slots[slot] = (handler, widget)
            self.observe(handler, "version")
            redraw()

    def __repr__(self) -> str:
        return (
            f"Explorer({self.vocabulary.name!r}, V={len(self.vocabulary):,}, d={self.in_features}, B={self.batch:,}, "
            f"cutoffs={list(self.cutoffs)}, cost={self.cost.name!r})"
        )


def close_all(widget: Any) -> None:
    """Close a widget, its children, and their layouts and styles, which ipywidgets would keep for ever."""
    if widget is None:
        return
    for child in getattr(widget, "children", ()):
        close_all(child)
    for name in ("layout", "style"):
        part = getattr(widget, name, None)
        if isinstance(part, Widget):  # a live figure's layout is plotly's
            part.close()
    widget.close()


_SHOWN: dict[str, Any] = {}


def replace(slot: str, widget: Any) -> None:
    """A widget of no explorer, shown again (its cell run again), replaces the earlier one in the same slot."""
    with LOCK:
        close_all(_SHOWN.pop(slot, None))
        _SHOWN[slot] = widget


def fitted(cutoffs: Sequence[int], n: int) -> tuple[int, ...]:
    """The cutoffs that fit n words; the middle on the log scale if none does."""
    return tuple(int(c) for c in cutoffs if c < n) or ((max(1, round(n**0.5)),) if cutoffs else ())
