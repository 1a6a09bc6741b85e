"""The panels of the lesson on the layer: widgets bound to a :class:`LayerExplorer`; `check_panels` has two more."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

import ipywidgets as w
import numpy as np

from ..kit import parts
from ..kit.cuts import cut_picker, cutoff_pair
from ..kit.explorer import MAX_TAILS
from ..kit.views import LOCK
from ..kit.widgets import NumberBox
from .bound import bound_svg
from .explorer import STATES, TOP, TRAIN_STEPS, LayerExplorer
from .figures import (
    counted_batch,
    counts_svg,
    decoding_data,
    decoding_figure,
    decoding_sentence,
    loss_svg,
    words_html,
)
from .path import layout_sentence, layout_svg, path_svg, word_sentence
from .widgets import BatchScene, batch_data


def batch_panel(explorer: LayerExplorer, *, slot: str = "batch") -> w.VBox:
    """A batch that slides into head and tails; computed in the page."""
    panel, scene = parts.Panel(), BatchScene()

    def redraw() -> None:
        _ = explorer.layer  # without cutoffs there are no tails: says so
        scene.data = batch_data(explorer)

    box = panel.box(scene)
    explorer.attach(slot, parts.safely(panel, redraw), box)
    return box


def counts_panel(explorer: LayerExplorer, *, slot: str = "tokens per cluster") -> w.VBox:
    """A whole drawn batch: tokens in each cluster beside what the counts promise, and the reader's guess."""
    panel, picture, seed = parts.Panel(), w.HTML(), 0
    size = _typed(panel, explorer, "batch", "tokens in the batch B")

    def redraw() -> None:
        with panel.writing():
            size.value = explorer.batch
        _ = explorer.layer
        picture.value = counts_svg(explorer, counted_batch(explorer, seed), explorer.recall("guess tail tokens"))

    def another() -> None:
        nonlocal seed
        seed += 1
        redraw()

    box = panel.box(parts.row(size, panel.button("Draw another", another)), picture)
    explorer.attach(slot, parts.safely(panel, redraw), box)
    return box


def layout_panel(explorer: LayerExplorer, *, slot: str = "layout") -> w.VBox:
    """The authors' layer for Text8 and the reader's, to scale."""
    panel, picture, words = parts.Panel(), w.HTML(), parts.Line()

    def redraw() -> None:
        picture.value = layout_svg(explorer)
        words.say(layout_sentence(explorer))

    box = panel.box(picture, words)
    explorer.attach(slot, parts.safely(panel, redraw), box)
    return box


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


#: Beside the hidden states of a layer that knows the counts only.
ALIKE = "the same for all until you train (section 6)"


def word_panel(explorer: LayerExplorer, *, slot: str = "word") -> w.VBox:
    """One word after one hidden state: its products, its loss in parts, and that all words sum to one."""
    panel, words, picture = parts.Panel(), parts.Line(), w.HTML()
    instruction = w.HTML("Type a word, or move its rank. Then drag a cutoff past it.")
    picker, redraw_picker = cut_picker(panel, explorer, height=190)
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
    state = _pair(panel, explorer, "state", "hidden state", "number of the hidden state", high=float(STATES), step=1.0)
    alike = w.HTML()

    def redraw() -> None:
        redraw_picker()
        alike.value = "" if explorer.losses else ALIKE
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
        share = float(explorer.vocabulary.shares[explorer.rank])
        picker.mark = [explorer.rank + 1, share, explorer.word_name(explorer.rank).strip("“”")]
        reading = explorer.reading()
        picture.value = path_svg(explorer, reading)
        words.say(word_sentence(explorer, reading))

    reset = panel.button("Reset", explorer.reset, "Back to the start: sizes, cutoffs, word, hidden state")
    box = panel.box(
        instruction,
        parts.row(text, rank.row),
        panel.problem,
        picker,
        picture,
        words,
        parts.row(state.row, alike),
        *(pair.row for pair in cuts),
        parts.row(n_tails, *sizes.values(), reset),
    )
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
        told = ""
        try:
            losses = explorer.train(steps, progress=tick, stop=stopped.is_set)
            if not stopped.is_set() and len(losses) < steps:
                told = "Stopped, because the words, d or the cutoffs changed. Press Train for the new ones."
            elif not losses:
                told = "Stopped before the first step."
        except Exception as error:
            panel.problem.say(f"{type(error).__name__}: {parts.one_line(error)}")
        finally:
            with LOCK:
                start.disabled, stop.disabled = False, True
                redraw()  # a training that ends before its first step changes nothing else
                if told:
                    words.say(told)

    def begin() -> None:
        _ = explorer.layer  # without cutoffs there is nothing to train: says so
        stopped.clear()
        start.disabled, stop.disabled, bar.value = True, False, 0
        words.say("Training ...")
        threading.Thread(target=work, daemon=True).start()

    def halt() -> None:
        stopped.set()
        stop.disabled = True
        if not bar.value:  # what PyTorch loads before the first step cannot be interrupted
            words.say("Stopping: PyTorch still loads its optimizer ...")

    def redraw() -> None:
        losses = explorer.losses
        if start.disabled and not losses:
            return
        show(losses)
        counts, least = explorer.entropies
        if losses:
            recent = float(np.mean(losses[-20:]))
            words.say(
                f"{len(losses)} steps of {explorer.batch:,} tokens. The loss was {losses[0]:.2f} nats per "
                f"token and is {recent:.2f} now (mean of the last {min(20, len(losses))} steps); the counts alone give "
                f"{counts:.2f}, knowing the context would give {least:.2f}."
            )
        else:
            words.say(f"Not trained yet. The layer knows the counts only: {counts:.2f} nats per token.")

    start = panel.button("Train", begin, "Train the layer for these words and cutoffs")
    stop = panel.button("Stop", halt, "Stop training and keep what was learned")
    forget = panel.button("Back to the counts", explorer.untrain, "Forget all training")
    stop.disabled = True
    box = panel.box(parts.row(start, stop, forget, bar), picture, words)
    explorer.attach(slot, parts.safely(panel, redraw), box)
    return box


#: What stands above the controls of the last panel; a layer that is not trained says the same after every state.
TO_DECODE = (
    "Slide <b>k</b> from 1 to 10: the first rule stops helping. Then move the <b>hidden state</b>: where the dashed "
    "line lies to the right of the solid one, the second rule closes the tail."
)
UNTRAINED = (
    "<b>This layer is not trained</b> (a restart or a moved cutoff forgets it); the answer above is a trained layer's. "
    "Press Train in section 6: until then, all below shows the counts alone."
)


def decoding_panel(explorer: LayerExplorer, *, slot: str = "decoding") -> w.VBox:
    """The k best words, and which tails had to be opened for them."""
    panel, words, best = parts.Panel(), parts.Line(), w.HTML()
    instruction = w.HTML()
    k = _pair(panel, explorer, "k", "k", "best words asked for, k", "best words", high=float(TOP[-1]), step=1.0)
    state = _pair(panel, explorer, "state", "hidden state", "number of the hidden state", high=float(STATES), step=1.0)
    figure = parts.live(decoding_figure(explorer))
    second, drawing = w.Checkbox(True, description="with the second rule", indent=False), w.HTML()

    def reset() -> None:
        explorer.state, explorer.k = 1, 1

    def redraw() -> None:
        instruction.value = TO_DECODE if explorer.losses else UNTRAINED
        k.show(explorer.k)
        state.show(explorer.state)
        figure.push(*decoding_data(explorer, second.value))
        best.value = words_html(explorer)
        words.say(decoding_sentence(explorer, second.value))
        drawing.value = bound_svg(explorer, min(explorer.k, len(explorer.vocabulary))) if second.value else ""

    panel.on_value(second, lambda _: redraw())

    box = panel.box(
        instruction,
        k.row,
        figure,
        words,
        parts.row(state.row, second, panel.button("Reset", reset)),
        panel.problem,
        best,
        drawing,
    )
    explorer.attach(slot, parts.safely(panel, redraw), box)
    return box
