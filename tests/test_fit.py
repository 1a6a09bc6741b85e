"""The fit of a cost model finds the model that made the times."""

from __future__ import annotations

import pytest

from adasoft import calibration as M
from adasoft.cost import TERMS, MeasuredCost, lower_bounds
from adasoft.fit import fit, predict, rates
from adasoft.workloads import Shape


@pytest.mark.parametrize("level", [1e-4, 1e-2], ids=["flat part low", "many products on it"])
def test_the_fit_finds_the_model_that_made_the_times(level):
    truth = {
        "product": [3e-5, 4e-11, 3e-9, 2e-9, 5e-9, 1e-9],
        "projection": [2e-5, 5e-11, 1e-9, 2e-9],
        "rows": [1e-4, 2e-7, 1e-9],
    }
    cost = MeasuredCost({"train": truth, "decode": truth}, {"train": level, "decode": level})
    import random

    draw = random.Random(0)
    samples = [("product", s) for s in [(1, 64, 16), *M._products(draw, 40, 1.5e9)]]
    samples += [("projection", (n, d, w)) for n in (10, 500, 2000) for d in (128, 1024) for w in (8, 64)]
    samples += [("rows", (n, d)) for n in (64, 1024, 4096) for d in (128, 512)]
    samples += [("layer", s) for s in M.draw_layers(8, 3, parameters=1e7)]
    timed = [(kind, shape, predict(cost, kind, shape)) for kind, shape in samples]
    found, flat = fit(timed, 4)
    assert flat == pytest.approx(level)
    again = MeasuredCost({"train": found, "decode": found}, {"train": flat, "decode": flat})
    for shape in M.draw_layers(12, 99):
        assert predict(again, "layer", shape) == pytest.approx(predict(cost, "layer", shape), rel=0.01)


def test_a_timed_batch_tells_whether_any_row_opened_a_tail():
    """One row of 16 did: the tail's words are computed for it, for certain. A fit of the exact times finds them."""
    product, search = [3e-5, 4e-11, 3e-9, 2e-9, 5e-9, 0.0], [1e-4, 1e-6, 0.0, 0.0]
    decode = {"product": product, "projection": [2e-5, 0, 0, 0], "rows": [1e-4, 0, 0], "search": search, "head": [2e-9]}
    cost = MeasuredCost({"train": decode, "decode": decode}, {"train": 0.0, "decode": 0.0})
    shape = Shape(50_000, 64, 16, (1000, 9000), (16, 8), (1 / 16, 0.0))
    beside = cost.rows_time(16, 64, "decode") + cost.head_time(1000, 2, 16, 64, "decode")
    opened = cost.product_time(8000, 1, 16, "decode")
    tests = 2 * (1e-4 + 1.6e-5 + 2e-5)
    assert predict(cost, "layer", shape, "decode") == pytest.approx(beside + opened + tests)
    few = shape._replace(batch=1, opened=(1.0, 1.0))  # all words are computed, and normalised
    words = [cost.product_time(k, 1, w, "decode") + 2e-9 * k + 2e-5 for k, w in ((8000, 16), (41_000, 8))]
    beside = cost.rows_time(1, 64, "decode") + cost.head_time(1000, 2, 1, 64, "decode")
    assert predict(cost, "layer", few, "decode") == pytest.approx(beside + sum(words))


def test_the_fit_does_not_fall_below_the_fastest_sample():
    """Products that only start-up time decides say nothing of arithmetic: without a bound its coefficient is 0."""
    samples = [("product", (n, k, 64), 1e-3 + 1e-9 * n) for n in (1, 10, 100) for k in (64, 640)]
    samples += [("projection", (n, 64, 8), 1e-4) for n in (1, 10)] + [("rows", (n, 64), 1e-4) for n in (1, 10)]
    free, _ = fit(samples, 4)
    assert free["product"][TERMS["product"].index("n k d")] == 0
    fastest = rates(
        [("decode", "arithmetic", (1000, 1000, 1000), 0.1), ("decode", "traffic", (1, 1000, 1000), 4e-5)], 4
    )
    assert fastest == pytest.approx({"arithmetic": 1e-10, "traffic": 1e-11})
    bounded, _ = fit(samples, 4, lower_bounds(fastest["arithmetic"], fastest["traffic"], 4, "train"))
    assert bounded["product"] == pytest.approx(
        [max(f, least) for f, least in zip(bounded["product"], [0, 3e-10, 0, 1.2e-10, 0, 0], strict=True)]
    )
    # a product with its softmax may be faster than the bare one; three passes make a training step
    quick = rates([("decode", "arithmetic", (10, 10, 10), 1.0), ("train", "product", (10, 10, 10), 0.3)], 4)
    assert quick["arithmetic"] == pytest.approx(0.3 / 3 / 1000)
