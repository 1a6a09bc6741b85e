"""Downloads that go on where they broke off and stay what they were; folders written whole or not at all.

For the corpora known by name (``names.py``) and the cache of encoded texts (``loading.py``).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ..files import DamagedFile, entry, read_json, write_whole
from .bars import Progress, progress_bar

__all__ = ["DamagedError", "fetch", "sha256", "whole_folder"]

T = TypeVar("T")

_TRIES = 5  # in a row without a byte of progress
_PAUSE = 1.0  # seconds before the second try, twice as many before each further one
_TIMEOUT = (20, 60)  # seconds to connect, and between two pieces of data
_BLOCK = 2**20  # bytes written at a time


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(_BLOCK):
            digest.update(data)
    return digest.hexdigest()


class DamagedError(Exception):
    """What lies in the cache is not what was written there."""


def whole_folder(folder: Path, make: Callable[[Path], None], read: Callable[[Path], T]) -> T:
    """What ``read`` finds in a folder, which ``make`` fills unless it is there.

    The folder gets its name once it is complete. If ``read`` raises DamagedError, it is made again, with a warning.
    Other processes that want it wait. What killed processes left beside it is removed.
    """
    from filelock import FileLock

    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(folder.name + ".lock")):
        _remove_left(folder.parent, but=folder)
        if folder.exists():
            try:
                return read(folder)
            except DamagedError as error:
                warnings.warn(f"{folder} is damaged ({error}); making it again", RuntimeWarning, stacklevel=2)
        unfinished = folder.with_name(folder.name + ".part")
        _remove(unfinished)  # of a process that was killed
        try:
            unfinished.mkdir()
            make(unfinished)
            _remove(folder)
            unfinished.replace(folder)
        finally:
            _remove(unfinished)
        return read(folder)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _remove_left(parent: Path, *, but: Path) -> None:
    """Remove the half-made folders of processes that were killed: nobody holds their locks, or they are a day old."""
    from filelock import FileLock, Timeout

    for unfinished in parent.glob("*.part"):
        if unfinished.stem != but.name and unfinished.is_dir():
            with contextlib.suppress(Timeout, OSError), FileLock(unfinished.with_suffix(".lock"), timeout=0):
                _remove(unfinished)
    for once in parent.glob("once-*"):  # folders that nobody else can ask for have no lock
        with contextlib.suppress(OSError):
            if once.is_dir() and time.time() - once.stat().st_mtime > 24 * 3600:
                _remove(once)


def fetch(url: str, path: Path, *, expected: str | None = None, progress: Progress = True) -> str:
    """The SHA-256 of the file at ``path``, downloaded from ``url`` unless it is there.

    While it arrives it is called ``path.part``; after a break the download goes on from there if the server can resume
    and its file has the same tag and length as before (``path.part.tag`` keeps them). After any other answer it starts
    over. ``path.json`` notes the address, the date and the checksum of what arrived. A file at ``path`` without such a
    note was put there by hand and is taken as it is.

    Args:
        expected: a SHA-256 known beforehand.
        progress: as in :func:`adasoft.corpora.load`.

    Raises:
        ConnectionError: no network, no such server, too many breaks, or damaged headers.
        FileNotFoundError: the server answers that there is no such file, or not for us.
        ValueError: ``url`` is not an address; the checksum is not the expected one, or not that of the first download;
            the note of that is damaged.
        OSError: no room on the disk.
    """
    note, partial = path.with_name(path.name + ".json"), path.with_name(path.name + ".part")
    tag = partial.with_name(partial.name + ".tag")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _download(url, partial, tag, path, progress)
        digest = sha256(partial)
        if expected not in (None, digest):
            partial.unlink()
            tag.unlink(missing_ok=True)
            raise ValueError(
                f"{url} is not the file that was expected: SHA-256 {digest} instead of {expected}. It was deleted; try "
                f"again later, or put the right file into {path}"
            )
        _write_note(note, url, digest)
        partial.replace(path)
        tag.unlink(missing_ok=True)
        return digest
    tag.unlink(missing_ok=True)  # of a process that was killed after the last step but one
    digest = sha256(path)
    try:
        remedy = f"delete it if you trust {path.name} beside it"
        known = expected or entry(read_json(note, remedy=remedy), "sha256", kind=str, path=note, remedy=remedy)
    except FileNotFoundError:
        _write_note(note, None, digest)
        return digest
    if not re.fullmatch("[0-9a-f]{64}", known):
        raise DamagedFile(note, f"sha256 should be 64 hexadecimal digits, got {known[:70]!r}", remedy)
    if digest != known:
        raise ValueError(
            f"{path} has changed: SHA-256 {digest} instead of {known}. Delete it, and it is downloaded again"
        )
    return digest


def _write_note(note: Path, url: str | None, digest: str) -> None:
    write_whole(note, json.dumps({"url": url, "sha256": digest, "date": time.strftime("%Y-%m-%d")}, indent=1))


def _download(url: str, partial: Path, tag: Path, path: Path, progress: Progress) -> None:
    """Fill ``partial``; it is complete on return. After an error it stays only if the next call can go on from it."""
    import requests
    import urllib3

    passing = (
        requests.ConnectionError,
        requests.Timeout,
        requests.exceptions.ChunkedEncodingError,
        requests.exceptions.InvalidHeader,
        urllib3.exceptions.HTTPError,
    )
    failed, furthest = 0, _size(partial)
    try:
        with (
            progress_bar(path.name, progress) as bar,
            requests.Session() as session,
        ):
            while True:
                error: Exception | None = None
                try:
                    if _take(session, url, partial, tag, bar):
                        with partial.open("r+b") as file:
                            os.fsync(file.fileno())
                        return
                except passing as caught:
                    error = caught
                except requests.RequestException as caught:
                    raise ValueError(
                        f"url should be an address that begins with http:// or https://, got {url!r} ({caught}); "
                        "a server of your own is named in ADASOFT_CORPORA"
                    ) from caught
                # what comes a second time is not progress
                failed = failed + 1 if _size(partial) <= furthest else 1
                furthest = max(furthest, _size(partial))
                if failed >= _TRIES:
                    kept = (
                        f" The first {_size(partial):,} bytes are kept, and the next call goes on from there."
                        if tag.exists() and _size(partial)
                        else ""
                    )
                    raise ConnectionError(
                        f"{url} cannot be reached, or broke off {_TRIES} times ({error or 'it ended early'}).{kept} "
                        f"Without a network: put the file into {path} yourself, or take 'docs' or a text of your own"
                    ) from error
                time.sleep(_PAUSE * 2 ** (failed - 1))
    except BaseException:
        if not (tag.exists() and _size(partial)):
            _start_over(partial, tag)
        raise


class _Version(NamedTuple):
    """Which file the bytes so far are the beginning of. Two answers are pieces of one file if all three agree."""

    url: str
    tag: str
    total: int | None
    """Bytes of the whole file; None if the server does not say."""


def _kept_version(tag: Path, have: int) -> _Version | None:
    """Which file the first ``have`` bytes belong to; None if the note of it is missing or damaged."""
    try:
        note = read_json(tag)
        url, name = (entry(note, key, kind=str, path=tag) for key in ("url", "tag"))
        total = None if note.get("total") is None else entry(note, "total", kind=int, path=tag, least=have)
    except (OSError, DamagedFile):
        return None
    return _Version(url, name, total) if _usable(name) else None


def _usable(tag: str) -> bool:
    """Whether a tag promises the same bytes (a weak one does not), and can be sent back as a header."""
    return tag.isascii() and tag.isprintable() and tag.strip() != "" and not tag.lower().startswith("w/")


def _start_over(partial: Path, tag: Path) -> None:
    # the tag last: alone it says nothing, but beside the bytes of another file it would vouch for them
    partial.unlink(missing_ok=True)
    tag.unlink(missing_ok=True)


def _take(session: Any, url: str, partial: Path, tag: Path, bar: Any) -> bool:
    """One request for what is missing; whether the file is complete. ``tag`` notes which file it is."""
    have = _size(partial)
    kept = _kept_version(tag, have) if have else None
    if kept is None or kept.url != url:
        _start_over(partial, tag)
        have, kept = 0, None
    elif kept.total == have:
        return True
    headers = {"Accept-Encoding": "identity"}  # the file as it is stored
    if kept is not None:
        # If-Range: the rest if it is the same file still, else the whole.
        headers |= {"Range": f"bytes={have}-", "If-Range": kept.tag}
    with session.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as answer:
        status, said = answer.status_code, answer.headers
        if status == 416 and kept is not None:  # there is nothing after what we have
            if said.get("Content-Range", "") == f"bytes */{have}" and kept.total is None:
                return True
            _start_over(partial, tag)
            return False
        if 400 <= status < 500 and status not in (408, 416, 429):  # those may pass
            raise FileNotFoundError(
                f"{url}: the server answers {status} {answer.reason}. Put the file into {partial.with_suffix('')} "
                "yourself, or name a server that has it in ADASOFT_CORPORA"
            )
        told = f"the server answers {status} {answer.reason} {said.get('Content-Range', '')}"
        if status not in (200, 206):
            raise _refused(told)
        if status == 206 and kept is None:
            raise _refused(f"{told} to a request for the whole file")
        length = _length(said)
        name = said.get("ETag") or said.get("Last-Modified") or ""
        if status == 206:
            assert kept is not None
            if not _is_the_rest(said.get("Content-Range", ""), have, length, kept) or name != kept.tag:
                _start_over(partial, tag)
                return False
            total = kept.total
        else:
            _start_over(partial, tag)
            have, total = 0, length
            if _usable(name) and said.get("Accept-Ranges") == "bytes":
                write_whole(tag, json.dumps({"url": url, "tag": name, "total": total}))
        if total is not None:
            _check_room(partial, total - have)
        bar.total, bar.n = total, have
        bar.refresh()
        with partial.open("ab") as file:
            # As sent: some servers call a .tgz an encoding of a .tar, which requests would undo. And as it comes: a
            # block that waits to be full is lost when the connection stalls.
            while block := answer.raw.read1(_BLOCK, decode_content=False):
                file.write(block)
                bar.update(len(block))
    return total is None or _size(partial) == total


def _is_the_rest(content_range: str, have: int, length: int | None, kept: _Version) -> bool:
    """Whether a piece of a file goes on after its first ``have`` bytes, in a file of the same length as before."""
    numbers = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", content_range, re.ASCII)
    if numbers is None:
        return False
    first, last = int(numbers[1]), int(numbers[2])
    total = None if numbers[3] == "*" else int(numbers[3])
    fits = first == have <= last and length in (None, last - first + 1)
    return fits and total == kept.total and (total is None or last < total)


def _length(said: Any) -> int | None:
    """Content-Length as a number; None if the server does not say."""
    text = said.get("Content-Length")
    if text is None:
        return None
    if not re.fullmatch(r"\d{1,18}", text, re.ASCII):
        raise _refused(f"the header Content-Length should be a number of bytes, got {text[:40]!r}")
    return int(text)


def _refused(why: str) -> Exception:
    import requests

    return requests.ConnectionError(why)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _check_room(partial: Path, needed: int) -> None:
    free = shutil.disk_usage(partial.parent).free
    if free < needed:
        raise OSError(errno.ENOSPC, f"{needed:,} more bytes are needed, {free:,} are free", str(partial.parent))
