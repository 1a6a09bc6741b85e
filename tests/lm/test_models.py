"""Language models: bodies against torch's own cells step by step, state, sampling, bad input."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from adasoft import AdaptiveEmbedding, alternatives
from adasoft.lm import models
from adasoft.lm.models import (
    CELLS,
    ElmanCell,
    LanguageModel,
    Recurrent,
    Stepwise,
    Transformer,
    detached,
    state_tensors,
)

pytestmark = pytest.mark.usefixtures("one_thread")
V = 30


def model(body, softmax="full", **options):
    d = body.out_features
    made = alternatives.build(softmax, d, np.arange(V, 0, -1), **options)
    return LanguageModel(nn.Embedding(V, body.in_features), body, made)


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_is_the_same_in_one_window_and_in_two_with_the_state_carried(cell):
    torch.manual_seed(0)
    body = Recurrent(5, [7, 6], cell)
    x = torch.randn(3, 8, 5)
    whole, end = body(x)
    first, state = body(x[:, :3])
    second, last = body(x[:, 3:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
    assert whole.shape == (3, 8, 6) and body.out_features == 6
    for a, b in zip(state_tensors(end), state_tensors(last), strict=True):
        torch.testing.assert_close(a, b)
    assert not torch.allclose(body(x[:, 3:])[0], second)  # the state matters


def test_the_sigmoid_network_is_elmans_recurrence():
    torch.manual_seed(0)
    body = Recurrent(4, [3], "rnn-sigmoid")
    cell = body.layers[0].cell
    x, h = torch.randn(2, 5, 4), torch.zeros(2, 3)
    for t in range(5):
        h = torch.sigmoid(x[:, t] @ cell.input.weight.T + cell.input.bias + h @ cell.recurrent.weight.T)
    torch.testing.assert_close(body(x)[0][:, -1], h)


def test_an_elman_cell_of_tanh_equals_torchs():
    torch.manual_seed(0)
    own, theirs = Stepwise(4, 3, ElmanCell(4, 3, torch.tanh)), nn.RNN(4, 3, batch_first=True)
    with torch.no_grad():
        theirs.weight_ih_l0.copy_(own.cell.input.weight)
        theirs.weight_hh_l0.copy_(own.cell.recurrent.weight)
        theirs.bias_ih_l0.copy_(own.cell.input.bias)
        theirs.bias_hh_l0.zero_()
    x = torch.randn(2, 6, 4)
    torch.testing.assert_close(own(x)[0], theirs(x)[0])


def test_a_cell_of_ones_own_with_a_state_of_two_parts_trains():
    class Cell(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate, self.new = nn.Linear(8, 4), nn.Linear(4, 4)

        def forward(self, x, state):
            h, n = state if state is not None else (x.new_zeros(len(x), 4), (x.new_zeros(len(x), 1),))
            g = torch.sigmoid(self.gate(torch.cat([x, h], 1)))
            h = g * h + (1 - g) * torch.tanh(self.new(x))
            return h, (h, (n[0] + 1,))

    torch.manual_seed(0)
    made = model(Stepwise(4, 4, Cell()))
    ids = torch.randint(V, (2, 7))
    loss, state = made(ids[:, :-1], ids[:, 1:])
    loss.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in made.parameters())
    assert state[1][0].tolist() == [[6.0], [6.0]] and not any(t.requires_grad for t in state_tensors(state))
    assert made(ids[:, :-1], ids[:, 1:], state).state[1][0].tolist() == [[12.0], [12.0]]


def test_a_transformer_does_not_look_ahead_and_knows_positions():
    torch.manual_seed(0)
    body = Transformer(8, 2, 2).eval()
    x = torch.randn(2, 6, 8)
    changed = x.clone()
    changed[:, 4:] = torch.randn(2, 2, 8)
    a, b = body(x)[0], body(changed)[0]
    torch.testing.assert_close(a[:, :4], b[:, :4])
    assert not torch.allclose(a[:, 4:], b[:, 4:])
    same = torch.ones(1, 3, 8)
    assert not torch.allclose(body(same)[0][0, 1], body(same)[0][0, 2])
    assert body(x)[1] is None


@pytest.mark.parametrize("softmax", [n for n in alternatives.NAMES if n not in ("svd", "doubly-sparse")])
def test_every_softmax_fits_into_a_model_and_can_be_sampled_from(softmax):
    torch.manual_seed(0)
    needs_cutoffs = softmax in ("adaptive", "d-softmax", "d-softmax-star")
    made = model(Recurrent(8, [16], "gru"), softmax, **({"cutoffs": [8, 16]} if needs_cutoffs else {}))
    ids = torch.randint(V, (3, 5))
    loss, _ = made(ids, ids)
    loss.backward()
    assert all(p.grad is not None for p in made.embedding.parameters())
    drawn = made.generate(ids, 6, generator=torch.Generator().manual_seed(1))
    assert drawn.shape == (3, 6) and drawn.min() >= 0 and drawn.max() < V
    again = made.generate(ids, 6, generator=torch.Generator().manual_seed(1))
    assert torch.equal(drawn, again) and made.training


def test_words_are_drawn_as_often_as_the_model_says():
    torch.manual_seed(0)
    made = model(Recurrent(4, [8], "lstm"), "adaptive", cutoffs=[5, 12])
    with torch.no_grad():
        for p in made.softmax.parameters():
            p.mul_(4)
    start = torch.full((20_000, 1), 3)
    drawn = made.generate(start, 1, generator=torch.Generator().manual_seed(0))[:, 0]
    expected = made.softmax.log_prob(made.hidden(start[:1])[0][:, -1])[0].exp()
    seen = torch.bincount(drawn, minlength=V) / len(drawn)
    # five standard deviations of a share
    assert (seen - expected).abs().le(5 * (expected * (1 - expected) / len(drawn)).sqrt() + 1e-4).all()


def test_a_tied_adaptive_embedding_counts_its_words_once():
    softmax = alternatives.build("adaptive", 16, np.arange(V, 0, -1), cutoffs=[8])
    body = Recurrent(16, [16], "lstm")
    tied = LanguageModel(AdaptiveEmbedding.tied(softmax), body, softmax)
    plain = LanguageModel(nn.Embedding(V, 16), body, softmax)
    assert plain.n_parameters - tied.n_parameters == V * 16 - 8 * 16  # the tail's projection up is new


def test_where_the_time_goes_is_told_in_order():
    made, said = model(Recurrent(4, [4], "lstm")), []
    made.heard = said.append
    ids = torch.randint(V, (2, 3))
    made(ids, ids).loss.backward()
    assert said == ["body", "output", "output gradient"]


def test_state_tensors_and_detached_follow_the_tree():
    a, b = torch.ones(2, requires_grad=True) * 2, torch.zeros(1)
    assert [t is u for t, u in zip(state_tensors((a, None, (b,))), [a, b], strict=True)] == [True, True]
    assert detached((a, None, (b,)))[0].requires_grad is False and detached(None) is None


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Recurrent(4, [4], "lstn"), "cell should be one of lstm"),
        (lambda: Recurrent(4, []), "at least one layer"),
        (lambda: Recurrent(4, [0]), r"sizes\[0\]"),
        (lambda: Recurrent(4, [4], dropout=1.0), "dropout should be at least 0 and below 1, got 1.0"),
        (lambda: Transformer(6, 1, 4), "divisible by n_heads=4, got 6"),
        (lambda: LanguageModel(nn.Embedding(V, 3), Recurrent(4, [4]), alternatives.build("full", 4, V)), "size 3"),
        (lambda: LanguageModel(nn.Embedding(V, 4), Recurrent(4, [5]), alternatives.build("full", 4, V)), "size 5"),
        (lambda: LanguageModel(nn.Embedding(9, 4), Recurrent(4, [4]), alternatives.build("full", 4, V)), "9 words"),
        (lambda: model(Recurrent(4, [4])).generate(torch.zeros(1, 0, dtype=torch.long), 1), "T at least 1"),
    ],
)
def test_what_does_not_fit_is_said(make, says):
    with pytest.raises(ValueError, match=says):
        make()


def test_a_cell_that_breaks_its_promise_is_told_so():
    x = torch.zeros(2, 3, 4)
    with pytest.raises(TypeError, match=r"pair \(output, state\), got Tensor"):
        Stepwise(4, 4, lambda x, s: x)(x)
    with pytest.raises(ValueError, match=r"shape \(2, 5\), got \(2, 4\)"):
        Stepwise(4, 5, lambda x, s: (x, s))(x)
    with pytest.raises(TypeError, match="callable"):
        Stepwise(4, 4, 3)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_every_cell_runs_under_autocast_whatever_the_cpu_has(cell, dtype):
    body = Recurrent(16, [16, 16], cell)
    x, before = torch.randn(3, 7, 16), torch.get_rng_state()
    with torch.autocast("cpu", dtype):
        first, state = body(x[:, :4])
        second, _ = body(x[:, 4:], state)
    assert torch.equal(before, torch.get_rng_state())
    exact, _ = body(x)
    torch.testing.assert_close(torch.cat([first, second], 1).float(), exact, atol=0.03, rtol=0.03)
    (first.float().sum() + second.float().sum()).backward()
    assert all(torch.isfinite(p.grad).all() for p in body.parameters())


def test_an_lstm_that_the_cpu_cannot_run_in_low_precision_runs_in_fp32(monkeypatch):
    body, x = Recurrent(16, [16], "lstm"), torch.randn(3, 7, 16)
    monkeypatch.setattr(models, "_lstm_runs_in", lambda dtype: False)
    with torch.autocast("cpu", torch.bfloat16):
        found, state = body(x.bfloat16(), ((torch.zeros(1, 3, 16).bfloat16(), torch.zeros(1, 3, 16)),))
    expected, _ = body(x.bfloat16().float())
    assert found.dtype == torch.float32 and torch.equal(found, expected)
    assert all(t.dtype == torch.float32 for t in state_tensors(state))


def test_a_long_start_is_read_whole_by_a_body_with_state():
    torch.manual_seed(0)
    made, start = model(Recurrent(5, [6], "lstm")), torch.randint(V, (2, 11))
    words = made.generate(start, 4, window=3, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(words, made.generate(start, 4, window=64, generator=torch.Generator().manual_seed(1)))
    other = start.clone()
    other[:, 0] = (other[:, 0] + 1) % V
    heard = [made.hidden(one)[0][:, -1] for one in (start, other)]
    assert not torch.equal(*heard)
    seen = []
    made.hidden, kept = lambda ids, state=None: (seen.append(ids.shape[1]), kept(ids, state))[1], made.hidden
    made.generate(start, 3, window=4)
    assert seen == [4, 4, 3, 1, 1]
    # one without reads the last words alone
    stateless, seen[:] = model(Transformer(6, 1, 2)), []
    stateless.hidden, kept = lambda ids, state=None: (seen.append(ids.shape[1]), kept(ids, state))[1], stateless.hidden
    stateless.generate(start, 3, window=4)
    assert seen[-3:] == [4, 4, 4]
    with pytest.raises(ValueError, match="window should be an integer of at least 1, got 0"):
        made.generate(start, 1, window=0)


def test_generating_leaves_every_module_in_its_mode():
    made = model(Recurrent(5, [6], "gru"))
    made.train()
    made.embedding.eval()
    made.generate(torch.zeros(1, 1, dtype=torch.long), 2)
    assert made.training and made.body.training and not made.embedding.training


def test_a_transformer_adds_sinusoids_to_words_times_the_root_of_d():
    """Vaswani et al. 2017, 3.4 and 3.5: what goes into the first block."""
    from adasoft.lm.models import sinusoids

    d, steps = 8, 5
    expected = torch.empty(steps, d)
    for position in range(steps):
        for i in range(d // 2):
            angle = position / 10_000 ** (2 * i / d)
            expected[position, 2 * i], expected[position, 2 * i + 1] = math.sin(angle), math.cos(angle)
    torch.testing.assert_close(sinusoids(steps, d), expected)
    body, heard = Transformer(d, 1, 2), []
    body.blocks.layers[0].register_forward_pre_hook(lambda _, inputs: heard.append(inputs[0]))
    x = torch.randn(2, steps, d)
    body(x)
    torch.testing.assert_close(heard[0], x * math.sqrt(d) + expected)


def test_dropout_is_between_the_layers_only():
    body = Recurrent(6, [6], "rnn-tanh", dropout=0.5).train()
    x = torch.randn(2, 4, 6)
    assert torch.equal(body(x)[0], body.eval()(x)[0])  # one layer: nothing is between
    torch.manual_seed(0)
    two = Recurrent(6, [6, 6], "rnn-tanh", dropout=0.5).train()
    assert not torch.equal(two(x)[0], two.eval()(x)[0])
