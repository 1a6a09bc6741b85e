"""Timing and calibration: that it is honest, bounded, interruptible, and that the fit finds what made the times."""

from __future__ import annotations

import itertools
import json
import time

import numpy as np
import pytest
import torch

import adasoft
from adasoft import calibration as M
from adasoft import timing as T
from adasoft import workloads as W
from adasoft.cost import MeasuredCost
from adasoft.fit import fit, predict
from adasoft.records import read_record, shipped_records, write_record


def test_interleave_takes_turns_and_rotates_input_sets():
    seen = []
    items = {"a": [lambda: seen.append("a0"), lambda: seen.append("a1")], "b": [lambda: seen.append("b0")]}
    timings = T.interleave(items, rounds=3)
    assert seen == ["a0", "a1", "b0", "a0", "b0", "a1", "b0", "a0", "b0"]
    assert timings["a"].n == timings["b"].n == 3
    assert T.interleave(items, rounds={"a": 2, "b": 1})["b"].n == 1


def test_interleave_keeps_its_time_and_reports_progress():
    told = []
    started = time.perf_counter()
    timings = T.interleave(
        {"nap": [lambda: time.sleep(0.02)]}, rounds=1000, seconds=0.3, progress=lambda d, t: told.append(d)
    )
    assert time.perf_counter() - started < 2.0
    assert 0.02 <= timings["nap"].median < 0.2 and timings["nap"].q1 <= timings["nap"].median <= timings["nap"].q3
    assert told == sorted(told) and told[-1] <= 1.0


def test_warming_up_is_part_of_the_progress():
    """It is half of a calibration: a bar that counts only what follows stands at 0 % meanwhile."""
    told = []
    items = {"a": [lambda: None] * 2, "b": [lambda: None] * 2}
    T.interleave(items, rounds=2, progress=lambda done, text: told.append((done, text)))
    assert told == [
        (0 / 8, "warm-up: a"),
        (2 / 8, "warm-up: b"),
        (4 / 8, "a"),
        (5 / 8, "b"),
        (6 / 8, "a"),
        (7 / 8, "b"),
    ]
    told.clear()
    T.interleave(items, rounds=2, seconds=1e-9, progress=lambda done, text: told.append((done, text)))
    assert [done for done, _ in told] == [1.0] * 4  # the time is up: each once, and no more
    told.clear()
    T.interleave(items, rounds=2, warm_up=False, progress=lambda done, text: told.append((done, text)))
    assert told == [(0.0, "a"), (0.25, "b"), (0.5, "a"), (0.75, "b")]


@pytest.mark.parametrize("level", [1e-4, 1e-2], ids=["flat part low", "many products on it"])
def test_the_fit_finds_the_model_that_made_the_times(level):
    truth = {
        "product": [3e-5, 4e-11, 3e-9, 2e-9, 5e-9, 1e-9],
        "projection": [2e-5, 5e-11, 1e-9, 2e-9],
        "rows": [1e-4, 2e-7, 1e-9],
    }
    cost = MeasuredCost({"train": truth, "decode": truth}, {"train": level, "decode": level})
    import random

    draw = random.Random(0)
    samples = [("product", s) for s in [(1, 64, 16), *M._products(draw, 40, 1.5e9)]]
    samples += [("projection", (n, d, w)) for n in (10, 500, 2000) for d in (128, 1024) for w in (8, 64)]
    samples += [("rows", (n, d)) for n in (64, 1024, 4096) for d in (128, 512)]
    samples += [("layer", s) for s in M.draw_layers(8, 3, parameters=1e7)]
    timed = [(kind, shape, predict(cost, kind, shape)) for kind, shape in samples]
    found, flat = fit(timed, 4)
    assert flat == pytest.approx(level)
    again = MeasuredCost({"train": found, "decode": found}, {"train": flat, "decode": flat})
    for shape in M.draw_layers(12, 99):
        assert predict(again, "layer", shape) == pytest.approx(predict(cost, "layer", shape), rel=0.01)


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
    monkeypatch.setattr(M, "interleave", lambda items, **_: {name: T.Timing(1e-3, 1e-3, 1e-3, 3) for name in items})
    return small


@pytest.fixture
def modelled(small, monkeypatch):
    """The samples of a calibration, each with its steps; nothing is made or run.

    The times are those of a known model, but the layers kept out of the fit take ten times as long. A step is a pair:
    its kind and what it was made of.
    """
    part = {"product": [3e-5, 4e-11, 3e-9, 2e-9, 5e-9, 1e-9], "projection": [2e-5, 5e-11, 1e-9, 2e-9]}
    parts = {"train": part | {"rows": [1e-4, 2e-7, 1e-9]}, "decode": part | {"rows": [1e-5, 1e-7, 0.0]}}
    truth = MeasuredCost(parts, {"train": 1e-4, "decode": 5e-5})
    shapes = {shape: place < 4 for place, shape in enumerate(M.draw_layers(6, 7))}
    items = {}

    def seconds(step):
        kind, made_of = step
        if kind == "layer":
            return predict(truth, kind, made_of) * (10 if shapes[made_of] else 1)
        *shape, objective = made_of
        return predict(truth, kind, shape, objective)

    def told(given, **_):
        items.update(given)
        return {name: T.Timing(*[seconds(sets[0])] * 3, 3) for name, sets in given.items()}

    for kind in ("product", "projection", "rows"):
        monkeypatch.setattr(M, f"{kind}_step", lambda pool, *made_of, kind=kind, head=None: (kind, made_of))
    monkeypatch.setattr(M, "layer_steps", lambda shape, *_: [("layer", shape), ("layer", shape)])
    monkeypatch.setattr(M, "Pool", lambda *_: None)
    monkeypatch.setattr(M, "interleave", told)
    cost = adasoft.calibrate(seconds=3, progress=False, save=False)
    return list(zip(cost.record["samples"], items.values(), strict=True))


def test_each_sample_is_timed_as_what_it_is_called_on_inputs_of_its_own(modelled):
    for sample, sets in modelled:
        if sample["kind"] not in ("layer", "check"):
            made_of = (*sample["shape"], sample["objective"])
            assert [*sets] == [(sample["kind"], made_of)] * 2 and sets[0] is not sets[1]
    timed = {(sample["objective"], sample["kind"]) for sample, _ in modelled}
    parts = itertools.product(("train", "decode"), ("product", "projection", "rows"))
    assert timed == {*parts, ("train", "layer"), ("train", "check")}


def test_the_smallest_product_is_timed_for_the_flat_part(modelled):
    for objective in ("train", "decode"):
        shapes = [s["shape"] for s, _ in modelled if (s["objective"], s["kind"]) == (objective, "product")]
        assert min(shapes, key=np.prod) == [1, 64, 16] and [16, 256, 64] in shapes


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
    assert kinds == {"product", "projection", "rows", "layer", "check"}
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


def test_targets_hold_each_clusters_share():
    shares = W.token_shares(5000)
    counts = np.bincount(W.draw_targets(shares, 1000, 3).numpy(), minlength=5000)
    expected = shares.cumsum() * 1000
    assert np.abs(counts.cumsum() - expected).max() <= 1 + 1e-9
    assert not torch.equal(W.draw_targets(shares, 1000, 3), W.draw_targets(shares, 1000, 4))


def test_what_is_timed_is_the_layer():
    shape = W.Shape(500, 32, 64, (50, 200), (8, 2))
    for make in (W.ours, W.stock, W.FullSoftmax):
        layer = make(shape)
        (step,) = W.layer_steps(shape, sets=1, make=lambda _, layer=layer: layer)
        step()
        assert all(p.grad is not None for p in layer.parameters())
    W.bare_products(shape, [10, 3], "cpu", torch.float32)()
    pool = W.Pool(10_000, torch.device("cpu"), torch.float32)
    for objective in ("train", "decode"):
        W.product_step(pool, 8, 50, 16, objective)()
        W.projection_step(pool, 8, 32, 4, objective)()
        W.rows_step(pool, 8, 16, objective)()


def test_gradients_are_freed_before_each_step(monkeypatch):
    """Else they add up: one more addition is timed, and the numbers grow from turn to turn."""
    pool, leaves = W.Pool(10_000, torch.device("cpu"), torch.float32), []
    take = pool.take
    monkeypatch.setattr(pool, "take", lambda *size: leaves.append(take(*size)) or leaves[-1])
    product = W.product_step(pool, 8, 50, 16, "train")
    shape = W.Shape(500, 32, 64, (50, 200), (8, 2))
    layer = W.ours(shape)
    leaves += layer.parameters()
    layer.register_forward_pre_hook(lambda _, given: leaves.append(given[0]))
    (whole,) = W.layer_steps(shape, sets=1, make=lambda _: layer)
    product()
    whole()
    kept = [leaf.grad.clone() for leaf in leaves]
    product()
    whole()
    for leaf, gradient in zip(leaves, kept, strict=False):  # the layer's input is in `leaves` twice by now
        assert gradient.any()
        torch.testing.assert_close(leaf.grad, gradient)


def test_each_input_set_has_its_own_memory(monkeypatch):
    """Else the caches hold the weights from the turn before."""
    steps = W.product_items([(8, 50, 16)], objective="product", sets=3)[8, 50, 16]
    seen = []
    monkeypatch.setattr(torch, "mm", lambda *sides, out: seen.append([side.data_ptr() for side in (*sides, out)]))
    for step in steps:
        step()
    assert len(set(itertools.chain(*seen))) == 3 * 3


def test_decoding_is_calibrated_on_tails_and_heads(tmp_path, monkeypatch):
    monkeypatch.setattr(M, "interleave", lambda items, **_: {name: T.Timing(1e-3, 1e-3, 1e-3, 3) for name in items})
    made = adasoft.calibrate(seconds=3, progress=False, save=False)
    shapes = [s["shape"] for s in made.record["samples"] if (s["kind"], s["objective"]) == ("product", "decode")]
    narrow = [shape for shape in shapes[2:] if shape[2] <= 64]
    assert len(narrow) >= 5 and len([shape for shape in shapes if shape[0] >= 200 and shape[2] >= 128]) >= 5


def test_inputs_are_aligned_as_an_allocator_would():
    pool = W.Pool(2**16, torch.device("cpu"), torch.bfloat16)
    assert all(pool.take(7, 9).data_ptr() % 64 == pool.numbers.data_ptr() % 64 for _ in range(20))


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


@pytest.mark.parametrize(
    "shape",
    [
        W.Shape(20_000, 128, 512, (1000, 5000), (32, 8)),
        W.Shape(30_000, 64, 2048, (300,), (64,)),
        W.Shape(9000, 256, 64, (4000, 8000), (64, 16)),
    ],
    ids=str,
)
def test_predicted_memory_is_what_a_step_holds(shape):
    made = adasoft.PaperCost(1e-4, 1e-9).layer(
        shape.n_classes, shape.cutoffs, shape.widths, shape.tail_shares(), shape.in_features, shape.batch
    )
    # the weights and the input are there before
    predicted = made.peak_bytes - 4 * (made.parameters + shape.batch * shape.in_features)
    assert T.peak_bytes(W.layer_steps(shape, sets=1)[0]) == pytest.approx(predicted, rel=0.06)


def test_what_a_step_frees_first_does_not_count_as_there_before():
    held = []

    def make():
        held.append(torch.empty(2**20, dtype=torch.uint8))

    def replace():
        del held[0]
        make()

    assert T.peak_bytes(make) == 2**20  # the profiler knows of the second of the two blocks that this leaves
    assert T.peak_bytes(replace) == 2**20


# ---------------------------------------------------------------------- places that cannot be written


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
    assert "written to" not in out and "median error" in out
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
