"""Words for a command: from a text, a file of counts, a language of wordfreq, or Zipf's law."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import short
from .arguments import encoding_option, number, whole

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


def word_options(p: Any) -> None:
    """Add where the words come from, and how they are read."""
    p.add_argument(
        "source",
        metavar="SOURCE",
        help="a language code of the wordfreq library (en, de, fi ...); a file of counts, one word and its count per "
        "line (word<TAB>count, or as `sort | uniq -c` writes them); a text file (plain, gz, xz or bz2); or synthetic:N "
        "for N words by Zipf's law",
    )
    group = p.add_argument_group("words")
    group.add_argument("--kind", choices=["counts", "text"], help="what the file holds (guessed by default)")
    encoding_option(group)
    group.add_argument("--min-count", type=number(), metavar="N", help="words that occur less often become <unk>")
    group.add_argument("--max-size", type=whole(), metavar="V", help="keep V words; the rest become <unk>")
    group.add_argument("--eos", metavar="WORD", help="text: count this word once per line")
    group.add_argument("--lower", action="store_true", help="text: convert to lower case")
    group.add_argument(
        "--split",
        choices=["whitespace", "words"],
        default="whitespace",
        help="text: how to find the words (whitespace)",
    )


def words_for(options: argparse.Namespace) -> Vocabulary:
    """The words that are asked for, truncated as asked. Raises ValueError if none but <unk> is left."""
    if options.source.startswith("synthetic:"):
        words = synthetic(options.source.removeprefix("synthetic:"))
    else:
        text: dict[str, Any] = {"eos": options.eos, "lower": options.lower or None}
        if options.split != "whitespace":
            text["tokenizer"] = options.split
        given = {name: value for name, value in text.items() if value is not None}
        words = words_of(options.source, options.encoding, kind=options.kind, **given)
    if options.min_count is None and options.max_size is None:
        return words
    kept = words.truncate(min_count=options.min_count, max_size=options.max_size)
    if len(kept) == 1 < len(words):
        raise ValueError(
            f"--min-count {options.min_count:g} leaves no word but <unk>: the largest count is {words.counts[0]:g}"
            + (", a share of all words" if words.counts[0] < 1 else "")
        )
    return kept
