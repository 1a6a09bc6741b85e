"""`bench attention`: decoding with no cache, with keys and values, and with EL-attention (Yan et al. 2021)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..text import Row, Say, table
from .attention_cells import (
    ATTENTION_GPU,
    ATTENTION_SIZES,
    Kind,
    Sizes,
    attention_steps,
    bytes_per_prompt,
    cached_rows,
    equal_words,
    filled,
    kinds_for,
    model_of,
    output_step,
    word_steps,
)
from .common import Parts, provenance


def bench_attention(
    *,
    device: str = "cpu",
    dtype: str = "float32",
    rounds: int = 15,
    sizes: Sizes | None = None,
    say: Say = print,
) -> Row:
    """Bytes, equality of words, milliseconds per word against history, batch and beams, and the largest batch.

    The model is this package's ``Transformer``, untrained: neither bytes nor times depend on its weights. Without a
    cache it reads its whole history for each word. Keys and values are timed with beams that share their prompt and,
    as is common, with the prompt copied for each. Finished parts are kept in the cache folder, so that the same command
    goes on where it was interrupted.
    """
    if sizes is None:
        sizes = ATTENTION_GPU if device.startswith("cuda") else ATTENTION_SIZES
    about = {"sizes": sizes.told(), "dtype": dtype, "rounds": rounds, **provenance(device)}
    shapes = [(m, b, n) for m in (1, sizes.beams) for b in sizes.batches for n in sizes.histories]
    model = model_of(sizes, device, dtype)
    jobs: list[tuple[str, Callable[[], list[Row]]]] = [
        ("cached", lambda: cached_rows(sizes)),
        ("words", lambda: equal_words(sizes, device)),
        *(
            (f"{what} {m} {b} {n}", lambda act=act, m=m, b=b, n=n: act(model, sizes, b, n, m, device, rounds))
            for what, act in (("attention", _attention), ("step", _step))
            for m, b, n in shapes
        ),
        *((f"output {n}", lambda n=n: _output(sizes, n, device, dtype, rounds)) for n in sizes.vocabularies),
        *((f"budget {m}", lambda m=m: _budget(model, sizes, m, device, rounds)) for m in (1, sizes.beams)),
    ]
    record: Row = {"bench": "attention", **about, **Parts("attention", about).run(jobs)}
    _say(record, say)
    return record


# ---------------------------------------------------------------------- parts


def _timed(steps: dict[str, Callable[[], Any]], device: str, rounds: int, about: Row) -> list[Row]:
    """Rows of what took turns; what is without a cache has a fifth of the rounds."""
    from ..timing import interleave

    turns = {name: max(1, rounds // 5) if name == "none" else rounds for name in steps}
    timings = interleave({name: [step] for name, step in steps.items()}, device=device, rounds=turns)
    usual = timings["keys and values"].median
    return [
        {
            **about,
            "cache": name,
            "ms": t.median * 1e3,
            "q1": t.q1 * 1e3,
            "q3": t.q3 * 1e3,
            "runs": t.n,
            "of keys and values": t.median / usual,
        }
        for name, t in timings.items()
    ]


def _attention(model: Any, sizes: Sizes, batch: int, history: int, beams: int, device: str, rounds: int) -> list[Row]:
    about = {"beams": beams, "batch": batch, "history": history}
    return _timed(attention_steps(model, sizes, batch, history, beams), device, rounds, about)


def _step(model: Any, sizes: Sizes, batch: int, history: int, beams: int, device: str, rounds: int) -> list[Row]:
    about = {"beams": beams, "batch": batch, "history": history}
    return _timed(word_steps(model, sizes, kinds_for(beams), batch, history, beams), device, rounds, about)


def _output(sizes: Sizes, n_classes: int, device: str, dtype: str, rounds: int) -> list[Row]:
    """The output layer of a step: the best words of a full softmax, for the rows of all batches and beams."""
    from ..timing import interleave

    model = model_of(sizes, device, dtype, n_classes=n_classes)
    rows = []
    for batch in sizes.batches:
        for beams in (1, sizes.beams):
            step = output_step(model, sizes, batch * beams, beams)
            t = interleave({"topk": [step]}, device=device, rounds=rounds)["topk"]
            rows.append({"V": n_classes, "beams": beams, "batch": batch, "ms": t.median * 1e3, "runs": t.n})
    return rows


def _budget(model: Any, sizes: Sizes, beams: int, device: str, rounds: int) -> list[Row]:
    """Words per second of the body at the largest batch whose caches fit into the budget, and at the smallest of these.

    Without a cache nothing is kept, so that no batch is too large; one prompt tells its speed.
    """
    from ..timing import interleave

    history, itemsize = sizes.budget_history, next(model.parameters()).element_size()
    kinds = kinds_for(beams)
    per_prompt = {name: bytes_per_prompt(sizes, kind, history, beams, itemsize) for name, kind in kinds.items()}
    largest = {name: sizes.budget // each for name, each in per_prompt.items()}
    least = min(largest.values())
    rows: list[Row] = []
    cases: list[tuple[str, Kind | None, int]] = [("none", None, 1)]
    for name, kind in kinds.items():
        cases += [(name, kind, batch) for batch in dict.fromkeys((least, largest[name]))]
    for name, given, batch in cases:
        known = {} if given is None else {name: given}
        step = word_steps(model, sizes, known, batch, history, beams)
        if name not in step:
            continue
        t = interleave({name: [step[name]]}, device=device, rounds=rounds if given else max(1, rounds // 5))[name]
        held = 0 if given is None else filled(model, sizes, given, batch, history, beams).nbytes
        rows.append(
            {
                "beams": beams,
                "history": history,
                "cache": name,
                "batch": batch,
                "largest": given is not None and batch == largest[name],
                "bytes": held,
                "ms": t.median * 1e3,
                "words/s": batch / t.median,
            }
        )
    return rows


# ---------------------------------------------------------------------- what is said


def _say(record: Row, say: Say) -> None:
    say("numbers kept per position of the history and layer:")
    say(table(record["cached"], ["cache", "counted", "measured"]))
    equal = sum(row["equal"] for row in record["words"])
    say(f"\nsame words from all three caches: {equal} of {len(record['words'])} generations")
    columns = ["beams", "batch", "history", "cache", "ms", "q1", "q3", "of keys and values"]
    say("\none layer's attention, one new word of each beam:")
    say(table(record["attention"], columns))
    say("\nthe whole body, one new word of each beam, beams handed on:")
    say(table(record["step"], columns))
    say("\nthe best words of a full softmax:")
    say(table(record["output"], ["V", "beams", "batch", "ms"]))
    say(f"\nthe body, with caches of at most {record['sizes']['budget']:,} bytes (beams count as one word):")
    say(table(record["budget"], ["beams", "cache", "batch", "bytes", "ms", "words/s"]))
    say("\nfor data/results/README.md:")
    for line in attention_lines(record):
        say(line)


def attention_lines(record: Row) -> list[str]:
    """The rows of ``data/results/README.md`` that tell this record, in Markdown."""
    sizes = record["sizes"]
    n_layers = sizes["layers"]
    m, (short, *_, long) = sizes["beams"], sizes["histories"]
    many, one = max(sizes["batches"]), min(sizes["batches"])

    def ratios(part: str, beams: int, top: str, bottom: str) -> dict[tuple[int, int], float]:
        ms = {(r["batch"], r["history"], r["cache"]): r["ms"] for r in record[part] if r["beams"] == beams}
        return {(b, n): ms[b, n, top] / ms[b, n, bottom] for b, n, name in ms if name == top and (b, n, bottom) in ms}

    def span(values: dict[tuple[int, int], float]) -> str:
        return f"{_two_digits(min(values.values()))} to {_two_digits(max(values.values()))}"

    cached = {row["cache"]: row["measured"] for row in record["cached"]}
    as_counted = sum(row["measured"] == row["counted"] for row in record["cached"])
    equal, of = sum(row["equal"] for row in record["words"]), len(record["words"])
    alone = ratios("attention", 1, "EL", "keys and values")
    shared = ratios("attention", m, "EL", "keys and values")
    copied = ratios("attention", m, "EL", "copied")
    step, handed = ratios("step", 1, "EL", "keys and values"), ratios("step", m, "EL", "copied")
    again = ratios("step", 1, "none", "EL")
    best = {(r["beams"], r["cache"]): r for r in record["budget"] if r["largest"]}

    at = {(r["batch"], r["history"], r["cache"]): r["ms"] for r in record["step"] if r["beams"] == 1}
    classes = max(sizes["vocabularies"])
    output = next(r["ms"] for r in record["output"] if (r["V"], r["beams"], r["batch"]) == (classes, 1, one))

    def rate(beams: int, cache: str) -> str:
        row = best[beams, cache]
        return f"{row['words/s']:,.0f} (batch {row['batch']})"

    command = "bench attention"
    lines = [
        (
            f"`{command}`, d = {sizes['d']}, {sizes['heads']} heads: numbers kept per position and layer, measured",
            f"keys and values {cached['self, keys and values']:g}, EL {cached['self, EL']:g}; for cross attention of "
            f"{n_layers} layers {cached['cross, keys and values']:g} and {cached[f'cross, EL, {n_layers} layers']:g}, "
            f"and with keys and values copied for {m} beams "
            f"{cached[f'cross, keys and values, copied for {m} beams']:g}; {as_counted} of {len(cached)} as counted",
        ),
        (
            "the same: words from no cache, keys and values, and EL (drawn, greedy, beams; window full or not)",
            f"equal in {equal} of {of} generations",
        ),
        (
            f"the same, one layer's attention for a new word, batch {one} and {many}, history {short:,} to {long:,}: "
            "EL's time",
            f"{span(alone)} of that with keys and values; with {m} beams {span(shared)} where beams share them, "
            f"{span(copied)} where they are copied",
        ),
        (
            f"the same, the body of {n_layers} layers",
            f"EL {span(step)} of the time with keys and values; with {m} beams {span(handed)} of that with copies, "
            f"which are handed on from beam to beam; without a cache {span(again)} times EL's",
        ),
        (
            f"the same, batch {one}: the body with EL beside the best word of a full softmax of {classes:,} words",
            f"{_two_digits(at[one, short, 'EL'])} ms at a history of {short:,}, "
            f"{_two_digits(at[one, long, 'EL'])} at {long:,}; the softmax {_two_digits(output)} ms",
        ),
        (
            f"the same, caches of {sizes['budget'] / 2**20:g} MiB, history {sizes['budget_history']:,}, words per "
            "second at the largest batch",
            f"keys and values {rate(1, 'keys and values')}, EL {rate(1, 'EL')}; {m} beams: copied "
            f"{rate(m, 'copied')}, shared {rate(m, 'keys and values')}, EL {rate(m, 'EL')}",
        ),
    ]
    return [f"| {what} | {result} |" for what, result in lines]


def _two_digits(value: float) -> str:
    return f"{value:.2g}" if value < 99.5 else f"{value:,.0f}"
