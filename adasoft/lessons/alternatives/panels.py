"""The panels of the lesson on alternatives: W and N, experts, skipped tails, a case to bet on, which when."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import ipywidgets as w

from ...alternatives.svd_softmax import SVDSoftmax
from ..kit.cuts import cut_picker, cutoff_pair
from ..kit.parts import (
    UNDER_WAY,
    WIDE,
    Job,
    Line,
    Pair,
    Panel,
    live,
    one_line,
    readable,
    row,
    safely,
)
from ..kit.plots import push
from ..kit.views import LOCK, replace
from ..kit.widgets import NumberBox
from ..time_model.panels import budget_box, device_box, kept, now_and_then, size_boxes
from ..time_model.timings import Tally, Tick, busy_text, check_memory, device_text, spreads
from . import cases as sc
from . import figures as af
from .explorer import MOST, PLACES, AlternativesExplorer
from .small_models import STATES, best_words
from .stored import claims, recorded_cases, stored_comparisons, which_when

HERE = "measured here, live"


def _pair(
    panel: Panel, explorer: AlternativesExplorer, trait: str, name: str, number_name: str, unit: str, *,
    high: float, low: float = 1.0, log: bool = False, step: float | None = None, whole: bool = True,
) -> Pair:  # fmt: skip
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
    width = _pair(panel, explorer, "width", "W", "width W of the preview", f"of d = {full.in_features} columns",
                  high=float(full.in_features))  # fmt: skip
    n_full = _pair(panel, explorer, "n_full", "N", "words N that are re-scored", f"of V = {full.n_classes:,} words",
                   high=float(full.n_classes), log=True)  # fmt: skip
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
        from ...calibration import interleave

        with LOCK:
            mine = explorer.width, explorer.n_full
            x, true = explorer.reported, explorer.small.full.topk(explorer.reported, 10).indices
            rows = explorer.small.states[: af.TIMED_ROWS]
        d, n = full.in_features, full.n_classes
        tick(0.0, "making the windows")
        made: dict[str, Any] = {"full softmax": full}
        for pair in dict.fromkeys([mine, (max(1, d // 8), n // 100), (max(1, d // 8), n // 8), (d // 2, n // 32)]):
            made[af.window_name(*pair)] = SVDSoftmax(full, *pair)
        recalls = {name: best_words(softmax.topk(x, 10).indices, true, 10) for name, softmax in made.items()}
        tally = Tally({"mine": list(mine)}, "cpu")
        interleave(
            {name: [partial(softmax.topk, rows, 10)] for name, softmax in made.items()},
            rounds=25, seconds=8.0, progress=tick, heard=tally.heard,
        )  # fmt: skip
        found = tally.spreads()
        explorer.note("svd windows", {
            "points": [[name, found[name].median, recalls[name]] for name in made], "device": device_text("cpu"),
            "date": tally.date,
        })  # fmt: skip

    job = Job(panel, "Time W and N", measure, "Your W and N, three others and the full softmax, in turns")
    choose_button = panel.button("Choose for me", choose, "The W and N of least arithmetic for the wanted recall")

    def redraw() -> None:
        width.show(explorer.width)
        n_full.show(explorer.n_full)
        state.show(explorer.place)
        with panel.writing():
            wanted.value = explorer.wanted
        push(figure, *af.svd_data(explorer, times()))
        words.say("In words: " + af.svd_sentence(explorer, times()))

    box = panel.box(
        width.row, n_full.row, state.row, row(wanted, choose_button, note), row(job.row, job.line), figure, words
    )
    explorer.attach(slot, safely(panel, redraw), box)
    return box


# ---------------------------------------------------------------------- experts on 10 x 10 classes


def experts_panel(explorer: AlternativesExplorer, *, slot: str = "experts") -> w.VBox:
    """Doubly sparse softmax trained live on ten groups of ten classes, every step visible; stop and go on."""
    panel, words, estimate = Panel(), Line(), Line()
    number = _pair(panel, explorer, "n_experts", "experts", "number of experts K", "experts", high=20.0)
    threshold = _pair(panel, explorer, "threshold", "threshold", "pruning threshold", "root mean square", low=0.0,
                      high=0.3, step=0.005, whole=False)  # fmt: skip
    mitosis = w.Checkbox(description="clone them in stages (mitosis)", indent=False, layout=w.Layout(width="auto"))
    panel.on_value(mitosis, lambda value: setattr(explorer, "mitosis", value))
    running: list[Mapping[str, Any]] = []
    anew = [True]

    def now() -> Mapping[str, Any]:
        return running[0] if running else explorer.recall("experts") or {}

    figure = live(af.experts_figure(now()))

    def draw() -> None:
        push(figure, *af.experts_data(now()))
        fresh = not now() or now()["sizes"] == explorer.expert_sizes
        words.say("In words: " + af.experts_sentence(now(), fresh))

    def train(tick: Tick) -> None:
        begin, anew[0] = anew[0], True
        show = now_and_then(draw)

        def heard(kept: Mapping[str, Any]) -> None:
            running[:] = [kept]
            show()

        try:
            explorer.train_experts(anew=begin, tick=tick, heard=heard)
        finally:
            running.clear()
            with LOCK:
                draw()

    job = Job(panel, "Train", train, "From the start: every expert with a row for each of the 100 classes")

    def go_on() -> None:
        anew[0] = False
        try:
            job._begin()
        except Exception:
            anew[0] = True
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
    which = w.Dropdown(options=[(e.label, i) for i, e in enumerate(experts)], description="stored experts",
                       style=WIDE, layout=w.Layout(width="340px"))  # fmt: skip
    expert = NumberBox(description="expert")

    def chosen(i: int) -> None:
        explorer.stored = i
        explorer.expert = min(explorer.expert, experts[i].n_experts)

    def pick(value: int) -> None:
        most = experts[explorer.stored].n_experts
        if not 1 <= value <= most:
            raise ValueError(f"expert {value} is refused: there are 1 to {most}")
        explorer.expert = value

    panel.on_value(which, chosen)
    panel.on_number(expert, pick, lambda: explorer.expert)
    figure = live(af.stored_experts_figure(experts, explorer.stored))

    def redraw() -> None:
        with panel.writing():
            which.value = explorer.stored
            expert.value = explorer.expert
        push(figure, *af.stored_experts_data(experts, explorer.stored))
        words.say("STORED, made on another machine. " + af.stored_experts_sentence(explorer))

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
        from ...calibration import interleave

        layer, x = explorer.small.adaptive, explorer.small.adaptive_states[: af.TIMED_ROWS]
        items: dict[str, list[Callable[[], Any]]] = {}
        for place in PLACES:
            items[f"{af.ALL}, {place}"] = [partial(_all_words, layer, x, place)]
            items[f"{af.SKIP}, {place}"] = [partial(layer.topk, x, place)]
        tally = Tally(sizes, "cpu")

        def draw() -> None:
            push(figure, *af.skip_data(explorer, tally.spreads()))
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
        push(figure, *af.skip_data(explorer, times()))
        last = explorer.recall("skipped tails") or {"device": "", "date": ""}
        whose = f"{last['device']}, {last['date'][:10]}"
        words.say("In words: " + af.skip_sentence(explorer, times(), whose))

    box = panel.box(k.row, state.row, row(job.row, job.line), figure, words)
    explorer.attach(slot, safely(panel, redraw), box)
    return box


def _all_words(layer: Any, x: Any, k: int) -> Any:
    import torch

    with torch.no_grad():
        return layer.log_prob(x).topk(k)


# ---------------------------------------------------------------------- a case


def case_panel(explorer: AlternativesExplorer, *, slot: str = "case") -> w.VBox:
    """A case: the reader bets on a method, then all that answer it are timed in turns."""
    panel, words, estimate, score = Panel(), Line(), Line(), Line()
    picker, redraw_picker = cut_picker(panel, explorer, height=200)
    cuts = [cutoff_pair(panel, explorer, i, f"cutoff {i + 1}", f"cutoff {i + 1}, words") for i in range(2)]
    boxes, redraw_boxes = size_boxes(panel, explorer, ("n_words", "in_features"))
    rows = NumberBox(description="rows at once")
    panel.on_number(rows, partial(setattr, explorer, "batch"), lambda: explorer.batch)
    device, redraw_device = device_box(panel, explorer)
    task = w.Dropdown(options=list(sc.TASKS), description="task", style=WIDE, layout=w.Layout(width="270px"))
    exact = w.Checkbox(description="exact only", indent=False, layout=w.Layout(width="auto"))
    bet = w.Dropdown(description="your bet", style=WIDE, layout=w.Layout(width="280px"))
    budget = budget_box()
    recorded = {one.label: one for one in readable(panel, recorded_cases)}
    shown = w.Dropdown(options=[HERE, *recorded], description="shown", style=WIDE, layout=w.Layout(width="560px"))
    panel.on_value(task, lambda value: setattr(explorer, "task", value))
    panel.on_value(exact, lambda value: setattr(explorer, "exact", value))
    panel.on_value(bet, lambda value: setattr(explorer, "bet", value))
    for control in (shown, budget):
        panel.on_value(control, lambda _: redraw())

    def found() -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        if shown.value in recorded:
            one = recorded[shown.value]
            return one.times, one.known
        last: Mapping[str, Any] = explorer.recall("case") or {}
        times = spreads(last, explorer.case_sizes)
        return times, last.get("known", {}) if times else {}

    def names() -> tuple[str, ...]:
        if shown.value in recorded:
            return tuple(recorded[shown.value].times)
        return explorer.case.names if explorer.cutoffs else (sc.FULL,)

    def figure_state() -> tuple[Any, ...]:
        times, known = found()
        return names(), times, known.get("arithmetic", {})

    figure = live(af.case_figure(*figure_state()))

    def measure(tick: Tick) -> None:
        with LOCK:
            with panel.writing():
                shown.value = HERE
            redraw()
            case, sizes, betted = explorer.case, explorer.case_sizes, explorer.bet
            if betted not in case.names:
                raise ValueError("bet first: choose under “your bet” which method will take least time")
            check_memory(case.bytes(len(explorer.vocabulary)), case.device, "timing this case",
                         "Take a smaller V or d, or fewer rows.")  # fmt: skip
        tally = Tally(sizes, sizes["device"])

        def draw() -> None:
            if explorer.case_sizes == sizes and shown.value == HERE:
                push(figure, *af.case_data(case.names, tally.spreads(), {}))
                words.say(UNDER_WAY)

        show = now_and_then(draw)

        def heard(name: str, seconds: float) -> None:
            tally.heard(name, seconds)
            show()

        try:
            known = explorer.time_case(float(budget.value), tick, heard)
        except BaseException:
            with LOCK:
                redraw()  # what was drawn meanwhile is not kept
            raise
        result = tally.json() | {"known": known, "bet": betted}
        winner = min(tally.spreads().items(), key=lambda item: item[1].median)[0]
        bets = [*(explorer.recall("bets") or []), [betted == winner]][-50:]
        explorer.remember("bets", bets)
        explorer.note("case", result)

    job = Job(panel, "Measure the case", measure, "Makes every method that answers the case, and times them in turns")

    def redraw() -> None:
        redraw_boxes()
        redraw_device()
        redraw_picker()
        for i, pair in enumerate(cuts):
            there = i < len(explorer.cutoffs)
            pair.row.layout.display = "flex" if there else "none"
            if there:
                pair.show(explorer.cutoffs[i], explorer.limits(i)[1])
        allowed = explorer.case.names if explorer.cutoffs else ()
        options = [("choose ...", ""), *((name, name) for name in allowed)]
        with panel.writing():
            rows.value = float(explorer.batch)
            task.value, exact.value = explorer.task, explorer.exact
            if list(bet.options) != options:
                bet.options = options
            bet.value = explorer.bet if explorer.bet in allowed else ""
        push(figure, *af.case_data(*figure_state()))
        times, known = found()
        if shown.value in recorded:
            words.say(f"RECORDED, not this machine. {recorded[shown.value].provenance} "
                      + af.case_sentence(times, known, "", ""))  # fmt: skip
        else:
            last: Mapping[str, Any] = explorer.recall("case") or {}
            made = f"Measured on {last['device']}, {last['date'][:10]}." if times else ""
            words.say("In words: " + af.case_sentence(times, known, last.get("bet", "") if times else "", made))
        needed = explorer.case.bytes(len(explorer.vocabulary)) / 2**30 if explorer.cutoffs else 0.0
        sparse = explorer.experts_for_case
        estimate.say(
            f"{device_text(explorer.device)}. Memory: about {needed:,.2g} GiB. Weights are drawn, for no model of this "
            f"size is at hand: SVD-softmax takes W = d/8 and N = V/32; experts are as large as the stored "
            f"{sparse.label}, {100 * explorer.expert_share:.0f} % of V. {busy_text()}".strip()
        )
        bets = explorer.recall("bets") or []
        won = sum(bool(one[0]) for one in bets)
        score.say(f"Your bets so far: {won} of {len(bets)} right." if bets else "")

    box = panel.box(
        shown, row(task, exact, device), row(*boxes, rows), picker, *(pair.row for pair in cuts),
        row(bet, budget, job.row, job.line), score, estimate, figure, words,
    )  # fmt: skip
    explorer.attach(slot, safely(panel, redraw), box)
    return box


# ---------------------------------------------------------------------- which when


def which_panel() -> w.VBox:
    """What the papers claim beside what was measured, and which method when, all from stored results."""
    panel, first, second, third, words = Panel(), w.HTML(), w.HTML(), w.HTML(), Line()
    try:
        first.value = af.table_html("claims and measurements", ("claim", "what we measured"), claims())
        second.value = af.table_html("which softmax when", ("case", "fastest", "next", "from"), which_when())
        rows, said = stored_comparisons()
        third.value = af.table_html("trained models compared", rows[0], rows[1:]) if rows else ""
        words.say(said)
    except (ValueError, LookupError) as error:
        panel.problem.say(one_line(error))
    box = panel.box(second, first, third, words)
    box.add_class("adasoft-long")
    replace("which when", box)
    return box
