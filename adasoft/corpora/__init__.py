"""Texts as ids: corpora by name, from a file or from a folder, cut into batches.

    corpus = load("docs")                      # the documentation of the installed packages: no network
    corpus = load("novel.txt")                 # the last twentieth is test, the one before it valid
    corpus = load("wikitext-2", bpe=8000)      # downloaded once; byte-pair pieces instead of words
    for input_, target in Batches(corpus.train, batch_size=128, steps=20): ...

The ids are ranks: 0 is the most frequent word of the train part. Encoded texts and downloads are kept in
``adasoft.files.cache_dir() / "corpora"``, outside any checkout; what lies there may be deleted at any time.

===================  =============================================================================
``corpus.py``        ``Corpus`` and ``Batches``
``sources.py``       files, folders and archives as the train, valid and test parts of a text
``names.py``         the corpora known by name
``encode.py``        text to ids: words, or byte-pair pieces
``loading.py``       ``load``: arguments and the cache
``documentation.py`` what the installed packages say about themselves
``downloads.py``     downloads that go on where they broke off; folders written whole or not at all
===================  =============================================================================
"""

from __future__ import annotations

from .corpus import Batches, Corpus
from .encode import text_ids
from .loading import load
from .names import NAMES, Known

__all__ = ["NAMES", "Batches", "Corpus", "Known", "load", "text_ids"]
