"""Questions that grade themselves, and predictions to commit before an answer is shown.

A question computes its expected answer from the package, knows typical wrong answers, and says what each of them
mistook. :func:`grade` is pure; :func:`ask` and :func:`predict` are its widgets.
"""

from __future__ import annotations

import ast
import html
import math
import operator
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
_NUMBER = re.compile(r"\d(?:[\d,'_]| (?=\d{3}(?!\d)))*(?:\.\d+)?(?:[eE][+-]?\d+)?|\.\d+")
#: Thousands in groups of three; 0,214 is none.
_GROUPED = re.compile(r"[1-9]\d{0,2}(?:[,' _]\d{3})+(?:\.\d+)?(?:[eE][+-]?\d+)?")


@dataclass(frozen=True)
class Verdict:
    """What a check says."""

    status: Status
    hint: str


def number(answer: str | float | None) -> float | None:
    """The number in an answer as a person types it; None if there is none.

    16,300 or 16 300; 21.4 % or 21,4 % (a comma before other than three digits); 1.3e6; a calculation such as
    2000 + 1 + 0.2 x 8000.
    """
    if answer is None or isinstance(answer, (int, float)):
        return None if answer is None or not math.isfinite(answer) else float(answer)
    text = re.sub(_NUMBER, lambda found: _plain(found.group()), answer.strip().lower())
    for sign, meant in (("×", "*"), ("·", "*"), ("÷", "/"), ("−", "-"), ("^", "**"), (" x ", " * ")):
        text = text.replace(sign, meant)
    value = _calculated(text)
    if value is None:
        found = re.search(rf"[+-]?(?:{_NUMBER.pattern})", text)
        value = float(found.group()) if found else None
    return value if value is not None and math.isfinite(value) else None


def _plain(typed: str) -> str:
    """One number without its thousands' separators, with a point for its decimals."""
    if _GROUPED.fullmatch(typed):
        return re.sub(r"[,' _]", "", typed)
    return re.sub(r"[' _]", "", typed).replace(",", ".") if typed.count(",") == 1 else re.sub(r"[,' _]", "", typed)


_OPERATORS: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv, ast.Pow: math.pow,
}  # fmt: skip


def _calculated(text: str) -> float | None:
    """The value of a calculation with + - * / **; None if it is none."""

    def value(node: ast.expr) -> float:
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
            return float(node.value)
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            return _OPERATORS[type(node.op)](value(node.left), value(node.right))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
            return -value(node.operand) if isinstance(node.op, ast.USub) else value(node.operand)
        raise ValueError(text)

    try:
        return value(ast.parse(text, mode="eval").body) if len(text) <= 200 else None
    except (SyntaxError, ValueError, ArithmeticError, RecursionError, MemoryError):
        return None


def number_text(value: float) -> str:
    """1,234,567; 98; 8.8; 1.3e+20: whole numbers whole, others to six digits."""
    return f"{value:,.0f}" if value == round(value) and abs(value) < 1e15 else f"{value:,.6g}"


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
    power = round(math.log10(value / expected)) if value / expected > 0 else 0
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
        with LOCK:
            found, value, question = grade(key, answer), number(answer), QUESTIONS[key]
            text = "" if value is None else f"Yours: {number_text(value)}. "
            if found.status == "correct":
                text += f"Expected: {number_text(question.expected())} {question.unit}. ".replace(" .", ".")
            return _line(found.status, text + found.hint)

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
        guess = number(answer)
        if guess is None:
            return _line("missing", "Any number will do; a wrong guess teaches more than none.")
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
                off = max(guess / true, true / guess) if guess > 0 else math.inf
                factor = f"{off:,.1f}" if off < 100 else f"{off:,.0f}" if off < 1e6 else "of more than a million"
                said = "close" if off < 1.25 else f"a factor {factor} off" if math.isfinite(off) else "far off"
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
