"""The stills of the lesson on perplexity, made of stored runs and of a recorded session."""

from __future__ import annotations

from functools import lru_cache

import plotly.graph_objects as go

from ...results.short_tables import stored_tables
from ..kit import plots as f
from ..kit.plots import Picture, still
from . import figures as tf
from .looks import EXAMPLE_LABELS, LABELS, look
from .race import stored_race
from .recorded_sessions import Session, recorded_sessions
from .rivals import rivals_svg
from .stored_runs import still_rows, stored_figure


@lru_cache(maxsize=1)
def _session() -> Session:
    (found,) = [session for session in recorded_sessions() if session.kept["training"]["corpus"]["name"] == "docs"]
    return found


#: Where the still of the race stops: nobody has finished, so that it gives no bet away.
SO_FAR = 75.0


@still(
    "06_race",
    "The race after 1.25 minutes, before anybody has finished: perplexity of the words just read, on a logarithmic "
    "clock. Four falling curves; the full softmax lies far above the three others. Who ends where is left to the race.",
)
def _race_still() -> Picture:
    figure = go.Figure()
    for one in stored_race().runners:
        drawn = look(one.name)
        first = [point for point in one.line if point[0] < SO_FAR and point[1] < 260]
        figure.add_scatter(
            x=[seconds / 60 for seconds, _ in first],
            y=[value for _, value in first],
            mode="lines+markers+text",
            text=[""] * (len(first) - 1) + [one.label],
            textposition={"hierarchical": "top right", "planned-0.75": "bottom right"}.get(one.name, "middle right"),
            line={"color": drawn.color, "dash": drawn.dash, "width": 2.5},
            marker={"symbol": drawn.symbol, "opacity": 1, "size": [0] * (len(first) - 1) + [11]},
        )
    figure.update_layout(template=f.TEMPLATE, height=400, showlegend=False)
    figure.update_xaxes(title_text="minutes of training", type="log", tickvals=[0.1, 0.2, 0.5, 1, 2, 5, 10, 20])
    figure.update_xaxes(range=[-1.2, 1.32])
    figure.update_yaxes(title_text="perplexity", type="log", tickvals=[60, 80, 100, 150, 200], range=[1.72, 2.42])
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
    "Left: perplexity against seconds; the adaptive softmax is far ahead. Middle: against tokens, the two lie close "
    "together. Right: the milliseconds of a training step; most of the full softmax's are its output layer.",
)
def _training_still() -> Picture:
    kept = _session().kept["training"]
    lanes = {name: lane for name, lane in kept["lanes"].items() if name in ("full", "yours")}
    return tf.training_figure({**kept, "lanes": lanes}, {**LABELS, **{"yours": EXAMPLE_LABELS["yours"]}})
