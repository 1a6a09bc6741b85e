"""Texts to ids and batches, against plain Python; the cache; corpora by name from a server in this process; damage."""

from __future__ import annotations

import bz2
import errno
import gzip
import hashlib
import io
import json
import lzma
import os
import random
import subprocess
import sys
import tarfile
import time
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from download_server import running
from full_disk import FullDisk, limited
from hypothesis import given
from hypothesis import strategies as st

from adasoft import corpora
from adasoft.corpora import NAMES, Batches, Corpus, documentation, encode, load, loading, text_ids
from adasoft.corpora.names import File, Known, Place
from adasoft.vocabulary import Vocabulary

PARTS = ("train", "valid", "test")
PACKERS = {"": open, ".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ADASOFT_CORPORA", raising=False)
    return tmp_path / "cache" / "corpora"


def folder(path: Path, train: str, valid: str = "a b\n", test: str = "b a\n", ending: str = ".txt") -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name, text in (("train", train), ("valid", valid), ("test", test)):
        (path / f"{name}{ending}").write_bytes(text.encode())
    return path


def quiet(source, **settings) -> Corpus:
    return load(source, progress=False, **settings)


def words(corpus: Corpus, part: str) -> list[str]:
    return [corpus.vocabulary.word(i) for i in getattr(corpus, part).tolist()]


def drawn_text(seed: int, n: int = 3000, v: int = 60) -> str:
    """Lines of words with Zipf's frequencies; some are empty."""
    rng = random.Random(seed)
    names = [f"w{i}" for i in range(v)]
    weights = [1 / (i + 1) for i in range(v)]
    lines, left = [], n
    while left > 0:
        size = min(left, rng.randrange(12))
        lines.append(" ".join(rng.choices(names, weights, k=size)))
        left -= size + 1
    return "\n".join(lines) + "\n"


def plainly(texts: dict[str, str], min_count: int | None, max_size: int | None, eos: str | None, limit: int | None):
    """What load should give, word by word: (words by rank, the parts as words)."""
    parts = {}
    for part, text in texts.items():
        found = []
        for line in text.removesuffix("\n").split("\n"):
            found += line.split() + ([eos] if eos else [])
        parts[part] = found[:limit] if part == "train" else found
    counts = Counter(parts["train"])  # in order of first appearance
    own = "<unk>" in counts
    if not own and any(word not in counts for part in ("valid", "test") for word in parts[part]):
        counts["<unk>"] = 0
    least = (1 if own else 2) if min_count is None else min_count
    kept = [w for w in counts if w != "<unk>" and counts[w] >= least]
    kept.sort(key=lambda w: -counts[w])
    left_out = len(kept) < len(counts) - ("<unk>" in counts)
    if max_size is not None and len(kept) + ("<unk>" in counts or left_out) > max_size:
        kept, left_out = kept[: max_size - 1], True
    if left_out:  # the unknown word comes behind the words of its count
        rest = sum(counts.values()) - sum(counts[w] for w in kept)
        kept.insert(next((i for i, w in enumerate(kept) if counts[w] < rest), len(kept)), "<unk>")
    else:
        kept = sorted(counts, key=lambda w: -counts[w])
    return kept, {p: [w if w in kept else "<unk>" for w in found] for p, found in parts.items()}


# ---- words


@given(
    seed=st.integers(0, 10_000),
    min_count=st.sampled_from([None, 1, 2, 5]),
    max_size=st.sampled_from([None, 2, 20, 60]),
    eos=st.sampled_from(["<eos>", None, "w1"]),
    limit=st.sampled_from([None, 1, 500]),
    own=st.booleans(),
)
def test_words_and_ids_are_those_of_plain_python(tmp_path_factory, seed, min_count, max_size, eos, limit, own):
    texts = {part: drawn_text(seed + i, 900) for i, part in enumerate(PARTS)}
    if own:
        texts["train"] = "<unk> " + texts["train"]
    path = folder(tmp_path_factory.mktemp("drawn"), *texts.values())
    expected, parts = plainly(texts, min_count, max_size, eos, limit)
    settings = {"min_count": min_count, "max_size": max_size, "eos": eos, "tokens": limit}
    if len(expected) < 2:
        with pytest.raises(ValueError, match="at least two"):
            quiet(path, cache=path / "cache", **settings)
        return
    corpus = quiet(path, cache=path / "cache", **settings)
    assert list(corpus.vocabulary.words) == expected
    for part in PARTS:
        assert words(corpus, part) == parts[part]
        assert corpus.n_words[part] == len(parts[part])


def test_a_corpus_by_hand(tmp_path):
    train = "the cat saw the dog\n\nthe dog saw\n"
    corpus = quiet(folder(tmp_path / "small", train, "the bird\n", "saw the cat"), min_count=1)
    assert corpus.vocabulary.words == ("the", "<eos>", "saw", "dog", "cat", "<unk>")
    assert corpus.vocabulary.counts.tolist() == [3, 3, 2, 2, 1, 0]
    assert corpus.vocabulary.order.tolist() == [0, 1, 2, 3, 4, 5]
    assert corpus.train.tolist() == [0, 4, 2, 0, 3, 1, 1, 0, 3, 2, 1]
    assert corpus.valid.tolist() == [0, 5, 1]  # a bird was never seen
    assert corpus.test.tolist() == [2, 0, 4, 1]  # the last line ends without its end
    assert corpus.train.dtype == np.int32 and not corpus.train.flags.writeable
    assert (corpus.unknown, corpus.eos, corpus.n_classes, corpus.name) == ("<unk>", "<eos>", 6, "small")
    assert (corpus.licence, corpus.source) == ("unknown", str(tmp_path / "small"))
    assert corpus.decode(corpus.train) == "the cat saw the dog\n\nthe dog saw\n"
    assert corpus.decode([]) == ""
    assert repr(corpus) == f"Corpus('small', V=6, train 11, valid 3, test 4, digest {corpus.digest[:12]})"
    with pytest.raises(ValueError, match="rank should be an integer from 0 to 5, got 6"):
        corpus.decode([6])


def test_words_seen_once_stand_for_those_never_seen(tmp_path):
    train = "a a b b c d\n" * 1 + "a b\n"
    by_default = quiet(folder(tmp_path / "x", train, "a e\n", "b\n"))
    assert by_default.vocabulary.words == ("a", "b", "<eos>", "<unk>")
    assert by_default.vocabulary.counts.tolist() == [3, 3, 2, 2]  # c and d
    # A text that has its own keeps its rare words.
    own = quiet(folder(tmp_path / "y", train + "<unk>\n", "a e\n", "b\n"))
    assert set(own.vocabulary.words) == {"a", "b", "c", "d", "<eos>", "<unk>"}
    assert own.vocabulary.counts[own.vocabulary.rank_of("<unk>")] == 1
    # Nothing rare and nothing unseen: no unknown word.
    assert quiet(folder(tmp_path / "z", "a b\na b\n")).unknown is None


def test_counts_are_of_the_train_part_that_is_kept(tmp_path):
    corpus = quiet(folder(tmp_path / "x", "a b\n" * 4 + "c c\n" * 9, "c\n"), tokens=7, min_count=1)
    assert words(corpus, "train") == ["a", "b", "<eos>", "a", "b", "<eos>", "a"]
    assert corpus.vocabulary.counts.tolist() == np.bincount(corpus.train, minlength=corpus.n_classes).tolist()
    assert words(corpus, "valid") == ["<unk>", "<eos>"]
    short = quiet(
        folder(tmp_path / "x", "a b\n" * 9, "a b\n" * 9, "a b\n" * 9), tokens=10**6, valid_tokens=2, test_tokens=4
    )
    assert [len(short.train), len(short.valid), len(short.test)] == [27, 2, 4]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ["The", "cat's", "x\u00a0y", "<eos>", "the", "end.", "<eos>"]),
        ({"lower": True}, ["the", "cat's", "x\u00a0y", "<eos>", "the", "end.", "<eos>"]),
        ({"eos": None}, ["The", "cat's", "x\u00a0y", "the", "end."]),
        ({"eos": "</s>"}, ["The", "cat's", "x\u00a0y", "</s>", "the", "end.", "</s>"]),
        ({"tokenizer": "words"}, ["The", "cat", "'", "s", "x", "y", "<eos>", "the", "end", ".", "<eos>"]),
        ({"tokenizer": lambda line: list(line[:3])}, ["T", "h", "e", "<eos>", "t", "h", "e", "<eos>"]),
        ({"tokenizer": lambda line: [], "eos": "!"}, None),
    ],
)
def test_settings(tmp_path, cache, settings, expected):
    text = "\ufeffThe\tcat's  x\u00a0y\r\nthe end."
    path = folder(tmp_path / "x", text, text, text)
    if expected is None:
        with pytest.raises(ValueError, match=r"at least two words, got .* leave only '!'"):
            quiet(path, min_count=1, **settings)
        return
    corpus = quiet(path, min_count=1, **settings)
    for part in PARTS:
        assert words(corpus, part) == expected
    if callable(settings.get("tokenizer")):
        assert not any(p.is_dir() for p in (cache / "encoded").iterdir())  # nothing could tell it from another


def test_a_word_equal_to_eos_is_a_line_end(tmp_path):
    corpus = quiet(folder(tmp_path / "x", "a <eos> b\na b\n", "b <eos>\n"), min_count=1)
    assert words(corpus, "train") == ["a", "<eos>", "b", "<eos>", "a", "b", "<eos>"]
    assert corpus.vocabulary.counts[corpus.vocabulary.rank_of("<eos>")] == 3


def test_pieces_of_a_long_text_make_no_difference(tmp_path, monkeypatch):
    text = drawn_text(3, 4000) + "x" * 50 + " " + "y " * 400 + "\n"
    path = folder(tmp_path / "x", text, text, text)
    once = quiet(path)
    monkeypatch.setattr("adasoft.textfiles.PIECE", 37)
    monkeypatch.setattr(encode, "_CHUNK", 11)
    monkeypatch.setattr(loading, "_CHUNK", 13)
    again = quiet(path, cache=tmp_path / "other")
    assert again.digest == once.digest
    monkeypatch.setattr(encode, "_LINES", 3)
    pieces = quiet(path, bpe=300, cache=tmp_path / "other")
    monkeypatch.undo()
    assert quiet(path, bpe=300, cache=tmp_path / "third").digest == pieces.digest


def test_large_parts_are_mapped(tmp_path, monkeypatch):
    path = folder(tmp_path / "x", drawn_text(0))
    inside = quiet(path)
    monkeypatch.setattr(loading, "_IN_MEMORY", 0)
    mapped = quiet(path)
    assert isinstance(mapped.train, np.memmap) and not isinstance(inside.train, np.memmap)
    assert mapped.digest == inside.digest and (mapped.train == inside.train).all()
    for (x, y), (u, v) in zip(Batches(mapped.train, 4, 5), Batches(inside.train, 4, 5), strict=True):
        assert (x == u).all() and (y == v).all()


def test_text_ids_agrees_with_the_vocabulary_and_with_load(tmp_path):
    text = drawn_text(1)
    file = tmp_path / "text.txt"
    file.write_text(text)
    vocabulary, ids = text_ids(file, min_count=1)
    whole = Vocabulary.from_text(file, eos="<eos>")
    assert vocabulary.words == whole.words and (vocabulary.counts == whole.counts).all()
    assert vocabulary.name == "text" and ids.dtype == np.int32
    assert (np.bincount(ids) == whole.counts).all()
    corpus = quiet(folder(tmp_path / "x", text, text, text), max_size=9, min_count=1)
    vocabulary, ids = text_ids(file, max_size=9, min_count=1)
    assert vocabulary.words == corpus.vocabulary.words and (ids == corpus.train).all()
    (tmp_path / "none").write_text("")
    with pytest.raises(ValueError, match="path should be a text with words in it"):
        text_ids(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=r"path should be a file, got .* does not exist"):
        text_ids(tmp_path / "nowhere")
    with pytest.raises(IsADirectoryError, match="path should be a file, got the folder"):
        text_ids(tmp_path)


# ---- files and folders


@pytest.mark.parametrize("ending", ["", ".txt", ".txt.gz", ".tokens.xz", ".raw.bz2"])
def test_parts_by_name_and_packing(tmp_path, ending):
    texts = {"train": drawn_text(0), "valid": drawn_text(1, 90), "test": drawn_text(2, 90)}
    plain = quiet(folder(tmp_path / "plain", *texts.values()))
    path = tmp_path / "packed"
    path.mkdir()
    (path / "README.md").write_text("not a part")
    packer = PACKERS[ending[ending.rfind(".") :] if ending.endswith(("gz", "xz", "bz2")) else ""]
    for name, part in (("wiki.train", "train"), ("validation", "valid"), ("my-test", "test")):
        with packer(path / f"{name}{ending}", "wb") as file:
            file.write(texts[part].encode())
    corpus = quiet(path)
    assert corpus.digest == plain.digest
    assert corpus.name == "packed"


def test_a_file_is_cut_by_position_at_line_ends(tmp_path):
    lines = [f"line {i} " + "x" * (i % 7) for i in range(400)]
    text = "\n".join(lines)
    file = tmp_path / "book.v2.txt"
    file.write_text(text)
    corpus = quiet(file, min_count=1)
    assert corpus.name == "book.v2"
    numbers = {p: [w for w in words(corpus, p) if w.isdigit()] for p in PARTS}
    # train ends with the line in which nine tenths of the characters are reached
    ends = np.cumsum([len(line) + 1 for line in lines])
    last = int(np.argmax(ends >= ends[-1] * 18 // 20))
    assert numbers["train"] == [str(j) for j in range(last + 1)]
    assert all(words(corpus, p)[-1] == "<eos>" for p in PARTS)
    total = sum(corpus.n_words[p] for p in PARTS)
    assert total == len(text.split()) + len(lines)  # nothing is lost
    share = corpus.n_words["test"] / total
    assert 0.04 < share < 0.06 and abs(corpus.n_words["valid"] - corpus.n_words["test"]) < 10


def test_one_long_line_is_cut_at_blanks(tmp_path):
    file = tmp_path / "line"
    file.write_text(" ".join(f"w{i % 50}" for i in range(2000)))
    corpus = quiet(file)
    joined = [w for p in PARTS for w in words(corpus, p)]
    # its only line end is in the test part, so train does not know it
    assert joined == [*(f"w{i % 50}" for i in range(2000)), "<unk>"] and corpus.eos is None
    assert 80 < len(corpus.valid) < 120 and 80 < len(corpus.test) < 120
    assert len(quiet(file, eos=None).test) == len(corpus.test) - 1


def test_a_folder_is_one_text_in_the_order_of_paths(tmp_path):
    path = tmp_path / "books"
    texts = {"a/2.txt": "a2 " * 300, "a/10.txt": "a10\n" * 300, "b.txt": "b " * 300, "a.txt": "first " * 300}
    for name, text in texts.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    (path / ".hidden").write_text("hidden " * 300)
    (path / ".git").mkdir()
    (path / ".git" / "x").write_text("hidden " * 300)
    corpus = quiet(path)
    joined = [w for p in PARTS for w in words(corpus, p)]
    order = list(dict.fromkeys(w for w in joined if w != "<eos>"))
    assert order == ["a10", "a2", "first", "b"]  # a/10.txt, a/2.txt, a.txt, b.txt
    assert joined[300 * 2 + 300] == "<eos>"  # each file ends its last line
    whole = tmp_path / "whole.txt"
    whole.write_text(
        "".join(texts[n] + "\n" * (texts[n][-1] != "\n") for n in ("a/10.txt", "a/2.txt", "a.txt", "b.txt"))
    )
    assert quiet(whole).digest == corpus.digest


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["train.txt", "test.txt"], "should have one for valid as well, got none"),
        (
            ["train.txt", "valid.txt", "test.txt", "train.txt.gz"],
            "well, got train.txt and train.txt.gz",
        ),
        ([], "holds no files"),
        ([".only-hidden"], "holds no files"),
    ],
)
def test_folders_that_are_refused(tmp_path, files, message):
    path = tmp_path / "x"
    path.mkdir()
    for name in files:
        (path / name).write_text("a b\n")
    with pytest.raises(ValueError, match=message):
        quiet(path)


def test_the_digest_is_of_words_and_ids(tmp_path):
    first = quiet(folder(tmp_path / "a", "a b\na b\n"))
    assert quiet(folder(tmp_path / "b", "a  b\r\na\tb")).digest == first.digest
    assert quiet(folder(tmp_path / "c", "a b\nb a\n")).digest != first.digest  # order
    assert quiet(folder(tmp_path / "d", "c b\nc b\n", "c b\n", "b c\n")).digest != first.digest  # a word
    assert quiet(folder(tmp_path / "e", "a b\na b\n", "a b b\n")).digest != first.digest
    expected = hashlib.sha256(json.dumps(["a", "b", "<eos>"]).encode())
    for ids in ([0, 1, 2, 0, 1, 2], [0, 1, 2], [1, 0, 2]):
        expected.update(f"\n{len(ids)}\n".encode() + np.array(ids, "<i4").tobytes())
    assert first.digest == expected.hexdigest()


# ---- bad input


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        (b"", {}, "too short"),
        (b"a b", {}, "too short"),
        (b"word " * 500, {"eos": None}, "at least two words, got .* leave only 'word'"),
        (b"\x00\x01\x02" * 500, {}, "is binary or not utf-8 text: byte 0 is NUL"),
        (b"good text\n" * 50 + b"caf\xe9\n" * 50, {}, r"is not utf-8 text: byte 503 cannot be decoded"),
        (gzip.compress(b"a b c\n" * 5000, mtime=0)[:-30], {}, "broken off or damaged"),
        (b"a b\n" * 500, {"tokens": 0}, "tokens should be an integer of at least 1, got 0"),
        (b"a b\n" * 500, {"max_size": 0}, "max_size should be an integer of at least 1"),
        (b"a b\n" * 500, {"eos": ""}, "eos should be a word without blanks, or None, got"),
        (b"a b\n" * 500, {"eos": "end of line"}, "eos should be a word without blanks, or None, got"),
        (b"a b\n" * 500, {"encoding": "utf-9"}, "encoding should be one that Python knows, got 'utf-9'"),
        (b"a b\n" * 500, {"tokenizer": "spaces"}, "tokenizer should be 'whitespace', 'words' or a function"),
        (b"a b\n" * 500, {"bpe": 257}, "bpe should be an integer of at least 258, got 257"),
        (b"a b\n" * 500, {"bpe": 300, "max_size": 9}, "max_size and a tokenizer of your own are for words"),
    ],
)
def test_bad_input(tmp_path, cache, content, settings, message):
    file = tmp_path / "text"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        quiet(file, **settings)
    left = [p for p in cache.rglob("*") if p.suffix != ".lock" and p.is_file()] if cache.exists() else []
    assert not left


def test_bad_types_and_sources(tmp_path):
    (tmp_path / "text").write_text("a b\n" * 99)
    with pytest.raises(ValueError, match=r"tokens should be an integer of at least 1, got 1\.5"):
        quiet(tmp_path / "text", tokens=1.5)
    with pytest.raises(ValueError, match="bpe should be an integer of at least 258, got True"):
        quiet(tmp_path / "text", bpe=True)
    with pytest.raises(TypeError, match="tokenizer should return a list of strings"):
        quiet(tmp_path / "text", tokenizer=lambda line: line)
    with pytest.raises(FileNotFoundError, match="a known corpus, got 'no-such-corpus'; known are docs, wiki"):
        quiet("no-such-corpus")
    with pytest.raises(ValueError, match=r"the test part of .* holds no tokens"):
        quiet(folder(tmp_path / "x", "a b\n", "a\n", ""))


def test_a_path_is_no_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    corpus = quiet(folder(tmp_path / "docs", "a b\na b\n"))
    for source in (Path("docs"), "./docs", os.path.join("docs", "")):
        assert quiet(source).digest == corpus.digest


def test_other_encodings(tmp_path):
    text = "šaty dělají člověka\n" * 50
    for encoding in ("utf-16", "cp1250", "utf-8-sig"):
        (tmp_path / encoding).write_bytes(text.encode(encoding))
    digests = {e: quiet(tmp_path / e, encoding=e).digest for e in ("utf-16", "cp1250", "utf-8-sig")}
    (tmp_path / "utf-8").write_text(text, encoding="utf-8")
    assert set(digests.values()) == {quiet(tmp_path / "utf-8").digest}


# ---- the cache


def test_the_second_time_the_text_is_not_encoded(tmp_path, monkeypatch, cache):
    path = folder(tmp_path / "x", drawn_text(0))
    first = quiet(path)
    with monkeypatch.context() as patch:
        patch.setattr(loading, "_encode", lambda *a: pytest.fail("encoded again"))
        second = quiet(path)
        assert second.digest == first.digest and second.vocabulary.words == first.vocabulary.words
        assert second.n_words == first.n_words and second.eos == first.eos and second.unknown == first.unknown
        with pytest.raises(pytest.fail.Exception, match="encoded again"):
            quiet(path, tokens=100)
    # A change is seen even if neither size nor date tell of it.
    before = (path / "train.txt").stat()
    (path / "train.txt").write_text((path / "train.txt").read_text().replace("w0", "u0"))
    os.utime(path / "train.txt", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path / "train.txt").stat().st_size == before.st_size
    assert "u0" in quiet(path).vocabulary.words
    assert not list(cache.rglob("*.part")) and not list(cache.rglob("*.raw"))


def encoded(cache: Path) -> Path:
    (found,) = (p for p in (cache / "encoded").iterdir() if p.is_dir())
    return found


@pytest.mark.parametrize("harm", ["cut ids", "other ids", "cut record", "other record", "no record", "no ids"])
def test_a_damaged_cache_is_made_again(tmp_path, cache, harm):
    path = folder(tmp_path / "x", drawn_text(0))
    first = quiet(path)
    ids, record = encoded(cache) / "train.npy", encoded(cache) / "corpus.json"
    if harm == "cut ids":
        ids.write_bytes(ids.read_bytes()[:-3])
    elif harm == "other ids":
        ids.write_bytes(ids.read_bytes()[:-4] + b"\x05\0\0\0")
    elif harm == "cut record":
        record.write_text(record.read_text()[:-9])
    elif harm == "other record":
        record.write_text(record.read_text().replace('"unknown"', '"Unknown"'))
    else:
        (record if harm == "no record" else ids).unlink()
    with pytest.warns(RuntimeWarning, match=r"is damaged \(.*\); making it again"):
        again = quiet(path)
    assert again.digest == first.digest
    assert quiet(path).digest == first.digest  # without a warning


def test_no_pickle_is_read(tmp_path, cache):
    path = folder(tmp_path / "x", drawn_text(0))
    quiet(path)
    np.save(encoded(cache) / "train.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.warns(RuntimeWarning, match="damaged"):
        quiet(path)


def test_what_a_killed_process_left_is_cleared(tmp_path, cache):
    path = folder(tmp_path / "x", drawn_text(0))
    first = quiet(path)
    at = encoded(cache)
    at.rename(at.with_name(at.name + ".part"))
    assert quiet(path).digest == first.digest
    assert not list(cache.rglob("*.part"))


def test_where_the_cache_cannot_be_written_a_text_is_not_kept(tmp_path, monkeypatch, packages):
    """In a folder that is none, as on a disk for reading only; a download is refused before anything is asked for."""
    (tmp_path / "file").write_text("")
    blocked = tmp_path / "file" / "cache"
    text = tmp_path / "text"
    text.write_text("a b c\n" * 200)
    monkeypatch.setattr(documentation, "installed", lambda: packages)
    for source in (text, "docs"):
        expected = quiet(source, cache=tmp_path / "kept")
        with pytest.warns(RuntimeWarning, match=r"not kept: .* cannot be written .*; name another folder"):
            corpus = quiet(source, cache=blocked)
        assert corpus.digest == expected.digest and corpus.train.tolist() == expected.train.tolist()
    with pytest.raises(OSError, match=r"cache should be a folder that can be written, got .*; name another folder"):
        quiet("wikitext-2", cache=blocked)


class Enough(Exception):
    pass


@pytest.mark.parametrize("settings", [{}, {"bpe": 300}], ids=str)
def test_a_function_is_told_how_far_it_is_and_can_stop_it(tmp_path, cache, settings):
    text = tmp_path / "text"
    text.write_text("some words of a text\n" * 100_000)
    told: list[tuple[str, int, int | None]] = []
    corpus = load(text, progress=lambda *now: told.append(now), cache=tmp_path / "whole", **settings)
    size = text.stat().st_size
    assert {total for _, _, total in told} == {size} and max(done for _, done, _ in told) == size
    names = list(dict.fromkeys(what for what, _, _ in told))
    assert names[0] == "text: where to cut it" and names[-3:] == ["text: train", "text: valid", "text: test"]
    assert told.count((names[0], 0, size)) == (4 if settings else 2)  # read twice, for pieces once more each
    assert len(told) > 3 * len(names)  # often enough for a button that stops it
    for name in names:

        def stop(what, done, _total, name=name):
            if what == name and done:
                raise Enough

        with pytest.raises(Enough):
            load(text, progress=stop, **settings)
        assert not [p for p in cache.rglob("*") if p.suffix != ".lock" and p.is_file()]
    assert quiet(text, **settings).digest == corpus.digest


@pytest.mark.parametrize("share", [0, 0.2, 0.6, 0.95])
def test_a_full_disk(tmp_path, monkeypatch, cache, share):
    path = folder(tmp_path / "x", drawn_text(0))
    with monkeypatch.context() as patch:
        limited(patch, 10**9)
        quiet(path, cache=tmp_path / "other")
        needed = 10**9 - FullDisk.room
        limited(patch, int(share * needed))
        with pytest.raises(OSError, match=r"cache: no room in .*ADASOFT_CACHE") as caught:
            quiet(path)
    assert caught.value.errno == errno.ENOSPC
    assert not [p for p in cache.rglob("*") if p.suffix != ".lock" and p.is_file()]
    assert (path / "train.txt").read_text() == drawn_text(0)
    assert len(quiet(path).train)


def test_processes_that_want_the_same_text_wait_for_one(tmp_path, cache):
    path = folder(tmp_path / "x", drawn_text(0, 200_000))
    code = (
        "import sys; from adasoft.corpora import load, loading\n"
        "real = loading._encode\n"
        "def told(*a): print('encoding'); real(*a)\n"
        "loading._encode = told\n"
        "print(load(sys.argv[1], progress=False).digest)"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    lines = [line for process in started for line in process.communicate(timeout=120)[0].split()]
    assert [process.returncode for process in started] == [0, 0, 0]
    assert lines.count("encoding") == 1 and len(set(lines)) == 2 and len(lines) == 4


# ---- byte-pair pieces


@pytest.mark.parametrize("eos", ["<eos>", None])
def test_pieces_stand_for_the_same_text(tmp_path, eos):
    texts = [drawn_text(0), "w1  w2 šaty\t<unk> ☃ w9999999\n\nw3\n", " naïve w1\n"]
    path = folder(tmp_path / "x", *texts)
    corpus = quiet(path, bpe=320, eos=eos)
    by_words = quiet(path, eos=eos)
    assert corpus.n_words == by_words.n_words == {p: len(getattr(by_words, p)) for p in PARTS}
    assert 256 < corpus.n_classes <= 320
    assert corpus.unknown is None and corpus.eos == eos
    assert corpus.vocabulary.order.tolist() == list(range(corpus.n_classes))
    assert corpus.vocabulary.counts.tolist() == np.bincount(corpus.train, minlength=corpus.n_classes).tolist()
    for part, text in zip(PARTS, texts, strict=True):
        lines = [" ".join(line.split()) for line in text.split("\n")]
        expected = "\n".join(lines) if eos else " ".join(filter(None, lines))
        assert corpus.decode(getattr(corpus, part)) == expected  # byte by byte, unseen letters too


def test_pieces_are_cut_by_words_too(tmp_path):
    path = folder(tmp_path / "x", drawn_text(0))
    for limit in (1, 2, 77, 500):
        by_words = quiet(path, tokens=limit, min_count=1)
        pieces = quiet(path, tokens=limit, bpe=300)
        assert pieces.n_words["train"] == by_words.n_words["train"] == limit
        assert pieces.decode(pieces.train) == by_words.decode(by_words.train)
    marks = folder(tmp_path / "z", "don't stop,  now.\n" * 9)
    pieces, by_words = quiet(marks, bpe=300, tokenizer="words"), quiet(marks, tokenizer="words")
    assert pieces.n_words == by_words.n_words
    assert pieces.decode(pieces.train) == by_words.decode(by_words.train) == "don ' t stop , now .\n" * 9
    lowered = quiet(folder(tmp_path / "y", drawn_text(0).upper()), bpe=300, lower=True)
    assert lowered.decode(lowered.train) == quiet(path, bpe=300).decode(quiet(path, bpe=300).train)


def test_pieces_are_the_same_each_time(tmp_path):
    text = "".join(random.Random(1).choices("abcdefgh     \n", k=40_000))
    path = folder(tmp_path / "x", text)
    digests = {quiet(path, bpe=600, cache=tmp_path / f"cache{i}").digest for i in range(3)}
    assert len(digests) == 1
    assert len(quiet(path, bpe=600).train) < len(quiet(path, bpe=300).train)


def test_pieces_without_the_library(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ImportError, match="bpe needs tokenizers, which is not installed: pip install"):
        quiet(folder(tmp_path / "x", "a b\n"), bpe=300)


# ---- batches


@given(st.integers(2, 400), st.integers(1, 9), st.integers(1, 12))
def test_every_token_is_a_target_once(n, batch_size, steps):
    ids = np.arange(100, 100 + n, dtype=np.int32)
    if n < batch_size * steps + 1:
        with pytest.raises(ValueError, match=f"one more than a batch of {batch_size} x {steps}, got {n:,}; lower"):
            Batches(ids, batch_size, steps)
        return
    batches = Batches(ids, batch_size, steps)
    windows = list(batches)
    assert len(windows) == len(batches)
    for i, (input_, target) in enumerate(windows):
        assert input_.dtype == target.dtype == np.int64
        assert input_.shape == target.shape
        assert input_.shape[0] == batch_size
        assert input_.shape[1] == steps or i == len(batches) - 1
        assert (target == input_ + 1).all()
        if i:  # each row goes on where it was
            assert (input_[:, 0] == windows[i - 1][1][:, -1]).all()
    rows = np.concatenate([target for _, target in windows], 1)
    assert rows.shape == (batch_size, batches.columns)
    assert rows.ravel().tolist() == ids[1 : batches.targets + 1].tolist()
    assert batches.targets + batches.trimmed == n - 1 and 0 <= batches.trimmed < batch_size
    for start in {0, 1, len(batches) // 2, len(batches)} & set(range(len(batches) + 1)):
        rest = list(batches.iterate(start))
        assert len(rest) == len(batches) - start
        for (a, b), (c, d) in zip(rest, windows[start:], strict=True):
            assert (a == c).all() and (b == d).all()


def test_batches_are_copies_and_refuse_nonsense():
    ids = np.arange(50, dtype=np.int32)
    batches = Batches(ids, 3, 4)
    batches[0][0][:] = -1
    assert batches[0][0][0, 0] == 0 and ids[0] == 0
    for window in (-1, len(batches)):
        with pytest.raises(IndexError, match="window should be from 0 to 3"):
            batches[window]
    for start in (-1, len(batches) + 1):
        with pytest.raises(ValueError, match="start should be an integer from 0 to 4"):
            batches.iterate(start)
    with pytest.raises(ValueError, match="batch_size should be an integer of at least 1"):
        Batches(ids, 0, 4)
    with pytest.raises(ValueError, match="steps should be an integer of at least 1"):
        Batches(ids, 3, 4.0)
    with pytest.raises(ValueError, match=r"ids should be integers of shape \(n,\), got int32 of shape \(5, 10\)"):
        Batches(ids.reshape(5, 10), 1, 1)
    with pytest.raises(ValueError, match=r"ids should be integers of shape \(n,\), got float64"):
        Batches(ids.astype(float), 1, 1)
    with pytest.raises(ValueError, match="ids should be at least 57 tokens, one more than a batch of 7 x 8, got 50"):
        Batches(ids, 7, 8)


# ---- corpora by name


def zipped(files: dict[str, str], how: int = zipfile.ZIP_DEFLATED) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", how) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return data.getvalue()


def tarred(files: dict[str, str]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
        link = tarfile.TarInfo("x/europarl-v7.cs-en.cs")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return data.getvalue()


def unpinned(monkeypatch, name: str, **changes) -> Known:
    """The entry without its checksums: the files of these tests are other ones."""
    known = replace(NAMES[name], files=tuple(File(file.url) for file in NAMES[name].files), **changes)
    monkeypatch.setitem(NAMES, name, known)
    return known


@pytest.fixture
def mirror(monkeypatch):
    with running(monkeypatch) as server:
        monkeypatch.setenv("ADASOFT_CORPORA", server.url + "/")
        yield server


def test_what_is_known():
    assert list(NAMES)[:5] == ["docs", "wikitext-2", "wikitext-103", "text8", "one-billion-word"]
    for name, known in NAMES.items():
        assert known.what and known.licence
        assert name == "docs" or set(known.parts) in ({"text"}, set(PARTS))
        assert len({file.url.rpartition("/")[2] for file in known.files}) == len(known.files)
        for file in known.files:
            assert file.url.startswith("http")
            assert file.sha256 is None or (len(file.sha256) == 64 and int(file.sha256, 16))
        for place in known.parts.values():
            assert place.file < len(known.files)
    paper = NAMES["text8"]
    assert paper.parts["train"][2:] == (0, 99_000_000) and paper.parts["test"][2:] == (99_000_000, 100_000_000)
    assert paper.parts["valid"] == paper.parts["test"]
    assert paper.min_count == 11 and not paper.lines
    sizes = {name: known.max_size for name, known in NAMES.items() if known.max_size}
    table = {"bg": 50_000, "cs": 83_000, "da": 128_000, "de": 143_000, "el": 100_000, "es": 87_000}
    assert sizes == {f"europarl-{language}": size for language, size in table.items()}


@pytest.mark.skipif(not DATA.is_dir(), reason="the corpora for development are not beside this checkout")
def test_the_checksums_of_wikitext_2_are_those_of_the_files():
    for file in NAMES["wikitext-2"].files:
        with lzma.open(DATA / "wikitext-2" / (file.url.rpartition("/")[2] + ".xz")) as packed:
            assert hashlib.sha256(packed.read()).hexdigest() == file.sha256


def test_files_by_name(mirror, monkeypatch, tmp_path, cache, capsys):
    texts = {part: drawn_text(i) for i, part in enumerate(PARTS)}
    for part, text in texts.items():
        mirror.files[f"/wikitext-2/{part}.txt"] = text.encode()
    with pytest.raises(ValueError, match="is not the file that was expected"):
        quiet("wikitext-2")
    unpinned(monkeypatch, "wikitext-2")
    capsys.readouterr()
    corpus = quiet("wikitext-2")
    said = capsys.readouterr().err
    assert "Licence: CC BY-SA 3.0" in said and f"{mirror.url}/wikitext-2/test.txt -> {cache / 'wikitext-2'}" in said
    assert corpus.digest == quiet(folder(tmp_path / "x", *texts.values())).digest
    assert (corpus.name, corpus.licence) == ("wikitext-2", "CC BY-SA 3.0 (text of Wikipedia)")
    assert corpus.source.startswith("https://raw.githubusercontent.com/")
    requests = len(mirror.log)
    assert quiet("wikitext-2").digest == corpus.digest and len(mirror.log) == requests
    assert capsys.readouterr().err == ""
    (cache / "wikitext-2" / "test.txt").write_text("changed")
    with pytest.raises(ValueError, match=r"test.txt has changed"):
        quiet("wikitext-2")


def test_the_licence_is_named_before_the_download(mirror, monkeypatch, capsys):
    unpinned(monkeypatch, "text8")
    with pytest.raises(FileNotFoundError, match="404"):
        quiet("text8")
    assert "Licence: GFDL and CC BY-SA" in capsys.readouterr().err


def test_a_zip_by_name(mirror, monkeypatch, tmp_path):
    texts = {part: drawn_text(i) for i, part in enumerate(PARTS)}
    files = {f"wikitext-103/wiki.{part}.tokens": text for part, text in texts.items()}
    mirror.files["/wikitext-103/wikitext-103-v1.zip"] = zipped({"wikitext-103/LICENSE": "x", **files})
    unpinned(monkeypatch, "wikitext-103")
    assert quiet("wikitext-103").digest == quiet(folder(tmp_path / "x", *texts.values())).digest
    pieces = quiet("wikitext-103", bpe=300)
    assert pieces.digest == quiet(tmp_path / "x", bpe=300).digest


def test_text8_is_cut_by_characters(mirror, monkeypatch):
    text = " " + " ".join(random.Random(0).choices(["one", "two", "three", "rare"], [10, 5, 5, 0.05], k=2000))
    mirror.files["/text8/text8.zip"] = zipped({"text8": text})
    cut = len(text) - 1000
    places = {
        part: place._replace(start=place.start and cut, stop=cut if part == "train" else len(text))
        for part, place in NAMES["text8"].parts.items()
    }
    unpinned(monkeypatch, "text8", parts=places)
    corpus = quiet("text8")
    assert corpus.eos is None
    train = text[:cut].split()
    counts = Counter(train)
    kept = {word for word in counts if counts[word] > 10}
    assert set(corpus.vocabulary.words) == kept | {"<unk>"}
    assert words(corpus, "train") == [word if word in kept else "<unk>" for word in train]
    assert words(corpus, "test") == words(corpus, "valid") == [w if w in kept else "<unk>" for w in text[cut:].split()]


def test_a_tar_by_name_and_members_that_lead_out_of_it(mirror, monkeypatch, tmp_path, cache):
    text = "Ahoj, světe!\nDruhá věta.\n" * 60
    mirror.files["/europarl-cs/cs-en.tgz"] = tarred(
        {"../../../europarl-v7.cs-en.en": "no", "europarl-v7.cs-en.cs": text, "/tmp/../europarl-v7.cs-en.de": "no"}
    )
    unpinned(monkeypatch, "europarl-cs")
    corpus = quiet("europarl-cs")
    assert [w for p in PARTS for w in words(corpus, p)][:9] == [
        "Ahoj",
        ",",
        "světe",
        "!",
        "<eos>",
        "Druhá",
        "věta",
        ".",
        "<eos>",
    ]
    assert sum(corpus.n_words.values()) == 60 * 9
    # nothing of the archive is written anywhere
    written = {p.name for p in tmp_path.rglob("*") if p.is_file() and "encoded" not in p.parts}
    assert written == {"cs-en.tgz", "cs-en.tgz.json", "cs-en.tgz.lock"}


def test_many_members_of_a_tar(mirror, monkeypatch):
    name = "1-billion-word-language-modeling-benchmark-r13output"
    shards = {
        f"{name}/training-monolingual.tokenized.shuffled/news.en-000{i:02}-of-00100": f"t{i} x\n" * 5 for i in (1, 2, 9)
    }
    held = {
        f"{name}/heldout-monolingual.tokenized.shuffled/news.en.heldout-000{i:02}-of-00050": f"t{i + 1} x\n"
        for i in range(3)
    }
    mirror.files[f"/one-billion-word/{name}.tar.gz"] = tarred({f"{name}/README": "x", **held, **shards})
    unpinned(monkeypatch, "one-billion-word")
    corpus = quiet("one-billion-word")
    assert corpus.decode(corpus.train) == "t1 x\n" * 5 + "t2 x\n" * 5 + "t9 x\n" * 5
    assert corpus.decode(corpus.test) == "t1 x\n" and corpus.decode(corpus.valid) == "t2 x\n"


@pytest.mark.parametrize("harm", ["cut", "changed", "checksum", "not an archive", "other members"])
@pytest.mark.parametrize("name", ["wikitext-103", "europarl-cs"])
def test_damaged_archives(mirror, monkeypatch, cache, name, harm):
    unpinned(monkeypatch, name)
    text = "".join(random.Random(0).choices("abc \n", k=200_000))
    if name == "wikitext-103":
        data = zipped({f"wiki.{part}.tokens": text for part in PARTS})
    else:
        data = tarred({"europarl-v7.cs-en.cs": text})
    if harm == "cut":
        data = data[: len(data) // 2]
    elif harm == "changed":
        data = data[:20_000] + bytes(64) + data[20_064:]
    elif harm == "checksum":  # readable to the end, and yet not what was packed
        if name == "wikitext-103":
            data = zipped({f"wiki.{part}.tokens": "cat " * 99 for part in PARTS}, zipfile.ZIP_STORED).replace(
                b"cat", b"dog"
            )
        else:
            data = data[:-8] + bytes(4) + data[-4:]
    elif harm == "not an archive":
        data = b"<html>Please log in</html>"
    else:
        data = zipped({"else": "a"}) if name == "wikitext-103" else tarred({"else": "a"})
    path = NAMES[name].files[0].url.rpartition("/")[2]
    mirror.files[f"/{name}/{path}"] = data
    expected = "holds no file" if harm == "other members" else "is damaged or broken off|cannot be decoded|is binary"
    with pytest.raises(ValueError, match=expected) as caught:
        quiet(name)
    assert path in str(caught.value)
    assert not [p for p in (cache / "encoded").iterdir() if p.is_dir()]


# ---- the documentation of installed packages


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """A root that needs two packages here, one of them only for its tests; the first needs a third."""
    site = tmp_path / "site"

    def package(name: str, version: str, needs: list[str], files: dict[str, str], description: str = "") -> None:
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        head = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}", *(f"Requires-Dist: {n}" for n in needs)]
        (info / "METADATA").write_text("\n".join(head) + f"\n\n{description}", encoding="utf-8")
        for path, text in files.items():
            (site / path).parent.mkdir(parents=True, exist_ok=True)
            (site / path).write_text(text, encoding="utf-8")
        rows = [*files, f"{info.name}/METADATA", "missing/file.py"]
        (info / "RECORD").write_text("".join(f"{row},,\n" for row in rows))

    many = {
        f"alpha/m{i}.py": f'"""Module number {i} does {word} things to {word} words."""\nraise SystemExit\n'
        for i, word in enumerate(f"{a}{b}" for a in "bdfgk" for b in ("ab", "ec", "id", "of", "ug", "an", "en", "in"))
    }
    files = many | {
        "alpha/__init__.py": (
            '"""Alpha makes good words.\n\nSee :class:`alpha.Beta` for it isn\'t 3.14 or 10,000 things.\n\n'
            '----------\n\n>>> from alpha import words, lines, things\n>>> words(3)\n[1, 2, 3]\n"""\n'
            "class Beta:\n    '''A class of many good things.'''\n"
            '    def f(self):\n        """Does it with great care."""\n'
            "        x = '''not a docstring at all here'''\n"
            "if True:\n    try:\n        def g():\n            'These marks are single ones too.'\n"
            "    finally:\n        pass\n"
            "add_docstr(g, r'''\nThe added text of a builtin function.\n''')\n"
        ),
        "alpha/again.py": '"""Alpha makes good words."""\n',
        "alpha/tests/test_x.py": '"""Tests are left out of it all."""\n',
        "alpha/broken.py": '"""This cannot be parsed at all."""\ndef :\n',
        "alpha/README.rst": "Readme\n======\n\nThe readme says some more words.\n",
        "alpha/words.txt": "a list of words that is data\n",
    }
    package("alpha", "1.0", ["gamma >= 1"], files, "The description tells of many things.")
    package("Beta.Tools", "2", [], {"beta.py": '"""Only needed for the tests of root."""\n'})
    package("gamma", "3", [], {"gamma.py": '"""Gamma is what alpha needs to work."""\n'})
    needs = ["alpha", 'beta-tools; extra == "test"', 'delta; extra == "notebooks"', 'zeta; python_version < "3"']
    package("root", "0", needs, {"root.py": '"""The root says many things itself."""\n'})
    monkeypatch.syspath_prepend(str(site))
    return documentation.installed("root")


def test_the_packages_that_count(packages):
    assert list(packages) == ["alpha", "gamma"]
    assert list(documentation.installed("root", "test")) == ["alpha", "beta-tools", "gamma"]
    with pytest.raises(ValueError, match="docs: no-such-root is not installed"):
        documentation.installed("no-such-root")
    with pytest.raises(ValueError, match="none of the packages that gamma needs is installed"):
        documentation.installed("gamma")


def test_what_they_say(packages, monkeypatch):
    found = documentation.documents(packages)
    assert [d.label for d in found] != sorted(d.label for d in found)  # mixed
    texts = {document.label: document.texts() for document in found}
    assert "alpha" not in sys.modules  # nothing is imported
    assert "alpha/alpha/tests/test_x.py" not in texts and "alpha/alpha/words.txt" not in texts
    assert texts["alpha/METADATA"] == ["The description tells of many things."]
    assert texts["alpha/missing/file.py"] == texts["alpha/alpha/broken.py"] == []
    assert texts["gamma/gamma.py"] == ["Gamma is what alpha needs to work."]
    seen: set[bytes] = set()
    assert list(documentation.sentences(texts["alpha/alpha/__init__.py"], seen)) == [
        "alpha makes good words .",
        "see alpha . beta for it isn 't N or N things .",
        "from alpha import words , lines , things words ( N )",
        "a class of many good things .",
        "does it with great care .",
        "these marks are single ones too .",
        "the added text of a builtin function .",
    ]
    assert list(documentation.sentences(texts["alpha/alpha/again.py"], seen)) == []  # said before
    assert list(documentation.sentences(texts["alpha/alpha/README.rst"], seen)) == ["the readme says some more words ."]


def test_what_is_no_text_and_what_was_said_before():
    def kept(*blocks: str) -> list[str]:
        return list(documentation.sentences(["\n\n".join(blocks)], set()))

    assert kept("1 2 3 4 5", "x = [1, 2, 3]", "Parameters", "+---+---+---+") == []
    first = "The 'color' property is an instance of plotly.graph_objs.bar.Color\nthat may be specified as a dict"
    assert len(kept(first, first.replace("color", "font").replace("bar.Color", "box.Font"))) == 1
    assert len(kept(first, first.replace("dict", "tuple of numbers"))) == 1  # half of its lines
    assert len(kept(first, first.replace("an instance", "no instance").replace("dict", "tuple of numbers"))) == 2


def test_docs(packages, monkeypatch, cache):
    monkeypatch.setattr(documentation, "installed", lambda: packages)
    corpus = quiet("docs", min_count=1)
    assert corpus.name == "docs" and corpus.licence.startswith("each package's own")
    assert corpus.source.startswith("documentation of 2 installed packages")
    everything = "\n".join(corpus.decode(getattr(corpus, part)) for part in PARTS)
    for said in (
        "gamma is what alpha needs to work .",
        "the description tells of many things .",
        "does it with great care .",
    ):
        assert everything.count(said) == 1
    assert "root" not in everything and "tests" not in everything
    assert NAMES["docs"].min_count == 2 and quiet("docs").n_classes < corpus.n_classes
    with monkeypatch.context() as patch:
        patch.setattr(documentation, "gather", lambda *a: pytest.fail("gathered again"))
        assert quiet("docs", min_count=1).digest == corpus.digest
    (texts,) = (p for p in (cache / "docs").iterdir() if p.is_dir())
    before = {p.name: p.read_bytes() for p in texts.iterdir()}
    (texts / "valid.txt.gz").write_bytes(before["valid.txt.gz"][:-1])
    with pytest.warns(RuntimeWarning, match=r"valid.txt.gz does not match its checksum\); making it again"):
        assert quiet("docs", min_count=1).digest == corpus.digest
    assert {p.name: p.read_bytes() for p in texts.iterdir()} == before  # byte by byte


@pytest.mark.long
def test_docs_of_this_environment():
    began, busy = time.perf_counter(), time.process_time()
    corpus = quiet("docs")
    seconds, busy = time.perf_counter() - began, time.process_time() - busy
    print(corpus, f"{seconds:.0f} s, {busy:.0f} s of one core")
    assert busy < 60
    assert 2_000_000 < sum(corpus.n_words.values()) < 10_000_000
    assert 20_000 < corpus.n_classes < 80_000
    assert all(0.02 < corpus.n_words[p] / corpus.n_words["train"] < 0.12 for p in ("valid", "test"))
    unknown = corpus.vocabulary.rank_of("<unk>")
    assert (corpus.test == unknown).mean() < 0.05


def test_the_package_loads_no_library_before_it_is_used():
    code = (
        "import sys, adasoft.corpora\n"
        "print([m for m in ('torch', 'tokenizers', 'requests', 'filelock', 'packaging', 'tqdm') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
    assert Place().file == 0 and set(corpora.__all__) == {"NAMES", "Batches", "Corpus", "Known", "load", "text_ids"}
