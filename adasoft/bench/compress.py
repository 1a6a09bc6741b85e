"""`adasoft compress`: the ingredients of MicroNet's winner one after the other, on a text of the reader's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from ..checks import integer
from ..files import DamagedFile, cache_dir
from ..text import WIDTH, Row, Say, counted, table, wrapped
from .common import provenance
from .compress_sizes import CompressSizes

if TYPE_CHECKING:
    from torch import Tensor

    from ..compress import SoftLabels
    from ..corpora import Corpus
    from ..lm.models import LanguageModel

_FORMAT, _VERSION = "adasoft compress", 1
#: The teacher's seed, which no student has.
_TEACHER = 1_000_003
#: A row of the table: what it adds, the part that holds the model, and whether it has the cache.
ROWS: tuple[tuple[str, str, bool], ...] = (
    ("adaptive", "adaptive", False),
    ("+ cache", "adaptive", True),
    ("(Hebbian)", "hebbian", True),
    ("+ distilled", "distilled", True),
    ("+ pruned", "pruned", True),
    ("(as long)", "trained on", True),
    ("+ quantised", "quantised", True),
    ("(as long)", "trained on twice", True),
)
#: Bands of ranks in the printed table; each begins at an edge of `adasoft.lm.evaluation.BANDS`.
_BANDS = ((0, 100), (100, 2_000), (2_000, 10_000), (10_000, None))


def bench_compress(corpus: Corpus, sizes: CompressSizes | None = None, *, seeds: int = 3, say: Say = print) -> Row:
    """Perplexity, parameters, operations and loss by rank, as each ingredient joins: `ROWS`.

    A small LSTM between an adaptive embedding and an adaptive softmax; a larger teacher's best words; pruning by
    sensitivities (found once, on the first seed's model); rounding. Rows in brackets stand aside. *Hebbian*: the model
    of the row above, trained with the update of matched lengths; the rows below have none, as the authors' had none in
    effect (their released update acts on a copy). *As long*: pruning and rounding go on training, so the distilled
    model trained on for as long without them is their control. Rows are means over the seeds.

    What is done is kept in the cache and not done again; a part that was interrupted begins anew.

    Raises ValueError for a text without a validation part of ``sizes.tuning`` words and more.
    """
    sizes, seeds = sizes or CompressSizes(), integer("seeds", seeds, 1)
    if len(corpus.valid) < sizes.tuning + 2:
        least = f"{sizes.tuning + 1:,}"
        raise ValueError(
            f"text should have a validation part of more than {least} words, got {len(corpus.valid):,}; give a longer "
            "text, or --tiny"
        )
    chain = _Chain(corpus, sizes, say)
    say(
        f"{corpus.name}: {len(corpus.train):,} tokens, V = {corpus.n_classes:,}; finished parts are kept in "
        f"{chain.folder}"
    )
    found = [chain.of_seed(seed) for seed in range(seeds)]
    rows = [_row(name, part, cached, found) for name, part, cached in ROWS]
    record = {
        "bench": "compress",
        **provenance("cpu"),
        "corpus": {"name": corpus.name, "digest": corpus.digest, "V": corpus.n_classes, "train": len(corpus.train)},
        "settings": {"seeds": seeds, **sizes.as_row()},
        "teacher": chain.about("teacher", 0),
        "sensitivities": chain.about("sensitivities", 0),
        "rows": rows,
        "seeds": found,
    }
    say(compress_table(rows))
    say(wrapped(_words(sizes, seeds, record["teacher"])))
    return record


def compress_table(rows: Sequence[Row]) -> str:
    """The rows as text."""
    bands = [name for name in rows[0] if name.startswith("ranks")]
    columns = ["model", "perplexity", "least", "most", "parameters", "operations", *bands]
    return table(rows, columns, WIDTH)


def _words(sizes: CompressSizes, seeds: int, teacher: Row) -> str:
    return (
        f"perplexity: on {sizes.report:,} words after the {sizes.tuning:,} on which cache and sparsities were chosen; "
        f"mean, least and most of {counted(seeds, 'seed')}; parameters: in numbers of 32 bits; operations: for one "
        f"token, as MicroNet counts them; ranks: nats per token of words of these ranks. Rows in brackets stand aside: "
        f"the Hebbian update, which the rows below do without; and the distilled model trained on for as long as "
        f"pruning takes, and as long again as rounding takes. The teacher's perplexity: {teacher['perplexity']:,.1f}, "
        f"with cache {teacher['perplexity with cache']:,.1f}"
    )


def _row(name: str, part: str, cached: bool, found: Sequence[Mapping[str, Row]]) -> Row:
    which = " with cache" if cached else ""
    values = [of_seed[part][f"perplexity{which}"] for of_seed in found]
    row: Row = {"model": name, "perplexity": float(np.mean(values)), "least": min(values), "most": max(values)}
    for figure in ("parameters", "operations"):
        row[figure] = round(float(np.mean([of_seed[part][f"{figure}{which}"] for of_seed in found])))
    return row | _by_band([of_seed[part][f"by rank{which}"] for of_seed in found])


def _by_band(found: Sequence[Mapping[str, Sequence[float]]]) -> Row:
    """Nats per token in each band, over all seeds; without bands that no word lies in."""
    out: Row = {}
    for start, stop in _BANDS:
        tokens = nats = 0.0
        for one in found:
            for first, n, sum_ in zip(one["from rank"], one["tokens"], one["nats"], strict=True):
                if first >= start and (stop is None or first < stop):
                    tokens, nats = tokens + n, nats + sum_
        if tokens:
            out[f"ranks {start:,}+"] = nats / tokens
    return out


class _Chain:
    """The parts of an experiment, each made once and kept."""

    def __init__(self, corpus: Corpus, sizes: CompressSizes, say: Say) -> None:
        self.corpus, self.sizes, self.say = corpus, sizes, say
        key = json.dumps([_VERSION, __version__, corpus.digest, sizes.as_row()], sort_keys=True)
        self.folder = cache_dir() / "compress" / hashlib.sha256(key.encode()).hexdigest()[:16]
        self._labels: SoftLabels | None = None

    def _path(self, part: str, seed: int) -> Path:
        return self.folder / f"{part.replace(' ', '-')}-seed{seed}.safetensors"

    def about(self, part: str, seed: int) -> Row:
        """What a part that is done says of itself."""
        return dict(self._read(part, seed)[0]["figures"])

    def _read(self, part: str, seed: int) -> tuple[Row, dict[str, Tensor]]:
        from ..lm.checkpoint import read_checkpoint

        path = self._path(part, seed)
        about, tensors = read_checkpoint(path, _FORMAT, _VERSION)
        if not isinstance(about.get("figures"), dict):
            raise DamagedFile(path, "figures is missing")
        return about, tensors

    def kept(self, part: str, seed: int, make: Callable[[], tuple[Row, Mapping[str, Tensor]]]) -> Row:
        """The figures of a part: those kept, or made now."""
        from ..lm.checkpoint import write_checkpoint

        if not self._path(part, seed).exists():
            figures, tensors = make()
            about = {"format": _FORMAT, "version": _VERSION, "figures": figures}
            write_checkpoint(self._path(part, seed), about, tensors)
        figures = self.about(part, seed)
        if "perplexity" in figures:
            cached = figures.get("perplexity with cache")
            more = "" if cached is None else f", with cache {cached:,.1f}"
            self.say(f"seed {seed}, {part}: perplexity {figures['perplexity']:,.1f}{more}")
        return figures

    def of_seed(self, seed: int) -> dict[str, Row]:
        """The figures of every part of a seed."""
        if seed == 0:
            self.kept("teacher", 0, self._teacher)
        makers: dict[str, Callable[[int], tuple[Row, Mapping[str, Tensor]]]] = {
            "adaptive": self._adaptive,
            "hebbian": self._hebbian,
            "distilled": self._distilled,
            "pruned": self._pruned,
            "quantised": self._quantised,
            "trained on": partial(self._trained_on, "distilled"),
            "trained on twice": partial(self._trained_on, "trained on"),
        }
        return {part: self.kept(part, seed, partial(make, seed)) for part, make in makers.items()}

    # ------------------------------------------------------------------ the parts

    def _fresh(self, seed: int) -> LanguageModel:
        from .compress_parts import untrained

        return untrained(self.corpus, self.sizes.hidden, seed)

    def _trained(self, part: str, seed: int) -> LanguageModel:
        model = self._fresh(seed)
        model.load_state_dict(self._read(part, seed)[1])
        return model

    def _result(self, model: LanguageModel, bits: int = 32, masked: bool = False) -> tuple[Row, Mapping[str, Tensor]]:
        from .compress_parts import measured

        return measured(model, self.corpus, self.sizes, bits, masked=masked), model.state_dict()

    def _fit(self, model: LanguageModel, name: str, seed: int, on: bool, **ingredients: Any) -> None:
        from .compress_parts import Ingredients, fit

        epochs, rate = (self.sizes.more, self.sizes.rate / 4) if on else (self.sizes.epochs, self.sizes.rate)
        title = f"seed {seed}, {name}"
        fit(model, self.corpus, self.sizes, epochs, rate, title, Ingredients(**ingredients), seed=seed)

    def _teacher(self) -> tuple[Row, Mapping[str, Tensor]]:
        from .compress_parts import fit, measured, untrained

        sizes = self.sizes
        teacher = untrained(self.corpus, sizes.teacher, _TEACHER, dropout=0.2)
        fit(teacher, self.corpus, sizes, sizes.epochs + 1, sizes.rate, "teacher", seed=_TEACHER)
        return measured(teacher, self.corpus, sizes), teacher.state_dict()

    def _taught(self) -> tuple[Row, Mapping[str, Tensor]]:
        from .compress_parts import taught, untrained

        teacher = untrained(self.corpus, self.sizes.teacher, _TEACHER)
        teacher.load_state_dict(self._read("teacher", 0)[1])
        return {"words": self.sizes.labels}, taught(teacher, self.corpus, self.sizes)._asdict()

    def labels(self) -> SoftLabels:
        """The teacher's words."""
        from ..compress import SoftLabels

        if self._labels is None:
            self.kept("labels", 0, self._taught)
            self._labels = SoftLabels(**self._read("labels", 0)[1])
        return self._labels

    def _adaptive(self, seed: int) -> tuple[Row, Mapping[str, Tensor]]:
        model = self._fresh(seed)
        self._fit(model, "adaptive", seed, False)
        return self._result(model)

    def _hebbian(self, seed: int) -> tuple[Row, Mapping[str, Tensor]]:
        from ..memory import HebbianUpdate

        model = self._fresh(seed)
        self._fit(model, "hebbian", seed, False, hebbian=HebbianUpdate(model.softmax, match_norm=True))
        return self._result(model)

    def _distilled(self, seed: int) -> tuple[Row, Mapping[str, Tensor]]:
        model = self._fresh(seed)
        self._fit(model, "distilled", seed, False, labels=self.labels())
        return self._result(model)

    def _trained_on(self, before: str, seed: int) -> tuple[Row, Mapping[str, Tensor]]:
        model = self._trained(before, seed)
        self._fit(model, "trained on", seed, True)
        return self._result(model)

    def _pruned(self, seed: int) -> tuple[Row, Mapping[str, Tensor]]:
        from ..compress import GradualPruning
        from ..corpora import Batches

        # the sparsities of all seeds are those that the first one's model bears
        final = self.kept("sensitivities", 0, self._sensitivities)["sparsities"]
        model = self._trained("distilled", seed)
        steps = round(self.sizes.more * len(Batches(self.corpus.train, self.sizes.batch, self.sizes.bptt)))
        end = max(1, 2 * steps // 3)
        pruning = GradualPruning(_matrices(model), final, 0, end, every=max(1, end // 20))
        self._fit(model, "pruned", seed, True, after=pruning.step)
        return self._result(model, masked=True)

    def _sensitivities(self) -> tuple[Row, Mapping[str, Tensor]]:
        import torch

        from ..compress import common_threshold, sensitivities
        from ..lm.evaluation import nats_of, perplexity

        model = self._trained("distilled", 0)
        matrices, ids = _matrices(model), self.corpus.valid[: min(self.sizes.tuning, 4_000)]

        def now() -> float:
            return perplexity(float(nats_of(model, ids, 8, 50, torch.device("cpu"))[1].mean()))

        curves = sensitivities(matrices, now, self.sizes.grid)
        counts = {name: matrix.numel() for name, matrix in matrices.items()}
        bound, sparsities = common_threshold(curves, counts, self.sizes.sparsity)
        points = {name: [list(curve), list(curve.values())] for name, curve in curves.items()}
        return {"bound": bound, "sparsities": sparsities, "curves": points}, {"grid": torch.tensor(self.sizes.grid)}

    def _quantised(self, seed: int) -> tuple[Row, Mapping[str, Tensor]]:
        from .compress_parts import RoundedBody

        model = self._trained("pruned", seed)
        matrices = _matrices(model)
        zeros = {name: matrix.detach() == 0 for name, matrix in matrices.items()}
        model.body = RoundedBody(model.body, self.sizes.bits)

        def stay_pruned(_: int) -> None:
            for name, matrix in matrices.items():
                matrix.data.masked_fill_(zeros[name], 0.0)

        self._fit(model, "quantised", seed, True, after=stay_pruned, bits=self.sizes.bits)
        return self._result(model, self.sizes.bits, masked=True)


def _matrices(model: LanguageModel) -> dict[str, Any]:
    """What is pruned: every matrix, each once."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.dim() == 2}
