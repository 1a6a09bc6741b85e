"""The lessons in their order: the one list that progress, report, exercises and tests go by."""

from __future__ import annotations

from typing import NamedTuple


class Lesson(NamedTuple):
    """One notebook, and the room of `adasoft.lessons` that holds its questions and exercises."""

    number: str
    question: str
    """What it asks, for lists of lessons."""
    file: str
    room: str


LESSONS: tuple[Lesson, ...] = (
    Lesson("00", "How much does one cut save?", "00_start_here.ipynb", "words"),
    Lesson("01", "How unequal are words?", "01_zipf.ipynb", "words"),
    Lesson("02", "Where would you cut?", "02_clusters.ipynb", "clusters"),
    Lesson("03", "Why do counted multiplications lie?", "03_time_model.ipynb", "time_model"),
    Lesson("04", "Are the predicted times true on my machine?", "04_live_timing.ipynb", "live_timing"),
    Lesson("05", "What does the layer compute?", "05_layer.ipynb", "layer"),
    Lesson("06", "What does it cost in perplexity?", "06_language_model.ipynb", "language_model"),
    Lesson("07", "Which method, when?", "07_alternatives.ipynb", "alternatives"),
    Lesson("08", "What would you do in your case?", "08_your_case.ipynb", "your_case"),
)

#: The rooms, each once.
ROOMS = tuple(dict.fromkeys(lesson.room for lesson in LESSONS))


def lesson_of(number: str) -> Lesson:
    """The lesson with this number. Raises ValueError for any other."""
    for lesson in LESSONS:
        if lesson.number == number:
            return lesson
    raise ValueError(f"lesson should be one of {', '.join(lesson.number for lesson in LESSONS)}, got {number!r}")
