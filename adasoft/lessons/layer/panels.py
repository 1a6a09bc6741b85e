"""The lesson on the layer: a small layer for the reader's words, taken apart, checked, trained and decoded.

:class:`LayerExplorer` is an `Explorer` whose words are cut to the first few thousand, and that holds a layer for them.
The layer starts from the counts alone, exactly: p(tail i) = p_i and p(w) = p_w for every hidden state, wherever the
cutoffs are. :meth:`LayerExplorer.train` then teaches it what the hidden states say.
"""

from __future__ import annotations

import html
import math
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import ipywidgets as w
import numpy as np
import plotly.graph_objects as go
import torch
import traitlets as t
from plotly.subplots import make_subplots
from torch import Tensor, nn

from ...layer import AdaptiveSoftmax
from ...loss import route, target_ranks
from ...vocabulary import Vocabulary
from ..kit import parts
from ..kit import plots as f
from ..kit.costs import COUNTED_MULTIPLICATIONS
from ..kit.cuts import cut_picker, cutoff_pair
from ..kit.explorer import MAX_TAILS, Explorer
from ..kit.languages import read_words
from ..kit.picker import COLORS, places
from ..kit.traits import Whole, kept
from ..kit.views import LOCK
from ..kit.widgets import NumberBox

#: Situations that a drawn hidden state can stand for, and how strongly words prefer one.
SITUATIONS, PREFERENCE = 64, 3.0
#: Drawn hidden states that the reader can choose from.
STATES = 64
TRAIN_STEPS = 200
#: A text that is there in every checkout.
LICENCE = Path(__file__).resolve().parents[3] / "LICENSE"
#: For how many best words the share of opened tails is drawn.
TOP = (1, 2, 3, 5, 10, 20, 30, 50)
_MOVED = ("word", "state", "confidence", "k")
_RANGES = {
    "n_words": ("V", 20, 10_000), "in_features": ("d", 4, 128), "batch": ("B", 16, 8192),
    "state": ("hidden state", 1, STATES), "k": ("k", 1, TOP[-1]), "confidence": ("confidence", 0.1, 10.0),
}  # fmt: skip


@contextmanager
def one_thread() -> Iterator[None]:
    """For many tiny products: on a machine that does other work, two threads wait for each other ten times as long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def first_words(vocabulary: Vocabulary, n: int) -> Vocabulary:
    """The ``n`` most frequent words, as if there were no others; all of them if there are no more."""
    words = None if vocabulary.words is None else vocabulary.words[:n]
    rest = f", first {n:,} words" if n < len(vocabulary) else ""
    return Vocabulary(vocabulary.counts[:n], words, name=vocabulary.name + rest)


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


@dataclass(frozen=True)
class Pairs:
    """Which (row, tail) pairs must be opened for the k best words, for each k of `TOP`; shares from 0 to 1."""

    ks: tuple[int, ...]
    bound: np.ndarray[Any, Any]
    """The tail's probability is not below that of the k-th best word."""
    needed: np.ndarray[Any, Any]
    """The tail really holds one of the k best words."""
    opened: np.ndarray[Any, Any]
    """What ``topk`` computes."""


class LayerExplorer(Explorer):
    """An `Explorer` of the first ``n_words`` words, with a small layer, a word, a hidden state, and what is decoded.

    Args:
        vocabulary: a `Vocabulary` or a language code; whatever is set later is cut as well.
        traits: any other trait, by name. ``n_words`` is V, from 20 to 10,000; d can be 4 to 128 here, B 16 to 8,192.

    Raises:
        TraitError: a value out of range; it says which range.
    """

    _begin: ClassVar[Mapping[str, Any]] = {"in_features": 32, "batch": 1024, "cutoffs": (500, 2000)}
    _before_words: ClassVar[tuple[str, ...]] = ("n_words",)
    _kept_traits: ClassVar[tuple[str, ...]] = (*Explorer._kept_traits, *_MOVED)

    n_words = t.Int(5000)
    in_features = kept(Whole(32, 4, 128, "d"))
    batch = kept(Whole(1024, 16, 8192, "B"))
    word = t.Int(1000)
    """Rank of the chosen word, from 1."""
    state = t.Int(1)
    """Number of the chosen hidden state, from 1."""
    confidence = t.Float(1.0)
    """The hidden states are multiplied by it, and with them all logits."""
    k = t.Int(10)

    def __init__(self, vocabulary: Vocabulary | str | None = None, **traits: Any) -> None:
        self._trained: dict[Any, tuple[AdaptiveSoftmax, list[float]]] = {}
        super().__init__(vocabulary, **traits)

    @property
    def _chosen_words(self) -> Vocabulary:
        return self._whole  # type: ignore[no-any-return]  # not what was cut from it

    def forget(self) -> None:
        """As `Explorer.forget`; what was trained is forgotten, too."""
        self._trained.clear()
        super().forget()

    def reset(self) -> None:
        """Back to the sizes, the cutoffs, the word and all else it was made with, as far as they fit these words."""
        for name in ("in_features", "n_words", *_MOVED):  # the others depend on n_words
            value = self._start[name]
            setattr(self, name, min(value, len(self.vocabulary)) if name == "word" else value)
        super().reset()

    @t.validate("vocabulary")
    def _enough_words(self, proposal: Any) -> Vocabulary:
        if len(proposal["value"]) < 2:
            raise t.TraitError("a vocabulary needs at least 2 words to be cut")
        self._whole = proposal["value"]
        return first_words(proposal["value"], self.n_words)

    @t.validate("n_words", "in_features", "batch", "state", "k", "confidence")
    def _at_least_one(self, proposal: Any) -> Any:
        name, value = proposal["trait"].name, proposal["value"]
        letter, low, high = _RANGES[name]
        if not low <= value <= high:
            raise t.TraitError(f"{letter} should be from {low:,} to {high:,} here, got {value:,}")
        return value

    @t.validate("word")
    def _a_rank(self, proposal: Any) -> int:
        # while it is being made, there may be no words yet; `rank` does not go beyond the last in any case
        last = proposal["value"] if self._quiet else len(self.vocabulary)
        if not 1 <= proposal["value"] <= last:
            raise t.TraitError(f"the rank should be from 1 to V = {last:,}, got {proposal['value']:,}")
        return int(proposal["value"])

    @t.observe("n_words", *_MOVED)
    def _moved(self, change: Any) -> None:
        if self._quiet:
            return
        self._keep(change["name"])
        if change["name"] == "n_words":
            self.vocabulary = self._whole  # cut anew
        else:
            self.version += 1

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
        """The drawn hidden states that the reader can choose from, (64, d), times the confidence."""
        key = ("states", self.vocabulary, self.in_features)
        drawn = self._cached(key, lambda: self.drawn(STATES, np.random.default_rng(1))[0])
        return drawn * self.confidence  # type: ignore[no-any-return]

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
        return self.vocabulary, self.in_features, self.cutoffs, tuple(self.widths)

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
                # the first direction of the tail carries the constant; the others are free to be learnt
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
        return WordReading(cluster, -float(head[entry]), -tail, said, log_prob.numpy(), masses)

    @torch.no_grad()
    def _decoded(self) -> dict[str, Tensor]:
        """Of all hidden states: the best 50, the tails' log-probabilities, the best word within each tail."""

        def make() -> dict[str, Tensor]:
            layer, x = self.layer, self.states
            log_prob = layer.log_prob(x)
            edges = layer.cutoffs
            best = [log_prob[:, a:b].amax(1) for a, b in pairwise(edges)]
            return {
                "best": log_prob.topk(min(TOP[-1], layer.n_classes), dim=1).values,
                "tails": torch.log_softmax(layer.head(x), 1)[:, layer.shortlist_size :],
                "within": torch.stack(best, 1),
            }

        return self._cached(("decoded", self.layer, self.confidence), make)  # type: ignore[no-any-return]

    def pairs(self) -> Pairs:
        """Shares of the (row, tail) pairs over the drawn hidden states."""

        def make() -> Pairs:
            found, layer, x = self._decoded(), self.layer, self.states
            ks = tuple(k for k in TOP if k <= layer.n_classes)
            shares = np.array([
                [float((found[name] >= found["best"][:, k - 1 : k]).double().mean()) for name in ("tails", "within")]
                for k in ks
            ])  # fmt: skip
            opened = np.array([float(layer.opened(x, k).double().mean()) for k in ks])
            return Pairs(ks, shares[:, 0], shares[:, 1], opened)

        return self._cached(("pairs", self.layer, self.confidence), make)  # type: ignore[no-any-return]


def unskipped_percent(explorer: LayerExplorer, k: int) -> float:
    """Percentage of the (row, tail) pairs whose tail is not below the k-th best word (k of `TOP`).

    Raises ValueError if the layer is not trained: one that knows the counts says the same after every hidden state.
    """
    if not explorer.losses:
        raise ValueError("the layer is not trained for these cutoffs yet. Press Train above, then commit")
    pairs = explorer.pairs()
    return 100 * float(pairs.bound[pairs.ks.index(k)])


# ---------------------------------------------------------------------- what can be checked


@dataclass(frozen=True)
class GradientCheck:
    """One weight's gradient by ``backward()`` and by central differences, fp64, on a batch of 24 tokens."""

    analytic: float
    numeric: float
    error: float
    """Relative difference of the two; 0 if both are 0."""
    curve: list[tuple[float, float]]
    """(step ε, relative difference) for steps of 1, 0.1 ... 1e-12."""


@dataclass(frozen=True)
class GradientRow:
    """One parameter of the layer after one batch."""

    name: str
    shape: tuple[int, ...]
    tokens: int
    """Tokens of the batch that use it."""
    ours: float
    """Norm of its gradient."""
    stock: float | None
    """The same in PyTorch's layer; None where it leaves ``.grad`` unset."""


def gradient_batch(explorer: LayerExplorer, skip_last: bool, n: int = 24) -> tuple[Tensor, Tensor]:
    """``n`` drawn tokens with one of each cluster at least, as far as there are any; or none of the last tail."""
    key = ("gradient batch", explorer.vocabulary, explorer.in_features)
    x, target = explorer._cached(key, lambda: explorer.drawn(4000, np.random.default_rng(3)))
    cluster = torch.bucketize(target, torch.tensor(explorer.cutoffs), right=True)
    last = len(explorer.cutoffs)
    if skip_last:
        kept = (cluster != last).nonzero().squeeze(1)[:n]
    else:
        first = [int(found[0]) for i in range(last + 1) if len(found := (cluster == i).nonzero())]
        kept = torch.tensor([*first, *(i for i in range(n) if i not in first)])[:n]
    return x[kept] * explorer.confidence, target[kept]


def parameter_names(explorer: LayerExplorer) -> list[str]:
    """``head.weight``, ``tail.0.0.weight`` ..., as in the ``state_dict``."""
    return [name for name, _ in explorer.layer.named_parameters()]


@one_thread()
def gradient_check(
    explorer: LayerExplorer, name: str, row: int, column: int, log_step: float, skip_last: bool
) -> GradientCheck:
    """The gradient of the mean loss with respect to one weight, in two ways.

    ``row`` and ``column`` count from 0; the step is ε = 10**log_step. Raises ValueError for a name, row or column
    that the layer has not.
    """
    layer = deepcopy(explorer.layer)
    weights = dict(layer.named_parameters())
    if name not in weights:
        raise ValueError(f"no parameter {name!r}; there are {', '.join(weights)}")
    weight = weights[name]
    for what, value, size in (("row", row, weight.shape[0]), ("column", column, weight.shape[1])):
        if not 0 <= value < size:
            raise ValueError(f"{what} {value:,} is refused: {name} has {what}s 0 to {size - 1:,}")
    x, target = gradient_batch(explorer, skip_last)
    loss = layer(x, target).loss
    loss.backward()
    analytic = float(weight.grad[row, column])  # type: ignore[index]
    start = float(weight.detach()[row, column])

    @torch.no_grad()
    def moved(by: float) -> float:
        weight[row, column] = start + by
        return float(layer(x, target).loss)

    def difference(h: float) -> tuple[float, float]:
        # divided by the step that was really made: start + h is rounded
        numeric = (moved(h) - moved(-h)) / ((start + h) - (start - h))
        return numeric, abs(numeric - analytic) / max(abs(numeric), abs(analytic), 1e-300)

    numeric, error = difference(10.0**log_step)
    return GradientCheck(analytic, numeric, error, [(10.0**-i, difference(10.0**-i)[1]) for i in range(13)])


def best_agreement(explorer: LayerExplorer) -> float:
    """Digits to which the best step's difference agrees with ``backward()``, for the weight first shown."""
    check = gradient_check(explorer, "head.weight", 0, 0, -5.0, False)
    return -math.log10(max(1e-17, min(error for _, error in check.curve)))


@one_thread()
def gradient_table(explorer: LayerExplorer, skip_last: bool) -> list[GradientRow]:
    """Every parameter's gradient after one batch, ours and PyTorch's."""
    layer = deepcopy(explorer.layer)
    layer.zero_grad()
    stock = nn.AdaptiveLogSoftmaxWithLoss(layer.in_features, layer.n_classes, layer.cutoffs[:-1], div_value=1.0)
    # our widths need not be powers of one div_value, so its modules are replaced instead of loaded
    stock.head, stock.tail = deepcopy(layer.head), deepcopy(layer.tail)
    x, target = gradient_batch(explorer, skip_last)
    for module in (layer, stock):
        module(x, target).loss.backward()
    cluster = torch.bucketize(target, torch.tensor(explorer.cutoffs), right=True)
    theirs, rows = dict(stock.named_parameters()), []
    for name, ours in layer.named_parameters():
        tokens = len(target) if name.startswith("head") else int((cluster == int(name.split(".")[1]) + 1).sum())
        other = theirs[name].grad
        rows.append(GradientRow(
            name, tuple(ours.shape), tokens, float(ours.grad.norm()),  # type: ignore[union-attr]
            None if other is None else float(other.norm()),
        ))  # fmt: skip
    return rows


@one_thread()
def drop_in_table(explorer: LayerExplorer) -> list[tuple[str, str]]:
    """PyTorch's layer and ours with the same ``state_dict``, on 64 drawn tokens: what is compared, and how it ends."""
    stock, ours = _twins(explorer)
    x, target = _half(explorer)
    pairs = []
    for module in (stock, ours):
        module.zero_grad()
        pairs.append(module(x, target))
        pairs[-1].loss.backward()
    back = nn.AdaptiveLogSoftmaxWithLoss(*_sizes(explorer), div_value=2.0)
    grads = [
        _gap(a.grad, b.grad)
        for a, b in zip(stock.parameters(), ours.parameters(), strict=True)
        if a.grad is not None and b.grad is not None
    ]
    with torch.no_grad():
        logs, words = [[method(x) for method in (m.log_prob, m.predict)] for m in (stock, ours)], len(x)
    same = int((logs[0][1] == logs[1][1]).sum())
    return [
        ("keys of the state_dict", "the same" if list(stock.state_dict()) == list(ours.state_dict()) else "DIFFERENT"),
        ("theirs into ours, strict", str(ours.load_state_dict(stock.state_dict()))),
        ("ours into theirs, strict", str(back.load_state_dict(ours.stock_state_dict()))),
        ("loss, theirs", f"{float(pairs[0].loss.detach()):.7f}"),
        ("loss, ours", f"{float(pairs[1].loss.detach()):.7f}"),
        ("output, largest difference", f"{_gap(pairs[0].output, pairs[1].output):.1e}"),
        ("gradients, largest difference", f"{max(grads):.1e}"),
        ("log_prob, largest difference", f"{_gap(logs[0][0], logs[1][0]):.1e}"),
        ("predict, rows that agree", f"{same} of {words}"),
    ]


def _sizes(explorer: LayerExplorer) -> tuple[int, int, list[int]]:
    if not explorer.cutoffs:
        raise ValueError("no cutoffs: PyTorch's layer and ours need at least one; set the number of cutoffs to 1")
    if explorer.in_features < 2 ** len(explorer.cutoffs):
        raise ValueError(
            f"d = {explorer.in_features} cannot be halved {len(explorer.cutoffs)} times: raise d or drop a cutoff"
        )
    return explorer.in_features, len(explorer.vocabulary), list(explorer.cutoffs)


def _twins(explorer: LayerExplorer) -> tuple[nn.AdaptiveLogSoftmaxWithLoss, AdaptiveSoftmax]:
    sizes = _sizes(explorer)

    def make() -> tuple[nn.AdaptiveLogSoftmaxWithLoss, AdaptiveSoftmax]:
        # div_value 2: with 4, a d of 32 would leave a third tail without any width
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            stock = nn.AdaptiveLogSoftmaxWithLoss(*sizes, div_value=2.0)
        ours = AdaptiveSoftmax(*sizes, div_value=2.0)
        ours.load_state_dict(stock.state_dict())
        return stock, ours

    return explorer._cached(("twins", sizes[:2], explorer.cutoffs), make)  # type: ignore[no-any-return]


def _half(explorer: LayerExplorer, n: int = 64) -> tuple[Tensor, Tensor]:
    x, target = explorer.drawn(n, np.random.default_rng(4))
    return x.float(), target


def _gap(a: Tensor, b: Tensor) -> float:
    return float((a - b).detach().abs().max())


def _sentences(explorer: LayerExplorer) -> tuple[Tensor, Tensor]:
    x, target = _half(explorer, 24)
    return x.view(4, 6, -1), target.view(4, 6)


def _padded(explorer: LayerExplorer) -> tuple[Tensor, Tensor]:
    x, target = _half(explorer, 24)
    target[::5] = -100
    return x, target


def _autocast(layer: Any, explorer: LayerExplorer) -> Any:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return layer(*_half(explorer)).loss


#: What to hand both layers -> (the call, in words of code; the call).
CASES: dict[str, tuple[str, Callable[[Any, LayerExplorer], Any]]] = {
    "a plain batch": ("layer(x, target).loss", lambda layer, e: layer(*_half(e)).loss),
    "sentences of words (three dimensions)": (
        "layer(x.view(4, 6, d), target.view(4, 6)).loss", lambda layer, e: layer(*_sentences(e)).loss),
    "padding (targets of -100)": (
        "target[::5] = -100; layer(x, target).loss", lambda layer, e: layer(*_padded(e)).loss),
    "autocast to bfloat16": ("with torch.autocast('cpu', torch.bfloat16): layer(x, target).loss", _autocast),
    "predict for sentences of words": (
        "layer.predict(x.view(4, 6, d))", lambda layer, e: layer.predict(_sentences(e)[0])),
    "the ten best words": ("layer.topk(x, 10).indices", lambda layer, e: layer.topk(_half(e)[0], 10).indices),
    "a div_value that leaves a tail no width": (
        "Layer(d, V, cutoffs, div_value=2 * d).tail[0][0].weight",
        lambda layer, e: type(layer)(*_sizes(e), div_value=2.0 * e.in_features).tail[0][0].weight),
}  # fmt: skip


@one_thread()
def drop_in_case(explorer: LayerExplorer, case: str) -> tuple[str, str]:
    """What PyTorch's layer and ours answer to one of `CASES`, run here and now: a value, a shape, or the error."""

    def answer(layer: Any) -> str:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a tail without width
                result = CASES[case][1](layer, explorer)
        except Exception as error:
            return f"{type(error).__name__}: {parts.one_line(error)}"
        return f"{float(result.detach()):.6f}" if result.dim() == 0 else f"a tensor of shape {tuple(result.shape)}"

    stock, ours = _twins(explorer)
    return answer(stock), answer(ours)


def drop_in_verdict(stock: str, ours: str) -> str:
    """Two answers of :func:`drop_in_case` in a sentence."""
    if ": " not in stock and ": " not in ours:
        if stock.startswith("a tensor") or ours.startswith("a tensor"):
            return "Both answer." if stock == ours else f"Both answer: {stock}; and ours, {ours}."
        same = math.isclose(float(stock), float(ours), rel_tol=1e-5)
        return "Both answer, the same to five digits or more." if same else "Both answer, and differ."
    return {
        (True, False): "PyTorch's layer refuses, ours answers.",
        (False, True): "PyTorch's layer answers, ours refuses and says why.",
        (True, True): "Both refuse.",
    }[": " in stock, ": " in ours]


# ---------------------------------------------------------------------- pictures and sentences


def _svg(body: Sequence[str], height: int, label: str) -> str:
    return (
        f'<svg viewBox="0 0 760 {height}" role="img" aria-label="{html.escape(label, quote=True)}" style="width:100%;'
        f'max-width:820px;font:12px sans-serif;fill:currentColor">{"".join(body)}</svg>'
    )


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{html.escape(text)}</text>'


def _box(x: float, y: float, wide: float, high: float, color: str | None) -> str:
    """A box of a colour if it is computed, else an empty dashed one."""
    style = f'fill="{color}" fill-opacity=".3" stroke-width="2"' if color else 'fill="none" stroke-dasharray="4 4"'
    strength = "" if color else ' stroke-opacity=".5"'
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{high:.1f}" rx="3" {style} stroke="currentColor"'
        f"{strength}/>"
    )


def _line(points: Sequence[tuple[float, float]], more: str = "") -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="currentColor" {more}/>'


def _probability(p: float) -> str:
    return f"{p:.3f}" if p >= 0.01 else f"{p:.2g}"


def multiplications(explorer: LayerExplorer, cluster: int) -> int:
    """Multiplications of the forward products for one token of a cluster."""
    layer = explorer.layer
    edges, d = layer.cutoffs, layer.in_features
    tail = 0 if cluster == 0 else layer.widths[cluster - 1] * (d + edges[cluster] - edges[cluster - 1])
    return d * layer.head_size + tail


def path_svg(explorer: LayerExplorer, reading: WordReading) -> str:
    """Which products a token's target needs: the head always, one tail at most."""
    layer, chosen = explorer.layer, reading.cluster
    d, sizes = layer.in_features, [b - a for a, b in pairwise(layer.cutoffs)]
    parts_ = [
        _text(12, 18, "hidden state"), _box(12, 28, 82, 34, _GREY), _text(22, 49, f"{d} numbers"),
        _line([(94, 45), (126, 45)], 'stroke-width="2"'),
        _text(130, 18, "head, for every token"), _box(130, 28, 190, 34, COLORS[0]),
        _text(138, 49, f"{d} x ({layer.shortlist_size:,} words + J = {layer.n_clusters})"),
        _text(420, 18, "tails: a projection, then the words"),
    ]  # fmt: skip
    name, p = explorer.word_name(explorer.rank), math.exp(-reading.head_part - reading.tail_part)
    if chosen == 0:
        parts_.append(_text(130, 84, f"p({name}) = {_probability(p)}", 'font-weight="bold"'))
    for i, (size, width) in enumerate(zip(sizes, layer.widths, strict=True)):
        y, on = 28 + 46 * i, chosen == i + 1
        color, faint = COLORS[i + 1] if on else None, "" if on else 'opacity=".7"'
        parts_ += [
            _box(420, y, 96, 34, color), _text(428, y + 21, f"{d} x {width}", faint),
            _line([(516, y + 17), (534, y + 17)], faint),
            _box(534, y, 130, 34, color), _text(542, y + 21, f"{width} x {size:,} words", faint),
            _text(672, y + 21, f"tail {i + 1}" + ("" if on else ", not run"), faint),
        ]  # fmt: skip
        if on:
            parts_ += [
                _line([(320, 45), (366, 45), (366, y + 17), (420, y + 17)], 'stroke-width="2"'),
                _text(130, 84, f"p(tail {i + 1}) = {_probability(math.exp(-reading.head_part))}"),
                _text(130, 104, f"x  p({name} in tail {i + 1}) = {_probability(math.exp(-reading.tail_part))}"),
                _text(130, 124, f"=  p({name}) = {_probability(p)}", 'font-weight="bold"'),
            ]  # fmt: skip
    where = "the head alone" if chosen == 0 else f"the head and tail {chosen}"
    return _svg(
        parts_,
        max(132, 26 + 46 * layer.n_clusters),
        f"The products that the word {name} needs: {where}; the other tails are not run",
    )


_GREY = "#888888"


def word_data(explorer: LayerExplorer, reading: WordReading) -> tuple[f.Data, f.Layout]:
    """-log p in two parts; the probability of all words, stacked; every word's probability by rank."""
    one = [f.plain(explorer.word_name(explorer.rank))]
    data: f.Data = {
        0: {"x": one, "y": np.array([reading.head_part])},
        1: {"x": one, "y": np.array([reading.tail_part])},
    }
    edges, shares = [0, *explorer.layer.cutoffs], explorer.token_shares
    at = places(edges[-1], 240) - 1
    for i in range(MAX_TAILS + 1):
        there = i < len(reading.masses)
        both = [reading.masses[i], shares[i]] if there else [0.0, 0.0]
        name = "head" if i == 0 else f"tail {i}"
        data[2 + i] = {"y": np.array(both), "text": [f"{name} {f.percent(v)}" if v >= 0.03 else "" for v in both]}
        inside = at[(at >= edges[i]) & (at < edges[i + 1])] if there else at[:0]
        y = np.exp(reading.log_prob[inside]) if len(inside) else np.full(1, np.nan)
        data[8 + i] = {"x": inside + 1.0 if len(inside) else np.ones(1), "y": y}
    rank = explorer.rank
    data[14] = {"x": np.array([rank + 1.0]), "y": np.exp(reading.log_prob[[rank]])}
    return data, {}


def word_figure(explorer: LayerExplorer) -> go.Figure:
    """Three views of one hidden state: the loss of the chosen word, the sum over all words, and each of them."""
    titles = ("loss of the word, −log p", "all words sum to one", "probability of each word")
    figure = make_subplots(1, 3, subplot_titles=titles, horizontal_spacing=0.11, column_widths=[0.2, 0.33, 0.47])
    inside = {"textposition": "inside", "insidetextanchor": "middle", "textangle": 0, "constraintext": "none",
              "insidetextfont": {"color": f.TEXT_COLOR}}  # fmt: skip

    def pale(color: str, **more: Any) -> dict[str, Any]:
        # the theme's text must be legible on it, dark or light
        return {"marker": {"color": color, "opacity": 0.35, **more}, **inside}

    figure.add_bar(row=1, col=1, name="head", texttemplate="head %{y:.2f}", **pale(COLORS[0]))
    figure.add_bar(row=1, col=1, name="tail", texttemplate="tail %{y:.2f}",
                   **pale(COLORS[5], pattern={"shape": "/", "solidity": 0.2}))  # fmt: skip
    for i, color in enumerate(COLORS):
        figure.add_bar(row=1, col=2, x=["this state", "the counts"], name="head" if i == 0 else f"tail {i}",
                       hovertemplate="%{y:.4f}", **pale(color))  # fmt: skip
    for i, color in enumerate(COLORS):
        figure.add_scatter(row=1, col=3, mode="lines", line={"color": color, "width": 2.5},
                           name="head" if i == 0 else f"tail {i}")  # fmt: skip
    figure.add_scatter(row=1, col=3, mode="markers", name="the word",
                       marker={"size": 13, "symbol": "diamond", "color": COLORS[5]})  # fmt: skip
    figure.update_yaxes(row=1, col=1, title_text="nats", rangemode="tozero")
    figure.update_yaxes(row=1, col=2, title_text="probability", range=[0, 1.02])
    figure.update_xaxes(row=1, col=3, title_text="rank r", **f.LOG)
    figure.update_yaxes(row=1, col=3, title_text="p(word)", **f.LOG)
    figure.update_annotations(font_size=13)
    figure.update_layout(barmode="stack")
    return f.filled(figure, *word_data(explorer, explorer.reading()), 330)


def word_sentence(explorer: LayerExplorer, reading: WordReading) -> str:
    """One word and one hidden state in words."""
    n, name = len(explorer.vocabulary), explorer.word_name(explorer.rank)
    total = reading.head_part + reading.tail_part
    where = "the head" if reading.cluster == 0 else f"tail {reading.cluster}"
    chain = f"{reading.head_part:.4f}" if reading.cluster == 0 else (
        f"{reading.head_part:.4f} (the head's entry for the tail) + {reading.tail_part:.4f} (the word in the tail)"
    )  # fmt: skip
    sums = " + ".join(f"{mass:.4f}" for mass in reading.masses)
    cost, full = multiplications(explorer, reading.cluster), n * explorer.in_features
    return (
        f"{name}, rank {explorer.rank + 1:,} of {n:,}, is in {where}. Its −log p is {chain} = {total:.4f} nats; "
        f"forward() returns {reading.forward:.4f}. All words, head and tails: {sums} = {sum(reading.masses):.10f}. "
        f"This token takes {cost:,} multiplications, a full softmax {full:,}."
    )


@dataclass(frozen=True)
class RoutedBatch:
    """A drawn batch before and after its sort."""

    clusters: list[int]
    """Of each token; J + 1 for an ignored one."""
    order: list[int]
    """Token numbers as sorted."""
    names: list[str]
    """Of the targets."""
    sizes: list[int]
    """Tokens of the head alone, of each tail, ignored ones."""
    drawn: list[int]
    """Tokens of each cluster in a whole batch of B."""

    def svg(self, explorer: LayerExplorer) -> str:
        """The picture of it."""
        return routing_svg(self.clusters, self.order, self.names, explorer.layer.n_clusters + 1)


def routed_batch(explorer: LayerExplorer, n: int, seed: int, padding: bool) -> RoutedBatch:
    """``n`` drawn tokens through the layer's own routing; with ``padding`` every fifth target is ignored."""
    layer, n_words = explorer.layer, len(explorer.vocabulary)
    _, batch = explorer.drawn(max(explorer.batch, n), np.random.default_rng(100 + seed))
    target = batch[:n].clone()
    if padding:
        target[::5] = layer.ignore_index
    ranks = target_ranks(target, n_words, layer.ignore_index, None)
    routing, _ = route(ranks, layer._edges)
    # the last edge is V, where the ignored ones stand
    edges = torch.tensor(layer.cutoffs)
    names = ["ignored" if rank == n_words else explorer.word_name(rank) for rank in ranks.tolist()]
    whole = torch.bucketize(batch[: explorer.batch], edges, right=True)
    return RoutedBatch(
        torch.bucketize(ranks, edges, right=True).tolist(), routing.permutation.tolist(), names, routing.sizes,
        torch.bincount(whole, minlength=len(edges)).tolist(),
    )  # fmt: skip


def routing_svg(clusters: Sequence[int], order: Sequence[int], names: Sequence[str], ignored: int) -> str:
    """Tokens as they come, and after one sort by the rank of their target.

    Args:
        clusters: of each token in its first place; ``J + 1`` for an ignored one.
        order: the permutation: token numbers as sorted.
        names: of the targets, for the tooltips.
        ignored: the number that stands for "ignored".
    """
    n = len(clusters)
    step = min(26.0, 740 / max(n, 1))

    def square(place: int, y: float, token: int) -> str:
        cluster = clusters[token]
        color = None if cluster == ignored else COLORS[cluster % len(COLORS)]
        letter = "–" if cluster == ignored else "h" if cluster == 0 else str(cluster)
        x = 10 + place * step
        return (
            f"<g><title>{html.escape(names[token])}</title>{_box(x, y, step - 3, 22, color)}"
            + _text(x + step / 2 - 1.5, y + 15, letter, 'text-anchor="middle"')
            + "</g>"
        )

    body = [_text(10, 14, "the batch as it comes (h: head, 1, 2 ...: tail, –: ignored)")]
    body += [square(i, 22, i) for i in range(n)]
    for place, token in enumerate(order):
        color = _GREY if clusters[token] == ignored else COLORS[clusters[token] % len(COLORS)]
        points = f'x1="{10 + token * step + step / 2:.1f}" x2="{10 + place * step + step / 2:.1f}" y1="46" y2="112"'
        body.append(f'<line {points} stroke="{color}" stroke-opacity=".8"/>')
    body += [square(place, 114, token) for place, token in enumerate(order)]
    start = 0
    for cluster in sorted(set(clusters)):
        size = sum(c == cluster for c in clusters)
        left, right = 10 + start * step, 10 + (start + size) * step - 3
        name = "ignored" if cluster == ignored else "head only" if cluster == 0 else f"tail {cluster}"
        body.append(_line([(left, 142), (left, 148), (right, 148), (right, 142)]))
        label = f"{name}: {size}"
        body.append(_text((left + right) / 2, 164 + 15 * (cluster % 2), label, 'text-anchor="middle"'))
        start += size
    end = 10 + sum(c != ignored for c in clusters) * step - 3
    body.append(_line([(10, 186), (10, 192), (end, 192), (end, 186)], 'stroke-width="2"'))
    body.append(_text(10, 208, f"the head's product sees all {sum(c != ignored for c in clusters)} rows that count"))
    return _svg(body, 214, "Tokens of a batch as they come, and sorted so that each cluster's tokens are one slice")


def curve_svg(check: GradientCheck, log_step: float) -> str:
    """Relative difference of the two gradients against the step, on logarithmic axes."""
    left, top, wide, high = 90, 16, 560, 150
    body: list[str] = []

    def x(h: float) -> float:
        return left + wide * (math.log10(h) + 12) / 12

    def y(error: float) -> float:
        return top + high * (1 - max(0.0, -math.log10(max(error, 1e-16))) / 16)

    for power in range(-12, 1, 2):
        place = x(10.0**power)
        body.append(_line([(place, top), (place, top + high)], 'stroke-opacity=".15"'))
        body.append(_text(place, top + high + 16, f"1e{power}", 'text-anchor="middle"'))
    for digits in (0, 4, 8, 12, 16):
        place = y(10.0**-digits)
        body.append(_line([(left, place), (left + wide, place)], 'stroke-opacity=".15"'))
        body.append(_text(left - 6, place + 4, f"{digits} digits", 'text-anchor="end"'))
    body.append(_line([(x(h), y(e)) for h, e in sorted(check.curve)], 'stroke-width="2"'))
    body += [f'<circle cx="{x(h):.1f}" cy="{y(e):.1f}" r="3"/>' for h, e in check.curve]
    here = (x(10.0**log_step), y(check.error))
    body.append(_box(here[0] - 6, here[1] - 6, 12, 12, COLORS[5]))
    body.append(_text(here[0] + 10, here[1] - 8, "your step"))
    body.append(
        _text(left + wide / 2, top + high + 34, "step ε (right: too coarse; left: rounding)", 'text-anchor="middle"')
    )
    return _svg(body, 206, "Digits to which finite differences agree with backward, against the step")


def loss_svg(losses: Sequence[float], entropies: tuple[float, float], steps: int) -> str:
    """Loss of each training step, between what the counts alone give and the least possible."""
    left, top, wide, high = 60, 22, 560, 140
    start, floor = entropies
    upper, lower = max([start, *losses]) + 0.1, min([floor, *losses]) - 0.1

    def x(step: float) -> float:
        return left + wide * step / max(1, steps - 1)

    def y(loss: float) -> float:
        return top + high * (upper - loss) / (upper - lower)

    body = [_text(left - 6, 14, "nats per token", 'text-anchor="start"')]
    for value, name in ((start, "counts only"), (floor, "best possible")):
        body.append(_line([(left, y(value)), (left + wide, y(value))], 'stroke-dasharray="5 4" stroke-opacity=".8"'))
        body.append(_text(left + wide + 6, y(value) + 4, f"{name} {value:.2f}"))
    if losses:
        body.append(_line([(x(i), y(v)) for i, v in enumerate(losses)], f'style="stroke:{COLORS[0]};stroke-width:2"'))
    for i in (0, steps // 2, steps):
        body.append(_text(left + wide * i / steps, top + high + 18, f"{i}", 'text-anchor="middle"'))
    body.append(_text(left + wide / 2, top + high + 34, "training step", 'text-anchor="middle"'))
    return _svg(body, 202, "Training loss against the step, between two dashed lines")


def decoding_data(explorer: LayerExplorer) -> tuple[f.Data, f.Layout]:
    """One hidden state: its tails against the k-th best word; all of them: shares of (row, tail) pairs against k."""
    found, pairs, row = explorer._decoded(), explorer.pairs(), explorer.state - 1
    tails, within = found["tails"][row].exp().numpy(), found["within"][row].exp().numpy()
    k = min(explorer.k, found["best"].shape[1])
    threshold = float(found["best"][row, k - 1].exp())
    opened = explorer.layer.opened(explorer.states[row], k).tolist()
    numbers = np.arange(1.0, len(tails) + 1)
    ks = np.array(pairs.ks, dtype=float)
    data: f.Data = {
        0: {"x": numbers, "y": tails, "text": [" open" if yes else " skip" for yes in opened]},
        1: {"x": numbers, "y": within},
        2: {"x": np.array([0.5, len(tails) + 0.5]), "y": np.full(2, threshold)},
        3: {"x": ks, "y": pairs.bound},
        4: {"x": ks, "y": pairs.opened},
        5: {"x": ks, "y": pairs.needed},
        6: {"x": np.full(2, float(k)), "y": np.array([0.0, 1.0])},
    }
    return data, {"xaxis.range": (0.5, len(tails) + 0.5)}


def decoding_figure(explorer: LayerExplorer) -> go.Figure:
    """Which tails can be skipped: for one hidden state, and on average."""
    figure = make_subplots(
        1, 2, subplot_titles=("this hidden state", f"all {STATES} hidden states"), horizontal_spacing=0.12
    )
    figure.add_scatter(row=1, col=1, mode="markers+text", name="a whole tail", textposition="middle right",
                       marker={"size": 13, "symbol": "diamond", "color": COLORS[0]})  # fmt: skip
    figure.add_scatter(row=1, col=1, mode="markers", name="best word in it",
                       marker={"size": 11, "symbol": "x", "color": COLORS[5]})  # fmt: skip
    figure.add_scatter(row=1, col=1, mode="lines", name="k-th best word", line={"color": _GREY, "dash": "dash"})
    for name, color, dash in (
        ("tail not below the k-th word", COLORS[0], "solid"),
        ("opened by topk", COLORS[2], "dot"),
        ("tail holds one of the k", COLORS[5], "dash"),
    ):
        figure.add_scatter(
            row=1, col=2, mode="lines+markers", name=name, line={"color": color, "dash": dash, "width": 2.5}
        )
    figure.add_scatter(row=1, col=2, mode="lines", name="your k", line={"color": _GREY, "width": 1.5})
    figure.update_xaxes(row=1, col=1, tickprefix="tail ", dtick=1)
    figure.update_yaxes(row=1, col=1, title_text="probability", **f.LOG)
    figure.update_xaxes(
        row=1, col=2, title_text="best words asked for, k", range=[0, TOP[-1] + 1], tickvals=[1, 10, 20, 30, 40, 50]
    )
    figure.update_yaxes(row=1, col=2, tickformat=".0%", range=[-0.03, 1.05], title_text="share of (row, tail) pairs")
    figure.update_annotations(font_size=13)
    figure = f.filled(figure, *decoding_data(explorer), 370)
    figure.update_layout(showlegend=True, legend={"orientation": "h", "y": -0.22}, margin={"b": 90})
    return figure


def decoding_sentence(explorer: LayerExplorer) -> str:
    """The decoding figure in words."""
    found, pairs, row = explorer._decoded(), explorer.pairs(), explorer.state - 1
    k = min(explorer.k, found["best"].shape[1])
    threshold = found["best"][row, k - 1]
    tails, within = found["tails"][row], found["within"][row]
    verdicts = []
    for i, opened in enumerate(explorer.layer.opened(explorer.states[row], k).tolist()):
        fate = "is skipped" if not opened else "is opened and holds a word wanted"
        if opened and within[i] < threshold:
            fate = "is opened in vain"
        verdicts.append(f"tail {i + 1} ({f.percent(float(tails[i].exp()))}) {fate}")
    nearest = min(range(len(pairs.ks)), key=lambda i: abs(pairs.ks[i] - k))
    return (
        f"Hidden state {explorer.state}, confidence {explorer.confidence:g}: word number {k} has "
        f"{f.percent(float(threshold.exp()))}; {', '.join(verdicts)}. Over all {STATES}, for the {pairs.ks[nearest]} "
        f"best: {f.percent(float(pairs.bound[nearest]))} of the tails are not below the last word wanted, topk opens "
        f"{f.percent(float(pairs.opened[nearest]))}, and {f.percent(float(pairs.needed[nearest]))} hold one of them. "
        + ("The layer is trained." if explorer.losses else "The layer is not trained: it knows the counts only.")
    )


# ---------------------------------------------------------------------- panels


def _typed(panel: parts.Panel, explorer: LayerExplorer, name: str, text: str) -> NumberBox:
    """A number box for a trait of the explorer; a refused number gives way to the one that holds."""
    box = NumberBox(value=getattr(explorer, name), description=text)
    panel.on_number(box, partial(setattr, explorer, name), partial(getattr, explorer, name))
    return box


def _pair(
    panel: parts.Panel, explorer: LayerExplorer, name: str, text: str, number_text: str, unit: str = "", **limits: Any
) -> parts.Pair:
    """Slider and number box of a whole-number trait."""
    number = NumberBox(description=number_text, unit=unit)
    return parts.Pair(panel, number, text, lambda value, _clip: setattr(explorer, name, round(value)), **limits)


def word_panel(explorer: LayerExplorer, *, slot: str = "word") -> w.VBox:
    """One word after one hidden state: which products, the loss in two parts, and that all words sum to one."""
    panel, words, picture = parts.Panel(), parts.Line(), w.HTML()
    picker, redraw_picker = cut_picker(panel, explorer, height=200)
    names = [f"cutoff {i + 1}" for i in range(MAX_TAILS)]
    cuts = [cutoff_pair(panel, explorer, i, name, f"{name}, words") for i, name in enumerate(names)]
    n_tails = w.Dropdown(options=list(range(1, MAX_TAILS + 1)), description="number of cutoffs", style=parts.WIDE,
                         layout=w.Layout(width="190px"))  # fmt: skip
    panel.on_value(n_tails, explorer.set_n_tails)
    sizes = {
        "n_words": _typed(panel, explorer, "n_words", "words V"),
        "in_features": _typed(panel, explorer, "in_features", "hidden size d"),
    }
    text = w.Text(description="word", continuous_update=False, style=parts.WIDE, layout=w.Layout(width="150px"))

    def look_up(value: str) -> None:
        try:
            explorer.choose(value)
        except Exception:
            redraw_words()
            raise

    def redraw_words() -> None:
        with panel.writing():
            text.value = explorer.word_name(explorer.rank).strip("“”")

    panel.on_value(text, look_up)
    rank = _pair(panel, explorer, "word", "rank", "rank of the word", log=True, high=float(len(explorer.vocabulary)))
    state = _pair(panel, explorer, "state", "state", "hidden state, number", high=float(STATES), step=1.0)
    figure = parts.live(word_figure(explorer))

    def redraw() -> None:
        redraw_picker()
        for i, pair in enumerate(cuts):
            pair.row.layout.display = None if i < len(explorer.cutoffs) else "none"
            if i < len(explorer.cutoffs):
                pair.show(explorer.cutoffs[i], len(explorer.vocabulary) - 1)
        with panel.writing():
            n_tails.value = len(explorer.cutoffs) or None
            for name, box in sizes.items():
                box.value = getattr(explorer, name)
        redraw_words()
        rank.show(explorer.rank + 1, len(explorer.vocabulary))
        state.show(explorer.state)
        reading = explorer.reading()
        picture.value = path_svg(explorer, reading)
        figure.push(*word_data(explorer, reading))
        words.say("In words: " + word_sentence(explorer, reading))

    reset = panel.button("Reset", explorer.reset, "Back to the start: sizes, cutoffs, word, hidden state")
    box = panel.box(
        picker, *(pair.row for pair in cuts), parts.row(n_tails, *sizes.values(), reset), parts.row(text, rank.row),
        state.row, picture, figure, words,
    )  # fmt: skip
    explorer.attach(slot, parts.safely(panel, redraw), box)
    return box


def routing_panel(explorer: LayerExplorer, *, slot: str = "routing") -> w.VBox:
    """A drawn batch before and after its one sort; tokens per cluster beside what the counts promise."""
    panel, picture, table, words = parts.Panel(), w.HTML(), w.HTML(), parts.Line()
    shown: dict[str, Any] = {"tokens": 28, "seed": 0, "padding": False}
    number = NumberBox(description="tokens drawn", unit="")
    padding = w.Checkbox(False, description="every fifth target is padding (ignored)", indent=False)

    def set_tokens(value: float, _clip: bool) -> None:
        if not 4 <= value <= 60:
            raise ValueError(f"{value:g} tokens are refused: the picture takes 4 to 60")
        shown["tokens"] = round(value)
        redraw()

    tokens = parts.Pair(panel, number, "tokens", set_tokens, low=4.0, high=60.0, step=1.0)

    def redraw() -> None:
        tokens.show(shown["tokens"])
        with panel.writing():
            padding.value = shown["padding"]
        layer = explorer.layer
        batch = routed_batch(explorer, shown["tokens"], shown["seed"], shown["padding"])
        picture.value = batch.svg(explorer)
        sizes = np.diff([0, *layer.cutoffs])
        rows = [
            (name, f"{size:,}", str(here), f"{drawn:,}", f"{explorer.batch * share:,.1f}")
            for name, size, here, drawn, share in zip(
                explorer.names, sizes, batch.sizes[:-1], batch.drawn, explorer.token_shares, strict=True
            )
        ]
        heads = ("targets in", "its words", "tokens above", f"tokens of {explorer.batch:,}", "expected, B p")
        table.value = _table(heads, rows)
        some = [f"tail {i + 1} gets the next {size}" for i, size in enumerate(batch.sizes[1:-1])]
        count, in_tails = sum(batch.sizes[:-1]), sum(batch.sizes[1:-1])
        words.say(
            f"In words: {count} of {len(batch.clusters)} tokens count, and the head's product sees them all. After the "
            f"sort, the first {batch.sizes[0]} need no more; {', '.join(some)}; {batch.sizes[-1]} ignored come last. "
            f"Rows in all products together: {count + in_tails}; every token in every cluster would be "
            f"{count * (1 + layer.n_clusters)}."
        )

    def another() -> None:
        shown["seed"] += 1
        redraw()

    def pad(value: bool) -> None:
        shown["padding"] = value
        redraw()

    panel.on_value(padding, pad)
    buttons = parts.row(panel.button("Draw another batch", another), padding)
    box = panel.box(tokens.row, buttons, picture, table, words)
    explorer.attach(slot, parts.safely(panel, redraw), box)
    return box


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, left: bool = False) -> str:
    """An HTML table; ``left`` for cells that hold sentences."""
    style = ' style="text-align:left"' if left else ""
    head = "".join(f"<th{style}>{html.escape(h)}</th>" for h in heads)
    body = "".join("<tr>" + "".join(f"<td{style}>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def gradient_panel(explorer: LayerExplorer, *, slot: str = "gradients") -> w.VBox:
    """One weight's gradient by backward and by finite differences; every parameter's, ours and PyTorch's."""
    panel, pair_table, picture, table, words = parts.Panel(), w.HTML(), w.HTML(), w.HTML(), parts.Line()
    shown: dict[str, Any] = {"name": "head.weight", "row": 0, "column": 0, "step": -5.0, "skip": False}
    name = w.Dropdown(
        options=["head.weight"], description="parameter", style=parts.WIDE, layout=w.Layout(width="240px")
    )
    row, column = NumberBox(description="row, from 0"), NumberBox(description="column, from 0")
    skip = w.Checkbox(False, description="a batch without tokens of the last tail", indent=False)
    power = NumberBox(description="step, power of ten", unit="power of ten", whole=False)

    def change(what: str) -> Callable[[Any], None]:
        def act(value: Any) -> None:
            before = dict(shown)
            shown[what] = value
            if what == "name":
                shown["row"] = shown["column"] = 0
            try:
                draw()
            except Exception:
                shown.update(before)
                draw()
                raise

        return act

    def set_step(value: float, _clip: bool) -> None:
        if not -12 <= value <= 0:
            raise ValueError(f"{value:g} is refused: the step goes from -12 (a trillionth) to 0 (one)")
        change("step")(float(value))

    step = parts.Pair(panel, power, "step ε", set_step, low=-12.0, high=0.0, step=0.25)
    for what, control in (("name", name), ("skip", skip)):
        panel.on_value(control, change(what))
    for what, number in (("row", row), ("column", column)):
        panel.on_number(number, change(what), partial(shown.__getitem__, what))

    def redraw() -> None:
        # after a cutoff moved, a parameter or a row may be gone; what the reader types is refused instead
        weights = dict(explorer.layer.named_parameters())
        if shown["name"] not in weights:
            shown.update(name="head.weight", row=0, column=0)
        rows, columns = weights[shown["name"]].shape
        shown.update(row=min(shown["row"], rows - 1), column=min(shown["column"], columns - 1))
        draw()

    def draw() -> None:
        names = parameter_names(explorer)
        key = ("gradient", explorer.layer, explorer.confidence, *shown.values())
        check = explorer._cached(key, lambda: gradient_check(
            explorer, shown["name"], shown["row"], shown["column"], shown["step"], shown["skip"]))  # fmt: skip
        key = ("gradients", explorer.layer, explorer.confidence, shown["skip"])
        rows = explorer._cached(key, lambda: gradient_table(explorer, shown["skip"]))
        with panel.writing():
            if name.options != tuple(names):
                name.options = tuple(names)
            name.value, row.value, column.value, skip.value = (shown[k] for k in ("name", "row", "column", "skip"))
        step.show(shown["step"])
        pair_table.value = _table(
            ("d loss / d " + f"{shown['name']}[{shown['row']}, {shown['column']}]", ""),
            [
                ("backward()", f"{check.analytic:+.15e}"),
                (f"(L(θ + ε) − L(θ − ε)) / 2ε, ε = {10.0 ** shown['step']:.2g}", f"{check.numeric:+.15e}"),
                ("relative difference", f"{check.error:.1e}"),
            ],
        )
        picture.value = curve_svg(check, shown["step"])
        table.value = _table(
            ("parameter", "shape", "tokens", "|gradient|, ours", "PyTorch's layer"),
            [
                (r.name, " x ".join(f"{n:,}" for n in r.shape), str(r.tokens), f"{r.ours:.6g}",
                 "None" if r.stock is None else f"{r.stock:.6g}")
                for r in rows
            ],
        )  # fmt: skip
        digits = -math.log10(max(check.error, 1e-16))
        best = min(check.curve, key=lambda point: point[1])
        unset = [r.name for r in rows if r.stock is None]
        words.say(
            f"In words: with this step the two agree to {max(0.0, digits):.1f} digits; of the steps drawn, "
            f"{best[0]:.0e} agrees best. "
            + (f"No token used {', '.join(unset)}: ours has zeros there, PyTorch's layer no gradient at all."
               if unset else "Each parameter was used by some token, and each has a gradient in both layers.")
        )  # fmt: skip

    box = panel.box(parts.row(name, row, column), step.row, pair_table, picture, skip, table, words)
    explorer.attach(slot, parts.safely(panel, redraw), box)
    return box


def drop_in_panel(explorer: LayerExplorer, *, slot: str = "drop-in") -> w.VBox:
    """PyTorch's layer and ours with the same weights: their numbers, and what only one of them takes."""
    panel, table, tried, words = parts.Panel(), w.HTML(), w.HTML(), parts.Line()
    case = w.Dropdown(options=list(CASES), value="padding (targets of -100)", description="hand both layers",
                      style=parts.WIDE, layout=w.Layout(width="420px"))  # fmt: skip

    def redraw() -> None:
        key = (explorer.vocabulary, explorer.in_features, explorer.cutoffs)
        table.value = _table(
            ("torch.nn.AdaptiveLogSoftmaxWithLoss and ours", "found"),
            explorer._cached(("drop-in", key), lambda: drop_in_table(explorer)),
        )
        stock, ours = explorer._cached(("case", case.value, key), lambda: drop_in_case(explorer, case.value))
        tried.value = _table(("", CASES[case.value][0]), [("PyTorch's layer", stock), ("ours", ours)], left=True)
        words.say(f"In words: for {case.value}: {drop_in_verdict(stock, ours)}")

    panel.on_value(case, lambda _: redraw())
    box = panel.box(table, case, tried, words)
    explorer.attach(slot, parts.safely(panel, redraw), box)
    return box


def train_panel(explorer: LayerExplorer, *, steps: int = TRAIN_STEPS, slot: str = "training") -> w.VBox:
    """Trains the layer for these cutoffs in the background, with progress and a stop."""
    panel, picture, words = parts.Panel(), w.HTML(), parts.Line()
    bar = w.IntProgress(0, min=0, max=steps, description="step", style=parts.WIDE, layout=w.Layout(width="300px"))
    stopped = threading.Event()

    def show(losses: Sequence[float]) -> None:
        bar.value = len(losses)
        picture.value = loss_svg(losses, explorer.entropies, steps)

    def tick(step: int, losses: list[float]) -> None:
        if step % 10 == 0:
            with LOCK:
                show(losses)

    def work() -> None:
        try:
            losses = explorer.train(steps, progress=tick, stop=stopped.is_set)
            if len(losses) < steps and not stopped.is_set():
                words.say("In words: stopped, for the words, d or the cutoffs changed. Press Train for the new ones.")
        except Exception as error:
            panel.problem.say(f"{type(error).__name__}: {parts.one_line(error)}")
        finally:
            start.disabled, stop.disabled = False, True

    def begin() -> None:
        _ = explorer.layer  # without cutoffs there is nothing to train: says so
        stopped.clear()
        start.disabled, stop.disabled = True, False
        words.say("In words: training ...")
        threading.Thread(target=work, daemon=True).start()

    def redraw() -> None:
        losses = explorer.losses
        if start.disabled and not losses:
            return
        show(losses)
        counts, least = explorer.entropies
        if losses:
            recent = float(np.mean(losses[-20:]))
            words.say(
                f"In words: {len(losses)} steps of {explorer.batch:,} tokens. The loss was {losses[0]:.2f} nats per "
                f"token and is {recent:.2f} now (mean of the last {min(20, len(losses))} steps); the counts alone give "
                f"{counts:.2f}, knowing each situation would give {least:.2f}."
            )
        else:
            words.say(f"In words: not trained here. The layer knows the counts only: {counts:.2f} nats per token.")

    start = panel.button("Train", begin, "Train the layer for these words and cutoffs")
    stop = panel.button("Stop", stopped.set, "Stop training and keep what was learnt")
    forget = panel.button("Back to the counts", explorer.untrain, "Forget all training")
    stop.disabled = True
    box = panel.box(parts.row(start, stop, forget, bar), picture, words)
    explorer.attach(slot, parts.safely(panel, redraw), box)
    return box


def decoding_panel(explorer: LayerExplorer, *, slot: str = "decoding") -> w.VBox:
    """When the k best words need a tail, and when not."""
    panel, words = parts.Panel(), parts.Line()
    k = _pair(
        panel, explorer, "k", "k", "best words asked for, k", "best words asked for", high=float(TOP[-1]), step=1.0
    )
    number = NumberBox(description="confidence (times the state)", unit="times the state", whole=False)
    confidence = parts.Pair(
        panel, number, "confidence", lambda value, _clip: setattr(explorer, "confidence", round(value, 3)),
        low=0.1, high=10.0, step=0.1,
    )  # fmt: skip
    state = _pair(panel, explorer, "state", "state", "hidden state, number", high=float(STATES), step=1.0)
    figure = parts.live(decoding_figure(explorer))

    def reset() -> None:
        explorer.confidence, explorer.k = 1.0, 10

    def redraw() -> None:
        k.show(explorer.k)
        confidence.show(explorer.confidence)
        state.show(explorer.state)
        figure.push(*decoding_data(explorer))
        words.say("In words: " + decoding_sentence(explorer))

    box = panel.box(k.row, confidence.row, parts.row(state.row, panel.button("Reset", reset)), figure, words)
    explorer.attach(slot, parts.safely(panel, redraw), box)
    return box


# ---------------------------------------------------------------------- stills


@lru_cache(maxsize=2)
def _shown(trained: bool) -> LayerExplorer:
    explorer = LayerExplorer("en", cost=COUNTED_MULTIPLICATIONS)
    if trained:
        explorer.train()
    return explorer


def _image(svg: str) -> str:
    # an image knows no theme: the grey that reads on both
    return svg.replace("<svg ", f'<svg xmlns="http://www.w3.org/2000/svg" color="{f.TEXT_COLOR}" ', 1)


@f.still(
    "05_word",
    "The word fans: its loss of 9 nats is 1.8 for the head and 7.2 for the tail; all words stacked reach one, 73 "
    "percent of it in the head; the probability of each word falls with its rank.",
)
def _word_still() -> f.Picture:
    return word_figure(_shown(False))


@f.still(
    "05_routing",
    "28 squares, each a token with the letter of its cluster, mixed. Lines lead to the same squares sorted by cluster.",
)
def _routing_still() -> f.Picture:
    return _image(routed_batch(_shown(False), 28, 0, False).svg(_shown(False)))


@f.still(
    "05_gradient",
    "Digits of agreement against the step ε: none or one at ε = 1, eight to nine near ε = 0.0001, and about one at the "
    "smallest step.",
)
def _gradient_still() -> f.Picture:
    explorer = _shown(False)
    check = gradient_check(explorer, "head.weight", 0, 0, -5.0, False)
    x, target = gradient_batch(explorer, False)
    loss = float(explorer.layer(x, target).loss.detach())
    # Rounding errors differ from machine to machine: the still draws their law. Cutting off the series costs c h^2;
    # a loss is known to eps L, which the division makes eps L / h.
    c, eps = dict(check.curve)[0.1] / 0.01, float(np.finfo(np.float64).eps)
    law = [(h, max(c * h**2, eps * loss / (h * abs(check.analytic)))) for h, _ in check.curve]
    return _image(curve_svg(GradientCheck(check.analytic, check.numeric, dict(law)[1e-5], law), -5.0))


@f.still(
    "05_training",
    "The loss against the training step: from the upper dashed line, the counts only, at 6.5 nats, it falls quickly to "
    "5, above the lower dashed line, the best possible, at 4.2.",
)
def _training_still() -> f.Picture:
    losses = [round(loss, 2) for loss in _shown(True).losses]
    return _image(loss_svg(losses, _shown(True).entropies, TRAIN_STEPS))


@f.still(
    "05_decoding",
    "Left, one hidden state: both tails lie above the tenth best word, the best word in each far below it. Right, "
    "shares of pairs against k: not below the k-th word, 43 to 100 percent; opened by topk, 28 to 98 percent; holding "
    "one of the k words, near zero until k = 10.",
)
def _decoding_still() -> f.Picture:
    return decoding_figure(_shown(True))


@f.still(
    "05_drop_in",
    "Seven calls to both layers. Both answer a plain batch; PyTorch's refuses four that ours answers; one is answered "
    "in different shapes, and ours refuses one.",
)
def _drop_in_still() -> f.Picture:
    explorer, rows = _shown(False), {}
    for case in CASES:
        stock, ours = drop_in_case(explorer, case)
        rows[case] = drop_in_verdict(stock, ours)
    return f.card_svg(rows, 290)


@f.still(
    "05_own_words",
    "The three plots of section 1 for the 96 words of this project's licence: the second lies in the head.",
)
def _own_words_still() -> f.Picture:
    licence = read_words(LICENCE, "LICENSE")
    explorer = LayerExplorer(licence, cost=COUNTED_MULTIPLICATIONS)
    explorer.word = 2
    return word_figure(explorer)
