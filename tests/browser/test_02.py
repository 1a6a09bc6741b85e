"""Lesson 02 in a real JupyterLab: areas, swap, cut panel, tails and width, the game; and what its scripts compute."""

import random
import statistics

import numpy as np
from browser.gestures import (
    BROWSER,
    check,
    commit,
    drag,
    drawn,
    empty_frame,
    every_control_was_used,
    finish,
    frame_latency,
    holds,
    move_cutoff_every_way,
    opened,
    overlapping,
    press,
    settings_open,
    settled,
    slid,
    typed,
    until,
    value,
)
from browser.labdriver import browser_page

from adasoft import Vocabulary
from adasoft.lessons.clusters.widgets import HERE
from adasoft.lessons.kit.browser_data import cost_data, text_data
from adasoft.lessons.kit.costs import COUNTED_MULTIPLICATIONS, recorded_costs
from adasoft.lessons.kit.languages import load_language
from adasoft.lessons.kit.static_files import script
from adasoft.planning import default_widths

pytestmark = BROWSER


def module(page, *names):
    """A script of the lesson as plain functions of the page."""
    page.set_content("<p></p>")
    source = script(*names).replace("export default {render};", "").replace("export ", "")
    page.add_script_tag(content=source)


def test_areas_and_map_compute_what_python_computes():
    drawn_cases = random.Random(3)
    words, small = load_language("en"), Vocabulary(np.array([9, 5, 5, 2, 2, 1, 1]))
    cuts = [1, 2000, len(words) - 1, *(drawn_cases.randrange(1, len(words)) for _ in range(200))]
    costs = [COUNTED_MULTIPLICATIONS, *recorded_costs()]
    places = sorted({drawn_cases.randrange(1, len(words)) for _ in range(24)})
    with browser_page() as page:
        module(page, "cost.js", "dom.js", HERE / "areas.js")
        found = page.evaluate(
            "([text, cuts]) => { const words = makeWords(text); return cuts.map(k => scored(words, k).total); }",
            [text_data(words), cuts],
        )
        tiny = page.evaluate("text => scored(makeWords(text), 6).total", text_data(small))
    expected = [k + 1 + (1 - words.cumulative[k]) * (len(words) - k) for k in cuts]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert abs(tiny - (7 + 1 / 25)) < 1e-12
    with browser_page() as page:
        module(page, "cost.js", "dom.js", HERE / "game.js")
        for cost in costs:
            found = page.evaluate(
                """([text, cost, places]) => { const began = performance.now();
                const map = surface(makeWords(text), makeCost(cost), places, places, {d: 256, batch: 1024});
                return {values: [...map].map(v => Number.isFinite(v) ? v : null), ms: performance.now() - began}; }""",
                [text_data(words), cost_data(cost), places],
            )["values"]
            mass, n = words.cumulative, len(words)
            for i, second in enumerate(places):
                for j, first in enumerate(places):
                    if first >= second:
                        assert found[i * len(places) + j] is None
                        continue
                    shares = np.diff(mass[[first, second, n]])
                    made = cost.layer(n, [first, second], default_widths(256, 2, 4), shares, 256, 1024)
                    assert abs(found[i * len(places) + j] / made.seconds - 1) < 1e-9


def test_the_whole_map_is_computed_within_a_tenth_of_a_second():
    """As many places as the widest map has; printed, for other tests run beside this one."""
    places = [int(k) for k in np.unique(np.geomspace(100, 321_179, 200).round())]
    with browser_page() as page:
        module(page, "cost.js", "dom.js", HERE / "game.js")
        ms = page.evaluate(
            """([text, cost, places]) => { const words = makeWords(text), model = makeCost(cost), all = [];
            for (let i = 0; i < 9; i++) { const began = performance.now();
              surface(words, model, places, places, {d: 256, batch: 1024}); all.push(performance.now() - began); }
            return all; }""",
            [text_data(load_language("en")), cost_data(recorded_costs()[0]), places],
        )
    print(f"map of {len(places)} x {len(places)} places: median {statistics.median(ms):.1f} ms")
    assert statistics.median(ms) < 300


def pulled(page, node, dx, dy):
    """Drag a drawn thing by so many pixels."""
    node.scroll_into_view_if_needed()
    box = node.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(1, 6):
        page.mouse.move(x + dx * step / 5, y + dy * step / 5)
    page.mouse.up()


def agreed(notebook, output, good):
    """The cut once kernel and picture say the same: a drag goes on arriving after the mouse is up."""
    read = lambda: (value(notebook, "counting.cutoffs[0]"), output.locator(".result").inner_text())  # noqa: E731
    return until(read, lambda found: good(found[0]) and found[1].startswith(f"{found[0]:,} words in the head"))[0]


def areas_in_a_page(notebook, page):
    """The first picture, the guess, and the curve under the areas: both panels move together."""
    first = notebook.show_cell("area_panel(counting)")
    assert "scored per token" not in first.inner_text()  # the totals are to be guessed
    pulled(page, first.locator(".handle .knob"), 60, 0)
    moved = agreed(notebook, first, lambda c: c > 10_000)
    first.get_by_role("slider", name="the cut").press("PageDown")
    until(lambda: value(notebook, "counting.cutoffs[0]"), lambda c: c == round(0.8 * moved))
    first.get_by_role("button", name="Sweep the cut").click()
    first.get_by_role("button", name="Stop").click()
    for key, end in (("End", 321_179), ("Home", 1)):
        first.get_by_role("slider", name="the cut").press(key)
        holds(notebook, "counting.cutoffs[0]", end)
    assert first.locator(".result").inner_text().startswith("1 word in the head")
    box = first.get_by_role("textbox", name="words in the head", exact=True)
    for wrong in ("5000000", "-3", "2k", "abc"):
        box.fill(wrong)
        box.press("Enter")
        first.get_by_text("Type a whole number from 1 to 321,179.").wait_for()
        assert box.input_value() == wrong and value(notebook, "counting.cutoffs[0]") == 1
    box.fill("2,000")
    box.press("Enter")
    holds(notebook, "counting.cutoffs[0]", 2000)
    assert not first.get_by_text("Type a whole number").is_visible()
    at = first.locator(".handle .knob").bounding_box()["x"]
    first.get_by_role("button", name="Zoom in").click()
    until(lambda: first.locator(".handle .knob").bounding_box()["x"], lambda x: x > at + 10)
    first.get_by_role("slider", name="the cut").press("End")  # beyond what is zoomed in on: it waits at the edge
    first.get_by_text("cut after 321,179 words, beyond this edge").wait_for()
    for button in ("Show all words", "Zoom in"):  # the cut may also lie there before
        first.get_by_role("button", name=button).click()
    first.get_by_text("beyond this edge").wait_for()
    pulled(page, first.locator(".handle .knob"), -60, 0)  # and is dragged from there
    until(lambda: value(notebook, "counting.cutoffs[0]"), lambda c: 20_000 < c < 40_000)
    first.get_by_role("button", name="Show all words").click()
    began = value(notebook, "counting.cutoffs[0]")
    first.get_by_role("button", name="Sweep the cut").click()
    first.get_by_role("button", name="Stop").wait_for()
    first.get_by_role("button", name="Sweep the cut").wait_for()
    holds(notebook, "counting.cutoffs[0]", began)  # the sweep ends where it began
    box.fill("2,000")
    box.press("Enter")
    holds(notebook, "counting.cutoffs[0]", 2000)
    check(notebook.show_cell('ask("count by hand")'), "3,600", "not yet")

    two = notebook.show_cell('predict("best cut"')
    commit(two, "40000")
    two.get_by_text("70,254").wait_for()
    assert two.locator(".guessed").is_visible() and not two.locator(".star").is_visible()
    assert two.locator(".adasoft-areas").bounding_box()["height"] <= 620
    strokes = [two.locator(f".line.{name}").evaluate("e => getComputedStyle(e).stroke") for name in ("head", "tails")]
    assert "none" not in strokes and len(set(strokes)) == 2  # rising and falling, in the colours of their clusters
    pulled(page, two.locator(".you"), 60, 0)
    agreed(notebook, first, lambda c: c > 3000)
    two = notebook.show_cell('predict("best cut"')
    two.get_by_role("slider", name="the cut").press("ArrowRight")
    two.get_by_role("button", name="Sweep the cut").click()
    two.get_by_role("button", name="Stop").click()
    box = two.get_by_role("textbox", name="words in the head", exact=True)
    box.fill("15367")
    box.press("Enter")
    two.get_by_text("31,499").wait_for()
    two.get_by_role("button", name="Show the best cut").click()
    assert two.locator(".star").is_visible()
    ring, star = two.locator(".you").bounding_box(), two.locator(".star").bounding_box()
    assert abs(ring["x"] + ring["width"] / 2 - star["x"] - star["width"] / 2) < 2
    two.get_by_role("button", name="Hide the best cut").click()
    two.get_by_role("button", name="Zoom in").click()
    two.get_by_role("button", name="Show all words").click()
    assert overlapping(two.locator(".adasoft-areas")) == []


def the_swap(notebook, page):
    """Edges dragged and moved by key; both kinds of setting in which swapping changes nothing."""
    swap = notebook.show_cell('predict("swap"')
    commit(swap, "1500")
    result = swap.locator(".result")
    assert "Swapping saves 800 words per token" in until(result.inner_text, lambda t: "800" in t)
    assert swap.locator(".guessed").is_visible()
    swap.get_by_role("button", name="Swap the shares").click()
    until(result.inner_text, lambda t: "Swapping costs 800" in t)
    pulled(page, swap.get_by_role("slider", name="share of tail 1, in percent").locator(".knob"), 0, 12)
    until(result.inner_text, lambda t: "800" not in t)
    share = swap.get_by_role("slider", name="share of tail 1, in percent")
    other = swap.get_by_role("slider", name="share of tail 2, in percent")
    other.press("ArrowUp")
    other.press("ArrowDown")
    while int(share.get_attribute("aria-valuenow")) != 10:
        now = share.get_attribute("aria-valuenow")
        share.press("ArrowDown" if int(now) > 10 else "ArrowUp")
        until(lambda: share.get_attribute("aria-valuenow"), lambda v, now=now: v != now)
    swap.get_by_text("Found one kind (equal shares)").wait_for()
    first = swap.get_by_role("slider", name="words of tail 1")
    for key, at in (("PageUp", 3500), ("PageUp", 6000), ("PageUp", 8500), ("ArrowRight", 9000)):
        first.press(key)
        until(lambda: first.get_attribute("aria-valuenow"), lambda v, at=at: v == str(at))
    until(result.inner_text, lambda t: "the same number of words and the same share of the tokens" in t)
    page.wait_for_timeout(500)  # equal sizes alone are still to be found
    assert swap.get_by_text("Found one kind (equal shares)").is_visible()
    first.press("Home")
    share.press("ArrowDown")
    for key, end in (("End", "10000"), ("Home", "500")):
        first.press(key)
        until(lambda: first.get_attribute("aria-valuenow"), lambda v, end=end: v == end)
    for name, key, wanted in (("words of tail 1", "PageUp", 6000), ("words of tail 2", "PageDown", 6000)):
        edge = swap.get_by_role("slider", name=name)
        while int(edge.get_attribute("aria-valuenow")) != wanted:
            now = int(edge.get_attribute("aria-valuenow"))
            step = key if abs(now - wanted) >= 2500 else ("ArrowRight" if now < wanted else "ArrowLeft")
            edge.press(step)
            until(lambda edge=edge: edge.get_attribute("aria-valuenow"), lambda v, now=now: int(v) != now)
    swap.get_by_text("You found both kinds").wait_for()
    until(lambda: value(notebook, "counting.recall('swaps found')"), lambda v: sorted(v) == ["shares", "sizes"])
    check(notebook.show_cell('ask("swap saving")'), "1400", "correct", by_mouse_in=notebook)


def section_3(notebook, page):
    """The cut panel, every control of it."""
    cut = notebook.show_cell("cut_panel(layer")
    assert value(notebook, "len(layer.vocabulary)") > 300_000
    settled(notebook)
    for what, found in (
        ("key", frame_latency(cut, 1)),
        ("pointer", frame_latency(cut, 1, pointer=True)),
    ):
        median, empty = statistics.median(found), empty_frame(page)
        print(
            f"cut panel at V = 321,180, from {what} to painted frame: median {median:.0f} ms of {len(found)}, where an "
            f"empty frame takes {empty:.0f} ms (by way of the kernel it took 100 ms)"
        )
        # the printed median is the record; beside other tests even an empty frame may wait for a processor
        assert median < 100
    move_cutoff_every_way(notebook, cut, "layer", 1)
    box = cut.locator(".adasoft-cut").bounding_box()
    assert box["width"] <= 1000 and box["height"] <= 680, box
    slid(cut, "cutoff 1")
    typed(cut, "cutoff 1, words", "3000")
    holds(notebook, "layer.cutoffs[0]", 3000)
    said = cut.locator(".result").inner_text()
    drag(notebook, cut, 0, -40, lambda: until(cut.locator(".result").inner_text, lambda new: new != said))
    cut.get_by_role("combobox", name="number of cutoffs").select_option("5")
    until(lambda: cut.locator(".cluster").count(), lambda n: n == 6)
    assert overlapping(cut.locator(".adasoft-cut")) == []
    cut.get_by_role("combobox", name="number of cutoffs").select_option("0")
    holds(notebook, "layer.cutoffs", ())
    cut.get_by_text("a full softmax over all 321,180 words").first.wait_for()
    cut.get_by_role("combobox", name="number of cutoffs").select_option("3")
    holds(notebook, "len(layer.cutoffs)", 3)
    settings_open(cut)
    cut.get_by_role("combobox", name="width of the tails").select_option(index=2)
    until(lambda: value(notebook, "layer.widths"), lambda w: w == [512] * 3)
    cut.get_by_text("512 numbers each").nth(3).wait_for()
    cut.get_by_role("combobox", name="width of the tails").select_option(index=0)
    typed(cut, "hidden size d", "256")
    typed(cut, "tokens per step B", "1000")
    until(lambda: value(notebook, "(layer.in_features, layer.batch)"), lambda v: v == (256, 1000))
    cut.get_by_role("combobox", name="cost model").select_option(index=1)
    cut.get_by_text("per step").first.wait_for(state="attached")
    for button in ("The authors' cutoffs", "Plan for me", "Reset"):
        before = value(notebook, "layer.cutoffs")
        press(cut, button)
        until(lambda: value(notebook, "layer.cutoffs"), lambda c, before=before: c != before)
    assert value(notebook, "layer.cutoffs") == (2000, 10000)


def every_place_shown_counts(notebook, page, game):
    """A drag over the valley and on: the fastest allowed place that it showed is the reader's best."""
    knob = game.get_by_role("slider", name="cutoff 1")
    knob.scroll_into_view_if_needed()
    box = knob.locator(".knob").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    told, best = game.locator(".told p").nth(1), lambda text: text.partition("Your best so far: ")[2]
    page.mouse.move(x, y)
    page.mouse.down()
    shown = []
    for step in range(1, 31):
        page.mouse.move(x - 8 * step, y)
        page.wait_for_timeout(30)
        shown.append(told.inner_text())
    page.mouse.up()
    last = until(told.inner_text, lambda text: "Not allowed" in text)
    assert best(last) == best(shown[-1]) and len({best(text) for text in shown}) > 1
    at = [int(n.replace(",", "")) for n in best(last).rstrip(".").partition(" at ")[2].split(" and ")]
    until(lambda: value(notebook, "game.cutoffs"), lambda c: list(c) != at)  # it moved on


def the_game(notebook, page):
    """Dark until it is tried; the star last; measured as two bars."""
    game = notebook.show_cell("beat_the_planner(game)")
    star = game.locator(".adasoft-game .star")
    assert value(notebook, "game.cutoffs") == (40_000, 120_000) and not star.is_visible()
    pulled(page, game.locator(".adasoft-game .you"), -60, 20)
    c1, c2 = until(lambda: value(notebook, "game.cutoffs"), lambda c: c[0] < 20_000 and c[1] < 110_000)
    for i, was in ((1, c1), (2, c2)):
        game.get_by_role("slider", name=f"cutoff {i}").press("PageDown")
        until(lambda i=i: value(notebook, f"game.cutoffs[{i - 1}]"), lambda c, was=was: c < was)
    until(lambda: game.locator(".adasoft-game .place").count(), lambda n: n >= 3)
    every_place_shown_counts(notebook, page, game)
    field = game.locator(".adasoft-game .field")
    wide, high = (field.bounding_box()[side] for side in ("width", "height"))
    field.click(position={"x": 0.45 * wide, "y": 0.25 * high})  # a click brings the ring there
    at = until(lambda: value(notebook, "game.cutoffs"), lambda c: 1500 < c[0] < 9000 and 20_000 < c[1] < 90_000)
    until(lambda: value(notebook, "game.kept_trail()[-1]"), lambda place: tuple(place) == tuple(at))
    field.click(position={"x": 0.4 * wide, "y": 0.3 * high})
    until(lambda: value(notebook, "game.cutoffs"), lambda c: tuple(c) != tuple(at))
    press(game, "Compare with the planner")
    game.get_by_text("of the planner").or_(game.get_by_text("The planner is")).first.wait_for()
    assert star.is_visible() and overlapping(game.locator(".adasoft-game .map")) == []
    press(game, "Measure both")
    game.get_by_text("measured here").wait_for(timeout=120_000)
    drawn(notebook, game)
    # without an end, so that the stop cannot come too late
    notebook.evaluate(
        "vars(__import__('sys').modules['adasoft.lessons.clusters.duel']).update(_ROUNDS=10**6, DUEL_SECONDS=600)"
    )
    press(game, "Measure both")
    press(game, "Stop")
    game.get_by_text("Stopped.").wait_for(timeout=60_000)
    press(game, "Play again")
    holds(notebook, "game.cutoffs", (40_000, 120_000))
    until(star.is_visible, lambda seen: not seen)
    assert not game.get_by_text("measured here").is_visible() and not game.locator(".js-plotly-plot").is_visible()
    longest = max(b.bounding_box()["width"] for b in game.locator(".told .bar.c0").all())
    assert longest < 0.9 * game.locator(".told").bounding_box()["width"]  # the tails have their place


def test_02_clusters(lab, page, shots):
    notebook = opened(page, lab, "02_clusters.ipynb")
    areas_in_a_page(notebook, page)
    the_swap(notebook, page)
    section_3(notebook, page)
    check(notebook.show_cell('ask("tail width")'), "256", "That is tail 1")
    check(notebook.show_cell('ask("tail token")'), "1.28e6", "The projection from d")
    notebook.show_cell('check("multiplications"').get_by_text("missing").wait_for()
    check(notebook.show_cell('ask("fixed costs")'), "1.8", "correct")
    tails = notebook.show_cell('predict("second cutoff"')
    commit(tails, "2")
    drawn(notebook, tails)
    drawn(notebook, notebook.show_cell("front_panel(layer)"))
    the_game(notebook, page)
    # the cell that makes the explorer, run again alone: the panels of the other cells stay linked to it
    assert notebook.run_cell("layer = ClustersExplorer.for_lesson("), notebook.errors()
    typed(notebook.show_cell("cut_panel(layer"), "cutoff 2, words", "12345")
    holds(notebook, "layer.cutoffs[1]", 12345)
    cells = [
        "area_panel(counting)",
        'predict("best cut"',
        'predict("swap"',
        "cut_panel(layer",
        'predict("second cutoff"',
        "front_panel(layer)",
        "beat_the_planner(game)",
    ]
    every_control_was_used(notebook)
    finish(notebook, lab, shots, "02", cells)
