"""The pictures of lesson 07 that the page draws by itself, as widgets."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets as t

from ..kit.static_files import STATIC, script

_OWN = Path(__file__).with_name("static")
#: What a page needs to draw W and N, and the style of all of them.
WINDOW_MODULES = ("dom.js", _OWN / "window.js")
CSS = "\n".join(path.read_text(encoding="utf-8") for path in (STATIC / "cut_explorer.css", _OWN / "alternatives.css"))


class MethodsScene(anywidget.AnyWidget):  # type: ignore[misc]
    """The next word scored by four softmaxes, step by step; ``data`` as `scene.scene_data` makes them."""

    _esm = script("dom.js", _OWN / "methods_scene.js", _OWN / "scene_widget.js")
    _css = CSS
    data = t.Dict().tag(sync=True)


class WindowPicture(anywidget.AnyWidget):  # type: ignore[misc]
    """W and N of SVD-softmax, to drag; ``data`` as `windows.all_curves` makes them, ``shown``: see
    `window_picture.shown`.

    ``window`` is [W, N] and is written by both sides.
    """

    _esm = script(*WINDOW_MODULES, _OWN / "window_widget.js")
    _css = CSS
    data = t.Dict().tag(sync=True)
    window = t.List([1, 1]).tag(sync=True, echo_update=False)
    shown = t.Dict().tag(sync=True)


class Comparison(anywidget.AnyWidget):  # type: ignore[misc]
    """Stored results as points, filtered by what the reader needs; ``data``: see `comparison.comparison_data`.

    ``guess``: see `comparison.guess_mark`.
    """

    _esm = script("dom.js", _OWN / "comparison.js", _OWN / "comparison_widget.js")
    _css = CSS
    data = t.Dict().tag(sync=True)
    guess = t.Dict(None, allow_none=True).tag(sync=True)
