"""Kept measurements of any kind: panels show them if they make sense, else they are named, and the lesson goes on."""

import copy
import json

import numpy as np
import pytest
from panels import every, problem

from adasoft import Vocabulary
from adasoft.lessons import predict
from adasoft.lessons.alternatives import case_panel as cp
from adasoft.lessons.alternatives import cases as sc
from adasoft.lessons.alternatives import explorer as al
from adasoft.lessons.alternatives import panels as ap
from adasoft.lessons.alternatives import stored as sa
from adasoft.lessons.kit import forms, parts
from adasoft.lessons.kit.explorer import LIVE, Explorer
from adasoft.lessons.kit.stills import recorded_cost
from adasoft.lessons.language_model import explorer as ts
from adasoft.lessons.language_model import panels as tp
from adasoft.lessons.language_model.own_cell import CELL
from adasoft.lessons.language_model.own_cell_panel import own_cell_panel
from adasoft.lessons.language_model.recorded_sessions import recorded_sessions
from adasoft.lessons.language_model.writing_panel import writing_panel
from adasoft.lessons.layer import explorer as le
from adasoft.lessons.live_timing import panels as live_timing
from adasoft.lessons.live_timing.explorer import LiveTimingExplorer
from adasoft.lessons.live_timing.layers import FULL, OURS, PLAN, STOCK
from adasoft.lessons.time_model import panels as time_model
from adasoft.lessons.time_model.flat_panel import product_panel
from adasoft.lessons.time_model.timings import HOT, ONCE, TURNS

pytestmark = pytest.mark.usefixtures("one_thread")
WORDS = Vocabulary.synthetic(3000, name="synthetic")


def measured(sizes, *names):
    return {"sizes": sizes, "device": "a CPU", "date": "2030-01-02T03:04", "times": {n: [2, 1, 3, 9] for n in names}}


def timing(**more):
    return LiveTimingExplorer(
        WORDS, cost=recorded_cost(), batch=64, in_features=64, cutoffs=(200, 900), most=100, **more
    )


def training(**more):
    return ts.TrainingExplorer(WORDS, cost=recorded_cost(), **more)


def alternatives(**more):
    sizes = {"n_words": 2000, "in_features": 32, "batch": 16, "cutoffs": (200, 900)}
    return al.AlternativesExplorer(WORDS, cost=recorded_cost(), **sizes, **more)


def layer(**more):
    return le.LayerExplorer(WORDS, n_words=300, cutoffs=(40, 120), in_features=16, batch=256, **more)


def timing_panels(explorer):
    makers = (
        time_model.wrong_timing_panel,
        product_panel,
        live_timing.live_panel,
        live_timing.curve_panel,
    )
    return [make(explorer) for make in makers]


def training_panels(explorer):
    makers = (tp.text_panel, tp.training_panel, writing_panel, own_cell_panel)
    return [predict("live faster", explorer), *(make(explorer) for make in makers)]


def alternatives_panels(explorer):
    return [make(explorer) for make in (ap.svd_panel, ap.experts_panel, cp.case_panel)]


def good_timing():
    explorer = timing()
    layers = measured(explorer.layer_sizes, FULL, STOCK, OURS, PLAN)
    return {
        "product sweep": measured(explorer.product_sizes, "1", "4", "20", "100"),
        "race bets": {"0": "together"},
        "layers log": [layers | {"predicted": {OURS: 1.5}, "whose": "a recorded CPU", "plan": [300]}],
        "timed properly": measured(explorer.once_sizes, TURNS),
        "layers": layers,
        "timed wrongly": {"sizes": explorer.once_sizes, "presses": [{ONCE: 0.1, HOT: 0.01}] * 2},
        "curve": measured(explorer.curve_sizes, "100", "200", "300"),
        "layers timed wrongly": {"sizes": explorer.layer_sizes, "seconds": {FULL: 3.0, OURS: 1.0}},
    }


def good_training():
    return dict(recorded_sessions()[0].kept) | {"cell code": CELL, "guess live faster": 3.0}


def good_alternatives():
    explorer = alternatives()
    known = {"opened": 0.3, "arithmetic": {sc.FULL: 1.0, sc.SVD: 0.2}}
    return {
        "case": measured(explorer.case_sizes, sc.FULL, sc.SVD) | {"known": known, "bet": sc.SVD},
        "bets": [[True], [False]],
        "experts": sa.record()["experts"],
    }


LESSONS = {
    "timing": (timing, timing_panels, good_timing),
    "training": (training, training_panels, good_training),
    "alternatives": (alternatives, alternatives_panels, good_alternatives),
}


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Write what was kept, and open a lesson upon it."""
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path))
    path = tmp_path / "lessons" / "choices.json"
    path.parent.mkdir()

    def opened(make, **entries):
        for live, _ in LIVE.values():
            live.close()  # else it would write while the new one reads
        path.write_text(json.dumps({"format": "adasoft choices", "version": 1, "entries": entries}))
        LIVE.clear()
        return make(lesson="x")

    return opened


@pytest.mark.parametrize("lesson", LESSONS)
def test_what_was_measured_is_shown_again(kept, capsys, lesson):
    make, show, good = LESSONS[lesson]
    values = good()
    explorer = kept(make, kept=values)
    assert set(values) - {"guess live faster"} <= set(explorer._forms)  # each has a form
    assert all(explorer.recall(key) == value for key, value in values.items())
    assert problem(*show(explorer)) == "" and "not used" not in capsys.readouterr().out


def places(value, path=()):
    """Every place in a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items)[:4]:
        yield from places(item, (*path, key))


def with_junk(value, path, junk):
    """The same with something else at a place, or nothing."""
    if not path:
        return junk
    out = copy.deepcopy(value)
    inner = out
    for key in path[:-1]:
        inner = inner[key]
    if junk == "nothing":
        del inner[path[-1]]
    else:
        inner[path[-1]] = junk
    return out


JUNK = [None, True, -1, 0, 1e-320, 10**290, 0.5, "x", "<b>x", [], {}, [[]], {"x": []}, ["a"], [1, 2, 3], "nothing"]


@pytest.mark.parametrize("draw", range(8))
@pytest.mark.parametrize("lesson", LESSONS)
def test_junk_anywhere_is_named_or_harmless(kept, lesson, draw):
    """One value of every key is something else: the panels open without a problem; what is refused is named."""
    make, show, good = LESSONS[lesson]
    rng = np.random.default_rng(draw)
    values, changed = good(), {}
    for key, value in values.items():
        found = list(places(value))
        place, junk = found[rng.integers(len(found))], JUNK[rng.integers(len(JUNK))]
        changed[key] = place, junk
        values[key] = with_junk(value, place, junk)
    values = {key: value for key, value in values.items() if value != "nothing"}
    explorer, refused = make(), []
    explorer._kept = explorer._fitting(json.loads(json.dumps(values)), refused)
    gone = set(values) - set(explorer._kept)
    assert len(gone) == len(refused) and all(any(text.startswith(key) for text in refused) for key in gone)
    boxes = show(explorer)
    assert problem(*boxes) == "", changed
    explorer.cutoffs = explorer.cutoffs[:1]  # and all is drawn again
    assert problem(*boxes) == "", changed


def test_the_field_is_named(kept, capsys):
    values = good_training()
    values["training"]["lanes"]["full"]["points"][1][2] = "x"
    values["text"]["V"] = -3
    values["written"] = []
    explorer = kept(training, kept=values)
    out = capsys.readouterr().out
    assert "choices.json, this is not used: " in out and out.count("\n") == 1
    assert "training.lanes.full.points[1][2] should be a finite number above 0, got 'x'" in out
    assert "text.V should be a whole number of at least 0, got -3" in out
    assert "written should be an object, got []" in out
    assert explorer.recall("training") is None and explorer.recall("own cell") is not None
    values = good_timing()
    values["curve"]["times"]["200.5"] = [1, 1, 1, 1]
    values["timed wrongly"]["presses"][0]["by ear"] = 1.0
    kept(timing, kept=values)
    out = capsys.readouterr().out
    assert "curve.times has an entry '200.5' that is not known" in out
    assert "timed wrongly.presses[0] has an entry 'by ear' that is not known" in out


TRAITS = [None, True, -1, 10**290, 1.5, "x", [], [[]], {}, ["a"], [1, "b"], [True], [1, 2, 3]]


@pytest.mark.parametrize("make", [Explorer, timing, training, alternatives, layer], ids=lambda make: make.__name__)
def test_choices_of_any_kind_are_named_or_harmless(kept, capsys, make):
    explorer = make()
    names = explorer.kept_traits
    start = {name: repr(getattr(explorer, name)) for name in names}
    for junk in TRAITS:
        explorer = kept(make, **{"lesson x": dict.fromkeys(names, junk)})
        out = capsys.readouterr().out
        assert out.count("this is not used") == 1 and out.count("\n") <= 2
        for name in names:
            value = getattr(explorer, name)
            taken = list(value) if isinstance(value, tuple) else value
            assert f"{name} (" in out or repr(value) == start[name] or taken == junk, (name, junk)
        assert explorer.speedup > 0 and not isinstance(explorer.batch, bool)


def test_forms():
    for form, good, bad in [
        (forms.text, ["", "x"], [None, 1, []]),
        (forms.flag, [True, False], [0, 1, "true", None]),
        (forms.number(), [0, -1.5, 10**299], [True, None, "1", float("nan"), float("inf"), 10**400]),
        (forms.number(1, 5, whole=True), [1, 5], [0, 6, 1.5, True]),
        (forms.number(above=0), [1e-300, 3], [0, -1]),
        (forms.optional(forms.text), [None, "x"], [1]),
        (forms.each(forms.text, fewest=1), [["x"]], [[], [1], "x", {}]),
        (forms.row(forms.text, forms.flag), [["x", True]], [["x"], ["x", True, 1], [True, "x"]]),
        (forms.table(forms.COUNT, keys=forms.decimal), [{}, {"12": 0}], [{"0": 1}, {"x": 1}, {"1": -1}, [], {"²": 1}]),
        (forms.fields(a_b=forms.text), [{"a b": "x", "c": 1}], [{}, {"a b": 1}, {"a_b": "x"}, []]),
    ]:
        for value in good:
            form(value, "it")
        for value in bad:
            with pytest.raises(ValueError, match=r"^it.* (should be|is missing|is not known)"):
                form(value, "it")


def test_a_refreshed_lesson_is_as_careful(kept, capsys):
    explorer = kept(timing, kept=good_timing())
    boxes = timing_panels(explorer)
    text = explorer._choices.path.read_text()
    explorer._choices.path.write_text(text.replace('"layers":', '"layers": 5, "other":'))
    explorer.refresh()
    assert explorer.recall("layers") is None and explorer.recall("curve") is not None
    explorer.batch = 128
    assert problem(*boxes) == "" and np.isnan(np.array(every(boxes[2], parts.LiveFigure)[0].data[0].x)).all()
