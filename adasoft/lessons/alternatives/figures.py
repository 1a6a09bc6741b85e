"""Figures of the lesson on alternatives, and the sentences that say them in words."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ..kit.picker import COLORS
from ..kit.plots import DASHES, FULL_COLOR, LOG, Data, Layout, filled, percent, plain, seconds_text
from ..time_model.timings import Spread
from . import cases as sc
from .explorer import GROUPS, PER_GROUP, PLACES, SHOWN, AlternativesExplorer, utilised
from .small_models import STATES, TOPS, Experts

Times = Mapping[str, Spread]
LEGEND = {"orientation": "h", "y": -0.24}

# ---------------------------------------------------------------------- SVD-softmax


def svd_data(explorer: AlternativesExplorer, times: Mapping[str, Any]) -> tuple[Data, Layout]:
    """The ten best words of a state by both; guaranteed recall against N; recall against measured time."""
    words, full, ours = explorer.top_words()
    # two of the same word cannot be: a category for each, the rank before it
    names = [f"{i + 1}. {plain(word)}" for i, word in enumerate(words)]
    places, recall = explorer.recall_curve()
    found = explorer.quality()
    points = times.get("points") or [["full softmax", math.nan, math.nan]]
    data: Data = {
        0: {"y": names, "x": np.asarray(full)},
        1: {"y": names, "x": np.asarray(ours)},
        2: {"x": places, "y": 100 * recall},
        3: {"x": np.full(1, float(explorer.n_full)), "y": np.full(1, 100 * found["recall 10"])},
        4: {
            "x": 1e3 * np.asarray([p[1] for p in points], dtype=float),
            "y": 100 * np.asarray([p[2] for p in points], dtype=float),
            "text": [plain(str(p[0])) for p in points],
            "textposition": [("top center", "bottom center")[i % 2] for i in range(len(points))],
        },
    }
    return data, {"xaxis2.title.text": f"N words re-scored, W = {explorer.width}"}


def svd_figure(explorer: AlternativesExplorer, times: Mapping[str, Any]) -> go.Figure:
    """Words, recall and time of SVD-softmax."""
    titles = ("ten best words of this state", "recall of the ten best", "recall against time")
    figure = make_subplots(1, 3, subplot_titles=titles, horizontal_spacing=0.1, column_widths=[0.34, 0.33, 0.33])
    figure.add_bar(row=1, col=1, name="full softmax", orientation="h", marker_color=FULL_COLOR)
    figure.add_scatter(row=1, col=1, name="SVD-softmax", mode="markers",
                       marker={"symbol": "diamond", "size": 10, "color": COLORS[5]})  # fmt: skip
    figure.add_scatter(row=1, col=2, name="guaranteed by N", mode="lines", line={"color": COLORS[0], "width": 3})
    figure.add_scatter(row=1, col=2, name="your W and N, measured", mode="markers",
                       marker={"symbol": "circle", "size": 13, "color": COLORS[2]})  # fmt: skip
    figure.add_scatter(row=1, col=3, name="timed here", mode="markers+text",
                       marker={"symbol": "square", "size": 9, "color": COLORS[0]}, cliponaxis=False)  # fmt: skip
    figure.update_xaxes(title_text="probability", row=1, col=1)
    figure.update_yaxes(autorange="reversed", row=1, col=1)
    figure.update_xaxes(**LOG, row=1, col=2)
    figure.update_yaxes(title_text="% of the full softmax's", range=[0, 105], row=1, col=2)
    figure.update_xaxes(title_text=f"ms for {TIMED_ROWS} rows", rangemode="tozero", row=1, col=3)
    figure.update_yaxes(title_text="recall, %", range=[0, 112], row=1, col=3)
    figure.update_annotations(font_size=13)
    figure = filled(figure, *svd_data(explorer, times), 400)
    figure.update_layout(showlegend=True, legend=LEGEND)
    return figure


#: Rows that the windows are timed with.
TIMED_ROWS = 256


def svd_sentence(explorer: AlternativesExplorer, times: Mapping[str, Any]) -> str:
    """What W and N cost and find, and what the clock says."""
    found = explorer.quality()
    words, full, ours = explorer.top_words()
    models = explorer.small
    off = max(range(len(words)), key=lambda i: abs(full[i] - ours[i]))
    text = (
        f"after “{models.before(explorer.place - 1)}” the best word is “{words[0]}” with {percent(full[0])}, by "
        f"SVD-softmax {percent(ours[0])}; furthest off of the ten is “{words[off]}”, {percent(full[off])} against "
        f"{percent(ours[off])}. With W = {explorer.width} of {models.full.in_features} columns and N = "
        f"{explorer.n_full:,} of {models.full.n_classes:,} words, the best word is found for "
        f"{percent(found['recall 1'])} of {SHOWN} states, of the five best {percent(found['recall 5'])}, of the ten "
        f"{percent(found['recall 10'])}; the distributions differ by {found['divergence']:.2g} nats. Arithmetic: "
        f"{percent(found['utilisation'])} of the full softmax's."
    )
    points = times.get("points")
    if not points:
        return f"{text} Nothing timed yet."
    full_time = next(seconds for name, seconds, _ in points if name == "full softmax")
    yours = next((p for p in points if p[0] == window_name(explorer.width, explorer.n_full)), None)
    fastest = min((p for p in points if p[2] >= 0.95), key=lambda p: p[1])
    text += (
        f" Timed on {times['device']}, {times['date'][:10]}: full softmax {seconds_text(full_time)}; the fastest with "
        f"at least 95 % is {fastest[0]}, {seconds_text(fastest[1])}."
    )
    if yours is not None:
        ratio = full_time / yours[1]
        gain = f"{ratio:.2g} times faster" if ratio >= 1 else f"{1 / ratio:.2g} times SLOWER"
        promised = 1 / found["utilisation"]
        text += f" Yours is {gain} than the full softmax; by arithmetic it would be {promised:.2g} times faster."
    return text


def window_name(width: int, n_full: int) -> str:
    """Of a pair in the figure."""
    return f"{width}, {n_full:,}"


# ---------------------------------------------------------------------- experts on 10 x 10 classes


def experts_data(kept: Mapping[str, Any]) -> tuple[Data, Layout]:
    """Which expert knows which class; how many each knows; rows left against steps."""
    known = [list(one) for one in kept.get("known", ())] or [[]]
    order = sorted(range(len(known)), key=lambda k: (not known[k], np.mean(known[k]) if known[k] else 0.0))
    points = np.asarray(kept.get("points") or [[math.nan, math.nan, math.nan]], dtype=float)
    x: list[float] = []
    y: list[float] = []
    for place, k in enumerate(order):
        x += known[k]
        y += [place + 1.0] * len(known[k])
    data: Data = {
        0: {"x": np.asarray(x or [math.nan], dtype=float), "y": np.asarray(y or [math.nan], dtype=float)},
        1: {"x": np.asarray([float(len(known[k])) for k in order]), "y": np.arange(1.0, len(known) + 1)},
        2: {"x": points[:, 0], "y": points[:, 1]},
    }
    return data, {"yaxis.range": (len(known) + 0.6, 0.4), "yaxis2.range": (len(known) + 0.6, 0.4)}


def experts_figure(kept: Mapping[str, Any]) -> go.Figure:
    """What experts know of the 10 x 10 classes."""
    titles = ("which expert knows which class", "classes known", "rows left")
    figure = make_subplots(1, 3, subplot_titles=titles, horizontal_spacing=0.09, column_widths=[0.5, 0.2, 0.3])
    figure.add_scatter(row=1, col=1, name="knows it", mode="markers",
                       marker={"symbol": "square", "size": 5, "color": COLORS[0]})  # fmt: skip
    figure.add_bar(row=1, col=2, name="classes", orientation="h", marker_color=COLORS[1])
    figure.add_scatter(row=1, col=3, name="rows", mode="lines", line={"color": COLORS[2], "width": 3})
    edges = [PER_GROUP * g - 0.5 for g in range(GROUPS + 1)]
    figure.update_xaxes(tickvals=edges, ticktext=[str(PER_GROUP * g) for g in range(GROUPS + 1)],
                        range=[-1.5, GROUPS * PER_GROUP + 0.5], title_text="class; a line for each true group",
                        row=1, col=1)  # fmt: skip
    figure.update_yaxes(title_text="expert", row=1, col=1)
    figure.update_yaxes(title_text="expert", row=1, col=2)
    figure.update_xaxes(title_text="classes", rangemode="tozero", row=1, col=2)
    figure.update_xaxes(title_text="step", rangemode="tozero", row=1, col=3)
    figure.update_yaxes(title_text="rows of all experts", rangemode="tozero", row=1, col=3)
    figure.update_annotations(font_size=13)
    return filled(figure, *experts_data(kept), 340)


def experts_sentence(kept: Mapping[str, Any], fresh: bool = True) -> str:
    """The experts in words: sizes, groups recovered, arithmetic."""
    if not kept:
        return "Nothing trained yet."
    sizes = [len(one) for one in kept["known"]]
    settings = kept["sizes"]
    stages = " then ".join(str(k) for k in settings["stages"])
    text = (
        f"step {kept['step']} of {kept['steps']}: {len(sizes)} experts ({stages}), threshold "
        f"{settings['threshold']:g}, know {min(sizes)} to {max(sizes)} of the {GROUPS * PER_GROUP} classes, "
        f"{kept['rows']} rows of {len(sizes) * GROUPS * PER_GROUP} in all. {kept['exact']} of {GROUPS} true groups are "
        f"some expert's words exactly. Task loss {kept['task']:.2g} nats."
    )
    if 0 in sizes:
        text += (
            f" {sizes.count(0)} lost every row: the gate leaves {'it' if sizes.count(0) == 1 else 'them'} out. A "
            "smaller threshold spares experts."
        )
    share = utilised(kept)
    speed = f"{1 / share:.2g} times less" if share < 1 else "no less"
    text += f" One token reads the gate and one expert: {percent(share)} of the arithmetic, {speed}."
    if not fresh:
        text += " These are of other settings than those above: press Train."
    return text


# ---------------------------------------------------------------------- experts on the small model


def stored_experts_data(experts: Sequence[Experts], chosen: int) -> tuple[Data, Layout]:
    """Agreement with the full softmax, and accuracy, against arithmetic; words of each expert of the chosen one."""
    found = [e.found for e in experts]
    one = experts[chosen]
    names = [f"{i + 1}" for i in range(one.n_experts)]
    x = 100 * np.asarray([e["utilisation"] for e in found])
    data: Data = {
        0: {"x": x, "y": 100 * np.asarray([e["agree 10"] for e in found]),
            "text": [f"K = {e.n_experts}" for e in experts]},
        1: {"x": x, "y": 100 * np.asarray([e["right 10"] for e in found])},
        2: {"x": np.asarray([0.0, 2 * x.max()]), "y": np.full(2, 100 * found[0]["full right 10"])},
        3: {"x": x[[chosen]], "y": 100 * np.asarray([found[chosen]["agree 10"]])},
        4: {"x": names, "y": np.asarray(one.found["sizes"], dtype=float)},
        5: {"x": names, "y": 100 * np.asarray(one.found["shares"])},
    }  # fmt: skip
    return data, {}


def stored_experts_figure(experts: Sequence[Experts], chosen: int) -> go.Figure:
    """Stored doubly sparse softmaxes."""
    titles = ("what they find, against arithmetic", "words of each expert", "rows that it gets")
    figure = make_subplots(1, 3, subplot_titles=titles, horizontal_spacing=0.09, column_widths=[0.42, 0.29, 0.29])
    figure.add_scatter(row=1, col=1, name="of the full softmax's ten best", mode="markers+text",
                       textposition="top center", marker={"symbol": "square", "size": 9, "color": COLORS[0]},
                       cliponaxis=False)  # fmt: skip
    figure.add_scatter(row=1, col=1, name="next word among its ten best", mode="markers",
                       marker={"symbol": "triangle-up", "size": 10, "color": COLORS[2]})  # fmt: skip
    figure.add_scatter(row=1, col=1, name="the same, full softmax", mode="lines",
                       line={"color": FULL_COLOR, "dash": "dash"})  # fmt: skip
    figure.add_scatter(row=1, col=1, name="chosen", mode="markers",
                       marker={"symbol": "circle-open", "size": 18, "color": COLORS[5],
                               "line": {"width": 3}})  # fmt: skip
    figure.add_bar(row=1, col=2, name="words", marker_color=COLORS[1], showlegend=False)
    figure.add_bar(row=1, col=3, name="rows", marker_color=COLORS[4], showlegend=False)
    most = 100 * max(float(e.found["utilisation"]) for e in experts)
    figure.update_xaxes(title_text="arithmetic, % of the full softmax's", range=[0, 1.25 * most], row=1, col=1)
    figure.update_yaxes(title_text="%", range=[0, 112], row=1, col=1)
    for column, title in ((2, "words"), (3, "% of the rows")):
        figure.update_xaxes(title_text="expert", type="category", row=1, col=column)
        figure.update_yaxes(title_text=title, rangemode="tozero", row=1, col=column)
    figure.update_annotations(font_size=13)
    figure = filled(figure, *stored_experts_data(experts, chosen), 380)
    figure.update_layout(showlegend=True, legend=LEGEND)
    return figure


def stored_experts_sentence(explorer: AlternativesExplorer) -> str:
    """The chosen stored experts, and words that one of them alone knows."""
    models, one = explorer.small, explorer.small.experts[explorer.stored]
    e, found = min(explorer.expert, one.n_experts) - 1, one.found
    alone = one.members[e] & (one.members.sum(0) == 1)
    words = [models.words[i] for i in alone.nonzero().squeeze(1)[:12].tolist()]
    listed = f"Only it knows, for instance: {', '.join(words)}." if words else "Each of its words is known to others."
    return (
        f"{one.label}: {percent(found['utilisation'])} of the arithmetic. Its ten best words hold "
        f"{percent(found['agree 10'])} of the full softmax's, its five best {percent(found['agree 5'])}, its best "
        f"{percent(found['agree 1'])}. The text's next word is among its ten in {percent(found['right 10'])} of the "
        f"places, with the full softmax in {percent(found['full right 10'])}; for {percent(found['outside'])} of "
        f"the places the expert does not know it at all, so that its log-probability is minus infinity. Expert {e + 1} "
        f"knows {int(one.members[e].sum()):,} of {len(models.words):,} words and gets "
        f"{percent(found['shares'][e])} of the rows. {listed}"
    )


# ---------------------------------------------------------------------- tails skipped


def skip_data(explorer: AlternativesExplorer, times: Times) -> tuple[Data, Layout]:
    """Share of rows that open each tail at this k; mean share of pairs against k; times of both ways."""
    shares = explorer.opened_shares(explorer.best)
    names = [f"tail {i + 1}" for i in range(len(shares))]
    places = sorted({*PLACES, explorer.best})
    data: Data = {0: {"x": names, "y": 100 * np.asarray(shares)}}
    data[1] = {"x": np.asarray(places, dtype=float), "y": np.asarray([explorer.pairs_percent(k) for k in places])}
    data[2] = {
        "x": np.full(1, float(explorer.best)),
        "y": np.full(1, explorer.pairs_percent(explorer.best)),
    }
    for trace, name in ((3, ALL), (4, SKIP)):
        found = {k: times[f"{name}, {k}"] for k in PLACES if f"{name}, {k}" in times}
        medians = [t.median for t in found.values()] or [math.nan]
        data[trace] = {
            "x": np.asarray(list(found) or [1], dtype=float),
            "y": 1e3 * np.asarray(medians),
            "error_y.array": 1e3 * np.asarray([t.q3 - t.median for t in found.values()] or [math.nan]),
            "error_y.arrayminus": 1e3 * np.asarray([t.median - t.q1 for t in found.values()] or [math.nan]),
        }
    return data, {}


ALL, SKIP = "all words, then search", "exact, tails skipped"


def skip_figure(explorer: AlternativesExplorer, times: Times) -> go.Figure:
    """Tails that exact decoding opens, and what it takes."""
    titles = ("rows that open it, at your k", "pairs opened against k", "time against k")
    figure = make_subplots(1, 3, subplot_titles=titles, horizontal_spacing=0.1, column_widths=[0.26, 0.36, 0.38])
    figure.add_bar(row=1, col=1, name="rows", marker_color=COLORS[1], showlegend=False)
    figure.add_scatter(row=1, col=2, name="opened", mode="lines+markers", line={"color": COLORS[0], "width": 3},
                       showlegend=False)  # fmt: skip
    figure.add_scatter(row=1, col=2, name="your k", mode="markers",
                       marker={"symbol": "diamond", "size": 14, "color": COLORS[2]})  # fmt: skip
    for name, color, symbol, dash in ((ALL, FULL_COLOR, "circle", DASHES[1]), (SKIP, COLORS[0], "square", DASHES[0])):
        figure.add_scatter(row=1, col=3, name=name, mode="lines+markers", line={"color": color, "dash": dash},
                           marker={"symbol": symbol, "size": 9},
                           error_y={"type": "data", "symmetric": False})  # fmt: skip
    figure.update_yaxes(title_text="% of the rows", range=[0, 105], row=1, col=1)
    figure.update_yaxes(title_text="% of (row, tail) pairs", range=[0, 105], row=1, col=2)
    figure.update_yaxes(title_text=f"ms for {TIMED_ROWS} rows", rangemode="tozero", row=1, col=3)
    for column in (2, 3):
        figure.update_xaxes(title_text="k best words", type="log", tickvals=PLACES, range=[-0.15, 1.85], row=1,
                            col=column)  # fmt: skip
    figure.update_annotations(font_size=13)
    figure = filled(figure, *skip_data(explorer, times), 360)
    figure.update_layout(showlegend=True, legend=LEGEND)
    return figure


def skip_sentence(explorer: AlternativesExplorer, times: Times, whose: str) -> str:
    """Shares and times in words, with the words themselves."""
    models, k = explorer.small, explorer.best
    x = models.adaptive_states[explorer.place - 1 : explorer.place]
    words = [models.words[i] for i in models.adaptive.topk(x, k).indices[0].tolist()]
    best = ", ".join(f"“{word}”" for word in words[:5])
    opened = models.adaptive.opened(x, k)[0].tolist()
    which = [f"tail {i + 1}" for i, was in enumerate(opened) if was]
    shares = explorer.opened_shares(k)
    text = (
        f"after “{models.before(explorer.place - 1)}” the best of {k} {'is' if k == 1 else 'are'} {best}; here "
        f"{' and '.join(which) or 'no tail'} had to be opened. Over {STATES:,} states, k = {k}: "
        + ", ".join(f"tail {i + 1} {percent(share)}" for i, share in enumerate(shares))
        + f" of the rows; {explorer.pairs_percent(k):.3g} % of all pairs. The answer is exact for every k."
    )
    parts = []
    for place in (1, 10, 50):
        both = times.get(f"{ALL}, {place}"), times.get(f"{SKIP}, {place}")
        if both[0] and both[1]:
            ratio = both[0].median / both[1].median
            apart = both[1].q3 < both[0].q1 or both[0].q3 < both[1].q1
            said = f"{ratio:.2g} times faster" if ratio >= 1 else f"{1 / ratio:.2g} times SLOWER"
            parts.append(f"k = {place}: {said if apart else 'too close to call'}")
    return (
        f"{text} Against all words and a search, {'; '.join(parts)} ({whose})." if parts else f"{text} Not timed yet."
    )


# ---------------------------------------------------------------------- a case

ORDER = (
    sc.FULL, sc.SAMPLED, sc.TREE, sc.STAR, sc.ADAPTIVE, sc.ALL_WORDS, sc.SKIPPING, sc.SVD, sc.SPARSE,
)  # fmt: skip


def case_data(names: Sequence[str], times: Times, arithmetic: Mapping[str, float]) -> tuple[Data, Layout]:
    """Measured times with quartiles, and counted arithmetic, by method."""
    shown = [n for n in ORDER if n in names]
    timed = [times.get(n, Spread(math.nan, math.nan, math.nan, 0)) for n in shown]
    labels = [n.replace(", ", ",<br>").replace(" softmax", "<br>softmax").replace("-softmax", "-<br>softmax")
              for n in shown]  # fmt: skip
    data: Data = {
        0: {
            "x": labels,
            "y": 1e3 * np.asarray([t.median for t in timed]),
            "error_y.array": 1e3 * np.asarray([t.q3 - t.median for t in timed]),
            "error_y.arrayminus": 1e3 * np.asarray([t.median - t.q1 for t in timed]),
        },
        1: {"x": labels, "y": 100 * np.asarray([arithmetic.get(n, math.nan) for n in shown])},
    }
    return data, {}


def case_figure(names: Sequence[str], times: Times, arithmetic: Mapping[str, float]) -> go.Figure:
    """A case: time and arithmetic."""
    titles = ("measured, in turns", "counted arithmetic")
    figure = make_subplots(1, 2, subplot_titles=titles, horizontal_spacing=0.1)
    figure.add_bar(row=1, col=1, name="median, quartiles", marker_color=COLORS[0],
                   error_y={"type": "data", "symmetric": False, "color": "#70777e", "thickness": 2,
                            "width": 8})  # fmt: skip
    figure.add_bar(row=1, col=2, name="arithmetic", marker_color=COLORS[1],
                   marker_pattern={"shape": "/", "fillmode": "overlay", "solidity": 0.25})  # fmt: skip
    figure.update_yaxes(title_text="ms", rangemode="tozero", row=1, col=1)
    figure.update_yaxes(title_text="% of the full softmax's", rangemode="tozero", row=1, col=2)
    figure.update_xaxes(type="category")
    figure.update_annotations(font_size=13)
    return filled(figure, *case_data(names, times, arithmetic), 360)


def case_sentence(times: Times, known: Mapping[str, Any], bet: str, made: str) -> str:
    """Who won, by how much, against what arithmetic promised, and the reader's bet."""
    if not times:
        return "Nothing measured for this case yet."
    order = sorted(times, key=lambda n: times[n].median)
    winner = order[0]
    text = "measured: " + "; ".join(f"{n} {seconds_text(times[n].median)}" for n in order) + "."
    level = [n for n in order[1:] if times[n].q1 <= times[winner].q3]
    if level:
        text += f" {winner} is ahead, but its quartiles overlap with those of {' and '.join(level)}: call it level."
    else:
        text += f" {winner} wins" + (
            f", {times[order[1]].median / times[winner].median:.2g} times faster than the next." if order[1:] else "."
        )
    if sc.FULL in times and winner != sc.FULL:
        arithmetic = known.get("arithmetic", {})
        ratio = times[sc.FULL].median / times[winner].median
        text += f" Against the full softmax {ratio:.2g} times"
        text += f"; its arithmetic promised {1 / arithmetic[winner]:.2g} times." if winner in arithmetic else "."
    if known.get("opened") is not None:
        text += f" Exact top-k opened {percent(known['opened'])} of the pairs of this drawn layer."
    if bet:
        text += f" You bet on {bet}: {'right' if bet == winner or bet in level else 'wrong'}."
    return f"{text} {made}".strip()


# ---------------------------------------------------------------------- tables


def table_html(label: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with a name."""
    left = 'style="text-align:left"'
    top = "".join(f'<th scope="col" {left}>{html.escape(h)}</th>' for h in head)
    body = "".join(
        f'<tr><th scope="row" {left}>{html.escape(row[0])}</th>'
        + "".join(f"<td {left}>{html.escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return f'<table aria-label="{html.escape(label)}"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>'


__all__ = [
    "TOPS",
    "case_data",
    "case_figure",
    "case_sentence",
    "experts_data",
    "experts_figure",
    "experts_sentence",
    "skip_data",
    "skip_figure",
    "skip_sentence",
    "stored_experts_data",
    "stored_experts_figure",
    "stored_experts_sentence",
    "svd_data",
    "svd_figure",
    "svd_sentence",
    "table_html",
    "window_name",
]
