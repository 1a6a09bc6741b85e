"""The fit of a cost model finds the model that made the times."""

from __future__ import annotations

import pytest

from adasoft import calibration as M
from adasoft.cost import MeasuredCost
from adasoft.fit import fit, predict


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
