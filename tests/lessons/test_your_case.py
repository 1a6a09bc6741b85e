"""The last lesson: what a decision costs, the planner's within the budget, what is kept, and the page beside Python."""

import json
import math
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from adasoft import AdaptiveSoftmax, Vocabulary
from adasoft.lessons.kit.browser_data import cost_data, text_data
from adasoft.lessons.kit.explorer import LIVE
from adasoft.lessons.kit.grading import PREDICTIONS, QUESTIONS
from adasoft.lessons.kit.languages import load_language
from adasoft.lessons.kit.static_files import STATIC, script
from adasoft.lessons.your_case import panels, scenarios
from adasoft.lessons.your_case.explorer import LINES, CasesExplorer
from adasoft.planning import default_widths

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "08_your_case.ipynb"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path / "cache"))


def made(**more):
    words = Vocabulary.synthetic(3000, name="synthetic")
    return CasesExplorer(words, cost=scenarios.recorded("cpu"), **more)


def case_of(name):
    words = scenarios.words_of(name, Vocabulary.synthetic(3000, name="synthetic"))
    cost = scenarios.cost_of(name, scenarios.recorded("cpu"))
    return scenarios.SCENARIOS[name], words, cost, scenarios.budget_of(name, words, cost)


@pytest.mark.parametrize("name", scenarios.NAMES)
def test_the_planner_keeps_each_budget_and_the_start_does_not(name):
    case, words, cost, budget = case_of(name)
    best = scenarios.planned(case, words, cost)
    found = scenarios.outcome(case, words, cost, best.cutoffs, best.widths)
    if name != "own":
        assert found.within(budget) == [True] * 3
    assert found.seconds == pytest.approx(best.time) and found.width == pytest.approx(best.mean_width)
    first = words.words_for_share(case.share)
    cuts = [round(first * (len(words) / first) ** (i / len(case.widths))) for i in range(len(case.widths))]
    assert not all(scenarios.outcome(case, words, cost, cuts, case.widths).within(budget))


@pytest.mark.parametrize(("n", "d", "cutoffs"), [(100, 8, [20]), (1000, 64, [200, 500]), (5000, 32, [9, 70, 800])])
def test_parameters_are_those_of_a_layer(n, d, cutoffs):
    layer = AdaptiveSoftmax(d, n, cutoffs, widths=default_widths(d, len(cutoffs)))
    counted = scenarios.parameters(n, d, cutoffs, default_widths(d, len(cutoffs)))
    assert counted == sum(p.numel() for p in layer.parameters())


def test_the_pieces_are_as_frequent_as_in_the_stored_training():
    words, row = scenarios.pieces(), scenarios.pieces_table().row("adaptive")
    assert len(words) == 8000 and (np.diff(words.counts) <= 0).all()
    # what the training's head held; the ranks between the recorded ones follow a law
    assert words.cumulative[2000] == pytest.approx(row["head share"], abs=0.02)


def test_stored_trainings_are_adaptive_and_plain():
    words, pieces = scenarios.trained("keyboard"), scenarios.trained("pieces")
    assert len(words) >= 8 and len(pieces) >= 3
    for run in [*words, *pieces]:
        assert 0.6 < run["share"] < 1 and -0.02 < run["more"] < 0.2 and "dropout" not in run["label"]
    assert any(run["wide"] for run in words) and all("8,000" in r["label"] or "32,000" in r["label"] for r in pieces)
    case, words_, cost, _ = case_of("keyboard")
    mine = scenarios.outcome(case, words_, cost, [words_.words_for_share(0.75)], [128])
    marked, said = scenarios.nearest(words, mine, case.d)
    (best,) = [run for run in marked if run["nearest"]]
    assert best["wide"] and best["share"] == pytest.approx(0.75, abs=0.01)
    assert f"{100 * best['more']:.1f} % above" in said


def test_a_decision_is_kept_and_then_revealed():
    explorer = made(lesson="08t")
    box = panels.your_case_panel(explorer, "keyboard")
    shown = box.children[0]
    assert shown.found is None and shown.given["decision"] is None
    shown._handle_custom_msg({"kind": "decide", "cutoffs": [4006, 20_000], "widths": [64, 16]}, [])
    kept = explorer.recall("case keyboard decision")
    assert kept["cutoffs"] == [4006, 20_000] and kept["within"] == [True, True, True]
    assert shown.found["plan"]["seconds"] < shown.found["yours"]["seconds"]
    assert "Both keep the budget; the planner’s is 1.07 times faster." in shown.found["verdict"]
    texts = {"improved": "small", "worse": "rare words", "breaks": "slang", "other": "no"}
    shown._handle_custom_msg({"kind": "write", "texts": texts}, [])
    assert explorer.recall("case keyboard text") == {line: texts[line] for line in LINES}
    explorer.close()
    LIVE.clear()  # as after a restart of the kernel
    again = made(lesson="08t")
    shown = panels.your_case_panel(again, "keyboard").children[0]
    assert shown.given["decision"] == {"cutoffs": [4006, 20_000], "widths": [64, 16]}
    assert shown.given["texts"]["worse"] == "rare words" and shown.found["yours"]["cutoffs"] == [4006, 20_000]


def test_what_is_no_layer_is_refused():
    explorer = made()
    box = panels.your_case_panel(explorer, "items")
    box.children[0]._handle_custom_msg({"kind": "decide", "cutoffs": [500, 200], "widths": [64, 16]}, [])
    assert "cutoffs should rise" in str([child.value for child in box.children if hasattr(child, "text")])
    assert explorer.recall("case items decision") is None
    with pytest.raises(ValueError, match="name should be one of"):
        panels.your_case_panel(explorer, "boat")


def test_a_decision_on_other_words_is_not_shown():
    explorer = made()
    explorer.decide("own", [200], [64])
    assert explorer.decision("own") is not None
    explorer.vocabulary = Vocabulary.synthetic(500, name="others")
    assert explorer.decision("own") is None and explorer.revealed("own") == {}


def test_what_is_missed_is_named():
    case, words, cost, budget = case_of("keyboard")
    theirs = scenarios.outcome(case, words, cost, [4006, 14_292], [64, 16])
    from adasoft.lessons.your_case.explorer import verdict

    slow = scenarios.outcome(case, words, cost, [4006], [128])
    assert verdict(slow, theirs, budget, 0.86) == "Yours misses the budget in time and memory."
    quick = scenarios.outcome(case, words, cost, [words.words_for_share(0.88)], [16])
    assert "yours is" in verdict(quick, theirs, budget, 0.86)


# ---- the page beside Python


def test_the_page_computes_what_python_computes(tmp_path):
    """Times, bytes and mean widths of drawn decisions, and the cutoffs of a share, to the digits that are printed."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not installed")
    code = script("cost.js", "dom.js", Path(panels.__file__).with_name("static") / "case.js")
    draw = np.random.default_rng(0)
    asked, expected = [], []
    for name in ("keyboard", "pieces"):
        case, words, cost, _ = case_of(name)
        given = {"d": case.d, "batch": case.batch, "objective": case.objective, "perParameter": case.per_parameter}
        decisions = []
        for _ in range(100):
            tails = int(draw.integers(1, 5))
            cuts = np.sort(draw.choice(np.arange(1, len(words)), tails, replace=False)).tolist()
            widths = (8 * draw.integers(1, case.d // 8 + 1, tails)).tolist()
            share = float(draw.uniform(0.05, 0.999))
            decisions.append([cuts, widths, share])
            found = scenarios.outcome(case, words, cost, cuts, widths)
            expected.append([found.seconds, found.bytes, found.width, words.words_for_share(share)])
        asked.append([text_data(words), cost_data(cost), given, decisions])
    (tmp_path / "asked.json").write_text(json.dumps(asked))
    (tmp_path / "try.mjs").write_text(
        "import {readFileSync} from 'node:fs';\n" + code + "\n"
        f"const asked = JSON.parse(readFileSync({json.dumps(str(tmp_path / 'asked.json'))}));\n"
        "const out = [];\n"
        "for (const [text, cost, given, decisions] of asked) {\n"
        "  const words = makeWords(text), model = makeCost(cost);\n"
        "  for (const [cuts, widths, share] of decisions) {\n"
        "    const found = outcome(words, model, given, cuts, widths);\n"
        "    out.push([found.seconds, found.bytes, found.width, wordsForShare(words, share)]);\n"
        "  }\n"
        "}\n"
        "console.log(JSON.stringify(out));"
    )
    out = subprocess.run([node, tmp_path / "try.mjs"], capture_output=True, text=True, check=True)
    np.testing.assert_allclose(np.array(json.loads(out.stdout)), np.array(expected), rtol=1e-9)


def test_style_and_scripts_are_there():
    assert "mountCase" in str(panels.CaseWidget._esm) and ".adasoft-case" in str(panels.CaseWidget._css)
    assert (STATIC / "cut_explorer.css").exists()


# ---- what the text claims


def text():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells)


def test_the_budgets_of_the_text_are_those_of_the_panels():
    told = text()
    keyboard, items, pieces = (scenarios.BUDGETS[name] for name in ("keyboard", "items", "pieces"))
    assert f"at most {1e3 * keyboard.seconds:.1f} ms and {keyboard.bytes / 1e6:.0f} MB" in told
    assert f"mean width of at least {100 * keyboard.width / 256:.0f} % of $d$ = 256" in told
    assert f"{items.bytes / 1e6:.0f} MB are left" in told and f"may take {1e3 * items.seconds:.0f} ms" in told
    assert f"Keep {100 * pieces.width / 256:.0f} % of $d$ as mean width, and halve the layer's time" in told
    case, words, cost, budget = case_of("pieces")
    full = cost.full_time(len(words), case.batch, case.d, case.objective)
    assert full / budget.seconds == pytest.approx(2, abs=0.1)
    row = scenarios.pieces_table().row("full")
    assert f"{100 * row['output share']:.0f} % of a step" in QUESTIONS["whole step"].text


def test_predictions_are_those_of_the_records():
    explorer = made()
    _, truth, _ = PREDICTIONS["keyboard"]
    cost, words = explorer.cost_of_case("keyboard"), explorer.words_of_case("keyboard")
    assert len(words) == 100_000 and truth(explorer) == pytest.approx(1e3 * cost.full_time(100_000, 1, 256, "decode"))
    _, truth, _ = PREDICTIONS["pieces"]
    row = scenarios.pieces_table().row("adaptive")
    assert truth(explorer) == pytest.approx(100 * row["of full"]) and row["cutoffs"] == [2000]


def test_the_words_of_the_cases():
    assert scenarios.words_of("keyboard", load_language("en")).words is not None
    assert len(scenarios.items()) == 1_000_000 and math.isclose(scenarios.items().cumulative[-1], 1)
