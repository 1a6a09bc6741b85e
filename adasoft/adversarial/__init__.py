"""Negatives that are hard because a model draws them: the adversarial softmax and what it is compared with.

Bamler and Mandt (ICLR 2020) train C classifiers, one per label, on one positive and one negative label per row. The
negative comes from a cheap model of the data, a balanced decision tree; the bias that this makes is known exactly and
is added back at prediction. Beside it stand uniform and frequency noise, noise-contrastive estimation, and
one-vs-each, which needs no noise model. Any module with the three methods of `Noise` can be the noise, an
`AdaptiveSoftmax` among them.

==================  ======================================================================
``tables.py``       the theory in tables of p_data and p_noise: optimum, curvature, signal and noise
``splits.py``       one level of a tree: Newton's ascent and the best balanced split, all nodes at once
``tree.py``         `Tree`: log-probabilities, draws
``fitting.py``      `fit_tree`: standardise, whiten, and level by level to the leaves
``noise.py``        what a noise offers; uniform, frequency, any noise behind a narrow projection
``softmaxes.py``    the softmaxes: estimates in training, exact in evaluation
==================  ======================================================================
"""

from .fitting import fit_tree
from .noise import Frequency, Noise, Projected, Uniform
from .softmaxes import NCE, AdversarialSoftmax, NoiseSoftmax, OneVsEach
from .tables import curvature, expected_loss, gradient_covariance, inverse_snr, optimal_scores
from .tree import Tree

__all__ = [
    "NCE",
    "AdversarialSoftmax",
    "Frequency",
    "Noise",
    "NoiseSoftmax",
    "OneVsEach",
    "Projected",
    "Tree",
    "Uniform",
    "curvature",
    "expected_loss",
    "fit_tree",
    "gradient_covariance",
    "inverse_snr",
    "optimal_scores",
]
