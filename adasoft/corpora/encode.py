"""Text to ids, for ``load``: words or byte-pair pieces, numbered as they come and ranked in the end.

Everything is a stream: no text is in memory as a whole, but in :func:`text_ids`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..extras import missing
from ..textfiles import stem
from ..tokens import splitter
from ..vocabulary import Vocabulary
from .bars import Progress, progress_bar
from .corpus import PARTS, Ids
from .sources import Part, Plain, Source, checked_text

__all__ = ["LEAST_PIECES", "Numbered", "Preparation", "Tokenizer", "chunks", "text_ids", "write_pieces", "write_words"]

Tokenizer = Literal["whitespace", "words"] | Callable[[str], Iterable[str]]

UNKNOWN = "<unk>"
LEAST_PIECES = 258  # 256 bytes, the end of a line, and one pair
_END = "\0"  # stands for a line's end while a text is split; no text holds it
_CHUNK = 2**22  # ids handled at a time
_LINES = 2**12  # lines handed to the tokenizer at a time


@dataclass(frozen=True)
class Preparation:
    """How a text is made into ids; as the arguments of ``load``."""

    tokens: tuple[int | None, int | None, int | None]
    min_count: float | None
    max_size: int | None
    eos: str | None
    lower: bool
    tokenizer: Tokenizer
    bpe: int | None
    encoding: str

    def limit(self, part: str) -> int | None:
        """The number of words to take of a part."""
        return self.tokens[PARTS.index(part)]


class Numbered(NamedTuple):
    """Parts as numbers in ``PART.raw``, and what makes ranks of them."""

    words: list[str]
    """By rank."""
    counts: NDArray[np.int64]
    """By rank, of train."""
    ranks: Ids
    """``ranks[number]``."""
    n_words: dict[str, int]


# ---- words


class _Numbers(dict[str, int]):
    """Numbers words by their first appearance; a line's end and the word ``eos`` are one."""

    def __init__(self, eos: str | None) -> None:
        super().__init__()
        self.words: list[str] = []
        self.twins = {} if eos is None else {_END: eos, eos: _END}

    def __missing__(self, word: str) -> int:
        number = self[word] = self[self.twins.get(word, word)] = len(self.words)
        self.words.append(self.twins.get(word, word) if word == _END else word)
        return number


def _word_ids(
    pieces: Iterable[str], numbers: _Numbers, tokenizer: Tokenizer, *, lower: bool, limit: int | None
) -> Iterator[Ids]:
    """The numbers of the first ``limit`` tokens of a text; line ends are tokens if ``numbers`` has an eos."""
    split = _line_by_line(tokenizer) if callable(tokenizer) else splitter(tokenizer)
    left = limit
    for text in pieces:
        text = text.lower() if lower else text
        # A line's end becomes a word of its own before the split, which both splitters leave whole.
        tokens = split(text if callable(tokenizer) else text.replace("\n", f" {_END} "))
        ids = np.fromiter(map(numbers.__getitem__, tokens), np.int32)
        if not numbers.twins and _END in numbers:
            ids = ids[ids != numbers[_END]]
        ids = ids[:left]
        if len(ids):
            yield ids
        if left is not None and (left := left - len(ids)) == 0:
            return


def _line_by_line(tokenizer: Callable[[str], Iterable[str]]) -> Callable[[str], Iterable[str]]:
    words = splitter(tokenizer)

    def split(text: str) -> Iterator[str]:
        *lines, rest = text.split("\n")
        for line in lines:
            yield from words(line)
            yield _END
        if rest:
            yield from words(rest)

    return split


def _ranked(
    words: Sequence[str],
    counts: NDArray[np.int64],
    unseen: bool,
    *,
    min_count: float | None,
    max_size: int | None,
) -> tuple[Vocabulary, Ids]:
    """The vocabulary of the words with a count, and the rank of each number (-1 where there is none).

    ``unseen``: words without a count are needed too, since the held-out parts have them.
    """
    present = np.flatnonzero(counts)
    names, sizes = [words[i] for i in present.tolist()], counts[present]
    known = UNKNOWN in names
    if unseen and not known:
        names, sizes = [*names, UNKNOWN], np.append(sizes, 0)
    if min_count is None:
        min_count = 1 if known else 2
    kept = Vocabulary(sizes, names).truncate(min_count=min_count, max_size=max_size, unk=UNKNOWN)
    vocabulary = Vocabulary(kept.counts, kept.words)
    unknown = vocabulary.rank_of(UNKNOWN) if UNKNOWN in (vocabulary.words or ()) else -1
    ranks = np.full(len(words), unknown, dtype=np.int32)
    assert kept.id_map is not None  # truncate gives one
    ranks[present] = kept.ranks[kept.id_map][: len(present)]
    return vocabulary, ranks


def write_words(source: Source, preparation: Preparation, folder: Path, progress: Progress) -> Numbered:
    """Number the words of all parts in ``folder``."""
    numbers = _Numbers(preparation.eos)
    n_words = {}
    for part, text in _read_parts(source, preparation, progress, whole_lines=callable(preparation.tokenizer)):
        ids = _word_ids(text, numbers, preparation.tokenizer, lower=preparation.lower, limit=preparation.limit(part))
        n_words[part] = _write(folder / f"{part}.raw", ids, part, source)
    counts = _counts(folder, len(numbers.words))
    unseen = any(not counts[chunk].all() for part in PARTS[1:] for chunk in chunks(folder / f"{part}.raw"))
    vocabulary, ranks = _ranked(
        numbers.words, counts, unseen, min_count=preparation.min_count, max_size=preparation.max_size
    )
    return Numbered(list(vocabulary.words or ()), vocabulary.counts, ranks, n_words)


def text_ids(
    path: str | os.PathLike[str],
    *,
    min_count: float | None = None,
    max_size: int | None = None,
    eos: str | None = "<eos>",
    lower: bool = False,
    tokenizer: Tokenizer = "whitespace",
    encoding: str = "utf-8",
) -> tuple[Vocabulary, Ids]:
    """A whole text file as ranks, and its vocabulary, in memory and without a cache; the arguments as ``load``.

    Raises:
        FileNotFoundError, IsADirectoryError, ValueError, TypeError: as ``Vocabulary.from_text``; ValueError for a
            file of counts.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"path should be a file, got the folder {path}")
    if not path.exists():
        raise FileNotFoundError(f"path should be a file, got {str(path)!r}, which does not exist")
    numbers = _Numbers(checked_eos(eos))
    if not callable(tokenizer):
        checked_text(path, encoding)
    text = Part(Plain([path])).pieces(encoding, whole_lines=callable(tokenizer))
    ids = np.concatenate([np.empty(0, np.int32), *_word_ids(text, numbers, tokenizer, lower=lower, limit=None)])
    if not len(ids):
        raise ValueError(f"path should be a text with words in it, got {path}, which holds none")
    counts = np.bincount(ids, minlength=len(numbers.words))
    vocabulary, ranks = _ranked(numbers.words, counts, False, min_count=min_count, max_size=max_size)
    vocabulary.name = stem(path)
    return vocabulary, ranks[ids]


def checked_eos(eos: str | None) -> str | None:
    """``eos`` if it can be a word.

    Raises:
        ValueError: it is empty or holds white space.
    """
    if eos is not None and (not isinstance(eos, str) or eos.split() != [eos]):
        raise ValueError(f"eos should be a word without blanks, or None, got {eos!r}")
    return eos


# ---- byte-pair pieces


def _library() -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise ImportError(missing("tokenizers", "bpe")) from error
    return tokenizers


class _Lines:
    """The lines of a text's first ``limit`` words, each word with a blank before it; counts ``n_words``.

    Yields (text, whether a line ends after it): a long line comes in several pieces.
    """

    def __init__(self, pieces: Iterable[str], preparation: Preparation, part: str) -> None:
        self.pieces, self.limit = pieces, preparation.limit(part)
        self.split, self.lower = splitter(preparation.tokenizer), preparation.lower
        self.ends = preparation.eos is not None
        self.n_words = 0

    def __iter__(self) -> Iterator[tuple[str, bool]]:
        left = self.limit
        for text in self.pieces:
            lines = (text.lower() if self.lower else text).split("\n")
            for number, line in enumerate(lines):
                words = list(islice(self.split(line), left))
                left = None if left is None else left - len(words)
                ended = self.ends and number < len(lines) - 1 and left != 0
                left = None if left is None else left - ended
                self.n_words += len(words) + ended
                if words or ended:
                    yield "".join(f" {word}" for word in words), ended
                if left == 0:
                    return


def write_pieces(source: Source, preparation: Preparation, folder: Path, progress: Progress) -> Numbered:
    """As :func:`write_words`, for byte-pair pieces; ``tokenizer.json`` keeps how they are made and put together."""
    train = source.parts()["train"]
    with _bar(train, f"{source.name}: learning pieces", progress) as shown:
        lines = _Lines(train.pieces(preparation.encoding, bar=shown), preparation, "train")
        tokenizer = _learn(lines, preparation)
    n_words = {}
    for part, text in _read_parts(source, preparation, progress, whole_lines=False):
        lines = _Lines(text, preparation, part)
        _write(folder / f"{part}.raw", _piece_ids(lines, tokenizer, preparation.eos), part, source)
        n_words[part] = lines.n_words
    tokenizer.save(str(folder / "tokenizer.json"))
    pieces = [tokenizer.id_to_token(i) for i in range(tokenizer.get_vocab_size())]
    vocabulary = Vocabulary(_counts(folder, len(pieces)), pieces)
    return Numbered(list(vocabulary.words or ()), vocabulary.counts, vocabulary.ranks.astype(np.int32), n_words)


def _learn(lines: _Lines, preparation: Preparation) -> Any:
    library = _library()
    tokenizer = library.Tokenizer(library.models.BPE())
    # Bytes, so that nothing is unknown; before, words are cut into runs of letters, of digits and of marks, as GPT-2's.
    tokenizer.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = library.decoders.ByteLevel()
    trainer = library.trainers.BpeTrainer(
        vocab_size=preparation.bpe,
        initial_alphabet=library.pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[] if preparation.eos is None else [preparation.eos],
        show_progress=False,
    )
    tokenizer.train_from_iterator((text for text, _ in lines), trainer)
    return tokenizer


def _piece_ids(lines: _Lines, tokenizer: Any, eos: str | None) -> Iterator[Ids]:
    end = None if eos is None else tokenizer.token_to_id(eos)
    stream = iter(lines)
    while group := list(islice(stream, _LINES)):
        ids: list[int] = []
        encoded_lines = tokenizer.encode_batch_fast([text for text, _ in group])
        for (_, ended), encoded in zip(group, encoded_lines, strict=True):
            ids += encoded.ids
            if ended:
                ids.append(end)  # type: ignore[arg-type]  # lines end only where there is an eos
        yield np.asarray(ids, np.int32)


# ---- both


def _read_parts(
    source: Source, preparation: Preparation, progress: Progress, *, whole_lines: bool
) -> Iterator[tuple[str, Iterator[str]]]:
    for part, text in source.parts().items():
        with _bar(text, f"{source.name}: {part}", progress) as shown:
            yield part, text.pieces(preparation.encoding, whole_lines=whole_lines, bar=shown)


def _bar(text: Part, what: str, progress: Progress) -> Any:
    return progress_bar(what, progress, text.files.size, leave=False)


def _write(path: Path, ids: Iterable[Ids], part: str, source: Source) -> int:
    """Write int32 one after the other; returns how many."""
    n = 0
    with path.open("wb") as file:
        for piece in ids:
            file.write(piece.tobytes())
            n += len(piece)
    if not n:
        raise ValueError(f"source: the {part} part of {source.address} holds no tokens")
    return n


def chunks(path: Path) -> Iterator[Ids]:
    """The int32 that :func:`_write` wrote, in pieces."""
    with path.open("rb") as file:
        while len(chunk := np.fromfile(file, np.int32, _CHUNK)):
            yield chunk


def _counts(folder: Path, n: int) -> NDArray[np.int64]:
    counts = np.zeros(n, np.int64)
    for chunk in chunks(folder / "train.raw"):
        counts += np.bincount(chunk, minlength=n)
    return counts
