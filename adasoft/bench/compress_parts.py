"""What `adasoft compress` trains and measures: one model with any of the ingredients, read with and without a cache."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..compress import (
    Operations,
    RunningRange,
    SoftLabels,
    Storage,
    annealed,
    cache_operations,
    distil_adaptive,
    embedding_operations,
    lstm_operations,
    quantized_weights,
    softmax_parts,
    storage_of,
    top_labels,
)
from ..corpora import Batches, Corpus
from ..layer import AdaptiveSoftmax
from ..lm.evaluation import nats_by_rank, perplexity
from ..lm.models import LanguageModel, State, detached
from ..lm.settings import Partition, Settings, authors_cutoffs, build_model, tail_widths
from ..memory import HebbianUpdate, Passage
from ..text import Row
from .compress_sizes import CompressSizes

#: theta and lambda of the cache: the best pair on the tuning part. Lambdas are free once a theta is scored.
THETAS, LAMBDAS = (0.03, 0.06, 0.12, 0.25, 0.5, 1.0), tuple(round(0.05 * i, 2) for i in range(1, 10))
#: Steps over which the rate rises, and the share of it that is left at the end of the cosine.
_WARMUP, _LEFT = 50, 0.05
#: Words that a model reads at once where nothing is learnt.
_READ = 500


def untrained(corpus: Corpus, hidden: int, seed: int, dropout: float = 0.0) -> LanguageModel:
    """An LSTM between an adaptive embedding and an adaptive softmax, its weights drawn by ``seed``."""
    n = corpus.n_classes
    cutoffs = authors_cutoffs(n) or tuple(sorted({max(1, n // 8), max(1, n // 2)}))
    settings = Settings(hidden=hidden, embedding="adaptive", cutoffs=cutoffs, dropout=dropout)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_model(settings, corpus, Partition(cutoffs, tail_widths(settings, len(cutoffs)), ""))


class RoundedBody(nn.Module):
    """A body whose input and output are rounded to ``bits``. What stays within an LSTM is not."""

    def __init__(self, body: nn.Module, bits: int) -> None:
        super().__init__()
        self.body, self.input, self.output = body, RunningRange(bits), RunningRange(bits)
        self.in_features, self.out_features = body.in_features, body.out_features

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """As the body's."""
        hidden, state = self.body(self.input(x), state)
        return self.output(hidden), state


# ---------------------------------------------------------------------- training


@dataclass
class Ingredients:
    """What a training has besides the text."""

    labels: SoftLabels | None = None
    """A teacher's words for each place of the training part."""
    hebbian: HebbianUpdate | None = None
    after: Callable[[int], None] | None = None
    """Called after each step, with its number: pruning."""
    bits: int = 32


def fit(
    model: LanguageModel,
    corpus: Corpus,
    sizes: CompressSizes,
    epochs: float,
    rate: float,
    name: str,
    more: Ingredients | None = None,
    *,
    seed: int = 0,
) -> None:
    """Train with Adam, its rate on a cosine. Raises RuntimeError if the loss is no longer finite."""
    from tqdm.auto import trange

    more = more or Ingredients()
    batches = Batches(corpus.train, sizes.batch, sizes.bptt)
    places = Batches(np.arange(len(corpus.train)), sizes.batch, sizes.bptt)
    steps = max(2, round(epochs * len(batches)))
    optimizer = torch.optim.Adam(model.parameters(), rate, fused=True)
    state: State = None
    model.train()
    bar = trange(steps, desc=name, unit="batch", leave=False, dynamic_ncols=True)
    with torch.random.fork_rng(devices=[]), bar:
        torch.manual_seed(seed)
        for k in bar:
            window = k % len(batches)
            state = None if window == 0 else state
            for group in optimizer.param_groups:
                group["lr"] = rate * min(1.0, (k + 1) / _WARMUP) * (_LEFT + (1 - _LEFT) * _cosine(k / steps))
            ids, target = (torch.from_numpy(np.ascontiguousarray(side)) for side in batches[window])
            at = torch.from_numpy(np.ascontiguousarray(places[window][1])).flatten()
            with _rounded(model.parameters(), more.bits):
                hidden, state = model.hidden(ids, state)
                state, rows, words = detached(state), hidden.flatten(0, 1), target.flatten()
                loss = _loss(model.softmax, rows, words, more.labels, at, annealed(k, steps))
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
            value = float(loss.detach())
            if not math.isfinite(value):
                raise RuntimeError(f"{name}: the loss is no longer finite in step {k + 1}")
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            if more.hebbian is not None:
                more.hebbian.add(rows, words)
                more.hebbian.step()
            if more.after is not None:
                more.after(k)
            bar.set_postfix_str(f"loss {value:.2f}", refresh=False)


def _cosine(share: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * share))


def _rounded(parameters: Iterable[nn.Parameter], bits: int) -> Any:
    return nullcontext() if bits == 32 else quantized_weights(parameters, bits)


def _loss(
    softmax: AdaptiveSoftmax, rows: Tensor, words: Tensor, labels: SoftLabels | None, at: Tensor, a: float
) -> Tensor:
    if labels is None:
        return softmax(rows, words).loss  # type: ignore[no-any-return]
    return distil_adaptive(softmax, rows, words, SoftLabels(labels.ids[at], labels.probabilities[at]), a).loss


@torch.no_grad()
def taught(teacher: LanguageModel, corpus: Corpus, sizes: CompressSizes) -> SoftLabels:
    """The teacher's best words for each place of the training part, as a training reads it."""
    from tqdm.auto import trange

    teacher.eval()
    k, n = min(sizes.labels, corpus.n_classes), len(corpus.train)
    labels = SoftLabels(torch.zeros(n, k, dtype=torch.int32), torch.zeros(n, k))
    batches = Batches(corpus.train, sizes.batch, sizes.bptt)
    places = Batches(np.arange(n), sizes.batch, sizes.bptt)
    state: State = None
    for window in trange(len(batches), desc="the teacher's words", unit="batch", leave=False, dynamic_ncols=True):
        ids, at = (torch.from_numpy(np.ascontiguousarray(a)) for a in (batches[window][0], places[window][1]))
        hidden, state = teacher.hidden(ids, state)
        found = top_labels(teacher.softmax, hidden.flatten(0, 1), k)
        labels.ids[at.flatten()], labels.probabilities[at.flatten()] = found.ids.int(), found.probabilities
    return labels


# ---------------------------------------------------------------------- what came of it


@torch.no_grad()
def measured(
    model: LanguageModel, corpus: Corpus, sizes: CompressSizes, bits: int = 32, *, masked: bool = False
) -> Row:
    """Perplexities on the reported part, with and without a cache, and by rank; parameters and operations of a token.

    The validation part is read as one sequence. The cache is tuned on its beginning. ``masked``: weights are pruned.
    """
    model.eval()
    with _rounded(model.parameters(), bits):
        ids = torch.from_numpy(np.asarray(corpus.valid[: sizes.tuning + sizes.report + 1], np.int64))
        if len(ids) < sizes.tuning + 2:
            raise ValueError(
                f"text should have a validation part of more than {sizes.tuning + 1:,} words, got {len(corpus.valid):,}"
            )
        state: State = None
        read = []
        for start in range(0, len(ids) - 1, _READ):
            hidden, state = model.hidden(ids[start : min(start + _READ, len(ids) - 1)].unsqueeze(0), state)
            read.append(hidden)
        passage = Passage.of(model.softmax, torch.cat(read, 1), ids[1:].unsqueeze(0))
        theta, lam = tuned(passage, sizes)
        ranks = ids[1 + sizes.tuning :].numpy()
        alone = passage.nats(1, 0.0, 0.0)[0, sizes.tuning :].numpy()
        cached = passage.nats(sizes.cache, theta, lam)[0, sizes.tuning :].numpy()
        return {
            **_figures(ranks, alone, ""),
            **_figures(ranks, cached, " with cache"),
            "theta": theta,
            "lambda": lam,
            **costs(model, ranks, sizes.cache, bits, masked),
        }


def _figures(ranks: NDArray[np.int64], nats: NDArray[np.float64], which: str) -> Row:
    return {f"perplexity{which}": perplexity(float(nats.mean())), f"by rank{which}": nats_by_rank(ranks, nats)}


def tuned(passage: Passage, sizes: CompressSizes) -> tuple[float, float]:
    """The pair of :data:`THETAS` and :data:`LAMBDAS` that is the best on the tuning part."""
    tried = {
        (theta, lam): float(passage.nats(sizes.cache, theta, lam, sizes.tuning).mean())
        for theta in THETAS
        for lam in LAMBDAS
    }
    return min(tried, key=lambda pair: tried[pair])


def costs(model: LanguageModel, ranks: NDArray[np.int64], cache: int, bits: int, masked: bool) -> Row:
    """Parameters and operations of a token, without and with a cache.

    ``masked``: charge a bit for each weight, which says whether it is there; the notebook does so for every model.
    Products within the LSTM are charged in full, since its state is not rounded there.
    """
    softmax: AdaptiveSoftmax = model.softmax
    body: Any = model.body.body if isinstance(model.body, RoundedBody) else model.body
    edges = softmax.cutoffs
    shares = [float(np.mean((ranks >= a) & (ranks < b))) for a, b in pairwise(edges)]
    inputs, within = lstm_operations(body.layers[0])
    rounded = sum(softmax_parts(softmax).values(), inputs + embedding_operations(model.embedding, shares))
    scales = 0 if bits == 32 else sum(len(p) if p.dim() == 2 else 1 for p in model.parameters()) + 2
    stored = storage_of(model.parameters(), scales)
    memory, remembered = Storage(2, 2), cache_operations(cache, softmax.in_features)
    out: Row = {"zeros": 1 - stored.nonzeros / stored.entries}
    for which, more, parts in (("", Storage(0, 0), Operations()), (" with cache", memory, remembered)):
        out[f"parameters{which}"] = round((stored + more).size(bits, mask=masked))
        out[f"operations{which}"] = round((rounded + parts).total(bits) + within.total())
    return out
