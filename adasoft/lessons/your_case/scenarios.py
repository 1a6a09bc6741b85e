"""The cases of the last lesson: words, sizes, a machine, a budget; what a decision costs, and the planner's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from ...cost import Cost, MeasuredCost, Objective
from ...planning import Plan, plan
from ...records import read_record, shipped_records
from ...results.short_tables import StoredTable, stored_tables
from ...results.suite import ROW_LABELS
from ...vocabulary import Vocabulary
from ..kit.costs import counts
from ..kit.first_words import first_words
from ..kit.languages import load_language

#: Bytes for each parameter: in decoding the weight; in training with Adam also its gradient and two moments.
DECODING, TRAINING = 4, 16
NAMES = ("keyboard", "items", "pieces", "own")
Name = Literal["keyboard", "items", "pieces", "own"]


@dataclass(frozen=True)
class Budget:
    """At most so many seconds a step and bytes of parameters, at least so many numbers per token on average."""

    seconds: float
    bytes: float
    width: float


@dataclass(frozen=True)
class Scenario:
    """One case: sizes, what is counted, the start, and how the planner is asked."""

    name: str
    unit: str
    d: int
    batch: int
    objective: Objective
    device: Literal["cpu", "cuda"]
    share: float
    """Of the tokens in the head, to begin with."""
    widths: tuple[int, ...]
    """Of the tails, to begin with."""
    floor: float
    """Least share of the tokens in the planner's head."""
    ratio: float
    """By which the planner's tails narrow."""
    n_tails: int | None = None
    """Of the planner; None: whatever is fastest."""
    min_shares: tuple[float, ...] = ()
    """Of the tokens up to each tail but the last, at least, for the planner."""

    @property
    def per_parameter(self) -> int:
        """Bytes that count for each parameter."""
        return TRAINING if self.objective == "train" else DECODING


SCENARIOS = {
    "keyboard": Scenario("keyboard", "word", 256, 1, "decode", "cpu", 0.6, (128,), 0.86, 4.0, 2, (0.95,)),
    "items": Scenario("items", "item", 256, 4096, "train", "cuda", 0.9, (128, 64), 0.75, 4.0),
    "pieces": Scenario("pieces", "piece", 256, 2560, "train", "cpu", 0.75, (64,), 0.93, 4.0),
    "own": Scenario("own", "word", 256, 2560, "train", "cpu", 0.6, (64,), 0.85, 2.0),
}
BUDGETS = {
    "keyboard": Budget(1.7e-3, 14e6, 0.88 * 256),
    "items": Budget(10e-3, 600e6, 0.77 * 256),
    "pieces": Budget(105e-3, 20e6, 0.93 * 256),
}


@lru_cache(maxsize=4)
def recorded(device: str) -> MeasuredCost:
    """The recorded machine of a kind, with fp32."""
    for path in shipped_records():
        if path.name.startswith(device) and "float32" in path.name:
            return read_record(path)
    raise LookupError(f"no machine of the kind {device} is recorded")


@lru_cache(maxsize=1)
def pieces_table() -> StoredTable:
    """The stored trainings with 8,000 word pieces. Raises LookupError where they are missing."""
    for table in stored_tables():
        if table.rows[0]["V"] == 8000:
            return table
    raise LookupError("the stored trainings with 8,000 pieces are not in data/results")


@lru_cache(maxsize=1)
def pieces() -> Vocabulary:
    """Word pieces as frequent as in the text of the stored trainings: their recorded shares at seven ranks, and between
    two of them Zipf's law."""
    row = pieces_table().row("adaptive")
    if row is None:
        raise LookupError("the stored trainings with 8,000 pieces hold no adaptive one")
    edges, shares = [*row["ranks"], 8000], row["shares"]
    counts_: list[float] = []
    for low, high, share in zip(edges[:-1], edges[1:], shares, strict=True):
        law = 1.0 / np.arange(low + 1, high + 1)
        counts_ += (1e6 * share * law / law.sum()).tolist()
    return Vocabulary(np.sort(np.asarray(counts_))[::-1], name="8,000 word pieces of EuroParl")


@lru_cache(maxsize=1)
def items() -> Vocabulary:
    """A million items by Zipf's law."""
    return Vocabulary.synthetic(1_000_000, name="a million items by Zipf’s law")


@lru_cache(maxsize=1)
def _keyboard() -> Vocabulary:
    return first_words(load_language("en"), 100_000)


def words_of(name: str, own: Vocabulary) -> Vocabulary:
    """The words of a case; ``own``: the reader's."""
    return {"keyboard": _keyboard, "items": items, "pieces": pieces}.get(name, lambda: own)()


def cost_of(name: str, own: Cost) -> Cost:
    """The machine of a case: a recorded one, or in the reader's own case the reader's, where it is measured."""
    if name == "own" and type(own) is MeasuredCost and not counts(own):
        return own
    return recorded(SCENARIOS[name].device)


def budget_of(name: str, words: Vocabulary, cost: Cost) -> Budget:
    """The budget; in the reader's own case an eighth of the full softmax's time, a third of its memory, 85 % of d."""
    if name in BUDGETS:
        return BUDGETS[name]
    case, n = SCENARIOS[name], len(words)
    seconds = cost.full_time(n, case.batch, case.d, case.objective)
    return Budget(seconds / 8, case.per_parameter * n * case.d / 3, 0.85 * case.d)


# ---------------------------------------------------------------------- a decision


@dataclass(frozen=True)
class Outcome:
    """What a decision costs: seconds a step, bytes of all parameters, numbers per token on average."""

    cutoffs: tuple[int, ...]
    widths: tuple[int, ...]
    seconds: float
    bytes: float
    width: float
    head_share: float

    def within(self, budget: Budget) -> list[bool]:
        """Whether time, memory and mean width keep to it."""
        return [self.seconds <= budget.seconds, self.bytes <= budget.bytes, self.width >= budget.width]


def parameters(n_classes: int, in_features: int, cutoffs: Sequence[int], widths: Sequence[int]) -> int:
    """Of a layer: the head with an entry for each tail, and for each tail its projection and its words."""
    edges = [*cutoffs, n_classes]
    head = (edges[0] + len(widths)) * in_features
    return head + sum(w * (in_features + b - a) for w, a, b in zip(widths, edges[:-1], edges[1:], strict=True))


def outcome(case: Scenario, words: Vocabulary, cost: Cost, cutoffs: Sequence[int], widths: Sequence[int]) -> Outcome:
    """What cutoffs and widths cost in a case. Raises ValueError for what is no layer."""
    shares = np.diff(words.cumulative[[0, *cutoffs, len(words)]])
    made = cost.layer(len(words), cutoffs, widths, shares[1:].tolist(), case.d, case.batch, case.objective)
    return Outcome(
        tuple(cutoffs),
        tuple(widths),
        made.seconds,
        float(case.per_parameter * made.parameters),
        float(np.dot([case.d, *widths], shares)),
        float(shares[0]),
    )


def planned(case: Scenario, words: Vocabulary, cost: Cost) -> Plan:
    """What the planner takes in a case."""
    return plan(
        words,
        case.d,
        case.batch,
        cost=cost,
        n_tails=case.n_tails,
        min_head_share=case.floor,
        min_shares=case.min_shares,
        width_ratio=case.ratio,
        objective=case.objective,
    )


# ---------------------------------------------------------------------- what stored trainings lost


def trained(name: str) -> list[dict[str, Any]]:
    """Stored trainings of adaptive softmaxes: share of the tokens in the head, and perplexity above the full one's.

    With pieces for the case of the pieces, else with words.
    """
    found = []
    for table in stored_tables():
        first = table.rows[0]
        in_pieces = first["words per token"] < 0.999
        if in_pieces != (name == "pieces") or "cuda" in table.label or "lstm" not in table.label:
            continue
        for row in table.rows:
            more = row.get("of full")
            plain = row["name"] == "adaptive" or (row["name"].startswith("planned") and "mean" not in row["name"])
            if more is None or not plain or "dropout" in row["name"] or "warmup" in table.label:
                continue
            label = f"{ROW_LABELS[row['name']]}, {first['corpus']}, V = {row['V']:,}"
            wide = "wide" in row["name"]
            found.append({"share": float(row["head share"]), "more": float(more), "label": label, "wide": wide})
    return found


def nearest(runs: list[dict[str, Any]], outcome_: Outcome, d: int) -> tuple[list[dict[str, Any]], str]:
    """The runs with the one marked whose head and tails are most like a decision's, and what it lost, in words."""
    if not runs:
        return [], "No training like this is stored."
    wide = bool(outcome_.widths) and outcome_.widths[0] > d / 3
    of_kind = [run for run in runs if run["wide"] == wide] or runs
    best = min(of_kind, key=lambda run: abs(run["share"] - outcome_.head_share))
    marked = [{**run, "nearest": run is best} for run in runs]
    return marked, (
        f"Stored trainings (blue: wider tails). The one most like yours, {best['label']}, has "
        f"{100 * best['share']:.0f} % of the tokens in its head and a perplexity {100 * best['more']:.1f} % above the "
        "full softmax’s. Trainings that differ only in the seed differ by up to 5 %."
    )
