"""Questions that grade themselves, and predictions to commit before an answer is shown.

A question computes its expected answer from the package, knows typical wrong answers, and says what each of them
mistook. The questions themselves are in each lesson's ``questions.py``, which registers them here; their texts are
Markdown and stand, word for word, in the notebook above the box. :func:`grade` is pure; :func:`ask` and
:func:`predict` are its widgets. What was answered and guessed is kept, and shown again after a restart.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import ipywidgets as w

from . import done
from .course import lesson_of
from .done import SIGNS, Status
from .explorer import Explorer
from .markdown import plain
from .parts import failure
from .typed_numbers import read_number
from .views import LOCK, replace
from .widgets import AnswerBox

#: How near a typical mistake an answer is taken for it, as a share of it.
MISTAKEN = 0.03
#: Units with others beside them, of which one may take the wrong one.
_SCALED = {"ms", "s", "µs", "%", "GB", "million", "minutes", "seconds"}
#: Units of counts, times and ratios: a guess in them is above 0.
_ABOVE_0 = {"words", "tokens", "clusters", "times", "ms", "s", "µs", "minutes", "seconds"}


@dataclass(frozen=True)
class Question:
    """A question with one number as its answer."""

    text: str
    """Markdown."""
    expected: Callable[[], float]
    wrong: dict[str, Callable[[], float]] = field(default_factory=dict)
    """Hint -> the wrong answer it is for."""
    why: str = ""
    tolerance: float = 0.02
    unit: str = ""
    elsewhere: Callable[[float], str] | None = None
    """Called with an answer that is none of the mistakes: what it is right for, such as other words, as a hint; or
    empty."""


class Prediction(NamedTuple):
    """What the reader guesses before it is shown; both functions are called with the notebook's explorer."""

    question: str | Callable[[Any], str]
    """Markdown that stands in the notebook, or plain text that follows the explorer and shows itself."""
    truth: Callable[[Any], float]
    unit: str
    about: str = ""
    """What a question that follows the explorer asks, without its numbers: for the map of the lesson."""
    sizes: Mapping[str, Any] = {}
    """Traits of the explorer that the question names: set when a guess is committed, so that the panel starts there."""
    within: tuple[float, float] = (-math.inf, math.inf)
    """What is possible at all: a guess outside is not taken, and the box says why."""
    chance: float = 0.0
    """How far apart, in the unit, two measurements of the answer may be: a guess so near it is as good as any."""


#: Of all lessons, by the key that a notebook's cell names.
QUESTIONS: dict[str, Question] = {}
PREDICTIONS: dict[str, Prediction] = {}
_LESSON_OF: dict[tuple[str, str], str] = {}


def register(questions: Mapping[str, Question], predictions: Mapping[str, Prediction], *, lesson: str) -> None:
    """Make a lesson's questions known to `ask` and `predict`; ``lesson`` is its number, such as ``"02"``."""
    lesson_of(lesson)
    if doubles := [*(questions.keys() & QUESTIONS.keys()), *(predictions.keys() & PREDICTIONS.keys())]:
        raise ValueError(f"questions should have names of their own, got {sorted(doubles)} again")
    QUESTIONS.update(questions)
    PREDICTIONS.update(predictions)
    _LESSON_OF.update({("ask", key): lesson for key in questions})
    _LESSON_OF.update({("predict", key): lesson for key in predictions})


def questions_of(lesson: str) -> dict[str, Question]:
    """The questions of one lesson, in their order."""
    return {key: one for key, one in QUESTIONS.items() if _LESSON_OF["ask", key] == lesson}


def predictions_of(lesson: str) -> dict[str, Prediction]:
    """The predictions of one lesson, in their order."""
    return {key: one for key, one in PREDICTIONS.items() if _LESSON_OF.get(("predict", key)) == lesson}


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


def with_unit(number: str, unit: str) -> str:
    """A number as shown, with its unit in the singular or plural.

    >>> with_unit("1", "words"), with_unit("2", "words"), with_unit("1", "times"), with_unit("3", "")
    ('1 word', '2 words', '1 times', '3')
    """
    first, _, rest = unit.partition(" ")
    if number == "1" and first.endswith("s") and first not in ("ms", "s", "µs", "times"):
        first = first[:-1]
    return " ".join(filter(None, [number, first, rest]))


def _near(value: float, target: float, tolerance: float) -> bool:
    return abs(value - target) <= tolerance * abs(target) + 1e-9


def _rounded(value: float) -> Iterator[float]:
    """A number with one digit, with two, and so on: rounded, and cut off."""
    if not value:
        return
    for digits in range(7):
        step = 10.0 ** (math.floor(math.log10(abs(value))) - digits)
        yield round(value / step) * step
        yield math.trunc(value / step) * step


def grade(key: str, answer: str | float | None) -> Verdict:
    """Judge an answer: missing, not yet (a known mistake, with its hint), almost (it only needs more digits), or
    correct."""
    question = QUESTIONS[key]
    try:
        value = _understood(answer, question.unit)
    except ValueError as error:
        asked = answer is not None and str(answer).strip()
        why = _not_understood(error) if asked else "Type a number, then press the button."
        return Verdict("missing", why)
    expected = question.expected()
    if _near(value, expected, question.tolerance):
        return Verdict("correct", question.why)
    wrong = {hint: mistake() for hint, mistake in question.wrong.items()}

    def mistaken(at_least: float) -> list[str]:
        """Hints of the mistakes that this may be, the nearest first; none that are nearer to the right answer."""
        apart = {hint: abs(target - expected) / max(abs(target), 1e-300) / 3 for hint, target in wrong.items()}
        near = [
            h for h, target in wrong.items() if _near(value, target, max(min(at_least, apart[h]), question.tolerance))
        ]
        return sorted(near, key=lambda hint: abs(wrong[hint] - value))

    if hints := mistaken(0.0):
        return Verdict("not yet", hints[0])
    if _near(value, expected, 0.05) and any(_near(value, one, 1e-9) for one in _rounded(expected)):
        return Verdict("almost", "Close. Recompute with more digits.")
    if question.elsewhere is not None and (hint := question.elsewhere(value)):
        return Verdict("not yet", hint)
    if hints := mistaken(MISTAKEN):
        return Verdict("not yet", hints[0])
    return Verdict("not yet", _direction(value, expected, question))


def _direction(value: float, expected: float, question: Question) -> str:
    """What can be said of a wrong answer that is no known mistake."""
    ratio = value / expected if expected else 0.0
    power = round(math.log10(ratio)) if 1e-30 < ratio < 1e30 else 0  # beyond that it is no wrong unit
    if power and _near(value, expected * 10.0**power, question.tolerance):
        much = f"The right digits, but {10 ** abs(power):,} times too {'large' if power > 0 else 'small'}"
        return f"{much}: look at the unit." if question.unit.partition(" ")[0] in _SCALED else f"{much}."
    return f"Too {'large' if value > expected else 'small'}."


def _line(status: Status, text: str) -> str:
    return f"<b>{SIGNS[status]} {status}</b>. {html.escape(text)}"


def _failed(error: Exception) -> str:
    return f"<b>Not possible yet</b>. {html.escape(failure(error))}"


def ask(key: str) -> AnswerBox:
    """A box for the answer to a question that stands above it, a button and the verdict.

    The best answer is kept, and shown again with its verdict after a restart.
    """
    question = QUESTIONS[key]

    def verdict(answer: str) -> tuple[Status, str]:
        found, value = grade(key, answer), number(answer, question.unit)
        text = "" if value is None else f"Yours: {number_text(value)}. "
        if found.status == "correct":
            expected = question.expected()
            shown = number_text(expected) if expected == round(expected) else f"{expected:,.4g}"
            text += f"Expected: {with_unit(shown, question.unit)}. "
        return found.status, _line(found.status, text + found.hint)

    def check(answer: str) -> str:
        try:
            with LOCK:
                status, said = verdict(answer)
                before = done.fitting(done.ANSWERS, done.entries()).get(key, {}).get("status")
                if status == "correct" or (status != "missing" and before != "correct"):
                    done.keep(done.ANSWERS, key, answer=answer, status=status)
                elif before == "correct":
                    return f"<b>{SIGNS['correct']} answered</b> before, and that is kept. This try: {said}"
                return said
        except Exception as error:  # a callback's exception would be lost
            return _failed(error)

    box, told = AnswerBox(plain(question.text), "Check", check, shown=False), False

    def follow() -> None:
        """An answer that was forgotten elsewhere is not shown as correct."""
        nonlocal told
        there = key in done.fitting(done.ANSWERS, done.entries())
        if told and not there:
            box.answer = box.verdict = ""
        told = there

    if kept := done.fitting(done.ANSWERS, done.entries()).get(key):
        told = True
        try:
            box.answer, (_, box.verdict) = kept["answer"], verdict(kept["answer"])
        except Exception as error:
            box.verdict = _failed(error)
    replace(f"ask {key}", box)
    done.watch(f"ask {key}", follow)
    return box


def off_by(guess: float, true: float, unit: str = "", chance: float = 0.0) -> float:
    """How many times too large or too small a guess is; infinite where that cannot be said, 1 within ``chance``.

    Digits are a logarithm already: each that is too many or too few counts as a factor of 2.
    """
    if chance and abs(guess - true) <= chance:
        return 1.0
    if unit == "digits":
        return float(2.0 ** min(abs(guess - true), 60.0))
    if guess > 0 and true > 0:
        return max(guess / true, true / guess)
    return 1.0 if guess == true else math.inf


def closeness(off: float) -> str:
    """The same in words."""
    if off < 1.25:
        return "close"
    if not math.isfinite(off):
        return "far off"
    return f"off by a factor of {f'{off:.1f}' if off < 9.95 else f'{off:,.0f}' if off < 1e6 else 'more than a million'}"


def judged(guess: float, true: float, unit: str, chance: float = 0.0) -> str:
    """How close a guess is, in words.

    >>> judged(14, 9.3, "digits"), judged(14, 9.3, "words")
    ('4.7 digits too many', 'off by a factor of 1.5')
    >>> judged(30, 100, "% of the pairs"), judged(98, 100, "% of the pairs")  # a share, which cannot be above 100
    ('70 percentage points too low', 'close')
    >>> judged(2, 6.6, "%", 5), judged(0, 6.6, "%", 5)
    ('within chance, which alone makes up to 5 points', '6.6 percentage points too low; chance alone makes up to 5')
    """
    if unit.partition(",")[0] == "tails" and guess == round(guess):  # one of a few: no factor
        apart = abs(guess - true)
        return f"{number_text(apart)} too {'many' if guess > true else 'few'}" if apart else "right"
    if chance:
        if abs(guess - true) <= chance:
            return f"within chance, which alone makes up to {chance:g} points"
        side = "high" if guess > true else "low"
        return f"{abs(guess - true):,.3g} percentage points too {side}; chance alone makes up to {chance:g}"
    if unit.startswith("% of ") and closeness(off_by(guess, true)) != "close":
        return f"{abs(guess - true):,.3g} percentage points too {'high' if guess > true else 'low'}"
    if unit != "digits":
        return closeness(off_by(guess, true))
    if abs(guess - true) < 0.5:
        return "close"
    return f"{abs(guess - true):,.1f} digits too {'many' if guess > true else 'few'}"


def true_text(true: float) -> str:
    """An answer as it is shown: whole numbers and large ones whole, others to three digits."""
    return f"{true:,.0f}" if abs(true) >= 100 or true == round(true) else f"{true:,.3g}"


def _not_understood(error: ValueError) -> str:
    """Why an answer is not taken, as a sentence."""
    return f"Not understood: {str(error).replace(' is not understood:', ':', 1)}."


class _Guess:
    """The box of one prediction, and the panel that opens below it."""

    def __init__(self, key: str, explorer: Explorer, then: Callable[[], w.Widget] | None) -> None:
        self.key, self.explorer, self.then = key, explorer, then
        self.prediction = PREDICTIONS[key]
        self.asked, self.truth, self.unit = self.prediction.question, self.prediction.truth, self.prediction.unit
        self.committed = False
        self.judged_with: Any = None
        """The cost model that the verdict is for."""
        self.rest = w.VBox([], layout=w.Layout(width="100%"))
        shows_itself = not isinstance(self.asked, str)
        self.entry = AnswerBox(self.text(), "Commit", self.commit, shown=shows_itself, start_over=self.again)

    def text(self) -> str:
        """The question as plain text."""
        return plain(self.asked) if isinstance(self.asked, str) else self.asked(self.explorer)

    def open(self) -> None:
        """Show what the guess was for."""
        self.committed, self.entry.again = True, "Guess again"
        if self.then is not None and not self.rest.children:
            self.rest.children = [self.then()]
        elif self.then is not None:
            self.explorer.version += 1  # what is open already may draw the guess
        self.rest.layout.display = None

    def commit(self, answer: str) -> str:
        """Take a guess and say how close it is."""
        try:
            guess = read_number(answer, self.unit)
            if guess < 0 and self.unit in ("ms", "s"):
                raise ValueError("a time is not negative")
        except ValueError as error:
            why = f"{_not_understood(error)} " if answer.strip() else ""
            return _line("missing", f"{why}Any number will do; a wrong guess teaches more than none.")
        if guess <= 0 and self.unit.partition(" ")[0].rstrip(",") in _ABOVE_0:
            return _line(
                "missing", f"A guess in {self.unit.partition(',')[0]} should be above 0, got {number_text(guess)}."
            )
        low, high = self.prediction.within
        if not low <= guess <= high:
            least = f"from {number_text(low)} to" if low > -math.inf else "at most"
            return _line("missing", f"The answer is {least} {number_text(high)}, got {number_text(guess)}.")
        try:
            with LOCK:
                for name, value in self.prediction.sizes.items():
                    setattr(self.explorer, name, value)
                self.entry.question = self.text()
                true = self.truth_now()
                first = self.counted()
                if first and not (guess == first[0] and done.is_at(first[1], self.explorer)):
                    # who knows the answer no longer guesses
                    return self.tried(guess, true, *first)
                self.explorer.unremember(f"result {self.key}")
                self.explorer.remember(f"guess {self.key}", guess)
                self.open()
                self.explorer.version += 1  # figures that show the guess
                if math.isnan(true):  # to be measured in what opens below
                    done.tell()
                    return (
                        f"You said <b>{html.escape(self.said(guess))}</b>. Kept. Nothing is "
                        "measured yet: the sentence beside the figure below will say how close you were."
                    )
                self.keep_result(true)
                return f"You said <b>{number_text(guess)}</b>; {self.told(guess, true)}"
        except Exception as error:  # a callback's exception would be lost
            return _failed(error)

    def counted(self) -> tuple[float, dict[str, Any]] | None:
        """The first guess whose answer was shown, and that answer: it is drawn and counted, later ones are only
        answered."""
        kept = done.guess_of(self.key, self.explorer.recall)
        return None if kept is None or kept[1] is None else (kept[0], kept[1])

    def tried(self, guess: float, true: float, first: float, result: Mapping[str, Any]) -> str:
        """Answer another guess, after the one that counts."""
        self.open()
        answer = "Nothing is measured at these sizes yet." if math.isnan(true) else self.told(guess, true)
        close = judged(first, result["truth"], self.unit, self.prediction.chance)
        return (
            f"This time you said <b>{html.escape(self.said(guess))}</b>; {answer} Your first guess, "
            f"{html.escape(self.said(first))} ({close}), is the one that is drawn and counted."
        )

    def used(self) -> dict[str, str]:
        """The names of the timings and the words of now, as they are kept beside an answer."""
        return {"timings": self.explorer.cost.name, "words": self.explorer.vocabulary.name}

    def truth_now(self) -> float:
        """The answer with the present cost model and words."""
        self.judged_with = self.explorer.cost
        return self.truth(self.explorer)

    def said(self, guess: float) -> str:
        """A guess with its unit, without what the answer rests on ("words, by the timings")."""
        return with_unit(number_text(guess), self.unit.partition(",")[0])

    def told(self, guess: float, true: float) -> str:
        """The answer, and how close a guess is."""
        how = judged(guess, true, self.unit, self.prediction.chance)
        return f"it is <b>{html.escape(with_unit(true_text(true), self.unit))}</b>: {how}."

    def keep_result(self, true: float) -> None:
        """Keep the answer beside the guess, with the question that it is for."""
        at = done.setting(self.explorer)
        result = {"truth": float(true), "unit": self.unit, "question": self.entry.question, "at": at, **self.used()}
        self.explorer.remember(f"result {self.key}", result)
        done.tell()

    def restore(self) -> None:
        """Show a guess that was committed before, and what it opened."""
        kept = done.guess_of(self.key, self.explorer.recall)
        if kept is None:
            return
        guess, result = kept
        try:
            self.open()
            self.entry.answer = number_text(guess)
            said = f"You guessed <b>{html.escape(self.said(guess))}</b> last time"
            if result is None:
                self.entry.verdict = f"{said}. Nothing is measured yet."
            elif result["question"] == self.entry.question:
                self.entry.verdict = f"{said}; {self.told(guess, result['truth'])}"
                self.judge_again()  # this machine may have been timed since
            else:  # other words or sizes since
                told = self.told(guess, result["truth"])
                self.entry.verdict = f"{said}; {told} The question was: {html.escape(result['question'])}"
        except Exception as error:
            self.entry.verdict = _failed(error)

    def judge_again(self) -> None:
        """Let the verdict of a kept guess follow other timings, where question and setting are still the same: sizes
        that change one by one pass through settings that nobody guessed for."""
        kept = done.guess_of(self.key, self.explorer.recall)
        if (
            kept is None
            or kept[1] is None
            or kept[1]["question"] != self.text()
            or not done.is_at(kept[1], self.explorer)
        ):
            return
        guess, before, used = kept[0], float(kept[1]["truth"]), kept[1]
        try:
            now = self.truth_now()
        except Exception:  # it cannot be told at present: what was said stays
            return
        if math.isnan(now) or true_text(now) == true_text(before):
            return
        changed = " and ".join(what for what, name in self.used().items() if used.get(what) != name)
        self.keep_result(now)
        since = f"with the {changed} used now, {self.told(guess, now)}" if changed else f"now {self.told(guess, now)}"
        self.entry.verdict = (
            f"You guessed <b>{html.escape(self.said(guess))}</b>; {since} "
            f"Before, it was {html.escape(with_unit(true_text(before), self.unit))}."
        )

    def again(self) -> None:
        """Hide the answer with what it opened, for another guess; forget one whose answer was not shown."""
        with LOCK:
            if self.counted() is None:
                self.explorer.unremember(f"guess {self.key}", f"result {self.key}")
            self.committed = False
            self.entry.answer = self.entry.verdict = self.entry.again = ""
            self.rest.layout.display = "none"
            self.redraw()
            done.tell()

    def waits(self) -> bool:
        """Whether a guess is kept whose answer was not known."""
        kept = done.guess_of(self.key, self.explorer.recall)
        return kept is not None and kept[1] is None

    def _wait_on(self) -> None:
        """A guess whose answer is not measured yet: the question follows the explorer, and the answer is told."""
        guess = float(self.explorer.recall(f"guess {self.key}"))
        said = f"You said <b>{html.escape(with_unit(number_text(guess), self.unit))}</b>"
        if self.entry.question != (now := self.text()):
            self.entry.question = now
            self.entry.verdict = (
                f"{said} before the text or the sizes changed. It will be held against the question as it is now; or "
                "press Guess again."
            )
        if not math.isnan(true := self.truth_now()):
            self.keep_result(true)
            self.entry.verdict = f"{said}; {self.told(guess, true)}"

    def redraw(self) -> None:
        """Follow the explorer until the guess is committed; then keep its answer as soon as it is measured.

        A guess that was forgotten, here or elsewhere, takes along what it opened.
        """
        if self.committed and self.explorer.recall(f"guess {self.key}") is None:
            self.committed = False
            self.entry.answer = self.entry.verdict = self.entry.again = ""
            self.rest.layout.display = "none"
        if not self.committed:
            self.entry.question = self.text()
        elif self.waits():
            self._wait_on()
        elif self.judged_with is not None and self.judged_with is not self.explorer.cost:
            self.judge_again()


def predict(key: str, explorer: Explorer, then: Callable[[], w.Widget] | None = None) -> w.VBox:
    """A guess to commit; the answer, and the panel ``then()``, appear after it.

    A fixed question stands above it in the notebook. One that names sizes shows itself, and follows the explorer until
    the guess is committed. The guess is kept as ``explorer.recall("guess KEY")``; after a restart it is shown again,
    and the panel is open.
    """
    guess = _Guess(key, explorer, then)
    box = w.VBox([guess.entry, guess.rest], layout=w.Layout(width="100%"))
    for part in (box, guess.rest):
        part.add_class("adasoft-quiet")  # the answer box says what there is to say
    replace(f"predict {key}", box)
    guess.restore()
    explorer.attach(f"predict {key}", guess.redraw, box)
    return box
