"""What a run keeps in its checkpoints, every field checked before it is used, and weights and optimizer put back.

:mod:`adasoft.lm.checkpoint` is the file; here is what stands in it; :class:`adasoft.lm.run.Run` writes and resumes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..files import DamagedFile, entry
from .checkpoint import read_checkpoint as read_file
from .checkpoint import remedy_of
from .clock import PHASES
from .progress import Epoch, Position
from .settings import Settings

FORMAT, VERSION = "adasoft checkpoint", 2


class DoesNotFit(Exception):
    """What a checkpoint holds is not what this model has."""


def read_checkpoint(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What the checkpoint of a run says of itself, every field checked, and its tensors, on the CPU.

    Raises as :meth:`adasoft.lm.run.Run.resume`.
    """
    path = Path(path)
    about, tensors = read_file(path, FORMAT, VERSION)
    remedy = remedy_of(path)
    check = partial(entry, path=path, remedy=remedy)
    told = partial(check, about)

    try:
        Settings.read(told("settings", kind=dict))
    except DamagedFile:
        raise
    except (ValueError, TypeError) as error:
        raise DamagedFile(path, f"settings: {error}", remedy) from error
    for name in ("name", "digest"):
        told("corpus", name, kind=str)
    for name in ("cutoffs", "widths"):
        for i, number in enumerate(told("clusters", name, kind=list)):
            label = f"clusters.{name}[{i}]"
            check({label: number}, label, kind=int, least=1)
    told("clusters", "cost", kind=str)
    told("device", kind=str)
    told("processes", kind=int, least=1)
    told("has state", kind=bool)
    told("position", "epoch", kind=int, least=1)
    for name in ("window", "tokens"):
        told("position", name, kind=int, least=0)
    told("position", "seconds", kind=float, least=0)
    _check_names(about["position"], Position, "position", path, remedy)
    for i, epoch in enumerate(told("position", "epochs", kind=list)):
        label = f"position.epochs[{i}]"
        _check_names(check({label: epoch}, label, kind=dict), Epoch, label, path, remedy)
        for name in epoch:
            check({label: epoch}, label, name, kind=float, least=0)
    for phase in PHASES:
        told("parts", phase, kind=float, least=0)
    told("scaler", kind=dict)
    for name in about["scaler"]:
        told("scaler", name, kind=float)
    if "losses" not in tensors or tensors["losses"].dtype != torch.float64:
        raise DamagedFile(path, "losses should be a tensor of float64", remedy)
    return about, tensors


def _check_names(values: Mapping[str, Any], kind: type, label: str, path: Path, remedy: str) -> None:
    expected = [f.name for f in fields(kind)]
    if sorted(values) != sorted(expected):
        raise DamagedFile(path, f"{label} should hold {', '.join(expected)}, got {', '.join(values)[:100]}", remedy)


def position_of(about: Mapping[str, Any]) -> Position:
    """Where the run of a checkpoint stood."""
    values = about["position"]
    return Position(**{**values, "epochs": [Epoch(**epoch) for epoch in values["epochs"]]})


def check_shapes(what: str, stored: Mapping[Any, Tensor], expected: Mapping[Any, Tensor]) -> None:
    """Raises :class:`DoesNotFit` unless the tensors have the names, shapes and dtypes of those expected."""
    for key in expected.keys() | stored.keys():
        if key not in stored or key not in expected:
            raise DoesNotFit(f"{what}.{key} is {'too much' if key in stored else 'missing'}")
        if (stored[key].shape, stored[key].dtype) != (expected[key].shape, expected[key].dtype):
            wanted, got = ((tuple(t.shape), t.dtype) for t in (expected[key], stored[key]))
            raise DoesNotFit(f"{what}.{key} should be of shape and type {wanted}, got {got}")


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Weights and buffers as ``model.NAME``: tied ones have two names and one memory, and are kept once."""
    tensors: dict[str, Tensor] = {}
    for key, value in model.state_dict().items():
        if not any(value.data_ptr() == kept.data_ptr() and value.numel() for kept in tensors.values()):
            tensors[f"model.{key}"] = value
    return tensors


def load_model(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put back what :func:`model_tensors` gave. Raises :class:`DoesNotFit`."""
    weights = {key.removeprefix("model."): t for key, t in tensors.items() if key.startswith("model.")}
    own = model.state_dict()
    shared = own.keys() & weights.keys()
    check_shapes("model", {key: weights[key] for key in shared}, {key: own[key] for key in shared})
    missing, unexpected = model.load_state_dict(weights, strict=False)
    own = model.state_dict()
    loaded = {own[key].data_ptr() for key in shared}
    missing = [key for key in missing if own[key].data_ptr() not in loaded]  # tied weights have come by another name
    if missing or unexpected:
        raise DoesNotFit(f"lacks {missing}, has {unexpected} too much")


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What the optimizer keeps of each weight, as ``optimizer.NUMBER.NAME``."""
    kept = optimizer.state_dict()["state"]
    return {
        f"optimizer.{number}.{name}": torch.as_tensor(value)
        for number, values in kept.items()
        for name, value in values.items()
    }


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what :func:`optimizer_tensors` gave. Raises :class:`DoesNotFit`."""
    stored: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, number, name = key.split(".", 2)
            stored.setdefault(number, {})[name] = value
    if not stored:
        return
    parameters = {str(i): p for i, p in enumerate(p for group in optimizer.param_groups for p in group["params"])}
    names = {name for values in stored.values() for name in values}
    if stored.keys() != parameters.keys() or any(values.keys() != names for values in stored.values()):
        raise DoesNotFit(f"the optimizer's numbers are those of {len(stored)} weights, not {len(parameters)}")
    for number, values in stored.items():
        per_weight = {name: value for name, value in values.items() if value.dim()}  # the others count steps
        check_shapes(f"optimizer.{number}", per_weight, dict.fromkeys(per_weight, parameters[number]))
    by_number = {int(number): values for number, values in stored.items()}
    optimizer.load_state_dict({"state": by_number, "param_groups": optimizer.state_dict()["param_groups"]})
