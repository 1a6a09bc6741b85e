"""What adasoft gained, and where it gains less or loses: six lines of stored numbers, as the README shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..files import read_json
from ..records import read_record, shipped_records
from ..text import Row, markdown_table
from .folders import results_folder
from .trainings import summary


def gains(folder: Path | None = None) -> str:
    """The table in Markdown. Raises OSError or ValueError for a folder that lacks one of the records."""
    folder = folder or results_folder()
    rows = {(row["corpus"], row["V"], row["title"], row["d"], row["name"]): row for row in summary(folder)}
    try:
        lines = [
            _training_step(folder),
            _gpu(folder, rows),
            _decoding(folder),
            _planning(folder),
            _whole_trainings(rows),
            _perplexity(rows),
        ]
    except KeyError as error:
        raise ValueError(f"{folder} lacks what the table of gains shows: {error}") from error
    return markdown_table(["", "gained", "where it gains less, or loses"], lines)


def _record(folder: Path, name: str) -> Any:
    return read_json(folder / f"{name}.json")


def _training_step(folder: Path) -> list[str]:
    record = _record(folder, "bench-layer-cpu")
    size = max(row["V"] for row in record["rows"])
    ms = {row["what"]: row["ms"] for row in record["rows"] if row["V"] == size}
    cutoffs = next(row["cutoffs"] for row in record["rows"] if row["V"] == size)
    ratios = [row["ratio"] for row in record["shapes"]]
    return [
        f"output layer, forward and backward, {record['threads']} CPU threads (`bench layer`)",
        f"V = {size:,}, cutoffs {', '.join(f'{cutoff:,}' for cutoff in cutoffs)}: "
        f"{ms['full softmax'] / ms['ours']:.0f} times faster than the full softmax, "
        f"{ms['stock'] / ms['ours']:.1f} times faster than PyTorch's layer",
        f"{len(ratios)} other shapes: {1 / max(ratios):.2f} to {1 / min(ratios):.1f} times faster than PyTorch's layer",
    ]


def _gpu(folder: Path, rows: dict[Any, Row]) -> list[str]:
    record = _record(folder, "bench-layer-cuda")
    ours = next(row for row in record["full"] if row["what"] == "ours")
    graph = next(row for row in record["full"] if row["what"] == "ours, CUDA graph")
    stock = next(row for row in record["full"] if row["what"] == "stock")
    few = rows["europarl-en", 33_025, "lstm, dtype bfloat16, on cuda", 512, "full"]
    return [
        f"the same, {record['device']['name']}, {record['dtype']} (`bench layer --device cuda`)",
        f"V = {ours['V']:,}: {1 / ours['of best full']:.1f} times faster than the fastest full softmax, "
        f"{1 / graph['of best full']:.1f} in a CUDA graph; {stock['ms'] / ours['ms']:.1f} times faster than PyTorch's "
        "layer",
        f"V = {few['V']:,}, the authors' cutoffs (`bench train`): {few['of authors']:.2f} of the full softmax's speed",
    ]


def _decoding(folder: Path) -> list[str]:
    record = _record(folder, "bench-decode-cpu")
    ms = {(row["layer"], row["rows"], row["what"]): row["ms"] for row in record["rows"]}
    layer, planned = dict.fromkeys(layer for layer, *_ in ms)
    few = min(
        (case for case in _record(folder, "alternatives-cpu")["cases"] if "best words" in case["sizes"]["task"]),
        key=lambda case: case["sizes"]["V"],
    )
    pace = few["times"]["full softmax"][0] / few["times"]["adaptive, exact top-k"][0]

    def faster(layer: str, rows: int, what: str) -> float:
        return float(ms[layer, rows, f"{what}, top 10"] / ms[layer, rows, "ours, top 10"])

    stock, full = "PyTorch's log_prob", "full softmax"
    return [
        "ten best words, exact, CPU (`bench decode`)",
        f"V = {record['V']:,}, 256 rows: {faster(layer, 256, stock):.1f} times faster than PyTorch's layer, "
        f"{faster(layer, 256, full):.1f} times faster than the full softmax; with planned cutoffs "
        f"{faster(planned, 256, stock):.0f} and {faster(planned, 256, full):.0f} times (trained for "
        f"{record['steps']} steps; a better layer opens more tails)",
        f"one row: {faster(planned, 1, stock):.1f} to {faster(layer, 1, stock):.1f} times faster than PyTorch's; "
        f"V = {few['sizes']['V']:,}: {pace:.2f} of the full softmax's speed",
    ]


def _planning(folder: Path) -> list[str]:
    searches = {
        (row["cost"], row["V"], row["J"], row["align"]): row for row in _record(folder, "bench-plan-cpu")["rows"]
    }
    search = searches["measured", 1_000_000, 5, 1]
    cost = _record(folder, "bench-cost-cpu")
    regrets = sorted(case["regret"] for case in cost["regret"])
    # with the machine as fast as in its record: how it drifts is no fault of the model
    whats = ("layers, training", "layers, decoding 1 row", "layers, decoding 256 rows", "full softmaxes, training")
    medians = [cost["summary"][what]["model's error"]["median"] for what in whats]
    trained, one, many, full = (f"{100 * median:.0f} %" for median in medians)
    large = next(row for row in _record(folder, "bench-layer-cuda")["full"] if row["what"] == "full: plain")
    model = next(model for model in map(read_record, shipped_records()) if model.on_gpu and model.itemsize == 2)
    predicted = model.full_time(large["V"], large["N"], large["d"])
    return [
        "plan (`bench plan`, `bench cost`)",
        f"the best of all cutoffs for {search['V']:,} words and {search['J']} tails in {search['ms'] / 1e3:.2f} s; "
        f"when timed, they took {regrets[0]:.2f} to {regrets[-1]:.2f} of the time of the best of 30 others",
        f"predicted times are off by {trained} in the median for layers in training, by {one} for one row decoded, "
        f"by {many} for 256, by {full} for full softmaxes (CPU); on the GPU a full softmax of {large['V']:,} words "
        f"took {large['ms'] / 1e3 / predicted:.1f} times as long as predicted",
    ]


def _whole_trainings(rows: dict[Any, Row]) -> list[str]:
    words = rows["europarl-en", 17_724, "lstm", 256, "adaptive"]
    more = rows["wikitext-2", 33_278, "lstm", 256, "adaptive"]
    pieces = rows["europarl-en", 8_000, "lstm", 256, "adaptive"]
    transformer = rows["europarl-en", 17_724, "transformer, its preset", 256, "adaptive"]
    gpu = rows["wikitext-2", 33_278, "lstm, dtype bfloat16, on cuda", 512, "adaptive"]
    return [
        "whole training, the authors' cutoffs (`table`)",
        f"CPU: {words['faster']:.1f} times faster with {words['V']:,} words, {more['faster']:.1f} with {more['V']:,}",
        f"{pieces['faster']:.1f} with {pieces['V']:,} byte-pair pieces, {transformer['faster']:.1f} in a small "
        f"Transformer; GPU, bfloat16, {gpu['V']:,} words: {gpu['faster']:.1f}",
    ]


def _perplexity(rows: dict[Any, Row]) -> list[str]:
    authors, planned = (
        [rows["europarl-en", 17_724, "lstm", 256, name], rows["wikitext-2", 33_278, "lstm", 256, name]]
        for name in ("adaptive", "planned-0.75")
    )
    gpu = rows["wikitext-2", 33_278, "lstm, dtype bfloat16, on cuda", 512, "adaptive"]

    def more(found: list[Row]) -> str:
        return " and ".join(f"{row['of full']:+.1%}".replace("%", " %") for row in found)

    shares = " and ".join(f"{row['of authors']:.2f}" for row in planned)
    return [
        "perplexity against the full softmax's (`table`)",
        f"{more(authors)} with the authors' cutoffs, on two texts",
        f"{more(planned)} with planned cutoffs, whose output layer takes {shares} of the time of the authors'; "
        f"{more([gpu])} on the GPU in bfloat16",
    ]
