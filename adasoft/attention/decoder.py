"""A stack of PyTorch's Transformer layers, read causally a few positions at a time, each layer with a cache."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..checks import choice, integer
from ..children import bare
from .caches import ELCache, KeyValueCache, SelfAttentionCache
from .weights import AttentionWeights

#: The caches of self-attention by name.
CACHES: dict[str, type[SelfAttentionCache]] = {"keys-values": KeyValueCache, "el": ELCache}


class Decoder:
    """The outputs of ``encoder(x, causal mask)``, position by position.

    >>> layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True).eval()
    >>> encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
    >>> decoder, x = Decoder(encoder, "el", capacity=6), torch.randn(2, 6, 8)
    >>> mask = nn.Transformer.generate_square_subsequent_mask(6)
    >>> with torch.no_grad():
    ...     whole = encoder(x, mask, is_causal=True)
    ...     parts = [decoder.read(part.unsqueeze(1)).squeeze(1) for part in (x[:, :4], x[:, 4:5], x[:, 5:])]
    >>> torch.allclose(torch.cat(parts, 1), whole, atol=1e-5)
    True

    Args:
        encoder: an ``nn.TransformerEncoder`` of ``nn.TransformerEncoderLayer``, norm first or last, whatever its
            ``batch_first``; what is before it
            (words, positions) is the caller's.
        cache: one of :data:`CACHES`: ``"keys-values"``, or ``"el"``, which stores of each layer the input of its
            projections (with norm first: after the norm).
        capacity: positions there is room for.
        copies: whether :meth:`branch` copies the prompt for each beam.

    Raises ValueError, with the reason, where this would not be what ``encoder`` computes.
    """

    def __init__(self, encoder: nn.TransformerEncoder, cache: str, capacity: int, *, copies: bool = False) -> None:
        kind = CACHES[choice("cache", cache, [*CACHES])]
        self.layers = _checked_layers(encoder)
        self.norm = encoder.norm
        self.copies = copies
        self.capacity = integer("capacity", capacity, 1)
        self.caches = [kind(AttentionWeights.of(layer), self.capacity) for layer in self.layers]

    @torch.no_grad()
    def read(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Outputs of new positions: (b, m, s, d) -> (b, m, s, d); see :meth:`SelfAttentionCache.attend`."""
        for layer, cache in zip(self.layers, self.caches, strict=True):
            if layer.norm_first:
                x = x + cache.attend(layer.norm1(x), mask)
                x = x + _feed_forward(layer, layer.norm2(x))
            else:
                x = layer.norm1(x + cache.attend(x, mask))
                x = layer.norm2(x + _feed_forward(layer, x))
        return x if self.norm is None else self.norm(x)

    def branch(self, beams: int) -> None:
        """``beams`` continuations of every prompt from here on; see :meth:`SelfAttentionCache.branch`."""
        for cache in self.caches:
            cache.branch(beams, copies=self.copies)

    def select(self, parent: Tensor) -> None:
        """Beam j of prompt i goes on from what was beam ``parent[i, j]``."""
        for cache in self.caches:
            cache.select(parent)

    def rewind(self, positions: int) -> None:
        """Forget all but the first ``positions``."""
        for cache in self.caches:
            cache.rewind(positions)

    @property
    def positions(self) -> int:
        """Positions read so far."""
        return self.caches[0].positions

    @property
    def shape(self) -> tuple[int, int]:
        """(b, m): prompts, and beams of each."""
        return self.caches[0].shape

    @property
    def nbytes(self) -> int:
        """Bytes of all caches."""
        return sum(cache.nbytes for cache in self.caches)


def _checked_layers(encoder: nn.TransformerEncoder) -> list[nn.TransformerEncoderLayer]:
    if not bare(encoder, nn.TransformerEncoder):
        raise ValueError(f"encoder should be an nn.TransformerEncoder and no more, got {type(encoder).__name__}")
    layers: list[nn.TransformerEncoderLayer] = []
    for i, layer in enumerate(encoder.layers):
        if not isinstance(layer, nn.TransformerEncoderLayer) or not bare(layer, nn.TransformerEncoderLayer):
            kind = type(layer).__name__
            raise ValueError(f"layers[{i}] should be an nn.TransformerEncoderLayer and no more, got {kind}")
        dropouts = {part.p for part in (layer.dropout, layer.dropout1, layer.dropout2) if isinstance(part, nn.Dropout)}
        if layer.training and max(dropouts) > 0:
            raise ValueError(f"layers[{i}] should have no dropout in training, got {max(dropouts)}")
        layers.append(layer)
    return layers


def _feed_forward(layer: nn.TransformerEncoderLayer, x: Tensor) -> Tensor:
    out: Tensor = layer.linear2(layer.activation(layer.linear1(x)))
    return out
