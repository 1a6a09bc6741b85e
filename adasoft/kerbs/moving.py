"""Senses that move between words during training: the sums, the start of a moved sense, the optimiser's state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from ..checks import ABOVE_0, BELOW_1, FINITE, choice, integer, number
from ..inputs import check_target
from .allocation import ORDERS, Move, planned_moves, receivers
from .senses import SenseLogits, log_sum_by_word

STARTS = ("mean", "noise", "keep")
#: Sums of an :class:`Allocator`, which its ``state_dict`` holds.
_SUMS = ("count", "probability", "log_probability", "usage", "state")


class HasSenses(Protocol):
    """What an :class:`Allocator` moves senses of: a :class:`.KerBS`, or an adaptive softmax with senses in its head."""

    @property
    def senses(self) -> SenseLogits:
        """The senses."""

    def sense_words(self, target: Tensor) -> Tensor:
        """Their words' numbers of targets (n,); -1 for a target that is none of theirs."""


class Allocator:
    """Moves little used senses to words that ask for one, every so many steps of a training.

    Call :meth:`step` with the hidden states and targets of each batch, after the optimiser's own step:

    >>> from adasoft.kerbs import KerBS
    >>> softmax = KerBS(8, 20, senses=2)
    >>> optimizer = torch.optim.Adam(softmax.parameters())
    >>> allocator = Allocator(softmax, optimizer, every=10)
    >>> hidden, words = torch.randn(5, 8), torch.arange(5)
    >>> for _ in range(10):
    ...     optimizer.zero_grad()
    ...     softmax(hidden, words).loss.backward()
    ...     optimizer.step()
    ...     moves = allocator.step(hidden, words)
    >>> len(moves), len(softmax.senses.words)
    (1, 40)

    *Usage* of a sense is the sum of p(sense | h) over the tokens of its word. With ``order="paper"`` all sums fade by
    ``decay`` in each step; with ``"released"`` they start at zero after each round.

    *Start of a moved sense* (neither the paper, as far as we know, nor the code gives one: there it keeps its vector):
    ``"mean"``: the direction of the receiving word's mean hidden state, in the mean length of its senses, theta at its
    start; ``"noise"``: a copy of the word's most used sense and its theta, and Gaussian noise of ``noise`` times its
    length; ``"keep"``: as it was. What the optimiser keeps of a moved sense (averages of gradients) starts anew, with
    ``reset``; its count of steps is common to all senses, so that Adam's first steps of a moved one are up to three
    times as long as later ones. Released: ``order="released", start="keep", reset=False``.

    Args:
        layer: what has the senses.
        optimizer: the optimiser of their parameters; None for one without a state.
        every: steps Q between rounds; 100 in the released code.
        order: ``"paper"`` or ``"released"``, see :mod:`adasoft.kerbs.allocation`.
        share: of V, how many senses move in a round at most; but one may always. 0.005 in the released code.
        threshold: ``"paper"``: mean log p below which a word asks; default the mean over all words seen.
        decay: ``"paper"``: of the sums, from 0 to below 1.
        start, noise, reset: as above.
        seed: of the noise.
    """

    def __init__(
        self,
        layer: HasSenses,
        optimizer: torch.optim.Optimizer | None = None,
        *,
        every: int = 100,
        order: str = "paper",
        share: float = 0.005,
        threshold: float | None = None,
        decay: float = 0.99,
        start: str = "mean",
        noise: float = 0.1,
        reset: bool = True,
        seed: int = 0,
    ) -> None:
        self.layer, self.optimizer = layer, optimizer
        self.every, self.order = integer("every", every, 1), choice("order", order, ORDERS)
        self.share = number("share", share, ABOVE_0, 1, "above 0 and at most 1")
        self.threshold = None
        if threshold is not None:
            self.threshold = number("threshold", threshold, -FINITE, 0, "a finite number of at most 0")
        self.decay = number("decay", decay, 0, BELOW_1, "at least 0 and below 1")
        self.start, self.reset = choice("start", start, STARTS), bool(reset)
        self.noise, self.seed = (
            number("noise", noise, 0, FINITE, "a finite number of at least 0"),
            integer("seed", seed),
        )
        self.limit = max(1, int(self.share * layer.senses.many))
        self.steps = 0
        self.sums = self._zeros()

    @torch.no_grad()
    def step(self, input: Tensor, target: Tensor) -> list[Move]:
        """Add a batch to the sums, input (..., d), target (...); every so many steps move senses. The moves.

        Raises RuntimeError where input, parameters or sums are not finite, shapes do not fit, or a target is out of
        range.
        """
        self.observe(input, target)
        self.steps += 1
        return self.reallocate() if self.steps % self.every == 0 else []

    @torch.no_grad()
    def observe(self, input: Tensor, target: Tensor) -> None:
        """Add a batch to the sums."""
        check_target(target, input)
        senses, sums = self.layer.senses, self.sums
        words = self.layer.sense_words(target.reshape(-1))
        held = words >= 0
        words, x = words[held], input.detach().reshape(-1, senses.in_features)[held]
        scores = senses.scores(x)
        total = scores.logsumexp(1, keepdim=True)
        own = log_sum_by_word(scores, senses.places).gather(1, words.unsqueeze(1)) - total
        places = senses.places[words]
        used = scores.new_zeros(len(words), len(senses.words) + 1).scatter(
            1, places, (torch.cat([scores, torch.full_like(total, -torch.inf)], 1).gather(1, places) - total).exp()
        )
        if self.order == "paper":
            for value in sums.values():
                value.mul_(self.decay)
        sums["usage"].add_(used[:, :-1].sum(0))
        for name, value in (("count", torch.ones_like(own)), ("probability", own.exp()), ("log_probability", own)):
            sums[name].index_add_(0, words, value.squeeze(1).to(sums[name].dtype))
        sums["state"].index_add_(0, words, x.to(sums["state"].dtype))

    @torch.no_grad()
    def reallocate(self) -> list[Move]:
        """A round of moves now; with ``order="released"`` the sums start anew."""
        senses, sums = self.layer.senses, self.sums
        for name, value in sums.items():
            if not bool(torch.isfinite(value).all()):
                raise RuntimeError(f"sums of {name} should hold finite numbers, got nan or inf")
        many = senses.many
        count, probability, log_probability = (sums[name][:many] for name in _SUMS[:3])
        asking = receivers(self.order, count, probability, log_probability, self.threshold)
        moves = planned_moves(senses.words, sums["usage"], asking, self.limit)
        words = senses.words.clone()
        for move in moves:
            self._begin(move)
            words[move.sense] = move.receiver
        senses.assign(words)
        if moves and self.reset:
            _forget(self.optimizer, senses, [move.sense for move in moves])
        if self.order == "released":
            self.sums = self._zeros()
        for move in moves:
            self.sums["usage"][move.sense] = 0
        return moves

    def _begin(self, move: Move) -> None:
        """Vector and theta of a sense that is about to move."""
        if self.start == "keep":
            return
        senses = self.layer.senses
        weight, raw = senses.weight, senses.raw_theta
        own = (senses.words == move.receiver).nonzero().squeeze(1)
        if self.start == "mean":
            mean = self.sums["state"][move.receiver]
            length = weight[own].norm(dim=1).mean() / mean.norm().clamp(min=torch.finfo(mean.dtype).tiny)
            weight[move.sense] = (mean * length).to(weight.dtype)
            if raw is not None:
                raw[move.sense] = 0
            return
        best = own[self.sums["usage"][own].argmax()]
        draw = torch.Generator().manual_seed(self.seed + self.steps * len(senses.words) + move.sense)
        step = torch.randn(senses.in_features, generator=draw, dtype=torch.float64).to(weight)
        weight[move.sense] = weight[best] + self.noise * weight[best].norm() / len(step) ** 0.5 * step
        if raw is not None:
            raw[move.sense] = raw[best]

    def state_dict(self) -> dict[str, Any]:
        """Steps and sums: with those of layer and optimiser, all that an exact resume needs."""
        return {"steps": self.steps, **{name: value.clone() for name, value in self.sums.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take what :meth:`state_dict` gave. Raises ValueError for anything else, and then changes nothing."""
        found = {}
        for name, value in self.sums.items():
            given = state.get(name)
            if not isinstance(given, Tensor) or given.shape != value.shape:
                got = tuple(given.shape) if isinstance(given, Tensor) else given
                raise ValueError(f"{name} should be a tensor of shape {tuple(value.shape)}, got {got}")
            found[name] = given.to(value, copy=True)
        self.steps, self.sums = integer("steps", state.get("steps"), 0), found

    def _zeros(self) -> dict[str, Tensor]:
        senses = self.layer.senses
        shapes: list[tuple[int, ...]] = [(senses.n_words,)] * 3
        shapes += [(len(senses.words),), (senses.n_words, senses.in_features)]
        dtype = torch.promote_types(senses.weight.dtype, torch.float32)
        device = senses.weight.device
        return {name: torch.zeros(shape, dtype=dtype, device=device) for name, shape in zip(_SUMS, shapes, strict=True)}


def _forget(optimizer: torch.optim.Optimizer | None, senses: SenseLogits, moved: list[int]) -> None:
    """Let the optimiser's state of some senses be that of parameters it has never seen."""
    if optimizer is None:
        return
    for group in optimizer.param_groups:
        first = {"sum": group.get("initial_accumulator_value", 0.0)}  # Adagrad's; all others start at 0
        for p in senses.parameters():
            if not any(p is other for other in group["params"]):
                continue
            for name, value in optimizer.state.get(p, {}).items():
                if isinstance(value, Tensor) and value.shape == p.shape:
                    value[moved] = first.get(name, 0.0)
