"""`adasoft lab`: the notebooks in JupyterLab, with its look-ups of news, updates and extensions turned off."""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..extras import missing
from ..files import cache_dir, write_whole
from ..text import counted

#: The notebook that is opened.
FIRST = "00_start_here.ipynb"
#: JupyterLab's settings that ask the network, or cover the page with a notice of it, off.
LAB_SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    }
}
LAB_FLAGS = (
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.extension_manager=readonly",
)
_PACKAGE = Path(__file__).resolve().parents[1]


def add(commands: Any) -> None:
    """Add the parser."""
    p = commands.add_parser(
        "lab",
        help="open the notebooks in JupyterLab",
        description="Open the notebooks in JupyterLab, with its look-ups of news, updates and extensions turned off. "
        "An installed adasoft first copies them into the current folder. Other arguments are passed on to JupyterLab, "
        "such as --no-browser or --port=9999.",
    )
    p.add_argument("--print", action="store_true", dest="show", help="print the command instead of running it")
    p.add_argument("--yes", action="store_true", help="overwrite notebooks in the current folder without asking")
    p.set_defaults(run=run, takes_the_rest=True)


def run(options: argparse.Namespace) -> int:
    """Copy the notebooks if need be, and run JupyterLab until it ends. Returns its exit status."""
    folder, shipped = _PACKAGE.parent / "notebooks", _PACKAGE / "_notebooks"
    if shipped.is_dir():
        folder = Path.cwd() / "notebooks"
    elif not (folder / FIRST).exists():
        raise FileNotFoundError(f"{folder} holds no notebooks, nor does the installed package: install it again")
    command = lab_command(folder, options.rest)
    if options.show:
        print(shlex.join(command))
        return 0
    if find_spec("jupyterlab") is None:
        raise ModuleNotFoundError(missing("jupyterlab"), name="jupyterlab")
    if shipped.is_dir():
        copy_notebooks(shipped, folder, overwrite=options.yes)
    for line in progress():
        print(line)
    process = subprocess.Popen(command, env=lab_environment())
    try:
        return process.wait()
    except KeyboardInterrupt:
        # JupyterLab got the same Ctrl-C and asks its own question
        return process.wait()


def progress() -> list[str]:
    """How far the reader is in each lesson that was begun; nothing before the first answer."""
    if not (cache_dir() / "lessons" / "choices.json").exists():
        return []
    # here, because the lessons take seconds to load
    from ..lessons.kit.progress import progress_lines

    return progress_lines()


def copy_notebooks(source: Path, folder: Path, *, overwrite: bool = False) -> None:
    """Copy the notebooks and their pictures into a folder. Asks before it overwrites a file that differs.

    Without an answer, as where nobody sits at a terminal, the reader's own files stay.
    """
    files = sorted(path.relative_to(source) for path in source.rglob("*") if path.is_file())
    changed = [
        name for name in files if (folder / name).exists() and not filecmp.cmp(source / name, folder / name, False)
    ]
    if changed and not overwrite:
        names = ", ".join(str(name) for name in changed[:3]) + (" ..." if len(changed) > 3 else "")
        overwrite = _agrees(f"{folder} has {counted(len(changed), 'file')} other than adasoft's ({names}). Overwrite?")
        print("overwritten" if overwrite else "kept as they are")
    for name in files:
        if overwrite or name not in changed:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, folder / name)


def _agrees(question: str) -> bool:
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except (EOFError, RuntimeError):  # nobody is there: the standard input has ended, or is closed
        return False


def lab_environment() -> dict[str, str]:
    """The environment JupyterLab is started in: ours plus a folder of settings, besides the reader's own."""
    folder = cache_dir() / "jupyter"
    write_whole(folder / "labconfig" / "default_setting_overrides.json", json.dumps(LAB_SETTINGS, indent=1))
    own = os.environ.get("JUPYTER_CONFIG_PATH")
    return {**os.environ, "JUPYTER_CONFIG_PATH": os.pathsep.join(filter(None, [str(folder), own]))}


def lab_command(folder: Path, extra: Sequence[str] = ()) -> list[str]:
    """The command that opens the notebooks of a folder."""
    root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    return [sys.executable, "-m", "jupyterlab", *LAB_FLAGS, *root, *extra, str(folder / FIRST)]
