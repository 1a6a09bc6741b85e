"""`bench decode`: the best words of a layer that was trained on real text."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checks import integer
from ..corpora import text_ids
from ..files import DamagedFile, cache_dir
from ..planning import Infeasible, Plan, default_widths, plan
from ..records import load_cost
from ..text import Row, Say, table
from ..vocabulary import Vocabulary
from .common import provenance
from .rivals import brief

if TYPE_CHECKING:
    from torch import Tensor

    from ..layer import AdaptiveSoftmax

#: The cutoffs that are used for vocabularies of this size (Baevski and Auli 2019), with widths d/4, d/16, d/64.
CUTOFFS = (20_000, 40_000, 200_000)
#: Floors of the plan for decoding: shares of tokens at the full width d, at d/4 or more, at d/16 or more.
FLOORS = (0.75, 0.87, 0.95)
#: Best words that are asked for; a text should have more.
TOP = 10
#: Words before the predicted one that the model sees, and the size of their embeddings.
_CONTEXT, _EMBEDDING = 4, 128


def bench_decode(
    text: str,
    *,
    max_size: int = 267_735,
    in_features: int = 512,
    device: str = "cpu",
    steps: int = 200,
    batch: int = 2560,
    rounds: int = 9,
    cutoffs: Sequence[int] = CUTOFFS,
    encoding: str = "utf-8",
    say: Say = print,
) -> Row:
    """Ten best words by our layer, by PyTorch's layer with the same weights, and by a full softmax, in turns.

    ``text``: a text file of a large vocabulary, in ``encoding``. For each set of cutoffs a small model is trained on
    it: the last four words, embedded, through one layer of tanh units into the softmax; Adagrad, ``steps`` batches of
    ``batch`` tokens. The trained weights are kept in the cache. The full softmax has random weights: its time does
    not depend on them.

    Of ``cutoffs`` those below V are taken; where there are none, the authors' for that V; where there are none either,
    only the planned ones. Raises ValueError for a text with too few words.
    """
    from ..lm.settings import authors_cutoffs

    in_features = integer("in_features", in_features, 1)
    vocabulary, ids = read_ids(text, max_size, encoding)
    n, d = vocabulary.n_classes, in_features
    say(f"{vocabulary.name}: {len(ids):,} tokens, V = {n:,}")
    least = 20 * (_CONTEXT + 1)  # the last twentieth is not trained on
    if n <= TOP or len(ids) < least:
        raise ValueError(
            f"{vocabulary.name} should have more than {TOP} different words, and {least} in all, "
            f"got {n:,} and {len(ids):,}"
        )
    given = [c for c in cutoffs if c < n] or list(authors_cutoffs(n))
    cost = load_cost(device)
    floors: Row = {"min_head_share": FLOORS[0], "min_shares": FLOORS[1:]}
    try:
        made = plan(vocabulary, d, 256, cost=cost, n_tails=3, objective="decode", **floors)
    except Infeasible as error:
        raise ValueError(f"{vocabulary.name} should have enough words for three tails, got V = {n:,}") from error
    say(
        f"planned for decoding with floors: {FLOORS[0]:.0%} of the tokens at width {d}, "
        f"{FLOORS[1]:.0%} at {made.widths[0]} or more, {FLOORS[2]:.0%} at {made.widths[1]} or more"
    )
    cases = [(f"planned {','.join(map(str, made.cutoffs))}", list(made.cutoffs), list(made.widths))]
    if given:
        cases.insert(0, (f"cutoffs {','.join(map(str, given))}", given, default_widths(d, len(given))))
    rows, opened = [], []
    for name, cut, widths in cases:
        layer, hidden, perplexity = trained(ids, n, d, cut, widths, steps=steps, batch=batch, device=device, say=say)
        shares = {k: layer.opened(hidden, k).float().mean(0).tolist() for k in (1, TOP)}
        opened.append(
            {
                "layer": name,
                "widths": widths,
                "perplexity": perplexity,
                "rows": len(hidden),
                "opened, top 1": shares[1],
                "opened, top 10": shares[TOP],
                "mean, top 1": float(np.mean(shares[1])),
                "mean, top 10": float(np.mean(shares[TOP])),
            }
        )
        for size in (256, 1):
            rows += _timed(name, layer, hidden, size, device, rounds if size > 1 else 8 * rounds)
        follow = cost.layer(
            n, cut, widths, [0.0] * len(cut), d, 256, "decode", [max(s, 1e-9) for s in shares[TOP]]
        ).seconds
        ours = next(r["ms"] for r in rows if r["layer"] == name and r["rows"] == 256 and r["what"] == "ours, top 10")
        opened[-1] |= {"predicted ms": follow * 1e3, "measured ms": ours}
    say(table(rows, ["layer", "rows", "what", "ms", "q1", "q3", "times ours"]))
    say("\nshare of (row, tail) pairs opened:")
    columns = ["layer", "widths", "perplexity", "opened, top 1", "opened, top 10", "mean, top 1", "mean, top 10"]
    say(table(opened, [*columns, "predicted ms", "measured ms"]))
    return {
        "bench": "decode",
        **provenance(device),
        "text": vocabulary.name,
        "V": n,
        "d": d,
        "steps": steps,
        "floors": floors,
        "plan": _brief(made),
        "rows": rows,
        "opened": opened,
    }


def _brief(made: Plan) -> Row:
    return {"cutoffs": list(made.cutoffs), "widths": list(made.widths), "shares": list(made.shares), "cost": made.cost}


def _timed(name: str, layer: AdaptiveSoftmax, hidden: Tensor, size: int, device: str, rounds: int) -> list[Row]:
    import torch

    from ..timing import interleave

    d, n = layer.in_features, layer.n_classes
    stock = torch.nn.AdaptiveLogSoftmaxWithLoss(d, n, layer.cutoffs[:-1], device=device)
    for tail, own in zip(stock.tail, layer.tail, strict=True):
        # widths of a plan are not always those of one div_value
        tail[0], tail[1] = own[0], own[1]  # type: ignore[index, operator]
    stock.head = layer.head
    full = torch.nn.Linear(d, n, bias=False, device=device)
    batches = [hidden[i * size : (i + 1) * size] for i in range(8)]

    def item(act: Callable[[Tensor], Any]) -> list[Callable[[], Any]]:
        def step(x: Tensor) -> Callable[[], Any]:
            def once() -> None:
                with torch.no_grad():
                    act(x)

            return once

        return [step(x) for x in batches]

    items = {
        "ours, top 10": item(lambda x: layer.topk(x, TOP)),
        "ours, predict": item(layer.predict),
        "PyTorch's log_prob, top 10": item(lambda x: stock.log_prob(x).topk(TOP)),
        "full softmax, top 10": item(lambda x: full(x).topk(TOP)),
    }
    timings = interleave(items, device=device, rounds=rounds)
    ours = timings["ours, top 10"].median
    return [
        {
            "layer": name,
            "rows": size,
            "what": what,
            "ms": t.median * 1e3,
            "q1": t.q1 * 1e3,
            "q3": t.q3 * 1e3,
            "runs": t.n,
            "times ours": t.median / ours,
        }
        for what, t in timings.items()
    ]


def read_ids(
    text: str, max_size: int, encoding: str = "utf-8"
) -> tuple[Vocabulary, np.ndarray[Any, np.dtype[np.int64]]]:
    """A text's vocabulary, rarest words beyond ``max_size`` made ``<unk>``, and the text as ranks in it."""
    vocabulary, ids = text_ids(text, min_count=1, max_size=max_size, encoding=encoding)
    return vocabulary, ids.astype(np.int64)


def trained(
    ids: np.ndarray[Any, np.dtype[np.int64]],
    n_classes: int,
    d: int,
    cutoffs: Sequence[int],
    widths: Sequence[int],
    *,
    steps: int,
    batch: int,
    device: str,
    say: Say = print,
) -> tuple[AdaptiveSoftmax, Tensor, float]:
    """A layer trained on a text, 2,048 hidden states of the text's last twentieth, and the perplexity there."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    from tqdm.auto import trange

    from ..layer import AdaptiveSoftmax
    from ..lm.checkpoint import write_checkpoint

    torch.manual_seed(0)
    layer = AdaptiveSoftmax(d, n_classes, cutoffs, widths=widths, device=device)
    embedding = torch.nn.Embedding(n_classes, _EMBEDDING, sparse=True, device=device)
    torch.nn.init.normal_(embedding.weight, std=0.1)
    mix = torch.nn.Linear(_CONTEXT * _EMBEDDING, d, device=device)
    tokens = torch.from_numpy(ids).to(device)
    edge = len(tokens) - len(tokens) // 20

    def hidden(at: Tensor) -> Tensor:
        context = torch.stack([tokens[at - j] for j in range(1, _CONTEXT + 1)], 1)
        return torch.tanh(mix(embedding(context).flatten(1)))

    settings = repr((len(ids), int(ids[::97].sum()), n_classes, d, list(cutoffs), list(widths), steps, batch, 1))
    name = f"decode-{hashlib.sha256(settings.encode()).hexdigest()[:16]}.safetensors"
    path = cache_dir() / "bench" / name
    generator = torch.Generator().manual_seed(1)
    test = torch.randint(edge + _CONTEXT, len(tokens), (2048,), generator=generator).to(device)
    if not path.exists():
        say(f"training on cutoffs {list(cutoffs)} ({steps} steps); kept in {path}")
        parameters = [*layer.parameters(), *embedding.parameters(), *mix.parameters()]
        optimizer = torch.optim.Adagrad(parameters, lr=0.1)
        draw = torch.Generator().manual_seed(0)
        progress = trange(steps, unit="batch")
        for _ in progress:
            at = torch.randint(_CONTEXT, edge, (batch,), generator=draw).to(device)
            optimizer.zero_grad(set_to_none=True)
            loss = layer(hidden(at), tokens[at]).loss
            loss.backward()
            # said, or Adagrad warns of it
            with torch.sparse.check_sparse_tensor_invariants(enable=False):  # type: ignore[no-untyped-call]
                optimizer.step()
            progress.set_postfix_str(f"loss {float(loss.detach()):.2f}", refresh=False)
        with torch.no_grad():
            states = hidden(test)
            layer.eval()
            loss = layer(states, tokens[test]).loss
        tensors = {f"layer.{k}": v.contiguous() for k, v in layer.state_dict().items()}
        tensors |= {"hidden": states.contiguous(), "loss": loss.reshape(1)}
        write_checkpoint(path, {"bench": "decode"}, tensors)
    try:
        stored = load_file(path, device=device)
        layer.load_state_dict({k.removeprefix("layer."): v for k, v in stored.items() if k.startswith("layer.")})
        return layer.eval(), stored["hidden"], float(np.exp(float(stored["loss"][0])))
    except (SafetensorError, RuntimeError, KeyError) as error:
        raise DamagedFile(path, brief(error)) from error
