"""Notebook 07, the alternatives: every control by keyboard and mouse, light and dark.

Nothing here depends on how long anything takes: what is measured is only asked to be there.
"""

import re

import pytest
from browser.gestures import (
    BROWSER,
    check,
    click,
    commit,
    drawn,
    ended,
    every_control_was_used,
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

SCENE, SVD, EXPERTS = "methods_panel(explorer)", 'predict("cheapest"', "experts_panel(explorer)"
#: What is said of a bet, unless the machine is so busy that nothing can be said.
WON = re.compile("You bet on|Your bet is not counted")
COMPARE, CASE = 'predict("sixth"', "case_panel(explorer)"


@pytest.mark.timeout(1200)
def test_07_alternatives(lab, page, shots):
    page.set_default_timeout(120_000)  # a busy machine, and torch to load
    notebook = opened(page, lab, "07_alternatives.ipynb")

    # the scene: step by step, then by itself
    scene = notebook.show_cell(SCENE)
    lit = scene.locator(".block.lit")
    assert lit.count() == 0
    press(scene, "Step")
    until(lit.count, lambda n: n == 3)  # full, head, preview
    press(scene, "Step")
    until(lit.count, lambda n: n > 10)  # a tail, words of the second look, an expert
    press(scene, "Step")
    scene.get_by_text("The text goes on with").wait_for()
    scene.get_by_role("slider", name="SVD").press("ArrowRight")
    scene.get_by_text("SVD: N = 1,000").wait_for()
    press(scene, "Another place")
    scene.get_by_text("place 2 of 4").wait_for()
    until(lit.count, lambda n: n == 0)
    press(scene, "Play")
    scene.get_by_text("Second look.").wait_for()
    press(scene, "Pause")

    # W and N
    svd = notebook.show_cell(SVD)
    commit(svd, "40")
    svd.locator(".adasoft-window").wait_for()
    width, n_full = svd.get_by_role("slider", name="W,"), svd.get_by_role("slider", name="N,")
    result, curve = svd.locator(".result"), svd.locator(".mine")
    before, line = result.text_content(), curve.get_attribute("d")
    width.press("ArrowDown")
    holds(notebook, "explorer.width", 7)
    assert result.text_content() != before and curve.get_attribute("d") != line
    typed(svd, "width W", "12")
    holds(notebook, "explorer.width", 12)
    until(lambda: width.get_attribute("aria-valuenow"), lambda now: now == "12")
    n_full.press("ArrowLeft")
    until(lambda: value(notebook, "explorer.n_full"), lambda n: n < 250)
    typed(svd, "words N", "9000")
    svd.get_by_role("alert").get_by_text("N should be from 1 to").wait_for()
    typed(svd, "words N", "500")
    holds(notebook, "explorer.n_full", 500)
    # the ring and both edges by mouse: block, words and cost follow before the button is released
    for mark, by in ((".you", (-40, 30)), (".edge-w .knob", (0, 25)), (".edge-n .knob", (60, 0))):
        knob = svd.locator(mark)
        knob.scroll_into_view_if_needed()
        settled(notebook)
        box, before = knob.bounding_box(), (result.text_content(), svd.locator(".edge-n").get_attribute("transform"))
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + by[0], y + by[1], steps=6)
        until(
            lambda: (result.text_content(), svd.locator(".edge-n").get_attribute("transform")),
            lambda new, before=before: new != before,
        )
        page.mouse.up()
        shown = [int(slider.get_attribute("aria-valuenow")) for slider in (width, n_full)]
        until(lambda: value(notebook, "[explorer.width, explorer.n_full]"), lambda kept, shown=shown: kept == shown)
    names = svd.locator(".word").all_text_contents()
    typed(svd, "hidden state, number", "3")
    holds(notebook, "explorer.place", 3)
    until(lambda: svd.locator(".word").all_text_contents(), lambda new: new != names)
    typed(svd, "wanted recall, %", "90")
    holds(notebook, "explorer.wanted", 90.0)
    press(svd, "Choose for me")
    svd.get_by_text("Cheapest for 90 %").wait_for()
    svd.locator(".star").wait_for(state="attached")
    assert svd.locator(".guess").count() == 1
    check(notebook.show_cell('ask("second look")'), "12.5", "That is the preview alone")
    check(notebook.show_cell('ask("pairs")'), "30.5", "opens both tails", by_mouse_in=notebook)

    # experts on 10 x 10 classes: train, stop, go on
    experts = notebook.show_cell(EXPERTS)
    experts.get_by_text("Not trained yet").wait_for()
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
    points = finite(experts, 1)
    press(experts, "Go on")
    until(lambda: finite(experts, 1), lambda n: n > points)
    press(experts, "Stop")
    ended(experts, "Train")
    until(lambda: value(notebook, "explorer.recall('experts')['step']"), lambda s: s > step)
    # to its end, which is nearer for a test
    notebook.evaluate("setattr(explorer, 'epochs', 5)")
    run_job(experts, "Train")
    until(lambda: value(notebook, "explorer.recall('experts')"), lambda kept: kept["step"] == kept["steps"] == 200)
    experts.get_by_text("4 experts, cloned from 2").wait_for()
    check(notebook.show_cell('ask("gate and expert")'), "10", "The gate is missing")

    # all methods on one bench: needs by mouse and by keys, a method by focus
    compare = notebook.show_cell(COMPARE)
    commit(compare, "6")
    compare.get_by_text("doubly sparse, 16 experts").first.wait_for()
    assert compare.locator(".method").count() == 9 and compare.get_by_text("your guess").count() == 1
    mark = compare.locator(".guess-mark")
    place = mark.get_attribute("transform")
    press(compare, "Guess again")
    # else the empty box comes after the typing
    compare.get_by_role("button", name="Guess again").wait_for(state="hidden")
    commit(compare, "2")
    compare.get_by_text("This time you said 2").wait_for()
    assert mark.get_attribute("transform") == place  # the first guess stays drawn
    click(notebook, compare, "yes")
    assert compare.locator(".ruled-out").count() == 4
    compare.locator('.method[data-name="adaptive, all words"]').focus()
    compare.get_by_text("Scores the head and every tail").wait_for()
    press(compare, "same ten as the full softmax")
    press(compare, "next word found")
    press(compare, "no")
    for line in range(5):
        press(compare, f"line {line + 1}")
    compare.get_by_text("adaptive, all words").first.wait_for()
    for name in ("17,724", "1", "256", "800,000", "100,000", "20,000", "2,000", "17,724"):
        press(compare, name)
    compare.locator('.method[data-name="doubly sparse, 8 experts"]').focus()
    compare.get_by_text("A gate picks one expert").wait_for()
    press(compare, "train")
    compare.locator('.method[data-name="hierarchical"]').wait_for()
    press(compare, "100,000")
    compare.get_by_text("20 times faster than the full softmax").wait_for()
    press(compare, "find the ten best words")

    # a case: recorded, refused without a bet, then measured
    case = notebook.show_cell(CASE)
    drawn(notebook, case)
    case.get_by_role("combobox", name="shown").select_option(index=1)
    case.get_by_text("RECORDED, not this machine.").wait_for()
    until(lambda: finite(case, 0, "x"), lambda n: n >= 3)
    case.get_by_role("combobox", name="shown").select_option(index=0)
    case.get_by_text("Nothing measured for this case yet").wait_for()
    press(case, "Measure the case")
    case.get_by_role("alert").get_by_text("bet first").wait_for()
    for name, text, trait in (
        ("words V", "3000", "len(explorer.vocabulary)"),
        ("hidden size d", "32", "explorer.in_features"),
        ("hidden states at once", "16", "explorer.batch"),
    ):
        typed(case, name, text)
        holds(notebook, trait, int(text))
    typed(case, "cutoff c1", "500")
    holds(notebook, "explorer.cutoffs[0]", 500)
    typed(case, "cutoff c2", "1200")
    holds(notebook, "explorer.cutoffs[1]", 1200)
    typed(case, "cutoff c1", "5000")
    case.get_by_role("alert").get_by_text("c1 should be from 1 to").wait_for()
    case.get_by_role("combobox", name="device").select_option("cpu")
    case.get_by_role("combobox", name="measure for").select_option("5 seconds")
    bet, cells = case.get_by_role("combobox", name="your bet"), page.locator(".jp-Notebook .jp-Cell").count()
    for key in ("ArrowDown", "f", "a", "b", "d", "d"):  # the list's, not JupyterLab's commands
        bet.press(key)
    until(lambda: value(notebook, "explorer.bet"), bool)
    assert page.locator(".jp-Notebook .jp-Cell").count() == cells
    assert bet.evaluate("s => s === document.activeElement")
    bet.select_option("full softmax")
    holds(notebook, "explorer.bet", "full softmax")
    press(case, "Measure the case")
    case.get_by_text(WON).wait_for(timeout=240_000)
    ended(case, "Measure the case")
    until(lambda: finite(case, 0, "x"), lambda n: n == 5)
    case.get_by_role("checkbox", name="exact only").press("Space")
    holds(notebook, "explorer.exact", True)
    until(lambda: finite(case, 0, "x"), lambda n: n == 0)
    case.get_by_role("combobox", name="task").select_option("a training step")
    holds(notebook, "explorer.task", "a training step")
    case.get_by_role("combobox", name="your bet").select_option("hierarchical")
    click(notebook, case, "Measure the case")
    case.get_by_text(WON).wait_for(timeout=240_000)
    ended(case, "Measure the case")
    until(lambda: finite(case, 1, "x"), lambda n: n == 4)
    settled(notebook)

    # what was chosen and measured survives a restart
    every_control_was_used(notebook)
    notebook.evaluate("explorer._choices.flush()")
    restarted(notebook)
    assert value(notebook, "(explorer.place, explorer.n_experts, explorer.task, explorer.bet)") == (
        3,
        4,
        "a training step",
        "hierarchical",
    )
    case = notebook.show_cell(CASE)
    until(lambda: finite(case, 0, "x"), lambda n: n == 4)
    notebook.show_cell(SVD).locator(".guess").wait_for(state="attached")  # its guess is kept, so it is open
    finish(notebook, lab, shots, "07", [SCENE, SVD, EXPERTS, COMPARE, CASE, 'ask("pairs")'])
