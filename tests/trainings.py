"""What tests of training share: a corpus with something to learn, small settings, a command line."""

import numpy as np

from adasoft import Vocabulary
from adasoft.corpora import Corpus
from adasoft.lm.settings import Settings

V = 40


def made_corpus(n=3_000, seed=0, name="made"):
    """Words whose next word is likely to be one of two: something to learn."""
    random = np.random.default_rng(seed)
    ids = [0]
    for _ in range(n + 800):
        at = (ids[-1] * 7 + 3) % V if random.random() < 0.6 else int(V * random.random() ** 3)
        ids.append(at)
    ids = np.array(ids)
    order = np.argsort(-np.bincount(ids[:n], minlength=V), kind="stable")
    ranks = np.argsort(order)[ids].astype(np.int32)
    counts = np.sort(np.maximum(np.bincount(ids[:n], minlength=V), 1))[::-1]
    vocabulary = Vocabulary(counts.copy(), [f"w{i}" for i in range(V)])
    parts = {"train": ranks[:n], "valid": ranks[n : n + 400], "test": ranks[n + 400 :]}
    return Corpus(name, vocabulary, **parts, licence="none", source="made", digest=f"{seed}-{n}", unknown=None)


CORPUS = made_corpus()
SMALL = Settings(hidden=16, batch=8, bptt=10, epochs=2, cutoffs=(10, 20))


def curve(run):
    for _ in run.steps():
        pass
    return run.losses


def arguments(text, folder, *more):
    return ["train", "--corpus", str(text), "--folder", str(folder), "--hidden", "16", "--batch", "8", "--bptt", "10",
            "--cutoffs", "10,20", "--device", "cpu", *more]  # fmt: skip
