"""`bench decode --run`: the comparison of softmaxes on models trained alike."""

import json

import numpy as np
import pytest
import torch
from trainings import CORPUS, SMALL, made_corpus

from adasoft.bench import bench_svd
from adasoft.bench.compare import ADAPTIVE, bench_compare, experts_of, states, trained
from adasoft.decoding import accuracy, agreement
from adasoft.lm.run import Run

pytestmark = pytest.mark.usefixtures("one_thread")


def test_agreement_and_accuracy_count_words():
    full, ours = torch.tensor([[1, 2, 3], [4, 5, 6]]), torch.tensor([[3, 1, 9], [5, 7, 8]])
    assert agreement(ours, full, 1) == 0 and agreement(ours, full, 2) == 2 / 4 and agreement(ours, full, 3) == 3 / 6
    target = torch.tensor([1, 8])
    assert accuracy(ours, target, 1) == 0 and accuracy(ours, target, 2) == 0.5 and accuracy(ours, target, 3) == 1


def test_states_are_those_of_the_model_reading_the_text():
    run = Run(CORPUS, SMALL)
    hidden, target = states(run, "test", 10_000)
    ids = torch.from_numpy(CORPUS.test.astype(np.int64))[None]  # one sequence, for it is short
    with torch.no_grad():
        expected = run.model.eval().hidden(ids[:, :-1])[0][0]
    assert hidden.shape == expected.shape
    # mixed, but each beside its own word
    distance = torch.cdist(hidden, expected)
    places = distance.argmin(1)
    assert torch.equal(places.sort().values, torch.arange(len(places)))
    torch.testing.assert_close(hidden, expected[places], rtol=1e-4, atol=1e-5)
    assert torch.equal(target, ids[0, 1:][places])
    some, _ = states(run, "test", 7)
    assert len(some) == 7 and torch.equal(states(run, "test", 7)[0], some)


def test_all_softmaxes_on_models_trained_alike(tmp_path, monkeypatch):
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path))
    monkeypatch.setattr("adasoft.lm.settings.authors_cutoffs", lambda n: (10, 20))
    monkeypatch.setattr("adasoft.bench.compare.RETRAIN_TOKENS", 800)
    said = []
    record = bench_compare(
        made_corpus(6_000),
        SMALL.__class__(hidden=16, batch=8, bptt=10, epochs=1, n_tails=2),
        experts=(2,),
        rounds=1,
        rows=300,
        say=said.append,
    )
    rows = {row["what"]: row for row in record["rows"]}
    assert len(rows) == 4 + 2 * len(ADAPTIVE) and json.loads(json.dumps(record)) == record
    full = rows["full"]
    assert full["agree 10"] == 1 and full["arithmetic"] == 1 and full["faster, 256"] == 1
    for name in ADAPTIVE:
        every, exact = rows[f"{name}, log_prob"], rows[f"{name}, exact top-k"]
        assert exact["arithmetic"] <= every["arithmetic"]
        assert every["right 10"] == exact["right 10"] and every["perplexity"] == exact["perplexity"]
    svd = next(row for name, row in rows.items() if name.startswith("svd, for"))
    assert svd["agree 10"] > 0.9 and svd["perplexity"] == pytest.approx(full["perplexity"], rel=0.2)
    experts = rows["doubly sparse, 2 experts"]
    assert experts["perplexity"] is None or experts["outside"] == 0
    assert all(row["right 1"] <= row["right 5"] <= row["right 10"] for row in rows.values())
    assert "perplexity inside" in "".join(said)
    # all of it is in the cache: nothing is trained a second time
    monkeypatch.setattr(Run, "_step", lambda *_: pytest.fail("trained again"))
    run = trained(
        made_corpus(6_000),
        SMALL.__class__(hidden=16, batch=8, bptt=10, epochs=1, n_tails=2, softmax="full"),
        "cpu",
        "full",
    )
    with pytest.raises(ValueError, match="n_experts should be a power of two, at least 2, got 3"):
        experts_of(run, 3)


def test_the_claim_of_svd_softmax_is_timed_at_its_share_of_the_arithmetic():
    made = bench_svd({"singular values": [8.0, 4.0, 2.0, 1.0]}, n_classes=2_000, in_features=32, rounds=1, say=str)
    assert [(row["rows"], row["V"]) for row in made["rows"]] == [(256, 2_000), (1, 2_000)] * 2
    assert all(0.1 < row["arithmetic"] < 0.25 and row["faster"] > 0 for row in made["rows"])
