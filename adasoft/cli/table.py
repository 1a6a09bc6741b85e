"""`adasoft table`: the tables of stored trainings; with `--run`, the trainings that are missing there."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ..files import cache_dir, writable_folder, write_whole
from ..results.folders import own_results_folder, results_folder
from ..results.suite import SUITE, THREE_SEEDS, suite
from .arguments import device_option, only_with, use_device, whole
from .training_options import (
    command_of,
    corpus_of,
    corpus_options,
    rows_option,
    setting_options,
    settings_of,
    training_device,
)


def add(commands: Any) -> None:
    """Add the parser."""
    p = commands.add_parser(
        "table",
        help="the paper's comparison from stored runs, next to its published numbers",
        description="Print the table of the runs stored in a folder (files train-*.json); with --run CORPUS, first "
        "train what is missing there. A stopped run goes on the next time.",
    )
    p.add_argument(
        "stored",
        nargs="?",
        metavar="FOLDER",
        help="folder of the records, files train-*.json (yours if there are any, else those that come with adasoft)",
    )
    shown = p.add_mutually_exclusive_group()
    shown.add_argument("--commands", action="store_true", help="print the command of each row as well")
    shown.add_argument("--by-rank", action="store_true", help="print instead what rows lose, by the rank of the word")
    shown.add_argument(
        "--markdown", action="store_true", help="print instead the short tables that data/results/README.md shows"
    )
    shown.add_argument("--gains", action="store_true", help="print instead the README's six lines on what was gained")
    p.add_argument("--run", metavar="CORPUS", dest="corpus", help="train what is missing: a name, a file or a folder")
    group = p.add_argument_group("model and training, with --run")
    with_run = [
        rows_option(p, "--run: "),
        p.add_argument("--seeds", type=whole(1), metavar="N", help=f"--run: seeds of {', '.join(THREE_SEEDS)} (3)"),
        *corpus_options(p.add_argument_group("words, with --run")),
        *setting_options(group),
        device_option(group, None, "cpu or cuda (cuda where there is one)"),
    ]
    p.set_defaults(run=run, only_with_run=[action.dest for action in with_run])


def run(options: argparse.Namespace) -> int:
    """Train what is asked for, then print the table."""
    from ..results.gains import gains
    from ..results.short_tables import markdown
    from ..results.tables import print_by_rank, print_table

    if options.corpus:
        folder = Path(options.stored) if options.stored else own_results_folder()
        if not _train_missing(options, folder):
            return 130
    else:
        only_with(options, "what --run CORPUS trains; without it, the stored runs are printed", *options.only_with_run)
        folder = Path(options.stored) if options.stored else _folder_to_show()
    if options.markdown:
        print(markdown(folder))
    elif options.gains:
        print(gains(folder))
    elif options.by_rank:
        print_by_rank(folder)
    else:
        print_table(folder, commands=options.commands)
    return 0


def _folder_to_show() -> Path:
    own = own_results_folder()
    return own if any(own.glob("train-*.json")) else results_folder()


def _train_missing(options: argparse.Namespace, folder: Path) -> bool:
    """Train the runs of the table whose records the folder lacks. False if the reader stopped it."""
    from ..lm.launch import Stopped, run_name, train
    from ..lm.settings import partition
    from ..results.trainings import stored_as

    settings, device = settings_of(options), training_device(options)
    use_device(device)
    runs = list(suite(settings, options.rows or tuple(SUITE), options.seeds or 3))  # all, before the first is trained
    writable_folder(folder)
    corpus = corpus_of(options)
    kind = device.partition(":")[0]
    for name, chosen in runs:
        path, stored = stored_as(folder, name, corpus, chosen, kind)
        if stored:
            continue
        try:
            partition(chosen, corpus, device=kind)
        except ValueError as error:
            print(f"{name}: left out, {error}", file=sys.stderr)
            continue
        command = command_of(options, chosen)
        print(f"{name}, seed {chosen.seed}: {command}")
        own = cache_dir() / "runs" / run_name(corpus, chosen, device)
        try:
            record = train(corpus, chosen, own, device=device, command=command, row=name)
        except Stopped as stopped:
            print(f"{stopped}\nThe same command resumes.", file=sys.stderr)
            return False
        write_whole(path, json.dumps({**record, "row": name}, indent=1) + "\n")
        print(f"{name}, seed {chosen.seed}: test perplexity {record['test perplexity']:,.2f}")
    return True
