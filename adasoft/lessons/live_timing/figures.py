"""Figures of the lesson on live timing, layers side by side and a U-curve, and what they say in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go

from ...text import counted
from ..kit.explorer import FLOOR
from ..kit.parts import listed
from ..kit.picker import COLORS
from ..kit.plots import FULL_COLOR, GUESSED, LOG, MEASURED, TEXT_COLOR, YOU, Data, Layout, filled, percent, seconds_text
from ..time_model.timings import Spread, percent_off, spreads
from .explorer import LiveTimingExplorer
from .layers import FULL, OURS, PLAN, STOCK
from .recorded import ALONE, CUT, GRAPH, Recorded, recorded_layers

#: From top to bottom, whatever is shown.
NAMES = (FULL, CUT, STOCK, OURS, GRAPH, PLAN, ALONE)
_COLOR = {name: FULL_COLOR if name in (FULL, CUT) else COLORS[0] for name in NAMES}
#: A prediction: a line, upright beside the points.
_PREDICTED = {"symbol": "line-ns", "size": 22, "line": {"width": 3}}
_WRONG = {"symbol": "x-thin", "size": 12, "line": {"width": 4, "color": COLORS[5]}}
#: In one line above the drawing, however long the names of its rows are.
_LEGEND = {"orientation": "h", "xref": "container", "x": 0, "yref": "container", "y": 1, "yanchor": "top"}
_NONE = Spread(math.nan, math.nan, math.nan, 0)

Times = Mapping[str, Spread]
Seconds = Mapping[str, float]


def _ms(values: Sequence[float]) -> Any:
    return 1e3 * np.asarray(values if len(values) else [math.nan], dtype=np.float64)


def scale_of(times: Times, predicted: Seconds) -> float:
    """Median of measured over predicted time; 1 where there is nothing to compare."""
    ratios = [t.median / predicted[n] for n, t in times.items() if math.isfinite(predicted.get(n, math.nan))]
    return float(np.median(ratios)) if ratios else 1.0


# ---------------------------------------------------------------------- layers side by side


def layers_data(
    times: Times, predicted: Seconds, wrong: Seconds, guess: Seconds, scale: float = 1.0
) -> tuple[Data, Layout]:
    """Medians with quartiles, predictions, single cold shots, and a guess; the label of each row says its numbers.

    ``scale``: what the predictions are multiplied by where they are drawn.
    """
    scaled = {name: scale * seconds for name, seconds in predicted.items()}
    names = [n for n in NAMES if n in {*times, *predicted, *wrong}][::-1]
    timed = [times.get(n, _NONE) for n in names]
    data: Data = {
        0: {
            "y": names or [OURS],
            "x": _ms([t.median for t in timed]),
            "marker.color": [_COLOR[n] for n in names] or [FULL_COLOR],
            "error_x.array": _ms([t.q3 - t.median for t in timed]),
            "error_x.arrayminus": _ms([t.median - t.q1 for t in timed]),
        }
    }
    for number, found in ((1, scaled), (2, wrong), (3, guess)):
        shown = [n for n in names if math.isfinite(found.get(n, math.nan))]
        data[number] = {
            "y": shown or (names or [OURS])[:1],
            "x": _ms([found[n] for n in shown]),
            "showlegend": bool(shown) or number == 1,
        }
    data[1]["marker.line.color"] = [_COLOR[n] for n in data[1]["y"]]
    data[1]["name"] = f"predicted{_factor(scale)}"
    labels = [f"{n}: {_told(times.get(n), predicted.get(n, math.nan), scale)}" for n in names]
    return data, {
        "yaxis.tickvals": tuple(names),
        "yaxis.ticktext": tuple(labels),
        "yaxis.categoryarray": tuple(names),
        "yaxis.range": (-0.6, max(len(names), 1) - 0.4),
    }


def _factor(scale: float) -> str:
    return f" × {scale:.2g}" if scale != 1 else ""


def _told(timed: Spread | None, predicted: float, scale: float) -> str:
    said = f"predicted {seconds_text(predicted)}{_factor(scale)}" if math.isfinite(predicted) else ""
    if timed is None:
        return said or "not timed"
    return f"{seconds_text(timed.median)}{said and f', {said}'}"


def layers_figure(times: Times, predicted: Seconds, wrong: Seconds, guess: Seconds, scale: float = 1.0) -> go.Figure:
    """What each layer takes, measured and predicted."""
    figure = go.Figure()
    figure.add_scatter(
        mode="markers",
        name="measured",
        error_x={"type": "data", "symmetric": False, "color": TEXT_COLOR, "thickness": 2, "width": 8},
        marker={**MEASURED, "size": 13},
        hovertemplate="%{y}, measured: %{x:,.3~r} ms<extra></extra>",
    )
    for name, marker in (("predicted", _PREDICTED), ("timed wrongly", _WRONG), ("your guess", GUESSED)):
        said = f"%{{y}}, {name}: %{{x:,.3~r}} ms<extra></extra>"
        figure.add_scatter(mode="markers", name=name, marker=marker, hovertemplate=said)
    figure.update_yaxes(type="category", categoryorder="array")
    title = "one training step of the layer, ms (logarithmic)"
    figure.update_xaxes(type="log", dtick="D2", tickformat=",.6~r", title_text=title)
    figure = filled(figure, *layers_data(times, predicted, wrong, guess, scale), 250)
    figure.update_layout(showlegend=True, legend=_LEGEND, margin_t=30)
    return figure


class Said(NamedTuple):
    """A figure in words: one bold sentence, what is folded, and what stands in sight between them."""

    result: str
    more: str = ""
    also: str = ""


def layers_sentence(times: Times, predicted: Seconds, wrong: Seconds, whose: str, scale: float | None = None) -> Said:
    """The figure as text: how far off the predictions are, what is faster than what, then each time.

    ``scale``: what brings the predictions to the points, if they are drawn so; ``predicted`` are those of the model.
    """
    if not times:
        known = ", ".join(f"{n} {seconds_text(s)}" for n, s in predicted.items() if math.isfinite(s))
        return Said(f"Nothing measured at these settings yet{f'; predicted: {known}' if known else ''}.")
    pairs = [(OURS, FULL, "Ours", "the full softmax"), (OURS, STOCK, "Ours", STOCK)]
    pairs += [(PLAN, OURS, "The plan", "your cutoffs")] if PLAN in times else []
    told = [compared(times[a], times[b], said, other) for a, b, said, other in pairs if a in times and b in times]
    judged = [
        f"{verb} {seconds_text(predicted[name])} and took {seconds_text(times[name].median)} "
        f"({percent_off(predicted[name], times[name].median)})"
        for name, verb in ((OURS, "Ours was predicted at"), (FULL, "the full softmax at"))
        if name in times and math.isfinite(predicted.get(name, math.nan))
    ]
    results = []
    if {OURS, FULL} <= {*wrong} & {*times}:
        true, false = times[FULL].median / times[OURS].median, wrong[FULL] / wrong[OURS]
        results.append(f"Timed wrongly, the gain would read {false:.3g} times; it is {true:.3g}.")
    if scale is not None:
        results.append(_shapes(times, predicted, scale))
    elif judged and OURS in times:  # the lesson's question
        results.append(f"{'; '.join(judged)}.")
    if not results:
        results = told[:1] or [f"{next(iter(times))}: {seconds_text(next(iter(times.values())).median)}."]
        told = told[1:]
    parts = []
    for name, t in times.items():
        half = f"half of {t.n} runs between {seconds_text(t.q1)} and {seconds_text(t.q3)}" if t.n > 1 else "one run"
        text = f"{name} {seconds_text(t.median)} ({half})"
        if math.isfinite(predicted.get(name, math.nan)):
            text += f", predicted {seconds_text(predicted[name])}, {percent_off(predicted[name], t.median)}"
        parts.append(text)
    source = f" The predictions come from {whose}." if judged else ""
    more = f"{'; '.join(parts)}.{source}{wrong_sentence(times, wrong)}".strip()
    return Said(" ".join(results), more, " ".join(told))


def _shapes(times: Times, predicted: Seconds, scale: float) -> str:
    """How far off the predictions still are once they are scaled to the points: not the one that it was fitted to."""
    off = {n: scale * predicted[n] / t.median for n, t in times.items() if math.isfinite(predicted.get(n, math.nan))}
    if len(off) < 2:
        return "Scaled, a single prediction always fits: time more layers to compare shapes."
    still = [f"{name} still {percent_off(ratio, 1.0)}" for name, ratio in off.items() if abs(ratio - 1) > 1e-9]
    return f"Scaled by {scale:.2g} (fitted to these points): {', '.join(still) or 'all fit'}."


def compared(ours: Spread, other: Spread, subject: str, name: str) -> str:
    """Which of two is faster, or that it cannot be told."""
    if ours.q1 <= other.q3 and other.q1 <= ours.q3:
        return f"{subject} and {name} overlap: this measurement cannot tell them apart."
    ratio = other.median / ours.median
    if ratio >= 1:
        return f"{subject} is {_ratio(ratio)} times faster than {name}."
    return f"{subject} is {_ratio(1 / ratio)} times SLOWER than {name}."


def _ratio(ratio: float) -> str:
    return f"{ratio:.3g}" if ratio >= 10 else f"{ratio:.2g}" if ratio >= 1.95 else f"{ratio:.2f}"


def wrong_sentence(times: Times, wrong: Seconds) -> str:
    """What single cold shots would have made believe."""
    both = [n for n in wrong if n in times]
    if not both:
        return ""
    parts = [f"{n} {wrong[n] / times[n].median:.2g}" for n in both]
    return f" Timed wrongly (once, cold, one after the other), each takes so many times its median: {', '.join(parts)}."


def recorded_sentence(found: Recorded) -> Said:
    """A recorded measurement in words, where it comes from and at which sizes first."""
    said = layers_sentence(found.times, found.predicted, {}, found.whose)
    return Said(
        f"RECORDED on another machine, with {found.sizes}. {said.result}",
        f"{found.provenance} {said.more}",
        f"{said.also} {found.note} Nobody timed a plan there.".strip(),
    )


# ---------------------------------------------------------------------- the U-curve


def letter(i: int) -> str:
    """c₁, c₂ ...: what cutoff i (from 0) is called."""
    return f"c{'₁₂₃₄₅'[i]}"


def predicted_curve(explorer: LiveTimingExplorer) -> tuple[Sequence[float], Sequence[float]]:
    """Cutoffs and seconds of the model that fits the device and its numbers; nothing without one."""
    if not (explorer.judges and explorer.cutoffs):
        return [], []
    low, high = explorer.limits(explorer.active)
    places = np.unique(np.geomspace(low, high, 60).round().astype(np.int64).clip(low, high))
    places = np.unique([*places.tolist(), explorer.cutoffs[explorer.active]])
    return places.astype(float).tolist(), [predicted_at(explorer, int(c)) for c in places]


def predicted_at(explorer: LiveTimingExplorer, place: int) -> float:
    """Predicted seconds with the cutoff that moved last put elsewhere; nan without a model."""
    cost, _ = explorer.timings
    if cost is None or not explorer.judges:
        return math.nan
    i = explorer.active
    cutoffs = (*explorer.cutoffs[:i], place, *explorer.cutoffs[i + 1 :])
    shares = np.diff(explorer.vocabulary.cumulative[[*cutoffs, len(explorer.vocabulary)]]).tolist()
    return cost.layer(
        len(explorer.vocabulary), cutoffs, explorer.widths, shares, explorer.in_features, explorer.batch
    ).seconds


def floor_of(explorer: LiveTimingExplorer) -> int | None:
    """Words of the smallest head that a plan may have; None where the cutoff that moves does not end the head."""
    cumulative = explorer.vocabulary.cumulative
    low, high = explorer.limits(0) if explorer.cutoffs and explorer.active == 0 else (1, 0)
    floor = int(np.searchsorted(cumulative, FLOOR * cumulative[-1]))
    return floor if low <= floor <= high else None


def curve_scale(explorer: LiveTimingExplorer, times: Times) -> float:
    """What the prediction is multiplied by: 1, or what brings it to the measured points."""
    if not explorer.scaled:
        return 1.0
    return scale_of(times, {c: predicted_at(explorer, int(c)) for c in times})


def curve_data(explorer: LiveTimingExplorer, times: Times) -> tuple[Data, Layout]:
    """Predicted total against the cutoff that moved last, the measured points, the full softmax, you, your guess."""
    cost, _ = explorer.timings
    i, scale = explorer.active, curve_scale(explorer, times)
    sizes, seconds = predicted_curve(explorer)
    points = {int(c): t for c, t in times.items()}
    here = explorer.cutoffs[i] if explorer.cutoffs else 1
    full = math.nan
    if cost is not None and explorer.judges:
        full = cost.full_time(len(explorer.vocabulary), explorer.batch, explorer.in_features)
    nearest: list[float] = [s for c, s in zip(sizes, seconds, strict=True) if c >= here] or [math.nan]
    ends = [float(sizes[0]), float(sizes[-1])] if len(sizes) else [1.0, float(len(explorer.vocabulary))]
    guess, half = explorer.recall("guess beside the bottom"), math.nan
    if guess is not None and len(sizes):
        half = max(float(explorer.limits(i)[0]), sizes[int(np.argmin(seconds))] / 2)
    guessed = min(seconds) * (1 + guess / 100) if math.isfinite(half) else math.nan
    floor = floor_of(explorer) if len(sizes) else None
    drawn = [min(seconds), max(seconds)] if floor else [math.nan, math.nan]
    data: Data = {
        0: {"x": np.asarray(sizes if len(sizes) else [1.0]), "y": scale * _ms(list(seconds))},
        1: {
            "x": np.asarray([float(c) for c in points] or [1.0]),
            "y": _ms([t.median for t in points.values()]),
            "error_y.array": _ms([t.q3 - t.median for t in points.values()]),
            "error_y.arrayminus": _ms([t.median - t.q1 for t in points.values()]),
        },
        2: {"x": np.asarray(ends), "y": scale * _ms([full, full])},
        3: {"x": np.full(1, float(here)), "y": scale * _ms(nearest[:1])},
        4: {"x": np.full(1, half), "y": scale * _ms([guessed])},
        5: {"x": np.full(2, float(floor or 1)), "y": scale * _ms(drawn), "showlegend": floor is not None},
    }
    scaled = f", × {scale:.2g}" if scale != 1 else ""
    data[0]["name"], data[2]["name"] = f"predicted{scaled}", "full softmax"
    data[4]["showlegend"] = math.isfinite(guessed)
    return data, {"xaxis.title.text": f"cutoff {letter(i)} (words), the others as set"}


def curve_figure(explorer: LiveTimingExplorer, times: Times) -> go.Figure:
    """The U-curve of one cutoff, predicted, with measured points."""
    figure = go.Figure()
    bars = {"type": "data", "symmetric": False, "thickness": 2, "width": 5}
    said = "%{x:,d} words: %{y:,.3~r} ms<extra>%{fullData.name}</extra>"
    figure.add_scatter(mode="lines", line={"color": COLORS[0], "width": 3}, hovertemplate=said)
    figure.add_scatter(
        mode="markers",
        name="measured",
        error_y=bars,
        marker={**MEASURED, "size": 11, "color": COLORS[0]},
        hovertemplate=said,
    )
    figure.add_scatter(mode="lines", line={"color": FULL_COLOR, "dash": "dash"}, hovertemplate=said)
    figure.add_scatter(mode="markers", name="your cutoff", marker=YOU, hovertemplate=said)
    figure.add_scatter(mode="markers", name="your guess", marker=GUESSED, hovertemplate=said)
    figure.add_scatter(
        mode="lines",
        name=f"head holds {100 * FLOOR:.0f} % of the tokens",
        line={"color": TEXT_COLOR, "dash": "dot", "width": 2},
        hovertemplate="%{x:,d} words: no plan has a smaller head<extra></extra>",
    )
    figure.update_xaxes(**LOG)
    figure.update_yaxes(type="log", dtick="D2", tickformat=",.6~r", title_text="one training step of the layer, ms")
    figure = filled(figure, *curve_data(explorer, times), 310)
    figure.update_layout(showlegend=True, legend=_LEGEND, margin_t=36)
    return figure


def busy_before(entry: Mapping[str, Any] | None) -> str:
    """A warning, if other programs kept this machine busy when a measurement began."""
    load, cores = (entry or {}).get("load") or (0.0, 1)
    # its own threads keep the cores busy, and the load is an average over a minute
    if load <= 1.2 * cores:
        return ""
    return f"This machine was busy (load {load:.1f} on {cores} cores): do not trust these times, measure again. "


def curve_sentence(explorer: LiveTimingExplorer, times: Times) -> Said:
    """Both U-curves as text: whether the prediction chose well, the lesson's answer, then where each has its bottom."""
    sizes, seconds = predicted_curve(explorer)
    if not explorer.cutoffs:
        return Said("No cutoff, no curve: set one in the panel of the cutoffs.")
    bottom = ""
    if len(sizes):
        best = int(np.argmin(seconds))
        bottom = f"Predicted bottom: {sizes[best]:,.0f} words, {seconds_text(seconds[best])}."
        if (floor := floor_of(explorer)) and floor > sizes[best]:
            bottom += (
                f" A plan keeps {100 * FLOOR:.0f} % of the tokens in the head, so at least {floor:,} words "
                f"({seconds_text(predicted_at(explorer, floor))})."
            )
    if not times:
        return Said(f"{bottom} No point measured at these settings yet.".strip())
    place = min(times, key=lambda c: times[c].median)
    others = [c for j, c in enumerate(explorer.cutoffs) if j != explorer.active]
    more = (
        f"{bottom} Lowest of {counted(len(times), 'measured point')}: {int(place):,} words, "
        f"{seconds_text(times[place].median)} (the other cutoffs: {listed(others)})."
    )
    predicted = {c: predicted_at(explorer, int(c)) for c in times}
    if not math.isfinite(predicted[place]):
        return Said(f"Measured here: lowest at {int(place):,} words.", more.strip())
    scale, chosen = scale_of(times, predicted), predicted_best(explorer, times)
    apart = [abs(scale * predicted[c] / t.median - 1) for c, t in times.items()]
    whole = f"{scale:.2g} times what is predicted" if not 0.95 < scale < 1.05 else "about what is predicted"
    also = (
        f"Are the predictions true here? As a whole, these points take {whole} (median); in shape, once that is "
        f"taken out, prediction and points are {percent(float(np.median(apart)))} apart.{layers_verdict(explorer)}"
    )
    return Said(busy_before(explorer.recall("curve")) + _choice(times, chosen, place), more.strip(), also)


def _choice(times: Times, chosen: str, place: str) -> str:
    """Whether the prediction picked a good place: ``chosen`` is the one with the lowest prediction, ``place`` the one
    with the lowest median."""
    if chosen == place:
        return f"Measured here: prediction and clock pick the same place, {int(place):,} words. It chose well."
    picked = f"Measured here: the prediction picked {int(chosen):,} words, the clock {int(place):,}"
    if times[chosen].q1 <= times[place].q3:
        return f"{picked}; their whiskers overlap, so the prediction chose as well as this clock can tell."
    lost = percent(times[chosen].median / times[place].median - 1)
    return f"{picked}. Following the prediction costs {lost}."


def layers_verdict(explorer: LiveTimingExplorer) -> str:
    """How far off the predictions of whole layers were, by the newest measurement of the log, and what the plan was
    worth."""
    entry = next(iter(explorer.log()), None)
    if entry is None:
        return ""
    times, predicted = spreads(entry, entry["sizes"]), entry["predicted"]
    off = [f"{n} {percent_off(predicted[n], times[n].median)}" for n in (OURS, FULL) if n in times and n in predicted]
    if not off:
        return ""
    plan = ""
    if PLAN in times and OURS in times:
        plan = f" {compared(times[PLAN], times[OURS], 'The plan', 'your cutoffs')}"
    busy = " The machine was busy then." if busy_before(entry) else ""
    return f" Of the layers above, last measured: {', '.join(off)}.{plan}{busy}"


def predicted_best(explorer: LiveTimingExplorer, times: Times) -> str:
    """Of the measured places, the one with the lowest prediction."""
    return min(times, key=lambda c: predicted_at(explorer, int(c)))


# ---------------------------------------------------------------------- what is asked before


def recorded_ratio(explorer: LiveTimingExplorer, records: Sequence[Recorded] | None = None) -> float:
    """Recorded time of PyTorch's layer over ours on a CPU, at the recorded V nearest to the explorer's; ``records``: by
    default those that ship.

    Raises LookupError without a record.
    """
    found = recorded_layers() if records is None else records
    both = [one for one in found if {STOCK, OURS} <= one.times.keys() and one.device == "cpu"]
    if not both:
        raise LookupError("there is no recorded benchmark (data/results of a checkout has one)")
    n = len(explorer.vocabulary)
    nearest = min(both, key=lambda one: abs(math.log(one.n_classes / n)))
    return nearest.times[STOCK].median / nearest.times[OURS].median


def predicted_bottom(explorer: LiveTimingExplorer) -> float:
    """Where the predicted U-curve of the cutoff that moves is lowest. Raises LookupError without one."""
    sizes, seconds = predicted_curve(explorer)
    if not len(sizes):
        raise LookupError("there are no timings or no cutoff: time this machine, set a cutoff")
    return sizes[int(np.argmin(seconds))]


def price_of_half(explorer: LiveTimingExplorer) -> float:
    """Percent by which the predicted time rises when the cutoff that moves is put at half of its best place, or at the
    least that its neighbours leave. Raises LookupError without a prediction."""
    best = predicted_bottom(explorer)
    low, _ = explorer.limits(explorer.active)
    half = predicted_at(explorer, max(low, round(best / 2)))
    return max(0.1, 100 * (half / predicted_at(explorer, round(best)) - 1))
