"""Explorers of the first words of a vocabulary: for lessons that measure or train with fewer than all."""

from __future__ import annotations

from typing import Any, ClassVar

import traitlets as t

from ...vocabulary import Vocabulary
from .explorer import Explorer
from .views import LOCK


def first_words(vocabulary: Vocabulary, n: int) -> Vocabulary:
    """The ``n`` most frequent words, as if there were no others; the vocabulary itself if it has no more."""
    if len(vocabulary) <= n:
        return vocabulary
    words = None if vocabulary.words is None else vocabulary.words[:n]
    return Vocabulary(vocabulary.counts[:n], words, name=f"{vocabulary.name}, first {n:,} words")


class FirstWordsExplorer(Explorer):
    """An `Explorer` that cuts every vocabulary after its first ``n_words`` words."""

    _before_words: ClassVar[tuple[str, ...]] = ("n_words",)

    n_words = t.Int()

    @t.validate("vocabulary")
    def _enough_words(self, proposal: Any) -> Vocabulary:
        if len(proposal["value"]) < 2:
            raise t.TraitError("a vocabulary needs at least 2 words to be cut")
        self._whole = proposal["value"]
        return first_words(self._whole, self.n_words)

    @t.observe("n_words")
    def _cut_elsewhere(self, change: Any) -> None:
        if not self._quiet:
            with LOCK:
                self._keep("n_words")
                self.vocabulary = self._whole  # cut again

    @property
    def _chosen_words(self) -> Vocabulary:
        return self._whole  # type: ignore[no-any-return]  # not what was cut from it
