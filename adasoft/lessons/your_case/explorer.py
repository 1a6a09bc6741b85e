"""What the last lesson keeps: for each case the decision, and the reader's three lines about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ..kit import forms
from ..kit.explorer import Explorer
from .scenarios import (
    NAMES,
    SCENARIOS,
    Budget,
    Outcome,
    Scenario,
    cost_of,
    measured_on,
    median_error,
    nearest,
    outcome,
    trained,
    words_of,
)
from .search import budget_of, searched
from .take_home import TakeHome, taken

#: What the cases are called in the report and on the map.
TITLES = {
    "items": "A million items",
    "keyboard": "A keyboard’s suggestions",
    "pieces": "A model with word pieces",
    "own": "Your own case",
}
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
    within=forms.row(forms.flag, forms.flag, forms.flag),
    words=forms.text,
)
#: What a decision made since then holds, too: the budget, what the search found, and what a training like it lost.
COMPARED = forms.fields(
    budget=forms.row(forms.SECONDS, forms.number(0), forms.number(0)),
    found=forms.row(forms.SECONDS, forms.number(0), forms.number(0)),
    training=forms.text,
)
#: And one made later still: the layer of the search, and whose timings these are.
LAYERS = forms.fields(
    found_cutoffs=forms.each(forms.COUNT, fewest=1),
    found_widths=forms.each(forms.COUNT, fewest=1),
    least=forms.row(forms.text, forms.text),
    machine=forms.text,
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
        words, cost = self.words_of_case(name), self.cost_of_case(name)
        return self._cached(("budget", name, words, cost), lambda: budget_of(name, words, cost))  # type: ignore[no-any-return]

    def found(self, name: str) -> Outcome:
        """What the search takes in a case."""
        words, cost, budget = self.words_of_case(name), self.cost_of_case(name), self.budget(name)
        made = self._cached(("found", name, words, cost), lambda: searched(SCENARIOS[name], words, cost, budget))
        return made  # type: ignore[no-any-return]

    def decision(self, name: str) -> dict[str, Any] | None:
        """What was decided in a case with the present words; None before."""
        kept = self.recall(f"case {name} decision")
        if not kept:
            return None
        words = self.words_of_case(name)
        return kept if kept["words"] == words.name and kept["cutoffs"][-1] < len(words) else None

    def decided(self, name: str) -> TakeHome:
        """The layer that the reader decided on, to build or to paste; a plan's where nothing is decided yet."""
        if name not in SCENARIOS:
            raise ValueError(f"name should be one of {', '.join(SCENARIOS)}, got {name!r}")
        words = self.words_of_case(name)
        return taken(TITLES[name], SCENARIOS[name], words, self.cost_of_case(name), self.decision(name))

    def decide(self, name: str, cutoffs: list[int], widths: list[int]) -> Outcome:
        """Keep a decision. Raises ValueError for what is no layer."""
        words, cost = self.words_of_case(name), self.cost_of_case(name)
        found = outcome(SCENARIOS[name], words, cost, cutoffs, widths)
        budget, best = self.budget(name), self.found(name)
        kept = {
            "cutoffs": list(found.cutoffs),
            "widths": list(found.widths),
            "seconds": found.seconds,
            "bytes": found.bytes,
            "width": found.width,
            "head share": found.head_share,
            "within": found.within(budget),
            "words": words.name,
            "budget": [budget.seconds, budget.bytes, budget.width],
            "found": [best.seconds, best.bytes, best.width],
            "training": nearest(trained(name), found, len(words), SCENARIOS[name].d)[1],
            "found cutoffs": list(best.cutoffs),
            "found widths": list(best.widths),
            "least": [fewest(each, len(words), SCENARIOS[name]) for each in (found, best)],
            "machine": measured_on(cost, SCENARIOS[name]),
        }
        self.remember(f"case {name} decision", kept)
        return found

    def write(self, name: str, texts: Mapping[str, Any]) -> None:
        """Keep the reader's lines about a case."""
        self.remember(f"case {name} text", {line: str(texts.get(line, ""))[:400] for line in LINES})

    def revealed(self, name: str) -> dict[str, Any]:
        """What the page shows after a decision: it, what the search found, and stored trainings. Empty before."""
        kept = self.decision(name)
        if kept is None:
            return {}
        case, words, cost = SCENARIOS[name], self.words_of_case(name), self.cost_of_case(name)
        best = self.found(name)
        mine = outcome(case, words, cost, kept["cutoffs"], kept["widths"])
        runs, said = nearest(trained(name), mine, len(words), case.d)
        like_it, told = nearest(trained(name), best, len(words), case.d, "the search’s")
        if not runs:
            told = ""
        elif not any(run["nearest"] for run in [*runs, *like_it]):
            told = "Nor is one near the search’s: the price in perplexity of both is unknown."
        for run, other in zip(runs, like_it, strict=True):
            run["plan"] = other["nearest"]
        return {
            "yours": _plain(mine),
            "plan": _plain(best),
            "verdict": verdict(mine, best, self.budget(name), median_error(cost, case.objective) or 0.0),
            "rarest": rarest(mine, best, words, case),
            "trained": runs,
            "nearest": f"{said}\n{told}".strip(),
        }

    def start_over(self) -> None:
        """Forget the decisions and lines, too."""
        self.unremember(*(key for name in NAMES for key in keys_of(name)))
        super().start_over()


def keys_of(name: str) -> tuple[str, str]:
    """What the decision and the lines of a case are kept under."""
    return f"case {name} decision", f"case {name} text"


def fewest(found: Outcome, n_words: int, case: Scenario) -> str:
    """The fewest numbers that a word has, and the share of the words that have so few."""
    edges, widths = [0, *found.cutoffs, n_words], [case.d, *found.widths]
    few = sum(b - a for a, b, w in zip(edges, edges[1:], widths, strict=False) if w == min(widths))
    return f"{min(widths)}, for {100 * few / n_words:.0f} % of {case.unit}s"


#: From so few numbers on, for so many of the words, a layer's rarest words are worth a note.
FEW_NUMBERS, MANY_WORDS = 32, 0.2


def rarest(mine: Outcome, found: Outcome, words: Any, case: Scenario) -> str:
    """What the mean width hides of both layers: the first case explains it, the others judge; empty where it is little.

    It is worth a note where either layer leaves `MANY_WORDS` of its words with at most `FEW_NUMBERS` numbers.
    """
    (part, tokens, by_words), (my_part, _, mine_by_words) = (_least(one, words, case) for one in (found, mine))
    noted = (min(one.widths) <= FEW_NUMBERS and share >= MANY_WORDS for one, share in ((found, part), (mine, my_part)))
    if not any(noted):
        return ""
    if case.name != "items":
        return (
            f"Averaged over {case.unit}s and not tokens, the search’s would keep {100 * by_words:.0f} % of d, and "
            f"yours {100 * mine_by_words:.0f} %. Would you ship either?"
        )
    return (
        f"The search leaves {100 * part:.0f} % of the {case.unit}s with {min(found.widths)} numbers each. They are "
        f"only {100 * tokens:.0f} % of the tokens, so the mean width still keeps its {100 * found.width / case.d:.0f} "
        f"% of d. Averaged over {case.unit}s, the search’s would keep {100 * by_words:.0f} %, and yours "
        f"{100 * mine_by_words:.0f} %: an average over tokens hardly counts rare {case.unit}s. Would you ship either?"
    )


def _least(one: Outcome, words: Any, case: Scenario) -> tuple[float, float, float]:
    """Of a layer: the shares of the words and of the tokens with its fewest numbers; the mean width of the words."""
    edges, least = [0, *one.cutoffs, len(words)], min(one.widths)
    shares, sizes = np.diff(words.cumulative[edges]), np.diff(edges) / len(words)
    few = [i for i, width in enumerate(one.widths, 1) if width == least]
    return float(sizes[few].sum()), float(shares[few].sum()), float(sizes @ [case.d, *one.widths]) / case.d


def _plain(found: Outcome) -> dict[str, Any]:
    return {
        "cutoffs": list(found.cutoffs),
        "widths": list(found.widths),
        "seconds": found.seconds,
        "bytes": found.bytes,
        "width": found.width,
        "share": found.head_share,
    }


def verdict(mine: Outcome, theirs: Outcome, budget: Budget, error: float = 0.0) -> str:
    """How a decision compares with what the search found, in a sentence; ``error``: of predicted times, as a share."""
    kept = sum(mine.within(budget))
    if kept < 3:
        missed = [
            name for name, kept_ in zip(("time", "memory", "mean width"), mine.within(budget), strict=True) if not kept_
        ]
        listed = " and ".join([", ".join(missed[:-1]), missed[-1]] if len(missed) > 1 else missed)
        return f"Yours misses the budget in {listed}."
    ratio = mine.seconds / theirs.seconds
    unsure = f", less than the predictions’ error ({100 * error:.0f} %)" if max(ratio, 1 / ratio) - 1 < error else ""
    if ratio < 0.995:
        return f"Both keep the budget, and yours is {1 / ratio:.2f} times faster{unsure}: you beat the search."
    if ratio > 1.02:
        return f"Both keep the budget; the search’s is {ratio:.2f} times faster{unsure}."
    return "Both keep the budget and take the same time, within 2 %."
