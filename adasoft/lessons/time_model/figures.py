"""Figures of the first half of lesson 03, products timed wrongly, properly, and against k; and what they say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ...text import counted
from ..kit.done import guess_here
from ..kit.picker import COLORS
from ..kit.plots import FULL_COLOR, LOG, MEASURED, Data, Layout, filled, percent, seconds_text
from .explorer import GUESS_BATCH, TimingExplorer
from .flat_affine import PAPER_FLAT, PAPER_K0, PAPER_SIZES, FlatAffine
from .timings import HOT, ONCE, PRODUCTS, TURNS, UNFINISHED, WAYS, Spread

#: The guess that the plot of the products shows.
GUESS = "guess twice the time"
#: Flat is what takes no more than so many times the time of one word.
FLAT = 1.2


def _ms(seconds: Any) -> Any:
    return np.asarray(seconds, dtype=np.float64) * 1e3


def numbers(values: Sequence[float]) -> Any:
    """Values to draw; one that is not drawn stands for none, for an empty trace would leave the legend."""
    return np.asarray(values, dtype=np.float64) if len(values) else np.full(1, np.nan)


# ---------------------------------------------------------------------- timed wrongly


def wrong_data(presses: Sequence[Mapping[str, float]], right: Spread | None) -> tuple[Data, Layout]:
    """The last press of the wrong button, the earlier ones, and the right way with its quartiles."""
    last = presses[-1] if presses else {}
    earlier = [(way, press[way]) for press in presses[:-1] for way in WAYS if way in press]
    shown = [way for way in WAYS if way != UNFINISHED or any(way in press for press in presses)][::-1]
    middle = right.median if right else math.nan
    data: Data = {
        0: {"y": [way for way, _ in earlier] or shown[:1], "x": numbers([1e3 * s for _, s in earlier])},
        1: {"y": list(last) or shown[:1], "x": numbers([1e3 * s for s in last.values()])},
        2: {
            "y": [TURNS],
            "x": _ms([middle]),
            "error_x.array": _ms([right.q3 - middle if right else math.nan]),
            "error_x.arrayminus": _ms([middle - right.q1 if right else math.nan]),
        },
        3: {"y": shown, "x": np.full(len(shown), 1e3 * middle)},
    }
    return data, {"yaxis.categoryarray": tuple(shown), "yaxis.range": (-0.6, len(shown) - 0.4)}


def wrong_figure(presses: Sequence[Mapping[str, float]], right: Spread | None) -> go.Figure:
    """One product, timed in wrong ways and in the right one."""
    figure = go.Figure()
    said = "%{y}: %{x:.3~g} ms<extra></extra>"
    open_mark = {"size": 10, "symbol": "x-thin", "line": {"width": 2, "color": FULL_COLOR}}
    figure.add_scatter(mode="markers", name="earlier presses", marker=open_mark, hovertemplate=said)
    cross = {"size": 13, "symbol": "x-thin", "line": {"width": 4, "color": COLORS[5]}}
    figure.add_scatter(mode="markers", name="wrong", marker=cross, hovertemplate=said)
    figure.add_scatter(
        mode="markers",
        name="proper: median, quartiles",
        error_x={"type": "data", "symmetric": False, "thickness": 3, "width": 8},
        marker={**MEASURED, "size": 13, "color": COLORS[0]},
        hovertemplate=said,
    )
    figure.add_scatter(mode="lines", showlegend=False, line={"color": COLORS[0], "dash": "dot"}, hoverinfo="skip")
    figure.update_yaxes(type="category", categoryorder="array")
    figure.update_xaxes(title_text="time of one product, ms", rangemode="tozero")
    figure = filled(figure, *wrong_data(presses, right), 215)
    figure.update_layout(showlegend=True, legend={"orientation": "h", "y": 1.2}, margin_t=36)
    return figure


def wrong_sentence(presses: Sequence[Mapping[str, float]], right: Spread | None) -> tuple[str, str]:
    """Both ways in words, as they came out here: the result, and the rest."""
    if not presses and right is None:
        return "Nothing timed yet.", ""
    ways = [
        f"{way[0].upper()}{way[1:]}: {seconds_text(seconds)}" + (f", {_compared(seconds, right)}." if right else ".")
        for way, seconds in (presses[-1] if presses else {}).items()
    ]
    once = [press[ONCE] for press in presses if ONCE in press]
    if len(once) > 1:
        ways.append(
            f"Your {len(once)} single shots lie between {seconds_text(min(once))} and {seconds_text(max(once))}: "
            "which of them would you have reported?"
        )
    if right is None:
        return "None of these can be judged before you time it properly.", " ".join(ways)
    worst = (presses[-1] if presses else {}).get(ONCE)
    result = (
        f"Timed properly, the product takes {seconds_text(right.median)}. Half of {right.n} runs, in turns with other "
        f"work, lie between {seconds_text(right.q1)} and {seconds_text(right.q3)}."
    )
    if worst is not None:
        result += f" One cold run says {seconds_text(worst)}: {_compared(worst, right)}."
    if HOT in (presses[-1] if presses else {}):
        ways = ways[1:]
    return result, " ".join(ways)


def _compared(seconds: float, right: Spread) -> str:
    ratio = seconds / right.median
    if right.q1 <= seconds <= right.q3:
        return "within the quartiles of the honest runs, this time, by luck"
    if ratio >= 2 or ratio <= 0.5:
        return f"{ratio:.1f} times the honest median" if ratio >= 2 else f"only {percent(ratio)} of the honest median"
    return f"{percent(abs(ratio - 1))} {'more' if ratio > 1 else 'less'} than the honest median"


# ---------------------------------------------------------------------- flat, then affine


def _points(swept: Mapping[int, Spread]) -> list[list[float]]:
    return [[float(k), t.median, t.q1, t.q3, t.n] for k, t in swept.items()]


def _grid(explorer: TimingExplorer) -> list[float]:
    return np.unique(np.geomspace(1, explorer.most, 40)).tolist()  # type: ignore[no-any-return]


def line_view(explorer: TimingExplorer, swept: Mapping[int, Spread] | None = None) -> dict[str, Any]:
    """What `FlatLine` draws; ``swept``: points as they come, by default those that are kept."""
    here = explorer.swept() if swept is None else swept
    label, before = explorer.swept_before()
    sizes, seconds, what = explorer.to_fit()
    grid = _grid(explorer)
    guess = _guess(explorer)
    return {
        "title": f"Time of one product {_kind(explorer)}, B = {explorer.batch:,}, d = {explorer.in_features:,}",
        "points": _points(here),
        "before": {"label": label, "points": _points(before)},
        "against": {"what": what, "points": [[float(k), s] for k, s in zip(sizes, seconds, strict=True)]},
        "modelled": f"cost model: {explorer.timings[1]}",
        "model": [[k, s] for k, s in zip(grid, explorer.modelled(grid), strict=False)],
        # another product on another kind of machine says nothing here
        "paper": {f"the paper's {card}": s for card, s in PAPER_FLAT.items()} if _of_the_paper(explorer) else {},
        "guess": guess,
        "most": explorer.most,
    }


def _guess(explorer: TimingExplorer) -> float | None:
    """The words that the reader guessed; none at another B or d, for which it was no guess."""
    guess = guess_here("twice the time", explorer)
    return float(guess) if guess and guess > 0 and explorer.batch == GUESS_BATCH else None


def _kind(explorer: TimingExplorer) -> str:
    return "with softmax and gradients" if PRODUCTS[explorer.product] == "train" else "alone"


def _of_the_paper(explorer: TimingExplorer) -> bool:
    sizes = {"batch": explorer.batch, "in_features": explorer.in_features}
    return sizes == PAPER_SIZES and PRODUCTS[explorer.product] != "train"


def product_figure(explorer: TimingExplorer) -> go.Figure:
    """Time of a product against its words as `FlatLine` draws it, for a page that runs nothing."""
    line, view = explorer.hand_line(), line_view(explorer)
    grid = np.unique([*_grid(explorer), min(max(line.k0, 1.0), explorer.most)])
    figure = go.Figure()
    figure.add_scatter(
        mode="markers",
        name="measured here, with quartiles",
        x=numbers([k for k, *_ in view["points"]]),
        y=numbers([1e3 * s for _, s, *_ in view["points"]]),
        marker={**MEASURED, "color": COLORS[0]},
        showlegend=bool(view["points"]),
    )
    figure.add_scatter(
        mode="lines", name="the line g(k)", x=grid, y=_ms(line(grid)), line={"color": COLORS[1], "width": 3}
    )
    figure.add_scatter(
        mode="lines",
        name="cost model (recorded machine)",
        x=numbers([k for k, _ in view["model"]]),
        y=numbers([1e3 * s for _, s in view["model"]]),
        line={"color": COLORS[2], "dash": "dash", "width": 2},
    )
    for label, seconds in view["paper"].items():
        figure.add_scatter(
            mode="lines+text",
            x=np.asarray([1.0, PAPER_K0]),
            y=np.full(2, 1e3 * seconds),
            text=["", f" {label}: {1e3 * seconds:.2f} ms"],
            textposition="middle right",
            line={"color": FULL_COLOR, "dash": "dot", "width": 2},
            showlegend=False,
        )
    right = math.log10(max(explorer.most, 20 * PAPER_K0)) + 0.05
    figure.update_xaxes(title_text="words k", **LOG, range=(-0.1, right))
    title = f"time of a product {_kind(explorer)}, ms"
    figure.update_yaxes(type="log", dtick="D2", tickformat=",.6~r", title_text=title)
    figure = filled(figure, {}, {}, 380)
    figure.update_layout(showlegend=True, legend={"orientation": "h", "y": 1.1})
    return figure


def line_text(line: FlatAffine) -> str:
    """A line in words."""
    flat = f", so the flat part takes {seconds_text(line.flat)}" if line.k0 >= 1 else ""
    return f"c = {1e3 * line.c:,.3g} ms, λ = {1e6 * line.lam:,.3g} µs per word, k₀ = {line.k0:,.3g}{flat}"


def disagreement(explorer: TimingExplorer) -> str:
    """What this machine's product does beside the paper's, in words; nothing before there is something to fit."""
    sizes, seconds, what = explorer.to_fit()
    if len(sizes) < 4:
        return ""
    measured = what == "measured points"
    flat = flat_until(sizes, seconds)
    beyond = " or more" if flat == sizes[-1] else ""
    here = "your points" if measured else "the cost model"
    text = f"The paper's GPUs were flat up to about {PAPER_K0} words. By {here}, "
    if flat > sizes[0]:
        text += f"{counted(flat, 'word')}{beyond} take at most {100 * (FLAT - 1):.0f} % longer than one. "
    else:
        text += f"{counted(sizes[1], 'word')} take over {100 * (FLAT - 1):.0f} % longer than one: not flat. "
    best = explorer.fitted_line()
    text += f"The best line through {'them' if measured else 'it'}: {line_text(best)}."
    if best.c and best.lam:
        text += f" By that line, one start takes as long as {best.c / best.lam:,.0f} more words."
    return text


def trust_the_points(explorer: TimingExplorer) -> str:
    """Where the best line is far from the measured points; nothing where it is not."""
    sizes, seconds, what = explorer.to_fit()
    if what != "measured points":
        return ""
    off = abs(explorer.fitted_line().errors(sizes, seconds))
    if off.max() <= FLAT - 1:
        return ""
    worst = sizes[int(off.argmax())]
    return f"Even the best line misses them by up to {percent(off.max())}, at k = {worst:,}: trust the points."


def flat_until(sizes: Sequence[float], seconds: Sequence[float]) -> int:
    """The largest size up to which no point takes more than `FLAT` times the first one."""
    above = np.flatnonzero(np.asarray(seconds) > FLAT * seconds[0])
    return int(sizes[above[0] - 1] if len(above) else sizes[-1])


def twice(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """The size from which on all points take at least twice the first one's time, read between the points on log
    scales; nan where there is none."""
    times = np.asarray(seconds, dtype=np.float64) / (2 * seconds[0])
    last = int(np.flatnonzero(times < 1)[-1])
    if last + 1 == len(times):
        return math.nan
    part = -math.log(times[last]) / math.log(times[last + 1] / times[last])
    return float(sizes[last] * (sizes[last + 1] / sizes[last]) ** part)


def yours_for_twice(explorer: TimingExplorer) -> str:
    """The answer to the guess by the points measured here; nothing before there are enough."""
    sizes, seconds, what = explorer.to_fit()
    if what != "measured points":
        return ""
    found, guess = twice(sizes, seconds), _guess(explorer)
    said = f" Your guess, {guess:,.3g}, is scored by the cost model, above." if guess else ""
    if math.isnan(found):
        return f"By your points, even {sizes[-1]:,} words take less than twice the time of one.{said}"
    return f"By your points, {found:,.0f} words take twice the time of one.{said}"


def words_for_twice(explorer: TimingExplorer, batch: int) -> float:
    """Up to how many words a product takes less than twice the time of one word, by the cost model."""
    cost = explorer.timings[0]
    if cost is None:
        raise LookupError("there are no timings to predict with: time this machine (00)")
    sizes = np.geomspace(1, 2**20, 500)
    seconds = np.asarray(cost.product_time(sizes, batch, explorer.in_features))
    found = twice(sizes.tolist(), seconds.tolist())
    if math.isnan(found):
        raise ValueError("by these timings words cost nothing: time this machine again (00)")
    return found


def model_and_points(explorer: TimingExplorer) -> str:
    """How far the cost model is from the measured points, once there are any."""
    swept = explorer.swept()
    modelled = explorer.modelled(list(swept))
    if not swept or not modelled:
        return ""
    ratio = float(np.median([t.median / s for t, s in zip(swept.values(), modelled, strict=True)]))
    if abs(ratio - 1) < 0.05:
        return "The cost model agrees with your points to within 5 % (median)."
    said = (
        f"{ratio:.1f} times"
        if ratio >= 1.5 or ratio < 0.67
        else f"{percent(abs(ratio - 1))} {'more' if ratio > 1 else 'less'} than"
    )
    return f"Your points take {said} what the cost model predicts (median): {explorer.timings[1]}."
