"""Exercises that the reader solves in code: a solution, cases to try it on, and typical bugs with a hint each.

A lesson's ``exercises.py`` holds them as ``EXERCISES``. :func:`judge` runs a function and says what is wrong with it;
:func:`check` is its widget, for the last line of a notebook's cell.
"""

from __future__ import annotations

import copy
import dis
import html
import inspect
import linecache
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from ...text import counted
from .compare import Difference, difference, shown, shown_beside
from .course import LESSONS, ROOMS
from .done import EXERCISES, LONGEST, SIGNS, Status, entries, fitting, keep
from .parts import one_line
from .readers_code import TookTooLong, run_readers_code

#: Seconds that one call of the reader's function may take.
PATIENCE = 10.0
#: Operations of a function that does nothing.
_NOTHING = {"RESUME", "NOP", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE", "POP_TOP", "CACHE"}
#: How what a check says is set: an output of its own brings no style sheet.
#: A case whose code is longer, in characters, is folded.
_SHORT = 120
_TEXT = "font: 13px/1.5 var(--jp-content-font-family, sans-serif); color: var(--jp-content-font-color1)"
_GRID = "display: grid; grid-template-columns: max-content 1fr; gap: 2px 12px; margin-top: 4px; overflow-wrap: anywhere"


@dataclass(frozen=True)
class Exercise:
    """A function to write."""

    text: str
    """What it computes, in one plain sentence, for the report."""
    solution: Callable[..., Any]
    cases: Callable[[], Sequence[tuple[Any, ...]]]
    """The arguments to try, the plainest first; small, and the same each time."""
    bugs: Mapping[str, Callable[..., Any]]
    """Hint -> a wrong function that it is for."""
    tolerance: float = 1e-6
    """How far a number may be off, as a share of it."""
    why: str = ""
    """One sentence for the reader who got it right."""
    by_hand: str = ""
    """The first parts of the first case, computed by hand, for a mistake that no hint is for."""
    lesson: str = ""
    """The number of its lesson; may be left out in a room of one lesson."""
    rule: Callable[[Callable[..., Any]], str] | None = None
    """Called with a function whose results are right: what it does against the text, as a hint; empty if nothing."""


@dataclass(frozen=True)
class Judgement:
    """What a check of a function says."""

    status: Status
    text: str
    rows: tuple[tuple[str, str], ...] = ()
    """Name and code of what is shown below it: the line, yours, expected, the case, the difference."""

    @property
    def plain(self) -> str:
        """All of it as text."""
        return "\n".join([f"{SIGNS[self.status]} {self.status}. {self.text}", *(f"{a}: {b}" for a, b in self.rows)])

    @property
    def html(self) -> str:
        """All of it for the page."""
        said = f"<b>{SIGNS[self.status]} {self.status}</b>. {html.escape(self.text)}"
        rows = "".join(
            # a long case is a wall of numbers: folded
            f"<details style='grid-column: 1 / -1'{' open' * (len(code) <= _SHORT)}>"
            f"<summary>{html.escape(name)}: its inputs</summary>"
            f"<code>{html.escape(code)}</code></details>"
            if name.startswith("case ")
            else f"<b>{html.escape(name)}</b><code>{html.escape(code)}</code>"
            for name, code in self.rows
        )
        shown_below = f'<div style="{_GRID}">{rows}</div>' if rows else ""
        return f'<div role="status" style="{_TEXT}">{said}{shown_below}</div>'


@cache
def exercises() -> Mapping[str, Exercise]:
    """Of all lessons, by the key that a notebook's cell names; each says its lesson."""
    found: dict[str, Exercise] = {}
    package = __name__.rpartition(".kit.")[0]
    for room in ROOMS:
        name = f"{package}.{room}.exercises"
        if find_spec(name) is None:
            continue
        numbers = [lesson.number for lesson in LESSONS if lesson.room == room]
        for key, exercise in import_module(name).EXERCISES.items():
            if key in found:
                raise ValueError(f"exercises should have names of their own, got {key!r} again")
            number = exercise.lesson or (numbers[0] if len(numbers) == 1 else "")
            if number not in numbers:
                raise ValueError(f"lesson of {key!r} should be one of {', '.join(numbers)}, got {number!r}")
            found[key] = replace(exercise, lesson=number)
    return found


# ---------------------------------------------------------------------- running it


@dataclass(frozen=True)
class _Outcome:
    """What a function did in one case: its result, or what it raised."""

    result: Any = None
    error: Exception | None = None


def _run(function: Callable[..., Any], cases: Sequence[tuple[Any, ...]], alive: Callable[[], None]) -> list[_Outcome]:
    """Each case with a copy of its arguments; ends after the first that raises."""
    outcomes = []
    for case in cases:
        alive()
        try:
            outcomes.append(_Outcome(function(*copy.deepcopy(case))))
        except Exception as error:
            outcomes.append(_Outcome(error=error))
            break
    return outcomes


def _differ(yours: _Outcome, other: _Outcome, tolerance: float) -> Difference | None:
    if yours.error is not None or other.error is not None:
        return None if type(yours.error) is type(other.error) else Difference("kind", "one of them fails")
    return difference(yours.result, other.result, tolerance)


def _same(yours: Sequence[_Outcome], others: Sequence[_Outcome], tolerance: float) -> bool:
    """Whether two functions did the same in all cases."""
    return len(yours) == len(others) and all(
        _differ(a, b, tolerance) is None for a, b in zip(yours, others, strict=True)
    )


def judge(exercise: Exercise, function: Callable[..., Any], *, patience: float = PATIENCE) -> Judgement:
    """Run a function on the cases of an exercise and say what is wrong with it, if anything.

    It runs in a thread of its own, each call with fresh copies of the arguments and ``patience`` seconds.
    """
    cases = [tuple(case) for case in exercise.cases()]
    if fault := _signature_fault(function, exercise.solution, cases[0]):
        return Judgement("not yet", fault)
    try:
        yours = run_readers_code(lambda alive: _run(function, cases, alive), patience=patience)
    except TookTooLong as error:
        rows = _line_of(function, error.__cause__)
        return Judgement("not yet", f"{one_line(error).capitalize()}.", rows)
    except ValueError as error:  # it would have ended the process
        return Judgement("not yet", f"{one_line(error).capitalize()}.")
    first = yours[0]
    if first.error is None and _is_blank(first.result):
        return Judgement("missing", _what_is_missing(function))
    if first.error is not None and "ellipsis" in str(first.error).lower():
        return Judgement("missing", "There is still a “...” to replace.", _line_of(function, first.error))
    right = [_Outcome(exercise.solution(*copy.deepcopy(case))) for case in cases]
    wrong = [i for i, one in enumerate(yours) if _differ(one, right[i], exercise.tolerance) is not None]
    if not wrong:
        if exercise.rule is not None and (broken := exercise.rule(function)):
            return Judgement("not yet", f"The results are right. {broken}")
        why = f"{exercise.why} " if exercise.why else ""
        return Judgement("correct", f"{why}Tried on {counted(len(cases), 'case')}.")
    hints = [
        hint for hint, bug in exercise.bugs.items() if _same(yours, _run(bug, cases, lambda: None), exercise.tolerance)
    ]
    hint = hints[0] if hints else _from_outside(function)
    return _fault(function, exercise, cases, yours, right, wrong[0], hint)


def _fault(
    function: Callable[..., Any],
    exercise: Exercise,
    cases: Sequence[tuple[Any, ...]],
    yours: Sequence[_Outcome],
    right: Sequence[_Outcome],
    i: int,
    hint: str,
) -> Judgement:
    """The first case that differs."""
    names = [*inspect.signature(exercise.solution).parameters]
    given = ", ".join(
        f"{name}={shown(value)}" for name, value in zip(names, cases[i], strict=len(names) == len(cases[i]))
    )
    case = (f"case {i + 1} of {len(cases)}", given)
    expected = ("expected", shown(right[i].result))
    error = yours[i].error
    if error is not None:
        said = f"{type(error).__name__}: {_in_words(one_line(error)).rstrip('.')}"
        return Judgement(
            "not yet",
            " ".join(filter(None, [f"Your function fails with {said}.", hint])),
            (*_line_of(function, error), expected, case),
        )
    found = difference(yours[i].result, right[i].result, exercise.tolerance)
    assert found is not None
    mine, wanted = shown_beside(yours[i].result, right[i].result, exercise.tolerance)
    rows = (("yours", mine), ("expected", wanted), case)
    if found.kind == "nothing":
        return Judgement("not yet", f"Here your function returns nothing. {hint}".strip(), rows)
    if hint:
        return Judgement("not yet", hint, rows)
    kind = {"shape": "The shape is wrong: ", "dtype": "The type is wrong: "}.get(found.kind, "")
    if kind or found.kind == "kind":
        text = found.text if kind else found.text.capitalize()
        return Judgement("not yet", f"{kind}{text}.", rows)
    left = " There is still a “...” in your function." if re.search(r"^\s*\.\.\.", source_of(function), re.M) else ""
    if not left and len({shown(one.result) for one in yours}) == 1 < len({shown(one.result) for one in right}):
        text = f"Your function returns the same in all {len(yours)} cases: compute it from what it is given."
        return Judgement("not yet", text, rows)
    by_hand = f" Try the case by hand: {exercise.by_hand}" if exercise.by_hand and not i else ""
    right_before = f" The {counted(i, 'case')} before it {'is' if i == 1 else 'are'} right." if i else ""
    return Judgement(
        "not yet", f"Not a mistake I know.{right_before}{left}{by_hand}", (*rows, ("difference", found.text))
    )


def _in_words(message: str) -> str:
    """NumPy's message on two factors that do not fit, in plain words; any other as it is."""
    found = re.search(r"gufunc signature.*size (\d+) is different from (\d+)", message)
    if found is None:
        return message
    return f"the factors of @ do not fit, the second has {found[1]} rows where the first has {found[2]} columns"


def _from_outside(function: Callable[..., Any]) -> str:
    """A hint where a function reads numbers or arrays of the notebook in place of its own arguments."""
    code, found, copied = _code_of(function), dict[str, None](), dict[int, str]()
    room = getattr(function, "__globals__", {})
    parts = [code] if code is not None else []
    numbers = {v: name for name, v in room.items() if type(v) is int and v > 10 and not name.startswith("_")}
    for part in parts:
        parts += [one for one in part.co_consts if isinstance(one, type(part))]
        copied |= {one: numbers[one] for one in part.co_consts if type(one) is int and one in numbers}
        for step in dis.get_instructions(part):
            value = room.get(step.argval) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME") else None
            if isinstance(value, (int, float)) or isinstance(getattr(value, "shape", None), tuple):
                found[step.argval] = None
    if not found:
        said = " and ".join(f"{number:,}, which is {name} in" for number, name in copied.items())
        return f"It holds {said} another cell of the notebook: compute what you need from the arguments." * bool(copied)
    return f"It reads {', '.join(found)} from another cell of the notebook: compute what you need from the arguments."


def _is_blank(result: Any) -> bool:
    parts = result if isinstance(result, tuple) and result else (result,)
    return all(part is None or part is Ellipsis for part in parts)


def _what_is_missing(function: Callable[..., Any]) -> str:
    code = _code_of(function)
    if code is not None and {step.opname for step in dis.get_instructions(code)} - _NOTHING:
        return "Your function returns nothing: does it end in “return ...”?"
    return "Write your lines in place of the “...”, ending with “return” and the result, then run the cell again."


def _signature_fault(function: Callable[..., Any], solution: Callable[..., Any], case: Sequence[Any]) -> str:
    """What is wrong with how a function is called; empty if nothing is."""
    if not callable(function):
        return f"check needs your function, got a {type(function).__name__}: give its name, without brackets."
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # built in
        return ""
    try:
        signature.bind(*case)
    except TypeError:
        name = getattr(function, "__name__", "your function")
        has, wanted = [*signature.parameters], [*inspect.signature(solution).parameters][: len(case)]
        takes = f"{counted(len(has), 'argument')} ({', '.join(has)})" if has else "no arguments"
        return f"{name} takes {takes}, but is called with {len(case)}: {', '.join(wanted)}."
    return ""


def _code_of(function: Any) -> Any:
    """The code of a function, or of the first method of a class; None if there is none."""
    if isinstance(function, type):
        return next((value.__code__ for value in vars(function).values() if hasattr(value, "__code__")), None)
    function = inspect.unwrap(getattr(function, "func", function))
    return getattr(function, "__code__", None) or getattr(getattr(function, "__func__", None), "__code__", None)


def _line_of(function: Any, error: BaseException | None) -> tuple[tuple[str, str], ...]:
    """The last line of the reader's cell that an error came through."""
    code, line = _code_of(function), None
    trace = error.__traceback__ if error is not None else None
    while code is not None and trace is not None:
        if trace.tb_frame.f_code.co_filename == code.co_filename:
            line = trace.tb_lineno
        trace = trace.tb_next
    if line is None:
        return ()
    return ((f"line {line} of your cell", linecache.getline(code.co_filename, line).strip() or "?"),)


# ---------------------------------------------------------------------- on the page


class Checked:
    """What a check says: shown as the output of its cell; ``text`` is the same in plain text.

    No widget: it can be read without a kernel, and stands as long as its cell is not run again.
    """

    def __init__(self, judgement: Judgement, more: str = "") -> None:
        self.judgement = judgement if not more else replace(judgement, text=f"{judgement.text} {more}")
        self.text = self.judgement.plain

    def _repr_html_(self) -> str:
        return self.judgement.html

    def __repr__(self) -> str:
        return self.text


def check(key: str, function: Callable[..., Any]) -> Checked:
    """Try the reader's function and say what is wrong with it, if anything; a solved exercise is kept as done.

    Nothing is raised for what the function does. Raises ValueError for a key of no exercise.
    """
    known = exercises()
    if key not in known:
        raise ValueError(f"key should be one of {', '.join(map(repr, known))}, got {key!r}")
    judgement = judge(known[key], function)
    before = fitting(EXERCISES, entries()).get(key, {}).get("status")
    solved = before == "correct"
    if judgement.status == "correct" or (judgement.status != "missing" and not solved):
        keep(EXERCISES, key, status=judgement.status, code=source_of(function))
    more = "You solved it before, and that is kept." if solved and judgement.status != "correct" else ""
    return Checked(judgement, more)


def source_of(function: Callable[..., Any]) -> str:
    """The lines of a function; empty where they cannot be found, or are very many."""
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):
        return ""
    return source if len(source) <= LONGEST else ""
