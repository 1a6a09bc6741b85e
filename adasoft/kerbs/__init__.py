"""KerBS: several senses for each word, a learnt kernel for each sense, and senses that move to where they are needed.

Kernelised Bayesian softmax (Miao, Zhou, Zhao, Shi and Li 2019, NeurIPS, arXiv 1911.00274):
``p(w | h) = sum over the senses j of w of exp K_j / sum over all senses of exp K``. The likelihood is exact. Unlike the
adaptive softmax it makes nothing cheaper: it spends M times the arithmetic on words that one vector cannot stand for.

=================  ====================================================================================
``kernel.py``      the kernel that takes the place of the inner product, and its bounded theta
``senses.py``      senses of words: whose they are, their scores, log-sum-exp by word
``softmax.py``     :class:`KerBS`, a softmax as those of ``alternatives/``; an adaptive softmax with senses in its head
``allocation.py``  which senses move to which words
``moving.py``      the same during training: sums, the start of a moved sense, the optimiser's state
=================  ====================================================================================
"""

from .allocation import Move, planned_moves, receivers
from .kernel import KERNELS, kernel, theta_of
from .moving import Allocator
from .senses import SenseLogits, log_sum_by_word, places_of, starting_words
from .softmax import KerBS, with_senses_in_head

__all__ = [
    "KERNELS",
    "Allocator",
    "KerBS",
    "Move",
    "SenseLogits",
    "kernel",
    "log_sum_by_word",
    "places_of",
    "planned_moves",
    "receivers",
    "starting_words",
    "theta_of",
    "with_senses_in_head",
]
