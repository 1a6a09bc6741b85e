"""What the reader chose and measured, kept over a restart of the kernel: one small JSON in the cache folder.

All notebooks share it. It is written whole, half a second after the last change and at the end of the kernel; each
writer changes its own entries only. Words and counts of the reader's own text lie beside it; no text is kept. Where
the folder cannot be written, that is said once, and everything goes on without being kept. Nothing is ever unpickled.
"""

from __future__ import annotations

import atexit
import json
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from ...files import DamagedFile, cache_dir, read_json, short, writable_folder, write_whole
from ...vocabulary import Vocabulary

FORMAT, VERSION = "adasoft choices", 1
PAUSE = 0.5
"""Seconds without a change before the file is written."""
_FILE = threading.RLock()
#: In a value's place: the entry is to go.
_GONE = object()
#: What waits to be written to each file, by section and key (None: the whole section goes); shared by all `Choices`
#: of a file in this kernel, so that each reads what the others have just kept.
_WAITING: dict[Path, dict[tuple[str, str | None], Any]] = {}
#: The reader's own words that wait to be written, by the same file.
_WORDS_WAITING: dict[Path, Vocabulary] = {}
_REMEDY = "choose again, which replaces it, or delete it"
_said: set[str] = set()

Entries = dict[str, dict[str, Any]]


def say_once(line: str, about: str | None = None) -> None:
    """Print a line that this kernel has not printed before; ``about``: what it is about, if it may be put otherwise."""
    if (about or line) not in _said:
        _said.add(about or line)
        print(line)


def not_kept(path: Path, error: OSError) -> None:
    """Say once for each folder that what the reader does is not kept, and the way out."""
    say_once(
        f"What you choose and measure is not kept, for {path.parent} cannot be written "
        f"({error.strerror or type(error).__name__}). Everything works until the kernel ends; ADASOFT_CACHE may name "
        "another folder.",
        f"not kept: {path.parent}",
    )


def kept_whole(path: Path, content: str) -> bool:
    """Write a file of the lessons' folder; where that is not possible, say so once, and return False."""
    try:
        write_whole(path, content)
    except OSError as error:
        not_kept(path, error)
        return False
    return True


# ---------------------------------------------------------------------- words


def words_text(vocabulary: Vocabulary, **more: Any) -> str:
    """A vocabulary as JSON, whatever characters its words hold."""
    rows = {"name": vocabulary.name, "words": list(vocabulary.words or ()), "counts": vocabulary.counts.tolist()}
    return json.dumps({**more, **rows}) + "\n"


def read_words(path: Path) -> tuple[Vocabulary, dict[str, Any]]:
    """The vocabulary that :func:`words_text` wrote, and all entries of the file.

    Raises OSError if it is not there or cannot be read, DamagedFile if it is something else.
    """
    remedy = "choose the text again, which replaces it, or delete it"
    found = read_json(path, remedy=remedy, largest=2**31)
    name, words, counts = (found.get(key) for key in ("name", "words", "counts"))
    if not isinstance(name, str):
        raise DamagedFile(path, f"name should be a text, got {short(name)}", remedy)
    for key, values, kinds in (("words", words, str), ("counts", counts, (int, float))):
        wrong = not isinstance(values, list) or any(not isinstance(v, kinds) or isinstance(v, bool) for v in values)
        if wrong:
            raise DamagedFile(path, f"{key} should be a list of {'texts' if kinds is str else 'numbers'}", remedy)
    try:
        return Vocabulary(np.asarray(counts), words, name=name), found
    except (ValueError, TypeError, OverflowError) as error:
        raise DamagedFile(path, " ".join(str(error).split()), remedy) from error


# ---------------------------------------------------------------------- choices


class Choices:
    """The file of choices in the cache folder as it is named now (``ADASOFT_CACHE``).

    Entries lie in sections: ``words`` (for all lessons), ``lesson <name>``, ``kept`` (measurements and guesses),
    ``answers`` and ``exercises``.
    """

    def __init__(self) -> None:
        self.path = cache_dir() / "lessons" / "choices.json"
        self._words_path = self.path.with_name("own-words.json")
        self.words: dict[str, Any] | None = None
        """The section of the words as last read or set here, for other notebooks write it, too; None: no file."""
        self._pending = _WAITING.setdefault(self.path, {})
        self._timer: threading.Timer | None = None

    def check_folder(self) -> None:
        """Say once if nothing can be kept here. Leaves nothing behind."""
        folder = self.path.parent
        try:
            while not folder.exists() and folder != folder.parent:
                folder = folder.parent
            writable_folder(folder)
        except OSError as error:
            not_kept(self.path, error)

    def read(self) -> Entries:
        """All entries, those that wait to be written included; none if there is no file.

        Raises ValueError, with the file, the reason and the way out, if it is broken or foreign.
        """
        with _FILE:
            return self._with_pending(self._stored())

    def _stored(self) -> Entries:
        try:
            found = read_json(self.path, remedy=_REMEDY)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise ValueError(f"{self.path} cannot be read ({error.strerror}); {_REMEDY}") from error
        if found.get("format") != FORMAT or found.get("version") != VERSION:
            raise DamagedFile(self.path, f"its format should be {FORMAT!r}, version {VERSION}", _REMEDY)
        entries = found.get("entries")
        if not isinstance(entries, dict):
            raise DamagedFile(self.path, f"entries should be an object, got {short(entries)}", _REMEDY)
        for name, section in entries.items():
            if not isinstance(section, dict):
                raise DamagedFile(self.path, f"entries.{name} should be an object, got {short(section)}", _REMEDY)
        return entries

    def _with_pending(self, entries: Entries) -> Entries:
        for (section, key), value in self._pending.items():
            if key is None:
                entries.pop(section, None)
            elif value is _GONE:
                entries.get(section, {}).pop(key, None)
            else:
                entries.setdefault(section, {})[key] = value
        return entries

    def keep(self, section: str, key: str, value: Any) -> None:
        """Set an entry (a JSON value), soon. Raises TypeError for what JSON cannot say."""
        value = json.loads(json.dumps(value, allow_nan=False))
        with _FILE:
            self._pending[section, key] = value
            if section == "words":
                self.words = {**(self.words or {}), key: value}
            self._soon()

    def remove(self, section: str, key: str) -> None:
        """Forget one entry, soon."""
        with _FILE:
            self._pending[section, key] = _GONE
            self._soon()

    def drop(self, section: str) -> None:
        """Forget a section, soon."""
        with _FILE:
            for waiting in [one for one in self._pending if one[0] == section]:
                del self._pending[waiting]
            self._pending[section, None] = None
            self._soon()

    def keep_own(self, vocabulary: Vocabulary) -> None:
        """Keep the counts of the reader's own words, for all lessons, soon."""
        with _FILE:
            _WORDS_WAITING[self.path] = vocabulary
            self.keep("words", "own", vocabulary.name)
            self.keep("words", "language", None)
            self.keep("words", "read", time.time())  # the same name may stand for other words

    def keep_language(self, code: str) -> None:
        """Keep a language for all lessons, soon."""
        with _FILE:
            _WORDS_WAITING.pop(self.path, None)
            self.keep("words", "own", None)
            self.keep("words", "language", code)
            self.keep("words", "read", time.time())

    def own(self) -> Vocabulary:
        """The reader's own words. Raises OSError or ValueError if they are not there or damaged."""
        with _FILE:
            return _WORDS_WAITING.get(self.path) or read_words(self._words_path)[0]

    def _soon(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        else:
            atexit.register(self.flush)
        self._timer = threading.Timer(PAUSE, self.flush)
        self._timer.daemon = True
        self._timer.start()

    def flush(self) -> None:
        """Write what waits to be written, now. Where that is not possible, it waits on, and that is said once."""
        with _FILE:
            if self._timer is not None:
                self._timer.cancel()
            if (own := _WORDS_WAITING.get(self.path)) is not None:
                if not kept_whole(self._words_path, words_text(own)):
                    return
                del _WORDS_WAITING[self.path]
            if self._pending:
                try:
                    entries = self._stored()
                except ValueError:
                    entries = {}  # said when it was read
                entries = self._with_pending(entries)
                text = json.dumps({"format": FORMAT, "version": VERSION, "entries": entries}, indent=1)
                if kept_whole(self.path, text + "\n"):
                    self._pending.clear()
                    self.words = entries.get("words", {})

    def forget(self) -> None:
        """Remove what is kept here, and what waits to be written; a file that cannot be removed is named."""
        with _FILE:
            if self._timer is not None:
                self._timer.cancel()
            self._pending.clear()
            _WORDS_WAITING.pop(self.path, None)
            self.words = None
            for path in (self.path, self._words_path, self._words_path.with_suffix(".tsv")):  # once the words' name
                removed(path)


def removed(path: Path) -> None:
    """Remove a file if it is there; if that is not possible, say so once."""
    try:
        path.unlink(missing_ok=True)
    except NotADirectoryError:
        pass
    except OSError as error:
        say_once(f"{path} could not be removed ({error.strerror or type(error).__name__}): delete it yourself.")
