"""Margins for classifiers: softmaxes over unit vectors that keep classes apart, behind one interface.

HASeparator (Kansizoglou, Santavas, Bampis and Gasteratos 2020, ICMLA, 519-526) adds to the softmax a hinge on the
distance of an embedding to the hyperplanes between its class and each other one. Beside it stand what it is compared
with: the plain and the normalised softmax, SphereFace, CosFace and ArcFace. They are for classifiers of some hundred
classes and for retrieval: none of them makes many words cheaper, and a language model loses what frequent words tell by
the length of their vectors.

===================  ======================================================================
``hyperplanes.py``   distances to the hyperplanes between classes, from cosines alone
``classifiers.py``   the softmaxes
``retrieval.py``     how far apart the classes are, and whether neighbours are of one class
===================  ======================================================================
"""

from .classifiers import CLASSIFIERS, ArcFace, CosFace, HASeparator, MarginClassifier, Normalized, Plain, SphereFace
from .hyperplanes import distances, largest_margin, reachable_margins
from .retrieval import angle_gap, nearest_of_same_class

__all__ = [
    "CLASSIFIERS",
    "ArcFace",
    "CosFace",
    "HASeparator",
    "MarginClassifier",
    "Normalized",
    "Plain",
    "SphereFace",
    "angle_gap",
    "distances",
    "largest_margin",
    "nearest_of_same_class",
    "reachable_margins",
]
