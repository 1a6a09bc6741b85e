"""What all benchmarks share: provenance, peak memory, files."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .. import __version__
from ..files import cache_dir, read_json, write_whole
from ..text import Row

if TYPE_CHECKING:
    from ..timing import Step


def provenance(device: str | None = None) -> Row:
    """Where and with what a benchmark ran."""
    out: Row = {
        "adasoft": __version__,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }
    out["numpy"] = np.__version__
    if device is not None:
        import torch

        from ..timing import describe

        out |= {"torch": torch.__version__, "threads": torch.get_num_threads(), "device": describe(device)}
    return out


class Parts:
    """Finished parts of a run of the benchmark ``name``, in the cache folder until it has ended.

    ``about``: what a run has to share with an earlier one, but for the date, to go on with its parts.
    """

    def __init__(self, name: str, about: Row) -> None:
        told = json.dumps({key: value for key, value in about.items() if key != "date"}, sort_keys=True)
        self.path = cache_dir() / "bench" / f"{name}-{hashlib.sha256(told.encode()).hexdigest()[:16]}.json"
        self.done: Row = {}
        with contextlib.suppress(FileNotFoundError):
            self.done = read_json(self.path)

    def of(self, name: str, job: Callable[[], list[Row]]) -> list[Row]:
        """What ``job`` gives, done at most once."""
        if name not in self.done:
            self.done[name] = job()
            write_whole(self.path, json.dumps(self.done))
        rows: list[Row] = self.done[name]
        return rows

    def run(self, jobs: Sequence[tuple[str, Callable[[], list[Row]]]]) -> dict[str, list[Row]]:
        """All jobs, with a progress bar, and the end of the run: their rows, together where names begin alike."""
        from tqdm.auto import tqdm

        found: dict[str, list[Row]] = {}
        progress = tqdm(jobs, unit="part")
        for name, job in progress:
            progress.set_postfix_str(name, refresh=True)
            found.setdefault(name.split()[0], []).extend(self.of(name, job))
        self.forget()
        return found

    def forget(self) -> None:
        """The run has ended."""
        self.path.unlink(missing_ok=True)


def peak_mib(step: Step, device: str) -> float:
    """:func:`adasoft.timing.peak_bytes` in MiB, without the lines by which the profiler announces itself."""
    from ..timing import peak_bytes

    with _without_notices():
        return peak_bytes(step, device) / 2**20


@contextlib.contextmanager
def _without_notices() -> Iterator[None]:
    """Let nothing be seen of what libraries below Python write to the stream of errors. Exceptions pass."""
    with contextlib.suppress(AttributeError, OSError, ValueError):  # there may be no such stream
        sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the memory of the device does not suffice; that of a CPU has no type of its own."""
    import torch

    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "DefaultCPUAllocator" in str(error)


def save(record: Row, path: str) -> None:
    """Write a benchmark's record, whole or not at all."""
    write_whole(path, json.dumps(record, indent=1) + "\n")
