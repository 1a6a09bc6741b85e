"""The pictures of the notebooks, for readers who run nothing: ``python -m adasoft.lessons.kit.stills [--check]``.

A still is a function, registered under its file name by ``figures.still``, that returns a plotly figure (a PNG then,
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
from ...tradeoffs import two_clusters
from . import figures as f
from .explorer import COUNTED_MULTIPLICATIONS, COUNTED_WORDS, Explorer, load_language
from .figures import STILLS, Picture, Still, still
from .panels import read_words

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


# ---------------------------------------------------------------------- the stills of 00 to 02


def recorded_cost() -> MeasuredCost:
    """The recorded CPU that the stills are made with."""
    return read_record(next(path for path in shipped_records() if "cpu" in path.name))


def _explorer(**more: Any) -> Explorer:
    return Explorer(load_language("en"), **more)


@still(
    "00_picker",
    "The words of English on logarithmic axes, most frequent first: the share of each word falls, the share of all "
    "words so far (dashed) rises. A line with a handle at 2,000 words parts the plot into the head, with 78.6 percent "
    "of the tokens, and tail 1.",
)
def _picker() -> Picture:
    return f.picker_figure(_explorer(cost=recorded_cost()))


@still(
    "00_one_cutoff",
    "Three plots for English with one cutoff at 2,000. Left: the head has 0.6 percent of the words and 78.6 percent of "
    "the tokens. Middle: the tail costs several times as much as the head. Right: the total time is a U-shaped curve "
    "of the cutoff, far below the dashed line of the full softmax.",
)
def _one_cutoff() -> Picture:
    return f.cut_figure(_explorer(cost=recorded_cost()))


@still(
    "00_machine",
    "The card of a recorded machine: this machine, the timings used (a recorded machine, not this one), the timed "
    "device, the date, the version of torch, and the median error of predictions.",
)
def _machine() -> Picture:
    cost = recorded_cost()
    record = cost.record or {}
    here = f"{record['device']['name']}, {record['threads']} logical processors"
    return f.card_svg({"this machine": here, **f.record_rows(record, mine=False)})


@still(
    "01_coverage",
    "Left: the frequency of English words against their rank on logarithmic axes, with a straight line for Zipf and a "
    "curve for Zipf-Mandelbrot; the data bend below the line at the end. Right: the part of all tokens that the most "
    "frequent words cover; a dashed line marks 80 percent at 2,286 words, and a hollow square, what the paper says of "
    "Penn Treebank: a fifth of its words cover 87 percent; here the curve is above it.",
)
def _coverage() -> Picture:
    return f.coverage_figure(load_language("en"), 0.8)


@still(
    "01_languages",
    "Coverage curves of English, German and Finnish against the number of most frequent words. English rises fastest, "
    "then German, then Finnish, which needs several times as many words for every share.",
)
def _languages() -> Picture:
    return f.languages_figure([load_language(code) for code in ("en", "de", "fi")])


@still(
    "01_own_text",
    "Coverage curves of a short text and of English against the number of most frequent words. The short text, this "
    "project's licence, ends at its 96th word; there English covers about half of its tokens.",
)
def _own_text() -> Picture:
    licence = read_words(FOLDER.parents[1] / "LICENSE", "LICENSE")
    return f.languages_figure([licence, load_language("en")])


@still(
    "02_two_clusters",
    "Words scored per token against the size of the first cluster, on logarithmic axes: a U with its bottom at about "
    "15 thousand words, some ten times below the full softmax. The curve with both clusters in leaves lies close to "
    "the other.",
)
def _two_clusters() -> Picture:
    explorer = _explorer(cost=COUNTED_WORDS)
    found = two_clusters(explorer.vocabulary, explorer.in_features, explorer.batch, cost=COUNTED_WORDS)
    return f.two_clusters_figure(explorer, found)


@still(
    "02_swap",
    "Two clusters drawn as rectangles, share of the tokens high and words wide. As set, 1,000 words with 10 percent "
    "and 9,000 words with 20 percent: 1,900 words per token. With the shares swapped: 1,100.",
)
def _swap() -> Picture:
    # an image knows no theme: the grey that reads on both
    return f.swap_svg(1000, 9000, 0.1, 0.2).replace(
        "<svg ", f'<svg xmlns="http://www.w3.org/2000/svg" color="{f.TEXT_COLOR}" '
    )


@still(
    "02_cutoffs",
    "Three plots for English with cutoffs at 2,000 and 10,000. Left: the head has 79 percent of the tokens. Middle: "
    "multiplications per cluster, the last tail large. Right: the total against the first cutoff, far below the full "
    "softmax.",
)
def _cutoffs() -> Picture:
    return f.cut_figure(_explorer(cost=COUNTED_MULTIPLICATIONS, cutoffs=(2000, 10000)))


@still(
    "02_game",
    "The words of English with two handles, at 2,000 and 10,000 words: the head has 78.6 percent of the tokens, tail 1 "
    "13.8 percent, tail 2 7.6 percent.",
)
def _game() -> Picture:
    return f.picker_figure(_explorer(cost=COUNTED_MULTIPLICATIONS, cutoffs=(2000, 10000)))


if __name__ == "__main__":
    # the registry of the module as imported, not of this copy
    raise SystemExit(importlib.import_module("adasoft.lessons.kit.stills").main())
