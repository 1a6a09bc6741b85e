"""`bench cost`: predicted against measured times, and the regret of planned cutoffs."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..cost import MeasuredCost
from ..fit import summary_of
from ..planning import default_widths, plan
from ..records import load_cost
from ..text import Row, Say, table
from ..vocabulary import Vocabulary
from .common import provenance

if TYPE_CHECKING:
    import torch

    from ..timing import Step, Timing
    from ..workloads import Shape


#: V, d and B of full softmaxes.
FULL = [(50_000, 128, 512), (50_000, 512, 256), (100_000, 256, 256), (200_000, 128, 256), (300_000, 256, 128)]
#: Rows for which the best words are found.
DECODED = (1, 256)
#: What a layer's parts take one after the other, and its bare matrix products.
_PARTS, _PRODUCTS = "parts ms", "products ms"
#: How many samples of the record are timed again beside each few of what is checked.
_REFERENCES = 8
_COLUMNS = ["what", "V", "d", "B", "J", "measured ms", "q1", "q3", "predicted ms", "error", "model's error"]


class _Check(NamedTuple):
    """One thing to time: what it is called in the summary, its sizes, its steps, and what is predicted."""

    what: str
    objective: str
    shape: Shape
    steps: list[Step]
    predicted: float
    beside: Mapping[str, Step] = {}
    """Other steps that are timed in the same turns, by the name of their column."""


def bench_cost(
    *,
    device: str = "cpu",
    dtype: str = "float32",
    shapes: Sequence[Shape] | None = None,
    full: Sequence[tuple[int, int, int]] = FULL,
    cases: Sequence[Row] | None = None,
    rounds: int = 7,
    say: Say = print,
) -> Row:
    """Predicted against measured times of layers that no fit has seen, and of full softmaxes; the regret of plans.

    ``shapes``: the layers, 24 drawn ones by default, for training and for finding the 10 best words of `DECODED` rows;
    ``full``: V, d and B of full softmaxes; ``cases``: arguments of `bench_regret`, `REGRET_CASES` by default.

    Samples of the record take turns with what is checked. They tell how fast the machine is now, compared with when the
    record was made; the model's error is what is left when that factor is taken out.
    """
    import torch

    from ..calibration import draw_layers
    from ..workloads import Shape

    cost = load_cost(device, dtype=dtype)
    say(f"cost model: {cost.name}")
    shapes = draw_layers(24, 2026, operations=2e11, parameters=6e7) if shapes is None else shapes
    fulls = [Shape(v, d, b, (), ()) for v, d, b in full]
    rows: list[Row] = []
    speeds: list[float] = []
    # a few at a time: they take turns among themselves, and memory stays bounded
    few_at_a_time = [of_kind[i : i + 6] for of_kind in (shapes, fulls) for i in range(0, len(of_kind), 6)]
    for few, make in itertools.product(few_at_a_time, (_training, _decoding)):
        checks = [check for shape in few for check in make(cost, shape, device, getattr(torch, dtype))]
        speed, timings = _timed(cost, checks, device, getattr(torch, dtype), rounds)
        speeds.append(speed)
        rows += [_row(check, timings, speed) for check in checks]
    say(table(rows, _COLUMNS))
    summary: Row = {"speed": {"median": float(np.median(speeds)), "least": min(speeds), "most": max(speeds)}}
    say(
        f"samples of the record now take {np.median(speeds):.2f} times as long as in it ({min(speeds):.2f} to "
        f"{max(speeds):.2f})"
    )
    lines = []
    for what in dict.fromkeys(row["what"] for row in rows):
        summary[what] = {}
        for name in ("error", "model's error"):
            summary[what][name] = summary_of([row[name] for row in rows if row["what"] == what])
            lines.append({"what": what, "of": name, **summary[what][name]})
    say(table(lines, ["what", "of", "median", "largest", "signed", "n"]))
    for column in (_PARTS, _PRODUCTS):
        shares = [row["measured ms"] / row[column] for row in rows if column in row]
        summary[f"layer over {column.removesuffix(' ms')}"] = float(np.median(shares))
        say(f"a layer takes {np.median(shares):.2f} times as long as its {column.removesuffix(' ms')} (median)")
    out = {"bench": "cost", **provenance(device), "dtype": dtype, "cost": cost.name, "rows": rows, "summary": summary}
    out["regret"] = []
    for case in REGRET_CASES if cases is None else cases:
        try:
            out["regret"].append(bench_regret(cost, device=device, dtype=dtype, say=say, **case))
        except (ImportError, ValueError) as error:  # what was measured before stays
            say(f"\nregret, {case['words']}: left out, {error}")
    return out


def _row(check: _Check, timings: Mapping[str, Timing], speed: float) -> Row:
    shape, timing = check.shape, timings[_name(check.what, check.shape)]
    beside = {column: timings[_name(column, shape)].median * 1e3 for column in check.beside}
    return {
        "what": check.what,
        "V": shape.n_classes,
        "d": shape.in_features,
        "B": shape.batch,
        "J": len(shape.cutoffs),
        "cutoffs": list(shape.cutoffs),
        "measured ms": timing.median * 1e3,
        "q1": timing.q1 * 1e3,
        "q3": timing.q3 * 1e3,
        "predicted ms": check.predicted * 1e3,
        "error": check.predicted / timing.median - 1,
        "speed": speed,
        "model's error": speed * check.predicted / timing.median - 1,
        **beside,
    }


def _training(cost: MeasuredCost, shape: Shape, device: str, dtype: torch.dtype) -> list[_Check]:
    """A training step of a layer, or of a full softmax where there are no cutoffs."""
    import torch

    from ..fit import predict
    from ..workloads import FullSoftmax, Pool, bare_products, layer_steps, ours, parts_step

    if not shape.cutoffs:
        steps = layer_steps(shape, device, dtype, make=FullSoftmax)
        return [_Check("full softmaxes, training", "train", shape, steps, predict(cost, "full", shape))]
    steps = layer_steps(shape, device, dtype, make=ours)
    largest = max(max(n, k) * d for n, k, d in shape.products())
    pool = Pool(2 * math.ceil(largest), torch.device(device), dtype)
    tokens = [share * shape.batch for share in shape.tail_shares()]
    beside = {_PARTS: parts_step(shape, pool), _PRODUCTS: bare_products(shape, tokens, device, dtype)}
    return [_Check("layers, training", "train", shape, steps, predict(cost, "layer", shape), beside)]


def _decoding(cost: MeasuredCost, shape: Shape, device: str, dtype: torch.dtype) -> list[_Check]:
    """The 10 best words of few rows and of many."""
    import torch

    from ..fit import predict
    from ..workloads import FullSoftmax, decode_steps, full_decode_step

    checks = []
    for rows in DECODED:
        asked = shape._replace(batch=rows)
        if shape.cutoffs:
            kind, what = "layer", "layers"
            asked, steps = decode_steps(asked, device, dtype)
        else:
            kind, what = "full", "full softmaxes"
            weight = FullSoftmax(shape).linear.weight.to(device=device, dtype=dtype)
            steps = [full_decode_step(torch.randn(rows, shape.in_features).to(weight), weight)]
        what += f", decoding {rows:,} row{'s' * (rows > 1)}"
        checks.append(_Check(what, "decode", asked, steps, predict(cost, kind, asked, "decode")))
    return checks


def _timed(
    cost: MeasuredCost, checks: Sequence[_Check], device: str, dtype: torch.dtype, rounds: int
) -> tuple[float, dict[str, Timing]]:
    """How many times as long samples of the record take as in it, and what all takes that was timed in turns."""
    import torch

    from ..timing import interleave, steady
    from ..workloads import Pool, Shape, layer_steps, product_step

    objective = checks[0].objective
    samples = (cost.record or {}).get("samples", [])
    # Like is compared with like: what slows large layers down on a busy machine spares small products. Layers that
    # decode would be initialised otherwise than those of the record.
    kinds = ("layer",) if objective == "train" else ("product", "head")
    known = [s for s in samples if s["objective"] == objective and s["kind"] in kinds]
    known.sort(key=lambda sample: float(sample["median"]))
    known = known[len(known) // 3 :]  # the shortest are noise
    known = known[:: max(1, len(known) // _REFERENCES)]
    pool = Pool(1 << 24, torch.device(device), dtype)
    items: dict[str, Sequence[Step]] = {_name(check.what, check.shape): check.steps for check in checks}
    items |= {_name(column, check.shape): [step] for check in checks for column, step in check.beside.items()}
    for sample in known:
        kind, shape = sample["kind"], sample["shape"]
        if kind == "layer":
            items[_name(kind, shape)] = layer_steps(Shape(*shape), device, dtype)
        else:
            n, k, d = shape
            make = partial(product_step, pool, n, k, d, objective, head=kind == "head")
            items[_name(kind, shape)] = [make() for _ in range(2)]
    heard: list[tuple[str, float]] = []
    interleave(items, device=device, rounds=rounds, heard=lambda name, seconds: heard.append((name, seconds)))
    timings = steady(heard)
    speeds = [timings[_name(s["kind"], s["shape"])].median / s["median"] for s in known]
    speed = float(np.median(speeds)) if speeds else 1.0
    return speed, timings


def _name(what: str, shape: Sequence[Any]) -> str:
    return f"{what} {json.dumps(shape)}"


#: Words, hidden sizes and batches of the plans whose regret is measured.
REGRET_CASES: list[Row] = [
    {"words": words, "in_features": d, "batch": batch}
    for words, (d, batch) in itertools.product(("en", "de", "fi", "tr"), ((512, 1280), (256, 1280), (128, 512)))
]


def tiny_cost() -> dict[str, Any]:
    """Arguments with which `bench_cost` takes a moment: to see that it works."""
    from ..workloads import Shape

    shapes = [Shape(900, 64, 64, (90,), (16,)), Shape(800, 32, 64, (80, 300), (8, 8))]
    case = {"words": Vocabulary.synthetic(2000), "in_features": 256, "batch": 300}
    return {"shapes": shapes, "full": [(900, 64, 64)], "cases": [case]}


def bench_regret(
    cost: MeasuredCost,
    *,
    words: str | Vocabulary = "en",
    in_features: int = 512,
    batch: int = 2560,
    floor: float = 0.75,
    device: str = "cpu",
    dtype: str = "float32",
    seed: int = 0,
    say: Say = print,
) -> Row:
    """How much slower than the best of 31 measured partitions the planned one is, for a vocabulary or a language.

    Thirty other partitions with the plan's number of tails and the same floor: 15 around the plan, each cutoff times
    0.5 to 2, and 15 log-uniform. All are timed in turns; the best five of them are timed again, in turns with
    the plan, and only those timings count (the best of 31 noisy ones would flatter itself).
    """
    import torch

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
        shape = Shape(n, in_features, batch, cutoffs, widths)
        return layer_steps(shape, device, getattr(torch, dtype), shares=vocabulary.shares)

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
    say(f"plan over the best of five timed again: {regret:.3f}")
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
