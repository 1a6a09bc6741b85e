"""The lesson on clusters: two clusters, the swap, the reader against the planner. No browser."""

import threading

import pytest
from panels import every, named, problem, said

from adasoft import Vocabulary, plan
from adasoft.lessons import COUNTED_WORDS, Explorer
from adasoft.lessons.clusters import duel as duels
from adasoft.lessons.clusters import panels as cluster_panels
from adasoft.lessons.kit import cuts, parts
from adasoft.lessons.kit.costs import measured_cost
from adasoft.lessons.kit.cut_widget import CutWidget
from adasoft.lessons.kit.widgets import NumberBox


def test_two_clusters_panel(cost):
    explorer = Explorer(Vocabulary.synthetic(5000), cost=COUNTED_WORDS, cutoffs=(300,))
    box = cluster_panels.two_clusters_panel(explorer)
    (figure,) = every(box, parts.LiveFigure)
    best = figure.data[4].x[0]
    assert best == plan(explorer.vocabulary, 512, 2560, cost=COUNTED_WORDS, n_tails=1, min_head_share=0).cutoffs[0]
    named(box, "words in the first cluster").value = int(best)
    assert figure.data[3].y[0] == figure.data[4].y[0] and not figure.data[4].visible
    named(box, "Show the best").click()
    assert figure.data[4].visible and "Best in the root" in said(box)
    every(box, parts.Slider)[0].value = 10.0
    assert explorer.cutoffs == (10,)
    named(box, "words in the first cluster").value = 5000
    assert "got 5,000" in problem(box) and named(box, "words in the first cluster").value == 10
    explorer.cost = cost
    assert named(box, "cost model").value == cost.name and figure.layout.yaxis.title.text == "ms per step"


def test_swap_panel():
    box = cluster_panels.swap_panel()
    assert "as set: 1,900 words" in said(box) and "better swapped" in said(box)
    named(box, "Swap the shares").click()
    assert "as set: 1,100 words" in said(box) and "better as set" in said(box)
    named(box, "words of the small one", NumberBox).value = 9000
    assert "words of the small one should be from 100 to 5,000, got 9,000" in problem(box)
    named(box, "words of the small one", NumberBox).value = 5000
    assert "k = 5,000" in said(box) and problem(box) == ""
    named(box, "share of the large one, %", parts.Slider).value = 20
    assert "swapping changes nothing" in said(box)


def test_the_game(explorer):
    box, other = cluster_panels.beat_the_planner(explorer), cuts.cut_panel(explorer)
    explorer.cutoffs = (2, 5000)
    assert "not allowed" in said(box)
    explorer.cutoffs = (4000, 9000)
    named(box, "Compare with the planner").click()
    assert "The planner is ahead by" in said(box)
    explorer.cutoffs = explorer.plan_for_me().cutoffs
    named(box, "Compare with the planner").click()
    assert "A draw" in said(box)
    assert tuple(every(other, CutWidget)[0].cuts) == explorer.cutoffs


def test_the_game_measured(explorer, cost, monkeypatch):
    """The real thing at a small size; then what is said of it."""
    explorer.vocabulary = Vocabulary.synthetic(3000, name="small")
    explorer.in_features, explorer.cutoffs = 32, (1500, 2500)
    explorer.cost = measured_cost()
    box = cluster_panels.beat_the_planner(explorer)
    named(box, "Measure both").click()
    (job,) = [x for x in threading.enumerate() if getattr(x, "_target", None) and "Job._run" in repr(x._target)]
    assert named(box, "Measure both").disabled and not named(box, "Stop").disabled
    named(cluster_panels.beat_the_planner(explorer, slot="second"), "Measure both").click()  # one at a time
    job.join(120)
    assert not job.is_alive() and problem(box) == "" and "Your score" in said(box)
    assert "the planner at" in said(box) and "measured" in said(box) and explorer.recall("game") in said(box)
    assert not named(box, "Measure both").disabled and named(box, "Stop").disabled
    assert "Last time" in said(cluster_panels.beat_the_planner(explorer, slot="third"))


def test_a_duel_fits_the_time_and_says_what_it_cannot_do(explorer, monkeypatch):
    from adasoft import timing as machine

    asked = {}

    def interleave(items, *, progress, **_):
        asked["rows"] = {name: len(steps) for name, steps in items.items()}
        progress(0.5, "half")
        return {name: machine.Timing(m, m - 1e-4, m + 1e-4, 9) for name, m in zip(items, (0.020, 0.010), strict=True)}

    monkeypatch.setattr(machine, "interleave", interleave)
    monkeypatch.setattr(duels, "DUEL_SECONDS", 0.15)
    ticks = []
    text = duels.duel(explorer, (1000, 5000), lambda done, what: ticks.append(what))
    assert "B = 2,560" not in text and "so that it takes seconds" in text and "from another machine's timings" in text
    assert "0.50 measured; the planner is faster" in text and ticks[-1] == "half"
    assert asked["rows"] == {"your layer": 2, "the planner's layer": 2}
    with pytest.raises(ValueError, match="no cutoffs"):
        duels.duel(explorer, (), lambda *_: None)
    monkeypatch.setattr(duels, "DUEL_BYTES", 1000)
    with pytest.raises(ValueError, match="narrower tails or a smaller d"):
        duels.duel(explorer, (1000, 5000), lambda *_: None)
