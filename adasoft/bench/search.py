"""`bench plan`: the search for cutoffs, and what planned cutoffs are worth on real counts."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np

from ..cost import Cost, PaperCost
from ..planning import default_widths, plan
from ..records import load_cost
from ..text import Row, Say, table
from ..vocabulary import Vocabulary
from .common import provenance


def bench_plan(*, say: Say = print, rounds: int = 5) -> Row:
    """Time and memory of the search for cutoffs over a million words."""
    vocabulary = Vocabulary.synthetic(1_000_000, shift=2.7)
    vocabulary.cumulative, vocabulary.order  # made once per vocabulary, not per plan  # noqa: B018
    try:
        measured: list[tuple[str, Cost]] = [("measured", load_cost())]
    except LookupError:
        measured = []
    paper = [(f"paper, {form}", PaperCost(1e-4, 1e-9, form=form)) for form in ("last", "first", "expected")]
    rows = []
    for name, cost in [*measured, *paper]:
        for n_tails, align in ((5, 1), (5, 8), (2, 1), (None, 1)):
            if n_tails is None and name != "measured":
                continue
            times = []
            # the constant of the expected form breaks the quadrangle inequality: its search is exact but slower
            for _ in range(1 if name == "paper, expected" else rounds):
                started = time.perf_counter()
                found = plan(vocabulary, 512, 2560, cost=cost, n_tails=n_tails, align=align)
                times.append(time.perf_counter() - started)
            tracemalloc.start()
            plan(vocabulary, 512, 2560, cost=cost, n_tails=n_tails, align=align)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            rows.append(
                {
                    "cost": name,
                    "V": vocabulary.n_classes,
                    "J": "0-5" if n_tails is None else n_tails,
                    "align": align,
                    "ms": float(np.median(times)) * 1e3,
                    "peak MB": peak / 1e6,
                    "cutoffs": list(found.cutoffs),
                }
            )
    say(table(rows, ["cost", "V", "J", "align", "ms", "peak MB", "cutoffs"]))
    return {"bench": "plan", **provenance(), "rows": rows}


#: The authors' cutoffs for vocabularies of some ten thousand words.
AUTHORS = (2_000, 10_000)
#: Floors of the curve of step time against head share.
FLOORS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))


def authors_cutoffs_of(vocabulary: Vocabulary) -> tuple[int, ...]:
    """Those of the authors' cutoffs that leave words for a tail. Raises ValueError for a vocabulary with none."""
    fitting = tuple(cutoff for cutoff in AUTHORS if cutoff < vocabulary.n_classes)
    if not fitting:
        raise ValueError(
            f"{vocabulary.name} should have more than {AUTHORS[0]:,} words, where the authors cut first, "
            f"got V = {vocabulary.n_classes:,}"
        )
    return fitting


def bench_cutoffs(
    vocabulary: Vocabulary,
    *,
    in_features: int = 512,
    batch: int = 2560,
    device: str = "cpu",
    rounds: int = 9,
    say: Say = print,
) -> Row:
    """Planned cutoffs against the authors' 2000, 10000 at the same head share; and step time against head share.

    All layers take turns; forward + backward. Of a vocabulary of at most 10,000 words the authors' cutoff is 2000;
    raises ValueError for one of at most 2,000.
    """
    from ..timing import interleave
    from ..workloads import Shape, layer_steps

    authors = authors_cutoffs_of(vocabulary)
    cost = load_cost(device)
    n, d = vocabulary.n_classes, in_features
    share = vocabulary.share_of_first(authors[0])
    made = {
        f"planned, J = {j or 'best'}": plan(vocabulary, d, batch, cost=cost, n_tails=j, min_head_share=share)
        for j in (len(authors), None)
    }
    curve = {f"floor {floor:.2f}": plan(vocabulary, d, batch, cost=cost, min_head_share=floor) for floor in FLOORS}
    shapes = {"authors": Shape(n, d, batch, authors, tuple(default_widths(d, len(authors))))}
    for name, found in {**made, **curve}.items():
        if found.n_tails:
            shapes[name] = Shape(n, d, batch, found.cutoffs, found.widths)
    steps = {name: layer_steps(shape, device, shares=vocabulary.shares) for name, shape in shapes.items()}
    # the comparison by itself and longer: its differences are small
    first = {name: step for name, step in steps.items() if not name.startswith("floor")}
    timings = interleave(first, device=device, rounds=3 * rounds)
    timings |= interleave(
        {name: step for name, step in steps.items() if name not in first}, device=device, rounds=rounds
    )
    rows = []
    for name, shape in shapes.items():
        shares = np.diff(vocabulary.cumulative[[0, *shape.cutoffs, n]]).tolist()
        predicted = cost.layer(n, shape.cutoffs, shape.widths, shares[1:], d, batch).seconds
        timing = timings[name]
        rows.append(
            {
                "which": name,
                "cutoffs": list(shape.cutoffs),
                "widths": list(shape.widths),
                "head share": shares[0],
                "mean width": float(np.dot([d, *shape.widths], shares)),
                "ms": timing.median * 1e3,
                "q1": timing.q1 * 1e3,
                "q3": timing.q3 * 1e3,
                "of authors": timing.median / timings["authors"].median,
                "predicted ms": predicted * 1e3,
            }
        )
    say(f"\n{vocabulary.name}: V = {n:,}, d = {d}, B = {batch}; cost model: {cost.name}")
    columns = ["which", "cutoffs", "head share", "mean width", "ms", "q1", "q3", "of authors", "predicted ms"]
    say(table(rows, columns))
    return {"vocabulary": vocabulary.name, "V": n, "d": d, "B": batch, "cost": cost.name, "rows": rows}
