"""`bench memory`: the neural cache and the Hebbian update beside the same small language model without them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..text import Row, Say, markdown_table, table
from .common import Parts, provenance

if TYPE_CHECKING:
    from ..corpora import Corpus
    from ..lm.run import Run
    from ..memory import Found, NeuralCache, Passage

#: How often a word occurs in the text that is trained on: the last count of each band.
BANDS = (10, 100, 1000)
#: Hebbian updates that are compared, and their options; None: none.
UPDATES: dict[str, Row | None] = {
    "no update": None,
    "Hebbian": {"match_norm": False},
    "Hebbian, norms matched": {"match_norm": True},
    "Hebbian, norms matched, 1/c": {"match_norm": True, "exact_mean": False},
}
_COLUMNS = ["row", "perplexity", "change", *(f"nats {name}" for name in ("1-10", "11-100", "101-1000", "1001-"))]


@dataclass(frozen=True)
class MemorySizes:
    """What is trained: a language model with an LSTM and an adaptive softmax."""

    tokens: int = 500_000
    """Of the training part."""
    valid: int = 60_000
    """Of the validation part: the first half tunes the caches, the other reports them."""
    hidden: int = 128
    epochs: int = 2
    batch: int = 20
    bptt: int = 35
    learning_rate: float = 2e-3
    seeds: int = 3
    """Of the Hebbian updates, whose differences are small."""
    caches: tuple[int, ...] = (100, 500, 2_000)
    trained: int = 500
    """Size of the cache that is trained with the model."""


MEMORY_TINY = MemorySizes(150, 60, 8, 1, 2, 5, 1e-2, 1, (5, 20), 5)


def bench_memory(
    text: str | os.PathLike[str] = "docs",
    *,
    sizes: MemorySizes | None = None,
    encoding: str = "utf-8",
    say: Say = print,
) -> Row:
    """Perplexities with and without a cache and a Hebbian update, and nats by how often words were trained on.

    Cache: theta and lambda searched on the first half of the validation part and reported on the other, into which the
    cache runs on; it is never emptied, not where a document begins either. *Trained*: a second model whose loss has the
    cache in it. Hebbian: the same model with and without, with several seeds. Nothing is timed.
    Finished parts are kept in the cache folder, so that the same command goes on where it was interrupted.
    """
    from ..corpora import load

    sizes = sizes or MemorySizes()
    limits: dict[str, Any] = {"valid_tokens": sizes.valid, "test_tokens": 1_000, "encoding": encoding}
    corpus = load(text, tokens=sizes.tokens, **limits)
    about: Row = {"sizes": {**asdict(sizes), "caches": list(sizes.caches)}, **provenance("cpu")}
    about["corpus"] = {"name": corpus.name, "digest": corpus.digest, "V": corpus.n_classes}
    jobs: list[tuple[str, Callable[[], list[Row]]]] = [
        ("cache", partial(_cached, corpus, sizes)),
        ("trained", partial(_trained, corpus, sizes)),
        *(
            (f"hebbian {name} {seed}", partial(_updated, corpus, sizes, name, seed))
            for seed in range(sizes.seeds)
            for name in UPDATES
        ),
    ]
    record: Row = {"bench": "memory", **about, **Parts("memory", about).run(jobs)}
    _say(record, say)
    return record


# ---------------------------------------------------------------------- parts


def _cached(corpus: Corpus, sizes: MemorySizes) -> list[Row]:
    """The model alone, and with caches of every size; the unigram cache of the largest."""
    passage = passage_of(_run(corpus, sizes), corpus.valid)
    rows = [_row(corpus, passage, "model alone", 1, 0.0, 0.0)]
    for size in sizes.caches:
        rows.append(_searched(corpus, passage, f"cache of {size:,}", size, rows[-1]))
    largest = sizes.caches[-1]
    rows.append(_searched(corpus, passage, f"unigram cache of {largest:,}", largest, {"theta": 0.0, "lam": 0.1}))
    return _compared(rows)


def _trained(corpus: Corpus, sizes: MemorySizes) -> list[Row]:
    """A model that is trained with a cache: without it, with theta and lambda as trained, and as searched."""
    from ..memory import NeuralCache, StreamingCache

    cache: list[NeuralCache] = []

    def attach(run: Run) -> Callable[[], None]:
        cache.append(NeuralCache(run.model.softmax, sizes.trained, theta=0.3, lam=0.07, trained=True))
        streaming = StreamingCache(cache[0])
        run.model.softmax = streaming
        run.optimizer.add_param_group({"params": [cache[0].raw_theta, cache[0].raw_lam]})
        return streaming.begin

    run = _run(corpus, sizes, attach=attach)
    run.model.softmax = cache[0].softmax
    passage = passage_of(run, corpus.valid)
    theta, lam, size = cache[0].theta, cache[0].lam, sizes.trained
    rows = [
        _row(corpus, passage, "trained with a cache: model alone", 1, 0.0, 0.0),
        _row(corpus, passage, f"trained with a cache: cache of {size:,} as trained", size, theta, lam),
    ]
    for n in sorted({size, sizes.caches[-1]}):
        rows.append(_searched(corpus, passage, f"trained with a cache: cache of {n:,} as searched", n, rows[-1]))
    return _compared(rows)


def _updated(corpus: Corpus, sizes: MemorySizes, name: str, seed: int) -> list[Row]:
    """One Hebbian update, or none, on the whole validation part."""
    from ..memory import HebbianUpdate

    options = UPDATES[name]

    def attach(run: Run) -> None:
        if options is not None:
            HebbianUpdate(run.model.softmax, **options).attach(run.optimizer)

    passage = passage_of(_run(corpus, sizes, seed=seed, attach=attach), corpus.valid)
    nats = -passage.log_prob[0].double().numpy()
    return [{"row": name, "seed": seed, **_told(corpus, passage.target[0].numpy(), nats)}]


def _run(corpus: Corpus, sizes: MemorySizes, *, seed: int = 0, attach: Callable[[Run], Any] | None = None) -> Run:
    """A training to its end. ``attach``: what to hang on it; gives what to call at the beginning of each epoch."""
    from tqdm.auto import tqdm

    from ..lm.run import Run
    from ..lm.settings import Settings, authors_cutoffs

    settings = Settings(
        hidden=sizes.hidden,
        cutoffs=authors_cutoffs(corpus.n_classes) or (max(1, corpus.n_classes // 4),),
        optimizer="adam",
        learning_rate=sizes.learning_rate,
        weight_decay=0.0,
        bptt=sizes.bptt,
        batch=sizes.batch,
        epochs=sizes.epochs,
        seed=seed,
    )
    run = Run(corpus, settings)
    begin = attach(run) if attach is not None else None
    with tqdm(total=sizes.epochs * len(run.batches), unit="step", leave=False) as bar:
        for progress in run.steps(every=20):
            bar.update((progress.epoch - 1) * len(run.batches) + progress.window - bar.n)
            bar.set_postfix_str(f"loss {progress.loss:.2f}")
            if begin is not None and progress.valid is not None:
                begin()
    return run


def passage_of(run: Run, ids: Any, window: int = 200) -> Passage:
    """What the model of a run says of a text, read once from its start to its end as one sequence."""
    import torch

    from ..memory import Passage

    with _evaluated(run.model), torch.no_grad():
        words = torch.from_numpy(np.asarray(ids, np.int64)).unsqueeze(0)
        hidden, outputs, state = [], [], None
        for start in range(0, words.shape[1] - 1, window):
            at = words[:, start : min(start + window, words.shape[1] - 1)]
            h, state = run.model.hidden(at, state)
            hidden.append(h)
            outputs.append(run.model.softmax(h, words[:, start + 1 : start + 1 + at.shape[1]]).output)
        return Passage(torch.cat(hidden, 1), words[:, 1:], torch.cat(outputs, 1))


@contextmanager
def _evaluated(model: Any) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


# ---------------------------------------------------------------------- rows


def _half(passage: Passage) -> int:
    return passage.target.shape[1] // 2


def tuned(passage: Passage, size: int, start: Row) -> Found:
    """theta and lambda for the first half of a passage, searched from those of a row.

    From a row without a cache, lambda 0, the search starts at the best of a coarse grid.
    """
    from ..memory import search

    def nats(theta: float, lam: float) -> float:
        return float(passage.nats(size, theta, lam, until=_half(passage)).mean())

    if start["lam"]:
        return search(nats, theta=start["theta"], lam=start["lam"])
    scale = float(passage.hidden.square().sum(2).mean())
    grid = [(times / scale, lam) for times in (1.0, 4.0, 16.0) for lam in (0.1, 0.3)]
    theta, lam = min(grid, key=lambda pair: nats(*pair))
    return search(nats, theta=theta, lam=lam)


def _searched(corpus: Corpus, passage: Passage, name: str, size: int, start: Row) -> Row:
    found = tuned(passage, size, start)
    row = _row(corpus, passage, name, size, found.theta, found.lam)
    return row | {"nats of the half it was tuned on": found.nats, "tried": found.tried}


def _row(corpus: Corpus, passage: Passage, name: str, size: int, theta: float, lam: float) -> Row:
    nats = passage.nats(size, theta, lam)[0, _half(passage) :].numpy()
    told = _told(corpus, passage.target[0, _half(passage) :].numpy(), nats)
    return {"row": name, "size": size if lam else 0, "theta": theta, "lam": lam, **told}


def _told(corpus: Corpus, target: Any, nats: Any) -> Row:
    """Perplexity, and nats by how often words occur in training: sums over the tokens of each band are the whole."""
    from ..lm.evaluation import perplexity

    band = np.searchsorted(BANDS, np.asarray(corpus.vocabulary.counts)[target])
    tokens, sums = np.bincount(band, minlength=len(BANDS) + 1), np.bincount(band, nats, minlength=len(BANDS) + 1)
    mean = float(nats.mean())
    by_band = [float(s / n) if n else None for s, n in zip(sums, tokens, strict=True)]
    return {"perplexity": perplexity(mean), "nats": mean, "nats by band": by_band, "tokens by band": tokens.tolist()}


def _compared(rows: list[Row]) -> list[Row]:
    """Each with its change against the first, in nats and as a share of the perplexity."""
    first = rows[0]["perplexity"]
    return [row | {"change": row["perplexity"] / first - 1} for row in rows]


# ---------------------------------------------------------------------- tables


def _say(record: Row, say: Say) -> None:
    say(table([_line(row) for row in record["cache"] + record["trained"]], _COLUMNS))
    half = record["sizes"]["valid"] // 2
    say(f"on the second {half:,} words of the validation part; theta and lambda searched on the first\n")
    say(table([_line(row) for row in means_of(record["hebbian"])], _COLUMNS))
    say(f"means of {record['sizes']['seeds']} seeds on the whole validation part; lowest and highest perplexity:")
    for row in means_of(record["hebbian"]):
        say(f"  {row['row']}: {row['least']:.1f} to {row['most']:.1f}")


def means_of(rows: list[Row]) -> list[Row]:
    """Hebbian updates over their seeds: mean perplexity and nats, its range, its mean change against no update."""
    out = []
    plain = {row["seed"]: row["perplexity"] for row in rows if UPDATES[row["row"]] is None}
    for name in UPDATES:
        own = [row for row in rows if row["row"] == name]
        values = [row["perplexity"] for row in own]
        bands = [
            None if None in column else float(np.mean(column))
            for column in zip(*(row["nats by band"] for row in own), strict=True)
        ]
        changes = [row["perplexity"] / plain[row["seed"]] - 1 for row in own]
        mean: Row = {"row": name, "perplexity": float(np.mean(values)), "least": min(values), "most": max(values)}
        out.append(mean | {"nats by band": bands, "change": float(np.mean(changes)), "changes": changes})
    return out


def memory_lines(record: Row) -> list[str]:
    """Two tables in Markdown, as data/results/README.md shows them: the caches, and the Hebbian updates."""
    bands = ["1 to 10", "11 to 100", "101 to 1,000", "more"]
    rows = [
        [
            row["row"],
            f"{row['theta']:.3g}" if row["lam"] else "",
            f"{row['lam']:.3g}" if row["lam"] else "",
            *_cells(row),
        ]
        for row in record["cache"] + record["trained"]
    ]
    caches = markdown_table(["", "theta", "lambda", "perplexity", "change", *bands], rows)
    updates = means_of(record["hebbian"])
    ranges = [f"{min(row['changes']):+.1%} to {max(row['changes']):+.1%}" for row in updates]
    means = [[row["row"], *_cells(row)[:2], span, *_cells(row)[2:]] for row, span in zip(updates, ranges, strict=True)]
    return [caches, markdown_table(["", "perplexity", "change", "of the seeds", *bands], means)]


def _cells(row: Row) -> list[str]:
    return [value for name, value in _line(row).items() if name != "row"]


def _line(row: Row) -> Row:
    bands = zip(_COLUMNS[3:], row["nats by band"], strict=True)
    told: Row = {name: "-" if value is None else f"{value:.2f}" for name, value in bands}
    return {"row": row["row"], "perplexity": f"{row['perplexity']:.1f}", "change": f"{row['change']:+.1%}", **told}
