"""Timings of layers that ship with the project, for readers without such a machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...cost import MeasuredCost
from ...files import read_json
from ...records import read_record, shipped_records
from ...results.folders import results_folder
from ..kit import forms
from ..time_model.timings import Spread
from .layers import FULL, OURS, STOCK, Array, LayerJob

#: The matrix products of our layer and nothing else. On a GPU, as PyTorch runs them at these very sizes: a layer that
#: pads its words to what the tensor cores like can be faster.
ALONE = "products alone"
#: Our layer's step replayed from a CUDA graph: nothing is launched one by one.
GRAPH = "ours, CUDA graph"
#: A full softmax for GPUs that keeps no logits in memory.
CUT = "full, Cut Cross-Entropy"
#: What a benchmark's rows are called here.
_CALLED = {
    "stock": STOCK,
    "ours": OURS,
    "full softmax": FULL,
    "bare products": ALONE,
    "full: plain": FULL,
    "full: Cut Cross-Entropy": CUT,
    "ours, CUDA graph": GRAPH,
}


_SIZE = forms.number(1, 10**9, whole=True)
_TIMED = forms.fields(
    what=forms.text, V=_SIZE, d=_SIZE, ms=forms.SECONDS, q1=forms.SECONDS, q3=forms.SECONDS, runs=_SIZE
)
_ROWS = forms.each(forms.both(_TIMED, forms.fields(B=_SIZE, cutoffs=forms.each(_SIZE))))


@dataclass(frozen=True)
class Recorded:
    """One set of layer timings that ships with the project."""

    label: str
    sizes: str
    n_classes: int
    times: dict[str, Spread]
    predicted: dict[str, float]
    """By a recorded cost model of the same device and number type; empty if there is none."""
    whose: str
    """The name of that cost model."""
    provenance: str
    device: str
    """``"cpu"`` or ``"cuda"``."""
    head: int = 0
    """Words in the head, its entries for the tails included."""

    @property
    def note(self) -> str:
        """What the rows mean that only records have."""
        if ALONE not in self.times:
            return ""
        if self.times[ALONE].median < self.times[OURS].median:
            return "“Products alone” are the matrix products of our layer and nothing else."
        graph = (
            " In a CUDA graph the whole step is launched at once, instead of kernel by kernel from Python."
            if GRAPH in self.times
            else ""
        )
        return (
            f"“Products alone” run at exactly these sizes: a head of {self.head:,} words, an odd number, which tensor "
            f"cores take slowly. Our layer pads it, so it can be faster than these products alone.{graph}"
        )


def recorded_layers(folder: Path | None = None) -> list[Recorded]:
    """The layer benchmarks in a folder (``data/results`` by default), one entry per size; none if there are none.

    Raises ValueError for a file that is no benchmark.
    """
    out: list[Recorded] = []
    models = [read_record(path) for path in shipped_records()]
    for path in sorted((folder or results_folder()).glob("bench-layer-*.json")):
        try:
            out += _layers_of(path, models)
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            raise ValueError(f"{path.name} is no layer benchmark: {type(error).__name__} {error}") from error
    return out


def _layers_of(path: Path, models: Sequence[MeasuredCost]) -> list[Recorded]:
    """What one file holds."""
    out = []
    found = read_json(path)
    device, date = found["device"]["name"], str(found["date"])[:10]
    _ROWS(found["rows"], "rows")
    groups: dict[Any, list[Any]] = {}
    for line in found["rows"]:
        groups.setdefault((line["V"], tuple(line["cutoffs"]), line["d"], line["B"]), []).append(line)
    # on a GPU: one size after the other, of each our layer's rows and those of full softmaxes
    cutoffs: tuple[int, ...] = ()
    for line in found.get("full", ()):
        cutoffs = tuple(line["cutoffs"]) if line.get("cutoffs") else cutoffs
        if isinstance(line["ms"], float):  # else the reason why there is no time
            _TIMED(line, "full")
            groups.setdefault((line["V"], cutoffs, line["d"], line["N"]), []).append(line)
    made_there = [(m.record or {}, m) for m in models]
    fits = [m for r, m in made_there if (r["device"]["name"], r["dtype"]) == (device, found["dtype"])]
    for (v, cutoffs, d, b), lines in groups.items():
        times = {
            _CALLED[line["what"]]: Spread(line["ms"] / 1e3, line["q1"] / 1e3, line["q3"] / 1e3, int(line["runs"]))
            for line in lines
            if line["what"] in _CALLED
        }
        widths = tuple(d // 4 ** (i + 1) for i in range(len(cutoffs)))
        layers = ((FULL, (), ()), (OURS, cutoffs, widths))
        predicted = LayerJob(v, d, b, layers, _zipf_mandelbrot(v)).seconds(fits[0]) if fits else {}
        threads = f", {found['threads']} threads" if found["device"]["type"] == "cpu" else ""
        label = f"recorded: {device}{threads}, {found['dtype']}, {date}, V = {v:,}"
        sizes = f"V = {v:,}, d = {d}, B = {b:,}, cutoffs {', '.join(f'{c:,}' for c in cutoffs)}"
        provenance = (
            f"Recorded on {date} on another machine ({device}{threads}, {found['dtype']}, torch {found['torch']})"
            f" by “python -m adasoft bench layer”; file data/results/{path.name}."
        )
        whose = f"the recorded cost model {fits[0].name}" if fits else "nowhere: there is no cost model of that device"
        kind = str(found["device"]["type"])
        head = cutoffs[0] + len(cutoffs) if cutoffs else v
        out.append(Recorded(label, sizes, v, times, predicted, whose, provenance, kind, head))
    return out


def _zipf_mandelbrot(n_classes: int) -> Array:
    # what `machine.token_shares` draws the tokens of that benchmark from; here without torch
    weights = 1.0 / (np.arange(1, n_classes + 1) + 2.7)
    return np.asarray(weights / weights.sum())
