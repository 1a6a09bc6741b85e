"""`bench gpu`: all that waits for a GPU, in the order of its worth, as far as the time goes.

Each task is a command of its own and ends with its record written, so that ten minutes on a borrowed GPU leave the
most behind; the next call goes on where this one stopped.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..files import cache_dir, read_json, write_whole
from ..records import file_name, read_record, write_record
from ..text import Row, Say, table
from .common import provenance

_CHECKOUT = Path(__file__).resolve().parents[2]
#: Module -> what pip calls it: without one of them, tasks have less to compare with.
PACKAGES = {
    "cut_cross_entropy": "cut-cross-entropy",
    "liger_kernel": "liger-kernel",
    "pytest": "pytest",
    "quack": "quack-kernels",
    "wordfreq": "wordfreq",
}
#: Seconds that a task gets to write what it has, after it was told to stop.
_GRACE = 20.0
#: With fewer seconds left no task begins.
_LEAST = 15.0


class Task(NamedTuple):
    """One command: what it is for, its arguments after Python's name, and the file in the folder that it writes."""

    name: str
    arguments: tuple[str, ...]
    record: str = ""
    """Empty: its log is all that it leaves."""
    limit: float = 600.0
    """Seconds that it may take at most."""


def tasks(folder: Path, *, device: str = "cuda", corpus: str = "europarl-en", tiny: bool = False) -> list[Task]:
    """What is to be done, the most valuable first.

    ``tiny``: the same commands at sizes of a moment, which show that all of it works.
    """
    tests, kind = _CHECKOUT / "tests", device.partition(":")[0]
    dtype = "float32" if tiny else "bfloat16"
    small = " --tiny" if tiny else ""
    words = " --tokens 3000" if tiny else ""
    hidden = " --hidden 16" if tiny else " --hidden 512"
    passes = " --epochs 1" if tiny else " --epochs 5"
    seeds = " --batch 4 --seeds 1" if tiny else " --seeds 3"
    seconds = " --seconds 3" if tiny else ""
    only_gpu = " --seconds 240" if kind == "cuda" else ""

    def adasoft(name: str, options: str, *more: str, record: str = "", limit: float = 600.0) -> Task:
        command, *rest = options.split()
        to = "--output" if command == "calibrate" else "--json"
        written = (to, str(folder / record)) if record else ()
        return Task(name, ("-m", "adasoft", command, *more, *rest, "--device", device, *written), record, limit)

    def calibrate(dtype: str, how: str = "") -> Task:
        name = f"{dtype}{how.replace(' --', '-')}"
        options = f"calibrate --dtype {dtype}{how}{seconds}"
        return adasoft(f"calibrate {name}", options, record=f"machine-{name}.json", limit=150)

    def bench(name: str, options: str = "", *more: str) -> Task:
        return adasoft(f"bench {name}", f"bench {options}", name, *more, record=f"bench-{name}-{kind}.json")

    def train(row: str) -> Task:
        options = f"table --rows {row} --dtype {dtype}{hidden}{passes}{words}{seeds}"
        return adasoft(f"train {row}", options, str(folder), "--run", corpus, limit=3600)

    pytest = ("-m", "pytest", str(tests / "test_gpu.py"), "-n", "0", "-q", "-p", "no:cacheprovider")
    return [
        Task("kernels", (str(tests / "gpu_agreement.py"), *small.split()), limit=240),
        Task("tests", pytest, limit=300),
        *([] if tiny else [calibrate("bfloat16")]),
        *([calibrate("bfloat16", " --captured")] if kind == "cuda" and not tiny else []),
        bench("layer", f"--dtype {dtype} --no-shapes{only_gpu}{small}"),
        bench("cost", f"--dtype {dtype}{small}"),
        calibrate("float32"),
        *([calibrate("float32", " --captured")] if kind == "cuda" and not tiny else []),
        *map(train, ("full", "adaptive", "planned-wide-0.85", "planned-0.75")),
        bench("train", f"--rows full,adaptive --dtype {dtype}{hidden}{words}", "--text", corpus),
        bench("decode", f"--experts {2 if tiny else 8} --no-large{hidden}{passes}{words}", "--run", corpus),
    ]


def bench_gpu(
    folder: str | os.PathLike[str],
    *,
    minutes: float = 10.0,
    device: str = "cuda",
    corpus: str = "europarl-en",
    go_on: bool = False,
    tiny: bool = False,
    only: Sequence[Task] | None = None,
    say: Say = print,
) -> Row:
    """Run the tasks until the minutes are over, each with its log in ``folder``; returns and writes ``gpu.json`` there.

    Args:
        folder: for records and logs; made if it is not there.
        minutes: after which no task begins; one that is under way is told to stop, and writes what it has.
        device, corpus, tiny: see `tasks`.
        go_on: leave out what an earlier call in this folder has done.
        only: other tasks.

    Raises ValueError for a folder with the records of an earlier call, unless it goes on from them.
    """
    folder = Path(folder)
    path = folder / "gpu.json"
    if path.exists() and not go_on:
        raise ValueError(f"folder should be without an earlier call's gpu.json, got {folder}: --continue goes on")
    folder.mkdir(parents=True, exist_ok=True)
    before = read_json(path, remedy="delete it, and all tasks run again")["tasks"] if path.exists() else {}
    lacking = {name: pip for name, pip in PACKAGES.items() if importlib.util.find_spec(name) is None}
    if lacking:
        say(f"not installed: {', '.join(lacking)} (pip install {' '.join(lacking.values())})")
    out: Row = {"bench": "gpu", **provenance(device), "lacking": sorted(lacking), "tasks": before}
    todo = tasks(folder, device=device, corpus=corpus, tiny=tiny) if only is None else only
    until = time.monotonic() + 60 * minutes
    for task in todo:
        if before.get(task.name, {}).get("status") == "done":
            continue
        left = until - time.monotonic()
        if left <= 0 or left < min(_LEAST, 30 * minutes):
            break
        say(f"{task.name} ...")
        began = time.monotonic()
        status = _run(task, folder, min(task.limit, left))
        out["tasks"][task.name] = {
            "status": status,
            "seconds": round(time.monotonic() - began, 1),
            "command": _command(task),
            "record": task.record if task.record and (folder / task.record).is_file() else None,
        }
        write_whole(path, json.dumps(out, indent=1) + "\n")
        if task.name.startswith("calibrate") and status == "done":
            _take_into_use(folder / task.record)
    write_whole(path, json.dumps(out, indent=1) + "\n")
    rows = [{"task": task.name, **out["tasks"].get(task.name, {"status": "not begun"})} for task in todo]
    say(table(rows, ["task", "status", "seconds", "record"]))
    missing = [task for task in todo if out["tasks"].get(task.name, {}).get("status") != "done"]
    for task in missing:
        say(f"still missing: {task.name}: {_command(task)}")
    return out


def _command(task: Task) -> str:
    return shlex.join(["python", *task.arguments])


def _run(task: Task, folder: Path, seconds: float) -> str:
    """``done``, ``failed (exit N)`` or ``cut short``; what it says goes into a log, which is named after the task."""
    script = Path(task.arguments[0])
    if script.suffix == ".py" and not script.is_file():
        return "failed (needs a checkout of the project)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_CHECKOUT), os.environ.get("PYTHONPATH", "")])}
    with (folder / f"{task.name.replace(' ', '-')}.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, *task.arguments], stdout=log, stderr=subprocess.STDOUT, env=environment
        )
        try:
            code = process.wait(seconds)
        except BaseException as stopped:  # the reader's Ctrl-C too: no process is left behind
            process.send_signal(signal.SIGINT)
            try:
                process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if not isinstance(stopped, subprocess.TimeoutExpired):
                raise
            return "cut short"
    return "done" if code == 0 else f"failed (exit {code})"


def _take_into_use(path: Path) -> None:
    """Let the tasks that follow plan with this machine's timings, as those of `calibrate` without ``--output``."""
    record = read_record(path).record or {}
    folder = cache_dir() / "machines"
    folder.mkdir(parents=True, exist_ok=True)
    write_record(record, folder / file_name(record))
