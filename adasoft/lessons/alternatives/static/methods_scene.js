// Lesson 07's first picture: the next word of a text, scored by four softmaxes. Areas are multiplications, to scale: a
// block is as wide as its words and as high as the numbers that each of them holds. What is computed lights up.
import {html, set, svg, whole} from '../../kit/static/dom.js';

const PITCH = 70, TOP = 24, HIGH = 42, PAUSE = 1700;
const NAMES = ['Full softmax', 'Adaptive softmax', 'SVD-softmax', 'Doubly sparse softmax'];
const IDEAS = ['scores every word', 'opens only the tails that can matter', 'previews every word, completes the best few',
  'asks one expert, who knows some of the words'];

/** Multiplications of each method for one hidden state: [[first look, second look], ...] in the order of NAMES. */
export function costs(data, state, which = data.begin) {
  const {n, d, cutoffs, widths, width, rescored, sizes} = data, edges = [...cutoffs, n];
  const tails = widths.map((own, i) => (state.opened[i] ? d * own + own * (edges[i + 1] - edges[i]) : 0));
  return [
    [n * d, 0],
    [(cutoffs[0] + widths.length) * d, tails.reduce((a, b) => a + b, 0)],
    [d * d + n * width, rescored[which] * (d - width)],
    [sizes.length * d, sizes[state.expert] * d],
  ];
}

/**
 * Put the scene into `root`.
 *
 * `data`: {n, d, cutoffs, widths, width, rescored: the N to choose from, begin: which of them first, sizes, states: [{before,
 * next, opened, looked: one list of runs for each N, expert, best: the full softmax's ten and the adaptive one's, found: how
 * many of the first for each N, "expert found": how many by the expert}]}. Returns {state, step(), play(), pause(), destroy()}.
 */
export function mountMethods(root, data) {
  const state = {place: 0, look: 0, which: data.begin, playing: false};
  const still = matchMedia('(prefers-reduced-motion: reduce)');
  let width = 0, timer = 0;
  root.classList.add('adasoft-cut', 'adasoft-scene', 'adasoft-methods');
  // else JupyterLab takes keys for commands; Escape stays the keyboard's way out
  root.addEventListener('keydown', event => { if (event.key !== 'Escape') event.stopPropagation(); });
  const sentence = html('p', {class: 'sentence'}, root);
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
  button('Another place', () => { pause(); start((state.place + 1) % data.states.length); });
  const many = html('label', {class: 'many'}, controls), named = html('span', {}, many);
  const range = html('input', {type: 'range', min: 0, max: data.rescored.length - 1, step: 1, value: state.which}, many);
  range.addEventListener('input', () => {
    pause();
    Object.assign(state, {which: Number(range.value), look: Math.max(state.look, 2)});  // what it changes is seen at once
    drawBlocks(); show();
  });

  const total = Math.max(data.n, data.sizes.reduce((a, b) => a + b, 0));
  const wide = words => Math.max(1.5, words / total * (width - 16));
  const at = word => 8 + word / total * (width - 16);
  const band = i => TOP + i * PITCH;
  const block = (x, y, w, h, name, look, kind = 'full-block') => svg('rect',
    {x, y, width: Math.max(1, w), height: Math.max(1.5, h), class: `block ${kind}`, 'data-look': look, 'data-name': name}, stage);

  function arrange() {
    width = Math.max(300, root.clientWidth || 900);
    const height = band(3) + HIGH + 10;
    stage.replaceChildren();
    set(stage, {width, height, viewBox: `0 0 ${width} ${height}`, 'aria-label': 'Four softmaxes as blocks, as wide as '
      + 'their words and as high as the numbers that each word holds; the parts that are computed for this word are lit.'});
    NAMES.forEach((name, i) => {
      const y = band(i) - 10, label = svg('text', {x: 8, y, class: 'strong'}, stage, name);
      if (width > 620) svg('tspan', {class: 'idea'}, label, `  ${IDEAS[i]}`);
      svg('text', {x: width - 8, y, 'text-anchor': 'end', class: 'count', 'data-count': i}, stage);
    });
    drawBlocks();
    show();
  }
  function drawBlocks() {
    stage.querySelectorAll('.block').forEach(node => node.remove());
    const {n, d, cutoffs, widths, sizes} = data, now = data.states[state.place], unit = HIGH / d, edges = [...cutoffs, n];
    block(at(0), band(0), wide(n), HIGH, 'full', 1);
    block(at(0), band(1), wide(cutoffs[0]) - 1, HIGH, 'head', 1, 'c0');
    widths.forEach((own, i) => block(at(edges[i]), band(1), wide(edges[i + 1] - edges[i]) - 1, own * unit, `tail ${i + 1}`,
      now.opened[i] ? 2 : 9, `c${i + 1}`));
    block(at(0), band(2), wide(n), data.width * unit, 'preview', 1);
    block(at(0), band(2) + data.width * unit, wide(n), HIGH - data.width * unit, 'rest', 9);
    // runs of neighbouring words whose other columns are read as well; before that, only the pale block behind them
    for (const [from, many] of now.looked[state.which])
      block(at(from), band(2) + data.width * unit, many / total * (width - 16), HIGH - data.width * unit, 'second look', 2, 'full-block stripe');
    let from = 0;
    sizes.forEach((size, i) => {
      block(at(from), band(3), wide(size) - 1, HIGH, `expert ${i + 1}`, i === now.expert ? 2 : 9);
      from += size;
    });
  }
  function start(place = state.place) {
    Object.assign(state, {place, look: 0});
    drawBlocks(); show();
  }
  const listed = words => words.slice(0, 3).join(', ');
  function show() {
    const now = data.states[state.place], counted = costs(data, now, state.which), tails = now.opened.filter(Boolean).length;
    const rescored = whole(data.rescored[state.which]);
    named.textContent = `SVD: N = ${rescored}`;
    range.setAttribute('aria-valuetext', rescored);
    sentence.replaceChildren();
    html('span', {class: 'before'}, sentence, `… ${now.before} `);
    html('span', {class: 'token now'}, sentence, state.look < 3 ? '?' : now.next);
    html('span', {class: 'place'}, sentence, ` place ${state.place + 1} of ${data.states.length}`);
    stage.querySelectorAll('.block').forEach(node => node.classList.toggle('lit', Number(node.dataset.look) <= state.look));
    stage.querySelectorAll('[data-count]').forEach(node => {
      const [first, second] = counted[node.dataset.count], sum = (state.look > 0 ? first : 0) + (state.look > 1 ? second : 0);
      const share = sum / counted[0][0];
      node.textContent = state.look ? `${whole(sum)} multiplications, ${(100 * share).toFixed(share < .1 ? 1 : 0)} %` : '';
    });
    story.replaceChildren();
    if (state.look === 0) story.append('Which word comes next? Each block is a matrix: as wide as its words, as high as the '
      + 'numbers each word holds. Press Play, and watch how much of it is read.');
    if (state.look === 1) {
      html('strong', {}, story, 'First look. ');
      story.append(`The full softmax is done: it has scored all ${whole(data.n)} words. The adaptive one has scored its head, `
        + `SVD-softmax every word by ${data.width} of its ${data.d} numbers, and the gate of the doubly sparse one has picked an expert.`);
    }
    if (state.look === 2) {
      html('strong', {}, story, 'Second look. ');
      story.append(`The adaptive softmax opens ${tails === 0 ? 'no tail: none can hold one of the ten best words'
        : tails === data.widths.length ? 'every tail: each could hold one of the ten best words'
          : `tail ${now.opened.indexOf(true) + 1} only; the other cannot hold one of the ten best words`}. SVD-softmax completes the scores of the `
        + `N = ${rescored} best words of its preview. Expert ${now.expert + 1} scores the ${whole(data.sizes[now.expert])} words it knows.`);
    }
    if (state.look === 3) {
      html('strong', {}, story, 'Answers. ');
      story.append('Full: ');
      html('em', {}, story, listed(now.best[0]));
      story.append(`. SVD-softmax finds ${now.found[state.which]} of its ten best words, the expert ${now['expert found']}`);
      story.append('. The adaptive softmax is a model of its own, and exact for itself: ');
      html('em', {}, story, listed(now.best[1]));
      story.append('. The text goes on with ');
      html('em', {}, story, now.next);
      story.append(now.best[0].includes('<unk>') || now.best[1].includes('<unk>') ? '. (<unk> stands for every rare word.)' : '.');
      story.append(' Now move N.');
    }
  }
  function step() {
    if (state.look === 3) { start(); return true; }
    state.look += 1;
    show();
    return state.look < 3;
  }
  function play() {
    state.playing = true; playing.textContent = 'Pause';
    if (state.look === 3) start();
    const next = () => { if (step()) timer = setTimeout(next, still.matches ? 2 * PAUSE : PAUSE); else pause(); };
    next();
  }
  function pause() { clearTimeout(timer); state.playing = false; playing.textContent = 'Play'; }

  const observer = new ResizeObserver(() => { if (root.clientWidth && Math.abs(root.clientWidth - width) > 1) arrange(); });
  arrange();
  observer.observe(root);
  return {state, step, play, pause, destroy() { observer.disconnect(); clearTimeout(timer); root.replaceChildren(); }};
}
