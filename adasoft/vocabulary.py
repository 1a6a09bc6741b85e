"""Word counts in falling order, and what they say about coverage.

A cost model asks "which share of the tokens do the n most frequent words hold?"; this room answers it for
counts from any source. Three numberings appear and never mix: a *word* is a string, an *id* is the user's
number of a word (0..V-1, any order), and a *rank* is its place by falling count (0 is the most frequent).
"""

from __future__ import annotations

import math
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .checks import integer, number
from .counts import LARGEST, checked_counts, checked_words, read_only, total_of, unmasked, unpack_mapping
from .counts_files import SEPARATORS, holds_counts, lines_of, read_rows
from .textfiles import first_lines, read_pieces, stem
from .tokens import import_wordfreq, splitter
from .zipf import Model, ZipfFit, log_zipf_shares, maximum_likelihood, zipf_shares

_Path = str | os.PathLike[str]


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
        TypeError: counts or words are of a wrong type (booleans, strings and objects are not counts).
        ValueError: counts are empty, not 1-D, negative, not finite, all zero or beyond 2**63 - 1; ids are
            missing; words are not V or not distinct.

    Attributes:
        name: as given.
        counts: (V,) falling, read-only, int64 or float64.
        order: (V,) int64, read-only; ``order[rank]`` is the user's id.
        id_map: on a result of :meth:`truncate`, (V of the old one,) int64, old id -> new id; else None.
        floor: the frequency at which a list of frequencies ends (1e-6: it lacks all words rarer than one in a
            million); its counts are then shares of all tokens. 0 where no word is left out.

    >>> words = Vocabulary({"cat": 15, "the": 50, "sat": 5, "of": 30})
    >>> words.word(0), words.share_of_first(2), words.words_for_share(0.9)
    ('the', 0.8, 3)
    >>> words.order
    array([1, 3, 0, 2])
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
            raise TypeError(f"words should be left out where a {type(counts).__name__} brings its own, got some")
        if isinstance(counts, Vocabulary):
            self.__dict__.update(counts.__dict__)
            self.name = counts.name if name == "counts" else name
            return
        self.name = name
        self.id_map = None
        self.floor = 0.0
        by_id = cast(ArrayLike, counts)
        if isinstance(counts, Mapping):
            words, by_id = unpack_mapping(counts)
        elif words is not None:
            words = checked_words(words)
        array = checked_counts(by_id, words)
        if words is not None and len(words) != len(array):
            raise ValueError(f"words should hold one word for each of {len(array)} counts, got {len(words)}")
        self._words_by_id = words
        # Stable, so that equal counts stay in the order of the user's ids.
        self.order = read_only(np.argsort(-array, kind="stable").astype(np.int64, copy=False))
        self.counts = read_only(array[self.order])

    # ---- readers

    @classmethod
    def from_tokens(cls, tokens: Iterable[str], *, name: str = "tokens") -> Vocabulary:
        """Count tokens; ids follow the first appearance.

        Raises:
            TypeError: tokens is one string, or holds something that is not a string.
            ValueError: tokens is empty.
        """
        if isinstance(tokens, str | bytes):
            raise TypeError("tokens should be an iterable of strings, got one string; split it into tokens")
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
                folds words as the lists of :meth:`from_wordfreq` do, so that a text and a list can be compared.
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
            raise ValueError(f"eos should be a non-empty string or None, got {eos!r}")
        path = Path(path)
        split = splitter(tokenizer)
        counts: Counter[str] = Counter()
        lines = 0
        text = ""
        for text in read_pieces(path, encoding, cut_at_blanks=not callable(tokenizer)):
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
            raise ValueError(f"path: {path} should hold tokens, got none in {lines} lines")
        if eos is not None:
            counts[eos] += lines
        return cls._from_counter(counts, f"tokens of {path}", stem(path) if name is None else name)

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
            delimiter: what separates word and count, if it is not one of those above.
            encoding, name: as :meth:`from_text`.

        Raises:
            FileNotFoundError, IsADirectoryError: there is no such file.
            ValueError: no counts; a line in another form (a header too), without a word, with a word seen
                before or with a count that is not a finite non-negative number without separators (names the
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
            raise ValueError(f"delimiter should be a non-empty string without a line feed, got {delimiter!r}")
        text = "".join(read_pieces(path, encoding))
        try:
            counts = read_rows(lines_of(text), SEPARATORS if delimiter is None else (delimiter,), f"path: {path}")
        except ValueError as error:
            raise ValueError(f"{error}{hint}") from None
        return cls(counts, name=stem(path) if name is None else name)

    @classmethod
    def read(cls, path: _Path, *, kind: Literal["counts", "text"] | None = None, **kwargs: Any) -> Vocabulary:
        """Read a file of counts or of text, whichever it looks like.

        The first 1,000 lines that are not empty decide. If more than half of them are rows of one form that
        :meth:`from_counts_file` reads, it is a file of counts, and each other line an error. Else, if more than
        half of them begin or end with a number and have at most five other words that do not form a sentence (a
        table with further columns, an ARPA or JSON file, ``word: count``, numbers alone), it is refused, for
        it may be counts in a form that is not read. Else it is text, whatever numbers or tabs its lines hold.

        Args:
            path: the file.
            kind: "counts" or "text" if it is known.
            kwargs: those of :meth:`from_counts_file` or :meth:`from_text`, which also say what is raised.

        Raises:
            ValueError: counts in another form than those read, or with a line that is not a count (names the line).
            TypeError: an argument does not belong to the kind of file that was found.
        """
        if kind not in (None, "counts", "text"):
            raise ValueError(f"kind should be 'counts', 'text' or None, got {kind!r}")
        delimiter, hint = kwargs.get("delimiter"), ""
        if kind is None:
            hint = "; if this is a text, give kind='text'"
            beginning = first_lines(Path(path), kwargs.get("encoding", "utf-8"))
            separators = SEPARATORS if delimiter is None else (delimiter,)
            kind = "counts" if holds_counts(beginning, separators, f"path: {path}", hint) else "text"
        if kind == "counts":
            reader, known = partial(cls._from_rows, hint=hint), {"delimiter"}
        else:
            reader, known = partial(cls.from_text), {"tokenizer", "lower", "eos"}
        if unknown := kwargs.keys() - known - {"encoding", "name"}:
            raise TypeError(
                f"{min(unknown)} should be left out for {path}, which looks like {kind}; if it is not, give "
                "kind='text' or kind='counts'"
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
            raise ValueError(f"wordlist should be 'best', 'small' or 'large', got {wordlist!r}")
        wordfreq = import_wordfreq()
        languages = sorted(wordfreq.available_languages(wordlist))
        if language not in languages:
            raise ValueError(
                f"language should be one of {', '.join(languages)} (wordlist={wordlist!r}), got {language!r}"
            )
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
        return sorted(import_wordfreq().available_languages("best"))

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
                ValueError: a parameter is outside its range or not finite.
        """
        n_classes = integer("n_classes", n_classes, 1)
        exponent = number("exponent", exponent, 0, sys.float_info.max, "at least 0 and finite")
        shift = number("shift", shift, math.nextafter(-1, 0), sys.float_info.max, "above -1 and finite")
        mass = number("total", 1e9 if total is None else total, math.ulp(0.0), sys.float_info.max, "above 0 and finite")
        law = f"Zipf {exponent:g}" if shift == 0 else f"Zipf-Mandelbrot {exponent:g}, {shift:g}"
        return cls(mass * zipf_shares(n_classes, exponent, shift), name=law if name is None else name)

    @classmethod
    def _from_counter(cls, counts: Counter[str], source: str, name: str) -> Vocabulary:
        if not counts:
            raise ValueError(f"{source} should hold at least one, got none")
        for token in counts if set(map(type, counts)) != {str} else ():
            if not isinstance(token, str):
                raise TypeError(f"{source} should be strings, got {token!r} ({type(token).__name__})")
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
        return total_of(self.counts)

    @cached_property
    def ranks(self) -> NDArray[np.int64]:
        """``ranks[id]`` is the rank of a user's id: (V,) int64, read-only; the inverse of ``order``."""
        ranks = np.empty_like(self.order)
        ranks[self.order] = np.arange(len(self), dtype=np.int64)
        return read_only(ranks)

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
            raise ValueError(f"words should be part of the vocabulary, got counts without words in {self.name!r}")
        return self.words

    def word(self, rank: int) -> str:
        """The word of a rank (0 is the most frequent); ValueError if there is none or there are no words."""
        return self._known_words()[integer("rank", rank, 0, len(self) - 1)]

    def rank_of(self, word: str) -> int:
        """The rank of a word; ValueError if it is not in the vocabulary or there are no words."""
        try:
            return self._rank_of_word[word]
        except KeyError:
            raise ValueError(f"word should be one of the {len(self):,} words of {self.name!r}, got {word!r}") from None

    def id_of(self, word: str) -> int:
        """The user's id of a word; ValueError as :meth:`rank_of`."""
        return int(self.order[self.rank_of(word)])

    # ---- coverage

    @cached_property
    def shares(self) -> NDArray[np.float64]:
        """p_r, the share of the tokens each word holds, by rank: (V,) float64, read-only, summing to 1."""
        return read_only(self.counts / float(self.total))

    @cached_property
    def cumulative(self) -> NDArray[np.float64]:
        """``cumulative[n]`` is the share of the first n words: (V + 1,) float64, read-only, 0 to 1."""
        sums: NDArray[Any]
        if self.counts.dtype == np.float64:
            sums = np.cumsum(self.counts, dtype=np.longdouble)
        elif self.total <= LARGEST:
            sums = np.cumsum(self.counts)
        else:  # Both halves sum without overflow, and the sum of two rising floats still rises.
            high, low = np.cumsum(self.counts >> 32), np.cumsum(self.counts & (2**32 - 1))
            sums = high * 2.0**32 + low
        shares = np.concatenate([[0.0], (sums / sums.dtype.type(sums[-1])).astype(np.float64)])
        return read_only(shares)

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
        numbers = np.asarray(unmasked("n", n))
        if numbers.dtype.kind not in "iu":
            raise TypeError(f"n should be an integer or an array of integers, got {n!r}")
        if (outside := (numbers < 0) | (numbers > len(self))).any():
            raise ValueError(f"n should be 0 to {len(self)}, got {numbers[outside].flat[0]}")
        shares = self.cumulative[numbers]
        return shares if numbers.ndim else float(shares)

    def words_for_share(self, share: float) -> int:
        """The least n with ``share_of_first(n) >= share``; for 1, the number of words whose count is not 0.

        Raises:
            ValueError: share is outside 0..1.
        """
        share = number("share", share, 0, 1, "from 0 to 1")
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
            raise ValueError("min_count or max_size should be given, got neither")
        if max_size is not None:
            max_size = integer("max_size", max_size, 1)
        if min_count is not None:
            number("min_count", min_count, -math.inf, math.inf, "a number")
        if not isinstance(unk, str) or not unk:
            raise ValueError(f"unk should be a non-empty string, got {unk!r}")
        candidates = np.arange(len(self))
        if self.words is not None and unk in self._rank_of_word:
            candidates = np.delete(candidates, self._rank_of_word[unk])
        kept = candidates if min_count is None else candidates[self.counts[candidates] >= min_count]
        if len(kept) == len(candidates) and (max_size is None or len(self) <= max_size):
            result = Vocabulary(self)
            result.id_map = read_only(np.arange(len(self), dtype=np.int64))
            return result
        kept = kept if max_size is None else kept[: max_size - 1]
        left_out = np.ones(len(self), dtype=bool)
        left_out[kept] = False
        joint = total_of(self.counts[left_out])
        if isinstance(joint, int) and joint > LARGEST:
            raise ValueError(f"counts of the words left out should sum to at most 2**63 - 1, got {joint}")
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
        result.id_map = read_only(by_rank[self.ranks])
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
            raise ValueError(f"model should be 'zipf' or 'zipf-mandelbrot', got {model!r}")
        if len(self) < 2 or self.counts[1] == 0:
            raise ValueError(f"counts should be above 0 for at least two words to be fitted, got one in {self.name!r}")
        exponent, shift = maximum_likelihood(self.shares, model, self.name)
        fitted = log_zipf_shares(len(self), exponent, shift)
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
        raise TypeError("vocabularies should be several in a list, got one Vocabulary")
    vocabularies = list(vocabularies)
    for vocabulary in vocabularies:
        if not isinstance(vocabulary, Vocabulary):
            raise TypeError(f"vocabularies should hold Vocabulary objects, got a {type(vocabulary).__name__}")
    floor = max((vocabulary.floor for vocabulary in vocabularies), default=0.0)
    return [_above(vocabulary, floor) for vocabulary in vocabularies]


def _above(vocabulary: Vocabulary, floor: float) -> Vocabulary:
    # Counts of a list that has a floor are shares of all tokens, also of those of the words that it lacks.
    frequencies = vocabulary.counts if vocabulary.floor else vocabulary.shares
    n = int(np.count_nonzero(frequencies >= floor))
    if n == len(vocabulary):
        return vocabulary
    if not n:
        raise ValueError(
            f"vocabularies should have words of frequency {floor:g} or more, got none in {vocabulary.name!r}"
        )
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

    >>> row = compare([Vocabulary({"the": 50, "of": 30, "cat": 15, "sat": 5})], first=[2], shares=[0.9])[0]
    >>> row["first 2"], row["90%"], round(row["exponent"], 2)
    (0.8, 3, 1.24)
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
