"""Notebook 06, perplexity: a text read, two softmaxes trained, stopped, asked to write; light and dark.

Nothing here depends on how well or how quickly anything trains: what is measured is only asked to be there.
"""

import random
import statistics

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
    focused,
    holds,
    latency,
    opened,
    plan_authors_reset,
    press,
    restarted,
    settled,
    slid,
    typed,
    until,
    value,
)

from adasoft.lessons.language_model.looks import LABELS
from adasoft.results.suite import ROW_LABELS

pytestmark = BROWSER

RACE, STORED, RARE = "training_race_panel(explorer)", 'predict("paper minutes"', 'predict("rare words"'
TEXT, CUTS = "text_panel(explorer)", "cut_panel(explorer)"
EXERCISE = 'check("perplexities"'
TRAIN, WRITE, CELL = 'predict("live faster"', "writing_panel(explorer)", "own_cell_panel(explorer)"


@pytest.fixture
def novel(lab):
    """A text of some thousand words."""
    rng, words = random.Random(0), [f"word{i}" for i in range(300)]
    lines = [" ".join(words[int(300 * rng.random() ** 3)] for _ in range(12)) for _ in range(1500)]
    path = lab[2] / "novel.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def replayed(notebook):
    """The race: played, paused, moved by keys and by its clock; at its end it says who won."""
    race = notebook.show_cell(RACE)
    race.get_by_text("press Play.").wait_for()
    scrub = race.get_by_role("slider", name="time on the clock")
    bet = race.get_by_role("spinbutton", name="your bet: times sooner")
    bet.fill("3")
    bet.press("Tab")
    holds(notebook, "explorer.recall('guess race')", 3.0)
    assert race.locator("svg line.guess").count() == 2  # on the full softmax's bar and on the clock
    race.get_by_text("your bet: 6:44").first.wait_for()
    bet.focus()
    notebook.page.keyboard.press("Tab")  # the bet comes before Play
    assert notebook.page.evaluate("document.activeElement.textContent") == "Play"
    press(race, "Play")
    moved = until(lambda: float(scrub.input_value()), lambda now: now > 0)
    press(race, "Pause")
    stood = float(scrub.input_value())
    assert stood >= moved and race.get_by_role("button", name="Play").is_visible()
    scrub.press("ArrowRight")
    until(lambda: float(scrub.input_value()), lambda now: now > stood)
    scrub.press("End")
    race.get_by_text("4.2 times sooner").wait_for()
    race.get_by_text("Your bet: 3 times.").wait_for()
    assert bet.is_disabled()  # the first one counts
    assert "20 minutes" in scrub.get_attribute("aria-valuetext")
    assert "perplexity 61.9" in race.locator("svg[role=img]").get_attribute("aria-label")
    ends = race.locator("svg text.end").all_text_contents()
    assert sorted(ends) == ["authors' cutoffs: 63.2", "full softmax: 61.9", "hierarchical: 70.4", "planned: 66.5"]
    assert race.get_by_text("validation part after each epoch").count() == 1
    box, room = race.locator(".adasoft-race").bounding_box(), notebook.page.viewport_size["height"]
    assert box["height"] < 515 < room  # with the cell above it in one screen of 800 pixels
    scrub.press("Home")
    race.get_by_text("press Play.").wait_for()
    assert race.locator(".adasoft-race").bounding_box()["height"] == box["height"]  # no sentence moves the picture
    scrub.press("End")


def fits(region):
    """A table that needs no scrolling."""
    assert region.evaluate("e => e.scrollWidth - e.clientWidth") <= 1
    region.focus()
    assert region.evaluate("e => document.activeElement === e")


@pytest.mark.timeout(1200)
def test_06_language_model(lab, page, shots, novel):
    page.set_default_timeout(120_000)  # a busy machine, and torch to load
    notebook = opened(page, lab, "06_language_model.ipynb")
    replayed(notebook)
    check(notebook.show_cell('ask("nats")'), "24.25", "right for bits")
    check(notebook.show_cell('ask("nats")'), "99.5", "correct", by_mouse_in=notebook)
    check(notebook.show_cell('ask("two hundredths")'), "0.02", "Those are nats")

    # stored runs, once there is a guess, which is drawn; another softmax is named and coloured when asked for
    stored = notebook.show_cell(STORED)
    commit(stored, "40")
    drawn(notebook, stored)
    stored.get_by_text("Recorded. With the authors' cutoffs").wait_for()
    guess = 2 * len(ROW_LABELS) + 1
    assert at_x(stored, guess) == [83 / 40] * 3  # a line from edge to edge
    fits(stored.get_by_role("region", name="stored runs beside the paper's table for Text8").first)
    stored.get_by_role("combobox", name="show as well").select_option(ROW_LABELS["sampled"])
    stored.get_by_role("rowheader", name=ROW_LABELS["sampled"]).first.wait_for()
    stored.get_by_text("All rows, and speed and size").click()
    stored.get_by_role("cell", name="144", exact=True).wait_for()
    y = figure_y(stored, 0)
    stored.get_by_role("combobox", name="trainings").select_option(index=1)
    until(lambda: figure_y(stored, 0), lambda new: new != y)
    rare = notebook.show_cell(RARE)
    commit(rare, "12")
    rare.get_by_text("percentage points too low").wait_for()
    drawn(notebook, rare)
    rare.get_by_text("nat per token against full softmax").wait_for()
    rare.get_by_role("combobox", name="trainings").select_option(index=0)
    check(notebook.show_cell('ask("shares of a step")'), "2.8", "two different wholes")

    # cutoffs of the words that stand in for a text not yet read
    plan_authors_reset(notebook, notebook.show_cell(CUTS), "explorer")

    # a text of one's own, dropped, then by its path
    text = notebook.show_cell(TEXT)
    text.get_by_text("not read yet").wait_for()
    typed(text, "text", str(lab[2] / "nowhere.txt"), role="textbox")
    press(text, "Read it")
    text.get_by_role("alert").get_by_text("nowhere.txt").wait_for()
    typed(text, "text", str(novel), role="textbox")
    holds(notebook, "explorer.source", str(novel))
    typed(text, "tokens at most", "500")
    text.get_by_role("alert").get_by_text("should be from 1,000").wait_for()
    typed(text, "tokens at most", "12000")
    holds(notebook, "explorer.tokens", 12000)
    with page.expect_file_chooser() as chooser:
        text.get_by_role("button", name="Pick a file").press("Enter")
    chooser.value.set_files(novel)
    text.get_by_text("V = ").first.wait_for()
    ended(text, "Read it")
    press(text, "Back to the documentation")
    holds(notebook, "explorer.source", "docs")
    typed(text, "text", str(novel), role="textbox")
    holds(notebook, "explorer.source", str(novel))
    text.get_by_text("with other settings").wait_for()
    click(notebook, text, "Read it")
    text.get_by_text("with other settings").wait_for(state="detached")
    n = until(lambda: value(notebook, "len(explorer.vocabulary)"), lambda n: n < 400)

    # its cutoffs, every way
    cuts = notebook.show_cell(CUTS)
    typed(cuts, "cutoff 1, words", "50")
    until(lambda: value(notebook, "explorer.cutoffs[0]"), lambda c: c == 50)
    said = cuts.locator(".result").inner_text()
    drag(notebook, cuts, 0, -20, lambda: until(cuts.locator(".result").inner_text, lambda new: new != said))
    until(lambda: value(notebook, "explorer.cutoffs[0]"), lambda c: c < 50)
    slid(cuts, "cutoff 1")
    typed(cuts, "hidden size d", "16")
    typed(cuts, "tokens per step B", "81")
    cuts.get_by_role("alert").get_by_text("B should be a multiple of 20").wait_for()
    typed(cuts, "tokens per step B", "80")
    holds(notebook, "(explorer.in_features, explorer.batch)", (16, 80))
    check(notebook.show_cell('ask("one word")'), "0", "That is the loss")

    # two softmaxes, trained live
    train = notebook.show_cell(TRAIN)
    commit(train, "3")
    train.get_by_text("Nothing is measured yet").wait_for()
    shown = train.get_by_role("combobox", name="shown")
    shown.select_option(index=1)
    train.get_by_text("Recorded, not this machine:").wait_for()
    drawn(notebook, train)
    assert finite(train, 0) > 3
    shown.select_option(index=0)
    until(lambda: finite(train, 0), lambda n: n == 0)
    typed(train, "seconds for each", "3")
    typed(train, "seed", "4")
    holds(notebook, "(explorer.seconds, explorer.seed)", (3, 4))
    ticks = {name: train.get_by_role("checkbox", name=label, exact=True) for name, label in LABELS.items()}
    mine = ("full", "yours")
    for name in (*LABELS, *mine):
        ticks[name].press("Space")
    holds(notebook, "explorer.ticked", tuple(LABELS))
    press(train, "Train")
    train.get_by_role("alert").get_by_text("untick it, and set your own cutoffs").wait_for()
    ended(train, "Train")
    for name in LABELS:
        ticks[name].set_checked(name in mine)
    holds(notebook, "explorer.ticked", mine)
    press(train, "Train")
    until(lambda: focused(notebook.page), lambda found: found == "Train: under way")  # Tab leads to Stop
    until(lambda: finite(train, 0), lambda n: n >= 1, 120)  # while it trains
    train.get_by_text("Training here, now:").wait_for()
    assert not train.get_by_role("button", name="Go on").is_enabled()
    ended(train, "Train")
    train.get_by_text("Trained here:").wait_for()
    until(lambda: focused(notebook.page), lambda found: found == "Train")
    train.get_by_text("You said 3 times; it is").wait_for()
    train.get_by_text("after equal tokens").first.wait_for()
    train.get_by_text("You guessed 3 times").wait_for()
    i = value(notebook, "list(explorer.recall('training')['lanes'])").index("yours") and 7
    assert finite(train, 0) >= 2 and finite(train, i) >= 2 and finite(train, 8) == finite(train, 0)
    points = value(notebook, "[p[2] for p in explorer.recall('training')['lanes']['yours']['points']]")
    assert figure_y(train, i) == points
    train.get_by_role("checkbox", name="also exp of the training loss").press("Space")
    until(lambda: finite(train, 16), lambda n: n >= 2)
    train.get_by_text("exp of the training loss, lately").wait_for()

    # Stop, while the page stays alive; go on
    typed(train, "seconds for each", "600")
    holds(notebook, "explorer.seconds", 600)
    press(train, "Train")
    until(lambda: value(notebook, "len(explorer.trained)"), lambda n: n == 1)
    cuts = notebook.show_cell(CUTS)
    busy = statistics.median(latency(cuts, 0, presses=11))
    print(f"arrow key to redrawn plots while a model trains: {busy:.0f} ms")
    typed(cuts, "cutoff 1, words", "30")
    holds(notebook, "explorer.cutoffs[0]", 30)
    train = notebook.show_cell(TRAIN)
    stop = train.get_by_title("Stops: Train")
    until(stop.is_enabled, bool)
    until(lambda: finite(train, 0), lambda n: n >= 1, 120)
    stop.press("Enter")
    ended(train, "Train")
    train.get_by_text("Stopped.").wait_for()
    typed(train, "seconds for each", "1")
    holds(notebook, "explorer.seconds", 1)
    seconds = value(notebook, "explorer.recall('training')['lanes']['full']['seconds']")
    assert seconds < 600
    press(train, "Go on")
    until(lambda: value(notebook, "explorer.recall('training')['lanes']['full']['seconds']"), lambda s: s > seconds)
    ended(train, "Train")
    check(notebook.show_cell('ask("sampled loss")'), "20.1", "an easier question")

    # what the models write
    write = notebook.show_cell(WRITE)
    write.get_by_text("Recorded, not this machine:").wait_for()
    write.get_by_role("combobox", name="show").select_option("all models")
    write.get_by_text("hierarchical").wait_for()
    write.get_by_role("combobox", name="show").select_option("two models")
    write.get_by_text("hierarchical").wait_for(state="detached")
    typed(write, "first word", "zebra", role="textbox")
    press(write, "Write")
    write.get_by_role("alert").get_by_text("is not among the").wait_for()
    typed(write, "first word", "word1", role="textbox")
    typed(write, "words of each", "12")
    typed(write, "seed", "5")
    ended(write, "Write")
    press(write, "Write")
    write.get_by_text("seed 5").wait_for()
    write.get_by_text("of 12").wait_for()  # words opened a tail, or: needed no tail
    assert set(value(notebook, "explorer.recall('written')['words']")) == {"full", "yours"}
    ended(write, "Write")
    check(notebook.show_cell('ask("the right word")'), "0.0111", "That is the probability itself")
    check(notebook.show_cell('ask("pieces")'), "37.5", "to the power of 1.5")

    # what the reader writes is checked: a blank is missing, a typical mistake is named
    exercise = notebook.show_cell(EXERCISE)
    exercise.get_by_text("missing").wait_for()

    # a cell of one's own
    cell = notebook.show_cell(CELL)
    code = cell.get_by_role("textbox", name="code of your cell")
    begin = code.input_value()
    code.fill(begin.replace("return h, h", "return h"))
    code.press("Tab")
    press(cell, "Check the cell")
    cell.get_by_role("alert").get_by_text("cell should return a pair").wait_for()
    press(cell, "Back to the example")
    until(code.input_value, lambda now: now == begin)
    press(cell, "Check the cell")
    cell.get_by_text("Two steps of it ran").wait_for()
    typed(cell, "seconds for each", "1")
    holds(notebook, "(explorer.cell_seconds, explorer.seconds)", (1, 1))
    press(cell, "Train")
    cell.get_by_text("Trained here: LSTM").wait_for(timeout=240_000)
    ended(cell, "Train")
    until(lambda: finite(cell, 1), lambda n: n >= 1)
    typed(cell, "seconds for each", "2")
    holds(notebook, "explorer.cell_seconds", 2)

    # what was chosen and measured survives a restart
    every_control_was_used(notebook)
    cutoffs = value(notebook, "explorer.cutoffs")
    notebook.evaluate("explorer._choices.flush()")
    restarted(notebook)
    assert value(notebook, "(explorer.cutoffs, len(explorer.vocabulary), explorer.in_features)") == (cutoffs, n, 16)
    train = notebook.show_cell(TRAIN)
    drawn(notebook, train)  # the guess is kept, so the panel is open
    until(lambda: finite(train, 0), lambda n: n >= 1)
    press(train, "Go on")
    train.get_by_role("alert").get_by_text("models end with the kernel").wait_for()
    settled(notebook)
    cell = notebook.show_cell(CELL)
    until(lambda: finite(cell, 1), lambda n: n >= 1)
    finish(notebook, lab, shots, "06", [RACE, STORED, RARE, TEXT, CUTS, TRAIN, WRITE, EXERCISE, CELL])
