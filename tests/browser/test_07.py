"""Notebook 07, the alternatives: every control by keyboard and mouse, light and dark.

Nothing here depends on how long anything takes: what is measured is only asked to be there.
"""

import pytest
from browser.gestures import (
    BROWSER,
    check,
    click,
    commit,
    drag,
    drawn,
    ended,
    every_control_was_used,
    figure_y,
    finish,
    finite,
    holds,
    opened,
    press,
    restarted,
    run_job,
    settled,
    slid,
    typed,
    until,
    value,
)

pytestmark = BROWSER

SVD, EXPERTS, STORED = 'predict("cheapest"', "experts_panel(explorer)", "pruned_panel(explorer)"
SKIP, CASE, WHICH = 'predict("pairs opened"', "case_panel(explorer)", "which_panel()"


@pytest.mark.timeout(1200)
def test_07_alternatives(lab, page, shots):
    page.set_default_timeout(120_000)  # a busy machine, and torch to load
    notebook = opened(page, lab, "07_alternatives.ipynb")

    # W and N
    svd = notebook.show_cell(SVD)
    commit(svd, "20")
    drawn(notebook, svd)
    curve = figure_y(svd, 2)
    slid(svd, "W")
    holds(notebook, "explorer.width", 7)
    until(lambda: figure_y(svd, 2), lambda new: new != curve)
    typed(svd, "width W of the preview", "12")
    holds(notebook, "explorer.width", 12)
    slid(svd, "N", "ArrowLeft")
    until(lambda: value(notebook, "explorer.n_full"), lambda n: n < 250)
    typed(svd, "words N that are re-scored", "9000")
    svd.get_by_role("alert").get_by_text("N should be from 1 to").wait_for()
    typed(svd, "words N that are re-scored", "500")
    holds(notebook, "explorer.n_full", 500)
    names = figure_y(svd, 0)
    slid(svd, "state")
    until(lambda: figure_y(svd, 0), lambda new: new != names)
    typed(svd, "hidden state, number", "3")
    holds(notebook, "explorer.place", 3)
    typed(svd, "wanted recall, %", "90")
    holds(notebook, "explorer.wanted", 90.0)
    press(svd, "Choose for me")
    svd.get_by_text("Least arithmetic for 90 %").wait_for()
    click(notebook, svd, "Time W and N")
    svd.get_by_text("Timed on").wait_for(timeout=240_000)
    ended(svd, "Time W and N")
    until(lambda: finite(svd, 4), lambda n: n >= 4)
    check(notebook.show_cell('ask("second look")'), "12.5", "That is the preview alone")
    check(notebook.show_cell('ask("promised")'), "60", "correct", by_mouse_in=notebook)

    # experts on 10 x 10 classes: train, stop, go on
    experts = notebook.show_cell(EXPERTS)
    experts.get_by_text("Nothing trained yet").wait_for()
    slid(experts, "experts")
    holds(notebook, "explorer.n_experts", 11)
    typed(experts, "number of experts K", "4")
    holds(notebook, "explorer.n_experts", 4)
    slid(experts, "threshold", "ArrowLeft")
    holds(notebook, "explorer.threshold", 0.025)
    typed(experts, "pruning threshold", "0.05")
    holds(notebook, "explorer.threshold", 0.05)
    typed(experts, "pruning threshold", "1")
    experts.get_by_role("alert").get_by_text("the threshold should be from 0 to 0.3").wait_for()
    experts.get_by_role("checkbox", name="clone them in stages (mitosis)").press("Space")
    holds(notebook, "explorer.mitosis", True)
    press(experts, "Go on")
    experts.get_by_role("alert").get_by_text("there is nothing to continue").wait_for()
    press(experts, "Train")
    until(lambda: finite(experts, 0), lambda n: n > 0)
    press(experts, "Stop")
    ended(experts, "Train")
    step = until(lambda: value(notebook, "explorer.recall('experts')['step']"), bool)
    experts.get_by_role("checkbox", name="clone them in stages (mitosis)").press("Space")
    holds(notebook, "explorer.mitosis", False)
    experts.get_by_text("These were trained with other settings").wait_for()
    experts.get_by_role("checkbox", name="clone them in stages (mitosis)").press("Space")
    holds(notebook, "explorer.mitosis", True)
    points = finite(experts, 2)
    press(experts, "Go on")
    until(lambda: finite(experts, 2), lambda n: n > points)
    press(experts, "Stop")
    ended(experts, "Train")
    until(lambda: value(notebook, "explorer.recall('experts')['step']"), lambda s: s > step)
    # to its end, which is nearer for a test
    notebook.evaluate("setattr(explorer, 'epochs', 5)")
    run_job(experts, "Train")
    until(lambda: value(notebook, "explorer.recall('experts')"), lambda kept: kept["step"] == kept["steps"] == 200)
    experts.get_by_text("4 experts (2 then 4)").wait_for()
    check(notebook.show_cell('ask("gate and expert")'), "10", "The gate is missing")

    # stored experts
    stored = notebook.show_cell(STORED)
    drawn(notebook, stored)
    stored.get_by_role("combobox", name="stored experts").select_option(index=1)
    holds(notebook, "explorer.stored", 1)
    typed(stored, "expert", "2")
    stored.get_by_text("Expert 2 knows").wait_for()
    typed(stored, "expert", "99")
    stored.get_by_role("alert").get_by_text("expert should be from 1 to").wait_for()

    # skipped tails
    skip = notebook.show_cell(SKIP)
    commit(skip, "20")
    drawn(notebook, skip)
    shares = figure_y(skip, 0)
    slid(skip, "k")
    holds(notebook, "explorer.best", 11)
    until(lambda: figure_y(skip, 0), lambda new: new != shares)
    typed(skip, "best words asked for, k", "2")
    until(lambda: figure_y(skip, 0), lambda new: new[0] < shares[0])
    slid(skip, "state")
    holds(notebook, "explorer.place", 4)
    typed(skip, "hidden state, number", "5000")
    skip.get_by_role("alert").get_by_text("hidden state should be from 1 to").wait_for()
    press(skip, "Time both ways")
    skip.get_by_text("Compared with scoring all words").wait_for(timeout=240_000)
    ended(skip, "Time both ways")
    until(lambda: finite(skip, 4), lambda n: n == 6)
    check(notebook.show_cell('ask("pairs")'), "17", "what is opened")

    # a case: recorded, refused without a bet, then measured
    case = notebook.show_cell(CASE)
    drawn(notebook, case)
    case.get_by_role("combobox", name="shown").select_option(index=1)
    case.get_by_text("RECORDED, not this machine.").wait_for()
    until(lambda: finite(case, 0), lambda n: n >= 3)
    case.get_by_role("combobox", name="shown").select_option(index=0)
    case.get_by_text("Nothing measured for this case yet").wait_for()
    press(case, "Measure the case")
    case.get_by_role("alert").get_by_text("bet first").wait_for()
    for name, text, trait in (
        ("words V", "3000", "len(explorer.vocabulary)"),
        ("hidden size d", "32", "explorer.in_features"),
        ("rows at once", "16", "explorer.batch"),
    ):
        typed(case, name, text)
        holds(notebook, trait, int(text))
    before = value(notebook, "explorer.cutoffs[0]")
    drag(notebook, case, 0, -60, lambda: until(lambda: value(notebook, "explorer.cutoffs[0]"), lambda c: c < before))
    typed(case, "cutoff 1, words", "500")
    holds(notebook, "explorer.cutoffs[0]", 500)
    settled(notebook)
    slid(case, "cutoff 1")
    until(lambda: value(notebook, "explorer.cutoffs[0]"), lambda c: c > 500)
    case.get_by_role("combobox", name="device").select_option("cpu")
    case.get_by_role("combobox", name="time for it").select_option("5 seconds")
    case.get_by_role("combobox", name="your bet").select_option("full softmax")
    holds(notebook, "explorer.bet", "full softmax")
    press(case, "Measure the case")
    case.get_by_text("You bet on full softmax").wait_for(timeout=240_000)
    ended(case, "Measure the case")
    until(lambda: finite(case, 0), lambda n: n == 5)
    case.get_by_text("Your bets so far").wait_for()
    case.get_by_role("checkbox", name="exact only").press("Space")
    holds(notebook, "explorer.exact", True)
    until(lambda: finite(case, 0), lambda n: n == 0)
    case.get_by_role("combobox", name="task").select_option("a training step")
    holds(notebook, "explorer.task", "a training step")
    case.get_by_role("combobox", name="your bet").select_option("hierarchical")
    click(notebook, case, "Measure the case")
    case.get_by_text("You bet on hierarchical").wait_for(timeout=240_000)
    ended(case, "Measure the case")
    until(lambda: finite(case, 1), lambda n: n == 4)
    settled(notebook)

    # what was chosen and measured survives a restart
    every_control_was_used(notebook)
    notebook.evaluate("explorer._choices.flush()")
    restarted(notebook)
    assert value(notebook, "(explorer.place, explorer.best, explorer.n_experts, explorer.task, explorer.bet)") == (
        4,
        2,
        4,
        "a training step",
        "hierarchical",
    )
    case = notebook.show_cell(CASE)
    until(lambda: finite(case, 0), lambda n: n == 4)
    for cell in (SVD, SKIP):
        output = notebook.show_cell(cell)
        commit(output, "10")
        drawn(notebook, output)
    until(lambda: finite(notebook.show_cell(SKIP), 4), lambda n: n == 6)
    finish(notebook, lab, shots, "07", [SVD, EXPERTS, STORED, SKIP, CASE, WHICH, 'ask("pairs")'])
