"""The reader's code is ended where it does not come back, but never in the middle of an import."""

import sys
import threading
import time

import pytest

from adasoft.lessons.kit import readers_code
from adasoft.lessons.kit.exercises import Exercise, judge
from adasoft.lessons.kit.readers_code import Ended, TookTooLong, run_readers_code

SLOW = """
import time
until = time.monotonic() + {seconds}
while time.monotonic() < until:
    sum(range(1000))
whole = True
"""


@pytest.fixture
def slow(tmp_path, monkeypatch):
    """A module that takes a while to import, as torch does; its name, gone again after the test."""
    (tmp_path / "takes_a_while.py").write_text(SLOW.format(seconds=0.8))
    monkeypatch.syspath_prepend(tmp_path)
    yield "takes_a_while"
    sys.modules.pop("takes_a_while", None)


def whole(name):
    return getattr(sys.modules.get(name), "whole", False)


def test_imports_do_not_count(slow):
    def work(_alive):
        time.sleep(0.2)
        return __import__(slow).whole

    assert run_readers_code(work, patience=0.4) is True


def test_an_import_is_over_before_code_is_ended(slow):
    def work(_alive):
        time.sleep(0.2)
        __import__(slow)
        while True:
            pass

    with pytest.raises(TookTooLong, match=r"within 0\.4 s, so it was stopped"):
        run_readers_code(work, patience=0.4)
    assert whole(slow)


def test_an_import_that_begins_while_code_is_ended_is_left_whole(slow):
    """Code that passes over its end, and imports something then."""

    def work(_alive):
        try:
            while True:
                pass
        except Ended:
            __import__(slow)
            while True:
                pass

    with pytest.raises(TookTooLong) as caught:
        run_readers_code(work, patience=0.1)
    assert whole(slow) and "still running" not in str(caught.value)


def test_a_stop_waits_for_an_import(slow):
    begun = threading.Event()

    def work(_alive):
        begun.set()
        __import__(slow)
        while True:
            pass

    with pytest.raises(Ended):
        run_readers_code(work, patience=60, stopped=begun.is_set)
    assert whole(slow)


def test_an_import_without_end_is_left_to_it(slow, monkeypatch):
    monkeypatch.setattr(readers_code, "IMPORTS", 0.2)
    with pytest.raises(TookTooLong, match=r"still imports something after 0\.2 s"):
        run_readers_code(lambda _alive: __import__(slow), patience=0.1)
    until = time.monotonic() + 20
    while not whole(slow) and time.monotonic() < until:
        time.sleep(0.05)
    assert whole(slow)  # it went on, and nothing broke


def test_an_exercise_may_import_what_takes_longer_than_its_patience(slow):
    double = Exercise(text="Doubles.", solution=lambda x: 2 * x, cases=lambda: [(1.0,), (2.0,)], bugs={})

    def mine(x):
        __import__(slow)
        return 2 * x

    assert judge(double, mine, patience=0.3).status == "correct"
