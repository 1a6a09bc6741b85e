"""Training language models with any softmax of this package: exact resume, where the time goes, records of runs.

    run = Run(corpus, Settings(softmax="adaptive", cutoffs="authors"))
    for progress in run.steps(): ...                 # to the end, or until you stop asking
    run.save("run/checkpoint.safetensors");  Run.resume("run/checkpoint.safetensors", corpus)

Same corpus, settings, device, versions and threads: same numbers, also when a run was killed and resumed.
"""

from __future__ import annotations

import json
import math
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn

from .. import __version__
from ..corpora import Batches, Corpus
from ..cost import Cost
from ..files import DamagedFile, entry, writable_folder, write_whole
from ..timing import describe
from .checkpoint import previous_of, remedy_of, write_checkpoint
from .checkpoint import read_checkpoint as read_file
from .models import State, map_state, state_tensors
from .run_records import read_run_record
from .settings import BodyMaker, Partition, Settings, build_model, partition

FORMAT, VERSION = "adasoft checkpoint", 2
#: Parts of a training step, as :attr:`Progress.parts` splits it.
PARTS = ("body", "output", "optimizer")


class Progress(NamedTuple):
    """How far a run is; given after every step or every few."""

    epoch: int
    """From 1."""
    window: int
    """Windows of this epoch that are done."""
    windows: int
    """Of an epoch."""
    loss: float
    """Nats per token, mean since the last progress."""
    seconds: float
    """Of training so far, without evaluations, checkpoints and pauses."""
    words_per_second: float
    """Of training so far in this process's time; over all processes."""
    parts: dict[str, float]
    """Share of the time in each of :data:`PARTS`: forward and backward of the body with its embedding, of the output
    layer, and clipping with the optimizer's step."""
    valid: float | None
    """Perplexity on the validation part, at the end of an epoch."""


@dataclass
class Epoch:
    """What an epoch came to."""

    epoch: int
    train: float
    """Perplexity while training."""
    valid: float
    """Perplexity on the validation part after it."""
    seconds: float
    """Of training, from the beginning of the run."""


class _Clock:
    """Time of a step by part: marks on the host, or events on a GPU that are read when asked for."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.cuda = device, device.type == "cuda"
        self.marks: list[tuple[str, Any]] = []
        self.steps: list[list[tuple[str, Any]]] = []
        self.totals = dict.fromkeys(PARTS, 0.0)

    def mark(self, name: str) -> None:
        if self.cuda:  # pragma: no cover - needs a GPU
            now: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            now.record(torch.cuda.current_stream(self.device))
        else:
            now = time.perf_counter()
        self.marks.append((name, now))

    def end_step(self) -> None:
        self.mark("optimizer")
        self.steps.append(self.marks)
        self.marks = []

    def read(self) -> float:
        """Add up the steps since the last reading; their seconds."""
        if self.cuda and self.steps:  # pragma: no cover - needs a GPU
            self.steps[-1][-1][1].synchronize()
        seconds = 0.0
        where = {
            "body": "body", "output": "output", "output gradient": "output", "backward": "body",
            "optimizer": "optimizer",
        }  # fmt: skip
        for marks in self.steps:
            for (_, a), (name, b) in pairwise(marks):
                spent = a.elapsed_time(b) / 1e3 if self.cuda else b - a
                self.totals[where[name]] += spent
                seconds += spent
        self.steps.clear()
        return seconds


@dataclass
class _Position:
    """Where a run stands; all of it is in a checkpoint."""

    epoch: int = 1
    window: int = 0
    seconds: float = 0.0
    tokens: int = 0
    epochs: list[Epoch] = field(default_factory=list)


class Run:
    """One training: the model, its optimizer, where it stands.

    Args:
        corpus: what it is trained on.
        settings: see :class:`Settings`.
        device: ``"cpu"``, ``"cuda"`` ...; with several processes, this process's.
        cost: cost model of ``cutoffs="plan"``.
        body: makes a body of your own instead of ``settings.model``.
        clusters: cutoffs and widths, decided already.

    With an initialised ``torch.distributed`` process group, every process takes its share of the sequences and the
    gradients are averaged (DistributedDataParallel): the same steps as one process makes, to rounding. Softmaxes that
    draw samples draw them in each process.

    Raises ValueError if the corpus is shorter than one batch, the sequences cannot be shared out evenly, or PyTorch
    has no such device here.
    """

    def __init__(
        self,
        corpus: Corpus,
        settings: Settings | None = None,
        *,
        device: str | torch.device = "cpu",
        cost: Cost | None = None,
        body: BodyMaker | None = None,
        clusters: Partition | None = None,
    ) -> None:
        self.corpus, self.settings = corpus, settings or Settings()
        self.device = usable_device(device)
        several = distributed.is_available() and distributed.is_initialized()
        self.rank, self.processes = (distributed.get_rank(), distributed.get_world_size()) if several else (0, 1)
        if self.settings.batch % self.processes:
            raise ValueError(f"batch should be a multiple of the {self.processes} processes, got {self.settings.batch}")
        self.clusters = clusters or partition(self.settings, corpus, cost, self.device.type)
        self.batches = Batches(corpus.train, self.settings.batch, self.settings.bptt)
        self._random: list[Tensor] = []
        with self._own_numbers():
            torch.manual_seed(self.settings.seed)
            self.model = build_model(self.settings, corpus, self.clusters, body=body).to(self.device)
            # the processes start from the same weights and go on with numbers of their own
            torch.manual_seed(self.settings.seed + 1_000_003 * self.rank)
        self.optimizer = _optimizer(self.settings, self.model, self.device)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.settings.dtype == "float16")
        self.position = _Position()
        self.state: State = None
        self.losses: list[float] = []
        """Nats per token of every window so far, over all epochs."""
        self._clock, self._timed = _Clock(self.device), 0
        self._model: nn.Module = self.model
        if several:
            ids = [self.device.index] if self.device.type == "cuda" else None
            self._model = nn.parallel.DistributedDataParallel(self.model, device_ids=ids)

    # ------------------------------------------------------------------ training

    @property
    def done(self) -> bool:
        """Whether all epochs are over."""
        return self.position.epoch > self.settings.epochs

    @property
    def parts(self) -> dict[str, float]:
        """Seconds of training in each of :data:`PARTS`."""
        return dict(self._clock.totals)

    def steps(self, every: int = 1) -> Iterator[Progress]:
        """Train on from where the run stands; progress after ``every`` windows, and at the end of each epoch.

        Between two of them the run stands still and can be saved, asked, or left. Its random numbers are its own:
        what else draws from torch's generators changes nothing in it, nor it in them.

        Raises RuntimeError if the loss is no longer finite. After that, or an interrupt within a step, the run counts
        as standing before the windows since the last progress, but its weights have moved: go on from a checkpoint.
        """
        if every < 1:
            raise ValueError(f"every should be at least 1, got {every!r}")
        while not self.done:
            here, windows, n = self.position, len(self.batches), 1
            sizes = [self.batches[i][1].size for i in range(windows)]
            while here.window < windows:
                n = min(every, windows - here.window)
                with self._own_numbers():
                    pending = [self._step(here.window + i) for i in range(n)]
                self._read(pending)
                here.tokens += sum(sizes[here.window : here.window + n])
                here.window += n
                if here.window < windows:
                    yield self._progress(n, None)
            done = self.losses[-windows:]
            train = math.exp(min(float(np.average(done, weights=sizes)), 700.0))
            valid = self.perplexity("valid")
            here.epochs.append(Epoch(here.epoch, train, valid, here.seconds))
            # before the position moves on, so that the progress tells of this epoch
            progress = self._progress(n, valid)
            here.epoch, here.window, self.state = here.epoch + 1, 0, None
            yield progress

    def _progress(self, n: int, valid: float | None) -> Progress:
        here, total = self.position, sum(self._clock.totals.values())
        shares = {part: seconds / total if total else 0.0 for part, seconds in self._clock.totals.items()}
        rate = here.tokens / here.seconds if here.seconds else 0.0
        loss = float(np.mean(self.losses[-n:]))
        return Progress(here.epoch, here.window, len(self.batches), loss, here.seconds, rate, shares, valid)

    def _set_learning_rate(self, window: int) -> None:
        s, epoch = self.settings, self.position.epoch
        halvings = 0 if s.halve_from is None else max(0, epoch - s.halve_from + 1)
        step = (epoch - 1) * len(self.batches) + window + 1
        warm = min(1.0, step / s.warmup) if s.warmup else 1.0
        for group in self.optimizer.param_groups:
            group["lr"] = s.learning_rate * 0.5**halvings * warm

    def _mine(self, window: int) -> tuple[Tensor, Tensor]:
        ids, target = self.batches[window]
        each = self.settings.batch // self.processes
        rows = slice(self.rank * each, (self.rank + 1) * each)
        made = (torch.from_numpy(np.ascontiguousarray(a[rows])) for a in (ids, target))
        first, second = (t.to(self.device, torch.long, non_blocking=True) for t in made)
        return first, second

    def _step(self, window: int) -> Tensor:
        """One window: forward, backward, update. Its loss, not yet read."""
        clock, model, s = self._clock, self._model, self.settings
        clock.marks = []  # an interrupt may have left some
        model.train()
        self._set_learning_rate(window)
        ids, target = self._mine(window)
        self.model.heard = clock.mark
        clock.mark("start")
        autocast = nullcontext() if s.dtype == "float32" else torch.autocast(self.device.type, getattr(torch, s.dtype))
        try:
            with autocast:
                loss, self.state = model(ids, target, self.state)
            self.scaler.scale(loss).backward()
        finally:
            self.model.heard = None
        clock.mark("backward")
        if s.clip:
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), s.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        clock.end_step()
        out: Tensor = loss.detach()
        return out

    def _read(self, pending: list[Tensor]) -> None:
        found = torch.stack(pending).float()
        if self.processes > 1:
            distributed.all_reduce(found)
            found /= self.processes
        values = found.tolist()
        self.position.seconds += self._clock.read()
        if not np.isfinite(values).all():
            window = self.position.window + int(np.argmin(np.isfinite(values))) + 1
            raise RuntimeError(
                f"the loss is no longer finite in epoch {self.position.epoch}, window {window}: the "
                f"learning rate {self.settings.learning_rate:g} may be too high, clip={self.settings.clip:g} too loose"
            )
        self.losses += values

    def time_step(self) -> dict[str, float]:
        """One step by itself, each time of the next window: seconds in each of :data:`PARTS`.

        The weights move, but it does not count as progress: for measuring, not for a run that is to be recorded.
        """
        before = dict(self._clock.totals)
        with self._own_numbers():
            self._step(self._timed % len(self.batches))
        self._timed += 1
        self._clock.read()
        spent = {part: self._clock.totals[part] - before[part] for part in PARTS}
        self._clock.totals = before
        return spent

    @contextmanager
    def _own_numbers(self) -> Iterator[None]:
        """Within it, torch's generators stand where this run left them; afterwards, where they stood before."""
        before = self._generators()
        if self._random:
            self._set_generators(self._random)
        try:
            yield
        finally:
            self._random = self._generators()
            self._set_generators(before)

    def _generators(self) -> list[Tensor]:
        """The states of torch's generators: the CPU's, and that of this run's GPU."""
        states = [torch.get_rng_state()]
        if self.device.type == "cuda":  # pragma: no cover - needs a GPU
            states.append(torch.cuda.get_rng_state(self.device))
        return states

    def _set_generators(self, states: list[Tensor]) -> None:
        torch.set_rng_state(states[0])
        if self.device.type == "cuda":  # pragma: no cover - needs a GPU
            torch.cuda.set_rng_state(states[1], self.device)

    def any_process(self, *flags: bool) -> list[bool]:
        """Whether each flag is set in any of the processes."""
        if self.processes == 1:
            return list(flags)
        found = torch.tensor(flags, dtype=torch.int32, device=self.device)
        distributed.all_reduce(found, distributed.ReduceOp.MAX)
        return [bool(f) for f in found.tolist()]

    # ------------------------------------------------------------------ evaluation

    def perplexity(self, part: str = "test") -> float:
        """exp of the mean of :meth:`nats`."""
        return _perplexity(self.nats(part)[1])

    @torch.no_grad()
    def nats(self, part: str = "test") -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Rank and exact negative log-likelihood of each token predicted of ``"valid"`` or ``"test"``: (n,), (n,).

        Dropout is off. The text is read as up to ``settings.batch`` sequences side by side, of at least 500 words each;
        the first word of the text and a remainder shorter than the number of sequences are not predicted.
        """
        ids: Any = getattr(self.corpus, part)
        columns = max(1, min(self.settings.batch, len(ids) // 500))
        windows = Batches(ids, columns, min(self.settings.bptt, max(1, (len(ids) - 1) // columns)))
        training, state = self.model.training, None
        ranks: list[Tensor] = []
        found: list[Tensor] = []
        self.model.eval()
        try:
            for i in range(len(windows)):
                x, target = (torch.from_numpy(np.ascontiguousarray(a)).to(self.device, torch.long) for a in windows[i])
                hidden, state = self.model.hidden(x, state)
                ranks.append(target.flatten().cpu())
                found.append(-self.model.softmax(hidden, target).output.flatten().cpu().double())
        finally:
            self.model.train(training)
        return torch.cat(ranks).numpy(), torch.cat(found).numpy()

    def sample(self, n: int = 20, *, start: str | None = None, seed: int | None = None) -> str:
        """``n`` words drawn from the model, as text, after the word ``start`` (default: the most frequent one)."""
        vocabulary = self.corpus.vocabulary
        rank = 0 if start is None else vocabulary.rank_of(start)
        generator = torch.Generator(self.device)
        if seed is not None:
            generator.manual_seed(seed)
        ids = torch.tensor([[rank]], device=self.device)
        return self.corpus.decode(
            self.model.generate(ids, n, window=self.settings.bptt, generator=generator)[0].tolist()
        )

    # ------------------------------------------------------------------ checkpoints

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a checkpoint (safetensors), whole or not at all; the one before stays beside it as ``.previous``.

        With several processes all of them call it; the first one writes.
        """
        gathered = [_gathered(t, self.processes, self.device) for t in (*state_tensors(self.state), *self._random)]
        if self.rank:
            return
        tensors: dict[str, Tensor] = {}
        for key, value in self.model.state_dict().items():
            # tied weights have two names and one memory, which the format does not take: they are kept once
            if not any(value.data_ptr() == t.data_ptr() and value.numel() for t in tensors.values()):
                tensors[f"model.{key}"] = value
        for i, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{i}.{key}": torch.as_tensor(value) for key, value in state.items()}
        for i, per_process in enumerate(gathered):
            tensors |= {f"process.{r}.{i}": t for r, t in enumerate(per_process)}
        tensors["losses"] = torch.tensor(self.losses, dtype=torch.float64)
        here = self.position
        about = {
            "format": FORMAT, "version": VERSION, "adasoft": __version__, "torch": torch.__version__,
            "settings": asdict(self.settings), "corpus": {"name": self.corpus.name, "digest": self.corpus.digest},
            "clusters": self.clusters._asdict(), "device": self.device.type, "processes": self.processes,
            "has state": self.state is not None, "position": asdict(here), "parts": self._clock.totals,
            "scaler": self.scaler.state_dict(),
        }  # fmt: skip
        write_checkpoint(path, about, tensors)

    @classmethod
    def resume(
        cls,
        path: str | os.PathLike[str],
        corpus: Corpus,
        *,
        settings: Settings | None = None,
        device: str | torch.device = "cpu",
        body: BodyMaker | None = None,
    ) -> Run:
        """The run of a checkpoint, standing where it stood. ``settings``: what you expect it to be.

        Raises:
            FileNotFoundError: there is none.
            ValueError: the checkpoint is damaged or foreign (a :class:`adasoft.files.DamagedFile`), or of another
                corpus, other settings or another number of processes, or stands beyond the last epoch of ``settings``.
        """
        path = Path(path)
        about, tensors = read_checkpoint(path)
        kept = Settings.read(about["settings"])
        if settings is not None and settings != replace(kept, epochs=settings.epochs):
            a, b = asdict(settings), asdict(kept)
            differing = ", ".join(f"{k}={b[k]!r} there, {a[k]!r} here" for k in a if a[k] != b[k] and k != "epochs")
            raise ValueError(f"{path} is the checkpoint of another configuration: {differing}")
        here = about["position"]
        if settings is not None and (here["epoch"], here["window"]) > (settings.epochs + 1, 0):
            raise ValueError(
                f"{path} stands in epoch {here['epoch']}, beyond epochs={settings.epochs}: for a shorter run start "
                "anew in another folder"
            )
        if about["corpus"]["digest"] != corpus.digest:
            raise ValueError(
                f"{path} was trained on {about['corpus']['name']!r} ({about['corpus']['digest'][:12]}), this corpus is "
                f"{corpus.name!r} ({corpus.digest[:12]}): other text, another cut or another vocabulary"
            )
        kept_clusters = about["clusters"]
        clusters = Partition(tuple(kept_clusters["cutoffs"]), tuple(kept_clusters["widths"]), kept_clusters["cost"])
        run = cls(corpus, settings or kept, device=device, body=body, clusters=clusters)
        if about["processes"] != run.processes or about["device"] != run.device.type:
            raise ValueError(
                f"{path} was trained by {about['processes']} process(es) on {about['device']}, this run has "
                f"{run.processes} on {run.device.type}"
            )
        try:
            run._restore(about, tensors)
        except _DoesNotFit as error:
            raise DamagedFile(path, f"it does not fit the model: {error}", remedy_of(path)) from error
        return run

    def _restore(self, about: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Stand where a checkpoint stood. Raises _DoesNotFit."""
        weights = {k.removeprefix("model."): t for k, t in tensors.items() if k.startswith("model.")}
        own = self.model.state_dict()
        _check_shapes("model", {k: t for k, t in weights.items() if k in own}, own)
        missing, unexpected = self.model.load_state_dict(weights, strict=False)
        own = self.model.state_dict()
        seen = {own[k].data_ptr() for k in weights if k in own}
        missing = [k for k in missing if own[k].data_ptr() not in seen]
        if missing or unexpected:
            raise _DoesNotFit(f"lacks {missing}, has {unexpected} too much")
        _load_optimizer(self.optimizer, tensors)
        if about["scaler"].keys() != self.scaler.state_dict().keys():
            raise _DoesNotFit("the scaler of the loss is of another kind")
        self.scaler.load_state_dict(about["scaler"])
        here = about["position"]
        self.position = _Position(**{**here, "epochs": [Epoch(**e) for e in here["epochs"]]})
        self._clock.totals.update(about["parts"])
        n = (here["epoch"] - 1) * len(self.batches) + here["window"]
        if (
            tensors["losses"].shape != (n,)
            or here["window"] > len(self.batches)
            or len(here["epochs"]) != (here["epoch"] - 1)
        ):
            raise _DoesNotFit(f"it stands in epoch {here['epoch']}, window {here['window']}, and holds the losses of "
                              f"{tensors['losses'].numel()} windows and {len(here['epochs'])} epochs")  # fmt: skip
        self.losses = tensors["losses"].tolist()
        count = sum(key.startswith(f"process.{self.rank}.") for key in tensors)
        mine = [tensors[f"process.{self.rank}.{i}"] for i in range(count)]
        n = len(mine) - len(self._random)
        _check_shapes("process", dict(enumerate(mine[n:])), dict(enumerate(self._random)))
        if about["has state"]:
            # its shape as a tree is that of the model's own state
            ids, _ = self._mine(0)
            self.model.eval()  # no dropout, and no statistics of this
            with torch.no_grad(), self._own_numbers():
                like = self.model.hidden(ids[:, :1])[1]
            if n != len(state_tensors(like)):  # shapes may depend on the length of a window
                raise _DoesNotFit(f"it holds {n} tensors of the model's state, not {len(state_tensors(like))}")
            values = iter(mine[:n])
            self.state = map_state(lambda _: next(values).to(self.device), like)
        elif n:
            raise _DoesNotFit(f"it holds {len(mine)} tensors of process {self.rank}, not {len(self._random)}")
        self._random = [t.cpu() for t in mine[n:]]

    # ------------------------------------------------------------------ records

    def record(self, *, test: float | None = None, by_rank: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What the run came to, with its provenance, for a JSON file.

        ``test``, ``by_rank``: the perplexity and :func:`nats_by_rank` of the test part, if they were taken.
        """
        s, corpus, here = self.settings, self.corpus, self.position
        import datetime

        n = len(self.losses)
        edges = np.unique(np.linspace(0, n, min(n, 200) + 1).round().astype(int))
        curve = [float(np.mean(self.losses[a:b])) for a, b in pairwise(edges)]
        total = sum(self._clock.totals.values()) or 1.0
        output = sum(p.numel() for p in self.model.softmax.parameters())
        ends = [0, *self.clusters.cutoffs, corpus.n_classes]
        shares = np.diff(corpus.vocabulary.share_of_first(ends)).tolist()
        return {
            "train": s.softmax, "adasoft": __version__,
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "torch": torch.__version__, "threads": torch.get_num_threads(), "processes": self.processes,
            "device": describe(self.device),
            "corpus": {
                "name": corpus.name, "licence": corpus.licence, "digest": corpus.digest, "V": corpus.n_classes,
                "train": len(corpus.train), "valid": len(corpus.valid), "test": len(corpus.test),
                "words": dict(corpus.n_words),
            },
            "settings": asdict(s),
            "cutoffs": list(self.clusters.cutoffs), "widths": list(self.clusters.widths), "cost": self.clusters.cost,
            "head share": shares[0], "cluster shares": shares,
            "parameters": self.model.n_parameters, "output parameters": output,
            "epochs": [asdict(e) for e in here.epochs], "done": self.done,
            "test perplexity": test, "test by rank": by_rank, "seconds": here.seconds,
            "words per second": here.tokens / here.seconds if here.seconds else 0.0,
            "shares": {part: seconds / total for part, seconds in self._clock.totals.items()},
            "curve": {"window": edges[1:].tolist(), "loss": [round(v, 4) for v in curve], "windows": len(self.batches)},
        }  # fmt: skip


def _perplexity(nats: NDArray[np.float64]) -> float:
    return math.exp(min(float(nats.mean()), 700.0))


#: Ranks at which :func:`nats_by_rank` begins a new band of words.
BANDS = (0, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000)


def nats_by_rank(ranks: NDArray[np.int64], nats: NDArray[np.float64]) -> dict[str, list[Any]]:
    """Sums over bands of words: the first rank of each, its tokens, their nats. Together they are the whole loss."""
    edges = np.array(BANDS)[: max(1, int(np.searchsorted(BANDS, ranks.max(initial=0), side="right")))]
    band = np.searchsorted(edges, ranks, side="right") - 1
    tokens, sums = np.bincount(band, minlength=len(edges)), np.bincount(band, nats, minlength=len(edges))
    return {"from rank": edges.tolist(), "tokens": tokens.tolist(), "nats": sums.round(3).tolist()}


class _DoesNotFit(Exception):
    """What a checkpoint holds is not what this model has."""


def _check_shapes(what: str, found: Mapping[Any, Tensor], expected: Mapping[Any, Tensor]) -> None:
    for key in expected.keys() | found.keys():
        if key not in found or key not in expected:
            if what != "model":  # its keys are compared with those of tied weights taken for one
                raise _DoesNotFit(f"{what}.{key} is {'too much' if key in found else 'missing'}")
        elif (found[key].shape, found[key].dtype) != (expected[key].shape, expected[key].dtype):
            a, b = ((tuple(t.shape), t.dtype) for t in (expected[key], found[key]))
            raise _DoesNotFit(f"{what}.{key} should be of shape and type {a}, got {b}")


def read_checkpoint(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What the checkpoint of a run says of itself, every field checked, and its tensors, on the CPU.

    Raises as :meth:`Run.resume`.
    """
    path = Path(path)
    about, tensors = read_file(path, FORMAT, VERSION)
    remedy = remedy_of(path)

    def told(*names: str, kind: type, least: float = -math.inf) -> Any:
        return entry(about, *names, kind=kind, path=path, remedy=remedy, least=least)

    try:
        Settings.read(told("settings", kind=dict))
    except (ValueError, TypeError) as error:
        if isinstance(error, DamagedFile):
            raise
        raise DamagedFile(path, f"settings: {error}", remedy) from error
    for name in ("name", "digest"):
        told("corpus", name, kind=str)
    for name in ("cutoffs", "widths"):
        for i, number in enumerate(told("clusters", name, kind=list)):
            entry({f"clusters.{name}[{i}]": number}, f"clusters.{name}[{i}]", kind=int, least=1, path=path,
                  remedy=remedy)  # fmt: skip
    told("clusters", "cost", kind=str)
    told("device", kind=str)
    told("processes", kind=int, least=1)
    told("has state", kind=bool)
    told("position", "epoch", kind=int, least=1)
    for name in ("window", "tokens"):
        told("position", name, kind=int, least=0)
    told("position", "seconds", kind=float, least=0)
    _same_names(about["position"], _Position, "position", path, remedy)
    for i, epoch in enumerate(told("position", "epochs", kind=list)):
        name = f"position.epochs[{i}]"
        _same_names(entry({name: epoch}, name, kind=dict, path=path, remedy=remedy), Epoch, name, path, remedy)
        for number in epoch:
            entry({name: epoch}, name, number, kind=float, least=0, path=path, remedy=remedy)
    for part in PARTS:
        told("parts", part, kind=float, least=0)
    told("scaler", kind=dict)
    for name in about["scaler"]:
        told("scaler", name, kind=float)
    if "losses" not in tensors or tensors["losses"].dtype != torch.float64:
        raise DamagedFile(path, "losses should be a tensor of float64", remedy)
    return about, tensors


def _same_names(found: Mapping[str, Any], made: type, name: str, path: Path, remedy: str) -> None:
    expected = [f.name for f in fields(made)]
    if sorted(found) != sorted(expected):
        raise DamagedFile(path, f"{name} should hold {', '.join(expected)}, got {', '.join(found)[:100]}", remedy)


def usable_device(device: str | torch.device) -> torch.device:
    """The device, after a number was put on it and read back. Raises ValueError if PyTorch has none such here."""
    try:
        made = torch.device(device)
        torch.zeros(1, device=made).item()
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"device should be one that PyTorch {torch.__version__} has on this machine, like 'cpu', got "
            f"{str(device)!r} ({reason})"
        ) from error
    return made


def _gathered(tensor: Tensor, processes: int, device: torch.device) -> list[Tensor]:
    """The tensor of each process, by rank."""
    if processes == 1:
        return [tensor]
    # a generator's state lives on the host, whatever the group can carry
    moved = tensor.to(device).contiguous()
    out = [torch.empty_like(moved) for _ in range(processes)]
    distributed.all_gather(out, moved)
    return out


def _optimizer(settings: Settings, model: nn.Module, device: torch.device) -> torch.optim.Optimizer:
    made: Any = {
        "adagrad": torch.optim.Adagrad, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD,
    }[settings.optimizer]  # fmt: skip
    # one pass over the numbers instead of four; torch has Adagrad's for the CPU only
    fused = device.type == "cpu" or settings.optimizer != "adagrad"
    optimizer: torch.optim.Optimizer = made(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=fused or None
    )
    return optimizer


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    state: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, number, name = key.split(".", 2)
            state.setdefault(number, {})[name] = value
    parameters = {str(i): p for i, p in enumerate(p for group in optimizer.param_groups for p in group["params"])}
    names = {name for mine in state.values() for name in mine}
    if state and (state.keys() != parameters.keys() or any(mine.keys() != names for mine in state.values())):
        raise _DoesNotFit(f"the optimizer's numbers are those of {len(state)} weights, not {len(parameters)}")
    for number, mine in state.items():
        per_weight = {name: value for name, value in mine.items() if value.dim()}  # the others count steps
        _check_shapes(f"optimizer.{number}", per_weight, dict.fromkeys(per_weight, parameters[number]))
    if state:
        made = {int(number): mine for number, mine in state.items()}
        optimizer.load_state_dict({"state": made, "param_groups": optimizer.state_dict()["param_groups"]})


# ---------------------------------------------------------------------- from the command line


class Stopped(Exception):
    """A run was stopped by the user, and kept."""


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
    """Train to the end, or go on where an earlier call stopped or was killed; the record of the run.

    ``folder`` holds ``checkpoint.safetensors``, written every ``save_every`` seconds and at the end, and then
    ``record.json`` (with ``more``). A run that is done is not repeated; with more ``epochs`` it goes on. Ctrl-C saves,
    then raises :class:`Stopped`; a second one ends at once. Under ``torchrun`` all processes call it.

    ``fresh``: begin anew; what is there of an earlier run goes. ``say`` is told where the run is kept once nothing
    stands against it: what can be refused, and a folder that cannot be written, is noticed before.

    Raises ValueError as :class:`Run` and :meth:`Run.resume`, OSError if the folder or a checkpoint cannot be written.
    """
    from tqdm.auto import tqdm

    if not save_every >= 0:
        raise ValueError(f"save_every should be at least 0 (seconds), got {save_every!r}")
    folder = Path(folder)
    path, written = folder / "checkpoint.safetensors", folder / "record.json"
    # a run killed between its last checkpoint and its record has only the latter left to do
    if not fresh and (path.exists() or previous_of(path).exists()):
        run = _resumed(path, corpus, settings, device, body)
    else:
        run = Run(corpus, settings, device=device, cost=cost, body=body)
    kept = _record_of(run, written)
    if kept is not None:
        if say is not None and not run.rank:
            say(f"done before, kept in {folder}")
        return kept
    if not run.rank:
        writable_folder(folder)
        if fresh:
            for old in (path, previous_of(path), written):
                old.unlink(missing_ok=True)
        if say is not None:
            say(f"kept in {folder}")
    windows = len(run.batches)
    with _Interrupt() as interrupt, tqdm(
        total=windows * settings.epochs, initial=len(run.losses), unit="batch", disable=not progress or run.rank > 0,
        dynamic_ncols=True,
    ) as bar:  # fmt: skip
        last, smooth = time.monotonic(), math.nan
        for step in run.steps():
            smooth = step.loss if math.isnan(smooth) else 0.98 * smooth + 0.02 * step.loss
            bar.set_postfix_str(
                f"epoch {step.epoch}, perplexity {math.exp(min(smooth, 700)):,.0f}, "
                f"{step.words_per_second:,.0f} words/s, "
                f"output layer {step.parts['output']:.0%}",
                refresh=False,
            )
            bar.update(1)
            if step.valid is not None and progress and not run.rank:
                bar.write(f"epoch {step.epoch}: validation perplexity {step.valid:,.2f} after {step.seconds:,.0f} s")
            stop, save = run.any_process(interrupt.asked, time.monotonic() - last > save_every)
            if stop or save or run.done:
                run.save(path)
                last = time.monotonic()
            if stop and not run.done:
                raise Stopped(f"stopped in epoch {step.epoch}, window {step.window} of {windows}; kept in {folder}")
        if any(run.any_process(interrupt.asked)):
            raise Stopped(f"stopped after the last epoch, before the test part was read; kept in {folder}")
    ranks, nats = run.nats("test")
    record = {**run.record(test=_perplexity(nats), by_rank=nats_by_rank(ranks, nats)), **more}
    if run.rank == 0:
        write_whole(written, json.dumps(record, indent=1) + "\n")
    return record


def _record_of(run: Run, path: Path) -> dict[str, Any] | None:
    """The record of a run that is done; None if it has still to be written."""
    if not run.done or not path.exists():
        return None
    try:
        kept = read_run_record(path)
    except DamagedFile as error:
        warnings.warn(f"{error}. It is written anew from the checkpoint", stacklevel=3)
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
    """Ctrl-C as a wish that is looked at between steps; the second one is meant at once. Main thread only."""

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None

    def __enter__(self) -> _Interrupt:
        import signal
        import threading

        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._heard)
        return self

    def _heard(self, *_: Any) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def __exit__(self, *_: Any) -> None:
        import signal

        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)


def run_name(corpus: Corpus, settings: Settings, device: str = "cpu") -> str:
    """A name for the folder of a run: readable, and different for different runs."""
    import hashlib

    # of all processes the same, whatever GPU is whose
    kind = str(device).partition(":")[0]
    what = json.dumps([replace(settings, seed=0).changed(), corpus.digest, kind], sort_keys=True)
    parts = [corpus.name, settings.model.rpartition(":")[2], settings.softmax, f"seed{settings.seed}"]
    digest = hashlib.sha256(what.encode()).hexdigest()[:10]
    return "-".join([*("".join(c if c.isalnum() else "_" for c in part) for part in parts), digest])
