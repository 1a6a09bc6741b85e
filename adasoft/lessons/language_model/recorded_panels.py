"""The panels of the lesson on perplexity that train nothing: stored trainings as a race, and beside the paper."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from pathlib import Path

import ipywidgets as w

from ...results.short_tables import StoredTable, stored_tables
from ...results.suite import ROW_LABELS
from ..kit.explorer import Explorer
from ..kit.parts import WIDE, Line, Panel, live, one_line, row, safely
from ..kit.views import replace
from .bets import BET, keep_bet
from .race import stored_race
from .stored_ranks import nearest_ranked, rank_data, rank_figure, rank_sentence, ranked_rows
from .stored_runs import MAIN, more_columns, plain_label, shown_rows, stored_data, stored_figure, stored_table
from .stored_verdicts import chosen_sentence, claims, disagreements, headline
from .widgets import RaceView

#: Of `predict`, where the guess of the paper's minutes is kept.
GUESS = "guess paper minutes"
_NONE = "nothing more"


def training_race_panel(explorer: Explorer | None = None, folder: Path | None = None) -> w.VBox:
    """Four stored trainings replayed in the page, after a bet.

    Args:
        explorer: keeps the bet; without one it is forgotten with the page.
        folder: ``data/results`` by default.
    """
    panel = Panel()
    try:
        kept = explorer.recall(BET) if explorer else None
        view = RaceView(stored_race(folder), kept if kept and kept > 0 else None)
        if explorer is not None:
            view.observe(lambda change: keep_bet(explorer, change["new"]) if change["new"] else None, "bet")
        box = panel.box(view)
    except (ValueError, OSError) as error:
        panel.problem.say(one_line(error))
        box = panel.box()
    replace("training race", box)
    return box


def ranks_panel(explorer: Explorer, folder: Path | None = None) -> w.VBox:
    """On which words stored trainings lose: the extra loss, summed from the most frequent word to the rarest."""
    panel, ranked = Panel(), Line()
    tables: list[StoredTable] = []
    try:
        tables = stored_tables(folder)
    except ValueError as error:
        panel.problem.say(one_line(error))
    first = nearest_ranked(tables[0], tables) if tables else None
    found = {plain_label(one): one for one in tables if one is first or ranked_rows(one) > 1}
    shown = w.Dropdown(
        options=list(found) or ["nothing is stored yet"],
        value=plain_label(first) if first else "nothing is stored yet",
        description="trainings",
        style=WIDE,
        layout=w.Layout(width="min(560px, 100%)"),
    )
    figure = live(rank_figure(first), "extra loss by the rank of the word")

    def redraw() -> None:
        one = found.get(shown.value)
        figure.push(*rank_data(one))
        ranked.say(f"A line that falls gains on those words; one that rises loses. {rank_sentence(one)}")

    panel.on_value(shown, lambda _: redraw())
    box = panel.box(shown, figure, ranked)
    explorer.attach("ranks", safely(panel, redraw), box)
    return box


def folded(title: str, body: str) -> str:
    """HTML that opens when its title is clicked; empty without a body."""
    return f"<details><summary>{html.escape(title)}</summary>{body}</details>" if body else ""


def paragraphs(lines: Sequence[str]) -> str:
    """Each line as a paragraph of HTML."""
    return "".join(f'<p style="line-height:1.45;margin:6px 0">{html.escape(line)}</p>' for line in lines)


def stored_panel(explorer: Explorer | None = None, folder: Path | None = None) -> w.VBox:
    """Stored trainings beside the paper's table.

    Args:
        explorer: whose guess of the paper's minutes is drawn; none without one.
        folder: ``data/results`` by default.
    """
    panel, result, below = Panel(), w.HTML(), w.HTML()
    found: dict[str, StoredTable] = {}
    try:
        found = {plain_label(one): one for one in stored_tables(folder)}
    except ValueError as error:
        panel.problem.say(one_line(error))
    first = next(iter(found), None)
    shown = w.Dropdown(
        options=list(found) or ["nothing is stored yet"],
        description="trainings",
        style=WIDE,
        layout=w.Layout(width="min(560px, 100%)"),
    )
    also = w.Dropdown(
        options=[_NONE], description="show as well", style=WIDE, layout=w.Layout(width="min(430px, 100%)")
    )
    figure = live(stored_figure(found.get(first or "")), "cost and gain of stored trainings, and the paper's")

    def redraw() -> None:
        one = found.get(shown.value)
        stored = [r["name"] for r in one.rows if r["name"] not in MAIN] if one else []
        choices = [_NONE, *(ROW_LABELS.get(name, name) for name in stored)]
        if list(also.options) != choices:
            with panel.writing():
                also.options = choices
        chosen = None if also.value in (None, _NONE) else stored[choices.index(also.value) - 1]
        guess = explorer.recall(GUESS, math.nan) if explorer else math.nan
        figure.push(*stored_data(one, chosen, float(guess)))
        more = html.escape(chosen_sentence(one, chosen))
        result.value = (
            '<div role="status" class="adasoft-words" style="font-size:15px">'
            f"{headline(one)}{f'<br>{more}' if more else ''}</div>"
        )
        names = shown_rows(one, chosen)
        commands = "\n".join(dict.fromkeys(one.commands)) if one else ""
        made = f"<p>{html.escape(f'{one.sizes}. {one.provenance}')}</p>" if one else ""
        below.value = (
            stored_table(one, names)
            + paragraphs(claims(one))
            + folded("All rows, and speed and size", stored_table(one) + "<br>" + more_columns(one))
            + folded("Where these runs and the paper's disagree, and why", paragraphs(disagreements(one)))
            + folded(
                "Where the numbers come from", made + f'<pre style="white-space:pre-wrap">{html.escape(commands)}</pre>'
            )
        )

    for control in (shown, also):
        panel.on_value(control, lambda _: redraw())
    redraw_safely = safely(panel, redraw)
    box = panel.box(row(shown, also), result, figure, below)
    if explorer is None:
        redraw_safely()
        replace("stored", box)
    else:
        explorer.attach("stored", redraw_safely, box)
    return box
