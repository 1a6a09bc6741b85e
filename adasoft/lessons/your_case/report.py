"""The part of the reader's report that this lesson adds: each decision, and what the reader wrote about it."""

from __future__ import annotations

from typing import Any

from ...text import markdown_table
from ..kit import done
from ..kit.forms import Form
from ..kit.saved import Entries
from .explorer import DECISION, LINES, TEXT
from .scenarios import NAMES, SCENARIOS

#: Of the cases and of the reader's lines.
_CASES = {
    "keyboard": "A keyboard's suggestions",
    "items": "A million items",
    "pieces": "A model with word pieces",
    "own": "My own case",
}
_LINES = dict(zip(LINES, ("What improved", "What got worse", "What could break it"), strict=True))


def section(entries: Entries) -> str:
    """All decisions and lines that are kept, as Markdown; empty where there are none."""
    kept, parts = entries.get(done.KEPT, {}), []
    for name in NAMES:
        decision = _fitting(DECISION, kept.get(f"case {name} decision"))
        lines = _fitting(TEXT, kept.get(f"case {name} text"))
        said = [
            f"- {label}: {' '.join(lines[key].split())}"
            for key, label in _LINES.items()
            if lines and lines[key].strip()
        ]
        if decision or said:
            parts.append("\n\n".join(filter(None, [f"### {_CASES[name]}", _decided(name, decision), "\n".join(said)])))
    return "\n\n".join(parts)


def _fitting(form: Form, value: Any) -> dict[str, Any] | None:
    try:
        form(value, "case")
    except ValueError:
        return None
    return dict(value)


def _decided(name: str, decision: dict[str, Any] | None) -> str:
    if decision is None:
        return ""
    about = f"{' '.join(decision['words'].split())}; cutoffs {', '.join(f'{c:,}' for c in decision['cutoffs'])}; "
    about += f"tails of width {', '.join(map(str, decision['widths']))}; {100 * decision['head share']:.1f} % of the "
    about += f"{SCENARIOS[name].unit}s read are in the head."
    values = (
        ("time of a step", f"{1e3 * decision['seconds']:,.3g} ms"),
        ("memory of the parameters", f"{decision['bytes'] / 1e6:,.3g} MB"),
        ("mean numbers per token", f"{decision['width']:,.3g}"),
    )
    within = [*decision["within"], *[None] * 3]
    rows = [[what, value, {True: "yes", False: "no", None: ""}[within[i]]] for i, (what, value) in enumerate(values)]
    return f"{about}\n\n{markdown_table(['', 'by the cost model', 'within the budget'], rows)}"
