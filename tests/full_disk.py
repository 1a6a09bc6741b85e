"""A disk with room for so many bytes, for tests."""

import builtins
import errno
import io
from pathlib import Path


class FullDisk(io.FileIO):
    """A file on a disk with room for so many bytes."""

    room = 0

    def write(self, data):
        FullDisk.room -= len(data)
        if FullDisk.room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


def limited(monkeypatch, room: int) -> None:
    """Files that are opened to be written share a disk with so much room."""

    def opened(self, mode="r", *args, **kw):
        if mode[0] not in "wa":
            return builtins.open(self, mode, *args, **kw)
        file = io.BufferedWriter(FullDisk(self, mode[0]), 1000)
        return file if "b" in mode else io.TextIOWrapper(file, encoding="utf-8")

    monkeypatch.setattr(FullDisk, "room", room)
    monkeypatch.setattr(Path, "open", opened)
