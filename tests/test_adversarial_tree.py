"""The tree that draws negatives: its probabilities and draws, its fit against other solvers, bad input."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from scipy.optimize import minimize
from scipy.stats import chi2
from torch.nn import functional as F

from adasoft.adversarial import Tree, fit_tree
from adasoft.adversarial.splits import ascended, blocks_of, divided, objective

pytestmark = pytest.mark.usefixtures("one_thread")
STRENGTH = 0.1


def clusters(n_classes, per_class=12, d=5, spread=1.0, seed=0):
    """Rows around the centres of their labels."""
    draw = torch.Generator().manual_seed(seed)
    y = torch.arange(n_classes).repeat(per_class)
    centres = torch.randn(n_classes, d, generator=draw, dtype=torch.float64) * 2
    return centres[y] + spread * torch.randn(len(y), d, generator=draw, dtype=torch.float64), y


def level(n_nodes, n_classes, k=3, seed=0, rows=90):
    """Rows, labels, the node of each label, and weights, drawn."""
    draw = torch.Generator().manual_seed(seed)
    z = torch.randn(rows, k, generator=draw, dtype=torch.float64)
    y = torch.randint(n_classes, (rows,), generator=draw)
    node = torch.arange(n_classes) % n_nodes
    weights = torch.randn(n_nodes, k + 1, generator=draw, dtype=torch.float64)
    right = torch.rand(n_classes, generator=draw) < 0.5
    return z, y, node, weights, right


def by_loops(z, y, node, weights, right, v):
    """L_v by its definition."""
    total = -STRENGTH * weights[v].square().sum().item()
    for row, label in zip(z, y.tolist(), strict=True):
        if node[label] == v:
            zeta = 1.0 if right[label] else -1.0
            total += F.logsigmoid(zeta * (row @ weights[v, :-1] + weights[v, -1])).item()
    return total


# ---------------------------------------------------------------------- probabilities and draws


@pytest.mark.parametrize("n_classes", [2, 3, 7, 8, 13])
def test_probabilities_of_all_labels_sum_to_one_and_padding_has_none(n_classes):
    x, y = clusters(n_classes)
    tree = fit_tree(x, y, n_classes)
    assert 2**tree.depth >= n_classes > 2 ** (tree.depth - 1)
    log_prob = tree.log_prob(x)
    torch.testing.assert_close(log_prob.exp().sum(1), torch.ones(len(x), dtype=x.dtype), rtol=0, atol=1e-12)
    assert bool((log_prob > -math.inf).all())
    leaves = Tree(tree.centre, tree.projection, tree.weight, tree.bias, torch.arange(2**tree.depth))  # no padding
    padding = leaves.log_prob(x)[:, tree.label < 0]
    assert padding.shape[1] == 2**tree.depth - n_classes and bool((padding == -math.inf).all())


def test_a_label_is_the_product_along_its_path():
    x, y = clusters(6)
    tree = fit_tree(x, y, 6)
    z = (x - tree.centre) @ tree.projection
    for label in range(6):
        place, product = 0, torch.ones(len(x), dtype=x.dtype)
        for step in reversed(range(tree.depth)):
            go = int(tree.leaf[label]) >> step & 1
            product *= torch.sigmoid((1 if go else -1) * (z @ tree.weight[place] + tree.bias[place]))
            place = 2 * place + 1 + go
        torch.testing.assert_close(tree.log_prob(x)[:, label].exp(), product)
    some = torch.stack([y, 5 - y], 1)
    torch.testing.assert_close(tree.score(x, some), tree.log_prob(x).gather(1, some))
    assert tree.log_prob(x.view(6, -1, 5)).shape == (6, len(x) // 6, 6)


def test_draws_follow_the_probabilities():
    x, y = clusters(6, spread=2.5)
    tree, n = fit_tree(x, y, 6), 4000
    rows = x[:5]
    drawn = tree.sample(rows, n, generator=torch.Generator().manual_seed(1))
    expected = n * tree.log_prob(rows).exp()
    found = F.one_hot(drawn, 6).sum(1)
    enough = expected >= 5
    statistic = ((found - expected).square() / expected)[enough].sum().item()
    assert int(enough.sum()) > 12 and statistic < chi2.ppf(1 - 1e-5, int(enough.sum()))
    assert bool((found[expected < 1e-6] == 0).all())


def test_draws_never_meet_padding():
    x, y = clusters(5, spread=0.5)
    drawn = fit_tree(x, y, 5).sample(100 * x, 200)
    assert int(drawn.min()) >= 0 and int(drawn.max()) < 5


# ---------------------------------------------------------------------- the fit


def test_components_are_whitened():
    x, y = clusters(4, d=7)
    z = fit_tree(x * torch.logspace(-3, 3, 7, dtype=x.dtype) + 5, y, 4, n_components=4).components(
        x * torch.logspace(-3, 3, 7, dtype=x.dtype) + 5
    )
    torch.testing.assert_close(z.mean(0), torch.zeros(4, dtype=x.dtype), rtol=0, atol=1e-9)
    torch.testing.assert_close(z.mT @ z / len(z), torch.eye(4, dtype=x.dtype), rtol=0, atol=1e-9)


def test_the_objective_by_loops():
    z, y, node, weights, right = level(3, 7)
    found = objective(blocks_of(z, y, node[y], 3), right, weights, STRENGTH)
    for v in range(3):
        assert found[v].item() == pytest.approx(by_loops(z, y, node, weights, right, v))


def test_newton_finds_what_any_convex_solver_finds():
    z, y, node, weights, right = level(3, 7)
    blocks = blocks_of(z, y, node[y], 3)
    for start in (weights, 30 * weights):  # far off, where there is no curvature
        found = ascended(blocks, right, start, STRENGTH)
        for v in range(3):

            def loss(w, v=v):
                own = torch.zeros(3, 4, dtype=torch.float64)
                own[v] = torch.tensor(w)
                own.requires_grad_()
                value = -objective(blocks, right, own, STRENGTH)[v]
                value.backward()
                return value.item(), own.grad[v].numpy()

            best = minimize(loss, weights[v].numpy(), jac=True, options={"gtol": 1e-9})
            torch.testing.assert_close(found[v], torch.tensor(best.x), rtol=0, atol=1e-6)


def test_neither_step_lowers_the_objective():
    for seed in range(6):
        z, y, node, weights, right = level(2, 8, seed=seed)
        blocks = blocks_of(z, y, node[y], 2)
        right = divided(torch.randn(8, generator=torch.Generator().manual_seed(seed)).double(), node, 2, 2)
        before = objective(blocks, right, weights, STRENGTH)
        weights = ascended(blocks, right, weights, STRENGTH)
        raised = objective(blocks, right, weights, STRENGTH)
        ones = torch.cat([z, torch.ones(len(z), 1, dtype=z.dtype)], 1)
        gains = torch.zeros(8, dtype=z.dtype).index_add_(0, y, (ones * weights[node[y]]).sum(1))
        other = divided(gains, node, 2, 2)
        after = objective(blocks, other, weights, STRENGTH)
        assert bool((raised >= before).all()) and bool((after >= raised - 1e-9).all())
        # and no other balanced split is better with these weights
        for v in range(2):
            own = (node == v).nonzero().squeeze(1).tolist()
            for chosen in itertools.combinations(own, 2):
                sides = other.clone()
                sides[own] = False
                sides[list(chosen)] = True
                assert objective(blocks, sides, weights, STRENGTH)[v] <= after[v] + 1e-9


@pytest.mark.parametrize(("n_classes", "half"), [(3, 2), (5, 4), (8, 4)])
def test_the_best_split_of_all_is_never_worse_than_the_greedy_one(n_classes, half):
    for seed in range(1 if n_classes == 8 else 2):
        x, y = clusters(n_classes, per_class=6, d=2, spread=2.0, seed=seed)
        tree = fit_tree(x, y, n_classes, strength=STRENGTH)
        z = tree.components(x)
        right = tree.leaf >= 2 ** (tree.depth - 1)
        blocks = blocks_of(z, y, torch.zeros_like(y), 1)
        root = torch.cat([tree.weight[:1], tree.bias[:1, None]], 1)
        greedy = objective(blocks, right, root, STRENGTH).item()
        found = []
        for n in range(n_classes - half, half + 1):
            for chosen in itertools.combinations(range(n_classes), n):
                sides = torch.zeros(n_classes, dtype=torch.bool)
                sides[list(chosen)] = True
                weights = ascended(blocks, sides, torch.zeros_like(root), STRENGTH)
                found.append(objective(blocks, sides, weights, STRENGTH).item())
        assert max(found) >= greedy - 1e-9
        assert greedy > sum(found) / len(found)  # and the greedy one is no random split


def test_splits_are_balanced_and_respect_the_room():
    gains = torch.tensor([3.0, 2, 1, -1, 5, 5, 5, -2])
    node = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    assert divided(gains, node, 2, 2).tolist() == [True, True, False, False, True, True, False, False]
    # room for three on a side: those with a positive gain, but at least one and at most three
    assert divided(gains, node, 2, 3).tolist() == [True, True, True, False, True, True, True, False]
    assert divided(-gains.abs(), node, 2, 3).tolist() == [False, False, True, False, False, False, False, True]
    for n_classes in (4, 8, 16):
        x, y = clusters(n_classes)
        assert sorted(fit_tree(x, y, n_classes).leaf.tolist()) == list(range(n_classes))


def test_a_tree_of_two_labels_is_logistic_regression():
    x, y = clusters(2, per_class=40, d=3, spread=3.0)
    tree = fit_tree(x, y, 2, strength=STRENGTH)
    assert tree.depth == 1
    z, sides = tree.components(x), 2.0 * (tree.leaf[y]) - 1

    def loss(w):
        w = torch.tensor(w, requires_grad=True)
        value = F.softplus(-sides * (z @ w[:-1] + w[-1])).sum() + STRENGTH * w.square().sum()
        value.backward()
        return value.item(), w.grad.numpy()

    best = torch.tensor(minimize(loss, [0.0] * 4, jac=True, options={"gtol": 1e-9}).x)
    torch.testing.assert_close(torch.cat([tree.weight[0], tree.bias]), best, rtol=0, atol=1e-6)


def test_a_fit_that_splits_anew_is_better_than_its_first_direction():
    """What the released Julia leaves out: on these clusters eq. 9 gains."""
    x, y = clusters(32, per_class=20, d=8, spread=1.0, seed=5)
    tree = fit_tree(x, y, 32)
    found = tree.log_prob(x).gather(1, y[:, None]).mean()
    drawn = [torch.randperm(32, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    assert found > -0.75 * math.log(32)
    for leaf in drawn:  # leaves in any order with these weights are no model at all
        assert Tree(tree.centre, tree.projection, tree.weight, tree.bias, leaf).log_prob(x).gather(
            1, y[:, None]
        ).mean() < -math.log(32)


def test_the_fit_has_no_chance_in_it_and_keeps_the_dtype():
    x, y = clusters(9)
    one, two = fit_tree(x.float(), y, 9), fit_tree(x.float(), y, 9)
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, two.state_dict()[name])
        assert tensor.dtype in (torch.float32, torch.int64)
    assert one.sample(x.float()).shape == (len(x), 1)


# ---------------------------------------------------------------------- labels without rows, dull features, bad input


def test_labels_without_rows_have_leaves_and_a_probability():
    x, y = clusters(4)
    tree = fit_tree(x, y, 11)
    chance = tree.log_prob(x).exp()
    assert len(tree.leaf) == 11 and bool((chance > 0).all())
    torch.testing.assert_close(chance.sum(1), torch.ones(len(x), dtype=x.dtype))
    assert chance[:, 4:].sum(1).mean() < 0.2


def test_features_without_variance_are_left_out():
    x, y = clusters(4)
    dull = torch.cat([x, torch.full((len(x), 1), 0.1, dtype=x.dtype), x[:, :1]], 1)
    tree = fit_tree(dull, y, 4)
    assert tree.n_components == 5  # the rank: one feature is constant, one a copy
    moved = dull.clone()
    moved[:, 5] = 1e6
    torch.testing.assert_close(tree.log_prob(moved), tree.log_prob(dull))
    with pytest.raises(ValueError, match="n_components should be at most 5, the rank of the features, got 6"):
        fit_tree(dull, y, 4, n_components=6)


X, Y = clusters(3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fit_tree(X, Y, 1), "n_classes should be an integer of at least 2, got 1"),
        (lambda: fit_tree(X, Y, 2), "y should be from 0 to 1, got 2"),
        (lambda: fit_tree(X, Y - 1, 3), "y should be from 0 to 2, got -1"),
        (lambda: fit_tree(X * math.nan, Y, 3), "x should hold finite numbers, got nan or inf"),
        (lambda: fit_tree(X / 0, Y, 3), "x should hold finite numbers, got nan or inf"),
        (lambda: fit_tree(0 * X + 7, Y, 3), "x should have a feature with variance, got none"),
        (lambda: fit_tree(X[:1], Y[:1], 3), "x should have a feature with variance, got none"),
        (lambda: fit_tree(X[:0], Y[:0], 3), r"x and y should be of the shapes \(N, d\) and \(N,\), N > 0"),
        (lambda: fit_tree(X, Y[1:], 3), r"x and y should be of the shapes"),
        (lambda: fit_tree(X, Y.double(), 3), "x should hold floating-point numbers and y integers"),
        (lambda: fit_tree(X, Y, 3, strength=0), "strength should be a finite number above 0, got 0"),
        (lambda: fit_tree(X, Y, 3).sample(X, 0), "n should be an integer of at least 1, got 0"),
        (lambda: fit_tree(X, Y, 3).sample(X * math.nan), "input should hold finite numbers, got others"),
        (lambda: Tree(X[0], X[:4], X[:3], X[:3, 0], torch.tensor([0, 1])), "should have shapes that fit"),
        (
            lambda: Tree(X[0], X[:5].mT[:5], X[:3], X[:3, 0], torch.tensor([1, 1])),
            "leaf should be a different one of 4 leaves",
        ),
        (
            lambda: Tree(X[0], X[:5].mT[:5], X[:3], X[:3, 0], torch.tensor([0, 1])),
            "bias of a node with padding on one side should be infinite",
        ),
    ],
)
def test_bad_input_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_bad_candidates_are_refused_by_name():
    tree = fit_tree(X, Y, 3)
    with pytest.raises(RuntimeError, match=r"candidates should be in \[0, 2\], got 3"):
        tree.score(X[:1], torch.tensor([[0, 3]]))
    with pytest.raises(RuntimeError, match="candidates should have the shape"):
        tree.score(X, Y)
    with pytest.raises(RuntimeError, match=r"input should have the shape \(\.\.\., 5\)"):
        tree.log_prob(X[:, 1:])
