"""The command line: `adasoft plan|check|calibrate|bench|train|compress|table|page|lab`, one file per command.

``main`` runs a command and turns whatever goes wrong into one line and an exit status.
"""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Sequence

from .. import __version__
from ..extras import EXTRAS, missing
from ..files import short
from ..screen import ReaderGone, Screen, fail, open_descriptors
from . import bench, calibrate, check, compress, lab, page, plan, table, train
from .arguments import BAD_INPUT, Parser, full_name

#: More exit statuses: an error that nobody foresaw; Ctrl-C, and a reader that is gone, as shells count signals.
UNFORESEEN, INTERRUPTED, READER_GONE = 1, 130, 141
#: What a person may have done wrong, or a machine may lack. Anything else is a fault of adasoft.
_FORESEEN = (ValueError, TypeError, LookupError, ArithmeticError, OSError, RuntimeError, ImportError, MemoryError)
#: What is left behind by commands that are stopped.
_KEPT = {
    "train": "what was kept stays, and the same command resumes from it",
    "compress": "finished parts stay, and the same command goes on from them",
    "table": "what was kept stays, and the same command resumes from it",
    "bench": "what --json has been given so far stays",
}


def console() -> int:
    """The console command ``adasoft``."""
    open_descriptors()
    return main(prog="adasoft")


def main(arguments: Sequence[str] | None = None, prog: str = "python -m adasoft") -> int:
    """Run one command. Returns the exit status: 0, or 2 for bad input (the reason goes to stderr, in one line).

    130 after Ctrl-C, 141 if nobody reads the output any more, 1 for an error that nobody foresaw: ``python -X dev``
    shows where. ``--help``, ``--version`` and arguments that are not understood raise SystemExit, as argparse does.
    """
    out, errors = Screen(sys.stdout, output=True), Screen(sys.stderr, output=False)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):  # type: ignore[type-var]
        try:
            try:
                return _run(arguments, prog)
            finally:
                out.flush()
        except ReaderGone:
            return READER_GONE
        except OSError as error:  # of the standard output: it is full, or closed
            fail(f"adasoft: {_sentence(error)}")
            return BAD_INPUT


def parser(prog: str = "python -m adasoft") -> Parser:
    """The parser of all commands. What it parses has ``run``, the function of the command."""
    top = Parser(
        prog=prog,
        description="Adaptive softmax, planned for your words and your machine.",
        epilog="Start with:  python -m adasoft plan en     (then: python -m adasoft calibrate, and plan again)",
    )
    top.add_argument("--version", action="version", version=f"adasoft {__version__}", help="print the version and stop")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in (plan, check, calibrate, bench, train, compress, table, page, lab):
        command.add(commands)
    return top


def _run(arguments: Sequence[str] | None, prog: str) -> int:
    options, rest = parser(prog).parse_known_args(arguments)
    options.rest = rest  # what JupyterLab gets
    starts_another = getattr(options, "takes_the_rest", False)
    if rest and not starts_another:
        options.parser.error(f"there is no such option or argument: {shlex.join(rest)}")
    if getattr(sys.stdout, "stream", sys.stdout) is None and not starts_another:
        raise OSError("the standard output is closed, so nothing could be shown: send it to a file")
    name = full_name(options.parser)
    try:
        return int(options.run(options) or 0)
    except ReaderGone:
        raise
    except KeyboardInterrupt:
        fail(f"\n{name}: stopped; {_KEPT.get(options.command, 'nothing was written')}")
        return INTERRUPTED
    except _FORESEEN as error:
        if sys.flags.dev_mode:
            raise
        fail(f"{name}: {_sentence(error)}")
        return BAD_INPUT
    except Exception as error:
        if sys.flags.dev_mode:
            raise
        fail(
            f"{name}: a fault of adasoft, {type(error).__name__}: {_sentence(error)} "
            "(python -X dev -m adasoft ... shows where)"
        )
        return UNFORESEEN


def _sentence(error: BaseException) -> str:
    """An error in one line, without the traces of C++ that PyTorch appends."""
    if isinstance(error, OSError) and error.strerror:
        name = "" if error.filename is None else str(error.filename)
        return error.strerror + (f": {name if len(name) < 200 else short(name)}" if name else "")
    if isinstance(error, ModuleNotFoundError) and error.name in EXTRAS:
        return missing(error.name)
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    text = text.partition("\nException raised from")[0].partition("\nC++ CapturedTraceback")[0]
    line = " ".join(text.split()) or type(error).__name__
    return f"not enough memory: {line}" if isinstance(error, MemoryError) else line
