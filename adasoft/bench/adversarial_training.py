"""How `bench adversarial` trains: each way of drawing negatives alike, its rate chosen on the validation part."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..text import Row
from .adversarial_data import Clusters, Task

if TYPE_CHECKING:
    from torch import Tensor

#: Rows of a batch, and of those evaluated at once.
BATCH, _EVALUATED = 256, 1024
#: Learning rates of Adagrad and strengths of the regulariser to choose from; the strength is chosen second.
RATES, STRENGTHS = (0.003, 0.01, 0.03, 0.1), (1e-3, 1e-5)
SOFTMAX_RATES = (0.03, 0.1, 0.3)
#: What is compared, and the noise that each draws from.
METHODS: dict[str, str] = {
    "softmax": "",
    "uniform": "uniform",
    "frequency": "frequency",
    "NCE": "tree",
    "one-vs-each": "",
    "adversarial": "tree",
    "adversarial, narrow adaptive": "narrow adaptive",
}


class Noises(NamedTuple):
    """The noises of a task, fitted once, and what is known of each by name."""

    by_name: dict[str, Any]
    told: dict[str, Row]


def batches(n: int, draw: Any) -> Iterator[Tensor]:
    """The rows of an epoch."""
    import torch

    yield from torch.split(torch.randperm(n, generator=draw), BATCH)


def stepped(model: Any, optimizer: Any, x: Tensor, y: Tensor) -> None:
    """One step of training."""
    import torch

    optimizer.zero_grad()
    model(x, y).loss.backward()
    # said, or Adagrad warns of it
    with torch.sparse.check_sparse_tensor_invariants(enable=False):  # type: ignore[no-untyped-call]
        optimizer.step()


def made(method: str, d: int, n_classes: int, noises: dict[str, Any], strength: float, seed: int) -> Any:
    """A softmax of `METHODS`, before training."""
    import torch

    from ..adversarial import NCE, AdversarialSoftmax, OneVsEach
    from ..alternatives.full import FullSoftmax

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if method == "softmax":
            return FullSoftmax(d, n_classes, bias=True)
        how: dict[str, Any] = {"regulariser": strength, "sparse": True, "generator": torch.Generator()}
        how["generator"].manual_seed(seed)
        if method == "one-vs-each":
            return OneVsEach(d, n_classes, **how)
        kind = NCE if method == "NCE" else AdversarialSoftmax
        return kind(d, n_classes, noises[METHODS[method]], **how)


def evaluated(log_prob: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> Row:
    """Accuracy, and mean log-likelihood in nats."""
    import torch

    right, total = 0, 0.0
    with torch.no_grad():
        for rows, labels in zip(torch.split(x, _EVALUATED), torch.split(y, _EVALUATED), strict=True):
            found = log_prob(rows)
            right += int((found.argmax(1) == labels).sum())
            total += float(found.gather(1, labels.unsqueeze(1)).double().sum())
    return {"accuracy": right / len(x), "log-likelihood": total / len(x)}


def trained(
    task: Task, method: str, noises: dict[str, Any], rate: float, strength: float, epochs: int, seed: int
) -> tuple[Any, list[Row], float]:
    """A softmax trained for some epochs; test results after the first and the last, and CPU seconds per epoch."""
    import torch

    x, y = task.train
    model = made(method, x.shape[1], task.n_classes, noises, strength, seed)
    optimizer, draw = torch.optim.Adagrad(model.parameters(), rate), torch.Generator().manual_seed(seed)
    found, seconds = [], 0.0
    for epoch in range(1, epochs + 1):
        began = time.process_time()
        for rows in batches(len(x), draw):
            stepped(model.train(), optimizer, x[rows], y[rows])
        seconds += time.process_time() - began
        if epoch in (1, epochs):
            found.append({"epochs": epoch, **evaluated(model.eval().log_prob, *task.test)})
    return model.eval(), found, seconds / epochs


def noises_of(task: Task, *, epochs: int = 5, seed: int = 0) -> Noises:
    """All noises of a task, and what each is worth alone.

    The narrow adaptive softmax has as many numbers as the tree: as many features as the tree has components, behind
    a linear map, and words by frequency in a head of an eighth and two tails. It is trained for ``epochs``; its rate is
    chosen on the validation part. Both are of the same size; a draw from it takes more operations.
    """
    from ..adversarial import Frequency, Uniform, fit_tree

    x, y = task.train
    counts = y.bincount(minlength=task.n_classes)
    began = time.process_time()
    tree = fit_tree(x, y, task.n_classes)
    fitted = time.process_time() - began
    narrow, rate, spent = _narrow(task, counts.argsort(descending=True, stable=True), tree.n_components, epochs, seed)
    d, k, c = x.shape[1], tree.n_components, task.n_classes
    head, tail = narrow.softmax.head_size, max(len(part[1].weight) for part in narrow.softmax.tail)
    told: dict[str, Row] = {
        "tree": {
            "numbers": (d + 1) * k + (c - 1) * (k + 1),
            "operations of a draw": 2 * (d * k + tree.depth * k),
            "CPU seconds of the fit": fitted,
        },
        "narrow adaptive": {
            "numbers": sum(p.numel() for p in narrow.parameters()),
            "operations of a draw": 2 * (d * k + head * k + k * k + tail * k),
            "CPU seconds of the fit": spent,
            "epochs": epochs,
            "rate": rate,
        },
    }
    by_name = {"tree": tree, "narrow adaptive": narrow, "uniform": Uniform(c), "frequency": Frequency(counts)}
    for name, noise in by_name.items():
        told[name] = {**told.get(name, {}), **evaluated(noise.log_prob, *task.test)}
    return Noises(by_name, told)


def _narrow(task: Task, order: Tensor, k: int, epochs: int, seed: int) -> tuple[Any, float, float]:
    import torch

    from ..adversarial import Projected
    from ..layer import AdaptiveSoftmax

    x, y = task.train
    found = []
    for rate in SOFTMAX_RATES:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            cutoffs = [max(1, task.n_classes // 8), max(2, task.n_classes // 2)]
            layer = AdaptiveSoftmax(k, task.n_classes, cutoffs, widths=[k, k], order=order)
            noise = Projected(x.shape[1], layer)
        optimizer, draw = torch.optim.Adagrad(noise.parameters(), rate), torch.Generator().manual_seed(seed)
        began = time.process_time()
        for _ in range(epochs):
            for rows in batches(len(x), draw):
                stepped(noise, optimizer, x[rows], y[rows])
        spent = time.process_time() - began
        found.append((evaluated(noise.log_prob, *task.valid)["log-likelihood"], rate, noise, spent))
    _, rate, noise, spent = max(found, key=lambda one: one[:2])
    return noise, rate, spent


def chosen(task: Task, method: str, noises: dict[str, Any], epochs: int) -> Row:
    """Rate and strength of best accuracy on the validation part after some epochs, and all that was tried."""
    tried: list[Row] = []

    def tries(rates: Sequence[float], strengths: Sequence[float]) -> Row:
        for rate in rates:
            for strength in strengths:
                _, found, _ = trained(task._replace(test=task.valid), method, noises, rate, strength, epochs, seed=0)
                tried.append({"rate": rate, "strength": strength, **found[-1]})
        return max(tried, key=lambda one: one["accuracy"])

    if method == "softmax":
        best = tries(SOFTMAX_RATES, [0.0])
    else:
        best = tries(RATES, STRENGTHS[:1])
        best = tries([best["rate"]], STRENGTHS[1:])
    return {"rate": best["rate"], "strength": best["strength"], "tried": tried}


def contest(task: Task, noises: Noises, settings: dict[str, Row], epochs: int, seed: int) -> list[Row]:
    """Every method trained once with the settings chosen for it."""
    rows: list[Row] = []
    for method in METHODS:
        how = {key: settings[method][key] for key in ("rate", "strength")}
        model, found, seconds = trained(task, method, noises.by_name, **how, epochs=epochs, seed=seed)
        about = {"method": method, "seed": seed, **how, "CPU seconds per epoch": seconds}
        rows += [{**about, **one} for one in found]
        if method == "adversarial":
            rows[-1]["excess"] = float(model.excess(task.test[0]).abs().mean())
            raw = evaluated(lambda x, model=model: model.scores(x).log_softmax(1), *task.test)  # type: ignore[misc]
            rows.append({**about, "method": "adversarial, bias not removed", "epochs": epochs, **raw})
    return rows


# ---------------------------------------------------------------------- how many labels it takes


def swept(clusters: Clusters, seconds: float, rates: Sequence[float], seed: int = 0) -> list[Row]:
    """Softmax, uniform and adversarial negatives on clusters, each trained for as many CPU seconds, on fresh rows.

    *Regret*: mean of ``log p_data - log p`` of the label, in nats, on 2,000 test rows; 0 is the best that is possible.
    Each rate is tried on as many others and the best is told. Drawing rows does not count, nor does the fit of the
    tree to ten rows per label (20,000 at least), which is told.
    """
    import torch

    from ..adversarial import Uniform, fit_tree

    c, draw = clusters.n_classes, torch.Generator().manual_seed(seed + 1)
    valid, test = clusters.draw(2000, draw), clusters.draw(2000, draw)
    best_possible = evaluated(clusters.log_prob, *test)
    about = {"C": c, "best accuracy": best_possible["accuracy"]}

    def regret(log_prob: Callable[[Tensor], Tensor], part: tuple[Tensor, Tensor]) -> Row:
        found, truth = evaluated(log_prob, *part), evaluated(clusters.log_prob, *part)
        return {"regret": truth["log-likelihood"] - found["log-likelihood"], "accuracy": found["accuracy"]}

    began = time.process_time()
    tree = fit_tree(*clusters.draw(max(10 * c, 20_000), draw), c)
    fitted = time.process_time() - began
    noises = {"tree": tree, "uniform": Uniform(c)}
    rows: list[Row] = [{**about, "method": "tree alone", **regret(tree.log_prob, test), "CPU seconds": fitted}]
    for method in ("softmax", "uniform", "adversarial"):
        tried: list[tuple[float, Row]] = []
        for rate in rates:
            model = made(method, clusters.d, c, noises, 0.0, seed)
            optimizer, steps, spent = torch.optim.Adagrad(model.parameters(), rate), 0, 0.0
            while spent < seconds:
                some = [clusters.draw(BATCH, draw) for _ in range(10)]
                began = time.process_time()
                for x, y in some:
                    stepped(model.train(), optimizer, x, y)
                spent, steps = spent + time.process_time() - began, steps + len(some)
            model.eval()
            row = {**about, "method": method, "rate": rate, "steps": steps, "CPU seconds": spent}
            row["ms per step"] = 1e3 * spent / steps
            tried.append((regret(model.log_prob, valid)["regret"], {**row, **regret(model.log_prob, test)}))
        rows.append({**min(tried, key=lambda one: one[0])[1], "regrets by rate": [one for one, _ in tried]})
    return rows
