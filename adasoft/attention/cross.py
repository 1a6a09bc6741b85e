"""Cross attention in decoding: what the encoder gave is the same for all layers, all words and all beams."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..checks import integer
from .formulas import attended, expanded_queries, joined, keys_and_values, queries, values_of
from .weights import AttentionWeights


class CrossEL:
    """EL-attention to one X for L layers and all beams: d / L numbers per position and layer, nothing to reorder.

    This is where the authors' released code uses EL-attention (fairseq's encoder-decoder models).

    Args:
        layers: weights of each layer's cross attention.
        memory: X (b, n, d_x), the encoder's output. It is kept as it is, not copied.

    Raises ValueError if sizes do not fit.
    """

    def __init__(self, layers: Sequence[AttentionWeights], memory: Tensor) -> None:
        self.layers = _checked(layers, memory)
        self.memory = memory

    def attend(self, layer: int, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Answers of one layer to x (b, m, s, d), m beams of s positions: (b, m, s, d). No beam needs an order.

        ``mask`` is added to the scores (or True where nothing may be read), broadcastable to (b, m, H, s, n).
        """
        weights = _layer(self.layers, layer, x, len(self.memory))
        shared = self.memory[:, None, None]
        return joined(weights, values_of(weights, attended(expanded_queries(weights, x), [(shared, shared)], mask)))

    @property
    def nbytes(self) -> int:
        """Bytes of X."""
        return self.memory.numel() * self.memory.element_size()


class CrossKeysValues:
    """The same with keys and values, computed once for each layer: 2 G d_h numbers per position and layer.

    Args:
        layers: weights of each layer's cross attention.
        memory: (b, n, d_x), the encoder's output.
        copies: for how many beams the keys and values are copied; with 1, the beams share them.
    """

    def __init__(self, layers: Sequence[AttentionWeights], memory: Tensor, *, copies: int = 1) -> None:
        self.layers = _checked(layers, memory)
        self.copies = integer("copies", copies, 1)
        self._stored = []
        for weights in self.layers:
            pair = keys_and_values(weights, memory)
            self._stored.append(tuple(rows.unsqueeze(1).repeat(1, self.copies, 1, 1, 1) for rows in pair))

    def attend(self, layer: int, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """As :meth:`CrossEL.attend`. With copies, m should be their number."""
        keys, values = self._stored[integer("layer", layer, 0, len(self.layers) - 1)]
        weights = _layer(self.layers, layer, x, len(keys))
        if self.copies not in (1, x.shape[1]):
            raise ValueError(f"x should have m = {self.copies} beams, one for each copy, got {x.shape[1]}")
        return joined(weights, attended(queries(weights, x), [(keys, values)], mask))

    @property
    def nbytes(self) -> int:
        """Bytes of all keys and values."""
        return sum(rows.numel() * rows.element_size() for pair in self._stored for rows in pair)


def _checked(layers: Sequence[AttentionWeights], memory: Tensor) -> list[AttentionWeights]:
    if not layers:
        raise ValueError("layers should hold the weights of at least one layer, got none")
    for i, weights in enumerate(layers):
        if memory.dim() != 3 or not memory.shape[1] or memory.shape[2] != weights.memory_features:
            raise ValueError(
                f"memory should have the shape (b, n, {weights.memory_features}) with n at least 1, as layers[{i}] "
                f"has it, got {tuple(memory.shape)}"
            )
    return [*layers]


def _layer(layers: list[AttentionWeights], layer: int, x: Tensor, batch: int) -> AttentionWeights:
    weights = layers[integer("layer", layer, 0, len(layers) - 1)]
    if x.dim() != 4 or x.shape[0] != batch or x.shape[3] != weights.in_features:
        raise ValueError(f"x should have the shape ({batch}, m, s, {weights.in_features}), got {tuple(x.shape)}")
    return weights
