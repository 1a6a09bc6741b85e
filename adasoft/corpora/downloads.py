"""Downloads that go on where they broke off and stay what they were; folders written whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ..cost import write_whole

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

    It appears under its name when it is complete. If ``read`` raises DamagedError, it is made again, with a warning.
    Other processes that want it wait meanwhile.
    """
    from filelock import FileLock

    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(folder.name + ".lock")):
        if folder.exists():
            try:
                return read(folder)
            except DamagedError as error:
                warnings.warn(f"{folder} is damaged ({error}); making it again", RuntimeWarning, stacklevel=2)
        part = folder.with_name(folder.name + ".part")
        _remove(part)  # of a process that was killed
        try:
            part.mkdir()
            make(part)
            _remove(folder)
            part.replace(folder)
        finally:
            _remove(part)
        return read(folder)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def fetch(url: str, path: Path, *, expected: str | None = None, progress: bool = True) -> str:
    """The SHA-256 of the file at ``path``, downloaded from ``url`` unless it is there.

    While it comes it is called ``path.part``; after a break it goes on from there, if the server can (it says so, and
    its file has the same tag and length as before). ``path.json`` keeps the address, the date and the
    checksum of what came. A file that lies at ``path`` without it was put there by hand, and is taken as it is.

    Args:
        expected: a SHA-256 known beforehand.

    Raises:
        ConnectionError: no network, no such server, or it broke off again and again.
        FileNotFoundError: the server answers that there is no such file, or not for us.
        ValueError: the checksum is not the expected one, or not the recorded one of the first download.
        OSError: no room on the disk.
    """
    record = path.with_name(path.name + ".json")
    if not path.exists():
        part = path.with_name(path.name + ".part")
        path.parent.mkdir(parents=True, exist_ok=True)
        _download(url, part, path, progress)
        found = sha256(part)
        if expected not in (None, found):
            part.unlink()
            raise ValueError(
                f"{url} is not the file that was expected: SHA-256 {found} instead of {expected}. It was deleted; try "
                f"again later, or put the right file into {path}"
            )
        write_whole(record, json.dumps({"url": url, "sha256": found, "date": time.strftime("%Y-%m-%d")}, indent=1))
        part.replace(path)
        return found
    found = sha256(path)
    try:
        known = expected or json.loads(record.read_text(encoding="utf-8"))["sha256"]
    except FileNotFoundError:
        write_whole(record, json.dumps({"url": None, "sha256": found, "date": time.strftime("%Y-%m-%d")}, indent=1))
        return found
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{record} is damaged ({error}); delete it if you trust {path.name} beside it") from error
    if found != known:
        raise ValueError(
            f"{path} has changed: SHA-256 {found} instead of {known}. Delete it, and it is downloaded again"
        )
    return found


def _download(url: str, part: Path, path: Path, progress: bool) -> None:
    """Fill ``part``; it is complete on return. After an error it stays only if the next call can go on from it."""
    import requests
    import urllib3
    from tqdm.auto import tqdm

    tag = part.with_name(part.name + ".tag")
    failed = 0
    try:
        with (
            tqdm(unit="B", unit_scale=True, desc=path.name, disable=not progress) as bar,
            requests.Session() as session,
        ):
            while True:
                before = _size(part)
                error: Exception | None = None
                try:
                    if _take(session, url, part, tag, bar):
                        tag.unlink(missing_ok=True)
                        return
                except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError) as caught:
                    error = caught
                have = _size(part)
                failed = failed + 1 if have <= before else 1
                if failed >= _TRIES:
                    kept = (
                        f" The first {have:,} bytes are kept, and the next call goes on from there."
                        if tag.exists()
                        else ""
                    )
                    raise ConnectionError(
                        f"{url} cannot be reached, or broke off {_TRIES} times ({error or 'it ended early'}).{kept} "
                        f"Without a network: put the file into {path} yourself, or take 'docs' or a text of your own"
                    ) from error
                time.sleep(_PAUSE * 2 ** (failed - 1))
    except BaseException:
        if not tag.exists():
            part.unlink(missing_ok=True)
        raise


def _take(session: Any, url: str, part: Path, tag: Path, bar: Any) -> bool:
    """One request for what is missing; whether the file is complete. ``tag`` keeps which file it is a part of."""
    have = _size(part)
    headers = {"Accept-Encoding": "identity"}  # the file as it is stored
    if have and tag.exists():
        # If-Range: the rest if it is the same file still, else the whole.
        headers |= {"Range": f"bytes={have}-", "If-Range": tag.read_text(encoding="utf-8")}
    with session.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as answer:
        status, said = answer.status_code, answer.headers
        if status == 416 and "Range" in headers:  # there is nothing behind what we have
            if said.get("Content-Range", "").rpartition("/")[2] == str(have):
                return True
            tag.unlink()
            part.unlink()
            return False
        if 400 <= status < 500 and status not in (408, 429):  # those two may pass
            raise FileNotFoundError(
                f"{url}: the server answers {status} {answer.reason}. Put the file into {part.with_suffix('')} "
                "yourself, or name a server that has it in ADASOFT_CORPORA"
            )
        start = have if status == 206 else 0
        if status not in (200, 206) or (
            status == 206 and not said.get("Content-Range", "").startswith(f"bytes {have}-")
        ):
            raise _refused(f"the server answers {status} {answer.reason} {said.get('Content-Range', '')}")
        length = said.get("Content-Length")
        total = start + int(length) if length else None
        version = said.get("ETag") or said.get("Last-Modified") or ""
        # A weak tag does not promise the same bytes.
        if version and not version.startswith("W/") and (status == 206 or said.get("Accept-Ranges") == "bytes"):
            write_whole(tag, version)
        else:
            tag.unlink(missing_ok=True)
        if total is not None:
            _check_room(part, total - start)
        bar.total, bar.n = total, start
        bar.refresh()
        with part.open("ab" if status == 206 else "wb") as file:
            # As sent: some servers call a .tgz an encoding of a .tar, which requests would undo.
            for block in answer.raw.stream(_BLOCK, decode_content=False):
                file.write(block)
                bar.update(len(block))
    return total is None or _size(part) == total


def _refused(why: str) -> Exception:
    import requests

    return requests.ConnectionError(why)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _check_room(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if free < needed:
        raise OSError(errno.ENOSPC, f"{needed:,} more bytes are needed, {free:,} are free", str(part.parent))
