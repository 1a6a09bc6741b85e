"""What is timed: products, projections and whole layers, as steps to be called.

The parts are the very functions that the layer runs. Each ``..._step`` draws its inputs from a :class:`Pool`; a layer
brings its own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from . import decoding
from .cost import Product, is_searched, layer_products
from .layer import AdaptiveSoftmax
from .loss import Group, grouped_nll, route
from .ranks import target_ranks
from .timing import Step


class Pool:
    """Random numbers that all items take their inputs and weights from, at drawn places; memory stays bounded."""

    def __init__(self, elements: int, device: torch.device, dtype: torch.dtype, seed: int = 0) -> None:
        generator = torch.Generator(device="cpu").manual_seed(seed)
        self.numbers = (torch.randn(elements, generator=generator) * 0.05).to(device=device, dtype=dtype)
        self.draw = random.Random(seed)
        self.device = device

    def take(self, rows: int, columns: int) -> Tensor:
        """A (rows, columns) leaf that requires gradients, a view of the numbers."""
        # aligned as an allocator would: kernels are chosen by it
        start = self.draw.randrange(max(1, len(self.numbers) - rows * columns)) // 256 * 256
        return self.numbers[start : start + rows * columns].view(rows, columns).detach().requires_grad_()

    def targets(self, n: int, k: int) -> Tensor:
        """(n,) ids below k, drawn uniformly."""
        return torch.tensor([self.draw.randrange(k) for _ in range(n)], device=self.device)


def product_step(pool: Pool, n: int, k: int, d: int, objective: str, *, head: bool = False) -> Step:
    """What the head or a tail does with n rows, k words, d features.

    When decoding, the head normalises and finds the ten best; a tail, for a row that opens it, nearly always finds by
    the largest logit that the row has nothing there. ``head``: which of the two.
    """
    x, weight = pool.take(n, d), pool.take(k, d)
    if objective == "decode":
        with torch.no_grad():
            x, weight = x.detach(), weight.detach()

        def decode_head() -> None:
            decoding.largest(decoding.head_log_prob(x, (weight, None)), min(10, k))

        def decode_tail() -> None:
            for _, logits in decoding.chunked_logits(x, weight):
                maxima = decoding.block_maxima(logits)
                if maxima is not None:
                    maxima.amax(1)

        return decode_head if head else decode_tail
    target = pool.targets(n, k)

    def train() -> None:
        x.grad = weight.grad = None
        grouped_nll([Group(x, weight, None, target)], 1.0)[1].backward()  # type: ignore[no-untyped-call]

    return train


def product_items(
    sizes: Sequence[tuple[int, int, int]],
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    *,
    objective: str = "train",
    sets: int = 2,
) -> dict[tuple[int, int, int], list[Step]]:
    """Steps of (n x d) by (d x k) products, one per input set, for each (n, k, d) of ``sizes``.

    ``objective``: ``"train"`` (with softmax and gradients) and ``"decode"`` as the layer does it, or ``"product"``: the
    product alone, into a buffer that is there.
    """
    largest = max(max(n, k) * d for n, k, d in sizes)
    pool = Pool(max(2**24, 2 * largest), torch.device(device), dtype)

    def make(n: int, k: int, d: int) -> Step:
        if objective != "product":
            return product_step(pool, n, k, d, objective)
        x, weight = pool.take(n, d).detach(), pool.take(k, d).detach()
        out = torch.empty(n, k, device=device, dtype=dtype)
        return lambda: torch.mm(x, weight.t(), out=out)

    return {size: [make(*size) for _ in range(sets)] for size in sizes}


def projection_step(pool: Pool, n: int, d: int, width: int, objective: str) -> Step:
    """A tail's projection of n rows from d to ``width``: rows picked out of a batch, their gradients put back."""
    batch = 2 * n
    x, weight, upstream = (v.detach() for v in (pool.take(batch, d), pool.take(width, d), pool.take(n, width)))
    rows = torch.tensor(pool.draw.sample(range(batch), n), device=pool.device)
    dx = torch.zeros_like(x)

    @torch.no_grad()
    def train() -> None:
        picked = x.index_select(0, rows)
        torch.mm(picked, weight.t())
        torch.mm(upstream.t(), picked)
        dx.index_add_(0, rows, torch.mm(upstream, weight))

    def decode() -> None:
        with torch.no_grad():
            F.linear(x[:n], weight)

    return train if objective == "train" else decode


def rows_step(pool: Pool, n: int, d: int) -> Step:
    """Sorting n targets by cluster."""
    ids = pool.targets(n, 1 << 20)
    edges = torch.tensor([0, 1000, 1 << 20, (1 << 20) + 1], device=pool.device)

    def step() -> None:
        route(target_ranks(ids, 1 << 20, -100, None), edges)

    return step


class Shape(NamedTuple):
    """A layer and a batch to time: V, d, B, cutoffs and widths; when decoding, how many of the rows open each tail."""

    n_classes: int
    in_features: int
    batch: int
    cutoffs: tuple[int, ...]
    widths: tuple[int, ...]
    opened: tuple[float, ...] = ()

    def tail_shares(self) -> list[float]:
        """Shares of the tails under :func:`token_shares`."""
        mass = np.concatenate([[0.0], token_shares(self.n_classes).cumsum()])
        return np.diff(mass[[*self.cutoffs, self.n_classes]]).tolist()  # type: ignore[no-any-return]

    def products(self, tail_rows: Sequence[float] | None = None) -> list[Product]:
        """The layer's matrix products; ``tail_rows``: tokens of each tail, by default those of :meth:`tail_shares`."""
        if tail_rows is None:
            tail_rows = [share * self.batch for share in self.tail_shares()]
        return layer_products(self.n_classes, self.cutoffs, self.widths, self.in_features, self.batch, tail_rows)


def token_shares(n_classes: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Zipf-Mandelbrot shares (exponent 1, shift 2.7) that tokens of timed layers are drawn from."""
    weights = 1.0 / (np.arange(1, n_classes + 1) + 2.7)
    return weights / weights.sum()  # type: ignore[no-any-return]


def draw_targets(shares: np.ndarray[Any, Any], batch: int, seed: int) -> Tensor:
    """(B,) ranks such that each cluster gets its share of the batch, as nearly as whole tokens allow.

    Drawn by strata: one token in each B-th of the mass. A timing then tells of the layer and not of the luck of one
    batch; the spread of a real batch is that of a binomial draw.
    """
    rng = np.random.default_rng(seed)
    u = (np.arange(batch) + rng.random(batch)) / batch
    ranks = np.searchsorted(shares.cumsum(), u * (1 - 1e-12), side="right").clip(max=len(shares) - 1)
    return torch.from_numpy(rng.permutation(ranks))


def layer_steps(
    shape: Shape,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    *,
    sets: int = 2,
    make: Callable[[Shape], torch.nn.Module] | None = None,
    shares: np.ndarray[Any, Any] | None = None,
) -> list[Step]:
    """Training steps (forward and backward) of a layer, one per input set. Gradients are freed before each.

    ``make`` builds the layer (ours by default); called with (input, target) it should return ``.loss``. ``shares`` (V,)
    of the words, by rank; :func:`token_shares` by default.
    """
    with torch.device(device):  # a GPU draws millions of weights in no time
        layer = ours(shape) if make is None else make(shape)
    layer = layer.to(device=device, dtype=dtype)
    shares = token_shares(shape.n_classes) if shares is None else shares
    steps: list[Step] = []
    for seed in range(sets):
        x = torch.randn(shape.batch, shape.in_features, dtype=dtype).to(device).requires_grad_()
        target = draw_targets(shares, shape.batch, seed).to(device)

        def step(x: Tensor = x, target: Tensor = target) -> None:
            x.grad = None
            layer.zero_grad(set_to_none=True)
            layer(x, target).loss.backward()

        steps.append(step)
    return steps


def captured_steps(shape: Shape, device: str | torch.device, dtype: torch.dtype, *, sets: int = 2) -> list[Step]:
    """Training steps of our layer replayed from one CUDA graph, without Python; targets are copied into it."""
    layer = ours(shape).to(device=device, dtype=dtype)
    layer.reads_host = False  # type: ignore[assignment]
    x = torch.randn(shape.batch, shape.in_features, dtype=dtype).to(device).requires_grad_()
    shares = token_shares(shape.n_classes)
    targets = [draw_targets(shares, shape.batch, number).to(device) for number in range(sets)]
    static = targets[0].clone()
    leaves = [x, *layer.parameters()]

    def once() -> Any:
        return torch.autograd.grad(layer(x, static).loss, leaves)

    graph, kept = _captured(once)

    def step(target: Any, kept: Any = (kept, once)) -> None:  # weights and input of `once` are not the graph's own
        static.copy_(target)
        graph.replay()

    return [lambda target=target: step(target) for target in targets]  # type: ignore[misc]


def replayed(step: Step) -> Step:
    """A step as a CUDA graph replays it: its kernels one after the other, without Python and launches."""
    graph, kept = _captured(step)

    def replay(alive: Any = (kept, step)) -> None:  # its inputs are not the graph's own
        graph.replay()

    return replay


def _captured(step: Step) -> tuple[torch.cuda.CUDAGraph, Any]:
    """A CUDA graph of a step, and what the step returned into it."""
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):  # kernels are compiled and loaded outside the graph
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kept = step()
    return graph, kept


def ours(shape: Shape) -> torch.nn.Module:
    """Our layer of this shape."""
    return AdaptiveSoftmax(shape.in_features, shape.n_classes, shape.cutoffs, widths=shape.widths)


def stock(shape: Shape) -> torch.nn.Module:
    """PyTorch's layer of this shape; its widths are d // 4**i."""
    return torch.nn.AdaptiveLogSoftmaxWithLoss(shape.in_features, shape.n_classes, list(shape.cutoffs))


class FullSoftmax(torch.nn.Module):
    """Linear layer and cross entropy over all words, as one writes it by hand."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(shape.in_features, shape.n_classes, bias=False)

    def forward(self, x: Tensor, target: Tensor) -> Any:
        """Returns an object with ``.loss``."""
        return _Loss(F.cross_entropy(self.linear(x), target))


@torch.no_grad()
def decode_steps(
    shape: Shape, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32, *, k: int = 10
) -> tuple[Shape, list[Step]]:
    """The ``k`` best words of a batch, from a layer as it is initialised; the shape tells what tails are opened."""
    layer: Any = ours(shape).to(device=device, dtype=dtype)
    x = torch.randn(shape.batch, shape.in_features, dtype=dtype).to(device)
    weights = (layer.head.weight, None), layer.cutoffs, [decoding.Tail(p.weight, o.weight) for p, o in layer.tail]
    if not is_searched(shape.n_classes, shape.batch, x.device.type == "cuda"):
        opened = [1.0] * len(shape.cutoffs)  # all words are computed
    else:
        opened = decoding.topk_ranks(x, *weights, k)[2].double().mean(0).tolist()
    return shape._replace(opened=tuple(opened)), [lambda: layer.topk(x, k)]


def full_decode_step(x: Tensor, weight: Tensor, k: int = 10) -> Step:
    """The ``k`` best words of a full softmax, as one writes it by hand; ``x`` (n, d), ``weight`` (V, d)."""
    x, weight = x.detach(), weight.detach()

    def decode() -> None:
        with torch.no_grad():
            F.linear(x, weight).log_softmax(1).topk(k)

    return decode


class _Loss(NamedTuple):
    loss: Tensor


def parts_step(shape: Shape, pool: Pool) -> Step:
    """All parts of a layer's training step, one after the other, each on inputs of its own: the sort, the products with
    softmax and gradients, the projections."""
    (n, k, d), *tails = shape.products()
    steps = [rows_step(pool, shape.batch, d), product_step(pool, round(n), k, d, "train")]
    for (n, width, d), (_, size, _) in zip(tails[::2], tails[1::2], strict=True):
        if rows := round(n):
            steps += [projection_step(pool, rows, d, width, "train"), product_step(pool, rows, size, width, "train")]

    def step() -> None:
        for part in steps:
            part()

    return step


def bare_step(n: int, k: int, d: int, device: str | torch.device, dtype: torch.dtype) -> Step:
    """One (n x d) by (d x k) product and nothing else, into a buffer that is there."""
    x, weight = (torch.rand(rows, d, device=device, dtype=dtype) for rows in (n, k))
    out = torch.empty(n, k, device=device, dtype=dtype)
    return lambda: torch.mm(x, weight.t(), out=out)


def bare_products(shape: Shape, rows: Sequence[float], device: str | torch.device, dtype: torch.dtype) -> Step:
    """The matrix products that a training step cannot avoid, into buffers that are there: three for the head, and for
    each tail three for its projection and three for its output. ``rows``: tokens of each tail."""
    operands = []
    for n, k, d in shape.products(rows):
        sides = ((round(n), d), (k, d), (round(n), k))
        x, weight, y = (torch.randn(side, dtype=dtype).to(device) for side in sides)
        operands.append((x, weight, y, torch.empty_like(y), torch.empty_like(x), torch.empty_like(weight)))

    def step() -> None:
        for x, weight, y, out, dx, dweight in operands:
            torch.mm(x, weight.t(), out=out)
            torch.mm(y, weight, out=dx)
            torch.mm(y.t(), x, out=dweight)

    return step
