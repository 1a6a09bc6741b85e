"""Benchmarks: what their tables say of known times, small texts, and stored runs that are damaged."""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from trainings import SMALL, made_corpus

import adasoft
from adasoft import bench, records, text, timing
from adasoft.bench import common, compare, layer, search
from adasoft.files import DamagedFile
from adasoft.fit import predict
from adasoft.timing import Timing
from adasoft.workloads import Shape, layer_steps

pytestmark = pytest.mark.usefixtures("one_thread")
RESULTS = Path(__file__).resolve().parents[1] / "data" / "results"


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def known_times(monkeypatch):
    """`interleave` that runs nothing: every thing takes the seconds said here, quartiles 0.9 and 1.2 of them."""
    seconds, rounds = {}, {}

    def interleave(items, **more):
        for name in items:
            asked = more["rounds"]
            rounds[name] = asked if isinstance(asked, int) else asked[name]
        times = {name: seconds[name] if name in seconds else seconds["*"] for name in items}
        times = {name: next(t) if isinstance(t, Iterator) else t for name, t in times.items()}
        for name, t in times.items():
            if more.get("heard"):
                more["heard"](name, t)
        return {name: Timing(t, 0.9 * t, 1.2 * t, rounds[name]) for name, t in times.items()}

    monkeypatch.setattr(timing, "interleave", interleave)
    return SimpleNamespace(seconds=seconds, rounds=rounds)


# ---------------------------------------------------------------------- tables


def test_columns_stand_under_their_names():
    rows = [{"a": 1, "bb": 2.5, "c": [3, 4]}, {"a": 12345, "bb": 1234.5, "c": "text", "d": 9}]
    assert text.table(rows, ["c", "a", "bb"]).splitlines() == [
        "   c       a     bb",
        " 3,4       1  2.500",
        "text  12,345  1,234",
    ]
    assert text.table([], ["a"]) == "a"


# ---------------------------------------------------------------------- bench layer


def test_times_of_layers(known_times, monkeypatch):
    known_times.seconds.update({"stock": 2.0, "ours": 1.0, "bare products": 0.5, "full softmax": 8.0})
    monkeypatch.setattr(layer, "peak_mib", lambda step, device: 3.0)
    rows = {row["what"]: row for row in layer._compare(600, (60, 200), "cpu", torch.float32, 5, True)}
    ours = rows["ours"]
    assert (ours["ms"], ours["q1"], ours["q3"], ours["runs"]) == (1000, 900, 1200, 5)
    assert ours["of stock"] == 0.5 and ours["of bare"] == 2 and ours["peak MiB"] == 3
    assert rows["full softmax"]["of stock"] == 4 and rows["full softmax"]["of bare"] == 16
    assert known_times.rounds == {"stock": 5, "ours": 5, "bare products": 5, "full softmax": 3}
    shape = Shape(600, 512, 2560, (60, 200), (128, 32))
    first, second = (share * 2560 for share in shape.tail_shares())
    multiplications = 2560 * 62 * 512 + first * 128 * (512 + 140) + second * 32 * (512 + 400)
    assert ours["GFLOP/s"] == pytest.approx(6e-9 * multiplications / 1.0)
    assert rows["full softmax"]["GFLOP/s"] == pytest.approx(6e-9 * 600 * 512 * 2560 / 8.0)
    assert "full softmax" not in {r["what"] for r in layer._compare(600, (60,), "cpu", torch.float32, 5, False)}


def test_ratios_of_pairs(known_times):
    known_times.seconds.update({"stock": 4.0, "ours": 1.0, "zeros": 0.25})
    shape = Shape(600, 16, 40, (60, 200), (8, 4))
    row = layer._pair(shape, "cpu", torch.float32, 7, 0.0)
    assert (row["ours ms"], row["stock ms"], row["pairs"], row["ratio"]) == (1000, 4000, 7, 0.25)
    assert (row["V"], row["d"], row["B"], row["cutoffs"], row["widths"]) == (600, 16, 40, [60, 200], [8, 4])
    row = layer._missed(shape, "cpu", torch.float32, 7, 0.0)
    assert row["zeros ms"] == 250 and row["ours less zeros"] == 750
    # short steps take turns until they have had their seconds
    assert layer._pair(shape, "cpu", torch.float32, 7, 100.0)["pairs"] == 20


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 TiB\nand more"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] data. DefaultCPUAllocator: can't allocate memory\nand more"),
        MemoryError("Unable to allocate 9 TiB"),
    ],
)
def test_a_shape_that_does_not_fit_is_left_out(error):
    def fails():
        raise error

    said = []
    assert layer._unless_full(fails, said.append) is None
    assert said[0].startswith("left out, out of memory: ") and "and more" not in said[0]
    assert layer._unless_full(lambda: 5, said.append) == 5
    with pytest.raises(RuntimeError, match="another"):
        layer._unless_full(lambda: exec('raise RuntimeError("another")'), said.append)


def test_the_profiler_says_nothing(capfd):
    step = layer_steps(Shape(600, 16, 40, (60,), (8,)))[0]
    assert bench.common.peak_mib(step, "cpu") * 2**20 == timing.peak_bytes(step) > 0
    capfd.readouterr()
    bench.common.peak_mib(step, "cpu")
    assert capfd.readouterr() == ("", "")
    import os

    os.write(2, b"as before\n")
    assert capfd.readouterr().err == "as before\n"
    with pytest.raises(ValueError, match="heard"), common._without_notices():
        raise ValueError("heard")


# ---------------------------------------------------------------------- bench plan


def test_time_and_memory_of_the_search(monkeypatch):
    clock = iter(np.arange(0, 1e4, 0.25))
    monkeypatch.setattr(search, "time", SimpleNamespace(perf_counter=lambda: float(next(clock))))
    words = adasoft.Vocabulary.synthetic(500)
    monkeypatch.setattr(adasoft.Vocabulary, "synthetic", staticmethod(lambda *a, **k: words))
    peaks = SimpleNamespace(start=lambda: None, stop=lambda: None, get_traced_memory=lambda: (1, 5_000_000))
    monkeypatch.setattr(search, "tracemalloc", peaks)
    said = []
    record = bench.bench_plan(rounds=3, say=said.append)
    assert {row["ms"] for row in record["rows"]} == {250.0} and {row["peak MB"] for row in record["rows"]} == {5.0}
    assert [row["J"] for row in record["rows"]][:4] == [5, 5, 2, "0-5"]
    assert all(c % row["align"] == 0 for row in record["rows"] for c in row["cutoffs"])
    assert "250" in said[0] and "peak MB" in said[0]


@pytest.mark.parametrize(
    ("n", "authors"),
    [(2001, [2000]), (3000, [2000]), (10_000, [2000]), (10_001, [2000, 10_000]), (12_000, [2000, 10_000])],
)
def test_planned_cutoffs_against_the_authors_of_any_vocabulary(n, authors, known_times):
    known_times.seconds.update({"authors": 2.0, "planned, J = best": 0.5, "*": 1.0})
    words = adasoft.Vocabulary.synthetic(n)
    case = bench.bench_cutoffs(words, in_features=64, batch=100, rounds=3, say=lambda text: None)
    rows = {row["which"]: row for row in case["rows"]}
    assert rows["authors"]["cutoffs"] == authors and rows["authors"]["widths"] == [16, 8][: len(authors)]
    assert rows["authors"]["of authors"] == 1 and rows["authors"]["ms"] == 2000
    assert len(rows[f"planned, J = {len(authors)}"]["cutoffs"]) == len(authors)
    share = words.share_of_first(2000)
    for name, row in rows.items():
        if name.startswith("planned"):
            assert row["head share"] >= share - 1e-12 and known_times.rounds[name] == 9
            assert row["of authors"] == row["ms"] / 2000
        elif name.startswith("floor"):
            assert row["head share"] >= float(name.split()[1]) - 1e-12 and known_times.rounds[name] == 3
        assert (row["q1"], row["q3"]) == pytest.approx((0.9 * row["ms"], 1.2 * row["ms"]))
        assert row["head share"] <= row["mean width"] / 64 <= 1
        edges = [*row["cutoffs"], n]
        shares = np.diff(words.cumulative[edges]).tolist()
        cost = records.load_cost("cpu")
        expected = cost.layer(n, row["cutoffs"], row["widths"], shares, 64, 100).seconds
        assert row["predicted ms"] == pytest.approx(1e3 * expected)


def test_a_vocabulary_that_the_authors_would_not_cut_is_refused():
    with pytest.raises(
        ValueError, match="should have more than 2,000 words, where the authors cut first, got V = 2,000"
    ):
        bench.bench_cutoffs(adasoft.Vocabulary.synthetic(2000))


# ---------------------------------------------------------------------- bench cost


def test_errors_of_predictions_and_regret(known_times):
    shapes = [Shape(900, 64, 64, (90,), (16,)), Shape(800, 32, 64, (80, 300), (8, 8))]
    cost = records.load_cost("cpu")
    predicted = [predict(cost, "layer", shape) for shape in shapes]
    full = predict(cost, "full", Shape(700, 16, 32, (), ()))
    # The machine is now 1.25 times as slow as when the record was made; decoding takes a second, whatever it is.
    known_times.seconds |= {
        f"{sample['kind']} {json.dumps(sample['shape'])}": 1.25 * sample["median"]
        for sample in cost.record["samples"]
        if sample["objective"] == "train"
    }
    known_times.seconds |= {
        f"layers, training {json.dumps(shape)}": time / ratio
        for shape, time, ratio in zip(shapes, predicted, (1.5, 0.8), strict=True)
    }
    known_times.seconds[f"full softmaxes, training {json.dumps(Shape(700, 16, 32, (), ()))}"] = 1.25 * full
    known_times.seconds |= {
        f"{column} {json.dumps(shape)}": part * time
        for column, part in (("parts ms", 0.8), ("products ms", 0.4))
        for shape, time in zip(shapes, (predicted[0] / 1.5, predicted[1] / 0.8), strict=True)
    }
    known_times.seconds["*"] = 1.0
    record = bench.bench_cost(shapes=shapes, full=[(700, 16, 32)], cases=[], rounds=4, say=lambda text: None)
    trained = [row for row in record["rows"] if row["what"] == "layers, training"]
    assert [row["error"] for row in trained] == pytest.approx([0.5, -0.2])
    assert [row["model's error"] for row in trained] == pytest.approx([0.875, 0.0], abs=1e-9)
    assert trained[0]["predicted ms"] == pytest.approx(1e3 * predicted[0])
    assert trained[0]["measured ms"] == pytest.approx(1e3 * predicted[0] / 1.5)
    assert [(row["V"], row["d"], row["B"], row["J"]) for row in trained] == [(900, 64, 64, 1), (800, 32, 64, 2)]
    whats = ["layers, training", "layers, decoding 1 row", "layers, decoding 256 rows"]
    named = [*whats, *(what.replace("layers", "full softmaxes") for what in whats)]
    assert list(record["summary"])[1:] == [*named, "layer over parts", "layer over products"]
    assert record["summary"]["layer over parts"] == pytest.approx(1 / 0.8)
    assert record["summary"]["layer over products"] == pytest.approx(1 / 0.4)
    found = record["summary"]["layers, training"]["error"]
    assert found == {k: pytest.approx(v) for k, v in {"median": 0.35, "largest": 0.5, "signed": 0.15, "n": 2}.items()}
    (of_full,) = (row for row in record["rows"] if row["what"] == "full softmaxes, training")
    assert of_full["speed"] == pytest.approx(1.25) and of_full["model's error"] == pytest.approx(0, abs=1e-9)
    decoded = [row for row in record["rows"] if row["what"] == "layers, decoding 256 rows"]
    assert [row["B"] for row in decoded] == [256, 256] and all(row["measured ms"] == 1e3 for row in decoded)
    assert set(known_times.rounds.values()) == {4}


def test_regret_counts_second_times(known_times):
    words = adasoft.Vocabulary.synthetic(2000)
    cost = records.load_cost("cpu")
    made = adasoft.plan(words, 256, 300, cost=cost, min_head_share=0.75)
    known_times.seconds |= {"*": itertools.count(2.0, 1 / 64), str(tuple(made.cutoffs)): 3.0}
    regret = bench.bench_regret(cost, words=words, in_features=256, batch=300, say=lambda text: None)
    # thirty others, the first of them the fastest; of the five fastest the second times count
    plan, *others = regret["rows"]
    assert [row["first ms"] for row in others] == [2000 + 1000 * i / 64 for i in range(5)]
    assert [row["again ms"] for row in others] == [2000 + 1000 * i / 64 for i in range(30, 35)]
    assert plan["which"] == "plan" and plan["again ms"] == 3000 and regret["regret"] == 3000 / (2000 + 1000 * 30 / 64)
    assert len({tuple(case["cutoffs"]) for case in regret["screened"]} - {tuple(made.cutoffs)}) == 30


@pytest.mark.parametrize("error", [ImportError("wordfreq is not installed"), ValueError("no tails")])
def test_what_was_measured_stays_where_regret_cannot_be(known_times, monkeypatch, error):
    def fails(cls, language):
        raise error

    monkeypatch.setattr(adasoft.Vocabulary, "from_wordfreq", classmethod(fails))
    known_times.seconds["*"] = 1.0
    said = []
    record = bench.bench_cost(shapes=[Shape(900, 64, 64, (90,), (16,))], full=[], rounds=1, say=said.append)
    assert len(record["rows"]) == 3 and record["regret"] == [] and f"regret, tr: left out, {error}" in said[-1]


# ---------------------------------------------------------------------- bench decode


def text_of(path, n_words, n_types):
    draw = random.Random(0)
    words = [f"w{int(n_types * draw.random() ** 3)}" for _ in range(n_words)]
    path.write_text("".join(f"{' '.join(words[i : i + 10])}\n" for i in range(0, n_words, 10)), encoding="utf-8")
    return str(path)


def decoded(text, **more):
    usual = {"in_features": 64, "batch": 32, "steps": 2, "rounds": 3, "say": lambda text: None}
    return bench.bench_decode(text, **{**usual, **more})


def test_the_best_words_of_texts_of_any_size(tmp_path, known_times):
    known_times.seconds.update({"ours, top 10": 1.0, "ours, predict": 0.5, "full softmax, top 10": 4.0, "*": 2.0})
    small = decoded(text_of(tmp_path / "small.txt", 3_000, 600))
    assert small["V"] <= 2000 and [row["layer"].split()[0] for row in small["opened"]] == ["planned"]
    middle = decoded(text_of(tmp_path / "middle.txt", 30_000, 4_000))
    assert 2000 < middle["V"] < 10_000 and middle["opened"][0]["layer"] == "cutoffs 2000"
    assert middle["opened"][0]["widths"] == [16]
    given = decoded(text_of(tmp_path / "middle.txt", 30_000, 4_000), cutoffs=(300, 1000, 9999))
    assert given["opened"][0]["layer"] == "cutoffs 300,1000" and given["opened"][0]["widths"] == [16, 8]
    rows = {(row["rows"], row["what"]): row for row in given["rows"] if row["layer"] == "cutoffs 300,1000"}
    assert rows[256, "full softmax, top 10"]["times ours"] == 4 and rows[1, "ours, predict"]["times ours"] == 0.5
    assert rows[256, "ours, top 10"]["ms"] == 1000 and rows[256, "ours, top 10"]["runs"] == 3
    assert rows[1, "ours, top 10"]["runs"] == 24
    opened = given["opened"][0]
    assert opened["measured ms"] == 1000 and opened["mean, top 10"] == pytest.approx(np.mean(opened["opened, top 10"]))
    assert opened["mean, top 1"] <= opened["mean, top 10"]
    shares = [max(share, 1e-9) for share in opened["opened, top 10"]]
    cost = records.load_cost("cpu").layer(given["V"], [300, 1000], [16, 8], [0.0, 0.0], 64, 256, "decode", shares)
    assert opened["predicted ms"] == pytest.approx(1e3 * cost.seconds)
    # the options
    assert decoded(str(tmp_path / "middle.txt"), max_size=700, steps=1)["V"] == 700


@pytest.mark.parametrize(
    ("n_words", "n_types", "reason"),
    [
        (3_000, 5, "small should have more than 10 different words, and 100 in all, got 6 and 3,300"),
        (60, 9000, "small should have more than 10 different words, and 100 in all, got 60 and 66"),
    ],
)
def test_texts_that_are_too_small_are_refused(tmp_path, n_words, n_types, reason):
    with pytest.raises(ValueError, match=reason):
        decoded(text_of(tmp_path / "small.txt", n_words, n_types))
    (tmp_path / "even.txt").write_text("a b c d e f g h i j k\n" * 50)
    with pytest.raises(ValueError, match="even should have enough words for three tails, got V = 12"):
        decoded(str(tmp_path / "even.txt"))


def test_a_damaged_layer_in_the_cache_is_named(tmp_path, known_times):
    known_times.seconds["*"] = 1.0
    text = text_of(tmp_path / "small.txt", 3_000, 600)
    decoded(text)
    (kept,) = (tmp_path / "cache" / "bench").iterdir()  # and nothing besides
    whole = kept.read_bytes()
    for damaged in (b"", whole[:100], whole[:-5], b"\x02" + bytes(7) + b"{}"):
        kept.write_bytes(damaged)
        with pytest.raises(DamagedFile, match=f"{kept.name} is damaged: .*; delete it"):
            decoded(text)
    kept.write_bytes(whole)
    decoded(text)


# ---------------------------------------------------------------------- bench decode --run


def test_comparisons_of_small_words(tmp_path, known_times, monkeypatch):
    known_times.seconds.update({"full": 4.0, "svd": 2.0, "*": 1.0})
    monkeypatch.setattr(compare, "RETRAIN_TOKENS", 400)
    said = []
    settings = SMALL.__class__(hidden=16, batch=8, bptt=10, epochs=1, n_tails=2)
    corpus = made_corpus(6_000)
    record = compare.bench_compare(corpus, settings, experts=(2,), rounds=3, rows=300, say=said.append)
    names = [row["what"] for row in record["rows"]]
    assert "adaptive, log_prob" not in names and "planned-0.75, exact top-k" in names
    assert any(text.startswith("adaptive: left out, cutoffs='authors'") for text in said)
    for row in record["rows"]:
        seconds = 4.0 if row["what"] == "full" else 1.0
        assert row["ms, 256"] == 1000 * seconds and row["faster, 256"] == 4 / seconds == row["faster, 1"]
        assert row["q1, 256"] == 900 * seconds and row["q3, 1"] == 1200 * seconds
    assert known_times.rounds["full"] == 24  # of single rows, the last
    claim = bench.bench_svd({"singular values": [4.0, 2.0, 1.0]}, n_classes=2_000, in_features=32, rounds=2, say=str)
    for row in claim["rows"]:
        assert (row["faster"], row["full ms"], row["svd ms"], row["q1"], row["q3"]) == (2, 4000, 2000, 1800, 2400)


def test_comparisons_that_cannot_be_are_refused_before_anything_is_trained(monkeypatch):
    monkeypatch.setattr(compare, "trained", lambda *a: pytest.fail("trained"))
    for experts in ((3,), (2, 1), (0,)):
        with pytest.raises(ValueError, match="n_experts should be a power of two, at least 2, got"):
            compare.bench_compare(made_corpus(6_000), SMALL, experts=experts)
    small = made_corpus(1_000)
    small = dataclasses.replace(small, test=small.test[:256], n_words={})
    with pytest.raises(ValueError, match="should have more than 10 different words, and 256 in its test part, got"):
        compare.bench_compare(small, SMALL)


# ---------------------------------------------------------------------- bench train


def test_steps_of_models(monkeypatch):
    from adasoft.lm.run import Run

    monkeypatch.setattr("adasoft.lm.settings.authors_cutoffs", lambda n: (10, 20))
    turns = {"full": 0, "adaptive": 0}

    def time_step(run):
        name = run.settings.softmax
        turns[name] += 1
        seconds = {"full": 4.0, "adaptive": 1.0}[name] * (100 if turns[name] <= 2 else 1)  # two warm up
        return {"body": 0.5 * seconds, "output": 0.4 * seconds, "optimizer": 0.1 * seconds}

    monkeypatch.setattr(Run, "time_step", time_step)
    said = []
    record = bench.bench_train(made_corpus(6_000), SMALL, rows=["full", "adaptive"], rounds=3, say=said.append)
    full, adaptive = record["rows"]
    assert turns == {"full": 5, "adaptive": 5} and full["runs"] == 3
    assert full["step ms"] == pytest.approx(4000) and full["output ms"] == pytest.approx(1600)
    assert full["output share"] == pytest.approx(0.4) and full["of authors"] == pytest.approx(4)
    assert adaptive["words/s"] == pytest.approx(SMALL.tokens) and adaptive["cutoffs"] == [10, 20]
    assert full["settings"]["softmax"] == "full" and adaptive["q1"] == pytest.approx(1000) == adaptive["q3"]


def test_rows_that_the_words_do_not_allow_are_left_out():
    said = []
    corpus = made_corpus(6_000)
    record = bench.bench_train(corpus, SMALL, rows=["full", "adaptive", "planned-0.75"], rounds=1, say=said.append)
    assert [row["row"] for row in record["rows"]] == ["full", "planned-0.75"]
    assert said[0].startswith("adaptive: left out, cutoffs='authors': the authors cut at 2,000 words or more")
    with pytest.raises(ValueError, match="rows should have one that fits the words of"):
        bench.bench_train(corpus, SMALL, rows=["adaptive"], rounds=1, say=said.append)
