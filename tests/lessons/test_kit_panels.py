"""Cutoffs dragged, slid and typed; cells run again; jobs with a Stop. No browser."""

import gc
import threading
import time
import weakref
from functools import partial

import ipywidgets as w
import numpy as np
import plotly.graph_objects as go
import pytest
from panels import every, named, problem, said

from adasoft import Vocabulary, plan
from adasoft.lessons import COUNTED_MULTIPLICATIONS, COUNTED_WORDS
from adasoft.lessons.clusters import panels as cluster_panels
from adasoft.lessons.kit import cuts, parts
from adasoft.lessons.kit.explorer import WIDTH_RULES
from adasoft.lessons.kit.grading import ask, predict
from adasoft.lessons.kit.picker import CutPicker
from adasoft.lessons.kit.widgets import AnswerBox
from adasoft.lessons.words import panels as word_panels


def test_drag_slide_and_type_move_the_same_cutoff(explorer):
    box = cuts.cut_panel(explorer)
    (picker,) = every(box, CutPicker)
    (figure,) = every(box, parts.LiveFigure)
    sliders, boxes = every(box, parts.Slider), [named(box, f"cutoff {i}, words") for i in (1, 2)]

    def agree():
        assert tuple(picker.cuts) == explorer.cutoffs == tuple(b.value for b in boxes)
        for i in (0, 1):
            assert np.log10(sliders[i].value) == pytest.approx(np.log10(explorer.cutoffs[i]), abs=0.006)
        assert figure.data[5].x[0] == explorer.cutoffs[explorer.active]
        assert figure.data[5].y[0] == pytest.approx(1e3 * explorer.prediction.seconds)
        assert list(figure.data[1].y) == pytest.approx(explorer.token_shares)
        assert list(figure.data[2].x) == ["head", "tail 1", "tail 2", "sorting"]

    agree()
    picker.set_state({"moved": 1, "cuts": [1000, 7000]})  # as the browser does
    assert explorer.cutoffs == (1000, 7000) and explorer.active == 1
    agree()
    sliders[0].value = 10**3.5
    assert explorer.cutoffs == (3162, 7000)
    agree()
    boxes[0].value = 1234
    assert explorer.cutoffs == (1234, 7000) and problem(box) == ""
    agree()
    sliders[0].value = sliders[0].value * 1.0000001  # the browser snaps and echoes; that is no move
    assert explorer.cutoffs == (1234, 7000)
    sliders[0].value = 10**4.2  # stops at its neighbour
    assert explorer.cutoffs == (6999, 7000)
    boxes[1].value = 10
    assert "c2 should be from 7,000 to 19,999 here, got 10" in problem(box)
    agree()
    boxes[1].value = 8000
    assert problem(box) == ""
    agree()


def test_every_setting_and_button_of_the_cut_panel(explorer, cost):
    box = cuts.cut_panel(explorer)
    (figure,) = every(box, parts.LiveFigure)
    named(box, "number of cutoffs").value = 4
    assert len(explorer.cutoffs) == 4 and len(figure.data[0].x) == 5
    rows = [x.layout.display for x in every(box, w.HBox) if any(isinstance(c, parts.Slider) for c in x.children)]
    assert rows == [None] * 4 + ["none"]
    named(box, "width of the tails").value = "d for every tail"
    assert explorer.widths == [512] * 4
    named(box, "width of the tails").value = next(iter(WIDTH_RULES))
    named(box, "cost model").value = COUNTED_MULTIPLICATIONS.name
    assert explorer.cost is COUNTED_MULTIPLICATIONS and figure.layout.yaxis2.title.text == explorer.unit
    named(box, "cost model").value = cost.name
    named(box, "hidden size d").value = 64
    named(box, "tokens per step B").value = -1
    assert explorer.in_features == 64 and explorer.batch == 2560 == named(box, "tokens per step B").value
    assert "B (batch) should be from 1" in problem(box)
    named(box, "Plan for me").click()
    assert explorer.cutoffs == plan(explorer.vocabulary, 64, 2560, cost=cost, n_tails=4).cutoffs
    assert "Planned" in said(box) and "75 %" in said(box)
    named(box, "The authors' cutoffs").click()
    assert explorer.cutoffs == (2000, 10000)
    named(box, "Reset").click()
    assert explorer.cutoffs == (1000, 5000)
    named(box, "number of cutoffs").value = 0
    assert explorer.cutoffs == () and explorer.speedup == 1


def test_a_cell_run_again_replaces_its_panel(explorer):
    first = cuts.cut_panel(explorer)
    picker = weakref.ref(every(first, CutPicker)[0])
    handlers = len(explorer._trait_notifiers["version"]["change"])
    second = cuts.cut_panel(explorer)
    assert len(explorer._trait_notifiers["version"]["change"]) == handlers
    assert first.comm is None and second.comm is not None
    shown = list(picker().cuts)
    explorer.cutoffs = (77, 5000)
    assert picker() is None or picker().cuts == shown
    gc.collect()


PANELS = {
    "cut": partial(cuts.cut_panel, most=1, settings=False),  # what is not offered must go, too
    "machine": word_panels.machine_panel,
    "coverage": word_panels.coverage_panel,
    "languages": word_panels.languages_panel,
    "own text": word_panels.own_text_panel,
    "two clusters": cluster_panels.two_clusters_panel,
    "swap": lambda _: cluster_panels.swap_panel(),
}


@pytest.mark.parametrize("make", PANELS.values(), ids=PANELS)
def test_a_cell_run_again_leaks_no_widget(explorer, make):
    make(explorer)
    widgets = len(w.widgets.widget._instances)
    for _ in range(3):
        make(explorer)
    assert len(w.widgets.widget._instances) == widgets


def test_questions_and_games_run_again_leak_no_widget(explorer):
    def cells():
        ask("tail width")
        (entry,) = every(predict("speedup", explorer, then=lambda: cuts.cut_panel(explorer, slot="p")), AnswerBox)
        entry.submit("3")
        cluster_panels.beat_the_planner(explorer)
        return len(w.widgets.widget._instances)

    assert cells() == cells() == cells()


def test_callbacks_in_several_threads_wait_for_each_other(explorer, monkeypatch):
    """JupyterLab runs each widget's callbacks in a thread of its own; the later gesture must win."""
    box = cuts.cut_panel(explorer)
    sentence, inside = cuts.cut_sentence, threading.Event()

    def slow(state):
        inside.set()
        text = sentence(state)
        time.sleep(0.2 if state.cutoffs[0] == 50 else 0)
        return text

    monkeypatch.setattr(cuts, "cut_sentence", slow)
    first = threading.Thread(target=lambda: setattr(named(box, "cutoff 1, words"), "value", 50))
    first.start()
    inside.wait()
    named(box, "cutoff 2, words").value = 9999
    first.join()
    assert explorer.cutoffs == (50, 9999)
    assert sentence(explorer) in said(box)


def test_an_error_while_redrawing_is_shown(explorer, monkeypatch):
    box = cuts.cut_panel(explorer)
    monkeypatch.setattr(cuts, "cut_data", lambda _: 1 / 0)
    explorer.cutoffs = (5, 6)
    assert "ZeroDivisionError" in problem(box) and "<script" not in problem(box)


def test_no_figure_is_made_in_a_callback(explorer, cost, monkeypatch):
    """A figure is made once; what the reader does changes its numbers."""
    boxes = {name: PANELS[name](explorer) for name in ("cut", "coverage", "languages", "two clusters")}
    figures = {name: every(box, parts.LiveFigure)[0] for name, box in boxes.items()}
    made = []
    monkeypatch.setattr(parts.LiveFigure, "__init__", lambda *_, **__: made.append("live"))
    monkeypatch.setattr(go.Figure, "__init__", lambda *_, **__: made.append("plotly"))
    shown = {name: [list(t.y) for t in figure.data] for name, figure in figures.items()}
    explorer.vocabulary = Vocabulary.synthetic(9000, name="other")
    explorer.cutoffs, explorer.in_features = (70, 800), 128
    explorer.width_rule, explorer.cost = list(WIDTH_RULES)[1], COUNTED_WORDS
    named(boxes["languages"], "languages").value = ("fr", "it")
    named(boxes["coverage"], "share of the tokens, %").value = 90.0
    named(boxes["two clusters"], "Show the best").click()
    assert made == [] and all(problem(box) == "" for box in boxes.values())
    for name, figure in figures.items():
        assert [list(t.y) for t in figure.data] != shown[name], name


def test_a_button_that_can_be_pressed_starts_its_job():
    """The moment it says so, no other job is in the way."""
    panel, free = parts.Panel(), []
    job = parts.Job(panel, "Go", lambda tick: None)
    job.start.observe(lambda change: change["new"] or free.append(not parts.Job._running.locked()), "disabled")
    panel.box(job.row)
    for _ in range(3):
        job.start.click()
        job.thread.join(10)
    assert free == [True] * 3


def test_a_job_stops_fails_and_runs_alone():
    panel = parts.Panel()
    go_on, inside = threading.Event(), threading.Event()

    def work(tick):
        tick(0.5, "half")
        inside.set()
        while not go_on.wait(0.01):
            tick(0.6, "more")
        raise RuntimeError("it\nbroke")

    job, other = parts.Job(panel, "Go", work), parts.Job(panel, "Go too", work)
    box = panel.box(job.row, other.row, job.line)
    job.start.click()
    assert inside.wait(30) and job.bar.value == 0.5
    other.start.click()
    assert "another measurement is running" in problem(box)
    job.stop.click()
    job.thread.join(30)
    assert "Stopped" in said(box) and job.stop.disabled and not job.start.disabled
    assert problem(box) == ""  # no other is running any more
    go_on.set()
    other.start.click()
    other.thread.join(30)
    assert "RuntimeError: it broke" in problem(box)
    go_on.clear()
    job.start.click()
    job.bar.close()  # its cell was run again
    job.thread.join(30)
    assert not job.thread.is_alive()
