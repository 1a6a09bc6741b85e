"""The stills of the first two lessons."""

from __future__ import annotations

from ..kit.cut_stills import cut_figure
from ..kit.explorer import Explorer
from ..kit.languages import load_language, read_words
from ..kit.plots import Picture, card_svg, still
from ..kit.stills import FOLDER, recorded_cost
from . import figures as f
from .drawings import reading_svg, token_svg
from .paper import steps, steps_figure
from .passages import HEDGEHOG, pieces

_SENTENCE, _WORD = "the cat sat on the mat and watched an axolotl", "axolotl"


@still(
    "00_token",
    "The sentence “the cat sat on the mat and watched an axolotl”, with axolotl marked. Below, to scale: a full "
    "softmax as one large grey block, all of it computed. Under it an adaptive softmax: a narrow high block for the "
    "head of 2,000 words, and a flat long one for tail 1, which holds axolotl and is computed for it.",
)
def _token() -> Picture:
    return token_svg(load_language("en"), _SENTENCE, _WORD, (2000,))


@still(
    "00_cut",
    "The cut explorer for English with one cutoff at 2,000. Above, the words by rank with a handle between boat and "
    "bringing; the head has 78.6 percent of the tokens. Under it the total time, a U: the "
    "head rises, the tail falls; at 2,000 it is far below the dotted line of the full softmax.",
)
def _cut() -> Picture:
    return cut_figure(Explorer(load_language("en"), cost=recorded_cost()))


@still(
    "00_paper",
    "Bars of how many times faster the layer is than the full softmax, on the recorded CPU: 11.8 with this page's "
    "sizes; 4.1 with a tail of full width; 3.0 with 10,000 words besides; then 2.7 with d = 128 and B = 512, and 2.9 "
    "with a head of 1,400 words. Last, hatched, the paper's 2.4.",
)
def _paper() -> Picture:
    return steps_figure(steps(load_language("en"), recorded_cost()))


@still(
    "00_machine",
    "The card of a recorded machine: this machine, the timings used (a recorded machine, not this one), the timed "
    "device, the date, the version of torch, and the median error of predictions.",
)
def _machine() -> Picture:
    cost = recorded_cost()
    record = cost.record or {}
    here = f"{record['device']['name']}, {record['threads']} logical processors"
    return card_svg({"this machine": here, **f.record_rows(record, mine=False)})


@still(
    "01_reading",
    "A text of 64 words in which only the 125 most frequent English words can be read: “On ... the ... a ... in "
    "the ... and ... She did not want to ... it”. The other words are grey bars. Below, a dot for each word on a line "
    "of ranks from 1 to 321,180; a handle stands at 125, and about half of the dots lie to its left.",
)
def _reading() -> Picture:
    english = load_language("en")
    n = english.words_for_share(0.5)
    return reading_svg(pieces(HEDGEHOG, english), n, len(english), english.name)


@still(
    "01_coverage",
    "Left: the frequency of English words against their rank on logarithmic axes, with a straight line for Zipf and a "
    "curve for Zipf-Mandelbrot; the data bend below the line at the end. Right: the share of all tokens that the most "
    "frequent words cover, and the sums of both laws, which lie above it at first and then below; a ring marks 80 "
    "percent at 2,286 words, and a point what the paper says of Penn Treebank: its first 2,000 words cover 87 percent "
    "of it, more than those of English.",
)
def _coverage() -> Picture:
    return f.coverage_figure(load_language("en"), 0.8)


@still(
    "01_languages",
    "Coverage curves of English, German and Finnish against the number of most frequent words. English rises fastest, "
    "then German, then Finnish, which needs several times as many words for every share.",
)
def _languages() -> Picture:
    return f.languages_figure([load_language(code) for code in ("en", "de", "fi")])


@still(
    "01_own_text",
    "Coverage curves of a short text and of English against the number of most frequent words. The short text, this "
    "project's licence, ends at its 96th word; there English covers about half of its tokens.",
)
def _own_text() -> Picture:
    licence = read_words(FOLDER.parents[1] / "LICENSE", "LICENSE")
    return f.languages_figure([licence, load_language("en")])
