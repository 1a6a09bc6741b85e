"""The pictures of the notebooks, for readers who run nothing: ``python -m adasoft.lessons.kit.stills [--check]``.

A still is a function, registered under its file name by ``plots.still``, that returns a plotly figure (a PNG then,
which needs kaleido and a Chromium), SVG text, or a page that draws it (a PNG as well). Each is written on white, with
text dark enough for it, because a picture knows no theme. It uses the same functions as the live figure, and recorded
timings.
``stills.json`` beside the pictures holds the hash of each description: a picture is stale when its function describes
something else now. Pixels are never compared.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import math
import os
import pkgutil
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from ...cost import MeasuredCost
from ...files import write_whole
from ...records import read_record, shipped_records
from .plots import STILLS, TEXT_COLOR, Drawn, Picture, Still

FOLDER = Path(__file__).resolve().parents[3] / "notebooks" / "img"
HASHES = "stills.json"
#: No grey has a contrast of 4.5 on white and on the near-black of dark themes as well.
_PAPER, _INK = "#ffffff", "#4d555d"
_PLATE = f'<rect width="100%" height="100%" fill="{_PAPER}"/>'


def every_still() -> dict[str, Still]:
    """All stills of all lessons."""
    lessons = importlib.import_module("adasoft.lessons")
    for module in pkgutil.walk_packages(lessons.__path__, f"{lessons.__name__}."):
        importlib.import_module(module.name)
    return dict(sorted(STILLS.items()))


def description_hash(picture: Picture) -> str:
    """SHA-256 of what a picture shows; numbers to three digits, so that another machine's rounding is no change."""
    if isinstance(picture, str):
        described: Any = picture
    else:
        described = _rounded(picture.shown if isinstance(picture, Drawn) else picture.to_dict())
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def _rounded(value: Any) -> Any:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        if "bdata" in value:  # plotly packs arrays
            import base64

            import numpy as np

            return _rounded(np.frombuffer(base64.b64decode(value["bdata"]), dtype=value["dtype"]))
        return {str(key): _rounded(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_rounded(item) for item in value]
    if isinstance(value, float):
        return f"{value:.3g}" if math.isfinite(value) else str(value)
    return value


def stale(folder: Path = FOLDER) -> dict[str, str]:
    """Name -> why its picture should be made again."""
    known = _hashes(folder)
    found = {name: "no such still any more" for name in known.keys() - every_still().keys()}
    for name, (make, _) in every_still().items():
        picture = make()
        if not (folder / file_name(name, picture)).exists():
            found[name] = "no picture"
        elif known.get(name) != description_hash(picture):
            found[name] = "it shows something else now"
    return found


def file_name(name: str, picture: Picture) -> str:
    """With its end: SVG for text, PNG for figures."""
    return f"{name}.{'svg' if isinstance(picture, str) else 'png'}"


def render(folder: Path = FOLDER, only: Sequence[str] = ()) -> None:
    """Write every still, or those named, and the hashes."""
    stills = every_still()
    if unknown := set(only) - stills.keys():
        raise ValueError(f"only: no still {sorted(unknown)}, expected some of {list(stills)}")
    for name in only or stills:
        picture = stills[name].make()
        path = folder / file_name(name, picture)
        if isinstance(picture, str):
            write_whole(path, re.sub(r"(<svg[^>]*>)", rf"\1{_PLATE}", picture, count=1).replace(TEXT_COLOR, _INK))
        elif isinstance(picture, Drawn):
            _photograph(picture, path)
        else:
            copy = go.Figure(json.loads(picture.to_json().replace(TEXT_COLOR, _INK)))
            copy.update_layout(paper_bgcolor=_PAPER).write_image(path, width=960, scale=1.25)
        known = {**_hashes(folder), name: description_hash(picture)}
        kept = {known_name: known[known_name] for known_name in stills if known_name in known}
        write_whole(folder / HASHES, json.dumps(kept, indent=1) + "\n")


def _photograph(picture: Drawn, path: Path) -> None:
    """Write what the page draws. Raises FileNotFoundError where there is no Chromium."""
    browser = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        raise FileNotFoundError("there is no chromium to draw with: install it, or set CHROMIUM to its path")
    with tempfile.TemporaryDirectory() as folder:
        page, image = Path(folder) / "page.html", Path(folder) / "image.png"
        page.write_text(picture.page(), encoding="utf-8")
        size = f"--window-size={picture.width},{picture.height}"
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=1.25"]
        still = ["--force-prefers-reduced-motion", "--virtual-time-budget=2000", f"--user-data-dir={folder}/profile"]
        command = [browser, *flags, *still, size, f"--screenshot={image}", page.as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        write_whole(path, image.read_bytes())


def _hashes(folder: Path) -> dict[str, str]:
    path = folder / HASHES
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}  # type: ignore[no-any-return]


def main(arguments: Sequence[str] | None = None) -> int:
    """Render; or with ``--check`` only say what is stale (status 1)."""
    parser = argparse.ArgumentParser(prog=f"python -m {__spec__.name}", description="Pictures of the notebooks.")
    parser.add_argument("only", nargs="*", help="names; all by default")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--check", action="store_true", help="render nothing, name the stale ones")
    options = parser.parse_args(arguments)
    if options.check:
        found = stale(options.folder)
        print("\n".join(f"{name}: {why}" for name, why in found.items()) or "every still is fresh")
        return bool(found)
    render(options.folder, options.only)
    return 0


def recorded_cost() -> MeasuredCost:
    """The recorded CPU that the stills are made with."""
    return read_record(next(path for path in shipped_records() if "cpu" in path.name))


if __name__ == "__main__":
    # the registry of the module as imported, not of this copy
    raise SystemExit(importlib.import_module("adasoft.lessons.kit.stills").main())
