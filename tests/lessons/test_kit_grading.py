"""Questions, their typical mistakes, and predictions."""

import math
import re

import ipywidgets as w
import pytest
from panels import every

from adasoft import Vocabulary
from adasoft.lessons import COUNTED_MULTIPLICATIONS, ClustersExplorer, Explorer, TimingExplorer
from adasoft.lessons.kit.costs import recorded_costs
from adasoft.lessons.kit.done import guess_here
from adasoft.lessons.kit.grading import (
    PREDICTIONS,
    QUESTIONS,
    Prediction,
    ask,
    grade,
    number_text,
    predict,
    with_unit,
)
from adasoft.lessons.kit.markdown import plain
from adasoft.lessons.kit.typed_numbers import EXAMPLE, read_number
from adasoft.lessons.kit.widgets import AnswerBox


@pytest.mark.parametrize("key", QUESTIONS)
def test_every_question_knows_its_answer_and_three_mistakes(key):
    question = QUESTIONS[key]
    expected = question.expected()
    assert grade(key, expected).status == "correct"
    assert grade(key, f"{expected:,.2f}").status == "correct"
    assert grade(key, None).status == grade(key, "no idea").status == grade(key, " ").status == "missing"
    assert len(question.wrong) >= 3
    for hint, wrong in question.wrong.items():
        verdict = grade(key, wrong())
        assert verdict.status == "not yet" and verdict.hint == hint
    if question.tolerance:
        assert grade(key, expected * (1 + 2 * question.tolerance)).status in ("almost", "not yet")
    for hint, wrong in question.wrong.items():  # as a person rounds it
        verdict = grade(key, f"{wrong():.3g}")
        assert verdict.status != "almost" or abs(wrong() / expected - 1) < 0.02, hint
    assert grade(key, expected * 50 + 7).status == "not yet"


def test_numbers_as_they_are_shown():
    assert [number_text(x) for x in (98.0, 164_444_160, 8.8, 0.3, 1e20, -5)] == [
        "98",
        "164,444,160",
        "8.8",
        "0.3",
        "1e+20",
        "-5",
    ]


def test_right_digits_in_the_wrong_unit_are_told():
    assert "1,000 times too large" in grade("typical error", "20 000").hint
    assert "10,000 times too small" in grade("tail share", 0.00213839).hint


@pytest.mark.parametrize(
    "answer, status, hint",
    [
        (64, "correct", "1,024 / 4 / 4"),
        (64.01, "not yet", "Too large."),
        (70.1, "not yet", "Too large."),
        (57.9, "not yet", "Too small."),
        (90, "not yet", "Too large."),
        (40, "not yet", "Too small."),
        (-64, "not yet", "Too small."),
        (640, "not yet", "10 times too large"),
        (0.64, "not yet", "100 times too small"),
    ],
)
def test_how_far_off_an_answer_is(answer, status, hint):
    """64 is asked for, with no tolerance: beside it, the direction is told."""
    verdict = grade("tail width", answer)
    assert verdict.status == status and hint in verdict.hint


@pytest.mark.parametrize(
    "key, answer, status, hint",
    [
        ("nats", "99", "correct", ""),
        ("nats", "exp(4.6)", "correct", ""),
        ("nats", "e^4.6", "correct", ""),
        ("chain", "-log(0.2*0.01)", "correct", ""),
        ("chain", "6.1", "not yet", "Too small."),
        ("chain", "6", "almost", "Close. Recompute with more digits."),
        ("gate and expert", "5.1", "not yet", "Too large."),
        ("count by hand", "3,600", "not yet", "entry for the tail is missing"),  # rounds to it, and is a mistake
        ("count by hand", "3,610", "not yet", "Too large."),
        ("tail token", "1.35 million", "correct", ""),
        ("tail token", "1.3 million", "almost", "Close. Recompute with more digits."),
        ("rows", "1150", "not yet", "You left out tail 2"),  # a whole tail forgotten
        ("chain", "1.6", "not yet", "That is the head's part alone"),  # for 1.609
        ("head outputs", "2010", "not yet", "Too large."),  # nearer to no mistake than to the answer
    ],
)
def test_almost_is_for_digits_and_a_rounded_mistake_is_that_mistake(key, answer, status, hint):
    verdict = grade(key, answer)
    assert verdict.status == status and hint in verdict.hint
    assert "unit" not in verdict.hint


OFF = {
    1: "close",
    1.24: "close",
    1 / 1.24: "close",
    1.26: "off by a factor of 1.3",
    1 / 1.26: "off by a factor of 1.3",
    10: "off by a factor of 10",
    0.1: "off by a factor of 10",
    1e9: "off by a factor of more than a million",
}


@pytest.mark.parametrize("factor, says", OFF.items())
def test_how_far_off_a_guess_is(factor, says):
    explorer = Explorer("en", cost=COUNTED_MULTIPLICATIONS)
    (entry,) = every(predict("coverage 95", explorer), AnswerBox)
    entry.submit(repr(16_300 * factor))
    assert entry.verdict.endswith(f"it is <b>16,300 words</b>: {says}.")


def test_ask_shows_the_verdict():
    box = ask("tail width")
    box.submit("")
    assert "missing" in box.verdict
    box._handle_custom_msg({"answer": "256"}, [])  # as the browser does
    assert "not yet" in box.verdict and "tail 1" in box.verdict and box.answer == "256"
    box.submit("64")
    assert "correct" in box.verdict and "Expected: 64." in box.verdict
    box.submit("<b>7")
    assert "<b>7" not in box.verdict


@pytest.mark.parametrize("key, guess", [("coverage 95", "0"), ("half", "-5"), ("speedup", "0"), ("full width", "-1")])
def test_a_guess_of_a_count_or_a_time_is_above_0(key, guess):
    explorer = Explorer("en", cost=COUNTED_MULTIPLICATIONS)
    (entry,) = every(predict(key, explorer, then=lambda: w.Label("the panel")), AnswerBox)
    entry.submit(guess)
    assert f"should be above 0, got {guess}" in entry.verdict and explorer.recall(f"guess {key}") is None


FIRST = ["half", "speedup", "full width", "coverage 95", "finnish", "best cut", "second cutoff"]


@pytest.mark.parametrize("key", FIRST)  # the later lessons' have explorers and tests of their own
def test_predictions_reveal_only_after_a_guess(key):
    make = ClustersExplorer if key == "second cutoff" else Explorer
    explorer = make("en", cost=COUNTED_MULTIPLICATIONS)
    box = predict(key, explorer, then=lambda: w.Label("the panel"))
    (entry,) = every(box, AnswerBox)
    entry.submit("no idea")
    assert "missing" in entry.verdict and not every(box, w.Label)
    entry.submit("12")
    entry.submit("12")
    assert "You said <b>12</b>" in entry.verdict and len(every(box, w.Label)) == 1


def test_a_question_follows_the_sizes_until_the_guess_is_committed():
    explorer = TimingExplorer(Vocabulary.synthetic(3000), cost=COUNTED_MULTIPLICATIONS, batch=64, in_features=32)
    (entry,) = every(predict("best number", explorer), AnswerBox)
    assert "3,000 words, d = 32, B = 64" in entry.question
    explorer.in_features = 64
    assert "d = 64, B = 64" in entry.question
    entry.submit("4")
    explorer.in_features = 128
    assert "d = 64" in entry.question
    entry.submit("4")  # committed again: it asks for what it answers
    assert "d = 128" in entry.question


def test_a_prediction_that_fails_says_so(explorer):
    box = predict("speedup", explorer, then=lambda: 1 / 0)
    (entry,) = every(box, AnswerBox)
    entry.submit("12")
    assert "ZeroDivisionError" in entry.verdict


def again_of(key, lesson="a", **more):
    """What the cell of a prediction shows after a restart of the kernel, and the explorer behind it."""
    explorer = Explorer("en", cost=COUNTED_MULTIPLICATIONS, lesson=lesson, **more)
    return predict(key, explorer, then=lambda: w.Label("the panel")), explorer


def test_a_guess_is_kept_and_its_panel_opens_again(cache):
    box, explorer = again_of("coverage 95")
    assert not every(box, w.Label)
    every(box, AnswerBox)[0].submit("10,000")
    assert explorer.recall("guess coverage 95") == 10_000
    explorer._choices.flush()
    box, explorer = again_of("coverage 95")
    (entry,) = every(box, AnswerBox)
    assert len(every(box, w.Label)) == 1 and entry.answer == "10,000" and entry.again == "Guess again"
    assert entry.verdict == (
        "You guessed <b>10,000 words</b> last time; it is <b>16,300 words</b>: off by a factor of 1.6."
    )


def test_a_kept_guess_is_judged_by_the_timings_of_today(cache):
    box, explorer = again_of("speedup")
    every(box, AnswerBox)[0].submit("5")
    assert "it is <b>16.8 times</b>" in every(box, AnswerBox)[0].verdict
    explorer._choices.flush()
    explorer = Explorer("en", cost=recorded_costs()[0], lesson="c")
    (entry,) = every(predict("speedup", explorer), AnswerBox)
    assert "You guessed <b>5 times</b>; with the timings used now, it is <b>11.8 times</b>" in entry.verdict
    assert "Before, it was 16.8 times." in entry.verdict


def test_other_words_leave_the_answer_to_a_guess_as_it_was(cache, monkeypatch):
    words = PREDICTIONS["speedup"]._replace(question="How many?", truth=lambda e: float(len(e.vocabulary)))
    monkeypatch.setitem(PREDICTIONS, "speedup", words)
    explorer = Explorer("en", cost=COUNTED_MULTIPLICATIONS)
    (entry,) = every(predict("speedup", explorer), AnswerBox)
    entry.submit("5")
    said = entry.verdict
    explorer.vocabulary = Vocabulary([5, 3, 2], name="three")
    assert entry.verdict == said


def test_a_guess_can_be_made_again_and_the_first_one_counts(cache):
    box, explorer = again_of("coverage 95")
    (entry,) = every(box, AnswerBox)
    entry.submit("10,000")
    first = (10_000, explorer.recall("result coverage 95"))
    for again in (True, False):  # with the button, or by committing another number
        if again:
            entry._handle_custom_msg({"again": True}, [])  # as the browser does
            rest = box.children[1]
            assert (entry.answer, entry.verdict, entry.again, rest.layout.display) == ("", "", "", "none")
        entry.submit("16,300")
        assert entry.verdict == (
            "This time you said <b>16,300 words</b>; it is <b>16,300 words</b>: close. Your first guess, 10,000 words "
            "(off by a factor of 1.6), is the one that is drawn and counted."
        )
        assert entry.again == "Guess again" and rest.layout.display is None and len(every(box, w.Label)) == 1
        assert (explorer.recall("guess coverage 95"), explorer.recall("result coverage 95")) == first
    entry._handle_custom_msg({"again": True}, [])
    explorer._choices.flush()
    box, _ = again_of("coverage 95")
    assert "You guessed <b>10,000 words</b> last time" in every(box, AnswerBox)[0].verdict and every(box, w.Label)


def measured_later(monkeypatch, unit="words", **more):
    """A prediction of which nothing is known until ``truth`` holds a number."""
    truth = [math.nan]
    prediction = Prediction("How many?", lambda e: truth[0] * e.batch, unit, **more)
    monkeypatch.setitem(PREDICTIONS, "later", prediction)
    explorer = Explorer("en", cost=COUNTED_MULTIPLICATIONS, batch=2)
    (entry,) = every(predict("later", explorer), AnswerBox)
    return truth, explorer, entry


def test_a_guess_may_change_until_its_answer_is_known(monkeypatch):
    truth, explorer, entry = measured_later(monkeypatch)
    entry.submit("10")
    entry.submit("12")
    assert explorer.recall("guess later") == 12
    entry._handle_custom_msg({"again": True}, [])
    assert explorer.recall("guess later") is None
    entry.submit("14")
    truth[0] = 10.0
    explorer.version += 1
    assert "You said <b>14 words</b>; it is <b>20 words</b>" in entry.verdict
    entry.submit("20")
    assert explorer.recall("guess later") == 14 and "Your first guess, 14 words" in entry.verdict


def test_a_guess_is_judged_at_the_sizes_it_was_made_at(monkeypatch):
    truth, explorer, entry = measured_later(monkeypatch)
    truth[0] = 10.0
    entry.submit("20")
    assert guess_here("later", explorer) == 20
    said, result = entry.verdict, explorer.recall("result later")
    for name, value in (("in_features", 64), ("batch", 8), ("cost", recorded_costs()[0]), ("in_features", 512)):
        setattr(explorer, name, value)  # one by one, as buttons set them
        assert entry.verdict == said and explorer.recall("result later") == result
        assert guess_here("later", explorer) is None
    truth[0] = 11.0
    explorer.batch = 2  # back: now the timings are others, and only they
    assert "it is <b>22 words</b>" in entry.verdict and guess_here("later", explorer) == 20
    explorer.vocabulary = Vocabulary.synthetic(3000)
    assert "it is <b>22 words</b>" in entry.verdict and guess_here("later", explorer) is None


def test_an_impossible_guess_is_not_taken(monkeypatch):
    truth, explorer, entry = measured_later(monkeypatch, "%", within=(0, 100))
    truth[0] = 10.0
    for impossible, got in (("150", "150"), ("-5", "-5")):
        entry.submit(impossible)
        assert f"The answer is from 0 to 100, got {got}." in entry.verdict
        assert explorer.recall("guess later") is None


def test_a_guess_about_other_sizes_says_what_it_was_about(cache):
    box, explorer = again_of("half")
    every(box, AnswerBox)[0].submit("100")
    explorer._choices.flush()
    explorer = Explorer("fi", cost=COUNTED_MULTIPLICATIONS, lesson="b")
    (entry,) = every(predict("half", explorer), AnswerBox)
    assert "You guessed <b>100 words</b> last time; it is <b>125 words</b>" in entry.verdict
    asked = "How many of the most frequent words make up half of all tokens (English)?"
    assert f"The question was: {asked}" in entry.verdict and "Finnish" in entry.question


def test_an_answer_is_kept_with_its_verdict(cache):
    box = ask("tail width")
    assert box.answer == box.verdict == ""
    box.submit("no idea")  # nothing to keep
    assert ask("tail width").answer == ""
    ask("tail width").submit("256")
    assert ask("tail width").answer == "256" and "tail 1" in ask("tail width").verdict
    ask("tail width").submit("64")
    for later, said in (("63", "Too small."), ("dunno", "Not understood"), ("", "Type a number")):
        box = ask("tail width")
        box.submit(later)  # the right one stays, and the box says so
        assert box.verdict.startswith("<b>✓ answered</b> before, and that is kept. This try: ") and said in box.verdict
        assert ask("tail width").answer == "64" and "✓ correct" in ask("tail width").verdict
    box.submit("64")
    assert box.verdict.startswith("<b>✓ correct</b>")


def test_the_example_of_a_calculation_is_the_answer_to_no_question():
    value = read_number(EXAMPLE)
    assert EXAMPLE in grade("count by hand", "dunno").hint and EXAMPLE in grade("count by hand", "3 apples").hint
    for key, question in QUESTIONS.items():
        assert grade(key, value).status == "not yet", key
        numbers = set(re.findall(r"\d[\d,.]*\d", question.text.replace(",", "")))
        assert len(numbers & set(re.findall(r"[\d.]+", EXAMPLE))) < 2, key


def test_every_prediction_says_what_it_asks_before_anything_is_guessed():
    for key, prediction in PREDICTIONS.items():
        assert isinstance(prediction.question, str) != bool(prediction.about), key
        assert not prediction.about or prediction.about.endswith("?")


def test_a_fixed_question_names_the_box_and_one_that_follows_the_explorer_shows_itself():
    explorer = Explorer("en", cost=COUNTED_MULTIPLICATIONS)
    assert not ask("tail width").shown and ask("tail width").question == plain(QUESTIONS["tail width"].text)
    (fixed,), (following,) = (every(predict(key, explorer), AnswerBox) for key in ("coverage 95", "half"))
    assert not fixed.shown and following.shown and "English" in following.question


def test_markdown_of_questions_as_plain_text():
    spoken = {
        r"$g(k) = \\max(c + \\lambda k_0, c)$ with $c = 0.2$ ms": "g(k) = max(c + λ k₀, c) with c = 0.2 ms",
        "**2,000** words, *about* half; `softmax(x)`": "2,000 words, about half; softmax(x)",
        r"$V = 800{,}000$ and $d \\times d$, $5\\,\\%$": "V = 800,000 and d × d, 5 %",
        "a * b * c and [03](03_time_model.ipynb)": "a * b * c and 03",
    }
    assert {markdown: plain(markdown) for markdown in spoken} == spoken


def test_one_word_two_words():
    shown = [with_unit(*pair) for pair in (("1", "words"), ("2", "words"), ("1", "ms"), ("1", "times"), ("3", ""))]
    assert shown == ["1 word", "2 words", "1 ms", "1 times", "3"]
