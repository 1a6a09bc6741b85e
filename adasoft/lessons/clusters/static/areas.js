// One cut as areas, to scale: the words of a cluster wide, the share of the tokens that open it high. Under it, once the
// reader has guessed, the same cost against every cut, with its two parts.
import {makeWords} from '../../kit/static/cost.js';
import {counted, html, percent, set, svg, whole} from '../../kit/static/dom.js';

const SIDE = {left: 78, right: 18}, AREA = {top: 34, alone: 170, above: 112}, CURVE = {high: 160}, ZOOM = 8;
const MOVES = {ArrowRight: 1.02, ArrowUp: 1.02, ArrowLeft: 1 / 1.02, ArrowDown: 1 / 1.02, PageUp: 1.25, PageDown: 0.8};

/** Words scored per token with the k most frequent words in the head: {head, tail, total}. */
export function scored(words, k) {
  const tail = (1 - words.cumulative(k)) * (words.n - k);
  return {head: k + 1, tail, total: k + 1 + tail};
}

/**
 * `given`: {text (as in cost.js), cut, curve: whether the curve and the totals are shown, guess, best}; `moved(cut)` is
 * called at each move of the reader's. Returns {show(given), destroy()}.
 */
export function mountAreas(root, given, moved) {
  const state = {guess: null, best: null, ...given};
  const still = matchMedia('(prefers-reduced-motion: reduce)');
  const areaHigh = () => (state.curve ? AREA.above : AREA.alone);
  let words, width = 0, timer = 0, frame = 0, nodes = {};
  root.classList.add('adasoft-cut', 'adasoft-areas');
  const instruction = html('p', {class: 'instruction'}, root);
  const result = html('p', {class: 'result', role: 'status'}, root);
  const drawing = svg('svg', {role: 'group'}, html('div', {class: 'charts'}, root));
  const parts = html('div', {class: 'clusters', role: 'list', 'aria-label': 'what is scored'}, root);
  const controls = html('div', {class: 'controls'}, root);
  const sweep = html('button', {type: 'button'}, controls, 'Sweep the cut');
  sweep.addEventListener('click', () => (timer ? halt() : sweeping()));
  const label = html('label', {class: 'typed'}, controls, 'words in the head ');
  const box = html('input', {type: 'text', inputmode: 'numeric'}, label);
  box.addEventListener('keydown', event => event.stopPropagation());       // else JupyterLab takes keys for commands
  const refused = html('span', {class: 'refused', role: 'status'}, controls);
  box.addEventListener('change', () => {
    const typed = box.value.trim(), value = /^\d[\d,\s]*$/.test(typed) ? Number(typed.replace(/[\s,]/g, '')) : NaN;
    const most = words.n - 1, right = value >= 1 && value <= most;
    refused.textContent = right || !typed ? '' : `Type a whole number from 1 to ${whole(most)}.`;
    if (right) put(value);
    if (right || !typed) box.value = whole(state.cut);
  });
  const zoom = html('button', {type: 'button'}, controls, 'Zoom in');
  zoom.addEventListener('click', () => { state.zoomed = !state.zoomed; arrange(); });
  const star = html('button', {type: 'button'}, controls, 'Show the best cut');
  star.addEventListener('click', () => { state.starred = !state.starred; draw(); });

  const put = value => {
    state.cut = Math.min(words.n - 1, Math.max(1, Math.round(value)));
    refused.textContent = '';
    moved(state.cut);
    if (!frame) frame = requestAnimationFrame(() => { frame = 0; draw(); });
  };
  const halt = () => { clearInterval(timer); timer = 0; sweep.textContent = 'Sweep the cut'; };
  function sweeping() {                        // over what is in sight, and back; slower where motion is unwanted
    const steps = still.matches ? 9 : 150, pause = still.matches ? 900 : 40, from = Math.min(200, words.n / 10);
    const began = state.cut;
    let at = 0;
    sweep.textContent = 'Stop';
    timer = setInterval(() => {
      if (at > steps) { halt(); put(began); return; }
      put(from * (0.8 * reach() / from) ** (at++ / steps));
    }, pause);
  }

  const inner = () => width - SIDE.left - SIDE.right;
  const near = () => {                                                       // words in sight once zoomed in: a round number
    const part = words.n / ZOOM, power = 10 ** Math.floor(Math.log10(part));
    return Math.max(1, Math.round(part / power) * power);
  };
  const reach = () => (state.zoomed ? near() : words.n);                     // words in sight
  const X = k => SIDE.left + k / reach() * inner();                          // areas: to scale
  const edge = () => SIDE.left + inner();
  const Y = p => AREA.top + areaHigh() * (1 - p);
  const curveTop = AREA.top + AREA.above + 58;
  const U = k => SIDE.left + Math.log10(k) / Math.log10(words.n) * inner(); // curve: logarithmic
  const low = () => state.low, high = () => words.n * 1.5;
  const T = n => curveTop + CURVE.high * (1 - Math.log10(Math.max(n, low()) / low()) / Math.log10(high() / low()));

  function axis(group, x, y, ticks, title, textOf = whole) {
    for (const tick of ticks) {
      svg('line', {x1: x(tick), x2: x(tick), y1: y[0], y2: y[1], class: 'grid'}, group);
      const last = tick && x(tick) > edge() - 24;
      svg('text', {x: last ? edge() : x(tick), y: y[1] + 15, 'text-anchor': last ? 'end' : 'middle'}, group, textOf(tick));
    }
    svg('text', {x: SIDE.left + inner(), y: y[1] + 30, 'text-anchor': 'end'}, group, title);
  }
  function rows(group, y, ticks, textOf, title, middle) {
    for (const tick of ticks) {
      svg('line', {x1: SIDE.left, x2: SIDE.left + inner(), y1: y(tick), y2: y(tick), class: 'grid'}, group);
      svg('text', {x: SIDE.left - 6, y: y(tick) + 4, 'text-anchor': 'end'}, group, textOf(tick));
    }
    svg('text', {x: 12, y: middle, 'text-anchor': 'middle', transform: `rotate(-90 12 ${middle})`}, group, title);
  }

  function arrange() {
    width = Math.max(300, root.clientWidth || 900);
    const height = state.curve ? curveTop + CURVE.high + 36 : AREA.top + areaHigh() + 34;
    set(drawing, {width, height, viewBox: `0 0 ${width} ${height}`,
                  'aria-label': `One cut of ${whole(words.n)} words of ${words.name}, as areas`});
    drawing.replaceChildren();
    nodes = {};
    const bottom = AREA.top + areaHigh(), far = [];
    const power = 10 ** Math.floor(Math.log10(reach())), step = Math.max(1, power / (reach() / power < 2 ? 5 : 1));
    for (let k = 0; k <= reach(); k += step) far.push(k);
    const ground = svg('g', {'aria-hidden': true}, drawing);
    axis(ground, X, [AREA.top, bottom], far, `words, most frequent first${state.zoomed ? `; another ${whole(words.n - reach())} lie to the right` : ''}`);
    rows(ground, Y, [0, 0.25, 0.5, 0.75, 1], p => `${100 * p} %`, 'share of the tokens', AREA.top + areaHigh() / 2);
    const outline = `M${edge()},${Y(1)}H${X(0)}V${Y(0)}H${edge()}`;
    svg('path', {d: state.zoomed ? outline : `${outline}Z`, class: 'frame'}, ground);  // open where it goes on
    nodes.head = svg('rect', {x: X(0), y: Y(1), height: areaHigh(), class: 'block c0'}, drawing);
    nodes.tail = svg('rect', {class: 'block c1'}, drawing);
    let path = `M${X(0)},${Y(1)}`;             // the share of tokens beyond each rank: the corner of the tail rides on it
    for (let i = 0; i <= 240; i++) {
      const k = Math.max(1, Math.round(reach() ** (i / 240)));
      path += `L${X(k).toFixed(1)},${Y(1 - words.cumulative(k)).toFixed(1)}`;
    }
    svg('path', {d: path, class: 'rest'}, drawing);
    nodes.notes = svg('g', {'aria-hidden': true}, drawing);
    svg('text', {x: edge() - 8, y: Y(1) + 18, 'text-anchor': 'end', class: 'strong'}, nodes.notes,
        state.zoomed ? `the frame goes on to word ${whole(words.n)}, and the tail with it`
          : 'the whole frame: a full softmax, every word for every token');
    svg('text', {x: edge() - 8, y: Y(1) + 36, 'text-anchor': 'end'}, nodes.notes, 'left empty: what the cut saves');
    nodes.tailName = svg('text', {'text-anchor': 'end', class: 'strong'}, drawing);
    const field = svg('rect', {x: X(0), y: Y(1), width: inner(), height: areaHigh(), class: 'field'}, drawing);
    grab(field, x => (x - SIDE.left) / inner() * reach(), null);               // a click: the cut comes here
    if (state.curve) curveOf();
    nodes.handle = svg('g', {class: 'handle', tabindex: 0, role: 'slider', 'aria-label': 'the cut',
                             'aria-orientation': 'horizontal', 'aria-valuemin': 1, 'aria-valuemax': words.n - 1}, drawing);
    svg('line', {y1: AREA.top - 12, y2: bottom, class: 'cut'}, nodes.handle);
    svg('line', {y1: AREA.top - 12, y2: bottom, class: 'hit'}, nodes.handle);
    svg('circle', {cy: AREA.top - 14, r: 8, class: 'knob'}, nodes.handle);
    nodes.value = svg('text', {y: AREA.top - 10, x: 14, class: 'value'}, nodes.handle);
    grab(nodes.handle, x => (x - SIDE.left) / inner() * reach(), () => Math.min(edge(), X(state.cut)));
    draw();
  }

  function curveOf() {
    const ground = svg('g', {'aria-hidden': true}, drawing), at = [], powers = [];
    for (let k = 1; k <= words.n; k *= 10) powers.push(k);
    for (let i = 0; i <= 200; i++) at.push(Math.min(words.n - 1, Math.max(1, Math.round(words.n ** (i / 200)))));
    const costs = at.map(k => scored(words, k));
    state.low = Math.min(...costs.map(c => c.total)) / 12;
    const levels = powers.map(k => k * 10).concat(powers).filter((k, i, all) => all.indexOf(k) === i && k > low() && k < high());
    axis(ground, U, [curveTop, curveTop + CURVE.high], powers, 'cut: words in the head');
    rows(ground, T, levels, whole, 'words scored', curveTop + CURVE.high / 2);
    const lines = {tails: 'tail', head: 'head', total: 'total'};
    for (const name in lines) {                // what lies below the axis is left out
      const seen = costs.map((c, i) => [at[i], c[lines[name]]]).filter(([, n]) => n >= low());
      const d = seen.map(([k, n], i) => `${i ? 'L' : 'M'}${U(k).toFixed(1)},${T(n).toFixed(1)}`).join('');
      svg('path', {d, class: `line ${name}`}, drawing);
    }
    svg('line', {x1: SIDE.left, x2: SIDE.left + inner(), y1: T(words.n), y2: T(words.n), class: 'full'}, drawing);
    const name = (k, n, text, kind, dx = 0, dy = -7) =>
      svg('text', {x: U(k) + dx, y: T(n) + dy, class: `end ${kind}`}, drawing, text);
    name(1, words.n, `full softmax: ${whole(words.n)}`, 'strong', 4);
    const rare = Math.max(1, Math.round(words.n / 5000)), rising = Math.min(words.n - 1, Math.ceil(2 * low()));
    const falling = at.find((k, i) => costs[i].tail < 1.35 * low()) ?? words.n - 1;
    name(rare, scored(words, rare).total, 'total', 'total strong', 0, 20);
    const left = name(rising, scored(words, rising).head, 'head, rising', 'head strong', -8, 4);
    set(left, {'text-anchor': 'end'});
    set(name(falling, scored(words, falling).tail, 'tail, falling', 'tails strong', -10, 2), {'text-anchor': 'end'});
    nodes.star = svg('path', {class: 'star', d: 'M0,-9 2,-3 9,-2 4,3 5,9 0,6 -5,9 -4,3 -9,-2 -2,-3z'}, drawing);
    nodes.starName = svg('text', {class: 'end'}, drawing, 'best');
    nodes.guess = svg('path', {class: 'guessed', d: 'M-7,-7 7,7M-7,7 7,-7'}, drawing);
    nodes.guessName = svg('text', {class: 'end'}, drawing, 'your guess');
    nodes.ring = svg('circle', {r: 8, class: 'you'}, drawing);
    grab(nodes.ring, x => words.n ** ((x - SIDE.left) / inner()), () => U(state.cut));
  }

  function grab(node, placeOf, here) {
    let offset = null;
    const x = event => event.clientX - drawing.getBoundingClientRect().left;
    node.addEventListener('pointerdown', event => {
      halt(); offset = here ? x(event) - here() : 0;
      if (!here) put(placeOf(x(event)));
      node.setPointerCapture(event.pointerId);
      nodes.handle.focus(); event.preventDefault(); event.stopPropagation();
    });
    node.addEventListener('pointermove', event => { if (offset !== null) put(placeOf(x(event) - offset)); });
    for (const end of ['pointerup', 'pointercancel']) node.addEventListener(end, () => { offset = null; });
    node.addEventListener('keydown', event => {
      const factor = MOVES[event.key], end = {Home: 1, End: words.n - 1}[event.key];
      if (!factor && !end) return;
      halt(); event.preventDefault(); event.stopPropagation();
      if (end) put(end);
      else put(factor > 1 ? Math.max(state.cut + 1, state.cut * factor) : Math.min(state.cut - 1, state.cut * factor));
    });
  }

  function draw() {
    const k = state.cut, p = 1 - words.cumulative(k), made = scored(words, k);
    const beyond = k > reach(), x = beyond ? edge() : X(k);      // zoomed in, the cut may lie to the right: it waits at the edge
    set(nodes.head, {width: Math.max(1, x - X(0))});
    set(nodes.tail, {x, y: Y(p), width: Math.max(0, edge() - x), height: Math.max(1, areaHigh() * p)});
    set(nodes.notes, {visibility: edge() - x > 430 ? 'visible' : 'hidden'});
    const {last, first} = words.around(k), flip = x > width / 2;
    set(nodes.handle, {transform: `translate(${x.toFixed(2)},0)`, 'aria-valuenow': k, 'aria-valuetext':
      `${counted(k, 'word')} in the head${last ? `, the last of them ${last.rank === k ? '' : 'near '}“${last.word}”` : ''}; `
      + `${percent(p)} of the tokens go to the tail${beyond ? '; beyond the right edge' : ''}`});
    nodes.value.replaceChildren();
    nodes.value.append(`cut after ${counted(k, 'word')}${beyond ? ', beyond this edge →' : ''}`);
    if (last && first && !beyond) {
      for (const [text, kind] of [[': ', ''], [last.word, 'word'], [' | ', ''], [first.word, 'word']])
        svg('tspan', {class: kind}, nodes.value, text);
    }
    set(nodes.value, {x: flip ? -14 : 14, 'text-anchor': flip ? 'end' : 'start'});
    const room = areaHigh() * p > 22, name = `${counted(words.n - k, 'word')} × ${percent(p)} of the tokens`;
    set(nodes.tailName, {x: edge() - 8, y: room ? Math.max(Y(p) + 17, Y(1) + 54) : Y(p) - 6,
                         class: room ? 'strong inside' : 'strong'});
    nodes.tailName.textContent = edge() - x > 330 ? name : '';
    result.replaceChildren();
    if (state.curve) {
      html('strong', {}, result, whole(made.total));
      result.append(` words scored per token instead of ${whole(words.n)}: `);
      html('strong', {class: 'times'}, result, `${(words.n / made.total).toFixed(1)} times fewer`);
      result.append('.');
    } else {
      html('strong', {}, result, whole(k));
      result.append(` ${k === 1 ? 'word' : 'words'} in the head: ${percent(1 - p)} of the tokens need no more; ${percent(p)} go on to the tail.`);
    }
    const number = beyond ? null : [last, first].find(near => near && /^0+$/.test(near.word))?.word;
    if (number) result.append(` “${number}” is any number of ${counted(number.length, 'digit')}.`);
    instruction.textContent = state.curve
      ? 'Drag the cut above or the ring below. The coloured area and the thick line are the same number.'
      : 'Drag the cut, or click where it should be, until as little as possible is coloured.';
    zoom.textContent = state.zoomed ? 'Show all words' : `Zoom in on the first ${whole(near())} words`;
    zoom.hidden = words.n < 1000;
    const line = (kind, name, text, n) => {
      const item = html('div', {role: 'listitem', class: `cluster ${kind}`}, parts);
      html('strong', {}, item, name);
      item.append(` ${text}${state.curve ? ` = ${whole(n)}` : ''}`);
    };
    parts.replaceChildren();
    line('c0', 'head', `(${counted(k, 'word')} + 1 entry for the tail) × every token`, made.head);
    line('c1', 'tail', `${counted(words.n - k, 'word')} × ${percent(p)} of the tokens`, made.tail);
    if (document.activeElement !== box) box.value = whole(k);
    star.hidden = !state.curve || !state.best;
    star.textContent = state.starred ? 'Hide the best cut' : 'Show the best cut';
    if (!state.curve) return;
    set(nodes.ring, {cx: U(k), cy: T(made.total)});
    const mark = (node, text, at, shown, dy) => {
      const place = shown ? [U(at), T(scored(words, at).total)] : [0, 0];
      set(node, {transform: `translate(${place})`, visibility: shown ? 'visible' : 'hidden'});
      set(text, {x: place[0], y: place[1] + dy, 'text-anchor': 'middle', visibility: shown ? 'visible' : 'hidden'});
    };
    const guess = state.guess && Math.min(words.n - 1, Math.max(1, Math.round(state.guess)));
    mark(nodes.guess, nodes.guessName, guess, Boolean(guess), -14);
    mark(nodes.star, nodes.starName, state.best, Boolean(state.best && state.starred), 26);
    if (state.starred) nodes.starName.textContent = `best: ${whole(state.best)}`;
  }

  const choose = () => {
    if (!state.text.runs) return;                                               // a page may draw before it is told
    words = makeWords(state.text); state.cut = Math.min(state.cut, words.n - 1); arrange();
  };
  const observer = new ResizeObserver(() => { if (words && root.clientWidth && Math.abs(root.clientWidth - width) > 1) arrange(); });
  choose();
  observer.observe(root);
  return {
    state,
    show(next) {
      const others = next.text && next.text !== state.text || 'curve' in next && next.curve !== state.curve;
      Object.assign(state, next);
      if (others) choose(); else if (words) draw();
    },
    destroy() { halt(); observer.disconnect(); cancelAnimationFrame(frame); root.replaceChildren(); },
  };
}

function render({model, el}) {
  const given = () => ({text: model.get('text'), cut: model.get('cut'), curve: model.get('curve'),
                        guess: model.get('guess'), best: model.get('best')});
  const panel = mountAreas(el, given(), cut => { model.set('cut', cut); model.save_changes(); });
  const heard = ['text', 'cut', 'guess', 'best'].map(name => [`change:${name}`, () => panel.show({[name]: model.get(name)})]);
  for (const [event, act] of heard) model.on(event, act);
  return () => { for (const [event, act] of heard) model.off(event, act); panel.destroy(); };
}
export default {render};
