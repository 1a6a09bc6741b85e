"""The adversarial softmax and its rivals: theory in tables, estimates against expectations, exact evaluation."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import chi2
from torch.nn import functional as F

from adasoft import AdaptiveSoftmax
from adasoft import adversarial as A
from adasoft.adversarial.softmaxes import contrasted

pytestmark = pytest.mark.usefixtures("one_thread", "in_fp64")
N, C, D = 4, 6, 5


def tables(n=N, c=C, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(n, c, generator=draw).softmax(1) for _ in range(2)]


class Table(torch.nn.Module):
    """A noise whose x is the number of a row, one-hot."""

    def __init__(self, p):
        super().__init__()
        self.n_classes = p.shape[1]
        self.register_buffer("p", p)

    def log_prob(self, input):
        return input @ self.p.log()

    def score(self, input, candidates):
        return self.log_prob(input).gather(1, candidates)

    def sample(self, input, n=1, *, generator=None):
        return torch.multinomial(input @ self.p, n, replacement=True, generator=generator)


def softmaxes(noise=None, **kwargs):
    noise = A.Frequency(torch.arange(C)) if noise is None else noise
    d = kwargs.pop("d", D)
    return [
        A.AdversarialSoftmax(d, C, noise, **kwargs),
        A.NCE(d, C, noise, **kwargs),
        A.OneVsEach(d, C, **kwargs),
    ]


def named(layer):
    return type(layer).__name__


# ---------------------------------------------------------------------- theorem 1, in tables


def test_the_minimiser_is_the_ratio_of_data_and_noise():
    p_data, p_noise = tables()
    scores = torch.zeros(N, C, requires_grad=True)
    solver = torch.optim.LBFGS(
        [scores], max_iter=200, tolerance_grad=1e-9, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure():
        solver.zero_grad()
        loss = A.expected_loss(scores, p_data, p_noise)
        loss.backward()
        return loss

    solver.step(closure)
    torch.testing.assert_close(scores.detach(), A.optimal_scores(p_data, p_noise), rtol=0, atol=1e-6)
    torch.testing.assert_close(scores.detach() + p_noise.log(), p_data.log(), rtol=0, atol=1e-6)


def test_uniform_noise_has_the_scores_of_the_softmax_up_to_a_constant():
    p_data, _ = tables()
    found = A.optimal_scores(p_data, torch.full((N, C), 1 / C))
    torch.testing.assert_close(found - p_data.log(), torch.full((N, C), math.log(C)))


def test_a_perfect_noise_leaves_nothing_to_learn():
    p_data, _ = tables()
    assert not A.optimal_scores(p_data, p_data).any()
    layer = A.AdversarialSoftmax(N, C, Table(p_data)).eval()
    torch.nn.init.zeros_(layer.output.weight)
    torch.testing.assert_close(layer.log_prob(torch.eye(N)), p_data.log())
    torch.testing.assert_close(layer.excess(torch.eye(N)), torch.zeros(N))
    # and the expected gradient there is 0
    layer.train()
    loss = sum(
        p_data[x, y] * p_data[x, other] * contrasted(layer.scores(torch.eye(N))[x : x + 1, [y, other]])
        for x in range(N)
        for y in range(C)
        for other in range(C)
    )
    loss.backward()
    torch.testing.assert_close(layer.output.weight.grad, torch.zeros(C, N), rtol=0, atol=1e-15)


# ---------------------------------------------------------------------- gradient, curvature, covariance; theorem 2


def test_gradient_and_curvature_at_the_optimum():
    p_data, p_noise = tables()
    best = A.optimal_scores(p_data, p_noise)
    loss = lambda flat: N * A.expected_loss(flat.view(N, C), p_data, p_noise)  # noqa: E731
    gradient = torch.autograd.functional.jacobian(loss, best.flatten())
    hessian = torch.autograd.functional.hessian(loss, best.flatten())
    torch.testing.assert_close(gradient, torch.zeros(N * C), rtol=0, atol=1e-15)
    torch.testing.assert_close(hessian, A.curvature(p_data, p_noise).flatten().diag())


def sampled_gradients(p_data, p_noise, x):
    """Every (probability, gradient in the scores of row x) of one positive and one negative, at the optimum."""
    best = A.optimal_scores(p_data, p_noise)[x]
    for y in range(C):
        for other in range(C):
            scores = best.clone().requires_grad_()
            (gradient,) = torch.autograd.grad(contrasted(scores[[y, other]].unsqueeze(0)).sum(), scores)
            yield p_data[x, y] * p_noise[x, other], gradient


def test_covariance_of_the_gradient_by_enumeration():
    p_data, p_noise = tables()
    for x in range(N):
        pairs = [*sampled_gradients(p_data, p_noise, x)]
        mean = sum(p * g for p, g in pairs)
        covariance = sum(p * torch.outer(g, g) for p, g in pairs)
        torch.testing.assert_close(mean, torch.zeros(C), rtol=0, atol=1e-15)
        torch.testing.assert_close(covariance, A.gradient_covariance(p_data, p_noise)[x])


def test_what_theorem_2_is_worth():
    p_data, p_noise = tables()
    # a step takes one of N rows: the gradient of the sum over rows is estimated by N times that row's
    covariance = torch.zeros(N * C, N * C)
    for x in range(N):
        for p, g in sampled_gradients(p_data, p_noise, x):
            whole = torch.zeros(N, C)
            whole[x] = N * g
            covariance += p / N * torch.outer(whole.flatten(), whole.flatten())
    alpha = A.curvature(p_data, p_noise)
    torch.testing.assert_close(covariance, N * torch.block_diag(*A.gradient_covariance(p_data, p_noise)))
    traced = (covariance / alpha.flatten()).trace()
    torch.testing.assert_close(A.inverse_snr(p_data, p_noise), traced)
    assert A.inverse_snr(p_data, p_data).item() == pytest.approx(N * N * (C - 1))
    # of all noises that of the data is best, and the worst is at most C / (C - 1) times worse
    for seed in range(20):
        sharp = (10 * tables(seed=seed)[1].log()).softmax(1)
        assert 1 <= (A.inverse_snr(p_data, sharp) / A.inverse_snr(p_data, p_data)).item() <= C / (C - 1)


def test_what_does_gain_is_the_curvature_of_likely_labels():
    c = 1000
    p_data = torch.full((1, c), 0.1 / (c - 1))
    p_data[0, 0] = 0.9
    own, uniform = (A.curvature(p_data, p)[0, 0].item() for p in (p_data, torch.full((1, c), 1 / c)))
    assert own == pytest.approx(0.45) and uniform == pytest.approx(1 / c, rel=2e-3)
    snr = [A.inverse_snr(p_data, p).item() for p in (p_data, torch.full((1, c), 1 / c))]
    assert snr[1] / snr[0] < c / (c - 1)


# ---------------------------------------------------------------------- the losses


@pytest.mark.parametrize("m", [1, 3])
def test_the_losses_by_hand(m):
    x, y, lam = torch.randn(7, D), torch.arange(7) % C, 0.3
    for layer in softmaxes(n_negatives=m, regulariser=lam, reduction="none", generator=torch.Generator()):
        layer.generator.manual_seed(5)
        losses = layer(x, y).loss
        layer.generator.manual_seed(5)
        negatives = layer._negatives(x, y)
        assert negatives.shape == (7, m)
        xi, log_p = layer.scores(x), layer.noise.log_prob(x)
        for i in range(7):
            expected, t = 0.0, int(y[i])
            for j in negatives[i].tolist():
                if isinstance(layer, A.AdversarialSoftmax):
                    one = -F.logsigmoid(xi[i, t]) - F.logsigmoid(-xi[i, j])
                    one = one + lam * ((xi[i, t] + log_p[i, t]) ** 2 + (xi[i, j] + log_p[i, j]) ** 2)
                elif isinstance(layer, A.NCE):
                    one = -F.logsigmoid(xi[i, t] - log_p[i, t]) - F.logsigmoid(log_p[i, j] - xi[i, j])
                    one = one + lam * (xi[i, t] ** 2 + xi[i, j] ** 2)
                else:
                    one = -(C - 1) * F.logsigmoid(xi[i, t] - xi[i, j]) + lam * (xi[i, t] ** 2 + xi[i, j] ** 2)
                expected += one.item() / m
            assert losses[i].item() == pytest.approx(expected)


def test_uniform_noise_without_a_regulariser_is_plain_negative_sampling():
    layer = A.AdversarialSoftmax(D, C, A.Uniform(C), reduction="sum", generator=torch.Generator())
    x, y = torch.randn(7, D), torch.arange(7) % C
    layer.generator.manual_seed(5)
    loss = layer(x, y).loss
    negatives = torch.randint(C, (7, 1), generator=layer.generator.manual_seed(5))
    xi = layer.scores(x)
    expected = F.softplus(-xi.gather(1, y[:, None])).sum() + F.softplus(xi.gather(1, negatives)).sum()
    torch.testing.assert_close(loss, expected)
    layer.eval()  # a constant does not change what is predicted
    torch.testing.assert_close(layer.log_prob(x), layer.scores(x).log_softmax(1))


def test_estimates_average_to_the_expected_loss():
    p_data, p_noise = tables()
    layer = A.AdversarialSoftmax(N, C, Table(p_noise), n_negatives=4, regulariser=0.01, reduction="none")
    scores = layer.scores(torch.eye(N)).detach()
    rows, n = torch.arange(N).repeat_interleave(C), 3000
    y = torch.arange(C).repeat(N)
    losses = layer(torch.eye(N)[rows].repeat(n, 1), y.repeat(n)).loss.detach().view(n, N, C)
    mean, error = (losses * p_data).sum(2).mean(1).mean(), (losses * p_data).sum(2).mean(1).std() / math.sqrt(n)
    assert abs(mean - A.expected_loss(scores, p_data, p_noise, 0.01)) < 5 * error


def test_one_vs_each_is_a_lower_bound():
    layer = A.OneVsEach(D, C, n_negatives=4000, reduction="none").eval()
    x, y = torch.randn(5, D), torch.arange(5)
    xi, exact = layer.scores(x), layer(x, y).output
    others = F.softplus(xi - xi.gather(1, y[:, None])).scatter(1, y[:, None], 0.0).sum(1)
    assert bool((-others <= exact).all())
    drawn = layer.train()(x, y)
    torch.testing.assert_close(drawn.loss, others, rtol=0.03, atol=0)
    assert bool((layer._negatives(x, y) != y[:, None]).all())


def test_nce_starts_where_its_normaliser_is_one():
    layer = A.NCE(D, C, A.Uniform(C))
    torch.testing.assert_close(layer.output.bias.detach(), torch.full((C,), -math.log(C)))
    assert abs(layer.scores(torch.zeros(1, D)).logsumexp(1).item()) < 1e-12


@pytest.mark.parametrize("noise", ["tree", "uniform"])
def test_training_finds_the_data_whatever_the_noise(noise):
    """Free scores (x one-hot), expected gradients replaced by many draws: predictions become the data's."""
    p_data, _ = tables(n=2, seed=8)
    x = torch.eye(2)
    draw = torch.Generator().manual_seed(0)
    own = torch.multinomial(p_data, 300, replacement=True, generator=draw)
    rows, y = x.repeat_interleave(300, 0), own.flatten()
    made = {
        "tree": lambda: A.fit_tree(rows, y, C),
        "uniform": lambda: A.Uniform(C),
    }[noise]()
    layer = A.AdversarialSoftmax(2, C, made, n_negatives=8, generator=torch.Generator().manual_seed(1))
    optimizer = torch.optim.Adam(layer.parameters(), 0.05)
    for _ in range(120):
        optimizer.zero_grad()
        layer(rows, y).loss.backward()
        optimizer.step()
    found = layer.eval().log_prob(x).exp()
    share = torch.stack([row.bincount(minlength=C) / 300 for row in own])
    torch.testing.assert_close(found, share, rtol=0, atol=0.04)
    assert layer.excess(x).abs().max() < 0.1


# ---------------------------------------------------------------------- the interface of softmaxes


@pytest.mark.parametrize("layer", softmaxes(), ids=named)
def test_evaluation_is_exact(layer):
    layer = layer.double().eval()
    x, y = torch.randn(2, 3, D), torch.randint(C, (2, 3))
    log_prob = layer.log_prob(x)
    xi = layer.scores(x)
    if isinstance(layer, A.AdversarialSoftmax):
        xi = xi + layer.noise.log_prob(x)
    torch.testing.assert_close(log_prob, xi.log_softmax(-1))
    found = layer(x, y)
    torch.testing.assert_close(found.output, log_prob.gather(2, y.unsqueeze(2)).squeeze(2))
    torch.testing.assert_close(found.loss, -found.output.mean())
    best = layer.topk(x, 2)
    torch.testing.assert_close(best.values, log_prob.topk(2).values)
    assert torch.equal(best.indices, log_prob.topk(2).indices)
    assert layer.estimates and layer.n_parameters == C * (D + 1)
    assert layer.operations(10) == 6 * 10 * D * 2 and layer.operations(10, train=False) == 2 * 10 * D * C


@pytest.mark.parametrize("layer", softmaxes(regulariser=0.1, n_negatives=2), ids=named)
@pytest.mark.parametrize("training", [True, False])
def test_gradients_are_those_of_the_loss(layer, training):
    layer = layer.double().train(training)
    layer.generator = torch.Generator()
    x, y = torch.randn(4, D, requires_grad=True), torch.tensor([0, 3, -100, 5])

    def loss(x, weight, bias):
        layer.generator.manual_seed(0)
        return torch.func.functional_call(layer, {"output.weight": weight, "output.bias": bias}, (x, y)).loss

    assert torch.autograd.gradcheck(loss, (x, layer.output.weight, layer.output.bias))


@pytest.mark.parametrize("make", [A.AdversarialSoftmax, A.NCE], ids=lambda make: make.__name__)
def test_sparse_gradients_are_the_dense_ones(make):
    layer = make(D, C, A.Uniform(C), regulariser=0.1, generator=torch.Generator())
    x, y = torch.randn(3, D), torch.tensor([1, 1, 4])
    found = []
    with torch.sparse.check_sparse_tensor_invariants(False):
        for sparse in (False, True):
            layer.sparse = sparse
            layer.generator.manual_seed(2)
            layer.zero_grad()
            layer(x, y).loss.backward()
            found.append([p.grad for p in layer.output.parameters()])
            assert all(g.is_sparse is sparse for g in found[-1])
        for dense, sparse in zip(*found, strict=True):
            torch.testing.assert_close(dense, sparse.to_dense())
        torch.optim.Adagrad(layer.parameters(), 0.1).step()


def test_a_hook_on_the_scores_is_called_in_training_too():
    layer = A.AdversarialSoftmax(D, C, A.Uniform(C), generator=torch.Generator())
    x, y = torch.randn(3, D), torch.tensor([1, 1, 4])
    layer.generator.manual_seed(1)
    plain = layer(x, y).loss
    layer.output.register_forward_hook(lambda module, args, out: 2 * out)
    layer.generator.manual_seed(1)
    hooked = layer(x, y).loss
    negatives = torch.randint(C, (3, 1), generator=layer.generator.manual_seed(1))
    xi = layer.scores(x)
    torch.testing.assert_close(hooked, contrasted(xi.gather(1, torch.cat([y[:, None], negatives], 1))).mean())
    assert hooked != plain


# ---------------------------------------------------------------------- noises


def noises():
    x, y = torch.randn(60, D), torch.arange(60) % C
    adaptive = AdaptiveSoftmax(D, C, [2, 4], widths=[3, 2], order=torch.randperm(C))
    narrow = A.Projected(D, AdaptiveSoftmax(3, C, [2], widths=[2]))
    return [A.fit_tree(x, y, C), A.Uniform(C), A.Frequency(torch.arange(C)), adaptive, narrow]


@pytest.mark.parametrize("noise", range(5), ids=["tree", "uniform", "frequency", "adaptive", "projected"])
def test_a_noise_draws_what_its_probabilities_say(noise):
    noise, x = noises()[noise], torch.randn(3, D)
    chance = noise.log_prob(x).exp()
    torch.testing.assert_close(chance.sum(1), torch.ones(3))
    some = torch.tensor([[0, 5], [5, 1], [2, 3]])
    torch.testing.assert_close(noise.score(x, some).exp(), chance.gather(1, some))
    n = 5000
    drawn = noise.sample(x, n, generator=torch.Generator().manual_seed(0))
    found = F.one_hot(drawn, C).sum(1)
    statistic = ((found - n * chance).square() / (n * chance))[n * chance > 5].sum().item()
    assert statistic < chi2.ppf(1 - 1e-5, 3 * (C - 1))
    layer = A.AdversarialSoftmax(D, C, noise, regulariser=0.01)
    layer(x, torch.tensor([0, 1, 5])).loss.backward()
    own = {id(p) for p in layer.output.parameters()}
    assert all(p.grad is None for p in layer.parameters() if id(p) not in own)
    torch.testing.assert_close(layer.eval().log_prob(x).exp().sum(1), torch.ones(3))


def test_a_trained_adaptive_softmax_is_a_noise_and_learns():
    x = torch.randn(300, D)
    y = (x @ torch.randn(D, C)).argmax(1)
    noise = A.Projected(D, AdaptiveSoftmax(3, C, [2], widths=[3]))
    optimizer = torch.optim.Adagrad(noise.parameters(), 0.3)
    before = noise(x, y).loss.item()
    for _ in range(40):
        optimizer.zero_grad()
        noise(x, y).loss.backward()
        optimizer.step()
    assert noise(x, y).loss.item() < before - 0.3


def test_frequencies_add_one():
    p = A.Frequency(torch.tensor([3, 0, 1])).log_prob(torch.zeros(2, D)).exp()
    torch.testing.assert_close(p, torch.tensor([4.0, 1, 2]).div(7).expand(2, 3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: A.AdversarialSoftmax(D, C + 1, A.Uniform(C)), "noise should have n_classes=7, got 6"),
        (lambda: A.NCE(D, C, A.Uniform(C), n_negatives=0), "n_negatives should be an integer of at least 1, got 0"),
        (lambda: A.OneVsEach(D, C, regulariser=-1), "regulariser should be a finite number of at least 0, got -1"),
        (lambda: A.OneVsEach(D, 1), "n_classes should be an integer of at least 2, got 1"),
        (lambda: A.Frequency([1.0, -1.0]), "counts should be finite, not negative"),
        (lambda: A.Frequency([1.0, math.nan]), "counts should be finite, not negative"),
        (lambda: A.Frequency([1.0, 2.0], added=0), "added should be a finite number above 0, got 0"),
        (lambda: A.Uniform(C).sample(torch.zeros(1, D), 0), "n should be an integer of at least 1, got 0"),
    ],
)
def test_bad_settings_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_bad_batches_are_refused_by_name():
    for layer in softmaxes():
        with pytest.raises(RuntimeError, match=r"target_ should be in \[0, 5\]"):
            layer(torch.zeros(2, D), torch.tensor([0, C]))
    x, y = torch.randn(30, D), torch.arange(30) % C
    layer = A.AdversarialSoftmax(D, C, A.fit_tree(x, y, C))
    with pytest.raises(ValueError, match="input should hold finite numbers, got others"):
        layer(x * math.nan, y)


def test_the_base_has_no_loss_of_its_own():
    with pytest.raises(TypeError, match="abstract"):
        A.NoiseSoftmax(D, C, A.Uniform(C))
