"""The part of the reader's report that this lesson adds: each decision, and what the reader wrote about it."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

from ...text import markdown_table
from ..kit import done
from ..kit.forms import Form
from ..kit.progress import Step
from ..kit.saved import Entries
from .explorer import COMPARED, DECISION, LAYERS, LINES, TEXT, TITLES, keys_of
from .scenarios import NAMES

#: Of the reader's lines.
_LINES = dict(zip(LINES, ("What improved", "What got worse", "What could break it"), strict=True))


def section(entries: Entries) -> str:
    """All decisions and lines that are kept, as Markdown; empty where there are none."""
    kept, parts = entries.get(done.KEPT, {}), []
    for name in NAMES:
        decision, lines = (
            _fitting(form, kept.get(key)) for form, key in zip((DECISION, TEXT), keys_of(name), strict=True)
        )
        said = [f"- {label}: {_plain(lines[key])}" for key, label in _LINES.items() if lines and lines[key].strip()]
        if decision or said:
            parts.append("\n\n".join(filter(None, [f"### {TITLES[name]}", _decided(name, decision), "\n".join(said)])))
    return "\n\n".join(parts)


def _fitting(form: Form, value: Any) -> dict[str, Any] | None:
    try:
        form(value, "case")
    except ValueError:
        return None
    return dict(value)


def _plain(text: str) -> str:
    """A reader's text on one line, without markup."""
    return escape(" ".join(text.split()))


def _decided(name: str, decision: dict[str, Any] | None) -> str:
    if decision is None:
        return ""
    about = f"{_plain(decision['words'])}; {100 * decision['head share']:.1f} % of the tokens are in my head."
    layers = _fitting(LAYERS, decision)
    if layers:
        about += f" {_plain(layers['machine'])}"
    units = (
        ("time", "at most", 1e3, "ms"),
        ("memory of the parameters", "at most", 1e-6, "MB"),
        ("mean width", "at least", 1.0, "numbers"),
    )
    more = _fitting(COMPARED, decision)
    cutoffs, widths = (
        [of[key] if of else [] for of, key in ((decision, kind), (layers, f"found {kind}"))]
        for kind in ("cutoffs", "widths")
    )
    rows = [
        ["cutoffs", "; ".join(f"{c:,}" for c in cutoffs[0]), "", "", "; ".join(f"{c:,}" for c in cutoffs[1])],
        ["widths of the tails", ", ".join(map(str, widths[0])), "", "", ", ".join(map(str, widths[1]))],
    ]
    if layers:
        rows.append(["fewest numbers", layers["least"][0], "", "", layers["least"][1]])
    for i, (what, kind, by, unit) in enumerate(units):
        values = [decision[("seconds", "bytes", "width")[i]], *([more["budget"][i], more["found"][i]] if more else [])]
        mine, *others = (f"{number} {unit}" for number in _digits([by * value for value in values], what == "time"))
        found = [mine, f"{kind} {others[0]}", others[1]] if others else [mine, "", ""]
        rows.append([what, *found[:2], "yes" if decision["within"][i] else "no", found[2]])
    table = markdown_table(["", "mine", "budget", "kept", "the search’s"], rows)
    return "\n\n".join(filter(None, [about, table, _plain(more["training"]) if more else ""]))


def _digits(values: list[float], predicted: bool) -> list[str]:
    """A value, its limit and another, side by side: predictions in three digits, others in four; more where these do
    not tell the value from the limit."""
    digits = 3 if predicted else 4

    def texts() -> list[str]:
        return [f"{float(f'{value:.{digits}g}'):,.10g}" for value in values]

    while len(values) > 1 and digits < 6 and values[0] != values[1] and texts()[0] == texts()[1]:
        digits += 1
    return texts()


def decisions(entries: Entries) -> list[Step]:
    """The decision of each case, for the map of the lesson."""
    kept, steps = entries.get(done.KEPT, {}), []
    for name in NAMES:
        decision = _fitting(DECISION, kept.get(keys_of(name)[0]))
        within = decision is not None and all(decision["within"])
        state = "case open" if decision is None else f"case decided, {'within' if within else 'over'} the budget"
        tried = any(key in kept for key in keys_of(name))
        steps.append(Step("decision", f"case {name}", TITLES[name], decision is not None, tried, state, keys_of(name)))
    return steps
