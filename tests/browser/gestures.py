"""Gestures that the browser tests of all notebooks share, and what must hold after each of them."""

import ast
import importlib.util
import os
import re
import statistics
import time

import pytest
from browser.labdriver import CHROMIUM, Notebook

_missing = [
    name
    for name, there in [
        ("playwright", importlib.util.find_spec("playwright")),
        ("jupyterlab", importlib.util.find_spec("jupyterlab")),
        ("axe-playwright-python", importlib.util.find_spec("axe_playwright_python")),
        ("a Chromium (set CHROMIUM to its path)", CHROMIUM),
    ]
    if not there
]
#: Every module of browser tests says ``pytestmark = BROWSER``.
BROWSER = [
    pytest.mark.browser,
    pytest.mark.skipif(bool(_missing), reason=f"not installed: {', '.join(_missing)}"),
]


_NAMED = """window.__named = e => e.tagName.toLowerCase() + ' ' + (e.getAttribute('aria-label')
  || e.labels?.[0]?.textContent || e.closest('.widget-inline-hbox, .widget-checkbox')?.textContent
  || e.textContent).trim();"""


def opened(page, lab, name):
    """The notebook, run from top to bottom; from then on the page notes which controls are used."""
    notebook = Notebook(page, *lab[:2], name)
    page.evaluate(
        f"""() => {{ {_NAMED} window.__used = new Set();
        const note = e => {{ const control = e.target.closest?.('button, input, select, [role=slider]');
          if (control?.closest('.jp-Cell-outputArea')) window.__used.add(window.__named(control)); }};
        for (const kind of ['click', 'input', 'change', 'pointerdown', 'keydown'])
          document.addEventListener(kind, note, true); }}"""
    )
    assert notebook.run_all(), notebook.errors()
    return notebook


def every_control_was_used(notebook):
    """Of the controls that are on the page now, none was left out by the gestures of the test.

    Those that every lesson has, to guess again and for its progress, have a test of their own (`test_answers`), and the
    way back to another machine has one in `test_words`. Pause is what Play is called while it plays.
    """
    left_out = notebook.page.evaluate(
        """() => { const controls = '.jp-Cell-outputArea :is(button, input, select, [role=slider])';
        const own = ['Guess again', 'Use this machine', 'Use the recorded machine', 'Pause'];
        const there = [...document.querySelectorAll(controls)]
          .filter(e => e.checkVisibility() && e.closest('.adasoft, .adasoft-answer'))
          .filter(e => !e.closest('.adasoft-progress') && !own.includes(e.textContent));
        return [...new Set(there.map(window.__named))].filter(name => !window.__used.has(name)); }"""
    )
    assert not left_out, f"never used: {'; '.join(left_out)}"


def finish(notebook, lab, shots, name, cells):
    """Both themes: accessible and legible; then nothing must have gone wrong anywhere.

    With ``ADASOFT_SCREENSHOTS`` set to a folder, pictures of the cells' outputs are left there for people to look at.
    """
    unfit = []
    for theme in ("light", "dark"):
        notebook.dark(theme == "dark")
        settled(notebook)
        unfit += [f"{theme}: {line}" for line in inaccessible(notebook) + illegible(notebook)]
        for i, source in enumerate(cells if os.environ.get("ADASOFT_SCREENSHOTS") else ()):
            output = notebook.show_cell(source)
            settled(notebook)
            output.screenshot(path=shots / f"{name}_{i}_{theme}.png")
    assert not unfit, "\n".join(dict.fromkeys(unfit))
    nothing_went_wrong(notebook, lab)
    pictures = notebook.page.locator(".jp-MarkdownOutput img")
    assert pictures.count() and all(
        pictures.nth(i).evaluate("async e => { await e.decode(); return e.naturalWidth; }")
        for i in range(pictures.count())
    )
    # drawn on white, they stand on the page's dark background there (the theme is dark since the loop above)
    stills = notebook.page.locator(".jp-MarkdownOutput img[src*='img/']")
    assert all("invert" in stills.nth(i).evaluate("e => getComputedStyle(e).filter") for i in range(stills.count()))
    notebook.close()


def nothing_went_wrong(notebook, lab):
    """No error in the kernel or on the page, no request beyond this machine by page, server or kernel, no notice."""
    problems = notebook.errors()
    assert not problems, "\n".join(problems)
    here = (lab[0], "data:", "blob:", lab[0].replace("http", "ws"))
    assert [u for u in notebook.page.requests_seen if not u.startswith(here)] == []
    assert asked_of_other_machines(lab) == []
    said = [m for m in notebook.page.console_seen if m[0] in ("error", "pageerror")]
    assert not said, said
    assert not notebook.page.locator(".legendtext, .hovertext", has_text="trace ").count()
    assert not notebook.page.locator(".Toastify__toast, .jp-Dialog").count()


def asked_of_other_machines(lab):
    """What JupyterLab's server and its kernels have tried to reach beyond this machine."""
    log = lab[4] / "foreign.log"
    return log.read_text().splitlines() if log.exists() else []


def illegible(notebook):
    """Text drawn as SVG with less contrast than 4.5 against the page; axe looks at HTML only."""
    return notebook.page.evaluate(
        """() => {
        const rgb = c => c.match(/[\\d.]+/g).map(Number);
        const light = c => { const [r, g, b] = c.map(v => v / 255)
          .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
          return .2126 * r + .7152 * g + .0722 * b; };
        const behind = rgb(getComputedStyle(document.querySelector('.jp-Notebook')).backgroundColor).slice(0, 3);
        const out = [];
        for (const e of document.querySelectorAll('.jp-Cell-outputArea svg text')) {
          const text = e.textContent.trim(), style = getComputedStyle(e);
          if (!text || !e.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
          let alpha = 1;
          for (let n = e; n instanceof SVGElement; n = n.parentElement) alpha *= Number(getComputedStyle(n).opacity);
          const [r, g, b, a] = rgb(style.fill);
          alpha *= (a ?? 1) * Number(style.fillOpacity);
          const seen = [r, g, b].map((v, i) => alpha * v + (1 - alpha) * behind[i]);
          const [x, y] = [light(seen), light(behind)].sort((p, q) => q - p), contrast = (x + .05) / (y + .05);
          if (contrast < 4.5) out.push(`contrast ${contrast.toFixed(1)} of the text ${text.slice(0, 60)}`);
        }
        return out; }"""
    )


def inaccessible(notebook):
    """What axe-core finds in the outputs that are on the page now: names, roles, contrast (WCAG 2.1 A and AA)."""
    from axe_playwright_python.base import AXE_FILE_PATH

    page = notebook.page
    if not page.evaluate("() => !!window.axe"):
        page.evaluate(AXE_FILE_PATH.read_text(encoding="utf-8"))
    found = page.evaluate(
        """async () => {
        const include = [...document.querySelectorAll('.jp-Cell-outputArea')].filter(e => e.checkVisibility());
        const run = {type: 'tag', values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa']};
        const found = await axe.run({include}, {runOnly: run, resultTypes: ['violations']});
        const controls = 'button, input, select, textarea, [role=slider]';
        const unreached = include.flatMap(e => [...e.querySelectorAll(controls)])
          .filter(e => e.checkVisibility() && e.tabIndex < 0).map(e => 'not reached by Tab: ' + e.outerHTML);
        return [...unreached, ...found.violations.flatMap(v => v.nodes.map(n =>
          v.id + ': ' + n.html.slice(0, 160) + ' | ' + (n.any[0] ?? n.all[0] ?? n.none[0])?.message))]; }"""
    )
    return found


def latency(output, handle, presses=21):
    """Milliseconds from key press on a cutoff's handle to the redrawn plots, one for each press."""
    if output.locator(".adasoft-cut").count():
        return frame_latency(output, handle, presses)
    output.first.evaluate(
        """(panel) => { let begun = null; window.__latency = [];
        panel.addEventListener('keydown', () => { begun = performance.now(); }, true);
        new MutationObserver(() => {
          const figures = [...panel.querySelectorAll('.adasoft-figure')];
          if (begun === null || figures.some(f => f.dataset.drawn !== f.dataset.wanted)) return;
          window.__latency.push(performance.now() - begun); begun = null;
        }).observe(panel, {subtree: true, attributes: true, attributeFilter: ['data-drawn']}); }"""
    )
    knob = output.locator(".adasoft-picker [role=slider]").nth(handle)
    knob.focus()
    for i in range(presses):
        knob.press("ArrowRight" if i % 2 else "ArrowLeft")
        output.page.wait_for_function("n => window.__latency.length > n", arg=i)
    return output.page.evaluate("() => window.__latency")


_FRAMES = """(panel) => { let begun = null; window.__frames = [];
    const note = event => { if (event.type === 'keydown' || event.buttons) begun ??= performance.now(); };
    for (const kind of ['keydown', 'pointermove']) panel.addEventListener(kind, note, true);
    new MutationObserver(() => { if (begun === null) return; const from = begun; begun = null;
      // drawn in an animation frame, so that a message comes after the paint
      const channel = new MessageChannel();
      channel.port1.onmessage = () => window.__frames.push(performance.now() - from);
      channel.port2.postMessage(0);
    }).observe(panel.querySelector('.you'), {attributes: true}); }"""


def frame_latency(output, handle, times=30, *, pointer=False):
    """Milliseconds from a key, or a move of the pointer, to the painted frame of the cut explorer."""
    knob, mouse = output.locator(f".adasoft-cut .handle[data-i='{handle}']"), output.page.mouse
    output.locator(".adasoft-cut").evaluate(_FRAMES)
    if pointer:
        knob.locator(".knob").hover()
        box = knob.locator(".knob").bounding_box()
        mouse.down()
    else:
        knob.focus()
    for i in range(times):
        if pointer:
            mouse.move(box["x"] + 8 + 3 * (i % 8 - 4), box["y"] + 8)
        else:
            knob.press("ArrowRight" if i % 2 else "ArrowLeft")
        output.page.wait_for_timeout(40)  # as a hand does; a second move within a frame is drawn with the first
    if pointer:
        mouse.up()
    found = output.page.evaluate("() => window.__frames")
    assert len(found) > 0.6 * times
    return found


def empty_frame(page, times=20):
    """Milliseconds that a frame with nothing to draw takes to be painted now, beside whatever else runs: median."""
    found = page.evaluate(
        """async times => { const spent = [];
        for (let i = 0; i < times; i++) { const from = performance.now();
          await new Promise(done => requestAnimationFrame(() => { const channel = new MessageChannel();
            channel.port1.onmessage = done; channel.port2.postMessage(0); }));
          spent.push(performance.now() - from);
          await new Promise(done => setTimeout(done, 40)); }
        return spent; }""",
        times,
    )
    return statistics.median(found)


def overlapping(figure):
    """Pairs of texts in its drawings that are printed over each other."""
    return figure.evaluate(
        """figure => { const texts = [...figure.querySelectorAll('svg text')].filter(e => e.textContent.trim()
          && e.checkVisibility({visibilityProperty: true})).map(e => [e.textContent, e.getBoundingClientRect()]);
        return texts.flatMap(([a, p], i) => texts.slice(i + 1).filter(([b, q]) =>
            Math.min(p.right, q.right) - Math.max(p.left, q.left) > 3
            && Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top) > 5).map(([b]) => `${a} | ${b}`)); }"""
    )


def restarted(notebook):
    """Restart the kernel and run all cells."""
    notebook.page.evaluate(
        "async () => { await window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart(); }"
    )
    assert notebook.run_all(), notebook.errors()


def typed(output, name, text, role="spinbutton"):
    """Fill a box and press Enter."""
    box = output.get_by_role(role, name=name, exact=True)
    box.fill(text)
    box.press("Enter")
    return box


def slid(output, name, key="ArrowRight"):
    """Press a key on a slider's handle, and wait until the box beside it has heard of it from the kernel.

    A number typed before that may be the one that is already in the box, and then nothing is sent.
    """
    handle = output.get_by_role("slider", name=name, exact=True).and_(output.locator("input"))
    beside = handle.locator("xpath=ancestor::*[contains(@class, 'widget-hbox')][1]").get_by_role("spinbutton")
    before = beside.input_value() if beside.count() == 1 else None
    handle.focus()
    handle.press(key)
    if before is not None:
        until(beside.input_value, lambda now: now != before)


def holds(notebook, expression, expected):
    """Wait until an expression has a value in the kernel."""
    return until(lambda: value(notebook, expression), lambda v: v == expected)


def ended(output, name, seconds=240):
    """Wait until a job that is known to have begun has ended: the button that starts it can be pressed again."""
    until(output.get_by_role("button", name=name, exact=True).is_enabled, bool, seconds)


def run_job(output, name, seconds=240):
    """Press the button of a job and wait until it has begun and ended, however short it is."""
    button = output.get_by_role("button", name=name, exact=True)
    button.evaluate(
        """b => { let was = b.disabled; b.ended = 0;
        new MutationObserver(() => { if (was && !b.disabled) b.ended++; was = b.disabled; })
          .observe(b, {attributes: true, attributeFilter: ['disabled']}); }"""
    )
    press(output, name)
    until(lambda: button.evaluate("b => b.ended > 0 && !b.disabled"), bool, seconds)


def focused(page):
    """What has the focus: its name, or its text."""
    return page.evaluate("() => { const e = document.activeElement; return e.ariaLabel ?? e.textContent.trim(); }")


def stopped_by_keyboard(output, name):
    """Start and stop a job that lasts with keys alone: the focus waits in its row, and comes back to the button."""
    button, page = output.get_by_role("button", name=name, exact=True), output.page
    button.focus()
    button.press("Enter")
    until(lambda: focused(page), lambda found: found == f"{name}: under way")
    page.keyboard.press("Enter")  # a second press does nothing: it neither stops the job nor edits the cell
    page.keyboard.press("Tab")
    assert focused(page) == "Stop"
    page.keyboard.press("Enter")
    ended(output, name)
    until(lambda: focused(page), lambda found: found == name)


def finite(output, trace, axis="y"):
    """How many points of a trace are drawn."""
    return output.locator(".js-plotly-plot").first.evaluate(
        f"g => Array.from(g.data[{trace}].{axis}).filter(Number.isFinite).length"
    )


def at_x(output, trace):
    """The x of a trace."""
    return output.locator(".js-plotly-plot").first.evaluate(f"g => Array.from(g.data[{trace}].x)")


def commit(output, guess):
    """Type a guess and press the button, by keyboard; wait for the answer."""
    box = output.get_by_role("textbox", name="your answer").first
    box.fill(guess)
    box.press("Tab")
    output.get_by_role("button", name="Commit").first.press("Enter")
    output.get_by_text("You said", exact=False).first.wait_for()


def check(output, answer, status, *, by_mouse_in=None):
    """Type an answer, give it by Enter or (in that notebook) by a click, and wait for the verdict."""
    box = output.get_by_role("textbox", name="your answer")
    box.fill(answer)
    if by_mouse_in:
        click(by_mouse_in, output, "Check")
    else:
        box.press("Enter")
    output.get_by_text(status, exact=False).first.wait_for()


def value(notebook, expression):
    return ast.literal_eval(notebook.evaluate(expression))


def dropped(output, name, content):
    """Drop a file on the place for it."""
    transfer = output.page.evaluate_handle(
        """([name, text]) => { const d = new DataTransfer();
        d.items.add(new File([text], name, {type: 'text/plain'})); return d; }""",
        [name, content],
    )
    output.locator(".adasoft-drop").dispatch_event("drop", {"dataTransfer": transfer})


def answer_by_keyboard(notebook, source, answer, said):
    """Nothing but keys: run the cell of a question, go back into it, answer, and leave it for the cell."""
    notebook.select(source)
    page, keys = notebook.page, notebook.page.keyboard
    page.evaluate("() => window.jupyterapp.shell.currentWidget.content.activate()")
    keys.press("Shift+Enter")
    page.wait_for_function("() => document.activeElement.matches('.jp-Cell')")
    output = notebook.page.locator(".jp-CodeCell", has=page.locator(".jp-InputArea", has_text=source))
    output.get_by_role("textbox", name="your answer").wait_for()
    for _ in range(3):
        if page.evaluate("() => document.activeElement.matches('.adasoft-answer input')"):
            break
        keys.press("Shift+Tab")
    keys.type(answer)
    keys.press("Enter")
    output.get_by_text(said, exact=False).first.wait_for()
    keys.press("Escape")
    assert page.evaluate(
        "source => document.activeElement.matches('.jp-Cell') && document.activeElement.textContent.includes(source)",
        source,
    )


def figure_y(output, trace):
    return output.locator(".js-plotly-plot").first.evaluate(f"g => Array.from(g.data[{trace}].y)")


def figure_version(output):
    """How many changes the figure has drawn."""
    return output.locator(".adasoft-figure").first.get_attribute("data-drawn")


def until(read, good, seconds=60):
    """Ask again until the answer is good."""
    end = time.monotonic() + seconds
    while not good(found := read()):
        if time.monotonic() > end:
            raise AssertionError(f"still {found!r}")
        time.sleep(0.02)
    return found


_SETTLED = """() => {
    const odd = [...document.querySelectorAll('.adasoft-figure')].flatMap(f => {
      if (!f.checkVisibility()) return [];     // in a panel that is closed: it is drawn when that opens
      const plot = f.querySelector('.js-plotly-plot'), {drawn, wanted} = f.dataset;
      // one that is scrolled out of sight hears of its width when it comes back
      const seen = plot?.checkVisibility({contentVisibilityAuto: true});
      const narrow = seen && Math.abs(plot._fullLayout.width - plot.clientWidth) >= 2;
      if (drawn !== undefined && drawn === wanted && !narrow) return [];
      return [{figure: f.firstChild?.ariaLabel, drawn, wanted, seen, room: f.firstChild?.clientWidth,
        width: plot?._fullLayout?.width}]; });
    const outputs = [...document.querySelectorAll('.jp-OutputArea-output, .adasoft-figure, .widget-box')];
    const now = [document.querySelector('.jp-WindowedPanel-outer')?.scrollTop, outputs.length,
      ...outputs.flatMap(o => { const r = o.getBoundingClientRect(); return [r.x, r.y, r.width, r.height]; })];
    const t = performance.now(), last = window.__still, at = last ? now.findIndex((v, i) => v !== last.now[i]) : 0;
    if (odd.length || at >= 0) {
      window.__unsettled = JSON.stringify({odd, moved: last && at >= 0 && [at, last.now[at], now[at]]});
      window.__still = {now, since: t};
      return false; }
    return t - last.since > 400; }"""


def settled(notebook):
    """Wait until every figure shows what it was last told, and nothing on the page has moved for a while."""
    from playwright.sync_api import TimeoutError as TooLong

    try:
        notebook.page.wait_for_function(_SETTLED, polling=50)
    except TooLong:
        raise AssertionError(f"not settled: {notebook.page.evaluate('() => window.__unsettled')}") from None


def drawn(notebook, output):
    """The output's figure is drawn, fills its cell and is not clipped."""
    output.locator(".js-plotly-plot .trace, .js-plotly-plot .xtick").first.wait_for(state="attached")
    settled(notebook)
    width, room = output.locator(".js-plotly-plot").first.evaluate(
        "g => [g._fullLayout.width, g.parentElement.clientWidth]"
    )
    assert abs(width - room) <= 2
    box = output.locator(".js-plotly-plot .main-svg").first.bounding_box()
    assert box["x"] + box["width"] <= output.bounding_box()["x"] + output.bounding_box()["width"] + 2


def drag(notebook, output, handle, by, during):
    """Drag a handle once nothing moves any more; ``during`` is called before the button is released."""
    knob = output.locator(":is(.adasoft-picker, .adasoft-cut) .knob").nth(handle)
    knob.scroll_into_view_if_needed()
    settled(notebook)
    knob.hover()
    box, mouse = knob.bounding_box(), output.page.mouse
    mouse.down()
    mouse.move(box["x"] + box["width"] / 2 + by, box["y"] + 12, steps=12)
    during()
    mouse.up()


def click(notebook, output, name):
    """Click a button with the mouse, once nothing moves any more."""
    button = output.get_by_role("button", name=name, exact=True)
    button.scroll_into_view_if_needed()
    settled(notebook)
    button.click()


def press(output, name):
    """Press a button by keyboard, once it may be pressed."""
    button = output.get_by_role("button", name=name, exact=True)
    until(button.is_enabled, bool)
    button.press("Enter")


def settings_open(output):
    """Unfold the settings of a cut explorer."""
    fold = output.locator(".adasoft-cut details.settings")
    if fold.get_attribute("open") is None:
        fold.locator("summary").press("Enter")


def plan_authors_reset(notebook, cuts, explorer):
    """The buttons and settings of a panel of cutoffs, and back to where it began."""
    press(cuts, "Plan for me")
    cuts.get_by_text(re.compile("^(Planned: |A full softmax is)")).wait_for()
    press(cuts, "The authors' cutoffs")
    cuts.get_by_text(re.compile("^(The authors used these|The first cutoff that the authors used) for")).wait_for()
    begun = value(notebook, f"{explorer}.cost.name")
    settings_open(cuts)
    cost = cuts.get_by_role("combobox", name="cost model")
    cost.select_option("counted: multiplications")
    holds(notebook, f"{explorer}.unit", "million multiplications per token")
    cost.select_option(begun)
    holds(notebook, f"{explorer}.cost.name", begun)
    widths = cuts.get_by_role("combobox", name="width of the tails")
    for index in (1, 0):
        widths.select_option(index=index)
        holds(notebook, f"list(type({explorer}).width_rule.values).index({explorer}.width_rule)", index)
    for name, trait in (("hidden size d", "in_features"), ("tokens per step B", "batch")):
        held = value(notebook, f"{explorer}.{trait}")
        typed(cuts, name, "0")
        cuts.get_by_role("alert").get_by_text("should be").first.wait_for()
        until(cuts.get_by_role("spinbutton", name=name).input_value, lambda text, held=held: text == f"{held:,}")
        typed(cuts, name, str(held))
        cuts.get_by_role("alert").get_by_text("should be").wait_for(state="detached")
    for n in ("3", "1"):
        cuts.get_by_role("combobox", name="number of cutoffs").select_option(n)
        holds(notebook, f"len({explorer}.cutoffs)", int(n))
    press(cuts, "Reset")
    fit = f"tuple(c for c in {explorer}._start['cutoffs'] if c < len({explorer}.vocabulary))"
    holds(notebook, f"{explorer}.cutoffs == {fit}", True)


def move_cutoff_every_way(notebook, output, explorer, i):
    """Drag, ring, slide, type, arrow key: each changes the kernel's state and all that the panel shows."""
    number = output.get_by_role("spinbutton", name=f"cutoff {i + 1}, words")
    handle = output.locator(f".adasoft-cut .handle[data-i='{i}']")
    slider = output.get_by_role("slider", name=f"cutoff {i + 1}", exact=True).and_(output.locator("input"))

    def everywhere():
        """The cutoff in the kernel, on the handle, and in the box; the ring stands under the handle."""
        x = [
            output.locator(f".adasoft-cut {part}").first.bounding_box()
            for part in (f".handle[data-i='{i}'] .knob", ".you")
        ]
        if abs(x[0]["x"] + x[0]["width"] / 2 - x[1]["x"] - x[1]["width"] / 2) > 1:
            return "the ring is elsewhere"
        shown = int(handle.get_attribute("aria-valuenow")), int(number.input_value().replace(",", ""))
        return value(notebook, f"{explorer}.cutoffs[{i}]"), *shown

    def agreed(good):
        """Wait until all say the same and it is good: a drag goes on arriving after the mouse is up."""
        return until(everywhere, lambda found: len(set(found)) == 1 and good(found[0]))[0]

    result = output.locator(".adasoft-cut .result")
    before, said = value(notebook, f"{explorer}.cutoffs[{i}]"), result.inner_text()
    drag(notebook, output, i, 60, lambda: until(result.inner_text, lambda new: new != said))
    dragged = agreed(lambda c: c > before)
    ring = output.locator(".adasoft-cut .you")
    ring.hover()
    box, mouse = ring.bounding_box(), output.page.mouse
    mouse.down()
    mouse.move(box["x"] + box["width"] / 2 + 20, box["y"] - 30, steps=5)
    mouse.up()
    ringed = agreed(lambda c: c > dragged)
    slider.focus()
    slider.press("ArrowRight")
    slid = agreed(lambda c: c > ringed)
    number.fill(f"{slid + 1000:,}")
    number.press("Enter")
    agreed(lambda c: c == slid + 1000)
    handle.focus()
    handle.press("ArrowLeft")
    moved = agreed(lambda c: c < slid + 1000)
    for nonsense in ("0", "many", "1.5"):
        number.fill(nonsense)
        number.press("Enter")
        output.get_by_role("alert").get_by_text(", got ").wait_for()
        assert agreed(lambda c: c == moved)
    handle.press("PageDown")
    agreed(lambda c: c < moved)
    assert not output.get_by_role("alert").get_by_text(", got ").count()
    text = f"{value(notebook, f'{explorer}.cutoffs[{i}]'):,} word"
    assert text in handle.get_attribute("aria-valuetext")


def guess_again(output, guess):
    """Take a guess back and commit another."""
    press(output, "Guess again")
    output.get_by_role("button", name="Guess again").wait_for(state="hidden")  # the box is emptied with it
    commit(output, guess)


def use_progress(notebook, lesson):
    """Every control of a lesson's map; afterwards all is forgotten."""
    output = notebook.show_cell(f'progress_panel("{lesson}")')
    press(output, "Write the report")
    output.get_by_text("The report is in").wait_for()
    press(output, "Forget this lesson")
    press(output, "Yes, forget this lesson")
    output.get_by_text("Forgotten:").wait_for()
    timings = output.get_by_role("checkbox").first
    timings.check()
    timings.uncheck()
    press(output, "Forget everything")
    press(output, "Yes, forget everything")
    output.get_by_text("Run > Run All Cells").or_(output.get_by_text("nothing to forget")).first.wait_for()
