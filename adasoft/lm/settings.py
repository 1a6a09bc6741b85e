"""What is trained, and how: the settings of a run, its clusters, and the model and optimizer they describe."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from numbers import Integral, Real
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from .. import alternatives
from ..alternatives.d_softmax import proportional_widths
from ..corpora import Corpus
from ..cost import Cost
from ..embedding import AdaptiveEmbedding
from ..files import short
from ..layer import AdaptiveSoftmax
from ..planning import Infeasible, default_widths, plan
from ..records import load_cost
from .models import CELLS, LanguageModel, Recurrent, Stepwise, Transformer

MODELS = (*CELLS, "transformer")
EMBEDDINGS = ("plain", "adaptive", "tied")
OPTIMIZERS = ("adagrad", "adam", "adamw", "sgd")
DTYPES = ("float32", "bfloat16", "float16")
#: Cutoffs of the authors' scripts by the size of the vocabulary: Penn Treebank, Text8, One Billion Word.
AUTHORS_CUTOFFS = ((10_000, (2_000,)), (200_000, (2_000, 10_000)), (math.inf, (4_000, 40_000, 200_000)))


def authors_cutoffs(n_classes: int) -> tuple[int, ...]:
    """The cutoffs that the authors chose for a vocabulary of about this size, as far as they fit into it.

    >>> authors_cutoffs(44_000)
    (2000, 10000)
    """
    chosen = next(cutoffs for size, cutoffs in AUTHORS_CUTOFFS if n_classes <= size)
    return tuple(c for c in chosen if c < n_classes)


#: Least and largest value of the settings that are integers. Sizes go into 32 bits somewhere; a seed into 64.
_SIZE = 2**31 - 1
_INTEGERS = {
    "hidden": (1, _SIZE),
    "layers": (1, 10_000),
    "heads": (1, _SIZE),
    "bptt": (1, _SIZE),
    "batch": (1, _SIZE),
    "epochs": (1, _SIZE),
    "warmup": (0, _SIZE),
    "seed": (0, 2**63 - 1),
    "embedding_size": (1, _SIZE),
    "halve_from": (1, _SIZE),
    "n_tails": (0, _SIZE),
}
#: Settings that only stored runs have: no options of a command.
RETIRED = ("min_mean_width",)
_MAY_BE_NONE = ("embedding_size", "halve_from", "n_tails")
_Rule = tuple[str, Callable[[Any], bool]]
_SHARE: _Rule = ("at least 0 and below 1", lambda value: 0 <= value < 1)
_AT_LEAST_0: _Rule = ("at least 0 and finite", lambda value: 0 <= value < math.inf)
#: What holds for the settings that are other numbers.
_NUMBERS: dict[str, _Rule] = {
    "dropout": _SHARE,
    "tail_dropout": _SHARE,
    "min_head_share": ("between 0 and 1", lambda value: 0 <= value <= 1),
    "min_mean_width": ("between 0 and 1", lambda value: 0 <= value <= 1),
    "width_ratio": ("at least 1 and finite", lambda value: 1 <= value < math.inf),
    "samples": ("above 0 and at most 1", lambda value: 0 < value <= 1),
    "learning_rate": ("above 0 and finite", lambda value: 0 < value < math.inf),
    "weight_decay": _AT_LEAST_0,
    "clip": _AT_LEAST_0,
}


@dataclass(frozen=True)
class Settings:
    """What is trained, and how. The defaults are those of Grave et al. 2017 for Text8.

    >>> settings = Settings(softmax="adaptive", cutoffs=(2000, 10000), batch=64)
    >>> settings.tokens, settings.changed()
    (1280, {'cutoffs': (2000, 10000), 'batch': 64})
    >>> Settings(dropout=1.5)
    Traceback (most recent call last):
    ValueError: dropout should be at least 0 and below 1, got 1.5

    Raises ValueError for a value out of range, TypeError for one of a wrong type.
    """

    model: str = "lstm"
    """One of :data:`MODELS`, or a cell or body of your own as ``"file.py:Name"`` (:func:`own_body`)."""
    hidden: int = 512
    """d: size of every layer, and of what the softmax gets."""
    layers: int = 1
    heads: int = 4
    """Attention heads of a Transformer."""
    embedding: str = "plain"
    """``"plain"``; ``"adaptive"``, with the softmax's clusters; ``"tied"``, with the softmax's own weights."""
    embedding_size: int | None = None
    """Width of a plain embedding; None: d."""
    dropout: float = 0.0
    softmax: str = "adaptive"
    """One of :data:`adasoft.alternatives.NAMES`."""
    cutoffs: str | tuple[int, ...] = "authors"
    """``"authors"``, ``"plan"``, or numbers, for the softmaxes that have clusters."""
    min_head_share: float = 0.75
    """For ``cutoffs="plan"``: least share of tokens in the head."""
    min_mean_width: float = 0.0
    """Only of stored runs: a floor that plans no longer have, so :func:`partition` refuses anything above 0."""
    n_tails: int | None = None
    """For ``cutoffs="plan"``; None: the best of 0 to 5."""
    width_ratio: float = 4.0
    """For the adaptive softmax and D-softmax*: tail i has the width d / width_ratio^i, at least 8."""
    tail_dropout: float = 0.0
    """For the adaptive softmax: dropout of what is projected for a tail."""
    samples: float = 0.2
    """For the sampled softmax: share of the V words that is drawn."""
    optimizer: str = "adagrad"
    learning_rate: float = 0.1
    weight_decay: float = 1e-6
    clip: float = 1.0
    """Largest norm of the gradient; 0: none."""
    halve_from: int | None = None
    """The learning rate is halved before each epoch from this one on (counted from 1)."""
    warmup: int = 0
    """Steps at the start over which the learning rate rises linearly to its value. Adagrad moves every weight by the
    whole learning rate in its first step; where two matrices follow each other, as in the tails of the adaptive
    softmax, that throws the logits far off."""
    bptt: int = 20
    """Steps T of a window."""
    batch: int = 128
    """Sequences side by side, over all processes."""
    epochs: int = 5
    seed: int = 0
    dtype: str = "float32"
    """``"bfloat16"`` or ``"float16"``: autocast (with a scaled loss for the latter)."""

    def __post_init__(self) -> None:
        if not isinstance(self.cutoffs, str):
            if not isinstance(self.cutoffs, Iterable):
                raise TypeError(f"cutoffs should be 'plan', 'authors' or integers, got {self.cutoffs!r}")
            for cutoff in self.cutoffs:
                if isinstance(cutoff, bool) or not isinstance(cutoff, Integral):
                    raise TypeError(f"cutoffs should be 'plan', 'authors' or integers, got {cutoff!r} among them")
            object.__setattr__(self, "cutoffs", tuple(int(c) for c in self.cutoffs))
        choices = {"model": MODELS, "embedding": EMBEDDINGS, "optimizer": OPTIMIZERS, "dtype": DTYPES}
        for name, known in {**choices, "softmax": alternatives.NAMES}.items():
            own = name == "model" and ".py:" in str(self.model)
            if getattr(self, name) not in known and not own:
                raise ValueError(f"{name} should be one of {', '.join(known)}, got {getattr(self, name)!r}")
        if isinstance(self.cutoffs, str) and self.cutoffs not in ("plan", "authors"):
            raise ValueError(f"cutoffs should be 'plan', 'authors' or numbers, got {self.cutoffs!r}")
        for name, (least, most) in _INTEGERS.items():
            value = getattr(self, name)
            if name in _MAY_BE_NONE and value is None:  # without a value, these are off
                continue
            if isinstance(value, bool) or not isinstance(value, Integral):
                raise TypeError(f"{name} should be an integer, got {value!r}")
            number = int(value)  # NumPy's would not go into JSON
            if number < least:
                raise ValueError(f"{name} should be at least {least}, got {short(number)}")
            if number > most:
                raise ValueError(f"{name} should be at most {most}, got {short(number)}")
            object.__setattr__(self, name, number)
        for name, (rule, fits) in _NUMBERS.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Real):
                raise TypeError(f"{name} should be a number, got {value!r}")
            if not fits(value):
                raise ValueError(f"{name} should be {rule}, got {value!r}")
            if not isinstance(value, (int, float)):
                object.__setattr__(self, name, float(value))
        tied_to_full = (self.embedding, self.softmax) == ("tied", "full")
        if self.embedding != "plain" and self.softmax != "adaptive" and not tied_to_full:
            raise ValueError(
                f"embedding={self.embedding!r} needs softmax='adaptive' (or 'tied' with 'full'), got {self.softmax!r}"
            )
        if self.embedding_size is not None and self.model == "transformer" and self.embedding_size != self.hidden:
            raise ValueError(
                f"embedding_size of a Transformer is its hidden size {self.hidden}, got {self.embedding_size}"
            )
        if self.embedding_size is not None and self.embedding != "plain" and self.embedding_size != self.hidden:
            raise ValueError(f"embedding_size of embedding={self.embedding!r} is the hidden size, {self.hidden}")

    @property
    def tokens(self) -> int:
        """B, tokens of a training step."""
        return self.batch * self.bptt

    def changed(self) -> dict[str, Any]:
        """The values that differ from the defaults: settings added in a later version do not change it."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Settings:
        """The settings that :func:`dataclasses.asdict` turned into a mapping and JSON kept.

        Raises ValueError for names it does not know, and as the class does.
        """
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"settings hold {unknown[0]!r}, which this version of adasoft does not know")
        fitting: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**fitting)


#: Settings by name. ``authors``: the values of the authors' script where they differ from the paper (their row-wise
#: Adagrad for embeddings is not among torch's optimizers and left out).
PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "authors": {"clip": 0.25, "halve_from": 3, "dropout": 0.25, "weight_decay": 0.0},
    "transformer": {
        "model": "transformer",
        "layers": 2,
        "optimizer": "adamw",
        "learning_rate": 1e-3,
        "weight_decay": 0.01,
        "bptt": 64,
        "batch": 32,
        "dropout": 0.1,
    },
}


class Partition(NamedTuple):
    """The clusters of a softmax, decided once at the start of a run and kept in its checkpoints."""

    cutoffs: tuple[int, ...]
    widths: tuple[int, ...]
    """Of the tails; of D-softmax, of all its bands."""
    cost: str
    """Name of the cost model, if planned."""


def partition(settings: Settings, corpus: Corpus, cost: Cost | None = None, device: str = "cpu") -> Partition:
    """Cutoffs and widths as the settings ask. A plan without tails (a full softmax is fastest) has no cutoffs.

    ``cost``: for ``cutoffs="plan"``; None: the record of this machine, else the recorded one of this device type.

    Raises ValueError if the authors' cutoffs are asked for and none is below V, or a D-softmax is left without any.
    """
    if settings.softmax not in ("adaptive", "d-softmax", "d-softmax-star"):
        return Partition((), (), "")
    if settings.cutoffs == "plan":
        if settings.min_mean_width:
            raise ValueError(
                f"min_mean_width should be 0 in a new run, since plans no longer choose widths, got "
                f"{settings.min_mean_width:g}; width_ratio=2 makes the tails wider"
            )
        cost = load_cost(device) if cost is None else cost
        numbers = range(6) if settings.n_tails is None else [settings.n_tails]
        plans = []
        for n in numbers:
            try:
                plans.append(
                    plan(
                        corpus.vocabulary,
                        settings.hidden,
                        settings.tokens,
                        cost=cost,
                        n_tails=n,
                        widths=tail_widths(settings, n),
                        min_head_share=settings.min_head_share,
                    )
                )
            except Infeasible:
                # the floor on the head can leave too few words for many tails; the last number is not excused
                if n == numbers[-1] and not plans:
                    raise
        made = min(plans, key=lambda p: p.time)
        found = Partition(tuple(made.cutoffs), tuple(made.widths), made.cost)
    else:
        named = authors_cutoffs(corpus.n_classes)
        cutoffs = named if isinstance(settings.cutoffs, str) else settings.cutoffs
        found = Partition(cutoffs, tail_widths(settings, len(cutoffs)), "")
        if not cutoffs:
            raise ValueError(
                f"cutoffs={settings.cutoffs!r}: the authors cut at {AUTHORS_CUTOFFS[0][1][0]:,} words or more, this "
                f"text has V = {corpus.n_classes:,}; give numbers, 'plan', or softmax='full'"
            )
    if settings.softmax == "adaptive":
        return found
    if not found.cutoffs:
        raise ValueError(f"cutoffs='plan': the fastest is a full softmax here, and {settings.softmax} needs cutoffs")
    if settings.softmax == "d-softmax":
        found = found._replace(widths=tuple(proportional_widths(settings.hidden, len(found.cutoffs) + 1)))
    return found


def tail_widths(settings: Settings, n_tails: int) -> tuple[int, ...]:
    """d / ratio, d / ratio^2 ..., at least 8."""
    return tuple(default_widths(settings.hidden, n_tails, settings.width_ratio))


def build_softmax(settings: Settings, corpus: Corpus, clusters: Partition) -> Any:
    """The softmax of a run, by rank. A plan without tails is a full softmax."""
    name, options = settings.softmax, {}
    if name == "adaptive" and not clusters.cutoffs:
        name = "full"
    if name == "adaptive":
        options = {"widths": clusters.widths, "tail_dropout": settings.tail_dropout}
    if name == "sampled":
        options = {"n_samples": max(1, round(settings.samples * corpus.n_classes))}
    if name in ("adaptive", "d-softmax", "d-softmax-star"):
        options["cutoffs"] = clusters.cutoffs
    if name == "d-softmax-star":
        options["widths"] = clusters.widths
    return alternatives.build(name, settings.hidden, corpus.vocabulary, **options)


#: ``(in_features, out_features) -> body``, see :mod:`adasoft.lm.models`.
BodyMaker = Callable[[int, int], nn.Module]


def build_model(
    settings: Settings, corpus: Corpus, clusters: Partition, *, body: BodyMaker | None = None
) -> LanguageModel:
    """The model of a run, its weights drawn from torch's generator as it stands.

    ``body``: makes one of your own instead of ``settings.model``; :class:`adasoft.lm.models.Stepwise` makes one of a
    cell.
    """
    d, n = settings.hidden, corpus.n_classes
    softmax = build_softmax(settings, corpus, clusters)
    width = settings.embedding_size or d
    embedding: nn.Module
    if settings.embedding == "plain" or not isinstance(softmax, AdaptiveSoftmax):
        embedding = nn.Embedding(n, width)
        # of about the length 1: a Transformer multiplies them by sqrt(d), recurrent gates start unsaturated
        nn.init.normal_(embedding.weight, std=width**-0.5)
        if settings.embedding == "tied":
            embedding.weight = softmax.output.weight
            nn.init.normal_(embedding.weight, std=width**-0.5)
    elif settings.embedding == "tied":
        embedding = AdaptiveEmbedding.tied(softmax)
    else:
        embedding = AdaptiveEmbedding(n, d, clusters.cutoffs, widths=clusters.widths)
    if body is None and ":" in settings.model:
        body = own_body(settings.model)
    if body is not None:
        middle = body(width, d)
    elif settings.model == "transformer":
        middle = Transformer(d, settings.layers, settings.heads, settings.dropout)
    else:
        middle = Recurrent(width, [d] * settings.layers, settings.model, settings.dropout)
    return LanguageModel(embedding, middle, softmax, settings.dropout)


def build_optimizer(settings: Settings, model: nn.Module, device: torch.device) -> torch.optim.Optimizer:
    """The optimizer of a run; its learning rate is that after the warm-up."""
    kinds: dict[str, Any] = {
        "adagrad": torch.optim.Adagrad,
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
        "sgd": torch.optim.SGD,
    }
    # one pass over the numbers instead of four; torch has Adagrad's for the CPU only
    fused = device.type == "cpu" or settings.optimizer != "adagrad"
    optimizer: torch.optim.Optimizer = kinds[settings.optimizer](
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=fused or None
    )
    return optimizer


def own_body(place: str) -> BodyMaker:
    """A maker of the body that ``"file.py:Name"`` names: ``Name(in_features, out_features)`` gives a body or a cell.

    It should draw random numbers from torch's generators only: a checkpoint keeps those, not NumPy's or Python's.

    Raises FileNotFoundError, AttributeError or TypeError, with the reason, if it cannot be found there.
    """
    import importlib.util

    file, _, name = place.rpartition(":")
    if not Path(file).is_file():
        raise FileNotFoundError(f"model {place!r}: there is no file {file!r}")
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    if spec is None or spec.loader is None:
        raise TypeError(f"model {place!r}: {file!r} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, name):
        raise AttributeError(f"model {place!r}: {file!r} defines no {name!r}")
    maker = getattr(module, name)

    def make(in_features: int, out_features: int) -> nn.Module:
        body: Any = maker(in_features, out_features)
        return body if hasattr(body, "out_features") else Stepwise(in_features, out_features, body)

    return make
