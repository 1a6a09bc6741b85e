"""EL-attention against PyTorch's: outputs, gradients, caches, beams, bytes, generated words; what is refused."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from adasoft import AdaptiveEmbedding, alternatives, bench
from adasoft.attention import (
    CACHES,
    AttentionWeights,
    CrossEL,
    CrossKeysValues,
    Decoder,
    ELCache,
    KeyValueCache,
    attention,
    cached_numbers,
    causal_mask,
    el_attention,
    multiply_adds,
)
from adasoft.attention.arithmetic import operations_per_number
from adasoft.lm.generation import beam_search, reader_of
from adasoft.lm.models import LanguageModel, Recurrent, Stepwise, Transformer

pytestmark = pytest.mark.usefixtures("one_thread")
FORMS = (attention, el_attention)
KINDS = ("keys-values", "el")
SIZES = [(6, 3, 5), (15, 5, 7), (9, 1, 1), (8, 8, 4)]  # d, H, n
V = 30


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def exact(found, expected, atol=1e-12):
    torch.testing.assert_close(found, expected, atol=atol, rtol=0)


def mha(d, heads, **options):
    """In fp64, with biases that are not 0."""
    module = nn.MultiheadAttention(d, heads, batch_first=True, dtype=torch.float64, **options).eval()
    for name, parameter in module.named_parameters():
        if "bias" in name:
            nn.init.normal_(parameter)
    return module


def double(*shape):
    return torch.randn(*shape, dtype=torch.float64)


# ---------------------------------------------------------------------- formulas


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("d", "heads", "n"), SIZES)
def test_both_forms_are_pytorchs(form, bias, d, heads, n):
    module, x = mha(d, heads, bias=bias), double(2, n, d)
    weights = AttentionWeights.of(module)
    exact(form(weights, x), module(x, x, x)[0])
    after = causal_mask(n, n)
    exact(form(weights, x, mask=after), module(x, x, x, attn_mask=after)[0])
    added = double(2, heads, n, n)  # another for each head, as relative positions have
    exact(form(weights, x, mask=added), module(x, x, x, attn_mask=added.flatten(0, 1))[0])
    padding = torch.zeros(2, n, dtype=torch.bool)
    padding[1, n // 2 + 1 :] = True
    exact(form(weights, x, mask=padding[:, None, None]), module(x, x, x, key_padding_mask=padding)[0])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("memory_size", [6, 11])
def test_cross_attention_is_pytorchs(form, memory_size):
    module = mha(6, 3, kdim=memory_size, vdim=memory_size)
    x, memory = double(2, 4, 6), double(2, 7, memory_size)
    exact(form(AttentionWeights.of(module), x, memory), module(x, memory, memory)[0])


def test_the_bias_of_the_keys_changes_nothing():
    module, x = mha(6, 3), double(2, 5, 6)
    before = [form(AttentionWeights.of(module), x) for form in FORMS]
    with torch.no_grad():
        module.in_proj_bias[6:12] = 100 * double(6)
    for form, expected in zip(FORMS, before, strict=True):
        exact(form(AttentionWeights.of(module), x), expected)
        exact(form(AttentionWeights.of(module), x), module(x, x, x)[0])


def test_gradients_are_equal():
    module, weight = mha(6, 3), double(2, 5, 6)
    gradients = []
    for form in (*FORMS, lambda weights, x, memory, mask: module(x, memory, memory, attn_mask=mask)[0]):
        module.zero_grad()
        torch.manual_seed(1)
        x, memory = double(2, 5, 6).requires_grad_(), double(2, 7, 6).requires_grad_()
        mask = double(5, 7)
        (form(AttentionWeights.of(module), x, memory, mask) * weight).sum().backward()
        gradients.append([x.grad, memory.grad, *(p.grad for p in module.parameters())])
    assert len(gradients[0]) == 6
    for ours in gradients[:2]:
        for found, expected in zip(ours, gradients[2], strict=True):
            exact(found, expected)


def grouped_weights(d, heads, groups):
    d_h = d // heads
    return AttentionWeights(
        *(double(heads, d_h, d), double(groups, d_h, d), double(groups, d_h, d), double(d, d)),
        *(double(heads, d_h), double(groups, d_h), double(groups, d_h), double(d)),
    )


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_heads_may_share_keys_and_values(groups):
    weights, x, mask = grouped_weights(12, 4, groups), double(2, 5, 12), causal_mask(5, 5)
    rows = []
    for i in range(4):
        g = i // (4 // groups)
        q = x @ weights.query[i].T + weights.query_bias[i]
        k, v = (x @ w[g].T + b[g] for w, b in ((weights.key, weights.key_bias), (weights.value, weights.value_bias)))
        rows.append((q @ k.mT / math.sqrt(3)).masked_fill(mask, -math.inf).softmax(-1) @ v)
    expected = torch.cat(rows, -1) @ weights.output.T + weights.output_bias
    for form in FORMS:
        exact(form(weights, x, mask=mask), expected)
    for kind in CACHES.values():
        cache = kind(weights, 5)
        parts = [cache.attend(part.unsqueeze(1)).squeeze(1) for part in x.split([2, 1, 2], 1)]
        exact(torch.cat(parts, 1), expected)


@torch.no_grad()
def test_the_error_of_single_precision_is_no_larger():
    """On the same inputs and weights; an excess up to some roundings of the outputs' size."""
    module, x = mha(64, 4).float(), torch.randn(4, 100, 64)
    usual, ours = (form(AttentionWeights.of(module), x) for form in FORMS)
    truth = attention(AttentionWeights.of(module.double()), x.double())
    error = [float((found - truth).abs().max()) for found in (usual, ours)]
    assert 0 < error[1] <= error[0] + 4 * torch.finfo(torch.float32).eps * float(truth.abs().max())


# ---------------------------------------------------------------------- caches, step by step


def encoder(norm_first, *, layers=2, d=6, heads=3, norm=True, **options):
    layer = nn.TransformerEncoderLayer(
        d, heads, 11, batch_first=True, norm_first=norm_first, dtype=torch.float64, dropout=0.1, **options
    )
    stack = nn.TransformerEncoder(
        layer, layers, nn.LayerNorm(d, dtype=torch.float64) if norm else None, enable_nested_tensor=False
    )
    for parameter in stack.parameters():  # the layers begin alike, and with biases of 0
        nn.init.normal_(parameter, std=0.5)
    return stack.eval()


def whole(stack, x):
    return stack(x, nn.Transformer.generate_square_subsequent_mask(x.shape[1], dtype=x.dtype), is_causal=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("options", [{}, {"bias": False}, {"norm": False, "activation": "gelu"}])
def test_every_step_is_that_of_the_whole(kind, norm_first, options):
    stack, x = encoder(norm_first, **options), double(2, 9, 6)
    expected = whole(stack, x)
    for sizes in ([1] * 9, [4, 1, 1, 3], [9]):
        decoder = Decoder(stack, kind, 9)
        parts = [decoder.read(part.unsqueeze(1)).squeeze(1) for part in x.split(sizes, 1)]
        exact(torch.cat(parts, 1), expected)
    decoder.rewind(5)
    exact(decoder.read(x[:, None, 5:7]).squeeze(1), expected[:, 5:7])


@pytest.mark.parametrize("kind", KINDS)
def test_every_step_of_the_projects_transformer(kind):
    body = Transformer(6, 3, 3, dropout=0.5).double().eval()
    x = double(2, 8, 6)
    expected, decoder = body(x)[0], body.decoder(kind, 8)
    for i in range(8):
        found = decoder.read(body.positioned(x[:, None, i : i + 1], i))
        exact(found[:, 0, 0], expected[:, i])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sizes", [[1] * 6, [3, 1, 2], [6]])
def test_masks_are_added_at_every_step(kind, sizes):
    module, x, bias = mha(6, 3), double(2, 6, 6), double(2, 1, 3, 6, 6)
    expected = attention(AttentionWeights.of(module), x, mask=bias[:, 0].masked_fill(causal_mask(6, 6), -torch.inf))
    cache, end, parts = CACHES[kind](AttentionWeights.of(module), 6), 0, []
    hidden = torch.zeros(1, 1, 6, dtype=torch.bool)
    hidden[..., 2] = True
    masked = CACHES[kind](AttentionWeights.of(module), 6)
    for part in x.split(sizes, 1):
        begin, end = end, end + part.shape[1]
        with torch.no_grad():
            parts.append(cache.attend(part.unsqueeze(1), bias[..., begin:end, :end]).squeeze(1))
            last = masked.attend(part.unsqueeze(1), hidden[..., :end])
    exact(torch.cat(parts, 1), expected)
    exact(last[:, 0, -1], el_attention(AttentionWeights.of(module), x, mask=hidden | causal_mask(6, 6))[:, -1])


@pytest.mark.parametrize("copies", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_beams_share_their_prompt_and_are_indexed_by_parent(kind, copies):
    stack, b, m = encoder(True), 2, 3
    history = double(b, 1, 4, 6)
    decoder = Decoder(stack, kind, 10, copies=copies)
    decoder.read(history)
    decoder.branch(m)
    history = history.expand(-1, m, -1, -1)
    for step in range(4):
        new = double(b, m, 1 + step % 2, 6)
        history = torch.cat([history, new], 2)
        found = decoder.read(new)
        exact(found.flatten(0, 1), whole(stack, history.flatten(0, 1))[:, -new.shape[2] :])
        decoder.rewind(decoder.positions - new.shape[2])
        exact(decoder.read(new), found)
        parent = torch.randint(m, (b, m))
        decoder.select(parent)
        history = history[torch.arange(b).unsqueeze(1), parent]
    assert decoder.positions == 10 and decoder.shape == (b, m)
    numbers = (4 * (m if copies else 1) + 6 * m) * b * 2 * cached_numbers(kind, 6)
    assert decoder.nbytes == numbers * 8


# ---------------------------------------------------------------------- cross attention


@pytest.mark.parametrize("copies", [1, 3])
def test_one_memory_serves_all_layers_and_beams(copies):
    modules, memory = [mha(6, 3) for _ in range(4)], double(2, 5, 6)
    layers, padding = [AttentionWeights.of(module) for module in modules], torch.zeros(2, 5, dtype=torch.bool)
    padding[0, 3:] = True
    el, usual = CrossEL(layers, memory), CrossKeysValues(layers, memory, copies=copies)
    for i, module in enumerate(modules):
        x = double(2, 3, 1, 6)
        for cache in (el, usual):
            expected = [module(x[:, j], memory, memory, key_padding_mask=padding)[0] for j in range(3)]
            exact(cache.attend(i, x, padding[:, None, None, None]), torch.stack(expected, 1))
    assert el.nbytes == memory.numel() * 8 == 2 * 5 * 4 * 8 * cached_numbers("el", 6, layers=4)
    assert usual.nbytes == 2 * 5 * 4 * 8 * cached_numbers("keys-values", 6, copies=copies)


def test_the_cross_attention_of_a_decoder_layer():
    layer = nn.TransformerDecoderLayer(6, 3, 8, batch_first=True, norm_first=True, dtype=torch.float64).eval()
    x, memory = double(2, 4, 6), double(2, 7, 6)
    y = x + el_attention(AttentionWeights.of(layer.self_attn), layer.norm1(x))
    y = y + CrossEL([AttentionWeights.of(layer.multihead_attn)], memory).attend(0, layer.norm2(y)[:, None])[:, 0]
    exact(y + layer.linear2(layer.linear1(layer.norm3(y)).relu()), layer(x, memory))


# ---------------------------------------------------------------------- bytes and arithmetic


@pytest.mark.parametrize(("d", "heads", "groups"), [(6, 3, None), (5, 1, None), (12, 4, 2), (12, 4, 1)])
def test_caches_hold_what_is_counted(d, heads, groups):
    weights = grouped_weights(d, heads, heads if groups is None else groups)
    for name, kind in CACHES.items():
        cache = kind(weights, 7)
        cache.attend(double(2, 1, 7, d))
        assert cache.nbytes == 2 * 7 * 8 * cached_numbers(name, d, heads=heads, groups=groups)
    d_h = d // heads
    assert cached_numbers("keys-values", d, heads=heads, groups=groups) == 2 * (groups or heads) * d_h
    assert cached_numbers("none", d) == 0


@pytest.mark.parametrize(("d", "heads", "n"), [(6, 3, 10), (8, 1, 5), (16, 4, 3)])
def test_products_multiply_what_is_counted(d, heads, n):
    weights, x = grouped_weights(d, heads, heads), double(1, 1, n, d)

    def multiplied(act):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            act()
        return counter.get_total_flops() // 2

    for name, kind in CACHES.items():
        cache = kind(weights, n)
        if n > 1:
            cache.attend(x[:, :, : n - 1])
        assert multiplied(lambda cache=cache: cache.attend(x[:, :, n - 1 :])) == 2 * d * d + multiply_adds(
            name, d, n, heads
        )
    again = multiplied(lambda: attention(weights, x[0, :, -1:], x[0]))
    assert again == 2 * d * d + multiply_adds("none", d, n, heads)


def test_one_head_halves_the_cache_at_the_same_arithmetic():
    assert cached_numbers("el", 64) / cached_numbers("keys-values", 64) == 0.5
    assert multiply_adds("el", 64, 100, 1) == multiply_adds("keys-values", 64, 100, 1)
    assert operations_per_number("el", 1) == 2 * operations_per_number("keys-values", 1)
    for heads in (1, 2, 8):  # attention's multiply-adds over the numbers that it reads
        for kind in KINDS:
            attends = multiply_adds(kind, 64, 100, heads) - 2 * 64 * 64
            assert attends / (100 * cached_numbers(kind, 64)) == operations_per_number(kind, heads)


# ---------------------------------------------------------------------- words


def model(body=None, softmax="full", scale=1.0, **options):
    body = Transformer(8, 2, 2) if body is None else body
    made = alternatives.build(softmax, body.out_features, np.arange(V, 0, -1), **options)
    embedding = AdaptiveEmbedding.tied(made) if softmax == "adaptive" else nn.Embedding(V, body.in_features)
    built = LanguageModel(embedding, body, made, dropout=0.5).double()
    with torch.no_grad():
        for parameter in built.softmax.parameters():
            parameter.mul_(scale)
    return built


SEARCHES = [("sample", {}), ("greedy", {}), ("beam", {"beams": 1}), ("beam", {"beams": 4}), ("beam", {"beams": V})]


@pytest.mark.parametrize(("search", "options"), SEARCHES)
@pytest.mark.parametrize(("softmax", "more"), [("full", {}), ("adaptive", {"cutoffs": [8, 16]})])
def test_words_are_the_same_whatever_is_cached(search, options, softmax, more):
    """With a window that is never full, one that fills, one that the start overfills, and one word."""
    made, start = model(softmax=softmax, scale=4.0, **more).train(), torch.randint(V, (3, 5))
    for window in (64, 9, 5, 3, 1):
        found = []
        for cache in ("none", *KINDS):
            drawn = {"generator": torch.Generator().manual_seed(7)} if search == "sample" else {}
            found.append(made.generate(start, 8, window=window, cache=cache, search=search, **options, **drawn))
        assert found[0].shape == (3, 8) and found[0].min() >= 0 and found[0].max() < V
        assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])
    assert made.training and len(found[0].unique()) > 1


def test_a_cache_reads_only_what_is_new_until_the_window_is_full():
    made, start, seen = model().eval(), torch.randint(V, (2, 4)), []
    made.embedding.register_forward_hook(lambda module, given, out: seen.append(tuple(given[0].shape)))
    made.generate(start, 5, window=6, cache="el", search="greedy")
    assert seen == [(2, 4), (2, 1), (2, 1), (2, 6), (2, 6)]
    seen.clear()
    made.generate(start, 3, window=6, cache="el", search="beam", beams=3)
    assert seen == [(2, 4), (6, 1), (6, 1)]


@pytest.mark.parametrize("cache", ["none", *KINDS])
def test_beam_search_finds_what_enumeration_finds(cache):
    made, start = model(scale=4.0).eval(), torch.randint(V, (2, 3))
    found = beam_search(made, start, 2, beams=V, cache=cache)
    with torch.no_grad():
        first = made.softmax.log_prob(made.hidden(start)[0][:, -1])
        every = torch.cartesian_prod(torch.arange(V), torch.arange(V))
        for i in range(2):
            ids = torch.cat([start[i].expand(V, -1), torch.arange(V).unsqueeze(1)], 1)
            total = (first[i].unsqueeze(1) + made.softmax.log_prob(made.hidden(ids)[0][:, -1])).flatten()
            best = total.topk(V)
            exact(found.scores[i], best.values)
            assert torch.equal(found.ids[i], every[best.indices])


def test_a_beam_is_scored_as_the_model_scores_it_and_one_beam_is_greedy():
    made, start = model(scale=4.0).eval(), torch.randint(V, (2, 3))
    found = beam_search(made, start, 6, beams=4, cache="el")
    assert found.ids.shape == (2, 4, 6)
    for i, j in itertools.product(range(2), range(4)):
        ids = torch.cat([start[i], found.ids[i, j]]).unsqueeze(0)
        output = made.softmax(made.hidden(ids[:, :-1])[0], ids[:, 1:]).output
        exact(found.scores[i, j], output[0, 2:].sum())
    assert (found.scores.diff(dim=1) <= 0).all()
    assert all(len({tuple(beam) for beam in of_one.tolist()}) == 4 for of_one in found.ids)
    greedy = made.generate(start, 6, search="greedy")
    assert torch.equal(greedy, made.generate(start, 6, search="beam", beams=1))
    assert found.scores[:, 0].ge(beam_search(made, start, 6, beams=1).scores[:, 0]).all()


def test_greedy_words_of_a_body_with_state():
    made, start = model(Recurrent(5, [6], "lstm"), scale=4.0).eval(), torch.randint(V, (2, 5))
    ids = start
    for _ in range(4):
        ids = torch.cat([ids, made.softmax.log_prob(made.hidden(ids)[0][:, -1]).argmax(-1, keepdim=True)], 1)
    assert torch.equal(made.generate(start, 4, search="greedy", window=2), ids[:, 5:])


# ---------------------------------------------------------------------- what is refused


class Turned(nn.MultiheadAttention):
    rotary_frequencies = None

    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self.rotary_frequencies = torch.ones(3)


class Normed(nn.MultiheadAttention):
    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self.q_norm = nn.LayerNorm(2)


def hooked():
    module = mha(6, 3)
    module.register_forward_hook(lambda module, given, out: None)
    return module


def swapped(kind):
    body = Transformer(6, 1, 3)
    body.blocks.layers[0].self_attn = kind(6, 3, batch_first=True)
    return body


def in_training():
    made = model(Transformer(8, 1, 2, dropout=0.1))
    made.body.train()
    return made.body.decoder("el", 3)


class Mine(nn.TransformerEncoderLayer):
    pass


LAYER = nn.TransformerEncoderLayer(6, 3, batch_first=True, norm_first=True)
START = torch.zeros(1, 2, dtype=torch.long)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: AttentionWeights.of(Turned(6, 3)), "Turned with rotary positions: a rotation"),
        (lambda: AttentionWeights.of(Normed(6, 3)), "Normed with a norm on queries"),
        (lambda: AttentionWeights.of(nn.Linear(6, 6)), "got Linear, which may do something between"),
        (lambda: AttentionWeights.of(hooked()), "a hook or a forward of its own"),
        (lambda: AttentionWeights.of(nn.MultiheadAttention(6, 3, add_bias_kv=True)), "bias_k=None"),
        (lambda: AttentionWeights.of(nn.MultiheadAttention(6, 3, add_zero_attn=True)), "add_zero_attn=False"),
        (lambda: AttentionWeights.of(nn.MultiheadAttention(6, 3, kdim=4, vdim=5)), "kdim and vdim equal.*4 and 5"),
        (lambda: AttentionWeights.of(nn.MultiheadAttention(6, 3, dropout=0.1)), "dropout=0 in training.*0.1"),
        (lambda: AttentionWeights(*torch.ones(3, 4, 2, 6), torch.ones(6, 7)), r"output should have the shape \(6, 8\)"),
        (lambda: AttentionWeights(*torch.ones(2, 4, 6), *torch.ones(1, 6, 6), torch.ones(6, 6)), "query should have"),
        (lambda: el_attention(grouped_weights(6, 3, 3), double(1, 2, 5)), r"x should have the shape \(b, s, 6\)"),
        (lambda: el_attention(grouped_weights(6, 3, 3), double(1, 2, 6), double(1, 0, 6)), "at least one position"),
        (lambda: el_attention(grouped_weights(6, 3, 3), double(1, 2, 6), double(1, 3, 5)), r"shape \(1, n, 6\)"),
        (lambda: ELCache(grouped_weights(6, 3, 3), 0), "capacity should be an integer of at least 1, got 0"),
        (lambda: ELCache(grouped_weights(6, 3, 3), 2).attend(double(1, 1, 3, 6)), "capacity should be at least the 3"),
        (lambda: ELCache(grouped_weights(6, 3, 3), 2).attend(double(1, 1, 0, 6)), r"shape \(b, m, s, 6\) with s at le"),
        (lambda: ELCache(grouped_weights(6, 3, 3), 2).branch(2), "after the prompt was stored"),
        (lambda: KeyValueCache(AttentionWeights.of(mha(6, 3)), 2).attend(double(1, 1, 1, 6)), "torch.no_grad"),
        (lambda: CrossEL([], double(1, 2, 6)), "at least one layer"),
        (lambda: CrossEL([grouped_weights(6, 3, 3)], double(1, 2, 5)), r"\(b, n, 6\)"),
        (lambda: Decoder(encoder(True), "mqa", 3), "cache should be 'keys-values' or 'el', got 'mqa'"),
        (lambda: Decoder(encoder(True).train(), "el", 3), "no dropout in training, got 0.1"),
        (
            lambda: Decoder(type("Mine", (nn.TransformerEncoder,), {})(LAYER, 1, None, False), "el", 3),
            "and no more, got Mine",
        ),
        (
            lambda: Decoder(nn.TransformerEncoder(Mine(6, 3), 1, None, False), "el", 3),
            r"layers\[0\] should be.*got Mine",
        ),
        (in_training, "no dropout in training, got 0.1"),
        (lambda: model(swapped(Turned)).generate(START, 1, cache="el"), "rotary positions"),
        (lambda: model(swapped(Normed)).generate(START, 1, cache="keys-values"), "a norm on queries"),
        (lambda: model(Recurrent(4, [4])).generate(START, 1, cache="el"), "without attention that is known.*Recurrent"),
        (lambda: model(Stepwise(4, 4, None or nn.Identity())).generate(START, 1, cache="el"), "got 'el' for Stepwise"),
        (lambda: model(type("Mine", (Transformer,), {})(8)).generate(START, 1, cache="el"), "'el' for Mine"),
        (lambda: model().generate(START, 1, cache="mla"), "cache should be 'none', 'keys-values' or 'el', got 'mla'"),
        (lambda: model().generate(START, 1, search="best"), "search should be 'sample', 'greedy' or 'beam'"),
        (lambda: model().generate(START, 1, search="beam", beams=V + 1), "beams should be an integer from 1 to 30.*31"),
        (lambda: model().generate(START, 1, search="beam", beams=0), "from 1 to 30, got 0"),
        (lambda: model().generate(START, 1, search="beam"), "beams should be the number of sequences"),
        (lambda: model().generate(START, 1, search="greedy", beams=2), "beams should be None unless"),
        (lambda: model().generate(START, 1, search="greedy", generator=torch.Generator()), "generator should be None"),
        (lambda: model().generate(START[:, :0], 1, cache="el"), r"T at least 1, got the shape \(1, 0\)"),
        (lambda: model().generate(START[:, :0], 1, search="beam", beams=2), r"T at least 1, got the shape \(1, 0\)"),
        (
            lambda: model().generate(START, 0, cache="el", search="greedy"),
            "n should be an integer of at least 1, got 0",
        ),
        (lambda: model(Recurrent(4, [4])).generate(START, 2, search="beam", beams=2), "a body with state.*Recurrent"),
        (lambda: cached_numbers("mla", 6), "kind should be"),
    ],
)
def test_what_cannot_hold_is_refused_with_a_reason(make, says):
    with pytest.raises(ValueError, match=says):
        make()


def test_beams_and_positions_are_checked():
    cache = ELCache(grouped_weights(6, 3, 3), 5)
    cache.attend(double(2, 1, 2, 6))
    cache.branch(3)
    for parent in (torch.zeros(2, 2, dtype=torch.long), torch.zeros(2, 3), torch.full((2, 3), 3)):
        with pytest.raises(ValueError, match="parent should hold"):
            cache.select(parent)
    with pytest.raises(ValueError, match="positions should be an integer from 2 to 2, got 1"):
        cache.rewind(1)
    with pytest.raises(ValueError, match=r"x should have the shape \(2, 3\) \+ \(s, 6\)"):
        cache.attend(double(2, 1, 1, 6))
    with pytest.raises(ValueError, match="branch once"):
        cache.branch(2)


def test_a_softmax_that_gives_too_few_words_a_probability():
    made = model()
    best = made.softmax.topk

    def few(hidden, k):
        found = best(hidden, k)
        found.values[..., 1:] = -torch.inf
        return found

    made.softmax.topk = few
    assert made.generate(START, 3, search="beam", beams=1).shape == (1, 3)
    with pytest.raises(ValueError, match="at most the words of a probability above 0, got 2"):
        made.generate(START, 3, search="beam", beams=2)


def test_a_reader_can_copy_the_prompt_for_each_beam():
    made, start = model().eval(), torch.randint(V, (2, 6))
    bytes_of = {}
    for copies in (False, True):
        reader = reader_of(made, start, 2, 64, "el", copies=copies)
        with torch.no_grad():
            reader.read(start.unsqueeze(1))
            ids = torch.cat([start.unsqueeze(1).expand(-1, 3, -1), torch.zeros(2, 3, 1, dtype=torch.long)], 2)
            reader.read(ids, torch.zeros(2, 3, dtype=torch.long))
        bytes_of[copies] = reader.decoder.nbytes
    per_position = 2 * 2 * 8 * cached_numbers("el", 8)  # prompts, layers, bytes
    assert bytes_of == {False: per_position * (6 + 3), True: per_position * 7 * 3}


# ---------------------------------------------------------------------- bench attention


def test_the_benchmark_counts_times_and_goes_on_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path))
    lines, done = [], bench.attention.cached_rows
    given = {"sizes": bench.ATTENTION_TINY, "rounds": 1, "say": lines.append}

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(bench.attention, "_budget", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bench.bench_attention(**given)
    monkeypatch.undo()
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path))
    assert len(list((tmp_path / "bench").iterdir())) == 1
    monkeypatch.setattr(bench.attention, "cached_rows", interrupted)  # it is not counted again
    record = bench.bench_attention(**given)
    assert record["cached"] == done(bench.ATTENTION_TINY) and not list((tmp_path / "bench").iterdir())
    check_claims(record)
    assert {(row["beams"], row["batch"], row["history"], row["cache"]) for row in record["step"]} == {
        (m, b, n, cache)
        for m, b, n in itertools.product((1, 3), (1, 2), (4, 9))
        for cache in ("keys and values", "EL", *(["copied"] if m > 1 else []), *(["none"] if m * b * n <= 20 else []))
    }
    assert bench.attention_lines(record) == lines[-6:] and json.loads(json.dumps(record)) == record


def check_claims(record):
    """What does not depend on the machine: bytes, words, which batches fit."""
    sizes = record["sizes"]
    assert all(row["counted"] == row["measured"] > 0 for row in record["cached"])
    assert len(record["words"]) == 6 * sizes["seeds"] and all(row["equal"] for row in record["words"])
    fitting = [row for row in record["budget"] if row["cache"] != "none"]
    for row in fitting:
        each = row["bytes"] / row["batch"]
        assert row["bytes"] <= sizes["budget"]
        assert row["largest"] == (row["bytes"] + each > sizes["budget"])
    largest = {(row["beams"], row["cache"]): row["batch"] for row in fitting if row["largest"]}
    for beams in (1, sizes["beams"]):
        assert largest[beams, "EL"] in (
            2 * largest[beams, "keys and values"],
            2 * largest[beams, "keys and values"] + 1,
        )


def test_the_stored_record_and_what_is_said_of_it():
    results = Path(__file__).resolve().parents[1] / "data" / "results"
    record = json.loads((results / "bench-attention-cpu.json").read_text(encoding="utf-8"))
    check_claims(record)
    readme = (results / "README.md").read_text(encoding="utf-8")
    assert all(line in readme for line in bench.attention_lines(record))
