"""Questions that grade themselves, and predictions to commit before an answer is shown.

A question computes its expected answer from the package, knows typical wrong answers, and says what each of them
mistook. The questions themselves are in each lesson's ``questions.py``, which registers them here. :func:`grade` is
pure; :func:`ask` and :func:`predict` are its widgets.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import ipywidgets as w

from .explorer import Explorer
from .parts import failure
from .typed_numbers import read_number
from .views import LOCK, replace
from .widgets import AnswerBox

Status = Literal["missing", "almost", "keep working", "correct"]
_SIGNS = {"missing": "○", "almost": "≈", "keep working": "✗", "correct": "✓"}


@dataclass(frozen=True)
class Question:
    """A question with one number as its answer."""

    text: str
    expected: Callable[[], float]
    wrong: dict[str, Callable[[], float]] = field(default_factory=dict)
    """Hint -> the wrong answer it is for."""
    why: str = ""
    tolerance: float = 0.02
    unit: str = ""


class Prediction(NamedTuple):
    """What the reader guesses before it is shown; both functions are called with the notebook's explorer."""

    question: str | Callable[[Any], str]
    truth: Callable[[Any], float]
    unit: str


#: Of all lessons, by the key that a notebook's cell names.
QUESTIONS: dict[str, Question] = {}
PREDICTIONS: dict[str, Prediction] = {}


def register(questions: Mapping[str, Question], predictions: Mapping[str, Prediction]) -> None:
    """Make a lesson's questions known to `ask` and `predict`."""
    if doubles := [*(questions.keys() & QUESTIONS.keys()), *(predictions.keys() & PREDICTIONS.keys())]:
        raise ValueError(f"questions should have names of their own, got {sorted(doubles)} again")
    QUESTIONS.update(questions)
    PREDICTIONS.update(predictions)


@dataclass(frozen=True)
class Verdict:
    """What a check says."""

    status: Status
    hint: str


def number(answer: str | float | None, unit: str | None = None) -> float | None:
    """The number in an answer as a person types it (see `read_number`); None if it is not understood as one."""
    try:
        return _understood(answer, unit)
    except ValueError:
        return None


def _understood(answer: str | float | None, unit: str | None) -> float:
    """The number in an answer. Raises ValueError with the reason if it is not understood."""
    if answer is None or isinstance(answer, str):
        return read_number(answer or "", unit)
    if not math.isfinite(answer):
        raise ValueError("it is not a finite number")
    return float(answer)


def number_text(value: float) -> str:
    """1,234,567; 98; 8.8; 1.3e+20: whole numbers whole, others to six digits."""
    return f"{value:,.0f}" if value == round(value) and abs(value) < 1e15 else f"{value:,.6g}"


def grade(key: str, answer: str | float | None) -> Verdict:
    """Judge an answer: missing, keep working (a known mistake, with its hint), almost, or correct."""
    question = QUESTIONS[key]
    try:
        value = _understood(answer, question.unit)
    except ValueError as error:
        asked = answer is not None and str(answer).strip()
        why = f"Not understood: {error}." if asked else "Type a number, then press the button."
        return Verdict("missing", why)
    expected = question.expected()

    def near(target: float, tolerance: float) -> bool:
        return abs(value - target) <= tolerance * abs(target) + 1e-9

    if near(expected, question.tolerance):
        return Verdict("correct", question.why)
    mistakes = {hint: wrong() for hint, wrong in question.wrong.items() if near(wrong(), question.tolerance)}
    if mistakes:
        return Verdict("keep working", min(mistakes, key=lambda hint: abs(mistakes[hint] - value)))
    if near(expected, max(0.1, 3 * question.tolerance)):
        return Verdict("almost", "Close: look again, or compute it to the last digit.")
    ratio = value / expected
    power = round(math.log10(ratio)) if 1e-30 < ratio < 1e30 else 0  # beyond that it is no wrong unit
    if power and near(expected * 10.0**power, question.tolerance):
        much = "large" if power > 0 else "small"
        return Verdict(
            "keep working", f"The right digits, but {10 ** abs(power):,} times too {much}: look at the unit."
        )
    return Verdict("keep working", f"Too {'large' if value > expected else 'small'}.")


def _line(status: Status, text: str) -> str:
    return f"<b>{_SIGNS[status]} {status}</b>. {html.escape(text)}"


def ask(key: str) -> AnswerBox:
    """A question with a box, a button and the verdict."""

    def check(answer: str) -> str:
        try:
            with LOCK:
                question = QUESTIONS[key]
                found, value = grade(key, answer), number(answer, question.unit)
                text = "" if value is None else f"Yours: {number_text(value)}. "
                if found.status == "correct":
                    text += f"Expected: {number_text(question.expected())} {question.unit}. ".replace(" .", ".")
                return _line(found.status, text + found.hint)
        except Exception as error:  # a callback's exception would be lost
            return f"<b>Not yet</b>. {html.escape(failure(error))}"

    box = AnswerBox(QUESTIONS[key].text, "Check", check)
    replace(f"ask {key}", box)
    return box


def predict(key: str, explorer: Explorer, then: Callable[[], w.Widget] | None = None) -> w.VBox:
    """A guess to commit; the answer, and the panel ``then()``, appear after it.

    A question that names sizes follows the explorer until the guess is committed.
    """
    question, truth, unit = PREDICTIONS[key]
    rest = w.VBox([], layout=w.Layout(width="100%"))
    committed = False

    def text() -> str:
        return question if isinstance(question, str) else question(explorer)

    def commit(answer: str) -> str:
        nonlocal committed
        try:
            guess = read_number(answer, unit)
        except ValueError as error:
            why = f"Not understood: {error}. " if answer.strip() else ""
            return _line("missing", f"{why}Any number will do; a wrong guess teaches more than none.")
        try:
            with LOCK:
                entry.question = text()
                true = truth(explorer)
                committed = True
                if math.isnan(true):  # to be measured in what opens below
                    explorer.remember(f"guess {key}", guess)
                    if then is not None and not rest.children:
                        rest.children = [then()]
                    return (
                        f"You said <b>{number_text(guess)} {unit}</b>. Kept. Nothing is measured yet: the sentence "
                        "under the figure below will say how close you were."
                    )
                off = max(guess / true, true / guess) if guess > 0 and true > 0 else 1.0 if guess == true else math.inf
                factor = f"{off:,.1f}" if off < 100 else f"{off:,.0f}" if off < 1e6 else "more than a million"
                said = "close" if off < 1.25 else f"off by a factor of {factor}" if math.isfinite(off) else "far off"
                shown = f"{true:,.0f}" if true >= 100 or true == round(true) else f"{true:,.3g}"
                if then is not None and not rest.children:
                    rest.children = [then()]
                return f"You said <b>{number_text(guess)}</b>; it is <b>{shown} {unit}</b>: {said}."
        except Exception as error:  # a callback's exception would be lost
            return f"<b>Not yet</b>. {html.escape(failure(error))}"

    entry = AnswerBox(text(), "Commit", commit)
    box = w.VBox([entry, rest], layout=w.Layout(width="100%"))
    for part in (box, rest):
        part.add_class("adasoft-quiet")  # the answer box says what there is to say

    def redraw() -> None:
        if not committed:
            entry.question = text()

    replace(f"predict {key}", box)
    explorer.attach(f"predict {key}", redraw, box)
    return box
