"""What a training reads and how it is set: the options of `train`, `table --run` and the benchmarks that train.

The options of the settings are a list here, not made from the fields of :class:`adasoft.lm.settings.Settings`: that
would load torch before ``--help`` is printed. A test holds the two together.
"""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from ..files import short
from .arguments import encoding_option, number, numbers, whole

if TYPE_CHECKING:
    from ..corpora import Corpus
    from ..lm.settings import Settings

#: One option for each field of the settings, which check the values: name, type, placeholder, and what it says; in
#: brackets the default.
SETTINGS: tuple[tuple[str, Callable[[str], Any], str, str], ...] = (
    ("model", str, "NAME", "lstm, gru, rnn-tanh, rnn-relu, rnn-sigmoid, transformer, or file.py:Name, your own (lstm)"),
    ("hidden", whole(), "D", "hidden size d (512)"),
    ("layers", whole(), "N", "layers of the model (1)"),
    ("heads", whole(), "N", "attention heads of a Transformer (4)"),
    ("embedding", str, "KIND", "input words: plain, adaptive or tied to the output words (plain)"),
    ("embedding-size", whole(), "N", "width of a plain embedding (as the hidden size)"),
    ("dropout", number(), "SHARE", "dropout of embedded words and hidden states, 0 to 1 (0)"),
    ("softmax", str, "NAME", "full, sampled, hierarchical, d-softmax, d-softmax-star or adaptive (adaptive)"),
    ("cutoffs", str, "CUTOFFS", "authors, plan, or numbers like 2000,10000 (authors)"),
    ("min-head-share", number(), "SHARE", "plan: smallest share of the tokens that the head may hold (0.75)"),
    ("n-tails", whole(), "J", "plan: number of tails (the best of 0 to 5)"),
    ("width-ratio", number(), "R", "tail i has the width d / R^i (4)"),
    ("tail-dropout", number(), "SHARE", "dropout in the tails of the adaptive softmax, 0 to 1 (0)"),
    ("samples", number(), "SHARE", "sampled softmax: share of the words that is drawn (0.2)"),
    ("optimizer", str, "NAME", "adagrad, adam, adamw or sgd (adagrad)"),
    ("learning-rate", number(), "RATE", "learning rate (0.1)"),
    ("weight-decay", number(), "RATE", "weight decay (1e-06)"),
    ("clip", number(), "NORM", "largest norm of the gradient; 0: no clipping (1)"),
    ("warmup", whole(), "STEPS", "steps over which the learning rate rises to its value (0)"),
    ("halve-from", whole(), "EPOCH", "halve the learning rate before each epoch from this one on (never)"),
    ("bptt", whole(), "STEPS", "words of a sequence per training step (20)"),
    ("batch", whole(), "N", "sequences side by side (128)"),
    ("epochs", whole(), "N", "passes over the training part (5)"),
    ("seed", whole(), "N", "seed of all random numbers (0)"),
    ("dtype", str, "TYPE", "float32, or bfloat16 or float16 for autocast (float32)"),
)

#: Options of what a training reads, by the names of :func:`adasoft.corpora.load`.
_CORPUS: dict[str, dict[str, Any]] = {
    "tokens": {"type": whole(1), "metavar": "N", "help": "only the first N tokens of the training part"},
    "min-count": {"type": whole(), "metavar": "N", "help": "words that occur less often become <unk>"},
    "max-size": {"type": whole(), "metavar": "V", "help": "keep V words; the rest become <unk>"},
    "lower": {"action": "store_true", "help": "convert to lower case"},
    "bpe": {"type": whole(), "metavar": "V", "help": "a byte-pair vocabulary of V pieces instead of words"},
}


def corpus_options(group: Any, only: Collection[str] = tuple(_CORPUS)) -> list[argparse.Action]:
    """``--encoding``, and those of ``only``."""
    return [
        encoding_option(group),
        *(group.add_argument(f"--{name}", **how) for name, how in _CORPUS.items() if name in only),
    ]


def setting_options(group: Any, only: Collection[str] | None = None, *, preset: bool = True) -> list[argparse.Action]:
    """One option for each setting, or for those of ``only``, and ``--preset``."""
    options: list[argparse.Action] = [
        group.add_argument(f"--{name}", type=kind, metavar=shown, help=text, dest=f"set_{name.replace('-', '_')}")
        for name, kind, shown, text in SETTINGS
        if only is None or name in only
    ]
    if preset:
        what = "paper, authors (their script's values) or transformer (paper)"
        options.append(group.add_argument("--preset", help=what))
    return options


def rows_option(parser: Any, prefix: str = "") -> argparse.Action:
    """``--rows``: some rows of the table of trainings."""
    from ..results.suite import SUITE

    option: argparse.Action = parser.add_argument(
        "--rows",
        type=lambda text: tuple(text.split(",")),
        metavar="ROW,ROW...",
        help=f"{prefix}only these rows of the table: {', '.join(SUITE)}",
    )
    return option


def settings_of(options: argparse.Namespace) -> Settings:
    """The preset with what was said besides. Raises ValueError for what the settings refuse."""
    from ..lm.settings import PRESETS, Settings

    preset = getattr(options, "preset", None) or "paper"
    if preset not in PRESETS:
        raise ValueError(f"--preset should be one of {', '.join(PRESETS)}, got {short(preset)}")
    chosen = {k.removeprefix("set_"): v for k, v in vars(options).items() if k.startswith("set_") and v is not None}
    cutoffs = chosen.get("cutoffs", "authors")
    if cutoffs not in ("authors", "plan"):
        chosen["cutoffs"] = tuple(numbers("--cutoffs", cutoffs, int, "authors, plan, or numbers like 2000,10000"))
    return Settings(**{**PRESETS[preset], **chosen})


def corpus_of(options: argparse.Namespace) -> Corpus:
    """The corpus, read as the options say."""
    from .. import corpora

    names = [name.replace("-", "_") for name in _CORPUS]
    how = {name: getattr(options, name) for name in names if hasattr(options, name)}
    return corpora.load(options.corpus, encoding=options.encoding or "utf-8", **how)


def training_device(options: argparse.Namespace) -> str:
    """The device that is asked for, else a GPU where there is one; under torchrun each process has its own."""
    import torch

    device = str(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    return f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if device == "cuda" else device


def processes() -> int:
    """How many processes torchrun has started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", 1))


def command_of(options: argparse.Namespace, settings: Settings) -> str:
    """The command that repeats a run, ready to be pasted into a shell: what differs from the defaults."""
    chosen = {"corpus": options.corpus, "encoding": options.encoding}
    chosen |= {name: getattr(options, name.replace("-", "_")) for name in _CORPUS}
    chosen |= settings.changed()
    # a table keeps its runs where `train` does by itself
    chosen |= {name: getattr(options, name, None) for name in ("device", "folder")}
    several = processes()
    parts = [*(["torchrun", f"--nproc_per_node={several}"] if several > 1 else ["python"]), "-m", "adasoft", "train"]
    for name, value in chosen.items():
        if value is None or value is False:
            continue
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        option = f"--{name.replace('_', '-')}"
        # a value with a dash in front would be taken for an option
        parts += [option] if value is True else [f"{option}={text}"] if text.startswith("-") else [option, text]
    return shlex.join(parts)
