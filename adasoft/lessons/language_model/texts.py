"""Texts to train on: where they come from, how they are read beside the page, and what is said of them."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from ...corpora import NAMES, Corpus, load
from ...corpora.sources import beginning
from ...files import cache_dir
from ..time_model.timings import Tick

#: Tokens of the validation part that perplexity is taken on.
VALID = 10_000


def downloaded(name: str) -> bool:
    """Whether all files of a corpus known by name are on this computer."""
    folder = cache_dir() / "corpora" / name
    return all((folder / file.url.rpartition("/")[2]).exists() for file in NAMES[name].files)


def read_text(source: str, tokens: int, cache: Path | None = None) -> Corpus:
    """A text to train on: ``"docs"``, another known corpus that was downloaded, or a file or folder.

    A file or folder is lowered and cut into words and marks, unless it holds ``<unk>``: then somebody has done so.

    Raises ValueError and OSError as :func:`adasoft.corpora.load`; ValueError for a corpus that is not downloaded yet
    and for a path where nothing is.
    """
    if source in NAMES and source != "docs" and not downloaded(source):
        raise ValueError(
            f"{source} is not on this computer; python -m adasoft train --corpus {source} downloads it "
            f"({NAMES[source].licence}), the lessons use no network"
        )
    if source not in NAMES and not Path(source).expanduser().exists():
        raise ValueError(f"no file or folder is called {source}: check the path, or press Back to the documentation")
    how: dict[str, Any] = {}
    if source not in NAMES and not _prepared(Path(source)):
        how = {"tokenizer": "words", "lower": True}
    return load(source, tokens=tokens, valid_tokens=VALID, test_tokens=VALID, progress=False, cache=cache, **how)


def _prepared(path: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):  # reading it says what is wrong with it
        return " <unk> " in beginning(path)
    return False


def file_name(name: str) -> str:
    """A name that any system takes, as near as possible to that of a dropped file."""
    kept = re.sub(r'[\x00-\x1f\x7f<>:"|?*\ud800-\udfff]', "_", name.replace("\\", "/").rpartition("/")[2]).strip(" .")
    stem, dot, end = kept.rpartition(".")
    while len(kept.encode()) > 200:  # most take 255 bytes; its end says what it is packed with
        stem = stem[: len(stem) // 2]
        kept = stem + dot + end[-20:]
    return kept or "dropped"


def _unknown_share(corpus: Corpus) -> float:
    """Share of the unknown word among the tokens of the validation part."""
    if corpus.unknown is None:
        return 0.0
    return float(np.mean(corpus.valid == corpus.vocabulary.rank_of(corpus.unknown)))


def read_beside(source: str, tokens: int, cache: Path | None, tick: Tick) -> Corpus:
    """As `read_text`, in a thread of its own: ``tick`` is called meanwhile and raises to stop.

    The reading itself then goes on unseen.
    """
    corpora: list[Corpus] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            corpora.append(read_text(source, tokens, cache=cache))
        except BaseException as error:
            errors.append(error)

    thread, begun = threading.Thread(target=work, daemon=True), time.monotonic()
    thread.start()
    name, first = Path(source).name, "; the first time, it takes a minute or two" if source == "docs" else ""
    while thread.is_alive():
        thread.join(0.05)
        seconds = time.monotonic() - begun
        tick(1 - 1 / (1 + seconds / 20), f"reading {name}: {seconds:.0f} s{first if seconds < 120 else ''} ...")
    if errors:
        raise errors[0]
    return corpora[0]


def provenance(corpus: Corpus) -> dict[str, Any]:
    """Which text it is, and how long."""
    return {
        "name": corpus.name,
        "source": corpus.source,
        "licence": corpus.licence,
        "digest": corpus.digest,
        "V": corpus.n_classes,
        "train": len(corpus.train),
        "valid": len(corpus.valid),
    }


def about_text(corpus: Corpus) -> dict[str, Any]:
    """What a session keeps of a text."""
    first = [n for n in (1000, 4000) if n < corpus.n_classes]
    return {
        **provenance(corpus),
        "begin": corpus.decode(corpus.train[:40]),
        "unknown": _unknown_share(corpus),
        "shares": {str(n): float(corpus.vocabulary.share_of_first(n)) for n in first},
    }
