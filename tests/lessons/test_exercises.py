"""Exercises: each lesson's own, in the file and in its notebook, and what a check says of any function."""

import ast
import json
import re
import time
from pathlib import Path

import numpy as np
import pytest

from adasoft.lessons import check
from adasoft.lessons.kit import exercises as ex
from adasoft.lessons.kit.compare import difference, shown, shown_beside
from adasoft.lessons.kit.course import LESSONS
from adasoft.lessons.kit.done import EXERCISES, entries, fitting
from adasoft.lessons.kit.exercises import Exercise, exercises, judge

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"


# ---------------------------------------------------------------------- the lessons' own


@pytest.mark.parametrize("key", exercises())
def test_the_solution_passes_and_each_bug_gets_its_hint(key):
    exercise = exercises()[key]
    right = judge(exercise, exercise.solution)
    assert right.status == "correct", right.plain
    assert len(exercise.bugs) >= 3 and exercise.text.endswith(".")
    for hint, bug in exercise.bugs.items():
        verdict = judge(exercise, bug)
        assert verdict.status == "not yet" and hint in verdict.text, (hint, verdict.plain)
    assert judge(exercise, lambda *args: None).status == judge(exercise, lambda *args: ...).status == "missing"


@pytest.mark.parametrize("key", exercises())
def test_the_cases_are_small_and_the_same_each_time(key):
    exercise = exercises()[key]
    first, second = ([shown(case) for case in exercise.cases()] for _ in range(2))
    assert first == second and len(first) >= 2
    started = time.perf_counter()
    judge(exercise, exercise.solution)
    assert time.perf_counter() - started < 5


def cells_of(file):
    return [(c["cell_type"], "".join(c["source"])) for c in json.loads((FOLDER / file).read_text("utf-8"))["cells"]]


def definitions_of(code):
    """What a cell imports and defines: what the reader's function in a later cell may use."""
    kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
    return "\n".join(
        ast.unparse(statement)
        for statement in ast.parse(code).body
        if isinstance(statement, kinds) or isinstance(getattr(statement, "value", None), ast.Lambda)
    )


@pytest.mark.parametrize("key", exercises())
def test_the_cell_runs_as_it_stands_and_the_solution_below_it_passes(key, cache):
    """The blank in the notebook is "missing"; the folded Python below it, run in its place, is correct."""
    (lesson,) = [lesson for lesson in LESSONS if lesson.number == exercises()[key].lesson]
    cells = cells_of(lesson.file)
    calls = rf'check\("{re.escape(key)}", (\w+)\)'
    (at,) = [i for i, (kind, code) in enumerate(cells) if kind == "code" and re.search(calls, code)]
    name = re.search(calls, cells[at][1])[1]
    room = {}
    for kind, code in cells[:at]:
        if kind == "code":
            exec(definitions_of(code), room)
    exec(cells[at][1], room)  # as it stands
    blank = check(key, room[name])
    assert blank.text.startswith("○ missing"), blank.text
    kind, below = cells[at + 1]
    folded = re.search(r"<details><summary>Solution</summary>(.*?)</details>", below, re.S)
    assert kind == "markdown" and folded, "the cell below should hold the folded solution"
    (fence,) = re.findall(r"```python\n(.*?)```", folded[1], re.S)
    exec(fence, room)
    solved = check(key, room[name])
    assert solved.text.startswith("✓ correct"), solved.text


def test_every_exercise_is_in_its_notebook_and_the_other_way_round():
    for lesson in LESSONS:
        code = "\n".join(code for kind, code in cells_of(lesson.file) if kind == "code")
        there = re.findall(r'^check\("([^"]+)"', code, re.M)
        known = [key for key, exercise in exercises().items() if exercise.lesson == lesson.number]
        assert sorted(there) == sorted(known), lesson.file


# ---------------------------------------------------------------------- what a check says


def share(counts, cutoff):
    """The share of the tokens in the head."""
    return counts[:cutoff].sum() / counts.sum()


def cases():
    return [(np.array([5.0, 3.0, 2.0]), 1), (np.array([4.0, 4.0, 1.0, 1.0]), 2), (np.arange(9.0, 0, -1), 3)]


SHARE = Exercise(
    text="Computes the share of the tokens in the head.",
    solution=share,
    cases=cases,
    bugs={
        "That is the tail's share.": lambda counts, cutoff: counts[cutoff:].sum() / counts.sum(),
        "That is the share of the words, not of the tokens.": lambda counts, cutoff: cutoff / len(counts),
        "That is one entry per word: add them up.": lambda counts, cutoff: counts[:cutoff] / counts.sum(),
        "A list of lists has no sum.": lambda counts, cutoff: [].nothing,
    },
    why="The head holds the most frequent words.",
)


def told(function, exercise=SHARE, **how):
    return judge(exercise, function, **how)


def test_right_is_right():
    verdict = told(lambda counts, cutoff: float(sum(counts[:cutoff])) / float(sum(counts)))
    assert verdict.status == "correct" and verdict.text == "The head holds the most frequent words. Tried on 3 cases."


@pytest.mark.parametrize("hint", SHARE.bugs)
def test_a_typical_bug_is_named(hint):
    verdict = told(SHARE.bugs[hint])
    assert verdict.status == "not yet" and hint in verdict.text


def test_nothing_written_yet():
    def blank(counts, cutoff):
        """The share of the tokens in the head."""
        ...  # your lines

    def half(counts, cutoff):
        total = ...
        return counts[:cutoff].sum() / total

    def forgotten(counts, cutoff):
        counts[:cutoff].sum() / counts.sum()

    assert told(blank).status == "missing" and "in place of" in told(blank).text
    assert told(half).status == "missing" and "still a “...”" in told(half).text
    assert told(forgotten).status == "missing" and "does it end in “return ...”?" in told(forgotten).text


def test_what_is_not_a_known_mistake_is_shown():
    verdict = told(lambda counts, cutoff: share(counts, cutoff) + 0.25 * (cutoff == 2))
    assert verdict.status == "not yet" and "Not a mistake I know. The 1 case before it is right." in verdict.text
    rows = dict(verdict.rows)
    assert rows["case 2 of 3"] == "counts=[4, 4, 1, 1], cutoff=2"
    assert (rows["yours"], rows["expected"], rows["difference"]) == ("1.05", "0.8", "off by 0.25")


def test_a_result_that_depends_on_nothing_is_said():
    said = told(lambda counts, cutoff: 0.002).text
    assert said == "Your function returns the same in all 3 cases: compute it from what it is given."


def test_what_is_left_of_the_blank_is_said(tmp_path):
    code = "def mine(counts, cutoff):\n    ...  # your lines\n    return 0.25\n"
    file = tmp_path / "cell.py"
    file.write_text(code)
    room = {}
    exec(compile(code, str(file), "exec"), room)
    assert "Not a mistake I know. There is still a “...” in your function." in told(room["mine"]).text


def test_factors_that_do_not_fit_are_told_in_words():
    said = told(lambda counts, cutoff: np.ones((2, 2)) @ counts).text
    assert "the factors of @ do not fit, the second has 3 rows where the first has 2 columns" in said


def test_a_rule_that_results_do_not_show():
    ruled = Exercise("Share.", share, cases, {}, rule=lambda function: "" if function is share else "Not so.")
    assert told(share, ruled).status == "correct"
    assert told(lambda counts, cutoff: share(counts, cutoff), ruled).text == "The results are right. Not so."


def test_an_error_is_told_with_the_readers_own_line(tmp_path):
    code = "def mine(counts, cutoff):\n    total = counts.sum()\n    return counts[cutoff + 7] / total\n"
    file = tmp_path / "cell.py"
    file.write_text(code)
    room = {}
    exec(compile(code, str(file), "exec"), room)
    verdict = told(room["mine"])
    assert "Your function fails with IndexError: index 8 is out of bounds" in verdict.text
    assert dict(verdict.rows)["line 3 of your cell"] == "return counts[cutoff + 7] / total"


def test_shapes_come_before_values_and_types_where_they_matter():
    places = Exercise("Places.", lambda x: np.argsort(-x), lambda: [(np.array([1.0, 3.0, 2.0]),)], {})
    assert (
        "The shape is wrong: yours is of shape (3, 1), expected of shape (3,)."
        in told(lambda x: np.zeros((3, 1)), places).text
    )
    assert "The type is wrong" in told(lambda x: np.argsort(-x) * 1.0, places).text
    assert told(lambda x: [1, 2, 0], places).status == "correct"
    assert "Yours is 2 results, expected of shape (3,)." in told(lambda x: (1, 2), places).text
    assert "yours is of shape (3,), expected a single number" in told(lambda c, k: c, SHARE).text


def test_arguments_are_fresh_each_time_and_tuples_are_compared_part_by_part():
    def spoils(counts, cutoff):
        total = counts.sum()
        counts /= total
        return counts[:cutoff].sum()

    assert told(spoils).status == "correct"
    both = Exercise("Both.", lambda x: (x.sum(), x), lambda: [(np.array([1.0, 2.0]),)], {})
    assert told(lambda x: (x.sum(), x), both).status == "correct"
    assert "result 2 of 2: yours is of shape (2, 1)" in told(lambda x: (0, x[:, None]), both).text  # shapes first
    assert "off by 3" in told(lambda x: (0, x), both).rows[-1][1]
    assert told(lambda x: (..., ...), both).status == "missing"
    assert "Yours is one result, expected 2." in told(lambda x: x, both).text


@pytest.mark.parametrize(
    "function, says",
    [
        (lambda counts: 1.0, "takes 1 argument (counts), but is called with 2: counts, cutoff."),
        (lambda: 1.0, "takes no arguments, but is called with 2"),
        (3.0, "check needs your function, got a float"),
    ],
)
def test_a_wrong_signature_is_told(function, says):
    assert told(function).status == "not yet" and says in told(function).text


def test_an_endless_loop_is_ended_and_its_line_told():
    def endless(counts, cutoff):
        while True:
            cutoff += 1

    verdict = told(endless, patience=0.3)
    assert verdict.status == "not yet" and "did not come back within 0.3 s" in verdict.text
    assert dict(verdict.rows).popitem()[0].startswith("line ")

    def leaves(counts, cutoff):
        raise SystemExit

    assert "should return instead" in told(leaves).text


def test_tensors_and_other_results():
    import torch

    rows = Exercise("Rows.", lambda x: x.softmax(-1), lambda: [(torch.arange(6.0).view(2, 3),)], {}, tolerance=1e-5)
    assert told(lambda x: x.softmax(-1).numpy(), rows).status == "correct"
    assert "of shape (3, 2)" in told(lambda x: x.softmax(-1).T, rows).text
    verdict = told(lambda x: x.softmax(0), rows)
    assert "6 of 6 entries differ; the largest difference is at [1, 0]" in verdict.rows[-1][1]
    assert "is NaN" in told(lambda x: x * torch.nan, rows).rows[-1][1]
    assert difference("the", "the", 0) is None and difference("a", "the", 0).kind == "value"
    assert difference([1, 2], np.array([1, 2]), 0) is None
    assert difference(torch.tensor(2.0), 2.0, 0) is None and difference(torch.tensor([2.0]), 2.0, 0).kind == "shape"
    assert difference(np.array([1, 0]), np.array([True, False]), 0).kind == "dtype"
    assert difference(np.inf, np.inf, 1e-6) is None and difference(1.0, np.inf, 1e-6).kind == "value"


def test_small_entries_are_judged_beside_large_ones():
    wanted = np.array([0.5, 1e-4])
    assert difference(wanted * (1 + 1e-7), wanted, 1e-6) is None
    assert difference(np.add(wanted, [0, 1e-7]), wanted, 1e-6).kind == "value"


def test_what_differs_in_the_middle_is_shown():
    right = np.arange(50.0)
    wrong = right.copy()
    wrong[[20, 25]] = 7
    assert shown_beside(wrong, right, 1e-6) == ("[20] 7; [25] 7", "[20] 20; [25] 25")
    assert shown_beside(1, 2, 1e-6) == ("1", "2") and shown_beside(right[:3], right, 1e-6)[0] == shown(right[:3])


def test_values_are_shown_in_one_short_line():
    assert shown(np.arange(1000).reshape(10, 100)).endswith("(10 x 100)") and len(shown(np.zeros((9, 9, 9)))) <= 240
    assert shown((1, 2.5, np.float32(0.1), True, None, ...)) == "(1, 2.5, 0.1, True, None, ...)"
    assert shown(np.array([0.1, 2e-9])) == "[0.1, 2e-09]" and shown([1, 2]) == "[1, 2]" and shown(12345) == "12,345"
    assert shown("word") == "'word'" and shown(object()) == "an object"


# ---------------------------------------------------------------------- the widget


@pytest.fixture
def known(cache, monkeypatch):
    monkeypatch.setattr(ex, "exercises", lambda: {"share": SHARE})
    return cache


def test_a_solved_exercise_is_kept_with_its_lines(known):
    def mine(counts, cutoff):
        return share(counts, cutoff)

    def kept():
        return fitting(EXERCISES, entries()).get("share")

    blank = check("share", lambda counts, cutoff: None)
    assert blank.text.startswith("○ missing. ") and kept() is None
    assert check("share", lambda counts, cutoff: 7).text.startswith("✗ not yet. ") and kept()["status"] == "not yet"
    assert check("share", mine).text.startswith("✓ correct. ")
    assert kept()["status"] == "correct" and kept()["code"].strip().startswith("def mine(counts, cutoff):")
    again = check("share", lambda counts, cutoff: None)  # the next day, the cell's blank run again
    assert "You solved it before" in again.text and kept()["status"] == "correct"
    with pytest.raises(ValueError, match="key should be one of 'share', got 'shares'"):
        check("shares", mine)


def test_what_a_check_says_is_announced_and_escaped(known):
    def mine(counts, cutoff):
        raise ValueError("<b>bold</b>")

    checked = check("share", mine)
    said = checked._repr_html_()
    assert 'role="status"' in said and "&lt;b&gt;bold" in said and "<b>bold" not in said
    assert repr(checked) == checked.text and "line 2 of your cell" not in checked.text.splitlines()[0]


def test_check_alone_loads_no_exercises(known):
    import subprocess
    import sys

    code = """
import adasoft.lessons, sys
print([name for name in sys.modules if name.endswith(".exercises")], "torch" in sys.modules)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "['adasoft.lessons.kit.exercises'] False"
