"""What tests of training share: a corpus with something to learn, small settings, a command line, two processes."""

import contextlib
import os
import socket

import numpy as np
import torch

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
    sizes = ["--hidden", "16", "--batch", "8", "--bptt", "10", "--cutoffs", "10,20", "--device", "cpu"]
    return ["train", "--corpus", str(text), "--folder", str(folder), *sizes, *more]


def two_processes(commands, folder):
    """What commands of adasoft print, run one after the other in two processes, as torchrun starts them."""
    ports = []
    for _ in commands:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    torch.multiprocessing.spawn(_process, args=(commands, ports, str(folder)), nprocs=2)
    return ["".join((folder / f"said-{i}-{rank}").read_text() for rank in (0, 1)) for i in range(len(commands))]


def _process(rank, commands, ports, folder):
    from adasoft.__main__ import main

    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    for i, (command, port) in enumerate(zip(commands, ports, strict=True)):
        os.environ["MASTER_PORT"] = str(port)
        with open(f"{folder}/said-{i}-{rank}", "w") as said, contextlib.redirect_stdout(said):
            assert main(command) == 0
