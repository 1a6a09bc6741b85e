"""What a softmax remembers beside its weights: a cache of the last words, and the mean states of its classes.

Two of the parts that the winner of the MicroNet challenge puts round an adaptive softmax (Yan, Wang, Guo and Han 2020,
PMLR 123, 215-231). The neural cache (Grave et al. 2017) knows what the text has just said; the Hebbian update (Rae et
al. 2018) writes rare words faster than gradients do.

==============  ===================================================================================
``pairs.py``    pairs of state and next word: which of them a position sees, what they predict
``cache.py``    the cache round any softmax of this package: loss, distribution, best words
``passage.py``  a text that a model has read once, and the search for theta and lambda on it
``hebbian.py``  the Hebbian update of the words of a full or adaptive softmax
==============  ===================================================================================
"""

from .cache import CachedOutput, NeuralCache
from .hebbian import HebbianUpdate
from .pairs import Pairs
from .passage import Found, Passage, search

__all__ = ["CachedOutput", "Found", "HebbianUpdate", "NeuralCache", "Pairs", "Passage", "search"]
