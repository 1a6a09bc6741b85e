"""Attention for decoding word by word, with three kinds of memory: none, keys and values, or the layer's input alone.

The last is EL-attention (Yan, Chen, Qi, Bhendawade, Gong, Duan and Zhang 2021, ICML, PMLR 139:11648-11658):
multiplication is associative, so the key projection is applied to the query, the value projection to the result, and
the input X serves as keys and values of all heads. The outputs are the same, the cache is smaller, and the arithmetic
is more: it pays where reading the cache is what takes the time, or where its size limits the batch. It holds for
positions that are added to the words (sinusoidal, learned), additive biases of the scores, masks and grouped queries;
not for rotary positions, norms on queries or keys, or dropout on keys or values in training, which are refused.

===================  ==================================================================================
``weights.py``       the projections of one layer, per head; unpacked from PyTorch's; what is refused
``formulas.py``      both forms of attention as pure functions, which can be trained: read this first
``caches.py``        self-attention, a few positions at a time; beams that share their prompt
``cross.py``         cross attention: one X for all layers and all beams
``decoder.py``       a stack of ``nn.TransformerEncoderLayer``, read causally, with a cache per layer
``arithmetic.py``    cached numbers and multiply-adds, counted
===================  ==================================================================================
"""

from .arithmetic import cached_numbers, multiply_adds
from .caches import ELCache, KeyValueCache
from .cross import CrossEL, CrossKeysValues
from .decoder import CACHES, Decoder
from .formulas import attention, causal_mask, el_attention
from .weights import AttentionWeights

__all__ = [
    "CACHES",
    "AttentionWeights",
    "CrossEL",
    "CrossKeysValues",
    "Decoder",
    "ELCache",
    "KeyValueCache",
    "attention",
    "cached_numbers",
    "causal_mask",
    "el_attention",
    "multiply_adds",
]
