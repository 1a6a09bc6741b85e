"""`bench margins`: classifiers with and without margins on scikit-learn's digits, and the control beside each claim."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..text import Row, Say, table
from .common import provenance

if TYPE_CHECKING:
    from torch import Tensor

#: What is compared: a name of `adasoft.margins.CLASSIFIERS` and its settings. Each margin has its control above it, the
#: normalised softmax of the same scale.
SETTINGS: tuple[tuple[str, Row], ...] = (
    ("softmax", {}),
    ("normalised", {"scale": 16.0}),
    ("CosFace", {"scale": 16.0, "margin": 0.35}),
    ("ArcFace", {"scale": 16.0, "margin": 0.5}),
    ("HASeparator", {"scale": 16.0, "margin": 0.4}),
    ("SphereFace", {"margin": 2}),
    ("normalised", {"scale": 1.0}),
    ("HASeparator", {"scale": 1.0, "margin": 0.1}),
    ("HASeparator", {"scale": 1.0, "margin": 0.4}),
    ("HASeparator", {"scale": 1.0, "margin": 0.7}),
)
#: Digits that a model of the retrieval experiment never sees in training.
HELD_OUT = (7, 8, 9)
_COLUMNS = ["classifier", "scale", "margin", "accuracy", "sd", "angle gap", "gap's sd", "retrieval", "retrieval's sd"]


def bench_margins(*, seeds: int = 8, steps: int = 600, train: int = 600, say: Say = print) -> Row:
    """Accuracy, angles and retrieval of every classifier in `SETTINGS`, means over ``seeds`` splits.

    A network 64-128-16 (ReLU) on 8 x 8 images of digits; ``train`` images drawn for training, the rest for the test;
    Adam, rate 0.003, ``steps`` batches of 64. *Angle gap*: Wasserstein distance in degrees between the angles of pairs
    of one digit and of two, among test images. *Retrieval*: trained on seven digits; of the images of the other three,
    how many have a nearest neighbour of their own digit.

    Raises ImportError without scikit-learn.
    """
    import torch
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    x = torch.tensor(images / 16.0, dtype=torch.float32)
    y = torch.tensor(labels)
    rows: list[Row] = []
    for name, how in SETTINGS:
        found = [_measured(x, y, name, how, seed, steps, train) for seed in range(seeds)]
        rows.append({"classifier": name, **how, **_summary(found), "seeds": found})
        say(_line(rows[-1]))
    say(table(rows, _COLUMNS))
    held = ", ".join(str(digit) for digit in HELD_OUT)
    say(f"means of {seeds} splits and their standard deviations; retrieval among the digits {held}, never trained on")
    settings = {"seeds": seeds, "steps": steps, "train": train, "held out": list(HELD_OUT)}
    return {"bench": "margins", **provenance("cpu"), "settings": settings, "rows": rows}


def _line(row: Row) -> str:
    settings = ", ".join(f"{key} {row[key]:g}" for key in ("scale", "margin") if key in row)
    return f"{row['classifier']}{f' ({settings})' if settings else ''}: accuracy {row['accuracy']:.1%}"


def _summary(found: Sequence[Row]) -> Row:
    out: Row = {}
    for key, spread in (("accuracy", "sd"), ("angle gap", "gap's sd"), ("retrieval", "retrieval's sd")):
        values = [row[key] for row in found]
        out |= {key: float(np.mean(values)), spread: float(np.std(values, ddof=1)) if len(values) > 1 else 0.0}
    return out


def _measured(x: Tensor, y: Tensor, name: str, how: Row, seed: int, steps: int, train: int) -> Row:
    import torch

    from ..margins import angle_gap, nearest_of_same_class

    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    own, others = order[:train], order[train:]
    body, classifier = trained(x[own], y[own], name, how, seed, steps)
    seen = ~torch.isin(y, torch.tensor(HELD_OUT))
    few = own[seen[own]]
    narrow, _ = trained(x[few], y[few], name, how, seed, steps)
    with torch.no_grad():
        test, unseen = body(x[others]), narrow(x[~seen])
        right = (classifier.predict(test) == y[others]).double().mean()
    return {
        "accuracy": float(right),
        "angle gap": angle_gap(test, y[others]),
        "retrieval": nearest_of_same_class(unseen, y[~seen]),
    }


def trained(x: Tensor, y: Tensor, name: str, how: Row, seed: int, steps: int, *, features: int = 16) -> tuple[Any, Any]:
    """A network with embeddings of ``features`` numbers and its classifier, trained on images x (N, 64), labels y."""
    import torch
    from torch import nn

    from ..margins import CLASSIFIERS

    draw = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        body = nn.Sequential(nn.Linear(x.shape[1], 128), nn.ReLU(), nn.Linear(128, features))
        classifier = CLASSIFIERS[name](features, int(y.max()) + 1, **how)
    optimizer = torch.optim.Adam([*body.parameters(), *classifier.parameters()], 3e-3)
    for _ in range(steps):
        batch = torch.randint(len(x), (64,), generator=draw)
        optimizer.zero_grad()
        classifier(body(x[batch]), y[batch]).backward()
        optimizer.step()
    return body, classifier
