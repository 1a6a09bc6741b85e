"""Plain and packed text: files that are unpacked and decoded piece by piece, in errors that name the byte.

For the readers of texts and counts (:class:`adasoft.Vocabulary`, :mod:`adasoft.corpora`).
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

#: Bytes read at a time: larger lists of tokens fall out of the processor's cache.
PIECE = 2**18
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


def stem(path: Path) -> str:
    """The name of a file without endings such as .txt.xz."""
    return re.sub(r"(?<=.)(\.(txt|tsv|csv|tokens))?(\.(gz|xz|bz2))?$", "", path.name)


def read_pieces(path: Path, encoding: str, *, cut_at_blanks: bool = True) -> Iterator[str]:
    """The decoded, unpacked text in pieces that end with a line, or with a blank where a line is long."""
    with _existing(path).open("rb") as raw:
        yield from decode(raw, str(path), encoding, cut_at_blanks=cut_at_blanks)


def first_lines(path: Path, encoding: str) -> str:
    """The first lines of a file, at most some 2**18 bytes."""
    with _existing(path).open("rb") as raw:
        first, *more = [*islice(_blocks(raw, str(path), encoding), 2)] or [""]
    return first[: first.rfind("\n") + 1] or first if more else first


def _existing(path: Path) -> Path:
    if path.is_dir():
        raise IsADirectoryError(f"path should be a file, got the directory {path}")
    if not path.exists():
        raise FileNotFoundError(f"path should be a file, got {path}, which does not exist")
    return path


def decode(raw: Any, path: str, encoding: str, *, cut_at_blanks: bool = True) -> Iterator[str]:
    """:func:`read_pieces` of a buffered binary stream; ``path`` is its name in errors."""
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
    with unpack(raw) as file:
        packed = " unpacked" if file is not raw else ""
        while True:
            try:
                data = file.read(PIECE)
            except (EOFError, OSError, lzma.LZMAError, zlib.error) as error:
                if not packed:
                    raise
                raise ValueError(
                    f"path should hold whole compressed data, got {path}, which is broken off or damaged: {error}"
                ) from error
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
        raise ValueError(f"encoding should be one that Python knows, got {encoding!r}") from None
    return encoding


def unpack(raw: Any) -> Any:
    """A context with the unpacked content of a buffered binary stream, or with itself if it is not packed."""
    magic = raw.peek(10)
    packer = next((packer for pattern, packer in _COMPRESSED if pattern.match(magic)), None)
    return packer(raw) if packer else nullcontext(raw)
