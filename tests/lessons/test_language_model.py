"""The lesson on perplexity: texts, runs in turns, stored runs, sentences and panels; tiny models, a clock of ours."""

import json
import lzma
import math
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import ipywidgets as w
import numpy as np
import pytest
import torch
from labels import Labels
from panels import every, figure_of, named, problem, said, wait

from adasoft import MeasuredCost, Vocabulary
from adasoft.lessons.kit import parts
from adasoft.lessons.kit.exercises import judge
from adasoft.lessons.kit.grading import PREDICTIONS, grade, predict
from adasoft.lessons.language_model import explorer as ts
from adasoft.lessons.language_model import figures as tf
from adasoft.lessons.language_model import looks as lk
from adasoft.lessons.language_model import own_cell as oc
from adasoft.lessons.language_model import own_cell_panel as cp
from adasoft.lessons.language_model import panels as tp
from adasoft.lessons.language_model import recorded_panels as rp
from adasoft.lessons.language_model import recorded_sessions as rs
from adasoft.lessons.language_model import sentences as se
from adasoft.lessons.language_model import texts as tx
from adasoft.lessons.language_model import trainer as tr
from adasoft.lessons.language_model import turns as tt
from adasoft.lessons.language_model import writing_panel as wp
from adasoft.lessons.language_model.exercises import EXERCISES
from adasoft.lessons.time_model.timings import TooLarge
from adasoft.lm.run import Run
from adasoft.lm.settings import Partition, Settings
from adasoft.results.folders import results_folder

pytestmark = pytest.mark.usefixtures("one_thread")
KINDS = {"product": [1e-4, 3e-11, 5e-9, 2e-9, 6e-9, 0], "projection": [1e-5, 5e-11, 0, 0], "rows": [1e-5, 0, 0]}
QUIET = {"tick": lambda _done, _text: None, "heard": lambda *_: None}


def text(n=6_000, seed=0):
    """Lines of ten words, each of which makes its next word likely."""
    rng = np.random.default_rng(seed)
    ids = [0]
    for _ in range(n):
        ids.append((ids[-1] * 7 + 3) % 80 if rng.random() < 0.6 else int(80 * rng.random() ** 3))
    words = [f"w{i}" if i else "The" for i in ids]
    return "\n".join(" ".join(words[i : i + 10]) for i in range(0, n, 10)) + "\n"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def clock(monkeypatch):
    """A clock of training by which each of the five parts of a step takes 5 ms."""
    ticks = iter(range(10**9))
    monkeypatch.setattr("adasoft.lm.clock.time", SimpleNamespace(perf_counter=lambda: 5e-3 * next(ticks)))


@pytest.fixture
def path(tmp_path):
    (tmp_path / "own.txt").write_text(text())
    return tmp_path / "own.txt"


def made(path, **more):
    cost = MeasuredCost({"train": KINDS, "decode": KINDS}, {"train": 5e-5, "decode": 1e-5}, name="made by hand")
    words = Vocabulary.synthetic(3000, name="synthetic")
    sizes = {"in_features": 16, "batch": 80, "cutoffs": (10, 30), "tokens": 4000, "seconds": 1, "cell_seconds": 1}
    return ts.TrainingExplorer(words, cost=cost, source=str(path), **{**sizes, **more})


@pytest.fixture
def explorer(path):
    return made(path)


SMALL = Settings(hidden=16, batch=4, bptt=20, epochs=10**6)


def corpus_of(path):
    return tx.read_text(str(path), 4000)


def show_sessions(monkeypatch, read):
    """Have the panels show these recorded sessions."""
    for module in (wp, tr):
        monkeypatch.setattr(module, "recorded_sessions", read)


def press(box, description):
    button = named(box, description)
    assert not button.disabled
    button.click()
    waiting = [x for x in every(box, w.Button) if x.description in ("Train", "Read it", "Write")]
    end = time.monotonic() + 120
    while any(x.disabled for x in waiting) or parts.Job._running.locked():
        assert time.monotonic() < end
        time.sleep(0.005)


# ---- texts


def test_a_text_is_lowered_and_cut_into_words(path, tmp_path):
    corpus = corpus_of(path)
    assert "the" in corpus.vocabulary.words and "The" not in corpus.vocabulary.words
    assert len(corpus.train) == 4000 and 0 < len(corpus.valid) <= tx.VALID
    (tmp_path / "prepared").mkdir()
    for name in ("train", "valid", "test"):
        (tmp_path / "prepared" / f"{name}.txt").write_text(text(500).replace("w3 ", "<unk> ") + "don't . Stop\n")
    kept = tx.read_text(str(tmp_path / "prepared"), 4000)  # somebody has cut it already
    assert {"don't", "The", "<unk>"} <= set(kept.vocabulary.words)


def test_a_prepared_text_is_known_packed_and_beside_other_files(tmp_path):
    whole = "\n".join(line.replace("w3 ", "<unk> ") + " The don't" for line in text(3000).splitlines())
    packed = tmp_path / "wiki.train.txt.xz"
    packed.write_bytes(lzma.compress(whole.encode()))
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / ".hidden").write_bytes(b"\x00\x01")
    (folder / "LICENSE").write_text("some words")
    for name in ("train", "valid", "test"):
        (folder / f"wiki.{name}.tokens").write_text(whole)
    for path in (packed, folder):
        assert {"don't", "The", "<unk>"} <= set(tx.read_text(str(path), 4000).vocabulary.words), path


def test_what_is_said_of_a_text_is_counted_in_its_parts(tmp_path):
    (tmp_path / "own").mkdir()
    for name, line in (("train", "a a a b <unk> b\n"), ("valid", "a <unk> <unk> b\n"), ("test", "a b\n")):
        (tmp_path / "own" / f"{name}.txt").write_text(line * 50)
    corpus = tx.read_text(str(tmp_path / "own"), 10_000)
    about, end = tx.about_text(corpus), corpus.vocabulary.words.count("<eos>")
    assert about["unknown"] == pytest.approx(2 / (4 + end))
    assert about["train"] == 50 * (6 + end) and about["valid"] == 50 * (4 + end) and about["V"] == 3 + end
    assert about["begin"].split()[:6] == ["a", "a", "a", "b", "<unk>", "b"]


def test_texts_that_are_not_there(tmp_path):
    with pytest.raises(ValueError, match="adasoft train --corpus wikitext-2 downloads it"):
        tx.read_text("wikitext-2", 1000)
    folder = tmp_path / "cache" / "corpora" / "wikitext-2"
    folder.mkdir(parents=True)
    for name in ("train.txt", "valid.txt"):
        (folder / name).write_text("a")
    assert not tx.downloaded("wikitext-2")
    (folder / "test.txt").write_text("a")
    assert tx.downloaded("wikitext-2")
    with pytest.raises(ValueError, match=r"no file or folder is called .*none.txt: check the path, or press Back to"):
        tx.read_text(str(tmp_path / "none.txt"), 1000)


def test_reading_a_text_makes_its_words_those_of_the_lesson(explorer, path):
    assert explorer.vocabulary.name == "synthetic" and explorer.corpus is None and explorer.text == {}
    ticked = []
    corpus = explorer.read(lambda done, told: ticked.append((done, told)))
    assert explorer.vocabulary.counts.tolist() == corpus.vocabulary.counts.tolist()
    assert explorer.cutoffs == (10, 30) and explorer.corpus is corpus and explorer.text["V"] == corpus.n_classes
    assert ticked and "own.txt" in ticked[0][1] and 0 <= ticked[0][0] < 1
    assert explorer.read(lambda *_: ticked.append("again")) is corpus and "again" not in ticked
    explorer.tokens = 2000
    assert explorer.corpus is None  # another text now
    assert len(explorer.read().train) == 2000
    explorer.source = "nowhere.txt"
    with pytest.raises(ValueError, match=r"no file or folder is called nowhere\.txt"):
        explorer.read()


def test_the_words_that_stand_in_are_few():
    words = ts.TrainingExplorer(Vocabulary.synthetic(20_000)).vocabulary
    assert len(words) == ts.STAND_IN and words.name.endswith(", frequent words")


def test_reading_can_be_stopped(explorer, monkeypatch):
    gate = threading.Event()

    def slow(*_, **__):
        gate.wait(60)
        raise OSError("too late")

    monkeypatch.setattr(tx, "read_text", slow)

    def stop(_done, _text):
        raise parts.Stopped

    with pytest.raises(parts.Stopped):
        explorer.read(stop)
    gate.set()
    assert explorer.corpus is None


def test_text_and_choices_survive_a_restart_and_other_lessons_keep_their_words(path, capsys):
    first = made("nowhere", lesson="t")
    first.source, first.tokens = str(path), 3000
    first.read()
    first.cutoffs, first.in_features, first.ticked, first.seconds = (7, 40), 20, ("sampled", "full"), 2
    first._choices.flush()
    second = ts.TrainingExplorer(Vocabulary.synthetic(3000), lesson="t")
    assert second is not first and second.corpus is None
    assert second.vocabulary.words == first.vocabulary.words and second.cutoffs == (7, 40)
    assert (second.source, second.tokens, second.in_features, second.seconds) == (str(path), 3000, 20, 2)
    assert second.ticked == ("full", "sampled") and second.text == first.text
    assert "Kept from last time: words of own; source" in capsys.readouterr().out
    assert ts.TrainingExplorer(Vocabulary.synthetic(3000), lesson="t", cutoffs=(2, 3)).cutoffs == (2, 3)
    other = ts.Explorer(Vocabulary.synthetic(3000), lesson="other")
    assert len(other.vocabulary) == 3000
    words = json.loads(second._words_path().read_text())
    second._words_path().write_text(json.dumps({**words, "digest": "of another text"}))
    assert len(ts.TrainingExplorer(Vocabulary.synthetic(2500), lesson="t").vocabulary) == 2500
    second._words_path().write_text("{")  # damaged: the words stand in again
    second._choices.flush()
    capsys.readouterr()
    third = ts.TrainingExplorer(Vocabulary.synthetic(2000), lesson="t")
    assert len(third.vocabulary) == 2000
    assert "words-of-t.json is damaged" in (out := capsys.readouterr().out) and "Read the text again" in out
    assert len(third.read().vocabulary) < 2000  # as it says
    third.forget()
    assert (
        not third._words_path().exists()
        and third.source == "docs"
        and third.text == {}
        and third.ticked
        == (
            "full",
            "yours",
        )
    )


def test_choices_that_make_no_sense_are_said_and_left(path, capsys):
    first = made(path, lesson="t")
    first._choices.keep("lesson t", "seconds", -1)
    first._choices.keep("lesson t", "ticked", ["hard"])
    first._choices.flush()
    again = ts.TrainingExplorer(Vocabulary.synthetic(3000), lesson="t")
    assert (again.seconds, again.ticked) == (60, ("full", "yours"))
    assert "seconds (seconds for each should be" in (out := capsys.readouterr().out) and "ticked (ticked" in out
    assert out.count("this is not used") == 1


@pytest.mark.parametrize("where", ["", "lessons"])
def test_where_nothing_can_be_kept_a_text_is_read_and_trained_on(tmp_path, path, clock, capsys, where):
    (tmp_path / "cache" / where).parent.mkdir(exist_ok=True)
    (tmp_path / "cache" / where).write_text("")  # a file where a folder should be
    explorer = made("docs", lesson="t")
    explorer.drop(path, "novel.txt")  # what is dropped is read without the cache
    box = tp.text_panel(explorer)
    press(box, "Read it")
    assert not problem(box) and "V = " in said(box) and len(explorer.vocabulary) == explorer.text["V"]
    box = tp.training_panel(explorer)
    press(box, "Train")
    assert not problem(box) and "after equal tokens" in said(box)
    assert capsys.readouterr().out.count("not kept") == 1


@pytest.mark.parametrize(
    "name",
    ["cache", "text", "ids", "..", ".", "", "a/../b.txt", "c:\\d.txt", "x" * 400 + ".txt", "\x00.txt", "ü\ud800.txt"],
)
def test_a_dropped_file_of_any_name(path, name):
    explorer = made("docs")
    for _ in range(2):
        explorer.drop(path, name)
        corpus = explorer.read()
        assert "w3" in corpus.vocabulary.words and explorer._is_dropped(explorer.source)
    kept = Path(explorer.source)
    assert kept.read_bytes() == path.read_bytes() and kept.parent == explorer._dropped / "text"
    assert kept.suffix == (".txt" if name.endswith(".txt") else "")


def test_a_dropped_file_is_kept_for_the_session_only(path, tmp_path):
    explorer = made(path, lesson="t")
    explorer.drop(path, "../novel.txt")
    assert explorer.source.endswith("novel.txt") and not (tmp_path / "novel.txt").exists()
    explorer.read()
    assert explorer.text["name"] == "novel"
    explorer._choices.flush()
    assert not list((tmp_path / "cache").rglob("*.npy"))  # nor are its ids
    assert ts.TrainingExplorer(Vocabulary.synthetic(3000), lesson="t").source != explorer.source
    # another file of the same name is another text
    other = tmp_path / "other.txt"
    other.write_text(path.read_text().replace("w3 ", "unheard "))
    explorer.drop(other, "novel.txt")
    assert explorer.corpus is None and "unheard" in explorer.read().vocabulary.words


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("batch", 50, "B should be a multiple of 20"),
        ("in_features", 2, "d should be from 4 to 1,024, got 2"),
        ("tokens", 10, "the number of tokens should be from 1,000"),
        ("seconds", 0, "seconds for each should be from 1"),
        ("seed", -1, "seed should be from 0"),
        ("ticked", ("hard",), "ticked should be some of full"),
    ],
)
def test_values_out_of_range_are_refused(explorer, name, value, says):
    with pytest.raises(ts.t.TraitError, match=says):
        setattr(explorer, name, value)


# ---- what is trained


def test_requests(explorer):
    explorer.read()
    wanted = explorer.request()
    assert list(wanted.settings) == ["full", "yours"] and wanted.cost is explorer.cost
    assert wanted.settings["full"].softmax == "full" and wanted.settings["yours"].softmax == "adaptive"
    assert wanted.clusters == {"yours": Partition((10, 30), (8, 8), "")}
    explorer.width_rule = "d for every tail"
    assert explorer.request().clusters["yours"].widths == (16, 16)
    explorer.ticked = ("adaptive",)
    with pytest.raises(ValueError, match=r"the authors cut at 2,000 words or more, and this text has V = \d+; untick"):
        explorer.request()
    explorer.ticked = ()
    with pytest.raises(ValueError, match="nothing is ticked"):
        explorer.request()
    explorer.ticked, explorer.cutoffs = ("yours",), ()
    with pytest.raises(ValueError, match="your cutoffs: none is set"):
        explorer.request()


def test_what_does_not_fit_into_memory_is_refused(explorer, monkeypatch):
    monkeypatch.setattr("adasoft.lessons.time_model.timings.free_bytes", lambda device: 2.0**20)
    wanted = explorer.request()
    with pytest.raises(TooLarge, match=r"2 models of V = 100,000 and d = 16 would need about"):
        wanted.check_memory(100_000)
    explorer.read()
    monkeypatch.setattr("adasoft.lessons.time_model.timings.free_bytes", lambda device: 2.0**10)
    with pytest.raises(TooLarge):
        explorer.train("training", explorer.request, 1, from_start=True, **QUIET)
    assert explorer.trained == {}


def test_runs_in_turns_make_the_numbers_they_make_alone(path):
    corpus = corpus_of(path)
    settings = {
        "full": replace(SMALL, softmax="full"),
        "sampled": replace(SMALL, softmax="sampled", dropout=0.2),
        "adaptive": replace(SMALL, cutoffs=(10, 30)),
    }
    random, threads = torch.get_rng_state(), torch.get_num_threads()
    turns = tt.Turns(corpus, settings)
    turns.train(0.3, **{**QUIET, "heard": lambda: None})
    assert torch.equal(torch.get_rng_state(), random) and torch.get_num_threads() == threads
    for lane in turns.lanes:
        alone = Run(corpus, settings[lane.name])
        steps = alone.steps()
        for _ in lane.run.losses:
            next(steps)
        assert alone.losses == lane.run.losses and len(alone.losses) >= 2
        assert alone.perplexity("valid") == pytest.approx(lane.points[-1].valid, abs=1e-3)


def test_turns_are_fair_and_end_together(path, clock):
    corpus = corpus_of(path)
    turns = tt.Turns(corpus, {"full": replace(SMALL, softmax="full"), "a": replace(SMALL, cutoffs=(10, 30))})
    apart, told = [], []

    def heard():
        apart.append(abs(turns.lanes[0].seconds - turns.lanes[1].seconds))

    turns.train(1.0, tick=lambda done, said: told.append((done, said)), heard=heard)
    assert max(apart) <= tt.SLICE + 0.0251
    assert [lane.seconds for lane in turns.lanes] == pytest.approx([1.0, 1.0], abs=0.026)
    assert told[-1][1] == "the last perplexities ..." and told[0][0] < told[5][0] <= 1
    steps = [len(lane.run.losses) for lane in turns.lanes]
    assert max(steps) - min(steps) <= 1
    for lane in turns.lanes:
        tokens = [point.tokens for point in lane.points]
        # marks at 8, 16 and 26 steps, and the end
        assert tokens == [80 * n for n in (8, 16, 26, len(lane.run.losses))]
        assert [point.seconds for point in lane.points[:3]] == pytest.approx([0.2, 0.4, 0.65], abs=1e-3)
        assert lane.points[-1].valid < lane.points[0].valid
    kept = turns.json()
    assert json.loads(json.dumps(kept)) == kept
    assert kept["lanes"]["full"]["steps"] == steps[0] and kept["lanes"]["a"]["cutoffs"] == [10, 30]
    assert sum(kept["lanes"]["a"]["shares"].values()) == pytest.approx(1, abs=1e-4)
    turns.train(0.5, **{**QUIET, "heard": lambda: None})  # goes on
    assert [lane.seconds for lane in turns.lanes] == pytest.approx([1.5, 1.5], abs=0.05)


def test_the_training_loss_of_a_point_is_the_mean_since_the_last(path, clock):
    turns = tt.Turns(corpus_of(path), {"full": replace(SMALL, softmax="full")})
    turns.train(0.5, **{**QUIET, "heard": lambda: None})
    (lane,) = turns.lanes
    assert lane.points[1].train == pytest.approx(math.exp(np.mean(lane.run.losses[8:16])), abs=1e-3)


def test_stop_leaves_all_where_they_stand(path, clock):
    turns = tt.Turns(corpus_of(path), {"full": replace(SMALL, softmax="full"), "a": replace(SMALL, cutoffs=(10, 30))})
    calls = iter(range(100))

    def tick(_done, _text):
        if next(calls) == 3:
            raise parts.Stopped

    with pytest.raises(parts.Stopped):
        turns.train(5.0, tick=tick, heard=lambda: None)
    assert all(0 < lane.seconds < 1 for lane in turns.lanes)
    turns.train(0.1, **{**QUIET, "heard": lambda: None})
    assert turns.lanes[0].seconds == pytest.approx(turns.lanes[1].seconds, abs=0.026)


def test_a_loss_that_explodes_names_the_run(path):
    settings = replace(SMALL, cutoffs=(10, 30), optimizer="sgd", learning_rate=1e30, clip=0.0, weight_decay=0.0)
    turns = tt.Turns(corpus_of(path), {"yours": settings})
    with pytest.raises(ValueError, match="yours: the loss is no longer finite"):
        turns.train(5.0, **{**QUIET, "heard": lambda: None})


def test_several_threads_are_used_where_they_are_quicker(monkeypatch):
    used = []
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    seconds = {1: 1.0, 4: 0.5}
    now = [0.0]
    monkeypatch.setattr(tt, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    class Fake:
        def time_step(self):
            now[0] += seconds[used[-1]]

    quiet = lambda *_: None  # noqa: E731
    assert tt.Turns._fewest_threads(Fake(), 4, quiet) == 4
    seconds[4] = 3.0  # others work, too
    assert tt.Turns._fewest_threads(Fake(), 4, quiet) == 1
    assert tt.Turns._fewest_threads(Fake(), 1, quiet) == 1


# ---- figures and words


def kept(**lanes):
    one = {
        "corpus": {"name": "made", "train": 4000, "V": 100, "valid": 300},
        "d": 16,
        "B": 80,
        "seed": 0,
        "threads": 1,
        "device": {"name": "a CPU"},
        "date": "2030-01-02T03:04:05+00:00",
        "lanes": {},
    }
    for name, (points, rate) in lanes.items():
        seconds = points[-1][0] if points else 0.0
        one["lanes"][name.replace("_", "-")] = {
            "cutoffs": [] if name == "full" else [10, 30],
            "points": points,
            "seconds": seconds,
            "steps": 100,
            "tokens": round(rate * seconds),
            "shares": {"output": 0.7, "body": 0.2, "optimizer": 0.1},
            "parameters": 1_234_567,
            "output parameters": 1000,
        }
    return one


FULL = [[1.0, 100, 400.0, 500.0], [4.0, 400, 100.0, 120.0]]
YOURS = [[0.5, 100, 410.0, 500.0], [4.0, 800, 60.0, 70.0]]


def test_runs_are_compared_after_equal_seconds_and_equal_tokens():
    full, yours = se.compared(kept(full=(FULL, 100.0), yours=(YOURS, 200.0)), "full")
    assert math.isnan(full.at_seconds) and math.isnan(full.at_tokens) and full.faster == 1
    assert yours.faster == 2 and yours.rate == 200 and yours.perplexity == 60
    assert yours.at_seconds == pytest.approx(60 / 100 - 1)
    # at 400 tokens, a straight line between (100, 410) and (800, 60) on logarithmic axes
    between = 410 * (60 / 410) ** (math.log(4) / math.log(8))
    assert yours.at_tokens == pytest.approx(between / 100 - 1)
    early = [[9.0, 5000, 80.0, 80.0]]  # it has nothing where the other has something
    assert math.isnan(se.compared(kept(full=(FULL, 1), yours=(early, 1)), "full")[1].at_tokens)
    (alone,) = se.compared(kept(yours=(YOURS, 200.0)), "full")
    assert math.isnan(alone.faster) and math.isnan(alone.at_seconds)


def test_runs_in_words():
    both = kept(full=(FULL, 100.0), yours=(YOURS, 200.0))
    told = se.training_sentence(both, lk.LABELS, "full", 3.0)
    about = se.conditions(both)
    assert "made, 4,000 tokens, V = 100, d = 16, B = 80, seed 0; perplexity on 300 tokens" in about
    assert "on a CPU with 1 thread on 2030-01-02" in about
    assert told.startswith("Full softmax: perplexity 100.0 after 4.0 s.")
    assert "Adaptive, your cutoffs: 60.0, 40 % lower after equal seconds" in told
    # 28 of 40 ms each: words of a step double the speed here, the milliseconds do not
    assert "a training step is 2 times faster. Its output layer alone is as fast" in told
    assert "You guessed 3 times for the step; it is 2: off by a factor of 1.5." in told
    assert "it is 2: close." in se.training_sentence(both, lk.LABELS, "full", 2.1)
    few = min(len(lane["points"]) for lane in both["lanes"].values())
    assert f"has {few} points only, too few to tell which is better" in told
    assert "You guessed" not in se.training_sentence(both, lk.LABELS, "full")
    many = kept(
        full=(FULL, 100.0), sampled=(FULL, 300.0), adaptive=(FULL, 150.0), planned=(FULL, 400.0), yours=(YOURS, 200.0)
    )
    told = se.training_sentence(many, lk.LABELS, "full")
    assert "Sampled, 20 % of V: 100.0, the same to within 0.1 % after equal seconds" in told
    assert "Adaptive, planned, head ≥ 75 %: 100.0" in told
    alone = se.training_sentence(kept(yours=(YOURS, 200.0)), lk.LABELS, "full")
    assert alone.endswith("Tick full softmax as well to compare.")
    slow = kept(full=([], 0.0), yours=(YOURS, 200.0))  # ticked, and without a point as yet
    told = se.training_sentence(slow, lk.LABELS, "full")
    assert told.endswith("Full softmax comes soon: it has no point yet.") and "Tick" not in told
    assert se.training_sentence({}, lk.LABELS, "full") == "Nothing yet."
    assert "full softmax 120.0 (validation 100.0)" in se.loss_sentence(both, lk.LABELS)
    said_of = {0.0: "the same to within 0.1 %", 0.021: "2.1 % higher", -0.35: "35 % lower"}
    assert {value: se.more_or_less(value) for value in said_of} == said_of


def test_both_rests_of_a_step_are_told():
    """What is not the output layer may get slower or quicker: fewer numbers to update, other caches."""
    both = kept(full=(FULL, 100.0), yours=(YOURS, 200.0))
    both["lanes"]["yours"]["steps"] = 200  # 20 ms
    both["lanes"]["yours"]["shares"] = {"output": 0.2, "body": 0.7, "optimizer": 0.1}
    told = se.training_sentence(both, lk.LABELS, "full")
    assert "alone is 7 times faster (28 ms, now 4 ms); the rest of the step took 12 ms and takes 16 ms." in told
    both["lanes"]["yours"]["shares"]["output"] = 0.4
    assert "the rest of the step takes 12 ms as before." in se.training_sentence(both, lk.LABELS, "full")


def test_slower_and_far_worse_are_said_as_such():
    told = {0.96: "4 % slower", 2.44: "2.4 times faster", 1.001: "as fast, to within 1 %", 0.5: "100 % slower"}
    assert {factor: se.faster_text(factor) for factor in told} == told
    assert se.more_or_less(2513.0) == "2,514 times as high" and se.more_or_less(0.99) == "99 % higher"
    wild = kept(lstm=(FULL, 100.0), cell=([[1.0, 100, 9e6, 9e6], [4.0, 400, 2e6, 9e6]], 96.0))
    told = se.training_sentence(wild, lk.CELL_LABELS, "lstm")
    assert "Your cell: perplexity above V; a training step is 4 % slower." in told and "2,000,000" not in told
    top = tf.training_data(wild, lk.CELL_LABELS)[1]["yaxis.range"][1]
    assert 10**top < 300 and tf.training_data({}, lk.LABELS)[0]  # V = 100: it stretches no axis
    assert "Your cell: above V = 100, what equally likely words would give" in told and "LSTM: above" not in told
    assert "above V" not in se.training_sentence(kept(full=(YOURS, 1.0), yours=(YOURS, 1.0)), lk.LABELS, "full")


def test_the_figure_holds_every_run_where_it_belongs():
    data, layout = tf.training_data(kept(full=(FULL, 100.0), yours=(YOURS, 200.0)), lk.LABELS, shown_loss=True)
    assert layout["xaxis2.ticktext"] == ("100", "200", "500")
    names, n = list(lk.LABELS), len(lk.LABELS)
    i = names.index("yours")
    np.testing.assert_allclose([data[i]["x"], data[i]["y"]], [[0.5, 4.0], [410, 60]])
    np.testing.assert_allclose([data[n + i]["x"], data[n + i]["y"]], [[100, 800], [410, 60]])
    np.testing.assert_allclose(data[2 * n + i]["y"], [500, 70])
    assert [data[k]["showlegend"] for k in range(n)] == [name in ("full", "yours") for name in names]
    assert data[3 * n]["y"] == ["full", "yours"]
    np.testing.assert_allclose(data[3 * n]["x"], [28, 28])  # 0.7 of 40 ms
    hidden, _ = tf.training_data(kept(full=(FULL, 100.0)), lk.LABELS)
    assert np.isnan(hidden[2 * n]["y"]).all()
    assert np.isnan(tf.training_figure({}, lk.LABELS).data[0].y).all()
    looks = [lk.LOOKS[name] for name in lk.LABELS]
    assert len({(look.color, look.symbol) for look in looks}) == len({(look.color, look.dash) for look in looks})
    assert len({(look.color, look.symbol) for look in looks}) == len(looks)
    # one grammar of marks: what the paper has, what is planned, what is the reader's
    assert [lk.LOOKS[name].symbol for name in ("adaptive", "planned", "yours")] == ["circle", "star", "circle-open"]


def test_a_guess_of_the_speed_up_is_drawn_as_the_step_that_it_stands_for():
    both = kept(full=(FULL, 100.0), yours=(YOURS, 200.0))
    last = 3 * len(lk.LABELS) + len(lk.PARTS)
    data, _ = tf.training_data(both, lk.LABELS, guess=2.0)
    assert data[last]["x"].tolist() == [20.0] and data[last]["y"] == ["yours"] and data[last]["visible"]
    for nothing in (math.nan, 0.0, -1.0):
        assert not tf.training_data(both, lk.LABELS, guess=nothing)[0][last]["visible"]
    assert not tf.training_data(kept(full=(FULL, 100.0)), lk.LABELS, guess=2.0)[0][last]["visible"]
    assert tf.training_figure(both, lk.LABELS, guess=2.0).data[last].marker.symbol == "x-thin"


def test_the_training_loss_is_named_and_stretches_no_axis():
    high = [[1.0, 100, 400.0, 5e6], [4.0, 400, 100.0, 120.0]]
    _, layout = tf.training_data(kept(full=(high, 100.0)), lk.LABELS, shown_loss=True)
    assert layout["yaxis2.range"][1] < 3 and max(layout["yaxis2.tickvals"]) < 1000
    figure, n = tf.training_figure(kept(full=(high, 100.0)), lk.LABELS, True), len(lk.LABELS)
    assert figure.data[2 * n].showlegend and "training loss" in figure.data[2 * n].name


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0.1, 2], ["0.1", "0.2", "0.5", "1", "2"]),
        ([70, 1300], ["100", "200", "500", "1,000"]),
        ([106, 160], ["110", "120", "130", "140", "150", "160"]),
        ([606], ["500", "600"]),
        ([5120], ["5,000", "6,000"]),
        ([5120, 10240], ["5,000", "6,000", "8,000", "10k"]),
        ([100, 1e5], ["100", "1,000", "10k", "100k"]),
        ([2e5, 5e6], ["200k", "500k", "1 M", "2 M", "5 M"]),
        ([math.nan], []),
    ],
)
def test_labels_of_logarithmic_axes_are_neither_few_nor_crowded(values, labels):
    found = lk.log_ticks("xaxis2", np.array(values, float))
    assert list(found["xaxis2.ticktext"]) == labels and len(found["xaxis2.tickvals"]) == len(labels)
    if labels:  # nowhere closer than an eighth of the axis, and every value within it
        low, high = found["xaxis2.range"]
        places = (np.log10(found["xaxis2.tickvals"]) - low) / (high - low)
        assert (np.diff(places) >= 0.12).all() and 0 <= places[0] <= places[-1] <= 1
        assert 10**low <= min(values) and max(values) <= 10**high


def test_labels_of_a_short_axis_have_more_room():
    assert list(lk.log_ticks("xaxis", np.array([5e3, 5e5]), 0.18)["xaxis.ticktext"]) == ["10k", "30k", "100k", "300k"]
    assert list(lk.log_ticks("xaxis", np.array([5e3, 4e4]), 0.18)["xaxis.ticktext"]) == ["5,000", "10k", "20k"]


def test_the_table():
    table = se.training_table(kept(full=(FULL, 100.0), yours=(YOURS, 200.0)), lk.LABELS, "full")
    for cell in ("10, 30", "60.0", "−40.0\u00a0%", "200", "2.00", "70 %", "1.23 M"):
        assert f"<td>{cell}</td>" in table
    assert se.training_table({}, lk.LABELS, "full") == ""


# ---- panels


def test_training_from_the_panel(explorer, clock):
    box = tp.training_panel(explorer)
    figure, n = figure_of(box), len(lk.LABELS)
    named(box, "shown").value = tr.HERE
    assert np.isnan(figure.data[0].y).all() and "Trained here: Nothing yet." in said(box)
    assert "2 softmaxes, 1 s each: about 3 s" in said(box) and "Yours: cut at 10 and 30." in said(box)
    named(box, "seed").value = 3.0
    named(box, "adaptive, the authors' cutoffs").value = True
    press(box, "Train")
    assert "untick it, and set your own cutoffs" in problem(box)
    named(box, "adaptive, the authors' cutoffs").value = False
    press(box, "Train")
    assert not problem(box)
    lanes = explorer.recall("training")["lanes"]
    assert list(lanes) == ["full", "yours"] and explorer.recall("training")["seed"] == 3
    i = list(lk.LABELS).index("yours")
    np.testing.assert_allclose(figure.data[i].y, [point[2] for point in lanes["yours"]["points"]])
    np.testing.assert_allclose(figure.data[n].x, [point[1] for point in lanes["full"]["points"]])
    assert list(figure.data[3 * n].y) == ["full", "yours"]
    assert "after equal tokens" in said(box) and "<td>10, 30</td>" in said(box)
    assert explorer.measured_speedup() == pytest.approx(1.0, abs=0.05)  # by this clock, all are as fast
    explorer.set_cutoff(0, 12)  # what was trained stays on show, with its own cutoffs
    assert "<td>10, 30</td>" in said(box) and "Yours: cut at 12 and 30." in said(box)
    named(box, "also exp of the training loss").value = True
    assert np.isfinite(figure.data[2 * n].y).all() and "exp of the training loss, lately" in said(box)
    before = [lane["seconds"] for lane in lanes.values()]
    press(box, "Go on")
    after = explorer.recall("training")["lanes"]
    assert [lane["seconds"] for lane in after.values()] == pytest.approx([s + 1 for s in before], abs=0.05)
    assert after["full"]["points"][: len(lanes["full"]["points"])] == lanes["full"]["points"]
    press(box, "Train")  # from the start again
    assert explorer.recall("training")["lanes"]["full"]["seconds"] == pytest.approx(1, abs=0.05)
    assert explorer.recall("training")["lanes"]["yours"]["cutoffs"] == [12, 30]


def test_stop_keeps_the_points_so_far(explorer, clock, monkeypatch):
    box = tp.training_panel(explorer)
    explorer.seconds = 3000
    advanced = threading.Event()
    advance = tt.Lane.advance

    def noted(lane, seconds):
        advance(lane, seconds)
        if lane.name == "yours":
            advanced.set()

    monkeypatch.setattr(tt.Lane, "advance", noted)
    named(box, "Train").click()
    assert advanced.wait(60)
    assert named(box, "Train").disabled
    assert named(box, "Go on").disabled
    explorer.set_cutoff(0, 11)  # the page is alive, and what is under way stays on show
    assert np.isfinite(figure_of(box).data[0].y).all()
    named(box, "Stop").click()
    end = time.monotonic() + 60
    while named(box, "Train").disabled:
        assert time.monotonic() < end
        time.sleep(0.005)
    lanes = explorer.recall("training")["lanes"]
    assert lanes["full"]["points"] and lanes["full"]["seconds"] < 3000 and "Stopped." in said(box)
    explorer.seconds = 1
    press(box, "Go on")
    assert explorer.recall("training")["lanes"]["full"]["seconds"] > lanes["full"]["seconds"]


def test_go_on_needs_a_model(explorer):
    box = tp.training_panel(explorer)
    press(box, "Go on")
    assert "no model is in memory" in problem(box)


def test_measurements_survive_a_restart(path, clock):
    first = made(path, lesson="t")
    press(tp.training_panel(first), "Train")
    first._choices.flush()
    second = ts.TrainingExplorer(Vocabulary.synthetic(3000), lesson="t")
    box = tp.training_panel(second)
    assert named(box, "shown").value == tr.HERE and np.isfinite(figure_of(box).data[0].y).all()
    assert f"on {time.strftime('%Y-', time.gmtime())}" in said(box)
    press(box, "Go on")
    assert "models end with the kernel" in problem(box)


def test_a_guess_is_held_against_what_is_measured(explorer, clock):
    opened = []
    box = predict("live faster", explorer, then=lambda: opened.append(tp.training_panel(explorer)) or opened[0])
    entry = box.children[0]
    assert "cutoffs 10, 30" in entry.question
    entry.submit("3")
    assert "You said <b>3 times</b>. Kept." in entry.verdict and opened
    named(opened[0], "shown").value = tr.HERE
    press(opened[0], "Train")
    assert "You guessed 3 times for the step; it is 1" in said(opened[0])
    entry.submit("1")
    assert "This time you said <b>1 times</b>; it is <b>1" in entry.verdict
    assert "Your first guess, 3 times" in entry.verdict


def test_a_question_still_open_follows_the_text_and_the_cutoffs(explorer, clock):
    """The guess is judged against what is measured, and the question, the verdict and the report say that."""
    box = predict("live faster", explorer, then=lambda: tp.training_panel(explorer))
    entry, panel = box.children[0], box.children[1]
    entry.submit("3")
    assert "V = 3,000" in entry.question and "Nothing is measured yet" in entry.verdict
    explorer.read()
    assert f"V = {len(explorer.vocabulary):,}" in entry.question and "V = 3,000" not in entry.question
    assert "You said <b>3 times</b> before the text or the sizes changed" in entry.verdict
    explorer.set_cutoff(0, 12)
    assert "cutoffs 12, 30" in entry.question
    press(panel, "Train")
    result = explorer.recall("result live faster")
    assert result["question"] == entry.question and result["truth"] == pytest.approx(explorer.measured_speedup())
    assert "You said <b>3 times</b>; it is" in entry.verdict and "Nothing is measured" not in entry.verdict
    assert "You guessed 3 times for the step" in said(panel)
    explorer.set_cutoff(0, 20)
    press(panel, "Train")  # other cutoffs than the guess was for: it is not held against these
    assert "<td>20, 30</td>" in said(panel) and "You guessed" not in said(panel)
    assert "cutoffs 12, 30" in entry.question and explorer.recall("result live faster") == result


def test_what_is_pressed_while_another_job_runs_waits_for_it(explorer, clock, monkeypatch):
    """Train promises that the text is read first; Write, that it writes after a training."""
    show_sessions(monkeypatch, list)
    gate, reading = threading.Event(), threading.Event()
    read = tx.read_text

    def slow(*args, **more):
        reading.set()
        gate.wait(60)
        return read(*args, **more)

    monkeypatch.setattr(tx, "read_text", slow)
    texts, training, writing = tp.text_panel(explorer), tp.training_panel(explorer), wp.writing_panel(explorer)
    named(texts, "Read it").click()
    assert reading.wait(60)
    named(training, "Train").click()
    wait(lambda: "Waits for “Read it” to end" in said(training))
    assert named(training, "Train").disabled and named(training, "Go on").disabled and not problem(training)
    named(writing, "Write").click()
    named(writing, "Stop").click()  # takes it out of the queue
    wait(lambda: not named(writing, "Write").disabled)
    assert "Stopped." in said(writing) and parts.Job._running.locked()
    gate.set()
    settled(training)
    assert not problem(training) and "after equal tokens" in said(training) and explorer.text["V"] > 2


def test_texts_from_the_panel(explorer, path, tmp_path):
    box = tp.text_panel(explorer)
    assert "not read yet" in said(box) and "synthetic" in said(box)
    press(box, "Read it")
    assert not problem(box) and "V = " in said(box) and "the documentation" not in said(box)
    assert explorer.corpus is not None
    named(box, "tokens at most").value = 500.0
    assert "should be from 1,000" in problem(box) and named(box, "tokens at most").value == 4000
    named(box, "tokens at most").value = 2000.0
    assert "with other settings" in said(box)
    named(box, "text").value = str(tmp_path / "none.txt")
    press(box, "Read it")
    assert "no file or folder is called" in problem(box) and "none.txt" in problem(box)
    assert "Error" not in problem(box) and len(problem(box)) < 300
    named(box, "Back to the documentation").click()
    assert explorer.source == "docs" and named(box, "text").value == "docs"
    (drop,) = every(box, tp.FileDrop)
    drop._heard(None, {"kind": "part", "name": "n.txt", "first": True, "last": True}, [path.read_bytes()])
    end = time.monotonic() + 60
    while explorer.text.get("name") != "n":
        assert time.monotonic() < end
        time.sleep(0.005)
    press(box, "Read it")
    assert named(box, "text").value.endswith("n.txt")


def test_writing(explorer, clock, monkeypatch):
    show_sessions(monkeypatch, list)
    box = wp.writing_panel(explorer)
    assert "Nothing is written yet" in said(box)
    press(box, "Write")
    assert "train one above first" in problem(box)
    explorer.train("training", explorer.request, 0.1, from_start=True, **QUIET)
    named(box, "words of each").value = 5.0
    press(box, "Write")
    written = explorer.recall("written")
    assert set(written["words"]) == {"full", "yours"} and written["start"] == "the"
    known = set(explorer.corpus.vocabulary.words)
    assert all(len(line.split()) <= 5 and set(line.split()) <= known for line in written["words"].values())
    assert "full softmax" in said(box) and "seed 1" in said(box) and "Recorded, not this machine:" not in said(box)
    assert "opened tail" in said(box) or "needed no tail" in said(box)  # of this text: the words have their clusters
    press(box, "Write")
    assert explorer.recall("written") == written  # the same seed, the same words
    named(box, "seed").value = 2.0
    press(box, "Write")
    assert explorer.recall("written")["words"] != written["words"]
    named(box, "first word").value = "zebra"
    press(box, "Write")
    assert "'zebra' is not among the" in problem(box)
    named(box, "first word").value = ""
    press(box, "Write")
    assert not problem(box)
    named(box, "words of each").value = 0.0
    assert "words of each should be from 1 to 1,000, got 0" in problem(box)


def test_panels_shown_again_replace_the_old_ones(explorer):
    for make in (tp.text_panel, tp.training_panel, wp.writing_panel, cp.own_cell_panel):
        old = make(explorer)
        slots = len(explorer._slots)
        make(explorer)
        assert len(explorer._slots) == slots and old.comm is None
    old = rp.stored_panel()
    rp.stored_panel()
    assert old.comm is None


# ---- a cell of one's own


def test_the_example_cell_fits():
    assert oc.check_cell(oc.cell_maker(oc.CELL), 16) == 2 * (32 * 16 + 16)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("class Cell(nn.Module)\n    pass", r"your code, line 1 “class Cell\(nn.Module\)”: expected ':'"),
        ("x = 1\ny = nothing", "your code, line 2 “y = nothing”: NameError: name 'nothing' is not defined"),
        ("x = 1", "your code defines no Cell"),
        ("def Cell(e, d):\n    return 3", "your code, line 2 “return 3”: TypeError: cell should be callable"),
        ("def Cell(e, d):\n    return lambda x, state: x", "line 2 “return .*: TypeError: cell should return a pair"),
        ("class Cell: pass", "your code, line 1 “class Cell: pass”: .*it should take these two: def __init__"),
        (oc.CELL.replace("return h, h", "return 1, 2"), r"line 14 “return 1, 2.*should be a tensor of shape \(b, d\)"),
        (
            oc.CELL.replace("return h, h", "return h, 5"),
            "line 14 “return h, 5.*the state should be a tensor or a tuple",
        ),
        ("def Cell(e, d):\n    return lambda x, s: (x[:, :3], x)", r"an output of shape \(2, 16\), got \(2, 3\)"),
        (
            "def Cell(e, d):\n    def step(x, s):\n        return x @ x, x\n    return step",
            "your code, line 3 “return x @ x, x”: Runtime",
        ),
        ("def Cell(e, d):\n    return lambda x, s: (x, (x, 5))", "line 2 “return .*TypeError: the state"),
    ],
)
def test_mistakes_in_a_cell_are_told_with_their_line(code, says):
    with pytest.raises(ValueError, match=says):
        oc.check_cell(oc.cell_maker(code), 16)


def test_training_a_cell_of_ones_own(explorer, clock, monkeypatch):
    show_sessions(monkeypatch, list)
    box = cp.own_cell_panel(explorer)
    press(box, "Check the cell")
    assert "Two steps of it ran: the shapes fit, 1,056 numbers to learn." in said(box)
    code = named(box, "code of your cell")
    code.value = "def Cell(e, d):\n    return lambda x, state: (nothing, state)"
    press(box, "Train")
    assert "your code, line 2 “return lambda x, state: (nothing, state)”: NameError" in problem(box)
    code.value = "def Cell(e, d):\n    return lambda x, state: (torch.tanh(x), None)"
    press(box, "Train")
    assert not problem(box)
    lanes = explorer.recall("own cell")["lanes"]
    assert list(lanes) == ["lstm", "cell"] and lanes["cell"]["cutoffs"] == [10, 30]
    assert lanes["lstm"]["parameters"] - lanes["cell"]["parameters"] == sum(
        p.numel() for p in torch.nn.LSTM(16, 16).parameters()
    )
    assert "LSTM: perplexity" in said(box) and "Your cell:" in said(box)
    assert "An LSTM and your cell, 1 s each: about 3 s." in said(box)
    named(box, "seconds for each").value = 2.0
    assert (explorer.cell_seconds, explorer.seconds) == (2, 1) and "about 6 s" in said(box)  # each its own
    explorer.cell_seconds = 1
    assert named(cp.own_cell_panel(explorer), "code of your cell").value == code.value
    box = cp.own_cell_panel(explorer)
    press(box, "Back to the example")
    assert named(box, "code of your cell").value == oc.CELL == explorer.recall("cell code")


LOOPS = {
    "in forward": "class Cell(nn.Module):\n    def __init__(self, e, d):\n        super().__init__()\n"
    "    def forward(self, x, state):\n        while True: pass",
    "when made": "class Cell:\n    def __init__(self, e, d):\n        while True: pass",
    "when defined": "while True: pass",
    "that passes over errors": "def Cell(e, d):\n    while True:\n        try:\n            x = 1\n"
    "        except Exception: pass",
}


@pytest.mark.parametrize("code", LOOPS.values(), ids=LOOPS)
@pytest.mark.parametrize("button", ["Check the cell", "Train"])
def test_a_loop_that_never_ends_leaves_the_page_alive(explorer, monkeypatch, clock, code, button):
    """The lock is free, other widgets work, Stop stops, and without it time runs out."""
    show_sessions(monkeypatch, list)
    explorer.read()
    box = cp.own_cell_panel(explorer, patience=600.0)
    named(box, "code of your cell").value = code
    before = threading.active_count()
    named(box, button).click()
    assert named(box, "Train").disabled and named(box, "Check the cell").disabled
    free = []
    other = threading.Thread(target=lambda: free.append(ts.LOCK.acquire(timeout=30)) or ts.LOCK.release())
    other.start()
    other.join(30)
    assert free == [True]
    explorer.set_cutoff(0, 11)
    assert explorer.version and named(box, "Stop").disabled is False
    named(box, "Stop").click()
    settled(box)
    assert "Stopped." in said(box) and not problem(box)
    wait(lambda: threading.active_count() <= before)
    box = cp.own_cell_panel(explorer, patience=0.3)
    named(box, button).click()
    settled(box)
    assert "your code did not come back within" in problem(box) and "a loop that never ends?" in problem(box)
    named(box, "code of your cell").value = oc.CELL
    press(box, "Check the cell")
    assert "Two steps of it ran" in said(box) and not problem(box)


def settled(box, seconds=60):
    end = time.monotonic() + seconds
    while named(box, "Train").disabled or parts.Job._running.locked():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_cell_that_stops_coming_back_after_a_while(explorer, monkeypatch, clock):
    """Its models cannot go on: they stand in the middle of a step. What was measured stays on show."""
    show_sessions(monkeypatch, list)
    seen = []

    class Tired(torch.nn.Module):
        def __init__(self, e, d):
            super().__init__()
            self.w = torch.nn.Linear(e, d)

        def forward(self, x, state):
            seen.append(1)
            while len(seen) > 3000:
                pass
            return torch.tanh(self.w(x)), None

    explorer.cell_seconds = 3000
    box = cp.own_cell_panel(explorer, Tired, patience=1.0)
    threads = torch.get_num_threads()
    named(box, "Train").click()
    settled(box)
    assert "did not come back within 3 s" in problem(box) and torch.get_num_threads() == threads
    assert explorer.recall("own cell")["lanes"]["cell"]["points"] and "Your cell:" in said(box)
    press(box, "Go on")
    assert "no model is in memory" in problem(box)


def test_a_cell_that_sleeps_is_left_behind(explorer, monkeypatch):
    from adasoft.lessons.kit import readers_code

    monkeypatch.setattr(readers_code, "LAST", 0.2)
    wake = threading.Event()
    box = cp.own_cell_panel(explorer, lambda e, d: wake.wait(60), patience=0.2)
    named(box, "Check the cell").click()
    settled(box)
    assert "it is still running: restart the kernel to be rid of it" in problem(box)
    wake.set()


@pytest.mark.parametrize("code", ["exit()", "raise KeyboardInterrupt", "raise BaseException", "raise GeneratorExit"])
def test_a_cell_that_would_end_the_kernel_is_told(explorer, code):
    box = cp.own_cell_panel(explorer)
    named(box, "code of your cell").value = code
    press(box, "Check the cell")
    assert "your code ended with" in problem(box) and "it should return instead" in problem(box)


def test_what_is_shown_while_a_cell_trains_runs_none_of_its_code(path):
    """Views are drawn under the lock: whatever a cell makes of its own parameters, it is not asked there."""
    asked = []

    class Odd(torch.nn.Module):
        def __init__(self, e, d):
            super().__init__()
            self.w = torch.nn.Linear(e, d)

        def forward(self, x, state):
            return torch.tanh(self.w(x)), None

        def named_parameters(self, *args, **more):
            asked.append(1)
            return super().named_parameters(*args, **more)

    odd = lambda e, d: ts.Stepwise(e, d, Odd(e, d))  # noqa: E731
    turns = tt.Turns(corpus_of(path), {"cell": replace(SMALL, cutoffs=(10, 30))}, bodies={"cell": odd})
    turns.train(0.05, **{**QUIET, "heard": lambda: None})
    before = len(asked)
    shown = turns.json()["lanes"]["cell"]
    assert len(asked) == before and shown["parameters"] == turns.lanes[0].run.model.n_parameters


def test_a_cell_handed_over(explorer, clock, monkeypatch):
    show_sessions(monkeypatch, list)

    class Mine(torch.nn.Module):
        def __init__(self, e, d):
            super().__init__()
            self.w = torch.nn.Linear(e, d)

        def forward(self, x, state):
            return torch.relu(self.w(x)), None

    box = cp.own_cell_panel(explorer, Mine)
    assert "Mine" in said(box) and not every(box, w.Textarea)
    press(box, "Train")
    assert not problem(box) and set(explorer.recall("own cell")["lanes"]) == {"lstm", "cell"}
    explorer.cutoffs = ()
    press(box, "Train")
    assert "your cutoffs: none is set" in problem(box)


# ---- recorded sessions


def test_a_session_is_recorded_and_shown(path, tmp_path, explorer, monkeypatch, clock, capsys):
    monkeypatch.setattr(tx, "VALID", 200)
    begin = ts.TrainingExplorer
    small = {"in_features": 16, "batch": 80, "cutoffs": (10, 30), "tokens": 4000}
    monkeypatch.setattr(ts, "TrainingExplorer", lambda *a, **k: begin(Vocabulary.synthetic(3000), **small, **k))
    out = tmp_path / "live-made.json"
    assert rs.main(["--source", str(path), "--seconds", "1", "--names", "full,yours", "--output", str(out)]) == 0
    (session,) = rs.recorded_sessions(tmp_path)
    assert session.label.startswith("recorded: ") and "own, V = " in session.label
    assert "python -m adasoft.lessons.language_model.recorded_sessions --source" in session.provenance
    assert set(session.kept["training"]["lanes"]) == {"full", "yours"}
    show_sessions(monkeypatch, lambda: [session])
    box = tp.training_panel(explorer)  # a guess stands open: no recorded answer is shown until it is asked for
    assert named(box, "shown").value == tr.HERE and np.isnan(figure_of(box).data[0].y).all()
    assert session.label in named(box, "shown").options
    own = cp.own_cell_panel(explorer)  # nothing trained here: there is something to look at
    assert named(own, "shown").value == session.label and "the example cell" in said(own)
    named(box, "shown").value = session.label
    assert "Recorded, not this machine:" in said(box)
    assert "adaptive, example cutoffs" in said(box) and "your cutoffs" not in said(box).split("Recorded, not")[1]
    assert np.isfinite(figure_of(box).data[0].y).all()
    named(box, "shown").value = tr.HERE
    assert "Recorded, not this machine:" not in said(box) and np.isnan(figure_of(box).data[0].y).all()
    named(box, "shown").value = session.label
    figure, explorer.seed = figure_of(box), 5  # by this clock, the same seed would come to what is recorded
    with monkeypatch.context() as patch:
        labels = Labels(patch, box, figure, figure.data[0].y)
        patch.setattr(tr, "now_and_then", lambda act, every: act)  # drawn as often as can be
        press(box, "Train")
        named(box, "shown").value = session.label
        named(box, "shown").value = tr.HERE
        named(box, "shown").value = session.label
        labels.check(changes=6)
    explorer.ticked = ()  # refused: what is shown is labelled all the same
    named(box, "shown").value = session.label
    press(box, "Train")
    assert "nothing is ticked" in problem(box) and "Recorded, not this machine:" not in said(box)
    assert np.isfinite(figure.data[0].y).all() and named(box, "shown").value == tr.HERE
    explorer.ticked = ("full", "yours")
    press(box, "Train")
    assert named(box, "shown").value == tr.HERE and "Recorded, not this machine:" not in said(box)
    assert "Recorded, not this machine:" in said(wp.writing_panel(explorer))
    out.write_text("{}")
    with pytest.raises(ValueError, match=r"live-made.json is not a recorded session: KeyError"):
        rs.recorded_sessions(tmp_path)


def test_a_session_of_another_form_names_the_field(tmp_path):
    good = json.loads((results_folder() / "live-docs-cpu.json").read_text())
    (tmp_path / "live-x.json").write_text(json.dumps(good))
    assert len(rs.recorded_sessions(tmp_path)) == 1
    good["training"]["lanes"]["full"]["points"][0][0] = 0
    (tmp_path / "live-x.json").write_text(json.dumps(good))
    with pytest.raises(ValueError, match=r"live-x.json is not .* training.lanes.full.points\[0\]\[0\] should be"):
        rs.recorded_sessions(tmp_path)
    for content in ("", "[]", "null", "[" * 9999, '{"text": 3}'):
        (tmp_path / "live-x.json").write_text(content)
        with pytest.raises(ValueError, match=r"live-x.json is not a recorded session"):
            rs.recorded_sessions(tmp_path)


def test_a_broken_record_is_said_in_the_panel(explorer, monkeypatch):
    def broken():
        raise ValueError("live-x.json is not a recorded session")

    show_sessions(monkeypatch, broken)
    assert "live-x.json is not a recorded session" in problem(tp.training_panel(explorer))
    assert "live-x.json is not a recorded session" in problem(wp.writing_panel(explorer))


def test_the_session_that_ships_can_be_read():
    (session,) = rs.recorded_sessions()
    assert set(session.kept["training"]["lanes"]) == set(lk.LABELS)
    assert set(session.kept["written"]["words"]) == set(lk.LABELS)


# ---- questions


def test_predictions(explorer):
    assert PREDICTIONS["paper minutes"][1](explorer) == 30
    question, truth, *_ = PREDICTIONS["live faster"]
    assert "V = 3,000, d = 16, B = 80, cutoffs 10, 30" in question(explorer) and math.isnan(truth(explorer))
    measured = kept(full=(FULL, 100.0), yours=(YOURS, 250.0))
    measured["corpus"]["V"], measured["lanes"]["yours"]["widths"] = 3000, [8, 8]
    explorer.remember("training", measured)
    assert truth(explorer) == pytest.approx(2.5)
    explorer.width_rule = "d for every tail"  # not measured
    assert math.isnan(truth(explorer))
    explorer.width_rule = "d/4, d/16, d/64 ..."
    measured["lanes"]["yours"]["widths"] = explorer.widths
    explorer.remember("training", measured)
    assert truth(explorer) == pytest.approx(2.5)
    explorer.set_cutoff(0, 11)
    assert math.isnan(truth(explorer))


# ---- what readers stumbled over


def test_pieces_per_word_written_as_a_number_are_named_and_the_inputs_are_in_sight():
    def fixed(log_p, starts):
        loss = -log_p.mean()
        return np.exp(loss), np.exp(1.5 * loss)

    verdict = judge(EXERCISES["perplexities"], fixed)
    assert verdict.status == "not yet" and "You took 1.5 pieces" in verdict.text.replace("Per word you", "You")
    assert " open><summary>case 1 of 3: its inputs</summary>" in verdict.html and "starts=" in verdict.html


def test_any_folder_of_texts_will_do(tmp_path):
    """Programs that are called train.py or test.py are no parts of a text."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in ("train.py", "test.py", "notes.txt", "more.txt"):
        (folder / name).write_text(text(3000))
    corpus = tx.read_text(str(folder), 4000)
    assert len(corpus.train) == 4000 and "the" in corpus.vocabulary.words


def test_words_written_carry_the_tail_that_they_come_from():
    ranks = {"a": 1, "b": 5, "c": 50}
    told = se.written_html("planned", "b c\n<unk> b", (2, 10), ranks, start="a")
    assert "opened tail 1 for 2 words, tail 2 for 1 word of 5" in told and " a " in f" {told.split('<br>')[1]} "
    assert told.count("var(--c1)") == 2 and 'var(--c2)">c<sub>2</sub>' in told
    assert "&lt;unk&gt;" in told and "↵" in told
    assert "needed no tail" in se.written_html("planned", "a a", (2, 10), ranks)
    for plain in (se.written_html("full", "a b c", (), ranks), se.written_html("planned", "a b c", (2,))):
        assert "opened" not in plain and "<sub>" not in plain and "no tail" not in plain


def test_words_written_by_models_of_another_text_carry_no_tail(explorer, path, tmp_path, clock, monkeypatch):
    show_sessions(monkeypatch, list)
    explorer.train("training", explorer.request, 0.1, from_start=True, **QUIET)
    box = wp.writing_panel(explorer)
    press(box, "Write")
    assert "tail" in said(box).split("full softmax")[1]
    other = tmp_path / "other.txt"
    other.write_text(path.read_text().replace("w3 ", "unheard "))
    explorer.source = str(other)
    explorer.read()
    assert "<sub>" not in said(box) and "Train here and press Write" in said(box)


def test_what_is_recorded_is_said_before_what_was_written(explorer):
    box = wp.writing_panel(explorer)
    told = said(box)
    assert told.index("Recorded, not this machine: each model") < told.index("full softmax")
    assert told.count('class="adasoft-wrote"') == 2  # of eight models
    named(box, "show").value = "all models"
    assert said(box).count('class="adasoft-wrote"') == len(lk.LABELS)


@pytest.mark.parametrize("make", [tp.training_panel, cp.own_cell_panel])
def test_an_estimate_says_that_the_text_is_read_first(explorer, make):
    box = make(explorer)
    assert "Before that the text is read." in said(box)
    explorer.source = "docs"
    assert "a minute or two the first time" in said(box)
    explorer.read = None
    explorer._corpus = (("docs", explorer.tokens), object())
    explorer.seed += 1
    assert "Before that" not in said(box)


@pytest.mark.parametrize("make", [tp.text_panel, tp.training_panel, wp.writing_panel, cp.own_cell_panel])
def test_a_refusal_stands_beside_the_buttons_above_the_figure(explorer, make):
    box = make(explorer)
    order = [i for i, child in enumerate(box.children) if every(child, w.Button) or child in every(box, parts.Line)]
    (at,) = [i for i, child in enumerate(box.children) if isinstance(child, parts.Line) and child.kind == "problem"]
    buttons = max(i for i, child in enumerate(box.children) if every(child, w.Button))
    figures = [i for i, child in enumerate(box.children) if isinstance(child, parts.LiveFigure)]
    assert buttons < at <= buttons + 2 and at in order and all(at < i for i in figures)


@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ("nats", "exp(4.6)"),
        ("nats", "e^4.6"),
        ("two hundredths", "100*(e^0.02-1)"),
        ("two hundredths", "2.02 %"),
        ("sampled loss", "exp(5.1)"),
        ("the right word", "100/90"),
        ("pieces", "exp(1.5*ln(25))"),
    ],
)
def test_right_answers_may_be_calculations(key, answer):
    assert grade(key, answer).status == "correct"


@pytest.mark.parametrize(
    ("answer", "hint"),
    [("exp(0.02)-1", "a fraction; the question asks for percent: times 100"), ("0.02", "Those are nats")],
)
def test_a_fraction_is_no_nats(answer, hint):
    assert hint in grade("two hundredths", answer).hint


def test_of_a_recorded_session_only_what_is_ticked_is_drawn(explorer):
    """Eight curves are too many to tell apart; the table has all."""
    box = tp.training_panel(explorer)
    named(box, "shown").value = named(box, "shown").options[1]
    shown = [one.name for one in figure_of(box).data[: len(lk.LABELS)] if one.showlegend]
    assert shown == ["full softmax", "adaptive, example cutoffs"]
    assert said(box).count('<th scope="row">') >= len(lk.LABELS)
    explorer.ticked = ("full", "planned", "yours")
    assert sum(one.showlegend for one in figure_of(box).data[: len(lk.LABELS)]) == 3


def test_cutoffs_that_nobody_moved_follow_the_text_that_is_read(path):
    few = Vocabulary(np.arange(11, 0, -1), name="own.txt")
    explorer = ts.TrainingExplorer(few, source=str(path), tokens=4000, in_features=16, batch=80)
    assert explorer.cutoffs == (3,)  # of eleven words
    explorer.read()
    assert explorer.cutoffs == (9,) and len(explorer.vocabulary) == 81
    moved = ts.TrainingExplorer(few, source=str(path), tokens=4000, in_features=16, batch=80)
    moved.cutoffs = (4,)
    moved.read()
    assert moved.cutoffs == (4,)
