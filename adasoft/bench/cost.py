"""`bench cost`: predicted against measured times, and the regret of planned cutoffs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..cost import MeasuredCost
from ..planning import default_widths, plan
from ..records import load_cost
from ..text import Row, Say, table
from ..vocabulary import Vocabulary
from .common import provenance

if TYPE_CHECKING:
    from ..workloads import Shape


def bench_cost(
    *,
    device: str = "cpu",
    shapes: Sequence[Shape] | None = None,
    cases: Sequence[Row] | None = None,
    rounds: int = 7,
    say: Say = print,
) -> Row:
    """Predicted against measured times of layers that no fit has seen; and the regret of planned cutoffs.

    ``shapes``: the layers, 24 drawn ones by default; ``cases``: arguments of `bench_regret`, `REGRET_CASES` by default.
    """
    from ..calibration import draw_layers
    from ..fit import predict
    from ..timing import interleave
    from ..workloads import layer_steps

    cost = load_cost(device)
    say(f"cost model: {cost.name}")
    rows = []
    shapes = draw_layers(24, 2026, operations=2e11, parameters=6e7) if shapes is None else shapes
    # a few at a time: they take turns among themselves, and memory stays bounded
    for start in range(0, len(shapes), 6):
        batch = shapes[start : start + 6]
        items = {str(shape): layer_steps(shape, device) for shape in batch}
        timings = interleave(items, device=device, rounds=rounds)
        for shape in batch:
            timing, predicted = timings[str(shape)], predict(cost, "layer", shape)
            rows.append(
                {
                    "V": shape.n_classes,
                    "d": shape.in_features,
                    "B": shape.batch,
                    "J": len(shape.cutoffs),
                    "cutoffs": list(shape.cutoffs),
                    "measured ms": timing.median * 1e3,
                    "q1": timing.q1 * 1e3,
                    "q3": timing.q3 * 1e3,
                    "predicted ms": predicted * 1e3,
                    "error": predicted / timing.median - 1,
                }
            )
    say(table(rows, ["V", "d", "B", "J", "cutoffs", "measured ms", "q1", "q3", "predicted ms", "error"]))
    errors = np.abs(np.array([row["error"] for row in rows], dtype=np.float64))
    summary: Row = {"median error": float(np.median(errors)), "largest error": float(errors.max()), "layers": len(rows)}
    say(f"median error {np.median(errors):.1%}, largest {errors.max():.1%} over {len(rows)} layers")
    out = {"bench": "cost", **provenance(device), "cost": cost.name, "rows": rows, "summary": summary, "regret": []}
    for case in REGRET_CASES if cases is None else cases:
        try:
            out["regret"].append(bench_regret(cost, device=device, say=say, **case))
        except (ImportError, ValueError) as error:  # what was measured before stays
            say(f"\nregret, {case['words']}: left out, {error}")
    return out


REGRET_CASES: list[Row] = [
    {"words": "en", "in_features": 512, "batch": 2560},
    {"words": "de", "in_features": 256, "batch": 1280},
]


def tiny_cost() -> dict[str, Any]:
    """Arguments with which `bench_cost` takes a moment: to see that it works."""
    from ..workloads import Shape

    shapes = [Shape(900, 64, 64, (90,), (16,)), Shape(800, 32, 64, (80, 300), (8, 8))]
    return {"shapes": shapes, "cases": [{"words": Vocabulary.synthetic(2000), "in_features": 256, "batch": 300}]}


def bench_regret(
    cost: MeasuredCost,
    *,
    words: str | Vocabulary = "en",
    in_features: int = 512,
    batch: int = 2560,
    floor: float = 0.75,
    device: str = "cpu",
    seed: int = 0,
    say: Say = print,
) -> Row:
    """How much slower than the best of 31 measured partitions the planned one is, for a vocabulary or a language.

    Thirty other partitions with the plan's number of tails and the same floor: 15 around the plan, each cutoff times
    0.5 to 2, and 15 log-uniform. All are timed in turns; the best five of them are timed again, in turns with
    the plan, and only those timings count (the best of 31 noisy ones would flatter itself).
    """
    from ..timing import interleave
    from ..workloads import Shape, layer_steps

    vocabulary = words if isinstance(words, Vocabulary) else Vocabulary.from_wordfreq(words)
    made = plan(vocabulary, in_features, batch, cost=cost, min_head_share=floor)
    n, j = made.n_classes, made.n_tails
    if not j:
        raise ValueError(f"words should be enough for a plan with tails, got {vocabulary.name}: nothing to compare")
    first, draw = vocabulary.words_for_share(floor), random.Random(seed)
    others: list[tuple[int, ...]] = []
    while len(others) < 30:
        if len(others) < 15:
            cut = sorted(round(c * 2 ** draw.uniform(-1, 1)) for c in made.cutoffs)
        else:
            cut = sorted(round(first * (n / first) ** draw.random()) for _ in range(j))
        cut[0] = max(cut[0], first)
        legal = all(a < b for a, b in zip(cut, [*cut[1:], n], strict=True))
        if legal and tuple(cut) != made.cutoffs and tuple(cut) not in others:
            others.append(tuple(cut))
    widths = tuple(default_widths(in_features, j))

    def steps(cutoffs: tuple[int, ...]) -> Any:
        return layer_steps(Shape(n, in_features, batch, cutoffs, widths), device, shares=vocabulary.shares)

    def predicted(cutoffs: tuple[int, ...]) -> float:
        shares = np.diff(vocabulary.cumulative[[*cutoffs, n]]).tolist()
        return cost.layer(n, cutoffs, widths, shares, in_features, batch).seconds

    screened = interleave({str(c): steps(c) for c in [made.cutoffs, *others]}, device=device, rounds=3)
    best = sorted(others, key=lambda c: screened[str(c)].median)[:5]
    again = interleave({str(c): steps(c) for c in [made.cutoffs, *best]}, device=device, rounds=15)
    rows = [
        {
            "cutoffs": list(c),
            "which": "plan" if c == made.cutoffs else "other",
            "first ms": screened[str(c)].median * 1e3,
            "again ms": again[str(c)].median * 1e3,
            "q1": again[str(c)].q1 * 1e3,
            "q3": again[str(c)].q3 * 1e3,
            "predicted ms": predicted(c) * 1e3,
        }
        for c in [made.cutoffs, *best]
    ]
    regret = again[str(made.cutoffs)].median / min(again[str(c)].median for c in best)
    say(f"\nregret, {vocabulary.name}: V = {n:,}, d = {in_features}, B = {batch}, floor {floor}, J = {j}")
    say(table(rows, ["which", "cutoffs", "first ms", "again ms", "q1", "q3", "predicted ms"]))
    say(f"plan over the best of five re-timed: {regret:.3f}")
    screen = [
        {"cutoffs": list(c), "ms": screened[str(c)].median * 1e3, "predicted ms": predicted(c) * 1e3} for c in others
    ]
    return {
        "vocabulary": vocabulary.name,
        "V": n,
        "d": in_features,
        "B": batch,
        "floor": floor,
        "J": j,
        "regret": regret,
        "rows": rows,
        "screened": screen,
    }
