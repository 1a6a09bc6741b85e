"""The examples in docstrings run, and print what they say."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "adasoft"
pytestmark = pytest.mark.usefixtures("one_thread")


def with_examples():
    """The modules that have examples, by name."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if "\n    >>> " in path.read_text(encoding="utf-8"):
            yield ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("name", list(with_examples()))
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path / "cache"))
    module = importlib.import_module(name)
    outcome = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert not outcome.failed
    assert outcome.attempted or "# doctest: +SKIP" in Path(module.__file__).read_text(encoding="utf-8")
