// A case with a budget: the reader sets the head's share, the number of tails and their widths, on matrices to scale. Time,
// memory and mean width follow within a frame. The planner and the stored trainings are shown after the decision.
import {layer, makeCost, makeWords} from '../../kit/static/cost.js';
import {html, set, svg, whole} from '../../kit/static/dom.js';

const MOST_TAILS = 4, STEP = 8;               // widths are multiples of STEP
const SPACE = {top: 24, high: 112, bottom: 26, side: 10};
const SWEEP = [0.3, 0.99];

// ------------------------------------------------------------------ what a decision costs

/** The fewest words that make up a share of the tokens; at least 1 word, and 1 is left for the tails. */
export function wordsForShare(words, share) {
  let low = 1, high = words.n - 1;
  while (low < high) { const middle = (low + high) >> 1; if (words.cumulative(middle) >= share) high = middle; else low = middle + 1; }
  return low;
}
/** Cutoffs behind the first, evenly spaced on the logarithmic scale up to V. */
export function spread(first, tails, n) {
  const cuts = [first];
  for (let i = 1; i < tails; i++) {
    const cut = Math.round(first * (n / first) ** (i / tails));
    cuts.push(Math.min(Math.max(cut, cuts[i - 1] + 1), n - tails + i));
  }
  return cuts;
}
/** Parameters of a layer: head with an entry for each tail, and for each tail its projection and its words. */
export function parameters(n, d, cuts, widths) {
  const edges = [...cuts, n];
  return widths.reduce((sum, width, i) => sum + width * (d + edges[i + 1] - edges[i]), (cuts[0] + widths.length) * d);
}
/** {seconds, bytes, width}: of a step, of all parameters, and numbers per token on average. */
export function outcome(words, cost, given, cuts, widths) {
  const made = layer(words, cost, cuts, {d: given.d, batch: given.batch, widths, objective: given.objective});
  return {
    seconds: made.seconds,
    bytes: given.perParameter * parameters(words.n, given.d, cuts, widths),
    width: made.clusters.reduce((sum, c) => sum + c.share * c.width, 0),
  };
}

// ------------------------------------------------------------------ as text

export const timeText = s => (s >= 1 ? `${s.toFixed(2)} s` : s >= 0.1 ? `${(s * 1e3).toFixed(0)} ms` : s >= 1e-2 ? `${(s * 1e3).toFixed(1)} ms`
  : `${(s * 1e3).toFixed(2)} ms`);
export const bytesText = b => (b >= 1e9 ? `${(b / 1e9).toFixed(2)} GB` : b >= 1e7 ? `${(b / 1e6).toFixed(0)} MB` : `${(b / 1e6).toFixed(1)} MB`);

/**
 * Put a case into `root`.
 *
 * `given`: {name, words, cost, d, batch, objective, perParameter, unit, budget: {seconds, bytes, width}, share, tails, widths,
 * rest, decision, texts}: words and cost as in cost.js; `rest`: seconds of a step outside of the layer, or 0; `decision`:
 * {cutoffs, widths} where it was made earlier. `on`: {decide({cutoffs, widths}), write(texts)}.
 * Returns {state, reveal(found), destroy()}.
 */
export function mountCase(root, given, on = {}) {
  const words = makeWords(given.words), cost = makeCost(given.cost), {d, budget} = given;
  const full = {seconds: cost.product(words.n, given.batch, d, given.objective), bytes: given.perParameter * words.n * d, width: d};
  const state = {first: 1, tails: given.tails, widths: [...given.widths], shown: null, found: null, playing: false};
  let width = 0, frame = 0, timer = 0;
  root.classList.add('adasoft-cut', 'adasoft-case');
  html('p', {class: 'instruction'}, root, 'Drag the head’s right edge and the tails’ lower edges until all three bars keep the budget. '
    + 'Areas are memory; the dashed frame is the full softmax.');
  const stage = svg('svg', {role: 'group', 'aria-label': 'head and tails, to scale'}, html('div', {class: 'charts'}, root));
  const gauges = html('div', {class: 'gauges'}, root), summary = html('p', {class: 'result', role: 'status'}, root);
  const controls = html('div', {class: 'controls'}, root);
  const answer = html('div', {class: 'answer'}, root);

  const cuts = () => spread(state.first, state.tails, words.n);
  const own = () => state.widths.slice(0, state.tails);
  const now = () => outcome(words, cost, given, cuts(), own());
  const inBudget = found => [found.seconds <= budget.seconds, found.bytes <= budget.bytes, found.width >= budget.width];
  const setShare = share => { state.first = wordsForShare(words, Math.min(0.999, Math.max(0.05, share))); moved(); };
  const setFirst = rank => { state.first = Math.min(words.n - MOST_TAILS, Math.max(1, Math.round(rank))); moved(); };
  const setWidth = (i, value) => {
    state.widths[i] = Math.min(d, Math.max(STEP, Math.round(value / STEP) * STEP));
    moved();
  };
  const setTails = tails => {
    state.tails = Math.min(MOST_TAILS, Math.max(1, tails));
    while (state.widths.length < state.tails) state.widths.push(Math.max(STEP, Math.round(state.widths.at(-1) / 4 / STEP) * STEP));
    controlsOf(); moved();
  };
  function moved() { if (!frame) frame = requestAnimationFrame(() => { frame = 0; draw(); }); }

  // ---- controls: everything by keyboard and by typing, too
  function field(label, value, low, high, step, act, unit) {
    const box = html('label', {class: 'typed'}, controls);
    html('span', {class: 'name'}, box, label);
    const slide = html('input', {type: 'range', min: low, max: high, step, 'aria-label': label}, box);
    const typed = html('input', {type: 'text', inputmode: 'decimal', 'aria-label': `${label}, ${unit}`}, box);
    html('span', {}, box, unit === 'percent' ? '%' : '');
    slide.addEventListener('input', () => act(Number(slide.value)));
    typed.addEventListener('change', () => {
      const number = Number(typed.value.replace(/[,%\s]/g, ''));
      if (Number.isFinite(number) && typed.value.trim()) act(number);
      moved();
    });
    return () => { slide.value = value(); if (document.activeElement !== typed) typed.value = value(); };
  }
  let shows = [], sweeping;
  function controlsOf() {
    controls.replaceChildren();
    const button = (text, label, act, kind = '') => {
      const node = html('button', {type: 'button', class: kind, ...(label ? {'aria-label': label} : {})}, controls, text);
      node.addEventListener('click', act);
      return node;
    };
    shows = [field('head’s share', () => (100 * words.cumulative(state.first)).toFixed(1), 5, 99.9, 0.1, v => setShare(v / 100), 'percent')];
    html('span', {}, controls, 'tails');
    button('−', 'one tail fewer', () => setTails(state.tails - 1)).disabled = state.tails < 2;
    html('output', {}, controls, String(state.tails));
    button('+', 'one tail more', () => setTails(state.tails + 1)).disabled = state.tails >= MOST_TAILS;
    own().forEach((_, i) => shows.push(field(`width of tail ${i + 1}`, () => String(state.widths[i]), STEP, d, STEP, v => setWidth(i, v), 'numbers')));
    sweeping = button('Play', 'play: move the head’s edge from 30 to 99 %', () => (state.playing ? stop() : play()));
    button('Decide', '', decide, 'primary');
  }

  // ---- the matrices
  const X = rank => SPACE.side + rank / words.n * (width - 2 * SPACE.side);
  const Y = numbers => SPACE.top + numbers / d * SPACE.high;
  function handle(label, act, keys) {
    const node = svg('g', {class: 'handle', role: 'slider', tabindex: 0, 'aria-label': label}, stage);
    node.addEventListener('pointerdown', event => {
      stop(); node.setPointerCapture(event.pointerId); node.focus(); event.preventDefault();
      const box = stage.getBoundingClientRect();
      const follow = move => act(move.clientX - box.left, move.clientY - box.top);
      node.onpointermove = follow;
      node.onpointerup = node.onpointercancel = () => { node.onpointermove = null; };
    });
    node.addEventListener('keydown', event => {
      const way = {ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 5, PageDown: -5}[event.key];
      if (!way) return;
      event.preventDefault(); event.stopPropagation(); stop(); keys(way);
    });
    return node;
  }
  function arrange() {
    width = Math.max(300, root.clientWidth || 900);
    const height = SPACE.top + SPACE.high + SPACE.bottom;
    stage.replaceChildren();
    set(stage, {width, height, viewBox: `0 0 ${width} ${height}`});
    svg('rect', {x: X(0), y: Y(0), width: X(words.n) - X(0), height: SPACE.high, class: 'frame'}, stage);
    svg('text', {x: X(0), y: 14, class: 'head-text strong'}, stage);
    svg('text', {x: X(words.n), y: 14, 'text-anchor': 'end', class: 'frame-text'}, stage,
      `full softmax${width < 700 ? '' : `: ${whole(words.n)} ${given.unit}s × ${d} numbers`}, ${bytesText(full.bytes)}, ${timeText(full.seconds)}`);
    for (let i = 0; i <= MOST_TAILS; i++) svg('rect', {class: `block lit c${i}`, 'data-block': i}, stage);
    for (let i = 1; i <= MOST_TAILS; i++) svg('text', {class: `tail-text c${i}`, 'data-text': i}, stage);
    svg('text', {x: X(0), y: SPACE.top + SPACE.high + 17, class: 'edge-text'}, stage);
    const head = handle('words in the head', x => setFirst((x - SPACE.side) / (width - 2 * SPACE.side) * words.n),
      way => setShare(words.cumulative(state.first) + way * 0.005));
    head.classList.add('head-edge');
    svg('line', {y1: Y(0) - 6, y2: Y(d) + 6, class: 'cut'}, head);
    svg('circle', {cy: Y(d / 2), r: 9, class: 'knob'}, head);
    for (let i = 0; i < MOST_TAILS; i++) {
      const tail = handle(`width of tail ${i + 1}`, (_, y) => setWidth(i, (y - SPACE.top) / SPACE.high * d), way => setWidth(i, state.widths[i] + way * STEP));
      tail.classList.add('tail-edge');
      tail.dataset.i = i;
      svg('circle', {r: 8, class: 'knob'}, tail);
    }
    draw();
  }
  function draw() {
    const edges = [0, ...cuts(), words.n], heights = [d, ...own()];
    stage.querySelectorAll('[data-block]').forEach((node, i) => {
      node.setAttribute('visibility', i <= state.tails ? 'visible' : 'hidden');
      if (i <= state.tails) set(node, {x: X(edges[i]), y: Y(0), width: Math.max(2, X(edges[i + 1]) - X(edges[i])), height: Math.max(2, Y(heights[i]) - Y(0))});
    });
    const head = stage.querySelector('.head-edge'), share = words.cumulative(state.first);
    set(head, {transform: `translate(${X(edges[1])},0)`, 'aria-valuemin': 1, 'aria-valuemax': words.n - MOST_TAILS, 'aria-valuenow': state.first,
               'aria-valuetext': `${whole(state.first)} ${given.unit}s, ${(100 * share).toFixed(1)} % of the tokens`});
    stage.querySelector('.head-text').textContent = `head: ${whole(state.first)} ${given.unit}s, ${(100 * share).toFixed(1)} %`;
    stage.querySelectorAll('.tail-edge').forEach((node, i) => {
      node.setAttribute('visibility', i < state.tails ? 'visible' : 'hidden');
      node.setAttribute('tabindex', i < state.tails ? 0 : -1);
      if (i >= state.tails) return;
      const x = (Math.max(X(edges[i + 1]), X(edges[1]) + 24 * (i + 1)) + X(edges[i + 2])) / 2;
      set(node, {transform: `translate(${x},${Y(state.widths[i])})`, 'aria-valuemin': STEP, 'aria-valuemax': d, 'aria-valuenow': state.widths[i],
                 'aria-valuetext': `${state.widths[i]} numbers per ${given.unit}`});
    });
    stage.querySelectorAll('[data-text]').forEach((node, at) => {
      const i = at + 1;
      node.textContent = '';
      if (i > state.tails) return;
      const wide = X(edges[i + 1]) - X(edges[i]);
      node.textContent = wide > 140 ? `tail ${i}: ${state.widths[at]} numbers` : wide > 60 ? `tail ${i}: ${state.widths[at]}` : '';
      set(node, {x: (X(edges[i]) + X(edges[i + 1])) / 2, y: Y(heights[i]) + 22, 'text-anchor': 'middle'});
    });
    const {last, first} = words.around ? words.around(state.first) : {last: null, first: null};
    stage.querySelector('.edge-text').textContent = last && first ? `the head ends near “${last.word}”; tail 1 begins near “${first.word}”` : '';
    measure();
    shows.forEach(show => show());
  }
  function measure() {
    const found = now(), fit = inBudget(found), plan = state.found?.plan;
    gauges.replaceChildren();
    const rows = [
      ['time', 'seconds', timeText, full.seconds, 'at most'],
      ['memory', 'bytes', bytesText, full.bytes, 'at most'],
      ['mean width', 'width', v => v.toFixed(0), d, 'at least'],
    ];
    rows.forEach(([name, key, text, most, kind], i) => {
      const row = html('div', {class: `gauge ${fit[i] ? 'fits' : 'over'}`, 'data-gauge': key}, gauges);
      html('span', {class: 'name'}, row, name);
      const track = html('span', {class: 'track'}, row), at = v => `${Math.min(100, 100 * v / most).toFixed(2)}%`;
      html('span', {class: 'fill', style: `width:${at(found[key])}`}, track);
      html('span', {class: 'limit', style: `left:${at(budget[key])}`, title: `budget: ${kind} ${text(budget[key])}`}, track);
      if (plan) html('span', {class: 'star', style: `left:${at(plan[key])}`, title: `planner: ${text(plan[key])}`}, track, '★');
      html('span', {class: 'said'}, row, `${fit[i] ? '✓' : '✗'} ${text(found[key])}, ${kind} ${text(budget[key])}`);
    });
    const kept = fit.filter(Boolean).length, faster = full.seconds / found.seconds;
    summary.replaceChildren();
    html('strong', {}, summary, kept === 3 ? 'Within the budget.' : `${kept} of 3 kept.`);
    summary.append(` The layer is ${faster.toFixed(1)} times faster than the full softmax and ${(full.bytes / found.bytes).toFixed(1)} times smaller`
      + (given.rest ? `; a whole training step is ${((full.seconds + given.rest) / (found.seconds + given.rest)).toFixed(1)} times faster.` : '.'));
    state.shown = found;
  }

  // ---- Play: what the head's edge does to all three
  function play() {
    const began = state.first, still = matchMedia('(prefers-reduced-motion: reduce)').matches, steps = still ? 6 : 80;
    let at = 0;
    state.playing = true; sweeping.textContent = 'Pause'; state.before = began;
    const next = () => {
      if (at > steps) { state.first = began; stop(); draw(); return; }
      state.first = wordsForShare(words, SWEEP[0] + (SWEEP[1] - SWEEP[0]) * at / steps);
      at += 1; draw();
      timer = setTimeout(next, still ? 900 : 60);
    };
    next();
  }
  function stop() { clearTimeout(timer); if (state.playing) { state.playing = false; sweeping.textContent = 'Play'; } }

  // ---- the decision, what follows from it, and the reader's three lines
  function decide() {
    stop();
    on.decide?.({cutoffs: cuts(), widths: own()});
  }
  function reveal(found) {
    state.found = found;
    answer.replaceChildren();
    draw();
    if (!found) return;
    const mine = found.yours, plan = found.plan, words_ = html('p', {}, answer);
    html('strong', {}, words_, '★ The planner: ');
    words_.append(`${plan.cutoffs.map(whole).join(', ')} with widths ${plan.widths.join(', ')}: ${timeText(plan.seconds)}, ${bytesText(plan.bytes)}, mean width `
      + `${plan.width.toFixed(0)}. Yours: ${timeText(mine.seconds)}, ${bytesText(mine.bytes)}, mean width ${mine.width.toFixed(0)}. `
      + found.verdict);
    trainings(found);
    html('p', {}, answer, 'Now put it in three lines. They are kept, and go into your report.');
    for (const [key, label] of [['improved', 'What improved'], ['worse', 'What got worse'], ['breaks', 'What could break it']]) {
      const box = html('label', {class: 'line'}, answer);
      html('span', {}, box, label);
      const area = html('textarea', {rows: 1, maxlength: 400, 'aria-label': label}, box);
      area.value = given.texts?.[key] ?? '';
      for (const kind of ['keydown', 'keyup', 'keypress']) area.addEventListener(kind, event => event.stopPropagation());
      area.addEventListener('change', () => {
        given.texts = {...given.texts, [key]: area.value};
        on.write?.(given.texts);
      });
    }
  }
  function trainings(found) {
    if (!found.trained.length) return;
    const wide = Math.min(520, width - 20), high = 150, left = 44, base = high - 34;
    const x = share => left + (share - 0.6) / 0.4 * (wide - left - 16), y = more => base - Math.max(-0.01, more) / 0.14 * (base - 14);
    const figure = html('figure', {}, answer), chart = svg('svg', {width: wide, height: high, role: 'img', 'aria-label': found.nearest}, figure);
    for (const more of [0, 0.05, 0.1]) {
      svg('line', {x1: left, x2: wide - 10, y1: y(more), y2: y(more), class: 'grid'}, chart);
      svg('text', {x: left - 5, y: y(more) + 4, 'text-anchor': 'end'}, chart, `${more ? '+' : ''}${100 * more} %`);
    }
    for (const share of [0.6, 0.7, 0.8, 0.9, 1]) svg('text', {x: x(share), y: base + 16, 'text-anchor': 'middle'}, chart, `${Math.round(100 * share)} %`);
    svg('text', {x: wide - 10, y: base + 31, 'text-anchor': 'end', class: 'strong'}, chart, 'head’s share of the tokens');
    svg('text', {x: left + 4, y: 11}, chart, 'perplexity, above the full softmax’s');
    for (const run of found.trained) {
      const dot = svg('circle', {cx: x(run.share), cy: y(run.more), r: run.nearest ? 7 : 5, class: `trained${run.wide ? ' wide' : ''}`}, chart);
      svg('title', {}, dot, `${run.label}: ${run.more >= 0 ? '+' : ''}${(100 * run.more).toFixed(1)} %`);
    }
    const share = words.cumulative(state.first), at = x(Math.min(1, Math.max(0.6, share)));
    svg('line', {x1: at, x2: at, y1: 14, y2: base, class: 'cut'}, chart);
    svg('text', {x: at - 4, y: base - 4, 'text-anchor': 'end', class: 'strong'}, chart, 'you');
    html('figcaption', {}, figure, found.nearest);
  }

  const observer = new ResizeObserver(() => { if (root.clientWidth && Math.abs(root.clientWidth - width) > 1) arrange(); });
  if (given.decision) {
    state.first = given.decision.cutoffs[0]; state.tails = given.decision.cutoffs.length; state.widths = [...given.decision.widths];
  } else { state.first = wordsForShare(words, given.share); }
  controlsOf(); arrange();
  observer.observe(root);
  return {state, reveal, outcome: now, destroy() { stop(); observer.disconnect(); cancelAnimationFrame(frame); root.replaceChildren(); }};
}
