// Which method, when? Stored results as points: how much faster than the full softmax, against how good. The reader's
// needs, from the first question to the last, decide which points remain; the fastest of these is named.
import {html, set, svg, whole} from '../../kit/static/dom.js';

const MOST = 30, LEAST = 0.5, TICKS = [0.5, 1, 2, 5, 10, 20];
const EDGE = {left: 64, right: 20, top: 16, bottom: 44}, NARROW = 620;

export const msText = seconds => {
  const ms = seconds * 1e3;
  return ms >= 100 ? `${whole(ms)} ms` : ms >= 1 ? `${ms.toFixed(1)} ms` : `${ms.toFixed(2)} ms`;
};
export const paceText = ratio => (Math.abs(ratio - 1) < 0.1 ? 'as fast as the full softmax'
  : ratio > 1 ? `${ratio.toFixed(ratio < 10 ? 1 : 0)} times faster than the full softmax`
    : `${(1 / ratio).toFixed(1)} times slower than the full softmax`);

/** Of a bench's points, those that meet the needs, fastest first; all others after them. */
export function ranked(bench, exactOnly) {
  const fits = p => !exactOnly || p.exact;
  return [...bench.points].sort((a, b) => fits(b) - fits(a) || a.seconds - b.seconds);
}
/** Whether the quartiles of two points overlap, so that neither is the faster for certain. */
export const level = (a, b) => a.q3 >= b.q1 && b.q3 >= a.q1;

/** How far a point is from a box [left, top, right, bottom]. */
export const away = (p, box) => Math.hypot(Math.max(box[0] - p.x, 0, p.x - box[2]), Math.max(box[1] - p.y, 0, p.y - box[3]));
const nearest = (p, box) => [Math.min(Math.max(p.x, box[0]), box[2]), Math.min(Math.max(p.y, box[1]), box[3])];
const lineTo = (p, box) => {
  const [x, y] = nearest(p, box);
  return Array.from({length: 15}, (_, i) => [p.x + (x - p.x) * (i + 1) / 16, p.y + (y - p.y) * (i + 1) / 16]);
};
const SIDES = [0, 14, 30, 52, 80, 116], RISES = [0, -16, 16, -30, 30, -44, 44, -58, 58, -74, 74, -92, 92, -112, 112, -134, 134];
const MOST_TRIES = 20_000, NEAR = 16;

/**
 * Labels where none covers another one, a point or what is `full`: [{x, y, anchor, lead}] relative to the points. Each is
 * nearer to its own point than to any other, or stands apart from all of them; then `lead` is where a line from the point
 * meets it, which touches no other point and no other label.
 */
export function placed(points, wide, full = [], high = 268) {
  const taken = [...full, ...points.map(p => [p.x - 7, p.y - 7, p.x + 7, p.y + 7])];
  const apart = (a, b) => a[0] >= b[2] || a[2] <= b[0] || a[1] >= b[3] || a[3] <= b[1];
  const inside = box => box[0] > EDGE.left && box[2] < wide && box[1] > 0 && box[3] < high;
  const boxOf = (p, [dx, dy, anchor]) => {
    const w = p.text.length * 6.8, x = p.x + dx - (anchor === 'end' ? w : anchor === 'middle' ? w / 2 : 0);
    return [x, p.y + dy - 8, x + w, p.y + dy + 7];
  };
  const spots = RISES.flatMap(dy => [...SIDES.flatMap(dx => [[dx, dy, 'start'], [-dx, dy, 'end']]), ...(dy ? [[0, dy, 'middle']] : [])]);
  const rows = points.map((p, i) => {
    const all = spots.map(spot => ({spot, box: boxOf(p, spot)})).filter(one => inside(one.box) && taken.every(o => apart(one.box, o)))
      .map(one => ({...one, far: away(p, one.box), line: away(p, one.box) > NEAR ? lineTo(p, one.box) : []}));
    const others = points.filter((q, j) => j !== i), clear = at => others.every(q => Math.hypot(q.x - at[0], q.y - at[1]) > 9);
    const own = all.filter(({box, far, line}) => line.every(clear) && others.every(q => away(q, box) > (far > NEAR ? NEAR : far + 3)));
    own.sort((a, b) => a.far - b.far);
    return {i, fits: own.length ? own : all.length ? all : [{spot: spots[0], box: boxOf(p, spots[0]), line: []}]};
  }).sort((a, b) => a.fits.length - b.fits.length);
  const chosen = [], hits = (line, box) => line.some(([x, y]) => x > box[0] && x < box[2] && y > box[1] && y < box[3]);
  const together = (a, b) => apart(a.box, b.box) && !hits(a.line, b.box) && !hits(b.line, a.box);
  let tries = 0;
  const fill = k => k === rows.length || rows[k].fits.some(one => {
    if (++tries > MOST_TRIES || !chosen.slice(0, k).every(o => together(o, one))) return false;
    chosen[k] = one;
    return fill(k + 1);
  });
  if (!fill(0)) rows.forEach((row, k) => { chosen[k] = row.fits.find(one => chosen.slice(0, k).every(o => together(o, one))) ?? row.fits[0]; });
  const out = [];
  rows.forEach(({i}, k) => {
    const p = points[i], {spot: [x, y, anchor], box} = chosen[k];
    const lead = away(p, box) > NEAR ? nearest(p, box).map((at, j) => at - (j ? p.y : p.x)) : null;
    out[i] = {x, y: y + 4, anchor, lead};
  });
  return out;
}

/** Which rows a method reads, to scale, as rectangles of [x, y, width, height, lit 0 to 1, kind] in a unit square. */
export function sketch(shape) {
  const {n, d} = shape, out = [];
  if (shape.kind === 'full') out.push([0, 0, 1, 1, 1, 'full-block']);
  if (shape.kind === 'svd') {
    const top = shape.width / d;
    out.push([0, 0, 1, top, 1, 'full-block'], [0, top, 1, 1 - top, 0, 'full-block'],
      [0.02, top, shape.rescored / n, 1 - top, 1, 'full-block']);
  }
  if (shape.kind === 'experts') {
    out.push([0, 0, 1, 1, 0, 'full-block'], [0.02, 0, shape.share, 1, 1, 'full-block']);
  }
  if (shape.kind === 'sampled') {
    out.push([0, 0, 1, 1, 0, 'full-block']);
    for (let i = 0; i < 24; i++) out.push([(i + 0.4) / 24, 0, shape.share / 24, 1, 1, 'full-block']);
  }
  if (shape.kind === 'tree') {
    out.push([0, 0, 1, 1, 0, 'full-block']);
    for (let i = 0; i < 7; i++) out.push([0.5 ** (i + 1), 0, 0.004, 1, 1, 'full-block']);
  }
  if (shape.kind === 'clusters') {
    const edges = [0, ...shape.cutoffs, n], own = [d, ...shape.widths];
    own.forEach((w, i) => out.push([edges[i] / n, 0, (edges[i + 1] - edges[i]) / n, w / d, i ? shape.opened : 1, `c${i}`]));
  }
  return out;
}

/**
 * Put the comparison into `root`.
 *
 * `data`: {lines: [{task, n, rows, exact, measure}], benches: [{task, n, d, rows, trained, machine, points: [{name, short, exact, seconds, q1, q3, right, same, noise,
 * arithmetic, mechanism, shape, outside}]}], task, n, rows, exact, measure, guess: {n, rows, name, factor} or null}.
 * Returns {state, choose(next), guess(next), destroy()}.
 */
export function mountComparison(root, data) {
  const state = {task: data.task, n: data.n, rows: data.rows, exact: Boolean(data.exact), measure: data.measure, seen: null};
  let width = 0, CHART = 312;
  root.classList.add('adasoft-cut', 'adasoft-scene', 'adasoft-comparison');
  // else JupyterLab takes keys for commands; Escape stays the keyboard's way out
  root.addEventListener('keydown', event => { if (event.key !== 'Escape') event.stopPropagation(); });
  html('p', {class: 'instruction'}, root, 'Say what you need. Point at a method to see how it works.');
  const controls = html('div', {class: 'controls'}, root);
  const result = html('p', {class: 'result', role: 'status'}, root);
  const stage = svg('svg', {role: 'group', 'aria-label': 'methods: speed against quality'}, html('div', {class: 'charts'}, root));
  const grid = svg('g', {'aria-hidden': true}, stage), marks = svg('g', {}, stage);
  const detail = html('div', {class: 'detail', role: 'status'}, root);
  const moral = html('p', {class: 'result'}, root);
  const setting = html('p', {class: 'note'}, root);
  const note = html('p', {class: 'note'}, root);

  const unique = values => [...new Set(values)];
  const tasks = unique(data.benches.map(b => b.task));
  const bench = () => {
    const own = data.benches.filter(b => b.task === state.task);
    const sized = own.filter(b => b.n === state.n);
    const near = sized.length ? sized : own.filter(b => b.n === own[0].n);
    return near.find(b => b.rows === state.rows) ?? near[0];
  };
  const choose = next => {
    Object.assign(state, next);
    const now = bench();
    Object.assign(state, {n: now.n, rows: now.rows, seen: null});
    controlsOf(); draw();
  };
  function lines() {
    const box = html('span', {class: 'group', role: 'group', 'aria-label': 'the five lines below'}, controls);
    html('span', {}, box, 'the five lines below ');
    data.lines.forEach((line, i) => {
      const now = ['task', 'n', 'rows', 'exact'].every(key => line[key] === state[key]);
      const button = html('button', {type: 'button', 'aria-pressed': now, 'aria-label': `line ${i + 1}`, 'data-key': `line ${i}`}, box, i + 1);
      button.addEventListener('click', () => { choose(line); controls.querySelector(`[data-key="line ${i}"]`)?.focus(); });
    });
  }
  function group(name, options, chosen, key) {
    const box = html('span', {class: 'group', role: 'group', 'aria-label': name}, controls);
    html('span', {}, box, `${name} `);
    for (const [value, text] of options) {
      const button = html('button', {type: 'button', 'aria-pressed': value === chosen, 'data-key': `${key} ${value}`}, box, text);
      button.addEventListener('click', () => {
        choose({[key]: value});
        controls.querySelector(`[data-key="${key} ${value}"]`)?.focus();
      });
    }
  }
  function controlsOf() {
    controls.replaceChildren();
    const own = data.benches.filter(b => b.task === state.task), sized = own.filter(b => b.n === state.n);
    group('To', tasks.map(t => [t, t]), state.task, 'task');
    group('must be exact?', [[false, 'no'], [true, 'yes']], state.exact, 'exact');
    group('V', unique(own.map(b => b.n)).sort((a, b) => a - b).map(n => [n, whole(n)]), state.n, 'n');
    group('hidden states at once', unique(sized.map(b => b.rows)).sort((a, b) => a - b).map(r => [r, whole(r)]), state.rows, 'rows');
    if (bench().trained)
      group('judged by', [['right', 'next word found'], ['same', 'same ten as the full softmax']], state.measure, 'measure');
    lines();
  }

  const X = pace => EDGE.left + Math.log(pace / LEAST) / Math.log(MOST / LEAST) * (width - EDGE.left - EDGE.right);
  const range = () => (state.measure === 'same' ? [60, 102] : [52, 60]);
  const Y = (bench, point, i) => {
    if (!bench.trained) return EDGE.top + (i + 0.7) * (CHART - EDGE.top - EDGE.bottom) / bench.points.length;
    const [low, high] = range();
    return CHART - EDGE.bottom - (100 * point[state.measure] - low) / (high - low) * (CHART - EDGE.top - EDGE.bottom);
  };
  const text = (parent, x, y, words, more = {}) => svg('text', {x, y, ...more}, parent, words);

  function axes(now) {
    grid.replaceChildren();
    for (const tick of TICKS) {
      svg('line', {x1: X(tick), x2: X(tick), y1: EDGE.top, y2: CHART - EDGE.bottom, class: tick === 1 ? 'full' : 'grid'}, grid);
      text(grid, X(tick), CHART - EDGE.bottom + 16, `${tick}×`, {'text-anchor': 'middle'});
    }
    text(grid, width - EDGE.right, CHART - 10, 'times faster than the full softmax →', {'text-anchor': 'end', class: 'strong'});
    text(grid, X(1) - 4, CHART - 10, '← slower', {'text-anchor': 'end'});
    if (!now.trained) return;
    const [low, high] = range(), step = high - low > 20 ? 10 : 2;
    for (let tick = low; tick <= Math.min(high, 100); tick += step) {
      const y = Y(now, {[state.measure]: tick / 100}, 0);
      svg('line', {x1: EDGE.left, x2: width - EDGE.right, y1: y, y2: y, class: 'grid'}, grid);
      text(grid, EDGE.left - 6, y + 4, `${tick} %`, {'text-anchor': 'end'});
    }
    const middle = (CHART - EDGE.bottom + EDGE.top) / 2;
    text(grid, 13, middle, state.measure === 'same' ? 'same words as the full softmax' : 'next word among its ten',
      {'text-anchor': 'middle', transform: `rotate(-90 13 ${middle})`});
  }

  function draw() {
    const now = bench(), order = ranked(now, state.exact), fits = p => !state.exact || p.exact;
    const full = now.points.find(p => p.short === 'full softmax'), best = order[0];
    width = Math.max(300, root.clientWidth || 900);
    CHART = width < NARROW ? 252 : 312;
    set(stage, {width, height: CHART, viewBox: `0 0 ${width} ${CHART}`});
    axes(now);
    const at = order.map((p, i) => ({...p, x: X(full.seconds / p.seconds), y: Y(now, p, i), text: width < NARROW ? p.brief ?? p.short : p.short}));
    const cross = guessAt(now, at), spots = placed(at, width, cross ? [[cross.x - 9, cross.y - 9, cross.x + 84, cross.y + 9]] : []);
    const old = new Map([...marks.querySelectorAll('.method')].map(node => [node.dataset.name, node]));
    at.forEach((p, i) => {
      const node = old.get(p.name) ?? svg('g', {class: 'method', role: 'button', tabindex: 0, 'data-name': p.name}, marks);
      old.delete(p.name);
      marks.append(node);
      node.replaceChildren();
      node.style.transform = `translate(${p.x}px, ${p.y}px)`;
      node.classList.toggle('ruled-out', !fits(p));
      node.setAttribute('aria-label', `${p.name}: ${msText(p.seconds)}, ${paceText(full.seconds / p.seconds)}`
        + (now.trained ? `, next word among its ten best ${(100 * p.right).toFixed(1)} %` : ''));
      if (now.trained && p.noise && state.measure === 'right') {
        const [low, high] = range(), half = 100 * p.noise / (high - low) * (CHART - EDGE.top - EDGE.bottom);
        svg('line', {x1: 0, x2: 0, y1: -half, y2: half, class: 'noise'}, node);
      }
      if (spots[i].lead) svg('line', {x1: 0, y1: 0, x2: spots[i].lead[0], y2: spots[i].lead[1], class: 'lead'}, node);
      svg('circle', {r: 16, class: 'reach'}, node);
      svg('circle', {r: p === best || p.name === best.name ? 7 : 5.5, class: `point${p.shape.kind === 'clusters' ? ' ours' : ''}`}, node);
      text(node, spots[i].x, spots[i].y, p.text, {'text-anchor': spots[i].anchor, class: p.name === best.name ? 'strong' : ''});
      const show = () => { state.seen = p.name; explain(); };
      node.onpointerenter = show; node.onfocus = show; node.onclick = show;
      node.onkeydown = event => { if (event.key === 'Enter' || event.key === ' ') { event.preventDefault(); show(); } };
    });
    for (const node of old.values()) node.remove();
    guessed(cross);
    if (!now.points.some(p => p.name === state.seen)) state.seen = best.name;  // after a choice: what the verdict names
    say(now, order, full);
    explain();
  }
  function guessAt(now, at) {
    const {guess} = data;
    if (!guess || guess.n !== now.n || guess.rows !== now.rows || state.task !== guess.task) return null;
    // on the axis, for it is a guess of a speed: above, it would cover the methods
    return at.some(p => p.name === guess.name) ? {x: X(Math.min(MOST, Math.max(LEAST, guess.factor))), y: CHART - EDGE.bottom} : null;
  }
  function guessed(cross) {
    marks.querySelector('.guess-mark')?.remove();
    if (!cross) return;
    const mark = svg('g', {class: 'guess-mark', transform: `translate(${cross.x},${cross.y})`}, marks);
    svg('path', {d: 'M-6,-6L6,6M-6,6L6,-6', class: 'cross'}, mark);
    const end = cross.x > width - 100;
    text(mark, end ? -10 : 10, -6, 'your guess', {class: 'guess-text', 'text-anchor': end ? 'end' : 'start'});
  }

  function say(now, order, full) {
    const fitting = order.filter(p => !state.exact || p.exact), [best, next] = fitting;
    result.replaceChildren();
    const even = fitting.slice(1).filter(p => level(best, p)).map(p => p.name);
    setting.textContent = `${whole(now.n)} words, d = ${now.d}, ${now.rows === 1 ? '1 hidden state' : `${whole(now.rows)} hidden states at once`}. ${now.machine}.`;
    html('strong', {}, result, `Fastest${now.trained ? '' : ', by time alone'}: ${best.name}`);
    if (fitting.length === 1 && best === full) {
      result.append(`, ${msText(best.seconds)}: the only exact method recorded at these sizes. The adaptive softmax was not recorded here.`);
    } else {
      result.append(`, ${msText(best.seconds)}: ${best === full ? 'nothing here is faster' : `${paceText(full.seconds / best.seconds)} (${msText(full.seconds)})`}. `);
      if (best.outside) result.append(`But ${(100 * best.outside).toFixed(0)} % of the next words get probability zero. `);
      result.append(even.length ? `As fast, within the noise: ${even.join(', ')}. ` : next ? `Next: ${next.name}, ${msText(next.seconds)}. ` : '');
    }
    moral.textContent = now.moral && !state.exact ? now.moral : '';
    const other = 'An adaptive softmax is a model of its own: its ten best may differ from the full one’s and be as good. Compare the next word found.';
    note.textContent = state.exact && state.task !== 'train' ? `Exact: the ten best words of its own model, none missed. ${now.trained ? other : ''}`
      : now.trained ? (state.measure === 'right' ? `Trained models. Bars: the uncertainty from testing on ${whole(now.places)} places.` : `Trained models. ${other}`)
        : `Time alone, and the height means nothing: the weights are random.${now.n === 800000 ? ' Two choices of W and N with a fifth of the multiplications each.' : ''}`;
  }
  function explain() {
    const now = bench(), p = now.points.find(q => q.name === state.seen) ?? now.points[0];
    marks.querySelectorAll('.method').forEach(node => node.classList.toggle('seen', node.dataset.name === p.name));
    detail.replaceChildren();
    const picture = svg('svg', {width: 210, height: 64, viewBox: '-1 -1 212 66', role: 'img', 'aria-label': `what ${p.name} reads, to scale`}, detail);
    for (const [x, y, w, h, lit, kind] of sketch(p.shape))
      svg('rect', {x: 210 * x, y: 64 * y, width: Math.max(1.2, 210 * w), height: Math.max(1.5, 64 * h), class: `block ${kind}`,
        style: `fill-opacity: ${(0.15 + 0.85 * lit).toFixed(2)}`}, picture);
    const words = html('p', {}, detail);
    html('strong', {}, words, `${p.name}. `);
    words.append(`${p.mechanism} ${(100 * p.arithmetic).toFixed(p.arithmetic < .1 ? 1 : 0)} % of the full softmax’s multiplications, ${msText(p.seconds)}`
      + (!now.trained ? '.' : (state.measure === 'same' ? `; ${(100 * p.same).toFixed(1)} % of its ten best words are the full softmax’s`
        : `; the next word is among its ten best at ${(100 * p.right).toFixed(1)} % of the places`)
        + (p.outside ? `; ${(100 * p.outside).toFixed(0)} % of the next words have probability zero.` : '.')));
  }

  const observer = new ResizeObserver(() => { if (root.clientWidth && Math.abs(root.clientWidth - width) > 1) draw(); });
  choose({});
  observer.observe(root);
  return {state, choose, guess(next) { data = {...data, guess: next}; draw(); }, destroy() { observer.disconnect(); root.replaceChildren(); }};
}
