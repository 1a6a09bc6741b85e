"""`bench kerbs`: what several senses for a word, a learnt kernel, and moving senses are each worth."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

from ..text import Row, Say, table
from .common import Parts, provenance
from .kerbs_cells import Clusters, KerbsSizes, fitted, held_out, scored
from .kerbs_text import TEXT_ROWS, text_row

#: Two clusters for each word. Name -> senses, kernel.
SENSES: dict[str, tuple[int, str]] = {
    "softmax": (1, "product"),
    "one sense, kernel": (1, "free"),
    "one sense, released kernel": (1, "released"),
    "two senses, inner product": (2, "product"),
    "KerBS, two senses": (2, "free"),
    "KerBS, two senses, released kernel": (2, "released"),
    "three senses, inner product": (3, "product"),
    "KerBS, three senses": (3, "free"),
}
#: Half the words have one cluster, half three; KerBS with two senses for each at the start, and one more with the
#: right number for each. Name -> options of the allocator; None: senses stay.
MOVES: dict[str, Row | None] = {
    "no moves": None,
    "senses as clusters": None,
    "paper's order, mean state": {"order": "paper", "start": "mean"},
    "paper's order, noise": {"order": "paper", "start": "noise"},
    "paper's order, as it was": {"order": "paper", "start": "keep"},
    "released order, mean state": {"order": "released", "start": "mean"},
    "released order, noise": {"order": "released", "start": "noise"},
    "released order, as it was, no reset": {"order": "released", "start": "keep", "reset": False},
}


def bench_kerbs(
    text: str | os.PathLike[str] | None = None,
    *,
    sizes: KerbsSizes | None = None,
    encoding: str = "utf-8",
    say: Say = print,
) -> Row:
    """Test losses of softmaxes with one to three senses on words with known clusters; with moves; and on a ``text``.

    The words are equally frequent, their states Gaussian around directions of their own, with a spread by word. *Truth*
    is the true mixture's own loss. *In place*: for how many of the clusters their word has a sense. With a text: test
    perplexities of LSTMs with as many words and, as nearly as can be, as many parameters. Nothing is timed. Finished
    parts are kept in the cache folder, so that the same command goes on where it was interrupted.
    """
    from tqdm.auto import tqdm

    sizes = sizes or KerbsSizes()
    about: Row = {"sizes": asdict(sizes), **provenance("cpu")}
    corpus = None
    if text is not None:
        from ..corpora import load

        limits: Row = {"tokens": sizes.tokens, "test_tokens": sizes.test_tokens, "max_size": sizes.text_words}
        corpus = load(text, encoding=encoding, **limits)
        about["corpus"] = {"name": corpus.name, "digest": corpus.digest, "V": corpus.n_classes}
    half = sizes.words // 2
    two, uneven = [2] * sizes.words, [1] * half + [3] * (sizes.words - half)
    jobs: dict[tuple[str, str], list[Callable[[], Row]]] = {}
    for section, clusters in (("senses", two), ("moves", uneven)):
        jobs[section, "truth"] = [partial(_truth, clusters, sizes, seed) for seed in range(sizes.seeds)]
    for name, (senses, kernel) in SENSES.items():
        jobs["senses", name] = [partial(fitted, two, senses, kernel, None, sizes, s) for s in range(sizes.seeds)]
    for name, how in MOVES.items():
        senses_each: Any = uneven if name == "senses as clusters" else 2
        jobs["moves", name] = [partial(fitted, uneven, senses_each, "free", how, sizes, s) for s in range(sizes.seeds)]
    for name in TEXT_ROWS if corpus is not None else ():
        assert corpus is not None
        jobs["text", name] = [partial(text_row, name, corpus, sizes, seed) for seed in range(sizes.text_seeds)]
    parts = Parts("kerbs", about)
    record: Row = {"bench": "kerbs", **about}
    with tqdm(total=sum(map(len, jobs.values())), unit="training") as progress:
        for (section, name), seeds in jobs.items():
            found = []
            for seed, job in enumerate(seeds):
                progress.set_postfix_str(f"{section}: {name}, seed {seed}", refresh=True)
                found += parts.of(f"{section} {name} {seed}", partial(_alone, job))
                progress.update()
            record.setdefault(section, []).append({"row": name, **_summary(found), "seeds": found})
    parts.forget()
    _say(record, say)
    return record


def _alone(job: Callable[[], Row]) -> list[Row]:
    return [job()]


def _truth(clusters: list[int], sizes: KerbsSizes, seed: int) -> Row:
    truth = Clusters.drawn(clusters, sizes.features, seed)
    x, target = held_out(truth, sizes, seed)
    return scored(truth.best(x), target)


def _summary(found: Sequence[Row]) -> Row:
    """The mean of each number, and the standard deviation of losses and perplexities."""
    out: Row = {}
    for key in found[0]:
        values = [row[key] for row in found]
        out[key] = float(np.mean(values))
        if key in ("nats", "perplexity"):
            out["sd"] = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return out


def _say(record: Row, say: Say) -> None:
    sizes = record["sizes"]
    say(f"{sizes['words']} words of two clusters each, means of {sizes['seeds']} seeds:")
    say(table(record["senses"], ["row", "nats", "accuracy", "theta"]))
    say(f"\nhalf the words with one cluster, half with three, means of {sizes['seeds']} seeds:")
    say(table(record["moves"], ["row", "nats", "accuracy", "in place", "moves"]))
    if "text" in record:
        corpus = record["corpus"]
        say(f"\nLSTMs on {corpus['name']}, V = {corpus['V']:,}, means of {sizes['text_seeds']} seeds:")
        say(table(record["text"], ["row", "perplexity", "sd", "parameters", "hidden", "moves"]))
