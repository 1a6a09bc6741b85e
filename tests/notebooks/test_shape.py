"""What every lesson's page is made of, read from the notebooks without running them.

For one lesson: ``python -m pytest tests/notebooks/test_shape.py -n 0 -k 02``; for the texts of one room: ``-k clusters``.
"""

import ast
import json
import math
import re
from pathlib import Path

import pytest

from adasoft.lessons.kit.costs import AT_HAND
from adasoft.lessons.kit.course import LESSONS
from adasoft.lessons.kit.grading import PREDICTIONS, QUESTIONS, true_text, with_unit

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "notebooks"
EACH = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: Path(lesson.file).stem)
#: In the first cell of every lesson.
OPENED_AGAIN = "Opened again? Run > Run All Cells."
#: Phrases that read as translated, and what an editor would print instead.
FORBIDDEN = {
    r"\bhardly ever comes?\b": "rarely occurs",
    r"\banew\b": "again",
    r"\bat hand\b": "available, current",
    r"\bas remembered\b": "(find out, or leave out)",
    r"(?-i:\bIn words:)": "(leave out)",
    r"\btimes less\b(?! (?:often|likely))": "times cheaper",
    r"\ba factor (?:of )?[\d.,]+ off\b": "off by a factor of",
    r"\byou can do after\b": "afterwards you can",
    r"\bto know before\b": "you should know",
    r"\b(?:is|are) told by\b": "shows",
    r"\brightly\b": "properly",
    r"\bon top\b(?! of)": "additional",
    r"\bdear(?:er|est)?\b": "expensive",
    r"\bmend(?:s|ed|ing)?\b": "fix",
    r"\bway out:": "what works:",
    r"\bkeep working\b": "not yet",
}


def cells_of(lesson):
    cells = json.loads((FOLDER / lesson.file).read_text(encoding="utf-8"))["cells"]
    return [(cell["cell_type"], "".join(cell["source"])) for cell in cells]


def unfolded(markdown):
    """What is read without opening a fold."""
    return re.sub(r"<details>.*?</details>", "", markdown, flags=re.S)


def text_above(cells, i):
    """The Markdown that belongs to a box: the nearest above it."""
    return next((source for kind, source in reversed(cells[:i]) if kind == "markdown"), "")


@EACH
def test_the_text_of_each_question_stands_above_its_box(lesson):
    """Word for word, line breaks aside, and in sight. To pass: copy each text below into the Markdown cell above its
    ``ask`` or ``predict``, or write the Markdown's words in questions.py. A question that is a function of the
    explorer shows itself and needs no copy."""
    cells, missing = cells_of(lesson), []
    for i, (kind, code) in enumerate(cells):
        for call, key in re.findall(r'^(ask|predict)\("([^"]+)"', code, re.M) if kind == "code" else ():
            text = QUESTIONS[key].text if call == "ask" else PREDICTIONS[key].question
            above = " ".join(unfolded(text_above(cells, i)).split())
            if isinstance(text, str) and " ".join(text.split()) not in above:
                missing.append(f'{call}("{key}"): {text}')
    assert not missing, "not in the Markdown cell above:\n" + "\n".join(missing)


@EACH
def test_size(lesson):
    """600 to 1,200 words in sight, formulas left out; at most 25 cells of code, each at most 20 lines."""
    cells = cells_of(lesson)
    prose = "\n".join(unfolded(source) for kind, source in cells if kind == "markdown")
    prose = re.sub(r"\$\$?[^$]*\$\$?|!?\]\([^)]*\)|!\[[^\]]*\]", " ", prose)
    words = len(re.findall(r"\w[\w'’-]*", prose))
    code = [source for kind, source in cells if kind == "code"]
    assert 600 <= words <= 1200, f"{words} words in sight"
    assert len(code) <= 25 and max(len(source.splitlines()) for source in code) <= 20


@EACH
def test_the_head_says_what_one_should_know_and_what_to_do_when_it_is_opened_again(lesson):
    head = re.sub(r"[*`]", "", cells_of(lesson)[0][1])
    assert head.startswith(f"# {lesson.number} · ") and "?" in head.splitlines()[0]
    assert re.search(r"^\d+ minutes", head, re.M)
    assert "you should know:" in head.lower() and "Afterwards you can:" in head
    assert OPENED_AGAIN in head, f"the first cell should say: {OPENED_AGAIN}"


@EACH
def test_one_picture_in_sight_near_the_top_and_all_others_folded(lesson):
    cells = cells_of(lesson)
    there = [i for i, (kind, source) in enumerate(cells) if kind == "markdown" for _ in re.findall(r"!\[", unfolded(source))]
    assert len(there) == 1 and there[0] < 6, f"pictures in sight are in cells {there}: one should be, among the first 6"


@EACH
def test_in_code(lesson):
    """The cell after a Markdown cell that says "In code" in bold or as a heading: 6 to 12 lines."""
    cells = cells_of(lesson)
    lengths = [
        len([line for line in cells[i + 1][1].splitlines() if line.strip()])
        for i, (kind, source) in enumerate(cells[:-1])
        if kind == "markdown" and re.search(r"(\*\*|^#+ .*)In code\b", source, re.M) and cells[i + 1][0] == "code"
    ]
    assert lengths and all(6 <= n <= 12 for n in lengths), f"cells in code: lines {lengths}"


@EACH
def test_write_it_yourself(lesson):
    """A cell that defines a function with a blank and checks it, below Markdown that says "Write it yourself"."""
    cells = cells_of(lesson)
    there = [i for i, (kind, source) in enumerate(cells) if kind == "code" and re.search(r"^check\(", source, re.M)]
    assert there, "no cell ends in check(...)"
    assert any("write it yourself" in text_above(cells, i).lower() for i in there)
    for i in there:
        assert re.search(r"^def \w+\(", cells[i][1], re.M) and "..." in cells[i][1]


@EACH
def test_the_progress_of_the_lesson_is_the_last_cell_of_code(lesson):
    code = [source for kind, source in cells_of(lesson) if kind == "code"]
    assert code[-1].splitlines()[-1] == f'progress_panel("{lesson.number}")'


@EACH
def test_no_answer_in_sight_below_its_prediction(lesson):
    """The number that a prediction reveals, as the lesson's own explorer makes it, is in no open text after it."""
    cells, room, given_away = cells_of(lesson), {}, []
    for i, (kind, code) in enumerate(cells):
        if kind != "code":
            continue
        for statement in ast.parse(code).body:  # the imports, and what makes an explorer
            source = ast.unparse(statement)
            if isinstance(statement, (ast.Import, ast.ImportFrom)) or re.match(r"\w+ = \w*Explorer\b", source):
                exec(source, room)
        for key, explorer in re.findall(r'^predict\("([^"]+)", (\w+)', code, re.M):
            try:
                truth = PREDICTIONS[key].truth(room[explorer])
            except ValueError:  # something has to be done first
                continue
            if math.isnan(truth):  # to be measured
                continue
            text = true_text(truth)
            sought = text if len(re.sub(r"\D", "", text)) > 2 else with_unit(text, PREDICTIONS[key].unit)
            below = "\n".join(unfolded(source) for kind, source in cells[i + 1 :] if kind == "markdown")
            if re.search(rf"(?<![\d.,]){re.escape(sought)}(?![\d]|[.,]\d)", below.replace("{,}", ",")):
                given_away.append(f"{key}: {sought}")
    assert not given_away, f"in sight below its prediction: {given_away}"


def phrases_in(text):
    return [
        f"“{found.group()}” (rather: {better})"
        for phrase, better in FORBIDDEN.items()
        for found in re.finditer(phrase, text, re.I)
    ]


@EACH
def test_plain_english_in_the_notebook(lesson):
    found = phrases_in("\n".join(source for _, source in cells_of(lesson)))
    assert not found, "\n".join(found)


FILES = [*sorted((ROOT / "adasoft" / "lessons").rglob("*.py")), *sorted((ROOT / "adasoft" / "lessons").rglob("*.js"))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT / "adasoft" / "lessons")))
def test_plain_english_in_the_panels(path):
    """In all texts of a file, docstrings included; of JavaScript, in the whole file."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        nodes = ast.walk(ast.parse(text))
        text = "\n".join(n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str))
    if path.name == "costs.py":
        text = text.replace(AT_HAND, "")  # a mark in the reader's file of choices
    found = phrases_in(text)
    assert not found, "\n".join(found)
