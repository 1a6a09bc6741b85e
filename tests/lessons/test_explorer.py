"""The state, the panels and the checks of the notebooks, without a browser."""

import base64
import gc
import html
import json
import tempfile
import threading
import time
import weakref
from functools import partial

import ipywidgets as w
import numpy as np
import plotly.graph_objects as go
import pytest
import traitlets
from hypothesis import assume, example, given
from hypothesis import strategies as st

import adasoft
from adasoft import MeasuredCost, Vocabulary, plan
from adasoft.lessons import COUNTED_MULTIPLICATIONS, COUNTED_WORDS, Explorer, TimingExplorer
from adasoft.lessons.kit import explorer as state
from adasoft.lessons.kit import figures as f
from adasoft.lessons.kit import panels, parts, stills
from adasoft.lessons.kit.explorer import WIDTH_RULES, _cost_named, load_language
from adasoft.lessons.kit.grading import ask, grade, number_text, predict
from adasoft.lessons.kit.picker import CutPicker, places
from adasoft.lessons.kit.questions import QUESTIONS
from adasoft.lessons.kit.widgets import AnswerBox, FileDrop, NumberBox


@pytest.fixture
def cost():
    kinds = {"product": [1e-4, 3e-11, 5e-9, 2e-9, 6e-9, 0], "projection": [1e-4, 5e-11, 0, 0], "rows": [1e-4, 0, 0]}
    return MeasuredCost({"train": kinds, "decode": kinds}, {"train": 5e-4, "decode": 1e-4}, name="made by hand")


@pytest.fixture
def explorer(cost):
    return Explorer(Vocabulary.synthetic(20_000, name="synthetic"), cost=cost, cutoffs=(1000, 5000))


def every(box, kind):
    """All widgets of a kind in a panel, in order."""
    found = [box] if isinstance(box, kind) else []
    for child in getattr(box, "children", ()):
        found += every(child, kind)
    return found


def named(box, description, kind=w.Widget):
    (found,) = [x for x in every(box, kind) if getattr(x, "description", None) == description]
    return found


def said(box):
    return " ".join(x.value for x in every(box, w.HTML))


def problem(box):
    return [x.value for x in every(box, parts.Line) if x._kind == "problem"][-1]


# ---- state


def test_the_state_agrees_with_the_package(explorer, cost):
    expected = cost.layer(20_000, [1000, 5000], [128, 32], explorer.token_shares[1:], 512, 2560)
    assert explorer.prediction == expected
    assert explorer.full.seconds == cost.full_time(20_000, 2560, 512)
    found = explorer.plan_for_me(2)
    assert found == plan(explorer.vocabulary, 512, 2560, cost=cost, n_tails=2)
    assert explorer.plan_for_me().n_tails == 2
    for i in (0, 1):
        at, seconds = explorer.curve(i)
        here = np.searchsorted(at, explorer.cutoffs[i])
        assert min(seconds[max(0, here - 1) : here + 2]) <= expected.seconds * 1.05
    assert sum(explorer.token_shares) == pytest.approx(1) and sum(explorer.word_shares) == pytest.approx(1)


def test_impossible_values_are_refused_and_nothing_changes(explorer):
    for bad in ((5000, 1000), (0, 5), (5, 20_000), (1, 2, 3, 4, 5, 6)):
        with pytest.raises(traitlets.TraitError, match="cutoffs"):
            explorer.cutoffs = bad
    with pytest.raises(ValueError, match=r"c2 = 900 is refused: here it can be 1,001 to 19,999"):
        explorer.set_cutoff(1, 900)
    for name in ("in_features", "batch"):
        with pytest.raises(traitlets.TraitError, match="should be from 1"):
            setattr(explorer, name, 0)
    with pytest.raises(traitlets.TraitError, match="at least 2 words"):
        explorer.vocabulary = Vocabulary([3])
    with pytest.raises(ValueError, match="at least 2 words"):
        Explorer(Vocabulary([3]))
    assert explorer.cutoffs == (1000, 5000) and len(explorer.vocabulary) == 20_000
    explorer.set_cutoff(1, 900, clip=True)
    assert explorer.cutoffs == (1000, 1001) and explorer.active == 1


def test_a_new_vocabulary_never_shows_old_cutoffs(explorer):
    seen = []
    explorer.observe(lambda _: seen.append((len(explorer.vocabulary), explorer.cutoffs)), "version")
    explorer.vocabulary = Vocabulary([5, 4, 3, 0, 0], name="tiny")
    assert seen and all(n > max(c) for n, c in seen)
    explorer.set_n_tails(3)
    assert len(explorer.cutoffs) == 3
    with pytest.raises(ValueError, match="no room for 5 cutoffs"):
        explorer.set_n_tails(5)
    explorer.set_n_tails(0)
    assert explorer.prediction == explorer.full
    assert "No cutoffs" in f.cut_sentence(explorer)


def test_units_of_counting(explorer):
    explorer.width_rule = "d for every tail"
    explorer.cost = COUNTED_WORDS
    p = explorer.token_shares
    assert explorer.amount(explorer.prediction.seconds) == pytest.approx(1002 + p[1] * 4000 + p[2] * 15000)
    explorer.cost = COUNTED_MULTIPLICATIONS
    assert explorer.amount(explorer.full.seconds) == pytest.approx(20_000 * 512 / 1e6)
    assert explorer.prediction.seconds / 2560 == pytest.approx(
        512 * 1002 + sum(q * (512 * 512 + 512 * k) for q, k in zip(p[1:], (4000, 15000), strict=True))
    )


def test_recorded_machines_can_be_asked_for_a_price(explorer):
    box = panels.cut_panel(explorer)
    costs = named(box, "cost model")
    (name,) = [x for x in costs.options if "H200, bfloat16" in x]
    assert name.startswith("recorded machine: ")
    costs.value = name
    assert explorer.cost.name == name and explorer.cost.on_gpu and name in costs.options
    assert _cost_named(name).name == name


def test_without_any_record_costs_are_counted(monkeypatch, tmp_path):
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path))
    monkeypatch.setattr("adasoft.records.shipped_records", list)
    explorer = Explorer(Vocabulary.synthetic(100))
    assert explorer.counted
    assert "none at hand" in said(panels.machine_panel(explorer))


# ---- what is kept


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def fresh(lesson, **more):
    """What a restarted kernel would make; the old one has written what it had to."""
    for old in state._LIVE.values():
        old._choices.flush()
    state._LIVE.clear()
    return Explorer(lesson=lesson, **more)


def again(explorer, **more):
    """What a restarted kernel would make of it."""
    explorer._choices.flush()
    return fresh(explorer._lesson, **more)


def test_its_cell_run_again_is_the_same_object(cache):
    first = Explorer(lesson="a", cutoffs=(500,))
    box = panels.cut_panel(first)
    first.cutoffs = (77,)
    assert Explorer(lesson="a", cutoffs=(500,)) is first and first.cutoffs == (77,)
    assert Explorer(lesson="b", cutoffs=(500,)) is not first
    assert Explorer(cutoffs=(500,)) is not Explorer(cutoffs=(500,))
    other = Explorer(lesson="a", cutoffs=(600,))  # with other arguments it is another one, and the old views end
    assert other is not first and box.comm is None and first._slots == {}
    assert other.cutoffs == (600,)  # and what it names holds


def test_what_another_notebook_chose_arrives_when_its_cell_is_run_again(cache):
    here, there = Explorer(lesson="a"), Explorer(lesson="b")  # in two kernels, for all they know
    here.batch, own = 99, Vocabulary([5, 4, 3], ["x", "y", "z"], name="tale")
    words = here.vocabulary
    assert Explorer(lesson="a") is here and here.vocabulary is words and here.batch == 99
    there.vocabulary = own
    there._choices.flush()
    redrawn = []
    here.observe(lambda _: redrawn.append(here.vocabulary.name), "version")
    assert Explorer(lesson="a").vocabulary.words == ("x", "y", "z") and redrawn == ["tale"] and here.batch == 99
    kept = here.vocabulary
    assert Explorer(lesson="a").vocabulary is kept  # nothing new, nothing read again
    there.forget()
    assert Explorer(lesson="a").vocabulary is words and here.batch == 2560


def test_choices_survive_a_restart(cache, capsys):
    first = Explorer(lesson="02 layer", cost=COUNTED_MULTIPLICATIONS, cutoffs=(2000, 10000))
    assert not list(cache.rglob("*.json"))  # nothing chosen, nothing kept
    first.vocabulary = load_language("de")
    first.cutoffs, first.in_features, first.batch = (30, 400, 5000), 64, 100
    first.width_rule, first.objective, first.cost = list(WIDTH_RULES)[1], "decode", COUNTED_WORDS
    assert capsys.readouterr().out == ""
    second = again(first, cost=COUNTED_MULTIPLICATIONS, cutoffs=(2000, 10000))
    for name in ("vocabulary", "cutoffs", "in_features", "batch", "width_rule", "objective", "cost"):
        assert getattr(second, name) == getattr(first, name), name
    assert capsys.readouterr().out == (
        "Kept from last time: words of German; d 64; B 100; width rule 'd/4 for every tail'; objective 'decode'; cost "
        "model counted: words scored; cutoffs 30, 400, 5,000. The way back: start_over() of this explorer.\n"
    )
    second.reset()
    assert second.cutoffs == (2000, 10000)
    other = fresh("03")  # nothing of it is shared
    assert other.vocabulary.name == "English" and other.cutoffs == (2000,) and other.in_features == 512
    assert Explorer().vocabulary.name == "English"  # no lesson, nothing read
    first.cost = panels.measured_cost()
    assert json.loads(first._choices.path.read_text())["entries"]["lesson 02 layer"]["cost"] == COUNTED_WORDS.name
    assert again(first).cost.name == panels.measured_cost().name


def test_what_the_cell_names_beats_what_was_kept_for_other_names(cache, capsys):
    first = Explorer(lesson="a", cutoffs=(2000, 10000), batch=64)
    first.cutoffs, first.batch, first.in_features = (30, 400), 128, 32
    assert again(first, cutoffs=(2000, 10000), batch=64).cutoffs == (30, 400)  # the cell is as it was
    edited = again(first, cutoffs=(500, 5000), batch=64)
    assert (edited.cutoffs, edited.batch, edited.in_features) == ((500, 5000), 128, 32)
    out = capsys.readouterr().out.splitlines()
    assert "cutoffs 30, 400" in out[0] and "cutoffs" not in out[1] and "d 32; B 128" in out[1]
    edited._choices.flush()
    for back in (fresh("a", cutoffs=(2000, 10000), batch=64), again(first, cutoffs=(500, 5000), batch=64)):
        assert back.cutoffs in ((2000, 10000), (500, 5000)) and back.batch == 128  # what was beaten is gone
    named = again(first, cutoffs=(500, 5000), batch=2560, cost=COUNTED_WORDS, objective="decode")
    assert (named.batch, named.cost, named.objective) == (2560, COUNTED_WORDS, "decode")
    named.cost, named.batch = COUNTED_MULTIPLICATIONS, 3
    assert again(named, cost=COUNTED_WORDS).cost is COUNTED_MULTIPLICATIONS  # chosen since
    assert again(named, cost=COUNTED_MULTIPLICATIONS, batch=7).batch == 7
    assert again(named).batch == 7  # no longer named: what held last


@pytest.mark.parametrize("given", ["en", Vocabulary([5, 4, 3], ["x", "y", "z"], name="mine")], ids=["code", "words"])
def test_words_that_the_cell_names(cache, given):
    sharer = Explorer(lesson="01")
    sharer.vocabulary = Vocabulary([3, 2], ["a", "b"], name="own")
    sharer._choices.flush()
    first = fresh("a", vocabulary=given)
    start = first.vocabulary
    assert start.name in ("English", "mine")  # not the words of all lessons
    first.vocabulary = load_language("fr")
    second = again(first, vocabulary=given)
    assert second.vocabulary.name == "French"
    assert again(first, vocabulary="de").vocabulary.name == "German"
    assert again(first).vocabulary.name == "own"
    first = fresh("a", vocabulary=given)
    first.vocabulary = Vocabulary([4, 1], ["c", "d"], name="other")
    assert again(first, vocabulary=given).vocabulary.words == ("c", "d")
    assert fresh("b").vocabulary.words == ("c", "d")


def test_a_language_that_is_looked_at_stays_in_its_lesson(cache):
    here = Explorer(lesson="01")
    here.vocabulary = load_language("fi")
    assert again(here).vocabulary.name == "Finnish" and fresh("02").vocabulary.name == "English"
    here = fresh("01")
    here.use_in_all_lessons()
    assert again(here).vocabulary.name == "Finnish" and fresh("02").vocabulary.name == "Finnish"
    there = fresh("02")
    there.vocabulary = load_language("de")
    assert again(there).vocabulary.name == "German" and fresh("01").vocabulary.name == "Finnish"
    here = fresh("01")
    upload(panels.own_text_panel(here), "tale.txt", b"the cat and the dog and a bird " * 9)
    assert again(here).vocabulary.name == "tale.txt"
    assert fresh("02").vocabulary.name == "tale.txt"  # own words, chosen after the language
    there = fresh("02")
    there.vocabulary = load_language("de")
    assert again(there).vocabulary.name == "German" and fresh("03").vocabulary.name == "tale.txt"
    named(panels.own_text_panel(fresh("01")), "Back to English").click()
    state._LIVE[next(iter(state._LIVE))]._choices.flush()
    assert [fresh(lesson).vocabulary.name for lesson in ("01", "02", "03")] == ["English"] * 3
    with pytest.raises(ValueError, match="should have words to be kept, 'counts' has counts only"):
        Explorer(Vocabulary([3, 2, 1])).use_in_all_lessons()


def test_a_file_called_as_a_language_is_no_language(explorer):
    coverage, languages = panels.coverage_panel(explorer), panels.languages_panel(explorer)
    explorer.vocabulary = Vocabulary([5, 4, 3], ["x", "y", "z"], name="German")
    assert named(coverage, "language").value == ""
    (figure,) = every(languages, parts.LiveFigure)
    assert figure.data[0].name == "German" and len(figure.data[0].x) == 3 and figure.data[1].name == "English"
    named(coverage, "language").value = "de"
    assert explorer.vocabulary is load_language("de") and figure.data[0].name == "English"


def test_start_over(cache, capsys):
    first = Explorer(lesson="a", cutoffs=(2000, 10000))
    first.cutoffs, first.batch = (5, 60), 3
    first.vocabulary = load_language("fr")
    first.remember("steps", 1)
    first._choices.flush()
    seen = []
    first.observe(lambda _: seen.append((first.vocabulary.name, first.cutoffs, first.batch)), "version")
    first.start_over()
    assert seen == [("English", (2000, 10000), 2560)] and first.recall("steps") == 1
    first._choices.flush()
    assert "lesson a" not in json.loads(first._choices.path.read_text())["entries"]
    capsys.readouterr()
    second = again(first, cutoffs=(2000, 10000))
    assert second.batch == 2560 and second.recall("steps") == 1 and capsys.readouterr().out == ""
    second.batch = 9
    second.start_over()  # not yet written
    second.in_features = 7
    assert (again(second).batch, again(second).in_features) == (2560, 7)


def test_two_notebooks_write_one_file_without_undoing_each_other(cache):
    one, two = Explorer(lesson="one"), Explorer(lesson="two")
    one.cutoffs, two.cutoffs = (11,), (22,)
    two.remember("steps", {"ms": [1.5, 2.5]})
    assert two.recall("steps") == {"ms": [1.5, 2.5]} and two.recall("none", 7) == 7
    two._choices.flush()
    assert again(one).cutoffs == (11,) and again(two).cutoffs == (22,)
    assert again(one).recall("steps") == {"ms": [1.5, 2.5]}
    for bad in ({1, 2}, float("nan")):
        with pytest.raises((TypeError, ValueError)):
            one.remember("bad", bad)
    assert one.recall("bad") is None
    alone = Explorer()
    alone.remember("here", 1)
    assert alone.recall("here") == 1 and fresh("one").recall("here") is None


def test_the_file_is_written_soon_and_by_itself(cache, monkeypatch):
    monkeypatch.setattr("adasoft.lessons.kit.saved.PAUSE", 0.01)
    explorer = Explorer(lesson="a")
    explorer.batch = 77
    end = time.monotonic() + 20
    while not explorer._choices.path.exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    assert fresh("a").batch == 77


def test_own_words_are_kept_as_counts_for_every_lesson(cache, capsys):
    explorer = Explorer(lesson="01")
    upload(panels.own_text_panel(explorer), "tale.txt", "Ein Märchen: the cat and the dog and a bird. ".encode() * 10)
    own, other = explorer.vocabulary, again(explorer)
    assert other.vocabulary.words == own.words and other.vocabulary.counts.tolist() == own.counts.tolist()
    assert other.vocabulary.name == "tale.txt" and other.cutoffs == explorer.cutoffs
    assert fresh("02").vocabulary.name == "tale.txt"
    explorer._choices._words_path.unlink()
    capsys.readouterr()
    lost = fresh("02")
    assert lost.vocabulary.name == "English" and lost.cutoffs == (2000,)
    out = capsys.readouterr().out
    assert out.count("\n") == 1 and "this is not used: vocabulary" in out and "own-words.json" in out


HARD_WORDS = ["a\tb", "c\nd", "\ufeffe", "f\r\n", "", " ", "\u2028", "\x00", "<b>", '"', "हिन्दी", "\ud800", "0"]


@given(st.lists(st.text(max_size=4), min_size=2, max_size=6, unique=True), st.booleans())
@example(HARD_WORDS, False)
def test_own_words_of_any_characters_are_found_again(words, floats):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADASOFT_CACHE", folder)
        counts = [3 * len(words) - 2 * i + 0.25 * floats for i in range(len(words))]
        try:
            own = Vocabulary(counts, words, name=f"name {words[0]}")
        except (ValueError, TypeError):
            assume(False)
        first = fresh("01")
        first.vocabulary = own
        second = again(first)
        assert second.vocabulary.words == own.words and second.vocabulary.name == own.name
        np.testing.assert_array_equal(second.vocabulary.counts, own.counts)
        assert second.vocabulary.counts.dtype == own.counts.dtype


def entries_of(**entries):
    return json.dumps({"format": "adasoft choices", "version": 1, "entries": entries}).encode()


@pytest.mark.parametrize(
    "content, reason",
    [(b"{", "not JSON"), (b"\xff\xfe\xff", "not JSON"), (b"[]", "should hold an object, got []"), (b"null", "got None"),
     (b"", "it is empty"), (b"\x00" * 2000, "it is empty"), (b'{"format": "other"}', "its format should be"),
     (b"[" * 100_000 + b"]" * 100_000, "not JSON"), (b'{"a":' * 200 + b"1" + b"}" * 200, "nested at most"),
     (b'{"format": "adasoft choices", "version": 9}', "version 1"), (entries_of(words=3), "entries.words should be"),
     (b'{"format": "adasoft choices", "version": 1}', "entries should be an object, got None"),
     (entries_of(words={"read": 1}).replace(b"1}}", b"1e999}}"), "finite"),
     (entries_of(words={"read": 1}).replace(b"1}}", b"1" * 500 + b"}}"), "finite")],
    ids=["cut", "binary", "list", "null", "empty", "zeros", "other", "deep", "deeper", "version", "section", "none",
         "infinite", "long number"],
)  # fmt: skip
def test_a_broken_or_foreign_file_is_said_in_one_line_and_replaced(cache, capsys, content, reason):
    path = Explorer(lesson="a")._choices.path
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    explorer = fresh("a")
    out = capsys.readouterr().out
    assert reason in out and out.count("\n") == 1
    assert "choices.json" in out and "choose again, which replaces it, or delete it" in out
    fresh("b")
    assert capsys.readouterr().out == ""  # said once
    explorer.batch = 9
    assert again(explorer).batch == 9 and "Kept from last time: B 9" in capsys.readouterr().out


def test_choices_that_no_longer_fit_are_said_and_left(cache, capsys):
    path = Explorer(lesson="a")._choices.path
    mine = {"batch": -3, "cutoffs": [5, 4], "cost": "a machine of old", "width_rule": "wide", "in_features": 64}
    path.parent.mkdir(parents=True)
    path.write_bytes(entries_of(**{"lesson a": mine}))
    explorer = fresh("a")
    first, second = capsys.readouterr().out.splitlines()
    assert all(name in first for name in ("batch", "cutoffs", "cost", "width_rule", "choices.json"))
    assert "d 64" in second
    assert explorer.batch == 2560 and explorer.cutoffs == (2000,) and explorer.in_features == 64


JUNK = [None, True, False, -1, 0, 10**290, 1.5, "x", "", [], [[]], [None], {}, {"x": {}}, ["a"], [1, "b"], [True]]


@pytest.mark.parametrize("junk", JUNK, ids=lambda junk: repr(junk)[:9])
def test_kept_values_of_any_type_never_stop_a_lesson(cache, capsys, junk):
    """Every field, one after the other: taken because it makes sense, or named; the rest is taken all the same."""
    path = Explorer(lesson="a")._choices.path
    path.parent.mkdir(parents=True)
    start = {name: repr(getattr(Explorer(), name)) for name in state._KEPT}
    for name in state._KEPT:
        path.write_bytes(entries_of(**{"lesson a": {name: junk, "given": junk, "words": junk}}))
        state._LIVE.clear()
        explorer = Explorer(lesson="a")
        out = capsys.readouterr().out
        value = getattr(explorer, name)
        assert name in out or repr(value) == start[name] or (name == "cutoffs" and value == ()), (name, value)
        assert explorer.speedup > 0 and out.count("\n") <= 2
    for words in ({"language": junk}, {"own": junk}, {"language": junk, "own": junk}):
        path.write_bytes(entries_of(words=words, **{"lesson a": {"batch": 5}}))
        explorer = fresh("a")
        assert explorer.vocabulary.name == "English" and explorer.batch == 5
        assert explorer.recall("none") is None
    path.write_bytes(entries_of(kept={"game": junk, "guess half": junk, "steps": junk}))
    explorer = fresh("a")
    box, out = panels.beat_the_planner(explorer), capsys.readouterr().out
    assert problem(box) == "" and explorer.recall("steps") == junk
    assert isinstance(junk, str) or "game should be a text, got" in out
    assert explorer.recall("guess half", 1.0) in (1.0, -1, 0, 1.5, 10**290)


def test_damaged_words_are_named_and_replaced(cache, capsys):
    explorer = Explorer(lesson="01")
    explorer.vocabulary = Vocabulary([5, 4, 3], ["x", "y", "z"], name="tale")
    explorer._choices.flush()
    path = explorer._choices._words_path
    good = json.loads(path.read_text())
    assert good == {"name": "tale", "words": ["x", "y", "z"], "counts": [5, 4, 3]}
    bad = {
        "name": [None, 3], "words": [None, 3, ["x", "y"], ["x", "y", 3], ["x", "x", "z"]],
        "counts": [None, "5", [5, 4], [5, 4, "3"], [5, 4, True], [5, 4, -3], [5, 4, 10**40], [[5], 4, 3]],
    }  # fmt: skip
    for field, values in bad.items():
        for value in values:
            path.write_text(json.dumps({**good, field: value}))
            assert fresh("02").vocabulary.name == "English"
            out = capsys.readouterr().out
            assert out.count("\n") == 1 and str(path) in out and "delete it" in out
            assert field[:-1] in out, (field, value)
    for content in (b"", b"{", b"null", b"[" * 9999):
        path.write_bytes(content)
        assert fresh("02").vocabulary.name == "English" and str(path) in capsys.readouterr().out
    explorer = fresh("02")
    explorer.vocabulary = Vocabulary([5, 4], ["x", "y"], name="new")
    assert again(explorer).vocabulary.words == ("x", "y")


def test_a_damaged_record_of_this_machine_is_said_once(cache, capsys):
    folder = cache / "machines"
    folder.mkdir(parents=True)
    (folder / "mine.json").write_text("{")
    explorer = Explorer(lesson="a")
    assert explorer.cost.name.startswith("recorded machine: ")
    for box in (panels.machine_panel(explorer), panels.cut_panel(explorer)):
        assert problem(box) == ""
    assert capsys.readouterr().out.count("mine.json") == 1
    explorer.cost = COUNTED_WORDS
    assert again(explorer).cost is COUNTED_WORDS


# ---- where nothing can be kept


def in_the_way(path):
    """A file where a folder should be: nobody can write there, whoever they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")


def choose_all(explorer, own=True):
    """What a reader does: choices, own words, measurements."""
    explorer.batch, explorer.cutoffs = 77, (11, 99)
    explorer.vocabulary = load_language("fr")
    explorer.remember("steps", 3)
    if own:
        upload(panels.own_text_panel(explorer), "tale.txt", b"the cat and the dog and a bird " * 9)
    explorer._choices.flush()


@pytest.mark.parametrize("where", ["cache", "cache/lessons"])
def test_an_unwritable_cache_is_said_once_and_the_lesson_goes_on(cache, capsys, where):
    in_the_way(cache.parent / where)
    failed = []
    threading.excepthook, before = lambda args: failed.append(args.exc_value), threading.excepthook
    try:
        explorer = Explorer(lesson="01")
        out = capsys.readouterr().out
        assert out.count("\n") == 1 and "not kept" in out and "ADASOFT_CACHE" in out and str(cache) in out
        choose_all(explorer)
        time.sleep(0.02)
        words = explorer.vocabulary
        assert Explorer(lesson="01") is explorer  # its cell run again
        assert explorer.vocabulary is words and explorer.batch == 77 and explorer.recall("steps") == 3
        with_others = Explorer(lesson="01", batch=5)
        assert with_others.batch == 5
        with_others.start_over()
        box = panels.machine_panel(with_others)
        named(box, "Forget my choices").click()
        assert problem(box) == "" and with_others.vocabulary.name == "English"
    finally:
        threading.excepthook = before
    assert failed == [] and "not kept" not in capsys.readouterr().out
    assert list(cache.parent.rglob("*.part")) == []


@pytest.mark.parametrize("own", [True, False])
def test_a_cache_that_cannot_be_written_any_more(cache, capsys, monkeypatch, own):
    """It is said when it is noticed; once it can be written again, all is kept."""
    monkeypatch.setattr("adasoft.lessons.kit.saved.PAUSE", 0.01)
    explorer = Explorer(lesson="a")
    explorer.batch = 5
    explorer._choices.flush()
    (cache / "lessons" / "choices.json").unlink()
    (cache / "lessons").rmdir()
    in_the_way(cache / "lessons")
    failed = []
    monkeypatch.setattr(threading, "excepthook", lambda args: failed.append(args.exc_value))
    choose_all(explorer, own)
    timer = explorer._choices._timer
    explorer.batch = 78
    timer.join(10)
    explorer._choices._timer.join(10)
    assert failed == [] and capsys.readouterr().out.count("not kept") == 1
    (cache / "lessons").unlink()
    explorer.batch = 79
    second = again(explorer)
    assert second.batch == 79 and second.recall("steps") == 3
    assert second.vocabulary.name == ("tale.txt" if own else "French")


def test_a_file_that_cannot_be_removed_is_named(cache, capsys):
    explorer = Explorer(lesson="a")
    explorer.batch = 5
    explorer._choices.flush()
    explorer._choices.path.unlink()
    explorer._choices.path.mkdir()  # a folder of that name
    explorer.forget()
    assert explorer.batch == 2560 and f"{explorer._choices.path} could not be removed" in capsys.readouterr().out
    explorer.batch = 6
    explorer._choices.flush()
    assert "not kept" in capsys.readouterr().out


def test_a_machine_is_timed_where_nothing_can_be_kept(cache, explorer, cost, monkeypatch):
    in_the_way(cache)
    asked = []

    def calibrate(device, *, seconds, progress, save=True):
        asked.append(save)
        return MeasuredCost(cost.coefficients, cost.flat, name="chip")

    monkeypatch.setitem(adasoft.__dict__, "calibrate", calibrate)
    box = panels.machine_panel(explorer)
    named(box, "Time this machine").click()
    end = time.monotonic() + 60
    while named(box, "Time this machine").disabled:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert problem(box) == "" and asked == [False] and explorer.cost.name == "this machine: chip"
    assert "until the kernel ends" in said(box) and "recorded machine" not in said(box)


def test_forget(cache):
    explorer = Explorer(lesson="a", cutoffs=(500,))
    upload(panels.own_text_panel(explorer), "tale.txt", b"one two three two three three four " * 9)
    explorer.batch = 5
    explorer.remember("x", 1)
    explorer._choices.flush()
    box = panels.machine_panel(explorer)
    named(box, "Forget my choices").click()
    assert problem(box) == "" and not list(cache.rglob("*own*")) and not list(cache.rglob("choices*"))
    assert explorer.vocabulary.name == "English" and explorer.cutoffs == (500,) and explorer.batch == 2560
    assert explorer.recall("x") is None and fresh("a").vocabulary.name == "English"


# ---- figures


def sent(widget, monkeypatch):
    """The messages that a figure sends from now on."""
    messages = []
    monkeypatch.setattr(widget, "send", lambda content, buffers=None: messages.append(content))
    return messages


def numbers(packed):
    return np.frombuffer(base64.b64decode(packed["bdata"]), packed["dtype"]).tolist()


def test_one_message_per_push_with_what_changed_and_nothing_else(monkeypatch):
    widget = parts.live(go.Figure([go.Bar(x=["a", "b"], y=[1, 2]), go.Scatter(x=[1, 2], y=[3, 4])]))
    messages = sent(widget, monkeypatch)
    f.push(widget, {0: {"y": [5, 6]}, 1: {"x": np.array([7, 8]), "y": [9, 10]}}, {"title.text": "new"})
    (message,) = messages
    assert message["data"][0] == {"y": [5, 6]} and numbers(message["data"][1]["x"]) == [7.0, 8.0]
    assert message["layout"] == {"title.text": "new"}
    f.push(widget, {0: {"y": [5, 6], "x": ["a", "b"]}, 1: {"x": np.array([7, 8])}}, {"title.text": "new"})
    assert len(messages) == 1  # nothing new
    f.push(widget, {1: {"y": np.array([np.nan, 1.0])}})
    f.push(widget, {1: {"y": np.array([np.nan, 1.0])}, 0: {"visible": False}})
    assert list(messages[1]["data"]) == [1] and messages[2]["data"] == {0: {"visible": False}}
    # a page that opens later gets all of it
    spec = json.loads(widget.get_state()["spec"])
    assert spec["data"][0]["y"] == [5, 6] and spec["data"][0]["visible"] is False
    assert spec["layout"]["title"]["text"] == "new"
    with pytest.raises(KeyError, match="nonsense"):
        f.push(widget, {0: {"nonsense": 3}})


def test_plotly_js_is_sent_to_who_asks_and_to_nobody_else(monkeypatch):
    widget = parts.live(go.Figure())
    found = []
    monkeypatch.setattr(widget, "send", lambda content, buffers=None: found.append((content, buffers)))
    widget._handle_custom_msg({"kind": "other"}, [])
    assert not found and len(json.dumps(widget.get_state())) < 30_000
    widget._handle_custom_msg({"kind": "plotly"}, [])
    ((content, (code,)),) = found
    assert content == {"kind": "plotly"} and b"plotly.js v" in code[:200]


@pytest.mark.parametrize(
    "counts",
    [[5, 4, 3, 0, 0, 0], [1, 1, 1], [0.5, 0.25, 0.25], [1e-8, 1e-7, 3e-7], [7, 0], np.arange(1, 400)],
    ids=["zeros", "equal", "shares", "floats", "one word", "line"],
)
def test_figures_of_odd_counts(counts, cost):
    explorer = Explorer(Vocabulary(counts), cost=cost)
    assert f.cut_figure(explorer).data and f.coverage_figure(explorer.vocabulary, 0.8).data
    assert f.coverage_sentence(explorer.vocabulary, 0.8) and f.cut_sentence(explorer)
    picker = CutPicker()
    picker.show(explorer.vocabulary, explorer.cutoffs, ["head", "tail 1"])
    assert min(picker.ys) > 0 and len(picker.ys) <= len(picker.xs) == len(picker.mass)


def test_places_hold_both_ends():
    for n in (1, 2, 3, 1000, 10**6):
        at = places(n)
        assert at[0] == 1 and at[-1] == n and (np.diff(at) > 0).all()


def test_every_axis_of_every_still_has_a_title():
    pytest.importorskip("wordfreq")
    for still in stills.every_still().values():
        figure = still.make()
        if isinstance(figure, str):
            continue
        assert "sendChartToCloud" in figure.layout.template.layout.modebar.remove
        for axis in [*figure.select_xaxes(), *figure.select_yaxes()]:
            name = axis._plotly_name.replace("axis", "")
            own = [t for t in figure.data if name in (getattr(t, a, None) or a[0] for a in ("xaxis", "yaxis"))]
            # their names say what they are
            categories = any(v is not None and len(v) and isinstance(v[0], str) for t in own for v in (t.x, t.y))
            assert axis.title.text or categories or axis._plotly_name.startswith("xaxis")


def test_a_still_is_stale_when_it_shows_something_else(tmp_path, monkeypatch, capsys):
    shown = {"text": "<svg>one</svg>"}
    stills.every_still()  # all modules are loaded, and register no more
    monkeypatch.setattr(f, "STILLS", {})
    monkeypatch.setattr(stills, "STILLS", f.STILLS)
    f.still("x", "alt")(lambda: shown["text"])
    assert stills.stale(tmp_path) == {"x": "no picture"}
    assert stills.main(["--folder", str(tmp_path)]) == 0
    assert (tmp_path / "x.svg").read_text() == "<svg>one</svg>" and stills.stale(tmp_path) == {}
    shown["text"] = "<svg>two</svg>"
    assert stills.main(["--folder", str(tmp_path), "--check"]) == 1 and "something else" in capsys.readouterr().out
    with pytest.raises(ValueError, match="no still"):
        stills.render(tmp_path, ["y"])
    with pytest.raises(ValueError, match="there is a still 'x'"):
        f.still("x", "other")(test_places_hold_both_ends)


def test_the_hash_of_a_figure_knows_numbers_to_three_digits():
    def hashed(y):
        return stills.description_hash(go.Figure(go.Scatter(y=np.asarray(y))))

    assert hashed([1.0, 2.0]) == hashed([1.0 + 1e-7, 2.0]) != hashed([1.1, 2.0])
    assert hashed([1.0, np.nan]) == hashed([1.0, np.nan])


# ---- panels


def test_drag_slide_and_type_move_the_same_cutoff(explorer):
    box = panels.cut_panel(explorer)
    (picker,) = every(box, CutPicker)
    (figure,) = every(box, parts.LiveFigure)
    sliders, boxes = every(box, parts.Slider), [named(box, f"cutoff {i}, words") for i in (1, 2)]

    def agree():
        assert tuple(picker.cuts) == explorer.cutoffs == tuple(b.value for b in boxes)
        for i in (0, 1):
            assert np.log10(sliders[i].value) == pytest.approx(np.log10(explorer.cutoffs[i]), abs=0.006)
        assert figure.data[5].x[0] == explorer.cutoffs[explorer.active]
        assert figure.data[5].y[0] == pytest.approx(1e3 * explorer.prediction.seconds)
        assert list(figure.data[1].y) == pytest.approx(explorer.token_shares)
        assert list(figure.data[2].x) == ["head", "tail 1", "tail 2", "sorting"]

    agree()
    picker.set_state({"moved": 1, "cuts": [1000, 7000]})  # as the browser does
    assert explorer.cutoffs == (1000, 7000) and explorer.active == 1
    agree()
    sliders[0].value = 10**3.5
    assert explorer.cutoffs == (3162, 7000)
    agree()
    boxes[0].value = 1234
    assert explorer.cutoffs == (1234, 7000) and problem(box) == ""
    agree()
    sliders[0].value = sliders[0].value * 1.0000001  # the browser snaps and echoes; that is no move
    assert explorer.cutoffs == (1234, 7000)
    sliders[0].value = 10**4.2  # stops at its neighbour
    assert explorer.cutoffs == (6999, 7000)
    boxes[1].value = 10
    assert "c2 = 10 is refused: here it can be 7,000 to 19,999" in problem(box)
    agree()
    boxes[1].value = 8000
    assert problem(box) == ""
    agree()


def test_every_setting_and_button_of_the_cut_panel(explorer, cost):
    box = panels.cut_panel(explorer)
    (figure,) = every(box, parts.LiveFigure)
    named(box, "number of cutoffs").value = 4
    assert len(explorer.cutoffs) == 4 and len(figure.data[0].x) == 5
    rows = [x.layout.display for x in every(box, w.HBox) if any(isinstance(c, parts.Slider) for c in x.children)]
    assert rows == [None] * 4 + ["none"]
    named(box, "width of the tails").value = "d for every tail"
    assert explorer.widths == [512] * 4
    named(box, "width of the tails").value = next(iter(WIDTH_RULES))
    named(box, "cost model").value = COUNTED_MULTIPLICATIONS.name
    assert explorer.cost is COUNTED_MULTIPLICATIONS and figure.layout.yaxis2.title.text == explorer.unit
    named(box, "cost model").value = cost.name
    named(box, "hidden size d").value = 64
    named(box, "tokens per step B").value = -1
    assert explorer.in_features == 64 and explorer.batch == 2560 == named(box, "tokens per step B").value
    assert "B (batch) should be from 1" in problem(box)
    named(box, "Plan for me").click()
    assert explorer.cutoffs == plan(explorer.vocabulary, 64, 2560, cost=cost, n_tails=4).cutoffs
    assert "Planned" in said(box) and "75 %" in said(box)
    named(box, "The authors' cutoffs").click()
    assert explorer.cutoffs == (2000, 10000)
    named(box, "Reset").click()
    assert explorer.cutoffs == (1000, 5000)
    named(box, "number of cutoffs").value = 0
    assert explorer.cutoffs == () and explorer.speedup == 1


def test_a_cell_run_again_replaces_its_panel(explorer):
    first = panels.cut_panel(explorer)
    picker = weakref.ref(every(first, CutPicker)[0])
    handlers = len(explorer._trait_notifiers["version"]["change"])
    second = panels.cut_panel(explorer)
    assert len(explorer._trait_notifiers["version"]["change"]) == handlers
    assert first.comm is None and second.comm is not None
    cuts = list(picker().cuts)
    explorer.cutoffs = (77, 5000)
    assert picker() is None or picker().cuts == cuts
    gc.collect()


@pytest.mark.parametrize("name", ["cut", "machine", "coverage", "languages", "own_text", "two_clusters", "swap"])
def test_a_cell_run_again_leaks_no_widget(explorer, name):
    make = getattr(panels, f"{name}_panel") if name != "swap" else lambda _: panels.swap_panel()
    if name == "cut":
        make = partial(make, most=1, settings=False)  # what is not offered must go, too
    make(explorer)
    widgets = len(w.widgets.widget._instances)
    for _ in range(3):
        make(explorer)
    assert len(w.widgets.widget._instances) == widgets


def test_questions_and_games_run_again_leak_no_widget(explorer):
    def cells():
        ask("tail width")
        (entry,) = every(predict("speedup", explorer, then=lambda: panels.cut_panel(explorer, slot="p")), AnswerBox)
        entry.submit("3")
        panels.beat_the_planner(explorer)
        return len(w.widgets.widget._instances)

    assert cells() == cells() == cells()


def test_callbacks_in_several_threads_wait_for_each_other(explorer, monkeypatch):
    """JupyterLab runs each widget's callbacks in a thread of its own; the later gesture must win."""
    box = panels.cut_panel(explorer)
    sentence, inside = f.cut_sentence, threading.Event()

    def slow(state):
        inside.set()
        text = sentence(state)
        time.sleep(0.2 if state.cutoffs[0] == 50 else 0)
        return text

    monkeypatch.setattr(f, "cut_sentence", slow)
    first = threading.Thread(target=lambda: setattr(named(box, "cutoff 1, words"), "value", 50))
    first.start()
    inside.wait()
    named(box, "cutoff 2, words").value = 9999
    first.join()
    assert explorer.cutoffs == (50, 9999)
    assert html.escape(sentence(explorer)) in said(box)


def test_an_error_while_redrawing_is_shown(explorer, monkeypatch):
    box = panels.cut_panel(explorer)
    monkeypatch.setattr(f, "cut_data", lambda _: 1 / 0)
    explorer.cutoffs = (5, 6)
    assert "ZeroDivisionError" in problem(box) and "<script" not in problem(box)


def test_no_figure_is_made_in_a_callback(explorer, cost, monkeypatch):
    """A figure is made once; what the reader does changes its numbers."""
    names = ("cut", "coverage", "languages", "two_clusters")
    boxes = {name: getattr(panels, f"{name}_panel")(explorer) for name in names}
    figures = {name: every(box, parts.LiveFigure)[0] for name, box in boxes.items()}
    made = []
    monkeypatch.setattr(parts.LiveFigure, "__init__", lambda *_, **__: made.append("live"))
    monkeypatch.setattr(go.Figure, "__init__", lambda *_, **__: made.append("plotly"))
    shown = {name: [list(t.y) for t in figure.data] for name, figure in figures.items()}
    explorer.vocabulary = Vocabulary.synthetic(9000, name="other")
    explorer.cutoffs, explorer.in_features = (70, 800), 128
    explorer.width_rule, explorer.cost = list(WIDTH_RULES)[1], COUNTED_WORDS
    named(boxes["languages"], "languages").value = ("fr", "it")
    named(boxes["coverage"], "share of the tokens, %").value = 90.0
    named(boxes["two_clusters"], "Show the best").click()
    assert made == [] and all(problem(box) == "" for box in boxes.values())
    for name, figure in figures.items():
        assert [list(t.y) for t in figure.data] != shown[name], name


def test_machine_panel_times_and_labels(explorer, cost, monkeypatch):
    box = panels.machine_panel(explorer)
    assert "made by hand" in said(box)
    record = {
        "device": {"name": "chip <x>"}, "threads": 2, "dtype": "float32", "date": "2026-01-02T", "torch": "2",
        "errors": {"train layers, not fitted": {"median": 0.11}},
    }  # fmt: skip
    steps = []

    def timed():
        named(box, "Time this machine").click()
        end = time.monotonic() + 60
        while named(box, "Time this machine").disabled:
            assert time.monotonic() < end
            time.sleep(0.01)

    def calibrate(device, *, seconds, progress):
        progress(0.5, "half")
        steps.append((device, seconds, named(box, "Time this machine").disabled, named(box, "Stop").disabled))
        new = MeasuredCost(cost.coefficients, cost.flat, name="this machine: chip", record=record)
        monkeypatch.setattr(panels, "measured_cost", lambda: new)
        return new

    monkeypatch.setitem(adasoft.__dict__, "calibrate", calibrate)
    named(box, "time for it").value = 10.0
    timed()
    assert steps == [("cpu", 10.0, True, False)] and named(box, "Stop").disabled and "Timed. All" in said(box)
    assert explorer.cost.name == "this machine: chip" and problem(box) == ""
    assert "chip &lt;x&gt;, 2 threads" in said(box) and "11.0 %" in said(box)

    def broken(*_, **__):
        raise RuntimeError("no\nway")

    monkeypatch.setitem(adasoft.__dict__, "calibrate", broken)
    timed()
    assert "RuntimeError: no way" in problem(box) and "Timed. All" not in said(box)

    def endless(*_, progress, **__):
        while True:
            progress(0.5, "on and on")

    monkeypatch.setitem(adasoft.__dict__, "calibrate", endless)
    named(box, "Time this machine").click()
    named(box, "Stop").click()
    timed_out = time.monotonic() + 60
    while named(box, "Time this machine").disabled:
        assert time.monotonic() < timed_out
        time.sleep(0.01)
    assert "Stopped." in said(box) and explorer.cost.name == "this machine: chip"


def test_coverage_panel(explorer):
    box = panels.coverage_panel(explorer)
    (figure,) = every(box, parts.LiveFigure)
    number_box, slider = named(box, "share of the tokens, %"), every(box, parts.Slider)[0]
    number_box.value = 95.0
    assert figure.data[4].x[1] == explorer.vocabulary.words_for_share(0.95) and slider.value == 95.0
    slider.value = 50.0
    assert figure.data[4].x[1] == explorer.vocabulary.words_for_share(0.5) and number_box.value == 50.0
    assert named(box, "language").value == ""
    named(box, "language").value = "fr"
    assert explorer.vocabulary is load_language("fr") and "French" in said(box)


def test_the_first_fifth_beside_the_paper():
    steep, even = Vocabulary(np.array([91, 4, 2, 2, 1])), Vocabulary(np.full(5, 4))
    as_there = Vocabulary(np.array([87, 5, 4, 3, 1]))
    for words, covers, says in [
        (steep, 0.91, "cover 91.0 %: the longer a list"),
        (even, 0.2, "cover 20.0 %: in a short or even list"),
        (as_there, 0.87, "cover 87.0 %, as there."),
        (Vocabulary(np.array([3, 1])), 0, "cover 0.0 %: in a short"),
    ]:
        assert words.share_of_first(len(words) // 5) == pytest.approx(covers)
        assert says in f.coverage_sentence(words, 0.8)
        mark = f.coverage_figure(words, 0.8).data[5]
        assert mark.x[0] == max(1, len(words) / 5) and mark.y[0] == 0.87 and "paper" in mark.name


def test_fits_that_do_not_exist_are_said():
    law = Vocabulary(np.exp(-np.arange(60) / 3.0))  # exponential: Mandelbrot's shift runs away
    assert "no zipf-mandelbrot fit" in f.coverage_sentence(law, 0.8)
    assert np.isnan(f.coverage_figure(law, 0.8).data[2].y).all()


def test_languages_panel(explorer):
    box = panels.languages_panel(explorer)
    (figure,) = every(box, parts.LiveFigure)
    assert [t.name for t in figure.data][:4] == ["synthetic", "English", "German", "Finnish"]
    named(box, "languages").value = ("fr",)
    assert [t.name for t in figure.data][:3] == ["synthetic", "French", ""] and not figure.data[2].showlegend
    explorer.vocabulary = load_language("en")
    assert figure.data[0].name == "French" and "French needs" in said(box)
    named(box, "languages").value = ()
    assert "Choose at least one" in said(box)


def upload(box, name, content, part=20):
    """As the browser does: in parts, each asked for."""
    (drop,) = every(box, FileDrop)
    asked = []
    drop.send = asked.append
    for start in range(0, max(1, len(content)), part):
        piece, last = content[start : start + part], start + part >= len(content)
        message = {"kind": "part", "name": name, "first": start == 0, "last": last}
        drop._handle_custom_msg(message, [memoryview(piece)])
        assert last or asked.pop() == {"kind": "next"}
    assert not asked and drop._copy is None


def test_own_text(explorer, tmp_path):
    box = panels.own_text_panel(explorer)
    upload(box, "tale.txt", b"The cat and the dog and the bird. " * 10)
    assert explorer.vocabulary.name == "tale.txt" and explorer.vocabulary.words[0] == "the" and problem(box) == ""
    assert max(explorer.cutoffs) < len(explorer.vocabulary)
    counts = tmp_path / "counts.tsv"
    counts.write_text("a\t5\nb\t0\nc\t7\nd\t1\n")
    named(box, "or its path").value = str(counts)
    named(box, "Read it").click()
    assert explorer.vocabulary.words == ("c", "a", "d", "b")
    named(box, "Back to English").click()
    assert explorer.vocabulary is load_language("en")


@pytest.mark.parametrize(
    "content, reason",
    [(b"", "got none"), (b"\xff\xd8\x00binary\x00" * 9, "not read"), (b"one one one", "only 1 different words"),
     (b"a\t1\na\t2\nb\t3\n", "line 2"), (b"a\t0\nb\t0\nc\t0\n", "not read")],
    ids=["empty", "binary", "one word", "twice", "all zero"],
)  # fmt: skip
def test_broken_files_say_the_way_out_and_change_nothing(explorer, content, reason):
    before = explorer.vocabulary
    box = panels.own_text_panel(explorer)
    upload(box, "bad.txt", content)
    assert reason in problem(box) and "Way out" in problem(box) and "/dropped" not in problem(box)
    assert explorer.vocabulary is before


def test_a_path_that_is_not_there(explorer, tmp_path):
    box = panels.own_text_panel(explorer)
    named(box, "or its path").value = str(tmp_path / "none.txt")
    named(box, "Read it").click()
    assert "none.txt was not read" in problem(box)


def test_two_clusters_panel(cost):
    explorer = Explorer(Vocabulary.synthetic(5000), cost=COUNTED_WORDS, cutoffs=(300,))
    box = panels.two_clusters_panel(explorer)
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
    assert "refused" in problem(box) and named(box, "words in the first cluster").value == 10
    explorer.cost = cost
    assert named(box, "cost model").value == cost.name and figure.layout.yaxis.title.text == "ms per step"


def test_swap_panel():
    box = panels.swap_panel()
    assert "as set: 1,900 words" in said(box) and "better swapped" in said(box)
    named(box, "Swap the shares").click()
    assert "as set: 1,100 words" in said(box) and "better as set" in said(box)
    named(box, "words of the small one", NumberBox).value = 9000
    assert "9,000 is refused, from 100 to 5,000" in problem(box)
    named(box, "words of the small one", NumberBox).value = 5000
    assert "k = 5,000" in said(box) and problem(box) == ""
    named(box, "share of the large one, %", parts.Slider).value = 20
    assert "swapping changes nothing" in said(box)


def test_the_game(explorer):
    box, other = panels.beat_the_planner(explorer), panels.cut_panel(explorer)
    explorer.cutoffs = (2, 5000)
    assert "not allowed" in said(box)
    explorer.cutoffs = (4000, 9000)
    named(box, "Compare with the planner").click()
    assert "The planner is ahead by" in said(box)
    explorer.cutoffs = explorer.plan_for_me().cutoffs
    named(box, "Compare with the planner").click()
    assert "A draw" in said(box)
    assert tuple(every(other, CutPicker)[0].cuts) == explorer.cutoffs


def test_the_game_measured(explorer, cost, monkeypatch):
    """The real thing at a small size; then what is said of it."""
    explorer.vocabulary = Vocabulary.synthetic(3000, name="small")
    explorer.in_features, explorer.cutoffs = 32, (1500, 2500)
    explorer.cost = panels.measured_cost()
    box = panels.beat_the_planner(explorer)
    named(box, "Measure both").click()
    (job,) = [x for x in threading.enumerate() if getattr(x, "_target", None) and "Job._run" in repr(x._target)]
    assert named(box, "Measure both").disabled and not named(box, "Stop").disabled
    named(panels.beat_the_planner(explorer, slot="second"), "Measure both").click()  # one at a time
    job.join(120)
    assert not job.is_alive() and problem(box) == "" and "Your score" in said(box)
    assert (
        "the planner at" in said(box)
        and "measured" in said(box)
        and explorer.recall("game") in html.unescape(said(box))
    )
    assert not named(box, "Measure both").disabled and named(box, "Stop").disabled
    assert "Last time" in said(panels.beat_the_planner(explorer, slot="third"))


def test_a_duel_fits_the_time_and_says_what_it_cannot_do(explorer, monkeypatch):
    from adasoft import timing

    asked = {}

    def interleave(items, *, progress, **_):
        asked["rows"] = {name: len(steps) for name, steps in items.items()}
        progress(0.5, "half")
        return {name: timing.Timing(m, m - 1e-4, m + 1e-4, 9) for name, m in zip(items, (0.020, 0.010), strict=True)}

    monkeypatch.setattr(timing, "interleave", interleave)
    monkeypatch.setattr(panels, "DUEL_SECONDS", 0.15)
    ticks = []
    text = panels.duel(explorer, (1000, 5000), lambda done, what: ticks.append(what))
    assert "B = 2,560" not in text and "so that it takes seconds" in text and "from another machine's timings" in text
    assert "0.50 measured; the planner is faster" in text and ticks[-1] == "half"
    assert asked["rows"] == {"your layer": 2, "the planner's layer": 2}
    with pytest.raises(ValueError, match="no cutoffs"):
        panels.duel(explorer, (), lambda *_: None)
    monkeypatch.setattr(panels, "DUEL_BYTES", 1000)
    with pytest.raises(ValueError, match="narrower tails or a smaller d"):
        panels.duel(explorer, (1000, 5000), lambda *_: None)


def test_a_button_that_can_be_pressed_starts_its_job():
    """The moment it says so, no other job is in the way."""
    panel, free = parts.Panel(), []
    job = parts.Job(panel, "Go", lambda tick: None)
    job.start.observe(
        lambda change: change["new"] or free.append(not parts.Job._running.locked()), "disabled"
    )  # fmt: skip
    panel.box(job.row)
    for _ in range(3):
        job.start.click()
        job.thread.join(10)
    assert free == [True] * 3


def test_a_job_stops_fails_and_runs_alone():
    panel = parts.Panel()
    go_on, inside = threading.Event(), threading.Event()

    def work(tick):
        tick(0.5, "half")
        inside.set()
        while not go_on.wait(0.01):
            tick(0.6, "more")
        raise RuntimeError("it\nbroke")

    job, other = parts.Job(panel, "Go", work), parts.Job(panel, "Go too", work)
    box = panel.box(job.row, other.row, job.line)
    job.start.click()
    assert inside.wait(30) and job.bar.value == 0.5
    other.start.click()
    assert "another measurement is running" in problem(box)
    job.stop.click()
    job.thread.join(30)
    assert "Stopped" in said(box) and job.stop.disabled and not job.start.disabled
    assert problem(box) == ""  # no other is running any more
    go_on.set()
    other.start.click()
    other.thread.join(30)
    assert "RuntimeError: it broke" in problem(box)
    go_on.clear()
    job.start.click()
    job.bar.close()  # its cell was run again
    job.thread.join(30)
    assert not job.thread.is_alive()


# ---- checks


@pytest.mark.parametrize("key", QUESTIONS)
def test_every_question_knows_its_answer_and_three_mistakes(key):
    question = QUESTIONS[key]
    expected = question.expected()
    assert grade(key, expected).status == "correct"
    assert grade(key, f"{expected:,.2f}").status == "correct"
    assert grade(key, None).status == grade(key, "no idea").status == grade(key, " ").status == "missing"
    assert len(question.wrong) >= 3
    for hint, wrong in question.wrong.items():
        verdict = grade(key, wrong())
        assert verdict.status == "keep working" and verdict.hint == hint
    if question.tolerance:
        assert grade(key, expected * (1 + 2 * question.tolerance)).status in ("almost", "keep working")
    assert grade(key, expected * 50 + 7).status == "keep working"


def test_numbers_as_they_are_shown():
    assert [number_text(x) for x in (98.0, 164_444_160, 8.8, 0.3, 1e20, -5)] == [
        "98", "164,444,160", "8.8", "0.3", "1e+20", "-5",
    ]  # fmt: skip


def test_right_digits_in_the_wrong_unit_are_told():
    assert "1,000 times too large" in grade("typical error", "20 000").hint
    assert "10,000 times too small" in grade("tail share", 0.00213839).hint


@pytest.mark.parametrize(
    "answer, status, hint",
    [(32, "correct", "512 / 4 / 4"), (32.01, "almost", "Within reach"), (35.1, "almost", "Within reach"),
     (28.9, "almost", "Within reach"), (35.3, "keep working", "Too large."), (28.7, "keep working", "Too small."),
     (45, "keep working", "Too large."), (20, "keep working", "Too small."), (-32, "keep working", "Too small."),
     (320, "keep working", "10 times too large"), (0.32, "keep working", "100 times too small")],
)  # fmt: skip
def test_how_far_off_an_answer_is(answer, status, hint):
    """32 is asked for, with no tolerance: a tenth is "almost"; beyond it, the direction is told."""
    verdict = grade("tail width", answer)
    assert verdict.status == status and hint in verdict.hint


@pytest.mark.parametrize(
    "factor, says",
    [(1, "close"), (1.24, "close"), (1 / 1.24, "close"), (1.26, "a factor 1.3 off"), (1 / 1.26, "a factor 1.3 off"),
     (10, "a factor 10.0 off"), (0.1, "a factor 10.0 off"), (-1, "far off")],
)  # fmt: skip
def test_how_far_off_a_guess_is(factor, says):
    explorer = Explorer("en", cost=COUNTED_MULTIPLICATIONS)
    (entry,) = every(predict("coverage 95", explorer), AnswerBox)
    entry.submit(repr(16_300 * factor))
    assert entry.verdict.endswith(f"it is <b>16,300 words</b>: {says}.")


def test_the_gain_in_words(explorer):
    assert explorer.speedup > 2
    assert f", {explorer.speedup:,.1f} times less than the full softmax's" in f.cut_sentence(explorer)
    assert f"{f.seconds_text(explorer.prediction.seconds)}, " in f.cut_sentence(explorer)
    explorer.in_features, explorer.batch, explorer.cutoffs = 4, 4, (19_990, 19_995)  # two tails for nothing
    assert explorer.speedup < 1
    assert f", {1 / explorer.speedup:,.1f} times MORE than the full softmax's" in f.cut_sentence(explorer)


def test_shares_are_told_in_percent():
    told = {0.2139: "21.4 %", 0.01: "1.0 %", 0.0099: "0.99 %", 0.0: "0.0 %", 1.0: "100.0 %", 0.9996: "99.960 %",
            0.999999: "nearly 100 %"}  # fmt: skip
    assert {share: f.percent(share) for share in told} == told
    assert [f.seconds_text(s) for s in (1.25, 0.0345, 5.6e-4, 5.6e-5)] == ["1.2 s", "34.5 ms", "0.56 ms", "56 µs"]


def test_ask_shows_the_verdict():
    box = ask("tail width")
    box.submit("")
    assert "missing" in box.verdict
    box._handle_custom_msg({"answer": "128"}, [])  # as the browser does
    assert "keep working" in box.verdict and "tail 1" in box.verdict and box.answer == "128"
    box.submit("32")
    assert "correct" in box.verdict and "Expected: 32." in box.verdict
    box.submit("<b>7")
    assert "<b>7" not in box.verdict


FIRST = ["half", "speedup", "coverage 95", "finnish", "best cut", "second cutoff"]


@pytest.mark.parametrize("key", FIRST)  # the later lessons' have explorers and tests of their own
def test_predictions_reveal_only_after_a_guess(key):
    explorer = Explorer("en", cost=COUNTED_MULTIPLICATIONS)
    box = predict(key, explorer, then=lambda: w.Label("the panel"))
    (entry,) = every(box, AnswerBox)
    entry.submit("no idea")
    assert "missing" in entry.verdict and not every(box, w.Label)
    entry.submit("12")
    entry.submit("12")
    assert "You said <b>12</b>" in entry.verdict and len(every(box, w.Label)) == 1


def test_a_question_follows_the_sizes_until_the_guess_is_committed():
    explorer = TimingExplorer(Vocabulary.synthetic(3000), cost=COUNTED_MULTIPLICATIONS, batch=64, in_features=32)
    (entry,) = every(predict("best number", explorer), AnswerBox)
    assert "3,000 words, B = 64" in entry.question
    explorer.batch = 128
    assert "3,000 words, B = 128" in entry.question
    entry.submit("4")
    explorer.batch = 256
    assert "B = 128" in entry.question
    entry.submit("4")  # committed again: it asks for what it answers
    assert "B = 256" in entry.question


def test_a_prediction_that_fails_says_so(explorer):
    box = predict("speedup", explorer, then=lambda: 1 / 0)
    (entry,) = every(box, AnswerBox)
    entry.submit("12")
    assert "ZeroDivisionError" in entry.verdict
