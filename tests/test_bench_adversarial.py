"""`bench adversarial` at sizes of a moment, its data, its going on, and what its stored record says."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from adasoft.bench import CONTEST_TINY, adversarial_lines, bench_adversarial
from adasoft.bench import adversarial as bench
from adasoft.bench.adversarial import summary, theory
from adasoft.bench.adversarial_data import Clusters, words_task
from adasoft.bench.adversarial_training import METHODS, evaluated

RECORD = Path(__file__).resolve().parents[1] / "data" / "results" / "bench-adversarial-icd-cpu.json"
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path / "cache"))


def test_the_probabilities_of_clusters_are_those_of_bayes():
    clusters = Clusters(70, d=20)
    x, y = clusters.draw(200, torch.Generator().manual_seed(0))
    density = -(x.unsqueeze(1) - clusters.centres).square().sum(2) / 2
    torch.testing.assert_close(clusters.log_prob(x), density.log_softmax(1))
    assert evaluated(clusters.log_prob, x, y)["accuracy"] > 5 / 70
    between = torch.cdist(clusters.centres, clusters.centres)
    assert between[:32, :32].mean() < between[:32, 32:].mean()  # two levels


def test_diagnoses_and_clusters_at_a_tiny_size(tmp_path):
    pytest.importorskip("sklearn")
    pytest.importorskip("simple_icd_10_cm")
    sizes, said = replace(CONTEST_TINY, codes=200), []
    record = bench_adversarial(seeds=2, sizes=sizes, say=said.append)
    assert json.loads(json.dumps(record))["icd"] == record["icd"]
    assert not list((tmp_path / "cache" / "bench").iterdir())
    assert [row["method"] for row in record["clusters"]] == ["tree alone", "softmax", "uniform", "adversarial"]
    for row in record["clusters"]:
        assert math.isfinite(row["regret"]) and (row["method"] == "tree alone" or row["steps"] >= 10)
    found = record["icd"]
    assert list(found["settings"]) == list(METHODS) and found["d"] == 8
    assert {row["noise"] for row in found["noises"]} == {"tree", "narrow adaptive", "uniform", "frequency"}
    assert len(found["rows"]) == 2 * (2 * len(METHODS) + 1)
    assert all(0 <= row["accuracy"] <= 1 and row["log-likelihood"] < 0 for row in found["rows"])
    assert all(row["seeds"] == 2 for row in summary(found["rows"]))
    for how in found["settings"].values():
        assert how["rate"] == max(how["tried"], key=lambda one: one["accuracy"])["rate"]
    assert any("adversarial, narrow adaptive" in text for text in said)
    assert len(adversarial_lines(found)) == len(METHODS) + 3


def test_next_words_on_frozen_states(tmp_path):
    (tmp_path / "t.txt").write_text("a b a c d e a b f g\n" * 200, encoding="utf-8")
    task = words_task(str(tmp_path / "t.txt"), n_classes=6, d=4, rows=300, steps=2)
    assert task.told() == {"data": "next words", "C": 6, "d": 4, "train": 300, "valid": 30, "test": 30}
    for x, y in task[2:]:
        assert not x.requires_grad and x.abs().max() <= 1 and int(y.max()) < 6


def test_an_interrupted_run_goes_on(monkeypatch):
    sizes, done, stop = replace(CONTEST_TINY, classes=(40, 41, 42)), [], [True]

    def swept(clusters, *args):
        if len(done) == 2 and stop:
            raise KeyboardInterrupt
        done.append(clusters.n_classes)
        return [{"C": clusters.n_classes}]

    monkeypatch.setattr(bench, "swept", swept)
    with pytest.raises(KeyboardInterrupt):
        bench_adversarial(sizes=sizes, only="clusters", say=lambda text: None)
    stop.clear()
    record = bench_adversarial(sizes=sizes, only="clusters", say=lambda text: None)
    assert done == [40, 41, 42] == [row["C"] for row in record["clusters"]]


def test_the_theory_in_numbers():
    rows = theory(100)
    assert [row["noise"] for row in rows] == sorted(row["noise"] for row in rows)
    ratios = [row["noise to signal"] for row in rows]
    assert ratios == sorted(ratios, reverse=True) and ratios[-1] == pytest.approx(1) and ratios[0] < 100 / 99
    bends = [row["curvature of the likeliest"] for row in rows]
    assert bends == sorted(bends) and bends[-1] > 8 * bends[0]


def test_only_the_text_needs_one():
    with pytest.raises(ValueError, match="only should be 'clusters' or 'icd', got 'text'"):
        bench_adversarial(only="text")


def test_what_the_stored_record_says():
    """The claims of data/results/README.md."""
    part = json.loads(RECORD.read_text(encoding="utf-8"))["icd"]
    text = (RECORD.parent / "README.md").read_text(encoding="utf-8")
    assert all(line in text for line in adversarial_lines(part))
    assert f"{part['train']:,} codes for training, {part['C']:,} categories" in text and f"{part['test']:,} for" in text
    rows = {(row["method"], row["epochs"]): row for row in summary(part["rows"])}
    noise = {row["noise"]: row for row in part["noises"]}
    for measure in ("accuracy", "log-likelihood"):
        for other in ("uniform", "frequency", "NCE", "one-vs-each"):
            assert rows["adversarial", 1][measure] > rows[other, 10][measure]
            assert noise["narrow adaptive"][measure] > rows[other, 10][measure]
        ranked = ["softmax", "adversarial, narrow adaptive", "adversarial", "adversarial, bias not removed"]
        values = [rows[name, 10][measure] for name in ranked]
        assert values == sorted(values, reverse=True)
    assert rows["adversarial, bias not removed", 10]["accuracy"] < 0.05
    assert noise["narrow adaptive"]["numbers"] <= noise["tree"]["numbers"]
    costs = [noise[name]["operations of a draw"] for name in ("narrow adaptive", "tree")]
    assert 5 <= costs[0] / costs[1] < 5.5
