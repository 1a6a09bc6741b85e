"""`adasoft compress`: the chain of ingredients at a tiny size, its parts kept, and what the stored record says."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from adasoft import bench, cli, corpora
from adasoft.bench import compress, compress_parts
from adasoft.bench.compress import ROWS
from adasoft.bench.compress_parts import LAMBDAS, THETAS

SIZES = replace(bench.COMPRESS_TINY, tuning=40, report=60, grid=(0.6,))


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    draw, words = random.Random(0), [f"w{i}" for i in range(60)]
    weights = [1 / (i + 1) for i in range(60)]
    path = tmp_path_factory.mktemp("text") / "novel.txt"
    path.write_text("\n".join(" ".join(draw.choices(words, weights, k=9)) for _ in range(300)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def corpus(text, tmp_path_factory):
    return corpora.load(str(text), tokens=450, progress=False, cache=tmp_path_factory.mktemp("ids"))


@pytest.fixture(scope="module")
def done(corpus, tmp_path_factory, one_thread):
    """The chain, with what it said, and the folder of its cache."""
    folder, said = tmp_path_factory.mktemp("cache"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADASOFT_CACHE", str(folder))
        return bench.bench_compress(corpus, SIZES, seeds=2, say=said.append), said, folder


@pytest.fixture
def kept(done, monkeypatch):
    monkeypatch.setenv("ADASOFT_CACHE", str(done[2]))
    trained = []
    real = compress_parts.fit
    monkeypatch.setattr(compress_parts, "fit", lambda *a, **k: (trained.append(a[5]), real(*a, **k))[1])
    return trained


def test_the_table_and_the_record(done):
    record, said, _ = done
    assert [row["model"] for row in record["rows"]] == [name for name, *_ in ROWS]
    for row, (_, part, cached) in zip(record["rows"], ROWS, strict=True):
        values = [seed[part]["perplexity with cache" if cached else "perplexity"] for seed in record["seeds"]]
        assert row["perplexity"] == pytest.approx(np.mean(values)) and row["least"] == min(values) > 1
        of_bands = [seed[part]["by rank with cache" if cached else "by rank"] for seed in record["seeds"]]
        nats = sum(sum(one["nats"]) for one in of_bands) / sum(sum(one["tokens"]) for one in of_bands)
        assert np.exp(nats) == pytest.approx(np.exp(np.mean(np.log(values))), rel=1e-3)
    assert json.loads(json.dumps(record)) == record and "2 seeds" in said[-1].replace("\n", " ")
    assert record["settings"]["bits"] == 9 and record["corpus"]["train"] == 450


def test_each_ingredient_costs_what_the_account_says(done):
    record, _, folder = done
    rows = {part: record["seeds"][0][part] for part in record["seeds"][0]}
    d, cache = SIZES.hidden, SIZES.cache
    assert rows["adaptive"]["operations with cache"] - rows["adaptive"]["operations"] == cache * (2 * d + 2) - 1
    assert rows["adaptive"]["parameters"] == rows["trained on twice"]["parameters"] == rows["hebbian"]["parameters"]
    pruned, quantised = rows["pruned"], rows["quantised"]
    sparsities = record["sensitivities"]["sparsities"]
    from safetensors.torch import load_file

    for path in folder.glob("compress/*/pruned-seed*.safetensors"):
        tensors = load_file(path)
        for name, sparsity in sparsities.items():  # to the entry
            assert int((tensors[name] == 0).sum()) == round(sparsity * tensors[name].numel()), name
        assert sum(int((tensors[name] == 0).sum()) for name in sparsities) / sum(
            tensors[name].numel() for name in sparsities
        ) == pytest.approx(SIZES.sparsity, abs=0.01)
    assert quantised["zeros"] >= pruned["zeros"] > 0.3
    assert quantised["parameters"] < pruned["parameters"] < rows["distilled"]["parameters"]
    assert quantised["operations"] < pruned["operations"] < rows["distilled"]["operations"]


def test_the_account_of_an_untrained_model_by_hand(corpus):
    model = compress_parts.untrained(corpus, 8, seed=0)
    layer, ranks = model.softmax, np.array([0, 0, layer_edge(model), corpus.n_classes - 1])
    found = compress_parts.costs(model, ranks, 10, 32, False)
    head, (a, b) = layer.head_size, layer.widths
    first, last = (j - i for i, j in zip(layer.cutoffs, layer.cutoffs[1:], strict=False))
    softmax = head * 15 + a * 15 + first * (2 * a - 1) + b * 15 + last * (2 * b - 1) + 3 * (head + first + last) - 3
    lstm = 2 * 32 * 16 + 32 + 9 * 8
    embedding = 0.25 * 8 * (2 * a - 1) + 0.25 * 8 * (2 * b - 1)
    assert found["operations"] == round(softmax + lstm + embedding)
    assert found["parameters"] == sum(p.numel() for p in model.parameters()) and found["zeros"] == pytest.approx(0)


def layer_edge(model):
    return model.softmax.cutoffs[0]


def test_what_is_done_is_not_done_again(corpus, done, kept):
    record, _, folder = done
    again = bench.bench_compress(corpus, SIZES, seeds=2, say=lambda _: None)
    assert again["rows"] == record["rows"] and not kept
    (path,) = folder.glob("compress/*/hebbian-seed1.safetensors")
    path.unlink()  # as if it had been interrupted
    again = bench.bench_compress(corpus, SIZES, seeds=2, say=lambda _: None)
    assert again["rows"] == record["rows"] and kept == ["seed 1, hebbian"]


def test_a_part_of_other_sizes_is_another_part(corpus, done, kept, monkeypatch):
    monkeypatch.setattr(compress_parts, "fit", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        bench.bench_compress(corpus, replace(SIZES, bits=5), seeds=1, say=lambda _: None)


def test_states_and_weights_of_the_rounded_model_have_few_levels(corpus, done, monkeypatch):
    monkeypatch.setenv("ADASOFT_CACHE", str(done[2]))
    chain = compress._Chain(corpus, SIZES, lambda _: None)
    model = chain._fresh(0)
    model.body = compress_parts.RoundedBody(model.body, SIZES.bits)
    model.load_state_dict(chain._read("quantised", 0)[1])
    model.eval()
    states, _ = model.hidden(torch.from_numpy(corpus.valid[:80].astype(np.int64)).unsqueeze(0))
    levels = states * 255 / model.body.output.range
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-3)


def test_the_command(text, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(
        bench, "bench_compress", lambda corpus, sizes, seeds: {"V": corpus.n_classes, "bits": sizes.bits}
    )
    out = tmp_path / "record.json"
    assert cli.main(["compress", "--text", str(text), "--tiny", "--bits", "7", "--json", str(out)]) == 0
    assert json.loads(out.read_text())["bits"] == 7
    for option, value, message in (
        ("--bits", "1", "bits should be an integer from 2 to 32, got 1"),
        ("--sparsity", "1", "sparsity should be at least 0 and below 1, got 1"),
        ("--sparsity", "nan", "sparsity should be at least 0 and below 1, got nan"),
    ):
        assert cli.main(["compress", "--text", str(text), option, value]) == 2
        assert message in capsys.readouterr().err


def test_a_text_too_short_is_refused(corpus):
    with pytest.raises(ValueError, match="text should have a validation part of more than 10,001 words, got"):
        bench.bench_compress(corpus, seeds=1, say=lambda _: None)


# ---------------------------------------------------------------------- the stored record


RECORD = Path(__file__).resolve().parents[1] / "data" / "results" / "compress-wikitext-2-cpu.json"


def as_markdown(row):
    bands = " | ".join(f"{row[name]:.2f}" for name in row if name.startswith("ranks"))
    of_seeds = f"{row['perplexity']:.1f} ({row['least']:.1f} to {row['most']:.1f})"
    return f"| {row['model']} | {of_seeds} | {row['parameters'] / 1e6:.2f} | {row['operations'] / 1e6:.2f} | {bands} |"


def test_what_the_stored_record_says():
    """The claims of data/results/README.md: the cache gives most, then the teacher; the rest costs nothing."""
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    text = (RECORD.parent / "README.md").read_text(encoding="utf-8")
    for row in record["rows"]:
        assert as_markdown(row) in text
    names = [part for _, part, cached in ROWS if cached]
    adaptive, cached, hebbian, distilled, pruned, as_long, quantised, twice = record["rows"]
    spread = max(row["most"] - row["least"] for row in record["rows"])
    gain = adaptive["perplexity"] - cached["perplexity"]
    assert (
        gain > 5 * (cached["perplexity"] - distilled["perplexity"]) > 0
        and f"{gain / adaptive['perplexity']:.0%}".replace("%", " %") in text
    )
    # each seed gains by the teacher, most on frequent words, and nothing on rare ones
    for seed in record["seeds"]:
        assert seed["distilled"]["perplexity with cache"] < seed["adaptive"]["perplexity with cache"]
    assert distilled["ranks 0+"] < cached["ranks 0+"] - 0.05 and distilled["ranks 2,000+"] > cached["ranks 2,000+"]
    # the Hebbian update: a little on the rarest words, and less than the spread of its seeds in all
    assert hebbian["ranks 2,000+"] < cached["ranks 2,000+"] and hebbian["ranks 0+"] > cached["ranks 0+"]
    assert hebbian["ranks 10,000+"] < cached["ranks 10,000+"] - 0.05 and hebbian["perplexity"] > cached["perplexity"]
    assert abs(hebbian["perplexity"] - cached["perplexity"]) < hebbian["most"] - hebbian["least"] == spread
    # beside models that trained as long, neither pruning nor rounding costs anything
    for smaller, control in ((pruned, as_long), (quantised, twice)):
        assert abs(smaller["perplexity"] / control["perplexity"] - 1) < 0.005
    assert f"{cached['parameters'] / quantised['parameters']:.1f} times" in text
    assert f"{cached['operations'] / quantised['operations']:.1f} times" in text
    # no theta stands at an end of what was tried, and one lambda
    pairs = [(seed[part]["theta"], seed[part]["lambda"]) for seed in record["seeds"] for part in names]
    assert all(min(THETAS) < theta < max(THETAS) for theta, _ in pairs)
    assert sum(lam in (min(LAMBDAS), max(LAMBDAS)) for _, lam in pairs) == 1
    assert record["teacher"]["perplexity with cache"] < quantised["least"]
