"""Two small trained language models that the lesson on alternatives uses: output layers, states and words.

    # makes data/results/small-models.safetensors again, in some minutes
    python -m adasoft.lessons.alternatives.small_models

The text is the documentation of the packages installed where it was made; no network is used. Kept are the output
layers alone, in fp16, hidden states at places of the test part with the words before them, and the
results of doubly sparse softmaxes retrained on the full one. The file's metadata says where it all comes from.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from ... import __version__
from ...alternatives import FullSoftmax
from ...alternatives import doubly_sparse_training as training
from ...alternatives.doubly_sparse import DoublySparseSoftmax
from ...corpora import Batches, Corpus, load
from ...decoding import accuracy, agreement
from ...files import cache_dir, writable_folder, write_whole
from ...layer import AdaptiveSoftmax
from ...lm.launch import run_name
from ...lm.run import Run
from ...lm.settings import Settings
from ...results.folders import own_results_folder, results_folder
from ...timing import describe

FILE = "small-models.safetensors"
FORMAT, VERSION = "adasoft small models", 1
#: Hidden states that are kept; W and N are chosen on the first half, reported on the second.
STATES = 1024
#: Words before each that are kept.
CONTEXT = 12
#: Of the best words: how many are compared.
TOPS = (1, 5, 10)
#: What is trained.
FULL = Settings(hidden=48, softmax="full", batch=32, bptt=20, epochs=3)
ADAPTIVE = Settings(hidden=48, softmax="adaptive", cutoffs=(1000, 4000), batch=32, bptt=20, epochs=3)
CORPUS: dict[str, Any] = {"tokens": 400_000, "valid_tokens": 10_000, "test_tokens": 10_000, "max_size": 8000}
#: Experts retrained on the full model's layer: number, and threshold of the rows.
EXPERTS = ((4, 0.1), (8, 0.1), (16, 0.1))
#: Tokens of the train part whose hidden states the experts are trained on.
EXPERT_TOKENS = 40_000


@dataclass(frozen=True)
class Experts:
    """A doubly sparse softmax retrained from the full layer; of its rows only where they are."""

    n_experts: int
    threshold: float
    members: Tensor
    """(K, V) bool, which expert knows which word."""
    gate: Tensor
    """(K, d)"""
    found: Mapping[str, Any]
    """Measured on the test states: shares, utilisation, outside, agreement, accuracy."""

    @property
    def label(self) -> str:
        """Its name in lists."""
        return f"{self.n_experts} experts, threshold {self.threshold:g}"

    def rebuilt(self, full: FullSoftmax) -> DoublySparseSoftmax:
        """Gate and experts as trained, with the rows of the full layer in place of the retrained ones: the same
        routing, sizes and time."""
        made = DoublySparseSoftmax(full.in_features, full.n_classes, 1)
        weight = full.output.weight.detach()
        rows = [members.nonzero().squeeze(1) for members in self.members]
        made.load_state_dict(
            {
                "gate.weight": self.gate,
                "weight": torch.cat([weight[r] for r in rows]),
                "members": torch.cat(rows),
                "sizes": torch.tensor([len(r) for r in rows]),
            }
        )
        made.shares = tuple(self.found["shares"])
        return made.eval()


@dataclass(frozen=True, eq=False)  # what is computed of them is kept by their identity
class SmallModels:
    """Output layers of a full and of an adaptive model, each with its own hidden states at the same places."""

    words: tuple[str, ...]
    counts: Tensor
    """(V,) in the text that was trained on."""
    full: FullSoftmax
    adaptive: AdaptiveSoftmax
    states: Tensor
    """(n, d), of the model with the full softmax."""
    adaptive_states: Tensor
    targets: Tensor
    """(n,), the words that follow."""
    contexts: Tensor
    """(n, CONTEXT), the words before."""
    experts: tuple[Experts, ...]
    about: Mapping[str, Any]
    """Corpus, settings, perplexities, machine, date, command."""

    def before(self, state: int) -> str:
        """The words before a state."""
        return " ".join(self.words[i] for i in self.contexts[state].tolist())


# ---------------------------------------------------------------------- reading


@lru_cache(maxsize=2)
def small_models(path: Path | None = None) -> SmallModels:
    """The models in a file, ``data/results/small-models.safetensors`` by default.

    Raises LookupError if there is none, ValueError if it is another kind of file.
    """
    path = path or results_folder() / FILE
    if not path.exists():
        command = f"python -m {__name__}"
        raise LookupError(f"{path.name} is not in data/results; make it: {command}")
    try:
        with safe_open(path, "pt") as file:
            notes = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if (notes.get("format"), notes.get("version")) != (FORMAT, str(VERSION)):
            raise ValueError(f"not of the format {FORMAT!r}, version {VERSION}")
        about, experts = json.loads(notes["about"]), json.loads(notes["experts"])
        words = tuple(bytes(tensors["words"].tolist()).decode().split("\n"))
        n, d = tensors["full"].shape
        full = FullSoftmax(d, n).eval()
        with torch.no_grad():
            full.output.weight.copy_(tensors["full"])
        adaptive = AdaptiveSoftmax(d, n, about["cutoffs"], widths=about["widths"]).eval()
        adaptive.load_state_dict(
            {k.removeprefix("adaptive."): v.float() for k, v in tensors.items() if k.startswith("adaptive.")}
        )
        made = [
            Experts(
                e["n_experts"],
                e["threshold"],
                _unpacked(tensors[f"members.{i}"], n),
                tensors[f"gate.{i}"].float(),
                e["found"],
            )
            for i, e in enumerate(experts)
        ]
        return SmallModels(
            words,
            tensors["counts"],
            full,
            adaptive,
            tensors["states"].float(),
            tensors["adaptive_states"].float(),
            tensors["targets"].long(),
            tensors["contexts"].long(),
            tuple(made),
            about,
        )
    except Exception as error:
        raise ValueError(f"{path.name} does not hold the small models: {type(error).__name__} {error}") from error


def _packed(members: Tensor) -> Tensor:
    return torch.from_numpy(np.packbits(members.numpy(), axis=1))


def _unpacked(bits: Tensor, n: int) -> Tensor:
    return torch.from_numpy(np.unpackbits(bits.numpy(), axis=1, count=n).astype(bool))


# ---------------------------------------------------------------------- making

Tell = Callable[[str], None]


def train_one(corpus: Corpus, settings: Settings, tell: Tell) -> Run:
    """A model trained to the end of its settings; from the cache if it is there."""
    path = cache_dir() / "runs" / run_name(corpus, settings, "cpu") / "checkpoint.safetensors"
    run = Run.resume(path, corpus, settings=settings) if path.exists() else Run(corpus, settings)
    for progress in run.steps(every=50):
        tell(f"{settings.softmax}: epoch {progress.epoch} of {settings.epochs}, {progress.loss:.2f} nats")
    path.parent.mkdir(parents=True, exist_ok=True)
    run.save(path)
    run.model.eval()
    return run


@torch.no_grad()
def read_states(run: Run, ids: Any, columns: int) -> tuple[Tensor, Tensor]:
    """Hidden states (n, d) of a text read in so many columns side by side, and the words that follow, (n,)."""
    windows, found, targets = Batches(ids, columns, run.settings.bptt), [], []
    state = None
    for i in range(len(windows)):
        x, target = (torch.from_numpy(np.ascontiguousarray(a)).long() for a in windows[i])
        hidden, state = run.model.hidden(x, state)
        found.append(hidden)
        targets.append(target)
    return torch.cat(found, 1).flatten(0, 1), torch.cat(targets, 1).flatten()


def retrain(
    full: FullSoftmax,
    n_experts: int,
    threshold: float,
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    tell: Tell,
    **more: Any,
) -> Experts:
    """Experts made of a trained layer, retrained with its hidden states as they are, and how good they are."""
    settings = training.Settings(stages=(n_experts,), **{**training.RETRAIN, "threshold": threshold, **more})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        softmax = DoublySparseSoftmax.from_full(full, n_experts)
    training.fit(
        softmax,
        *train,
        settings,
        progress=False,
        callback=lambda step, _: tell(f"{n_experts} experts, {threshold:g}: step {step.step}, {step.n_rows} rows"),
    )
    softmax.eval()
    hidden, target = test
    quality = softmax.evaluate(hidden, target)
    best, ours = full.topk(hidden, max(TOPS)).indices, softmax.topk(hidden, max(TOPS)).indices
    found = {
        "sizes": softmax.sizes.tolist(),
        "shares": list(quality.shares),
        "utilisation": quality.utilisation,
        "outside": quality.outside,
        "perplexity": quality.perplexity_all,
        **{f"agree {k}": agreement(ours, best, k) for k in TOPS},
        **{f"right {k}": accuracy(ours, target, k) for k in TOPS},
        **{f"full right {k}": accuracy(best, target, k) for k in TOPS},
        "settings": asdict(settings),
    }
    return Experts(n_experts, threshold, softmax.membership(), softmax.gate.weight.detach(), found)


def make(tell: Tell, command: str, path: Path) -> None:
    """Train both models and the experts, and write the file."""
    corpus = load("docs", **CORPUS)
    runs = {name: train_one(corpus, settings, tell) for name, settings in (("full", FULL), ("adaptive", ADAPTIVE))}
    ids = np.asarray(corpus.test)
    places = np.sort(np.random.default_rng(0).choice(np.arange(200, len(ids) - 2 - FULL.bptt), STATES, replace=False))
    order = np.random.default_rng(1).permutation(STATES)  # so that each half is from all of the text
    chosen = torch.from_numpy(places[order])
    states = {name: read_states(run, ids, 1)[0][chosen] for name, run in runs.items()}
    targets = torch.from_numpy(ids[places[order] + 1].astype(np.int64))
    contexts = torch.from_numpy(np.stack([ids[p - CONTEXT + 1 : p + 1] for p in places[order]]).astype(np.int32))
    # as a reader will have them: the layers and states in fp16
    full = FullSoftmax(FULL.hidden, corpus.n_classes).eval()
    with torch.no_grad():
        full.output.weight.copy_(runs["full"].model.softmax.output.weight.half())
    states = {name: value.half().float() for name, value in states.items()}
    train = read_states(runs["full"], np.asarray(corpus.train[:EXPERT_TOKENS]), 20)
    experts = [retrain(full, k, threshold, train, (states["full"], targets), tell) for k, threshold in EXPERTS]
    layer: Any = runs["adaptive"].model.softmax
    words = list(corpus.vocabulary.words or ())
    if any("\n" in word for word in words):
        raise ValueError("a word of the text holds a line end")
    tensors = {
        "full": full.output.weight.detach().half(),
        "states": states["full"].half(),
        "adaptive_states": states["adaptive"].half(),
        "targets": targets.to(torch.int16),
        "contexts": contexts.to(torch.int16),
        "words": torch.tensor(list("\n".join(words).encode()), dtype=torch.uint8),
        "counts": torch.from_numpy(np.asarray(corpus.vocabulary.counts).astype(np.int32)),
        **{f"adaptive.{k}": v.half() for k, v in layer.state_dict().items()},
        **{f"members.{i}": _packed(e.members) for i, e in enumerate(experts)},
        **{f"gate.{i}": e.gate.half() for i, e in enumerate(experts)},
    }
    epochs = {name: [asdict(e) for e in run.position.epochs] for name, run in runs.items()}
    about = {
        "corpus": corpus.name,
        "source": corpus.source,
        "licence": corpus.licence,
        "digest": corpus.digest,
        "V": corpus.n_classes,
        "train": len(corpus.train),
        "cutoffs": list(layer.cutoffs)[:-1],
        "widths": [tail[0].out_features for tail in layer.tail],
        "settings": {"full": FULL.changed(), "adaptive": ADAPTIVE.changed()},
        "perplexity": {name: run.perplexity("test") for name, run in runs.items()},
        "epochs": epochs,
        "device": describe("cpu"),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "adasoft": __version__,
        "command": command,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }
    described = [{"n_experts": e.n_experts, "threshold": e.threshold, "found": e.found} for e in experts]
    notes = {
        "format": FORMAT,
        "version": str(VERSION),
        "about": json.dumps(about),
        "experts": json.dumps(described),
    }

    write_whole(path, save({name: value.contiguous() for name, value in tensors.items()}, notes))
    tell(f"perplexities {about['perplexity']}, written to {path}, {path.stat().st_size / 2**20:.2f} MiB")


def main(arguments: Sequence[str] | None = None) -> int:
    """Train and write."""
    parser = argparse.ArgumentParser(prog=f"python -m {__spec__.name}", description=make.__doc__)
    parser.add_argument("--output", type=Path, default=own_results_folder() / FILE)
    options = parser.parse_args(arguments)
    writable_folder(options.output.parent)  # before the work
    given = sys.argv[1:] if arguments is None else list(arguments)
    make(
        lambda text: print(f"\r{text:<78}", end="", file=sys.stderr),
        shlex.join(["python", "-m", "adasoft.lessons.alternatives.small_models", *given]),
        options.output,
    )
    print(file=sys.stderr)
    return 0


if __name__ == "__main__":
    # the module as imported, not this copy
    raise SystemExit(importlib.import_module("adasoft.lessons.alternatives.small_models").main())
