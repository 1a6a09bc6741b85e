"""The map of a lesson and of all, the report, and what is forgotten."""

import re

import ipywidgets as w
import numpy as np
import pytest
from panels import every, named, problem

from adasoft import MeasuredCost, Vocabulary
from adasoft.cli import lab
from adasoft.lessons import COUNTED_MULTIPLICATIONS, Explorer, ask, check, machine_panel, predict, progress_panel
from adasoft.lessons.kit import course, done, exercises, progress, report
from adasoft.lessons.kit.exercises import Exercise
from adasoft.lessons.kit.parts import Line
from adasoft.lessons.kit.progress import steps, summary
from adasoft.lessons.kit.saved import Choices
from adasoft.lessons.kit.stills import recorded_cost
from adasoft.lessons.kit.widgets import AnswerBox

DOUBLE = Exercise("Doubles a number.", lambda x: 2 * x, lambda: [(1.0,), (2.0,)], {}, lesson="02")


@pytest.fixture
def solving(cache, monkeypatch):
    """A lesson 02 with one exercise."""
    for module in (exercises, progress, report):
        monkeypatch.setattr(module, "exercises", lambda: {"double": DOUBLE})
    return cache


def double(x):
    return 2 * x


def guess(key, answer, explorer):
    (entry,) = every(predict(key, explorer), AnswerBox)
    entry.submit(answer)


def lesson_02(**more):
    return Explorer("en", cost=COUNTED_MULTIPLICATIONS, lesson="02 counting", **more)


def work(explorer):
    """What a reader may do in lesson 02: two answers, a guess, the exercise, a cutoff."""
    ask("tail width").submit("64")
    ask("count by hand").submit("3,600")
    guess("best cut", "9,000", explorer)
    check("double", double)
    explorer.cutoffs = (777,)


def headline(box):
    return every(box, Line)[0].text


def test_the_map_follows_what_the_reader_does(solving):
    box = progress_panel("02")
    assert headline(box) == "02 · 0 of 5 questions answered, 0 of 3 guesses within a factor of 2, 1 exercise open."
    work(lesson_02())
    assert headline(box) == "02 · 1 of 5 questions answered, 1 of 3 guesses within a factor of 2, 1 exercise solved."
    table = box.children[1].value
    assert "✓ question answered" in table and "✗ question: 3,600 is not right yet" in table
    assert "○ guess open</b> · How many times faster is the best pair of cutoffs" in table
    assert "○ question open" in table and "✓ exercise solved" in table
    assert "✓ guess of 9,000 words: off by a factor of" in table
    assert "Doubles a number." in table and "wide is tail 2?" in table
    again = progress_panel("02")  # its cell run again: the old one hears no more
    assert headline(again) == headline(box) and box.comm is None
    ask("swap saving").submit("1400")
    assert headline(again).startswith("02 · 2 of 5")


def test_a_guess_that_is_not_measured_yet(solving):
    explorer = lesson_02()
    explorer.remember("guess second cutoff", 3.0)
    assert [s.state for s in progress.steps("02", Choices().read()) if s.key == "second cutoff"] == [
        "guess of 3 times, not measured yet"
    ]


def test_broken_entries_are_no_progress(solving):
    choices = Choices()
    for section, key, value in (
        ("answers", "tail width", {"answer": 7, "status": "correct"}),
        ("answers", "swap saving", ["correct"]),
        ("exercises", "double", {"code": "x", "status": "great"}),
        ("kept", "guess best cut", "many"),
    ):
        choices.keep(section, key, value)
    assert progress.progress_lines() == [] and "## 02" not in report.report()
    assert ask("tail width").verdict == ""


def test_every_lesson_has_its_map(cache):
    for lesson in course.LESSONS:
        assert re.match(
            rf"{lesson.number} · 0 of \d questions answered, 0 of \d guesses", headline(progress_panel(lesson.number))
        )
    with pytest.raises(ValueError, match="lesson should be one of 00, 01"):
        progress_panel("42")


def test_lab_prints_the_map_of_all_lessons(solving, monkeypatch, capsys):
    assert lab.progress() == []
    explorer = lesson_02()
    work(explorer)
    explorer._choices.flush()
    assert lab.progress() == [
        "02 Where would you cut? 1 of 5 questions answered, 1 of 3 guesses within a factor of 2, 1 exercise solved."
    ]


# ---------------------------------------------------------------------- the report


def test_the_report_holds_what_was_done_in_all_lessons(solving, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "measured_cost", recorded_cost)
    explorer = lesson_02()
    work(explorer)
    ask("full cost").submit("421 | billion")  # not understood: not kept
    ask("full cost").submit("421")
    sizes = {"words": "English", "V": 321_180, "d": 512, "B": 64, "cutoffs": [2000], "widths": [128], "device": "cpu"}
    times = {
        "ours": [0.010, 0.009, 0.011, 7],
        "full softmax": [0.1, 0.09, 0.12, 5],
        "PyTorch's layer": [0.2, 0.1, 0.3, 5],
    }
    explorer.remember("layers", {"sizes": sizes, "device": "a CPU", "date": "2030-01-02", "times": times})
    explorer.remember("game", "a text of no form")
    monkeypatch.chdir(tmp_path)
    box = progress_panel("02")
    named(box, "Write the report").click()
    path = tmp_path / "adasoft-report.md"
    assert problem(box) == "" and str(path) in every(box, Line)[1].text and not list(tmp_path.glob("*.part"))
    text = path.read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# My report on the adaptive softmax",
        "## Machine",
        "## Words",
        "## Plan",
        "## Measured here",
        "### layers",
        "## 00 · How much does one cut save?",
        "## 02 · Where would you cut?",
    ]
    assert "- Set in lesson 02 counting: cutoffs 777" in text and "def double(x):" in text
    assert re.search(r"\| ours \| 10 \| 9 to 11 \| [\d.,]+ \| 7 \|", text)
    assert "| PyTorch's layer | 200 | 100 to 300 |  | 5 |" in text and "cutoffs = 2,000, widths = 128" in text
    assert re.search(r"\| [^|]+ \| 9,000 words \| [\d,]+ words \| off by a factor of 1.\d \|", text)
    assert "| 421 | correct |" in text and "English: 321,180 different words" in text and "cutoffs [" in text
    heads = [line.count("|") - line.count("\\|") for line in text.splitlines() if line.startswith("|")]
    assert set(heads) <= {4, 5, 6}


def test_a_lesson_may_add_a_section(solving, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "_SECTIONS", {})
    report.add_section("05", lambda entries: f"I chose {entries['kept']['choice']}.")
    lesson_02().remember("choice", "a head of 2,000")
    assert "## 05 · What does the layer compute?\n\nI chose a head of 2,000." in report.report()


def test_the_decisions_of_the_last_lesson_are_in_the_report(cache):
    decision = {
        "cutoffs": [9000],
        "widths": [128],
        "seconds": 0.0015,
        "bytes": 13e6,
        "width": 230.0,
        "words": "English",
    }
    choices = Choices()
    choices.keep("kept", "case keyboard decision", {**decision, "head share": 0.9, "within": [True, True, False]})
    choices.keep("kept", "case keyboard text", {"improved": "It is\nfaster.", "worse": " ", "breaks": "slang"})
    choices.keep("kept", "case items decision", {"cutoffs": "many"})
    text = report.report()
    assert "## 08 · " in text and "### A keyboard’s suggestions" in text and "A million items" not in text
    assert "English; 90.0 % of the tokens are in my head." in text
    assert "| cutoffs | 9,000 |" in text and "| widths of the tails | 128 |" in text
    assert "| time | 1.5 ms |  | yes |  |" in text and "| mean width | 230 numbers |  | no |  |" in text
    assert "- What improved: It is faster.\n- What could break it: slang" in text and "got worse" not in text


def test_a_report_that_cannot_be_written_beside_the_notebook_goes_home(cache, tmp_path, monkeypatch):
    blocked, home = tmp_path / "notebooks", tmp_path / "home"
    blocked.mkdir()
    home.mkdir()
    (blocked / report.NAME).mkdir()  # a folder of that name
    monkeypatch.chdir(blocked)
    monkeypatch.setattr(report.Path, "home", lambda: home)
    assert report.write_report() == (home / report.NAME).resolve()
    (home / report.NAME).unlink()
    (home / report.NAME).mkdir()
    box = progress_panel("00")
    named(box, "Write the report").click()
    assert report.NAME in problem(box)


def test_own_words_are_in_the_report(cache):
    Choices().keep_own(Vocabulary(np.array([5, 3, 2]), ("a", "b", "c"), name="tale.txt"))
    assert "tale.txt: 3 different words" in report.report()


# ---------------------------------------------------------------------- forgetting


def said_last(box):
    return every(box, Line)[1].text


def forget(box, text):
    named(box, text).click()
    named(box, f"Yes, {text.lower()}").click()


def test_a_lesson_is_forgotten_and_the_others_stay(solving, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where a report is written
    explorer = lesson_02(cutoffs=(2000,))
    work(explorer)
    ask("full cost").submit("421")
    other = Explorer("en", cost=COUNTED_MULTIPLICATIONS, lesson="03")
    other.cutoffs = (55,)
    other.remember("layers", "measured")
    box = progress_panel("02")
    named(box, "Forget this lesson").click()
    assert said_last(box).startswith("Your answers, guesses, exercises and settings of lesson 02 would be forgotten")
    assert headline(box).startswith("02 · 1 of 5") and explorer.cutoffs == (777,)  # asked, and nothing done
    named(box, "Write the report").click()
    assert named(box, "Forget this lesson")  # it asks again
    named(box, "Forget this lesson").click()
    named(box, "Yes, forget this lesson").click()
    assert said_last(box) == (
        "Forgotten: 2 answers, 1 guess, 1 exercise and what you set in its panels. Your words, your measurements and "
        "the timings of this machine stay. Run > Run All Cells shows the lesson as new."
    )
    assert headline(box).startswith("02 · 0 of 5") and explorer.cutoffs == (2000,)
    Choices().flush()
    kept = Choices().read()
    assert not any(name.startswith("lesson 02") for name in kept) and kept["lesson 03"]["cutoffs"] == [55]
    assert kept["kept"] == {"layers": "measured"} and list(kept["answers"]) == ["full cost"]
    assert explorer.recall("guess best cut") is None and ask("tail width").verdict == ""
    explorer.batch = 64  # a panel that is still open does not bring the guess back
    assert explorer.recall("result best cut") is None
    forget(box, "Forget this lesson")
    forget(progress_panel("05"), "Forget this lesson")
    assert said_last(progress_panel("05")) == ""


def test_what_stands_above_follows_a_lesson_that_is_forgotten(solving):
    explorer = lesson_02(cutoffs=(2000,))
    answered, blank = ask("tail width"), ask("count by hand")
    answered.submit("64")
    blank.submit("many")
    guessed = predict("best cut", explorer, then=lambda: w.Label("what opens"))
    guessed.children[0].submit("9,000")
    ask("full cost").submit("421")  # of another lesson
    forget(progress_panel("02"), "Forget this lesson")
    entry, rest = guessed.children
    assert (answered.answer, answered.verdict) == (entry.answer, entry.verdict) == ("", "")
    assert rest.layout.display == "none" and entry.again == ""
    assert "missing" in blank.verdict  # nothing was kept of it
    entry.submit("9,000")
    assert "You said" in entry.verdict and rest.layout.display is None


def test_digits_are_within_a_factor_of_2_where_they_are_within_1():
    """The sentence says the rule that the marks follow."""
    for guess, good in (("12", False), ("9.2", True), ("4.4", False)):
        entries = {
            done.KEPT: {
                "guess digits": float(guess),
                "result digits": {"truth": 8.5, "unit": "digits", "question": "?"},
            }
        }
        (step,) = [step for step in steps("05", entries) if step.key == "digits"]
        assert step.good == good
        near = f"{int(good)} of 3 guesses within a factor of 2 (digits: within 1)"
        assert near in summary(steps("05", entries))
    assert "digits" not in summary(steps("02", {}))


def record(cache):
    """A record of timings in the reader's folder."""
    path = cache / "machines" / "cpu.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    return path


@pytest.mark.parametrize("timings", [False, True])
def test_everything_is_forgotten_and_the_timings_only_when_asked(solving, timings):
    explorer = lesson_02(cutoffs=(2000,))
    work(explorer)
    explorer.remember("layers", "measured")
    Choices().keep_own(Vocabulary(np.array([5, 3, 2]), ("a", "b", "c"), name="tale.txt"))
    Choices().flush()
    path = record(solving)
    box = progress_panel("02")
    named(box, "with the timings of this machine").value = timings
    forget(box, "Forget everything")
    told = said_last(box)
    assert told.startswith(
        "Forgotten: 2 answers, 1 guess, 1 exercise, the settings of 1 explorer, your words “tale.txt”"
    )
    assert ("and 1 record of timings of this machine." in told) == timings
    assert ("The timings of this machine stay." in told) == (not timings)
    assert path.exists() == (not timings) and headline(box).startswith("02 · 0 of 5")
    assert not list((solving / "lessons").glob("*")) and explorer.cutoffs == (2000,)
    named(box, "with the timings of this machine").value = False
    forget(box, "Forget everything")
    assert said_last(box) == "There was nothing to forget."


def test_forgetting_choices_keeps_the_timings_made_since(cache, monkeypatch):
    """Timed in this kernel, after the explorer was made: they stay the ones in use."""
    explorer = Explorer("en", lesson="00")
    kinds = {"product": [1e-4, 3e-11, 5e-9, 2e-9, 6e-9, 0], "projection": [1e-4, 5e-11, 0, 0], "rows": [1e-4, 0, 0]}
    mine = MeasuredCost({"train": kinds, "decode": kinds}, {"train": 5e-4, "decode": 1e-4}, name="this machine: mine")
    monkeypatch.setattr("adasoft.lessons.kit.kept.measured_cost", lambda: mine)
    explorer.cost, explorer.batch = mine, 77
    named(machine_panel(explorer), "Forget my choices").click()
    assert explorer.cost is mine and explorer.batch == 2560
    explorer.batch = 77
    explorer.start_over()
    assert explorer.cost is mine and explorer.batch == 2560
    given = Explorer("en", lesson="02", cost=COUNTED_MULTIPLICATIONS)
    given.cost = mine
    given.start_over()
    assert given.cost is COUNTED_MULTIPLICATIONS  # its cell says so
