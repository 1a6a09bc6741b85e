"""The state, the panels and the checks of the notebooks, without a browser."""

import gc
import html
import threading
import time
import weakref
from datetime import datetime, timezone

import ipywidgets as w
import numpy as np
import plotly.graph_objects as go
import pytest
import traitlets
from plotly.basedatatypes import Undefined

import adasoft
from adasoft import MeasuredCost, Vocabulary, plan
from adasoft.explore import COUNTED_MULTIPLICATIONS, COUNTED_WORDS, Explorer, panels
from adasoft.explore import figures as f
from adasoft.explore.checks import PREDICTIONS, QUESTIONS, ask, grade, number, predict
from adasoft.explore.picker import CutPicker, places
from adasoft.explore.state import WIDTH_RULES, load_language


@pytest.fixture
def cost():
    kinds = {"product": [1e-4, 3e-11, 5e-9, 2e-9, 6e-9, 0], "projection": [1e-4, 5e-11, 0, 0], "rows": [1e-4, 0, 0]}
    return MeasuredCost({"train": kinds, "decode": kinds}, {"train": 5e-4, "decode": 1e-4}, name="made by hand")


@pytest.fixture
def explorer(cost):
    return Explorer(Vocabulary.synthetic(20_000, name="synthetic"), cost=cost, cutoffs=(1000, 5000))


def every(box, kind):
    """All widgets of a kind in a panel, in order."""
    found = [box] if isinstance(box, kind) else []
    for child in getattr(box, "children", ()):
        found += every(child, kind)
    return found


def named(box, description, kind=w.Widget):
    (found,) = [x for x in every(box, kind) if getattr(x, "description", None) == description]
    return found


def said(box):
    return " ".join(x.value for x in every(box, w.HTML))


def problem(box):
    return [x.value for x in every(box, panels._Line) if x._kind == "problem"][-1]


# ---- state


def test_the_state_agrees_with_the_package(explorer, cost):
    expected = cost.layer(20_000, [1000, 5000], [128, 32], explorer.token_shares[1:], 512, 2560)
    assert explorer.prediction == expected
    assert explorer.full.seconds == cost.full_time(20_000, 2560, 512)
    found = explorer.plan_for_me(2)
    assert found == plan(explorer.vocabulary, 512, 2560, cost=cost, n_tails=2)
    assert explorer.plan_for_me().n_tails == 2
    for i in (0, 1):
        at, seconds = explorer.curve(i)
        here = np.searchsorted(at, explorer.cutoffs[i])
        assert min(seconds[max(0, here - 1) : here + 2]) <= expected.seconds * 1.05
    assert sum(explorer.token_shares) == pytest.approx(1) and sum(explorer.word_shares) == pytest.approx(1)


def test_impossible_values_are_refused_and_nothing_changes(explorer):
    for bad in ((5000, 1000), (0, 5), (5, 20_000), (1, 2, 3, 4, 5, 6)):
        with pytest.raises(traitlets.TraitError, match="cutoffs"):
            explorer.cutoffs = bad
    with pytest.raises(ValueError, match=r"c2 = 900 is refused: here it can be 1,001 to 19,999"):
        explorer.set_cutoff(1, 900)
    for name in ("in_features", "batch"):
        with pytest.raises(traitlets.TraitError, match="should be from 1"):
            setattr(explorer, name, 0)
    with pytest.raises(traitlets.TraitError, match="at least 2 words"):
        explorer.vocabulary = Vocabulary([3])
    with pytest.raises(ValueError, match="at least 2 words"):
        Explorer(Vocabulary([3]))
    assert explorer.cutoffs == (1000, 5000) and len(explorer.vocabulary) == 20_000
    explorer.set_cutoff(1, 900, clip=True)
    assert explorer.cutoffs == (1000, 1001) and explorer.active == 1


def test_a_new_vocabulary_never_shows_old_cutoffs(explorer):
    seen = []
    explorer.observe(lambda _: seen.append((len(explorer.vocabulary), explorer.cutoffs)), "version")
    explorer.vocabulary = Vocabulary([5, 4, 3, 0, 0], name="tiny")
    assert seen and all(n > max(c) for n, c in seen)
    explorer.set_n_tails(3)
    assert len(explorer.cutoffs) == 3
    with pytest.raises(ValueError, match="no room for 5 cutoffs"):
        explorer.set_n_tails(5)
    explorer.set_n_tails(0)
    assert explorer.prediction == explorer.full
    assert "No cutoffs" in f.cut_sentence(explorer)


def test_units_of_counting(explorer):
    explorer.width_rule = "d for every tail"
    explorer.cost = COUNTED_WORDS
    p = explorer.token_shares
    assert explorer.amount(explorer.prediction.seconds) == pytest.approx(1002 + p[1] * 4000 + p[2] * 15000)
    explorer.cost = COUNTED_MULTIPLICATIONS
    assert explorer.amount(explorer.full.seconds) == pytest.approx(20_000 * 512 / 1e6)
    assert explorer.prediction.seconds / 2560 == pytest.approx(
        512 * 1002 + sum(q * (512 * 512 + 512 * k) for q, k in zip(p[1:], (4000, 15000), strict=True))
    )


def test_without_any_record_costs_are_counted(monkeypatch, tmp_path):
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path))
    monkeypatch.setattr("adasoft.cost.shipped_records", list)
    explorer = Explorer(Vocabulary.synthetic(100))
    assert explorer.counted
    assert "none at hand" in said(panels.machine_panel(explorer))


# ---- figures


def undefined(figure):
    """Collect the messages to the browser that overwrite a property with "_undefined_"."""
    bad = []

    def look(change):
        for value in (
            (change["new"] or {}).get("style_data") or (change["new"] or {}).get("restyle_data") or {}
        ).values():
            if any(v is Undefined for v in value):
                bad.append(change["new"])

    for name in ("_py2js_update", "_py2js_restyle"):
        figure.observe(look, name)
    return bad


def test_push_keeps_the_data_of_every_trace():
    widget = go.FigureWidget(go.Figure([go.Bar(x=["a", "b"], y=[1, 2]), go.Scatter(x=[1, 2], y=[3, 4])]))
    bad = undefined(widget)
    f.push(widget, {0: {"y": [5, 6]}, 1: {"x": [7, 8], "y": [9, 10]}}, {"title.text": "new"})
    f.push(widget, {0: {"x": ["a", "b"], "y": [5, 7]}, 1: {"x": [8, 8], "y": [9, 11]}})
    f.push(widget, {1: {"y": np.array([np.nan, 1.0])}})
    f.push(widget, {0: {"y": [5, 8]}, 1: {"y": np.array([np.nan, 1.0])}})
    assert not bad
    plain = widget.to_dict()["data"]
    assert list(plain[0]["x"]) == ["a", "b"] and list(plain[0]["y"]) == [5, 8] and list(plain[1]["x"]) == [8, 8]
    assert widget.layout.title.text == "new"
    # and the trap is there: without `push`, the same change would be sent with holes
    with widget.batch_update():
        widget.data[0].y, widget.data[1].x, widget.data[1].y = [1, 1], [2, 2], [3, 3]
    assert bad


@pytest.mark.parametrize(
    "counts",
    [[5, 4, 3, 0, 0, 0], [1, 1, 1], [0.5, 0.25, 0.25], [1e-8, 1e-7, 3e-7], [7, 0], np.arange(1, 400)],
    ids=["zeros", "equal", "shares", "floats", "one word", "line"],
)
def test_figures_of_odd_counts(counts, cost):
    explorer = Explorer(Vocabulary(counts), cost=cost)
    assert f.cut_figure(explorer).data and f.coverage_figure(explorer.vocabulary, 0.8).data
    assert f.coverage_sentence(explorer.vocabulary, 0.8) and f.cut_sentence(explorer)
    picker = CutPicker()
    picker.show(explorer.vocabulary, explorer.cutoffs, ["head", "tail 1"])
    assert min(picker.ys) > 0 and len(picker.ys) <= len(picker.xs) == len(picker.mass)


def test_places_hold_both_ends():
    for n in (1, 2, 3, 1000, 10**6):
        at = places(n)
        assert at[0] == 1 and at[-1] == n and (np.diff(at) > 0).all()


def test_every_axis_of_every_still_has_a_title():
    pytest.importorskip("wordfreq")
    from adasoft.explore.stills import stills

    for figure in stills().values():
        assert "sendChartToCloud" in figure.layout.template.layout.modebar.remove
        for axis in [*figure.select_xaxes(), *figure.select_yaxes()]:
            categories = any(
                isinstance(t.x[0], str)
                for t in figure.data
                if (t.xaxis or "x") == axis._plotly_name.replace("axis", "")
            )
            assert axis.title.text or categories or axis._plotly_name.startswith("xaxis")


# ---- panels


def test_drag_slide_and_type_move_the_same_cutoff(explorer):
    box = panels.cut_panel(explorer)
    (picker,) = every(box, CutPicker)
    (figure,) = every(box, go.FigureWidget)
    sliders, boxes = every(box, w.FloatLogSlider), [named(box, f"cutoff {i}, words") for i in (1, 2)]

    bad = undefined(figure)

    def agree():
        assert not bad
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
    assert "c2 = 10 is refused: here it can be 7,000 to 19,999" in problem(box)
    agree()
    boxes[1].value = 8000
    assert problem(box) == ""
    agree()


def test_every_setting_and_button_of_the_cut_panel(explorer, cost):
    box = panels.cut_panel(explorer)
    (figure,) = every(box, go.FigureWidget)
    named(box, "number of cutoffs").value = 4
    assert len(explorer.cutoffs) == 4 and len(figure.data[0].x) == 5
    rows = [x.layout.display for x in every(box, w.HBox) if any(isinstance(c, w.FloatLogSlider) for c in x.children)]
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
    first = panels.cut_panel(explorer)
    picker = weakref.ref(every(first, CutPicker)[0])
    handlers = len(explorer._trait_notifiers["version"]["change"])
    second = panels.cut_panel(explorer)
    assert len(explorer._trait_notifiers["version"]["change"]) == handlers
    assert first.comm is None and second.comm is not None
    cuts = list(picker().cuts)
    explorer.cutoffs = (77, 5000)
    assert picker() is None or picker().cuts == cuts
    gc.collect()


def test_callbacks_in_several_threads_wait_for_each_other(explorer, monkeypatch):
    """JupyterLab runs each widget's callbacks in a thread of its own; the later gesture must win."""
    box = panels.cut_panel(explorer)
    sentence, inside = f.cut_sentence, threading.Event()

    def slow(state):
        inside.set()
        text = sentence(state)
        time.sleep(0.2 if state.cutoffs[0] == 50 else 0)
        return text

    monkeypatch.setattr(f, "cut_sentence", slow)
    first = threading.Thread(target=lambda: setattr(named(box, "cutoff 1, words"), "value", 50))
    first.start()
    inside.wait()
    named(box, "cutoff 2, words").value = 9999
    first.join()
    assert explorer.cutoffs == (50, 9999)
    assert html.escape(sentence(explorer)) in said(box)


def test_an_error_while_redrawing_is_shown(explorer, monkeypatch):
    box = panels.cut_panel(explorer)
    monkeypatch.setattr(f, "cut_data", lambda _: 1 / 0)
    explorer.cutoffs = (5, 6)
    assert "ZeroDivisionError" in problem(box) and "<script" not in problem(box)


def test_machine_panel_times_and_labels(explorer, cost, monkeypatch):
    box = panels.machine_panel(explorer)
    assert "made by hand" in said(box)
    record = {
        "device": {"name": "chip <x>"}, "threads": 2, "dtype": "float32", "date": "2026-01-02T", "torch": "2",
        "errors": {"train layers, not fitted": {"median": 0.11}},
    }  # fmt: skip
    steps = []

    def calibrate(device, *, seconds, progress):
        progress(0.5, "half")
        steps.append((device, seconds, every(box, w.FloatProgress)[0].value, named(box, "Time this machine").disabled))
        new = MeasuredCost(cost.coefficients, cost.flat, name="this machine: chip", record=record)
        monkeypatch.setattr(panels, "measured_cost", lambda: new)
        return new

    monkeypatch.setitem(adasoft.__dict__, "calibrate", calibrate)
    named(box, "time for it").value = 10.0
    named(box, "Time this machine").click()
    assert steps == [("cpu", 10.0, 0.5, True)] and not named(box, "Time this machine").disabled
    assert explorer.cost.name == "this machine: chip" and problem(box) == ""
    assert "chip &lt;x&gt;, 2 threads" in said(box) and "11.0 %" in said(box)

    def broken(*_, **__):
        raise RuntimeError("no\nway")

    monkeypatch.setitem(adasoft.__dict__, "calibrate", broken)
    named(box, "Time this machine").click()
    assert "RuntimeError: no way" in problem(box) and not named(box, "Time this machine").disabled


def test_coverage_panel(explorer):
    box = panels.coverage_panel(explorer)
    (figure,) = every(box, go.FigureWidget)
    number_box, slider = named(box, "share of the tokens, %"), every(box, w.FloatSlider)[0]
    number_box.value = 95.0
    assert figure.data[4].x[1] == explorer.vocabulary.words_for_share(0.95) and slider.value == 95.0
    slider.value = 50.0
    assert figure.data[4].x[1] == explorer.vocabulary.words_for_share(0.5) and number_box.value == 50.0
    assert named(box, "language").value == ""
    named(box, "language").value = "fr"
    assert explorer.vocabulary is load_language("fr") and "French" in said(box)


def test_fits_that_do_not_exist_are_said():
    law = Vocabulary(np.exp(-np.arange(60) / 3.0))  # exponential: Mandelbrot's shift runs away
    assert "no zipf-mandelbrot fit" in f.coverage_sentence(law, 0.8)
    assert np.isnan(f.coverage_figure(law, 0.8).data[2].y).all()


def test_languages_panel(explorer):
    box = panels.languages_panel(explorer)
    (figure,) = every(box, go.FigureWidget)
    bad = undefined(figure)
    assert [t.name for t in figure.data][:4] == ["synthetic", "English", "German", "Finnish"]
    named(box, "languages").value = ("fr",)
    assert [t.name for t in figure.data][:3] == ["synthetic", "French", ""] and not figure.data[2].showlegend
    explorer.vocabulary = load_language("en")
    assert figure.data[0].name == "French" and "French needs" in said(box)
    named(box, "languages").value = ()
    assert "Choose at least one" in said(box) and not bad


def upload(box, name, content):
    file = {"name": name, "type": "", "size": len(content), "content": memoryview(content)}
    named(box, "Pick a file").value = ({**file, "last_modified": datetime.now(timezone.utc)},)


def test_own_text(explorer, tmp_path):
    box = panels.own_text_panel(explorer)
    upload(box, "tale.txt", b"The cat and the dog and the bird. " * 10)
    assert explorer.vocabulary.name == "tale.txt" and explorer.vocabulary.words[0] == "the" and problem(box) == ""
    assert max(explorer.cutoffs) < len(explorer.vocabulary)
    counts = tmp_path / "counts.tsv"
    counts.write_text("a\t5\nb\t0\nc\t7\nd\t1\n")
    named(box, "or its path").value = str(counts)
    named(box, "Read it").click()
    assert explorer.vocabulary.words == ("c", "a", "d", "b")
    named(box, "Back to English").click()
    assert explorer.vocabulary is load_language("en")


@pytest.mark.parametrize(
    "content, reason",
    [(b"", "holds no"), (b"\xff\xfe\x00binary\x00" * 9, "not read"), (b"one one one", "only 1 different words"),
     (b"a\t1\na\t2\nb\t3\n", "line 2"), (b"a\t0\nb\t0\nc\t0\n", "not read")],
    ids=["empty", "binary", "one word", "twice", "all zero"],
)  # fmt: skip
def test_broken_files_say_the_way_out_and_change_nothing(explorer, content, reason):
    before = explorer.vocabulary
    box = panels.own_text_panel(explorer)
    upload(box, "bad.txt", content)
    assert reason in problem(box) and "Way out" in problem(box) and "/upload" not in problem(box)
    assert explorer.vocabulary is before


def test_a_path_that_is_not_there(explorer, tmp_path):
    box = panels.own_text_panel(explorer)
    named(box, "or its path").value = str(tmp_path / "none.txt")
    named(box, "Read it").click()
    assert "none.txt was not read" in problem(box)


def test_two_clusters_panel(cost):
    explorer = Explorer(Vocabulary.synthetic(5000), cost=COUNTED_WORDS, cutoffs=(300,))
    box = panels.two_clusters_panel(explorer)
    (figure,) = every(box, go.FigureWidget)
    best = figure.data[4].x[0]
    assert best == plan(explorer.vocabulary, 512, 2560, cost=COUNTED_WORDS, n_tails=1, min_head_share=0).cutoffs[0]
    named(box, "words in the first cluster").value = int(best)
    assert figure.data[3].y[0] == figure.data[4].y[0] and not figure.data[4].visible
    named(box, "Show the best").click()
    assert figure.data[4].visible and "Best in the root" in said(box)
    every(box, w.FloatLogSlider)[0].value = 10.0
    assert explorer.cutoffs == (10,)
    named(box, "words in the first cluster").value = 5000
    assert "refused" in problem(box) and named(box, "words in the first cluster").value == 10
    explorer.cost = cost
    assert named(box, "cost model").value == cost.name and figure.layout.yaxis.title.text == "ms per step"


def test_swap_panel():
    box = panels.swap_panel()
    assert "as set: 1,900 words" in said(box) and "better swapped" in said(box)
    named(box, "Swap the shares").click()
    assert "as set: 1,100 words" in said(box) and "better as set" in said(box)
    named(box, "words of the small one", w.BoundedFloatText).value = 9000
    assert "k = 5,000" in said(box)  # the largest that it can be
    named(box, "share of the large one, %", w.FloatSlider).value = 20
    assert "swapping changes nothing" in said(box)


def test_the_game(explorer):
    box, other = panels.beat_the_planner(explorer), panels.cut_panel(explorer)
    explorer.cutoffs = (2, 5000)
    assert "not allowed" in said(box)
    explorer.cutoffs = (4000, 9000)
    named(box, "Compare with the planner").click()
    assert "The planner is ahead by" in said(box)
    explorer.cutoffs = explorer.plan_for_me().cutoffs
    named(box, "Compare with the planner").click()
    assert "A draw" in said(box)
    assert tuple(every(other, CutPicker)[0].cuts) == explorer.cutoffs


# ---- checks


@pytest.mark.parametrize("key", QUESTIONS)
def test_every_question_knows_its_answer_and_three_mistakes(key):
    question = QUESTIONS[key]
    expected = question.expected()
    assert grade(key, expected).status == "correct"
    assert grade(key, f"{expected:,.2f}").status == "correct"
    assert grade(key, None).status == grade(key, "no idea").status == grade(key, " ").status == "missing"
    assert len(question.wrong) >= 3
    for hint, wrong in question.wrong.items():
        verdict = grade(key, wrong())
        assert verdict.status == "keep working" and verdict.hint == hint
    if question.tolerance:
        assert grade(key, expected * (1 + 2 * question.tolerance)).status in ("almost", "keep working")
    assert grade(key, expected * 50 + 7).status == "keep working"


def test_numbers_as_people_type_them():
    assert [number(s) for s in ("16,300", "21.4 %", "1.28e6", "-800", "about 32", ".5", "3 000", "x")] == [
        16300, 21.4, 1.28e6, -800, 32, 0.5, 3000, None,
    ]  # fmt: skip
    assert number(float("nan")) is None


def test_ask_shows_the_verdict():
    box = ask("tail width")
    (entry,) = every(box, w.Text)
    press = named(box, "Check")
    press.click()
    assert "missing" in said(box)
    entry.value = "128"
    press.click()
    assert "keep working" in said(box) and "tail 1" in said(box)
    entry.value = "32"
    press.click()
    assert "correct" in said(box) and "Expected: 32." in said(box)


@pytest.mark.parametrize("key", PREDICTIONS)
def test_predictions_reveal_only_after_a_guess(key):
    explorer = Explorer("en", cost=COUNTED_MULTIPLICATIONS)
    box = predict(key, explorer, then=lambda: w.Label("the panel"))
    named(box, "Commit").click()
    assert "missing" in said(box) and not every(box, w.Label)
    every(box, w.Text)[0].value = "12"
    named(box, "Commit").click()
    named(box, "Commit").click()
    assert "You said <b>12</b>" in said(box) and len(every(box, w.Label)) == 1


def test_a_prediction_that_fails_says_so(explorer):
    box = predict("speedup", explorer, then=lambda: 1 / 0)
    every(box, w.Text)[0].value = "12"
    named(box, "Commit").click()
    assert "ZeroDivisionError" in said(box)
