"""Doubly sparse softmax: a gate picks one of K experts, and an expert knows only some of the words.

Liao, Chen, Lin, Zhou and Wang 2019 (arXiv 1901.10668), and their published code (shun1024/ds-softmax). What is theirs
and what was chosen here is said where it matters.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..decoding import largest, linear, log_softmax, log_sum_exp
from ..layer import _positive
from ..loss import Group, chunk_rows, grouped_nll, target_ranks
from .full import FullSoftmax
from .protocol import SoftmaxModule

#: A gate that gives one of several experts more than this share of the tokens has collapsed.
COLLAPSED = 0.95


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
    in stages, "mitosis", so that no stage needs much memory (:meth:`split`). :func:`fit` does all of it. An expert's
    rows lie side by side, and only rows that are left are stored.

    A word that is pruned counts as a row of zeros in training mode, logit 0, as in the authors' code: every target has
    a finite loss, and pruning a small row changes little. That is what ``output`` and ``loss`` of training mode are
    of. Otherwise, and in ``log_prob`` and ``topk`` always, the distribution is over the chosen expert's words, and
    all others have the log-probability -inf. ``topk`` gives -1 as the id of a place that no word can take, for k
    above the expert's size. Only the chosen expert's rows are read, for all of its tokens at once.

    The authors have no biases, nor are there any here.

    Args:
        n_experts: K, to begin with.

    Parameters: ``gate.weight`` (K, d); ``weight`` (R, d), the rows of expert 0 by rank, of expert 1, ... Buffers:
    ``members`` (R,), the rank of each row, and ``sizes`` (K,). A checkpoint of any K and R loads.
    """

    estimates = True
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
        n_experts = _positive("n_experts", n_experts)
        self.gate = nn.Linear(in_features, n_experts, bias=False, device=device, dtype=dtype)
        self.weight = nn.Parameter(torch.empty(n_experts * n_classes, in_features, device=device, dtype=dtype))
        nn.init.kaiming_uniform_(self.gate.weight, nonlinearity="relu")  # both as in the authors' code
        nn.init.uniform_(self.weight, -((6 / (in_features + n_classes)) ** 0.5), (6 / (in_features + n_classes)) ** 0.5)
        self.register_buffer("members", torch.arange(n_classes, device=device).repeat(n_experts))
        self.register_buffer("sizes", torch.full((n_experts,), n_classes, device=device))
        self._noise = 0.0, 0
        self._follow_sizes()

    @classmethod
    def from_full(cls, full: nn.Linear | FullSoftmax, n_experts: int = 2, **options: Any) -> DoublySparseSoftmax:
        """Every expert a copy of a trained layer, to retrain with ``fit``; the gate is new.

        One expert is the full softmax itself. ``order``, ``ignore_index`` and ``reduction`` of a
        :class:`FullSoftmax` hold unless given. ValueError if the layer has a bias.
        """
        layer = full.output if isinstance(full, FullSoftmax) else full
        if not isinstance(layer, nn.Linear):
            raise TypeError(f"full should be an nn.Linear or a FullSoftmax, got {type(full).__name__}")
        if layer.bias is not None:
            raise ValueError("full should have no bias: doubly sparse softmax has none, got one")
        if isinstance(full, FullSoftmax):
            options = {k: getattr(full, k) for k in ("order", "ignore_index", "reduction")} | options
        weight = layer.weight.detach()
        made = cls(weight.shape[1], len(weight), n_experts, device=weight.device, dtype=weight.dtype, **options)
        made.weight.data.copy_(weight.repeat(made.n_experts, 1))
        return made

    # ------------------------------------------------------------------ structure

    def _follow_sizes(self) -> None:
        self._sizes: list[int] = self.sizes.tolist()
        self._edges = list(itertools.accumulate(self._sizes, initial=0))
        self._alive = [k for k, size in enumerate(self._sizes) if size]
        #: Shares of the tokens, (K,); None until :meth:`measure` has seen some.
        self.shares: tuple[float, ...] | None = (1.0,) if len(self._sizes) == 1 else None

    @property
    def n_experts(self) -> int:
        """K, those without a row included."""
        return len(self._sizes)

    def expert(self, k: int) -> Tensor:
        """The ids of the words that expert k knows, by rank."""
        ranks = self.members[self._edges[k] : self._edges[k + 1]]
        return ranks if self.order is None else self.order.index_select(0, ranks)

    def membership(self) -> Tensor:
        """(K, V) bool, which expert knows which id."""
        known = torch.zeros(self.n_experts, self.n_classes, dtype=torch.bool, device=self.members.device)
        for k in range(self.n_experts):
            known[k, self.expert(k)] = True
        return known

    def _rms(self) -> Tensor:
        """Root mean square of every row, (R,), fp32 at least: the measure of the authors' code, the same for any d."""
        wide = torch.promote_types(self.weight.dtype, torch.float32)
        norms = torch.linalg.vector_norm(self.weight, dim=1, dtype=wide)
        rms: Tensor = norms / self.in_features**0.5
        return rms

    @torch.no_grad()
    def prune(self, threshold: float, *, keep: bool = True, optimizer: torch.optim.Optimizer | None = None) -> Pruned:
        """Drop every row whose root mean square is below ``threshold``.

        ``keep``: the largest row of a word stays whatever its size, so that no word falls out of all experts (chosen
        here; the authors' code lets it fall). ``optimizer``: its state of the weights follows. The weights change
        their shape, so no loss from before may still wait for its backward.

        Raises ValueError if the threshold is negative or not finite, or no row would be left; nothing is changed then.
        """
        if not math.isfinite(threshold) or threshold < 0:
            raise ValueError(f"threshold should be a finite number, 0 or more, got {threshold!r}")
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

        Raises ValueError if ``copies`` is below 1 or ``noise`` negative.
        """
        sources = [k for k in range(self.n_experts) for _ in range(_positive("copies", copies))]
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
        the experts replaced.
        """
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
        if not math.isfinite(noise) or noise < 0:
            raise ValueError(f"noise should be a finite number, 0 or more, got {noise!r}")
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
        moved = torch.randn(gate.shape, generator=generator).to(gate) * gate.square().mean(1, keepdim=True).sqrt()
        twice = torch.tensor([sources.count(k) > 1 for k in sources], device=gate.device).unsqueeze(1)
        gate.add_(torch.where(twice, moved * noise, 0.0))

    def _take(self, rows: Tensor, sizes: Tensor, experts: list[int], optimizer: torch.optim.Optimizer | None) -> None:
        for parameter, index in ((self.weight, rows), (self.gate.weight, torch.tensor(experts, device=rows.device))):
            state = {} if optimizer is None else optimizer.state.get(parameter, {})
            for name, value in state.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    state[name] = value[index]
            parameter.data, parameter.grad = parameter.data[index], None
        self.members, self.sizes = self.members[rows], sizes
        self.gate.out_features = len(experts)
        self._follow_sizes()

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        names = ("weight", "gate.weight", "members", "sizes")
        stored = [state_dict.get(prefix + name) for name in names]
        if all(v is not None for v in stored):
            wrong = self._wrong(*stored)
            if wrong:
                args[-1].append(f"{prefix[:-1] or 'the checkpoint'}: {wrong}")
                return
            weight, gate, members, sizes = stored
            for parameter, value in ((self.weight, weight), (self.gate.weight, gate)):
                if parameter.shape != value.shape:
                    parameter.data, parameter.grad = parameter.data.new_empty(value.shape), None
            self.members = self.members.new_empty(members.shape)
            self.sizes = self.sizes.new_empty(sizes.shape)
            self.gate.out_features = len(gate)
        super()._load_from_state_dict(state_dict, prefix, *args)
        self._follow_sizes()

    def _wrong(self, weight: Tensor, gate: Tensor, members: Tensor, sizes: Tensor) -> str:
        d, n = self.in_features, self.n_classes
        if weight.dim() != 2 or weight.shape[1] != d or gate.shape != (len(sizes), d):
            return f"weight and gate.weight should be (R, {d}) and (K, {d}), got {(*weight.shape,)}, {(*gate.shape,)}"
        if int(sizes.min()) < 0 or int(sizes.sum()) != len(members) or len(members) != len(weight) or not len(weight):
            return f"sizes should sum to the number of rows, {len(weight)}, and of members, {len(members)}"
        for part in torch.split(members, sizes.tolist()):
            if len(part) and (int(part[0]) < 0 or int(part[-1]) >= n or bool((part.diff() <= 0).any())):
                return f"members should be ranks below {n}, rising within an expert"
        return ""

    # ------------------------------------------------------------------ the method

    def _route(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (n, d) -> the largest gate value and whose it is, (n,) each; experts without rows are left out."""
        logits = linear(x, self.gate.weight.to(x.dtype))
        logits = logits.to(torch.promote_types(x.dtype, torch.float32))
        amount, seed = self._noise
        if self.training and amount and len(self._alive) > 1 and len(x):
            noise = torch.randn(logits.shape, generator=torch.Generator().manual_seed(seed))
            logits = logits + noise.to(logits) * (amount * logits.detach()[:, self._alive].std())
        if len(self._alive) < self.n_experts:
            logits = logits.masked_fill(self.sizes == 0, -torch.inf)
        value, expert = logits.softmax(1).max(1)
        return value, expert

    def _grouped(self, x: Tensor) -> tuple[Tensor, Tensor, list[int]]:
        """x (n, d) -> hidden states times gate values, sorted by expert; the permutation; tokens of each expert."""
        value, expert = self._route(x)
        ordered, permutation = expert.sort(stable=True)
        edges = torch.arange(self.n_experts + 1, device=x.device)
        bounds = torch.searchsorted(ordered, edges).tolist()
        # scaling h scales the logits, at a V-th of the price
        scaled = (x * value.to(x.dtype).unsqueeze(1)).index_select(0, permutation)
        return scaled, permutation, [b - a for a, b in itertools.pairwise(bounds)]

    def _own(self, k: int) -> Tensor:
        return self.members[self._edges[k] : self._edges[k + 1]]

    def _nll(
        self, x: Tensor, ranks: Tensor, scale: float, need_total: bool, zeros: bool | None = None
    ) -> tuple[Tensor, Tensor]:
        zeros = self.training if zeros is None else zeros
        scaled, permutation, tokens = self._grouped(x)
        weights = torch.split(self.weight.to(x.dtype), self._sizes)
        parts, targets = torch.split(scaled, tokens), torch.split(ranks[permutation], tokens)
        groups, inside, more = [], [], []
        for k, (rows, words) in enumerate(zip(parts, targets, strict=True)):
            if not len(rows):
                continue
            own, missing = self._own(k), self.n_classes - self._sizes[k]
            place = torch.searchsorted(own, words).clamp(max=len(own) - 1)
            known = own[place] == words
            weight, bias = weights[k], None
            if missing and zeros:
                # all words outside in one column: the logarithm of their number, and of it each has its share
                weight = F.pad(weight, (0, 0, 0, 1))
                bias = F.pad(weight.new_zeros(len(own)), (0, 1), value=math.log(missing))
                place = torch.where(known, place, len(own))
                more.append(torch.where(known, 0.0, math.log(missing)))
                known = torch.ones_like(known)
            elif missing:
                rows, place = rows[known], place[known]
                more.append(torch.zeros_like(known, dtype=torch.float32))
            else:
                more.append(torch.zeros_like(known, dtype=torch.float32))
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

    def _log_prob(self, x: Tensor) -> Tensor:
        scaled, permutation, tokens = self._grouped(x)
        weights = torch.split(self.weight.to(x.dtype), self._sizes)
        wide = torch.promote_types(x.dtype, torch.float32)
        parts = [scaled.new_empty(0, self.n_classes, dtype=wide)]
        for k, rows in enumerate(torch.split(scaled, tokens)):
            if len(rows):
                out = rows.new_full((len(rows), self.n_classes), -torch.inf, dtype=wide)
                parts.append(out.index_copy(1, self._own(k), log_softmax(linear(rows, weights[k]))))
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
        at = 0
        for expert, n in enumerate(tokens):
            if not n:
                continue
            a, b = self._edges[expert], self._edges[expert + 1]
            found = min(k, b - a)
            for rows in torch.split(torch.arange(at, at + n, device=x.device), chunk_rows(n, b - a)):
                part = slice(int(rows[0]), int(rows[0]) + len(rows))
                logits = linear(scaled[part], self.weight[a:b].to(x.dtype))
                best, where = largest(logits, found)
                to = permutation[part]
                values[to, :found] = best.to(values.dtype) - log_sum_exp(logits).unsqueeze(1)
                ranks[to, :found] = self.members[a:b][where]
            at += n
        return values, ranks

    def explore(self, amount: float, seed: int) -> None:
        """Let the gate choose at random, in training mode: Gaussian noise on its logits, until told otherwise.

        ``amount``: standard deviation as a multiple of the logits' own over a batch, 0 for none. ``seed`` says which
        noise: give another one for each step. Without noise an expert that the first gate passes over, or a clone
        that loses all ties, may never get a token. (Chosen here; the authors' code learns an amount per expert.)
        """
        if not math.isfinite(amount) or amount < 0:
            raise ValueError(f"amount should be a finite number, 0 or more, got {amount!r}")
        self._noise = float(amount), int(seed)

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
        self.shares = tuple((chosen.double() / len(x)).tolist())
        return self.shares

    @torch.no_grad()
    def evaluate(self, hidden: Tensor, target: Tensor) -> Evaluation:
        """How well the words ``target`` (...) are predicted from ``hidden`` (..., d); ignored targets are left out."""
        x, target = self._rows(hidden), target.reshape(-1)
        ranks = target_ranks(target, self.n_classes, self.ignore_index, self._ranks)
        if len(ranks) != len(x) or bool(((ranks < 0) | (ranks > self.n_classes)).any()):
            raise ValueError(f"target should hold {len(x)} ids in [0, {self.n_classes - 1}] or {self.ignore_index}")
        x, ranks = x[ranks < self.n_classes], ranks[ranks < self.n_classes]
        shares = self.measure(x)
        with torch.autocast(x.device.type, enabled=False):
            own, _ = self._nll(x, ranks, 1.0, False, zeros=False)
            every, _ = self._nll(x, ranks, 1.0, False, zeros=True)
        known = own[own.isfinite()].double()
        return Evaluation(
            1.0 - len(known) / len(own), float(known.mean().exp()), float(every.double().mean().exp()), shares,
            self.utilisation,
        )  # fmt: skip

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
        return sum(v.nbytes for v in itertools.chain(self.parameters(), self.buffers()))

    def extra_repr(self) -> str:
        """Sizes, for ``print``."""
        return f"{super().extra_repr()}, n_experts={self.n_experts}, rows={len(self.members)}"


# ---------------------------------------------------------------------- training


@dataclasses.dataclass(frozen=True)
class Settings:
    """How :func:`fit` trains. Factors and threshold as in the authors' example of 10 x 10 classes, or near."""

    stages: tuple[int, ...] = (10,)
    """Experts in each stage; each number a multiple of the one before, which is cloned to make it."""
    epochs: int = 40
    """Of each stage."""
    batch: int = 500
    learning_rate: float = 0.003
    """Of Adam."""
    balance: float = 10.0
    """Factors of the three :class:`Penalties`."""
    lasso: float = 0.01
    expert_lasso: float = 0.1
    threshold: float = 0.03
    """Rows of a smaller root mean square are pruned, after every epoch but a stage's first ``prune_after``."""
    prune_after: int = 15
    exploration: float = 1.0
    """Noise of the gate, see :meth:`DoublySparseSoftmax.explore`; falls to 0 over those first epochs."""
    noise: float = 0.05
    """Of the clones' gates, see :meth:`DoublySparseSoftmax.split`."""
    seed: int = 0
    """Of the order of the tokens, of dropout and of the noise."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", tuple(_positive("stages", k) for k in self.stages))
        if not self.stages or any(b % a or a == b for a, b in itertools.pairwise(self.stages)):
            raise ValueError(f"stages should be numbers of experts, each a multiple of the last, got {self.stages}")
        for name in ("epochs", "batch"):
            _positive(name, getattr(self, name))
        numbers = "learning_rate", "balance", "lasso", "expert_lasso", "threshold", "exploration", "noise"
        for name in (*numbers, "prune_after"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
                raise ValueError(f"{name} should be a finite number, 0 or more, got {value!r}")


class Step(NamedTuple):
    """One step of training: losses before their factors, and ``total`` with them."""

    step: int
    stage: int
    n_experts: int
    n_rows: int
    task: float
    balance: float
    lasso: float
    expert_lasso: float
    total: float


class Epoch(NamedTuple):
    """The experts after an epoch, and the shares of its tokens that each got."""

    step: int
    sizes: list[int]
    shares: list[float]


class Event(NamedTuple):
    """Something that happened before step ``step``: ``"split"``, ``"prune"``, ``"emptied"`` or ``"collapse"``."""

    step: int
    kind: str
    text: str


class History(NamedTuple):
    """All steps, epochs and events of a training."""

    steps: list[Step]
    epochs: list[Epoch]
    events: list[Event]


def fit(
    softmax: DoublySparseSoftmax,
    inputs: Tensor,
    target: Tensor,
    settings: Settings,
    *,
    body: nn.Module | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    save_every: int = 200,
    callback: Callable[[Step, DoublySparseSoftmax], None] | None = None,
    progress: bool = True,
) -> History:
    """Train experts and gate: on cached hidden states, or with a ``body`` that makes them, jointly.

    Every step: task loss (the mean) + balance, lasso and expert lasso by their factors, Adam. Every epoch: pruning,
    then a look at the gate. Every stage: the experts are cloned. An emptied expert and a collapsed gate are warned of
    and noted; training goes on, and :meth:`DoublySparseSoftmax.revive` helps afterwards.

    Args:
        inputs: (n, d), or whatever ``body`` maps to that; on the softmax's device.
        target: (n,), ids; tokens to ignore are left out.
        body: trained too, in training mode. None: ``inputs`` are the hidden states.
        checkpoint: a safetensors file. If it is there, training goes on from it, just as if it had never stopped; it
            is replaced whole every ``save_every`` steps, at the end, and when ``callback`` raises.
        callback: told of every :class:`Step`. What it raises ends the training.
        progress: show a bar.

    Raises ValueError: inputs, settings and softmax do not fit, or the checkpoint is of other settings or data.
    """
    if len(inputs) != len(target):
        raise ValueError(f"inputs and target should be of one length, got {len(inputs)} and {len(target)}")
    if bool((target == softmax.ignore_index).any()):
        inputs, target = inputs[target != softmax.ignore_index], target[target != softmax.ignore_index]
    n, device = len(target), inputs.device
    if not n:
        raise ValueError("target should hold at least one id that counts, got none")
    modules: dict[str, nn.Module] = {"softmax": softmax} | ({} if body is None else {"body": body})
    names = [f"{m}.{name}" for m, module in modules.items() for name, _ in module.named_parameters()]
    parameters = [p for module in modules.values() for p in module.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=settings.learning_rate)
    history = History([], [], [])
    told = json.dumps(dataclasses.asdict(settings)), _fingerprint(inputs, target, names)
    picked = torch.zeros(softmax.n_experts, dtype=torch.long)
    path = None if checkpoint is None else Path(checkpoint)
    if path is not None and path.exists():
        picked = _load(path, modules, names, optimizer, history, told)
    elif softmax.n_experts != settings.stages[0]:
        raise ValueError(f"softmax should have stages[0]={settings.stages[0]} experts, got {softmax.n_experts}")

    per_epoch = -(-n // settings.batch)
    n_steps = per_epoch * settings.epochs * len(settings.stages)
    modes = [module.training for module in modules.values()]
    bar = _bar(n_steps, len(history.steps)) if progress else None
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            for module in modules.values():
                module.train()
            order = torch.empty(0)
            for step in range(len(history.steps), n_steps):
                epoch, within = divmod(step, per_epoch)
                stage, epoch_of_stage = divmod(epoch, settings.epochs)
                if softmax.n_experts != settings.stages[stage]:
                    copies = settings.stages[stage] // softmax.n_experts
                    random = torch.Generator().manual_seed(_seed(settings.seed, "split", stage))
                    softmax.split(copies, noise=settings.noise, generator=random, optimizer=optimizer)
                    history.events.append(Event(step, "split", f"experts cloned by {copies}: {softmax.n_experts}"))
                    picked = torch.zeros(softmax.n_experts, dtype=torch.long)
                if within == 0 or not len(order):
                    random = torch.Generator().manual_seed(_seed(settings.seed, "order", epoch))
                    order = torch.randperm(n, generator=random).to(device)
                at = order[within * settings.batch : (within + 1) * settings.batch]
                # all chance hangs on the step's number, so a resumed training meets the same
                torch.manual_seed(_seed(settings.seed, "step", step))
                fade = max(0.0, 1 - (step / per_epoch - stage * settings.epochs) / max(settings.prune_after, 1e-9))
                softmax.explore(settings.exploration * fade, _seed(settings.seed, "gate", step))
                losses = _step(softmax, body, inputs[at], target[at], settings, optimizer, picked)
                history.steps.append(Step(step, stage, softmax.n_experts, len(softmax.members), *losses))
                if within == per_epoch - 1:
                    _end_of_epoch(softmax, optimizer, settings, history, picked, epoch_of_stage)
                    picked.zero_()
                if bar is not None:
                    bar.set_postfix_str(f"loss {losses[0]:.3f}, {len(softmax.members)} rows", refresh=False)
                    bar.update()
                try:
                    if callback is not None:
                        callback(history.steps[-1], softmax)
                except BaseException:
                    if path is not None:
                        _save(path, modules, names, optimizer, history, told, picked)
                    raise
                if path is not None and (step == n_steps - 1 or (step + 1) % save_every == 0):
                    _save(path, modules, names, optimizer, history, told, picked)
    finally:
        softmax.explore(0.0, 0)
        for module, mode in zip(modules.values(), modes, strict=True):
            module.train(mode)
        if bar is not None:
            bar.close()
    return history


def _step(
    softmax: DoublySparseSoftmax,
    body: nn.Module | None,
    inputs: Tensor,
    target: Tensor,
    settings: Settings,
    optimizer: torch.optim.Optimizer,
    picked: Tensor,
) -> list[float]:
    """One step of training; its losses. The graph ends here, before weights may change their shape."""
    hidden = inputs if body is None else body(inputs)
    output, loss = softmax(hidden, target)
    task = loss if softmax.reduction == "mean" else -output.mean()
    penalties = softmax.penalties(hidden)
    factors = settings.balance, settings.lasso, settings.expert_lasso
    total = task + sum(f * p for f, p in zip(factors, penalties, strict=True))
    with torch.no_grad():
        picked += torch.bincount(softmax._route(hidden)[1], minlength=softmax.n_experts).cpu()
    optimizer.zero_grad()
    total.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    losses: list[float] = torch.stack([v.detach().double() for v in (task, *penalties, total)]).tolist()
    return losses


def _end_of_epoch(
    softmax: DoublySparseSoftmax,
    optimizer: torch.optim.Optimizer,
    settings: Settings,
    history: History,
    picked: Tensor,
    epoch: int,
) -> None:
    step = len(history.steps)

    def note(kind: str, text: str) -> None:
        history.events.append(Event(step, kind, text))
        if kind in ("emptied", "collapse"):
            warnings.warn(f"step {step}: {text}", RuntimeWarning, stacklevel=4)

    if epoch >= settings.prune_after:
        pruned = softmax.prune(settings.threshold, optimizer=optimizer)
        if pruned.n_pruned:
            text = f"{pruned.n_pruned} rows pruned, {len(softmax.members)} left"
            note("prune", text + (f"; {pruned.n_spared} spared as their word's last" if pruned.n_spared else ""))
        for k in pruned.emptied:
            note("emptied", f"expert {k} has lost its last row; the gate leaves it out. revive() brings it back")
    shares = (picked.double() / picked.sum()).tolist()
    top = max(range(len(shares)), key=shares.__getitem__)
    if len(shares) > 1 and shares[top] > COLLAPSED:
        note("collapse", f"the gate gives expert {top} {shares[top]:.1%} of the tokens. A larger balance or revive() "
                         "spreads them")  # fmt: skip
    history.epochs.append(Epoch(step, softmax.sizes.tolist(), shares))


def _bar(total: int, done: int) -> Any:
    from tqdm.auto import tqdm

    return tqdm(total=total, initial=done, unit="batch")


def _seed(*parts: Any) -> int:
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:7], "big")


def _fingerprint(inputs: Tensor, target: Tensor, names: list[str]) -> str:
    some = inputs[:: max(1, len(inputs) // 64)].detach().cpu().float().numpy().tobytes()
    ids = target.detach().cpu().long().numpy().tobytes()
    return hashlib.sha256(some + ids + repr((tuple(inputs.shape), names)).encode()).hexdigest()


def _save(
    path: Path,
    modules: dict[str, nn.Module],
    names: list[str],
    optimizer: torch.optim.Optimizer,
    history: History,
    told: tuple[str, str],
    picked: Tensor,
) -> None:
    from safetensors.torch import save_file

    tensors = {f"{m}.{k}": v for m, module in modules.items() for k, v in module.state_dict().items()}
    for name, p in zip(names, optimizer.param_groups[0]["params"], strict=True):
        tensors |= {f"adam.{name}.{key}": value for key, value in optimizer.state[p].items()}
    tensors |= {"picked": picked, "steps": torch.tensor(history.steps, dtype=torch.float64)}
    notes = json.dumps({"epochs": history.epochs, "events": history.events})
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        save_file(
            {k: v.detach().contiguous() for k, v in tensors.items()}, part,
            {"settings": told[0], "data": told[1], "notes": notes},
        )  # fmt: skip
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _load(
    path: Path,
    modules: dict[str, nn.Module],
    names: list[str],
    optimizer: torch.optim.Optimizer,
    history: History,
    told: tuple[str, str],
) -> Tensor:
    """Weights, optimiser and history from a checkpoint; returns the tokens that each expert got in this epoch."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        notes = file.metadata() or {}
        for key, own in zip(("settings", "data"), told, strict=True):
            if notes.get(key) != own:
                raise ValueError(f"checkpoint {path} is of other {key}: {notes.get(key)}, not {own}")
        tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    for m, module in modules.items():
        module.load_state_dict({k[len(m) + 1 :]: v for k, v in tensors.items() if k.startswith(f"{m}.")})
    for name, p in zip(names, optimizer.param_groups[0]["params"], strict=True):
        prefix = f"adam.{name}."
        optimizer.state[p] = {
            k[len(prefix) :]: v if v.dim() == 0 else v.to(p.device) for k, v in tensors.items() if k.startswith(prefix)
        }
    whole = Step.__annotations__
    for row in tensors["steps"].tolist():
        history.steps.append(Step(*(int(v) if whole[k] == "int" else v for k, v in zip(whole, row, strict=True))))
    stored = json.loads(notes["notes"])
    history.epochs.extend(Epoch(*e) for e in stored["epochs"])
    history.events.extend(Event(*e) for e in stored["events"])
    picked: Tensor = tensors["picked"]
    return picked


# ---------------------------------------------------------------------- the paper's synthetic hierarchy


class Hierarchy(NamedTuple):
    """Points of classes that lie in groups."""

    inputs: Tensor
    """(n, d), fp32"""
    target: Tensor
    """(n,), classes"""
    groups: Tensor
    """(V,), the group of each class"""


def hierarchy(
    n_groups: int = 10,
    per_group: int = 10,
    n_items: int = 100,
    in_features: int = 100,
    *,
    variance: float = 100.0,
    ratio: float = 10.0,
    seed: int = 0,
) -> Hierarchy:
    """The paper's synthetic data, as its code draws them: three levels of Gaussians.

    Group centres have the given ``variance`` per coordinate, class centres variance / ratio around their group's, the
    ``n_items`` points of a class variance / ratio^2 around the class's.
    """
    sizes = [_positive(name, v) for name, v in (("n_groups", n_groups), ("per_group", per_group), ("n_items", n_items))]
    if not all(math.isfinite(v) and v > 0 for v in (variance, ratio)):
        raise ValueError(f"variance and ratio should be positive numbers, got {variance!r} and {ratio!r}")
    random = torch.Generator().manual_seed(seed)
    points = torch.zeros(1, _positive("in_features", in_features))
    for level, size in enumerate(sizes):
        scale = (variance / ratio**level) ** 0.5
        points = points.repeat_interleave(size, 0)
        points = points + scale * torch.randn(points.shape, generator=random)
    classes = torch.arange(n_groups * per_group)
    return Hierarchy(points, classes.repeat_interleave(n_items), classes // per_group)


def train_hierarchy(
    data: Hierarchy, settings: Settings | None = None, **options: Any
) -> tuple[DoublySparseSoftmax, nn.Module, History]:
    """Softmax, body and history of :func:`fit` on such data; ``options`` are its own.

    The body is the authors': a fifth of the inputs dropped, one layer of as many ReLU units.
    """
    settings = Settings() if settings is None else settings
    d, device = data.inputs.shape[1], data.inputs.device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(_seed(settings.seed, "start"))
        body = nn.Sequential(nn.Dropout(0.2), nn.Linear(d, d), nn.ReLU()).to(device)
        softmax = DoublySparseSoftmax(d, len(data.groups), settings.stages[0], device=device)
    history = fit(softmax, data.inputs, data.target, settings, body=body, **options)
    return softmax.eval(), body.eval(), history


class Recovery(NamedTuple):
    """How far experts are groups."""

    exact: int
    """Groups whose words are the words of some expert, all of them and no others."""
    overlap: Tensor
    """(K, groups): words that each expert has of each group."""


def recovery(softmax: DoublySparseSoftmax, groups: Tensor | Sequence[int]) -> Recovery:
    """Compare the experts with known ``groups`` (V,), numbers from 0."""
    known = torch.as_tensor(groups)
    if known.shape != (softmax.n_classes,) or known.is_floating_point() or int(known.min()) < 0:
        raise ValueError(f"groups should hold one number from 0 per class, {softmax.n_classes}, got {known.shape}")
    members = softmax.membership().cpu()
    inside = F.one_hot(known.cpu().long())
    overlap = members.long() @ inside
    full = (overlap == inside.sum(0)) & (members.sum(1, keepdim=True) == inside.sum(0))
    return Recovery(int((full & (inside.sum(0) > 0)).any(0).sum()), overlap)
