"""SVD-softmax: all words by a few columns, the best of them by all. For a trained full softmax, at inference."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import checks
from ..checks import integer
from ..children import weights_of
from ..decoding import largest, linear
from ..loss import chunk_rows
from .full import FullSoftmax
from .protocol import Product, SoftmaxModule, composed

#: Weights that are turned at once; 64 MiB in fp64.
_TURNED = 1 << 23
#: Weights copied at once for the second look, where they have to be copied.
_COPIED = 1 << 24


class Choice(NamedTuple):
    """What :meth:`SVDSoftmax.choose` found."""

    width: int
    n_full: int
    recall: float
    """Measured on the batch of the choice, see :meth:`SVDSoftmax.recall`."""
    utilisation: float
    """Arithmetic as a share of the full softmax's."""


class SVDSoftmax(SoftmaxModule):
    r"""SVD-softmax (Shim et al. 2017) of a full softmax that is trained already. An approximation.

    With the singular value decomposition :math:`A = U S V^T` of the weights, :math:`B = U S` and
    :math:`\tilde h = V^T h`, the logits are :math:`z = A h + b = B \tilde h + b`, and the first columns of B carry
    most of them. So

    1. preview: :math:`\tilde z = B_{:, :W} \tilde h_{:W} + b` for every word;
    2. the N words of the largest preview logits get their other d - W columns too, and are exact;
    3. softmax over all words, :math:`\tilde z` with the N exact logits in it.

    ``log_prob`` is that distribution; it sums to one. ``topk`` gives its best words: most of them are among the N,
    but nothing keeps a word out whose preview is too high. W = d or N = V is the full softmax, to rounding.

    Nothing is learnt: the weights are buffers, which no optimiser sees; neither ``output`` nor ``loss`` ever requires
    a gradient, and training mode changes nothing. B lies in two parts, so that the preview reads only its own.

    >>> softmax = SVDSoftmax(nn.Linear(64, 1000), width=16, n_full=100)
    >>> f"{softmax.utilisation:.2f}"  # arithmetic beside that of the full softmax
    '0.39'
    >>> values, words = softmax.topk(torch.randn(5, 64), 10)

    Args:
        full: the trained layer: an ``nn.Linear`` (d, V), a :class:`FullSoftmax` (whose ``order``, ``ignore_index``
            and ``reduction`` hold unless given), or a weight (V, d). Copied, never changed: what is done to it
            afterwards needs another SVDSoftmax. Masks and norms on the weight count.
        width: W, from 1 to d. Default d / 8, a common choice.
        n_full: N, from 1 to V. Default V / 32. See :meth:`choose` for both.
        bias: (V,), only with a weight.
        order: as for all softmaxes here; the rows of ``full`` are ranks.

    Raises ValueError if W or N is out of range or the weights are not finite, TypeError for another kind of layer,
    RuntimeError for a layer whose weight is not all there is to it: an adapter, a hook, another ``forward``.
    """

    preview: Tensor
    """(V, W), B's first columns."""
    rest: Tensor
    """(V, d - W), its others."""
    basis: Tensor
    """(d, d), the right singular vectors as columns."""
    singular_values: Tensor
    """(d,), falling; fp32 at least."""
    bias: Tensor | None

    def __init__(
        self,
        full: nn.Linear | FullSoftmax | Tensor,
        width: int | None = None,
        n_full: int | None = None,
        *,
        bias: Tensor | None = None,
        order: Any = None,
        ignore_index: int | None = None,
        reduction: str | None = None,
    ) -> None:
        weight, own_bias = _weight_and_bias(full, bias)
        if isinstance(full, FullSoftmax):
            order = full.order if order is None else order
            ignore_index = full.ignore_index if ignore_index is None else ignore_index
            reduction = full.reduction if reduction is None else reduction
        n_classes, d = weight.shape
        super().__init__(
            d,
            n_classes,
            order=order,
            ignore_index=-100 if ignore_index is None else ignore_index,
            reduction="mean" if reduction is None else reduction,
            device=weight.device,
        )
        width, n_full = (
            max(1, d // 8) if width is None else width,
            max(1, n_classes // 32) if n_full is None else n_full,
        )
        self.width, self.n_full = self._checked(width, n_full)
        values, basis, turned = decompose(weight)
        self.register_buffer("basis", basis)
        self.register_buffer("singular_values", values)
        self.register_buffer("bias", None if own_bias is None else own_bias.detach().to(weight.dtype).clone())
        self.register_buffer("preview", turned[:, : self.width].contiguous())
        self.register_buffer("rest", turned[:, self.width :].contiguous())

    @classmethod
    def for_recall(
        cls,
        full: nn.Linear | FullSoftmax | Tensor,
        hidden: Tensor,
        recall: float = 0.99,
        k: int = 10,
        *,
        widths: Sequence[int] | None = None,
        **options: Any,
    ) -> SVDSoftmax:
        """The cheapest that finds this share of the k best words on ``hidden`` (..., d), see :meth:`choose`."""
        made = cls(full, **options)
        made.choose(hidden, recall, k, widths=widths)
        return made

    def set_window(self, width: int | None = None, n_full: int | None = None) -> None:
        """Another W, another N, or both. A new W copies the weights once. ValueError if out of range."""
        width, n_full = self._checked(self.width if width is None else width, self.n_full if n_full is None else n_full)
        if width != self.width:
            turned = torch.cat([self.preview, self.rest], 1)
            self.preview, self.rest = turned[:, :width].contiguous(), turned[:, width:].contiguous()
        self.width, self.n_full = width, n_full

    def _checked(self, width: int, n_full: int) -> tuple[int, int]:
        found = integer("width", width, 1), integer("n_full", n_full, 1)
        bounds = ("width", "in_features", self.in_features), ("n_full", "n_classes", self.n_classes)
        for value, (name, what, most) in zip(found, bounds, strict=True):
            if value > most:
                raise ValueError(f"{name} should be at most {what}={most}, got {value}")
        return found

    # ------------------------------------------------------------------ the method

    def _preview(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (n, d) -> preview logits (n, V), fp32 at least, and the hidden states' other columns (n, d - W)."""
        wide = torch.promote_types(x.dtype, torch.float32)
        product = F.linear if composed(x) else linear
        turned = product(x.to(wide), self.basis.t().to(wide)).to(x.dtype)  # rounded once, as x is
        bias = None if self.bias is None else self.bias.to(x.dtype)
        logits = product(turned[:, : self.width], self.preview.to(x.dtype), bias)
        return logits.to(wide), turned[:, self.width :].contiguous()

    def _logits(self, x: Tensor) -> Tensor:
        """x (n, d) -> preview logits with N exact ones in each row, (n, V), fp32 at least."""
        logits, other = self._preview(x)
        rest = self.rest.to(x.dtype)
        if self.width == self.in_features:
            return logits
        if composed(x):
            words = logits.topk(self.n_full).indices
            return logits.scatter_add(1, words, F.linear(other, rest).to(logits.dtype).gather(1, words))
        if self.n_full == self.n_classes:
            return logits.add_(linear(other, rest))
        words = best(logits, self.n_full)
        return logits.scatter_add_(1, words, products(other, rest, words).to(logits.dtype))

    @torch.no_grad()
    def _nll(self, x: Tensor, ranks: Tensor, scale: float, need_total: bool) -> tuple[Tensor, Tensor]:
        nll = [x.new_empty(0, dtype=torch.promote_types(x.dtype, torch.float32))]
        rows = chunk_rows(len(x), self.n_classes, x.is_cuda)
        for part, targets in zip(torch.split(x, rows), torch.split(ranks, rows), strict=True):
            logits = self._logits(part)
            nll.append(-_log_softmax_at(logits, targets.unsqueeze(1)).squeeze(1))
        whole = torch.cat(nll)
        return whole, whole.sum() * scale

    @torch.no_grad()
    def _log_prob(self, x: Tensor, product: Product) -> Tensor:
        return torch.log_softmax(self._logits(self._cast(x)), 1)

    def _topk(self, x: Tensor, k: int) -> tuple[Tensor, Tensor]:
        wide = torch.promote_types(x.dtype, torch.float32)
        values, ranks = x.new_empty(len(x), k, dtype=wide), torch.empty(len(x), k, dtype=torch.long, device=x.device)
        rows = chunk_rows(len(x), self.n_classes, x.is_cuda)
        for at in range(0, len(x), rows):
            logits = self._logits(x[at : at + rows])
            _, ranks[at : at + rows] = largest(logits, k)
            values[at : at + rows] = _log_softmax_at(logits, ranks[at : at + rows])
        return values, ranks

    def _weight(self) -> Tensor:
        return self.basis

    # ------------------------------------------------------------------ how good, and what it costs

    def _exact(self, x: Tensor) -> Tensor:
        """The full softmax's logits (n, V)."""
        logits, other = self._preview(x)
        return logits.add_(linear(other, self.rest.to(x.dtype)))

    @torch.no_grad()
    def recall(self, hidden: Tensor, k: int = 10) -> float:
        """Share of the full softmax's k best words that are among ours, on average over ``hidden`` (..., d)."""
        x = self._rows(hidden)
        found = 0
        with torch.autocast(x.device.type, enabled=False):
            _, ours = self._topk(x, self._checked_k(k))
            rows = chunk_rows(len(x), self.n_classes, x.is_cuda)
            for part, own in zip(torch.split(x, rows), torch.split(ours, rows), strict=True):
                true = largest(self._exact(part), k)[1]
                found += int((true.unsqueeze(2) == own.unsqueeze(1)).sum())
        return found / (len(x) * k) if len(x) else math.nan

    @torch.no_grad()
    def divergence(self, hidden: Tensor) -> float:
        """Kullback-Leibler divergence of ours from the full softmax, KL(full, ours) in nats, mean over ``hidden``."""
        x = self._rows(hidden)
        total = 0.0
        with torch.autocast(x.device.type, enabled=False):
            for part in torch.split(x, chunk_rows(len(x), self.n_classes, x.is_cuda)):
                exact, logits = self._exact(part), self._logits(part)
                if x.device.type == "mps":  # it has no fp64
                    exact, logits = exact.cpu(), logits.cpu()
                full = torch.log_softmax(exact, 1, dtype=torch.float64)
                ours = torch.log_softmax(logits, 1, dtype=torch.float64)
                total += float((full.exp() * (full - ours)).sum())
        return max(total, 0.0) / len(x) if len(x) else math.nan  # rounding may leave it just below zero

    @torch.no_grad()
    def choose(
        self, hidden: Tensor, recall: float = 0.99, k: int = 10, *, widths: Sequence[int] | None = None
    ) -> Choice:
        """Take the W and N of least arithmetic that find a share ``recall`` of the k best words on ``hidden``.

        For each width the N that suffices is counted, not tried: of a true word t, with r true words above it and
        exact logit z_t, let p be its place by preview, and c the number of words whose preview is above z_t. With
        N >= p its logit is exact; then it is among the k best for certain if at most k - 1 - r of the words left with
        their previews lie above it, i.e. if N >= c - (k - 1 - r). N is the smallest number that does so for enough
        words. (It may be a little more than needed: true words above t whose previews are low count twice.)

        Widths are tried from small to large until the preview alone costs more than the best pair. Each takes the
        logits of the batch and a sort of every row: some hundred rows are enough.

        Args:
            hidden: (..., d), hidden states to choose by, not those to report on.
            recall: wanted share, above 0 and at most 1; always reached, by W = d at worst.
            k: how many words.
            widths: the W to try; default sixteenths of d. d is always added.

        Raises ValueError: an argument out of range, or no hidden states.
        """
        k = self._checked_k(k)
        recall = checks.number("recall", recall, checks.ABOVE_0, 1, "above 0 and at most 1")
        d = self.in_features
        tried = [max(1, round(d * i / 16)) for i in range(1, 17)]
        if widths is not None:
            tried = checks.widths(widths)
        tried = sorted({self._checked(w, 1)[0] for w in tried} | {d})
        x = self._rows(hidden)
        if not len(x):
            raise ValueError(f"hidden should hold at least one hidden state, got shape {tuple(hidden.shape)}")
        enough = math.ceil(recall * len(x) * k - 1e-9)
        best_cost, window = math.inf, (self.width, self.n_full)
        parts = torch.split(x, chunk_rows(len(x), self.n_classes, x.is_cuda))
        try:
            for width in tried:
                if self._multiplications(width, 1) >= best_cost:
                    break
                self.set_window(width)
                with torch.autocast(x.device.type, enabled=False):
                    needed = torch.cat([self.needed(part, k) for part in parts])
                n_full = int(needed.flatten().sort().values[enough - 1])
                cost = self._multiplications(width, n_full)
                if cost < best_cost:
                    best_cost, window = cost, (width, n_full)
        finally:
            self.set_window(*window)
        found = self.recall(hidden, k)
        while found < recall:  # words of equal logits, to rounding; with N = V there are none to miss
            self.set_window(n_full=min(self.n_classes, self.n_full + max(1, self.n_full // 16)))
            found = self.recall(hidden, k)
        return Choice(self.width, self.n_full, found, self.utilisation)

    def needed(self, x: Tensor, k: int) -> Tensor:
        """(n, k): the N that each of the true k best words asks for, see :meth:`choose`."""
        logits, other = self._preview(x)
        exact = logits + linear(other, self.rest.to(x.dtype))
        values, words = largest(exact, k)
        levels = torch.stack([logits.gather(1, words), values])  # own preview, own logit
        above = torch.stack([_above(logits, level) for level in levels])
        spare = k - 1 - torch.arange(k, device=x.device)
        return torch.maximum(above[0] + 1, above[1] - spare)

    def _multiplications(self, width: int, n_full: int) -> int:
        d = self.in_features
        return d * d + self.n_classes * width + n_full * (d - width)

    def operations(self, batch: int, train: bool = False) -> float:
        """2 B [d^2 + V W + N (d - W)]: turning the hidden states, preview, second look. ValueError for training."""
        if train:
            raise ValueError("train: SVD-softmax is made from a trained layer and is not trained; count train=False")
        return 2.0 * batch * self._multiplications(self.width, self.n_full)

    @property
    def utilisation(self) -> float:
        """Arithmetic of a row as a share of the full softmax's, V d multiply-adds."""
        return self._multiplications(self.width, self.n_full) / (self.n_classes * self.in_features)

    @property
    def n_parameters(self) -> int:
        """Numbers kept: V d, d^2 and the bias. None is learnt."""
        return sum(v.numel() for v in (self.preview, self.rest, self.basis, self.bias) if v is not None)

    @property
    def memory(self) -> int:
        """Bytes of all weights and tables."""
        return self._n_bytes()

    def extra_repr(self) -> str:
        """Sizes, W and N, for ``print``."""
        return f"{super().extra_repr()}, width={self.width}, n_full={self.n_full}"

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        # a checkpoint cut at another width holds the same numbers
        parts = [state_dict.get(prefix + name) for name in ("preview", "rest")]
        if all(p is not None and p.dim() == 2 for p in parts) and sum(p.shape[1] for p in parts) == self.in_features:
            turned = torch.cat(parts, 1)
            state_dict = dict(state_dict)
            # each by itself, also where load_state_dict(assign=True) takes them as they are
            state_dict[prefix + "preview"] = turned[:, : self.width].contiguous()
            state_dict[prefix + "rest"] = turned[:, self.width :].contiguous()
        super()._load_from_state_dict(state_dict, prefix, *args)


# ---------------------------------------------------------------------- decomposition


def _weight_and_bias(full: Any, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
    name = "full"
    if isinstance(full, FullSoftmax):
        full, name = full.output, "full.output"
    if isinstance(full, nn.Linear) or name != "full":
        if bias is not None:
            raise TypeError("bias is taken from the layer; give it only with a weight (V, d)")
        full, bias = weights_of(full, name)
    if not isinstance(full, Tensor):
        raise TypeError(f"full should be an nn.Linear, a FullSoftmax or a weight (V, d), got {type(full).__name__}")
    if full.dim() != 2 or not full.is_floating_point() or not full.numel():
        raise ValueError(f"full should be a weight (V, d) of floats, got shape {tuple(full.shape)}, {full.dtype}")
    if bias is not None and not isinstance(bias, Tensor):
        raise TypeError(f"bias should be a tensor (V,), got {type(bias).__name__}")
    if bias is not None and tuple(bias.shape) != (len(full),):
        raise ValueError(f"bias should have the shape ({len(full)},), got {tuple(bias.shape)}")
    for name, value in (("weight", full), ("bias", bias)):
        if value is not None and value.is_meta:
            raise ValueError(f"{name} should hold numbers, got the meta device")
        if value is not None and not bool(torch.isfinite(value.detach()).all()):
            raise ValueError(f"{name} should hold finite numbers, got inf or nan")
    return full.detach(), bias


@torch.no_grad()
def decompose(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Singular values (d,), falling, fp32 at least; right singular vectors as columns (d, d); and B = U S (V, d).

    By the eigenvectors of the (d, d) matrix A^T A, in fp64 and some rows at a time: 4 V d^2 operations and no copy of
    A in fp64. Squaring leaves singular values below 1e-8 of the largest uncertain and turns their vectors among each
    other, far below where a preview ends. What has to be exact is: the vectors are orthogonal to fp64's rounding, so
    B times them gives A back to that of ``weight``'s dtype.
    """
    n, d = weight.shape
    # Apple's GPUs have no fp64
    home = weight.device if weight.device.type != "mps" else torch.device("cpu")
    rows = max(1, _TURNED // d)
    gram = torch.zeros(d, d, dtype=torch.float64, device=home)
    for part in torch.split(weight, rows):
        wide = part.to(home, torch.float64)
        gram.addmm_(wide.t(), wide)
    squares, basis = torch.linalg.eigh(gram)
    squares, basis = squares.flip(0), basis.flip(1).contiguous()
    turned = torch.empty_like(weight, memory_format=torch.contiguous_format)
    for at in range(0, n, rows):
        turned[at : at + rows] = weight[at : at + rows].to(home, torch.float64) @ basis
    values = squares.clamp(min=0).sqrt().to(weight.device, torch.promote_types(weight.dtype, torch.float32))
    return values, basis.to(weight), turned


# ---------------------------------------------------------------------- the best of many, and products with few


def best(logits: Tensor, n: int) -> Tensor:
    """Columns of the ``n`` largest logits of each row, (rows, n), in no set order; of equal ones any.

    A search through everything would cost a CPU more than the preview. The n-th largest of the maxima over blocks of
    columns bounds the n-th largest logit from below, and few more than n logits lie above it: only blocks whose
    maximum does are looked into, and the search runs through what is found there.
    """
    rows, words = logits.shape
    block = 64
    while block > 2 and words < 4 * n * block:
        block //= 2
    if not rows or logits.device.type != "cpu" or words < 4 * n * block:
        return logits.topk(n, dim=1, sorted=False).indices
    blocks = words // block
    maxima = logits[:, : blocks * block].view(rows, blocks, block).amax(2)
    bound = maxima.topk(n, dim=1, sorted=False).values.amin(1, keepdim=True)
    row, number = (maxima >= bound).nonzero(as_tuple=True)
    # blocks copied whole: an index by two tensors would pick number by number
    inside = logits.flatten().unfold(0, block, 1).index_select(0, row * words + number * block)
    which, offset = (inside >= bound[row]).nonzero(as_tuple=True)
    row, column = row[which], number[which] * block + offset
    # side by side, with the columns behind the last whole block
    counts = torch.bincount(row, minlength=rows)
    place = torch.arange(len(row)) - (counts.cumsum(0) - counts)[row]
    most = max(n, int(counts.max())) if rows else n
    columns = torch.zeros(rows, most + words - blocks * block, dtype=torch.long)
    values = torch.full(columns.shape, -torch.inf, dtype=logits.dtype)
    columns[row, place], values[row, place] = column, inside[which, offset]
    columns[:, most:] = torch.arange(blocks * block, words)
    values[:, most:] = logits[:, blocks * block :]
    return columns.gather(1, values.topk(n, dim=1, sorted=False).indices)


def products(x: Tensor, weight: Tensor, words: Tensor) -> Tensor:
    """``x[i] . weight[words[i, j]]``: x (n, d), weight (V, d), words (n, m) -> (n, m)."""
    n, m = words.shape
    if x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64) and n and m:
        # a sampled product reads the rows where they lie; copies of them would cost several times the arithmetic
        _quiet_sparse()
        parts = -(-torch.get_num_threads() // n)  # it shares out rows: few are cut, so that all threads have some
        ends = torch.arange(n).unsqueeze(1) * m + torch.arange(1, parts + 1) * m // parts
        starts = torch.cat([ends.new_zeros(1), ends.flatten()])
        pattern = torch.sparse_csr_tensor(
            starts, words.flatten(), x.new_zeros(n * m), size=(n * parts, len(weight)), check_invariants=False
        )
        spread = x.repeat_interleave(parts, 0) if parts > 1 else x
        sampled: Tensor = torch.sparse.sampled_addmm(pattern, spread, weight.t(), beta=0.0)
        return sampled.values().view(n, m)
    out = x.new_empty(n, m)
    rows = max(1, _COPIED // max(1, m * x.shape[1]))
    for at in range(0, n, rows):
        part = slice(at, at + rows)
        out[part] = torch.bmm(weight[words[part]], x[part].unsqueeze(2)).squeeze(2)
    return out


@functools.cache
def _quiet_sparse() -> None:
    """The first sparse tensor of a process brings a warning that the format is new; here it is only a list."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.sparse_csr_tensor(torch.tensor([0, 1]), torch.tensor([0]), torch.zeros(1), size=(1, 1))


def _log_softmax_at(logits: Tensor, columns: Tensor) -> Tensor:
    """Log-softmax of (n, V) logits at some columns (n, m). Overwrites the logits."""
    wanted, top = logits.gather(1, columns), logits.amax(1, keepdim=True)
    # in place, where log-sum-exp would pass over the logits three times, with copies
    largest_probability = torch.softmax(logits, 1, out=logits).amax(1, keepdim=True)
    return wanted - top + largest_probability.log()


def _above(logits: Tensor, levels: Tensor) -> Tensor:
    """How many of a row's logits (n, V) are above each of its levels (n, m): (n, m)."""
    if logits.device.type == "cpu":
        ordered = torch.from_numpy(np.sort(logits.numpy(), axis=1))  # several times as fast as torch's, with vectors
    else:
        ordered = logits.sort(dim=1).values
    return logits.shape[1] - torch.searchsorted(ordered, levels.contiguous(), right=True)


# ---------------------------------------------------------------------- matrices to time it on


def power_law(singular_values: Any, in_features: int) -> Tensor:
    """A spectrum of ``in_features`` values s_i = a i^-b, fitted to singular values (m,) by least squares of logarithms.

    fp64. Zeros (a rank below d) are left out. ValueError if fewer than two are positive.
    """
    values = np.sort(np.asarray(torch.as_tensor(singular_values).detach().cpu(), dtype=np.float64).ravel())[::-1]
    if not np.isfinite(values).all() or (values < 0).any() or (values > 0).sum() < 2:
        raise ValueError("singular_values should be finite and not negative, at least two of them positive")
    values = values[values > 0]
    slope, level = np.polyfit(np.log(np.arange(1, len(values) + 1)), np.log(values), 1)
    places = np.arange(1, integer("in_features", in_features, 1) + 1)
    return torch.from_numpy(np.exp(level + slope * np.log(places)))


@torch.no_grad()
def spectrum_matrix(
    n_classes: int,
    spectrum: Any,
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    device: Any = None,
) -> Tensor:
    """A random (V, d) matrix of the given singular values, (d,), with directions drawn uniformly.

    A V x d Gaussian matrix G is made orthonormal by the Cholesky factor R of G^T G, and turned: G R^-1 S Q^T with Q a
    random rotation. One pass makes G^T G in fp64, one writes the result over G. V should be at least d.
    """
    values = torch.as_tensor(spectrum).detach().to(device="cpu", dtype=torch.float64)
    if values.dim() != 1 or not len(values) or not bool(torch.isfinite(values).all()) or bool((values < 0).any()):
        raise ValueError(f"spectrum should be a (d,) list of singular values, not negative, got {spectrum!r}")
    d = len(values)
    if integer("n_classes", n_classes, 1) < d:
        raise ValueError(f"n_classes should be at least the number of singular values, {d}, got {n_classes}")
    random = torch.Generator().manual_seed(integer("seed", seed))
    rotation, _ = torch.linalg.qr(torch.randn(d, d, generator=random, dtype=torch.float64, device="cpu"))
    made = torch.empty(n_classes, d, dtype=dtype, device="cpu")
    rows, gram = max(1, _TURNED // d), torch.zeros(d, d, dtype=torch.float64, device="cpu")
    for part in torch.split(made, rows):
        part.copy_(torch.randn(part.shape, generator=random, device="cpu"))
        wide = part.double()
        gram.addmm_(wide.t(), wide)
    factor = torch.linalg.cholesky(gram, upper=True)
    turn = torch.linalg.solve_triangular(factor, values.diag() @ rotation.t(), upper=True)
    for part in torch.split(made, rows):
        part.copy_(part.double() @ turn)
    return made.to(device)
