"""`bench adversarial`: negatives drawn by a tree beside their rivals (Bamler and Mandt, ICLR 2020)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..checks import choice
from ..text import Row, Say, table
from .adversarial_data import Clusters, Task, icd_task, words_task
from .adversarial_training import METHODS, Noises, chosen, contest, noises_of, swept
from .common import Parts, provenance


@dataclass(frozen=True)
class Contest:
    """Sizes of a run."""

    epochs: int = 10
    tuning_epochs: int = 2
    """Epochs after which rate and strength of the regulariser are chosen, on the validation part."""
    d: int = 256
    codes: int | None = None
    """How many codes of ICD-10-CM; None: all."""
    classes: tuple[int, ...] = (512, 2048, 8192, 32768)
    """Numbers of labels of the clusters."""
    seconds: float = 10.0
    """CPU seconds of each training on clusters."""
    rates: tuple[float, ...] = (0.03, 0.1, 0.3)
    words: int = 8000
    text_rows: int = 60_000
    text_steps: int = 3000


#: Sizes of a moment.
CONTEST_TINY = Contest(
    epochs=2, tuning_epochs=1, d=8, codes=600, classes=(40,), seconds=0.02, words=50, text_rows=300, text_steps=5
)
_NOISES = ["noise", "accuracy", "log-likelihood", "numbers", "operations of a draw"]
_METHODS = ["method", "epochs", "accuracy", "sd", "log-likelihood", "rate", "strength", "seeds"]
_SWEEP = ["C", "method", "regret", "accuracy", "best accuracy", "rate", "steps", "ms per step", "CPU seconds"]
_THEORY = ["noise", "noise to signal", "curvature of the likeliest", "of the 10th", "of the 100th"]


def bench_adversarial(
    *,
    seeds: int = 3,
    sizes: Contest | None = None,
    text: str | None = None,
    only: str | None = None,
    say: Say = print,
) -> Row:
    """What hard negatives gain, on diagnoses, on clusters of more and more labels, and in the theory's own terms.

    - *icd*: descriptions of ICD-10-CM codes -> their categories of three characters; rate and strength of the
      regulariser of each method chosen by accuracy on a validation part; Adagrad, batches of 256.
    - *clusters*: how many labels it takes until drawing negatives pays, by the CPU seconds of training.
    - *theorem 2*: noise to signal and curvature between uniform noise and that of the data.
    - with a ``text``: its next words on frozen states, as *icd*.

    ``only``: one of these, *icd*, *clusters* or *text*. Finished parts are kept in the cache folder, so that the same
    command goes on where it was interrupted. Raises ImportError without scikit-learn or simple-icd-10-cm, ValueError
    for ``only`` the text without one.
    """
    from tqdm.auto import tqdm

    sizes = Contest() if sizes is None else sizes
    if only is not None:
        choice("only", only, ["clusters", "icd", *(["text"] if text is not None else [])])
    about: Row = {"settings": {"seeds": seeds, **asdict(sizes)}, **provenance("cpu")}
    parts = Parts("adversarial", {"text": text, "only": only, **about})
    tasks: dict[str, Callable[[], Task]] = {"icd": lambda: icd_task(sizes.d, sizes.codes)}
    if text is not None:
        how: dict[str, int] = {"n_classes": sizes.words, "rows": sizes.text_rows, "steps": sizes.text_steps}
        tasks["text"] = lambda: words_task(text, **how)
    record: Row = {"bench": "adversarial", **about, "theorem 2": theory()}
    say(table(record["theorem 2"], _THEORY))
    with tqdm(unit="part") as progress:
        if only in (None, "clusters"):
            record["clusters"] = []
            for c in sizes.classes:
                progress.set_postfix_str(f"clusters {c}", refresh=True)
                job = lambda c=c: swept(Clusters(c), sizes.seconds, sizes.rates)  # noqa: E731
                record["clusters"] += parts.of(f"clusters {c}", job)
                progress.update()
            say(table(record["clusters"], _SWEEP))
        for name, task in tasks.items():
            if only in (None, name):
                record[name] = _contest(name, task, seeds, sizes, parts, progress)
                say(table(record[name]["noises"], _NOISES))
                say(table(summary(record[name]["rows"]), _METHODS))
                say("\n".join(adversarial_lines(record[name])))
    parts.forget()
    return record


def _contest(name: str, task_of: Callable[[], Task], seeds: int, sizes: Contest, parts: Parts, progress: Any) -> Row:
    """Settings chosen, then every method for every seed; the noises are fitted again if some part is missing."""
    kept: dict[str, Any] = {}

    def task() -> Task:
        if "task" not in kept:
            kept["task"] = task_of()
        found: Task = kept["task"]
        return found

    def noises() -> Noises:
        if "noises" not in kept:
            kept["noises"] = noises_of(task())
        found: Noises = kept["noises"]
        return found

    def part(of: str, job: Callable[[], list[Row]]) -> list[Row]:
        progress.set_postfix_str(f"{name} {of}", refresh=True)
        found = parts.of(f"{name} {of}", job)
        progress.update()
        return found

    (told,) = part("data", lambda: [task().told()])
    fitted = part("noises", lambda: [{"noise": key, **row} for key, row in noises().told.items()])
    settings: dict[str, Row] = {}
    for method in METHODS:
        job = lambda method=method: [chosen(task(), method, noises().by_name, sizes.tuning_epochs)]  # noqa: E731
        (settings[method],) = part(f"settings of {method}", job)
    rows: list[Row] = []
    for seed in range(seeds):
        rows += part(f"seed {seed}", lambda seed=seed: contest(task(), noises(), settings, sizes.epochs, seed))  # type: ignore[misc]
    return {**told, "noises": fitted, "settings": settings, "rows": rows}


def summary(rows: list[Row]) -> list[Row]:
    """Means over seeds of each method and number of epochs, with the standard deviation of the accuracy."""
    out: list[Row] = []
    for key in dict.fromkeys((row["method"], row["epochs"]) for row in rows):
        own = [row for row in rows if (row["method"], row["epochs"]) == key]
        values = [row["accuracy"] for row in own]
        likelihood = float(np.mean([row["log-likelihood"] for row in own]))
        spread = float(np.std(values, ddof=1)) if len(own) > 1 else 0.0
        told = {name: own[0][name] for name in ("method", "epochs", "rate", "strength")}
        told |= {"accuracy": float(np.mean(values)), "sd": spread, "log-likelihood": likelihood, "seeds": len(own)}
        out.append(told)
    return out


def adversarial_lines(part: Row) -> list[str]:
    """Rows of a table in Markdown of the record's part ``icd`` or ``text``: after one epoch, and after the last."""
    found = {(row["method"], row["epochs"]): row for row in summary(part["rows"])}
    last = max(epochs for _, epochs in found)

    def told(row: Row | None) -> str:
        if row is None:
            return ""
        spread = f" ± {100 * row['sd']:.1f}" if row["seeds"] > 1 else ""
        return f"{100 * row['accuracy']:.1f}{spread} %, {row['log-likelihood']:.2f}".replace("-", "−")

    alone = {row["noise"]: row for row in part["noises"]}
    lines = [
        f"| {method} | {found[method, last]['rate']:g} | {told(found.get((method, 1)))} | {told(found[method, last])} |"
        for method in dict.fromkeys(method for method, _ in found)
    ]
    for name in ("tree", "narrow adaptive"):
        row = {"seeds": 1, **alone[name]}
        lines.append(f"| the {name} alone | | {told(row)} | |")
    return lines


def theory(n_classes: int = 1000, shares: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)) -> list[Row]:
    """Theorem 2 in numbers, for labels that follow Zipf's law: noises between uniform and the data's own.

    A noise of share s is ``s p_data + (1 - s) / C``. *Noise to signal* is relative to that of the data's own noise.
    """
    import torch

    from ..adversarial import curvature, inverse_snr

    p_data = 1 / torch.arange(1, n_classes + 1, dtype=torch.float64)
    p_data = (p_data / p_data.sum()).unsqueeze(0)
    rows = []
    for share in shares:
        noise = share * p_data + (1 - share) / n_classes
        alpha = curvature(p_data, noise)[0]
        ratio = float(inverse_snr(p_data, noise) / inverse_snr(p_data, p_data))
        places = ("curvature of the likeliest", "of the 10th", "of the 100th")
        bends = {name: float(alpha[at]) for name, at in zip(places, (0, 9, 99), strict=True)}
        rows.append({"noise": share, "noise to signal": ratio, **bends})
    return rows
