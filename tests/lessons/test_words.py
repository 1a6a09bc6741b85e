"""The first two lessons: this machine, how unequal words are, the reader's own text. No browser."""

import re
import threading
import time

import numpy as np
import pytest
from panels import every, finished, named, press, problem, said, upload

import adasoft
from adasoft import MeasuredCost, Vocabulary
from adasoft.lessons import Explorer
from adasoft.lessons.kit import parts
from adasoft.lessons.kit.costs import recorded_costs
from adasoft.lessons.kit.languages import load_language
from adasoft.lessons.words import figures as word_figures
from adasoft.lessons.words import panels as word_panels


def test_without_any_record_costs_are_counted(monkeypatch, tmp_path):
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path))
    monkeypatch.setattr("adasoft.records.shipped_records", list)
    explorer = Explorer(Vocabulary.synthetic(100))
    assert explorer.counted
    assert "none yet" in said(word_panels.machine_panel(explorer))


def test_a_file_called_as_a_language_is_no_language(explorer):
    coverage, languages = word_panels.coverage_panel(explorer), word_panels.languages_panel(explorer)
    explorer.vocabulary = Vocabulary([5, 4, 3], ["x", "y", "z"], name="German")
    assert named(coverage, "language").value == ""
    (figure,) = every(languages, parts.LiveFigure)
    assert figure.data[0].name == "German" and len(figure.data[0].x) == 3 and figure.data[1].name == "English"
    named(coverage, "language").value = "de"
    assert explorer.vocabulary is load_language("de") and figure.data[0].name == "English"


@pytest.mark.parametrize("writable", [False, True], ids=["a folder in the way", "not kept all the same"])
def test_a_machine_is_timed_where_nothing_can_be_kept(cache, explorer, cost, monkeypatch, writable):
    if not writable:
        cache.write_text("")  # a file where a folder should be
    asked = []

    def calibrate(device, *, seconds, progress, save):
        asked.append(save)
        return MeasuredCost(cost.coefficients, cost.flat, name="chip")

    monkeypatch.setitem(adasoft.__dict__, "calibrate", calibrate)
    box = word_panels.machine_panel(explorer)
    press(box, "Time this machine")
    assert problem(box) == "" and asked == [writable] and explorer.cost.name == "this machine: chip"
    assert "until the kernel ends" in said(box) and "recorded machine" not in said(box)


def test_machine_panel_times_and_labels(explorer, cost, monkeypatch, tmp_path):
    box = word_panels.machine_panel(explorer)
    assert "made by hand" in said(box)
    record = {
        "device": {"name": "chip <x>"},
        "threads": 2,
        "dtype": "float32",
        "date": "2026-01-02T",
        "torch": "2",
        "errors": {"train layers, not fitted": {"median": 0.11}},
    }
    steps = []

    def calibrate(device, *, seconds, progress, save):
        progress(0.5, "half")
        steps.append((device, seconds, named(box, "Time this machine").disabled, named(box, "Stop").disabled))
        name, path = "this machine: chip", tmp_path / "record.json"
        new = MeasuredCost(cost.coefficients, cost.flat, name=name, record=record, path=path)
        monkeypatch.setattr(word_panels, "measured_cost", lambda: new)
        return new

    monkeypatch.setitem(adasoft.__dict__, "calibrate", calibrate)
    named(box, "time for it").value = 10.0
    press(box, "Time this machine")
    assert steps == [("cpu", 10.0, True, False)] and named(box, "Stop").disabled
    assert "Timed. All" in said(box) and "until the kernel ends" not in said(box)
    assert explorer.cost.name == "this machine: chip" and problem(box) == ""
    assert "chip <x>, 2 threads" in said(box) and "11.0 %" in said(box)
    used = re.compile('<th scope="row">timings used</th><td>([^<]*)</td>')
    assert used.findall(said(box)) == ["this machine"]

    def broken(*_, **__):
        raise RuntimeError("no\nway")

    monkeypatch.setitem(adasoft.__dict__, "calibrate", broken)
    press(box, "Time this machine")
    assert "RuntimeError: no way" in problem(box) and "Timed. All" not in said(box)

    def endless(*_, progress, **__):
        while True:
            progress(0.5, "on and on")

    monkeypatch.setitem(adasoft.__dict__, "calibrate", endless)
    named(box, "Time this machine").click()
    named(box, "Stop").click()
    finished(named(box, "Time this machine"), 10)
    assert "Stopped." in said(box) and explorer.cost.name == "this machine: chip"
    explorer.cost = recorded_costs()[0]
    assert used.findall(said(box)) == ["a recorded machine, not this one"]


def test_coverage_panel(explorer):
    box = word_panels.coverage_panel(explorer)
    (figure,) = every(box, parts.LiveFigure)
    number_box, slider = named(box, "share of the tokens, %"), every(box, parts.Slider)[0]
    number_box.value = 95.0
    assert figure.data[4].x[1] == explorer.vocabulary.words_for_share(0.95) and slider.value == 95.0
    slider.value = 50.0
    assert figure.data[4].x[1] == explorer.vocabulary.words_for_share(0.5) and number_box.value == 50.0
    assert named(box, "language").value == ""
    named(box, "language").value = "fr"
    assert explorer.vocabulary is load_language("fr") and "French" in said(box)


def test_the_first_fifth_beside_the_paper():
    steep, even = Vocabulary(np.array([91, 4, 2, 2, 1])), Vocabulary(np.full(5, 4))
    as_there = Vocabulary(np.array([87, 5, 4, 3, 1]))
    for words, covers, says in [
        (steep, 0.91, "cover 91.0 %: the longer the list"),
        (even, 0.2, "cover 20.0 %: in a short list, or an even one"),
        (as_there, 0.87, "cover 87.0 %, too."),
        (Vocabulary(np.array([3, 1])), 0, "cover 0.0 %: in a short list"),
    ]:
        assert words.share_of_first(len(words) // 5) == pytest.approx(covers)
        assert says in word_figures.coverage_sentence(words, 0.8)
        mark = word_figures.coverage_figure(words, 0.8).data[5]
        assert mark.x[0] == max(1, len(words) / 5) and mark.y[0] == 0.87 and "paper" in mark.name


def test_fits_that_do_not_exist_are_said():
    law = Vocabulary(np.exp(-np.arange(60) / 3.0))  # exponential: Mandelbrot's shift runs away
    assert "no zipf-mandelbrot fit" in word_figures.coverage_sentence(law, 0.8)
    assert np.isnan(word_figures.coverage_figure(law, 0.8).data[2].y).all()


def test_languages_panel(explorer):
    box = word_panels.languages_panel(explorer)
    (figure,) = every(box, parts.LiveFigure)
    assert [t.name for t in figure.data][:4] == ["synthetic", "English", "German", "Finnish"]
    named(box, "languages").value = ("fr",)
    assert [t.name for t in figure.data][:3] == ["synthetic", "French", ""] and not figure.data[2].showlegend
    explorer.vocabulary = load_language("en")
    assert figure.data[0].name == "French" and "French needs" in said(box)
    named(box, "languages").value = ()
    assert "Choose at least one" in said(box)


def test_own_text(explorer, tmp_path):
    box = word_panels.own_text_panel(explorer)
    upload(box, "tale.txt", b"The cat and the dog and the bird. " * 10)
    assert explorer.vocabulary.name == "tale.txt" and explorer.vocabulary.words[0] == "the" and problem(box) == ""
    assert max(explorer.cutoffs) < len(explorer.vocabulary)
    counts = tmp_path / "counts.tsv"
    counts.write_text("a\t5\nb\t0\nc\t7\nd\t1\n")
    named(box, "or its path").value = str(counts)
    press(box, "Read it")
    assert explorer.vocabulary.words == ("c", "a", "d", "b")
    named(box, "Back to English").click()
    assert explorer.vocabulary is load_language("en")


def test_a_text_that_looks_like_counts(explorer, tmp_path):
    box = word_panels.own_text_panel(explorer)
    path = tmp_path / "ranks.txt"
    path.write_text("one 1\ntwo 2\nthree 3\n")
    named(box, "or its path").value = str(path)
    for kind, words in (("", ("three", "two", "one")), ("counts", ("three", "two", "one"))):
        named(box, "read it as").value = kind
        press(box, "Read it")
        assert explorer.vocabulary.words == words
    named(box, "read it as").value = "text"
    press(box, "Read it")
    assert set(explorer.vocabulary.words) == {"one", "two", "three", "1", "2", "3"} and problem(box) == ""


def test_reading_can_be_stopped(explorer, monkeypatch):
    def endless(*_):
        while True:
            time.sleep(0.001)

    before, read = explorer.vocabulary, threading.Event()
    monkeypatch.setattr(word_panels, "read_words", lambda *_: read.set() or endless())
    box = word_panels.own_text_panel(explorer)
    named(box, "or its path").value = "/large.txt"
    named(box, "Read it").click()
    assert read.wait(10)
    named(box, "Stop").click()
    finished(named(box, "Read it"), 10)
    assert "Stopped." in said(box) and problem(box) == "" and explorer.vocabulary is before
    named(box, "or its path").value = " "
    press(box, "Read it")
    assert "type the path of a file" in problem(box)


def test_how_many_times_as_many_words():
    few, many = Vocabulary([90] + [1] * 4, name="few"), Vocabulary([1] * 50_000, name="many")
    assert "many 47,500: 47,500 times as many." in word_figures.languages_sentence([few, many])
    even = Vocabulary([1] * 1000, name="even")
    assert "950 words and many 47,500: 50.0 times as many." in word_figures.languages_sentence([even, many])


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "should hold tokens, got none"),
        (b"\xff\xd8\x00binary\x00" * 9, "not read"),
        (b"one one one", "only 1 different words"),
        (b"a\t1\na\t2\nb\t3\n", "line 2"),
        (b"a\t0\nb\t0\nc\t0\n", "not read"),
    ],
    ids=["empty", "binary", "one word", "twice", "all zero"],
)
def test_broken_files_say_the_way_out_and_change_nothing(explorer, content, reason):
    before = explorer.vocabulary
    box = word_panels.own_text_panel(explorer)
    upload(box, "bad.txt", content)
    assert reason in problem(box) and "Way out" in problem(box) and "/dropped" not in problem(box)
    assert explorer.vocabulary is before


def test_a_path_that_is_not_there(explorer, tmp_path):
    box = word_panels.own_text_panel(explorer)
    named(box, "or its path").value = str(tmp_path / "none.txt")
    press(box, "Read it")
    assert "none.txt was not read" in problem(box)
