// The scene of a token: the words of a sentence go one by one through a full softmax and through an adaptive one. Areas
// are multiplications, to scale: a block is as wide as its words and as high as the numbers that each of them holds.
import {makeWords, widths} from './cost.js';
import {html, ordinal, set, svg, whole} from './dom.js';

const GROUND = {full: 34, head: 156, unit: 72, low: 3};   // vertical places, height of d numbers, least height seen

/**
 * Put the scene into `root`.
 *
 * `data`: {text, cuts, d, sentences: [[[word, rank], ...], ...]}: words as in cost.js and sentences with the rank of each
 * word. Returns {step(), play(), pause(), state, destroy()}.
 */
export function mountScene(root, data) {
  const words = makeWords(data.text), ranks = new Map(data.text.words.map((word, i) => [word, data.text.ranks[i]]));
  const edges = [0, ...data.cuts, words.n], tails = data.cuts.length, own = [data.d, ...widths(data.d, tails)];
  const names = own.map((_, i) => (i ? `tail ${i}` : 'head'));
  for (const sentence of data.sentences) for (const [word, rank] of sentence) ranks.set(word, rank);
  const state = {sentence: data.sentences[0].map(([word]) => word), at: -1, full: 0, adaptive: 0, playing: false};
  let timer = 0, width = 0;
  const still = matchMedia('(prefers-reduced-motion: reduce)');

  const count = n => (n >= 1e9 ? `${(n / 1e9).toFixed(2)} billion` : `${(n / 1e6).toFixed(1)} million`);
  const cost = i => (edges[1] + tails) * data.d + (i ? data.d * own[i] + own[i] * (edges[i + 1] - edges[i]) : 0);
  const clusterOf = rank => data.cuts.filter(cut => rank > cut).length;

  root.classList.add('adasoft-cut', 'adasoft-scene');
  const sentence = html('p', {class: 'sentence'}, root);
  const stage = svg('svg', {role: 'img'}, html('div', {class: 'charts'}, root));
  const story = html('p', {class: 'story', role: 'status'}, root);
  const controls = html('div', {class: 'controls'}, root);
  const button = (text, act, kind = '') => {
    const node = html('button', {type: 'button', class: kind}, controls, text);
    node.addEventListener('click', act);
    return node;
  };
  const playing = button('Play', () => (state.playing ? pause() : play()), 'primary');
  button('Step', () => { pause(); step(); });
  data.sentences.forEach((other, i) => button(`Sentence ${i + 1}`, () => { pause(); start(other.map(([word]) => word)); }));
  const box = html('label', {class: 'own'}, controls, 'Yours ');
  const typed = html('input', {type: 'text', size: 28, maxlength: 90, placeholder: 'type a sentence, then Enter'}, box);
  typed.addEventListener('change', () => {
    // as the list does it: lower case, and numbers of several digits as zeros
    const found = typed.value.toLowerCase().match(/[\p{L}\p{M}\p{N}]+(?:['’][\p{L}\p{M}]+)*/gu);
    if (found) { pause(); start(found.map(word => (/\d\d/.test(word) ? word.replace(/\d/g, '0') : word))); play(); }
  });

  const X = rank => 8 + rank / words.n * (width - 16);
  const height = numbers => Math.max(GROUND.low, numbers / data.d * GROUND.unit);
  function arrange() {
    width = Math.max(280, root.clientWidth || 900);
    stage.replaceChildren();
    const bottom = GROUND.head + GROUND.unit;
    set(stage, {width, height: bottom + 24, viewBox: `0 0 ${width} ${bottom + 24}`});
    stage.setAttribute('aria-label', `A full softmax over ${whole(words.n)} words as one large block, and under it an adaptive `
      + `softmax: a head of ${whole(edges[1])} words, ${tails} tails. Areas are multiplications.`);
    const label = (x, y, text, kind = 'strong', anchor = 'start') =>
      svg('text', {x, y, class: kind, 'text-anchor': anchor}, stage, text);
    label(8, GROUND.full - 10, `Full softmax: scores all ${whole(words.n)} words`);
    svg('rect', {x: X(0), y: GROUND.full, width: X(words.n) - X(0), height: GROUND.unit, class: 'block full-block', 'data-block': 'full'}, stage);
    label(8, GROUND.head - 10, `Adaptive softmax: a head of ${whole(edges[1])} words`
      + (width < 520 ? '' : `, the rest in ${tails === 1 ? 'a tail' : `${tails} tails`} with fewer numbers per word`));
    own.forEach((numbers, i) => svg('rect', {
      x: X(edges[i]), y: GROUND.head, width: Math.max(3, X(edges[i + 1]) - X(edges[i]) - 1), height: height(numbers),
      class: `block c${i}`, 'data-block': i}, stage));
    own.forEach((numbers, i) => {
      const x = i === 0 ? X(0) : i === tails ? (X(edges[i]) + X(edges[i + 1])) / 2 : X(edges[i]);
      const y = i === 0 ? bottom + 14 : GROUND.head + height(numbers) + 15;
      label(x, y, width < 520 && i && i < tails ? '' : `${names[i]}: ${numbers} numbers per word`, `own c${i}`, i === tails && tails ? 'middle' : 'start');
    });
    show();
  }
  function start(next = state.sentence) {
    Object.assign(state, {sentence: next, at: -1, full: 0, adaptive: 0});
    sentence.replaceChildren(...next.flatMap(word => [html('span', {class: 'token'}, null, word), ' ']));
    show();
  }
  function show() {
    const word = state.sentence[state.at], rank = ranks.get(word), cluster = state.at < 0 ? null : clusterOf(rank ?? words.n);
    sentence.querySelectorAll('.token').forEach((node, i) => {
      node.className = `token${i === state.at ? ' now' : ''}${i <= state.at ? ` c${clusterOf(ranks.get(state.sentence[i]) ?? words.n)}` : ''}`;
    });
    stage.querySelectorAll('[data-block]').forEach(node => {
      const block = node.dataset.block;
      node.classList.toggle('lit', cluster !== null && (block === 'full' || block === '0' || Number(block) === cluster));
    });
    if (cluster === null) { story.textContent = 'Each word lights up what has to be computed to score it, once we know which word came next, as in training. Press Play.'; return; }
    const where = rank ? `the ${ordinal(rank)} most frequent word`
      : 'not in this page’s list, so it is counted as one of the last tail';
    story.replaceChildren();
    html('em', {}, story, word);
    story.append(` is ${where}. ` + (cluster ? `The head answers “${names[cluster]}”, and only then is ${names[cluster]} computed. ` : 'The head alone answers. ')
      + `So far: full softmax ${count(state.full)} multiplications, adaptive ${count(state.adaptive)}, `);
    html('strong', {}, story, `${Math.round(state.full / state.adaptive)} times fewer`);
    story.append('.');
  }
  function step() {
    if (state.at + 1 >= state.sentence.length) { pause(); return false; }
    state.at += 1;
    state.full += words.n * data.d;
    state.adaptive += cost(clusterOf(ranks.get(state.sentence[state.at]) ?? words.n));
    show();
    return state.at + 1 < state.sentence.length;
  }
  function play() {
    if (state.at + 1 >= state.sentence.length) start();
    state.playing = true; playing.textContent = 'Pause';
    const next = () => { if (step()) timer = setTimeout(next, still.matches ? 2500 : 1100); else pause(); };
    next();
  }
  function pause() { clearTimeout(timer); state.playing = false; playing.textContent = 'Play'; }

  const observer = new ResizeObserver(() => { if (root.clientWidth && Math.abs(root.clientWidth - width) > 1) arrange(); });
  start(); arrange();
  observer.observe(root);
  return {state, step, play, pause, destroy() { observer.disconnect(); clearTimeout(timer); root.replaceChildren(); }};
}
