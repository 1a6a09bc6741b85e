"""The neural cache: its identities against double loops, in fp64; the search for theta and lambda."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from adasoft import AdaptiveSoftmax
from adasoft.alternatives import FullSoftmax, SampledSoftmax, build
from adasoft.bench import MEMORY_TINY, bench_memory, memory_lines
from adasoft.bench import memory as bench
from adasoft.corpora import load
from adasoft.lm.run import Run
from adasoft.lm.settings import Settings
from adasoft.memory import NeuralCache, Pairs, Passage, StreamingCache, search

RECORD = Path(__file__).resolve().parents[1] / "data" / "results" / "bench-memory-cpu.json"
B, T, D, V = 3, 11, 4, 12
ORDER = [(5 * i + 2) % V for i in range(V)]  # ids that are no ranks


pytestmark = pytest.mark.usefixtures("in_fp64")


def adaptive(**options):
    return AdaptiveSoftmax(D, V, [3, 7], widths=[3, 2], order=ORDER, **options)


SOFTMAXES = {
    "full": lambda: FullSoftmax(D, V),
    "adaptive": adaptive,
    "hierarchical": lambda: build("hierarchical", D, list(range(V, 0, -1))),
}


def drawn(steps=T):
    return torch.randn(B, steps, D), torch.randint(6, (B, steps))  # few words, so that they come again


def by_loops(softmax, hidden, target, size, theta, lam, resets=None):
    """log p of all words at each position, as the definition says: (B, T, V)."""
    out = softmax.log_prob(hidden).detach().exp()
    for b in range(hidden.shape[0]):
        for t in range(hidden.shape[1]):
            begin = max([0, t - size, *(s for s in range(t + 1) if resets is not None and resets[b, s])])
            weights = torch.zeros(V)
            for i in range(begin, t):
                if target[b, i] != softmax.ignore_index:
                    weights[target[b, i]] += math.exp(theta * float(hidden[b, t] @ hidden[b, i]))
            if weights.sum() > 0:
                out[b, t] = (1 - lam) * out[b, t] + lam * weights / weights.sum()
    return out.log()


def stepwise(cache, hidden, target, resets=None):
    """The same by one word at a time: log p of all words, and the state at the end."""
    state, out = None, []
    for t in range(hidden.shape[1]):
        at = slice(t, t + 1)
        if resets is not None and state is not None:
            state = Pairs(state.keys, state.words.masked_fill(resets[:, at], -1))
        out.append(cache.log_prob(hidden[:, t], state))
        state = cache.remember(hidden[:, at], target[:, at], state, None if resets is None else resets[:, at])
    return torch.stack(out, 1), state


@pytest.mark.parametrize("kind", SOFTMAXES)
@pytest.mark.parametrize("size", [1, 3, 100])
def test_the_mixture_is_that_of_a_double_loop(kind, size):
    hidden, target = drawn()
    resets = torch.rand(B, T) < 0.15
    resets[0, 0], resets[1] = True, False
    cache = NeuralCache(SOFTMAXES[kind](), size, theta=0.7, lam=0.3)
    for given in (None, resets):
        expected = by_loops(cache.softmax, hidden, target, size, 0.7, 0.3, given)
        of_targets = expected.gather(2, target.unsqueeze(2)).squeeze(2)
        output, loss, state = cache(hidden, target, resets=given)
        torch.testing.assert_close(output, of_targets, rtol=1e-12, atol=1e-12)
        assert loss.item() == pytest.approx(-of_targets.mean().item(), rel=1e-12)
        assert state.words.shape[1] == min(size, T)
        # word by word, and in two parts
        words, by_word = stepwise(cache, hidden, target, given)
        torch.testing.assert_close(words, expected, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(by_word, state, rtol=0, atol=0)
        first = cache(hidden[:, :4], target[:, :4], None, None if given is None else given[:, :4])
        second = cache(hidden[:, 4:], target[:, 4:], first.state, None if given is None else given[:, 4:])
        torch.testing.assert_close(torch.cat([first.output, second.output], 1), output, rtol=1e-13, atol=1e-13)
        torch.testing.assert_close(second.state, state, rtol=0, atol=0)


@pytest.mark.parametrize("theta", [0.0, 1.0, 1e6])
def test_the_mixture_sums_to_one_with_an_empty_cache_too(theta):
    hidden, target = drawn()
    cache = NeuralCache(adaptive(), 4, theta=theta, lam=0.4)
    words, _ = stepwise(cache, hidden, target)
    torch.testing.assert_close(words.exp().sum(2), torch.ones(B, T), rtol=1e-13, atol=0)
    assert torch.equal(words[:, 0], cache.softmax.log_prob(hidden[:, 0]))


def test_lambda_of_zero_and_an_empty_cache_are_the_softmax():
    hidden, target = drawn()
    softmax = adaptive()
    output = softmax(hidden, target).output
    assert torch.equal(NeuralCache(softmax, 5, lam=0)(hidden, target).output, output)
    everywhere = torch.ones(B, T, dtype=torch.bool)  # every word begins a document
    assert torch.equal(NeuralCache(softmax, 5, lam=0.9)(hidden, target, resets=everywhere).output, output)


def test_theta_of_zero_counts_words():
    hidden, target = drawn()
    own = FullSoftmax(D, V)
    output = NeuralCache(own, 4, theta=0.0, lam=0.25)(hidden, target).output.detach()
    for b in range(B):
        for t in range(1, T):
            window = target[b, max(0, t - 4) : t].tolist()
            p = own.log_prob(hidden[b, t])[target[b, t]].exp().item()
            share = window.count(int(target[b, t])) / len(window)
            assert math.exp(output[b, t]) == pytest.approx(0.75 * p + 0.25 * share, rel=1e-12)


def test_a_large_theta_is_the_nearest_neighbour():
    hidden, target = drawn()
    cache = NeuralCache(FullSoftmax(D, V), 100, theta=1e9, lam=0.5)
    state = cache.remember(hidden, target)
    query = torch.randn(B, D)
    nearest = target.gather(1, (hidden @ query.unsqueeze(2)).squeeze(2).argmax(1, keepdim=True))
    p = (cache.log_prob(query, state).exp() - 0.5 * cache.softmax.log_prob(query).exp()) / 0.5
    torch.testing.assert_close(p, torch.zeros(B, V).scatter(1, nearest, 1.0))


def test_probabilities_that_no_number_can_hold():
    """log p of words whose p is 0 in fp64: by the softmax alone, by the cache, by both."""
    softmax = FullSoftmax(D, V)
    softmax.output.weight.data = torch.zeros(V, D).index_fill_(0, torch.tensor([0]), 1e4)
    hidden, target = torch.ones(1, 3, D), torch.tensor([[1, 2, 3]])
    hidden[:, 1] *= -1  # the pair of word 2 is far from the last state
    of_softmax = softmax.log_prob(hidden[0, 2]).detach()
    assert of_softmax[3] < -1e4 and of_softmax[3].exp() == 0
    for lam, theta in ((0.5, 1e3), (1e-300, 1.0)):
        cache = NeuralCache(softmax, 9, theta=theta, lam=lam)
        with torch.no_grad():
            output = cache(hidden, target).output
            log_prob = cache.log_prob(hidden[:, 2], cache.remember(hidden, target))
        assert output[0, 2].item() == pytest.approx(of_softmax[3].item() + math.log1p(-lam))
        # three pairs: two of score 4 theta, and the one of word 2, -4 theta
        expected = math.log(lam) - 8 * theta - math.log(2 + math.exp(-8 * theta))
        assert log_prob[0, 2].item() == pytest.approx(expected)


def test_sequences_do_not_see_each_other():
    hidden, target = drawn()
    cache = NeuralCache(adaptive(), 6, theta=1.0, lam=0.5)
    together = cache(hidden, target).output
    alone = torch.cat([cache(hidden[b : b + 1], target[b : b + 1]).output for b in range(B)])
    torch.testing.assert_close(together, alone, rtol=1e-13, atol=1e-13)


def test_ignored_targets_are_not_remembered_and_keep_their_place():
    hidden, target = drawn()
    target[:, 2::3] = 7
    cache = NeuralCache(adaptive(ignore_index=7), 3, theta=0.5, lam=0.5)
    output, loss, state = cache(hidden, target)
    ignored = target == 7
    expected = by_loops(cache.softmax, hidden, target, 3, 0.5, 0.5).gather(2, target.unsqueeze(2)).squeeze(2)
    assert not output[ignored].any() and not (state.words == 7).any()
    assert torch.equal(cache.remember(hidden, target).words, state.words)
    torch.testing.assert_close(output[~ignored], expected[~ignored], rtol=1e-12, atol=1e-12)
    assert loss.item() == pytest.approx(-output.sum().item() / int((~ignored).sum()))
    per_token = NeuralCache(adaptive(ignore_index=7, reduction="none"), 3)(hidden, target).loss
    assert per_token.shape == (B, T) and not per_token[ignored].any()


def test_gradients_are_those_of_finite_differences():
    hidden, target = drawn(6)
    softmax = adaptive()
    before = NeuralCache(softmax, 5).remember(*drawn(4))
    cache = NeuralCache(softmax, 5, theta=0.8, lam=0.2, trained=True)
    names = [name for name, _ in cache.named_parameters()]
    assert {"raw_theta", "raw_lam"} <= {*names}
    resets = torch.zeros(B, 6, dtype=torch.bool)
    resets[1, 3] = True

    def loss(hidden, *values):
        return torch.func.functional_call(
            cache, dict(zip(names, values, strict=True)), (hidden, target, before, resets)
        )[1]

    assert torch.autograd.gradcheck(loss, (hidden.requires_grad_(), *cache.parameters()))
    assert cache.theta == pytest.approx(0.8, rel=1e-12) and cache.lam == pytest.approx(0.2, rel=1e-12)


def test_keys_of_this_call_carry_gradients_and_older_ones_do_not():
    hidden, target = torch.randn(1, 3, D, requires_grad=True), torch.tensor([[4, 5, 4]])
    cache = NeuralCache(FullSoftmax(D, V), 5, theta=1.0, lam=0.5)
    (of_one_call,) = torch.autograd.grad(cache(hidden, target).output[0, 2], hidden)
    first = cache(hidden[:, :2], target[:, :2])
    second = cache(hidden[:, 2:], target[:, 2:], first.state)
    (of_two_calls,) = torch.autograd.grad(second.output[0, 0], hidden)
    assert not first.state.keys.requires_grad
    assert of_one_call.any(2).all() and of_two_calls.any(2).tolist() == [[False, False, True]]


def test_training_moves_theta_and_lambda_and_a_search_sets_them():
    hidden, target = drawn()
    cache = NeuralCache(FullSoftmax(D, V), 5, theta=0.016, lam=0.07, trained=True)
    optimizer = torch.optim.Adam(cache.parameters(), 0.05)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        losses.append(cache(hidden, target).loss)
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0] and cache.theta != pytest.approx(0.016) and cache.lam != pytest.approx(0.07)
    again = NeuralCache(FullSoftmax(D, V), 5, trained=True)
    again.load_state_dict(cache.state_dict())
    assert torch.equal(again(hidden, target).output, cache(hidden, target).output)
    cache.set(30.0, 0.9)
    assert cache.theta == pytest.approx(30) and cache.lam == pytest.approx(0.9)


@pytest.mark.parametrize("kind", SOFTMAXES)
@pytest.mark.parametrize("k", [1, 3, V])
@pytest.mark.parametrize("lam", [0.0, 0.02, 0.6])
def test_the_best_words_are_those_of_all(kind, k, lam):
    hidden, target = drawn(30)
    cache = NeuralCache(SOFTMAXES[kind](), 20, theta=0.7, lam=lam)
    query = 3 * torch.randn(B, D)
    states = [None, cache.remember(hidden, target)]
    states.append(Pairs(states[1].keys, states[1].words.clone()))
    states[2].words[0], states[2].words[1, ::2] = -1, -1  # a cache that is empty beside others that are not
    for state in states:
        found, expected = cache.topk(query, k, state), cache.log_prob(query, state)
        torch.testing.assert_close(found.values, expected.topk(k, 1).values, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(expected.gather(1, found.indices), found.values, rtol=1e-12, atol=1e-12)
        assert all(len({*row}) == k for row in found.indices.tolist())


def test_half_precision_sums_in_single():
    torch.set_default_dtype(torch.float32)
    hidden, target = drawn()
    cache = NeuralCache(FullSoftmax(D, V), 5, theta=3.0, lam=0.5)
    exact = cache(hidden, target)
    with torch.autocast("cpu", torch.bfloat16):
        output, loss, _ = cache(300 * hidden, target)
        near = cache(hidden, target).loss
    assert output.dtype == torch.float32 and torch.isfinite(output).all() and torch.isfinite(loss)
    torch.testing.assert_close(near, exact.loss, rtol=0.02, atol=0.02)


# ---------------------------------------------------------------------- a passage, and the search


@pytest.mark.parametrize("with_resets", [False, True])
def test_a_passage_is_what_the_cache_says(with_resets, monkeypatch):
    monkeypatch.setattr("adasoft.memory.passage._CHUNK", 4)
    hidden, target = drawn()
    resets = torch.rand(B, T) < 0.2 if with_resets else None
    softmax = adaptive()
    passage = Passage.of(softmax, hidden, target, resets)
    for size, theta, lam in ((3, 0.5, 0.2), (3, 0.5, 0.6), (100, 0.0, 0.3), (2, 2.0, 0.0)):
        expected = -NeuralCache(softmax, size, theta=theta, lam=lam)(hidden, target, resets=resets).output
        torch.testing.assert_close(passage.nats(size, theta, lam), expected, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(passage.nats(size, theta, lam, until=6), expected[:, :6], rtol=1e-12, atol=1e-12)


def test_the_search_ends_at_a_minimum_in_both_directions():
    hidden, target = drawn(60)
    hidden[:, 30:], target[:, 30:] = hidden[:, :30], target[:, :30]  # a text that says all twice
    passage = Passage.of(FullSoftmax(D, V), hidden, target)
    nats = lambda theta, lam: float(passage.nats(50, theta, lam).mean())  # noqa: E731
    found = search(nats, theta=0.3, lam=0.1)
    assert found.nats == nats(found.theta, found.lam) < nats(0.3, 0.1) - 0.1
    for theta, lam in ((0.98, 1), (1.02, 1), (1, 0.98), (1, 1.02)):
        assert nats(theta * found.theta, min(0.999, lam * found.lam)) > found.nats - 1e-6
    unigram = search(nats, theta=0, lam=0.1)
    assert unigram.theta == 0 and found.nats < unigram.nats < nats(0, 0.1)


def test_the_search_takes_the_steps_it_says():
    asked = []

    def nats(theta, lam):
        asked.append((theta, lam))
        return -theta if theta < 1.12 else 10.0

    search(nats, theta=1.0, lam=0.0, most=6)
    # up by a twentieth, then 1.2 times as far each time; after the failure at 1.182, half of that the other way
    assert [theta for theta, _ in asked] == pytest.approx([1.0, 1.05, 1.11, 1.182, 1.074, 1.128])
    with_bounds = []
    search(lambda theta, lam: with_bounds.append(lam) or -lam, theta=0, lam=0.97)
    assert all(0 <= lam < 1 for lam in with_bounds) and max(with_bounds) > 0.99


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size should be an integer of at least 1, got 0"),
        ({"theta": -0.1}, "theta should be at least 0 and at most 1e30, got -0.1"),
        ({"theta": math.nan}, "theta should be at least 0"),
        ({"lam": 1.0}, "lam should be at least 0 and below 1, got 1.0"),
        ({"lam": -0.1}, "lam should be at least 0 and below 1, got -0.1"),
        ({"theta": 0, "trained": True}, "theta should be above 0 and at most 1e30, got 0"),
        ({"lam": 0, "trained": True}, "lam should be above 0 and below 1, got 0"),
    ],
)
def test_bad_settings_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        NeuralCache(FullSoftmax(D, V), **{"size": 5, **options})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden": torch.zeros(T, D)}, r"hidden should have the shape \(B, T, 4\), words in the order of the text"),
        ({"hidden": torch.zeros(B, 0, D), "target": torch.zeros(B, 0, dtype=torch.long)}, "T at least 1"),
        ({"target": torch.zeros(B, T)}, "target should hold integer word ids"),
        ({"target": torch.full((B, T), V)}, "are not: values in"),
        ({"state": Pairs(torch.zeros(B + 1, 2, D), torch.zeros(B + 1, 2, dtype=torch.long))}, "state should hold up"),
        ({"state": Pairs(torch.zeros(B, 6, D), torch.zeros(B, 6, dtype=torch.long))}, "state should hold up to 5 pai"),
        ({"state": Pairs(torch.zeros(B, 2, D), torch.zeros(B, 3, dtype=torch.long))}, "state should hold up to 5"),
        ({"resets": torch.zeros(B, T)}, r"resets should hold bools of the shape \(3, 11\), got torch.float"),
        ({"resets": torch.zeros(T, dtype=torch.bool)}, "resets should hold bools"),
    ],
)
def test_bad_batches_are_refused_by_name(change, message):
    hidden, target = drawn()
    given = {"hidden": hidden, "target": target, **{k: v for k, v in change.items()}}
    given = {k: v.double() if k == "hidden" else v for k, v in given.items()}
    with pytest.raises(RuntimeError, match=message):
        NeuralCache(FullSoftmax(D, V), 5)(**given)


def test_an_estimate_is_refused_and_a_row_without_a_sequence():
    hidden, target = drawn()
    cache = NeuralCache(SampledSoftmax(D, V, n_samples=4), 5)
    with pytest.raises(RuntimeError, match="softmax should be exact, got a SampledSoftmax in training mode"):
        cache(hidden, target)
    assert cache.eval()(hidden, target).output.shape == (B, T)
    with pytest.raises(RuntimeError, match=r"hidden should have the shape \(B, 4\), got"):
        cache.log_prob(hidden)
    for word in (-1, V):
        with pytest.raises(RuntimeError, match=f"words should be ids from 0 to 11, got {word}"):
            cache.remember(hidden, torch.full((B, T), word))
    with pytest.raises(ValueError, match="k should be an integer from 1 to 12, got 13"):
        cache.topk(hidden[:, 0], 13)
    passage = Passage.of(cache.softmax, hidden, target)
    for change, message in (
        (lambda: passage.nats(5, -1, 0.1), "theta should be at least 0"),
        (lambda: passage.nats(5, 1, 1.0), "lam should be at least 0 and below 1"),
        (lambda: passage.nats(5, 1, 0.1, until=T + 1), "until should be an integer from 1 to 11, got 12"),
        (lambda: Passage(hidden[:, 1:], target, passage.log_prob), "hidden should be of one text"),
        (lambda: Passage(hidden, target - 100, passage.log_prob), "none of them ignored, got"),
        (lambda: search(lambda theta, lam: 0.0, theta=-1, lam=0.1), "theta should be at least 0"),
    ):
        with pytest.raises(ValueError, match=message):
            change()


# ---------------------------------------------------------------------- in a training


def test_a_training_goes_on_from_window_to_window():
    hidden, target = drawn()
    cache = NeuralCache(FullSoftmax(D, V), 6, theta=0.5, lam=0.4)
    streaming, whole = StreamingCache(cache), cache(hidden, target)
    parts = [streaming(hidden[:, at], target[:, at]).output for at in (slice(0, 3), slice(3, 8), slice(8, T))]
    torch.testing.assert_close(torch.cat(parts, 1), whole.output, rtol=1e-13, atol=1e-13)
    before = streaming.state
    alone = streaming.eval()(hidden, target).output
    assert torch.equal(alone, cache.softmax(hidden, target).output) and streaming.state is before
    streaming.train().begin()
    assert torch.equal(streaming(hidden, target).output, whole.output)
    assert not any("state" in name for name in streaming.state_dict())


@pytest.fixture
def a_text(tmp_path, monkeypatch):
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path / "cache"))
    words = [f"w{(7 * i * i + i // 3) % 40}" for i in range(1500)]
    path = tmp_path / "text.txt"
    path.write_text("\n".join(" ".join(words[i : i + 10]) for i in range(0, len(words), 10)))
    return path


@pytest.mark.usefixtures("one_thread")
def test_the_benchmark_at_a_tiny_size_goes_on_where_it_stopped(a_text, monkeypatch):
    torch.set_default_dtype(torch.float32)
    said, real = [], bench._updated

    def stops(corpus, sizes, name, seed):
        if name == "Hebbian, norms matched":
            raise KeyboardInterrupt
        return real(corpus, sizes, name, seed)

    monkeypatch.setattr(bench, "_updated", stops)
    with pytest.raises(KeyboardInterrupt):
        bench_memory(a_text, sizes=MEMORY_TINY, say=said.append)
    monkeypatch.setattr(bench, "_updated", real)
    monkeypatch.setattr(bench, "_cached", lambda *_: pytest.fail("what is done is kept"))
    record = bench_memory(a_text, sizes=MEMORY_TINY, say=said.append)
    assert json.loads(json.dumps(record)) == record
    assert [row["size"] for row in record["cache"]] == [0, 5, 20, 20] and record["cache"][3]["theta"] == 0
    assert [row["row"] for row in record["hebbian"]] == [*bench.UPDATES]
    assert len({row["nats"] for row in record["hebbian"]}) == len(bench.UPDATES)  # each does something, none the same
    for row in record["cache"] + record["trained"] + record["hebbian"]:
        sums = [n * (nats or 0) for n, nats in zip(row["tokens by band"], row["nats by band"], strict=True)]
        assert sum(sums) / sum(row["tokens by band"]) == pytest.approx(row["nats"])
        assert row["perplexity"] == pytest.approx(math.exp(row["nats"]))
    caches, updates = memory_lines(record)
    assert len(caches.splitlines()) == 2 + len(record["cache"] + record["trained"]) and "| Hebbian | " in updates
    assert "model alone" in said[0] and not list((a_text.parent / "cache" / "bench").iterdir())


def test_the_readme_shows_the_stored_record():
    if not RECORD.exists():
        pytest.skip("there is no record of `bench memory` yet")
    text = (RECORD.parent / "README.md").read_text(encoding="utf-8")
    assert all(lines in text for lines in memory_lines(json.loads(RECORD.read_text())))


def test_a_model_is_read_as_one_sequence(a_text):
    torch.set_default_dtype(torch.float32)
    run = Run(load(a_text, progress=False), Settings(hidden=8, cutoffs=(10,), batch=2, bptt=5, model="gru"))
    passage = bench.passage_of(run, run.corpus.valid, window=7)
    ranks, nats = run.nats("valid")
    assert passage.target[0].tolist() == ranks.tolist() and run.model.training
    torch.testing.assert_close(-passage.log_prob[0].double(), torch.from_numpy(nats), rtol=1e-5, atol=1e-5)
