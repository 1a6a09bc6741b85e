"""`adasoft bench ...`: one parser for each benchmark, with the options that it looks at."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from .arguments import (
    can_be_written,
    device_option,
    encoding_option,
    file_name,
    number,
    numbers,
    only_with,
    use_device,
    whole,
)
from .training_options import corpus_of, corpus_options, rows_option, setting_options, settings_of
from .words import words_with_line_ends

#: Options of a benchmark that were given, by the names of its function.
Given = dict[str, Any]


def add(commands: Any) -> None:
    """Add the parsers."""
    top = commands.add_parser(
        "bench",
        help="benchmarks of the planner, the cost model and the layer",
        description="Time one part of adasoft on this machine and print the tables.",
        epilog="python -m adasoft bench layer --help explains one benchmark and lists its options",
    )
    benches = top.add_subparsers(dest="what", required=True, metavar="BENCHMARK")
    for add_one in (
        _add_plan,
        _add_cost,
        _add_layer,
        _add_decode,
        _add_train,
        _add_attention,
        _add_margins,
        _add_memory,
        _add_kerbs,
        _add_adversarial,
        _add_gpu,
    ):
        add_one(benches)


def run(options: argparse.Namespace) -> None:
    """Measure, print the tables, and write the record."""
    from .. import bench

    can_be_written(options.json)
    rounds = {} if options.rounds is None else {"rounds": options.rounds}
    record = options.bench(options, rounds)
    if options.json:
        bench.save(record, options.json)
        print(f"written to {options.json}")


def _benchmark(
    benches: Any, name: str, measure: Callable[..., Any], *, rounds: str | None = None, help: str, description: str
) -> argparse.ArgumentParser:
    """A parser with the options of all benchmarks; no ``rounds``: nothing is timed."""
    p: argparse.ArgumentParser = benches.add_parser(name, help=help, description=description)
    if rounds is not None:
        p.add_argument("--rounds", type=whole(1), metavar="N", help=f"how often each thing is timed ({rounds})")
    p.add_argument("--json", type=file_name, metavar="FILE", help="also write the results here, as JSON")
    p.set_defaults(run=run, bench=measure, **({"rounds": None} if rounds is None else {}))
    return p


def _tiny_option(p: argparse.ArgumentParser) -> None:
    p.add_argument("--tiny", action="store_true", help="sizes of a moment: to see that it works, not how fast it is")


# ---------------------------------------------------------------------- plan


def _add_plan(benches: Any) -> None:
    p = _benchmark(
        benches,
        "plan",
        _plan,
        rounds="5, and 9 with --text",
        help="time and memory of the search for cutoffs; planned cutoffs against the authors'",
        description="Time and memory of the search for cutoffs among a million words. With --text, also: steps of "
        "layers with planned cutoffs against the authors' cutoffs (2000 and 10000) at the same share of tokens in the "
        "head.",
    )
    p.add_argument("--text", action="append", metavar="FILE", help="a text or a language; may be given several times")
    encoding_option(p)
    device_option(p, None, "with --text: where to run the layers, cpu or cuda (cpu)")


def _plan(options: argparse.Namespace, rounds: Given) -> Any:
    from .. import bench

    if not options.text:
        only_with(options, "the layers of --text: the search itself runs on the CPU", "device")
        return bench.bench_plan(**rounds)
    device = options.device or "cpu"
    use_device(device)
    texts = [words_with_line_ends(text, options.encoding) for text in options.text]
    for words in texts:
        bench.authors_cutoffs_of(words)  # refused before anything is timed
    record = bench.bench_plan(**rounds)
    record["cutoffs"] = [bench.bench_cutoffs(words, device=device, **rounds) for words in texts]
    return record | {"device": bench.provenance(device)["device"]}


# ---------------------------------------------------------------------- cost


def _add_cost(benches: Any) -> None:
    p = _benchmark(
        benches,
        "cost",
        _cost,
        rounds="7",
        help="predicted against measured times of layers",
        description="Predicted against measured times of layers that no fit has seen, in training and decoding, and of "
        "full softmaxes; and how far planned cutoffs are from the best of thirty others, for four languages and three "
        "sizes (needs the wordfreq library).",
    )
    device_option(p)
    p.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"], help="number format (float32)")
    p.add_argument("--no-regret", action="store_true", help="leave out the plans and the partitions beside them")
    _tiny_option(p)


def _cost(options: argparse.Namespace, rounds: Given) -> Any:
    from .. import bench

    use_device(options.device)
    given: dict[str, Any] = bench.tiny_cost() if options.tiny else {}
    if options.no_regret:
        given["cases"] = []
    return bench.bench_cost(device=options.device, dtype=options.dtype, **given, **rounds)


# ---------------------------------------------------------------------- layer


def _add_layer(benches: Any) -> None:
    p = _benchmark(
        benches,
        "layer",
        _layer,
        rounds="21",
        help="full softmax, PyTorch's layer, ours and the bare matrix products",
        description="Training steps of the full softmax, PyTorch's layer, ours and the bare matrix products, then ours "
        "against PyTorch's over twenty shapes. On a GPU it starts with large sizes, against every full softmax "
        "installed.",
    )
    device_option(p)
    p.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"], help="number format (float32)")
    p.add_argument("--no-full", action="store_true", help="leave out the full softmax, which takes the longest")
    p.add_argument("--no-shapes", action="store_true", help="leave out the twenty other shapes")
    _tiny_option(p)
    p.add_argument(
        "--seconds", type=number(0), metavar="S", help="on a GPU: start no further large size after S seconds (300)"
    )


def _layer(options: argparse.Namespace, rounds: Given) -> Any:
    from .. import bench

    use_device(options.device)
    if options.device.startswith("cpu"):
        only_with(options, "a GPU, whose large sizes it limits", "seconds")
    return bench.bench_layer(
        device=options.device,
        dtype=options.dtype,
        full=not options.no_full,
        shapes=not options.no_shapes,
        keep=(lambda record: bench.save(record, options.json)) if options.json else None,
        seconds=300.0 if options.seconds is None else options.seconds,
        sizes=bench.TINY if options.tiny else bench.SIZES,
        **rounds,
    )


# ---------------------------------------------------------------------- decode


def _add_decode(benches: Any) -> None:
    p = _benchmark(
        benches,
        "decode",
        _decode,
        rounds="9; with --run 15",
        help="the ten most likely words, by trained layers",
        description="Time to find the ten most likely words. With --text: by a layer trained on that text, by "
        "PyTorch's layer and by a full softmax. With --run: by the full, SVD, doubly sparse and adaptive softmaxes of "
        "models trained alike on one corpus.",
    )
    device_option(p)
    source = p.add_mutually_exclusive_group(required=True)
    source.add_argument("--text", metavar="FILE", help="a text with a large vocabulary; its layer is trained first")
    source.add_argument(
        "--run",
        dest="corpus",
        metavar="CORPUS",
        help="a corpus, as train takes it; uses the models that `table --run` has trained, and trains the others first",
    )
    setting_options(p, only=["hidden"], preset=False)
    group = p.add_argument_group("with --text")
    group.add_argument("--steps", type=whole(1), metavar="N", help="training steps of the layer (200)")
    group.add_argument("--max-size", type=whole(1), metavar="V", help="keep V words (267735)")
    group = p.add_argument_group("with --run")
    group.add_argument("--experts", metavar="K,K...", help="numbers of experts, powers of two (8,16)")
    corpus_options(group, only=["tokens"])
    setting_options(group, only=["epochs"], preset=False)
    group.add_argument("--no-large", action="store_true", help="leave out SVD-softmax at 800,000 words")


def _decode(options: argparse.Namespace, rounds: Given) -> Any:
    from .. import bench

    use_device(options.device)
    if options.text is not None:
        only_with(options, "--run CORPUS", "experts", "tokens", "set_epochs", "no_large")
        given = {
            "steps": options.steps,
            "max_size": options.max_size,
            "in_features": options.set_hidden,
            "encoding": options.encoding,
        }
        chosen = {name: value for name, value in given.items() if value is not None}
        return bench.bench_decode(options.text, device=options.device, **chosen, **rounds)
    only_with(options, "--text FILE", "steps", "max_size")
    experts = numbers("--experts", options.experts or "8,16", int, "numbers like 8,16")
    settings, corpus = settings_of(options), corpus_of(options)
    record = bench.bench_compare(corpus, settings, experts=experts, device=options.device, **rounds)
    if not options.no_large:
        record["svd claim"] = bench.bench_svd(record, device=options.device)
    return record


# ---------------------------------------------------------------------- train


def _add_train(benches: Any) -> None:
    p = _benchmark(
        benches,
        "train",
        _train,
        rounds="15",
        help="training steps of language models with every softmax of the table",
        description="Training steps of all language models of `table`, which take turns: words per second, and the "
        "share of the output layer. Their rates go into `table` if --json names a file bench-train-*.json in its "
        "folder.",
    )
    device_option(p)
    p.add_argument(
        "--text",
        required=True,
        dest="corpus",
        metavar="CORPUS",
        help="a text, a folder of texts, or the name of a corpus",
    )
    corpus_options(p, only=["tokens", "bpe"])
    setting_options(p, only=["hidden", "dtype"])
    rows_option(p)


def _train(options: argparse.Namespace, rounds: Given) -> Any:
    from .. import bench
    from ..results.suite import SUITE

    use_device(options.device)
    settings, corpus = settings_of(options), corpus_of(options)
    return bench.bench_train(corpus, settings, rows=options.rows or tuple(SUITE), device=options.device, **rounds)


# ---------------------------------------------------------------------- attention


def _add_attention(benches: Any) -> None:
    p = _benchmark(
        benches,
        "attention",
        _attention,
        rounds="15",
        help="decoding with no cache, with keys and values, and with EL-attention",
        description="Decoding by a small Transformer that keeps nothing of what it has read, keys and values, or the "
        "inputs of its layers (EL-attention, Yan et al. 2021): bytes counted and measured, equality of the words, "
        "milliseconds per word against history, batch and beams, and words per second at the largest batch that fits. "
        "Run the same command again to go on where it was interrupted.",
    )
    device_option(p)
    p.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"], help="number format (float32)")
    _tiny_option(p)


def _attention(options: argparse.Namespace, rounds: Given) -> Any:
    from .. import bench

    use_device(options.device)
    sizes = bench.ATTENTION_TINY if options.tiny else None
    return bench.bench_attention(device=options.device, dtype=options.dtype, sizes=sizes, **rounds)


# ---------------------------------------------------------------------- margins


def _add_margins(benches: Any) -> None:
    p = _benchmark(
        benches,
        "margins",
        _margins,
        help="classifiers with and without margins on scikit-learn's digits",
        description="Accuracy, angles between classes, and retrieval of digits that were never trained on: the plain "
        "and the normalised softmax, SphereFace, CosFace, ArcFace and HASeparator. Nothing is timed.",
    )
    p.add_argument("--seeds", type=whole(1), metavar="N", default=8, help="splits of the images (8)")


def _margins(options: argparse.Namespace, rounds: Given) -> Any:
    from .. import bench

    return bench.bench_margins(seeds=options.seeds)


# ---------------------------------------------------------------------- memory


def _add_memory(benches: Any) -> None:
    p = _benchmark(
        benches,
        "memory",
        _memory,
        help="a neural cache and a Hebbian update beside the same language model without them",
        description="Perplexities of a small language model alone, with neural caches of three sizes (tuned on one "
        "half of the validation part, reported on the other), a unigram cache, a cache that is trained with the model, "
        "and Hebbian updates with several seeds; nats by how often words were trained on. Nothing is timed. Run the "
        "same command again to go on where it was interrupted.",
    )
    p.add_argument(
        "--text",
        default="docs",
        metavar="CORPUS",
        help="a text, a folder of texts, or the name of a corpus (docs: the documentation of installed packages)",
    )
    encoding_option(p)
    p.add_argument("--tokens", type=whole(1), metavar="N", help="train on the first N tokens (500000)")
    p.add_argument("--seeds", type=whole(1), metavar="N", help="trainings of each Hebbian update (3)")
    _tiny_option(p)


def _memory(options: argparse.Namespace, rounds: Given) -> Any:
    from dataclasses import replace

    from .. import bench

    given = {"tokens": options.tokens, "seeds": options.seeds}
    sizes = bench.MEMORY_TINY if options.tiny else bench.MemorySizes()
    sizes = replace(sizes, **{name: value for name, value in given.items() if value is not None})
    return bench.bench_memory(options.text, sizes=sizes, encoding=options.encoding or "utf-8")


# ---------------------------------------------------------------------- kerbs


def _add_kerbs(benches: Any) -> None:
    p = _benchmark(
        benches,
        "kerbs",
        _kerbs,
        help="several senses for a word, with learnt kernels, on words with known clusters",
        description="Test losses of softmaxes with one to three senses for a word, with and without the kernel of "
        "KerBS, on words whose clusters are known; whether senses move to the words that need them; with --text, "
        "perplexities of language models of as many parameters. Nothing is timed. Run the same command again to go on "
        "where it was interrupted.",
    )
    p.add_argument("--text", metavar="CORPUS", help="also language models: a text, a folder of texts, or a corpus")
    encoding_option(p)
    _tiny_option(p)


def _kerbs(options: argparse.Namespace, rounds: Given) -> Any:
    from .. import bench

    sizes = bench.KERBS_TINY if options.tiny else None
    return bench.bench_kerbs(options.text, sizes=sizes, encoding=options.encoding or "utf-8")


# ---------------------------------------------------------------------- adversarial


def _add_adversarial(benches: Any) -> None:
    p = _benchmark(
        benches,
        "adversarial",
        _adversarial,
        help="training on negatives that a decision tree draws, beside its rivals",
        description="Adversarial softmax (Bamler and Mandt 2020) beside the full softmax, uniform and frequent "
        "negatives, noise-contrastive estimation and one-vs-each: categories of ICD-10-CM's diagnoses, and clusters of "
        "more and more labels. Run the same command again to go on where it was interrupted.",
    )
    p.add_argument("--seeds", type=whole(1), metavar="N", default=3, help="trainings of each method (3)")
    p.add_argument("--text", type=file_name, metavar="FILE", help="also the next words of this text, on frozen states")
    p.add_argument("--only", choices=["icd", "clusters", "text"], help="one part alone")
    _tiny_option(p)


def _adversarial(options: argparse.Namespace, rounds: Given) -> Any:
    from .. import bench

    sizes = bench.CONTEST_TINY if options.tiny else None
    return bench.bench_adversarial(seeds=options.seeds, sizes=sizes, text=options.text, only=options.only)


# ---------------------------------------------------------------------- gpu


def _add_gpu(benches: Any) -> None:
    p: argparse.ArgumentParser = benches.add_parser(
        "gpu",
        help="everything that waits for a GPU, the most valuable first, in the time you have",
        description="Run what only a GPU can answer, in the order of its worth: checks of the kernels, tests, "
        "calibrations, benchmarks, trainings. Each task writes its record into the folder before the next begins, "
        "and at the end the commands of what is still missing are printed. Makes no request to the network for a "
        "corpus that is there already.",
    )
    p.set_defaults(run=_gpu)
    p.add_argument("--minutes", type=number(0), metavar="M", default=10.0, help="how long it may take, in minutes (10)")
    p.add_argument("--out", metavar="FOLDER", default="gpu-records", help="where records and logs go (gpu-records)")
    p.add_argument(
        "--text",
        dest="corpus",
        metavar="CORPUS",
        default="europarl-en",
        help="a corpus, as train takes it (europarl-en)",
    )
    p.add_argument("--continue", dest="go_on", action="store_true", help="leave out what is done in that folder")
    device_option(p, "cuda", "where to run: cuda, cuda:1 ... (cuda)")
    _tiny_option(p)


def _gpu(options: argparse.Namespace) -> None:
    from .. import bench

    use_device(options.device)
    bench.bench_gpu(
        options.out,
        minutes=options.minutes,
        device=options.device,
        corpus=options.corpus,
        go_on=options.go_on,
        tiny=options.tiny,
    )
