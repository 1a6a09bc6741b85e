"""`bench decode --run`: the best words by full, SVD-softmax, doubly sparse and adaptive softmax, on trained models."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..decoding import accuracy, agreement
from ..files import cache_dir
from ..results.suite import SUITE
from ..text import Row, Say, table
from .common import provenance
from .training import possible

if TYPE_CHECKING:
    from torch import Tensor

    from ..corpora import Corpus
    from ..lm.run import Run
    from ..lm.settings import Settings

#: Rows of the table whose adaptive softmaxes are compared.
ADAPTIVE = ("adaptive", "planned-0.75", "planned-wide-0.85")
#: How many of the best words are asked for and compared.
TOPS = (1, 5, 10)
#: Rows that are answered at once; a single row is timed as well.
BLOCK = 256
#: Share of the full softmax's ten best words that SVD-softmax should find on the validation part.
RECALL = 0.99


def states(run: Run, part: str, n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """``n`` hidden states (n, d) of a model at random places of a part of its corpus, and the words that follow, (n,).

    The model reads the part, ``"train"``, ``"valid"`` or ``"test"``, as in its evaluation, state carried. If the part
    is shorter, there are fewer.
    """
    import torch

    from ..corpora import Batches

    ids = getattr(run.corpus, part)
    columns = max(1, min(run.settings.batch, len(ids) // 500))
    windows = Batches(ids, columns, run.settings.bptt)
    random = np.random.default_rng(seed)
    found, targets, state = [], [], None
    # some of every window, of at least four times as many as are wanted, mixed afterwards
    each = max(1, min(columns * run.settings.bptt, -(-4 * n // len(windows))))
    run.model.eval()
    with torch.no_grad():
        for i in range(len(windows)):
            x, target = (torch.from_numpy(np.ascontiguousarray(a)).to(run.device) for a in windows[i])
            hidden, state = run.model.hidden(x, state)
            rows = torch.from_numpy(random.permutation(target.numel())[:each]).to(run.device)
            found.append(hidden.flatten(0, 1)[rows])
            targets.append(target.flatten()[rows])
    whole, following = torch.cat(found), torch.cat(targets)
    chosen = torch.from_numpy(random.permutation(len(whole))[:n]).to(run.device)
    return whole[chosen], following[chosen]


def bench_compare(
    corpus: Corpus,
    settings: Settings,
    *,
    experts: Sequence[int] = (8, 16),
    device: str = "cpu",
    rounds: int = 15,
    rows: int = 2048,
    say: Say = print,
) -> Row:
    """Full, SVD-softmax, doubly sparse and adaptive softmax on models trained alike, in turns.

    The models are the runs "full" and :data:`ADAPTIVE` of the table: trained first if they are not in the cache.
    SVD-softmax and doubly sparse softmax are made from the full one; the adaptive ones are models of their own.
    Agreement is with the full model's best words, accuracy with the text's next words, on ``rows`` places of the test
    part. W and N are chosen on the validation part; experts are trained on hidden states of the training part.

    Adaptive softmaxes whose cutoffs the words do not allow are left out. Raises ValueError, before anything is
    trained, for a corpus with too few words or numbers of experts that are no powers of two.
    """
    from ..alternatives.svd_softmax import SVDSoftmax
    from ..timing import interleave

    for n_experts in experts:
        _stages(n_experts)
    if corpus.n_classes <= max(TOPS) or len(corpus.test) <= BLOCK:
        raise ValueError(
            f"{corpus.name} should have more than {max(TOPS)} different words, and {BLOCK} in its test part, "
            f"got {corpus.n_classes:,} and {len(corpus.test):,}"
        )
    chosen = possible(
        {name: replace(settings, **SUITE[name]) for name in ("full", *ADAPTIVE)}, corpus, device, say, tails=True
    )
    adaptive = [name for name in chosen if name != "full"]
    runs = {name: trained(corpus, one, device, name) for name, one in chosen.items()}
    full = runs["full"].model.softmax.eval()
    hidden, target = states(runs["full"], "test", rows)
    valid, _ = states(runs["full"], "valid", 512)
    best = full.topk(hidden, max(TOPS)).indices

    opened: dict[str, list[float]] = {}  # exact top-k: only these pairs are computed
    methods: dict[str, tuple[Any, Tensor, Tensor, Callable[[Tensor], Any]]] = {}

    def ask(softmax: Any) -> Callable[[Tensor], Any]:
        return lambda x: softmax.topk(x, max(TOPS)).indices

    methods["full"] = (full, hidden, target, ask(full))

    def whole(softmax: Any) -> Callable[[Tensor], Any]:
        return lambda x: softmax.log_prob(x).topk(max(TOPS)).indices

    common = SVDSoftmax(full)
    methods[f"svd, W = d/8, N = V/32 ({common.width}, {common.n_full})"] = (common, hidden, target, ask(common))
    tuned = SVDSoftmax.for_recall(full, valid, RECALL, max(TOPS))
    methods[f"svd, for {RECALL:.0%} ({tuned.width}, {tuned.n_full})"] = (tuned, hidden, target, ask(tuned))
    for n_experts in experts:
        sparse = experts_of(runs["full"], n_experts, say=say).eval()
        sparse.measure(hidden)  # its arithmetic is that of the experts these tokens go to
        methods[f"doubly sparse, {n_experts} experts"] = (sparse, hidden, target, ask(sparse))
    for name in adaptive:
        softmax = runs[name].model.softmax.eval()
        own, own_target = states(runs[name], "test", rows)
        methods[f"{name}, log_prob"] = (
            softmax,
            own,
            own_target,
            whole(softmax),
        )
        methods[f"{name}, exact top-k"] = (softmax, own, own_target, ask(softmax))
        opened[f"{name}, exact top-k"] = softmax.opened(own, max(TOPS)).float().mean(0).tolist()

    times: dict[int, Mapping[str, Any]] = {}
    for size in (BLOCK, 1):
        items = {name: _items(act, x, size) for name, (_, x, _, act) in methods.items()}
        times[size] = interleave(items, device=device, rounds=rounds if size > 1 else 8 * rounds)
    out = [
        _row(name, *method, best, full, {size: times[size][name] for size in times}, opened.get(name))
        for name, method in methods.items()
    ]
    for row in out:
        for size in (BLOCK, 1):
            row[f"faster, {size}"] = out[0][f"ms, {size}"] / row[f"ms, {size}"]
    say(f"{corpus.name}: V = {corpus.n_classes:,}, d = {settings.hidden}; agreement with the full model's best words")
    columns = ["agree 1", "agree 5", "agree 10", "right 1", "right 5", "right 10", "perplexity", "outside"]
    say(table(out, ["what", *columns, "perplexity inside"]))
    say("")
    say(table(out, ["what", "arithmetic", "ms, 256", "q1, 256", "q3, 256", "faster, 256", "ms, 1", "faster, 1", "MiB"]))
    about = {"name": corpus.name, "digest": corpus.digest, "V": corpus.n_classes, "licence": corpus.licence}
    return {
        "bench": "compare",
        **provenance(device),
        "corpus": about,
        "d": settings.hidden,
        "places": len(hidden),
        "rows": out,
        "singular values": [round(float(v), 4) for v in common.singular_values.tolist()],
    }


def trained(corpus: Corpus, settings: Settings, device: str, name: str) -> Run:
    """The finished run of a row of the table, from the cache, or trained now."""
    from ..lm.launch import run_name, train
    from ..lm.run import Run

    folder = cache_dir() / "runs" / run_name(corpus, settings, device)
    train(corpus, settings, folder, device=device, row=name)
    return Run.resume(folder / "checkpoint.safetensors", corpus, settings=settings, device=device)


#: Hidden states of the training part that the experts are retrained with, and what differs from
#: :data:`.doubly_sparse_training.RETRAIN`: with fewer states, or more steps, they learn those states by heart.
RETRAIN_TOKENS = 100_000
LARGE: dict[str, Any] = {"epochs": 3, "learning_rate": 0.003, "lasso": 1e-3, "expert_lasso": 1e-2}


def experts_of(run: Run, n_experts: int, *, tokens: int = RETRAIN_TOKENS, say: Say = print, **more: Any) -> Any:
    """A doubly sparse softmax made of a trained full one: two copies, retrained, split in stages up to ``n_experts``.

    Its training is kept in the cache and goes on there if it was stopped. ``more``: settings other than
    :data:`.doubly_sparse_training.RETRAIN` and :data:`LARGE`.
    """
    from ..alternatives.doubly_sparse import DoublySparseSoftmax
    from ..alternatives.doubly_sparse_training import RETRAIN, Settings, fit

    stages = _stages(n_experts)
    hidden, target = states(run, "train", tokens)
    made = DoublySparseSoftmax.from_full(run.model.softmax, stages[0])
    settings = Settings(stages=tuple(stages), **{**RETRAIN, **LARGE, **more})
    name = hashlib.sha256(f"{run.corpus.digest} {run.settings} {settings} {tokens}".encode()).hexdigest()[:16]
    path = cache_dir() / "bench" / f"experts-{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    history = fit(made, hidden, target, settings, checkpoint=path)
    for event in history.events:
        say(f"  step {event.step}: {event.kind}: {event.text}")
    return made


def _stages(n_experts: int) -> list[int]:
    stages = [2]
    while stages[-1] * 2 <= n_experts:
        stages.append(stages[-1] * 2)
    if stages[-1] != n_experts:
        raise ValueError(f"n_experts should be a power of two, at least 2, got {n_experts}")
    return stages


def _items(act: Callable[[Tensor], Any], hidden: Tensor, size: int) -> list[Callable[[], None]]:
    import torch

    def item(x: Tensor) -> Callable[[], None]:
        def once() -> None:
            with torch.no_grad():
                act(x)

        return once

    return [item(hidden[i * size : (i + 1) * size]) for i in range(min(8, len(hidden) // size))]


def _row(
    name: str,
    softmax: Any,
    hidden: Tensor,
    target: Tensor,
    act: Callable[[Tensor], Any],
    best: Tensor,
    full: Any,
    times: Mapping[int, Any],
    opened: list[float] | None,
) -> Row:
    import torch

    with torch.no_grad():
        ours = act(hidden)
        nll = -softmax(hidden, target).output
    undefined = float(torch.isinf(nll).float().mean())
    row: Row = {"what": name, "outside": undefined, "perplexity": None if undefined else float(nll.mean().exp())}
    row["perplexity inside"] = float(nll[torch.isfinite(nll)].mean().exp())
    for k in TOPS:
        row[f"agree {k}"] = agreement(ours, best, k)
        row[f"right {k}"] = accuracy(ours, target, k)
    more = {} if opened is None else {"opened": opened}
    row["arithmetic"] = softmax.operations(1, train=False, **more) / full.operations(1, train=False)
    for size, timing in times.items():
        row |= {
            f"ms, {size}": timing.median * 1e3,
            f"q1, {size}": timing.q1 * 1e3,
            f"q3, {size}": timing.q3 * 1e3,
        }
    row["MiB"] = softmax._n_bytes() / 2**20
    return row


def bench_svd(
    record: Row,
    *,
    n_classes: int = 800_000,
    in_features: int = 512,
    device: str = "cpu",
    rounds: int = 9,
    say: Say = print,
) -> Row:
    """The claim of Shim et al. 2017, over 3 times faster with about 20 % of the arithmetic at 800,000 words.

    The 20 % is a setting of W and N. The weights are random, with the singular values of a trained layer (those of
    ``record``, a comparison by :func:`bench_compare`) continued to ``in_features`` by the power law that fits them;
    times do not depend on more. Timed against the full softmax: logits and ten best words.
    """
    import torch

    from ..alternatives.svd_softmax import SVDSoftmax, power_law, spectrum_matrix
    from ..decoding import largest, linear
    from ..timing import interleave

    weight = spectrum_matrix(n_classes, power_law(record["singular values"], in_features), device=device)
    out = []
    hidden = torch.randn(8 * 256, in_features, generator=torch.Generator().manual_seed(0)).to(device)
    # W is what 20 % leaves once N words are looked at again
    for n_full in (n_classes // 100, n_classes // 20):
        width = max(1, int(0.2 * in_features - n_full * 0.8 * in_features / n_classes))
        svd = SVDSoftmax(weight, width, n_full)
        for size in (256, 1):
            items = {
                "full": _items(lambda x: largest(linear(x, weight), 10), hidden, size),
                "svd": _items(lambda x, s=svd: s.topk(x, 10), hidden, size),  # type: ignore[misc]
            }
            times = interleave(items, device=device, rounds=rounds)
            out.append(
                {
                    "V": n_classes,
                    "d": in_features,
                    "W": width,
                    "N": n_full,
                    "rows": size,
                    "arithmetic": svd.utilisation,
                    "full ms": times["full"].median * 1e3,
                    "svd ms": times["svd"].median * 1e3,
                    "q1": times["svd"].q1 * 1e3,
                    "q3": times["svd"].q3 * 1e3,
                    "faster": times["full"].median / times["svd"].median,
                }
            )
    say("\nSVD-softmax at the size of its paper's claim:")
    say(table(out, ["V", "d", "W", "N", "rows", "arithmetic", "full ms", "svd ms", "q1", "q3", "faster"]))
    return {"rows": out, "spectrum": "power law fitted to the trained layer's singular values"}
