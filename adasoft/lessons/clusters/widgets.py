"""What the lesson draws in the page itself: one cut as areas, the swap of two tails, and the map of the game.

Words and cost model go to the browser once; it computes, and the kernel hears what the reader moves.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import traitlets as t

from ...cost import Cost
from ...vocabulary import Vocabulary
from ..kit.browser_data import cost_data, text_data
from ..kit.static_files import STATIC, script

HERE = Path(__file__).parent / "static"
_STYLE = "\n".join(path.read_text(encoding="utf-8") for path in (STATIC / "cut_explorer.css", HERE / "clusters.css"))


class AreaCut(anywidget.AnyWidget):  # type: ignore[misc]
    """One cut, to scale; with ``curve``, the totals too, and the cost of every cut under it."""

    _esm = script("cost.js", "dom.js", HERE / "areas.js")
    _css = _STYLE
    text = t.Dict().tag(sync=True)
    cut = t.Int(1).tag(sync=True, echo_update=False)
    curve = t.Bool(False).tag(sync=True)
    guess = t.Float(None, allow_none=True).tag(sync=True)
    best = t.Int(None, allow_none=True).tag(sync=True)

    def show(self, vocabulary: Vocabulary, cut: int, guess: float | None, best: int | None) -> None:
        """Draw this cut, in one message to the browser."""
        with self.hold_sync():
            self.text = text_data(vocabulary)
            self.cut, self.guess, self.best = cut, guess, best


class SwapAreas(anywidget.AnyWidget):  # type: ignore[misc]
    """Two tails, words wide and share of the tokens (in percent) high; ``found``: kinds of swap without effect.

    ``guess``: the reader's, of the words per token once the first two tails have traded their shares.
    """

    _esm = script("dom.js", HERE / "swap.js")
    _css = _STYLE
    sizes = t.List(t.Int(), [1000, 9000]).tag(sync=True)
    shares = t.List(t.Int(), [10, 20]).tag(sync=True)
    found = t.List(t.Unicode()).tag(sync=True)
    guess = t.Float(None, allow_none=True).tag(sync=True)


class GameMap(anywidget.AnyWidget):  # type: ignore[misc]
    """Time of a step over two cutoffs, dark but for the places in ``trail``; ``plan``: the planner's, and no dark."""

    _esm = script("cost.js", "dom.js", HERE / "game.js")
    _css = _STYLE
    text = t.Dict().tag(sync=True)
    cost = t.Dict().tag(sync=True)
    d = t.Int(512).tag(sync=True)
    batch = t.Int(2560).tag(sync=True)
    floor = t.Float(0.75).tag(sync=True)
    cuts = t.List(t.Int(), [1, 2]).tag(sync=True, echo_update=False)
    trail = t.List(t.List(t.Int())).tag(sync=True, echo_update=False)
    plan = t.List(t.Int()).tag(sync=True)

    def show(
        self,
        vocabulary: Vocabulary,
        cost: Cost,
        d: int,
        batch: int,
        cuts: tuple[int, ...],
        trail: list[list[int]] | None = None,
    ) -> None:
        """Draw these words, sizes and cutoffs, in one message to the browser; if they are new, the map is dark again
        but for the places of a ``trail``.

        Raises TypeError for a cost model whose formula the browser lacks.
        """
        of: dict[str, Any] = {"text": text_data(vocabulary), "cost": cost_data(cost), "d": d, "batch": batch}
        with self.hold_sync():
            if any(getattr(self, name) != value for name, value in of.items()):
                self.trail, self.plan = trail or [list(cuts)], []
            for name, value in of.items():
                setattr(self, name, value)
            self.cuts = list(cuts)
