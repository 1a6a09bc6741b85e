"""Benchmarks: `python -m adasoft bench plan|cost|layer`. Each returns rows for a table and a record for a JSON file."""

from __future__ import annotations

import datetime
import json
import random
import time
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import __version__
from .cost import Cost, MeasuredCost, PaperCost, load_cost, write_whole
from .partition import default_widths, plan
from .vocabulary import Vocabulary

Row = dict[str, Any]
Say = Callable[[str], None]


def table(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """Rows as text, columns aligned."""
    cells = [list(columns)] + [[_text(row.get(column, "")) for column in columns] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def provenance(device: str | None = None) -> Row:
    """Where and with what a benchmark ran."""
    out: Row = {
        "adasoft": __version__,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }
    out["numpy"] = np.__version__
    if device is not None:
        import torch

        from .machine import describe

        out |= {"torch": torch.__version__, "threads": torch.get_num_threads(), "device": describe(device)}
    return out


def bench_plan(*, say: Say = print, repeats: int = 5) -> Row:
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
            for _ in range(1 if name == "paper, expected" else repeats):
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


def bench_cost(
    *, device: str = "cpu", layers: int = 24, rounds: int = 7, seed: int = 2026, say: Say = print, regret: bool = True
) -> Row:
    """Predicted against measured times of layers that no fit has seen; and the regret of planned cutoffs."""
    from .machine import draw_layers, interleave, layer_steps, predict

    cost = load_cost(device)
    say(f"cost model: {cost.name}")
    rows = []
    shapes = draw_layers(layers, seed, operations=2e11, parameters=6e7)
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
    out = {"bench": "cost", **provenance(device), "cost": cost.name, "rows": rows, "summary": summary}
    if regret:
        out["regret"] = [bench_regret(cost, device=device, say=say, **case) for case in REGRET_CASES]
    return out


REGRET_CASES: list[Row] = [
    {"language": "en", "in_features": 512, "batch": 2560},
    {"language": "de", "in_features": 256, "batch": 1280},
]


def bench_regret(
    cost: MeasuredCost,
    *,
    language: str = "en",
    in_features: int = 512,
    batch: int = 2560,
    floor: float = 0.75,
    device: str = "cpu",
    seed: int = 0,
    say: Say = print,
) -> Row:
    """How much slower than the best of 31 measured partitions the planned one is.

    Thirty other partitions with the plan's number of tails and the same floor: 15 around the plan, each cutoff times
    0.5 to 2, and 15 log-uniform. All are timed in turns; the best five of them are timed again, in turns with
    the plan, and only those timings count (the best of 31 noisy ones would flatter itself).
    """
    from .machine import Shape, interleave, layer_steps

    vocabulary = Vocabulary.from_wordfreq(language)
    made = plan(vocabulary, in_features, batch, cost=cost, min_head_share=floor)
    n, j = made.n_classes, made.n_tails
    if not j:
        raise ValueError(f"the plan for {language!r} has no tails: nothing to compare")
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


LAYERS = ((44_000, (2_000, 10_000)), (267_735, (20_000, 40_000, 200_000)))


def bench_layer(
    *, device: str = "cpu", dtype: str = "float32", rounds: int = 9, full: bool = True, say: Say = print
) -> Row:
    """Full softmax, PyTorch's layer, ours and the bare matrix products: forward + backward, in turns."""
    import torch

    from .machine import FullSoftmax, Shape, bare_products, interleave, layer_steps, ours, stock

    kind = getattr(torch, dtype)
    results = []
    for n_classes, cutoffs in LAYERS:
        d, batch = 512, 2560
        shape = Shape(n_classes, d, batch, cutoffs, tuple(d // 4 ** (i + 1) for i in range(len(cutoffs))))
        rows = [share * batch for share in shape.tail_shares()]
        items = {
            "stock": layer_steps(shape, device, kind, make=stock),
            "ours": layer_steps(shape, device, kind, make=ours),
            "bare products": [bare_products(shape, rows, device, kind)],
        }
        turns = dict.fromkeys(items, rounds)
        if full:
            items["full softmax"] = layer_steps(shape, device, kind, make=FullSoftmax, sets=1)
            turns["full softmax"] = 3 if device == "cpu" else rounds
        timings = interleave(items, device=device, rounds=turns)
        for name, timing in timings.items():
            results.append(
                {
                    "V": n_classes,
                    "cutoffs": list(cutoffs),
                    "d": d,
                    "B": batch,
                    "what": name,
                    "ms": timing.median * 1e3,
                    "q1": timing.q1 * 1e3,
                    "q3": timing.q3 * 1e3,
                    "runs": timing.n,
                    "of stock": timing.median / timings["stock"].median,
                    "of bare": timing.median / timings["bare products"].median,
                }
            )
        del items
    say(table(results, ["V", "cutoffs", "what", "ms", "q1", "q3", "runs", "of stock", "of bare"]))
    return {"bench": "layer", **provenance(device), "dtype": dtype, "rows": results}


def save(record: Row, path: str) -> None:
    """Write a benchmark's record, whole or not at all."""
    write_whole(path, json.dumps(record, indent=1) + "\n")
