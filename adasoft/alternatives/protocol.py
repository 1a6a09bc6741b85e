"""What every softmax of this package offers, and what they share: ids, shapes, checks, reductions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..decoding import TopK, largest
from ..layer import AdaptiveOutput, _check_order, _positive, _reshaped
from ..loss import chunk_rows, target_ranks

REDUCTIONS = ("mean", "sum", "none")


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


class SoftmaxModule(nn.Module):
    """Base of the softmaxes here: a subclass gives ``_nll``, ``_log_prob`` and ``operations``, all by rank.

    Args:
        in_features: hidden size d.
        n_classes: number of words V.
        order: the V ids by falling frequency; without it, an id is its rank.
        ignore_index: targets of this value (in the user's ids) do not count; their ``output`` is 0.
        reduction: ``"mean"`` (over the tokens that count; nan if there are none), ``"sum"`` or ``"none"``.
        device: of the parameters (subclasses also take their ``dtype``).

    Under autocast the products run in its dtype; output and loss are fp32. Otherwise they have the input's dtype,
    with sums in fp32 at least. Logits are not kept for backward. One host read per forward tells whether all targets
    are in range.
    """

    estimates = False
    order: Tensor | None
    _ranks: Tensor | None

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
        self.in_features = _positive("in_features", in_features)
        self.n_classes = _positive("n_classes", n_classes)
        if reduction not in REDUCTIONS:
            raise ValueError(f"reduction should be 'mean', 'sum' or 'none', got {reduction!r}")
        if isinstance(ignore_index, bool) or not isinstance(ignore_index, int):
            raise TypeError(f"ignore_index should be an int, got {ignore_index!r}")
        self.reduction = reduction
        self.ignore_index = ignore_index
        self._tables: dict[str, Tensor | None] = {}
        ids = None if order is None else _check_order(order, self.n_classes)
        self._keep("order", ids, device, persistent=True)
        self._keep("_ranks", None if ids is None else ids.argsort(), device)
        self.register_load_state_dict_post_hook(_follow_weights)  # type: ignore[no-untyped-call]

    def _keep(self, name: str, table: Tensor | None, device: Any, *, persistent: bool = False) -> None:
        """A buffer that is never learnt: it keeps its dtype and numbers, also on a layer made on the meta device."""
        self._tables[name] = table
        self.register_buffer(name, None if table is None else table.to(device, copy=True), persistent=persistent)

    def _place_tables(self) -> None:
        device = self._weight().device
        for name, table in self._tables.items():
            if table is not None:
                setattr(self, name, table.to(device, copy=True))

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._place_tables()
        return self

    # ------------------------------------------------------------------ what a subclass gives

    def _nll(self, x: Tensor, ranks: Tensor, scale: float, need_total: bool) -> tuple[Tensor, Tensor]:
        """x (n, d), ranks (n,) all in range -> per-token losses (n,) and ``scale`` times their sum."""
        raise TypeError(f"{type(self).__name__} should define _nll")

    def _log_prob(self, x: Tensor) -> Tensor:
        """x (n, d) -> (n, V) by rank, fp32 at least."""
        raise TypeError(f"{type(self).__name__} should define _log_prob")

    def _topk(self, x: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """x (n, d) -> values and ranks of the k best words (n, k), rank -1 for a place that no word can take.

        Here from all log-probabilities, some rows at a time; a subclass that need not look at all words says how.
        """
        found = [(x.new_empty(0, k), torch.empty(0, k, dtype=torch.long, device=x.device))]
        for rows in torch.split(x, chunk_rows(len(x), self.n_classes, x.is_cuda)):
            found.append(largest(self._log_prob(rows), k))
        dtype = torch.promote_types(x.dtype, torch.float32)
        return torch.cat([v.to(dtype) for v, _ in found]), torch.cat([r for _, r in found])

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
        x = self._rows(input_)
        if target_.is_floating_point() or target_.is_complex() or target_.dtype == torch.bool:
            raise RuntimeError(f"target_ should hold integer word ids, got dtype {target_.dtype}")
        if input_.shape[:-1] != target_.shape:
            raise RuntimeError(
                f"target_ should have the shape {tuple(input_.shape[:-1])} for input_ of shape {tuple(input_.shape)}, "
                f"got {tuple(target_.shape)}"
            )
        if target_.device != input_.device:
            raise RuntimeError(f"target_ is on {target_.device}, input_ on {input_.device}")
        target = target_.reshape(-1)
        ranks = target_ranks(target, self.n_classes, self.ignore_index, self._ranks)
        bad = (ranks < 0) | (ranks > self.n_classes)
        n_bad, n_ignored = torch.stack([bad.sum(), (ranks == self.n_classes).sum()]).tolist()
        if n_bad:
            wrong = target[bad]
            raise RuntimeError(
                f"target_ should be in [0, {self.n_classes - 1}] or ignore_index={self.ignore_index}, but {n_bad} of "
                f"{len(target)} are not: values in [{int(wrong.min())}, {int(wrong.max())}] were found"
            )
        counted = (ranks < self.n_classes).nonzero().squeeze(1) if n_ignored else None
        if counted is not None:
            x, ranks = x.index_select(0, counted), ranks[counted]
        n = len(ranks)
        scale = (1.0 / n if n else float("nan")) if self.reduction == "mean" else 1.0
        with torch.autocast(x.device.type, enabled=False):
            nll, loss = self._nll(x, ranks, scale, self.reduction != "none")
            output = -nll
            if counted is not None:
                output = output.new_zeros(len(target)).index_copy(0, counted, output)
        dtype = self._dtype(input_)
        output = _reshaped(output.to(dtype), target_.shape)
        return AdaptiveOutput(output, -output if self.reduction == "none" else loss.to(dtype))

    def log_prob(self, input: Tensor) -> Tensor:
        """Log-probabilities of all words: (..., d) -> (..., V), in the order of the ids. Differentiable."""
        x = self._rows(input)
        with torch.autocast(x.device.type, enabled=False):
            out = self._log_prob(x).to(self._dtype(input))
        if self._ranks is not None:
            out = out.index_select(1, self._ranks)
        # a view that autograd knows: what changes it in place is noticed, for backward needs it as it is
        return out.view(*input.shape[:-1], self.n_classes)

    @torch.no_grad()
    def topk(self, input: Tensor, k: int) -> TopK:
        """The k most probable words of each row, see :class:`Softmax`.

        Raises ValueError if k is not between 1 and V.
        """
        if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= self.n_classes:
            raise ValueError(f"k should be an integer between 1 and n_classes={self.n_classes}, got {k!r}")
        x = self._rows(input)
        with torch.autocast(x.device.type, enabled=False):
            values, ranks = self._topk(x, k)
        ids = ranks if self.order is None else torch.where(ranks < 0, ranks, self.order[ranks])
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

    def _dtype(self, x: Tensor) -> torch.dtype:
        """Dtype of output, loss and log-probabilities."""
        autocast = torch.is_autocast_enabled(x.device.type) and x.dtype != torch.float64
        return torch.float32 if autocast else x.dtype

    def _rows(self, x: Tensor) -> Tensor:
        """Checked input as (n, d) in the dtype of the products; subclasses cast their weights to it."""
        weight = self._weight()
        if x.dim() < 1 or x.shape[-1] != self.in_features:
            raise RuntimeError(f"input should have the shape (..., {self.in_features}), got {tuple(x.shape)}")
        if not x.is_floating_point():
            raise RuntimeError(f"input should hold floating-point numbers, got dtype {x.dtype}")
        if x.device != weight.device:
            raise RuntimeError(f"input is on {x.device}, the layer on {weight.device}; both should be on one device")
        rows = x.reshape(-1, self.in_features)
        if torch.is_autocast_enabled(x.device.type) and x.dtype != torch.float64:
            return rows.to(torch.get_autocast_dtype(x.device.type))
        if x.dtype != weight.dtype:
            raise RuntimeError(f"input has dtype {x.dtype}, the layer's weights {weight.dtype}; convert one")
        return rows

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        stored = state_dict.get(prefix + "order")
        own = self._tables["order"]
        same = (own is None) == (stored is None) and (own is None or torch.equal(own, stored.cpu()))
        if not same:
            errors: list[str] = args[-1]
            errors.append(
                f"{prefix}order of the checkpoint differs from this layer's: the weights would be those of other "
                "words. Build the layer with the order of the checkpoint"
            )
        super()._load_from_state_dict(state_dict, prefix, *args)


def _follow_weights(layer: SoftmaxModule, _: Any) -> None:
    device = layer._weight().device
    if any(table is not None and getattr(layer, name).device != device for name, table in layer._tables.items()):
        layer._place_tables()


def check_widths(widths: Sequence[int], n: int, what: str) -> list[int]:
    """``widths`` as n positive integers; ValueError names the wrong one."""
    made = [_positive(f"widths[{i}]", width) for i, width in enumerate(widths)]
    if len(made) != n:
        raise ValueError(f"widths should hold one width per {what}, {n}, got {len(made)}: {made}")
    return made
