"""What every lesson has: questions, guesses, an exercise and the progress, by keyboard and mouse, over a restart."""

import nbformat
from browser.gestures import BROWSER, check, click, commit, finish, holds, opened, press, restarted, until, value

pytestmark = BROWSER

TOY = """
import numpy as np
from adasoft.lessons import *
from adasoft.lessons.kit import exercises, progress, report
def share(counts, cutoff):
    return counts[:cutoff].sum() / counts.sum()
known = {"share": exercises.Exercise(
    "Computes the share of the tokens in the head.", share, lambda: [(np.array([6.0, 3, 1]), 1), (np.ones(4), 3)],
    {"That is the tail's share.": lambda counts, cutoff: 1 - share(counts, cutoff)}, lesson="02")}
for room in (exercises, progress, report):
    room.exercises = lambda: known
explorer = Explorer.for_lesson("02 counting", cost=COUNTED_WORDS)
"""
MINE = 'def mine(counts, cutoff):\n    """The share of the tokens in the head."""\n    {}\n\ncheck("share", mine)'
PICTURE = "![A dot.](data:image/png;base64,{})".format(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
BLANK, WRONG, FAILS, ENDLESS = (
    MINE.format(lines)
    for lines in (
        "...  # your lines",
        "return 1 - counts[:cutoff].sum() / counts.sum()",
        "return counts[cutoff + 77]",
        "while True: cutoff += 1",
    )
)
TAIL, CUT, PROGRESS = 'ask("tail width")', 'predict("best cut"', 'progress_panel("02")'


def test_answers_guesses_exercises_and_progress(lab, page, shots):
    code = [TOY, TAIL, f"{CUT}, explorer, then=lambda: two_clusters_panel(explorer))", BLANK, WRONG, FAILS, ENDLESS]
    cells = [nbformat.v4.new_code_cell(source) for source in [*code, 'check("share", share)', PROGRESS]]
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    book = nbformat.v4.new_notebook(cells=[*cells, nbformat.v4.new_markdown_cell(PICTURE)])
    book.metadata["kernelspec"] = kernel
    nbformat.write(book, lab[2] / "answers.ipynb")
    notebook = opened(page, lab, "answers.ipynb")

    # a question: its text is the name of the box
    tail = notebook.show_cell(TAIL)
    box = tail.get_by_role("textbox", name="how wide is tail 2?")
    assert not tail.get_by_text("how wide is tail 2?", exact=False).first.is_visible()
    check(tail, "256", "That is tail 1")
    check(tail, "64", "correct", by_mouse_in=notebook)

    # a guess: its panel, and another guess
    cut = notebook.show_cell(CUT)
    assert not cut.get_by_role("button", name="Guess again").is_visible()
    commit(cut, "9,000")
    cut.get_by_text("off by a factor of 1.7").wait_for()
    show = cut.get_by_role("button", name="Show the best")
    show.wait_for()
    click(notebook, cut, "Guess again")
    until(lambda: show.is_visible(), lambda there: not there)
    guess = cut.get_by_role("textbox", name="your answer")
    assert guess.input_value() == "" and guess.evaluate("e => e === document.activeElement")
    guess.press_sequentially("15,000")
    guess.press("Enter")
    cut.get_by_text("close").wait_for()
    cut.get_by_text("Your first guess, 9,000 words").wait_for()
    show.wait_for()

    # what a check says, in the cell
    for source, said in (
        ("...  # your lines", "Write your lines in place of"),
        ("return 1 - counts", "That is the tail's share."),
        ("cutoff + 77", "Your function fails with IndexError"),
        ("while True", "did not come back within 10 s"),
        ('check("share", share)', "correct"),
    ):
        notebook.show_cell(source).get_by_role("status").get_by_text(said).first.wait_for()
    failed = notebook.show_cell("cutoff + 77")
    failed.get_by_text("line 3 of your cell").wait_for()

    # the progress has followed; all of it over a restart
    progress = notebook.show_cell(PROGRESS)
    line = "1 of 5 questions answered, 1 of 3 guesses within a factor of 2, 1 exercise solved"
    progress.get_by_text(line).wait_for()
    restarted(notebook)
    assert notebook.show_cell(TAIL).get_by_text("correct").is_visible() and box.input_value() == "64"
    cut = notebook.show_cell(CUT)
    cut.get_by_text("You guessed 9,000 words last time", exact=False).wait_for()
    cut.get_by_role("button", name="Show the best").wait_for()
    notebook.show_cell("...  # your lines").get_by_text("You solved it before").wait_for()
    progress = notebook.show_cell(PROGRESS)
    progress.get_by_text(line).wait_for()
    press(progress, "Write the report")
    progress.get_by_text("The report is in").wait_for()
    report = (lab[2] / "adasoft-report.md").read_text(encoding="utf-8")
    assert "| 64 | correct |" in report and "def share(counts, cutoff):" in report

    # and forgotten
    press(progress, "Forget this lesson")
    press(progress, "Yes, forget this lesson")
    progress.get_by_text("Forgotten: 1 answer, 1 guess and 1 exercise.").wait_for()
    progress.get_by_text("0 of 5 questions answered").wait_for()
    progress.get_by_role("checkbox", name="with the timings of this machine").press("Space")
    holds(notebook, "explorer.recall('guess best cut')", None)
    press(progress, "Forget everything")
    press(progress, "Yes, forget everything")
    progress.get_by_text("There was nothing to forget.").wait_for()
    assert value(notebook, "explorer._choices.path.exists()") is False
    (lab[2] / "adasoft-report.md").unlink()
    (lab[2] / "answers.ipynb").unlink()
    finish(notebook, lab, shots, "answers", [TAIL, CUT, "cutoff + 77", PROGRESS])
