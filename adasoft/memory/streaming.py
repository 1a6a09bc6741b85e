"""`StreamingCache`: a cache that keeps its state from call to call, for a training that passes none."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from .cache import CachedOutput, NeuralCache
from .pairs import Pairs


class StreamingCache(nn.Module):
    """A :class:`NeuralCache` in the place of a model's softmax: each call in training goes on where the last ended.

    In evaluation mode it is the softmax alone, so that no other text gets into the cache. The state is no part of
    ``state_dict``: a training that stops within a text begins with an empty cache where it goes on.

    >>> import torch
    >>> from adasoft.alternatives import FullSoftmax
    >>> softmax = StreamingCache(NeuralCache(FullSoftmax(4, 10), size=100, trained=True))
    >>> hidden, words = torch.randn(2, 6, 4), torch.randint(10, (2, 6))
    >>> for _ in range(3):
    ...     loss = softmax(hidden, words).loss
    >>> softmax.state.words.shape
    torch.Size([2, 18])

    Args:
        cache: what is trained; sequences (B, T) keep their places from call to call.
    """

    def __init__(self, cache: NeuralCache) -> None:
        super().__init__()
        self.cache, self.in_features, self.n_classes = cache, cache.in_features, cache.n_classes
        self.state: Pairs | None = None

    def begin(self) -> None:
        """Another text begins: nothing is remembered."""
        self.state = None

    def forward(self, hidden: Tensor, target: Tensor) -> Any:
        """In training :class:`CachedOutput`, otherwise what the softmax returns; see :meth:`NeuralCache.forward`."""
        if not self.training:
            return self.cache.softmax(hidden, target)
        output: CachedOutput = self.cache(hidden, target, self.state)
        self.state = output.state
        return output
