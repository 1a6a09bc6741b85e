"""All methods on one bench: what ``static/comparison.js`` shows of the stored results, and a still of it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from ...files import read_json
from ...results.folders import results_folder
from ..kit.picker import COLORS
from ..kit.plots import FULL_COLOR, MEASURED, TEMPLATE, TEXT_COLOR
from . import cases as sc
from .stored import comparisons, machine_text, record, recorded_cases

FIND, TRAIN = "find the ten best words", "train"
#: Name -> (short label, shortest label, how it works in one line).
METHODS: dict[str, tuple[str, str, str]] = {
    "full softmax": ("full softmax", "full", "Scores every word with all of its numbers."),
    "SVD-softmax": (
        "SVD-softmax",
        "SVD",
        "Rotates the state, previews every word by its first d/8 columns, and completes the best V/32 words.",
    ),
    "SVD-softmax, chosen": (
        "SVD-softmax, chosen for 99 %",
        "SVD, 99 %",
        "The same with the cheapest W and N that found 99 % of the ten best words on other states.",
    ),
    "doubly sparse": ("doubly sparse", "sparse", "A gate picks one expert; only the words that it knows are scored."),
    "adaptive, all words": (
        "adaptive, all words",
        "adaptive",
        "Scores the head and every tail; a tail keeps fewer numbers per word.",
    ),
    "adaptive, exact top-k": (
        "adaptive, exact top-k",
        "exact top-k",
        "Scores the head, then only the tails that can still hold one of the ten best words.",
    ),
    "adaptive": ("adaptive", "adaptive", "Scores the head, and a tail only for the tokens whose next word lies in it."),
    "hierarchical": (
        "hierarchical",
        "hierarchical",
        "Words are leaves of a binary tree; a word costs one yes-or-no decision per level on its way.",
    ),
    "D-softmax*": (
        "D-softmax*",
        "D-softmax*",
        "Rarer words keep fewer numbers, as in the tails, but every word is scored for every token.",
    ),
    "sampled, 20 %": (
        "sampled, 20 %",
        "sampled",
        "Scores the true word against a random fifth of the words; the loss is an estimate.",
    ),
}
_EXACT = {"full softmax", "adaptive, all words", "adaptive, exact top-k", "adaptive", "hierarchical", "D-softmax*"}


def _point(name: str, key: str, short: str, times: Sequence[float], arithmetic: float, shape: Any) -> dict[str, Any]:
    median, q1, q3 = times
    _, brief, mechanism = METHODS[key]
    return {
        "name": name,
        "short": short,
        "brief": brief,
        "mechanism": mechanism,
        "exact": key in _EXACT,
        "seconds": median,
        "q1": q1,
        "q3": q3,
        "arithmetic": arithmetic,
        "shape": shape,
    }


def _clusters(n: int, d: int, cutoffs: Sequence[int], widths: Sequence[int], opened: float) -> dict[str, Any]:
    return {
        "kind": "clusters",
        "n": n,
        "d": d,
        "cutoffs": list(cutoffs),
        "widths": list(widths),
        "opened": opened,
    }


def case_benches(folder: Path | None = None) -> list[dict[str, Any]]:
    """The recorded cases: random weights, so times without quality."""
    benches = []
    for one in recorded_cases(folder):
        sizes, n, d = one.sizes, int(one.sizes["V"]), int(one.sizes["d"])
        points = []
        for name, spread in one.times.items():
            share = float(one.known["arithmetic"][name])
            opened = one.known["opened"] if name == sc.SKIPPING else 1.0
            if name in (sc.ALL_WORDS, sc.SKIPPING, sc.ADAPTIVE, sc.STAR):
                shape = _clusters(n, d, sizes["cutoffs"], sizes["widths"], float(opened))
            elif name == sc.SVD:
                shape = {"kind": "svd", "n": n, "d": d, "width": max(1, d // 8), "rescored": max(1, n // 32)}
            elif name == sc.SPARSE:
                shape = {"kind": "experts", "n": n, "d": d, "share": sizes["experts"][1]}
            else:
                kind = {sc.FULL: "full", sc.SAMPLED: "sampled", sc.TREE: "tree"}[name]
                shape = {"kind": kind, "n": n, "d": d, "share": 0.2}
            points.append(_point(name, name, METHODS[name][0], spread[:3], share, shape))
        benches.append(
            {
                "task": TRAIN if sizes["task"] == sc.TRAIN else FIND,
                "n": n,
                "d": d,
                "rows": int(sizes["rows"]),
                "trained": False,
                "machine": f"Recorded on {machine_text(record(folder))}, {str(record(folder)['date'])[:10]}",
                "points": points,
            }
        )
    return benches


#: What the planned ones are besides.
_PLANNED = {
    "planned-0.75": "Cutoffs planned for speed, with at least 75 % of the tokens in the head. ",
    "planned-wide-0.85": "Cutoffs planned with at least 85 % of the tokens in the head, and more numbers per word in "
    "its tails. ",
}
#: Rows of the comparison of trained models -> (key of METHODS, name, short label, shortest label).
_TRAINED = {
    "full": ("full softmax", "full softmax", "full softmax", "full"),
    "svd, W = d/8": ("SVD-softmax", "SVD-softmax, W = d/8", "SVD, W = d/8", "SVD, d/8"),
    "svd, for 99%": ("SVD-softmax, chosen", "SVD-softmax, chosen for 99 %", "SVD, 99 %", "SVD, 99 %"),
    "doubly sparse, 8 experts": ("doubly sparse", "doubly sparse, 8 experts", "8 experts", "8 experts"),
    "doubly sparse, 16 experts": ("doubly sparse", "doubly sparse, 16 experts", "16 experts", "16 experts"),
    "adaptive, log_prob": ("adaptive, all words", "adaptive, all words", "adaptive, all words", "adaptive"),
    "adaptive, exact top-k": ("adaptive, exact top-k", "adaptive, exact top-k", "exact top-k", "exact top-k"),
    "planned-0.75, exact top-k": (
        "adaptive, exact top-k",
        "exact top-k, planned 75 %",
        "exact top-k, planned 75 %",
        "planned 75 %",
    ),
    "planned-wide-0.85, exact top-k": (
        "adaptive, exact top-k",
        "exact top-k, planned 85 %",
        "exact top-k, planned 85 %",
        "planned 85 %",
    ),
}
_RUNS = {"adaptive": "adaptive", "planned-0.75": "planned-0.75", "planned-wide-0.85": "planned-wide-0.85"}


def _shape(what: str, found: Mapping[str, Any], arithmetic: float, folder: Path | None) -> dict[str, Any]:
    n, d = int(found["corpus"]["V"]), int(found["d"])
    if what.startswith("svd"):
        width, rescored = (int(part) for part in what.rpartition("(")[2].rstrip(")").split(","))
        return {"kind": "svd", "n": n, "d": d, "width": width, "rescored": rescored}
    if what.startswith("doubly sparse"):
        return {"kind": "experts", "n": n, "d": d, "share": arithmetic}
    if what == "full":
        return {"kind": "full", "n": n, "d": d}
    run = f"train-{found['corpus']['name']}-cpu-{what.partition(',')[0]}-seed0.json"
    made = read_json((folder or results_folder()) / run)
    whole = sum(width * (size + d) for width, size in zip(made["widths"], _sizes(made, n), strict=True))
    head = (made["cutoffs"][0] + len(made["widths"])) * d
    opened = (arithmetic * n * d - head) / whole  # what the counted arithmetic leaves for the tails
    return _clusters(n, d, made["cutoffs"], made["widths"], min(1.0, max(0.0, opened)))


def _sizes(made: Mapping[str, Any], n: int) -> list[int]:
    edges = [*made["cutoffs"], n]
    return [b - a for a, b in itertools.pairwise(edges)]


#: What the second guess of the lesson is about.
_MORAL = (
    "SVD-softmax leaves out five sixths of the multiplications and is no faster: it still writes a number for every "
    "word and searches all of them for the best N. That takes the time, not the multiplications."
)


def trained_benches(folder: Path | None = None) -> list[dict[str, Any]]:
    """The comparisons of trained models: times and quality, for many rows and for one."""
    benches = []
    for _, found in comparisons(folder):
        for rows in (256, 1):
            points = []
            for row in found["rows"]:
                what = next((key for key in _TRAINED if row["what"].startswith(key)), None)
                if what is None:
                    continue
                key, name, short, brief = _TRAINED[what]
                times = [row[f"{part}, {rows}"] / 1e3 for part in ("ms", "q1", "q3")]
                shape = _shape(row["what"], found, float(row["arithmetic"]), folder)
                planned = _PLANNED.get(row["what"].partition(",")[0], "")
                right, same = float(row["right 10"]), float(row["agree 10"])
                noise = math.sqrt(right * (1 - right) / found["places"])
                points.append(
                    _point(name, key, short, times, float(row["arithmetic"]), shape)
                    | {"right": right, "same": same, "noise": noise, "brief": brief, "outside": float(row["outside"])}
                )
                points[-1]["mechanism"] = planned + points[-1]["mechanism"]
            benches.append(
                {
                    "task": FIND,
                    "n": int(found["corpus"]["V"]),
                    "d": int(found["d"]),
                    "rows": rows,
                    "trained": True,
                    "moral": _MORAL if rows == ASKED["rows"] else "",
                    "places": int(found["places"]),
                    "machine": f"Recorded on {machine_text(found)}, {str(found['date'])[:10]}; English EuroParl",
                    "points": points,
                }
            )
    return benches


def large_benches(folder: Path | None = None) -> list[dict[str, Any]]:
    """SVD-softmax at the size of its paper's claim: 800,000 words."""
    benches: dict[int, dict[str, Any]] = {}
    for _, found in comparisons(folder):
        for row in found.get("svd claim", {}).get("rows", ()):
            n, d, rows = int(row["V"]), int(row["d"]), int(row["rows"])
            full = float(row["full ms"]) / 1e3
            bench = benches.setdefault(
                rows,
                {
                    "task": FIND,
                    "n": n,
                    "d": d,
                    "rows": rows,
                    "trained": False,
                    "machine": f"Recorded on {machine_text(found)}, {str(found['date'])[:10]}",
                    "points": [
                        _point(
                            "full softmax",
                            "full softmax",
                            "full softmax",
                            [full] * 3,
                            1.0,
                            {"kind": "full", "n": n, "d": d},
                        )
                    ],
                },
            )
            name = f"SVD-softmax, W = {row['W']}, N = {row['N']:,}"
            shape = {"kind": "svd", "n": n, "d": d, "width": row["W"], "rescored": row["N"]}
            times = [float(row[key]) / 1e3 for key in ("svd ms", "q1", "q3")]
            point = _point(name, "SVD-softmax", name, times, float(row["arithmetic"]), shape)
            point["mechanism"] = f"Previews every word by {row['W']} columns and completes the best {row['N']:,} words."
            bench["points"].append(point)
    return list(benches.values())


def all_benches(folder: Path | None = None) -> list[dict[str, Any]]:
    """Everything that is stored, the trained models first."""
    return [*trained_benches(folder), *case_benches(folder), *large_benches(folder)]


def times_faster(bench: Mapping[str, Any], name: str) -> float:
    """Of one point of a bench, against the full softmax there."""
    seconds = {point["name"]: point["seconds"] for point in bench["points"]}
    return float(seconds["full softmax"] / seconds[name])


def bench_of(n: int, rows: int, task: str = FIND, folder: Path | None = None) -> dict[str, Any]:
    """The bench of these sizes. Raises LookupError if none is stored."""
    for bench in all_benches(folder):
        if (bench["n"], bench["rows"], bench["task"]) == (n, rows, task):
            return bench
    raise LookupError(f"nothing is stored for V = {n:,} and {rows} rows")


#: What the second prediction of the lesson asks for: SVD-softmax with a sixth of the arithmetic, on the trained models.
ASKED = {"n": 17_724, "rows": 256, "task": FIND, "name": "SVD-softmax, W = d/8"}


def asked_factor() -> float:
    """How many times faster than the full softmax it was."""
    return times_faster(bench_of(ASKED["n"], ASKED["rows"]), ASKED["name"])  # type: ignore[arg-type]


#: The case that each of the lesson's five lines is about.
LINES: tuple[dict[str, Any], ...] = (
    {"task": TRAIN, "n": 20_000, "rows": 256, "exact": False, "measure": "right"},
    {"task": FIND, "n": 17_724, "rows": 256, "exact": True, "measure": "right"},
    {"task": FIND, "n": 17_724, "rows": 1, "exact": False, "measure": "right"},
    {"task": FIND, "n": 17_724, "rows": 256, "exact": False, "measure": "right"},
    {"task": FIND, "n": 2_000, "rows": 256, "exact": False, "measure": "right"},
)


def comparison_data(folder: Path | None = None) -> dict[str, Any]:
    """What ``mountComparison`` is given besides the guess."""
    first = {"task": FIND, "n": ASKED["n"], "rows": ASKED["rows"], "exact": False, "measure": "right"}
    return {"benches": all_benches(folder), "lines": [dict(line) for line in LINES], **first}


def guess_mark(guess: float | None) -> dict[str, Any] | None:
    """Where the reader's guess of SVD-softmax's speed is drawn; ``guess``: how many times the full softmax's."""
    return {**ASKED, "factor": guess} if guess is not None and guess > 0 else None


# ---------------------------------------------------------------------- a still of it

#: Where the still writes the names of its points, in their order: pixels to the right and downwards.
_PLACES = ((70, -55), (-70, -55), (80, 50), (-75, 25), (75, 25), (-90, -50), (-40, -75), (125, 15), (110, -50))


def comparison_figure() -> go.Figure:
    """The trained models, 256 rows: speed against the next words found."""
    bench = bench_of(ASKED["n"], ASKED["rows"])  # type: ignore[arg-type]
    points = bench["points"]
    figure = go.Figure()
    figure.add_scatter(
        x=[times_faster(bench, p["name"]) for p in points],
        y=[100 * p["right"] for p in points],
        error_y={
            "type": "data",
            "array": [100 * p["noise"] for p in points],
            "thickness": 1,
            "width": 0,
            "color": TEXT_COLOR,
        },
        mode="markers",
        marker={**MEASURED, "color": [COLORS[0] if p["shape"]["kind"] == "clusters" else FULL_COLOR for p in points]},
        cliponaxis=False,
    )
    for p, (right, down) in zip(points, _PLACES, strict=True):
        x, y = math.log10(times_faster(bench, p["name"])), 100 * p["right"]
        line = {"arrowhead": 0, "arrowwidth": 1, "arrowcolor": TEXT_COLOR, "standoff": 7}
        figure.add_annotation(x=x, y=y, text=p["short"], ax=right, ay=down, **line)
    ticks = [0.5, 1, 2, 5]
    figure.update_xaxes(
        type="log",
        range=[math.log10(0.5), math.log10(8)],
        tickvals=ticks,
        title_text="times faster than the full softmax",
    )
    figure.update_yaxes(range=[53, 60], title_text="next word among its ten best, %")
    figure.update_layout(template=TEMPLATE, height=360, showlegend=False)
    return figure
