"""The picture of a batch that slides into head and tails: a widget that computes in the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import traitlets as t

from ..kit.static_files import STATIC, script
from .explorer import LayerExplorer

_HERE = Path(__file__).with_name("static")
#: The batches that it begins with, where their words are known: with tokens for both tails, and with none for the last.
SENTENCES = (
    "she told the old pilot that a storm had reached the shore and they would not see the letter before friday",
    "she said that he had been there for a long time and did not know what the letter was about",
)


def batch_data(explorer: LayerExplorer) -> dict[str, Any]:
    """What the page needs to draw, sort and count: words and counts by rank, cutoffs, widths, the first batches."""
    words = explorer.vocabulary.words
    known = set(words or ())
    sentences = [sentence.split() for sentence in SENTENCES]
    return {
        "name": explorer.vocabulary.name,
        "words": None if words is None else list(words),
        "counts": explorer.vocabulary.counts.tolist(),
        "cuts": list(explorer.cutoffs),
        "widths": [explorer.in_features, *explorer.widths],
        "sentences": sentences if all(word in known for sentence in sentences for word in sentence) else [],
    }


class BatchScene(anywidget.AnyWidget):  # type: ignore[misc]
    """Tokens with their words, sorted once; the head scores its words for all of them, a tail for its own only."""

    _esm = script("dom.js", _HERE / "batch.js", _HERE / "batch_widget.js")
    _css = (STATIC / "cut_explorer.css").read_text(encoding="utf-8") + (_HERE / "batch.css").read_text(encoding="utf-8")
    data = t.Dict().tag(sync=True)
