"""Training of doubly sparse softmax: load balance, group lassos, pruning, and cloning of experts in stages.

Liao et al. 2019 (arXiv 1901.10668), and their published code. :mod:`.doubly_sparse` has the softmax itself.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..checks import index, integer, not_negative
from ..files import DamagedFile, write_whole
from .doubly_sparse import DoublySparseSoftmax

#: A gate that gives one of several experts more than this share of the tokens has collapsed.
COLLAPSED = 0.95


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
        try:
            stages = tuple(integer("stages", k, 1) for k in self.stages)
        except TypeError:
            raise ValueError(f"stages should be numbers of experts, got {self.stages!r}") from None
        if not stages or any(b % a or a == b for a, b in itertools.pairwise(stages)):
            raise ValueError(f"stages should be numbers of experts, each a multiple of the last, got {stages}")
        # numbers of Python's own, whatever kind they came in: a checkpoint keeps them as text, seeds are made of it
        checked: dict[str, Any] = {"stages": stages, "seed": integer("seed", self.seed)}
        checked |= {name: integer(name, getattr(self, name), 1) for name in ("epochs", "batch")}
        numbers = "learning_rate", "balance", "lasso", "expert_lasso", "threshold", "exploration", "noise"
        for name in (*numbers, "prune_after"):
            given, value = getattr(self, name), not_negative(name, getattr(self, name))
            checked[name] = value if index(given) is None else int(value)
        for name, value in checked.items():
            object.__setattr__(self, name, value)


#: Of :class:`Settings`, for the layer of a language model: the lassos sum over all rows, so their factors are far below
#: those for 10 x 10 classes.
RETRAIN: dict[str, Any] = {
    "epochs": 6,
    "batch": 1000,
    "learning_rate": 0.01,
    "balance": 10.0,
    "lasso": 3e-4,
    "expert_lasso": 3e-3,
    "threshold": 0.1,
    "prune_after": 1,
}


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

    Raises ValueError: inputs, settings and softmax do not fit, or the checkpoint is of other settings or data, or
    damaged (a checksum tells), with its name.
    """
    save_every = integer("save_every", save_every, 1)
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
                    random = torch.Generator().manual_seed(seed_of(settings.seed, "split", stage))
                    softmax.split(copies, noise=settings.noise, generator=random, optimizer=optimizer)
                    history.events.append(Event(step, "split", f"experts cloned by {copies}: {softmax.n_experts}"))
                    picked = torch.zeros(softmax.n_experts, dtype=torch.long)
                if within == 0 or not len(order):
                    random = torch.Generator().manual_seed(seed_of(settings.seed, "order", epoch))
                    order = torch.randperm(n, generator=random, device="cpu").to(device)
                at = order[within * settings.batch : (within + 1) * settings.batch]
                # all chance hangs on the step's number, so a resumed training meets the same
                torch.manual_seed(seed_of(settings.seed, "step", step))
                fade = max(0.0, 1 - (step / per_epoch - stage * settings.epochs) / max(settings.prune_after, 1e-9))
                softmax.explore(settings.exploration * fade, seed_of(settings.seed, "gate", step))
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
    every = [v.detach() for v in (task, *penalties, total)]
    wide = torch.float32 if total.device.type == "mps" else torch.float64  # MPS has no fp64
    losses: list[float] = torch.stack([v.to(wide) for v in every]).tolist()
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
        note(
            "collapse",
            f"the gate gives expert {top} {shares[top]:.1%} of the tokens. A larger balance or revive() spreads them",
        )
    history.epochs.append(Epoch(step, softmax.sizes.tolist(), shares))


def _bar(total: int, done: int) -> Any:
    from tqdm.auto import tqdm

    return tqdm(total=total, initial=done, unit="batch")


def seed_of(*parts: Any) -> int:
    """A seed that depends on all ``parts`` and on nothing else."""
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
    tensors = {k: v.detach().contiguous() for k, v in tensors.items()}
    told_with = {"settings": told[0], "data": told[1], "notes": notes}
    told_with["sha256"] = _digest(tensors, told_with)
    write_whole(path, lambda part: save_file(tensors, part, told_with))


def _digest(tensors: dict[str, Tensor], notes: dict[str, str]) -> str:
    """SHA-256 over all that a checkpoint holds but the digest itself."""
    text = json.dumps({k: v for k, v in notes.items() if k != "sha256"}, sort_keys=True)
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        value = tensors[name].cpu().reshape(-1)
        digest.update(repr((name, tuple(tensors[name].shape), value.dtype)).encode())
        digest.update(value.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _load(
    path: Path,
    modules: dict[str, nn.Module],
    names: list[str],
    optimizer: torch.optim.Optimizer,
    history: History,
    told: tuple[str, str],
) -> Tensor:
    """Weights, optimiser and history from a checkpoint; returns the tokens that each expert got in this epoch."""
    from safetensors import SafetensorError, safe_open

    remedy = "delete it, and training begins at its start"
    try:
        with safe_open(path, "pt") as file:
            notes = file.metadata() or {}
            # copies: what is left mapped keeps Windows from replacing the file
            tensors = {k: file.get_tensor(k).clone() for k in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise DamagedFile(path, str(error), remedy) from error
    # those written before there was a digest have none
    if "sha256" in notes and notes["sha256"] != _digest(tensors, notes):
        raise DamagedFile(path, "what it holds does not fit its checksum", remedy)
    for key, own in zip(("settings", "data"), told, strict=True):
        if notes.get(key) != own:
            raise ValueError(f"checkpoint {path} is of other {key}: {notes.get(key)}, not {own}")
    absent = {"notes"} - set(notes) | {"steps", "picked"} - set(tensors)
    if absent:
        raise DamagedFile(path, f"{min(absent)} is not there", remedy)
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
