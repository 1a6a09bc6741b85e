"""Machine records: read back as they were written, or refused by file and field; which of them is taken."""

from __future__ import annotations

import copy
import json
import os
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import adasoft
from adasoft import load_cost
from adasoft import records as R
from adasoft.cost import TERMS
from adasoft.files import checksum
from adasoft.fit import predict

#: No two numbers alike, so that none can be read for another.
KINDS = {
    "train": {
        "product": [1.5e-4, 2.5e-11, 3.5e-9, 4.5e-9, 5.5e-9, 6.5e-9],
        "projection": [1.25e-5, 2.25e-11, 3.25e-9, 4.25e-9],
        "rows": [1.75e-4, 2.75e-8, 3.75e-10],
    },
    "decode": {
        "product": [1.1e-4, 2.1e-11, 3.1e-9, 4.1e-9, 5.1e-9, 6.1e-9],
        "projection": [1.2e-5, 2.2e-11, 3.2e-9, 4.2e-9],
        "rows": [1.3e-4, 2.3e-8, 3.3e-10],
    },
}


def record(**changes):
    out = {
        "format": R.RECORD_FORMAT,
        "version": 1,
        "device": {"type": "cpu", "name": R.cpu_name()},
        "dtype": "float32",
        "itemsize": 4,
        "torch": "2",
        "threads": 2,
        "date": "2026-01-02T03:04:05+00:00",
        "adasoft": "0",
        "coefficients": copy.deepcopy(KINDS),
        "flat": {"train": 2e-4, "decode": 1e-4},
        "errors": {"train check": {"median": 0.1, "largest": 0.2, "n": 3}},
        "samples": [],
    } | changes
    out["sha256"] = checksum(out)
    return out


def with_coefficient(value, kind="product", place=0, objective="train"):
    kinds = copy.deepcopy(KINDS)
    kinds[objective][kind][place] = value
    return record(coefficients=kinds)


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """The path of the one record in the cache."""
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path))
    (tmp_path / "machines").mkdir()
    return tmp_path / "machines" / "x.json"


# ---------------------------------------------------------------------- read as written


def test_each_number_of_a_record_is_read_into_its_place(stored):
    stored.write_text(json.dumps(record()))
    cost = R.read_record(stored)
    unknown = {"search": [0.0] * 4, "head": [0.0], "full": [0.0], "vector": [0.0] * 4}  # to version 1
    found = {o: {k: v.tolist() for k, v in kinds.items()} for o, kinds in cost.coefficients.items()}
    assert found == {objective: kinds | unknown for objective, kinds in KINDS.items()}
    assert cost.flat == {"train": 2e-4, "decode": 1e-4} and cost.itemsize == 4 and not cost.on_gpu
    assert cost.name == f"{R.cpu_name()}, float32, 2026-01-02" and cost.path == stored and cost.record["threads"] == 2
    stored.write_text(json.dumps(record(device={"type": "cuda", "name": "G"}, dtype="bfloat16", itemsize=2)))
    assert R.read_record(stored).on_gpu and R.read_record(stored).itemsize == 2


def schema():
    """What checks a record against the schema that lies beside the shipped ones."""
    jsonschema = pytest.importorskip("jsonschema")  # comes with JupyterLab
    path = R.shipped_records()[0].with_name("record.schema.json")
    return jsonschema.Draft202012Validator(json.loads(path.read_text()))


@pytest.mark.parametrize("path", R.shipped_records(), ids=lambda path: path.stem)
def test_shipped_records_follow_the_schema(path):
    assert [e.message for e in schema().iter_errors(json.loads(path.read_text()))] == []


def test_the_schema_knows_every_field_and_dtype():
    rules = schema().schema
    assert rules["properties"]["dtype"]["enum"] == list(R.ITEM_SIZES)
    assert rules["properties"]["format"]["const"] == R.RECORD_FORMAT
    assert rules["properties"]["version"]["enum"] == [1, R.RECORD_VERSION]
    kinds = rules["$defs"]["kinds"]["properties"]
    assert {kind: rule["minItems"] for kind, rule in kinds.items()} == {kind: len(t) for kind, t in TERMS.items()}
    shipped = json.loads(R.shipped_records()[0].read_text())
    for spoilt in (
        {"version": 3},
        {"version": 2},  # without rates
        {"date": "2026-01-31"},
        {"flat": {"train": 1.0}},
        {"samples": [shipped["samples"][0] | {"shape": [1, 2]}]},
        {"samples": [shipped["samples"][-1] | {"shape": [1, 2, 3, 4, 5]}]},
        {"extra": 1},
    ):
        assert not schema().is_valid(shipped | spoilt), spoilt


@pytest.mark.parametrize("path", R.shipped_records(), ids=lambda path: path.stem)
def test_shipped_records_predict_what_was_predicted_when_they_were_made(path):
    """A hundred shapes each: a swapped pair, a wrong factor or a shifted rank anywhere in the model shows here."""
    cost = R.read_record(path)
    assert {(s["kind"], s["objective"]) for s in cost.record["samples"]} == {
        *((kind, objective) for kind in ("product", "projection", "rows") for objective in ("train", "decode")),
        ("layer", "train"),
        ("check", "train"),
    }
    for sample in cost.record["samples"]:
        predicted = predict(cost, sample["kind"], sample["shape"], sample["objective"])
        assert predicted == pytest.approx(sample["predicted"], rel=1e-9)


def test_shipped_records_are_whole_and_say_where_they_come_from():
    assert R.shipped_records()
    for path in R.shipped_records():
        cost = R.read_record(path)
        assert cost.record["command"].startswith("python -m adasoft calibrate")
        assert {"type", "name"} <= set(cost.record["device"])
        assert cost.record["samples"] and cost.record["errors"]["train layers, not fitted"]["median"] < 0.25


def with_rates(**changes):
    """A record of version 2, whose model is as fast as the device at best."""
    kinds = copy.deepcopy(KINDS)
    for objective in ("train", "decode"):
        kinds[objective] |= {"search": [1e-4, 1e-7, 2e-10, 1e-12], "head": [3e-9], "full": [2e-9]}
    return {
        "version": 2,
        "captured": False,
        "rates": {"arithmetic": 1e-13, "traffic": 1e-12},
        "coefficients": kinds,
    } | changes


@pytest.mark.parametrize(
    ("rates", "named"),
    [
        ({"arithmetic": 1.0}, "coefficients.train.product is unphysical: that of 'n k d' should be at least 3"),
        ({"traffic": 1.0}, "coefficients.train.product is unphysical: that of 'k d' should be at least 12"),
    ],
)
def test_a_model_that_is_faster_than_its_device_is_refused_by_the_name_of_the_coefficient(stored, rates, named):
    stored.write_text(json.dumps(record(**with_rates())))
    assert R.read_record(stored).coefficients["decode"]["head"].tolist() == [3e-9]
    known = {"arithmetic": 1e-13, "traffic": 1e-12}
    stored.write_text(json.dumps(record(**with_rates(rates=known | rates))))
    with pytest.raises(ValueError, match=f"x.json is damaged: {re.escape(named)}"):
        R.read_record(stored)
    kinds = copy.deepcopy(with_rates()["coefficients"])
    kinds["decode"]["vector"] = [1e-5, 1e-13, 1e-9, 1e-9]
    stored.write_text(json.dumps(record(**with_rates(coefficients=kinds))))
    with pytest.raises(
        ValueError, match=r"coefficients.decode.vector is unphysical: that of 'k d' should be at least 4"
    ):
        R.read_record(stored)
    for missing in known:
        stored.write_text(json.dumps(record(**with_rates(rates={missing: known[missing]}))))
        with pytest.raises(ValueError, match="rates"):
            R.read_record(stored)


def test_captured_timings_are_kept_apart(stored):
    gpu = {"device": {"type": "cuda", "name": "G"}, "dtype": "bfloat16", "itemsize": 2}
    eager, captured = (record(**gpu, **with_rates(captured=captured)) for captured in (False, True))
    assert R.file_name(captured) == R.file_name(eager).replace(".json", "-captured.json")
    for made in (eager, captured):
        R.write_record(made, stored.with_name(R.file_name(made)))
    for asked in (False, True):
        cost = R.load_cost("cuda", dtype="bfloat16", captured=asked)
        assert cost.captured == asked == ("captured" in cost.name)
    with pytest.raises(
        LookupError, match=r"float16, captured: run `python -m adasoft calibrate --device cuda --captured`"
    ):
        R.load_cost("cuda", dtype="float16", captured=True)


def test_record_round_trip_and_choice(stored):
    shipped = load_cost()
    assert shipped.name.startswith("recorded machine: ") and shipped.record["device"]["type"] == "cpu"
    folder = stored.parent
    (folder / "a.json").write_text(json.dumps(record()))
    assert load_cost().name.startswith("this machine: ")
    assert load_cost("cpu").path == folder / "a.json"
    # the record of another machine, in a cache that two machines share, is not this machine's
    (folder / "a.json").write_text(json.dumps(record(device={"type": "cpu", "name": "another CPU"})))
    assert load_cost().path == shipped.path
    with pytest.raises(LookupError, match="calibrate --device tpu"):
        load_cost("tpu")


def test_the_newest_record_that_fits_is_taken(stored):
    """By the time of the file, the dtype and the type of device; what vanishes meanwhile is not there."""
    folder = stored.parent
    for number, (name, changes) in enumerate(
        {
            "old": {"threads": 7},
            "new": {"threads": 8},
            "double": {"dtype": "float64", "itemsize": 8},
            "gpu": {"device": {"type": "cuda", "name": "G"}},
        }.items()
    ):
        (folder / f"{name}.json").write_text(json.dumps(record(**changes)))
        os.utime(folder / f"{name}.json", (number, number))
    assert [path.stem for path in R.cached_records()] == ["gpu", "double", "new", "old"]
    assert load_cost("cpu").record["threads"] == 8
    assert load_cost("cpu", dtype="float64").itemsize == 8
    os.utime(folder / "old.json", (99, 99))
    assert load_cost("cpu").record["threads"] == 7
    try:
        (folder / "nothing.json").symlink_to("not there")
        (folder / "loop.json").symlink_to("loop.json")
    except OSError:  # Windows asks for a privilege
        return
    assert load_cost("cpu").record["threads"] == 7


def test_records_of_other_devices_dtypes_and_threads_do_not_overwrite_each_other():
    cpu = record(device={"type": "cpu", "name": "AMD EPYC (9V74)"})
    assert R.file_name(cpu) == "cpu-amd-epyc-9v74-2threads-float32.json"
    assert R.file_name(cpu | {"threads": 8, "dtype": "bfloat16"}) == "cpu-amd-epyc-9v74-8threads-bfloat16.json"
    assert R.file_name(cpu | {"device": {"type": "cuda", "name": "NVIDIA H200"}}) == "cuda-nvidia-h200-float32.json"


def test_devices_and_dtypes_may_be_torchs(stored):
    import torch

    stored.write_text(json.dumps(record()))
    assert load_cost(torch.device("cpu"), dtype=torch.float32).path == stored


# ---------------------------------------------------------------------- damaged and foreign


def text(**changes):
    return json.dumps(record(**changes))


def without(*names):
    out = record()
    inner = out
    for name in names[:-1]:
        inner = inner[name]
    del inner[names[-1]]
    out["sha256"] = checksum(out)
    return json.dumps(out)


FIELD = "a finite number of at least 0 and at most 1e"
DAMAGED = {
    "half": ("{", "damaged: not JSON"),
    "empty": ("", "damaged: it is empty"),
    "zeros": ("\0" * 4000, "damaged: it is empty"),
    "a list": ("[]", "it should hold an object, got"),
    "null": ("null", "it should hold an object, got None"),
    "deep": ("[" * 100_000, "damaged: not JSON"),
    "deep objects": ('{"a":' * 100_000, "damaged: not JSON"),
    "deep inside": (text(device={"name": json.loads("[" * 200 + "]" * 200)}), "nested at most 100 deep"),
    "cut off": (text()[:200], "damaged: not JSON"),
    "binary": (bytes(range(256)), "damaged: not JSON"),
    "latin-1": ('{"name": "é"}'.encode("latin-1"), "damaged: not JSON"),
    "a name twice": (text()[:-1] + ', "threads": 3}', "the name 'threads' should occur once"),
    "foreign": (
        json.dumps({"format": "other"}),
        r"not a machine record: its 'format' should be .*got 'other'",
    ),
    "format": (text(format=[]), r"not a machine record: its 'format' should be .*got \[\]"),
    "version": (text(version=99), "version 99, expected 2"),
    "version true": (text(version=True), "version should be a whole number, got True"),
    "version 1.0": (text(version=1.0), "version should be a whole number, got 1.0"),
    "edited": (json.dumps(record() | {"threads": 3}), "checksum does not fit"),
    "no checksum": (json.dumps({k: v for k, v in record().items() if k != "sha256"}), "checksum does not fit"),
    "checksum 3": (json.dumps(record() | {"sha256": 3}), "checksum does not fit"),
    "device list": (text(device=[]), r"device should be an object, got \[\]"),
    "device null": (text(device=None), "device should be an object, got None"),
    "device.name 3": (text(device={"type": "cpu", "name": 3}), "device.name should be a text, got 3"),
    "device.name odd": (text(device={"type": "cpu", "name": "\x1b[31m"}), "device.name should be printable, got"),
    "device.type": (text(device={"type": "tpu", "name": "x"}), "device.type should be 'cpu' or 'cuda', got 'tpu'"),
    "dtype": (text(dtype="int4"), "dtype should be one of float32, bfloat16, float16, float64, got 'int4'"),
    "dtype list": (text(dtype=[]), r"dtype should be a text, got \[\]"),
    "itemsize 0": (text(itemsize=0), "itemsize should be 4 for float32, got 0"),
    "itemsize 2": (text(itemsize=2), "itemsize should be 4 for float32, got 2"),
    "itemsize true": (text(itemsize=True), "itemsize should be a whole number, got True"),
    "itemsize 4.0": (text(itemsize=4.0), "itemsize should be a whole number, got 4.0"),
    "itemsize text": (text(itemsize="4"), "itemsize should be a whole number, got '4'"),
    "itemsize inf": (text(itemsize=float("inf")), "itemsize should be a finite number, got inf"),
    "itemsize nan": (text(itemsize=float("nan")), "itemsize should be a finite number, got nan"),
    "itemsize huge": (text(itemsize=10**400), "itemsize should be a finite number, got inf"),
    "threads": (text(threads=0), "threads should be a whole number of at least 1, got 0"),
    "torch": (text(torch=[]), r"torch should be a text, got \[\]"),
    "date": (text(date="yesterday"), "date should be a date like 2026-01-31, got 'yesterday'"),
    "date 3": (text(date=3), "date should be a text, got 3"),
    "coefficients list": (text(coefficients=[]), r"coefficients should be an object, got \[\]"),
    "coefficients 3": (text(coefficients=3), "coefficients should be an object, got 3"),
    "one objective": (text(coefficients={"train": KINDS["train"]}), "coefficients.decode is missing"),
    "objective list": (text(coefficients=KINDS | {"train": []}), r"coefficients.train should be an object, got \[\]"),
    "kind missing": (
        without("coefficients", "train", "rows"),
        r"coefficients\['train'\]\['rows'\] should hold 3 numbers",
    ),
    "too few": (text(coefficients=KINDS | {"train": KINDS["train"] | {"product": [1] * 5}}), "should hold 6 numbers"),
    "too many": (text(coefficients=KINDS | {"train": KINDS["train"] | {"product": [1] * 7}}), "should hold 6 numbers"),
    "huge": (
        json.dumps(with_coefficient(10**400)),
        r"coefficients.train.product\[0\] should be a finite number, got inf",
    ),
    "large": (
        json.dumps(with_coefficient(1e308, place=1)),
        rf"\['train'\]\['product'\]\[1\] should be {FIELD}.*got 1e\+308",
    ),
    "large rows": (json.dumps(with_coefficient(1e308, "rows", 2)), rf"\['train'\]\['rows'\]\[2\] should be {FIELD}"),
    "nan": (json.dumps(with_coefficient(float("nan"), place=5)), r"coefficients.train.product\[5\] should be a finite"),
    "negative": (
        json.dumps(with_coefficient(-1e-9, "projection", 3, "decode")),
        rf"\['projection'\]\[3\] should be {FIELD}",
    ),
    "true": (json.dumps(with_coefficient(True)), rf"\[0\] should be {FIELD}.*got True"),
    "text": (json.dumps(with_coefficient("1e-4")), rf"\[0\] should be {FIELD}.*got '1e-4'"),
    "null inside": (json.dumps(with_coefficient(None)), rf"\[0\] should be {FIELD}.*got None"),
    "list inside": (json.dumps(with_coefficient([1])), rf"\[0\] should be {FIELD}.*got \[1\]"),
    "no time at all": (
        text(coefficients=KINDS | {"train": KINDS["train"] | {"product": [0] * 6}}, flat={"train": 0, "decode": 0}),
        "coefficients.train.product should be above 0 somewhere",
    ),
    "flat list": (text(flat=[]), r"flat should be an object, got \[\]"),
    "flat missing": (text(flat={"train": 1}), "flat.decode is missing"),
    "flat true": (text(flat={"train": True, "decode": 1}), "flat.train should be a finite number, got True"),
    "flat negative": (text(flat={"train": 1, "decode": -1}), rf"flat\['decode'\] should be {FIELD}.*got -1"),
    "flat large": (text(flat={"train": 1e308, "decode": 1}), rf"flat\['train'\] should be {FIELD}.*got 1e\+308"),
    "samples": (text(samples={}), r"samples should be a list, got \{\}"),
    "errors": (text(errors=[]), r"errors should be an object, got \[\]"),
    "error": (text(errors={"a": {"median": "x"}}), "errors.a.median should be a finite number of at least 0, got 'x'"),
} | {
    f"no {name}": (without(name), f"{name} is missing")
    for name in record()
    if name not in ("format", "errors", "sha256")
}


@pytest.mark.parametrize(("content", "message"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_and_foreign_records_are_refused_by_file_and_field(stored, content, message):
    stored.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message) as caught:
        R.read_record(stored)
    told = str(caught.value)
    assert told.startswith(str(stored)) and told.count("\n") == 0 and len(told) < len(str(stored)) + 300
    assert "delete it" in told and told.isprintable()
    # a plan does not quietly go on with another machine's record
    with pytest.raises(ValueError, match=r"x\.json"):
        load_cost()
    with pytest.raises(ValueError, match=r"x\.json"):
        adasoft.plan([3, 2, 1], 16, 40)


def test_a_folder_in_a_records_place_is_named(stored):
    stored.mkdir()
    with pytest.raises(ValueError, match=r"x\.json is damaged: it should be a file, got a folder; delete it"):
        load_cost()


def test_a_damaged_shipped_record_is_not_to_be_deleted(tmp_path, monkeypatch):
    monkeypatch.setattr(R, "shipped_records", lambda: [tmp_path / "x.json"])
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(ValueError, match=r"install adasoft again$"):
        R.read_record(tmp_path / "x.json")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_records_saved_by_an_editor_in_another_encoding_are_read(stored, encoding):
    stored.write_bytes(json.dumps(record(), ensure_ascii=False).encode(encoding))
    assert R.read_record(stored).flat["train"] == 2e-4


junk = st.sampled_from(
    [
        None,
        True,
        False,
        -1,
        0,
        3,
        10**400,
        1e308,
        5e-324,
        float("nan"),
        float("inf"),
        "",
        "x",
        "\x1b",
        [],
        [[]],
        {},
        {"a": 1},
    ]
)


def places(found, above=()):
    """The way to each entry of a record, lists' included."""
    for name, value in found.items() if isinstance(found, dict) else enumerate(found):
        yield (*above, name)
        if isinstance(value, (dict, list)):
            yield from places(value, (*above, name))


def test_a_file_that_was_named_is_not_to_be_deleted(tmp_path):
    for name, content in (("words.tsv", "a\t3\n"), ("other.json", "{}"), ("old.json", text(version=99))):
        (tmp_path / name).write_text(content)
        with pytest.raises(ValueError, match=rf"{name} .*; name a machine record, or calibrate again$"):
            R.read_record(tmp_path / name)


@given(place=st.sampled_from(list(places(record()))), value=junk)
@settings(max_examples=200)
def test_any_entry_may_be_anything(tmp_path_factory, place, value):
    """Whatever stands in a record, with a checksum that fits: it is refused by name, or plans as a record should."""
    path = tmp_path_factory.getbasetemp() / "drawn.json"
    drawn = record()
    inner = drawn
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    if place[0] != "sha256":
        drawn["sha256"] = checksum(drawn)
    path.write_text(json.dumps(drawn))
    try:
        cost = R.read_record(path)
    except ValueError as error:
        assert str(error).startswith(str(path)) and "calibrate again" in str(error) and str(error).isprintable()
        return
    plan = adasoft.plan(np.arange(1, 400), 32, 64, cost=cost, min_head_share=0.3)
    assert np.isfinite(plan.time) and plan.time > 0 and plan.speedup >= 1 and str(plan)
