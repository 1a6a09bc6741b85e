"""Words for a command: from a text, a file of counts, a language of wordfreq, or Zipf's law."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import short

if TYPE_CHECKING:
    from ..vocabulary import Vocabulary

#: Words that fit into the memory of most machines, some ten times as many as any list of words has.
LARGEST_SYNTHETIC = 100_000_000


def words_of(source: str, encoding: str | None = None, **how: Any) -> Vocabulary:
    """The words of a file, else of a language. ``how``: as in :meth:`adasoft.Vocabulary.read`.

    Raises FileNotFoundError if there is neither.
    """
    from ..vocabulary import Vocabulary

    if not Path(source).is_file():
        return _of_language(source)
    return Vocabulary.read(source, encoding=encoding or "utf-8", **how)


def words_with_line_ends(source: str, encoding: str | None) -> Vocabulary:
    """As :func:`words_of`, a text with ``<eos>`` for the end of each line."""
    from ..vocabulary import Vocabulary

    try:
        return words_of(source, encoding, eos="<eos>")
    except TypeError:  # counts: their reader knows no ends of lines
        return Vocabulary.from_counts_file(source, encoding=encoding or "utf-8")


def synthetic(number: str) -> Vocabulary:
    """So many words by Zipf's law, as ``synthetic:N`` asks. Raises ValueError for what is not such a number."""
    from ..vocabulary import Vocabulary

    if not number.isdecimal():
        raise ValueError(f"synthetic:N needs a whole number of words, got {short(number)}")
    if len(number) > 9 or int(number) > LARGEST_SYNTHETIC:
        raise ValueError(f"synthetic:N should have at most {LARGEST_SYNTHETIC:,} words, got {short(number)}")
    return Vocabulary.synthetic(int(number), shift=2.7)


def _of_language(source: str) -> Vocabulary:
    """The words of a language of wordfreq. FileNotFoundError if there is no such language: a file was meant."""
    from ..vocabulary import Vocabulary

    try:
        languages = Vocabulary.wordfreq_languages()
    except ImportError as error:
        raise FileNotFoundError(f"{short(source)} is not a file; and for the words of a language, {error}") from error
    if source not in languages:
        what = "a folder, not a file" if os.path.isdir(source) else "not a file"
        raise FileNotFoundError(f"{short(source)} is {what}, nor a language of wordfreq ({' '.join(languages)})")
    return Vocabulary.from_wordfreq(source)
