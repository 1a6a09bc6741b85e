"""What the trained models write: each word with the cluster that it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import ipywidgets as w

from ..kit.parts import WIDE, Job, Line, Panel, readable, row, safely
from ..kit.views import LOCK
from ..kit.widgets import NumberBox
from ..time_model.timings import Tick
from . import sentences as said
from .explorer import TrainingExplorer
from .looks import EXAMPLE_LABELS, LABELS
from .recorded_sessions import recorded_sessions

#: Of the models, those that are shown at first: the full softmax, and the first of these that wrote something.
_BESIDE = ("yours", "planned", "adaptive")
_TWO, _ALL = "two models", "all models"
#: Where a word comes from, by underline and number; the colours are those of the clusters in all lessons.
_STYLE = """<style>
.adasoft-wrote { --c1: #b26a00; --c2: #00825d; --c3: #b04a8b; --c4: #5b6ee1; --c5: #c44d00; line-height: 2; }
body[data-jp-theme-light="false"] .adasoft-wrote { --c1: #f0a92e; --c2: #2fc498; --c3: #e28cc4;
  --c4: #a9b4ff; --c5: #ff8a4c; }
.adasoft-wrote span { border-bottom: 3px solid var(--own); }
.adasoft-wrote sub { font-weight: bold; }
</style>"""


def writing_panel(explorer: TrainingExplorer, *, slot: str = "writing") -> w.VBox:
    """Words drawn from the trained models after a word of the reader's, each with the cluster that it comes from."""
    panel, text, words = Panel(), w.HTML(), Line()
    last = explorer.recall("written") or {"start": "the", "seed": 1}
    start = w.Text(
        last["start"], description="first word", continuous_update=False, style=WIDE, layout=w.Layout(width="240px")
    )
    seed, n = NumberBox(description="seed", value=last["seed"]), NumberBox(description="words of each", value=40)
    show = w.Dropdown(options=[_TWO, _ALL], description="show", style=WIDE, layout=w.Layout(width="190px"))
    chosen = {"seed": last["seed"], "n": 40}

    def take(name: str, called: str, low: int, high: int, value: int) -> None:
        if not low <= value <= high:
            raise ValueError(f"{called} should be from {low:,} to {high:,}, got {value:,}")
        chosen[name] = value

    panel.on_number(seed, partial(take, "seed", "seed", 0, 2**31 - 1), lambda: chosen["seed"])
    panel.on_number(n, partial(take, "n", "words of each", 1, 1000), lambda: chosen["n"])

    def write(tick: Tick) -> None:
        turns = explorer.trained.get("training")
        if turns is None:
            raise ValueError("no model is in memory (they end with the kernel): train one above first")
        first = start.value.strip()
        with LOCK:
            how = dict(chosen)
        made = turns.write(how["n"], start=first or None, seed=how["seed"], tick=tick)
        explorer.note("written", {"start": first, "seed": how["seed"], "words": made})

    job = Job(panel, "Write", write, "Draws words from every model that was trained above", queues=True)
    sessions = readable(panel, recorded_sessions)

    def redraw() -> None:
        recorded = None if explorer.recall("written") else next(iter(sessions), None)
        written = recorded.kept["written"] if recorded else explorer.recall("written")
        if not written:
            text.value = ""
            words.say("Nothing is written yet. Train above, then press Write.")
            return
        names = [name for name in LABELS if name in written["words"]]
        if show.value == _TWO:
            beside = [name for name in _BESIDE if name in names][:1]
            names = [*(["full"] if "full" in names else names[:1]), *beside]
        kept = recorded.kept["training"] if recorded else explorer.recall("training") or {}
        ranks = None if recorded else _ranks(explorer, kept)
        labels = {**LABELS, **EXAMPLE_LABELS} if recorded else LABELS
        text.value = _STYLE + "".join(
            said.written_html(labels[name], written["words"][name], _cutoffs(kept, name), ranks, start=written["start"])
            for name in dict.fromkeys(names)
        )
        whose = "Recorded, not this machine: each" if recorded else "Each"
        colours = "" if ranks else " Train here and press Write: words then show the tail that they come from."
        words.say(
            f"{whose} model drew its words one after the other from its whole distribution, seed {written['seed']}; "
            f"↵ ends a line.{colours}"
        )

    panel.on_value(show, lambda _: redraw())
    box = panel.box(row(start, seed, n, show), row(job.row, job.line), words, panel.problem, text)
    explorer.attach(slot, safely(panel, redraw), box)
    return box


def _cutoffs(kept: Mapping[str, Any], name: str) -> tuple[int, ...]:
    """The cutoffs of a model, from what is kept of its training."""
    return tuple(kept.get("lanes", {}).get(name, {}).get("cutoffs", ()))


def _ranks(explorer: TrainingExplorer, kept: Mapping[str, Any]) -> dict[str, int] | None:
    """The rank of each word from 1 on; None if the models were trained on another text."""
    trained, words = kept.get("corpus", {}).get("digest"), explorer.vocabulary.words
    if not words or not trained or trained != explorer.text.get("digest") or len(words) != kept["corpus"]["V"]:
        return None
    return {word: rank for rank, word in enumerate(words, 1)}
