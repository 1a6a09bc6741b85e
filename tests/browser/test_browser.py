"""The notebooks in a real JupyterLab and a real browser: every control moved, light and dark, no request leaves."""

import pytest
from browser.gestures import (
    BROWSER,
    answer_by_keyboard,
    asked_of_other_machines,
    check,
    click,
    commit,
    drawn,
    dropped,
    every_control_was_used,
    figure_y,
    finish,
    guess_again,
    holds,
    illegible,
    inaccessible,
    move_cutoff_every_way,
    opened,
    press,
    restarted,
    run_job,
    typed,
    until,
    use_progress,
    value,
)

pytestmark = BROWSER


def test_00_start_here(lab, page, shots):
    notebook = opened(page, lab, "00_start_here.ipynb")
    # the guard is in the server and in the kernel, and sees what they ask for
    guarded = {int(line.split()[0]) for line in (lab[4] / "guarded.log").read_text().splitlines()}
    assert value(notebook, "__import__('os').getpid()") in guarded
    assert value(notebook, "__import__('os').getppid()") in guarded
    with pytest.raises(RuntimeError, match="no network in this test"):
        notebook.evaluate("__import__('socket').create_connection(('192.0.2.1', 9), 1)")
    assert "192.0.2.1" in asked_of_other_machines(lab)[0]
    (lab[4] / "foreign.log").unlink()

    answer_by_keyboard(notebook, 'ask("full cost")', "164.4", "one token in millions")
    check(notebook.show_cell('ask("full cost")'), "321180 * 512 * 2560 / 1e9", "correct")
    check(notebook.show_cell('ask("full cost")'), "421.0", "Yours: 421", by_mouse_in=notebook)
    assert inaccessible(notebook) == []
    page.evaluate("() => document.querySelector('.jp-Cell-outputArea').append(document.createElement('button'))")
    assert [line for line in inaccessible(notebook) if "button-name" in line]  # it would see it
    page.evaluate("() => document.querySelector('.jp-Cell-outputArea > button').remove()")
    page.evaluate(
        """() => { document.querySelector('.jp-Cell-outputArea').insertAdjacentHTML('beforeend',
        '<svg id=faint><text y=20 fill="rgba(128,128,128,.3)">faint</text></svg>'); }"""
    )
    assert "faint" in "".join(illegible(notebook))
    page.evaluate("() => document.querySelector('#faint').remove()")
    commit(notebook.show_cell('predict("half"'), "5000")
    output = notebook.show_cell('predict("speedup"')
    commit(output, "3")
    output.locator(".adasoft-cut .you").wait_for()
    notebook.show_cell('predict("speedup"')
    assert "find the cutoff with the lowest total" in output.locator(".instruction").inner_text()
    assert output.locator("clipPath rect").get_attribute("width") == "0" and output.locator(".time .end").count() == 0
    move_cutoff_every_way(notebook, output, "explorer", 0)
    for button in ("Plan for me", "The authors' cutoffs", "Reset"):
        before = value(notebook, "explorer.cutoffs")
        click(notebook, output, button)
        until(lambda: value(notebook, "explorer.cutoffs"), lambda c, before=before: c != before)
    assert value(notebook, "explorer.cutoffs") == (2000,)
    for nonsense in ("1.5", "1e9", "-3"):
        box = typed(output, "cutoff 1, words", nonsense)
        output.get_by_role("alert").get_by_text("got").wait_for()
        until(box.input_value, lambda text: text == "2,000")
    check(notebook.show_cell('ask("head outputs")'), "2000", "one entry more")
    check(notebook.show_cell('ask("tail share")'), "21,4 %", "correct")
    machine = notebook.show_cell("machine_panel(explorer)")
    machine.get_by_text("a recorded machine, not this one").wait_for()
    # in the place of minutes of timing, which has tests of its own
    quick = "lambda device, seconds, progress, save: (progress(0.5, 'half'), adasoft.load_cost(device))[1]"
    notebook.evaluate(f"exec('import adasoft') or setattr(adasoft, 'calibrate', {quick})")
    machine.get_by_role("combobox", name="how long to measure").select_option(index=0)
    run_job(machine, "Time this machine")
    machine.get_by_text("Timed. All predictions").wait_for()
    endless = "lambda device, seconds, progress, save: [progress(0.5, 'on and on') for _ in iter(int, 1)]"
    notebook.evaluate(f"setattr(adasoft, 'calibrate', {endless})")
    press(machine, "Time this machine")
    press(machine, "Stop")
    machine.get_by_text("Stopped.").wait_for()

    # what was chosen survives a restart, after which old panels say that they are dead; and it can be forgotten
    typed(output, "cutoff 1, words", "4000")
    holds(notebook, "explorer.cutoffs", (4000,))
    page.evaluate(
        "async () => { await window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart(); }"
    )
    page.wait_for_function(
        """() => { const panels = [...document.querySelectorAll('.adasoft, .adasoft-answer')];
        return panels.length && panels.every(e => getComputedStyle(e, '::before').content.includes('lost its kernel'));
        }"""
    )
    assert notebook.run_all(), notebook.errors()
    assert value(notebook, "explorer.cutoffs") == (4000,)
    scene = notebook.show_cell("token_panel(explorer, cutoffs=[2_000])")
    scene.get_by_text("a head of 2,000 words").wait_for()  # as the picture above it and the questions
    machine = notebook.show_cell("machine_panel(explorer)")
    press(machine, "Forget my choices")
    holds(notebook, "explorer.cutoffs", (2000,))
    assert value(notebook, "explorer._choices.path.exists()") is False
    for cell in ('predict("half"', 'predict("speedup"'):
        commit(notebook.show_cell(cell), "12")
    notebook.show_cell('predict("speedup"').locator(".adasoft-cut .you").wait_for()
    for cell in ('predict("half"', 'predict("speedup"'):
        guess_again(notebook.show_cell(cell), "15")
    notebook.show_cell('predict("half"').get_by_text("✕ your guess").wait_for()
    paper = notebook.show_cell("paper_panel(explorer)")
    commit(paper, "9")
    for setting in ("10,000 words", "d = 128, B = 512", "a head of 1,400 words"):
        paper.get_by_role("button", name=f"Take over: {setting}").click()
    paper.get_by_text("the paper measured 2.4").wait_for()
    bars = paper.locator(".bars path")
    until(lambda: bars.evaluate_all("ps => ps.map(p => getComputedStyle(p).fill)"), lambda fills: len(set(fills)) == 2)
    fills = bars.evaluate_all("ps => ps.map(p => getComputedStyle(p).fill)")
    assert "rgb(0, 0, 0)" not in fills and fills[-1].startswith("url(") and len(set(fills[:5])) == 1
    press(paper, "Start again")
    guess_again(paper, "4")
    scene = notebook.show_cell("token_panel(explorer, cutoffs=[2_000])")
    for name in ("Play", "Step", "Sentence 1", "Sentence 2"):
        press(scene, name)
    typed(scene, "Yours", "an axolotl", role="textbox")
    scene.get_by_role("button", name="Yours 1: ").click()  # with its result, once it was played
    scene.get_by_role("button", name="Yours 1: ").wait_for()
    check(notebook.show_cell('ask("typical error")'), "230", "how far off")
    use_progress(notebook, "00")
    cells = [
        "token_panel(explorer, cutoffs=[2_000])",
        'ask("full cost")',
        'predict("half"',
        'predict("speedup"',
        'ask("head outputs")',
        "paper_panel(explorer)",
        "machine_panel(explorer)",
    ]
    every_control_was_used(notebook)
    finish(notebook, lab, shots, "00", cells)


def _read_every_way(notebook, reading):
    """The text of 01: played, dragged, moved by keys, in another language, with a sentence of one's own."""
    handle = reading.get_by_role("slider", name="words known")

    def known():
        return int(handle.get_attribute("aria-valuenow"))

    press(reading, "Play")
    until(known, lambda n: n > 1)
    press(reading, "Pause")
    handle.focus()
    handle.press("Home")
    until(known, lambda n: n == 1)
    for key in ("ArrowRight", "PageUp", "PageUp"):
        before = known()
        handle.press(key)
        until(known, lambda n, before=before: n > before)
    strip = reading.locator(".adasoft-reading svg").bounding_box()
    notebook.page.mouse.move(strip["x"] + 0.2 * strip["width"], strip["y"] + 60)
    notebook.page.mouse.down()
    notebook.page.mouse.move(strip["x"] + 0.6 * strip["width"], strip["y"] + 60)
    notebook.page.mouse.up()
    until(known, lambda n: 1000 < n < 4000)
    marmalade = reading.locator(".piece", has_text="marmalade")
    assert "seen" not in marmalade.get_attribute("class")
    notebook.page.mouse.click(strip["x"] + 0.82 * strip["width"], strip["y"] + 60)
    until(known, lambda n: 25_000 < n < 47_000)
    press(reading, "Play")  # it ends where all of the text is there, and says where that was
    reading.get_by_text("The rarest, “hedonism”, is the 47,868th; the first 67 give half.").wait_for()
    assert known() == 47_868 and reading.get_by_role("button", name="Play again").is_visible()
    handle.press("End")
    until(lambda: "seen" in marmalade.get_attribute("class"), bool)
    reading.get_by_text("64 of 64").wait_for()
    assert reading.locator(".shelved.here").count() == 0  # the last word, an emoji, is not shown: none stands for it
    press(reading, "A human right")
    assert notebook.page.evaluate("() => document.activeElement.textContent") == "A human right"  # the focus stays
    press(reading, "The librarian")
    typed(reading, "Your sentence", "...", role="textbox")
    reading.get_by_text("There is no word in “...”.").wait_for()
    typed(reading, "Your sentence", "an axolotl zzqqx 42", role="textbox")
    reading.get_by_text("3 of 4").wait_for()
    reading.get_by_text("In a dashed box: a word that this list lacks.").wait_for()
    assert "all such numbers as one word" in reading.locator(".piece", has_text="42").get_attribute("title")
    press(reading, "Yours")
    reading.get_by_role("combobox", name="language").select_option("Finnish")
    # what is read now is the text in that language, not the sentence in the one before
    reading.get_by_role("button", name="A human right").and_(reading.locator("[aria-pressed=true]")).wait_for()
    assert reading.locator(".piece", has_text="ihmiset").count() == 1
    reading.get_by_text("most frequent words of Finnish").or_(
        reading.get_by_text("of Finnish you can")
    ).first.wait_for()
    reading.get_by_role("combobox", name="language").select_option("English")
    reading.get_by_text("of English you can").wait_for()


def test_01_zipf(lab, page, shots):
    notebook = opened(page, lab, "01_zipf.ipynb")
    reading = notebook.show_cell("reading_panel(explorer)")
    _read_every_way(notebook, reading)
    check(notebook.show_cell('ask("zipf ratio")'), "990", "not yet")
    output = notebook.show_cell('predict("coverage 95"')
    commit(output, "100 000")
    drawn(notebook, output)

    def words():
        return figure_y(output, 4) + output.locator(".js-plotly-plot").first.evaluate("g => Array.from(g.data[4].x)")

    titles_and_legend = """g => { const box = e => e.getBoundingClientRect();
      return [Math.max(...[...g.querySelectorAll('.xtitle, .x2title')].map(e => box(e).bottom)),
              box(g.querySelector('.legend')).top, g.layout.width]; }"""
    plot, size = output.locator(".js-plotly-plot").first, page.viewport_size
    for width in (1000, 1400, size["width"]):  # another width: the legend stays below the titles of the axes
        page.set_viewport_size({**size, "width": width})
        notebook.show_cell('predict("coverage 95"')
        room = plot.evaluate("g => g.clientWidth")
        until(lambda: plot.evaluate("g => g.layout.width"), lambda wide, room=room: wide == room)
        until(lambda: plot.evaluate(titles_and_legend), lambda found: found[0] < found[1])
    before = words()
    slider = output.locator(".adasoft-slider input").first
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
    check(notebook.show_cell('ask("five points more")'), "29656", "That is German")
    check(notebook.show_cell('ask("five points more")'), "16300", "the first 90 % need many")
    check(notebook.show_cell('ask("five points more")'), "16300 - 6995", "correct")
    check(notebook.show_cell('ask("the tail")'), "73013", "not yet", by_mouse_in=notebook)

    own = notebook.show_cell("own_text_panel(explorer)")
    path = own.get_by_role("textbox", name="or its path")
    path.fill(str(lab[2] / "nothing.txt"))
    path.press("Enter")
    own.get_by_role("alert").get_by_text("there is no file").wait_for()
    path.fill(str(lab[2] / "own.txt"))
    module = "__import__('sys').modules['adasoft.lessons.words.own_text']"
    notebook.evaluate(f"setattr({module}, 'read_words', lambda *_: all(x == 0 for x in iter(int, 1)))")
    press(own, "Read it")
    press(own, "Stop")
    own.get_by_text("Stopped.").wait_for()
    languages = "__import__('sys').modules['adasoft.lessons.kit.languages']"
    notebook.evaluate(f"setattr({module}, 'read_words', {languages}.read_words)")
    own.get_by_role("combobox", name="read it as").select_option("a text")
    with page.expect_file_chooser() as chooser:
        own.get_by_role("button", name="Pick a file").press("Enter")
    chooser.value.set_files(lab[2] / "own.txt")
    own.get_by_text("Read own.txt").wait_for()
    own.get_by_text("80 % of the tokens of own.txt").wait_for()
    assert own.locator(".js-plotly-plot").first.evaluate("g => g.data[0].name") == "own.txt"
    output = notebook.show_cell('predict("coverage 95"')
    output.get_by_text("own.txt: ").wait_for()
    languages = notebook.show_cell('predict("finnish"')
    commit(languages, "16000")
    drawn(notebook, languages)

    def names():
        return languages.locator(".js-plotly-plot").first.evaluate(
            "g => g.data.filter(t => t.showlegend).map(t => t.name)"
        )

    assert names() == ["own.txt", "English", "German", "Finnish", "your guess, Finnish"]
    for name in ("German", "Finnish", "French", "Turkish", "English", "English"):
        languages.get_by_role("checkbox", name=name).press("Space")
    until(names, lambda n: n == ["own.txt", "English", "French", "Turkish"])
    far = value(notebook, "len(explorer.vocabulary)")
    known = reading.get_by_role("slider", name="words known")
    assert int(known.get_attribute("aria-valuenow")) == far  # as many as the short text has
    press(own, "Back to English")
    until(names, lambda n: n == ["English", "French", "Turkish"])
    assert page.evaluate("() => document.activeElement.textContent.trim()") == "Back to English"  # the focus stays
    until(lambda: known.get_attribute("aria-valuenow"), lambda n: n == "321180")  # where the handle was
    languages.get_by_text("English needs 9,866 words and Turkish").wait_for()  # above the floor of the Turkish list
    for name in ("Spanish", "Italian", "Dutch"):
        languages.get_by_role("checkbox", name=name).press("Space")
    until(names, lambda n: n == ["English", "French", "Spanish", "Italian", "Dutch", "Turkish"])
    others = ("German", "Finnish", "Polish", "Czech", "Russian", "Arabic", "Bulgarian", "Danish", "Greek", "Hungarian")
    for name in (*others, "Japanese", "Chinese"):  # six are drawn: the next is refused by name, and is not ticked
        box = languages.get_by_role("checkbox", name=name)
        box.press("Space")
        languages.get_by_role("alert").get_by_text(f"untick one first, then {name}").wait_for()
        until(box.is_checked, lambda ticked: not ticked)
    assert page.evaluate("() => document.activeElement.type") == "checkbox"  # the focus stays
    # dropped, larger than one message can be; and kept over a restart
    own = notebook.show_cell("own_text_panel(explorer)")
    dropped(own, "large.txt", "one fish two fish red fish blue fish and one more\n" * 100_000)
    own.get_by_text("Read large.txt: 1,100,000 tokens, 7 different words").wait_for()
    restarted(notebook)
    assert value(notebook, "(explorer.vocabulary.name, explorer.vocabulary.total)") == ("large.txt", 1_100_000)
    for cell in ('predict("coverage 95"', 'predict("finnish"'):
        guess_again(notebook.show_cell(cell), "100")
        drawn(notebook, notebook.show_cell(cell))
    press(notebook.show_cell("own_text_panel(explorer)"), "Back to English")
    holds(notebook, "explorer.vocabulary.name", "English")
    check(notebook.show_cell('ask("finnish tail")'), "1/1.9", "Upside down")
    use_progress(notebook, "01")
    every_control_was_used(notebook)
    finish(
        notebook,
        lab,
        shots,
        "01",
        [
            "reading_panel(explorer)",
            'predict("coverage 95"',
            "own_text_panel(explorer)",
            'predict("finnish"',
            'ask("the tail")',
        ],
    )
