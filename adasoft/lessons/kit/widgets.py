"""Small widgets of our own: a live figure, boxes for answers, numbers and files, a slider, and a helper for the page.

Each is an anywidget without a library of its own; plotly.js is sent to a page once, whatever the number of figures.
"""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import plotly.graph_objects as go
import traitlets as t

#: The JavaScript and the style sheets of all widgets.
STATIC = Path(__file__).with_name("static")


@lru_cache(maxsize=1)
def _plotly_js() -> bytes:
    from plotly.offline import get_plotlyjs

    return get_plotlyjs().encode()  # type: ignore[no-any-return]


class LiveFigure(anywidget.AnyWidget):  # type: ignore[misc]
    """A plotly figure on the page that follows :meth:`push`, drawn as wide as its cell.

    In place of ``FigureWidget``, which brings 5 MB of plotly.js along in every figure, needs a message per set of
    properties, and takes differences in drawing for edits. Data go one way here, from Python to the page.

    Args:
        figure: complete; kept, and changed by ``push``.
        label: its name for screen readers.
    """

    _esm = STATIC / "figure.js"
    _css = STATIC / "figure.css"
    spec = t.Unicode().tag(sync=True)
    label = t.Unicode("figure").tag(sync=True)

    def __init__(self, figure: go.Figure, label: str = "figure") -> None:
        # a drag on a figure would zoom it, and nothing in the panel leads back
        figure.update_layout(dragmode=False)
        figure.update_xaxes(fixedrange=True)
        figure.update_yaxes(fixedrange=True)
        for trace in figure.data:
            if hasattr(trace, "name") and trace.name is None:
                trace.name = ""  # else its tooltip would speak of "trace 2"
        self.figure = figure
        super().__init__(label=label)
        self.on_msg(self._asked)

    @property
    def data(self) -> Any:
        """The traces as they are now; change them by ``push``."""
        return self.figure.data

    @property
    def layout(self) -> Any:
        """The layout as it is now; change it by ``push``."""
        return self.figure.layout

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> dict[str, Any]:
        """The widget's state; the figure in it is the present one, for a page that opens later."""
        state: dict[str, Any] = super().get_state(key, drop_defaults)
        if "spec" in state:
            state["spec"] = self.figure.to_json()
        return state

    def push(self, data: Mapping[int, Mapping[str, Any]], layout: Mapping[str, Any] | None = None) -> None:
        """Set ``data[i][property]`` of trace i and ``layout[path]``; what does change goes out in one message."""
        changed: dict[int, dict[str, Any]] = {}
        for i, properties in data.items():
            for name, value in properties.items():
                if not _same(self.figure.data[i][name], value):
                    self.figure.data[i][name] = value
                    changed.setdefault(i, {})[name] = _plain(value)
        moved = {name: value for name, value in (layout or {}).items() if self.figure.layout[name] != value}
        for name, value in moved.items():
            self.figure.layout[name] = value
        if changed or moved:
            self.send({"kind": "push", "data": changed, "layout": {k: _plain(v) for k, v in moved.items()}})

    def _asked(self, _widget: Any, content: Any, _buffers: Any) -> None:
        if content.get("kind") == "plotly":
            self.send({"kind": "plotly"}, buffers=[_plotly_js()])


def _same(old: Any, new: Any) -> bool:
    if isinstance(new, np.ndarray):
        return old is not None and np.array_equal(np.asarray(old), new, equal_nan=new.dtype.kind == "f")
    return bool(tuple(old or ()) == tuple(new)) if isinstance(new, (list, tuple)) else bool(old == new)


def _plain(value: Any) -> Any:
    """A value as JSON; numbers as base64, which plotly's own figures use too."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
        numbers = np.ascontiguousarray(value, dtype="<f8")
        return {"dtype": "f8", "bdata": base64.b64encode(numbers.tobytes()).decode()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    return json.loads(go.Figure(layout={"meta": value}).to_json())["layout"]["meta"] if _odd(value) else value


def _odd(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return True
    return False


class AnswerBox(anywidget.AnyWidget):  # type: ignore[misc]
    """A question, a box for the answer, a button, and the verdict below them.

    The text and the press come in one message: with a text widget and a button they are two, and the press may
    overtake the text.

    Args:
        question: plain text; names the box.
        button: what the button says.
        act: called with what was typed; its result, as HTML, is the verdict.
        shown: whether the question stands above the box; otherwise the notebook's text has it.
        start_over: what a second button does, which is there while ``again`` has a text for it.
    """

    _esm = STATIC / "answer.js"
    _css = STATIC / "panel.css"
    question = t.Unicode().tag(sync=True)
    shown = t.Bool(True).tag(sync=True)
    button = t.Unicode("Check").tag(sync=True)
    again = t.Unicode().tag(sync=True)
    answer = t.Unicode().tag(sync=True)
    verdict = t.Unicode().tag(sync=True)

    def __init__(
        self,
        question: str,
        button: str,
        act: Callable[[str], str],
        *,
        shown: bool = True,
        start_over: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(question=question, button=button, shown=shown)
        self._act, self._start_over = act, start_over
        self.on_msg(self._pressed)

    def submit(self, text: str) -> None:
        """What the button does with ``text`` in the box."""
        self.answer = text
        self.verdict = self._act(text)

    def _pressed(self, _widget: Any, content: Any, _buffers: Any) -> None:
        if content.get("again"):
            self._start_over()
        else:
            try:
                self.submit(str(content.get("answer", "")))
            finally:
                self.send({"kind": "done"})  # the verdict may be the same as before


class Slider(anywidget.AnyWidget):  # type: ignore[misc]
    """A slider that is named, works by keyboard, and sends nothing but the reader's own moves.

    ipywidgets' sliders snap what Python sets and send the snapped value back, as if the reader had moved them.

    ``value`` is the value itself; ``min``, ``max`` and ``step`` are in powers of ten if ``log``.
    """

    _esm = STATIC / "slider.js"
    _css = STATIC / "slider.css"
    value = t.Float(1.0).tag(sync=True, echo_update=False)
    min = t.Float(0.0).tag(sync=True)
    max = t.Float(1.0).tag(sync=True)
    step = t.Float(0.1).tag(sync=True)
    log = t.Bool(False).tag(sync=True)
    description = t.Unicode("slider").tag(sync=True)


class NumberBox(anywidget.AnyWidget):  # type: ignore[misc]
    """A box for a number, sent when it is complete: on Enter, on leaving the box, or by an arrow.

    ipywidgets' boxes take 1.5 for 15 where whole numbers are expected, and cannot be named without a label in sight.

    Args:
        value: to begin with.
        description: its name; in sight unless there is a ``unit``.
        unit: shown behind the box instead of the name before it, which a slider beside it gives already; may be empty.
        whole: arrows step by one. What is typed is not rounded: who listens refuses it (`Panel.on_number`).
        width: of the box, as in CSS.

    ``refused`` is why the last number was not taken; it stands below the box until something is taken.
    """

    _esm = STATIC / "number.js"
    _css = STATIC / "number.css"
    value = t.Float(0.0).tag(sync=True)
    description = t.Unicode("number").tag(sync=True)
    unit = t.Unicode(None, allow_none=True).tag(sync=True)
    whole = t.Bool(True).tag(sync=True)
    width = t.Unicode("96px").tag(sync=True)
    refused = t.Unicode().tag(sync=True)


class FileDrop(anywidget.AnyWidget):  # type: ignore[misc]
    """A place to drop a file on, and a button that picks one; of any size, for it travels in parts.

    Args:
        act: called with the path of a copy, which is gone afterwards, and the file's name.
        guarded: what shows an exception to the reader (`Panel.guarded`).
        description: what the button says.
    """

    _esm = STATIC / "drop.js"
    _css = STATIC / "drop.css"
    description = t.Unicode("Pick a file").tag(sync=True)

    def __init__(
        self,
        act: Callable[[Path, str], None],
        guarded: Callable[[], AbstractContextManager[None]],
        description: str = "Pick a file",
    ) -> None:
        super().__init__(description=description)
        self._act, self._guarded = act, guarded
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        self.on_msg(self._heard)

    def _heard(self, _widget: Any, content: Any, buffers: Any) -> None:
        if content.get("kind") != "part":
            return
        if content["first"] or self._copy is None:
            self._done()
            self._copy = tempfile.TemporaryDirectory(prefix="adasoft-")
        copy = Path(self._copy.name) / "dropped"
        with self._guarded():
            with copy.open("ab") as file:
                file.write(buffers[0] if buffers else b"")
            if not content["last"]:
                self.send({"kind": "next"})
                return
            self._act(copy, str(content["name"]))
        self._done()

    def _done(self) -> None:
        if self._copy is not None:
            self._copy.cleanup()
            self._copy = None


class PageHelper(anywidget.AnyWidget):  # type: ignore[misc]
    """Invisible: gives the handles of ipywidgets' sliders their names, text and controls the theme's colours, and the
    keyboard a way out (Escape goes from a control to its cell)."""

    _esm = STATIC / "page.js"
    _css = STATIC / "panel.css"
