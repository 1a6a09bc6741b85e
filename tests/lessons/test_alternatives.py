"""The lesson on alternatives: small models, W and N, experts, skipped tails, cases, stored results; a clock of ours."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from labels import Labels
from panels import figure_of, finished, named, problem, said
from safetensors import safe_open

from adasoft import Vocabulary
from adasoft.alternatives import DoublySparseSoftmax
from adasoft.alternatives.doubly_sparse_training import Step
from adasoft.alternatives.svd_softmax import SVDSoftmax
from adasoft.decoding import accuracy
from adasoft.lessons.alternatives import case_panel as cp
from adasoft.lessons.alternatives import cases as sc
from adasoft.lessons.alternatives import experts as ex
from adasoft.lessons.alternatives import explorer as al
from adasoft.lessons.alternatives import figures as af
from adasoft.lessons.alternatives import panels as ap
from adasoft.lessons.alternatives import sentences as se
from adasoft.lessons.alternatives import small_models, windows
from adasoft.lessons.alternatives import stored as sa
from adasoft.lessons.kit import parts
from adasoft.lessons.kit.explorer import LIVE
from adasoft.lessons.kit.grading import PREDICTIONS
from adasoft.lessons.kit.stills import recorded_cost
from adasoft.lessons.time_model import timings
from adasoft.lessons.time_model.timings import Spread
from adasoft.results.folders import results_folder

pytestmark = pytest.mark.usefixtures("one_thread")
QUIET = {"tick": lambda _done, _text: None, "heard": lambda *_: None}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path / "cache"))


def made(**more):
    words = Vocabulary.synthetic(3000, name="synthetic")
    sizes = {"n_words": 2000, "in_features": 32, "batch": 16, "cutoffs": (200, 900)}
    return al.AlternativesExplorer(words, cost=recorded_cost(), **{**sizes, **more})


@pytest.fixture
def explorer():
    return made()


@pytest.fixture
def clock(monkeypatch):
    """A clock by which the n-th thing that is timed takes n ms, three times; each runs once."""

    def interleave(items, *, progress, heard, **_how):
        for i, (name, steps) in enumerate(items.items()):
            progress(i / len(items), name)
            steps[0]()
            for _ in range(3):
                heard(name, 1e-3 * (i + 1))

    monkeypatch.setattr("adasoft.timing.interleave", interleave)


#: Experts trained for six epochs on few points.
QUICK = {"epochs": 6, "n_items": 10}


def press(box, text):
    button = named(box, text)
    assert not button.disabled
    button.click()
    finished(named(box, "Train") if text == "Go on" else button)


# ---- the small models


def test_the_file_is_small_and_says_where_it_comes_from():
    path = results_folder() / small_models.FILE
    assert path.stat().st_size <= 1.5 * 2**20
    models = small_models.small_models()
    n, d = len(models.words), models.full.in_features
    assert 7_000 <= n <= 12_000 and d <= 64 and len(models.states) == small_models.STATES
    for key in ("licence", "source", "digest", "command", "date", "device", "torch", "perplexity", "settings"):
        assert models.about[key]
    assert models.about["command"].startswith("python -m adasoft.")
    with safe_open(path, "pt") as file:
        assert {str(file.get_slice(k).get_dtype()) for k in ("full", "states")} == {"F16"}
    assert "the" in models.words[:20] and all(word and word == word.strip() for word in models.words)


def test_the_small_models_predict_the_text():
    """What is stored belongs together: the next words are as likely as the perplexity says."""
    models = small_models.small_models()
    for layer, states, name in (
        (models.full, models.states, "full"),
        (models.adaptive, models.adaptive_states, "adaptive"),
    ):
        with torch.no_grad():
            nll = float(layer(states, models.targets).loss)
        assert math.exp(nll) == pytest.approx(models.about["perplexity"][name], rel=0.25)
    best = models.full.topk(models.states, 10).indices
    for one in models.experts:
        for k in small_models.TOPS:
            assert one.found[f"full right {k}"] == pytest.approx(accuracy(best, models.targets, k), abs=0.01)


def test_stored_experts_route_as_they_were_measured():
    models = small_models.small_models()
    assert len(models.experts) >= 3
    for one in models.experts:
        softmax = one.rebuilt(models.full)
        assert softmax.sizes.tolist() == one.found["sizes"] == one.members.sum(1).tolist()
        assert bool(one.members.any(0).all())  # no word fell out of all experts
        shares = softmax.measure(models.states)
        np.testing.assert_allclose(shares, one.found["shares"], atol=0.01)  # the gate is kept in fp16
        assert softmax.utilisation == pytest.approx(one.found["utilisation"], rel=0.02)


def test_a_missing_or_broken_file_is_said(tmp_path):
    with pytest.raises(LookupError, match=r"python -m adasoft.lessons.alternatives.small_models"):
        small_models.small_models(tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"not tensors")
    with pytest.raises(ValueError, match="does not hold the small models"):
        small_models.small_models(tmp_path / "bad.safetensors")


# ---- W and N


def test_window_quality_is_that_of_svd_softmax(explorer):
    explorer.width, explorer.n_full = 12, 300
    svd = SVDSoftmax(explorer.small.full, 12, 300)
    found = explorer.quality()
    assert found["recall 10"] == pytest.approx(svd.recall(explorer.reported, 10))
    assert found["recall 1"] == pytest.approx(svd.recall(explorer.reported, 1))
    assert found["divergence"] == pytest.approx(svd.divergence(explorer.reported), rel=1e-6)
    assert found["utilisation"] == svd.utilisation
    places, curve = explorer.recall_curve()
    assert (np.diff(curve) >= 0).all() and curve[-1] == 1.0
    assert found["recall 10"] >= np.interp(300, places, curve) - 0.02  # what N guarantees
    explorer.width = explorer.small.full.in_features
    assert explorer.quality()["recall 10"] > 0.999 and explorer.quality()["divergence"] < 1e-6


def test_w_and_n_move_words_curve_and_sentence(explorer):
    box = ap.svd_panel(explorer)
    figure = figure_of(box)
    before = [np.array(figure.data[i][axis]) for i, axis in ((1, "x"), (2, "y"), (3, "y"))]
    explorer.width = 24
    after = [np.array(figure.data[i][axis]) for i, axis in ((1, "x"), (2, "y"), (3, "y"))]
    assert all(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert "W = 24 of" in said(box) and figure.layout.xaxis2.title.text.endswith("W = 24")
    named(box, "width W of the preview").value = 10
    assert explorer.width == 10
    named(box, "width W of the preview").value = 1000
    assert "W should be from 1 to" in problem(box) and explorer.width == 10
    named(box, "words N that are re-scored").value = 77.0
    assert explorer.n_full == 77 and figure.data[3].x[0] == 77
    y = tuple(figure.data[0].y)
    named(box, "hidden state, number").value = 500.0
    assert explorer.place == 500 and tuple(figure.data[0].y) != y
    words, full, _ = explorer.top_words()
    assert full == sorted(full, reverse=True) and set(words) <= set(explorer.small.words)


def test_choose_for_me(explorer):
    box = ap.svd_panel(explorer)
    named(box, "wanted recall, %").value = 90.0
    press(box, "Choose for me")
    assert not problem(box) and f"W = {explorer.width}, N = {explorer.n_full:,}" in said(box)
    assert explorer.window().recall(explorer.chosen_by, 10) >= 0.9
    low = explorer.quality()["utilisation"]
    named(box, "wanted recall, %").value = 99.5
    press(box, "Choose for me")
    assert explorer.quality()["utilisation"] > low
    named(box, "wanted recall, %").value = 0.0
    assert "should be from 1 to 100" in problem(box) and explorer.wanted == 99.5


def test_windows_are_timed(explorer, clock):
    box = ap.svd_panel(explorer)
    assert "Nothing timed yet" in said(box)
    press(box, "Time W and N")
    assert not problem(box)
    points = explorer.recall("svd windows")["points"]
    assert points[0][:2] == ["full softmax", 1e-3] and points[0][2] == 1.0
    assert [p[1] for p in points] == [pytest.approx(1e-3 * (i + 1)) for i in range(len(points))]
    assert list(figure_of(box).data[4].x) == [pytest.approx(i + 1) for i in range(len(points))]
    assert "times SLOWER than the full softmax" in said(box)  # by this clock


# ---- experts


def test_the_recorded_experts_recover_the_groups():
    kept = sa.record()["experts"]
    groups = [set(range(10 * g, 10 * g + 10)) for g in range(10)]
    assert kept["exact"] == sum(any(set(one) == g for one in kept["known"]) for g in groups) >= 8
    assert kept["step"] == kept["steps"] and kept["rows"] == sum(map(len, kept["known"]))


@pytest.mark.long
def test_experts_recover_the_groups():
    """The paper's claim at the sizes of the lesson, and what the panel says of it."""
    explorer = made()
    explorer.train_experts(from_start=True, **QUIET)
    kept = explorer.recall("experts")
    assert kept["exact"] >= 8 and kept["step"] == kept["steps"]
    assert sum(map(len, kept["known"])) == kept["rows"] < 200
    assert f"{kept['exact']} of the 10 true groups" in se.experts_sentence(kept)
    assert ex.utilised(kept) == pytest.approx(0.2, abs=0.05)


def test_experts_are_trained_stopped_and_gone_on_with():
    explorer = made(**QUICK)
    box = ap.experts_panel(explorer)
    assert "Nothing trained yet" in said(box)
    press(box, "Go on")
    assert "there is nothing to continue" in problem(box)
    steps = itertools.count()

    def stop_at_five(_done, _text):
        if next(steps) == 4:
            raise parts.Stopped

    with pytest.raises(parts.Stopped):
        explorer.train_experts(from_start=True, tick=stop_at_five, heard=lambda _: None)
    assert explorer.recall("experts")["step"] == 5 and explorer.checkpoint.exists()
    explorer.threshold = 0.1
    press(box, "Go on")
    assert "other settings" in problem(box)
    explorer.threshold = 0.03
    press(box, "Go on")
    kept = explorer.recall("experts")
    assert not problem(box) and kept["step"] == kept["steps"] == 12
    straight = made(**QUICK)
    straight.train_experts(from_start=True, **QUIET)
    assert straight.recall("experts")["known"] == kept["known"]  # as if it had never stopped
    press(box, "Go on")
    assert "this training is finished" in problem(box)
    figure = figure_of(box)
    assert len(figure.data[0].x) == kept["rows"] and figure.data[2].y[-1] == kept["points"][-1][1]


def test_the_controls_of_the_experts():
    explorer = made(**QUICK)
    box = ap.experts_panel(explorer)
    named(box, "number of experts K").value = 4.0
    named(box, "pruning threshold").value = 0.05
    named(box, "clone them in stages (mitosis)").value = True
    assert explorer.expert_settings.stages == (2, 4) and explorer.expert_settings.threshold == 0.05
    press(box, "Train")
    kept = explorer.recall("experts")
    assert not problem(box) and len(kept["known"]) == 4 and "4 experts (2 then 4)" in said(box)
    named(box, "number of experts K").value = 5.0
    assert explorer.expert_settings.stages == (5,) and "with other settings" in said(box)
    named(box, "number of experts K").value = 21.0
    assert "should be from 1 to 20" in problem(box)


def test_the_last_step_is_told_wherever_it_stops():
    """Between two ends of epochs, too: their sizes and loss are those of the last step."""
    settings = made(**QUICK).expert_settings
    state, softmax = ex.Watched({}, settings, 10), DoublySparseSoftmax(100, 100, 10)
    for step, task in enumerate((4.0, 3.0, 2.0, 1.5)):  # two steps in an epoch
        state.see(Step(step, 0, 10, 1000 - step, task, 0.0, 0.0, 0.0, task), softmax)
    assert [point[0] for point in state.now["points"]] == [1, 3] and state.now["step"] == 4
    state.finish()
    assert state.now["task"] == 1.5 and state.now["rows"] == 1000 and state.now["steps"] == 12


def test_emptied_experts_are_said():
    kept = {
        "known": [[1, 2], []],
        "sizes": {"stages": [2], "threshold": 0.3, "epochs": 1},
        "points": [[1, 200, 4.0]],
        "step": 1,
        "steps": 9,
        "exact": 0,
        "task": 4.0,
        "rows": 2,
    }
    assert "1 lost every row: the gate leaves it out" in se.experts_sentence(kept)
    data, _ = af.experts_data(kept)
    assert list(data[1]["x"]) == [2, 0]


def test_stored_experts_and_their_words(explorer):
    box = ap.pruned_panel(explorer)
    one = explorer.small.experts[0]
    assert "STORED" in said(box) and f"{one.n_experts} experts" in said(box)
    named(box, "stored experts").value = len(explorer.small.experts) - 1
    last = explorer.small.experts[-1]
    assert list(figure_of(box).data[4].y) == last.found["sizes"]
    named(box, "expert").value = float(last.n_experts)
    assert f"Expert {last.n_experts} knows" in said(box)
    named(box, "expert").value = float(last.n_experts + 1)
    assert "expert should be from 1 to" in problem(box)
    named(box, "stored experts").value = 0
    assert explorer.expert <= one.n_experts


# ---- skipped tails


def test_pairs_opened_are_those_of_the_layer(explorer, clock):
    box = ap.skip_panel(explorer)
    layer, states = explorer.small.adaptive, explorer.small.adaptive_states
    shares = layer.opened(states, 10).float().mean(0)
    np.testing.assert_allclose(figure_of(box).data[0].y, 100 * shares.numpy(), rtol=1e-6)
    assert explorer.pairs_percent(10) == pytest.approx(100 * float(shares.mean()))
    assert explorer.pairs_percent(1) <= explorer.pairs_percent(10) <= explorer.pairs_percent(50)
    named(box, "best words asked for, k").value = 3.0
    assert explorer.best == 3 and figure_of(box).data[2].x[0] == 3 and "k = 3" in said(box)
    assert "Not timed yet" in said(box)
    press(box, "Time both ways")
    assert not problem(box) and list(figure_of(box).data[4].x) == list(al.PLACES)
    assert "times SLOWER" in said(box)  # by this clock
    named(box, "best words asked for, k").value = 51.0
    assert "k should be from 1 to 50" in problem(box)


# ---- what the figures hold: each number where it belongs


def test_the_figure_of_w_and_n_holds_its_numbers(explorer):
    explorer.width, explorer.n_full, explorer.place = 4, 100, 600
    models, x = explorer.small, explorer.small.states[599:600]
    data, _ = af.svd_data(explorer, {})
    best = models.full.output(x).softmax(1)[0].topk(10)
    ours = SVDSoftmax(models.full, 4, 100)
    np.testing.assert_allclose(data[0]["x"], best.values.tolist(), rtol=1e-4)
    np.testing.assert_allclose(data[1]["x"], ours.log_prob(x)[0, best.indices].exp().tolist(), rtol=1e-4)
    assert [name.split(". ")[1] for name in data[0]["y"]] == [af.plain(models.words[i]) for i in best.indices]
    assert data[3]["y"] == pytest.approx(100 * ours.recall(explorer.reported, 10))
    assert ours.recall(explorer.reported, 1) != ours.recall(explorer.reported, 10)
    timed, _ = af.svd_data(explorer, {"points": [["full softmax", 3e-3, 1.0], ["4, 100", 2e-3, 0.5]]})
    assert timed[4]["x"].tolist() == [3, 2] and timed[4]["y"].tolist() == [100, 50]


def test_w_and_n_are_chosen_on_other_states_than_those_reported(explorer):
    assert not {tuple(x.tolist()) for x in explorer.chosen_by} & {tuple(x.tolist()) for x in explorer.reported}
    found = explorer.choose()
    svd = SVDSoftmax(explorer.small.full)
    assert (found.width, found.n_full) == svd.choose(explorer.small.states[:512], 0.99, 10)[:2]
    assert (explorer.width, explorer.n_full) == (found.width, found.n_full)


def test_the_figure_of_skipped_tails_holds_its_times(explorer):
    slow, quick = Spread(4e-3, 3e-3, 6e-3, 9), Spread(2e-3, 1.5e-3, 2.25e-3, 9)
    times = {f"{se.ALL}, 10": slow, f"{se.SKIP}, 10": quick}
    data, _ = af.skip_data(explorer, times)
    for trace, spread in ((3, slow), (4, quick)):
        name = af.skip_figure(explorer, times).data[trace].name
        assert name == (se.ALL if spread is slow else se.SKIP) and data[trace]["x"].tolist() == [10]
        drawn = [data[trace][key][0] for key in ("y", "error_y.array", "error_y.arrayminus")]
        median, q1, q3, _ = spread
        assert drawn == pytest.approx([1e3 * median, 1e3 * (q3 - median), 1e3 * (median - q1)])
    assert "k = 10: 2 times faster" in se.skip_sentence(explorer, times, "")


def test_the_figure_of_a_case_holds_its_numbers():
    times = {sc.SVD: Spread(2e-3, 1e-3, 4e-3, 9), sc.FULL: Spread(3e-3, 3e-3, 3e-3, 9)}
    data, _ = af.case_data((sc.FULL, sc.SVD, sc.SPARSE), times, {sc.FULL: 1.0, sc.SVD: 0.25})
    assert data[0]["x"] == data[1]["x"] == ["full<br>softmax", "SVD-<br>softmax", "doubly sparse"]
    np.testing.assert_allclose(data[0]["y"], [3, 2, math.nan])
    np.testing.assert_allclose(data[0]["error_y.array"], [0, 2, math.nan])
    np.testing.assert_allclose(data[0]["error_y.arrayminus"], [0, 1, math.nan])
    np.testing.assert_allclose(data[1]["y"], [100, 25, math.nan])


def test_the_figure_and_the_sentence_of_stored_experts_are_those_of_the_chosen_ones(explorer):
    experts, words = explorer.small.experts, explorer.small.words
    for chosen, one in enumerate(experts):
        data, _ = af.stored_experts_data(experts, chosen)
        np.testing.assert_allclose(data[4]["y"], one.members.sum(1))
        np.testing.assert_allclose(data[5]["y"], 100 * np.array(one.found["shares"]))
        point = data[3]["x"][0], data[3]["y"][0]
        assert point == pytest.approx((100 * one.found["utilisation"], 100 * one.found["agree 10"]))
        explorer.stored, explorer.expert = chosen, 2
        told = se.stored_experts_sentence(explorer)
        others = one.members[0] | one.members[2:].any(0)
        alone = [words[i] for i in (one.members[1] & ~others).nonzero().flatten().tolist()]
        assert f"Expert 2 knows {int(one.members[1].sum()):,} of" in told
        assert f"for instance: {', '.join(alone[:12])}." in told if alone else "Other experts know all" in told
    agree, right = ([e.found[f"{key} 10"] for e in experts] for key in ("agree", "right"))
    np.testing.assert_allclose(data[0]["y"], 100 * np.array(agree))
    np.testing.assert_allclose(data[1]["y"], 100 * np.array(right))


# ---- cases


@pytest.mark.parametrize("task", sc.TASKS)
def test_every_method_of_a_case_runs(explorer, task, clock):
    explorer.task = task
    heard = {}
    known = explorer.time_case(5.0, QUIET["tick"], lambda name, s: heard.setdefault(name, []).append(s))
    exact, others = sc.WHO[task]
    assert set(heard) == {*exact, *others} == set(known["arithmetic"]) and known["arithmetic"][sc.FULL] == 1.0
    assert all(0 < share < 1.5 for share in known["arithmetic"].values())
    assert (known["opened"] is None) == (task == sc.TRAIN)
    explorer.exact = True
    assert set(explorer.case.names) == set(exact)


def test_drawn_layers_answer_exactly_and_know_the_counts(explorer):
    case, words = explorer.case, explorer.vocabulary
    made_ = sc.softmaxes(case, words, torch.linspace(3, 1, 32))
    ((hidden, target), *_) = sc.states(case, words)
    layer = made_[sc.SKIPPING]
    values = layer.log_prob(hidden).topk(10).values
    torch.testing.assert_close(layer.topk(hidden, 10).values, values, rtol=1e-4, atol=1e-4)
    assert int(target.max()) < len(words) and hidden.shape == (16, 32) and bool((hidden[:, 0] == 1).all())
    flat = torch.zeros(1, 32)
    flat[0, 0] = 1.0  # the counts alone
    torch.testing.assert_close(
        layer.log_prob(flat)[0].exp(), torch.from_numpy(np.array(words.shares)).float(), rtol=1e-3, atol=1e-7
    )
    assert made_[sc.SPARSE].n_experts == explorer.experts_for_case.n_experts
    assert made_[sc.SVD].width == 4 and made_[sc.SVD].n_full == 2000 // 32


def test_bet_then_measure(explorer, clock):
    box = cp.case_panel(explorer)
    press(box, "Measure the case")
    assert "bet first" in problem(box)
    named(box, "your bet").value = sc.FULL
    press(box, "Measure the case")
    assert not problem(box) and "You bet on full softmax: right." in said(box)  # the first, so 1 ms
    assert "1 of 1 right" in said(box)
    figure = figure_of(box)
    assert figure.data[0].y[0] == pytest.approx(1.0) and figure.data[1].y[0] == pytest.approx(100)
    named(box, "your bet").value = sc.SVD
    press(box, "Measure the case")
    assert "You bet on SVD-softmax: wrong." in said(box) and "1 of 2 right" in said(box)
    explorer.set_cutoff(0, 300)  # another case
    assert np.isnan(np.asarray(figure.data[0].y, dtype=float)).all()
    named(box, "task").value = sc.TRAIN
    assert explorer.bet == sc.SVD and named(box, "your bet").value == ""  # it does not answer this
    named(box, "exact only").value = True
    assert sc.SAMPLED not in [value for _, value in named(box, "your bet").options]
    explorer.cutoffs = ()
    press(box, "Measure the case")
    assert "no cutoff is set" in problem(box)


def test_what_is_measured_is_never_called_recorded(explorer, clock, monkeypatch):
    for module in (ap, cp):
        monkeypatch.setattr(module, "now_and_then", lambda act: act)
    box = cp.case_panel(explorer)
    shown, figure = named(box, "shown"), figure_of(box)
    named(box, "your bet").value = sc.FULL
    shown.value = shown.options[1]
    recorded = np.array(figure.data[0].y)
    labels = Labels(monkeypatch, box, figure, recorded)
    press(box, "Measure the case")
    labels.check(changes=5)
    time_case, stayed = type(explorer).time_case, []

    def looked_away(self, seconds, tick, heard):
        def also(name, took):
            heard(name, took)
            shown.value = shown.options[1]
            heard(name, took)
            stayed.append(np.array_equal(figure.data[0].y, recorded) and "RECORDED" in said(box))

        return time_case(self, seconds, tick, also)

    monkeypatch.setattr(type(explorer), "time_case", looked_away)
    press(box, "Measure the case")
    assert len(stayed) >= 4 and all(stayed)
    labels.check(changes=10)

    def broken(self, seconds, tick, heard):
        heard(sc.FULL, 1.0)
        raise RuntimeError("unplugged")

    monkeypatch.setattr(type(explorer), "time_case", broken)
    shown.value = cp.HERE
    before = np.array(figure.data[0].y)
    press(box, "Measure the case")
    assert "unplugged" in problem(box) and shown.value == cp.HERE
    np.testing.assert_array_equal(figure.data[0].y, before)
    labels.check(changes=12)
    shown.value = shown.options[1]
    named(box, "your bet").value = ""
    press(box, "Measure the case")
    assert "bet first" in problem(box) and "RECORDED" not in said(box)
    labels.check(changes=14)
    skip = ap.skip_panel(explorer)
    labels = Labels(monkeypatch, skip, figure_of(skip), [-1.0], trace=4)
    press(skip, "Time both ways")
    labels.check(changes=12)
    assert any(text.startswith("Measuring here") for *_, text in labels.told)


@pytest.mark.parametrize("n_words", [3, 20, 900, 1000, 1001, 2000, 5000])
def test_any_number_of_words_has_cutoffs_that_fit(n_words):
    explorer = al.AlternativesExplorer(n_words=n_words)
    assert len(explorer.vocabulary) == n_words and 0 < explorer.cutoffs[-1] < n_words
    explorer.n_words = 3
    explorer.reset()
    assert explorer.cutoffs[-1] < 3


def test_where_nothing_can_be_kept_experts_are_trained(tmp_path, capsys):
    (tmp_path / "cache").write_text("")  # a file where a folder should be
    explorer = made(lesson="07t", **QUICK)
    box = ap.experts_panel(explorer)
    press(box, "Train")
    assert not problem(box) and "step 12 of 12" in said(box) and capsys.readouterr().out.count("not kept") == 1
    press(box, "Go on")
    assert "there is nothing to continue" in problem(box)
    explorer.forget()
    assert explorer.recall("experts") is None


def test_a_damaged_checkpoint_is_named():
    explorer = made(**QUICK)
    box = ap.experts_panel(explorer)
    explorer.train_experts(from_start=True, tick=lambda *_: None, heard=lambda _: None)
    explorer.remember("experts", {**explorer.recall("experts"), "step": 5})
    for content in (b"", b"\x00" * 2000, b"{"):
        explorer.checkpoint.write_bytes(content)
        press(box, "Go on")
        assert str(explorer.checkpoint) in problem(box) and "press Train to start again" in problem(box)
    press(box, "Train")
    assert not problem(box)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b'{"alternatives": "07"}', b"[" * 9999])
def test_a_damaged_record_is_said_in_the_panels(explorer, monkeypatch, tmp_path, content):
    (tmp_path / sa.FILE).write_bytes(content)
    monkeypatch.setattr(sa, "results_folder", lambda: tmp_path)
    for box in (cp.case_panel(explorer), cp.which_panel()):
        assert sa.FILE in problem(box)


def test_what_does_not_fit_is_refused(explorer, monkeypatch, clock):
    monkeypatch.setattr(timings, "free_bytes", lambda device: 2.0**10)
    box = cp.case_panel(explorer)
    named(box, "your bet").value = sc.FULL
    press(box, "Measure the case")
    assert "would need about" in problem(box) and "Take a smaller V" in problem(box)


def test_level_is_no_win():
    near = {sc.FULL: Spread(1.0, 0.9, 1.1, 9), sc.SVD: Spread(1.05, 1.0, 1.2, 9)}
    text = se.case_sentence(near, {}, sc.SVD, "")
    assert "call it level" in text and "You bet on SVD-softmax: right." in text
    apart = {sc.FULL: Spread(3.0, 2.9, 3.1, 9), sc.SVD: Spread(1.0, 0.9, 1.1, 9)}
    text = se.case_sentence(apart, {"arithmetic": {sc.SVD: 0.2}}, "", "")
    assert "SVD-softmax wins, 3 times faster than the next" in text and "its arithmetic promised 5 times" in text


# ---- stored results


def test_recorded_cases_are_read_as_they_are(tmp_path):
    found = sa.record()
    cases = sa.recorded_cases()
    assert len(cases) == len(found["cases"]) >= 6
    for one, raw in zip(cases, found["cases"], strict=True):
        assert {n: list(s) for n, s in one.times.items()} == {n: list(s) for n, s in raw["times"].items()}
        assert found["device"]["name"] in one.label and "another machine" in one.provenance
    assert sa.recorded_cases(tmp_path) == [] and "nothing recorded" in sa.which_when(tmp_path)[0][0]
    (tmp_path / sa.FILE).write_text('{"alternatives": "07"}')
    with pytest.raises(ValueError, match="is not a record of this lesson: KeyError 'device'"):
        sa.record(tmp_path)


def test_which_when_names_the_fastest(tmp_path):
    rows = sa.which_when()
    for one in sa.recorded_cases():
        fastest = min(one.times, key=lambda n: one.times[n].median)
        assert any(row[0].startswith(sa._case_text(one.sizes)) and row[1].startswith(fastest) for row in rows)
    text = " ".join(cell for row in sa.claims() for cell in row)
    assert "800,000" in text and "not checked" in text and "nothing recorded" not in text


def test_the_comparison_is_shown_when_it_is_there(tmp_path):
    rows, said_ = sa.stored_comparisons(tmp_path)
    assert rows == [] and "python -m adasoft bench decode --run" in said_
    one = {
        "what": "svd, W = d/8",
        **{f"agree {k}": 0.9 for k in (1, 5, 10)},
        **{f"right {k}": 0.5 for k in (1, 5, 10)},
        "perplexity": 101.0,
        "arithmetic": 0.2,
        "ms, 256": 30.0,
        "ms, 1": 2.0,
        "MiB": 80.0,
        "faster, 256": 3.0,
        "faster, 1": 1.5,
    }
    record = {
        "corpus": {"name": "text8", "V": 44_000},
        "device": {"name": "a CPU"},
        "date": "2026-11-25",
        "threads": 2,
        "places": 2048,
        "rows": [one, {**one, "what": "doubly sparse", "perplexity": None}],
    }
    (tmp_path / "bench-compare-text8.json").write_text(json.dumps(record))
    rows, said_ = sa.stored_comparisons(tmp_path)
    assert rows[1][1:5] == ["90/90/90", "50/50/50", "101.0", "20.0 %"] and rows[2][3] == "infinite"
    assert "bench-compare-text8.json" in said_ and "2,048 places" in said_
    for torn in ("{}", "{", "[]"):
        (tmp_path / "bench-compare-text8.json").write_text(torn)
        for reader in (sa.stored_comparisons, sa.markdown, sa.claims):
            with pytest.raises(ValueError, match=r"bench-compare-text8\.json is not a comparison"):
                reader(tmp_path)


def test_the_readme_says_what_is_stored():
    readme = Path(__file__).parents[2] / "data" / "results" / "README.md"
    tables = sa.markdown().split("\n\n")
    assert len(tables) >= 4
    for table in tables:
        assert table in readme.read_text(encoding="utf-8")


def test_the_table_panel():
    box = cp.which_panel()
    assert not problem(box) and "which softmax when" in said(box) and "claims and measurements" in said(box)


# ---- state, questions


def test_choices_and_measurements_survive():
    def start():
        words = Vocabulary.synthetic(3000, name="synthetic")
        sizes = {"n_words": 2000, "in_features": 32, "batch": 16, "cutoffs": (200, 900)}
        return al.AlternativesExplorer(words, lesson="07t", **sizes, **QUICK)

    first = start()
    first.width, first.best, first.task, first.threshold = 9, 7, sc.TRAIN, 0.05
    first.train_experts(from_start=True, **QUIET)
    first.close()
    LIVE.clear()  # as after a restart of the kernel
    second = start()
    assert second is not first
    assert (second.width, second.best, second.task, second.threshold) == (9, 7, sc.TRAIN, 0.05)
    assert second.recall("experts") == first.recall("experts")
    second.forget()
    assert (second.width, second.best, second.task) == (6, 10, sc.BEST) and not second.checkpoint.exists()


def test_panels_shown_again_replace_the_old_ones(explorer):
    for make in (ap.svd_panel, ap.experts_panel, ap.pruned_panel, ap.skip_panel, cp.case_panel):
        old = make(explorer)
        slots = len(explorer._slots)
        make(explorer)
        assert len(explorer._slots) == slots and old.comm is None


def test_predictions(explorer):
    _, truth, _ = PREDICTIONS["cheapest"]
    found = SVDSoftmax(explorer.small.full).choose(explorer.chosen_by[: windows.SHOWN], 0.99, 10)
    assert truth(explorer) == pytest.approx(100 * found.utilisation)
    _, truth, _ = PREDICTIONS["pairs opened"]
    assert truth(explorer) == explorer.pairs_percent(10) > 0
