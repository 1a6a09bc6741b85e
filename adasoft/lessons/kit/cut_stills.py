"""Pictures of the cut explorer for readers who run nothing: what its JavaScript draws, without a window."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from .browser_data import cost_data, text_data
from .cut_widget import MODULES, summary
from .explorer import FLOOR, MAX_TAILS, Explorer
from .plots import Drawn
from .static_files import STATIC, script


def cut_figure(explorer: Explorer) -> Drawn:
    """The cut explorer as it opens with these words, cutoffs and cost model, without its controls."""
    clusters = len(explorer.cutoffs) + 1
    layer = explorer.prediction
    shown: dict[str, Any] = {
        "words": [explorer.vocabulary.name, len(explorer.vocabulary)],
        "place": [list(explorer.cutoffs), explorer.active],
        "sizes": summary(explorer),
        "costs": [explorer.full.seconds, layer.seconds, layer.by_cluster()],
        "shares": explorer.token_shares,
    }
    # the list of the clusters ends with what belongs to none, where it is not next to nothing
    lines = clusters + (layer.by_cluster().get("all", 0.0) > 0.005 * layer.seconds)
    return Drawn(shown, partial(_page, explorer), 980, 520 + 22 * lines)


def _page(explorer: Explorer) -> str:
    """The explorer alone on a page."""
    given = {
        "words": text_data(explorer.vocabulary),
        "cost": cost_data(explorer.cost),
        "cuts": list(explorer.cutoffs),
        "active": explorer.active,
        "d": explorer.in_features,
        "batch": explorer.batch,
        "widths": explorer.widths_for(MAX_TAILS),
        "objective": explorer.objective,
        "floor": FLOOR,
    }
    packed = json.dumps(given, ensure_ascii=False).replace("<", "\\u003c")
    style = (STATIC / "cut_explorer.css").read_text(encoding="utf-8")
    hidden = ".controls, .note, .settings, .summary, .spoken { display: none !important; } body { margin: 8px 10px; }"
    return (
        f'<!doctype html><meta charset="utf-8"><style>{style}{hidden}</style><div id="here"></div>'
        f'<script type="application/json" id="data">{packed}</script><script type="module">{script(*MODULES)}\n'
        "mount(document.getElementById('here'), JSON.parse(document.getElementById('data').textContent));</script>"
    )


#: The picker alone is no picture of its own any more.
