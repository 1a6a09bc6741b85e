"""`adasoft plan`: the fastest cutoffs for a language, a text or word counts."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..files import write_whole
from ..text import table
from .arguments import can_be_written, file_or_print, number, numbers, only_with, whole
from .machine import cost_for, machine_options
from .words import word_options, words_for

if TYPE_CHECKING:
    from ..cost import MeasuredCost
    from ..planning import Plan
    from ..vocabulary import Vocabulary


def add(commands: Any) -> None:
    """Add the parser."""
    p = commands.add_parser(
        "plan",
        help="find the fastest cutoffs for a language, a text or word counts",
        description="Find the cutoffs that make an adaptive softmax fastest for these words on a measured machine.",
        epilog="examples:\n"
        "  python -m adasoft plan de\n"
        "  python -m adasoft plan my-corpus.txt.xz --in-features 256 --min-count 5 --eos '<eos>'\n"
        "  python -m adasoft plan counts.tsv --tails 3 --json plan.json\n"
        "  python -m adasoft plan synthetic:1000000 --batch 4096\n"
        "  python -m adasoft plan en --front          (the trade between time and width)\n",
    )
    p.set_defaults(run=run)
    word_options(p)
    _layer_options(p.add_argument_group("layer"))
    machine_options(p)
    group = p.add_argument_group("what is shown")
    group.add_argument(
        "--front",
        action="store_true",
        help="print the fastest cutoffs at each capacity (mean width per token) instead of one plan; without a floor "
        "on the head, and for 2 tails unless --tails or --widths says otherwise",
    )
    group.add_argument("--embedding", action="store_true", help="also show what adaptive input words save, tied or not")
    group.add_argument(
        "--json",
        type=file_or_print,
        metavar="FILE",
        help="write the plan as JSON, with the order of the ids ('-': print it and nothing else)",
    )


def _layer_options(group: Any) -> None:
    group.add_argument("--in-features", "-d", type=whole(), metavar="D", default=512, help="hidden size d (512)")
    group.add_argument(
        "--batch", "-b", type=whole(), metavar="B", default=2560, help="tokens per step: sequences x length (2560)"
    )
    group.add_argument(
        "--tails", "-j", type=whole(), metavar="J", help="number of tails; by default the best of 0 to 5"
    )
    group.add_argument("--widths", metavar="W,W...", help="widths of the tails in order, such as 128,32")
    group.add_argument(
        "--width-ratio", type=number(), metavar="R", help="without --widths: tail i has the width d / R^i (4)"
    )
    group.add_argument(
        "--min-head-share",
        type=number(),
        metavar="SHARE",
        help="smallest share of the tokens that the head may hold, 0 to 1 (0.75)",
    )
    group.add_argument(
        "--min-tail-size",
        type=whole(),
        metavar="N",
        help="smallest number of words in a tail (1; decode: a hundredth of all words)",
    )
    group.add_argument("--align", type=whole(), metavar="N", default=1, help="cutoffs are multiples of N (1)")
    group.add_argument(
        "--objective",
        choices=["train", "decode"],
        default="train",
        help="what should be fast: training or decoding (train)",
    )
    group.add_argument(
        "--opened",
        metavar="SHARE,...",
        help="decode: measured share of the rows that open a tail, 0.1 for all tails or 0.2,0.1,0.05 for each (1)",
    )


def run(options: argparse.Namespace) -> None:
    """Print the plan, or write it."""
    can_be_written(options.json)
    if options.front:
        only_with(
            options,
            "a single plan; leave it out with --front",
            "min_head_share",
            "min_tail_size",
            "opened",
            "embedding",
            "json",
        )
    words = words_for(options)
    cost = cost_for(options)
    show = _print_front if options.front else _print_plan
    show(words, options, {"cost": cost, **_request(options)})


def _request(options: argparse.Namespace) -> dict[str, Any]:
    """What was said of the layer, by the names of :func:`adasoft.plan`."""
    request = {
        "n_tails": options.tails,
        "width_ratio": options.width_ratio,
        "min_head_share": options.min_head_share,
        "min_tail_size": options.min_tail_size,
        "align": options.align,
        "objective": options.objective,
    }
    if options.widths is not None:
        request["widths"] = numbers("--widths", options.widths, int, "numbers like 128,32")
    if options.opened is not None:
        opened = numbers("--opened", options.opened, float, "numbers like 0.2,0.1")
        request["opened"] = opened if len(opened) > 1 else opened[0]
    return {name: value for name, value in request.items() if value is not None}


def _print_plan(words: Vocabulary, options: argparse.Namespace, request: dict[str, Any]) -> None:
    from ..planning import plan

    chosen = plan(words, options.in_features, options.batch, **request)
    if options.json == "-":
        print(chosen.to_json(order=True))
        return
    print(chosen)
    if other := _other_timings(request["cost"]):
        print(f"\n{_beside(chosen, plan(words, options.in_features, options.batch, **(request | {'cost': other})))}")
    if options.embedding:
        from .. import embedding

        print("\ninput and output words together:\n" + embedding.table(embedding.savings(chosen)))
    if options.json:
        write_whole(options.json, chosen.to_json(order=True) + "\n")
        print(f"written to {options.json}")


def _other_timings(cost: MeasuredCost) -> MeasuredCost | None:
    """Of the same GPU and numbers, those of captured steps, or of steps that are not; None if there are none."""
    from ..records import load_cost

    record = cost.record or {}
    if record["device"]["type"] != "cuda":
        return None
    try:
        other = load_cost("cuda", dtype=record["dtype"], captured=not cost.captured)
    except LookupError:
        return None
    return other if (other.record or {})["device"]["name"] == record["device"]["name"] else None


def _beside(*plans: Plan) -> str:
    """Plans for the same words by different timings, one below the other."""
    rows = [
        {
            "timings": each.cost,
            "cutoffs": list(each.cutoffs),
            "layer ms": each.time * 1e3,
            "full ms": each.full.seconds * 1e3,
            "times faster": each.speedup,
        }
        for each in plans
    ]
    return table(rows, list(rows[0]))


def _print_front(words: Vocabulary, options: argparse.Namespace, request: dict[str, Any]) -> None:
    from ..tradeoffs import front, front_table

    points = front(words, options.in_features, options.batch, **request)
    print(f"{words.name}: V = {len(words):,}, d = {options.in_features}, B = {options.batch:,}")
    print(f"cost model: {request['cost'].name}; widths of the tails: {list(points[0].widths)}\n")
    print(front_table(points))
