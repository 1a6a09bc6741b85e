"""The notebooks: their shape, and executed from top to bottom without a network."""

import re
import time
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from adasoft.explore.questions import PREDICTIONS, QUESTIONS
from adasoft.explore.stills import every_still, stale

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
#: What may be linked: the lessons that are there or announced.
LESSONS = {
    "00_start_here.ipynb",
    "01_zipf.ipynb",
    "02_clusters.ipynb",
    "03_time_model.ipynb",
    "04_live_timing.ipynb",
    "05_layer.ipynb",
}
OFFLINE = """
import socket
def _local(address):
    if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
        raise OSError(f"no network in this test: {address}")
def _guarded(method):
    def call(self, address, *rest):
        _local(address)
        return method(self, address, *rest)
    return call
socket.socket.connect = _guarded(socket.socket.connect)
socket.socket.connect_ex = _guarded(socket.socket.connect_ex)
_info = socket.getaddrinfo
def _getaddrinfo(host, *rest, **more):
    _local((host,))
    return _info(host, *rest, **more)
socket.getaddrinfo = _getaddrinfo
"""


def read(path):
    return nbformat.read(path, as_version=4)


def test_there_are_notebooks():
    assert [p.stem for p in NOTEBOOKS][:3] == ["00_start_here", "01_zipf", "02_clusters"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_shape(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert path.stat().st_size < 200_000
    assert notebook.metadata.kernelspec.name == "python3"
    assert "widgets" not in notebook.metadata
    code = [c for c in notebook.cells if c.cell_type == "code"]
    prose = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    assert all(not c.outputs and c.execution_count is None for c in code)
    lines = [len(c.source.splitlines()) for c in code]
    assert len(code) <= 25 and sum(lines) <= 120 and max(lines) <= 20
    assert 600 <= len(re.findall(r"\w[\w'-]*", prose)) <= 1200
    assert not [c.source for c in code if re.search(r"^\s*(def|class) ", c.source, re.M)]
    first = notebook.cells[0].source
    assert first.startswith("# ") and "?" in first.splitlines()[0] and re.search(r"\*\*\d+ minutes", first)
    assert "to know before" in first.lower() and "do after" in first.lower()
    assert sum("predict(" in c.source for c in code) >= 2
    assert sum("ask(" in c.source for c in code) >= 3
    assert "What you should see" in prose and "<details>" in prose


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_pictures_and_links_are_there(path):
    prose = "\n".join(c.source for c in read(path).cells if c.cell_type == "markdown")
    pictures = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", prose)
    assert pictures
    stills = every_still()
    for alt, target in pictures:
        assert len(alt) > 40 and (FOLDER / target).exists()
        assert (FOLDER / target).stat().st_size < 200_000
        assert alt == stills[Path(target).stem].alt, target
    for target in re.findall(r"\]\(([^)]+\.ipynb)\)", prose):
        assert target in LESSONS


def test_no_still_is_stale():
    """By the hash of what each picture shows; ``python -m adasoft.explore.stills`` makes them anew."""
    assert stale() == {}


def test_every_still_and_every_question_is_used():
    text = "\n".join(path.read_text(encoding="utf-8") for path in NOTEBOOKS)
    assert [name for name in every_still() if f"(img/{name}." not in text] == []
    for kind, known in (("ask", QUESTIONS), ("predict", PREDICTIONS)):
        used = re.findall(rf"{kind}\(\\\"([^\"]+)\\\"", text)
        assert len(used) == len(set(used)) and set(used) == set(known)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_runs_from_top_to_bottom_offline(path, tmp_path, monkeypatch):
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = read(path)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(OFFLINE))
    # what a reader opens by committing a guess
    opened = re.findall(r"then=lambda: (\w+\(.*\))\)\s*$", "\n".join(c.source for c in notebook.cells), re.M)
    notebook.cells.append(nbformat.v4.new_code_cell("from adasoft.explore import *\n" + "\n".join(opened)))
    started = time.perf_counter()
    NotebookClient(
        notebook, timeout=60, kernel_name="python3", store_widget_state=False,
        resources={"metadata": {"path": str(tmp_path)}},
    ).execute()  # fmt: skip
    assert time.perf_counter() - started < 60
    assert not [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs if o.get("name") == "stderr"]
