"""The stills of the lesson on perplexity, made of stored runs and of a recorded session."""

from __future__ import annotations

import math
from functools import lru_cache

import plotly.graph_objects as go

from ...results.short_tables import stored_tables
from ..kit import plots as f
from ..kit.plots import Picture, still
from . import figures as tf
from .looks import LABELS, look
from .race import stored_race
from .recorded_sessions import Session, recorded_sessions
from .rivals import rivals_svg
from .stored_runs import still_rows, stored_figure


@lru_cache(maxsize=1)
def _session() -> Session:
    (found,) = [session for session in recorded_sessions() if session.kept["training"]["corpus"]["name"] == "docs"]
    return found


@still(
    "06_race",
    "Perplexity against minutes of training on a logarithmic clock, four falling curves. The full softmax ends at "
    "61.9 after 20.2 minutes, the adaptive softmax with the authors' cutoffs at 63.2 after 4.8, with planned ones at "
    "66.5 after 3.2, the hierarchical softmax at 70.4 after 3.6.",
)
def _race_still() -> Picture:
    figure = go.Figure()
    below = {"planned-0.75": 24, "hierarchical": 52, "adaptive": 51, "full": 24}  # pixels: rows under the curves
    for one in stored_race().runners:
        drawn = look(one.name)
        first = [point for point in one.line if point[0] < one.epochs[0][0] and point[1] < 260]
        figure.add_scatter(
            x=[seconds / 60 for seconds, _ in (*first, *one.epochs)],
            y=[value for _, value in (*first, *one.epochs)],
            mode="lines+markers",
            line={"color": drawn.color, "dash": drawn.dash, "width": 2.5},
            marker={"symbol": drawn.symbol, "opacity": 1, "size": [0] * len(first) + [11] * len(one.epochs)},
        )
        minutes, value = one.seconds / 60, one.perplexity
        figure.add_annotation(
            x=math.log10(minutes),
            y=math.log10(value),
            text=f"{one.label}: {value:.1f} after {minutes:.1f} min",
            ax=4,
            ay=below[one.name],
            arrowcolor=f.TEXT_COLOR,
            arrowwidth=1,
            xanchor="right",
            showarrow=True,
            arrowhead=0,
            font={"size": 12},
        )
    figure.update_layout(template=f.TEMPLATE, height=400, showlegend=False)
    figure.update_xaxes(title_text="minutes of training", type="log", tickvals=[0.1, 0.2, 0.5, 1, 2, 5, 10, 20])
    figure.update_yaxes(title_text="perplexity", type="log", tickvals=[60, 80, 100, 150, 200], range=[1.62, 2.42])
    return figure


@still(
    "06_stored",
    "Right: test perplexity above the full softmax's against times faster. With the authors' cutoffs 4.2 times faster "
    "and 2.0 percent higher, with planned ones 6.4 times and 7.4 percent; the paper (hollow) 2.8 times and 2.1 "
    "percent. Left: validation perplexity after each epoch, against minutes.",
)
def _stored_still() -> Picture:
    # what the panel opens with: the full softmax, the authors' cutoffs and the plan, whatever else is stored since
    tables = [table for table in stored_tables(keep=still_rows) if table.row("full") and "lstm" in table.label]
    return stored_figure(tables[0])


@still(
    "06_rivals",
    "Six small drawings of the weights that score the words: full, one block; sampled, some stripes of it; "
    "hierarchical, classes and one class of words; D-softmax and D-softmax*, blocks of falling size, all computed; "
    "adaptive, a head and tails, of which only one is opened.",
)
def _rivals_still() -> Picture:
    return rivals_svg()


@still(
    "06_training",
    "Left: perplexity against seconds; the full softmax falls last, the adaptive ones among the first. Middle: against "
    "tokens, most lie close together. Right: the milliseconds of a step, most of them the full softmax's output layer.",
)
def _training_still() -> Picture:
    return tf.training_figure(_session().kept["training"], LABELS)
