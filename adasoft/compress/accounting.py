"""Parameters and operations of a token, as the evaluation notebook of MicroNet's winner counts them.

    parameters = nonzeros * b / 32 + entries / 32 (a mask of one bit for each) + scales
    operations = multiplications * b / 32 + additions + others
    score      = parameters / 159 million + operations / 318 million

A product of a matrix (k, d) with a state is k d multiplications and k (d - 1) additions, k more for a bias; only what
is not 0 counts. A softmax over k is 3 k - 1 operations (exponentials, their sum, quotients), layer norm 6 d.

What to know before comparing: the embedding's projections are weighed by the share of tokens that use them, but every
tail of the output is charged to every token. The gains of layer norm cost nothing. A mask is charged whether or not
anything is pruned. An empty cache costs nothing here; in the notebook its softmax over 0 costs -1, so that the printed
total of a model without a cache is one operation too small. The notebook charges the scale of each rounded state, none
of weights; :func:`storage_of` counts the scales it is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..checks import integer, not_negative, number
from ..embedding import AdaptiveEmbedding
from ..layer import AdaptiveSoftmax

#: Parameters and operations of the model that the contest's scores are relative to.
REFERENCE = (159e6, 318e6)
#: A number's bits before it is rounded to fewer.
FULL = 32


@dataclass(frozen=True)
class Operations:
    """Operations of one token; fractions where a part is used by some tokens only, or is sparse."""

    multiplications: float = 0.0
    """Of matrix products."""
    additions: float = 0.0
    """Of matrix products, biases and residuals."""
    others: float = 0.0
    """Softmaxes, norms, activations."""

    def __add__(self, other: Operations) -> Operations:
        return Operations(
            self.multiplications + other.multiplications, self.additions + other.additions, self.others + other.others
        )

    def total(self, bits: int = FULL) -> float:
        """All of them, multiplications at ``bits`` / 32 of their price. Raises ValueError for bits outside 2 to 32."""
        return self.multiplications * _bits(bits) / FULL + self.additions + self.others


@dataclass(frozen=True)
class Storage:
    """What is stored of a model."""

    nonzeros: int
    entries: int
    """Numbers, zeros included."""
    scales: int = 0
    """Full numbers beside them: scales of what is rounded."""

    def __add__(self, other: Storage) -> Storage:
        return Storage(self.nonzeros + other.nonzeros, self.entries + other.entries, self.scales + other.scales)

    def size(self, bits: int = FULL, *, mask: bool = True) -> float:
        """In full numbers of 32 bits. ``mask``: charge a bit for each entry, as the notebook does for every model."""
        return self.nonzeros * _bits(bits) / FULL + (self.entries / FULL if mask else 0.0) + self.scales


def _bits(bits: int) -> int:
    return integer("bits", bits, 2, FULL)


def score(parameters: float, operations: float) -> float:
    """The contest's score, the less the better: relative to a model of 159 million parameters.

    >>> round(score(1.8e6, 8.8e6), 4)
    0.039
    """
    return not_negative("parameters", parameters) / REFERENCE[0] + not_negative("operations", operations) / REFERENCE[1]


def storage_of(tensors: Iterable[Tensor], scales: int = 0) -> Storage:
    """Nonzeros and entries of tensors, each storage counted once: tied matrices are one.

    >>> storage_of([torch.eye(3)])
    Storage(nonzeros=3, entries=9, scales=0)

    Raises ValueError for numbers that are not finite.
    """
    seen: dict[int, Tensor] = {tensor.data_ptr(): tensor.detach() for tensor in tensors if tensor.numel()}
    for tensor in seen.values():
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError("tensors should hold finite numbers, got nan or inf")
    nonzeros = sum(int(tensor.count_nonzero()) for tensor in seen.values())
    return Storage(nonzeros, sum(tensor.numel() for tensor in seen.values()), integer("scales", scales, 0))


# ---------------------------------------------------------------------- parts of a model


def product_operations(
    in_features: int, out_features: int, *, bias: bool = False, density: float = 1.0, bias_density: float = 1.0
) -> Operations:
    """A matrix (out, in) times a state: ``density`` is the share of its entries that are not 0.

    >>> product_operations(256, 3502, bias=True).total()
    1793024.0
    """
    size = integer("in_features", in_features, 1), integer("out_features", out_features, 0)
    density, bias_density = (
        number(name, value, 0, 1, "from 0 to 1")
        for name, value in (("density", density), ("bias_density", bias_density))
    )
    biases = bias_density * size[1] if bias else 0.0
    return Operations(density * size[0] * size[1], density * (size[0] - 1) * size[1] + biases)


def softmax_operations(n: int) -> Operations:
    """A softmax over n: 3 n - 1; nothing over none."""
    return Operations(others=max(0.0, 3.0 * integer("n", n, 0) - 1))


def layer_norm_operations(d: int) -> Operations:
    """Layer norm of a state of d numbers: 6 d."""
    return Operations(others=6.0 * integer("d", d, 1))


def cache_operations(n: int, d: int) -> Operations:
    """A cache of n states of d numbers: n products and a softmax, n (2 d - 1) + 3 n - 1.

    (The authors' report has 515,999 for 2,000 states of 256: it leaves out the multiplications.)

    >>> cache_operations(2000, 256).total()
    1027999.0
    """
    return product_operations(d, n) + softmax_operations(n)


def linear_operations(weight: Tensor, bias: Tensor | None = None, share: float = 1.0) -> Operations:
    """The product of a matrix as it is, its zeros left out; ``share``: of the tokens that need it."""
    share = number("share", share, 0, 1, "from 0 to 1")
    out_features, in_features = weight.shape
    one = product_operations(
        in_features,
        out_features,
        bias=bias is not None,
        density=_density(weight),
        bias_density=1.0 if bias is None else _density(bias),
    )
    return Operations(share * one.multiplications, share * one.additions)


def _density(tensor: Tensor) -> float:
    return int(tensor.detach().count_nonzero()) / max(1, tensor.numel())


def transformer_parts(d: int, n_heads: int, width: int, inner: int, context: int) -> dict[str, Operations]:
    """One layer of the winner's Transformer-XL: queries, keys and values of ``width`` a head, ``context`` positions.

    As in the notebook: queries meet the learned positions once, not once a head, and one softmax is charged for all
    heads. The true count is larger by ``n_heads - 1`` times both.

    >>> transformer_parts(256, 8, 24, 768, 97)["queries, keys, values"].total()
    294912.0
    """
    together = n_heads * width
    return {
        "layer norms": layer_norm_operations(d) + layer_norm_operations(d),
        "queries, keys, values": product_operations(d, 3 * together, bias=True),
        "queries times keys": product_operations(width, context * n_heads),
        "queries times positions": product_operations(width, context, bias=True),
        "softmax": softmax_operations(context),
        "weights times values": product_operations(context, together),
        "output": product_operations(together, d),
        "feed forward": product_operations(d, inner, bias=True)
        + Operations(others=float(inner))
        + product_operations(inner, d, bias=True),
        "residuals": Operations(additions=2.0 * d),
    }


def lstm_operations(lstm: nn.LSTM) -> tuple[Operations, Operations]:
    """A step of an LSTM of one layer and one direction: products with the input, and the rest.

    The notebook has none; the counts are ours: both products with their biases, their sum (4 d additions), and as
    others one each for 3 sigmoids, 2 hyperbolic tangents, 3 products and a sum of d numbers. They come in two, since a
    state that stays within the LSTM is not rounded: the rest is charged in full.

    Raises ValueError for another LSTM.
    """
    if lstm.num_layers != 1 or lstm.bidirectional or lstm.proj_size or not lstm.bias:
        raise ValueError(f"lstm should have one layer, one direction, biases and no projection, got {lstm}")
    d = lstm.hidden_size
    products = []
    for side in ("ih", "hh"):
        weight, bias = (lstm.get_parameter(f"{kind}_{side}_l0") for kind in ("weight", "bias"))
        products.append(linear_operations(weight, bias))
    inputs, recurrent = products
    return inputs, recurrent + Operations(additions=4.0 * d, others=9.0 * d)


def embedding_operations(embedding: nn.Module, shares: Sequence[float] = ()) -> Operations:
    """The embedding of a token: looking it up costs nothing, the projections of its tail what they are.

    ``shares``: of the tokens that lie in each tail of an :class:`adasoft.AdaptiveEmbedding` (they sum to at most 1).
    Raises ValueError if they are not one for each tail.
    """
    if not isinstance(embedding, AdaptiveEmbedding):
        return Operations()
    if len(shares) != embedding.n_clusters or sum(shares) > 1 + 1e-9:
        raise ValueError(
            f"shares should be one for each of {embedding.n_clusters} tails and sum to at most 1, got {list(shares)}"
        )
    total = Operations()
    for share, projection in zip(shares, embedding.projections, strict=True):
        total += linear_operations(projection.weight, None, share)  # type: ignore[arg-type]
    return total


def softmax_parts(layer: AdaptiveSoftmax) -> dict[str, Operations]:
    """The parts of an adaptive softmax: head, each tail with its projection, and the softmaxes of all."""
    head = layer.head
    parts = {"head": linear_operations(head.weight, head.bias if layer.head_bias else None)}
    for i, (projection, words) in enumerate(layer.tail):  # type: ignore[misc]
        down: Tensor = projection.weight  # type: ignore[has-type]
        out: Tensor = words.weight  # type: ignore[has-type]
        parts[f"tail {i + 1}"] = linear_operations(down) + linear_operations(out)
    sizes = [layer.head_size, *(b - a for a, b in pairwise(layer.cutoffs))]
    parts["softmaxes"] = sum((softmax_operations(size) for size in sizes), Operations())
    return parts
