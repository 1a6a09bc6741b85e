"""What the lesson on the layer checks: gradients against finite differences, PyTorch's layer beside ours,
and the numbers that two of its questions ask for."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...layer import AdaptiveSoftmax
from ..kit import parts
from ..kit.costs import COUNTED_MULTIPLICATIONS
from .explorer import LayerExplorer, one_thread


@dataclass(frozen=True)
class GradientCheck:
    """One weight's gradient by ``backward()`` and by central differences, fp64, on a batch of 24 tokens."""

    analytic: float
    numeric: float
    error: float
    """Relative difference of the two; 0 if both are 0."""
    curve: list[tuple[float, float]]
    """(step ε, relative difference) for steps of 1, 0.1 ... 1e-12."""


@dataclass(frozen=True)
class GradientRow:
    """One parameter of the layer after one batch."""

    name: str
    tokens: int
    """Tokens of the batch that use it."""
    ours: float
    """Norm of its gradient."""
    stock: float | None
    """The same in PyTorch's layer; None where it leaves ``.grad`` unset."""


#: Of the weight first shown: column 0 meets a constant, whose derivative would be the same for many a batch.
FIRST_COLUMN = 1


def gradient_batch(explorer: LayerExplorer, skip_last: bool, n: int = 24) -> tuple[Tensor, Tensor]:
    """``n`` drawn tokens with one of each cluster at least, as far as there are any; or none of the last tail."""
    key = ("gradient batch", explorer.vocabulary, explorer.in_features)
    x, target = explorer._cached(key, lambda: explorer.drawn(4000, np.random.default_rng(3)))
    cluster = torch.bucketize(target, torch.tensor(explorer.cutoffs), right=True)
    last = len(explorer.cutoffs)
    if skip_last:
        kept = (cluster != last).nonzero().squeeze(1)[:n]
    else:
        first = [int(found[0]) for i in range(last + 1) if len(found := (cluster == i).nonzero())]
        kept = torch.tensor([*first, *(i for i in range(n) if i not in first)])[:n]
    return x[kept], target[kept]


def parameter_names(explorer: LayerExplorer) -> list[str]:
    """``head.weight``, ``tail.0.0.weight`` ..., as in the ``state_dict``."""
    return [name for name, _ in explorer.layer.named_parameters()]


@one_thread()
def gradient_check(
    explorer: LayerExplorer, name: str, row: int, column: int, log_step: float, skip_last: bool
) -> GradientCheck:
    """The gradient of the mean loss with respect to one weight, in two ways.

    ``row`` and ``column`` count from 0; the step is ε = 10**log_step. Raises ValueError for a name, row or column
    that the layer has not.
    """
    layer = deepcopy(explorer.layer)
    weights = dict(layer.named_parameters())
    if name not in weights:
        raise ValueError(f"no parameter {name!r}; there are {', '.join(weights)}")
    weight = weights[name]
    for what, value, size in (("row", row, weight.shape[0]), ("column", column, weight.shape[1])):
        if not 0 <= value < size:
            raise ValueError(f"{what} {value:,} is refused: {name} has {what}s 0 to {size - 1:,}")
    x, target = gradient_batch(explorer, skip_last)
    loss = layer(x, target).loss
    loss.backward()
    analytic = float(weight.grad[row, column])  # type: ignore[index]
    start = float(weight.detach()[row, column])

    @torch.no_grad()
    def moved(by: float) -> float:
        weight[row, column] = start + by
        return float(layer(x, target).loss)

    def difference(step: float) -> tuple[float, float]:
        # divided by the step that was really made: start + step is rounded
        numeric = (moved(step) - moved(-step)) / ((start + step) - (start - step))
        return numeric, abs(numeric - analytic) / max(abs(numeric), abs(analytic), 1e-300)

    numeric, error = difference(10.0**log_step)
    return GradientCheck(analytic, numeric, error, [(10.0**-i, difference(10.0**-i)[1]) for i in range(13)])


@lru_cache(maxsize=1)
def best_agreement() -> float:
    """Digits to which the best step's difference agrees with ``backward()``: a tenth is all that rounding lets one say.

    For the layer that the lesson starts with and the weight shown first, whatever the panel shows by now: what a guess
    is held against does not move.
    """
    first = LayerExplorer("en", cost=COUNTED_MULTIPLICATIONS)
    check = gradient_check(first, "head.weight", 0, FIRST_COLUMN, -5.0, False)
    return round(-math.log10(max(1e-17, min(error for _, error in check.curve))), 1)


@one_thread()
def gradient_table(explorer: LayerExplorer, skip_last: bool) -> list[GradientRow]:
    """Every parameter's gradient after one batch, ours and PyTorch's."""
    layer = deepcopy(explorer.layer)
    layer.zero_grad()
    stock = nn.AdaptiveLogSoftmaxWithLoss(layer.in_features, layer.n_classes, layer.cutoffs[:-1], div_value=1.0)
    # our widths need not be powers of one div_value, so its modules are replaced instead of loaded
    stock.head, stock.tail = deepcopy(layer.head), deepcopy(layer.tail)
    x, target = gradient_batch(explorer, skip_last)
    for module in (layer, stock):
        module(x, target).loss.backward()
    cluster = torch.bucketize(target, torch.tensor(explorer.cutoffs), right=True)
    theirs, rows = dict(stock.named_parameters()), []
    for name, ours in layer.named_parameters():
        tokens = len(target) if name.startswith("head") else int((cluster == int(name.split(".")[1]) + 1).sum())
        other = theirs[name].grad
        rows.append(
            GradientRow(
                name,
                tokens,
                float(ours.grad.norm()),  # type: ignore[union-attr]
                None if other is None else float(other.norm()),
            )
        )
    return rows


@one_thread()
def drop_in_table(explorer: LayerExplorer) -> list[tuple[str, str]]:
    """PyTorch's layer and ours with the same ``state_dict``, on 64 drawn tokens: what is compared, and how it ends."""
    stock, ours = _twins(explorer)
    x, target = _half(explorer)
    pairs = []
    for module in (stock, ours):
        module.zero_grad()
        pairs.append(module(x, target))
        pairs[-1].loss.backward()
    back = nn.AdaptiveLogSoftmaxWithLoss(*_sizes(explorer), div_value=2.0)
    grads = [
        _gap(a.grad, b.grad)
        for a, b in zip(stock.parameters(), ours.parameters(), strict=True)
        if a.grad is not None and b.grad is not None
    ]
    with torch.no_grad():
        logs, words = [[method(x) for method in (m.log_prob, m.predict)] for m in (stock, ours)], len(x)
    same = int((logs[0][1] == logs[1][1]).sum())
    return [
        ("keys of the state_dict", "the same" if list(stock.state_dict()) == list(ours.state_dict()) else "DIFFERENT"),
        ("theirs into ours, ours into theirs", _loaded(stock, ours, back)),
        ("loss, theirs", f"{float(pairs[0].loss.detach()):.7f}"),
        ("loss, ours", f"{float(pairs[1].loss.detach()):.7f}"),
        ("output, largest difference", _gap_text(_gap(pairs[0].output, pairs[1].output))),
        ("gradients, largest difference", _gap_text(max(grads))),
        ("log_prob, largest difference", _gap_text(_gap(logs[0][0], logs[1][0]))),
        ("predict, rows that agree", f"{same} of {words}"),
    ]


def _loaded(stock: nn.AdaptiveLogSoftmaxWithLoss, ours: AdaptiveSoftmax, back: nn.Module) -> str:
    found = [ours.load_state_dict(stock.state_dict()), back.load_state_dict(ours.stock_state_dict())]
    return "DIFFERENT KEYS" if any(keys for loaded in found for keys in loaded) else "both load"


def _sizes(explorer: LayerExplorer) -> tuple[int, int, list[int]]:
    if not explorer.cutoffs:
        raise ValueError("no cutoffs: PyTorch's layer and ours need at least one; set the number of cutoffs to 1")
    if explorer.in_features < 2 ** len(explorer.cutoffs):
        raise ValueError(
            f"d = {explorer.in_features} cannot be halved {len(explorer.cutoffs)} times: raise d or drop a cutoff"
        )
    return explorer.in_features, len(explorer.vocabulary), list(explorer.cutoffs)


def _twins(explorer: LayerExplorer) -> tuple[nn.AdaptiveLogSoftmaxWithLoss, AdaptiveSoftmax]:
    sizes = _sizes(explorer)

    def make() -> tuple[nn.AdaptiveLogSoftmaxWithLoss, AdaptiveSoftmax]:
        # div_value 2: with 4, a d of 32 would leave a third tail without any width
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            stock = nn.AdaptiveLogSoftmaxWithLoss(*sizes, div_value=2.0)
        ours = AdaptiveSoftmax(*sizes, div_value=2.0)
        ours.load_state_dict(stock.state_dict())
        return stock, ours

    return explorer._cached(("twins", sizes[:2], explorer.cutoffs), make)  # type: ignore[no-any-return]


def _half(explorer: LayerExplorer, n: int = 64) -> tuple[Tensor, Tensor]:
    x, target = explorer.drawn(n, np.random.default_rng(4))
    return x.float(), target


def _gap_text(gap: float) -> str:
    return f"{gap:.1e}" if gap else "0"


def _gap(a: Tensor, b: Tensor) -> float:
    return float((a - b).detach().abs().max())


def _sentences(explorer: LayerExplorer) -> tuple[Tensor, Tensor]:
    x, target = _half(explorer)
    return x.view(8, 8, -1), target.view(8, 8)


def _padded(explorer: LayerExplorer) -> tuple[Tensor, Tensor]:
    x, target = _half(explorer)
    target = target.clone()
    target[::5] = -100
    return x, target


def _autocast(layer: Any, explorer: LayerExplorer) -> Any:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return layer(*_half(explorer)).loss


#: What to give both layers -> (the call, in words of code; the call).
CASES: dict[str, tuple[str, Callable[[Any, LayerExplorer], Any]]] = {
    "a plain batch": ("layer(x, target).loss", lambda layer, e: layer(*_half(e)).loss),
    "sentences of words (three dimensions)": (
        "layer(x.view(8, 8, d), target.view(8, 8)).loss",
        lambda layer, e: layer(*_sentences(e)).loss,
    ),
    "padding (targets of -100)": (
        "target[::5] = -100; layer(x, target).loss",
        lambda layer, e: layer(*_padded(e)).loss,
    ),
    "autocast to bfloat16": ("with torch.autocast('cpu', torch.bfloat16): layer(x, target).loss", _autocast),
    "predict for sentences of words": (
        "layer.predict(x.view(8, 8, d))",
        lambda layer, e: layer.predict(_sentences(e)[0]),
    ),
    "the ten best words": ("layer.topk(x, 10).indices", lambda layer, e: layer.topk(_half(e)[0], 10).indices),
    "a div_value that leaves a tail no width": (
        "Layer(d, V, cutoffs, div_value=2 * d).tail[0][0].weight",
        lambda layer, e: type(layer)(*_sizes(e), div_value=2.0 * e.in_features).tail[0][0].weight,
    ),
}


#: The right shape in a case where both answer with one.
RIGHT = {"predict for sentences of words": "(8, 8)"}


@one_thread()
def drop_in_case(explorer: LayerExplorer, case: str) -> tuple[str, str]:
    """What PyTorch's layer and ours answer to one of `CASES`, run here and now: a value, a shape, or the error."""

    def answer(layer: Any) -> str:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a tail without width
                result = CASES[case][1](layer, explorer)
        except Exception as error:
            return f"{type(error).__name__}: {parts.one_line(error)}"
        return f"{float(result.detach()):.6f}" if result.dim() == 0 else f"a tensor of shape {tuple(result.shape)}"

    stock, ours = _twins(explorer)
    return answer(stock), answer(ours)


def drop_in_verdict(stock: str, ours: str, right: str = "") -> str:
    """Two answers of :func:`drop_in_case` in a sentence; ``right``: the right shape, where that can be said."""
    if ": " not in stock and ": " not in ours:
        if stock.startswith("a tensor") or ours.startswith("a tensor"):
            wrong = [who for who, said in (("PyTorch's", stock), ("ours", ours)) if right and right not in said]
            if wrong:
                return f"Both answer, and {' and '.join(wrong)} is wrong: what was given needs {right}."
            return "Both answer." if stock == ours else f"Both answer: {stock}; and ours, {ours}."
        same = math.isclose(float(stock), float(ours), rel_tol=1e-5)
        return "Both answer, the same to five digits or more." if same else "Both answer, and differ."
    return {
        (True, False): "PyTorch's layer refuses, ours answers.",
        (False, True): "PyTorch's layer answers, ours refuses and says why.",
        (True, True): "Both refuse.",
    }[": " in stock, ": " in ours]


def unskipped_percent(explorer: LayerExplorer, k: int) -> float:
    """Percentage of the (state, tail) pairs whose tail is not below the k-th best word (k of `TOP`).

    Raises ValueError if the layer is not trained: one that knows the counts says the same after every hidden state.
    """
    if not explorer.losses:
        raise ValueError("The layer is not trained for these cutoffs yet. Press Train above, then commit.")
    pairs = explorer.pairs()
    return 100 * float(pairs.bound[pairs.ks.index(k)])
