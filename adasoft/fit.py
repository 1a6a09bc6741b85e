"""The fit of a cost model to timed samples, and what it predicts for each of them.

A sample is a kind and the numbers that make its shape. The kinds: ``"product"``, ``"head"`` (a product of decoding that
is normalised and searched), ``"projection"``, ``"rows"``, ``"layer"`` and ``"full"``. Of the device's fastest product
and its fastest pass over weights (`RATES`) only the rates count: they bound the fit.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from .cost import (
    OBJECTIVES,
    PASSES,
    TERMS,
    MeasuredCost,
    Opened,
    is_searched,
    product_terms,
    projection_terms,
    rows_terms,
    search_terms,
    vector_terms,
)
from .tuning import BOUND_ROWS
from .workloads import Shape

#: What a device's fastest bare products show: seconds per multiply-add, and per byte of weights that are read. Both
#: are products of n rows, k words and d features, without softmax: the first of many rows, the second of one.
RATES: dict[str, Callable[[Any, int], float]] = {
    "arithmetic": lambda shape, itemsize: float(shape[0]) * shape[1] * shape[2],
    "traffic": lambda shape, itemsize: float(itemsize) * shape[1] * shape[2],
}


def rates(samples: Sequence[tuple[str, str, Any, float]], itemsize: int) -> dict[str, float]:
    """Seconds per multiply-add and per byte in the fastest of the samples (objective, kind, shape, seconds).

    Of the arithmetic, a product with its softmax may be the fastest too. No rate is known without a bare product.
    """
    out: dict[str, float] = {}
    for _, kind, shape, seconds in samples:
        if kind in RATES:
            out[kind] = min(out.get(kind, math.inf), seconds / RATES[kind](shape, itemsize))
    for objective, kind, shape, seconds in samples:
        if kind in ("product", "head") and "arithmetic" in out:
            per_pass = seconds / PASSES[objective]
            out["arithmetic"] = min(out["arithmetic"], per_pass / RATES["arithmetic"](shape, itemsize))
    return out


def predict(cost: MeasuredCost, kind: str, shape: Any, objective: Any = "train") -> float:
    """Predicted seconds of one sample of a record: ``kind`` and ``shape`` as stored there.

    A bare product (`RATES`) takes what the fastest one shows.
    """
    if kind in RATES:
        return RATES[kind](shape, cost.itemsize) * float((cost.record or {})["rates"][kind])
    if kind == "product":
        n, k, d = shape
        return float(cost.product_time(k, n, d, objective))
    if kind == "head":
        n, k, d = shape
        return float(cost.head_time(k, 0, n, d, objective))
    if kind == "projection":
        n, d, width = shape
        return float(cost.projection_time(n, d, width, objective))
    if kind == "rows":
        n, d = shape
        return float(cost.rows_time(n, d, objective))
    shape = Shape(*shape)
    if kind == "full":
        return cost.full_time(shape.n_classes, shape.batch, shape.in_features, objective)
    n, d, batch = shape.n_classes, shape.in_features, shape.batch
    if not shape.opened:
        return cost.layer(n, shape.cutoffs, shape.widths, shape.tail_shares(), d, batch, objective).seconds
    sizes = np.diff([*shape.cutoffs, n])
    tails = [
        float(cost.decoded_tail(size, batch, d, width, _opened(shape, i, cost.on_gpu)))
        for i, (size, width) in enumerate(zip(sizes, shape.widths, strict=True))
    ]
    calls = float(cost.rows_time(batch, d, objective))
    return calls + float(cost.head_time(shape.cutoffs[0], len(tails), batch, d, objective)) + sum(tails)


def _opened(shape: Shape, i: int, on_gpu: bool) -> Opened | None:
    """Of a batch that was timed it is known whether any of its rows opens a tail, and how many do."""
    if not is_searched(shape.n_classes, shape.batch, on_gpu):
        return None
    return float(shape.opened[i] > 0), shape.opened[i] * shape.batch


def _terms(
    kind: str, shape: Any, objective: str, itemsize: int, flat: float, active: Callable[[Any], bool], on_gpu: bool
) -> tuple[Any, float]:
    """One row of the fit: the terms of all kinds, and the seconds of products that sit on the flat part."""
    sizes = [len(terms) for terms in TERMS.values()]
    row = np.zeros(sum(sizes))
    decoding = objective == "decode"
    start = dict(zip(TERMS, np.cumsum([0, *sizes]).tolist(), strict=False))
    fixed = 0.0

    def add(part: str, values: Any) -> None:
        row[start[part] : start[part] + len(TERMS[part])] += np.asarray(values, dtype=np.float64)

    def product(n: float, k: float, d: float, normalised: str = "") -> None:
        nonlocal fixed
        if decoding and n == 1:
            add("vector", vector_terms(k, d, k if normalised else 0))
            return
        terms = product_terms(k, n, d, itemsize)
        if active(terms):
            add("product", terms)
        else:
            fixed += flat
        if normalised:
            add(normalised, [float(n) * k])

    head = partial(product, normalised="head") if decoding else product

    if kind == "product":
        product(*shape)
    elif kind == "head":
        head(*shape)
    elif kind == "projection":
        add("projection", projection_terms(*shape))
    elif kind == "rows":
        add("rows", rows_terms(*shape))
    elif kind == "full":
        product(shape.batch, shape.n_classes, shape.in_features, "full")
    else:
        add("rows", rows_terms(shape.batch, shape.in_features))
        whole, *tails = shape.products()
        head(*whole)
        for i, ((n, width, d), output) in enumerate(zip(tails[::2], tails[1::2], strict=True)):
            if shape.opened:  # decoding, as in `MeasuredCost.decoded_tail`
                n, size, opened = shape.batch, output[1], _opened(shape, i, on_gpu)
                if opened is None:
                    head(n, size, width)
                else:
                    if opened[0]:
                        product(opened[1], size, width)
                    add("search", search_terms(size, n, width, on_gpu or n >= BOUND_ROWS))
            else:
                product(*output)
            add("projection", projection_terms(n, d, width))
    return row, fixed


def fit(
    samples: list[tuple[str, Any, float]],
    itemsize: int,
    least: Mapping[str, Sequence[float]] | None = None,
    objective: str = "train",
    on_gpu: bool = False,
) -> tuple[dict[str, list[float]], float]:
    """Least squares of relative errors, parts and layers together; outliers weigh less. No coefficient falls below 0,
    nor below ``least``, which :func:`adasoft.cost.lower_bounds` makes of the device's rates.

    The flat part of the products is the time of the smallest one. Which products sit on it depends on the
    coefficients and the other way round, so both are found in turn.
    """
    from scipy.optimize import nnls

    products = [(shape, seconds) for kind, shape, seconds in samples if kind == "product"]
    flat = min(seconds for shape, seconds in products if objective == "train" or shape[0] > 1)
    seconds = np.array([s for *_, s in samples])
    # a layer is what is asked for in the end: its error counts more than a part's
    importance = np.array([3.0 if kind in ("layer", "full") else 1.0 for kind, *_ in samples])
    sizes = [len(terms) for terms in TERMS.values()]
    lowest = np.concatenate([least[kind] if least else np.zeros(len(terms)) for kind, terms in TERMS.items()])
    found = None
    weight = np.ones(len(samples))
    for _ in range(12):
        kept = found

        def active(terms: Any, kept: Any = kept) -> bool:
            return kept is None or float(np.dot(kept[: sizes[0]], np.asarray(terms, dtype=np.float64))) > flat

        rows, fixed = zip(
            *(_terms(kind, shape, objective, itemsize, flat, active, on_gpu) for kind, shape, _ in samples), strict=True
        )
        matrix, target = np.stack(rows) / seconds[:, None], 1 - np.array(fixed) / seconds
        scale = np.maximum(np.abs(matrix).max(0), 1e-300)
        row_weight = (importance * weight)[:, None]
        solution, _ = nnls(matrix / scale * row_weight, (target - matrix @ lowest) * row_weight[:, 0])
        found = lowest + solution / scale
        error = np.abs(matrix @ found - target)
        weight = 1 / np.sqrt(np.maximum(error, 0.03))  # towards the least absolute error
        weight /= weight.mean()
    assert found is not None
    edges = np.cumsum([0, *sizes])
    return {kind: found[a:b].tolist() for kind, a, b in zip(TERMS, edges, edges[1:], strict=False)}, flat


def errors_of(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Median size and largest size of the relative errors in a record's samples, and their median with its sign."""
    out = {}
    names = {"check": "layers, not fitted", "full": "full softmaxes, fitted"}
    for kind, objective in itertools.product(("product", "head", "layer", "check", "full"), OBJECTIVES):
        errors = [r["predicted"] / r["median"] - 1 for r in rows if (r["objective"], r["kind"]) == (objective, kind)]
        if errors:
            out[f"{objective} {names.get(kind, f'{kind}s, fitted')}"] = summary_of(errors)
    return out


def summary_of(errors: Sequence[float]) -> dict[str, float]:
    """Relative errors in four numbers: median and largest size, the median with its sign, how many."""
    sizes = np.abs(np.asarray(errors, dtype=np.float64))
    return {
        "median": float(np.median(sizes)),
        "largest": float(sizes.max()),
        "signed": float(np.median(errors)),
        "n": len(errors),
    }
