"""The command line: `python -m adasoft plan|calibrate|bench|train|table|lab`."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from . import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit status: 0, or 2 for bad input (the reason goes to stderr)."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command != "lab":
        parser.error(f"unknown arguments: {' '.join(rest)}")
    try:
        return int(options.run(options, rest) or 0)
    except (ValueError, TypeError, LookupError, OSError, RuntimeError, ImportError) as error:
        print(f"adasoft {options.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        kept = dict.fromkeys(("train", "table"), "what was kept stays, and the same command goes on from it")
        kept["bench"] = "what --json has been given so far stays"
        print(
            f"\nadasoft {options.command}: stopped; {kept.get(options.command, 'nothing was written')}", file=sys.stderr
        )
        return 130


def _parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="python -m adasoft",
        description="Adaptive softmax, planned for your words and your machine.",
        epilog="Start with:  python -m adasoft plan en     (then: python -m adasoft calibrate, and plan again)",
    )
    top.add_argument("--version", action="version", version=f"adasoft {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    p = commands.add_parser(
        "plan",
        help="find the fastest cutoffs for a language, a text or word counts",
        description="Find the cutoffs that make an adaptive softmax fastest for these words on a measured machine.",
        epilog="examples:\n"
        "  python -m adasoft plan de\n"
        "  python -m adasoft plan my-corpus.txt.xz --in-features 256 --min-count 5 --eos '<eos>'\n"
        "  python -m adasoft plan counts.tsv --tails 3 --json plan.json\n"
        "  python -m adasoft plan synthetic:1000000 --batch 4096\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument(
        "source",
        help="a language code of the wordfreq library (en, de, fi ...); a file of counts, one word and count per line "
        "(word<TAB>count, or as `sort | uniq -c` writes); a text file (plain, gz, xz or bz2); or synthetic:N for N "
        "words by Zipf's law",
    )
    p.add_argument("--kind", choices=["counts", "text"], help="what the file holds (by default as it looks)")
    _encoding_option(p)
    p.add_argument("--in-features", "-d", type=int, default=512, help="hidden size d (512)")
    p.add_argument("--batch", "-b", type=int, default=2560, help="tokens per step B: sequences x length (2560)")
    p.add_argument("--tails", "-j", type=int, help="number of tail clusters J; by default the best of 0 to 5")
    p.add_argument("--widths", help="widths of the tails: 128,32 in order, or 'choose' (needs --min-mean-width)")
    p.add_argument("--width-ratio", type=float, help="without --widths: tail i has the width d / ratio^i (4)")
    p.add_argument("--min-head-share", type=float, default=0.75, help="least share of tokens in the head (0.75)")
    p.add_argument("--min-mean-width", type=float, help="least mean width per token, a number up to d, like 480")
    p.add_argument("--align", type=int, default=1, help="cutoffs are multiples of this (1)")
    p.add_argument("--objective", choices=["train", "decode"], default="train", help="what is to be fast (train)")
    p.add_argument("--opened", help="decode: share of the rows that open a tail, as measured: 0.1, or 0.2,0.1,0.05 (1)")
    p.add_argument("--embedding", action="store_true", help="what adaptive input words, tied or not, save")
    p.add_argument("--min-count", type=float, help="words seen less often become <unk>")
    p.add_argument("--max-size", type=int, help="keep this many words, the rest becomes <unk>")
    p.add_argument("--eos", help="text: count this word once per line")
    p.add_argument("--lower", action="store_true", help="text: in lower case")
    p.add_argument("--split", choices=["whitespace", "words"], default="whitespace", help="text: how to find the words")
    p.add_argument("--device", help="whose timings: cpu or cuda (default: what was calibrated last)")
    p.add_argument("--dtype", default="float32", help="timings in this dtype (float32)")
    p.add_argument("--record", help="a machine record to use instead")
    p.add_argument("--json", metavar="FILE", help="write the plan, with the order of the ids, as JSON ('-': print it)")
    p.set_defaults(run=_plan)

    p = commands.add_parser(
        "calibrate",
        help="time this machine (a minute) and keep its cost model",
        description="Time products, layer parts and layers on this device, fit the cost model, keep it in the cache.",
    )
    p.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 ... (cpu)")
    p.add_argument("--dtype", default="float32", help="float32, bfloat16, float16 or float64 (float32)")
    p.add_argument("--seconds", type=float, default=60.0, help="about how long (60)")
    p.add_argument("--output", help="write the record here instead of the cache")
    p.set_defaults(run=_calibrate)

    p = commands.add_parser(
        "bench",
        help="benchmarks of the planner, the cost model and the layer",
        description="plan: time and memory of the search; with --text, planned cutoffs against the authors'. cost: "
        "predicted against measured layer times, and the regret of planned cutoffs. layer: full softmax, PyTorch's "
        "layer, ours and the bare matrix products. decode: ten best words by a layer trained on --text. train: steps "
        "of all softmaxes of the table on --text.",
    )
    p.add_argument("what", choices=["plan", "cost", "layer", "decode", "train"])
    p.add_argument("--device", default="cpu", help="cpu or cuda (cpu)")
    p.add_argument(
        "--dtype", default="float32", choices=["float32", "bfloat16"], help="layer, train: in which numbers (float32)"
    )
    p.add_argument("--rounds", type=int, help="timed rounds (layer 21, decode 9, cost 7, plan 5)")
    p.add_argument(
        "--no-full",
        action="store_true",
        help="layer: leave the full softmax out (it takes the longest); decode --run: leave out V = 800,000",
    )
    p.add_argument("--no-shapes", action="store_true", help="layer: leave the twenty other shapes out")
    p.add_argument(
        "--seconds", type=float, default=300.0, help="layer, on a GPU: begin no large size after so long (300)"
    )
    p.add_argument(
        "--text",
        action="append",
        metavar="FILE",
        help="decode, train: a text; plan: texts or languages (several times)",
    )
    p.add_argument(
        "--run", dest="run_corpus", metavar="CORPUS", help="decode: compare full, SVD-softmax, doubly sparse and "
        "adaptive softmax on models trained on this corpus (by `table --run`, or now)",
    )  # fmt: skip
    _encoding_option(p)
    p.add_argument("--experts", default="8,16", help="decode --run: numbers of experts (8,16)")
    p.add_argument("--steps", type=int, default=200, help="decode: training steps of the layer (200)")
    p.add_argument("--max-size", type=int, default=267_735, help="decode: words kept (267735)")
    p.add_argument("--tokens", type=int, help="train, decode --run: only the first so many tokens")
    p.add_argument("--hidden", type=int, default=512, help="train, decode --run: hidden size d (512)")
    p.add_argument("--epochs", type=int, default=5, help="train, decode --run: epochs of the runs (5)")
    p.add_argument("--bpe", type=int, metavar="V", help="train: a byte-pair vocabulary of V pieces")
    p.add_argument("--preset", default="paper", help="train: paper, authors or transformer (paper)")
    p.add_argument("--rows", help="train: only these rows of the table, by name, with commas between")
    p.add_argument("--json", metavar="FILE", help="write the results here")
    p.set_defaults(run=_bench)

    p = commands.add_parser(
        "train",
        help="train a language model with any softmax; the same command again goes on where it stopped",
        description="Train a language model. Ctrl-C keeps the run, a crash all but the last minute; the same command "
        "goes on. Under torchrun it runs on several devices. The defaults are those of the paper for Text8.",
        epilog="examples:\n"
        "  python -m adasoft train --hidden 128 --epochs 1                (the documentation of your packages)\n"
        "  python -m adasoft train --corpus wikitext-2 --softmax adaptive --cutoffs plan\n"
        "  python -m adasoft train --corpus folder/ --softmax sampled --model gru --hidden 256\n"
        "  python -m adasoft train --corpus text8 --device cuda --preset authors\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _corpus_options(p)
    _setting_options(p)
    p.add_argument("--folder", help="where checkpoint and record lie (default: in the cache, named after the run)")
    p.add_argument("--save-every", type=float, default=60.0, help="seconds between two checkpoints (60)")
    p.add_argument("--fresh", action="store_true", help="start anew, whatever is in the folder")
    p.add_argument("--sample", type=int, default=0, metavar="N", help="print N words drawn from the model at the end")
    p.add_argument("--json", metavar="FILE", help="write the record of the finished run here, too")
    p.set_defaults(run=_train)

    from .bench.training import SUITE, THREE_SEEDS

    p = commands.add_parser(
        "table",
        help="the paper's table from stored runs, beside the paper's numbers",
        description="Print the table of the runs stored in a folder; with --run CORPUS, train first what is missing "
        "there. A stopped run goes on the next time.",
    )
    p.add_argument("stored", nargs="?", default=None, help="folder of the records (data/results)")
    p.add_argument("--run", metavar="CORPUS", dest="corpus", help="train what is missing: a name, a file or a folder")
    p.add_argument("--rows", help=f"--run: only these rows, with commas between: {', '.join(SUITE)}")
    p.add_argument("--seeds", type=int, default=3, help=f"--run: seeds of {', '.join(THREE_SEEDS)} (3)")
    p.add_argument("--commands", action="store_true", help="print the command of each row as well")
    p.add_argument("--by-rank", action="store_true", help="print instead what rows lose, by the rank of the word")
    p.add_argument("--markdown", action="store_true", help="print the short tables that the README shows")
    _corpus_options(p, source=False)
    _setting_options(p)
    p.set_defaults(run=_table)

    p = commands.add_parser(
        "lab",
        help="open the notebooks in JupyterLab",
        description="Open the notebooks in JupyterLab, with its look-ups of news, updates and extensions turned off. "
        "Other arguments are handed on to JupyterLab, such as --no-browser or --port=9999.",
    )
    p.add_argument("--print", action="store_true", dest="show", help="print the command instead of running it")
    p.set_defaults(run=_lab)
    return top


def _encoding_option(p: argparse.ArgumentParser) -> None:
    p.add_argument("--encoding", default="utf-8", help="of files without a byte order mark, which says itself (utf-8)")


def _corpus_options(p: argparse.ArgumentParser, *, source: bool = True) -> None:
    if source:
        p.add_argument(
            "--corpus", default="docs", help="a file, a folder, or a name: docs (the documentation of the installed "
            "packages, needs no network; the default), text8, wikitext-2, wikitext-103, europarl-XX, one-billion-word",
        )  # fmt: skip
    _encoding_option(p)
    p.add_argument("--tokens", type=int, help="only the first so many tokens of the training part")
    p.add_argument("--min-count", type=int, help="words seen less often become <unk>")
    p.add_argument("--max-size", type=int, help="keep this many words, the rest becomes <unk>")
    p.add_argument("--lower", action="store_true", help="in lower case")
    p.add_argument("--bpe", type=int, metavar="V", help="a byte-pair vocabulary of V pieces instead of words")


def _setting_options(p: argparse.ArgumentParser) -> None:
    """One option for each field of `adasoft.settings.Settings`, which checks the values; torch is not loaded for it."""
    text = {
        "model": "lstm, gru, rnn-tanh, rnn-relu, rnn-sigmoid, transformer, or file.py:Name of your own cell (lstm)",
        "hidden": "hidden size d (512)", "layers": "layers of the model (1)", "heads": "of a Transformer (4)",
        "embedding": "plain, adaptive or tied (plain)", "embedding-size": "width of a plain embedding (d)",
        "dropout": "of embedded words and hidden states (0)",
        "softmax": "full, sampled, hierarchical, d-softmax, d-softmax-star or adaptive (adaptive)",
        "cutoffs": "authors, plan, or numbers like 2000,10000 (authors)",
        "min-head-share": "of a plan: least share of tokens in the head (0.75)",
        "min-mean-width": "of a plan: least mean width per token, as a share of d; tails choose their widths (0: off)",
        "n-tails": "of a plan: number of tails (the best of 0 to 5)",
        "width-ratio": "tail i has the width d / ratio^i (4)", "tail-dropout": "of the adaptive softmax (0)",
        "samples": "of the sampled softmax: share of the words (0.2)",
        "optimizer": "adagrad, adam, adamw or sgd (adagrad)",
        "learning-rate": "(0.1)", "weight-decay": "(1e-6)", "clip": "largest norm of the gradient, 0: none (1)",
        "warmup": "steps over which the learning rate rises to its value (0)",
        "halve-from": "halve the learning rate before each epoch from this one on", "bptt": "steps of a window (20)",
        "batch": "sequences side by side (128)", "epochs": "(5)", "seed": "(0)",
        "dtype": "float32, or bfloat16 or float16 for autocast (float32)",
    }  # fmt: skip
    kinds = {
        str: ("model", "embedding", "softmax", "cutoffs", "optimizer", "dtype"),
        float: (
            "dropout",
            "min-head-share",
            "min-mean-width",
            "width-ratio",
            "tail-dropout",
            "samples",
            "learning-rate",
            "weight-decay",
            "clip",
        ),
    }
    for name, help_ in text.items():
        kind = next((kind for kind, names in kinds.items() if name in names), int)
        p.add_argument(f"--{name}", type=kind, help=help_, dest=f"set_{name.replace('-', '_')}")
    p.add_argument("--preset", default="paper", help="paper, authors (their script's values) or transformer (paper)")
    p.add_argument("--device", help="cpu or cuda (cuda where there is one)")


def _preset(name: str) -> dict[str, Any]:
    from .settings import PRESETS

    if name not in PRESETS:
        raise ValueError(f"--preset should be one of {', '.join(PRESETS)}, got {name!r}")
    return PRESETS[name]


def _settings(options: argparse.Namespace) -> Any:
    from .settings import Settings

    chosen = {k.removeprefix("set_"): v for k, v in vars(options).items() if k.startswith("set_") and v is not None}
    cutoffs = chosen.get("cutoffs", "authors")
    if cutoffs not in ("authors", "plan"):
        try:
            chosen["cutoffs"] = tuple(int(c) for c in cutoffs.split(","))
        except ValueError:
            raise ValueError(f"--cutoffs should be authors, plan, or numbers like 2000,10000, got {cutoffs}") from None
    return Settings(**{**_preset(options.preset), **chosen})


def _corpus(options: argparse.Namespace) -> Any:
    from .corpora import load

    return load(
        options.corpus, tokens=options.tokens, min_count=options.min_count, max_size=options.max_size,
        lower=options.lower, bpe=options.bpe, encoding=options.encoding,
    )  # fmt: skip


def _train_device(options: argparse.Namespace) -> str:
    import torch

    device = str(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    return f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if device == "cuda" else device  # torchrun: one GPU each


def _use(device: str) -> None:
    """Make the GPU that is asked for the current one, where clocks, streams and kernels are."""
    if device.startswith("cuda:"):
        import torch

        if torch.cuda.is_available():  # else what runs on it says so
            torch.cuda.set_device(device)


def _again(options: argparse.Namespace, settings: Any) -> str:
    """The command that repeats a run: what differs from the defaults."""
    parts = ["python -m adasoft train", f"--corpus {Path(options.corpus).name}"]
    for name in ("tokens", "min_count", "max_size", "lower", "bpe"):
        value = getattr(options, name)
        if value:
            parts.append(f"--{name.replace('_', '-')}" + ("" if value is True else f" {value}"))
    if options.encoding != "utf-8":
        parts.append(f"--encoding {options.encoding}")
    for name, value in settings.changed().items():
        shown = ",".join(map(str, value)) if isinstance(value, tuple) else value
        parts.append(f"--{name.replace('_', '-')} {shown}")
    return " ".join(parts)


def _train(options: argparse.Namespace, rest: list[str]) -> int:
    import torch

    from .cost import cache_dir, write_whole
    from .train import Run, Stopped, run_name, train

    settings, device = _settings(options), _train_device(options)
    several = int(os.environ.get("WORLD_SIZE", 1)) > 1
    _use(device)
    if several:
        torch.distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    first = not several or torch.distributed.get_rank() == 0
    corpus = _corpus(options)
    folder = Path(options.folder) if options.folder else cache_dir() / "runs" / run_name(corpus, settings, device)
    if options.fresh and first and folder.exists():
        for found in folder.glob("checkpoint.safetensors*"):
            found.unlink()
        (folder / "record.json").unlink(missing_ok=True)
    if several:
        torch.distributed.barrier()
    if first:
        print(f"{corpus.name}: {len(corpus.train):,} tokens, V = {corpus.n_classes:,}, licence: {corpus.licence}")
        print(f"kept in {folder}")
    again = _again(options, settings)
    try:
        record = train(corpus, settings, folder, device=device, save_every=options.save_every, command=again)
        written = ""
        if options.sample:
            if several:
                torch.distributed.barrier()  # the first process has written the checkpoint
            run = Run.resume(folder / "checkpoint.safetensors", corpus, device=device)
            written = run.sample(options.sample, seed=settings.seed)
    except Stopped as stopped:
        if first:
            print(f"{stopped}\nThe same command goes on.", file=sys.stderr)
        return 130
    finally:
        if several:
            torch.distributed.destroy_process_group()
    if not first:
        return 0
    where = f"cutoffs {', '.join(map(str, record['cutoffs']))}; " if record["cutoffs"] else ""
    print(
        f"{record['train']}: {where}test perplexity {record['test perplexity']:,.2f} after {record['seconds']:,.0f} s, "
        f"{record['words per second']:,.0f} words/s; time: "
        + ", ".join(f"{part} {share:.0%}" for part, share in record["shares"].items())
    )
    if options.json:
        write_whole(options.json, json.dumps(record, indent=1) + "\n")
        print(f"written to {options.json}")
    if written:
        print(written)
    return 0


def _table(options: argparse.Namespace, rest: list[str]) -> int:
    from .bench.training import SUITE, print_by_rank, print_table, stored_as, suite
    from .cost import cache_dir, write_whole

    folder = Path(options.stored) if options.stored else Path(__file__).resolve().parent.parent / "data" / "results"
    if options.rows and not options.corpus:
        raise ValueError("--rows says what --run CORPUS trains: without it, all rows stored are printed")
    if options.corpus:
        from .settings import partition
        from .train import Stopped, run_name, train

        settings, device, corpus = _settings(options), _train_device(options), _corpus(options)
        _use(device)
        rows = options.rows.split(",") if options.rows else tuple(SUITE)
        for name, one in suite(settings, rows, options.seeds):
            path, there = stored_as(folder, name, corpus, one, device.partition(":")[0])
            if there:
                continue
            try:
                partition(one, corpus, device=device.partition(":")[0])
            except ValueError as error:
                print(f"{name}: left out, {error}", file=sys.stderr)
                continue
            print(f"{name}, seed {one.seed}: {_again(options, one)}")
            run = cache_dir() / "runs" / run_name(corpus, one, device)
            try:
                record = train(corpus, one, run, device=device, command=_again(options, one), row=name)
            except Stopped as stopped:
                print(f"{stopped}\nThe same command goes on.", file=sys.stderr)
                return 130
            write_whole(path, json.dumps({**record, "row": name}, indent=1) + "\n")
            print(f"{name}, seed {one.seed}: test perplexity {record['test perplexity']:,.2f}")
    if options.markdown:
        from .explore.stored_training import markdown

        print(markdown(folder))
    elif options.by_rank:
        print_by_rank(folder)
    else:
        print_table(folder, commands=options.commands)
    return 0


def _read(options: argparse.Namespace) -> Any:
    from .vocabulary import Vocabulary

    source = options.source
    if source.startswith("synthetic:"):
        number = source.removeprefix("synthetic:")
        if not number.isdigit():
            raise ValueError(f"synthetic:N needs a whole number of words, got {number!r}")
        vocabulary = Vocabulary.synthetic(int(number), shift=2.7)
    elif Path(source).is_file():
        text = {"eos": options.eos, "lower": options.lower or None, "tokenizer": options.split}
        given = {k: v for k, v in text.items() if v is not None and v != "whitespace"}
        vocabulary = Vocabulary.read(source, kind=options.kind, encoding=options.encoding, **given)
    else:
        vocabulary = _of_language(source)
    if options.min_count is not None or options.max_size is not None:
        kept = vocabulary.truncate(min_count=options.min_count, max_size=options.max_size)
        if len(kept) == 1 < len(vocabulary):
            raise ValueError(
                f"--min-count {options.min_count:g} leaves no word but <unk>: the largest count is "
                f"{vocabulary.counts[0]:g}" + (", a share of all words" if vocabulary.counts[0] < 1 else "")
            )
        return kept
    return vocabulary


def _of_language(source: str) -> Any:
    """The words of a language of wordfreq. FileNotFoundError if it is none: a file was meant."""
    from .vocabulary import Vocabulary

    try:
        languages = Vocabulary.wordfreq_languages()
    except ImportError as error:
        raise FileNotFoundError(f"{source!r} is no file; and for the words of a language, {error}") from error
    if source not in languages:
        raise FileNotFoundError(f"{source!r} is no file, and no language of wordfreq ({' '.join(languages)})")
    return Vocabulary.from_wordfreq(source)


def _plan(options: argparse.Namespace, rest: list[str]) -> None:
    from .cost import load_cost, read_record, write_whole
    from .partition import plan

    vocabulary = _read(options)
    cost = read_record(options.record) if options.record else load_cost(options.device, dtype=options.dtype)
    widths: Any = options.widths
    if widths is not None and widths != "choose":
        try:
            widths = [int(w) for w in widths.split(",")]
        except ValueError:
            raise ValueError(f"--widths should be numbers like 128,32, or 'choose', got {options.widths!r}") from None
    if options.min_mean_width is not None and 0 < options.min_mean_width <= 1 < options.in_features:
        raise ValueError(
            f"--min-mean-width is a width of up to d = {options.in_features}, not a share of it: "
            f"got {options.min_mean_width:g}, perhaps {options.min_mean_width * options.in_features:g} is meant"
        )
    try:
        opened: Any = [float(share) for share in options.opened.split(",")] if options.opened else [1.0]
    except ValueError:
        raise ValueError(f"--opened should be numbers like 0.2,0.1, got {options.opened!r}") from None
    found = plan(
        vocabulary,
        options.in_features,
        options.batch,
        cost=cost,
        n_tails=options.tails,
        widths=widths,
        width_ratio=options.width_ratio,
        min_head_share=options.min_head_share,
        min_mean_width=options.min_mean_width,
        align=options.align,
        objective=options.objective,
        opened=opened if len(opened) > 1 else opened[0],
    )
    if options.json == "-":
        print(found.to_json(order=True))
        return
    print(found)
    if options.embedding:
        from .embedding import savings, table

        print("\ninput and output words together:\n" + table(savings(found)))
    if options.json:
        write_whole(options.json, found.to_json(order=True) + "\n")
        print(f"written to {options.json}")


def _calibrate(options: argparse.Namespace, rest: list[str]) -> None:
    from .machine import calibrate

    _use(options.device)
    cost = calibrate(options.device, options.dtype, seconds=options.seconds, save=options.output or True)
    record = cost.record or {}
    print(f"{cost.name}: {record['threads']} threads, torch {record['torch']}, {record['seconds']:.0f} s")
    for name, error in record["errors"].items():
        print(f"  {name:28} median error {error['median']:6.1%}, largest {error['largest']:6.1%}, {error['n']} shapes")
    how = "" if options.dtype == "float32" else f" --dtype {options.dtype}"
    if options.output:
        how = f" --record {cost.path}"
    print(f"written to {cost.path}; `python -m adasoft plan{how}` uses it from now on")


def _words(source: str, encoding: str) -> Any:
    from .vocabulary import Vocabulary

    if not Path(source).is_file():
        return _of_language(source)
    try:
        return Vocabulary.read(source, eos="<eos>", encoding=encoding)
    except TypeError:  # counts: their reader knows no ends of lines
        return Vocabulary.from_counts_file(source, encoding=encoding)


def _bench(options: argparse.Namespace, rest: list[str]) -> None:
    from . import bench

    _use(options.device)
    rounds = {"rounds": options.rounds} if options.rounds else {}
    if options.what == "plan":
        record = bench.bench_plan(repeats=options.rounds or 5)
        vocabularies = [_words(text, options.encoding) for text in options.text or ()]
        cases = [bench.bench_cutoffs(words, device=options.device, **rounds) for words in vocabularies]
        record |= {"cutoffs": cases, "device": bench.provenance(options.device)["device"]} if cases else {}
    elif options.what == "cost":
        record = bench.bench_cost(device=options.device, **rounds)
    elif options.what == "train":
        if not options.text or len(options.text) > 1:
            raise ValueError("bench train needs one --text: a text, a folder of texts, or the name of a corpus")
        from .bench.training import SUITE
        from .corpora import load
        from .settings import Settings

        corpus = load(options.text[0], tokens=options.tokens, bpe=options.bpe, encoding=options.encoding)
        given = {"hidden": options.hidden, "epochs": options.epochs, "dtype": options.dtype}
        settings = Settings(**{**_preset(options.preset), **given})
        rows = options.rows.split(",") if options.rows else tuple(SUITE)
        record = bench.bench_train(corpus, settings, rows=rows, device=options.device, **rounds)
    elif options.what == "decode" and options.run_corpus:
        from .corpora import load
        from .settings import Settings

        settings = Settings(hidden=options.hidden, epochs=options.epochs)
        corpus = load(options.run_corpus, tokens=options.tokens, encoding=options.encoding)
        experts = [int(k) for k in options.experts.split(",") if k]
        record = bench.bench_compare(corpus, settings, experts=experts, device=options.device, **rounds)
        if not options.no_full:
            record["svd claim"] = bench.bench_svd(record, device=options.device)
    elif options.what == "decode":
        if not options.text or len(options.text) > 1:
            raise ValueError("bench decode needs one --text FILE: a text with a large vocabulary")
        record = bench.bench_decode(
            options.text[0],
            device=options.device,
            steps=options.steps,
            max_size=options.max_size,
            encoding=options.encoding,
            **rounds,
        )
    else:
        record = bench.bench_layer(
            device=options.device, dtype=options.dtype, full=not options.no_full, shapes=not options.no_shapes,
            keep=(lambda record: bench.save(record, options.json)) if options.json else None,
            seconds=options.seconds, **rounds,
        )  # fmt: skip
    if options.json:
        bench.save(record, options.json)
        print(f"written to {options.json}")


#: JupyterLab's settings that ask the network, or cover the page with a notice of it, off.
LAB_SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    }
}
LAB_FLAGS = (
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.extension_manager=readonly",
)


def lab_environment() -> dict[str, str]:
    """The environment JupyterLab is started in: ours plus a folder of settings, besides the reader's own."""
    from .cost import cache_dir, write_whole

    folder = cache_dir() / "jupyter"
    settings = folder / "labconfig" / "default_setting_overrides.json"
    write_whole(settings, json.dumps(LAB_SETTINGS, indent=1))
    own = os.environ.get("JUPYTER_CONFIG_PATH")
    return {**os.environ, "JUPYTER_CONFIG_PATH": os.pathsep.join(filter(None, [str(folder), own]))}


def lab_command(extra: Sequence[str] = ()) -> list[str]:
    """The command that opens the notebooks."""
    notebooks = Path(__file__).resolve().parent.parent / "notebooks"
    first = notebooks / "00_start_here.ipynb"
    if not first.exists():
        raise FileNotFoundError(
            f"{notebooks} holds no notebooks: they come with the project's checkout, not with the installed package"
        )
    root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    return [sys.executable, "-m", "jupyterlab", *LAB_FLAGS, *root, *extra, str(first)]


def _lab(options: argparse.Namespace, rest: list[str]) -> int:
    command = lab_command(rest)
    if options.show:
        print(" ".join(command))
        return 0
    try:
        version("jupyterlab")
    except PackageNotFoundError:
        raise ImportError("JupyterLab is not installed: pip install -r requirements.txt") from None
    process = subprocess.Popen(command, env=lab_environment())
    try:
        return process.wait()
    except KeyboardInterrupt:
        # JupyterLab got the same Ctrl-C and asks its own question
        return process.wait()


if __name__ == "__main__":
    raise SystemExit(main())
