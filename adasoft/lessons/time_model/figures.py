"""Figures of the lesson on the time model, and the sentences that say them in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ...planning import Plan
from ..kit.picker import COLORS, places
from ..kit.plots import DASHES, FULL_COLOR, LOG, Data, Layout, filled, percent, seconds_text
from .explorer import MOST_TAILS, TimingExplorer
from .flat_affine import (
    PAPER_FLAT,
    PAPER_FULL,
    PAPER_K0,
    PAPER_SHORTLIST,
    PAPER_TWO,
    PAPER_TWO_SIZES,
    FlatAffine,
)
from .timings import ONCE, TURNS, UNFINISHED, WAYS, Spread

SYMBOLS = ("circle", "square", "diamond", "star")


def _ms(seconds: Any) -> Any:
    return np.asarray(seconds, dtype=np.float64) * 1e3


def _numbers(values: Sequence[float]) -> Any:
    # an empty trace would be dropped from the legend's count of points: one that is not drawn stands for none
    return np.asarray(values, dtype=np.float64) if len(values) else np.full(1, np.nan)


# ---------------------------------------------------------------------- timed wrongly


def wrong_data(presses: Sequence[Mapping[str, float]], right: Spread | None) -> tuple[Data, Layout]:
    """The last press of the wrong button, the earlier ones, and the right way with its quartiles."""
    last = presses[-1] if presses else {}
    earlier = [(way, press[way]) for press in presses[:-1] for way in WAYS if way in press]
    shown = [way for way in WAYS if way != UNFINISHED or any(way in press for press in presses)]
    middle = right.median if right else math.nan
    data: Data = {
        0: {"x": [way for way, _ in earlier] or shown[:1], "y": _numbers([1e3 * s for _, s in earlier])},
        1: {"x": list(last) or shown[:1], "y": _numbers([1e3 * s for s in last.values()])},
        2: {
            "x": [TURNS],
            "y": _ms([middle]),
            "error_y.array": _ms([right.q3 - middle if right else math.nan]),
            "error_y.arrayminus": _ms([middle - right.q1 if right else math.nan]),
        },
        3: {"x": shown, "y": np.full(len(shown), 1e3 * middle)},
    }
    return data, {"xaxis.categoryarray": tuple(shown), "xaxis.range": (-0.6, len(shown) - 0.4)}


def wrong_figure(presses: Sequence[Mapping[str, float]], right: Spread | None) -> go.Figure:
    """One product, timed in wrong ways and in the right one."""
    figure = go.Figure()
    figure.add_scatter(
        mode="markers", name="earlier presses", marker={"size": 9, "symbol": "circle-open", "color": FULL_COLOR}
    )
    figure.add_scatter(mode="markers", name="wrong", marker={"size": 13, "symbol": "x", "color": COLORS[5]})
    figure.add_scatter(
        mode="markers",
        name="right, with quartiles",
        error_y={"type": "data", "symmetric": False},
        marker={"size": 13, "symbol": "diamond", "color": COLORS[0]},
    )
    figure.add_scatter(mode="lines", name="the right median", line={"color": COLORS[0], "dash": "dot"})
    figure.update_xaxes(type="category", categoryorder="array")
    figure.update_yaxes(title_text="time of the product, ms", rangemode="tozero")
    figure = filled(figure, *wrong_data(presses, right), 300)
    figure.update_layout(showlegend=True, legend={"orientation": "h", "y": 1.14})
    return figure


def wrong_sentence(presses: Sequence[Mapping[str, float]], right: Spread | None) -> str:
    """Both ways in words, as they came out here."""
    if not presses and right is None:
        return "Nothing timed yet. Press both buttons, the wrong one several times."
    text = ""
    if right is not None:
        text += (
            f"In turns with other work, the product takes {seconds_text(right.median)} (median of {right.n}; half "
            f"of the runs between {seconds_text(right.q1)} and {seconds_text(right.q3)})."
        )
    for way, seconds in (presses[-1] if presses else {}).items():
        text += f" {way.capitalize()}: {seconds_text(seconds)}"
        text += f", {_compared(seconds, right)}." if right else "."
    once = [press[ONCE] for press in presses if ONCE in press]
    if len(once) > 1:
        text += (
            f" Your {len(once)} single shots lie between {seconds_text(min(once))} and {seconds_text(max(once))}: "
            "which of them would you have reported?"
        )
    if right is None:
        text += " None of these can be judged before the right way is timed."
    return text.strip()


def _compared(seconds: float, right: Spread) -> str:
    ratio = seconds / right.median
    if right.q1 <= seconds <= right.q3:
        return "among the honest ones this time, by luck"
    if ratio >= 2 or ratio <= 0.5:
        return f"{ratio:.1f} times the honest median" if ratio >= 2 else f"only {percent(ratio)} of the honest median"
    return f"{percent(abs(ratio - 1))} {'more' if ratio > 1 else 'less'} than the honest median"


# ---------------------------------------------------------------------- flat, then affine


def product_data(explorer: TimingExplorer) -> tuple[Data, Layout]:
    """Measured points, the line set by hand, and the cost model, against k."""
    line = explorer.hand_line()
    grid = np.unique(np.concatenate([np.geomspace(1, explorer.most, 60), [min(max(line.k0, 1.0), explorer.most)]]))
    modelled = explorer.modelled(grid.tolist())
    data, _ = sweep_data({str(k): times for k, times in explorer.swept().items()})
    data |= {
        1: {"x": grid, "y": _ms(line(grid))},
        2: {"x": grid if modelled else np.ones(1), "y": _ms(_numbers(modelled))},
    }
    title = f"time of (B x d) by (d x k), B = {explorer.batch:,}, d = {explorer.in_features:,}, ms"
    # room for the labels of the paper's marks, which end at 50 words
    right = math.log10(max(explorer.most, 20 * PAPER_K0)) + 0.05
    return data, {"yaxis.title.text": title, "xaxis.range": (-0.1, right)}


def sweep_data(swept: Mapping[str, Spread]) -> tuple[Data, Layout]:
    """The measured points alone, by their k as a text."""
    times = list(swept.values())
    points = {
        "x": _numbers([float(k) for k in swept]),
        "y": _ms(_numbers([t.median for t in times])),
        "error_y.array": _ms(_numbers([t.q3 - t.median for t in times])),
        "error_y.arrayminus": _ms(_numbers([t.median - t.q1 for t in times])),
    }
    return {0: points}, {}


def product_figure(explorer: TimingExplorer) -> go.Figure:
    """Time of a product against its words, with what the paper prints."""
    figure = go.Figure()
    bars = {"type": "data", "symmetric": False}
    figure.add_scatter(
        mode="markers",
        name="measured here, with quartiles",
        error_y=bars,
        marker={"size": 9, "symbol": "circle", "color": COLORS[0]},
    )
    figure.add_scatter(mode="lines", name="your line g(k)", line={"color": COLORS[5], "width": 3})
    figure.add_scatter(mode="lines", name="cost model", line={"color": COLORS[2], "dash": "dash", "width": 2})
    for card, seconds in PAPER_FLAT.items():
        figure.add_scatter(
            mode="lines+text",
            x=np.asarray([1.0, PAPER_K0]),
            y=np.full(2, 1e3 * seconds),
            text=["", f" the paper's flat part, {card} card: {1e3 * seconds:.2f} ms"],
            textposition="middle right",
            line={"color": FULL_COLOR, "dash": "dot", "width": 2},
            showlegend=False,
        )
    figure.update_xaxes(title_text="words k", **LOG)
    figure.update_yaxes(type="log", dtick="D2", tickformat=",.6~r")
    figure = filled(figure, *product_data(explorer), 380)
    figure.update_layout(showlegend=True, legend={"orientation": "h", "y": 1.1})
    return figure


def line_text(line: FlatAffine) -> str:
    """A line in words."""
    return (
        f"c = {seconds_text(line.c)}, λ = {1e6 * line.lam:,.3g} µs per word, k0 = {line.k0:,.3g}: flat at "
        f"{seconds_text(line.flat)}" + (f", as expensive as {line.start_in_words:,.0f} words" if line.lam else "")
    )


def product_sentence(explorer: TimingExplorer) -> str:
    """The line, its error, and what the machine does differently from the paper, in words."""
    sizes, seconds, what = explorer.to_fit()
    line = explorer.hand_line()
    text = f"Your line: {line_text(line)}."
    if not sizes:
        return text + " There is nothing to compare it with yet: measure the products."
    errors = np.abs(line.errors(sizes, seconds))
    worst = int(errors.argmax())
    text += (
        f" Against the {what} it is off by {percent(float(np.median(errors)))} (median), and at worst by "
        f"{percent(float(errors[worst]))}, at k = {sizes[worst]:,}."
    )
    return text


def disagreement(explorer: TimingExplorer) -> str:
    """What this machine's product does beside the paper's, one sentence."""
    sizes, _, what = explorer.to_fit()
    if len(sizes) < 4:
        return ""
    best = explorer.fitted_line()
    flat = f"up to about {best.k0:,.0f} words" if best.k0 >= 2 else "for no k at all"
    where = "measured here" if what == "measured points" else "in the cost model"
    shorter = "shorter" if best.k0 < 0.5 * PAPER_K0 else "longer" if best.k0 > 2 * PAPER_K0 else "about as long"
    text = (
        f"Beside the paper: its GPUs were flat up to k0 ≈ {PAPER_K0}, at 0.40 ms (K40) and 0.22 ms (Maxwell), for "
        f"(2560 x 2048) by (2048 x k). The best line {where} ({line_text(best)}) is flat {flat}: {shorter}"
    )
    if shorter == "shorter" and explorer.device == "cpu":
        return text + ", for few words already fill a CPU. The constant c, which every product pays, takes its place."
    return text + "."


def words_for_twice(explorer: TimingExplorer) -> float:
    """Up to how many words a product takes less than twice the time of one word, by the best line."""
    line = explorer.fitted_line()
    if not line.lam:
        raise ValueError("by these points words cost nothing: measure with a larger k")
    return (2 * float(line(1.0)) - line.c) / line.lam


# ---------------------------------------------------------------------- two clusters, many clusters


def clusters_data(explorer: TimingExplorer) -> tuple[Data, Layout]:
    """For each model: two clusters against the first one's size, and the best plan against the number of tails; both
    relative to the full softmax under the same model."""
    data: Data = {}
    models = explorer.models()
    names = [*models, *[""] * (4 - len(models))]
    stars: list[list[tuple[float, float]]] = [[], []]
    for i, name in enumerate(names):
        if not name:
            data |= {j: {"x": np.ones(1), "y": np.full(1, np.nan), "name": "", "showlegend": False} for j in (i, 4 + i)}
            continue
        two = explorer.shortlists(models[name])
        at = places(len(two.sizes), 160) - 1
        best = int(two.root.argmin())
        stars[0].append((float(two.sizes[best]), float(two.root[best] / two.full)))
        data[i] = {"x": two.sizes[at].astype(float), "y": two.root[at] / two.full, "name": name, "showlegend": True}
        plans = explorer.found(models[name])
        tails = sorted(plans)
        share = [plans[j].time / plans[j].full.seconds for j in tails]
        if tails:
            least = int(np.argmin(share))
            stars[1].append((float(tails[least]), share[least]))
        data[4 + i] = {"x": _numbers(tails), "y": _numbers(share), "name": name, "showlegend": False}
    for i, found in enumerate(stars):
        data[8 + i] = {"x": _numbers([x for x, _ in found]), "y": _numbers([y for _, y in found])}
    here = explorer.cutoffs[0] if explorer.cutoffs else 1
    lowest = min((y for _, y in stars[0]), default=0.1)
    data[10] = {"x": np.full(2, float(here)), "y": np.asarray([0.7 * lowest, 1.0])}
    return data, {}


def clusters_figure(explorer: TimingExplorer) -> go.Figure:
    """Size of the short-list, and number of clusters, under each model."""
    titles = ("two clusters of full width", f"best plan, 0 to {MOST_TAILS} tails")
    figure = make_subplots(1, 2, subplot_titles=titles, horizontal_spacing=0.13)
    styles = list(zip((FULL_COLOR, COLORS[1], COLORS[5], COLORS[0]), DASHES, SYMBOLS, strict=False))
    for column, mode in ((1, "lines"), (2, "lines+markers")):
        for i, (color, dash, symbol) in enumerate(styles):
            line = {"color": color, "dash": dash, "width": 2.5 if i else 6}  # the first shows below the others
            figure.add_scatter(row=1, col=column, mode=mode, line=line, marker={"symbol": symbol, "size": 8})
    for column in (1, 2):
        figure.add_scatter(
            row=1,
            col=column,
            mode="markers",
            name="lowest",
            showlegend=column == 1,
            marker={"symbol": "star", "size": 14, "color": COLORS[2]},
        )
    figure.add_scatter(
        row=1,
        col=1,
        mode="lines",
        name="your first cutoff",
        showlegend=True,
        line={"color": COLORS[3], "dash": "dot", "width": 1.5},
    )
    figure.update_xaxes(row=1, col=1, title_text="words in the first cluster, k<sub>h</sub>", **LOG)
    figure.update_xaxes(row=1, col=2, title_text="number of tails J", dtick=1, range=[-0.4, MOST_TAILS + 0.4])
    figure.update_yaxes(type="log", dtick="D2", tickformat=",.4~r", title_text="share of the full softmax's cost")
    figure.update_annotations(font_size=13)
    figure = filled(figure, *clusters_data(explorer), 400)
    figure.update_layout(showlegend=True, legend={"orientation": "h", "y": -0.24})
    return figure


def shortlist_sentence(explorer: TimingExplorer) -> str:
    """The best short-list under each model, in words."""
    parts = []
    for name, cost in explorer.models().items():
        two = explorer.shortlists(cost)
        best = int(two.root.argmin())
        parts.append(f"{name} {int(two.sizes[best]):,} words ({two.full / two.root[best]:.1f} times less than full)")
    sizes = [int(two.root.argmin()) + 1 for two in map(explorer.shortlists, explorer.models().values())]
    apart = max(sizes) / min(sizes)
    agree = "nearly agree on the place, if not on the gain" if apart < 1.5 else f"are up to a factor {apart:.1f} apart"
    return f"Best short-list: {'; '.join(parts)}. With two clusters of full width the models {agree}. " + beside_two(
        explorer
    )


def beside_two(explorer: TimingExplorer) -> str:
    """The paper's experiment with two clusters beside this machine's, and one sentence on where they disagree."""
    gain = PAPER_FULL / PAPER_TWO
    text = (
        f"Beside the paper: on the Penn Treebank (V = 10,000, d = 128, B = 512, a GPU) it found {PAPER_SHORTLIST:,} "
        f"words, and {gain:.1f} times less than the full softmax ({1e3 * PAPER_TWO:.2f} ms against "
        f"{1e3 * PAPER_FULL:.2f} ms)"
    )
    now = {"n_words": len(explorer.vocabulary), "in_features": explorer.in_features, "batch": explorer.batch}
    timings = explorer.timings[0]
    if now != PAPER_TWO_SIZES or timings is None:
        return f"{text}; “The paper's sizes” makes the comparison here."
    two = explorer.shortlists(timings)
    best = int(two.root.argmin())
    ours, seconds = float(two.full / two.root[best]), float(two.root[best])
    text += (
        f". Here, with its sizes but other words, and with softmax and gradients: {int(two.sizes[best]):,} words, "
        f"{ours:.1f} times less ({seconds_text(seconds)} against {seconds_text(float(two.full))})."
    )
    constants = percent(2 * float(timings.product_time(1, explorer.batch, explorer.in_features)) / seconds)
    if ours > 1.05 * gain:
        return (
            f"{text} The gain is larger, for the constants of the two products are {constants} of the time; its "
            "0.33 ms are hardly more than the flat part of one of its larger products."
        )
    if ours < gain / 1.05:
        return f"{text} The gain is smaller: the constants of the two products are {constants} of the time."
    return f"{text} They agree."


def number_sentence(explorer: TimingExplorer) -> str:
    """The best number of tails under each model, in words, and the paper's."""
    parts, missing = [], []
    for name, cost in explorer.models().items():
        plans = explorer.found(cost)
        if not plans:
            missing.append(name)
            continue
        best = min(plans.values(), key=lambda p: p.time)
        enough = min(j for j, p in plans.items() if p.time <= 1.05 * best.time)
        near = f", within 5 % of it from {enough} on" if enough < best.n_tails else ""
        last = " (the most that was tried)" if best.n_tails == max(plans) == MOST_TAILS else ""
        parts.append(f"{name} J = {best.n_tails}{last}{near}")
    if not parts:
        return "Press the button: an exact search for each number of tails and each model, 0 to 10 tails."
    text = (
        f"Best number of tails: {'; '.join(parts)}. Beside the paper: as remembered, it found 10 to 15 clusters "
        "optimal and used 2 to 5, for the last ones gain little."
    )
    if missing:
        text = f"Press the button for {' and '.join(missing)}. {text}"
    timings = explorer.timings[0]
    timed = {} if timings is None else explorer.found(timings)
    if timed and max(timed) == MOST_TAILS:
        clusters = min(timed.values(), key=lambda p: p.time).n_tails + 1
        text += f" The timings are best with {clusters} clusters, the head included: "
        if clusters >= 10:
            text += "in the same range."
        else:
            text += (
                f"fewer, for every tail pays a constant that its share of B = {explorer.batch:,} tokens must earn, and "
                "the head here keeps 75 % of the tokens, which leaves the tails little to save."
            )
    return text


# ---------------------------------------------------------------------- replanned


def plans_compared(explorer: TimingExplorer) -> dict[str, Plan]:
    """The plan made by counting and the one made by timings, each with the best number of tails."""
    models = explorer.models()
    if "timings" not in models:
        raise LookupError(
            "no timings at hand to plan with: time this machine (00) or run `python -m adasoft calibrate`"
        )
    return {
        "counted multiplications": explorer.best_plan(models["counted multiplications"], MOST_TAILS),
        "timings": explorer.best_plan(models["timings"], MOST_TAILS),
    }


def timed_plan(explorer: TimingExplorer) -> Plan:
    """The fastest plan by the timings, whatever its number of tails."""
    return plans_compared(explorer)["timings"]


def replan_rows(explorer: TimingExplorer) -> dict[str, tuple[tuple[int, ...], float]]:
    """Cutoffs and predicted seconds, all judged by the timings: the authors', the counted plan, the timed plan."""
    cost, _ = explorer.timings
    rows: dict[str, tuple[tuple[int, ...], float]] = {}
    chosen = {"the authors' cutoffs": explorer.paper_cutoffs()}
    chosen |= {f"planned by {name}": plan.cutoffs for name, plan in plans_compared(explorer).items()}
    assert cost is not None
    for name, cutoffs in chosen.items():
        shares = np.diff(explorer.vocabulary.cumulative[[*cutoffs, len(explorer.vocabulary)]]).tolist()
        rows[name] = (
            cutoffs,
            cost.layer(
                len(explorer.vocabulary),
                cutoffs,
                explorer.widths_for(len(cutoffs)),
                shares,
                explorer.in_features,
                explorer.batch,
            ).seconds,
        )
    return rows


def replan_data(explorer: TimingExplorer) -> tuple[Data, Layout]:
    """Predicted times of the three cuts."""
    rows = replan_rows(explorer)
    texts = [f"{seconds_text(s)}<br>{len(cuts)} tails" for cuts, s in rows.values()]
    return {0: {"x": list(rows), "y": _ms([s for _, s in rows.values()]), "text": texts}}, {}


def replan_figure(explorer: TimingExplorer) -> go.Figure:
    """What a plan by counting and a plan by timings take."""
    figure = go.Figure()
    pattern = {"shape": ["", "/", "."], "solidity": 0.35}
    figure.add_bar(
        marker={"color": [FULL_COLOR, COLORS[1], COLORS[0]], "pattern": pattern},
        textposition="outside",
        cliponaxis=False,
    )
    figure.update_yaxes(title_text="predicted by the timings, ms per step", rangemode="tozero")
    return filled(figure, *replan_data(explorer), 300)


def replan_gain(explorer: TimingExplorer) -> float:
    """By what part of its time the timed plan is faster than the counted one, both judged by the timings."""
    _, (_, counted), (_, timed) = replan_rows(explorer).values()
    return 1 - timed / counted


def replan_sentence(explorer: TimingExplorer) -> str:
    """The two plans in words, and what the difference is worth."""
    rows = replan_rows(explorer)
    _, (counted, slow), (timed, fast) = rows.values()
    _, whose = explorer.timings
    more = _multiplications(explorer, timed) / _multiplications(explorer, counted) - 1
    return (
        f"Counting plans {len(counted)} tails ({_list(counted)}); the timings plan {len(timed)} ({_list(timed)}). "
        f"Judged by the timings ({whose}): {seconds_text(slow)} against {seconds_text(fast)}, so planning by time is "
        f"worth {percent(1 - fast / slow)} of a step, though it does {percent(more)} more multiplications."
    )


def _list(cutoffs: Sequence[int]) -> str:
    return ", ".join(f"{c:,}" for c in cutoffs) or "none"


def _multiplications(explorer: TimingExplorer, cutoffs: Sequence[int]) -> float:
    cost = explorer.models()["counted multiplications"]
    shares = np.diff(explorer.vocabulary.cumulative[[*cutoffs, len(explorer.vocabulary)]]).tolist()
    widths = explorer.widths_for(len(cutoffs))
    return cost.layer(len(explorer.vocabulary), cutoffs, widths, shares, explorer.in_features, explorer.batch).seconds
