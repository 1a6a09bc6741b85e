"""How far the reader is: the map of a lesson, the map of all, the button that writes the report, and those that forget.

What was done is kept by `done`; the report is written by `report`.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import ipywidgets as w

from ...records import cached_records
from ...text import counted
from . import done
from .course import LESSONS, lesson_of
from .exercises import exercises
from .explorer import LIVE
from .grading import Prediction, judged, number_text, off_by, predictions_of, questions_of, with_unit
from .markdown import plain
from .parts import Line, Panel, row
from .report import write_report
from .saved import Choices, Entries, removed
from .views import LOCK, replace

#: A guess this many times too large or too small still counts as near.
NEAR = 2.0
#: The buttons that forget, and how they begin once pressed.
_THIS, _ALL, _YES = "Forget this lesson", "Forget everything", "Yes, "
#: The map: one item for each step, wrapped where the page ends.
_LIST = "list-style: none; margin: 0; padding: 0; color: var(--jp-content-font-color1)"
_LINE = "line-height: 1.5; padding-left: 1.4em; text-indent: -1.4em"


@dataclass(frozen=True)
class Step:
    """A question, guess or exercise of a lesson, and what the reader has made of it."""

    kind: Literal["question", "guess", "exercise", "decision"]
    key: str
    text: str
    """What it asks, in plain text."""
    good: bool
    """Answered right, guessed within a factor of two, solved, or decided."""
    tried: bool
    state: str
    """In words."""
    kept: tuple[str, ...] = ()
    """What a decision is kept under."""
    unit: str = ""
    """Of a guess."""


#: By the number of a lesson: the decisions that it asks for besides.
_DECISIONS: dict[str, Callable[[Entries], list[Step]]] = {}


def add_decisions(lesson: str, of: Callable[[Entries], list[Step]]) -> None:
    """Count a lesson's decisions, too; ``of`` gets all that is kept."""
    _DECISIONS[lesson] = of


def steps(lesson: str, entries: Entries) -> list[Step]:
    """All that a lesson asks, in the order of its files."""
    lesson_of(lesson)
    answers, solved = (done.fitting(section, entries) for section in (done.ANSWERS, done.EXERCISES))
    found = []
    for key, question in questions_of(lesson).items():
        kept = answers.get(key)
        good = kept is not None and kept["status"] == "correct"
        state = (
            "question open"
            if kept is None
            else "question answered"
            if good
            else f"question: {kept['answer']} is not right yet"
        )
        found.append(Step("question", key, plain(question.text), good, kept is not None, state))
    for key, prediction in predictions_of(lesson).items():
        guess = done.guess_of(key, entries.get(done.KEPT, {}).get)
        fixed = prediction.question if isinstance(prediction.question, str) else ""
        found.append(_guess_step(plain(fixed), prediction.about or f"“{key}”", key, prediction, guess))
    for key, exercise in exercises().items():
        if exercise.lesson == lesson:
            kept = solved.get(key)
            good = kept is not None and kept["status"] == "correct"
            state = "exercise open" if kept is None else "exercise solved" if good else "exercise tried, not right yet"
            found.append(Step("exercise", key, exercise.text, good, kept is not None, state))
    return [*found, *(_DECISIONS[lesson](entries) if lesson in _DECISIONS else [])]


def _guess_step(
    text: str, about: str, key: str, asked: Prediction, kept: tuple[float, Mapping[str, Any] | None] | None
) -> Step:
    if kept is None:
        return Step("guess", key, text or about, False, False, "guess open", unit=asked.unit)
    guess, result = kept
    said = f"guess of {with_unit(number_text(guess), asked.unit)}"
    if result is None:
        return Step("guess", key, text or about, False, True, f"{said}, not measured yet", unit=asked.unit)
    off = off_by(guess, result["truth"], asked.unit, asked.chance)
    how = judged(guess, result["truth"], asked.unit, asked.chance)
    return Step("guess", key, text or result["question"], off <= NEAR, True, f"{said}: {how}", unit=asked.unit)


def summary(lesson: list[Step]) -> str:
    """4 of 4 questions answered, 2 of 3 guesses within a factor of 2, 1 exercise open.

    The marks follow what it says: digits are logarithms, so there a factor of 2 is one digit.
    """

    def of(kind: str) -> tuple[int, int]:
        some = [step for step in lesson if step.kind == kind]
        return sum(step.good for step in some), len(some)

    (answered, asked), (near, guesses), (solved, written), (decided, cases) = map(
        of, ("question", "guess", "exercise", "decision")
    )
    said = [f"{answered} of {counted(asked, 'question')} answered"] if asked else []
    if guesses:
        many = "guesses" if guesses != 1 else "guess"
        digits = " (digits: within 1)" if any(step.unit == "digits" for step in lesson) else ""
        said.append(f"{near} of {guesses} {many} within a factor of 2{digits}")
    if written:
        left = written - solved
        said.append(f"{counted(left, 'exercise')} open" if left else f"{counted(written, 'exercise')} solved")
    if cases:
        said.append(f"{decided} of {counted(cases, 'case')} decided")
    return ", ".join(said)


def progress_lines() -> list[str]:
    """The map of all lessons, a line for each in which something was done."""
    entries, lines = done.entries(), []
    for lesson in LESSONS:
        there = steps(lesson.number, entries)
        if any(step.tried for step in there):
            lines.append(f"{lesson.number} {lesson.question} {summary(there)}.")
    return lines


# ---------------------------------------------------------------------- forgetting


def _live(lesson: str = "") -> list[Any]:
    """The explorers in this kernel that keep what is kept here; ``lesson``: of this one only."""
    path = Choices().path
    return [one for (name, kept_in), (one, _) in [*LIVE.items()] if kept_in == path and name.startswith(lesson)]


def forget_lesson(lesson: str) -> str:
    """Forget what was answered, guessed, solved and set in one lesson; what was forgotten, in words."""
    lesson_of(lesson)
    entries, choices = done.entries(), Choices()
    tried = [step for step in steps(lesson, entries) if step.tried]
    settings = [name for name in entries if name.startswith(f"lesson {lesson}")]
    with LOCK:
        for step in tried:
            if step.kind in ("guess", "decision"):
                keys = step.kept or (f"guess {step.key}", f"result {step.key}")
                for one in _live():
                    one.unremember(*keys)
                for kept in keys:
                    choices.remove(done.KEPT, kept)
            else:
                choices.remove(done.ANSWERS if step.kind == "question" else done.EXERCISES, step.key)
        for name in settings:
            choices.drop(name)
        for one in _live(lesson):
            one.start_over()
    done.tell()
    what = [*_counts(tried), *(["what you set in its panels"] if settings else [])]
    if not what:
        return f"There was nothing to forget of lesson {lesson}."
    return (
        f"Forgotten: {_listed(what)}. Your words, your measurements and the timings of this machine stay. "
        "Run > Run All Cells shows the lesson as new."
    )


def forget_everything(*, timings: bool = False) -> str:
    """Forget all lessons, own words and measurements included; what was forgotten, in words.

    ``timings``: those of this machine, too.
    """
    entries = done.entries()
    tried = [step for lesson in LESSONS for step in steps(lesson.number, entries) if step.tried]
    settings = [name for name in entries if name.startswith("lesson ")]
    words = entries.get("words", {})
    measured = [key for key in entries.get(done.KEPT, {}) if not key.startswith(("guess ", "result "))]
    what = [
        *_counts(tried),
        *([f"the settings of {counted(len(settings), 'explorer')}"] if settings else []),
        *([f"your words “{words['own']}”"] if words.get("own") else []),
        *([counted(len(measured), "measurement")] if measured else []),
    ]
    records = cached_records() if timings else []
    with LOCK:
        Choices().forget()
        for path in records:
            removed(path)
        for one in _live():
            one.forget()
    done.tell()
    if records:
        what.append(f"{counted(len(records), 'record')} of timings of this machine")
    if not what:
        return "There was nothing to forget."
    stay = "" if timings else " The timings of this machine stay."
    return f"Forgotten: {_listed(what)}.{stay} Run > Run All Cells shows the lesson as new."


def _counts(tried: list[Step]) -> list[str]:
    kinds = [(kind, sum(step.kind == kind for step in tried)) for kind in ("question", "guess", "exercise", "decision")]
    names = {"question": "answer", "exercise": "exercise", "decision": "decision"}
    return [counted(n, names[kind]) if kind in names else f"{n} guess{'es' * (n != 1)}" for kind, n in kinds if n]


def _listed(what: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(what[:-1]), what[-1]]))


# ---------------------------------------------------------------------- on the page


def _item(step: Step) -> str:
    sign = "✓" if step.good else "✗" if step.tried else "○"
    text, state = html.escape(step.text.removesuffix(" Commit to a guess.")), html.escape(step.state)
    return f'<li style="{_LINE}" title="{text}"><b>{sign} {state}</b> · {text}</li>'


def progress_panel(lesson: str) -> w.VBox:
    """The map of a lesson, which follows what the reader does; the report, and ways to forget."""
    there = lesson_of(lesson)
    panel, map_, said = Panel(), w.HTML(layout=w.Layout(width="98%")), Line()
    headline = Line()

    def redraw() -> None:
        now = steps(lesson, done.entries())
        headline.say(f"{there.number} · {summary(now)}.")
        map_.value = f'<ul style="{_LIST}" aria-label="map of this lesson">{"".join(map(_item, now))}</ul>'

    def write() -> None:
        settle()
        path = write_report()
        said.say(f"The report is in {path}. It covers all lessons; writing it again replaces it.")

    def settle() -> None:
        for button, text in ((this, _THIS), (everything, _ALL)):
            button.description = text

    def in_two_steps(button: w.Button, what: str, act: Callable[[], str]) -> None:
        """There is no way back, so the first press only asks."""
        asked = button.description.startswith(_YES)
        settle()
        if asked:
            said.say(act())
        else:
            button.description = f"{_YES}{button.description.lower()}"
            said.say(f"{what} would be forgotten, for good. Press “{button.description}” to do it.")

    def forget_this() -> None:
        what = f"Your answers, guesses, exercises and settings of lesson {lesson}"
        in_two_steps(this, what, lambda: forget_lesson(lesson))

    def forget_all() -> None:
        also = ", the timings of this machine included," if timings.value else ""
        what = f"All lessons, your own words and your measurements{also}"
        in_two_steps(everything, what, lambda: forget_everything(timings=bool(timings.value)))

    report = panel.button("Write the report", write, "Writes what you did in all lessons into one Markdown file")
    this = panel.button(_THIS, forget_this, "Its answers, guesses, exercises and settings")
    everything = panel.button(_ALL, forget_all, "All lessons, own words and measurements")
    timings = w.Checkbox(value=False, description="with the timings of this machine", indent=False)
    timings.layout.width = "auto"
    box = panel.box(headline, map_, row(report, this, everything, timings), said)
    box.add_class("adasoft-progress")
    replace(f"progress {lesson}", box)
    done.watch(f"progress {lesson}", redraw)
    redraw()
    return box
