"""The cases of the last lesson: words, sizes, a machine, a budget; what a decision costs; stored trainings like it.

`search` finds the best decision.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from ...cost import Cost, MeasuredCost, Objective
from ...records import read_record, shipped_records
from ...results.short_tables import StoredTable, stored_tables
from ...results.suite import ROW_LABELS
from ...vocabulary import Vocabulary
from ..kit.costs import counts
from ..kit.first_words import first_words
from ..kit.languages import load_language

#: Bytes for each parameter: in decoding the weight; in training with Adam also its gradient and two moments.
DECODING, TRAINING = 4, 16
NAMES = ("items", "keyboard", "pieces", "own")
#: Widths are multiples of it, and a layer has at most so many tails: for the reader and for the search.
STEP, MOST_TAILS = 8, 4


@dataclass(frozen=True)
class Budget:
    """At most so many seconds a step and bytes of parameters, at least so many numbers per token on average."""

    seconds: float
    bytes: float
    width: float


@dataclass(frozen=True)
class Scenario:
    """One case: sizes, what is counted, and the start."""

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

    @property
    def per_parameter(self) -> int:
        """Bytes that count for each parameter."""
        return TRAINING if self.objective == "train" else DECODING


SCENARIOS = {
    "items": Scenario("items", "item", 256, 4096, "train", "cuda", 0.9, (128, 64)),
    "keyboard": Scenario("keyboard", "word", 256, 1, "decode", "cpu", 0.6, (128,)),
    "pieces": Scenario("pieces", "piece", 256, 2560, "train", "cpu", 0.75, (64,)),
    "own": Scenario("own", "word", 256, 2560, "train", "cpu", 0.6, (64,)),
}
BUDGETS = {
    "items": Budget(10e-3, 600e6, 0.77 * 256),
    "keyboard": Budget(0.85e-3, 6e6, 0.88 * 256),
    "pieces": Budget(50e-3, 20e6, 0.93 * 256),
}
#: How far apart perplexities are where only the seed of a training differs, as a share, up to.
CHANCE = 0.05
#: As many as the stored trainings with words have, about (17,724 and 33,278): so these tell what a decision loses.
KEYBOARD_WORDS = 20_000
#: In the reader's own case: least mean width as a share of d, and how far time and memory may be above the best ones.
OWN_WIDTH, OWN_ROOM = 0.9, 1.25


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
    """A million items by Zipf's law, in three digits: so they have some thousand different counts, not a million, and
    the browser gets each once."""
    counts_ = Vocabulary.synthetic(1_000_000).counts
    digits = 10.0 ** (np.floor(np.log10(counts_)) - 2)
    return Vocabulary(np.round(counts_ / digits) * digits, name="a million items by Zipf’s law")


@lru_cache(maxsize=1)
def _keyboard() -> Vocabulary:
    return first_words(load_language("en"), KEYBOARD_WORDS)


def words_of(name: str, own: Vocabulary) -> Vocabulary:
    """The words of a case; ``own``: the reader's."""
    return {"keyboard": _keyboard, "items": items, "pieces": pieces}.get(name, lambda: own)()


def cost_of(name: str, own: Cost) -> Cost:
    """The machine of a case: a recorded one, or in the reader's own case the reader's, where it is measured."""
    if name == "own" and type(own) is MeasuredCost and not counts(own):
        return own
    return recorded(SCENARIOS[name].device)


def median_error(cost: Cost, objective: Objective) -> float | None:
    """How far predictions are off: of layers the model was not fitted to, else of products; None if not recorded."""
    errors = (getattr(cost, "record", None) or {}).get("errors", {})
    kinds = ("layers, not fitted", "products, fitted")
    found = next((errors[key]["median"] for kind in kinds if (key := f"{objective} {kind}") in errors), None)
    return None if found is None else float(found)


def measured_on(cost: Cost, case: Scenario) -> str:
    """What is timed, whose timings predict it, and how far off they are."""
    error = median_error(cost, case.objective)
    off = "" if error is None else f"; the predictions are off by {100 * error:.0f} % (median)"
    step = (
        f"a training step of B = {case.batch:,} tokens"
        if case.objective == "train"
        else f"the search for the best words at B = {case.batch:,}"
    )
    return (
        f"Time: the output layer in {step}, predicted from measurements of "
        f"{cost.name.removeprefix('recorded machine: ')}{off}."
    )


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


def parameters(n_words: int, d: int, cutoffs: Sequence[int], widths: Sequence[int]) -> int:
    """Of a layer: the head with an entry for each tail, and for each tail its projection and its words."""
    edges = [*cutoffs, n_words]
    head = (edges[0] + len(widths)) * d
    return head + sum(w * (d + b - a) for w, a, b in zip(widths, edges[:-1], edges[1:], strict=True))


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
            plain = row["name"] == "adaptive" or row["name"].startswith("planned")
            if more is None or not plain or "dropout" in row["name"] or "warmup" in table.label:
                continue
            label = f"{ROW_LABELS[row['name']]}; {first['corpus']}, V = {row['V']:,}"
            found.append(
                {
                    "share": float(row["head share"]),
                    "more": float(more),
                    "label": label,
                    "tails": _kind(row["widths"], row["d"]),
                    "widths": list(row["widths"]),
                    "width": float(row["mean width"]),
                    "tail width": _in_tails(row["mean width"], row["head share"], row["d"]),
                    "V": row["V"],
                }
            )
    return found


def _kind(widths: Sequence[int], d: int) -> str:
    """Of tails: as wide as the "head", "wide" (half of it), or "narrow"; told by the first one."""
    return "narrow" if not widths or widths[0] <= d / 3 else "wide" if widths[0] < 0.9 * d else "head"


def _in_tails(width: float, head_share: float, d: int) -> float:
    """Numbers per token of the tails alone, on average."""
    return float((width - head_share * d) / (1 - head_share))


#: To be near a decision: how many times more or fewer words a training may have, how far its head's share may be, and
#: how many times more or fewer numbers a token of its tails may have.
FAR_WORDS, FAR_HEAD, FAR_TAILS = 4.0, 0.07, 1.6


def nearest(
    runs: list[dict[str, Any]], mine: Outcome, n_words: int, d: int, whose: str = "yours"
) -> tuple[list[dict[str, Any]], str]:
    """The runs with about as many words, the one most like a decision marked, and what that one lost, in words.

    Most alike: in the number of words, then in the head's share and the numbers of a token of the tails. None is marked
    where all are far.
    """
    apart = {run["V"]: max(run["V"] / n_words, n_words / run["V"]) for run in runs}
    close = [run for run in runs if apart[run["V"]] <= FAR_WORDS]
    if not close:
        all_ = " or ".join(f"{v:,}" for v in sorted(apart))
        return [], (
            f"No stored training is near {whose} (they have {all_} words, your case {n_words:,}): the price in "
            "perplexity is unknown. Train it before you ship it."
        )
    same = min(apart.values())
    in_tails = _in_tails(mine.width, mine.head_share, d)

    def far(run: dict[str, Any]) -> tuple[float, float]:
        """In the head's share and in the tails, each 1 at its limit."""
        ratio = abs(math.log(run["tail width"] / in_tails)) / math.log(FAR_TAILS)
        return abs(run["share"] - mine.head_share) / FAR_HEAD, ratio

    best = min((run for run in close if apart[run["V"]] == same), key=lambda run: (max(far(run)), sum(far(run))))
    near = max(far(best)) <= 1
    marked = [{**run, "nearest": near and run is best} for run in close]
    if not near:
        return marked, (
            f"No stored training is near {whose}. The closest with V = {best['V']:,} has {100 * best['share']:.0f} % "
            f"of the tokens in its head and {best['tail width']:.0f} numbers for a token of its tails; {whose} "
            f"has {100 * mine.head_share:.0f} % and {in_tails:.0f}."
        )
    more = abs(100 * best["more"])
    return marked, (
        f"The stored training most like {whose} ({best['label'].split('; ')[-1]}): {100 * best['share']:.0f} % of the "
        f"tokens in the head, tails of {', '.join(map(str, best['widths']))} numbers ({best['tail width']:.0f} "
        f"numbers on average for a token in a tail; {whose} {in_tails:.0f}), a perplexity {more:.1f} % "
        f"{'above' if best['more'] >= 0 else 'below'} the full softmax’s."
    )
