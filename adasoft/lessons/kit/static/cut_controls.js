// The controls under the cut explorer: sliders and typed numbers for the cutoffs, buttons, and settings folded below.
import {counted, html, sub, whole} from './dom.js';

const STEPS = 400;                            // of a slider, over the whole logarithmic axis

/**
 * Builds the places of the controls. `choices`: [{key, label, value, options: [[value, text], ...] or none for a typed
 * number, open}]; all but the `open` ones are folded. `buttons`: [{key, text, title}].
 */
export function makeControls(view) {
  const {root, parts} = view;
  parts.controls = html('div', {class: 'controls'}, root);
  parts.cutoffs = html('span', {class: 'cutoffs'}, parts.controls);
  parts.tails = html('span', {class: 'tails'}, parts.controls);
  parts.buttons = html('span', {class: 'buttons'}, parts.controls);
  parts.note = html('p', {class: 'note', role: 'status'}, root);
  parts.settings = html('details', {class: 'settings'}, root);
  parts.summary = html('summary', {}, parts.settings);
  parts.choices = html('div', {class: 'choices'}, parts.settings);
  parts.plainly = html('p', {class: 'summary'}, root);
  parts.spoken = html('p', {class: 'spoken', role: 'status'}, root);
  view.refused = {};
  view.refuse = (key, text) => { view.refused = {key, text}; drawControls(view); };
  root.addEventListener('keydown', event => {              // else JupyterLab takes keys for commands
    if (event.target.closest('input, select, button, summary') && event.key !== 'Escape') event.stopPropagation();
  });
}

/** Text of a select or box, named, with what it does when changed. */
function select(parent, label, options, value, act) {
  const box = html('label', {class: 'choice'}, parent, `${label} `), list = html('select', {'aria-label': label}, box);
  for (const [one, text] of options) html('option', {value: one}, list, text).selected = String(one) === String(value);
  list.addEventListener('change', () => act(list.value));
  return list;
}

function typedNumber(parent, name, act, step) {
  const input = html('input', {type: 'text', inputmode: 'numeric', role: 'spinbutton', 'aria-label': name, autocomplete: 'off'}, parent);
  input.addEventListener('input', () => { input.dataset.begun = true; });      // what is being typed stays
  // Enter acts even where the browser sees no change: a refused number gave way to the one that is typed again
  const done = () => { if (input.dataset.begun) { delete input.dataset.begun; act(input.value); } };
  input.addEventListener('change', done);
  input.addEventListener('focus', () => input.select());
  input.addEventListener('keydown', event => {
    if (event.key === 'Enter') done();
    const by = {ArrowUp: 1, ArrowDown: -1}[event.key];
    if (by && step) { event.preventDefault(); delete input.dataset.begun; step(by); }
  });
  return input;
}
/** A number as people type it: 3,000 or 3 000 or 3e3; NaN for what is none, and for 1,5, which is no 15. */
const read = text => (/^\s*-?(\d{1,3}([,\s]\d{3})+|\d+)(\.\d+)?(e\d+)?\s*$/i.test(text) ? Number(text.replace(/[\s,]/g, '')) : NaN);
const quoted = text => (text.trim() ? `“${text.trim()}”` : 'nothing');

function makeCutoffs(view) {
  const {parts, state} = view;
  parts.cutoffs.replaceChildren();
  state.cuts.forEach((_, i) => {
    const box = html('span', {class: `typed c${i}`}, parts.cutoffs);
    html('span', {'aria-hidden': true, class: 'name'}, box, `c${sub(i + 1)}`);
    const range = html('input', {type: 'range', min: 0, max: STEPS, 'aria-label': `cutoff ${i + 1}`}, box);
    const at = rank => Math.round(Math.log(rank) / Math.log(view.words.n) * STEPS);
    range.addEventListener('pointerdown', () => view.begin());
    range.addEventListener('input', () => {               // what lies in the present step is no move of the reader's
      const value = Number(range.value);
      if (value !== at(state.cuts[i])) view.setCut(i, Math.min(view.words.n ** (value / STEPS), view.words.n - 1));
    });
    range.addEventListener('change', () => { view.end(); drawControls(view); });
    range.addEventListener('focus', () => view.activate(i));
    const input = typedNumber(box, `cutoff ${i + 1}, words`, text => {
      const value = read(text), [low, high] = view.limits(i);
      if (Number.isInteger(value) && value >= low && value <= high) { view.begin(); view.setCut(i, value); view.end(); view.tell(''); return; }
      const beside = [i - 1, i + 1].filter(k => k in state.cuts).map(k => `c${sub(k + 1)} is ${whole(state.cuts[k])}`).join(', ');
      view.tell(`c${sub(i + 1)} should be a whole number from ${whole(low)} to ${whole(high)} here${beside && ` (${beside})`}, `
        + `got ${Number.isNaN(value) ? quoted(text) : value.toLocaleString('en')}.`, true);
      input.value = whole(state.cuts[i]);
    }, by => view.setCut(i, state.cuts[i] + by));
    input.addEventListener('focus', () => view.activate(i));
  });
}

/** Choices that are not the cutoffs: words, cost model, widths, sizes. What they do, the host decides. */
function makeChoices(view) {
  const {parts, given, on} = view, held = parts.choices.contains(document.activeElement) || parts.tails.contains(document.activeElement)
    ? document.activeElement.getAttribute('aria-label') : null;
  for (const place of [parts.tails, parts.choices, parts.buttons]) place.replaceChildren();
  if ((given.most ?? 5) > 1) {
    const many = Array.from({length: (given.most ?? 5) + 1}, (_, i) => [i, i]);
    parts.number = select(parts.tails, 'number of cutoffs', many, view.state.cuts.length, value => view.setTails(Number(value)));
  }
  for (const {key, label, value, options, open} of given.choices ?? []) {
    const parent = open ? parts.tails : parts.choices;
    if (options) { select(parent, label, options, value, chosen => on.choose?.(key, chosen)); continue; }
    const box = html('span', {class: 'choice'}, parent, `${label} `);
    const input = typedNumber(box, label, text => {
      const number = read(text);
      view.refused = {};
      if (Number.isNaN(number)) { view.refuse(key, `${label} should be a number, got ${quoted(text)}.`); return; }
      on.choose?.(key, number);
    });
    input.value = whole(value); input.dataset.key = key;
    html('span', {class: 'refused', role: 'alert', 'data-for': key}, box);
  }
  for (const {key, text, title} of given.buttons ?? [])
    html('button', {type: 'button', title}, parts.buttons, text).addEventListener('click', () => on.press?.(key));
  if (held) [...view.root.querySelectorAll('select, input')].find(node => node.getAttribute('aria-label') === held)?.focus();
}

/** Values of all controls, which are built again only where there are others. */
export function drawControls(view) {
  const {parts, state, given, words} = view;
  const choices = JSON.stringify([given.choices, given.buttons, given.most, state.hidden]);
  if (view.choicesMade !== choices) { view.choicesMade = choices; makeChoices(view); }
  if (view.cutoffsMade !== state.cuts.length) { view.cutoffsMade = state.cuts.length; makeCutoffs(view); }
  if (parts.number) parts.number.value = String(state.cuts.length);
  parts.buttons.hidden = state.hidden; parts.tails.hidden = state.hidden;
  parts.settings.hidden = !(given.choices ?? []).some(choice => !choice.open) || state.hidden;
  parts.plainly.hidden = !parts.settings.hidden || state.hidden;
  const text = given.summary ?? '';
  parts.summary.textContent = `Settings: ${text}`; parts.plainly.textContent = text;
  parts.cutoffs.querySelectorAll('.typed').forEach((box, i) => {
    const [range, input] = box.querySelectorAll('input'), [low, high] = view.limits(i), rank = state.cuts[i];
    range.value = Math.round(Math.log(rank) / Math.log(words.n) * STEPS);
    range.setAttribute('aria-valuetext', counted(rank, 'word'));
    for (const [name, value] of [['now', rank], ['min', low], ['max', high]]) input.setAttribute(`aria-value${name}`, value);
    if (!input.dataset.begun) input.value = whole(rank);
  });
  parts.choices.querySelectorAll('input').forEach(input => {
    const {key} = input.dataset, {value} = given.choices.find(choice => choice.key === key);
    input.setAttribute('aria-valuenow', value);
    if (!input.dataset.begun) input.value = whole(value);
    const line = parts.choices.querySelector(`[data-for="${key}"]`);
    line.textContent = view.refused.key === key ? view.refused.text : '';
  });
}
