"""What a layer takes beyond its products: layers that a benchmark timed beside their parts, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from ...files import read_json
from ...results.folders import results_folder
from ..kit.picker import COLORS
from ..kit.plots import FULL_COLOR, MEASURED, TEXT_COLOR, filled

Row = dict[str, Any]


def timed_parts(folder: Path | None = None) -> list[Row]:
    """The layers that `bench cost` timed beside their parts, the fastest first; ``folder``: by default of the stored
    results."""
    record = read_json((folder or results_folder()) / "bench-cost-cpu.json")
    found = [row for row in record["rows"] if "parts ms" in row]
    return sorted(found, key=lambda row: float(row["measured ms"]))


def parts_figure(rows: Sequence[Row]) -> go.Figure:
    """Bare products and all parts, in percent of the time of the whole layer."""
    names = [f"V = {row['V']:,}, d = {row['d']}, B = {row['B']:,}: {row['measured ms']:,.3g} ms" for row in rows]
    products, parts = ([100 * row[column] / row["measured ms"] for row in rows] for column in _COLUMNS)
    figure = go.Figure()
    figure.add_bar(
        y=names,
        x=products,
        orientation="h",
        name="its matrix products alone",
        marker_color=COLORS[0],
        hovertemplate="%{y}<br>matrix products alone: %{x:.0f} % of the layer<extra></extra>",
    )
    figure.add_scatter(
        y=names,
        x=parts,
        mode="markers",
        name="all its parts, one after the other",
        marker={**MEASURED, "size": 12, "color": TEXT_COLOR},
        hovertemplate="%{y}<br>all parts: %{x:.0f} % of the layer<extra></extra>",
    )
    figure.add_vline(x=100, line={"color": FULL_COLOR, "width": 2, "dash": "dash"})
    figure.update_xaxes(title_text="time, % of that of the whole layer", range=(0, max(110.0, 1.05 * max(parts))))
    figure.update_yaxes(title_text="")
    figure = filled(figure, {}, {}, 110 + 26 * len(rows))
    legend = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}
    figure.update_layout(showlegend=True, legend=legend, bargap=0.35)
    return figure


_COLUMNS = ("products ms", "parts ms")
