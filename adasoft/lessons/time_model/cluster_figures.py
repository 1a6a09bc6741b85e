"""Figures of the second half of lesson 03: what the constant does to clusters, and a plan made by time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ...cost import Cost
from ...planning import Plan
from ...text import counted
from ..kit.done import guess_here
from ..kit.picker import COLORS, places
from ..kit.plots import (
    DASHES,
    FULL_COLOR,
    GUESSED,
    LOG,
    PLANNED,
    TEXT_COLOR,
    Data,
    Layout,
    filled,
    percent,
    seconds_text,
)
from .explorer import BY_SHARE, COUNTED, EACH, GUESS_BATCH, MOST_TAILS, TIMED, TimingExplorer
from .figures import numbers
from .flat_affine import PAPER_FULL, PAPER_SHORTLIST, PAPER_TWO, PAPER_TWO_SIZES

# ---------------------------------------------------------------------- two clusters, many clusters


#: How each model is drawn: colour, dash, mark.
_LOOKS = {
    COUNTED: (FULL_COLOR, DASHES[0], "circle"),
    BY_SHARE: (COLORS[1], DASHES[2], "square"),
    EACH: (COLORS[3], DASHES[1], "diamond"),
    TIMED: (COLORS[0], DASHES[0], "circle"),
}
GUESS = "guess best number"


def whose(explorer: TimingExplorer) -> str:
    """Whose timings price the curves, in two words."""
    return "recorded machine" if explorer.timings[1].startswith("recorded machine") else "this machine"


def clusters_data(explorer: TimingExplorer) -> tuple[Data, Layout]:
    """For each model: two clusters against the first one's size, and the best plan against the number of tails; both
    relative to the full softmax under the same model. Then the lowest points, earlier ones, and the guess."""
    data: Data = {}
    models = explorer.models()
    lowest: list[list[tuple[float, float]]] = [[], []]
    stars: list[list[str]] = [[], []]
    for i, (name, (color, *_)) in enumerate(_LOOKS.items()):
        if name not in models:
            data |= {j: {"x": np.ones(1), "y": np.full(1, np.nan), "showlegend": False} for j in (i, 4 + i)}
            continue
        two = explorer.shortlists(models[name])
        at = places(len(two.sizes), 160) - 1
        best = int(two.root.argmin())
        lowest[0].append((float(two.sizes[best]), float(two.root[best] / two.full)))
        data[i] = {"x": two.sizes[at].astype(float), "y": two.root[at] / two.full, "showlegend": True}
        if name == TIMED:
            data[i]["name"] = f"{TIMED} ({whose(explorer)})"
        shares = explorer.found_shares(models[name])
        if shares:
            lowest[1].append(min(((float(j), y) for j, y in shares.items()), key=lambda point: point[1]))
            stars[1].append(color)
        stars[0].append(color)
        data[4 + i] = {"x": numbers(list(shares)), "y": numbers(list(shares.values()))}
    for i, found in enumerate(lowest):
        data[8 + i] = {
            "x": numbers([x for x, _ in found]),
            "y": numbers([y for _, y in found]),
            "marker.color": stars[i] or [TEXT_COLOR],
        }
    label, before = explorer.earlier_search()
    data[10] = {
        "x": numbers(list(before)),
        "y": numbers(list(before.values())),
        "name": f"timings at {label}" if label else "",
        "showlegend": bool(label),
    }
    guess = guess_here("best number", explorer) if explorer.batch == GUESS_BATCH else None  # else it was no guess
    tails = math.nan if guess is None else guess
    timed = explorer.found_shares(models[TIMED]) if TIMED in models else {}
    place = math.nan if guess is None else timed.get(round(guess), math.nan)
    data[11] = {
        "x": numbers([tails]),
        "y": np.full(1, place),
        "showlegend": not math.isnan(place),
    }
    return data, {}


def clusters_figure(explorer: TimingExplorer) -> go.Figure:
    """Size of the short-list, and number of clusters, under each model."""
    titles = ("two clusters of full width", f"the best plan with J = 0 to {MOST_TAILS} tails")
    figure = make_subplots(1, 2, subplot_titles=titles, horizontal_spacing=0.13)
    for column, mode in ((1, "lines"), (2, "lines+markers")):
        said = (
            "%{fullData.name}: head of %{x:,d} words, %{y:.1%} of the full softmax<extra></extra>"
            if column == 1
            else "%{fullData.name}, J = %{x}: %{y:.1%} of the full softmax<extra></extra>"
        )
        for name, (color, dash, symbol) in _LOOKS.items():
            line = {"color": color, "dash": dash, "width": 2.5}
            marker = {"symbol": symbol, "size": 7}
            figure.add_scatter(
                row=1,
                col=column,
                mode=mode,
                name=name,
                line=line,
                marker=marker,
                hovertemplate=said,
                showlegend=column == 1,
                legendgroup=name,
            )
    for column in (1, 2):
        figure.add_scatter(
            row=1, col=column, mode="markers", name="lowest", showlegend=column == 1, marker=PLANNED, hoverinfo="skip"
        )
    earlier = {"color": TEXT_COLOR, "width": 1.5, "dash": "dot"}
    figure.add_scatter(row=1, col=2, mode="lines+markers", line=earlier, marker={"size": 5}, opacity=0.8)
    figure.add_scatter(row=1, col=2, mode="markers", name="your guess", marker=GUESSED)
    figure.update_xaxes(row=1, col=1, title_text="words in the head, k<sub>h</sub>", **LOG)
    figure.update_xaxes(row=1, col=2, title_text="number of tails J", dtick=1, range=[-0.4, MOST_TAILS + 0.4])
    figure.update_yaxes(type="log", tickvals=[0.05, 0.07, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 2], tickformat=".0%")
    figure.update_yaxes(title_text="of the full softmax's time")
    figure.update_annotations(font_size=13)
    figure = filled(figure, *clusters_data(explorer), 340)
    # the legend has its own place, whatever the width: at a place of the plot's it would lie on the titles of the axes
    legend = {"orientation": "h", "yref": "container", "y": 0.0, "yanchor": "bottom"}
    figure.update_layout(showlegend=True, legend=legend, margin={"t": 34, "b": 132})
    return figure


def number_sentence(explorer: TimingExplorer) -> tuple[str, str]:
    """The best number of tails under each model: the result, and the rest."""
    best, missing = {}, []
    for name, cost in explorer.models().items():
        shares = explorer.found_shares(cost)
        if shares:
            best[name] = min(shares, key=lambda j: shares[j])
        else:
            missing.append(name)
    if not best:
        return "Press “Search”: an exact search for each number of tails under each model.", ""
    if missing:
        return f"Press “Search” for the curves “{'” and “'.join(missing)}”.", ""
    result = f"Fewest multiplications: {counted(best[COUNTED], 'tail')}."
    if TIMED in best:
        most = " (the most tried)" if best[TIMED] == MOST_TAILS else ""
        result += f" Least time on {_the(whose(explorer))}, at B = {explorer.batch:,}: "
        result += f"{counted(best[TIMED], 'tail')}{most}."
    line = "your points" if explorer.line_is_yours else f"the timings of {_the(whose(explorer))}"
    rest = [
        f"With c from the best line through {line} at these sizes: if a tail pays c by its share of the tokens, as in "
        f"the paper's first version, the best is J = {best[BY_SHARE]}"
        f"{' (the most tried)' if best[BY_SHARE] == MOST_TAILS else ''}; if every cluster pays it, J = {best[EACH]}."
    ]
    label, before = explorer.earlier_search()
    if before:
        rest.append(f"At {label} the timings were best with {counted(min(before, key=lambda j: before[j]), 'tail')}.")
    return result, " ".join(rest)


def _the(machine: str) -> str:
    return "the recorded machine" if machine == "recorded machine" else machine


def shortlist_sentence(explorer: TimingExplorer) -> str:
    """The best short-list under each model, in words, and the paper's beside it."""
    parts = []
    for name, cost in explorer.models().items():
        two = explorer.shortlists(cost)
        best = int(two.root.argmin())
        parts.append(f"{name} {int(two.sizes[best]):,} words ({two.full / two.root[best]:.1f} times faster than full)")
    return f"Best head with one tail of full width: {'; '.join(parts)}. {beside_two(explorer)}"


def beside_two(explorer: TimingExplorer) -> str:
    """The paper's experiment with two clusters beside this machine's, and one sentence on where they disagree."""
    gain = PAPER_FULL / PAPER_TWO
    text = (
        f"Beside the paper: on the Penn Treebank (V = 10,000, d = 128, B = 512, a GPU) it found {PAPER_SHORTLIST:,} "
        f"words best, {gain:.1f} times faster than the full softmax ({1e3 * PAPER_TWO:.2f} ms against "
        f"{1e3 * PAPER_FULL:.2f} ms)"
    )
    now = {"n_words": len(explorer.vocabulary), "in_features": explorer.in_features, "batch": explorer.batch}
    timings = explorer.timings[0]
    if now != PAPER_TWO_SIZES or timings is None:
        return f"{text}; press “The paper's sizes” to compare."
    two = explorer.shortlists(timings)
    best = int(two.root.argmin())
    ours, seconds = float(two.full / two.root[best]), float(two.root[best])
    text += (
        f". Here, with its sizes but other words, and with softmax and gradients: {int(two.sizes[best]):,} words, "
        f"{ours:.1f} times faster ({seconds_text(seconds)} against {seconds_text(float(two.full))})."
    )
    constants = percent(2 * float(timings.product_time(1, explorer.batch, explorer.in_features)) / seconds)
    if ours > 1.05 * gain:
        return (
            f"{text} The gain is larger here, because starting the two products takes only {constants} of the time. "
            "On the paper's GPU the whole layer took little longer than the flat part of one product."
        )
    if ours < gain / 1.05:
        return f"{text} The gain is smaller here: starting the two products takes {constants} of the time."
    return f"{text} They agree."


# ---------------------------------------------------------------------- replanned


NO_TIMINGS = "there are no timings to plan with: time this machine (00) or run `python -m adasoft calibrate`"


def plans_compared(explorer: TimingExplorer, batch: int | None = None) -> dict[str, Plan]:
    """The plan made by counting and the one made by timings, each with the best number of tails, at the present B or
    another."""
    models = explorer.models()
    if TIMED not in models:
        raise LookupError(NO_TIMINGS)
    return {name: explorer.best_plan(models[name], MOST_TAILS, batch) for name in (COUNTED, TIMED)}


def timed_plan(explorer: TimingExplorer, batch: int | None = None) -> Plan:
    """The fastest plan by the timings, whatever its number of tails, at the present B or another."""
    models = explorer.models()
    if TIMED not in models:
        raise LookupError(NO_TIMINGS)
    return explorer.best_plan(models[TIMED], MOST_TAILS, batch)


def replan_rows(explorer: TimingExplorer, batch: int | None = None) -> dict[str, tuple[tuple[int, ...], float]]:
    """Cutoffs and predicted seconds, all judged by the timings: the authors', the counted plan, the timed plan; at the
    present B or another."""
    chosen = {"the authors' cutoffs": explorer.paper_cutoffs()}
    chosen |= {f"planned by {name}": plan.cutoffs for name, plan in plans_compared(explorer, batch).items()}
    cost = explorer.models()[TIMED]
    return {name: (cutoffs, _seconds(explorer, cost, cutoffs, batch)) for name, cutoffs in chosen.items()}


def _seconds(explorer: TimingExplorer, cost: Cost, cutoffs: Sequence[int], batch: int | None = None) -> float:
    shares = np.diff(explorer.vocabulary.cumulative[[*cutoffs, len(explorer.vocabulary)]]).tolist()
    widths = explorer.widths_for(len(cutoffs))
    tokens = batch or explorer.batch
    return cost.layer(len(explorer.vocabulary), cutoffs, widths, shares, explorer.in_features, tokens).seconds


def replan_data(explorer: TimingExplorer) -> tuple[Data, Layout]:
    """Predicted times of the three cuts."""
    rows = replan_rows(explorer)
    names = list(rows)[::-1]
    texts = [f"{seconds_text(rows[n][1])}, {counted(len(rows[n][0]), 'tail')} " for n in names]
    # at another B it was no guess
    guess = guess_here("worth of time", explorer) if explorer.batch == GUESS_BATCH else None
    (_, slow) = rows[f"planned by {COUNTED}"]
    place = slow * (1 - guess / 100) if guess is not None and guess < 100 else math.nan
    return {
        0: {"y": names, "x": np.asarray([1e3 * rows[n][1] for n in names]), "text": texts},
        1: {"y": names[:1], "x": np.full(1, 1e3 * place), "showlegend": not math.isnan(place)},
    }, {
        "xaxis.range": (0, 1.05e3 * max(s for _, s in rows.values())),
        "yaxis.tickvals": tuple(range(len(names))),
        "yaxis.ticktext": tuple(f"{n}<br><b>{text.strip()}</b>" for n, text in zip(names, texts, strict=True)),
    }


def replan_figure(explorer: TimingExplorer) -> go.Figure:
    """What a plan by counting and a plan by timings take."""
    figure = go.Figure()
    figure.add_bar(
        orientation="h",
        showlegend=False,
        marker={"color": [COLORS[0], COLORS[1], FULL_COLOR]},
        textposition="none",  # beside the name: on the bar it is dim, beyond it the cross of the guess would cover it
        hovertemplate="%{y}:%{text}<extra></extra>",
    )
    said = "your guess: %{x:.3~g} ms<extra></extra>"
    figure.add_scatter(mode="markers", name="your guess", marker=GUESSED, hovertemplate=said)
    figure.update_xaxes(title_text=f"one training step, predicted ({whose(explorer)}), ms")
    figure.update_yaxes(type="category", tickmode="array", ticks="outside", ticklen=5, tickcolor="rgba(0,0,0,0)")
    figure = filled(figure, *replan_data(explorer), 206)
    legend = {"orientation": "h", "x": 1.0, "xanchor": "right", "y": 1.0, "yanchor": "bottom"}
    figure.update_layout(margin_t=28, showlegend=True, legend=legend)
    return figure


def replan_gain(explorer: TimingExplorer, batch: int | None = None) -> float:
    """By what part of its time the timed plan is faster than the counted one, both judged by the timings."""
    _, (_, counted_plan), (_, timed) = replan_rows(explorer, batch).values()
    return 1 - timed / counted_plan


def replan_sentence(explorer: TimingExplorer) -> tuple[str, str]:
    """The two plans as text: what the difference is worth, and the rest."""
    rows = replan_rows(explorer)
    _, (by_count, slow), (by_time, fast) = rows.values()
    result = (
        f"Planned by counts: {counted(len(by_count), 'tail')}, {seconds_text(slow)}. Planned by time: "
        f"{counted(len(by_time), 'tail')}, {seconds_text(fast)}, {percent(1 - fast / slow)} of a step less."
    )
    counting = explorer.models()[COUNTED]
    more = _seconds(explorer, counting, by_time) / _seconds(explorer, counting, by_count) - 1
    rest = (
        f"Cutoffs by counts: {_list(by_count)}; by time: {_list(by_time)}. The plan by time does {percent(more)} more "
        f"multiplications. Judged by {explorer.timings[1]}."
    )
    return result, rest


def _list(cutoffs: Sequence[int]) -> str:
    return ", ".join(f"{c:,}" for c in cutoffs) or "none"
