"""Code that the reader wrote, run so that the page outlives it: in a thread of its own, with a time limit and a Stop.

Other long work that never looks whether it should end, such as reading a file, is run in the same way.

Python ends a thread only between two of its steps. A loop that never ends is ended so; a single call that never comes
back (a sleep of an hour) is left behind, which is said.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

#: Seconds from a Stop to the end of code that does not notice it, and from there until it is left behind.
GRACE, LAST = 1.0, 3.0


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
        patience: seconds that may pass between two such calls.
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
    while thread.is_alive():
        thread.join(0.05)
        now = time.monotonic()
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
    """Raise `Ended` in a thread until it is gone; False if it does not go."""
    until = time.monotonic() + LAST
    while thread.is_alive() and time.monotonic() < until:
        number: Any = ctypes.c_ulong(thread.ident or 0)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(number, ctypes.py_object(Ended))
        thread.join(0.5)
    return not thread.is_alive()
