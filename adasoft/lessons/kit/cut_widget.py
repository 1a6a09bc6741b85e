"""The cut explorer of the page as a widget: the browser computes, the kernel hears the cutoffs and plans.

Words and cost model travel once. What the browser cannot compute (a cost model of the reader's own) is computed here
at each change and sent along.
"""

from __future__ import annotations

from typing import Any

import anywidget
import traitlets as t

from .browser_data import cost_data, text_data
from .explorer import FLOOR, MAX_TAILS, Explorer
from .static_files import STATIC, script

#: What the JavaScript of the explorer is made of, in the order of its imports.
MODULES = ("cost.js", "dom.js", "cut_chart.js", "cut_controls.js", "cut_explorer.js")


class CutWidget(anywidget.AnyWidget):  # type: ignore[misc]
    """Words with handles, what the layer costs, and controls; see ``cut_explorer.js`` for the data.

    ``place`` is {"cuts": [...], "active": i} and is written by both sides; all other traits by the kernel. Messages to
    the kernel: {"kind": "press", "key": ...} of a button, {"kind": "choose", "key": ..., "value": ...} of a setting.
    """

    _esm = script(*MODULES, "cut_widget.js")
    _css = STATIC / "cut_explorer.css"
    words = t.Dict().tag(sync=True)
    cost = t.Dict().tag(sync=True)
    sizes = t.Dict().tag(sync=True)
    place: Any = t.Dict({"cuts": [], "active": 0}).tag(sync=True, echo_update=False)
    choices = t.List(t.Dict()).tag(sync=True)
    buttons = t.List(t.Dict()).tag(sync=True)
    marks = t.Dict().tag(sync=True)
    note = t.Unicode().tag(sync=True)
    summary = t.Unicode().tag(sync=True)
    priced: Any = t.Dict(None, allow_none=True).tag(sync=True)
    most = t.Int(MAX_TAILS).tag(sync=True)
    trace = t.Bool(False).tag(sync=True)

    @property
    def cuts(self) -> list[int]:
        """The cutoffs that it shows."""
        return [int(cut) for cut in self.place["cuts"]]

    def follow(self, explorer: Explorer, *, note: str, marks: dict[str, Any], choices: list[dict[str, Any]]) -> None:
        """Show what the explorer holds, in one message to the browser with what has changed."""
        known = browser_knows(explorer)
        with self.hold_sync():
            self.words = text_data(explorer.vocabulary)
            self.cost = cost_data(explorer.cost) if known else {"kind": "kernel", "name": explorer.cost.name}
            self.sizes = {
                "d": explorer.in_features,
                "batch": explorer.batch,
                "widths": explorer.widths_for(MAX_TAILS),
                "objective": explorer.objective,
                "floor": FLOOR,
            }
            self.place = {"cuts": list(explorer.cutoffs), "active": explorer.active}
            self.priced = None if known else priced(explorer)
            self.marks, self.note, self.choices = marks, note, choices
            self.summary = summary(explorer)


def browser_knows(explorer: Explorer) -> bool:
    """Whether the browser has the formula of the cost model."""
    try:
        cost_data(explorer.cost)
    except TypeError:
        return False
    return True


def priced(explorer: Explorer) -> dict[str, Any]:
    """What ``pricedLayer`` in ``cost.js`` needs: the times at the cutoffs, and along the active one.

    Raises what a cost model of the reader's own raises.
    """
    parts = explorer.prediction.by_cluster()
    found: dict[str, Any] = {
        "cuts": list(explorer.cutoffs),
        "active": explorer.active,
        "seconds": float(explorer.prediction.seconds),
        "full": float(explorer.full.seconds),
        "clusters": [float(parts[name]) for name in explorer.names],
        "sorting": float(parts.get("all", 0.0)),
    }
    if explorer.cutoffs:
        i = explorer.active
        names = explorer.names[i : i + 2]
        found["curve"] = [
            {"rank": place, "total": layer.seconds, "rises": costs[names[0]], "falls": costs[names[1]]}
            for place, layer in explorer.layers_along(i)
            for costs in [layer.by_cluster()]
        ]
    return found


def summary(explorer: Explorer) -> str:
    """Whose words, which cost model, which sizes."""
    words, n = explorer.vocabulary.name, len(explorer.vocabulary)
    return f"{words}, {n:,} words · {explorer.cost.name} · d = {explorer.in_features:,}, B = {explorer.batch:,}"
