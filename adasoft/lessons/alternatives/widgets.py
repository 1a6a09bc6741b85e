"""The two pictures of lesson 07 that the page draws by itself, as widgets."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets as t

from ..kit.static_files import STATIC, script

_OWN = Path(__file__).with_name("static")
_CSS = "\n".join(path.read_text(encoding="utf-8") for path in (STATIC / "cut_explorer.css", _OWN / "alternatives.css"))


class MethodsScene(anywidget.AnyWidget):  # type: ignore[misc]
    """The next word scored by four softmaxes, step by step; ``data`` as `scene.scene_data` makes them."""

    _esm = script("dom.js", _OWN / "methods_scene.js", _OWN / "scene_widget.js")
    _css = _CSS
    data = t.Dict().tag(sync=True)


class Comparison(anywidget.AnyWidget):  # type: ignore[misc]
    """Stored results as points, filtered by what the reader needs; ``data``: see `comparison.comparison_data`.

    ``guess``: see `comparison.guess_mark`.
    """

    _esm = script("dom.js", _OWN / "comparison.js", _OWN / "comparison_widget.js")
    _css = _CSS
    data = t.Dict().tag(sync=True)
    guess = t.Dict(None, allow_none=True).tag(sync=True)
