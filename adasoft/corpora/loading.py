"""``load``: its arguments, and the cache of encoded texts."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ..files import cache_dir, checksum
from ..vocabulary import Vocabulary, _frozen, _integer, _splitter, checked_encoding
from .corpus import PARTS, Corpus, Ids
from .downloads import DamagedError, whole_folder
from .encode import LEAST_PIECES, UNKNOWN, Settings, Tokenizer, checked_eos, chunks, write_pieces, write_words
from .names import NAMES, Known, docs, downloaded
from .sources import Source, checked_text, local

__all__ = ["load"]

_FORMAT = 2  # of an encoded folder; another number encodes anew
_CHUNK = 2**22  # ids handled at a time
_IN_MEMORY = 2**28  # bytes of ids up to which a part is read into memory; beyond, it is mapped


def _encode(source: Source, settings: Settings, folder: Path, progress: bool) -> None:
    """Write the ids of all parts and ``corpus.json`` into an empty folder."""
    write = write_pieces if settings.bpe else write_words
    words, counts, ranks, n_words = write(source, settings, folder, progress)
    if len(words) < 2:
        raise ValueError(
            f"source: all of {source.address} is the one word {words[0]!r} with these settings; "
            "a language model needs at least two"
        )
    for part in PARTS:
        raw = folder / f"{part}.raw"
        _write_ids(folder / f"{part}.npy", raw.stat().st_size // 4, (ranks[chunk] for chunk in chunks(raw)))
        raw.unlink()
    record = {
        "format": _FORMAT, "name": source.name, "licence": source.licence, "source": source.address,
        "unknown": UNKNOWN if not settings.bpe and UNKNOWN in words else None,
        "eos": settings.eos if settings.eos in words else None,
        "n_words": n_words, "words": words, "counts": counts.tolist(),
        "digest": _digest(words, (np.load(folder / f"{part}.npy", mmap_mode="r") for part in PARTS)),
    }  # fmt: skip
    text = json.dumps(record | {"sha256": checksum(record)}, ensure_ascii=True)
    (folder / "corpus.json").write_text(text, encoding="utf-8")


def _write_ids(path: Path, n: int, pieces: Iterable[Ids]) -> None:
    """A .npy file by pieces. (A mapped file would not say that the disk is full: the process would be killed.)"""
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
        record = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
        if record["sha256"] != checksum(record):
            raise ValueError("corpus.json does not match its checksum")
        parts = {}
        for part in PARTS:
            path = folder / f"{part}.npy"
            whole = into_memory or path.stat().st_size <= _IN_MEMORY
            parts[part] = _frozen(np.load(path, mmap_mode=None if whole else "r", allow_pickle=False))
        if record["digest"] != _digest(record["words"], parts.values()):
            raise ValueError("the ids do not match their checksum")
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise DamagedError(error) from error
    tokenizer = folder / "tokenizer.json"
    return Corpus(
        name=record["name"],
        vocabulary=Vocabulary(np.asarray(record["counts"], np.int64), record["words"], name=record["name"]),
        **parts,
        licence=record["licence"],
        source=record["source"],
        digest=record["digest"],
        unknown=record["unknown"],
        eos=record["eos"],
        n_words=record["n_words"],
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
    progress: bool = True,
    cache: str | os.PathLike[str] | None = None,
) -> Corpus:
    """A corpus as ranks, encoded once and kept in the cache.

    Args:
        source: one of ``NAMES``; a file; or a folder (``./docs`` and ``Path("docs")`` are one, ``docs`` is the name).
            A folder with files called train, valid (validation, val, dev) and test, such as ``wiki.train.tokens`` or
            ``train.txt.xz``, is taken as these parts, and other files beside them are not read (programs and settings
            such as ``train.py`` or ``test.json`` are no parts). Any other folder is one
            text, its files (hidden ones left out) in the order of their paths. One text is cut at line ends: the last
            twentieth of its characters is test, the one before it valid. Files may be packed by gzip, xz or bz2. A
            file of counts is no text, and refused (unless ``tokenizer`` is a function).
        tokens, valid_tokens, test_tokens: take the first so many tokens of a part only (line ends count); words are
            counted after that. With ``bpe`` too these are words, so the pieces stand for the same text.
        min_count: words seen less often in train become ``<unk>``. None: the named corpus's own; else 1 if train has an
            ``<unk>`` already, and 2 if not, since the share of words seen once estimates that of words never seen
            (Good and Turing).
        max_size: the largest V, ``<unk>`` counted; the rarest words become ``<unk>``.
        eos: the word at the end of each line, or None for none.
        lower: lower the text first.
        tokenizer: "whitespace", "words" or a function of a line, as ``Vocabulary.from_text``. None: the named
            corpus's own, else "whitespace". A text split by a function is encoded anew each time.
        bpe: encode by this many byte-pair pieces at most, learnt from train, instead of words; nothing is unknown then.
            The text is made of the words that ``tokenizer`` finds, with a blank between two of them.
        encoding: of the text, unless a byte order mark in front says another, as ``Vocabulary.from_text``.
        progress: show bars.
        cache: the folder for downloads and ids; ``cache_dir() / "corpora"`` if None. ``ADASOFT_CORPORA`` may name
            a server that has the files of named corpora under NAME/FILE.

    Words of valid and test that train lacks become ``<unk>`` too. If train has no such word, one with count 0 is added.

    Raises:
        TypeError: an argument has a wrong type.
        FileNotFoundError: no such file, folder or name.
        ValueError: an argument is out of range; a text is empty, binary, in another encoding, damaged, or too short to
            be cut; fewer than two words; a download with a wrong checksum.
        ConnectionError: a download failed; says what to do.
        OSError: no room in the cache.
    """
    name = source if isinstance(source, str) and source in NAMES else None
    source = os.fspath(source)
    root = (cache_dir() / "corpora") if cache is None else Path(cache)
    limits = {"tokens": tokens, "valid_tokens": valid_tokens, "test_tokens": test_tokens, "max_size": max_size}
    for argument, value in limits.items():
        if value is not None and _integer(argument, value) < 1:
            raise ValueError(f"{argument}: expected at least 1 or None, received {value}")
    known = Known("", "") if name is None else NAMES[name]
    tokenizer = known.tokenizer if tokenizer is None else tokenizer
    if not callable(tokenizer):
        _splitter(tokenizer)  # refuses what it does not know
    checked_encoding(encoding)
    if bpe is not None:
        if _integer("bpe", bpe) < LEAST_PIECES:
            raise ValueError(f"bpe: expected at least {LEAST_PIECES} pieces, of which 256 are bytes, received {bpe}")
        if min_count is not None or max_size is not None or callable(tokenizer):
            raise ValueError("bpe: min_count, max_size and a tokenizer of your own are about words; leave them out")
    settings = Settings(
        tokens=(tokens, valid_tokens, test_tokens),
        min_count=known.min_count if min_count is None else min_count,
        max_size=known.max_size if max_size is None else max_size,
        eos=checked_eos(eos) if known.lines else None,
        lower=lower,
        tokenizer=tokenizer,
        bpe=bpe,
        encoding=encoding,
    )
    with _room(root):
        if name == "docs":
            found = docs(root, progress)
        elif name is not None:
            found = downloaded(name, root, progress, encoding)
        elif Path(source).exists():
            if Path(source).is_file() and not callable(tokenizer):
                checked_text(Path(source), encoding)
            found = local(Path(source), encoding)
        else:
            raise FileNotFoundError(
                f"source: {source!r} is no file, no folder, and no known corpus; those are {', '.join(NAMES)}"
            )
        return _encoded(found, settings, root, progress)


def _encoded(source: Source, settings: Settings, root: Path, progress: bool) -> Corpus:
    """The corpus from the cache, or encoded into it."""
    encoded = root / "encoded"
    encoded.mkdir(parents=True, exist_ok=True)
    if callable(settings.tokenizer):  # which nothing can tell from another
        with tempfile.TemporaryDirectory(dir=encoded, prefix="once-") as once:
            _encode(source, settings, Path(once), progress)
            return _read(Path(once), into_memory=True)
    key = json.dumps([_FORMAT, source.name, source.address, source.key, asdict(settings)])
    folder = encoded / hashlib.sha256(key.encode()).hexdigest()[:24]
    return whole_folder(folder, lambda part: _encode(source, settings, part, progress), _read)


@contextmanager
def _room(root: Path) -> Iterator[None]:
    """Say where there is no room, and what to do about it."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OSError(
                error.errno,
                f"cache: no room in {root} ({error}). Make some (what lies there may be deleted, and is made again), "
                "or name another folder in ADASOFT_CACHE",
            ) from error
        raise
