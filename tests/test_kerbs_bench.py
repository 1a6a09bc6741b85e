"""`bench kerbs`: its words with known clusters, its language models, a run that goes on, and what the record says."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from adasoft.bench import KERBS_TINY, bench_kerbs
from adasoft.bench import kerbs as K
from adasoft.bench.kerbs_cells import Clusters
from adasoft.bench.kerbs_text import TEXT_ROWS, matched_hidden, model_on, parameters_of

pytestmark = pytest.mark.usefixtures("one_thread")

RECORD = Path(__file__).resolve().parents[1] / "data" / "results" / "bench-kerbs-cpu.json"
SMALL = replace(KERBS_TINY, seeds=1, steps=4, every=1, text_seeds=1)


def test_the_known_clusters_and_the_best_that_a_softmax_can_do():
    truth = Clusters.drawn([1, 3], 4, 0)
    x, target = truth.states(2_000, torch.Generator().manual_seed(1))
    assert truth.words.tolist() == [0, 1, 1, 1] and 0.45 < target.double().mean() < 0.55
    near = torch.cdist(x[target == 1] / 4, truth.centres[1:]).argmin(1)
    assert torch.bincount(near).min() > 0.2 * (target == 1).sum()
    one = x[target == 0] / 4 - truth.centres[0]
    assert one.std().item() == pytest.approx(truth.spread[0].item(), rel=0.05)
    for row, found in zip(x[:5].double(), truth.best(x[:5]).double(), strict=True):
        density = [0.0, 0.0]
        for word, centre, spread in zip(truth.words.tolist(), truth.centres, truth.spread.tolist(), strict=True):
            distance = float((row / 4 - centre).square().sum())
            density[word] += math.exp(-distance / 2 / spread**2) / spread**4 / (3 if word else 1)
        assert found.exp().tolist() == pytest.approx([p / sum(density) for p in density], abs=1e-4)


def test_language_models_of_as_many_parameters():
    hidden = matched_hidden(300, KERBS_TINY)
    one, two = (model_on(300, d, *how, KERBS_TINY) for d, how in ((hidden, (1, "product")), (8, (2, "free"))))
    step = parameters_of(model_on(300, hidden + 1, 1, "product", KERBS_TINY)) - parameters_of(one)
    assert hidden > 8 and abs(parameters_of(one) - parameters_of(two)) <= step / 2


def test_the_benchmark_at_a_tiny_size_goes_on_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path / "cache"))
    text = tmp_path / "text.txt"
    text.write_text("the cat saw the dog and the dog saw the cat again\n" * 100)
    calls, said = [], []
    fitted, text_row = K.fitted, K.text_row

    def counted(*values):
        calls.append(values)
        return fitted(*values)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(K, "fitted", counted)
    monkeypatch.setattr(K, "text_row", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bench_kerbs(text, sizes=SMALL, say=said.append)
    n = len(calls)
    assert n == len(K.SENSES) + len(K.MOVES) and not said
    monkeypatch.setattr(K, "text_row", text_row)
    record = bench_kerbs(text, sizes=SMALL, say=said.append)
    assert len(calls) == n and not [*(tmp_path / "cache" / "bench").iterdir()]
    assert json.loads(json.dumps(record)) == record
    assert [row["row"] for row in record["senses"]] == ["truth", *K.SENSES]
    assert [row["row"] for row in record["moves"]] == ["truth", *K.MOVES]
    assert [row["row"] for row in record["text"]] == [*TEXT_ROWS]
    for row in record["senses"] + record["moves"]:
        assert row["nats"] >= 0 and 0 <= row["accuracy"] <= 1 and row["sd"] == 0 and len(row["seeds"]) == 1
    moved = {row["row"]: row for row in record["moves"]}
    assert moved["senses as clusters"]["in place"] == 1 and moved["no moves"]["in place"] == 0.75
    assert not moved["no moves"]["moves"] and moved["paper's order, noise"]["moves"] > 0
    assert all(1 < row["perplexity"] < 20 for row in record["text"])
    assert "KerBS, two senses" in said[1] and "in place" in said[3] and "parameters" in said[5]


def test_what_the_stored_record_says():
    """The claims of data/results/README.md: senses gain most, the kernel some, the released order nothing."""
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    nats = {row["row"]: row["nats"] for row in record["senses"]}
    moves = {row["row"]: row for row in record["moves"]}
    assert nats["softmax"] - nats["two senses, inner product"] > 5 * (nats["softmax"] - nats["one sense, kernel"])
    assert abs(nats["two senses, inner product"] - nats["three senses, inner product"]) <= 0.0065
    assert abs(nats["KerBS, two senses"] - nats["KerBS, three senses"]) <= 0.0065
    left, gained = (nats["two senses, inner product"] - nats[name] for name in ("truth", "KerBS, two senses"))
    assert (
        0.5 < gained / left < 0.8 and abs(nats["KerBS, two senses, released kernel"] - nats["KerBS, two senses"]) < 0.01
    )
    most = moves["no moves"]["nats"] - moves["senses as clusters"]["nats"]
    for start in ("mean state", "noise"):
        paper, released = moves[f"paper's order, {start}"], moves[f"released order, {start}"]
        assert moves["no moves"]["nats"] - paper["nats"] > 0.5 * most
        assert moves["no moves"]["nats"] - released["nats"] < 0.1 * most
        for own, other in zip(paper["seeds"], released["seeds"], strict=True):
            assert own["in place"] > other["in place"] + 0.05 and own["nats"] < other["nats"]
        assert paper["in place"] > moves["paper's order, as it was"]["in place"]
    by_seed = {row["row"]: [one["perplexity"] for one in row["seeds"]] for row in record["text"]}
    wider, as_wide, two, moving = by_seed.values()
    better = [sum(a < b for a, b in zip(several, as_wide, strict=True)) for several in (wider, two, moving)]
    assert better == [5, 2, 0] == [len(wider), 2, 0] and max(wider) < min(*two, *moving)
    spread = max(max(row) / min(row) - 1 for row in by_seed.values())
    text = (RECORD.parent / "README.md").read_text(encoding="utf-8")
    assert f"better in {better[1]} of 5 seeds" in text and f"differ by up to {100 * spread:.0f} %" in text
    for row in [*record["senses"], *record["moves"]]:
        assert f"| {row['row']} | {row['nats']:.3f} | {100 * row['accuracy']:.1f} % |" in text
    for row in record["moves"][1:]:
        assert f"{100 * row['accuracy']:.1f} % | {100 * row['in place']:.0f} % |" in text
    for row in record["text"]:
        found = by_seed[row["row"]]
        assert f"| {row['row']} | {row['perplexity']:.1f} ({min(found):.1f} to {max(found):.1f}) |" in text
