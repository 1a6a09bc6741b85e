"""Small widgets of our own: a live figure, boxes for answers, numbers and files, a slider, and a helper for the page.

Each is an anywidget without a library of its own; plotly.js is sent to a page once, whatever the number of figures.
"""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import plotly.graph_objects as go
import traitlets as t

_FIGURE = r"""
const TYPES = {f8: Float64Array, f4: Float32Array, i4: Int32Array, u4: Uint32Array, i2: Int16Array, u2: Uint16Array,
               i1: Int8Array, u1: Uint8Array};
function decoded(v) {                        // base64 arrays, as plotly's Python side writes them
  if (Array.isArray(v)) return v.map(decoded);
  if (v === null || typeof v !== 'object') return v;
  if (v.bdata !== undefined && TYPES[v.dtype])
    return new TYPES[v.dtype](Uint8Array.from(atob(v.bdata), c => c.charCodeAt(0)).buffer);
  return Object.fromEntries(Object.entries(v).map(([k, w]) => [k, decoded(w)]));
}
function put(object, path, value) {          // put(layout, 'xaxis.title.text', ...)
  const keys = path.split('.'), last = keys.pop();
  for (const k of keys) object = object[k] ??= {};
  object[last] = value;
}
function library(model) {                    // one plotly.js per page; the kernel sends it to the first who asks
  const page = globalThis.__adasoft ??= {};
  if (!page.plotly) page.plotly = new Promise(resolve => { page.resolve = resolve; });
  if (page.ready) return page.plotly;
  const take = async (message, buffers) => {
    if (message.kind !== 'plotly' || page.ready) return;
    page.ready = true;
    const others = globalThis.Plotly;        // somebody else's stays theirs
    const url = URL.createObjectURL(new Blob([buffers[0]], {type: 'text/javascript'}));
    await import(url); URL.revokeObjectURL(url);
    page.resolve(globalThis.Plotly);
    if (others) globalThis.Plotly = others;
  };
  model.on('msg:custom', take);
  page.plotly.then(() => model.off('msg:custom', take));
  const ask = () => { if (!page.ready) model.send({kind: 'plotly'}); };
  // who asked first may be gone before its answer comes: its cell was run again
  if (page.asked) setTimeout(ask, 4000); else { page.asked = true; ask(); }
  return page.plotly;
}
export default () => {
  let spec, wanted = 0;
  const views = new Set();
  return {
    initialize({ model }) {
      spec = decoded(JSON.parse(model.get('spec')));
      library(model);
      const change = message => {
        if (message.kind !== 'push') return;
        for (const [i, properties] of Object.entries(message.data))
          for (const [path, value] of Object.entries(properties)) put(spec.data[i], path, decoded(value));
        for (const [path, value] of Object.entries(message.layout)) put(spec.layout, path, decoded(value));
        wanted++;
        for (const view of views) view();
      };
      model.on('msg:custom', change);
      return () => model.off('msg:custom', change);
    },
    render({ model, el }) {
      el.classList.add('adasoft-figure');
      const plot = document.createElement('div');
      plot.style.height = spec.layout.height + 'px';      // its place is taken before it is drawn: nothing jumps
      plot.setAttribute('role', 'img'); plot.setAttribute('aria-label', model.get('label'));
      el.append(plot);
      let Plotly = null, asked = false, busy = false, again = false, gone = false, width = 0;
      const config = {displayModeBar: false, displaylogo: false, typesetMath: false};   // a word may hold two $
      const room = () => plot.clientWidth;
      const draw = async () => {                          // one at a time, until it shows the latest in all its room
        asked = false; again = true;
        if (busy || !Plotly || gone) return;
        busy = true;
        try {
          while (room() && (again || room() !== width)) {
            const now = wanted; again = false; width = room();
            await Plotly.react(plot, spec.data, {...spec.layout, width}, config);
            el.dataset.drawn = now;
          }
        } finally { busy = false; }
        if (again || !room()) setTimeout(soon, 500);       // hidden, perhaps for less than an observer notices
      };
      const soon = () => {                                // many changes, one drawing
        el.dataset.wanted = wanted;
        if (!asked) { asked = true; requestAnimationFrame(draw); }
      };
      views.add(soon);
      const observer = new ResizeObserver(() => { if (room() && (again || room() !== width)) soon(); });
      observer.observe(plot);
      library(model).then(found => { Plotly = found; soon(); }, error => {
        plot.textContent = 'This figure could not be drawn (' + error + '). Run its cell again.'; });
      soon();
      return () => { gone = true; views.delete(soon); observer.disconnect(); if (Plotly) Plotly.purge(plot); };
    },
  };
};
"""

_FIGURE_CSS = """
.adasoft-figure { width: 100%; min-width: 0; }
.adasoft-figure .js-plotly-plot text:not(.hovertext text) { fill: var(--jp-content-font-color1, #444) !important; }
"""


@lru_cache(maxsize=1)
def _plotly_js() -> bytes:
    from plotly.offline import get_plotlyjs

    return get_plotlyjs().encode()  # type: ignore[no-any-return]


class LiveFigure(anywidget.AnyWidget):  # type: ignore[misc]
    """A plotly figure on the page that follows :meth:`push`, drawn as wide as its cell.

    In place of ``FigureWidget``, which brings 5 MB of plotly.js along in every figure, needs a message per set of
    properties, and takes differences in drawing for edits. Data go one way here, from Python to the page.

    Args:
        figure: complete; kept, and changed by ``push``.
        label: its name for screen readers.
    """

    _esm = _FIGURE
    _css = _FIGURE_CSS
    spec = t.Unicode().tag(sync=True)
    label = t.Unicode("figure").tag(sync=True)

    def __init__(self, figure: go.Figure, label: str = "figure") -> None:
        self.figure = figure
        super().__init__(label=label)
        self.on_msg(self._asked)

    @property
    def data(self) -> Any:
        """The traces as they are now; change them by ``push``."""
        return self.figure.data

    @property
    def layout(self) -> Any:
        """The layout as it is now; change it by ``push``."""
        return self.figure.layout

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> dict[str, Any]:
        """The widget's state; the figure in it is the present one, for a page that opens later."""
        state: dict[str, Any] = super().get_state(key, drop_defaults)
        if "spec" in state:
            state["spec"] = self.figure.to_json()
        return state

    def push(self, data: Mapping[int, Mapping[str, Any]], layout: Mapping[str, Any] | None = None) -> None:
        """Set ``data[i][property]`` of trace i and ``layout[path]``; what does change goes out in one message."""
        changed: dict[int, dict[str, Any]] = {}
        for i, properties in data.items():
            for name, value in properties.items():
                if not _same(self.figure.data[i][name], value):
                    self.figure.data[i][name] = value
                    changed.setdefault(i, {})[name] = _plain(value)
        moved = {name: value for name, value in (layout or {}).items() if self.figure.layout[name] != value}
        for name, value in moved.items():
            self.figure.layout[name] = value
        if changed or moved:
            self.send({"kind": "push", "data": changed, "layout": {k: _plain(v) for k, v in moved.items()}})

    def _asked(self, _widget: Any, content: Any, _buffers: Any) -> None:
        if content.get("kind") == "plotly":
            self.send({"kind": "plotly"}, buffers=[_plotly_js()])


def _same(old: Any, new: Any) -> bool:
    if isinstance(new, np.ndarray):
        return old is not None and np.array_equal(np.asarray(old), new, equal_nan=new.dtype.kind == "f")
    return bool(tuple(old or ()) == tuple(new)) if isinstance(new, (list, tuple)) else bool(old == new)


def _plain(value: Any) -> Any:
    """A value as JSON; numbers as base64, which plotly's own figures use too."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
        numbers = np.ascontiguousarray(value, dtype="<f8")
        return {"dtype": "f8", "bdata": base64.b64encode(numbers.tobytes()).decode()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    return json.loads(go.Figure(layout={"meta": value}).to_json())["layout"]["meta"] if _odd(value) else value


def _odd(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return True
    return False


_LOST = "This panel has lost its kernel. Run the notebook from the top: what you chose is kept."


_ANSWER = r"""
function render({ model, el }) {
  el.classList.add('adasoft-answer');
  const make = (tag, at = {}, parent = el) => { const e = document.createElement(tag);
    for (const k in at) e.setAttribute(k, at[k]); parent.append(e); return e; };
  const id = 'adasoft-' + Math.random().toString(36).slice(2);
  const question = make('p', {id, class: 'adasoft-question'});
  const put = () => { question.textContent = model.get('question'); };
  model.on('change:question', put); put();
  const line = make('div', {class: 'adasoft-entry'});
  const label = make('label', {for: id + '-box'}, line); label.textContent = 'your answer';
  const box = make('input', {id: id + '-box', type: 'text', inputmode: 'decimal', placeholder: 'a number',
                             autocomplete: 'off', spellcheck: 'false', 'aria-describedby': id}, line);
  box.value = model.get('answer');
  const button = make('button', {type: 'button', class: 'jupyter-button', 'aria-describedby': id}, line);
  button.textContent = model.get('button');
  const verdict = make('div', {role: 'status', class: 'adasoft-verdict'});
  const show = () => { verdict.innerHTML = model.get('verdict'); };
  const press = () => model.send({answer: box.value});    // what was typed and the press, in one message
  button.addEventListener('click', press);
  el.addEventListener('keydown', e => {                   // the keyboard's way out
    if (e.key === 'Escape') el.closest('.jp-Cell')?.focus(); }, true);
  box.addEventListener('keydown', e => {
    e.stopPropagation();                                  // else JupyterLab takes letters for commands
    if (e.key === 'Enter') { e.preventDefault(); press(); } });
  button.addEventListener('keydown', e => e.stopPropagation());
  model.on('change:verdict', show); show();
  const lost = () => el.classList.toggle('jupyter-widgets-disconnected');     // as ipywidgets' own do
  model.on('comm_live_update', lost);
  return () => { model.off('change:verdict', show); model.off('change:question', put);
    model.off('comm_live_update', lost); };
}
export default { render };
"""

_ANSWER_CSS = """
.adasoft-answer { color: var(--jp-content-font-color1); font: 13px/1.5 var(--jp-content-font-family, sans-serif);
  padding-left: 4px; }
.adasoft-answer .adasoft-question { font-weight: bold; margin: 4px 0; }
.adasoft-answer .adasoft-entry { display: flex; flex-wrap: wrap; gap: 8px; align-items: center; }
.adasoft-answer input { width: 130px; padding: 4px 8px; font: inherit; color: inherit;
  background: var(--jp-input-background, transparent); border: 1px solid var(--jp-border-color1, #888); }
.adasoft-answer input::placeholder { color: var(--jp-content-font-color1); opacity: .75; }
.adasoft-answer button { font: inherit; padding: 4px 16px; cursor: pointer; color: var(--jp-ui-font-color1);
  background: var(--jp-layout-color2); border: 1px solid var(--jp-border-color1, #888); }
.adasoft-answer input:focus-visible, .adasoft-answer button:focus-visible {
  outline: 2px solid var(--jp-brand-color1, #1976d2) !important; outline-offset: 1px; }
.adasoft-answer .adasoft-verdict { min-height: 1.5em; margin: 4px 0; }
.adasoft-answer.jupyter-widgets-disconnected::before { display: block; font: bold 13px sans-serif; color: inherit;
  content: "LOST"; }
""".replace("LOST", _LOST)


class AnswerBox(anywidget.AnyWidget):  # type: ignore[misc]
    """A question, a box for the answer, a button, and the verdict below them.

    The text and the press come in one message: with a text widget and a button they are two, and the press may
    overtake the text.

    Args:
        question: shown above; plain text.
        button: what the button says.
        act: called with what was typed; its result, as HTML, is the verdict.
    """

    _esm = _ANSWER
    _css = _ANSWER_CSS
    question = t.Unicode().tag(sync=True)
    button = t.Unicode("Check").tag(sync=True)
    answer = t.Unicode().tag(sync=True)
    verdict = t.Unicode().tag(sync=True)

    def __init__(self, question: str, button: str, act: Callable[[str], str]) -> None:
        super().__init__(question=question, button=button)
        self._act = act
        self.on_msg(self._pressed)

    def submit(self, text: str) -> None:
        """What the button does with ``text`` in the box."""
        self.answer = text
        self.verdict = self._act(text)

    def _pressed(self, _widget: Any, content: Any, _buffers: Any) -> None:
        self.submit(str(content.get("answer", "")))


_SLIDER = r"""
function render({ model, el }) {
  el.classList.add('adasoft-slider');
  const id = 'adasoft-' + Math.random().toString(36).slice(2);
  const label = document.createElement('label'), range = document.createElement('input');
  label.htmlFor = range.id = id; range.type = 'range'; range.step = 1;
  el.append(label, range);
  const at = v => Math.round((model.get('log') ? Math.log10(Math.max(v, 1)) : v) / model.get('step'));
  const real = n => model.get('log') ? 10 ** (n * model.get('step')) : n * model.get('step');
  const tell = v => range.setAttribute('aria-valuetext', Number(v.toPrecision(4)).toLocaleString('en'));
  const limit = () => {                       // in steps, as whole numbers: what Python sets is never sent back
    label.textContent = model.get('description');
    range.min = Math.round(model.get('min') / model.get('step'));
    range.max = Math.round(model.get('max') / model.get('step'));
    show(); };
  const show = () => { range.value = at(model.get('value')); tell(model.get('value')); };
  range.addEventListener('input', () => {
    const v = real(Number(range.value));
    tell(v); model.set('value', v); model.save_changes(); });
  range.addEventListener('keydown', e => e.stopPropagation());      // else JupyterLab moves between cells
  model.on('change:value', show);
  const limits = ['min', 'max', 'step', 'log', 'description'];
  for (const k of limits) model.on('change:' + k, limit);
  limit();
  return () => { model.off('change:value', show); for (const k of limits) model.off('change:' + k, limit); };
}
export default { render };
"""

_SLIDER_CSS = """
.adasoft-slider { display: flex; align-items: center; gap: 8px; color: var(--jp-content-font-color1); margin: 2px;
  font: 13px var(--jp-ui-font-family, sans-serif); }
.adasoft-slider input { width: 230px; accent-color: var(--jp-brand-color1, #1976d2); cursor: pointer; }
.adasoft-slider input:focus-visible { outline: 2px solid var(--jp-brand-color1, #1976d2); outline-offset: 3px; }
"""


class Slider(anywidget.AnyWidget):  # type: ignore[misc]
    """A slider that is named, works by keyboard, and sends nothing but the reader's own moves.

    ipywidgets' sliders snap what Python sets and send the snapped value back, as if the reader had moved them.

    ``value`` is the value itself; ``min``, ``max`` and ``step`` are in powers of ten if ``log``.
    """

    _esm = _SLIDER
    _css = _SLIDER_CSS
    value = t.Float(1.0).tag(sync=True, echo_update=False)
    min = t.Float(0.0).tag(sync=True)
    max = t.Float(1.0).tag(sync=True)
    step = t.Float(0.1).tag(sync=True)
    log = t.Bool(False).tag(sync=True)
    description = t.Unicode("slider").tag(sync=True)


_NUMBER = r"""
function render({ model, el }) {
  el.classList.add('adasoft-number');
  const make = (tag, parent = el) => { const e = document.createElement(tag); parent.append(e); return e; };
  const id = 'adasoft-' + Math.random().toString(36).slice(2), unit = model.get('unit');
  const label = unit === null ? make('label') : null, box = make('input'), after = unit ? make('span') : null;
  box.id = id; box.type = 'number'; box.step = model.get('whole') ? 1 : 'any'; box.style.width = model.get('width');
  if (label) { label.htmlFor = id; label.textContent = model.get('description'); }
  else box.setAttribute('aria-label', model.get('description'));
  if (after) { after.textContent = unit; after.setAttribute('aria-hidden', 'true'); }
  let typing = false;                                    // what is being typed is not overwritten
  const show = () => { if (!typing) box.value = model.get('value'); };
  box.addEventListener('input', () => { typing = true; });
  box.addEventListener('blur', () => { typing = false; show(); });
  box.addEventListener('change', () => {                 // Enter, leaving the box, an arrow
    const v = box.valueAsNumber; typing = false;
    if (Number.isNaN(v) || v === model.get('value')) return show();
    model.set('value', v); model.save_changes(); });
  box.addEventListener('keydown', e => e.stopPropagation());        // else JupyterLab takes keys for commands
  model.on('change:value', show); show();
  return () => model.off('change:value', show);
}
export default { render };
"""

_NUMBER_CSS = """
.adasoft-number { display: flex; align-items: center; gap: 8px; margin: 2px 10px 2px 2px;
  color: var(--jp-content-font-color1); font: 13px var(--jp-ui-font-family, sans-serif); }
.adasoft-number input { padding: 4px 8px; font: inherit; color: inherit; box-sizing: border-box;
  background: var(--jp-input-background, transparent); border: 1px solid var(--jp-border-color1, #888); }
.adasoft-number input:focus-visible { outline: 2px solid var(--jp-brand-color1, #1976d2); outline-offset: 1px; }
"""


class NumberBox(anywidget.AnyWidget):  # type: ignore[misc]
    """A box for a number, sent when it is complete: on Enter, on leaving the box, or by an arrow.

    ipywidgets' boxes take 1.5 for 15 where whole numbers are expected, and cannot be named without a label in sight.

    Args:
        value: to begin with.
        description: its name; in sight unless there is a ``unit``.
        unit: shown behind the box instead of the name before it, which a slider beside it gives already; may be empty.
        whole: arrows step by one. What is typed is not rounded: who listens refuses it (`Panel.on_number`).
        width: of the box, as in CSS.
    """

    _esm = _NUMBER
    _css = _NUMBER_CSS
    value = t.Float(0.0).tag(sync=True)
    description = t.Unicode("number").tag(sync=True)
    unit = t.Unicode(None, allow_none=True).tag(sync=True)
    whole = t.Bool(True).tag(sync=True)
    width = t.Unicode("96px").tag(sync=True)


_DROP = r"""
const PART = 4 * 2 ** 20;                    // JupyterLab's server takes messages of up to 10 MB
function render({ model, el }) {
  el.classList.add('adasoft-drop');
  const make = (tag, at = {}) => { const e = document.createElement(tag);
    for (const k in at) e.setAttribute(k, at[k]); el.append(e); return e; };
  const picker = make('input', {type: 'file', hidden: ''});
  const button = make('button', {type: 'button', class: 'jupyter-button'});
  button.textContent = model.get('description');
  const line = make('span', {role: 'status'}), idle = 'or drop it here';
  line.textContent = idle;
  let file = null, sent = 0;
  const next = async () => {                 // one part after the other: Python asks for each
    const bytes = await file.slice(sent, sent + PART).arrayBuffer();
    const last = sent + bytes.byteLength >= file.size;
    model.send({kind: 'part', name: file.name, first: sent === 0, last}, undefined, [new DataView(bytes)]);
    sent += bytes.byteLength;
    line.textContent = last ? idle : `reading ${Math.round(100 * sent / file.size)} % ...`; };
  const take = files => { if (files.length) { file = files[0]; sent = 0; next(); } };
  const heard = message => { if (message.kind === 'next' && file) next(); };
  button.addEventListener('click', () => picker.click());
  picker.addEventListener('change', () => { take(picker.files); picker.value = ''; });   // the same file again, too
  const over = on => e => { e.preventDefault(); e.stopPropagation(); el.classList.toggle('over', on); };
  el.addEventListener('dragenter', over(true)); el.addEventListener('dragover', over(true));
  el.addEventListener('dragleave', over(false));
  el.addEventListener('drop', e => { over(false)(e); take(e.dataTransfer.files); });
  model.on('msg:custom', heard);
  return () => model.off('msg:custom', heard);
}
export default { render };
"""

_DROP_CSS = """
.adasoft-drop { display: flex; align-items: center; gap: 10px; padding: 6px 14px 6px 6px; margin: 2px;
  color: var(--jp-content-font-color1); font: 13px var(--jp-ui-font-family, sans-serif);
  border: 1.5px dashed var(--jp-border-color1, #888); border-radius: 4px; }
.adasoft-drop.over { border-color: var(--jp-brand-color1, #1976d2); border-style: solid; }
.adasoft-drop button { font: inherit; padding: 4px 16px; cursor: pointer; color: var(--jp-ui-font-color1);
  background: var(--jp-layout-color2); border: 1px solid var(--jp-border-color1, #888); }
.adasoft-drop button:focus-visible { outline: 2px solid var(--jp-brand-color1, #1976d2); outline-offset: 1px; }
"""


class FileDrop(anywidget.AnyWidget):  # type: ignore[misc]
    """A place to drop a file on, and a button that picks one; of any size, for it travels in parts.

    Args:
        act: called with the path of a copy, which is gone afterwards, and the file's name.
        guarded: what shows an exception to the reader (`Panel.guarded`).
        description: what the button says.
    """

    _esm = _DROP
    _css = _DROP_CSS
    description = t.Unicode("Pick a file").tag(sync=True)

    def __init__(
        self, act: Callable[[Path, str], None], guarded: Callable[[], AbstractContextManager[None]],
        description: str = "Pick a file",
    ) -> None:  # fmt: skip
        super().__init__(description=description)
        self._act, self._guarded = act, guarded
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        self.on_msg(self._heard)

    def _heard(self, _widget: Any, content: Any, buffers: Any) -> None:
        if content.get("kind") != "part":
            return
        if content["first"] or self._copy is None:
            self._done()
            self._copy = tempfile.TemporaryDirectory(prefix="adasoft-")
        copy = Path(self._copy.name) / "dropped"
        with self._guarded():
            with copy.open("ab") as file:
                file.write(buffers[0] if buffers else b"")
            if not content["last"]:
                self.send({"kind": "next"})
                return
            self._act(copy, str(content["name"]))
        self._done()

    def _done(self) -> None:
        if self._copy is not None:
            self._copy.cleanup()
            self._copy = None


class PageHelper(anywidget.AnyWidget):  # type: ignore[misc]
    """Invisible: gives the handles of ipywidgets' sliders their names, text and controls the theme's colours, and the
    keyboard a way out (Escape goes from a control to its cell)."""

    _esm = r"""
    function names() {
      for (const s of document.querySelectorAll('.adasoft .widget-slider')) {
        const name = s.querySelector('.widget-label')?.textContent;
        const handles = name ? s.querySelectorAll('.noUi-handle:not([aria-label])') : [];
        for (const h of handles) h.setAttribute('aria-label', name);
      }
    }
    export default {
      render({ el }) {
        el.style.display = 'none';
        const page = globalThis.__adasoft ??= {};
        if (!page.names) {                       // one for the page
          page.names = new MutationObserver(() => {
            if (!page.named) page.named = requestAnimationFrame(() => { page.named = 0; names(); }); });
          page.names.observe(document.body, {childList: true, subtree: true});
        }
        names();
        if (!page.escape) {
          page.escape = true;
          document.addEventListener('keydown', e => {
            if (e.key === 'Escape') e.target.closest?.('.adasoft')?.closest('.jp-Cell')?.focus();
          }, true);
        }
      } }"""
    _css = """
    .adasoft .adasoft-words { line-height: 1.45; }
    .adasoft .adasoft-words, .adasoft .adasoft-words * { color: var(--jp-content-font-color1); }
    .adasoft .adasoft-problem:not(:empty) { border-left: 4px solid var(--jp-error-color1, #c00); padding-left: 8px; }
    .adasoft table { border-collapse: collapse; font-size: 12px; }
    .adasoft td, .adasoft th { padding: 3px 10px; text-align: right; border-bottom: 1px solid var(--jp-border-color2); }
    .adasoft td:first-child, .adasoft th:first-child { text-align: left; }
    .adasoft .widget-html-content { white-space: normal; }
    .adasoft.jupyter-widgets-disconnected::before { font: bold 13px sans-serif; content: "LOST";
      color: var(--jp-content-font-color1); }
    .adasoft .jupyter-widgets-disconnected::before, .adasoft-quiet.jupyter-widgets-disconnected::before {
      display: none; }
    .adasoft .adasoft-slider label { min-width: 5.5em; }
    .adasoft :is(button, select, input):focus-visible {
      outline: 2px solid var(--jp-brand-color1, #1976d2) !important; outline-offset: 1px; }
    .adasoft-long .adasoft-slider label { min-width: 11em; }
    .adasoft .widget-dropdown select { background-image: url("data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'\
 viewBox='0 0 18 18'%3E%3Cpath fill='none' stroke='%23888' stroke-width='2' d='M5 7l4 4 4-4'/%3E%3C/svg%3E"); }
    """.replace("LOST", _LOST)
