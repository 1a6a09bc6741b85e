"""`AdaptiveSoftmax`: the adaptive softmax of Grave et al. (ICML 2017) as a PyTorch module."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn
from torch.nn import functional as F

from . import checks, decoding, gpu
from .children import all_plain, bare, nothing_from, of_width, plain, sharded
from .decoding import Head, Tail, TopK, nucleus_ranks, sample_ranks, score_ranks, topk_ranks
from .inputs import check_hidden, check_ids, check_target
from .loss import Group, Routing, grouped_nll, route, span
from .ranks import RankTables, checked_order, target_ranks
from .watchers import autocasts, full_precision, reshaped, traced, unreadable, watched

if TYPE_CHECKING:
    from .planning import Plan

REDUCTIONS = ("mean", "sum", "none")


class AdaptiveOutput(NamedTuple):
    """What :class:`AdaptiveSoftmax` returns.

    A program saved by ``torch.export.save`` names this type: import :mod:`adasoft.layer` before it is loaded.
    """

    output: Tensor
    """Log-probability of each target, shape of the target; 0 where the target is ignored."""
    loss: Tensor
    """The negative log-likelihood, reduced as asked."""


# torch.export.save writes the names; they are looked up when a program is loaded
for _kind in (AdaptiveOutput, TopK):
    pytree._register_namedtuple(_kind, serialized_type_name=f"adasoft.{_kind.__name__}")


class _Decoding(NamedTuple):
    """What decoding needs of a layer and an input: arguments of the functions in :mod:`adasoft.decoding`."""

    x: Tensor
    """(N, d), in the dtype of the products."""
    head: Head
    cutoffs: list[int]
    tails: list[Tail]
    shape: torch.Size
    """Leading dimensions of the input."""
    dtype: torch.dtype
    """Of log-probabilities."""


class AdaptiveSoftmax(RankTables):
    r"""Adaptive softmax over ``n_classes`` words, a drop-in for ``torch.nn.AdaptiveLogSoftmaxWithLoss``.

    The ``c_1`` most frequent words (the short-list) share the head with one entry per tail; tail i holds the words
    of ranks ``c_i`` to ``c_{i+1} - 1`` behind a projection to ``d_i`` dimensions (Grave et al. 2017, section 4):

    .. math:: \log p(w) = \log p_{head}(w), \qquad \log p(w) = \log p_{head}(i) + \log p_{tail\,i}(w)

    The constructor's first seven arguments, the attributes, the ``state_dict`` keys and ``forward`` are those of
    the stock layer; its checkpoints load strictly, and go back by :meth:`stock_state_dict`.

    >>> layer = AdaptiveSoftmax(64, 10_000, cutoffs=[500, 2_500])
    >>> layer.widths
    [16, 4]
    >>> hidden, words = torch.randn(8, 20, 64), torch.randint(10_000, (8, 20))
    >>> output, loss = layer(hidden, words)
    >>> output.shape, loss.shape
    (torch.Size([8, 20]), torch.Size([]))
    >>> loss.backward()
    >>> layer.log_prob(hidden).shape
    torch.Size([8, 20, 10000])

    Args:
        in_features: hidden size d.
        n_classes: number of words V.
        cutoffs: ranks c_1 < ... < c_J, each between 1 and V - 1.
        div_value: tail i (from 1) gets the width ``d // div_value**i`` unless ``widths`` is given.
        head_bias: add a bias to the head.
        device, dtype: of the parameters.
        widths: widths d_1 ... d_J of the tails.
        order: the V ids by falling frequency, for ids that are not sorted by frequency. It becomes one extra
            ``state_dict`` key, ``order``. Without it, an id is its rank.
        ignore_index: targets of this value (in the user's ids) do not count. It may be a class; that class is
            then never trained.
        reduction: ``"mean"`` (over the tokens that count), ``"sum"`` or ``"none"`` (loss = -output).
        tail_dropout: dropout on the projected inputs of the tails, in training.

    Where it differs from the stock layer:

    - a target equal to ``ignore_index`` is ignored where the stock layer raises; any leading dimensions;
    - under autocast output and loss are fp32; in pure bf16 or fp16 they have the input's dtype, as stock;
    - a width of 0 from ``div_value`` raises ValueError instead of giving a tail that knows nothing;
    - every parameter gets a gradient in every batch, zeros for a tail without tokens. So it works under
      DistributedDataParallel as it is; but momentum and weight decay then move such a tail, where the stock layer
      leaves it alone, and the zeros take the time to write them;
    - an empty batch, or one with all tokens ignored: mean is nan (as ``cross_entropy``), sum is 0, gradients are
      zeros;
    - no logits are kept for backward. The gradients of ``loss`` are computed in forward; asking for those of
      ``output``, for a second backward or for second derivatives computes the logits once more. Each backward gives the
      same bits, but one with ``create_graph=True`` may round otherwise. Hooks on saved tensors see inputs and weights;
      those that lose precision do not change the gradients of ``loss``;
    - it can be mapped by ``torch.func.vmap``, over targets too, and exported;
    - ``torch.jit.script`` refuses it, as it does the stock layer. ``sample`` and ``opened`` need numbers to look at:
      they cannot be traced, exported or run on the meta device, and break a compiled graph.

    Within a transform of ``torch.func``, in forward-mode differentiation, under ``torch.jit.trace`` and under
    selective checkpointing the layer calls its children with PyTorch's own operations, as the stock layer does: logits
    are kept for backward there. The same goes for layers whose children are more than their weights (hooks, pruning
    masks, parametrizations, adapters, sharded or quantised weights): a tail without tokens is not called then, unless
    its weights have to be gathered from other processes, and decoding looks at all words. With ``tail_dropout``
    something may hang on a tail's projection and on its words, but not on the tail as a whole (RuntimeError).

    A forward reads the host once (the cluster sizes), a backward never. Where nothing can be read, under
    ``torch.compile``, ``torch.export`` and traces, while a CUDA graph is captured, on the meta device, for fake tensors
    and where ``vmap`` batches the targets, forward takes one of two other routes:

    - on a GPU with Triton, but not for export or fp64, the kernels of :mod:`adasoft.gpu.ops`, without second
      derivatives and batched gradients;
    - elsewhere a portable one: every tail sees every token and a mask picks, which costs the arithmetic that routing
      saves.

    On both, a target out of range makes the loss nan, since nothing can be raised. ``topk``, ``predict`` and ``score``
    compute all words where nothing can be read. With :attr:`reads_host` = False forward always takes these routes: set
    it for the steps that warm up before a CUDA graph is captured, so that every kernel is loaded by then.
    """

    #: Public methods besides ``forward`` that read the weights. FSDP2 must be told of them: after
    #: ``fully_shard(layer)``, ``torch.distributed.fsdp.register_fsdp_forward_method(layer, name)`` for each.
    forward_methods = ("log_prob", "predict", "topk", "opened", "sample", "score")

    #: Set to False: no host read in ``forward``, and with it no error for a target out of range.
    reads_host: bool = True

    _edges: Tensor

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        widths: Sequence[int] | None = None,
        order: Any = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        tail_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        kwargs: dict[str, Any] = {"device": device, "dtype": dtype}
        self.in_features = checks.integer("in_features", in_features, 1)
        self.n_classes = checks.integer("n_classes", n_classes, 1)
        self.cutoffs = [*checks.cutoffs(cutoffs, self.n_classes), self.n_classes]
        self.div_value = checks.number("div_value", div_value, checks.ABOVE_0, math.inf, "above 0")
        self.head_bias = bool(head_bias)
        self.reduction = checks.choice("reduction", reduction, REDUCTIONS)
        self.ignore_index = checks.ignore_index(ignore_index)
        self.tail_dropout = checks.number("tail_dropout", tail_dropout, 0, checks.BELOW_1, "at least 0 and below 1")

        self.shortlist_size = self.cutoffs[0]
        self.n_clusters = len(self.cutoffs) - 1
        self.head_size = self.shortlist_size + self.n_clusters
        self.widths = self._widths_by_division() if widths is None else checks.widths(widths, self.n_clusters)

        # the same modules made in the same order as the stock layer: same keys, same initial values for a seed
        self.head = nn.Linear(self.in_features, self.head_size, bias=self.head_bias, **kwargs)
        self.tail = nn.ModuleList()
        for i, width in enumerate(self.widths):
            size = self.cutoffs[i + 1] - self.cutoffs[i]
            self.tail.append(
                nn.Sequential(
                    nn.Linear(self.in_features, width, bias=False, **kwargs),
                    nn.Linear(width, size, bias=False, **kwargs),
                )
            )

        self._keep_order(None if order is None else checked_order(order, self.n_classes))
        self._keep(_edges=torch.tensor([0, *self.cutoffs, self.n_classes + 1], device="cpu"))

    def _place_tables(self) -> None:
        super()._place_tables()
        if self._home().type == "cuda":
            gpu.load()

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        if self._home().type == "cuda":  # pragma: no cover - needs a GPU
            gpu.load()  # a layer unpickled in a process of its own

    def _widths_by_division(self) -> list[int]:
        widths = [int(self.in_features // self.div_value ** (i + 1)) for i in range(self.n_clusters)]
        for i, width in enumerate(widths):
            if width < 1:
                raise ValueError(
                    f"div_value={self.div_value} gives tail {i + 1} a width of 0 (in_features={self.in_features} "
                    f"// {self.div_value}**{i + 1}); pass a smaller div_value or widths=[...]"
                )
        return widths

    @classmethod
    def from_plan(cls, plan: Plan, **kwargs: Any) -> AdaptiveSoftmax:
        """The layer that a plan describes: its sizes, cutoffs, widths, and its ``order`` where ids are not sorted.

        ``kwargs``: further arguments of the layer; ``widths`` or ``div_value`` replace the plan's widths.

        Raises ValueError for a plan without tails, which is a plain full softmax.
        """
        if not plan.cutoffs:
            raise ValueError(
                "this plan has no tails: at its size a full softmax is the fastest, so there is no adaptive softmax to "
                f"build. Use torch.nn.Linear({plan.in_features}, {plan.n_classes}) with "
                "torch.nn.functional.cross_entropy, or plan with n_tails=1 or more."
            )
        if "div_value" not in kwargs:
            kwargs.setdefault("widths", plan.widths)
        if plan.order is not None:
            kwargs.setdefault("order", plan.order)
        return cls(plan.in_features, plan.n_classes, plan.cutoffs, **kwargs)

    def reset_parameters(self) -> None:
        """Initialise all weights again, as ``torch.nn.Linear`` does."""
        self.head.reset_parameters()
        for projection, output in self.tail:  # type: ignore[misc]
            projection.reset_parameters()  # type: ignore[has-type]
            output.reset_parameters()  # type: ignore[has-type]

    # ------------------------------------------------------------------ training

    def forward(self, input_: Tensor, target_: Tensor) -> AdaptiveOutput:
        """Log-probabilities of the targets, and the loss.

        Args:
            input_: hidden states (..., d).
            target_: word ids (...), any integer dtype.

        Returns:
            ``output`` (...) and ``loss``, a scalar, or (...) with ``reduction="none"``.

        Raises:
            RuntimeError: shapes, dtypes or devices do not fit, or a target is out of range.
        """
        self._check_input(input_)
        check_target(target_, input_)
        x, target = input_, target_
        if target.dim() != 1:
            x, target = input_.reshape(-1, self.in_features), target_.reshape(-1)
        ranks = target_ranks(target, self.n_classes, self.ignore_index, self._table("_ranks", x.device))
        unread = not self.reads_host or unreadable(ranks)
        whole = self._plain() and not watched()
        # asked last: torch.compile cannot trace it
        if unread or (x.is_cuda and torch.cuda.is_current_stream_capturing()):
            output, loss = self._forward_unread(x, ranks, whole)
        else:
            routing = self._route(target, ranks)
            output, loss = self._forward_routed(x, ranks, routing) if whole else self._forward_called(x, ranks, routing)
        dtype = output.dtype if autocasts(x) else input_.dtype
        output = output.to(dtype)
        if target_.dim() != 1:
            output = reshaped(output, target_.shape)
        return AdaptiveOutput(output, -output if self.reduction == "none" else loss.to(dtype))

    def _route(self, target: Tensor, ranks: Tensor) -> Routing:
        routing, n_bad = route(ranks, self._table("_edges", ranks.device))
        if n_bad:
            bad = target[(ranks < 0) | (ranks > self.n_classes)]
            raise RuntimeError(
                f"Target values should be in [0, {self.n_classes - 1}], but values in range {span(bad)} were found. "
                f"{n_bad} of {len(target)} targets are out of range (ignore_index={self.ignore_index})."
            )
        return routing

    def _forward_routed(self, x: Tensor, ranks: Tensor, routing: Routing) -> tuple[Tensor, Tensor]:
        """Products with the weights and a loss in chunks: where no child has to be called."""
        n_targets = len(ranks)
        n, permutation, words = routing.n_tokens, routing.permutation, routing.ranks
        scale = (1.0 / n if n else float("nan")) if self.reduction == "mean" else 1.0
        x, (head_weight, head_bias, tails) = self._cast(x)
        with full_precision(x.device.type):
            counted = None
            if n < n_targets:
                # the ignored ones come last: without them, the rows lie as they are sorted
                counted, words = permutation[:n], words[:n]
                x, ranks, permutation = x.index_select(0, counted), words, torch.arange(n, device=x.device)
            # The head takes the rows where they are; the tokens of a tail are a slice of the permutation, so only
            # their rows move. Words of tail i are entry c_1 + i of the head.
            head_target = ranks.clamp(max=self.shortlist_size)
            groups = [Group(x, head_weight, head_bias, head_target)]
            by_cluster = [v.split_with_sizes(routing.sizes[:-1]) for v in (permutation, words)]
            for i, (projection, weight) in enumerate(tails):
                rows, tail_ranks = (v[i + 1] for v in by_cluster)
                if i:
                    head_target.index_fill_(0, rows, self.shortlist_size + i)
                noise = None
                if self.tail_dropout and self.training:
                    noise = F.dropout(x.new_ones(len(rows), self.widths[i]), self.tail_dropout)
                groups.append(Group(None, weight, None, tail_ranks - self.cutoffs[i], rows, projection, noise))
            (nll,), loss = grouped_nll(groups, scale, need_total=self.reduction != "none")
            if counted is not None:
                nll = nll.new_zeros(n_targets).index_copy(0, counted, nll)
            return -nll, loss

    def _forward_called(self, x: Tensor, ranks: Tensor, routing: Routing) -> tuple[Tensor, Tensor]:
        """As the stock layer: the head is called with all tokens that count, a tail with its own."""
        n, n_targets, permutation, words = routing.n_tokens, len(ranks), routing.permutation, routing.ranks
        counted = permutation[:n]
        if n < n_targets:
            x, ranks, permutation = x.index_select(0, counted), words[:n], torch.arange(n, device=x.device)
        head_target = ranks.clamp(max=self.shortlist_size)
        rows = permutation[:n].split_with_sizes(routing.sizes[:-1])
        within = words[:n].split_with_sizes(routing.sizes[:-1])
        for i in range(1, self.n_clusters):
            head_target = head_target.index_fill(0, rows[i + 1], self.shortlist_size + i)
        nll = _cross_entropy(self._head_logits(x), head_target)
        uncalled: list[Tensor] = []
        for i, tail in enumerate(self.tail):
            if len(rows[i + 1]) or sharded(tail):
                logits = self._tail_logits(i, x.index_select(0, rows[i + 1]))
                nll = nll.index_add(0, rows[i + 1], _cross_entropy(logits, within[i + 1] - self.cutoffs[i]))
            else:
                uncalled += tail.parameters()
        loss = nll.sum()
        if self.reduction == "mean":
            loss = loss * (1.0 / n if n else float("nan"))
        nothing = nothing_from(uncalled)
        if n < n_targets:
            nll = nll.new_zeros(n_targets).index_copy(0, counted, nll)
        return -(nll + nothing), loss + nothing

    def _forward_unread(self, x: Tensor, ranks: Tensor, whole: bool) -> tuple[Tensor, Tensor]:
        """No host read: ragged kernels where they run, and the portable route elsewhere and for export."""
        ops = gpu.loaded
        runs = whole and ops is not None and (x.is_cuda or ops.INTERPRETED)
        if not runs or x.dtype == torch.float64 or torch.compiler.is_exporting():
            return self._forward_static(x, ranks)
        x, (head, bias, tails) = self._cast(x)
        with torch.autocast(x.device.type, enabled=False):
            dropout = self.tail_dropout if self.training else 0.0
            edges = self._table("_edges", x.device)
            ragged = ops.ragged_nll(x, ranks, edges, head, bias, tails, dropout=dropout)
            return -ragged.nll, ragged.total / ragged.counted if self.reduction == "mean" else ragged.total

    def _forward_static(self, x: Tensor, ranks: Tensor) -> tuple[Tensor, Tensor]:
        """Shapes that do not depend on the targets: every tail is called with every token, a mask picks. Exact."""
        ignored = ranks == self.n_classes
        bad = (ranks < 0) | (ranks > self.n_classes)
        ranks = ranks.masked_fill(ignored | bad, 0)
        # all edges, no slice of them: inductor of torch 2.11 reads a slice from the beginning of the table
        tail_number = torch.bucketize(ranks, self._table("_edges", x.device), right=True) - 2
        target = torch.where(tail_number < 0, ranks, tail_number + self.shortlist_size)
        nll = _cross_entropy(self._head_logits(x), target)
        for i in range(self.n_clusters):
            inside = tail_number == i
            target = torch.where(inside, ranks - self.cutoffs[i], 0)
            nll = nll + torch.where(inside, _cross_entropy(self._tail_logits(i, x), target), 0.0)
        nll = nll.masked_fill(bad, float("nan")).masked_fill(ignored, 0.0)
        loss = nll.sum()
        if self.reduction == "mean":
            loss = loss / (~ignored).sum()
        return -nll, loss

    def _plain(self) -> bool:
        """Whether the weights of head and tails are all there is to them; otherwise they are called."""
        sizes = [b - a for a, b in pairwise(self.cutoffs)]
        return all_plain(self.head, self.tail, [self.head_size, *sizes])

    def _head_logits(self, x: Tensor) -> Tensor:
        return of_width(self.head(x), self.head_size, "head")

    def _tail_logits(self, i: int, x: Tensor) -> Tensor:
        tail, size = self.tail[i], self.cutoffs[i + 1] - self.cutoffs[i]
        if not (self.tail_dropout and self.training):
            return of_width(tail(x), size, f"tail.{i}")
        if not bare(tail, nn.Sequential) or len(tail) != 2:  # type: ignore[arg-type]
            raise RuntimeError(
                f"tail.{i} should be the Sequential of projection and words that the constructor made, with nothing "
                f"attached, since tail_dropout={self.tail_dropout} acts between the two; got a {type(tail).__name__}. "
                f"Attach it to tail.{i}.0 or tail.{i}.1, or pass tail_dropout=0"
            )
        projection, output = tail  # type: ignore[misc]
        hidden = F.dropout(projection(x), self.tail_dropout)  # type: ignore[has-type]
        return of_width(output(hidden), size, f"tail.{i}")  # type: ignore[has-type]

    # ------------------------------------------------------------------ decoding

    def log_prob(self, input: Tensor) -> Tensor:
        """Log-probabilities of all words: (..., d) -> (..., V), in the order of the user's ids. Differentiable."""
        x, shape = self._rows(input)
        out = self._log_prob(x, _log_softmax)
        ranks = self._table("_ranks", x.device)
        if ranks is not None:
            out = out.index_select(1, ranks)
        return out if input.dim() == 2 else reshaped(out, (*shape, self.n_classes))

    def _log_prob(self, x: Tensor, normalise: Callable[[Tensor], Tensor]) -> Tensor:
        """Of all words, (n, V) by rank."""
        head = normalise(self._head_logits(x))
        parts = [head[:, : self.shortlist_size]]
        for i, tail in enumerate(self.tail):
            logits = of_width(tail(x), self.cutoffs[i + 1] - self.cutoffs[i], f"tail.{i}")
            parts.append(normalise(logits) + head[:, self.shortlist_size + i].unsqueeze(1))
        return torch.cat(parts, 1)

    @torch.no_grad()
    def predict(self, input: Tensor) -> Tensor:
        """The most probable word of each row: (..., d) -> (...), the user's ids. Opens only tails that can win."""
        return self.topk(input, 1).indices.squeeze(-1)

    @torch.no_grad()
    def topk(self, input: Tensor, k: int) -> TopK:
        """The ``k`` most probable words of each row: (..., d) -> values (..., k), indices (..., k).

        Exact: equal to ``log_prob(input).topk(k)`` up to rounding, without opening tails that cannot enter (see
        :mod:`adasoft.decoding`). Words of equal probability come in no set order, as with ``torch.topk``.

        Nothing is kept between calls, so that no change of the weights can be missed. The bounds need averages of a
        tail's weights, some three passes over them; on a CPU they are computed where 32 rows or more may open the tail.

        Raises ValueError if k is not between 1 and V.

        >>> layer = AdaptiveSoftmax(8, 100, cutoffs=[10, 40], div_value=2)
        >>> values, words = layer.topk(torch.randn(5, 8), k=3)
        >>> words.shape
        torch.Size([5, 3])
        >>> bool((values[:, 0] >= values[:, 1]).all())
        True
        """
        if unreadable(input):
            k, dtype = self._count(k), torch.float32 if autocasts(input) else input.dtype
            x, shape = self._rows(input)
            values, ranks = (v.view(*shape, k) for v in self._log_prob(x, decoding.log_softmax).topk(k))
            return TopK(values.to(dtype), self._ids(ranks))
        values, ranks, _ = self._topk(input, k)
        return TopK(values, self._ids(ranks))

    @torch.no_grad()
    def opened(self, input: Tensor, k: int) -> Tensor:
        """Which tails :meth:`topk` has to compute for each row: (..., d) -> (..., J), bool."""
        return self._topk(input, k, small=0)[2]

    @torch.no_grad()
    def sample(
        self, input: Tensor, n: int = 1, *, top_p: float | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """``n`` independent words per row from the model's exact distribution: (..., d) -> (..., n), ids.

        ``top_p``: draw from the nucleus only, the fewest words whose probabilities sum to at least ``top_p`` (Holtzman
        et al. 2020), with their probabilities relative to each other.

        Raises ValueError if n is not positive or top_p not above 0 and at most 1, and for input that is not finite.
        """
        n = checks.integer("n", n, 1)
        if top_p is not None:
            top_p = checks.number("top_p", top_p, checks.ABOVE_0, 1, "above 0 and at most 1")
        x, head, cutoffs, tails, shape, _ = self._decoding(input)
        if not bool(torch.isfinite(x).all()):
            raise ValueError("input should hold finite numbers, got others: there is no distribution to draw from")
        if top_p is None:
            ranks = sample_ranks(x, head, cutoffs, tails, n, generator)
        else:
            ranks = nucleus_ranks(x, head, cutoffs, tails, top_p, n, generator)
        return self._ids(ranks).view(*shape, n)

    @torch.no_grad()
    def score(self, input: Tensor, candidates: Tensor) -> Tensor:
        """Log-probabilities of given words: (..., d) and ids (..., m) -> (..., m).

        A tail is opened only for the rows that have a candidate in it.

        Raises RuntimeError if shapes or dtypes do not fit, or an id is out of range (where nothing is read on the host,
        its score is nan).
        """
        x, head, cutoffs, tails, shape, dtype = self._decoding(input)
        unread = unreadable(input) or unreadable(candidates)
        check_ids("candidates", candidates)
        if candidates.dim() != len(shape) + 1 or not (traced() or candidates.shape[:-1] == shape):
            raise RuntimeError(
                f"candidates should have the shape {(*shape, 'm')}, got {tuple(candidates.shape)} for an input of "
                f"shape {tuple(input.shape)}"
            )
        if candidates.device != input.device:
            raise RuntimeError(f"candidates should be on the device of input, {input.device}, got {candidates.device}")
        rows = candidates if candidates.dim() == 2 else candidates.reshape(-1, candidates.shape[-1])
        ids = rows.long().contiguous()
        bad = (ids < 0) | (ids >= self.n_classes)
        if unread:
            ids = ids.masked_fill(bad, 0)
        elif bool(bad.any()):
            raise RuntimeError(
                f"candidates should be in [0, {self.n_classes - 1}], got {rows[bad].tolist()[0]} "
                f"({int(bad.sum())} of {ids.numel()} are out of range)"
            )
        rank_of_id = self._table("_ranks", x.device)
        ranks = ids if rank_of_id is None else rank_of_id[ids]
        if unread:
            scores = self._log_prob(x, decoding.log_softmax).gather(1, ranks).masked_fill(bad, float("nan"))
        else:
            scores = score_ranks(x, head, cutoffs, tails, ranks)
        return scores.to(dtype).view(candidates.shape)

    def _topk(self, input: Tensor, k: int, small: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
        k = self._count(k)
        x, head, cutoffs, tails, shape, dtype = self._decoding(input)
        values, ranks, opened = topk_ranks(x, head, cutoffs, tails, k, small=small)
        if not tails:
            opened = opened.new_ones(len(x), self.n_clusters)
        return values.to(dtype).view(*shape, k), ranks.view(*shape, k), opened.view(*shape, self.n_clusters)

    def _count(self, k: Any) -> int:
        return checks.integer("k", k, 1, self.n_classes)

    def _decoding(self, input: Tensor) -> _Decoding:
        x, shape = self._rows(input)
        dtype = torch.float32 if autocasts(x) else x.dtype
        if not self._plain():
            # no weight may be read past what hangs on a child: all words are a head without tails
            head = partial(self._log_prob, normalise=decoding.log_softmax)
            return _Decoding(x, head, [self.n_classes], [], shape, dtype)
        x, (weight, bias, tails) = self._cast(x)
        return _Decoding(x, (weight, bias), self.cutoffs, tails, shape, dtype)

    def _rows(self, input: Tensor) -> tuple[Tensor, torch.Size]:
        self._check_input(input)
        x = input if input.dim() == 2 else input.reshape(-1, self.in_features)
        return x, input.shape[:-1]

    # ------------------------------------------------------------------ the rest

    def _cast(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor | None, list[Tail]]]:
        """Input and weights in the dtype of the products: autocast's where it is on (fp64 stays, as in torch)."""
        head = self.head
        weight: Tensor = head.weight
        bias: Tensor | None = head.bias
        tails = [Tail(p.weight, o.weight) for p, o in self.tail]  # type: ignore[misc, has-type]
        if autocasts(x):
            dtype = torch.get_autocast_dtype(x.device.type)
            x, weight, bias = x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
            tails = [Tail(p.to(dtype), o.to(dtype)) for p, o in tails]
        return x, (weight, bias, tails)

    def _check_input(self, input_: Tensor) -> None:
        weight = self.head.weight if plain(self.head, bias=True) else None
        check_hidden("input_", input_, self.in_features, weight)

    def stock_state_dict(self) -> dict[str, Tensor]:
        """The ``state_dict`` without ``order``: loads strictly into ``torch.nn.AdaptiveLogSoftmaxWithLoss``.

        That layer then works with ranks: map ids by ``order`` yourself. Widths given by hand load only into a
        stock layer whose ``div_value`` gives the same widths.
        """
        return {key: value for key, value in self.state_dict().items() if key != "order"}

    def extra_repr(self) -> str:
        """Sizes, cutoffs and widths, for ``print``."""
        text = f"{self.in_features}, {self.n_classes}, cutoffs={self.cutoffs[:-1]}, widths={self.widths}"
        return text + ("" if self.order is None else ", order=given")


def _cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    statistics = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
    return F.cross_entropy(statistics, target, reduction="none")


def _log_softmax(logits: Tensor) -> Tensor:
    # under autocast fp32, as `output` is; autocast itself does so on a GPU, but not on a CPU
    return F.log_softmax(logits, dim=1, dtype=torch.float32 if autocasts(logits) else None)
