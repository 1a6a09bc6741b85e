"""Panels of the first two lessons: words that appear by rank, coverage, languages side by side, and the paper's gain.

Every function returns a widget. A panel shown again for the same explorer (its cell run again) replaces the old one.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from functools import partial
from typing import Any

import ipywidgets as w

from ...vocabulary import comparable
from ..kit.browser_data import text_data
from ..kit.done import guess_on_words
from ..kit.explorer import Explorer
from ..kit.languages import LANGUAGES, language_of, load_language
from ..kit.parts import WIDE, Line, Pair, Panel, live, row, safely
from ..kit.tables import html_table
from ..kit.widgets import NumberBox
from . import figures as f
from .paper import steps, steps_data, steps_figure, steps_sentence
from .passages import passages, pieces
from .widgets import Reading


def _result(text: str) -> str:
    """The one result of a panel."""
    return f'<div class="adasoft-words" role="status"><b>{html.escape(text)}</b></div>'


def _folded(title: str, *parts: str) -> str:
    """What can be unfolded: parts in HTML."""
    inner = "".join(f"<div>{part}</div>" for part in parts)
    return f'<details class="adasoft-words"><summary>{html.escape(title)}</summary>{inner}</details>'


def _language_box(panel: Panel, explorer: Explorer) -> tuple[w.Dropdown, Callable[[], None]]:
    """A list of the languages; own words are among them only while they are there, under their name."""
    languages = [(name, code) for code, name in LANGUAGES.items()]
    box = w.Dropdown(options=languages, description="language", style=WIDE)

    def choose(code: str) -> None:
        if code:
            explorer.vocabulary = load_language(code)

    panel.on_value(box, choose)

    def redraw() -> None:
        code = language_of(explorer.vocabulary)
        options = [*languages, *([(explorer.vocabulary.name, "")] if code is None else [])]
        with panel.writing():
            if box.options != tuple(options):
                box.options = options
            box.value = code or ""

    return box, redraw


def reading_panel(explorer: Explorer, *, slot: str = "reading") -> w.VBox:
    """A text whose words appear in the order of their frequency, in any of the languages; the reader's own sentence."""
    panel = Panel()
    shown: dict[str, Any] = {"words": None}
    language, redraw_language = _language_box(panel, explorer)
    own: list[str] = []

    def typed(text: str) -> None:
        own[:] = [text]
        show()

    reading = Reading(typed, panel.guarded)

    def show() -> None:
        words = explorer.vocabulary
        texts = passages(words, language_of(words))
        texts += [{"name": "Yours", "lang": "", "pieces": pieces(text, words)} for text in own]
        reading.passages = texts

    def redraw() -> None:
        redraw_language()
        if shown["words"] is not explorer.vocabulary:
            shown["words"] = explorer.vocabulary
            with reading.hold_sync():
                reading.text = text_data(explorer.vocabulary)
                show()

    box = panel.box(reading, language)
    explorer.attach(slot, safely(panel, redraw), box)
    return box


def half_panel(explorer: Explorer, *, slot: str = "half") -> w.VBox:
    """The words that make up half of any text, with the reader's guess as a mark among them."""
    panel, words, sentence = Panel(), w.HTML(), Line()

    def redraw() -> None:
        guess = guess_on_words("half", explorer)
        words.value = f.half_html(explorer.vocabulary, guess, language_of(explorer.vocabulary) or "")
        sentence.say(f.half_sentence(explorer.vocabulary, guess))

    box = panel.box(sentence, words)
    explorer.attach(slot, safely(panel, redraw), box)
    return box


def paper_panel(explorer: Explorer, *, slot: str = "paper") -> w.VBox:
    """What is left of this layer's gain when the paper's settings are taken over, a press for each."""
    # the first setting is what the guess was about: its answer is told already
    panel, words, taken = Panel(), Line(), [1]
    figure = live(steps_figure([]))  # a cost model of the reader may take its time, and is asked below

    def take() -> None:
        taken[0] += 1
        redraw()

    def begin_again() -> None:
        taken[0] = 1
        redraw()

    take_next = panel.button("Take over", take, "Takes over the next of the paper's settings")
    again = panel.button("Start again", begin_again, "Back to the settings of this page")

    def redraw() -> None:
        found = explorer.priced(lambda: steps(explorer.vocabulary, explorer.cost))
        figure.push(*steps_data(found, taken[0], explorer.recall("guess full width")))
        words.say(steps_sentence(found, explorer.vocabulary.name, explorer.cost, taken[0]))
        left = found[taken[0] + 1 :]
        take_next.description = f"Take over: {left[0].change.removeprefix('… and ')}" if left else "All are taken over"
        take_next.disabled, again.disabled = not left, taken[0] == 1

    box = panel.box(row(take_next, again), words, figure)
    explorer.attach(slot, safely(panel, redraw), box)
    return box


def coverage_panel(explorer: Explorer, *, slot: str = "coverage") -> w.VBox:
    """A language, its rank-frequency curve with two fitted laws, and the words that a share of the tokens needs."""
    panel = Panel()
    language, redraw_language = _language_box(panel, explorer)
    state = {"share": 80.0}
    number = NumberBox(description="share of the tokens, %", unit="%", whole=False)
    label = "figure: how often each word occurs, and what the first words cover; the sentence above it says the result"
    figure, result, more = live(f.coverage_figure(explorer.vocabulary, 0.8), label), w.HTML(), w.HTML()

    def redraw() -> None:
        words, share = explorer.vocabulary, state["share"] / 100
        redraw_language()
        pair.show(state["share"])
        guess = explorer.recall("guess coverage 95") if language_of(words) == "en" else None
        figure.push(*f.coverage_data(words, share, guess))
        result.value = _result(f.coverage_result(words, share))
        heads = ["rank", "words from there on", "the first of them"]
        table = html_table(f.words_table(words), heads, label="words by rank")
        sentences = map(html.escape, (f.fits_sentence(words), f.penn_treebank_sentence(words)))
        more.value = _folded("Which words stand where, and how well the laws fit", table, *sentences)

    def set_share(value: float, _clip: bool) -> None:
        if not 0 < value <= 100:
            raise ValueError(f"the share should be above 0 and at most 100 %, got {value:g} %")
        state["share"] = float(f"{value:.10g}")  # a slider's step adds up to 80.10000000000001
        redraw()

    pair = Pair(panel, number, "share", set_share, high=100.0, step=0.1)
    box = panel.box(row(language, pair.row), result, figure, more)
    explorer.attach(slot, safely(panel, redraw), box)
    return box


def languages_panel(explorer: Explorer, *, slot: str = "languages") -> w.VBox:
    """Coverage of up to six languages side by side, and of the reader's own words, with a table."""
    panel = Panel()
    narrow = w.Layout(width="92px", margin="0")
    boxes = {
        code: w.Checkbox(value=code in ("en", "de", "fi"), description=name, indent=False, layout=narrow)
        for code, name in LANGUAGES.items()
    }
    label = "figure: coverage of each language; the sentence above it and the table below it say what it shows"
    figure, table, result = live(f.languages_figure([]), label), w.HTML(), w.HTML()

    def redraw() -> None:
        own = [explorer.vocabulary] if language_of(explorer.vocabulary) is None else []
        chosen = [code for code, box in boxes.items() if box.value]
        codes, left_out = chosen[: f.MOST_LINES - len(own)], chosen[f.MOST_LINES - len(own) :]
        whole = [*own, *map(load_language, codes)]
        vocabularies = comparable(whole)
        guess, finnish = explorer.recall("guess finnish"), load_language("fi")
        drawn = ("Finnish", guess) if guess is not None and any(v is finnish for v in vocabularies) else None
        figure.push(*f.languages_data(vocabularies, drawn))
        rows = html_table(f.languages_table(vocabularies), list(f.HEADS.values()), label="languages compared")
        table.value = f'<div style="line-height:1.3">{rows}</div>' if vocabularies else ""
        cut = any(len(after) < len(before) for after, before in zip(vocabularies, whole, strict=True))
        without = "Finnish" if guess is not None and drawn is None and any(v is finnish for v in whole) else ""
        result.value = _result(f.languages_sentence(vocabularies, cut, without))
        if left_out:
            names = ", ".join(LANGUAGES[code] for code in left_out)
            raise ValueError(f"at most {f.MOST_LINES} curves fit: untick one of the others to see {names}")

    def tick(code: str, ticked: bool) -> None:
        if ticked and sum(box.value for box in boxes.values()) > f.MOST_LINES:
            with panel.writing():
                boxes[code].value = False
            raise ValueError(f"at most {f.MOST_LINES} curves fit: untick one first, then {LANGUAGES[code]}")
        redraw()

    for code, ticked in boxes.items():
        panel.on_value(ticked, partial(tick, code))
    box = panel.box(row(*boxes.values()), panel.problem, result, figure, table)
    explorer.attach(slot, safely(panel, redraw), box)
    return box
