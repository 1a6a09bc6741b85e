"""The page without installing: what is in it, and that nothing of a reader's text can leave its place."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from adasoft import PaperCost, Vocabulary, plan
from adasoft.cli import main
from adasoft.lessons.kit.browser_data import ALL_WORDS, cost_data, sampled_ranks, scene_data, text_data
from adasoft.lessons.kit.costs import COUNTED_MULTIPLICATIONS, recorded_costs
from adasoft.lessons.kit.course import LESSONS
from adasoft.lessons.kit.cut_widget import FLOOR
from adasoft.lessons.kit.languages import load_language
from adasoft.lessons.kit.presentable import fit_to_show, presentable
from adasoft.lessons.page import CARRIED, WORDFREQ, page, write_page
from adasoft.lessons.page.gains import FEW, LENGTHS, SAVED, sides, who_gains, worth_from
from adasoft.lessons.page.plans import plans
from adasoft.lessons.page.quality import perplexity
from adasoft.planning import default_widths
from adasoft.results.folders import results_folder
from adasoft.results.trainings import summary

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
WORDS = Vocabulary(np.array([50, 20, 20, 9, 5, 5, 5, 2, 1, 1, 1]), [f"w{i}" for i in range(11)], name="eleven")


def data_of(text):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


def around(text):
    """The page without its data."""
    return re.sub(r'(id="data">).*?(</script>)', r"\1\2", text, flags=re.DOTALL)


@pytest.fixture(scope="module", autouse=True)
def planned_once():
    """The English list is planned once for all pages of this file, which takes some ten seconds."""
    made = {}

    def remembered(vocabularies, costs, *sizes):
        found = []
        for i, vocabulary in enumerate(vocabularies):
            key = (vocabulary.counts.tobytes(), *map(repr, costs), *map(tuple, sizes))
            if key not in made:
                made[key] = plans([vocabulary], costs, *sizes)
            found += [best | {"text": i} for best in made[key]]
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("adasoft.lessons.page.plans", remembered)
        yield


@pytest.fixture(scope="module")
def english():
    return page([load_language("en")], credit=WORDFREQ)


@pytest.fixture(scope="module")
def linked():
    return page([load_language("en")], credit=WORDFREQ, beside=NOTEBOOKS)


def test_one_file_that_asks_nobody(english):
    assert len(english.encode()) < 1.5 * 2**20
    assert not re.search(r"\[\[[A-Z_]+\]\]", english)
    for asks in (" src=", "@import", "url(", "fetch(", "import(", "XMLHttpRequest", "<link"):
        assert asks not in english.replace("url(#adasoft-clip", ""), asks
    assert "from './" not in english and WORDFREQ in english
    paper = "https://proceedings.mlr.press/v70/grave17a.html"
    assert set(re.findall(r"https?://[^\s'\"<]+", english)) == {"http://www.w3.org/2000/svg", paper}
    assert paper in (NOTEBOOKS.parent / "README.md").read_text(encoding="utf-8")


def test_counts_come_back_exactly_and_words_by_rank():
    for vocabulary in (WORDS, load_language("en")):
        data = text_data(vocabulary)
        counts = np.concatenate([np.full(many, count) for count, many in data["runs"]])
        np.testing.assert_array_equal(counts, vocabulary.counts)
        assert data["words"] == [vocabulary.words[rank - 1] for rank in data["ranks"]]
    assert text_data(Vocabulary([3, 2, 1])) == {"name": "counts", "runs": [[3.0, 1], [2.0, 1], [1.0, 1]]}


@pytest.mark.parametrize("n", [1, 10, ALL_WORDS - 1, ALL_WORDS, ALL_WORDS + 1, 1_000_000])
def test_sampled_ranks_rise_from_the_first_to_the_last(n):
    ranks = sampled_ranks(n)
    assert ranks[0] == 1 and ranks[-1] == n and sorted(set(ranks)) == ranks
    assert ranks[: min(n, ALL_WORDS)] == list(range(1, min(n, ALL_WORDS) + 1)) and len(ranks) < ALL_WORDS + 2000


def test_plans_are_those_of_the_planner(english):
    explorer = data_of(english)["explorer"]
    costs = [COUNTED_MULTIPLICATIONS, *recorded_costs()]
    assert len(explorer["costs"]) == len(costs)
    assert len(explorer["plans"]) == len(costs) * len(explorer["sizes"]["d"]) * len(explorer["sizes"]["batch"]) * 5
    for stored in explorer["plans"][::17]:
        best = plan(
            load_language("en"),
            stored["d"],
            stored["batch"],
            cost=costs[stored["cost"]],
            n_tails=len(stored["cuts"]),
            min_head_share=FLOOR,
        )
        assert stored["cuts"] == list(best.cutoffs)


def test_plans_of_a_list_with_few_words_are_left_out_where_there_are_none():
    few = Vocabulary([3, 2, 1], ["a", "b", "c"])
    assert {len(p["cuts"]) for p in plans([few], [COUNTED_MULTIPLICATIONS], [8], [4])} == {1}


def test_hostile_words_and_names_stay_data():
    hostile = ["</script><script>alert(1)</script>", "<b>", "\u2028", *[f"w{i}" for i in range(9)]]
    text = page([Vocabulary(np.arange(12, 0, -1), hostile, name="<img src=x onerror=alert(1)>")], costs=[])
    assert text.count("<script") == 2 and "<img" not in text and "<b>" not in text
    assert data_of(text)["explorer"]["texts"][0]["words"][:3] == hostile[:3]


def test_what_the_browser_cannot_compute_is_refused():
    with pytest.raises(ValueError, match="vocabularies should hold at least one, got none"):
        page([])
    with pytest.raises(TypeError, match="cost should be a PaperCost or a MeasuredCost, got 3"):
        cost_data(3)
    with pytest.raises(ValueError, match="vocabulary should bring at least 10 words for the scene, got 0"):
        scene_data(Vocabulary([3, 2, 1]))
    assert cost_data(PaperCost(c=1e-4, lam=1e-9))["form"] == "last"


def test_the_page_names_what_the_stored_trainings_lost(english):
    rows = {
        row["name"]: row["of full"]
        for row in summary(results_folder())
        if (row["corpus"], row["V"], row["title"], row["d"]) == ("europarl-en", 17_724, "lstm", 256)
    }
    for name in ("adaptive", "planned-0.75"):
        assert f"<strong>{100 * rows[name]:.1f}&nbsp;%</strong>" in english
    lower, higher = (f"{100 * rows[f'planned-{floor}']:.1f}&nbsp;%" for floor in (0.65, 0.85))
    assert f"At 65&nbsp;% it rose by {lower}, at 85&nbsp;% by {higher}" in english
    assert "17,724 words instead of 321,180" in english  # another case than that of the page
    for said in (
        "PyTorch",
        "sum to one",
        "Python 3.10",
        "moving one more word into the head costs as much as it saves",
    ):
        assert said in english


def test_lessons_are_linked_where_they_lie_beside_the_page(english, linked):
    links = {lesson.file for lesson in LESSONS}
    assert set(re.findall(r'<a class="file" href="([^"]+)"', linked)) == links
    assert all((NOTEBOOKS / link).is_file() for link in links)
    assert '<a class="file"' not in english and all(link in english for link in links)
    assert "<strong>adasoft</strong>" in english


def test_who_gains_is_computed_from_the_machines_of_the_page(english):
    words, costs = load_language("en"), recorded_costs()
    cpu, gpu = (next(c for c in costs if c.record["device"]["type"] == kind) for kind in ("cpu", "cuda"))
    assert gpu.record["dtype"] == "bfloat16"
    assert worth_from(words, cpu) == LENGTHS[0] and worth_from(words, gpu) == 200_000
    gain = "our CPU gains at least a fifth from 1,000 words on, our GPU in bfloat16 only from about 200,000"
    assert gain in english
    assert who_gains(words, [COUNTED_MULTIPLICATIONS], []) == ""
    for machine, cost in zip(data_of(english)["explorer"]["machines"][1:], costs, strict=True):
        assert machine["off"] == round(100 * cost.record["errors"]["train layers, not fitted"]["median"])


def test_the_machines_stand_side_by_side_with_the_numbers_of_their_records(english):
    words, costs = load_language("en"), recorded_costs()
    rows = sides(words, costs, data_of(english)["explorer"]["plans"])
    assert [(row.device, row.dtype) for row in rows] == [("cpu", "float32"), ("cuda", "float32"), ("cuda", "bfloat16")]
    table = re.search(r'<table class="machines">.*?</table>', english, re.DOTALL)[0]
    lengths = []
    for row, full, adaptive in zip(
        rows, ("14.5 s", "65.3 ms", "4.94 ms"), ("242 ms", "2.74 ms", "2.61 ms"), strict=True
    ):
        best = row.full
        for many in range(1, 6):
            found = plan(words, 512, 2560, cost=row.cost, n_tails=many, min_head_share=FLOOR)
            if min(default_widths(512, many)) > FEW and found.time < SAVED * best:
                best, taken = found.time, many
        assert row.adaptive == pytest.approx(best, rel=1e-6) and row.n_cutoffs == taken
        assert row.full == pytest.approx(float(row.cost.full_time(len(words), 2560, 512)))
        assert f"<td>{full}</td><td>{adaptive}<br>" in table and f"<strong>{row.full / best:.1f} ×</strong>" in table
        # one axis for all: the line of a machine is as long as the logarithm of its gain
        name = f"{row.name}<br><span>[^<]*{row.dtype}"
        left, right = re.search(rf"{name}</span>.*?left:([0-9.]+)%;right:calc\(100% - ([0-9.]+)%\)", table).groups()
        lengths.append((float(right) - float(left)) / np.log(row.full / best))
    np.testing.assert_allclose(lengths, lengths[0], rtol=0.02)
    _, single, half = rows
    said = f"makes the full softmax {single.full / half.full:.1f} times faster: 65.3 ms become 4.94 ms."
    assert said in english and "13.2 times" in said
    assert sides(words, [COUNTED_MULTIPLICATIONS], []) == []


def test_quality_is_drawn_from_the_stored_trainings(english):
    rows = {
        row["name"]: row
        for row in summary(results_folder())
        if (row["corpus"], row["V"], row["title"], row["d"]) == ("europarl-en", 17_724, "lstm", 256)
    }
    picture = re.search(r'<svg class="quality".*?</svg>', english, re.DOTALL)[0]
    dots = [(float(x), float(y)) for x, y in re.findall(r'<circle cx="([0-9.]+)" cy="([0-9.]+)"', picture)]
    names = {"planned-0.65": "floor 65 %", "planned-0.75": "floor 75 %", "planned-0.85": "floor 85 %"}
    told = [rows[name] for name in (*names, "adaptive")]
    assert len(dots) == len(told) and dots == sorted(dots)
    # on straight axes, and named with their numbers
    for axis, values in ((0, [row["mean width"] / 256 for row in told]), (1, [row["of full"] for row in told])):
        places = [dot[axis] for dot in dots]
        np.testing.assert_allclose(np.polyval(np.polyfit(values, places, 1), values), places, atol=0.1)
    for name, row in zip((*names.values(), "the paper’s cutoffs"), told, strict=True):
        assert f">{name}: +{100 * row['of full']:.1f} %</text>" in picture
    assert perplexity(321_180) in english


def test_the_page_carries_the_ranks_of_many_words(english):
    scene, words = data_of(english)["scene"], load_language("en").words
    assert scene["carried"] == CARRIED and scene["from"] == ALL_WORDS + 1
    assert scene["more"].split("\n") == list(words[ALL_WORDS:CARRIED])
    assert {"gpu", "über", "naïve", "schrödinger"} <= set(words[:CARRIED])
    small = page([Vocabulary(np.arange(60, 0, -1), [f"w{i}" for i in range(60)])], costs=[])
    assert data_of(small)["scene"]["carried"] == 0 and data_of(small)["scene"]["more"] == ""


def test_examples_are_fit_to_show():
    for word in ("analysis", "class", "don", "été", "हिन्दी", "the"):
        assert fit_to_show(word), word
    for word in ("anal", "bullshit", "00p", "x00", "don't", "😀", "", "Shit"):
        assert not fit_to_show(word), word
    words = ["a", "00", "b", "anal", "😀"]
    assert [presentable(words, rank) for rank in (1, 2, 4, 5)] == [1, 1, 3, 3]
    assert presentable(["0", "1"], 2) == 2
    with pytest.raises(ValueError, match="rank should be from 1 to 5, got 6"):
        presentable(words, 6)


def test_the_scene_knows_the_rank_of_each_of_its_words():
    for vocabulary in (load_language("en"), load_language("de"), WORDS):
        data = scene_data(vocabulary)
        assert all(vocabulary.words[rank - 1] == word for sentence in data["sentences"] for word, rank in sentence)
        assert all(0 < cut < len(vocabulary) for cut in data["cuts"]) and data["cuts"] == sorted(data["cuts"])


def test_the_file_is_written_whole(tmp_path, english):
    path = write_page(tmp_path / "new" / "page.html")
    assert path.read_text(encoding="utf-8") == english and [p.name for p in path.parent.iterdir()] == ["page.html"]


def test_the_committed_page_is_what_the_command_makes(linked):
    """Up to the last digits, which another processor may round otherwise: counts, and plans of equal time."""
    committed, english = (NOTEBOOKS / "try_it.html").read_text(encoding="utf-8"), linked
    again = "write it again: python -m adasoft page --out notebooks/try_it.html"
    assert around(committed) == around(english), again
    ours, theirs = data_of(committed), data_of(english)
    assert ours["scene"] == theirs["scene"], again
    ours, theirs = ours["explorer"], theirs["explorer"]
    (text,), (other,) = ours.pop("texts"), theirs.pop("texts")
    np.testing.assert_allclose(text.pop("runs"), other.pop("runs"), rtol=1e-12, err_msg=again)
    assert text == other, again
    words, costs = load_language("en"), [COUNTED_MULTIPLICATIONS, *recorded_costs()]

    def seconds(stored):
        cuts, d = stored["cuts"], stored["d"]
        shares = np.diff(words.cumulative[[*cuts, len(words)]])
        widths = default_widths(d, len(cuts))
        return costs[stored["cost"]].layer(len(words), cuts, widths, shares, d, stored["batch"]).seconds

    for stored, found in zip(ours.pop("plans"), theirs.pop("plans"), strict=True):
        assert stored["cuts"] == found["cuts"] or seconds(stored) == pytest.approx(seconds(found), rel=1e-9), again
    assert ours == theirs, again


def test_the_command_writes_it(tmp_path, capsys, english):
    path, own = tmp_path / "page.html", tmp_path / "counts.tsv"
    assert main(["page", "--out", str(path)]) == 0 and path.read_text(encoding="utf-8") == english
    own.write_text("".join(f"w{i}\t{99 - i}\n" for i in range(50)))
    assert main(["page", str(own), "en", "--out", str(path)]) == 0
    texts = data_of(path.read_text(encoding="utf-8"))["explorer"]["texts"]
    assert [text["name"] for text in texts] == ["counts", "English"] and WORDFREQ in path.read_text(encoding="utf-8")
    assert main(["page", str(own), "--out", str(path)]) == 0 and WORDFREQ not in path.read_text(encoding="utf-8")
    capsys.readouterr()
    assert main(["page", "nowhere.txt", "--out", str(path)]) == 2
    assert "is not a file, nor a language of wordfreq" in capsys.readouterr().err
