"""What the figures of the lesson on alternatives say in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..kit.plots import percent, seconds_text
from ..time_model.timings import Spread
from . import cases as sc
from .experts import GROUPS, PER_GROUP, utilised
from .explorer import AlternativesExplorer
from .windows import SHOWN

Times = Mapping[str, Spread]


def svd_sentence(explorer: AlternativesExplorer) -> str:
    """What W and N cost and find."""
    found, models = explorer.quality(), explorer.small
    words, full, ours = explorer.top_words()
    off = max(range(len(words)), key=lambda i: abs(full[i] - ours[i]))
    return (
        f"W = {explorer.width} and N = {explorer.n_full:,} take {percent(found['utilisation'])} of the "
        f"multiplications and find {percent(found['recall 10'])} of the ten best words ({SHOWN} hidden states). "
        f"After “{models.before(explorer.place - 1)}” the full softmax gives “{words[off]}” {percent(full[off])}, "
        f"SVD-softmax {percent(ours[off])}: the largest difference among these ten."
    )


def experts_sentence(kept: Mapping[str, Any], fresh: bool = True) -> str:
    """What the experts have found: groups, sizes, arithmetic."""
    if not kept:
        return "Not trained yet: each expert has a vector for every class. Press Train and watch the left figure."
    sizes = [len(one) for one in kept["known"]]
    settings, classes = kept["sizes"], GROUPS * PER_GROUP
    stages = f", cloned from {settings['stages'][0]}" if len(sizes) > settings["stages"][0] else ""
    known = f"between {min(sizes)} and {max(sizes)}" if min(sizes) < max(sizes) else f"{sizes[0]}"
    groups = "1 true group is" if kept["exact"] == 1 else f"{kept['exact']} of the {GROUPS} true groups are each"
    text = (
        f"Step {kept['step']} of {kept['steps']}: {groups} exactly one expert’s list. Of {len(sizes)} experts{stages}, "
        f"each knows {known} of the {classes} classes; {kept['rows']:,} of {len(sizes) * classes:,} class vectors are "
        f"left (threshold {settings['threshold']:g})."
    )
    if 0 in sizes:
        lost = sizes.count(0)
        text += f" {lost} lost every vector, so the gate leaves {'it' if lost == 1 else 'them'} out."
    share = utilised(kept)
    text += f" A token reads the gate and one expert, {percent(share)} of the full softmax’s multiplications"
    text += f": {1 / share:.2g} times cheaper." if share < 1 else ": nothing is saved yet."
    return text if fresh else f"{text} These were trained with other settings than those above: press Train."


def case_sentence(times: Times, known: Mapping[str, Any], bet: str, made: str) -> str:
    """Who won, by how much, against what arithmetic promised, and the reader's bet."""
    if not times:
        return "Nothing measured for this case yet."
    order = sorted(times, key=lambda n: times[n].median)
    winner = order[0]
    level = [n for n in order[1:] if times[n].q1 <= times[winner].q3]
    if level:
        text = f"Too close to call: {winner} ({seconds_text(times[winner].median)}) and {' and '.join(level)}."
    else:
        text = f"{winner} wins with {seconds_text(times[winner].median)}" + (
            f", {times[order[1]].median / times[winner].median:.2g} times faster than the next, {order[1]}."
            if order[1:]
            else "."
        )
    text = text[0].upper() + text[1:]
    if sc.FULL in times and winner != sc.FULL:
        arithmetic = known.get("arithmetic", {})
        ratio = times[sc.FULL].median / times[winner].median
        text += f" {winner[0].upper()}{winner[1:]} is {ratio:.2g} times faster than the full softmax"
        text += f"; its multiplications promised {1 / arithmetic[winner]:.2g} times." if winner in arithmetic else "."
    if known.get("opened") is not None:
        text += f" Exact top-k opened {percent(known['opened'])} of the pairs of a hidden state and a tail."
    if bet:
        text += f" You bet on {bet}: {'right' if bet == winner or bet in level else 'wrong'}."
    return f"{text} {made}".strip()
