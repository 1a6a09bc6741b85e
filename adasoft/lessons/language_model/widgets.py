"""The one picture of the lesson on perplexity that moves: stored trainings replayed in the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import anywidget
import traitlets as t

from ..kit.static_files import script
from .race import Race

STATIC = Path(__file__).with_name("static")


class RaceView(anywidget.AnyWidget):  # type: ignore[misc]
    """A race played, paused and scrubbed in the page; the data go there once."""

    _esm: ClassVar[Any] = script("dom.js", STATIC / "race.js")
    _css: ClassVar[Any] = STATIC / "race.css"
    race = t.Dict().tag(sync=True)
    bet = t.Float(None, allow_none=True).tag(sync=True)
    """How many times sooner the reader expects the authors' cutoffs to finish; fixed once played."""

    def __init__(self, race: Race, bet: float | None = None) -> None:
        super().__init__(race=race.json(), bet=bet)
