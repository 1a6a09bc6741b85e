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
from adasoft.cost import Cost
from adasoft.lessons import COUNTED_MULTIPLICATIONS, COUNTED_WORDS
from adasoft.lessons.kit import cuts, parts, plots
from adasoft.lessons.kit.cut_widget import CutWidget
from adasoft.lessons.kit.explorer import WIDTH_RULES
from adasoft.lessons.kit.grading import ask, predict
from adasoft.lessons.kit.languages import load_language
from adasoft.lessons.kit.token_panel import TokenWidget, token_panel
from adasoft.lessons.kit.widgets import AnswerBox, NumberBox
from adasoft.lessons.words import panels as word_panels
from adasoft.lessons.words.machine import machine_panel
from adasoft.lessons.words.own_text import own_text_panel


def browser(box):
    """The cut explorer of a panel, what it was sent, and the gestures that its browser reports."""
    (widget,) = every(box, CutWidget)
    sent = []
    widget.send = lambda content, buffers=None: sent.append(content)

    def place(cuts, active=0):
        widget.set_state({"place": {"cuts": list(cuts), "active": active}})

    def choose(key, value):
        widget._handle_custom_msg({"kind": "choose", "key": key, "value": value}, [])

    def click(key):
        widget._handle_custom_msg({"kind": "press", "key": key}, [])

    return widget, sent, place, choose, click


def test_the_kernel_hears_the_cutoffs_and_the_browser_follows_the_kernel(explorer):
    box = cuts.cut_panel(explorer)
    widget, _, place, *_ = browser(box)
    seen = []
    explorer.observe(lambda _: seen.append((explorer.cutoffs, explorer.active)), "version")
    place((1000, 7000), 1)
    assert explorer.cutoffs == (1000, 7000) and explorer.active == 1 and seen == [((1000, 7000), 1)]
    place((1000, 7000), 0)  # another handle is focused
    assert explorer.active == 0 and widget.place == {"cuts": [1000, 7000], "active": 0}
    explorer.cutoffs = (5, 60, 700)
    assert widget.cuts == [5, 60, 700] and problem(box) == ""
    place((700, 60))  # of another vocabulary, or broken: what holds stays visible
    assert "cutoffs should rise" in problem(box) and explorer.cutoffs == (5, 60, 700) == tuple(widget.cuts)
    place((6, 60, 700))
    assert problem(box) == "" and explorer.cutoffs == (6, 60, 700)
    place(())
    assert explorer.cutoffs == () and explorer.speedup == 1 and "curve" not in (widget.priced or {})


def test_what_changes_goes_out_in_one_message_and_words_once(explorer):
    widget, *_ = browser(cuts.cut_panel(explorer))
    messages = []
    widget.send_state = lambda key=None: messages.append({key} if isinstance(key, str) else set(key))
    explorer.cutoffs = (70, 800)
    explorer.batch = 64
    explorer.vocabulary = Vocabulary.synthetic(9000, name="other")
    assert messages == [{"place"}, {"sizes", "choices", "summary"}, {"words", "summary"}]
    assert widget.summary == "other, 9,000 words · made by hand · d = 512, B = 64"


def test_every_setting_and_button_of_the_cut_panel(explorer, cost):
    box = cuts.cut_panel(explorer)
    widget, sent, _, choose, click = browser(box)
    assert [c["label"] for c in widget.choices] == [
        "cost model",
        "width of the tails",
        "hidden size d",
        "tokens per step B",
    ]
    choose("width_rule", "d for every tail")
    assert explorer.widths == [512] * 2 and widget.sizes["widths"] == [512] * 5
    choose("width_rule", next(iter(WIDTH_RULES)))
    choose("cost", COUNTED_MULTIPLICATIONS.name)
    assert explorer.cost is COUNTED_MULTIPLICATIONS and widget.cost["counted"] == "multiplications"
    choose("cost", cost.name)
    choose("in_features", 64)
    choose("batch", -1)
    choose("batch", 2.5)
    assert explorer.in_features == 64 and explorer.batch == 2560 and problem(box) == ""
    told = [m["text"] for m in sent if m["kind"] == "refused" and m["text"]]
    assert told == [
        "B (batch) should be from 1 to 1,048,576, got -1",
        "B should be a whole number, got 2.5",
    ]
    click("plan")
    assert explorer.cutoffs == plan(explorer.vocabulary, 64, 2560, cost=cost, n_tails=2).cutoffs
    assert "Planned: " in widget.note and "75 %" in widget.note and sent[-1] == {"kind": "said", "text": widget.note}
    assert widget.marks["plan"] == list(explorer.cutoffs)
    explorer.cutoffs = (900, 4000)
    assert widget.note == "" and widget.marks["plan"]  # it spoke of others; the star stays while the sizes do
    explorer.batch = 77
    assert widget.marks["plan"] is None
    click("authors")
    assert explorer.cutoffs == (2000, 10000) and "2,000 and 10,000" in widget.note
    explorer.in_features = 65
    assert widget.note == ""
    explorer.cost, explorer.width_rule = COUNTED_MULTIPLICATIONS, "d for every tail"
    click("reset")
    assert explorer.cutoffs == (1000, 5000)
    assert (explorer.in_features, explorer.batch, explorer.cost) == (512, 2560, cost)
    assert explorer.width_rule == "d/4, d/16, d/64 ..."
    explorer.cutoffs = ()
    click("plan")
    assert widget.note.startswith("With one cutoff. Planned: ") and len(explorer.cutoffs) == 1
    click("reset")
    click("nonsense")
    bare = browser(cuts.cut_panel(explorer, most=1, settings=False, slot="bare"))[0]
    assert bare.choices == [] and bare.most == 1 and not bare.trace
    one, *_, press_one = browser(cuts.cut_panel(explorer, most=1, trace=True, slot="one"))
    press_one("authors")
    assert explorer.cutoffs == (2000,) and one.trace
    assert one.note == "The first cutoff that the authors used for a vocabulary of about this size: 2,000."


def test_the_scene_of_a_token_follows_the_explorer(explorer):
    box = token_panel(explorer)
    (widget,) = every(box, TokenWidget)
    assert widget.scene["cuts"] == [1000, 5000] and widget.scene["d"] == 512 and problem(box) == ""
    assert widget.scene["sentences"][0][:2] == [["word 1", 1], ["word 2", 2]]  # these words have no names
    explorer.vocabulary, explorer.cutoffs = load_language("en"), (7,)
    explorer.width_rule = "d for every tail"
    assert widget.scene["cuts"] == [7] and widget.scene["widths"] == [512] * 5
    assert widget.scene["sentences"][0][0] == ["the", 1] and widget.text["name"] == "English"
    sent = []
    widget.send = lambda content, buffers=None: sent.append(content)
    widget._handle_custom_msg({"kind": "ranks", "words": ["axolotl", "qwzzq", 3]}, [])
    assert sent == [{"kind": "ranks", "ranks": {"axolotl": 92_701}}]
    (fixed,) = every(token_panel(explorer, cutoffs=[2000], slot="fixed"), TokenWidget)
    explorer.cutoffs = (4000,)
    assert widget.scene["cuts"] == [4000] and fixed.scene["cuts"] == [2000]  # as the text beside it says
    explorer.vocabulary = Vocabulary([5, 3])
    assert widget.scene["sentences"] == [[["word 1", 1], ["word 2", 2]]] and problem(box) == ""


def test_a_guess_is_drawn(explorer):
    widget, *_ = browser(cuts.cut_panel(explorer, guess="speedup"))
    assert widget.marks["guess"] is None
    explorer.remember("guess speedup", 3)
    explorer.cutoffs = (7, 70)
    assert widget.marks["guess"] == {"times": 3}
    other, *_ = browser(cuts.cut_panel(explorer, guess="speedup", guess_in="words", slot="other"))
    assert other.marks["guess"] == {"words": 3}
    for junk in (None, True, -1, "x", [1], 10**300):
        explorer.remember("guess speedup", junk)
        explorer.cutoffs = (8, 70) if explorer.cutoffs[0] == 7 else (7, 70)
        assert widget.marks["guess"] is None, junk


class Own(Cost):
    """A cost model of a reader's own: twice the words."""

    name = "mine"

    def product_time(self, k, rows, d, objective="train"):
        return 2e-6 * np.multiply(k, rows)


class Odd(Own):
    def product_time(self, k, rows, d, objective="train"):
        raise ZeroDivisionError("own formula")


def test_a_cost_model_that_the_browser_does_not_know_is_computed_here(explorer):
    widget, *_ = browser(box := cuts.cut_panel(explorer))
    assert widget.priced is None
    explorer.cost = Own()
    assert widget.cost == {"kind": "kernel", "name": "mine"} and problem(box) == ""
    found = widget.priced
    assert found["cuts"] == [1000, 5000] and found["full"] == pytest.approx(2e-6 * 20_000 * 2560)
    assert found["seconds"] == pytest.approx(sum(found["clusters"]) + found["sorting"])
    assert found["curve"][0]["rank"] == 1 and found["curve"][-1]["rank"] == 4999
    explorer.set_cutoff(1, 6000)
    assert widget.priced["cuts"] == [1000, 6000] and widget.priced["curve"][0]["rank"] == 1001
    explorer.cutoffs = ()
    assert "curve" not in widget.priced
    explorer.cost = Odd()
    assert "ZeroDivisionError: own formula" in problem(box)
    explorer.cost = COUNTED_WORDS
    assert problem(box) == "" and widget.priced is None


def test_what_a_plan_says(explorer, cost):
    """Who violated the floor hears it, and where a full softmax is faster the plan says so."""
    found = explorer.plan_for_me()
    assert found.speedup > 1
    text = cuts.plan_text(explorer, found)
    assert f"{plots.times(found.speedup)} times faster than the full softmax. No other 2 cutoffs that keep 75 %" in text
    free = explorer.plan_for_me(min_head_share=0.0)
    share = explorer.vocabulary.cumulative[free.cutoffs[0]]
    assert share < 0.75  # and faster than the plan
    text = cuts.plan_text(explorer, found, free.cutoffs)
    assert f"None that keeps 75 % of the tokens in the head is faster; yours had {plots.percent(share)}" in text
    assert "yours had" not in cuts.plan_text(explorer, found, found.cutoffs)
    explorer.in_features, explorer.batch = 4, 4  # a full softmax is faster
    slow = explorer.plan_for_me()
    assert slow.speedup < 1
    text = cuts.plan_text(explorer, slow)
    assert text.startswith("A full softmax is faster here: take 0 cutoffs. Even the best 2 cutoffs, ")
    assert f"are {plots.times(1 / slow.speedup)} times slower" in text and "0." not in text.split(" times ")[0][-4:]
    assert "nothing to place" in cuts.plan_text(explorer, explorer.plan_for_me(0))


def test_a_cell_run_again_replaces_its_panel(explorer):
    first = cuts.cut_panel(explorer)
    widget = weakref.ref(every(first, CutWidget)[0])
    handlers = len(explorer._trait_notifiers["version"]["change"])
    second = cuts.cut_panel(explorer)
    assert len(explorer._trait_notifiers["version"]["change"]) == handlers
    assert first.comm is None and second.comm is not None
    shown = widget().cuts
    explorer.cutoffs = (77, 5000)
    assert widget() is None or widget().cuts == shown
    gc.collect()


PANELS = {
    "cut": partial(cuts.cut_panel, most=1, settings=False),  # what is not offered must go, too
    "token": token_panel,
    "machine": machine_panel,
    "coverage": word_panels.coverage_panel,
    "languages": word_panels.languages_panel,
    "own text": own_text_panel,
}


@pytest.mark.parametrize("make", PANELS.values(), ids=PANELS)
def test_a_cell_run_again_leaks_no_widget(explorer, make):
    make(explorer)
    widgets = len(w.widgets.widget._instances)
    for _ in range(3):
        make(explorer)
    assert len(w.widgets.widget._instances) == widgets


def test_questions_run_again_leak_no_widget(explorer):
    def cells():
        ask("tail width")
        (entry,) = every(predict("speedup", explorer, then=lambda: cuts.cut_panel(explorer, slot="p")), AnswerBox)
        entry.submit("3")
        return len(w.widgets.widget._instances)

    assert cells() == cells() == cells()


def test_callbacks_in_several_threads_wait_for_each_other(explorer):
    """JupyterLab runs each widget's callbacks in a thread of its own; the later gesture must win."""
    widget, _, place, *_ = browser(cuts.cut_panel(explorer))
    inside = threading.Event()

    def slow():
        inside.set()
        time.sleep(0.2 if explorer.cutoffs[0] == 50 else 0)

    explorer.attach("slow", slow)
    inside.clear()
    first = threading.Thread(target=lambda: place((50, 5000)))
    first.start()
    inside.wait()
    place((50, 9999), 1)
    first.join()
    assert explorer.cutoffs == (50, 9999) == tuple(widget.cuts)


def test_no_figure_is_made_in_a_callback(explorer, cost, monkeypatch):
    """A figure is made once; what the reader does changes its numbers."""
    boxes = {name: PANELS[name](explorer) for name in ("cut", "coverage", "languages")}
    figures = {name: every(box, parts.LiveFigure)[0] for name, box in boxes.items() if name != "cut"}
    made = []
    monkeypatch.setattr(parts.LiveFigure, "__init__", lambda *_, **__: made.append("live"))
    monkeypatch.setattr(go.Figure, "__init__", lambda *_, **__: made.append("plotly"))
    shown = {name: [list(t.y) for t in figure.data] for name, figure in figures.items()}
    explorer.vocabulary = Vocabulary.synthetic(9000, name="other")
    explorer.cutoffs, explorer.in_features = (70, 800), 128
    explorer.width_rule, explorer.cost = list(WIDTH_RULES)[1], COUNTED_WORDS
    named(boxes["languages"], "French").value = True
    named(boxes["coverage"], "share of the tokens, %").value = 90.0
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
    assert "another measurement is running, started by “Go”: wait for it" in problem(box)
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


def test_a_refused_number_says_why_where_it_was_typed():
    panel = parts.Panel()
    first, second = NumberBox(value=3, description="c1"), NumberBox(value=5, description="c2")

    def act(value):
        if value > 9:
            raise ValueError(f"it should be at most 9, got {value}")

    for box in (first, second):
        panel.on_number(box, act, lambda box=box: 3 if box is first else 5)
    panel.box(first, second)
    first.value = 12
    assert (first.value, first.refused, second.refused) == (3, "it should be at most 9, got 12", "")
    assert panel.problem.text == ""  # once, beside the box
    first.value = 1.5
    assert first.refused == "c1 should be a whole number, got 1.5"
    second.value = 40
    assert (first.refused, second.refused, second.value) == ("", "it should be at most 9, got 40", 5)
    first.value = 4  # what is taken, of whatever control, ends it
    assert (first.refused, second.refused) == ("", "")
    second.value = 99
    panel.button("Reset", lambda: None).click()
    assert second.refused == ""
