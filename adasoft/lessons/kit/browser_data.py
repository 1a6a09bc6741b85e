"""What the browser gets of words and cost models: small enough for a page, exact enough for the digits it prints."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ...cost import Cost, MeasuredCost, PaperCost
from ...vocabulary import Vocabulary
from .costs import COUNTED_MULTIPLICATIONS, COUNTED_WORDS
from .presentable import fit_to_show

#: Ranks up to which every word is sent; beyond, one in some hundred.
ALL_WORDS = 20_000
#: Steps between the ranks beyond, as a ratio.
_STEP = 1.003


@lru_cache(maxsize=8)
def text_data(vocabulary: Vocabulary) -> dict[str, Any]:
    """Counts as runs ``[count, number of words]`` in falling order, and words of some ranks.

    Frequency lists are rounded, so that 300,000 words have some 600 different counts; those of a text are small whole
    numbers at its end. Shares in the browser are therefore those of Python up to the order of additions.
    """
    counts = vocabulary.counts
    edges = np.flatnonzero(np.diff(counts)) + 1
    lengths = np.diff([0, *edges, len(counts)])
    firsts = counts[np.concatenate([[0], edges]).astype(np.int64)]
    runs = [[float(count), int(length)] for count, length in zip(firsts, lengths, strict=True)]
    data: dict[str, Any] = {"name": vocabulary.name, "runs": runs}
    if vocabulary.words is not None:
        ranks = sampled_ranks(len(counts))
        # half of a pair of surrogates, which a text may hold, cannot travel
        words = [vocabulary.words[rank - 1].encode("utf-8", "replace").decode() for rank in ranks]
        data |= {"ranks": ranks, "words": words}
        data["unfit"] = [place for place, word in enumerate(words) if not fit_to_show(word)]
    return data


def sampled_ranks(n: int) -> list[int]:
    """Ranks 1..n of the words that are sent, in rising order, both ends among them."""
    few = np.arange(1, min(n, ALL_WORDS) + 1)
    if n <= ALL_WORDS:
        return [int(rank) for rank in few]
    steps = int(np.ceil(np.log(n / ALL_WORDS) / np.log(_STEP)))
    beyond = np.geomspace(ALL_WORDS, n, steps + 1).round().astype(np.int64)
    return [int(rank) for rank in np.unique(np.concatenate([few, beyond]))]


def cost_data(cost: Cost) -> dict[str, Any]:
    """A cost model as ``cost.js`` reads it; ``counted`` says what it counts where it holds no time.

    Raises TypeError for a model of another class than PaperCost and MeasuredCost, whose formula the browser lacks.
    """
    data: dict[str, Any] = {}
    if cost is COUNTED_WORDS or cost is COUNTED_MULTIPLICATIONS:
        data["counted"] = "words" if cost is COUNTED_WORDS else "multiplications"
    # a subclass may compute something else
    if type(cost) is PaperCost:
        numbers = {name: getattr(cost, name) for name in ("name", "c", "lam", "k0", "batch0", "form")}
        return data | {"kind": "paper"} | numbers
    if type(cost) is MeasuredCost:
        coefficients = {
            objective: {kind: values.tolist() for kind, values in kinds.items()}
            for objective, kinds in cost.coefficients.items()
        }
        numbers = {"name": cost.name, "flat": dict(cost.flat), "itemsize": cost.itemsize, "onGpu": cost.on_gpu}
        return data | {"kind": "measured", "coefficients": coefficients} | numbers
    raise TypeError(f"cost should be a PaperCost or a MeasuredCost, got {cost!r}")


#: What the scene begins with where the words are English.
SENTENCES = ("the cat sat on the mat and watched an axolotl", "we found a greenhouse full of orchids near reykjavik")


@lru_cache(maxsize=2)
def ranks_of(vocabulary: Vocabulary) -> dict[str, int]:
    """The rank of every word; empty where there are only counts."""
    return {word: rank for rank, word in enumerate(vocabulary.words or (), start=1)}


def sentences_of(vocabulary: Vocabulary) -> list[list[list[Any]]]:
    """Sentences for the scene of a token, each word with its rank.

    English ones where all their words are known; else frequent and rare words of the list itself.
    """
    n, ranks = len(vocabulary), ranks_of(vocabulary)
    sentences = [sentence.split() for sentence in SENTENCES]
    if all(word in ranks for sentence in sentences for word in sentence):
        return [[[word, ranks[word]] for word in sentence] for sentence in sentences]
    places = dict.fromkeys(min(max(1, place), n) for place in (1, 2, n // 40, 3, n // 3, 5, n - 1, 4, n // 9))
    names = vocabulary.words
    return [[[names[place - 1] if names else f"word {place:,}", place] for place in places]]


def scene_data(vocabulary: Vocabulary) -> dict[str, Any]:
    """The scene of a token on the page: the authors' cutoffs where they fit, and sentences.

    Raises ValueError for a vocabulary without words or with fewer than ten.
    """
    words = vocabulary.words
    if words is None or len(words) < 10:
        raise ValueError(f"vocabulary should bring at least 10 words for the scene, got {len(words or ())}")
    n = len(words)
    cuts = [cut for cut in (2000, 10000) if cut < n // 2] or [max(1, n // 5)]
    return {"cuts": cuts, "d": 512, "sentences": sentences_of(vocabulary)}
