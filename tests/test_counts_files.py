"""Files of counts in the forms that people have, damaged ones, and texts that only look like them; their encodings."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import json
import lzma
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adasoft import cli
from adasoft.cli.training_options import command_of, corpus_of, settings_of
from adasoft.cli.words import words_with_line_ends
from adasoft.corpora import load, text_ids
from adasoft.corpora.sources import beginning
from adasoft.vocabulary import Vocabulary

WORDS = ["the", "of", "1999", "don't", ".", "naïve", "ženy", "x-y", "<unk>", "#", "=", "a.b", "50%", "हिन्दी", "Q"]
COUNTS = [900, 800, 70, 60, 55, 50, 40, 33, 22, 10, 5, 4, 3, 2, 1]


def quoted(*cells: object, delimiter: str = ",") -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="").writerow(cells)
    return out.getvalue()


FORMS = {
    "word TAB count": lambda word, n: f"{word}\t{n}",
    "count TAB word": lambda word, n: f"{n}\t{word}",
    "word blank count": lambda word, n: f"{word} {n}",
    "columns": lambda word, n: f"{word:12} {n:8}",
    "sort | uniq -c": lambda word, n: f"{n:>7} {word}",
    "count blank word": lambda word, n: f"{n} {word}",
    "word, count": lambda word, n: quoted(word, n),
    "word, blank, count": lambda word, n: quoted(word, "") + f" {n}",
    "count, word": lambda word, n: quoted(n, word),
    "word; count": lambda word, n: quoted(word, n, delimiter=";"),
    "count; word": lambda word, n: quoted(n, word, delimiter=";"),
}
OPENERS = {"": open, "gz": gzip.open, "xz": lzma.open, "bz2": bz2.open}


def written(path: Path, content: str | bytes, opener=open, encoding: str = "utf-8") -> Path:
    with opener(path, "wb") as file:
        file.write(content if isinstance(content, bytes) else content.encode(encoding))
    return path


def rows(form: str, words=WORDS, counts=COUNTS) -> str:
    return "".join(FORMS[form](word, n) + "\n" for word, n in zip(words, counts, strict=True))


def as_dict(vocabulary: Vocabulary) -> dict[str, float]:
    return dict(zip(vocabulary.words, vocabulary.counts.tolist(), strict=True))


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path / "cache"))


# ---- forms that are read


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_read_as_counts(tmp_path, form):
    path = written(tmp_path / "counts", rows(form))
    for vocabulary in (Vocabulary.read(path), Vocabulary.from_counts_file(path), Vocabulary.read(path, kind="counts")):
        assert vocabulary.words == tuple(WORDS) and vocabulary.counts.tolist() == COUNTS
        assert vocabulary.order.tolist() == list(range(len(WORDS)))  # ids follow the lines


word_texts = st.from_regex(r"[a-zé][a-zé.'-]{0,5}[a-zé]?|[.,;!?\"#=]", fullmatch=True)


@given(
    table=st.dictionaries(word_texts, st.integers(0, 10**6) | st.floats(0, 1e9), min_size=1, max_size=30).filter(
        lambda table: any(table.values()) and list(table.values())[:2] not in ([0, 1], [1, 2])
    ),
    form=st.sampled_from(sorted(set(FORMS) - {"columns"})),
    packing=st.sampled_from(sorted(OPENERS)),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
    end=st.sampled_from(["\n", "\r\n", "\n\n", "\r"]),
    last=st.booleans(),
)
def test_drawn_tables_in_each_form(tmp_path_factory, table, form, packing, encoding, end, last):
    if "uniq" in form:
        table = {word: int(n) for word, n in table.items()}
    if not any(table.values()):
        return
    # A majority of plain words, as files have; else "., 5" may be a comma's count or a word's.
    table = {**{f"word{'abc'[i]}": 7 for i in range(3)}, **{f"w{i}q": 8 + i % 3 for i in range(len(table))}, **table}
    text = end.join(FORMS[form](word, n) for word, n in table.items()) + end * last
    path = written(tmp_path_factory.mktemp("drawn") / "counts", text, OPENERS[packing], encoding)
    vocabulary = Vocabulary.read(path)
    assert as_dict(vocabulary) == {word: float(n) if isinstance(n, float) else n for word, n in table.items()}
    assert [vocabulary.id_of(word) for word in table] == list(range(len(table)))


def test_numbers_counted_by_numbers(tmp_path):
    ids = {"17": 900, "3": 41, "8": 40, "12": 3}
    for form in ("word TAB count", "word blank count", "word, count", "word; count", "sort | uniq -c"):
        path = written(tmp_path / "counts", rows(form, list(ids), ids.values()))
        assert as_dict(Vocabulary.read(path)) == ids, form


def test_n_grams_with_a_tab(tmp_path):
    path = written(tmp_path / "counts", "at the end of the\t9\none of the most of\t7\nthe\t2\n")
    assert Vocabulary.read(path).words == ("at the end of the", "one of the most of", "the")


def test_exponents_and_fractions(tmp_path):
    path = written(tmp_path / "counts", "a 1e3\nb 3.5\nc .5\nd 2.\n")
    assert as_dict(Vocabulary.read(path)) == {"a": 1000.0, "b": 3.5, "c": 0.5, "d": 2.0}


def test_lines_of_old_macs_and_quotes_behind_blanks(tmp_path):
    assert as_dict(Vocabulary.read(written(tmp_path / "mac", "the\t5\rof\t3\r"))) == {"the": 5, "of": 3}
    quotes = written(tmp_path / "quotes", '5, "x,y"\n3, the\n2, """"\n')
    assert as_dict(Vocabulary.read(quotes)) == {"x,y": 5, "the": 3, '"': 2}


def test_a_delimiter_of_ones_own(tmp_path):
    path = written(tmp_path / "counts", "a::5\nb::3\n")
    assert as_dict(Vocabulary.read(path, delimiter="::")) == {"a": 5, "b": 3}
    assert as_dict(Vocabulary.from_counts_file(path, delimiter="::")) == {"a": 5, "b": 3}
    first = written(tmp_path / "first", "5::a\n3::b\n")
    assert as_dict(Vocabulary.from_counts_file(first, delimiter="::")) == {"a": 5, "b": 3}


# ---- lines that are none


@given(form=st.sampled_from(sorted(FORMS)), place=st.integers(0, len(WORDS)), junk=st.sampled_from(range(4)))
def test_one_bad_line_anywhere_is_named(tmp_path_factory, form, place, junk):
    bad = ["oops", "this is no row of counts at all", FORMS[form]("again", "many"), FORMS[form](WORDS[0], 3)][junk]
    lines = rows(form).splitlines()
    if junk == 3 and place == 0:
        place = 1  # the second of two rows is the one that is refused
    lines.insert(place, bad)
    path = written(tmp_path_factory.mktemp("bad") / "counts", "\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=rf"counts, line {place + 1} should be .*, got ") as refused:
        Vocabulary.read(path)
    assert str(refused.value).endswith("if this is a text, give kind='text'")
    with pytest.raises(ValueError, match=rf"counts, line {place + 1} should be "):
        Vocabulary.from_counts_file(path)
    assert len(Vocabulary.read(path, kind="text")) > 0


def test_a_bad_line_behind_the_beginning(tmp_path):
    lines = [f"word{i} {i % 7 + 1}" for i in range(60_000)]  # beyond the lines, and the block, that decide
    lines[-1] = "word word word"
    with pytest.raises(ValueError, match=r"line 60000 should be a word, blanks and a count, got 'word word word'"):
        Vocabulary.read(written(tmp_path / "counts", "\n".join(lines)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("word,count\nthe,5\nof,3\n", r"line 1 should be a word, a comma and a count .*'word,count'; remove the line"),
        ("# by me\nthe\t5\nof\t3\na\t2\n", r"line 1 should be a word, a tab and a count, got '# by me'; remove"),
        ("     12 \n      5 the\n      3 of\n", r"line 1 should be a count, blanks and a word, got '     12 '"),
        ("the\t1,000\nof\t900\na\t7\n", r"line 1 should be .* \(a number without separators\), got 'the\\t1,000'"),
        ("the 1,000\nof 1,900\na 7\n", r"line 1 should be a word, blanks and a count \(a number.*'the 1,000'"),
        ("the;3,5\nof;2,5\n", r"line 1 should be a word, a semicolon and a count \(a number"),
        ("the\t5%\nof\t4%\n", r"line 1 should be .*\(a number without separators\), got 'the\\t5%'"),
        ("the\t١٢\nof\t٣\n", r"line 1 should be .*\(a number without separators\)"),
        ("<unk>\t0\n▁the\t-3.25\n▁of\t-3.5\n", r"line 2: the count of '▁the' should be .*, got -3.25; logarithms"),
        ("the 5\nof 3\nthe 2\n", r"line 3 should be of another word, got 'the', which is in line 1 already"),
        ("the: 5\nof: 3\n", r"should be a word and a count with a tab, blanks, a .* got 'of: 3' in line 2"),
        ("the=5\nof=3\n", r"looks like counts.* got 'of=3' in line 2"),
        ("the|5\nof|3\n", r"looks like counts.* got 'of\|3' in line 2"),
        ("the -> 5\nof -> 3\n", r"looks like counts.* got 'of -> 3' in line 2"),
        ("1\tthe\t5\n2\tof\t3\n", r"looks like counts.* got '2\\tof\\t3' in line 2"),
        ("the\tDT\t5\nof\tIN\t3\n", r"looks like counts.* got 'of\\tIN\\t3' in line 2"),
        ("5\t3\t'the'\n4\t2\t'of'\n", r"looks like counts.* got \"4\\t2\\t'of'\" in line 2"),
        ('"1" "the" 5\n"2" "of" 3\n', r"looks like counts"),
        ("      5 of the\n      3 in the\n", r"looks like counts.* got '      3 in the' in line 2"),
        ("at the end of the: 5\none of the most of: 3\n", r"looks like counts"),
        ("500\n300\n", r"looks like counts.* got '300' in line 2"),
        ("\\data\\\nngram 1=3\n\n\\1-grams:\n-1.2\tthe\t-.3\n-2.1\tof\t-.1\n-3\ta\t0\n-4\tb\t0\n", "looks like counts"),
        (json.dumps({"the": 5, "of": 3}), r"got '\{\"the\": 5, \"of\": 3\}' in line 1; Vocabulary takes what json"),
        (json.dumps({"the": 5, "of": 3}, indent=1), "looks like counts.*json.load"),
        (json.dumps([["the", 5], ["of", 3]]), "looks like counts.*json.load"),
        (str({"the": 5, "of": 3}), "looks like counts"),
        (
            "".join(f"{w}\t{i}\n" for i, w in enumerate(WORDS)),
            r"should hold a count for each word, got 0, 1, 2 \.\.\., wh",
        ),
        ("".join(f"{i} {w}\n" for i, w in enumerate(WORDS, 1)), r"got 1, 2, 3 \.\.\., which number the words"),
        (
            "x" * 300 + "y z\nthe 5\nof 3\n",
            r"line 1 should be a word, blanks and a count \(a number .*\), got 'x{59}…'",
        ),
    ],
)
def test_other_forms_are_refused_with_the_line(tmp_path, content, message):
    path = written(tmp_path / "counts", content)
    with pytest.raises(ValueError, match=message) as refused:
        Vocabulary.read(path)
    assert "if this is a text, give kind='text'" in str(refused.value)
    assert Vocabulary.read(path, kind="text").total > 0  # the way out is one


def test_nine_numbered_words_may_be_counts(tmp_path):
    nine = written(tmp_path / "counts", "".join(f"w{'abcdefghi'[i]}\t{i + 1}\n" for i in range(9)))
    assert Vocabulary.read(nine).total == 45
    ten = written(tmp_path / "ten", "".join(f"w{'abcdefghij'[i]}\t{i + 1 + (i == 9)}\n" for i in range(10)))
    assert Vocabulary.read(ten).total == 56


# ---- texts that hold numbers and tabs


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"{i}\tThe cat number {i} sat on the old mat.\tLe chat {i} est assis.\n" for i in range(9)),
        "".join(f"{i}\tThe cat sat.\n" for i in range(9)),
        "".join(f"The cat sat!\t{i % 2}\n" for i in range(9)),
        "".join(f"this film was not very good at all\t{i % 2}\n" for i in range(9)),
        "In 1914\nwe went to war\nand in 1918\nwe came home again\nall 12 of us\n",
        "We counted the words of two books\nand found the following counts\nthe 5\nof 4\nand 3\nas everybody sees\n",
        "".join(f"{i}. The cat slept\n" for i in range(9)),
        "".join(f"{i} In the beginning was the word, verse {i}\n" for i in range(9)),
        "Chapter 1\nIt was a dark night.\nThe end.\nChapter 2\nIt was a dark day.\nThe end.\n",
        "\n".join(WORDS),
        "the 5\nof course\n",  # half of the lines are not more than half
        "Tyger Tyger, burning bright,\nIn the forests of the night;\n",
        "2024-01-01 12:00:03 INFO started\n2024-01-01 12:00:04 INFO stopped\n",
        "[1] a note\n[a] another, 5 lines long\nthe end\n",
        "a single line of 12 words",
        "x = 5;\nfor (i = 0; i < n; i++) {\n  y += x;\n  call(y, 17);\n}\nreturn y;\n",
    ],
)
def test_texts_stay_texts(tmp_path, text):
    path = written(tmp_path / "text", text)
    found, expected = Vocabulary.read(path), Vocabulary.from_tokens(text.split())
    assert as_dict(found) == as_dict(expected)


def test_what_decides_is_more_than_half_of_the_lines(tmp_path):
    prose = ["a line of prose that has no number at its end"] * 500
    for more, text in ((0, True), (1, False)):
        table = [f"word{i} {i % 7 + 1}" for i in range(500 + more)]
        path = written(tmp_path / "mixed", "\n".join(prose[: 500 - more] + table))
        if text:
            assert "prose" in Vocabulary.read(path).words
        else:
            with pytest.raises(ValueError, match="line 1 should be a word, blanks and a count"):
                Vocabulary.read(path)


def test_the_kind_can_be_said(tmp_path):
    path = written(tmp_path / "f", "Chapter 1\nPart 2\n")
    assert as_dict(Vocabulary.read(path)) == {"Chapter": 1, "Part": 2}
    assert Vocabulary.read(path, kind="text", eos="</s>").words == ("</s>", "Chapter", "1", "Part", "2")
    with pytest.raises(ValueError, match="kind should be 'counts', 'text' or None, got 'words'"):
        Vocabulary.read(path, kind="words")
    with pytest.raises(TypeError, match=r"eos should be left out for .*, which looks like counts; .* give kind='text'"):
        Vocabulary.read(path, eos="</s>")
    with pytest.raises(TypeError, match=r"delimiter should be left out for .* looks like text; .*kind='counts'"):
        Vocabulary.read(path, kind="text", delimiter=",")
    prose = written(tmp_path / "prose", "some words\nof prose\n")
    with pytest.raises(
        ValueError, match=r"line 1 should be a word, a tab and a count, got 'some words'; remove the line"
    ):
        Vocabulary.read(prose, kind="counts")


# ---- where a text is wanted


@pytest.mark.parametrize("form", FORMS)
def test_corpora_refuse_counts(tmp_path, form):
    path = written(tmp_path / "counts", rows(form))
    for read in (lambda **how: load(path, progress=False, **how), lambda **how: text_ids(path, **how)):
        with pytest.raises(ValueError, match=r"source: .*counts should be a text, got a file of counts, with the row "):
            read()
        with pytest.raises(ValueError, match="should be a text"):
            read(tokenizer="words")
    assert text_ids(path, tokenizer=str.split, min_count=1)[0].n_classes > len(WORDS)  # the way out


def test_the_command_line(tmp_path, capsys):
    plans = {}
    table = {f"w{i}x": 5000 // (i + 1) for i in range(300)}
    for form in ("word TAB count", "sort | uniq -c"):
        path = written(tmp_path / "counts", rows(form, table, table.values()))
        assert cli.main(["plan", str(path), "--tails", "1", "-d", "32", "--json", "-"]) == 0
        plans[form] = json.loads(capsys.readouterr().out)
        assert as_dict(words_with_line_ends(str(path), "utf-8")) == table
    assert plans["word TAB count"] == plans["sort | uniq -c"] and plans["word TAB count"]["n_classes"] == 300
    path = written(tmp_path / "counts", rows("word TAB count", table, table.values()), encoding="utf-16-le")
    assert cli.main(["plan", str(path), "--tails", "1", "--json", "-"]) != 0
    assert "give encoding='utf-16-le'" in capsys.readouterr().err
    for more, n in (([], 300), (["--kind", "text"], 300 + len(set(table.values())))):
        assert cli.main(["plan", str(path), "--tails", "1", "--json", "-", "--encoding", "utf-16-le", *more]) == 0
        assert json.loads(capsys.readouterr().out)["n_classes"] == n
    text = written(tmp_path / "text", "žluťoučký kůň\n" * 40, encoding="cp1250")
    options = cli.parser().parse_args(["train", "--corpus", str(text), "--encoding", "cp1250"])
    assert "kůň" in corpus_of(options).vocabulary.words
    assert "--encoding cp1250" in command_of(options, settings_of(options))
    options = cli.parser().parse_args(["train", "--corpus", str(text)])
    assert "--encoding" not in command_of(options, settings_of(options))


# ---- encodings


MARKED = {
    "utf-8": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}


@pytest.mark.parametrize("given_encoding", ["utf-8", "latin-1", "utf-16", "cp1250"])
@pytest.mark.parametrize("encoding", MARKED)
def test_a_byte_order_mark_is_obeyed_everywhere(tmp_path, encoding, given_encoding):
    text = "žluťoučký kůň 🙂\n" * 40
    for opener in (open, gzip.open):
        path = written(tmp_path / "text", MARKED[encoding] + text.encode(encoding), opener)
        expected = {"žluťoučký": 40, "kůň": 40, "🙂": 40}
        for read in (Vocabulary.read, Vocabulary.from_text):
            assert as_dict(read(path, encoding=given_encoding)) == expected
        assert text_ids(path, encoding=given_encoding, eos=None)[0].words == tuple(expected)
        corpus = load(path, encoding=given_encoding, eos=None, progress=False, cache=tmp_path / opener.__module__)
        assert corpus.vocabulary.words == tuple(expected)
        assert beginning(path, 5, given_encoding).startswith("žluťoučký")
        counts = written(tmp_path / "counts", MARKED[encoding] + "kůň\t5\nž\t3\n".encode(encoding), opener)
        for read in (Vocabulary.read, Vocabulary.from_counts_file):
            assert as_dict(read(counts, encoding=given_encoding)) == {"kůň": 5, "ž": 3}


@pytest.mark.parametrize("block", [1, 2, 3, 5, 64])
def test_blocks_end_anywhere(tmp_path, monkeypatch, block):
    import adasoft.textfiles as module

    text = "žluť\tkůň 🙂\r\n\n a\n" * 9
    paths = [written(tmp_path / e, MARKED[e] + text.encode(e)) for e in MARKED]
    whole = as_dict(Vocabulary.from_text(paths[0], eos="</s>"))
    monkeypatch.setattr(module, "PIECE", max(block, 4))  # the mark is looked for in the first block
    for path in paths:
        assert as_dict(Vocabulary.from_text(path, eos="</s>")) == whole


def test_encodings_that_do_not_fit(tmp_path):
    plain = written(tmp_path / "plain", "hello wörld\n" * 9, encoding="utf-16-le")
    for read in (Vocabulary.read, Vocabulary.from_text, Vocabulary.from_counts_file, text_ids):
        with pytest.raises(
            ValueError, match=r"is not utf-8 text: byte 14 .*if it is UTF-16, give encoding='utf-16-le'"
        ):
            read(plain)
        with pytest.raises(ValueError, match=r"plain is not utf-16 text: .*BOM.*encoding='utf-16-le' or 'utf-16-be'"):
            read(plain, encoding="utf-16")
        for encoding in ("utf-9", "hex", "undefined", None, 8):
            with pytest.raises(ValueError, match=f"encoding should be one that Python knows, got {encoding!r}"):
                read(plain, encoding=encoding)
    nul = written(tmp_path / "nul", "hello world\n" * 9, encoding="utf-16-le")
    with pytest.raises(ValueError, match=r"byte 1 is NUL; if it is UTF-16, give encoding='utf-16-le'"):
        Vocabulary.read(nul)
    assert as_dict(Vocabulary.read(nul, encoding="utf-16-le")) == {"hello": 9, "world": 9}
    cut = written(tmp_path / "cut", codecs.BOM_UTF16_LE + "ab c".encode("utf-16-le")[:-1])
    with pytest.raises(ValueError, match=r"cut is not utf-16-le text: byte 8 cannot be decoded \(truncated data\)"):
        Vocabulary.from_text(cut)
    with pytest.raises(ValueError, match=r"byte 12 cannot be decoded"):
        Vocabulary.from_text(written(tmp_path / "half", codecs.BOM_UTF8 + b"123456789\xff\n"))


# ---- masked arrays


@pytest.mark.parametrize(
    "counts",
    [
        np.ma.array([5, 3, 2], mask=[0, 1, 0]),
        np.ma.array([5.0, 3.0], mask=True),
        np.ma.masked_equal([5, 0, 0], 0),
        np.ma.masked_invalid([5.0, np.nan]),
        [5, np.ma.masked, 3],
        (5.5, np.ma.masked),
        {"a": 5, "b": np.ma.masked},
        {0: 5, 1: np.ma.masked},
        np.ma.masked,
    ],
)
def test_masked_counts_are_refused(counts):
    with pytest.raises(ValueError, match=r"counts should have no masked entries, got [12]; leave them out"):
        Vocabulary(counts)


def test_a_mask_that_masks_nothing():
    assert Vocabulary(np.ma.array([5, 3])).counts.tolist() == [5, 3]
    vocabulary = Vocabulary(np.ma.array([5, 3], mask=[0, 0]), ["a", "b"])
    assert vocabulary.words == ("a", "b") and not isinstance(vocabulary.counts, np.ma.MaskedArray)
    with pytest.raises(ValueError, match=r"n should have no masked entries, got 1"):
        vocabulary.share_of_first(np.ma.array([0, 9], mask=[0, 1]))
    assert vocabulary.share_of_first(np.ma.array([0, 2])).tolist() == [0.0, 1.0]
