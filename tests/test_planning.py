"""Plans against brute force over all partitions, for every cost model that ships."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from partitions import COSTS, Odd, brute, counts_of, measured

import adasoft
from adasoft import PaperCost, Vocabulary
from adasoft.planning import Infeasible, default_widths, fastest


@pytest.mark.parametrize("name", COSTS)
@pytest.mark.parametrize("objective", ["train", "decode"])
@given(counts=counts_of, j=st.integers(1, 4), floor=st.sampled_from([0.0, 0.3, 0.75]), align=st.sampled_from([1, 1, 2]))
@settings(max_examples=25)
def test_plan_equals_brute_force(name, objective, counts, j, floor, align):
    vocabulary, cost, d, batch = Vocabulary(counts), COSTS[name], 16, 40
    best = brute(vocabulary, d, batch, cost, default_widths(d, j), floor, objective, align)
    if best is None:
        with pytest.raises(Infeasible, match=r"^n_tails should be at most"):
            adasoft.plan(counts, d, batch, cost=cost, n_tails=j, min_head_share=floor, align=align, objective=objective)
        return
    plan = adasoft.plan(counts, d, batch, cost=cost, n_tails=j, min_head_share=floor, align=align, objective=objective)
    assert plan.time == pytest.approx(best[0], rel=1e-9)
    assert plan.gap == 0.0
    assert all(c % align == 0 for c in plan.cutoffs)
    assert plan.head_share >= floor - 1e-12
    assert plan.n_tails == j


@pytest.mark.parametrize("name", COSTS)
@pytest.mark.parametrize("opened", [1.0, 0.25, [0.9, 0.4, 0.05]])
def test_plans_for_decoding_count_the_rows_that_open_a_tail(name, opened):
    rng = np.random.default_rng(3)
    shares = opened if isinstance(opened, list) else [opened] * 3
    for _ in range(10):
        counts, cost = rng.zipf(1.3, size=22).clip(max=10_000), COSTS[name]
        vocabulary = Vocabulary(counts)
        plan = adasoft.plan(counts, 16, 40, cost=cost, n_tails=3, min_head_share=0.2, objective="decode", opened=opened)
        assert len(counts) == plan.n_classes
        times = [
            cost.layer(22, cutoffs, plan.widths, [0.1] * 3, 16, 40, "decode", shares).seconds
            for cutoffs in itertools.combinations(range(1, 22), 3)
            if vocabulary.share_of_first(cutoffs[0]) >= 0.2
        ]
        assert plan.time == pytest.approx(min(times), rel=1e-9)


@pytest.mark.parametrize("name", [*COSTS, "unknown"])
@pytest.mark.parametrize("objective", ["train", "decode"])
def test_floors_on_the_shares_of_the_wider_clusters(name, objective):
    rng = np.random.default_rng(4)
    cost = COSTS.get(name) or measured(1)
    if name == "unknown":
        cost.monotone = cost.quadrangle = False
    for _ in range(8):
        counts = rng.zipf(1.3, size=20).clip(max=500)
        vocabulary = Vocabulary(counts)
        arguments = dict(cost=cost, n_tails=3, min_head_share=0.2, objective=objective)
        legal = [
            c
            for c in itertools.combinations(range(1, 20), 3)
            if (vocabulary.share_of_first(np.array(c)) >= [0.2, 0.6, 0.0]).all()
        ]
        found = adasoft.plan(counts, 16, 40, min_shares=[0.6], **arguments)
        times = [
            cost.layer(
                20, c, found.widths, np.diff(vocabulary.cumulative[[*c, 20]]).tolist(), 16, 40, objective
            ).seconds
            for c in legal
        ]
        assert found.time == pytest.approx(min(times), rel=1e-9)
        assert found.shares[0] + found.shares[1] >= 0.6 - 1e-12


@pytest.mark.parametrize("monotone", [True, False])
def test_floors_are_rounded_up_to_multiples_of_align(monotone):
    """Of the first cutoff and the later ones, in both searches; shares that fall between two multiples."""
    rng, cost = np.random.default_rng(6), measured(1)
    cost.monotone = cost.quadrangle = monotone
    for align in (2, 3, 4):
        counts = rng.zipf(1.2, size=23).clip(max=60)
        vocabulary = Vocabulary(counts)
        floors = [vocabulary.share_of_first(n) for n in (2, 5, 9)]  # no multiples of 3 or 4
        found = adasoft.plan(
            counts, 16, 40, cost=cost, n_tails=3, min_head_share=floors[0], min_shares=floors[1:], align=align
        )
        times = []
        for cutoffs in itertools.combinations(range(align, 23, align), 3):
            shares = vocabulary.share_of_first(np.array(cutoffs))
            if (shares >= floors).all():
                tails = np.diff(vocabulary.cumulative[[*cutoffs, 23]]).tolist()
                times.append(cost.layer(23, cutoffs, found.widths, tails, 16, 40).seconds)
        assert found.time == pytest.approx(min(times), rel=1e-9)
        assert all(c % align == 0 for c in found.cutoffs)
        assert (vocabulary.share_of_first(np.array(found.cutoffs)) >= floors).all()


@pytest.mark.parametrize("objective", ["train", "decode"])
@pytest.mark.parametrize("monotone", [True, False])
def test_no_tail_has_fewer_words_than_asked(monotone, objective):
    """The best of all partitions that allow it, with aligned cutoffs and floors too; the last tail included."""
    rng, cost = np.random.default_rng(8), measured(1)
    cost.monotone = cost.quadrangle = monotone
    bound = 0
    for least, align in itertools.product((1, 2, 3, 5), (1, 2, 3)):
        counts = rng.zipf(1.3, size=24).clip(max=300)
        vocabulary = Vocabulary(counts)
        floors = [vocabulary.share_of_first(n) for n in (3, 7)]
        arguments = dict(cost=cost, n_tails=3, objective=objective, min_head_share=floors[0], min_shares=floors[1:])
        found = adasoft.plan(counts, 16, 40, min_tail_size=least, align=align, **arguments)
        times = []
        for cutoffs in itertools.combinations(range(align, 24, align), 3):
            if (
                min(np.diff([*cutoffs, 24])) >= least
                and (vocabulary.share_of_first(np.array(cutoffs[:2])) >= floors).all()
            ):
                tails = np.diff(vocabulary.cumulative[[*cutoffs, 24]]).tolist()
                times.append(cost.layer(24, cutoffs, found.widths, tails, 16, 40, objective).seconds)
        assert found.time == pytest.approx(min(times), rel=1e-9)
        assert min(found.tail_sizes) >= least
        bound += min(found.tail_sizes) == least
    assert bound  # it decides somewhere


@pytest.mark.parametrize("objective", ["train", "decode"])
def test_the_fast_search_keeps_tails_as_large_as_all_pairs_do(objective):
    """A thousand words, where cells are bounded, dropped and split."""
    counts = np.random.default_rng(9).zipf(1.15, size=1000).clip(max=10**6)
    plain = measured(1)
    plain.monotone = plain.quadrangle = False
    for least, align in ((40, 1), (150, 1), (75, 7)):
        arguments = dict(n_tails=4, min_head_share=0.3, min_tail_size=least, align=align, objective=objective)
        fast = adasoft.plan(counts, 64, 40, cost=measured(1), **arguments)
        assert fast.time == pytest.approx(adasoft.plan(counts, 64, 40, cost=plain, **arguments).time, rel=1e-12)
        assert min(fast.tail_sizes) >= least and fast.gap == 0


def test_the_number_of_tails_respects_their_least_size():
    counts = np.arange(100, 0, -1)
    request = dict(cost=COSTS["last"], min_head_share=0.0)
    assert adasoft.plan(counts, 16, 40, n_tails=3, min_tail_size=33, **request).tail_sizes == (33, 33, 33)
    with pytest.raises(
        ValueError, match=r"n_tails should be at most 2 with min_head_share=0, min_tail_size=34, .* got 3"
    ):
        adasoft.plan(counts, 16, 40, n_tails=3, min_tail_size=34, **request)
    assert adasoft.plan(counts, 16, 40, min_tail_size=100, **request).n_tails == 0
    for wrong in (0, -1, 1.5, "2"):
        with pytest.raises(ValueError, match=r"^min_tail_size should be .*got"):
            adasoft.plan(counts, 16, 40, min_tail_size=wrong, **request)


def test_a_decode_plan_has_no_tail_of_a_handful_of_words():
    """Left alone, the optimum puts all it may into the narrowest tail."""
    words, request = Vocabulary.synthetic(30_000), dict(cost=measured(1), n_tails=3, objective="decode")
    assert min(adasoft.plan(words, 256, 16, min_tail_size=1, **request).tail_sizes) < 10
    assert min(adasoft.plan(words, 256, 16, **request).tail_sizes) >= 300


def test_a_cost_that_is_not_monotone_is_still_solved_exactly():
    counts = [9, 7, 5, 5, 3, 2, 2, 1, 1, 1, 1]
    for j in (1, 2, 3):
        best = brute(Vocabulary(counts), 16, 40, Odd(), default_widths(16, j))
        assert adasoft.plan(counts, 16, 40, cost=Odd(), n_tails=j, min_head_share=0.0).time == pytest.approx(best[0])
    with pytest.raises(ValueError, match=r"^cost should be marked monotone, or align .*align=2"):
        adasoft.plan(np.ones(30_000), 16, 40, cost=Odd(), n_tails=1)


def test_a_cost_that_cannot_be_searched_is_said_not_skipped():
    """Without a number of tails as with one: else the full softmax would look like the best of all."""

    class Unknown(PaperCost):
        monotone = False

    with pytest.raises(ValueError, match=r"^cost should be marked monotone"):
        adasoft.plan(Vocabulary.synthetic(30_000), 64, 256, cost=Unknown(1e-4, 1e-9))


def test_the_gap_is_that_of_all_numbers_of_tails():
    plans = [asked(n_tails=j) for j in range(4)]
    plans[3] = replace(plans[3], gap=0.5)
    found = fastest(plans)
    assert replace(found, gap=0.0) == min(plans[:3], key=lambda plan: plan.time)
    assert found.gap == pytest.approx(1 - 0.5 * plans[3].time / found.time) and found.gap > 0
    assert fastest(plans[:3]).gap == 0.0 and fastest(plans[3:]).gap == 0.5


def test_best_number_of_tails_is_the_best_of_all():
    counts = np.random.default_rng(0).zipf(1.2, 300).clip(max=10**5)
    for cost in COSTS.values():
        times = [adasoft.plan(counts, 64, 300, cost=cost, n_tails=j, min_head_share=0.3).time for j in range(6)]
        assert adasoft.plan(counts, 64, 300, cost=cost, min_head_share=0.3).time == min(times)


def test_no_tails_is_a_plain_full_softmax():
    plan = adasoft.plan([3, 2, 1], 16, 40, cost=PaperCost(1.0, 1e-9))
    assert plan.cutoffs == () and plan.shares == (1.0,) and plan.speedup == 1.0 and plan.mean_width == 16
    assert "plain full softmax" in str(plan)


def test_plan_keeps_order_and_shares():
    plan = adasoft.plan({"b": 1, "a": 8, "c": 3}, 16, 40, cost=COSTS["last"], n_tails=1, min_head_share=0.5)
    assert plan.order.tolist() == [1, 2, 0]
    assert sum(plan.shares) == pytest.approx(1)
    assert adasoft.plan([8, 3, 1], 16, 40, cost=COSTS["last"], n_tails=1).order is None
    assert len(plan.tail_shares) == len(plan.tail_sizes) == len(plan.widths) == plan.n_tails == 1
    assert plan.shortlist_size + sum(plan.tail_sizes) == plan.n_classes == 3


def test_plan_as_json_and_text():
    plan = adasoft.plan(np.arange(1, 101), 16, 40, cost=COSTS["measured"], n_tails=2)
    data = json.loads(plan.to_json(order=True))
    assert data["cutoffs"] == list(plan.cutoffs) and data["time"] == plan.time and len(data["order"]) == 100
    assert data["breakdown"]["parts"][0]["cluster"] == "all"
    assert "order" not in json.loads(plan.to_json())
    text = str(plan)
    assert "tail 2" in text and "times faster" in text and "drawn" in text


def test_the_table_of_a_plan_by_hand():
    """Every number that is printed, with its unit."""
    cost = PaperCost(0.004, 1e-6, k0=0, batch0=0)
    found = adasoft.plan([50, 25, 15] + [10 / 997] * 997, 64, 1000, cost=cost, widths=[16], min_head_share=0.8999)
    assert found.cutoffs == (3,) and found.shares == pytest.approx((0.9, 0.1))
    head, tail, full = 0.004 + 1e-6 * 4 * 1000, 0.004 + 1e-6 * 997 * 100, 0.004 + 1e-6 * 1000 * 1000
    rows = [line.split() for line in str(found).splitlines()[3:]]
    assert rows[0] == ["words", "tokens", "width", "parameters", "time"]
    assert rows[1] == ["head", "3", "90.00%", "64", "256", f"{head * 1e3:.3f}", "ms"]
    assert rows[2] == ["tail", "1", "997", "10.00%", "16", f"{64 * 16 + 16 * 997:,}", f"{tail * 1e3:.0f}", "ms"]
    assert rows[3] == ["rows", "0.000", "ms"]
    whole = 256 + 64 * 16 + 16 * 997
    assert rows[4] == ["layer", "1,000", "100.00%", "59", f"{whole:,}", f"{(head + tail) * 1e3:.0f}", "ms"]
    assert rows[5] == ["full", "1,000", "100.00%", "64", "64,000", f"{full * 1e3:,.0f}", "ms"]
    assert found.mean_width == pytest.approx(0.9 * 64 + 0.1 * 16)
    assert found.speedup == pytest.approx(full / (head + tail))
    peak, full_peak = (f"{cost_.peak_bytes / 1048576:,.0f}" for cost_ in (found.breakdown, found.full))
    assert f"predicted {full / (head + tail):.1f} times faster than the full softmax" in str(found)
    assert f"peak memory {peak} MiB (full, in chunks: {full_peak} MiB)" in str(found)


def test_the_ratio_of_widths():
    vocabulary, cost = Vocabulary.synthetic(5_000), COSTS["last"]
    found = adasoft.plan(vocabulary, 100, 500, cost=cost, n_tails=4, width_ratio=2)
    assert found.widths == (50, 25, 12, 8)
    assert found == adasoft.plan(vocabulary, 100, 500, cost=cost, widths=[50, 25, 12, 8])
    assert adasoft.plan(vocabulary, 100, 500, cost=cost, n_tails=3).widths == (25, 8, 8)
    assert default_widths(512, 3) == [128, 32, 8] and default_widths(4, 2, 2.0) == [4, 4]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_tails": 4}, r"n_tails should be at most 3 with .* the head needs 1, got 4"),
        (
            {"n_tails": 1, "min_head_share": 0.99},
            r"at most 0 with min_head_share=0.99.*got 1; min_head_share=0.9 at most would",
        ),
        ({"n_tails": -1}, r"n_tails should be an integer of at least 0, got -1"),
        ({"n_tails": 1.5}, r"n_tails.*got 1.5"),
        ({"min_head_share": 1.5}, r"min_head_share should be between 0 and 1, got 1.5"),
        ({"align": 0}, r"align should be an integer of at least 1, got 0"),
        ({"objective": "speed"}, r"objective should be 'train' or 'decode', got 'speed'"),
        ({"widths": [4, 2], "n_tails": 1}, r"widths should hold n_tails=1 widths, got \[4, 2\]"),
        ({"widths": [32]}, r"at most in_features=16, got \[32\]"),
        ({"widths": [0]}, r"widths\[0\] should be an integer of at least 1, got 0"),
        ({"widths": [4], "width_ratio": 2}, r"width_ratio should be None where widths are given, got 2"),
        ({"width_ratio": 0.5}, r"width_ratio should be at least 1 and finite, got 0.5"),
        ({"widths": "choose"}, r"widths should be a sequence of integers or None, got 'choose'"),
        ({"widths": {8, 4}}, r"widths should be a sequence of integers or None, got \{4, 8\}"),
        ({"cost": 3}, r"cost should be a cost model"),
        (
            {"min_shares": [0.8]},
            r"min_shares should hold .* with n_tails or widths given, got \[0.8\] and n_tails=None",
        ),
        ({"min_shares": [0.8], "n_tails": 1}, r"hold at most J - 1 shares.* got \[0.8\] and n_tails=1"),
        ({"min_shares": [0.2], "n_tails": 2}, r"min_shares should rise from min_head_share=0.3 .* got \[0.2\]"),
        ({"min_shares": [1.0], "n_tails": 2}, r"min_shares leaves no words for tail"),
        ({"opened": 0.5}, r"opened should be 1 for objective='train' .*got 0.5"),
        ({"opened": 0, "objective": "decode"}, r"opened should be a share above 0 and at most 1.*got 0"),
        ({"opened": [0.5, 2], "n_tails": 2, "objective": "decode"}, r"opened should be a share.*got \[0.5, 2\]"),
        ({"opened": [0.5], "n_tails": 2, "objective": "decode"}, r"one for each of n_tails=2, got \[0.5\]"),
        ({"opened": [0.5], "objective": "decode"}, r"one for each of n_tails=None"),
    ],
)
def test_bad_requests_say_what_is_feasible(arguments, message):
    given = {"cost": COSTS["last"], "min_head_share": 0.3} | arguments
    with pytest.raises((ValueError, TypeError), match=message):
        adasoft.plan([4, 3, 2, 1], 16, 40, **given)


# ---------------------------------------------------------------------- numbers of other kinds

WORDS = 1000 // np.arange(1, 201)


def asked(**arguments):
    return adasoft.plan(WORDS, 16, 40, **{"cost": COSTS["last"], "min_head_share": 0.3, **arguments})


def same(value):
    """A number as NumPy and PyTorch have it."""
    kinds = [np.int8, np.uint64, np.int32] if isinstance(value, int) else [np.float32, np.float64, np.float16]
    return [*(kind(value) for kind in kinds), np.array(value), torch.tensor(value), np.array(value, dtype=object)]


@pytest.mark.parametrize(
    ("name", "value", "more"),
    [
        ("n_tails", 2, {}),
        ("align", 2, {"n_tails": 2}),
        ("min_head_share", 0.5, {"n_tails": 2}),
        ("width_ratio", 2.5, {"n_tails": 2}),
        ("width_ratio", 2, {"n_tails": 2}),
        ("opened", 0.25, {"n_tails": 2, "objective": "decode"}),
    ],
)
def test_numbers_may_be_numpys(name, value, more):
    expected = asked(**{name: value}, **more)
    for number in same(value):
        found = asked(**{name: number}, **more)
        assert found == expected, repr(number)
        json.loads(found.to_json(order=True))  # nothing of NumPy's is left in it
        assert type(found.min_head_share) is float and all(type(w) is int for w in found.widths)


def test_sizes_may_be_numpys():
    expected = asked(n_tails=2)
    for d, batch in zip(same(16), same(40), strict=True):
        found = adasoft.plan(WORDS, d, batch, cost=COSTS["last"], min_head_share=0.3, n_tails=2)
        assert found == expected and type(found.in_features) is int and type(found.batch) is int


@pytest.mark.parametrize(
    ("name", "value", "more"),
    [
        ("widths", [8, 4], {}),
        ("min_shares", [0.75], {"n_tails": 2}),
        ("opened", [0.5, 0.25], {"n_tails": 2, "objective": "decode"}),
    ],
)
def test_sequences_may_be_arrays(name, value, more):
    expected = asked(**{name: value}, **more)
    for sequence in (tuple(value), np.array(value), torch.tensor(value), [np.array(v) for v in value]):
        assert asked(**{name: sequence}, **more) == expected
    masked = np.ma.array(value, mask=[True] + [False] * (len(value) - 1))
    with pytest.raises(ValueError, match=rf"{name}.* should be .*(masked|--)"):
        asked(**{name: masked}, **more)


NO_NUMBERS = [
    True,
    np.True_,
    np.array(True),
    torch.tensor(True),
    "2",
    b"2",
    None,
    [2],
    np.array([2]),
    torch.tensor([2]),
    {},
    1j,
    np.complex64(1),
    np.datetime64(1, "s"),
    np.ma.masked,
    float("nan"),
    np.float32("nan"),
    np.array([[1]]),
    object(),
]
NO_INTEGERS = [2.0, np.float64(2), np.array(2.0), torch.tensor(2.0), 1.5, float("inf"), "2.0"]
HUGE = [10**20, 10**400, 10**5000, -(10**400)]


@pytest.mark.parametrize("value", [*NO_NUMBERS, *NO_INTEGERS, *HUGE], ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("name", ["in_features", "batch", "n_tails", "align", "width", "points"])
def test_no_integers_are_refused_by_name(name, value):
    calls = {
        "in_features": lambda: adasoft.plan(WORDS, value, 40, cost=COSTS["last"]),
        "batch": lambda: adasoft.plan(WORDS, 16, value, cost=COSTS["last"]),
        "n_tails": lambda: asked(n_tails=value),
        "align": lambda: asked(align=value, n_tails=1),
        "width": lambda: adasoft.two_clusters(WORDS, 16, 40, cost=COSTS["last"], width=value),
        "points": lambda: adasoft.front(WORDS, 16, 40, cost=COSTS["last"], points=value),
    }
    if (value is None and name in ("n_tails", "width")) or (name == "points" and isinstance(value, int) and value > 1):
        calls[name]()
        return
    with pytest.raises(ValueError, match=rf"{name}( should be an integer|=)|align=") as caught:
        calls[name]()
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("value", [*NO_NUMBERS, *HUGE, float("inf"), -0.5], ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("name", ["min_head_share", "width_ratio", "opened", "min_shares", "c", "k0"])
def test_no_shares_are_refused_by_name(name, value):
    calls = {
        "min_head_share": lambda: asked(min_head_share=value),
        "width_ratio": lambda: asked(width_ratio=value),
        "opened": lambda: asked(opened=value, objective="decode", n_tails=2),
        "min_shares": lambda: asked(min_shares=[value], n_tails=2),
        "c": lambda: PaperCost(value, 1e-9),
        "k0": lambda: PaperCost(1e-3, 1e-9, k0=value),
    }
    if name == "width_ratio" and isinstance(value, int) and value == 10**20:
        assert calls[name]().widths == (8, 8)
        return
    if value is None and name == "width_ratio":
        assert calls[name]() == asked()
        return
    with pytest.raises(ValueError, match=rf"^{name}(\[0\])? should be") as caught:
        calls[name]()
    assert len(str(caught.value)) < 300


NO_WIDTHS = [True, "8,4", b"ab", {4: 2}, 3, np.array(3), iter([4]), [True], [None], [2.0], ["4"], [10**400]]


@pytest.mark.parametrize("value", NO_WIDTHS, ids=lambda value: type(value).__name__)
def test_no_widths_are_refused_by_name(value):
    with pytest.raises(ValueError, match=r"^widths(\[0\])? should be"):
        asked(widths=value)


@pytest.mark.parametrize("ask", [adasoft.plan, adasoft.front, adasoft.two_clusters])
def test_all_questions_check_what_they_share(ask):
    with pytest.raises(TypeError, match=r"cost should be a cost model .*got 3"):
        ask(WORDS, 16, 40, cost=3)
    with pytest.raises(ValueError, match=r"objective should be 'train' or 'decode', got 'speed'"):
        ask(WORDS, 16, 40, cost=COSTS["last"], objective="speed")
    with pytest.raises(ValueError, match=r"batch should be an integer from 1 to 2,147,483,647, got 2147483648"):
        ask(WORDS, 16, 2**31, cost=COSTS["last"])


@pytest.mark.parametrize("name", COSTS)
def test_the_largest_sizes_do_not_overflow(name):
    """Words times tokens are beyond an int64; int32 sizes of NumPy's cannot hold the parameters."""
    large = 2**31 - 1
    words = Vocabulary.synthetic(400_000)
    found = adasoft.plan(words, large, large, cost=COSTS[name], n_tails=1, min_head_share=0.7)
    head, (width,), (tail,) = found.shortlist_size, found.widths, found.tail_sizes
    assert found.breakdown.parameters == (head + 1) * large + width * (large + tail)
    sizes = found.cutoffs, found.widths, found.tail_shares
    assert found.time == pytest.approx(COSTS[name].layer(400_000, *sizes, large, large).seconds)
    i = np.int32
    exact = COSTS[name].product_time(400_000.0, float(large), float(large))
    assert COSTS[name].product_time(np.array([400_000], dtype=i), i(large), i(large)) == pytest.approx(exact)
    expected = COSTS[name].layer(400_000, [70_000], [4096], [0.1], 16_384, 8192)
    assert COSTS[name].layer(i(400_000), np.array([70_000], dtype=i), [i(4096)], [0.1], i(16_384), i(8192)) == expected


def test_as_many_tails_as_there_are_words():
    """The width d / 4^i leaves fp64 at the 512th tail."""
    assert default_widths(512, 600)[-1] == 8 and default_widths(512, 600, 1e300)[-1] == 8
    assert default_widths(512, 3, 1.0) == [512, 512, 512] and default_widths(1000, 4, 3.0) == [333, 111, 37, 12]
    found = adasoft.plan(np.ones(40), 16, 40, cost=COSTS["last"], n_tails=39, min_head_share=0)
    assert found.cutoffs == tuple(range(1, 40))
    with pytest.raises(ValueError, match=r"n_tails should be at most 39 with .*, got 40; min_head"):
        adasoft.plan(np.ones(40), 16, 40, cost=COSTS["last"], n_tails=40, min_head_share=0)


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ([1.0], "leaves no words for tail 2, the last: lower"),
        ([0.9, 1.0], "leaves no words for tail 3, the last: lower"),
        ([1.0, 1.0], "leaves too few words for tails 2 to 3: lower"),
        ([0.99, 0.99, 1.0], "leaves too few words for tails 2 to 4: lower"),
    ],
)
def test_floors_that_leave_a_tail_without_words_name_that_tail(shares, message):
    with pytest.raises(ValueError, match=rf"^min_shares {message}"):
        adasoft.plan([90, 4, 2, 1, 1, 1, 1], 16, 40, cost=COSTS["last"], n_tails=len(shares) + 1, min_shares=shares)


@pytest.mark.parametrize(("gap", "said"), [(0.2, "25.00%"), (0.5, "100.00%"), (0.001, "0.10%"), (1.0, "inf%")])
def test_the_bound_that_is_printed_is_a_part_of_the_optimum(gap, said):
    """``gap`` is a part of the plan's time; "above the optimum" is time / (time (1 - gap)) - 1."""
    text = str(replace(asked(n_tails=1), gap=gap))
    assert text.endswith(f"\nat most {said} above the optimum (proved bound)")
    assert "optimum" not in str(asked(n_tails=1))


def test_a_model_that_charges_for_nothing_tells_no_speed():
    found = adasoft.plan(WORDS, 16, 40, cost=PaperCost(0, 0), n_tails=1)
    assert found.time == 0 and np.isnan(found.speedup) and str(found)


def test_the_swap_argument():
    """p_i k_i + p_j k_j falls when frequent words go to the smaller cluster: rank order wins where time is affine."""
    rng = np.random.default_rng(11)
    counts = np.sort(rng.zipf(1.3, 40).clip(max=999))[::-1].astype(float)
    p = counts / counts.sum()
    sorted_cost = p[:10].sum() * 10 + p[10:].sum() * 30
    for _ in range(200):
        shuffled = rng.permutation(p)
        assert shuffled[:10].sum() * 10 + shuffled[10:].sum() * 30 >= sorted_cost - 1e-12


def test_a_plan_for_captured_steps_needs_their_timings(tmp_path, monkeypatch):
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path))
    with pytest.raises(LookupError, match=r"captured.*calibrate --device cuda --captured"):
        adasoft.plan([3, 2, 1], 8, 4, captured=True)
    with pytest.raises(ValueError, match="cost should be timings of captured steps where captured=True"):
        adasoft.plan([3, 2, 1], 8, 4, cost=PaperCost(1, 1), captured=True)
