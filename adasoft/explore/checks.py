"""Questions that grade themselves, and predictions to commit before an answer is shown.

A question computes its expected answer from the package, knows typical wrong answers, and says what each of them
mistook. :func:`grade` is pure; :func:`ask` and :func:`predict` are its widgets.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import ipywidgets as w

from .state import LOCK, Explorer, load_language

Status = Literal["missing", "almost", "keep working", "correct"]
_SIGNS = {"missing": "○", "almost": "≈", "keep working": "✗", "correct": "✓"}
_NUMBER = re.compile(r"[+-]?\d[\d,' _]*(?:\.\d+)?(?:[eE][+-]?\d+)?|[+-]?\.\d+")


@dataclass(frozen=True)
class Verdict:
    """What a check says."""

    status: Status
    hint: str


@dataclass(frozen=True)
class Question:
    """A question with one number as its answer."""

    text: str
    expected: Callable[[], float]
    wrong: dict[str, Callable[[], float]] = field(default_factory=dict)
    """Hint -> the wrong answer it is for."""
    why: str = ""
    tolerance: float = 0.02
    unit: str = ""


def _en() -> Any:
    return load_language("en")


QUESTIONS: dict[str, Question] = {
    # ---- 00
    "full cost": Question(
        "A full softmax scores V = 321,180 words with a hidden size of d = 512. How many million multiplications is "
        "that for one token?",
        lambda: 321_180 * 512 / 1e6,
        {
            "That is V alone: each word's score is a sum of d products.": lambda: 0.32118,
            "That is V x d, but the question is in millions.": lambda: 321_180.0 * 512,
            "That is for a whole batch of 2,560 tokens; here it is one token.": lambda: 321_180 * 512 * 2560 / 1e6,
            "That is V + d; every word meets every feature.": lambda: (321_180 + 512) / 1e6,
        },
        "V x d = 321,180 x 512, about 164 million.",
        unit="million",
    ),
    "head outputs": Question(
        "One cutoff at 2,000, so one tail. How many numbers does the head compute for each token?",
        lambda: 2001.0,
        {
            "Those are the words. The head must also say 'it is in the tail': one entry more per tail.": lambda: 2000.0,
            "That is the tail's size; the head holds the frequent words.": lambda: 321_180.0 - 2000,
            "That is the whole vocabulary, which is what we want to avoid.": lambda: 321_180.0,
            "One entry per tail, and there is one tail only.": lambda: 2002.0,
        },
        "k_h + J = 2,000 words and 1 entry for the tail.",
        tolerance=0.0,
    ),
    "tail share": Question(
        "English, one cutoff at 2,000: which percentage of the tokens falls into the tail?",
        lambda: 100 * (1 - _en().share_of_first(2000)),
        {
            "That is p_h, the head's share; the tail has the rest.": lambda: 100 * _en().share_of_first(2000),
            "That is its share of the WORDS; tokens are counted with repetition.": lambda: 100 * (1 - 2000 / 321_180),
            "Right as a share, but the question is in percent.": lambda: 1 - _en().share_of_first(2000),
        },
        "1 - p_h: read the label of the tail's band in the plot.",
        tolerance=0.03,
        unit="%",
    ),
    # ---- 01
    "zipf ratio": Question(
        "If Zipf's law held exactly with s = 1, how many times as frequent as the word of "
        "rank 1,000 is the word of rank 10?",
        lambda: 100.0,
        {
            "That is the difference of the ranks; the law is about their ratio.": lambda: 990.0,
            "That is the difference of the logarithms: two powers of ten apart.": lambda: 2.0,
            "That compares rank 1,000 with rank 1.": lambda: 1000.0,
            "Upside down: the word of rank 10 is the more frequent one.": lambda: 0.01,
        },
        "p_r = 1 / (r Z), so p_10 / p_1000 = 1000 / 10.",
        unit="times",
    ),
    "words for 95": Question(
        "How many English words make up 95 % of the tokens?",
        lambda: float(_en().words_for_share(0.95)),
        {
            "That is 95 % of the words. Their tokens are far from equal.": lambda: 0.95 * len(_en()),
            "That is for 90 %: move the share further.": lambda: float(_en().words_for_share(0.9)),
            "That is for 99 %: the last points are dear.": lambda: float(_en().words_for_share(0.99)),
            "That is for 80 %, where the slider started.": lambda: float(_en().words_for_share(0.8)),
        },
        "Set the share to 95 and read the sentence under the figure.",
        unit="words",
    ),
    "the tail": Question(
        "English again: how many words share the last 1 % of the tokens?",
        lambda: float(len(_en()) - _en().words_for_share(0.99)),
        {
            "Those make the first 99 %; the question is about the others.": lambda: float(_en().words_for_share(0.99)),
            "That is 1 % of the words, not the words of the last 1 % of tokens.": lambda: 0.01 * len(_en()),
            "That is the last 5 %.": lambda: float(len(_en()) - _en().words_for_share(0.95)),
        },
        "V less the words that hold 99 %.",
        unit="words",
    ),
    # ---- 02
    "count by hand": Question(
        "10,000 words, cut at 2,000; the tail has 20 % of the tokens. How many words are scored per token, on average?",
        lambda: 2001 + 0.2 * 8000,
        {
            "That pays the tail for every token; only 20 % of them open it.": lambda: 10_001.0,
            "The head's entry for the tail is missing.": lambda: 3600.0,
            "Every token pays the head, also those that go on to the tail.": lambda: 0.8 * 2001 + 0.2 * 8000,
            "You took the share of the head (80 %) for the tail.": lambda: 2001 + 0.8 * 8000,
        },
        "k_h + 1 + p_t k_t = 2,000 + 1 + 0.2 x 8,000.",
        tolerance=0.0001,
        unit="words",
    ),
    "swap saving": Question(
        "Two clusters of equal width, 1,000 and 9,000 words, with shares 20 % and 10 % to give away. How many words "
        "per token does the better order save over the worse?",
        lambda: 800.0,
        {
            "That is what the better order costs; the question is the difference.": lambda: 1100.0,
            "That is what the worse order costs; the question is the difference.": lambda: 1900.0,
            "That is the difference of sizes; the shares differ by a tenth of it.": lambda: 8000.0,
            "The better order saves: no minus.": lambda: -800.0,
        },
        "(0.2 - 0.1) x (9,000 - 1,000).",
        unit="words",
    ),
    "tail width": Question(
        "d = 512 and the rule d/4, d/16, d/64 ...: how wide is tail 2?",
        lambda: 32.0,
        {
            "That is tail 1.": lambda: 128.0,
            "That is tail 3, d/64 (the floor is 8).": lambda: 8.0,
            "That is d/8: each tail is a quarter of the one before.": lambda: 64.0,
            "That is half of the first tail's half; divide by 4 twice.": lambda: 256.0,
        },
        "512 / 4 / 4.",
        tolerance=0.0,
    ),
    "tail token": Question(
        "A token falls into a tail of 10,000 words and width 128; d = 512. How many multiplications for projection and "
        "scores together, head left out?",
        lambda: 512.0 * 128 + 128 * 10_000,
        {
            "The projection from d to the width is missing.": lambda: 1_280_000.0,
            "That is the full width d; this tail is narrower.": lambda: 5_120_000.0,
            "That is the projection alone.": lambda: 65_536.0,
        },
        "d d_1 + d_1 k_1 = 512 x 128 + 128 x 10,000.",
        tolerance=0.005,
    ),
}


def number(answer: str | float | None) -> float | None:
    """The number in an answer as a person types it: 16,300 or 21.4 % or 1.3e6. None if there is none."""
    if answer is None or isinstance(answer, (int, float)):
        return None if answer is None or not math.isfinite(answer) else float(answer)
    found = _NUMBER.search(answer.strip())
    return float(re.sub(r"[,' _]", "", found.group())) if found else None


def grade(key: str, answer: str | float | None) -> Verdict:
    """Judge an answer: missing, keep working (a known mistake, with its hint), almost, or correct."""
    question, value = QUESTIONS[key], number(answer)
    if value is None:
        return Verdict("missing", "Type a number, then press the button.")
    expected = question.expected()

    def near(target: float, tolerance: float) -> bool:
        return abs(value - target) <= tolerance * abs(target) + 1e-9

    if near(expected, question.tolerance):
        return Verdict("correct", question.why)
    mistakes = {hint: wrong() for hint, wrong in question.wrong.items() if near(wrong(), question.tolerance)}
    if mistakes:
        return Verdict("keep working", min(mistakes, key=lambda hint: abs(mistakes[hint] - value)))
    if near(expected, max(0.1, 3 * question.tolerance)):
        return Verdict("almost", "Within reach: look again, or compute it to the last digit.")
    return Verdict("keep working", f"Too {'large' if value > expected else 'small'}.")


def _show(line: w.HTML, status: Status, text: str) -> None:
    line.value = f'<div role="status"><b>{_SIGNS[status]} {status}</b>. {html.escape(text)}</div>'


def _entry(text: str, button: str, act: Callable[[str], None]) -> list[w.Widget]:
    label = w.HTML(f"<b>{html.escape(text)}</b>")
    box = w.Text(description="your answer", placeholder="a number", continuous_update=False,
                 style={"description_width": "initial"}, layout=w.Layout(width="240px"))  # fmt: skip
    press = w.Button(description=button, tooltip=f"{button}: {text}")

    def pressed(_button: Any) -> None:
        with LOCK:
            act(box.value)

    press.on_click(pressed)
    return [label, w.HBox([box, press])]


def ask(key: str) -> w.VBox:
    """A question with a box, a button and the verdict."""
    verdict = w.HTML()

    def check(answer: str) -> None:
        found, value, question = grade(key, answer), number(answer), QUESTIONS[key]
        text = "" if value is None else f"Yours: {value:,g}. "
        if found.status == "correct":
            text += f"Expected: {question.expected():,.6g} {question.unit}. ".replace(" .", ".")
        _show(verdict, found.status, text + found.hint)

    box = w.VBox([*_entry(QUESTIONS[key].text, "Check", check), verdict])
    box.add_class("adasoft")
    return box


#: Name -> (question, the true value, unit). The explorer is the notebook's.
PREDICTIONS: dict[str, tuple[str, Callable[[Explorer], float], str]] = {
    "half": (
        "Half of all words on an English page are among the n most frequent ones. What is n? Commit to a guess.",
        lambda e: float(e.vocabulary.words_for_share(0.5)),
        "words",
    ),
    "speedup": (
        "One cutoff at 2,000 words. How many times less will the layer cost than the full softmax? Commit to a guess.",
        lambda e: e.speedup,
        "times",
    ),
    "coverage 95": (
        "English, 321,180 words. How many of the most frequent ones make up 95 % of all tokens? Commit to a guess.",
        lambda e: float(_en().words_for_share(0.95)),
        "words",
    ),
    "finnish": (
        "And Finnish, which builds words by endings: how many words for 95 % of the tokens? Commit to a guess.",
        lambda e: float(load_language("fi").words_for_share(0.95)),
        "words",
    ),
    "best cut": (
        "One cut, counted in words scored per token: how many words should the first cluster hold? Commit to a guess.",
        lambda e: float(e.plan_for_me(1, min_head_share=0.0).cutoffs[0]),
        "words",
    ),
    "second cutoff": (
        "The best single cutoff costs a certain amount. By what factor does the best PAIR of cutoffs cost less still?",
        lambda e: e.plan_for_me(1).time / e.plan_for_me(2).time,
        "times",
    ),
}


def predict(key: str, explorer: Explorer, then: Callable[[], w.Widget] | None = None) -> w.VBox:
    """A guess to commit; the answer, and the panel ``then()``, appear after it."""
    question, truth, unit = PREDICTIONS[key]
    verdict, rest = w.HTML(), w.VBox([])

    def commit(answer: str) -> None:
        guess = number(answer)
        if guess is None:
            _show(verdict, "missing", "Any number will do; a wrong guess teaches more than none.")
            return
        try:
            true = truth(explorer)
            off = max(guess / true, true / guess) if guess > 0 else math.inf
            said = "close" if off < 1.25 else f"a factor {off:,.1f} off" if math.isfinite(off) else "far off"
            shown = f"{true:,.0f}" if true >= 100 else f"{true:,.1f}"
            text = f"You said <b>{guess:,g}</b>; it is <b>{shown} {unit}</b>: {said}."
            verdict.value = f'<div role="status">{text}</div>'
            if then is not None and not rest.children:
                rest.children = [then()]
        except Exception as error:  # a callback's exception would be lost
            verdict.value = f'<div role="alert">{html.escape(f"{type(error).__name__}: {error}")}</div>'

    box = w.VBox([*_entry(question, "Commit", commit), verdict, rest], layout=w.Layout(width="100%"))
    box.add_class("adasoft")
    return box
