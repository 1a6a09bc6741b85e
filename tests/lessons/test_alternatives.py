"""The lesson on alternatives: small models, W and N, experts, skipped tails, cases, stored results; a clock of ours."""

import itertools
import json
import math
import shutil
import subprocess
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
from adasoft.lessons.alternatives import comparison as co
from adasoft.lessons.alternatives import experts as ex
from adasoft.lessons.alternatives import explorer as al
from adasoft.lessons.alternatives import figures as af
from adasoft.lessons.alternatives import panels as ap
from adasoft.lessons.alternatives import scene, small_models, window_picture, windows
from adasoft.lessons.alternatives import sentences as se
from adasoft.lessons.alternatives import stored as sa
from adasoft.lessons.alternatives.widgets import Comparison, WindowPicture
from adasoft.lessons.kit import parts
from adasoft.lessons.kit.explorer import LIVE
from adasoft.lessons.kit.grading import PREDICTIONS, QUESTIONS
from adasoft.lessons.kit.static_files import STATIC, script
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


def clock(items, *, progress, heard, **_how):
    """Times that are set: the n-th thing takes n ms, three times; each runs once."""
    for i, (name, steps) in enumerate(items.items()):
        progress(i / len(items), name)
        steps[0]()
        for _ in range(3):
            heard(name, 1e-3 * (i + 1))


@pytest.fixture
def clocked(explorer):
    explorer.clock = clock
    return explorer


#: Experts trained for six epochs on few points.
QUICK = {"epochs": 6, "n_items": 10}


def press(box, text):
    button = named(box, text)
    assert not button.disabled
    button.click()
    finished(button)


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
    assert found["utilisation"] == svd.utilisation
    assert windows.utilisation(explorer.small, 12, 300) == pytest.approx(svd.utilisation)
    places, curve = windows.recall_curve(explorer.small, 12)
    assert (np.diff(curve) >= 0).all() and curve[-1] == 1.0
    assert found["recall 10"] >= np.interp(300, places, curve) - 0.02  # what N guarantees
    explorer.width = explorer.small.full.in_features
    assert explorer.quality()["recall 10"] > 0.999


def picture_of(box):
    return next(child for child in box.children if isinstance(child, WindowPicture))


def test_w_and_n_move_words_and_sentence(explorer):
    box = ap.svd_panel(explorer)
    picture = picture_of(box)
    assert picture.window == [6, 250]
    picture.window = [24, 300]  # as a drag sets it
    assert (explorer.width, explorer.n_full) == (24, 300) and named(box, "width W").value == 24
    assert picture.shown["measured"] == {"window": [24, 300], "recall": explorer.quality()["recall 10"]}
    named(box, "width W").value = 10
    assert explorer.width == 10 and picture.window == [10, 300]
    named(box, "width W").value = 1000
    assert "W should be from 1 to 48" in problem(box) and explorer.width == 10
    named(box, "words N").value = 77.0
    assert explorer.n_full == 77 and picture.window == [10, 77]
    words = picture.shown["words"]
    named(box, "hidden state, number").value = 500.0
    assert explorer.place == 500 and picture.shown["words"] != words
    words = explorer.top_words()
    assert [one["p"] for one in words] == sorted((one["p"] for one in words), reverse=True)
    assert {one["word"] for one in words} <= set(explorer.small.words)


def test_places_in_the_preview_are_those_of_svd_softmax(explorer):
    for place, width in ((0, 1), (499, 6), (1023, 48)):
        svd = SVDSoftmax(explorer.small.full, width, 1)
        logits, _ = svd._preview(explorer.small.states[place : place + 1])
        best = explorer.small.full.topk(explorer.small.states[place : place + 1], 10).indices[0]
        ranks = [one[width - 1] for one in windows.preview_ranks(explorer.small, place)]
        assert ranks == [int((logits[0] > logits[0, word]).sum()) + 1 for word in best]


@pytest.mark.parametrize("width", [1, 6, 48])
def test_all_curves_at_once_are_those_of_svd_softmax(explorer, width):
    needed = SVDSoftmax(explorer.small.full, width, 1).needed(explorer.reported, 10)
    places, shares = windows.recall_curve(explorer.small, width)
    for place, share in zip(places, shares, strict=True):
        assert share == pytest.approx(float((needed <= place).float().mean()), abs=1e-3)


def test_the_sentence_says_where_the_preview_puts_the_ten(explorer):
    ranks = [one["ranks"][5] for one in explorer.top_words()]
    explorer.n_full = max(ranks)
    assert f"at place {max(ranks):,}, so N = {max(ranks):,} completes all ten." in se.svd_sentence(explorer)
    explorer.n_full = max(ranks) - 1
    missed = sum(rank > explorer.n_full for rank in ranks)
    assert f"for {'that one' if missed == 1 else f'{missed} of the ten'}, N = " in se.svd_sentence(explorer)
    explorer.width = 48
    assert (
        "the rotation makes it more than 100 %" in se.svd_sentence(explorer) and explorer.quality()["utilisation"] > 1
    )


def test_the_picture_of_w_and_n_computes_as_python_does(tmp_path, explorer):
    """The same cost, the same curve, and under the ring the W and N that are drawn there."""
    data = windows.all_curves(explorer.small)
    asked = [[6, 821], [3, 40], [48, 8000], [1, 1], [12, data["places"][20]]]
    code = script("dom.js", STATIC.parents[1] / "alternatives" / "static" / "window.js")
    code += f"\nconst data = {json.dumps(data)}, asked = {json.dumps(asked)};\n"
    code += "console.log(JSON.stringify(asked.map(at => { const x = 100 * shareOf(data, at);"
    code += " const y = 100 * foundBy(data, at);"
    code += " return [x, y, nearestWindow(data, x, y, v => v, v => v)]; })));"
    for at, (x, y, near) in zip(asked, run_node(tmp_path, code), strict=True):
        assert x == pytest.approx(100 * windows.utilisation(explorer.small, *at))
        places, recall = windows.recall_curve(explorer.small, at[0])
        assert y == pytest.approx(100 * np.interp(at[1], places, recall), abs=0.01)
        assert 100 * windows.utilisation(explorer.small, *near) == pytest.approx(x, abs=1.5)
    assert near == asked[-1]


def test_choose_for_me_says_what_it_was_chosen_on_and_what_it_reports(explorer):
    box = ap.svd_panel(explorer)
    named(box, "wanted recall, %").value = 90.0
    press(box, "Choose for me")
    assert not problem(box) and f"W = {explorer.width}, N = {explorer.n_full:,}" in said(box)
    assert explorer.window().recall(explorer.chosen_by, 10) >= 0.9
    low = explorer.quality()["utilisation"]
    named(box, "wanted recall, %").value = 99.0
    press(box, "Choose for me")
    assert explorer.quality()["utilisation"] > low
    # 99 becomes 98.2 on states that it was not chosen on
    assert "W = 6, N = 821, 22.1 % of the multiplications" in said(box)
    assert "were chosen on, the star: 99.0 %; on the 128 others, your ring: 98.2 %" in said(box)
    # the star stands at the 99 % that were asked for, the ring at what the drawn states find
    shown = picture_of(box).shown
    assert shown["chosen"]["percent"] == pytest.approx(22.08, abs=0.01) and 0.99 <= shown["chosen"]["recall"] < 0.9905
    assert shown["wanted"] == 99.0 and shown["measured"]["recall"] == pytest.approx(0.982, abs=1e-3)
    named(box, "wanted recall, %").value = 0.0
    assert "should be from 1 to 100" in problem(box) and explorer.wanted == 99.0


def test_the_guess_is_drawn_and_kept(explorer):
    explorer.remember("guess cheapest", 40.0)
    assert picture_of(ap.svd_panel(explorer)).shown["guess"] == 40.0
    explorer.remember("guess sixth", 6.0)
    shown = next(one for one in ap.compare_panel(explorer).children if isinstance(one, Comparison))
    assert shown.guess == {**co.ASKED, "factor": 6.0}
    explorer.remember("guess sixth", 2.0)  # guessed again
    explorer.version += 1
    assert shown.guess["factor"] == 2.0


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
    assert "each of the 10 experts has found exactly one true group." in se.experts_sentence(kept)
    assert ex.utilised(kept) == pytest.approx(0.2, abs=0.05)


@pytest.mark.long
@pytest.mark.parametrize(
    ("many", "found"), [(5, "holds exactly 2 whole groups"), (20, "no expert mixes two groups, and 20")]
)
def test_what_the_answer_says_of_5_and_20_experts(many, found):
    explorer = made(n_experts=many)
    explorer.train_experts(from_start=True, **QUIET)
    text = se.experts_sentence(explorer.recall("experts"))
    assert found in text and "4 times cheaper" in text


def test_what_experts_have_found_is_said_in_groups():
    def sentence(known, threshold=0.03, step=800):
        sizes = {"stages": [len(known)], "threshold": threshold, "epochs": 40}
        rows = sum(map(len, known))
        rest = {"points": [[1, rows, 1.0]], "step": step, "steps": 800, "exact": 0, "task": 1.0, "rows": rows}
        return se.experts_sentence({"known": known, "sizes": sizes, **rest})

    group = [[*range(10 * g, 10 * g + 10)] for g in range(10)]
    assert "each of the 10 experts has found exactly one true group." in sentence(group)
    pairs = [group[i] + group[i + 5] for i in range(5)]
    assert "each of the 5 experts holds exactly 2 whole groups." in sentence(pairs)
    halves = [half for one in group for half in (one[:5], one[5:])]
    assert "no expert mixes two groups, and 20 of 20 share theirs with another expert." in sentence(halves)
    assert "0 of the 10 true groups are exactly one expert’s list so far." in sentence(
        [group[0] + [77], group[1] + [3]]
    )
    full = [[*range(100)]] * 4
    assert "nothing is removed before step 300" in sentence(full, step=100)
    assert "nothing is ever removed" in sentence(full, threshold=0)


def test_experts_are_trained_stopped_and_gone_on_with():
    explorer = made(**QUICK)
    box = ap.experts_panel(explorer)
    assert "Not trained yet" in said(box) and len(figure_of(box).data[0].x) == 1000  # each knows each class
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
    assert len(figure.data[0].x) == kept["rows"] and figure.data[1].y[-1] == kept["points"][-1][1]


def test_the_controls_of_the_experts():
    explorer = made(**QUICK)
    box = ap.experts_panel(explorer)
    named(box, "number of experts K").value = 4.0
    named(box, "pruning threshold").value = 0.05
    named(box, "clone them in stages (mitosis)").value = True
    assert explorer.expert_settings.stages == (2, 4) and explorer.expert_settings.threshold == 0.05
    press(box, "Train")
    kept = explorer.recall("experts")
    assert not problem(box) and len(kept["known"]) == 4 and "4 experts, cloned from 2" in said(box)
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
    assert "1 lost every vector, so the gate leaves it out" in se.experts_sentence(kept)
    data, _ = af.experts_data(kept)
    assert list(data[0]["y"]) == [1, 1] and list(data[0]["x"]) == [1, 2]


# ---- what the figures hold: each number where it belongs


def test_the_picture_of_w_and_n_holds_its_numbers(explorer):
    explorer.width, explorer.n_full, explorer.place = 4, 100, 600
    models, x = explorer.small, explorer.small.states[599:600]
    shown = window_picture.shown(explorer)
    best = models.full.output(x).softmax(1)[0].topk(10)
    ours = SVDSoftmax(models.full, 4, 100)
    np.testing.assert_allclose([one["p"] for one in shown["words"]], best.values.detach(), rtol=1e-4)
    assert [one["word"] for one in shown["words"]] == [models.words[i] for i in best.indices]
    assert shown["measured"]["recall"] == pytest.approx(ours.recall(explorer.reported, 10))
    assert ours.recall(explorer.reported, 1) != ours.recall(explorer.reported, 10)
    data = windows.all_curves(models)
    n_full, recall = windows.recall_curve(models, 4)
    np.testing.assert_allclose(data["places"], n_full)
    np.testing.assert_allclose(data["curves"][3], recall, atol=1e-4)


def test_w_and_n_are_chosen_on_other_states_than_those_reported(explorer):
    assert not {tuple(x.tolist()) for x in explorer.chosen_by} & {tuple(x.tolist()) for x in explorer.reported}
    found = explorer.choose()
    svd = SVDSoftmax(explorer.small.full)
    assert (found.width, found.n_full) == svd.choose(explorer.small.states[:512], 0.99, 10)[:2]
    assert (explorer.width, explorer.n_full) == (found.width, found.n_full)


def test_the_figure_of_a_case_holds_its_numbers():
    times = {sc.SVD: Spread(2e-3, 1e-3, 4e-3, 9), sc.FULL: Spread(3e-3, 3e-3, 3e-3, 9)}
    data, _ = af.case_data((sc.FULL, sc.SVD, sc.SPARSE), times, {sc.FULL: 1.0, sc.SVD: 0.25})
    assert data[0]["y"] == data[1]["y"] == [sc.FULL, sc.SVD, sc.SPARSE]
    np.testing.assert_allclose(data[0]["x"], [3, 2, math.nan])
    np.testing.assert_allclose(data[0]["error_x.array"], [0, 2, math.nan])
    np.testing.assert_allclose(data[0]["error_x.arrayminus"], [0, 1, math.nan])
    np.testing.assert_allclose(data[1]["x"], [100, 25, math.nan])


# ---- cases


@pytest.mark.parametrize("task", sc.TASKS)
def test_every_method_of_a_case_runs(clocked, task):
    explorer = clocked
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


def test_bet_then_measure(clocked):
    explorer = clocked
    box = cp.case_panel(explorer)
    press(box, "Measure the case")
    assert "bet first" in problem(box)
    named(box, "your bet").value = sc.FULL
    press(box, "Measure the case")
    assert not problem(box) and "You bet on full softmax: right." in said(box)  # the first, so 1 ms
    assert "1 of 1 right" in said(box)
    figure = figure_of(box)
    assert figure.data[0].x[0] == pytest.approx(1.0) and figure.data[1].x[0] == pytest.approx(100)
    named(box, "your bet").value = sc.SVD
    press(box, "Measure the case")
    assert "You bet on SVD-softmax: wrong, but not counted: you had seen this case measured." in said(box)
    assert "1 of 1 right" in said(box)
    explorer.set_cutoff(0, 300)  # another case, so another bet
    assert np.isnan(np.asarray(figure.data[0].x, dtype=float)).all()
    assert explorer.bet == "" == named(box, "your bet").value
    named(box, "your bet").value = sc.SVD
    press(box, "Measure the case")
    assert "1 of 2 right" in said(box)
    named(box, "task").value = sc.TRAIN
    assert explorer.bet == "" == named(box, "your bet").value
    press(box, "Measure the case")
    assert "bet first" in problem(box)
    named(box, "exact only").value = True
    assert sc.SAMPLED not in [value for _, value in named(box, "your bet").options]
    explorer.cutoffs = ()
    press(box, "Measure the case")
    assert "no cutoff is set" in problem(box)


def test_a_recorded_case_says_its_sizes_and_leaves_out_what_is_not_exact(explorer):
    box = cp.case_panel(explorer)
    shown = named(box, "shown")
    for label, one in zip(shown.options[1:], sa.recorded_cases(), strict=True):
        shown.value = label
        assert f"V = {one.sizes['V']:,}, d = {one.sizes['d']}" in said(box) and "`" not in said(box)
        named(box, "exact only").value = True
        exact, others = sc.WHO[one.sizes["task"]]
        assert len(figure_of(box).data[0].y) == len(exact)
        assert not any(f"{name} wins" in said(box) for name in others)
        named(box, "exact only").value = False


def test_fewer_words_keep_both_cutoffs_and_more_bring_them_back():
    explorer = al.AlternativesExplorer()
    box = cp.case_panel(explorer)
    assert explorer.cutoffs == (1000, 5000)
    named(box, "words V").value = 2000.0
    assert explorer.cutoffs == (1000, 1414) and not problem(box)
    assert [named(box, f"cutoff c{i}").value for i in (1, 2)] == [1000, 1414]
    named(box, "words V").value = 900.0
    assert len(explorer.cutoffs) == 2 and explorer.cutoffs[-1] < 900
    named(box, "words V").value = 20_000.0
    assert explorer.cutoffs == (1000, 5000) == tuple(named(box, f"cutoff c{i}").value for i in (1, 2))
    assert all(named(box, f"cutoff c{i}").layout.display != "none" for i in (1, 2))
    explorer.n_words = 2000
    explorer.set_cutoff(1, 1200)  # the reader's own from now on
    explorer.n_words = 20_000
    assert explorer.cutoffs == (1000, 1200)


def test_what_is_measured_is_never_called_recorded(clocked, monkeypatch):
    explorer = clocked
    monkeypatch.setattr(cp, "now_and_then", lambda act: act)
    box = cp.case_panel(explorer)
    shown, figure = named(box, "shown"), figure_of(box)
    named(box, "your bet").value = sc.FULL
    shown.value = shown.options[1]
    recorded = np.array(figure.data[0].x)
    labels = Labels(monkeypatch, box, figure, recorded, axis="x")
    press(box, "Measure the case")
    labels.check(changes=5)
    time_case, stayed = type(explorer).time_case, []

    def looked_away(self, seconds, tick, heard):
        def also(name, took):
            heard(name, took)
            shown.value = shown.options[1]
            heard(name, took)
            stayed.append(np.array_equal(figure.data[0].x, recorded) and "RECORDED" in said(box))

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
    before = np.array(figure.data[0].x)
    press(box, "Measure the case")
    assert "unplugged" in problem(box) and shown.value == cp.HERE
    np.testing.assert_array_equal(figure.data[0].x, before)
    labels.check(changes=12)
    shown.value = shown.options[1]
    named(box, "your bet").value = ""
    press(box, "Measure the case")
    assert "bet first" in problem(box) and "RECORDED" not in said(box)
    labels.check(changes=14)


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
    assert not problem(box) and "Step 12 of 12" in said(box) and capsys.readouterr().out.count("not kept") == 1
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
    monkeypatch.setattr(co, "results_folder", lambda: tmp_path)
    for box in (cp.case_panel(explorer), ap.compare_panel(explorer)):
        assert sa.FILE in problem(box)


def test_what_does_not_fit_is_refused(clocked, monkeypatch):
    explorer = clocked
    monkeypatch.setattr(timings, "free_bytes", lambda device: 2.0**10)
    box = cp.case_panel(explorer)
    named(box, "your bet").value = sc.FULL
    press(box, "Measure the case")
    assert "would need about" in problem(box) and "Take a smaller V" in problem(box)


def test_level_is_no_win():
    near = {
        sc.FULL: Spread(9.0, 8.9, 9.1, 9),
        sc.SKIPPING: Spread(1.0, 0.9, 1.1, 9),
        sc.SVD: Spread(1.05, 1.0, 1.2, 9),
    }
    text = se.case_sentence(near, {}, sc.SVD, "")
    assert text.startswith("Too close to call: adaptive, exact top-k (1.0 s) and SVD-softmax.")
    assert "9 times faster than the full softmax" in text and "You bet on SVD-softmax: right." in text
    text = se.case_sentence({**near, sc.FULL: Spread(1.05, 1.0, 1.2, 9), sc.SPARSE: Spread(9, 9, 9, 9)}, {}, "", "")
    assert "Too close to call" in text and "times faster" not in text  # the full one may be the fastest
    apart = {sc.FULL: Spread(3.0, 2.9, 3.1, 9), sc.SVD: Spread(1.0, 0.9, 1.1, 9)}
    text = se.case_sentence(apart, {"arithmetic": {sc.SVD: 0.2}}, "", "")
    assert "SVD-softmax wins with 1.0 s, 3 times faster than the next, full softmax." in text
    assert "its multiplications promised 5 times" in text


def test_where_all_are_level_nothing_is_said():
    level = {name: Spread(1.0 + i / 10, 0.5, 2.0, 9) for i, name in enumerate((sc.FULL, sc.SVD, sc.SPARSE))}
    text = se.case_sentence(level, {"opened": 0.5, "arithmetic": {sc.SVD: 0.2}}, sc.SVD, "")
    assert text == (
        "Nothing can be said: the noise is larger than the differences. Measure longer. Your bet is not counted."
    )


@pytest.mark.parametrize(
    ("reaches", "tally"),
    [(0, "0 of 1 right"), (1, "1 of 1 right"), (4, "")],  # of those after the first, how many are level with it
)
def test_the_tally_says_what_the_sentence_says(explorer, reaches, tally):
    def clock(items, *, progress, heard, **_how):
        for i, name in enumerate(items):
            for seconds in (1.0, 2.0 + i / 10, 5.0) if i <= reaches and reaches else (10.0 * (i + 1),) * 3:
                heard(name, seconds)

    explorer.clock = clock
    box = cp.case_panel(explorer)
    named(box, "your bet").value = sc.ALL_WORDS  # the second
    press(box, "Measure the case")
    assert not problem(box)
    if tally:
        assert f"Your bets so far: {tally}" in said(box)
        assert f"You bet on adaptive, all words: {'right' if tally[0] == '1' else 'wrong'}." in said(box)
    else:
        assert "Nothing can be said" in said(box) and "Your bets so far" not in said(box)


# ---- stored results


def test_recorded_cases_are_read_as_they_are(tmp_path):
    found = sa.record()
    cases = sa.recorded_cases()
    assert len(cases) == len(found["cases"]) >= 6
    for one, raw in zip(cases, found["cases"], strict=True):
        assert {n: list(s) for n, s in one.times.items()} == {n: list(s) for n, s in raw["times"].items()}
        assert found["device"]["name"] in one.label and "another machine" in one.provenance
    assert sa.recorded_cases(tmp_path) == [] == co.all_benches(tmp_path)
    (tmp_path / sa.FILE).write_text('{"alternatives": "07"}')
    with pytest.raises(ValueError, match="is not a record of this lesson: KeyError 'device'"):
        sa.record(tmp_path)


def test_the_comparison_holds_what_is_stored():
    raw = json.loads((results_folder() / "bench-compare-cpu.json").read_text())
    rows = {row["what"]: row for row in raw["rows"]}
    for at_once in (256, 1):
        bench = co.bench_of(17_724, at_once)
        points = {point["name"]: point for point in bench["points"]}
        for what, name in (("full", "full softmax"), ("adaptive, exact top-k", "adaptive, exact top-k")):
            row, point = rows[what], points[name]
            assert point["seconds"] == row[f"ms, {at_once}"] / 1e3
            assert [point[k] for k in ("right", "same", "arithmetic")] == [
                row[k] for k in ("right 10", "agree 10", "arithmetic")
            ]
        assert bench["trained"] and len(points) == 9
        # what a sketch draws is what is counted
        shape = points["exact top-k, planned 75 %"]["shape"]
        tails = sum(w * (k + 256) for w, k in zip(shape["widths"], np.diff([*shape["cutoffs"], 17_724]), strict=True))
        drawn = (shape["cutoffs"][0] + len(shape["widths"])) * 256 + shape["opened"] * tails
        assert drawn / (17_724 * 256) == pytest.approx(points["exact top-k, planned 75 %"]["arithmetic"])
    for case in sa.recorded_cases():
        task = co.TRAIN if case.sizes["task"] == sc.TRAIN else co.FIND
        bench = co.bench_of(case.sizes["V"], case.sizes["rows"], task)
        assert {p["name"]: p["seconds"] for p in bench["points"]} == {n: s.median for n, s in case.times.items()}
        assert not bench["trained"]


@pytest.mark.parametrize("content", ["{}", "{", "[]"])
def test_a_torn_comparison_is_named(tmp_path, content):
    (tmp_path / "bench-compare-text8.json").write_text(content)
    for reader in (sa.comparisons, sa.markdown, co.all_benches):
        with pytest.raises(ValueError, match=r"bench-compare-text8\.json is not a comparison"):
            reader(tmp_path)


def test_the_readme_says_what_is_stored():
    readme = Path(__file__).parents[2] / "data" / "results" / "README.md"
    tables = sa.markdown().split("\n\n")
    assert len(tables) >= 4
    for table in tables:
        assert table in readme.read_text(encoding="utf-8")


# ---- the first picture


def test_the_scene_shows_what_the_models_do():
    models = small_models.small_models()
    data = scene.scene_data(models)
    svds = [SVDSoftmax(models.full, data["width"], n) for n in data["rescored"]]
    svd = svds[data["begin"]]
    softmax = models.experts[scene.EXPERTS].rebuilt(models.full)
    assert (data["n"], data["d"], data["width"], svd.n_full) == (8000, 48, 12, 250)
    for place, state in zip(scene.PLACES, data["states"], strict=True):
        x, own = models.states[place : place + 1], models.adaptive_states[place : place + 1]
        full = models.full.topk(x, 10).indices[0].tolist()
        assert state["best"][0] == [models.words[i] for i in full]
        assert state["opened"] == models.adaptive.opened(own, 10)[0].tolist()
        for n, own_svd, ranks, found in zip(data["rescored"], svds, state["looked"], state["found"], strict=True):
            looked = {i for first, many in ranks for i in range(first, first + many)}
            ours = {*own_svd.topk(x, 10).indices[0].tolist()}
            assert len(looked) == n and ours <= looked and found == len(ours & {*full})
        assert state["found"] == sorted(state["found"])
        members = {*softmax.expert(state["expert"]).tolist()}
        assert state["expert found"] == len(members & {*full})
        for which, own_svd in enumerate(svds):
            costs = scene.multiplications(data, state, which)
            assert sum(costs[0]) == 8000 * 48 and sum(costs[2]) == pytest.approx(own_svd.utilisation * 8000 * 48)
    # not the pair, nor the share, that the lesson's first guess asks for
    assert abs(svd.utilisation - windows.choose(models, 0.99).utilisation) > 0.05
    assert {tuple(state["opened"]) for state in data["states"]} == {(True, False), (False, False), (True, True)}


def test_the_scene_of_the_page_counts_as_python_does(tmp_path):
    """The same sums in ``methods_scene.js``."""
    data = scene.scene_data(small_models.small_models())
    code = script("dom.js", STATIC.parents[1] / "alternatives" / "static" / "methods_scene.js")
    code += f"\nconst data = {json.dumps(data)};\n"
    code += "console.log(JSON.stringify(data.states.flatMap(s => data.rescored.map((_, i) => costs(data, s, i)))));"
    found = run_node(tmp_path, code)
    expected = [
        [list(pair) for pair in scene.multiplications(data, state, which)]
        for state in data["states"]
        for which in range(len(data["rescored"]))
    ]
    assert found == expected


def run_node(folder, code):
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not installed")
    (folder / "try.mjs").write_text(code, encoding="utf-8")
    out = subprocess.run([node, folder / "try.mjs"], capture_output=True, text=True, check=True)
    return json.loads(out.stdout)


@pytest.mark.parametrize("wide", [560, 720, 860, 980, 1260])
@pytest.mark.parametrize(("rows", "measure"), [(256, "right"), (256, "same"), (1, "right"), (1, "same")])
def test_labels_of_the_comparison_cannot_be_mistaken(tmp_path, wide, rows, measure):
    """No label on another one or on a point; each nearest to its own point, or apart from all and with a line to it."""
    code = script("dom.js", STATIC.parents[1] / "alternatives" / "static" / "comparison.js")
    bench = co.bench_of(17_724, rows)
    low, high = (60, 102) if measure == "same" else (52, 60)
    tall = 252 if wide < 620 else 312
    x = [64 + math.log(co.times_faster(bench, p["name"]) / 0.5) / math.log(60) * (wide - 84) for p in bench["points"]]
    y = [tall - 44 - (100 * p[measure] - low) / (high - low) * (tall - 60) for p in bench["points"]]
    texts = [p["brief"] if wide < 620 else p["short"] for p in bench["points"]]
    points = [{"x": a, "y": b, "text": t} for a, b, t in zip(x, y, texts, strict=True)]
    spots = run_node(
        tmp_path, f"{code}\nconsole.log(JSON.stringify(placed({json.dumps(points)}, {wide}, [], {tall - 44})));"
    )
    boxes = []
    for point, spot in zip(points, spots, strict=True):
        long = 6.8 * len(point["text"])
        left = point["x"] + spot["x"] - {"start": 0, "middle": long / 2, "end": long}[spot["anchor"]]
        boxes.append((left, point["y"] + spot["y"] - 12, left + long, point["y"] + spot["y"] + 3))
    for a, b in itertools.combinations(boxes, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
    for i, box in enumerate(boxes):
        assert box[0] >= 0 and box[2] <= wide and box[1] >= 0 and box[3] <= tall - 44
        away = [
            math.hypot(max(box[0] - p["x"], 0, p["x"] - box[2]), max(box[1] - p["y"], 0, p["y"] - box[3]))
            for p in points
        ]
        assert min(away) >= 7
        if spots[i]["lead"]:
            assert min(away) > 16 or min(away) == away[i]
        else:
            assert min(away) == away[i] <= 16


# ---- what the text claims


def notebook_text():
    path = Path(__file__).parents[2] / "notebooks" / "07_alternatives.ipynb"
    return "\n".join("".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"])


def test_the_numbers_of_the_answer_are_those_of_the_records():
    text = notebook_text()
    training = [co.times_faster(co.bench_of(n, 256, co.TRAIN), sc.ADAPTIVE) for n in (2_000, 20_000, 100_000)]
    assert "3.4, 12 and 20 times faster" in text and [f"{x:.2g}" for x in training] == ["3.4", "12", "20"]
    for n in (2_000, 20_000, 100_000):
        bench = co.bench_of(n, 256, co.TRAIN)
        assert min(bench["points"], key=lambda p: p["seconds"])["name"] == sc.ADAPTIVE
    bench, single = co.bench_of(17_724, 256), co.bench_of(17_724, 1)
    points = {p["name"]: p for p in bench["points"]}
    planned, wide = (points[f"exact top-k, planned {part} %"] for part in (75, 85))
    assert f"planned 75 % is {co.times_faster(bench, planned['name']):.1f} times faster, and the next word" in text
    right = [f"{100 * p['right']:.1f}" for p in (planned, points["full softmax"], wide)]
    assert f"{right[0]} % of the places (full softmax: {right[1]} %)" in text
    assert f"planned 85 %, {co.times_faster(bench, wide['name']):.1f} times and {right[2]} %" in text
    # SVD-softmax on the trained model, both of its windows
    svds = [name for name in points if name.startswith("SVD-softmax")]
    assert max(co.times_faster(bench, name) for name in svds) < 1
    assert f"{co.asked_factor():.2f} times the speed for 256" in text
    assert f"{max(co.times_faster(single, name) for name in svds):.1f} at best for one" in text
    one = [
        co.times_faster(co.bench_of(20_000, 1), sc.SVD),
        co.times_faster(co.bench_of(100_000, 1), sc.SVD),
        co.times_faster(co.bench_of(800_000, 1), "SVD-softmax, W = 98, N = 8,000"),
    ]
    assert "{:.1f} times faster at 20,000, {:.1f} at 100,000 and {:.1f} at 800,000 (2 threads)".format(*one) in text
    assert f"({co.asked_factor():.2f} times)" in text
    experts = points["doubly sparse, 16 experts"]
    speeds = [co.times_faster(b, p["name"]) for b in (bench, single) for p in (experts, planned)]
    assert "({:.1f} and {:.1f} times); for one, the experts win ({:.1f} to {:.1f})".format(*speeds) in text
    assert f"at {100 * experts['right']:.1f} % of the places" in text
    row = next(r for _, f in sa.comparisons() for r in f["rows"] if r["what"] == "doubly sparse, 16 experts")
    assert f"{100 * row['outside']:.0f} % of the next words probability zero" in text
    small = co.bench_of(2_000, 256)
    best = max(co.times_faster(small, p["name"]) for p in small["points"])
    assert f"adaptive, all words, is {best:.1f} times faster" in text
    # beside the paper
    many = [
        co.times_faster(co.bench_of(800_000, 256), f"SVD-softmax, W = {w}, N = {n}")
        for w, n in ((98, "8,000"), (81, "40,000"))
    ]
    assert f"{one[2]:.1f} times for one hidden state, {many[0]:.1f} for 256" in text
    assert f"those 256 run at {many[1]:.1f} times the full softmax's speed" in text
    shares = {round(p["arithmetic"], 1) for p in co.bench_of(800_000, 256)["points"]}
    assert shares == {1.0, 0.2} and sa.record()["experts"]["exact"] == 10
    # SVD-softmax with a sixth of the multiplications
    assert 1 / points["SVD-softmax, W = d/8"]["arithmetic"] == pytest.approx(6, abs=0.05)
    assert (
        f"finds {100 * points['SVD-softmax, W = d/8']['same']:.1f} % of the ten best" in PREDICTIONS["sixth"].question
    )


@pytest.mark.parametrize(
    ("line", "fastest", "said"),
    [
        (0, ["adaptive"], "The adaptive softmax"),
        (1, ["exact top-k, planned 75 %"], "Exact top-k with planned cutoffs"),
        (
            2,
            ["doubly sparse, 16 experts"],
            "SVD-softmax",
        ),  # made from a trained full softmax, which the fastest are not
        (3, ["doubly sparse, 16 experts", "exact top-k, planned 75 %"], "16 experts and planned 75 % are too close"),
        (4, ["adaptive, all words"], "adaptive, all words"),
    ],
)
def test_each_line_of_the_answer_names_whom_the_figure_names(line, fastest, said):
    case = co.LINES[line]
    points = co.bench_of(case["n"], case["rows"], case["task"])["points"]
    points = sorted((p for p in points if p["exact"] or not case["exact"]), key=lambda p: p["seconds"])
    assert [p["name"] for p in points if p["q1"] <= points[0]["q3"]][: len(fastest)] == fastest
    # only in line 4 the first two cannot be told apart
    level = [p["name"] for p in points[1:] if p["q1"] <= points[0]["q3"] and points[0]["q1"] <= p["q3"]]
    assert bool(level) == (line == 3)
    assert said in notebook_text().split(f"\n{line + 1}. **")[1].split("\n")[0]


def test_the_question_on_pairs_takes_the_numbers_of_the_models():
    models = small_models.small_models()
    shares = models.adaptive.opened(models.adaptive_states, 10).float().mean(0).tolist()
    first, second = (f"{100 * share:.1f} %" for share in shares)
    assert f"{first} of the hidden states open tail 1 and {second} open tail 2" in QUESTIONS["pairs"].text
    data = scene.scene_data(models)
    costs = [scene.multiplications(data, {**data["states"][0], "opened": opened})[1] for opened in ([1, 0], [0, 1])]
    (head, tail_1), (_, tail_2) = costs
    for count in (head, tail_1, tail_2, data["n"] * data["d"]):
        assert f"{count:,}" in QUESTIONS["pairs"].text
    mean = 100 * (head + shares[0] * tail_1 + shares[1] * tail_2) / (data["n"] * data["d"])
    assert QUESTIONS["pairs"].expected() == pytest.approx(mean, abs=0.05)
    drawn = {sum(scene.multiplications(data, state)[1]) / (data["n"] * data["d"]) for state in data["states"]}
    assert [f"{100 * share:.0f}" for share in sorted(drawn)] == ["13", "22", "30"]
    assert "13, 22 or 30 %" in notebook_text()


def test_the_cell_in_code_computes_the_number_of_the_figure():
    """The recall of W = 6 and N = 821 that the panel reports."""
    models = small_models.small_models()
    cells = json.loads((Path(__file__).parents[2] / "notebooks" / "07_alternatives.ipynb").read_text())["cells"]
    source = next("".join(c["source"]) for c in cells if "torch.linalg.svd" in "".join(c["source"]))
    lines = source.strip().splitlines()
    room = {"explorer": made()}
    exec("\n".join(lines[:-1]), room)
    assert eval(lines[-1], room) == pytest.approx(windows.quality(models, 6, 821)["recall 10"], abs=1e-3)


# ---- state, questions


def test_choices_and_measurements_survive():
    def start():
        words = Vocabulary.synthetic(3000, name="synthetic")
        sizes = {"n_words": 2000, "in_features": 32, "batch": 16, "cutoffs": (200, 900)}
        return al.AlternativesExplorer(words, lesson="07t", **sizes, **QUICK)

    first = start()
    first.width, first.place, first.task, first.threshold = 9, 7, sc.TRAIN, 0.05
    first.train_experts(from_start=True, **QUIET)
    first.close()
    LIVE.clear()  # as after a restart of the kernel
    second = start()
    assert second is not first
    assert (second.width, second.place, second.task, second.threshold) == (9, 7, sc.TRAIN, 0.05)
    assert second.recall("experts") == first.recall("experts")
    second.forget()
    assert (second.width, second.place, second.task) == (6, 1, sc.BEST) and not second.checkpoint.exists()


def test_panels_shown_again_replace_the_old_ones(explorer):
    for make in (ap.svd_panel, ap.experts_panel, cp.case_panel):
        old = make(explorer)
        slots = len(explorer._slots)
        make(explorer)
        assert len(explorer._slots) == slots and old.comm is None


def test_predictions_are_what_the_panels_find(explorer):
    _, truth, *_ = PREDICTIONS["cheapest"]
    assert truth(explorer) == 100 * explorer.choose().utilisation == pytest.approx(22.08, abs=0.01)
    _, truth, *_ = PREDICTIONS["sixth"]
    assert truth(explorer) == co.asked_factor() < 1  # slower than the full softmax
