"""Files, folders and archives as the train, valid and test parts of a text, read as streams, for ``load``."""

from __future__ import annotations

import gzip
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from ..counts_files import first_row
from ..textfiles import decode, stem, unpack
from .bars import Progress, progress_bar
from .corpus import PARTS
from .downloads import sha256

__all__ = ["Files", "Members", "Part", "Plain", "Source", "by_position", "local"]

#: (name in errors, buffered binary stream, a function that tells how many bytes of all were read so far)
Opened = tuple[str, Any, Callable[[], int]]


class Files(Protocol):
    """Files of text, one after the other; iterating opens them in turn."""

    size: int
    """Bytes, as stored."""

    def __iter__(self) -> Iterator[Opened]: ...


class Plain:
    """Files on the disk."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths
        self.size = sum(path.stat().st_size for path in paths)

    def __iter__(self) -> Iterator[Opened]:
        before = 0
        for path in self.paths:
            with path.open("rb") as raw:
                yield str(path), raw, partial(_place, raw, before)
                before += path.stat().st_size


class Members:
    """The files of an archive (zip or tar) whose names match, in its order; nothing is unpacked to the disk."""

    def __init__(self, archive: Path, pattern: str) -> None:
        self.archive, self.pattern = archive, re.compile(pattern)
        self.size = archive.stat().st_size

    def __iter__(self) -> Iterator[Opened]:
        empty = True
        with self.archive.open("rb") as raw:
            for name, stream in self._zipped(raw) if raw.peek(4).startswith(b"PK") else self._tarred(raw):
                empty = False
                yield f"{self.archive}/{name}", stream, partial(_place, raw, 0)
        if empty:
            raise ValueError(f"{self.archive} holds no file {self.pattern.pattern!r}; is it the right archive?")

    def _zipped(self, raw: BinaryIO) -> Iterator[tuple[str, Any]]:
        with zipfile.ZipFile(raw) as archive:
            for name in filter(self.pattern.fullmatch, archive.namelist()):
                with archive.open(name) as stream:
                    yield name, stream

    def _tarred(self, raw: BinaryIO) -> Iterator[tuple[str, Any]]:
        with unpack(raw) as unpacked:
            with tarfile.open(fileobj=unpacked, mode="r|") as archive:
                for member in archive:
                    if member.isfile() and self.pattern.fullmatch(member.name):
                        yield member.name, archive.extractfile(member)
            while unpacked.read(2**20):  # to the end, where the checksum of the packing is compared
                pass


def _place(raw: Any, before: int) -> int:
    return before + int(raw.tell())


@dataclass(frozen=True)
class Part:
    """A stretch of characters of the text that ``files`` make, one after the other. Each file ends its last line."""

    files: Files
    start: int = 0
    stop: int | None = None

    def pieces(self, encoding: str, *, whole_lines: bool = False, bar: Any = None) -> Iterator[str]:
        """Its text in pieces that end with a line, or at a blank where a line is long (not with ``whole_lines``).

        ``bar`` is told of the bytes read.

        Raises:
            ValueError: binary, in another encoding, or damaged.
        """
        at = 0
        for text in self._stream(encoding, whole_lines, bar):
            begin, at = at, at + len(text)
            if self.stop is not None and begin >= self.stop:
                return
            if at > self.start:
                end = None if self.stop is None else self.stop - begin
                yield text[max(self.start - begin, 0) : end]

    def _stream(self, encoding: str, whole_lines: bool, bar: Any) -> Iterator[str]:
        name = ""
        try:
            for name, raw, place in self.files:
                text = ""
                for following in decode(raw, name, encoding, cut_at_blanks=not whole_lines):
                    if bar is not None:
                        bar.update(place() - bar.n)
                    if text:
                        yield text
                    text = following
                if text:
                    yield text if text.endswith("\n") else text + "\n"
        except (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, EOFError) as error:
            name = str(self.files.archive) if isinstance(self.files, Members) else name
            raise ValueError(
                f"source: {name} is damaged or broken off ({error}); delete it and fetch it again"
            ) from error


@dataclass(frozen=True)
class Source:
    """Where a corpus comes from. ``key`` (for JSON) changes with any byte of it; ``parts()`` may have to read it."""

    name: str
    parts: Callable[[], Mapping[str, Part]]
    key: Any
    licence: str
    address: str


def checked_text(path: Path, encoding: str) -> Path:
    """``path``, unless it is a file of counts: each of its numbers would be a word.

    Raises:
        ValueError: it is one, by the rule of ``Vocabulary.read``.
    """
    if row := first_row(path, encoding):
        raise ValueError(
            f"source: {path} should be a text, got a file of counts, with the row {row!r}; if it is a text, give a "
            "tokenizer of your own (str.split)"
        )
    return path


#: The part that a word in a file's name stands for.
_ROLES = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "validation": "valid",
    "val": "valid",
    "dev": "valid",
    "test": "test",
}

#: Endings of programs, settings and numbers, which are not parts of a text whatever their names: train.py, test.json.
#: None of them is a language as well: train.pl may be Polish.
_NO_TEXT = {
    *(".py", ".pyc", ".pyi", ".ipynb", ".bash", ".ps1", ".c", ".cc", ".cpp", ".h", ".hpp", ".java", ".js", ".go"),
    *(".rs", ".rb", ".json", ".yaml", ".yml", ".toml", ".cfg", ".ini", ".conf", ".log", ".pt", ".pth", ".ckpt"),
    *(".bin", ".npy", ".npz", ".pkl", ".safetensors", ".h5", ".parquet"),
}


def local(path: Path, encoding: str, progress: Progress) -> Source:
    """The parts of a file or folder; see ``load``.

    Raises:
        ValueError: the folder is empty, or has a train file and not one each for valid and test.
    """
    name = path.resolve().name if path.is_dir() else stem(path)
    if path.is_dir() and (named := _named_parts(path)):
        parts = {part: Part(Plain([named[part]])) for part in PARTS}
        return Source(name, lambda: parts, [sha256(named[part]) for part in PARTS], "unknown", str(path))
    paths = _paths(path)
    cut = partial(by_position, Plain(paths), str(path), encoding, progress)
    return Source(name, cut, [sha256(p) for p in paths], "unknown", str(path))


def beginning(path: Path, n: int = 2**20, encoding: str = "utf-8") -> str:
    """The first n characters or a few more of what :func:`local` takes for training. Raises as `local`, `Part.pieces`.

    OSError if there is no such file.
    """
    named = _named_parts(path) if path.is_dir() else {}
    text = ""
    for piece in Part(Plain([named["train"]] if named else _paths(path))).pieces(encoding):
        text += piece
        if len(text) >= n:
            break
    return text


def _paths(path: Path) -> list[Path]:
    """The file, or all files of a folder in order, except hidden ones."""
    if not path.is_dir():
        return [path]
    inside = {p.relative_to(path).parts: p for p in path.rglob("*") if p.is_file()}
    paths = [inside[at] for at in sorted(inside) if not any(name.startswith(".") for name in at)]
    if not paths:
        raise ValueError(f"source: the folder {path} holds no files")
    return paths


def _named_parts(folder: Path) -> dict[str, Path]:
    """The files of a folder that are called train, valid and test; none if no file is called train, or that alone."""
    files: dict[str, list[Path]] = {part: [] for part in PARTS}
    for path in sorted(p for p in folder.iterdir() if p.is_file() and p.suffix.lower() not in _NO_TEXT):
        roles = {_ROLES[word] for word in re.split(r"[^a-z]+", path.name.lower()) if word in _ROLES}
        for role in roles if len(roles) == 1 else ():
            files[role].append(path)
    if sum(map(len, files.values())) == 1 or not files["train"]:
        return {}
    for part, paths in files.items():
        if len(paths) != 1:
            raise ValueError(
                f"source: {folder} has a file for train, so it should have one for {part} as well, got "
                f"{' and '.join(p.name for p in paths) or 'none'}"
            )
    return {part: paths[0] for part, paths in files.items()}


def by_position(files: Files, label: str, encoding: str, progress: Progress) -> dict[str, Part]:
    """Nine tenths for train, a twentieth each for valid and test, cut after the first line that ends there.

    After a blank if no line ends before the next cut.

    Raises:
        ValueError: the text is too short.
    """
    text = Part(files)
    with progress_bar(f"{Path(label).name}: where to cut it", progress, files.size, leave=False) as shown:
        length = sum(map(len, text.pieces(encoding, bar=shown)))
        shown.reset(files.size)
        first, second = _cuts(text, encoding, length, shown)
    if not 0 < first < second < length:
        raise ValueError(
            f"source: {label} is too short to be cut into train, valid and test ({length:,} characters); "
            "take more text, or a folder with a file for each"
        )
    return {"train": Part(files, 0, first), "valid": Part(files, first, second), "test": Part(files, second)}


def _cuts(text: Part, encoding: str, length: int, shown: Any) -> tuple[int, int]:
    """Where valid and test begin; ``length`` where there is no such place."""
    marks = [length * 18 // 20, length * 19 // 20]
    ends, blanks = [length, length], [length, length]
    at = 0
    for piece in text.pieces(encoding, bar=shown) if length else ():
        for places, character in ((ends, "\n"), (blanks, " ")):
            for i, mark in enumerate(marks):
                if places[i] == length and at + len(piece) >= mark:
                    place = piece.find(character, max(mark - at - 1, 0))
                    places[i] = at + place + 1 if place >= 0 else length
        at += len(piece)
    return ends[0] if ends[0] < ends[1] else blanks[0], ends[1] if ends[1] < length else blanks[1]
