"""What is stored of the lesson on alternatives: recorded cases and trainings, comparisons on trained models, claims."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...files import read_json
from ...results.folders import results_folder
from ..kit import forms
from ..kit.plots import percent, seconds_text
from ..time_model.timings import Spread
from . import cases as sc
from .small_models import small_models

FILE = "alternatives-cpu.json"
#: Command that makes the comparison of trained models.
COMPARE = "python -m adasoft bench decode --run europarl-en --tokens 2000000 --hidden 256 --epochs 2"
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


def _machine(found: Mapping[str, Any]) -> str:
    threads = int(found["threads"])
    return f"{found['device']['name']}, {threads} thread{'s' * (threads > 1)}"


def recorded_cases(folder: Path | None = None) -> list[RecordedCase]:
    """The recorded cases; none if there is no record."""
    found = record(folder)
    out = []
    for case in found.get("cases", ()):
        sizes, date = case["sizes"], str(found["date"])[:10]
        label = f"recorded: {_machine(found)}, {date}: {_case_text(sizes)}, d = {sizes['d']}"
        provenance = (
            f"Recorded on {date} on another machine ({_machine(found)}, torch {found['torch']}) by "
            f"`{found['command']}`; file data/results/{FILE}."
        )
        times = {name: Spread(float(v[0]), float(v[1]), float(v[2]), int(v[3])) for name, v in case["times"].items()}
        out.append(RecordedCase(label, sizes, times, case["known"], provenance))
    return out


def _case_text(sizes: Mapping[str, Any]) -> str:
    return f"{sizes['task']}, V = {sizes['V']:,}, {_rows(sizes['rows'])}"


def which_when(folder: Path | None = None) -> list[list[str]]:
    """Rows of the table "which when", from the recorded cases: case, fastest, next, where from.

    A second row for a case, of the exact methods only, where that changes the first two.
    """
    rows = []
    for one in recorded_cases(folder):
        exact = sc.WHO[one.sizes["task"]][0]
        before: list[str] = []
        for names, text in ((tuple(one.times), "any"), (exact, "exact only")):
            times = {name: one.times[name] for name in names if name in one.times}
            if len(times) < 2:
                continue
            first, second, *_ = sorted(times, key=lambda n: times[n].median)
            if [first, second] == before:
                continue
            before = [first, second]
            level = times[second].q1 <= times[first].q3
            rows.append(
                [
                    f"{_case_text(one.sizes)}; {text}",
                    f"{first}, {_faster(one.times, first)}",
                    f"{second}, {_faster(one.times, second)}{' (level)' if level else ''}",
                    one.label.split(":")[1].strip(),
                ]
            )
    if not rows:
        return [["nothing recorded yet", "measure your own case above", "", ""]]
    rows.append(["on a GPU", "choose it under “device” above and measure: nothing is recorded here", "", ""])
    return rows


def _faster(times: Mapping[str, Spread], name: str) -> str:
    if name == sc.FULL or sc.FULL not in times:
        return seconds_text(times[name].median)
    pace = _pace(times[sc.FULL].median / times[name].median)
    return f"{seconds_text(times[name].median)}, {pace} than the full softmax"


def _pace(ratio: float) -> str:
    if abs(ratio - 1) < 0.1:
        return "no faster and no slower"
    return f"{ratio:.2g} times faster" if ratio > 1 else f"{1 / ratio:.2g} times SLOWER"


def _compared(folder: Path | None = None) -> list[tuple[Path, Any]]:
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


def stored_comparisons(folder: Path | None = None) -> tuple[list[list[str]], str]:
    """The comparison of trained models (`adasoft.bench.compare`) as rows with a head, and a sentence about it.

    Raises ValueError for a file that is not such a comparison.
    """
    head = [
        "model and method",
        "agrees 1/5/10, %",
        "right 1/5/10, %",
        "perplexity",
        "arithmetic",
        "256 rows",
        "1 row",
        "MiB",
    ]
    rows, said = [], []
    for path, found in _compared(folder):
        name = f"{found['corpus']['name']}, V = {found['corpus']['V']:,}"
        for r in found["rows"]:
            rows.append(
                [
                    f"{name}: {r['what']}",
                    "/".join(f"{100 * r[f'agree {k}']:.0f}" for k in (1, 5, 10)),
                    "/".join(f"{100 * r[f'right {k}']:.0f}" for k in (1, 5, 10)),
                    _perplexity(r),
                    percent(r["arithmetic"]),
                    seconds_text(r["ms, 256"] / 1e3),
                    seconds_text(r["ms, 1"] / 1e3),
                    f"{r['MiB']:,.0f}",
                ]
            )
        said.append(
            f"{name}: {found['places']:,} places of the test part, so some percent are noise; "
            f"{found['device']['name']}, {str(found['date'])[:10]}, file data/results/{path.name}."
        )
    if not rows:
        return [], (
            f"A comparison on larger trained models is not stored yet; `{COMPARE}` makes it: agreement, accuracy, "
            "perplexity, arithmetic, time and memory of each method."
        )
    return [head, *rows], (
        "On larger trained models. The adaptive ones were trained by themselves: agreement compares two models there. "
        + " ".join(said)
    )


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
    for _, found in _compared(folder):
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


def _larger_claims(folder: Path | None = None) -> tuple[str, str]:
    """What the comparisons of larger models say of SVD-softmax at its claim's size, and of experts."""
    svd, sparse = "", ""
    for _, found in _compared(folder):
        sizes = found.get("svd claim", {}).get("rows", ())
        parts = [f"{_rows(r['rows'])}, {percent(r['arithmetic'])} of it: {_pace(r['faster'])}" for r in sizes]
        svd += f" With d = {sizes[0]['d']}, {found['threads']} threads: {'; '.join(parts)}." if parts else ""
        full = found["rows"][0]
        experts = [
            f"{r['what'].removeprefix('doubly sparse, ')}: {1 / r['arithmetic']:.2g} times, 256 rows "
            f"{_pace(r['faster, 256'])}, next word among its ten best {percent(r['right 10'])}, "
            f"the full softmax's {percent(full['right 10'])}"
            for r in found["rows"]
            if r["what"].startswith("doubly sparse")
        ]
        name = f" On {found['corpus']['name']}, V = {found['corpus']['V']:,}: "
        sparse += f"{name}{'; '.join(experts)}." if experts else ""
    return svd, sparse


def claims(folder: Path | None = None) -> list[list[str]]:
    """What the papers claim beside what is stored here: two columns."""
    found, models = record(folder), small_models()
    claim = found.get("claim", {})
    if claim:
        parts = [
            f"{_rows(n)}: {_pace(t['full'] / t['svd'])}"
            for n, t in sorted((int(n), t) for n, t in claim["times"].items())
        ]
        svd = (
            f"V = {claim['V']:,}, d = {claim['d']}, {percent(claim['utilisation'])} of the arithmetic, on a CPU "
            f"({_machine(found)}): {'; '.join(parts)}. The weights are random, with the spectrum of the small model."
        )
    else:
        svd = "nothing recorded yet"
    experts = found.get("experts", {})
    groups = (
        f"{experts['exact']} of 10 groups are exactly one expert's words, with {experts['sizes']['stages'][-1]} "
        f"experts and threshold {experts['sizes']['threshold']:g}."
        if experts
        else "nothing recorded yet"
    )
    best = min(models.experts, key=lambda e: float(e.found["utilisation"]))
    sparse = "; ".join(
        f"{e.label}: {1 / e.found['utilisation']:.2g} times, finds {percent(e.found['agree 10'])} of the ten best"
        for e in ([models.experts[0], best] if best is not models.experts[0] else [best])
    )
    larger_svd, larger_sparse = _larger_claims(folder)
    svd, sparse = svd + larger_svd, f"on the small model, arithmetic: {sparse}.{larger_sparse}"
    cases = [c for c in recorded_cases(folder) if c.sizes["task"] == sc.TRAIN and sc.ADAPTIVE in c.times]
    training = "; ".join(
        f"V = {c.sizes['V']:,}: {c.times[sc.FULL].median / c.times[sc.ADAPTIVE].median:.2g} times" for c in cases
    )
    opened = 100 * float(models.adaptive.opened(models.adaptive_states, 10).float().mean())
    return [
        ["SVD-softmax: over 3 times faster with about 20 % of the arithmetic, 800,000 words, GPU", svd],
        ["doubly sparse: learns a two-level hierarchy on 10 x 10 classes", groups],
        ["doubly sparse: 16 times (PTB) and 24 times (WikiText-2) less arithmetic, 64 experts; not checked", sparse],
        [
            "adaptive softmax: 2.8 times faster training on Text8 (83 against 30 minutes, all of the model)",
            f"the layer's training step alone, recorded: {training or 'nothing yet'}.",
        ],
        [
            "exact top-k: our claim, not a paper's: the same words, without the tails that cannot hold any of them",
            f"small model, ten best words: {opened:.3g} % of the pairs opened.",
        ],
    ]
