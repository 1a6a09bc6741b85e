"""The lesson on the layer: its numbers against brute force, its controls, its questions. No browser."""

import json
import math
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import ipywidgets as w
import numpy as np
import pytest
import torch
import traitlets
from panels import every, named, problem, said, wait

from adasoft import Vocabulary
from adasoft.lessons import COUNTED_MULTIPLICATIONS, own_text_panel
from adasoft.lessons.kit.exercises import judge
from adasoft.lessons.kit.grading import PREDICTIONS, QUESTIONS, grade, predict
from adasoft.lessons.kit.picker import CutPicker
from adasoft.lessons.kit.static_files import script
from adasoft.lessons.kit.widgets import LiveFigure, Slider
from adasoft.lessons.layer import bound as lb
from adasoft.lessons.layer import check_panels as lk
from adasoft.lessons.layer import comparisons as lc
from adasoft.lessons.layer import explorer as le
from adasoft.lessons.layer import figures as lf
from adasoft.lessons.layer import panels as lv
from adasoft.lessons.layer import path as lp
from adasoft.lessons.layer import widgets as lw
from adasoft.lessons.layer.exercises import EXERCISES

pytestmark = pytest.mark.usefixtures("one_thread")


def small(n=300, cutoffs=(40, 120), d=16, **more):
    words = [f"w{i}" for i in range(1, n + 1)]
    counts = np.maximum(1, (10_000 / np.arange(1, n + 1)).astype(int))
    vocabulary = Vocabulary(counts, words, name="made")
    return le.LayerExplorer(
        vocabulary, n_words=n, cutoffs=cutoffs, in_features=d, batch=256, word=100, cost=COUNTED_MULTIPLICATIONS, **more
    )


@pytest.fixture
def explorer():
    return small()


@pytest.fixture(scope="module")
def trained():
    explorer = small()
    explorer.train(60)
    return explorer


def brute(explorer, x):
    """log p of every word, one at a time, from the weights alone."""
    state = {k: v.detach().numpy() for k, v in explorer.layer.state_dict().items()}
    edges = [*explorer.cutoffs, len(explorer.vocabulary)]

    def log_softmax(values):
        top = max(values)
        return [v - top - math.log(sum(math.exp(u - top) for u in values)) for v in values]

    head = log_softmax([float(row @ x) for row in state["head.weight"]])
    out = head[: edges[0]]
    for i in range(len(edges) - 1):
        hidden = state[f"tail.{i}.0.weight"] @ x
        inside = log_softmax([float(row @ hidden) for row in state[f"tail.{i}.1.weight"]])
        out += [head[edges[0] + i] + v for v in inside]
    return np.array(out), head


# ---- the layer from the counts, and what it says


@pytest.mark.parametrize("cutoffs", [(1,), (40, 120), (299,), (5, 6, 7, 100, 250)])
def test_it_starts_from_the_counts_wherever_the_cutoffs_are(cutoffs):
    explorer = small(cutoffs=cutoffs)
    for state in (1, 7, le.STATES):
        explorer.state = state
        reading = explorer.reading()
        np.testing.assert_allclose(np.exp(reading.log_prob), explorer.vocabulary.shares, rtol=1e-12)
        np.testing.assert_allclose(reading.masses, explorer.token_shares, rtol=1e-12)


def test_words_without_a_count_get_less_than_any_other():
    explorer = le.LayerExplorer(Vocabulary([50, 20, 10, 5, 0, 0, 0], name="zeros"), cutoffs=(2, 4), word=1)
    p = np.exp(explorer.reading().log_prob)
    assert p.sum() == pytest.approx(1, abs=1e-12) and (p[4:] > 0).all() and p[4:].max() < p[3]
    assert explorer.word_name(4) == "word 5"


@pytest.mark.parametrize("rank", [1, 40, 41, 120, 121, 300])
def test_a_reading_against_brute_force(trained, rank):
    trained.word, trained.state = rank, 3
    reading = trained.reading()
    expected, head = brute(trained, trained.states[2].numpy())
    np.testing.assert_allclose(reading.log_prob, expected, rtol=1e-10)
    assert sum(reading.masses) == pytest.approx(1, abs=1e-12)
    assert reading.cluster == (0 if rank <= 40 else 1 if rank <= 120 else 2)
    entry = rank - 1 if rank <= 40 else 40 + reading.cluster - 1
    assert reading.head_part == pytest.approx(-head[entry], rel=1e-10)
    assert -reading.head_part - reading.tail_part == pytest.approx(expected[rank - 1], rel=1e-10)
    assert reading.forward == pytest.approx(expected[rank - 1], rel=1e-10)
    assert (reading.tail_part == 0) == (rank <= 40)
    sentence = lp.word_sentence(trained, reading)
    assert f"{-expected[rank - 1]:.4f} nats" in sentence and "forward() agrees." in sentence
    assert reading.best == [(i, pytest.approx(math.exp(expected[i]))) for i in np.argsort(-expected)[:10]]


@pytest.mark.parametrize("name", ["a", "counterrevolutionaries", "mmmmmmmmmmmmmmmm"])
def test_no_number_of_the_path_is_cut(name):
    words = [f"w{i}" for i in range(299)]
    words.insert(250, name)
    counts = np.maximum(1, (1e9 / np.arange(1, 301) ** 3).astype(int))
    explorer = le.LayerExplorer(
        Vocabulary(counts, words, name="made"),
        cutoffs=(40, 120),
        in_features=16,
        word=251,
        cost=COUNTED_MULTIPLICATIONS,
    )
    drawn = lp.path_svg(explorer, explorer.reading())
    lines = re.findall(r">((?:p|× p|= p)\([^<]*)<", drawn)
    assert len(lines) == 3 and all(re.search(r"= [\d.]+( × 10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)?$", line) for line in lines)
    assert max(map(len, lines)) <= 34  # 248 units before the tails begin


def test_a_short_part_of_a_bar_keeps_its_number():
    english = le.LayerExplorer("en", cost=COUNTED_MULTIPLICATIONS)
    drawn = lp.path_svg(english, english.reading())
    assert ">1.77<" in drawn and ">tail 1: 7.22<" in drawn and ">17.0 %<" in drawn and ">%<" not in drawn
    english.word = 1  # in the head there is one line, where the first would be
    assert ' y="84.0" font-weight="bold">p(the) = ' in lp.path_svg(english, english.reading())


def test_multiplications_by_hand(explorer):
    # d = 16: tails of width 8 (the floor), 80 and 180 words
    assert [lp.multiplications(explorer, i) for i in range(3)] == [
        16 * 42,
        16 * 42 + 16 * 8 + 8 * 80,
        16 * 42 + 16 * 8 + 8 * 180,
    ]


# ---- what may be set


def test_a_word_is_chosen_by_itself_or_by_its_rank(explorer):
    for text, rank in (("w7", 7), ("W7", 7), (" 250 ", 250), ("w300", 300)):
        explorer.choose(text)
        assert explorer.word == rank and explorer.rank == rank - 1
    with pytest.raises(ValueError, match="'zebra' is not among the 300 words"):
        explorer.choose("zebra")
    for bad in ("301", "0"):
        with pytest.raises(traitlets.TraitError, match="from 1 to V = 300"):
            explorer.choose(bad)
    assert explorer.word == 300


@pytest.mark.parametrize(
    ("name", "bad", "said"),
    [
        ("n_words", 19, "V should be from 20 to 10,000"),
        ("in_features", 3, "d should be from 4 to 128"),
        ("batch", 0, "B should be from 16"),
        ("state", 65, "hidden state should be from 1 to 64"),
        ("k", 51, "k should be from 1 to 50"),
    ],
)
def test_what_cannot_be_is_refused(explorer, name, bad, said):
    before = getattr(explorer, name)
    with pytest.raises(traitlets.TraitError, match=said):
        setattr(explorer, name, bad)
    assert getattr(explorer, name) == before


def test_the_words_are_cut_and_taken_again(explorer):
    big = Vocabulary(np.arange(1000, 0, -1), name="big")
    explorer.vocabulary = big
    assert len(explorer.vocabulary) == 300 and explorer.vocabulary.name == "big, first 300 words"
    explorer.n_words = 50
    assert len(explorer.vocabulary) == 50 and explorer.cutoffs == (40,) and explorer.rank == 49
    explorer.n_words = 2000
    assert len(explorer.vocabulary) == 1000 and explorer.vocabulary.name == "big"
    with pytest.raises(traitlets.TraitError, match="at least 2 words"):
        explorer.vocabulary = Vocabulary([3])
    explorer.cutoffs = ()
    with pytest.raises(ValueError, match="no cutoffs"):
        _ = explorer.layer


def test_choices_survive_a_restart(tmp_path, monkeypatch):
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path))
    first = small(lesson="05")
    first.n_words, first.cutoffs, first.word, first.state = 200, (30, 90), 77, 9
    first.vocabulary = Vocabulary([9, 8, 7] * 100, [f"own{i}" for i in range(300)], name="mine")
    first._choices.flush()
    again = small(lesson="05")
    assert (again.n_words, again.cutoffs, again.word, again.state) == (200, (30, 90), 77, 9)
    assert again.vocabulary.name == "mine, first 200 words" and len(again._whole) == 300
    again.forget()
    assert (again.n_words, again.cutoffs, again.word, again.state) == (300, (40, 120), 100, 1)
    assert again.vocabulary.name == "made"
    assert small(lesson="05").vocabulary.name == "made"


# ---- what is drawn


def test_drawn_words_follow_the_counts(explorer):
    x, target = explorer.drawn(40_000, np.random.default_rng(5))
    again, _ = explorer.drawn(40_000, np.random.default_rng(5))
    assert torch.equal(x, again) and x.shape == (40_000, 16) and (x[:, 0] == 1).all()
    share = np.bincount(target.numpy(), minlength=300) / 40_000
    p = explorer.vocabulary.shares
    assert (np.abs(share - p) < 5 * np.sqrt(p / 40_000)).all()


def test_entropies_by_hand(explorer):
    counts, least = explorer.entropies
    p = explorer.vocabulary.shares
    assert counts == pytest.approx(-sum(q * math.log(q) for q in p))
    chances, _ = explorer._situations()
    of_situation = [sum(p[i] * chances[i, z] for i in range(300)) for z in range(le.SITUATIONS)]
    mutual = sum(
        p[i] * chances[i, z] * math.log(chances[i, z] / of_situation[z])
        for i in range(300)
        for z in range(le.SITUATIONS)
    )
    assert least == pytest.approx(counts - mutual) and 0 < least < counts


def test_training_is_repeatable_and_learns(trained):
    other = small()
    assert other.losses == [] and other.train(60) == trained.losses == other.losses
    assert len(other.losses) == 60
    counts, _ = other.entropies
    assert np.mean(other.losses[-10:]) < counts - 0.2
    x, target = other.drawn(4000, np.random.default_rng(77))
    fresh = float(other.layer(x, target).loss.detach())
    assert fresh < counts - 0.2  # on tokens it has not seen
    first = other.layer
    other.cutoffs = (50, 120)
    assert other.losses == [] and other.layer is not first
    other.cutoffs = (40, 120)
    assert other.layer is first
    other.untrain()
    assert other.losses == []


def test_training_stops_and_keeps_what_it_has(explorer):
    seen = []
    assert len(explorer.train(50, progress=lambda step, _: seen.append(step), stop=lambda: len(seen) == 4)) == 4
    assert len(explorer.losses) == 4 and seen == [1, 2, 3, 4]

    def interrupt(step, _losses):
        if step == 3:
            raise KeyboardInterrupt

    explorer.cutoffs = (50, 130)
    assert len(explorer.train(50, progress=interrupt)) == 3 and len(explorer.losses) == 3

    def move(step, _losses):
        if step == 2:
            explorer.cutoffs = (60, 130)

    explorer.cutoffs = (55, 130)
    assert len(explorer.train(50, progress=move)) == 2
    assert explorer.losses == []
    assert explorer.train(0) == [] and explorer.losses == []


# ---- gradients


def plain_loss(layer, x, target):
    """The mean loss by log_softmax over all words, by autograd alone."""
    head = torch.log_softmax(x @ layer.head.weight.t(), 1)
    edges = layer.cutoffs
    parts = [head[:, : edges[0]]]
    for i, (projection, words) in enumerate(layer.tail):
        inside = torch.log_softmax(x @ projection.weight.t() @ words.weight.t(), 1)
        parts.append(inside + head[:, edges[0] + i : edges[0] + i + 1])
    return -torch.cat(parts, 1).gather(1, target.unsqueeze(1)).mean()


@pytest.mark.parametrize("name", ["head.weight", "tail.0.0.weight", "tail.1.1.weight"])
def test_the_gradient_check(trained, name):
    x, target = lc.gradient_batch(trained, False)
    assert set(torch.bucketize(target, torch.tensor(trained.cutoffs), right=True).tolist()) == {0, 1, 2}
    weight = dict(trained.layer.named_parameters())[name]
    (expected,) = torch.autograd.grad(plain_loss(trained.layer, x, target), weight)
    before = weight.detach().clone()
    check = lc.gradient_check(trained, name, 3, 2, -5.0, False)
    assert check.analytic == pytest.approx(float(expected[3, 2]), rel=1e-9)
    assert check.numeric == pytest.approx(check.analytic, rel=1e-5)
    assert check.error == pytest.approx(
        abs(check.numeric - check.analytic) / max(abs(check.numeric), abs(check.analytic))
    )
    errors = dict(check.curve)
    assert len(errors) == 13 and min(errors.values()) < 1e-7 < errors[1.0] and errors[1e-12] > 1e-7
    assert torch.equal(weight.detach(), before) and weight.grad is None  # the layer itself is left alone


def test_a_gradient_check_of_what_is_not_there(explorer):
    with pytest.raises(ValueError, match=r"no parameter 'tail.9.0.weight'; there are head.weight"):
        lc.gradient_check(explorer, "tail.9.0.weight", 0, 0, -5, False)
    with pytest.raises(ValueError, match=r"row 42 is refused: head\.weight has rows 0 to 41"):
        lc.gradient_check(explorer, "head.weight", 42, 0, -5, False)
    with pytest.raises(ValueError, match="column -1 is refused"):
        lc.gradient_check(explorer, "head.weight", 0, -1, -5, False)


def test_every_parameter_has_a_gradient_and_stock_leaves_some_unset(trained):
    rows = lc.gradient_table(trained, skip_last=True)
    assert [r.name for r in rows] == lc.parameter_names(trained) and len(rows) == 5
    for row in rows:
        if row.name.startswith("tail.1"):
            assert row.tokens == 0 and row.ours == 0.0 and row.stock is None
        else:
            assert row.tokens > 0 and row.ours == pytest.approx(row.stock, rel=1e-9) and row.ours > 0
    assert all(row.stock is not None and row.tokens > 0 for row in lc.gradient_table(trained, skip_last=False))


# ---- beside PyTorch's layer


def test_the_same_numbers_as_the_stock_layer(explorer):
    table = dict(lc.drop_in_table(explorer))
    assert table["keys of the state_dict"] == "the same"
    assert table["theirs into ours, ours into theirs"] == "both load"
    assert float(table["loss, theirs"]) == pytest.approx(float(table["loss, ours"]), rel=1e-5)
    for what in ("output", "gradients", "log_prob"):
        assert float(table[f"{what}, largest difference"]) < 1e-5
    assert table["predict, rows that agree"] == "64 of 64"


@pytest.mark.parametrize(
    ("case", "stock", "ours"),
    [
        ("sentences of words (three dimensions)", "RuntimeError: 0D or 1D target", None),
        ("padding (targets of -100)", "RuntimeError: Target values should be in", None),
        ("autocast to bfloat16", "RuntimeError: index_copy_", None),
        ("the ten best words", "AttributeError", "a tensor of shape (64, 10)"),
        ("a div_value that leaves a tail no width", "a tensor of shape (0, 16)", "ValueError: div_value=32.0"),
    ],
)
def test_what_only_one_of_them_takes(explorer, case, stock, ours):
    said = lc.drop_in_case(explorer, case)
    assert said[0].startswith(stock)
    if ours is None:
        assert 1 < float(said[1]) < 20
    else:
        assert said[1].startswith(ours)


def test_cases_that_both_answer(explorer):
    stock, ours = lc.drop_in_case(explorer, "a plain batch")
    assert float(stock) == pytest.approx(float(ours), abs=2e-6)
    stock, ours = lc.drop_in_case(explorer, "predict for sentences of words")
    assert ours == "a tensor of shape (8, 8)" != stock
    # the same tokens in sentences have the same loss, so the two rows can be compared
    assert (
        lc.drop_in_case(explorer, "sentences of words (three dimensions)")[1]
        == lc.drop_in_case(explorer, "a plain batch")[1]
    )
    lc.drop_in_case(explorer, "padding (targets of -100)")
    assert (lc._half(explorer)[1] >= 0).all()


def test_sizes_that_cannot_be_compared(explorer):
    explorer.in_features, explorer.cutoffs = 4, (10, 20, 30)
    with pytest.raises(ValueError, match="d = 4 cannot be halved 3 times"):
        lc.drop_in_table(explorer)
    explorer.cutoffs = ()
    with pytest.raises(ValueError, match="no cutoffs"):
        lc.drop_in_case(explorer, "a plain batch")


# ---- decoding


def test_pairs_against_brute_force(trained):
    edges = [*trained.cutoffs, 300]
    pairs = trained.pairs()
    bound, needed = np.zeros(len(pairs.ks)), np.zeros(len(pairs.ks))
    for x in trained.states.numpy():
        log_prob, head = brute(trained, x)
        best = sorted(log_prob, reverse=True)
        for j, k in enumerate(pairs.ks):
            for i in range(2):
                bound[j] += head[edges[0] + i] >= best[k - 1]
                needed[j] += max(log_prob[edges[i] : edges[i + 1]]) >= best[k - 1]
    total = 2 * le.STATES
    np.testing.assert_allclose(pairs.bound, bound / total, atol=1e-12)
    np.testing.assert_allclose(pairs.needed, needed / total, atol=1e-12)
    for k in (1, 10):  # exact: no tail that holds one of the k is passed over
        found, opened = trained.decoded(), torch.tensor([trained.opened(i, k) for i in range(le.STATES)])
        assert not ((found["within"] >= found["best"][:, k - 1 : k]) & ~opened).any()
    assert (pairs.needed <= pairs.opened).all() and (np.diff(pairs.bound) >= 0).all()


def test_the_prediction_asks_for_a_trained_layer(explorer, trained):
    with pytest.raises(ValueError, match=r"not trained for these cutoffs yet\. Press Train"):
        PREDICTIONS["opened"][1](explorer)
    assert PREDICTIONS["opened"][1](trained) == pytest.approx(100 * trained.pairs().bound[le.TOP.index(1)])
    assert PREDICTIONS["tail tokens"][1](explorer) == pytest.approx(256 * explorer.token_shares[-1])
    assert "made: the last tail holds 60 % of the words. Of 256 tokens" in PREDICTIONS["tail tokens"][0](explorer)
    assert 6 < PREDICTIONS["digits"][1](trained) < 13


def test_few_words_have_few_best():
    tiny = le.LayerExplorer(Vocabulary([9, 5, 4, 3, 2, 1], name="six"), cutoffs=(2, 4), in_features=8, word=6)
    assert tiny.pairs().ks == (1, 2, 3, 5)
    tiny.k = 10
    assert "word number 6" in lf.decoding_sentence(tiny)
    assert lf.decoding_figure(tiny).data and "<svg" in lp.path_svg(tiny, tiny.reading())


# ---- panels


def agree(box, explorer):
    """What the word panel shows is what the explorer holds."""
    assert problem(box) == ""
    (picker,) = every(box, CutPicker)
    reading, shown = explorer.reading(), said(box)
    assert tuple(picker.cuts) == explorer.cutoffs
    assert f">{reading.head_part + reading.tail_part:.2f} nats<" in shown
    assert f">head {100 * reading.masses[0]:.1f} %<" in shown and shown.count(">sum 1<") == 2
    assert shown.count(">runs<") == (reading.cluster > 0)
    assert shown.count(">not run<") == len(explorer.cutoffs) - (reading.cluster > 0)
    assert explorer.word_name(explorer.rank).strip("“”") == named(box, "word").value
    assert f"{reading.head_part + reading.tail_part:.4f} nats" in shown
    assert f"“w{reading.best[0][0] + 1}”" in shown or explorer.vocabulary.name != "made"


def test_every_control_of_the_word_panel(explorer):
    box = lv.word_panel(explorer)
    agree(box, explorer)
    named(box, "word").value = "w5"
    assert explorer.word == 5 and "the head alone" in said(box)
    assert every(box, CutPicker)[0].mark == [5, pytest.approx(explorer.vocabulary.shares[4]), "w5"]
    agree(box, explorer)
    named(box, "word").value = "zebra"
    assert "not among" in problem(box) and named(box, "word").value == "w5"
    named(box, "rank of the word").value = 200
    assert explorer.word == 200
    named(box, "rank").value = 10**1.8
    assert explorer.word == 63
    named(box, "number of the hidden state").value = 12
    named(box, "cutoff 1, words").value = 70
    assert explorer.cutoffs == (70, 120) and explorer.state == 12
    agree(box, explorer)
    every(box, CutPicker)[0].set_state({"moved": 1, "cuts": [70, 150]})
    assert explorer.cutoffs == (70, 150)
    named(box, "number of cutoffs").value = 4
    assert len(explorer.cutoffs) == 4 and said(box).count("not run") >= 3
    agree(box, explorer)
    named(box, "hidden size d").value = 8
    named(box, "words V").value = 5
    assert "V should be from 20" in problem(box) and named(box, "words V").value == 300
    named(box, "words V").value = 150
    assert len(explorer.vocabulary) == 150 and explorer.in_features == 8
    agree(box, explorer)
    named(box, "Reset").click()
    assert (explorer.cutoffs, len(explorer.vocabulary), explorer.in_features) == ((40, 120), 300, 16)
    assert (explorer.word, explorer.state) == (100, 1)
    agree(box, explorer)
    explorer.vocabulary = Vocabulary([9, 5, 4, 3, 2, 1], name="six")
    named(box, "Reset").click()
    assert explorer.word == 6 and len(explorer.cutoffs) == 1 and problem(box) == ""
    explorer.cutoffs = ()
    assert "no cutoffs" in problem(box)
    named(box, "number of cutoffs").value = 1
    agree(box, explorer)


def test_the_sum_does_not_depend_on_the_cutoffs_before_training(explorer):
    loss = []
    for cut in (20, 99, 100, 110):
        explorer.set_cutoff(0, cut)
        reading = explorer.reading()
        loss.append(reading.head_part + reading.tail_part)
        assert (reading.cluster == 0) == (cut >= 100)
    assert loss == pytest.approx([-math.log(explorer.vocabulary.shares[99])] * 4)


# ---- the batch that slides


def test_a_batch_is_sorted_as_the_layer_sorts_it(explorer):
    targets = [99, 3, 250, -100, 0, 41, 3, 120]
    routed = lf.routed_batch(explorer, targets)
    rank = [300 if t < 0 else t for t in targets]
    assert routed.order == sorted(range(8), key=lambda i: rank[i])
    assert routed.sizes == [3, 2, 2, 1]


def node(expression):
    """What the JavaScript of the picture says, run without a page."""
    code = script("dom.js", Path(lw.__file__).parent / "static" / "batch.js")
    program = f"{code}\nconsole.log(JSON.stringify({expression}));"
    command = [shutil.which("node"), "--input-type=module", "-e", program]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


needs_node = pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")


@needs_node
def test_the_page_sorts_and_counts_as_the_layer(explorer):
    rng = np.random.default_rng(8)
    edges, widths = [0, *explorer.layer.cutoffs], [16, *explorer.widths]
    for n in (1, 7, 24):
        targets = rng.integers(-1, 300, n).tolist()
        routed = lf.routed_batch(explorer, [-100 if t < 0 else t for t in targets])
        page = node(f"routed({[t + 1 for t in targets]}, {edges})")
        assert (page["order"], page["sizes"]) == (routed.order, routed.sizes)
        work = node(f"work({routed.sizes}, {edges}, {widths})")
        rows = sum(routed.sizes[:-1])
        products = sum(size * lp.multiplications(explorer, i) for i, size in enumerate(routed.sizes[:-1]))
        assert (work["rows"], work["all"], work["full"]) == (rows, 300 * rows, 16 * 300 * rows)
        assert work["products"] == products
        assert work["scores"] == rows * 42 + routed.sizes[1] * 80 + routed.sizes[2] * 180


@needs_node
def test_the_page_draws_words_by_their_counts_and_reads_sentences(explorer):
    counts = explorer.vocabulary.counts.tolist()
    drawn = node(f"drawn({counts}, 20000, 3)")
    assert drawn == node(f"drawn({counts}, 20000, 3)") != node(f"drawn({counts}, 20000, 4)")
    share, p = np.bincount(np.array(drawn) - 1, minlength=300) / 20_000, explorer.vocabulary.shares
    assert (np.abs(share - p) < 5 * np.sqrt(p / 20_000)).all()
    assert node("tokens('It’s The 1995 sto-ry, OK?')") == ["it’s", "the", "0000", "sto", "ry", "ok"]


def test_what_the_batch_panel_tells_the_page(explorer):
    box = lv.batch_panel(explorer)
    (scene,) = every(box, lw.BatchScene)
    assert scene.data["cuts"] == [40, 120] and scene.data["widths"] == [16, 8, 8]
    assert scene.data["words"][:2] == ["w1", "w2"] and scene.data["sentences"] == []
    explorer.set_cutoff(0, 50)
    assert scene.data["cuts"] == [50, 120]
    explorer.cutoffs = ()
    assert "no cutoffs" in problem(box)


def test_the_first_batches_open_both_tails_and_then_leave_the_last_closed():
    english = le.LayerExplorer("en", cost=COUNTED_MULTIPLICATIONS)
    data = lw.batch_data(english)
    for sentence, sizes in zip(data["sentences"], ([15, 3, 3, 0], [19, 1, 0, 0]), strict=True):
        ranks = [english.vocabulary.rank_of(word) for word in sentence]
        assert lf.routed_batch(english, ranks).sizes == sizes and len(sentence) <= 24


def test_the_panel_of_a_whole_batch(explorer):
    counted = lf.counted_batch(explorer, 0)
    assert sum(counted.drawn) == 256 and counted.expected == [256 * p for p in explorer.token_shares]
    box = lv.counts_panel(explorer)
    assert f"{counted.drawn[2]} drawn, {counted.expected[2]:.0f} expected" in said(box) and "guess" not in said(box)
    before = said(box)
    named(box, "Draw another").click()
    assert said(box) != before and problem(box) == ""
    explorer.remember("guess tail tokens", 90)
    named(box, "tokens in the batch B").value = 128
    assert explorer.batch == 128 and "of 128 tokens" in said(box) and "your guess: 90" in said(box)
    explorer.remember("result tail tokens", {"truth": 9.0, "unit": "tokens", "question": "of English"})
    explorer.version += 1
    assert "your guess" not in said(box) and "guessed for others: 90" in said(box)
    question = PREDICTIONS["tail tokens"].question(explorer)
    explorer.remember("result tail tokens", {"truth": 9.0, "unit": "tokens", "question": question})
    explorer.version += 1
    assert "your guess: 90" in said(box)
    named(box, "tokens in the batch B").value = 3
    assert "B should be from 16" in problem(box) and named(box, "tokens in the batch B").value == 128


def test_the_layout_beside_the_paper(explorer):
    box = lv.layout_panel(explorer)
    assert "22.7 million weights, 83 minutes" in said(box) and "3.2 million weights, 30 minutes" in said(box)
    weights = sum(p.numel() for p in explorer.layer.parameters())
    assert lp.layout_sentence(explorer) in said(box)
    assert f"Yours: 300 words, {weights:,} weights, {300 * 16 / weights:.1f} times fewer than full" in said(box)


def test_the_gradient_panel(explorer):
    box = lk.gradient_panel(explorer)
    name, row, column = (named(box, d) for d in ("parameter", "row, from 0", "column, from 0"))
    assert ("tail 2 · tail.1.1.weight", "tail.1.1.weight") in name.options and "PyTorch's layer" not in said(box)
    check = lc.gradient_check(explorer, "head.weight", 0, 1, -5.0, False)
    # what is first shown follows the batch
    assert lc.gradient_check(explorer, "head.weight", 0, 1, -5.0, True).analytic != pytest.approx(check.analytic)
    assert f"{check.analytic:+.15e}" in said(box) and f"{check.numeric:+.15e}" in said(box)
    name.value = "tail.1.1.weight"
    row.value, column.value = 17, 3
    check = lc.gradient_check(explorer, "tail.1.1.weight", 17, 3, -5.0, False)
    assert f"{check.analytic:+.15e}" in said(box) and "tail.1.1.weight[17, 3]" in said(box)
    row.value = 180
    assert "row 180 is refused" in problem(box) and row.value == 17
    named(box, "step, power of ten").value = -3
    assert "ε = 0.001" in said(box) and problem(box) == ""
    named(box, "step ε").value = -7.0
    assert "ε = 1e-07" in said(box) and named(box, "step, power of ten").value == -7
    named(box, "step, power of ten").value = 2
    assert "should be from -12 (a trillionth) to 0 (one), got 2" in problem(box)
    explorer.remember("guess digits", 14)
    named(box, "step, power of ten").value = -4
    assert said(box).count("your guess") == 1
    named(box, "a batch without tokens of the last tail").value = True
    assert "No token used tail 2 · tail.1.0.weight, tail 2 · tail.1.1.weight" in said(box) and ">None<" in said(box)
    row.value, column.value = 170, 3
    assert "Both are exactly zero" in said(box) and "digits; of the steps" not in said(box)
    assert "nothing to compare</text>" in said(box) and "your step" not in said(box)
    row.value = 17
    explorer.cutoffs = (40, 290)  # the tail has 10 words now: row 17 is gone
    assert problem(box) == "" and "tail.1.1.weight[9, 3]" in said(box) and row.value == 9
    explorer.cutoffs = (40,)
    assert problem(box) == "" and name.value == "head.weight"


def test_the_drop_in_panel(explorer):
    box = lk.drop_in_panel(explorer)
    assert "64 of 64" in said(box) and "A plain batch: Both answer, the same" in said(box)
    verdicts = set()
    for case in lc.CASES:
        named(box, "give both layers").value = case
        told = f"{case[0].upper()}{case[1:]}: "
        assert problem(box) == "" and told in said(box)
        verdicts.add(said(box).split(told)[1][:20])
    assert len(verdicts) == 4


def test_the_decoding_panel(trained):
    box = lv.decoding_panel(trained)
    (figure,) = every(box, LiveFigure)
    pairs = trained.pairs()
    assert list(figure.data[3].y) == pytest.approx(list(pairs.bound))
    named(box, "best words asked for, k").value = 3
    assert trained.k == 3 and list(figure.data[6].x) == [3] and "word number 3" in said(box)
    words = [rank for rank, _ in trained.best_words(3)]
    assert words == np.argsort(-trained.layer.log_prob(trained.states[trained.state - 1]).detach().numpy())[:3].tolist()
    assert all(f"<em>w{rank + 1}</em>" in said(box) for rank in words) and said(box).count('adasoft-chip"') == 3
    trained.remember("guess opened", 40)
    best = trained.decoded()["best"]
    assert figure.data[2].y[0] == pytest.approx(float(best[trained.state - 1, 2].exp()))
    named(box, "k").value = 20
    assert trained.k == 20 and (figure.data[7].x[0], figure.data[7].y[0]) == (1, 0.4)
    named(box, "hidden state").value = 33
    assert trained.state == 33
    named(box, "number of the hidden state").value = 99
    assert "hidden state should be from 1 to 64" in problem(box) and trained.state == 33
    named(box, "Reset").click()
    assert (trained.state, trained.k) == (1, 1) and "not trained" not in said(box)
    trained.k = 10
    named(box, "with the second rule").value = False
    assert figure.data[4].visible is False and "second rule, topk" not in said(box) and "<svg" not in said(box)
    assert figure.data[6].y[0] == figure.data[3].y[5 - 1]
    named(box, "with the second rule").value = True
    assert figure.data[4].visible is True and "second rule, topk opens" in said(box) and "<svg" in said(box)
    assert figure.data[6].y[0] == figure.data[4].y[5 - 1]
    trained.remember("result opened", {"truth": 12.0, "unit": "%", "question": ""})
    trained.version += 1
    assert "When you guessed, it was 12 % for the best word; with this layer, it is" in said(box)
    trained.unremember("result opened")


def test_the_first_rule_alone(trained):
    trained.k = 1
    for state in (1, 20, 40):
        trained.state = state
        found = trained.decoded()
        by_rule = (found["tails"][state - 1] >= found["best"][state - 1, 0]).tolist()
        assert lf.left_open(trained, 1, second=False) == by_rule
        data, _ = lf.decoding_data(trained, second=False)
        assert [mark == " open" for mark in data[0]["text"]] == by_rule
        sentence = lf.decoding_sentence(trained, second=False)
        for i, left in enumerate(by_rule):
            assert ("is skipped" in sentence.split(f"tail {i + 1} (")[1].split(",")[0].split(";")[0]) != left


def test_open_and_skip_are_told_apart(trained):
    """A tail that is skipped holds none of the words wanted; one that holds some is open. In figure and sentence."""
    marks = set()
    for k, state in [(k, state) for k in (1, 50) for state in range(1, 65)]:
        trained.k, trained.state = k, state
        data, _ = lf.decoding_data(trained)
        threshold, sentence = data[2]["y"][0], lf.decoding_sentence(trained)
        for i, (mark, best) in enumerate(zip(data[0]["text"], data[1]["y"], strict=True)):
            assert best < threshold or mark == " open"
            told = "is skipped" if mark == " skip" else "is opened"
            assert told in sentence.split(f"tail {i + 1} (")[1].split(",")[0]
            marks.add((mark, bool(best < threshold)))
    assert {(" skip", True), (" open", False)} <= marks


def test_the_loss_has_ticks(trained):
    drawn = lf.loss_svg(trained.losses, trained.entropies, 60)
    low, high = min([*trained.losses, *trained.entropies]), max([*trained.losses, *trained.entropies])
    ticks = [float(x) for x in re.findall(r">(\d\.[05])<", drawn)]
    assert len(ticks) >= 2 and low - 0.1 <= min(ticks) and max(ticks) <= high + 0.1
    assert (np.diff(ticks) == 0.5).all() or (np.diff(ticks) == 1).all()


def test_the_second_rule_is_drawn_as_it_decides(trained):
    """Every word lies within its circle, left of its line; what the two lines say is what topk does, for all states."""
    told = set()
    for k, state in [(k, state) for k in (1, 10, 50) for state in range(1, 65)]:
        trained.state = state
        views, opened, x = lb.nearest_blocks(trained, k), trained.opened(state - 1, k), trained.states[state - 1]
        assert opened == [view.left and not view.skipped for view in views]
        best = trained.layer.topk(x, k).indices
        for view, (projection, words) in zip(views, trained.layer.tail, strict=True):
            z, start = projection(x).detach(), view.first - trained.cutoffs[view.tail - 1]
            own = words.weight.detach()[start : start + len(view.words)]
            assert view.words[:, 0] == pytest.approx((own @ z / z.norm()).numpy())
            assert view.most == pytest.approx(float((own.mean(0) @ z) / z.norm()) + view.radius)
            apart = np.linalg.norm(view.words - np.array(view.mean), axis=1)
            assert apart.max() <= view.radius * (1 + 1e-9) and view.words[:, 0].max() <= view.most + 1e-9
            inside = torch.bucketize(best, torch.tensor(trained.cutoffs), right=True) == view.tail
            assert view.holds >= bool(inside.any()) and (view.holds or not inside.any())
            told.add(lb.verdict(view))
            assert f">tail {view.tail}: {lb.verdict(view)}<" in lb.bound_svg(trained, k)
    assert told == {
        "closed by the first rule",
        "closed by the second rule",
        "opened in vain",
        "opened for one of the best",
    }
    trained.state = 1


def test_the_drawing_of_odd_layers():
    tiny = le.LayerExplorer(Vocabulary([9, 5, 4, 3, 2, 1], name="six"), cutoffs=(2, 4), in_features=8, word=6)
    assert lb.bound_svg(tiny, 6).count(">tail ") == 2  # more words than those before a tail: nothing can be skipped
    assert not any(view.skipped for view in lb.nearest_blocks(tiny, 6))
    many = small(cutoffs=(5, 6, 7, 100, 250))
    assert lb.bound_svg(many, 3).count(">tail ") == lb.MOST


def test_the_last_panel_says_where_nothing_is_trained():
    fresh = small()
    box = lv.decoding_panel(fresh)
    assert lv.UNTRAINED in said(box) and lv.TO_DECODE not in said(box)
    # the guess is not refuted there: what it was held against needs a trained layer
    assert "a trained layer's" in lv.UNTRAINED and "When you guessed" not in said(box)
    fresh.train(1)
    assert fresh.losses and lv.TO_DECODE in said(box) and lv.UNTRAINED not in said(box)


def test_training_in_the_background(explorer):
    box = lv.train_panel(explorer, steps=30)
    train, stop, bar = (named(box, d) for d in ("Train", "Stop", "step"))
    assert "Not trained yet" in said(box) and stop.disabled
    threads = threading.active_count()
    train.click()
    wait(lambda: stop.disabled and not train.disabled)
    assert len(explorer.losses) == 30 == bar.value and "30 steps of 256 tokens" in said(box)
    wait(lambda: threading.active_count() <= threads)
    named(box, "Back to the counts").click()
    assert explorer.losses == [] and "Not trained yet" in said(box) and bar.value == 0
    explorer.cutoffs = ()
    train.click()
    assert "no cutoffs" in problem(box) and not train.disabled


def test_a_stop_before_the_first_step_ends_cleanly(explorer, monkeypatch):
    late = threading.Event()
    train = explorer.train
    monkeypatch.setattr(explorer, "train", lambda steps, **how: (late.wait(20), train(steps, **how))[1])
    box = lv.train_panel(explorer, steps=30)
    named(box, "Train").click()
    assert "Training ..." in said(box)
    named(box, "Stop").click()
    assert "Stopping" in said(box) and named(box, "Stop").disabled
    late.set()
    wait(lambda: not named(box, "Train").disabled)
    wait(lambda: "Stopped before the first step" in said(box))
    assert named(box, "Stop").disabled and explorer.losses == [] and "<svg" in said(box)


def test_training_is_stopped_by_its_button(explorer):
    box = lv.train_panel(explorer, steps=100_000)
    train, stop = named(box, "Train"), named(box, "Stop")
    train.click()
    wait(lambda: named(box, "step").value >= 10)
    stop.click()
    wait(lambda: not train.disabled)
    assert 10 <= len(explorer.losses) < 100_000 and "The loss was" in said(box)


def test_training_ends_when_the_cutoffs_move(explorer):
    box = lv.train_panel(explorer, steps=100_000)
    named(box, "Train").click()
    wait(lambda: named(box, "step").value >= 10)
    explorer.cutoffs = (50, 200)
    wait(lambda: not named(box, "Train").disabled)
    assert explorer.losses == [] and "the cutoffs changed" in said(box)


PANELS = (
    lv.batch_panel,
    lv.counts_panel,
    lv.layout_panel,
    lv.word_panel,
    lk.gradient_panel,
    lk.drop_in_panel,
    lv.train_panel,
    lv.decoding_panel,
)


def test_a_cell_run_again_replaces_its_panel(explorer):
    panels = PANELS
    first = [panel(explorer) for panel in panels]
    handlers = len(explorer._trait_notifiers["version"]["change"])
    for panel in panels:
        panel(explorer)
    assert len(explorer._trait_notifiers["version"]["change"]) == handlers
    assert all(box.comm is None for box in first)


def test_every_control_has_a_name(explorer):
    kinds = (w.Button, w.Text, w.IntText, w.FloatText, w.Dropdown, w.Checkbox, Slider)
    for panel in PANELS:
        box = panel(explorer)
        assert all(x.description for kind in kinds for x in every(box, kind)) and problem(box) == ""
        assert not re.search(r"\b[kpdc]_\w", said(box)), "a letter with a raw underscore"


# ---- questions


@pytest.mark.parametrize("key", ["chain", "rows", "difference", "gradients", "skip"])
def test_questions_and_their_wrong_answers(key):
    question = QUESTIONS[key]
    assert grade(key, question.expected()).status == "correct"
    assert len(question.wrong) >= 3
    for hint, wrong in question.wrong.items():
        verdict = grade(key, wrong())
        assert (verdict.status, verdict.hint) == ("not yet", hint)


@pytest.mark.parametrize(
    ("key", "typed", "status", "hint"),
    [
        ("chain", "-log(0.2*0.01)", "correct", ""),
        ("chain", "-ln(0.002)", "correct", ""),
        ("chain", "ln 500", "correct", ""),
        ("chain", "1.6", "not yet", "the head's part alone"),
        ("chain", "log(0.2)+log(0.01)", "not yet", "The minus is missing"),
        ("chain", "8.97", "not yet", "base 2"),
        ("chain", "4.6", "not yet", "the tail's part alone"),
        ("rows", "1,150", "not yet", "You left out tail 2"),
        ("rows", "1050", "not yet", "You left out tail 1"),
    ],
)
def test_answers_as_readers_type_them(key, typed, status, hint):
    verdict = grade(key, typed)
    assert verdict.status == status and hint in verdict.hint


def test_another_guess_leaves_the_first_in_its_figure(explorer):
    box = predict("tail tokens", explorer, then=lambda: lv.counts_panel(explorer))
    entry, _ = box.children
    for guess in ("50", "70"):
        entry.submit(guess)
        assert "your guess: 50" in said(box) and "your guess: 70" not in said(box)
    assert "This time you said" in entry.verdict


# ---- what the notebook says


def test_digits_are_compared_by_their_difference(explorer):
    box = predict("digits", explorer)
    entry, _ = box.children
    truth = PREDICTIONS["digits"].truth(explorer)
    entry.submit("14")
    assert f"{14 - truth:.1f} digits too many" in entry.verdict and "factor" not in entry.verdict
    entry.submit(f"{truth + 0.2:.1f}")
    assert "close" in entry.verdict
    entry.submit("3")
    assert f"{truth - 3:.1f} digits too few" in entry.verdict


def test_the_digits_do_not_follow_the_panel(explorer):
    truth = PREDICTIONS["digits"].truth(explorer)
    box = lk.gradient_panel(explorer)
    entry, _ = predict("digits", explorer).children
    entry.submit("12")
    said_first = entry.verdict
    named(box, "a batch without tokens of the last tail").value = True
    explorer.vocabulary, explorer.cutoffs = Vocabulary(np.arange(200, 0, -1), name="other"), (20, 90)
    explorer.train(1)
    assert PREDICTIONS["digits"].truth(explorer) == truth == round(truth, 1) and entry.verdict == said_first
    first = le.LayerExplorer("en", cost=COUNTED_MULTIPLICATIONS)
    check = lc.gradient_check(first, "head.weight", 0, lc.FIRST_COLUMN, -5.0, False)
    assert truth == pytest.approx(-math.log10(min(error for _, error in check.curve)), abs=0.06)


def test_the_guess_sets_the_panel_to_the_best_word(trained):
    trained.k = 20
    box = predict("opened", trained, then=lambda: lv.decoding_panel(trained))
    entry, _ = box.children
    entry.submit("20")
    assert trained.k == 1 and "% of the pairs</b>" in entry.verdict and "for the best word, the first rule" in said(box)
    assert "<svg" in said(box)  # the circles are there without a tick
    trained.unremember("guess opened", "result opened")


def test_a_hidden_state_says_where_it_changes_nothing():
    fresh = small()
    box = lv.word_panel(fresh)
    assert lv.ALIKE in said(box)
    fresh.train(1)
    assert lv.ALIKE not in said(box)


def test_a_wrong_shape_is_called_wrong(explorer):
    case = "predict for sentences of words"
    stock, ours = lc.drop_in_case(explorer, case)
    verdict = lc.drop_in_verdict(stock, ours, lc.RIGHT[case])
    assert verdict.startswith("Both answer, and PyTorch's is wrong: what was given needs (8, 8)")
    assert lc.drop_in_verdict(ours, ours, lc.RIGHT[case]) == "Both answer."


def test_the_whole_target_in_the_head_has_a_hint():
    def whole(hidden, target, head, tails, cutoffs):
        return torch.nn.functional.cross_entropy(hidden @ head.T, target)

    verdict = judge(EXERCISES["adaptive loss"], whole)
    assert "out of bounds. Do you give the head the whole target?" in verdict.text and ".." not in verdict.text


def write_it(**how):
    """The loss as a reader writes it with F.cross_entropy."""
    import torch.nn.functional as F

    def loss(hidden, target, head, tails, cutoffs):
        edges = [*cutoffs, cutoffs[-1] + len(tails[-1][1])]
        entry, parts = target.clone(), []
        for i, (P, W) in enumerate(tails):
            inside = (edges[i] <= target) & (target < edges[i + 1])
            entry[inside] = cutoffs[0] + i
            if how.get("guard") and not inside.any():
                continue
            parts.append(
                F.cross_entropy(
                    hidden[inside] @ P.T @ W.T, target[inside] - edges[i], reduction=how.get("tails", "mean")
                )
            )
        if how.get("clamp"):
            entry = target.clamp(max=len(head) - 1)
        whole = F.cross_entropy(hidden @ head.T, entry, reduction=how.get("head", "mean"))
        tail = sum(parts) / (len(target) if how.get("tails") == "sum" and how.get("head") != "sum" else 1)
        return {"head": whole, "tails": tail}.get(how.get("only"), whole + tail)

    return loss


@pytest.mark.parametrize(
    ("how", "hint"),
    [
        ({"tails": "sum"}, ""),
        ({}, "NaN for a tail without any"),
        ({"guard": True}, "a tail of one token weighs"),
        ({"only": "head"}, "head's part alone"),
        ({"only": "tails", "tails": "sum"}, "tails' parts alone"),
        ({"clamp": True, "tails": "sum"}, "as clamped targets do"),
        ({"clamp": True, "only": "head"}, "tails' own parts are missing"),
        ({"tails": "sum", "head": "sum"}, "sum over the batch"),
    ],
)
def test_what_readers_write_is_recognised(how, hint):
    verdict = judge(EXERCISES["adaptive loss"], write_it(**how))
    assert hint in verdict.text and (verdict.status == "correct") == (not hint)
    if hint:
        assert [name for name, _ in verdict.rows][:2] == ["yours", "expected"]
        assert "<details" in verdict.html.split("expected")[1]


def test_back_to_english_restores_the_cutoffs_and_the_training(tmp_path):
    explorer = le.LayerExplorer("en", cost=COUNTED_MULTIPLICATIONS)
    losses = explorer.train(2)
    box = own_text_panel(explorer)
    file = tmp_path / "own.txt"
    file.write_text("one two three four five one two three one two", encoding="utf-8")
    named(box, "or its path").value = str(file)
    named(box, "Read it").click()
    wait(lambda: len(explorer.vocabulary) < 20)
    wait(lambda: not named(box, "Read it").disabled)
    assert explorer.cutoffs != (500, 2000) and explorer.losses == []
    named(box, "Back to English").click()
    assert explorer.cutoffs == (500, 2000) and len(explorer.vocabulary) == 5000
    assert explorer.losses == losses and len(losses) == 2


@pytest.fixture(scope="module")
def cells():
    path = Path(__file__).resolve().parents[2] / "notebooks" / "05_layer.ipynb"
    return [(c["cell_type"], "".join(c["source"])) for c in json.loads(path.read_text(encoding="utf-8"))["cells"]]


def test_the_cell_in_code_computes_what_the_panel_shows(trained, cells):
    (code,) = [source for kind, source in cells if kind == "code" and "edges = [" in source]
    for rank in (5, 100, 250):
        trained.word, trained.state = rank, 4
        room = {"torch": torch, "explorer": trained}
        exec(code.rsplit("\n", 1)[0], room)
        reading = trained.reading()
        assert -room["result"].item() == pytest.approx(reading.head_part + reading.tail_part, rel=1e-12)
        assert eval(code.rsplit("\n", 1)[1], room) == f"“w{rank}”: {reading.head_part + reading.tail_part:.4f} nats"


def test_the_numbers_beside_the_paper(cells):
    """Sizes, minutes and perplexities are the paper's and its code's; the rest follows from them."""
    text = " ".join("\n".join(source for kind, source in cells if kind == "markdown").split())
    n, cutoffs, d = lp.TEXT8
    weights = lp.layer_weights([2000, 8000, n - 10_000], [d // 4, d // 16], d)
    assert f"**{n * d / weights:.1f} times fewer** weights" in text
    paper = lp.layer_weights([2000, 8000, n - 10_000], [d // 4, d // 4], d)
    assert f"or {n * d / paper:.1f} times with the widths that the paper gives" in text
    full, adaptive = lp.MINUTES
    assert f"{adaptive} minutes instead of {full}, only {full / adaptive:.1f} times faster" in text
    assert "at a perplexity of 147 instead of 144" in text and f"cutoffs {cutoffs[0]:,} and {cutoffs[1]:,}" in text
    mine = le.LayerExplorer("en", cost=COUNTED_MULTIPLICATIONS)
    own = sum(p.numel() for p in mine.layer.parameters())
    assert "Your layer" not in text  # the panel says what follows the cutoffs
    said_there = lp.layout_sentence(mine)
    assert f"{5000 * 32 / own:.1f} times fewer weights" in said_there
    assert (
        f"holds 10 % of the words, theirs {100 * cutoffs[0] / n:.2g} %" in said_there and "tails: 8, 8 " in said_there
    )
    mine.cutoffs = (1000, 2000)
    own = sum(p.numel() for p in mine.layer.parameters())
    assert f"{5000 * 32 / own:.1f} times fewer weights" in lp.layout_sentence(mine)
    assert "5,000 most frequent English words" in text and len(mine.vocabulary) == 5000


def test_what_the_notebook_says_of_decoding(cells):
    text = " ".join("\n".join(source for kind, source in cells if kind == "markdown").split())
    assert "For one best word the first rule skips more than half of the pairs, for ten none" in text
    assert "the tenth word has 0.2 to 3 %, a tail 1 to 28 %, but spread over many words" in text
    assert "The second rule closes tail 2 in every fifth pair or so" in text
    english = le.LayerExplorer("en", cost=COUNTED_MULTIPLICATIONS)
    english.train()
    english.k = 10
    pairs, found = english.pairs(), english.decoded()
    assert pairs.bound[pairs.ks.index(1)] < 0.5 and pairs.bound[pairs.ks.index(10)] > 0.995
    tenth, tails = found["best"][:, 9].exp(), found["tails"].exp()
    assert float(tenth.min()) == pytest.approx(0.002, abs=0.0005) and float(tenth.max()) == pytest.approx(
        0.03, abs=0.003
    )
    assert float(tails.min()) == pytest.approx(0.01, abs=0.003) and float(tails.max()) == pytest.approx(0.28, abs=0.02)
    opened = torch.tensor([english.opened(row, 10) for row in range(le.STATES)])
    assert opened[:, 0].all() and 0.15 < 1 - float(opened.double().mean()) < 0.25
    assert (
        lf.decoding_sentence(english, second=False).count("the first rule skips none; only 3.9 % held a wanted word.")
        == 1
    )


def test_the_other_lessons_do_not_wait_for_torch():
    code = "import sys, adasoft.lessons; print('torch' in sys.modules); adasoft.lessons.LayerExplorer"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        __import__("adasoft.lessons").lessons.nothing  # noqa: B018
