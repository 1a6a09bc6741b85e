"""W and N of SVD-softmax on the small model, as ``static/window.js`` draws them: what it is told, and a still of it."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from ..kit.plots import Drawn
from ..kit.static_files import script
from . import windows
from .explorer import AlternativesExplorer
from .widgets import CSS, WINDOW_MODULES


def shown(explorer: AlternativesExplorer) -> dict[str, Any]:
    """The words of the shown hidden state, the recall at the present W and N, and the marks."""
    chosen = explorer.chosen
    return {
        "words": explorer.top_words(),
        "measured": {"window": [explorer.width, explorer.n_full], "recall": explorer.quality()["recall 10"]},
        "wanted": explorer.wanted,
        "guess": explorer.recall("guess cheapest"),
        # where it was chosen: on the other states, which the curves do not show, it finds as much as was wanted
        "chosen": chosen and {"percent": 100 * chosen.utilisation, "recall": chosen.recall},
    }


def window_still(explorer: AlternativesExplorer) -> Drawn:
    """The picture as it stands, alone."""
    told = {"window": [explorer.width, explorer.n_full], "shown": shown(explorer)}
    return Drawn(told, partial(_page, windows.all_curves(explorer.small), told), 900, 372)


def _page(data: dict[str, Any], told: dict[str, Any]) -> str:
    packed = json.dumps([data, told], ensure_ascii=False).replace("<", "\\u003c")
    style = f"{CSS} .instruction {{ display: none; }} body {{ margin: 8px 10px; }}"
    return (
        f'<!doctype html><meta charset="utf-8"><style>{style}</style><div id="here"></div>'
        f'<script type="application/json" id="data">{packed}</script><script type="module">{script(*WINDOW_MODULES)}\n'
        "const [data, told] = JSON.parse(document.getElementById('data').textContent);"
        "mountWindow(document.getElementById('here'), data, told);</script>"
    )
