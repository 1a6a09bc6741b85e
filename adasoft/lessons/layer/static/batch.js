// A batch on its way through the layer: one row per token, one column per word. The head scores its words for every row;
// one sort brings the rows of each tail together; a tail scores its words for its own rows only. All of it to scale.
import {html, ordinal, set, svg, whole} from './dom.js';

// ------------------------------------------------------------------ what happens to a batch

/** Clusters of the targets (ranks from 1; 0: ignored) and the rows sorted by rank, ignored ones last: as adasoft/loss.py. */
export function routed(targets, edges) {
  const last = edges.length - 1, size = edges[last];
  const clusters = targets.map(rank => (rank ? edges.findIndex(edge => rank <= edge) - 1 : last));
  const key = i => targets[i] || size + 1;
  const order = targets.map((_, i) => i).sort((i, j) => key(i) - key(j) || i - j);
  return {clusters, order, sizes: edges.map((_, i) => clusters.filter(cluster => cluster === i).length)};
}

/** Ranks of `n` words drawn by their counts; the same for the same seed. */
export function drawn(counts, n, seed) {
  const sums = [];
  counts.reduce((sum, count) => { sums.push(sum + count); return sum + count; }, 0);
  let state = seed * 0x9e3779b9 >>> 0;
  const random = () => {                        // mulberry32
    state = state + 0x6d2b79f5 >>> 0;
    let t = Math.imul(state ^ state >>> 15, state | 1);
    t ^= t + Math.imul(t ^ t >>> 7, t | 61);
    return ((t ^ t >>> 14) >>> 0) / 2 ** 32;
  };
  return Array.from({length: n}, () => {
    const at = random() * sums.at(-1);
    return Math.min(sums.findIndex(sum => sum > at) + 1 || counts.length, counts.length);
  });
}

/** What the layer computes for rows per cluster, and what a full softmax would: {scores, all, products, full}. */
export function work(sizes, edges, widths) {
  const tails = edges.length - 2, [d] = widths, rows = sizes.slice(0, tails + 1).reduce((sum, n) => sum + n, 0);
  let scores = rows * (edges[1] + tails), products = scores * d;
  for (let i = 1; i <= tails; i++) {
    const words = edges[i + 1] - edges[i];
    scores += sizes[i] * words;
    products += sizes[i] * widths[i] * (d + words);
  }
  return {rows, scores, all: rows * edges.at(-1), products, full: rows * edges.at(-1) * d};
}

/** The words of a typed sentence, as the lists hold them: lower case, digits of longer numbers as zeros. */
export const tokens = text => (text.toLowerCase().match(/[\p{L}\p{M}\p{N}]+(?:['’][\p{L}\p{M}]+)*/gu) ?? [])
  .map(word => (/\d\d/.test(word) ? word.replace(/\d/g, '0') : word));

// ------------------------------------------------------------------ the picture

const ROWS = 20, MOST = 24, HIGH = 14, WEIGHTS = {top: 38, high: 24};

/**
 * Put the picture into `root`.
 *
 * `data`: {name, words: [...] or null, counts, cuts, widths: [d, d_1, ...], sentences: [[...], ...]}.
 * Returns {state, step(), play(), pause(), destroy()}.
 */
export function mountBatch(root, data) {
  const edges = [0, ...data.cuts, data.counts.length], tails = data.cuts.length, [d] = data.widths;
  const ranks = new Map((data.words ?? []).map((word, i) => [word, i + 1])), last = tails + 3;
  const total = data.counts.reduce((sum, count) => sum + count, 0);
  const names = ['head', ...data.cuts.map((_, i) => `tail ${i + 1}`)];
  const state = {batch: 0, typed: '', padding: false, stage: 0, playing: false, targets: [], texts: []};
  const still = matchMedia('(prefers-reduced-motion: reduce)');
  let timer = 0, width = 0, rows = [], found, left = 0, X;

  root.classList.add('adasoft-cut', 'adasoft-scene', 'adasoft-batch');
  root.addEventListener('keydown', event => { if (event.key !== 'Escape') event.stopPropagation(); });
  html('p', {class: 'instruction'}, root, 'Press Play, or Step. Then draw another batch, or type a sentence of your own.');
  const controls = html('div', {class: 'controls'}, root);
  const story = html('p', {class: 'story', role: 'status'}, root);
  const stage = svg('svg', {role: 'img'}, html('div', {class: 'charts'}, root));
  const button = (text, act, kind = '') => {
    const node = html('button', {type: 'button', class: kind}, controls, text);
    node.addEventListener('click', act);
    return node;
  };
  const playing = button('Play', () => (state.playing ? pause() : play()), 'primary');
  button('Step', () => { pause(); step(); });
  button('Another batch', () => { pause(); state.typed = ''; typed.value = ''; state.batch += 1; begin(); });
  const box = html('label', {class: 'own'}, controls, 'Yours ');
  const typed = html('input', {type: 'text', size: 26, maxlength: 160, placeholder: 'common words, then Enter'}, box);
  typed.addEventListener('change', () => {
    if (tokens(typed.value).length) { pause(); state.typed = typed.value; begin(); }
  });
  const ignoring = html('label', {}, controls), padding = html('input', {type: 'checkbox'}, ignoring);
  ignoring.append(' every fifth target is padding');
  padding.addEventListener('change', () => { pause(); state.padding = padding.checked; begin(); });

  const word = rank => data.words?.[rank - 1] ?? `word ${whole(rank)}`;
  const listed = all => (all.length > 1 ? `${all.slice(0, -1).join(', ')} or ${all.at(-1)}` : all[0]);
  const plural = (n, what) => `${whole(n)} ${what}${n === 1 ? '' : 's'}`;
  const span = i => `${word(edges[i] + 1)} … ${word(edges[i + 1])}`;

  const padded = i => state.padding && i % 5 === 0;

  function begin() {
    const sentence = state.typed ? tokens(state.typed).slice(0, MOST) : data.sentences[state.batch];
    state.targets = sentence ? sentence.map(text => ranks.get(text) ?? 0) : drawn(data.counts, ROWS, state.batch + 1);
    state.texts = sentence ?? state.targets.map(word);
    state.unknown = state.targets.filter((rank, i) => !rank && !padded(i)).length;
    state.targets = state.targets.map((rank, i) => (padded(i) ? 0 : rank));
    found = routed(state.targets, edges);
    state.order = found.order;
    state.stage = 0;
    arrange();
  }

  function arrange() {
    width = Math.min(1100, Math.max(320, root.clientWidth || 900));
    left = Math.min(150, width * .27);
    X = rank => left + rank / edges.at(-1) * (width - left - 2);
    const top = WEIGHTS.top + WEIGHTS.high + 30, n = state.targets.length, bottom = top + n * HIGH;
    stage.replaceChildren();
    set(stage, {width, height: bottom + 6, viewBox: `0 0 ${width} ${bottom + 6}`});
    const label = (x, y, text, kind, anchor = 'start') => svg('text', {x, y, class: kind, 'text-anchor': anchor}, stage, text);
    label(left - 8, WEIGHTS.top - 8, 'words, by rank', '', 'end');
    label(left - 8, WEIGHTS.top + 7, `head: ${whole(edges[1])} × ${d}`, 'strong own c0', 'end');
    label(left - 8, WEIGHTS.top + 21, span(0).length < 20 ? span(0) : '', 'word', 'end');
    label(left - 8, top - 7, 'targets, in order', 'order', 'end');
    names.forEach((name, i) => {
      const x = X(edges[i]), wide = X(edges[i + 1]) - x;
      svg('rect', {x, y: WEIGHTS.top, width: Math.max(2, wide - 2), height: Math.max(3, WEIGHTS.high * data.widths[i] / d),
                   class: `block c${i} lit`, 'data-weights': i}, stage);
      const size = whole(edges[i + 1] - edges[i]), texts = [`${name}: ${size} words × ${data.widths[i]} numbers`,
        `${name}: ${size} × ${data.widths[i]}`, name, `${i}`, ''];
      if (i) label(x, WEIGHTS.top - 8, texts.find(text => text.length * 7.6 < wide) ?? '', `strong own c${i}`);
      if (i && wide > 7.5 * span(i).length) label(x, WEIGHTS.top - 24, span(i), 'word');
      label(x + wide / 2, (top + bottom) / 2, '', `closed own c${i}`, 'middle').dataset.closed = i;
    });
    label(X(edges.at(-1)), top - 7, 'scores: a full softmax fills the whole frame', 'note', 'end');
    svg('rect', {x: left, y: top, width: width - left - 2, height: n * HIGH, class: 'frame'}, stage);
    rows = state.targets.map((rank, i) => {
      const cluster = found.clusters[i], ignored = !rank, row = svg('g', {class: `row c${cluster}`}, stage);
      const share = rank ? 100 * data.counts[rank - 1] / total : 0;
      svg('title', {}, row, ignored ? `${padded(i) ? 'padding' : `${state.texts[i]}: not among the ${whole(edges.at(-1))} words`}; ignored, it costs nothing`
        : `the ${ordinal(rank)} word: ${word(rank)}, ${share.toPrecision(2) * 1} % of tokens, in the ${names[cluster]}`.replace('the tail', 'tail'));
      svg('rect', {x: 0, y: 1, width: left - 5, height: HIGH - 2, class: ignored ? 'chip ignored' : 'chip', rx: 3}, row);
      const room = Math.floor((left - 14) / 7.2), text = padded(i) ? '(padding)' : ignored ? `${state.texts[i]} (unlisted)` : state.texts[i];
      svg('text', {x: 6, y: HIGH - 3.5, class: ignored ? 'note' : 'word'}, row,
        text.length > room ? `${text.slice(0, room - 1)}…` : text);
      if (!ignored) for (const part of new Set([0, cluster]))
        svg('rect', {x: X(edges[part]), y: .5, width: Math.max(2, X(edges[part + 1]) - X(edges[part]) - 2), height: HIGH - 1,
                     class: `cell c${part}`, 'data-cell': part}, row);
      return row;
    });
    rows.top = top;
    show();
  }

  function show() {
    const sorted = state.stage >= 2, order = sorted ? found.order : found.order.map((_, i) => i);
    order.forEach((token, place) => { rows[token].style.transform = `translateY(${rows.top + place * HIGH}px)`; });
    stage.querySelector('.order').textContent = sorted ? 'sorted by rank' : 'targets, in order';
    const done = part => (part ? state.stage >= part + 2 : state.stage >= 1);
    stage.querySelectorAll('[data-cell]').forEach(cell => cell.classList.toggle('lit', done(+cell.dataset.cell)));
    for (let i = 1; i <= tails; i++) {
      const closed = !found.sizes[i];
      stage.querySelector(`[data-weights="${i}"]`).classList.toggle('shut', closed && done(i));
      stage.querySelector(`[data-closed="${i}"]`).textContent = closed && done(i) ? 'closed' : '';
    }
    const text = said();
    if (state.stage && found.sizes[tails + 1] < state.targets.length) text[0] = `${state.stage} of ${last} · ${text[0]}`;
    stage.setAttribute('aria-label', `A batch of ${state.targets.length} tokens as rows, against ${whole(edges.at(-1))} words as `
      + `columns, ${sorted ? 'sorted by rank' : 'in order'}`);
    story.replaceChildren(text[0]);
    if (text[1]) { story.append(' '); html('strong', {}, story, text[1]); }
  }

  function said() {
    const at = state.stage, used = work(found.sizes, edges, data.widths), away = found.sizes[tails + 1];
    const many = (n, what) => (n ? [`${n} ${n === 1 ? 'is' : 'are'} ${what}`] : []), padding = away - state.unknown;
    const why = [...many(padding, 'padding'), ...many(state.unknown, `not among the ${whole(edges.at(-1))} words`)];
    const aside = away ? ` ${plural(away, 'target')} ignored: ${why.join(', ')}.` : '';
    if (!used.rows) return [`Nothing to score: none of these words is among the ${whole(edges.at(-1))} that this layer knows. Type more common ones.`];
    if (at === 0) return [`${plural(used.rows, 'token')} in text order. Colour: where the next word lives, ${listed(names)}.${aside}`];
    if (at === 1) return [`The head scores its ${plural(edges[1], 'word')} and ${plural(tails, 'tail')} for every token: ${plural(used.rows, 'row')}.`];
    if (at === 2) return ['One sort by rank. The rows of a tail were scattered; now they are one slice, one dense product.'];
    if (at < last) {
      const i = at - 2, n = found.sizes[i];
      return [n ? `Tail ${i} scores its ${plural(edges[i + 1] - edges[i], 'word')} for ${plural(n, 'row')}: its own.`
        : `Nobody came to tail ${i}: it stays closed and costs nothing.`];
    }
    const ratio = used.full / Math.max(1, used.products);
    return [`${whole(used.scores)} scores instead of ${whole(used.all)}; with the narrower tails,`,
            ratio >= 1 ? `${ratio.toFixed(1)} times fewer multiplications than a full softmax.` : `${(1 / ratio).toFixed(1)} times more multiplications than a full softmax.`];
  }

  function step() {
    if (state.stage < last) { state.stage += 1; show(); } else { state.stage = 0; show(); }
    return state.stage < last;
  }
  function play() {
    if (state.stage >= last) { state.stage = 0; show(); }
    state.playing = true; playing.textContent = 'Pause';
    const next = () => { if (step()) timer = setTimeout(next, still.matches ? 2600 : 1700); else pause(); };
    timer = setTimeout(next, 500);
  }
  function pause() { clearTimeout(timer); state.playing = false; playing.textContent = 'Play'; }

  const observer = new ResizeObserver(() => { if (root.clientWidth && Math.abs(root.clientWidth - width) > 1 && root.clientWidth < 1100) arrange(); });
  begin();
  observer.observe(root);
  return {state, step, play, pause, destroy() { observer.disconnect(); clearTimeout(timer); root.replaceChildren(); }};
}
