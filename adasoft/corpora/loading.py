"""``load``, the one door to a text as ids: its arguments, and the cache of encoded texts."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ..checks import integer
from ..counts import read_only
from ..files import cache_dir, checksum, writable_folder
from ..textfiles import checked_encoding
from ..tokens import splitter
from ..vocabulary import Vocabulary
from .bars import Progress
from .corpus import PARTS, Corpus, Ids
from .downloads import DamagedError, whole_folder
from .encode import LEAST_PIECES, UNKNOWN, Preparation, Tokenizer, checked_eos, chunks, write_pieces, write_words
from .names import NAMES, Known, docs, downloaded
from .sources import Source, checked_text, local

__all__ = ["load"]

_FORMAT = 2  # of an encoded folder; with another number texts are encoded again
_CHUNK = 2**22  # ids handled at a time
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_ELSEWHERE = "name another folder in ADASOFT_CACHE"
_IN_MEMORY = 2**28  # bytes of ids up to which a part is read into memory; beyond, it is mapped


def _encode(source: Source, preparation: Preparation, folder: Path, progress: Progress) -> None:
    """Write the ids of all parts and ``corpus.json`` into an empty folder."""
    write = write_pieces if preparation.bpe else write_words
    words, counts, ranks, n_words = write(source, preparation, folder, progress)
    if len(words) < 2:
        raise ValueError(
            f"source should be a text of at least two words, got {source.address}, of which these settings leave only "
            f"{words[0]!r}"
        )
    for part in PARTS:
        raw = folder / f"{part}.raw"
        _write_ids(folder / f"{part}.npy", raw.stat().st_size // 4, (ranks[chunk] for chunk in chunks(raw)))
        raw.unlink()
    about = {
        "format": _FORMAT,
        "name": source.name,
        "licence": source.licence,
        "source": source.address,
        "unknown": UNKNOWN if not preparation.bpe and UNKNOWN in words else None,
        "eos": preparation.eos if preparation.eos in words else None,
        "n_words": n_words,
        "words": words,
        "counts": counts.tolist(),
        "digest": _digest(words, (np.load(folder / f"{part}.npy", mmap_mode="r") for part in PARTS)),
    }
    text = json.dumps(about | {"sha256": checksum(about)}, ensure_ascii=True)
    (folder / "corpus.json").write_text(text, encoding="utf-8")


def _write_ids(path: Path, n: int, pieces: Iterable[Ids]) -> None:
    """Write a .npy file in pieces. (With a mapped file, a full disk would kill the process without a word.)"""
    with path.open("wb") as file:
        header = {"descr": "<i4", "fortran_order": False, "shape": (n,)}
        np.lib.format.write_array_header_1_0(file, header)
        for chunk in pieces:
            file.write(chunk.astype("<i4", copy=False).tobytes())


def _digest(words: Sequence[str], parts: Iterable[Ids]) -> str:
    digest = hashlib.sha256(json.dumps(list(words)).encode())
    for ids in parts:
        digest.update(f"\n{len(ids)}\n".encode())
        for at in range(0, len(ids), _CHUNK):
            digest.update(np.ascontiguousarray(ids[at : at + _CHUNK], "<i4").data)
    return digest.hexdigest()


def _read(folder: Path, *, into_memory: bool = False) -> Corpus:
    """The corpus of a folder that :func:`_encode` wrote; DamagedError if it is not what was written."""
    try:
        about = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
        if about["sha256"] != checksum(about):
            raise ValueError("corpus.json does not match its checksum")
        parts = {}
        for part in PARTS:
            path = folder / f"{part}.npy"
            whole = into_memory or path.stat().st_size <= _IN_MEMORY
            parts[part] = read_only(np.load(path, mmap_mode=None if whole else "r", allow_pickle=False))
        if about["digest"] != _digest(about["words"], parts.values()):
            raise ValueError("the ids do not match their checksum")
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise DamagedError(error) from error
    tokenizer = folder / "tokenizer.json"
    return Corpus(
        name=about["name"],
        vocabulary=Vocabulary(np.asarray(about["counts"], np.int64), about["words"], name=about["name"]),
        **parts,
        licence=about["licence"],
        source=about["source"],
        digest=about["digest"],
        unknown=about["unknown"],
        eos=about["eos"],
        n_words=about["n_words"],
        tokenizer=tokenizer.read_text(encoding="utf-8") if tokenizer.exists() else None,
    )


def load(
    source: str | os.PathLike[str],
    *,
    tokens: int | None = None,
    valid_tokens: int | None = None,
    test_tokens: int | None = None,
    min_count: float | None = None,
    max_size: int | None = None,
    eos: str | None = "<eos>",
    lower: bool = False,
    tokenizer: Tokenizer | None = None,
    bpe: int | None = None,
    encoding: str = "utf-8",
    progress: Progress = True,
    cache: str | os.PathLike[str] | None = None,
) -> Corpus:
    """A corpus as ranks, encoded once and kept in the cache.

    Args:
        source: one of ``NAMES``; a file; or a folder (``docs`` is the name, ``./docs`` and ``Path("docs")`` are
            folders). A folder with files called train, valid (validation, val, dev) and test, such as
            ``wiki.train.tokens`` or ``train.txt.xz``, is read as these parts; other files beside them are not read, nor
            are programs and settings such as ``train.py`` or ``test.json``. Any other folder is one text: its files,
            except hidden ones, in the order of their paths. One text is cut at line ends: the last twentieth of its
            characters is test, the one before it valid. Files may be packed by gzip, xz or bz2. A file of counts is not
            a text and is refused, unless ``tokenizer`` is a function.
        tokens, valid_tokens, test_tokens: take only so many tokens from the start of a part (line ends count); words
            are counted after that. With ``bpe`` these are words too, so the pieces stand for the same text.
        min_count: words that occur less often in train become ``<unk>``. None: the named corpus's own; else 1 if train
            has an ``<unk>`` already, and 2 if not, since the share of words seen once estimates that of words never
            seen (Good and Turing).
        max_size: the largest V, ``<unk>`` counted; the rarest words become ``<unk>``.
        eos: the word at the end of each line, or None for none.
        lower: lower the text first.
        tokenizer: "whitespace", "words" or a function of a line, as ``Vocabulary.from_text``. None: the named
            corpus's own, else "whitespace". A text split by a function is encoded again each time.
        bpe: encode by at most this many byte-pair pieces, learnt from train, instead of words; nothing is unknown then.
            The text consists of the words that ``tokenizer`` finds, with a blank between two of them.
        encoding: of the text, unless a byte order mark at its start says otherwise, as ``Vocabulary.from_text``.
        progress: True shows bars; a function is called as ``progress(what, done, total)``, in bytes or files, and stops
            the work by raising (``total`` is None where it is not known).
        cache: the folder for downloads and ids; ``adasoft.files.cache_dir() / "corpora"`` if None. Where it cannot be
            written, the text is encoded for this call only, with a warning; a download is refused. ``ADASOFT_CORPORA``
            may name a server that has the files of named corpora under NAME/FILE.

    Words of valid and test that train lacks become ``<unk>`` too. If train has no such word, one with count 0 is added.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     text = pathlib.Path(folder, "novel.txt")
    ...     _ = text.write_text("the cat saw the dog\\n" * 20)
    ...     corpus = load(text, cache=folder, progress=False)
    >>> corpus.vocabulary.words
    ('the', 'cat', 'saw', 'dog', '<eos>')
    >>> corpus.train[:6].tolist(), len(corpus.train), len(corpus.valid), len(corpus.test)
    ([0, 1, 2, 0, 3, 4], 108, 6, 6)

    Raises:
        TypeError: an argument has a wrong type.
        FileNotFoundError: there is no such file, folder or name.
        ValueError: an argument is out of range; a text is empty, binary, in another encoding, damaged, or too short to
            be cut; it has fewer than two words; a download has a wrong checksum.
        ConnectionError: a download failed; the message says what to do.
        OSError: the cache has no room, or a download cannot be written there.
    """
    name = source if isinstance(source, str) and source in NAMES else None
    source = os.fspath(source)
    root = (cache_dir() / "corpora") if cache is None else Path(cache)
    limits = {"tokens": tokens, "valid_tokens": valid_tokens, "test_tokens": test_tokens, "max_size": max_size}
    for argument, value in limits.items():
        if value is not None:
            integer(argument, value, 1)
    known = Known("", "") if name is None else NAMES[name]
    tokenizer = known.tokenizer if tokenizer is None else tokenizer
    if not callable(tokenizer):
        splitter(tokenizer)  # refuses what it does not know
    checked_encoding(encoding)
    if bpe is not None:
        integer("bpe", bpe, LEAST_PIECES)  # 256 of them are bytes
        if min_count is not None or max_size is not None or callable(tokenizer):
            raise ValueError("min_count, max_size and a tokenizer of your own are for words; leave them out with bpe")
    preparation = Preparation(
        tokens=(tokens, valid_tokens, test_tokens),
        min_count=known.min_count if min_count is None else min_count,
        max_size=known.max_size if max_size is None else max_size,
        eos=checked_eos(eos) if known.lines else None,
        lower=lower,
        tokenizer=tokenizer,
        bpe=bpe,
        encoding=encoding,
    )
    with _room(root), _writable(root, name) as folder:
        if name == "docs":
            text = docs(folder, progress)
        elif name is not None:
            text = downloaded(name, folder, progress, encoding)
        elif Path(source).exists():
            if Path(source).is_file() and not callable(tokenizer):
                checked_text(Path(source), encoding)
            text = local(Path(source), encoding, progress)
        else:
            raise FileNotFoundError(
                f"source should be a file, a folder or a known corpus, got {source!r}; known are {', '.join(NAMES)}"
            )
        return _encoded(text, preparation, folder, progress, keep=folder == root)


def _encoded(source: Source, preparation: Preparation, root: Path, progress: Progress, *, keep: bool) -> Corpus:
    """The corpus from the cache, or encoded into it, or (``keep`` False) into a folder that is about to go."""
    encoded = root / "encoded"
    encoded.mkdir(parents=True, exist_ok=True)
    if callable(preparation.tokenizer) or not keep:  # a function, which nothing can tell from another
        with tempfile.TemporaryDirectory(dir=encoded, prefix="once-") as once:
            _encode(source, preparation, Path(once), progress)
            return _read(Path(once), into_memory=True)
    key = json.dumps([_FORMAT, source.name, source.address, source.key, asdict(preparation)])
    folder = encoded / hashlib.sha256(key.encode()).hexdigest()[:24]
    return whole_folder(folder, lambda unfinished: _encode(source, preparation, unfinished, progress), _read)


@contextmanager
def _writable(root: Path, name: str | None) -> Iterator[Path]:
    """The cache, or where it cannot be written a folder for this call only; downloads are refused then."""
    try:
        writable_folder(root)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise
        if name not in (None, "docs"):
            raise OSError(
                error.errno,
                f"cache should be a folder that can be written, got {root} ({error.strerror}); {_ELSEWHERE}",
            ) from error
        warnings.warn(
            f"the encoded text is not kept: {root} cannot be written ({error.strerror}); {_ELSEWHERE}",
            RuntimeWarning,
            stacklevel=4,
        )
        with tempfile.TemporaryDirectory(prefix="adasoft-") as folder:
            yield Path(folder)
    else:
        yield root


@contextmanager
def _room(root: Path) -> Iterator[None]:
    """Say where there is no room, and what to do about it."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise OSError(
                error.errno,
                f"cache: no room in {root} ({error}). Make some (what lies there may be deleted, and is made again), "
                f"or {_ELSEWHERE}",
            ) from error
        raise
