"""Widgets of the first two lessons: a text whose words appear by rank, and a box for the path of a file."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import anywidget
import traitlets as t

from ..kit.static_files import STATIC, script

_STATIC = Path(__file__).with_name("static")


class Reading(anywidget.AnyWidget):  # type: ignore[misc]
    """A text in which the ``n`` most frequent words can be read, and its words on a line by rank.

    Args:
        typed: called with a sentence that the reader typed.
        guarded: what shows an exception to the reader (`Panel.guarded`).
    """

    _esm = script("cost.js", "dom.js", _STATIC / "reading.js")
    _css = "\n".join(p.read_text(encoding="utf-8") for p in (STATIC / "cut_explorer.css", _STATIC / "reading.css"))
    text = t.Dict().tag(sync=True)
    passages = t.List(t.Dict()).tag(sync=True)
    n = t.Int(1).tag(sync=True, echo_update=False)

    def __init__(self, typed: Callable[[str], None], guarded: Callable[[], AbstractContextManager[None]]) -> None:
        super().__init__()
        self._typed, self._guarded = typed, guarded
        self.on_msg(self._heard)

    def _heard(self, _widget: Any, content: Any, _buffers: Any) -> None:
        if content.get("kind") == "typed":
            with self._guarded():
                self._typed(str(content.get("text", "")))


class PathBox(anywidget.AnyWidget):  # type: ignore[misc]
    """A box for the path of a file; Enter does what the button beside it does.

    Args:
        act: called on Enter.
        description: its name, in sight.
    """

    _esm = _STATIC / "path.js"
    value = t.Unicode().tag(sync=True)
    description = t.Unicode("path").tag(sync=True)

    def __init__(self, act: Callable[[], None], guarded: Callable[[], AbstractContextManager[None]], name: str) -> None:
        super().__init__(description=name)
        self._act, self._guarded = act, guarded
        self.on_msg(self._heard)

    def _heard(self, _widget: Any, content: Any, _buffers: Any) -> None:
        if content.get("kind") == "enter":
            with self._guarded():
                self.value = str(content.get("value", ""))  # what was typed and the key, in one message
                self._act()
