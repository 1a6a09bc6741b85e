// The scene of a token: the words of a sentence go one by one through a full softmax and through an adaptive one. Areas
// are multiplications, to scale: a block is as wide as its words and as high as the numbers that each of them holds.
import {makeWords, widths} from './cost.js';
import {counted, fitted, html, mostFrequent, percent, set, straight, svg, times, whole} from './dom.js';

const PLACE = {full: 24, head: 118, unit: 64, low: 3, total: 222, row: 20, rows: 3};   // vertical places; height of d numbers
const PACE = {head: 1000, tail: 2000, still: 2600, says: 450, walk: 850};              // milliseconds; in the head one glance does
const HAIRLINE = 8;                               // pixels: the light edge of a narrower bar would hide it
const MOST_OWN = 2, MOST_WORDS = 24;                                          // sentences of the reader's own, words of one

const NUMBERS = [, , 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten', 'eleven', 'twelve'];   // in a sentence

const amountOf = n => (n >= 1e9 ? `${(n / 1e9).toFixed(2)} billion` : `${(n / 1e6).toFixed(1)} million`);
const clusterName = i => (i ? `tail ${i}` : 'head');

/** Clusters and prices, which follow from words, cutoffs and widths. */
function settle(scene, data) {
  scene.data = {...scene.data, ...data};
  const {text, cuts, d, sentences, widths: given} = scene.data;
  if (text !== scene.text) {
    scene.text = text; scene.words = makeWords(text);
    scene.ranks = new Map((text.words ?? []).map((word, i) => [word, text.ranks[i]]));
  }
  const {words} = scene, tails = cuts.length;
  scene.edges = [0, ...cuts, words.n]; scene.tails = tails;
  scene.numbers = [d, ...(given?.slice(0, tails) ?? widths(d, tails))];
  for (const sentence of sentences) for (const [word, rank] of sentence) scene.ranks.set(word, rank);
  scene.cluster = word => cuts.filter(cut => (scene.ranks.get(word) ?? words.n) > cut).length;
  scene.price = i => (scene.edges[1] + tails) * d + (i ? scene.numbers[i] * (d + scene.edges[i + 1] - scene.edges[i]) : 0);
}

/** The multiplications of a whole sentence: [full softmax, adaptive]. */
const sums = (scene, sentence) => sentence.reduce(([full, adaptive], word) =>
  [full + scene.words.n * scene.data.d, adaptive + scene.price(scene.cluster(word))], [0, 0]);

/** What each cluster had to multiply for a sentence: the head for every word, a tail for its own. */
function shares(scene, sentence) {
  const head = scene.price(0), parts = scene.numbers.map(() => 0);
  for (const word of sentence) {
    const cluster = scene.cluster(word);
    parts[0] += head;
    if (cluster) parts[cluster] += scene.price(cluster) - head;
  }
  return parts;
}

/** Which of a sentence's words the adaptive softmax paid most for, once it is through. */
function costliest(scene, sentence) {
  const of = word => scene.price(scene.cluster(word)), most = Math.max(...sentence.map(of)), those = sentence.filter(word => of(word) === most);
  const rest = sentence.length - those.length, others = rest === 1 ? 'the other word' : `the other ${NUMBERS[rest] ?? rest} together`, [, all] = sums(scene, sentence);
  if (!scene.tails || sentence.length < 2) return null;
  if (!rest) return [`All ${sentence.length} words`, ` cost the same: each is answered ${scene.cluster(those[0]) ? `by ${clusterName(scene.cluster(those[0]))}` : 'by the head alone'}.`];
  const ratio = those.length * most / (all - those.length * most), one = those.length === 1;
  const told = ratio > 1.5 ? `${times(ratio)} times as much as` : ratio > 1.05 ? 'more than' : ratio >= 0.95 ? 'as much as' : '';
  return [one ? `One word, “${those[0]}”,` : `The ${those.length} words of ${clusterName(scene.cluster(those[0]))}`,
          told ? ` cost ${told} ${others}.` : ` took ${percent(those.length * most / all)} of the multiplications.`];
}

function buildScene(scene, root) {
  root.classList.add('adasoft-cut', 'adasoft-scene');
  const {state} = scene, parts = scene.parts = {controls: html('div', {class: 'controls'}, root)};
  parts.sentence = html('p', {class: 'sentence'}, root);
  parts.story = html('p', {class: 'story', role: 'status'}, root);
  parts.charts = html('div', {class: 'charts'}, root);
  parts.stage = svg('svg', {role: 'img'}, parts.charts);
  parts.punch = html('p', {class: 'punch', role: 'status'}, root);
  parts.legend = html('p', {class: 'legend'}, root);
  const button = (text, act, kind = '', place = parts.controls) => {
    const node = html('button', {type: 'button', class: kind}, place, text);
    node.addEventListener('click', act);
    return node;
  };
  parts.playing = button('Play', () => (scene.state.playing ? scene.pause() : scene.play()), 'primary');
  parts.stepping = button('Step', () => { scene.pause(); scene.step(); });
  parts.choices = html('span', {class: 'buttons'}, parts.controls);
  scene.button = button;
  const box = html('label', {class: 'own'}, parts.controls, 'Yours ');
  const typed = html('input', {type: 'text', class: 'sentence-box', maxlength: 300, placeholder: 'type a sentence, then Enter'}, box);
  typed.addEventListener('change', () => scene.type(typed.value));
  typed.addEventListener('keydown', event => { if (event.key === 'Enter' && !typed.value.trim()) scene.type(''); });
  parts.said = html('p', {class: 'note', role: 'status'}, root);
  root.addEventListener('keydown', event => {              // else JupyterLab takes keys for commands
    if (event.key !== 'Escape' && event.target.closest('input, button')) event.stopPropagation();
  });
}

/** Buttons of the sentences, each with what it came to. */
function drawSentences(scene) {
  const {parts, state, data} = scene, focused = [...parts.choices.children].indexOf(document.activeElement);
  parts.choices.replaceChildren();
  const all = [...data.sentences.map(sentence => ['Sentence', sentence.map(([word]) => word)]), ...state.own.map(own => ['Yours', own])];
  all.forEach(([name, sentence], i) => {
    const number = name === 'Yours' ? state.gone + i - data.sentences.length + 1 : i + 1, [full, adaptive] = sums(scene, sentence);
    const seen = state.seen.has(sentence.join(' ')) ? `: ${times(full / adaptive)} ×` : '';
    const node = scene.button(`${name} ${number}${seen}`, () => { scene.pause(); scene.say(''); scene.start(sentence); scene.play(); }, '', parts.choices);
    node.title = sentence.join(' ');
    node.setAttribute('aria-pressed', String(sentence.join(' ') === state.sentence.join(' ')));
  });
  parts.choices.children[focused]?.focus();
}

function arrangeScene(scene) {
  const {parts, words, edges, numbers, tails, data} = scene, {stage} = parts;
  const width = scene.width = Math.max(280, parts.charts.clientWidth || 900), narrow = width < 520;
  const height = PLACE.total + PLACE.rows * PLACE.row;
  stage.replaceChildren();
  set(stage, {width, height, viewBox: `0 0 ${width} ${height}`, 'aria-label':
    `A full softmax over ${whole(words.n)} words as one large block, and under it an adaptive softmax: a head of `
    + `${counted(edges[1], 'word')}, ${counted(tails, 'tail')}. Areas are multiplications.`});
  scene.X = rank => 2 + rank / words.n * (width - 4);
  const {X} = scene, tall = n => Math.max(PLACE.low, n / data.d * PLACE.unit);
  const label = (x, y, text, room, kind = 'strong') => fitted(svg('text', {x, y, class: kind}, stage), [text].flat(), room);
  label(2, PLACE.full - 9, [`Full softmax: scores all ${whole(words.n)} words, every time`, 'Full softmax: every word, every time'], width - 4);
  svg('rect', {x: X(0), y: PLACE.full, width: X(words.n) - X(0), height: PLACE.unit, rx: 3, class: 'block full-block', 'data-block': 'full'}, stage);
  const head = `Adaptive softmax: a head of ${counted(edges[1], 'word')}`, rest = tails === 1 ? 'a tail' : `${tails} tails`;
  label(2, PLACE.head - 9, tails ? [`${head}, the rest in ${rest} with fewer numbers per word`, `${head}, the rest in ${rest}`, head] : 'Without a cutoff: the same', width - 4);
  numbers.forEach((n, i) => svg('rect', {x: X(edges[i]), y: PLACE.head, width: Math.max(4, X(edges[i + 1]) - X(edges[i]) - 1), height: tall(n),
                                         class: `block c${i}`, 'data-block': i}, stage));
  drawLegend(scene);
  label(2, PLACE.total - 10, 'Multiplications so far', width);
  svg('g', {class: 'totals'}, stage);
  svg('line', {y1: PLACE.full, y2: PLACE.full + PLACE.unit, class: 'rank'}, stage);
  const walker = svg('g', {class: 'walker', visibility: 'hidden'}, stage);
  svg('rect', {y: -13, height: 20, rx: 6}, walker);
  svg('text', {y: 2, 'text-anchor': 'middle', class: 'word'}, walker);
  showScene(scene);
}

/** Which words each cluster holds, and how many numbers describe each of them. */
function drawLegend({parts, edges, numbers}) {
  parts.legend.replaceChildren(...numbers.map((n, i) => {
    const item = html('span', {class: `c${i}`}), words = i ? `words ${whole(edges[i] + 1)} to ${whole(edges[i + 1])}` : `first ${counted(edges[1], 'word')}`;
    html('strong', {}, item, clusterName(i));
    item.append(` ${words} × ${counted(n, 'number')}`);
    return item;
  }));
}

/** What has been multiplied so far, on the scale of the whole sentence, and by which cluster; at its end, for which word most. */
function drawTotals(scene) {
  const {state, parts, width} = scene, narrow = width < 520, group = parts.stage.querySelector('.totals'), from = Math.max(72, Math.min(96, width / 5)), room = width - from - 88;
  const [most] = sums(scene, state.sentence);
  const spent = shares(scene, state.sentence.slice(0, state.at + 1)), own = spent.map((part, i) => [part, scene.tails ? `bar c${i}` : 'full-bar']);
  group.replaceChildren();
  const row = (i, name, blocks, scale, told) => {
    const y = PLACE.total + i * PLACE.row;
    let x = from;
    svg('text', {x: from - 8, y: y + 12, class: 'strong', 'text-anchor': 'end'}, group, name);
    for (const [part, kind] of blocks) { svg('rect', {x, y, width: part * scale, height: 14, class: `${kind}${part * scale < HAIRLINE ? ' thin' : ''}`}, group); x += part * scale; }
    svg('text', {x: x + 7, y: y + 12}, group, told);
  };
  row(0, narrow ? 'full' : 'full softmax', [[state.full, 'full-bar']], room / most, state.full ? amountOf(state.full) : '0');
  row(1, 'adaptive', own, room / most, state.adaptive ? amountOf(state.adaptive) : '0');
  // the same large enough to see which cluster it went to
  const main = spent.indexOf(Math.max(...spent));
  if (scene.tails && state.adaptive) row(2, 'its parts', own, room / state.adaptive, `${clusterName(main)} ${Math.round(100 * spent[main] / state.adaptive)} %`);
  const found = state.at + 1 === state.sentence.length ? costliest(scene, state.sentence) : null;
  parts.punch.replaceChildren();
  if (found) { html('strong', {}, parts.punch, found[0]); parts.punch.append(found[1]); }
}

/** The word walks into the head, and from there to its tail. */
function walk(scene, word, rank, cluster) {
  const {parts, X, edges, data, numbers, width} = scene, walker = parts.stage.querySelector('.walker'), [box, name] = walker.children;
  clearTimeout(scene.walking);
  const line = parts.stage.querySelector('.rank');
  set(line, {x1: X(rank ?? 0), x2: X(rank ?? 0), visibility: rank ? 'visible' : 'hidden'});
  walker.setAttribute('visibility', word === undefined ? 'hidden' : 'visible');
  if (word === undefined) return;
  name.textContent = word;
  const wide = name.getComputedTextLength() + 16;
  set(box, {x: -wide / 2, width: wide});
  const to = (x, y, i) => {
    walker.setAttribute('class', `walker c${i}`);
    walker.style.transform = `translate(${Math.min(width - wide / 2 - 2, Math.max(wide / 2 + 2, x)).toFixed(1)}px, ${y}px)`;
  };
  const tail = () => to(X(rank ?? (edges[cluster] + edges[cluster + 1]) / 2), PLACE.head + Math.max(PLACE.low, numbers[cluster] / data.d * PLACE.unit) + 28, cluster);
  // the head lights up and says where to look; then the word goes there, and the tail lights up
  const arrive = () => { tail(); lit(scene, cluster); tell(scene, word, rank, cluster, 'done'); };
  if (cluster && scene.still.matches) { arrive(); return; }
  to(X(edges[1]) + 8 + wide / 2, PLACE.head + 40, 0);
  lit(scene, 0);
  if (!cluster) { tell(scene, word, rank, cluster, 'done'); return; }
  tell(scene, word, rank, cluster, 'asked');
  scene.walking = setTimeout(() => {
    tell(scene, word, rank, cluster, 'said');
    scene.walking = setTimeout(arrive, PACE.walk);
  }, PACE.says);
}
function lit(scene, cluster) {
  scene.parts.stage.querySelectorAll('[data-block]').forEach(node => {
    const {block} = node.dataset;
    node.classList.toggle('lit', cluster !== null && (block === 'full' || block === '0' || Number(block) === cluster));
  });
}

function showScene(scene) {
  const {state, parts, ranks, words} = scene, word = state.sentence[state.at], rank = ranks.get(word);
  const cluster = word === undefined ? null : scene.cluster(word), last = state.at + 1 >= state.sentence.length;
  parts.stepping.disabled = last;
  parts.stepping.title = last ? 'That was the last word: Play begins again' : '';
  parts.sentence.querySelectorAll('.token').forEach((node, i) => {
    node.className = `token${i === state.at ? ' now' : ''}${i <= state.at ? ` c${scene.cluster(state.sentence[i])}` : ''}`;
  });
  parts.story.replaceChildren();
  if (cluster === null) {
    lit(scene, null); drawTotals(scene);
    parts.story.textContent = 'What lights up is what must be computed. Area is the number of multiplications. Press Play, or Step for one word at a time.';
  }
  walk(scene, word, rank, cluster);
}

/** The story of a word, as far as it has come: the head is asked, it has said which tail, done. */
function tell(scene, word, rank, cluster, stage) {
  const {state, parts} = scene, home = scene.tails > 1 ? 'the last tail' : scene.tails ? 'the tail' : 'the rarest';
  const {carried} = scene.data, where = rank ? mostFrequent(rank)
    : `${carried ? `not among the ${whole(carried)} words that this page carries` : 'not in the list'}, so it counts as a word of ${home}`;
  parts.story.replaceChildren();
  html('em', {}, parts.story, word);
  parts.story.append(` is ${where}. `);
  if (stage === 'asked') { parts.story.append('First the head is computed …'); return; }
  if (cluster) parts.story.append(`The head says “${clusterName(cluster)}”, `);
  if (stage === 'said') { parts.story.append('and now that tail is computed …'); return; }
  parts.story.append(cluster ? `and only then is ${clusterName(cluster)} computed. So far: `
    : scene.tails ? 'The head alone answers. So far: ' : 'So far: ');
  html('strong', {}, parts.story, `${times(state.full / state.adaptive)} times fewer multiplications`);
  parts.story.append(' than a full softmax.');
  drawTotals(scene);
}

/**
 * Put the scene into `root`.
 *
 * `data`: {text, cuts, d, widths, sentences: [[[word, rank], ...], ...], carried}: words and widths as in cost.js,
 * sentences with the rank of each word; `carried`: how many ranks are known where it is not all of them. `on`: {ranks(words)}, a promise of {word: rank} of words that the page does not know.
 * Returns {step(), play(), pause(), show(data), state, destroy()}.
 */
export function mountScene(root, data, on = {}) {
  const state = {sentence: data.sentences[0].map(([word]) => word), at: -1, full: 0, adaptive: 0, playing: false, own: [], gone: 0, seen: new Set()};
  const scene = {state, on, data: {}, timer: 0, walking: 0, width: 0, still: matchMedia('(prefers-reduced-motion: reduce)')};
  scene.say = text => { scene.parts.said.textContent = text; };
  buildScene(scene, root);
  const {say} = scene;
  scene.start = (next = state.sentence) => {
    Object.assign(state, {sentence: next, at: -1, full: 0, adaptive: 0});
    scene.parts.sentence.replaceChildren(...next.flatMap(word => [html('span', {class: 'token'}, null, word), ' ']));
    drawSentences(scene);
    if (scene.width) showScene(scene);
  };
  scene.step = () => {
    if (state.at + 1 >= state.sentence.length) { scene.pause(); return false; }
    state.at += 1;
    [state.full, state.adaptive] = sums(scene, state.sentence.slice(0, state.at + 1));
    if (state.at + 1 === state.sentence.length) { state.seen.add(state.sentence.join(' ')); drawSentences(scene); }
    showScene(scene);
    return state.at + 1 < state.sentence.length;
  };
  scene.play = () => {
    if (state.at + 1 >= state.sentence.length) scene.start();
    state.playing = true; scene.parts.playing.textContent = 'Pause';
    const pace = () => (scene.still.matches ? PACE.still : scene.cluster(state.sentence[state.at]) ? PACE.tail : PACE.head);
    const next = () => { if (scene.step()) scene.timer = setTimeout(next, pace()); else scene.pause(); };
    next();
  };
  scene.pause = () => { clearTimeout(scene.timer); state.playing = false; scene.parts.playing.textContent = 'Play'; };
  const isOwn = words => state.own.some(own => own.join(' ') === words.join(' '));
  scene.type = async typed => {
    // as the list does it: lower case, and numbers of several digits as zeros
    const read = straight(typed).toLowerCase().match(/[\p{L}\p{M}\p{N}]+(?:'[\p{L}\p{M}]+)*/gu) ?? [];
    if (!read.length) { say(typed.trim() ? `There is no word in “${typed.trim()}”.` : 'Type a sentence first.'); return; }
    const zeros = read.filter(word => /\d\d/.test(word)), found = read.slice(0, MOST_WORDS).map(word => (/\d\d/.test(word) ? word.replace(/\d/g, '0') : word));
    say([zeros.length ? `The list counts “${zeros[0]}” as “${zeros[0].replace(/\d/g, '0')}”: numbers of equal length are one word there.` : '',
         read.length > MOST_WORDS ? `These are the first ${MOST_WORDS} of ${read.length} words.` : '',
         state.own.length >= MOST_OWN && !isOwn(found) ? `Your last ${MOST_OWN} sentences are kept, so “${state.own[0].join(' ')}” is gone.` : '']
      .filter(Boolean).join(' '));
    scene.pause();
    const unknown = found.filter(word => !scene.ranks.has(word)), before = state.own.length;
    if (unknown.length && on.ranks) for (const [word, rank] of Object.entries(await on.ranks(unknown))) scene.ranks.set(word, rank);
    if (!isOwn(found)) {
      state.own = [...state.own, found].slice(-MOST_OWN);
      state.gone += before === MOST_OWN;       // each sentence keeps its number
    }
    scene.start(found); scene.play();
  };
  settle(scene, data);
  scene.start(); arrangeScene(scene);
  const observer = new ResizeObserver(() => {
    const {clientWidth} = scene.parts.charts;
    if (clientWidth && Math.abs(clientWidth - scene.width) > 1) arrangeScene(scene);
  });
  observer.observe(scene.parts.charts);
  return {
    state, step: scene.step, play: scene.play, pause: scene.pause,
    show(next) {
      const other = next.text !== scene.text;
      settle(scene, next);
      if (other) { scene.pause(); state.own = []; state.gone = 0; scene.start(scene.data.sentences[0].map(([word]) => word)); }
      if (state.at >= 0) [state.full, state.adaptive] = sums(scene, state.sentence.slice(0, state.at + 1));
      drawSentences(scene); arrangeScene(scene);
    },
    destroy() { observer.disconnect(); clearTimeout(scene.timer); clearTimeout(scene.walking); root.replaceChildren(); },
  };
}
