"""Checkpoints: tensors and what is said of them, in one file that is written whole and carries its own checksum.

For :mod:`adasoft.lm.run_checkpoint`. The files are safetensors. Their last tensor is the SHA-256 of all
bytes before it, so that a file can be written in one pass and any change of any byte is noticed when it is read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..files import DamagedFile, entry, write_whole

#: What the numbers of a tensor are called in the file.
_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_CHECKSUM, _BYTES = "sha256", 32
#: From this version on a checkpoint has a checksum.
_WITH_CHECKSUM = 2


def previous_of(path: Path) -> Path:
    """Where the checkpoint before the one at ``path`` is."""
    return path.with_name(f"{path.name}.previous")


def write_checkpoint(path: str | os.PathLike[str], about: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write a checkpoint whole or not at all; the one before it stays beside it as ``.previous``.

    Raises OSError if it cannot be written, TypeError for a tensor of a dtype that the format does not know.
    """
    path = Path(path)

    def write(part: Path) -> None:
        _write(part, about, tensors)
        _keep_previous(path)

    write_whole(path, write)


def _write(path: Path, about: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if tensor.dtype not in _DTYPES or tensor.layout is not torch.strided:
            raise TypeError(f"{name} should be a dense tensor of numbers or bools, got {tensor.dtype}, {tensor.layout}")
    # large numbers first: each then lies at a multiple of its size
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, Any] = {"__metadata__": {"about": json.dumps(about)}}
    at = 0
    for name in names:
        tensor = tensors[name]
        end = at + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": _DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [at, end]}
        at = end
    header[_CHECKSUM] = {"dtype": "U8", "shape": [_BYTES], "data_offsets": [at, at + _BYTES]}
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for block in (len(head).to_bytes(8, "little"), head):
            file.write(block)
            digest.update(block)
        for name in names:
            numbers = tensors[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
            file.write(numbers.data)
            digest.update(numbers.data)
        file.write(digest.digest())


def _keep_previous(path: Path) -> None:
    """Give the checkpoint that is about to be replaced a second name."""
    previous = previous_of(path)
    with contextlib.suppress(FileNotFoundError, FileExistsError):  # another process does the same
        if not path.exists():
            return
        previous.unlink(missing_ok=True)
        try:
            os.link(os.path.realpath(path), previous)
        except FileExistsError:
            raise
        except OSError:  # a disk without second names: for a moment only the one before it is there
            os.replace(path, previous)


def read_checkpoint(path: str | os.PathLike[str], kind: str, version: int) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a checkpoint says of itself (``format`` should be ``kind``), and its tensors, on the CPU.

    Raises FileNotFoundError if it is not there, :class:`adasoft.files.DamagedFile` if it is torn, changed, foreign or
    of a later version than ``version``.
    """
    path = Path(path)
    if not path.exists():
        hint = f"; the one before it is {previous_of(path)}" if previous_of(path).exists() else ""
        raise FileNotFoundError(f"there is no checkpoint {path}{hint}")
    if not path.is_file():
        raise DamagedFile(path, "it should be a file", remedy_of(path))
    while True:
        before = _stamp(path)
        try:
            contents = _read(path, kind, version)
        except DamagedFile:
            if _stamp(path) == before:
                raise
        else:
            if _stamp(path) == before:  # else another process has put a new one there meanwhile
                return contents


def _stamp(path: Path) -> tuple[int, int, int]:
    about = path.stat()
    return about.st_ino, about.st_size, about.st_mtime_ns


def _read(path: Path, kind: str, version: int) -> tuple[dict[str, Any], dict[str, Tensor]]:
    from safetensors import SafetensorError, safe_open

    remedy = remedy_of(path)
    try:
        with safe_open(str(path), "pt") as file:
            metadata = file.metadata() or {}
            # copies: what is left mapped keeps Windows from replacing the file
            tensors = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118 - no mapping
        about = json.loads(metadata.get("about", "null"))
    except (SafetensorError, ValueError, RuntimeError, RecursionError) as error:
        raise DamagedFile(path, f"it is not a checkpoint of adasoft, or torn ({error})", remedy) from error
    if not isinstance(about, dict) or about.get("format") != kind:
        raise DamagedFile(path, f"it is not an {kind}", remedy)
    written = entry(about, "version", kind=int, path=path, remedy=remedy)
    if not 1 <= written <= version:
        raise DamagedFile(path, f"version should be at most {version}, got {written}", remedy)
    stored = tensors.pop(_CHECKSUM, None)
    if stored is None and written < _WITH_CHECKSUM:
        return about, tensors
    if stored is None or stored.numpy().tobytes() != _checksum(path):
        raise DamagedFile(path, "its numbers do not match their checksum", remedy)
    return about, tensors


def _checksum(path: Path) -> bytes:
    digest = hashlib.sha256()
    left = path.stat().st_size - _BYTES
    with path.open("rb") as file:
        while left > 0:
            block = file.read(min(2**20, left))
            if not block:
                break
            digest.update(block)
            left -= len(block)
    return digest.digest()


def remedy_of(path: Path) -> str:
    """What to do about a damaged checkpoint."""
    previous = previous_of(path)
    return f"delete it to go on from the one before it, {previous}" if previous.exists() else "delete it to start again"
