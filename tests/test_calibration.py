"""Calibration: each sample is timed as what it is called; it is bounded, can be interrupted, and loses no timings."""

from __future__ import annotations

import itertools
import json
import time
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import adasoft
from adasoft import calibration as M
from adasoft import workloads as W
from adasoft.cost import MeasuredCost
from adasoft.fit import predict
from adasoft.records import read_record, shipped_records, write_record


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A cache of its own, and few small shapes."""
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(
        M, "_products", lambda draw, n, limit: [(64, 500, 32), (200, 800, 64), (20, 5000, 16), (300, 300, 128)]
    )
    shapes = [
        W.Shape(2000, 64, 128, (200,), (16,)),
        W.Shape(3000, 64, 256, (300, 900), (16, 8)),
        W.Shape(2500, 32, 200, (250,), (8,)),
        W.Shape(4000, 128, 128, (300, 1500), (32, 8)),
        W.Shape(5000, 64, 300, (500,), (16,)),
        W.Shape(3000, 32, 256, (300,), (8,)),
    ]
    monkeypatch.setattr(M, "draw_layers", lambda n, seed, **kw: shapes)
    return tmp_path


@pytest.fixture
def untimed(small, monkeypatch):
    """As `small`, and every step is said to have taken a millisecond."""
    monkeypatch.setattr(M, "interleave", lambda items, *, heard, **_: [heard(name, 1e-3) for name in items])
    return small


@pytest.fixture
def modelled(small, monkeypatch):
    """The samples of a calibration, each with its steps; nothing is made or run.

    The times are those of a known model, but the layers kept out of the fit take ten times as long. A step is a pair:
    its kind and what it was made of.
    """
    part = {"product": [3e-5, 4e-11, 3e-9, 2e-9, 5e-9, 1e-9], "projection": [2e-5, 5e-11, 1e-9, 2e-9]}
    more = {"rows": [1e-5, 1e-7, 0.0], "search": [1e-4, 1e-7, 3e-10, 0.0], "head": [2e-9], "full": [4e-9]}
    more |= {"vector": [4e-5, 3e-10, 2e-9, 5e-9]}
    parts = {"train": part | {"rows": [1e-4, 2e-7, 1e-9], "full": [5e-9]}, "decode": part | more}
    truth = MeasuredCost(parts, {"train": 1e-4, "decode": 5e-5})
    drawn = M.draw_layers(6, 7)
    kept_out = {("train", shape) for shape in drawn[:4]} | {("decode", shape) for shape in drawn[2::3]}
    items = {}

    def seconds(step):
        objective, kind, shape = step
        if kind == "bare":
            return 1e-14 * np.prod(shape)
        plain = shape._replace(batch=batches[shape.cutoffs], opened=()) if kind == "layer" else None
        return predict(truth, kind, shape, objective) * (10 if (objective, plain) in kept_out else 1)

    def told(given, *, heard, **_):
        items.update(given)
        for name, sets in given.items():
            heard(name, seconds(sets[0]))

    def part_step(pool, *made_of, kind, head=False):
        *shape, objective = (*made_of, "train") if kind == "rows" else made_of
        return (objective, "head" if head else kind, tuple(shape))

    def trained(shape, *_, make=None):
        return [("train", "full" if make else "layer", shape) for _ in range(2)]

    def decoded(shape, *_):
        shape = shape._replace(opened=(0.5,) * len(shape.cutoffs))
        return shape, [("decode", "layer", shape)]

    batches = {shape.cutoffs: shape.batch for shape in drawn}
    for kind in ("product", "projection", "rows"):
        monkeypatch.setattr(M, f"{kind}_step", partial(part_step, kind=kind))
    monkeypatch.setattr(M, "layer_steps", trained)
    monkeypatch.setattr(M, "decode_steps", decoded)
    monkeypatch.setattr(M, "full_decode_step", lambda x, weight: ("decode", "full", W.Shape(*weight, x[0], (), ())))
    monkeypatch.setattr(M, "bare_step", lambda n, k, d, *_: ("decode", "bare", (n, k, d)))
    monkeypatch.setattr(M, "Pool", lambda *_: SimpleNamespace(take=lambda *shape: shape))
    monkeypatch.setattr(M, "interleave", told)
    cost = adasoft.calibrate(seconds=3, progress=False, save=False)
    return list(zip(cost.record["samples"], items.values(), strict=True))


def test_each_sample_is_timed_as_what_it_is_called_on_inputs_of_its_own(modelled):
    called = {"check": "layer", "arithmetic": "bare", "traffic": "bare"}
    for sample, sets in modelled:
        for objective, kind, shape in sets:
            assert objective == sample["objective"] and kind == called.get(sample["kind"], sample["kind"])
            assert json.loads(json.dumps(shape)) == sample["shape"]
        if sample["kind"] in ("product", "head", "projection", "rows"):
            assert len(sets) == 2 and sets[0] is not sets[1]
    timed = {(sample["objective"], sample["kind"]) for sample, _ in modelled}
    parts = itertools.product(("train", "decode"), ("product", "projection", "layer", "check", "full"))
    assert timed == {*parts, ("train", "rows"), *(("decode", kind) for kind in ("head", "arithmetic", "traffic"))}


def test_the_smallest_product_is_timed_for_the_flat_part(modelled):
    for objective, rows in (("train", 1), ("decode", 2)):
        shapes = [s["shape"] for s, _ in modelled if (s["objective"], s["kind"]) == (objective, "product")]
        assert min(shapes, key=np.prod) == [rows, 64, 16] and [16, 256, 64] in shapes


def test_predictions_are_seconds_and_layers_kept_out_do_not_touch_the_fit(modelled):
    for sample, _ in modelled:
        truth = sample["median"] / (10 if sample["kind"] == "check" else 1)
        assert sample["predicted"] == pytest.approx(truth), sample


def test_calibrate_in_seconds(small):
    """A short calibration from end to end: record, provenance, read back, used by plan."""
    told = []
    cost = adasoft.calibrate(seconds=4, progress=lambda done, text: told.append((done, text)))
    assert [cost.path] == list((small / "cache" / "machines").iterdir())
    record = cost.record
    assert record["device"]["type"] == "cpu" and record["torch"] == torch.__version__ and record["threads"] >= 1
    assert record["adasoft"] == adasoft.__version__ and record["dtype"] == "float32" and record["date"].startswith("20")
    kinds = {sample["kind"] for sample in record["samples"]}
    assert kinds == {"product", "head", "projection", "rows", "layer", "check", "full", "arithmetic", "traffic"}
    assert all(s["q1"] <= s["median"] <= s["q3"] and s["n"] >= 1 and s["predicted"] > 0 for s in record["samples"])
    assert set(record["errors"]) >= {"train layers, fitted", "train layers, not fitted"}
    assert told[-1] == (1.0, "fitting") and len(told) > 20
    plan = adasoft.plan(np.arange(1, 5000), 64, 200)
    assert plan.cost.startswith("this machine")
    assert record["seconds"] < 30


def test_the_bar_moves_from_the_start_and_speaks_in_words(small, monkeypatch):
    """Making and warming up the shapes is more than half of the minute; here each look at the clock takes 0.1 s."""
    ticks = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: 0.1 * next(ticks))
    told = []
    adasoft.calibrate(seconds=60, save=False, progress=lambda done, text: told.append((done, text)))
    parts, texts = zip(*told, strict=True)
    assert list(parts) == sorted(parts) and (parts[-1], texts[-1]) == (1.0, "fitting")
    making, warming = ({part for part, text in told if text.startswith(what)} for what in ("making", "warm-up"))
    assert len(making) > 40 and len(warming) > 40 and max(warming) < 0.6
    timing = {part for part, text in told if not text.startswith(("making", "warm-up", "fitting"))}
    assert len(timing) > 40 and max(timing) > 0.9
    assert not any(set(text) & set("()[]_") for text in texts) and max(map(len, texts)) <= 48
    assert "making: layer 2 of 6, 3,000 words" in texts and "warm-up: train product 64 x 500 x 32" in texts


def test_an_interrupted_calibration_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path))

    def stop(done, text):
        if "product" in text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        adasoft.calibrate(seconds=5, progress=stop)
    assert not list(tmp_path.rglob("*.json*"))


def test_a_record_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "r.json"
    path.write_text("old")
    with pytest.raises(TypeError):
        write_record({"bad": object(), "samples": []}, path)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    write_record({"a": 1, "samples": [{"x": 1}, {"x": 2}]}, path)
    assert json.loads(path.read_text()) == {"a": 1, "samples": [{"x": 1}, {"x": 2}]}


def test_decoding_is_calibrated_on_tails_and_heads(tmp_path, monkeypatch):
    monkeypatch.setattr(M, "interleave", lambda items, *, heard, **_: [heard(name, 1e-3) for name in items])
    made = adasoft.calibrate(seconds=3, progress=False, save=False)
    tails, heads = ([s["shape"] for s in made.record["samples"] if s["kind"] == kind] for kind in ("product", "head"))
    assert len([shape for shape in tails if shape[2] <= 64]) >= 5
    assert len([shape for shape in heads if shape[0] >= 200 and shape[2] >= 128]) >= 5


def test_bad_devices_and_dtypes():
    with pytest.raises(ValueError, match=r"dtype should be float32.*got 'int8'"):
        adasoft.calibrate(dtype="int8")
    with pytest.raises(RuntimeError, match="device should be"):
        adasoft.calibrate("abacus")
    if not torch.cuda.is_available():
        with pytest.raises(RuntimeError, match="sees no CUDA device"):
            adasoft.calibrate("cuda")


def test_read_record_needs_the_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_record(tmp_path / "none.json")


def test_a_cache_that_cannot_be_written_is_said_before_the_work_and_loses_nothing(untimed, monkeypatch):
    (untimed / "file").write_text("x")
    monkeypatch.setenv("ADASOFT_CACHE", str(untimed / "file"))
    told = []
    with pytest.warns(RuntimeWarning, match=r"will not be kept: .*file.*ADASOFT_CACHE") as warned:
        cost = adasoft.calibrate(seconds=3, progress=lambda *_: told.append(len(warned)))
    assert len(warned) == 1 and told[0] == 1 and "\n" not in str(warned[0].message)
    assert cost.path is None and cost.record["samples"] and cost.record["sha256"]
    assert adasoft.plan(np.arange(1, 5000), 64, 200, cost=cost).time > 0
    assert (untimed / "file").read_text() == "x"


def test_a_disk_that_fills_up_meanwhile_loses_no_timings(untimed, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(M, "write_record", full)
    with pytest.warns(RuntimeWarning, match=r"will not be kept: .*No space left"):
        cost = adasoft.calibrate(seconds=3, progress=False)
    assert cost.path is None and cost.record["samples"]
    with pytest.raises(OSError, match="No space left"):
        adasoft.calibrate(seconds=3, progress=False, save=untimed / "r.json")


def test_a_file_that_cannot_be_written_is_refused_before_the_work(untimed):
    (untimed / "file").write_text("x")
    told = []
    for path in (untimed / "file" / "r.json", untimed):
        with pytest.raises(OSError, match=str(untimed)):
            adasoft.calibrate(seconds=3, save=path, progress=lambda *_: told.append(1))
    assert not told
    cost = adasoft.calibrate(seconds=3, progress=False, save=untimed / "new" / "r.json")
    assert cost.path == untimed / "new" / "r.json" and read_record(cost.path).flat == cost.flat
    assert adasoft.calibrate(seconds=3, progress=False, save=False).path is None
    assert not list((untimed / "new").glob("*.part"))


def test_the_command_says_in_one_line_that_nothing_was_kept(untimed, monkeypatch, capsys):
    from adasoft.cli import main

    (untimed / "file").write_text("x")
    monkeypatch.setenv("ADASOFT_CACHE", str(untimed / "file"))
    assert main(["calibrate", "--seconds", "3"]) == 0
    out, errors = capsys.readouterr()
    assert "written to" not in out and "(median with its sign)" in out
    assert len([line for line in errors.splitlines() if "will not be kept" in line]) == 1 and ".py" not in errors


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), True, "60", None, 10**400, 90_000])
def test_bad_seconds(seconds):
    with pytest.raises(ValueError, match=r"seconds should be a number of seconds above 0 and at most 86,400, got"):
        adasoft.calibrate(seconds=seconds)


def test_what_is_written_follows_the_schema(untimed):
    jsonschema = pytest.importorskip("jsonschema")  # comes with JupyterLab
    cost = adasoft.calibrate(seconds=3, progress=False)
    rules = json.loads(shipped_records()[0].with_name("record.schema.json").read_text())
    errors = jsonschema.Draft202012Validator(rules).iter_errors(json.loads(cost.path.read_text()))
    assert [error.message for error in errors] == []


def test_seconds_may_be_numpys(untimed):
    assert adasoft.calibrate(seconds=np.float32(3), progress=False).path.exists()
