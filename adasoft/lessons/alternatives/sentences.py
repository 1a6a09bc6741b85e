"""What the figures of the lesson on alternatives say in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...alternatives.doubly_sparse_training import Settings
from ..kit.plots import percent, seconds_text
from ..time_model.timings import Spread
from . import cases as sc
from .experts import GROUPS, PER_GROUP, utilised
from .explorer import AlternativesExplorer

Times = Mapping[str, Spread]


def svd_sentence(explorer: AlternativesExplorer) -> str:
    """Where the preview puts the ten best words of the shown hidden state."""
    words, models = explorer.top_words(), explorer.small
    last = max(words, key=lambda one: one["ranks"][explorer.width - 1])
    rank = last["ranks"][explorer.width - 1]
    missed = sum(one["ranks"][explorer.width - 1] > explorer.n_full for one in words)
    text = (
        f"After “{models.before(explorer.place - 1)}”: of the ten best words, the preview puts “{last['word']}” last, "
        f"at place {rank:,}"
    )
    if missed:
        text += f"; for {'that one' if missed == 1 else f'{missed} of the ten'}, N = {explorer.n_full:,} is too small."
    else:
        text += f", so N = {explorer.n_full:,} completes all ten."
    if explorer.width == models.full.in_features:
        text += " With W = d the preview reads everything; the rotation makes it more than 100 %."
    return text


def experts_sentence(kept: Mapping[str, Any], fresh: bool = True) -> str:
    """What the experts have found: groups, sizes, arithmetic."""
    if not kept:
        return "Not trained yet: each expert has a vector for every class. Press Train and watch the left figure."
    sizes = [len(one) for one in kept["known"]]
    settings, classes = kept["sizes"], GROUPS * PER_GROUP
    stages = f", cloned from {settings['stages'][0]}" if len(sizes) > settings["stages"][0] else ""
    known = f"between {min(sizes)} and {max(sizes)}" if min(sizes) < max(sizes) else f"{sizes[0]}"
    text = (
        f"Step {kept['step']} of {kept['steps']}: {_groups_found(kept)} Of {len(sizes)} experts{stages}, "
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


def _groups_found(kept: Mapping[str, Any]) -> str:
    """What the experts' lists are in terms of the true groups."""
    known = [set(one) for one in kept["known"] if one]
    if kept["rows"] == len(kept["known"]) * GROUPS * PER_GROUP:
        if not kept["sizes"]["threshold"]:
            return "nothing is ever removed, for no vector is below a threshold of 0."
        passes = kept["sizes"]["epochs"] * len(kept["sizes"]["stages"])
        first = Settings().prune_after * kept["steps"] // passes
        return f"nothing is removed before step {first:,}, so that the penalty can shrink vectors first."
    groups = [{*range(PER_GROUP * g, PER_GROUP * (g + 1))} for g in range(GROUPS)]
    whole = [sum(group <= one for group in groups) for one in known]
    if known and all(PER_GROUP * many == len(one) for many, one in zip(whole, known, strict=True)):
        if set(whole) == {1}:
            return f"each of the {len(known)} experts has found exactly one true group."
        fewest, most = min(whole), max(whole)
        many = f"{fewest} to {most}" if fewest < most else f"exactly {most}"
        return f"each of the {len(known)} experts holds {many} whole groups."
    touched = [sum(bool(group & one) for group in groups) for one in known]
    if known and set(touched) == {1}:
        parts = sum(not many for many in whole)
        return f"no expert mixes two groups, and {parts} of {len(known)} share theirs with another expert."
    exact = kept["exact"]
    return f"{exact} of the {GROUPS} true groups {'is' if exact == 1 else 'are'} exactly one expert’s list so far."


def tied(times: Times) -> list[str]:
    """The methods that may be the fastest: the one of the least median, and those whose quartiles reach its own."""
    order = sorted(times, key=lambda n: times[n].median)
    return [n for n in order if n == order[0] or times[n].q1 <= times[order[0]].q3]


def case_sentence(times: Times, known: Mapping[str, Any], bet: str, made: str, counted: bool = True) -> str:
    """Who won, by how much, against what arithmetic promised, and the reader's bet; ``counted``: whether it counts."""
    if not times:
        return "Nothing measured for this case yet."
    order = sorted(times, key=lambda n: times[n].median)
    first = tied(times)
    winner = first[0]
    if len(first) == len(order) > 1:
        text = "Nothing can be said: the noise is larger than the differences. Measure longer."
        return f"{text} {'Your bet is not counted. ' if bet else ''}{made}".strip()
    if first[1:]:
        text = f"Too close to call: {winner} ({seconds_text(times[winner].median)}) and {' and '.join(first[1:])}."
    else:
        text = f"{winner} wins with {seconds_text(times[winner].median)}" + (
            f", {times[order[1]].median / times[winner].median:.2g} times faster than the next, {order[1]}."
            if order[1:]
            else "."
        )
    text = text[0].upper() + text[1:]
    if sc.FULL in times and sc.FULL not in first:
        arithmetic = known.get("arithmetic", {})
        ratio = times[sc.FULL].median / times[winner].median
        text += f" {winner[0].upper()}{winner[1:]} is {ratio:.2g} times faster than the full softmax"
        text += f"; its multiplications promised {1 / arithmetic[winner]:.2g} times." if winner in arithmetic else "."
    if bet:
        text += f" You bet on {bet}: {'right' if bet in first else 'wrong'}"
        text += "." if counted else ", but not counted: you had seen this case measured."
    return f"{text} {made}".strip()
