"""The stills of the lesson on perplexity, made of stored runs and of a recorded session."""

from __future__ import annotations

from functools import lru_cache

from ...results.short_tables import stored_tables
from ..kit.cuts import cut_figure
from ..kit.languages import load_language
from ..kit.plots import Picture, still
from . import figures as tf
from . import sentences as said
from .explorer import TrainingExplorer
from .looks import CELL_LABELS, LABELS
from .recorded_sessions import Session, recorded_sessions
from .stored_runs import still_rows, stored_figure


@lru_cache(maxsize=1)
def _session() -> Session:
    (found,) = [session for session in recorded_sessions() if session.kept["training"]["corpus"]["name"] == "docs"]
    return found


@still(
    "06_stored",
    "Left: the validation perplexity of stored runs after each epoch, against minutes. Right: perplexity above the "
    "full softmax's against times faster. The paper's points are hollow: sampled and hierarchical 15 percent, "
    "D-softmax 35, D-softmax* and adaptive 2 percent above; adaptive is the fastest, 2.8 times.",
)
def _stored_still() -> Picture:
    # the full softmax, the authors' cutoffs and the plan: the first runs of the table, whatever else is stored since
    tables = [table for table in stored_tables(keep=still_rows) if "lstm" in table.label]
    tables.sort(key=lambda table: (table.row("full") is None, not table.label.startswith("wikitext-2:")))
    return stored_figure(tables[0] if tables else None)


@still(
    "06_text",
    "A card of the text: its name and packages, licence, tokens, number of words V, the share of the most frequent "
    "ones and of unknown ones, and how it begins.",
)
def _text_still() -> Picture:
    return said.paragraphs_svg(said.text_rows(_session().kept["text"], ""))


@still(
    "06_cutoffs",
    "Three plots for 15,000 words of English cut at 1,000 and 4,000: the head has 75 percent of the tokens and costs "
    "most; the total is far below the full softmax.",
)
def _cut_still() -> Picture:
    # here, because that module renders the stills of all others
    from ..kit.stills import recorded_cost

    return cut_figure(TrainingExplorer(load_language("en"), cost=recorded_cost()))


@still(
    "06_training",
    "Left: perplexity against seconds; the full softmax is the last to fall, adaptive ones are among the first. "
    "Middle: against tokens, most lie close together. Right: the milliseconds of a step; the full softmax's "
    "output layer takes most of it.",
)
def _training_still() -> Picture:
    return tf.training_figure(_session().kept["training"], LABELS)


@still(
    "06_writing",
    "What each model wrote after “the”: words, brackets and <unk>, which make sense for a few words at a time.",
)
def _writing_still() -> Picture:
    return said.paragraphs_svg(said.written_paragraphs(_session().kept["written"], LABELS))


@still(
    "06_cell",
    "Two curves of perplexity, of an LSTM and of the example cell, against seconds and against tokens, and two bars of "
    "a step's milliseconds.",
)
def _cell_still() -> Picture:
    return tf.training_figure(_session().kept["own cell"], CELL_LABELS)
