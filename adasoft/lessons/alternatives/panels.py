"""The panels of the lesson on alternatives: the scene, W and N, experts, and all methods on one bench."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import ipywidgets as w

from ..kit.parts import Job, Line, Pair, Panel, live, one_line, row, safely
from ..kit.views import LOCK, replace
from ..kit.widgets import NumberBox
from ..time_model.panels import now_and_then
from ..time_model.timings import Tick, busy_text
from . import figures as af
from . import sentences as said
from . import window_picture
from .comparison import comparison_data, guess_mark
from .explorer import AlternativesExplorer
from .scene import scene_data
from .small_models import STATES
from .widgets import Comparison, MethodsScene, WindowPicture
from .windows import SHOWN, all_curves, quality


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


# ---------------------------------------------------------------------- the first picture, and the last


def methods_panel(explorer: AlternativesExplorer) -> w.VBox:
    """The next word scored by four softmaxes: which parts of each are read, step by step."""
    panel = Panel()
    box = panel.box(MethodsScene(data=scene_data(explorer.small)))
    replace("methods", box)
    return box


def compare_panel(explorer: AlternativesExplorer) -> w.VBox:
    """All methods on one bench, from stored results; what the reader needs decides which of them remain."""
    panel = Panel()
    try:
        shown = Comparison(data=comparison_data())
    except (ValueError, LookupError, OSError) as error:
        panel.problem.say(one_line(error))
        box = panel.box()
        replace("comparison", box)
        return box
    box = panel.box(shown)

    def redraw() -> None:
        shown.set_trait("guess", guess_mark(explorer.recall("guess sixth")))

    explorer.attach("comparison", safely(panel, redraw), box)
    return box


# ---------------------------------------------------------------------- SVD-softmax


def svd_panel(explorer: AlternativesExplorer, *, slot: str = "svd") -> w.VBox:
    """W and N of SVD-softmax on the small full model, dragged: block, words of a state, recall against cost."""
    panel, words, note = Panel(), Line(), Line()
    boxes = [
        (NumberBox(description="width W", width="64px"), "width"),
        (NumberBox(description="words N", width="72px"), "n_full"),
        (NumberBox(description="hidden state, number", width="72px"), "place"),
    ]
    for number, trait in boxes:
        panel.on_number(number, partial(setattr, explorer, trait), partial(getattr, explorer, trait))
    wanted = NumberBox(description="wanted recall, %", whole=False, width="64px")
    panel.on_number(wanted, partial(setattr, explorer, "wanted"), lambda: explorer.wanted)
    picture = WindowPicture(
        data=all_curves(explorer.small), window=[explorer.width, explorer.n_full], shown=window_picture.shown(explorer)
    )

    def moved(window: list[int]) -> None:
        with explorer.hold_trait_notifications():  # views see both at once
            explorer.width, explorer.n_full = window

    panel.on_value(picture, moved, "window")

    def choose() -> None:
        found = explorer.choose()
        elsewhere = quality(explorer.small, found.width, found.n_full)["recall 10"]
        note.say(
            f"Cheapest for {explorer.wanted:g} %: W = {found.width}, N = {found.n_full:,}, "
            f"{100 * found.utilisation:.1f} % of the multiplications. Recall on the {STATES // 2} hidden states they "
            f"were chosen on, the star: {100 * found.recall:.1f} %; on the {SHOWN} others, your ring: "
            f"{100 * elsewhere:.1f} %."
        )

    choose_button = panel.button("Choose for me", choose, "The W and N of least arithmetic for the wanted recall")

    def redraw() -> None:
        with panel.writing():
            for number, trait in boxes:
                number.value = float(getattr(explorer, trait))
            wanted.value = explorer.wanted
            with picture.hold_sync():
                picture.window = [explorer.width, explorer.n_full]
                picture.shown = window_picture.shown(explorer)
        words.say(said.svd_sentence(explorer))

    controls = row(*(number for number, _ in boxes), wanted, choose_button)
    box = panel.box(picture, words, controls, note)
    explorer.attach(slot, safely(panel, redraw), box)
    return box


# ---------------------------------------------------------------------- experts on 10 x 10 classes


def experts_panel(explorer: AlternativesExplorer, *, slot: str = "experts") -> w.VBox:
    """Doubly sparse softmax trained live on ten groups of ten classes, every step visible; stop and continue."""
    panel, words, estimate = Panel(), Line(), Line()
    number = _pair(panel, explorer, "n_experts", "experts", "number of experts K", "", high=20.0)
    threshold = _pair(
        panel,
        explorer,
        "threshold",
        "threshold",
        "pruning threshold",
        "",
        low=0.0,
        high=0.3,
        step=0.005,
        whole=False,
    )
    mitosis = w.Checkbox(description="clone them in stages (mitosis)", indent=False, layout=w.Layout(width="auto"))
    panel.on_value(mitosis, lambda value: setattr(explorer, "mitosis", value))
    running: list[Mapping[str, Any]] = []

    def now() -> Mapping[str, Any]:
        return running[0] if running else explorer.recall("experts") or {}

    def drawn() -> Mapping[str, Any]:
        return now() or af.untrained(explorer.expert_settings.stages[0])

    figure = live(af.experts_figure(drawn()))

    def draw() -> None:
        figure.push(*af.experts_data(drawn()))
        words.say(said.experts_sentence(now(), not now() or now()["sizes"] == explorer.expert_sizes))

    def train(tick: Tick, *, from_start: bool = True) -> None:
        show = now_and_then(draw)

        def heard(kept: Mapping[str, Any]) -> None:
            running[:] = [kept]
            show()

        try:
            explorer.train_experts(from_start=from_start, tick=tick, heard=heard)
        finally:
            running.clear()
            with LOCK:
                draw()

    job = Job(panel, "Train", train, "From the start: every expert with a vector for each of the 100 classes")
    on = job.also("Go on", partial(train, from_start=False), "From where it was stopped, also after a restart")

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

    job.row.children = (job.start, on, job.stop, job.bar, job.line)
    box = panel.box(number.row, threshold.row, row(mitosis), job.row, figure, words, estimate)
    explorer.attach(slot, safely(panel, redraw), box)
    return box
