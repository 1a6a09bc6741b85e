"""The bet on the race, for the map of the lesson and the report: it is made in the picture, in no box of `predict`."""

from __future__ import annotations

from ...text import markdown_table
from ..kit import done
from ..kit.explorer import Explorer
from ..kit.grading import judged, number_text, off_by, true_text
from ..kit.progress import NEAR, Step
from ..kit.saved import Entries
from .race import stored_race

#: The bet is kept as ``guess race``, what the race says as ``result race``.
KEY = "race"
BET = f"guess {KEY}"
UNIT = "times"
QUESTION = "How many times sooner than the full softmax do the authors' cutoffs finish the race?"


def keep_bet(explorer: Explorer, bet: float) -> None:
    """Keep a bet beside what the race says, and let the map know."""
    explorer.remember(BET, bet)
    explorer.remember(f"result {KEY}", {"truth": stored_race().faster("adaptive"), "unit": UNIT, "question": QUESTION})
    done.tell()


def _kept(entries: Entries) -> tuple[float, float] | None:
    kept = done.guess_of(KEY, entries.get(done.KEPT, {}).get)
    return None if kept is None or kept[1] is None else (kept[0], kept[1]["truth"])


def bets(entries: Entries) -> list[Step]:
    """The bet as a guess on the map of the lesson."""
    if (kept := _kept(entries)) is None:
        return [Step("guess", KEY, QUESTION, False, False, "bet open")]
    bet, truth = kept
    said = f"bet of {number_text(bet)} times: {judged(bet, truth, UNIT)}"
    return [Step("guess", KEY, QUESTION, off_by(bet, truth, UNIT) <= NEAR, True, said)]


def section(entries: Entries) -> str:
    """The bet in the report, as Markdown; empty without one."""
    if (kept := _kept(entries)) is None:
        return ""
    bet, truth = kept
    row = [QUESTION, f"{number_text(bet)} times", f"{true_text(truth)} times", judged(bet, truth, UNIT)]
    return markdown_table(["bet", "mine", "it is", ""], [row])
