"""The lesson on live timing: jobs, bookkeeping, sentences and panels, with a clock of our own."""

import itertools
import json
import math
import threading
from pathlib import Path

import ipywidgets as w
import numpy as np
import pytest
from panels import every, figure_of, finished, named, press, problem, said, wait

from adasoft import MeasuredCost, Vocabulary
from adasoft.files import read_json
from adasoft.lessons import COUNTED_MULTIPLICATIONS, LiveTimingExplorer
from adasoft.lessons.kit.exercises import judge
from adasoft.lessons.kit.grading import PREDICTIONS
from adasoft.lessons.kit.plots import percent, seconds_text
from adasoft.lessons.live_timing import figures as lf
from adasoft.lessons.live_timing import layers as ll
from adasoft.lessons.live_timing import panels as live_timing
from adasoft.lessons.live_timing import recorded
from adasoft.lessons.live_timing.exercises import EXERCISES
from adasoft.lessons.live_timing.layers import FULL, OURS, PLAN, STOCK
from adasoft.lessons.live_timing.parts import parts_figure, timed_parts
from adasoft.lessons.live_timing.race import layer_race, steps_done
from adasoft.lessons.live_timing.recorded import ALONE, GRAPH, recorded_layers
from adasoft.lessons.live_timing.shown import HERE, log_texts
from adasoft.lessons.live_timing.stills import still_explorer
from adasoft.lessons.time_model import timings
from adasoft.lessons.time_model.timings import Bench, Spread
from adasoft.lessons.time_model.widgets import Race
from adasoft.lessons.words.figures import error_of
from adasoft.results.folders import results_folder

KINDS = {"product": [1e-4, 3e-11, 5e-9, 2e-9, 6e-9, 0], "projection": [1e-5, 5e-11, 0, 0], "rows": [1e-5, 0, 0]}


@pytest.fixture
def explorer():
    cost = MeasuredCost({"train": KINDS, "decode": KINDS}, {"train": 5e-5, "decode": 1e-5}, name="made by hand")
    words = Vocabulary.synthetic(3000, name="synthetic")
    return LiveTimingExplorer(words, cost=cost, batch=64, in_features=64, cutoffs=(200, 900))


class Clock:
    """Layers that do nothing, and a clock by which each takes 1 ms for each word of its head (or of all)."""

    def __init__(self):
        self.made = []

    def steps(self, shape, device="cpu", dtype=None, *, sets=2, make=None, shares=None):
        self.made.append((shape, make.__name__, device, str(dtype), len(shares)))
        seconds = 1e-3 * (shape.cutoffs or (shape.n_classes,))[0]
        return [lambda: seconds] * sets

    def bench(self, **more):
        return Bench(**{"layer_steps": self.steps, "clock": lambda step: step(), **more})


@pytest.fixture
def clock(explorer):
    made = Clock()
    explorer.bench = made.bench()
    return made


def no_costs(*_args, **_kw):
    raise LookupError


def lesson_text(name="04_live_timing"):
    path = Path(__file__).resolve().parents[2] / "notebooks" / f"{name}.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells)


# ---- what is timed


def test_the_job_holds_what_is_ticked(explorer):
    job = explorer.layer_job()
    assert [(name, cuts) for name, cuts, _ in job.layers[:3]] == [(FULL, ()), (STOCK, (200, 900)), (OURS, (200, 900))]
    assert job.layers[1][2] == (16, 4) and job.layers[2][2] == (16, 8)  # PyTorch's widths have no floor
    name, cuts, widths = job.layers[3]
    found = explorer.best_plan(explorer.cost)
    assert (name, cuts, widths) == (PLAN, found.cutoffs, found.widths)
    seconds = job.seconds(explorer.cost)
    assert seconds[OURS] == pytest.approx(explorer.prediction.seconds)
    assert seconds[FULL] == pytest.approx(explorer.full.seconds) and seconds[PLAN] == pytest.approx(found.time)
    assert all(math.isnan(s) for s in job.seconds(None).values())
    assert [n for n, *_ in explorer.layer_job({FULL: True}).layers] == [FULL]
    with pytest.raises(ValueError, match="nothing is ticked"):
        explorer.layer_job({})
    explorer.in_features = 8
    explorer.cutoffs = (200, 900)
    with pytest.raises(ValueError, match="a tail of width 0 with d = 8 and 2 tails: untick it"):
        explorer.layer_job()
    explorer.cutoffs = ()
    assert [n for n, *_ in explorer.layer_job().layers] == [FULL, PLAN]


def test_the_memory_that_layers_need(explorer):
    job = explorer.layer_job({FULL: True})
    weights, logits, rows = 3000 * 64, 64 * 3000, 64 * 64
    assert job.bytes(4) == 4 * (2 * weights + 3 * logits + 4 * rows)
    assert explorer.layer_job({OURS: True}).bytes(4) < job.bytes(4) < explorer.layer_job().bytes(4)


def test_the_places_of_the_curve(explorer):
    for active, (low, high) in ((0, (1, 899)), (1, (201, 2999))):
        explorer.active = active
        job = explorer.curve_job()
        places = [cuts[active] for _, cuts, _ in job.layers]
        assert places == sorted(set(places)) and low <= places[0] and places[-1] <= high
        assert explorer.cutoffs[active] in places and len(places) >= 9
        assert all(cuts[1 - active] == explorer.cutoffs[1 - active] for _, cuts, _ in job.layers)
    explorer.cutoffs = ()
    with pytest.raises(ValueError, match="no cutoff to move"):
        explorer.curve_job()


def test_real_layers_are_timed(explorer, one_thread):
    box = live_timing.live_panel(explorer)
    press(box, "Measure in turns")
    assert not problem(box)
    times = timings.spreads(explorer.recall("layers"), explorer.layer_sizes)
    assert set(times) == {FULL, STOCK, OURS, PLAN} and all(t.n >= 1 and t.median > 0 for t in times.values())
    press(box, "Time them wrongly")
    assert not problem(box) and "Timed wrongly" in said(box)
    curve = live_timing.curve_panel(explorer)
    press(curve, "Measure the U-curve")
    assert not problem(curve) and "measured points" in said(curve) and "Measured here" in said(curve)


# ---- panels


def test_bars_predictions_and_words(explorer, clock):
    box = live_timing.live_panel(explorer)
    figure = figure_of(box)
    assert np.isnan(figure.data[0].x).all() and "Nothing measured at these settings yet" in said(box)
    assert "Estimated time:" in said(box) and f"about {timings.bytes_text(explorer.layer_job().bytes(4))}" in said(box)
    press(box, "Measure in turns")
    head = explorer.best_plan(explorer.cost).cutoffs[0]
    np.testing.assert_allclose(figure.data[0].x, [head, 200, 200, 3000])
    assert list(figure.data[0].y) == [PLAN, OURS, STOCK, FULL]
    assert list(figure.data[1].y) == [PLAN, OURS, FULL]  # the model does not know PyTorch's
    predicted = explorer.layer_job().seconds(explorer.cost)
    np.testing.assert_allclose(figure.data[1].x, [1e3 * predicted[n] for n in (PLAN, OURS, FULL)])
    ours, full = (f"{seconds_text(predicted[name])} and took " for name in (OURS, FULL))
    assert f"Measured here. Ours was predicted at {ours}200 ms (" in said(box)
    assert f"; the full softmax at {full}3.0 s (" in said(
        box
    ) and "<div>Ours is 15 times faster than the full softmax." in said(box)
    assert "Ours and PyTorch's layer overlap: this measurement cannot tell them apart." in said(box)
    assert "too low" in said(box) and "made by hand" in said(box)
    plan = ", ".join(f"{c:,}" for c in explorer.best_plan(explorer.cost).cutoffs)
    assert f"Our plan cuts at {plan}." in said(box)
    assert len([x for x in every(box, w.Button) if x.description == "Stop"]) == 1
    assert {(m[1], m[2], m[3], m[4]) for m in clock.made} == {
        (make, "cpu", "torch.float32", 3000) for make in ("FullSoftmax", "stock", "ours")
    }
    explorer.cutoffs = (300, 900)  # these were not measured
    assert np.isnan(figure.data[0].x).all() and np.isfinite(figure.data[1].x).all()
    explorer.cutoffs = (200, 900)
    assert figure.data[0].x[-1] == pytest.approx(3000)


def test_one_cutoff_moves_every_view(explorer, clock):
    boxes = live_timing.live_panel(explorer), live_timing.curve_panel(explorer)
    figures = [figure_of(box) for box in boxes]
    before = [figures[0].data[1].x[1], figures[1].data[3].x[0]]
    explorer.set_cutoff(0, 400)
    after = [figures[0].data[1].x[1], figures[1].data[3].x[0]]
    assert before[0] != after[0] and before[1] == 200 and after[1] == 400


def test_only_what_is_ticked_is_timed(explorer, clock):
    box = live_timing.live_panel(explorer)
    named(box, FULL).value = named(box, PLAN).value = False
    press(box, "Measure in turns")
    assert [m[1] for m in clock.made] == ["stock", "ours"]
    for name in (STOCK, OURS):
        named(box, name).value = False
    assert "nothing is ticked" in problem(box)


def test_wrong_is_one_click_away(explorer, clock):
    box = live_timing.live_panel(explorer)
    press(box, "Measure in turns")
    ticking = itertools.accumulate(itertools.count())  # each shot takes longer than the one before: 1, 3, 5 ... s
    job = explorer.layer_job()
    how = {"bench": explorer.bench, "device": "cpu", "dtype": "float32", "tick": lambda *_: None}
    found = ll.time_layers_wrongly(job, clock=lambda: next(ticking), **how)
    assert found == {FULL: 1, STOCK: 3, OURS: 5, PLAN: 7}
    press(box, "Time them wrongly")
    figure = figure_of(box)
    assert list(figure.data[2].y) == [PLAN, OURS, STOCK, FULL] and np.isfinite(figure.data[2].x).all()
    assert "Timed wrongly (once, cold, one after the other)" in said(box)
    times = {FULL: Spread(3.0, 3, 3, 5), OURS: Spread(0.5, 0.5, 0.5, 5)}
    result, *_ = lf.layers_sentence(times, {}, {FULL: 3.0, OURS: 1.0}, "a model")
    assert result.startswith("Timed wrongly, the gain would read 3 times; it is 6.")


def test_recorded_machines_are_labelled(explorer, clock):
    box = live_timing.live_panel(explorer)
    shown = named(box, "shown")
    labels = [x for x in shown.options[1:] if "H200" not in x]
    assert not log_texts(explorer)
    kept = json.loads((recorded.results_folder() / "bench-layer-cpu.json").read_text())
    date = kept["date"][:10]
    assert labels and all("recorded" in x and date in x and kept["device"]["name"] in x for x in labels)
    shown.value = labels[0]
    text = said(box)
    assert "RECORDED on another machine" in text and f"Recorded on {date}" in text and "bench-layer-cpu.json" in text
    (first,) = [r for r in recorded_layers() if r.label == labels[0]]
    figure = figure_of(box)
    assert list(figure.data[0].y) == [ALONE, OURS, STOCK, FULL]
    np.testing.assert_allclose(figure.data[0].x, [1e3 * first.times[n].median for n in figure.data[0].y])
    press(box, "Measure in turns")  # and back to this machine
    assert shown.value == HERE and "RECORDED" not in said(box)
    assert list(figure.data[0].y) == [PLAN, OURS, STOCK, FULL]


def test_what_is_measured_is_never_called_recorded(explorer, clock):
    """While it is measured, when it fails, and when the reader looks at something recorded meanwhile."""
    box = live_timing.live_panel(explorer, every=0.0)  # drawn as often as can be
    shown, figure = named(box, "shown"), figure_of(box)
    record = next(label for label in shown.options if label.startswith("recorded"))
    heard = []

    def watched(step):
        heard.append(("RECORDED" in said(box), "Measuring here, now" in said(box), shown.value == HERE))
        return step()

    explorer.bench = clock.bench(clock=watched)
    shown.value = record
    press(box, "Measure in turns")
    assert heard[0] == (False, False, True) and set(heard[1:]) == {(False, True, True)}  # live from the first point

    def looks_away(step):
        shown.value = record
        heard.append(("RECORDED" in said(box), np.array(figure.data[0].x)))
        return step()

    explorer.bench, heard = clock.bench(clock=looks_away), []
    press(box, "Measure in turns")
    assert shown.value == record and all(told for told, _ in heard)
    assert all(np.array_equal(x, heard[0][1]) for _, x in heard)  # the figure stays that of the record
    explorer.bench = clock.bench(free_bytes=lambda device: 2.0**20)
    press(box, "Measure in turns")
    assert "would need about" in problem(box) and shown.value == HERE and "RECORDED" not in said(box)


def test_what_fails_takes_its_points_back(explorer, clock):
    curve = live_timing.curve_panel(explorer, every=0.0)
    press(curve, "Measure the U-curve")
    before, count = np.array(figure_of(curve).data[1].y), itertools.count()

    def broken(step):
        if next(count) == 3:
            raise RuntimeError("unplugged")
        return 7.0

    explorer.bench = clock.bench(clock=broken)
    press(curve, "Measure the U-curve")
    wait(lambda: "unplugged" in problem(curve))
    np.testing.assert_array_equal(figure_of(curve).data[1].y, before)
    assert "Measuring here" not in said(curve)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b'{"device": 3}', b"{" * 9])
def test_a_damaged_record_is_said_in_the_panel(explorer, tmp_path, content):
    (tmp_path / "bench-layer-x.json").write_bytes(content)
    box = live_timing.live_panel(explorer, records=lambda: recorded_layers(tmp_path))
    assert "bench-layer-x.json is no layer benchmark" in problem(box)
    assert named(box, "shown").options == (HERE,) and "predicted: full softmax" in said(box)


# ---- the log, the scale, what is not judged


def test_the_log_keeps_each_measurement_to_click_through(explorer, clock):
    box = live_timing.live_panel(explorer)
    press(box, "Measure in turns")
    first = np.array(figure_of(box).data[0].x)
    explorer.batch = 128
    assert np.isnan(figure_of(box).data[0].x).all()
    explorer.cutoffs = (300, 900)
    press(box, "Measure in turns")
    texts = log_texts(explorer)
    assert [text[:5] for text in texts] == ["log 2", "log 1"] and "B = 64, cutoffs 200 and 900" in texts[1]
    named(box, "shown").value = texts[1]
    np.testing.assert_array_equal(figure_of(box).data[0].x, first)
    assert "Measured here on 20" in said(box) and "predicted" in said(box) and "Our plan cuts at" in said(box)
    table = said(box).split("<table")[1]
    assert "B = 128, cutoffs 300 and 900" in table and "15.0 times" in table and "quartiles of ours" in table
    named(box, "shown").value = HERE
    explorer.batch, explorer.cutoffs = 64, (200, 900)  # back: what was measured then is there
    np.testing.assert_array_equal(figure_of(box).data[0].x, first)
    for _ in range(15):
        press(box, "Measure in turns")
    assert len(explorer.log()) == 12


def test_the_prediction_scaled_to_the_points_compares_shapes(explorer, clock):
    box, curve = live_timing.live_panel(explorer), live_timing.curve_panel(explorer)
    press(box, "Measure in turns")
    press(curve, "Measure the U-curve")
    bars, line = np.array(figure_of(box).data[1].x), np.array(figure_of(curve).data[0].y)
    named(box, "scale the prediction to my points").value = True
    assert explorer.scaled and named(curve, "scale the prediction to my points").value
    times = explorer.measured_layers()
    scale = lf.scale_of(times, explorer.predicted_layers())
    np.testing.assert_allclose(figure_of(box).data[1].x, scale * bars)
    points = timings.spreads(explorer.recall("curve"), explorer.curve_sizes)
    assert lf.scale_of(points, {c: lf.predicted_at(explorer, int(c)) for c in points}) != 1
    np.testing.assert_allclose(figure_of(curve).data[0].y, lf.curve_scale(explorer, points) * line)
    assert "×" in figure_of(curve).data[0].name and "×" in figure_of(box).data[1].name


def test_scaling_says_nothing_of_the_point_that_it_was_fitted_to():
    seconds = {FULL: 1.0, OURS: 0.1, PLAN: 0.2}
    times = {name: Spread(t, t, t, 9) for name, t in ((FULL, 6.0), (OURS, 0.2), (PLAN, 0.3))}
    scale = lf.scale_of(times, seconds)
    assert scale == pytest.approx(2)
    result, more, _ = lf.layers_sentence(times, seconds, {}, "a model", scale)
    assert (
        result == "Scaled by 2 (fitted to these points): full softmax still 67 % too low, our plan still 33 % too high."
    )
    assert "predicted 100 ms, 50 % too low" in more  # what was predicted, not what was made of it
    data, layout = lf.layers_data(times, seconds, {}, {}, scale)
    assert "ours: 200 ms, predicted 100 ms × 2" in layout["yaxis.ticktext"]
    assert list(data[1]["x"]) == pytest.approx([400, 200, 2000])
    one = lf.layers_sentence({OURS: times[OURS]}, seconds, {}, "a model", 2.0).result
    assert "a single prediction always fits" in one and "percent" not in one


def test_a_busy_machine_is_said_before_its_times(explorer, clock):
    explorer.bench = clock.bench(load=lambda: (4.7, 2))
    box, curve = live_timing.live_panel(explorer), live_timing.curve_panel(explorer)
    press(box, "Measure in turns")
    press(curve, "Measure the U-curve")
    warning = "<b>This machine was busy (load 4.7 on 2 cores): do not trust these times, measure again. Measured here"
    assert warning in said(box) and warning in said(curve) and "The machine was busy then." in said(curve)
    explorer.bench = clock.bench(load=lambda: (1.8, 2))  # what timing itself leaves in the average
    press(box, "Measure in turns")
    press(curve, "Measure the U-curve")
    assert "do not trust" not in said(box) + said(curve)
    for junk in ("x", [1], [1, 0.5], [-1, 2]):
        with pytest.raises(ValueError, match="load"):
            explorer._forms["curve"]({**json.loads(json.dumps(explorer.recall("curve"))), "load": junk}, "curve")


def test_the_question_of_the_lesson_is_answered_under_the_curve(explorer, clock):
    box, curve = live_timing.live_panel(explorer), live_timing.curve_panel(explorer)
    press(curve, "Measure the U-curve")
    assert "Of the layers above" not in said(curve)
    press(box, "Measure in turns")
    predicted = explorer.layer_job().seconds(explorer.cost)
    ours = timings.percent_off(predicted[OURS], 0.2)
    assert f"Of the layers above, last measured: ours {ours}, full softmax " in said(curve)
    assert "The plan is " in said(curve) or "The plan and your cutoffs overlap" in said(curve)


def test_the_full_softmax_takes_longer_than_predicted_as_the_text_says():
    for record in recorded_layers():
        assert record.times[FULL].median > 1.1 * record.predicted[FULL], record.label
    products = [
        sample["shape"][0] * sample["shape"][1]
        for sample in still_explorer().cost.record["samples"]
        if (sample["kind"], sample["objective"]) == ("product", "train")
    ]
    batch = 2560
    assert all(batch * one.n_classes > 3 * max(products) for one in recorded_layers() if one.device == "cpu")
    assert "several times as many numbers as any product that the model was fitted to" in lesson_text()


def test_numbers_that_the_model_was_not_timed_with_are_not_judged():
    explorer = still_explorer()
    box, curve = live_timing.live_panel(explorer), live_timing.curve_panel(explorer)
    assert explorer.judges and np.isfinite(figure_of(box).data[1].x).all()
    explorer.dtype = "bfloat16"
    assert not explorer.judges and np.isnan(figure_of(box).data[1].x).all()
    assert "Nothing is predicted for bfloat16" in said(box) and np.isnan(figure_of(curve).data[0].y).all()


def test_what_cannot_be_is_refused_and_said(explorer):
    box = live_timing.live_panel(explorer)
    words = named(box, "words V")
    for value, rule in ((10**9, "V should be at most 3,000"), (2, "V should be at least 3")):
        words.value = value
        assert rule in problem(box) and words.value == 3000 and len(explorer.vocabulary) == 3000
    explorer.bench = Bench(free_bytes=lambda device: 2.0**30, load=lambda: (9.0, 2))
    explorer.in_features, explorer.batch = 2**19, 2**19
    press(box, "Measure in turns")
    assert "GiB" in problem(box) and "TiB" in problem(box) and "e+" not in problem(box) + said(box)
    for panel in (box, live_timing.curve_panel(explorer)):
        assert "This machine is busy (load 9.0 on 2 cores)" in said(panel)


def test_a_guess_is_drawn(explorer, clock):
    explorer.remember("guess PyTorch beside ours", 2.0)
    explorer.remember("guess beside the bottom", 10.0)
    box, curve = live_timing.live_panel(explorer), live_timing.curve_panel(explorer)
    press(box, "Measure in turns")
    assert "You guessed that PyTorch's layer takes 2 times as long; here it took 1: off by a factor of 2.0." in said(
        box
    )
    assert list(figure_of(box).data[3].y) == [STOCK] and figure_of(box).data[3].x[0] == pytest.approx(400)
    line = figure_of(curve).data[0]
    assert figure_of(curve).data[4].y[0] == pytest.approx(1.1 * min(line.y))
    assert figure_of(curve).data[4].x[0] == pytest.approx(line.x[int(np.argmin(line.y))] / 2)


# ---- what the text claims, against the records


def test_when_the_full_softmax_wins_as_the_text_says():
    text, sizes = lesson_text(), {"in_features": 64, "batch": 64}
    small = still_explorer(n_words=1000, cutoffs=(500,), **sizes).predicted_layers()
    assert still_explorer(n_words=1000, cutoffs=(500,), **sizes).best_plan(still_explorer().cost).cutoffs == ()
    assert f"| 1,000 | {1e3 * small[FULL]:.2f} ms | no cutoff pays |" in text
    one = still_explorer(n_words=2000, cutoffs=(1000,), **sizes)
    two = still_explorer(n_words=2000, cutoffs=(1000, 1414), **sizes).predicted_layers()
    assert len(one.best_plan(one.cost).cutoffs) == 1
    times = one.predicted_layers()
    row = f"| 2,000 | {1e3 * times[FULL]:.2f} ms |"
    assert f"{row} one cutoff: {1e3 * times[PLAN]:.2f} ms |" in text and times[PLAN] < times[FULL]
    assert f"{row} two, at 1,000 and 1,414: {1e3 * two[OURS]:.2f} ms |" in text and two[OURS] > times[FULL]


def test_products_alone_are_the_floor_only_where_they_are():
    for record in recorded_layers():
        floor = record.times[ALONE].median < record.times[OURS].median
        assert floor == (record.device == "cpu") == ("and nothing else" in record.note)
        if not floor:
            assert "pads" in record.note and f"a head of {record.head:,} words" in record.note and record.head % 2
            assert ("CUDA graph" in record.note) == (GRAPH in record.times)
    assert "no layer can be faster" not in lesson_text() and "Products alone" not in lesson_text()


def test_the_race_and_the_paper_as_the_text_says():
    record = next(one for one in recorded_layers() if one.n_classes == 44_000)
    gain = f"{record.times[FULL].median / record.times[OURS].median:.1f} times faster"
    assert f"the layer alone is {gain}" in lesson_text() and gain in layer_race()["races"][0]["why"]
    assert gain in lf.recorded_sentence(record).also
    assert f"While the full softmax does one step, our layer does {steps_done(record)}" in lesson_text()
    runners = layer_race()["races"][0]["runners"]
    assert [runner["seconds"] for runner in runners] == [record.times[n].median for n in (FULL, OURS)]
    assert [runner["predicted"] for runner in runners] == [record.predicted.get(n) for n in (FULL, OURS)]
    assert f"{83 / 30:.1f} times faster for the whole training" in lesson_text()
    assert f"{58 / 18:.1f} times" in lesson_text() and f"{802 / 110:.1f} times" in lesson_text()
    with pytest.raises(LookupError):
        layer_race([])


def test_the_first_picture(explorer):
    (widget,) = every(live_timing.layer_race_panel(explorer), Race)
    assert not widget.data["once"] and "another machine" in widget.data["source"] and "`" not in widget.data["source"]
    assert widget.data["guess"] and "the cost model predicts" in widget.data["races"][0]["why"]
    widget.bets = {"0": "5"}
    (again,) = every(live_timing.layer_race_panel(explorer), Race)
    assert again.bets == {"0": "5"}  # it has run, with this guess


@pytest.mark.parametrize("hint", EXERCISES["step speed-up"].bugs)
def test_each_bug_of_the_step_is_named(hint):
    exercise = EXERCISES["step speed-up"]
    assert judge(exercise, exercise.solution).status == "correct"
    found = judge(exercise, exercise.bugs[hint])
    assert found.status != "correct" and hint in found.text


def test_a_recorded_gpu_shows_its_full_softmaxes_and_the_graph(explorer, clock):
    box = live_timing.live_panel(explorer)
    shown = named(box, "shown")
    (label,) = [x for x in shown.options if "H200" in x]
    shown.value = label
    kept = json.loads((recorded.results_folder() / "bench-layer-cuda.json").read_text())
    first = {row["what"]: row for row in kept["full"][:7]}
    figure, text = figure_of(box), said(box)
    assert list(figure.data[0].y) == [FULL, recorded.CUT, STOCK, OURS, recorded.GRAPH, ALONE][::-1]
    assert list(figure.data[0].x)[::-1] == pytest.approx(
        [
            first[n]["ms"]
            for n in ("full: plain", "full: Cut Cross-Entropy", "stock", "ours", "ours, CUDA graph", "bare products")
        ]
    )
    assert "it can be faster than these products alone" in text
    assert "RECORDED on another machine, with V = 256,000, d = " in text and "Nobody timed a plan there" in text
    assert "RECORDED on another machine" in text and "NVIDIA H200, bfloat16" in text and "bench-layer-cuda.json" in text
    # a question's answer is of the CPU records, whatever is nearer in V
    assert lf.recorded_ratio(still_explorer(n_words=250_000)) < 2


def test_records_are_read_as_they_are(tmp_path):
    found = [r for r in recorded_layers() if r.device == "cpu"]
    rows = json.loads((recorded.results_folder() / "bench-layer-cpu.json").read_text())["rows"]
    assert sorted(t.median * 1e3 for r in found for t in r.times.values()) == pytest.approx(
        sorted(r["ms"] for r in rows)
    )
    assert all(set(r.predicted) == {FULL, OURS} and "recorded cost model" in r.whose for r in found)
    assert all("another machine" in r.provenance for r in found)
    assert recorded_layers(tmp_path) == []
    (tmp_path / "bench-layer-x.json").write_text('{"bench": "layer"}')
    with pytest.raises(ValueError, match=r"bench-layer-x.json is no layer benchmark: KeyError 'device'"):
        recorded_layers(tmp_path)
    (tmp_path / "bench-layer-x.json").write_text("{")
    with pytest.raises(ValueError, match="is no layer benchmark"):
        recorded_layers(tmp_path)


def test_the_shares_of_the_record_are_those_of_the_benchmark():
    from adasoft.workloads import token_shares

    np.testing.assert_allclose(recorded._zipf_mandelbrot(1000), token_shares(1000), rtol=1e-12)


def test_what_does_not_fit_into_memory_is_refused(explorer, clock):
    explorer.bench = clock.bench(free_bytes=lambda device: 2.0**20)
    box, curve = live_timing.live_panel(explorer), live_timing.curve_panel(explorer)
    for panel, button in ((box, "Measure in turns"), (box, "Time them wrongly"), (curve, "Measure the U-curve")):
        press(panel, button)
        assert "would need about" in problem(panel) and "Take a smaller V, B or d" in problem(panel)
    assert clock.made == []


def test_points_appear_on_the_curve(explorer, clock):
    box = live_timing.curve_panel(explorer)
    figure = figure_of(box)
    assert "No point measured at these settings yet" in said(box) and np.isnan(figure.data[1].y).all()
    press(box, "Measure the U-curve")
    places = [cuts[0] for _, cuts, _ in explorer.curve_job().layers]
    assert list(figure.data[1].x) == places
    np.testing.assert_allclose(figure.data[1].y, places)  # 1 ms for each word of the head
    _, seconds = lf.predicted_curve(explorer)
    np.testing.assert_allclose(figure.data[0].y, 1e3 * np.asarray(seconds))
    assert f"Lowest of {len(places)} measured points: {places[0]} words" in said(box)
    assert f"words, the clock {places[0]}. Following the prediction costs" in said(box)
    assert "Are the predictions true here? As a whole, these points take" in said(box)
    explorer.set_cutoff(0, 333)  # the moving one: the points stay
    assert list(figure.data[1].x) == places and figure.data[3].x[0] == 333
    explorer.set_cutoff(1, 1000)  # another: they do not belong here
    assert np.isnan(figure.data[1].y).all()
    named(box, "cutoff that moves").value = 0
    assert (
        explorer.active == 0
        and lf.predicted_bottom(explorer)
        == lf.predicted_curve(explorer)[0][int(np.argmin(lf.predicted_curve(explorer)[1]))]
    )


def test_stop_keeps_the_points_so_far(explorer, clock):
    gate, reached = threading.Event(), threading.Event()
    count = itertools.count()

    def timed(step):
        if next(count) == 3:
            reached.set()
            assert gate.wait(60)
        return step()

    explorer.bench = clock.bench(clock=timed)
    box = live_timing.curve_panel(explorer)
    named(box, "Measure the U-curve").click()
    assert reached.wait(60)
    named(box, "Stop").click()
    gate.set()
    finished(named(box, "Measure the U-curve"))
    places = [cuts[0] for _, cuts, _ in explorer.curve_job().layers]
    assert list(figure_of(box).data[1].x) == places[:4] and next(count) == 4


def test_without_cutoffs_and_without_timings(explorer, clock):
    explorer.cutoffs = ()
    box, curve = live_timing.live_panel(explorer), live_timing.curve_panel(explorer)
    assert "No cutoff, no curve" in said(curve)
    press(curve, "Measure the U-curve")
    assert "no cutoff to move" in problem(curve)
    press(box, "Measure in turns")
    assert list(figure_of(box).data[0].y) == [PLAN, FULL]
    with pytest.raises(LookupError, match="no timings or no cutoff"):
        lf.predicted_bottom(explorer)
    explorer.bench = clock.bench(costs=no_costs)
    explorer.cost = COUNTED_MULTIPLICATIONS
    assert explorer.timings[0] is None
    explorer.cutoffs = (200,)
    assert "its first round" in said(box)
    press(box, "Measure in turns")
    assert "Measured here. Ours" in said(box) and ", predicted" not in said(box)
    press(curve, "Measure the U-curve")
    assert "Lowest of" in said(curve) and "what is predicted" not in said(curve)
    with pytest.raises(LookupError, match="no timings or no cutoff"):
        lf.price_of_half(explorer)


def test_measured_again_on_another_day(monkeypatch, tmp_path):
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path))

    def start():
        return LiveTimingExplorer("en", n_words=3000, batch=64, in_features=64, cutoffs=(200, 900), lesson="t")

    first = start()
    first.bench = Clock().bench()
    press(live_timing.live_panel(first), "Measure in turns")
    first._choices.flush()
    box = live_timing.live_panel(start())
    assert figure_of(box).data[0].x[-1] == pytest.approx(3000) and "Measured here" in said(box)
    assert log_texts(first) and log_texts(first)[0] in named(box, "shown").options  # with its date


def test_a_panel_shown_again_replaces_the_old_one(explorer):
    for make in (live_timing.layer_race_panel, live_timing.live_panel, live_timing.curve_panel):
        old = make(explorer)
        slots = len(explorer._slots)
        make(explorer)
        assert len(explorer._slots) == slots and old.comm is None


# ---- words and questions


def test_differences_are_told_only_where_there_are_any():
    fast, slow, near = Spread(1.0, 0.9, 1.1, 9), Spread(4.0, 3.8, 4.2, 9), Spread(1.05, 1.0, 1.2, 9)
    result, text, also = lf.layers_sentence({FULL: slow, OURS: fast, STOCK: near, PLAN: slow}, {OURS: 1.3}, {}, "x")
    assert "Ours is 4 times faster than the full softmax" in also and "PyTorch's layer overlap" in also
    assert "The plan is 4 times SLOWER than your cutoffs" in also
    assert result == "Ours was predicted at 1.3 s and took 1.0 s (30 % too high)."
    assert "predicted 1.3 s, 30 % too high" in text and "median" not in text
    _, text, _ = lf.layers_sentence({OURS: Spread(1.2, 1.2, 1.2, 1)}, {OURS: 0.1}, {}, "x")
    assert "ours 1.2 s (one run)" in text and "92 % too low" in text
    result, *_ = lf.layers_sentence({FULL: slow, OURS: fast}, {}, {}, "x")
    assert result == "Ours is 4 times faster than the full softmax."
    assert timings.percent_off(20, 25) == "20 % too low" and timings.percent_off(1.001, 1) == "right to a percent"
    assert timings.percent_off(30, 10) == "3.0 times the measured time"


def test_the_bottom_in_words(explorer):
    """It says whether following the prediction costs anything, and never more than the spread allows."""
    places = [name for name, *_ in explorer.curve_job().layers]
    chosen = lf.predicted_best(explorer, {c: Spread(1.0, 1, 1, 3) for c in places})
    other = next(c for c in places if c != chosen)
    apart = {chosen: Spread(1.2, 1.1, 1.3, 9), other: Spread(1.0, 0.9, 1.05, 9)}
    assert "Following the prediction costs 20.0 %." in lf.curve_sentence(explorer, apart)[0]
    near = {chosen: Spread(1.2, 1.0, 1.3, 9), other: Spread(1.0, 0.9, 1.05, 9)}
    assert "chose as well as this clock can tell" in lf.curve_sentence(explorer, near)[0]
    same = {chosen: Spread(0.9, 0.8, 1.0, 9), other: Spread(1.0, 0.9, 1.05, 9)}
    assert f"the same place, {int(chosen):,} words. It chose well." in lf.curve_sentence(explorer, same)[0]


def test_the_floor_of_plans_is_drawn_where_the_head_ends():
    explorer = still_explorer()
    floor = lf.floor_of(explorer)
    assert (
        floor is not None and explorer.vocabulary.cumulative[floor - 1] < 0.75 <= explorer.vocabulary.cumulative[floor]
    )
    data, _ = lf.curve_data(explorer, {})
    assert list(data[5]["x"]) == [floor, floor] and np.isfinite(data[5]["y"]).all()
    best = round(lf.predicted_bottom(explorer))
    bottom = lf.predicted_at(explorer, best)
    costs = sorted(round(100 * (lf.predicted_at(explorer, c) / bottom - 1)) for c in (best // 2, 2 * best))
    dear = round(100 * (lf.predicted_at(explorer, floor) / bottom - 1))
    assert f"half or double the best cutoff costs {costs[0]} to {costs[1]} %" in lesson_text()
    times = ("four", "five", "six")[round(floor / best) - 4]
    assert f"its head of {floor:,} words, {times} times the best, costs {dear} %" in lesson_text()
    assert f"so at least {floor:,} words" in lf.curve_sentence(explorer, {})[0]
    explorer.active = 1
    assert lf.floor_of(explorer) is None and np.isnan(lf.curve_data(explorer, {})[0][5]["y"]).all()


def test_predictions(explorer):
    _, truth, *_ = PREDICTIONS["PyTorch beside ours"]
    found = {r.n_classes: r.times for r in recorded_layers()}
    nearest = found[min(found)]  # of the recorded sizes, the least is nearest to a V of 3,000
    assert truth(explorer) == pytest.approx(nearest["PyTorch's layer"].median / nearest["ours"].median)
    question, truth, *_ = PREDICTIONS["beside the bottom"]
    explorer.active = 1
    assert "Take the fastest c₂ and halve it" in question(explorer)
    at, seconds = explorer.curve(1)
    best = at[seconds.argmin()]
    half = np.interp(max(best / 2, explorer.limits(1)[0]), at, seconds)
    assert truth(explorer) == pytest.approx(100 * (half / seconds.min() - 1), rel=0.3, abs=0.5)
    with pytest.raises(LookupError, match="no recorded benchmark"):
        lf.recorded_ratio(explorer, [])
    with pytest.raises(TypeError, match="LiveTimingExplorer"):
        truth(object())


MODEL = "model's error"


def test_what_a_layer_takes_beyond_its_products_as_the_text_says():
    record = read_json(results_folder() / "bench-cost-cpu.json")
    summary, rows = record["summary"], timed_parts()
    assert f"{summary['layer over parts']:.2f} times as long as its parts" in lesson_text()
    assert f"{summary['layer over products']:.2f} times as long as its products alone" in lesson_text()
    assert f"medians of {len(rows)} layers" in lesson_text()
    assert f"{summary['speed']['least']:.2f} to {summary['speed']['most']:.2f} times as long" in lesson_text()
    errors = summary["layers, training"]
    assert f"off by {100 * errors['error']['median']:.0f} %" in lesson_text()
    assert f"{100 * errors[MODEL]['median']:.0f} % once" in lesson_text()
    card = error_of(still_explorer().cost.record)
    assert f"(The card's {percent(card)} is from the minutes in which the model was fitted.)" in lesson_text()
    off = f"had not seen it was off by {100 * errors[MODEL]['median']:.0f} %"
    assert off in lesson_text("03_time_model")
    figure = parts_figure(rows[:3])
    assert len(figure.data[0].x) == 3 and max(figure.data[1].x) < figure.layout.xaxis.range[1]
