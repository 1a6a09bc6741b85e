"""Counts in falling order, coverage, readers, truncation and the Zipf fits, against plain Python and by hand."""

from __future__ import annotations

import builtins
import bz2
import copy
import gzip
import lzma
import math
import pickle
import time
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adasoft.vocabulary import Vocabulary, compare
from adasoft.zipf import ZipfFit

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
needs_corpora = pytest.mark.skipif(not DATA.is_dir(), reason="the corpora are not beside the checkout")

small_counts = st.lists(st.integers(0, 6), min_size=1, max_size=40).filter(any)
large_counts = st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=40).filter(any)
float_counts = st.lists(st.floats(0, 1e12), min_size=1, max_size=40).filter(any)
any_counts = small_counts | large_counts | float_counts


def write(path: Path, content: str | bytes, opener=open) -> Path:
    with opener(path, "wb") as file:
        file.write(content if isinstance(content, bytes) else content.encode())
    return path


# ---- order, ids and ranks


def test_by_hand():
    vocabulary = Vocabulary([3, 10, 3, 0, 4], ["a", "b", "c", "d", "e"], name="five")
    assert vocabulary.name == "five"
    assert vocabulary.n_classes == len(vocabulary) == 5
    assert vocabulary.counts.tolist() == [10, 4, 3, 3, 0]
    assert vocabulary.order.tolist() == [1, 4, 0, 2, 3]
    assert vocabulary.ranks.tolist() == [2, 0, 3, 4, 1]
    assert vocabulary.words == ("b", "e", "a", "c", "d")
    assert vocabulary.total == 20 and isinstance(vocabulary.total, int)
    assert vocabulary.shares.tolist() == [0.5, 0.2, 0.15, 0.15, 0.0]
    assert vocabulary.cumulative.tolist() == [0.0, 0.5, 0.7, 0.85, 1.0, 1.0]
    assert vocabulary.word(2) == "a" and vocabulary.rank_of("a") == 2 and vocabulary.id_of("a") == 0
    assert vocabulary.share_of_first(2) == 0.7 and isinstance(vocabulary.share_of_first(2), float)
    assert vocabulary.share_of_first(np.array([[0, 1], [2, 5]])).tolist() == [[0.0, 0.5], [0.7, 1.0]]
    assert [vocabulary.words_for_share(share) for share in (0, 0.5, 0.51, 0.7, 0.99, 1)] == [0, 1, 2, 2, 4, 4]
    assert vocabulary.id_map is None
    assert repr(vocabulary) == "Vocabulary('five', V=5, total=20, first 1,000 words 100.0%)"


@given(any_counts)
def test_order_is_falling_and_ties_keep_the_ids(counts):
    vocabulary = Vocabulary(counts)
    expected = sorted(range(len(counts)), key=lambda number: (-counts[number], number))
    assert vocabulary.order.tolist() == expected
    assert vocabulary.counts.tolist() == [counts[number] for number in expected]
    assert vocabulary.ranks[vocabulary.order].tolist() == list(range(len(counts)))
    assert vocabulary.order.dtype == vocabulary.ranks.dtype == np.int64


@given(any_counts)
def test_cumulative(counts):
    vocabulary = Vocabulary(counts)
    cumulative = vocabulary.cumulative
    assert cumulative.dtype == np.float64 and len(cumulative) == len(counts) + 1
    assert cumulative[0] == 0.0 and cumulative[-1] == 1.0
    assert (np.diff(cumulative) >= 0).all()
    naive = [0, *accumulate(sorted(counts, reverse=True))]
    np.testing.assert_allclose(cumulative, [float(part / naive[-1]) for part in naive], rtol=1e-14)
    np.testing.assert_allclose(vocabulary.shares.sum(), 1.0, rtol=1e-14)
    assert vocabulary.share_of_first(range(len(counts) + 1)).tolist() == cumulative.tolist()


@given(small_counts, st.floats(0, 1))
def test_words_for_share_is_the_least(counts, share):
    falling, total = sorted(counts, reverse=True), sum(counts)
    least = next(n for n in range(len(counts) + 1) if sum(falling[:n]) / total >= share)
    assert Vocabulary(counts).words_for_share(share) == least


@given(any_counts)
def test_words_for_share_holds_everything_at_one(counts):
    assert Vocabulary(counts).words_for_share(1.0) == sum(count > 0 for count in counts)


def test_words_for_share_at_one_is_not_fooled_by_rounding():
    vocabulary = Vocabulary([1e18, 1.0, 1.0, 0.0])
    assert vocabulary.cumulative[1] == 1.0
    assert vocabulary.words_for_share(1) == 3


def test_sums_beyond_64_bits():
    largest = 2**63 - 1
    vocabulary = Vocabulary([2**40, largest, largest, largest])
    assert vocabulary.total == 3 * largest + 2**40
    np.testing.assert_allclose(vocabulary.cumulative, [0, 1 / 3, 2 / 3, 1, 1], rtol=1e-7)
    assert vocabulary.shares.min() == pytest.approx(2**40 / (3 * largest))
    vocabulary = Vocabulary(np.full(1000, 2**33, dtype=np.uint64))
    assert vocabulary.total == 1000 * 2**33 and vocabulary.counts.dtype == np.int64
    assert vocabulary.share_of_first(250) == 0.25


def test_one_word():
    vocabulary = Vocabulary([7])
    assert vocabulary.cumulative.tolist() == [0.0, 1.0] and vocabulary.words_for_share(1) == 1


def test_arrays_are_read_only_copies():
    counts = np.array([5, 4, 3])
    vocabulary = Vocabulary(counts)
    counts[0] = 0
    assert vocabulary.counts.tolist() == [5, 4, 3]
    for array in (vocabulary.counts, vocabulary.order, vocabulary.ranks, vocabulary.shares, vocabulary.cumulative):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_copies():
    vocabulary = Vocabulary({"b": 1, "a": 2}, name="two").truncate(max_size=5)
    for other in (Vocabulary(vocabulary), copy.deepcopy(vocabulary), pickle.loads(pickle.dumps(vocabulary))):
        assert other.name == "two" and other.words == ("a", "b") and other.counts.tolist() == [2, 1]
        assert other.order.tolist() == [1, 0] and other.id_map.tolist() == [0, 1]
    assert Vocabulary(vocabulary, name="other").name == "other" and vocabulary.name == "two"


@pytest.mark.parametrize(
    ("counts", "dtype"),
    [
        ([1, 2], np.int64),
        ((1, 2.0), np.float64),
        (np.array([1, 2], dtype=np.uint8), np.int64),
        (np.array([1, 2], dtype=np.float16), np.float64),
        ({"a": 1, "b": 2}, np.int64),
        ({"a": 1, "b": 0.5}, np.float64),
        ({1: 2, 0: 1}, np.int64),
        (range(1, 3), np.int64),
    ],
)
def test_dtypes(counts, dtype):
    assert Vocabulary(counts).counts.dtype == dtype


def test_mappings():
    assert Vocabulary({"x": 1, "y": 3, "z": 3}).order.tolist() == [1, 2, 0]
    assert Vocabulary({"x": 1, "y": 3, "z": 3}).words == ("y", "z", "x")
    by_id = Vocabulary({2: 5, np.int64(0): 1, 1: 7})
    assert by_id.order.tolist() == [1, 2, 0] and by_id.counts.tolist() == [7, 5, 1] and by_id.words is None


# ---- what is refused


@pytest.mark.parametrize(
    ("counts", "words", "error", "message"),
    [
        ([1, -2], None, ValueError, r"counts should be non-negative numbers, got -2 at id 1"),
        ([1, -2], ["a", "b"], ValueError, r"got -2 at id 1 \('b'\)"),
        ({"a": 1.0, "b": -0.5}, None, ValueError, r"got -0.5 at id 1 \('b'\)"),
        ([1.0, math.nan], None, ValueError, r"counts should be finite numbers, got nan at id 1"),
        ([math.inf, 1.0], None, ValueError, r"counts should be finite numbers, got inf at id 0"),
        ([], None, ValueError, "counts should hold at least one count, got none"),
        ({}, None, ValueError, "counts should hold at least one count, got none"),
        ([0, 0, 0], None, ValueError, "counts should not all be zero, got 3 zeros"),
        ([[1, 2], [3, 4]], None, ValueError, r"counts should be a 1-D array \(V,\), got a list of shape \(2, 2\)"),
        ([[1, 2], [3]], None, TypeError, "counts should be a 1-D array of numbers, got a list"),
        (5, None, ValueError, r"got a int of shape \(\)"),
        ({3, 4}, None, ValueError, r"got a set of shape \(\)"),
        (np.array([True, False]), None, TypeError, "got dtype bool"),
        ([1, True], None, TypeError, "counts should be numbers, got booleans in the list"),
        ([1, None], None, TypeError, "got dtype object"),
        (np.array([1, 2], dtype=object), None, TypeError, "got dtype object"),
        (["1", "2"], None, TypeError, "got dtype <U1"),
        ([1j], None, TypeError, "got dtype complex128"),
        ([1, 2**63], None, ValueError, rf"counts should be 0 to 2\*\*63 - 1, got {2**63} at id 1"),
        ([1, 2**200], None, ValueError, rf"got {2**200} at id 1"),
        (np.array([2**63], dtype=np.uint64), None, ValueError, rf"got {2**63} at id 0"),
        ([1e308, 1e308], None, ValueError, "counts should have a sum that a float64 can hold"),
        ({0: 1, 1: 1, 3: 1}, None, ValueError, r"the ids 0 to 2, all 3, got 0 to 3 without 2. np.bincount\(ids"),
        ({-1: 1, 0: 1}, None, ValueError, r"ids 0 to 1, all 2, got -1 to 0 without 1.*minlength=n_classes"),
        ({0: 1, "a": 2}, None, TypeError, r"all words \(str\) or all ids \(int\), got int, str"),
        ({True: 1, False: 2}, None, TypeError, "got bool"),
        ({0.0: 1}, None, TypeError, "got float"),
        ([1, 2], ["a"], ValueError, "words should hold one word for each of 2 counts, got 1"),
        ([1, 2, 3], ["a", "b", "a"], ValueError, "words should be distinct, got 'a' at ids 0 and 2"),
        ([1, 2], ["a", 5], TypeError, r"words should be strings, got 5 \(int\) at id 1"),
        ([1, 2], "ab", TypeError, "words should be a sequence of strings, got a str"),
        ([1, 2], {"a", "b"}, TypeError, "words should be a sequence of strings, got a set"),
        ({"a": 1}, ["a"], TypeError, "words should be left out where a dict brings its own"),
    ],
)
def test_refused(counts, words, error, message):
    with pytest.raises(error, match=message):
        Vocabulary(counts, words)


def test_questions_refused():
    vocabulary = Vocabulary({"a": 2, "b": 1}, name="ab")
    for n in (-1, 3, [0, 3]):
        with pytest.raises(ValueError, match=r"n should be 0 to 2, got (-1|3)"):
            vocabulary.share_of_first(n)
    for n in (1.0, True, "1"):
        with pytest.raises(TypeError, match="n should be an integer or an array of integers"):
            vocabulary.share_of_first(n)
    for share in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=f"share should be from 0 to 1, got {share}"):
            vocabulary.words_for_share(share)
    for rank in (-1, 2):
        with pytest.raises(ValueError, match=f"rank should be an integer from 0 to 1, got {rank}"):
            vocabulary.word(rank)
    with pytest.raises(ValueError, match=r"rank should be an integer from 0 to 1, got 0.5"):
        vocabulary.word(0.5)
    for ask in (vocabulary.rank_of, vocabulary.id_of):
        with pytest.raises(ValueError, match="word should be one of the 2 words of 'ab', got 'c'"):
            ask("c")
    wordless = Vocabulary([1, 2], name="bare")
    for ask, argument in ((wordless.word, 0), (wordless.rank_of, "a"), (wordless.id_of, "a")):
        with pytest.raises(ValueError, match="got counts without words in 'bare'"):
            ask(argument)


# ---- tokens and text


def test_from_tokens():
    vocabulary = Vocabulary.from_tokens(iter(["b", "a", "b", "c", "a", "b"]))
    assert vocabulary.words == ("b", "a", "c") and vocabulary.counts.tolist() == [3, 2, 1]
    assert vocabulary.name == "tokens"
    assert Vocabulary.from_tokens(["c", "b", "a"]).order.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="tokens should hold at least one, got none"):
        Vocabulary.from_tokens([])
    with pytest.raises(TypeError, match="tokens should be an iterable of strings, got one string"):
        Vocabulary.from_tokens("abc")
    with pytest.raises(TypeError, match=r"tokens should be strings, got 3 \(int\)"):
        Vocabulary.from_tokens([3, 4])


@pytest.mark.parametrize("opener", [open, gzip.open, lzma.open, bz2.open])
def test_from_text_recognises_compression_by_content(tmp_path, opener):
    path = write(tmp_path / "corpus.txt", "b a b\n\nc b\n", opener)
    vocabulary = Vocabulary.from_text(path, eos="<eos>")
    assert dict(zip(vocabulary.words, vocabulary.counts.tolist(), strict=True)) == {"b": 3, "<eos>": 3, "a": 1, "c": 1}
    # By first appearance: b, a, <eos>, c.
    assert [vocabulary.id_of(word) for word in ("b", "a", "<eos>", "c")] == [0, 1, 2, 3]
    assert vocabulary.name == "corpus"
    assert Vocabulary.from_text(str(path), name="given").name == "given"
    counts = write(tmp_path / "counts", "b\t3\na\t1\n", opener)
    assert Vocabulary.from_counts_file(counts).total == Vocabulary.read(counts).total == 4


def test_a_text_that_begins_like_an_archive(tmp_path):
    assert Vocabulary.from_text(write(tmp_path / "t", "BZh9 is a word\n")).words[0] == "BZh9"


def test_lines_end_at_line_feeds_only(tmp_path):
    # U+2028, U+0085 and U+00A0 are inside words; the carriage return before a line feed is not.
    path = write(tmp_path / "t", "a\u2028b c\x85d\r\ne\xa0f g\r\n\r\nh")
    vocabulary = Vocabulary.from_text(path, eos="<eos>")
    assert set(vocabulary.words) == {"a\u2028b", "c\x85d", "e\xa0f", "g", "h", "<eos>"}
    assert vocabulary.counts[vocabulary.rank_of("<eos>")] == 4
    lines = []
    Vocabulary.from_text(path, tokenizer=lambda line: lines.append(line) or [line])
    assert lines == ["a\u2028b c\x85d", "e\xa0f g", "", "h"]


def test_tokenizers(tmp_path):
    path = write(tmp_path / "t", "Don't, DON'T stop\n")
    vocabulary = Vocabulary.from_text(path, tokenizer="words", lower=True)
    assert dict(zip(vocabulary.words, vocabulary.counts.tolist(), strict=True)) == {
        "don": 2,
        "'": 2,
        "t": 2,
        ",": 1,
        "stop": 1,
    }
    assert Vocabulary.from_text(path).words == ("Don't,", "DON'T", "stop")
    assert Vocabulary.from_text(path, tokenizer=list).n_classes == len(set("Don't, DON'T stop"))
    with pytest.raises(ValueError, match="tokenizer should be 'whitespace', 'words' or a function"):
        Vocabulary.from_text(path, tokenizer="bpe")
    with pytest.raises(TypeError, match="tokenizer should return a list of strings"):
        Vocabulary.from_text(path, tokenizer=str.lower)
    with pytest.raises(TypeError, match=r"tokens of .*t should be strings, got 17 \(int\)"):
        Vocabulary.from_text(path, tokenizer=lambda line: [len(line)])
    with pytest.raises(ValueError, match="eos should be a non-empty string or None, got ''"):
        Vocabulary.from_text(path, eos="")


@given(st.lists(st.lists(st.sampled_from(["a", "bb", "č", "<e>"]), max_size=4), min_size=1, max_size=9), st.booleans())
def test_text_against_plain_python(tmp_path_factory, lines, ends):
    lines = [*lines, ["z"]]
    text = "\n".join(" ".join(line) for line in lines) + "\n" * ends
    path = write(tmp_path_factory.mktemp("text") / "t", text)
    tokens = [token for line in lines for token in [*line, "<e>"]]
    expected = Vocabulary.from_tokens(tokens)
    for tokenizer in ("whitespace", str.split):
        vocabulary = Vocabulary.from_text(path, eos="<e>", tokenizer=tokenizer)
        assert vocabulary.words == expected.words
        assert vocabulary.order.tolist() == expected.order.tolist()
        assert vocabulary.counts.tolist() == expected.counts.tolist()


@pytest.mark.parametrize("separator", [" ", "\n"])
def test_text_longer_than_one_piece(tmp_path, separator):
    # Two-byte letters, so that pieces of the file end within a character, and one word per 7 bytes.
    tokens = [f"č{number % 1000:04d}" for number in range(200_000)]
    path = write(tmp_path / "t", separator.join(tokens))
    vocabulary = Vocabulary.from_text(path)
    assert vocabulary.n_classes == 1000 and set(vocabulary.counts.tolist()) == {200}
    assert vocabulary.words == tuple(tokens[:1000])


def test_other_encodings(tmp_path):
    assert Vocabulary.from_text(write(tmp_path / "a", "č ž".encode("utf-16")), encoding="utf-16").words == ("č", "ž")
    assert Vocabulary.from_text(write(tmp_path / "b", b"\xef\xbb\xbfa b")).words == ("a", "b")


def test_unreadable_files(tmp_path):
    readers = (Vocabulary.from_text, Vocabulary.from_counts_file, Vocabulary.read)
    whole = {
        opener: write(tmp_path / "whole", "a b\n" * 9999, opener).read_bytes()
        for opener in (gzip.open, lzma.open, bz2.open)
    }
    for reader in readers:
        with pytest.raises(FileNotFoundError, match=r"path should be a file, got .*absent\.txt, which does not exist"):
            reader(tmp_path / "absent.txt")
        with pytest.raises(IsADirectoryError, match="path should be a file, got the directory"):
            reader(tmp_path)
        with pytest.raises(ValueError, match=r"empty should hold (tokens|counts), got none"):
            reader(write(tmp_path / "empty", ""))
        with pytest.raises(ValueError, match="latin is not utf-8 text: byte 6 cannot be decoded"):
            reader(write(tmp_path / "latin", "a\t3\nb\té\n".encode("latin-1")))
        with pytest.raises(ValueError, match="byte 300,000 cannot be decoded"):
            reader(write(tmp_path / "late", b"ab\n" * 100_000 + b"\xff"))
        with pytest.raises(ValueError, match="cut is not utf-8 text: byte 2 cannot be decoded"):
            reader(write(tmp_path / "cut", "ab€".encode()[:-1]))
        with pytest.raises(ValueError, match="byte 3 is NUL"):
            reader(write(tmp_path / "nul", b"ab\n\0cd"))
        with pytest.raises(ValueError, match="byte 2 unpacked cannot be decoded"):
            reader(write(tmp_path / "packed", b"ab\xff", gzip.open))
        for content in whole.values():
            for damaged in (content[:-5], content[: len(content) // 2], content[:30] + b"!!!!" + content[34:]):
                with pytest.raises(
                    ValueError, match=r"whole compressed data, got .*damaged, which is broken off or damaged"
                ):
                    reader(write(tmp_path / "damaged", damaged))
    with pytest.raises(ValueError, match=r"blank should hold tokens, got none in 3 lines"):
        Vocabulary.from_text(write(tmp_path / "blank", "\n \n\n"), eos="<eos>")


# ---- files of counts


def test_from_counts_file(tmp_path):
    path = write(tmp_path / "words.tsv", f"ženy\t3\r\n\na\u2028 b\t{2**40}\r\n0\t{10**18 + 1}\n+\t0")
    vocabulary = Vocabulary.from_counts_file(path)
    assert vocabulary.words == ("0", "a\u2028 b", "ženy", "+")
    assert vocabulary.counts.tolist() == [10**18 + 1, 2**40, 3, 0] and vocabulary.counts.dtype == np.int64
    assert vocabulary.id_of("ženy") == 0 and vocabulary.name == "words"
    floats = Vocabulary.from_counts_file(write(tmp_path / "f", "a,1\nb,2.5\nc,1e-3\n"), delimiter=",")
    assert floats.counts.tolist() == [2.5, 1.0, 1e-3]
    with pytest.raises(ValueError, match="delimiter should be a non-empty string"):
        Vocabulary.from_counts_file(path, delimiter="")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\t1\n\nb\t2\na\t3\n", r"line 4 should be of another word, got 'a', which is in line 1 already"),
        ("a\t1\nb\n", r"line 2 should be a word, a tab and a count, got 'b'$"),
        ("a\t1\nb\t2\t3\n", r"line 2 should be a word, a tab and a count, got 'b\\t2\\t3'$"),
        ("a\t1\n\t2\n", r"line 2 should be a word, a tab and a count, got '\\t2'$"),
        ("a\t1\nb\t-2\n", r"line 2: the count of 'b' should be 0 to 2\*\*63 - 1 or .*, got -2; logarithms are"),
        ("a\t1\nb\tx\n", r"line 2 should be a word, a tab and a count \(a number without separators\), got 'b\\tx'$"),
        ("word\tcount\nb\t1\n", r"line 1 should be a word, .*, got 'word\\tcount'; remove the line if it is a header"),
        ("a\t1\nb\tnan\n", r"line 2 should be .* \(a number without separators\), got 'b\\tnan'$"),
        ("a\t1\nb\t\n", r"line 2 should be .* \(a number without separators\), got 'b\\t'$"),
        ("a\t1\nb\t 2\n", r"line 2 should be .* \(a number without separators\), got 'b\\t 2'$"),
        ("a\t1\nb\t1_0\n", r"line 2 should be .* \(a number without separators\), got 'b\\t1_0'$"),
        ("a\t1\nb\t1e999\n", r"line 2: the count of 'b' should be 0 to 2\*\*63 - 1 or .*, got 1e999$"),
        (f"a\t1\nb\t{2**63}\n", rf"line 2: the count of 'b' should be 0 to 2\*\*63 - 1 or .*, got {2**63}$"),
        ("a\t0\n", r"counts should not all be zero, got 1 zeros"),
    ],
)
def test_counts_file_refused(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        Vocabulary.from_counts_file(write(tmp_path / "counts", content))


def test_read_decides(tmp_path):
    counts = write(tmp_path / "counts", "the\t5\n\nof\t2.5\n")
    assert Vocabulary.read(counts).words == ("the", "of")
    assert Vocabulary.read(counts, name="named").name == "named"
    text = write(tmp_path / "text", "the\t5\nof course\n")
    assert Vocabulary.read(text, eos="<eos>").counts.tolist() == [2, 1, 1, 1, 1]
    assert Vocabulary.read(write(tmp_path / "blanks", "the 5\nof 2\n"), delimiter=" ").total == 7
    # After 20 good lines, a bad one is an error and no longer a sign of text.
    late = write(tmp_path / "late", "".join(f"w{i}\t1\n" for i in range(20)) + "oops\n")
    with pytest.raises(ValueError, match="line 21 should be a word"):
        Vocabulary.read(late)
    with pytest.raises(TypeError, match=r"eos should be left out for .*, which looks like counts"):
        Vocabulary.read(counts, eos="<eos>")
    with pytest.raises(TypeError, match=r"delimiter should be left out for .* looks like text"):
        Vocabulary.read(text, delimiter=",")


# ---- wordfreq and synthetic counts


def test_a_header_above_counts_is_said(tmp_path):
    path = tmp_path / "counts.tsv"
    path.write_text("word\tcount\nthe\t5\nof\t3\n")
    with pytest.raises(ValueError, match=r"counts\.tsv, line 1 should be .*, got 'word\\tcount'; remove the line"):
        Vocabulary.read(path)
    path.write_text("word\tcount\nthe\t5\n")  # two lines may be anything
    assert Vocabulary.read(path).words


def test_wordfreq():
    pytest.importorskip("wordfreq")
    english = Vocabulary.from_wordfreq("en")
    assert english.name == "wordfreq en" and english.words[:3] == ("the", "to", "and")
    assert english.counts.dtype == np.float64 and 0.9 < english.total < 1
    assert english.n_classes > 300_000 > 20_000 < Vocabulary.from_wordfreq("en", wordlist="small").n_classes
    assert 0.60 < english.share_of_first(1000) < 0.80
    languages = Vocabulary.wordfreq_languages()
    assert languages == sorted(languages) and {"en", "lt", "cs"} <= set(languages)
    with pytest.raises(ValueError, match=r"language should be one of ar, bg, .*zh \(wordlist='best'\), got 'xx'"):
        Vocabulary.from_wordfreq("xx")
    with pytest.raises(ValueError, match="wordlist should be 'best', 'small' or 'large', got 'huge'"):
        Vocabulary.from_wordfreq("en", wordlist="huge")


def test_without_wordfreq(monkeypatch):
    plain = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name == "wordfreq":
            raise ImportError(name)
        return plain(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    for ask in (Vocabulary.wordfreq_languages, lambda: Vocabulary.from_wordfreq("en")):
        with pytest.raises(ImportError, match="wordfreq is not installed: pip install"):
            ask()


def test_synthetic():
    vocabulary = Vocabulary.synthetic(4, total=25)
    np.testing.assert_allclose(vocabulary.counts, [12, 6, 4, 3])
    np.testing.assert_allclose(Vocabulary.synthetic(3, exponent=2, shift=1, total=61).counts, [36, 16, 9])
    assert Vocabulary.synthetic(1000, exponent=0.7).total == pytest.approx(1e9)
    assert set(Vocabulary.synthetic(5, exponent=0).shares) == {0.2}
    assert Vocabulary.synthetic(5, name="mine").name == "mine"
    assert Vocabulary.synthetic(5, exponent=1.5, shift=2).name == "Zipf-Mandelbrot 1.5, 2"
    for arguments, message in [
        ({"n_classes": 0}, "n_classes should be an integer of at least 1, got 0"),
        ({"exponent": -1}, "exponent should be at least 0 and finite, got -1"),
        ({"exponent": math.nan}, "exponent should be .* got nan"),
        ({"shift": -1}, "shift should be above -1 and finite, got -1"),
        ({"total": 0}, "total should be above 0 and finite, got 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            Vocabulary.synthetic(**{"n_classes": 5} | arguments)
    with pytest.raises(ValueError, match=r"n_classes should be an integer of at least 1, got 5.0"):
        Vocabulary.synthetic(5.0)


# ---- truncation


def test_truncate_by_hand():
    vocabulary = Vocabulary({"a": 1, "b": 5, "c": 2, "d": 9, "e": 2}, name="five")
    short = vocabulary.truncate(min_count=3)
    assert short.words == ("d", "b", "<unk>") and short.counts.tolist() == [9, 5, 5]
    assert short.id_map.tolist() == [2, 1, 2, 0, 2] and short.order.tolist() == [0, 1, 2]
    assert short.name == "five" and vocabulary.id_map is None
    # The new entry takes its place by count: 5 + 2 + 2 + 1 = 10.
    top = vocabulary.truncate(max_size=2, unk="?")
    assert top.words == ("?", "d") and top.counts.tolist() == [10, 9] and top.id_map.tolist() == [0, 0, 0, 1, 0]
    assert vocabulary.truncate(max_size=1).words == ("<unk>",)
    both = vocabulary.truncate(min_count=2, max_size=4)
    assert both.words == ("d", "b", "<unk>", "c") and both.counts.tolist() == [9, 5, 3, 2]


def test_truncate_adds_to_an_unk_among_the_words():
    vocabulary = Vocabulary({"<unk>": 1, "b": 5, "c": 2, "d": 9})
    short = vocabulary.truncate(min_count=3)
    assert short.words == ("d", "b", "<unk>") and short.counts.tolist() == [9, 5, 3]
    assert short.id_map.tolist() == [2, 1, 2, 0]
    # <unk> itself is below min_count, but no word is left out.
    assert vocabulary.truncate(min_count=2).words == vocabulary.words
    assert vocabulary.truncate(max_size=3).counts.tolist() == [9, 5, 3]


def test_truncate_nothing():
    vocabulary = Vocabulary({"a": 1, "b": 5})
    for same in (vocabulary.truncate(min_count=1), vocabulary.truncate(max_size=2, min_count=0)):
        assert same.words == ("b", "a") and same.order.tolist() == [1, 0] and same.counts.tolist() == [5, 1]
        assert same.id_map.tolist() == [0, 1]
    assert vocabulary.id_map is None


def test_truncate_without_words():
    short = Vocabulary([1, 2.5, 1, 8]).truncate(max_size=3)
    assert short.words is None and short.counts.tolist() == [8, 2.5, 2] and short.id_map.tolist() == [2, 1, 2, 0]


@given(any_counts, st.none() | st.integers(0, 6), st.none() | st.integers(1, 40), st.booleans())
def test_truncate_moves_every_count(counts, min_count, max_size, has_unk):
    if min_count is None and max_size is None:
        min_count = 2
    words = [f"w{number}" for number in range(len(counts))]
    if has_unk:
        words[len(words) // 2] = "<unk>"
    vocabulary = Vocabulary(counts, words)
    if isinstance(vocabulary.total, int) and vocabulary.total >= 2**63:
        return
    short = vocabulary.truncate(min_count=min_count, max_size=max_size)
    by_new_id = [0] * len(short)
    for number, count in enumerate(counts):
        by_new_id[short.id_map[number]] += count
    assert short.counts[short.ranks].tolist() == pytest.approx(by_new_id, rel=1e-12)
    assert short.total == pytest.approx(vocabulary.total, rel=1e-12)
    assert max_size is None or len(short) <= max_size
    assert (np.diff(short.counts) <= 0).all()
    new_words = [short.word(rank) for rank in short.ranks]
    kept = {word for number, word in enumerate(words) if new_words[short.id_map[number]] == word} - {"<unk>"}
    ordinary = [number for number in vocabulary.order.tolist() if words[number] != "<unk>"]
    allowed = [number for number in ordinary if min_count is None or counts[number] >= min_count]
    assert [words[number] for number in ordinary if words[number] in kept] == [words[n] for n in allowed[: len(kept)]]
    assert len(kept) == len(allowed) or len(short) == max_size
    assert all(new_words[short.id_map[number]] in (words[number], "<unk>") for number in range(len(counts)))


def test_truncate_refused():
    vocabulary = Vocabulary([2**62, 2**62, 2**62])
    with pytest.raises(ValueError, match="min_count or max_size should be given, got neither"):
        vocabulary.truncate()
    with pytest.raises(ValueError, match="max_size should be an integer of at least 1, got 0"):
        vocabulary.truncate(max_size=0)
    with pytest.raises(ValueError, match=r"max_size should be an integer of at least 1, got 2.5"):
        vocabulary.truncate(max_size=2.5)
    with pytest.raises(ValueError, match="min_count should be a number, got nan"):
        vocabulary.truncate(min_count=math.nan)
    with pytest.raises(ValueError, match="unk should be a non-empty string, got ''"):
        vocabulary.truncate(max_size=2, unk="")
    with pytest.raises(ValueError, match=rf"counts of the words left out should sum to at most .*, got {2**63}$"):
        vocabulary.truncate(max_size=2)


# ---- Zipf


@pytest.mark.parametrize("exponent", [0.0, 1e-6, 0.3, 0.9, 1.0, 1.07, 2.0, 6.0, 20.0])
@pytest.mark.parametrize("n_classes", [2, 10, 1000, 50_000])
def test_fit_recovers_zipf(exponent, n_classes):
    vocabulary = Vocabulary.synthetic(n_classes, exponent=exponent)
    fit = vocabulary.fit()
    assert fit.exponent == pytest.approx(exponent, rel=1e-8, abs=1e-10)
    assert fit.shift == 0 and fit.n_classes == n_classes and fit.model == "zipf"
    assert fit.divergence < 1e-12 and fit.max_share_error < 1e-9
    np.testing.assert_allclose(fit.shares(), vocabulary.shares, rtol=1e-6, atol=1e-300)
    np.testing.assert_allclose(fit.counts(30), 30 * fit.shares())


@pytest.mark.parametrize(
    ("exponent", "shift"), [(1.1, 2.7), (1.0, 0.0), (0.8, -0.5), (3.0, -0.9), (0.7, 30.0), (1.5, 300.0), (5, 1000)]
)
@pytest.mark.parametrize("n_classes", [1000, 50_000])
def test_fit_recovers_zipf_mandelbrot(exponent, shift, n_classes):
    vocabulary = Vocabulary.synthetic(n_classes, exponent=exponent, shift=shift)
    fit = vocabulary.fit("zipf-mandelbrot")
    assert fit.exponent == pytest.approx(exponent, rel=1e-6)
    assert fit.shift == pytest.approx(shift, rel=1e-6, abs=1e-7)
    assert fit.divergence < 1e-12 and fit.max_share_error < 1e-9
    assert fit.log_likelihood >= vocabulary.fit().log_likelihood * (1 + 1e-12)


def test_fit_by_hand():
    # Two words: p_1 / p_2 = 2^s = 8, so s = 3; the fit is exact.
    fit = Vocabulary([1, 8]).fit()
    assert fit.exponent == pytest.approx(3) and fit.divergence < 1e-15
    assert fit.log_likelihood == pytest.approx(8 * math.log(8 / 9) + math.log(1 / 9))
    # The slope of l at s = 2 vanishes for counts 1 / r^2 moved about with the same sum of count * log r.
    fit = Vocabulary([16, 6, 0, 0]).fit()
    ranks = np.arange(1, 5)
    fitted = ranks**-fit.exponent / (ranks**-fit.exponent).sum()
    assert fitted @ np.log(ranks) == pytest.approx(6 / 22 * math.log(2), rel=1e-9)
    shares = np.array([16, 6]) / 22
    assert fit.divergence == pytest.approx(shares @ np.log(shares / fitted[:2]))
    errors = np.abs(np.cumsum([16 / 22, 6 / 22, 0, 0]) - np.cumsum(fitted))
    assert fit.max_share_error == pytest.approx(errors.max())


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=30).filter(lambda c: sum(x > 0 for x in c) > 1))
def test_fit_is_the_maximum(counts):
    vocabulary = Vocabulary(counts)
    fit = vocabulary.fit()
    ranks = np.arange(1, len(counts) + 1)

    def log_likelihood(s, q=0.0):
        logits = -s * np.log(ranks + q)
        return float(vocabulary.counts @ (logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()))

    assert fit.log_likelihood == pytest.approx(log_likelihood(fit.exponent), rel=1e-9)
    slack = 1e-9 * abs(fit.log_likelihood)
    for s in (fit.exponent * 0.99, fit.exponent * 1.01, fit.exponent + 0.01, 0.5, 1.0, 2.0):
        assert log_likelihood(s) <= fit.log_likelihood + slack
    try:
        wide = vocabulary.fit("zipf-mandelbrot")
    except RuntimeError as error:
        assert "found no maximum of the zipf-mandelbrot likelihood of 'counts'" in str(error)
        return
    assert wide.log_likelihood >= fit.log_likelihood - slack
    for s, t in ((1.01, 0), (0.99, 0), (1, 0.01), (1, -0.01), (1.01, 0.01), (0.99, -0.01)):
        near = log_likelihood(wide.exponent * s, math.expm1(math.log1p(wide.shift) + t))
        assert near <= wide.log_likelihood + slack


def test_fit_of_steep_and_flat_counts():
    assert Vocabulary([10**18, 1]).fit().exponent == pytest.approx(18 * math.log2(10))
    flat = Vocabulary([5] * 100)
    assert flat.fit().exponent == pytest.approx(0, abs=1e-12)
    assert flat.fit("zipf-mandelbrot").divergence < 1e-14
    for model in ("zipf", "zipf-mandelbrot"):
        for counts in ([7], [7, 0, 0]):
            with pytest.raises(
                ValueError, match="counts should be above 0 for at least two words to be fitted, got one in 'counts'"
            ):
                Vocabulary(counts).fit(model)
    # 2^-r is the limit s, q -> infinity of the law, and one large word before equal ones that of q -> -1.
    for counts in (2.0 ** -np.arange(30), [1000] + [1] * 500):
        with pytest.raises(RuntimeError, match="no maximum of the zipf-mandelbrot likelihood"):
            Vocabulary(counts).fit("zipf-mandelbrot")
    with pytest.raises(ValueError, match="model should be 'zipf' or 'zipf-mandelbrot', got 'power'"):
        flat.fit("power")


def test_zipf_fit_is_a_frozen_record():
    fit = ZipfFit("zipf", 1.0, 0.0, -1.0, 0.0, 0.0, 3)
    np.testing.assert_allclose(fit.counts(11), [6, 3, 2])
    with pytest.raises(ValueError, match="total should be above 0 and finite"):
        fit.counts(-1)
    with pytest.raises(AttributeError):
        fit.exponent = 2


# ---- tables


def test_compare():
    rows = compare([Vocabulary([8, 1], name="two"), Vocabulary([3], name="one")], first=(1, 5), shares=(0.5, 0.995, 1))
    assert rows[0] == {
        "name": "two",
        "n_classes": 2,
        "total": 9,
        "first 1": 8 / 9,
        "first 5": 1.0,
        "50%": 1,
        "99.5%": 2,
        "100%": 2,
        "exponent": pytest.approx(3),
    }
    assert rows[1]["first 5"] == 1.0 and math.isnan(rows[1]["exponent"])
    row = compare([Vocabulary.synthetic(30_000)])[0]
    assert list(row) == [
        "name",
        "n_classes",
        "total",
        "first 1000",
        "first 2000",
        "first 5000",
        "first 10000",
        "first 20000",
        "50%",
        "80%",
        "90%",
        "95%",
        "99%",
        "exponent",
    ]
    with pytest.raises(TypeError, match="vocabularies should be several in a list, got one Vocabulary"):
        compare(Vocabulary([1, 2]))
    with pytest.raises(TypeError, match="vocabularies should hold Vocabulary objects, got a list"):
        compare([[1, 2]])
    with pytest.raises(ValueError, match="share should be from 0 to 1, got 95"):
        compare([Vocabulary([1, 2])], shares=[95])


# ---- speed, with room for a slow machine


def seconds(action) -> float:
    start = time.process_time()  # of this process alone, whatever else the machine does
    action()
    return time.process_time() - start


def test_a_million_words():
    counts = np.random.default_rng(0).integers(0, 1000, 1_000_000)
    assert seconds(lambda: Vocabulary(counts)) < 1.0
    mapping = {f"word{number}": count for number, count in enumerate(counts.tolist())}
    assert seconds(lambda: Vocabulary(mapping).words) < 6.0
    assert seconds(lambda: Vocabulary.synthetic(1_000_000, exponent=1.1, shift=3).fit("zipf-mandelbrot")) < 10.0


# ---- real text


@needs_corpora
def test_wikitext_2():
    start = time.perf_counter()
    vocabulary = Vocabulary.from_text(DATA / "wikitext-2" / "train.txt.xz", eos="<eos>")
    assert time.perf_counter() - start < 4.0
    assert vocabulary.n_classes == 33_278 and vocabulary.total == 2_088_628 and vocabulary.name == "train"
    assert vocabulary.words[:10] == ("the", ",", ".", "of", "<unk>", "and", "in", "to", "<eos>", "a")
    expected = [0.7029, 0.7732, 0.8678, 0.9294, 0.9755]
    assert vocabulary.share_of_first([1000, 2000, 5000, 10000, 20000]) == pytest.approx(expected, abs=5e-5)
    assert vocabulary.words_for_share(vocabulary.share_of_first(2000)) == 2000
    # The text holds <unk> already, and no word once or twice.
    assert vocabulary.truncate(min_count=3).n_classes == 33_278
    short = vocabulary.truncate(min_count=5)
    assert short.n_classes == 23_380 and short.total == vocabulary.total


@needs_corpora
@pytest.mark.parametrize(
    ("name", "n_classes", "total", "first_1000", "first_20000"),
    [
        ("en-web-333k", 333_333, 588_124_220_187, 60.29, 93.44),
        ("lt-subtitles-322k", 322_425, 7_128_400, 60.40, 86.03),
        ("pt-wikipedia-668k", 668_333, 297_943_334, 60.62, 89.28),
    ],
)
def test_frequency_lists(name, n_classes, total, first_1000, first_20000):
    start = time.perf_counter()
    vocabulary = Vocabulary.read(DATA / "freq" / f"{name}.txt.xz")
    assert time.perf_counter() - start < 6.0
    assert (vocabulary.name, vocabulary.n_classes, vocabulary.total) == (name, n_classes, total)
    shares = vocabulary.share_of_first([1000, 20000])
    assert (100 * shares).tolist() == pytest.approx([first_1000, first_20000], abs=0.0051)
    # The lists fall already, so ids are ranks.
    assert (vocabulary.order == np.arange(n_classes)).all()
    zipf, wide = vocabulary.fit(), vocabulary.fit("zipf-mandelbrot")
    assert wide.log_likelihood > zipf.log_likelihood and wide.divergence < zipf.divergence
    assert 0.9 < zipf.exponent < wide.exponent < 1.3
