// A text in which words appear in the order of their frequency: the reader moves the number of words that are known.
// It computes in the page; only a sentence that the reader types is cut into words by the kernel.
import {makeWords} from '../../kit/static/cost.js';
import {counted, html, ordinal, set, svg, whole} from '../../kit/static/dom.js';

const SWEEP_MS = 16000;                       // from the first word to the last
const STRIP = {left: 12, right: 12, base: 118, height: 156, bin: 9, room: 6.6};
const KEYS = {ArrowRight: 1.05, ArrowUp: 1.05, ArrowLeft: 1 / 1.05, ArrowDown: 1 / 1.05, PageUp: 2, PageDown: 0.5};

/** Where the words of a text stand on the strip: [{word, rank, x, level}], those of one place above each other. */
export function stacked(pieces, X, bin = STRIP.bin) {
  const heights = new Map();
  return pieces.filter(([, rank]) => rank > 0).sort((a, b) => a[1] - b[1]).map(([word, rank]) => {
    const at = Math.round(X(rank) / bin), level = heights.get(at) ?? 0;
    heights.set(at, level + 1);
    return {word, rank, x: at * bin, level};
  });
}

/** How many words of a text are among the n most frequent ones, of how many. */
export function legible(pieces, n) {
  const words = pieces.filter(([, rank]) => rank >= 0);
  return [words.filter(([, rank]) => rank > 0 && rank <= n).length, words.length];
}

/** The rarest of a text's words, [word, rank]: who knows all words up to it can read the text; null without any. */
export const rarest = pieces => pieces.reduce((most, one) => (one[1] > (most?.[1] ?? 0) ? one : most), null);

/**
 * Put the text into `root`.
 *
 * `data`: {text, passages, n}: words as in cost.js; passages [{name, lang, pieces: [[text, rank], ...]}], rank 0 for a
 * word that the list lacks and -1 for what stands between words. `on`: {n(n), typed(text)}. Returns {show(data), destroy()}.
 */
export function mountReading(root, data, on = {}) {
  let words, state = {passage: 0, n: data.n, wanted: data.n}, width = 0, timer = 0, playing = false, dragging = false, awaited = false;
  const still = matchMedia('(prefers-reduced-motion: reduce)');
  root.classList.add('adasoft-cut', 'adasoft-reading');
  const controls = html('div', {class: 'controls'}, root);
  const passage = html('p', {class: 'passage'}, root);
  const result = html('p', {class: 'result'}, root);
  const strip = svg('svg', {role: 'group', 'aria-label': 'words of the text by rank'}, html('div', {class: 'charts'}, root));
  const shelf = html('div', {class: 'shelf'}, root);
  const play = html('button', {type: 'button', class: 'primary'}, controls, 'Play');
  const choices = html('span', {class: 'choices'}, controls);
  const own = html('label', {class: 'own'}, controls, 'Your sentence ');
  const typed = html('input', {type: 'text', size: 22, maxlength: 300, placeholder: 'type it, then Enter'}, own);
  const said = html('span', {class: 'said', role: 'status'}, controls);

  const pieces = () => data.passages[state.passage]?.pieces ?? [];
  const top = () => Math.log10(Math.max(words.n, 10));
  const X = rank => STRIP.left + Math.log10(rank) / top() * (width - STRIP.left - STRIP.right);
  const rankAt = x => 10 ** ((x - STRIP.left) / (width - STRIP.left - STRIP.right) * top());

  function setN(n) {
    const next = Math.min(words.n, Math.max(1, Math.round(n)));
    if (next === state.n) return;
    state.n = state.wanted = next;
    draw();
    if (!playing) on.n?.(next);
  }
  function pause() {
    if (playing) on.n?.(state.n);
    clearTimeout(timer); playing = false; play.textContent = state.n >= end() ? 'Play again' : 'Play';
  }
  const end = () => rarest(pieces())?.[1] ?? words.n;      // where all of the text is there
  function start() {
    if (state.n >= end()) setN(1);
    playing = true; play.textContent = 'Pause';
    const tick = still.matches ? 2000 : 40, stride = still.matches ? 0.5 : top() * tick / SWEEP_MS;
    let at = Math.log10(state.n);
    const next = () => {
      at = Math.min(at + stride, Math.log10(end()));
      setN(Math.max(Math.min(10 ** at, end()), state.n));
      if (state.n >= end()) pause(); else timer = setTimeout(next, tick);
    };
    next();
  }
  play.addEventListener('click', () => (playing ? pause() : start()));
  typed.addEventListener('keydown', event => {
    event.stopPropagation();                  // else JupyterLab takes letters for commands
    if (event.key !== 'Enter') return;
    const text = typed.value.trim(), word = /[\p{L}\p{N}]/u.test(text);
    event.preventDefault();
    said.textContent = word ? '' : text ? `There is no word in “${text}”.` : 'Type a sentence first.';
    if (word) { pause(); awaited = true; on.typed?.(text); }
  });

  function chooseFrom() {
    choices.replaceChildren();
    if (data.passages.length > 1) data.passages.forEach((one, i) => {
      const button = html('button', {type: 'button', 'aria-pressed': i === state.passage}, choices, one.name);
      button.addEventListener('click', () => {  // the buttons stay, and with them the focus
        state.passage = i; pause(); arrange();
        [...choices.children].forEach((other, j) => other.setAttribute('aria-pressed', j === i));
      });
    });
  }
  function arrange() {
    width = Math.max(280, root.clientWidth || 900);
    passage.replaceChildren();
    passage.lang = data.passages[state.passage]?.lang ?? '';
    passage.dir = 'auto';
    for (const [text, rank] of pieces()) {
      if (rank < 0) { passage.append(text); continue; }
      const block = html('span', {class: 'piece', 'data-rank': rank}, passage);
      html('span', {class: 'letters'}, block, text);
      block.title = !rank ? 'not in this list' : /^[\d.,]{2,}$/.test(text)
        ? `the list counts all such numbers as one word, the ${ordinal(rank)}` : `the ${ordinal(rank)} most frequent word`;
    }
    set(strip, {width, height: STRIP.height, viewBox: `0 0 ${width} ${STRIP.height}`});
    strip.replaceChildren();
    for (let power = 0; power <= top() + 1e-9; power++) {
      const x = X(10 ** power);
      svg('line', {x1: x, x2: x, y1: 14, y2: STRIP.base, class: 'grid'}, strip);
      svg('text', {x, y: STRIP.base + 17, 'text-anchor': power ? 'middle' : 'start', 'aria-hidden': true}, strip, whole(10 ** power));
    }
    svg('text', {x: width / 2, y: STRIP.base + 34, 'text-anchor': 'middle', 'aria-hidden': true}, strip,
      width < 520 ? 'rank of each word of the text' : 'rank of each word of the text: 1 is the most frequent word of the list');
    svg('rect', {class: 'known', x: 0, y: 14, height: STRIP.base - 14, width: 0}, strip);
    const dots = stacked(pieces(), X), ends = [];
    for (const {word, rank, x, level} of dots) {
      const y = STRIP.base - 6 - level * STRIP.bin;
      const dot = svg('circle', {cx: x, cy: y, r: 4, class: 'dot', 'data-rank': rank}, strip);
      svg('title', {}, dot, `${word}, the ${ordinal(rank)} most frequent word`);
    }
    for (const {word, rank, x, level} of [...dots].reverse()) {          // the rarest first: those are named where there is room
      if (dots.some(other => other.x === x && other.level > level)) continue;
      const name = svg('text', {y: STRIP.base, 'text-anchor': 'middle', class: 'word name', 'data-rank': rank, 'aria-hidden': true}, strip, word);
      const half = (name.getComputedTextLength() || word.length * STRIP.room) / 2 + 5, at = Math.min(Math.max(x, half), width - half);
      const free = y => y >= 22 && !ends.some(([low, high, other]) => at + half > low && at - half < high && Math.abs(other - y) < 14)
        && !dots.some(other => Math.abs(other.x - at) < half && Math.abs(STRIP.base - 6 - other.level * STRIP.bin - (y - 4)) < 10);
      const low = STRIP.base - 18 - level * STRIP.bin;
      const crossed = y => ends.some(([left, right, other]) => left < x && right > x && other > y && other < low + 12);
      const y = (rank > 500 ? [low, low - 15, low - 30] : [low]).find(one => free(one) && (one === low || !crossed(one)));
      if (y === undefined) { name.remove(); continue; }
      ends.push([at - half, at + half, y]);
      if (y < low) svg('line', {x1: x, x2: x, y1: y + 3, y2: low + 7, class: 'leader'}, strip);
      set(name, {x: at, y});
    }
    handle();
    strip.append(...strip.querySelectorAll('.name'));        // over the line of the handle, not under it
    draw();
  }
  function handle() {
    const group = svg('g', {class: 'handle', tabindex: 0, role: 'slider', 'aria-label': 'words known',
                            'aria-orientation': 'horizontal'}, strip);
    svg('line', {y1: 8, y2: STRIP.base, class: 'cut'}, group);
    svg('line', {y1: 0, y2: STRIP.base, class: 'hit'}, group);
    svg('circle', {cy: 10, r: 8, class: 'knob'}, group);
    const place = event => event.clientX - strip.getBoundingClientRect().left;
    const move = event => { if (dragging) setN(rankAt(place(event))); };
    strip.onpointerdown = event => {
      pause(); dragging = true; strip.setPointerCapture(event.pointerId); group.focus(); event.preventDefault(); move(event);
    };
    strip.onpointermove = move;
    strip.onpointerup = strip.onpointercancel = () => { dragging = false; };
    group.addEventListener('keydown', event => {
      const factor = KEYS[event.key];
      if (!factor && event.key !== 'Home' && event.key !== 'End') return;
      event.preventDefault(); event.stopPropagation(); pause();
      setN(event.key === 'Home' ? 1 : event.key === 'End' ? words.n
        : factor > 1 ? Math.max(state.n + 1, state.n * factor) : Math.min(state.n - 1, state.n * factor));
    });
  }
  function draw() {
    const [read, all] = legible(pieces(), state.n), x = X(state.n), last = words.word(state.n), most = rarest(pieces());
    passage.querySelectorAll('.piece').forEach(node => {
      const rank = Number(node.dataset.rank), seen = rank > 0 && rank <= state.n;
      node.classList.toggle('seen', seen);
      node.classList.toggle('fresh', seen && state.n < words.n && rank > state.n / 1.8);
      node.classList.toggle('unknown', rank === 0);
    });
    strip.querySelectorAll('.dot, .name').forEach(node => {
      node.classList.toggle('seen', Number(node.dataset.rank) <= state.n);
    });
    set(strip.querySelector('.known'), {x: STRIP.left, width: Math.max(0, x - STRIP.left)});
    const group = strip.querySelector('.handle');
    group.setAttribute('transform', `translate(${x},0)`);
    set(group, {'aria-valuemin': 1, 'aria-valuemax': words.n, 'aria-valuenow': state.n,
                'aria-valuetext': `${counted(state.n, 'word')} known; ${read} of ${all} words of the text can be read`});
    result.replaceChildren('With the ');
    html('strong', {}, result, state.n === 1 ? 'most frequent word' : `${whole(state.n)} most frequent words`);
    result.append(` of ${words.name} you can read `);
    html('strong', {}, result, `${read} of ${all}`);
    const missing = pieces().filter(([, rank]) => !rank).length;
    result.append(' words here.');
    if (most && state.n >= most[1] && all > 1) result.append(` The rarest, “${most[0]}”, is the ${ordinal(most[1])}; the first ${whole(halfWay())} give half.`);
    result.append((missing ? ` In a dashed box: ${missing === 1 ? 'a word' : `${missing} words`} that this list lacks.` : ''));
    shelf.replaceChildren();
    if (last) shelve();
  }
  /** The rank of the word with which half of the text can be read. */
  function halfWay() {
    const known = pieces().map(([, rank]) => rank).filter(rank => rank > 0).sort((a, b) => a - b);
    return known[Math.ceil(pieces().filter(([, rank]) => rank >= 0).length / 2) - 1] ?? known.at(-1);
  }
  function shelve() {                         // the words around the present rank, as far as they are known
    const middle = state.n, seen = new Map(), reach = width < 760 ? 2 : 3;
    for (let step = -reach; step <= reach; step++) {
      const far = middle > 20000 ? Math.max(1, Math.round(middle * 0.003)) : 1, rank = middle + step * far;
      const near = rank >= 1 && rank <= words.n ? words.word(rank) : null;
      if (near && step) seen.set(near.rank, near.word);
    }
    const own = pieces().find(([, rank]) => rank === middle);
    const here = own ? {rank: middle, word: own[0]} : words.word(middle);  // of rare words, only some are sent
    const at = Math.abs(here.rank - middle) <= 0.002 * middle ? here.rank : 0;
    if (at) seen.set(at, here.word);
    for (const [rank, word] of [...seen].sort((a, b) => a[0] - b[0])) {
      const cell = html('span', {class: rank === at ? 'shelved here' : 'shelved'}, shelf);
      html('small', {}, cell, whole(rank));
      html('em', {}, cell, word);
    }
  }
  function show(next) {
    const same = next.text === data.text, name = data.passages[state.passage]?.name;
    data = next;
    if (!same || !words) words = makeWords(data.text);
    const there = data.passages.findIndex(one => one.name === name);
    const stale = !same && name === 'Yours';  // a sentence in the language before
    state.passage = awaited ? data.passages.length - 1 : stale ? 0 : Math.max(0, there);
    awaited = false;
    state.n = Math.min(state.wanted, words.n);  // a short list pushes the handle down only while it is there
    chooseFrom(); arrange();
  }
  const observer = new ResizeObserver(() => { if (root.clientWidth && Math.abs(root.clientWidth - width) > 1) arrange(); });
  show(data);
  observer.observe(root);
  return {show, state, destroy() { observer.disconnect(); clearTimeout(timer); root.replaceChildren(); }};
}

export default {
  render({model, el}) {
    const box = html('div', {}, el);
    const given = () => ({text: model.get('text'), passages: model.get('passages'), n: model.get('n')});
    const mounted = mountReading(box, given(), {
      n: n => { model.set('n', n); model.save_changes(); },
      typed: text => model.send({kind: 'typed', text}),
    });
    const again = () => mounted.show(given());
    model.on('change:text', again); model.on('change:passages', again);
    return () => { model.off('change:text', again); model.off('change:passages', again); mounted.destroy(); };
  },
};
