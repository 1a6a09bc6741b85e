"""Parts of `bench kerbs`: small language models on a text, with one vector or several senses for each word."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..text import Row
from .kerbs_cells import KerbsSizes

if TYPE_CHECKING:
    from ..corpora import Batches, Corpus
    from ..lm.models import LanguageModel

#: Name -> senses, kernel, whether senses move. One sense, as many parameters: by a wider LSTM.
TEXT_ROWS: dict[str, tuple[int, str, bool]] = {
    "softmax, as many parameters": (1, "product", False),
    "softmax, LSTM as wide": (1, "product", False),
    "two senses, inner product": (2, "product", False),
    "KerBS, two senses that move": (2, "free", True),
}


def model_on(n_words: int, hidden: int, senses: int, kernel: str, sizes: KerbsSizes) -> LanguageModel:
    """An LSTM of this hidden size on embeddings of ``sizes.hidden`` numbers."""
    from torch import nn

    from ..kerbs import KerBS
    from ..lm.models import LanguageModel, Recurrent

    softmax = KerBS(hidden, n_words, senses=senses, kernel=kernel)
    return LanguageModel(nn.Embedding(n_words, sizes.hidden), Recurrent(sizes.hidden, [hidden], "lstm"), softmax)


def parameters_of(model: LanguageModel) -> int:
    """Numbers to learn."""
    return sum(p.numel() for p in model.parameters())


def matched_hidden(n_words: int, sizes: KerbsSizes) -> int:
    """The hidden size that gives a model with one sense as many parameters as KerBS with two, as nearly as it can."""
    import torch

    with torch.random.fork_rng(devices=[]):
        wanted = parameters_of(model_on(n_words, sizes.hidden, 2, "free", sizes))
        found = {d: parameters_of(model_on(n_words, d, 1, "product", sizes)) for d in range(1, 2 * sizes.hidden + 1)}
    return min(found, key=lambda d: abs(found[d] - wanted))


def text_row(name: str, corpus: Corpus, sizes: KerbsSizes, seed: int) -> Row:
    """One language model trained on the training part; its perplexity on the test part."""
    import torch

    from ..corpora import Batches
    from ..kerbs import Allocator
    from ..lm.models import detached

    senses, kernel, moving = TEXT_ROWS[name]
    hidden = matched_hidden(corpus.n_classes, sizes) if name == next(iter(TEXT_ROWS)) else sizes.hidden
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = model_on(corpus.n_classes, hidden, senses, kernel, sizes)
    optimizer = torch.optim.Adam(model.parameters(), sizes.text_rate)
    train = Batches(corpus.train, sizes.text_batch, sizes.bptt)
    allocator = Allocator(model.softmax, optimizer, every=sizes.every) if moving else None
    steps, step, moves = sizes.epochs * len(train), 0, 0
    for _ in range(sizes.epochs):
        state: Any = None
        for ids, target in train:
            for group in optimizer.param_groups:
                group["lr"] = sizes.text_rate * (1 - step / steps)
            words = torch.from_numpy(target)
            states, state = model.hidden(torch.from_numpy(ids), state)
            state = detached(state)
            optimizer.zero_grad()
            model.softmax(states, words).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            if allocator is not None and step < 0.75 * steps:
                moves += len(allocator.step(states, words))
            step += 1
    test = Batches(corpus.test, sizes.text_batch, sizes.bptt)
    return {"perplexity": perplexity(model, test), "parameters": parameters_of(model), "hidden": hidden, "moves": moves}


def perplexity(model: LanguageModel, batches: Batches) -> float:
    """Of all targets of the batches."""
    import torch

    total, state = 0.0, None
    with torch.no_grad():
        for ids, target in batches:
            loss, state = model(torch.from_numpy(ids), torch.from_numpy(target), state)
            total += float(loss) * target.size
    return math.exp(total / batches.targets)
