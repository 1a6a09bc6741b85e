"""How text becomes tokens: at blanks, by words, or as the lists of wordfreq. For readers of texts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import cache
from itertools import chain
from typing import Any

from .extras import missing


def splitter(tokenizer: str | Callable[[str], Iterable[str]]) -> Callable[[str], Iterable[str]]:
    """What cuts a text of whole lines into tokens; ``tokenizer`` as in :meth:`adasoft.Vocabulary.from_text`."""
    if tokenizer == "whitespace":
        return _split_at_blanks
    if tokenizer == "words":
        return split_words
    if not callable(tokenizer):
        raise ValueError(f"tokenizer should be 'whitespace', 'words' or a function of a line, got {tokenizer!r}")

    def tokens(line: str) -> Iterable[str]:
        result = tokenizer(line)
        if isinstance(result, str):
            raise TypeError(f"tokenizer should return a list of strings, got the string {result!r}")
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


def split_words(text: str) -> list[str]:
    """The tokens of a text by ``tokenizer="words"``."""
    if text.isascii():
        return _ASCII_TOKEN.findall(text)
    return re.findall(token_pattern(), unicodedata.normalize("NFC", text))  # re keeps what it has compiled


_POINTED = re.compile(r"[\u0590-\u08FF]")  # Hebrew and Arabic, and scripts like them


def wordfreq_tokens(line: str) -> list[str]:
    """The words of a line as wordfreq cuts and folds them for its lists: a ``tokenizer`` for texts beside them.

    Words by Unicode's rules (``don't`` is one, French ``l'`` one by itself), no punctuation, capitals folded, curly
    apostrophes straight, composed (NFC); Arabic and Hebrew without their points (NFKC); in numbers of several
    digits each is 0. It does not follow what wordfreq does for single languages alone: cutting Chinese, Japanese
    and Korean by their dictionaries, the Turkish i, Serbian in Latin letters, Romanian and Turkish cedillas.

    Raises:
        ImportError: wordfreq is not installed.
    """
    wordfreq = import_wordfreq()
    # Straight first, as in the texts that the lists were counted in: after l' in French, a word begins.
    tokens = wordfreq.lossy_tokenize(line.replace("’", "'"), "en")
    # Only the script of a language matters, but for what is named above.
    unpointed = (wordfreq.lossy_tokenize(token, "ar") if _POINTED.search(token) else [token] for token in tokens)
    return [wordfreq.smash_numbers(token) for token in chain.from_iterable(unpointed) if token]


def import_wordfreq() -> Any:
    """The package wordfreq, or an ImportError that says how to install it."""
    try:
        import wordfreq
    except ImportError as error:
        raise ImportError(missing("wordfreq")) from error
    return wordfreq
