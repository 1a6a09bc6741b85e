"""What makes a trained language model small: the last steps of MicroNet's winner, and the count of what they save.

Yan, Wang, Guo and Han (2020, PMLR 123, 215-231; arXiv 2005.07877) won the language-model track of MicroNet with an
adaptive softmax, a cache, and these. Each is exact and can be read alone:

====================  =========================================================================================
``distillation.py``   learning from the stored best words of a teacher; for the adaptive softmax, from those
                      that open no further tail
``pruning.py``        gradual pruning by magnitude; how much of each matrix, by one bound on the perplexity
``quantization.py``   weights and states of a few bits, with gradients straight through the rounding
``accounting.py``     parameters and operations of a token, as their evaluation notebook counts them
====================  =========================================================================================
"""

from .accounting import (
    Operations,
    Storage,
    cache_operations,
    embedding_operations,
    layer_norm_operations,
    linear_operations,
    lstm_operations,
    product_operations,
    score,
    softmax_operations,
    softmax_parts,
    storage_of,
    transformer_parts,
)
from .distillation import Distilled, SoftLabels, annealed, check_labels, distil, distil_adaptive, top_labels
from .pruning import (
    GradualPruning,
    common_threshold,
    cubic_sparsity,
    magnitude_mask,
    sensitivities,
    sparsities_within,
)
from .quantization import Quantized, RunningRange, fake_quantize, quantize, quantized_weights

__all__ = [
    "Distilled",
    "GradualPruning",
    "Operations",
    "Quantized",
    "RunningRange",
    "SoftLabels",
    "Storage",
    "annealed",
    "cache_operations",
    "check_labels",
    "common_threshold",
    "cubic_sparsity",
    "distil",
    "distil_adaptive",
    "embedding_operations",
    "fake_quantize",
    "layer_norm_operations",
    "linear_operations",
    "lstm_operations",
    "magnitude_mask",
    "product_operations",
    "quantize",
    "quantized_weights",
    "score",
    "sensitivities",
    "softmax_operations",
    "softmax_parts",
    "sparsities_within",
    "storage_of",
    "top_labels",
    "transformer_parts",
]
