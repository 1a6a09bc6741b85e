"""A training from start to end in a folder of its own: checkpoints, progress, Ctrl-C, and the record of the run.

    record = train(load("wikitext-2"), Settings(softmax="adaptive"), "run")    # the same call goes on after a stop
    record["test perplexity"], record["words per second"]

For the command line and benchmarks; :class:`adasoft.lm.run.Run` is the training itself.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import math
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import __version__
from ..corpora import Corpus
from ..cost import Cost
from ..files import DamagedFile, writable_folder, write_whole
from ..timing import describe
from .checkpoint import previous_of
from .evaluation import nats_by_rank, perplexity
from .progress import Progress
from .run import Run
from .run_records import read_run_record
from .settings import BodyMaker, Settings

__all__ = ["Stopped", "record_of", "run_name", "train"]


class Stopped(Exception):
    """The user stopped a run; it is kept and can go on."""


def train(
    corpus: Corpus,
    settings: Settings,
    folder: str | os.PathLike[str],
    *,
    device: str | torch.device = "cpu",
    cost: Cost | None = None,
    body: BodyMaker | None = None,
    save_every: float = 60.0,
    progress: bool = True,
    fresh: bool = False,
    say: Callable[[str], None] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Train to the end, or go on where an earlier call stopped or was killed; returns the record of the run.

    ``folder`` holds ``checkpoint.safetensors``, written every ``save_every`` seconds and at the end, and then
    ``record.json`` (with ``more``). A run that is done is not repeated; with more ``epochs`` it goes on. Ctrl-C saves,
    then raises :class:`Stopped`; a second one ends at once. Under ``torchrun`` all processes call it.

    ``fresh``: begin again; an earlier run in the folder goes. ``say`` is told where the run is kept, once everything
    that can be refused has been checked and the folder has proved writable.

    Raises ValueError as :class:`Run` and :meth:`Run.resume`, OSError if the folder or a checkpoint cannot be written.
    """
    from tqdm.auto import tqdm

    if not save_every >= 0:
        raise ValueError(f"save_every should be at least 0 (seconds), got {save_every!r}")
    folder = Path(folder)
    path, record_path = folder / "checkpoint.safetensors", folder / "record.json"
    # a run killed between its last checkpoint and its record has only the latter left to do
    if not fresh and (path.exists() or previous_of(path).exists()):
        run = _resumed(path, corpus, settings, device, body)
    else:
        run = Run(corpus, settings, device=device, cost=cost, body=body)
    kept = _kept_record(run, record_path)
    if kept is not None:
        if say is not None and not run.rank:
            say(f"done before, kept in {folder}")
        return kept
    if not run.rank:
        writable_folder(folder)
        if fresh:
            for old in (path, previous_of(path), record_path):
                old.unlink(missing_ok=True)
        if say is not None:
            say(f"kept in {folder}")
    windows, shown = len(run.batches), progress and not run.rank
    bar = tqdm(
        total=windows * settings.epochs, initial=len(run.losses), unit="batch", disable=not shown, dynamic_ncols=True
    )
    with _Interrupt() as interrupt, bar:
        last_save, smooth = time.monotonic(), math.nan
        for step in run.steps():
            smooth = step.loss if math.isnan(smooth) else 0.98 * smooth + 0.02 * step.loss
            bar.set_postfix_str(_told(step, smooth), refresh=False)
            bar.update(1)
            if step.valid is not None and shown:
                bar.write(f"epoch {step.epoch}: validation perplexity {step.valid:,.2f} after {step.seconds:,.0f} s")
            stop, save = run.any_process(interrupt.asked, time.monotonic() - last_save > save_every)
            if stop or save or run.done:
                run.save(path)
                last_save = time.monotonic()
            if stop and not run.done:
                raise Stopped(f"stopped in epoch {step.epoch}, window {step.window} of {windows}; kept in {folder}")
        if any(run.any_process(interrupt.asked)):
            raise Stopped(f"stopped after the last epoch, before the test part was read; kept in {folder}")
    ranks, nats = run.nats("test")
    record = {**record_of(run, perplexity(float(nats.mean())), nats_by_rank(ranks, nats)), **more}
    if run.rank == 0:
        write_whole(record_path, json.dumps(record, indent=1) + "\n")
    return record


def _told(step: Progress, loss: float) -> str:
    return (
        f"epoch {step.epoch}, perplexity {perplexity(loss):,.0f}, {step.words_per_second:,.0f} words/s, "
        f"output layer {step.phases['output']:.0%}"
    )


def _kept_record(run: Run, path: Path) -> dict[str, Any] | None:
    """The record of a run that is done; None if it has still to be written."""
    if not run.done or not path.exists():
        return None
    try:
        kept = read_run_record(path)
    except DamagedFile as error:
        warnings.warn(f"{error}. It is written again from the checkpoint", stacklevel=3)
        return None
    # else a run of fewer epochs left it
    return kept if len(kept["epochs"]) == run.settings.epochs else None


def _resumed(path: Path, corpus: Corpus, settings: Settings, device: str | torch.device, body: BodyMaker | None) -> Run:
    """From the checkpoint; from the one before it if a crash of the machine has torn the newest."""
    previous = previous_of(path)
    try:
        if path.exists():
            return Run.resume(path, corpus, settings=settings, device=device, body=body)
        reason = f"{path} is not there, perhaps killed while it was written"
    except DamagedFile as error:
        if not previous.exists():
            raise
        reason = str(error).partition("; ")[0]
    warnings.warn(f"{reason}. Going on from the one before it, {previous}", stacklevel=3)
    return Run.resume(previous, corpus, settings=settings, device=device, body=body)


class _Interrupt:
    """Ctrl-C as a wish that is looked at between steps; the second one counts at once. Main thread only."""

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None

    def __enter__(self) -> _Interrupt:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._heard)
        return self

    def _heard(self, *_: Any) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def __exit__(self, *_: Any) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)


def run_name(corpus: Corpus, settings: Settings, device: str = "cpu") -> str:
    """A name for the folder of a run: readable, and different for different runs."""
    # the same in all processes, whichever GPU each of them has
    kind = str(device).partition(":")[0]
    identity = json.dumps([replace(settings, seed=0).changed(), corpus.digest, kind], sort_keys=True)
    words = [corpus.name, settings.model.rpartition(":")[2], settings.softmax, f"seed{settings.seed}"]
    digest = hashlib.sha256(identity.encode()).hexdigest()[:10]
    return "-".join([*("".join(c if c.isalnum() else "_" for c in word) for word in words), digest])


def record_of(run: Run, test: float | None = None, by_rank: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What a run came to, with its provenance, for a JSON file that :func:`.run_records.read_run_record` reads.

    ``test``, ``by_rank``: perplexity and :func:`.evaluation.nats_by_rank` of the test part, if they were taken.
    """
    corpus, clusters, losses = run.corpus, run.clusters, run.losses
    edges = np.unique(np.linspace(0, len(losses), min(len(losses), 200) + 1).round().astype(int))
    curve = [round(float(np.mean(losses[begin:end])), 4) for begin, end in pairwise(edges)]
    cluster_edges = [0, *clusters.cutoffs, corpus.n_classes]
    shares = np.diff(corpus.vocabulary.share_of_first(cluster_edges)).tolist()
    return {
        "train": run.settings.softmax,
        "adasoft": __version__,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "processes": run.processes,
        "device": describe(run.device),
        "corpus": {
            "name": corpus.name,
            "licence": corpus.licence,
            "digest": corpus.digest,
            "V": corpus.n_classes,
            "train": len(corpus.train),
            "valid": len(corpus.valid),
            "test": len(corpus.test),
            "words": dict(corpus.n_words),
        },
        "settings": asdict(run.settings),
        "cutoffs": list(clusters.cutoffs),
        "widths": list(clusters.widths),
        "cost": clusters.cost,
        "head share": shares[0],
        "cluster shares": shares,
        "parameters": run.model.n_parameters,
        "output parameters": sum(p.numel() for p in run.model.softmax.parameters()),
        "epochs": [asdict(epoch) for epoch in run.position.epochs],
        "done": run.done,
        "test perplexity": test,
        "test by rank": by_rank,
        "seconds": run.position.seconds,
        "words per second": run.words_per_second,
        "shares": run.clock.shares(),
        "curve": {"window": edges[1:].tolist(), "loss": curve, "windows": len(run.batches)},
    }
