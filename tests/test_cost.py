"""The cost models: the paper's by hand, monotonicity and the quadrangle inequality, layers added up."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adasoft import MeasuredCost, PaperCost, Vocabulary
from adasoft import cost as C
from adasoft.loss import chunk_rows
from adasoft.records import read_record, shipped_records
from adasoft.search import Problem

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
    """That is why it is not marked, and why the search relies on monotonicity first: a counterexample."""
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
    cost = next(read_record(p) for p in shipped_records() if "cuda" in p.name and "bfloat16" in p.name)
    assert cost.on_gpu and not read_record(next(p for p in shipped_records() if "cpu" in p.name)).on_gpu
    chunk = 2**27 / V
    assert cost.layer(V, [], [], [], d, B).peak_bytes == pytest.approx(
        2 * V * d + 2 * 2 * B * d + 2 * chunk * V + 4 * V * d
    )
    # what one step of `bench layer --device cuda` was seen to need beyond weights and input
    made = json.loads((shipped_records()[0].parents[1] / "results" / "bench-layer-cuda.json").read_text())["full"]
    ours = next(row for row in made if row["what"] == "ours")
    shares = np.diff(Vocabulary.synthetic(ours["V"], shift=2.7).cumulative[[*ours["cutoffs"], ours["V"]]])
    layer = cost.layer(ours["V"], ours["cutoffs"], [256, 64], shares.tolist(), ours["d"], ours["N"])
    held = layer.peak_bytes - 2 * (layer.parameters + ours["N"] * ours["d"])
    assert held / 2**20 == pytest.approx(ours["peak MiB"], rel=0.15)


def test_a_layer_adds_up():
    cost = make([1e-4, 1e-11, 1e-9, 1e-9, 1e-9, 0], [1e-5, 1e-11, 1e-9, 1e-9], [1e-4, 1e-8, 1e-9], 0.0)
    layer = cost.layer(50_000, [2000, 10_000], [128, 32], [0.15, 0.05], 512, 2560)
    assert [(p.cluster, p.part) for p in layer.parts] == [
        ("all", "rows"),
        ("head", "output"),
        ("tail 1", "projection"),
        ("tail 1", "output"),
        ("tail 2", "projection"),
        ("tail 2", "output"),
    ]
    by_hand = (
        cost.rows_time(2560, 512)
        + cost.product_time(2002, 2560, 512)
        + cost.projection_time(384, 512, 128)
        + cost.product_time(8000, 384, 128)
        + cost.projection_time(128, 512, 32)
        + cost.product_time(40_000, 128, 32)
    )
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


def apart():
    """A model in which no two numbers are alike, neither in training nor in decoding."""
    return MeasuredCost(
        {
            "train": {
                "product": [1e-4, 2e-9, 3e-9, 4e-9, 5e-9, 6e-9],
                "projection": [7e-5, 8e-9, 9e-9, 1.1e-9],
                "rows": [1.2e-4, 1.3e-8, 1.4e-9],
                "full": [2.9e-9],
            },
            "decode": {
                "product": [1.5e-4, 1.6e-9, 1.7e-9, 1.8e-9, 1.9e-9, 2.1e-9],
                "rows": [2.6e-4, 2.7e-8, 2.8e-9],
                "projection": [2.2e-5, 2.3e-9, 2.4e-9, 2.5e-9],
                "search": [3.1e-5, 3.2e-8, 3.3e-9, 3.4e-12],
                "head": [3.5e-9],
                "full": [3.6e-9],
            },
        },
        {"train": 0.25, "decode": 0.125},
    )


def test_parts_by_hand():
    cost = apart()
    n, k, d, w = 30, 4_000, 3000, 7
    beyond = k * d - 2**23
    assert beyond > 0
    train = 1e-4 + 2e-9 * n * k * d + 3e-9 * n * k + 4e-9 * k * d + 5e-9 * n * d + 6e-9 * beyond
    decode = 1.5e-4 + 1.6e-9 * n * k * d + 1.7e-9 * n * k + 1.8e-9 * k * d + 1.9e-9 * n * d + 2.1e-9 * beyond
    assert min(train, decode) > 0.25
    assert cost.product_time(k, n, d) == pytest.approx(train)
    assert cost.product_time(k, n, d, "decode") == pytest.approx(decode)
    # a full softmax holds all its logits
    assert cost.full_time(k, n, d) == pytest.approx(train + 2.9e-9 * n * k)
    assert cost.full_time(k, n, d, "decode") == pytest.approx(decode + 3.6e-9 * n * k)
    assert cost.product_time(1, 1, 1) == 0.25 and cost.product_time(1, 1, 1, "decode") == 0.125
    assert cost.head_time(k - 3, 3, n, d, "train") == pytest.approx(train)
    assert cost.head_time(k - 3, 3, n, d, "decode") == pytest.approx(decode + 3.5e-9 * n * k)
    assert cost.projection_time(n, d, w) == pytest.approx(7e-5 + 8e-9 * n * d * w + 9e-9 * n * (d + w) + 1.1e-9 * d * w)
    assert cost.projection_time(n, d, w, "decode") == pytest.approx(
        2.2e-5 + 2.3e-9 * n * d * w + 2.4e-9 * n * (d + w) + 2.5e-9 * d * w
    )
    assert cost.rows_time(n, d) == pytest.approx(1.2e-4 + 1.3e-8 * n + 1.4e-9 * n * d)
    assert cost.rows_time(n, d, "decode") == pytest.approx(2.6e-4 + 2.7e-8 * n + 2.8e-9 * n * d)


@pytest.mark.parametrize("cost", [apart(), PaperCost(1e-4, 1e-9), PaperCost(1e-4, 1e-9, form="first")])
def test_a_tail_by_hand(cost):
    """In training it sees its share of the tokens, in decoding the rows that open it, whatever its share."""
    size, share, batch, d, w, opened = 90_000, 0.125, 4000, 512, 16, 0.375
    first = getattr(cost, "form", "") == "first"

    def by_hand(part, objective):
        if first:
            return part * cost.product_time(size, batch)
        rows = part * batch
        if objective == "train" or isinstance(cost, PaperCost):
            return cost.product_time(size, rows, w, objective) + cost.projection_time(rows, d, w, objective)
        some = 1 - (1 - part) ** batch  # that any row opens it
        tests = 3.1e-5 + 3.2e-8 * batch + (batch >= 32) * (3.3e-9 * size * w + 3.4e-12 * batch * size * w)
        words = some * cost.product_time(size, rows / some, w, objective)
        return words + tests + cost.projection_time(batch, d, w, objective)

    assert cost.tail_time(size, share, batch, d, w, "train") == pytest.approx(by_hand(share, "train"))
    assert cost.tail_time(size, share, batch, d, w, "train", opened) == pytest.approx(by_hand(share, "train"))
    assert cost.tail_time(size, share, batch, d, w, "decode", opened) == pytest.approx(by_hand(opened, "decode"))
    assert cost.tail_time(size, share, batch, d, w, "decode") == pytest.approx(by_hand(1.0, "decode"))
    sizes = 100_000, [10_000], [w], [share], d, batch
    made = cost.layer(*sizes, "decode", [opened])
    assert made.by_cluster()["tail 1"] == pytest.approx(by_hand(opened, "decode"))
    assert made == cost.layer(*sizes, "decode", opened) == cost.layer(*sizes, "decode", np.array([opened]))
    (operations,) = (p.operations for p in made.parts if (p.cluster, p.part) == ("tail 1", "output"))
    assert operations == 2 * opened * batch * w * size
    assert cost.layer(*sizes).by_cluster()["tail 1"] == pytest.approx(by_hand(share, "train"))


def test_the_expected_form_by_hand():
    """q g(k, p B / q) with the chance q that at least one of B tokens falls into the tail, rare or not."""
    cost = PaperCost(0.5, 1e-6, k0=50, batch0=100, form="expected")
    flat = 0.5 + 1e-6 * 50 * 100
    drawn = [(0.3, 1, 7), (0.01, 20, 9_000), (0.02, 300, 90_000), (0.4, 200, 3), (1.0, 5, 2000), (1e-9, 7, 10**6)]
    for p, batch, k in drawn:
        q = 1 - (1 - p) ** batch
        by_hand = max(q * flat, q * 0.5 + 1e-6 * k * p * batch)
        assert float(cost.tail_time(k, p, batch, 1, 1, "train")) == pytest.approx(by_hand, rel=1e-7)
    # where 40 tokens are expected the chance is 1 to the last digit, and so the last form's inequality holds from there
    assert cost.quadrangle_share(1000) == 0.04 and 1 - math.exp(-40) == 1.0 and 1 - math.exp(-36) < 1.0
    assert PaperCost(1, 1).quadrangle_share(1000) == 0.0 and apart().quadrangle_share(1000) == 0.0

    class Own(C.Cost):
        def product_time(self, k, rows, d, objective="train"):
            return 0.0

    assert Own().quadrangle_share(1000) == math.inf and not Own().monotone


@pytest.mark.parametrize("on_gpu", [False, True])
@given(rows=st.integers(1, 20_000), words=st.integers(1, 4_000_000))
def test_the_logits_held_are_a_chunk_of_the_loss(on_gpu, rows, words):
    assert abs(C._logits_held(rows, words, on_gpu) - chunk_rows(rows, words, on_gpu) * words) <= words  # whole rows


@pytest.mark.parametrize(
    ("d", "batch", "cutoffs", "widths", "shares"),
    [
        (64, 4096, [2000, 10_000], [16, 4], [0.3, 0.2]),  # a tail's logits are the most
        (64, 4096, [2000, 10_000], [60, 50], [0.45, 0.45]),  # as these, with wide rows
        (1024, 64, [40_000, 45_000], [8, 8], [0.1, 0.1]),  # the head's
        (2048, 2, [100, 25_000], [2048, 2048], [0.5, 0.5]),  # in the end the gradients are more than any logits
        (64, 5000, [], [], []),
    ],
)
@pytest.mark.parametrize(("itemsize", "on_gpu"), [(4, False), (4, True), (2, False), (2, True)])
def test_memory_by_hand(d, batch, cutoffs, widths, shares, itemsize, on_gpu):
    V = 50_000
    cost = make([0] * 6, [0] * 4, [0] * 3, 1e-4)
    cost.itemsize, cost.on_gpu = itemsize, on_gpu
    # numbers of the item's size that a logit takes with what is beside it, and a weight's gradient
    logit, weight = {(4, False): (1, 1), (4, True): (1, 1), (2, False): (3, 2), (2, True): (1, 2)}[itemsize, on_gpu]
    edges = [*cutoffs, V]
    head = edges[0] + len(cutoffs)
    gradients = weight * head * d
    moments = [gradients + logit * C._logits_held(batch, head, on_gpu)]
    parameters = head * d
    for i, (w, share) in enumerate(zip(widths, shares, strict=True)):
        size, rows = edges[i + 1] - edges[i], share * batch
        gradients += weight * size * w
        # the picked rows, what they become in the tail, and the gradient of that
        moments.append(gradients + logit * C._logits_held(rows, size, on_gpu) + rows * d + 2 * rows * w)
        gradients += weight * d * w
        parameters += size * w + d * w
    layer = cost.layer(V, cutoffs, widths, shares, d, batch)
    assert layer.parameters == parameters
    most = parameters + 2 * batch * d + max(*moments, gradients)
    assert layer.peak_bytes == pytest.approx(itemsize * most, rel=1e-12)
    # decoding holds all logits of the rows, twice, and no gradient
    assert cost.layer(V, cutoffs, widths, shares, d, batch, "decode").peak_bytes == pytest.approx(
        itemsize * (parameters + batch * d + 2 * batch * V), rel=1e-12
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cutoffs": [30, 20]}, r"cutoffs should rise and stay below n_classes=100, got \[30, 20\]"),
        ({"cutoffs": [20, 100]}, r"cutoffs should rise and stay below n_classes=100, got \[20, 100\]"),
        ({"cutoffs": [20.5, 30]}, r"cutoffs\[0\] should be an integer of at least 1, got 20.5"),
        ({"widths": [4]}, r"widths should be one for each of 2 tails, got \[4\]"),
        ({"widths": [4, True]}, r"widths\[1\] should be an integer of at least 1, got True"),
        ({"tail_shares": [0.1]}, r"tail_shares should be one for each of 2 tails, got \[0.1\]"),
        ({"opened": [0.1, 0.2, 0.3]}, r"opened should be one for each of 2 tails"),
        ({"batch": 0}, r"batch should be an integer of at least 1, got 0"),
        ({"in_features": "8"}, r"in_features should be an integer of at least 1, got '8'"),
        ({"n_classes": float("nan")}, r"n_classes should be an integer of at least 1, got nan"),
    ],
)
def test_bad_layers_are_refused_by_name(arguments, message):
    given = {"n_classes": 100, "cutoffs": [20, 50], "widths": [4, 2], "tail_shares": [0.1, 0.1]}
    given |= {"in_features": 8, "batch": 5}
    with pytest.raises(ValueError, match=message):
        apart().layer(**{**given, **arguments})


def test_a_tail_that_a_single_row_opens_now_and_then():
    cost = apart()
    tests = 3.1e-5 + 3.2e-8
    opened = 0.01 * cost.product_time(90_000, 1, 16, "decode") + cost.projection_time(1, 512, 16, "decode")
    assert cost.tail_time(90_000, 0.1, 1, 512, 16, "decode", 0.01) == pytest.approx(opened + tests)
    assert cost.tail_time(90_000, 0.1, 1, 512, 16, "decode", 0.0) == pytest.approx(
        tests + cost.projection_time(1, 512, 16, "decode")
    )


@pytest.mark.parametrize(("batch", "searched"), [(1, False), (2, False), (3, True)])
def test_few_logits_are_not_searched(batch, searched):
    """A CPU computes up to 65,536 logits, all of them, as the layer does: no tests, and every word is normalised."""
    cost, n, w = apart(), 30_000, 16
    assert cost.searched(n, batch) is searched
    made = cost.layer(n, [10_000], [w], [0.1], 512, batch, "decode", 0.5).by_cluster()["tail 1"]
    if searched:
        assert made == pytest.approx(cost.tail_time(20_000, 0.1, batch, 512, w, "decode", 0.5))
    else:
        words = cost.product_time(20_000, batch, w, "decode") + 3.5e-9 * batch * 20_000
        assert made == pytest.approx(words + cost.projection_time(batch, 512, w, "decode"))
    problem = Problem.of(np.linspace(0, 1, n + 1), cost, 512, batch, [w], "decode", [0.5])
    assert float(problem.tails[0](np.array([20_000]), np.array([0.1]))[0]) == pytest.approx(made)


def test_the_least_that_coefficients_can_be():
    """Three products in training, each of which reads or writes as much as the weights; one in decoding."""
    found = C.lower_bounds(1e-12, 1e-11, 2, "train")
    assert found["product"] == pytest.approx([0, 3e-12, 0, 6e-11, 0, 0])
    assert found["projection"] == pytest.approx([0, 3e-12, 0, 6e-11])
    assert not any(found["rows"] + found["search"] + found["head"] + found["full"] + found["vector"])
    assert C.lower_bounds(1e-12, 1e-11, 2, "decode")["vector"] == pytest.approx([0, 2e-11, 0, 0])
    assert C.lower_bounds(1e-12, 1e-11, 2, "decode")["product"] == pytest.approx([0, 1e-12, 0, 2e-11, 0, 0])


def test_one_row_is_a_matrix_times_a_vector():
    """Its own coefficients: for heads, full softmaxes and where nothing is searched, all words are normalised."""
    parts = apart()
    decode = parts.coefficients["decode"] | {"vector": [4e-5, 2e-10, 3e-9, 5e-9]}
    cost = MeasuredCost({"train": parts.coefficients["train"], "decode": decode}, parts.flat)
    assert cost.product_time(9000, 1, 16, "decode") == pytest.approx(4e-5 + 2e-10 * 9000 * 16 + 3e-9 * 9000)
    assert cost.full_time(9000, 1, 16, "decode") == pytest.approx(4e-5 + 2e-10 * 9000 * 16 + 8e-9 * 9000)
    assert cost.head_time([500, 900], 2, 1, 64, "decode").tolist() == pytest.approx(
        [4e-5 + 2e-10 * 64 * k + 8e-9 * k for k in (502, 902)]
    )
    projection = cost.projection_time(1, 512, 16, "decode")
    assert cost.decoded_tail(9000, 1, 512, 16, None) == pytest.approx(
        cost.full_time(9000, 1, 16, "decode") + projection
    )
    assert cost.decoded_tail(9000, 1, 512, 16, (0.5, 1.0)) == pytest.approx(
        cost.product_time(9000, 1, 16, "decode") / 2 + projection + 3.1e-5 + 3.2e-8
    )
    for rows, objective in ((2, "decode"), (1, "train"), (np.ones(1), "decode")):
        assert cost.product_time(9000, rows, 16, objective) == parts.product_time(9000, rows, 16, objective)
    assert cost.full_time(9000, 2, 16, "decode") == parts.full_time(9000, 2, 16, "decode")
