"""How far a download or the reading of a text has come: a bar in the terminal, or a function of the caller's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: True shows bars, False shows nothing. A function is called as ``progress(what, done, total)``, in bytes or files,
#: many times a second; ``total`` is None where it is not known. What it raises stops the work and leaves nothing
#: half-made behind.
Progress = bool | Callable[[str, int, int | None], object]


class _Told:
    """What is used here of a tqdm bar, for a function."""

    def __init__(self, tell: Callable[[str, int, int | None], object], what: str, total: int | None) -> None:
        self.tell, self.what, self.total, self.n = tell, what, total, 0

    def __enter__(self) -> _Told:
        self.refresh()
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    def update(self, n: int = 1) -> None:
        self.n += n
        self.refresh()

    def reset(self, total: int | None = None) -> None:
        self.n, self.total = 0, total
        self.refresh()

    def refresh(self) -> None:
        self.tell(self.what, self.n, self.total)


def progress_bar(
    what: str, progress: Progress, total: int | None = None, *, unit: str = "B", leave: bool = True
) -> Any:
    """A bar that is told by ``update(n)``; its ``n`` and ``total`` may be set before ``refresh()``."""
    if callable(progress):
        return _Told(progress, what, total)
    from tqdm.auto import tqdm

    return tqdm(desc=what, total=total, unit=unit, unit_scale=unit == "B", disable=not progress, leave=leave)
