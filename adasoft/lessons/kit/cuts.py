"""Cutoffs, dragged, slid and typed: the figure of what follows from them, its sentence, and the panel around both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import ipywidgets as w
import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ...planning import Plan
from .costs import COUNTED_MULTIPLICATIONS
from .explorer import MAX_TAILS, WIDTH_RULES, Explorer
from .parts import WIDE, Line, Pair, Panel, costs_at_hand, listed, live, row, safely
from .picker import COLORS, CutPicker, places
from .plots import FULL_COLOR, LOG, TEXT_COLOR, Data, Layout, amount_text, filled, percent
from .widgets import NumberBox


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


def cut_sentence(explorer: Explorer) -> str:
    """The cut figure in words."""
    shares, cutoffs = explorer.token_shares, explorer.cutoffs
    full = amount_text(explorer, explorer.full.seconds)
    if not cutoffs:
        return f"No cutoffs: a full softmax over all {len(explorer.vocabulary):,} words, {full}."
    costs = {k: v for k, v in explorer.prediction.by_cluster().items() if k != "all"}
    costliest = max(costs, key=lambda name: costs[name])
    tails = ", ".join(
        f"{name} {percent(share)} (width {width})"
        for name, share, width in zip(explorer.names[1:], shares[1:], explorer.widths, strict=True)
    )
    costliest = "The head" if costliest == "head" else costliest.capitalize()
    verb = "counted" if explorer.counted else "predicted"
    ratio = explorer.speedup
    compared = f"{ratio:,.1f} times cheaper" if ratio >= 1 else f"{1 / ratio:,.1f} times MORE EXPENSIVE"
    return (
        f"The head holds {cutoffs[0]:,} words ({percent(cutoffs[0] / len(explorer.vocabulary))} of them) and "
        f"{percent(shares[0])} of the tokens; {tails}. {costliest} costs most. In total, {verb}: "
        f"{amount_text(explorer, explorer.prediction.seconds)}, {compared} than the full softmax with {full}."
    )


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


def cutoff_pair(panel: Panel, explorer: Explorer, i: int, name: str, number_name: str, unit: str = "words") -> Pair:
    """Slider and number box of cutoff i (from 0)."""
    number = NumberBox(description=number_name, unit=unit, width="120px")
    act = lambda value, clip: explorer.set_cutoff(i, round(value), clip=clip)  # noqa: E731
    return Pair(panel, number, name, act, log=True)


def cut_picker(panel: Panel, explorer: Explorer, height: int = 260) -> tuple[CutPicker, Callable[[], None]]:
    """The curve of the words with a handle for each cutoff, and the function that draws it anew."""
    picker = CutPicker(height=height)

    def dragged(cuts: Sequence[int]) -> None:
        # both come in one message, so `moved` is already new
        if len(cuts) == len(explorer.cutoffs):
            explorer.set_cutoff(min(picker.moved, len(cuts) - 1), cuts[picker.moved], clip=True)
            explorer.cutoffs = tuple(cuts)

    panel.on_value(picker, dragged, "cuts")

    def redraw() -> None:
        bands = [f"{n} · {percent(p)} of tokens" for n, p in zip(explorer.names, explorer.token_shares, strict=True)]
        with panel.writing():
            picker.show(explorer.vocabulary, explorer.cutoffs, bands)

    return picker, redraw


def plan_text(explorer: Explorer, found: Plan) -> str:
    """A plan in one sentence."""
    if not found.cutoffs:
        return "Planned: no cutoffs, so there is nothing to place. Choose how many you want."
    others = "no other cutoff is" if found.n_tails == 1 else f"no other {found.n_tails} cutoffs are"
    return (
        f"Planned: {listed(found.cutoffs)} (at least {100 * found.min_head_share:.0f} % of the tokens in the head). "
        f"{amount_text(explorer, found.time)}, {found.speedup:,.1f} times cheaper than the full softmax; {others} "
        "better under this cost model."
    )


def cut_panel(explorer: Explorer, *, most: int = MAX_TAILS, settings: bool = True, slot: str = "cuts") -> w.VBox:
    """Cutoffs dragged on the plot, slid and typed; shares, cost per cluster and total follow.

    Args:
        explorer: what it reads and writes.
        most: how many cutoffs can be had, 1 to 5; with 1 the number is not offered.
        settings: offer the cost model, the widths, d and B.
        slot: a second panel for one explorer needs another name here.
    """
    panel = Panel()
    picker, redraw_picker = cut_picker(panel, explorer)
    figure, words = live(cut_figure(explorer)), Line()
    names = [f"cutoff {i + 1}" for i in range(most)]
    pairs = [cutoff_pair(panel, explorer, i, name, f"{name}, words") for i, name in enumerate(names)]

    n_tails = w.Dropdown(
        options=list(range(most + 1)), description="number of cutoffs", style=WIDE, layout=w.Layout(width="190px")
    )
    costs = costs_at_hand(COUNTED_MULTIPLICATIONS, explorer)
    cost = w.Dropdown(options=list(costs), description="cost model", style=WIDE, layout=w.Layout(width="430px"))
    widths = w.Dropdown(
        options=list(WIDTH_RULES), description="width of the tails", style=WIDE, layout=w.Layout(width="270px")
    )
    d, batch = NumberBox(description="hidden size d"), NumberBox(description="tokens per step B")
    panel.on_value(n_tails, explorer.set_n_tails)
    panel.on_value(cost, lambda name: setattr(explorer, "cost", costs[name]))
    panel.on_value(widths, lambda name: setattr(explorer, "width_rule", name))

    for box_, trait in ((d, "in_features"), (batch, "batch")):
        panel.on_number(box_, partial(setattr, explorer, trait), partial(getattr, explorer, trait))
    note, noted = Line(), {"cutoffs": explorer.cutoffs}

    def remark(text: str) -> None:
        noted["cutoffs"] = explorer.cutoffs
        note.say(text)

    def plan_it() -> None:
        found = explorer.plan_for_me()
        explorer.cutoffs = found.cutoffs
        remark(plan_text(explorer, found))

    def paper() -> None:
        explorer.cutoffs = explorer.paper_cutoffs()[:most]
        remark(f"The authors used these for a vocabulary of about this size: {listed(explorer.cutoffs)}.")

    buttons = row(
        panel.button("Plan for me", plan_it, "The exact best cutoffs, with at least 75 % of the tokens in the head"),
        panel.button("The authors' cutoffs", paper),
        panel.button("Reset", explorer.reset, "Back to the first cutoffs"),
    )

    def redraw() -> None:
        redraw_picker()
        if explorer.cutoffs != noted["cutoffs"]:
            note.say("")  # it spoke of others
        if explorer.cost.name not in costs:
            costs[explorer.cost.name] = explorer.cost
        for i, pair in enumerate(pairs):
            pair.row.layout.display = None if i < len(explorer.cutoffs) else "none"
            if i < len(explorer.cutoffs):
                pair.show(explorer.cutoffs[i], len(explorer.vocabulary) - 1)
        with panel.writing():
            if cost.options != tuple(costs):
                cost.options = tuple(costs)
            n_tails.value = len(explorer.cutoffs) if len(explorer.cutoffs) <= most else None
            cost.value, widths.value = explorer.cost.name, explorer.width_rule
            d.value, batch.value = explorer.in_features, explorer.batch
        figure.push(*cut_data(explorer))
        words.say(cut_sentence(explorer))

    # what is not offered is there all the same: so it is closed with the rest
    settings_rows = [row(cost, widths), row(d, batch)]
    for hidden in [*([] if settings else settings_rows), *([n_tails] if most == 1 else [])]:
        hidden.layout.display = "none"
    box = panel.box(picker, *(pair.row for pair in pairs), row(n_tails, buttons), *settings_rows, note, figure, words)
    explorer.attach(slot, safely(panel, redraw), box)
    return box
