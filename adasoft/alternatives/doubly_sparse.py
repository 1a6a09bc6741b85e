"""Doubly sparse softmax: a gate picks one of K experts, and an expert knows only some of the words.

Liao, Chen, Lin, Zhou and Wang 2019 (arXiv 1901.10668), and their published code (shun1024/ds-softmax). What is theirs
and what was chosen here is said where it matters.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checks import BELOW_1, integer, not_negative, number
from ..children import plain_linears, value_now, weights_of
from ..decoding import largest, linear, log_softmax, log_sum_exp
from ..loss import Group, chunk_rows, grouped_nll
from ..ranks import target_ranks
from .full import FullSoftmax
from .protocol import Product, SoftmaxModule, called, composed


class Penalties(NamedTuple):
    """The three terms that training adds to the task's loss, each before its factor."""

    balance: Tensor
    """Squared coefficient of variation of the gate values that the experts got."""
    lasso: Tensor
    """Sum of the rows' root mean squares."""
    expert_lasso: Tensor
    """Sum of the experts' norms, of those root mean squares."""


class Pruned(NamedTuple):
    """What :meth:`DoublySparseSoftmax.prune` did."""

    n_pruned: int
    n_spared: int
    """Rows below the threshold that stayed, each the largest of a word that would be in no expert."""
    emptied: tuple[int, ...]
    """Experts that lost their last row: the gate does not pick them any more."""


class Evaluation(NamedTuple):
    """What :meth:`DoublySparseSoftmax.evaluate` measured on some tokens."""

    outside: float
    """Share of the targets that the expert picked for them does not know: log-probability -inf."""
    perplexity: float
    """Over the targets that are known, where alone it is defined."""
    perplexity_all: float
    """Over all, with the words outside counted as rows of zeros, as in training."""
    shares: tuple[float, ...]
    """Share of the tokens that each expert got."""
    utilisation: float
    """Arithmetic as a share of the full softmax's."""


class DoublySparseSoftmax(SoftmaxModule):
    r"""Sparse mixture of sparse experts (Liao et al. 2019). An approximation that is learnt.

    The gate's value for expert k is a softmax, of which only the largest counts; it scales the expert's logits:

    .. math:: G_k(h) = \mathrm{softmax}_k(W^g h), \quad k^* = \arg\max_k G_k(h), \quad
              p(c \mid h) \propto \exp\big(G_{k^*}(h) \, w_{c, k^*} \cdot h\big)

    Experts begin with a row for every word. Training adds to the task's loss a load balance and group lassos per row
    and per expert (:meth:`penalties`), rows that have become small are pruned (:meth:`prune`), and experts are cloned
    in stages, "mitosis", so that no stage needs much memory (:meth:`split`).
    :func:`.doubly_sparse_training.fit` does all of it. An expert's rows lie side by side, and only rows that are left
    are stored.

    A word that is pruned counts as a row of zeros in training mode, logit 0, as in the authors' code: every target has
    a finite loss, and pruning a small row changes little. That is what ``output`` and ``loss`` of training mode are
    of. Otherwise, and in ``log_prob`` and ``topk`` always, the distribution is over the chosen expert's words, and
    all others have the log-probability -inf. ``topk`` gives -1 as the id of a place that no word can take, for k
    above the expert's size. Only the chosen expert's rows are read, for all of its tokens at once.

    The authors have no biases, nor are there any here.

    >>> softmax = DoublySparseSoftmax(16, 100, n_experts=2)
    >>> hidden, words = torch.randn(5, 16), torch.randint(100, (5,))
    >>> output, loss = softmax(hidden, words)
    >>> len(softmax.expert(0))  # before training, each expert knows every word
    100

    Args:
        n_experts: K, to begin with.

    Parameters: ``gate.weight`` (K, d); ``weight`` (R, d), the rows of expert 0 by rank, of expert 1, ... Tables, which
    are keys of ``state_dict`` too: ``members`` (R,), the rank of each row, and ``sizes`` (K,). A checkpoint of any K
    and R loads. One whose tables have been averaged loads where they are this softmax's own, as the average of rows
    means something only then.

    The gate is called if anything hangs on it. What changes the experts (:meth:`prune`, :meth:`split`,
    :meth:`revive`, a checkpoint of another structure) needs a gate and a ``weight`` with nothing attached.
    """

    estimates = True
    _stored = ("order", "members", "sizes")
    members: Tensor
    sizes: Tensor

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        n_experts: int = 2,
        *,
        order: Any = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            in_features, n_classes, order=order, ignore_index=ignore_index, reduction=reduction, device=device
        )
        n_experts = integer("n_experts", n_experts, 1)
        self.gate = nn.Linear(in_features, n_experts, bias=False, device=device, dtype=dtype)
        self.weight = nn.Parameter(torch.empty(n_experts * n_classes, in_features, device=device, dtype=dtype))
        nn.init.kaiming_uniform_(self.gate.weight, nonlinearity="relu")  # both as in the authors' code
        nn.init.uniform_(self.weight, -((6 / (in_features + n_classes)) ** 0.5), (6 / (in_features + n_classes)) ** 0.5)
        self._noise = 0.0, 0
        members = torch.arange(self.n_classes, device="cpu").repeat(n_experts)
        self._set_structure(members, torch.full((n_experts,), self.n_classes, device="cpu"))

    @classmethod
    def from_full(cls, full: nn.Linear | FullSoftmax, n_experts: int = 2, **options: Any) -> DoublySparseSoftmax:
        """Every expert a copy of a trained layer, to retrain with ``fit``; the gate is new.

        One expert is the full softmax itself. ``order``, ``ignore_index`` and ``reduction`` of a
        :class:`FullSoftmax` hold unless given. ValueError if the layer has a bias, RuntimeError if its weight is not
        all there is to it (an adapter, a hook); masks and norms count.
        """
        layer = full.output if isinstance(full, FullSoftmax) else full
        if not isinstance(full, (nn.Linear, FullSoftmax)):
            raise TypeError(f"full should be an nn.Linear or a FullSoftmax, got {type(full).__name__}")
        weight, bias = weights_of(layer, "full" if layer is full else "full.output")
        if bias is not None:
            raise ValueError("full should have no bias: doubly sparse softmax has none, got one")
        if isinstance(full, FullSoftmax):
            options = {k: getattr(full, k) for k in ("order", "ignore_index", "reduction")} | options
        weight = weight.detach()
        made = cls(weight.shape[1], len(weight), n_experts, device=weight.device, dtype=weight.dtype, **options)
        made.weight.data.copy_(weight.repeat(made.n_experts, 1))
        return made

    # ------------------------------------------------------------------ structure

    def _set_structure(self, members: Tensor, sizes: Tensor) -> None:
        self._keep(members=members, sizes=sizes)
        self._sizes: list[int] = sizes.tolist()
        self._edges = list(itertools.accumulate(self._sizes, initial=0))
        self._alive = [k for k, size in enumerate(self._sizes) if size]
        self._forget_shares()

    def _forget_shares(self) -> None:
        #: Shares of the tokens, (K,); None until :meth:`measure` has seen some.
        self.shares: tuple[float, ...] | None = (1.0,) if len(self._sizes) == 1 else None

    @property
    def n_experts(self) -> int:
        """K, those without a row included."""
        return len(self._sizes)

    def expert(self, k: int) -> Tensor:
        """The ids of the words that expert k knows, by rank."""
        return self._ids(self.members[self._edges[k] : self._edges[k + 1]])

    def membership(self) -> Tensor:
        """(K, V) bool, which expert knows which id."""
        known = torch.zeros(self.n_experts, self.n_classes, dtype=torch.bool, device=self.members.device)
        for k in range(self.n_experts):
            known[k, self.expert(k)] = True
        return known

    def _rms(self) -> Tensor:
        """Root mean square of every row, (R,), fp32 at least: the measure of the authors' code, the same for any d."""
        weight = value_now(self)
        wide = torch.promote_types(weight.dtype, torch.float32)
        norms = torch.linalg.vector_norm(weight, dim=1, dtype=wide)
        rms: Tensor = norms / self.in_features**0.5
        return rms

    @torch.no_grad()
    def prune(self, threshold: float, *, keep: bool = True, optimizer: torch.optim.Optimizer | None = None) -> Pruned:
        """Drop every row whose root mean square is below ``threshold``.

        ``keep``: the largest row of a word stays whatever its size, so that no word falls out of all experts (chosen
        here; the authors' code lets it fall). ``optimizer``: its state of the weights follows. The weights change
        their shape, so no loss from before may still wait for its backward.

        Raises ValueError if the threshold is negative or not finite, or no row would be left, RuntimeError if something
        hangs on the weights; nothing is changed then.
        """
        self._check_change()
        threshold = not_negative("threshold", threshold)
        rms = self._rms()
        stays = rms >= threshold
        n_below = int((~stays).sum())
        if keep:
            covered = torch.zeros(self.n_classes, dtype=torch.bool, device=rms.device)
            covered[self.members[stays]] = True
            # of each word the largest row; the first of equal ones, as clones are
            order = rms.argsort(descending=True, stable=True)
            first = torch.full((self.n_classes,), len(rms), device=rms.device)
            first.scatter_reduce_(0, self.members[order], torch.arange(len(rms), device=rms.device), "amin")
            lost = ((first < len(rms)) & ~covered).nonzero().squeeze(1)
            stays[order[first[lost]]] = True
        rows = stays.nonzero().squeeze(1)
        if not len(rows):
            raise ValueError(
                f"threshold {threshold:g} is above every row, the largest has a root mean square of "
                f"{float(rms.max()) if len(rms) else 0.0:.3g}: nothing would be left"
            )
        owner = torch.repeat_interleave(torch.arange(self.n_experts, device=rms.device), self.sizes)
        sizes = torch.bincount(owner[rows], minlength=self.n_experts)
        emptied = tuple(((self.sizes > 0) & (sizes == 0)).nonzero().squeeze(1).tolist())
        n_pruned, shares = len(rms) - len(rows), self.shares
        if n_pruned:
            self._take(rows, sizes, list(range(self.n_experts)), optimizer)
            self.shares = None if emptied else shares  # else routing is as before
        return Pruned(n_pruned, n_below - n_pruned, emptied)

    @torch.no_grad()
    def split(
        self,
        copies: int = 2,
        *,
        noise: float = 0.05,
        generator: torch.Generator | None = None,
        optimizer: torch.optim.Optimizer | None = None,
    ) -> None:
        """Mitosis: every expert becomes ``copies`` equal ones, rows and gate. Expert k's are k * copies, ...

        Each clone's gate row moves by Gaussian noise, ``noise`` times the row's root mean square (chosen here), else
        all ties went to the first. The best words of a token stay the same as long as it falls to a clone of its
        expert, for sure with ``noise=0``; gate values are divided by ``copies`` until the gate has told them apart.

        ``generator``: of the noise, on the CPU.

        Raises ValueError if ``copies`` is below 1 or ``noise`` negative, RuntimeError as :meth:`prune`.
        """
        self._check_change()
        sources = [k for k in range(self.n_experts) for _ in range(integer("copies", copies, 1))]
        self._clone(sources, noise, generator, optimizer)

    @torch.no_grad()
    def revive(
        self,
        hidden: Tensor,
        *,
        share: float = 0.1,
        noise: float = 0.05,
        generator: torch.Generator | None = None,
        optimizer: torch.optim.Optimizer | None = None,
    ) -> tuple[int, ...]:
        """Put idle experts to work again: each becomes a clone of the one with the most tokens, which it shares with.

        Idle are those without rows and those that get fewer than ``share`` / K of the tokens of ``hidden`` (..., d).
        This undoes a collapsed gate or an emptied expert. Words that only an idle expert knows stay in it. Returns
        the experts replaced. Raises as :meth:`split`.
        """
        self._check_change()
        share = number("share", share, 0, BELOW_1, "at least 0 and below 1")
        load = list(self.measure(hidden))
        idle = [k for k in range(self.n_experts) if load[k] * self.n_experts < share]
        sources, more = list(range(self.n_experts)), {}
        known = torch.zeros(self.n_classes, dtype=torch.bool, device=self.members.device)
        for k in set(sources) - set(idle):
            known[self._own(k)] = True
        for k in idle:
            own = self._own(k)
            more[k] = self._edges[k] + (~known[own]).nonzero().squeeze(1)
            known[own] = True
            sources[k] = max((j for j in range(self.n_experts) if j not in idle), key=load.__getitem__)
            clones = sources.count(sources[k])  # itself among them
            load[sources[k]] *= (clones - 1) / clones
        if idle:
            self._clone(sources, noise, generator, optimizer, more)
        return tuple(idle)

    def _clone(
        self,
        sources: list[int],
        noise: float,
        generator: torch.Generator | None,
        optimizer: torch.optim.Optimizer | None,
        more: dict[int, Tensor] | None = None,
    ) -> None:
        """Expert j becomes a copy of what was expert ``sources[j]``, and keeps its own rows ``more[j]``.

        Gates of those copied twice get noise.
        """
        noise = not_negative("noise", noise)
        rows = []
        for j, k in enumerate(sources):
            copied = torch.arange(self._edges[k], self._edges[k + 1], device=self.members.device)
            if more is not None and j in more and len(more[j]):
                copied = torch.cat([copied, more[j]])
                copied = copied[self.members[copied].argsort()]
            rows.append(copied)
        sizes = torch.tensor([len(copied) for copied in rows], device=self.members.device)
        self._take(torch.cat(rows), sizes, sources, optimizer)
        gate = self.gate.weight
        moved = (
            torch.randn(gate.shape, generator=generator, device="cpu").to(gate)
            * gate.square().mean(1, keepdim=True).sqrt()
        )
        twice = torch.tensor([sources.count(k) > 1 for k in sources], device=gate.device).unsqueeze(1)
        gate.add_(torch.where(twice, moved * noise, 0.0))

    def _fault_in_change(self) -> str | None:
        """What keeps rows and experts from being taken away or added."""
        if type(self.gate) is not nn.Linear or "weight" not in self.gate._parameters or self.gate.bias is not None:
            return f"gate should be a torch.nn.Linear of a plain weight alone to change the experts, got {self.gate!r}"
        if "weight" not in self._parameters:
            return "weight should be a plain parameter to change the experts, got one with a mask or parametrization"
        return None

    def _check_change(self) -> None:
        fault = self._fault_in_change()
        if fault:
            raise RuntimeError(f"{fault}. Remove what is attached first, as torch.nn.utils.prune.remove does")

    def _take(self, rows: Tensor, sizes: Tensor, experts: list[int], optimizer: torch.optim.Optimizer | None) -> None:
        for parameter, index in ((self.weight, rows), (self.gate.weight, torch.tensor(experts, device=rows.device))):
            state = {} if optimizer is None else optimizer.state.get(parameter, {})
            for name, value in state.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    state[name] = value[index]
            parameter.data, parameter.grad = parameter.data[index], None
        self.gate.out_features = len(experts)
        self._set_structure(self.members[rows], sizes)

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
        weight, gate, members, sizes = (
            state_dict.get(prefix + name) for name in ("weight", "gate.weight", "members", "sizes")
        )
        if members is None or sizes is None:
            missing += [prefix + name for name in ("members", "sizes") if prefix + name not in state_dict]
        else:
            fault = self._fault_in_structure(weight, gate, members, sizes)
            if fault:
                errors.append(f"{prefix[:-1] or 'the checkpoint'}: {fault}")
                return
            if not self._is_own(members, sizes):
                for parameter, value in ((self.weight, weight), (self.gate.weight, gate)):
                    if parameter.shape != value.shape:
                        parameter.data, parameter.grad = parameter.data.new_empty(value.shape), None
                self.gate.out_features = len(gate)
                self._set_structure(members.long(), sizes.long())
        self._forget_shares()
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing, unexpected, errors)

    def _is_own(self, members: Tensor, sizes: Tensor) -> bool:
        """Whether these tables are this softmax's, up to the rounding of an average."""
        for name, stored in (("members", members), ("sizes", sizes)):
            own = self._tables[name]
            if own is None or stored.shape != own.shape:
                return False
            if not stored.is_meta:  # there a table has a shape only
                whole = stored.detach().cpu()
                if bool(((whole.double().round() if whole.is_floating_point() else whole) != own).any()):
                    return False
        return True

    def _fault_in_structure(self, weight: Any, gate: Any, members: Any, sizes: Any) -> str | None:
        """What keeps this softmax from taking tables and weights of a checkpoint."""
        for name, table in (("members", members), ("sizes", sizes)):
            if not isinstance(table, Tensor) or table.dim() != 1 or table.is_complex() or table.dtype == torch.bool:
                return f"{name} should be integers in one dimension, got {getattr(table, 'dtype', table)!r}"
        own, d, n, k = self._is_own(members, sizes), self.in_features, self.n_classes, len(sizes)
        there = isinstance(weight, Tensor) and isinstance(gate, Tensor)
        if there and (weight.dim() != 2 or weight.shape[1] != d or gate.shape != (k, d)):
            return f"weight and gate.weight should be (R, {d}) and (K, {d}), got {(*weight.shape,)}, {(*gate.shape,)}"
        if own:
            return None
        for name, table in (("members", members), ("sizes", sizes)):
            if table.is_meta:
                return f"{name} should hold numbers to change the experts, got the meta device"
            if table.is_floating_point():
                return (
                    f"{name} should be integers, got {table.dtype}: an average, which means something only for a "
                    "softmax of the same experts and rows, and this one's are others"
                )
        if not there:
            return "weight and gate.weight should be there to change the experts, got a checkpoint without"
        rows = len(weight)
        if not k or int(sizes.min()) < 0 or int(sizes.sum()) != len(members) or len(members) != rows or not rows:
            return f"sizes should sum to the number of rows, {rows}, and of members, {len(members)}"
        for part in torch.split(members, sizes.tolist()):
            if len(part) and (int(part[0]) < 0 or int(part[-1]) >= n or bool((part.diff() <= 0).any())):
                return f"members should be ranks below {n}, rising within an expert"
        return self._fault_in_change()

    # ------------------------------------------------------------------ the method

    def _route(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (n, d) -> the largest gate value and whose it is, (n,) each; experts without rows are left out."""
        logits = self._gate_logits(x)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        amount, seed = self._noise
        if self.training and amount and len(self._alive) > 1 and len(x):
            noise = torch.randn(logits.shape, generator=torch.Generator().manual_seed(seed), device="cpu")
            logits = logits + noise.to(logits) * (amount * logits.detach()[:, self._alive].std())
        if len(self._alive) < self.n_experts:
            logits = logits.masked_fill(self._table("sizes", x.device) == 0, -torch.inf)
        value, expert = logits.softmax(1).max(1)
        return value, expert

    def _gate_logits(self, x: Tensor) -> Tensor:
        if not composed(x) and plain_linears([self.gate], [self.n_experts]) and self.gate.bias is None:
            return linear(x, self.gate.weight.to(x.dtype))
        # autocast is off by now; it was on where the products are in another dtype than the weights
        was_on = x.dtype != value_now(self).dtype
        with torch.autocast(x.device.type, dtype=x.dtype) if was_on else contextlib.nullcontext():
            return called(self.gate, x, self.n_experts, "gate")

    def _grouped(self, x: Tensor) -> tuple[Tensor, Tensor, list[int]]:
        """x (n, d) -> hidden states times gate values, sorted by expert; the permutation; tokens of each expert."""
        value, expert = self._route(x)
        ordered, permutation = expert.sort(stable=True)
        edges = torch.arange(self.n_experts + 1, device=x.device)
        bounds = torch.searchsorted(ordered, edges).tolist()
        # scaling h scales the logits, at a V-th of the price
        scaled = (x * value.to(x.dtype).unsqueeze(1)).index_select(0, permutation)
        return scaled, permutation, [b - a for a, b in itertools.pairwise(bounds)]

    def _own(self, k: int, device: torch.device | None = None) -> Tensor:
        members: Tensor = self.members if device is None else self._table("members", device)
        return members[self._edges[k] : self._edges[k + 1]]

    def _nll(
        self, x: Tensor, ranks: Tensor, scale: float, need_total: bool, zeros: bool | None = None
    ) -> tuple[Tensor, Tensor]:
        zeros = self.training if zeros is None else zeros
        scaled, permutation, tokens = self._grouped(x)
        weights = torch.split(value_now(self).to(x.dtype), self._sizes)
        parts, targets = torch.split(scaled, tokens), torch.split(ranks[permutation], tokens)
        groups, inside, more, wide = [], [], [], torch.promote_types(x.dtype, torch.float32)
        for k, (rows, words) in enumerate(zip(parts, targets, strict=True)):
            if not len(rows):
                continue
            own, missing = self._own(k, x.device), self.n_classes - self._sizes[k]
            place = torch.searchsorted(own, words).clamp(max=len(own) - 1)
            known = own[place] == words
            weight, bias = weights[k], None
            if missing and zeros:
                # all words outside in one column: the logarithm of their number, and of it each has its share
                weight = F.pad(weight, (0, 0, 0, 1))
                bias = F.pad(weight.new_zeros(len(own)), (0, 1), value=math.log(missing))
                place = torch.where(known, place, len(own))
                more.append((~known).to(wide) * math.log(missing))
                known = torch.ones_like(known)
            elif missing:
                rows, place = rows[known], place[known]
                more.append(torch.zeros_like(known, dtype=wide))
            else:
                more.append(torch.zeros_like(known, dtype=wide))
            groups.append(Group(rows, weight, bias, place))
            inside.append(known)
        if not groups:  # an empty product, so that the weights get zeros
            groups = [Group(scaled[:0], weights[self._alive[0]], None, ranks[:0])]
            more, inside = [scaled.new_zeros(0)], [ranks.new_zeros(0, dtype=torch.bool)]
        found, total = grouped_nll(groups, scale, need_total=need_total)
        extra, known = torch.cat(more).to(total.dtype), torch.cat(inside)
        if not zeros and len(self.members) < self.n_experts * self.n_classes:
            at = known.nonzero().squeeze(1)
            nll = extra.new_full(known.shape, torch.inf).index_copy(0, at, torch.cat(found))
            if len(at) < len(known):
                total = total + torch.inf
        else:
            nll = torch.cat(found) + extra
            total = total + extra.sum() * scale
        return torch.zeros_like(nll).index_copy(0, permutation, nll), total

    def _called_nll(self, x: Tensor, ranks: Tensor) -> Tensor:
        return -self._dense_log_prob(x, zeros=self.training).gather(1, ranks.unsqueeze(1)).squeeze(1)

    def _dense_log_prob(self, x: Tensor, *, zeros: bool) -> Tensor:
        """As ``_log_prob``, or with ``zeros`` of training mode, with the rows of all experts: (n, V) by rank."""
        value, expert = self._route(x)
        logits = F.linear(x * value.to(x.dtype).unsqueeze(1), value_now(self).to(x.dtype))
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        ends = self._table("sizes", x.device).cumsum(0)
        owner = torch.searchsorted(ends, torch.arange(self._edges[-1], device=x.device), right=True)
        mine = owner == expert.unsqueeze(1)
        members = self._table("members", x.device).expand(mine.shape)
        # one row of an expert for a word at most: sums of one number and zeros
        logits = logits.new_zeros(x.shape[0], self.n_classes).scatter_add(1, members, torch.where(mine, logits, 0.0))
        if not zeros:
            known = torch.zeros_like(logits).scatter_add(1, members, mine.to(logits.dtype))
            logits = logits.masked_fill(known == 0, -torch.inf)
        return log_softmax(logits)

    def _log_prob(self, x: Tensor, product: Product) -> Tensor:
        if product is called:
            return self._dense_log_prob(x, zeros=False)
        scaled, permutation, tokens = self._grouped(x)
        weights = torch.split(value_now(self).to(x.dtype), self._sizes)
        wide = torch.promote_types(x.dtype, torch.float32)
        parts = [scaled.new_empty(0, self.n_classes, dtype=wide)]
        for k, rows in enumerate(torch.split(scaled, tokens)):
            if len(rows):
                out = rows.new_full((len(rows), self.n_classes), -torch.inf, dtype=wide)
                parts.append(out.index_copy(1, self._own(k, x.device), log_softmax(linear(rows, weights[k]))))
        return torch.cat(parts).index_select(0, permutation.argsort())

    def _topk(self, x: Tensor, k: int) -> tuple[Tensor, Tensor]:
        if len(x) == 1:
            value, chosen = self._route(x)
            tokens, permutation = [0] * self.n_experts, chosen.new_zeros(1)
            tokens[int(chosen)] = 1
            scaled = x * value.to(x.dtype)
        else:
            scaled, permutation, tokens = self._grouped(x)
        values = x.new_full((len(x), k), -torch.inf, dtype=torch.promote_types(x.dtype, torch.float32))
        ranks = torch.full((len(x), k), -1, device=x.device)
        at, weight, members = 0, value_now(self), self._table("members", x.device)
        for expert, n in enumerate(tokens):
            if not n:
                continue
            a, b = self._edges[expert], self._edges[expert + 1]
            found = min(k, b - a)
            for rows in torch.split(torch.arange(at, at + n, device=x.device), chunk_rows(n, b - a, x.is_cuda)):
                part = slice(int(rows[0]), int(rows[0]) + len(rows))
                logits = linear(scaled[part], weight[a:b].to(x.dtype))
                best, where = largest(logits, found)
                to = permutation[part]
                values[to, :found] = best.to(values.dtype) - log_sum_exp(logits).unsqueeze(1)
                ranks[to, :found] = members[a:b][where]
            at += n
        return values, ranks

    def explore(self, amount: float, seed: int) -> None:
        """Let the gate choose at random, in training mode: Gaussian noise on its logits, until told otherwise.

        ``amount``: standard deviation as a multiple of the logits' own over a batch, 0 for none. ``seed`` says which
        noise: give another one for each step. Without noise an expert that the first gate passes over, or a clone
        that loses all ties, may never get a token. (Chosen here; the authors' code learns an amount per expert.)
        """
        self._noise = not_negative("amount", amount), integer("seed", seed)

    def penalties(self, input: Tensor) -> Penalties:
        """Load balance over the tokens ``input`` (..., d), and the group lassos of the weights. Differentiable.

        Balance: experts k get importances I_k, the sums of the gate values of the tokens that pick them; the term is
        Var(I) / Mean(I)^2 (Shazeer et al. 2017). Lassos: with r the root mean square of a row, sum r and, per expert,
        sum sqrt(sum r^2); the authors' code takes the latter per word, over the experts.
        """
        x = self._rows(input)
        with torch.autocast(x.device.type, enabled=False):
            value, expert = self._route(x)
            importance = (F.one_hot(expert, self.n_experts) * value.unsqueeze(1)).sum(0)[self._alive]
            mean = importance.mean()
            balance = (importance - mean).square().mean() / (mean.square() + 1e-10)
            rms = self._rms()
            norms = torch.stack([torch.linalg.vector_norm(part) for part in torch.split(rms, self._sizes) if len(part)])
        return Penalties(balance, rms.sum(), norms.sum())

    # ------------------------------------------------------------------ how good, and what it costs

    @torch.no_grad()
    def measure(self, hidden: Tensor) -> tuple[float, ...]:
        """Share of the tokens ``hidden`` (..., d) that each expert gets, (K,); kept for ``operations``."""
        x = self._rows(hidden)
        if not len(x):
            raise ValueError(f"hidden should hold at least one hidden state, got shape {tuple(hidden.shape)}")
        with torch.autocast(x.device.type, enabled=False):
            chosen = torch.bincount(self._route(x)[1], minlength=self.n_experts)
        self.shares = tuple((chosen.cpu().double() / len(x)).tolist())
        return self.shares

    @torch.no_grad()
    def evaluate(self, hidden: Tensor, target: Tensor) -> Evaluation:
        """How well the words ``target`` (...) are predicted from ``hidden`` (..., d); ignored targets are left out."""
        x, target = self._rows(hidden), target.reshape(-1)
        ranks = target_ranks(target, self.n_classes, self.ignore_index, self._table("_ranks", x.device))
        if len(ranks) != len(x) or bool(((ranks < 0) | (ranks > self.n_classes)).any()):
            raise ValueError(f"target should hold {len(x)} ids in [0, {self.n_classes - 1}] or {self.ignore_index}")
        x, ranks = x[ranks < self.n_classes], ranks[ranks < self.n_classes]
        shares = self.measure(x)
        with torch.autocast(x.device.type, enabled=False):
            own, _ = self._nll(x, ranks, 1.0, False, zeros=False)
            every, _ = self._nll(x, ranks, 1.0, False, zeros=True)
        known = own[own.isfinite()].cpu().double()
        return Evaluation(
            1.0 - len(known) / len(own),
            float(known.mean().exp()),
            float(every.cpu().double().mean().exp()),
            shares,
            self.utilisation,
        )

    def _columns(self) -> float:
        if self.shares is None:
            raise ValueError("shares: the arithmetic depends on how many tokens each expert gets; call measure(hidden)")
        return self.n_experts + sum(u * size for u, size in zip(self.shares, self._sizes, strict=True))

    def operations(self, batch: int, train: bool = True) -> float:
        """2 B d (K + sum_k u_k n_k) per product, u_k the share of tokens and n_k the rows of expert k; three to train.

        Raises ValueError if the shares were not measured (:meth:`measure`) since the experts last changed.
        """
        return (6.0 if train else 2.0) * batch * self.in_features * self._columns()

    @property
    def utilisation(self) -> float:
        """Arithmetic of a row as a share of the full softmax's: (K + sum_k u_k n_k) / V, its inverse the speed-up."""
        return self._columns() / self.n_classes

    @property
    def memory(self) -> int:
        """Bytes of all weights and tables."""
        return self._n_bytes()

    def extra_repr(self) -> str:
        """Sizes, for ``print``."""
        return f"{super().extra_repr()}, n_experts={self.n_experts}, rows={len(self.members)}"
