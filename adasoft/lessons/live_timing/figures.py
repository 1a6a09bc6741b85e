"""Figures of the lesson on live timing, and the sentences that say them in words."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ..kit.parts import listed
from ..kit.picker import COLORS
from ..kit.plots import FULL_COLOR, LOG, Data, Layout, filled, percent, seconds_text
from ..time_model.explorer import TimingExplorer
from ..time_model.recorded import ALONE, CUT, GRAPH, Recorded, recorded_layers
from ..time_model.timings import FULL, OURS, PLAN, STOCK, Spread, percent_off

#: The same place and colour for each, whatever is shown.
NAMES = (FULL, CUT, STOCK, OURS, GRAPH, PLAN, ALONE)
_COLORS = (FULL_COLOR, FULL_COLOR, COLORS[1], COLORS[0], COLORS[0], COLORS[2], COLORS[4])
_COLOR = dict(zip(NAMES, _COLORS, strict=True))

Times = Mapping[str, Spread]
Seconds = Mapping[str, float]


def _ms(values: Sequence[float]) -> Any:
    return 1e3 * np.asarray(values if len(values) else [math.nan], dtype=np.float64)


# ---------------------------------------------------------------------- layers side by side


def bars_data(times: Times, predicted: Seconds, wrong: Seconds) -> tuple[Data, Layout]:
    """Medians with quartiles, predictions and single cold shots; twice, the second time without the full softmax."""
    data: Data = {}
    layout: Layout = {}
    for first, left_out in ((0, ()), (3, (FULL, CUT))):
        names = [n for n in NAMES if n in {*times, *predicted, *wrong} and n not in left_out]
        timed = [times.get(n, Spread(math.nan, math.nan, math.nan, 0)) for n in names]
        data[first] = {
            "x": names or [OURS],
            "y": _ms([t.median for t in timed]),
            "marker.color": [_COLOR[n] for n in names] or [FULL_COLOR],
            "error_y.array": _ms([t.q3 - t.median for t in timed]),
            "error_y.arrayminus": _ms([t.median - t.q1 for t in timed]),
        }
        # below the axis, where no marker hides them; many in short lines, for labels that are turned meet the legend
        called = ["<br>".join(textwrap.wrap(n, 9)) if len(names) > 3 else n for n in names]
        told = [seconds_text(t.median) if t.n else "not timed" for t in timed]
        labels = [f"{n}<br>{text}" for n, text in zip(called, told, strict=True)]
        axis = "xaxis" if not first else "xaxis2"
        layout |= {f"{axis}.tickvals": tuple(names), f"{axis}.ticktext": tuple(labels)}
        layout |= {f"{axis}.tickfont.size": 10 if len(names) > 5 else 12}
        for number, found in ((1, predicted), (2, wrong)):
            shown = [n for n in names if math.isfinite(found.get(n, math.nan))]
            data[first + number] = {"x": shown or [OURS], "y": _ms([found[n] for n in shown])}
    return data, layout


def bars_figure(times: Times, predicted: Seconds, wrong: Seconds) -> go.Figure:
    """What each layer takes, measured and predicted."""
    titles = ("against the full softmax", "the adaptive layers alone, magnified")
    figure = make_subplots(1, 2, subplot_titles=titles, horizontal_spacing=0.1)
    for column in (1, 2):
        first = column == 1
        figure.add_bar(
            row=1,
            col=column,
            name="measured: median, quartiles",
            showlegend=first,
            error_y={"type": "data", "symmetric": False, "color": "#70777e", "thickness": 2, "width": 8},
        )
        figure.add_scatter(
            row=1,
            col=column,
            mode="markers",
            name="predicted",
            showlegend=first,
            marker={"symbol": "diamond", "size": 12, "color": COLORS[5], "line": {"width": 1, "color": "white"}},
        )
        figure.add_scatter(
            row=1,
            col=column,
            mode="markers",
            name="timed wrongly: once, cold",
            showlegend=first,
            marker={"symbol": "x", "size": 11, "color": COLORS[3]},
        )
    figure.update_xaxes(type="category", tickangle=0)
    figure.update_yaxes(title_text="one training step of the layer, ms", rangemode="tozero")
    figure.update_annotations(font_size=13)
    figure = filled(figure, *bars_data(times, predicted, wrong), 380)
    figure.update_layout(showlegend=True, legend={"orientation": "h", "yref": "container", "y": 0.01}, margin_b=95)
    return figure


def bars_sentence(times: Times, predicted: Seconds, wrong: Seconds, whose: str) -> str:
    """The bars in words: each time, its prediction, and what is faster than what."""
    if not times:
        known = ", ".join(f"{n} {seconds_text(s)}" for n, s in predicted.items() if math.isfinite(s))
        return f"Nothing measured at these settings yet. Predicted: {known}." if known else "Nothing measured yet."
    parts = []
    for name, t in times.items():
        between = f"{seconds_text(t.q1)} and {seconds_text(t.q3)}"
        text = f"{name} {seconds_text(t.median)} (half of {t.n} runs between {between})"
        if math.isfinite(predicted.get(name, math.nan)):
            text += f", predicted {seconds_text(predicted[name])}: {percent_off(predicted[name], t.median)}"
        parts.append(text)
    text = f"Measured: {'; '.join(parts)}."
    errors = [abs(predicted[n] / t.median - 1) for n, t in times.items() if math.isfinite(predicted.get(n, math.nan))]
    if errors:
        text += f" The predictions are off by {percent(float(np.median(errors)))} (median). They come from {whose}."
    if OURS in times:
        text += "".join(_compared(times[OURS], times[n], n) for n in (FULL, STOCK) if n in times)
    if PLAN in times and OURS in times:
        text += _compared(times[PLAN], times[OURS], "your cutoffs", "The plan")
    return text + wrong_sentence(times, wrong)


def _compared(ours: Spread, other: Spread, name: str, subject: str = "Ours") -> str:
    if ours.q1 <= other.q3 and other.q1 <= ours.q3:
        return f" {subject} and {name} overlap: this measurement cannot tell them apart."
    ratio = other.median / ours.median
    name = f"the {name}" if name == FULL else name
    if ratio >= 1:
        return f" {subject} takes {ratio:.3g} times less than {name}."
    return f" {subject} takes {1 / ratio:.3g} times MORE than {name}."


def wrong_sentence(times: Times, wrong: Seconds) -> str:
    """What single cold shots would have made believe."""
    both = [n for n in wrong if n in times]
    if not both:
        return ""
    parts = [f"{n} {wrong[n] / times[n].median:.2g} times" for n in both]
    text = f" Timed wrongly (once, cold, one after the other), they come to {', '.join(parts)} their median."
    if OURS in both and FULL in both:
        true, false = (times[FULL].median / times[OURS].median, wrong[FULL] / wrong[OURS])
        text += f" The gain over the full softmax would read {false:.3g} times, where it is {true:.3g}."
    return text


def recorded_sentence(found: Recorded) -> str:
    """A recorded measurement in words, its provenance first."""
    text = bars_sentence(found.times, found.predicted, {}, found.whose)
    return f"{found.provenance} {found.sizes}. {text}"


# ---------------------------------------------------------------------- the U-curve


def curve_data(explorer: TimingExplorer, times: Times) -> tuple[Data, Layout]:
    """Predicted total against the cutoff that moved last, and the points measured on top of it."""
    cost, _ = explorer.timings
    i = explorer.active
    sizes, seconds = predicted_curve(explorer)
    points = {int(c): t for c, t in times.items()}
    here = explorer.cutoffs[i] if explorer.cutoffs else 1
    full = math.nan
    if cost is not None:
        full = cost.full_time(len(explorer.vocabulary), explorer.batch, explorer.in_features)
    nearest: list[float] = [s for c, s in zip(sizes, seconds, strict=True) if c >= here] or [math.nan]
    ends = [float(sizes[0]), float(sizes[-1])] if len(sizes) else [1.0, float(len(explorer.vocabulary))]
    data: Data = {
        0: {"x": np.asarray(sizes if len(sizes) else [1.0]), "y": _ms(list(seconds))},
        1: {
            "x": np.asarray([float(c) for c in points] or [1.0]),
            "y": _ms([t.median for t in points.values()]),
            "error_y.array": _ms([t.q3 - t.median for t in points.values()]),
            "error_y.arrayminus": _ms([t.median - t.q1 for t in points.values()]),
        },
        2: {"x": np.asarray(ends), "y": _ms([full, full])},
        3: {"x": np.full(1, float(here)), "y": _ms(nearest[:1])},
    }
    return data, {"xaxis.title.text": f"cutoff c{i + 1} (words), the others as set"}


def predicted_curve(explorer: TimingExplorer) -> tuple[Sequence[float], Sequence[float]]:
    """Cutoffs and seconds of the model that fits the device; nothing without one."""
    cost, _ = explorer.timings
    if cost is None or not explorer.cutoffs:
        return [], []
    low, high = explorer.limits(explorer.active)
    places = np.unique(np.geomspace(low, high, 60).round().astype(np.int64).clip(low, high))
    places = np.unique([*places.tolist(), explorer.cutoffs[explorer.active]])
    return places.astype(float).tolist(), [predicted_at(explorer, int(c)) for c in places]


def predicted_at(explorer: TimingExplorer, place: int) -> float:
    """Predicted seconds with the cutoff that moved last put elsewhere; nan without a model."""
    cost, _ = explorer.timings
    i = explorer.active
    cutoffs = (*explorer.cutoffs[:i], place, *explorer.cutoffs[i + 1 :])
    shares = np.diff(explorer.vocabulary.cumulative[[*cutoffs, len(explorer.vocabulary)]]).tolist()
    if cost is None:
        return math.nan
    return cost.layer(
        len(explorer.vocabulary), cutoffs, explorer.widths, shares, explorer.in_features, explorer.batch
    ).seconds


def curve_figure(explorer: TimingExplorer, times: Times) -> go.Figure:
    """The U-curve of one cutoff, predicted, with measured points."""
    figure = go.Figure()
    bars = {"type": "data", "symmetric": False}
    figure.add_scatter(mode="lines", name="predicted", line={"color": COLORS[0], "width": 3})
    figure.add_scatter(
        mode="markers",
        name="measured: median, quartiles",
        error_y=bars,
        marker={"size": 10, "symbol": "circle", "color": COLORS[5]},
    )
    figure.add_scatter(mode="lines", name="full softmax, predicted", line={"color": FULL_COLOR, "dash": "dash"})
    figure.add_scatter(mode="markers", name="your cutoff", marker={"size": 14, "symbol": "diamond", "color": COLORS[2]})
    figure.update_xaxes(**LOG)
    figure.update_yaxes(type="log", dtick="D2", tickformat=",.6~r", title_text="one training step of the layer, ms")
    figure = filled(figure, *curve_data(explorer, times), 360)
    figure.update_layout(showlegend=True, legend={"orientation": "h", "y": 1.12})
    return figure


def curve_sentence(explorer: TimingExplorer, times: Times) -> str:
    """Both U-curves in words: where each has its bottom, and what lies between them."""
    sizes, seconds = predicted_curve(explorer)
    if not explorer.cutoffs:
        return "No cutoff, no curve: set one in the panel of the cutoffs."
    text = ""
    if len(sizes):
        best = int(np.argmin(seconds))
        text = f"Predicted bottom: {sizes[best]:,.0f} words, {seconds_text(seconds[best])}."
    if not times:
        return f"{text} No point measured at these settings yet.".strip()
    place = min(times, key=lambda c: times[c].median)
    text += (
        f" Lowest of {len(times)} measured points: {int(place):,} words, {seconds_text(times[place].median)}"
        f" (the other cutoffs: {listed([c for j, c in enumerate(explorer.cutoffs) if j != explorer.active])})."
    )
    found = [(predicted_at(explorer, int(c)), t.median) for c, t in times.items()]
    if math.isfinite(found[0][0]):
        errors = [abs(p / m - 1) for p, m in found]
        text += f" Prediction and points are {percent(float(np.median(errors)))} apart (median)."
        chosen = predicted_best(explorer, times)
        lost = times[chosen].median / times[place].median - 1
        if chosen == place:
            text += " The point that the prediction calls best is the measured best, too."
        elif times[chosen].q1 <= times[place].q3:
            text += f" The prediction would take {int(chosen):,} words: this measurement cannot tell it from the best."
        else:
            text += (
                f" Of these points the prediction would take {int(chosen):,} words, which costs {percent(lost)} more "
                "than the measured best: what matters is where the bottom is, not how deep."
            )
    return text.strip()


def predicted_best(explorer: TimingExplorer, times: Times) -> str:
    """Of the measured places, the one with the lowest prediction."""
    return min(times, key=lambda c: predicted_at(explorer, int(c)))


# ---------------------------------------------------------------------- what is asked before


def recorded_ratio(explorer: TimingExplorer) -> float:
    """Recorded time of PyTorch's layer over ours on a CPU, at the recorded V nearest to the explorer's.

    Raises LookupError without a record.
    """
    both = [found for found in recorded_layers() if {STOCK, OURS} <= found.times.keys() and found.device == "cpu"]
    if not both:
        raise LookupError("no recorded benchmark at hand (data/results of a checkout has one)")
    n = len(explorer.vocabulary)
    nearest = min(both, key=lambda found: abs(math.log(found.n_classes / n)))
    return nearest.times[STOCK].median / nearest.times[OURS].median


def predicted_bottom(explorer: TimingExplorer) -> float:
    """Where the predicted U-curve of the cutoff that moves is lowest. Raises LookupError without one."""
    sizes, seconds = predicted_curve(explorer)
    if not len(sizes):
        raise LookupError("no timings or no cutoff at hand: time this machine, set a cutoff")
    return sizes[int(np.argmin(seconds))]


def price_of_half(explorer: TimingExplorer) -> float:
    """Percent by which the predicted time rises when the cutoff that moves is put at half of its best place, or at the
    least that its neighbours leave. Raises LookupError without a prediction."""
    best = predicted_bottom(explorer)
    low, _ = explorer.limits(explorer.active)
    half = predicted_at(explorer, max(low, round(best / 2)))
    return max(0.1, 100 * (half / predicted_at(explorer, round(best)) - 1))
