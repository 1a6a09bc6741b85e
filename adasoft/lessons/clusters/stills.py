"""The stills of the lesson on clusters."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ...cost import MeasuredCost
from ...records import read_record, shipped_records
from ...tradeoffs import two_clusters
from ..kit.costs import COUNTED_WORDS
from ..kit.languages import load_language
from ..kit.picker import COLORS, places
from ..kit.plots import FULL_COLOR, LOG, PLANNED, TEXT_COLOR, Picture, filled, still
from . import figures as f
from .explorer import ClustersExplorer, Tails, starting_time


def _large(figure: go.Figure) -> go.Figure:
    """With letters that are legible where the notebook shows the picture at three quarters of its size."""
    figure.update_layout(font={"size": 15})
    figure.update_annotations(font={"size": 15})
    figure.update_xaxes(tickfont={"size": 14})
    return figure.update_yaxes(tickfont={"size": 14})


def _box(x: tuple[float, float], height: float, color: str) -> go.Scatter:
    """A filled block that stands on the axis."""
    (low, high), line = x, {"color": color, "width": 1}
    return go.Scatter(
        x=[low, high, high, low, low],
        y=[0, 0, height, height, 0],
        fillcolor=color,
        mode="lines",
        fill="toself",
        line=line,
    )


def _machine(part: str) -> MeasuredCost:
    """A recorded machine, by a part of its file's name."""
    return read_record(next(path for path in shipped_records() if part in path.name))


@still(
    "02_areas",
    "The 321,180 English words cut after 300, 2,000 and 100,000 of them. Each time the head is a bar as wide as its "
    "words and 100 percent of the tokens high, the tail a block as high as its share of the tokens: 41.3 percent, 21.4 "
    "percent and 0.7 percent. Both lie in a frame, the full softmax. The middle cut leaves the most of it empty.",
)
def _areas() -> Picture:
    words, cuts = load_language("en"), (300, 2000, 100_000)
    figure, n, at = make_subplots(1, 3, horizontal_spacing=0.04, shared_yaxes=True), len(words), places(len(words))
    for column, cut in enumerate(cuts, start=1):
        rest = 100 * (1 - float(words.cumulative[cut]))
        for low, high, height, color in ((0, cut, 100, COLORS[0]), (cut, n, rest, COLORS[1])):
            figure.add_trace(_box((low, high), height, color), row=1, col=column)
        line = {"mode": "lines", "row": 1, "col": column}
        figure.add_scatter(
            x=at, y=100 * (1 - words.cumulative[at]), line={"color": TEXT_COLOR, "dash": "dot", "width": 1.5}, **line
        )
        figure.add_scatter(
            x=[0, n, n, 0, 0], y=[0, 0, 100, 100, 0], line={"color": TEXT_COLOR, "dash": "dash", "width": 1}, **line
        )
        figure.add_annotation(
            x=n, y=94, xanchor="right", row=1, col=column, showarrow=False, text=f"<b>cut after {cut:,} words</b>"
        )
        figure.add_annotation(
            x=n, y=83, xanchor="right", row=1, col=column, showarrow=False, text=f"tail: {rest:.1f} % of the tokens"
        )
    figure.update_xaxes(title_text="words", tickvals=[0, 100_000, 200_000, 300_000], tickformat=",d", showgrid=False)
    figure.update_yaxes(ticksuffix=" %", range=[0, 102])
    for column, title in enumerate(("share of the tokens", " ", " "), start=1):  # one scale, named once
        figure.update_yaxes(title_text=title, col=column)
    return _large(filled(figure, {}, {}, 300))


@still(
    "02_two_clusters",
    "Words scored per token against the words in the head, on logarithmic axes. One line, the head, rises; one, the "
    "tail, falls; their sum is a U with its bottom at about 15 thousand words, ten times below the full softmax.",
)
def _two_clusters() -> Picture:
    words = load_language("en")
    found = two_clusters(words, 512, 2560, cost=COUNTED_WORDS)
    at = places(len(words) - 1, 200) - 1
    sizes, total = found.sizes[at], found.root[at] / 2560
    best = int(found.root.argmin())
    figure = go.Figure()
    figure.add_scatter(x=sizes, y=total, mode="lines", line={"color": TEXT_COLOR, "width": 4}, name="total")
    figure.add_scatter(x=sizes, y=sizes + 1, mode="lines", line={"color": COLORS[0], "width": 2}, name="head")
    figure.add_scatter(
        x=sizes, y=total - sizes - 1, mode="lines", line={"color": COLORS[1], "width": 2, "dash": "dash"}, name="tail"
    )
    figure.add_scatter(
        x=[1, len(words)],
        y=[len(words)] * 2,
        mode="lines",
        line={"color": FULL_COLOR, "dash": "dot"},
        name="full softmax",
    )
    figure.add_scatter(
        x=[found.sizes[best]], y=[found.root[best] / 2560], mode="markers", marker=PLANNED, name="best cut"
    )
    figure.update_xaxes(title_text="cut: words in the head", **LOG)
    figure.update_yaxes(title_text="words scored per token", **{**LOG, "range": [3, 5.8]})
    figure = _large(filled(figure, {}, {}, 340))
    return figure.update_layout(showlegend=True, legend={"orientation": "h", "y": 1.14, "x": 0})


@still(
    "02_swap",
    "Two tails drawn as rectangles, words wide and share of the tokens high. As they are, 1,000 words with 10 percent "
    "and 9,000 words with 20 percent: 1,900 words per token. With the shares swapped: 1,100.",
)
def _swap() -> Picture:
    figure = go.Figure()
    for left, shares, name in (
        (0, (10, 20), "as they are: 1,900 words"),
        (12000, (20, 10), "swapped: 1,100 words"),
    ):
        for x, share, color in zip(((0, 1000), (1000, 10000)), shares, COLORS[1:3], strict=True):
            figure.add_trace(_box((left + x[0], left + x[1]), share, color))
        figure.add_annotation(x=left + 5000, y=24, text=f"<b>{name}</b>", showarrow=False)
    ticks = [0, 1000, 10000, 12000, 13000, 22000]
    figure.update_xaxes(
        title_text="words", tickvals=ticks, ticktext=["0", "1,000", "10,000", "0", "1,000", "10,000"], showgrid=False
    )
    figure.update_xaxes(range=[0, 22800])
    figure.update_yaxes(title_text="share of the tokens", ticksuffix=" %", range=[0, 27])
    return _large(filled(figure, {}, {}, 290))


@still(
    "02_paper",
    "Three bars each, twice. The paper, in milliseconds on a GPU: full softmax 0.80, frequent words in the head 0.33, "
    "a head of clusters only 0.36. Our count of words per token for English: 321,180, 31,499 and 30,690.",
)
def _paper() -> Picture:
    words = load_language("en")
    found = two_clusters(words, 512, 2560, cost=COUNTED_WORDS)
    ours = [len(words), found.root.min() / 2560, found.leaf.min() / 2560]
    names = ["full softmax", "frequent words<br>in the head", "a head of<br>clusters only"]
    titles = ["the paper: Penn Treebank, GPU", "our count: English"]
    figure = make_subplots(1, 2, horizontal_spacing=0.14, subplot_titles=titles)
    for column, (values, form) in enumerate((([0.80, 0.33, 0.36], "{:.2f} ms"), (ours, "{:,.0f}")), start=1):
        bars = {"marker": {"color": FULL_COLOR, "opacity": 0.55}, "textposition": "outside", "cliponaxis": False}
        figure.add_bar(x=names, y=values, text=[form.format(v) for v in values], row=1, col=column, **bars)
        figure.update_yaxes(range=[0, 1.2 * values[0]], row=1, col=column)
    figure.update_yaxes(title_text="ms", col=1)
    figure.update_yaxes(title_text="words scored per token", tickformat=",d", col=2)
    return _large(filled(figure, {}, {}, 320))


@still(
    "02_tails",
    "Two bar charts of the time of a step against the number of tails. On an AMD CPU 1 tail takes 888 ms, 2 take 242, "
    "3 take 141, 5 take 102, and starting the products is hardly visible. On an NVIDIA H200 in bfloat16 nearly all of "
    "the time is starting: 1 tail takes 2.61 ms, 2 take 3.01, 5 take 5.80.",
)
def _tails() -> Picture:
    words = load_language("en")
    clocks = []
    for part in ("cpu", "h200-bfloat16"):
        cost = _machine(part)
        explorer = ClustersExplorer(words, cost=cost)
        plans = [explorer.plan_for_me(n_tails) for n_tails in range(1, 6)]
        clocks.append((cost, [Tails(found, starting_time(cost, found.n_tails)) for found in plans]))
    return _large(f.tails_figure(clocks, words))


@still(
    "02_front",
    "Time of a step against the mean width of a token's vector, two tails, on a recorded CPU. From 388 numbers and 237 "
    "ms the curve is nearly flat up to 420 numbers, then rises more and more steeply to 501 numbers and 1,408 ms. The "
    "planner's floor, 75 percent of the tokens in the head, lies where the rise begins.",
)
def _front() -> Picture:
    words, cost = load_language("en"), _machine("cpu")
    explorer = ClustersExplorer(words, cost=cost, cutoffs=(2000, 10000))
    return _large(f.front_figure(explorer.front(cost), None, explorer.plan_for_me(2), words))


@still(
    "02_game",
    "A map of the time of a step over two cutoffs, on logarithmic axes: a bright valley around 1,000 and 25,000 words, "
    "dark towards large heads. A line marks where the head holds 75 percent of the tokens; the best pair, a star, lies "
    "right beside it.",
)
def _game() -> Picture:
    words, cost = load_language("en"), _machine("cpu")
    explorer = ClustersExplorer(words, cost=cost, in_features=256, batch=1024, cutoffs=(40_000, 120_000))
    at = np.unique(np.geomspace(100, len(words) - 1, 56).round().astype(int))
    times = np.full((len(at), len(at)), np.nan)
    for column, first in enumerate(at):
        for line, second in enumerate(at):
            if first < second:
                times[line, column] = explorer.full.seconds / explorer.speedup_at((int(first), int(second)))
    found = explorer.plan_for_me(2)
    ratio = np.minimum(times / np.nanmin(times), 8.0)
    figure = go.Figure()
    figure.add_contour(
        x=at.astype(float),
        y=at.astype(float),
        z=np.log2(ratio),
        colorscale="Magma_r",
        ncontours=14,
        line={"width": 0},
        colorbar={"title": {"text": "times the best<br> "}, "tickvals": [0, 1, 2, 3], "ticktext": ["1", "2", "4", "8"]},
    )
    floor = int(np.searchsorted(words.cumulative, 0.75))
    figure.add_vline(floor, line={"color": TEXT_COLOR, "dash": "dash"})
    figure.add_annotation(x=np.log10(floor), y=1, yref="paper", yanchor="bottom", text="head: 75 %", showarrow=False)
    figure.add_scatter(
        x=[found.cutoffs[0]],
        y=[found.cutoffs[1]],
        mode="markers+text",
        text=["planner"],
        textposition="middle right",
        marker={**PLANNED, "color": "#ffffff", "line": {"color": "#1d2329", "width": 1}},
    )
    figure.update_xaxes(title_text="c1: words in the head", **LOG)
    figure.update_yaxes(title_text="c2: last word of tail 1", **LOG)
    return _large(filled(figure, {}, {}, 420))
