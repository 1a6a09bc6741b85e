"""Who gains by an adaptive softmax and who does not: a line of the page, computed from its own plans and machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...cost import Cost, MeasuredCost
from ...planning import default_widths, plan
from ...vocabulary import Vocabulary
from ..kit.explorer import FLOOR
from ..kit.plots import times

_D, _BATCH = 512, 2560
#: Lengths of a list that are tried, from the shortest.
LENGTHS = tuple(factor * 10**power for power in (3, 4, 5) for factor in (1, 2, 5))
#: From which speed-up on a layer counts as a gain.
WORTH = 1.2


def who_gains(words: Vocabulary, costs: Sequence[Cost], found: Sequence[dict[str, Any]]) -> str:
    """Who gains and who does not, in one line: the plans of the page, and those of shorter lists; nothing without a CPU
    and a GPU in bfloat16."""
    records = {
        (cost.record["device"]["type"], cost.record["dtype"]): i
        for i, cost in enumerate(costs, start=1)
        if isinstance(cost, MeasuredCost) and cost.record
    }
    if not {("cpu", "float32"), ("cuda", "bfloat16")} <= records.keys():
        return ""
    told = []
    for kind in (("cpu", "float32"), ("cuda", "bfloat16")):
        wanted = {"text": 0, "cost": records[kind], "d": _D, "batch": _BATCH}
        cuts = next((one["cuts"] for one in found if len(one["cuts"]) == 1 and wanted.items() <= one.items()), None)
        if cuts is None:
            return ""
        cost, share = costs[records[kind] - 1], 1 - float(words.cumulative[cuts[0]])
        seconds = cost.layer(len(words), cuts, default_widths(_D, 1), [share], _D, _BATCH).seconds
        told.append((float(cost.full_time(len(words), _BATCH, _D)) / seconds, worth_from(words, cost)))
    (cpu, cpu_from), (gpu, gpu_from) = told
    return (
        f"<p>Who gains? With one planned cutoff and these {len(words):,} words, our CPU is predicted to be "
        f"<strong>{times(cpu)}</strong> times as fast, our GPU (in bfloat16) <strong>{times(gpu)}</strong> times. "
        f"The CPU gains from {cpu_from:,} words on, the GPU from about {gpu_from:,}; "
        "below that, keep the full softmax.</p>\n"
    )


def worth_from(words: Vocabulary, cost: Cost) -> int:
    """From how many words on one planned cutoff makes the layer at least a fifth faster; of the lengths tried."""
    for length in LENGTHS:
        if length < len(words):
            few = Vocabulary(words.counts[:length])
            if plan(few, _D, _BATCH, cost=cost, n_tails=1, min_head_share=FLOOR).speedup >= WORTH:
                return length
    return len(words)
