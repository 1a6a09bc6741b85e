"""The state that all panels share, and what of it is kept over a restart."""

import json
import tempfile
import threading
import time

import numpy as np
import pytest
import traitlets
from hypothesis import assume, example, given
from hypothesis import strategies as st
from panels import every, named, problem, upload

from adasoft import Vocabulary, plan
from adasoft.cost import Cost
from adasoft.lessons import COUNTED_MULTIPLICATIONS, COUNTED_WORDS, ClustersExplorer, Explorer
from adasoft.lessons.clusters import panels as cluster_panels
from adasoft.lessons.kit import cuts
from adasoft.lessons.kit.costs import cost_named, measured_cost
from adasoft.lessons.kit.cut_widget import CutWidget
from adasoft.lessons.kit.explorer import LIVE, WIDTH_RULES
from adasoft.lessons.kit.languages import load_language
from adasoft.lessons.time_model.explorer import TimingExplorer
from adasoft.lessons.words.machine import machine_panel
from adasoft.lessons.words.own_text import own_text_panel


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
    with pytest.raises(ValueError, match="c2 should be from 1,001 to 19,999 here, got 900"):
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


def test_more_cutoffs_go_where_the_widest_tail_is(explorer):
    explorer.cutoffs = (400, 4000, 15_000)
    explorer.set_n_tails(5)
    assert explorer.cutoffs == (400, 1265, 4000, 7746, 15_000)
    explorer.set_n_tails(1)
    assert explorer.cutoffs == (400,)


def test_fewer_words_only_hide_cutoffs(explorer, cache, capsys):
    few, many = Vocabulary.synthetic(900, name="few"), explorer.vocabulary
    explorer.vocabulary = few
    assert explorer.cutoffs == (30,)
    explorer.vocabulary = Vocabulary.synthetic(4000, name="some")
    assert explorer.cutoffs == (1000,)
    explorer.vocabulary = many
    assert explorer.cutoffs == (1000, 5000)
    explorer.vocabulary = few
    explorer.cutoffs = (40,)  # what is chosen then is chosen
    explorer.vocabulary = many
    assert explorer.cutoffs == (40,)
    explorer.vocabulary = few
    explorer.reset()
    explorer.vocabulary = many
    assert explorer.cutoffs == (1000, 5000)
    # over a restart, too
    first = TimingExplorer(lesson="a", cutoffs=(1000, 9000), n_words=20_000)
    first.cutoffs = (1200, 5000)
    first.n_words = 900
    first._choices.flush()
    LIVE.clear()
    second = TimingExplorer(lesson="a", cutoffs=(1000, 9000), n_words=20_000)
    assert second.cutoffs == (30,) and "cutoffs 30" in capsys.readouterr().out
    second.n_words = 20_000
    assert second.cutoffs == (1200, 5000)
    second.n_words = 900
    second.start_over()
    assert second.cutoffs == (1000, 9000)


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
    box = cuts.cut_panel(explorer)
    (widget,) = every(box, CutWidget)
    (names,) = [[value for value, _ in c["options"]] for c in widget.choices if c["key"] == "cost"]
    (name,) = [x for x in names if "H200, bfloat16" in x]
    assert name.startswith("recorded machine: ")
    widget._handle_custom_msg({"kind": "choose", "key": "cost", "value": name}, [])  # as the browser does
    assert explorer.cost.name == name and explorer.cost.on_gpu
    assert cost_named(name).name == name


def test_a_plan_from_no_cutoffs_places_one(explorer):
    box = cuts.cut_panel(explorer)
    (widget,) = every(box, CutWidget)
    explorer.cutoffs = ()
    widget._handle_custom_msg({"kind": "press", "key": "plan"}, [])  # as the browser does
    assert explorer.cutoffs == explorer.plan_for_me(1).cutoffs and len(explorer.cutoffs) == 1


class OwnCost(Cost):
    """What a reader may write: it may never come back."""

    name, endless = "mine", False

    def product_time(self, k, rows, d, objective="train"):
        while self.endless:
            time.sleep(0.001)
        return 1e-6 * np.asarray(k)


def test_a_cost_model_of_the_readers_own():
    mine = OwnCost()
    explorer = Explorer(Vocabulary.synthetic(500), cost=mine, cutoffs=(50,))
    box = cuts.cut_panel(explorer)
    assert problem(box) == "" and explorer.plan_for_me().cutoffs
    mine.endless = True
    explorer.patience = 0.2
    started = time.monotonic()
    explorer.cutoffs = (60,)
    assert "did not come back within" in problem(box)
    explorer.cutoffs = (70,)
    assert "'mine' takes too long: choose another" in problem(box)
    assert time.monotonic() - started < 10
    explorer.cost = COUNTED_WORDS
    assert problem(box) == ""


def fresh(lesson, **more):
    """What a restarted kernel would make; the old one has written what it had to."""
    for live, _ in LIVE.values():
        live.close()
    return Explorer(lesson=lesson, **more)


def again(explorer, **more):
    """What a restarted kernel would make of it."""
    explorer._choices.flush()
    return fresh(explorer._lesson, **more)


def test_its_cell_run_again_is_the_same_object(cache):
    first = Explorer.for_lesson("a", cutoffs=(500,))
    box = cuts.cut_panel(first)
    first.cutoffs = (77,)
    assert Explorer.for_lesson("a", cutoffs=(500,)) is first and first.cutoffs == (77,)
    assert Explorer.for_lesson("b", cutoffs=(500,)) is not first
    assert Explorer(cutoffs=(500,)) is not Explorer(cutoffs=(500,))
    other = Explorer.for_lesson("a", cutoffs=(600,))  # with other arguments it is another one, and the old views end
    assert other is not first and box.comm is None and first._slots == {}
    assert other.cutoffs == (600,)  # and what it names holds


def test_what_another_notebook_chose_arrives_when_its_cell_is_run_again(cache):
    here, there = Explorer.for_lesson("a"), Explorer.for_lesson("b")  # in two kernels, for all they know
    here.batch, own = 99, Vocabulary([5, 4, 3], ["x", "y", "z"], name="tale")
    words = here.vocabulary
    assert Explorer.for_lesson("a") is here and here.vocabulary is words and here.batch == 99
    there.vocabulary = own
    there._choices.flush()
    redrawn = []
    here.observe(lambda _: redrawn.append(here.vocabulary.name), "version")
    assert Explorer.for_lesson("a").vocabulary.words == ("x", "y", "z") and redrawn == ["tale"] and here.batch == 99
    kept = here.vocabulary
    assert Explorer.for_lesson("a").vocabulary is kept  # nothing new, nothing read again
    there.forget()
    assert Explorer.for_lesson("a").vocabulary is words and here.batch == 2560


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
        "model counted: words scored; cutoffs 30, 400, 5,000. To go back, call start_over() on this explorer.\n"
    )
    second.reset()
    assert second.cutoffs == (2000, 10000)
    other = fresh("03")  # nothing of it is shared
    assert other.vocabulary.name == "English" and other.cutoffs == (2000,) and other.in_features == 512
    assert Explorer().vocabulary.name == "English"  # no lesson, nothing read
    first.cost = measured_cost()
    assert json.loads(first._choices.path.read_text())["entries"]["lesson 02 layer"]["cost"] == COUNTED_WORDS.name
    assert again(first).cost.name == measured_cost().name


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
    upload(own_text_panel(here), "tale.txt", b"the cat and the dog and a bird " * 9)
    assert again(here).vocabulary.name == "tale.txt"
    assert fresh("02").vocabulary.name == "tale.txt"  # own words, chosen after the language
    there = fresh("02")
    there.vocabulary = load_language("de")
    assert again(there).vocabulary.name == "German" and fresh("03").vocabulary.name == "tale.txt"
    named(own_text_panel(fresh("01")), "Back to English").click()
    assert [fresh(lesson).vocabulary.name for lesson in ("01", "02", "03")] == ["English"] * 3
    with pytest.raises(ValueError, match="should have words to be kept, 'counts' has counts only"):
        Explorer(Vocabulary([3, 2, 1])).use_in_all_lessons()


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
    upload(own_text_panel(explorer), "tale.txt", "Ein Märchen: the cat and the dog and a bird. ".encode() * 10)
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
    [
        (b"{", "not JSON"),
        (b"\xff\xfe\xff", "not JSON"),
        (b"[]", "should hold an object, got []"),
        (b"null", "got None"),
        (b"", "it is empty"),
        (b"\x00" * 2000, "it is empty"),
        (b'{"format": "other"}', "its format should be"),
        (b"[" * 100_000 + b"]" * 100_000, "not JSON"),
        (b'{"a":' * 200 + b"1" + b"}" * 200, "nested at most"),
        (b'{"format": "adasoft choices", "version": 9}', "version 1"),
        (entries_of(words=3), "entries.words should be"),
        (b'{"format": "adasoft choices", "version": 1}', "entries should be an object, got None"),
        (entries_of(words={"read": 1}).replace(b"1}}", b"1e999}}"), "finite"),
        (entries_of(words={"read": 1}).replace(b"1}}", b"1" * 500 + b"}}"), "finite"),
    ],
    ids=[
        "cut",
        "binary",
        "list",
        "null",
        "empty",
        "zeros",
        "other",
        "deep",
        "deeper",
        "version",
        "section",
        "none",
        "infinite",
        "long number",
    ],
)
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
    start = {name: repr(getattr(Explorer(), name)) for name in Explorer().kept_traits}
    for name in start:
        path.write_bytes(entries_of(**{"lesson a": {name: junk, "given": junk, "words": junk}}))
        LIVE.clear()
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
    path.write_bytes(entries_of(kept={"duel": junk, "guess half": junk, "steps": junk}))
    LIVE.clear()
    explorer = ClustersExplorer(lesson="a")
    box, out = cluster_panels.beat_the_planner(explorer), capsys.readouterr().out
    assert problem(box) == "" and explorer.recall("steps") == junk
    assert "duel should be an object, got" in out or "duel.batch is missing" in out
    assert explorer.recall("guess half", 1.0) in (1.0, -1, 0, 1.5, 10**290)


def test_damaged_words_are_named_and_replaced(cache, capsys):
    explorer = Explorer(lesson="01")
    explorer.vocabulary = Vocabulary([5, 4, 3], ["x", "y", "z"], name="tale")
    explorer._choices.flush()
    path = explorer._choices._words_path
    good = json.loads(path.read_text())
    assert good == {"name": "tale", "words": ["x", "y", "z"], "counts": [5, 4, 3]}
    bad = {
        "name": [None, 3],
        "words": [None, 3, ["x", "y"], ["x", "y", 3], ["x", "x", "z"]],
        "counts": [None, "5", [5, 4], [5, 4, "3"], [5, 4, True], [5, 4, -3], [5, 4, 10**40], [[5], 4, 3]],
    }
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
    for box in (machine_panel(explorer), cuts.cut_panel(explorer)):
        assert problem(box) == ""
    assert capsys.readouterr().out.count("mine.json") == 1
    explorer.cost = COUNTED_WORDS
    assert again(explorer).cost is COUNTED_WORDS


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
        upload(own_text_panel(explorer), "tale.txt", b"the cat and the dog and a bird " * 9)
    explorer._choices.flush()


@pytest.mark.parametrize("where", ["cache", "cache/lessons"])
def test_an_unwritable_cache_is_said_once_and_the_lesson_goes_on(cache, capsys, where):
    in_the_way(cache.parent / where)
    failed = []
    threading.excepthook, before = lambda args: failed.append(args.exc_value), threading.excepthook
    try:
        explorer = Explorer.for_lesson("01")
        out = capsys.readouterr().out
        assert out.count("\n") == 1 and "not kept" in out and "ADASOFT_CACHE" in out and str(cache) in out
        choose_all(explorer)
        time.sleep(0.02)
        words = explorer.vocabulary
        assert Explorer.for_lesson("01") is explorer  # its cell run again
        assert explorer.vocabulary is words and explorer.batch == 77 and explorer.recall("steps") == 3
        with_others = Explorer.for_lesson("01", batch=5)
        assert with_others.batch == 5
        with_others.start_over()
        box = machine_panel(with_others)
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


def test_forget(cache):
    explorer = Explorer(lesson="a", cutoffs=(500,))
    upload(own_text_panel(explorer), "tale.txt", b"one two three two three three four " * 9)
    explorer.batch = 5
    explorer.remember("x", 1)
    explorer._choices.flush()
    box = machine_panel(explorer)
    named(box, "Forget my choices").click()
    assert problem(box) == "" and not list(cache.rglob("*own*")) and not list(cache.rglob("choices*"))
    assert explorer.vocabulary.name == "English" and explorer.cutoffs == (500,) and explorer.batch == 2560
    assert explorer.recall("x") is None and fresh("a").vocabulary.name == "English"
