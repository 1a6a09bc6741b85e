"""Training language models with any softmax of this package, with exact resume.

    run = Run(corpus, Settings(softmax="adaptive", cutoffs="authors"))
    for progress in run.steps(): ...                 # to the end, or until you stop asking
    run.save("run/checkpoint.safetensors");  Run.resume("run/checkpoint.safetensors", corpus)

Same corpus, settings, device, versions and threads: same numbers, also when a run was killed and resumed.
:func:`adasoft.lm.launch.train` does all of it in a folder of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn

from .. import __version__
from ..corpora import Batches, Corpus
from ..cost import Cost
from ..files import DamagedFile
from .checkpoint import remedy_of, write_checkpoint
from .clock import PHASES, Clock
from .evaluation import nats_of, perplexity
from .generators import Generators
from .models import State, map_state, state_tensors
from .progress import Epoch, Position, Progress
from .run_checkpoint import (
    FORMAT,
    VERSION,
    DoesNotFit,
    check_shapes,
    load_model,
    load_optimizer,
    model_tensors,
    optimizer_tensors,
    position_of,
    read_checkpoint,
)
from .settings import BodyMaker, Partition, Settings, build_model, build_optimizer, partition

__all__ = ["Run", "usable_device"]


class Run:
    """One training: the model, its optimizer, and how far it has come.

    Args:
        corpus: the text it is trained on.
        settings: see :class:`Settings`.
        device: ``"cpu"``, ``"cuda"`` ...; with several processes, this process's own.
        cost: the cost model for ``cutoffs="plan"``.
        body: makes a body of your own instead of ``settings.model``.
        clusters: cutoffs and widths, if they are decided already.

    With an initialised ``torch.distributed`` process group, every process takes its share of the sequences and the
    gradients are averaged (DistributedDataParallel): the steps are those of one process, up to rounding. Softmaxes that
    draw samples draw them in each process.

    Raises ValueError if the corpus is shorter than one batch, the sequences cannot be divided evenly among the
    processes, or PyTorch has no such device on this machine.
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
        self.generators = Generators(self.device)
        with self.generators.own():
            torch.manual_seed(self.settings.seed)
            self.model = build_model(self.settings, corpus, self.clusters, body=body).to(self.device)
            # the processes start from the same weights and go on with numbers of their own
            torch.manual_seed(self.settings.seed + 1_000_003 * self.rank)
        self.optimizer = build_optimizer(self.settings, self.model, self.device)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.settings.dtype == "float16")
        self.position = Position()
        self.state: State = None
        self.losses: list[float] = []
        """Nats per token of every window so far, over all epochs."""
        self.clock = Clock(self.device)
        self._timed = 0
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
    def phases(self) -> dict[str, float]:
        """Seconds of training in each of :data:`adasoft.lm.clock.PHASES`."""
        return dict(self.clock.totals)

    @property
    def words_per_second(self) -> float:
        """Of training so far, without evaluations, checkpoints and pauses; over all processes."""
        return self.position.tokens / self.position.seconds if self.position.seconds else 0.0

    def steps(self, every: int = 1) -> Iterator[Progress]:
        """Train on from where the run stands; yields progress after ``every`` windows and at the end of each epoch.

        Between two of them the run stands still: you can save it, evaluate it, or leave it there. Its random numbers
        are its own: it neither notices nor changes what else draws from torch's generators.

        Raises RuntimeError if the loss is no longer finite. After that, or after an interrupt within a step, the run
        counts as standing before the windows since the last progress, but its weights have moved: go on from a
        checkpoint.
        """
        if every < 1:
            raise ValueError(f"every should be at least 1, got {every!r}")
        while not self.done:
            position, windows, taken = self.position, len(self.batches), 1
            sizes = [self.batches[i][1].size for i in range(windows)]
            while position.window < windows:
                taken = min(every, windows - position.window)
                with self.generators.own():
                    pending = [self._step(position.window + i) for i in range(taken)]
                self._read(pending)
                position.tokens += sum(sizes[position.window : position.window + taken])
                position.window += taken
                if position.window < windows:
                    yield self._progress(taken, None)
            train = perplexity(float(np.average(self.losses[-windows:], weights=sizes)))
            valid = self.perplexity("valid")
            position.epochs.append(Epoch(position.epoch, train, valid, position.seconds))
            # before the position moves on, so that the progress is that of this epoch
            progress = self._progress(taken, valid)
            position.epoch, position.window, self.state = position.epoch + 1, 0, None
            yield progress

    def _progress(self, taken: int, valid: float | None) -> Progress:
        return Progress(
            epoch=self.position.epoch,
            window=self.position.window,
            windows=len(self.batches),
            loss=float(np.mean(self.losses[-taken:])),
            seconds=self.position.seconds,
            words_per_second=self.words_per_second,
            phases=self.clock.shares(),
            valid=valid,
        )

    def _set_learning_rate(self, window: int) -> None:
        settings, epoch = self.settings, self.position.epoch
        halvings = 0 if settings.halve_from is None else max(0, epoch - settings.halve_from + 1)
        step = (epoch - 1) * len(self.batches) + window + 1
        warm = min(1.0, step / settings.warmup) if settings.warmup else 1.0
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate * 0.5**halvings * warm

    def _own_rows(self, window: int) -> tuple[Tensor, Tensor]:
        """Input and target of this process's sequences, on its device."""
        rows_each = self.settings.batch // self.processes
        rows = slice(self.rank * rows_each, (self.rank + 1) * rows_each)
        ids, target = (torch.from_numpy(np.ascontiguousarray(side[rows])) for side in self.batches[window])
        return tuple(t.to(self.device, torch.long, non_blocking=True) for t in (ids, target))  # type: ignore[return-value]

    def _step(self, window: int) -> Tensor:
        """One window: forward, backward, update. Its loss, not yet read."""
        clock, settings = self.clock, self.settings
        self._model.train()
        self._set_learning_rate(window)
        ids, target = self._own_rows(window)
        self.model.heard = clock.mark
        clock.start_step()
        autocast = (
            nullcontext()
            if settings.dtype == "float32"
            else torch.autocast(self.device.type, getattr(torch, settings.dtype))
        )
        try:
            with autocast:
                loss, self.state = self._model(ids, target, self.state)
            self.scaler.scale(loss).backward()
        finally:
            self.model.heard = None
        clock.mark("backward")
        if settings.clip:
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        clock.end_step()
        detached: Tensor = loss.detach()
        return detached

    def _read(self, pending: list[Tensor]) -> None:
        losses = torch.stack(pending).float()
        if self.processes > 1:
            distributed.all_reduce(losses)
            losses /= self.processes
        values = losses.tolist()
        self.position.seconds += self.clock.read()
        if not np.isfinite(values).all():
            window = self.position.window + int(np.argmin(np.isfinite(values))) + 1
            raise RuntimeError(
                f"the loss is no longer finite in epoch {self.position.epoch}, window {window}: the "
                f"learning rate {self.settings.learning_rate:g} may be too high, clip={self.settings.clip:g} too loose"
            )
        self.losses += values

    def time_step(self) -> dict[str, float]:
        """One step by itself, of the next window each time: seconds in each of :data:`adasoft.lm.clock.PHASES`.

        The weights move, but it does not count as progress: use it to measure, not within a run that is recorded.
        """
        before = self.phases
        with self.generators.own():
            self._step(self._timed % len(self.batches))
        self._timed += 1
        self.clock.read()
        spent = {phase: self.clock.totals[phase] - before[phase] for phase in PHASES}
        self.clock.totals = before
        return spent

    def any_process(self, *flags: bool) -> list[bool]:
        """Whether each flag is set in any of the processes."""
        if self.processes == 1:
            return list(flags)
        largest = torch.tensor(flags, dtype=torch.int32, device=self.device)
        distributed.all_reduce(largest, distributed.ReduceOp.MAX)
        return [bool(flag) for flag in largest.tolist()]

    # ------------------------------------------------------------------ evaluation

    def perplexity(self, part: str = "test") -> float:
        """exp of the mean of :meth:`nats`."""
        return perplexity(float(self.nats(part)[1].mean()))

    def nats(self, part: str = "test") -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Rank and exact negative log-likelihood of each token predicted of ``"valid"`` or ``"test"``: (n,), (n,).

        See :func:`adasoft.lm.evaluation.nats_of`.
        """
        ids = getattr(self.corpus, part)
        return nats_of(self.model, ids, self.settings.batch, self.settings.bptt, self.device)

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
        per_process = [*state_tensors(self.state), *self.generators.states]
        gathered = [_gathered(t, self.processes, self.device) for t in per_process]
        if self.rank:
            return
        tensors = model_tensors(self.model) | optimizer_tensors(self.optimizer)
        for i, of_each in enumerate(gathered):
            tensors |= {f"process.{rank}.{i}": t for rank, t in enumerate(of_each)}
        tensors["losses"] = torch.tensor(self.losses, dtype=torch.float64)
        about = {
            "format": FORMAT,
            "version": VERSION,
            "adasoft": __version__,
            "torch": torch.__version__,
            "settings": asdict(self.settings),
            "corpus": {"name": self.corpus.name, "digest": self.corpus.digest},
            "clusters": self.clusters._asdict(),
            "device": self.device.type,
            "processes": self.processes,
            "has state": self.state is not None,
            "position": asdict(self.position),
            "parts": self.phases,
            "scaler": self.scaler.state_dict(),
        }
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
        """The run of a checkpoint, standing where it stood. ``settings``: those you expect it to have.

        Raises:
            FileNotFoundError: there is no checkpoint.
            ValueError: the checkpoint is damaged or foreign (a :class:`adasoft.files.DamagedFile`), belongs to another
                corpus, other settings or another number of processes, or stands beyond the last epoch of ``settings``.
        """
        path = Path(path)
        about, tensors = read_checkpoint(path)
        kept, position = Settings.read(about["settings"]), position_of(about)
        if settings is not None and settings != replace(kept, epochs=settings.epochs):
            theirs, ours = asdict(kept), asdict(settings)
            differing = ", ".join(
                f"{name}={theirs[name]!r} there, {ours[name]!r} here"
                for name in ours
                if ours[name] != theirs[name] and name != "epochs"
            )
            raise ValueError(f"{path} is the checkpoint of another configuration: {differing}")
        if settings is not None and (position.epoch, position.window) > (settings.epochs + 1, 0):
            raise ValueError(
                f"{path} stands in epoch {position.epoch}, beyond epochs={settings.epochs}: for a shorter run start "
                "again in another folder"
            )
        if about["corpus"]["digest"] != corpus.digest:
            raise ValueError(
                f"{path} was trained on {about['corpus']['name']!r} ({about['corpus']['digest'][:12]}), this corpus is "
                f"{corpus.name!r} ({corpus.digest[:12]}): other text, another cut or another vocabulary"
            )
        clusters = about["clusters"]
        decided = Partition(tuple(clusters["cutoffs"]), tuple(clusters["widths"]), clusters["cost"])
        run = cls(corpus, settings or kept, device=device, body=body, clusters=decided)
        if about["processes"] != run.processes or about["device"] != run.device.type:
            raise ValueError(
                f"{path} was trained by {about['processes']} process(es) on {about['device']}, this run has "
                f"{run.processes} on {run.device.type}"
            )
        try:
            run._restore(about, tensors, position)
        except DoesNotFit as error:
            raise DamagedFile(path, f"it does not fit the model: {error}", remedy_of(path)) from error
        return run

    def _restore(self, about: Mapping[str, Any], tensors: Mapping[str, Tensor], position: Position) -> None:
        """Stand where a checkpoint stood. Raises DoesNotFit."""
        load_model(self.model, tensors)
        load_optimizer(self.optimizer, tensors)
        if about["scaler"].keys() != self.scaler.state_dict().keys():
            raise DoesNotFit("the scaler of the loss is of another kind")
        self.scaler.load_state_dict(about["scaler"])
        self.clock.totals.update(about["parts"])
        losses, windows = tensors["losses"], len(self.batches)
        expected = (position.epoch - 1) * windows + position.window
        if losses.shape != (expected,) or position.window > windows or len(position.epochs) != position.epoch - 1:
            raise DoesNotFit(
                f"it stands in epoch {position.epoch}, window {position.window}, and holds the losses of "
                f"{losses.numel()} windows and {len(position.epochs)} epochs"
            )
        self.position, self.losses = position, losses.tolist()
        # of this process: the model's state, if it has one, then those of the generators
        count = sum(key.startswith(f"process.{self.rank}.") for key in tensors)
        own = [tensors[f"process.{self.rank}.{i}"] for i in range(count)]
        n_state = count - len(self.generators.states)
        check_shapes("process", dict(enumerate(own[n_state:])), dict(enumerate(self.generators.states)))
        if about["has state"]:
            self.state = self._state_of(own[:n_state])
        elif n_state:
            raise DoesNotFit(f"it holds {count} tensors of process {self.rank}, not {len(self.generators.states)}")
        self.generators.states = [t.cpu() for t in own[n_state:]]

    def _state_of(self, tensors: list[Tensor]) -> State:
        """The tensors of a state put together again, as a tree like the model's own. Raises DoesNotFit."""
        ids, _ = self._own_rows(0)
        self.model.eval()  # no dropout, and no statistics of this
        with torch.no_grad(), self.generators.own():
            like = self.model.hidden(ids[:, :1])[1]
        expected = len(state_tensors(like))
        if len(tensors) != expected:  # their shapes may depend on the length of a window
            raise DoesNotFit(f"it holds {len(tensors)} tensors of the model's state, not {expected}")
        values = iter(tensors)
        return map_state(lambda _: next(values).to(self.device), like)


def usable_device(device: str | torch.device) -> torch.device:
    """The device, once a number was put on it and read back. Raises ValueError if PyTorch has no such device here."""
    try:
        usable = torch.device(device)
        torch.zeros(1, device=usable).item()
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"device should be one that PyTorch {torch.__version__} has on this machine, like 'cpu', got "
            f"{str(device)!r} ({reason})"
        ) from error
    return usable


def _gathered(tensor: Tensor, processes: int, device: torch.device) -> list[Tensor]:
    """The tensor of each process, by rank."""
    if processes == 1:
        return [tensor]
    # a generator's state lives on the host, whatever the group can carry
    moved = tensor.to(device).contiguous()
    of_each = [torch.empty_like(moved) for _ in range(processes)]
    distributed.all_gather(of_each, moved)
    return of_each
