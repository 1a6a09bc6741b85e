"""The panels that check the layer: its gradients against finite differences, and PyTorch's layer beside it."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import ipywidgets as w

from ..kit import parts
from ..kit.tables import html_table
from ..kit.widgets import NumberBox
from .comparisons import (
    CASES,
    FIRST_COLUMN,
    RIGHT,
    drop_in_case,
    drop_in_table,
    drop_in_verdict,
    gradient_check,
    gradient_table,
    parameter_names,
)
from .drawing import power_of_ten
from .explorer import LayerExplorer
from .figures import curve_svg

#: What stands above the controls of the gradient panel.
TO_CHECK = (
    "Move the <b>step ε</b>, then choose another weight. At the end tick "
    "<b>a batch without tokens of the last tail</b>."
)


def called(name: str) -> str:
    """A parameter by the lesson's name and the code's: tail 1 · tail.0.0.weight."""
    part, *rest = name.split(".")
    return f"tail {int(rest[0]) + 1} · {name}" if part == "tail" else name


def gradient_panel(explorer: LayerExplorer, *, slot: str = "gradients") -> w.VBox:
    """One weight's gradient by backward and by finite differences; every parameter's, ours and PyTorch's."""
    panel, pair_table, picture, table, words = parts.Panel(), w.HTML(), w.HTML(), w.HTML(), parts.Line()
    shown: dict[str, Any] = {"name": "head.weight", "row": 0, "column": FIRST_COLUMN, "step": -5.0, "skip": False}
    name = w.Dropdown(
        options=["head.weight"], description="parameter", style=parts.WIDE, layout=w.Layout(width="280px")
    )
    row, column = (NumberBox(description=f"{what}, from 0", width="70px") for what in ("row", "column"))
    skip = w.Checkbox(False, description="a batch without tokens of the last tail", indent=False)
    power = NumberBox(description="step, power of ten", unit="power of ten", whole=False)

    def change(what: str) -> Callable[[Any], None]:
        def act(value: Any) -> None:
            before = dict(shown)
            shown[what] = value
            if what == "name":
                shown.update(row=0, column=FIRST_COLUMN)
            try:
                draw()
            except Exception:
                shown.update(before)
                draw()
                raise

        return act

    def set_step(value: float, _clip: bool) -> None:
        if not -12 <= value <= 0:
            raise ValueError(f"the step should be from -12 (a trillionth) to 0 (one), got {value:g}")
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
            shown.update(name="head.weight", row=0, column=FIRST_COLUMN)
        rows, columns = weights[shown["name"]].shape
        shown.update(row=min(shown["row"], rows - 1), column=min(shown["column"], columns - 1))
        draw()

    def draw() -> None:
        names = parameter_names(explorer)
        key = ("gradient", explorer.layer, *shown.values())
        check = explorer._cached(
            key,
            lambda: gradient_check(
                explorer, shown["name"], shown["row"], shown["column"], shown["step"], shown["skip"]
            ),
        )
        key = ("gradients", explorer.layer, shown["skip"])
        rows = explorer._cached(key, lambda: gradient_table(explorer, shown["skip"]))
        with panel.writing():
            options = tuple((called(one), one) for one in names)
            if name.options != options:
                name.options = options
            name.value, row.value, column.value, skip.value = (shown[k] for k in ("name", "row", "column", "skip"))
        step.show(shown["step"])
        pair_table.value = html_table(
            [
                ("backward()", f"{check.analytic:+.15e}"),
                (f"(L(θ + ε) − L(θ − ε)) / 2ε, ε = {10.0 ** shown['step']:.2g}", f"{check.numeric:+.15e}"),
                ("relative difference", f"{check.error:.1e}"),
            ],
            (f"∂L / ∂ {shown['name']}[{shown['row']}, {shown['column']}]", ""),
            label="the gradient of one weight in two ways",
        )
        picture.value = curve_svg(check, shown["step"], explorer.recall("guess digits"))
        # what the tick is for: without it, both layers say the same of every parameter
        table.value = (
            ""
            if not shown["skip"]
            else html_table(
                [
                    (
                        called(r.name),
                        str(r.tokens),
                        f"{r.ours:.6g}",
                        "None" if r.stock is None else f"{r.stock:.6g}",
                    )
                    for r in rows
                ],
                ("parameter", "tokens", "|gradient|, ours", "PyTorch's layer"),
                label="gradients of all parameters",
                scrolls=True,
            )
        )
        digits = -math.log10(max(check.error, 1e-16))
        best = round(math.log10(min(check.curve, key=lambda point: point[1])[0]))
        agreement = (
            "Both are exactly zero, for no token used this weight: there is nothing to compare. "
            if check.analytic == check.numeric == 0
            else f"With this step the two agree to {max(0.0, digits):.1f} digits; of the steps drawn, "
            f"ε = {power_of_ten(best)} agrees best. "
        )
        unset = [called(r.name) for r in rows if r.stock is None]
        words.say(
            agreement
            + (
                f"No token used {', '.join(unset)}: ours has zeros there, PyTorch's no gradient at all."
                if unset
                else ""
            )
        )

    instruction = w.HTML(TO_CHECK)
    box = panel.box(
        instruction, parts.row(name, row, column), panel.problem, step.row, picture, words, pair_table, skip, table
    )
    explorer.attach(slot, parts.safely(panel, redraw), box)
    return box


def drop_in_panel(explorer: LayerExplorer, *, slot: str = "drop-in") -> w.VBox:
    """PyTorch's layer and ours with the same weights: their numbers, and what only one of them takes."""
    panel, table, tried, words = parts.Panel(), w.HTML(), w.HTML(), parts.Line()
    case = w.Dropdown(
        options=list(CASES),
        description="give both layers",
        style=parts.WIDE,
        layout=w.Layout(width="420px"),
    )

    def redraw() -> None:
        key = (explorer.vocabulary, explorer.in_features, explorer.cutoffs)
        table.value = html_table(
            explorer._cached(("drop-in", key), lambda: drop_in_table(explorer)),
            ("torch.nn.AdaptiveLogSoftmaxWithLoss and ours", "found"),
            label="both layers with the same weights",
        )
        stock, ours = explorer._cached(("case", case.value, key), lambda: drop_in_case(explorer, case.value))
        tried.value = html_table(
            [("PyTorch's layer", stock), ("ours", ours)],
            ("", CASES[case.value][0]),
            label="what each answers",
            sentences=True,
        )
        words.say(f"{case.value[0].upper()}{case.value[1:]}: {drop_in_verdict(stock, ours, RIGHT.get(case.value, ''))}")

    panel.on_value(case, lambda _: redraw())
    # the table is the same for all cases: above them
    box = panel.box(table, case, tried, words)
    explorer.attach(slot, parts.safely(panel, redraw), box)
    return box
