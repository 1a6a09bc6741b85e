"""`adasoft check`: a second opinion on cutoffs that are there already."""

from __future__ import annotations

import argparse
from typing import Any

from .arguments import number, numbers, only_with, whole
from .machine import cost_for, machine_options
from .words import word_options, words_for


def add(commands: Any) -> None:
    """Add the parser."""
    p = commands.add_parser(
        "check",
        help="a second opinion on your cutoffs: what the head holds, what a step takes, what to change",
        description="Compare a layer as you run it with the same layer with sorted ids, and with the plan; and say "
        "what to change, in order of gain.",
        epilog="examples:\n"
        "  python -m adasoft check counts.tsv --cutoffs 2000,10000 --in-features 256\n"
        "  python -m adasoft check counts.tsv --cutoffs 16384,131072 -d 192 -b 1024 --unsorted\n",
    )
    p.set_defaults(run=run)
    word_options(p)
    group = p.add_argument_group("your layer")
    group.add_argument("--cutoffs", required=True, metavar="C,C...", help="cutoffs, without V")
    group.add_argument(
        "--in-features", "--hidden", "-d", type=whole(), metavar="D", default=512, help="hidden size d (512)"
    )
    group.add_argument("--batch", "-b", type=whole(), metavar="B", default=2560, help="tokens per step (2560)")
    group.add_argument("--widths", metavar="W,W...", help="widths of the tails, such as 128,32")
    group.add_argument(
        "--div-value", type=number(), metavar="R", help="without --widths: tail i has the width d / R^i (4)"
    )
    group.add_argument(
        "--unsorted",
        action="store_true",
        help="your ids are not by falling count, but in the order of the lines (in a text: of first appearance)",
    )
    group.add_argument("--objective", choices=["train", "decode"], default="train", help="training or decoding (train)")
    machine_options(p)


def run(options: argparse.Namespace) -> None:
    """Print the opinion."""
    from ..opinion import check

    layer: dict[str, Any] = {"unsorted": options.unsorted, "objective": options.objective}
    if options.widths is not None:
        only_with(options, "a width by its power; leave it out with --widths", "div_value")
        layer["widths"] = numbers("--widths", options.widths, int, "numbers like 128,32")
    elif options.div_value is not None:
        layer["div_value"] = options.div_value
    cutoffs = numbers("--cutoffs", options.cutoffs, int, "numbers like 2000,10000")
    words = words_for(options)
    print(check(words, cutoffs, options.in_features, options.batch, cost=cost_for(options), **layer))
