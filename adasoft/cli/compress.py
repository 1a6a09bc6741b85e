"""`adasoft compress`: a small language model made smaller, one ingredient after the other, in one table."""

from __future__ import annotations

import argparse
from typing import Any

from .arguments import can_be_written, file_name, number, whole
from .training_options import corpus_of, corpus_options


def add(commands: Any) -> None:
    """Add the parser."""
    p = commands.add_parser(
        "compress",
        help="a language model made smaller: cache, Hebbian update, distillation, pruning, rounding",
        description="Train small language models on a text, and print what each ingredient of MicroNet's winner adds "
        "and costs: perplexity, parameters, operations, loss by the rank of the word. Finished parts are kept: stop it "
        "with Ctrl-C, and the same command goes on. The defaults take about half an hour on one core.",
        epilog="examples:\n"
        "  python -m adasoft compress                                       (documentation of your packages)\n"
        "  python -m adasoft compress --text wikitext-2 --seeds 1\n"
        "  python -m adasoft compress --text novel.txt --sparsity 0.6 --bits 6\n",
    )
    p.set_defaults(run=run)
    p.add_argument(
        "--text",
        dest="corpus",
        metavar="TEXT",
        default="docs",
        help="a file, a folder or a name, as train takes it: docs (the documentation of the installed packages, needs "
        "no network; the default), or wikitext-2, text8 and others",
    )
    corpus_options(p.add_argument_group("words"), only=["tokens", "min-count", "max-size", "lower"])
    p.add_argument("--seeds", type=whole(1), metavar="N", default=3, help="trainings of each row (3)")
    p.add_argument("--sparsity", type=number(), metavar="SHARE", help="share of the weights that is pruned (0.358)")
    p.add_argument("--bits", type=whole(), metavar="B", help="bits of rounded weights and states, 2 to 32 (9)")
    p.add_argument("--cache", type=whole(1), metavar="N", help="words that the cache remembers (2000)")
    p.add_argument("--tiny", action="store_true", help="sizes of a moment: to see that it works")
    p.add_argument("--json", type=file_name, metavar="FILE", help="also write the results here, as JSON")


def run(options: argparse.Namespace) -> None:
    """Train what is missing, print the table, and write the record."""
    from .. import bench

    can_be_written(options.json)
    sizes = bench.compress_sizes(tiny=options.tiny, sparsity=options.sparsity, bits=options.bits, cache=options.cache)
    if options.tokens is None:
        options.tokens = bench.COMPRESS_TOKENS[options.tiny]
    record = bench.bench_compress(corpus_of(options), sizes, seeds=options.seeds)
    if options.json:
        bench.save(record, options.json)
        print(f"written to {options.json}")
