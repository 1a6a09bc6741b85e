"""What stored trainings say of the paper's claim: it holds, does not, or cannot be told; and where they differ."""

from __future__ import annotations

import html
from typing import Literal

from ...results.short_tables import StoredTable
from ...results.suite import PAPER_TEXT8, ROW_LABELS
from ...text import Row
from .sentences import began, more_or_less
from .stored_runs import COMMAND, paper_rows

Verdict = Literal["holds here", "does not hold here", "cannot be told from these runs"]
_HOLDS: Verdict = "holds here"
_FAILS: Verdict = "does not hold here"
_OPEN: Verdict = "cannot be told from these runs"

#: What the paper claims on Text8: at most so much perplexity more, at least so many times faster.
CLAIM = PAPER_TEXT8["adaptive"][0] / PAPER_TEXT8["full"][0] - 1, PAPER_TEXT8["full"][1] / PAPER_TEXT8["adaptive"][1]
#: Two times of the same thing may differ by this factor.
TIMES_AGREE = 1.05
#: Differences to the paper below these are none: of the change in perplexity, and of the factor in speed.
NEAR_PERPLEXITY, NEAR_SPEED = 0.02, 1.25


def speed(factor: float) -> str:
    """4.00 times faster; 2.00 times SLOWER."""
    return f"{factor:.2f} times faster" if factor >= 1 else f"{1 / factor:.2f} times SLOWER"


def seed_range(table: StoredTable, row: Row, base: Row) -> tuple[float, float] | None:
    """Between which values the cost in perplexity may lie for other seeds: the worst pairings of those that ran.

    A row of one seed is taken to vary as much as the row of the table that varies most; None if all have one seed.
    """
    if row["seeds"] > 1 and base["seeds"] > 1:
        return row["lowest"] / base["highest"] - 1, row["highest"] / base["lowest"] - 1
    spreads = [one["highest"] / one["lowest"] for one in table.rows if one["seeds"] > 1]
    if not spreads:
        return None
    return (1 + row["of full"]) / max(spreads) - 1, (1 + row["of full"]) * max(spreads) - 1


def perplexity_verdict(table: StoredTable, row: Row, base: Row) -> tuple[Verdict, str]:
    """Whether the cost is at most what the paper has, and by what it is told."""
    between = seed_range(table, row, base)
    if between is None:
        return _OPEN, "each ran with one seed only, which tells nothing of so small a difference"
    low, high = between
    told = f"our seeds scatter from {100 * low:+.1f} to {100 * high:+.1f} %".replace("-", "−")
    claim = round(CLAIM[0], 3)
    if round(high, 3) <= claim:
        return _HOLDS, told
    return (_FAILS, told) if round(low, 3) > claim else (_OPEN, f"{told}, too widely to decide")


def speed_verdict(factor: float) -> Verdict:
    """Whether it is at least as much faster as in the paper."""
    return _HOLDS if factor >= TIMES_AGREE * CLAIM[1] else _FAILS if factor < CLAIM[1] / TIMES_AGREE else _OPEN


def headline(table: StoredTable | None) -> str:
    """The one result, as HTML."""
    if table is None:
        return f"<b>No finished training is stored.</b> You see the paper's figures alone. To make some: {COMMAND}"
    full, authors = table.row("full"), table.row("adaptive")
    if full is None or authors is None or "faster" not in authors:
        return "Recorded. <b>These runs cannot be compared</b>: the full softmax or the authors' cutoffs are not there."
    return (
        f"Recorded. With the authors' cutoffs training is <b>{speed(authors['faster'])}</b> than with the full "
        f"softmax, and its test perplexity is <b>{html.escape(more_or_less(authors['of full']))}</b>."
    )


def chosen_sentence(table: StoredTable | None, chosen: str | None) -> str:
    """What the softmax that the reader asks for costs and gains."""
    row, full = (table.row(chosen), table.row("full")) if table and chosen else (None, None)
    if row is None or full is None or "faster" not in row:
        return ""
    seeds = "one seed" if row["seeds"] == 1 else f"{row['seeds']} seeds"
    return (
        f"{began(ROW_LABELS.get(row['name'], str(row['name'])))}: {speed(row['faster'])}, "
        f"perplexity {more_or_less(row['of full'])} ({seeds})."
    )


def claims(table: StoredTable | None) -> list[str]:
    """Whether the paper's claims hold in these runs, what planning gained, and what else meets the eye."""
    full, authors, planned = (table.row(name) if table else None for name in ("full", "adaptive", "planned-0.75"))
    if table is None:
        return []
    out = []
    if full is None:
        out.append("The full softmax is not stored yet, so nothing can be compared with it.")
    if full and authors and "faster" in authors:
        cost, told = perplexity_verdict(table, authors, full)
        out.append(
            f"The paper's claim, at least {CLAIM[1]:.2f} times faster: {speed_verdict(authors['faster'])}. Its other "
            f"claim, at most {100 * CLAIM[0]:.1f} % more perplexity: {f'{cost}; ' * (cost != _OPEN)}{told}."
        )
    if authors and planned and "of authors" in planned:
        cutoffs = ", ".join(f"{c:,}" for c in planned["cutoffs"]) or "none: a full softmax"
        same = planned["per word"] / authors["per word"] - 1
        out.append(
            f"The planned cutoffs ({cutoffs}) take {100 * planned['of authors']:.0f} % of the output-layer time that "
            f"the authors' take, but their perplexity is {more_or_less(same)}. The planner minimises time only; a "
            "larger head costs time and gives perplexity back: that is the line in the right picture."
        )
    return [*out, *_why_no_gain(table, authors), *_overfitting(table)]


def _why_no_gain(table: StoredTable, authors: Row | None) -> list[str]:
    if authors is None or "on cuda" not in table.label or not authors.get("faster", 2.0) < 1.05:
        return []
    return [
        "Why no gain on this GPU? A step this short waits for Python to launch its kernels, and the adaptive softmax "
        "launches more of them; it pays only once the products themselves take longer than that."
    ]


def _overfitting(table: StoredTable) -> list[str]:
    for row in table.rows:
        values = [valid for _, _, valid in row["curve"]]
        best = values.index(min(values))
        if values[-1] > 1.02 * values[best]:
            label = ROW_LABELS.get(row["name"], row["name"])
            return [
                f"Why do more epochs make it worse? After epoch {best + 1} the validation perplexity rises again "
                f"({label}: {values[best]:.1f}, then {values[-1]:.1f}): the model learns its training text by heart. "
                "That is overfitting, with any softmax."
            ]
    return []


def disagreements(table: StoredTable | None) -> list[str]:
    """One sentence for each softmax whose cost or gain differs from the paper's, one for those that agree, and why."""
    if table is None:
        return []
    out, agree = [], []
    for name, (more, faster) in paper_rows().items():
        row = table.row(name)
        if name == "full" or row is None or "faster" not in row:
            continue
        ratio = row["faster"] / faster
        parts = []
        if abs(row["of full"] - more) > NEAR_PERPLEXITY:
            parts.append(f"perplexity is {more_or_less(row['of full'])}, in the paper {more_or_less(more)}")
        if max(ratio, 1 / ratio) > NEAR_SPEED:
            parts.append(f"training is {speed(row['faster'])}, in the paper {speed(faster)}")
        if parts:
            out.append(f"{ROW_LABELS[name]}: {'; '.join(parts)}.")
        else:
            agree.append(ROW_LABELS[name])
    if agree:
        out.append(
            f"As in the paper, within {100 * NEAR_PERPLEXITY:.0f} percentage points in perplexity and a factor of "
            f"{NEAR_SPEED} in speed: {', '.join(agree)}."
        )
    full = table.row("full")
    if out and full:
        out.append(
            f"Why: the paper has another text (Text8, V of some 44,000), d = 512, five epochs and a GPU of 2016. Here "
            f"V = {full['V']:,}, and the full softmax's output layer takes {100 * full['output share']:.0f} % of a "
            "step: the larger its part, the more there is to gain."
        )
    return out
