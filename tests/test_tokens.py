"""Words of all scripts with their marks and joiners, against a plain reading of the rule; long lines.

Texts beside wordfreq's lists, and lists of different depth; folders with files called train.
"""

from __future__ import annotations

import gzip
import io
import sys
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adasoft.corpora import documentation, load, text_ids
from adasoft.textfiles import decode
from adasoft.tokens import split_words, wordfreq_tokens
from adasoft.vocabulary import Vocabulary, comparable, compare

PARTS = ("train", "valid", "test")


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path / "cache"))


# ---- words with their marks

CASES = {
    "Hindi": ("हिन्दी में", ["हिन्दी", "में"]),
    "Tamil": ("தமிழ் மொழி।", ["தமிழ்", "மொழி", "।"]),
    "Bengali": ("বাংলা, ভাষা", ["বাংলা", ",", "ভাষা"]),
    "Arabic with harakat": ("كَلِمَة.", ["كَلِمَة", "."]),
    "Hebrew with niqqud": ("שָׁלוֹם עוֹלָם", [unicodedata.normalize("NFC", "שָׁלוֹם"), unicodedata.normalize("NFC", "עוֹלָם")]),
    "Persian with ZWNJ": ("می\u200cخواهم!", ["می\u200cخواهم", "!"]),
    "Sinhala with ZWJ": ("ශ්\u200dරී ලංකා", ["ශ්\u200dරී", "ලංකා"]),
    "Thai, without blanks": ("ที่นี่ ภาษาไทย", ["ที่นี่", "ภาษาไทย"]),
    "Burmese": ("မြန်မာ။", ["မြန်မာ", "။"]),
    "Khmer with zero-width spaces": ("ភាសា\u200bខ្មែរ", ["ភាសា", "ខ្មែរ"]),
    "decomposed Latin": (unicodedata.normalize("NFD", "Mädchen, naïve"), ["Mädchen", ",", "naïve"]),
    "a mark that composes with nothing": ("q\u0303x", ["q\u0303x"]),
    "Korean jamo": (unicodedata.normalize("NFD", "한국어 낱말"), ["한국어", "낱말"]),
    "apostrophes and hyphens": ("don't l’arc x-y", ["don", "'", "t", "l", "’", "arc", "x", "-", "y"]),
    "soft hyphen": ("Donau\u00addampf\u00ad ", ["Donau\u00addampf"]),
    "directions": ("\u200eab\u200f. a\u2060b", ["ab", ".", "a\u2060b"]),
    "a mark alone": ("a \u0301 b", ["a", "\u0301", "b"]),
    "a mark on a mark of punctuation": ("x,\u0323y", ["x", ",\u0323", "y"]),
    "ideographs with a variation": ("葛\U000e0100城市。", ["葛\U000e0100城市", "。"]),
    "emoji": ("❤️ 👍🏽👍 👩🏽‍💻", ["❤️", "👍🏽", "👍", "👩🏽‍💻"]),
    "a family": ("👩‍👩‍👧👧", ["👩‍👩‍👧", "👧"]),
    "flags and keycaps": ("🇩🇪🇫🇷 1️⃣ 🇩.", ["🇩🇪", "🇫🇷", "1️⃣", "🇩", "."]),
    "a flag by tags": ("🏴\U000e0067\U000e0062\U000e007f!", ["🏴\U000e0067\U000e0062\U000e007f", "!"]),
    "underscores and digits": ("a_b2 ٣٤ c", ["a_b2", "٣٤", "c"]),
}


@pytest.mark.parametrize("name", CASES)
def test_words_keep_their_marks(tmp_path, name):
    text, expected = CASES[name]
    (tmp_path / "text").write_text(text + "\n", encoding="utf-8")
    assert set(Vocabulary.from_text(tmp_path / "text", tokenizer="words").words) == set(expected)
    assert split_words(text) == expected
    # Beside a line end, and within a corpus, where line ends are words.
    vocabulary, ids = text_ids(tmp_path / "text", tokenizer="words", min_count=1)
    assert [vocabulary.word(i) for i in ids.tolist()] == [*expected, "<eos>"]


def test_every_mark_of_unicode_stays_with_its_word():
    marks = [chr(c) for c in range(sys.maxunicode + 1) if unicodedata.category(chr(c)).startswith("M")]
    assert len(marks) > 2000
    assert [m for m in [*marks, "\u200c", "\u200d"] if len(split_words(f"kq{m}k")) != 1] == []
    assert [m for m in marks if len(split_words(f"q{m} €{m}")) != 2] == []


JOINERS = "\u200c\u200d"
INVISIBLE = "\u00ad\u061c\u200e\u200f\u202a\u2060\u2064\u2069\ufeff"
MODIFIERS = "🏻🏽🏿\U000e0067\U000e007f"


def plain_words(text: str) -> list[str]:
    """The rule of ``tokenizer="words"``, character by character."""
    text = unicodedata.normalize("NFC", text)

    def word(c: str) -> bool:
        return c.isalnum() or c == "_"

    def mark(c: str) -> bool:
        return unicodedata.category(c).startswith("M")

    def printed(at: int) -> int:
        """Where a printed character with what belongs to it ends."""
        at += 1
        while at < len(text) and (mark(text[at]) or text[at] in MODIFIERS):
            at += 1
        return at

    def alone(c: str) -> bool:
        return not (word(c) or c.isspace() or mark(c) or c in JOINERS or c in INVISIBLE or c == "\u200b")

    found, at = [], 0
    while at < len(text):
        end, c = at + 1, text[at]
        if word(c):
            while end < len(text):
                rest = text[end:].lstrip(INVISIBLE)
                if word(text[end]) or mark(text[end]) or text[end] in JOINERS:
                    end += 1
                elif text[end] in INVISIBLE and rest and word(rest[0]):
                    end = len(text) - len(rest)
                else:
                    break
        elif mark(c):
            while end < len(text) and mark(text[end]):
                end += 1
        elif "🇦" <= c <= "🇿" and "🇦" <= text[end : end + 1] <= "🇿":
            end += 1
        elif alone(c):
            end = printed(at)
            while not c.isascii() and end + 1 < len(text) and text[end] == "\u200d" and alone(text[end + 1]):
                end = printed(end + 1)
        else:
            at = end
            continue
        found.append(text[at:end])
        at = end
    return found


letters = "aZé1_हनदकäß한ᄒ葛"
marks = "\u0301\u0308\u094d\u093f\u0902\u200c\u200d\ufe0f\u20e3\U000e0100"
strange = "❤👍🇩🇪🏽\U000e0067.,'’-।\u00ad\u200b\u200f\u2060\ufeff\x00\x1b "


@given(st.text(st.sampled_from(letters + marks + strange) | st.characters(exclude_categories=["Cs"]), max_size=40))
def test_words_against_the_rule_character_by_character(text):
    assert split_words(text) == plain_words(text)


@given(st.text(st.sampled_from(letters + marks + strange), max_size=40))
def test_both_ways_of_writing_are_one_word(text):
    assert (
        split_words(unicodedata.normalize("NFD", text))
        == split_words(unicodedata.normalize("NFC", text))
        == split_words(text)
    )


@given(st.text(st.characters(max_codepoint=127), max_size=40))
def test_ascii_is_cut_as_the_rest(text):
    assert split_words(text) == plain_words(text) == [token for token in split_words(text + " ❤") if token != "❤"]


def test_other_tokenizers_leave_characters_alone(tmp_path):
    path = tmp_path / "text"
    path.write_text(unicodedata.normalize("NFD", "Mädchen") + " a\u200bb \u200fx don't\n", encoding="utf-8")
    expected = (unicodedata.normalize("NFD", "Mädchen"), "a\u200bb", "\u200fx", "don't")
    assert Vocabulary.from_text(path).words == expected
    assert Vocabulary.from_text(path, tokenizer=str.split).words == expected


def test_the_packages_documentation_keeps_marks():
    text = unicodedata.normalize("NFD", "Die schöne Müllerin sagt: नमस्ते दुनिया, it's 3.5 ❤️ times")
    (line,) = documentation.sentences([text], set())
    assert line == "die schöne müllerin sagt : नमस्ते दुनिया , it 's N ❤️ times"


@pytest.mark.parametrize("block", [4, 5, 7, 16])
@pytest.mark.parametrize("tokenizer", ["words", "whitespace"])
def test_blocks_cut_no_word(tmp_path, monkeypatch, block, tokenizer):
    import adasoft.textfiles as module

    path = tmp_path / "text"
    path.write_text("हिन्दी\tमें ❤️ Ma\u0308dchen\v👩‍👩‍👧 a\r\nx\n" * 3, encoding="utf-8")
    whole = Vocabulary.from_text(path, tokenizer=tokenizer, eos="</s>")
    monkeypatch.setattr(module, "PIECE", block)
    pieces = Vocabulary.from_text(path, tokenizer=tokenizer, eos="</s>")
    assert pieces.words == whole.words and pieces.counts.tolist() == whole.counts.tolist()


# ---- long lines


class Trickle(io.BytesIO):
    """A stream that gives few bytes at a time, so that a short text has as many blocks as a long one."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(200)

    def peek(self, size: int = 0) -> bytes:
        return self.getvalue()[:size]


@pytest.mark.parametrize("line", [b"x", "葛".encode(), b"word\t"])
def test_a_long_line_is_read_in_linear_time(line):
    text = line * (4_000_000 // len(line))
    start = time.process_time()
    pieces = list(decode(Trickle(text), "text", "utf-8"))
    assert time.process_time() - start < 4  # 20,000 blocks; copied for each of them, 40 GB
    assert "".join(pieces) == text.decode()
    assert (len(pieces) > 1000) == (b"\t" in line)  # any white space is a place to cut


def test_a_long_line_from_a_small_archive(tmp_path):
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(b"x" * 20_000_000 + b" y", 9))
    assert set(map(len, Vocabulary.read(tmp_path / "bomb.gz").words)) == {20_000_000, 1}


# ---- texts beside wordfreq's lists


def test_a_text_is_cut_as_the_lists_are(tmp_path):
    pytest.importorskip("wordfreq")
    line = "Don't STOP in 1999, l’arc - l'arc! كَلِمَة שָׁלוֹם हिन्दी Ma\u0308dchen (groß) 12.5 ❤️"
    assert wordfreq_tokens(line) == [
        *("don't", "stop", "in", "0000", "l", "arc", "l", "arc", "كلمة", "שלום", "हिन्दी", "mädchen", "gross"),
        *("00.0", "❤️"),
    ]
    for language in ("en", "de", "fr", "hi", "ar", "he", "fa", "ru", "ta", "ko"):
        words = Vocabulary.from_wordfreq(language, wordlist="small").words[:3000]
        assert sum(wordfreq_tokens(word) == [word] for word in words) >= 2999, language
    assert wordfreq_tokens(" ... !") == []
    path = tmp_path / "text"
    path.write_text("The cat, the dog.\nThe end!\n")
    assert Vocabulary.from_text(path, tokenizer=wordfreq_tokens).words == ("the", "cat", "dog", "end")


def test_lesson_01_cuts_own_texts_so(tmp_path):
    panels = pytest.importorskip("adasoft.lessons.kit.languages")
    path = tmp_path / "text"
    path.write_text("Don't stop, don’t STOP. " * 9)
    assert panels.read_words(path, "mine").words == ("don't", "stop")
    path.write_text("     18 don't\n      9 stop\n")
    own = panels.read_words(path, "mine")
    assert own.words == ("don't", "stop") and own.counts.tolist() == [18, 9] and own.name == "mine"


# ---- lists that end at different frequencies


def test_comparable_by_hand():
    deep = Vocabulary({"a": 0.5, "b": 0.125, "c": 0.12, "d": 0.01, "e": 0.001}, name="deep")
    deep.floor = 0.001
    flat = Vocabulary({"x": 0.4, "y": 0.3, "z": 0.125}, name="flat")
    flat.floor = 0.125
    text = Vocabulary({"m": 6, "n": 2, "o": 1}, name="text")
    cut, same, cut_text = comparable([deep, flat, text])
    assert same is flat and cut.words == ("a", "b") and (cut.floor, cut.name) == (0.125, "deep")
    assert cut.shares.tolist() == pytest.approx([0.8, 0.2])
    assert cut_text.words == ("m", "n") and cut_text.total == 8
    assert comparable([deep, text])[1] is text and comparable([text, text]) == [text, text] and comparable([]) == []
    assert comparable([deep])[0] is deep  # nothing to compare with
    rows = compare([deep, flat], first=(1,), shares=(0.8,))
    assert [row["n_classes"] for row in rows] == [2, 3] and rows[0]["first 1"] == pytest.approx(0.8)
    assert rows[0]["80%"] == 1 and compare([deep], shares=(0.8, 0.99))[0]["80%"] == 2
    assert comparable([Vocabulary([0.9, 0.1, 0.05]), flat])[0].words is None
    with pytest.raises(
        ValueError, match=r"vocabularies should have words of frequency 0.125 or more, got none in 'rare'"
    ):
        comparable([Vocabulary([1] * 9, name="rare"), flat])
    for wrong in (comparable, compare):
        with pytest.raises(TypeError, match="vocabularies should be several in a list"):
            wrong(deep)
        with pytest.raises(TypeError, match="vocabularies should hold Vocabulary objects, got a list"):
            wrong([deep, [1, 2]])
    assert deep.truncate(max_size=3).floor == 0.001 and Vocabulary(deep).floor == 0.001


def test_lists_of_wordfreq_end_where_the_shortest_does():
    pytest.importorskip("wordfreq")
    english, german, hungarian = (Vocabulary.from_wordfreq(code) for code in ("en", "de", "hu"))
    assert (english.floor, german.floor, hungarian.floor) == (1e-8, 1e-8, 1e-6)
    assert Vocabulary.from_wordfreq("en", wordlist="small").floor == 1e-6
    assert all(a is b for a, b in zip(comparable([english, german]), [english, german], strict=True))
    en, hu = compare([english, hungarian])
    assert en["n_classes"] == (english.counts >= 1e-6).sum() and hu["n_classes"] == len(hungarian)
    # What the lists themselves would say the other way round, Hungarian against German:
    assert hungarian.words_for_share(0.95) < german.words_for_share(0.95)
    de, hu = compare([german, hungarian])
    assert hu["95%"] > de["95%"] and hu["80%"] > de["80%"]


def test_lesson_01_says_where_lists_end():
    panels = pytest.importorskip("adasoft.lessons.words.panels")
    import ipywidgets as w
    from panels import every

    from adasoft.lessons import Explorer
    from adasoft.lessons.kit.languages import load_language

    box = panels.languages_panel(Explorer(Vocabulary.synthetic(5000), cutoffs=(100,)))
    ticks = {tick.description: tick for tick in every(box, w.Checkbox)}
    texts = []
    for names in (("German", "Hungarian"), ("German", "Finnish")):
        for name, tick in ticks.items():
            tick.value = name in names
        texts.append(" ".join(str(x.value) for x in every(box, w.HTML)))
    assert "rarer than one in 1,000,000 tokens" in texts[0] and "rarer than" not in texts[1]  # both end there
    german = load_language("de")
    assert f"{len(german):,}" not in texts[0] and f"{len(german):,}" in texts[1]


# ---- folders with files called train


@pytest.mark.parametrize(
    "others",
    [
        ["train.py"],
        ["train.py", "test.py", "README.md"],
        ["train.json", "test.json"],
        ["train.txt"],
        ["the-train.txt", "platform.txt"],
        ["train.PY", "validation.ipynb", "test.cfg"],
        ["test.txt"],
        ["test.txt", "valid.txt"],
    ],
)
def test_a_folder_without_a_split_is_one_text(tmp_path, others):
    folder = tmp_path / "project"
    folder.mkdir()
    for i, name in enumerate(["book.txt", *others]):
        (folder / name).write_text(f"in{i} a file of words\n" * 50)
    corpus = load(folder, progress=False, min_count=1)
    joined = [corpus.vocabulary.word(i) for part in PARTS for i in getattr(corpus, part).tolist()]
    assert {f"in{i}" for i in range(len(others) + 1)} <= set(joined)
    assert len(joined) == 50 * 6 * (len(others) + 1)


@pytest.mark.parametrize("ending", ["txt", "pl", "ts", "tokens.gz", "32000.bpe", "en"])
def test_a_split_beside_programs_is_one(tmp_path, ending):
    folder = tmp_path / "project"
    folder.mkdir()
    for part in PARTS:
        opener = gzip.open if ending.endswith("gz") else open
        with opener(folder / f"wiki.{part}.{ending}", "wb") as file:
            file.write(f"{part} a b\n".encode() * 5)
        (folder / f"{part}.py").write_text("import torch\n")
        (folder / f"{part}_settings.json").write_text("{}\n")
    corpus = load(folder, progress=False, min_count=1)
    assert corpus.n_words == {part: 20 for part in PARTS}
    assert corpus.vocabulary.words[:3] == ("train", "a", "b") and "import" not in corpus.vocabulary.words


def test_half_a_split_is_refused(tmp_path):
    for name in ("train.txt", "test.txt", "train.py"):
        (tmp_path / name).write_text("a b\n")
    with pytest.raises(ValueError, match="should have one for valid as well, got none"):
        load(tmp_path, progress=False)
