"""`bench gpu`: its commands exist, its tasks leave records and logs, and a second call goes on."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from adasoft import bench, cli
from adasoft.bench import gpu

QUIET = {"device": "cpu", "say": lambda text: None}


def python(name, code, record="", limit=60.0):
    return gpu.Task(name, ("-c", code), record, limit)


def write(path, text="{}"):
    return f"import pathlib; pathlib.Path({str(path)!r}).write_text({text!r})"


def statuses(folder):
    return {name: task["status"] for name, task in json.loads((folder / "gpu.json").read_text())["tasks"].items()}


@pytest.mark.parametrize("tiny", [False, True])
def test_the_command_line_knows_every_command(tiny):
    listed = gpu.tasks(Path("a folder"), device="cuda:0", corpus="a corpus", tiny=tiny)
    names = [task.name for task in listed]
    assert names[:2] == ["kernels", "tests"] and len(set(names)) == len(names)
    assert ("calibrate bfloat16" in names) != tiny
    for task in listed:
        if task.arguments[:2] == ("-m", "adasoft"):
            options = cli.parser().parse_args(task.arguments[2:])
            assert options.device == "cuda:0" and getattr(options, "corpus", "a corpus") == "a corpus"
            assert (task.record in " ".join(task.arguments)) and (task.record or "table" in task.arguments)


def test_tasks_leave_records_logs_and_what_is_missing(tmp_path):
    said = []
    listed = [
        python("first", write(tmp_path / "first.json") + "; print('hello')", "first.json"),
        python("wrong", "raise SystemExit(3)"),
        python("long", "import time; time.sleep(60)", limit=1.0),
    ]
    began = time.monotonic()
    out = bench.bench_gpu(tmp_path, only=listed, **QUIET | {"say": said.append})
    assert time.monotonic() - began < 30
    assert statuses(tmp_path) == {"first": "done", "wrong": "failed (exit 3)", "long": "cut short"}
    assert out["tasks"]["first"]["record"] == "first.json" and out["tasks"]["wrong"]["record"] is None
    assert out["device"] and out["date"] and out["tasks"]["wrong"]["command"].startswith("python -c ")
    assert (tmp_path / "first.log").read_text() == "hello\n"
    missing = [text.partition(": python -c ")[0] for text in said if text.startswith("still missing: ")]
    assert missing == ["still missing: wrong", "still missing: long"]


def test_a_second_call_goes_on(tmp_path):
    count = tmp_path / "count"
    once = python("once", f"open({str(count)!r}, 'a').write('x')")
    bench.bench_gpu(tmp_path, only=[once], **QUIET)
    with pytest.raises(ValueError, match=r"folder should be without an earlier call's gpu\.json, got .*--continue"):
        bench.bench_gpu(tmp_path, only=[once], **QUIET)
    bench.bench_gpu(tmp_path, only=[once, python("next", "")], go_on=True, **QUIET)
    assert count.read_text() == "x" and statuses(tmp_path) == {"once": "done", "next": "done"}


def test_without_time_nothing_begins(tmp_path):
    bench.bench_gpu(tmp_path / "new", only=[python("a", "")], minutes=0.0001, **QUIET)
    assert json.loads((tmp_path / "new" / "gpu.json").read_text())["tasks"].keys() <= {"a"}
    bench.bench_gpu(tmp_path / "none", only=[python("a", "")], minutes=0.0, **QUIET)
    assert statuses(tmp_path / "none") == {}


def test_without_a_checkout_its_tests_are_named_as_missing(tmp_path):
    task = gpu.Task("kernels", (str(tmp_path / "gone.py"),))
    bench.bench_gpu(tmp_path, only=[task], **QUIET)
    assert statuses(tmp_path) == {"kernels": "failed (needs a checkout of the project)"}


def test_a_dry_run_on_the_cpu(tmp_path, monkeypatch):
    """The real commands at sizes of a moment; `--long` aside, those that take seconds."""
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path / "cache"))
    short = [t for t in gpu.tasks(tmp_path, device="cpu", tiny=True) if t.name in ("bench layer", "bench cost")]
    bench.bench_gpu(tmp_path, only=short, **QUIET)
    logs = {task.name: (tmp_path / f"{task.name.replace(' ', '-')}.log").read_text() for task in short}
    assert statuses(tmp_path) == {"bench layer": "done", "bench cost": "done"}, logs
    for task in short:
        assert json.loads((tmp_path / task.record).read_text())["rows"]
