"""Notebook 03, the time model: every control by keyboard and mouse, light and dark.

Nothing here depends on how long anything takes: what is measured is only asked to be there.
"""

from functools import partial

import pytest
from browser.gestures import (
    BROWSER,
    at_x,
    check,
    click,
    commit,
    drawn,
    ended,
    every_control_was_used,
    figure_y,
    finish,
    finite,
    focused,
    holds,
    move_cutoff_every_way,
    opened,
    plan_authors_reset,
    press,
    restarted,
    run_job,
    settled,
    slid,
    stopped_by_keyboard,
    typed,
    until,
    value,
)

pytestmark = BROWSER

RACE, WRONG, PRODUCT = "race_panel(explorer)", "wrong_timing_panel(explorer)", 'predict("twice the time"'
CLUSTERS, REPLAN, CUTS = 'predict("best number"', 'predict("worth of time"', "cut_panel(explorer)"


def yours(product):
    """The reader's line as it is drawn."""
    return product.locator(".adasoft-line .yours").get_attribute("points")


def ends_of_the_handles(notebook, product):
    """Home and End take each handle to its ends, and the notebook never scrolls away under it."""
    for at, name in enumerate(("c", "lambda", "k0")):
        line = f"float(explorer.line[{at}])"
        notebook.evaluate("setattr(explorer, 'line', (3e-4, 9e-6, 9.0))")
        handle = product.locator(f"[data-handle={name}]")
        shown = partial(handle.get_attribute, "aria-valuenow")
        until(shown, lambda text: float(text) > 0)
        handle.focus()
        settled(notebook)
        place, before = handle.bounding_box()["x"], value(notebook, line)
        handle.press("End")
        assert shown() == handle.get_attribute("aria-valuemax")
        until(partial(value, notebook, line), lambda new, before=before: new > before)
        for key in ("Home", "Space"):
            handle.press(key)
            assert float(shown()) == 0
            holds(notebook, line, 0.0)
        assert handle.is_visible() and handle.evaluate("e => e === document.activeElement")
        top = product.locator(".adasoft-line").bounding_box()["y"]
        assert -400 < top < 800 and place > 0  # still in sight
    notebook.evaluate("setattr(explorer, 'line', (3e-4, 9e-6, 9.0))")
    until(partial(product.locator("[data-handle=k0]").get_attribute, "aria-valuenow"), lambda text: text == "9")


def latency_of_line(page):
    """Milliseconds from a key on a handle to the drawn line, the median of 21; printed, not judged."""
    found = page.evaluate(
        """async () => { const found = [], handle = document.querySelector('[data-handle=k0]');
        for (let i = 0; i < 21; i++) { const begun = performance.now();
          handle.dispatchEvent(new KeyboardEvent('keydown', {key: i % 2 ? 'ArrowUp' : 'ArrowDown', bubbles: true}));
          await new Promise(requestAnimationFrame); found.push(performance.now() - begun); }
        return found.sort((a, b) => a - b); }"""
    )
    return found[10]


def the_page_computes_as_python_does(notebook, product):
    """The error in sight is that of `FlatAffine` against the same points."""
    from adasoft.lessons.kit.plots import percent

    errors = sorted(abs(e) for e in value(notebook, "explorer.hand_line().errors(*explorer.to_fit()[:2]).tolist()"))
    half = len(errors) // 2
    median = errors[half] if len(errors) % 2 else (errors[half - 1] + errors[half]) / 2
    worst = "" if errors[-1] > 2 else f", at worst by {percent(errors[-1])}"  # beyond 200 % it says so in words
    product.get_by_text(f"by {percent(median)} (median){worst}").first.wait_for()


@pytest.mark.timeout(1200)
def test_03_time_model(lab, page, shots):
    page.set_default_timeout(120_000)  # a busy machine, and torch to load
    notebook = opened(page, lab, "03_time_model.ipynb")

    # the first picture: a bet starts the race
    race = notebook.show_cell(RACE)
    for label, bet in (
        ("Race 2", "Both together"),
        ("Race 3", "Small"),
        ("Race 1", "Large"),
    ):
        race.get_by_role("button", name=label).press("Enter")
        race.get_by_role("button", name=bet, exact=True).press("Enter")
        race.get_by_text("You bet on").wait_for()
        assert race.get_by_text("✕ your bet").count() == (2 if bet == "Both together" else 1)
    holds(notebook, "explorer.recall('race bets')", {"0": "1", "1": "together", "2": "0"})

    # timed wrongly, and properly
    wrong = notebook.show_cell(WRONG)
    drawn(notebook, wrong)
    wrong.get_by_text("Nothing timed yet").wait_for()
    typed(wrong, "tokens per step B", "64")
    holds(notebook, "explorer.batch", 64)
    typed(wrong, "hidden size d", "128")
    holds(notebook, "explorer.in_features", 128)
    typed(wrong, "words k, typed", "300")
    holds(notebook, "explorer.k", 300)
    slid(wrong, "words k")
    k = until(lambda: value(notebook, "explorer.k"), lambda v: v > 300)
    until(wrong.get_by_role("spinbutton", name="words k, typed").input_value, lambda v: v == str(k))
    typed(wrong, "tokens per step B", "0")
    wrong.get_by_role("alert").get_by_text("B (batch) should be from 1").wait_for()
    until(wrong.get_by_role("spinbutton", name="tokens per step B").input_value, lambda v: v == "64")
    click(notebook, wrong, "Time it wrongly")
    wrong.get_by_text("None of these can be judged").wait_for()
    ended(wrong, "Time it wrongly")
    run_job(wrong, "Time it properly")
    wrong.get_by_text("Timed properly, the product takes").wait_for()
    until(lambda: focused(page), lambda found: found == "Time it properly")  # where it was pressed, for the next press
    run_job(wrong, "Time it wrongly")
    wrong.get_by_text("Your 2 single shots lie between").wait_for(state="attached")
    until(lambda: [finite(wrong, i, "x") for i in range(3)], lambda n: n == [2, 2, 1])
    check(notebook.show_cell('ask("not waiting")'), "200", "The clock stopped before")
    check(notebook.show_cell('ask("not waiting")'), "1", "correct", by_mouse_in=notebook)

    # flat, then a line
    product = notebook.show_cell(PRODUCT)
    commit(product, "100")
    product.locator(".adasoft-line .yours").wait_for()
    product.get_by_text("your guess: 100").wait_for()
    typed(product, "tokens per step B", "64")
    product.get_by_role("button", name="More sizes").press("Enter")
    typed(product, "largest k", "64")
    holds(notebook, "explorer.most", 64)
    product.get_by_role("combobox", name="device").select_option("cpu")
    product.get_by_role("combobox", name="measure for").select_option("5 seconds")
    for name, box, text, line in (
        ("c", "c, ms", "0.3", [3e-4]),
        ("lambda", "lambda, µs per word", "9", [3e-4, 9e-6]),
        ("k0", "k0, words", "9", [3e-4, 9e-6, 9.0]),
    ):
        handle, before = product.locator(f"[data-handle={name}]"), yours(product)
        handle.press("ArrowUp")
        until(lambda: yours(product), lambda new, before=before: new != before)
        typed(product, box, text)
        holds(notebook, f"[float(f'{{x:.6g}}') for x in explorer.line[:{len(line)}]]", line)
    ends_of_the_handles(notebook, product)
    box = product.get_by_role("spinbutton", name="c, ms", exact=True)  # an arrow is a step of some 2 %
    typed(product, "c, ms", "1.3")
    box.press("ArrowDown")
    until(box.input_value, lambda v: 1.26 < float(v) < 1.3)
    typed(product, "c, ms", "0.3")
    holds(notebook, "float(f'{explorer.line[0]:.6g}')", 3e-4)
    for refused in ("-3", "5000000"):  # said, and the box goes back to the line
        typed(product, "k0, words", refused)
        product.get_by_text("k0 should be a number from 0 to 64 words").wait_for()
        until(product.get_by_role("spinbutton", name="k0, words").input_value, lambda v: v == "9")
    line = "[float(f'{x:.6g}') for x in explorer.line]"
    handle = product.locator("[data-handle=lambda] .knob")
    handle.scroll_into_view_if_needed()
    settled(notebook)
    place, before = handle.bounding_box(), yours(product)
    page.mouse.move(place["x"] + 8, place["y"] + 8)
    page.mouse.down()
    page.mouse.move(place["x"] + 8, place["y"] - 30, steps=6)
    assert yours(product) != before  # at once: the page computes
    page.mouse.up()
    until(lambda: value(notebook, line), lambda found: found[1] > 9e-6)
    print(f"line, key to drawn: median {latency_of_line(page):.1f} ms")
    run_job(product, "Measure the products")
    until(lambda: focused(page), lambda found: found == "Measure the products")  # no handle takes it
    product.get_by_text("Your line misses the measured points by").wait_for()
    points = value(notebook, "len(explorer.sweep)")
    until(lambda: product.locator("circle.point").count(), lambda n: n == points)
    the_page_computes_as_python_does(notebook, product)
    press(product, "Fit for me")
    product.get_by_text("Fitted to the measured points").wait_for()
    press(product, "The paper's sizes")
    holds(notebook, "(explorer.batch, explorer.in_features, explorer.most)", (2560, 2048, 256))
    product.get_by_text("Nothing to compare your line with yet").wait_for()
    until(lambda: product.locator("circle.before").count(), lambda n: n == points)  # before, beside now
    press(product, "My sizes again")
    holds(notebook, "(explorer.batch, explorer.in_features, explorer.most)", (64, 128, 64))
    product.get_by_role("combobox", name="what is timed").select_option(index=1)
    until(lambda: product.locator("circle.point").count(), lambda n: n == 0)
    product.get_by_role("combobox", name="what is timed").select_option(index=0)
    until(lambda: product.locator("circle.point").count(), lambda n: n == points)
    # Stop, whenever it comes: the page is alive meanwhile
    product.get_by_role("combobox", name="measure for").select_option("2 minutes")
    # sizes at which the 25 rounds last long enough for a busy machine to see the button
    typed(product, "tokens per step B", "512")
    typed(product, "largest k", "131072")
    stopped_by_keyboard(product, "Measure the products")
    product.locator("[data-handle=k0]").focus()
    typed(product, "largest k", "64")
    holds(notebook, "explorer.most", 64)
    settled(notebook)  # drawn again, and no handle has taken the focus
    assert product.get_by_role("spinbutton", name="largest k").evaluate("e => e === document.activeElement")
    typed(product, "tokens per step B", "64")
    holds(notebook, "(explorer.batch, explorer.most)", (64, 64))
    check(notebook.show_cell('ask("on the flat part")'), "0.22", "the time is flat there")
    check(notebook.show_cell('ask("on the flat part")'), "0.3", "correct")
    check(notebook.show_cell('ask("largest c")'), "0.52", "already holds λ k₀")

    # what was chosen and measured survives a restart
    kept = "(explorer.most, explorer.k, explorer.batch, explorer.line, explorer.recall('product sweep')['times'])"
    before = value(notebook, kept)
    restarted(notebook)
    assert value(notebook, kept) == before
    product = notebook.show_cell(PRODUCT)
    product.locator("circle.point").first.wait_for()  # the guess was kept, so its panel is open again
    product.get_by_role("button", name="More sizes").press("Enter")

    # clusters
    typed(notebook.show_cell(PRODUCT), "tokens per step B", "2560")  # as the text asks
    clusters = notebook.show_cell(CLUSTERS)
    commit(clusters, "12")
    drawn(notebook, clusters)
    holds(notebook, "explorer.batch", 64)  # where the guess is made
    typed(clusters, "words V", "5000")
    holds(notebook, "len(explorer.vocabulary)", 5000)
    run_job(clusters, "Search")
    until(lambda: [finite(clusters, i) for i in range(4, 8)], lambda n: n == [11] * 4)
    until(lambda: focused(page), lambda found: found == "Search")
    y = figure_y(clusters, 3)
    typed(clusters, "tokens per step B", "256")
    y = until(lambda: figure_y(clusters, 3), lambda new: new != y)
    until(lambda: [finite(clusters, 5), finite(clusters, 10)], lambda n: n == [0, 11])  # the earlier curve stays
    clusters.get_by_role("combobox", name="width of the tails").select_option(index=1)
    until(lambda: value(notebook, "len(set(explorer.widths_for(3)))"), lambda n: n == 1)
    clusters.get_by_role("combobox", name="width of the tails").select_option(index=0)
    press(clusters, "The paper's sizes")
    clusters.get_by_text("Here, with its sizes but other words").wait_for(state="attached")
    press(clusters, "My sizes again")
    holds(notebook, "len(explorer.vocabulary)", 5000)
    typed(clusters, "hidden size d", "512")
    holds(notebook, "explorer.in_features", 512)
    typed(clusters, "words V", "20000")
    holds(notebook, "(len(explorer.vocabulary), explorer.in_features, explorer.batch)", (20_000, 512, 256))
    check(notebook.show_cell('ask("one more tail")'), "5.0", "J + 1 constants")

    # planned again
    replan = notebook.show_cell(REPLAN)
    commit(replan, "10")
    drawn(notebook, replan)
    timed, counted, authors = at_x(replan, 0)
    assert timed < counted < authors
    cuts = notebook.show_cell(CUTS)
    cuts.locator(".adasoft-cut .handle").first.wait_for()
    before = value(notebook, "explorer.cutoffs")
    replan = notebook.show_cell(REPLAN)
    press(replan, "Take the timed plan")
    replan.get_by_text("Taken:").wait_for()
    until(lambda: focused(page), lambda found: found == "Take the timed plan")
    assert value(notebook, "explorer.cutoffs != " + repr(before))
    cuts = notebook.show_cell(CUTS)
    settled(notebook)
    clusters_now = value(notebook, "len(explorer.cutoffs)") + 1
    until(lambda: cuts.locator(".cluster:not(.fixed)").count(), lambda n: n == clusters_now)
    plan_authors_reset(notebook, cuts, "explorer")
    holds(notebook, "explorer.cutoffs", (2000,))
    move_cutoff_every_way(notebook, cuts, "explorer", 0)
    # one gesture: the curve of the words, the cost per cluster, and the total
    picker = cuts.locator(".adasoft-cut .handle[data-i='0']")
    before = value(notebook, "explorer.cutoffs[0]")
    picker.focus()
    picker.press("ArrowLeft")
    first = until(lambda: value(notebook, "explorer.cutoffs[0]"), lambda c: c < before)
    holds(notebook, "explorer.cutoffs[0]", first)

    every_control_was_used(notebook)
    finish(notebook, lab, shots, "03", [RACE, WRONG, 'ask("not waiting")', PRODUCT, CLUSTERS, REPLAN, CUTS])
