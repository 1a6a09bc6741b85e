"""Figures of the lesson on clusters, and their sentences; no widgets."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ...cost import Cost
from ...planning import Plan
from ...tradeoffs import FrontPoint
from ...vocabulary import Vocabulary
from ..kit.explorer import Explorer
from ..kit.parts import listed
from ..kit.plots import (
    FULL_COLOR,
    GUESSED,
    PLANNED,
    TEXT_COLOR,
    YOU,
    Data,
    Layout,
    filled,
    percent,
    plain,
    seconds_text,
)
from .duel import FEWEST, Duel
from .explorer import Tails


def _words_at(words: Vocabulary, cutoffs: Sequence[int]) -> str:
    """The last word before each cutoff, for a tooltip."""
    if words.words is None or not cutoffs:
        return ""
    return "<br>cut after " + " and ".join(f"“{plain(words.words[c - 1])}” ({c:,})" for c in cutoffs)


def _tails(n: int) -> str:
    return "1 tail" if n == 1 else f"{n} tails"


# ---------------------------------------------------------------- what a further tail costs and saves


def tails_data(
    clocks: Sequence[tuple[Cost, list[Tails]]], words: Vocabulary, guess: float | None = None
) -> tuple[Data, Layout]:
    """For each of two clocks: starting time and work of the best cutoffs, per number of tails; the best of them.

    ``guess``: how many times faster two tails are than one on the first clock, as the reader sees it.
    """
    data: Data = {}
    layout: Layout = {}
    for i, (cost, rows) in enumerate(clocks):
        names = [str(row.plan.n_tails) for row in rows]
        total = np.array([row.plan.time * 1e3 for row in rows])
        starting = np.array([row.starting * 1e3 for row in rows])
        fastest, highest = [int(total.argmin())] if rows else [], float(total.max(initial=1e-9))
        spoken = [
            f"{_tails(row.plan.n_tails)}: {seconds_text(row.plan.time)}, "
            f"{seconds_text(row.starting)} of it to start the products{_words_at(words, row.plan.cutoffs)}"
            for row in rows
        ]
        data[3 * i] = {"x": names, "y": starting, "hovertext": spoken}
        data[3 * i + 1] = {
            "x": names,
            "y": np.maximum(total - starting, 0.0),
            "hovertext": spoken,
            "text": [f"{ms:,.0f}" if ms >= 100 else f"{ms:.3g}" for ms in total],
        }
        data[3 * i + 2] = {"x": [names[j] for j in fastest], "y": total[fastest] + 0.25 * highest}
        layout[f"yaxis{i + 1 if i else ''}.range"] = [0.0, 1.45 * highest]
        machine = plain(cost.name.replace("recorded machine: ", "recorded: ")).replace(", ", "<br>", 1)
        layout[f"xaxis{i + 1 if i else ''}.title.text"] = f"number of tails<br>{machine}"
    rows = clocks[0][1]
    drawn = guess is not None and guess > 0 and len(rows) > 1
    at = rows[0].plan.time * 1e3 / guess if drawn and guess else 0.0
    top = layout["yaxis.range"][1]
    data[6] = {
        "x": ["2"] if drawn else [],
        "y": np.array([min(at, 0.96 * top)] if drawn else []),
        "hovertext": [f"your guess: 2 tails are {guess:,.3g} times faster than 1"] if drawn else [],
    }
    return data, layout


def tails_figure(
    clocks: Sequence[tuple[Cost, list[Tails]]], words: Vocabulary, guess: float | None = None
) -> go.Figure:
    """The same words on two machines: does a further tail pay?"""
    figure = make_subplots(1, 2, horizontal_spacing=0.12)
    starting = {"color": TEXT_COLOR, "pattern": {"shape": "/", "solidity": 0.5}}
    for column in (1, 2):
        figure.add_bar(row=1, col=column, marker=starting, name="starting products", hoverinfo="text")
        figure.add_bar(
            row=1,
            col=column,
            marker={"color": FULL_COLOR, "opacity": 0.55},
            name="computing",
            hoverinfo="text",
            textposition="outside",
            cliponaxis=False,
            textangle=0,
            constraintext="none",
        )
        figure.add_scatter(row=1, col=column, mode="markers", marker=PLANNED, name="fastest", hoverinfo="skip")
        figure.update_xaxes(row=1, col=column, type="category")
        figure.update_yaxes(row=1, col=column, title_text="ms per step", tickformat=",.6~r")
    for trace in figure.data[3:]:
        trace.showlegend = False
    figure.add_scatter(row=1, col=1, mode="markers", marker=GUESSED, name="your guess", hoverinfo="text")
    figure.update_layout(barmode="stack", dragmode=False)
    figure = filled(figure, *tails_data(clocks, words, guess), 320)
    figure.update_layout(showlegend=True, legend={"orientation": "h", "y": 1.24, "x": 0}, margin={"t": 70})
    return figure


def tails_sentence(cost: Cost, rows: list[Tails]) -> str:
    """What the second tail costs and saves on one clock."""
    if not rows:
        return f"{cost.name}: with 75 % of the tokens in the head, these words leave nothing for a tail."
    best = min(rows, key=lambda row: row.plan.time)
    text = f"{cost.name[0].upper()}{cost.name[1:]}: the fastest has {_tails(best.plan.n_tails)}."
    if len(rows) < 2:
        return text
    one, two = rows[:2]
    adds, saves = two.starting - one.starting, (one.plan.time - one.starting) - (two.plan.time - two.starting)
    return (
        f"{text} A second tail takes {seconds_text(adds)} more to start and saves {seconds_text(max(saves, 0.0))} of "
        f"computing: {'it pays' if saves > adds else 'it does not pay'}."
    )


# ---------------------------------------------------------------- time against capacity


def front_data(
    points: list[FrontPoint], you: tuple[float, float] | None, found: Plan, words: Vocabulary
) -> tuple[Data, Layout]:
    """Time against mean width, the reader's layer, and the plan with its floor."""
    trades = [point for point in points if point.cutoffs] or points
    spoken = [
        f"{seconds_text(point.time)}, {point.mean_width:,.0f} numbers per token, head {percent(point.head_share)} of "
        f"the tokens{_words_at(words, point.cutoffs)}"
        for point in trades
    ]
    planned = mean_width(found.in_features, found.widths, found.shares)
    times = np.array([point.time * 1e3 for point in trades])
    ticks = round_ticks(times.min(), times.max())
    data: Data = {
        0: {
            "x": np.array([point.mean_width for point in trades]),
            "y": times,
            "hovertext": spoken,
        },
        1: {
            "x": np.array([planned]),
            "y": np.array([found.time * 1e3]),
            "hovertext": [
                f"at least 75 % of the tokens in the head: {seconds_text(found.time)}{_words_at(words, found.cutoffs)}"
            ],
        },
        2: {
            "x": np.array([you[0]] if you else []),
            "y": np.array([you[1] * 1e3] if you else []),
            "hovertext": [f"your cutoffs of section 3: {seconds_text(you[1])}"] if you else [],
        },
    }
    return data, {"yaxis.tickvals": ticks, "yaxis.ticktext": [f"{tick:,.6g}" for tick in ticks]}


def round_ticks(low: float, high: float) -> list[float]:
    """Round numbers between these, three at least, for a logarithmic axis that may hold no power of ten.

    >>> round_ticks(2.4, 3.4), round_ticks(237, 1408)
    ([2.4, 2.6, 2.8, 3.0, 3.2, 3.4], [300.0, 500.0, 700.0, 1000.0])
    """
    for steps in ((1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        found = [step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high]
        if len(found) > 2:
            return found
    step = 10.0 ** math.floor(math.log10((high - low) / 3 or low))
    step *= 5 if (high - low) / step >= 12 else 2 if (high - low) / step >= 6 else 1
    return [round(k * step, 9) for k in range(math.ceil(low / step), math.floor(high / step + 1e-9) + 1)] or [low]


def mean_width(d: int, widths: Sequence[int], shares: Sequence[float]) -> float:
    """Numbers per token: d for a token of the head, the tail's width for others."""
    return float(np.dot([d, *widths], shares))


def front_figure(
    points: list[FrontPoint], you: tuple[float, float] | None, found: Plan, words: Vocabulary
) -> go.Figure:
    """What width costs in time."""
    figure = go.Figure()
    figure.add_scatter(
        mode="lines+markers",
        line={"color": TEXT_COLOR, "width": 2},
        marker={"size": 6},
        name=f"best layers with {_tails(max(len(point.cutoffs) for point in points))}",
        hoverinfo="text",
    )
    figure.add_scatter(mode="markers", marker=PLANNED, name="the planner's floor: head at least 75 %", hoverinfo="text")
    figure.add_scatter(mode="markers", marker=YOU, name="your cutoffs", hoverinfo="text")
    figure.update_xaxes(title_text=f"mean width: numbers per token, of d = {found.in_features:,}")
    figure.update_yaxes(title_text="ms per step", type="log")
    figure = filled(figure, *front_data(points, you, found, words), 330)
    legend = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}
    figure.update_layout(showlegend=True, legend=legend, margin={"t": 76}, dragmode=False)
    return figure


def other_front(yours: int, n_tails: int) -> str:
    """Why the reader's layer is not in the figure; empty where it is.

    >>> other_front(5, 2)
    ' Your layer has 5 tails; this curve is for 2, so it is not drawn here.'
    """
    if yours == n_tails:
        return ""
    layer = _tails(yours) if yours else "no tails"
    return f" Your layer has {layer}; this curve is for {n_tails}, so it is not drawn here."


def front_sentence(cost: Cost, points: list[FrontPoint], found: Plan) -> str:
    """The front in words."""
    fast = points[0]
    share = 1 - fast.time / found.time
    less = f"{100 * share:.1f} % less time" if share >= 5e-4 else "hardly less time"
    if not fast.cutoffs:
        return f"{cost.name}: no cutoffs are faster than the full softmax here."
    width = mean_width(found.in_features, found.widths, found.shares)
    return (
        f"{cost.name[0].upper()}{cost.name[1:]}, {_tails(found.n_tails)}: with the floor, {seconds_text(found.time)} "
        f"and {width:,.0f} numbers per token; the fastest, without it, "
        f"{seconds_text(fast.time)} ({less}) and {fast.mean_width:,.0f} numbers."
    )


# ---------------------------------------------------------------- the measured game


def duel_data(found: Duel) -> tuple[Data, Layout]:
    """Two medians with quartiles, and the two predictions."""
    sides = (found.planner, found.you)  # plotly draws the first at the bottom
    names = [f"{name}: {listed(side.cutoffs)}" for name, side in zip(("planner", "you"), sides, strict=True)]
    medians = np.array([side.median * 1e3 for side in sides])
    spoken = [
        f"{name}: median {seconds_text(side.median)}, quartiles {seconds_text(side.q1)} and {seconds_text(side.q3)}, "
        f"{side.n} steps; predicted {seconds_text(side.predicted)}"
        for name, side in zip(("the planner", "you"), sides, strict=True)
    ]
    data: Data = {
        0: {
            "y": names,
            "x": medians,
            "hovertext": spoken,
            "error_x.array": np.array([side.q3 * 1e3 for side in sides]) - medians,
            "error_x.arrayminus": medians - np.array([side.q1 * 1e3 for side in sides]),
        },
        1: {"y": names, "x": np.array([side.predicted * 1e3 for side in sides]), "hovertext": spoken},
    }
    return data, {}


def duel_figure(found: Duel) -> go.Figure:
    """Measured steps of both layers beside what was predicted."""
    figure = go.Figure()
    figure.add_bar(
        orientation="h",
        marker={"color": FULL_COLOR, "opacity": 0.4},
        error_x={"type": "data", "symmetric": False, "array": [0, 0], "color": TEXT_COLOR, "thickness": 2, "width": 8},
        name="measured: median and quartiles",
        hoverinfo="text",
    )
    figure.add_scatter(
        mode="markers",
        marker={"symbol": "diamond-tall", "size": 22, "color": TEXT_COLOR, "line": {"width": 2, "color": "#ffffff"}},
        name="predicted",
        hoverinfo="text",
    )
    figure.update_xaxes(title_text="ms per training step", rangemode="tozero")
    figure = filled(figure, *duel_data(found), 190)
    figure.update_layout(showlegend=True, legend={"orientation": "h", "y": 1.3, "x": 0}, dragmode=False)
    return figure


def duel_sentence(found: Duel) -> str:
    """Who won, in one sentence."""
    you, planner = found.you, found.planner
    smaller = "" if found.batch == found.asked else f" (B = {found.batch:,}, so that it takes seconds)"
    if found.outcome == "too busy":
        steps = min(you.n, planner.n)
        why = (
            f"Your machine was too busy: of one layer, slow steps took {found.spread:.1f} times as long as fast ones"
            if steps >= FEWEST
            else f"There was time for {steps} step{'' if steps == 1 else 's'} of each layer only"
        )
        return f"{why}. What was measured here{smaller} cannot tell the two apart. Measure again."
    verdict = {
        "you": "You are faster",
        "planner": "The planner is faster",
        "alike": "A draw: the medians differ by no more than chance",
    }[found.outcome]
    measured = planner.median / you.median
    return (
        f"{verdict}. The planner's time over yours: {planner.predicted / you.predicted:.2f} predicted by "
        f"{found.whose}, {measured:.2f} ± {(you.unsure + planner.unsure) * measured:.2f} measured here{smaller}."
    )


def game_verdict(explorer: Explorer, yours: float, found: Plan) -> str:
    """How far the planner is ahead."""
    behind = yours / found.time - 1
    if behind < 1e-9:
        return "A draw: you found the best pair."
    if behind < 0.02:
        return f"Within {100 * behind:.2g} % of the planner: as good in practice, because the valley is flat."
    much = f"{100 * behind:.0f} %" if behind < 1 else f"{1 + behind:.1f} times"
    return f"The planner is {much} faster, at {listed(found.cutoffs)}."
