"""Recorded layers that train against each other in real time, for the first picture of lesson 04."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..kit.plots import seconds_text
from ..time_model.timings import percent_off
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
        "hint": "Type a guess, then press Start: this is the real speed of the recorded machine.",
        "why": _why(record),
        "runners": runners,
    }
    slowest = max(record.times[name].median for name in (FULL, OURS))
    return {"once": False, "guess": True, "replay": slowest, "source": record.provenance, "races": [race]}


def _why(record: Recorded) -> str:
    """The same as a ratio, and what the thin bars show."""
    full, ours = record.times[FULL].median, record.times[OURS].median
    text = f"One step takes {seconds_text(full)} against {seconds_text(ours)}: ours is {full / ours:.1f} times faster."
    if not {FULL, OURS} <= {*record.predicted}:
        return text
    off = [percent_off(record.predicted[name], record.times[name].median) for name in (OURS, FULL)]
    return f"{text} The thin bars are what the cost model predicts: {off[0]} for ours, {off[1]} for the full softmax."


def steps_done(record: Recorded) -> int:
    """Whole steps that our layer does while the full softmax does one."""
    return math.floor(record.times[FULL].median / record.times[OURS].median)
