"""What the texts of 00 and 01 claim: numbers are computed and compared, and the code in their cells is run."""

import json
import re

import pytest

from adasoft.lessons import COUNTED_MULTIPLICATIONS, Explorer
from adasoft.lessons.kit.costs import recorded_costs
from adasoft.lessons.kit.cuts import FLOOR
from adasoft.lessons.kit.languages import load_language
from adasoft.lessons.kit.stills import FOLDER, recorded_cost
from adasoft.lessons.words import figures as word_figures
from adasoft.lessons.words.paper import PAPER_SPEEDUP, steps
from adasoft.lessons.words.passages import HEDGEHOG, pieces


def _claims_of_00():
    english, recorded = load_language("en"), recorded_cost()
    n, share = len(english), english.share_of_first(2000)
    half = english.words_for_share(0.5)
    yield f"For English, {half} words: *the*, *to*, *and*, *of*, *a* ... down to *{english.words[half - 1]}*."
    yield f"These {half} words, one in {round(n / half, -2):,.0f} of the list, make up half"
    yield f"holds {100 * share:.1f} % of the tokens, and the tail the other {100 * (1 - share):.1f} %"
    yield f"Of the *words*, the tail holds {100 * (1 - 2000 / n):.1f} %"
    explorer = Explorer(english, cost=recorded)
    lowest = explorer.plan_for_me()
    yield f"At 2,000 words it is {explorer.speedup:.1f} times faster on the recorded machine, at the lowest point, "
    yield f"{lowest.cutoffs[0]:,} words, {lowest.speedup:.1f} times. Counted in multiplications"
    counted = Explorer(english, cost=COUNTED_MULTIPLICATIONS).speedup
    assert counted > explorer.speedup
    yield f"2,000 words save even more: {counted:.1f} times over all of English"
    yield f"at least {100 * FLOOR:.0f} % of the tokens in the head"
    one, d, head, width = 10_000 * 64, 64, 2_001, 16
    yield f"head takes {one / (head * d):.0f} times fewer multiplications than with a full softmax, and a token"
    yield f"the tail {one / (head * d + width * d + 8_000 * width):.1f} times fewer"
    found = steps(english, recorded)
    first, wide, short, small, last = (step.speedup for step in found)
    yield f"only when needed makes the layer {wide:.1f} times faster, and narrowness another {first / wide:.1f} times: "
    yield f"times: {first:.1f} in all. The paper's 10,000 words leave {short:.1f} of the {wide:.1f}, its $d$ and $B$ "
    yield f"its $d$ and $B$ {small:.1f}, and with its head it is {last:.1f}, beside the {PAPER_SPEEDUP:.1f}"
    assert 10 < first < 15 and last == pytest.approx(3, abs=0.2)
    yield "with 321,180 words, it makes the layer more than ten times as fast; with 10,000 words and "
    yield "the paper's sizes, about three times; on a GPU"
    yield f"exceeds {100 * word_figures.LARGEST_ERROR:.0f} %"
    gpu = next(cost for cost in recorded_costs() if "H200" in cost.name and "float32" in cost.name)
    slower, first = steps(english, gpu)[-1].speedup, steps(english, gpu)[0].speedup
    yield f"is {1 / slower:.1f} times slower than its full softmax, but this page's large one {first:.1f} times faster"


def _claims_of_01():
    english, finnish = load_language("en"), load_language("fi")
    n, rank = len(english), {word: i for i, word in enumerate(english.words, start=1)}
    story = [r for _, r in pieces(HEDGEHOG, english) if r >= 0]
    half, most = english.words_for_share(0.5), english.words_for_share(0.8)
    assert 0.5 < sum(r <= half for r in story) / len(story) < 0.56 and all(story)
    assert most < rank["asleep"] and rank["hedgehog"] > 20_000 and max(story) == rank["hedonism"]
    yield f"{half} of them make up half of all tokens, and {n - half:,} share the other half"
    yield f"At {half} words, more than half of the text is there"
    yield f"At {most:,} it is nearly a story"
    yield f"Only at {rank['marmalade']:,} words does *marmalade* appear"
    assert {r for _, r in pieces("42 19", english) if r > 0} == {rank["00"]}
    yield f"*42* and *19* are both *00*, which has rank {rank['00']}"
    ninety, more, last = (english.words_for_share(share) for share in (0.9, 0.95, 0.99))
    yield f"95 % needs {more:,} words, and the first {ninety:,} of them give 90 %: {more - ninety:,} more"
    assert 0.4 < (ninety - most) / (more - ninety) < 0.6
    assert more - ninety > ninety
    yield "These five points need more words than the first ninety; the ten points before them need half as many"
    (zipf, zipf_end), (shift, shift_end) = (
        [fit.shares()[rank] / english.shares[rank] for rank in (0, -1)] for fit in word_figures.fits(english).values()
    )
    assert zipf == pytest.approx(2, abs=0.2) and 2 / 3 <= shift <= 1
    yield f"it gives the first word twice what it has, and the last one {zipf_end:.0f} times"
    yield f"brings the first within a third; the last still gets {shift_end:.0f} times too much"
    yield f"{last:,} words hold 99 % of the tokens, so {n:,} − {last:,} = {n - last:,} words share the last percent"
    assert 0.73 < 1 - last / n < 0.8
    yield "Three quarters of the vocabulary lie there"
    cut = english.share_of_first(2000) / english.share_of_first(10_000)
    yield f"English, which reaches {100 * english.share_of_first(2000):.1f} % there"
    yield f"the first 2,000 cover {100 * cut:.1f} %"
    heads = [words.share_of_first(2000) for words in (english, finnish)]
    yield f"hold {100 * heads[0]:.1f} % of the English tokens and {100 * heads[1]:.0f} % of the Finnish ones"
    tails = [1 - head for head in heads]
    yield f"get {100 * tails[0]:.1f} % and {100 * tails[1]:.0f} %: {tails[1] / tails[0]:.1f} times as many"
    # the paper's minutes, full and adaptive
    yield f"{58 / 18:.1f} times faster for Bulgarian (50,000 words)"
    yield f"{802 / 110:.1f} times faster for German (143,000 words)"
    short = {load_language(code).name for code in word_figures.LANGUAGES if load_language(code).floor > 5e-7}
    assert short == {"Bulgarian", "Danish", "Greek", "Hungarian", "Turkish"}
    yield "(Bulgarian, Danish, Greek, Hungarian and Turkish at one in a million)"


@pytest.mark.parametrize(
    "lesson, claims", [("00_start_here", _claims_of_00), ("01_zipf", _claims_of_01)], ids=["00", "01"]
)
def test_numbers_in_the_text_are_computed(lesson, claims):
    text = notebook_text(lesson)
    for claim in claims():
        assert claim in text, claim


def notebook_text(lesson):
    cells = json.loads((FOLDER.parent / f"{lesson}.ipynb").read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells)


def test_the_code_of_00_counts_what_its_text_says(capsys):
    (code,) = re.findall(r"import numpy as np\n.*?with the tail\.\"\)", notebook_text("00_start_here"), re.S)
    exec(code, {})
    full, head, tail = 10_000 * 64, 2_001 * 64, 16 * 64 + 8_000 * 16
    said = " ".join(capsys.readouterr().out.split())
    assert said == (
        f"All probabilities sum to 1.000000. Multiplications: {full:,} for a full softmax, "
        f"{head:,} for the head, {head + tail:,} with the tail."
    )


def test_the_code_of_01_prints_coverage(capsys):
    (code,) = re.findall(r"import numpy as np\n.*?:6\.1%\}\"\)", notebook_text("01_zipf"), re.S)
    exec(code, {"explorer": Explorer(load_language("en"))})
    lines = capsys.readouterr().out.splitlines()
    assert lines[4].split() == ["2,000", "words,", "to", "boat", "cover", "78.6%"] and len(lines) == 7
