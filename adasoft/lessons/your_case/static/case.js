// A case with a budget: the reader sets the head's share, the number of tails and their widths, on matrices to scale. Time,
// memory and mean width follow within a frame. What a search found and the stored trainings are shown after the decision.
import {layer, makeCost, makeWords} from '../../kit/static/cost.js';
import {html, set, svg, whole} from '../../kit/static/dom.js';

const MOST_TAILS = 4, STEP = 8;               // widths are multiples of STEP
const SPACE = {top: 24, high: 112, ruler: 44, bottom: 40, side: 14};
const SHARES = [5, 99.9];                     // of the tokens in the head, percent
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

/** What a decision's time, memory and missing mean width are made of: [{name, seconds, bytes, missing}], by cluster. */
export function parts(words, cost, given, cuts, widths) {
  const {d} = given, made = layer(words, cost, cuts, {d, batch: given.batch, widths, objective: given.objective});
  return made.clusters.map((c, i) => ({
    name: i ? `tail ${i}` : 'the head', seconds: c.seconds, missing: c.share * (d - c.width),
    bytes: given.perParameter * (i ? c.width * (d + c.size) : (c.size + widths.length) * d),
  }));
}

// ------------------------------------------------------------------ as text

const fixed = (value, fine, more) => value.toFixed(Math.min(6, fine + more));
export const timeText = (s, more = 0) => (s >= 1 ? `${fixed(s, 2, more)} s` : s >= 0.1 ? `${fixed(s * 1e3, 0, more)} ms`
  : s >= 1e-2 ? `${fixed(s * 1e3, 1, more)} ms` : `${fixed(s * 1e3, 2, more)} ms`);
export const bytesText = (b, more = 0) => (b >= 1e9 ? `${fixed(b / 1e9, 2, more)} GB` : b >= 1e7 ? `${fixed(b / 1e6, 0, more)} MB`
  : `${fixed(b / 1e6, 1, more)} MB`);
export const widthText = (numbers, more = 0) => fixed(numbers, 0, more);
/** A value and its limit as text, with as many digits as tell them apart. */
export function besides(text, value, limit) {
  let more = 0;
  while (more < 4 && value !== limit && text(value, more) === text(limit, more)) more += 1;
  return [text(value, more), text(limit, more)];
}
/** A number as a person types it, a decimal comma allowed. Throws an Error that says the rule. */
export function typedNumber(text, low, high, step, rule) {
  const plain = text.replace(/[%\s]/g, '').replace(',', '.'), number = Number(plain);
  const whole_ = Math.abs(number / step - Math.round(number / step)) < 1e-9;
  if (!plain || !Number.isFinite(number) || number < low || number > high || (step > 1 && !whole_)) throw new Error(`should be ${rule}, got ${text.trim() || 'nothing'}`);
  return number;
}

/**
 * Put a case into `root`.
 *
 * `given`: {name, words, cost, d, batch, objective, perParameter, unit, budget: {seconds, bytes, width}, share, tails, widths,
 * rest, decision, texts, guess}: words and cost as in cost.js; `rest`: seconds of a step outside of the layer, or 0; `decision`:
 * {cutoffs, widths} where it was made earlier; `machine`: whose timings, and how far off. `on`: {decide({cutoffs, widths}), write(texts)}.
 * Returns {state, reveal(found), guessed(guess), destroy()}; a guess is {seconds} of the full softmax, or {more, share} of a training.
 */
export function mountCase(root, given, on = {}) {
  const words = makeWords(given.words), cost = makeCost(given.cost), {d, budget} = given;
  const full = {seconds: cost.product(words.n, given.batch, d, given.objective), bytes: given.perParameter * words.n * d, width: d};
  const state = {first: 1, tails: given.tails, widths: [...given.widths], shown: null, found: null, guess: {}, playing: false};
  let width = 0, frame = 0, timer = 0;
  root.classList.add('adasoft-cut', 'adasoft-case');
  // else JupyterLab takes keys for commands; Escape stays the keyboard's way out
  root.addEventListener('keydown', event => { if (event.key !== 'Escape') event.stopPropagation(); });
  html('p', {class: 'instruction'}, root, 'Drag the head’s end on the ruler and the tails’ lower edges until all three bars keep the budget. '
    + 'Areas are memory. The dashed frame, and a full bar, are the full softmax.');
  const stage = svg('svg', {role: 'group', 'aria-label': 'head and tails, to scale'}, html('div', {class: 'charts'}, root));
  const gauges = html('div', {class: 'gauges'}, root), summary = html('p', {class: 'result', role: 'status'}, root);
  const controls = html('div', {class: 'controls'}, root), refused = html('p', {class: 'note', role: 'alert'}, root);
  if (given.machine) html('p', {class: 'summary'}, root, given.machine);
  const asking = html('p', {class: 'asking', role: 'status'}, root);
  const answer = html('div', {class: 'answer'}, root);

  const cuts = () => spread(state.first, state.tails, words.n);
  const own = () => state.widths.slice(0, state.tails);
  const now = () => outcome(words, cost, given, cuts(), own());
  const counted = n => `${whole(n)} ${given.unit}${n === 1 ? '' : 's'}`;
  const inBudget = found => [found.seconds <= budget.seconds, found.bytes <= budget.bytes, found.width >= budget.width];
  const setFirst = rank => { state.first = Math.max(1, Math.min(words.n - MOST_TAILS, Math.round(rank))); moved(); };
  const setShare = share => setFirst(wordsForShare(words, Math.min(SHARES[1] / 100, Math.max(SHARES[0] / 100, share))));
  const setWidth = (i, value) => {
    state.widths[i] = Math.min(d, Math.max(STEP, Math.round(value / STEP) * STEP));
    moved();
  };
  const setTails = tails => {
    state.tails = Math.min(MOST_TAILS, Math.max(1, tails));
    while (state.widths.length < state.tails) state.widths.push(Math.max(STEP, Math.round(state.widths.at(-1) / 4 / STEP) * STEP));
    controlsOf(); moved();
  };
  function moved() { refused.textContent = ''; if (!frame) frame = requestAnimationFrame(() => { frame = 0; draw(); }); }

  // ---- controls: everything by keyboard and by typing, too
  function field(label, value, low, high, step, act, unit) {
    const box = html('label', {class: 'typed'}, controls);
    html('span', {class: 'name'}, box, label);
    const slide = html('input', {type: 'range', min: low, max: high, step, 'aria-label': label}, box);
    const typed = html('input', {type: 'text', inputmode: 'decimal', 'aria-label': `${label}, ${unit}`}, box);
    html('span', {}, box, unit === 'percent' ? '%' : '');
    slide.addEventListener('input', () => act(Number(slide.value)));
    const rule = unit === 'percent' ? `from ${low} to ${high} %` : `a multiple of ${step} from ${low} to ${high}`;
    const take = () => {
      if (typed.value === value()) return;
      try { act(typedNumber(typed.value, low, high, unit === 'percent' ? 0.1 : step, rule)); }
      catch (error) { typed.value = value(); refused.textContent = `${label} ${error.message}.`; }
    };
    typed.addEventListener('change', take);
    typed.addEventListener('keydown', event => { if (event.key === 'Enter') take(); });
    return () => { slide.value = value(); if (document.activeElement !== typed || !typed.value) typed.value = value(); };
  }
  let shows = [], sweeping;
  function controlsOf() {
    controls.replaceChildren();
    const button = (text, label, act, kind = '') => {
      const node = html('button', {type: 'button', class: kind, ...(label ? {'aria-label': label} : {})}, controls, text);
      node.addEventListener('click', act);
      return node;
    };
    shows = [field('head’s share', () => (100 * words.cumulative(state.first)).toFixed(1), ...SHARES, 0.1, v => setShare(v / 100), 'percent')];
    html('span', {}, controls, 'tails');
    button('−', 'one tail fewer', () => setTails(state.tails - 1)).disabled = state.tails < 2;
    html('output', {}, controls, String(state.tails));
    button('+', 'one tail more', () => setTails(state.tails + 1)).disabled = state.tails >= MOST_TAILS;
    own().forEach((_, i) => shows.push(field(`width of tail ${i + 1}`, () => String(state.widths[i]), STEP, d, STEP, v => setWidth(i, v), 'numbers')));
    sweeping = button('Play', '', () => (state.playing ? stop() : play()));
    button('Decide', '', decide, 'primary');
  }

  // ---- the matrices
  const X = rank => SPACE.side + rank / words.n * (width - 2 * SPACE.side);
  const Y = numbers => SPACE.top + numbers / d * SPACE.high;
  const LX = rank => SPACE.side + Math.log(rank) / Math.log(words.n) * (width - 2 * SPACE.side);
  const ruler = Y(d) + SPACE.ruler;
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
      if (!keys(event.key)) return;
      event.preventDefault(); event.stopPropagation(); stop();
    });
    return node;
  }
  function arrange() {
    width = Math.max(300, root.clientWidth || 900);
    const height = SPACE.top + SPACE.high + SPACE.ruler + SPACE.bottom;
    stage.replaceChildren();
    set(stage, {width, height, viewBox: `0 0 ${width} ${height}`});
    svg('rect', {x: X(0), y: Y(0), width: X(words.n) - X(0), height: SPACE.high, class: 'frame'}, stage);
    svg('text', {x: X(0), y: 14, class: 'head-text strong'}, stage);
    svg('text', {x: X(words.n), y: 14, 'text-anchor': 'end', class: 'frame-text'}, stage,
      `full softmax${width < 700 ? '' : `: ${whole(words.n)} ${given.unit}s × ${d} numbers`}, ${bytesText(full.bytes)}, ${timeText(full.seconds)}`);
    for (let i = 0; i <= MOST_TAILS; i++) svg('rect', {class: `block lit c${i}`, 'data-block': i}, stage);
    for (let i = 1; i <= MOST_TAILS; i++) svg('text', {class: `tail-text c${i}`, 'data-text': i}, stage);
    svg('path', {class: 'ghost'}, stage);
    svg('text', {x: X(words.n), y: Y(d) + 17, 'text-anchor': 'end', class: 'edge-text'}, stage);
    // the ruler: words on a logarithmic scale, else a thousand of them are one pixel
    for (let i = 0; i <= MOST_TAILS; i++) svg('rect', {class: `block c${i}`, 'data-band': i}, stage);
    for (let rank = 1; rank < words.n; rank *= 10) {
      svg('line', {x1: LX(rank), x2: LX(rank), y1: ruler + 5, y2: ruler + 10, class: 'tick'}, stage);
      if (rank * 4 < words.n) svg('text', {x: LX(rank), y: ruler + 25, 'text-anchor': rank > 1 ? 'middle' : 'start'}, stage, whole(rank));
    }
    svg('text', {x: LX(words.n), y: ruler + 25, 'text-anchor': 'end'}, stage, `${whole(words.n)} ${given.unit}s`);
    svg('text', {x: 0, y: ruler - 8, 'text-anchor': 'middle', class: 'ruler-star'}, stage);
    svg('path', {class: 'link'}, stage);
    const head = handle(`${given.unit}s in the head`, x => setFirst(words.n ** ((x - SPACE.side) / (width - 2 * SPACE.side))), key => {
      const step = {ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10}[key];
      if (step) setShare(words.cumulative(state.first) + step * 0.005);
      else if (key === 'Home' || key === 'End') setShare(SHARES[key === 'Home' ? 0 : 1] / 100);
      else return false;
      return true;
    });
    head.classList.add('head-edge');
    svg('circle', {cy: ruler, r: 9, class: 'knob'}, head);
    for (let i = 0; i < MOST_TAILS; i++) {
      const tail = handle(`width of tail ${i + 1}`, (_, y) => setWidth(i, (y - SPACE.top) / SPACE.high * d), key => {
        // down, as the edge goes, is wider
        const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, PageDown: 4, PageUp: -4, Home: -d, End: d}[key];
        if (step) setWidth(i, state.widths[i] + step * STEP);
        return Boolean(step);
      });
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
    stage.querySelectorAll('[data-band]').forEach((node, i) => {
      node.setAttribute('visibility', i <= state.tails ? 'visible' : 'hidden');
      if (i <= state.tails) set(node, {x: LX(edges[i] || 1), y: ruler - 5, width: Math.max(1, LX(edges[i + 1]) - LX(edges[i] || 1)), height: 10});
    });
    set(stage.querySelector('.link'), {d: `M${LX(edges[1])},${ruler}L${X(edges[1])},${Y(d)}`});
    const plan = state.found?.plan, star = stage.querySelector('.ruler-star');
    star.textContent = plan ? '★' : '';
    if (plan) star.setAttribute('x', LX(plan.cutoffs[0]));
    const corners = plan ? [0, ...plan.cutoffs, words.n] : [];
    stage.querySelector('.ghost').setAttribute('d', plan ? `M${X(0)},${Y(d)}` + [d, ...plan.widths].map((w, i) => `L${X(corners[i])},${Y(w)}H${X(corners[i + 1])}`).join('')
      + `V${Y(0)}` : '');
    set(head, {transform: `translate(${LX(edges[1])},0)`, 'aria-valuemin': 1, 'aria-valuemax': words.n - MOST_TAILS, 'aria-valuenow': state.first,
               'aria-valuetext': `${counted(state.first)}, ${(100 * share).toFixed(1)} % of the tokens`});
    stage.querySelector('.head-text').textContent = `head: ${counted(state.first)}, ${(100 * share).toFixed(1)} % of the tokens`;
    stage.querySelectorAll('.tail-edge').forEach((node, i) => {
      node.style.display = i < state.tails ? '' : 'none';
      if (i >= state.tails) return;
      const x = (Math.max(X(edges[i + 1]), X(0) + 24 * (i + 1)) + X(edges[i + 2])) / 2;
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
  const GAUGES = [['time', 'seconds', timeText, 'at most'], ['memory', 'bytes', bytesText, 'at most'], ['mean width', 'width', widthText, 'at least']];
  function measure() {
    const found = now(), fit = inBudget(found), {plan, yours} = state.found ?? {};
    gauges.replaceChildren();
    GAUGES.forEach(([name, key, text, kind], i) => {
      const row = html('div', {class: `gauge ${fit[i] ? 'fits' : 'over'}`, 'data-gauge': key}, gauges), [value, limit] = besides(text, found[key], budget[key]);
      html('span', {class: 'name'}, row, name);
      const track = html('span', {class: 'track'}, row), at = v => `${Math.min(100, 100 * v / full[key]).toFixed(2)}%`;
      html('span', {class: 'fill', style: `width:${at(found[key])}`}, track);
      html('span', {class: 'limit', style: `left:${at(budget[key])}`, title: `budget: ${kind} ${limit}`}, track);
      const mark = (sign, kind_, at_, title) => html('span', {class: `mark ${kind_}`, style: `left:${at(at_)}`, title}, track, sign);
      const guess = state.guess?.[key];
      if (guess !== undefined) {
        const off = guess > 1.05 * full[key], left = off || guess > full[key] / 2;
        if (!off) mark('×', 'crossed', guess, `your guess of the full softmax: ${text(guess)}`);
        html('span', {class: 'mark-text', style: left ? `right:calc(100% - ${at(guess)} + 12px)` : `left:calc(${at(guess)} + 12px)`}, track,
          off ? `× your guess, ${text(guess)}, off scale →` : `your guess, ${text(guess)}`);
      }
      if (plan) mark('★', 'star', plan[key], `the search: ${text(plan[key])}`);
      if (yours && text(yours[key], 2) !== text(found[key], 2)) mark('○', 'decided', yours[key], `as decided: ${text(yours[key])}`);
      html('span', {class: 'said'}, row, `${fit[i] ? '✓' : '✗'} ${value}, ${kind} ${limit}`);
    });
    const kept = fit.filter(Boolean).length, faster = full.seconds / found.seconds;
    summary.replaceChildren();
    html('strong', {}, summary, kept === 3 ? 'Within the budget. ' : `${kept} of 3 kept. `);
    summary.append(binding(found, kept === 3) + ` The layer is ${faster.toFixed(1)} times faster than the full softmax and ${(full.bytes / found.bytes).toFixed(1)} times smaller`
      + (given.rest ? `; a whole training step is ${((full.seconds + given.rest) / (found.seconds + given.rest)).toFixed(1)} times faster.` : '.'));
    state.shown = found;
    follow(found);
  }
  /** The limit that is most exceeded, or nearest to be, and what makes the most of it. */
  function binding(found, kept) {
    const over = [found.seconds / budget.seconds, found.bytes / budget.bytes, budget.width / found.width], i = over.indexOf(Math.max(...over));
    const of = ['seconds', 'bytes', 'missing'][i], made = parts(words, cost, given, cuts(), own());
    const whole_ = [found.seconds, found.bytes, d - found.width][i], most = made.reduce((a, b) => (b[of] > a[of] ? b : a));
    const share = whole_ > 0 ? `${(100 * most[of] / whole_).toFixed(0)} %` : '';
    const what = i < 2 ? `${share} of it is ${most.name}.` : share ? `${share} of what is missing to ${d} is missing in ${most.name}.` : 'nothing is missing.';
    return `${kept ? 'Nearest to its limit' : 'Furthest from its limit'}: ${GAUGES[i][0]}; ${what}`;
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
  let follow = () => {};                      // what below the bars goes with the present setting
  function decide() {
    stop();
    asking.textContent = 'Searching …';
    on.decide?.({cutoffs: cuts(), widths: own()});
  }
  function reveal(found) {
    asking.textContent = '';
    if (state.found && !found?.yours) given.texts = {};   // forgotten
    state.found = found?.yours ? found : null;
    follow = () => {};
    answer.replaceChildren();
    if (!state.found) { draw(); return; }
    const table = html('table', {}, answer), line = (head, cells, kind = 'td') => {
      const row = html('tr', {}, table);
      for (const [i, text] of [head, ...cells].entries()) html(i ? kind : 'th', {scope: i ? undefined : 'row'}, row, text);
      return row;
    };
    const cells = one => [`${counted(one.cutoffs[0])}, ${(100 * one.share).toFixed(1)} %`, one.widths.join(', '), timeText(one.seconds), bytesText(one.bytes), widthText(one.width)];
    line('', ['head', 'widths of the tails', 'time', 'memory', 'mean width'], 'th');
    line('○ yours, as decided', cells(found.yours));
    line('★ the search', cells(found.plan));
    const present = line('now', ['', '', '', '', '']);
    html('p', {}, answer, found.verdict);
    const you = trainings(found);
    follow = now_ => {
      const at = {...now_, cutoffs: cuts(), widths: own(), share: words.cumulative(state.first)};
      present.hidden = String([at.cutoffs, at.widths]) === String([found.yours.cutoffs, found.yours.widths]);
      cells(at).forEach((text, i) => { present.children[i + 1].textContent = text; });
      you(at.share);
    };
    draw();
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
    if (!found.trained.length) { html('p', {}, answer, found.nearest); return () => {}; }
    const wide = Math.min(520, width - 20), high = 150, left = 44, base = high - 34;
    const x = share => left + (share - 0.5) / 0.5 * (wide - left - 16), y = more => base - Math.max(-0.01, more) / 0.14 * (base - 14);
    const figure = html('figure', {}, answer), chart = svg('svg', {width: wide, height: high, role: 'img', 'aria-label': found.nearest}, figure);
    for (const more of [0, 0.05, 0.1]) {
      svg('line', {x1: left, x2: wide - 10, y1: y(more), y2: y(more), class: 'grid'}, chart);
      svg('text', {x: left - 5, y: y(more) + 4, 'text-anchor': 'end'}, chart, `${more ? '+' : ''}${100 * more} %`);
    }
    for (const share of [0.5, 0.6, 0.7, 0.8, 0.9, 1]) svg('text', {x: x(share), y: base + 16, 'text-anchor': 'middle'}, chart, `${Math.round(100 * share)} %`);
    svg('text', {x: wide - 10, y: base + 31, 'text-anchor': 'end', class: 'strong'}, chart, 'head’s share of the tokens');
    svg('text', {x: left + 4, y: 11}, chart, 'perplexity, above the full softmax’s');
    for (const run of found.trained) {
      const r = run.nearest ? 7 : 5, at = x(run.share), up = y(run.more), kind = `trained${run.nearest ? ' near' : ''}`;
      const dot = run.wide ? svg('rect', {x: at - r, y: up - r, width: 2 * r, height: 2 * r, class: kind}, chart) : svg('circle', {cx: at, cy: up, r, class: kind}, chart);
      svg('title', {}, dot, `${run.label}: ${run.more >= 0 ? '+' : ''}${(100 * run.more).toFixed(1)} %`);
    }
    const line = svg('line', {y1: 20, y2: base, class: 'cut'}, chart), label = svg('text', {y: 32, class: 'strong'}, chart, 'you');
    if (state.guess?.more !== undefined) {
      const {more, share: where} = state.guess, up = y(Math.min(0.12, Math.max(0, more))), off = more > 0.12 ? ', off scale ↑' : more < 0 ? ', off scale ↓' : '';
      svg('path', {d: `M${x(where) - 5},${up - 5}l10,10m0,-10l-10,10`, class: 'cross'}, chart);
      svg('text', {x: x(where) - 9, y: up + 4, 'text-anchor': 'end'}, chart, `your guess, ${(100 * more).toFixed(1)} %${off}`);
    }
    html('figcaption', {}, figure, `${found.nearest} Squares: wider tails.`);
    return share => {
      const at = x(Math.min(1, Math.max(0.5, share)));
      set(line, {x1: at, x2: at});
      set(label, {x: at + (share < 0.6 ? 5 : -5), 'text-anchor': share < 0.6 ? 'start' : 'end'});
    };
  }
  /** Draw another guess, or none: {}. */
  function guessed(guess) { state.guess = guess; if (state.found) reveal(state.found); else draw(); }

  const observer = new ResizeObserver(() => { if (root.clientWidth && Math.abs(root.clientWidth - width) > 1) arrange(); });
  if (given.decision) {
    state.first = given.decision.cutoffs[0]; state.tails = given.decision.cutoffs.length; state.widths = [...given.decision.widths];
  } else { state.first = Math.max(1, Math.min(words.n - MOST_TAILS, wordsForShare(words, given.share))); }
  controlsOf(); arrange();
  observer.observe(root);
  return {state, reveal, guessed, outcome: now, destroy() { stop(); observer.disconnect(); cancelAnimationFrame(frame); root.replaceChildren(); }};
}
