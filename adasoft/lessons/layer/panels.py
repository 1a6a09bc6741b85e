"""The panels of the lesson on the layer: widgets bound to a :class:`LayerExplorer`."""

from __future__ import annotations

import html
import math
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import ipywidgets as w
import numpy as np

from ..kit import parts
from ..kit.cuts import cut_picker, cutoff_pair
from ..kit.explorer import MAX_TAILS
from ..kit.views import LOCK
from ..kit.widgets import NumberBox
from .comparisons import (
    CASES,
    drop_in_case,
    drop_in_table,
    drop_in_verdict,
    gradient_check,
    gradient_table,
    parameter_names,
)
from .explorer import STATES, TOP, TRAIN_STEPS, LayerExplorer
from .figures import (
    curve_svg,
    decoding_data,
    decoding_figure,
    decoding_sentence,
    loss_svg,
    path_svg,
    routed_batch,
    word_data,
    word_figure,
    word_sentence,
)


def _typed(panel: parts.Panel, explorer: LayerExplorer, name: str, text: str) -> NumberBox:
    """A number box for a trait of the explorer; a refused number gives way to the one that holds."""
    box = NumberBox(value=getattr(explorer, name), description=text)
    panel.on_number(box, partial(setattr, explorer, name), partial(getattr, explorer, name))
    return box


def _pair(
    panel: parts.Panel, explorer: LayerExplorer, name: str, text: str, number_text: str, unit: str = "", **limits: Any
) -> parts.Pair:
    """Slider and number box of a whole-number trait."""
    number = NumberBox(description=number_text, unit=unit)
    return parts.Pair(panel, number, text, lambda value, _clip: setattr(explorer, name, round(value)), **limits)


def word_panel(explorer: LayerExplorer, *, slot: str = "word") -> w.VBox:
    """One word after one hidden state: which products, the loss in two parts, and that all words sum to one."""
    panel, words, picture = parts.Panel(), parts.Line(), w.HTML()
    picker, redraw_picker = cut_picker(panel, explorer, height=200)
    names = [f"cutoff {i + 1}" for i in range(MAX_TAILS)]
    cuts = [cutoff_pair(panel, explorer, i, name, f"{name}, words") for i, name in enumerate(names)]
    n_tails = w.Dropdown(
        options=list(range(1, MAX_TAILS + 1)),
        description="number of cutoffs",
        style=parts.WIDE,
        layout=w.Layout(width="190px"),
    )
    panel.on_value(n_tails, explorer.set_n_tails)
    sizes = {
        "n_words": _typed(panel, explorer, "n_words", "words V"),
        "in_features": _typed(panel, explorer, "in_features", "hidden size d"),
    }
    text = w.Text(description="word", continuous_update=False, style=parts.WIDE, layout=w.Layout(width="150px"))

    def look_up(value: str) -> None:
        try:
            explorer.choose(value)
        except Exception:
            redraw_words()
            raise

    def redraw_words() -> None:
        with panel.writing():
            text.value = explorer.word_name(explorer.rank).strip("“”")

    panel.on_value(text, look_up)
    rank = _pair(panel, explorer, "word", "rank", "rank of the word", log=True, high=float(len(explorer.vocabulary)))
    state = _pair(panel, explorer, "state", "state", "hidden state, number", high=float(STATES), step=1.0)
    figure = parts.live(word_figure(explorer))

    def redraw() -> None:
        redraw_picker()
        for i, pair in enumerate(cuts):
            pair.row.layout.display = None if i < len(explorer.cutoffs) else "none"
            if i < len(explorer.cutoffs):
                pair.show(explorer.cutoffs[i], len(explorer.vocabulary) - 1)
        with panel.writing():
            n_tails.value = len(explorer.cutoffs) or None
            for name, box in sizes.items():
                box.value = getattr(explorer, name)
        redraw_words()
        rank.show(explorer.rank + 1, len(explorer.vocabulary))
        state.show(explorer.state)
        reading = explorer.reading()
        picture.value = path_svg(explorer, reading)
        figure.push(*word_data(explorer, reading))
        words.say("In words: " + word_sentence(explorer, reading))

    reset = panel.button("Reset", explorer.reset, "Back to the start: sizes, cutoffs, word, hidden state")
    box = panel.box(
        picker,
        *(pair.row for pair in cuts),
        parts.row(n_tails, *sizes.values(), reset),
        parts.row(text, rank.row),
        state.row,
        picture,
        figure,
        words,
    )
    explorer.attach(slot, parts.safely(panel, redraw), box)
    return box


def routing_panel(explorer: LayerExplorer, *, slot: str = "routing") -> w.VBox:
    """A drawn batch before and after its one sort; tokens per cluster beside what the counts promise."""
    panel, picture, table, words = parts.Panel(), w.HTML(), w.HTML(), parts.Line()
    shown: dict[str, Any] = {"tokens": 28, "seed": 0, "padding": False}
    number = NumberBox(description="tokens drawn", unit="")
    padding = w.Checkbox(False, description="every fifth target is padding (ignored)", indent=False)

    def set_tokens(value: float, _clip: bool) -> None:
        if not 4 <= value <= 60:
            raise ValueError(f"{value:g} tokens are refused: the picture takes 4 to 60")
        shown["tokens"] = round(value)
        redraw()

    tokens = parts.Pair(panel, number, "tokens", set_tokens, low=4.0, high=60.0, step=1.0)

    def redraw() -> None:
        tokens.show(shown["tokens"])
        with panel.writing():
            padding.value = shown["padding"]
        layer = explorer.layer
        batch = routed_batch(explorer, shown["tokens"], shown["seed"], shown["padding"])
        picture.value = batch.svg(explorer)
        sizes = np.diff([0, *layer.cutoffs])
        rows = [
            (name, f"{size:,}", str(here), f"{drawn:,}", f"{explorer.batch * share:,.1f}")
            for name, size, here, drawn, share in zip(
                explorer.names, sizes, batch.sizes[:-1], batch.drawn, explorer.token_shares, strict=True
            )
        ]
        heads = ("targets in", "its words", "tokens above", f"tokens of {explorer.batch:,}", "expected, B p")
        table.value = _table(heads, rows)
        some = [f"tail {i + 1} gets the next {size}" for i, size in enumerate(batch.sizes[1:-1])]
        count, in_tails = sum(batch.sizes[:-1]), sum(batch.sizes[1:-1])
        words.say(
            f"In words: {count} of {len(batch.clusters)} tokens count, and the head's product sees them all. After the "
            f"sort, the first {batch.sizes[0]} need no more; {', '.join(some)}; {batch.sizes[-1]} ignored come last. "
            f"Rows in all products together: {count + in_tails}; every token in every cluster would be "
            f"{count * (1 + layer.n_clusters)}."
        )

    def another() -> None:
        shown["seed"] += 1
        redraw()

    def pad(value: bool) -> None:
        shown["padding"] = value
        redraw()

    panel.on_value(padding, pad)
    buttons = parts.row(panel.button("Draw another batch", another), padding)
    box = panel.box(tokens.row, buttons, picture, table, words)
    explorer.attach(slot, parts.safely(panel, redraw), box)
    return box


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, left: bool = False) -> str:
    """An HTML table; ``left`` for cells that hold sentences."""
    style = ' style="text-align:left"' if left else ""
    head = "".join(f"<th{style}>{html.escape(h)}</th>" for h in heads)
    body = "".join("<tr>" + "".join(f"<td{style}>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def gradient_panel(explorer: LayerExplorer, *, slot: str = "gradients") -> w.VBox:
    """One weight's gradient by backward and by finite differences; every parameter's, ours and PyTorch's."""
    panel, pair_table, picture, table, words = parts.Panel(), w.HTML(), w.HTML(), w.HTML(), parts.Line()
    shown: dict[str, Any] = {"name": "head.weight", "row": 0, "column": 0, "step": -5.0, "skip": False}
    name = w.Dropdown(
        options=["head.weight"], description="parameter", style=parts.WIDE, layout=w.Layout(width="240px")
    )
    row, column = NumberBox(description="row, from 0"), NumberBox(description="column, from 0")
    skip = w.Checkbox(False, description="a batch without tokens of the last tail", indent=False)
    power = NumberBox(description="step, power of ten", unit="power of ten", whole=False)

    def change(what: str) -> Callable[[Any], None]:
        def act(value: Any) -> None:
            before = dict(shown)
            shown[what] = value
            if what == "name":
                shown["row"] = shown["column"] = 0
            try:
                draw()
            except Exception:
                shown.update(before)
                draw()
                raise

        return act

    def set_step(value: float, _clip: bool) -> None:
        if not -12 <= value <= 0:
            raise ValueError(f"{value:g} is refused: the step goes from -12 (a trillionth) to 0 (one)")
        change("step")(float(value))

    step = parts.Pair(panel, power, "step ε", set_step, low=-12.0, high=0.0, step=0.25)
    for what, control in (("name", name), ("skip", skip)):
        panel.on_value(control, change(what))
    for what, number in (("row", row), ("column", column)):
        panel.on_number(number, change(what), partial(shown.__getitem__, what))

    def redraw() -> None:
        # after a cutoff moved, a parameter or a row may be gone; what the reader types is refused instead
        weights = dict(explorer.layer.named_parameters())
        if shown["name"] not in weights:
            shown.update(name="head.weight", row=0, column=0)
        rows, columns = weights[shown["name"]].shape
        shown.update(row=min(shown["row"], rows - 1), column=min(shown["column"], columns - 1))
        draw()

    def draw() -> None:
        names = parameter_names(explorer)
        key = ("gradient", explorer.layer, explorer.confidence, *shown.values())
        check = explorer._cached(
            key,
            lambda: gradient_check(
                explorer, shown["name"], shown["row"], shown["column"], shown["step"], shown["skip"]
            ),
        )
        key = ("gradients", explorer.layer, explorer.confidence, shown["skip"])
        rows = explorer._cached(key, lambda: gradient_table(explorer, shown["skip"]))
        with panel.writing():
            if name.options != tuple(names):
                name.options = tuple(names)
            name.value, row.value, column.value, skip.value = (shown[k] for k in ("name", "row", "column", "skip"))
        step.show(shown["step"])
        pair_table.value = _table(
            ("d loss / d " + f"{shown['name']}[{shown['row']}, {shown['column']}]", ""),
            [
                ("backward()", f"{check.analytic:+.15e}"),
                (f"(L(θ + ε) − L(θ − ε)) / 2ε, ε = {10.0 ** shown['step']:.2g}", f"{check.numeric:+.15e}"),
                ("relative difference", f"{check.error:.1e}"),
            ],
        )
        picture.value = curve_svg(check, shown["step"])
        table.value = _table(
            ("parameter", "shape", "tokens", "|gradient|, ours", "PyTorch's layer"),
            [
                (
                    r.name,
                    " x ".join(f"{n:,}" for n in r.shape),
                    str(r.tokens),
                    f"{r.ours:.6g}",
                    "None" if r.stock is None else f"{r.stock:.6g}",
                )
                for r in rows
            ],
        )
        digits = -math.log10(max(check.error, 1e-16))
        best = min(check.curve, key=lambda point: point[1])
        unset = [r.name for r in rows if r.stock is None]
        words.say(
            f"In words: with this step the two agree to {max(0.0, digits):.1f} digits; of the steps drawn, "
            f"{best[0]:.0e} agrees best. "
            + (
                f"No token used {', '.join(unset)}: ours has zeros there, PyTorch's layer no gradient at all."
                if unset
                else "Each parameter was used by some token, and each has a gradient in both layers."
            )
        )

    box = panel.box(parts.row(name, row, column), step.row, pair_table, picture, skip, table, words)
    explorer.attach(slot, parts.safely(panel, redraw), box)
    return box


def drop_in_panel(explorer: LayerExplorer, *, slot: str = "drop-in") -> w.VBox:
    """PyTorch's layer and ours with the same weights: their numbers, and what only one of them takes."""
    panel, table, tried, words = parts.Panel(), w.HTML(), w.HTML(), parts.Line()
    case = w.Dropdown(
        options=list(CASES),
        value="padding (targets of -100)",
        description="hand both layers",
        style=parts.WIDE,
        layout=w.Layout(width="420px"),
    )

    def redraw() -> None:
        key = (explorer.vocabulary, explorer.in_features, explorer.cutoffs)
        table.value = _table(
            ("torch.nn.AdaptiveLogSoftmaxWithLoss and ours", "found"),
            explorer._cached(("drop-in", key), lambda: drop_in_table(explorer)),
        )
        stock, ours = explorer._cached(("case", case.value, key), lambda: drop_in_case(explorer, case.value))
        tried.value = _table(("", CASES[case.value][0]), [("PyTorch's layer", stock), ("ours", ours)], left=True)
        words.say(f"In words: for {case.value}: {drop_in_verdict(stock, ours)}")

    panel.on_value(case, lambda _: redraw())
    box = panel.box(table, case, tried, words)
    explorer.attach(slot, parts.safely(panel, redraw), box)
    return box


def train_panel(explorer: LayerExplorer, *, steps: int = TRAIN_STEPS, slot: str = "training") -> w.VBox:
    """Trains the layer for these cutoffs in the background, with progress and a stop."""
    panel, picture, words = parts.Panel(), w.HTML(), parts.Line()
    bar = w.IntProgress(0, min=0, max=steps, description="step", style=parts.WIDE, layout=w.Layout(width="300px"))
    stopped = threading.Event()

    def show(losses: Sequence[float]) -> None:
        bar.value = len(losses)
        picture.value = loss_svg(losses, explorer.entropies, steps)

    def tick(step: int, losses: list[float]) -> None:
        if step % 10 == 0:
            with LOCK:
                show(losses)

    def work() -> None:
        try:
            losses = explorer.train(steps, progress=tick, stop=stopped.is_set)
            if len(losses) < steps and not stopped.is_set():
                words.say("In words: stopped, for the words, d or the cutoffs changed. Press Train for the new ones.")
        except Exception as error:
            panel.problem.say(f"{type(error).__name__}: {parts.one_line(error)}")
        finally:
            start.disabled, stop.disabled = False, True

    def begin() -> None:
        _ = explorer.layer  # without cutoffs there is nothing to train: says so
        stopped.clear()
        start.disabled, stop.disabled = True, False
        words.say("In words: training ...")
        threading.Thread(target=work, daemon=True).start()

    def redraw() -> None:
        losses = explorer.losses
        if start.disabled and not losses:
            return
        show(losses)
        counts, least = explorer.entropies
        if losses:
            recent = float(np.mean(losses[-20:]))
            words.say(
                f"In words: {len(losses)} steps of {explorer.batch:,} tokens. The loss was {losses[0]:.2f} nats per "
                f"token and is {recent:.2f} now (mean of the last {min(20, len(losses))} steps); the counts alone give "
                f"{counts:.2f}, knowing each situation would give {least:.2f}."
            )
        else:
            words.say(f"In words: not trained here. The layer knows the counts only: {counts:.2f} nats per token.")

    start = panel.button("Train", begin, "Train the layer for these words and cutoffs")
    stop = panel.button("Stop", stopped.set, "Stop training and keep what was learned")
    forget = panel.button("Back to the counts", explorer.untrain, "Forget all training")
    stop.disabled = True
    box = panel.box(parts.row(start, stop, forget, bar), picture, words)
    explorer.attach(slot, parts.safely(panel, redraw), box)
    return box


def decoding_panel(explorer: LayerExplorer, *, slot: str = "decoding") -> w.VBox:
    """When the k best words need a tail, and when not."""
    panel, words = parts.Panel(), parts.Line()
    k = _pair(
        panel, explorer, "k", "k", "best words asked for, k", "best words asked for", high=float(TOP[-1]), step=1.0
    )
    number = NumberBox(description="confidence (times the state)", unit="times the state", whole=False)
    confidence = parts.Pair(
        panel,
        number,
        "confidence",
        lambda value, _clip: setattr(explorer, "confidence", round(value, 3)),
        low=0.1,
        high=10.0,
        step=0.1,
    )
    state = _pair(panel, explorer, "state", "state", "hidden state, number", high=float(STATES), step=1.0)
    figure = parts.live(decoding_figure(explorer))

    def reset() -> None:
        explorer.confidence, explorer.k = 1.0, 10

    def redraw() -> None:
        k.show(explorer.k)
        confidence.show(explorer.confidence)
        state.show(explorer.state)
        figure.push(*decoding_data(explorer))
        words.say("In words: " + decoding_sentence(explorer))

    box = panel.box(k.row, confidence.row, parts.row(state.row, panel.button("Reset", reset)), figure, words)
    explorer.attach(slot, parts.safely(panel, redraw), box)
    return box
