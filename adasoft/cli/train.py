"""`adasoft train`: train a language model with any softmax; the same command resumes where it stopped."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..files import cache_dir, write_whole
from .arguments import can_be_written, device_option, file_name, number, use_device, whole
from .training_options import (
    command_of,
    corpus_of,
    corpus_options,
    processes,
    setting_options,
    settings_of,
    training_device,
)


def add(commands: Any) -> None:
    """Add the parser."""
    p = commands.add_parser(
        "train",
        help="train a language model with any softmax; the same command resumes where it stopped",
        description="Train a language model. Ctrl-C saves the run; a crash loses at most the last minute. The same "
        "command resumes. Under torchrun it runs on several devices. The defaults, the corpus aside, are those of the "
        "paper for Text8.",
        epilog="examples:\n"
        "  python -m adasoft train --hidden 128 --epochs 1 --tokens 300000     (documentation of your packages)\n"
        "  python -m adasoft train --hidden 128 --epochs 1                     (all of it: many minutes)\n"
        "  python -m adasoft train --corpus wikitext-2 --softmax adaptive --cutoffs plan\n"
        "  python -m adasoft train --corpus folder/ --softmax sampled --model gru --hidden 256\n"
        "  python -m adasoft train --corpus text8 --device cuda --preset authors\n",
    )
    p.set_defaults(run=run)
    p.add_argument(
        "--corpus",
        default="docs",
        help="a file, a folder, or a name: docs (the documentation of the installed "
        "packages, needs no network; the default), text8, wikitext-2, wikitext-103, europarl-XX, one-billion-word",
    )
    corpus_options(p.add_argument_group("words"))
    group = p.add_argument_group("model and training")
    setting_options(group)
    device_option(group, None, "cpu or cuda (cuda where there is one)")
    p.add_argument("--folder", help="where checkpoint and record are kept (default: in the cache, named after the run)")
    p.add_argument(
        "--save-every", type=number(0), metavar="S", default=60.0, help="seconds between two checkpoints (60)"
    )
    p.add_argument("--fresh", action="store_true", help="start from the beginning, whatever is in the folder")
    p.add_argument(
        "--sample", type=whole(0), default=0, metavar="N", help="at the end print N words drawn from the model (0)"
    )
    p.add_argument(
        "--json",
        type=file_name,
        metavar="FILE",
        help="also write the record of the finished run here; `table` reads the files train-*.json of its folder",
    )


def run(options: argparse.Namespace) -> int:
    """Train, and print what came of it."""
    from ..lm.launch import Stopped

    settings, device = settings_of(options), training_device(options)
    can_be_written(options.json)
    use_device(device)
    with _group_of_processes(device) as first:
        try:
            record, sample = _train(options, settings, device, first)
        except Stopped as stopped:
            if first:
                print(f"{stopped}\nThe same command resumes.", file=sys.stderr)
            return 130
    if first:
        _print_record(record)
        if options.json:
            write_whole(options.json, json.dumps(record, indent=1) + "\n")
            print(f"written to {options.json}")
        if sample:
            print(sample)
    return 0


@contextlib.contextmanager
def _group_of_processes(device: str) -> Iterator[bool]:
    """Under torchrun, the processes as a group. Yields whether this is the first, which talks to the reader."""
    import torch

    if processes() == 1:
        yield True
        return
    torch.distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield torch.distributed.get_rank() == 0
    finally:
        torch.distributed.destroy_process_group()


def _train(options: argparse.Namespace, settings: Any, device: str, first: bool) -> tuple[dict[str, Any], str]:
    """The record of the run, and the words drawn from its model."""
    import torch

    from ..lm.launch import run_name, train
    from ..lm.run import Run

    corpus = corpus_of(options)
    folder = Path(options.folder) if options.folder else cache_dir() / "runs" / run_name(corpus, settings, device)
    if first:
        print(f"{corpus.name}: {len(corpus.train):,} tokens, V = {corpus.n_classes:,}, licence: {corpus.licence}")
    record = train(
        corpus,
        settings,
        folder,
        device=device,
        save_every=options.save_every,
        fresh=options.fresh,
        say=print,
        command=command_of(options, settings),
    )
    if not options.sample:
        return record, ""
    if processes() > 1:
        torch.distributed.barrier()  # the first process has written the checkpoint
    trained = Run.resume(folder / "checkpoint.safetensors", corpus, device=device)
    return record, trained.sample(options.sample, seed=settings.seed)


def _print_record(record: dict[str, Any]) -> None:
    cutoffs = f"cutoffs {', '.join(map(str, record['cutoffs']))}; " if record["cutoffs"] else ""
    shares = ", ".join(f"{part} {share:.0%}" for part, share in record["shares"].items())
    print(
        f"{record['train']}: {cutoffs}test perplexity {record['test perplexity']:,.2f} after "
        f"{record['seconds']:,.0f} s, {record['words per second']:,.0f} words/s; time: {shares}"
    )
