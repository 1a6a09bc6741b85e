"""The first two lessons: this machine, how unequal words are, the reader's own text. No browser."""

import re
import threading
import time

import ipywidgets as w
import numpy as np
import pytest
from panels import every, finished, named, press, problem, said, upload

import adasoft
from adasoft import MeasuredCost, Vocabulary
from adasoft.files import checksum
from adasoft.lessons import Explorer, check, predict
from adasoft.lessons.kit import parts
from adasoft.lessons.kit.costs import recorded_costs
from adasoft.lessons.kit.grading import grade
from adasoft.lessons.kit.languages import load_language
from adasoft.lessons.words import figures as word_figures
from adasoft.lessons.words import machine, own_text
from adasoft.lessons.words import panels as word_panels
from adasoft.lessons.words.paper import PAPER_SPEEDUP, steps, steps_figure, steps_sentence
from adasoft.lessons.words.passages import ARTICLE_1, passages, pieces
from adasoft.lessons.words.widgets import PathBox, Reading
from adasoft.records import cached_records, cpu_name, read_record, shipped_records
from adasoft.vocabulary import comparable


def test_without_any_record_costs_are_counted(monkeypatch, tmp_path):
    monkeypatch.setenv("ADASOFT_CACHE", str(tmp_path))
    monkeypatch.setattr("adasoft.records.shipped_records", list)
    explorer = Explorer(Vocabulary.synthetic(100))
    assert explorer.counted
    assert "none yet" in said(machine.machine_panel(explorer))


def test_a_file_called_as_a_language_is_no_language(explorer):
    coverage, languages = word_panels.coverage_panel(explorer), word_panels.languages_panel(explorer)
    explorer.vocabulary = Vocabulary([5, 4, 3], ["x", "y", "z"], name="German")
    assert named(coverage, "language").value == ""
    (figure,) = every(languages, parts.LiveFigure)
    assert figure.data[0].name == "German" and len(figure.data[0].x) == 3 and figure.data[1].name == "English"
    named(coverage, "language").value = "de"
    assert explorer.vocabulary is load_language("de") and figure.data[0].name == "English"


@pytest.mark.parametrize("writable", [False, True], ids=["a folder in the way", "not kept all the same"])
def test_a_machine_is_timed_where_nothing_can_be_kept(cache, explorer, cost, monkeypatch, writable):
    if not writable:
        cache.write_text("")  # a file where a folder should be

    def calibrate(device, *, seconds, progress, save):
        assert save is False  # the panel keeps it, once it is used
        return MeasuredCost(cost.coefficients, cost.flat, name="chip", record=None if writable else dict(RECORD))

    monkeypatch.setitem(adasoft.__dict__, "calibrate", calibrate)
    box = machine.machine_panel(explorer)
    press(box, "Time this machine")
    assert problem(box) == "" and explorer.cost.name == "this machine: chip"
    assert "until the kernel ends" in said(box) and "recorded machine" not in said(box)


RECORD = {
    "device": {"name": "chip <x>", "type": "cpu"},
    "threads": 2,
    "dtype": "float32",
    "date": "2026-01-02T",
    "torch": "2",
}


def timed(monkeypatch, error):
    """Timing this machine takes no time, and gives the recorded machine's times with such a median error."""
    recorded = read_record(next(path for path in shipped_records() if "cpu" in path.name))
    record = {**recorded.record, "device": {**recorded.record["device"], "name": cpu_name()}}
    record["errors"] = {**record["errors"], "train layers, not fitted": {"median": error}}
    del record["sha256"]
    record["sha256"] = checksum(record)

    def calibrate(device, *, seconds, progress, save):
        return MeasuredCost(recorded.coefficients, recorded.flat, name="chip", record=record)

    monkeypatch.setitem(adasoft.__dict__, "calibrate", calibrate)


def shown(button):
    return button.layout.display != "none"


def test_timings_that_fit_badly_are_used_only_if_the_reader_says_so(cache, explorer, monkeypatch):
    box, before = machine.machine_panel(explorer), explorer.cost
    assert not shown(named(box, "Use these timings all the same"))
    timed(monkeypatch, 0.66)
    press(box, "Time this machine")
    assert explorer.cost is before and "66.0 %, too much to trust" in said(box) and not cached_records()
    assert shown(named(box, "Use these timings all the same"))
    focused = []
    monkeypatch.setattr(w.Button, "focus", lambda button: focused.append(button.description))
    named(box, "Use these timings all the same").click()
    assert focused == ["Use the recorded machine"]  # the one that was pressed is gone
    assert explorer.cost.name.startswith("this machine") and len(cached_records()) == 1
    assert "too much to trust, time it again" in said(box)  # the card goes on saying it
    timed(monkeypatch, 0.08)
    press(box, "Time this machine")
    assert "too much to trust" not in said(box) and not shown(named(box, "Use these timings all the same"))


def test_the_way_back_to_the_recorded_machine(cache, explorer, monkeypatch):
    box = machine.machine_panel(explorer)
    assert not shown(named(box, "Use this machine"))
    timed(monkeypatch, 0.08)
    press(box, "Time this machine")
    named(box, "Use the recorded machine").click()
    assert explorer.cost.name.startswith("recorded machine") and "a recorded machine, not this one" in said(box)
    named(box, "Use this machine").click()
    assert explorer.cost.name.startswith("this machine") and problem(box) == ""
    later = Explorer("en", lesson="00")  # the choice is kept, too
    named(machine.machine_panel(later), "Use the recorded machine").click()
    later._choices.flush()
    assert Explorer("en", lesson="00").cost.name.startswith("recorded machine")


def test_a_guess_is_judged_by_the_timings_in_use(cache, monkeypatch):
    explorer = Explorer("en", cost=recorded_costs()[0])
    box = predict("speedup", explorer)
    box.children[0].submit("5")
    assert "it is <b>11.8 times</b>" in box.children[0].verdict
    explorer.cost = next(cost for cost in recorded_costs() if "H200" in cost.name and "float32" in cost.name)
    assert "with the timings used now, it is <b>9 times</b>" in box.children[0].verdict
    assert "Before, it was 11.8 times." in box.children[0].verdict
    assert explorer.recall("result speedup")["truth"] == pytest.approx(9.0, abs=0.01)  # the map's tick follows


def test_machine_panel_times_and_labels(explorer, cost, monkeypatch, tmp_path):
    box = machine.machine_panel(explorer)
    assert "made by hand" in said(box)
    record = {**RECORD, "errors": {"train layers, not fitted": {"median": 0.11}}}
    steps = []

    def calibrate(device, *, seconds, progress, save):
        progress(0.5, "half")
        steps.append((device, seconds, named(box, "Time this machine").disabled, named(box, "Stop").disabled))
        name, path = "this machine: chip", tmp_path / "record.json"
        new = MeasuredCost(cost.coefficients, cost.flat, name=name, record=record, path=path)
        monkeypatch.setattr(machine, "measured_cost", lambda: new)
        return new

    monkeypatch.setitem(adasoft.__dict__, "calibrate", calibrate)
    named(box, "how long to measure").value = 10.0
    press(box, "Time this machine")
    assert steps == [("cpu", 10.0, True, False)] and named(box, "Stop").disabled
    assert "Timed. All" in said(box) and "until the kernel ends" not in said(box)
    assert explorer.cost.name == "this machine: chip" and problem(box) == ""
    assert "chip <x>, 2 threads" in said(box) and "11.0 %" in said(box)
    used = re.compile('<th scope="row">timings used</th><td>([^<]*)</td>')
    assert used.findall(said(box)) == ["this machine"]

    def broken(*_, **__):
        raise RuntimeError("no\nway")

    monkeypatch.setitem(adasoft.__dict__, "calibrate", broken)
    press(box, "Time this machine")
    assert "RuntimeError: no way" in problem(box) and "Timed. All" not in said(box)

    def endless(*_, progress, **__):
        while True:
            progress(0.5, "on and on")

    monkeypatch.setitem(adasoft.__dict__, "calibrate", endless)
    named(box, "Time this machine").click()
    named(box, "Stop").click()
    finished(named(box, "Time this machine"), 10)
    assert "Stopped." in said(box) and explorer.cost.name == "this machine: chip"
    explorer.cost = recorded_costs()[0]
    assert used.findall(said(box)) == ["a recorded machine, not this one"]


def test_coverage_panel(explorer):
    box = word_panels.coverage_panel(explorer)
    (figure,) = every(box, parts.LiveFigure)
    number_box, slider = named(box, "share of the tokens, %"), every(box, parts.Slider)[0]
    number_box.value = 95.0
    assert figure.data[4].x[1] == explorer.vocabulary.words_for_share(0.95) and slider.value == 95.0
    slider.value = 50.0
    assert figure.data[4].x[1] == explorer.vocabulary.words_for_share(0.5) and number_box.value == 50.0
    assert named(box, "language").value == ""
    named(box, "language").value = "fr"
    assert explorer.vocabulary is load_language("fr") and "French" in said(box)


def test_the_paper_stands_at_its_2000_words():
    english = load_language("en")
    mark = word_figures.coverage_figure(english, 0.8).data[5]
    assert (mark.x[0], mark.y[0]) == (2000, 0.87) and "paper" in mark.name
    assert "cover 78.6 % of all tokens, and 85.1 % of those" in word_figures.penn_treebank_sentence(english)
    assert "Here" not in word_figures.penn_treebank_sentence(Vocabulary([3, 1]))


def test_laws_are_said_to_fail_in_frequency_and_in_coverage():
    zipf, mandelbrot = word_figures.fits_sentence(load_language("en")).split(" Zipf-Mandelbrot ")
    assert "in frequency: the first word gets 2.1 times its true one, the last 13 times" in zipf
    assert "In coverage it is furthest off at rank 11,684: 9.7 percentage points too little." in zipf
    assert "the first word gets 0.70 times its true one, the last 6.9 times" in mandelbrot
    assert "In coverage it is furthest off at rank 325: 4.8 percentage points too much." in mandelbrot


def test_fits_that_do_not_exist_are_said():
    law = Vocabulary(np.exp(-np.arange(60) / 3.0))  # exponential: Mandelbrot's shift runs away
    assert "no zipf-mandelbrot fit" in word_figures.fits_sentence(law)
    assert np.isnan(word_figures.coverage_figure(law, 0.8).data[2].y).all()


def test_a_share_is_shown_as_it_is_typed_and_slid(explorer):
    box = word_panels.coverage_panel(explorer)
    every(box, parts.Slider)[0].value = 80.10000000000001  # a step of 0.1 from 80
    assert named(box, "share of the tokens, %").value == 80.1


def test_own_text_is_offered_only_where_there_is_one(explorer):
    box = named(word_panels.coverage_panel(explorer), "language")
    assert box.options[-1] == ("synthetic", "") and box.value == ""
    explorer.vocabulary = load_language("fi")
    assert "" not in [code for _, code in box.options] and box.value == "fi"


def test_tooltips_speak_words():
    english = load_language("en")
    frequency, coverage = (word_figures.coverage_figure(english, 0.8).data[i] for i in (0, 3))
    assert frequency.text[0] == "the 1st word: “the”, once in 18 tokens"
    assert coverage.text[-1].startswith("up to the 321,180th word: “")
    assert all(t.hovertemplate == "%{text}<extra></extra>" for t in (frequency, coverage))
    for figure in (word_figures.coverage_figure(english, 0.8), word_figures.languages_figure([english])):
        assert all(t.hoverinfo == "skip" or t.hovertemplate for t in figure.data)
    assert word_figures.word_at(Vocabulary([2, 1]), 2) == "the 2nd word"
    assert word_figures.word_at(Vocabulary([2, 1], ["<b>", "x"]), 1) == "the 1st word: “&lt;b&gt;”"


@pytest.mark.parametrize(
    "n, text", [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (112, "112th"), (1021, "1,021st")]
)
def test_ordinals(n, text):
    assert word_figures.ordinal(n) == text


def test_words_at_ranks_are_listed(explorer):
    rows = word_figures.words_table(load_language("en"))
    assert rows[0][:2] == ["1", "the, to, and"] and [row[0] for row in rows][-1] == "200,000"
    assert word_figures.words_table(Vocabulary([2, 1])) == []
    explorer.vocabulary = load_language("en")
    assert "the, to, and" in said(word_panels.coverage_panel(explorer))


def test_guesses_are_marks_on_the_curves(explorer):
    explorer.vocabulary = load_language("en")
    explorer.remember("guess coverage 95", 5000.0)
    explorer.remember("guess finnish", 30_000.0)
    (figure,) = every(word_panels.coverage_panel(explorer), parts.LiveFigure)
    assert (figure.data[6].x[0], figure.data[6].y[0]) == (5000, 0.95)
    explorer.vocabulary = load_language("fi")  # the guess was about English
    assert np.isnan(figure.data[6].y[0])
    box = word_panels.languages_panel(explorer)
    (figure,) = every(box, parts.LiveFigure)
    assert (figure.data[6].x[0], figure.data[6].y[0]) == (30_000, 0.95)
    assert figure.data[6].name == "your guess, Finnish" and figure.data[6].showlegend
    named(box, "French").value = True  # another curve takes no guess away
    assert figure.data[6].x[0] == 30_000 and "Your guess" not in said(box)
    named(box, "Turkish").value = True  # all lists are cut, and the guess was about a whole one
    assert np.isnan(figure.data[6].y[0]) and not figure.data[6].showlegend
    assert "Your guess was about the whole list of Finnish, so it is not drawn." in said(box)
    named(box, "Turkish").value = False
    assert figure.data[6].x[0] == 30_000 and "Your guess" not in said(box)
    named(box, "Finnish").value = False
    explorer.vocabulary = Vocabulary([5, 4, 3], ["x", "y", "z"], name="Finnish")  # a file, and no language
    assert np.isnan(figure.data[6].y[0])
    assert np.isnan(figure.data[6].y[0]) and not figure.data[6].showlegend


def test_a_guess_of_half_is_drawn_on_the_words_it_was_made_for(explorer):
    explorer.vocabulary = load_language("en")
    box = predict("half", explorer, then=lambda: word_panels.half_panel(explorer))
    box.children[0].submit("50")
    assert "✕ your guess" in said(box)
    explorer.vocabulary = load_language("fi")
    assert "✕ your guess" not in said(box) and "Finnish: half of all tokens" in said(box)
    explorer.vocabulary = load_language("en")
    assert "✕ your guess" in said(box)


def test_the_sums_of_both_laws_are_drawn_in_coverage():
    english = load_language("en")
    data = word_figures.coverage_figure(english, 0.8).data
    zipf, ranks = data[8], np.asarray(data[3].x)
    assert [data[i].name for i in (8, 9)] == [data[i].name for i in (1, 2)] == ["Zipf", "Zipf-Mandelbrot"]
    assert [data[i].line.dash for i in (8, 9)] == [data[i].line.dash for i in (1, 2)]
    gap = np.asarray(data[3].y) - np.asarray(zipf.y)
    assert np.abs(gap).max() == pytest.approx(0.097, abs=0.002) and 9_000 < ranks[gap.argmax()] < 14_000
    assert zipf.y[-1] == pytest.approx(1)


def test_no_label_stands_in_a_plot_where_a_line_may_cross_it():
    english = load_language("en")
    for share in (0.8, 0.95, 1.0):
        figure = word_figures.coverage_figure(english, share, 50_000.0)
        assert all("text" not in (trace.mode or "") for trace in figure.data)
        names = [trace.name for trace in figure.data if trace.showlegend is not False]
        assert {"Penn Treebank (the paper)", "your guess for 95 %"} <= set(names) and all(names[1:])
        assert figure.layout.legend.orientation == "h" and figure.layout.legend.y < 0
        words = english.words_for_share(share)  # the share's mark is in both plots
        assert figure.data[4].x[1] == figure.data[7].x[0] == words
        assert figure.data[7].y[0] == english.shares[words - 1]
    assert not word_figures.coverage_figure(english, 0.8).data[6].showlegend
    beside = word_figures.languages_figure([Vocabulary([2, 1], name="own.txt"), english], ("English", 900.0))
    assert all("text" not in (trace.mode or "") for trace in beside.data) and beside.layout.legend.y < 0


def test_a_colour_stays_with_its_language():
    english, german, finnish = (load_language(code) for code in ("en", "de", "fi"))
    own = Vocabulary([2, 1], ["a", "b"], name="own.txt")

    def colours(*shown):
        return {t.name: (t.line.color, t.line.dash) for t in word_figures.languages_figure(shown).data if t.showlegend}

    first, second = colours(english, german, finnish), colours(own, finnish, english)
    assert first["English"] == second["English"] and first["Finnish"] == second["Finnish"]
    for vocabulary in (english, finnish):
        line = word_figures.coverage_figure(vocabulary, 0.8).data[3].line
        assert (line.color, line.dash) == first[vocabulary.name]
    every_line = [word_figures.line_of(Vocabulary([1], name=name)) for name in word_figures.LANGUAGES.values()]
    assert len({(line["color"], line["dash"]) for line in every_line}) == len(word_figures.LANGUAGES)


def test_the_readers_own_line_is_coloured_and_legible_on_both_themes():
    def light(color):
        channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        return sum(
            weight * (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4)
            for weight, c in zip((0.2126, 0.7152, 0.0722), channels, strict=True)
        )

    own = word_figures.line_of(Vocabulary([2, 1], name="own.txt"))["color"]
    assert own not in [word_figures.line_of(load_language(code))["color"] for code in ("en", "de", "fi")]
    for page in ("#ffffff", "#111111"):
        dark, bright = sorted([light(own), light(page)])
        assert (bright + 0.05) / (dark + 0.05) > 3


def test_half_of_a_text_as_words(explorer):
    english = load_language("en")
    shown = word_figures.half_html(english)
    assert shown.count("<span") == english.words_for_share(0.5) == 125 and ">the<" in shown and ">going<" in shown
    assert "✕ your guess" in word_figures.half_html(english, 50.0)
    assert word_figures.half_html(english, 300.0).count("<span") == 300
    assert word_figures.half_html(english, 400.0).count(">…</span>") == 1  # a word that nobody wants to meet here
    assert "40 times as long" in word_figures.half_sentence(english, 5000.0)
    far = word_figures.half_html(english, 3000.0)  # beyond the words that are shown, and drawn all the same
    assert far.count("<span") == 400 and far.endswith(
        '… 2,600 more … <b class="adasoft-mark">✕ your guess, 3,000 words</b></p>'
    )
    assert far.count("your guess") == 1 and word_figures.half_html(english, 0.5).count("your guess") == 1
    assert 'lang="fi"' in word_figures.half_html(load_language("fi"), None, "fi")
    assert word_figures.half_html(Vocabulary([2, 1])) == "" and "this word" in word_figures.half_sentence(
        Vocabulary([2, 1])
    )
    explorer.vocabulary = english
    explorer.remember("guess half", 5000.0)
    assert "these 125 words" in said(word_panels.half_panel(explorer))


def test_another_guess_leaves_the_mark_of_the_first(explorer):
    explorer.vocabulary = load_language("en")
    box = predict("half", explorer, then=lambda: word_panels.half_panel(explorer))
    box.children[0].submit("5000")
    assert "40 times as long" in said(box)
    box.children[0]._handle_custom_msg({"again": True}, [])
    box.children[0].submit("15")
    assert "This time you said" in box.children[0].verdict
    assert "✕ your guess" in said(box) and "40 times as long" in said(box)


# ---------------------------------------------------------------------- a text whose words appear by rank


def test_pieces_of_a_text():
    words = Vocabulary([9, 5, 2], ["the", "don't", "cat"])
    assert pieces("The cat, don’t purr", words) == [
        ("The", 1),
        (" ", -1),
        ("cat", 3),
        (", ", -1),
        ("don’t", 2),
        (" ", -1),
        ("purr", 0),
    ]
    assert pieces("", words) == [] and pieces("?", words) == [("?", -1)]


@pytest.mark.parametrize("code", word_figures.LANGUAGES)
def test_each_language_has_a_text_of_its_words(code):
    words = load_language(code)
    for text in passages(words, code):
        known = [rank > 0 for _, rank in text["pieces"] if rank >= 0]
        assert len(known) >= 15 and sum(known) >= 0.8 * len(known)
    assert (len(passages(words, code)) == 2) == (code == "en")
    assert code in ARTICLE_1 or code in ("ja", "zh")


def test_own_words_are_drawn_from_the_list():
    (text,) = passages(Vocabulary([30, 20, 1], ["a", "b", "c"]), None)
    assert {word for word, rank in text["pieces"] if rank > 0} <= {"a", "b", "c"}
    assert passages(Vocabulary([3, 2]), None)[0]["pieces"] == []  # counts alone


def test_reading_panel(explorer):
    explorer.vocabulary = load_language("en")
    box = word_panels.reading_panel(explorer)
    (reading,) = every(box, Reading)
    assert [text["name"] for text in reading.passages] == ["The librarian", "A human right"]
    reading._handle_custom_msg({"kind": "typed", "text": "An axolotl zzqqx"}, [])
    found = [rank > 0 for _, rank in reading.passages[2]["pieces"]]
    assert found == [True, False, True, False, False]
    named(box, "language").value = "fi"
    assert explorer.vocabulary is load_language("fi") and reading.text["name"] == "Finnish"
    assert "ihmiset" in [word for word, _ in reading.passages[0]["pieces"]] and reading.passages[1]["name"] == "Yours"


# ---------------------------------------------------------------------- the paper's gain


def test_the_papers_settings_one_by_one(cost):
    english = load_language("en")
    found = steps(english, cost)
    assert len(found) == 5 and all(step.speedup > 1 for step in found)
    assert steps_figure(found).data[0].x[-1] == pytest.approx(PAPER_SPEEDUP) == pytest.approx(0.8 / 0.33)
    assert "Words of English, predicted for made by hand." in steps_sentence(found, "English", cost, 1)
    with pytest.raises(ValueError, match="taken should be at least 1, got 0"):
        steps_sentence(found, "English", cost, 0)


@pytest.mark.parametrize("guess", [0.4, 2.0, 4.0, 11.8, 500.0])
def test_a_guess_stands_between_the_bars(guess):
    """The nearer the guess, the nearer its cross would come to the number it is compared with."""
    found = steps(load_language("en"), recorded_costs()[0])
    for taken in range(5):
        figure = steps_figure(found, taken, guess)
        bars, mark = figure.data
        half = bars.width / 2
        assert figure.layout.yaxis.ticktext[1].strip() == found[1].change
        assert all(abs(mark.y[0] - place) > half + 0.2 for place in bars.y) and 0 < mark.y[0] < 1
        # nothing to compare with before the tail is of full width
        assert np.isfinite(mark.x[0]) == (taken > 0)
        assert not taken or mark.x[0] <= figure.layout.xaxis.range[1]
        assert f"your guess: {guess:,.3g} times" in mark.text[0] and "guess" not in "".join(bars.text)


@pytest.mark.parametrize("cost", recorded_costs(), ids=lambda cost: cost.name)
def test_each_step_says_what_it_does_on_any_machine(cost):
    found = steps(load_language("en"), cost)
    for taken in range(1, 5):
        before, now = found[taken - 1].speedup, found[taken].speedup
        said_so = steps_sentence(found, "English", cost, taken)
        way = "stays" if f"{before:.1f}" == f"{now:.1f}" else "falls" if now < before else "rises"
        assert found[taken].why in said_so and f"The gain {way}" in said_so
    assert "the paper measured 2.4" in said_so


def test_paper_panel_follows_the_cost_model(explorer):
    box = word_panels.paper_panel(explorer)
    (figure,) = every(box, parts.LiveFigure)
    before = list(figure.data[0].x)
    explorer.cost = recorded_costs()[0]
    assert list(figure.data[0].x) != before and "predicted for recorded machine" in said(box) and problem(box) == ""


def test_the_papers_settings_are_taken_over_one_press_each(explorer):
    explorer.vocabulary = load_language("en")
    explorer.cost = recorded_costs()[0]
    explorer.remember("guess full width", 9.0)
    box = word_panels.paper_panel(explorer)
    (figure,) = every(box, parts.LiveFigure)
    button = every(box, w.Button)[0]
    # the first change is the answer to the guess, which is told already
    assert button.description == "Take over: 10,000 words" and named(box, "Start again").disabled
    assert figure.data[1].x[0] == 9.0 and "falls from 11.8 to 4.1 times" in said(box)
    for taken in range(1, 5):
        bars = np.asarray(figure.data[0].x, float)
        assert np.isfinite(bars).tolist() == [i <= taken for i in range(5)] + [True]
        if taken < 4:
            button.click()
    assert figure.data[1].x[0] == 9.0
    assert button.disabled and "the paper measured 2.4" in said(box) and "rises from 2.7 to 2.9" in said(box)
    named(box, "Start again").click()
    assert np.isfinite(np.asarray(figure.data[0].x, float)).sum() == 3 and not button.disabled


@pytest.mark.parametrize("panel", ["paper", "coverage", "languages"])
def test_lists_of_colours_and_patterns_reach_the_page(explorer, panel):
    """A list that is shorter than its trace leaves the rest black."""
    explorer.cost = recorded_costs()[0]
    box = getattr(word_panels, f"{panel}_panel")(explorer)
    (figure,) = every(box, parts.LiveFigure)
    for trace in figure.data:
        points = len(trace.x)
        marker = trace.marker.to_plotly_json()
        for value in (*marker.values(), marker.get("pattern", {}).get("shape")):
            if isinstance(value, (tuple, list, np.ndarray)):
                assert len(value) == points, (trace.name, value)
    if panel == "paper":
        bars = figure.data[0]
        assert len(set(bars.marker.color)) == 2 and list(bars.marker.pattern.shape) == [""] * 5 + ["/"]


# ---------------------------------------------------------------------- what the reader writes


def test_the_tail_is_not_computed_for_words_of_the_head():
    def softmax(z):
        return np.exp(z) / np.exp(z).sum()

    def always(word, h, head, P, W):
        both = np.concatenate([softmax(head @ h)[:-1], softmax(head @ h)[-1] * softmax(W @ (P @ h))])
        return both[word]

    def with_dot(word, h, head, P, W):
        tail, p_head = softmax(W.dot(P.dot(h))), softmax(head @ h)
        return p_head[word] if word < len(head) - 1 else p_head[-1] * tail[word - len(head) + 1]

    def lazily(word, h, head, P, W):
        p_head, n, _ = softmax(head @ h), len(head) - 1, len(W) + W.shape[1]
        return p_head[word] if word < n else p_head[-1] * softmax(W @ (P @ h))[word - n]

    for function in (always, with_dot):
        assert "computes the tail for words of the head, too" in check("probability", function).text
    assert check("probability", lazily).text.startswith("✓ correct")


def _through(text):
    """A function for the exercise of 00, its lines as a reader writes them."""
    room = {"np": np, "k_h": 2000, "d": 64}
    lines = "\n".join(f"    {line}" for line in text.splitlines())
    head = "softmax = lambda z: np.exp(z) / np.exp(z).sum()\n"
    exec(f"{head}def mine(word, h, head, P, W):\n{lines}\n", room)
    return check("probability", room["mine"]).text


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("p = softmax(head[:-1] @ h)\nk = len(p)\nreturn p[word] if word < k else p[-1] * t(word - k)", "last row"),
        ("p = softmax(head[:-1] @ h)\nk = len(p)\nreturn p[word] if word < k else p[k] * t(word - k)", "no entry"),
        ("p = softmax(head[:-1] @ h)\nk = len(p)\nreturn p[word] if word < k else t(word - k)", "together to 2"),
        ("s = head @ h\nk = len(s) - 1\nreturn s[word] if word < k else s[k] * u[word - k]", "Those are scores:"),
        ("s = head @ h\nk = len(s) - 1\nreturn s[word] if word < k else s[k] + u[word - k]", "added up"),
        ("s = head @ h\nk = len(s) - 1\nreturn s[word] if word < k else u[word - k]", "the scores themselves"),
        ("s = head @ h\nk = len(s) - 1\nreturn s[word] if word < k else s[k] * t(word - k)", "as the tail's do"),
    ],
)
def test_the_commonest_mistakes_are_told(lines, said):
    tail = "u = W @ (P @ h)\nt = lambda i: softmax(u)[i]\n"
    assert said in _through(tail + lines)


@pytest.mark.parametrize(
    "line",
    [
        "return p[word] if word < 2_000 else p[-1] * t(word - 2_000)",
        "return p[word] if word < len(head) - 1 else p[2_000] * t(word - len(head) + 1)",
    ],
)
def test_a_number_copied_from_another_cell_is_named(line):
    told = _through(f"p, t = softmax(head @ h), lambda i: softmax(W @ (P @ h))[i]\n{line}")
    assert "It holds 2,000, which is k_h in another cell of the notebook: compute what you need from" in told


def test_numbers_of_another_cell_are_named():
    room = {"np": np, "k_h": 2000}
    exec(
        "softmax = lambda z: np.exp(z) / np.exp(z).sum()\n"
        "def mine(word, h, head, P, W):\n"
        "    p = softmax(head @ h)\n"
        "    return p[word] if word < k_h else p[-1] * softmax(W @ (P @ h))[word - k_h]\n",
        room,
    )
    assert "It reads k_h from another cell" in check("probability", room["mine"]).text


def test_languages_panel(explorer):
    box = word_panels.languages_panel(explorer)
    (figure,) = every(box, parts.LiveFigure)
    assert [t.name for t in figure.data][:4] == ["synthetic", "English", "German", "Finnish"]
    for name, ticked in {"French": True, "English": False, "German": False, "Finnish": False}.items():
        named(box, name).value = ticked
    assert [t.name for t in figure.data][:3] == ["synthetic", "French", ""] and not figure.data[2].showlegend
    explorer.vocabulary = load_language("en")
    assert figure.data[0].name == "French" and "French needs" in said(box)
    named(box, "French").value = False
    assert "Choose at least one" in said(box)


def test_a_language_beyond_six_is_refused_by_name(explorer):
    explorer.vocabulary = load_language("en")
    box = word_panels.languages_panel(explorer)
    (figure,) = every(box, parts.LiveFigure)
    for name in ("French", "Spanish", "Italian"):
        named(box, name).value = True
    assert problem(box) == ""
    named(box, "Turkish").value = True
    assert "untick one first, then Turkish" in problem(box) and not named(box, "Turkish").value
    assert [t.name for t in figure.data][:6] == ["English", "German", "Finnish", "French", "Spanish", "Italian"]
    named(box, "Italian").value = False
    named(box, "Turkish").value = True
    assert [t.name for t in figure.data][5] == "Turkish" and problem(box) == ""
    explorer.vocabulary = Vocabulary([5, 4, 3], ["x", "y", "z"], name="own.txt")  # takes a place, too
    assert "untick one of the others to see Turkish" in problem(box) and figure.data[0].name == "own.txt"
    named(box, "German").value = False
    assert problem(box) == "" and [t.name for t in figure.data][5] == "Turkish"


def test_own_text(explorer, tmp_path):
    box = own_text.own_text_panel(explorer)
    upload(box, "tale.txt", b"The cat and the dog and the bird. " * 10)
    assert explorer.vocabulary.name == "tale.txt" and explorer.vocabulary.words[0] == "the" and problem(box) == ""
    assert max(explorer.cutoffs) < len(explorer.vocabulary)
    counts = tmp_path / "counts.tsv"
    counts.write_text("a\t5\nb\t0\nc\t7\nd\t1\n")
    (path,) = every(box, PathBox)
    path._handle_custom_msg({"kind": "enter", "value": str(counts)}, [])  # Enter does what the button does
    finished(named(box, "Read it"))
    assert explorer.vocabulary.words == ("c", "a", "d", "b")
    named(box, "Back to English").click()
    assert explorer.vocabulary is load_language("en")


def test_a_text_that_looks_like_counts(explorer, tmp_path):
    box = own_text.own_text_panel(explorer)
    path = tmp_path / "ranks.txt"
    path.write_text("one 1\ntwo 2\nthree 3\n")
    named(box, "or its path").value = str(path)
    for kind, words in (("", ("three", "two", "one")), ("counts", ("three", "two", "one"))):
        named(box, "read it as").value = kind
        press(box, "Read it")
        assert explorer.vocabulary.words == words
    named(box, "read it as").value = "text"
    press(box, "Read it")
    assert set(explorer.vocabulary.words) == {"one", "two", "three", "1", "2", "3"} and problem(box) == ""


def test_reading_can_be_stopped(explorer, monkeypatch, tmp_path):
    def endless(*_):
        while True:
            time.sleep(0.001)

    large = tmp_path / "large.txt"
    large.touch()
    before, read = explorer.vocabulary, threading.Event()
    monkeypatch.setattr(own_text, "read_words", lambda *_: read.set() or endless())
    box = own_text.own_text_panel(explorer)
    named(box, "or its path").value = str(large)
    named(box, "Read it").click()
    assert read.wait(10)
    named(box, "Stop").click()
    finished(named(box, "Read it"), 10)
    assert "Stopped." in said(box) and problem(box) == "" and explorer.vocabulary is before
    named(box, "or its path").value = " "
    press(box, "Read it")
    assert "type the path of a file" in problem(box)


def test_languages_are_compared_above_a_common_floor_which_is_said():
    english, turkish = load_language("en"), load_language("tr")
    together = comparable([english, turkish])
    said_so = word_figures.languages_sentence(together, cut=True)
    assert "English needs 9,866 words" in said_so and "rarer than one in 1,000,000 tokens are left out" in said_so
    alone = word_figures.languages_sentence([english, load_language("fi")])
    assert "down to one in 100,000,000 tokens count" in alone and "left out" not in alone


def test_how_many_times_as_many_words():
    few, many = Vocabulary([90] + [1] * 4, name="few"), Vocabulary([1] * 50_000, name="many")
    assert "many 47,500: 47,500 times as many." in word_figures.languages_sentence([few, many])
    even = Vocabulary([1] * 1000, name="even")
    assert "950 words and many 47,500: 50.0 times as many." in word_figures.languages_sentence([even, many])


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "should hold tokens, got none"),
        (b"\xff\xd8\x00binary\x00" * 9, "not read"),
        (b"one one one", "only 1 different word."),
        (b"a\t1\na\t2\nb\t3\n", "line 2"),
        (b"a\t0\nb\t0\nc\t0\n", "not read"),
        (b"the\t9\nof\tmany\nand\t3\nto\t2\n", "line 2"),
    ],
    ids=["empty", "binary", "one word", "twice", "all zero", "a bad line"],
)
def test_broken_files_say_the_way_out_and_change_nothing(explorer, content, reason):
    before = explorer.vocabulary
    box = own_text.own_text_panel(explorer)
    upload(box, "bad.txt", content)
    assert reason in problem(box) and "What works" in problem(box) and "/dropped" not in problem(box)
    assert "?." not in problem(box) and ".." not in problem(box)
    assert explorer.vocabulary is before


def test_a_path_that_is_not_there(explorer, tmp_path):
    box = own_text.own_text_panel(explorer)
    upload(box, "tale.txt", b"The cat and the dog and the bird. " * 10)
    assert "Read tale.txt" in said(box)
    named(box, "or its path").value = str(tmp_path / "none.txt")
    press(box, "Read it")
    assert f"there is no file {tmp_path / 'none.txt'}; paths begin in" in problem(box)
    assert "Read tale.txt" not in said(box)  # it spoke of the file before


def test_own_text_is_drawn_beside_english(explorer):
    box = own_text.own_text_panel(explorer)
    explorer.vocabulary = load_language("en")
    beside = every(box, parts.LiveFigure)[0]
    upload(box, "tale.txt", b"The axolotl saw the dog, and the axolotl didn\xe2\x80\x99t mind. " * 10)
    assert [t.name for t in beside.data][:2] == ["tale.txt", "English"] and "axolotl" in said(box)
    assert "didn't" in explorer.vocabulary.words and "," not in explorer.vocabulary.words  # as in the lists
    assert "80 % of the tokens of tale.txt are 5 different words; English as a whole needs 2,286" in said(box)
    for _ in range(2):  # a button that is disabled by its own press would lose the focus
        named(box, "Back to English").click()
        assert explorer.vocabulary is load_language("en") and problem(box) == ""
        assert not named(box, "Back to English").disabled


def test_typical_words_are_those_that_a_text_has_more_of():
    own = Vocabulary({"the": 40, "softmax": 9, "of": 20, "rare": 1, "12": 50})
    words = Vocabulary({"the": 50, "of": 25, "and": 24, "softmax": 1})
    assert word_figures.typical_words(own, words) == ["softmax"]
    assert word_figures.typical_words(Vocabulary([3, 2]), words) == []


def test_one_is_singular():
    assert word_figures.many(1, "word") == "1 word" and word_figures.many(2000, "word") == "2,000 words"
    few = Vocabulary([90, 1, 1], name="few")
    assert "few needs 1 word for 95 %" in word_figures.languages_sentence([few])


@pytest.mark.parametrize("rounded", ["2", "2.0", "0.42 / 0.214", "1.96"])
def test_one_decimal_is_asked_for_and_a_rounded_share_told_so(rounded):
    assert "Take both heads with their decimal" in grade("finnish tail", rounded).hint
    assert grade("finnish tail", "1.9").status == grade("finnish tail", "40.6 / 21.4").status == "correct"


@pytest.mark.parametrize("code", ["de", "el", "fi"])
def test_an_answer_for_another_language_is_told_so(code):
    words = load_language(code)
    for key, answer in (
        ("five points more", words.words_for_share(0.95) - words.words_for_share(0.9)),
        ("the tail", len(words) - words.words_for_share(0.99)),
    ):
        found = grade(key, str(answer))
        assert found.status == "not yet" and f"That is {words.name}, and the question is about English" in found.hint


@pytest.mark.parametrize("cut", [1_000, 4_000, 8_000])
def test_the_panel_may_stand_elsewhere_than_the_question(cut):
    """The answer that the panel shows at another cutoff is recognised as such."""
    shown = 100 * (1 - load_language("en").share_of_first(cut))
    assert (
        f"That is for a cutoff of about {cut:,}; the question is for 2,000" in grade("tail share", f"{shown:.1f}").hint
    )
    assert grade("tail share", "21.4 %").status == "correct"
