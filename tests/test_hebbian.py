"""The Hebbian update: its identities in fp64, and a training that goes on exactly."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from adasoft import AdaptiveSoftmax
from adasoft.alternatives import FullSoftmax, build
from adasoft.memory import HebbianUpdate

D, V = 5, 12
ORDER = [(5 * i + 2) % V for i in range(V)]  # ids that are no ranks


pytestmark = pytest.mark.usefixtures("in_fp64")


def adaptive(**options):
    return AdaptiveSoftmax(D, V, [3, 7], widths=[3, 2], order=ORDER, head_bias=True, **options)


def words_of(softmax):
    """The vector of each word, by rank, and what projects states to its width."""
    if isinstance(softmax, FullSoftmax):
        return [(w, torch.eye(D)) for w in softmax.output.weight.detach().clone()]
    out = [(w, torch.eye(D)) for w in softmax.head.weight.detach().clone()[:3]]
    for projection, words in softmax.tail:
        out += [(w, projection.weight.detach().clone()) for w in words.weight.detach().clone()]
    return out


MAKERS = {"full": lambda: FullSoftmax(D, V), "adaptive": adaptive}


def ranks_of(softmax, ids):
    return ids if softmax.order is None else softmax.order.argsort()[ids]


def moved(softmax, hebbian, hidden, target):
    hebbian.add(hidden, target)
    hebbian.step()
    return words_of(softmax)


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("match_norm", [False, True])
@pytest.mark.parametrize("exact_mean", [False, True])
def test_the_update_is_that_of_a_loop_in_every_cluster(kind, match_norm, exact_mean):
    softmax = MAKERS[kind]()
    hebbian = HebbianUpdate(softmax, gamma=0.3, until=9, match_norm=match_norm, exact_mean=exact_mean)
    counts = [0] * V
    for _ in range(4):
        hidden, target = torch.randn(2, 8, D), torch.randint(V - 2, (2, 8))
        before, after = words_of(softmax), moved(softmax, hebbian, hidden, target)
        ranks = ranks_of(softmax, target.flatten())
        for rank in range(V):
            states = hidden.flatten(0, 1)[ranks == rank]
            counts[rank] += len(states)
            w, projection = before[rank]
            if len(states) and counts[rank] < 9:
                mean = projection @ states.mean(0)
                mean = mean * w.norm() / mean.norm() if match_norm else mean
                share = max((len(states) if exact_mean else 1) / counts[rank], 0.3)
                w = share * mean + (1 - share) * w
            torch.testing.assert_close(after[rank][0], w, rtol=1e-13, atol=1e-14)
    assert hebbian.counts.tolist() == counts and any(c >= 9 for c in counts) and 0 in counts


@pytest.mark.parametrize("kind", MAKERS)
def test_a_class_is_the_running_mean_of_its_states(kind):
    """To 1e-15; whatever the weights were before, and however many tokens a step has."""
    softmax = MAKERS[kind]()
    hebbian = HebbianUpdate(softmax, gamma=1e-9, until=10_000)
    hidden, target = torch.randn(200, D), torch.randint(V, (200,))
    for part in torch.arange(200).split([1, 2, 7, 40, 50, 100]):
        after = moved(softmax, hebbian, hidden[part], target[part])
    ranks = ranks_of(softmax, target)
    for rank, (w, projection) in enumerate(after):
        torch.testing.assert_close(w, projection @ hidden[ranks == rank].mean(0), rtol=1e-13, atol=1e-15)


def test_the_first_sight_sets_a_word_to_its_state():
    softmax = FullSoftmax(D, V)
    hidden = torch.randn(2, D)
    hebbian = HebbianUpdate(softmax)
    moved(softmax, hebbian, hidden, torch.tensor([4, 5]))
    assert torch.equal(softmax.output.weight[4:6], hidden)
    before = softmax.output.weight[6].clone()
    moved(softmax, HebbianUpdate(softmax, exact_mean=False), hidden, torch.tensor([6, 6]))
    torch.testing.assert_close(softmax.output.weight[6], (hidden.mean(0) + before) / 2)


def test_an_exponential_mean_from_one_over_gamma_on_and_nothing_from_T_on():
    softmax = FullSoftmax(D, V)
    hebbian = HebbianUpdate(softmax, gamma=0.25, until=7)
    for step in range(1, 10):
        state, before = torch.randn(1, D), softmax.output.weight[2].clone()
        moved(softmax, hebbian, state, torch.tensor([2]))
        share = 0.0 if step >= 7 else 0.25 if step >= 4 else 1 / step
        torch.testing.assert_close(softmax.output.weight[2], share * state[0] + (1 - share) * before)
        assert (step < 7) or torch.equal(softmax.output.weight[2], before)


def test_what_has_no_token_stays_where_it_is():
    softmax = adaptive()
    hebbian = HebbianUpdate(softmax)
    before = {name: value.clone() for name, value in softmax.named_parameters()}
    ids = torch.tensor(ORDER)[[1, 8]]  # ranks 1 and 8: the head, and the second tail
    moved(softmax, hebbian, torch.randn(2, D), ids)
    changed = {name: (value != before[name]).any(-1) for name, value in softmax.named_parameters()}
    assert changed["head.weight"].nonzero().flatten().tolist() == [1]  # not the entries of the tails, 3 and 4
    assert changed["tail.1.1.weight"].nonzero().flatten().tolist() == [1]
    assert not any(changed[name].any() for name in changed if name not in ("head.weight", "tail.1.1.weight"))


def test_the_update_is_a_gradient_step_towards_the_mean():
    """One step of SGD, rate 1, on lambda / 2 |w_i - mean_i|^2."""
    softmax, hidden, target = FullSoftmax(D, V), torch.randn(9, D), torch.arange(9) % 4
    hebbian = HebbianUpdate(softmax, gamma=0.6)
    hebbian.counts += 10  # so that lambda is gamma
    weight = softmax.output.weight.detach().clone().requires_grad_()
    means = torch.stack([hidden[target == i].mean(0) for i in range(4)])
    (0.3 * (weight[:4] - means).square().sum()).backward()
    moved(softmax, hebbian, hidden, target)
    torch.testing.assert_close(softmax.output.weight, weight - weight.grad, rtol=1e-13, atol=1e-14)


def test_the_released_code_changes_nothing():
    """``weight[mask].mul_()`` acts on a copy. Ours acts on the weight, in place, as optimizers expect."""
    weight, mask = torch.randn(V, D), torch.arange(V) < 3
    before = weight.clone()
    weight[mask].mul_(0.5)
    weight[mask].add_(1.0)
    assert torch.equal(weight, before)
    softmax = FullSoftmax(D, V)
    address, before = softmax.output.weight.data_ptr(), softmax.output.weight.clone()
    moved(softmax, HebbianUpdate(softmax), torch.randn(3, D), torch.arange(3))
    assert softmax.output.weight.data_ptr() == address
    assert (softmax.output.weight != before).any(1).tolist() == mask.tolist()


@pytest.mark.parametrize("kind", MAKERS)
def test_it_acts_on_what_the_optimizer_has_left(kind):
    torch.manual_seed(3)
    with_it, without = MAKERS[kind](), MAKERS[kind]()
    without.load_state_dict(with_it.state_dict())
    optimizers = [torch.optim.Adam(softmax.parameters(), 0.1) for softmax in (with_it, without)]
    hebbian = HebbianUpdate(with_it, gamma=0.5).attach(optimizers[0])
    hebbian.counts += 10
    hidden, target = torch.randn(6, D), torch.tensor(ORDER)[:6]
    for softmax, optimizer in zip((with_it, without), optimizers, strict=True):
        softmax(hidden, target).loss.backward()
        optimizer.step()
    ranks = ranks_of(with_it, target).tolist()
    for i, rank in enumerate(ranks):
        (w, projection), (stepped, same) = words_of(with_it)[rank], words_of(without)[rank]
        assert torch.equal(projection, same)
        torch.testing.assert_close(w, (projection @ hidden[i] + stepped) / 2)


def test_what_is_heard():
    softmax = adaptive(ignore_index=ORDER[0])
    optimizer = torch.optim.SGD(softmax.parameters(), 0.1)
    hebbian = HebbianUpdate(softmax).attach(optimizer)
    hidden, target = torch.randn(2, 4, D), torch.tensor(ORDER)[torch.tensor([[0, 1, 2, 3], [1, 1, 11, 0]])]
    softmax.eval()(hidden, target)
    with torch.no_grad():
        softmax.train()(hidden, target)
    optimizer.step()
    assert not hebbian.counts.any()
    softmax(hidden, target)
    softmax(hidden, target)  # two calls before a step
    optimizer.step()
    assert hebbian.counts.tolist() == [0, 6, 2, 2, 0, 0, 0, 0, 0, 0, 0, 2]  # what is ignored does not count
    optimizer.step()
    with pytest.raises(RuntimeError, match="attached to one optimizer, got a second"):
        hebbian.attach(optimizer)
    softmax(hidden, target)
    hebbian.detach()
    optimizer.step()
    assert int(hebbian.counts.sum()) == 12
    hebbian.attach(optimizer)
    softmax(hidden, target)
    optimizer.step()
    assert int(hebbian.counts.sum()) == 18


@pytest.mark.parametrize("kind", MAKERS)
def test_a_training_goes_on_exactly(kind):
    batches = [(torch.randn(8, D), torch.randint(V, (8,))) for _ in range(6)]

    def ready():
        torch.manual_seed(1)
        softmax = MAKERS[kind]()
        optimizer = torch.optim.Adam(softmax.parameters(), 0.05)
        return softmax, optimizer, HebbianUpdate(softmax, match_norm=True).attach(optimizer)

    def trained(softmax, optimizer, batches):
        for hidden, target in batches:
            optimizer.zero_grad()
            softmax(hidden, target).loss.backward()
            optimizer.step()

    whole, first, second, without = ready(), ready(), ready(), ready()
    trained(*whole[:2], batches)
    trained(*first[:2], batches[:3])
    kept = [copy.deepcopy(part.state_dict()) for part in first]
    for part, state in zip(second, kept, strict=True):
        part.load_state_dict(state)
    for part, state in zip(without[:2], kept[:2], strict=True):
        part.load_state_dict(state)  # all but the counts
    trained(*second[:2], batches[3:])
    trained(*without[:2], batches[3:])
    for expected, value in zip(whole[0].parameters(), second[0].parameters(), strict=True):
        assert torch.equal(expected, value)
    assert torch.equal(whole[2].counts, second[2].counts)
    assert not torch.equal(next(whole[0].parameters()), next(without[0].parameters()))


def test_half_precision_means_are_taken_in_single():
    softmax = FullSoftmax(D, V, dtype=torch.bfloat16)
    hidden = torch.randn(300, D).bfloat16()
    moved(softmax, HebbianUpdate(softmax), hidden, torch.zeros(300, dtype=torch.long))
    assert torch.equal(softmax.output.weight[0], hidden.float().mean(0).bfloat16())


def test_vectors_of_zeros_give_no_nan():
    softmax = FullSoftmax(D, V)
    softmax.output.weight.data[1] = 0
    before = softmax.output.weight[0].clone()
    moved(
        softmax, HebbianUpdate(softmax, match_norm=True), torch.stack([torch.zeros(D), torch.ones(D)]), torch.arange(2)
    )
    assert torch.equal(softmax.output.weight[0], before) and not softmax.output.weight[1].any()


def test_what_is_refused():
    softmax = FullSoftmax(D, V)
    for options, message in (
        ({"gamma": 0}, "gamma should be above 0 and at most 1, got 0"),
        ({"gamma": 1.5}, "gamma should be above 0 and at most 1, got 1.5"),
        ({"until": 0}, "until should be an integer of at least 1, got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            HebbianUpdate(softmax, **options)
    with pytest.raises(TypeError, match="softmax should be a full or adaptive one, got HierarchicalSoftmax"):
        HebbianUpdate(build("hierarchical", D, list(range(V, 0, -1))))
    hooked = adaptive()
    hooked.tail[0][1].register_forward_hook(lambda *_: None)
    with pytest.raises(TypeError, match="softmax should have Linears with nothing attached"):
        HebbianUpdate(hooked)
    hebbian = HebbianUpdate(softmax)
    hebbian.add(torch.full((1, D), math.nan), torch.tensor([1]))
    with pytest.raises(RuntimeError, match="hidden states should be finite for a Hebbian update"):
        hebbian.step()
    assert not hebbian.counts.any() and isinstance(softmax.output, nn.Linear)
    for state, message in (
        ({}, "state should hold counts and nothing else, got nothing"),
        ({"counts": torch.zeros(V + 1, dtype=torch.long)}, "counts should be 12 numbers of at least 0, int64"),
        ({"counts": torch.zeros(V)}, "counts should be 12 numbers"),
        ({"counts": torch.full((V,), -1)}, "counts should be 12 numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            hebbian.load_state_dict(state)
