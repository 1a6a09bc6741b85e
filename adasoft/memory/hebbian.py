"""`HebbianUpdate`: after each step of the optimizer, the words of the batch move towards the mean of their states."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed, nn

from ..alternatives import FullSoftmax
from ..checks import ABOVE_0, integer, number
from ..children import plain
from ..layer import AdaptiveSoftmax
from ..ranks import target_ranks


class _Block(NamedTuple):
    """Words of consecutive ranks: rows 0 to stop - start of a weight, and what projects states to its width."""

    start: int
    stop: int
    words: nn.Linear
    projection: nn.Linear | None


class HebbianUpdate:
    r"""The Hebbian softmax of Rae, Dyer, Dayan and Lillicrap 2018, for a full or adaptive softmax.

    After the optimizer's step, for every word i that was a target since the last one,

    .. math::
        w_i \leftarrow \lambda_i \bar h_i + (1 - \lambda_i) w_i, \qquad
        \lambda_i = \max(n_i / c_i, \gamma)\, 1[c_i < T]

    where the n_i states of its tokens have the mean :math:`\bar h_i`, and c_i counts its tokens so far, these included.
    Words at their first sight are set to their mean state, then are the running mean of all their states, from c = 1 /
    gamma on an exponential mean, and from T on gradients alone move them. w_i on the right is what the gradient step
    has made of it. In the tails of an adaptive softmax the states are projected, by the projection as the step has left
    it; the entries that stand for tails, and biases, are not touched, nor is what the optimizer keeps.

    The rule is read from MicroNet's code (Yan et al. 2020), for one token of each word. With several tokens that code
    has 1 / c_i in the place of n_i / c_i, ``exact_mean=False`` here; a word first seen twice is then only half its mean
    state. (Released, it changes nothing: ``weight[mask].mul_(...)`` acts on a copy, and its counts of a step are never
    reset.)

    >>> from adasoft.alternatives import FullSoftmax
    >>> softmax = FullSoftmax(4, 10)
    >>> optimizer = torch.optim.SGD(softmax.parameters(), lr=0.1)
    >>> hebbian = HebbianUpdate(softmax).attach(optimizer)
    >>> state = torch.randn(1, 4)
    >>> softmax(state, torch.tensor([3])).loss.backward()
    >>> optimizer.step()
    >>> torch.equal(softmax.output.weight[3], state[0]), hebbian.counts.tolist()
    (True, [0, 0, 0, 1, 0, 0, 0, 0, 0, 0])

    Args:
        softmax: a full, sampled or adaptive softmax with nothing attached to its Linears. An embedding tied to it moves
            with it.
        gamma: the least lambda, above 0 and at most 1.
        until: T, at least 1.
        match_norm: rescale the mean to the length of w_i, as MicroNet does, so that only directions are mixed. A row of
            zeros then stays one, and a mean of zeros moves nothing.
        exact_mean: see above.

    Raises TypeError for another softmax, ValueError for values out of range and among several processes, whose weights
    would drift apart.
    """

    def __init__(
        self,
        softmax: Any,
        *,
        gamma: float = 0.01,
        until: int = 500,
        match_norm: bool = False,
        exact_mean: bool = True,
    ) -> None:
        self.gamma = number("gamma", gamma, ABOVE_0, 1, "above 0 and at most 1")
        self.until = integer("until", until, 1)
        self.match_norm, self.exact_mean = bool(match_norm), bool(exact_mean)
        if distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1:
            raise ValueError(f"processes should be 1 for a Hebbian update, got {distributed.get_world_size()}")
        self.softmax = softmax
        self._blocks = _blocks_of(softmax)
        self._rank_of_id = None if softmax.order is None else softmax.order.argsort()
        #: Tokens of each word so far, (V,) int64, by rank, as the weights lie.
        self.counts = torch.zeros(softmax.n_classes, dtype=torch.long)
        self._waiting: list[tuple[Tensor, Tensor]] = []
        self._hooks: list[Any] = []

    def attach(self, optimizer: torch.optim.Optimizer) -> HebbianUpdate:
        """Listen to the softmax's calls in training, and act after each step of the optimizer. Returns itself.

        Calls in evaluation mode or without gradients do not count. Of several calls before a step, as where gradients
        are accumulated, all count. Raises RuntimeError if it is attached already.
        """
        if self._hooks:
            raise RuntimeError("a Hebbian update should be attached to one optimizer, got a second; detach() it first")
        self._hooks = [
            self.softmax.register_forward_hook(lambda _, given, __: self._heard(*given[:2])),
            optimizer.register_step_post_hook(lambda *_: self.step()),
        ]
        return self

    def detach(self) -> None:
        """Listen no longer. What was heard since the last step is forgotten; the counts stay."""
        for hook in self._hooks:
            hook.remove()
        self._hooks, self._waiting = [], []

    def _heard(self, *given: Tensor) -> None:
        if len(given) != 2:
            raise TypeError("the softmax should be called as softmax(hidden, target), got keywords")
        if self.softmax.training and torch.is_grad_enabled():
            self.add(*given)

    def add(self, hidden: Tensor, target: Tensor) -> None:
        """States (..., d) and their targets (...), ids, for the next :meth:`step`; a softmax attached does it."""
        ids = target.reshape(-1)
        table = None if self._rank_of_id is None else self._rank_of_id.to(ids.device)
        ranks = target_ranks(ids, self.softmax.n_classes, self.softmax.ignore_index, table)
        counted = (ranks >= 0) & (ranks < self.softmax.n_classes)
        self._waiting.append((hidden.detach().reshape(len(ids), -1)[counted], ranks[counted]))

    @torch.no_grad()
    def step(self) -> None:
        """The update, of what was heard since the last one. Raises RuntimeError if a mean state is not finite."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        ranks, place, n = torch.unique(torch.cat([r for _, r in waiting]), return_inverse=True, return_counts=True)
        hidden = torch.cat([h for h, _ in waiting])
        hidden = hidden.to(torch.promote_types(hidden.dtype, torch.float32))
        means = hidden.new_zeros(len(ranks), hidden.shape[1]).index_add_(0, place, hidden) / n.unsqueeze(1)
        if not bool(torch.isfinite(means).all()):
            raise RuntimeError("hidden states should be finite for a Hebbian update, got nan or inf")
        self.counts = self.counts.to(ranks.device)
        self.counts[ranks] += n
        counts = self.counts[ranks]
        share = (n if self.exact_mean else torch.ones_like(n)).to(means.dtype) / counts
        share = torch.where(counts < self.until, share.clamp(min=self.gamma), 0.0)
        for block in self._blocks:
            own = (ranks >= block.start) & (ranks < block.stop) & (share > 0)
            if bool(own.any()):
                self._move(block, ranks[own] - block.start, means[own], share[own].unsqueeze(1))

    def _move(self, block: _Block, rows: Tensor, means: Tensor, share: Tensor) -> None:
        weight = block.words.weight
        if block.projection is not None:
            means = means @ block.projection.weight.to(means.dtype).t()
        before = weight[rows].to(means.dtype)
        if self.match_norm:
            lengths = means.norm(dim=1, keepdim=True)
            means = torch.where(lengths > 0, means / lengths * before.norm(dim=1, keepdim=True), before)
        # weight[rows].lerp_() would change a copy
        weight.index_copy_(0, rows, before.lerp(means, share).to(weight.dtype))

    # ------------------------------------------------------------------ to go on later

    def state_dict(self) -> dict[str, Tensor]:
        """The counts, a copy: with the weights and the optimizer all that a training needs to go on exactly."""
        return {"counts": self.counts.clone()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Counts as :meth:`state_dict` gave them. Raises ValueError for those of other words."""
        if set(state) != {"counts"}:
            raise ValueError(f"state should hold counts and nothing else, got {', '.join(state) or 'nothing'}")
        counts = state["counts"]
        if counts.shape != self.counts.shape or counts.dtype != torch.long or bool((counts < 0).any()):
            raise ValueError(
                f"counts should be {len(self.counts):,} numbers of at least 0, int64, got {counts.dtype} of shape "
                f"{tuple(counts.shape)}"
            )
        self.counts = counts.to(self.counts.device, copy=True)


def _blocks_of(softmax: Any) -> list[_Block]:
    """The words of a softmax by rank, where they lie."""
    if isinstance(softmax, AdaptiveSoftmax):
        pairs = [(words, projection) for projection, words in softmax.tail]  # type: ignore[misc, has-type]
        blocks = [_Block(0, softmax.shortlist_size, softmax.head, None)]
        blocks += [_Block(softmax.cutoffs[i], softmax.cutoffs[i + 1], *pair) for i, pair in enumerate(pairs)]
    elif isinstance(softmax, FullSoftmax):
        blocks = [_Block(0, softmax.n_classes, softmax.output, None)]
    else:
        raise TypeError(f"softmax should be a full or adaptive one, got {type(softmax).__name__}")
    children: Iterable[Any] = (child for block in blocks for child in (block.words, block.projection) if child)
    for child in children:
        if not plain(child, bias=True):
            raise TypeError(
                f"softmax should have Linears with nothing attached, whose words can be set, got {type(child).__name__}"
            )
    return blocks
