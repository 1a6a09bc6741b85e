"""The panel of a case with a budget."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as w
import traitlets as t

from ..kit.browser_data import cost_data, text_data
from ..kit.done import tell
from ..kit.parts import Panel, safely
from ..kit.static_files import STATIC, script
from .explorer import CasesExplorer
from .scenarios import CHANCE, SCENARIOS, Scenario, measured_on, median_error, pieces_table

_OWN = Path(__file__).with_name("static")
#: The page's part of a case, without what joins it to the kernel.
CASE = (_OWN / "case_numbers.js", _OWN / "case.js")


class CaseWidget(anywidget.AnyWidget):  # type: ignore[misc]
    """A case on the page: ``given`` once, as `case_data` makes it; ``guess``; ``found``, ``texts`` after the decision.

    Messages to the kernel: {"kind": "decide", "cutoffs", "widths"} and {"kind": "write", "texts"}.
    """

    _esm = script("cost.js", "dom.js", *CASE, _OWN / "case_widget.js")
    _css = "\n".join(path.read_text(encoding="utf-8") for path in (STATIC / "cut_explorer.css", _OWN / "case.css"))
    given = t.Dict().tag(sync=True)
    guess = t.Dict().tag(sync=True)
    found = t.Dict(None, allow_none=True).tag(sync=True)
    texts = t.Dict().tag(sync=True)


def _rest(name: str) -> float:
    """Seconds of a training step outside of the output layer, where they are recorded; else 0."""
    if name != "pieces":
        return 0.0
    row = pieces_table().row("full") or {}
    share = float(row["output share"])
    return float(row["output ms"]) / 1e3 * (1 - share) / share


def _guess(explorer: CasesExplorer, name: str) -> dict[str, Any]:
    """The reader's guess where the case draws it: seconds of the full softmax, or what a training lost at its head."""
    guess = explorer.recall(f"guess {name}")
    if guess is None or name not in ("keyboard", "pieces"):
        return {}
    if name == "keyboard":
        if guess <= 0:
            return {}
        return {"seconds": float(guess) / 1e3}
    row = pieces_table().row("adaptive") or {}
    note = BELOW_0 if guess < 0 else ""
    return {"more": float(guess) / 100, "at": float(row["mean width"]), "note": note}


#: Beside a guess that an adaptive softmax predicts better than a full one.
BELOW_0 = (
    "You guessed below 0: that fewer numbers predict better. It happened in the paper, with Greek and German (below), "
    "but in none of these trainings."
)


def _machine(cost: Any, case: Scenario) -> str:
    """What is timed, on whose machine, how far off it may be, and what counts as memory."""
    held = "weights, gradients and Adam’s two moments" if case.objective == "train" else "the weights alone"
    return f"{measured_on(cost, case)} Memory: {held}."


def case_data(explorer: CasesExplorer, name: str) -> dict[str, Any]:
    """What ``mountCase`` is given."""
    case, words, cost = SCENARIOS[name], explorer.words_of_case(name), explorer.cost_of_case(name)
    budget = explorer.budget(name)
    return {
        "name": name,
        "words": text_data(words),
        "cost": cost_data(cost),
        "d": case.d,
        "batch": case.batch,
        "objective": case.objective,
        "perParameter": case.per_parameter,
        "unit": case.unit,
        "budget": {"seconds": budget.seconds, "bytes": budget.bytes, "width": budget.width},
        "share": case.share,
        "tails": len(case.widths),
        "widths": list(case.widths),
        "rest": _rest(name),
        "machine": _machine(cost, case),
        "chance": CHANCE,
        "error": median_error(cost, case.objective) or 0.0,
    }


def your_case_panel(explorer: CasesExplorer, name: str) -> w.VBox:
    """A case: the reader decides within a budget, then sees what a search found and stored trainings, and writes.

    ``name``: "items", "keyboard", "pieces" or "own".
    """
    if name not in SCENARIOS:
        raise ValueError(f"name should be one of {', '.join(SCENARIOS)}, got {name!r}")
    panel, turns = Panel(), itertools.count()
    shown = CaseWidget(
        given=case_data(explorer, name),
        guess=_guess(explorer, name),
        found=explorer.revealed(name) or None,
        texts=explorer.recall(f"case {name} text") or {},
    )
    words = explorer.words_of_case(name)

    def show() -> None:
        # the turn makes each answer another one: the page waits for it, even if the decision is the same or refused
        shown.found = {**explorer.revealed(name), "turn": next(turns)}

    def heard(_widget: Any, content: Any, _buffers: Any) -> None:
        with panel.guarded():
            if content.get("kind") == "decide":
                try:
                    explorer.decide(name, [int(c) for c in content["cutoffs"]], [int(x) for x in content["widths"]])
                finally:
                    show()
                tell()
            elif content.get("kind") == "write":
                explorer.write(name, content["texts"])
                shown.texts = explorer.recall(f"case {name} text")

    shown.on_msg(heard)

    def redraw() -> None:
        nonlocal words
        if explorer.words_of_case(name) is not words:  # other words of the reader's own: begin again
            words = explorer.words_of_case(name)
            panel.problem.say("The words have changed: run this cell again.")
        shown.guess = _guess(explorer, name)
        if shown.found and shown.found.get("yours") and explorer.decision(name) is None:  # forgotten
            shown.texts = {}
            show()

    box = panel.box(shown)
    explorer.attach(f"case {name}", safely(panel, redraw), box)
    return box
