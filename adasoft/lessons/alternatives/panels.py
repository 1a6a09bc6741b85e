"""The panels of the lesson on alternatives that show the small models: W and N, experts, skipped tails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import ipywidgets as w

from ...alternatives.svd_softmax import SVDSoftmax
from ...decoding import agreement
from ..kit.parts import (
    UNDER_WAY,
    WIDE,
    Job,
    Line,
    Pair,
    Panel,
    live,
    row,
    safely,
)
from ..kit.views import LOCK
from ..kit.widgets import NumberBox
from ..time_model.panels import kept, now_and_then
from ..time_model.timings import Tally, Tick, busy_text, device_text, spreads
from . import figures as af
from . import sentences as said
from .explorer import MOST, PLACES, AlternativesExplorer
from .small_models import STATES


def _pair(
    panel: Panel,
    explorer: AlternativesExplorer,
    trait: str,
    name: str,
    number_name: str,
    unit: str,
    *,
    high: float,
    low: float = 1.0,
    log: bool = False,
    step: float | None = None,
    whole: bool = True,
) -> Pair:
    """Slider and number box of one of the explorer's numbers."""
    number = NumberBox(description=number_name, unit=unit, whole=whole, width="96px")

    def act(value: float, clip: bool) -> None:
        value = min(max(value, low), high) if clip else value
        setattr(explorer, trait, round(value) if whole else round(value, 4))

    return Pair(panel, number, name, act, low=low, high=high, log=log, step=step or (0.005 if log else 1.0))


def _state_pair(panel: Panel, explorer: AlternativesExplorer) -> Pair:
    return _pair(panel, explorer, "place", "state", "hidden state, number", f"of {STATES:,}", high=float(STATES))


# ---------------------------------------------------------------------- SVD-softmax


def svd_panel(explorer: AlternativesExplorer, *, slot: str = "svd") -> w.VBox:
    """W and N of SVD-softmax on the small full model: words, recall, divergence, arithmetic, and measured time."""
    panel, words, note = Panel(), Line(), Line()
    full = explorer.small.full
    width = _pair(
        panel,
        explorer,
        "width",
        "W",
        "width W of the preview",
        f"of d = {full.in_features} columns",
        high=float(full.in_features),
    )
    n_full = _pair(
        panel,
        explorer,
        "n_full",
        "N",
        "words N that are re-scored",
        f"of V = {full.n_classes:,} words",
        high=float(full.n_classes),
        log=True,
    )
    state = _state_pair(panel, explorer)
    wanted = NumberBox(description="wanted recall, %", whole=False)
    panel.on_number(wanted, partial(setattr, explorer, "wanted"), lambda: explorer.wanted)

    def times() -> Mapping[str, Any]:
        return explorer.recall("svd windows") or {}

    figure = live(af.svd_figure(explorer, times()))

    def choose() -> None:
        found = explorer.choose()
        note.say(
            f"Least arithmetic for {explorer.wanted:g} % of the ten best words of {STATES // 2} other states: "
            f"W = {found.width}, N = {found.n_full:,}, {100 * found.utilisation:.1f} % of the arithmetic."
        )

    def measure(tick: Tick) -> None:
        from ...timing import interleave

        with LOCK:
            mine = explorer.width, explorer.n_full
            x, true = explorer.reported, explorer.small.full.topk(explorer.reported, 10).indices
            rows = explorer.small.states[: af.TIMED_ROWS]
        d, n = full.in_features, full.n_classes
        tick(0.0, "making the windows")
        made: dict[str, Any] = {"full softmax": full}
        for pair in dict.fromkeys([mine, (max(1, d // 8), n // 100), (max(1, d // 8), n // 8), (d // 2, n // 32)]):
            made[said.window_name(*pair)] = SVDSoftmax(full, *pair)
        recalls = {name: agreement(softmax.topk(x, 10).indices, true, 10) for name, softmax in made.items()}
        tally = Tally({"mine": list(mine)}, "cpu")
        interleave(
            {name: [partial(softmax.topk, rows, 10)] for name, softmax in made.items()},
            rounds=25,
            seconds=8.0,
            progress=tick,
            heard=tally.heard,
        )
        found = tally.spreads()
        explorer.note(
            "svd windows",
            {
                "points": [[name, found[name].median, recalls[name]] for name in made],
                "device": device_text("cpu"),
                "date": tally.date,
            },
        )

    job = Job(panel, "Time W and N", measure, "Your W and N, three others and the full softmax, in turns")
    choose_button = panel.button("Choose for me", choose, "The W and N of least arithmetic for the wanted recall")

    def redraw() -> None:
        width.show(explorer.width)
        n_full.show(explorer.n_full)
        state.show(explorer.place)
        with panel.writing():
            wanted.value = explorer.wanted
        figure.push(*af.svd_data(explorer, times()))
        words.say("In words: " + said.svd_sentence(explorer, times()))

    box = panel.box(
        width.row, n_full.row, state.row, row(wanted, choose_button, note), row(job.row, job.line), figure, words
    )
    explorer.attach(slot, safely(panel, redraw), box)
    return box


# ---------------------------------------------------------------------- experts on 10 x 10 classes


def experts_panel(explorer: AlternativesExplorer, *, slot: str = "experts") -> w.VBox:
    """Doubly sparse softmax trained live on ten groups of ten classes, every step visible; stop and continue."""
    panel, words, estimate = Panel(), Line(), Line()
    number = _pair(panel, explorer, "n_experts", "experts", "number of experts K", "experts", high=20.0)
    threshold = _pair(
        panel,
        explorer,
        "threshold",
        "threshold",
        "pruning threshold",
        "root mean square",
        low=0.0,
        high=0.3,
        step=0.005,
        whole=False,
    )
    mitosis = w.Checkbox(description="clone them in stages (mitosis)", indent=False, layout=w.Layout(width="auto"))
    panel.on_value(mitosis, lambda value: setattr(explorer, "mitosis", value))
    running: list[Mapping[str, Any]] = []
    from_start = [True]

    def now() -> Mapping[str, Any]:
        return running[0] if running else explorer.recall("experts") or {}

    figure = live(af.experts_figure(now()))

    def draw() -> None:
        figure.push(*af.experts_data(now()))
        fresh = not now() or now()["sizes"] == explorer.expert_sizes
        words.say("In words: " + said.experts_sentence(now(), fresh))

    def train(tick: Tick) -> None:
        begin, from_start[0] = from_start[0], True
        show = now_and_then(draw)

        def heard(kept: Mapping[str, Any]) -> None:
            running[:] = [kept]
            show()

        try:
            explorer.train_experts(from_start=begin, tick=tick, heard=heard)
        finally:
            running.clear()
            with LOCK:
                draw()

    job = Job(panel, "Train", train, "From the start: every expert with a row for each of the 100 classes")

    def go_on() -> None:
        from_start[0] = False
        try:
            job.begin()
        except Exception:
            from_start[0] = True
            raise

    on = panel.button("Go on", go_on, "From where it was stopped, also after a restart of the kernel")

    def redraw() -> None:
        number.show(explorer.n_experts)
        threshold.show(explorer.threshold)
        with panel.writing():
            mitosis.value = explorer.mitosis
        settings = explorer.expert_settings
        estimate.say(
            f"{' then '.join(str(k) for k in settings.stages)} experts, {settings.epochs * len(settings.stages)} "
            f"passes over 10,000 points: some seconds. {busy_text()}".strip()
        )
        draw()

    box = panel.box(number.row, threshold.row, row(mitosis), row(job.row, on, job.line), estimate, figure, words)
    explorer.attach(slot, safely(panel, redraw), box)
    return box


# ---------------------------------------------------------------------- experts on the small model


def pruned_panel(explorer: AlternativesExplorer, *, slot: str = "stored experts") -> w.VBox:
    """Doubly sparse softmaxes retrained on the small full model, as stored, and the words of their experts."""
    panel, words = Panel(), Line()
    experts = explorer.small.experts
    which = w.Dropdown(
        options=[(e.label, i) for i, e in enumerate(experts)],
        description="stored experts",
        style=WIDE,
        layout=w.Layout(width="340px"),
    )
    expert = NumberBox(description="expert")

    def chosen(i: int) -> None:
        explorer.stored = i
        explorer.expert = min(explorer.expert, experts[i].n_experts)

    def pick(value: int) -> None:
        most = experts[explorer.stored].n_experts
        if not 1 <= value <= most:
            raise ValueError(f"expert should be from 1 to {most}, got {value}")
        explorer.expert = value

    panel.on_value(which, chosen)
    panel.on_number(expert, pick, lambda: explorer.expert)
    figure = live(af.stored_experts_figure(experts, explorer.stored))

    def redraw() -> None:
        with panel.writing():
            which.value = explorer.stored
            expert.value = explorer.expert
        figure.push(*af.stored_experts_data(experts, explorer.stored))
        words.say("STORED, made on another machine. " + said.stored_experts_sentence(explorer))

    box = panel.box(row(which, expert), figure, words)
    explorer.attach(slot, safely(panel, redraw), box)
    return box


# ---------------------------------------------------------------------- tails skipped


def skip_panel(explorer: AlternativesExplorer, *, slot: str = "skip") -> w.VBox:
    """The tails of the small adaptive model that exact decoding opens for the k best words, and what it takes."""
    panel, words = Panel(), Line()
    k = _pair(panel, explorer, "best", "k", "best words asked for, k", "best words asked for", high=float(MOST))
    state = _state_pair(panel, explorer)
    sizes = {"rows": af.TIMED_ROWS, "device": "cpu"}

    def times() -> Mapping[str, Any]:
        return spreads(explorer.recall("skipped tails"), sizes)

    figure = live(af.skip_figure(explorer, times()))

    def measure(tick: Tick) -> None:
        from ...timing import interleave

        layer, x = explorer.small.adaptive, explorer.small.adaptive_states[: af.TIMED_ROWS]
        items: dict[str, list[Callable[[], Any]]] = {}
        for place in PLACES:
            items[f"{said.ALL}, {place}"] = [partial(_all_words, layer, x, place)]
            items[f"{said.SKIP}, {place}"] = [partial(layer.topk, x, place)]
        tally = Tally(sizes, "cpu")

        def draw() -> None:
            figure.push(*af.skip_data(explorer, tally.spreads()))
            words.say(UNDER_WAY)

        show = now_and_then(draw)

        def heard(name: str, seconds: float) -> None:
            tally.heard(name, seconds)
            show()

        def work() -> None:
            interleave(items, rounds=25, seconds=8.0, progress=tick, heard=heard)

        kept(explorer, "skipped tails", tally, work)

    job = Job(panel, "Time both ways", measure, "All words and a search, against exact top-k, in turns")

    def redraw() -> None:
        k.show(explorer.best)
        state.show(explorer.place)
        figure.push(*af.skip_data(explorer, times()))
        last = explorer.recall("skipped tails") or {"device": "", "date": ""}
        whose = f"{last['device']}, {last['date'][:10]}"
        words.say("In words: " + said.skip_sentence(explorer, times(), whose))

    box = panel.box(k.row, state.row, row(job.row, job.line), figure, words)
    explorer.attach(slot, safely(panel, redraw), box)
    return box


def _all_words(layer: Any, x: Any, k: int) -> Any:
    import torch

    with torch.no_grad():
        return layer.log_prob(x).topk(k)
