"""Figures of the first two lessons, on this machine and on how unequal words are, and their sentences; no widgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ...vocabulary import Vocabulary, compare
from ...zipf import ZipfFit
from ..kit.picker import COLORS, places
from ..kit.plots import DASHES, LOG, Data, Layout, filled, percent, plain

MOST_LINES = 6


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


@lru_cache(maxsize=24)
def fits(vocabulary: Vocabulary) -> dict[str, ZipfFit | str]:
    """Both fits; where there is none, the reason in one line."""
    out: dict[str, ZipfFit | str] = {}
    for model in ("zipf", "zipf-mandelbrot"):
        try:
            out[model] = vocabulary.fit(model)
        except (RuntimeError, ValueError):
            out[model] = f"no {model} fit: these counts have a different shape, or are too few"
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
    figure = make_subplots(
        1, 2, subplot_titles=("how often each word comes", "what the first words cover"), horizontal_spacing=0.12
    )
    figure.add_scatter(row=1, col=1, mode="lines", line={"color": COLORS[0], "width": 3}, name="words")
    figure.add_scatter(row=1, col=1, mode="lines", line={"color": COLORS[5], "dash": "dash"}, name="Zipf")
    figure.add_scatter(
        row=1, col=1, mode="lines", line={"color": COLORS[2], "dash": "dot", "width": 3}, name="Zipf-Mandelbrot"
    )
    figure.add_scatter(row=1, col=2, mode="lines", line={"color": COLORS[0], "width": 3}, showlegend=False)
    figure.add_scatter(
        row=1,
        col=2,
        mode="lines+markers",
        line={"color": COLORS[5], "width": 2, "dash": "dash"},
        marker={"size": [0, 13, 0], "symbol": "diamond"},
        showlegend=False,
        name="share",
    )
    figure.add_scatter(
        row=1,
        col=2,
        mode="markers",
        marker={"size": 12, "symbol": "square-open", "color": COLORS[3], "line": {"width": 2}},
        name="hollow: the paper, Penn Treebank",
    )
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
        f"{vocabulary.name}: {words:,} of {len(vocabulary):,} words ({percent(words / len(vocabulary))}) make up "
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
            f" {model.title()} (s = {fit.exponent:.2f}{shift}) is furthest off at the first {worst:,} words, which "
            f"get "
            f"{100 * abs(gap[worst - 1]):.1f} percentage points too {'little' if gap[worst - 1] > 0 else 'much'}."
        )
    part, covered = PENN_TREEBANK
    first = int(part * len(vocabulary))
    here = vocabulary.share_of_first(first) if first else 0.0
    text += f" The paper says of Penn Treebank that {percent(part)} of its words cover {percent(covered)} of its text; "
    text += "here they "
    if abs(here - covered) <= 0.02:
        return text + f"cover {percent(here)}, too."
    why = (
        "the longer the list, the rarer the other four fifths"
        if here > covered
        else "in a short list, or an even one, the first words stand out less"
    )
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


#: Of the table beside the curves, by the name that :func:`adasoft.vocabulary.compare` gives to a column.
HEADS = {
    "name": "words of",
    "n_classes": "V",
    "first 2000": "in the first 2,000",
    "50%": "words for 50 %",
    "80%": "for 80 %",
    "95%": "for 95 %",
    "99%": "for 99 %",
}


@lru_cache(maxsize=24)
def _row(vocabulary: Vocabulary) -> Mapping[str, float | int | str]:
    # by itself, so that a fit is made once per vocabulary
    return compare([vocabulary], first=(2000, 10000), shares=(0.5, 0.8, 0.95, 0.99))[0]


def languages_table(vocabularies: Sequence[Vocabulary]) -> list[list[str]]:
    """The numbers beside the curves, a row for each vocabulary, under `HEADS`."""
    return [[_cell(_row(vocabulary)[name]) for name in HEADS] for vocabulary in vocabularies]


def _cell(value: float | int | str) -> str:
    """A name, a whole number or a share."""
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else percent(value)


def languages_sentence(vocabularies: Sequence[Vocabulary], cut: bool = False) -> str:
    """The comparison in words; ``cut``: some of them were cut where the shortest list ends."""
    if not vocabularies:
        return "Choose at least one language."
    words = {v.name: v.words_for_share(0.95) for v in vocabularies}
    few, many = min(words, key=lambda k: words[k]), max(words, key=lambda k: words[k])
    if few == many:
        return f"{few} needs {words[few]:,} words for 95 % of its tokens."
    ratio = words[many] / words[few]
    text = (
        f"For 95 % of the tokens, {few} needs {words[few]:,} words and {many} {words[many]:,}: "
        f"{ratio:{',.0f' if ratio >= 100 else '.1f'}} times as many."
    )
    if not cut:
        return text
    floor = max(v.floor for v in vocabularies)
    return f"{text} Words rarer than one in {1 / floor:,.0f} tokens are left out, because one of the lists ends there."
