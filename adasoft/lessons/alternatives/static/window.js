// W and N of SVD-softmax, to drag: the block that is read, the ten best words of one hidden state, and how many of the
// ten best words are found against how much is multiplied. All of it is computed here, so that a drag redraws at once.
import {html, ordinal, set, svg, whole} from '../../kit/static/dom.js';

const NAMED = [3, 6, 12, 24], TICKS = [2, 5, 10, 20, 50, 100], LOW = 80, HIGH = 101, LEAST = 1.8, MOST = 110, LABEL = 81.5;
const BLOCK = {top: 22, high: 104}, WORDS = {top: 152, step: 17}, TALL = 324, NARROW = 520;

/** Multiplications as a share of the full softmax's, the rotation of the hidden state included. */
export const shareOf = ({n, d}, [W, N]) => (d * d + n * W + N * (d - W)) / (n * d);

/** Share of the ten best words that N guarantees at a W: between the places of its curve, on straight lines. */
export function foundBy({places, curves}, [W, N]) {
  const curve = curves[W - 1], j = places.findIndex(place => place >= N);
  if (j <= 0) return curve[j < 0 ? curve.length - 1 : 0];
  const part = (N - places[j - 1]) / (places[j] - places[j - 1]);
  return curve[j - 1] + part * (curve[j] - curve[j - 1]);
}

/** The W and N whose mark is nearest to a point of the chart; `X` and `Y` turn percent into pixels. */
export function nearestWindow(data, x, y, X, Y) {
  let best = [1, 1], least = Infinity;
  data.curves.forEach((curve, i) => curve.forEach((share, j) => {
    const at = [i + 1, data.places[j]], far = Math.hypot(X(100 * shareOf(data, at)) - x, Y(100 * share) - y);
    if (far < least) { least = far; best = at; }
  }));
  return best;
}

/**
 * Put the picture into `root`.
 *
 * `data`: {n, d, places: [N], curves: [one list of shares for each W]}; `window`: [W, N]; `shown`: {words: [{word, p, ranks:
 * [one for each W]}], measured: {window, recall}, wanted: percent, guess: percent or null, chosen: {percent, recall} or null}.
 * `moved(window)` is called while the reader drags or presses keys. Returns {state, show(next), busy(), destroy()}.
 */
export function mountWindow(root, data, {window: first, shown}, moved = () => {}) {
  const state = {window: [...first], shown}, limits = [data.d, data.n];
  let width = 0, drag = null, X, Y;
  root.classList.add('adasoft-cut', 'adasoft-scene', 'adasoft-window');
  // else JupyterLab takes keys for commands; Escape stays the keyboard's way out
  root.addEventListener('keydown', event => { if (event.key !== 'Escape') event.stopPropagation(); });
  html('p', {class: 'instruction'}, root, 'Drag the ring, or the two edges in the block. High and far left is good.');
  const result = html('p', {class: 'result', role: 'status'}, root);
  const stage = svg('svg', {role: 'group', 'aria-label': 'SVD-softmax: what is read, what is found'}, html('div', {class: 'charts'}, root));
  const still = svg('g', {'aria-hidden': true}, stage), live = svg('g', {'aria-hidden': true}, stage);
  const text = (parent, x, y, words, more = {}) => svg('text', {x, y, ...more}, parent, words);

  const left = () => (width < NARROW ? width : Math.min(440, 0.44 * width));
  const chart = () => (width < NARROW ? {x: 44, y: TALL, w: width - 64, h: 230} : {x: left() + 64, y: 22, w: width - left() - 88, h: TALL - 62});
  const move = (W, N) => {
    const next = [W, N].map((value, i) => Math.min(limits[i], Math.max(1, Math.round(value))));
    if (next.join() === state.window.join()) return;
    state.window = next; draw(); moved(next);
  };
  const place = event => { const box = stage.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  function dragged(node, act) {
    node.addEventListener('pointerdown', event => {
      drag = act; node.setPointerCapture(event.pointerId); node.focus?.({preventScroll: true});
      event.preventDefault(); event.stopPropagation();
    });
    node.addEventListener('pointermove', event => { if (drag === act) act(place(event)); });
    const end = () => { if (drag === act) drag = null; };
    node.addEventListener('pointerup', end); node.addEventListener('pointercancel', end);
  }

  // the ring, and a handle for each edge; keys on the handles do what the ring does
  const ring = svg('circle', {r: 9, class: 'you'}, stage);
  dragged(ring, ([x, y]) => move(...nearestWindow(data, x, y, X, Y)));
  const above = svg('g', {'aria-hidden': true}, stage);  // the star, which the ring would hide
  const handles = ['W, numbers per word that the preview reads', 'N, words that get the rest'].map((name, i) => {
    const node = svg('g', {class: `handle edge-${'wn'[i]}`, role: 'slider', tabindex: 0, 'aria-label': name, 'aria-valuemin': 1,
      'aria-valuemax': limits[i], 'aria-orientation': i ? 'horizontal' : 'vertical'}, stage);
    svg('line', {class: 'hit'}, node); svg('line', {class: 'edge'}, node); svg('circle', {r: 7, class: 'knob'}, node);
    text(node, 0, 0, 'WN'[i], {class: 'value'});
    dragged(node, ([x, y]) => {
      if (i) move(state.window[0], x / left() * data.n);
      else move((y - BLOCK.top) / BLOCK.high * data.d, state.window[1]);
    });
    node.addEventListener('keydown', event => {
      const more = i ? ['ArrowRight', 'ArrowUp'] : ['ArrowDown', 'ArrowRight'], less = i ? ['ArrowLeft', 'ArrowDown'] : ['ArrowUp', 'ArrowLeft'];
      const step = more.includes(event.key) ? 1 : less.includes(event.key) ? -1 : 0, now = state.window[i];
      const next = event.key === 'Home' ? 1 : event.key === 'End' ? limits[i] : !step ? null
        : i ? (step > 0 ? Math.max(now + 1, 1.1 * now) : Math.min(now - 1, now / 1.1)) : now + step;
      if (next === null) return;
      event.preventDefault();
      move(...(i ? [state.window[0], next] : [next, state.window[1]]));
    });
    return node;
  });

  function arrange() {
    width = Math.max(300, root.clientWidth || 900);
    const {x, y, w, h} = chart(), tall = width < NARROW ? TALL + 280 : TALL;
    set(stage, {width, height: tall, viewBox: `0 0 ${width} ${tall}`});
    X = percent => x + Math.log(Math.max(LEAST, percent) / LEAST) / Math.log(MOST / LEAST) * w;
    Y = percent => y + (HIGH - Math.max(LOW, percent)) / (HIGH - LOW) * h;
    still.replaceChildren();
    svg('rect', {x: 0, y: BLOCK.top, width: left(), height: BLOCK.high, class: 'block full-block'}, still);
    text(still, 0, 13, `${whole(data.n)} words${width < 800 ? '' : ', sorted by the preview'} →`);
    text(still, left(), 13, `↓ ${data.d} numbers`, {'text-anchor': 'end'});
    for (const tick of TICKS) {
      svg('line', {x1: X(tick), x2: X(tick), y1: y, y2: y + h, class: 'grid'}, still);
      text(still, X(tick), y + h + 16, `${tick} %`, {'text-anchor': 'middle'});
    }
    for (let tick = LOW; tick <= 100; tick += 5) {
      svg('line', {x1: x, x2: x + w, y1: Y(tick), y2: Y(tick), class: 'grid'}, still);
      text(still, x - 6, Y(tick) + 4, `${tick} %`, {'text-anchor': 'end'});
    }
    text(still, x + w, y + h + 34, 'multiplications, % of the full softmax’s', {'text-anchor': 'end'});
    text(still, x, y - 9, 'ten best words found', {class: 'strong'});
    for (const W of NAMED) {
      svg('path', {d: path(W), class: 'other'}, still);
      const at = data.places.findIndex((_, j) => data.curves[W - 1][j] >= LABEL / 100);
      text(still, X(100 * shareOf(data, [W, data.places[at]])) + 5, Y(LABEL) + 4, W === NAMED[0] ? `W = ${W}` : W, {class: 'curve-name'});
    }
    draw();
  }
  const path = W => data.curves[W - 1].map((share, j) => [100 * shareOf(data, [W, data.places[j]]), 100 * share])
    .filter(([, found], j, all) => found >= LOW || all[j + 1]?.[1] >= LOW)
    .map(([cost, found], j) => `${j ? 'L' : 'M'}${X(cost).toFixed(1)},${Y(found).toFixed(1)}`).join('');

  function draw() {
    const [W, N] = state.window, {words, measured, wanted, guess, chosen} = state.shown, {x, w} = chart();
    const exact = measured?.window.join() === state.window.join(), cost = 100 * shareOf(data, state.window);
    const found = 100 * (exact ? measured.recall : foundBy(data, state.window));
    result.replaceChildren();
    html('strong', {}, result, `${cost.toFixed(1)} %`); result.append(' of the multiplications find ');
    html('strong', {}, result, `${found.toFixed(1)} %`); result.append(' of the ten best words.');

    live.replaceChildren();
    const right = left() * N / data.n, down = BLOCK.high * W / data.d;
    svg('rect', {x: 0, y: BLOCK.top, width: left(), height: down, class: 'block full-block lit'}, live);
    svg('rect', {x: 0, y: BLOCK.top + down, width: Math.max(1, right), height: BLOCK.high - down, class: 'block full-block lit'}, live);
    const inside = Math.min(BLOCK.high - 8, Math.max(down, 8)), [edgeW, edgeN] = handles;
    set(edgeW, {transform: `translate(${0.72 * left()},${BLOCK.top + down})`, 'aria-valuenow': W, 'aria-valuetext': `W = ${W} of ${data.d}`});
    set(edgeN, {transform: `translate(${right},${BLOCK.top + (inside + BLOCK.high) / 2})`, 'aria-valuenow': N, 'aria-valuetext': `N = ${whole(N)} of ${whole(data.n)}`});
    for (const line of edgeW.querySelectorAll('line')) set(line, {x1: -0.72 * left(), x2: 0.28 * left(), y1: 0, y2: 0});
    for (const line of edgeN.querySelectorAll('line')) set(line, {x1: 0, x2: 0, y1: down - (inside + BLOCK.high) / 2, y2: (BLOCK.high - inside) / 2});
    const [nameW, nameN] = handles.map(node => node.querySelector('text'));
    nameW.textContent = `W = ${W}`; nameN.textContent = `N = ${whole(N)}`;
    set(nameW, {x: 12, y: down < BLOCK.high - 22 ? 17 : -10});
    set(nameN, {x: right > left() - 86 ? -12 : 12, y: 4, 'text-anchor': right > left() - 86 ? 'end' : 'start'});
    drawWords(words, W, N);

    const line = Y(wanted);
    svg('line', {x1: x, x2: x + w, y1: line, y2: line, class: 'full'}, live);
    svg('path', {d: path(W), class: 'mine'}, live);
    above.replaceChildren();
    if (chosen) star(X(chosen.percent), Y(100 * chosen.recall));
    if (guess !== null && guess !== undefined) {
      const at = X(Math.min(100, guess));
      svg('path', {d: `M${at - 6},${line - 6}l12,12m-12,0l12,-12`, class: 'guess'}, live);
      text(live, at - 8, line + 18, 'your guess', {class: 'guess-text', 'text-anchor': 'end'});
    }
    set(ring, {cx: X(cost), cy: Y(found)});
  }
  function star(x, y) {
    const points = Array.from({length: 10}, (_, i) => [i % 2 ? 3.6 : 9, Math.PI * (i / 5 - 0.5)]).map(([r, a]) => `${x + r * Math.cos(a)},${y + r * Math.sin(a)}`);
    svg('polygon', {points: points.join(' '), class: 'star'}, above);
    text(above, x + 12, y + 20, 'chosen for you', {class: 'star-text'});
  }
  function drawWords(words, W, N) {
    const most = Math.max(...words.map(one => one.p)), from = 92, room = left() - from - 84, head = WORDS.top - 6;
    text(live, 0, head, 'ten best words', {class: 'strong'});
    text(live, left(), head, 'place in the preview', {'text-anchor': 'end'});
    words.forEach(({word, p, ranks}, i) => {
      const y = WORDS.top + 6 + i * WORDS.step, rank = ranks[W - 1], full = rank <= N;
      text(live, from - 6, y + 9, word.length > 12 ? `${word.slice(0, 11)}…` : word, {'text-anchor': 'end', class: 'word'});
      svg('rect', {x: from, y, width: Math.max(2, room * p / most), height: 11, class: `word-bar${full ? ' lit' : ''}`}, live);
      text(live, left(), y + 9, full ? `${ordinal(rank)}` : `${ordinal(rank)}, after N`, {'text-anchor': 'end', class: full ? '' : 'strong'});
    });
  }

  const observer = new ResizeObserver(() => { if (root.clientWidth && Math.abs(root.clientWidth - width) > 1) arrange(); });
  arrange();
  observer.observe(root);
  return {
    state, busy: () => drag !== null,
    show(next) { Object.assign(state, next); draw(); },
    destroy() { observer.disconnect(); root.replaceChildren(); },
  };
}
