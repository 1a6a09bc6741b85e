"""Pictures of the cut explorer for readers who run nothing."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from .explorer import Explorer
from .picker import COLORS, places
from .plots import FULL_COLOR, LOG, TEXT_COLOR, Data, Layout, filled, percent


def cut_data(explorer: Explorer) -> tuple[Data, Layout]:
    """Shares of words and tokens per cluster; cost per cluster; total against the cutoff that moved last."""
    names = explorer.names
    by_cluster = explorer.prediction.by_cluster()
    costs = {("sorting" if name == "all" else name): seconds for name, seconds in by_cluster.items()}
    order = [*names, "sorting"] if costs.get("sorting") else names
    i = explorer.active
    places, seconds = explorer.curve(i)
    here = explorer.cutoffs[i] if explorer.cutoffs else 1
    full = explorer.amount(explorer.full.seconds)
    data = {
        0: {"x": names, "y": np.asarray(explorer.word_shares)},
        1: {"x": names, "y": np.asarray(explorer.token_shares)},
        2: {"x": order, "y": np.asarray([explorer.amount(costs[name]) for name in order])},
        3: {"x": places, "y": explorer.amount(seconds)},
        4: {"x": places[[0, -1]], "y": np.full(2, full)},
        5: {"x": np.full(1, float(here)), "y": np.full(1, explorer.amount(explorer.prediction.seconds))},
    }
    unit = explorer.unit
    return data, {"yaxis2.title.text": unit, "yaxis3.title.text": unit, "xaxis3.title.text": f"cutoff c{i + 1} (words)"}


def cut_figure(explorer: Explorer) -> go.Figure:
    """Three linked views of the cutoffs."""
    titles = ("words and tokens per cluster", "cost per cluster", "total against the full softmax")
    figure = make_subplots(1, 3, subplot_titles=titles, horizontal_spacing=0.1, column_widths=[0.38, 0.31, 0.31])
    colors = [*COLORS, FULL_COLOR]
    percent_bar = {
        "texttemplate": "%{y:.1%}",
        "textposition": "outside",
        "cliponaxis": False,
        "textangle": 0,
        "constraintext": "none",
    }
    hover = "%{x}: %{y:.2%}<extra>share of the "
    striped = {"color": colors, "pattern": {"shape": "/", "solidity": 0.35}}
    plain = {"color": colors}
    figure.add_bar(row=1, col=1, marker=striped, name="words", hovertemplate=hover + "words</extra>")
    figure.add_bar(row=1, col=1, marker=plain, name="tokens", hovertemplate=hover + "tokens</extra>", **percent_bar)
    figure.add_bar(
        row=1,
        col=2,
        marker={"color": colors},
        texttemplate="%{y:,.3~r}",
        **{k: v for k, v in percent_bar.items() if k != "texttemplate"},
    )
    figure.add_scatter(row=1, col=3, mode="lines", line={"color": COLORS[0], "width": 2.5}, name="these cutoffs")
    figure.add_scatter(
        row=1,
        col=3,
        mode="lines+text",
        line={"color": FULL_COLOR, "dash": "dash"},
        name="full softmax",
        text=["<br>full softmax", ""],
        textposition="bottom right",
    )
    figure.add_scatter(
        row=1, col=3, mode="markers", name="here", marker={"size": 13, "symbol": "diamond", "color": COLORS[5]}
    )
    figure.update_yaxes(row=1, col=1, tickformat=".0%", range=[0, 1.12], title_text="share (striped: words)")
    figure.update_yaxes(row=1, col=2, rangemode="tozero", tickformat=",.6~r")
    figure.update_xaxes(row=1, col=3, **LOG)
    figure.update_yaxes(row=1, col=3, type="log", dtick="D2", tickformat=",.6~r")
    figure.update_annotations(font_size=13)
    data, layout = cut_data(explorer)
    return filled(figure, data, layout, 310)


def picker_figure(explorer: Explorer) -> go.Figure:
    """What the draggable picker shows, for a page that runs nothing."""
    words, n = explorer.vocabulary, len(explorer.vocabulary)
    ranks = places(n)
    seen = ranks[words.counts[ranks - 1] > 0]
    figure = make_subplots(specs=[[{"secondary_y": True}]])
    figure.add_scatter(x=seen, y=words.shares[seen - 1], mode="lines", line={"color": TEXT_COLOR, "width": 2})
    figure.add_scatter(
        x=ranks, y=words.cumulative[ranks], mode="lines", line={"color": TEXT_COLOR, "dash": "dash"}, secondary_y=True
    )
    edges = [1, *explorer.cutoffs, n]
    for i, (name, share) in enumerate(zip(explorer.names, explorer.token_shares, strict=True)):
        low, high = edges[i], edges[i + 1]
        figure.add_vrect(low, high, fillcolor=COLORS[i], opacity=0.22, line_width=0, layer="below")
        figure.add_annotation(
            x=(np.log10(low) + np.log10(high)) / 2,
            y=1.1,
            yref="paper",
            showarrow=False,
            text=f"<b>{name} · {percent(share)} of tokens</b>",
        )
    for i, cutoff in enumerate(explorer.cutoffs):
        figure.add_vline(cutoff, line={"color": TEXT_COLOR, "width": 2})
        figure.add_scatter(
            x=[cutoff],
            y=[0.9 - 0.1 * i],
            mode="markers+text",
            text=[f"  c{i + 1} = {cutoff:,}"],
            textposition="middle right",
            marker={"size": 15, "color": COLORS[0]},
            secondary_y=True,
        )
    figure.update_xaxes(
        type="log", dtick=1, tickformat=",d", title_text="words, most frequent first", range=[0, np.log10(n)]
    )
    figure.update_yaxes(**{**LOG, "dtick": 2}, title_text="share of tokens, each word")
    figure.update_yaxes(
        type="linear",
        dtick=0.25,
        tickformat=".0%",
        range=[0, 1],
        showgrid=False,
        secondary_y=True,
        title_text="all words so far (dashed)",
    )
    return filled(figure, {}, {}, 300)
