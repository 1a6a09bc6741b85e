"""One case, all softmaxes that answer it, timed in turns: a training step, or the ten best words of some rows."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...alternatives import Adaptive, FullSoftmax, build
from ...alternatives.doubly_sparse import DoublySparseSoftmax
from ...alternatives.svd_softmax import SVDSoftmax, power_law, spectrum_matrix
from ...timing import interleave
from ...vocabulary import Vocabulary
from ..time_model.timings import Step, Tick

TRAIN, BEST = "a training step", "the ten best words of each row"
TASKS = (BEST, TRAIN)
FULL, SAMPLED, TREE, STAR = "full softmax", "sampled, 20 %", "hierarchical", "D-softmax*"
ALL_WORDS, SKIPPING, SVD, SPARSE = "adaptive, all words", "adaptive, exact top-k", "SVD-softmax", "doubly sparse"
ADAPTIVE = "adaptive"
#: Who answers what: task -> (those that are exact, those that are not).
WHO = {
    BEST: ((FULL, ALL_WORDS, SKIPPING), (SVD, SPARSE)),
    TRAIN: ((FULL, TREE, STAR, ADAPTIVE), (SAMPLED,)),
}
#: Standard deviation of the part of a logit that depends on the state, in drawn layers.
_SPREAD = 2.0


@dataclass(frozen=True)
class Case:
    """What is to be timed."""

    task: str
    exact: bool
    in_features: int
    rows: int
    cutoffs: tuple[int, ...]
    widths: tuple[int, ...]
    device: str
    n_experts: int
    """Of doubly sparse softmax."""
    expert_share: float
    """Words of an expert as a share of V."""

    @property
    def names(self) -> tuple[str, ...]:
        """The softmaxes that answer it. Raises ValueError if it needs cutoffs and has none."""
        if not self.cutoffs:
            raise ValueError("no cutoff is set, so there is nothing adaptive to time: set one above")
        exact, others = WHO[self.task]
        return exact if self.exact else (*exact, *others)

    def bytes(self, n_classes: int) -> float:
        """Memory, roughly: weights of all of them, and the largest set of logits."""
        each = 3.0 * len(self.names) if self.task == TRAIN else 2.0 * len(self.names)
        return 4.0 * (each * n_classes * self.in_features + 4 * self.rows * n_classes)


def drawn_adaptive(case: Case, words: Vocabulary, random: torch.Generator) -> Adaptive:
    """An adaptive softmax that knows the counts, with random logits added; its states begin with a one."""
    layer = Adaptive(case.in_features, len(words), case.cutoffs, widths=case.widths)
    shares = torch.from_numpy(np.array(words.shares))
    edges = [*case.cutoffs, len(words)]
    mass = [float(shares[a:b].sum()) for a, b in itertools.pairwise(edges)]

    def noisy(like: Tensor, first: Tensor) -> Tensor:
        made: Tensor = torch.randn(like.shape, generator=random) * (_SPREAD / max(1, like.shape[1] - 1) ** 0.5)
        made[:, 0] = first.float()
        return made

    with torch.no_grad():
        head = torch.cat([shares[: edges[0]], torch.tensor(mass, dtype=torch.float64)]).clamp(min=1e-12).log()
        layer.head.weight.copy_(noisy(layer.head.weight, head))
        tails: Any = layer.tail
        for i, tail in enumerate(tails):
            projection = torch.randn(tail[0].weight.shape, generator=random) / case.in_features**0.5
            projection[0], projection[:, 0] = 0.0, 0.0
            projection[0, 0] = 1.0  # the one stays a one, and moves nothing else
            tail[0].weight.copy_(projection)
            within = (shares[edges[i] : edges[i + 1]] / max(mass[i], 1e-12)).clamp(min=1e-12).log()
            tail[1].weight.copy_(noisy(tail[1].weight, within))
    return layer.eval()


def drawn_experts(case: Case, n_classes: int, random: torch.Generator) -> DoublySparseSoftmax:
    """Experts of a given size with a gate that spreads the rows: what is timed does not depend on what they know."""
    softmax = DoublySparseSoftmax(case.in_features, n_classes, 1)
    k, size = case.n_experts, max(1, round(case.expert_share * n_classes))
    rows = [torch.randperm(n_classes, generator=random)[:size].sort().values for _ in range(k)]
    softmax.load_state_dict(
        {
            "gate.weight": torch.randn(k, case.in_features, generator=random),
            "weight": torch.randn(k * size, case.in_features, generator=random) / case.in_features**0.5,
            "members": torch.cat(rows),
            "sizes": torch.full((k,), size),
        }
    )
    return softmax.eval()


def softmaxes(case: Case, words: Vocabulary, spectrum: Any, tick: Tick = lambda _done, _text: None) -> dict[str, Any]:
    """The softmaxes of a case, by name, with random weights.

    ``spectrum``: singular values that the matrix of SVD-softmax follows, extended to d.
    """
    random = torch.Generator().manual_seed(0)
    d, n = case.in_features, len(words)
    ordered = Vocabulary(np.asarray(words.counts))
    out: dict[str, Any] = {}
    made: Any
    for i, name in enumerate(case.names):
        tick(i / len(case.names), f"making {name}")
        if name == FULL:
            made = FullSoftmax(d, n)
            if case.task == BEST:
                with torch.no_grad():
                    values = power_law(spectrum, min(d, n))
                    made.output.weight.copy_(spectrum_matrix(n, values) if n >= d else made.output.weight)
        elif name in (ALL_WORDS, SKIPPING):
            made = out[ALL_WORDS] if ALL_WORDS in out else drawn_adaptive(case, words, random)
        elif name == SVD:
            made = SVDSoftmax(out[FULL])
        elif name == SPARSE:
            made = drawn_experts(case, n, random)
        else:
            key = {SAMPLED: "sampled", TREE: "hierarchical", STAR: "d-softmax-star", ADAPTIVE: "adaptive"}[name]
            options: dict[str, Any] = {}
            if name in (STAR, ADAPTIVE):
                options = {"cutoffs": case.cutoffs, "widths": case.widths}
            if name == SAMPLED:
                options = {"n_samples": max(1, n // 5)}
            made = build(key, d, ordered, **options)
        out[name] = made.to(case.device).train(case.task == TRAIN)
    return out


def states(case: Case, words: Vocabulary, sets: int = 2) -> list[tuple[Tensor, Tensor]]:
    """Hidden states (rows, d), the first number of each a one, and targets as frequent as the counts say."""
    random = torch.Generator().manual_seed(1)
    draw = np.random.default_rng(1)
    out = []
    for _ in range(sets):
        hidden = torch.randn(case.rows, case.in_features, generator=random)
        hidden[:, 0] = 1.0
        target = torch.from_numpy(draw.choice(len(words), case.rows, p=np.asarray(words.shares)))
        out.append((hidden.to(case.device), target.to(case.device)))
    return out


def opened_share(made: dict[str, Any], hidden: Tensor) -> float | None:
    """Share of the (row, tail) pairs that exact top-k opens; None without it."""
    layer = made.get(SKIPPING)
    return None if layer is None else float(layer.opened(hidden, min(10, layer.n_classes)).float().mean())


def arithmetic(case: Case, made: dict[str, Any], hidden: Tensor, words: Vocabulary) -> dict[str, float]:
    """Counted arithmetic of each, as a share of the full softmax's."""
    train = case.task == TRAIN
    full = made[FULL].operations(case.rows, train=train)
    out: dict[str, float] = {}
    for name, softmax in made.items():
        if name == SPARSE:
            softmax.measure(hidden)
        more = {}
        if name == SKIPPING:
            more = {"opened": softmax.opened(hidden, min(10, len(words))).float().mean(0).tolist()}
        out[name] = softmax.operations(case.rows, train=train, **more) / full
    return out


def items(case: Case, made: dict[str, Any], inputs: list[tuple[Tensor, Tensor]]) -> dict[str, list[Step]]:
    """Steps to time, by name, one for each set of inputs."""
    return {name: [_step(case, name, softmax, *one) for one in inputs] for name, softmax in made.items()}


def _step(case: Case, name: str, softmax: Any, hidden: Tensor, target: Tensor) -> Step:
    k = min(10, softmax.n_classes)

    def train() -> None:
        softmax.zero_grad(set_to_none=True)
        softmax(hidden.detach().requires_grad_(), target).loss.backward()

    @torch.no_grad()
    def every() -> None:
        softmax.log_prob(hidden).topk(k)

    @torch.no_grad()
    def best() -> None:
        softmax.topk(hidden, k)

    return train if case.task == TRAIN else every if name == ALL_WORDS else best


def time_case(
    case: Case,
    words: Vocabulary,
    spectrum: Any,
    *,
    seconds: float,
    tick: Tick,
    heard: Callable[[str, float], None],
    clock: Callable[..., Any] = interleave,
) -> dict[str, Any]:
    """Make the softmaxes of a case and time them in turns by ``clock``; what is known of them besides."""
    made = softmaxes(case, words, spectrum, tick)
    inputs = states(case, words)
    known = {"opened": opened_share(made, inputs[0][0]), "arithmetic": arithmetic(case, made, inputs[0][0], words)}
    clock(items(case, made, inputs), device=case.device, rounds=25, seconds=seconds, progress=tick, heard=heard)
    made.clear()
    gc.collect()
    return known
