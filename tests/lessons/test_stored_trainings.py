"""Stored trainings in the lesson on perplexity: the race, the panel beside the paper, verdicts, and the exercise."""

import json
import math
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from panels import figure_of, named, problem, said
from trainings import made_corpus

from adasoft.lessons.kit import done
from adasoft.lessons.kit.grading import PREDICTIONS
from adasoft.lessons.kit.progress import forget_lesson, steps
from adasoft.lessons.kit.report import report
from adasoft.lessons.kit.stills import every_still
from adasoft.lessons.language_model import looks as lk
from adasoft.lessons.language_model import race as rc
from adasoft.lessons.language_model import recorded_panels as rp
from adasoft.lessons.language_model import stored_ranks as sr
from adasoft.lessons.language_model import stored_runs as st
from adasoft.lessons.language_model import stored_verdicts as sv
from adasoft.lessons.language_model.explorer import TrainingExplorer
from adasoft.lessons.language_model.recorded_sessions import recorded_sessions
from adasoft.lessons.language_model.stills import SO_FAR
from adasoft.lessons.language_model.widgets import STATIC, RaceView
from adasoft.lm.launch import record_of
from adasoft.lm.run import Run
from adasoft.lm.settings import Settings
from adasoft.results.short_tables import stored_tables
from adasoft.results.suite import PAPER_TEXT8, ROW_LABELS

pytestmark = pytest.mark.usefixtures("one_thread")
NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "06_language_model.ipynb"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path / "cache"))


# ---- stored runs


@pytest.fixture(scope="module")
def record():
    """A record as `adasoft table` stores it, to be changed."""
    run = Run(made_corpus(2000, name="own"), Settings(hidden=16, batch=4, bptt=20, softmax="full", epochs=2))
    for _ in run.steps():
        pass
    return json.loads(json.dumps(record_of(run, run.perplexity("test"))))


def store(folder, record, name, test, rate, *, seed=0, output=0.5, **more):
    planned = {"softmax": "adaptive", "cutoffs": "plan", "min_head_share": 0.75}
    settings = {**record["settings"], "seed": seed, **(planned if "planned" in name else {"softmax": name})}
    shares = {"body": 1 - output, "output": output, "optimizer": 0.0}
    measured = {"test perplexity": test, "words per second": rate, "shares": shares}
    command = f"python -m adasoft train --softmax {name}"
    made = {**record, **measured, "row": name, "settings": settings, "command": command, **more}
    folder.mkdir(exist_ok=True)
    (folder / f"train-own-cpu-{name}-seed{seed}.json").write_text(json.dumps(made))


def test_without_stored_runs_it_says_how_to_make_them(tmp_path):
    box = rp.stored_panel(folder=tmp_path)
    assert st.COMMAND in said(box) and "nothing is stored yet" in named(box, "trainings").options
    figure = figure_of(box)
    assert np.isnan(figure.data[0].y).all()
    paper = figure.data[2 * len(ROW_LABELS)]
    np.testing.assert_allclose(paper.y, [0, 15.28, 15.28, 35.42, 2.08, 2.08], atol=0.01)
    np.testing.assert_allclose(paper.x, [1, 2.02, 2.44, 1.57, 1.54, 2.77], atol=0.01)
    assert "<td>144</td>" in said(box)


def test_stored_runs_beside_the_paper(tmp_path, record):
    store(tmp_path, record, "full", 100.0, 1000.0, seed=0, output=0.8)
    store(tmp_path, record, "full", 102.0, 1000.0, seed=1, output=0.8)
    store(tmp_path, record, "adaptive", 102.0, 4000.0, output=0.2, cutoffs=[20, 40])
    store(tmp_path, record, "planned-0.75", 104.0, 5000.0, output=0.1, cutoffs=[7, 40])
    store(tmp_path, record, "sampled", 116.0, 2100.0)
    box = rp.stored_panel(folder=tmp_path)
    told = said(box)
    (table,) = stored_tables(tmp_path)
    assert [row["name"] for row in table.rows] == ["full", "sampled", "adaptive", "planned-0.75"]
    assert named(box, "trainings").options == (st.plain_label(table),)
    full = table.row("full")
    assert (full["test"], full["lowest"], full["highest"], full["seeds"]) == (101.0, 100.0, 102.0, 2)
    assert "Recorded. With the authors' cutoffs training is <b>4.00 times faster</b>" in told
    assert "Trained on 20" in told and "files data/results/train-own-cpu-" in told
    assert "other machines (" in told and "1 thread" in told
    assert "train --softmax adaptive" in told and "steps timed in each run by itself (marked ~)" in told
    # 102 to 101: 1 % more, 4 times faster; the seeds of the full softmax are 2 % apart
    assert "its test perplexity is <b>1.0 % higher</b>" in told
    assert "The paper's claim, at least 2.77 times faster: holds here." in told
    assert "2.1 % more perplexity: our seeds scatter from −1.0 to +3.0 %, too widely to decide." in told
    assert "take 40 % of the output-layer time that the authors' take, but their perplexity is 2.0 % higher" in told
    assert "adaptive, the authors' cutoffs: training is 4.00 times faster, in the paper 2.77 times faster." in told
    assert "As in the paper" in told and "sampled, 20 % of V" in told.split("As in the paper")[1]
    figure, i = figure_of(box), list(ROW_LABELS).index("adaptive")
    assert figure.data[i].text == ("", "authors' cutoffs")
    assert set(figure.data[list(ROW_LABELS).index("sampled")].text) == {""}
    full_mark = figure.data[n := len(ROW_LABELS)]
    assert full_mark.error_y.array[0] == full_mark.error_y.arrayminus[0] == pytest.approx(100 / 101)
    assert figure.data[n + i].x[0] == pytest.approx(4.0)
    assert figure.data[n + i].y[0] == pytest.approx(100 * (102 / 101 - 1))
    minutes = 2000 * 2 / 4000 / 60
    np.testing.assert_allclose(figure.data[i].x, [minutes / 2, minutes])
    np.testing.assert_allclose(figure.data[i].y, [epoch["valid"] for epoch in record["epochs"]])
    assert "<td>101.0 (100.0 to 102.0)</td>" in told and "<td>+1.0\u00a0%</td>" in told and "<td>~0.0</td>" in told


HOLDS, FAILS, OPEN = "holds here", "does not hold here", "cannot be told from these runs"


@pytest.mark.parametrize(
    ("tests", "rate", "cost", "gain"),
    [
        ((100.5, 101.0), 4000.0, HOLDS, HOLDS),  # 0.5 to 1.5 % more; 2.1 in the paper
        ((101.5, 102.5), 4000.0, OPEN, HOLDS),
        ((103.0, 104.0), 2000.0, FAILS, FAILS),
        ((103.0, 104.0), 2700.0, FAILS, OPEN),  # 2.77 in the paper, and times agree within 5 %
    ],
)
def test_a_claim_holds_or_does_not_or_cannot_be_told(tmp_path, record, tests, rate, cost, gain):
    for seed, test in enumerate((99.5, 100.0)):
        store(tmp_path, record, "full", test, 1000.0, seed=seed)
    for seed, test in enumerate(tests):
        store(tmp_path, record, "adaptive", test, rate, seed=seed)
    (table,) = stored_tables(tmp_path)
    full, authors = table.row("full"), table.row("adaptive")
    assert sv.perplexity_verdict(table, authors, full)[0] == cost and sv.speed_verdict(authors["faster"]) == gain
    low, high = sv.seed_range(table, authors, full)
    assert low == pytest.approx(tests[0] / 100 - 1) and high == pytest.approx(tests[1] / 99.5 - 1)
    told = " ".join(sv.claims(table))
    assert f"times faster: {gain}." in told and ("too widely to decide" in told) == (cost == OPEN)
    assert f"more perplexity: {f'{cost}; ' * (cost != OPEN)}our seeds scatter from" in told


def test_one_seed_tells_nothing_of_small_differences(tmp_path, record):
    store(tmp_path, record, "full", 100.0, 1000.0)
    store(tmp_path, record, "adaptive", 110.0, 500.0)
    (table,) = stored_tables(tmp_path)
    told = sv.headline(table) + " ".join(sv.claims(table))
    assert (
        "2.00 times SLOWER" in told
        and "each ran with one seed only, which tells nothing of so small a difference" in told
    )
    assert "per word" not in told


def test_what_surprises_is_explained_where_it_is_shown(tmp_path, record):
    """Why a GPU gains nothing, and why more epochs are worse: one sentence each."""
    store(tmp_path, record, "full", 100.0, 1000.0, device={**record["device"], "type": "cuda", "name": "a GPU"})
    store(tmp_path, record, "adaptive", 102.0, 800.0, device={**record["device"], "type": "cuda", "name": "a GPU"})
    told = " ".join(sv.claims(stored_tables(tmp_path)[0]))
    assert "launches more of them" in told and "overfitting" not in told
    epochs = [{**record["epochs"][0], "epoch": i + 1, "valid": v} for i, v in enumerate((144.4, 176.2))]
    store(tmp_path / "b", record, "full", 100.0, 1000.0, epochs=epochs)
    told = " ".join(sv.claims(stored_tables(tmp_path / "b")[0]))
    assert "After epoch 1 the validation perplexity rises again (full softmax: 144.4, then 176.2)" in told
    assert "overfitting" in told and "GPU" not in told


def test_another_softmax_is_named_and_coloured_when_asked_for(tmp_path, record):
    for name, test in (("full", 100.0), ("adaptive", 102.0), ("sampled", 116.0), ("d-softmax", 130.0)):
        store(tmp_path, record, name, test, 1000.0)
    box = rp.stored_panel(folder=tmp_path)
    figure, i = figure_of(box), list(ROW_LABELS).index("sampled")
    n = len(ROW_LABELS)
    assert figure.data[i].line.color == figure.data[n + i].marker.color == lk.OTHERS_COLOR
    assert np.isnan(figure.data[i].y).all() and np.isnan(figure.data[n + i].y).all()  # no mark without a name
    assert figure.data[2 * n].text == ("paper: adaptive",)
    shown = box.children[1 + box.children.index(figure)]
    assert '<th scope="row">sampled, 20 % of V</th>' not in shown.value.split("<details>")[0]
    named(box, "show as well").value = ROW_LABELS["sampled"]
    assert figure.data[n + i].text == ("sampled, 20 % of V",) and figure.data[n + i].y[0] == pytest.approx(16)
    assert "paper: sampled" in figure.data[2 * n].text
    assert "Sampled, 20 % of V: 1.00 times faster, perplexity 16 % higher (one seed)." in said(box)
    assert '<th scope="row">sampled, 20 % of V</th>' in shown.value.split("<details>")[0]


def test_the_guess_of_the_papers_minutes_is_drawn(tmp_path, record):
    store(tmp_path, record, "full", 100.0, 1000.0)
    explorer = TrainingExplorer("en", cutoffs=(1000,))
    box, last = rp.stored_panel(explorer, tmp_path), 2 * len(ROW_LABELS) + 1
    assert np.isnan(figure_of(box).data[last].x[0])
    explorer.remember(rp.GUESS, 41.5)
    explorer.version += 1
    assert figure_of(box).data[last].x[0] == 2.0 and figure_of(box).data[last].mode == "lines+text"
    y = figure_of(box).data[last].y  # from edge to edge: it says nothing of perplexity
    assert "83/41.5 = 2" in figure_of(box).data[last].text[1]
    assert (y[0], y[2]) == figure_of(box).layout.yaxis2.range and set(figure_of(box).data[last].x) == {2.0}
    explorer.remember(rp.GUESS, 0.0)
    explorer.version += 1
    assert np.isnan(figure_of(box).data[last].x[0])


def test_any_subset_of_stored_runs_will_do(tmp_path, record):
    store(tmp_path, record, "adaptive", 102.0, 4000.0)
    (table,) = stored_tables(tmp_path)
    told = sv.headline(table) + " ".join(sv.claims(table))
    assert "The full softmax is not stored yet" in told and "cannot be compared" in told
    assert "holds" not in told and np.isnan(st.stored_data(table)[0][len(ROW_LABELS)]["y"]).all()
    store(tmp_path, record, "hierarchical", 120.0, 4000.0, corpus={**record["corpus"], "name": "other", "digest": "x"})
    assert [t.label.split(":")[0] for t in stored_tables(tmp_path)] == ["other", "own"]
    box = rp.stored_panel(folder=tmp_path)
    named(box, "trainings").value = named(box, "trainings").options[1]
    assert "train-own-cpu-adaptive" in said(box)
    assert [r["name"] for t in stored_tables(tmp_path, keep=st.still_rows) for r in t.rows] == ["adaptive"]


def ranked(folder=None):
    """What the panel says of the loss by rank."""
    return said(rp.ranks_panel(TrainingExplorer("en", cutoffs=(1000,)), folder))


def test_where_in_the_vocabulary_the_loss_differs(tmp_path, record):
    def by_rank(*nats):
        return {"from rank": [0, 100, 200], "tokens": [700, 200, 100], "nats": list(nats)}

    corpus = {**record["corpus"], "V": 300}
    store(tmp_path, record, "full", 100.0, 1000.0, corpus=corpus, **{"test by rank": by_rank(2000.0, 1500.0, 1000.0)})
    store(tmp_path, record, "planned-0.75", 104.0, 5000.0, corpus=corpus, **{"test by rank": by_rank(1990, 1550, 1005)})
    store(tmp_path, record, "sampled", 116.0, 2100.0, corpus=corpus)  # tells nothing
    (table,) = stored_tables(tmp_path)
    data, layout = sr.rank_data(table)
    names = list(ROW_LABELS)
    planned = data[names.index("planned-0.75")]
    assert planned["x"].tolist() == [100, 200, 300] and planned["text"][-1] == "planned, head ≥ 75 %"
    np.testing.assert_allclose(planned["y"], [-0.010, 0.040, 0.045], atol=1e-9)
    assert not data[names.index("full")]["y"].any() and layout["title.text"].endswith("comes from the first r words")
    assert np.isnan(data[names.index("sampled")]["y"]).all() and data[names.index("sampled")]["text"] == [""]
    told = ranked(tmp_path)
    assert "head ≥ 75 %: +0.045 nat per token against full softmax, or +4.6 % in perplexity" in told
    assert "most in one stretch: +0.050 on the words of rank 100 to 200, 20 % of all tokens." in told


def test_what_the_headlines_runs_did_not_record_is_shown_from_others():
    tables = stored_tables()
    near = sr.nearest_ranked(tables[0], tables)
    assert near is not tables[0] and near.label.startswith("wikitext-2") and sr.nearest_ranked(near, tables) is near
    box = rp.ranks_panel(TrainingExplorer("en", cutoffs=(1000,)))
    choice = named(box, "trainings")
    assert choice.value == st.plain_label(near) and len(choice.options) > 1
    before = said(box)
    choice.value = next(option for option in choice.options if option != choice.value)
    assert said(box) != before
    drawn = {name: data for name, data in zip(ROW_LABELS, sr.rank_data(near)[0].values(), strict=False)}
    shown = [name for name, data in drawn.items() if np.isfinite(data["y"]).all()]
    assert shown == ["full", "adaptive", "planned-0.75"]
    assert len({(lk.look(name).color, lk.look(name).dash) for name in shown}) == 3


def test_what_the_authors_cutoffs_lose_is_told_beside_the_planned_ones(tmp_path):
    tables = stored_tables()
    near = sr.nearest_ranked(tables[0], tables)
    told, row = sr.rank_sentence(near), near.row("adaptive")
    summed = np.cumsum(row["more"])
    i = int(np.argmin(summed))
    assert f"the authors' cutoffs: ahead by {-summed[i]:.3f} up to rank {row['ranks'][i + 1]:,}, then behind" in told
    assert f"{summed[-1]:+.3f} over all words" in told and summed[i] < 0 < summed[-1]
    assert "also" not in told and told.count("ahead by") == 2


def test_the_guess_of_the_rare_words_is_about_what_is_recorded():
    """The numbers that the question names, and that a share alone is no answer."""
    tables = stored_tables()
    row = sr.nearest_ranked(tables[0], tables).row("planned-0.75")
    question, i = PREDICTIONS["rare words"], list(row["ranks"]).index(5000)
    assert f"{row['more'].sum():.2f} nats per token more" in question.question
    assert f"are {100 * sum(row['shares'][i:]):.0f} % of the text" in question.question
    assert f"V = {row['V']:,}".replace(",", "{,}") in question.question
    assert question.truth(None) == pytest.approx(100 * row["more"][i:].sum() / row["more"].sum())
    assert 80 < question.truth(None) < 100 and math.isnan(sr.rare_share(None, "planned-0.75", 5000))


def test_speed_that_is_nearly_free():
    """As the text says it; a row of one seed says so."""
    prose = "\n".join(source for kind, source in notebook_texts() if kind == "markdown")
    table = next(t for t in stored_tables() if t.label.startswith("europarl-en: V = 17,724, lstm, d"))
    row, full = table.row("tail-dropout"), table.row("full")
    spread = 100 * (full["highest"] / full["lowest"] - 1)
    assert row["seeds"] == 1 and full["seeds"] == 3 and f"*{ROW_LABELS['tail-dropout']}*" in prose
    assert f"{row['faster']:.1f} times faster, and its perplexity is {100 * row['of full']:.1f} % higher" in prose
    assert f"the full softmax's three lie {spread:.1f} % apart" in prose
    assert f"{row['test']:,.1f} (one seed)" in st.stored_table(table) and "(one seed)" not in st.stored_table(
        table, ["full"]
    )
    authors, planned = table.row("adaptive"), table.row("planned-0.75")
    assert [*authors["cutoffs"]] == [2000, 10_000] and "tails from 2,000 and from 10,000" in prose
    assert planned["V"] == 17_724 and "$V = 17{,}724$" in prose and "$d = 256$" in prose and " d = 256" in table.label


def test_the_price_of_speed_is_one_line_from_a_small_head_to_a_large_one():
    table = stored_tables()[0]
    line = st.stored_data(table)[0][2 * len(ROW_LABELS) + 2]
    assert (np.diff(line["x"]) < 0).all() and (np.diff(line["y"]) < 0).all() and len(line["x"]) == 3


def test_without_ranks_the_panel_says_so(tmp_path, record):
    store(tmp_path, record, "full", 100.0, 1000.0, **{"test by rank": None})
    assert "do not give the loss by word rank" in ranked(tmp_path)
    assert "do not give the loss by word rank" in ranked(tmp_path / "nothing")
    assert sr.rank_data(None)[1]["title.text"] == "none of these records tells it"


def test_times_that_are_not_to_be_compared_give_no_ratio(tmp_path, record):
    for name in ("full", "adaptive", "planned-0.75", "sampled"):
        store(tmp_path, record, name, 100.0, 1000.0)
    settings = json.loads((tmp_path / "train-own-cpu-full-seed0.json").read_text())["settings"]
    timed = {"row": "full", "settings": settings, "words/s": 500.0, "output share": 0.5}
    bench = {key: record[key] for key in ("corpus", "device", "threads", "date")} | {"rows": [timed]}
    (tmp_path / "bench-train-own-cpu.json").write_text(json.dumps(bench))
    (table,) = stored_tables(tmp_path)
    assert "faster" not in table.row("adaptive") and table.row("planned-0.75")["of authors"] == 1
    told = said(rp.stored_panel(folder=tmp_path))
    assert "holds here" not in told and "in turns with all others on" in told and "(marked ~)" in told


def test_pieces_are_told_per_word(tmp_path, record):
    corpus = {**record["corpus"], "test": 1500, "words": {**record["corpus"]["words"], "test": 1000}}
    store(tmp_path, record, "full", 30.0, 1000.0, corpus=corpus)
    store(tmp_path, record, "adaptive", 33.0, 4000.0, corpus=corpus)
    (table,) = stored_tables(tmp_path)
    assert table.rows[0]["per word"] == pytest.approx(30**1.5)
    assert table.rows[1]["of full"] == pytest.approx(1.1**1.5 - 1)  # per word, as a reader compares
    assert "1.50 pieces per word" in table.sizes and "<td>164.3</td>" in st.stored_table(table)


def test_a_file_that_is_no_record_is_said(tmp_path):
    (tmp_path / "train-x.json").write_text("{")
    assert "train-x.json is damaged: not JSON" in problem(rp.stored_panel(folder=tmp_path))


def test_what_ships_can_be_read():
    """Whatever is stored now, every table has its figure and its words."""
    for table in stored_tables():
        assert sv.headline(table).startswith("Recorded. ") and st.stored_figure(table).data
        assert isinstance(sv.claims(table) + sv.disagreements(table), list) and st.more_columns(table)
        assert st.stored_table(table).count("<tr>") > len(table.rows)
        assert sr.rank_sentence(table) and len(sr.rank_figure(table).data) == len(ROW_LABELS)


# ---- the race


@pytest.fixture(scope="module")
def race():
    return rc.stored_race()


def test_the_race_is_made_of_what_is_stored(race):
    table = next(t for t in stored_tables() if t.label.startswith("europarl-en: V = 17,724, lstm, d"))
    assert race.text == "europarl-en" and [one.name for one in race.runners] == list(rc.RUNNERS)
    for one in race.runners:
        row = table.row(one.name)
        assert one.seconds == pytest.approx(60 * row["minutes"]) and one.words == 4_000_000
        assert one.perplexity == row["curve"][-1][2] and one.cutoffs == tuple(row["cutoffs"])
        assert one.nats / one.valid_words == pytest.approx(math.log(one.perplexity))
        times = [seconds for seconds, _ in (*one.line, *one.epochs)]
        assert times[0] > 0 and one.line == tuple(sorted(one.line)) and one.line[-1][0] <= one.epochs[0][0]
        assert one.epochs[-1][0] == pytest.approx(one.seconds)
    assert race.faster("adaptive") == pytest.approx(table.row("adaptive")["faster"])
    assert json.loads(json.dumps(race.json()))["runners"][0]["name"] == "full"
    assert "2 threads" in race.provenance and "3 for full softmax" in race.provenance


def test_a_line_is_the_perplexity_of_new_words(race):
    """The mean of stored losses of the first epoch, over the seeds."""
    paths = sorted(rc.results_folder().glob("train-europarl-en-cpu-full-*"))
    records = [json.loads(path.read_text()) for path in paths]
    curve, one = records[0]["curve"], race.runner("full")
    losses = np.mean([record["curve"]["loss"] for record in records], 0)
    assert one.line[0][1] == pytest.approx(np.exp(losses[: rc.SMOOTH].mean()))
    assert one.line[0][0] == pytest.approx(one.seconds * curve["window"][rc.SMOOTH - 1] / (2 * curve["windows"]))
    assert one.line[-1][1] == pytest.approx(one.epochs[0][1], rel=0.1)  # new text, too


def test_without_its_runners_there_is_no_race(tmp_path, record):
    with pytest.raises(ValueError, match=r"the race needs full, adaptive, planned-0\.75, hierarchical of one text"):
        rc.stored_race(tmp_path)
    assert "the race needs" in problem(rp.training_race_panel(folder=tmp_path))
    box = rp.training_race_panel()
    assert not problem(box) and any(isinstance(child, RaceView) for child in box.children)
    again = rp.training_race_panel()
    assert box.comm is None and again.comm is not None


NODE = shutil.which("node")


@pytest.mark.skipif(NODE is None, reason="not installed: node")
def test_what_the_page_computes_of_the_race(race, tmp_path):
    """Shares, lines and sentences at any moment, as from the numbers themselves."""
    for name in ("race.js", "dom.js"):
        source = (STATIC if name == "race.js" else STATIC.parents[1] / "kit" / "static") / name
        script = source.read_text().replace("../../kit/static/dom.js", "./dom.mjs")
        (tmp_path / name.replace(".js", ".mjs")).write_text(script)
    moments = [0, 60, 200, 700, race.runner("full").seconds]
    (tmp_path / "run.mjs").write_text(
        "import {share, path, story, stacked, clock} from './race.mjs';\n"
        f"const {{runners}} = {json.dumps(race.json())};\n"
        f"const moments = {json.dumps(moments)};\n"
        "console.log(JSON.stringify({rows: stacked([10, 50, 65, 300], 60), clock: clock(286.9),\n"
        "  shares: moments.map(s => runners.map(r => share(r, s))),\n"
        "  stories: moments.map(s => story(runners, s).join('')),\n"
        "  bet: story(runners, moments.at(-1), 3).join(''),\n"
        "  ends: moments.map(s => runners.map(r => path(r, s).at(-1)))}));\n"
    )
    out = json.loads(subprocess.run([NODE, tmp_path / "run.mjs"], capture_output=True, text=True, check=True).stdout)
    assert out["rows"] == [0, 1, 2, 0] and out["clock"] == "4:46"
    for moment, shares, ends in zip(moments, out["shares"], out["ends"], strict=True):
        for one, share, end in zip(race.runners, shares, ends, strict=True):
            assert share == pytest.approx(min(1, moment / one.seconds), abs=1e-4)
            if moment > one.line[0][0]:
                points = np.array([*(p for p in one.line if p[0] < one.epochs[0][0]), *one.epochs])
                place = min(moment, one.seconds)
                expected = np.exp(np.interp(place, points[:, 0], np.log(points[:, 1])))
                assert end[1] == pytest.approx(expected, rel=1e-3) and end[0] == pytest.approx(place, abs=0.01)
    assert out["stories"][0].endswith("Bet, then press Play.")
    assert out["stories"][2] == "Adaptive, planned, head ≥ 75 % finished at 3:10. The full softmax has read 16 %."
    authors, planned = (
        f"{race.faster(name):.1f} times sooner, {100 * race.higher(name):.0f} % worse"
        for name in ("adaptive", "planned-0.75")
    )
    price = f"The authors’ cutoffs: {authors}. The planned ones: {planned}."
    assert max(map(len, out["stories"])) < 125  # two lines, which are kept free for it
    assert out["stories"][-1] == price and out["bet"] == f"{price} Your bet: 3 times."


def test_a_bet_on_the_race_is_kept_and_the_first_one_counts(race):
    explorer = TrainingExplorer("en", cutoffs=(1000,))

    def view():
        return next(one for one in rp.training_race_panel(explorer).children if isinstance(one, RaceView))

    assert view().bet is None
    view().bet = 3.0
    assert explorer.recall(rp.BET) == 3.0 and view().bet == 3.0


def test_the_bet_is_on_the_map_and_in_the_report(race):
    explorer = TrainingExplorer.for_lesson("06")
    (step,) = [one for one in steps("06", done.entries()) if one.key == "race"]
    assert (step.kind, step.tried, step.state) == ("guess", False, "bet open")
    told = []
    done.watch("bet", lambda: told.append(1))
    view = next(one for one in rp.training_race_panel(explorer).children if isinstance(one, RaceView))
    view.bet = 3.0
    done.watch("bet", None)
    (step,) = [one for one in steps("06", done.entries()) if one.key == "race"]
    assert step.state == "bet of 3 times: off by a factor of 1.4" and step.good and told
    assert f"finish the race? | 3 times | {race.faster('adaptive'):.3g} times" in report()
    again = TrainingExplorer.for_lesson("06")
    assert next(one for one in rp.training_race_panel(again).children if isinstance(one, RaceView)).bet == 3.0
    forget_lesson("06")
    assert again.recall(rp.BET) is None and "finish the race?" not in report()


# ---- the notebook


def notebook_texts():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return [(cell["cell_type"], "".join(cell["source"])) for cell in cells]


def test_numbers_in_the_text_are_those_of_the_records(race):
    alt = every_still()["06_race"].alt
    assert min(one.seconds for one in race.runners) > SO_FAR == 60 * 1.25 and "after 1.25 minutes" in alt
    assert not any(f"{one.perplexity:.1f}" in alt for one in race.runners)  # it gives no bet away
    table = next(t for t in stored_tables() if t.label.startswith("europarl-en: V = 17,724, lstm, d"))
    alt = every_still()["06_stored"].alt
    for name in ("adaptive", "planned-0.75"):
        row = table.row(name)
        assert f"{row['faster']:.1f} times" in alt and f"{100 * row['of full']:.1f} percent" in alt
    more, faster = st.paper_rows()["adaptive"]
    assert f"{faster:.1f} times and {100 * more:.1f} percent" in alt
    assert rp.stored_panel().children[0].children[0].value == st.plain_label(
        table
    )  # the still shows what the panel opens with
    prose = "\n".join(source for kind, source in notebook_texts() if kind == "markdown")
    assert f"{race.runners[0].words // 2 // 10**6:.0f} million words, twice" in prose.replace("two", "2")
    assert "83 minutes" in prose and PAPER_TEXT8["full"][1] == 83


def test_what_the_text_says_of_the_race_and_of_a_training_step(race):
    prose = "\n".join(source for kind, source in notebook_texts() if kind == "markdown")
    authors, planned = ((race.faster(name), 100 * race.higher(name)) for name in ("adaptive", "planned-0.75"))
    assert f"{authors[0]:.1f} times sooner, with a perplexity {authors[1]:.0f} % higher" in prose
    assert f"finish {planned[0]:.1f} times sooner; theirs is {planned[1]:.0f} % higher" in prose
    table = next(t for t in stored_tables() if t.label.startswith("europarl-en: V = 17,724, lstm, d"))
    full, adaptive = table.row("full"), table.row("adaptive")
    a, b = full["output share"], adaptive["output share"]
    rounded = (100 - round(100 * b)) / (100 - round(100 * a))
    assert f"{100 * a:.0f} % and {100 * b:.0f} %, give 51/13 = {rounded:.1f}" in prose
    assert f"it says {adaptive['faster']:.1f}" in prose
    assert f"{100 - 100 * b:.1f}/{100 - 100 * a:.1f} = {(1 - b) / (1 - a):.1f}" in prose
    rest = [row["output ms"] / row["output share"] * (1 - row["output share"]) for row in (full, adaptive)]
    assert f"from {rest[0]:.0f} to {rest[1]:.0f} ms" in prose
    sizes = [row["parameters"] / 1e6 for row in (adaptive, full)]
    assert f"{sizes[0]:.1f} million numbers to update instead of {sizes[1]:.1f}" in prose
    took = {}
    for name in ("full", "adaptive"):
        for path in rc.results_folder().glob(f"train-europarl-en-cpu-{name}-seed*"):
            one = json.loads(path.read_text())
            steps = one["settings"]["epochs"] * one["curve"]["windows"]
            took.setdefault(name, []).append(1e3 * one["seconds"] * one["shares"]["optimizer"] / steps)
    low, high = ([round(end(took[name])) for name in ("full", "adaptive")] for end in (min, max))
    assert f"{low[0]} to {high[0]} ms of a step with the full softmax, {low[1]} to {high[1]} ms with" in prose


def test_an_early_lead_turns():
    """In the recorded session and in the stored trainings, as the text says it."""
    prose = "\n".join(source for kind, source in notebook_texts() if kind == "markdown")
    (session,) = recorded_sessions()
    lanes = session.kept["training"]["lanes"]
    points = {name: np.array(lanes[name]["points"]) for name in ("full", "planned", "hierarchical")}

    def ahead(name, tokens):
        at = {n: np.interp(math.log(tokens), np.log(p[:, 1]), np.log(p[:, 2])) for n, p in points.items()}
        return -100 * math.expm1(at[name] - at["full"])

    first, last = points["full"][0][1], points["full"][-1][1]
    told = f"{ahead('planned', first):.0f} % ahead of the full softmax after {first // 1000:.0f},000 words"
    assert f"{told}, {ahead('planned', last):.0f} % ahead after {last // 1000:.0f},000." in prose
    assert ahead("hierarchical", first) > 0 and lanes["hierarchical"]["parameters"] >= lanes["full"]["parameters"]
    loss = {}
    for name in ("full", "planned-0.75"):
        paths = sorted(rc.results_folder().glob(f"train-europarl-en-cpu-{name}-seed*"))
        curves = [json.loads(path.read_text())["curve"] for path in paths]
        loss[name] = np.mean([curve["loss"] for curve in curves], 0)
        words = np.array(curves[0]["window"]) * 2e6 / curves[0]["windows"]
    more = loss["planned-0.75"] - loss["full"]

    def behind(low, high):
        return 100 * math.expm1(more[(words > low) & (words <= high)].mean())

    assert behind(1e5, 2e5) < 1
    told = (
        f"{behind(2e5, 4e5):.0f} % behind at about 300,000, {behind(1.5e6, 2e6):.0f} % behind at the end of the first"
    )
    assert f"{told} epoch" in prose
    row = next(t for t in stored_tables() if t.label.startswith("europarl-en: V = 17,724, lstm, d")).row("full")
    assert f"three full softmaxes end from {row['lowest']:.1f} to {row['highest']:.1f}" in prose and row["seeds"] == 3


def test_the_cell_in_code_prints_what_the_race_shows(race, capsys):
    code = next(source for kind, source in notebook_texts() if kind == "code" and "stored_race().runners" in source)
    exec(code, {"stored_race": rc.stored_race})
    out = capsys.readouterr().out
    for one in race.runners:
        assert f"perplexity {one.perplexity:.1f}" in out and f"{one.words / one.seconds:,.0f} words per second" in out
    full, authors = (
        float(re.search(rf"^{name} .*?([\d,]+) words", out, re.M)[1].replace(",", "")) for name in ("full", "adaptive")
    )
    assert authors / full == pytest.approx(race.faster("adaptive"), rel=1e-3)
