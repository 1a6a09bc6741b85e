"""What must stay so: nothing stored is executed, and the lab listens to this machine only, to who holds its token."""

import ast
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "adasoft"
FILES = sorted(PACKAGE.rglob("*.py"))

#: The reader's own cell, which they wrote into the notebook themselves.
ALLOWED = {("lessons/language_model/own_cell.py", "exec")}

PICKLERS = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}


def called(node):
    """The dotted name of what a call calls."""
    parts, value = [], node.func
    while isinstance(value, ast.Attribute):
        parts.append(value.attr)
        value = value.value
    return ".".join([*([value.id] if isinstance(value, ast.Name) else [""]), *reversed(parts)])


def given(node, name):
    found = [k.value.value for k in node.keywords if k.arg == name and isinstance(k.value, ast.Constant)]
    return found[0] if found else None


def faults(tree):
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = {alias.name for alias in node.names} | {str(getattr(node, "module", ""))}
            yield from {name.split(".")[0] for name in names} & PICKLERS
        if not isinstance(node, ast.Call):
            continue
        name = called(node)
        if name in ("eval", "exec", "os.system", "os.popen", "builtins.eval", "builtins.exec"):
            yield name
        if given(node, "shell") is True or given(node, "allow_pickle") is True:
            yield f"{name} with shell or pickles"
        if name == "torch.load" and given(node, "weights_only") is not True:
            yield name


@pytest.mark.parametrize("path", FILES, ids=[p.relative_to(PACKAGE).as_posix() for p in FILES])
def test_nothing_stored_is_executed(path):
    place = path.relative_to(PACKAGE).as_posix()
    found = {(place, name) for name in faults(ast.parse(path.read_text(encoding="utf-8")))}
    assert found <= ALLOWED


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "eval(text)",
        "exec(text)",
        "os.system(text)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "numpy.load(path, allow_pickle=True)",
        "subprocess.run(text, shell=True)",
    ],
)
def test_the_search_finds_what_it_looks_for(code):
    assert list(faults(ast.parse(code)))
    assert not list(faults(ast.parse("torch.load(path, weights_only=True); model.eval(); numpy.load(path)")))


def listening(pid):
    """(address, port) of the sockets that a process listens at, in hexadecimal as the kernel writes them."""
    own = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            own.add(os.readlink(entry))
        except OSError:
            continue
    out = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in own:
                address, port = fields[1].split(":")
                out.append((address, int(port, 16)))
    return out


@pytest.mark.skipif(not Path("/proc/self/net/tcp").exists(), reason="reads the sockets of a process from /proc")
def test_the_lab_listens_to_this_machine_and_asks_for_its_token(tmp_path):
    pytest.importorskip("jupyterlab")
    environment = {**os.environ, "ADASOFT_CACHE": str(tmp_path / "cache"), "JUPYTER_RUNTIME_DIR": str(tmp_path / "run")}
    environment["PYTHONPATH"] = os.pathsep.join([str(PACKAGE.parent), environment.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "adasoft", "lab", "--no-browser", "--port=0", "--allow-root"]
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env=environment, stdout=out, stderr=subprocess.STDOUT, cwd=tmp_path, start_new_session=True
        )
    try:
        found, deadline = None, time.monotonic() + 90
        while found is None and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.2)
            found = re.search(r"http://127\.0\.0\.1:(\d+)/\S*\?token=(\w{32,})\s", log.read_text(errors="replace"))
        assert found, log.read_text(errors="replace")
        port, token = int(found[1]), found[2]
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        sockets = [one for pid in (process.pid, *children) for one in listening(pid)]
        assert port in {p for _, p in sockets}
        assert {address for address, _ in sockets} <= {"0100007F", "00000000000000000000000001000000"}
        address = f"http://127.0.0.1:{port}/api/contents"
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(address, timeout=30)
        assert refused.value.code == 403
        refused.value.close()
        with urllib.request.urlopen(f"{address}?token={token}", timeout=30) as answer:
            assert b"00_start_here.ipynb" in answer.read()
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
