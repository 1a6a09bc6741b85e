"""The lesson on live timing: jobs, bookkeeping, sentences and panels, with a clock of our own."""

import itertools
import json
import math
import threading

import numpy as np
import pytest
from adasoft.lessons.time_model.recorded import ALONE, recorded_layers
from labels import Labels
from panels import figure_of, finished, named, press, problem, said

from adasoft import MeasuredCost, Vocabulary
from adasoft.lessons import COUNTED_MULTIPLICATIONS, TimingExplorer
from adasoft.lessons.kit.grading import PREDICTIONS
from adasoft.lessons.live_timing import figures as lf
from adasoft.lessons.live_timing import panels as live_timing
from adasoft.lessons.time_model import recorded, timings
from adasoft.lessons.time_model.timings import FULL, OURS, PLAN, STOCK, Spread

KINDS = {"product": [1e-4, 3e-11, 5e-9, 2e-9, 6e-9, 0], "projection": [1e-5, 5e-11, 0, 0], "rows": [1e-5, 0, 0]}


@pytest.fixture
def explorer():
    cost = MeasuredCost({"train": KINDS, "decode": KINDS}, {"train": 5e-5, "decode": 1e-5}, name="made by hand")
    words = Vocabulary.synthetic(3000, name="synthetic")
    return TimingExplorer(words, cost=cost, batch=64, in_features=64, cutoffs=(200, 900))


@pytest.fixture
def clock(monkeypatch):
    """Layers that do nothing, and a clock by which each takes 1 ms for each word of its head (or of all)."""
    now = {"made": []}

    def steps(shape, device="cpu", dtype=None, *, sets=2, make=None, shares=None):
        now["made"].append((shape, make.__name__, device, str(dtype), len(shares)))
        seconds = 1e-3 * (shape.cutoffs or (shape.n_classes,))[0]
        return [lambda: seconds] * sets

    monkeypatch.setattr("adasoft.workloads.layer_steps", steps)
    monkeypatch.setattr("adasoft.timing._time_on_host", lambda step: step())
    return now


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
    assert not problem(curve) and "measured points" in said(curve)


# ---- panels


def test_bars_predictions_and_words(explorer, clock):
    box = live_timing.live_panel(explorer)
    figure = figure_of(box)
    assert np.isnan(figure.data[0].y).all() and "Nothing measured at these settings yet" in said(box)
    assert "it should take about" in said(box) and "Memory: about" in said(box)
    press(box, "Measure in turns")
    head = explorer.best_plan(explorer.cost).cutoffs[0]
    np.testing.assert_allclose(figure.data[0].y, [3000, 200, 200, head])
    assert list(figure.data[0].x) == [FULL, STOCK, OURS, PLAN] and list(figure.data[3].x) == [STOCK, OURS, PLAN]
    assert list(figure.data[1].x) == [FULL, OURS, PLAN]  # the model does not know PyTorch's
    predicted = explorer.layer_job().seconds(explorer.cost)
    np.testing.assert_allclose(figure.data[1].y, [1e3 * predicted[n] for n in (FULL, OURS, PLAN)])
    assert "Ours takes 15 times less than the full softmax." in said(box)
    assert "Ours and PyTorch's layer overlap: this measurement cannot tell them apart." in said(box)
    assert "too low" in said(box) and "made by hand" in said(box)
    assert {(m[1], m[2], m[3], m[4]) for m in clock["made"]} == {
        (make, "cpu", "torch.float32", 3000) for make in ("FullSoftmax", "stock", "ours")
    }
    explorer.cutoffs = (300, 900)  # these were not measured
    assert np.isnan(figure.data[0].y).all() and np.isfinite(figure.data[1].y).all()
    explorer.cutoffs = (200, 900)
    assert figure.data[0].y[0] == pytest.approx(3000)


def test_one_cutoff_moves_every_view(explorer, clock):
    boxes = live_timing.live_panel(explorer), live_timing.curve_panel(explorer)
    figures = [figure_of(box) for box in boxes]
    before = [figures[0].data[1].y[1], figures[1].data[3].x[0]]
    explorer.set_cutoff(0, 400)
    after = [figures[0].data[1].y[1], figures[1].data[3].x[0]]
    assert before[0] != after[0] and before[1] == 200 and after[1] == 400


def test_only_what_is_ticked_is_timed(explorer, clock):
    box = live_timing.live_panel(explorer)
    named(box, FULL).value = named(box, PLAN).value = False
    press(box, "Measure in turns")
    assert [m[1] for m in clock["made"]] == ["stock", "ours"]
    for name in (STOCK, OURS):
        named(box, name).value = False
    assert "nothing is ticked" in problem(box)


def test_wrong_is_one_click_away(explorer, clock, monkeypatch):
    box = live_timing.live_panel(explorer)
    press(box, "Measure in turns")
    ticking = itertools.accumulate(itertools.count())  # each shot takes longer than the one before: 1, 3, 5 ... s
    job = explorer.layer_job()
    quiet = lambda *_: None  # noqa: E731
    found = timings.time_layers_wrongly(job, device="cpu", dtype="float32", tick=quiet, clock=lambda: next(ticking))
    assert found == {FULL: 1, STOCK: 3, OURS: 5, PLAN: 7}
    press(box, "Time them wrongly")
    figure = figure_of(box)
    assert list(figure.data[2].x) == [FULL, STOCK, OURS, PLAN] and np.isfinite(figure.data[2].y).all()
    assert "Timed wrongly (once, cold, one after the other)" in said(box)
    times = {FULL: Spread(3.0, 3, 3, 5), OURS: Spread(0.5, 0.5, 0.5, 5)}
    text = lf.wrong_sentence(times, {FULL: 3.0, OURS: 1.0})
    assert "would read 3 times, where it is 6" in text


def test_recorded_machines_are_labelled(explorer, clock):
    box = live_timing.live_panel(explorer)
    shown = named(box, "shown")
    labels = [x for x in shown.options[1:] if "H200" not in x]
    kept = json.loads((recorded.results_folder() / "bench-layer-cpu.json").read_text())
    date = kept["date"][:10]
    assert labels and all("recorded" in x and date in x and kept["device"]["name"] in x for x in labels)
    shown.value = labels[0]
    text = said(box)
    assert "RECORDED, not this machine" in text and f"Recorded on {date}" in text and "bench-layer-cpu.json" in text
    (first,) = [r for r in recorded_layers() if r.label == labels[0]]
    figure = figure_of(box)
    assert list(figure.data[0].x) == [FULL, STOCK, OURS, ALONE]
    np.testing.assert_allclose(figure.data[0].y, [1e3 * first.times[n].median for n in figure.data[0].x])
    press(box, "Measure in turns")  # and back to this machine
    assert shown.value == live_timing.HERE and "RECORDED" not in said(box)
    assert list(figure.data[0].x) == [FULL, STOCK, OURS, PLAN]


def test_what_is_measured_is_never_called_recorded(explorer, clock, monkeypatch):
    """While it is measured, when it fails, and when the reader looks at something recorded meanwhile."""
    monkeypatch.setattr(live_timing, "now_and_then", lambda act: act)  # drawn as often as can be
    box = live_timing.live_panel(explorer)
    shown, figure = named(box, "shown"), figure_of(box)
    shown.value = shown.options[1]
    labels = Labels(monkeypatch, box, figure, figure.data[0].y)
    press(box, "Measure in turns")
    labels.check(changes=4)
    timed, stayed = timings.time_layers, []

    def looked_away(job, *, heard, **how):
        def also(name, seconds):
            heard(name, seconds)
            shown.value = shown.options[1]
            before = np.array(figure.data[0].y)
            heard(name, seconds)  # the figure stays that of the record
            stayed.append(np.array_equal(before, figure.data[0].y, equal_nan=True) and "RECORDED" in said(box))

        timed(job, heard=also, **how)

    monkeypatch.setattr(live_timing, "time_layers", looked_away)
    press(box, "Measure in turns")
    assert shown.value == shown.options[1] and len(stayed) >= 4 and all(stayed)
    labels.check(changes=8)
    monkeypatch.setattr(timings, "free_bytes", lambda device: 2.0**20)
    press(box, "Measure in turns")
    assert "would need about" in problem(box) and shown.value == live_timing.HERE and "RECORDED" not in said(box)
    labels.check(changes=9)
    curve = live_timing.curve_panel(explorer)
    labels = Labels(monkeypatch, curve, figure_of(curve), [-1.0], trace=1)
    monkeypatch.setattr(timings, "free_bytes", lambda device: 2.0**40)
    press(curve, "Measure the U-curve")
    labels.check(changes=10)
    assert any(text.startswith("Measuring here") for *_, text in labels.told)

    def broken(job, *, heard, **how):
        heard("200", 1.0)
        raise RuntimeError("unplugged")

    monkeypatch.setattr(live_timing, "time_layers", broken)
    before = np.array(figure_of(curve).data[1].y)
    press(curve, "Measure the U-curve")
    assert "unplugged" in problem(curve)
    np.testing.assert_array_equal(figure_of(curve).data[1].y, before)
    labels.check(changes=12)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b'{"device": 3}', b"{" * 9])
def test_a_damaged_record_is_said_in_the_panel(explorer, monkeypatch, tmp_path, content):
    (tmp_path / "bench-layer-x.json").write_bytes(content)
    monkeypatch.setattr(recorded, "results_folder", lambda: tmp_path)
    box = live_timing.live_panel(explorer)
    assert "bench-layer-x.json is no layer benchmark" in problem(box)
    assert named(box, "shown").options == (live_timing.HERE,) and "Predicted: full softmax" in said(box)


def test_a_recorded_gpu_shows_its_full_softmaxes_and_the_graph(explorer, clock):
    box = live_timing.live_panel(explorer)
    shown = named(box, "shown")
    (label,) = [x for x in shown.options if "H200" in x]
    shown.value = label
    kept = json.loads((recorded.results_folder() / "bench-layer-cuda.json").read_text())
    first = {row["what"]: row for row in kept["full"][:7]}
    figure, text = figure_of(box), said(box)
    assert list(figure.data[0].x) == [FULL, recorded.CUT, STOCK, OURS, recorded.GRAPH, ALONE]
    assert list(figure.data[0].y) == pytest.approx(
        [
            first[n]["ms"]
            for n in ("full: plain", "full: Cut Cross-Entropy", "stock", "ours", "ours, CUDA graph", "bare products")
        ]
    )
    assert list(figure.data[3].x) == [STOCK, OURS, recorded.GRAPH, ALONE]
    # in lines short enough to stand side by side
    assert figure.layout.xaxis.ticktext[1].split("<br>")[:3] == ["full, Cut", "Cross-", "Entropy"]
    assert figure.layout.xaxis2.ticktext[2].split("<br>")[:3] == ["ours,", "CUDA", "graph"]
    assert "RECORDED, not this machine" in text and "NVIDIA H200, bfloat16" in text and "bench-layer-cuda.json" in text
    # a question's answer is of the CPU records, whatever is nearer in V
    explorer.n_words = 250_000
    assert lf.recorded_ratio(explorer) < 2


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


def test_what_does_not_fit_into_memory_is_refused(explorer, clock, monkeypatch):
    monkeypatch.setattr(timings, "free_bytes", lambda device: 2.0**20)
    box, curve = live_timing.live_panel(explorer), live_timing.curve_panel(explorer)
    for panel, button in ((box, "Measure in turns"), (box, "Time them wrongly"), (curve, "Measure the U-curve")):
        press(panel, button)
        assert "would need about" in problem(panel) and "Take a smaller V, B or d" in problem(panel)
    assert clock["made"] == []


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
    assert "costs" in said(box) and "more than the measured best" in said(box)
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


def test_stop_keeps_the_points_so_far(explorer, clock, monkeypatch):
    gate, reached = threading.Event(), threading.Event()
    count = itertools.count()

    def timed(step):
        if next(count) == 3:
            reached.set()
            assert gate.wait(60)
        return step()

    monkeypatch.setattr("adasoft.timing._time_on_host", timed)
    box = live_timing.curve_panel(explorer)
    named(box, "Measure the U-curve").click()
    assert reached.wait(60)
    named(box, "Stop").click()
    gate.set()
    finished(named(box, "Measure the U-curve"))
    places = [cuts[0] for _, cuts, _ in explorer.curve_job().layers]
    assert list(figure_of(box).data[1].x) == places[:4] and next(count) == 4


def test_without_cutoffs_and_without_timings(explorer, monkeypatch, tmp_path, clock):
    explorer.cutoffs = ()
    box, curve = live_timing.live_panel(explorer), live_timing.curve_panel(explorer)
    assert "No cutoff, no curve" in said(curve)
    press(curve, "Measure the U-curve")
    assert "no cutoff to move" in problem(curve)
    press(box, "Measure in turns")
    assert list(figure_of(box).data[0].x) == [FULL, PLAN]
    with pytest.raises(LookupError, match="no timings or no cutoff"):
        lf.predicted_bottom(explorer)
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path))
    monkeypatch.setattr("adasoft.records.shipped_records", list)
    explorer.cost = COUNTED_MULTIPLICATIONS
    assert explorer.timings[0] is None
    explorer.cutoffs = (200,)
    assert "its first round" in said(box)
    press(box, "Measure in turns")
    assert "Measured: full softmax" in said(box) and "predicted" not in said(box).split("Measured:")[1]
    press(curve, "Measure the U-curve")
    assert "Lowest of" in said(curve) and "Prediction and points" not in said(curve)
    with pytest.raises(LookupError, match="no timings or no cutoff"):
        lf.price_of_half(explorer)


def test_measured_again_on_another_day(monkeypatch, tmp_path, clock):
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path))

    def start():
        return TimingExplorer("en", n_words=3000, batch=64, in_features=64, cutoffs=(200, 900), lesson="t")

    first = start()
    press(live_timing.live_panel(first), "Measure in turns")
    first._choices.flush()
    box = live_timing.live_panel(start())
    assert figure_of(box).data[0].y[0] == pytest.approx(3000) and "Measured on" in said(box)


def test_a_panel_shown_again_replaces_the_old_one(explorer):
    for make in (live_timing.live_panel, live_timing.curve_panel):
        old = make(explorer)
        slots = len(explorer._slots)
        make(explorer)
        assert len(explorer._slots) == slots and old.comm is None


# ---- words and questions


def test_differences_are_told_only_where_there_are_any():
    fast, slow, near = Spread(1.0, 0.9, 1.1, 9), Spread(4.0, 3.8, 4.2, 9), Spread(1.05, 1.0, 1.2, 9)
    text = lf.bars_sentence({FULL: slow, OURS: fast, STOCK: near, PLAN: slow}, {OURS: 1.3}, {}, "x")
    assert "Ours takes 4 times less than the full softmax" in text and "PyTorch's layer overlap" in text
    assert "The plan takes 4 times MORE than your cutoffs" in text
    assert "predicted 1.3 s: 30 % too high" in text and "off by 30.0 % (median)" in text
    assert timings.percent_off(20, 25) == "20 % too low" and timings.percent_off(1.001, 1) == "right to a percent"
    assert timings.percent_off(30, 10) == "3.0 times the measured time"


def test_the_bottom_in_words(explorer):
    """It says whether following the prediction costs anything, and never more than the spread allows."""
    places = [name for name, *_ in explorer.curve_job().layers]
    chosen = lf.predicted_best(explorer, {c: Spread(1.0, 1, 1, 3) for c in places})
    other = next(c for c in places if c != chosen)
    apart = {chosen: Spread(1.2, 1.1, 1.3, 9), other: Spread(1.0, 0.9, 1.05, 9)}
    assert "which costs 20.0 % more than the measured best" in lf.curve_sentence(explorer, apart)
    near = {chosen: Spread(1.2, 1.0, 1.3, 9), other: Spread(1.0, 0.9, 1.05, 9)}
    assert "this measurement cannot tell it from the best" in lf.curve_sentence(explorer, near)
    same = {chosen: Spread(0.9, 0.8, 1.0, 9), other: Spread(1.0, 0.9, 1.05, 9)}
    assert "is the measured best, too" in lf.curve_sentence(explorer, same)


def test_predictions(explorer, monkeypatch):
    _, truth, _ = PREDICTIONS["PyTorch beside ours"]
    found = {r.n_classes: r.times for r in recorded_layers()}
    nearest = found[min(found)]  # of the recorded sizes, the least is nearest to a V of 3,000
    assert truth(explorer) == pytest.approx(nearest["PyTorch's layer"].median / nearest["ours"].median)
    question, truth, _ = PREDICTIONS["beside the bottom"]
    explorer.active = 1
    assert "Only cutoff c2 moves" in question(explorer)
    at, seconds = explorer.curve(1)
    best = at[seconds.argmin()]
    half = np.interp(max(best / 2, explorer.limits(1)[0]), at, seconds)
    assert truth(explorer) == pytest.approx(100 * (half / seconds.min() - 1), rel=0.3, abs=0.5)
    monkeypatch.setattr(lf, "recorded_layers", list)
    with pytest.raises(LookupError, match="no recorded benchmark"):
        lf.recorded_ratio(explorer)
