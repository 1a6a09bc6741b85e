"""Questions that grade themselves, and predictions to commit before an answer is shown.

A question computes its expected answer from the package, knows typical wrong answers, and says what each of them
mistook. :func:`grade` is pure; :func:`ask` and :func:`predict` are its widgets.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import ipywidgets as w

from .parts import failure
from .questions import PREDICTIONS, QUESTIONS
from .state import LOCK, Explorer, replace
from .widgets import AnswerBox

Status = Literal["missing", "almost", "keep working", "correct"]
_SIGNS = {"missing": "○", "almost": "≈", "keep working": "✗", "correct": "✓"}
_NUMBER = re.compile(r"[+-]?\d[\d,' _]*(?:\.\d+)?(?:[eE][+-]?\d+)?|[+-]?\.\d+")


@dataclass(frozen=True)
class Verdict:
    """What a check says."""

    status: Status
    hint: str


def number(answer: str | float | None) -> float | None:
    """The number in an answer as a person types it: 16,300 or 21.4 % or 1.3e6. None if there is none."""
    if answer is None or isinstance(answer, (int, float)):
        return None if answer is None or not math.isfinite(answer) else float(answer)
    found = _NUMBER.search(answer.strip())
    return float(re.sub(r"[,' _]", "", found.group())) if found else None


def grade(key: str, answer: str | float | None) -> Verdict:
    """Judge an answer: missing, keep working (a known mistake, with its hint), almost, or correct."""
    question, value = QUESTIONS[key], number(answer)
    if value is None:
        return Verdict("missing", "Type a number, then press the button.")
    expected = question.expected()

    def near(target: float, tolerance: float) -> bool:
        return abs(value - target) <= tolerance * abs(target) + 1e-9

    if near(expected, question.tolerance):
        return Verdict("correct", question.why)
    mistakes = {hint: wrong() for hint, wrong in question.wrong.items() if near(wrong(), question.tolerance)}
    if mistakes:
        return Verdict("keep working", min(mistakes, key=lambda hint: abs(mistakes[hint] - value)))
    if near(expected, max(0.1, 3 * question.tolerance)):
        return Verdict("almost", "Within reach: look again, or compute it to the last digit.")
    return Verdict("keep working", f"Too {'large' if value > expected else 'small'}.")


def _line(status: Status, text: str) -> str:
    return f"<b>{_SIGNS[status]} {status}</b>. {html.escape(text)}"


def ask(key: str) -> AnswerBox:
    """A question with a box, a button and the verdict."""

    def check(answer: str) -> str:
        with LOCK:
            found, value, question = grade(key, answer), number(answer), QUESTIONS[key]
            text = "" if value is None else f"Yours: {value:,g}. "
            if found.status == "correct":
                text += f"Expected: {question.expected():,.6g} {question.unit}. ".replace(" .", ".")
            return _line(found.status, text + found.hint)

    box = AnswerBox(QUESTIONS[key].text, "Check", check)
    replace(f"ask {key}", box)
    return box


def predict(key: str, explorer: Explorer, then: Callable[[], w.Widget] | None = None) -> w.VBox:
    """A guess to commit; the answer, and the panel ``then()``, appear after it."""
    question, truth, unit = PREDICTIONS[key]
    rest = w.VBox([], layout=w.Layout(width="100%"))

    def commit(answer: str) -> str:
        guess = number(answer)
        if guess is None:
            return _line("missing", "Any number will do; a wrong guess teaches more than none.")
        try:
            with LOCK:
                true = truth(explorer)
                off = max(guess / true, true / guess) if guess > 0 else math.inf
                said = "close" if off < 1.25 else f"a factor {off:,.1f} off" if math.isfinite(off) else "far off"
                shown = f"{true:,.0f}" if true >= 100 else f"{true:,.1f}"
                if then is not None and not rest.children:
                    rest.children = [then()]
                return f"You said <b>{guess:,g}</b>; it is <b>{shown} {unit}</b>: {said}."
        except Exception as error:  # a callback's exception would be lost
            return f"<b>Failed</b>. {html.escape(failure(error))}"

    text = question if isinstance(question, str) else question(explorer)
    box = w.VBox([AnswerBox(text, "Commit", commit), rest], layout=w.Layout(width="100%"))
    replace(f"predict {key}", box)
    return box
