"""What the reader chose and measured, kept over a restart of the kernel: one small JSON in the cache folder.

All notebooks share it. It is written whole, half a second after the last change and at the end of the kernel; each
writer changes its own entries only. Counts of the reader's own words lie beside it, one ``word<TAB>count`` per line;
no text is kept. Nothing is ever unpickled.
"""

from __future__ import annotations

import atexit
import json
import threading
import time
from typing import Any

from ..cost import cache_dir, write_whole
from ..vocabulary import Vocabulary

FORMAT, VERSION = "adasoft choices", 1
PAUSE = 0.5
"""Seconds without a change before the file is written."""
_FILE = threading.RLock()

Entries = dict[str, dict[str, Any]]


class Choices:
    """The file of choices in the cache folder as it is named now (``ADASOFT_CACHE``).

    Entries lie in sections: ``words`` (for all lessons), ``lesson <name>``, and ``kept`` (measurements).
    """

    def __init__(self) -> None:
        self.path = cache_dir() / "lessons" / "choices.json"
        self._words_path = self.path.with_name("own-words.tsv")
        self.words: dict[str, Any] | None = None
        """The section of the words as last read or written here, for other notebooks write it, too; None: no file."""
        self._pending: list[tuple[str, str, Any]] = []
        self._own: Vocabulary | None = None
        self._timer: threading.Timer | None = None

    def read(self) -> Entries:
        """All entries; none if there is no file. Raises ValueError with the reason if it is broken or foreign."""
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"it cannot be read: {error}") from error
        try:
            found = json.loads(text)
        except ValueError as error:
            raise ValueError(f"it is no JSON: {error}") from error
        if not isinstance(found, dict) or found.get("format") != FORMAT or found.get("version") != VERSION:
            raise ValueError(f"it is not of the format {FORMAT!r}, version {VERSION}")
        entries = found.get("entries")
        if not isinstance(entries, dict) or not all(isinstance(section, dict) for section in entries.values()):
            raise ValueError("its entries are damaged")
        return entries

    def keep(self, section: str, key: str, value: Any) -> None:
        """Set an entry (a JSON value), soon. Raises TypeError for what JSON cannot say."""
        json.dumps(value, allow_nan=False)
        with _FILE:
            self._pending.append((section, key, value))
            self._soon()

    def keep_own(self, vocabulary: Vocabulary) -> None:
        """Keep the counts of the reader's own words, soon."""
        with _FILE:
            self._own = vocabulary
            self.keep("words", "own", vocabulary.name)
            self.keep("words", "language", None)
            self.keep("words", "read", time.time())  # the same name may stand for other words

    def own(self, name: str) -> Vocabulary:
        """The reader's own words. Raises OSError or ValueError if they are not there or damaged."""
        return Vocabulary.from_counts_file(self._words_path, name=name)

    def _soon(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        else:
            atexit.register(self.flush)
        self._timer = threading.Timer(PAUSE, self.flush)
        self._timer.daemon = True
        self._timer.start()

    def flush(self) -> None:
        """Write what waits to be written, now."""
        with _FILE:
            if self._timer is not None:
                self._timer.cancel()
            if self._own is not None:
                words, counts = self._own.words or (), self._own.counts.tolist()
                rows = "".join(f"{word}\t{count!r}\n" for word, count in zip(words, counts, strict=True))
                write_whole(self._words_path, rows)
                self._own = None
            if self._pending:
                try:
                    entries = self.read()
                except ValueError:
                    entries = {}  # said when it was read
                for section, key, value in self._pending:
                    entries.setdefault(section, {})[key] = value
                self._pending.clear()
                self.words = entries.get("words", {})
                text = json.dumps({"format": FORMAT, "version": VERSION, "entries": entries}, indent=1)
                write_whole(self.path, text + "\n")

    def forget(self) -> None:
        """Remove both files, and what waits to be written."""
        with _FILE:
            if self._timer is not None:
                self._timer.cancel()
            self._pending.clear()
            self._own = self.words = None
            for path in (self.path, self._words_path):
                path.unlink(missing_ok=True)
