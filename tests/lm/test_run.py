"""Training: what a step does, exact resume also after kill -9, records, bad input."""

import json
import math
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn
from trainings import CORPUS, SMALL, V, arguments, curve, made_corpus, two_processes

from adasoft import PaperCost
from adasoft.bench import bench_train, save
from adasoft.cli import main, parser
from adasoft.cli import table as table_command
from adasoft.cli import train as train_command
from adasoft.cli.training_options import training_device
from adasoft.corpora import load
from adasoft.lm.clock import PHASES, Clock
from adasoft.lm.evaluation import nats_by_rank
from adasoft.lm.launch import Stopped, run_name, train
from adasoft.lm.run import Run
from adasoft.lm.run_checkpoint import read_checkpoint
from adasoft.lm.settings import PRESETS, Settings, authors_cutoffs, build_model, partition
from adasoft.results.suite import suite
from adasoft.results.tables import print_by_rank, print_table
from adasoft.results.trainings import by_rank, summary

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_defaults_are_the_papers():
    paper = {"model": "lstm", "hidden": 512, "layers": 1, "optimizer": "adagrad", "learning_rate": 0.1, "bptt": 20}
    paper |= {"batch": 128, "clip": 1.0, "epochs": 5, "weight_decay": 1e-6}
    assert asdict(Settings()).items() >= paper.items()
    assert Settings(**PRESETS["authors"]).clip == 0.25 and Settings(**PRESETS["transformer"]).model == "transformer"
    assert Settings.read(json.loads(json.dumps(asdict(SMALL)))) == SMALL
    assert [authors_cutoffs(n) for n in (10_000, 44_000, 200_000)] == [(2000,), (2000, 10000), (2000, 10000)]
    assert [authors_cutoffs(n) for n in (793_471, 1_500)] == [(4000, 40000, 200000), ()]


def test_it_learns_and_tells_where_the_time_went():
    run = Run(CORPUS, replace(SMALL, epochs=3))
    start = run.perplexity("test")
    told = list(run.steps(every=7))
    assert run.done and run.perplexity("test") < 0.8 * start
    assert [p.epoch for p in told if p.valid is not None] == [1, 2, 3]
    assert told[-1].window == told[-1].windows == len(run.batches)
    assert sum(told[-1].phases.values()) == pytest.approx(1) and all(told[-1].phases[p] > 0 for p in PHASES)
    assert sum(run.phases.values()) == pytest.approx(run.position.seconds)
    assert run.position.tokens == 3 * run.batches.targets
    epochs = run.position.epochs
    assert epochs[0].valid > epochs[-1].valid and epochs[0].train > epochs[-1].train
    assert told[-1].valid == epochs[-1].valid == run.perplexity("valid") != run.perplexity("test")
    assert told[-1].words_per_second == pytest.approx(run.position.tokens / run.position.seconds)
    # the epoch's perplexity is that of all its tokens
    windows, sizes = len(run.batches), [run.batches[i][1].size for i in range(len(run.batches))]
    expected = math.exp(np.average(run.losses[-windows:], weights=sizes))
    assert epochs[-1].train == pytest.approx(expected)


@pytest.mark.parametrize(("optimizer", "clip"), [("adagrad", 0.05), ("sgd", 0.0)])
def test_a_step_is_that_of_plain_torch(optimizer, clip):
    """Update, clipping, state carried within an epoch: against a loop written out. SGD shows the loss's scale."""
    settings = replace(SMALL, softmax="full", clip=clip, optimizer=optimizer)
    run = Run(CORPUS, settings)
    torch.manual_seed(settings.seed)
    model = build_model(settings, CORPUS, run.clusters)
    made = {"adagrad": torch.optim.Adagrad, "sgd": torch.optim.SGD}[optimizer]
    updates = made(model.parameters(), lr=0.1, weight_decay=1e-6)
    ids, expected = torch.from_numpy(CORPUS.train.astype(np.int64)), []
    columns = (len(ids) - 1) // 8
    x, y = ids[: 8 * columns].view(8, columns), ids[1 : 8 * columns + 1].view(8, columns)
    for _ in range(settings.epochs):
        state = None
        for a in range(0, columns, 10):
            h, state = model.body(model.embedding(x[:, a : a + 10]), state)
            state = tuple(tuple(t.detach() for t in s) for s in state)
            logits = h @ model.softmax.output.weight.T
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), y[:, a : a + 10].flatten())
            updates.zero_grad()
            loss.backward()
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            updates.step()
            expected.append(loss.item())
    np.testing.assert_allclose(curve(run), expected, rtol=2e-5)


def test_perplexity_is_that_of_every_token_with_the_state_carried():
    run = Run(CORPUS, SMALL)
    ids = torch.from_numpy(CORPUS.test.astype(np.int64))[None]  # fewer than 500 words: one sequence
    with torch.no_grad():
        hidden, _ = run.model.eval().hidden(ids[:, :-1])
        nll = -run.model.softmax(hidden, ids[:, 1:]).output.mean()
    assert run.perplexity("test") == pytest.approx(math.exp(nll), rel=1e-5)
    for training in (True, False):  # left as it was
        run.model.train(training)
        run.perplexity("valid")
        assert run.model.training == training


def test_each_stretch_of_a_step_counts_for_its_phase():
    """Forward and backward of the body and of the output layer, then the update: by a clock that says 0, 1, 3, 7 ..."""
    times = iter([0, 1, 3, 7, 15, 31])
    clock = Clock(torch.device("cpu"), now=lambda: float(next(times)))
    clock.start_step()
    for name in ("body", "output", "output gradient", "backward"):
        clock.mark(name)
    clock.end_step()
    assert clock.read() == 31 and clock.totals == {"body": 1 + 8, "output": 2 + 4, "optimizer": 16}
    assert clock.read() == 0 and sum(clock.shares().values()) == pytest.approx(1)


@pytest.mark.parametrize(
    "changes",
    [
        {"dropout": 0.3, "tail_dropout": 0.2, "warmup": 20},
        {"softmax": "sampled", "model": "gru", "layers": 2},
        {"model": "transformer", "optimizer": "adamw", "learning_rate": 1e-3, "dropout": 0.1},
        {"embedding": "tied", "model": "rnn-sigmoid"},
        {"softmax": "full", "embedding": "tied", "dtype": "bfloat16", "halve_from": 2},
        {"dtype": "float16", "optimizer": "adam", "learning_rate": 1e-2},
    ],
    ids=lambda c: "-".join(map(str, c.values())),
)
def test_a_resumed_run_goes_on_with_the_very_same_numbers(tmp_path, changes):
    settings, corpus = replace(SMALL, epochs=2, **changes), made_corpus(1_000)
    expected, whole = Run(corpus, settings), Run(corpus, settings)
    curve(expected)
    n = len(whole.batches)
    stops = (n // 2, n, n + 2)  # within an epoch, between two, in the second
    for step, _ in enumerate(whole.steps(), 1):
        if step in stops:
            whole.save(tmp_path / f"{step}.safetensors")
    assert whole.losses == expected.losses  # saving changes nothing
    for stop in stops:
        torch.manual_seed(123)  # whatever happened since
        resumed = Run.resume(tmp_path / f"{stop}.safetensors", corpus, settings=settings)
        assert len(resumed.losses) == stop
        assert curve(resumed) == expected.losses
        for (name, a), b in zip(expected.model.named_parameters(), resumed.model.parameters(), strict=True):
            assert torch.equal(a, b), name
        assert [e.valid for e in resumed.position.epochs] == [e.valid for e in expected.position.epochs]


def test_the_loss_by_rank_is_the_whole_loss():
    run = Run(CORPUS, SMALL)
    ranks, nats = run.nats("test")
    np.testing.assert_array_equal(ranks, CORPUS.test[1:])  # one sequence: in the order of the text
    assert nats.dtype == np.float64 and math.exp(nats.mean()) == run.perplexity("test")
    bands = nats_by_rank(np.array([0, 99, 100, 2_500, 4_999]), np.array([1.0, 2.0, 4.0, 8.0, 16.0]))
    assert bands["from rank"] == [0, 100, 200, 500, 1_000, 2_000]
    assert bands["tokens"] == [2, 1, 0, 0, 0, 2] and bands["nats"] == [3.0, 4.0, 0, 0, 0, 24.0]


def test_the_same_seed_gives_the_same_numbers_and_another_other_ones():
    short = replace(SMALL, epochs=1)
    assert curve(Run(CORPUS, short)) == curve(Run(CORPUS, short))
    assert curve(Run(CORPUS, replace(short, seed=1))) != curve(Run(CORPUS, short))


@pytest.mark.parametrize(
    ("epochs", "save_every"), [(4, "60"), pytest.param(12, "0", marks=pytest.mark.long)], ids=["short", "long"]
)
def test_killed_and_started_again_it_ends_with_the_same_loss_curve(tmp_path, text, monkeypatch, epochs, save_every):
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "killed" / "checkpoint.safetensors"
    given = arguments(text, tmp_path / "killed", "--epochs", str(epochs), "--save-every", "0")
    process = subprocess.Popen(
        [sys.executable, "-m", "adasoft", *given],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 120
        while not path.with_name(f"{path.name}.previous").exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    _, tensors = read_checkpoint(path)
    killed_at = len(tensors["losses"])
    assert 0 < killed_at < epochs * 30 and not (path.parent / "record.json").exists()

    curves, records = [], []
    for folder in ("killed", "whole"):
        more = ("--epochs", str(epochs), "--save-every", save_every)
        assert main(arguments(text, tmp_path / folder, *more)) == 0
        curves.append(read_checkpoint(tmp_path / folder / "checkpoint.safetensors")[1]["losses"].tolist())
        records.append(json.loads((tmp_path / folder / "record.json").read_text()))
    assert curves[0] == curves[1] and len(curves[0]) > killed_at
    for key in ("test perplexity", "curve", "cutoffs", "parameters"):
        assert records[0][key] == records[1][key], key
    assert [r["command"].partition(" --folder ")[0] for r in records] == [
        f"python -m adasoft train --corpus {text} --hidden 16 --cutoffs 10,20 --bptt 10 --batch 8 --epochs {epochs} "
        "--device cpu"
    ] * 2


@pytest.mark.skipif(os.name == "nt", reason="needs SIGINT")
def test_ctrl_c_keeps_the_run_and_the_same_command_goes_on(tmp_path, text):
    environment = {**os.environ, "ADASOFT_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "adasoft", *arguments(text, tmp_path / "run", "--epochs", "2000")]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    heard = ""
    while "perplexity" not in heard:  # it trains by now
        heard += process.stderr.read(1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "The same command resumes." in said
    about, tensors = read_checkpoint(tmp_path / "run" / "checkpoint.safetensors")
    assert len(tensors["losses"]) > 0 and about["position"]["epoch"] >= 1


def test_from_the_command_line_to_a_table(tmp_path, text, capsys, monkeypatch):
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path / "cache"))
    stored = str(tmp_path / "results")
    more = ["--hidden", "16", "--batch", "8", "--bptt", "10", "--epochs", "1", "--cutoffs", "10,20", "--device", "cpu"]
    command = [
        "table",
        stored,
        "--run",
        str(text),
        "--rows",
        "full,sampled,hierarchical,d-softmax,d-softmax-star,adaptive",
    ]
    monkeypatch.setattr("adasoft.lm.settings.authors_cutoffs", lambda n: (10, 20))
    assert main([*command, "--seeds", "2", *more]) == 0
    said = capsys.readouterr().out
    assert "full, seed 1: test perplexity" in said and "144 / 83 min" in said and "of authors" in said
    files = sorted(p.name for p in (tmp_path / "results").iterdir())
    assert len(files) == 8 and "train-text-cpu-bptt-10-batch-8-adaptive-seed1.json" in files
    # where the loss lies, by rank: the differences add up to that of the perplexities
    assert main(["table", stored, "--by-rank"]) == 0
    assert "thousandths of a nat per token more than full" in " ".join(capsys.readouterr().out.split())
    (found,) = by_rank(tmp_path / "results")
    (one,) = (row for row in found if row["name"] == "d-softmax")  # of one seed
    whole = [
        json.loads((tmp_path / "results" / f"train-text-cpu-bptt-10-batch-8-full-seed{i}.json").read_text())
        for i in (0, 1)
    ]
    expected = math.log(one["test"]) - np.mean([math.log(record["test perplexity"]) for record in whole])
    assert one["to"] == "full" and one["more"].sum() == pytest.approx(expected, abs=1e-5)
    assert one["shares"].sum() == pytest.approx(1)
    # other settings are other runs: they have a file and a table of their own
    assert main([*command[:4], "--rows", "sampled", "--learning-rate", "0.05", *more]) == 0
    said = capsys.readouterr().out
    assert said.count("text: V = ") == 2 and "lstm, learning rate 0.05, bptt 10, batch 8" in said
    other = tmp_path / "results" / "train-text-cpu-learning-rate-0-05-bptt-10-batch-8-sampled-seed0.json"
    assert json.loads(other.read_text())["settings"]["learning_rate"] == 0.05
    other.unlink()
    # and so is another text of the same name
    (tmp_path / "other").mkdir()
    namesake = shutil.copytree(text, tmp_path / "other" / "text")
    (namesake / "test.txt").write_text("w1 w2 w3 " * 200 + "\n")
    assert main(["table", stored, "--run", str(namesake), "--rows", "sampled", *more]) == 0
    other = tmp_path / "results" / "train-text-cpu-bptt-10-batch-8-sampled-seed0-2.json"
    assert json.loads(other.read_text())["corpus"]["test"] == 601 and capsys.readouterr().out.count("text: V = ") == 2
    other.unlink()
    # what is there is not trained again
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "results").iterdir()}
    assert main([*command, "--seeds", "2", *more]) == 0
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "results").iterdir()}
    record = json.loads((tmp_path / "results" / "train-text-cpu-bptt-10-batch-8-adaptive-seed1.json").read_text())
    assert record["cutoffs"] == [10, 20] and record["settings"]["seed"] == 1 and record["row"] == "adaptive"
    assert f"--corpus {text} " in record["command"] and "--seed 1" in record["command"]
    capsys.readouterr()
    # steps in turns: their rates go into the table
    corpus = load(text)
    # whatever number of epochs, for a step takes as long
    rates = bench_train(
        corpus, replace(SMALL, epochs=3, warmup=5), rows=["full", "adaptive"], rounds=2, say=lambda _: None
    )
    save(rates, str(tmp_path / "results" / "bench-train-text-cpu.json"))
    rows = {row["name"]: row for row in summary(tmp_path / "results")}
    assert rows["full"]["timed"] and rows["adaptive"]["timed"] and not rows["sampled"]["timed"]
    full = next(r for r in rates["rows"] if r["row"] == "full")
    assert rows["full"]["minutes"] == pytest.approx(len(corpus.train) / full["words/s"] / 60)
    assert rows["full"]["seeds"] == 2 and rows["full"]["lowest"] < rows["full"]["test"] < rows["full"]["highest"]


def test_a_table_says_what_it_does_not_find_or_understand(tmp_path):
    with pytest.raises(FileNotFoundError, match="no finished runs"):
        print_table(tmp_path)
    with pytest.raises(FileNotFoundError, match="no runs that tell their loss by rank"):
        print_by_rank(tmp_path)
    (tmp_path / "train-x.json").write_text("{}")
    with pytest.raises(ValueError, match=r"train-x\.json is damaged: train is missing; delete it"):
        print_table(tmp_path)
    with pytest.raises(ValueError, match="rows should be some of full"):
        list(suite(SMALL, ["fool"]))


def test_a_record_tells_what_was_trained(tmp_path):
    made = train(CORPUS, SMALL, tmp_path, progress=False)
    stored = json.loads((tmp_path / "record.json").read_text())
    assert stored == json.loads(json.dumps(made))
    run = Run.resume(tmp_path / "checkpoint.safetensors", CORPUS)
    assert stored["test perplexity"] == pytest.approx(run.perplexity("test"), rel=1e-12) and stored["done"]
    by_rank = stored["test by rank"]
    assert math.exp(sum(by_rank["nats"]) / sum(by_rank["tokens"])) == pytest.approx(stored["test perplexity"], rel=1e-4)
    assert sum(stored["cluster shares"]) == pytest.approx(1) and stored["cluster shares"][0] == stored["head share"]
    assert stored["parameters"] == sum(p.numel() for p in run.model.parameters())
    assert stored["corpus"]["digest"] == CORPUS.digest and stored["settings"] == json.loads(json.dumps(asdict(SMALL)))
    assert sum(stored["shares"].values()) == pytest.approx(1)
    windows, losses = stored["curve"]["window"], stored["curve"]["loss"]
    assert windows[-1] == len(run.losses) and len(windows) == len(losses)
    assert losses[0] == pytest.approx(np.mean(run.losses[: windows[0]]), abs=1e-4)
    assert train(CORPUS, SMALL, tmp_path, progress=False) == stored  # done already


def test_planned_cutoffs_are_kept_with_the_run(tmp_path):
    settings = replace(SMALL, cutoffs="plan", min_head_share=0.5, n_tails=2)
    run = Run(CORPUS, settings, cost=PaperCost(1e-6, 1e-9))
    assert len(run.clusters.cutoffs) == 2 and run.clusters.cost
    next(run.steps())
    run.save(tmp_path / "c.safetensors")
    # whatever this machine's timings say by then
    again = Run.resume(tmp_path / "c.safetensors", CORPUS, settings=settings)
    assert again.clusters == run.clusters


def test_a_floor_on_the_mean_width_is_read_from_stored_runs_and_refused_in_new_ones():
    settings = Settings.read({"cutoffs": "plan", "min_mean_width": 0.94})
    assert settings.changed() == {"cutoffs": "plan", "min_mean_width": 0.94}
    with pytest.raises(ValueError, match=r"^min_mean_width should be 0 in a new run, .*, got 0.94; width_ratio=2"):
        partition(settings, CORPUS, PaperCost(1e-6, 1e-9))


def test_stored_runs_with_a_floor_on_the_mean_width_keep_their_rows():
    rows = [
        row for row in summary(Path(__file__).parents[2] / "data" / "results") if row["name"].startswith("planned-mean")
    ]
    assert [(row["name"], row["title"]) for row in rows] == [
        ("planned-mean-0.65", "lstm"),
        ("planned-mean-0.75", "lstm"),
        ("planned-mean-0.75", "lstm, warmup 100"),
    ]
    assert all(row["widths"] and row["test"] > 1 and row["timed"] for row in rows)


def test_the_learning_rate_warms_up_and_halves():
    settings = replace(SMALL, epochs=2, learning_rate=0.1, warmup=4, halve_from=2)
    run, found = Run(CORPUS, settings), []
    for _ in run.steps():
        found.append(run.optimizer.param_groups[0]["lr"])
    n = len(run.batches)
    np.testing.assert_allclose(found, [0.025, 0.05, 0.075, *[0.1] * (n - 3), *[0.05] * n])
    # over more steps than an epoch has
    run = Run(CORPUS, replace(settings, warmup=n + 1, halve_from=None))
    found = [run.optimizer.param_groups[0]["lr"] for _ in run.steps()]
    np.testing.assert_allclose(found[n - 1 : n + 2], [0.1 * n / (n + 1), 0.1, 0.1])


def test_a_plan_without_tails_is_a_full_softmax():
    # every product costs the same: tails can only add
    clusters = partition(replace(SMALL, cutoffs="plan"), CORPUS, PaperCost(1.0, 1e-12))
    assert clusters.cutoffs == ()
    run = Run(CORPUS, replace(SMALL, cutoffs="plan", epochs=1), clusters=clusters)
    assert type(run.model.softmax).__name__ == "FullSoftmax"
    assert curve(run)[-1] < curve(Run(CORPUS, replace(SMALL, softmax="full", epochs=1)))[0]


def test_a_cell_from_a_file(tmp_path):
    path = tmp_path / "cells.py"
    path.write_text(
        "import torch\n"
        "class Mine(torch.nn.Module):\n"
        "    def __init__(self, e, d):\n"
        "        super().__init__()\n"
        "        self.w = torch.nn.Linear(e + d, d)\n"
        "    def forward(self, x, state):\n"
        "        h = x.new_zeros(len(x), self.w.out_features) if state is None else state\n"
        "        h = torch.tanh(self.w(torch.cat([x, h], 1)))\n"
        "        return h, h\n"
    )
    run = Run(CORPUS, replace(SMALL, model=f"{path}:Mine", epochs=1))
    losses = curve(run)
    assert losses[-1] < losses[0]
    with pytest.raises(AttributeError, match="defines no 'Other'"):
        Run(CORPUS, replace(SMALL, model=f"{path}:Other"))
    with pytest.raises(FileNotFoundError, match="there is no file"):
        Run(CORPUS, replace(SMALL, model="nowhere.py:Mine"))


def test_sampled_text_is_made_of_the_corpus_words_and_repeats_with_its_seed():
    run = Run(CORPUS, SMALL)
    words = run.sample(12, start="w3", seed=1).split()
    assert len(words) == 12 and set(words) <= set(CORPUS.vocabulary.words)
    assert run.sample(12, start="w3", seed=1).split() == words


# ---------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model": "lstn"}, "model should be one of lstm"),
        ({"softmax": "hard"}, "softmax should be one of full"),
        ({"cutoffs": "mine"}, "cutoffs should be 'plan', 'authors' or numbers, got 'mine'"),
        ({"epochs": 0}, "epochs should be at least 1, got 0"),
        ({"learning_rate": float("nan")}, "learning_rate should be above 0"),
        ({"clip": -1.0}, "clip should be at least 0"),
        ({"embedding": "tied", "softmax": "sampled"}, "embedding='tied' needs softmax='adaptive'"),
        ({"model": "transformer", "embedding_size": 8}, "embedding_size"),
        ({"samples": 0.0}, "samples should be above 0"),
        ({"min_mean_width": 1.5}, "min_mean_width should be between 0 and 1"),
        ({"warmup": -1}, "warmup should be at least 0"),
        ({"halve_from": 0}, "halve_from should be at least 1, got 0"),
        ({"embedding_size": 0}, "embedding_size should be at least 1, got 0"),
        ({"n_tails": -1}, "n_tails should be at least 0"),
        ({"seed": 99999999999999999999}, "seed should be at most 9223372036854775807, got 99999999999999999999"),
        ({"seed": -1}, "seed should be at least 0, got -1"),
        ({"layers": 10**20}, "layers should be at most 10000, got 100000000000000000000"),
        ({"hidden": 10**30}, "hidden should be at most"),
        ({"warmup": 10**400}, "warmup should be at most"),
        ({"dropout": 1.0}, "dropout should be at least 0 and below 1, got 1.0"),
        ({"tail_dropout": -0.1}, "tail_dropout should be at least 0 and below 1"),
        ({"min_head_share": 1.5}, "min_head_share should be between 0 and 1"),
        ({"weight_decay": float("inf")}, "weight_decay should be at least 0 and finite"),
        ({"width_ratio": 0.5}, "width_ratio should be at least 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, says):
    with pytest.raises(ValueError, match=says):
        replace(SMALL, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 0.5},
        {"cutoffs": (10.7,)},
        {"cutoffs": 10},
        {"cutoffs": None},
        {"halve_from": 1.5},
        {"warmup": True},
        {"hidden": "8"},
        {"epochs": None},
    ],
)
def test_settings_of_a_wrong_type_are_refused(changes):
    with pytest.raises(TypeError, match=f"{next(iter(changes))} should be .*integer"):
        replace(SMALL, **changes)


@pytest.mark.parametrize("value", ["0.1", None, [], True, 1j])
@pytest.mark.parametrize("name", ["clip", "dropout", "tail_dropout", "learning_rate", "samples", "min_head_share"])
def test_numbers_of_a_wrong_type_are_refused_by_name(name, value):
    with pytest.raises(TypeError, match=f"^{name} should be a number, got"):
        replace(SMALL, **{name: value})


def test_numbers_of_numpy_are_taken_and_go_into_json():
    given = replace(SMALL, hidden=np.int64(16), seed=np.uint32(0), clip=np.float32(1.0), cutoffs=np.array([10, 20]))
    assert given == SMALL and json.loads(json.dumps(asdict(given))) == json.loads(json.dumps(asdict(SMALL)))


def test_a_text_with_fewer_words_than_the_authors_cut_at_is_no_silent_full_softmax(tmp_path, text, capsys, monkeypatch):
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path / "cache"))
    for softmax in ("adaptive", "d-softmax-star"):
        with pytest.raises(ValueError, match="the authors cut at 2,000 words or more, this text has V = 40"):
            Run(CORPUS, replace(SMALL, softmax=softmax, cutoffs="authors"))
    with pytest.raises(ValueError, match="the fastest is a full softmax here, and d-softmax needs cutoffs"):
        partition(replace(SMALL, softmax="d-softmax", cutoffs="plan"), CORPUS, PaperCost(1.0, 1e-12))
    # a table leaves such rows out, and says so
    more = ["--hidden", "16", "--batch", "8", "--bptt", "10", "--epochs", "1", "--device", "cpu", "--seeds", "1"]
    assert main(["table", str(tmp_path / "r"), "--run", str(text), "--rows", "full,d-softmax,adaptive", *more]) == 0
    said = capsys.readouterr()
    assert "full, seed 0: test perplexity" in said.out and said.err.count("left out, cutoffs='authors'") == 2


def test_each_setting_reaches_what_it_is_about():
    def made(**changes):
        return Run(CORPUS, replace(SMALL, **changes))

    assert partition(replace(SMALL, hidden=64), CORPUS).widths == (16, 8)
    assert partition(replace(SMALL, hidden=64, width_ratio=2.0), CORPUS).widths == (32, 16)
    assert made(softmax="sampled", samples=0.25).model.softmax.n_samples == V // 4
    assert made(softmax="sampled", samples=1e-9).model.softmax.n_samples == 1
    assert made(tail_dropout=0.25).model.softmax.tail_dropout == 0.25
    run = made(dropout=0.3, layers=2, model="gru", embedding_size=12, optimizer="adam", learning_rate=0.02)
    assert run.model.dropout == run.model.body.dropout == 0.3 and len(run.model.body.layers) == 2
    assert run.model.embedding.weight.shape == (V, 12) and run.model.body.cell == "gru"
    (group,) = made(optimizer="adamw", learning_rate=0.02, weight_decay=0.3).optimizer.param_groups
    assert group["lr"] == 0.02 and group["weight_decay"] == 0.3
    blocks = made(model="transformer", layers=3, heads=2, dropout=0.1).model.body.blocks.layers
    assert len(blocks) == 3 and blocks[0].self_attn.num_heads == 2 and blocks[0].dropout.p == 0.1


@pytest.mark.parametrize(("embedding", "softmax"), [("plain", "full"), ("tied", "full"), ("plain", "adaptive")])
def test_embedded_words_have_about_the_length_1(embedding, softmax):
    run = Run(CORPUS, replace(SMALL, hidden=256, embedding=embedding, softmax=softmax))
    lengths = run.model.embedding.weight.norm(dim=1)
    assert run.model.embedding.weight.shape == (V, 256) and 0.8 < lengths.min() <= lengths.max() < 1.2


def test_the_widths_of_d_softmax_are_those_of_its_bands():
    run = Run(CORPUS, replace(SMALL, softmax="d-softmax"))
    assert run.clusters.widths == tuple(run.model.softmax.widths) and sum(run.clusters.widths) == 16


def test_a_corpus_shorter_than_a_batch_is_refused():
    with pytest.raises(ValueError, match="ids should be at least 2,561 tokens, one more than a batch of 128 x 20"):
        Run(made_corpus(2_000), Settings(cutoffs=(10,)))


def test_a_loss_that_explodes_is_said():
    run = Run(CORPUS, replace(SMALL, optimizer="sgd", learning_rate=1e30, clip=0.0, weight_decay=0.0))
    with pytest.raises(RuntimeError, match=r"no longer finite in epoch 1, window \d+: the learning rate 1e\+30"):
        curve(run)


def test_a_checkpoint_of_another_run_is_refused_and_named(tmp_path):
    path = tmp_path / "c.safetensors"
    run = Run(CORPUS, SMALL)
    next(run.steps())
    run.save(path)
    with pytest.raises(ValueError, match="another configuration: hidden=16 there, 32 here"):
        Run.resume(path, CORPUS, settings=replace(SMALL, hidden=32))
    with pytest.raises(ValueError, match=r"trained on 'made'.*this corpus is 'other'"):
        Run.resume(path, made_corpus(seed=1, name="other"))
    assert Run.resume(path, CORPUS, settings=replace(SMALL, epochs=9)).settings.epochs == 9  # longer is no other
    with pytest.raises(FileNotFoundError, match="there is no checkpoint"):
        Run.resume(tmp_path / "none", CORPUS)


def test_a_torn_checkpoint_is_said_and_the_one_before_it_used(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    run = Run(CORPUS, SMALL)
    steps = run.steps()
    next(steps)
    run.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"is not a checkpoint of adasoft, or torn.*delete it to start again"):
        Run.resume(path, CORPUS)
    path.write_bytes(whole)
    next(steps)
    run.save(path)
    path.write_bytes(path.read_bytes()[:-9])
    expected = curve(Run(CORPUS, SMALL))
    with pytest.warns(UserWarning, match="Going on from the one before it"):
        train(CORPUS, SMALL, tmp_path, progress=False)
    assert read_checkpoint(path)[1]["losses"].tolist() == expected
    foreign = tmp_path / "foreign.safetensors"
    foreign.write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match="it is not a checkpoint of adasoft"):
        read_checkpoint(foreign)


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path):
    path = tmp_path / "c.safetensors"
    run = Run(CORPUS, SMALL)
    steps = run.steps()
    next(steps)
    run.save(path)
    before = path.read_bytes()
    next(steps)

    resource = pytest.importorskip("resource")
    limits, heard = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
        with pytest.raises(OSError, match=r"File too large: .*c\.safetensors'"):
            run.save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, heard)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]


@pytest.mark.skipif(os.name == "nt", reason="asks for it the way Unix does")
def test_what_is_synced_may_be_written(tmp_path, monkeypatch):
    """Windows syncs no file that is open for reading only."""
    import fcntl

    modes = []

    def synced(file):
        if stat.S_ISREG(os.fstat(file).st_mode):  # folders are not synced there
            modes.append(fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE)

    monkeypatch.setattr(os, "fsync", synced)
    Run(CORPUS, SMALL).save(tmp_path / "c.safetensors")
    assert modes and os.O_RDONLY not in modes


def test_a_checkpoint_holds_tied_words_once_and_no_pickle(tmp_path):
    run = Run(CORPUS, replace(SMALL, softmax="full", embedding="tied"))
    next(run.steps())
    run.save(tmp_path / "c.safetensors")
    with safe_open(tmp_path / "c.safetensors", "pt") as file:
        words = [k for k in file.keys() if tuple(file.get_slice(k).get_shape()) == (V, 16) and k.startswith("model.")]  # noqa: SIM118
    assert len(words) == 1
    again = Run.resume(tmp_path / "c.safetensors", CORPUS)
    assert again.model.embedding.weight is again.model.softmax.output.weight


def test_runs_that_differ_have_folders_that_differ():
    names = {run_name(CORPUS, s) for s in (SMALL, replace(SMALL, seed=1), replace(SMALL, clip=0.5))}
    assert len(names) == 3
    assert run_name(made_corpus(seed=1), SMALL) not in names  # another text of this name
    # but not the processes of one run, whatever GPU is whose
    assert run_name(CORPUS, SMALL, "cuda:0") == run_name(CORPUS, SMALL, "cuda:1") != run_name(CORPUS, SMALL)


def test_each_process_of_torchrun_takes_its_own_gpu(monkeypatch):
    def device(*given):
        return training_device(parser().parse_args(["train", *given]))

    monkeypatch.setenv("LOCAL_RANK", "3")
    given = ("cuda", "cuda:1", "cpu")
    assert [device("--device", name) for name in given] == ["cuda:3", "cuda:1", "cpu"]


def test_runs_draw_from_generators_of_their_own():
    settings = replace(SMALL, dropout=0.3, softmax="sampled", epochs=1)
    expected = [curve(Run(CORPUS, replace(settings, seed=seed))) for seed in (0, 1)]
    before = torch.get_rng_state()
    runs = [Run(CORPUS, replace(settings, seed=seed)) for seed in (0, 1)]
    assert torch.equal(before, torch.get_rng_state())
    for _ in zip(*(run.steps() for run in runs), strict=True):  # in turns
        torch.rand(3)
    assert [run.losses for run in runs] == expected


class Counting(nn.Module):
    """A body that counts its calls while training, draws in all, and has a state of another dtype."""

    def __init__(self, in_features, out_features):
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.linear = nn.Linear(in_features, out_features)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x, state):
        self.calls += self.training
        h = self.linear(x) + 1e-3 * torch.rand(()) + (0 if state is None else state.float().mean())
        return h, h.detach()[:, -1].to(torch.bfloat16 if self.training else torch.float32)


def test_resuming_leaves_a_body_and_its_state_as_they_were(tmp_path):
    expected, whole = Run(CORPUS, SMALL, body=Counting), Run(CORPUS, SMALL, body=Counting)
    curve(expected)
    steps = whole.steps()
    for _ in range(5):
        next(steps)
    whole.save(tmp_path / "c.safetensors")
    again = Run.resume(tmp_path / "c.safetensors", CORPUS, body=Counting)
    assert again.model.body.calls == whole.model.body.calls == 5
    assert again.state.dtype == torch.bfloat16 and torch.equal(again.state, whole.state)
    assert curve(again) == expected.losses


def test_what_is_interrupted_within_a_step_can_go_on(monkeypatch):
    run, n = Run(CORPUS, replace(SMALL, epochs=1)), 0

    def interrupted(*_, **__):
        nonlocal n
        n += 1
        if n == 3:
            raise KeyboardInterrupt
        return clip(*_, **__)

    clip = nn.utils.clip_grad_norm_
    with monkeypatch.context() as patch:
        patch.setattr(nn.utils, "clip_grad_norm_", interrupted)
        with pytest.raises(KeyboardInterrupt):
            list(run.steps(every=2))
    assert run.position.window == len(run.losses) == 2
    told = list(run.steps(every=2))
    assert told[-1].valid and len(run.losses) == len(run.batches) and run.position.tokens == run.batches.targets
    # within the evaluation at the end of an epoch
    run = Run(CORPUS, replace(SMALL, epochs=1))
    with monkeypatch.context() as patch:
        patch.setattr(run, "perplexity", interrupted)
        n = 2
        with pytest.raises(KeyboardInterrupt):
            list(run.steps())
    (last,) = run.steps()
    assert last.valid and run.done and math.isfinite(last.loss)


def test_steps_timed_by_themselves_do_not_count():
    run = Run(CORPUS, replace(SMALL, epochs=1))
    for _ in range(3):
        assert all(run.time_step()[phase] > 0 for phase in PHASES)
    assert (run.position.window, run.position.tokens, run.losses) == (0, 0, [])
    curve(run)
    assert len(run.losses) == len(run.batches) and run.done


def test_more_epochs_go_on_and_fewer_are_refused(tmp_path):
    first = train(CORPUS, SMALL, tmp_path, progress=False)
    longer = replace(SMALL, epochs=3)
    run = Run.resume(tmp_path / "checkpoint.safetensors", CORPUS, settings=longer)
    curve(run)
    run.save(tmp_path / "checkpoint.safetensors")  # killed before its record: the old one is still there
    record = train(CORPUS, longer, tmp_path, progress=False)
    assert len(first["epochs"]) == 2 and len(record["epochs"]) == record["settings"]["epochs"] == 3
    assert json.loads((tmp_path / "record.json").read_text())["test perplexity"] == run.perplexity("test")
    with pytest.raises(ValueError, match="stands in epoch 4, beyond epochs=2"):
        train(CORPUS, SMALL, tmp_path, progress=False)


def test_a_record_of_another_device_is_another_row(tmp_path, monkeypatch):
    monkeypatch.setattr("adasoft.lm.settings.authors_cutoffs", lambda n: (10, 20))
    made = json.loads(json.dumps(train(CORPUS, SMALL, tmp_path / "run", progress=False)))
    gpu = {**made, "device": {"type": "cuda", "name": "a GPU"}, "test perplexity": 2 * made["test perplexity"]}
    (tmp_path / "train-made-cpu.json").write_text(json.dumps(made))
    (tmp_path / "train-made-cuda.json").write_text(json.dumps(gpu))
    rates = bench_train(CORPUS, SMALL, rows=["adaptive"], rounds=2, say=lambda _: None)
    rates["rows"][0]["settings"] = asdict(SMALL)
    save(rates, str(tmp_path / "bench-train-made-cpu.json"))
    cpu, cuda = summary(tmp_path)
    assert cpu["seeds"] == cuda["seeds"] == 1 and cuda["test"] == 2 * cpu["test"] and cpu["table"] != cuda["table"]
    assert cpu["timed"] and not cuda["timed"] and cuda["device"] == "a GPU" and cuda["title"].endswith("on cuda")
    assert "1 thread" in cpu["timed on"]


@pytest.mark.parametrize(("name", "command"), [("train", train_command), ("table", table_command)])
def test_what_an_interrupt_at_once_says(name, command, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "run", interrupted)
    assert main([name]) == 130
    assert "what was kept stays, and the same command resumes from it" in capsys.readouterr().err


def test_ctrl_c_in_the_last_step_stops_what_follows(tmp_path, monkeypatch):
    asked = Run.perplexity

    def pressed(self, part="test"):
        if self.position.epoch == SMALL.epochs:
            signal.raise_signal(signal.SIGINT)
        return asked(self, part)

    monkeypatch.setattr(Run, "perplexity", pressed)
    with pytest.raises(Stopped, match="after the last epoch"):
        train(CORPUS, SMALL, tmp_path, progress=False)
    assert not (tmp_path / "record.json").exists()
    monkeypatch.setattr(Run, "perplexity", asked)
    assert train(CORPUS, SMALL, tmp_path, progress=False)["done"]


GLOO = pytest.mark.skipif(
    not torch.distributed.is_available() or not torch.distributed.is_gloo_available(), reason="needs gloo"
)


@GLOO
@pytest.mark.parametrize("launched", ["spawned", pytest.param("torchrun", marks=pytest.mark.long)])
def test_two_processes_train_as_one_does(tmp_path, text, monkeypatch, launched):
    """The same loss curve to rounding, and a resumed run goes on with the same one: by the command line."""
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    commands = [
        arguments(text, tmp_path / "two", "--epochs", "1", "--bptt", "30"),
        arguments(text, tmp_path / "two", "--epochs", "2", "--bptt", "30", "--sample", "5"),  # goes on
    ]
    if launched == "spawned":
        said = two_processes(commands, tmp_path)
    else:
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "adasoft"]
        said = []
        for command in commands:
            environment = {**os.environ, "MASTER_ADDR": "127.0.0.1"}
            done = subprocess.run([*launch, *command], env=environment, timeout=150, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            said.append(done.stdout)
    assert all(out.count("test perplexity") == out.count("kept in") == 1 for out in said)
    assert len(said[1].strip().splitlines()[-1].split()) == 5  # words, once

    about, tensors = read_checkpoint(tmp_path / "two" / "checkpoint.safetensors")
    corpus = load(text, progress=False)
    np.testing.assert_allclose(tensors["losses"].numpy(), curve(Run(corpus, replace(SMALL, bptt=30))), rtol=1e-4)
    assert about["processes"] == 2
    # each goes on with random numbers of its own
    last = max(key.rpartition(".")[2] for key in tensors if key.startswith("process.0."))
    assert not torch.equal(*(tensors[f"process.{rank}.{last}"] for rank in (0, 1)))
    with pytest.raises(ValueError, match=r"trained by 2 process\(es\) on cpu, this run has 1"):
        Run.resume(tmp_path / "two" / "checkpoint.safetensors", corpus)
