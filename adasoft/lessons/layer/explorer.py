"""The lesson on the layer: a small layer for the reader's words, taken apart, checked, trained and decoded.

:class:`LayerExplorer` is an `Explorer` whose words are cut to the first few thousand, and that holds a layer for them.
The layer starts from the counts alone, exactly: p(tail i) = p_i and p(w) = p_w for every hidden state, wherever the
cutoffs are. :meth:`LayerExplorer.train` then teaches it what the hidden states say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import torch
import traitlets as t
from torch import Tensor

from ...layer import AdaptiveSoftmax
from ...vocabulary import Vocabulary
from ..kit.first_words import FirstWordsExplorer
from ..kit.traits import Whole, kept
from ..kit.views import LOCK

#: Situations that a drawn hidden state can stand for, and how strongly words prefer one.
SITUATIONS, PREFERENCE = 64, 3.0
#: Drawn hidden states that the reader can choose from.
STATES = 64
TRAIN_STEPS = 200
#: For how many best words the share of opened tails is drawn.
TOP = (1, 2, 3, 5, 10, 20, 30, 50)


@contextmanager
def one_thread() -> Iterator[None]:
    """For many tiny products: on a machine that does other work, two threads wait for each other ten times as long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class WordReading:
    """What the layer says of one word after one hidden state. Log-probabilities in nats."""

    cluster: int
    """0 for the head, i for tail i."""
    head_part: float
    """-log p of the word's entry in the head."""
    tail_part: float
    """-log p of the word within its tail; 0 in the head."""
    forward: float
    """What ``forward()`` returns as the word's log-probability."""
    log_prob: np.ndarray[Any, Any]
    """(V,), of all words."""
    masses: list[float]
    """Probability of the head's words, and of each tail's, summed word by word."""
    best: list[tuple[int, float]]
    """The most probable words: rank from 0, probability."""


@dataclass(frozen=True)
class Pairs:
    """Which (state, tail) pairs must be opened for the k best words, for each k of `TOP`; shares from 0 to 1."""

    ks: tuple[int, ...]
    bound: np.ndarray[Any, Any]
    """The tail's probability is not below that of the k-th best word."""
    needed: np.ndarray[Any, Any]
    """The tail really holds one of the k best words."""
    opened: np.ndarray[Any, Any]
    """What ``topk`` computes."""


class LayerExplorer(FirstWordsExplorer):
    """An `Explorer` of the first ``n_words`` words, with a small layer, a word, a hidden state, and what is decoded.

    Args:
        vocabulary: a `Vocabulary` or a language code; whatever is set later is cut as well.
        traits: any other trait, by name. ``n_words`` is V, from 20 to 10,000; d can be 4 to 128 here, B 16 to 8,192.

    Raises:
        TraitError: a value out of range; it says which range.
    """

    _begin: ClassVar[Mapping[str, Any]] = {"in_features": 32, "batch": 1024, "cutoffs": (500, 2000)}

    n_words = Whole(5000, 20, 10_000, "V")
    in_features = kept(Whole(32, 4, 128, "d"))
    batch = kept(Whole(1024, 16, 8192, "B"))
    word = kept(t.Int(1000))
    """Rank of the chosen word, from 1."""
    state = kept(Whole(1, 1, STATES, "hidden state"))
    """Number of the chosen hidden state, from 1."""
    k = kept(Whole(1, 1, TOP[-1], "k"))

    def __init__(self, vocabulary: Vocabulary | str | None = None, **traits: Any) -> None:
        self._trained: dict[Any, tuple[AdaptiveSoftmax, list[float]]] = {}
        self._counts_of: tuple[Vocabulary, str] | None = None
        super().__init__(vocabulary, **traits)

    def forget(self) -> None:
        """As `Explorer.forget`; what was trained is forgotten, too."""
        self._trained.clear()
        super().forget()

    def reset(self) -> None:
        """Back to the sizes, the cutoffs, the word and all else it was made with, as far as they fit these words."""
        for name in ("in_features", "n_words", "word", "state", "k"):  # the others depend on n_words
            value = self._start[name]
            setattr(self, name, min(value, len(self.vocabulary)) if name == "word" else value)
        super().reset()

    @t.validate("word")
    def _a_rank(self, proposal: Any) -> int:
        # while it is being made, there may be no words yet; `rank` does not go beyond the last in any case
        last = proposal["value"] if self._quiet else len(self.vocabulary)
        if not 1 <= proposal["value"] <= last:
            raise t.TraitError(f"the rank should be from 1 to V = {last:,}, got {proposal['value']:,}")
        return int(proposal["value"])

    # ---- words

    @property
    def rank(self) -> int:
        """Rank of the chosen word from 0; the last word if there are fewer words now."""
        return min(self.word, len(self.vocabulary)) - 1

    def word_name(self, rank: int) -> str:
        """A word in quotes, or its rank where there are only counts. ``rank`` from 0."""
        return f"word {rank + 1:,}" if self.vocabulary.words is None else f"“{self.vocabulary.word(rank)}”"

    def choose(self, text: str) -> None:
        """Choose a word by itself or by its rank from 1; ValueError if it is neither."""
        text = text.strip()
        digits = text.replace(",", "")
        if digits.isascii() and digits.isdecimal() and len(digits) < 12:
            self.word = int(digits)
            return
        for form in (text, text.lower()):
            if self.vocabulary.words is not None and form in self.vocabulary.words:
                self.word = self.vocabulary.rank_of(form) + 1
                return
        raise ValueError(f"{text!r} is not among the {len(self.vocabulary):,} words; type another, or a rank")

    # ---- what is drawn

    def _situations(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """p(situation | word), (V, Z), and the hidden vector of each situation, (Z, d - 1)."""

        def make() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
            rng, n = np.random.default_rng(0), len(self.vocabulary)
            vectors = rng.normal(size=(SITUATIONS, 127))[:, : self.in_features - 1]
            logits = PREFERENCE * rng.normal(size=(10_000, SITUATIONS))[:n]
            chances = np.exp(logits - logits.max(1, keepdims=True))
            return chances / chances.sum(1, keepdims=True), vectors

        return self._cached(("situations", self.vocabulary, self.in_features), make)  # type: ignore[no-any-return]

    def _drawer(self) -> Callable[[int, np.random.Generator], tuple[Tensor, Tensor]]:
        (chances, vectors), cumulative = self._situations(), self.vocabulary.cumulative[1:]
        up_to = chances.cumsum(1)

        def draw(n: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
            words = np.searchsorted(cumulative, rng.random(n), side="right").clip(max=len(cumulative) - 1)
            # the last of the sums may be a rounding below 1
            situation = (up_to[words] < rng.random((n, 1))).sum(1).clip(max=SITUATIONS - 1)
            noise = 0.3 * rng.normal(size=(n, vectors.shape[1]))
            x = np.concatenate([np.ones((n, 1)), vectors[situation] + noise], axis=1)
            return torch.from_numpy(x), torch.from_numpy(words)

        return draw

    def drawn(self, n: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """``n`` hidden states (n, d), fp64, and their next words (n,), as ranks.

        The words follow the counts. Each comes with a situation that it prefers, and the hidden state is a noisy
        picture of that situation; its first number is always 1, for the layer has no biases.
        """
        return self._drawer()(n, rng)

    @property
    def states(self) -> Tensor:
        """The drawn hidden states that the reader can choose from, (64, d)."""
        key = ("states", self.vocabulary, self.in_features)
        return self._cached(key, lambda: self.drawn(STATES, np.random.default_rng(1))[0])  # type: ignore[no-any-return]

    @property
    def entropies(self) -> tuple[float, float]:
        """Nats per token: knowing the counts only, and knowing the situation too (the least that can be reached)."""

        def make() -> tuple[float, float]:
            chances, _ = self._situations()
            shares = self.vocabulary.shares
            joint = shares[:, None] * chances
            given = joint / joint.sum(0)
            seen = shares > 0
            return (
                -float((shares[seen] * np.log(shares[seen])).sum()),
                -float((joint[seen] * np.log(given[seen])).sum()),
            )

        return self._cached(("entropies", self.vocabulary), make)  # type: ignore[no-any-return]

    # ---- the layer

    @property
    def _layer_key(self) -> Any:
        # by the counts, which are all that training sees of the words: those of English are cut again on the way back
        words, known = self.vocabulary, self._counts_of
        if known is None or known[0] is not words:
            known = self._counts_of = words, hashlib.sha256(words.counts.tobytes()).hexdigest()
        return known[1], self.in_features, self.cutoffs, tuple(self.widths)

    @property
    def layer(self) -> AdaptiveSoftmax:
        """The trained layer if these cutoffs were trained, else one that knows the counts. fp64, in eval mode.

        Raises ValueError without cutoffs.
        """
        if not self.cutoffs:
            raise ValueError("no cutoffs: a layer without tails is a plain softmax; set the number of cutoffs to 1")
        if self._layer_key in self._trained:
            return self._trained[self._layer_key][0]  # type: ignore[no-any-return]
        return self._cached(("layer", self._layer_key), self._from_counts)  # type: ignore[no-any-return]

    @property
    def losses(self) -> list[float]:
        """The loss of every training step of this layer; empty if it knows the counts only."""
        return self._trained[self._layer_key][1] if self._layer_key in self._trained else []

    def _from_counts(self) -> AdaptiveSoftmax:
        """A layer that gives every word its share of the tokens, for any hidden state whose first number is 1."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            layer = AdaptiveSoftmax(
                self.in_features, len(self.vocabulary), self.cutoffs, widths=self.widths, dtype=torch.float64
            )
        shares = self.vocabulary.shares
        # a word without a count gets less than any other, not nothing: its logarithm must be finite
        log = torch.from_numpy(np.log(np.maximum(shares, shares[shares > 0].min() / 10)))
        edges = [0, *layer.cutoffs]
        with torch.no_grad():
            layer.head.weight.zero_()
            layer.head.weight[: edges[1], 0] = log[: edges[1]]
            for i, (projection, words) in enumerate(layer.tail):  # type: ignore[misc]
                inside = log[edges[i + 1] : edges[i + 2]]
                layer.head.weight[edges[1] + i, 0] = inside.logsumexp(0)
                # the first direction of the tail carries the constant; the others are free to be learned
                projection.weight[0] = 0.0  # type: ignore[has-type]
                projection.weight[0, 0] = 1.0  # type: ignore[has-type]
                words.weight.zero_()  # type: ignore[has-type]
                words.weight[:, 0] = inside  # type: ignore[has-type]
        return layer.eval()

    def train(
        self,
        steps: int = TRAIN_STEPS,
        *,
        progress: Callable[[int, list[float]], None] | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> list[float]:
        """Train the layer from the counts on drawn batches of B tokens; the same numbers each time.

        Stops early, and keeps what it has, when ``stop()`` is true, when the cutoffs or the words change, or on an
        interrupt of the kernel. ``progress(step, losses)`` is called after each step. Returns the losses.
        """
        with LOCK:
            key, layer, draw = self._layer_key, self._from_counts(), self._drawer()
            batch = self.batch
        rng, losses = np.random.default_rng(2), []  # type: ignore[var-annotated]
        optimizer = torch.optim.Adam(layer.parameters(), lr=0.03)
        layer.train()
        with one_thread(), suppress(KeyboardInterrupt):
            for step in range(steps):
                if stop() or self._layer_key != key:
                    break
                x, target = draw(batch, rng)
                for group in optimizer.param_groups:
                    group["lr"] = 0.03 * (1 - step / steps)
                optimizer.zero_grad()
                loss = layer(x, target).loss
                loss.backward()
                optimizer.step()
                losses.append(float(loss.detach()))
                if progress is not None:
                    progress(step + 1, losses)
        layer.zero_grad()
        if losses:
            with LOCK:
                while len(self._trained) >= 4:
                    del self._trained[next(iter(self._trained))]
                self._trained[key] = layer.eval(), losses
                self.version += 1
        return losses

    def untrain(self) -> None:
        """Back to a layer that knows the counts only."""
        self._trained.clear()
        self.version += 1

    # ---- what the layer says

    @torch.no_grad()
    def reading(self) -> WordReading:
        """The chosen word after the chosen hidden state."""
        layer, rank = self.layer, self.rank
        x = self.states[self.state - 1]
        log_prob = layer.log_prob(x)
        head = torch.log_softmax(layer.head(x), 0)
        edges = [0, *layer.cutoffs]
        cluster = int(np.searchsorted(edges[1:], rank, side="right"))
        entry = rank if cluster == 0 else layer.shortlist_size + cluster - 1
        tail = 0.0
        if cluster:
            tail = float(torch.log_softmax(layer.tail[cluster - 1](x), 0)[rank - edges[cluster]])
        masses = [float(log_prob[a:b].exp().sum()) for a, b in pairwise(edges)]
        said = float(layer(x, torch.tensor(rank)).output)
        best = [(int(i), float(p.exp())) for p, i in zip(*log_prob.topk(min(10, len(log_prob))), strict=True)]
        return WordReading(cluster, -float(head[entry]), -tail, said, log_prob.numpy(), masses, best)

    @torch.no_grad()
    def decoded(self) -> dict[str, Tensor]:
        """Of all hidden states: the best 50 words, their log-probabilities, the tails'
        log-probabilities, and those of the best word within each tail."""

        def make() -> dict[str, Tensor]:
            layer, x = self.layer, self.states
            log_prob = layer.log_prob(x)
            edges = layer.cutoffs
            within = [log_prob[:, a:b].amax(1) for a, b in pairwise(edges)]
            best = log_prob.topk(min(TOP[-1], layer.n_classes), dim=1)
            return {
                "words": best.indices,
                "best": best.values,
                "tails": torch.log_softmax(layer.head(x), 1)[:, layer.shortlist_size :],
                "within": torch.stack(within, 1),
            }

        return self._cached(("decoded", self.layer), make)  # type: ignore[no-any-return]

    def best_words(self, k: int) -> list[tuple[int, float]]:
        """The k best words after the chosen hidden state: rank from 0, probability."""
        found, row = self.decoded(), self.state - 1
        pairs = zip(found["words"][row, :k].tolist(), found["best"][row, :k].exp().tolist(), strict=True)
        return list(pairs)

    def opened(self, row: int, k: int) -> list[bool]:
        """Which tails ``topk`` opens for the k best words after hidden state ``row``, from 0."""
        return self.layer.opened(self.states[row], k).tolist()  # type: ignore[no-any-return]

    def pairs(self) -> Pairs:
        """Shares of the (state, tail) pairs over the drawn hidden states."""

        def make() -> Pairs:
            found, layer, x = self.decoded(), self.layer, self.states
            ks = tuple(k for k in TOP if k <= layer.n_classes)
            shares = np.array(
                [
                    [
                        float((found[name] >= found["best"][:, k - 1 : k]).double().mean())
                        for name in ("tails", "within")
                    ]
                    for k in ks
                ]
            )
            opened = np.array([float(layer.opened(x, k).double().mean()) for k in ks])
            return Pairs(ks, shares[:, 0], shares[:, 1], opened)

        return self._cached(("pairs", self.layer), make)  # type: ignore[no-any-return]
