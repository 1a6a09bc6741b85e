"""What the last lesson keeps: for each case the decision, and the reader's three lines about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ..kit import forms
from ..kit.explorer import Explorer
from .scenarios import (
    NAMES,
    SCENARIOS,
    Budget,
    Outcome,
    budget_of,
    cost_of,
    nearest,
    outcome,
    planned,
    trained,
    words_of,
)

#: The three lines that the reader writes.
LINES = ("improved", "worse", "breaks")
#: What a decision and the lines look like as they are kept.
DECISION = forms.fields(
    cutoffs=forms.each(forms.COUNT, fewest=1),
    widths=forms.each(forms.COUNT, fewest=1),
    seconds=forms.SECONDS,
    bytes=forms.number(0),
    width=forms.number(0),
    head_share=forms.SHARE,
    within=forms.each(forms.flag),
    words=forms.text,
)
TEXT = forms.fields(**dict.fromkeys(LINES, forms.text))


class CasesExplorer(Explorer):
    """An `Explorer` whose words and cost model are those of the reader's own case; the other cases have their own.

    Keeps ``case NAME decision`` and ``case NAME text`` for the report.
    """

    _forms: ClassVar[Mapping[str, forms.Form]] = {
        **Explorer._forms,
        **{f"case {name} decision": DECISION for name in NAMES},
        **{f"case {name} text": TEXT for name in NAMES},
    }

    def words_of_case(self, name: str) -> Any:
        """The words of a case."""
        return words_of(name, self.vocabulary)

    def cost_of_case(self, name: str) -> Any:
        """The machine of a case."""
        return cost_of(name, self.cost)

    def budget(self, name: str) -> Budget:
        """The budget of a case."""
        return budget_of(name, self.words_of_case(name), self.cost_of_case(name))

    def decision(self, name: str) -> dict[str, Any] | None:
        """What was decided in a case with the present words; None before."""
        kept = self.recall(f"case {name} decision")
        return kept if kept and kept["words"] == self.words_of_case(name).name else None

    def decide(self, name: str, cutoffs: list[int], widths: list[int]) -> Outcome:
        """Keep a decision. Raises ValueError for what is no layer."""
        words, cost = self.words_of_case(name), self.cost_of_case(name)
        found = outcome(SCENARIOS[name], words, cost, cutoffs, widths)
        kept = {
            "cutoffs": list(found.cutoffs),
            "widths": list(found.widths),
            "seconds": found.seconds,
            "bytes": found.bytes,
            "width": found.width,
            "head share": found.head_share,
            "within": found.within(self.budget(name)),
            "words": words.name,
        }
        self.remember(f"case {name} decision", kept)
        return found

    def write(self, name: str, texts: Mapping[str, Any]) -> None:
        """Keep the reader's lines about a case."""
        self.remember(f"case {name} text", {line: str(texts.get(line, ""))[:400] for line in LINES})

    def revealed(self, name: str) -> dict[str, Any]:
        """What the page shows after a decision: it, the planner's, and stored trainings. Empty before."""
        kept = self.decision(name)
        if kept is None:
            return {}
        case, words, cost = SCENARIOS[name], self.words_of_case(name), self.cost_of_case(name)
        best = self._cached(("planned", name, words, cost), lambda: planned(case, words, cost))
        theirs = outcome(case, words, cost, best.cutoffs, best.widths)
        mine = outcome(case, words, cost, kept["cutoffs"], kept["widths"])
        runs, said = nearest(trained(name), mine, case.d)
        return {
            "yours": _plain(mine),
            "plan": _plain(theirs),
            "verdict": verdict(mine, theirs, self.budget(name), case.floor),
            "trained": runs,
            "nearest": said,
        }


def _plain(found: Outcome) -> dict[str, Any]:
    return {
        "cutoffs": list(found.cutoffs),
        "widths": list(found.widths),
        "seconds": found.seconds,
        "bytes": found.bytes,
        "width": found.width,
    }


def verdict(mine: Outcome, theirs: Outcome, budget: Budget, floor: float) -> str:
    """How a decision compares with the planner's, in a sentence."""
    kept = sum(mine.within(budget))
    if kept < 3:
        missed = [
            name for name, kept_ in zip(("time", "memory", "mean width"), mine.within(budget), strict=True) if not kept_
        ]
        return f"Yours misses the budget in {' and '.join(missed)}."
    ratio = mine.seconds / theirs.seconds
    if ratio < 0.98:
        return (
            f"Both keep the budget, and yours is {1 / ratio:.2f} times faster: the planner was asked to keep "
            f"{100 * floor:.0f} % of the tokens in the head."
        )
    if ratio > 1.02:
        return f"Both keep the budget; the planner’s is {ratio:.2f} times faster."
    return "Both keep the budget and take the same time, within 2 %."
