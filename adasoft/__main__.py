"""The command line: `python -m adasoft plan|calibrate|bench|train|table|lab`."""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import math
import os
import re
import shlex
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NoReturn

from . import __version__
from .files import short, writable_folder, write_whole
from .screen import ReaderGone, Screen, fail, open_descriptors

#: Exit statuses beside 0: bad input; an error that nobody foresaw; Ctrl-C and a reader gone, as shells count signals.
BAD_INPUT, UNFORESEEN, INTERRUPTED, READER_GONE = 2, 1, 130, 141
#: What a person may have done wrong, or a machine may lack. Anything else is a fault of adasoft.
_FORESEEN = (ValueError, TypeError, LookupError, ArithmeticError, OSError, RuntimeError, ImportError, MemoryError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit status: 0, or 2 for bad input (the reason goes to stderr, in one line).

    130 after Ctrl-C, 141 if nobody reads the output any more, 1 for an error that nobody foresaw: ``python -X dev``
    shows where. ``--help``, ``--version`` and arguments that are not understood raise SystemExit, as argparse does.
    """
    out, errors = Screen(sys.stdout, output=True), Screen(sys.stderr, output=False)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):  # type: ignore[type-var]
        try:
            try:
                return _run(arguments)
            finally:
                out.flush()
        except ReaderGone:
            return READER_GONE
        except OSError as error:  # of the standard output: it is full, or closed
            fail(f"adasoft: {_sentence(error)}")
            return BAD_INPUT


def _run(arguments: Sequence[str] | None) -> int:
    options, rest = _parser().parse_known_args(arguments)
    if rest and options.command != "lab":
        options.parser.error(f"there is no such option or argument: {shlex.join(rest)}")
    if getattr(sys.stdout, "stream", sys.stdout) is None and options.command != "lab":
        raise OSError("the standard output is closed, so nothing could be shown: send it to a file")
    try:
        return int(options.run(options, rest) or 0)
    except ReaderGone:
        raise
    except KeyboardInterrupt:
        kept = dict.fromkeys(("train", "table"), "what was kept stays, and the same command goes on from it")
        kept["bench"] = "what --json has been given so far stays"
        fail(f"\n{_name(options.parser)}: stopped; {kept.get(options.command, 'nothing was written')}")
        return INTERRUPTED
    except _FORESEEN as error:
        if sys.flags.dev_mode:
            raise
        fail(f"{_name(options.parser)}: {_sentence(error)}")
        return BAD_INPUT
    except Exception as error:
        if sys.flags.dev_mode:
            raise
        fail(
            f"{_name(options.parser)}: a fault of adasoft, {type(error).__name__}: {_sentence(error)} "
            "(python -X dev -m adasoft ... shows where)"
        )
        return UNFORESEEN


def _sentence(error: BaseException) -> str:
    """An error in one line, without the traces of C++ that PyTorch appends."""
    if isinstance(error, OSError) and error.strerror:
        name = "" if error.filename is None else str(error.filename)
        return error.strerror + (f": {name if len(name) < 200 else short(name)}" if name else "")
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    text = text.partition("\nException raised from")[0].partition("\nC++ CapturedTraceback")[0]
    line = " ".join(text.split()) or type(error).__name__
    return f"not enough memory: {line}" if isinstance(error, MemoryError) else line


# ---------------------------------------------------------------------- arguments


def _name(parser: argparse.ArgumentParser) -> str:
    """What errors begin with: "adasoft bench layer"."""
    return parser.prog.removeprefix("python -m ")


class _Help(argparse.HelpFormatter):
    """Help whose examples keep their lines."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if text.startswith("examples:") else super()._fill_text(text, width, indent)


class _Parser(argparse.ArgumentParser):
    """A parser that refuses in one line and knows itself in what it has parsed (``options.parser``)."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **{"formatter_class": _Help, **more})
        self.set_defaults(parser=self)

    def error(self, message: str) -> NoReturn:
        message = re.sub(r"^argument (\S+): (?=should be )", r"\1 ", message)
        fail(f"{_name(self)}: {message} ({self.prog} --help lists what there is)")
        raise SystemExit(BAD_INPUT)


def _whole(least: int | None = None) -> Callable[[str], int]:
    """A type of argument: a whole number of at least ``least``, of 64 bits as in PyTorch."""

    def read(text: str) -> int:
        rule = "a whole number" + ("" if least is None else f" of at least {least}")
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"should be {rule}, got {short(text)}") from None
        if least is not None and value < least:
            raise argparse.ArgumentTypeError(f"should be {rule}, got {short(text)}")
        if abs(value) >= 2**63:
            raise argparse.ArgumentTypeError(f"should be {rule}, below 2^63, got {short(text)}")
        return value

    return read


def _number(least: float | None = None) -> Callable[[str], float]:
    """A type of argument: any number, or a finite one of at least ``least``."""

    def read(text: str) -> float:
        rule = "a number" + ("" if least is None else f" of at least {least:g}, and finite")
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"should be {rule}, got {short(text)}") from None
        if least is not None and not least <= value < math.inf:
            raise argparse.ArgumentTypeError(f"should be {rule}, got {short(text)}")
        return value

    return read


def _file(text: str) -> str:
    """A type of argument: the name of a file to write."""
    if text in ("", "-"):
        raise argparse.ArgumentTypeError(f"should be the name of a file, got {text!r}")
    return text


def _file_or_print(text: str) -> str:
    return text if text == "-" else _file(text)


def _can_be_written(path: str | None) -> None:
    """Try, before the work, a file that is written after it. Raises OSError with its name."""
    if path is None or path == "-":
        return
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if os.path.isfile(path) or not os.path.exists(path):  # a device takes what it is given
        folder = Path(os.path.realpath(path)).parent
        try:
            writable_folder(folder)
        except FileExistsError:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None


def _only_with(options: argparse.Namespace, wanted: str, *names: str) -> None:
    """Refuse options that nothing would look at: they belong to ``wanted``, which was not given."""
    for name in names:
        if getattr(options, name) not in (None, False):
            raise ValueError(f"--{name.removeprefix('set_').replace('_', '-')} is for {wanted}")


def _parser() -> argparse.ArgumentParser:
    top = _Parser(
        prog="python -m adasoft",
        description="Adaptive softmax, planned for your words and your machine.",
        epilog="Start with:  python -m adasoft plan en     (then: python -m adasoft calibrate, and plan again)",
    )
    top.add_argument("--version", action="version", version=f"adasoft {__version__}", help="print the version and stop")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _plan_parser(commands)
    _calibrate_parser(commands)
    _bench_parser(commands)
    _train_parser(commands)
    _table_parser(commands)
    _lab_parser(commands)
    return top


def _plan_parser(commands: Any) -> None:
    p = commands.add_parser(
        "plan",
        help="find the fastest cutoffs for a language, a text or word counts",
        description="Find the cutoffs that make an adaptive softmax fastest for these words on a measured machine.",
        epilog="examples:\n"
        "  python -m adasoft plan de\n"
        "  python -m adasoft plan my-corpus.txt.xz --in-features 256 --min-count 5 --eos '<eos>'\n"
        "  python -m adasoft plan counts.tsv --tails 3 --json plan.json\n"
        "  python -m adasoft plan synthetic:1000000 --batch 4096\n",
    )
    p.add_argument(
        "source",
        metavar="SOURCE",
        help="a language code of the wordfreq library (en, de, fi ...); a file of counts, one word and its count per "
        "line (word<TAB>count, or as `sort | uniq -c` writes them); a text file (plain, gz, xz or bz2); or synthetic:N "
        "for N words by Zipf's law",
    )
    p.add_argument("--kind", choices=["counts", "text"], help="what the file holds (by default as it looks)")
    _encoding_option(p)
    p.add_argument("--in-features", "-d", type=_whole(), metavar="D", default=512, help="hidden size d (512)")
    p.add_argument(
        "--batch", "-b", type=_whole(), metavar="B", default=2560, help="tokens per step: sequences x length (2560)"
    )
    p.add_argument("--tails", "-j", type=_whole(), metavar="J", help="number of tails; by default the best of 0 to 5")
    p.add_argument(
        "--widths", metavar="W,W...", help="widths of the tails: 128,32 in order, or 'choose' (needs --min-mean-width)"
    )
    p.add_argument(
        "--width-ratio", type=_number(), metavar="R", help="without --widths: tail i has the width d / R^i (4)"
    )
    p.add_argument(
        "--min-head-share",
        type=_number(),
        metavar="SHARE",
        default=0.75,
        help="smallest share of the tokens that the head may hold, 0 to 1 (0.75)",
    )
    p.add_argument(
        "--min-mean-width",
        type=_number(),
        metavar="W",
        help="smallest mean width per token, a number up to d, such as 480",
    )
    p.add_argument("--align", type=_whole(), metavar="N", default=1, help="cutoffs are multiples of N (1)")
    p.add_argument(
        "--objective",
        choices=["train", "decode"],
        default="train",
        help="what should be fast: training or decoding (train)",
    )
    p.add_argument(
        "--opened",
        metavar="SHARE,...",
        help="decode: measured share of the rows that open a tail, 0.1 for all tails or 0.2,0.1,0.05 for each (1)",
    )
    p.add_argument("--embedding", action="store_true", help="also show what adaptive input words, tied or not, save")
    p.add_argument("--min-count", type=_number(), metavar="N", help="words that occur less often become <unk>")
    p.add_argument("--max-size", type=_whole(), metavar="V", help="keep V words; the rest become <unk>")
    p.add_argument("--eos", metavar="WORD", help="text: count this word once per line")
    p.add_argument("--lower", action="store_true", help="text: in lower case")
    p.add_argument(
        "--split",
        choices=["whitespace", "words"],
        default="whitespace",
        help="text: how to find the words (whitespace)",
    )
    p.add_argument("--device", help="whose timings to use: cpu or cuda (default: what was calibrated last)")
    p.add_argument("--dtype", default="float32", help="use timings of this number format (float32)")
    p.add_argument("--record", metavar="FILE", help="use this machine record instead")
    p.add_argument(
        "--json",
        type=_file_or_print,
        metavar="FILE",
        help="write the plan as JSON, with the order of the ids ('-': print it and nothing else)",
    )
    p.set_defaults(run=_plan)


def _calibrate_parser(commands: Any) -> None:
    p = commands.add_parser(
        "calibrate",
        help="time this machine (a minute) and keep its cost model",
        description="Time products, layer parts and layers on this device, fit the cost model, keep it in the cache.",
    )
    p.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 ... (cpu)")
    p.add_argument("--dtype", default="float32", help="float32, bfloat16, float16 or float64 (float32)")
    p.add_argument("--seconds", type=_number(0), metavar="S", default=60.0, help="how long, roughly, in seconds (60)")
    p.add_argument("--output", type=_file, metavar="FILE", help="write the record here instead of into the cache")
    p.set_defaults(run=_calibrate)


def _bench_parser(commands: Any) -> None:
    """One parser for each benchmark, with the options that it looks at."""
    from .bench.training import SUITE

    top = commands.add_parser(
        "bench",
        help="benchmarks of the planner, the cost model and the layer",
        description="Time one part of adasoft on this machine and print the tables.",
        epilog="python -m adasoft bench layer --help explains one benchmark and lists its options",
    )
    benches = top.add_subparsers(dest="what", required=True, metavar="BENCHMARK")

    def bench(name: str, run: Callable[..., Any], rounds: str, help_: str, description: str) -> Any:
        p = benches.add_parser(name, help=help_, description=description)
        p.add_argument("--rounds", type=_whole(1), metavar="N", help=f"how often each thing is timed ({rounds})")
        p.add_argument("--json", type=_file, metavar="FILE", help="also write the results here, as JSON")
        p.set_defaults(run=_bench, bench=run)
        return p

    def device(p: Any) -> None:
        p.add_argument("--device", default="cpu", help="where to run: cpu or cuda (cpu)")

    p = bench(
        "plan",
        _bench_plan,
        "5, and 9 with --text",
        "time and memory of the search for cutoffs; planned cutoffs against the authors'",
        "Time and memory of the search for cutoffs among a million words. With --text, also: steps of layers with "
        "planned cutoffs against the authors' cutoffs (2000 and 10000) at the same share of tokens in the head.",
    )
    p.add_argument("--text", action="append", metavar="FILE", help="a text or a language; may be given several times")
    _encoding_option(p)
    p.add_argument("--device", help="with --text: where to run the layers, cpu or cuda (cpu)")

    p = bench(
        "cost",
        _bench_cost,
        "7",
        "predicted against measured times of layers",
        "Predicted against measured times of layers that no fit has seen, and how far planned cutoffs are from the "
        "best of thirty others, for English and German (needs the wordfreq library).",
    )
    device(p)

    p = bench(
        "layer",
        _bench_layer,
        "21",
        "full softmax, PyTorch's layer, ours and the bare matrix products",
        "Training steps of the full softmax, PyTorch's layer, ours and the bare matrix products, then ours against "
        "PyTorch's over twenty shapes. On a GPU, first of all, large sizes against every full softmax installed.",
    )
    device(p)
    p.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"], help="number format (float32)")
    p.add_argument("--no-full", action="store_true", help="leave out the full softmax, which takes the longest")
    p.add_argument("--no-shapes", action="store_true", help="leave out the twenty other shapes")
    p.add_argument(
        "--seconds", type=_number(0), metavar="S", help="on a GPU: start no further large size after S seconds (300)"
    )

    p = bench(
        "decode",
        _bench_decode,
        "9; with --run 15",
        "the ten most likely words, by trained layers",
        "Time to find the ten most likely words. With --text: by a layer trained on that text, by PyTorch's layer "
        "and by a full softmax. With --run: by the full, SVD, doubly sparse and adaptive softmaxes of models trained "
        "alike on one corpus.",
    )
    device(p)
    source = p.add_mutually_exclusive_group(required=True)
    source.add_argument("--text", metavar="FILE", help="a text with a large vocabulary; its layer is trained first")
    source.add_argument(
        "--run", dest="corpus", metavar="CORPUS", help="a corpus, as train takes it; models that `table --run` has "
        "trained are used, the others are trained first",
    )  # fmt: skip
    _encoding_option(p)
    group = p.add_argument_group("with --text")
    group.add_argument("--steps", type=_whole(1), metavar="N", help="training steps of the layer (200)")
    group.add_argument("--max-size", type=_whole(1), metavar="V", help="keep V words (267735)")
    group = p.add_argument_group("with --run")
    group.add_argument("--experts", metavar="K,K...", help="numbers of experts, powers of two (8,16)")
    group.add_argument("--tokens", type=_whole(1), metavar="N", help="only the first N tokens of the training part")
    group.add_argument("--hidden", type=_whole(1), metavar="D", help="hidden size d (512)")
    group.add_argument("--epochs", type=_whole(1), metavar="N", help="epochs of the trainings (5)")
    group.add_argument("--no-large", action="store_true", help="leave out SVD-softmax at 800,000 words")

    p = bench(
        "train",
        _bench_train,
        "15",
        "training steps of language models with every softmax of the table",
        "Training steps of all language models of `table`, which take turns: words per second, and the share of the "
        "output layer. Their rates go into `table` if --json names a file bench-train-*.json in its folder.",
    )
    device(p)
    p.add_argument("--text", required=True, metavar="CORPUS", help="a text, a folder of texts, or the name of a corpus")
    _encoding_option(p)
    p.add_argument("--tokens", type=_whole(1), metavar="N", help="only the first N tokens of the training part")
    p.add_argument("--bpe", type=_whole(1), metavar="V", help="a byte-pair vocabulary of V pieces instead of words")
    p.add_argument("--hidden", type=_whole(1), metavar="D", default=512, help="hidden size d (512)")
    p.add_argument(
        "--dtype",
        default="float32",
        choices=["float32", "bfloat16"],
        help="float32, or bfloat16 for autocast (float32)",
    )
    p.add_argument("--preset", default="paper", help="settings of the models: paper, authors or transformer (paper)")
    p.add_argument("--rows", metavar="ROW,ROW...", help=f"only these rows of the table: {', '.join(SUITE)}")


def _train_parser(commands: Any) -> None:
    p = commands.add_parser(
        "train",
        help="train a language model with any softmax; the same command again goes on where it stopped",
        description="Train a language model. Ctrl-C keeps the run, a crash all but the last minute; the same command "
        "goes on. Under torchrun it runs on several devices. The defaults are those of the paper for Text8.",
        epilog="examples:\n"
        "  python -m adasoft train --hidden 128 --epochs 1 --tokens 300000     (documentation of your packages)\n"
        "  python -m adasoft train --hidden 128 --epochs 1                     (all of it: many minutes)\n"
        "  python -m adasoft train --corpus wikitext-2 --softmax adaptive --cutoffs plan\n"
        "  python -m adasoft train --corpus folder/ --softmax sampled --model gru --hidden 256\n"
        "  python -m adasoft train --corpus text8 --device cuda --preset authors\n",
    )
    _corpus_options(p)
    _setting_options(p)
    p.add_argument("--folder", help="where checkpoint and record are kept (default: in the cache, named after the run)")
    p.add_argument(
        "--save-every", type=_number(0), metavar="S", default=60.0, help="seconds between two checkpoints (60)"
    )
    p.add_argument("--fresh", action="store_true", help="start from the beginning, whatever is in the folder")
    p.add_argument(
        "--sample", type=_whole(0), default=0, metavar="N", help="at the end print N words drawn from the model (0)"
    )
    p.add_argument(
        "--json",
        type=_file,
        metavar="FILE",
        help="also write the record of the finished run here; `table` reads the files train-*.json of its folder",
    )
    p.set_defaults(run=_train)


def _table_parser(commands: Any) -> None:
    from .bench.training import SUITE, THREE_SEEDS

    p = commands.add_parser(
        "table",
        help="the paper's table from stored runs, beside the paper's numbers",
        description="Print the table of the runs stored in a folder (files train-*.json); with --run CORPUS, first "
        "train what is missing there. A stopped run goes on the next time.",
    )
    p.add_argument(
        "stored",
        nargs="?",
        metavar="FOLDER",
        help="folder of the records, files train-*.json (data/results of a checkout, else in the cache)",
    )
    shown = p.add_mutually_exclusive_group()
    shown.add_argument("--commands", action="store_true", help="print the command of each row as well")
    shown.add_argument("--by-rank", action="store_true", help="print instead what rows lose, by the rank of the word")
    shown.add_argument("--markdown", action="store_true", help="print instead the short tables that the README shows")
    p.add_argument("--run", metavar="CORPUS", dest="corpus", help="train what is missing: a name, a file or a folder")
    p.add_argument("--rows", metavar="ROW,ROW...", help=f"--run: only these rows: {', '.join(SUITE)}")
    p.add_argument("--seeds", type=_whole(1), metavar="N", help=f"--run: seeds of {', '.join(THREE_SEEDS)} (3)")
    given = [action.dest for options in (_corpus_options, _setting_options) for action in options(p, with_run=True)]
    p.set_defaults(run=_table, only_with_run=["rows", "seeds", *given])


def _lab_parser(commands: Any) -> None:
    p = commands.add_parser(
        "lab",
        help="open the notebooks in JupyterLab",
        description="Open the notebooks in JupyterLab, with its look-ups of news, updates and extensions turned off. "
        "Other arguments are handed on to JupyterLab, such as --no-browser or --port=9999.",
    )
    p.add_argument("--print", action="store_true", dest="show", help="print the command instead of running it")
    p.set_defaults(run=_lab)


def _encoding_option(p: Any) -> argparse.Action:
    option: argparse.Action = p.add_argument(
        "--encoding", metavar="NAME", help="encoding of files that have no byte-order mark (utf-8)"
    )
    return option


def _corpus_options(p: argparse.ArgumentParser, *, with_run: bool = False) -> list[argparse.Action]:
    """What a training reads. ``with_run``: of a corpus that --run names."""
    group = p.add_argument_group("words" + (", with --run" if with_run else ""))
    if not with_run:
        p.add_argument(
            "--corpus",
            default="docs",
            help="a file, a folder, or a name: docs (the documentation of the installed "
            "packages, needs no network; the default), text8, wikitext-2, wikitext-103, europarl-XX, one-billion-word",
        )
    return [
        _encoding_option(group),
        group.add_argument(
            "--tokens", type=_whole(1), metavar="N", help="only the first N tokens of the training part"
        ),
        group.add_argument("--min-count", type=_whole(), metavar="N", help="words that occur less often become <unk>"),
        group.add_argument("--max-size", type=_whole(), metavar="V", help="keep V words; the rest become <unk>"),
        group.add_argument("--lower", action="store_true", help="in lower case"),
        group.add_argument(
            "--bpe", type=_whole(), metavar="V", help="a byte-pair vocabulary of V pieces instead of words"
        ),
    ]


#: One option for each field of `adasoft.lm.settings.Settings`, which checks the values; torch is not loaded for this.
#: Name, type, placeholder, and what it says; in brackets the default.
_SETTINGS: tuple[tuple[str, Callable[[str], Any], str, str], ...] = (
    ("model", str, "NAME", "lstm, gru, rnn-tanh, rnn-relu, rnn-sigmoid, transformer, or file.py:Name, your own (lstm)"),
    ("hidden", _whole(), "D", "hidden size d (512)"),
    ("layers", _whole(), "N", "layers of the model (1)"),
    ("heads", _whole(), "N", "attention heads of a Transformer (4)"),
    ("embedding", str, "KIND", "input words: plain, adaptive or tied to the output words (plain)"),
    ("embedding-size", _whole(), "N", "width of a plain embedding (as the hidden size)"),
    ("dropout", _number(), "SHARE", "dropout of embedded words and hidden states, 0 to 1 (0)"),
    ("softmax", str, "NAME", "full, sampled, hierarchical, d-softmax, d-softmax-star or adaptive (adaptive)"),
    ("cutoffs", str, "CUTOFFS", "authors, plan, or numbers like 2000,10000 (authors)"),
    ("min-head-share", _number(), "SHARE", "plan: smallest share of the tokens that the head may hold (0.75)"),
    (
        "min-mean-width",
        _number(),
        "SHARE",
        "plan: smallest mean width per token, as a share of d; the tails then choose their widths (0: they do not)",
    ),
    ("n-tails", _whole(), "J", "plan: number of tails (the best of 0 to 5)"),
    ("width-ratio", _number(), "R", "tail i has the width d / R^i (4)"),
    ("tail-dropout", _number(), "SHARE", "dropout in the tails of the adaptive softmax, 0 to 1 (0)"),
    ("samples", _number(), "SHARE", "sampled softmax: share of the words that is drawn (0.2)"),
    ("optimizer", str, "NAME", "adagrad, adam, adamw or sgd (adagrad)"),
    ("learning-rate", _number(), "RATE", "learning rate (0.1)"),
    ("weight-decay", _number(), "RATE", "weight decay (1e-06)"),
    ("clip", _number(), "NORM", "largest norm of the gradient; 0 does not limit it (1)"),
    ("warmup", _whole(), "STEPS", "steps over which the learning rate rises to its value (0)"),
    ("halve-from", _whole(), "EPOCH", "halve the learning rate before each epoch from this one on (never)"),
    ("bptt", _whole(), "STEPS", "words of a sequence per training step (20)"),
    ("batch", _whole(), "N", "sequences side by side (128)"),
    ("epochs", _whole(), "N", "passes over the training part (5)"),
    ("seed", _whole(), "N", "seed of all random numbers (0)"),
    ("dtype", str, "TYPE", "float32, or bfloat16 or float16 for autocast (float32)"),
)


def _setting_options(p: argparse.ArgumentParser, *, with_run: bool = False) -> list[argparse.Action]:
    group = p.add_argument_group("model and training" + (", with --run" if with_run else ""))
    return [
        *(
            group.add_argument(f"--{name}", type=kind, metavar=shown, help=text, dest=f"set_{name.replace('-', '_')}")
            for name, kind, shown, text in _SETTINGS
        ),
        group.add_argument("--preset", help="paper, authors (their script's values) or transformer (paper)"),
        group.add_argument("--device", help="cpu or cuda (cuda where there is one)"),
    ]


def _preset(name: str | None) -> dict[str, Any]:
    from .lm.settings import PRESETS

    name = "paper" if name is None else name
    if name not in PRESETS:
        raise ValueError(f"--preset should be one of {', '.join(PRESETS)}, got {short(name)}")
    return PRESETS[name]


def _settings(options: argparse.Namespace) -> Any:
    from .lm.settings import Settings

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
        lower=options.lower, bpe=options.bpe, encoding=options.encoding or "utf-8",
    )  # fmt: skip


def _train_device(options: argparse.Namespace) -> str:
    import torch

    device = str(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    return f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if device == "cuda" else device  # torchrun: one GPU each


def _use(device: str) -> None:
    """Make the GPU that is asked for the current one, where clocks, streams and kernels are.

    Raises ValueError for a device that is not there.
    """
    import torch

    try:
        found = torch.device(device)
    except RuntimeError:
        found = torch.device("meta")
    if found.type not in ("cpu", "cuda"):
        raise ValueError(f"--device should be cpu, cuda or the like, got {short(device)}")
    there = torch.cuda.device_count()
    if found.type == "cuda" and (found.index or 0) >= there:
        what = f"this PyTorch ({torch.__version__}) sees {there or 'no'} GPU{'s' * (there > 1)}"
        raise ValueError(f"--device should be a device that is there, got {device}: {what}")
    if found.type == "cuda" and found.index is not None:
        torch.cuda.set_device(found)


def _again(options: argparse.Namespace, settings: Any) -> str:
    """The command that repeats a run, ready to be pasted into a shell: what differs from the defaults."""
    chosen = {"corpus": options.corpus}
    chosen |= {name: getattr(options, name) for name in ("tokens", "encoding", "min_count", "max_size", "lower", "bpe")}
    chosen |= settings.changed()
    # a table keeps its runs where `train` does by itself
    chosen |= {name: getattr(options, name, None) for name in ("device", "folder")}
    several = int(os.environ.get("WORLD_SIZE", 1))
    parts = [*(["torchrun", f"--nproc_per_node={several}"] if several > 1 else ["python"]), "-m", "adasoft", "train"]
    for name, value in chosen.items():
        if value is None or value is False:
            continue
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        option = f"--{name.replace('_', '-')}"
        # a value with a dash in front would be taken for an option
        parts += [option] if value is True else [f"{option}={text}"] if text.startswith("-") else [option, text]
    return shlex.join(parts)


def _train(options: argparse.Namespace, rest: list[str]) -> int:
    import torch

    from .files import cache_dir
    from .lm.run import Run, Stopped, run_name, train

    settings, device = _settings(options), _train_device(options)
    _can_be_written(options.json)
    several = int(os.environ.get("WORLD_SIZE", 1)) > 1
    _use(device)
    if several:
        torch.distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    first = not several or torch.distributed.get_rank() == 0
    try:
        corpus = _corpus(options)
        folder = Path(options.folder) if options.folder else cache_dir() / "runs" / run_name(corpus, settings, device)
        if first:
            said = f"{corpus.name}: {len(corpus.train):,} tokens, V = {corpus.n_classes:,}, licence: {corpus.licence}"
            print(said)
        record = train(
            corpus,
            settings,
            folder,
            device=device,
            save_every=options.save_every,
            fresh=options.fresh,
            say=print,
            command=_again(options, settings),
        )
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
    from .bench.common import results_folder
    from .bench.training import SUITE, print_by_rank, print_table, stored_as, suite
    from .files import cache_dir

    if not options.corpus:
        _only_with(options, "what --run CORPUS trains; without it, the stored runs are printed", *options.only_with_run)
    folder = Path(options.stored) if options.stored else results_folder()
    if options.corpus:
        from .lm.run import Stopped, run_name, train
        from .lm.settings import partition

        settings, device = _settings(options), _train_device(options)
        _use(device)
        rows = tuple(SUITE) if options.rows is None else options.rows.split(",")
        runs = list(suite(settings, rows, options.seeds or 3))  # all of them, before the first is trained
        writable_folder(folder)
        corpus = _corpus(options)
        for name, one in runs:
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
        from .lessons.language_model.stored_runs import markdown

        print(markdown(folder))
    elif options.by_rank:
        print_by_rank(folder)
    else:
        print_table(folder, commands=options.commands)
    return 0


#: Words that fit into the memory of most machines, some ten times as many as any list of words has.
LARGEST_SYNTHETIC = 100_000_000


def _read(options: argparse.Namespace) -> Any:
    from .vocabulary import Vocabulary

    source = options.source
    if source.startswith("synthetic:"):
        number = source.removeprefix("synthetic:")
        if not number.isdecimal():
            raise ValueError(f"synthetic:N needs a whole number of words, got {short(number)}")
        if len(number) > 9 or int(number) > LARGEST_SYNTHETIC:
            raise ValueError(f"synthetic:N should have at most {LARGEST_SYNTHETIC:,} words, got {short(number)}")
        vocabulary = Vocabulary.synthetic(int(number), shift=2.7)
    elif Path(source).is_file():
        text = {"eos": options.eos, "lower": options.lower or None, "tokenizer": options.split}
        given = {k: v for k, v in text.items() if v is not None and v != "whitespace"}
        vocabulary = Vocabulary.read(source, kind=options.kind, encoding=options.encoding or "utf-8", **given)
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
        raise FileNotFoundError(f"{short(source)} is no file; and for the words of a language, {error}") from error
    if source not in languages:
        what = "a folder, not a file" if os.path.isdir(source) else "no file"
        raise FileNotFoundError(f"{short(source)} is {what}, and no language of wordfreq ({' '.join(languages)})")
    return Vocabulary.from_wordfreq(source)


def _plan(options: argparse.Namespace, rest: list[str]) -> None:
    from .planning import plan
    from .records import load_cost, read_record

    _can_be_written(options.json)
    vocabulary = _read(options)
    cost = load_cost(options.device, dtype=options.dtype) if options.record is None else read_record(options.record)
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
        opened = [1.0] if options.opened is None else [float(share) for share in options.opened.split(",")]
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
    from .calibration import calibrate

    _can_be_written(options.output)
    _use(options.device)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *_: print(f"adasoft calibrate: {message}", file=sys.stderr)
        cost = calibrate(options.device, options.dtype, seconds=options.seconds, save=options.output or True)
    record = cost.record or {}
    print(f"{cost.name}: {record['threads']} threads, torch {record['torch']}, {record['seconds']:.0f} s")
    for name, error in record["errors"].items():
        print(f"  {name:28} median error {error['median']:6.1%}, largest {error['largest']:6.1%}, {error['n']} shapes")
    if cost.path is None:
        return
    how = "" if options.dtype == "float32" else f" --dtype {options.dtype}"
    if options.output:
        how = f" --record {shlex.quote(str(cost.path))}"
    print(f"written to {cost.path}; `python -m adasoft plan{how}` uses it from now on")


def _words(source: str, encoding: str | None) -> Any:
    from .vocabulary import Vocabulary

    encoding = encoding or "utf-8"

    if not Path(source).is_file():
        return _of_language(source)
    try:
        return Vocabulary.read(source, eos="<eos>", encoding=encoding)
    except TypeError:  # counts: their reader knows no ends of lines
        return Vocabulary.from_counts_file(source, encoding=encoding)


def _bench(options: argparse.Namespace, rest: list[str]) -> None:
    from . import bench

    _can_be_written(options.json)
    rounds = {} if options.rounds is None else {"rounds": options.rounds}
    record = options.bench(options, rounds)
    if options.json:
        bench.save(record, options.json)
        print(f"written to {options.json}")


def _bench_plan(options: argparse.Namespace, rounds: dict[str, Any]) -> Any:
    from . import bench

    if not options.text:
        _only_with(options, "the layers of --text: the search itself runs on the CPU", "device")
        return bench.bench_plan(**rounds)
    device = options.device or "cpu"
    _use(device)
    texts = [_words(text, options.encoding) for text in options.text]
    for words in texts:
        bench.authors_cutoffs_of(words)  # refused before anything is timed
    record = bench.bench_plan(**rounds)
    record["cutoffs"] = [bench.bench_cutoffs(words, device=device, **rounds) for words in texts]
    return record | {"device": bench.provenance(device)["device"]}


def _bench_cost(options: argparse.Namespace, rounds: dict[str, Any]) -> Any:
    from . import bench

    _use(options.device)
    return bench.bench_cost(device=options.device, **rounds)


def _bench_layer(options: argparse.Namespace, rounds: dict[str, Any]) -> Any:
    from . import bench

    _use(options.device)
    if options.device.startswith("cpu"):
        _only_with(options, "a GPU, whose large sizes it limits", "seconds")
    return bench.bench_layer(
        device=options.device,
        dtype=options.dtype,
        full=not options.no_full,
        shapes=not options.no_shapes,
        keep=(lambda record: bench.save(record, options.json)) if options.json else None,
        seconds=300.0 if options.seconds is None else options.seconds,
        **rounds,
    )


def _bench_decode(options: argparse.Namespace, rounds: dict[str, Any]) -> Any:
    from . import bench

    _use(options.device)
    if options.text is not None:
        _only_with(options, "--run CORPUS", "experts", "tokens", "hidden", "epochs", "no_large")
        given = {"steps": options.steps, "max_size": options.max_size, "encoding": options.encoding}
        chosen = {name: value for name, value in given.items() if value is not None}
        return bench.bench_decode(options.text, device=options.device, **chosen, **rounds)
    from .corpora import load
    from .lm.settings import Settings

    _only_with(options, "--text FILE", "steps", "max_size")
    try:
        experts = (8, 16) if options.experts is None else [int(k) for k in options.experts.split(",")]
    except ValueError:
        raise ValueError(f"--experts should be numbers like 8,16, got {short(options.experts)}") from None
    settings = Settings(hidden=options.hidden or 512, epochs=options.epochs or 5)
    corpus = load(options.corpus, tokens=options.tokens, encoding=options.encoding or "utf-8")
    record = bench.bench_compare(corpus, settings, experts=experts, device=options.device, **rounds)
    if not options.no_large:
        record["svd claim"] = bench.bench_svd(record, device=options.device)
    return record


def _bench_train(options: argparse.Namespace, rounds: dict[str, Any]) -> Any:
    from . import bench
    from .bench.training import SUITE
    from .corpora import load
    from .lm.settings import Settings

    _use(options.device)
    settings = Settings(**{**_preset(options.preset), "hidden": options.hidden, "dtype": options.dtype})
    rows = tuple(SUITE) if options.rows is None else options.rows.split(",")
    corpus = load(options.text, tokens=options.tokens, bpe=options.bpe, encoding=options.encoding or "utf-8")
    return bench.bench_train(corpus, settings, rows=rows, device=options.device, **rounds)


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
    from .files import cache_dir

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
        print(shlex.join(command))
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
    open_descriptors()
    raise SystemExit(main())
