// The time of a product against its words, and a line through it that is dragged: g(k) = c + lambda max(k, k0).
import {html, percent, set, svg, whole} from '../../kit/static/dom.js';
import {duration} from './race.js';

/** Seconds of a product with k words. */
export const seconds = ([c, lam, k0], k) => c + lam * Math.max(k, k0);

/** How far a line [c, lambda, k0] is from points [k, seconds, ...]: {median, worst, at}, each a part of the measured time. */
export function errors(line, points) {
  const off = points.map(([k, measured]) => Math.abs(seconds(line, k) / measured - 1));
  if (!off.length) return null;
  const sorted = [...off].sort((a, b) => a - b), half = sorted.length >> 1;
  const worst = Math.max(...off);
  return {median: sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2, worst, at: points[off.indexOf(worst)][0]};
}

/** The line after one of its handles was put at k words and so many seconds. */
export function moved(line, handle, k, at, most) {
  const [c, lam, k0] = line;
  if (handle === 'c') return [Math.max(0, at - lam * k0), lam, k0];
  if (handle === 'lambda') return [c, Math.max(0, (at - c) / Math.max(most, k0)), k0];
  return [c, lam, Math.min(Math.max(k, 0), most)];
}

const HANDLES = [['c', 'c', 1e3, 'ms'], ['lambda', 'λ', 1e6, 'µs per word'], ['k0', 'k₀', 1, 'words']];
const MOST = [1, 1e-3];                         // of c and lambda, in seconds; of k0 it is the largest k

/** By how much an arrow in a box changes its value: some 2 %, in whole digits; k0 by at least one word. */
export function step(value, i) {
  const power = value > 0 ? 10 ** Math.floor(Math.log10(value * .02)) : .01, digit = value > 0 ? Math.round(value * .02 / power) : 1;
  return i === 2 ? Math.max(1, Math.round(digit * power)) : Number((digit * power).toPrecision(1));
}

/** An error as it is said: no more digits than mean anything. */
export function off(error) {
  if (error > 2) return 'more than 200 %';
  return error < 1e-4 ? 'less than 0.01 %' : percent(error);
}
const HEIGHT = 300, TOP = 26, BOTTOM = 36, LEFT = 62;

/**
 * Put the plot into `root`. `read()` gives the present {line, points, against, model, modelled, before, paper, guess, most, title}:
 * points [[k, median, q1, q3, runs], ...] in seconds; `against`: what the line is judged by, {what, points}; before:
 * {label, points}; paper: {label: seconds}. `heard(line)` is told of every move.
 */
export function mountLine(root, read, heard) {
  let given = read(), line = [...given.line], width = 0, held = null;
  root.classList.add('adasoft-line');
  const result = html('p', {class: 'result', role: 'status'}, root);
  const stage = svg('svg', {role: 'group', 'aria-label': 'Time of a product against its words, and your line'}, html('div', {}, root));
  const typed = html('div', {class: 'controls'}, root);
  const boxes = HANDLES.map(([name, sign, scale, unit], i) => {
    const label = html('label', {}, typed, `${sign} = `);
    const box = html('input', {type: 'number', min: 0, step: 'any', 'aria-label': `${name}, ${unit}`}, label);
    label.append(` ${unit}`);
    box.addEventListener('keydown', event => event.stopPropagation());    // else JupyterLab takes keys for commands
    box.addEventListener('change', () => {
      const value = Number(box.value), most = i < 2 ? MOST[i] * scale : given.most;
      if (box.value === '' || !Number.isFinite(value) || value < 0 || value > most) {
        const typed = box.value;
        show();
        box.value = written(i);                 // the box that has the focus, too, goes back to the line's
        result.textContent = `${name} should be a number from 0 to ${whole(most)} ${unit}${typed === '' ? '' : `, got ${typed}`}.`;
        return;
      }
      go(line.with(i, value / scale));
      arrange();
    });
    return box;
  });
  const written = i => String(Number((line[i] * HANDLES[i][2]).toPrecision(4)));
  const legend = html('p', {class: 'legend'}, root);

  let x, y, back;                               // places of words and seconds, and the way back; fixed while dragging
  function arrange() {
    width = Math.max(300, root.clientWidth || 900);
    const right = width - 18, most = Math.max(given.most, 1000);
    const all = [...given.points, ...given.before.points].flatMap(([, m, q1, q3]) => [m, q1, q3])
      .concat(given.model.map(([, s]) => s), Object.values(given.paper)).filter(s => s > 0);
    if (!given.model.length && !given.points.length) all.push(...[1, most].map(k => seconds(line, k)));
    const least = Math.min(...all), largest = Math.max(...all);      // the line is in sight, unless it is far off
    for (const k of [1, given.most]) all.push(Math.min(Math.max(seconds(line, k), least / 30), largest * 30));
    const low = Math.log10(Math.min(...all) / 1.7), high = Math.log10(Math.max(...all) * 1.7);
    const span = Math.log10(most * 1.25);
    x = k => LEFT + Math.log10(Math.max(k, 1) / .9) / (span - Math.log10(.9)) * (right - LEFT);
    y = s => TOP + (high - Math.log10(Math.max(s, 1e-12))) / (high - low) * (HEIGHT - TOP - BOTTOM);
    back = (px, py) => [.9 * 10 ** ((px - LEFT) / (right - LEFT) * (span - Math.log10(.9))),
                        10 ** (high - (py - TOP) / (HEIGHT - TOP - BOTTOM) * (high - low))];
    const focused = stage.contains(document.activeElement) ? document.activeElement.dataset.handle : null;
    stage.replaceChildren();
    set(stage, {width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`});
    svg('text', {x: 4, y: 14, class: 'strong'}, stage, given.title);
    for (let power = 0; 10 ** power <= most * 1.25; power++) {
      svg('line', {x1: x(10 ** power), x2: x(10 ** power), y1: TOP, y2: HEIGHT - BOTTOM, class: 'grid'}, stage);
      svg('text', {x: x(10 ** power), y: HEIGHT - 19, 'text-anchor': 'middle'}, stage, whole(10 ** power));
    }
    svg('text', {x: right, y: HEIGHT - 4, 'text-anchor': 'end'}, stage, 'words k');
    let last = Infinity;
    for (let power = Math.floor(low); power <= high; power++) for (const digit of [1, 2, 5]) {
      const s = digit * 10 ** power, at = y(s);
      if (at < TOP || at > HEIGHT - BOTTOM || last - at < 15) continue;
      last = at;
      svg('line', {x1: LEFT, x2: right, y1: at, y2: at, class: 'grid'}, stage);
      svg('text', {x: LEFT - 6, y: at + 4, 'text-anchor': 'end'}, stage, duration(s));
    }
    for (const [label, s] of Object.entries(given.paper)) {
      svg('line', {x1: x(1), x2: x(50), y1: y(s), y2: y(s), class: 'paper'}, stage);
      svg('text', {x: x(50) + 14, y: y(s) + 4, class: 'paper-text'}, stage, `${label}: ${duration(s)}`);
    }
    if (given.model.length) svg('polyline', {class: 'model', points: given.model.map(([k, s]) => `${x(k)},${y(s)}`).join(' ')}, stage);
    draw(given.before.points, 'before');
    draw(given.points, 'point');
    if (given.guess) {
      const at = Math.min(x(given.guess), right), place = TOP + 8;
      svg('path', {d: `M${at - 5} ${place - 5}l10 10m0 -10l-10 10`, class: 'guess'}, stage);
      svg('line', {x1: at, x2: at, y1: place + 8, y2: HEIGHT - BOTTOM, class: 'guess-line'}, stage);
      svg('text', {x: at + (at > right - 130 ? -9 : 9), y: place + 4, 'text-anchor': at > right - 130 ? 'end' : 'start'}, stage,
        `your guess: ${whole(given.guess)}`);
    }
    svg('polyline', {class: 'yours'}, stage);
    HANDLES.forEach(([name, sign, , unit]) => {
      const node = svg('g', {class: 'handle', tabindex: 0, role: 'slider', 'aria-label': `${name}, ${unit}`, 'aria-valuemin': 0, 'data-handle': name}, stage);
      svg('circle', {r: 16, class: 'hit'}, node);
      svg('circle', {r: 8, class: 'knob'}, node);
      // the left handle lies on the flat part, not on c; its sign below it, for that of k₀ may be near
      if (name === 'c') svg('text', {class: 'sign', x: -8, y: 25}, node, 'c + λk₀');
      else svg('text', {class: 'sign', 'text-anchor': 'middle', y: -14}, node, sign);
      node.addEventListener('pointerdown', event => { held = name; node.setPointerCapture(event.pointerId); event.preventDefault(); node.focus(); });
      node.addEventListener('pointermove', event => {
        if (held !== name) return;
        const box = stage.getBoundingClientRect();
        go(moved(line, name, ...back(event.clientX - box.left, event.clientY - box.top), given.most));
      });
      for (const kind of ['pointerup', 'pointercancel', 'lostpointercapture']) node.addEventListener(kind, () => { held = null; });
      node.addEventListener('keydown', event => key(event, name));
    });
    show();
    if (focused) stage.querySelector(`[data-handle="${focused}"]`).focus({preventScroll: true});
  }
  function draw(points, kind) {
    for (const [k, median, q1, q3, runs] of points) {
      svg('line', {x1: x(k), x2: x(k), y1: y(q1), y2: y(q3), class: `${kind} whisker`}, stage);
      const node = svg('circle', {cx: x(k), cy: y(median), r: kind === 'point' ? 5 : 4, class: kind}, stage);
      svg('title', {}, node, `${whole(k)} word${k === 1 ? '' : 's'}: ${duration(median)}; half of ${runs} runs between ${duration(q1)} and ${duration(q3)}`);
    }
  }
  function most(name) {                         // of a handle: where it leaves the drawing
    return name === 'k0' ? given.most : moved(line, name, given.most, back(0, TOP)[1], given.most)[name === 'c' ? 0 : 1];
  }
  function key(event, name) {
    const step = {ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 10, PageDown: -10}[event.key];
    if (!step && ![' ', 'Home', 'End'].includes(event.key)) return;
    event.preventDefault();                     // else the page scrolls away under the handle
    event.stopPropagation();
    const at = HANDLES.findIndex(([other]) => other === name), next = [...line];
    if (event.key === ' ') return;
    if (!step) { next[at] = event.key === 'Home' ? 0 : most(name); go(next); return; }
    const least = [1e-8, 1e-12, 1][at];
    next[at] = line[at] < least ? (step > 0 ? least : 0) : line[at] * 1.02 ** step;
    if (at === 2) next[2] = step > 0 ? Math.max(next[2], line[2] + 1) : Math.min(next[2], line[2] - 1);
    if (next[at] < least) next[at] = 0;
    next[2] = Math.min(Math.max(next[2], 0), given.most);
    go(next);
  }
  function go(next) { line = next; show(); heard(line); }
  function show() {
    const [c, lam, k0] = line, last = given.most, bend = Math.min(Math.max(k0, 1), last);
    const ks = [1, bend, ...Array.from({length: 40}, (_, i) => bend * (last / bend) ** ((i + 1) / 40))];
    const inside = at => Math.min(Math.max(at, TOP - 4), HEIGHT - BOTTOM);    // a line far off runs along the edge
    set(stage.querySelector('.yours'), {points: ks.map(k => `${x(k)},${inside(y(seconds(line, k)))}`).join(' ')});
    const places = {c: [Math.min(2, Math.sqrt(bend)), c + lam * k0], lambda: [last, seconds(line, last)], k0: [bend, c + lam * k0]};
    const shift = {c: 0, lambda: 0, k0: x(bend) - x(places.c[0]) < 24 ? 24 : 0};
    HANDLES.forEach(([name, , , unit], i) => {
      const [k, s] = places[name], node = stage.querySelector(`[data-handle="${name}"]`);
      const text = written(i), end = most(name) * HANDLES[i][2];
      set(node, {transform: `translate(${x(k) + shift[name]},${inside(y(s))})`,
        'aria-valuenow': text, 'aria-valuemax': Number(Math.max(end, text).toPrecision(4)), 'aria-valuetext': `${text} ${unit}`});
      boxes[i].step = step(line[i] * HANDLES[i][2], i);
      if (boxes[i] !== document.activeElement) boxes[i].value = text;
    });
    const found = errors(line, given.against.points);
    result.replaceChildren();
    if (!found) { result.textContent = 'Nothing to compare your line with yet: press “Measure the products”.'; return; }
    result.append(`Your line misses the ${given.against.what} by `);
    html('strong', {}, result, off(found.median));
    result.append(` (median), at worst by ${off(found.worst)}, at k = ${whole(found.at)}.`);
  }
  function refresh() {
    const before = JSON.stringify({...given, line: 0});
    given = read();
    if (held === null && !same(line, given.line)) line = [...given.line];
    legend.replaceChildren();
    const marks = [
      given.points.length && ['here', '●', 'measured here'],
      given.before.points.length && ['before-key', '●', `measured at ${given.before.label}`],
      ['line', '━', 'your line'],
      given.model.length && ['model-key', '┅', given.modelled],
      Object.keys(given.paper).length && ['paper-key', '┄', 'printed in the paper'],
    ].filter(Boolean);
    for (const [kind, sign, text] of marks) { html('span', {class: kind, 'aria-hidden': true}, legend, sign); legend.append(` ${text}   `); }
    if (JSON.stringify({...given, line: 0}) !== before || !width) arrange(); else show();
  }
  const same = (a, b) => a.every((value, i) => Math.abs(value - b[i]) <= 1e-12 * Math.max(Math.abs(value), 1e-9));

  const observer = new ResizeObserver(() => { if (root.clientWidth && Math.abs(root.clientWidth - width) > 1) arrange(); });
  refresh();
  observer.observe(root);
  return {refresh, get line() { return line; }, destroy() { observer.disconnect(); root.replaceChildren(); }};
}
