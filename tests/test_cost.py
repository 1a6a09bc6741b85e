"""The cost models: the paper's by hand, monotony and the quadrangle inequality, layers added up."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adasoft import MeasuredCost, PaperCost, Vocabulary
from adasoft import cost as C

drawn = st.floats(0, 1e-3, allow_subnormal=False)


def make(product, projection, rows, flat):
    kinds = {"product": product, "projection": projection, "rows": rows}
    return MeasuredCost({"train": kinds, "decode": kinds}, {"train": flat, "decode": flat}, name="made")


measured = st.builds(
    make,
    st.lists(drawn, min_size=6, max_size=6),
    st.lists(drawn, min_size=4, max_size=4),
    st.lists(drawn, min_size=3, max_size=3),
    st.floats(0, 5.0),
)
paper = st.builds(
    PaperCost,
    drawn,
    st.floats(0, 1e-5),
    k0=st.floats(0, 100),
    batch0=st.floats(0, 100),
    form=st.sampled_from(["last", "first", "expected"]),
)


def test_paper_by_hand():
    g = PaperCost(c=1e-4, lam=1e-9, k0=50, batch0=2560)
    flat = 1e-4 + 1e-9 * 50 * 2560
    assert g.product_time(10, 2560) == pytest.approx(flat)
    assert g.product_time(50, 2560) == pytest.approx(flat)
    assert g.product_time(1000, 2560) == pytest.approx(1e-4 + 1e-9 * 1000 * 2560)
    assert g.product_time(1000, 1) == pytest.approx(flat)
    # general formula, last version: C = g(J + k_h, B) + sum_i g(k_i, p_i B)
    layer = g.layer(10_000, [1000, 4000], [1, 1], [0.2, 0.1], 512, 2560)
    assert layer.seconds == pytest.approx(
        g.product_time(1002, 2560) + g.product_time(3000, 512) + g.product_time(6000, 256)
    )
    assert g.full_time(10_000, 2560, 512) == pytest.approx(1e-4 + 1e-9 * 10_000 * 2560)


def test_the_forms_differ_in_the_constant_as_said():
    """c (2 - p_h) in the first version, (J + 1) c in the last; the expected constant joins them."""
    c, lam, b, sizes, shares = 0.5, 1e-9, 300, (400, 900), (0.2, 0.1)
    head = 120

    def total(form, batch=b):
        g = PaperCost(c, lam, k0=0, form=form)
        return g.layer(head + sum(sizes), [head, head + sizes[0]], [1, 1], list(shares), 8, batch).seconds

    words = lam * b * (2 + head + sum(p * k for p, k in zip(shares, sizes, strict=True)))
    assert total("first") == pytest.approx(c * (2 - 0.7) + words)
    assert total("last") == pytest.approx(3 * c + words)
    q = [1 - (1 - p) ** b for p in shares]
    assert total("expected") == pytest.approx(c * (1 + sum(q)) + words)
    # B = 1 gives the first form, a large B the last
    assert total("expected", 1) == pytest.approx(total("first", 1), rel=1e-9)
    assert total("expected", 10**6) == pytest.approx(total("last", 10**6), rel=1e-9)


@given(cost=st.one_of(measured, paper), data=st.data(), objective=st.sampled_from(["train", "decode"]))
@settings(max_examples=300)
def test_tails_are_monotone_and_satisfy_the_quadrangle_inequality(cost, data, objective):
    """Random quadruples a <= a' <= b <= b' over random counts, the flat part included."""
    counts = np.array(data.draw(st.lists(st.integers(0, 1000), min_size=2, max_size=30).filter(any)))
    mass = np.concatenate([[0], np.sort(counts)[::-1].cumsum()]) / counts.sum()
    a, a2, b, b2 = sorted(data.draw(st.lists(st.integers(0, len(counts)), min_size=4, max_size=4)))
    batch, d, w = data.draw(st.sampled_from([1, 7, 300])), 16, data.draw(st.sampled_from([2, 8, 16]))

    def t(x, y):
        return float(cost.tail_time(y - x, max(mass[y] - mass[x], 0.0), batch, d, w, objective))

    slack = 1e-9 * max(t(a, b2), 1e-12)
    assert t(a2, b) <= t(a, b) + slack and t(a2, b) <= t(a2, b2) + slack and t(a, b) <= t(a, b2) + slack
    if cost.quadrangle:
        assert t(a, b) + t(a2, b2) <= t(a, b2) + t(a2, b) + slack


def test_the_expected_form_breaks_the_quadrangle_inequality():
    """That is why it is not marked, and why the search relies on monotony: a counterexample."""
    cost = PaperCost(1.0, 0.0, k0=0, form="expected")
    assert cost.monotone and not cost.quadrangle

    def t(p):
        return float(cost.tail_time(1, p, 2, 1, 1, "train"))

    # shares of outer left, middle, outer right: 0.4, 0.2, 0.4
    assert t(0.6) + t(0.6) > t(1.0) + t(0.2)


@given(cost=measured)
@settings(max_examples=50)
def test_measured_product_is_the_sum_of_its_terms(cost):
    n, k, d = 37, 411, 24
    terms = C.product_terms(k, n, d, 4)
    assert [float(t) for t in terms[:5]] == [1, n * k * d, n * k, k * d, n * d]
    assert float(cost.product_time(k, n, d)) == pytest.approx(
        max(cost.flat["train"], float(np.dot(cost.coefficients["train"]["product"], [float(t) for t in terms])))
    )
    big = C.product_terms(2**20, 1, 16, 4)
    assert float(big[5]) == 2**24 - 2**23  # what lies beyond 32 MiB of fp32 numbers


def test_memory_in_half_precision_holds_sums_in_fp32():
    cost = PaperCost(1e-4, 1e-9)
    object.__setattr__(cost, "itemsize", 2)
    V, d, B = 1000, 64, 32
    made = cost.layer(V, [], [], [], d, B)
    # bytes: weights; input and its gradient; logits with probabilities in fp32; the weights' gradient in fp32
    assert made.peak_bytes == 2 * V * d + 2 * 2 * B * d + (2 + 4) * B * V + 4 * V * d


def test_memory_on_a_gpu_is_that_of_longer_chunks_without_a_copy():
    V, d, B = 20_000, 64, 8192
    cost = next(C.read_record(p) for p in C.shipped_records() if "cuda" in p.name and "bfloat16" in p.name)
    assert cost.on_gpu and not C.read_record(next(p for p in C.shipped_records() if "cpu" in p.name)).on_gpu
    chunk = 2**27 / V
    assert cost.layer(V, [], [], [], d, B).peak_bytes == pytest.approx(
        2 * V * d + 2 * 2 * B * d + 2 * chunk * V + 4 * V * d
    )
    # what one step of `bench layer --device cuda` was seen to need beyond weights and input
    made = json.loads((C.shipped_records()[0].parents[1] / "results" / "bench-layer-cuda.json").read_text())["full"]
    ours = next(row for row in made if row["what"] == "ours")
    shares = np.diff(Vocabulary.synthetic(ours["V"], shift=2.7).cumulative[[*ours["cutoffs"], ours["V"]]])
    layer = cost.layer(ours["V"], ours["cutoffs"], [256, 64], shares.tolist(), ours["d"], ours["N"])
    held = layer.peak_bytes - 2 * (layer.parameters + ours["N"] * ours["d"])
    assert held / 2**20 == pytest.approx(ours["peak MiB"], rel=0.15)


def test_a_layer_adds_up():
    cost = make([1e-4, 1e-11, 1e-9, 1e-9, 1e-9, 0], [1e-5, 1e-11, 1e-9, 1e-9], [1e-4, 1e-8, 1e-9], 0.0)
    layer = cost.layer(50_000, [2000, 10_000], [128, 32], [0.15, 0.05], 512, 2560)
    assert [(p.cluster, p.part) for p in layer.parts] == [
        ("all", "rows"), ("head", "output"), ("tail 1", "projection"), ("tail 1", "output"),
        ("tail 2", "projection"), ("tail 2", "output"),
    ]  # fmt: skip
    by_hand = (
        cost.rows_time(2560, 512) + cost.product_time(2002, 2560, 512)
        + cost.projection_time(384, 512, 128) + cost.product_time(8000, 384, 128)
        + cost.projection_time(128, 512, 32) + cost.product_time(40_000, 128, 32)
    )  # fmt: skip
    assert layer.seconds == pytest.approx(float(by_hand))
    assert sum(layer.by_cluster().values()) == pytest.approx(layer.seconds)
    assert layer.parameters == 2002 * 512 + 512 * 128 + 8000 * 128 + 512 * 32 + 40_000 * 32
    assert layer.operations == pytest.approx(
        6 * (2560 * 2002 * 512 + 384 * 128 * (512 + 8000) + 128 * 32 * (512 + 40_000))
    )
    decode = cost.layer(50_000, [2000, 10_000], [128, 32], [0.15, 0.05], 512, 2560, "decode")
    assert decode.operations == pytest.approx(2 * 2560 * (2002 * 512 + 128 * (512 + 8000) + 32 * (512 + 40_000)))
    full = cost.layer(50_000, [], [], [], 512, 2560)
    assert full.seconds == pytest.approx(float(cost.product_time(50_000, 2560, 512))) and len(full.parts) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PaperCost(-1, 0), r"^c should be a finite number of at least 0 and at most 1e\+12, got -1$"),
        (lambda: PaperCost(0, float("nan")), r"lam should be a finite number"),
        (lambda: PaperCost(0, 0, form="middle"), r"form should be 'last', 'first' or 'expected', got 'middle'"),
        (lambda: MeasuredCost({"train": {}}, {}), r"'train'..'product'. should hold 6 numbers"),
        (lambda: MeasuredCost({}, {}), r"coefficients should hold a mapping for 'train', got None"),
        (lambda: make([1] * 6, [1] * 4, [1, 1, -1], 0), r"'rows'\]\[2\] should be a finite .*at least 0.*got -1$"),
        (lambda: MeasuredCost([], {}), r"coefficients should be a mapping, got \[\]"),
        (lambda: MeasuredCost({}, 3), r"flat should be a mapping, got 3"),
        (lambda: make("123456", [1] * 4, [1] * 3, 0), r"'product'\] should hold 6 numbers .*got '123456'"),
        (lambda: make([1] * 6, [[1]] * 4, [1] * 3, 0), r"'projection'\]\[0\] should be a finite number"),
        (lambda: make([1] * 6, [1] * 4, [1] * 3, -1), r"flat\['train'\]"),
    ],
)
def test_bad_models(call, message):
    with pytest.raises(ValueError, match=message):
        call()
