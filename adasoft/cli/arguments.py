"""What all commands need to read their arguments: parsers that refuse in one line, types of values, shared options."""

from __future__ import annotations

import argparse
import errno
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from ..files import short, writable_folder
from ..screen import fail

#: Exit status for bad input.
BAD_INPUT = 2
_T = TypeVar("_T", int, float)


def full_name(parser: argparse.ArgumentParser) -> str:
    """What errors begin with: "adasoft bench layer"."""
    return parser.prog.removeprefix("python -m ")


class Help(argparse.HelpFormatter):
    """Help whose examples keep their lines."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if text.startswith("examples:") else super()._fill_text(text, width, indent)


class Parser(argparse.ArgumentParser):
    """A parser that refuses in one line and knows itself in what it has parsed (``options.parser``)."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **{"formatter_class": Help, **more})
        self.set_defaults(parser=self)

    def error(self, message: str) -> NoReturn:
        """Refuse what could not be parsed."""
        message = re.sub(r"^argument (\S+): (?=should be )", r"\1 ", message)
        fail(f"{full_name(self)}: {message} ({self.prog} --help lists what there is)")
        raise SystemExit(BAD_INPUT)


# ---------------------------------------------------------------------- types of values


def whole(least: int | None = None) -> Callable[[str], int]:
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


def number(least: float | None = None) -> Callable[[str], float]:
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


def file_name(text: str) -> str:
    """A type of argument: the name of a file to write."""
    if text in ("", "-"):
        raise argparse.ArgumentTypeError(f"should be the name of a file, got {text!r}")
    return text


def file_or_print(text: str) -> str:
    """A type of argument: the name of a file to write, or ``-`` for the standard output."""
    return text if text == "-" else file_name(text)


def numbers(option: str, text: str, kind: Callable[[str], _T], rule: str) -> list[_T]:
    """The numbers of a list with commas. Raises ValueError with the name of the option and the rule."""
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{option} should be {rule}, got {short(text)}") from None


# ---------------------------------------------------------------------- options that several commands have


def encoding_option(parser: Any) -> argparse.Action:
    """``--encoding``."""
    option: argparse.Action = parser.add_argument(
        "--encoding", metavar="NAME", help="encoding of files that have no byte-order mark (utf-8)"
    )
    return option


def device_option(parser: Any, default: str | None = "cpu", help: str = "where to run: cpu or cuda (cpu)") -> Any:
    """``--device``."""
    return parser.add_argument("--device", default=default, help=help)


# ---------------------------------------------------------------------- checks before the work


def can_be_written(path: str | None) -> None:
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


def only_with(options: argparse.Namespace, wanted: str, *names: str) -> None:
    """Refuse options that nothing would look at: they belong to ``wanted``, which was not given."""
    for name in names:
        if getattr(options, name) not in (None, False):
            raise ValueError(f"--{name.removeprefix('set_').replace('_', '-')} is for {wanted}")


def use_device(device: str) -> None:
    """Make the GPU that is asked for the current one, where clocks, streams and kernels are.

    Raises ValueError for a device that is not there.
    """
    import torch

    try:
        asked = torch.device(device)
    except RuntimeError:
        asked = torch.device("meta")
    if asked.type not in ("cpu", "cuda"):
        raise ValueError(f"--device should be cpu, cuda or the like, got {short(device)}")
    count = torch.cuda.device_count()
    if asked.type == "cuda" and (asked.index or 0) >= count:
        what = f"this PyTorch ({torch.__version__}) sees {count or 'no'} GPU{'s' * (count > 1)}"
        raise ValueError(f"--device should be a device that is there, got {device}: {what}")
    if asked.type == "cuda" and asked.index is not None:
        torch.cuda.set_device(asked)
