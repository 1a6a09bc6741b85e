"""Stored results: which records are read, the tables made of them, and what they need to be printed."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from alone import without
from hypothesis import given
from hypothesis import strategies as st

from adasoft.cli import main
from adasoft.files import DamagedFile
from adasoft.results import folders
from adasoft.results.gains import gains
from adasoft.results.short_tables import markdown
from adasoft.results.suite import ROW_LABELS, SUITE
from adasoft.results.tables import print_by_rank, print_table
from adasoft.results.trainings import stored_rates, stored_runs, summary

pytestmark = pytest.mark.usefixtures("one_thread")
ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "data" / "results"
#: What the notebooks need and the command line does not.
NOTEBOOKS = ("jupyterlab", "ipywidgets", "plotly", "anywidget", "wordfreq", "IPython")


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    "command",
    ["table", "table --markdown", "table --by-rank", "plan synthetic:20000", "bench train --help", "lab --print"],
)
def test_commands_need_no_packages_of_the_notebooks(command):
    status, out, err = without(NOTEBOOKS, *command.split())
    assert status == 0 and out and not err


def test_trainings_and_benchmarks_need_no_packages_of_the_notebooks(tmp_path):
    (tmp_path / "t.txt").write_text("a b a c d\n" * 900)
    small = ["--hidden", "4", "--device", "cpu"]
    run = ["--corpus", "t.txt", "--softmax", "full", "--epochs", "1", "--batch", "2", "--bptt", "8", "--folder", "run"]
    assert without(NOTEBOOKS, "train", *run, *small, cwd=tmp_path)[0] == 0
    status, out, _ = without(
        NOTEBOOKS, "bench", "train", "--text", "t.txt", "--rows", "full", "--rounds", "1", *small, cwd=tmp_path
    )
    assert status == 0 and "step ms" in out


def test_every_row_that_is_trained_has_a_name():
    assert [name for name in ROW_LABELS if name in SUITE] == list(SUITE)


def test_where_results_are_read_and_written(tmp_path, monkeypatch):
    assert folders.results_folder() == folders.own_results_folder() == RESULTS
    monkeypatch.setattr(folders, "_PACKAGE", tmp_path / "site-packages" / "adasoft")
    own = tmp_path / "cache" / "results"
    assert folders.results_folder() == folders.own_results_folder() == own
    shipped = tmp_path / "site-packages" / "adasoft" / "_results"
    shipped.mkdir(parents=True)
    assert (folders.results_folder(), folders.own_results_folder()) == (shipped, own)


def test_an_installed_package_shows_what_ships_until_there_is_something_of_ones_own(tmp_path, monkeypatch, capsys):
    package = tmp_path / "adasoft"
    monkeypatch.setattr(folders, "_PACKAGE", package)
    (package / "_results").mkdir(parents=True)
    name = "train-europarl-en-cpu-full-seed0.json"
    shutil.copy(RESULTS / name, package / "_results")
    assert main(["table"]) == 0 and "europarl-en" in capsys.readouterr().out
    own = json.loads((RESULTS / name).read_text())
    own["corpus"]["name"] = "my text"
    folders.own_results_folder().mkdir(parents=True)
    (folders.own_results_folder() / "train-mine.json").write_text(json.dumps(own))
    assert main(["table"]) == 0
    out = capsys.readouterr().out
    assert "my text" in out and "europarl" not in out


# ---------------------------------------------------------------------- stored runs


def shipped(name):
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture
def results(tmp_path):
    """A folder with a full and an adaptive run, and the rates of both, of round numbers."""
    base = shipped("train-europarl-en-cpu-warmup-100-adaptive-seed0")
    settings = {**base["settings"], "warmup": 0, "epochs": 2, "batch": 10, "bptt": 20}
    corpus = {**base["corpus"], "train": 1_200_000, "test": 1000, "words": {"train": 1_200_000, "test": 1000}}
    made = {
        "full": {"test perplexity": 100.0, "words per second": 1e3},
        "adaptive": {"test perplexity": 110.0, "words per second": 2e3},
    }
    for name, told in made.items():
        own = {**base, "corpus": corpus, "row": name, "settings": {**settings, "softmax": name}, **told}
        own["shares"] = {"body": 0.5, "output": {"full": 0.4, "adaptive": 0.2}[name], "optimizer": 0.1}
        if name == "full":
            own |= {"cutoffs": [], "widths": [], "head share": 1.0, "cluster shares": [1.0]}
        (tmp_path / f"train-{name}.json").write_text(json.dumps(own))
    return tmp_path


def test_what_a_table_says_of_runs(results, capsys):
    full, adaptive = summary(results)
    assert (full["minutes"], adaptive["minutes"]) == (40, 20)  # 2 epochs x 1.2 million / (words/s) / 60
    assert adaptive["faster"] == 2 and adaptive["of full"] == pytest.approx(0.1) and full["faster"] == 1
    assert full["output ms"] == pytest.approx(200 / 1e3 * 0.4 * 1e3)  # a step of 200 tokens
    assert adaptive["output ms"] == pytest.approx(200 / 2e3 * 0.2 * 1e3)
    assert full["of authors"] == pytest.approx(4) and adaptive["of authors"] == 1
    assert adaptive["mean width"] == pytest.approx(
        np.dot(adaptive["head share"], 256)
        + np.dot(shipped("train-europarl-en-cpu-warmup-100-adaptive-seed0")["cluster shares"][1:], adaptive["widths"])
    )
    lines = print_table(results, commands=True) and capsys.readouterr().out.splitlines()
    head = next(line for line in lines if "softmax" in line)
    row = next(line for line in lines if line.split()[:1] == ["adaptive"])

    def cell(name):
        end = head.index(f" {name} ") + len(name) + 1 if f" {name} " in head else len(head)
        return row[:end].split("  ")[-1].strip()

    said = {
        name: cell(name) for name in ("perplexity", "to full", "minutes", "faster", "words/s", "output", "output ms")
    }
    assert said == {
        "perplexity": "110.00",
        "to full": "+10.0%",
        "minutes": "~20.0",
        "faster": "2.00",
        "words/s": "2,000",
        "output": "20%",
        "output ms": "20.0",
    }
    assert any(line.startswith("  adaptive: python -m adasoft train") for line in lines)


def test_rates_of_a_bench_go_into_the_table(results):
    rates = shipped("bench-train-europarl-en-cpu")
    run = json.loads((results / "train-full.json").read_text())
    rates["rows"] = [{**rates["rows"][0], "settings": run["settings"], "words/s": 500.0, "output share": 0.7}]
    (results / "bench-train-x.json").write_text(json.dumps(rates))
    full, adaptive = summary(results)
    assert full["timed"] and not adaptive["timed"] and full["words/s"] == 500 and full["output share"] == 0.7
    assert full["minutes"] == 80 and "faster" not in adaptive  # not timed together


def test_a_training_that_has_diverged_is_a_row(results):
    run = json.loads((results / "train-adaptive.json").read_text())
    run["test perplexity"] = 1e304  # as `train` writes it
    run["corpus"]["words"]["test"] = 400
    (results / "train-adaptive.json").write_text(json.dumps(run))
    rows = {row["name"]: row for row in print_table(results, say=lambda text: None)}
    assert rows["adaptive"]["per word"] == math.inf


#: What may be wrong with a record: entry (by its path), and values.
WRONG = [
    ("corpus", [None, [], 3]),
    ("corpus.digest", [None, 3]),
    ("corpus.V", [0, "many", 10**250, 2.5, True]),
    ("corpus.train", [0, -1, None]),
    ("corpus.test", [0, None]),
    ("corpus.words.test", [0, "x"]),
    ("device.type", [None, []]),
    ("device.name", [3]),
    ("settings", [[], None, {"hidden": "wide"}, {"unknown": 3}]),
    ("settings.hidden", [None, 0, 1e400]),
    ("settings.seed", [-1, "x"]),
    ("cutoffs", [None, 3, [None], ["a"], [10**250], [0]]),
    ("widths", [None, [1.5]]),
    ("cluster shares", [[], [2.0], "x", [0.5, 0.5]]),
    ("head share", [None, 3, "x"]),
    ("done", [None, 1, "yes"]),
    ("test perplexity", ["x", 0.5, [], True]),
    ("epochs", [[], None, [None], [{}], [{"valid": "x"}], [{"valid": 0}]]),
    ("words per second", [0, -1, None, "x", 10**250]),
    ("shares", [None, {}, []]),
    ("shares.output", [2, "x"]),
    ("test by rank", [[], {}, {"from rank": [0], "tokens": [0], "nats": [1]}]),
    ("test by rank", [{"from rank": [0], "tokens": [1, 2], "nats": [1]}]),
    ("test by rank.nats", [None, ["x"] * 9]),
    ("threads", [0, None, "two"]),
    ("date", [None, 5]),
    ("parameters", [None, -1]),
    ("row", [None, []]),
    ("command", [None, ["x"]]),
    ("torch", [None]),
]


@pytest.mark.parametrize(("name", "values"), WRONG, ids=[name for name, _ in WRONG])
def test_records_with_wrong_entries_are_refused_by_name(name, values, results):
    path = results / "train-adaptive.json"
    whole = path.read_text()
    for value in values:
        record = json.loads(whole)
        inside, *names = record, *name.split(".")
        for step in names[:-1]:
            inside = inside[step]
        inside[names[-1]] = value
        path.write_text(json.dumps(record))
        with pytest.raises(DamagedFile, match=f"train-adaptive.json is damaged: .*{names[-1]}.*; delete it") as caught:
            summary(results)
        assert len(str(caught.value).splitlines()) == 1 and len(str(caught.value)) < 700


DAMAGED = [
    b"",
    b"\0" * 50,
    b"null",
    b"[]",
    b"3",
    b"{",
    b'"text"',
    b"{}",
    b"\xff\xfe{}",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"settings": []}',
    b'{"done": true, "done": false}',
    b"NaN",
]


@pytest.mark.parametrize("name", ["train-adaptive.json", "bench-train-x.json"])
@pytest.mark.parametrize("data", DAMAGED, ids=lambda data: repr(data[:20]))
def test_files_that_are_no_records_are_refused_by_name(name, data, results, capsys):
    (results / name).write_bytes(data)
    for more in ([], ["--markdown"], ["--by-rank"]):
        assert main(["table", str(results), *more]) == 2
        err = capsys.readouterr().err
        assert err.startswith("adasoft table: ") and f"{name} is damaged: " in err and len(err.splitlines()) == 1


@given(st.data())
def test_no_damage_is_a_traceback(data):
    """Any part of a record cut out or replaced: the table is printed, or one error names the file."""
    import tempfile

    record = shipped("train-europarl-en-cpu-warmup-100-adaptive-seed0")
    places = []

    def walk(inside, path):
        for key in inside if isinstance(inside, dict) else range(len(inside[:3])):
            places.append((inside, key))
            if isinstance(inside[key], (dict, list)):
                walk(inside[key], (*path, key))

    walk(record, ())
    inside, key = data.draw(st.sampled_from(places))
    values = [None, [], {}, 0, -1, 1e308, 10**30, "x", True, "\x1b[31m", [[]], math.nan, math.inf]
    value = data.draw(st.sampled_from([*values, "gone"]))
    if value == "gone" and isinstance(inside, dict):
        del inside[key]
    else:
        inside[key] = value
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "train-x.json").write_text(json.dumps(record))
        try:
            print_table(Path(folder), say=lambda text: None)
            print_by_rank(Path(folder), say=lambda text: None)
        except DamagedFile as error:
            assert "train-x.json" in str(error)
        except FileNotFoundError as error:
            assert "no runs that tell" in str(error) or "no finished runs" in str(error)


def test_what_ships_is_whole():
    assert len(stored_runs(RESULTS)) == len(list(RESULTS.glob("train-*.json")))
    assert stored_rates(RESULTS)


# ---------------------------------------------------------------------- in Markdown


def test_the_readme_says_what_was_gained(tmp_path):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert gains() in readme and len(gains().splitlines()) == 8
    assert main(["table", str(tmp_path), "--gains"]) == 2  # there is nothing


def test_the_readme_says_what_is_stored():
    readme = (RESULTS / "README.md").read_text(encoding="utf-8")
    tables = markdown().split("\n\n")
    assert len(tables) >= 2 and all("| full softmax |" in t or "adaptive" in t for t in tables)
    for table in tables:
        assert table in readme


def test_the_short_tables(tmp_path):
    assert markdown(tmp_path) == ""
    for seed in (0, 1):
        stored = json.loads((RESULTS / f"train-europarl-en-cpu-planned-wide-0.85-seed{seed}.json").read_text())
        (tmp_path / f"train-{seed}.json").write_text(json.dumps(stored))
    line = markdown(tmp_path).splitlines()[2]
    low, high = sorted(json.loads(file.read_text())["test perplexity"] for file in tmp_path.glob("train-*.json"))
    told = f"{(low + high) / 2:.1f} (2 seeds, {low:.1f} to {high:.1f})"
    assert line == f"| adaptive, planned, wider tails, head ≥ 85 % | {told} | ~– |"
    for file in tmp_path.glob("train-*.json"):  # the same with two pieces a word
        stored = json.loads(file.read_text())
        stored["corpus"]["words"] = {"test": stored["corpus"]["test"] / 2}
        file.write_text(json.dumps(stored))
    head, _, line = markdown(tmp_path).splitlines()
    told = f"{(low**2 + high**2) / 2:.1f} (2 seeds, {low**2:.1f} to {high**2:.1f})"
    assert "test perplexity per word" in head and f"| {told} |" in line
