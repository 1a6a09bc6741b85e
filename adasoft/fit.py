"""The fit of a cost model to timed samples, and what it predicts for each of them.

A sample is a kind, ``"product"``, ``"projection"``, ``"rows"`` or ``"layer"``, and the numbers that make its shape.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .cost import TERMS, MeasuredCost, product_terms, projection_terms, rows_terms
from .workloads import Shape


def predict(cost: MeasuredCost, kind: str, shape: Any, objective: Any = "train") -> float:
    """Predicted seconds of one sample of a record: ``kind`` and ``shape`` as stored there."""
    if kind == "product":
        n, k, d = shape
        return float(cost.product_time(k, n, d, objective))
    if kind == "projection":
        n, d, width = shape
        return float(cost.projection_time(n, d, width, objective))
    if kind == "rows":
        n, d = shape
        return float(cost.rows_time(n, d, objective))
    shape = Shape(*shape)
    layer = cost.layer(
        shape.n_classes, shape.cutoffs, shape.widths, shape.tail_shares(), shape.in_features, shape.batch, objective
    )
    return layer.seconds


def _terms(kind: str, shape: Any, itemsize: int, flat: float, active: Callable[[Any], bool]) -> tuple[Any, float]:
    """One row of the fit: the terms of all kinds, and the seconds of products that sit on the flat part."""
    sizes = [len(terms) for terms in TERMS.values()]
    row = np.zeros(sum(sizes))
    start = dict(zip(TERMS, np.cumsum([0, *sizes]).tolist(), strict=False))
    fixed = 0.0

    def add(part: str, values: Any) -> None:
        row[start[part] : start[part] + len(TERMS[part])] += np.asarray(values, dtype=np.float64)

    def product(n: float, k: float, d: float) -> None:
        nonlocal fixed
        terms = product_terms(k, n, d, itemsize)
        if active(terms):
            add("product", terms)
        else:
            fixed += flat

    if kind == "product":
        n, k, d = shape
        product(n, k, d)
    elif kind == "projection":
        add("projection", projection_terms(*shape))
    elif kind == "rows":
        add("rows", rows_terms(*shape))
    else:
        add("rows", rows_terms(shape.batch, shape.in_features))
        head, *tails = shape.products()
        product(*head)
        for (n, width, d), output in zip(tails[::2], tails[1::2], strict=True):
            product(*output)
            add("projection", projection_terms(n, d, width))
    return row, fixed


def fit(samples: list[tuple[str, Any, float]], itemsize: int) -> tuple[dict[str, list[float]], float]:
    """Non-negative least squares of relative errors, parts and layers together; outliers weigh less.

    The flat part of the products is the time of the smallest one. Which products sit on it depends on the
    coefficients and the other way round, so both are found in turn.
    """
    from scipy.optimize import nnls

    flat = min(seconds for kind, _, seconds in samples if kind == "product")
    seconds = np.array([s for *_, s in samples])
    # a layer is what is asked for in the end: its error counts more than a part's
    importance = np.array([3.0 if kind == "layer" else 1.0 for kind, *_ in samples])
    sizes = [len(terms) for terms in TERMS.values()]
    found = None
    weight = np.ones(len(samples))
    for _ in range(12):
        kept = found

        def active(terms: Any, kept: Any = kept) -> bool:
            return kept is None or float(np.dot(kept[: sizes[0]], np.asarray(terms, dtype=np.float64))) > flat

        rows, fixed = zip(*(_terms(kind, shape, itemsize, flat, active) for kind, shape, _ in samples), strict=True)
        matrix, target = np.stack(rows) / seconds[:, None], 1 - np.array(fixed) / seconds
        scale = np.maximum(np.abs(matrix).max(0), 1e-300)
        row_weight = (importance * weight)[:, None]
        solution, _ = nnls(matrix / scale * row_weight, target * row_weight[:, 0])
        found = solution / scale
        error = np.abs(matrix @ found - target)
        weight = 1 / np.sqrt(np.maximum(error, 0.03))  # towards the least absolute error
        weight /= weight.mean()
    assert found is not None
    edges = np.cumsum([0, *sizes])
    return {kind: found[a:b].tolist() for kind, a, b in zip(TERMS, edges, edges[1:], strict=False)}, flat


def errors_of(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Median and largest relative error of the predictions in a record's samples, for each kind of them."""
    out = {}
    for key in ("train product", "decode product", "train layer", "train check"):
        objective, kind = key.split()
        errors = [
            abs(r["predicted"] / r["median"] - 1) for r in rows if (r["objective"], r["kind"]) == (objective, kind)
        ]
        name = {"layer": "train layers, fitted", "check": "train layers, not fitted"}.get(kind, f"{key}s, fitted")
        out[name] = {"median": float(np.median(errors)), "largest": float(max(errors)), "n": len(errors)}
    return out
