"""The computation-time model: what a head, a tail and a whole layer cost, in seconds, operations and bytes.

Two models with one interface. :class:`PaperCost` is the paper's ``g(k, B)``; :class:`MeasuredCost` is fitted to
timings of one device by :func:`adasoft.calibrate` and read back from a machine record.

A cost model is *monotone* if a tail over fewer words or fewer tokens never costs more. Most models here also satisfy
the *quadrangle inequality*. Dynamic programming over all pairs of ranks finds the best cutoffs under any model; with
these two properties a much faster search is exact too, as :mod:`adasoft.search` explains and proves.
"""

from __future__ import annotations

import abc
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .checks import integer, items, number
from .files import short
from .tuning import BEYOND_BYTES, BOUND_ROWS, CHUNK_ELEMENTS, CHUNK_ROWS, FEW_LOGITS, GPU_CHUNK_ELEMENTS

Objective = Literal["train", "decode"]
#: One number or an array of numbers; the arguments of one call broadcast.
Values = float | npt.NDArray[np.float64]

#: What a batch is for: a step of training, or the best words of each row.
OBJECTIVES = ("train", "decode")
#: Upper limit on a model's numbers, so that sums and products cannot overflow.
_LARGEST = 1e12


def _model_number(name: str, value: Any) -> float:
    """``value`` as a float. Raises ValueError if a cost model may not hold it."""
    return number(name, value, 0, _LARGEST, f"a finite number of at least 0 and at most {_LARGEST:g}")


#: A matrix product (n x d) by (d x k) as (n, k, d): rows (a mean, so not always whole), columns, features.
#: :meth:`Cost.product_time` takes the same numbers in the order (k, rows, d).
Product = tuple[float, int, int]


def layer_products(
    n_classes: int,
    cutoffs: Sequence[int],
    widths: Sequence[int],
    in_features: int,
    batch: float,
    tail_rows: Sequence[float],
) -> list[Product]:
    """The matrix products of a forward pass: the head's, then for each tail its projection and its output.

    ``cutoffs`` c_1 < ... < c_J (V left out); ``tail_rows``: number of tokens of each tail. Without cutoffs, the one
    product of a full softmax.

    >>> layer_products(10_000, [2_000], [16], 64, 128, [32.0])
    [(128, 2001, 64), (32.0, 16, 64), (32.0, 8000, 16)]
    """
    edges = [*cutoffs, n_classes]
    products: list[Product] = [(batch, edges[0] + len(cutoffs), in_features)]
    for size, width, rows in zip(np.diff(edges).tolist(), widths, tail_rows, strict=True):
        products += [(rows, width, in_features), (rows, size, width)]
    return products


def count_operations(products: Sequence[Product], train: bool = True) -> float:
    """Floating-point operations of products, 2 per multiply-add; three times as many where gradients are taken.

    >>> count_operations([(128, 2001, 64), (32, 16, 64), (32, 8000, 16)], train=False)
    41041920.0
    """
    return (6.0 if train else 2.0) * sum(float(n) * k * d for n, k, d in products)


@dataclass(frozen=True)
class Part:
    """One part of a layer: what a cluster spends on one kind of work."""

    cluster: str
    """``"head"``, ``"tail 1"`` ... or ``"all"``."""
    part: str
    """``"output"`` (product with the output weights, softmax), ``"projection"`` or ``"rows"`` (sorting the tokens by
    cluster)."""
    seconds: float
    operations: float
    """Floating-point operations of the products, 2 per multiply-add."""
    parameters: int


@dataclass(frozen=True)
class LayerCost:
    """Predicted cost of one layer and batch, split by cluster and part."""

    parts: tuple[Part, ...]
    peak_bytes: float
    """Parameters, their gradients and the tensors that one step holds at its widest moment, in bytes. A process holds
    more: allocators keep freed buffers."""

    @property
    def seconds(self) -> float:
        """Predicted time of one step."""
        return sum(p.seconds for p in self.parts)

    @property
    def operations(self) -> float:
        """Floating-point operations of all products."""
        return sum(p.operations for p in self.parts)

    @property
    def parameters(self) -> int:
        """Number of parameters (no biases)."""
        return sum(p.parameters for p in self.parts)

    def by_cluster(self) -> dict[str, float]:
        """Seconds per cluster, in order."""
        out: dict[str, float] = {}
        for p in self.parts:
            out[p.cluster] = out.get(p.cluster, 0.0) + p.seconds
        return out


class Cost(abc.ABC):
    """What a cost model offers. Sizes may be arrays; they broadcast.

    A model of your own overrides :meth:`product_time` and, where the plan should know, the rest. Set the attributes
    below if they hold for it.
    """

    name: str = "cost model"
    """Shown with each plan."""
    monotone: bool = False
    """Whether a tail over fewer words or fewer tokens never costs more. :func:`adasoft.plan` then searches fast;
    otherwise it looks at every pair of ranks."""
    quadrangle: bool = False
    """Whether the cost of every tail satisfies the quadrangle inequality (see :mod:`adasoft.search`). If only tails
    above some share do, override :meth:`quadrangle_share`."""
    itemsize: int = 4
    """Bytes per number of the layer: 4 in fp32, 2 in fp16 and bf16. For the estimate of memory."""
    on_gpu: bool = False
    """Whether the layer runs on a GPU, where its chunks of logits are larger. For the estimate of memory."""

    def quadrangle_share(self, batch: float) -> float:
        """Smallest share at and above which a tail's cost satisfies the quadrangle inequality; inf if it never does."""
        return 0.0 if self.quadrangle else math.inf

    @abc.abstractmethod
    def product_time(self, k: Values, rows: Values, d: Values, objective: Objective = "train") -> Values:
        """Seconds of one (rows x d) by (d x k) product with its softmax, ``g(k, B, d)``.

        For the output of a tail, ``d`` is the tail's width.
        """

    def projection_time(self, rows: Values, d: Values, width: Values, objective: Objective = "train") -> Values:
        """Seconds to gather a tail's rows and project them from d to its width."""
        return np.zeros(np.broadcast(rows, d, width).shape)

    def rows_time(self, batch: Values, d: Values, objective: Objective = "train") -> Values:
        """Seconds to sort the tokens of a batch by cluster."""
        return np.zeros(np.broadcast(batch, d).shape)

    def head_time(self, shortlist: Values, n_tails: int, batch: float, d: float, objective: Objective) -> Values:
        """Seconds of the head: ``shortlist`` words and one entry per tail, for every token of the batch."""
        return self.product_time(np.asarray(shortlist) + n_tails, batch, d, objective)

    def tail_time(
        self,
        size: Values,
        share: Values,
        batch: float,
        d: float,
        width: float,
        objective: Objective,
        opened: float | None = 1.0,
    ) -> Values:
        """Seconds of a tail of ``size`` words with a ``share`` of the tokens, its projection included.

        When decoding, the share does not matter. A tail is then computed ("opened") only for the rows where it may hold
        a winner; ``opened`` is that fraction of the rows, or None where nothing is searched (:meth:`searched`).
        """
        opened = 1.0 if opened is None else opened
        rows = np.asarray(share) * batch if objective == "train" else np.full(np.shape(share), opened * float(batch))
        return self.product_time(size, rows, width, objective) + self.projection_time(rows, d, width, objective)

    def searched(self, n_classes: int, batch: float) -> bool:
        """Whether the best words of so many rows are looked for tail by tail; if not, all logits are computed."""
        return True

    def full_time(self, n_classes: float, batch: float, d: float, objective: Objective = "train") -> float:
        """Seconds of a full softmax over all words."""
        return float(self.product_time(n_classes, batch, d, objective))

    def layer(
        self,
        n_classes: int,
        cutoffs: Sequence[int],
        widths: Sequence[int],
        tail_shares: Sequence[float],
        in_features: int,
        batch: int,
        objective: Objective = "train",
        opened: float | Sequence[float] = 1.0,
    ) -> LayerCost:
        """Cost of a whole layer; without cutoffs, of a full softmax.

        ``cutoffs`` c_1 < ... < c_J (V left out); ``widths`` and ``tail_shares``: one per tail. ``opened``: when
        decoding, the fraction of the rows for which a tail is computed (one number for all tails, or one per tail).
        Raises ValueError for cutoffs that do not rise or do not stay below V, and unless there are as many widths and
        shares as cutoffs.
        """
        # Python's integers, since NumPy's of 32 bits cannot count the parameters.
        n_classes, batch = integer("n_classes", n_classes, 1), integer("batch", batch, 1)
        in_features = integer("in_features", in_features, 1)
        cutoffs = [integer(f"cutoffs[{i}]", c, 1) for i, c in enumerate(cutoffs)]
        widths = [integer(f"widths[{i}]", w, 1) for i, w in enumerate(widths)]
        if any(a >= b for a, b in itertools.pairwise([*cutoffs, n_classes])):
            raise ValueError(f"cutoffs should rise and stay below n_classes={n_classes}, got {short(cutoffs)}")
        listed = items(opened)  # None if it is one number
        opened_per_tail: list[Any] = [opened] * len(cutoffs) if listed is None else listed
        for argument, given in (("widths", widths), ("tail_shares", tail_shares), ("opened", opened_per_tail)):
            if len(given) != len(cutoffs):
                raise ValueError(f"{argument} should be one for each of {len(cutoffs)} tails, got {short(given)}")
        train = objective == "train"
        n_tails, d = len(cutoffs), in_features
        tail_rows = [share * batch for share in (tail_shares if train else opened_per_tail)]
        products = layer_products(n_classes, cutoffs, widths, d, batch, tail_rows)
        head_size = products[0][1]
        parts = []

        def add(cluster: str, part: str, seconds: float, product: Product) -> None:
            parts.append(Part(cluster, part, seconds, count_operations([product], train), product[1] * product[2]))

        if n_tails:
            parts.append(Part("all", "rows", float(self.rows_time(batch, d, objective)), 0.0, 0))
            seconds = float(self.head_time(cutoffs[0], n_tails, batch, d, objective))
        else:
            seconds = self.full_time(n_classes, batch, d, objective)
        add("head", "output", seconds, products[0])

        # Memory, counted in numbers of ``itemsize`` bytes. Weight gradients stay until the step ends, so they pile up
        # from cluster to cluster; of the logits, only one chunk of one cluster is held at a time.
        # Half precision: weight gradients are fp32 (2 units); on a CPU a second, fp32 buffer holds the probabilities
        # beside the logits (1 + 2 = 3 units).
        half = train and self.itemsize == 2
        per_logit, per_gradient = (1.0 if self.on_gpu else 3.0, 2.0) if half else (1.0, float(train))
        gradients = per_gradient * head_size * d
        most_held = per_logit * _logits_held(batch, head_size, self.on_gpu) + gradients
        for i in range(n_tails):
            projection, output = products[2 * i + 1], products[2 * i + 2]
            rows, size, width = output
            if not train:
                projection = (batch, width, d)  # before it is known which rows open the tail
            part = opened_per_tail[i] if train or self.searched(n_classes, batch) else None
            whole = float(self.tail_time(size, tail_shares[i], batch, d, width, objective, part))
            projecting = float(self.projection_time(projection[0], d, width, objective))
            add(f"tail {i + 1}", "projection", projecting, projection)
            add(f"tail {i + 1}", "output", whole - projecting, output)
            # The gradient of the output weights grows while the logits are there; beside it lie the gathered inputs,
            # the projected inputs and the gradient of those.
            gradients += per_gradient * size * width
            logits = per_logit * _logits_held(rows, size, self.on_gpu)
            most_held = max(most_held, gradients + logits + rows * (d + 2.0 * width))
            # The gradient of the projection is computed last, when the tail's logits are gone.
            gradients += per_gradient * d * width
        if not train:
            most_held = 2.0 * batch * n_classes  # decoding: the logits of all words for every row, twice
        parameters = sum(p.parameters for p in parts)
        inputs = (1.0 + train) * batch * d  # in training with their gradient
        return LayerCost(tuple(parts), self.itemsize * (parameters + inputs + max(most_held, gradients)))


def _logits_held(rows: float, words: int, on_gpu: bool) -> float:
    """Numbers in the largest chunk of logits, as :func:`adasoft.loss.chunk_rows` (which needs torch) bounds it."""
    fewest, most = CHUNK_ROWS
    chunk = GPU_CHUNK_ELEMENTS / words if on_gpu else min(most, CHUNK_ELEMENTS / words)
    return min(rows, max(fewest, chunk)) * words


Form = Literal["last", "first", "expected"]

#: Expected tokens in a tail above which 1 - exp(-tokens) is 1 in fp64.
_SURE = 40.0


@dataclass(frozen=True)
class PaperCost(Cost):
    """The paper's model: ``g(k, B) = max(c + lambda k0 B0, c + lambda k B)``, flat and then affine (section 4).

    Widths and projections do not enter it: the paper measured one hidden size. The forms differ in the constant time
    that a tail pays, and can choose different numbers of clusters:

    - ``"last"`` (the paper's last version): every tail pays the whole constant,
      ``C = g(J + k_h, B) + sum_i g(k_i, p_i B)``. Where all products are in the affine part, the constants sum to
      ``(J + 1) c``.
    - ``"first"`` (the first version): a tail is weighted by its share, ``C = g(J + k_h) + sum_i p_i g(k_i)`` with
      g taken at the whole batch. Where all products are in the affine part, the constants sum to ``(2 - p_h) c``.
    - ``"expected"`` (ours, joins both): a tail pays only if at least one token falls into it, with probability
      ``q_i = 1 - (1 - p_i)^B``: ``C = g(J + k_h, B) + sum_i q_i g(k_i, p_i B / q_i)``. B = 1 gives the first form,
      large B the last.

    Args:
        c: seconds that a product of any size costs. This and the others: from 0 to 1e12.
        lam: lambda, seconds per word and token. The paper printed neither it nor a way to get it. On its K40,
            ``c + lambda k0 B0`` = 0.40 ms; peak arithmetic (4.3 TFLOP/s, d = 2048) alone takes at least 2.4 us per word
            for B0 = 2560 tokens.
        k0: number of words up to which the time is flat at the batch B0; the paper gives about 50.
        batch0: B0, the batch of that measurement, 2560 in the paper.
        form: see above.

    >>> cost = PaperCost(c=0.25, lam=0.5, k0=2, batch0=4)
    >>> float(cost.product_time(1, 1)), float(cost.product_time(10, 4))  # flat, then affine
    (4.25, 20.25)
    """

    c: float
    lam: float
    k0: float = 50.0
    batch0: float = 2560.0
    form: Form = "last"
    name: str = "paper"
    monotone: bool = field(default=True, init=False)

    def __post_init__(self) -> None:
        for argument in ("c", "lam", "k0", "batch0"):
            object.__setattr__(self, argument, _model_number(argument, getattr(self, argument)))
        if self.form not in ("last", "first", "expected"):
            raise ValueError(f"form should be 'last', 'first' or 'expected', got {self.form!r}")
        # an attribute of `Cost`, not a field; the class is frozen
        object.__setattr__(self, "quadrangle", self.form != "expected")

    def quadrangle_share(self, batch: float) -> float:
        """0, or for the expected form 40 / B: above 40 expected tokens ``q_i`` is 1 in fp64, as in the last form."""
        return _SURE / batch if self.form == "expected" else 0.0

    def product_time(self, k: Values, rows: Values, d: Values = 1.0, objective: Objective = "train") -> Values:
        """``g(k, B)`` in seconds; ``d`` and ``objective`` do not enter the paper's model."""
        # in fp64: words times tokens of a large batch are beyond an int64
        words = np.multiply(k, rows, dtype=np.float64)
        return np.maximum(self.c + self.lam * self.k0 * self.batch0, self.c + self.lam * words)

    def tail_time(
        self,
        size: Values,
        share: Values,
        batch: float,
        d: float,
        width: float,
        objective: Objective,
        opened: float | None = 1.0,
    ) -> Values:
        """Seconds of a tail in the chosen form."""
        p: npt.NDArray[np.float64] = np.asarray(share, dtype=np.float64)
        if objective == "decode":
            p = np.full(p.shape, 1.0 if opened is None else float(opened))
        if self.form == "first":
            return p * self.product_time(size, batch)
        if self.form == "last":
            return self.product_time(size, p * batch)
        # log1p keeps the tiny shares of rare words; q g(k, pB/q) = max(q (c + lambda k0 B0), q c + lambda k p B)
        q = np.ones(np.shape(p))
        rare = p * batch < _SURE
        q[rare] = -np.expm1(batch * np.log1p(-np.minimum(p[rare], 1 - 2**-53)))
        flat = q * (self.c + self.lam * self.k0 * self.batch0)
        return np.maximum(flat, q * self.c + self.lam * np.multiply(size, p) * batch)


#: Terms of a measured product, for n rows, k words, d features (see `MeasuredCost`). "k d beyond": the part of k d
#: that does not fit in `BEYOND_BYTES`.
PRODUCT_TERMS = ("1", "n k d", "n k", "k d", "n d", "k d beyond")
#: Terms of a projection of n rows from d features to the width w.
PROJECTION_TERMS = ("1", "n d w", "n (d + w)", "d w")
#: Terms of sorting n tokens with d features by cluster; when decoding, of what a call takes beyond its parts.
ROWS_TERMS = ("1", "n", "n d")
#: What a tail costs before any of its words is computed, when the best words of n rows are looked for: a few small
#: operations, and for many rows averages of its k w weights and their products with the rows (:mod:`adasoft.decoding`).
SEARCH_TERMS = ("1", "n", "k w", "n k w")
#: What normalising the head and finding its best words takes beyond the logits of a tail, whose words are seldom
#: among the best. For decoding; where nothing is searched (few logits on a CPU), all words take it.
HEAD_TERMS = ("n k",)
#: What a full softmax written by hand, which holds all n k logits at once, takes beyond a product in chunks.
FULL_TERMS = ("n k",)
#: A product of one row when decoding: a matrix times a vector, which reads the k d weights as they lie (for many rows
#: they are first packed, at about twice the price), and whose k logits keep one thread busy. The last term is the
#: number of words that are normalised and searched: those of a head, or of a full softmax.
VECTOR_TERMS = ("1", "k d", "k", "k normalised")
TERMS: dict[str, tuple[str, ...]] = {
    "product": PRODUCT_TERMS,
    "projection": PROJECTION_TERMS,
    "rows": ROWS_TERMS,
    "search": SEARCH_TERMS,
    "head": HEAD_TERMS,
    "full": FULL_TERMS,
    "vector": VECTOR_TERMS,
}
#: Kinds that older records do not have.
_LATER = ("search", "head", "full", "vector")
#: Matrix products, and passes over the weights, that a step makes: two more of each for the gradients.
PASSES = {"train": 3.0, "decode": 1.0}


def lower_bounds(per_operation: float, per_byte: float, itemsize: int, objective: str) -> dict[str, list[float]]:
    """The least that each coefficient can be on a device which needs at least ``per_operation`` seconds for a
    multiply-add and ``per_byte`` for a byte of weights: zero for the terms that neither limits.

    >>> lower_bounds(1e-12, 1e-11, 4, "train")["product"]
    [0.0, 3e-12, 0.0, 1.2e-10, 0.0, 0.0]
    """
    passes = PASSES[objective]
    least = {"n k d": passes * per_operation, "k d": passes * per_byte * itemsize}
    least |= {"n d w": least["n k d"], "d w": least["k d"]}
    found = {kind: [least.get(term, 0.0) for term in terms] for kind, terms in TERMS.items()}
    return found if objective == "decode" else found | {"vector": [0.0] * len(VECTOR_TERMS)}


def product_terms(k: Any, rows: Any, d: Any, itemsize: int) -> list[Any]:
    """The numbers that the coefficients of `PRODUCT_TERMS` multiply.

    Each is monotone and satisfies the quadrangle inequality, see :mod:`adasoft.search`.
    """
    kd = np.multiply(k, d, dtype=np.float64)
    one = np.ones(np.broadcast(k, rows, d).shape)  # `one *` gives each term the common shape
    n_kd, n_k = np.multiply(rows, kd), np.multiply(rows, k, dtype=np.float64)
    return [
        one,
        n_kd,
        n_k,
        one * kd,
        one * np.multiply(rows, d, dtype=np.float64),
        one * np.maximum(kd - BEYOND_BYTES / itemsize, 0.0),
    ]


def projection_terms(rows: Any, d: Any, width: Any) -> list[Any]:
    """The numbers that the coefficients of `PROJECTION_TERMS` multiply."""
    one = np.ones(np.broadcast(rows, d, width).shape)
    dw = np.multiply(d, width, dtype=np.float64)
    return [one, np.multiply(rows, dw), np.multiply(rows, np.add(d, width, dtype=np.float64)), one * dw]


def rows_terms(batch: Any, d: Any) -> list[Any]:
    """The numbers that the coefficients of `ROWS_TERMS` multiply."""
    one = np.ones(np.broadcast(batch, d).shape)
    return [one, one * batch, np.multiply(batch, d, dtype=np.float64)]


def search_terms(size: Any, batch: float, width: float, bounds: bool) -> list[Any]:
    """The numbers that the coefficients of `SEARCH_TERMS` multiply. ``bounds``: whether averages are made for so many
    rows."""
    one = np.ones(np.shape(size))
    weights = np.multiply(size, float(width) * bounds)
    return [one, one * batch, weights, weights * batch]


def vector_terms(k: Any, d: Any, normalised: Any) -> list[Any]:
    """The numbers that the coefficients of `VECTOR_TERMS` multiply."""
    one = np.ones(np.broadcast(k, d, normalised).shape)
    return [one, one * np.multiply(k, d, dtype=np.float64), one * k, one * normalised]


#: With what probability any row opens a tail, and how many do then.
Opened = tuple[float, float]


def rows_opened(opened: float, batch: float) -> Opened:
    """The probability that a tail is opened for any of the rows, if each opens it with this one; and for how many
    then."""
    some = 1.0 if opened >= 1 else -math.expm1(batch * math.log1p(-opened))
    return some, opened * batch / some if some else 0.0


def is_searched(n_classes: int, batch: float, on_gpu: bool) -> bool:
    """Whether the layer looks for the best words of so many rows tail by tail: on a CPU only among many logits."""
    return on_gpu or n_classes * batch > FEW_LOGITS


class MeasuredCost(Cost):
    """A cost model fitted to timings of one device.

    A product of n rows, k words and d features (in a tail, d is its width) takes
    ``max(flat, sum of coefficient x term)``. The terms are arithmetic (n k d), passes over the logits (n k), traffic of
    weights and their gradients (k d, more expensive beyond 32 MiB) and of rows (n d), and a constant (launches).
    Projections and the sorting of tokens by cluster (the kind ``"rows"``) have terms of their own. All coefficients
    are at least 0, so the model is monotone and satisfies the quadrangle inequality. A full softmax (the kind
    ``"full"``) is one as people write it, which holds all logits at once: a product of V words and so much more for
    each logit. When decoding, a product of one row (``"vector"``) has coefficients of its own: PyTorch reads a matrix
    that it multiplies with a vector as it lies, and packs it first for more rows, which costs about twice as much per
    weight; and passes over the logits of one row keep one thread busy. Without them one row was off by 12 to 15 %, with
    them by 8 % (``python -m adasoft bench cost``).

    A layer takes what its parts take: when both are timed in turns, the sum of the parts is the whole layer to within
    the noise (``python -m adasoft bench cost``). What makes predictions wrong is the machine, whose speed drifts by
    some ten per cent from minute to minute; `bench cost` therefore times samples of the record again, in turns with
    what it checks.

    Made by :func:`adasoft.calibrate` or :func:`load_cost`. ``coefficients[objective][kind]`` holds one number per
    entry of ``TERMS[kind]`` (zeros for ``"search"``, ``"head"``, ``"full"`` and ``"vector"`` where they are left out;
    one row is then a product like any other); ``flat[objective]`` is in seconds. Raises ValueError for numbers outside
    0 to 1e12.

    >>> kinds = {"product": [0.5, 0.25, 0, 0, 0, 0], "projection": [1, 0, 0, 0], "rows": [2, 0, 0]}
    >>> cost = MeasuredCost({"train": kinds, "decode": kinds}, {"train": 1.0, "decode": 0.0})
    >>> [float(cost.product_time(1, 1, 1)), float(cost.product_time(2, 3, 4)), cost.flat["decode"]]
    [1.0, 6.5, 0.0]
    """

    monotone = True
    quadrangle = True
    captured: bool
    """Whether the timings are of steps replayed from a CUDA graph, without Python and launches."""

    def __init__(
        self,
        coefficients: Mapping[str, Mapping[str, Sequence[float]]],
        flat: Mapping[str, float],
        *,
        itemsize: int = 4,
        name: str = "measured",
        record: Mapping[str, Any] | None = None,
        path: Path | None = None,
    ) -> None:
        self.name, self.itemsize, self.path = name, integer("itemsize", itemsize, 1, 16), path
        self.record = dict(record) if record is not None else None
        self.on_gpu = record is not None and record["device"].get("type") == "cuda"
        self.captured = record is not None and bool(record.get("captured"))
        self.coefficients: dict[str, dict[str, npt.NDArray[np.float64]]] = {}
        self.flat: dict[str, float] = {}
        for argument, value in (("coefficients", coefficients), ("flat", flat)):
            if not isinstance(value, Mapping):
                raise ValueError(f"{argument} should be a mapping, got {short(value)}")
        for objective in OBJECTIVES:
            kinds = coefficients.get(objective)
            if not isinstance(kinds, Mapping):
                raise ValueError(f"coefficients should hold a mapping for {objective!r}, got {short(kinds)}")
            self.coefficients[objective] = {}
            for kind, terms in TERMS.items():
                argument, given = f"coefficients[{objective!r}][{kind!r}]", kinds.get(kind)
                if kind in _LATER and given is None:
                    given = [0.0] * len(terms)
                listed = items(() if given is None else given)
                if listed is None or len(listed) != len(terms):
                    raise ValueError(
                        f"{argument} should hold {len(terms)} numbers (for {', '.join(terms)}), got {short(given)}"
                    )
                values = [_model_number(f"{argument}[{i}]", value) for i, value in enumerate(listed)]
                self.coefficients[objective][kind] = np.array(values)
            self.flat[objective] = _model_number(f"flat[{objective!r}]", flat.get(objective, 0.0))

    def product_time(self, k: Values, rows: Values, d: Values, objective: Objective = "train") -> Values:
        """Seconds of one (rows x d) by (d x k) product with its softmax and, in training, its gradients."""
        a = self.coefficients[objective]["product"]
        if self._is_vector(rows, objective):
            return self._vector_time(k, d, 0.0)
        # Same sum as `product_terms` (keep in step), grouped as fixed + per_row * rows: fewer passes over large arrays.
        kd = np.multiply(k, d, dtype=np.float64)
        per_row = a[1] * kd + a[2] * np.asarray(k) + a[4] * np.asarray(d)
        fixed = a[0] + a[3] * kd + a[5] * np.maximum(kd - BEYOND_BYTES / self.itemsize, 0.0)
        return np.maximum(self.flat[objective], fixed + per_row * rows)  # type: ignore[no-any-return]

    def _is_vector(self, rows: Values, objective: Objective) -> bool:
        """Whether a product is one of a matrix and a vector, and the record tells what that takes."""
        if objective == "train" or np.ndim(rows) or rows != 1:
            return False
        return bool(self.coefficients["decode"]["vector"].any())

    def _vector_time(self, k: Values, d: Values, normalised: Values) -> Values:
        terms = vector_terms(k, d, normalised)
        return sum(c * t for c, t in zip(self.coefficients["decode"]["vector"], terms, strict=True))  # type: ignore[no-any-return]

    def _normalised_time(self, kind: str, words: Values, rows: float, d: float, objective: Objective) -> Values:
        """Seconds of a product whose logits are all normalised and searched: a ``"head"`` or a ``"full"`` softmax."""
        if self._is_vector(rows, objective):
            return self._vector_time(words, d, words)
        (per_logit,) = self.coefficients[objective][kind]
        return self.product_time(words, rows, d, objective) + per_logit * rows * np.asarray(words)  # type: ignore[no-any-return]

    def searched(self, n_classes: int, batch: float) -> bool:
        """`is_searched` on this model's device."""
        return is_searched(n_classes, batch, self.on_gpu)

    def full_time(self, n_classes: float, batch: float, d: float, objective: Objective = "train") -> float:
        """Seconds of a full softmax over all words that holds all its logits."""
        return float(self._normalised_time("full", n_classes, batch, d, objective))

    def head_time(self, shortlist: Values, n_tails: int, batch: float, d: float, objective: Objective) -> Values:
        """Seconds of the head; when decoding, it is normalised and searched for every row."""
        return self._normalised_time("head", np.asarray(shortlist) + n_tails, batch, d, objective)

    def tail_time(
        self,
        size: Values,
        share: Values,
        batch: float,
        d: float,
        width: float,
        objective: Objective,
        opened: float | None = 1.0,
    ) -> Values:
        """Seconds of a tail. When decoding, every row is projected and tested; its words are computed for the rows
        that open it, and not at all where none of them does. Where nothing is searched, all are computed untested."""
        if objective == "train":
            return super().tail_time(size, share, batch, d, width, objective)
        return self.decoded_tail(size, batch, d, width, None if opened is None else rows_opened(opened, batch))

    def decoded_tail(self, size: Values, batch: float, d: float, width: float, opened: Opened | None) -> Values:
        """Seconds of a tail when decoding, ``opened`` with a probability for so many rows; None: no search."""
        a = self.coefficients["decode"]
        projection = self.projection_time(batch, d, width, "decode")
        if opened is None:
            return self._normalised_time("head", size, batch, width, "decode") + projection
        some, rows = opened
        terms = search_terms(size, batch, width, self.on_gpu or batch >= BOUND_ROWS)
        tests = sum(c * term for c, term in zip(a["search"], terms, strict=True))
        return some * np.asarray(self.product_time(size, rows, width, "decode")) + tests + projection  # type: ignore[no-any-return]

    def projection_time(self, rows: Values, d: Values, width: Values, objective: Objective = "train") -> Values:
        """Seconds to gather a tail's rows and project them from d to its width."""
        a = self.coefficients[objective]["projection"]
        return sum(c * t for c, t in zip(a, projection_terms(rows, d, width), strict=True))  # type: ignore[no-any-return]

    def rows_time(self, batch: Values, d: Values, objective: Objective = "train") -> Values:
        """Seconds to sort the tokens of a batch by cluster."""
        a = self.coefficients[objective]["rows"]
        return sum(c * t for c, t in zip(a, rows_terms(batch, d), strict=True))  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"MeasuredCost({self.name!r})"
