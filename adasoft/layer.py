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
from .tuning import FEW_LOGITS
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
    """The negative log-likelihood, reduced by the layer's ``reduction``."""


# torch.export.save writes the names; they are looked up when a program is loaded
for _kind in (AdaptiveOutput, TopK):
    pytree._register_namedtuple(_kind, serialized_type_name=f"adasoft.{_kind.__name__}")


class _Decoding(NamedTuple):
    """What decoding needs from a layer and an input: arguments of the functions in :mod:`adasoft.decoding`."""

    x: Tensor
    """(N, d), in the dtype of the products."""
    head: Head
    cutoffs: list[int]
    tails: list[Tail]
    shape: torch.Size
    """Leading dimensions of the input."""
    dtype: torch.dtype
    """Dtype in which log-probabilities are returned."""


class AdaptiveSoftmax(RankTables):
    r"""Adaptive softmax over ``n_classes`` words, a drop-in for ``torch.nn.AdaptiveLogSoftmaxWithLoss``.

    Words are numbered by rank, the most frequent first. The first ``c_1`` (the short-list) share the head with one
    entry per tail. Tail i holds the words of ranks ``c_i`` to ``c_{i+1} - 1``, where ``c_{J+1}`` = V, behind a
    projection to ``d_i`` dimensions (Grave et al. 2017, section 4):

    .. math::
        \log p(w) = \begin{cases}
            \log p_{head}(w) & w < c_1 \\
            \log p_{head}(\text{tail } i) + \log p_i(w) & c_i \le w < c_{i+1}
        \end{cases}

    The constructor's first seven arguments, the attributes, the ``state_dict`` keys and ``forward`` are those of
    the stock layer; its checkpoints load strictly, and :meth:`stock_state_dict` makes one for it.

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
        cutoffs: ranks c_1 < ... < c_J, each between 1 and V - 1. The attribute ``cutoffs`` holds V as well, at its
            end, as in the stock layer.
        div_value: tail i (from 1) gets the width ``d // div_value**i`` unless ``widths`` is given.
        head_bias: add a bias to the head.
        device, dtype: of the parameters.
        widths: widths d_1 ... d_J of the tails. By default :func:`adasoft.plan` gives each tail at least 8 (at most d);
            ``div_value`` has no such floor.
        order: the V ids by falling frequency, for ids that are not sorted by frequency. It becomes one extra
            ``state_dict`` key, ``order``. Without it, an id is its rank.
        ignore_index: targets of this value (in the user's ids) do not count. It may be a class, whose
            tokens are then never trained on.
        reduction: ``"mean"`` (over the tokens that count), ``"sum"`` or ``"none"`` (loss = -output).
        tail_dropout: dropout on the projected inputs of the tails. It acts in ``forward`` in training mode; all other
            methods evaluate without it, in training mode too.

    ``forward`` takes one of four routes to the same loss, up to rounding:

    =======  ===========================================  ========================================================
    route    when                                         what it does
    =======  ===========================================  ========================================================
    routed   by default                                   multiplies all tokens by the head's weights and each tail's
                                                          tokens by that tail's, chunk by chunk; keeps no logits
    called   something is attached to a child, or a       calls the head with all tokens and each tail with its own;
             transform needs PyTorch's own operations     keeps the logits for backward
    kernels  nothing may be read on the host, on a GPU    sorts on the device and runs the Triton kernels of
             with Triton                                  :mod:`adasoft.gpu.ops`; keeps no logits
    static   nothing may be read on the host, elsewhere   calls every tail with every token and selects the results
                                                          with masks, which costs the arithmetic that routing saves;
                                                          keeps the logits for backward
    =======  ===========================================  ========================================================

    *Routed.* ``forward`` synchronises with the device once, to read the cluster sizes on the host; backward does not.
    The gradients of ``loss`` are computed in forward. The gradients of ``output``, a second backward and second
    derivatives compute the logits once more. A second backward gives the same bits as the first; with
    ``create_graph=True`` the rounding may differ. Hooks on saved tensors receive inputs and weights, but no logits. If
    such a hook loses precision, the first backward of ``loss`` does not change, since forward has computed the
    gradients already; later ones, and the gradients of ``output``, do.

    *Called.* The layer calls its children when they have hooks, pruning masks, parametrizations or adapters, or when
    their weights are sharded or quantised; also within a transform of ``torch.func``, in forward-mode differentiation
    and under selective checkpointing. A tail without tokens is not called, unless its weights have to be gathered from
    other processes. With ``tail_dropout``, attach hooks and the like to the two Linears of a tail, not to the
    Sequential that holds them (RuntimeError in training). Decoding computes all words if something is attached.

    *Kernels and static.* Nothing may be read on the host under ``torch.compile``, ``torch.export`` and traces, while a
    CUDA graph is captured, on the meta device, for fake tensors, where ``vmap`` batches the targets, and if
    :attr:`reads_host` is False. A target out of range then makes the loss nan, since nothing can be raised. The kernels
    give neither second derivatives nor batched gradients. The static route is taken instead of them for export, in
    fp64, under ``torch.jit.trace``, within a transform of ``torch.func`` and where something is attached to a child.
    ``topk``, ``predict`` and ``score`` compute all words where their input cannot be read; :attr:`reads_host` makes no
    difference to them.

    Where it differs from the stock layer:

    - input and target may have any leading dimensions;
    - a target equal to ``ignore_index`` is ignored, where the stock layer raises. If all are ignored, the mean is nan
      (as with ``cross_entropy``), the sum is 0, and the gradients are zeros;
    - under autocast, output and loss are fp32 (fp64 if the input is);
    - a width of 0 from ``div_value`` raises ValueError, where the stock layer makes a tail whose logits are constant;
    - every parameter gets a gradient in every batch, zeros for a tail without tokens. The layer therefore works under
      DistributedDataParallel unchanged. But momentum and weight decay then move such a tail, which the stock layer
      leaves alone, and writing the zeros takes time;
    - no logits are kept for backward (routed and kernels);
    - ``torch.func.vmap`` can map it, over targets too, and ``torch.export`` can export it. :meth:`sample` and
      :meth:`opened` need to read tensor values: they cannot be traced, exported or run on the meta device, and they
      break a compiled graph.

    ``torch.jit.script`` refuses it, as it does the stock layer.
    """

    #: Public methods besides ``forward`` that read the weights. FSDP2 must be told of them: after
    #: ``fully_shard(layer)``, ``torch.distributed.fsdp.register_fsdp_forward_method(layer, name)`` for each.
    forward_methods = ("log_prob", "predict", "topk", "opened", "sample", "score")

    #: Whether ``forward`` may synchronise with the device. It then does so once, to read the cluster sizes and the
    #: number of targets out of range on the host. If False, it never does, and a target out of range makes the loss nan
    #: instead of raising RuntimeError. Set it to False during warm-up, before capturing a CUDA graph, so that every
    #: kernel is loaded by then.
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
        # the last cluster, [V, V + 1), holds the ignored targets: they have the rank V, and bad ones V + 1 or -1
        self._keep(_edges=torch.tensor([0, *self.cutoffs, self.n_classes + 1], device="cpu"))

    def _place_tables(self) -> None:
        super()._place_tables()
        if self._home().type == "cuda":
            gpu.load()

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        if self._home().type == "cuda":  # pragma: no cover - needs a GPU
            gpu.load()  # this process may have unpickled the layer without ever constructing one

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
        """The layer that a plan describes: its sizes, cutoffs and widths, and its ``order`` if ids are not sorted.

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
            RuntimeError: shapes, dtypes or devices do not fit, or a target is out of range (the loss is nan instead
                where nothing may be read on the host).
        """
        self._check_input(input_)
        check_target(target_, input_)
        x, target = input_, target_
        if target.dim() != 1:
            x, target = input_.reshape(-1, self.in_features), target_.reshape(-1)
        ranks = target_ranks(target, self.n_classes, self.ignore_index, self._table("_ranks", x.device))
        # unread: the host may not read the cluster sizes. use_weights: multiply by the children's weights instead of
        # calling the children, which is the same if nothing is attached to them (plain) and no transform or tracer
        # needs PyTorch's own operations (watched).
        unread = not self.reads_host or unreadable(ranks)
        use_weights = self._plain() and not watched()
        # the test for capture comes last: torch.compile cannot trace it
        if unread or (x.is_cuda and torch.cuda.is_current_stream_capturing()):
            output, loss = self._forward_unread(x, ranks, use_weights)
        else:
            routing = self._route(target, ranks)
            forward = self._forward_routed if use_weights else self._forward_called
            output, loss = forward(x, ranks, routing)
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
        """Multiply by the weights and compute the loss in chunks, without calling any child."""
        # n of the n_targets tokens are not ignored
        n, n_targets, permutation, sorted_ranks = routing.n_tokens, len(ranks), routing.permutation, routing.ranks
        scale = (1.0 / n if n else float("nan")) if self.reduction == "mean" else 1.0
        x, (head_weight, head_bias, tails) = self._cast(x)
        with full_precision(x.device.type):
            counted = None
            if n < n_targets:
                # Ignored tokens come last in the permutation. The others are copied in its order, so that their
                # permutation becomes the identity.
                counted, sorted_ranks = permutation[:n], sorted_ranks[:n]
                x, ranks, permutation = x.index_select(0, counted), sorted_ranks, torch.arange(n, device=x.device)
            # The head takes the rows where they are. The tokens of a tail are a slice of the permutation, so only
            # their rows are copied. Tail i (from 0) is entry c_1 + i of the head: the clamp assigns the words of every
            # tail to the first one, and the loop corrects this for the others.
            head_target = ranks.clamp(max=self.shortlist_size)
            groups = [Group(x, head_weight, head_bias, head_target)]
            by_cluster = [v.split_with_sizes(routing.sizes[:-1]) for v in (permutation, sorted_ranks)]
            for i, (projection, weight) in enumerate(tails):
                rows, tail_ranks = (v[i + 1] for v in by_cluster)
                if i:
                    head_target.index_fill_(0, rows, self.shortlist_size + i)
                dropout_mask = None
                if self.tail_dropout and self.training:
                    dropout_mask = F.dropout(x.new_ones(len(rows), self.widths[i]), self.tail_dropout)
                groups.append(Group(None, weight, None, tail_ranks - self.cutoffs[i], rows, projection, dropout_mask))
            # one tensor of losses, the head's: those of the tails have been added to it
            (nll,), loss = grouped_nll(groups, scale, need_total=self.reduction != "none")
            if counted is not None:
                nll = nll.new_zeros(n_targets).index_copy(0, counted, nll)
            return -nll, loss

    def _forward_called(self, x: Tensor, ranks: Tensor, routing: Routing) -> tuple[Tensor, Tensor]:
        """Call the head with all tokens that count and each tail with its own, as the stock layer does."""
        n, n_targets, permutation, sorted_ranks = routing.n_tokens, len(ranks), routing.permutation, routing.ranks
        counted = permutation[:n]
        if n < n_targets:
            x, ranks, permutation = x.index_select(0, counted), sorted_ranks[:n], torch.arange(n, device=x.device)
        head_target = ranks.clamp(max=self.shortlist_size)
        rows = permutation[:n].split_with_sizes(routing.sizes[:-1])
        ranks_by_cluster = sorted_ranks[:n].split_with_sizes(routing.sizes[:-1])
        for i in range(1, self.n_clusters):
            head_target = head_target.index_fill(0, rows[i + 1], self.shortlist_size + i)
        nll = _cross_entropy(self._head_logits(x), head_target)
        uncalled: list[Tensor] = []
        for i, tail in enumerate(self.tail):
            if len(rows[i + 1]) or sharded(tail):
                logits = self._tail_logits(i, x.index_select(0, rows[i + 1]))
                nll = nll.index_add(0, rows[i + 1], _cross_entropy(logits, ranks_by_cluster[i + 1] - self.cutoffs[i]))
            else:
                uncalled += tail.parameters()
        loss = nll.sum()
        if self.reduction == "mean":
            loss = loss * (1.0 / n if n else float("nan"))
        nothing = nothing_from(uncalled)  # 0; gives the parameters of uncalled tails gradients of zeros
        if n < n_targets:
            nll = nll.new_zeros(n_targets).index_copy(0, counted, nll)
        return -(nll + nothing), loss + nothing

    def _forward_unread(self, x: Tensor, ranks: Tensor, use_weights: bool) -> tuple[Tensor, Tensor]:
        """Read nothing on the host: the ragged kernels where they run, the static route elsewhere and for export."""
        ops = gpu.loaded
        runs = use_weights and ops is not None and (x.is_cuda or ops.INTERPRETED)
        if not runs or x.dtype == torch.float64 or torch.compiler.is_exporting():
            return self._forward_static(x, ranks)
        x, (head, bias, tails) = self._cast(x)
        with torch.autocast(x.device.type, enabled=False):
            dropout = self.tail_dropout if self.training else 0.0
            edges = self._table("_edges", x.device)
            ragged = ops.ragged_nll(x, ranks, edges, head, bias, tails, dropout=dropout)
            return -ragged.nll, ragged.total / ragged.counted if self.reduction == "mean" else ragged.total

    def _forward_static(self, x: Tensor, ranks: Tensor) -> tuple[Tensor, Tensor]:
        """Call every tail with every token and select the right results with masks. The loss is the exact one.

        No shape depends on the targets.
        """
        ignored = ranks == self.n_classes
        bad = (ranks < 0) | (ranks > self.n_classes)
        ranks = ranks.masked_fill(ignored | bad, 0)
        # bucketize counts the edges (0, c_1, ...) at or below a rank: 1 in the short-list, which becomes -1, 2 in the
        # first tail, which becomes 0. It gets all edges: inductor of torch 2.11 reads a slice from the beginning of the
        # table.
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
        """Whether nothing is attached to head and tails, so that their weights may be used without calling them."""
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
        """Log-probabilities of all words: (..., d) -> (..., V), in the order of the user's ids.

        Differentiable. An evaluation: ``tail_dropout`` does not act here, not even in training mode.
        """
        x, shape = self._rows(input)
        out = self._log_prob(x, _log_softmax)
        ranks = self._table("_ranks", x.device)
        if ranks is not None:
            out = out.index_select(1, ranks)
        return out if input.dim() == 2 else reshaped(out, (*shape, self.n_classes))

    def _log_prob(self, x: Tensor, normalise: Callable[[Tensor], Tensor]) -> Tensor:
        """Log-probabilities of all words, (n, V), by rank; ``normalise`` is a log-softmax over the last dimension."""
        head = normalise(self._head_logits(x))
        parts = [head[:, : self.shortlist_size]]
        for i, tail in enumerate(self.tail):
            logits = of_width(tail(x), self.cutoffs[i + 1] - self.cutoffs[i], f"tail.{i}")
            parts.append(normalise(logits) + head[:, self.shortlist_size + i].unsqueeze(1))
        return torch.cat(parts, 1)

    @torch.no_grad()
    def predict(self, input: Tensor) -> Tensor:
        """The most probable word of each row: (..., d) -> (...), the user's ids. Computes only tails that can win."""
        return self.topk(input, 1).indices.squeeze(-1)

    @torch.no_grad()
    def topk(self, input: Tensor, k: int) -> TopK:
        """The ``k`` most probable words of each row: (..., d) -> values (..., k), indices (..., k).

        Exact: equal to ``log_prob(input).topk(k)`` up to rounding, without computing tails whose words cannot be among
        them (see :mod:`adasoft.decoding`); on a CPU, all of up to 65,536 logits are computed. Words of equal
        probability come in no set order, as with ``torch.topk``.

        A tail is skipped for a row if an upper bound on the probabilities of its words lies below the row's k-th best
        word so far. The first bound is the probability of the tail's entry in the head, since no word of the tail can
        be more probable. A sharper one needs averages of the tail's weights, some three passes over them; on a CPU it
        is computed where 32 rows or more may open the tail. The averages are computed in each call, so that no change
        of the weights can be missed.

        Raises ValueError if k is not between 1 and V.

        >>> layer = AdaptiveSoftmax(8, 100, cutoffs=[10, 40], div_value=2)
        >>> values, words = layer.topk(torch.randn(5, 8), k=3)
        >>> words.shape
        torch.Size([5, 3])
        >>> bool((values[:, 0] >= values[:, 1]).all())
        True
        """
        n_logits = input.numel() // self.in_features * self.n_classes
        # torch.topk finds the best of few logits sooner than a search that skips some of them
        if unreadable(input) or (input.device.type == "cpu" and n_logits <= FEW_LOGITS):
            k, dtype = self._count(k), torch.float32 if autocasts(input) else input.dtype
            x, shape = self._rows(input)
            values, ranks = (v.view(*shape, k) for v in self._log_prob(x, decoding.log_softmax).topk(k))
            return TopK(values.to(dtype), self._ids(ranks))
        values, ranks, _ = self._topk(input, k)
        return TopK(values, self._ids(ranks))

    @torch.no_grad()
    def opened(self, input: Tensor, k: int) -> Tensor:
        """Which tails :meth:`topk` has to compute for each row: (..., d) -> (..., J), bool."""
        # small=0: always test the bounds. By default a CPU computes the words of small tails without all the tests.
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

        A tail is computed only for the rows that have a candidate in it.

        Raises RuntimeError if shapes or dtypes do not fit, or an id is out of range (its score is nan where ids cannot
        be read on the host).
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
        if not tails:  # the children were called, so all words were computed
            opened = opened.new_ones(len(x), self.n_clusters)
        return values.to(dtype).view(*shape, k), ranks.view(*shape, k), opened.view(*shape, self.n_clusters)

    def _count(self, k: Any) -> int:
        return checks.integer("k", k, 1, self.n_classes)

    def _decoding(self, input: Tensor) -> _Decoding:
        x, shape = self._rows(input)
        dtype = torch.float32 if autocasts(x) else x.dtype
        if not self._plain():
            # Weights may not be read directly when a child has hooks or adapters: to decoding, all words form one
            # head without tails.
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
    fp32_logits = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits  # fp64 stays
    return F.cross_entropy(fp32_logits, target, reduction="none")


def _log_softmax(logits: Tensor) -> Tensor:
    # under autocast fp32, as `output` is; autocast itself does so on a GPU, but not on a CPU
    return F.log_softmax(logits, dim=1, dtype=torch.float32 if autocasts(logits) else None)
