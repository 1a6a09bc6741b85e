"""The panels of the notebooks: widgets around one `Explorer`.

Every function returns a widget. A panel shown again for the same explorer (its cell run again) replaces the old one. An
error in a callback is shown in one line under the controls, for JupyterLab would hide it.
"""

from __future__ import annotations

import html
import os
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets as w
import numpy as np

from ...cost import MeasuredCost
from ...files import cache_dir, writable_folder
from ...planning import Plan, plan
from ...records import cpu_name
from ...tokens import wordfreq_tokens
from ...tradeoffs import two_clusters
from ...vocabulary import Vocabulary, comparable
from . import figures as f
from .explorer import (
    COUNTED_MULTIPLICATIONS,
    COUNTED_WORDS,
    LANGUAGES,
    LOCK,
    MAX_TAILS,
    WIDTH_RULES,
    Explorer,
    cost_at_hand,
    language_of,
    load_language,
    measured_cost,
    replace,
)
from .parts import (
    WIDE,
    Job,
    Line,
    Pair,
    Panel,
    cell_text,
    costs_at_hand,
    cut_picker,
    cutoff_pair,
    forget_button,
    listed,
    live,
    one_line,
    plan_text,
    row,
    safely,
)
from .saved import not_kept
from .widgets import FileDrop, NumberBox

# ---------------------------------------------------------------------- cutoffs


def cut_panel(explorer: Explorer, *, most: int = MAX_TAILS, settings: bool = True, slot: str = "cuts") -> w.VBox:
    """Cutoffs dragged on the plot, slid and typed; shares, cost per cluster and total follow.

    Args:
        explorer: what it reads and writes.
        most: how many cutoffs can be had, 1 to 5; with 1 the number is not offered.
        settings: offer the cost model, the widths, d and B.
        slot: a second panel for one explorer needs another name here.
    """
    panel = Panel()
    picker, redraw_picker = cut_picker(panel, explorer)
    figure, words = live(f.cut_figure(explorer)), Line()
    names = [f"cutoff {i + 1}" for i in range(most)]
    pairs = [cutoff_pair(panel, explorer, i, name, f"{name}, words") for i, name in enumerate(names)]

    n_tails = w.Dropdown(options=list(range(most + 1)), description="number of cutoffs", style=WIDE,
                         layout=w.Layout(width="190px"))  # fmt: skip
    costs = costs_at_hand(COUNTED_MULTIPLICATIONS, explorer)
    cost = w.Dropdown(options=list(costs), description="cost model", style=WIDE, layout=w.Layout(width="430px"))
    widths = w.Dropdown(options=list(WIDTH_RULES), description="width of the tails", style=WIDE,
                        layout=w.Layout(width="270px"))  # fmt: skip
    d, batch = NumberBox(description="hidden size d"), NumberBox(description="tokens per step B")
    panel.on_value(n_tails, explorer.set_n_tails)
    panel.on_value(cost, lambda name: setattr(explorer, "cost", costs[name]))
    panel.on_value(widths, lambda name: setattr(explorer, "width_rule", name))

    for box_, trait in ((d, "in_features"), (batch, "batch")):
        panel.on_number(box_, partial(setattr, explorer, trait), partial(getattr, explorer, trait))
    note, noted = Line(), {"cutoffs": explorer.cutoffs}

    def remark(text: str) -> None:
        noted["cutoffs"] = explorer.cutoffs
        note.say(text)

    def plan_it() -> None:
        found = explorer.plan_for_me()
        explorer.cutoffs = found.cutoffs
        remark(plan_text(explorer, found))

    def paper() -> None:
        explorer.cutoffs = explorer.paper_cutoffs()[:most]
        remark(f"The authors took these for a vocabulary of about this size: {listed(explorer.cutoffs)}.")

    buttons = row(
        panel.button("Plan for me", plan_it, "The exact best cutoffs, with at least 75 % of the tokens in the head"),
        panel.button("The authors' cutoffs", paper),
        panel.button("Reset", explorer.reset, "Back to the first cutoffs"),
    )

    def redraw() -> None:
        redraw_picker()
        if explorer.cutoffs != noted["cutoffs"]:
            note.say("")  # it spoke of others
        if explorer.cost.name not in costs:
            costs[explorer.cost.name] = explorer.cost
        for i, pair in enumerate(pairs):
            pair.row.layout.display = None if i < len(explorer.cutoffs) else "none"
            if i < len(explorer.cutoffs):
                pair.show(explorer.cutoffs[i], len(explorer.vocabulary) - 1)
        with panel.writing():
            if cost.options != tuple(costs):
                cost.options = tuple(costs)
            n_tails.value = len(explorer.cutoffs) if len(explorer.cutoffs) <= most else None
            cost.value, widths.value = explorer.cost.name, explorer.width_rule
            d.value, batch.value = explorer.in_features, explorer.batch
        f.push(figure, *f.cut_data(explorer))
        words.say("In words: " + f.cut_sentence(explorer))

    # what is not offered is there all the same: so it is closed with the rest
    settings_rows = [row(cost, widths), row(d, batch)]
    for hidden in [*([] if settings else settings_rows), *([n_tails] if most == 1 else [])]:
        hidden.layout.display = "none"
    box = panel.box(
        picker, *(pair.row for pair in pairs), row(n_tails, buttons), *settings_rows, note, figure, words
    )  # fmt: skip
    explorer.attach(slot, safely(panel, redraw), box)
    return box


# ---------------------------------------------------------------------- this machine


def _gpu_in_sight() -> bool:
    """Whether there may be an NVIDIA GPU; told without torch, which takes seconds to load."""
    return Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi") is not None


def machine_panel(explorer: Explorer, *, slot: str = "machine") -> w.VBox:
    """Which processor this is, whose timings the predictions rest on, and a button that times this machine."""
    panel, card, done = Panel(), w.HTML(), Line()
    lengths = [("10 seconds, rough", 10.0), ("60 seconds", 60.0), ("3 minutes, best", 180.0)]
    seconds = w.Dropdown(options=lengths, value=60.0, description="time for it", style=WIDE,
                         layout=w.Layout(width="230px"))  # fmt: skip
    device = w.Dropdown(options=["cpu", "cuda"], description="device", style=WIDE, layout=w.Layout(width="150px"))
    device.layout.display = None if _gpu_in_sight() else "none"

    def calibrate(tick: Callable[[float, str], None]) -> None:
        done.say("")
        tick(0.0, "Timing this machine; leave it alone as far as you can ...")
        # here, because timing needs torch, which takes seconds to load
        from ... import calibrate as run

        folder, kept = cache_dir() / "machines", True
        try:
            writable_folder(folder)
        except OSError as error:  # better known before minutes of timing than after
            not_kept(folder / "record", error)
            kept = False
        how: dict[str, Any] = {} if kept else {"save": False}
        cost = run(device.value, seconds=float(seconds.value), progress=tick, **how)
        if not kept:
            cost.name = f"this machine: {cost.name}"
        with LOCK:
            explorer.cost = (measured_cost() if kept else None) or cost
            done.say(
                "Timed. All predictions on this page now rest on this machine"
                + ("." if kept else f", until the kernel ends: {folder} cannot be written.")
            )

    job = Job(panel, "Time this machine", calibrate, "Runs matrix products and saves the record")

    def redraw() -> None:
        cores = os.cpu_count() or 1
        rows = {"this machine": f"{cpu_name()}, {cores} logical processor{'s' * (cores > 1)}"}
        cost = explorer.cost
        record = cost.record if isinstance(cost, MeasuredCost) else None
        if record:
            rows |= f.record_rows(record, mine=cost.name.startswith("this machine"))
            if not cost.name.startswith(("this", "recorded")):
                rows["timings used"] = cost.name
        elif explorer.counted:
            rows["timings used"] = "none at hand: costs are counted, not timed, until you time this machine"
        else:
            rows["timings used"] = cost.name
        cells = "".join(f"<tr><th>{html.escape(k)}</th><td>{html.escape(v)}</td></tr>" for k, v in rows.items())
        card.value = f'<table aria-label="machine card">{cells}</table>'

    settings = row(seconds, device, forget_button(panel, explorer))
    box = panel.box(card, settings, row(job.row, job.line), done)
    explorer.attach(slot, safely(panel, redraw), box)
    return box


# ---------------------------------------------------------------------- words


def _language_box(panel: Panel, explorer: Explorer) -> tuple[w.Dropdown, Callable[[], None]]:
    options = [(name, code) for code, name in LANGUAGES.items()]
    box = w.Dropdown(options=[*options, ("own text", "")], description="language", style=WIDE)

    def choose(code: str) -> None:
        if code:
            explorer.vocabulary = load_language(code)

    panel.on_value(box, choose)

    def redraw() -> None:
        with panel.writing():
            box.value = language_of(explorer.vocabulary) or ""

    return box, redraw


def coverage_panel(explorer: Explorer, *, slot: str = "coverage") -> w.VBox:
    """A language, its rank-frequency curve with two fitted laws, and the words that a share of the tokens needs."""
    panel = Panel()
    language, redraw_language = _language_box(panel, explorer)
    state = {"share": 80.0}
    number = NumberBox(description="share of the tokens, %", unit="%", whole=False)
    figure, words = live(f.coverage_figure(explorer.vocabulary, 0.8)), Line()

    def redraw() -> None:
        redraw_language()
        pair.show(state["share"])
        f.push(figure, *f.coverage_data(explorer.vocabulary, state["share"] / 100))
        words.say("In words: " + f.coverage_sentence(explorer.vocabulary, state["share"] / 100))

    def set_share(value: float, _clip: bool) -> None:
        if not 0 < value <= 100:
            raise ValueError(f"{value:g} % is refused: a share is above 0 and at most 100 %")
        state["share"] = float(value)
        redraw()

    pair = Pair(panel, number, "share", set_share, high=100.0, step=0.1)
    box = panel.box(row(language, pair.row), figure, words)
    explorer.attach(slot, safely(panel, redraw), box)
    return box


def languages_panel(explorer: Explorer, *, slot: str = "languages") -> w.VBox:
    """Coverage of up to six languages side by side, with a table; the explorer's words come along if they are none."""
    panel = Panel()
    options = [(name, code) for code, name in LANGUAGES.items()]
    chosen = w.SelectMultiple(options=options, value=("en", "de", "fi"), rows=6, description="languages")
    figure, table, words = live(f.languages_figure([])), w.HTML(), Line()

    def redraw() -> None:
        own = [explorer.vocabulary] if language_of(explorer.vocabulary) is None else []
        codes = list(chosen.value)[: f.MOST_LINES - len(own)]
        vocabularies = comparable([*own, *map(load_language, codes)])
        f.push(figure, *f.languages_data(vocabularies))
        rows = f.languages_table(vocabularies)
        heads = {"name": "words of", "n_classes": "V", "first 2000": "in the first 2,000", "50%": "words for 50 %",
                 "80%": "for 80 %", "95%": "for 95 %", "99%": "for 99 %"}  # fmt: skip
        table.value = (
            f"<table><tr>{''.join(f'<th>{h}</th>' for h in heads.values())}</tr>"
            + "".join(f"<tr>{''.join(f'<td>{cell_text(entry[k])}</td>' for k in heads)}</tr>" for entry in rows)
            + "</table>"
        )
        words.say("In words: " + f.languages_sentence(vocabularies))
        if len(chosen.value) > len(codes):
            raise ValueError(f"{f.MOST_LINES} curves at most: {len(chosen.value) - len(codes)} of your choice left out")

    panel.on_value(chosen, lambda _: redraw())
    note = w.HTML("<small>Several: hold Ctrl (on a Mac: Command), or Shift with the arrow keys.</small>")
    box = panel.box(chosen, note, figure, table, words)
    explorer.attach(slot, safely(panel, redraw), box)
    return box


def read_words(path: str | os.PathLike[str], name: str | None = None) -> Vocabulary:
    """The words of a text, cut and folded as the lists of languages are (so that both can be compared), or of a file
    of counts, whichever it looks like."""
    try:
        return Vocabulary.read(path, tokenizer=wordfreq_tokens, name=name)
    except TypeError:  # counts: their reader knows no tokenizer
        return Vocabulary.from_counts_file(path, name=name)


def own_text_panel(explorer: Explorer, *, slot: str = "own text") -> w.VBox:
    """The reader's own words: a file picked or dropped, or a path typed."""
    panel, words = Panel(), Line()
    path = w.Text(placeholder="a path on this computer", description="or its path", continuous_update=False,
                  style=WIDE, layout=w.Layout(width="420px"))  # fmt: skip

    def take(file: str | Path, name: str) -> None:
        try:
            vocabulary = read_words(file, name)
            if len(vocabulary) < 3:
                raise ValueError(f"only {len(vocabulary)} different words")
        except Exception as error:
            reason = one_line(error).replace(str(file), name)
            raise ValueError(
                f"{name} was not read: {reason}. Way out: a plain text in UTF-8 with a few hundred words, or lines of "
                "word, tab, count; also as .gz, .xz or .bz2."
            ) from None
        explorer.vocabulary = vocabulary
        words.say(
            f"Read {name}: {vocabulary.total:,} tokens, {len(vocabulary):,} different words; this page and all "
            "lessons now use it (counts only are kept). Most frequent: "
            + " ".join(f"“{word}”" for word in (vocabulary.words or ())[:8])
            + "."
        )

    def typed(_value: Any = None) -> None:
        if path.value.strip():
            file = Path(path.value.strip()).expanduser()
            take(file, file.name or str(file))

    def back() -> None:
        explorer.vocabulary = load_language("en")
        explorer.use_in_all_lessons()
        words.say("")

    drop = FileDrop(take, panel.guarded)
    buttons = (panel.button("Read it", typed), panel.button("Back to English", back))
    box = panel.box(row(drop), row(path, *buttons), words)
    explorer.attach(slot, lambda: None, box)
    return box


# ---------------------------------------------------------------------- the lesson on clusters


def two_clusters_panel(explorer: Explorer, *, slot: str = "two clusters") -> w.VBox:
    """The U-curve of one cutoff, counted or timed, in the root or in leaves."""
    panel = Panel()
    costs = costs_at_hand(COUNTED_WORDS, explorer)
    cost = w.Dropdown(options=list(costs), description="cost model", style=WIDE, layout=w.Layout(width="430px"))
    pair = cutoff_pair(panel, explorer, 0, "cut", "words in the first cluster", "words in the first cluster")
    words, shown = Line(), {"best": False}

    def found() -> Any:
        key = ("two clusters", explorer._sizes)
        return explorer._cached(key, lambda: two_clusters(
            explorer.vocabulary, explorer.in_features, explorer.batch, cost=explorer.cost))  # fmt: skip

    if explorer.cost.name not in costs:
        explorer.cost = COUNTED_WORDS
    figure = live(f.two_clusters_figure(explorer, found()))

    def redraw() -> None:
        if explorer.cost.name not in costs:
            costs[explorer.cost.name] = explorer.cost
        with panel.writing():
            if cost.options != tuple(costs):
                cost.options = tuple(costs)
            cost.value = explorer.cost.name
        if explorer.cutoffs:
            pair.show(explorer.cutoffs[0], len(explorer.vocabulary) - 1)
        f.push(figure, *f.two_clusters_data(explorer, found()))
        words.say("In words: " + f.two_clusters_sentence(explorer, found(), shown["best"]))

    def reveal() -> None:
        shown["best"] = not shown["best"]
        f.push(figure, {4: {"visible": shown["best"]}})
        button.description = "Hide the best" if shown["best"] else "Show the best"
        redraw()

    button = panel.button("Show the best", reveal, "Marks the best cut with a star")
    panel.on_value(cost, lambda name: setattr(explorer, "cost", costs[name]))
    box = panel.box(row(cost, button), pair.row, figure, words)
    explorer.attach(slot, safely(panel, redraw), box)
    return box


def swap_panel() -> w.VBox:
    """Two clusters as areas: which share belongs to which size?"""
    panel, picture, words = Panel(), w.HTML(), Line()

    def pair(name: str, value: float, low: float, high: float, step: float) -> Pair:
        number = NumberBox(description=name, unit="", whole=step >= 1)

        def act(new: float, _clip: bool) -> None:
            if not low <= new <= high:
                raise ValueError(f"{name}: {new:,g} is refused, from {low:,g} to {high:,g} here")
            new_pair.show(new)
            redraw()

        new_pair = Pair(panel, number, name, act, low=low, high=high, step=step)
        new_pair.show(value)
        return new_pair

    pairs = [
        pair("words of the small one", 1000, 100, 5000, 100),
        pair("words of the large one", 9000, 100, 20000, 100),
        pair("share of the small one, %", 10, 0, 50, 1),
        pair("share of the large one, %", 20, 0, 50, 1),
    ]

    def redraw() -> None:
        a, b, p, q = (pair.number.value for pair in pairs)
        picture.value = f.swap_svg(int(a), int(b), p / 100, q / 100)
        words.say("In words: " + f.swap_sentence(int(a), int(b), p / 100, q / 100))

    def swap() -> None:
        p, q = pairs[2:]
        shares = p.number.value, q.number.value
        q.show(shares[0])
        p.show(shares[1])
        redraw()

    redraw()
    box = panel.box(*(pair.row for pair in pairs), row(panel.button("Swap the shares", swap)), picture, words)
    box.add_class("adasoft-long")
    replace("swap", box)
    return box


def beat_the_planner(explorer: Explorer, *, slot: str = "game") -> w.VBox:
    """The reader against the exact search, with the same number of cutoffs and the same floor on the head."""
    panel, words, verdict = Panel(), Line(), Line()
    picker, redraw_picker = cut_picker(panel, explorer)
    best: dict[Any, tuple[float, tuple[int, ...]]] = {}

    def key() -> Any:
        return (*explorer._sizes, len(explorer.cutoffs))

    def redraw() -> None:
        redraw_picker()
        share, seconds = explorer.token_shares[0], explorer.prediction.seconds
        allowed = share >= 0.75
        if allowed and explorer.cutoffs and seconds < best.get(key(), (np.inf, ()))[0]:
            best[key()] = seconds, explorer.cutoffs
        record = best.get(key())
        words.say(
            f"Now: {f.amount_text(explorer, seconds)} at {listed(explorer.cutoffs)}, "
            + f"head {f.percent(share)} of the tokens"
            + ("" if allowed else " - not allowed, the head must hold 75 %")
            + (f". Your best: {f.amount_text(explorer, record[0])} at {listed(record[1])}." if record else ".")
            + (" This counts; for time, set the cost model of section 3 to a machine's." if explorer.counted else "")
        )
        verdict.say("")

    def yours() -> tuple[float, tuple[int, ...]]:
        if key() not in best:
            raise ValueError("no allowed cut yet: move a cutoff so that the head holds at least 75 % of the tokens")
        return best[key()]

    def compare() -> None:
        record = yours()
        found = explorer.plan_for_me()
        behind = record[0] / found.time - 1
        if behind < 1e-9:
            text = "A draw: you found the optimum."
        elif behind < 0.02:
            text = f"Within {100 * behind:.2g} %: as good in practice, for the bottom of the curve is flat."
        else:
            text = f"The planner is ahead by {100 * behind:.0f} %."
        verdict.say(f"{text} You: {listed(record[1])}. {plan_text(explorer, found)}")

    def measure(tick: Callable[[float, str], None]) -> None:
        tick(0.0, "loading torch ...")
        text = duel(explorer, yours()[1], tick)
        explorer.remember("game", text)
        measured.say(text)

    measured = Line()
    job = Job(panel, "Measure both", measure, "Runs your layer and the planner's in turns, for some seconds")
    last = explorer.recall("game")
    measured.say(f"Last time: {last}" if last else "")
    buttons = row(panel.button("Compare with the planner", compare), job.row)
    box = panel.box(picker, words, buttons, verdict, job.line, measured)
    explorer.attach(slot, safely(panel, redraw), box)
    return box


#: What a duel may take: seconds by prediction, and bytes of weights with their gradients.
DUEL_SECONDS, DUEL_BYTES = 6.0, 2e9
_ROUNDS, _SETS = 9, 2


def duel(explorer: Explorer, cutoffs: Sequence[int], tick: Callable[[float, str], None]) -> str:
    """Training steps with these cutoffs and with the planner's, timed in turns on this machine, in one sentence.

    The batch is halved until the predicted time is at most `DUEL_SECONDS`; the planner plans for that batch.

    Raises:
        LookupError: no timings of any machine at hand to predict from.
        ValueError: no cutoffs, or layers too large for the memory.
    """
    from ...timing import interleave
    from ...workloads import Shape, layer_steps

    if not cutoffs:
        raise ValueError("no cutoffs to measure: choose one at least")
    own = isinstance(explorer.cost, MeasuredCost) and not explorer.counted and not explorer.cost.on_gpu
    cost = explorer.cost if own else cost_at_hand("cpu")  # it is run on the CPU
    words, d, batch = explorer.vocabulary, explorer.in_features, explorer.batch
    widths = explorer.widths_for(len(cutoffs))
    shares = np.diff([0.0, *words.cumulative[[*cutoffs, len(words)]]])[1:].tolist()
    whose = "" if cost.name.startswith("this machine") else " from another machine's timings"

    def predicted(at: int) -> tuple[float, Plan]:
        found = plan(words, d, at, cost=cost, n_tails=len(cutoffs), widths=widths, min_head_share=0.75)
        return cost.layer(len(words), cutoffs, widths, shares, d, at).seconds, found

    yours, found = predicted(batch)
    while (yours + found.time) * (_ROUNDS + _SETS) > DUEL_SECONDS and batch > 32:
        batch //= 2
        yours, found = predicted(batch)
    layers = [cost.layer(len(words), c, widths, shares, d, batch) for c in (cutoffs, found.cutoffs)]
    if sum(8.0 * layer.parameters for layer in layers) > DUEL_BYTES:
        raise ValueError(
            f"these two layers have {sum(x.parameters for x in layers):,} weights, too many to measure here: choose "
            "narrower tails or a smaller d"
        )
    tick(0.0, "building both layers ...")
    steps = {
        name: layer_steps(Shape(len(words), d, batch, tuple(c), tuple(widths)), sets=_SETS, shares=words.shares)
        for name, c in (("your layer", cutoffs), ("the planner's layer", found.cutoffs))
    }
    you, planner = interleave(steps, rounds=_ROUNDS, seconds=2 * DUEL_SECONDS, progress=tick).values()
    apart = you.q1 > planner.q3 or planner.q1 > you.q3
    won = "you are faster" if you.median < planner.median else "the planner is faster"
    return (
        f"With B = {batch:,}{'' if batch == explorer.batch else ' (so that it takes seconds)'}, "
        f"you at {listed(cutoffs)}, the planner at {listed(found.cutoffs)}. Predicted{whose}: you "
        f"{f.seconds_text(yours)}, the planner {f.seconds_text(found.time)}. Measured here, median of {you.n} steps in "
        f"turns: you {f.seconds_text(you.median)} ({f.seconds_text(you.q1)} to {f.seconds_text(you.q3)}), the planner "
        f"{f.seconds_text(planner.median)} ({f.seconds_text(planner.q1)} to {f.seconds_text(planner.q3)}). Your score, "
        f"the planner's time over yours: {found.time / yours:.2f} predicted, {planner.median / you.median:.2f} "
        f"measured; {won if apart else 'the quartiles overlap, so call it a draw'}."
    )
