"""The package as pip installs it from a wheel: the console command, records, stored results and notebooks travel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from adasoft.cli import lab

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy of what git knows, so that nothing is left in the checkout."""
    pytest.importorskip("hatchling")
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, cwd=ROOT)
    if listed.returncode:
        pytest.skip("not a git checkout")
    source = tmp_path_factory.mktemp("source")
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
    out = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", str(out), "."]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """An environment of its own with the wheel; what it depends on comes from the environment of the tests."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False)
    binaries = home / ("Scripts" if os.name == "nt" else "bin")
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)}))
    install = [sys.executable, "-m", "pip", "--python", str(binaries / "python"), "install", "--no-deps", "-q"]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True)
    # after its own packages, so that a checkout installed here does not hide the wheel
    (packages / "tests.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    return binaries / "adasoft"


def adasoft(command, *arguments, cwd, cache, given=""):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"ADASOFT_CACHE": str(cache)}
    return subprocess.run(
        [str(command), *arguments], cwd=cwd, env=environment, capture_output=True, text=True, input=given
    )


def test_what_the_wheel_carries(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder, inside, pattern in (
        ("data/machines", "_machines", "*.json"),
        ("data/results", "_results", "train-*.json"),
        ("notebooks", "_notebooks", "*.ipynb"),
    ):
        files = {f"adasoft/{inside}/{path.name}" for path in (ROOT / folder).glob(pattern)}
        assert files and files <= names
    assert "adasoft/py.typed" in names and not any(name.startswith(("tests", "notebooks", "data")) for name in names)


def test_the_console_command_of_an_installed_package(installed, tmp_path):
    def run(*arguments):
        done = adasoft(installed, *arguments, cwd=tmp_path, cache=tmp_path / "cache")
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "europarl-en: V = 17,724" in run("table")
    assert "recorded machine" in run("plan", "synthetic:20000")
    assert str(tmp_path / "notebooks" / "00_start_here.ipynb") in run("lab", "--print")
    assert run("--help").startswith("usage: adasoft ")
    assert not (tmp_path / "notebooks").exists()


def test_notebooks_are_copied_and_the_readers_own_stay(tmp_path, monkeypatch):
    shipped, folder = tmp_path / "shipped", tmp_path / "notebooks"
    (shipped / "img").mkdir(parents=True)
    (shipped / lab.FIRST).write_text("new")
    (shipped / "img" / "a.png").write_bytes(b"picture")
    lab.copy_notebooks(shipped, folder)
    assert (folder / lab.FIRST).read_text() == "new" and (folder / "img" / "a.png").read_bytes() == b"picture"
    asked = []
    answers = {"n": "mine", "": "mine", "y": "new"}
    for answer, left in answers.items():
        (folder / lab.FIRST).write_text("mine")
        monkeypatch.setattr("builtins.input", lambda question, answer=answer: asked.append(question) or answer)
        lab.copy_notebooks(shipped, folder)
        assert (folder / lab.FIRST).read_text() == left
    assert len(asked) == 3 and "has 1 file other than adasoft's (00_start_here.ipynb)" in asked[0]
    lab.copy_notebooks(shipped, folder)  # nothing differs: nothing is asked
    (folder / lab.FIRST).write_text("mine")
    lab.copy_notebooks(shipped, folder, overwrite=True)
    assert (folder / lab.FIRST).read_text() == "new" and len(asked) == 3

    def nobody(question):
        raise EOFError

    monkeypatch.setattr("builtins.input", nobody)
    (folder / lab.FIRST).write_text("mine")
    lab.copy_notebooks(shipped, folder)
    assert (folder / lab.FIRST).read_text() == "mine"
