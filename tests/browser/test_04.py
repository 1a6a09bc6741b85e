"""Notebook 04, live timing: every control by keyboard and mouse, light and dark.

Nothing here depends on how long anything takes: what is measured is only asked to be there.
"""

import pytest
from browser.gestures import (
    BROWSER,
    at_x,
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
    plan_authors_reset,
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

RACE, LOG = "layer_race_panel(explorer)", "Log of measurements"
MACHINE, CUTS = "machine_panel(explorer)", "cut_panel(explorer)"
LIVE, CURVE = 'predict("PyTorch beside ours"', 'predict("beside the bottom"'


@pytest.mark.timeout(1200)
def test_04_live_timing(lab, page, shots):
    page.set_default_timeout(120_000)  # a busy machine, and torch to load
    notebook = opened(page, lab, "04_live_timing.ipynb")
    race = notebook.show_cell(RACE)
    race.get_by_role("textbox", name="your guess").fill("8")
    race.get_by_role("textbox", name="your guess").press("Enter")
    race.get_by_text("You guessed 8.").wait_for()
    race.get_by_role("button", name="Start").press("Enter")
    race.get_by_text("While the full softmax does one step, our layer does 17").wait_for()
    machine = notebook.show_cell(MACHINE)
    machine.get_by_text("a recorded machine, not this one").wait_for()
    cuts = notebook.show_cell(CUTS)
    cuts.locator(".adasoft-cut .handle").first.wait_for()
    check(notebook.show_cell('ask("which number")'), "18.2", "That is the mean")
    check(notebook.show_cell('ask("which number")'), "11", "correct", by_mouse_in=notebook)

    # side by side
    live = notebook.show_cell(LIVE)
    commit(live, "5")
    drawn(notebook, live)
    live.get_by_text("Nothing measured at these settings yet").wait_for()
    live.get_by_text("Estimated time").wait_for()
    assert finite(live, 0, "x") == 0 and finite(live, 1, "x") == 3
    live.get_by_role("button", name="Device, numbers").press("Enter")
    live.get_by_role("button", name=LOG).press("Enter")
    for name, text, trait in (
        ("words V", "4000", "len(explorer.vocabulary)"),
        ("hidden size d", "64", "explorer.in_features"),
        ("tokens per step B", "64", "explorer.batch"),
    ):
        typed(live, name, text)
        holds(notebook, trait, int(text))
    holds(notebook, "explorer.cutoffs", (1200,))
    typed(live, "words V", "2")
    live.get_by_role("alert").get_by_text("V should be at least 3").wait_for()
    typed(live, "words V", "400000")  # impossible: refused, not silently changed
    live.get_by_role("alert").get_by_text("V should be at most 321,180").wait_for()
    holds(notebook, "len(explorer.vocabulary)", 4000)
    live.get_by_role("combobox", name="measure for").select_option("5 seconds")
    live.get_by_role("combobox", name="device").select_option("cpu")
    run_job(live, "Measure in turns")
    live.get_by_text("Measured here.").wait_for()
    live.get_by_role("table").get_by_text("V = 4,000").first.wait_for()
    until(lambda: finite(live, 0, "x"), lambda n: n == 4)
    click(notebook, live, "Time them wrongly")
    live.get_by_text("Timed wrongly (once, cold").wait_for(state="attached")
    ended(live, "Time them wrongly")
    until(lambda: finite(live, 2, "x"), lambda n: n == 4)
    live.get_by_role("combobox", name="numbers").select_option("bfloat16")
    until(lambda: finite(live, 0, "x"), lambda n: n == 0)
    live.get_by_text("Nothing is predicted for bfloat16").first.wait_for(state="attached")
    live.get_by_role("combobox", name="numbers").select_option("float32")
    until(lambda: finite(live, 0, "x"), lambda n: n == 4)
    for name in ("full softmax", "PyTorch's layer", "our plan"):
        live.get_by_role("checkbox", name=name).uncheck()
    until(lambda: finite(live, 1, "x"), lambda n: n == 1)
    live.get_by_role("checkbox", name="ours").uncheck()
    live.get_by_role("alert").get_by_text("nothing is ticked").wait_for()
    live.get_by_role("checkbox", name="ours").check()
    live.get_by_role("checkbox", name="full softmax").press("Space")
    until(lambda: finite(live, 1, "x"), lambda n: n == 2)
    for name in ("PyTorch's layer", "our plan"):
        live.get_by_role("checkbox", name=name).check()
    until(lambda: finite(live, 1, "x"), lambda n: n == 3)

    scaled = live.get_by_role("checkbox", name="scale the prediction to my points")
    before = at_x(live, 1)
    scaled.check()
    until(lambda: at_x(live, 1), lambda x: x != before)
    scaled.uncheck()

    # the log is there to click through; recorded machines say so
    shown = live.get_by_role("combobox", name="shown")
    shown.select_option(index=1)
    live.get_by_text("Measured here on 20").wait_for()
    shown.select_option(index=2)
    live.get_by_text("RECORDED on another machine").wait_for()
    until(lambda: figure_y(live, 0)[0], lambda y: y == "products alone")
    settled(notebook)
    live.screenshot(path=shots / "04_recorded_light.png")
    shown.select_option(index=0)
    until(lambda: figure_y(live, 0)[0], lambda y: y == "our plan")

    # what is too large for the memory is refused
    typed(live, "tokens per step B", "1048576")
    typed(live, "hidden size d", "1048576")
    holds(notebook, "explorer.in_features", 1048576)
    press(live, "Measure in turns")
    live.get_by_role("alert").get_by_text("leave the full softmax out").wait_for()
    ended(live, "Measure in turns")
    typed(live, "tokens per step B", "64")
    typed(live, "hidden size d", "64")
    holds(notebook, "(explorer.batch, explorer.in_features)", (64, 64))

    # Stop, whenever it comes
    live.get_by_role("combobox", name="measure for").select_option("2 minutes")
    typed(live, "words V", "100000")
    typed(live, "tokens per step B", "512")
    holds(notebook, "(len(explorer.vocabulary), explorer.batch)", (100_000, 512))
    press(live, "Measure in turns")
    stop = live.get_by_role("button", name="Stop", exact=True)
    until(stop.is_enabled, bool)
    stop.press("Enter")
    typed(live, "words V", "4000")  # the page is alive meanwhile
    typed(live, "tokens per step B", "64")
    holds(notebook, "(len(explorer.vocabulary), explorer.batch)", (4000, 64))
    ended(live, "Measure in turns")
    live.get_by_role("combobox", name="measure for").select_option("5 seconds")
    check(notebook.show_cell('ask("how far off")'), "25", "The measurement is the truth")
    check(notebook.show_cell('ask("room for logits")'), "0.685", "each takes four bytes")

    # the U-curve
    curve = notebook.show_cell(CURVE)
    commit(curve, "300")
    drawn(notebook, curve)
    curve.get_by_text("No point measured at these settings yet").wait_for()
    curve.get_by_role("combobox", name="measure for").select_option("5 seconds")
    run_job(curve, "Measure the U-curve")
    curve.get_by_text("Lowest of").wait_for(state="attached")
    places = value(notebook, "[c[0] for _, c, _ in explorer.curve_job().layers]")
    until(lambda: at_x(curve, 1), lambda x: x == places)
    assert finite(curve, 1) == len(places) and finite(curve, 0) > 50
    check(notebook.show_cell('ask("the whole step")'), "10", "40 % of the step")

    # the other controls of the cutoffs
    cuts = notebook.show_cell(CUTS)
    plan_authors_reset(notebook, cuts, "explorer")
    live = notebook.show_cell(LIVE)  # Reset put the settings back, too
    typed(live, "tokens per step B", "64")
    typed(live, "hidden size d", "64")
    holds(notebook, "(explorer.batch, explorer.in_features)", (64, 64))
    cuts = notebook.show_cell(CUTS)
    slid(cuts, "cutoff 1")
    cuts.get_by_role("combobox", name="number of cutoffs").select_option("1")
    typed(cuts, "cutoff 1, words", "1000")
    holds(notebook, "explorer.cutoffs", (1000,))

    # one gesture: the words, the cost per cluster, the total, the predicted bars, the diamond on the U-curve
    cuts = notebook.show_cell(CUTS)
    said = cuts.locator(".result").inner_text()
    drag(notebook, cuts, 0, -60, lambda: until(cuts.locator(".result").inner_text, lambda new: new != said))
    moved = until(lambda: value(notebook, "explorer.cutoffs[0]"), lambda c: c < 1000)
    curve = notebook.show_cell(CURVE)
    until(lambda: at_x(curve, 3), lambda x: x[0] < 1000)
    live = notebook.show_cell(LIVE)
    until(lambda: finite(live, 0, "x"), lambda n: n == 0)  # these cutoffs were not measured
    cuts = notebook.show_cell(CUTS)
    cuts.get_by_role("combobox", name="number of cutoffs").select_option("2")
    until(lambda: value(notebook, "len(explorer.cutoffs)"), lambda n: n == 2)
    curve = notebook.show_cell(CURVE)
    which = curve.get_by_role("combobox", name="cutoff that moves")
    which.select_option(index=1)
    holds(notebook, "explorer.active", 1)
    which.select_option(index=0)
    holds(notebook, "explorer.active", 0)
    cuts = notebook.show_cell(CUTS)
    cuts.get_by_role("combobox", name="number of cutoffs").select_option("1")
    typed(cuts, "cutoff 1, words", "1000")
    holds(notebook, "explorer.cutoffs", (1000,))
    assert moved != 1000
    live = notebook.show_cell(LIVE)
    run_job(live, "Measure in turns")

    # what was chosen and measured survives a restart
    restarted(notebook)
    assert value(notebook, "(explorer.cutoffs, len(explorer.vocabulary), explorer.batch)") == ((1000,), 4000, 64)
    for cell in (LIVE, CURVE):  # the guesses were kept, so their panels are open again
        drawn(notebook, notebook.show_cell(cell))
    live, curve = notebook.show_cell(LIVE), notebook.show_cell(CURVE)
    until(lambda: finite(curve, 1), lambda n: n == len(places))
    live = notebook.show_cell(LIVE)
    until(lambda: finite(live, 0, "x"), lambda n: n == 4)
    live.get_by_text("Measured here.").wait_for()
    machine = notebook.show_cell(MACHINE)
    # in the place of minutes of timing, which has tests of its own
    quick = "lambda device, seconds, progress, save: (progress(0.5, 'half'), adasoft.load_cost(device))[1]"
    notebook.evaluate(f"exec('import adasoft') or setattr(adasoft, 'calibrate', {quick})")
    machine.get_by_role("combobox", name="how long to measure").select_option(index=0)
    run_job(machine, "Time this machine")
    machine.get_by_text("Timed. All predictions").wait_for()
    press(machine, "Forget my choices")
    holds(notebook, "explorer.cutoffs", (1200, 5000))
    cuts = notebook.show_cell(CUTS)
    slid(cuts, "cutoff 2")
    typed(cuts, "cutoff 2, words", "7000")
    holds(notebook, "explorer.cutoffs", (1200, 7000))
    cuts.locator(".adasoft-cut .handle[data-i='1']").press("ArrowRight")
    until(lambda: value(notebook, "explorer.cutoffs[1]"), lambda c: c > 7000)
    # the question of the U-curve, open again, asks for the cutoff that moved last
    cuts.locator(".adasoft-cut .handle[data-i='0']").press("ArrowRight")
    holds(notebook, "explorer.active", 0)
    notebook.show_cell(CURVE).get_by_text("Take the fastest c₁ and halve it").wait_for()
    every_control_was_used(notebook)
    finish(notebook, lab, shots, "04", [RACE, MACHINE, CUTS, 'ask("which number")', LIVE, CURVE])
