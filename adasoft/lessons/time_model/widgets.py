"""The widgets of the lesson on the time model: a race replayed from recorded times, and a line that is dragged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import traitlets as t

from ..kit.static_files import script

STATIC = Path(__file__).with_name("static")


class Race(anywidget.AnyWidget):  # type: ignore[misc]
    """Runners that start together on one clock (see ``static/race.js``); ``bets``: what the reader bet, by race."""

    _esm = script("dom.js", STATIC / "race.js", STATIC / "race_widget.js")
    _css = STATIC / "race.css"
    data = t.Dict().tag(sync=True)
    bets = t.Dict().tag(sync=True)


class FlatLine(anywidget.AnyWidget):  # type: ignore[misc]
    """Measured points, a cost model, and the line c, lambda, k0 that is dragged (see ``static/flat_line.js``).

    The page computes; ``line`` is written by both sides, ``data`` by Python only.
    """

    _esm = script("dom.js", STATIC / "race.js", STATIC / "flat_line.js", STATIC / "flat_line_widget.js")
    _css = STATIC / "race.css"
    data = t.Dict().tag(sync=True)
    line = t.List(t.Float(), [1e-3, 1e-5, 50.0]).tag(sync=True, echo_update=False)

    @t.validate("line")
    def _a_line(self, proposal: Any) -> list[float]:
        values = [float(value) for value in proposal["value"]]
        if len(values) != 3 or not all(0 <= value < 1e300 for value in values):
            raise t.TraitError(f"line should be c, lambda and k0, each at least 0, got {values}")
        return values
