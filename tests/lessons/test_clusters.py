"""The lesson on clusters: one cut, the swap, tails, width, the reader against the planner. No browser."""

import json
import re
import threading
from pathlib import Path

import ipywidgets as w
import numpy as np
import pytest
from panels import every, named, problem, said

from adasoft import PaperCost, Vocabulary, plan
from adasoft.lessons import COUNTED_MULTIPLICATIONS, COUNTED_WORDS, ClustersExplorer
from adasoft.lessons.clusters import duel as duels
from adasoft.lessons.clusters import figures as f
from adasoft.lessons.clusters import panels as cluster_panels
from adasoft.lessons.clusters.exercises import EXERCISES
from adasoft.lessons.clusters.explorer import starting_time
from adasoft.lessons.clusters.questions import PREDICTIONS, QUESTIONS
from adasoft.lessons.clusters.widgets import AreaCut, GameMap, SwapAreas
from adasoft.lessons.kit import parts
from adasoft.lessons.kit.costs import measured_cost, recorded_costs
from adasoft.lessons.kit.exercises import judge
from adasoft.lessons.kit.grading import grade
from adasoft.lessons.kit.languages import load_language
from adasoft.reference import best_cutoffs
from adasoft.reference import cost as reference_cost
from adasoft.tradeoffs import two_clusters

CELLS = json.loads(
    (Path(__file__).resolve().parents[2] / "notebooks" / "02_clusters.ipynb").read_text(encoding="utf-8")
)["cells"]
TEXT = "\n".join("".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "markdown")


@pytest.fixture
def explorer(cost):
    return ClustersExplorer(Vocabulary.synthetic(20_000, name="synthetic"), cost=cost, cutoffs=(1000, 5000))


# ---------------------------------------------------------------- the panels


def test_one_cut_as_areas(cache):
    explorer = ClustersExplorer(Vocabulary.synthetic(5000), cost=COUNTED_WORDS, cutoffs=(300,))
    first, second = cluster_panels.area_panel(explorer), cluster_panels.two_clusters_panel(explorer)
    (one,), (two,) = every(first, AreaCut), every(second, AreaCut)
    best = plan(explorer.vocabulary, 512, 2560, cost=COUNTED_WORDS, n_tails=1, min_head_share=0).cutoffs[0]
    # before the guess, neither the totals nor the best cut are sent to the page
    assert (one.curve, one.best, one.guess) == (False, None, None) and (two.curve, two.best) == (True, best)
    one.cut = 77  # as a drag does
    assert explorer.cutoffs == (77,) and two.cut == 77
    explorer.cutoffs = (1234,)
    assert one.cut == two.cut == 1234
    explorer.cutoffs = ()
    two.cut = 9
    assert explorer.cutoffs == (9,) and problem(first, second) == ""


def test_the_guess_is_drawn(cache):
    explorer = ClustersExplorer(Vocabulary.synthetic(5000), cost=COUNTED_WORDS)
    explorer.remember("guess best cut", 700)
    (picture,) = every(cluster_panels.two_clusters_panel(explorer), AreaCut)
    assert picture.guess == 700


def test_the_guesses_of_swap_and_second_tail_are_drawn(explorer, cache):
    swap = cluster_panels.swap_panel(explorer)
    assert every(swap, SwapAreas)[0].guess is None
    explorer.remember("guess swap", 1500)
    explorer.version += 1
    assert every(swap, SwapAreas)[0].guess == 1500
    (figure,) = every(cluster_panels.tails_panel(explorer), parts.LiveFigure)
    assert len(figure.data[6].x) == 0
    explorer.remember("guess second cutoff", 4.0)
    explorer.version += 1
    one = explorer.tails(explorer.cost)[0].plan.time
    assert figure.data[6].x == ("2",) and figure.data[6].y[0] == pytest.approx(1e3 * one / 4)
    question = PREDICTIONS["second cutoff"].question(explorer)
    explorer.remember("result second cutoff", {"truth": 2.0, "unit": "times", "question": question})
    explorer.in_features //= 2  # the guess was for other sizes
    assert len(figure.data[6].x) == 0


def test_the_question_of_the_second_tail_names_the_widths(explorer):
    explorer.in_features = 512
    question = PREDICTIONS["second cutoff"].question
    assert "tails 128 and 32 numbers wide" in question(explorer)
    explorer.width_rule = "d/4 for every tail"
    assert "tails 128 and 128 numbers wide" in question(explorer)


def test_swaps_that_change_nothing_are_kept(cache):
    explorer = ClustersExplorer("en", lesson="02 test")
    (picture,) = every(cluster_panels.swap_panel(explorer), SwapAreas)
    assert (picture.sizes, picture.shares, picture.found) == ([1000, 9000], [10, 20], [])
    picture.found = ["shares"]
    explorer.close()
    again = ClustersExplorer("en", lesson="02 test")
    assert again.recall("swaps found") == ["shares"]
    assert every(cluster_panels.swap_panel(again), SwapAreas)[0].found == ["shares"]


def test_tails_say_both_with_numbers(explorer):
    """They take time to start, and may pay all the same: on two kinds of machine."""
    box = cluster_panels.tails_panel(explorer)
    assert said(box).count("A second tail takes") == 2 and "Made by hand: the fastest has" in said(box)
    (figure,) = every(box, parts.LiveFigure)
    rows = explorer.tails(explorer.cost)
    np.testing.assert_allclose(figure.data[0].y + figure.data[1].y, [1e3 * row.plan.time for row in rows], rtol=1e-12)
    assert [row.plan.n_tails for row in rows] == [1, 2, 3, 4, 5]
    # made by hand: the head's product, two for each tail, sorting
    assert rows[1].starting == pytest.approx(3 * 5e-4 + 2 * 1e-4 + 1e-4, rel=1e-3)
    assert all("tails: " in text or "1 tail: " in text for text in figure.data[0].hovertext)
    explorer.vocabulary = Vocabulary.synthetic(3)
    assert problem(box) == "" and len(figure.data[0].x) == 1  # the floor leaves room for one


def test_the_front_is_the_one_of_the_planner(explorer):
    box = cluster_panels.front_panel(explorer)
    (figure,) = every(box, parts.LiveFigure)
    points = [p for p in explorer.front(explorer.cost) if p.cutoffs]
    np.testing.assert_allclose(figure.data[0].x, [p.mean_width for p in points])
    assert figure.data[1].y[0] == pytest.approx(1e3 * explorer.plan_for_me(2).time)
    assert figure.data[2].y[0] == pytest.approx(1e3 * explorer.prediction.seconds)
    assert "numbers per token" in said(box) and "numbers per token" in figure.data[0].hovertext[0]
    explorer.cutoffs = (100,)
    assert len(figure.data[2].x) == 0  # another number of tails lies on another front
    assert "Your layer has 1 tail; this curve is for 2" in said(box)
    explorer.cutoffs = (100, 300)
    assert len(figure.data[2].x) == 1 and "Your layer has" not in said(box) and problem(box) == ""


def test_where_the_cost_model_counts_the_figures_go_by_a_clock():
    explorer = ClustersExplorer(Vocabulary.synthetic(3000), cost=COUNTED_MULTIPLICATIONS, cutoffs=(100, 900))
    recorded = recorded_costs()[0]
    assert explorer.by_the_clock.name == recorded.name and not recorded.on_gpu
    assert recorded.name[1:] in said(cluster_panels.front_panel(explorer))
    assert recorded.name in PREDICTIONS["second cutoff"].question(explorer)


def test_a_cost_model_chosen_in_section_3_changes_nothing_in_section_4(cache):
    """Its text speaks of two machines; charts, question and the reader's guess stay with them."""
    explorer = ClustersExplorer(Vocabulary.synthetic(3000), cost=COUNTED_MULTIPLICATIONS, cutoffs=(100, 900))
    explorer.remember("guess second cutoff", 4.0)
    boxes = cluster_panels.tails_panel(explorer), cluster_panels.front_panel(explorer)
    figures = [figure for box in boxes for figure in every(box, parts.LiveFigure)]
    question = PREDICTIONS["second cutoff"].question

    def shown():
        drawn = [[list(trace.x), list(trace.y)] for figure in figures for trace in figure.data]
        titles = [figures[0].layout.xaxis.title.text, figures[0].layout.xaxis2.title.text]
        return drawn, titles, said(*boxes), question(explorer), list(figures[1].layout.yaxis.tickvals)

    before = shown()
    assert before[0][6] == [["2"], [pytest.approx(1e3 * explorer.tails(explorer.by_the_clock)[0].plan.time / 4)]]
    assert len(before[-1]) >= 3
    for cost in recorded_costs():
        explorer.cost = cost
        assert shown() == before
    assert problem(*boxes) == ""


def test_the_front_says_no_saving_that_is_none(explorer):
    points, found = explorer.front(explorer.cost), explorer.plan_for_me(2)
    assert "hardly less time" in f.front_sentence(explorer.cost, [points[0]._replace(time=found.time)], found)
    assert all(len(f.round_ticks(low, factor * low)) >= 3 for low in (0.31, 2.4, 237) for factor in (1.2, 1.9, 7, 90))


@pytest.mark.parametrize("n", [2, 3, 12])
def test_tiny_vocabularies(n, cost):
    explorer = ClustersExplorer(Vocabulary.synthetic(n), cost=cost, cutoffs=(1,))
    for make in (
        cluster_panels.area_panel,
        cluster_panels.two_clusters_panel,
        cluster_panels.tails_panel,
        cluster_panels.front_panel,
    ):
        assert problem(make(explorer)) == ""
    game = cluster_panels.beat_the_planner(explorer)
    assert (problem(game) == "") == (n > 2) and ("this game needs at least 3 words" in problem(game)) == (n == 2)


@pytest.mark.parametrize("make", ["area", "two_clusters", "swap", "tails", "front", "beat_the_planner"])
def test_a_cell_run_again_leaks_no_widget(explorer, make):
    panel = getattr(cluster_panels, make if make == "beat_the_planner" else f"{make}_panel")
    panel(explorer)
    widgets = len(w.widgets.widget._instances)
    for _ in range(3):
        panel(explorer)
    assert len(w.widgets.widget._instances) == widgets


# ---------------------------------------------------------------- the game


def test_the_game(explorer):
    box = cluster_panels.beat_the_planner(explorer)
    (picture,) = every(box, GameMap)
    assert picture.trail == [[1000, 5000]] and picture.plan == []
    picture.cuts = [2, 5000]  # as a drag does
    assert explorer.cutoffs == (2, 5000)
    picture.trail = [[2, 5000]]
    named(box, "Compare with the planner").click()
    assert "move the first cutoff until the head holds 75 %" in problem(box) and picture.plan == []
    explorer.cutoffs = (4000, 9000)
    assert picture.cuts == [4000, 9000]
    named(box, "Compare with the planner").click()
    best = explorer.plan_for_me(2)
    assert problem(box) == "" and "The planner is" in said(box) and picture.plan == list(best.cutoffs)
    explorer.cutoffs = best.cutoffs
    picture.trail = [*picture.trail, list(best.cutoffs)]
    explorer.cutoffs = (4000, 9000)  # the best place tried counts, not the last
    named(box, "Compare with the planner").click()
    assert "A draw" in said(box)
    named(box, "Play again").click()
    assert picture.plan == [] and picture.trail == [[1000, 5000]] and explorer.cutoffs == (1000, 5000)
    assert "A draw" not in said(box)
    explorer.batch = 64  # another game: dark again
    assert picture.batch == 64 and picture.trail == [[1000, 5000]]


def test_the_places_tried_in_the_game_outlive_a_restart(cost, cache):
    """The best place is said again, not the last; with other sizes it is another game."""

    def opened():
        explorer = ClustersExplorer(Vocabulary.synthetic(20_000), cost=cost, lesson="02 test", cutoffs=(1000, 5000))
        (picture,) = every(box := cluster_panels.beat_the_planner(explorer), GameMap)
        return explorer, box, picture

    explorer, box, picture = opened()
    best = explorer.plan_for_me(2).cutoffs
    tried = [[1000, 5000], list(best), [15_000, 18_000]]
    picture.trail = tried  # as the browser does
    picture.cuts = tried[-1]
    explorer.close()
    explorer, box, picture = opened()
    assert picture.trail == tried and picture.cuts == tried[-1]
    named(box, "Compare with the planner").click()
    assert "A draw" in said(box)
    explorer.batch = 64
    assert picture.trail == [tried[-1]] and picture.plan == []
    explorer.reset()
    explorer.batch = 2560
    assert picture.trail == tried
    named(box, "Play again").click()
    explorer.close()
    assert opened()[2].trail == [[1000, 5000]]
    picture = opened()[2]
    picture.trail = tried
    explorer.remember("game", {"of": ["another"], "trail": tried})
    explorer.start_over()
    assert explorer.recall("game") is None


def test_the_game_measured(explorer, cache):
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
    assert not job.is_alive() and problem(box) == "" and "measured here" in said(box)
    (figure,) = every(box, parts.LiveFigure)
    kept = explorer.kept_duel()
    assert figure.data[0].x[1] == 1e3 * kept["you"]["measured"][0] and figure.data[0].y[1] == "you: 1,500 and 2,500"
    assert figure.data[0].error_x.array[1] == pytest.approx(
        1e3 * (kept["you"]["measured"][2] - kept["you"]["measured"][0])
    )
    assert not named(box, "Measure both").disabled and named(box, "Stop").disabled
    assert "Last time" in said(cluster_panels.beat_the_planner(explorer, slot="third"))
    named(box, "Measure both").click()
    named(box, "Stop").click()


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
    found = duels.duel(explorer, (1000, 5000), lambda done, what: ticks.append(what))
    assert found.batch < explorer.batch == found.asked and duels.Duel.from_kept(found.kept) == found
    text = f.duel_sentence(found)
    assert "The planner is faster" in text and "0.50 ± 0.01 measured here" in text
    assert "so that it takes seconds" in text
    assert "predicted by made by hand" in text and ticks[-1] == "half"
    assert "A draw" in f.duel_sentence(found._replace(you=found.planner))
    assert asked["rows"] == {"your layer": 2, "the planner's layer": 2}
    with pytest.raises(ValueError, match="no cutoffs"):
        duels.duel(explorer, (), lambda *_: None)
    monkeypatch.setattr(duels, "DUEL_BYTES", 1000)
    with pytest.raises(ValueError, match="narrower tails or a smaller d"):
        duels.duel(explorer, (1000, 5000), lambda *_: None)


def _measured(you, planner, n=9):
    """A duel with these quartiles, medians between them, of both layers in milliseconds."""

    def side(q1, median, q3):
        return duels.Side((1000, 5000), 0.1, median / 1e3, q1 / 1e3, q3 / 1e3, n)

    return duels.Duel(1024, 1024, "made by hand", side(*you), side(*planner))


@pytest.mark.parametrize(
    ("you", "planner", "outcome", "says"),
    [
        (
            (60, 270, 380),
            (60, 130, 380),
            "too busy",
            "Your machine was too busy: of one layer, slow steps took 6.",
        ),
        ((95, 100, 105), (58, 60, 63), "planner", "The planner is faster. "),
        ((95, 100, 105), (118, 120, 124), "you", "You are faster. "),
        ((95, 100, 105), (96, 102, 106), "alike", "A draw: the medians differ by no more than chance. "),
        ((90, 100, 112), (97, 104, 108), "alike", "A draw"),
    ],
)
def test_a_busy_machine_decides_nothing(you, planner, outcome, says):
    """Quartiles may overlap where medians differ by more than chance; a draw is no name for noise."""
    found = _measured(you, planner)
    text = f.duel_sentence(found)
    assert found.outcome in outcome and text.startswith(says)
    if outcome == "too busy":
        assert "Measure again" in text and "draw" not in text and "measured here cannot" in text
        assert not re.search(r"\d\.\d\d", text)  # no ratio with digits that mean nothing
    else:
        assert re.search(r"\d\.\d\d ± \d\.\d\d measured here", text)


def test_a_few_steps_decide_nothing():
    found = _measured((95, 100, 105), (58, 60, 63), n=2)
    assert found.outcome == "too busy" and "There was time for 2 steps of each layer only" in f.duel_sentence(found)
    many = _measured((80, 100, 120), (85, 104, 125), n=2500)  # with many steps, overlapping quartiles are no draw
    assert many.outcome == "you"


def test_section_3_gives_no_answer_of_the_game():
    """Other sizes and another cost model: its plan is another one."""
    words = load_language("en")
    layer = plan(words, 512, 2560, cost=COUNTED_MULTIPLICATIONS, n_tails=2)
    game = plan(words, 256, 1024, cost=recorded_costs()[0], n_tails=2)
    assert layer.cutoffs != game.cutoffs


# ---------------------------------------------------------------- questions, exercise


@pytest.mark.parametrize(
    ("key", "answer", "hint"),
    [
        ("count by hand", "3,200", "both shares"),
        ("count by hand", "2,001", "the head alone"),
        ("fixed costs", "0.8", "two products"),
        ("tail token", "5,185,536", "scores use the full width"),
        ("tail width", "256", "That is tail 1"),
        ("tail width", "32", "where d = 512"),
        ("swap saving", "28000", "difference of the shares"),
        ("swap saving", "2,700", "what the large tail costs with the large share"),
        ("swap saving", "2,780", "what the worse assignment costs"),
        ("swap saving", "1200", "with the small share"),
        ("swap saving", "1,500", "what the large tail saves"),
        ("swap saving", "1600", "subtract them"),
        ("swap saving", "9% * 28000", "by the difference of the shares"),
        ("swap saving", "1120", "by the difference of the shares"),
        ("count by hand", "1,600", "the tail alone"),
        ("count by hand", "20% * 8000", "the tail alone"),
        ("fixed costs", "2 ms", "no projection"),
    ],
)
def test_likely_errors_have_a_hint_of_their_own(key, answer, hint):
    verdict = grade(key, answer)
    assert verdict.status == "not yet" and hint in verdict.hint


@pytest.mark.parametrize("answer", ["1.35 million", "1,345,536", "512*128 + 128*10000"])
def test_a_rounded_answer_is_right(answer):
    assert grade("tail token", answer).status == "correct"


def test_every_hint_is_for_a_wrong_answer():
    for key, question in QUESTIONS.items():
        assert grade(key, question.expected()).status == "correct"
        for wrong in question.wrong.values():
            assert grade(key, wrong()).status == "not yet", key


def test_write_it_yourself():
    exercise = EXERCISES["multiplications"]
    assert judge(exercise, exercise.solution).status == "correct" and len(exercise.bugs) >= 3
    for hint, bug in exercise.bugs.items():
        assert hint in judge(exercise, bug).text
    unknown = judge(exercise, lambda counts, cutoffs, d, widths: 5.0 + counts[0])
    counts, cutoffs, d, widths = exercise.cases()[0]
    head, share = d * (cutoffs[0] + len(cutoffs)), counts[1] / counts.sum()
    tail = share * (d * widths[0] + widths[0] * (cutoffs[1] - cutoffs[0]))
    assert unknown.text.startswith("Not a mistake I know. Try the case by hand: ")
    assert f"= {head}, " in unknown.text and unknown.text.endswith(f"= {tail:.1f}.")
    explorer = ClustersExplorer(Vocabulary.synthetic(900), cost=COUNTED_MULTIPLICATIONS, cutoffs=(30, 200))
    counted = exercise.solution(explorer.vocabulary.counts, [30, 200], 512, explorer.widths)
    assert counted == pytest.approx(1e6 * float(explorer.amount(explorer.prediction.seconds)), rel=1e-9)


# ---------------------------------------------------------------- what the text says


@pytest.fixture(scope="module")
def english():
    return load_language("en")


def test_in_code_computes_what_the_panel_shows(english, capsys):
    (source,) = ["".join(cell["source"]) for cell in CELLS if "argmin()" in "".join(cell["source"])]
    explorer = ClustersExplorer(english, cost=COUNTED_WORDS)
    room = {"counting": explorer}
    exec(source, room)
    assert room["k_h"][room["best"]] == explorer.best_cut()
    said = capsys.readouterr().out
    assert said == "31,499 of 321,180 words per token: 10.2 times fewer\n"  # not where: that is to be guessed


def test_the_bottom_of_the_u_is_flat(english):
    found = two_clusters(english, 512, 2560, cost=COUNTED_WORDS).root
    best = int(found.argmin())
    missed = [found[int(best * factor)] / found[best] - 1 for factor in (2 / 3, 4 / 3)]
    assert [round(100 * m) for m in missed] == [6, 4] and "a head a third larger or smaller costs 4 to 6 % more" in TEXT


def test_both_clusters_in_leaves_are_nearly_a_tie(english):
    found = two_clusters(english, 512, 2560, cost=COUNTED_WORDS)
    leaf, root = found.leaf.min() / 2560, found.root.min() / 2560
    assert f"words per token for English: 321,180, {root:,.0f} and {leaf:,.0f}" in TEXT and 1 < root / leaf < 1.03


def test_where_the_argument_fails():
    """Another order beats every cut of the sorted list, whatever the number of tails."""
    shares, flat = [0.40, 0.19, 0.18, 0.17, 0.06], lambda k, B: np.maximum(50, k * B)
    assert "0.40, 0.19, 0.18, 0.17 and 0.06" in TEXT and "\\max(50, kn)" in TEXT
    cuts = {n: best_cutoffs(shares, 100, n, flat) for n in range(1, 5)}
    times = {n: reference_cost(cut, shares, 100, flat) for n, cut in cuts.items()}
    assert min(times.values()) == pytest.approx(times[1]) == pytest.approx(423) and cuts[1] == [2]
    assert times[1] < flat(5, 100)  # the full softmax
    other = flat(1 + 2, 100) + flat(2, 19 + 6) + flat(2, 18 + 17)
    assert other == 420 and "But {1}, {2, 5}, {3, 4} takes" in TEXT and "= 420$" in TEXT
    assert "= 423$: the head scores two words and an entry for the tail" in TEXT


def test_what_a_second_tail_costs_and_saves(english):
    for cost, words in zip(
        recorded_costs()[:2], ("0.29 ms more to start and saves 647 ms", "0.94 ms more and saves 0.54 ms"), strict=True
    ):
        one, two = (plan(english, 512, 2560, cost=cost, n_tails=n) for n in (1, 2))
        adds = starting_time(cost, 2) - starting_time(cost, 1)
        saves = one.time - two.time + adds
        numbers = [float(x) for x in re.findall(r"[\d.]+(?= ms)", words)]
        assert [1e3 * adds, 1e3 * saves] == pytest.approx(numbers, rel=0.02) and words in TEXT
    assert "on the recorded CPU a second tail takes 0.29 ms more to start, on the recorded H200 0.94 ms" in TEXT


def test_the_best_numbers_of_tails_and_the_head_without_the_floor(english):
    for cost, words in zip(recorded_costs()[:2], ("five tails are best", "and one is best"), strict=True):
        times = [plan(english, 512, 2560, cost=cost, n_tails=n).time for n in range(1, 6)]
        assert ("one", "two", "three", "four", "five")[times.index(min(times))] in words and words in TEXT
    free = plan(english, 512, 2560, cost=COUNTED_MULTIPLICATIONS, n_tails=2, min_head_share=0).cutoffs[0]
    kept = plan(english, 512, 2560, cost=COUNTED_MULTIPLICATIONS, n_tails=2).cutoffs[0]
    counted = plan(english, 512, 2560, cost=COUNTED_WORDS, n_tails=1, min_head_share=0).cutoffs[0]
    assert f"With two tails, a head of {free} words has the fewest multiplications" in TEXT and free < kept < counted


def test_part_of_what_a_second_tail_saves_is_width(english):
    cost, wide = recorded_costs()[0], [128, 128]
    one, two = (plan(english, 512, 2560, cost=cost, n_tails=n, widths=wide[:n]) for n in (1, 2))
    saves = one.time - starting_time(cost, 1) - (two.time - starting_time(cost, 2))
    assert f"647 ms of computing that a second tail saves on the CPU, {1e3 * saves:.0f} come from the cut" in TEXT


def test_which_cost_has_which_optimum():
    """The rows of the table, computed."""
    counts, clock = 1e6 / np.arange(1, 10_001), {"c": 0.28e-3, "lam": 2.4e-6 / 2560}
    rows = {
        "words scored per token": (COUNTED_WORDS, 2560, "{:,.0f}", "more than 10"),
        "ms, a tail's s weighted": (PaperCost(**clock, form="first"), 1e-3, "{:.2f}", "more than 10"),
        "ms, each product pays s": (PaperCost(**clock), 1e-3, "{:.2f}", "6"),
    }
    for name, (cost, unit, form, best) in rows.items():
        times = {n: plan(counts, 512, 2560, cost=cost, n_tails=n, min_head_share=0).time / unit for n in range(1, 12)}
        cells = " | ".join(form.format(times[n]) for n in (1, 3, 6, 10))
        (row,) = [line for line in TEXT.splitlines() if line.startswith(f"| {name}")]
        assert f"| {cells} | {best} |" in row
        assert min(times, key=times.get) == (11 if best == "more than 10" else int(best))


def test_the_floor_costs_next_to_no_time(english):
    """At the fast end, giving up width hardly saves time."""
    explorer = ClustersExplorer(english, cost=recorded_costs()[0], cutoffs=(2000, 10000))
    fastest, floor = explorer.front(explorer.cost)[0], explorer.plan_for_me(2)
    assert round(100 * (floor.time / fastest.time - 1)) == 2 and fastest.head_share < 0.75
    assert "here it costs 2 % of time" in TEXT


def test_more_tails_can_beat_the_curve_of_two_at_the_same_width(english):
    """So the figure, its text and its sentence say that the curve is for two."""
    explorer = ClustersExplorer(english, cost=recorded_costs()[0], cutoffs=(2000, 10000))
    found = plan(english, 512, 2560, cost=recorded_costs()[0])
    width = f.mean_width(512, found.widths, found.shares)
    front = [p for p in explorer.front(explorer.cost) if p.mean_width <= width]
    assert found.n_tails > 2 and found.time < min(p.time for p in front) / 2
    star = explorer.plan_for_me(2)
    wide, ms = f.mean_width(512, star.widths, star.shares), [1e3 * one.time for one in (found, star)]
    assert (found.n_tails, list(found.widths[-3:]), found.widths[-4] > 8) == (5, [8, 8, 8], True)
    assert f"On the recorded CPU, five take {ms[0]:.0f} ms where the star's two take {ms[1]:.0f}. But three of" in TEXT
    assert f"only 8 numbers wide: {width:.0f} numbers per token, where the star has {wide:.0f}." in TEXT
    figure = f.front_figure(explorer.front(explorer.cost), None, explorer.plan_for_me(2), english)
    assert (
        "with 2 tails" in figure.data[0].name and "that has two tails" in TEXT and "The curve is for two tails" in TEXT
    )
    assert ", 2 tails:" in f.front_sentence(explorer.cost, explorer.front(explorer.cost), explorer.plan_for_me(2))


def test_a_drag_searches_no_plan_again(explorer, monkeypatch):
    """Tails and front go by words and sizes, not by cutoffs, though each reading of a record makes a new object."""
    boxes = [cluster_panels.tails_panel(explorer), cluster_panels.front_panel(explorer)]
    monkeypatch.setattr(ClustersExplorer, "plan_for_me", lambda *_, **__: pytest.fail("searched again"))
    explorer.cutoffs = (1200, 6000)
    explorer.cutoffs = (1300, 6000)
    assert problem(*boxes) == ""
