"""What the reader did in all lessons, as one Markdown file: machine, words, guesses, measurements, plan, answers, code.

It is made of what is kept in the file of choices alone. A lesson may add a section of its own by :func:`add_section`.
"""

from __future__ import annotations

import datetime
import math
import os
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from ... import __version__
from ...cost import MeasuredCost
from ...files import write_whole
from ...planning import plan
from ...records import cpu_name
from ...text import markdown_table
from ...vocabulary import Vocabulary
from . import done, forms
from .costs import measured_cost
from .course import LESSONS
from .exercises import exercises
from .grading import judged, number_text, predictions_of, questions_of, true_text, with_unit
from .languages import LANGUAGES, load_language
from .markdown import plain
from .saved import Choices, Entries

#: The name of the file.
NAME = "adasoft-report.md"
#: d and B of the plan in the report, as in the lessons.
_IN_FEATURES, _BATCH = 512, 2560

#: By the number of a lesson: what else it has to say, from all that is kept; empty for nothing.
_SECTIONS: dict[str, Callable[[Entries], str]] = {}


def add_section(lesson: str, write: Callable[[Entries], str]) -> None:
    """Let a lesson add Markdown to its part of the report; ``write`` gets all that is kept."""
    _SECTIONS[lesson] = write


def write_report(folder: Path | None = None) -> Path:
    """Write the report beside the notebook (a kernel runs in its folder), else in the home folder. Returns its path.

    Raises OSError where neither can be written.
    """
    text = report()
    folders = [folder] if folder is not None else [Path.cwd(), Path.home()]
    for i, where in enumerate(folders):
        path = where / NAME
        try:
            write_whole(path, text)
        except OSError:
            if i == len(folders) - 1:
                raise
        else:
            return path.resolve()
    raise AssertionError("there is a folder")


def report() -> str:
    """The report, from what is kept now."""
    entries = done.entries()
    parts = [
        "# My report on the adaptive softmax",
        f"Written {datetime.datetime.now().astimezone():%Y-%m-%d %H:%M} by adasoft {__version__}, from what is kept on "
        "this computer.",
        _machine(),
        _words(entries),
        _plan(entries),
        _measurements(entries),
        *(_lesson(lesson.number, lesson.question, entries) for lesson in LESSONS),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _cell(text: Any) -> str:
    """A text that a table can hold."""
    return " ".join(str(text).split()).replace("|", "\\|")


def _machine() -> str:
    lines = ["## Machine", f"{cpu_name()}, {os.cpu_count() or 1} processors."]
    cost = measured_cost()
    if cost is not None:
        lines.append(f"Predictions rest on {cost.name}.")
    return "\n\n".join(lines)


def _vocabulary(entries: Entries) -> Vocabulary:
    """The words of all lessons, English where none were chosen or they are gone."""
    words = entries.get("words", {})
    try:
        if words.get("own") is not None:
            return Choices().own()
        return load_language(words["language"] if words.get("language") in LANGUAGES else "en")
    except (OSError, ValueError):
        return load_language("en")


def _words(entries: Entries) -> str:
    vocabulary = _vocabulary(entries)
    half, most = (vocabulary.words_for_share(share) for share in (0.5, 0.95))
    return (
        f"## Words\n\n{vocabulary.name}: {len(vocabulary):,} different words. The {half:,} most frequent make up half "
        f"of the tokens, {most:,} make up 95 %."
    )


def _plan(entries: Entries) -> str:
    cost = measured_cost()
    if cost is None:
        return ""
    found = plan(_vocabulary(entries), _IN_FEATURES, _BATCH, cost=cost)
    about = (
        f"d = {_IN_FEATURES}, B = {_BATCH:,} and at least {100 * found.min_head_share:.0f} % of the tokens in the head"
    )
    return f"## Plan\n\nFor these words, {about}, by these timings:\n\n```\n{found}\n```"


# ---------------------------------------------------------------------- measurements


def _measurements(entries: Entries) -> str:
    """Each measurement that has times, the prediction beside it where the cost model can make it."""
    parts, vocabulary, cost = [], _vocabulary(entries), measured_cost()
    for key, value in sorted(entries.get(done.KEPT, {}).items()):
        if not _fits(value) or not value["times"]:
            continue
        rows = []
        for name, (median, low, high, runs) in value["times"].items():
            predicted = _predicted(name, value["sizes"], vocabulary, cost)
            told = "" if math.isnan(predicted) else f"{1e3 * predicted:,.3g}"
            rows.append(
                [_cell(name), f"{1e3 * median:,.3g}", f"{1e3 * low:,.3g} to {1e3 * high:,.3g}", told, f"{runs:,}"]
            )
        heads = ["what", "median, ms", "quartiles, ms", "predicted, ms", "runs"]
        sizes = ", ".join(f"{name} = {_cell(_size(size))}" for name, size in value["sizes"].items())
        about = f"{_cell(value['device'])}, {_cell(value['date'])}; {sizes}"
        parts.append(f"### {_cell(key)}\n\n{about}\n\n{markdown_table(heads, rows)}")
    return "\n\n".join(["## Measured here", *parts]) if parts else ""


def _fits(value: Any) -> bool:
    try:
        forms.measured()(value, "measurement")
    except ValueError:
        return False
    return isinstance(value["sizes"], Mapping)


def _size(value: Any) -> str:
    if isinstance(value, list):
        return " and ".join(map(_size, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _predicted(name: str, sizes: Mapping[str, Any], vocabulary: Vocabulary, cost: MeasuredCost | None) -> float:
    """Seconds that the cost model says for a training step of a layer; NaN where it cannot."""
    cutoffs: Any = {"full softmax": [], "ours": sizes.get("cutoffs")}.get(name)
    here = (sizes.get("words"), sizes.get("V")) == (vocabulary.name, len(vocabulary))
    if cost is None or cutoffs is None or not here or not str(sizes.get("device")).startswith("cpu"):
        return math.nan
    edges = [*cutoffs, len(vocabulary)]
    try:
        shares = [float(vocabulary.cumulative[b] - vocabulary.cumulative[a]) for a, b in pairwise(edges)]
        widths = sizes["widths"] if cutoffs else []
        return float(cost.layer(len(vocabulary), cutoffs, widths, shares, sizes["d"], sizes["B"], "train").seconds)
    except (KeyError, TypeError, ValueError, IndexError):
        return math.nan


# ---------------------------------------------------------------------- lessons


def _lesson(number: str, question: str, entries: Entries) -> str:
    parts = [_settings(number, entries), _guesses(number, entries), _answers(number, entries), _solved(number, entries)]
    if number in _SECTIONS:
        parts.append(_SECTIONS[number](entries))
    return "\n\n".join([f"## {number} · {question}", *filter(None, parts)]) if any(parts) else ""


def _settings(number: str, entries: Entries) -> str:
    lines = []
    for name, kept in entries.items():
        if name.startswith(f"lesson {number}"):
            told = [
                f"{key.replace('_', ' ')} {_cell(_size(value))}"
                for key, value in kept.items()
                if key not in ("given", "words")
            ]
            lines += [f"- Set in {name}: {'; '.join(told)}"] if told else []
    return "\n".join(lines)


def _guesses(number: str, entries: Entries) -> str:
    rows = []
    for key, prediction in predictions_of(number).items():
        kept = done.guess_of(key, entries.get(done.KEPT, {}).get)
        if kept is None:
            continue
        guess, result = kept
        fixed = prediction.question if isinstance(prediction.question, str) else key
        asked = plain(fixed) if result is None else result["question"]
        it_is = "not measured" if result is None else with_unit(true_text(result["truth"]), prediction.unit)
        close = "" if result is None else judged(guess, result["truth"], prediction.unit, prediction.chance)
        rows.append([_cell(asked), _cell(with_unit(number_text(guess), prediction.unit)), _cell(it_is), close])
    return markdown_table(["guessed", "my guess", "it is", ""], rows) if rows else ""


def _answers(number: str, entries: Entries) -> str:
    kept = done.fitting(done.ANSWERS, entries)
    rows = [
        [_cell(plain(question.text)), _cell(kept[key]["answer"]), _cell(kept[key]["status"])]
        for key, question in questions_of(number).items()
        if key in kept
    ]
    return markdown_table(["question", "my answer", ""], rows) if rows else ""


def _solved(number: str, entries: Entries) -> str:
    kept, parts = done.fitting(done.EXERCISES, entries), []
    for key, exercise in exercises().items():
        if exercise.lesson == number and key in kept:
            state = "solved" if kept[key]["status"] == "correct" else "not right yet"
            code = kept[key]["code"].rstrip()
            fence = "`" * max(3, 1 + max(map(len, ("".join(c if c == "`" else " " for c in code)).split()), default=0))
            parts.append(
                f"Exercise, {state}: {exercise.text}" + (f"\n\n{fence}python\n{code}\n{fence}" if code else "")
            )
    return "\n\n".join(parts)
