"""Figures of the first two lessons, on this machine and on how unequal words are, and their sentences; no widgets."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ...vocabulary import Vocabulary, compare
from ...zipf import ZipfFit
from ..kit.first_words import first_words
from ..kit.languages import LANGUAGES
from ..kit.picker import places
from ..kit.plots import (
    DASHES,
    GUESSED,
    LOG,
    MEASURED,
    TEXT_COLOR,
    YOU,
    Data,
    Layout,
    filled,
    percent,
    plain,
)
from ..kit.presentable import obscene
from .paper import PENN_TREEBANK_WORDS

MOST_LINES = 6


#: Timings whose predictions are off by more than this, in the median, are used only if the reader says so.
LARGEST_ERROR = 0.3


def error_of(record: Mapping[str, Any]) -> float | None:
    """The median error of a record's predictions, on layers that it was not fitted to."""
    error: float | None = record.get("errors", {}).get("train layers, not fitted", {}).get("median")
    return error


def record_rows(record: Mapping[str, Any], *, mine: bool) -> dict[str, str]:
    """What a machine record says of itself, row by row; ``mine``: it was made on this machine."""
    rows = {
        "timings used": "this machine" if mine else "a recorded machine, not this one",
        "timed device": f"{record['device']['name']}, {record['threads']} threads, {record['dtype']}",
        "date": str(record["date"])[:10],
        "torch": str(record["torch"]),
    }
    if (error := error_of(record)) is not None:
        rows["error of predictions"] = f"{percent(error)} (median, on layers it was not fitted to)"
        if error > LARGEST_ERROR:
            rows["error of predictions"] += ": too much to trust, time it again"
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


#: Of Penn Treebank's 10,000 words the paper says that a fifth cover this part of its text.
PENN_TREEBANK = (2_000, 0.87)
#: A line's colour says whose words it draws, in all figures; languages of one colour differ in dash.
_LINE_COLORS = ("#2a7ab8", "#b3701c", "#1d8a66", "#b0588f", "#7468c9", "#c2502f")
_OWN_LINE = {"color": "#d6336c", "dash": "solid", "width": 4}
_WORD_POINTS = 120


def line_of(vocabulary: Vocabulary) -> dict[str, Any]:
    """Colour, dash and width of a vocabulary's line; own words have a colour of their own, and a thicker line."""
    names = list(LANGUAGES.values())
    if vocabulary.name not in names:
        return dict(_OWN_LINE)
    place = names.index(vocabulary.name)
    return {
        "color": _LINE_COLORS[place % len(_LINE_COLORS)],
        "dash": DASHES[place // len(_LINE_COLORS)],
        "width": 2.5,
    }


def ordinal(n: int) -> str:
    """1st, 2nd, 3rd, 4th ... 11th, with commas."""
    end = "th" if 10 < n % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n:,}{end}"


def word_at(vocabulary: Vocabulary, rank: int) -> str:
    """``the 22nd word: about``; without the word where only counts are known."""
    word = f": “{plain(vocabulary.words[rank - 1])}”" if vocabulary.words is not None else ""
    return f"the {ordinal(rank)} word{word}"


def one_in(share: float) -> str:
    """``once in 1,234 tokens``, to three digits."""
    if not share:
        return "never in this text"
    tokens = 1 / share
    power = 10 ** max(0, math.floor(math.log10(tokens)) - 2)
    return f"once in {round(tokens / power) * power:,.0f} tokens"


def coverage_data(vocabulary: Vocabulary, share: float, guess: float | None = None) -> tuple[Data, Layout]:
    """Rank and frequency with both fits; coverage, with the words that a share needs and the sums of both fits.

    ``guess``: words for 95 %.
    """
    ranks = places(len(vocabulary), _WORD_POINTS)
    seen = ranks[vocabulary.counts[ranks - 1] > 0]
    line = line_of(vocabulary)
    data: Data = {
        0: {
            "x": seen.astype(float),
            "y": vocabulary.shares[seen - 1],
            "text": [f"{word_at(vocabulary, int(r))}, {one_in(vocabulary.shares[r - 1])}" for r in seen],
            "line": line,
            "name": plain(vocabulary.name),
        }
    }
    for i, fit in enumerate(fits(vocabulary).values(), start=1):
        held = isinstance(fit, ZipfFit)
        y = fit.shares()[ranks - 1] if isinstance(fit, ZipfFit) else np.full(1, np.nan)
        data[i] = {"x": ranks.astype(float) if held else np.ones(1), "y": y}
        summed = np.cumsum(fit.shares())[ranks - 1] if isinstance(fit, ZipfFit) else y
        data[7 + i] = {"x": data[i]["x"], "y": summed}
    words = max(1, vocabulary.words_for_share(share))
    reached = vocabulary.share_of_first(words)
    data[3] = {
        "x": ranks.astype(float),
        "y": vocabulary.cumulative[ranks],
        "text": [
            f"up to {word_at(vocabulary, int(r))}<br>{percent(vocabulary.cumulative[r])} of the tokens" for r in ranks
        ],
        "line": line,
    }
    data[4] = {"x": np.asarray([1.0, words, words]), "y": np.asarray([reached, reached, 0.0])}
    data[4]["text"] = ["", f"{words:,} words, the last of them {word_at(vocabulary, words)}", ""]
    data[5] = {"x": np.asarray([float(PENN_TREEBANK[0])]), "y": np.asarray([PENN_TREEBANK[1]])}
    kept = guess is not None and 1 <= guess <= 10 * len(vocabulary)
    data[6] = {"x": np.asarray([float(guess or 1)]), "y": np.asarray([0.95 if kept else np.nan]), "showlegend": kept}
    data[7] = {
        "x": np.asarray([float(words)]),
        "y": np.asarray([vocabulary.shares[words - 1] or np.nan]),
        "text": [f"{word_at(vocabulary, words)}, {one_in(vocabulary.shares[words - 1])}"],
    }
    return data, {"xaxis2.title.text": f"most frequent words (of {len(vocabulary):,})"}


def coverage_figure(vocabulary: Vocabulary, share: float, guess: float | None = None) -> go.Figure:
    """Left: frequency against rank, with the laws of Zipf and Mandelbrot. Right: coverage, with their sums."""
    figure = make_subplots(
        1, 2, subplot_titles=("how often each word occurs", "what the first words cover"), horizontal_spacing=0.12
    )
    spoken = {"hovertemplate": "%{text}<extra></extra>"}
    grey = {"color": TEXT_COLOR, "width": 2}
    figure.add_scatter(row=1, col=1, mode="lines", **spoken)
    for name, dash in (("Zipf", "dash"), ("Zipf-Mandelbrot", "dot")):
        figure.add_scatter(row=1, col=1, mode="lines", line={**grey, "dash": dash}, name=name, hoverinfo="skip")
    figure.add_scatter(row=1, col=2, mode="lines", showlegend=False, **spoken)
    figure.add_scatter(
        row=1,
        col=2,
        mode="lines+markers",
        line={**grey, "dash": "dash"},
        marker={**YOU, "size": [0, YOU["size"], 0], "opacity": 1},
        showlegend=False,
        name="share",
        **spoken,
    )
    figure.add_scatter(
        row=1,
        col=2,
        mode="markers",
        marker={**MEASURED, "color": TEXT_COLOR},
        name="Penn Treebank (the paper)",
        hovertemplate="the paper: Penn Treebank's first 2,000 words cover 87 % of its text<extra></extra>",
    )
    figure.add_scatter(
        row=1,
        col=2,
        mode="markers",
        marker=GUESSED,
        name="your guess for 95 %",
        hovertemplate="your guess for 95 %: %{x:,.0f} words<extra></extra>",
    )
    figure.add_scatter(row=1, col=1, mode="markers", marker=YOU, name="the last word of your share", **spoken)
    for name, dash in (("Zipf", "dash"), ("Zipf-Mandelbrot", "dot")):  # their sums; the legend has their names
        thin = {**grey, "dash": dash, "width": 1.5}
        figure.add_scatter(row=1, col=2, mode="lines", line=thin, name=name, showlegend=False, hoverinfo="skip")
    figure.update_xaxes(row=1, col=1, title_text="rank r (1 = most frequent)", **LOG)
    figure.update_yaxes(row=1, col=1, title_text="share of tokens p<sub>r</sub>", **LOG)
    figure.update_xaxes(row=1, col=2, **LOG)
    figure.update_yaxes(row=1, col=2, tickformat=".0%", range=[0, 1.08], title_text="tokens covered")
    figure.update_annotations(font_size=13)
    data, layout = coverage_data(vocabulary, share, guess)
    figure = filled(figure, data, layout, 360)
    # below the plots, for a name beside its mark would be cut off or crossed by the lines of some share
    figure.update_layout(showlegend=True, legend={"orientation": "h", "x": 0, "y": -0.24, "bgcolor": "rgba(0,0,0,0)"})
    figure.update_layout(margin_t=28)
    return figure


def many(n: int, noun: str) -> str:
    """``1 word``, ``2,000 words``."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def coverage_result(vocabulary: Vocabulary, share: float) -> str:
    """The one result of the coverage figure."""
    words = max(1, vocabulary.words_for_share(share))
    last = f" The last of them is “{vocabulary.words[words - 1]}”." if vocabulary.words is not None else ""
    return (
        f"{vocabulary.name}: {words:,} of {many(len(vocabulary), 'word')} ({percent(words / len(vocabulary))}) "
        f"make up {percent(vocabulary.share_of_first(words))} of all tokens.{last}"
    )


def fits_sentence(vocabulary: Vocabulary) -> str:
    """Where both laws fail: in frequency, and in coverage, which adds it up and so fails elsewhere."""
    text, last = [], int(np.flatnonzero(vocabulary.counts)[-1])
    for model, fit in fits(vocabulary).items():
        if isinstance(fit, str):
            text.append(f"There is {fit}.")
            continue
        gap = vocabulary.cumulative[1:] - np.cumsum(fit.shares())
        worst = int(np.abs(gap).argmax()) + 1
        shift = f", q = {fit.shift:.2f}" if model != "zipf" else ""
        ends = [fit.shares()[rank] / vocabulary.shares[rank] for rank in (0, last)]
        text.append(
            f"{model.title()} (s = {fit.exponent:.2f}{shift}), in frequency: the first word gets {_fold(ends[0])} its "
            f"true one, the last {_fold(ends[1])}. In coverage it is furthest off at rank {worst:,}: "
            f"{100 * abs(gap[worst - 1]):.1f} percentage points too {'little' if gap[worst - 1] > 0 else 'much'}."
        )
    return " ".join(text)


def _fold(ratio: float) -> str:
    """0.70 times, 2.1 times, 13 times."""
    return f"{ratio:{'.2f' if ratio < 1 else '.1f' if ratio < 10 else ',.0f'}} times"


def penn_treebank_sentence(vocabulary: Vocabulary) -> str:
    """The paper's point beside these words: all of them, and as many as Penn Treebank has."""
    n, covered = PENN_TREEBANK
    whole = PENN_TREEBANK_WORDS
    if len(vocabulary) <= whole:
        return f"The paper says that {n:,} of Penn Treebank's {whole:,} words cover {percent(covered)} of its text."
    here, cut = vocabulary.share_of_first(n), first_words(vocabulary, whole).share_of_first(n)
    return (
        f"The paper says that a fifth of Penn Treebank's vocabulary, {n:,} of {whole:,} words, cover "
        f"{percent(covered)} of its text. Here the first {n:,} cover {percent(here)} of all tokens, and {percent(cut)} "
        f"of those tokens that are among the first {whole:,} words."
    )


#: Ranks whose words are listed under the coverage figure, as far as the list goes.
_LISTED = (1, 10, 100, 1_000, 2_000, 10_000, 50_000, 200_000)


def words_table(vocabulary: Vocabulary) -> list[list[str]]:
    """What stands at some ranks: rank, three words from there on, and how often the first occurs."""
    rows = []
    for rank in _LISTED:
        if vocabulary.words is None or rank + 2 > len(vocabulary):
            break
        rows.append(
            [f"{rank:,}", ", ".join(vocabulary.words[rank - 1 : rank + 2]), one_in(vocabulary.shares[rank - 1])]
        )
    return rows


def half_html(vocabulary: Vocabulary, guess: float | None = None, lang: str = "en") -> str:
    """The words that make up half of all tokens, larger the more frequent they are, with a mark at the guess."""
    n = vocabulary.words_for_share(0.5)
    words = vocabulary.words
    if words is None:
        return ""
    last = n if guess is None else max(n, min(int(guess), MOST_LISTED))
    parts = []
    for rank, word in enumerate(words[: min(last, len(words))], start=1):
        size = 13 + 25 * (vocabulary.shares[rank - 1] / vocabulary.shares[0]) ** 0.5
        beyond = "" if rank <= n else "font-style:italic;"  # past the half, up to the guess
        shown = "…" if obscene(word) else html.escape(word)
        parts.append(
            f'<span style="{beyond}font-size:{size:.0f}px;margin-right:.2em" title="the {ordinal(rank)} word, '
            f'{one_in(vocabulary.shares[rank - 1])}">{shown}</span>'
        )
        if rank == n:
            parts.append('<b class="adasoft-mark">│ half</b>')
        if guess is not None and rank == max(1, int(guess)):
            parts.append('<b class="adasoft-mark">✕ your guess</b>')
    if guess is not None and int(guess) > last:
        parts.append(f'… {int(guess) - last:,} more … <b class="adasoft-mark">✕ your guess, {guess:,.0f} words</b>')
    listed = " ".join(parts)
    return f'<p class="adasoft-half" lang="{lang}">{listed}</p>'


def half_sentence(vocabulary: Vocabulary, guess: float | None = None) -> str:
    """The same in words."""
    n = vocabulary.words_for_share(0.5)
    text = f"{vocabulary.name}: half of all tokens are {'this word' if n == 1 else f'these {n:,} words'}."
    if guess is not None and guess > max(n, MOST_LISTED):
        text += f" Your guess of {guess:,.0f} would be a list {guess / n:,.0f} times as long."
    return text


#: Words of a list that a page can take.
MOST_LISTED = 400


def languages_data(vocabularies: Sequence[Vocabulary], guess: tuple[str, float] | None = None) -> tuple[Data, Layout]:
    """One coverage curve for each of up to six vocabularies; ``guess``: a language, and words guessed for 95 %."""
    data: Data = {}
    for i in range(MOST_LINES):
        vocabulary = vocabularies[i] if i < len(vocabularies) else None
        if vocabulary is None:
            data[i] = {"x": np.ones(1), "y": np.full(1, np.nan), "name": "", "showlegend": False, "text": [""]}
            continue
        ranks = places(len(vocabulary), _WORD_POINTS)
        name = plain(vocabulary.name)
        data[i] = {
            "x": ranks.astype(float),
            "y": vocabulary.cumulative[ranks],
            "name": name,
            "showlegend": True,
            "line": line_of(vocabulary),
            "text": [
                f"{name}, up to {word_at(vocabulary, int(r))}<br>{percent(vocabulary.cumulative[r])} of the tokens"
                for r in ranks
            ],
        }
    shown = guess is not None and any(v.name == guess[0] for v in vocabularies)
    data[MOST_LINES] = {
        "x": np.asarray([guess[1] if guess is not None and shown else 1.0]),
        "y": np.asarray([0.95 if shown else np.nan]),
        "name": f"your guess, {guess[0]}" if guess is not None and shown else "your guess",
        "showlegend": shown,
    }
    return data, {}


def languages_figure(
    vocabularies: Sequence[Vocabulary], guess: tuple[str, float] | None = None, *, height: int = 310
) -> go.Figure:
    """Coverage of several languages."""
    figure = go.Figure()
    for _ in range(MOST_LINES):
        figure.add_scatter(mode="lines", hovertemplate="%{text}<extra></extra>")
    figure.add_scatter(
        mode="markers",
        marker=GUESSED,
        name="your guess",
        hovertemplate="%{fullData.name}: %{x:,.0f} words for 95 %<extra></extra>",
    )
    figure.update_xaxes(title_text="most frequent words", **LOG)
    figure.update_yaxes(tickformat=".0%", range=[0, 1.08], title_text="tokens covered")
    figure = filled(figure, *languages_data(vocabularies, guess), height)
    figure.update_layout(
        showlegend=True,
        legend={"orientation": "h", "x": 0, "y": -0.24, "bgcolor": "rgba(0,0,0,0)"},  # a steep curve would cross it
        margin={"t": 12, "b": 40},
    )
    return figure


#: Of the table beside the curves, by the name that :func:`adasoft.vocabulary.compare` gives to a column.
HEADS = {
    "name": "text",
    "n_classes": "different words",
    "first 2000": "tokens in the first 2,000",
    "50%": "words for 50\u00a0%",
    "80%": "for 80\u00a0%",
    "95%": "for 95\u00a0%",
    "99%": "for 99\u00a0%",
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


def languages_sentence(vocabularies: Sequence[Vocabulary], cut: bool = False, guess: str = "") -> str:
    """The comparison in words; ``cut``: some of them were cut where the shortest list ends; ``guess``: the language of
    a guess that is about more than what is left of its list."""
    if not vocabularies:
        return "Choose at least one language."
    words = {v.name: v.words_for_share(0.95) for v in vocabularies}
    few, most = min(words, key=lambda k: words[k]), max(words, key=lambda k: words[k])
    if few == most:
        text = f"{few} needs {many(words[few], 'word')} for 95 % of its tokens."
    else:
        ratio = words[most] / words[few]
        text = (
            f"For 95 % of the tokens, {few} needs {many(words[few], 'word')} and {most} {words[most]:,}: "
            f"{ratio:{',.0f' if ratio >= 100 else '.1f'}} times as many."
        )
    told = f"{text} {_floor_sentence(vocabularies, cut)}".strip()
    return f"{told} Your guess was about the whole list of {guess}, so it is not drawn." if guess else told


def _floor_sentence(vocabularies: Sequence[Vocabulary], cut: bool) -> str:
    """Down to which frequency words count."""
    floor = max(v.floor for v in vocabularies)
    if not floor:
        return ""
    rarest = f"one in {1 / floor:,.0f} tokens"
    if cut:
        return f"Words rarer than {rarest} are left out everywhere, because one of these lists ends there."
    return f"All words down to {rarest} count." if all(v.floor for v in vocabularies) else ""


def own_sentence(own: Vocabulary, other: Vocabulary, share: float = 0.8) -> str:
    """A text of the reader's own beside a list."""
    mine, theirs = max(1, own.words_for_share(share)), other.words_for_share(share)
    return (
        f"{100 * share:.0f} % of the tokens of {own.name} are {many(mine, 'different word')}; {other.name} as a whole "
        f"needs {theirs:,}."
    )


#: A word is typical of a text that has it this many times as often as the list, and at least so many times in all.
_TYPICAL, _LEAST_SEEN = 3.0, 3


def typical_words(own: Vocabulary, other: Vocabulary, most: int = 12) -> list[str]:
    """Words that the text uses far more than the list does, the most telling first."""
    if own.words is None or other.words is None:
        return []
    theirs = dict(zip(other.words, other.shares.tolist(), strict=True))
    rarest = float(other.shares[-1])
    telling = []
    for word, share, count in zip(own.words, own.shares.tolist(), own.counts.tolist(), strict=True):
        ratio = share / theirs.get(word, rarest)
        if ratio >= _TYPICAL and count >= _LEAST_SEEN and any(letter.isalpha() for letter in word):
            telling.append((share * math.log(ratio), word))
    return [word for _, word in sorted(telling, reverse=True)[:most]]
