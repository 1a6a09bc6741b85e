"""Files of the reader's own: where they lie, written whole or not at all, read back with the file's name in each error.

Every file that is kept between runs is written by :func:`write_whole`, and every JSON file read by :func:`read_json`
and :func:`entry`. What they refuse is a :class:`DamagedFile`: a ValueError that names the file, what is wrong with it
and what to do, so that a lesson or a command can show it as it is.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import itertools
import json
import math
import os
import platform
import re
import reprlib
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

#: A file still being written: which numbering of processes (machine, boot, container), which process, which write.
_PART = re.compile(r"\.([0-9a-f]{8})-(\d+)-\d+\.part")
#: One of an earlier adasoft, which kept the process only. Another program may name its files so: cleared in the cache.
_EARLIER_PART = re.compile(r"\.()(\d+)\.part")
#: Part files of processes that cannot be asked (another machine's, in a folder that both use) stay so many seconds.
_STALE = 24 * 3600.0
_numbers = itertools.count()


def cache_dir() -> Path:
    """Where the reader's own files go: ``ADASOFT_CACHE``, else the system's folder for caches."""
    own = os.environ.get("ADASOFT_CACHE")
    if own:
        return Path(own).expanduser()
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "adasoft"
    if platform.system() == "Darwin":
        return Path.home() / "Library" / "Caches" / "adasoft"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "adasoft"


def checksum(record: Mapping[str, Any]) -> str:
    """SHA-256 over everything in a record but the checksum itself."""
    body = {k: v for k, v in record.items() if k != "sha256"}
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


# ---------------------------------------------------------------------- writing


def writable_folder(folder: str | os.PathLike[str]) -> Path:
    """The folder, made if it is not there, after a file was written into it and removed again.

    For commands that work for long and write at the end. Raises OSError, with the folder's name, if that fails.
    """
    folder = Path(folder)
    with _named(folder):
        folder.mkdir(parents=True, exist_ok=True)
        probe = _part_of(folder / "probe")
        try:
            probe.write_bytes(b"0")
        finally:
            probe.unlink(missing_ok=True)
    return folder


def write_whole(path: str | os.PathLike[str], content: str | bytes | Callable[[Path], object]) -> None:
    """Write a file whole or not at all, with its folders; what was there stays until the new one is on the disk.

    Args:
        path: where. A link is followed. A device or a pipe is written to directly: there is nothing to replace.
        content: text (written as UTF-8), bytes, or a function that writes a file at the path it is given.

    The part file lies beside the target, so that it can take its place in one step, and is synced before that (as is
    the folder after it): a power failure leaves the old file or the new one, not an empty one. It is removed if
    anything fails, and those of processes that were killed go with the next write into the folder.

    Raises OSError, with the name of the file, if it cannot be written.
    """
    path = Path(path)
    data = content.encode() if isinstance(content, str) else content
    with _named(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if path.exists() and not path.is_file():
            _fill(path, data)
            return
        path = Path(os.path.realpath(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_stale_parts(path.parent)
        part = _part_of(path)
        try:
            _fill(part, data)
            if path.is_file():
                shutil.copymode(path, part)
            with part.open("r+b") as file:  # Windows syncs only what may be written
                os.fsync(file.fileno())
            os.replace(part, path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def _fill(path: Path, data: bytes | Callable[[Path], object]) -> None:
    if callable(data):
        data(path)
    else:
        path.write_bytes(data)


def remove_stale_parts(folder: Path) -> None:
    """Remove the part files in a folder whose processes were killed, where that can be told, or that are a day old."""
    ours = folder.resolve().is_relative_to(cache_dir().resolve())
    patterns = [_PART, _EARLIER_PART] if ours else [_PART]
    with contextlib.suppress(OSError), os.scandir(folder) as files:
        for file in files:
            for name in (pattern.search(file.name) for pattern in patterns):
                if name and name.end() == len(file.name) and _stale(file, name[1], int(name[2])):
                    with contextlib.suppress(OSError):
                        os.unlink(file.path)


def _stale(file: os.DirEntry[str], numbering: str, process: int) -> bool:
    if numbering == _numbering() and os.name != "nt":  # Windows would end the process that is asked
        try:
            os.kill(process, 0)
        except (ProcessLookupError, OverflowError):
            return True
        except OSError:
            pass
    with contextlib.suppress(OSError):
        return time.time() - file.stat(follow_symlinks=False).st_mtime > _STALE
    return False


def _part_of(path: Path) -> Path:
    """A name beside ``path`` that no other write uses: of another process, machine or thread."""
    return path.with_name(f"{path.name}.{_numbering()}-{os.getpid()}-{next(_numbers)}.part")


@functools.cache
def _numbering() -> str:
    """Where a process number means the same process: this machine since its start, and on Linux this container."""
    known = [platform.node()]
    with contextlib.suppress(OSError):
        known.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
        known.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("\n".join(known).encode()).hexdigest()[:8]


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # folders cannot be opened there
        return
    with contextlib.suppress(OSError):  # nor synced on some network disks
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Let errors of the system name the file that was asked for, not the part file, and be told in one line."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


# ---------------------------------------------------------------------- reading


class DamagedFile(ValueError):
    """A stored file that is not what was written there. The message names file and field, and says what to do."""

    def __init__(self, path: str | os.PathLike[str], reason: str, remedy: str = "delete it") -> None:
        super().__init__(os.fspath(path), reason, remedy)
        self.path = Path(path)

    def __str__(self) -> str:
        text = "{} is damaged: {}; {}".format(*self.args)
        # what the file or its name holds reaches no terminal as a command
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def read_json(
    path: str | os.PathLike[str],
    *,
    kind: type = dict,
    remedy: str = "delete it",
    finite: bool = True,
    largest: int = 2**28,
    deepest: int = 100,
) -> Any:
    """What a JSON file holds, an object of type ``kind``.

    Args:
        path: the file; UTF-8, or UTF-16 or UTF-32 as some editors save it.
        kind: ``dict`` or ``list``.
        remedy: what the reader of the error can do, its last words.
        finite: refuse NaN and infinite numbers.
        largest: bytes that the file may have.
        deepest: how deeply its lists and objects may be nested.

    Raises FileNotFoundError if it is not there, PermissionError if it may not be read, :class:`DamagedFile` for
    anything that is not such JSON: empty, cut off, binary, a folder, names that occur twice, numbers beyond fp64 unless
    ``finite`` is False.
    """
    path = Path(path)
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        what = "a folder" if stat.S_ISDIR(about.st_mode) else "a device or a pipe"
        raise DamagedFile(path, f"it should be a file, got {what}", remedy)
    if about.st_size > largest:
        raise DamagedFile(path, f"it should have at most {largest:,} bytes, got {about.st_size:,}", remedy)

    def whole(text: str) -> float:
        return int(text) if len(text) < 309 else float(text)  # beyond fp64: infinite, as 1e999 is

    def names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        out = dict(pairs)
        if len(out) < len(pairs):
            seen = [name for name, _ in pairs]
            twice = next(name for name in seen if seen.count(name) > 1)
            raise DamagedFile(path, f"the name {short(twice)} should occur once", remedy)
        return out

    with _named(path):
        data = path.read_bytes()
    if not data.strip(b"\0 \t\r\n"):  # what a power failure leaves: no bytes, or zeros
        raise DamagedFile(path, "it is empty", remedy)
    try:
        found = json.loads(data, parse_int=whole, object_pairs_hook=names)
    except DamagedFile:
        raise
    except (ValueError, RecursionError) as error:  # a UnicodeDecodeError is a ValueError, too
        raise DamagedFile(path, f"not JSON ({error})", remedy) from error
    if not isinstance(found, kind):
        raise DamagedFile(path, f"it should hold {_KINDS[kind]}, got {short(found)}", remedy)
    level: list[Any] = [found]
    for _ in range(deepest):
        inside = itertools.chain.from_iterable(x.values() if isinstance(x, dict) else x for x in level)
        level = []
        for x in inside:
            if isinstance(x, (dict, list)):
                level.append(x)
            elif finite and isinstance(x, float) and not math.isfinite(x):
                raise DamagedFile(path, f"{_infinite(found)} should be a finite number, got {x}", remedy)
        if not level:
            return found
    raise DamagedFile(path, f"it should be nested at most {deepest} deep", remedy)


def _infinite(found: Any, name: str = "") -> str:
    """The name of the first entry that is not a finite number; empty if there is none."""
    if isinstance(found, float) and not math.isfinite(found):
        return name
    inside: Any = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
    names = (_infinite(value, f"{name}[{key}]" if isinstance(key, int) else f"{name}.{key}") for key, value in inside)
    return next(filter(None, names), "").removeprefix(".")


_KINDS = {
    dict: "an object",
    list: "a list",
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a finite number",
}


def entry(
    found: Mapping[str, Any],
    *names: str,
    kind: type,
    path: str | os.PathLike[str],
    remedy: str = "delete it",
    least: float = -math.inf,
    most: float = math.inf,
) -> Any:
    """The entry ``found[name]``, or ``found[name][name]`` and so on, of what :func:`read_json` read at ``path``.

    ``kind``: ``dict``, ``list``, ``str``, ``bool``, ``int`` or ``float`` (a whole number is one, too; true is no
    number). Numbers should lie between ``least`` and ``most``. Raises :class:`DamagedFile` with the entry's name.
    """
    value: Any = found
    for i, name in enumerate(names):
        if not isinstance(value, Mapping):
            above = ".".join(names[:i]) or "it"
            raise DamagedFile(path, f"{above} should be an object, got {short(value)}", remedy)
        if name not in value:
            raise DamagedFile(path, f"{'.'.join(names[: i + 1])} is missing", remedy)
        value = value[name]
    accepted = (int, float) if kind is float else kind
    rule = _KINDS[kind]
    fits = isinstance(value, accepted) and isinstance(value, bool) == (kind is bool)
    if kind in (int, float):
        if least > -math.inf:
            rule += f" of at least {least:g}"
        if most < math.inf:
            rule += f"{' and' if least > -math.inf else ' of'} at most {most:g}"
        fits = fits and math.isfinite(value) and least <= value <= most
    if not fits:
        raise DamagedFile(path, f"{'.'.join(names)} should be {rule}, got {short(value)}", remedy)
    return float(value) if kind is float else value


def short(value: Any) -> str:
    """A value as errors show it: its repr on one line, cut to some 60 characters a piece."""
    shown = reprlib.Repr()
    shown.maxstring = shown.maxother = 60
    shown.maxlong = 30
    try:
        return " ".join(shown.repr(value).split())  # arrays are shown in several lines
    except ValueError:  # Python writes no integer of more than 4,300 digits
        return f"one of type {type(value).__name__} that is too long to show"
