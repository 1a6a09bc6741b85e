"""Words after a start: drawn, the most probable one by one, or by beam search; with or without a cache of attention."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from ..attention import CACHES, Decoder
from ..checks import choice, integer

SEARCHES = ("sample", "greedy", "beam")


class Beams(NamedTuple):
    """What :func:`beam_search` finds, the most probable first."""

    ids: Tensor
    """(b, m, n)."""
    scores: Tensor
    """(b, m): log-probability of the n words together."""


class Model(Protocol):
    """What is used of a :class:`adasoft.lm.models.LanguageModel`."""

    embedding: Any
    body: Any
    softmax: Any

    def hidden(self, ids: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Hidden states (b, T, d) of ids (b, T), and the state after them."""

    def modules(self) -> Iterator[torch.nn.Module]:
        """All modules."""

    def eval(self) -> Any:
        """Dropout off."""


class Reader(Protocol):
    """Reads ids (b, m, T), of m beams of each start: all so far, of which it has read all but the last before.

    ``parent`` (b, m): beam j of start i goes on what was beam ``parent[i, j]`` when it last read; None: beam j.
    Returns the hidden state after the last word: (b, m, d).
    """

    def read(self, ids: Tensor, parent: Tensor | None = None) -> Tensor:
        """The hidden state after the last word."""


@torch.no_grad()
def generate(
    model: Model,
    start: Tensor,
    n: int,
    *,
    window: int = 64,
    generator: torch.Generator | None = None,
    cache: str = "none",
    search: str = "sample",
    beams: int | None = None,
) -> Tensor:
    """See :meth:`adasoft.lm.models.LanguageModel.generate`."""
    if choice("search", search, SEARCHES) != "beam" and beams is not None:
        raise ValueError(f"beams should be None unless search is 'beam', got {beams!r}")
    if search != "sample" and generator is not None:
        raise ValueError("generator should be None unless search is 'sample', got one")
    if search == "beam":
        if beams is None:
            raise ValueError("beams should be the number of sequences that search='beam' follows, got None")
        return beam_search(model, start, n, beams=beams, window=window, cache=cache).ids[:, 0]
    n = integer("n", n, 1)
    with _evaluated(model):
        reader, ids = reader_of(model, start, n, window, cache), start.unsqueeze(1)
        for _ in range(n):
            hidden = reader.read(ids).squeeze(1)
            word = _drawn(model, hidden, generator) if search == "sample" else model.softmax.topk(hidden, 1).indices
            ids = torch.cat([ids, word.unsqueeze(1)], 2)
    return ids[:, 0, start.shape[1] :]


@torch.no_grad()
def beam_search(model: Model, start: Tensor, n: int, *, beams: int, window: int = 64, cache: str = "none") -> Beams:
    """The ``beams`` sequences of n words after ``start`` (b, T) that are found by following that many at a time.

    After each word the m most probable of the m V continuations go on, no two alike. All have n words, so that their
    probabilities need no division by length. The m best words of each beam come from ``softmax.topk``, which is exact.
    Beams share the cache of ``start``; what each added is indexed by its parent.

    Raises ValueError as :meth:`adasoft.lm.models.LanguageModel.generate` does; also for a body with state, and where
    the softmax gives fewer than ``beams`` words a probability above 0.
    """
    n, m = integer("n", n, 1), integer("beams", beams, 1, model.softmax.n_classes)
    with _evaluated(model):
        reader = reader_of(model, start, n, window, cache)
        ids, scores, parent = start.unsqueeze(1), torch.zeros((), device=start.device), None
        for _ in range(n):
            best = model.softmax.topk(reader.read(ids, parent), m)  # (b, 1, m) at first, then (b, m, m)
            values = scores + best.values.to(torch.promote_types(best.values.dtype, torch.float32))
            scores, at = values.flatten(1).topk(m, 1)
            if bool((scores == -torch.inf).any()):
                raise ValueError(f"beams should be at most the words of a probability above 0, got {m}")
            parent, word = at // m, best.indices.flatten(1).gather(1, at)
            before = ids.gather(1, parent.unsqueeze(2).expand(-1, -1, ids.shape[2]))
            ids, scores = torch.cat([before, word.unsqueeze(2)], 2), scores.unsqueeze(2)
    return Beams(ids[:, :, start.shape[1] :], scores.squeeze(2))


def reader_of(model: Model, start: Tensor, n: int, window: int, cache: str = "none", *, copies: bool = False) -> Reader:
    """A reader of ``start`` and of up to n words after it. ``copies``: of the prompt's cache, one for each beam."""
    if start.dim() != 2 or not start.shape[1]:
        raise ValueError(f"start should hold ids (b, T) with T at least 1, got the shape {tuple(start.shape)}")
    window = integer("window", window, 1)
    if choice("cache", cache, ("none", *CACHES)) == "none":
        return Rereader(model, window)
    if not hasattr(model.body, "decoder"):
        raise ValueError(
            f"cache should be 'none' for a body without attention that is known, got {cache!r} for "
            f"{type(model.body).__name__}"
        )
    decoder = model.body.decoder(cache, min(window, start.shape[1] + n - 1), copies=copies)
    return CachedReader(model, window, decoder)


class Rereader:
    """Without a cache: a body with state reads what is new, one without reads the last ``window`` words again."""

    def __init__(self, model: Model, window: int, *, carries: bool | None = None) -> None:
        self.model, self.window = model, window
        self.carries = carries  # whether the body has a state; None: the first window will tell
        self.state: Any = None

    def read(self, ids: Tensor, parent: Tensor | None = None) -> Tensor:
        """See :class:`Reader`. Raises ValueError for beams of a body with state, whose order only the body knows."""
        flat = ids.flatten(0, 1)
        if self.carries is None:
            parts = torch.split(flat, self.window, 1)
            hidden, self.state = self.model.hidden(parts[0])
            self.carries = self.state is not None
            parts = parts[1:] if self.carries else (flat[:, -self.window :],) * (len(parts) > 1)
        else:
            parts = (flat[:, -1:] if self.carries else flat[:, -self.window :],)
            if self.carries and parent is not None:
                raise ValueError(
                    "search should be 'sample' or 'greedy' for a body with state, which cannot be handed from beam to "
                    f"beam, got 'beam' for {type(self.model.body).__name__}"
                )
        for part in parts:
            hidden, self.state = self.model.hidden(part, self.state)
        return hidden[:, -1].view(*ids.shape[:2], -1)


class CachedReader:
    """With a cache: only new words are read, until there are more than ``window``; from there on as a Rereader."""

    def __init__(self, model: Model, window: int, decoder: Decoder) -> None:
        self.model, self.window = model, window
        self.decoder: Decoder | None = decoder
        self.rereader = Rereader(model, window, carries=False)

    def read(self, ids: Tensor, parent: Tensor | None = None) -> Tensor:
        """See :class:`Reader`."""
        if self.decoder is None or ids.shape[2] > self.window:
            self.decoder = None  # positions have shifted: nothing in it holds any longer
            return self.rereader.read(ids, parent)
        if parent is not None:
            if parent.shape[1] > 1 and self.decoder.shape[1] == 1:
                self.decoder.branch(parent.shape[1])
            else:
                self.decoder.select(parent)
        first = self.decoder.positions
        x = self.model.embedding(ids[..., first:].flatten(0, 1))
        x = x.view(*ids.shape[:2], *x.shape[1:])
        return self.decoder.read(self.model.body.positioned(x, first))[:, :, -1]


def _drawn(model: Model, hidden: Tensor, generator: torch.Generator | None) -> Tensor:
    """One word for each row: (b, d) -> (b, 1)."""
    drawn: Tensor
    if hasattr(model.softmax, "sample"):
        drawn = model.softmax.sample(hidden, 1, generator=generator)
    else:
        drawn = model.softmax.log_prob(hidden).float().exp().multinomial(1, generator=generator)
    return drawn


@contextlib.contextmanager
def _evaluated(model: Model) -> Iterator[None]:
    """Every module in evaluation mode; afterwards each in the mode it had."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
