"""The notebooks: their shape, and executed from top to bottom without a network."""

import json
import math
import re
import time
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from offline import GUARD

from adasoft.lessons.kit import course
from adasoft.lessons.kit.grading import PREDICTIONS, QUESTIONS
from adasoft.lessons.kit.plots import Drawn
from adasoft.lessons.kit.stills import every_still, stale

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
#: What may be linked.
LESSONS = {lesson.file for lesson in course.LESSONS}
#: Before the first cell of a notebook whose reader has brought a text of a dozen words.
OWN_WORDS = """
from collections import Counter as _Counter
from adasoft import Vocabulary as _Vocabulary
from adasoft.lessons.kit.saved import Choices as _Choices
_choices = _Choices()
_text = "the cat saw the dog and the dog saw a bird that sang to the cat on the roof of a house"
_words, _counts = zip(*_Counter(_text.split()).most_common())
_choices.keep_own(_Vocabulary(_counts, _words, name="own.txt"))
_choices.flush()
"""
#: What a kernel holds: widgets, threads, and who listens to the explorers.
HELD = """
import gc as _gc, threading as _threading, time as _time, ipywidgets as _w
def _held(name):
    _gc.collect()
    explorers = [x for x in list(globals().values()) if hasattr(x, "_trait_notifiers") and hasattr(x, "cutoffs")]
    listeners = {id(x): len(x._trait_notifiers.get("version", {}).get("change", [])) for x in explorers}
    return len(_w.widgets.widget._instances), sorted(listeners.values())
"""


def read(path):
    return nbformat.read(path, as_version=4)


def test_there_are_notebooks():
    assert [path.name for path in NOTEBOOKS] == [lesson.file for lesson in course.LESSONS]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_shape(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert path.stat().st_size < 200_000
    assert notebook.metadata.kernelspec.name == "python3"
    assert "widgets" not in notebook.metadata
    code = [c for c in notebook.cells if c.cell_type == "code"]
    assert all(not c.outputs and c.execution_count is None for c in code)
    assert sum("predict(" in c.source for c in code) >= 2
    assert sum("ask(" in c.source for c in code) >= 3


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_code_is_seen_whole_and_no_answer_before_its_question(path):
    """Lines end where a cell of an ordinary window ends. What one should see after a guess is folded: it would answer
    before the reader has guessed."""
    cells = read(path).cells
    assert max(len(line) for c in cells if c.cell_type == "code" for line in c.source.splitlines()) <= 88
    for i, cell in enumerate(cells):
        if cell.cell_type != "code" or not cell.source.startswith("predict("):
            continue
        after = []
        for following in cells[i + 1 :]:
            if following.cell_type == "code":
                break
            after.append(following.source)
        open_text = re.sub(r"<details>.*?</details>", "", "\n".join(after), flags=re.S)
        assert "![" not in open_text and "What you should see" not in open_text, cell.source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_folded_solution_follows_the_questions(path):
    cells = read(path).cells
    for i, cell in enumerate(cells):
        if cell.cell_type == "code" and cell.source.startswith("ask("):
            after = [*cells[i + 1 :], cells[-1]]
            asked = [c.source.startswith("ask(") for c in after]
            # another question with its box may stand between
            following = next(c for c, own, next_one in zip(after, asked, asked[1:], strict=False) if not own | next_one)
            assert re.match(r"<details><summary>Solutions?</summary>", following.source), cell.source


@pytest.mark.parametrize("path", NOTEBOOKS[:-1], ids=lambda p: p.stem)
def test_each_lesson_names_the_next(path):
    following = NOTEBOOKS[NOTEBOOKS.index(path) + 1]
    assert f"({following.name})" in read(path).cells[-1].source


def test_the_letters_are_those_of_the_design():
    """The table in 00, and its first column nowhere with another meaning in the questions."""
    prose = "\n".join(c.source for c in read(FOLDER / "00_start_here.ipynb").cells)
    rows = dict(re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|$", re.sub(r"\$|\\", "", prose), re.M))
    expected = {
        "V": "number of words",
        "B": "tokens in a batch",
        "d": "hidden size",
        "J": "number of tails",
        "k_h": "words in the head; with one tail, the cutoff c_1",
        "k_i, d_i": "words in tail i, its width",
        "p_h, p_i": "share of the tokens in the head, in tail i",
        "c_1 < ... < c_J": "cutoffs",
    }
    assert {letter: rows[letter] for letter in expected} == expected
    assert "(B times d) by (d times k)" in rows["g(k, B, d)"]


def numbers_shown(picture):
    """All numbers of a picture: those drawn, also in percent, and those written."""
    if isinstance(picture, str):
        values, texts = [], re.findall(r">([^<]+)<", picture)
    elif isinstance(picture, Drawn):
        texts = [json.dumps(picture.shown, default=str)]
        values = [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?", texts[0])]
    else:
        values, texts = [], [json.dumps(picture.to_plotly_json()["layout"], default=str)]
        for trace in picture.data:
            for name in ("x", "y"):
                found = trace[name]
                values += [
                    float(v) for v in (found if found is not None else ()) if isinstance(v, (int, float, np.number))
                ]
            texts += [str(trace.text), str(trace.name)]
    texts = " ".join(texts).replace(",", "")
    written = [float(n) for n in re.findall(r"\d+(?:\.\d+)?", texts)]
    return [v for v in [*values, *(100 * v for v in values), *written] if math.isfinite(v)]


@pytest.mark.parametrize("name", [n for n in every_still() if n[:2] < "06"])
def test_numbers_in_an_alt_text_are_those_of_the_picture(name):
    """Each percentage, and each number with decimals, is found in the picture to the digits that are given."""
    still = every_still()[name]
    claims = re.findall(r"\d+(?:\.\d+)?(?= percent)|\d+\.\d{1,2}(?!\d)", still.alt)
    shown = numbers_shown(still.make()) if claims else []
    for claim in claims:
        digits = len(claim.partition(".")[2])
        value = float(claim.replace(",", ""))
        assert any(abs(v - value) <= 0.5 * 10**-digits + 1e-9 for v in shown), f"{claim} is not in the picture"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_pictures_and_links_are_there(path):
    prose = "\n".join(c.source for c in read(path).cells if c.cell_type == "markdown")
    pictures = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", prose)
    assert pictures
    stills = every_still()
    for alt, target in pictures:
        assert len(alt) > 40 and (FOLDER / target).exists()
        assert (FOLDER / target).stat().st_size < 200_000
        assert alt == stills[Path(target).stem].alt, target
    for target in re.findall(r"\]\(([^)]+\.ipynb)\)", prose):
        assert target in LESSONS


def test_no_still_is_stale():
    """By the hash of what each picture shows; ``python -m adasoft.lessons.kit.stills`` makes them anew."""
    assert stale() == {}


def test_every_still_and_every_question_is_used():
    text = "\n".join(path.read_text(encoding="utf-8") for path in NOTEBOOKS)
    assert [name for name in every_still() if f"(img/{name}." not in text] == []
    for kind, known in (("ask", QUESTIONS), ("predict", PREDICTIONS)):
        used = re.findall(rf"{kind}\(\\\"([^\"]+)\\\"", text)
        assert len(used) == len(set(used)) and set(used) == set(known)


def code_of(notebook):
    return [c.source for c in notebook.cells if c.cell_type == "code"]


def executed(notebook, tmp_path):
    """Run it all; the seconds it took."""
    started = time.perf_counter()
    NotebookClient(
        notebook,
        timeout=60,
        kernel_name="python3",
        store_widget_state=False,
        resources={"metadata": {"path": str(tmp_path)}},
    ).execute()
    assert not [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs if o.get("name") == "stderr"]
    return time.perf_counter() - started


@pytest.mark.parametrize("words", ["English", "own.txt"])
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_runs_offline_in_any_order_with_any_words(path, words, tmp_path, monkeypatch):
    """From top to bottom within a minute, no network; every guess committed; then each cell again, the last first:
    nothing is left behind by it. Once with a text of a dozen words in the place of English."""
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = read(path)
    cells = code_of(notebook)
    guesses = re.findall(r'predict\("([^"]+)", (\w+)', "\n".join(cells))
    # what a reader opens by committing a guess, here whether the answer is known or not
    opened = re.findall(r"then=lambda: (\w+\(.*\))\)\s*$", "\n".join(cells), re.M)
    commit = f"""
from adasoft.lessons import *
for _key, _explorer in {guesses}:
    _box = predict(_key, globals()[_explorer])
    _box.children[0].submit("12")
    _said = _box.children[0].verdict
    assert "You said" in _said or "Not possible yet" in _said and "then commit" in _said, (_key, _said)
"""
    more = [commit, *opened, HELD + "_before = _held('first')", *reversed(cells), *reversed(cells), commit, *opened]
    more += ["_after = _held('again')\nassert _after == _before, (_before, _after)"]
    more += [f"assert {guesses[0][1]}.vocabulary.name.startswith({words!r})"]
    notebook.cells[:0] = [nbformat.v4.new_code_cell(x) for x in (GUARD, *([OWN_WORDS] if words == "own.txt" else []))]
    notebook.cells += [nbformat.v4.new_code_cell(x) for x in more]
    assert executed(notebook, tmp_path) < 60
