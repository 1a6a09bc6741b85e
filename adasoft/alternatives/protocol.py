"""What every softmax of this package offers, and what they share: ids, shapes, checks, reductions."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from .. import checks
from ..checks import integer
from ..children import of_width
from ..decoding import TopK, largest, linear
from ..inputs import check_hidden, check_target
from ..layer import REDUCTIONS, AdaptiveOutput
from ..loss import chunk_rows
from ..ranks import RankTables, checked_order, target_ranks
from ..watchers import autocasts, full_precision, reshaped, unreadable, watched


class Softmax(Protocol):
    """A softmax over V words on hidden states of size d.

    Ids: an id is a word's rank by frequency, unless ``order`` (the V ids by falling frequency) is given; then targets
    and results are the user's ids. Weights always lie in rank order.
    """

    in_features: int
    n_classes: int
    estimates: bool
    """True: in training mode ``output`` and ``loss`` are estimates. In evaluation mode they are exact for all."""

    def __call__(self, input_: Tensor, target_: Tensor) -> AdaptiveOutput:
        """``output`` (...): log-probability of each target, 0 where ignored; ``loss``: its negative, reduced.

        ``input_`` (..., d), ``target_`` (...), any integer dtype.
        """

    def log_prob(self, input: Tensor) -> Tensor:
        """Exact log-probabilities of all words: (..., d) -> (..., V). They sum to one."""

    def topk(self, input: Tensor, k: int) -> TopK:
        """The k most probable words: (..., d) -> values (..., k), indices (..., k). Exact."""

    @property
    def n_parameters(self) -> int:
        """Numbers to learn."""

    def operations(self, batch: int, train: bool = True) -> float:
        """Floating-point operations of the products for ``batch`` tokens, 2 per multiply-add. Counted, not measured.

        ``train``: forward and the gradients of input and weights, three products each; words as frequent as the
        counts say. Otherwise: ``log_prob``, i.e. all words of every row.
        """


class SoftmaxModule(RankTables):
    """Base of the softmaxes here: a subclass gives ``_nll``, ``_log_prob`` and ``operations``, all by rank.

    Args:
        in_features: hidden size d.
        n_classes: number of words V.
        order: the V ids by falling frequency; without it, an id is its rank. One key of ``state_dict``; a checkpoint
            of another order is refused, as is one without where an order is given.
        ignore_index: targets of this value (in the user's ids) do not count; their ``output`` is 0.
        reduction: ``"mean"`` (over the tokens that count; nan if there are none), ``"sum"`` or ``"none"``.
        device: of the parameters (subclasses also take their ``dtype``).

    Under autocast the products run in its dtype; output and loss are fp32. Otherwise they have the input's dtype,
    with sums in fp32 at least. Logits are not kept for backward. Each forward waits for the device once, to learn
    whether all targets are in range.

    What hangs on a child counts: one with a hook, mask, norm, adapter, bias of its own or another ``forward`` is called
    with all its words, as are all children under a transform (``torch.func``, forward mode, selective checkpointing,
    ``torch.compile``, ``torch.export``, tracing, the meta device). Then the logits of all words are kept for backward,
    and what a method saves by looking at few words is lost. Where nothing can be read (compilation, export, tracing,
    ``torch.func``, meta) a target out of range gives nan instead of an error.
    """

    estimates = False

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        *,
        order: Any = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        device: Any = None,
    ) -> None:
        super().__init__()
        self.in_features = integer("in_features", in_features, 1)
        self.n_classes = integer("n_classes", n_classes, 1)
        self.reduction = checks.choice("reduction", reduction, REDUCTIONS)
        self.ignore_index = checks.ignore_index(ignore_index)
        self._made_on = torch.empty(0, device=device).device
        self._keep_order(None if order is None else checked_order(order, self.n_classes))

    def _home(self) -> torch.device:
        weights = itertools.chain(self.parameters(), self.buffers())
        return next((weight.device for weight in weights), self._made_on)

    # ------------------------------------------------------------------ what a subclass gives

    def _nll(self, x: Tensor, ranks: Tensor, scale: float, need_total: bool) -> tuple[Tensor, Tensor]:
        """x (n, d), ranks (n,) all in range -> per-token losses (n,) and ``scale`` times their sum.

        Products with the weights, where no child has to be called; autocast is off, x in the dtype of the products.
        """
        raise TypeError(f"{type(self).__name__} should define _nll")

    def _log_prob(self, x: Tensor, product: Product) -> Tensor:
        """x (n, d) -> (n, V) by rank, fp32 at least. ``product``: :func:`multiplied` or :func:`called`."""
        raise TypeError(f"{type(self).__name__} should define _log_prob")

    def _called_nll(self, x: Tensor, ranks: Tensor) -> Tensor:
        """Losses (n,) as from ``_nll``, by calls of the children and operations that any transform knows."""
        return -self._log_prob(x, called).gather(1, ranks.unsqueeze(1)).squeeze(1)

    def _topk(self, x: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """x (n, d) -> values and ranks of the k best words (n, k), rank -1 for a place that no word can take.

        Here from all log-probabilities, some rows at a time; a subclass that need not look at all words says how.
        """
        found = [(x.new_empty(0, k), torch.empty(0, k, dtype=torch.long, device=x.device))]
        for rows in torch.split(x, chunk_rows(len(x), self.n_classes, x.is_cuda)):
            found.append(largest(self._log_prob(rows, multiplied), k))
        dtype = torch.promote_types(x.dtype, torch.float32)
        return torch.cat([v.to(dtype) for v, _ in found]), torch.cat([r for _, r in found])

    def _plain(self) -> bool:
        """Whether the weights of the children are all there is to them; otherwise they are called."""
        return True

    def _weight(self) -> Tensor:
        """One of the weights, for its dtype and device."""
        return next(self.parameters())

    def operations(self, batch: int, train: bool = True) -> float:
        """Floating-point operations of the products, see :class:`Softmax`."""
        raise TypeError(f"{type(self).__name__} should define operations")

    # ------------------------------------------------------------------ shared

    def forward(self, input_: Tensor, target_: Tensor) -> AdaptiveOutput:
        """Log-probabilities of the targets and the loss, see :class:`Softmax`.

        Raises RuntimeError: shapes, dtypes or devices do not fit, or a target is out of range.
        """
        whole = self._plain()
        x = self._flat(input_, whole)
        check_target(target_, input_)
        target = target_.reshape(-1)
        ranks = target_ranks(target, self.n_classes, self.ignore_index, self._table("_ranks", x.device))
        if unreadable(ranks):
            output, loss = self._forward_unread(x, ranks)
        else:
            output, loss = self._forward_read(x, target, ranks, whole and not watched())
        dtype = self._dtype(input_)
        output = output.to(dtype)
        if target_.dim() != 1:
            output = reshaped(output, target_.shape)
        return AdaptiveOutput(output, -output if self.reduction == "none" else loss.to(dtype))

    def _forward_read(self, x: Tensor, target: Tensor, ranks: Tensor, direct: bool) -> tuple[Tensor, Tensor]:
        bad = (ranks < 0) | (ranks > self.n_classes)
        n_bad, n_ignored = torch.stack([bad.sum(), (ranks == self.n_classes).sum()]).tolist()
        if n_bad:
            wrong = target[bad].tolist()
            raise RuntimeError(
                f"target_ should be in [0, {self.n_classes - 1}] or ignore_index={self.ignore_index}, but {n_bad} of "
                f"{len(target)} are not: values in [{min(wrong)}, {max(wrong)}] were found"
            )
        counted = (ranks < self.n_classes).nonzero().squeeze(1) if n_ignored else None
        if counted is not None:
            x, ranks = x.index_select(0, counted), ranks[counted]
        n = len(ranks)
        scale = (1.0 / n if n else float("nan")) if self.reduction == "mean" else 1.0
        if direct:
            with full_precision(x.device.type):
                nll, loss = self._nll(self._cast(x), ranks, scale, self.reduction != "none")
        else:
            nll = self._called_nll(x, ranks)
            loss = nll.sum() * scale
        output = -nll
        if counted is not None:
            output = output.new_zeros(len(target)).index_copy(0, counted, output)
        return output, loss

    def _forward_unread(self, x: Tensor, ranks: Tensor) -> tuple[Tensor, Tensor]:
        """Shapes that do not depend on the targets: ignored ones and wrong ones are masked."""
        ignored = ranks == self.n_classes
        bad = (ranks < 0) | (ranks > self.n_classes)
        nll = self._called_nll(x, ranks.masked_fill(ignored | bad, 0))
        nll = nll.masked_fill(bad, float("nan")).masked_fill(ignored, 0.0)
        loss = nll.sum()
        return -nll, loss / (~ignored).sum() if self.reduction == "mean" else loss

    def log_prob(self, input: Tensor) -> Tensor:
        """Log-probabilities of all words: (..., d) -> (..., V), in the order of the ids. Differentiable."""
        whole = self._plain()
        x = self._flat(input, whole)
        if whole and not composed(x):
            with full_precision(x.device.type):
                out = self._log_prob(self._cast(x), multiplied)
        else:
            out = self._log_prob(x, called)
        out = out.to(self._dtype(input))
        ranks = self._table("_ranks", x.device)
        if ranks is not None:
            out = out.index_select(1, ranks)
        # a view that autograd knows: what changes it in place is noticed, for backward needs it as it is
        return out.view(*input.shape[:-1], self.n_classes)

    @torch.no_grad()
    def topk(self, input: Tensor, k: int) -> TopK:
        """The k most probable words of each row, see :class:`Softmax`.

        Raises ValueError if k is not between 1 and V.
        """
        k, whole = self._checked_k(k), self._plain()
        x = self._flat(input, whole)
        if whole and not composed(x):
            with full_precision(x.device.type):
                values, ranks = self._topk(self._cast(x), k)
        else:
            values, ranks = self._log_prob(x, called).topk(k)
            ranks = ranks.masked_fill(values == -torch.inf, -1) if self.estimates else ranks
        ids = torch.where(ranks < 0, ranks, self._ids(ranks))
        shape = (*input.shape[:-1], k)
        return TopK(values.to(self._dtype(input)).view(shape), ids.view(shape))

    @property
    def n_parameters(self) -> int:
        """Numbers to learn."""
        return sum(p.numel() for p in self.parameters())

    def extra_repr(self) -> str:
        """Sizes, for ``print``."""
        return f"{self.in_features}, {self.n_classes}" + ("" if self.order is None else ", order=given")

    # ------------------------------------------------------------------ helpers

    def _checked_k(self, k: int) -> int:
        return integer("k", k, 1, self.n_classes)

    def _dtype(self, x: Tensor) -> torch.dtype:
        """Dtype of output, loss and log-probabilities."""
        return torch.float32 if autocasts(x) else x.dtype

    def _flat(self, x: Tensor, whole: bool) -> Tensor:
        """Checked input as (n, d). Not ``whole``: children that are called know in which dtype they compute."""
        check_hidden("input", x, self.in_features, self._weight() if whole else None)
        return x.reshape(-1, self.in_features)

    def _cast(self, x: Tensor) -> Tensor:
        """In the dtype of the products; subclasses cast their weights to it."""
        return x.to(torch.get_autocast_dtype(x.device.type)) if autocasts(x) else x

    def _rows(self, x: Tensor) -> Tensor:
        """Checked input as (n, d) in the dtype of the products."""
        return self._cast(self._flat(x, True))

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing: Any,
        unexpected: Any,
        errors: Any,
    ) -> None:
        if self.order is not None and prefix + "order" not in state_dict:
            missing.append(prefix + "order")  # no stock layer wrote it: its ids are ranks, and this module's are not
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing, unexpected, errors)


def composed(x: Tensor) -> bool:
    """Whether answers for ``x`` have to be made of PyTorch's own operations, without a look at numbers."""
    return watched() or unreadable(x)


#: A child, x (n, d), its number of words and its name -> logits (n, number of words).
Product: TypeAlias = Callable[[Any, Tensor, int, str], Tensor]


def multiplied(child: Any, x: Tensor, size: int, name: str) -> Tensor:
    """What a Linear with nothing attached gives, or two in a row: products with the weights in the dtype of ``x``."""
    if isinstance(child, nn.Sequential):
        first, last = child
        return multiplied(last, multiplied(first, x, 0, name), size, name)
    bias = child.bias
    return linear(x, child.weight.to(x.dtype), None if bias is None else bias.to(x.dtype))


def called(child: Any, x: Tensor, size: int, name: str) -> Tensor:
    """What a call of the child gives. RuntimeError if it is not of the size that the words have."""
    return of_width(child(x), size, name)


def check_counts(counts: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """``counts`` of words as (V,). ValueError if they are not finite, negative, masked or all 0."""
    if isinstance(counts, Tensor):
        counts = counts.detach().cpu().numpy()
    masked = int(np.ma.getmaskarray(counts).sum()) if isinstance(counts, np.ma.MaskedArray) else 0
    if masked:
        raise ValueError(f"counts should hold a number for each word, got {masked} masked ones")
    values = np.asarray(counts, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"counts should have the shape (V,), got {values.shape}")
    if not np.isfinite(values).all() or (values < 0).any() or not values.any():
        raise ValueError("counts should be finite, not negative and not all 0")
    return values
