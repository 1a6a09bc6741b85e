"""What the reader has answered, guessed and solved, in all lessons: kept in the file of choices, and who hears of it.

For `grading` and `exercises`, which write here, and for `progress` and `report`, which read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from . import forms
from .saved import Choices, Entries

Status = Literal["missing", "almost", "not yet", "correct"]
SIGNS: Mapping[Status, str] = {"missing": "○", "almost": "≈", "not yet": "✗", "correct": "✓"}

#: Sections of the file of choices.
ANSWERS, EXERCISES, KEPT = "answers", "exercises", "kept"
#: Longest code that is kept of an exercise, in characters.
LONGEST = 20_000
_STATUS = ("almost", "not yet", "correct")


def _status(value: Any, name: str) -> None:
    if value not in _STATUS:
        raise ValueError(f"{name} should be one of {', '.join(_STATUS)}, got {value!r}")


#: What an entry of each section should look like.
_FORMS: Mapping[str, forms.Form] = {
    ANSWERS: forms.fields(answer=forms.text, status=_status),
    EXERCISES: forms.fields(code=forms.text, status=_status),
}
#: What is kept of a guess beside the number itself, once the answer is known.
_RESULT = forms.fields(truth=forms.number(), unit=forms.text, question=forms.text)

_WATCHERS: dict[str, Callable[[], None]] = {}


def watch(name: str, hear: Callable[[], None] | None) -> None:
    """Call ``hear`` after each answer, guess and exercise, in place of an earlier one of that name; None: no longer."""
    _WATCHERS.pop(name, None)
    if hear is not None:
        _WATCHERS[name] = hear


def tell() -> None:
    """Say to all who watch that something was done, or forgotten."""
    for hear in [*_WATCHERS.values()]:
        hear()


def entries() -> Entries:
    """All that is kept, of all lessons; nothing where there is no file, or a broken one."""
    try:
        return Choices().read()
    except ValueError:  # said by the explorer
        return {}


def fitting(section: str, kept: Entries) -> dict[str, dict[str, Any]]:
    """The answers or exercises that are kept; what has another form is left out."""
    return {key: value for key, value in kept.get(section, {}).items() if _fits(_FORMS[section], value, key)}


def _fits(form: forms.Form, value: Any, name: str) -> bool:
    try:
        form(value, name)
    except ValueError:
        return False
    return True


def keep(section: str, key: str, **what: str) -> None:
    """Keep an answer or an exercise of the reader's."""
    Choices().keep(section, key, what)
    tell()


def setting(explorer: Any) -> dict[str, Any]:
    """Where an explorer stands, as JSON: its words and sizes. A guess is judged, and drawn, where it was made."""
    words = explorer.vocabulary
    return {"words": [words.name, len(words), float(words.total)], "d": explorer.in_features, "B": explorer.batch}


def is_at(result: Mapping[str, Any], explorer: Any) -> bool:
    """Whether an explorer stands where the answer to a guess was found."""
    return bool(result.get("at") == setting(explorer))


def guess_here(key: str, explorer: Any) -> float | None:
    """The guess to draw: None where there is none, or the explorer stands at other words or sizes."""
    kept = guess_of(key, explorer.recall)
    return None if kept is None or not (kept[1] is None or is_at(kept[1], explorer)) else kept[0]


def guess_on_words(key: str, explorer: Any) -> float | None:
    """The guess to draw where it was about words alone: None where there is none, or the explorer has other words."""
    kept = guess_of(key, explorer.recall)
    at = None if kept is None or kept[1] is None else kept[1].get("at", {}).get("words")
    return None if kept is None or at not in (None, setting(explorer)["words"]) else kept[0]


def guess_of(key: str, recall: Callable[[str], Any]) -> tuple[float, dict[str, Any] | None] | None:
    """A kept guess and its result, ``{truth, unit, question}``, None where that is not known yet; None without a guess.

    ``recall``: gives a measurement that is kept under a name, such as `Explorer.recall`.
    """
    guess, result = recall(f"guess {key}"), recall(f"result {key}")
    if not _fits(forms.number(), guess, key):
        return None
    return float(guess), result if _fits(_RESULT, result, key) else None
