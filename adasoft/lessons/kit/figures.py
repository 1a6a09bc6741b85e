"""Figures and the sentences that say them in words: functions of numbers and of an `Explorer`, no widgets.

Each figure is a pair: ``..._data`` gives what changes, trace by trace, and ``..._figure`` a complete ``go.Figure`` made
of it. Panels push the data into a live copy (`push`); stills render the figure.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ...tradeoffs import TwoClusters
from ...vocabulary import Vocabulary, compare
from ...zipf import ZipfFit
from .explorer import Explorer
from .picker import COLORS, places
from .widgets import LiveFigure

Data = dict[int, dict[str, Any]]
Layout = dict[str, Any]

TEXT_COLOR, _GRID = "#727a82", "rgba(128,136,144,.28)"  # legible on white and on near-black
FULL_COLOR = "#888888"
_AXIS = {"gridcolor": _GRID, "zerolinecolor": _GRID, "linecolor": _GRID, "automargin": True, "title_standoff": 8}
TEMPLATE = go.layout.Template(
    layout={
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": TEXT_COLOR, "size": 12},
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "colorway": list(COLORS),
        "margin": {"l": 50, "r": 20, "t": 44, "b": 44},
        "modebar": {"remove": ["sendChartToCloud"]},
        "hoverlabel": {"font": {"color": "#111"}, "bgcolor": "#eee"},
    }
)
#: A logarithmic axis. Plotly draws its powers larger than the numbers of other axes.
LOG = {"type": "log", "dtick": 1, "exponentformat": "power", "tickfont": {"size": 10}}
MOST_LINES = 6
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


Picture: TypeAlias = "go.Figure | str"


class Still(NamedTuple):
    """What to draw, and what to say where it cannot be seen."""

    make: Callable[[], Picture]
    alt: str


STILLS: dict[str, Still] = {}


def still(name: str, alt: str) -> Callable[[Callable[[], Picture]], Callable[[], Picture]]:
    """Register a function as the still ``name`` (a file name without its end)."""

    def register(make: Callable[[], Picture]) -> Callable[[], Picture]:
        if name in STILLS and STILLS[name].make.__qualname__ != make.__qualname__:
            raise ValueError(f"name: there is a still {name!r} already, {STILLS[name].make.__qualname__}")
        STILLS[name] = Still(make, alt)
        return make

    return register


def plain(text: str) -> str:
    """A text that is not ours (a word, a name of a file or machine) for plotly, which would take <b> and <a> for markup
    wherever it shows text: names, categories, labels, titles."""
    return html.escape(text, quote=False)


def push(widget: LiveFigure, data: Data, layout: Layout | None = None) -> None:
    """Change a live figure: ``data[i][property]`` of trace i, and ``layout[path]``, in one message."""
    widget.push(data, layout)


def filled(figure: go.Figure, data: Data, layout: Layout, height: int) -> go.Figure:
    """The figure with the template, its data and layout filled in."""
    for i, properties in data.items():
        figure.data[i].update(properties)
    figure.update_layout(template=TEMPLATE, height=height, showlegend=False)
    for name, value in layout.items():
        figure.layout[name] = value
    return figure


def seconds_text(seconds: float) -> str:
    """1.2 s, 34 ms, 0.56 ms ..."""
    if seconds >= 1:
        return f"{seconds:,.1f} s"
    return f"{seconds * 1e3:,.3g} ms" if seconds >= 1e-4 else f"{seconds * 1e6:,.3g} µs"


def amount_text(explorer: Explorer, seconds: float) -> str:
    """A predicted time, or a count, with its unit."""
    if not explorer.counted:
        return seconds_text(seconds)
    value = float(explorer.amount(seconds))
    return f"{value:,.0f} {explorer.unit}" if value >= 100 else f"{value:.3g} {explorer.unit}"


def percent(share: float) -> str:
    """78.6 %, 0.062 % ..."""
    if share >= 0.9995 and share < 1:
        return f"{100 * share:.3f} %" if share < 0.99999 else "nearly 100 %"
    return f"{100 * share:.1f} %" if share >= 0.01 or share == 0 else f"{100 * share:.2g} %"


# ---------------------------------------------------------------------- cutoffs: shares, time, total


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
    figure.add_bar(row=1, col=2, marker={"color": colors}, texttemplate="%{y:,.3~r}", **{
        k: v for k, v in percent_bar.items() if k != "texttemplate"
    })  # fmt: skip
    figure.add_scatter(row=1, col=3, mode="lines", line={"color": COLORS[0], "width": 2.5}, name="these cutoffs")
    figure.add_scatter(row=1, col=3, mode="lines+text", line={"color": FULL_COLOR, "dash": "dash"}, name="full softmax",
                       text=["<br>full softmax", ""], textposition="bottom right")  # fmt: skip
    figure.add_scatter(row=1, col=3, mode="markers", name="here",
                       marker={"size": 13, "symbol": "diamond", "color": COLORS[5]})  # fmt: skip
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
    dearest = max(costs, key=lambda name: costs[name])
    tails = ", ".join(
        f"{name} {percent(share)} (width {width})"
        for name, share, width in zip(explorer.names[1:], shares[1:], explorer.widths, strict=True)
    )
    dearest = "The head" if dearest == "head" else dearest.capitalize()
    verb = "counted" if explorer.counted else "predicted"
    ratio = explorer.speedup
    compared = f"{ratio:,.1f} times less" if ratio >= 1 else f"{1 / ratio:,.1f} times MORE"
    return (
        f"The head holds {cutoffs[0]:,} words ({percent(cutoffs[0] / len(explorer.vocabulary))} of them) and "
        f"{percent(shares[0])} of the tokens; {tails}. {dearest} costs most. In all {verb}: "
        f"{amount_text(explorer, explorer.prediction.seconds)}, {compared} than the full softmax's {full}."
    )


def picker_figure(explorer: Explorer) -> go.Figure:
    """What the draggable picker shows, for a page that runs nothing."""
    words, n = explorer.vocabulary, len(explorer.vocabulary)
    ranks = places(n)
    seen = ranks[words.counts[ranks - 1] > 0]
    figure = make_subplots(specs=[[{"secondary_y": True}]])
    figure.add_scatter(x=seen, y=words.shares[seen - 1], mode="lines", line={"color": TEXT_COLOR, "width": 2})
    figure.add_scatter(x=ranks, y=words.cumulative[ranks], mode="lines", line={"color": TEXT_COLOR, "dash": "dash"},
                       secondary_y=True)  # fmt: skip
    edges = [1, *explorer.cutoffs, n]
    for i, (name, share) in enumerate(zip(explorer.names, explorer.token_shares, strict=True)):
        low, high = edges[i], edges[i + 1]
        figure.add_vrect(low, high, fillcolor=COLORS[i], opacity=0.22, line_width=0, layer="below")
        figure.add_annotation(x=(np.log10(low) + np.log10(high)) / 2, y=1.1, yref="paper", showarrow=False,
                              text=f"<b>{name} · {percent(share)} of tokens</b>")  # fmt: skip
    for i, cutoff in enumerate(explorer.cutoffs):
        figure.add_vline(cutoff, line={"color": TEXT_COLOR, "width": 2})
        figure.add_scatter(x=[cutoff], y=[0.9 - 0.1 * i], mode="markers+text", text=[f"  c{i + 1} = {cutoff:,}"],
                           textposition="middle right", marker={"size": 15, "color": COLORS[0]},
                           secondary_y=True)  # fmt: skip
    figure.update_xaxes(type="log", dtick=1, tickformat=",d", title_text="words, most frequent first",
                        range=[0, np.log10(n)])  # fmt: skip
    figure.update_yaxes(**{**LOG, "dtick": 2}, title_text="share of tokens, each word")
    figure.update_yaxes(type="linear", dtick=0.25, tickformat=".0%", range=[0, 1], showgrid=False, secondary_y=True,
                        title_text="all words so far (dashed)")  # fmt: skip
    return filled(figure, {}, {}, 300)


def record_rows(record: Mapping[str, Any], *, mine: bool) -> dict[str, str]:
    """What a machine record says of itself, row by row; ``mine``: it was made on this machine."""
    rows = {
        "timings used": "this machine" if mine else "a recorded machine, not this one",
        "timed device": f"{record['device']['name']}, {record['threads']} threads, {record['dtype']}",
        "date": str(record["date"])[:10],
        "torch": str(record["torch"]),
    }
    error = record.get("errors", {}).get("train layers, not fitted", {}).get("median")
    if error is not None:
        rows["error of predictions"] = f"{percent(error)} (median, on layers it was not fitted to)"
    return rows


def card_svg(rows: Mapping[str, str], at: int = 200) -> str:
    """A table of two columns as a picture, in the grey that reads on light and dark; the second begins ``at`` there."""
    lines = [
        f'<text x="8" y="{20 + 24 * i}" font-weight="bold">{html.escape(name)}</text>'
        f'<text x="{at}" y="{20 + 24 * i}">{html.escape(text)}</text>'
        for i, (name, text) in enumerate(rows.items())
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {at + 470} {12 + 24 * len(rows)}" '
        f'width="{at + 470}" style="font:13px sans-serif" fill="{TEXT_COLOR}">{"".join(lines)}</svg>'
    )


# ---------------------------------------------------------------------- how unequal words are


@lru_cache(maxsize=24)
def fits(vocabulary: Vocabulary) -> dict[str, ZipfFit | str]:
    """Both fits; where there is none, the reason in one line."""
    out: dict[str, ZipfFit | str] = {}
    for model in ("zipf", "zipf-mandelbrot"):
        try:
            out[model] = vocabulary.fit(model)
        except (RuntimeError, ValueError):
            out[model] = f"no {model} fit: these counts have another shape, or are too few"
    return out


#: Of Penn Treebank the paper says that this part of its words covers that part of its text.
PENN_TREEBANK = (0.2, 0.87)


def coverage_data(vocabulary: Vocabulary, share: float) -> tuple[Data, Layout]:
    """Rank and frequency with both fits; coverage, with the words that a share needs."""
    ranks = places(len(vocabulary))
    seen = ranks[vocabulary.counts[ranks - 1] > 0]
    data: Data = {0: {"x": seen.astype(float), "y": vocabulary.shares[seen - 1]}}
    for i, fit in enumerate(fits(vocabulary).values(), start=1):
        held = isinstance(fit, ZipfFit)
        y = fit.shares()[ranks - 1] if isinstance(fit, ZipfFit) else np.full(1, np.nan)
        data[i] = {"x": ranks.astype(float) if held else np.ones(1), "y": y}
    words = max(1, vocabulary.words_for_share(share))
    reached = vocabulary.share_of_first(words)
    data[3] = {"x": ranks.astype(float), "y": vocabulary.cumulative[ranks]}
    data[4] = {"x": np.asarray([1.0, words, words]), "y": np.asarray([reached, reached, 0.0])}
    data[5] = {"x": np.asarray([max(1.0, PENN_TREEBANK[0] * len(vocabulary))]), "y": np.asarray([PENN_TREEBANK[1]])}
    return data, {"xaxis2.title.text": f"most frequent words (of {len(vocabulary):,})"}


def coverage_figure(vocabulary: Vocabulary, share: float) -> go.Figure:
    """Left: frequency against rank, with the laws of Zipf and Mandelbrot. Right: coverage."""
    figure = make_subplots(1, 2, subplot_titles=("how often each word comes", "what the first words cover"),
                           horizontal_spacing=0.12)  # fmt: skip
    figure.add_scatter(row=1, col=1, mode="lines", line={"color": COLORS[0], "width": 3}, name="words")
    figure.add_scatter(row=1, col=1, mode="lines", line={"color": COLORS[5], "dash": "dash"}, name="Zipf")
    figure.add_scatter(row=1, col=1, mode="lines", line={"color": COLORS[2], "dash": "dot", "width": 3},
                       name="Zipf-Mandelbrot")  # fmt: skip
    figure.add_scatter(row=1, col=2, mode="lines", line={"color": COLORS[0], "width": 3}, showlegend=False)
    figure.add_scatter(row=1, col=2, mode="lines+markers", line={"color": COLORS[5], "width": 2, "dash": "dash"},
                       marker={"size": [0, 13, 0], "symbol": "diamond"}, showlegend=False, name="share")  # fmt: skip
    figure.add_scatter(row=1, col=2, mode="markers", marker={"size": 12, "symbol": "square-open", "color": COLORS[3],
                       "line": {"width": 2}}, name="hollow: the paper, Penn Treebank")  # fmt: skip
    figure.update_xaxes(row=1, col=1, title_text="rank r (1 = most frequent)", **LOG)
    figure.update_yaxes(row=1, col=1, title_text="share of tokens p<sub>r</sub>", **LOG)
    figure.update_xaxes(row=1, col=2, **LOG)
    figure.update_yaxes(row=1, col=2, tickformat=".0%", range=[0, 1.03], title_text="tokens covered")
    figure.update_annotations(font_size=13)
    data, layout = coverage_data(vocabulary, share)
    figure = filled(figure, data, layout, 340)
    figure.update_layout(showlegend=True, legend={"x": 0.02, "y": 0.03, "bgcolor": "rgba(0,0,0,0)"})
    return figure


def coverage_sentence(vocabulary: Vocabulary, share: float) -> str:
    """The coverage figure in words, and where the fits fail."""
    words = max(1, vocabulary.words_for_share(share))
    text = (
        f"{vocabulary.name}: {words:,} of {len(vocabulary):,} words ({percent(words / len(vocabulary))}) are "
        f"{percent(vocabulary.share_of_first(words))} of all tokens; the other "
        f"{len(vocabulary) - words:,} share the rest."
    )
    for model, fit in fits(vocabulary).items():
        if isinstance(fit, str):
            text += f" ({fit}.)"
            continue
        gap = vocabulary.cumulative[1:] - np.cumsum(fit.shares())
        worst = int(np.abs(gap).argmax()) + 1
        shift = f", q = {fit.shift:.2f}" if model != "zipf" else ""
        text += (
            f" {model.title()} (s = {fit.exponent:.2f}{shift}) is worst at the first {worst:,} words: it gives them "
            f"{100 * abs(gap[worst - 1]):.1f} points too {'little' if gap[worst - 1] > 0 else 'much'}."
        )
    part, covered = PENN_TREEBANK
    first = int(part * len(vocabulary))
    here = vocabulary.share_of_first(first) if first else 0.0
    text += f" The paper says of Penn Treebank that {percent(part)} of its words cover {percent(covered)} of its text; "
    text += "here they "
    if abs(here - covered) <= 0.02:
        return text + f"cover {percent(here)}, as there."
    why = (
        "the longer a list, the rarer its other four fifths" if here > covered
        else "in a short or even list the first words stand out less"
    )  # fmt: skip
    return text + f"cover {percent(here)}: {why}."


def languages_data(vocabularies: Sequence[Vocabulary]) -> tuple[Data, Layout]:
    """One coverage curve for each of up to six vocabularies."""
    data: Data = {}
    for i in range(MOST_LINES):
        vocabulary = vocabularies[i] if i < len(vocabularies) else None
        ranks = places(len(vocabulary), 120) if vocabulary is not None else np.ones(1, dtype=np.int64)
        y = vocabulary.cumulative[ranks] if vocabulary is not None else np.full(1, np.nan)
        name = plain(vocabulary.name) if vocabulary is not None else ""
        data[i] = {"x": ranks.astype(float), "y": y, "name": name, "showlegend": vocabulary is not None}
    return data, {}


def languages_figure(vocabularies: Sequence[Vocabulary]) -> go.Figure:
    """Coverage of several languages."""
    figure = go.Figure()
    for color, dash in zip(COLORS, DASHES, strict=True):
        figure.add_scatter(mode="lines", line={"color": color, "dash": dash, "width": 2.5})
    figure.update_xaxes(title_text="most frequent words", **LOG)
    figure.update_yaxes(tickformat=".0%", range=[0, 1.03], title_text="tokens covered")
    figure = filled(figure, *languages_data(vocabularies), 330)
    figure.update_layout(showlegend=True, legend={"x": 0.02, "y": 0.98, "bgcolor": "rgba(0,0,0,0)"})
    return figure


@lru_cache(maxsize=24)
def _row(vocabulary: Vocabulary) -> Mapping[str, float | int | str]:
    # by itself, so that a fit is made once per vocabulary
    return compare([vocabulary], first=(2000, 10000), shares=(0.5, 0.8, 0.95, 0.99))[0]


def languages_table(vocabularies: Sequence[Vocabulary]) -> list[Mapping[str, float | int | str]]:
    """The numbers beside the curves."""
    return [_row(v) for v in vocabularies]


def languages_sentence(vocabularies: Sequence[Vocabulary]) -> str:
    """The comparison in words."""
    if not vocabularies:
        return "Choose at least one language."
    words = {v.name: v.words_for_share(0.95) for v in vocabularies}
    few, many = min(words, key=lambda k: words[k]), max(words, key=lambda k: words[k])
    if few == many:
        return f"{few} needs {words[few]:,} words for 95 % of its tokens."
    floor = max(v.floor for v in vocabularies)
    text = (
        f"For 95 % of the tokens, {few} needs {words[few]:,} words and {many} {words[many]:,}: "
        f"{words[many] / words[few]:.1f} times as many."
    )
    # Where lists of different depth meet, the longer ones are cut.
    return text + (f" Only words as frequent as one in {1 / floor:,.0f} count: a list ends there." if floor else "")


# ---------------------------------------------------------------------- two clusters


def two_clusters_data(explorer: Explorer, found: TwoClusters) -> tuple[Data, Layout]:
    """Cost of two clusters against the size of the first, in the root or in a leaf."""
    sizes = found.sizes
    at = places(len(sizes), 280) - 1
    curves = [explorer.amount(values[at]) for values in (found.root, found.leaf)]
    best = int(found.root.argmin())
    here = (explorer.cutoffs[0] if explorer.cutoffs else 1) - 1
    data = {
        0: {"x": sizes[at].astype(float), "y": curves[0]},
        1: {"x": sizes[at].astype(float), "y": curves[1]},
        2: {"x": sizes[[0, -1]].astype(float), "y": np.full(2, explorer.amount(found.full))},
        3: {"x": np.asarray([sizes[here]], dtype=float), "y": explorer.amount(found.root[[here]])},
        4: {"x": np.asarray([sizes[best]], dtype=float), "y": explorer.amount(found.root[[best]])},
    }
    return data, {"yaxis.title.text": explorer.unit}


def two_clusters_figure(explorer: Explorer, found: TwoClusters) -> go.Figure:
    """The paper's first experiment, with the reader's words."""
    figure = go.Figure()
    figure.add_scatter(mode="lines", line={"color": COLORS[0], "width": 3}, name="frequent words in the root")
    figure.add_scatter(mode="lines", line={"color": COLORS[1], "dash": "dash"}, name="both clusters in leaves")
    figure.add_scatter(mode="lines", line={"color": FULL_COLOR, "dash": "dot"}, name="full softmax")
    figure.add_scatter(mode="markers", marker={"size": 14, "symbol": "diamond", "color": COLORS[5]}, name="your cut")
    figure.add_scatter(mode="markers", marker={"size": 13, "symbol": "star", "color": COLORS[2]}, name="best",
                       visible=False)  # fmt: skip
    figure.update_xaxes(title_text="words in the first cluster, k<sub>h</sub>", **LOG)
    figure.update_yaxes(type="log", dtick="D2", tickformat=",.6~r")
    figure = filled(figure, *two_clusters_data(explorer, found), 340)
    figure.update_layout(showlegend=True, legend={"orientation": "h", "y": 1.12})
    return figure


def two_clusters_sentence(explorer: Explorer, found: TwoClusters, best: bool = False) -> str:
    """Two clusters in words; the best cut only if asked."""
    here = explorer.cutoffs[0] if explorer.cutoffs else 1
    root, leaf = float(found.root[here - 1]), float(found.leaf[here - 1])
    text = (
        f"Your cut: {here:,} words first, {len(explorer.vocabulary) - here:,} after. "
        f"{amount_text(explorer, root)} with the frequent words in the root, {amount_text(explorer, leaf)} with both "
        f"in leaves, {amount_text(explorer, found.full)} for the full "
        f"softmax ({found.full / root:,.1f} times the first)."
    )
    if best:
        at = int(found.root.argmin())
        text += (
            f" Best in the root: {int(found.sizes[at]):,} words, {amount_text(explorer, float(found.root[at]))}, "
            f"{found.full / found.root[at]:,.1f} times less than the full softmax."
        )
    return text


# ---------------------------------------------------------------------- the swap argument


def swap_svg(k_small: int, k_large: int, p_small: float, p_large: float) -> str:
    """Two clusters as areas, share x size, as they are and with their shares swapped."""
    scale_x, scale_y = 300 / (k_small + k_large), 130 / max(p_small + p_large, 1e-9)
    parts = []
    for left, shares, title in ((20, (p_small, p_large), "as set"), (400, (p_large, p_small), "shares swapped")):
        total = shares[0] * k_small + shares[1] * k_large
        parts.append(f'<text x="{left}" y="16" font-weight="bold">{title}: {total:,.0f} words per token</text>')
        x = float(left)
        for i, (k, p) in enumerate(zip((k_small, k_large), shares, strict=True)):
            w, h = k * scale_x, p * scale_y
            parts.append(
                f'<rect x="{x:.1f}" y="{170 - h:.1f}" width="{w:.1f}" height="{h:.1f}" fill="{COLORS[i + 1]}" '
                f'fill-opacity=".55" stroke="currentColor"/>'
                f'<text x="{x + 2:.1f}" y="{188 + 16 * i}">k = {k:,}, p = {100 * p:.0f} %, p k = {p * k:,.0f}</text>'
            )
            x += w
    label = "Two clusters drawn as rectangles, share of tokens high and words wide; the area is the cost"
    return (
        f'<svg viewBox="0 0 760 214" role="img" aria-label="{label}" style="width:100%;max-width:760px;font:12px '
        f'sans-serif;fill:currentColor">{"".join(parts)}</svg>'
    )


def swap_sentence(k_small: int, k_large: int, p_small: float, p_large: float) -> str:
    """The swap in words."""
    now, swapped = p_small * k_small + p_large * k_large, p_large * k_small + p_small * k_large
    if abs(now - swapped) < 1e-9:
        return "Equal sizes or equal shares: swapping changes nothing."
    better = "better as set" if now < swapped else "better swapped"
    return (
        f"As set, {now:,.0f} words scored per token in these two clusters; swapped, {swapped:,.0f}. It is {better}: "
        "the more frequent words belong to the smaller cluster. The difference is (p - p')(k' - k) = "
        f"{abs(now - swapped):,.0f}."
    )
