// The drawing of the cut explorer: words with a handle for each cutoff, the curve of one cutoff under them, and bars of
// shares and of time on a scale that a drag does not move, the full softmax being the whole row. The last bar shows shares of the time.
import {counted, fitted, html, percent, mostFrequent, set, sub, svg, times, whole} from './dom.js';

const STEP = {ArrowRight: 1.02, ArrowUp: 1.02, ArrowLeft: 1 / 1.02, ArrowDown: 1 / 1.02, PageUp: 1.25, PageDown: 0.8};
const WORDS = {top: 24, bottom: 120}, CURVE = {top: 166, bottom: 285}, BARS = {top: 313, row: 16, high: 11, rows: 5};
const THIN = 5;                               // pixels: the light edge of a narrower bar would hide it
const STAR = 'M0,-9 2.2,-3 8.6,-2.8 3.5,1.1 5.3,7.3 0,3.7 -5.3,7.3 -3.5,1.1 -8.6,-2.8 -2.2,-3z';
const CROSS = 'M-5,-5 5,5 M-5,5 5,-5';

/** The frame of the page: what does not change. */
export function frame(view) {
  const {root} = view;
  const instruction = html('p', {class: 'instruction'}, root);
  const result = html('p', {class: 'result'}, root), charts = html('div', {class: 'charts'}, root);
  const drawing = svg('svg', {role: 'group'}, charts);
  const tooltip = html('div', {class: 'tooltip', hidden: ''}, charts);
  const reveal = html('div', {class: 'reveal'}, root);
  html('button', {type: 'button', class: 'primary'}, reveal, 'Show what it costs').addEventListener('click', () => view.reveal());
  html('span', {class: 'first-move'}, reveal, 'First move the handle.');
  const price = html('p', {class: 'price'}, root), clusters = html('div', {class: 'clusters', role: 'list', 'aria-label': 'clusters'}, root);
  return {instruction, charts, drawing, tooltip, reveal, result, price, clusters};
}

// ------------------------------------------------------------------ scales

/** Round numbers on a logarithmic axis: 1, 2 and 5 of each power of ten where there are few powers, else 1. */
function ticks(low, high) {
  const few = Math.log10(high / low) < 2.2, found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
    for (const factor of few ? [1, 2, 5] : [1]) found.push(factor * 10 ** power);
  return found.filter(tick => tick >= low && tick <= high);
}

/** One horizontal axis for words and curve; and the axes of time, which stay while a handle is dragged. */
function scales(view) {
  const {width, words} = view, narrow = width < 480;
  const left = narrow ? 60 : 92, right = narrow ? 84 : 116, room = width - left - right, top = Math.log10(words.n);
  Object.assign(view, {narrow, left, right, room});
  view.X = rank => left + (top ? Math.log10(rank) / top : 0) * room;
  view.rankAt = x => 10 ** ((x - left) / room * top);
}
function timeScales(view) {
  const {found, state} = view, points = state.cuts.length ? view.samples(state.active) : [];
  const full = found.full || 1;
  // of the whole curve and not of where the handle stands: it stays while one moves, and what is too cheap leaves the frame
  const bottom = Math.min(full / 4, ...points.map(p => Math.max(p.rises, p.falls)), ...points.map(p => p.total / 2));
  const least = Math.min(full, ...points.map(p => p.total)), low = Math.log10(0.5 * bottom || 1e-12);
  const high = Math.log10(1.35 * Math.max(full, 1.6 * least));
  view.low = 10 ** low; view.high = 10 ** high;
  const at = seconds => (Math.log10(Math.max(seconds, 1e-300)) - low) / (high - low), y = part => CURVE.bottom - part * (CURVE.bottom - CURVE.top);
  view.T = seconds => y(Math.min(1.02, Math.max(-0.03, at(seconds))));      // of a mark, which stays in sight
  view.lineT = seconds => y(at(seconds));                                   // of a line, which is cut off at the frame
  view.longest = full;
}

// ------------------------------------------------------------------ what changes with words and the number of cuts

export function arrange(view) {
  const {parts, state, words} = view, {drawing} = parts;
  view.width = Math.max(280, parts.charts.clientWidth || 900);
  parts.result.classList.toggle('two-lines', view.width < 700);      // always: the charts below it stay
  scales(view);
  const height = state.hidden ? WORDS.bottom + 34 : BARS.top + BARS.rows * BARS.row + 2;
  set(drawing, {width: view.width, height, viewBox: `0 0 ${view.width} ${height}`,
                'aria-label': `Words of ${words.name} by frequency, with ${counted(state.cuts.length, 'cutoff')}`});
  drawing.replaceChildren();
  parts.reveal.hidden = !state.hidden;
  svg('g', {class: 'bands'}, drawing);
  wordAxis(view, svg('g', {}, drawing));
  if (!state.hidden) {
    svg('g', {class: 'time', 'aria-hidden': true}, drawing);
    svg('g', {class: 'bars', 'aria-hidden': true}, drawing);
  }
  state.cuts.forEach((_, i) => handle(view, i));
  if (!state.hidden && state.cuts.length) marks(view);
  view.arranged = [state.cuts.length, state.hidden].join();
  view.rescale = true;
}

function text(parent, content, x, y, kind = '', anchor = 'start') {
  return svg('text', {x, y, class: kind, 'text-anchor': anchor}, parent, content);
}
function upright(parent, content, y) {
  text(parent, content, 14, y, 'axis-title', 'middle').setAttribute('transform', `rotate(-90 14 ${y})`);
}

function wordAxis(view, group) {
  const {words, X, left, room, narrow} = view;
  let last = words.n;
  if (!words.share(last)) last = Math.max(1, words.seen);          // a count of 0 has no place on this axis
  const low = Math.log10(words.share(last)), high = Math.log10(words.share(1));
  const Y = share => WORDS.bottom - 4 - (Math.log10(share) - low) / (high - low || 1) * (WORDS.bottom - WORDS.top - 8);
  for (let power = 0; 10 ** power <= words.n; power += narrow && words.n > 2e4 ? 2 : 1) {
    const rank = 10 ** power, x = X(rank), near = words.word(rank);
    svg('line', {x1: x, x2: x, y1: WORDS.top, y2: WORDS.bottom, class: 'grid'}, group);
    if (!view.state.hidden) svg('line', {x1: x, x2: x, y1: CURVE.top, y2: CURVE.bottom, class: 'grid'}, group);
    text(group, whole(rank), x, WORDS.bottom + 15, '', 'middle');
    if (near) text(group, near.word, x, WORDS.bottom + 30, 'word', 'middle');
  }
  let path = '', before = 0;
  for (let i = 0; i <= 200; i++) {
    const rank = Math.max(1, Math.round(last ** (i / 200)));
    if (rank === before) continue;
    path += `${before ? 'L' : 'M'}${X(rank).toFixed(1)},${Y(words.share(rank)).toFixed(1)}`;
    before = rank;
  }
  svg('path', {class: 'share', d: path}, group);
  for (const share of [0.1, 1e-3, 1e-5, 1e-7].filter(one => one > words.share(last) && one < words.share(1) && (!narrow || one > 1e-6))) {
    svg('line', {x1: left, x2: left + room, y1: Y(share), y2: Y(share), class: 'grid'}, group);
    text(group, `${(100 * share).toPrecision(1) * 1} %`, left - 6, Y(share) + 4, '', 'end');
  }
  if (!narrow) upright(group, 'frequency (log)', (WORDS.top + WORDS.bottom) / 2);
  text(group, 'rank', left - 8, WORDS.bottom + 15, 'axis-title', 'end');
  const strip = svg('rect', {x: left, y: WORDS.top, width: room, height: WORDS.bottom - WORDS.top, class: 'strip'}, group);
  strip.addEventListener('pointermove', event => hoverWord(view, event));
  strip.addEventListener('pointerleave', () => { view.parts.tooltip.hidden = true; });
  strip.addEventListener('click', event => jump(view, event));
}

/** The nearest handle comes to where the words are clicked. */
function jump(view, event) {
  const {state, X, parts} = view, x = event.clientX - parts.drawing.getBoundingClientRect().left;
  if (!state.cuts.length) return;
  const away = state.cuts.map(cut => Math.abs(X(cut) - x)), i = away.indexOf(Math.min(...away));
  view.begin(); view.setCut(i, view.rankAt(x)); view.end();
  parts.drawing.querySelectorAll('.handle')[i].focus({preventScroll: true});
}

/** The axis of time, the full softmax on it, and the curve with the two parts that trade against each other. */
function timeAxis(view) {
  const {T, left, room, width, right, say, found, state, narrow} = view, i = state.active;
  const group = view.parts.drawing.querySelector('.time');
  group.replaceChildren();
  view.curve = null;
  for (const tick of ticks(view.low / say.scale, view.high / say.scale).map(round => round * say.scale)) {
    const y = T(tick);
    svg('line', {x1: left, x2: width - right, y1: y, y2: y, class: 'grid'}, group);
    text(group, say.counted ? say.brief(tick).replace(' million', '') : say.brief(tick), left - 6, y + 4, '', 'end');
  }
  if (!narrow) upright(group, say.counted ? say.counted === 'words' ? 'words scored' : 'mult., millions' : 'time of a step', (CURVE.top + CURVE.bottom) / 2);
  const y = T(found.full);
  svg('line', {x1: left, x2: width - right, y1: y, y2: y, class: 'full'}, group);
  text(group, narrow ? 'full' : 'full softmax', width - right + 6, y + 4, 'strong');
  const points = state.cuts.length ? view.samples(i) : [];
  if (!points.length) {
    if (!state.cuts.length) text(group, 'Choose one cutoff or more, and its curve is drawn here.', left + room / 2, (CURVE.top + CURVE.bottom) / 2, 'axis-title', 'middle');
    return;
  }
  const clip = svg('clipPath', {id: `adasoft-clip-${view.made}`}, svg('defs', {}, group));
  const seen = svg('rect', {x: left, y: CURVE.top - 2, width: room, height: CURVE.bottom - CURVE.top + 4}, clip);
  const curves = svg('g', {class: 'curves', 'clip-path': `url(#adasoft-clip-${view.made})`}, group), floor = forbidden(view, curves, points);
  const line = of => points.map((p, at) => `${at ? 'L' : 'M'}${view.X(p.rank).toFixed(1)},${view.lineT(of(p)).toFixed(1)}`).join('');
  points[0].parts?.forEach((_, k) => {           // the parts that this cutoff does not move: with them the sum adds up
    if (k === i || k === i + 1) return;
    svg('path', {class: `line still ${k > state.cuts.length ? 'sorting' : `c${k}`}`, d: line(p => p.parts[k])}, curves);
  });
  for (const [part, kind] of [['falls', `part falls c${i + 1}`], ['rises', `part rises c${i}`], ['total', 'total']])
    svg('path', {class: `line ${kind}`, d: line(p => p[part])}, curves);
  text(group, `cutoff ${sub(i + 1)}: how many words ${i ? `are in front of tail ${i + 1}` : 'the head holds'}`
    .replace('cutoff ', 'c'), left + room / 2, CURVE.bottom + 17, 'axis-title', 'middle');
  view.curve = {points, floor, seen, names: svg('g', {}, group)};
  curveNames(view);
}

/** The curve as far as the reader's handle has been, where the bottom is to be found: `given.trace`. A plan shows it whole. */
function drawTrace(view) {
  const {state, given, words, curve, X, left, room} = view, cut = state.cuts[state.active], key = [state.active, state.cuts.length].join();
  if (!given.trace || !curve) { view.been = null; return; }
  const before = view.been?.key === key ? view.been : {key, low: cut, high: cut};
  view.been = given.plan ? {key, low: 1, high: words.n} : {key, low: Math.min(before.low, cut), high: Math.max(before.high, cut)};
  const {low, high} = view.been, from = Math.max(left, X(low)), to = Math.min(left + room, X(high));
  set(curve.seen, {x: from, width: Math.max(0, to - from)});
  const shown = [view.made, low, high].join();
  if (curve.shown !== shown) { curve.shown = shown; curveNames(view); }
}

/** Each part is named where it leaves the frame, or at its end: there the two are apart. */
function curveNames(view) {
  const {T, X, state, been, narrow, given} = view, {points: all, floor, names} = view.curve, i = state.active;
  const points = given.trace ? all.filter(p => been && p.rank >= been.low && p.rank <= been.high) : all;
  names.replaceChildren();
  if (points.length && X(points.at(-1).rank) - X(points[0].rank) >= 150) {
    const to = X(points.at(-1).rank), inFrame = part => points.filter(p => T(p[part]) < CURVE.bottom - 8);
    const named = (name, kind, part, p, dx, dy, anchor) => {
      const x = X(p.rank) + dx, [low, high] = anchor === 'end' ? [x - 42, x + 4] : [x - 4, x + 42];
      const struck = state.cuts.map(X).find(one => one > low && one < high);       // by the line of a handle: beyond it
      text(names, name, struck === undefined ? x : struck + (Math.sign(dx) || 1) * 8, Math.min(CURVE.bottom - 6, T(p[part]) + dy), `end ${kind}`, anchor);
    };
    const rising = inFrame('rises')[0], falling = inFrame('falls').at(-1);
    const [begun, ended] = [rising === points[0], falling === points.at(-1)];
    if (rising && to - X(rising.rank) > (begun ? 60 : 24))
      named(nameOf(i), `c${i}`, 'rises', rising, begun ? 6 : -8, begun ? 14 : 4, begun ? 'start' : 'end');
    if (falling) named(nameOf(i + 1), `c${i + 1}`, 'falls', falling, ended ? -4 : 8, ended ? -7 : 4, ended ? 'end' : 'start');
    if (!narrow && points.at(-1) === all.at(-1)) stillNames(view, names, points);
    named('total', 'strong', 'total', points[Math.round(0.03 * points.length)], 0, -8, 'start');
  }
  if (points[0] === all[0] || points.length && X(points[0].rank) < floor?.from + 8) floorName(view, names, all, floor);
}

/** What a plan may not take: a head with less than `floor` of the tokens. */
function forbidden(view, curves, points) {
  const {given, state, words, X} = view;
  if (state.active || !given.floor) return null;
  let low = points[0].rank, high = points.at(-1).rank;
  while (low < high) { const middle = (low + high) >> 1; if (words.cumulative(middle) >= given.floor) high = middle; else low = middle + 1; }
  const from = X(points[0].rank), wide = X(low) - from;
  if (wide < 4) return null;
  svg('rect', {x: from, width: wide, y: CURVE.top, height: CURVE.bottom - CURVE.top, class: 'forbidden'}, curves);
  return {from, wide};
}

/** Its name, from the bottom up in the first row where it covers no line and no other name. */
function floorName(view, group, points, floor) {
  if (!floor) return;
  const {T, X, given, found} = view, others = [...group.parentNode.querySelectorAll('text')].map(one => one.getBBox());
  const name = text(group, '', floor.from + 6, 0, 'axis-title'), share = `${Math.round(100 * given.floor)} %`;
  for (const words of [`floor: with less than ${share} of the tokens in the head it predicts worse`, `floor: under ${share} it predicts worse`, `floor: ${share}`]) {
    const wide = fitted(name, [words], Infinity).getComputedTextLength(), to = floor.from + 6 + wide;
    if (wide > floor.wide - 10) continue;
    const under = points.filter(p => X(p.rank) > floor.from - 8 && X(p.rank) < to + 8).flatMap(p => [p.total, p.rises, p.falls, ...(p.parts ?? [])]);
    const lines = [found.full, ...under].map(T);
    for (let y = CURVE.bottom - 6; y > CURVE.top + 14; y -= 4) {
      const free = lines.every(at => at < y - 13 || at > y + 5)
        && others.every(box => box.x > to + 4 || box.x + box.width < floor.from || box.y > y + 3 || box.y + box.height < y - 11);
      if (free) { set(name, {y}); return; }
    }
  }
  name.remove();
}

/** Names of the thin lines, right of the plot, each on a line of its own. */
function stillNames(view, group, points) {
  const {T, width, right, state, found} = view, i = state.active, last = points.at(-1).parts ?? [];
  let free = T(found.full) + 14;
  last.map((seconds, k) => [k, T(seconds)]).filter(([k, y]) => k !== i && k !== i + 1 && y < CURVE.bottom)
    .sort((a, b) => a[1] - b[1]).forEach(([k, y]) => {
      const at = Math.max(y + 4, free);
      if (at > CURVE.bottom + 4) return;
      free = at + 13;
      text(group, k > state.cuts.length ? 'sorting' : nameOf(k), width - right + 6, at, `end ${k > state.cuts.length ? 'sorting' : `c${k}`}`);
    });
}

function marks(view) {
  const {drawing} = view.parts;
  for (const [kind, d] of [['ghost', ''], ['guess', CROSS], ['star', STAR]])
    svg(d ? 'path' : 'circle', d ? {class: kind, d} : {class: kind, r: 6}, drawing);
  for (const [kind, name] of [['guess', 'your guess'], ['star', 'plan'], ['ghost', 'before']]) text(drawing, name, 0, 0, `${kind}-text`);
  const ring = svg('circle', {r: 7.5, class: 'you'}, drawing);
  ring.addEventListener('pointermove', event => hoverCurve(view, event));
  ring.addEventListener('pointerleave', () => { view.parts.tooltip.hidden = true; });
  dragged(view, ring, null);
}

// ------------------------------------------------------------------ handles

function handle(view, i) {
  const {state, parts} = view;
  const group = svg('g', {class: 'handle', tabindex: 0, role: 'slider', 'data-i': i, 'aria-label': `cutoff ${i + 1}`,
                          'aria-orientation': 'horizontal', 'aria-description': 'Arrow keys move it by 2 %, Page keys by 25 %, Home and End to the ends'}, parts.drawing);
  const bottom = state.hidden ? WORDS.bottom : CURVE.bottom, row = WORDS.top + 9 + (state.cuts.length > 3 ? 16 : 20) * i;
  // not through the names of the axis between the two charts
  svg('path', {d: `M0,${WORDS.top - 4}V${WORDS.bottom}${state.hidden ? '' : `M0,${CURVE.top}V${bottom}`}`, class: 'cut'}, group);
  svg('line', {y1: WORDS.top - 4, y2: bottom, class: 'hit'}, group);
  svg('circle', {cy: row, r: 8, class: 'knob'}, group);
  text(group, '', 13, row + 4, 'value');
  text(group, '', -7, WORDS.bottom - 7 - 17 * (i % 3), 'word last', 'end');
  text(group, '', 7, WORDS.bottom - 7 - 17 * (i % 3), 'word first');
  dragged(view, group, i);
  group.addEventListener('focus', () => {
    view.activate(i);
    if (group.matches(':focus-visible')) view.root.scrollIntoView({block: 'nearest'});   // by keyboard: all that it moves
  });
  group.addEventListener('keydown', event => {
    const factor = STEP[event.key], at = state.cuts[i];
    if (!factor && ![' ', 'Home', 'End'].includes(event.key)) return;
    event.preventDefault(); event.stopPropagation();          // else JupyterLab moves between cells, or the page scrolls
    if (event.key === ' ') return;
    view.setCut(i, event.key === 'Home' ? 1 : event.key === 'End' ? view.words.n
      : factor > 1 ? Math.max(at + 1, at * factor) : Math.min(at - 1, at * factor));
  });
}

function dragged(view, node, index) {
  let offset = 0;
  const place = event => event.clientX - view.parts.drawing.getBoundingClientRect().left;
  node.addEventListener('pointerdown', event => {
    const i = index ?? view.state.active;
    view.begin(); view.drag = i; view.activate(i);
    node.setPointerCapture(event.pointerId);
    view.parts.drawing.querySelectorAll('.handle')[i].focus({preventScroll: true});
    offset = place(event) - view.X(view.state.cuts[i]);
    event.preventDefault(); event.stopPropagation();
  });
  node.addEventListener('pointermove', event => { if (view.drag !== null) view.setCut(view.drag, view.rankAt(place(event) - offset)); });
  const end = () => { if (view.drag !== null) { view.drag = null; view.end(); } };
  node.addEventListener('pointerup', end); node.addEventListener('pointercancel', end);
}

/** "the 22nd most frequent word: about, 0.51 % of tokens": where the pointer is. */
function hoverWord(view, event) {
  const {words, parts} = view, x = event.clientX - parts.drawing.getBoundingClientRect().left;
  const rank = Math.min(words.n, Math.max(1, Math.round(view.rankAt(x)))), near = words.word(rank), at = near ? near.rank : rank;
  parts.tooltip.replaceChildren(mostFrequent(at));
  if (near) { parts.tooltip.append(': '); html('em', {}, parts.tooltip, near.word); }
  parts.tooltip.append(`, ${percent(words.share(at))} of tokens`);
  placeTooltip(view, event);
}
function hoverCurve(view, event) {
  const {found, state, say, parts} = view, i = state.active, name = at => (at ? `tail ${at}` : 'head');
  parts.tooltip.replaceChildren(`you: ${say.brief(found.seconds)}; ${name(i)} ${say.brief(found.clusters[i].seconds)}, `
    + `${name(i + 1)} ${say.brief(found.clusters[i + 1].seconds)}`);
  placeTooltip(view, event);
}
function placeTooltip(view, event) {
  const {tooltip, drawing} = view.parts, box = drawing.getBoundingClientRect();
  tooltip.hidden = false;
  tooltip.style.left = `${Math.min(Math.max(8, event.clientX - box.left + 12), Math.max(8, view.width - tooltip.offsetWidth - 8))}px`;
  tooltip.style.top = `${event.clientY - box.top + 16}px`;
}

// ------------------------------------------------------------------ what changes with every move

export function draw(view) {
  const {state, parts} = view;
  if (view.arranged !== [state.cuts.length, state.hidden].join()) arrange(view);
  if (view.rescale && !state.hidden) { view.rescale = false; timeScales(view); timeAxis(view); }
  if (!state.hidden) drawTrace(view);
  drawBands(view);
  parts.drawing.querySelectorAll('.handle').forEach((node, i) => drawHandle(view, node, i));
  if (!state.hidden) { drawMarks(view); drawBars(view); }
  const [button, first] = parts.reveal.children;
  button.disabled = !state.moved; first.hidden = state.moved;
  drawClusters(view);
}

const nameOf = i => (i ? `tail ${i}` : 'head');

function drawBands(view) {
  const {state, words, found, X} = view, bands = view.parts.drawing.querySelector('.bands'), edges = [1, ...state.cuts, words.n];
  bands.replaceChildren();
  found.clusters.forEach((cluster, i) => {
    const x = X(edges[i]), wide = Math.max(0, X(edges[i + 1]) - x), name = nameOf(i);
    svg('rect', {x, width: wide, y: WORDS.top - 4, height: WORDS.bottom - WORDS.top + 4, class: `band c${i}`}, bands);
    const full = `${name}: ${percent(cluster.share)} of tokens`;
    const label = [full, `${name}: ${percent(cluster.share)}`, name, ''].find(one => 6.6 * one.length < wide || !one);
    text(bands, label, x + wide / 2, WORDS.top - 11, 'strong', 'middle');
  });
}

function drawHandle(view, node, i) {
  const {state, words, X} = view, rank = state.cuts[i], x = X(rank), [low, high] = view.limits(i);
  const near = i + 1 < state.cuts.length && X(state.cuts[i + 1]) - x < 80 && x - view.left > 80;    // its number would cross the next line
  const flip = x > view.width - view.right - 80 || i === state.active && near, {last, first} = words.around(rank);
  node.setAttribute('transform', `translate(${x.toFixed(2)},0)`);
  node.classList.toggle('active', i === state.active);
  const end = last ? `, the last of them ${last.rank === rank ? '' : 'near '}“${last.word}”` : '';
  set(node, {'aria-valuenow': rank, 'aria-valuemin': low, 'aria-valuemax': high,
             'aria-valuetext': `${counted(rank, 'word')}${end}; ${percent(words.cumulative(rank))} of tokens`});
  const value = node.querySelector('.value');
  // with three and more, only the one in hand has room for its number and words
  const full = i === state.active || state.cuts.length < 3 && !view.narrow;
  value.textContent = full ? `c${sub(i + 1)} = ${whole(rank)}` : `c${sub(i + 1)}`;
  set(value, {x: flip ? -13 : 13, 'text-anchor': flip ? 'end' : 'start'});
  // neither through the next handle's line nor out of the chart
  fitted(node.querySelector('.last'), [full && last ? last.word : '', ''], x - 9 - (i ? X(state.cuts[i - 1]) : view.left));
  fitted(node.querySelector('.first'), [full && first ? first.word : '', ''], (i + 1 < state.cuts.length ? X(state.cuts[i + 1]) : view.left + view.room) - x - 9);
}

/** Where the reader is, where he began, what he guessed and what was planned. */
function drawMarks(view) {
  const {state, given, found, T, X} = view, {drawing} = view.parts, i = state.active;
  if (!state.cuts.length) return;
  set(drawing.querySelector('.you'), {cx: X(state.cuts[i]), cy: T(found.seconds)});
  const points = view.samples(i);
  const at = rank => points.reduce((near, p) => (Math.abs(p.rank - rank) < Math.abs(near.rank - rank) ? p : near), points[0])?.total;
  const put = (kind, rank, dy, anchor = 'start', seconds = rank ? at(rank) : undefined) => {
    const node = drawing.querySelector(`.${kind}`), name = drawing.querySelector(`.${kind}-text`);
    for (const one of [node, name]) one.setAttribute('visibility', seconds === undefined ? 'hidden' : 'visible');
    if (seconds === undefined) return;
    const x = X(rank), y = T(seconds);
    node.setAttribute('transform', `translate(${x.toFixed(1)},${y.toFixed(1)})`);
    set(name, {x: anchor === 'end' ? x - 11 : x + 11, y: y + dy, 'text-anchor': anchor});
  };
  const {plan} = given, began = state.began?.made === view.made ? state.began.cuts : null;
  const same = began && began.every((cut, k) => k === i || cut === state.cuts[k]);
  const guessed = state.guess?.words <= view.words.n && (i === 0 || state.guess.number) && (!state.guess.about || state.guess.about === view.about());
  // a guess of another number of cutoffs is no point of this curve: it stands at its own time
  const other = guessed && state.guess.number && state.guess.number !== state.cuts.length;
  drawing.querySelector('.guess-text').textContent = other && !view.narrow ? `your guess, ${counted(state.guess.number, 'cutoff')}` : 'your guess';
  // away from the star, which stands near it
  const before = plan && guessed && state.guess.words < plan[0] && X(state.guess.words) - view.left > 80;
  // on a phone above the curve, where it leads down: below it are the names of its parts
  const down = plan ? state.guess?.words < plan[0] : false;
  put('guess', guessed ? state.guess.words : 0, view.narrow ? -8 : 17, (view.narrow ? !down : before) ? 'end' : 'start', other ? state.guess.seconds : undefined);
  put('star', plan?.length === state.cuts.length ? plan[i] : 0, -11);
  const ahead = same && began[i] < state.cuts[i] && X(began[i]) - view.left > 110;          // its name away from the ring
  put('ghost', same && Math.abs(X(began[i]) - X(state.cuts[i])) > 12 ? began[i] : 0, -9, ahead ? 'end' : 'start');
}

/** Shares of words and of tokens, and the times on their fixed scale. */
function drawBars(view) {
  const {found, words, left, room, say, state, width, right} = view, group = view.parts.drawing.querySelector('.bars');
  group.replaceChildren();
  const stack = (row, name, sizes, most, told) => {
    const y = BARS.top + row * BARS.row;
    text(group, name, left - 6, y + 11, 'strong', 'end');
    let x = left;
    for (const [kind, size] of sizes) {
      const wide = Math.min(size / most * room, left + room - x);
      svg('rect', {x, y, width: Math.max(0, wide), height: BARS.high, class: `bar ${kind}${wide < THIN ? ' thin' : ''}`}, group);
      x += wide;
    }
    text(group, told, width - right + 6, y + 11);
    return x;
  };
  const head = share => (view.narrow && percent(share).length > 6 ? percent(share) : `head ${percent(share)}`);
  const parts = key => found.clusters.map((cluster, i) => [`c${i}`, cluster[key]]);
  stack(0, 'words', parts('size'), words.n, head(found.clusters[0].size / words.n));
  stack(1, 'tokens', parts('share'), 1, head(found.clusters[0].share));
  stack(2, view.narrow ? 'full' : 'full softmax', [['full-bar', found.full]], view.longest, say.brief(found.full));
  const own = [...parts('seconds'), ['sorting', found.sorting]];
  const end = stack(3, view.narrow ? 'layer' : 'this layer', own, view.longest, say.brief(found.seconds));
  if (found.seconds > 1.001 * view.longest)      // longer than the full softmax, whose bar fills the row
    svg('path', {class: 'beyond', d: `M${left + room - 13},${BARS.top + 3 * BARS.row}l6,${BARS.high / 2}l-6,${BARS.high / 2}m6,${-BARS.high}l6,${BARS.high / 2}l-6,${BARS.high / 2}`}, group);
  stack(4, view.narrow ? 'parts' : 'its parts', own, found.seconds || 1, found.seconds ? head(found.clusters[0].seconds / found.seconds) : '');
  if (!state.guess?.times) return;
  const y = BARS.top + 3 * BARS.row + BARS.high / 2, x = left + Math.min(1, found.full / state.guess.times / view.longest) * room;
  svg('path', {class: 'guess', d: CROSS, transform: `translate(${x.toFixed(1)},${y})`}, group);
  const flip = x > left + room - 190;
  text(group, `your guess: ${state.guess.times.toLocaleString('en')} times`, (flip ? Math.max(x, end) - 10 : Math.max(x, Math.abs(end - x) < 150 && end > x ? end : x) + 10), y + 4, 'guess-text', flip ? 'end' : 'start');
}

function drawClusters(view) {
  const {found, words, state, say} = view, list = view.parts.clusters, edges = [0, ...state.cuts, words.n];
  list.querySelector('.fixed')?.remove();
  while (list.children.length > found.clusters.length) list.lastChild.remove();
  found.clusters.forEach((cluster, i) => {
    const item = list.children[i] ?? html('div', {role: 'listitem'}, list), from = edges[i] + 1, to = edges[i + 1];
    const seen = [1 / 6, 1 / 2, 5 / 6].map(part => words.word(Math.round(from * (to / from) ** part)))
      .filter(near => near && near.rank >= from && near.rank <= to).map(near => near.word)   // no word of the neighbour
      .filter((word, at, all) => all.indexOf(word) === at);
    item.className = `cluster c${i}`;
    item.replaceChildren();
    html('strong', {}, item, nameOf(i));
    item.append(` ${counted(cluster.size, 'word')}, ${counted(cluster.width, 'number')} each`
      + (state.hidden ? '' : `, ${say.brief(cluster.seconds).replace(' ', '\u00a0')}`));
    if (seen.length) { item.append(': '); html('em', {}, item, seen.join(' … ')); }
  });
  // what belongs to no cluster, so that the parts add up
  if (state.hidden || !(found.sorting > 0.005 * found.seconds)) { list.querySelector('.fixed')?.remove(); return; }
  const rest = list.querySelector('.fixed') ?? html('div', {role: 'listitem', class: 'cluster fixed sorting'}, list);
  list.append(rest);
  rest.replaceChildren();
  html('strong', {}, rest, 'sorting, fixed');
  rest.append(` ${say.brief(found.sorting)} to send each token to its cluster, wherever you cut`);
}
