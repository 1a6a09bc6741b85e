"""The lesson on the time model: the fit, the bookkeeping of measurements, and the panels, with a clock of our own."""

import itertools
import json
import math
import threading
import time
from pathlib import Path

import ipywidgets as w
import numpy as np
import pytest
import traitlets
from hypothesis import given
from hypothesis import strategies as st
from panels import every, figure_of, finished, named, press, problem, said

from adasoft import MeasuredCost, PaperCost, Vocabulary
from adasoft.lessons import COUNTED_MULTIPLICATIONS, TimingExplorer, predict
from adasoft.lessons.kit import parts
from adasoft.lessons.kit.exercises import judge
from adasoft.lessons.kit.grading import PREDICTIONS, grade, judged
from adasoft.lessons.time_model import cluster_figures as cf
from adasoft.lessons.time_model import figures as tf
from adasoft.lessons.time_model import measuring, race, timings
from adasoft.lessons.time_model import panels as time_model
from adasoft.lessons.time_model.exercises import EXERCISES, Device
from adasoft.lessons.time_model.explorer import BY_SHARE, COUNTED, EACH, TIMED
from adasoft.lessons.time_model.flat_affine import PAPER_FLAT, FlatAffine, fit_flat_affine, sweep_sizes
from adasoft.lessons.time_model.flat_panel import product_panel
from adasoft.lessons.time_model.line_cost import LineCost
from adasoft.lessons.time_model.stills import still_explorer
from adasoft.lessons.time_model.timings import HOT, ONCE, TURNS, Bench, Spread, Tally, bytes_text, spread, spreads
from adasoft.lessons.time_model.widgets import FlatLine, Race

KINDS = {"product": [1e-3, 3e-11, 5e-9, 2e-9, 6e-9, 0], "projection": [1e-4, 5e-11, 0, 0], "rows": [1e-4, 0, 0]}


def by_hand(name="made by hand"):
    return MeasuredCost({"train": KINDS, "decode": KINDS}, {"train": 5e-4, "decode": 1e-4}, name=name)


def no_costs(*_args, **_kw):
    raise LookupError


class Clock:
    """Steps that do nothing, and a clock that says how long they took: 1 ms for each word of theirs, plus 5 ms."""

    def __init__(self):
        self.step = 0

    def items(self, sizes, device="cpu", dtype=None, *, objective="train", sets=2):
        def step(k):
            return lambda: setattr(self, "step", k)

        return {size: [step(size[1]) for _ in range(sets)] for size in sizes}

    def timed(self, step):
        step()
        return 5e-3 + 1e-3 * self.step

    def bench(self, **more):
        return Bench(**{"product_items": self.items, "clock": self.timed, **more})


@pytest.fixture
def explorer():
    words = Vocabulary.synthetic(5000, name="synthetic")
    return TimingExplorer(words, cost=by_hand(), batch=64, in_features=64, cutoffs=(300, 1500), most=200)


@pytest.fixture
def clock(explorer):
    made = Clock()
    explorer.bench = made.bench()
    return made


def plot_of(box):
    return every(box, FlatLine)[0]


# ---- the paper's form and its fit


@given(st.floats(1e-6, 1e-2), st.floats(1e-9, 1e-4), st.floats(0, 1500), st.integers(5, 20), st.integers(30, 4000))
def test_the_fit_finds_the_line_that_made_the_points(c, lam, k0, points, most):
    made = FlatAffine(c, lam, k0)
    sizes = np.asarray(sweep_sizes(most, points), dtype=float)
    found = fit_flat_affine(sizes, made(sizes))
    np.testing.assert_allclose(found(sizes), made(sizes), rtol=1e-6)
    # c and lambda are known only if two sizes lie beyond k0, and k0 only if it lies among them
    if (sizes > k0).sum() >= 2 and sizes[0] < k0 and lam * (sizes[-1] - k0) > 0.01 * c:
        assert found.k0 == pytest.approx(k0, rel=1e-3, abs=1e-3 * (c / lam))
        assert found.lam == pytest.approx(lam, rel=1e-3)


def test_the_fit_is_the_best_of_many_lines():
    rng = np.random.default_rng(0)
    sizes = np.asarray(sweep_sizes(2000), dtype=float)
    seconds = FlatAffine(2e-4, 2e-6, 50)(sizes) * np.exp(0.1 * rng.standard_normal(len(sizes)))
    best = fit_flat_affine(sizes, seconds)
    least = (best.errors(sizes, seconds) ** 2).sum()
    for _ in range(3000):
        other = FlatAffine(*(np.array([best.c, best.lam, best.k0]) * np.exp(0.3 * rng.standard_normal(3))))
        assert (other.errors(sizes, seconds) ** 2).sum() >= least * (1 - 1e-9)
    grid = [
        FlatAffine(c, l, k)
        for c in np.geomspace(5e-5, 1e-3, 12)
        for l in np.geomspace(5e-7, 1e-5, 12)
        for k in (0, 1, 5, 20, 40, 60, 100)
    ]
    assert min((line.errors(sizes, seconds) ** 2).sum() for line in grid) >= least
    order = rng.permutation(len(sizes))
    assert fit_flat_affine(sizes[order], seconds[order]) == best


def test_a_line_and_its_refusals():
    line = FlatAffine(2e-4, 2e-6, 50)
    assert line(10) == line(50) == line.flat == pytest.approx(3e-4)
    assert line(100) == pytest.approx(4e-4) and line.start_in_words == pytest.approx(150)
    assert FlatAffine(1.0, 0.0, 0.0).start_in_words == math.inf
    told = "c = 0.2 ms, λ = 2 µs per word, k₀ = 50, so the flat part takes 0.3 ms"
    assert tf.line_text(line) == told
    assert line.cost(512) == PaperCost(2e-4, 2e-6 / 512, 50, 512.0, name="the paper's last form")
    assert line.cost(512).product_time(100, 512) == pytest.approx(line(100))
    for bad in ((-1, 0, 0), (0, math.nan, 0), (0, 0, math.inf)):
        with pytest.raises(ValueError, match="should be a finite number of at least 0"):
            FlatAffine(*bad)
    with pytest.raises(ValueError, match="at least 4 different k"):
        fit_flat_affine([1, 2, 2, 3], [1.0] * 4)
    with pytest.raises(ValueError, match="at least 4 different k"):
        fit_flat_affine([1, 2, 3, 4], [1.0] * 3)
    for seconds in ([1, 1, 0, 1], [1, 1, math.nan, 1]):
        with pytest.raises(ValueError, match="seconds above 0"):
            fit_flat_affine([1, 2, 3, 4], seconds)
    with pytest.raises(ValueError, match="at least 8"):
        sweep_sizes(7)
    assert sweep_sizes(2000)[0] == 1 and sweep_sizes(2000)[-1] == 2000


# ---- bookkeeping


def test_spreads_are_kept_and_only_shown_at_their_sizes():
    assert spread([3.0, 1.0, 2.0, 10.0, 4.0]) == Spread(3.0, 2.0, 4.0, 5)
    with pytest.raises(ValueError, match="no runs"):
        spread([])
    sizes = {"B": 4, "cutoffs": (1, 2), "device": "cpu"}
    tally = Tally(sizes, "cpu")
    for seconds in (1.0, 2.0, 3.0):
        tally.heard("a", seconds)
    kept = json.loads(json.dumps(tally.json()))
    assert spreads(kept, sizes) == {"a": Spread(2.0, 1.5, 2.5, 3)} == tally.spreads()
    assert kept["device"] and kept["date"].startswith("20")
    assert spreads(kept, {**sizes, "B": 5}) == {} == spreads(None, sizes)


def test_rounds_follow_the_time_there_is():
    assert timings.rounds_within(1.0, 10.0) == 8
    assert timings.rounds_within(100.0, 10.0) == 3 and timings.rounds_within(1e-4, 10.0) == 25
    assert timings.rounds_within(math.nan, 10.0) == 25
    text = measuring.estimate_text(100.0, 10.0, "x")
    assert "500.0 s" in text and "choose smaller sizes" in text
    assert "its first round" in measuring.estimate_text(math.nan, 10.0, "nobody")
    assert "several times as long" in measuring.estimate_text(1.0, 10.0, "recorded machine: x")


def test_a_busy_machine_is_warned_of_wherever_it_is_timed(explorer):
    assert "load 9.0 on 2 cores" in timings.busy_text((9.0, 2)) and timings.busy_text((0.3, 2)) == ""
    explorer.bench = Bench(load=lambda: (9.0, 2))
    for make in (time_model.wrong_timing_panel, product_panel):
        assert "This machine is busy (load 9.0 on 2 cores)" in said(make(explorer))


def test_memory_is_written_as_people_write_it():
    assert [bytes_text(x * 2**30) for x in (430, 1.0, 1.5, 9.96, 0.1, 2048)] == [
        "430 GiB",
        "1 GiB",
        "1.5 GiB",
        "10 GiB",
        "102 MiB",
        "2 TiB",
    ]


def test_what_is_too_large_is_refused(explorer):
    timings.check_memory(0.6 * 2**30, "cpu", "it", free=2.0**30)
    with pytest.raises(timings.TooLarge, match=r"it would need about 1 GiB, and 1 GiB are free.*smaller k, B or d"):
        timings.check_memory(1.0 * 2**30, "cpu", "it", free=2.0**30)
    explorer.bench = Bench(free_bytes=lambda device: 2.0**30)
    explorer.in_features = explorer.batch = 2**15
    box = product_panel(explorer)
    press(box, "Measure the products")
    assert "these products would need about" in problem(box)
    box = time_model.wrong_timing_panel(explorer)
    press(box, "Time it wrongly")
    assert "this product would need about" in problem(box)


def test_free_memory_is_told_by_the_system():
    free = timings.free_bytes("cpu")
    assert free > 2**20


def test_predictions_come_from_timings_that_fit_the_device(explorer, monkeypatch, tmp_path):
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path))
    assert explorer.timings == (explorer.cost, "made by hand")
    explorer.cost = COUNTED_MULTIPLICATIONS
    cost, whose = explorer.timings
    assert whose.startswith("recorded machine") and cost.record["device"]["type"] == "cpu"
    explorer.dtype = "bfloat16"
    assert "timed with float32, not bfloat16" in explorer.timings[1]
    cost, whose = timings.model_for(by_hand(), "cuda", "float32")
    assert cost.name == "made by hand"  # whoever made it knows
    for dtype in ("float32", "bfloat16"):  # of a GPU there is a record of each
        cost, whose = timings.model_for(explorer.timings[0], "cuda", dtype)
        assert cost.on_gpu and whose.startswith("recorded machine") and f", {dtype}, " in whose
    _, whose = timings.model_for(explorer.timings[0], "xpu", "float32")
    assert "another kind of device" in whose
    assert timings.model_for(COUNTED_MULTIPLICATIONS, "cpu", "float32", no_costs)[0] is None
    assert not timings.judges(cost, "cpu", "float32") and timings.judges(by_hand(), "cpu", "bfloat16")
    assert not explorer.judges  # float32 timings, bfloat16 wanted


def test_the_state_refuses_what_cannot_be(explorer):
    for name, bad, letter in (("n_words", 2, "V"), ("k", 0, "k"), ("most", 7, "the largest k")):
        with pytest.raises(traitlets.TraitError, match=f"{letter} should be (from|at least)"):
            setattr(explorer, name, bad)
    with pytest.raises(ValueError, match="lam should be"):
        explorer.line = (1.0, -1.0, 0.0)
    assert explorer.line == ()
    explorer.n_words = 1000
    assert len(explorer.vocabulary) == 1000 and explorer.cutoffs == (300,)
    with pytest.raises(ValueError, match="V should be at most 5,000, the words of synthetic, got 5,001"):
        explorer.take_first_words(5001)
    explorer.take_first_words(4000)
    assert len(explorer.vocabulary) == 4000 and explorer.vocabulary.name == "synthetic, first 4,000 words"


def test_choices_and_measurements_survive_a_restart(monkeypatch, tmp_path):
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path))

    def start():
        return TimingExplorer("en", n_words=5000, batch=64, in_features=64, cutoffs=(300, 1500), most=100, lesson="t")

    first = start()
    first.bench = Clock().bench()
    press(product_panel(first), "Measure the products")
    first.most, first.line, first.n_words = 50, (1e-3, 1e-6, 7.0), 3000
    first._choices.flush()
    again = start()
    assert (again.most, again.line, again.n_words) == (50, (1e-3, 1e-6, 7.0), 3000)
    assert again.swept() == first.swept() and len(again.swept()) >= 8
    assert len(TimingExplorer("en", lesson="other").vocabulary) > 100_000  # the cut words are this lesson's own
    again.forget()
    assert again.line == () and again.swept() == {} and again.n_words == 5000


@pytest.mark.parametrize("n_words", [3, 4, 10, 500, 1999, 2000, 2001, 2002, 10**9])
@pytest.mark.parametrize("words", ["en", Vocabulary.synthetic(50), Vocabulary([2, 1])], ids=["en", "50", "2"])
def test_any_number_of_words_has_cutoffs_that_fit(n_words, words):
    for one in (TimingExplorer(words, n_words=n_words), TimingExplorer(words)):
        assert one.cutoffs and one.cutoffs[-1] < len(one.vocabulary) and one.speedup > 0
        one.reset()
        assert one.cutoffs and one.cutoffs[-1] < len(one.vocabulary)
    with pytest.raises(traitlets.TraitError, match="cutoffs should rise"):
        TimingExplorer(words, n_words=n_words, cutoffs=(len(one.vocabulary),))  # what is named is not bent


# ---- timed wrongly


def test_wrong_and_right_ways(explorer, clock):
    ticking = itertools.count(0.0, 1.0)
    quiet = {"bench": explorer.bench, "device": "cpu", "tick": lambda *_: None}
    found = timings.wrong_ways(7, 8, 4, clock=lambda: next(ticking), **quiet)
    assert found == {ONCE: 1.0, HOT: 1.0}
    heard = []
    timings.right_way(7, 8, 4, seconds=10.0, heard=lambda *run: heard.append(run), **quiet)
    assert heard == [(TURNS, pytest.approx(12e-3))] * 25  # the other work is not heard of


def test_wrong_panel_keeps_its_presses(explorer, clock):
    box = time_model.wrong_timing_panel(explorer)
    assert "Nothing timed yet" in said(box)
    explorer.k = 20
    press(box, "Time it wrongly")
    assert "None of these can be judged" in said(box)
    press(box, "Time it properly")
    assert "Timed properly, the product takes 25 ms." in said(box) and "Half of 25 runs" in said(box)
    assert len([x for x in every(box, w.Button) if x.description == "Stop"]) == 1
    for _ in range(time_model.PRESSES + 1):
        press(box, "Time it wrongly")
    assert f"Your {time_model.PRESSES} single shots lie between" in said(box)
    (figure,) = every(box, parts.LiveFigure)
    assert figure.data[2].x[0] == pytest.approx(25.0)
    assert len([x for x in figure.data[0].y if x == ONCE]) == time_model.PRESSES - 1
    explorer.batch = 65  # another product: what was measured is not its
    assert "Nothing timed yet" in said(box)
    explorer.batch = 64
    assert "single shots" in said(box)


def test_the_sentence_says_it_as_it_came_out():
    right = Spread(10e-3, 9e-3, 11e-3, 9)
    assert (
        "within the quartiles of the honest runs, this time, by luck" in tf.wrong_sentence([{ONCE: 10.5e-3}], right)[0]
    )
    assert "3.0 times the honest median" in tf.wrong_sentence([{ONCE: 30e-3}], right)[0]
    assert "20.0 % more than" in tf.wrong_sentence([{ONCE: 12e-3}], right)[0]
    assert "only 30.0 % of" in tf.wrong_sentence([{ONCE: 20e-3, HOT: 3e-3}], right)[1]


# ---- flat, then affine


def test_points_appear_and_the_fit_beats_the_hand(explorer, clock):
    box = product_panel(explorer)
    plot = plot_of(box)
    assert plot.data["points"] == [] and plot.data["against"]["what"] == "dashed curve (the cost model)"
    assert len(plot.data["model"]) == 40 and "The paper's GPUs" in said(box)
    press(box, "Measure the products")
    points = plot.data["points"]
    assert [k for k, *_ in points] == explorer.sweep
    np.testing.assert_allclose([1e3 * median for _, median, *_ in points], [5 + k for k in explorer.sweep])
    assert plot.data["against"]["what"] == "measured points" and "Measured on " in said(box)
    assert "what the cost model predicts (median): made by hand" in said(box)  # how far the model is from the points
    named(box, "Fit for me").click()
    assert explorer.line == (pytest.approx(5e-3), pytest.approx(1e-3), 0.0)
    assert "Fitted to the measured points: median error" in said(box)
    assert max(abs(explorer.hand_line().errors(*explorer.to_fit()[:2]))) < 1e-9
    assert plot.line == list(explorer.line)
    explorer.in_features = 128
    assert plot.data["points"] == []  # measured at another d
    assert plot.data["before"]["label"] == "d = 64" and plot.data["before"]["points"] == points  # grey, beside
    press(box, "Measure the products")
    assert [k for k, *_ in plot.data["points"]] == explorer.sweep and plot.data["before"]["points"] == points


def test_points_that_come_are_said_to_be_measured_here(explorer, clock):
    box = product_panel(explorer, every=0.0)
    plot, told = plot_of(box), []
    plot.observe(lambda change: told.append((len(change["new"]["points"]), said(box))), "data")
    press(box, "Measure the products")
    coming = [(n, text) for n, text in told if 0 < n < len(explorer.sweep)]
    assert len(coming) >= 7  # drawn as they come; from the second on the label says so
    assert all("Measuring here, now" in text for _, text in coming[1:])
    assert "Measuring here" not in said(box)


def test_the_line_is_set_in_the_page(explorer):
    box = product_panel(explorer)
    plot, heard = plot_of(box), []
    assert plot.line == [explorer.hand_line().c, explorer.hand_line().lam, explorer.hand_line().k0]
    explorer.observe(lambda change: heard.append(change["new"]), "version")
    plot.line = [250e-6, 4e-6, 33.0]  # as the browser does
    assert explorer.line == (250e-6, 4e-6, 33.0) and heard
    assert explorer.hand_line() == FlatAffine(250e-6, 4e-6, 33.0)
    explorer.batch = 2560  # another product: that line says nothing of it
    assert explorer.line == () and plot.line == [explorer.hand_line().c, explorer.hand_line().lam, 50.0]
    explorer.line = (1e-3, 1e-5, 7.0)
    explorer.batch = 64
    assert explorer.line == (250e-6, 4e-6, 33.0) == tuple(plot.line)
    with pytest.raises(traitlets.TraitError, match="each at least 0"):
        plot.line = [-1.0, 4e-6, 33.0]


def test_a_guess_is_drawn(explorer):
    explorer.remember(tf.GUESS, 100.0)
    assert plot_of(product_panel(explorer)).data["guess"] == 100.0
    explorer.remember(cf.GUESS, 3.0)
    explorer.search(explorer.models()[TIMED], 3)
    figure = figure_of(time_model.clusters_panel(explorer))
    assert (
        figure.data[11].x[0] == 3
        and figure.data[11].showlegend
        and figure.data[11].y[0] == pytest.approx(explorer.found_shares(explorer.models()[TIMED])[3])
    )
    explorer.remember("guess worth of time", 10.0)
    figure = figure_of(time_model.replan_panel(explorer))
    assert figure.data[1].x[0] == pytest.approx(0.9e3 * list(cf.replan_rows(explorer).values())[1][1])


def test_the_papers_sizes_and_back(explorer):
    box = product_panel(explorer)
    named(box, "The paper's sizes").click()
    assert (explorer.batch, explorer.in_features, explorer.most) == (2560, 2048, 256)
    assert explorer.modelled([1]) == [] and plot_of(box).data["against"]["points"] == []
    named(box, "The paper's sizes").click()  # twice: one's own are not lost
    named(box, "My sizes again").click()
    assert (explorer.batch, explorer.in_features, explorer.most) == (64, 64, 200) and problem(box) == ""
    named(box, "My sizes again").click()
    assert "nothing to go back to" in problem(box)
    named(box, "The paper's sizes").click()
    named(box, "Fit for me").click()
    assert "nothing to fit a line to yet" in problem(box)


def test_the_papers_sizes_and_back_leave_a_guess_and_a_search_as_they_were(explorer):
    guessed = predict("worth of time", explorer, then=lambda: time_model.replan_panel(explorer))
    guessed.children[0].submit("50")
    said_then, result = guessed.children[0].verdict, explorer.recall("result worth of time")
    box = time_model.clusters_panel(explorer)
    press(box, "Search")
    found = explorer.found_shares(explorer.models()[TIMED])
    seen = []
    sizes = lambda: (len(explorer.vocabulary), explorer.in_features, explorer.batch)  # noqa: E731
    explorer.observe(lambda _: seen.append(sizes()), "version")
    mine = sizes()
    named(box, "The paper's sizes").click()
    assert np.isnan(figure_of(guessed).data[1].x[0])  # it was no guess of these sizes
    named(box, "My sizes again").click()
    assert seen == [(min(10_000, mine[0]), 128, 512), mine]  # in one step each: nothing is priced in between
    assert guessed.children[0].verdict == said_then and explorer.recall("result worth of time") == result
    assert result["truth"] == pytest.approx(max(0.1, 100 * cf.replan_gain(explorer)))
    assert found and explorer.found_shares(explorer.models()[TIMED]) == found
    assert figure_of(guessed).data[1].x[0] > 0


@pytest.mark.parametrize("impossible", ["150", "-5"])
def test_a_step_cannot_be_shorter_by_more_than_all_of_it(impossible, explorer):
    guessed = predict("worth of time", explorer)
    guessed.children[0].submit(impossible)
    assert f"The answer is from 0 to 100, got {impossible}." in guessed.children[0].verdict
    assert explorer.recall("guess worth of time") is None


def test_one_tail_too_many_is_no_factor():
    said = [judged(guess, 3, "tails, by the timings") for guess in (4, 1, 3, 3.5)]
    assert said == ["1 too many", "2 too few", "right", "close"]


def test_microseconds_taken_for_milliseconds_have_their_hint():
    assert "as if they were milliseconds" in grade("largest c", "0.40-50*2.4").hint


def test_what_two_clusters_cost_beyond_their_starts_is_what_the_text_says():
    explorer = still_explorer()
    cost = explorer.timings[0]
    text = lesson_text()
    counted, _, charged, timed = (explorer.shortlists(one) for one in explorer.models().values())
    head = int(counted.sizes[counted.root.argmin()])
    for curve, told in ((counted, "27 %"), (timed, "54 %")):
        assert f"{curve.root.min() / curve.full:.0%}".replace("%", " %") == told and told in text
    np.testing.assert_allclose(charged.root / charged.full, counted.root / counted.full, rtol=0.05)
    tokens, words = 64 * (1 - float(explorer.vocabulary.cumulative[head])), len(explorer.vocabulary) - head
    assert round(tokens) == 10 and "10 of 64 tokens, a sixth" in text
    few, all_of_them = (float(cost.product_time(words, b, 512)) for b in (tokens, 64))
    assert few / all_of_them == pytest.approx(0.5, abs=0.03)
    explorer.batch = 2560
    timed = explorer.shortlists(cost)
    assert round(100 * timed.root.min() / timed.full) == 28 and "the clock says 28 %" in text
    explorer.batch = 64
    explorer.cost = cost
    explorer.cutoffs = explorer.best_plan(cost).cutoffs
    times = [explorer.prediction.seconds]
    explorer.set_n_tails(4)
    times.append(explorer.prediction.seconds)
    assert "{:.2f} ms become {:.2f} ms".format(*(1e3 * t for t in times)) in text


def test_only_what_the_paper_prints_is_drawn(explorer):
    figure = tf.product_figure(explorer)
    drawn = lambda figure: [t for t in figure.data if "paper" in " ".join(t.text or ())]  # noqa: E731
    assert drawn(figure) == []  # of another product on another kind of machine it says nothing
    explorer.batch, explorer.in_features, explorer.product = 2560, 2048, list(timings.PRODUCTS)[1]
    marks = drawn(tf.product_figure(explorer))
    assert [list(t.x) for t in marks] == [[1.0, 50.0]] * 2
    assert [t.y[0] for t in marks] == [t.y[1] for t in marks] == [1e3 * s for s in PAPER_FLAT.values()]


def test_stop_ends_at_once_and_keeps_what_was_measured(explorer, clock):
    gate, reached = threading.Event(), threading.Event()
    count = itertools.count()

    def timed(step):
        step()
        if next(count) == 20:
            reached.set()
            assert gate.wait(60)
        return 1e-3

    explorer.bench = clock.bench(clock=timed)
    box = product_panel(explorer)
    start, stop = named(box, "Measure the products"), named(box, "Stop")
    assert stop.disabled
    start.click()
    assert reached.wait(60)
    explorer.k = 123  # the widgets are alive meanwhile
    other = time_model.wrong_timing_panel(explorer)
    assert named(other, "words k, typed").value == 123
    named(other, "Time it wrongly").click()
    assert "another measurement is running" in problem(other)
    stop.click()
    gate.set()
    finished(start)
    assert next(count) == 21  # nothing ran after the one under way
    kept = explorer.swept()
    assert sum(t.n for t in kept.values()) == 21 and len(kept) == len(explorer.sweep)
    press(box, "Measure the products")
    assert all(t.n == 25 for t in explorer.swept().values())


def test_a_measurement_of_old_sizes_is_kept_but_not_shown(explorer, clock):
    gate, reached = threading.Event(), threading.Event()
    count = itertools.count()

    def timed(step):
        step()
        if next(count) == 5:
            reached.set()
            assert gate.wait(60)
        return 1e-3

    explorer.bench = clock.bench(clock=timed)
    box = product_panel(explorer)
    named(box, "Measure the products").click()
    assert reached.wait(60)
    explorer.batch = 99
    gate.set()
    finished(named(box, "Measure the products"))
    assert explorer.swept() == {} and plot_of(box).data["points"] == []
    explorer.batch = 64
    assert len(explorer.swept()) == len(explorer.sweep)


def test_what_fails_in_the_thread_is_shown(explorer):
    def broken(*_args, **_kw):
        raise RuntimeError("no such\nthing")

    explorer.bench = Bench(product_items=broken)
    box = product_panel(explorer)
    press(box, "Measure the products")
    end = time.monotonic() + 30
    while "RuntimeError: no such thing" not in problem(box):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_real_products_are_timed(explorer, one_thread):
    explorer.most = 16
    box = product_panel(explorer)
    named(box, "measure for").value = 5.0
    for what in timings.PRODUCTS:
        explorer.product = what
        press(box, "Measure the products")
        assert not problem(box)
        swept = explorer.swept()
        assert list(swept) == explorer.sweep
        assert all(0 < t.q1 <= t.median <= t.q3 for t in swept.values())
    other = time_model.wrong_timing_panel(explorer)
    explorer.k = 10
    press(other, "Time it wrongly")
    press(other, "Time it properly")
    assert not problem(other) and "in turns with other work" in said(other)


# ---- clusters and plans


def test_clusters_under_each_model(explorer):
    box = time_model.clusters_panel(explorer)
    figure = figure_of(box)
    assert "Press “Search”" in said(box)
    assert list(explorer.models()) == [COUNTED, BY_SHARE, EACH, TIMED]
    assert [t.name for t in figure.data[:4]] == [COUNTED, BY_SHARE, EACH, f"{TIMED} (this machine)"]
    assert len({t.line.width for t in figure.data[:8]}) == 1
    press(box, "Search")
    for i, cost in enumerate(explorer.models().values()):
        plans = explorer.found(cost)
        assert list(plans) == list(range(11)) == list(figure.data[4 + i].x)
        np.testing.assert_allclose(figure.data[4 + i].y, [p.time / p.full.seconds for p in plans.values()])
        two = explorer.shortlists(cost)
        assert figure.data[8].x[i] == two.sizes[two.root.argmin()]
    counted, *_, timed = (min(explorer.found(c).values(), key=lambda p: p.time) for c in explorer.models().values())
    assert counted.n_tails > timed.n_tails  # a constant of 1 ms at B = 64
    assert f"Least time on this machine, at B = 64: {timed.n_tails} tail" in said(box)
    assert "Press “Search” again" not in said(box)
    first = list(figure.data[7].y)
    explorer.batch = 128
    assert "an exact search" in said(box) and np.isnan(figure.data[4].y).all()
    assert list(figure.data[10].y) == first and figure.data[10].name.startswith("timings at B = 64")  # stays, grey
    press(box, "Search")
    assert list(figure.data[10].y) == first and "At B = 64" in said(box)


def test_two_clusters_beside_the_paper(explorer):
    box = time_model.clusters_panel(explorer)
    assert "1,400 words best, 2.4 times faster" in said(box) and "to compare" in said(box)
    explorer.vocabulary = Vocabulary.synthetic(12_000, name="synthetic")
    named(box, "The paper's sizes").click()
    assert (len(explorer.vocabulary), explorer.in_features, explorer.batch) == (10_000, 128, 512)
    two = explorer.shortlists(explorer.timings[0])
    best = int(two.root.argmin())
    gain = float(two.full / two.root[best])
    verdict = "larger" if gain > 1.05 * 0.80 / 0.33 else "smaller" if gain < 0.80 / 0.33 / 1.05 else "agree"
    assert f"{int(two.sizes[best]):,} words, {gain:.1f} times faster" in said(box) and verdict in cf.beside_two(
        explorer
    )
    named(box, "My sizes again").click()
    assert (explorer.in_features, explorer.batch) == (64, 64)


def test_what_is_not_searched_yet_is_named(explorer):
    cf.plans_compared(explorer)
    assert cf.number_sentence(explorer)[0] == f"Press “Search” for the curves “{BY_SHARE}” and “{EACH}”."


def test_why_the_forms_differ_as_the_text_says():
    """The table of lesson 03, and the share of batches that open a tail: computed, and compared with the page."""
    explorer, found = still_explorer(), {}
    for batch in (64, 2560):
        explorer.batch = batch
        line = explorer.model_line()
        models = {
            "first": LineCost.of(line, batch, "first"),
            "last": LineCost.of(line, batch, "last"),
            "expected": LineCost.of(line, batch, "expected"),
            "timings": explorer.timings[0],
            "counting": COUNTED_MULTIPLICATIONS,
        }
        for name, cost in models.items():
            found[name, batch] = explorer.best_plan(cost, 10).n_tails
    text = lesson_text()
    rows = [row.rsplit("|", 3)[1:3] for row in text.splitlines() if row.startswith("| ") and "best" not in row]
    told = [[int(x) for x in row] for row in rows]
    assert told == [
        [found[name, 64], found[name, 2560]] for name in ("first", "last", "expected", "timings", "counting")
    ]
    assert f"{100 * (1 - 0.95**64):.0f} % of all batches of 64" in text
    counted = explorer.best_plan(COUNTED_MULTIPLICATIONS, 10)
    assert min(np.diff([0, *counted.cutoffs])) == 1 and "a tail of a single word" in text


def lesson_text(name="03_time_model"):
    path = Path(__file__).resolve().parents[2] / "notebooks" / f"{name}.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells)


def test_few_words_make_few_tails(explorer):
    explorer.vocabulary = Vocabulary([9, 4, 2, 1, 1], name="five")
    box = time_model.clusters_panel(explorer)
    press(box, "Search")
    assert not problem(box)
    assert max(explorer.found(explorer.cost)) < 5
    assert explorer.best_plan(explorer.cost).n_tails in range(5)


def test_replanning_by_time(explorer):
    box = time_model.replan_panel(explorer)
    rows = cf.replan_rows(explorer)
    (_, slow), (cuts, fast) = list(rows.values())[1:]
    assert fast < slow and cf.replan_gain(explorer) == pytest.approx(1 - fast / slow)
    assert cuts == cf.timed_plan(explorer).cutoffs
    assert "Planned by counts:" in said(box) and "of a step less" in said(box)
    (figure,) = every(box, parts.LiveFigure)
    np.testing.assert_allclose(figure.data[0].x, [1e3 * s for _, s in rows.values()][::-1])
    explorer.cost = COUNTED_MULTIPLICATIONS
    explorer._timings[COUNTED_MULTIPLICATIONS, "cpu", "float32"] = by_hand(), "made by hand"
    named(box, "Take the timed plan").click()
    assert explorer.cost.name == "made by hand" and 1 <= len(explorer.cutoffs) <= 5
    assert explorer.prediction.seconds == pytest.approx(explorer.best_plan(explorer.cost).time)
    words = named(box, "words V")
    words.value = 2000
    assert len(explorer.vocabulary) == 2000
    words.value = 1
    assert "V should be at least 3" in problem(box) and words.value == 2000
    words.value = 9000
    assert "V should be at most 5,000" in problem(box) and words.value == 2000  # refused, not silently changed


def test_without_timings_it_is_said(explorer):
    explorer.bench = Bench(costs=no_costs)
    explorer.cost = COUNTED_MULTIPLICATIONS
    assert explorer.timings[0] is None and next(iter(explorer.models())) == COUNTED
    assert len(explorer.models()) == 3
    box = product_panel(explorer)
    assert plot_of(box).data["against"]["points"] == [] and "nothing is predicted" in said(box)
    assert "Best head with one tail" in said(time_model.clusters_panel(explorer))
    with pytest.raises(LookupError, match="no timings to plan with"):
        cf.replan_rows(explorer)
    answer = predict("worth of time", explorer).children[0]
    answer.submit("3")
    assert "there are no timings" in answer.verdict


def test_stills_say_whose_timings_they_show():
    assert cf.whose(still_explorer()) == "recorded machine"


def test_lines_and_points_belong_to_their_sizes(explorer, clock):
    box = product_panel(explorer)
    named(box, "Fit for me").click()
    assert "There are no points of these sizes" in said(box) and "e-" not in said(box)
    for batch in (64, 128, 256):
        explorer.batch = batch
        press(box, "Measure the products")
    assert "take twice the time of one" in said(box)
    for batch in (64, 128, 256):  # each is still there
        explorer.batch = batch
        assert list(explorer.swept()) == explorer.sweep and explorer.line_is_yours
    explorer.batch = 512
    assert explorer.swept() == {} and not explorer.line_is_yours
    named(box, "Fit for me").click()
    stale = explorer.line
    explorer.batch = 64
    assert explorer.line != stale
    assert explorer.model_line() == explorer.fitted_line()  # the paper's forms follow the sizes


def test_the_guess_of_the_best_number_is_for_its_own_batch(explorer):
    truth = PREDICTIONS["best number"].truth
    before = truth(explorer)
    explorer.batch = 2560
    assert truth(explorer) == before
    explorer.remember(cf.GUESS, 3.0)
    assert np.isnan(figure_of(time_model.clusters_panel(explorer)).data[11].x[0])


@pytest.mark.parametrize("key", ["twice the time", "best number", "worth of time"])
def test_every_guess_names_its_batch_and_its_panel_starts_there(key, explorer):
    asked, truth = PREDICTIONS[key].question, PREDICTIONS[key].truth
    at_64 = truth(explorer)
    explorer.batch = 2560
    assert "B = 64" in (asked if isinstance(asked, str) else asked(explorer))
    assert truth(explorer) == pytest.approx(at_64)
    guessed = predict(key, explorer, then=lambda: w.Label(str(explorer.batch)))
    guessed.children[0].submit("3")
    assert explorer.batch == 64 and guessed.children[1].children[0].value == "64"
    explorer.batch = 2560
    predict(key, explorer, then=w.Label)
    assert explorer.batch == 2560  # shown again after a restart, it leaves the sizes alone


def test_no_mark_of_a_guess_at_another_batch(explorer):
    for key in (tf.GUESS, cf.GUESS, "guess worth of time"):
        explorer.remember(key, 10.0)
    explorer.batch = 2560
    assert plot_of(product_panel(explorer)).data["guess"] is None
    assert np.isnan(figure_of(time_model.replan_panel(explorer)).data[1].x[0])


def test_the_verdict_is_read_from_the_points():
    """Points that are flat up to 33 words and then steep: the best line, which misses them, is not asked."""
    sizes, seconds = [1, 2, 4, 8, 16, 33, 60, 120, 240], [0.66, 0.66, 0.67, 0.68, 0.7, 0.75, 1.68, 2.2, 3.4]
    assert 33 < tf.twice(sizes, seconds) < 60 and tf.flat_until(sizes, seconds) == 33
    assert math.isnan(tf.twice([1, 2, 4], [1.0, 3.0, 1.5]))  # one slow point doubles nothing
    assert tf.twice([1, 10, 100], [1.0, 1.0, 4.0]) == pytest.approx(10**1.5)
    explorer = still_explorer()
    times = {str(k): [1e-3 * s, 1e-3 * s, 1e-3 * s, 25] for k, s in zip(sizes, seconds, strict=True)}
    explorer.remember(tf.GUESS, 50.0)
    explorer.note_sweep({"sizes": explorer.product_sizes, "device": "x", "date": "2026-01-01", "times": times})
    told = tf.yours_for_twice(explorer)
    words = f"{tf.twice(sizes, seconds):,.0f} words"
    assert told == (
        f"By your points, {words} take twice the time of one. Your guess, 50, is scored by the cost model, above."
    )
    more = tf.disagreement(explorer)
    assert "By your points, 33 words take at most 20 % longer than one." in more
    assert tf.trust_the_points(explorer).endswith(": trust the points.")
    assert "not flat" not in more


def test_a_note_goes_with_its_sizes_and_points(explorer, clock):
    box = product_panel(explorer)
    named(box, "Fit for me").click()
    assert "There are no points of these sizes" in said(box)
    press(box, "Measure the products")
    assert "There are no points" not in said(box)
    named(box, "Fit for me").click()
    assert "Fitted to the measured points" in said(box)
    named(box, "Fit for me").click()
    assert "Your line was the best one already" in said(box)
    explorer.batch = 128
    assert "the best one already" not in said(box)
    named(box, "The paper's sizes").click()
    assert "The paper's product" in said(box)


def test_the_gain_of_a_timed_plan_is_what_the_text_says():
    explorer = still_explorer()
    gains = [cf.replan_gain(explorer, batch) for batch in (64, 2560)]
    assert gains == [pytest.approx(1 / 3, abs=0.01), pytest.approx(0.013, abs=0.005)]
    assert "At $B = 64$ the clock saves a third of a step, at $B = 2{,}560$ next to nothing" in lesson_text()


def test_paper_forms_know_narrow_tails():
    line = FlatAffine(1e-4, 1e-6, 0.0)
    narrow, wide = LineCost.of(line, 64, "last"), line.cost(64, "last")
    assert narrow.tail_time(1000, 0.5, 64, 512, 512, "train") == wide.tail_time(1000, 0.5, 64, 512, 512, "train")
    assert narrow.tail_time(1000, 0.5, 64, 512, 128, "train") == wide.tail_time(378, 0.5, 64, 512, 128, "train")


def test_a_panel_shown_again_replaces_the_old_one(explorer):
    for make in (
        time_model.wrong_timing_panel,
        product_panel,
        time_model.clusters_panel,
        time_model.replan_panel,
    ):
        make(explorer)
        slots = len(explorer._slots)
        old = make(explorer)
        make(explorer)
        assert len(explorer._slots) == slots and old.comm is None


def test_figures_take_pushes_without_loss(explorer):
    for make, data in ((cf.replan_figure, cf.replan_data), (cf.clusters_figure, cf.clusters_data)):
        widget = parts.live(make(explorer))
        widget.push(*data(explorer))
        assert all(len(t.x) == len(t.y) for t in widget.data if t.y is not None)


# ---- questions


@pytest.mark.parametrize("key", ["twice the time", "best number", "worth of time"])
def test_predictions(key, explorer):
    question, truth, unit, *_ = PREDICTIONS[key]
    assert unit and (question if isinstance(question, str) else question(explorer))
    assert truth(explorer) > 0
    if key == "twice the time":
        took = explorer.cost.product_time(np.array([1.0, truth(explorer)]), 64, explorer.in_features)
        assert took[1] == pytest.approx(2 * took[0], rel=1e-3)
    with pytest.raises(TypeError, match="TimingExplorer"):
        truth(object())


# ---- the race, and what the reader writes


def test_the_races_are_recorded_and_the_bets_are_kept(explorer):
    box = time_model.race_panel(explorer)
    (widget,) = every(box, Race)
    times, name = race.recorded_products()
    assert name in widget.data["source"] and "another machine" in widget.data["source"]
    for one, (_, small, large, _why) in zip(widget.data["races"], race.PAIRS, strict=True):
        for runner, shape in zip(one["runners"], (small, large), strict=True):
            assert (runner["seconds"], runner["work"]) == (times[shape], math.prod(shape))
    ratios = [
        (r["runners"][1]["work"] / r["runners"][0]["work"], r["runners"][1]["seconds"] / r["runners"][0]["seconds"])
        for r in widget.data["races"]
    ]
    # each answer is right once, and the bars agree: large, together (within 5 %), small, as counting says
    assert ratios[0][0] == 256 and ratios[0][1] < 0.95 and ratios[1][0] > 4 and 0.95 < ratios[1][1] < 1.05
    assert race.OPEN not in [(small, large) for _, small, large, _ in race.PAIRS]  # the picture gives no answer away
    small, large = (runner["seconds"] for runner in race.open_race()["runners"])
    assert large < small / 4
    assert ratios[2][0] == pytest.approx(ratios[2][1], rel=0.1)
    widget.bets = {"1": "together"}
    assert explorer.recall("race bets") == {"1": "together"}
    assert every(time_model.race_panel(explorer), Race)[0].bets == {"1": "together"}


@pytest.mark.parametrize("hint", EXERCISES["stopwatch"].bugs)
def test_each_bug_of_the_stopwatch_is_named(hint):
    exercise = EXERCISES["stopwatch"]
    assert judge(exercise, exercise.solution).status == "correct"
    found = judge(exercise, exercise.bugs[hint])
    assert found.status != "correct" and hint in found.text


def test_the_simulated_device_works_behind_the_programs_back():
    device = Device((9.0, 2.0), hand_over=0.5)
    device.run()
    assert device.clock() == 0.5
    device.wait()
    assert device.clock() == 9.5
    device.wait()
    assert device.clock() == 9.5 and "9, 2 s" in repr(device)
