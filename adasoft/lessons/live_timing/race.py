"""Recorded layers that train against each other in real time, for the first picture of lesson 04."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .layers import FULL, OURS
from .recorded import Recorded, recorded_layers

#: The words of the recorded benchmark that is raced.
WORDS = 44_000


def layer_race(records: Sequence[Recorded] | None = None) -> dict[str, Any]:
    """What `Race` shows in lesson 04. Raises LookupError without a record (by default those that ship)."""
    found = recorded_layers() if records is None else records
    record = next((one for one in found if one.n_classes == WORDS and one.device == "cpu"), None)
    if record is None:
        raise LookupError("there is no recorded benchmark of layers (data/results of a checkout has one)")
    runners = [
        {
            "name": title,
            "detail": said,
            "short": "",
            "seconds": record.times[name].median,
            "predicted": record.predicted.get(name),
            **({} if cluster is None else {"cluster": cluster}),
        }
        for name, title, said, cluster in (
            (FULL, "Full softmax", "scores all 44,000 words for every token", None),
            (OURS, "Our layer", "a head of 2,000 words and two tails", 0),
        )
    ]
    race = {
        "label": "layers",
        "ask": "How many training steps does our layer do while the full softmax does one?",
        "hint": "Press Start: this is the real speed of the recorded machine.",
        "why": "The thin bars are what the cost model predicts.",
        "runners": runners,
    }
    slowest = max(record.times[name].median for name in (FULL, OURS))
    return {"once": False, "replay": slowest, "source": record.provenance, "races": [race]}


def steps_done(record: Recorded) -> int:
    """Whole steps that our layer does while the full softmax does one."""
    return math.floor(record.times[FULL].median / record.times[OURS].median)
