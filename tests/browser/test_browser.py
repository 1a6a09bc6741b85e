"""The notebooks in a real JupyterLab and a real browser: every control moved, light and dark, no request leaves."""

import ast
import importlib.util
import os
import shutil
import time
from pathlib import Path

import pytest
from browser.labdriver import CHROMIUM, Notebook, browser_page, jupyter_lab

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
_missing = [
    name for name, there in [
        ("playwright", importlib.util.find_spec("playwright")), ("jupyterlab", importlib.util.find_spec("jupyterlab")),
        ("a Chromium (set CHROMIUM to its path)", CHROMIUM),
    ] if not there
]  # fmt: skip
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(bool(_missing), reason=f"not installed: {', '.join(_missing)}"),
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    # a copy, because the lab writes checkpoints beside what it opens
    root = tmp_path_factory.mktemp("root") / "notebooks"
    shutil.copytree(NOTEBOOKS, root, ignore=shutil.ignore_patterns(".*"))
    (root / "own.txt").write_text("the cat saw the dog and the dog saw a bird\n" * 50 + "rare words come once\n")
    state = tmp_path_factory.mktemp("lab")
    with jupyter_lab(root, state, {"ADASOFT_CACHE": str(state / "cache")}) as (address, token):
        yield address, token, root


@pytest.fixture
def shots(tmp_path, request):
    folder = Path(os.environ.get("ADASOFT_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def page():
    with browser_page() as page:
        yield page


def opened(page, lab, name):
    notebook = Notebook(page, *lab[:2], name)
    assert notebook.run_all(), notebook.errors()
    return notebook


def finish(notebook, lab, shots, name, cells):
    """Screenshots of the cells' outputs in both themes; then nothing must have gone wrong anywhere."""
    for theme in ("light", "dark"):
        notebook.dark(theme == "dark")
        for i, source in enumerate(cells):
            output = notebook.show_cell(source)
            notebook.page.wait_for_timeout(250)
            output.screenshot(path=shots / f"{name}_{i}_{theme}.png")
    problems = notebook.errors()
    assert not problems, "\n".join(problems)
    foreign = [
        u
        for u in notebook.page.requests_seen
        if not u.startswith((lab[0], "data:", "blob:", lab[0].replace("http", "ws")))
    ]
    assert foreign == []
    bad = [m for m in notebook.page.console_seen if m[0] in ("error", "pageerror")]
    assert bad == []
    # no figure lost its data on the way (a batch over traces with different properties would)
    plots = "[...document.querySelectorAll('.js-plotly-plot')]"
    held = notebook.page.evaluate(f"() => JSON.stringify({plots}.map(g => g.data.map(t => [t.x, t.y, t.name])))")
    assert "_undefined_" not in held
    assert not notebook.page.locator(".legendtext", has_text="trace ").count()
    notebook.close()


def commit(output, guess):
    """Type a guess and press the button, by keyboard."""
    box = output.get_by_role("textbox", name="your answer").first
    box.fill(guess)
    box.press("Tab")
    output.get_by_role("button", name="Commit").first.press("Enter")


def check(output, answer, status):
    output.get_by_role("textbox", name="your answer").fill(answer)
    output.get_by_role("button", name="Check").click()
    output.get_by_text(status, exact=False).first.wait_for()


def value(notebook, expression):
    return ast.literal_eval(notebook.evaluate(expression))


def figure_y(output, trace):
    return output.locator(".js-plotly-plot").first.evaluate(f"g => Array.from(g.data[{trace}].y)")


def until(read, good, seconds=15):
    """Ask again until the answer is good."""
    end = time.monotonic() + seconds
    while not good(found := read()):
        if time.monotonic() > end:
            raise AssertionError(f"still {found!r}")
        time.sleep(0.02)
    return found


def drawn(output):
    plot = output.locator(".js-plotly-plot .main-svg").first
    plot.wait_for(state="attached")
    output.locator(".js-plotly-plot .xtick, .js-plotly-plot .trace").first.wait_for(state="attached")
    output.page.wait_for_timeout(1200)
    # the figure fills its cell and is not clipped
    width, room = output.locator(".js-plotly-plot").first.evaluate(
        "g => [g._fullLayout.width, g.parentElement.clientWidth]"
    )
    assert abs(width - room) <= 2
    box = plot.bounding_box()
    assert box["x"] + box["width"] <= output.bounding_box()["x"] + output.bounding_box()["width"] + 2


def drag(output, handle, by, during):
    """Drag a handle; ``during`` is called before the button is released."""
    knob = output.locator(".adasoft-picker .knob").nth(handle)
    knob.scroll_into_view_if_needed()
    knob.hover()
    box, mouse = knob.bounding_box(), output.page.mouse
    mouse.down()
    mouse.move(box["x"] + box["width"] / 2 + by, box["y"] + 12, steps=12)
    during()
    mouse.up()


def move_cutoff_every_way(notebook, output, explorer, i):
    """Drag, slide, type, arrow key: each changes the state, the other controls, and the figure."""
    cutoff = f"{explorer}.cutoffs[{i}]"
    number = output.get_by_role("spinbutton", name=f"cutoff {i + 1}, words")
    before, y = value(notebook, cutoff), figure_y(output, 5)
    drag(output, i, 60, lambda: until(lambda: figure_y(output, 5), lambda new: new != y))
    dragged = until(lambda: value(notebook, cutoff), lambda c: c > before)
    until(lambda: int(number.input_value()), lambda c: c == dragged)

    slider = output.get_by_role("slider", name=f"cutoff {i + 1}", exact=True).and_(output.locator(".noUi-handle"))
    y = figure_y(output, 5)
    slider.focus()
    slider.press("ArrowRight")
    slid = until(lambda: value(notebook, cutoff), lambda c: c > dragged)
    until(lambda: figure_y(output, 5), lambda new: new != y)

    number.fill(str(slid + 1000))
    number.press("Enter")
    until(lambda: value(notebook, cutoff), lambda c: c == slid + 1000)
    picker = output.locator(f".adasoft-picker [role=slider][data-i='{i}']")
    until(lambda: int(picker.get_attribute("aria-valuenow")), lambda c: c == slid + 1000)

    y = figure_y(output, 5)
    picker.focus()
    started = time.perf_counter()
    picker.press("ArrowLeft")
    until(lambda: figure_y(output, 5), lambda new: new != y)
    print(f"arrow key to figure: {1e3 * (time.perf_counter() - started):.0f} ms")
    until(lambda: value(notebook, cutoff), lambda c: c < slid + 1000)
    assert (
        output.locator(".js-plotly-plot").first.evaluate("g => g.data.map(t => t.x.length === t.y.length)")
        == [True] * 6
    )

    number.fill("0")
    number.press("Enter")
    output.get_by_role("alert").get_by_text("refused").wait_for()
    assert int(number.input_value()) == value(notebook, cutoff) > 0


def test_00_start_here(lab, page, shots):
    notebook = opened(page, lab, "00_start_here.ipynb")
    check(notebook.show_cell('ask("full cost")'), "164,444,160", "keep working")
    check(notebook.show_cell('ask("full cost")'), "164.4", "correct")
    commit(notebook.show_cell('predict("half"'), "5000")
    output = notebook.show_cell('predict("speedup"')
    commit(output, "3")
    drawn(output)
    notebook.show_cell('predict("speedup"')
    move_cutoff_every_way(notebook, output, "explorer", 0)
    for button in ("Plan for me", "The authors' cutoffs", "Reset"):
        before = value(notebook, "explorer.cutoffs")
        output.get_by_role("button", name=button).click()
        until(lambda: value(notebook, "explorer.cutoffs"), lambda c, before=before: c != before)
    assert value(notebook, "explorer.cutoffs") == (2000,)
    check(notebook.show_cell('ask("head outputs")'), "2000", "one entry more")
    check(notebook.show_cell('ask("tail share")'), "21.4 %", "correct")
    machine = notebook.show_cell("machine_panel(explorer)")
    machine.get_by_text("a recorded machine, not this one").wait_for()
    # in the place of minutes of timing, which has tests of its own
    quick = "lambda device, seconds, progress: (progress(0.5, 'half'), adasoft.load_cost(device))[1]"
    notebook.evaluate(f"exec('import adasoft') or setattr(adasoft, 'calibrate', {quick})")
    machine.get_by_role("combobox", name="time for it").select_option(index=0)
    machine.get_by_role("button", name="Time this machine").click()
    machine.get_by_text("Timed. All predictions").wait_for()
    cells = [
        'ask("full cost")',
        'predict("half"',
        'predict("speedup"',
        'ask("head outputs")',
        "machine_panel(explorer)",
    ]
    finish(notebook, lab, shots, "00", cells)


def test_01_zipf(lab, page, shots):
    notebook = opened(page, lab, "01_zipf.ipynb")
    check(notebook.show_cell('ask("zipf ratio")'), "990", "keep working")
    output = notebook.show_cell('predict("coverage 95"')
    commit(output, "100 000")
    drawn(output)

    def words():
        return figure_y(output, 4) + output.locator(".js-plotly-plot").first.evaluate("g => Array.from(g.data[4].x)")

    before = words()
    slider = output.locator(".noUi-handle").first
    slider.focus()
    slider.press("ArrowRight")
    before = until(words, lambda new: new != before)
    number = output.get_by_role("spinbutton", name="share of the tokens, %")
    number.fill("95")
    number.press("Enter")
    until(words, lambda new: 16300 in new)
    output.get_by_text("16,300 of 321,180 words").wait_for()
    output.get_by_role("combobox", name="language").select_option("German")
    output.get_by_text("of 634,502 words").wait_for()
    check(notebook.show_cell('ask("words for 95")'), "16300", "correct")
    check(notebook.show_cell('ask("the tail")'), "73013", "keep working")

    own = notebook.show_cell("own_text_panel(explorer)")
    own.get_by_role("textbox", name="or its path").fill(str(lab[2] / "nothing.txt"))
    own.get_by_role("button", name="Read it").click()
    own.get_by_role("alert").get_by_text("Way out").wait_for()
    with page.expect_file_chooser() as chooser:
        own.get_by_role("button", name="Pick a file").click()
    chooser.value.set_files(lab[2] / "own.txt")
    own.get_by_text("Read own.txt").wait_for()
    output = notebook.show_cell('predict("coverage 95"')
    output.get_by_text("In words: own.txt").wait_for()
    own_shot = shots / "01_own_text_light.png"
    page.wait_for_timeout(500)
    output.screenshot(path=own_shot)

    languages = notebook.show_cell('predict("finnish"')
    commit(languages, "16000")
    drawn(languages)

    def names():
        return languages.locator(".js-plotly-plot").first.evaluate("g => g.data.map(t => t.name).filter(n => n)")

    assert names() == ["own.txt", "English", "German", "Finnish"]
    languages.get_by_role("listbox", name="languages").select_option(["English", "French", "Turkish"])
    until(names, lambda n: n == ["own.txt", "English", "French", "Turkish"])
    notebook.show_cell("own_text_panel(explorer)").get_by_role("button", name="Back to English").click()
    until(names, lambda n: n == ["English", "French", "Turkish"])
    languages.get_by_text("English needs 16,300 words and Turkish").wait_for()
    finish(
        notebook,
        lab,
        shots,
        "01",
        ['predict("coverage 95"', "own_text_panel(explorer)", 'predict("finnish"', 'ask("the tail")'],
    )


def test_02_clusters(lab, page, shots):
    notebook = opened(page, lab, "02_clusters.ipynb")
    check(notebook.show_cell('ask("count by hand")'), "3,600", "keep working")
    two = notebook.show_cell('predict("best cut"')
    commit(two, "2000")
    drawn(two)
    two.get_by_role("button", name="Show the best").click()
    until(lambda: two.locator(".js-plotly-plot").first.evaluate("g => g.data[4].visible"), lambda v: v is True)
    before = figure_y(two, 3)
    slider = two.locator(".noUi-handle").first
    slider.focus()
    slider.press("ArrowRight")
    before = until(lambda: figure_y(two, 3), lambda new: new != before)
    number = two.get_by_role("spinbutton", name="words in the first cluster")
    number.fill("15367")
    number.press("Enter")
    until(lambda: figure_y(two, 3), lambda new: new == figure_y(two, 4))
    two.get_by_role("combobox", name="cost model").select_option(index=1)
    two.get_by_text("ms per step").first.wait_for(state="attached")

    swap = notebook.show_cell("swap_panel()")
    swap.get_by_text("as set: 1,900 words per token").wait_for(state="attached")
    swap.get_by_role("button", name="Swap the shares").click()
    swap.get_by_text("better as set").wait_for()
    handle = swap.locator(".noUi-handle").first
    handle.focus()
    handle.press("ArrowRight")
    swap.get_by_text("k = 1,100").first.wait_for(state="attached")
    number = swap.get_by_role("spinbutton", name="words of the large one")
    number.fill("5000")
    number.press("Enter")
    swap.get_by_text("k = 5,000").first.wait_for(state="attached")
    check(notebook.show_cell('ask("swap saving")'), "800", "correct")

    cut = notebook.show_cell("cut_panel(layer)")
    drawn(cut)
    move_cutoff_every_way(notebook, cut, "layer", 1)
    y = figure_y(cut, 2)
    drag(cut, 0, -40, lambda: until(lambda: figure_y(cut, 2), lambda new: new != y))
    cut.get_by_role("combobox", name="number of cutoffs").select_option("3")
    until(lambda: len(figure_y(cut, 0)), lambda n: n == 4)
    cut.get_by_role("combobox", name="width of the tails").select_option(index=2)
    until(lambda: value(notebook, "layer.widths"), lambda w: w == [512] * 3)
    cut.get_by_role("combobox", name="width of the tails").select_option(index=0)
    for name, typed in (("hidden size d", "256"), ("tokens per step B", "1000")):
        box = cut.get_by_role("spinbutton", name=name)
        box.fill(typed)
        box.press("Enter")
    until(lambda: value(notebook, "(layer.in_features, layer.batch)"), lambda v: v == (256, 1000))
    cut.get_by_role("combobox", name="cost model").select_option(index=1)
    cut.get_by_text("ms per step").first.wait_for(state="attached")
    for button in ("The authors' cutoffs", "Plan for me", "Reset"):
        before = value(notebook, "layer.cutoffs")
        cut.get_by_role("button", name=button).click()
        until(lambda: value(notebook, "layer.cutoffs"), lambda c, before=before: c != before)
    assert value(notebook, "layer.cutoffs") == (2000, 10000)
    check(notebook.show_cell('ask("tail width")'), "128", "That is tail 1")
    check(notebook.show_cell('ask("tail token")'), "1.28e6", "projection")
    commit(notebook.show_cell('predict("second cutoff"'), "2")

    game = notebook.show_cell("beat_the_planner(layer)")
    game.get_by_role("button", name="Compare with the planner").click()
    game.get_by_text("The planner is ahead").wait_for()
    y = figure_y(cut, 2)
    drag(game, 1, 40, lambda: until(lambda: figure_y(cut, 2), lambda new: new != y))  # linked to the other panel
    game.get_by_role("button", name="Compare with the planner").click()
    cells = [
        'predict("best cut"',
        "swap_panel()",
        "cut_panel(layer)",
        'predict("second cutoff"',
        "beat_the_planner(layer)",
    ]
    finish(notebook, lab, shots, "02", cells)
