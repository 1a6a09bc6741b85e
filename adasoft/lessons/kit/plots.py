"""What the figures of all lessons share: colours, template, pushing new data, the registry of stills, numbers as text.

A figure is a pair: ``..._data`` gives what changes, trace by trace, and ``..._figure`` a complete ``go.Figure`` made of
it. Panels push the data into a live copy (`LiveFigure.push`); stills render the figure.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import plotly.graph_objects as go

from .explorer import Explorer
from .picker import COLORS

Data = dict[int, dict[str, Any]]
Layout = dict[str, Any]
TEXT_COLOR, _GRID = "#727a82", "rgba(128,136,144,.28)"  # legible on white and on near-black
FULL_COLOR = "#888888"
#: One grammar of marks in all lessons; the colour says which cluster, and these are grey where there is none. What is
#: predicted is a line, what is measured a filled circle.
MEASURED = {"symbol": "circle", "size": 9}
YOU = {"symbol": "circle-open", "size": 15, "line": {"width": 3}, "color": TEXT_COLOR}
PLANNED = {"symbol": "star", "size": 15, "color": TEXT_COLOR}
GUESSED = {"symbol": "x-thin", "size": 12, "line": {"width": 3, "color": TEXT_COLOR}, "color": TEXT_COLOR}
_AXIS = {"gridcolor": _GRID, "zerolinecolor": _GRID, "linecolor": _GRID, "automargin": True, "title_standoff": 8}
TEMPLATE = go.layout.Template(
    layout={
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": TEXT_COLOR, "size": 12},
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "colorway": list(COLORS),
        "margin": {"l": 50, "r": 20, "t": 44, "b": 44},
        "modebar": {"remove": ["sendChartToCloud"]},
        "hoverlabel": {"font": {"color": "#111"}, "bgcolor": "#eee"},
    }
)
#: A logarithmic axis. Plotly draws its powers larger than the numbers of other axes.
LOG = {"type": "log", "dtick": 1, "exponentformat": "power", "tickfont": {"size": 10}}
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


class Drawn(NamedTuple):
    """A picture that a page draws: what it shows, as data to compare, and the page, with its width and height."""

    shown: Any
    page: Callable[[], str]
    width: int
    height: int


Picture: TypeAlias = "go.Figure | str | Drawn"


class Still(NamedTuple):
    """What to draw, and what to say where it cannot be seen."""

    make: Callable[[], Picture]
    alt: str


STILLS: dict[str, Still] = {}


def still(name: str, alt: str) -> Callable[[Callable[[], Picture]], Callable[[], Picture]]:
    """Register a function as the still ``name`` (a file name without its end)."""

    def register(make: Callable[[], Picture]) -> Callable[[], Picture]:
        if name in STILLS and STILLS[name].make.__qualname__ != make.__qualname__:
            raise ValueError(f"name: there is a still {name!r} already, {STILLS[name].make.__qualname__}")
        STILLS[name] = Still(make, alt)
        return make

    return register


def plain(text: str) -> str:
    """A text that is not ours (a word, a name of a file or machine) for plotly, which would take <b> and <a> for markup
    wherever it shows text: names, categories, labels, titles."""
    return html.escape(text, quote=False)


def filled(figure: go.Figure, data: Data, layout: Layout, height: int) -> go.Figure:
    """The figure with the template, its data and layout filled in."""
    for i, properties in data.items():
        figure.data[i].update(properties)
    figure.update_layout(template=TEMPLATE, height=height, showlegend=False)
    for name, value in layout.items():
        figure.layout[name] = value
    return figure


def seconds_text(seconds: float) -> str:
    """1.2 s, 34 ms, 0.56 ms ..."""
    if seconds >= 1:
        return f"{seconds:,.1f} s"
    return f"{seconds * 1e3:,.3g} ms" if seconds >= 1e-4 else f"{seconds * 1e6:,.3g} µs"


def amount_text(explorer: Explorer, seconds: float) -> str:
    """A predicted time, or a count, with its unit."""
    if not explorer.counted:
        return seconds_text(seconds)
    value = float(explorer.amount(seconds))
    return f"{value:,.0f} {explorer.unit}" if value >= 100 else f"{value:.3g} {explorer.unit}"


def percent(share: float) -> str:
    """78.6 %, 0.062 % ..."""
    if share >= 0.9995 and share < 1:
        return f"{100 * share:.3f} %" if share < 0.99999 else "nearly 100 %"
    return f"{100 * share:.1f} %" if share >= 0.01 or share == 0 else f"{100 * share:.2g} %"


def times(ratio: float) -> str:
    """8.8, 102: how many times."""
    return f"{ratio:,.0f}" if ratio >= 99.5 else f"{ratio:.1f}"


def card_svg(rows: Mapping[str, str], at: int = 200) -> str:
    """A table of two columns as a picture, in the grey that reads on light and dark; the second begins ``at`` there."""
    lines = [
        f'<text x="8" y="{20 + 24 * i}" font-weight="bold">{html.escape(name)}</text>'
        f'<text x="{at}" y="{20 + 24 * i}">{html.escape(text)}</text>'
        for i, (name, text) in enumerate(rows.items())
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {at + 470} {12 + 24 * len(rows)}" '
        f'width="{at + 470}" style="font:13px sans-serif" fill="{TEXT_COLOR}">{"".join(lines)}</svg>'
    )
