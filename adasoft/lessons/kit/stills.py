"""The pictures of the notebooks, for readers who run nothing: ``python -m adasoft.lessons.kit.stills [--check]``.

A still is a function, registered under its file name by ``plots.still``, that returns a plotly figure (a PNG then,
which needs kaleido and a Chromium) or SVG text. It uses the same functions as the live figure, and recorded timings.
``stills.json`` beside the pictures holds the hash of each description: a picture is stale when its function describes
something else now. Pixels are never compared.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import math
import pkgutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...cost import MeasuredCost
from ...files import write_whole
from ...records import read_record, shipped_records
from .plots import STILLS, Picture, Still

FOLDER = Path(__file__).resolve().parents[3] / "notebooks" / "img"
HASHES = "stills.json"


def every_still() -> dict[str, Still]:
    """All stills of all lessons."""
    lessons = importlib.import_module("adasoft.lessons")
    for module in pkgutil.walk_packages(lessons.__path__, f"{lessons.__name__}."):
        importlib.import_module(module.name)
    return dict(sorted(STILLS.items()))


def description_hash(picture: Picture) -> str:
    """SHA-256 of what a picture shows; numbers to three digits, so that another machine's rounding is no change."""
    described = picture if isinstance(picture, str) else _rounded(picture.to_dict())
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
        if isinstance(picture, str):
            write_whole(folder / file_name(name, picture), picture)
        else:
            picture.write_image(folder / file_name(name, picture), width=960, scale=1.25)
        known = {**_hashes(folder), name: description_hash(picture)}
        kept = {known_name: known[known_name] for known_name in stills if known_name in known}
        write_whole(folder / HASHES, json.dumps(kept, indent=1) + "\n")


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
