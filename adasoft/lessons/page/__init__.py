"""One self-contained page for people who have not installed anything: the cut explorer, words and recorded machines.

It makes no request and works from a file. ``python -m adasoft page`` writes it.
"""

from __future__ import annotations

import html
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...cost import Cost, MeasuredCost
from ...files import write_whole
from ...text import counted
from ...vocabulary import Vocabulary
from ..kit.browser_data import ALL_WORDS, cost_data, scene_data, text_data
from ..kit.costs import COUNTED_MULTIPLICATIONS, recorded_costs
from ..kit.course import LESSONS, Lesson
from ..kit.cut_widget import MODULES
from ..kit.explorer import FLOOR
from ..kit.languages import load_language
from ..kit.static_files import STATIC, script
from .gains import who_gains
from .plans import plans
from .quality import perplexity

_PAGE = Path(__file__).parent / "static"
HIDDEN_SIZES = (256, 512, 1024)
BATCHES = (256, 2560, 8192)
#: Words whose rank the page knows, so that it stays a file to send: the rest of a long list would be four fifths of it.
CARRIED = 100_000


#: What the licence of wordfreq's lists (CC BY-SA 4.0) asks for.
WORDFREQ = "Word frequencies: wordfreq by Robyn Speer, CC BY-SA 4.0."


def page(
    vocabularies: Sequence[Vocabulary],
    costs: Sequence[Cost] | None = None,
    *,
    credit: str = "",
    beside: str | os.PathLike[str] | None = None,
) -> str:
    """The page as HTML.

    Args:
        vocabularies: the words to choose from, the first of them shown first; each with its words.
        costs: besides counted multiplications; those of recorded machines by default.
        credit: where the words are from, as their licence asks.
        beside: the folder where the page will lie; the lessons that lie there as well are linked.

    Raises ValueError without vocabularies, or if the first one brings no words.
    """
    if not vocabularies:
        raise ValueError("vocabularies should hold at least one, got none")
    costs = recorded_costs() if costs is None else costs
    first = vocabularies[0]
    explorer: dict[str, Any] = {
        "texts": [text_data(vocabulary) for vocabulary in vocabularies],
        "costs": [*map(cost_data, (COUNTED_MULTIPLICATIONS, *costs))],
        "text": 0,
        "cost": min(1, len(costs)),  # a machine where there is one
        "d": 512,
        "batch": 2560,  # the paper's
        "cuts": [max(1, round(len(first) ** 0.5))],  # the middle of the axis: a place that tells nothing
        "floor": FLOOR,
        "machines": [{"name": "", "gpu": False}, *map(_machine, costs)],
        "sizes": {"d": list(HIDDEN_SIZES), "batch": list(BATCHES)},
        "plans": plans(vocabularies, [COUNTED_MULTIPLICATIONS, *costs], HIDDEN_SIZES, BATCHES),
    }
    data = {"explorer": explorer, "scene": scene_data(first) | _carried(first)}
    # "<" as an escape: a word or name of a file cannot end the script
    packed = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    filled = {
        "STYLE": (_PAGE / "page.css").read_text(encoding="utf-8")
        + (STATIC / "cut_explorer.css").read_text(encoding="utf-8"),
        "DATA": packed,
        "SCRIPT": script(*MODULES, "token_scene.js", _PAGE / "page.js"),
        "N_WORDS": f"{len(first):,}",
        "PERPLEXITY": perplexity(len(first)),
        "GAIN": who_gains(first, costs, explorer["plans"]),
        "QUESTIONS": "".join(_lesson(lesson, beside) for lesson in LESSONS),
        "CREDIT": html.escape(f"{credit} ") if credit else "",
    }
    text = (_PAGE / "page.html").read_text(encoding="utf-8")
    for name, value in filled.items():
        text = text.replace(f"[[{name}]]", value)
    return text


def _carried(words: Vocabulary) -> dict[str, Any]:
    """The words beyond those that the explorer knows, in the order of their ranks, one a line; and up to which rank."""
    names = (words.words or ())[ALL_WORDS:CARRIED]
    lines = (name.encode("utf-8", "replace").decode().replace("\n", " ") for name in names)
    return {"more": "\n".join(lines), "from": ALL_WORDS + 1, "carried": CARRIED if len(words) > CARRIED else 0}


def _machine(cost: Cost) -> dict[str, Any]:
    """Whose timings a cost model was fitted to, in words, and how far off it is: the median over layers, in percent."""
    record = cost.record if isinstance(cost, MeasuredCost) else None
    if not record:
        return {"name": cost.name, "gpu": False}
    off = record["errors"].get("train layers, not fitted", {}).get("median")
    device = record["device"]
    cores = f"{counted(device['cores'], 'core')}, " if "cores" in device else ""
    name = f"an {device['name']} ({cores}{record['dtype']})"
    return {"name": name, "gpu": device["type"] == "cuda", "off": None if off is None else round(100 * off)}


def _lesson(lesson: Lesson, beside: str | os.PathLike[str] | None) -> str:
    """A lesson in the list of them, a link where its notebook lies beside the page."""
    question, file = html.escape(lesson.question), f'<span class="file">{lesson.file}</span>'
    if beside is not None and (Path(beside) / lesson.file).is_file():
        file = f'<a class="file" href="{lesson.file}">{lesson.file}</a>'
    return f"<li>{question} {file}</li>"


def write_page(
    path: str | os.PathLike[str], vocabularies: Sequence[Vocabulary] | None = None, *, credit: str = ""
) -> Path:
    """Write the page, whole or not at all; with wordfreq's English words by default. Returns its path.

    Raises OSError where it cannot be written, and what :func:`page` raises.
    """
    if vocabularies is None:
        vocabularies, credit = [load_language("en")], WORDFREQ
    path = Path(path)
    write_whole(path, page(vocabularies, credit=credit, beside=path.parent))
    return path
