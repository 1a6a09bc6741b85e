"""What is stored of the lesson on alternatives: recorded cases and trainings, and comparisons of trained models."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...files import read_json
from ...results.folders import results_folder
from ..kit import forms
from ..kit.plots import percent
from ..time_model.timings import Spread
from . import cases as sc

FILE = "alternatives-cpu.json"
#: What each row of it tells.
COMPARED = (
    "what",
    "perplexity",
    "arithmetic",
    "MiB",
    *(f"{a} {k}" for a in ("agree", "right") for k in (1, 5, 10)),
    *(f"{a}, {rows}" for a in ("ms", "faster") for rows in (256, 1)),
)

_FORM = forms.fields(
    device=forms.fields(name=forms.text),
    threads=forms.number(1, whole=True),
    date=forms.text,
    torch=forms.text,
    command=forms.text,
    cases=forms.each(
        forms.fields(
            sizes=forms.fields(
                V=forms.number(2, whole=True),
                d=forms.number(1, whole=True),
                task=forms.text,
                rows=forms.number(1, whole=True),
            ),
            times=forms.table(forms.SPREAD),
            known=forms.fields(opened=forms.optional(forms.SHARE), arithmetic=forms.table(forms.SECONDS)),
        )
    ),
)


@dataclass(frozen=True)
class RecordedCase:
    """One case timed on another machine."""

    label: str
    sizes: Mapping[str, Any]
    times: Mapping[str, Spread]
    known: Mapping[str, Any]
    provenance: str


def record(folder: Path | None = None) -> dict[str, Any]:
    """The record; empty if there is none. Raises ValueError for a file that is not such a record."""
    path = (folder or results_folder()) / FILE
    if not path.exists():
        return {}
    try:
        found = read_json(path)
        if found["alternatives"] != "07":
            raise ValueError(f"alternatives is {found['alternatives']!r}")
        for key in ("device", "threads", "date", "torch", "command", "experts", "cases", "claim"):
            found[key]
        _FORM(found, "it")
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ValueError(f"{path.name} is not a record of this lesson: {type(error).__name__} {error}") from error
    return found  # type: ignore[no-any-return]


def machine_text(found: Mapping[str, Any]) -> str:
    """The machine of a record and its threads."""
    threads = int(found["threads"])
    return f"{found['device']['name']}, {threads} thread{'s' * (threads > 1)}"


def recorded_cases(folder: Path | None = None) -> list[RecordedCase]:
    """The recorded cases; none if there is no record."""
    found = record(folder)
    out = []
    for case in found.get("cases", ()):
        sizes, date = case["sizes"], str(found["date"])[:10]
        label = f"recorded: {machine_text(found)}, {date}: {_case_text(sizes)}, d = {sizes['d']}"
        provenance = f"Recorded on {date} on another machine ({machine_text(found)}, torch {found['torch']})."
        times = {name: Spread(float(v[0]), float(v[1]), float(v[2]), int(v[3])) for name, v in case["times"].items()}
        out.append(RecordedCase(label, sizes, times, case["known"], provenance))
    return out


def _case_text(sizes: Mapping[str, Any]) -> str:
    rows = int(sizes["rows"])
    task = sc.TRAIN if sizes["task"] == sc.TRAIN else "ten best words"
    return f"{task}, V = {sizes['V']:,}, {rows} hidden state{'s' * (rows > 1)}"


def comparisons(folder: Path | None = None) -> list[tuple[Path, Any]]:
    """The stored comparisons of larger models. Raises ValueError for a file that is not one."""
    out = []
    for path in sorted((folder or results_folder()).glob("bench-compare-*.json")):
        try:
            found = read_json(path)
            for key in ("corpus", "device", "date", "threads", "places", "rows"):
                found[key]
            for row, key in itertools.product(found["rows"], COMPARED):
                row[key]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path.name} is not a comparison: {type(error).__name__} {error}") from error
        out.append((path, found))
    return out


def markdown(folder: Path | None = None) -> str:
    """The tables "Which softmax when" of data/results/README.md: how many times faster than the full softmax."""
    lines: list[str] = []
    for task, title in ((sc.TRAIN, "training step"), (sc.BEST, "ten best words")):
        cases = [c for c in recorded_cases(folder) if c.sizes["task"] == task]
        names = [n for group in sc.WHO[task] for n in group if n != sc.FULL and any(n in c.times for c in cases)]
        lines += ["", _line([title, *names]), _line(["---"] * (len(names) + 1))] if cases else []
        for case in cases:
            paces = {n: case.times[sc.FULL].median / case.times[n].median for n in names if n in case.times}
            best = max([*paces.values(), 1.0])
            text = [f"{paces[n]:.2g}" if n in paces else "-" for n in names]
            text = [f"**{t}**" if paces.get(n) == best else t for n, t in zip(names, text, strict=True)]
            lines.append(_line([f"V = {case.sizes['V']:,}, {_rows(case.sizes['rows'])}", *text]))
    for _, found in comparisons(folder):
        heads = [
            "trained on " + f"{found['corpus']['name']}, V = {found['corpus']['V']:,}",
            "finds of the ten best",
            "right in ten",
            "perplexity",
            "arithmetic",
            "256 rows",
            "1 row",
            "MiB",
        ]
        lines += ["", _line(heads), _line(["---"] * len(heads))]
        for r in found["rows"]:
            shares = [percent(r[key]) for key in ("agree 10", "right 10")]
            rest = [f"{r['faster, 256']:.2g}", f"{r['faster, 1']:.2g}", f"{r['MiB']:.0f}"]
            lines.append(_line([r["what"], *shares, _perplexity(r), percent(r["arithmetic"]), *rest]))
        sizes = found.get("svd claim", {}).get("rows", ())
        lines += ["", _line(["SVD-softmax, large", "arithmetic", "times faster"]), _line(["---"] * 3)] if sizes else []
        lines += [
            _line(
                [
                    f"V = {r['V']:,}, d = {r['d']}, W = {r['W']}, N = {r['N']:,}, {_rows(r['rows'])}",
                    percent(r["arithmetic"]),
                    f"{r['faster']:.2g}",
                ]
            )
            for r in sizes
        ]
    return "\n".join(lines).strip()


def _perplexity(row: Mapping[str, Any]) -> str:
    """Infinite where some words have the probability 0."""
    return "infinite" if row["perplexity"] is None else f"{row['perplexity']:,.1f}"


def _rows(n: int) -> str:
    return f"{n} row{'s' * (n > 1)}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
