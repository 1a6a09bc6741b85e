"""Files of counts: the forms of their lines, told apart by the lines themselves. For readers of counts."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from .textfiles import first_lines

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")

SEPARATORS = ("\t", " ", ";", ",")
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


def lines_of(text: str) -> list[str]:
    """The lines of a text, without their ends."""
    if "\n" not in text:  # as old Macs end them
        text = text.replace("\r", "\n")
    return text.replace("\r\n", "\n").split("\n")


def _form(lines: Iterable[str], separators: Sequence[str]) -> tuple[_Form, int]:
    """The form that fits most of some lines, and how many."""
    forms = [_Form(separator, column) for separator in separators for column in (1, 0)]
    rows = list(islice((line for line in lines if line.strip(" ")), 1000))
    votes = [sum(map(form.fits, rows)) for form in forms]
    return forms[votes.index(max(votes))], max(votes)


def holds_counts(beginning: str, separators: Sequence[str], place: str, hint: str) -> bool:
    """Whether a file that begins so is one of counts; see :meth:`Vocabulary.read`, which says what is refused."""
    rows = [(number, line) for number, line in enumerate(lines_of(beginning), start=1) if line.strip(" ")][:1000]
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
    lines = [line for line in lines_of(first_lines(path, encoding)) if line.strip(" ")]
    form, votes = _form(lines, SEPARATORS)
    return next(filter(form.fits, lines)) if 2 * votes > len(lines[:1000]) else None


def _may_count(line: str) -> bool:
    line = line.strip()
    number = _AT_AN_END.search(line)
    if number is None or _SENTENCE.search(line):
        return False
    return len(re.findall(r"[^\s,;:=|]+", f"{line[: number.start()]} {line[number.end() :]}")) <= 5


def _cut(line: str) -> str:
    return repr(line if len(line) <= 60 else f"{line[:59]}…")


def read_rows(lines: Sequence[str], separators: Sequence[str], place: str) -> dict[str, float]:
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
        raise ValueError(f"{place} should hold counts, got none")
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
        logarithm = "; logarithms are not counts" if value < 0 else ""
        raise ValueError(
            f"{place}: the count of {_cut(word)} should be 0 to 2**63 - 1 or a finite float of at least 0, got {count}"
            f"{logarithm}"
        )
    return value
