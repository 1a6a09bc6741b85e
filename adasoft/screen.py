"""What a command shows people, on any terminal: other code pages, control characters in names, closed streams.

The command line prints through two :class:`Screen`, one around each stream. Names and words come from files; a
terminal would obey the escape sequences in them, so they are shown, not sent. What the stream's encoding lacks is
spelt differently. Where the reader of the output is gone (``| head``), :class:`ReaderGone` ends the command.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from typing import IO, Any

#: Other spellings of the signs that our own tables and texts use.
_SPELT = str.maketrans(
    {"−": "-", "–": "-", "—": "-", "≥": ">=", "≤": "<=", "×": "x", "…": "...", "→": "->", "’": "'", "“": '"', "”": '"'}
)
#: Control characters, marks that reverse the direction of text, and halves of surrogate pairs (bytes of file names).
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class ReaderGone(Exception):
    """Nobody reads the standard output any more."""


def shown(text: str, encoding: str | None = None, *, keep: str = "") -> str:
    """The text as a terminal may get it: control characters as escapes like ``\\x1b``, the rest in its encoding.

    Line feeds and tabs stay, as do the characters of ``keep``.
    """
    text = _CONTROLS.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), text)
    try:
        text.encode(encoding or "utf-8")
    except UnicodeEncodeError:
        text = text.translate(_SPELT).encode(encoding or "utf-8", "backslashreplace").decode(encoding or "utf-8")
    return text


def one_line(text: str) -> str:
    """A name from somebody's file as part of a line: as :func:`shown`, with line feeds and tabs as escapes as well."""
    return shown(text).replace("\n", "\\n").replace("\t", "\\t")


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


class Screen:
    """A stream that takes any text. ``None`` is a stream that was closed before the program began (``>&-``).

    As an ``output`` it raises :class:`ReaderGone` if its reader is gone, and OSError if it is closed or its disk is
    full. Otherwise, as the stream of progress and errors, it goes on in silence: that is no reason to stop.
    """

    def __init__(self, stream: IO[str] | None, *, output: bool) -> None:
        self.stream, self.output = stream, output

    def write(self, text: str) -> int:
        """Write what may be shown of a text."""
        # progress bars go back to the start of their line
        self._do("write", shown(text, getattr(self.stream, "encoding", None), keep="" if self.output else "\r"))
        return len(text)

    def flush(self) -> None:
        """Hand on what was written."""
        self._do("flush")

    def isatty(self) -> bool:
        """Whether a person looks at it."""
        return self.stream is not None and self.stream.isatty()

    def _do(self, what: str, *arguments: str) -> None:
        if self.stream is None:
            if self.output and what == "write":
                raise OSError("the standard output is closed: nothing could be shown")
            return
        try:
            getattr(self.stream, what)(*arguments)
        except OSError as error:
            self._give_up()
            if not self.output:
                return
            if isinstance(error, BrokenPipeError):
                raise ReaderGone from None
            raise OSError(error.errno, error.strerror, "standard output") from error

    def _give_up(self) -> None:
        """Let what is still in the buffer go nowhere, or Python complains of it when it ends."""
        try:
            number = self.stream.fileno() if self.stream else -1
        except (OSError, ValueError):  # no file of the system
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def open_descriptors() -> None:
    """Open the standard streams that were closed (``2>&-``) as nothing, or the next file opened gets their number and
    with it whatever libraries print."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number


def fail(text: str) -> None:
    """Print one line of error, on the standard output where there is no stream of errors."""
    stream = sys.stderr
    if getattr(stream, "stream", stream) is None:
        stream = sys.stdout
    with contextlib.suppress(OSError, ReaderGone):  # nobody may be there to read it
        print(text, file=stream)
