"""Checkpoints and records of trainings: whole or not at all, exact, and refused by file and field when damaged."""

import copy
import io
import json
import math
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file
from trainings import CORPUS, SMALL, arguments, curve

import adasoft
from adasoft.files import DamagedFile
from adasoft.lm import checkpoint as files
from adasoft.lm.checkpoint import previous_of, write_checkpoint
from adasoft.lm.clock import PHASES
from adasoft.lm.launch import train
from adasoft.lm.run import Run, usable_device
from adasoft.lm.run_checkpoint import FORMAT, read_checkpoint
from adasoft.lm.run_records import read_rates, read_run_record, repeatable

pytestmark = pytest.mark.usefixtures("one_thread")
TINY = replace(SMALL, hidden=8, cutoffs=(10,), epochs=1, optimizer="adam", learning_rate=1e-2)


def trained(path, settings=TINY, steps=3):
    run = Run(CORPUS, settings)
    going = run.steps()
    for _ in range(steps):
        next(going)
    run.save(path)
    return run


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "checkpoint.safetensors"
    trained(path)
    return path


# ---------------------------------------------------------------------- the file


def test_a_checkpoint_is_a_safetensors_file_with_the_usual_permissions(tmp_path):
    path = tmp_path / "c.safetensors"
    run = trained(path)
    with safe_open(path, "pt") as file:
        names = set(file.keys())
        for name, value in run.model.state_dict().items():
            assert torch.equal(file.get_tensor(f"model.{name}"), value)
    assert {"losses", "sha256", "process.0.0"} <= names
    plain = tmp_path / "plain"
    plain.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    assert {p.name for p in tmp_path.iterdir()} == {"c.safetensors", "plain"}


@pytest.mark.parametrize("dtype", list(files._DTYPES), ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (5, 7)], ids=str)
def test_tensors_of_any_dtype_and_shape_come_back(tmp_path, dtype, shape):
    made = (torch.rand(shape) * 100).to(dtype)
    tensors = {
        "a": made,
        "b": made.new_zeros(3)[1],
        "ü, 'b'": made.reshape(-1),
        "t": made.t() if made.dim() == 2 else made,
    }
    about = {"format": FORMAT, "version": 2}
    write_checkpoint(tmp_path / "c", about, tensors)
    told, found = files.read_checkpoint(tmp_path / "c", FORMAT, 2)
    assert told == about and found.keys() == tensors.keys()
    for name, value in tensors.items():
        assert found[name].dtype == dtype and found[name].shape == value.shape and torch.equal(found[name], value)


@pytest.mark.parametrize("tensor", [torch.zeros(2, dtype=torch.complex64), torch.eye(2).to_sparse()])
def test_tensors_that_the_format_does_not_know_are_refused(tmp_path, tensor):
    with pytest.raises(TypeError, match="mine should be a dense tensor of numbers"):
        write_checkpoint(tmp_path / "c", {}, {"mine": tensor})
    assert not list(tmp_path.iterdir())


def test_zeroed_bytes_are_noticed(tmp_path, saved):
    """As a failing disk leaves them, wherever they lie: the library alone takes those within the numbers."""
    data = saved.read_bytes()
    for at in range(0, len(data), 997):
        if not any(data[at : at + 2000]):
            continue
        path = tmp_path / "c.safetensors"
        path.write_bytes((data[:at] + bytes(2000) + data[at + 2000 :])[: len(data)])
        with pytest.raises(DamagedFile, match=r"c\.safetensors is damaged: .*; delete it to start again"):
            read_checkpoint(path)


def test_the_checksum_is_of_all_of_a_large_file(tmp_path):
    path = tmp_path / "c"
    made = torch.arange(700_000, dtype=torch.float32)
    write_checkpoint(path, {"format": FORMAT, "version": 2}, {"a": made})
    assert torch.equal(files.read_checkpoint(path, FORMAT, 2)[1]["a"], made)
    for at in (-40, -1_500_000):
        data = bytearray(path.read_bytes())
        data[at] ^= 1
        (tmp_path / "d").write_bytes(data)
        with pytest.raises(DamagedFile, match="do not match their checksum"):
            files.read_checkpoint(tmp_path / "d", FORMAT, 2)


@given(st.integers(0, 10**9), st.sampled_from(["flip", "cut", "longer", "swap"]), st.integers(0, 7))
def test_any_change_is_noticed(saved, at, harm, bit):
    data = bytearray(saved.read_bytes())
    at %= len(data)
    if harm == "flip":
        data[at] ^= 1 << bit
    elif harm == "cut":
        del data[at:]
    elif harm == "longer":
        data += b"\0" * (bit + 1)
    else:
        at %= len(data) - 8
        data[at : at + 8] = data[at : at + 8][::-1]
    if bytes(data) == saved.read_bytes():
        return
    path = saved.with_name("changed")
    path.write_bytes(data)
    with pytest.raises(DamagedFile, match="changed is damaged"):
        read_checkpoint(path)


def test_a_checkpoint_of_before_has_no_checksum_and_is_read(tmp_path, saved):
    about, tensors = read_checkpoint(saved)
    path = tmp_path / "old.safetensors"
    save_file(tensors, path, {"about": json.dumps({**about, "version": 1})})
    assert curve(Run.resume(path, CORPUS)) == curve(Run.resume(saved, CORPUS))
    # a new one without it has lost it
    save_file(tensors, path, {"about": json.dumps(about)})
    with pytest.raises(DamagedFile, match="do not match their checksum"):
        read_checkpoint(path)


# ---------------------------------------------------------------------- written whole


@pytest.mark.parametrize("links", [True, False])
def test_the_one_before_stays_and_nothing_else(tmp_path, monkeypatch, links):
    if not links:  # as on some disks

        def refused(*_, **__):
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", refused)
    path = tmp_path / "c.safetensors"
    run, kept = Run(CORPUS, TINY), []
    steps = run.steps()
    for _ in range(3):
        next(steps)
        run.save(path)
        kept.append(path.read_bytes())
        assert {p.name for p in tmp_path.iterdir()} == {"c.safetensors", "c.safetensors.previous"} or len(kept) == 1
    assert previous_of(path).read_bytes() == kept[1] and path.read_bytes() == kept[2]


def test_what_is_written_is_on_the_disk_before_it_takes_its_place(tmp_path, monkeypatch):
    events = []
    fsync, put = os.fsync, os.replace

    def synced(file):
        if stat.S_ISREG(os.fstat(file).st_mode):
            events.append(("synced", os.fstat(file).st_size))
        fsync(file)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", lambda a, b: (events.append(("put", os.path.basename(b))), put(a, b)))
    train(CORPUS, TINY, tmp_path, progress=False)
    whole = {name: ("synced", (tmp_path / name).stat().st_size) for name in ("checkpoint.safetensors", "record.json")}
    for name, expected in whole.items():
        assert events[events.index(("put", name)) - 1] == expected


def test_a_write_that_breaks_off_leaves_the_one_before(tmp_path, monkeypatch):
    path = tmp_path / "c.safetensors"
    run = trained(path)
    before = path.read_bytes()
    run.optimizer.state[next(iter(run.optimizer.state))]["bad"] = torch.zeros(2, dtype=torch.complex64)
    with pytest.raises(TypeError, match="bad should be a dense tensor"):
        run.save(path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]


@pytest.mark.parametrize("torn", [False, True])
def test_when_only_the_one_before_is_there_it_goes_on_from_that(tmp_path, torn):
    """Killed between two renames, or the machine went down: it does not begin anew."""
    expected = curve(Run(CORPUS, TINY))
    path = tmp_path / "checkpoint.safetensors"
    trained(path, steps=7)
    path.rename(previous_of(path))
    if torn:
        path.write_bytes(b"")
    with pytest.raises((FileNotFoundError, DamagedFile), match=r"the one before it(, | is ).*\.previous"):
        read_checkpoint(path)
    lengths = []
    with pytest.warns(UserWarning, match=r"Going on from the one before it, .*\.previous"):
        train(
            CORPUS,
            TINY,
            tmp_path,
            progress=False,
            say=lambda _: lengths.append(len(read_checkpoint(previous_of(path))[1]["losses"])),
        )
    assert lengths == [7]
    assert read_checkpoint(path)[1]["losses"].tolist() == expected


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
@pytest.mark.parametrize("kills", [1, pytest.param(3, marks=pytest.mark.long)])
def test_killed_again_and_again_it_leaves_no_parts(tmp_path, text, kills):
    environment = {**os.environ, "ADASOFT_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "adasoft", *arguments(text, folder, "--epochs", "12", "--save-every", "0")]
    for _ in range(kills):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 100
        while not list(folder.glob("*.part")):  # within a write
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.0005)
        process.send_signal(signal.SIGKILL)
        process.wait()
    (folder / "checkpoint.safetensors.00000000-1-0.part").write_text("another machine's")
    os.utime(folder / "checkpoint.safetensors.00000000-1-0.part", (0, 0))
    path = folder / "checkpoint.safetensors"
    if path.exists():
        read_checkpoint(path)
        Run.resume(path, load_text(text)).save(path)
    else:
        Run(load_text(text), SMALL).save(path)
    assert not {p.name for p in folder.iterdir()} - {path.name, previous_of(path).name, "record.json"}


def load_text(folder):
    from adasoft.corpora import load

    return load(folder, progress=False)


def test_a_checkpoint_replaced_while_it_is_read_is_read_again(tmp_path, monkeypatch):
    path, about = tmp_path / "c", {"format": FORMAT, "version": 2}
    write_checkpoint(path, about, {"a": torch.zeros(3)})
    checksum, calls = files._checksum, []

    def replaced(at):
        calls.append(at)
        if len(calls) == 1:
            write_checkpoint(path, about, {"a": torch.ones(3)})
        return checksum(at)

    monkeypatch.setattr(files, "_checksum", replaced)
    assert torch.equal(files.read_checkpoint(path, FORMAT, 2)[1]["a"], torch.ones(3)) and len(calls) == 2


@pytest.mark.parametrize("others", [1, pytest.param(3, marks=pytest.mark.long)])
def test_several_processes_at_one_checkpoint(tmp_path, others):
    """This one and others write and read, none sees half of what another writes."""
    code = (
        "import sys, torch; from adasoft.lm.checkpoint import write_checkpoint as w, read_checkpoint as r\n"
        "for i in range(15):\n"
        "    w(sys.argv[1], {'format': 'x', 'version': 2}, {'a': torch.full((999,), float(i))})\n"
        "    a = r(sys.argv[1], 'x', 2)[1]['a']; assert (a == a[0]).all()\n"
    )
    path = tmp_path / "c"
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(path)], stderr=subprocess.PIPE, text=True)
        for _ in range(others)
    ]
    deadline, rounds = time.monotonic() + 120, 0
    while any(process.poll() is None for process in started):
        assert time.monotonic() < deadline
        if not path.exists():
            time.sleep(0.001)  # they have not begun
            continue
        write_checkpoint(path, {"format": "x", "version": 2}, {"a": torch.full((999,), -1.0)})
        a = files.read_checkpoint(path, "x", 2)[1]["a"]
        assert (a == a[0]).all()
        rounds += 1
    ended = [process.communicate(timeout=120)[1] for process in started]
    assert [process.returncode for process in started] == [0] * others, ended
    assert rounds > 3 and {p.name for p in tmp_path.iterdir()} == {"c", "c.previous"}


# ---------------------------------------------------------------------- damaged and hostile ones


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("settings", [], "settings should be an object, got"),
        ("settings", None, "settings should be an object"),
        ("settings.hidden", "8", "settings: hidden should be an integer"),
        ("settings.hidden", 10**400, "settings: hidden should be"),
        ("settings.cutoffs", [1.5], "settings: cutoffs should be"),
        ("settings.clip", None, "settings: clip should be"),
        ("settings.new", 1, "settings: settings hold 'new'"),
        ("corpus", 5, "corpus should be an object"),
        ("corpus.digest", 5, "corpus.digest should be a text"),
        ("clusters.cutoffs", 5, "clusters.cutoffs should be a list"),
        ("clusters.widths", [0], r"clusters.widths\[0\] should be a whole number of at least 1"),
        ("clusters.cost", None, "clusters.cost should be a text"),
        ("device", [], "device should be a text"),
        ("processes", True, "processes should be a whole number"),
        ("processes", 0, "processes should be a whole number of at least 1"),
        ("has state", "yes", "has state should be true or false"),
        ("has state", False, "does not fit the model: it holds 3 tensors of process 0, not 1"),
        ("position", [], "position should be an object"),
        ("position.epoch", 0, "position.epoch should be a whole number of at least 1"),
        ("position.window", 2, "it stands in epoch 1, window 2, and holds the losses of 3 windows"),
        ("position.window", -1, "position.window should be"),
        ("position.tokens", 1.5, "position.tokens should be"),
        ("position.seconds", math.inf, "position.seconds should be a finite number"),
        ("position.epochs", {}, "position.epochs should be a list"),
        ("position.epochs", [1], r"position.epochs\[0\] should be an object"),
        ("position.epochs", [{"epoch": 1}], r"position.epochs\[0\] should hold epoch, train, valid, seconds"),
        ("position.more", 1, "position should hold epoch, window"),
        ("parts", [], "parts should be an object"),
        ("parts.output", math.nan, "parts.output should be a finite number"),
        ("scaler", [], "scaler should be an object"),
        ("scaler", {"scale": "1"}, "scaler.scale should be a finite number"),
        ("scaler", {"scale": 1.0}, "the scaler of the loss is of another kind"),
        ("format", "else", "it is not an adasoft checkpoint"),
        ("version", 3, "version should be at most 2, got 3"),
        ("version", "2", "version should be a whole number"),
    ],
)
def test_each_field_is_refused_by_name(tmp_path, saved, field, value, says):
    about, tensors = read_checkpoint(saved)
    *above, last = field.split(".")
    inside = about
    for name in above:
        inside = inside[name]
    inside[last] = value
    path = tmp_path / "c.safetensors"
    write_checkpoint(path, about, tensors)
    with pytest.raises(DamagedFile, match=says) as caught:
        Run.resume(path, CORPUS)
    assert str(caught.value).startswith(f"{path} is damaged: ") and "; delete it to start again" in str(caught.value)


@pytest.mark.parametrize(
    "field",
    [
        "settings",
        "corpus",
        "clusters",
        "device",
        "processes",
        "has state",
        "position",
        "parts",
        "scaler",
        "version",
        "position.window",
        "corpus.name",
    ],
)
def test_each_missing_field_is_named(tmp_path, saved, field):
    about, tensors = read_checkpoint(saved)
    *above, last = field.split(".")
    del (about[above[0]] if above else about)[last]
    write_checkpoint(tmp_path / "c", about, tensors)
    with pytest.raises(DamagedFile, match=f"{field.partition('.')[0]}.*(is missing|should hold)"):
        Run.resume(tmp_path / "c", CORPUS)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"losses": None}, "losses should be a tensor of float64"),
        ({"losses": torch.zeros(2, dtype=torch.float64)}, "holds the losses of 2 windows"),
        ({"model.embedding.weight": None}, "lacks .*embedding.weight"),
        ({"model.embedding.weight": torch.zeros(2, 2)}, r"model.embedding.weight should be of shape .* got \(\(2, 2\)"),
        ({"model.else": torch.zeros(1)}, "has .*else.* too much"),
        ({"optimizer.0.exp_avg": torch.zeros(3)}, "optimizer.0.exp_avg should be of shape"),
        ({"optimizer.0.exp_avg": None}, "the optimizer's numbers"),
        ({f"optimizer.0.{name}": None for name in ("exp_avg", "exp_avg_sq", "step")}, "the optimizer's numbers"),
        ({"process.0.2": None}, "process"),
        ({"process.0.0": None, "process.0.1": None, "process.0.2": None}, "process"),
        ({"process.0.2": torch.zeros(5, dtype=torch.uint8)}, "process.0 should be of shape"),
    ],
)
def test_tensors_that_do_not_fit_are_named(tmp_path, saved, change, says):
    about, tensors = read_checkpoint(saved)
    tensors = {name: value for name, value in {**tensors, **change}.items() if value is not None}
    write_checkpoint(tmp_path / "c", about, tensors)
    with pytest.raises(DamagedFile, match=says):
        Run.resume(tmp_path / "c", CORPUS)


def test_what_is_no_checkpoint_at_all(tmp_path):
    path = tmp_path / "c"
    deep = json.dumps({"about": "[" * 100_000})
    head = json.dumps({"__metadata__": json.loads(deep)}).encode()
    for data in (
        b"",
        b"[]",
        b"null",
        bytes(5000),
        b"\xff" * 5000,
        b"{" * 100_000,
        len(head).to_bytes(8, "little") + head,
    ):
        path.write_bytes(data)
        with pytest.raises(DamagedFile, match="c is damaged: it is not a checkpoint of adasoft, or torn"):
            read_checkpoint(path)
    save_file({"a": torch.zeros(2)}, path)  # somebody else's
    with pytest.raises(DamagedFile, match="it is not an adasoft checkpoint"):
        read_checkpoint(path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(DamagedFile, match="should be a file"):
        read_checkpoint(tmp_path / "folder")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")  # would wait for ever
        with pytest.raises(DamagedFile, match="should be a file"):
            read_checkpoint(tmp_path / "pipe")


# ---------------------------------------------------------------------- numbers that are restored


def test_the_state_of_the_optimizer_is_that_of_its_weight(tmp_path):
    run = trained(tmp_path / "c")
    again = Run.resume(tmp_path / "c", CORPUS)
    for a, b in zip(run.model.parameters(), again.model.parameters(), strict=True):
        for name, value in run.optimizer.state[a].items():
            assert torch.equal(torch.as_tensor(again.optimizer.state[b][name]), torch.as_tensor(value)), name
    assert again.position == run.position and again.phases == run.phases and again.losses == run.losses
    assert torch.equal(again.generators.states[0], run.generators.states[0])


def test_the_scale_of_the_loss_comes_back(tmp_path):
    """float16: its scale, and how many steps ago it last changed."""
    settings = replace(TINY, dtype="float16")
    run = Run(CORPUS, settings)
    run.scaler.load_state_dict({**run.scaler.state_dict(), "scale": 64.0})
    steps = run.steps()
    for _ in range(3):
        next(steps)
    run.save(tmp_path / "c")
    again = Run.resume(tmp_path / "c", CORPUS)
    expected = run.scaler.state_dict()
    assert expected["scale"] == 64.0 and expected["_growth_tracker"] == 3
    assert again.scaler.state_dict() == expected
    # it grows within the next steps: only with both at the same one
    run.scaler.set_growth_interval(5)
    again.scaler.set_growth_interval(5)
    assert (
        curve(again) == curve(run)
        and run.scaler.get_scale() > 64
        and again.scaler.get_scale() == run.scaler.get_scale()
    )


@pytest.mark.parametrize("clip", [0.0, 0.05])
def test_float16_trains_as_float32_does(clip):
    """The gradients are unscaled before they are clipped and used, or the steps would be 65,536 times off."""
    settings = replace(TINY, optimizer="sgd", learning_rate=0.5, clip=clip, weight_decay=0.0)
    runs = [Run(CORPUS, replace(settings, dtype=dtype)) for dtype in ("float32", "float16")]
    starts = [torch.cat([p.detach().flatten() for p in run.model.parameters()]) for run in runs]
    for run in runs:
        steps = run.steps()
        for _ in range(10):
            next(steps)
    moves = [
        torch.cat([p.detach().flatten() for p in r.model.parameters()]) - s for r, s in zip(runs, starts, strict=True)
    ]
    assert moves[0].norm() > (0.2 if clip else 0.5)
    torch.testing.assert_close(moves[1], moves[0], rtol=0, atol=0.02 * float(moves[0].abs().max()))
    if clip:
        assert moves[0].norm() <= 10 * 0.5 * clip * 1.001
    np.testing.assert_allclose(runs[1].losses, runs[0].losses, rtol=5e-3)


def test_a_step_with_gradients_that_are_not_finite_is_left_out():
    run = Run(CORPUS, replace(TINY, dtype="float16"))
    run.scaler.load_state_dict({**run.scaler.state_dict(), "scale": 1e30})
    before = [p.detach().clone() for p in run.model.parameters()]
    next(run.steps())
    assert run.scaler.get_scale() == 0.5e30 or run.scaler.get_scale() == pytest.approx(0.5e30, rel=1e-6)
    assert all(torch.equal(a, b) for a, b in zip(before, run.model.parameters(), strict=True))


# ---------------------------------------------------------------------- records


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    folder = tmp_path_factory.mktemp("record")
    train(CORPUS, TINY, folder, progress=False, command="python -m adasoft train", row="adaptive")
    return folder


@pytest.mark.parametrize(
    "damaged", ["", "[]", "null", "\0" * 400, "{", "[" * 100_000, "{}", '{"epochs": [1]}', "\ufeff{}"]
)
def test_a_damaged_record_is_said_and_written_anew(tmp_path, record, damaged):
    """As a power failure leaves it: empty."""
    folder = shutil.copytree(record, tmp_path / "run")
    expected = json.loads((folder / "record.json").read_text())
    (folder / "record.json").write_text(damaged, encoding="utf-8")
    said = []
    with pytest.warns(UserWarning, match=r"record\.json is damaged: .*written again from the checkpoint"):
        found = train(CORPUS, TINY, folder, progress=False, say=said.append)
    assert found["test perplexity"] == expected["test perplexity"] and said == [f"kept in {folder}"]
    assert json.loads((folder / "record.json").read_text())["curve"] == expected["curve"]
    assert train(CORPUS, TINY, folder, progress=False, say=said.append) == json.loads(
        (folder / "record.json").read_text()
    )
    assert said[1:] == [f"done before, kept in {folder}"]


HARM = [None, [], {}, "x", True, -1, 0, 1e300, math.inf, 10**400, [[]], [None], [1e300], "\x1b[2J"]


@pytest.mark.parametrize(
    "field",
    [
        "train",
        "date",
        "torch",
        "threads",
        "corpus",
        "corpus.name",
        "corpus.digest",
        "corpus.V",
        "corpus.test",
        "corpus.words",
        "device",
        "device.type",
        "device.name",
        "settings",
        "settings.hidden",
        "settings.softmax",
        "cutoffs",
        "widths",
        "head share",
        "cluster shares",
        "parameters",
        "output parameters",
        "epochs",
        "done",
        "words per second",
        "shares",
        "shares.output",
        "test by rank.nats",
        "test by rank.tokens",
        "command",
        "row",
    ],
)
def test_each_field_of_a_record_is_refused_by_name(tmp_path, record, field, capsys):
    """Whatever stands there: refused with file and field, or taken and printed; never a traceback."""
    from adasoft.cli import main

    whole = json.loads((record / "record.json").read_text())
    path = tmp_path / "train-x.json"
    refused = 0
    for value in HARM:
        harmed = copy.deepcopy(whole)
        *above, last = field.split(".")
        inside = harmed
        for name in above:
            inside = inside[name]
        inside[last] = value
        path.write_text(json.dumps(harmed))
        views = [[], ["--by-rank"], ["--markdown"], ["--commands"]]
        try:
            read_run_record(path)
        except DamagedFile as error:
            refused += 1
            assert f"{path} is damaged: " in str(error) and "delete it" in str(error)
            assert last in str(error) or "number" in str(error)
            views = [[]] if refused == 1 else []  # all views read by the same function
        for more in views:
            status = main(["table", str(tmp_path), *more])
            said = capsys.readouterr()
            if status:
                assert status == 2 and len(said.err.strip().splitlines()) == 1
                assert any(t in said.err for t in (f"{path} is damaged: ", "no finished runs", "no runs that tell"))
    assert refused >= 5
    del inside[last]
    path.write_text(json.dumps(harmed))
    if field not in ("corpus.words", "cluster shares", "command", "row", "settings.hidden", "settings.softmax"):
        with pytest.raises(DamagedFile, match=f"train-x.json is damaged: {field} is missing"):
            read_run_record(path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ([], "should hold an object"),
        ({"rows": 1}, "rows should be a list"),
        ({"rows": [1]}, "rows.0 should be an object"),
        ({"rows": [{"settings": {}, "words/s": 0.0, "output share": 0.5}]}, "words/s should be a finite number"),
        ({"rows": [{"settings": {"hidden": []}}]}, "settings: hidden should be an integer"),
        ({"device": {"type": "cpu"}}, "device.name is missing"),
        ({"threads": "2"}, "threads should be a whole number"),
        ({"date": None}, "date should be a text"),
    ],
)
def test_damaged_rates_are_refused_by_name(tmp_path, change, says):
    whole = {
        "date": "2026",
        "threads": 1,
        "corpus": {"digest": "x"},
        "device": {"type": "cpu", "name": "x"},
        "rows": [],
    }
    path = tmp_path / "bench-train-x.json"
    path.write_text(json.dumps(whole))
    assert read_rates(path) == whole
    path.write_text(json.dumps({**whole, **change} if isinstance(change, dict) else change))
    with pytest.raises(DamagedFile, match=says) as caught:
        read_rates(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("python -m adasoft train --corpus text --cutoffs 10,20", None),
        ("python -m adasoft train --corpus 'my text; x'", None),
        ("torchrun --nproc_per_node=2 -m adasoft train", None),
        ("python -m adasoft train --corpus a; rm -rf b", "python -m adasoft train --corpus 'a;' rm -rf b"),
        ("python -m adasoft train --corpus $(x) `y` | z", "python -m adasoft train --corpus '$(x)' '`y`' '|' z"),
        ("python -m adasoft train\nrm -rf b", "python -m adasoft train rm -rf b"),
        ("rm -rf b", ""),
        ("python -c 'x' -m adasoft", ""),
        ("python -m other", ""),
        ("python -m adasoft '", ""),
        ("", ""),
        ("torchrun --no-python rm -m adasoft", ""),
        ("python evil.py -m adasoft", ""),
    ],
)
def test_recorded_commands_can_be_pasted(command, shown):
    assert repeatable(command) == (command if shown is None else shown)


# ---------------------------------------------------------------------- before the work begins


@pytest.mark.parametrize("device", ["cuda", "cuda:7", "mps", "xpu", "meta", "gpu", "", "cpu:x", "cuda:-1"])
def test_a_device_that_is_not_there_is_said_at_once(device):
    if device.startswith("cuda") and torch.cuda.is_available():
        pytest.skip("it is there")
    if device == "mps" and torch.backends.mps.is_available():
        pytest.skip("it is there")
    for call in (usable_device, lambda d: Run(CORPUS, TINY, device=d)):
        with pytest.raises(ValueError, match=r"device should be one that PyTorch .* has on this machine") as caught:
            call(device)
        assert repr(device) in str(caught.value) and "\n" not in str(caught.value)
    assert usable_device("cpu").type == "cpu"


def test_a_folder_that_cannot_be_written_is_said_before_the_training(tmp_path, record):
    blocked = tmp_path / "file"
    blocked.write_text("here")
    said = []
    for folder in (blocked, blocked / "below"):
        with pytest.raises(OSError, match="file"):
            train(
                CORPUS,
                TINY,
                folder,
                progress=False,
                say=said.append,
                body=lambda a, b: pytest.fail("it trains") if said else Tell(a, b),
            )
    assert said == [] and blocked.read_text() == "here"
    for wrong in (-1.0, math.nan):
        with pytest.raises(ValueError, match="save_every should be at least 0"):
            train(CORPUS, TINY, tmp_path / "x", save_every=wrong)
    assert not (tmp_path / "x").exists()


class Tell(torch.nn.Linear):
    """A body that must not be asked."""

    def forward(self, x, state=None):
        raise AssertionError("it trains")


def test_a_fresh_run_that_is_refused_leaves_the_old_one(tmp_path, record):
    folder = shutil.copytree(record, tmp_path / "run")
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    with pytest.raises(ValueError, match="device should be"):
        train(CORPUS, TINY, folder, device="meta", fresh=True)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    # nothing of the old one is left beside a new one that has just begun
    with pytest.raises(KeyboardInterrupt):
        train(CORPUS, replace(TINY, seed=3), folder, fresh=True, progress=False, say=interrupt)
    assert list(folder.iterdir()) == []
    again = train(CORPUS, replace(TINY, seed=3), folder, fresh=True, progress=False)
    assert again["settings"]["seed"] == 3 and again["done"]
    assert sum(again["shares"][phase] for phase in PHASES) == pytest.approx(1)


# ---------------------------------------------------------------------- from the command line


def told(capsys, *arguments):
    from adasoft.cli import main

    try:
        status = main([str(a) for a in arguments])
    except SystemExit as refused:  # by the parser of the arguments
        status = refused.code
    said = capsys.readouterr()
    return status, said.out, said.err


@pytest.fixture
def no_corpus(monkeypatch, tmp_path):
    """Whatever is refused must be so before the corpus is read."""
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("adasoft.corpora.load", lambda *_, **__: pytest.fail("the corpus is read"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train", "--sample", "-5"], "--sample should be a whole number of at least 0, got '-5'"),
        (["train", "--seed", "99999999999999999999"], "--seed should be a whole number, below 2^63"),
        (["train", "--seed", "-1"], "seed should be at least 0"),
        (["train", "--device", "cuda:99"], "--device should be a device that is there, got cuda:99"),
        (["train", "--device", "meta"], "--device should be cpu, cuda or the like, got 'meta'"),
        (["train", "--device", "nonsense"], "--device should be cpu, cuda or the like, got 'nonsense'"),
        (["train", "--hidden", "9" * 30], "--hidden should be a whole number, below 2^63"),
        (["train", "--layers", "9" * 30], "--layers should be a whole number, below 2^63"),
        (["train", "--dropout", "2"], "dropout should be at least 0 and below 1"),
        (["train", "--clip", "nan"], "clip should be at least 0"),
        (["train", "--json", "BLOCKED/record.json"], "file"),
        (["train", "--json", "FOLDER"], "Is a directory: "),
        (["table", "BLOCKED/results", "--run", "docs"], "file"),
        (["table", "--run", "docs", "--rows", "full,fool"], "rows should be some of"),
        (["table", "--run", "docs", "--seeds", "0"], "--seeds should be a whole number of at least 1, got '0'"),
        (["table", "--run", "docs", "--seed", str(2**63 - 1)], "seed should be at most"),
        (["table", "--run", "docs", "--device", "cuda:99"], "--device should be a device that is there, got cuda:99"),
    ],
)
def test_what_can_be_refused_is_refused_before_the_work(no_corpus, tmp_path, capsys, arguments, says):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    places = {"BLOCKED": str(tmp_path / "file"), "FOLDER": str(tmp_path / "folder")}
    for name, place in places.items():
        arguments = [a.replace(name, place) for a in arguments]
    status, out, err = told(capsys, *arguments)
    assert status == 2 and says in err and len(err.strip().splitlines()) == 1 and not out


@pytest.mark.parametrize("more", [("--save-every", "nan"), ("--save-every", "-1"), ("--folder", "FILE")])
def test_a_run_is_announced_only_when_nothing_stands_against_it(tmp_path, text, capsys, monkeypatch, more):
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "file").write_text("")
    more = [str(tmp_path / "file") if m == "FILE" else m for m in more]
    status, out, err = told(capsys, *arguments(text, tmp_path / "run", "--epochs", "1"), *more)
    assert status == 2 and "kept in" not in out
    assert ("--save-every should be" if "--save-every" in more else "file") in err.splitlines()[-1]


def test_another_configuration_is_refused_before_it_is_announced(tmp_path, text, capsys, monkeypatch):
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path / "cache"))
    command = arguments(text, tmp_path / "run", "--epochs", "1")
    assert told(capsys, *command)[0] == 0
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    status, out, err = told(capsys, *command, "--clip", "2")
    assert status == 2 and "another configuration: clip=1.0 there, 2.0 here" in err and "kept in" not in out
    # --fresh drops the old run only when the new one can begin
    assert told(capsys, *command, "--fresh", "--bptt", "100000")[0] == 2
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()} == before
    status, out, _ = told(capsys, *command, "--sample", "3")
    assert status == 0 and "done before, kept in" in out and len(out.strip().splitlines()[-1].split()) == 3


def test_the_recorded_command_is_quoted_and_repeats_the_run(tmp_path, text, capsys, monkeypatch):
    import shlex

    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path / "cache"))
    odd = text.rename(tmp_path / "my text; touch pwned $(x) 'é'")
    folder = tmp_path / "a run"
    assert told(capsys, *arguments(odd, folder, "--epochs", "1"))[0] == 0
    command = json.loads((folder / "record.json").read_text())["command"]
    words = shlex.split(command)
    assert words[:4] == ["python", "-m", "adasoft", "train"]
    assert words[words.index("--corpus") + 1] == str(odd) and words[words.index("--folder") + 1] == str(folder)
    status, out, _ = told(capsys, *words[3:])
    assert status == 0 and "done before, kept in" in out
    assert repeatable(command) == command
    # what a table prints of a stored record can be pasted
    shutil.copy(folder / "record.json", tmp_path / "train-x.json")
    assert command in told(capsys, "table", tmp_path, "--commands")[1]


def test_names_in_records_do_not_reach_the_terminal_as_orders(tmp_path, record, capsys):
    whole = json.loads((record / "record.json").read_text())
    evil = "x\x1b]0;pwned\x07\r\x9b2J\u202e\u2028"
    whole["corpus"]["name"] = whole["device"]["name"] = whole["row"] = evil
    whole["command"] = f"python -m adasoft train --corpus '{evil}'; rm -rf x"
    whole["settings"]["model"] = f"{evil}.py:X"
    (tmp_path / "train-x.json").write_text(json.dumps(whole))
    for more in ([], ["--commands"], ["--markdown"]):
        status, out, _ = told(capsys, "table", tmp_path, *more)
        assert status == 0 and r"x\x1b]0;pwned\x07" in out
        assert not {c for c in out if not c.isprintable()} - {"\n", "\u00a0"}
    assert "'; rm" not in told(capsys, "table", tmp_path, "--commands")[1]


MINUS, BACKSLASH = "\u2212", "\\"


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "cp437", "utf-8"])
def test_tables_on_terminals_of_few_signs(tmp_path, record, encoding, monkeypatch):
    from adasoft.cli import main

    whole = json.loads((record / "record.json").read_text())
    rows = [("full", 20.0, {"softmax": "full"}), ("planned-0.75", 19.0, {"cutoffs": "plan"})]
    for row, perplexity, own in rows:
        made = {**whole, "row": row, "test perplexity": perplexity, "settings": {**whole["settings"], **own}}
        made["corpus"] = {**whole["corpus"], "name": "Käse"}
        (tmp_path / f"train-{row}.json").write_text(json.dumps(made))

    def shown(sign, else_):
        try:
            return sign.encode(encoding).decode(encoding)
        except UnicodeEncodeError:
            return else_

    for more in (["--markdown"], ["--by-rank"], []):
        terminal = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", terminal)
            assert main(["table", str(tmp_path), *more]) == 0
        terminal.flush()
        out = terminal.buffer.getvalue().decode(encoding)
        if "--markdown" in more:
            minus, least = (MINUS, "\u2265") if encoding == "utf-8" else ("-", ">=")
            assert f"({minus}5.0 %)" in out.replace("\u00a0", " ") and least in out
        assert f"K{shown('ä', BACKSLASH + 'xe4')}se" in out


def test_no_line_of_a_table_is_longer_than_a_terminal(capsys):
    for more in ([], ["--by-rank"]):
        status, out, _ = told(capsys, "table", *more)
        assert status == 0 and max(map(len, out.splitlines())) <= 100
    assert "paper, Text8" in told(capsys, "table")[1]


# ---------------------------------------------------------------------- an installed package


def installed(tmp_path):
    """The package as pip leaves it: without the checkout around it."""
    root = tmp_path / "site-packages"
    shutil.copytree(Path(adasoft.__file__).parent, root / "adasoft", ignore=shutil.ignore_patterns("__pycache__"))
    return root


def test_an_installed_package_writes_its_results_into_the_cache(tmp_path, text):
    root = installed(tmp_path)
    before = sorted(p for p in root.rglob("*") if "__pycache__" not in p.parts)
    code = """
import json, pathlib, shutil, sys
from adasoft.__main__ import main
from adasoft.lessons.live_timing.recorded import recorded_layers
from adasoft.results.folders import results_folder

cache, command = pathlib.Path(sys.argv[1]), sys.argv[2:]
status = main(command)
stored = [p.name for p in (cache / "results").iterdir()]
print(json.dumps([main.__code__.co_filename, status, stored, str(results_folder()), recorded_layers()]))
shutil.rmtree(cache)
cache.write_text("no folder")
print(main(command))  # what cannot be written is said before the training
"""
    sizes = ["--hidden", "8", "--batch", "8", "--bptt", "10", "--epochs", "1", "--device", "cpu", "--seeds", "1"]
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "cache"), "table", "--run", str(text), "--rows", "full", *sizes],
        env={
            **os.environ,
            "PYTHONPATH": str(root),
            "ADASOFT_CACHE": str(tmp_path / "cache"),
            "OMP_NUM_THREADS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    *_, told, status = done.stdout.strip().splitlines()
    place, trained, (stored,), results, layers = json.loads(told)
    assert place == f"{root}/adasoft/cli/__init__.py" and trained == 0 and stored.startswith("train-text")
    assert results == str(tmp_path / "cache" / "results") and layers == []
    assert sorted(root.rglob("*")) == before
    assert status == "2" and f"{tmp_path}/cache" in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr


def interrupt(_):
    raise KeyboardInterrupt
