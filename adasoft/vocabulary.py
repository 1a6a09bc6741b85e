"""Word counts in falling order, and what they say about coverage.

A cost model asks "which share of the tokens do the n most frequent words hold?"; this room answers it for
counts from any source. Three numberings appear and never mix: a *word* is a string, an *id* is the user's
number of a word (0..V-1, any order), and a *rank* is its place by falling count (0 is the most frequent).
"""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import lzma
import math
import os
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache, cached_property, partial
from itertools import chain, islice
from operator import index
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Vocabulary", "ZipfFit", "comparable", "compare", "wordfreq_tokens"]

Model = Literal["zipf", "zipf-mandelbrot"]
_Path = str | os.PathLike[str]

_LARGEST = 2**63 - 1  # of an int64
_PIECE = 2**18  # bytes read at a time: larger lists of tokens fall out of the processor's cache
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
# UTF-32 first: its mark begins with that of UTF-16.
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_COMPRESSED: list[tuple[re.Pattern[bytes], Callable[[Any], Any]]] = [
    (re.compile(rb"\x1f\x8b"), gzip.open),
    (re.compile(rb"\xfd7zXZ\x00"), lzma.open),
    # "BZh" alone could open a text; bz2's block or end-of-stream marker follows in a real archive.
    (re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"), bz2.open),
]


@dataclass(frozen=True)
class ZipfFit:
    """A fitted rank-frequency law p_r = (r + q)^-s / Z, r = 1..V (Zipf 1949: q = 0; Mandelbrot 1953)."""

    model: Model
    exponent: float
    """s"""
    shift: float
    """q, above -1; 0 for model "zipf"."""
    log_likelihood: float
    """Nats, over all tokens: sum of count_r log p_r."""
    divergence: float
    """Kullback-Leibler divergence of the data from the fit, nats per token."""
    max_share_error: float
    """Largest |cumulative share of the data - cumulative share of the fit| over all ranks."""
    n_classes: int

    def shares(self) -> NDArray[np.float64]:
        """The fitted shares p_r by rank: (V,), summing to 1."""
        return _zipf_shares(self.n_classes, self.exponent, self.shift)

    def counts(self, total: float) -> NDArray[np.float64]:
        """Expected counts by rank, total * p_r: (V,)."""
        return _positive("total", total) * self.shares()


class Vocabulary:
    """The counts of V words in falling order; ties keep the order of the user's ids.

    Args:
        counts: non-negative finite numbers, not all zero, in any order. One of
            - a 1-D array or sequence (V,): the position is the user's id. A masked array may mask nothing;
            - a mapping word -> count: the user's id is the position in the mapping;
            - a mapping id -> count whose ids are exactly 0..V-1, in any order;
            - a Vocabulary: an equal copy.
            Integers stay int64; if one count is a float, all become float64.
        words: V distinct strings in the order of the user's ids; only with an array.
        name: what tables and plots call these counts.

    Raises:
        TypeError: counts or words are of a wrong type (booleans, strings and objects are no counts).
        ValueError: counts are empty, not 1-D, negative, not finite, all zero or beyond 2**63 - 1; ids are
            missing; words are not V or not distinct.

    Attributes:
        name: as given.
        counts: (V,) falling, read-only, int64 or float64.
        order: (V,) int64, read-only; ``order[rank]`` is the user's id.
        id_map: on a result of :meth:`truncate`, (V of the old one,) int64, old id -> new id; else None.
        floor: the frequency at which a list of frequencies ends (1e-6: it lacks all words rarer than one in a
            million); its counts are then shares of all tokens. 0 where no word is left out.
    """

    name: str
    counts: NDArray[Any]
    order: NDArray[np.int64]
    id_map: NDArray[np.int64] | None
    floor: float

    def __init__(
        self,
        counts: ArrayLike | Mapping[str, float] | Mapping[int, float] | Vocabulary,
        words: Sequence[str] | None = None,
        *,
        name: str = "counts",
    ) -> None:
        if words is not None and isinstance(counts, Mapping | Vocabulary):
            raise TypeError(f"words: a {type(counts).__name__} brings its own; give words only with an array")
        if isinstance(counts, Vocabulary):
            self.__dict__.update(counts.__dict__)
            self.name = counts.name if name == "counts" else name
            return
        self.name = name
        self.id_map = None
        self.floor = 0.0
        by_id = cast(ArrayLike, counts)
        if isinstance(counts, Mapping):
            words, by_id = _unpack_mapping(counts)
        elif words is not None:
            words = _checked_words(words)
        array = _checked_counts(by_id, words)
        if words is not None and len(words) != len(array):
            raise ValueError(f"words: expected {len(array)}, one per count, received {len(words)}")
        self._words_by_id = words
        # Stable, so that equal counts stay in the order of the user's ids.
        self.order = _frozen(np.argsort(-array, kind="stable").astype(np.int64, copy=False))
        self.counts = _frozen(array[self.order])

    # ---- readers

    @classmethod
    def from_tokens(cls, tokens: Iterable[str], *, name: str = "tokens") -> Vocabulary:
        """Count tokens; ids follow the first appearance.

        Raises:
            TypeError: tokens is one string, or holds something that is no string.
            ValueError: tokens is empty.
        """
        if isinstance(tokens, str | bytes):
            raise TypeError("tokens: expected an iterable of strings, received one string; split it into tokens")
        return cls._from_counter(Counter(tokens), "tokens", name)

    @classmethod
    def from_text(
        cls,
        path: _Path,
        *,
        tokenizer: Literal["whitespace", "words"] | Callable[[str], Iterable[str]] = "whitespace",
        lower: bool = False,
        eos: str | None = None,
        encoding: str = "utf-8",
        name: str | None = None,
    ) -> Vocabulary:
        """Count the tokens of a text file; ids follow the first appearance.

        Args:
            path: a plain, gzip, xz or bz2 file, told apart by its first bytes, not by its ending.
            tokenizer: "whitespace" splits at blanks, tabs and the other ASCII white space, so a word may hold
                a no-break space or U+2028, and leaves every character as it is;
                "words" takes runs of letters, digits and ``_`` with the marks and joiners on and between them
                (vowel signs, accents, harakat, niqqud, ZWJ, ZWNJ; invisible characters such as the soft hyphen
                only between two letters), and every other printed character by itself, an emoji with all that
                belongs to it. An apostrophe or hyphen is such a character: ``don't`` is three tokens. The text
                is composed (NFC) before, so both ways of writing ``ä`` are one word. Scripts without blanks
                are cut at other characters only: a clause of Thai or Chinese is one word;
                a callable receives one line, without its end, at a time: :func:`wordfreq_tokens` cuts and
                folds words as the lists of :meth:`from_wordfreq` do, for whoever lays the two side by side.
            lower: lower the text before the tokenizer sees it.
            eos: a token counted once per line, or None. Only a line feed ends a line, with a carriage return
                before it or not; a last line without its end counts as a line.
            encoding: of the unpacked text, unless a byte order mark in front says that it is UTF-8, UTF-16
                or UTF-32: the mark is obeyed, and left out.
            name: the file's name without endings such as .txt.xz if None.

        Raises:
            FileNotFoundError, IsADirectoryError: there is no such file.
            ValueError: no tokens; binary or wrongly encoded (names the byte); compressed data broken off or
                damaged.
            TypeError: the callable returns something other than strings.
        """
        if eos is not None and (not isinstance(eos, str) or not eos):
            raise ValueError(f"eos: expected a non-empty string or None, received {eos!r}")
        path = Path(path)
        split = _splitter(tokenizer)
        counts: Counter[str] = Counter()
        lines = 0
        text = ""
        for text in _pieces(path, encoding, cut_at_blanks=not callable(tokenizer)):
            rest = text.lower() if lower else text
            ends = text.count("\n")
            if eos is not None and ends and not lines:
                # The first line by itself: eos first appears behind it.
                first, _, rest = rest.partition("\n")
                counts.update(split(first))
                counts[eos] += 0
            lines += ends
            if rest:
                counts.update(split(rest))
        lines += bool(text) and not text.endswith("\n")
        if not any(counts.values()):
            raise ValueError(f"path: {path} holds no tokens ({lines} lines)")
        if eos is not None:
            counts[eos] += lines
        return cls._from_counter(counts, f"tokens of {path}", _stem(path) if name is None else name)

    @classmethod
    def from_counts_file(
        cls, path: _Path, *, delimiter: str | None = None, encoding: str = "utf-8", name: str | None = None
    ) -> Vocabulary:
        """Read one word and its count per line; ids follow the lines. Empty lines are passed over.

        All lines have one form: ``word<TAB>count`` (then a word may hold blanks), ``word count`` (as fairseq's
        dict.txt, or in columns), ``word;count``, ``word,count`` (both with the quotes of CSV), or one of these
        with the count first, as ``sort | uniq -c`` writes. It is the form that most of the first 1,000 lines
        have, and the earlier named where two fit equally well (numbers counted by numbers: the second is the
        count, but behind the leading blanks of ``uniq -c``).

        Plain, gzip, xz and bz2 files in the encodings of :meth:`from_text`. Integers stay integers; one count
        such as 1.5 or 1e-6 makes all of them float64.

        Args:
            path: the file.
            delimiter: what stands between word and count, where it is none of those named.
            encoding, name: as :meth:`from_text`.

        Raises:
            FileNotFoundError, IsADirectoryError: there is no such file.
            ValueError: no counts; a line in another form (a header too), without a word, with a word seen
                before or with a count that is no finite non-negative number without separators (names the
                line); ten or more numbers that are the lines' or words' own, 0, 1, 2 ...; unreadable as
                :meth:`from_text`.
        """
        return cls._from_rows(path, delimiter=delimiter, encoding=encoding, name=name)

    @classmethod
    def _from_rows(
        cls,
        path: _Path,
        *,
        delimiter: str | None = None,
        encoding: str = "utf-8",
        name: str | None = None,
        hint: str = "",
    ) -> Vocabulary:
        path = Path(path)
        if delimiter is not None and (not isinstance(delimiter, str) or not delimiter or "\n" in delimiter):
            raise ValueError(f"delimiter: expected a non-empty string without a line feed, received {delimiter!r}")
        text = "".join(_pieces(path, encoding))
        try:
            counts = _rows(_lines(text), _SEPARATORS if delimiter is None else (delimiter,), f"path: {path}")
        except ValueError as error:
            raise ValueError(f"{error}{hint}") from None
        return cls(counts, name=_stem(path) if name is None else name)

    @classmethod
    def read(cls, path: _Path, *, kind: Literal["counts", "text"] | None = None, **kwargs: Any) -> Vocabulary:
        """Read a file of counts or of text, whichever it looks like.

        The first 1,000 lines that are not empty decide. If more than half of them are rows of one form that
        :meth:`from_counts_file` reads, it is a file of counts, and each other line an error. Else, if more than
        half of them begin or end with a number and have at most five words beside it that are no sentence (a
        table with further columns, an ARPA or JSON file, ``word: count``, numbers alone), it is refused, for
        it may be counts in a form that is not read. Else it is text, whatever numbers or tabs its lines hold.

        Args:
            path: the file.
            kind: "counts" or "text" if it is known.
            kwargs: those of :meth:`from_counts_file` or :meth:`from_text`, which also say what is raised.

        Raises:
            ValueError: counts in another form than those read, or with a line that is none (names the line).
            TypeError: an argument does not belong to the kind of file that was found.
        """
        if kind not in (None, "counts", "text"):
            raise ValueError(f"kind should be 'counts', 'text' or None, got {kind!r}")
        delimiter, hint = kwargs.get("delimiter"), ""
        if kind is None:
            hint = "; if this is a text, give kind='text'"
            beginning = _beginning(Path(path), kwargs.get("encoding", "utf-8"))
            separators = _SEPARATORS if delimiter is None else (delimiter,)
            kind = "counts" if _holds_counts(beginning, separators, f"path: {path}", hint) else "text"
        if kind == "counts":
            reader, known = partial(cls._from_rows, hint=hint), {"delimiter"}
        else:
            reader, known = partial(cls.from_text), {"tokenizer", "lower", "eos"}
        if unknown := kwargs.keys() - known - {"encoding", "name"}:
            raise TypeError(
                f"{min(unknown)}: {path} looks like {kind}, whose reader takes no such argument; "
                "if it is not, give kind='text' or kind='counts'"
            )
        return reader(path, **kwargs)

    @classmethod
    def from_wordfreq(cls, language: str, *, wordlist: str = "best") -> Vocabulary:
        """Word frequencies of a language from the package wordfreq (Speer 2022).

        The counts are wordfreq's floats, a word's share of all tokens. They are rounded to a hundredth of a
        decade (centibels), so neighbours tie, and the lists stop at one in 10^8 (small: 10^6), which is their
        ``floor``: the rarest words are missing and the shares of a tail come out too low. Half of the
        languages have a small list only; :func:`comparable` cuts several lists at the same frequency.

        The words are folded (no capitals), without punctuation, and with zeros for the digits of longer numbers;
        :func:`wordfreq_tokens` does so with a text.

        Args:
            language: a code among :meth:`wordfreq_languages`.
            wordlist: "small", "large", or "best" (large where there is one).

        Raises:
            ImportError: wordfreq is not installed.
            ValueError: an unknown word list, or a language it lacks.
        """
        if wordlist not in ("best", "small", "large"):
            raise ValueError(f"wordlist: expected 'best', 'small' or 'large', received {wordlist!r}")
        wordfreq = _wordfreq()
        languages = sorted(wordfreq.available_languages(wordlist))
        if language not in languages:
            raise ValueError(f"language: {language!r} is not in the list {wordlist!r}; it has {', '.join(languages)}")
        large = wordlist != "small" and language in wordfreq.available_languages("large")
        vocabulary = cls(wordfreq.get_frequency_dict(language, wordlist), name=f"wordfreq {language}")
        vocabulary.floor = 1e-8 if large else 1e-6
        return vocabulary

    @staticmethod
    def wordfreq_languages() -> list[str]:
        """The language codes :meth:`from_wordfreq` accepts, sorted.

        Raises:
            ImportError: wordfreq is not installed.
        """
        return sorted(_wordfreq().available_languages("best"))

    @classmethod
    def synthetic(
        cls,
        n_classes: int,
        *,
        exponent: float = 1.0,
        shift: float = 0.0,
        total: float | None = None,
        name: str | None = None,
    ) -> Vocabulary:
        """Expected counts by the Zipf-Mandelbrot law, total * (r + shift)^-exponent / Z, r = 1..V, as floats.

        Args:
            n_classes: V, at least 1.
            exponent: s, at least 0 (0: all words equal).
            shift: q, above -1 (0: Zipf's law).
            total: what the counts sum to; 10^9 if None.
            name: made from the parameters if None.

        Raises:
            TypeError: n_classes is no integer.
            ValueError: a parameter is outside its range or not finite.
        """
        if _integer("n_classes", n_classes) < 1:
            raise ValueError(f"n_classes: expected at least 1, received {n_classes}")
        if not 0 <= exponent < math.inf:
            raise ValueError(f"exponent: expected a finite number of at least 0, received {exponent}")
        if not -1 < shift < math.inf:
            raise ValueError(f"shift: expected a finite number above -1, received {shift}")
        mass = _positive("total", 1e9 if total is None else total)
        law = f"Zipf {exponent:g}" if shift == 0 else f"Zipf-Mandelbrot {exponent:g}, {shift:g}"
        return cls(mass * _zipf_shares(index(n_classes), exponent, shift), name=law if name is None else name)

    @classmethod
    def _from_counter(cls, counts: Counter[str], source: str, name: str) -> Vocabulary:
        if not counts:
            raise ValueError(f"{source}: expected at least one, received none")
        for token in counts if set(map(type, counts)) != {str} else ():
            if not isinstance(token, str):
                raise TypeError(f"{source}: expected strings, received {token!r} ({type(token).__name__})")
        return cls(counts, name=name)

    # ---- contents

    @property
    def n_classes(self) -> int:
        """V, the number of words, those with count 0 included."""
        return len(self.counts)

    def __len__(self) -> int:
        return len(self.counts)

    def __repr__(self) -> str:
        top = float(self.share_of_first(min(1000, len(self))))
        return f"Vocabulary({self.name!r}, V={len(self):,}, total={self.total:,}, first 1,000 words {top:.1%})"

    @cached_property
    def total(self) -> int | float:
        """The sum of all counts: an exact int for integer counts, else a float."""
        return _total(self.counts)

    @cached_property
    def ranks(self) -> NDArray[np.int64]:
        """``ranks[id]`` is the rank of a user's id: (V,) int64, read-only; the inverse of ``order``."""
        ranks = np.empty_like(self.order)
        ranks[self.order] = np.arange(len(self), dtype=np.int64)
        return _frozen(ranks)

    @cached_property
    def words(self) -> tuple[str, ...] | None:
        """The words by rank, or None if there are only counts."""
        by_id = self._words_by_id
        return None if by_id is None else tuple(map(by_id.__getitem__, self.order.tolist()))

    @cached_property
    def _rank_of_word(self) -> dict[str, int]:
        return {word: rank for rank, word in enumerate(self._known_words())}

    def _known_words(self) -> tuple[str, ...]:
        if self.words is None:
            raise ValueError(f"words: the vocabulary {self.name!r} holds counts without words")
        return self.words

    def word(self, rank: int) -> str:
        """The word of a rank (0 is the most frequent); ValueError if there is none or there are no words."""
        if not 0 <= _integer("rank", rank) < len(self):
            raise ValueError(f"rank: expected 0 to {len(self) - 1}, received {rank}")
        return self._known_words()[rank]

    def rank_of(self, word: str) -> int:
        """The rank of a word; ValueError if it is not in the vocabulary or there are no words."""
        try:
            return self._rank_of_word[word]
        except KeyError:
            raise ValueError(f"word: {word!r} is not among the {len(self)} words of {self.name!r}") from None

    def id_of(self, word: str) -> int:
        """The user's id of a word; ValueError as :meth:`rank_of`."""
        return int(self.order[self.rank_of(word)])

    # ---- coverage

    @cached_property
    def shares(self) -> NDArray[np.float64]:
        """p_r, the share of the tokens each word holds, by rank: (V,) float64, read-only, summing to 1."""
        return _frozen(self.counts / float(self.total))

    @cached_property
    def cumulative(self) -> NDArray[np.float64]:
        """``cumulative[n]`` is the share of the first n words: (V + 1,) float64, read-only, 0 to 1."""
        sums: NDArray[Any]
        if self.counts.dtype == np.float64:
            sums = np.cumsum(self.counts, dtype=np.longdouble)
        elif self.total <= _LARGEST:
            sums = np.cumsum(self.counts)
        else:  # Both halves sum without overflow, and the sum of two rising floats still rises.
            high, low = np.cumsum(self.counts >> 32), np.cumsum(self.counts & (2**32 - 1))
            sums = high * 2.0**32 + low
        shares = np.concatenate([[0.0], (sums / sums.dtype.type(sums[-1])).astype(np.float64)])
        return _frozen(shares)

    def share_of_first(self, n: int | ArrayLike) -> Any:
        """The share of the tokens that the n most frequent words hold.

        Args:
            n: an integer 0..V, or an array of them.

        Returns:
            a float, or a float64 array of n's shape.

        Raises:
            TypeError: n is not integer.
            ValueError: n is outside 0..V.
        """
        numbers = np.asarray(_unmasked("n", n))
        if numbers.dtype.kind not in "iu":
            raise TypeError(f"n: expected an integer or an array of integers, received {n!r}")
        if (outside := (numbers < 0) | (numbers > len(self))).any():
            raise ValueError(f"n: expected 0 to {len(self)}, received {numbers[outside].flat[0]}")
        shares = self.cumulative[numbers]
        return shares if numbers.ndim else float(shares)

    def words_for_share(self, share: float) -> int:
        """The least n with ``share_of_first(n) >= share``; for 1, the number of words whose count is not 0.

        Raises:
            ValueError: share is outside 0..1.
        """
        if not 0 <= share <= 1:
            raise ValueError(f"share: expected a number from 0 to 1, received {share}")
        if share == 1:  # Rounding can lift cumulative to 1 before the last of a long tail.
            return int(np.count_nonzero(self.counts))
        return int(np.searchsorted(self.cumulative, share, side="left"))

    def truncate(
        self, *, min_count: float | None = None, max_size: int | None = None, unk: str = "<unk>"
    ) -> Vocabulary:
        """Put the rare words together in one entry, which takes its place by falling count.

        The entry is ``unk`` if the words hold it, whatever its own count; else a new one (without a name if
        there are no words). The new ids are the new ranks. If no word is left out, no entry is added and the
        result is an equal copy, ids included. ``result.id_map[old id]`` is the new id in both cases.

        Args:
            min_count: keep the words with at least this count.
            max_size: the largest V of the result, ``unk`` counted.
            unk: the entry's word.

        Raises:
            ValueError: neither limit is given, max_size is below 1, min_count is not a number, unk is empty,
                or the joint count is beyond 2**63 - 1.
        """
        if min_count is None and max_size is None:
            raise ValueError("min_count, max_size: give at least one of them")
        if max_size is not None and _integer("max_size", max_size) < 1:
            raise ValueError(f"max_size: expected at least 1, received {max_size}")
        if min_count is not None and math.isnan(min_count):
            raise ValueError(f"min_count: expected a number, received {min_count}")
        if not isinstance(unk, str) or not unk:
            raise ValueError(f"unk: expected a non-empty string, received {unk!r}")
        candidates = np.arange(len(self))
        if self.words is not None and unk in self._rank_of_word:
            candidates = np.delete(candidates, self._rank_of_word[unk])
        kept = candidates if min_count is None else candidates[self.counts[candidates] >= min_count]
        if len(kept) == len(candidates) and (max_size is None or len(self) <= max_size):
            result = Vocabulary(self)
            result.id_map = _frozen(np.arange(len(self), dtype=np.int64))
            return result
        kept = kept if max_size is None else kept[: index(max_size) - 1]
        left_out = np.ones(len(self), dtype=bool)
        left_out[kept] = False
        joint = _total(self.counts[left_out])
        if isinstance(joint, int) and joint > _LARGEST:
            raise ValueError(f"{unk}: the words left out sum to {joint}, beyond 2**63 - 1")
        # Behind the words of the same count: a stable sort keeps it there.
        counts = np.append(self.counts[kept], np.array([joint], dtype=self.counts.dtype))
        order = np.argsort(-counts, kind="stable")
        new_id = np.empty(len(counts), dtype=np.int64)
        new_id[order] = np.arange(len(counts))
        words = None
        if self.words is not None:
            names = [*map(self.words.__getitem__, kept.tolist()), unk]
            words = [names[place] for place in order.tolist()]
        result = Vocabulary(counts[order], words, name=self.name)
        result.floor = self.floor
        by_rank = np.full(len(self), new_id[-1])
        by_rank[kept] = new_id[:-1]
        result.id_map = _frozen(by_rank[self.ranks])
        return result

    def fit(self, model: Model = "zipf") -> ZipfFit:
        """Fit p_r = (r + q)^-s / Z over the ranks r = 1..V by maximum likelihood; q = 0 for "zipf".

        The ranks come from the very counts they explain, so the fit looks better than it is (Piantadosi
        2014), and the tails of real texts deviate from either law: read s as a summary. Words of count 0 stay
        among the V ranks.

        Raises:
            ValueError: an unknown model, or fewer than two words with a count (s would be infinite).
            RuntimeError: the likelihood has no maximum at finite s and q (an exponential curve, for one, is
                reached only as q goes to infinity), or the search did not find it.
        """
        if model not in ("zipf", "zipf-mandelbrot"):
            raise ValueError(f"model: expected 'zipf' or 'zipf-mandelbrot', received {model!r}")
        if len(self) < 2 or self.counts[1] == 0:
            raise ValueError(f"fit: expected at least two words with a count, {self.name!r} has one")
        exponent, shift = _maximum_likelihood(self.shares, model, self.name)
        fitted = _log_zipf_shares(len(self), exponent, shift)
        held = self.shares > 0
        shares, log_fitted = self.shares[held], fitted[held]
        error = np.abs(self.cumulative[1:] - np.cumsum(np.exp(fitted))).max()
        return ZipfFit(
            model=model,
            exponent=exponent,
            shift=shift,
            log_likelihood=float(self.total) * float(shares @ log_fitted),
            divergence=max(0.0, float(shares @ (np.log(shares) - log_fitted))),
            max_share_error=float(error),
            n_classes=len(self),
        )


def comparable(vocabularies: Iterable[Vocabulary]) -> list[Vocabulary]:
    """The vocabularies without the words below a common floor: the highest floor among them.

    A list that ends at one in a million needs fewer words for 95 % of its tokens than one that ends at one in 100
    million, whatever the languages. Here all of them end where the shortest does, and each share is one of the
    tokens of the words that are left. A vocabulary that has no word below is returned as it is; so is a text of
    less than a million tokens, whose words come more often than once in a million.

    Raises:
        TypeError: vocabularies is a single one, or holds something else.
        ValueError: one of them has no word above the floor.
    """
    if isinstance(vocabularies, Vocabulary):
        raise TypeError("vocabularies: expected several in a list, received one Vocabulary")
    vocabularies = list(vocabularies)
    for vocabulary in vocabularies:
        if not isinstance(vocabulary, Vocabulary):
            raise TypeError(f"vocabularies: expected Vocabulary, received {type(vocabulary).__name__}")
    floor = max((vocabulary.floor for vocabulary in vocabularies), default=0.0)
    return [_above(vocabulary, floor) for vocabulary in vocabularies]


def _above(vocabulary: Vocabulary, floor: float) -> Vocabulary:
    # Counts of a list that has a floor are shares of all tokens, also of those of the words that it lacks.
    frequencies = vocabulary.counts if vocabulary.floor else vocabulary.shares
    n = int(np.count_nonzero(frequencies >= floor))
    if n == len(vocabulary):
        return vocabulary
    if not n:
        raise ValueError(f"vocabularies: no word of {vocabulary.name!r} has a frequency of {floor:g} or more")
    words = None if vocabulary.words is None else vocabulary.words[:n]
    cut = Vocabulary(vocabulary.counts[:n], words, name=vocabulary.name)
    cut.floor = floor
    return cut


def compare(
    vocabularies: Iterable[Vocabulary],
    *,
    first: Iterable[int] = (1000, 2000, 5000, 10000, 20000),
    shares: Iterable[float] = (0.5, 0.8, 0.9, 0.95, 0.99),
) -> list[dict[str, float | int | str]]:
    """One row per vocabulary, for a table, above a common floor: the rows are of :func:`comparable` vocabularies.

    Args:
        vocabularies: the rows.
        first: for each n, a column "first n" with the share of the n most frequent words (1.0 where n > V).
        shares: for each, a column such as "95%" with the number of words that hold this share.

    Returns:
        rows with the keys "name", "n_classes", "total", "first ...", "...%" and "exponent" (s of the Zipf
        fit; nan where fewer than two words have a count), all of the words above the floor.

    Raises:
        TypeError: vocabularies is a single one, or holds something else.
        ValueError: a share is outside 0..1, or n is negative.
    """
    first, shares = tuple(first), tuple(shares)
    rows: list[dict[str, float | int | str]] = []
    for vocabulary in comparable(vocabularies):
        size = len(vocabulary)
        row: dict[str, float | int | str] = {"name": vocabulary.name, "n_classes": size}
        row["total"] = vocabulary.total
        row |= {f"first {n}": vocabulary.share_of_first(min(n, size)) for n in first}
        row |= {f"{100 * share:.12g}%": vocabulary.words_for_share(share) for share in shares}
        row["exponent"] = vocabulary.fit().exponent if np.count_nonzero(vocabulary.counts) > 1 else math.nan
        rows.append(row)
    return rows


# ---- the law and its maximum likelihood


def _log_zipf_shares(n_classes: int, exponent: float, shift: float) -> NDArray[np.float64]:
    logits = -exponent * np.log(np.arange(n_classes) + (1.0 + shift))
    logits -= logits[0]  # exponent >= 0: the largest, so nothing overflows
    return cast("NDArray[np.float64]", logits - math.log(np.exp(logits).sum()))


def _zipf_shares(n_classes: int, exponent: float, shift: float) -> NDArray[np.float64]:
    return cast("NDArray[np.float64]", np.exp(_log_zipf_shares(n_classes, exponent, shift)))


def _maximum_likelihood(data: NDArray[np.float64], model: Model, name: str) -> tuple[float, float]:
    """The s and q that maximise l = sum_r data_r log p_r, by Newton's method in (s, t), t = log(1 + q).

    With u = log(r + q), w = du/dt = (1 + q) / (r + q); mean, Var and Cov under p; D[x] = the mean of x
    under p minus that under data:

        dl/ds = D[u]      -d2l/ds2  = Var[u]
        dl/dt = s D[w]    -d2l/dsdt = s Cov[u, w] - D[w]     -d2l/dt2 = s^2 Var[w] - s D[w (1 - w)]

    In s alone l is concave. Where the matrix is not positive definite, its expectation without the D terms
    (Fisher scoring) gives an ascent direction instead. Steps are halved until l does not fall.
    """
    steps_from_first = np.arange(len(data), dtype=np.float64)

    def evaluate(theta: NDArray[np.float64]) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
        u = np.log(steps_from_first + math.exp(theta[1]))
        logits = -theta[0] * (u - (u[0] if theta[0] >= 0 else u[-1]))
        weights = np.exp(logits)
        return float(data @ logits) - math.log(weights.sum()), weights / weights.sum(), u

    theta = np.array([1.0, 0.0])
    for free in (1, 2) if model == "zipf-mandelbrot" else (1,):  # s alone, then both from there
        value, p, u = evaluate(theta)
        settled = False
        for _ in range(200):
            s, w = theta[0], np.exp(theta[1] - u)
            excess = p - data
            slope = np.array([excess @ u, s * (excess @ w)])[:free]
            centred = np.stack([u - p @ u, s * (w - p @ w)])[:free]
            fisher = (centred * p) @ centred.T
            cross = -excess @ w
            bend = np.array([[0.0, cross], [cross, -s * (excess @ (w - w * w))]])[:free, :free]
            step = np.zeros(2)
            step[:free] = _ascent(fisher + bend, fisher, slope)
            # No step multiplies 1 + q by more than e^2: far off, the quadratic model says little.
            step /= max(1.0, abs(step[1]) / 2)
            gain = float(slope @ step[:free])  # nats per token, twice what the step promises
            # Rounding alone is left, which a flat direction would turn into a long step.
            if settled := free == 2 and gain < 1e-20:
                break
            for halving in range(40):
                new_theta = theta + step / 2**halving
                new_value, p, u = evaluate(new_theta)
                if new_value >= value - 1e-14 * (1.0 + abs(value)):  # no less but for rounding
                    break
            theta, value = new_theta, new_value
            # The step just taken squares the error that it found.
            settled = gain < 1e-26 or bool((np.abs(step) < 1e-8 * (1.0 + np.abs(theta))).all())
            if settled or not -20 < theta[1] < 10 + math.log(len(data)):
                break
        if not settled:
            raise RuntimeError(
                f"fit: found no maximum of the {model} likelihood of {name!r} at finite parameters "
                f"(exponent {theta[0]:.6g} and shift {math.expm1(theta[1]):.6g} at the end); the curve has "
                "another shape"
            )
    return max(float(theta[0]), 0.0), math.expm1(theta[1])  # falling counts: s < 0 only by rounding


def _ascent(
    newton: NDArray[np.float64], fisher: NDArray[np.float64], slope: NDArray[np.float64]
) -> NDArray[np.float64]:
    """newton^-1 slope; fisher^-1 slope where newton is not positive definite, flat directions left out."""
    for matrix in (newton, fisher):
        # Scaled to a unit diagonal: s and t may differ by many orders of magnitude.
        scale = np.sqrt(np.maximum(np.diagonal(matrix), 1e-300))
        values, vectors = np.linalg.eigh(matrix / np.outer(scale, scale))
        if values[0] > 1e-14:
            break
    along = (vectors.T @ (slope / scale)) / np.where(values > 1e-14, values, np.inf)
    return cast("NDArray[np.float64]", (vectors @ along) / scale)


# ---- checks of what the user passed


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.setflags(write=False)
    return array


def _unmasked(argument: str, value: Any) -> Any:
    """``value``, unless entries of it are masked: NumPy would take what lies under the mask."""
    if masked := int(np.ma.getmaskarray(value).sum()) if isinstance(value, np.ma.MaskedArray) else 0:
        raise ValueError(
            f"{argument} should have no masked entries, got {masked}; leave them out (.compressed()) or give them "
            "a value (.filled(0))"
        )
    return value


def _integer(argument: str, value: object) -> int:
    if isinstance(value, bool | np.bool_) or not hasattr(value, "__index__"):
        raise TypeError(f"{argument}: expected an integer, received {value!r}")
    return index(cast(int, value))


def _positive(argument: str, value: float) -> float:
    if not 0 < value < math.inf:
        raise ValueError(f"{argument}: expected a finite number above 0, received {value}")
    return float(value)


def _total(counts: NDArray[Any]) -> int | float:
    if counts.dtype == np.float64:
        return float(counts.sum())
    # Two halves: neither sum can overflow an int64 below 2^31 words.
    return (int((counts >> 32).sum()) << 32) + int((counts & (2**32 - 1)).sum())


def _unpack_mapping(counts: Mapping[Any, float]) -> tuple[tuple[str, ...] | None, list[float]]:
    """The words (None if the keys are ids) and the counts in the order of the ids."""
    kinds = set(map(type, counts))
    if all(issubclass(kind, str) for kind in kinds):
        return tuple(counts), list(counts.values())
    if not all(issubclass(kind, int | np.integer) and kind is not bool for kind in kinds):
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise TypeError(f"counts: expected keys that are all words (str) or all ids (int), received {names}")
    size = len(counts)
    missing = next((number for number in range(size) if number not in counts), None)
    if missing is not None:
        raise ValueError(
            f"counts: id {missing} is missing; {size} ids must be exactly 0..{size - 1}, received "
            f"{min(counts)} to {max(counts)}. np.bincount(ids, minlength=n_classes) counts absent ids as 0"
        )
    return None, [counts[number] for number in range(size)]


def _checked_words(words: Sequence[str]) -> tuple[str, ...]:
    # A set would pass for a sequence, in an order that nobody chose.
    if isinstance(words, str | bytes | Mapping) or not hasattr(words, "__getitem__"):
        raise TypeError(f"words: expected a sequence of strings, received a {type(words).__name__}")
    seen: dict[str, int] = {}
    for number, word in enumerate(words):
        if not isinstance(word, str):
            raise TypeError(f"words: expected strings, received {word!r} ({type(word).__name__}) at id {number}")
        if seen.setdefault(str(word), number) != number:
            raise ValueError(f"words: expected distinct words, {word!r} has ids {seen[word]} and {number}")
    return tuple(seen)


def _checked_counts(counts: ArrayLike, words: Sequence[str] | None) -> NDArray[Any]:
    """(V,) int64 or float64 in the order of the ids, a copy."""

    def refuse(wanted: str, wrong: ArrayLike, values: Any) -> ValueError:
        number = int(np.argmax(wrong))
        word = f" ({words[number]!r})" if words is not None and number < len(words) else ""
        return ValueError(f"counts: expected {wanted}, id {number}{word} has {values[number]}")

    received = type(counts).__name__
    kinds = set(map(type, counts)) if isinstance(counts, list | tuple) else set()
    if type(np.ma.masked) in kinds:
        counts = np.ma.array([0 for count in cast("list[Any]", counts) if count is np.ma.masked], mask=True)
    _unmasked("counts", counts)
    if kinds & {bool, np.bool_}:  # numpy would take True for 1
        raise TypeError(f"counts: expected numbers, the {received} holds booleans")
    try:
        array = np.array(counts, dtype=np.int64 if kinds == {int} else None)
    except OverflowError:  # numpy alone would go on with floats or objects
        numbers = cast("list[int]", counts)
        raise refuse("0 to 2**63 - 1", [not 0 <= x <= _LARGEST for x in numbers], numbers) from None
    except (TypeError, ValueError) as error:
        raise TypeError(f"counts: expected a 1-D array of numbers, received a {received} ({error})") from error
    if array.ndim != 1:
        raise ValueError(f"counts: expected a 1-D array (V,), received a {received} of shape {array.shape}")
    if not len(array):
        raise ValueError("counts: expected at least one count, received none")
    if array.dtype.kind not in "iuf":
        raise TypeError(f"counts: expected integers or floats, received dtype {array.dtype}")
    if array.dtype.kind == "f":
        array = array.astype(np.float64)
        if not np.isfinite(array).all():
            raise refuse("finite numbers", ~np.isfinite(array), array)
    if array.min() < 0:
        raise refuse("non-negative numbers", array < 0, array)
    if array.dtype.kind != "f":
        if array.max() > _LARGEST:
            raise refuse("0 to 2**63 - 1", array > _LARGEST, array)
        array = array.astype(np.int64)
    if not array.any():
        raise ValueError(f"counts: all {len(array)} are zero, expected at least one above")
    with np.errstate(over="ignore"):
        if not math.isfinite(_total(array)):
            raise ValueError("counts: their sum overflows a float64; divide them by the largest")
    return array


# ---- files


def _stem(path: Path) -> str:
    return re.sub(r"(?<=.)(\.(txt|tsv|csv|tokens))?(\.(gz|xz|bz2))?$", "", path.name)


def _wordfreq() -> Any:
    try:
        import wordfreq
    except ImportError as error:
        raise ImportError("wordfreq is not installed; run: pip install 'wordfreq>=3.1'") from error
    return wordfreq


def _pieces(path: Path, encoding: str, *, cut_at_blanks: bool = True) -> Iterator[str]:
    """The decoded, unpacked text in pieces that end with a line, or with a blank where a line is long."""
    with _existing(path).open("rb") as raw:
        yield from _decoded(raw, str(path), encoding, cut_at_blanks=cut_at_blanks)


def _beginning(path: Path, encoding: str) -> str:
    """The first lines of a file, at most some 2**18 bytes."""
    with _existing(path).open("rb") as raw:
        first, *more = [*islice(_blocks(raw, str(path), encoding), 2)] or [""]
    return first[: first.rfind("\n") + 1] or first if more else first


def _existing(path: Path) -> Path:
    if path.is_dir():
        raise IsADirectoryError(f"path: expected a file, {path} is a directory")
    if not path.exists():
        raise FileNotFoundError(f"path: there is no file {path}")
    return path


def _decoded(raw: Any, path: str, encoding: str, *, cut_at_blanks: bool = True) -> Iterator[str]:
    """:func:`_pieces` of a buffered binary stream; ``path`` is its name in errors."""
    kept: list[str] = []  # joined once: a line of many blocks is not copied for each of them
    for text in _blocks(raw, path, encoding):
        cut = text.rfind("\n") + 1
        if not cut and cut_at_blanks:
            cut = max(map(text.rfind, " \t\r\v\f")) + 1
        if cut:
            yield "".join([*kept, text[:cut]])
            kept.clear()
        kept.append(text[cut:])
    if rest := "".join(kept):
        yield rest


def _blocks(raw: Any, path: str, encoding: str) -> Iterator[str]:
    """The decoded, unpacked text, cut anywhere; a byte order mark says how to decode, and is left out."""
    checked_encoding(encoding)
    decoder, offset = None, 0
    with _unpacked(raw) as file:
        packed = " unpacked" if file is not raw else ""
        while True:
            try:
                data = file.read(_PIECE)
            except (EOFError, OSError, lzma.LZMAError, zlib.error) as error:
                if not packed:
                    raise
                raise ValueError(f"path: the compressed data of {path} is broken off or damaged: {error}") from error
            offset += len(data)
            block = data
            if decoder is None:
                mark = next((mark for mark in _MARKS if data.startswith(mark)), b"")
                block, encoding = data[len(mark) :], _MARKS.get(mark, encoding)
                decoder = codecs.getincrementaldecoder(encoding)()
            try:
                text = decoder.decode(block, final=not data)
            except UnicodeDecodeError as error:
                place = offset - len(error.object) + error.start
                raise ValueError(
                    f"path: {path} is not {encoding} text: byte {place:,}{packed} "
                    f"cannot be decoded ({error.reason}); is it binary, or in another encoding?{_in_utf_16(data)}"
                ) from error
            except UnicodeError as error:  # of UTF-16 without its mark
                raise ValueError(f"path: {path} is not {encoding} text: {error}{_in_utf_16(data)}") from error
            if "\0" in text:
                place = offset - len(data) + data.find(b"\0")
                raise ValueError(
                    f"path: {path} is binary or not {encoding} text: byte {place:,} is NUL{_in_utf_16(data)}"
                )
            if text:
                yield text
            if not data:
                return


def _in_utf_16(data: bytes) -> str:
    # Every second byte of English in UTF-16 is zero.
    return "; if it is UTF-16, give encoding='utf-16-le' or 'utf-16-be'" if 3 * data.count(0) > len(data) else ""


def checked_encoding(encoding: str) -> str:
    """``encoding`` if Python can decode text by it; else ValueError."""
    try:
        "".encode(encoding)
    except (LookupError, TypeError, UnicodeError):
        raise ValueError(f"encoding: Python knows no encoding {encoding!r}") from None
    return encoding


def _unpacked(raw: Any) -> Any:
    """A context with the unpacked content of a buffered binary stream, or with itself if it is not packed."""
    magic = raw.peek(10)
    packer = next((packer for pattern, packer in _COMPRESSED if pattern.match(magic)), None)
    return packer(raw) if packer else nullcontext(raw)


def _splitter(tokenizer: str | Callable[[str], Iterable[str]]) -> Callable[[str], Iterable[str]]:
    if tokenizer == "whitespace":
        return _split_at_blanks
    if tokenizer == "words":
        return _words
    if not callable(tokenizer):
        raise ValueError(f"tokenizer: expected 'whitespace', 'words' or a function of a line, received {tokenizer!r}")

    def tokens(line: str) -> Iterable[str]:
        result = tokenizer(line)
        if isinstance(result, str):
            raise TypeError(f"tokenizer: expected it to return a list of strings, received the string {result!r}")
        return result

    return lambda text: chain.from_iterable(
        tokens(line.removesuffix("\r")) for line in text.removesuffix("\n").split("\n")
    )


def _split_at_blanks(text: str) -> Iterable[str]:
    # str.split would also cut at U+2028, U+00A0 and the like, which belong to words.
    for blank in "\t\n\r\v\f":
        text = text.replace(blank, " ")
    return filter(None, text.split(" "))


#: Invisible, and no mark: soft hyphen, directions, word joiner and the like. They part no word.
_INVISIBLE = "\u00ad\u061c\u180e\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff"
_JOINERS = "\u200c\u200d"


@cache
def _marks() -> str:
    """All combining marks of Unicode, for a set of characters in ``re``, which knows no categories."""
    codes = chain(range(0x300, 0x20000), range(0xE0100, 0xE01F0))  # there are none elsewhere
    marks = [code for code in codes if unicodedata.category(chr(code)).startswith("M")]
    starts = [code for code, before in zip(marks, [-1, *marks[:-1]], strict=True) if code - before > 1]
    ends = [code for code, after in zip(marks, [*marks[1:], -1], strict=True) if after - code != 1]
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in zip(starts, ends, strict=True))


_BEYOND_ASCII = r"(?=[^\x00-\x7f])"  # asked first, for so large a set is slow to say no


@cache
def token_pattern() -> str:
    """The words and other tokens of ``tokenizer="words"``, of text that is composed, as a regular expression."""
    word = rf"\w+(?:{_BEYOND_ASCII}(?:[{_marks()}{_JOINERS}]+\w*|[{_INVISIBLE}]+\w+))*"
    # A printed character with its marks, skin tone and tags; emoji with joiners between are one, so are two letters
    # that make a flag. Zero-width spaces part words, as blanks do.
    follow = rf"(?:{_BEYOND_ASCII}[{_marks()}\U0001F3FB-\U0001F3FF\U000E0020-\U000E007F]+)?"
    plain = rf"[^\w\s\x80-\U0010FFFF]{follow}"
    flag = "[\U0001f1e6-\U0001f1ff]{2}"
    printed = rf"[^\w\s\u200b{_JOINERS}{_INVISIBLE}{_marks()}]{follow}"
    others = rf"{flag}|{printed}(?:\u200d{printed})*|[{_marks()}]+"
    return rf"{word}|{plain}|{_BEYOND_ASCII}(?:{others})"


_ASCII_TOKEN = re.compile(r"\w+|[^\w\s]")  # the same, of ASCII


def _words(text: str) -> list[str]:
    if text.isascii():
        return _ASCII_TOKEN.findall(text)
    return re.findall(token_pattern(), unicodedata.normalize("NFC", text))  # re keeps what it has compiled


_POINTED = re.compile(r"[\u0590-\u08FF]")  # Hebrew and Arabic, and scripts like them


def wordfreq_tokens(line: str) -> list[str]:
    """The words of a line as wordfreq cuts and folds them for its lists: a ``tokenizer`` for texts beside these.

    Words by Unicode's rules (``don't`` is one, French ``l'`` one by itself), no punctuation, capitals folded, curly
    apostrophes straight, composed (NFC); Arabic and Hebrew without their points (NFKC); in numbers of several
    digits each is 0. It does not follow what wordfreq does for single languages alone: cutting Chinese, Japanese
    and Korean by their dictionaries, the Turkish i, Serbian in Latin letters, Romanian and Turkish cedillas.

    Raises:
        ImportError: wordfreq is not installed.
    """
    wordfreq = _wordfreq()
    # Straight first, as in the texts that the lists were counted in: after l' in French, a word begins.
    tokens = wordfreq.lossy_tokenize(line.replace("’", "'"), "en")
    # Only the script of a language matters, but for what is named above.
    unpointed = (wordfreq.lossy_tokenize(token, "ar") if _POINTED.search(token) else [token] for token in tokens)
    return [wordfreq.smash_numbers(token) for token in chain.from_iterable(unpointed) if token]


# ---- the forms of files of counts

_SEPARATORS = ("\t", " ", ";", ",")
_SAID = {"\t": "a tab", " ": "blanks", ";": "a semicolon", ",": "a comma"}

# With the digits of all scripts, separators and signs: what is then refused by its line.
_NUMERAL = r"[+-]?(?:\d+(?:[.,'’]\d+)*|\.\d+)(?:[eE][+-]?\d+)?%?"
_WRITTEN_NUMBER = re.compile(_NUMERAL)
#: A number by itself at the beginning of a line, or at its end.
_AT_AN_END = re.compile(
    rf"""^["'(\[{{]*{_NUMERAL}["')\]}}]*(?=[\s,;:=|]|$)"""
    rf"""|(?:^|(?<=[\s,;:=|])){_NUMERAL}["')\]}},;]*$"""
)
#: The last words of a sentence.
_SENTENCE = re.compile(r"\s\S*[^\W\d_][.!?…।。！？]+[\"'”’»)]*(?:\t|$)")
#: The beginning of a JSON file, or of a printed dictionary or list of pairs, with a word and a number.
_MAPPING = re.compile(r"""\s*[\[{(]\s*[\[(]?\s*(["'])[^\n]*?\1\s*[:,]\s*[+-]?[0-9]""")


class _Form(NamedTuple):
    """How each line of a file holds a word and its count."""

    separator: str
    column: int
    """Of the count: 1, or 0 if it comes first."""

    def __str__(self) -> str:
        first, second = ("a word", "a count")[:: 1 if self.column else -1]
        return f"{first}, {_SAID.get(self.separator, repr(self.separator))} and {second}"

    def cells(self, line: str) -> tuple[str, str] | None:
        """The word and the count of a line, as written; None if it does not have two cells."""
        if self.separator == " ":
            cells = [cell for cell in line.split(" ") if cell]
        elif self.separator in ";," and '"' in line:
            try:
                cells = next(csv.reader([line], delimiter=self.separator, skipinitialspace=True))
            except csv.Error:  # a cell of more than 128 KiB
                return None
        else:
            cells = line.split(self.separator)
        if len(cells) != 2:
            return None
        if self.separator in ";,":
            cells = [cell.strip(" ") for cell in cells]
        return cells[1 - self.column], cells[self.column]

    def fits(self, line: str) -> bool:
        """Whether a line looks like a row, its number maybe written so that it is refused."""
        cells = self.cells(line)
        if cells is None or not _WRITTEN_NUMBER.fullmatch(cells[1].strip(" ")):
            return False
        word = cells[0]
        if self == ("\t", 1):  # n-grams, say
            return 0 < len(word.split(" ")) <= 5 and bool(word) and not _SENTENCE.search(word)
        if self == (" ", 1) and (line.startswith(" ") or (word[-1:] in ",;:=|" and len(word) > 1)):
            return False  # `uniq -c` of numbers; "word: count", which is another form
        return bool(word) and not re.search(r"\s", word)


def _lines(text: str) -> list[str]:
    if "\n" not in text:  # as old Macs end them
        text = text.replace("\r", "\n")
    return text.replace("\r\n", "\n").split("\n")


def _form(lines: Iterable[str], separators: Sequence[str]) -> tuple[_Form, int]:
    """The form that fits most of some lines, and how many."""
    forms = [_Form(separator, column) for separator in separators for column in (1, 0)]
    rows = list(islice((line for line in lines if line.strip(" ")), 1000))
    votes = [sum(map(form.fits, rows)) for form in forms]
    return forms[votes.index(max(votes))], max(votes)


def _holds_counts(beginning: str, separators: Sequence[str], place: str, hint: str) -> bool:
    """Whether a file that begins so is one of counts; see :meth:`Vocabulary.read`, which says what is refused."""
    rows = [(number, line) for number, line in enumerate(_lines(beginning), start=1) if line.strip(" ")][:1000]
    if 2 * _form((line for _, line in rows), separators)[1] > len(rows):
        return True
    odd = [(number, line) for number, line in rows if _may_count(line)]
    mapping = _MAPPING.match(beginning) is not None
    if 2 * len(odd) > len(rows) or mapping:
        number, line = rows[0] if mapping else odd[len(odd) // 2]
        way = "; Vocabulary takes what json.load makes of it" if mapping else ""
        raise ValueError(
            f"{place} looks like counts, whose lines should be a word and a count with a tab, blanks, a semicolon or a "
            f"comma between them, in either order, got {_cut(line)} in line {number}{way}{hint}"
        )
    return False


def first_row(path: Path, encoding: str) -> str | None:
    """The first row of a file of counts, or None for a text; neither forms that are not read nor single bad lines."""
    lines = [line for line in _lines(_beginning(path, encoding)) if line.strip(" ")]
    form, votes = _form(lines, _SEPARATORS)
    return next(filter(form.fits, lines)) if 2 * votes > len(lines[:1000]) else None


def _may_count(line: str) -> bool:
    line = line.strip()
    number = _AT_AN_END.search(line)
    if number is None or _SENTENCE.search(line):
        return False
    return len(re.findall(r"[^\s,;:=|]+", f"{line[: number.start()]} {line[number.end() :]}")) <= 5


def _cut(line: str) -> str:
    return repr(line if len(line) <= 60 else f"{line[:59]}…")


def _rows(lines: Sequence[str], separators: Sequence[str], place: str) -> dict[str, float]:
    """The words and counts of the lines of a file."""
    form, _ = _form(lines, separators)
    counts: dict[str, float] = {}
    for number, line in enumerate(lines, start=1):
        word, count = form.cells(line) or ("", "")
        if word and word not in counts and count.isascii() and count.isdigit() and len(count) < 19:
            counts[word] = int(count)
        elif line.strip(" "):
            counts[word] = _parse_row(line, form, counts, lines, f"{place}, line {number}")
    if not counts:
        raise ValueError(f"{place} holds no counts")
    first = next(iter(counts.values()))
    if len(counts) >= 10 and first in (0, 1) and all(n == i for i, n in enumerate(counts.values(), int(first))):
        raise ValueError(
            f"{place} should hold a count for each word, got {first:g}, {first + 1:g}, {first + 2:g} ..., which number "
            "the words"
        )
    return counts


def _parse_row(line: str, form: _Form, seen: Mapping[str, float], lines: Sequence[str], place: str) -> float:
    """The count of a row that the quick way refused: a float or a long integer, or an error that says why."""
    header = "" if seen or re.search(r"\d", line) else "; remove the line if it is a header or a comment"
    word, count = form.cells(line) or ("", "")
    if not word:
        raise ValueError(f"{place} should be {form}, got {_cut(line)}{header}")
    if word in seen:
        cells = (form.cells(other) for other in lines)
        earlier = next(i for i, other in enumerate(cells, start=1) if other and other[0] == word)
        raise ValueError(f"{place} should be of another word, got {_cut(word)}, which is in line {earlier} already")
    if not _NUMBER.fullmatch(count):
        raise ValueError(f"{place} should be {form} (a number without separators), got {_cut(line)}{header}")
    value = float(count) if re.search(r"[.eE]", count) else int(count)
    if not 0 <= value < (math.inf if isinstance(value, float) else 2**63):
        logarithm = "; logarithms are no counts" if value < 0 else ""
        raise ValueError(
            f"{place}: the count of {_cut(word)} should be 0 to 2**63 - 1 or a finite float of at least 0, got {count}"
            f"{logarithm}"
        )
    return value
