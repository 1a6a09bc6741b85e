"""Numbers as people type them: read whole, or not at all."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adasoft.lessons.kit.costs import COUNTED_MULTIPLICATIONS
from adasoft.lessons.kit.explorer import Explorer
from adasoft.lessons.kit.grading import PREDICTIONS, QUESTIONS, Prediction, ask, grade, number, predict
from adasoft.lessons.kit.typed_numbers import DEEPEST, LONGEST, read_number
from adasoft.lessons.kit.widgets import AnswerBox

READ = {
    # as they are written in several places
    "16,300": 16300,
    "16 300": 16300,
    "16\u202f300": 16300,
    "16\u00a0300": 16300,
    "16.300.000": 16_300_000,
    "1'000": 1000,
    "1’234": 1234,
    "1’234’567.5": 1_234_567.5,
    "1_000": 1000,
    "12,34,567": 1_234_567,
    "1,234.5": 1234.5,
    "1.234,5": 1234.5,
    "1 234,5": 1234.5,
    "21,4": 21.4,
    "0,214": 0.214,
    "1,2345": 1.2345,
    "1.234": 1.234,
    "1234,567": 1234.567,
    ".5": 0.5,
    ",5": None,
    "5.": 5,
    "32.": 32,
    "007": 7,
    "1.28e6": 1.28e6,
    "1e3": 1000,
    "1E3": 1000,
    "1e+3": 1000,
    "1.5e-3": 1.5e-3,
    "2,5e3": 2500,
    "١٢٣": 123,
    "१२": 12,
    "１２．５": None,
    "１２": 12,
    "½": 0.5,
    "1½": 1.5,
    "¾": 0.75,
    "One": 1,
    "two million": 2e6,
    "twelve words": 12,
    "1 1/2": 1.5,
    "3/4": 0.75,
    # signs
    "-800": -800,
    "−0.6": -0.6,
    "–5": -5,
    "+5": 5,
    "- 5": -5,
    "--5": 5,
    # what stands before and behind
    "about 32": 32,
    "ca. -5": -5,
    "approx. 7": 7,
    "~5": 5,
    "≈ 5": 5,
    "= 5": 5,
    "Roughly 3": 3,
    "circa 4": 4,
    "20 ms": 20,
    "20ms": 20,
    "21.4 %": 21.4,
    "21.4%": 21.4,
    "21.4 percent": 21.4,
    "5 times": 5,
    "2.5x": 2.5,
    "1.35 million": 1.35e6,
    "1.35 Million": 1.35e6,
    "164M": 164e6,
    "3k": 3000,
    "3 thousand words": 3000,
    "2 billion": 2e9,
    "1.3 bn": 1.3e9,
    "1/2 million": 5e5,
    "(1 + 2) million": 3e6,
    # calculations
    "2000 + 1 + 0.2 x 8,000": 3601,
    "321,180 × 512": 164_444_160,
    "0.2x8000": 1600,
    "2x3": 6,
    "2 X 3": 6,
    "1.5·2": 3,
    "6 ÷ 4": 1.5,
    "1 - 20/25": 0.2,
    "5 - 3": 2,
    "20-25*2": -30,
    "1-0.8": 0.2,
    "2*-3": -6,
    "(5)": 5,
    "2^10": 1024,
    "2**10": 1024,
    "10²": 100,
    "10⁻³": 1e-3,
    "2^-2": 0.25,
    "-2^2": -4,
    "2^3^2": 512,
    "1.3 x 10^6": 1.3e6,
    "2 × 10³ words": 2000,
    "exp(4.6)": math.exp(4.6),
    "exp 2": math.exp(2),
    "e^4.6": math.exp(4.6),
    "e": math.e,
    "-log(0.2*0.01)": -math.log(0.002),
    "-log 0.2 - log 0.01": -math.log(0.002),
    "ln(4)": math.log(4),
    "log10(100)": 2,
    "log10 1000": 3,
    "log2(8)": 3,
    "Log2 8": None,
    "sqrt(16)": 4,
    "√16": 4,
    "√(9) + 1": 4,
    "pi": math.pi,
    "2π": None,
    "2 * π": 2 * math.pi,
    "30^1.5": 30**1.5,
    "1/(0.4 + 0.06)": 1 / 0.46,
    "log(0,01)": math.log(0.01),
    "100*(1-0.5) %": 50,
    "exp(-1e9)": 0,
    "LN(4)": math.log(4),
    "0": 0,
    "0.000": 0,
}
#: Percentages inside a calculation, by the unit that is asked for.
SHARES = {
    ("2001 + 20% * 8000", "words"): 3601,
    ("2001 + 20 % * 8,000", None): 3601,
    ("2001 + 20 % x 8000 words", "words"): 3601,
    ("2,001 + 8,000 * 20 %", "words"): 3601,
    ("2001 + 20 % of 8,000", "words"): 3601,
    ("20 percent of 8000", "words"): 1600,
    ("10 % of 5", None): 0.5,
    ("(9% - 4%) * (30000 - 2000)", "words"): 1400,
    ("9% * 30000 - 4 % × 30000", "words"): 1500,
    ("-20% * 50", "words"): -10,
    ("20% * 30%", "%"): 6,
    ("100% - 21.4%", "%"): 78.6,
    ("1 - 20% - 10%", "%"): 70,
    ("(1 - 0.8) * 100 %", "%"): 20,
    ("100 - 21.4 %", "%"): 78.6,
    ("20 %", "%"): 20,
    ("-20 %", "%"): -20,
    ("20 %", None): 20,
}


@pytest.mark.parametrize(("answer", "unit"), list(SHARES))
def test_a_percentage_inside_a_calculation_is_a_share(answer, unit):
    assert read_number(answer, unit) == pytest.approx(SHARES[answer, unit], rel=1e-12)


@pytest.mark.parametrize(
    ("answer", "unit"), [("20 %", "words"), ("7 % 3", None), ("20% of it", "words"), ("20% words", "words")]
)
def test_other_percentages_are_refused(answer, unit):
    with pytest.raises(ValueError, match=r"not understood|not for|asks for"):
        read_number(answer, unit)


REFUSED = {
    "": "type a number",
    "  ": "type a number",
    "x": "not understood",
    "no idea": "not understood",
    "9^9^9": "too large",
    "9**9**9**9": "too large",
    "1e999": "too large",
    "1e-999": "too small",
    "9" * 150 + "e" + "9" * 20: "too large",
    "1/0": "divides by zero",
    "5/(3-3)": "divides by zero",
    "0^-1": "not a number",
    "sqrt(-1)": "not a number",
    "log(0)": "not a number",
    "ln(-1)": "not a number",
    "(-8)^(1/3)": "not a number",
    "nan": "not understood",
    "inf": "not understood",
    "∞": "missing",
    "2 to 3": "not understood",
    "2 or 3": "not understood",
    "between 2 and 3": "not understood",
    "2-3": "range",
    "2–3": "range",
    "2 – 3": "range",
    "20-25 ms": "range",
    "2..3": "range",
    "5±1": "not understood",
    "> 5": "missing",
    "less than 5": "not understood",
    "not 5": "not understood",
    "1,234,5": "commas",
    "1.2.3": "commas",
    "1,234 567": "commas",
    "1.234,5,6": "commas",
    "1,23,4567": "commas",
    "12 34": "not understood",
    "1 234 56": "not understood",
    "5,": "not understood",
    "5!": "not understood",
    "5 %%": "not understood",
    "20 apples": "not understood",
    "5 m": "not understood",
    "5 ms ms": "not understood",
    "1 + 2 million": "belongs to",
    "5 million billion": "not understood",
    "seventy": "not understood",
    "0x10": "not understood",
    "0x1f": "not understood",
    "1e3e3": "not understood",
    "1e": "not understood",
    "2(3)": "not understood",
    "2 pi": "not understood",
    "e3": "not understood",
    "2^^3": "missing",
    "1+": "missing",
    "(1+": "missing",
    "(1": "bracket is not closed",
    "1)": "not understood",
    "%": "missing",
    "log": "missing",
    "a=5": "not understood",
    "5=5": "not understood",
    "½½": "not understood",
    "1;2": "not understood",
    "__import__('os')": "missing",
    "eval(1)": "not understood",
    "1 if 1 else 2": "not understood",
    "lambda: 1": "not understood",
    "1j": "not understood",
    "True": "not understood",
    "[1]": "missing",
    "(" * 50 + "1" + ")" * 50: "in each other",
    "-" * 150 + "1": "in each other",
    "sqrt " * 30 + "1": "in each other",
    "2^" * 60 + "1": "in each other",
    "1" * (LONGEST + 1): "at most",
    "1+" * 10**5 + "1": "at most",
    "½" * 10**5: "at most",
    "²" * 10**5: "at most",
}


@pytest.mark.parametrize("text", READ)
def test_numbers_that_are_read(text):
    if READ[text] is None:
        with pytest.raises(ValueError, match=r"missing|understood|commas"):
            read_number(text)
    else:
        assert read_number(text) == pytest.approx(READ[text], rel=1e-12)


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:20])
def test_what_is_no_number_is_refused_with_the_reason(text):
    with pytest.raises(ValueError, match=re.escape(REFUSED[text])):
        read_number(text)
    assert number(text) is None


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("164 million", "million", 164),
        ("164 M", "million", 164),
        ("0.164 billion", "million", 164),
        ("164 million multiplications", "million", 164),
        ("164,444,160", "million", 164_444_160),
        ("1.35 million", "words", 1.35e6),
        ("1.35 million words", "words", 1.35e6),
        ("3k", "tokens", 3000),
        ("0.02 s", "ms", 20),
        ("250 µs", "ms", 0.25),
        ("250 μs", "ms", 0.25),
        ("20 milliseconds", "ms", 20),
        ("0.5 h", "minutes", 30),
        ("30 min", "minutes", 30),
        ("1800 s", "minutes", 30),
        ("2741 MB", "GB", 2.741),
        ("2.741 GB", "GB", 2.741),
        ("1 GiB", "GB", 2**30 / 1e9),
        ("2,741,000 kB", "GB", 2.741),
        ("21.4 %", "% of the pairs", 21.4),
        ("21.4 per cent", "%", 21.4),
        ("21.4", "%", 21.4),
        ("5x", "times, by the timings", 5),
        ("5 times", "times", 5),
        ("5 fold", "times", 5),
        ("1.6 nats", "nats", 1.6),
        ("2001 numbers", "", 2001),
        ("5 clusters", "clusters", 5),
        ("12 digits", "digits", 12),
    ],
)
def test_units_are_those_of_the_question(text, unit, value):
    assert read_number(text, unit) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("20 ms", "words"),
        ("21 %", "ms"),
        ("21 %", ""),
        ("5 times", "words"),
        ("20 words", "ms"),
        ("3 GB", "ms"),
        ("5 ms", "%"),
        ("2 nats", "%"),
        ("3 s", ""),
    ],
)
def test_another_kind_of_quantity_is_refused(text, unit):
    with pytest.raises(ValueError, match="the question asks for"):
        read_number(text, unit)


FORMATS = [
    lambda whole, rest: f"{whole:,}.{rest}",
    lambda whole, rest: f"{whole:,}".replace(",", " ") + f".{rest}",
    lambda whole, rest: f"{whole:,}".replace(",", "\u202f") + f",{rest}9",
    lambda whole, rest: f"{whole:,}".replace(",", "’") + f".{rest}",
    lambda whole, rest: f"{whole:,}".replace(",", ".") + f",{rest}9",
    lambda whole, rest: f"{whole}.{rest}e0",
]


@given(st.integers(1000, 10**12), st.integers(0, 9), st.sampled_from(range(len(FORMATS))), st.booleans())
def test_what_a_locale_writes_is_read_back(whole, rest, how, minus):
    text = FORMATS[how](whole, rest)
    value = float(f"{whole}.{rest}{'9' * (',' in text and text.endswith('9') and how in (2, 4))}")
    assert read_number("−" * minus + text) == pytest.approx(-value if minus else value, rel=1e-15)


@given(st.text(max_size=40) | st.text(alphabet="0123456789.,' ()+-*/^xelog%km½²–√", max_size=30))
def test_any_text_is_read_whole_or_refused(text):
    """No other error than a ValueError; what is read is finite, and stays what it is with brackets around it."""
    try:
        value = read_number(text)
    except ValueError as error:
        assert str(error)
        return
    assert math.isfinite(value)
    try:
        again = read_number(f"({text})")
    except ValueError:  # with a unit, say
        return
    assert again == value


BEHIND = [" and", " more", "?", "!", "#", " 2", "a", " b", "$", "=", "\\", ";", "|"]


@given(st.integers(1, 10**6), st.sampled_from(BEHIND))
def test_nothing_after_a_number_is_passed_over(value, rest):
    with pytest.raises(ValueError, match=r"not understood|commas"):
        read_number(f"{value:05}{rest}")


def test_brackets_up_to_the_limit():
    assert read_number("(" * DEEPEST + "1" + ")" * DEEPEST) == 1
    with pytest.raises(ValueError, match="at most 20 brackets"):
        read_number("(" * (DEEPEST + 1) + "1" + ")" * (DEEPEST + 1))
    assert read_number("1+" * 99 + "10") == 109  # long, but not deep


# ---- in the answer boxes


def test_a_half_read_answer_is_never_graded():
    for text in ("128 or 32", "32 apples", "9^9^9", "1/0", "32-128", "(32"):
        verdict = grade("tail width", text)
        assert verdict.status == "missing" and verdict.hint.startswith("Not understood: "), text
    assert grade("chain", "-log(0.2*0.01)").status == grade("nats", "exp(4.6)").status == "correct"
    assert grade("full cost", "421 billion").status == "correct"
    assert "in billions" in grade("full cost", "420,977,049,600").hint
    assert grade("nats", "4.6").hint.startswith("That is the loss itself")
    assert grade("room for logits", "2741 MB").status == "correct"
    assert grade("typical error", "0.02 s").status == "correct"
    assert "asks for ms, not for" in grade("typical error", "8 %").hint
    assert number(True) == 1.0 and number(float("nan")) is number(float("inf")) is None


@pytest.mark.parametrize("key", QUESTIONS)
def test_no_answer_makes_a_box_fail(key):
    for text in ("1e308", "-1e308", "5e-324", "-5e-324", "0", "1e300", "<b>", "\x00", "1" * 500, "%", "-"):
        box = ask(key)
        box.submit(text)
        assert re.search(r"missing|not yet|almost|correct", box.verdict) and "<b><" not in box.verdict
        assert "Not possible" not in box.verdict


def test_guesses_are_read_whole_too():
    explorer = Explorer("en", cost=COUNTED_MULTIPLICATIONS)
    (entry,) = [x for x in predict("half", explorer).children if isinstance(x, AnswerBox)]
    for text in ("100 to 200", "a few", "2 %", "1/0"):
        entry.submit(text)
        assert "Not understood:" in entry.verdict and "Any number will do" in entry.verdict
    entry.submit("0.1 thousand")
    assert "You said <b>100</b>" in entry.verdict
    for text in ("0", "-5"):
        entry.submit(text)
        assert f"A guess in words should be above 0, got {text}." in entry.verdict
    entry.submit("1e300")
    assert "of more than a million" in entry.verdict


def test_a_prediction_whose_answer_is_zero(monkeypatch):
    monkeypatch.setitem(PREDICTIONS, "half", Prediction("How many?", lambda _: 0.0, "words"))
    explorer = Explorer("en", cost=COUNTED_MULTIPLICATIONS)
    (entry,) = [x for x in predict("half", explorer).children if isinstance(x, AnswerBox)]
    entry.submit("5")
    assert "it is <b>0 words</b>: far off" in entry.verdict
