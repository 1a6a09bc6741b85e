"""Notebook 05, what the layer computes: every control by keyboard and mouse, light and dark."""

import re

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
    opened,
    press,
    restarted,
    slid,
    typed,
    until,
    value,
)

pytestmark = BROWSER

BATCH, COUNTS, LAYOUT = "batch_panel(explorer)", 'predict("tail tokens"', "layout_panel(explorer)"
WORD, GRADIENT, DROP_IN = "word_panel(explorer)", 'predict("digits"', "drop_in_panel(explorer)"
TRAIN, DECODING, WRITE = "train_panel(explorer)", 'predict("opened"', "def adaptive_loss"


def rows_of(batch):
    """The words of a batch from top to bottom, and how many scores of each cluster are lit."""
    return batch.locator("svg").first.evaluate(
        """svg => { const rows = [...svg.querySelectorAll('.row')];
        const at = row => Number(row.style.transform.match(/[\\d.]+/)[0]);
        return [rows.sort((a, b) => at(a) - at(b)).map(row => row.querySelector('text').textContent),
          [0, 1, 2].map(i => svg.querySelectorAll(`.cell.c${i}.lit`).length)]; }"""
    )


def slide(notebook, page):
    """The batch that slides: played, stepped, drawn, typed, padded; sorted as the layer sorts it."""
    batch = notebook.show_cell(BATCH)
    words, lit = rows_of(batch)
    assert words[:4] == ["she", "told", "the", "old"] and lit == [0, 0, 0]
    press(batch, "Play")
    until(lambda: rows_of(batch)[1], lambda lit: lit == [21, 3, 3])
    assert rows_of(batch)[0] == sorted(
        words, key=lambda word: value(notebook, f"explorer.vocabulary.rank_of({word!r})")
    )
    batch.get_by_text("24,042 scores instead of 105,000").wait_for()
    batch.get_by_text("7.5 times fewer multiplications than a full softmax.").wait_for()
    click(notebook, batch, "Another batch")
    for _ in range(4):
        press(batch, "Step")
    batch.get_by_text("Nobody came to tail 2: it stays closed").wait_for()
    assert rows_of(batch)[1] == [20, 1, 0] and batch.locator("svg .closed", has_text="closed").count() == 1
    press(batch, "Another batch")  # now drawn by the counts, 20 words
    assert len(rows_of(batch)[0]) == 20 and rows_of(batch)[0] != words
    batch.get_by_role("checkbox", name="every fifth target is padding").press("Space")
    batch.get_by_text("4 targets ignored: 4 are padding").wait_for()
    batch.get_by_role("checkbox", name="every fifth target is padding").press("Space")
    page.emulate_media(reduced_motion="reduce")
    assert batch.locator(".row").first.evaluate("row => getComputedStyle(row).transitionDuration") in ("0s", "")
    page.emulate_media(reduced_motion="no-preference")
    typed(batch, "Yours", "The zyzzyva saw a storm", role="textbox")
    batch.get_by_text("1 target ignored: 1 is not among the 5,000 words").wait_for()
    assert batch.get_by_role("button", name="Pause").count() == 0  # it waits for Play
    batch.get_by_role("checkbox", name="every fifth target is padding").press("Space")
    batch.get_by_text("2 targets ignored: 1 is padding, 1 is not among the 5,000 words").wait_for()
    assert rows_of(batch)[0].count("(padding)") == 1 and "zyzzyva (unlisted)" in rows_of(batch)[0]
    batch.get_by_role("checkbox", name="every fifth target is padding").press("Space")
    press(batch, "Step")
    batch.get_by_text("1 of 5 · The head scores its 500 words").wait_for()
    typed(batch, "Yours", "xyzzy qqqq", role="textbox")
    batch.get_by_text("Nothing to score: none of these words is among the 5,000").wait_for()
    press(batch, "Step")
    assert batch.get_by_text("0 rows").count() == 0
    return batch


@pytest.mark.timeout(900)
def test_05_layer(lab, page, shots):
    page.set_default_timeout(120_000)  # a busy machine, and torch to load
    notebook = opened(page, lab, "05_layer.ipynb")

    slide(notebook, page)
    counts = notebook.show_cell(COUNTS)
    commit(counts, "600")
    counts.get_by_text("your guess: 600").wait_for(state="attached")
    picture = counts.locator("svg[role=img]").inner_html()
    click(notebook, counts, "Draw another")
    until(lambda: counts.locator("svg[role=img]").inner_html(), lambda new: new != picture)
    typed(counts, "tokens in the batch B", "512")
    counts.get_by_text("of 512 tokens").wait_for(state="attached")
    typed(counts, "tokens in the batch B", "1024")
    check(notebook.show_cell('ask("rows")'), "1,150", "You left out tail 2")

    # one word
    word = notebook.show_cell(WORD)
    typed(word, "word", "the", role="textbox")
    holds(notebook, "explorer.word", 1)
    word.get_by_text("“the”, rank 1 of 5,000, is in the head").wait_for()
    assert word.get_by_text("not run", exact=True).count() == 2
    typed(word, "word", "zyzzyva", role="textbox")
    word.get_by_role("alert").get_by_text("is not among the 5,000 words").wait_for()
    typed(word, "rank of the word", "1500")
    holds(notebook, "explorer.word", 1500)
    slid(word, "rank")
    until(lambda: value(notebook, "explorer.word"), lambda r: r > 1500)
    slid(word, "hidden state")
    holds(notebook, "explorer.state", 2)
    typed(word, "number of the hidden state", "7")
    holds(notebook, "explorer.state", 7)

    def parts():
        """The loss in the kernel, and the cutoff and the loss that the panel says."""
        said = word.get_by_text(re.compile("forward\\(\\) agrees")).inner_text()
        head = re.search(r"= ([\d.]+) \(head\)", said)
        total = re.search(r"= ([\d.]+) nats", said)
        return value(notebook, "round(explorer.reading().head_part, 4)"), float(head[1] if head else 0), float(total[1])

    before = until(parts, lambda found: found[0] == found[1])
    drag(notebook, word, 0, 30, lambda: until(parts, lambda found: found[1] != before[1]))
    until(lambda: value(notebook, "explorer.cutoffs[0]"), lambda c: c > 500)
    # it knows the counts only: loss moves from one part to the other, the sum stays
    after = until(parts, lambda found: found[0] == found[1])
    assert after[1] != before[1] and after[2] == before[2]
    typed(word, "cutoff 2, words", "1800")
    holds(notebook, "explorer.cutoffs[1]", 1800)
    slid(word, "cutoff 2")
    until(lambda: value(notebook, "explorer.cutoffs[1]"), lambda c: c > 1800)
    word.locator(".adasoft-picker [role=slider][data-i='1']").press("ArrowRight")
    slid(word, "cutoff 1", "ArrowLeft")
    # a refused number says why beside its box, until something is taken
    typed(word, "cutoff 1, words", "3000")
    word.locator(".adasoft-number").get_by_role("alert").get_by_text("c1 should be from 1 to").wait_for()
    assert word.get_by_role("spinbutton", name="cutoff 1, words").get_attribute("aria-invalid") == "true"
    # so does one that was put in without a key and left
    word.get_by_role("spinbutton", name="cutoff 1, words").evaluate(
        """box => { box.focus(); box.value = '4000'; box.dispatchEvent(new Event('input')); box.blur(); }"""
    )
    word.locator(".adasoft-number").get_by_role("alert").get_by_text("here, got 4,000").wait_for()
    slid(word, "cutoff 1", "ArrowLeft")
    word.get_by_role("alert").get_by_text("c1 should be").wait_for(state="detached")
    word.get_by_role("combobox", name="number of cutoffs").select_option("3")
    word.get_by_text("tail 3", exact=True).first.wait_for(state="attached")
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
    word.get_by_role("combobox", name="number of cutoffs").select_option("2")
    press(word, "Reset")
    holds(notebook, "(explorer.cutoffs, explorer.word, explorer.state)", ((500, 2000), 1000, 1))
    # a narrow tail keeps its number; a share that is not counted yet is not read out
    typed(word, "cutoff 1, words", "1700")
    bands = word.locator(".adasoft-picker .band")
    until(bands.all_text_contents, lambda names: names[0].startswith("head") and names[1:] == ["1", "tail 2"])
    handle = word.locator(".adasoft-picker [role=slider][data-i='0']")
    told = handle.evaluate(
        """handle => { handle.dispatchEvent(new KeyboardEvent('keydown', {key: 'PageDown', bubbles: true}));
        return handle.getAttribute('aria-valuetext'); }"""
    )
    assert told == "1,360 words"
    until(lambda: handle.get_attribute("aria-valuetext"), lambda text: text.startswith("1,360 words; head · "))
    press(word, "Reset")
    holds(notebook, "explorer.cutoffs", (500, 2000))
    check(notebook.show_cell('ask("chain")'), "1.609", "not yet")
    check(notebook.show_cell('ask("chain")'), "6.21", "correct", by_mouse_in=notebook)

    # what was guessed is there again after the restart, and drawn; another guess is answered, and the first stays
    counts = notebook.show_cell(COUNTS)
    counts.get_by_text("your guess: 600").wait_for(state="attached")
    press(counts, "Guess again")
    counts.get_by_role("button", name="Guess again").wait_for(state="hidden")
    commit(counts, "250")
    counts.get_by_text("This time you said 250").wait_for()
    counts.get_by_text("your guess: 600").wait_for(state="attached")
    holds(notebook, "explorer.recall('guess tail tokens')", 600)
    write = notebook.show_cell(WRITE)
    write.get_by_text("missing").first.wait_for()

    # gradients
    gradient = notebook.show_cell(GRADIENT)
    commit(gradient, "12")
    gradient.get_by_text("backward()", exact=True).wait_for()
    gradient.get_by_text("your guess", exact=True).wait_for(state="attached")
    gradient.get_by_role("combobox", name="parameter").select_option("tail 2 · tail.1.1.weight")
    gradient.get_by_text("tail.1.1.weight[0, 1]").wait_for()
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
    gradient.get_by_text("No token used tail 2 · tail.1.0.weight, tail 2 · tail.1.1.weight").wait_for()
    gradient.get_by_text("Both are exactly zero").wait_for()
    typed(gradient, "row, from 0", "99999")
    gradient.get_by_role("alert").get_by_text("row 99,999 is refused").wait_for()
    check(notebook.show_cell('ask("difference")'), "1.2", "2ε apart")
    check(notebook.show_cell('ask("gradients")'), "7", "correct")

    # beside PyTorch's layer
    drop_in = notebook.show_cell(DROP_IN)
    drop_in.get_by_text("A plain batch: Both answer").wait_for()
    cases = drop_in.get_by_role("combobox", name="give both layers")
    for case, said in (
        ("padding (targets of -100)", "PyTorch's layer refuses, ours answers"),
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
    train.get_by_text("Training ...").wait_for()
    press(train, "Stop")
    ended(train, "Train")
    train.get_by_text("Training ...").wait_for(state="detached")
    notebook.evaluate("delattr(explorer, 'train')")
    press(train, "Train")
    until(lambda: value(notebook, "len(explorer.losses)"), lambda n: n == 200, seconds=180)
    train.get_by_text("200 steps of 1,024 tokens").wait_for()

    # decoding
    decoding = notebook.show_cell(DECODING)
    commit(decoding, "20")
    drawn(notebook, decoding)
    decoding.get_by_text("word number 1 has").wait_for()
    holds(notebook, "explorer.k", 1)  # what the guess was for
    typed(decoding, "best words asked for, k", "100")
    decoding.get_by_role("alert").get_by_text("k should be from 1 to 50, got 100").wait_for()
    typed(decoding, "best words asked for, k", "10")
    decoding.get_by_text("word number 10 has").wait_for()
    typed(decoding, "best words asked for, k", "1")
    decoding.get_by_text("word number 1 has").wait_for()
    until(lambda: figure_y(decoding, 3), lambda shares: shares[0] < 0.9 and shares[-1] > 0.9)
    decoding.get_by_text("With the second rule, topk opens").wait_for()
    decoding.get_by_role("checkbox", name="with the second rule").press("Space")
    decoding.get_by_text("With the second rule, topk opens").wait_for(state="detached")
    decoding.get_by_role("checkbox", name="with the second rule").press("Space")
    decoding.get_by_text("With the second rule, topk opens").wait_for()
    slid(decoding, "k")
    holds(notebook, "explorer.k", 2)
    points = decoding.locator("svg[role=img] circle[r='3.5']").evaluate_all("all => all.map(one => one.outerHTML)")
    slid(decoding, "hidden state")
    holds(notebook, "explorer.state", 2)
    until(
        lambda: decoding.locator("svg[role=img] circle[r='3.5']").evaluate_all("all => all.map(one => one.outerHTML)"),
        lambda new: len(new) == len(points) and new != points,
    )
    best = value(notebook, "[explorer.word_name(rank).strip('“”') for rank, _ in explorer.best_words(explorer.k)]")
    until(lambda: decoding.locator(".adasoft-chip em").all_inner_texts(), lambda words: words == best)
    typed(decoding, "number of the hidden state", "65")
    decoding.get_by_role("alert").get_by_text("hidden state should be from 1 to 64").wait_for()
    click(notebook, decoding, "Reset")
    holds(notebook, "(explorer.k, explorer.state)", (1, 1))
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
    holds(notebook, "len(explorer.losses)", 200)  # another text does not forget what was trained
    press(notebook.show_cell(TRAIN), "Back to the counts")
    holds(notebook, "explorer.losses", [])

    every_control_was_used(notebook)
    finish(notebook, lab, shots, "05", [BATCH, COUNTS, LAYOUT, WORD, WRITE, GRADIENT, DROP_IN, TRAIN, DECODING])
