"""An explorer of made-up words and times, and a cache folder of the test's own."""

import pytest

from adasoft import MeasuredCost, Vocabulary
from adasoft.lessons import Explorer


@pytest.fixture
def cost():
    kinds = {"product": [1e-4, 3e-11, 5e-9, 2e-9, 6e-9, 0], "projection": [1e-4, 5e-11, 0, 0], "rows": [1e-4, 0, 0]}
    return MeasuredCost({"train": kinds, "decode": kinds}, {"train": 5e-4, "decode": 1e-4}, name="made by hand")


@pytest.fixture
def explorer(cost):
    return Explorer(Vocabulary.synthetic(20_000, name="synthetic"), cost=cost, cutoffs=(1000, 5000))


@pytest.fixture(autouse=True)
def not_the_readers_cache(tmp_path, monkeypatch):
    """Answers and guesses are kept by whatever shows a question: no test may leave them to the person who runs it."""
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path / "nobodys"))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
