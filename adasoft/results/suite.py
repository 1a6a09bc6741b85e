"""The rows of the table of trainings: what each one trains and what it is called; the paper's numbers beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..lm.settings import Settings


def _adaptive(cutoffs: str, **settings: float) -> dict[str, Any]:
    return {"softmax": "adaptive", "cutoffs": cutoffs, **settings}


#: The settings of each row: the softmaxes of the paper's Text8 table, then ours. Planned cutoffs at three floors of the
#: head's share, at two of them also with tails of half the width, not a quarter; the authors' cutoffs and the wider
#: tails with tail dropout of 0.2 (Baevski and Auli 2019).
SUITE: dict[str, dict[str, Any]] = {
    "full": {"softmax": "full"},
    "sampled": {"softmax": "sampled"},
    "hierarchical": {"softmax": "hierarchical"},
    "d-softmax": {"softmax": "d-softmax"},
    "d-softmax-star": {"softmax": "d-softmax-star"},
    "adaptive": _adaptive("authors"),
    "planned-0.75": _adaptive("plan", min_head_share=0.75),
    "planned-0.65": _adaptive("plan", min_head_share=0.65),
    "planned-0.85": _adaptive("plan", min_head_share=0.85),
    "planned-wide": _adaptive("plan", min_head_share=0.75, width_ratio=2.0),
    "planned-wide-0.85": _adaptive("plan", min_head_share=0.85, width_ratio=2.0),
    "tail-dropout": _adaptive("authors", tail_dropout=0.2),
    "planned-wide-dropout": _adaptive("plan", min_head_share=0.75, width_ratio=2.0, tail_dropout=0.2),
    "planned-wide-0.85-dropout": _adaptive("plan", min_head_share=0.85, width_ratio=2.0, tail_dropout=0.2),
}

#: All rows that are stored, in the order of the tables, with the names that people read. Those with ``planned-mean``
#: are no longer trained: a floor on the mean width, under which each tail took the width that suited it, was never
#: better than wider tails.
ROW_LABELS = {
    "full": "full softmax",
    "sampled": "sampled, 20 % of V",
    "hierarchical": "hierarchical",
    "d-softmax": "D-softmax",
    "d-softmax-star": "D-softmax*",
    "adaptive": "adaptive, the authors' cutoffs",
    "planned-0.75": "adaptive, planned, head ≥ 75 %",
    "planned-0.65": "adaptive, planned, head ≥ 65 %",
    "planned-0.85": "adaptive, planned, head ≥ 85 %",
    "planned-wide": "adaptive, planned, wider tails, head ≥ 75 %",
    "planned-wide-0.85": "adaptive, planned, wider tails, head ≥ 85 %",
    "planned-mean-0.65": "adaptive, planned, mean width ≥ 94 % of d, head ≥ 65 %",
    "planned-mean-0.75": "adaptive, planned, mean width ≥ 94 % of d, head ≥ 75 %",
    "tail-dropout": "adaptive, authors', tail dropout 0.2",
    "planned-wide-dropout": "adaptive, planned, wider tails, head ≥ 75 %, tail dropout 0.2",
    "planned-wide-0.85-dropout": "adaptive, planned, wider tails, head ≥ 85 %, tail dropout 0.2",
}

#: Settings by which the rows of one table differ; the floor on the mean width only in stored ones.
ROW_SETTINGS = {"seed", "min_mean_width"}.union(*SUITE.values())
#: Rows that are trained with three seeds; the others with one.
THREE_SEEDS = ("full", "adaptive", "planned-0.75", "planned-wide-0.85")
#: Perplexity and minutes for 5 epochs on Text8 in Grave et al. 2017, on a GPU, d = 512.
PAPER_TEXT8 = {
    "full": (144, 83),
    "sampled": (166, 41),
    "hierarchical": (166, 34),
    "d-softmax": (195, 53),
    "d-softmax-star": (147, 54),
    "adaptive": (147, 30),
}


def suite(settings: Settings, rows: Sequence[str] = tuple(SUITE), seeds: int = 3) -> Iterator[tuple[str, Settings]]:
    """Names and settings of the runs of a table, those that matter most first.

    Raises ValueError for a row it does not know.
    """
    for name in rows:
        if name not in SUITE:
            raise ValueError(f"rows should be some of {', '.join(SUITE)}, got {name!r}")
    for seed in range(seeds):
        for name in rows:
            if seed == 0 or name in THREE_SEEDS:
                yield name, replace(settings, **SUITE[name], seed=settings.seed + seed)
