"""What the figures of the lesson on alternatives say in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..kit.plots import percent, seconds_text
from ..time_model.timings import Spread
from . import cases as sc
from .experts import GROUPS, PER_GROUP, utilised
from .explorer import AlternativesExplorer
from .small_models import STATES
from .windows import SHOWN

Times = Mapping[str, Spread]
ALL, SKIP = "all words, then search", "exact, tails skipped"


def svd_sentence(explorer: AlternativesExplorer, times: Mapping[str, Any]) -> str:
    """What W and N cost and find, and what the clock says."""
    found = explorer.quality()
    words, full, ours = explorer.top_words()
    models = explorer.small
    off = max(range(len(words)), key=lambda i: abs(full[i] - ours[i]))
    text = (
        f"after “{models.before(explorer.place - 1)}” the best word is “{words[0]}” with {percent(full[0])}, by "
        f"SVD-softmax {percent(ours[0])}; furthest off of the ten is “{words[off]}”, {percent(full[off])} against "
        f"{percent(ours[off])}. With W = {explorer.width} of {models.full.in_features} columns and N = "
        f"{explorer.n_full:,} of {models.full.n_classes:,} words, the best word is found for "
        f"{percent(found['recall 1'])} of {SHOWN} states, of the five best {percent(found['recall 5'])}, of the ten "
        f"{percent(found['recall 10'])}; the distributions differ by {found['divergence']:.2g} nats. Arithmetic: "
        f"{percent(found['utilisation'])} of the full softmax's."
    )
    points = times.get("points")
    if not points:
        return f"{text} Nothing timed yet."
    full_time = next(seconds for name, seconds, _ in points if name == "full softmax")
    yours = next((p for p in points if p[0] == window_name(explorer.width, explorer.n_full)), None)
    fastest = min((p for p in points if p[2] >= 0.95), key=lambda p: p[1])
    text += (
        f" Timed on {times['device']}, {times['date'][:10]}: full softmax {seconds_text(full_time)}; the fastest with "
        f"at least 95 % is {fastest[0]}, {seconds_text(fastest[1])}."
    )
    if yours is not None:
        ratio = full_time / yours[1]
        gain = f"{ratio:.2g} times faster" if ratio >= 1 else f"{1 / ratio:.2g} times SLOWER"
        promised = 1 / found["utilisation"]
        text += f" Yours is {gain} than the full softmax; by arithmetic it would be {promised:.2g} times faster."
    return text


def window_name(width: int, n_full: int) -> str:
    """Of a pair in the figure."""
    return f"{width}, {n_full:,}"


def experts_sentence(kept: Mapping[str, Any], fresh: bool = True) -> str:
    """The experts in words: sizes, groups recovered, arithmetic."""
    if not kept:
        return "Nothing trained yet."
    sizes = [len(one) for one in kept["known"]]
    settings = kept["sizes"]
    stages = f" ({' then '.join(map(str, settings['stages']))})" if len(settings["stages"]) > 1 else ""
    known = f"{min(sizes)} to {max(sizes)}" if min(sizes) < max(sizes) else f"{sizes[0]}"
    text = (
        f"step {kept['step']} of {kept['steps']}: {len(sizes)} experts{stages}, threshold "
        f"{settings['threshold']:g}, know {known} of the {GROUPS * PER_GROUP} classes, "
        f"{kept['rows']} rows of {len(sizes) * GROUPS * PER_GROUP} in all. {kept['exact']} of the {GROUPS} true groups "
        f"are exactly one expert's words. Task loss {kept['task']:.2g} nats."
    )
    if 0 in sizes:
        text += (
            f" {sizes.count(0)} lost every row: the gate leaves {'it' if sizes.count(0) == 1 else 'them'} out. A "
            "smaller threshold spares experts."
        )
    share = utilised(kept)
    speed = f"{1 / share:.2g} times cheaper" if share < 1 else "so it saves nothing"
    text += f" One token reads the gate and one expert: {percent(share)} of the arithmetic, {speed}."
    if not fresh:
        text += " These were trained with other settings than those above: press Train."
    return text


def stored_experts_sentence(explorer: AlternativesExplorer) -> str:
    """The chosen stored experts, and words that one of them alone knows."""
    models, one = explorer.small, explorer.small.experts[explorer.stored]
    e, found = min(explorer.expert, one.n_experts) - 1, one.found
    alone = one.members[e] & (one.members.sum(0) == 1)
    words = [models.words[i] for i in alone.nonzero().squeeze(1)[:12].tolist()]
    listed = (
        f"Words that no other expert knows, for instance: {', '.join(words)}."
        if words
        else "Other experts know all of its words."
    )
    return (
        f"{one.label}: {percent(found['utilisation'])} of the arithmetic. Its ten best words hold "
        f"{percent(found['agree 10'])} of the full softmax's, its five best {percent(found['agree 5'])}, its best "
        f"{percent(found['agree 1'])}. The text's next word is among its ten in {percent(found['right 10'])} of the "
        f"places, with the full softmax in {percent(found['full right 10'])}; for {percent(found['outside'])} of "
        f"the places the expert does not know it at all, so that its log-probability is minus infinity. Expert {e + 1} "
        f"knows {int(one.members[e].sum()):,} of {len(models.words):,} words and gets "
        f"{percent(found['shares'][e])} of the rows. {listed}"
    )


def skip_sentence(explorer: AlternativesExplorer, times: Times, whose: str) -> str:
    """Shares and times in words, with the words themselves."""
    models, k = explorer.small, explorer.best
    x = models.adaptive_states[explorer.place - 1 : explorer.place]
    words = [models.words[i] for i in models.adaptive.topk(x, k).indices[0].tolist()]
    best = ", ".join(f"“{word}”" for word in words[:5])
    opened = models.adaptive.opened(x, k)[0].tolist()
    which = [f"tail {i + 1}" for i, was in enumerate(opened) if was]
    shares = explorer.opened_shares(k)
    text = (
        f"after “{models.before(explorer.place - 1)}” the best of {k} {'is' if k == 1 else 'are'} {best}; here "
        f"{' and '.join(which) or 'no tail'} had to be opened. Over {STATES:,} states, k = {k}: "
        + ", ".join(f"tail {i + 1} {percent(share)}" for i, share in enumerate(shares))
        + f" of the rows; {explorer.pairs_percent(k):.3g} % of all pairs. The answer is exact for every k."
    )
    parts = []
    for place in (1, 10, 50):
        both = times.get(f"{ALL}, {place}"), times.get(f"{SKIP}, {place}")
        if both[0] and both[1]:
            ratio = both[0].median / both[1].median
            apart = both[1].q3 < both[0].q1 or both[0].q3 < both[1].q1
            said = f"{ratio:.2g} times faster" if ratio >= 1 else f"{1 / ratio:.2g} times SLOWER"
            parts.append(f"k = {place}: {said if apart else 'too close to call'}")
    return (
        f"{text} Compared with scoring all words: {'; '.join(parts)} ({whose})." if parts else f"{text} Not timed yet."
    )


def case_sentence(times: Times, known: Mapping[str, Any], bet: str, made: str) -> str:
    """Who won, by how much, against what arithmetic promised, and the reader's bet."""
    if not times:
        return "Nothing measured for this case yet."
    order = sorted(times, key=lambda n: times[n].median)
    winner = order[0]
    text = "measured: " + "; ".join(f"{n} {seconds_text(times[n].median)}" for n in order) + "."
    level = [n for n in order[1:] if times[n].q1 <= times[winner].q3]
    if level:
        text += f" {winner} is ahead, but its quartiles overlap with those of {' and '.join(level)}: call it level."
    else:
        text += f" {winner} wins" + (
            f", {times[order[1]].median / times[winner].median:.2g} times faster than the next." if order[1:] else "."
        )
    if sc.FULL in times and winner != sc.FULL:
        arithmetic = known.get("arithmetic", {})
        ratio = times[sc.FULL].median / times[winner].median
        text += f" Against the full softmax {ratio:.2g} times"
        text += f"; its arithmetic promised {1 / arithmetic[winner]:.2g} times." if winner in arithmetic else "."
    if known.get("opened") is not None:
        text += f" Exact top-k opened {percent(known['opened'])} of the pairs of this layer with random weights."
    if bet:
        text += f" You bet on {bet}: {'right' if bet == winner or bet in level else 'wrong'}."
    return f"{text} {made}".strip()
