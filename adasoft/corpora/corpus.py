"""A text as ranks in three parts, and its batches: what ``load`` gives and trainings take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import integer
from ..vocabulary import Vocabulary

__all__ = ["PARTS", "Batches", "Corpus", "Ids"]

Ids = NDArray[np.int32]

PARTS = ("train", "valid", "test")


@dataclass(frozen=True, eq=False)
class Corpus:
    """A text in three parts, as ranks of the words of its train part.

    ``name``: the known name, or the file's or folder's.
    ``vocabulary``: V words by falling count in ``train``; its order is 0..V-1.
    ``train``, ``valid``, ``test``: (n,) int32, read-only.
    ``licence``: "unknown" for a reader's own text.
    ``source``: the path as given, or the addresses.
    ``digest``: SHA-256 over words and ids: two equal digests are the same data.
    ``unknown``: the word that stands for all rare ones, or None.
    ``eos``: the word at the end of each line, or None.
    ``n_words``: for each part, the words and line ends that its ids stand for. They are the ids themselves unless
    the ids are byte-pair pieces; the perplexity per word is exp(total loss in nats / n_words), and only it can be
    compared between vocabularies.
    ``tokenizer``: the byte-pair tokenizer as JSON, or None for words.

    >>> ids = np.array([0, 1, 2, 0], np.int32)
    >>> words = Vocabulary([2, 1, 1], ["the", "cat", "saw"])
    >>> corpus = Corpus("own", words, ids, ids, ids, licence="mine", source="here", digest="0", unknown=None)
    >>> corpus.n_classes, corpus.decode([0, 1, 2])
    (3, 'the cat saw')
    """

    name: str
    vocabulary: Vocabulary
    train: Ids
    valid: Ids
    test: Ids
    licence: str
    source: str
    digest: str
    unknown: str | None
    eos: str | None = None
    n_words: Mapping[str, int] = field(default_factory=dict)
    tokenizer: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.n_words:
            object.__setattr__(self, "n_words", {part: len(getattr(self, part)) for part in PARTS})

    @property
    def n_classes(self) -> int:
        """V."""
        return self.vocabulary.n_classes

    def __repr__(self) -> str:
        sizes = ", ".join(f"{part} {len(getattr(self, part)):,}" for part in PARTS)
        return f"Corpus({self.name!r}, V={self.n_classes:,}, {sizes}, digest {self.digest[:12]})"

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ranks: words with a blank between them, a new line for ``eos``; byte-pair pieces are joined.

        Raises:
            ValueError: an id is outside 0..V-1.
        """
        lines: list[list[str]] = [[]]
        for rank in ids:
            word = self.vocabulary.word(int(rank))
            if word == self.eos:
                lines.append([])
            else:
                lines[-1].append(word)
        return "\n".join(map(self._line, lines))

    def _line(self, words: Sequence[str]) -> str:
        if self.tokenizer is None:
            return " ".join(words)
        pieces = [self._pieces.token_to_id(word) for word in words]
        return str(self._pieces.decode(pieces)).removeprefix(" ")  # every word has its blank before it

    @cached_property
    def _pieces(self) -> Any:
        from tokenizers import Tokenizer

        return Tokenizer.from_str(str(self.tokenizer))


class Batches:
    """Windows of a stream of ids for truncated backpropagation: ``batch_size`` rows side by side.

    Token t + 1 is the target of token t. The N - 1 targets are cut into ``batch_size`` rows of
    L = (N - 1) // batch_size, and the rows into windows of ``steps`` columns; the last window has what is left
    of L. Window k + 1 continues every row of window k, so a state can be carried over. Each token but the
    first is a target exactly once, except the last ``trimmed`` < batch_size tokens, which fill no column.

        batches[k]            -> (input, target), both (batch_size, T) int64, T = steps but in the last window
        len(batches)          -> the number of windows
        batches.iterate(k)    -> windows k, k + 1, ...

    Attributes:
        batch_size, steps: as given.
        columns: L.
        targets: batch_size * L, the number of tokens that are predicted.
        trimmed: tokens at the end that are not.

    >>> batches = Batches(np.arange(9), batch_size=2, steps=3)
    >>> [target.tolist() for _, target in batches]
    [[[1, 2, 3], [5, 6, 7]], [[4], [8]]]

    Raises:
        ValueError: batch_size or steps is not an integer of at least 1; ids is not 1-D; fewer than
            batch_size * steps + 1 ids.
    """

    def __init__(self, ids: NDArray[Any], batch_size: int, steps: int) -> None:
        for name, value in (("batch_size", batch_size), ("steps", steps)):
            integer(name, value, 1)
        if ids.ndim != 1 or ids.dtype.kind not in "iu":
            raise ValueError(f"ids should be integers of shape (n,), got {ids.dtype} of shape {ids.shape}")
        if len(ids) < batch_size * steps + 1:
            raise ValueError(
                f"ids should be at least {batch_size * steps + 1:,} tokens, one more than a batch of {batch_size} x "
                f"{steps}, got {len(ids):,}; lower batch_size or steps, or take more text"
            )
        self.batch_size, self.steps = batch_size, steps
        self.columns = (len(ids) - 1) // batch_size
        self.targets = batch_size * self.columns
        self.trimmed = len(ids) - 1 - self.targets
        # Views: a corpus that is mapped from the disk stays there.
        self._input = ids[: self.targets].reshape(batch_size, self.columns)
        self._target = ids[1 : self.targets + 1].reshape(batch_size, self.columns)

    def __len__(self) -> int:
        return -(-self.columns // self.steps)

    def __getitem__(self, window: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        if not 0 <= index(window) < len(self):
            raise IndexError(f"window should be from 0 to {len(self) - 1}, got {window}")
        at = slice(window * self.steps, (window + 1) * self.steps)
        return self._input[:, at].astype(np.int64), self._target[:, at].astype(np.int64)

    def __iter__(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        return self.iterate()

    def iterate(self, start: int = 0) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """The windows from ``start`` on (0 to ``len``): a run that stopped after window k goes on at k + 1.

        Raises:
            ValueError: start is not an integer from 0 to len.
        """
        return (self[k] for k in range(integer("start", start, 0, len(self)), len(self)))
