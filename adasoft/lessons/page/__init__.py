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

from ...cost import Cost
from ...files import write_whole
from ...vocabulary import Vocabulary
from ..kit.browser_data import cost_data, scene_data, text_data
from ..kit.costs import COUNTED_MULTIPLICATIONS, recorded_costs
from ..kit.cut_widget import MODULES
from ..kit.languages import load_language
from ..kit.static_files import STATIC, script
from .plans import plans

_PAGE = Path(__file__).parent / "static"
HIDDEN_SIZES = (256, 512, 1024)
BATCHES = (256, 2560, 8192)


#: What the licence of wordfreq's lists (CC BY-SA 4.0) asks for.
WORDFREQ = "Word frequencies: wordfreq by Robyn Speer, CC BY-SA 4.0."


def page(vocabularies: Sequence[Vocabulary], costs: Sequence[Cost] | None = None, *, credit: str = "") -> str:
    """The page as HTML.

    Args:
        vocabularies: the words to choose from, the first of them shown first; each with its words.
        costs: besides counted multiplications; those of recorded machines by default.
        credit: where the words are from, as their licence asks.

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
        "cuts": [min(40_000, max(1, len(first) // 2))],
        "sizes": {"d": list(HIDDEN_SIZES), "batch": list(BATCHES)},
        "plans": plans(vocabularies, [COUNTED_MULTIPLICATIONS, *costs], HIDDEN_SIZES, BATCHES),
    }
    data = {"explorer": explorer, "scene": scene_data(first)}
    # "<" as an escape: a word or name of a file cannot end the script
    packed = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    filled = {
        "STYLE": (_PAGE / "page.css").read_text(encoding="utf-8")
        + (STATIC / "cut_explorer.css").read_text(encoding="utf-8"),
        "DATA": packed,
        "SCRIPT": script(*MODULES, "token_scene.js", _PAGE / "page.js"),
        "N_WORDS": f"{len(first):,}",
        "CREDIT": html.escape(f"{credit} ") if credit else "",
    }
    text = (_PAGE / "page.html").read_text(encoding="utf-8")
    for name, value in filled.items():
        text = text.replace(f"[[{name}]]", value)
    return text


def write_page(
    path: str | os.PathLike[str], vocabularies: Sequence[Vocabulary] | None = None, *, credit: str = ""
) -> Path:
    """Write the page, whole or not at all; with wordfreq's English words by default. Returns its path.

    Raises OSError where it cannot be written, and what :func:`page` raises.
    """
    if vocabularies is None:
        vocabularies, credit = [load_language("en")], WORDFREQ
    path = Path(path)
    write_whole(path, page(vocabularies, credit=credit))
    return path
