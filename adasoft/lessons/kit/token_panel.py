"""The scene of a token in a notebook: words walk through a full softmax and through the reader's own cutoffs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import anywidget
import ipywidgets as w
import traitlets as t

from .browser_data import ranks_of, sentences_of, text_data
from .explorer import MAX_TAILS, Explorer
from .kept import fitted
from .parts import Panel, safely
from .static_files import STATIC, script


class TokenWidget(anywidget.AnyWidget):  # type: ignore[misc]
    """``token_scene.js`` with an explorer's words and cutoffs; the browser asks for ranks that it lacks."""

    _esm = script("cost.js", "dom.js", "token_scene.js", "token_widget.js")
    _css = STATIC / "cut_explorer.css"
    text = t.Dict().tag(sync=True)
    scene = t.Dict().tag(sync=True)

    def __init__(self) -> None:
        super().__init__()
        self._ranks: Mapping[str, int] = {}
        self.on_msg(self._asked)

    def follow(self, explorer: Explorer, cutoffs: Sequence[int] | None = None) -> None:
        """Show the explorer's words, sizes and cutoffs (or others), in one message to the browser."""
        words = explorer.vocabulary
        self._ranks = ranks_of(words)
        with self.hold_sync():
            self.text = text_data(words)
            self.scene = {
                "cuts": list(explorer.cutoffs if cutoffs is None else fitted(cutoffs, len(words))),
                "d": explorer.in_features,
                "widths": explorer.widths_for(MAX_TAILS),
                "sentences": sentences_of(words),
            }

    def _asked(self, _widget: Any, content: Mapping[str, Any], _buffers: Any) -> None:
        if content.get("kind") == "ranks":
            asked = [word for word in content.get("words", ()) if isinstance(word, str)]
            found = {word: self._ranks[word] for word in asked if word in self._ranks}
            self.send({"kind": "ranks", "ranks": found})


def token_panel(explorer: Explorer, *, cutoffs: Sequence[int] | None = None, slot: str = "token") -> w.VBox:
    """Word after word goes into the head, or through it into a tail, beside a full softmax that lights up whole.

    Play, step, pause; sentences of the reader's own. It follows the explorer's words, d, widths and cutoffs; with
    ``cutoffs`` it keeps to these, so that it goes on showing what the text beside it says.
    """
    panel, widget = Panel(), TokenWidget()
    box = panel.box(widget)
    explorer.attach(slot, safely(panel, lambda: widget.follow(explorer, cutoffs)), box)
    return box
