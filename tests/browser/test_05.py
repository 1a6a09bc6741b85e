"""Notebook 05, what the layer computes: every control by keyboard and mouse, light and dark."""

import statistics

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
    holds,
    latency,
    opened,
    press,
    restarted,
    slid,
    typed,
    until,
    value,
)

pytestmark = BROWSER

WORD, ROUTING, GRADIENT = "word_panel(explorer)", 'predict("tail tokens"', 'predict("digits"'
DROP_IN, TRAIN, DECODING = "drop_in_panel(explorer)", "train_panel(explorer)", 'predict("opened"'


@pytest.mark.timeout(900)
def test_05_layer(lab, page, shots):
    page.set_default_timeout(120_000)  # a busy machine, and torch to load
    notebook = opened(page, lab, "05_layer.ipynb")

    # one word
    word = notebook.show_cell(WORD)
    drawn(notebook, word)
    y = figure_y(word, 0)
    typed(word, "word", "the", role="textbox")
    holds(notebook, "explorer.word", 1)
    y = until(lambda: figure_y(word, 0), lambda new: new != y)
    assert figure_y(word, 1) == [0]
    typed(word, "word", "zyzzyva", role="textbox")
    word.get_by_role("alert").get_by_text("is not among the 5,000 words").wait_for()
    typed(word, "rank of the word", "1500")
    holds(notebook, "explorer.word", 1500)
    slid(word, "rank")
    until(lambda: value(notebook, "explorer.word"), lambda r: r > 1500)
    slid(word, "state")
    holds(notebook, "explorer.state", 2)
    typed(word, "hidden state, number", "7")
    holds(notebook, "explorer.state", 7)

    def parts():
        """The two parts of the loss, in the kernel and as drawn."""
        said = value(notebook, "[getattr(explorer.reading(), part + '_part') for part in ('head', 'tail')]")
        return [*said, *figure_y(word, 0), *figure_y(word, 1)]

    def agreed(found):
        return max(abs(found[i] - found[i + 2]) for i in (0, 1)) < 1e-9

    before = until(parts, agreed)
    drag(notebook, word, 0, 30, lambda: until(lambda: figure_y(word, 0), lambda new: new != before[2:3]))
    until(lambda: value(notebook, "explorer.cutoffs[0]"), lambda c: c > 500)
    after = until(parts, agreed)
    # it knows the counts only: the parts trade, the sum stays
    assert after[0] != before[0] and abs(sum(after) - sum(before)) < 1e-6
    typed(word, "cutoff 2, words", "1800")
    holds(notebook, "explorer.cutoffs[1]", 1800)
    slid(word, "cutoff 2")
    until(lambda: value(notebook, "explorer.cutoffs[1]"), lambda c: c > 1800)
    word.locator(".adasoft-picker [role=slider][data-i='1']").press("ArrowRight")
    slid(word, "cutoff 1", "ArrowLeft")
    times = latency(word, 0)
    print(f"arrow key to redrawn plots, median of {len(times)}: {statistics.median(times):.0f} ms")
    word.get_by_role("combobox", name="number of cutoffs").select_option("3")
    word.get_by_text("tail 3, not run").wait_for(state="attached")
    typed(word, "hidden size d", "24")
    typed(word, "words V", "3000")
    holds(notebook, "(explorer.in_features, len(explorer.vocabulary))", (24, 3000))
    typed(word, "words V", "3")
    word.get_by_role("alert").get_by_text("V should be from 20").wait_for()
    typed(word, "words V", "5000")
    typed(word, "hidden size d", "32")
    holds(notebook, "(explorer.in_features, len(explorer.vocabulary))", (32, 5000))
    # what was chosen survives a restart
    typed(word, "rank of the word", "222")
    typed(word, "cutoff 1, words", "300")
    holds(notebook, "(explorer.word, explorer.cutoffs[0])", (222, 300))
    chosen = value(notebook, "(explorer.word, explorer.cutoffs, explorer.state, explorer.in_features)")
    restarted(notebook)
    holds(notebook, "(explorer.word, explorer.cutoffs, explorer.state, explorer.in_features)", chosen)
    word = notebook.show_cell(WORD)
    drawn(notebook, word)
    word.get_by_role("combobox", name="number of cutoffs").select_option("2")
    press(word, "Reset")
    holds(notebook, "(explorer.cutoffs, explorer.word, explorer.state)", ((500, 2000), 1000, 1))
    check(notebook.show_cell('ask("chain")'), "1.609", "not yet")
    check(notebook.show_cell('ask("chain")'), "6.21", "correct", by_mouse_in=notebook)

    # a batch
    routing = notebook.show_cell(ROUTING)
    commit(routing, "600")
    routing.get_by_text("28 of 28 tokens count").wait_for()
    typed(routing, "tokens drawn", "40")
    routing.get_by_text("40 of 40 tokens count").wait_for()
    slid(routing, "tokens")
    routing.get_by_text("41 of 41 tokens count").wait_for()
    picture = routing.locator("svg[role=img]").inner_html()
    click(notebook, routing, "Draw another batch")
    until(lambda: routing.locator("svg[role=img]").inner_html(), lambda new: new != picture)
    routing.get_by_role("checkbox", name="every fifth target is padding (ignored)").press("Space")
    routing.get_by_text("32 of 41 tokens count").wait_for()
    typed(routing, "tokens drawn", "500")
    routing.get_by_role("alert").get_by_text("the picture takes 4 to 60").wait_for()
    check(notebook.show_cell('ask("rows")'), "1,000", "not yet")

    # gradients
    gradient = notebook.show_cell(GRADIENT)
    commit(gradient, "12")
    gradient.get_by_text("backward()", exact=True).wait_for()
    gradient.get_by_role("combobox", name="parameter").select_option("tail.1.1.weight")
    gradient.get_by_text("tail.1.1.weight[0, 0]").wait_for()
    typed(gradient, "row, from 0", "12")
    typed(gradient, "column, from 0", "3")
    gradient.get_by_text("tail.1.1.weight[12, 3]").wait_for()
    typed(gradient, "column, from 0", "8")
    gradient.get_by_role("alert").get_by_text("column 8 is refused").wait_for()
    slid(gradient, "step ε", "ArrowLeft")
    gradient.get_by_text("ε = 5.6e-06").wait_for()
    typed(gradient, "step, power of ten", "-3")
    gradient.get_by_text("ε = 0.001").wait_for()
    gradient.get_by_role("checkbox", name="a batch without tokens of the last tail").click()
    gradient.get_by_text("No token used tail.1.0.weight, tail.1.1.weight").wait_for()
    check(notebook.show_cell('ask("difference")'), "1.2", "2ε apart")
    check(notebook.show_cell('ask("gradients")'), "7", "correct")

    # beside PyTorch's layer
    drop_in = notebook.show_cell(DROP_IN)
    drop_in.get_by_text("PyTorch's layer refuses, ours answers").wait_for()
    cases = drop_in.get_by_role("combobox", name="hand both layers")
    for case, said in (
        ("a plain batch", "Both answer"),
        ("a div_value that leaves a tail no width", "ours refuses"),
        ("autocast to bfloat16", "index_copy_"),
    ):
        cases.select_option(case)
        drop_in.get_by_text(said).first.wait_for()

    # training, and what it does to the panels above
    train = notebook.show_cell(TRAIN)
    # without an end, so that the stop cannot come too late
    notebook.evaluate("setattr(explorer, 'train', lambda steps, **how: type(explorer).train(explorer, 10**6, **how))")
    press(train, "Train")
    train.get_by_text("training ...").wait_for()
    press(train, "Stop")
    ended(train, "Train")
    notebook.evaluate("delattr(explorer, 'train')")
    press(train, "Train")
    until(lambda: value(notebook, "len(explorer.losses)"), lambda n: n == 200, seconds=180)
    train.get_by_text("200 steps of 1,024 tokens").wait_for()

    # decoding
    decoding = notebook.show_cell(DECODING)
    commit(decoding, "20")
    drawn(notebook, decoding)
    typed(decoding, "best words asked for, k", "1")
    decoding.get_by_text("word number 1 has").wait_for()
    until(lambda: figure_y(decoding, 3), lambda shares: shares[0] < 0.9 and shares[-1] > 0.9)
    slid(decoding, "k")
    holds(notebook, "explorer.k", 2)
    shares = figure_y(decoding, 4)
    typed(decoding, "confidence (times the state)", "4")
    until(lambda: figure_y(decoding, 4), lambda new: new != shares)
    slid(decoding, "confidence")
    holds(notebook, "explorer.confidence", 4.1)
    slid(decoding, "state")
    holds(notebook, "explorer.state", 2)
    typed(decoding, "hidden state, number", "65")
    decoding.get_by_role("alert").get_by_text("hidden state should be from 1 to 64").wait_for()
    click(notebook, decoding, "Reset")
    holds(notebook, "(explorer.k, explorer.confidence)", (10, 1.0))
    check(notebook.show_cell('ask("skip")'), "2", "must be opened")

    # own words, and back; the word panel follows
    own = notebook.show_cell("own_text_panel(explorer)")
    own.get_by_role("combobox", name="read it as").select_option("a text")
    with page.expect_file_chooser() as chooser:
        own.get_by_role("button", name="Pick a file").press("Enter")
    chooser.value.set_files(lab[2] / "own.txt")
    own.get_by_text("Read own.txt").wait_for()
    press(own, "Back to English")
    holds(notebook, "len(explorer.vocabulary)", 5000)
    own.get_by_role("textbox", name="or its path").fill(str(lab[2] / "own.txt"))
    press(own, "Read it")
    own.get_by_text("Read own.txt").wait_for()
    until(lambda: value(notebook, "len(explorer.vocabulary)"), lambda n: n < 20)
    press(own, "Back to English")
    holds(notebook, "len(explorer.vocabulary)", 5000)
    word = notebook.show_cell(WORD)
    press(word, "Reset")
    holds(notebook, "explorer.cutoffs", (500, 2000))
    press(notebook.show_cell(TRAIN), "Back to the counts")
    holds(notebook, "explorer.losses", [])

    every_control_was_used(notebook)
    finish(notebook, lab, shots, "05", [WORD, ROUTING, GRADIENT, DROP_IN, TRAIN, DECODING])
