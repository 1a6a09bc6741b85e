"""Senses that move: the greedy match, both orders of words, sums, starts, the optimiser's state, exact resume."""

from __future__ import annotations

import copy
import itertools
import math

import pytest
import torch

from adasoft.kerbs import Allocator, KerBS, Move, planned_moves, receivers, with_senses_in_head

pytestmark = pytest.mark.usefixtures("one_thread", "in_fp64")

D, V = 4, 10


# ---------------------------------------------------------------- which senses go where


def best_by_brute_force(words, usage, asking, limit):
    """Of all ways to serve the words in their order, each by one sense or not at all, the one that serves the first
    word by the least used sense, then the second word by the least used one, and so on."""
    n, rank = len(words), sorted(range(len(words)), key=lambda s: (usage[s], s))
    found = []
    for choice in itertools.product([*range(n), None], repeat=len(asking)):
        owner, served, key, moves = list(words), set(), [], []
        for receiver, sense in zip(asking, choice, strict=True):
            if sense is None:
                key.append(n)
                continue
            giver = owner[sense]
            used = sense in [m.sense for m in moves]
            if used or giver == receiver or giver in served or owner.count(giver) < 2 or owner.count(receiver) >= 4:
                break
            owner[sense] = receiver
            served.add(receiver)
            key.append(rank.index(sense))
            moves.append(Move(sense, giver, receiver))
        else:
            if len(moves) <= limit:
                found.append((key, moves))
    return min(found)[1]


@pytest.mark.parametrize("seed", range(6))
def test_the_greedy_match_is_the_best_of_all_on_ten_words(seed):
    draw = torch.Generator().manual_seed(seed)
    words = torch.cat([torch.arange(V), torch.tensor([0, 0, 0, 1, 2, 3][: 3 + seed % 4])])
    words = words[torch.randperm(len(words), generator=draw)]
    usage = torch.randint(0, 6, (len(words),), generator=draw)  # with ties
    asking = torch.randperm(V, generator=draw)[:3].tolist()
    for limit in (1, 2, 3):
        moves = planned_moves(words, usage, asking, limit)
        assert moves == best_by_brute_force(words.tolist(), usage.tolist(), asking, limit)
        assert moves == planned_moves(words.clone(), usage.clone(), iter(asking), limit)
    assert any(planned_moves(words, usage, [w], 1) for w in range(V))


def test_both_orders_by_hand():
    """Word 0: frequent, right nine times in ten. Word 1: frequent, one in ten. Word 2: rare, never right. 3: unseen."""
    count = torch.tensor([100.0, 100.0, 4.0, 0.0])
    p = torch.tensor([0.9, 0.1, 0.01, 1.0])
    probability, log_probability = count * p, count * p.log()
    # 1 / (0.9 * 10) before 1 / (0.1 * 10): well predicted words first; the rare ones are below the median
    assert receivers("released", count, probability, log_probability) == [0, 1]
    # the worst first, below the mean of -0.1, -2.3 and -4.6
    assert receivers("paper", count, probability, log_probability) == [2]
    assert receivers("paper", count, probability, log_probability, threshold=-0.01) == [2, 1, 0]
    assert receivers("paper", torch.zeros(4), torch.zeros(4), torch.zeros(4)) == []


def trained(order, steps, every=5, start="mean", make=torch.optim.Adam, state=None, senses=2, kernel="free", **how):
    """A softmax trained on drawn states, which has gone on from ``state`` if there is one; its allocator; all moves."""
    torch.manual_seed(1)
    layer = KerBS(D, V, senses=senses, kernel=kernel)
    optimizer = make(layer.parameters(), 0.05)
    allocator = Allocator(layer, optimizer, every=every, order=order, start=start, share=0.3, **how)
    if state:
        for thing, kept in zip((layer, optimizer, allocator), state, strict=True):
            thing.load_state_dict(kept)
    centres, moves = torch.randn(V, 2, D), []
    for step in range(allocator.steps, steps):
        draw = torch.Generator().manual_seed(step)
        target = torch.randint(V, (30,), generator=draw).square() // V  # rare and frequent words
        hidden = centres[target, torch.randint(2, (30,), generator=draw)] + 0.1 * torch.randn(30, D, generator=draw)
        optimizer.zero_grad()
        layer(hidden, target).loss.backward()
        optimizer.step()
        moves.append(allocator.step(hidden, target))
    return layer, optimizer, allocator, moves


@pytest.mark.parametrize(("order", "start"), [("paper", "mean"), ("paper", "noise"), ("released", "keep")])
def test_a_training_keeps_the_number_of_senses_and_resumes_exactly(order, start):
    layer, _, allocator, moves = trained(order, 24, start=start)
    assert [bool(of) for of in moves].count(True) >= 3 and all(not of for of in moves[:4])
    assert max(map(len, moves)) <= allocator.limit == 3
    words = layer.output.words
    each = torch.bincount(words, minlength=V)
    assert len(words) == 2 * V and each.min() >= 1 and each.max() <= 4
    owner = torch.arange(2 * V) % V
    for move in itertools.chain(*moves):
        assert owner[move.sense] == move.giver != move.receiver
        owner[move.sense] = move.receiver
    assert torch.equal(owner, words)

    half = trained(order, 13, start=start)
    state = copy.deepcopy([thing.state_dict() for thing in half[:3]])
    again = trained(order, 24, start=start, state=state)
    assert half[3] + again[3] == moves
    for name, value in layer.state_dict().items():
        assert torch.equal(again[0].state_dict()[name], value), name
    for name, value in allocator.state_dict().items():
        assert torch.equal(torch.as_tensor(again[2].state_dict()[name]), torch.as_tensor(value)), name


# ---------------------------------------------------------------- sums


@pytest.mark.parametrize("order", ["paper", "released"])
def test_the_sums_are_those_of_the_definition(order):
    layer = KerBS(D, V, senses=[2, 1] * 5)
    allocator = Allocator(layer, order=order, decay=0.9, every=3)
    expected = {name: torch.zeros_like(value) for name, value in allocator.sums.items()}
    for step in range(2):
        x, target = torch.randn(6, D), torch.tensor([0, 1, 0, 2, -100, 1])
        p, words = layer.output.scores(x).softmax(1), layer.output.words
        for value in expected.values():
            value *= 0.9 if order == "paper" else 1
        for h, row, word in zip(x, p, target.tolist(), strict=True):
            if word < 0:
                continue
            own = row[words == word].sum()
            expected["count"][word] += 1
            expected["probability"][word] += own
            expected["log_probability"][word] += own.log()
            expected["usage"] += row * (words == word)
            expected["state"][word] += h
        assert allocator.step(x, target) == [] and allocator.steps == step + 1
    torch.testing.assert_close(allocator.sums, expected)
    allocator.step(x, target)
    assert bool(allocator.sums["count"].any()) is (order == "paper")


# ---------------------------------------------------------------- the start of a moved sense


def about_to_move(start, kernel="released", make=torch.optim.Adam, **how):
    """A layer whose next round has moves, and a copy of all from before it."""
    layer, optimizer, allocator, _ = trained("paper", 12, 100, start, make, kernel=kernel, **how)
    before = copy.deepcopy((layer, optimizer.state_dict(), allocator.sums))
    moves = allocator.reallocate()
    assert moves
    return layer, optimizer, allocator, moves, before


@pytest.mark.parametrize("start", ["mean", "noise", "keep"])
def test_the_start_of_a_moved_sense(start):
    layer, _, _, moves, (old, _, sums) = about_to_move(start)
    new, old = layer.output, old.output
    moved = [move.sense for move in moves]
    rest = [s for s in range(2 * V) if s not in moved]
    assert torch.equal(new.weight[rest], old.weight[rest]) and torch.equal(new.raw_theta[rest], old.raw_theta[rest])
    for sense, _, receiver in moves:
        own = old.words == receiver
        vector, raw = new.weight[sense], new.raw_theta[sense]
        if start == "keep":
            assert torch.equal(vector, old.weight[sense]) and raw == old.raw_theta[sense] != 0
        elif start == "mean":
            mean = sums["state"][receiver]
            assert raw == 0 and torch.cosine_similarity(vector, mean, 0).item() == pytest.approx(1)
            torch.testing.assert_close(vector.norm(), old.weight[own].norm(dim=1).mean())
        else:
            best = int(torch.where(own, sums["usage"], -1.0).argmax())
            away = (vector - old.weight[best]).norm() / old.weight[best].norm()
            assert raw == old.raw_theta[best] and 0 < away < 0.3


@pytest.mark.parametrize(
    ("make", "kept", "first"),
    [
        (torch.optim.Adam, ("exp_avg", "exp_avg_sq"), 0.0),
        (lambda p, rate: torch.optim.Adagrad(p, rate, initial_accumulator_value=0.3), ("sum",), 0.3),
        (lambda p, rate: torch.optim.SGD(p, rate, momentum=0.9), ("momentum_buffer",), 0.0),
    ],
)
def test_the_optimisers_state_of_a_moved_sense_starts_anew(make, kept, first):
    layer, optimizer, _, moves, (_, old, _) = about_to_move("mean", make=make)
    moved = [move.sense for move in moves]
    rest = [s for s in range(2 * V) if s not in moved]
    for i, p in enumerate(layer.output.parameters()):
        for name in kept:
            value, before = optimizer.state[p][name], old["state"][i][name]
            assert (value[moved] == first).all() and before[moved].ne(first).any()
            assert torch.equal(value[rest], before[rest])
    layer, optimizer, _, moves, (_, old, _) = about_to_move("mean", make=make, reset=False)
    value = optimizer.state[layer.output.weight][kept[0]]
    assert torch.equal(value, old["state"][0][kept[0]])


def test_only_words_of_the_head_get_senses():
    layer = with_senses_in_head(D, 30, [V, 20], widths=[2, 2], senses=2, dtype=torch.float64)
    optimizer = torch.optim.Adam(layer.parameters(), 0.05)
    allocator = Allocator(layer, optimizer, every=2, share=0.5)
    moves = []
    for _ in range(30):
        x, target = torch.randn(60, D), torch.arange(60) % 30
        layer(x, target).loss.backward()
        optimizer.step()
        moves += allocator.step(x, target)
    assert len(moves) > 5 and all(m.giver < V and m.receiver < V for m in moves)
    each = torch.bincount(layer.senses.words)
    assert each.sum() == 2 * V + 2 and each[V:].tolist() == [1, 1]
    assert allocator.sums["count"][V:].sum() == 0
    torch.testing.assert_close(layer.log_prob(x).exp().sum(1), torch.ones(60))
    torch.testing.assert_close(layer(x, target).output, layer.log_prob(x).gather(1, target[:, None])[:, 0])


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"every": 0}, "every should be an integer of at least 1, got 0"),
        ({"order": "worst"}, "order should be 'paper' or 'released', got 'worst'"),
        ({"share": 0}, "share should be above 0 and at most 1, got 0"),
        ({"decay": 1}, "decay should be at least 0 and below 1, got 1"),
        ({"start": "zero"}, "start should be 'mean', 'noise' or 'keep', got 'zero'"),
        ({"noise": -1}, "noise should be a finite number of at least 0, got -1"),
        ({"threshold": math.nan}, "threshold should be a finite number of at most 0, got nan"),
    ],
)
def test_bad_settings_are_refused_by_name(how, message):
    with pytest.raises(ValueError, match=message):
        Allocator(KerBS(D, V), **how)


def test_bad_sums_and_states_are_refused_by_name():
    layer, x, target = KerBS(D, V), torch.randn(5, D), torch.arange(5)
    allocator = Allocator(layer, every=1)
    with pytest.raises(RuntimeError, match="input should hold finite numbers, got nan or inf"):
        allocator.step(x / 0 * 0, target)
    allocator.sums["usage"][3] = math.nan
    words = layer.output.words.clone()
    with pytest.raises(RuntimeError, match="sums of usage should hold finite numbers, got nan or inf"):
        allocator.step(x, target)
    assert torch.equal(layer.output.words, words)
    state = allocator.state_dict()
    with pytest.raises(ValueError, match=r"usage should be a tensor of shape \(20,\), got \(3,\)"):
        allocator.load_state_dict({**state, "usage": torch.zeros(3)})
    with pytest.raises(ValueError, match=r"count should be a tensor of shape .*, got None"):
        allocator.load_state_dict({})
    with pytest.raises(ValueError, match="steps should be an integer of at least 0, got -1"):
        allocator.load_state_dict({**state, "steps": -1})
    with pytest.raises(ValueError, match="limit should be an integer of at least 1, got 0"):
        planned_moves(layer.output.words, torch.zeros(20), [1], 0)
    with pytest.raises(RuntimeError, match=r"target should be in \[0, 9\] or ignore_index=-100, got 10"):
        allocator.step(x, target + 6)
    with pytest.raises(RuntimeError, match="Input and target should have the same size"):
        allocator.step(x, target[:2])
