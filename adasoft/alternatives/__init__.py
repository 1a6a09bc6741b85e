"""The softmaxes that the adaptive softmax is compared with, one file each, behind one protocol.

>>> import torch
>>> softmax = build("hierarchical", 16, [1000 // rank for rank in range(1, 101)])
>>> output, loss = softmax(torch.randn(5, 16), torch.randint(100, (5,)))  # as adasoft.AdaptiveSoftmax
>>> softmax.topk(torch.randn(5, 16), 3).indices.shape
torch.Size([5, 3])

========================  ==================================================  =======================================
name                      source                                              exact
========================  ==================================================  =======================================
``full``                  -                                                   yes
``sampled``               Bengio and Senecal 2008, Jean et al. 2015           in evaluation; training estimates
``hierarchical``          Goodman 2001, Mikolov et al. 2011 (classes)         yes
``d-softmax``             Chen, Grangier and Auli 2016                        yes
``d-softmax-star``        Grave et al. 2017 (D-softmax*)                      yes
``adaptive``              Grave et al. 2017                                   yes
========================  ==================================================  =======================================

"Exact" means: ``output`` is the log-probability under the distribution that ``log_prob`` gives. Each method is its own
model with its own distribution.

Two more make a trained full softmax answer faster, behind the same protocol; ``build`` does not make them:

=================================  ===================  ===============================================================
class                              source               what it takes
=================================  ===================  ===============================================================
:class:`SVDSoftmax`                Shim et al. 2017     the weights; no training
:class:`DoublySparseSoftmax`       Liao et al. 2019     training by :func:`.doubly_sparse_training.fit`
=================================  ===================  ===============================================================
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from torch import Tensor

from ..checks import integer
from ..vocabulary import Vocabulary
from .adaptive import Adaptive
from .d_softmax import DSoftmax, proportional_widths
from .d_softmax_star import DSoftmaxStar
from .doubly_sparse import DoublySparseSoftmax
from .full import FullSoftmax
from .hierarchical import HierarchicalSoftmax, frequency_bins
from .protocol import Softmax, SoftmaxModule
from .sampled import SampledSoftmax
from .svd_softmax import SVDSoftmax

__all__ = [
    "NAMES",
    "Adaptive",
    "DSoftmax",
    "DSoftmaxStar",
    "DoublySparseSoftmax",
    "FullSoftmax",
    "HierarchicalSoftmax",
    "SVDSoftmax",
    "SampledSoftmax",
    "Softmax",
    "SoftmaxModule",
    "build",
    "frequency_bins",
    "proportional_widths",
]

_CLASSES: dict[str, type] = {
    "full": FullSoftmax,
    "sampled": SampledSoftmax,
    "hierarchical": HierarchicalSoftmax,
    "d-softmax": DSoftmax,
    "d-softmax-star": DSoftmaxStar,
    "adaptive": Adaptive,
}
#: What :func:`build` knows.
NAMES = tuple(_CLASSES)


def build(name: str, in_features: int, counts_or_vocabulary: Any, **options: Any) -> Any:
    """The softmax of this name, an ``nn.Module`` that follows :class:`Softmax`.

    Args:
        name: one of :data:`NAMES`.
        in_features: hidden size d.
        counts_or_vocabulary: a :class:`adasoft.Vocabulary` or what makes one (counts in any order, a mapping); or just
            V, for those that need no counts. Ids are the positions of the counts: where these do not fall, they
            bring ``order``.
        options: of the softmax's class; ``order``, ``ignore_index``, ``reduction``, ``device`` and ``dtype`` of all.
            ``order=None`` says that ids are ranks, whatever order the counts came in.

    Raises:
        ValueError: unknown name, or a value that does not fit.
        TypeError: an option that this softmax does not take, or lacks.
    """
    if name not in _CLASSES:
        raise ValueError(f"name should be one of {', '.join(NAMES)}, got {name!r}")
    softmax = _CLASSES[name]
    known = _options(softmax)
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise TypeError(f"{name} takes no option {unknown[0]!r}; it takes {', '.join(known)}")
    if isinstance(counts_or_vocabulary, Tensor):
        counts_or_vocabulary = counts_or_vocabulary.detach().cpu().numpy()
    kinds = (int, np.integer, np.bool_, np.ndarray)
    if isinstance(counts_or_vocabulary, kinds) and np.ndim(counts_or_vocabulary) == 0:
        n_classes = integer("n_classes", counts_or_vocabulary, 1)
    else:
        vocabulary = Vocabulary(counts_or_vocabulary)
        n_classes = len(vocabulary)
        if "counts" in known:
            options.setdefault("counts", vocabulary.counts)
        if "order" not in options and not np.array_equal(vocabulary.order, np.arange(n_classes)):
            options["order"] = vocabulary.order.copy()
    missing = [k for k, required in known.items() if required and k not in options]
    if missing == ["counts"]:
        raise ValueError(f"{name} needs counts or a Vocabulary, got only the number of words, {n_classes}")
    if missing:
        raise TypeError(f"{name} needs the option {missing[0]}=...")
    return softmax(in_features, n_classes, **options)


def _options(softmax: type) -> dict[str, bool]:
    """Names of the options, and whether one must be given; ``**kwargs`` stands for those of the base class."""
    out: dict[str, bool] = {}
    for kind in softmax.__mro__:
        if "__init__" not in vars(kind):
            continue
        parameters = list(inspect.signature(kind.__init__).parameters.values())[3:]  # type: ignore[misc]
        for p in parameters:
            if p.kind is not p.VAR_KEYWORD:
                out.setdefault(p.name, p.default is p.empty)
        if all(p.kind is not p.VAR_KEYWORD for p in parameters):
            break
    return out
