"""One view per slot: a cell run again replaces what it showed, and nothing of the old one is left."""

from __future__ import annotations

import threading
from typing import Any

from ipywidgets import Widget

#: Held while a callback runs and while views are drawn: JupyterLab may run messages of widgets in threads of their own,
#: beside the thread that runs cells. A slow callback would otherwise finish after, and undo, the one that the reader
#: caused later, and a view drawn by a cell would take a reader's move for its own writing.
LOCK = threading.RLock()


def close_all(widget: Any) -> None:
    """Close a widget, its children, and their layouts and styles, which ipywidgets would keep for ever."""
    if widget is None:
        return
    for child in getattr(widget, "children", ()):
        close_all(child)
    for name in ("layout", "style"):
        part = getattr(widget, name, None)
        if isinstance(part, Widget):  # a live figure's layout is plotly's
            part.close()
    widget.close()


_SHOWN: dict[str, Any] = {}


def replace(slot: str, widget: Any) -> None:
    """A widget of no explorer, shown again (its cell run again), replaces the earlier one in the same slot."""
    with LOCK:
        close_all(_SHOWN.pop(slot, None))
        _SHOWN[slot] = widget
