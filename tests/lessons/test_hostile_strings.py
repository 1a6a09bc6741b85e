"""Words, names, records and choices that hold markup: no panel shows them as more than text."""

import html
import json
import re

import ipywidgets as w
import numpy as np
import pytest
from panels import every, press, problem, upload

from adasoft import MeasuredCost, Vocabulary
from adasoft.lessons import ClustersExplorer, LiveTimingExplorer
from adasoft.lessons.alternatives import case_panel as cp
from adasoft.lessons.alternatives import explorer as al
from adasoft.lessons.alternatives import panels as ap
from adasoft.lessons.alternatives import stored as sa
from adasoft.lessons.alternatives.cases import TRAIN
from adasoft.lessons.clusters.panels import beat_the_planner, front_panel, tails_panel, two_clusters_panel
from adasoft.lessons.kit import grading as checks
from adasoft.lessons.kit import parts
from adasoft.lessons.kit.cuts import cut_panel
from adasoft.lessons.kit.plots import card_svg, plain
from adasoft.lessons.kit.tables import html_table
from adasoft.lessons.language_model import explorer as ts
from adasoft.lessons.language_model import panels as tp
from adasoft.lessons.language_model import sentences as se
from adasoft.lessons.language_model import writing_panel as wp
from adasoft.lessons.language_model.own_cell_panel import own_cell_panel
from adasoft.lessons.language_model.recorded_sessions import recorded_sessions
from adasoft.lessons.layer import check_panels as lk
from adasoft.lessons.layer import explorer as le
from adasoft.lessons.layer import panels as lv
from adasoft.lessons.live_timing import panels as live_timing
from adasoft.lessons.live_timing.layers import OURS
from adasoft.lessons.time_model import panels as time_model
from adasoft.lessons.time_model.flat_panel import product_panel
from adasoft.lessons.time_model.timings import Spread
from adasoft.lessons.words import panels as word_panels
from adasoft.lessons.words.figures import record_rows
from adasoft.lessons.words.machine import machine_panel
from adasoft.lessons.words.own_text import own_text_panel
from adasoft.lessons.words.widgets import PathBox

pytestmark = pytest.mark.usefixtures("one_thread")
#: What would be a link, an image or bold text in HTML and in plotly's labels, or end an attribute or an element.
EVIL = '<a href="javascript:x()">Z</a><b>Z</b><img src=x onerror=x()>\'"></svg><script>x()</script>&lt;i&gt;'
TAGS = re.compile(r"<\s*(a |b>|img|script|i>)", re.I)
COST = {"product": [1e-4, 3e-11, 5e-9, 2e-9, 6e-9, 0], "projection": [1e-4, 5e-11, 0, 0], "rows": [1e-4, 0, 0]}


def hostile_cost():
    record = {
        "device": {"name": EVIL, "type": "cpu"},
        "threads": 2,
        "dtype": "float32",
        "date": EVIL,
        "torch": EVIL,
        "errors": {"train layers, not fitted": {"median": 0.11}},
    }
    kinds = {"train": COST, "decode": COST}
    return MeasuredCost(kinds, {"train": 5e-4, "decode": 1e-4}, name=f"this machine: {EVIL}", record=record)


def hostile_words(n=400):
    counts = np.maximum(1, (10_000 / np.arange(1, n + 1)).astype(int))
    return Vocabulary(counts, [f"{EVIL}{i}" for i in range(n)], name=f"{EVIL}.txt")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path / "cache"))


def texts(value):
    """All texts of a figure: names, categories, labels, titles."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from texts(key)
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


#: Markup of our own in figures and pages.
#: What lesson 03 writes beside its bars.
A_BOLD_TIME = re.compile(r"<br><b>[\d.,]+ [mµ]?s, \d+ tails?</b>$")
OURS_TOO = re.compile(r"</?(br|sub|sup|extra|b)>")


def shown(*boxes):
    """What of these panels a browser would take for markup, ours left out; and all of it as text."""
    wild, everything = [], []
    for box in boxes:
        for figure in every(box, parts.LiveFigure):
            for text in texts(json.loads(figure.get_state()["spec"])):
                everything.append(html.unescape(text))
                bare = A_BOLD_TIME.sub("", text)
                wild += [text] * ("<" in OURS_TOO.sub("", bare)) + [text] * bool(TAGS.search(bare))
        pages = [x.value for x in every(box, w.HTML)]
        pages += [x.verdict for x in every(box, w.DOMWidget) if hasattr(x, "verdict")]
        for page in pages:
            everything.append(html.unescape(page))
            bare = page.replace("<b>", "").replace("</b>", "") if "<b>" in page else page
            wild += [page] * bool(TAGS.search(bare))
        for control in every(box, w.DOMWidget):
            assert not getattr(control, "description_allow_html", False)
    return wild, " ".join(everything)


def check(*boxes, visible=True):
    wild, everything = shown(*boxes)
    assert wild == []
    assert not visible or "<a href=" in everything  # it is there, as text
    assert problem(*boxes) == ""


def test_the_guard_sees_markup():
    import plotly.graph_objects as go

    for figure in (
        go.Figure(go.Bar(x=[EVIL], y=[1])),
        go.Figure(go.Scatter(y=[1], name=EVIL)),
        go.Figure(layout={"title": {"text": "<b>x</b><i>y</i>"}}),
    ):
        assert shown(w.VBox([parts.live(figure)]))[0]
    assert shown(w.VBox([w.HTML(EVIL)]))[0] and not shown(w.VBox([w.HTML(html.escape(EVIL))]))[0]
    assert not shown(w.VBox([parts.live(go.Figure(go.Bar(x=[plain(EVIL)], y=[1])))]))[0]


def test_names_words_and_records_in_the_first_lessons():
    explorer = ClustersExplorer(hostile_words(), cost=hostile_cost(), cutoffs=(20, 90))
    side = {"cutoffs": [20, 90], "predicted": 1.0, "measured": [2.0, 1.9, 2.1, 90]}
    planned = {**side, "measured": [3.0, 2.9, 3.1, 90]}
    explorer.remember("duel", {"batch": 1, "asked": 1, "whose": EVIL, "you": side, "planner": planned})
    makers = [
        cut_panel,
        machine_panel,
        word_panels.coverage_panel,
        word_panels.languages_panel,
        own_text_panel,
        two_clusters_panel,
        tails_panel,
        front_panel,
        beat_the_planner,
    ]
    boxes = {make.__name__: make(explorer) for make in makers}
    explorer.vocabulary = hostile_words(300)  # and drawn again
    for name, box in boxes.items():
        quiet = name in ("cut_panel", "two_clusters_panel", "own_text_panel")
        check(box, visible=not quiet)
    box = boxes["own_text_panel"]
    (path,) = [x for x in every(box, PathBox)]
    path.value = f"/{EVIL}"
    press(box, "Read it")
    wild, everything = shown(box)
    assert wild == [] and "there is no file" in everything
    upload(box, EVIL, f"{EVIL} the cat and the dog ".encode() * 9)
    check(box)
    box = checks.predict("half", explorer)
    box.children[0].submit(EVIL)
    box.children[0].submit("3")
    check(box, visible=False)
    assert EVIL in box.children[0].question  # which the page sets as text
    answer = checks.ask("tail width")
    answer.submit(EVIL)
    assert not TAGS.search(answer.verdict.replace("<b>", ""))


def test_names_and_choices_in_the_lessons_on_time(monkeypatch):
    explorer = LiveTimingExplorer(hostile_words(), cost=hostile_cost(), cutoffs=(20, 90), batch=16, in_features=16)
    spread = [2.0, 1.0, 3.0, 9]
    made = {"device": EVIL, "date": EVIL}
    layers = {"sizes": json.loads(json.dumps(explorer.layer_sizes)), "times": {EVIL: spread, OURS: spread}}
    explorer._kept = {
        "layers": {**layers, **made},
        "layers log": [{**layers, **made, "predicted": {EVIL: 1.0, OURS: 1.0}, "whose": EVIL, "plan": [300]}],
        "curve": {"sizes": json.loads(json.dumps(explorer.curve_sizes)), "times": {"20": spread}, **made},
        "product sweep": {"sizes": explorer.product_sizes, "times": {str(k): spread for k in (1, 2, 4, 9)}, **made},
    }
    boxes = [
        make(explorer)
        for make in (
            product_panel,
            live_timing.live_panel,
            live_timing.curve_panel,
            time_model.clusters_panel,
            time_model.replan_panel,
        )
    ]
    check(*boxes)


def test_words_in_the_lesson_on_the_layer():
    explorer = le.LayerExplorer(hostile_words(), n_words=300, cutoffs=(20, 90), in_features=16, batch=64, word=30)
    checks = (lk.gradient_panel, lk.drop_in_panel)
    makers = (lv.word_panel, lv.batch_panel, lv.counts_panel, *checks, lv.train_panel, lv.decoding_panel)
    boxes = [make(explorer) for make in makers]
    explorer.word = 7
    check(*boxes)
    (text,) = [x for x in every(boxes[0], w.Text)]
    text.value = "<b>none</b>"
    wild, everything = shown(boxes[0])
    assert wild == [] and "is not among the" in everything


def test_texts_and_sessions_in_the_lesson_on_perplexity(monkeypatch):
    explorer = ts.TrainingExplorer(hostile_words(), cost=hostile_cost(), cutoffs=(20, 90))
    kept = json.loads(json.dumps(dict(recorded_sessions()[0].kept)))
    for key in ("name", "source", "licence", "begin"):
        kept["text"][key] = EVIL
    for key in ("training", "own cell"):
        kept[key]["corpus"]["name"] = kept[key]["device"]["name"] = kept[key]["date"] = EVIL
    kept["written"] = {"start": EVIL, "seed": 1, "words": {EVIL: EVIL, "full": EVIL}}
    kept["cell code"] = EVIL
    refused = []
    explorer._kept = explorer._fitting(kept, refused)
    assert refused == []  # all of it is text
    explorer.source = EVIL

    class Evil:
        __name__ = EVIL

        def __call__(self, e, d):
            return None

    boxes = [make(explorer) for make in (tp.text_panel, tp.training_panel, wp.writing_panel, own_cell_panel)]
    check(*boxes, own_cell_panel(explorer, Evil(), slot="second"))
    assert not TAGS.search(se.written_html(EVIL, EVIL, (1,), dict.fromkeys(EVIL.split(), 2)).replace("<b>", ""))
    assert not TAGS.search(html_table([[EVIL] * 2], [EVIL], label=EVIL, scrolls=True))


def test_words_and_records_in_the_lesson_on_alternatives(monkeypatch):
    explorer = al.AlternativesExplorer(hostile_words(), cost=hostile_cost(), n_words=300, cutoffs=(20, 90), batch=4)
    small = al.small_models()
    evil = type(small)(**{**vars(small), "words": tuple(f"{EVIL}{i}" for i in range(len(small.words)))})
    monkeypatch.setattr(al, "small_models", lambda: evil)
    spread = [2.0, 1.0, 3.0, 9]
    made = {"device": EVIL, "date": EVIL}
    known = {"opened": None, "arithmetic": {}}
    explorer._kept = {
        "case": {
            "sizes": json.loads(json.dumps(explorer.case_sizes)),
            "times": {EVIL: spread},
            "bet": EVIL,
            "known": known,
            **made,
        },
    }
    recorded = sa.RecordedCase(EVIL, explorer.case_sizes | {"task": TRAIN}, {EVIL: Spread(2.0, 1.0, 3.0, 9)}, {}, EVIL)
    monkeypatch.setattr(cp, "recorded_cases", lambda: [recorded])
    boxes = [make(explorer) for make in (ap.svd_panel, ap.experts_panel, cp.case_panel)]
    check(*boxes)
    (chosen,) = [x for x in every(boxes[-1], w.Dropdown) if x.description == "shown"]
    chosen.value = EVIL
    check(boxes[-1])


def test_records_as_pictures():
    rows = record_rows(hostile_cost().record, mine=True)
    assert not TAGS.search(card_svg({**rows, EVIL: EVIL})) and "&lt;a href" in card_svg(rows)


def test_words_in_plotly_are_no_formulas():
    """Two dollar signs would be typeset, or vanish."""
    assert "typesetMath: false" in str(parts.LiveFigure._esm)


def test_plain_text_stays_what_it_is():
    for text in ("own.txt", "don't", "a < b & c", "“x”", "5 %", EVIL):
        assert html.unescape(plain(text)) == html.unescape(text) or "&lt;" in text
    assert plain("R&D <b>") == "R&amp;D &lt;b&gt;" and plain('"') == '"'
