"""What `bench attention` times and counts: caches filled with a history, and one word read after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ..text import Row

if TYPE_CHECKING:
    from torch import Tensor

    from ..attention import AttentionWeights, Decoder
    from ..lm.models import LanguageModel


@dataclass(frozen=True)
class Sizes:
    """Sizes of the model, and of what is read with it."""

    d: int = 256
    heads: int = 4
    layers: int = 2
    n_classes: int = 10_000
    histories: Sequence[int] = (64, 256, 1024, 4096)
    batches: Sequence[int] = (1, 8)
    beams: int = 4
    own: int = 32
    """Words of the history that each beam has for itself; the rest is the prompt, which they share."""
    budget: int = 2**28
    """Bytes of caches, for the largest batch."""
    budget_history: int = 1024
    most: int = 2**13
    """Words that are read again at most where there is no cache: more are left out."""
    vocabularies: Sequence[int] = (10_000, 100_000)
    seeds: int = 3
    words: int = 24
    """Words that are generated for each seed."""

    def told(self) -> Row:
        """As a record keeps them."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


ATTENTION_SIZES = Sizes()
ATTENTION_GPU = Sizes(
    1024, 16, n_classes=32_000, histories=(256, 1024, 4096, 16_384), batches=(1, 8, 64), budget=2**33, most=2**17
)
ATTENTION_TINY = Sizes(
    d=8,
    heads=2,
    layers=2,
    n_classes=50,
    histories=(4, 9),
    batches=(1, 2),
    beams=3,
    own=2,
    budget=8_000,
    budget_history=9,
    most=20,
    vocabularies=(50,),
    seeds=1,
    words=4,
)


class Kind(NamedTuple):
    """A cache by its name here."""

    cache: str
    copies: bool = False


#: With beams, and without, where nothing can be copied.
KINDS = {"keys and values": Kind("keys-values"), "copied": Kind("keys-values", True), "EL": Kind("el")}


def kinds_for(beams: int) -> dict[str, Kind]:
    """Those that differ."""
    return {name: kind for name, kind in KINDS.items() if beams > 1 or not kind.copies}


def model_of(sizes: Sizes, device: str, dtype: str, seed: int = 0, n_classes: int | None = None) -> LanguageModel:
    """An untrained model: its times do not depend on its weights."""
    import torch
    from torch import nn

    from .. import alternatives
    from ..lm.models import LanguageModel, Transformer

    torch.manual_seed(seed)
    n = n_classes or sizes.n_classes
    softmax = alternatives.build("full", sizes.d, range(n, 0, -1))
    body = Transformer(sizes.d, sizes.layers, sizes.heads)
    model = LanguageModel(nn.Embedding(n, sizes.d), body, softmax).eval()
    return model.to(device=device, dtype=getattr(torch, dtype))


def bytes_per_prompt(sizes: Sizes, kind: Kind, history: int, beams: int, itemsize: int) -> int:
    """Bytes of all layers' caches for one prompt and its beams, and room for the word that is read, counted."""
    from ..attention import cached_numbers

    own = min(sizes.own, history // 2) if beams > 1 else history
    rows = (history + 1) * beams if kind.copies else history - own + (own + 1) * beams
    return int(rows * sizes.layers * itemsize * cached_numbers(kind.cache, sizes.d))


def filled(model: LanguageModel, sizes: Sizes, kind: Kind, batch: int, history: int, beams: int) -> Decoder:
    """A decoder that has stored random inputs: ``history`` positions, the last few for each beam alone."""
    import torch

    body: Any = model.body
    decoder: Decoder = body.decoder(kind.cache, history + 1, copies=kind.copies)
    weight = next(model.parameters())
    own = min(sizes.own, history // 2) if beams > 1 else 0
    generator = torch.Generator(weight.device).manual_seed(0)

    def store(m: int, steps: int) -> None:
        for cache in decoder.caches:
            for begin in range(0, steps, 512):  # keys and values are made of some positions at a time
                shape = (batch, m, min(512, steps - begin), sizes.d)
                cache.store(torch.randn(shape, dtype=weight.dtype, device=weight.device, generator=generator))

    store(1, history - own)
    if beams > 1:
        decoder.branch(beams)
        store(beams, own)
    return decoder


# ---------------------------------------------------------------------- counted and measured


def cached_rows(sizes: Sizes) -> list[Row]:
    """Numbers per position and layer of every cache, counted and in bytes of memory taken."""
    import torch

    from ..attention import CrossEL, CrossKeysValues, ELCache, KeyValueCache, cached_numbers

    d, heads, layers, m, n, batch = sizes.d, sizes.heads, sizes.layers, sizes.beams, 50, 2
    full, groups = _weights(d, heads, heads), max(1, heads // 2)
    grouped = _weights(d, heads, groups)
    memory = torch.randn(batch, n, d)
    rows: list[Row] = []

    def add(name: str, counted: float, nbytes: int, of_layers: int = 1) -> None:
        measured = nbytes / memory.element_size() / (batch * n * of_layers)
        rows.append({"cache": name, "counted": counted, "measured": measured, "bytes": nbytes})

    for name, cache, copies in (
        ("self, keys and values", KeyValueCache(full, n), 1),
        (f"self, keys and values, copied for {m} beams", KeyValueCache(full, n), m),
        (f"self, keys and values, {groups} groups", KeyValueCache(grouped, n), 1),
        ("self, EL", ELCache(full, n), 1),
    ):
        cache.store(memory.unsqueeze(1))
        if copies > 1:
            cache.branch(copies, copies=True)
        given: Row = {"groups": groups, "heads": heads} if "groups" in name else {}
        kind = "el" if isinstance(cache, ELCache) else "keys-values"
        add(name, cached_numbers(kind, d, copies=copies, **given), cache.nbytes)
    stack = [full] * layers
    copied = CrossKeysValues(stack, memory, copies=m)
    add("cross, keys and values", cached_numbers("keys-values", d), CrossKeysValues(stack, memory).nbytes, layers)
    add(
        f"cross, keys and values, copied for {m} beams",
        cached_numbers("keys-values", d, copies=m),
        copied.nbytes,
        layers,
    )
    add(
        f"cross, EL, {layers} layers",
        cached_numbers("el", d, layers=layers),
        CrossEL(stack, memory).nbytes,
        layers,
    )
    return rows


def _weights(d: int, heads: int, groups: int) -> AttentionWeights:
    import torch

    from ..attention import AttentionWeights

    shapes = ((heads, d // heads, d), (groups, d // heads, d), (groups, d // heads, d), (d, d))
    return AttentionWeights(*(torch.randn(*shape) for shape in shapes))


def equal_words(sizes: Sizes, device: str) -> list[Row]:
    """Whether the three caches give the same ids, in fp32: by search, with a window that suffices and one that does
    not."""
    import torch

    rows = []
    for seed in range(sizes.seeds):
        model = model_of(sizes, device, "float32", seed)
        start = torch.randint(sizes.n_classes, (4, 8), generator=torch.Generator().manual_seed(seed)).to(device)
        for search in ("sample", "greedy", "beam"):
            for window in (8 + sizes.words, 8 + sizes.words // 2):
                found = []
                for cache in ("none", "keys-values", "el"):
                    given: Row = {"beams": sizes.beams} if search == "beam" else {}
                    if search == "sample":
                        given = {"generator": torch.Generator(device).manual_seed(seed)}
                    found.append(model.generate(start, sizes.words, window=window, cache=cache, search=search, **given))
                row = {"seed": seed, "search": search, "window": window, "words": len(start) * sizes.words}
                rows.append(row | {"equal": all(bool((found[0] == other).all()) for other in found[1:])})
    return rows


# ---------------------------------------------------------------------- timed


def attention_steps(
    model: LanguageModel, sizes: Sizes, batch: int, history: int, beams: int
) -> dict[str, Callable[[], Any]]:
    """One layer's attention alone, for one new word of each beam: by name, what is to be timed."""
    import torch

    from ..attention import AttentionWeights, attention

    weight = next(model.parameters())
    x = torch.randn(batch, beams, 1, sizes.d, dtype=weight.dtype, device=weight.device)
    steps: dict[str, Callable[[], Any]] = {}
    for name, kind in kinds_for(beams).items():
        cache = filled(model, sizes, kind, batch, history, beams).caches[0]

        def act(cache: Any = cache) -> None:
            cache.rewind(history)
            with torch.no_grad():
                cache.attend(x)

        steps[name] = act
    if beams == 1 and batch * history <= sizes.most:
        body: Any = model.body
        weights = AttentionWeights.of(body.blocks.layers[0])
        known = torch.randn(batch, history + 1, sizes.d, dtype=weight.dtype, device=weight.device)

        def again() -> None:
            with torch.no_grad():
                attention(weights, known[:, -1:], known)

        steps["none"] = again
    return steps


def word_steps(
    model: LanguageModel, sizes: Sizes, kinds: dict[str, Kind], batch: int, history: int, beams: int
) -> dict[str, Callable[[], Any]]:
    """The whole body for one new word of each beam, beams handed on; and the softmax's best words."""
    import torch

    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(sizes.n_classes, (batch, beams, 1), generator=generator).to(device)
    parent = torch.randint(beams, (batch, beams), generator=generator).to(device)
    steps: dict[str, Callable[[], Any]] = {}
    for name, kind in kinds.items():
        steps[name] = _reading(model, filled(model, sizes, kind, batch, history, beams), ids, parent, history)
    if batch * beams * history <= sizes.most:
        words = torch.randint(sizes.n_classes, (batch * beams, history + 1), generator=generator).to(device)

        def again() -> None:
            with torch.no_grad():
                model.hidden(words)

        steps["none"] = again
    return steps


def _reading(model: Any, decoder: Decoder, ids: Tensor, parent: Tensor, history: int) -> Callable[[], None]:
    import torch

    def act() -> None:
        decoder.rewind(history)
        with torch.no_grad():
            if ids.shape[1] > 1:
                decoder.select(parent)
            decoder.read(model.body.positioned(model.embedding(ids), history))

    return act


def output_step(model: Any, sizes: Sizes, rows: int, best: int) -> Callable[[], Any]:
    """The softmax's ``best`` words of some rows."""
    import torch

    weight = next(model.parameters())
    hidden = torch.randn(rows, sizes.d, dtype=weight.dtype, device=weight.device)
    return lambda: model.softmax.topk(hidden, best)
