"""Words to look at: the lists of languages, each read once, and the reader's own files, cut as the lists are."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Literal

from ...tokens import wordfreq_tokens
from ...vocabulary import Vocabulary

LANGUAGES = {
    "en": "English",
    "de": "German",
    "fi": "Finnish",
    "fr": "French",
    "es": "Spanish",
    "it": "Italian",
    "nl": "Dutch",
    "pl": "Polish",
    "cs": "Czech",
    "ru": "Russian",
    "tr": "Turkish",
    "ar": "Arabic",
    "bg": "Bulgarian",
    "da": "Danish",
    "el": "Greek",
    "hu": "Hungarian",
    "ja": "Japanese",
    "zh": "Chinese",
}

#: The languages that were looked at in this session.
LOADED: dict[str, Vocabulary] = {}


@lru_cache(maxsize=24)
def load_language(code: str) -> Vocabulary:
    """The words of a language (wordfreq), read once per session."""
    vocabulary = Vocabulary.from_wordfreq(code)
    vocabulary.name = LANGUAGES.get(code, code)
    LOADED[code] = vocabulary
    return vocabulary


def language_of(words: Vocabulary) -> str | None:
    """The code of a language whose list these words are."""
    code = next((c for c in LANGUAGES if LANGUAGES[c] == words.name), None)
    return code if code is not None and words is load_language(code) else None


def read_words(
    path: str | os.PathLike[str], name: str | None = None, kind: Literal["text", "counts"] | None = None
) -> Vocabulary:
    """The words of a text, cut and folded as the lists of languages are (so that both can be compared), or of a file
    of counts; ``kind``: which of them it is, by default whichever it looks like."""
    if kind == "counts":
        return Vocabulary.from_counts_file(path, name=name)
    try:
        return Vocabulary.read(path, kind=kind, tokenizer=wordfreq_tokens, name=name)
    except TypeError:  # counts: their reader knows no tokenizer
        return Vocabulary.from_counts_file(path, name=name)
