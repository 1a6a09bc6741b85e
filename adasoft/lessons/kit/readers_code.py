"""Code that the reader wrote, run so that the page outlives it: in a thread of its own, with a time limit and a Stop.

Other long work that never looks whether it should end, such as reading a file, is run in the same way.

Python ends a thread only between two of its steps. A loop that never ends is ended so; a single call that never comes
back (a sleep of an hour) is left behind, which is said.

An import is never broken off: half a module (of torch, say) would stay, and nothing that needs it would work until the
kernel is restarted. The time that imports take does not count, either.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

#: Seconds from a Stop to the end of code that does not notice it, and from there until it is left behind.
GRACE, LAST = 1.0, 3.0
#: Seconds that imports may take; who takes longer is left to it.
IMPORTS = 180.0


class TookTooLong(ValueError):
    """Code that did not come back in time."""


class Ended(BaseException):
    """Raised in the reader's code to end it: no Exception, for code may pass over all of those."""


def run_readers_code(
    work: Callable[[Callable[[], None]], T],
    *,
    patience: float,
    stopped: Callable[[], bool] = lambda: False,
    on_stop: BaseException | None = None,
) -> T:
    """``work(alive)`` in a thread of its own; its result.

    Args:
        work: calls ``alive()`` now and then. Must hold no lock that others need while it runs the reader's code.
        patience: seconds that may pass between two such calls, imports not counted.
        stopped: whether the reader wants it to end; never, by default.
        on_stop: raised if it had to be ended for that.

    Raises:
        TookTooLong: it was ended for that; its cause, if it could be ended, says in which line.
        Exception: whatever it raises; what would end the process ends it, with a ValueError.
    """
    made: list[T] = []
    failed: list[BaseException] = []
    heard = time.monotonic()

    def alive() -> None:
        nonlocal heard
        heard = time.monotonic()

    def act() -> None:
        try:
            made.append(work(alive))
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    halted: float | None = None
    now, imported = heard, 0.0
    while thread.is_alive():
        thread.join(0.05)
        before, now = now, time.monotonic()
        if _imports(thread):
            heard += now - before
            halted = None if halted is None else halted + now - before
            imported += now - before
            if imported > IMPORTS:
                raise TookTooLong(
                    f"your code still imports something after {IMPORTS:g} s, and goes on with it: try again later, or "
                    "restart the kernel"
                )
            continue
        if halted is None and stopped():
            halted = now
        late = now - heard > patience
        if late or (halted is not None and now - halted > GRACE):
            gone = _ended(thread)
            if halted is not None and not late:
                raise on_stop or Ended()
            left = "" if gone else "; it is still running: restart the kernel to be rid of it"
            raise TookTooLong(
                f"your code did not come back within {patience:g} s, so it was stopped (a loop that never ends?){left}"
            ) from (failed[0] if failed else None)  # which says where it was
    if failed:
        if isinstance(failed[0], Exception):
            raise failed[0]
        raise ValueError(f"your code ended with {type(failed[0]).__name__}: it should return instead")
    return made[0]


def _ended(thread: threading.Thread) -> bool:
    """Raise `Ended` in a thread until it is gone, but not while it imports; False if it does not go."""
    number: Any = ctypes.c_ulong(thread.ident or 0)
    raise_there, left, imports = ctypes.pythonapi.PyThreadState_SetAsyncExc, LAST, IMPORTS
    while thread.is_alive() and left > 0 and imports > 0:
        if _imports(thread):
            thread.join(0.05)
            imports -= 0.05
            continue
        raise_there(number, ctypes.py_object(Ended))
        if _imports(thread):  # begun in between
            raise_there(number, None)
        began = time.monotonic()
        thread.join(0.5)
        left -= time.monotonic() - began
    return not thread.is_alive()


def _imports(thread: threading.Thread) -> bool:
    """Whether a thread is inside an import."""
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib._bootstrap"):
            return True
        frame = frame.f_back
    return False
