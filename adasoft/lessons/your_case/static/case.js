// A case with a budget: the reader sets the head's share, the number of tails and their widths, on matrices to scale. Time,
// memory and mean width follow within a frame. What a search found and the stored trainings are shown after the decision.
import {makeCost, makeWords} from '../../kit/static/cost.js';
import {html, set, svg, whole} from '../../kit/static/dom.js';
import {MOST_TAILS, STEP, SWEEP, SWEEPS, about, against, asks, besides, byWords, bytesText, clear, curve, fewest, free, outcome, parts, spread, ticks, timeText, typedNumber, widthText, wordsForShare} from './case_numbers.js';

const SPACE = {top: 24, high: 96, curve: 100, ruler: 122, bottom: 34, side: 22};  // curve: time against the head, above the ruler
const SHARES = [5, 99.9];                     // of the tokens in the head, percent
const ROOM = 2.5;                             // a bar's end, in limits: the full softmax may be far beyond it
const STAR = 'M' + Array.from({length: 10}, (_, i) => [i % 2 ? 3.6 : 9, Math.PI * (i / 5 - 0.5)]).map(([r, a]) => `${(r * Math.cos(a)).toFixed(1)},${(r * Math.sin(a)).toFixed(1)}`).join('L') + 'Z';

/**
 * Put a case into `root`.
 *
 * `given`: {name, words, cost, d, batch, objective, perParameter, unit, budget: {seconds, bytes, width}, share, tails, widths,
 * rest, decision, texts, guess}: words and cost as in cost.js; `rest`: seconds of a step outside of the layer, or 0; `decision`:
 * {cutoffs, widths} where it was made earlier; `machine`: whose timings; `error`: how far off, as a share; `chance`: what perplexities may
 * differ by where only the seed does. `on`: {decide({cutoffs, widths}), write(texts)}.
 * Returns {state, reveal(found), guessed(guess), destroy()}; a guess is {seconds} of the full softmax, or {more, at} of a training: what it lost, at its mean width.
 */
export function mountCase(root, given, on = {}) {
  const words = makeWords(given.words), cost = makeCost(given.cost), {d, budget} = given;
  const full = {seconds: cost.product(words.n, given.batch, d, given.objective), bytes: given.perParameter * words.n * d, width: d};
  const state = {first: 1, tails: given.tails, widths: [...given.widths], shown: null, found: null, guess: {}, playing: false, traced: 0, warned: ''};
  let width = 0, frame = 0, timer = 0;
  let follow = () => {}, pictures = () => {};   // what below the bars goes with the present setting, and with the width
  root.classList.add('adasoft-cut', 'adasoft-case');
  // else JupyterLab takes keys for commands; Escape stays the keyboard's way out
  root.addEventListener('keydown', event => { if (event.key !== 'Escape') event.stopPropagation(); });
  html('p', {class: 'instruction'}, root, 'Drag the head’s end on the ruler and the tails’ lower edges until all three bars keep the budget. The ruler is '
    + `logarithmic, and the tails share the rest of it equally: the last holds most ${given.unit}s. In the frame, areas are memory.`);
  const stage = svg('svg', {role: 'group', 'aria-label': 'head and tails, to scale'}, html('div', {class: 'charts'}, root));
  const gauges = html('div', {class: 'gauges'}, root), summary = html('p', {class: 'result', role: 'status'}, root);
  // above the buttons, so that what a button answers is in sight with it
  const asking = html('p', {class: 'asking', role: 'status'}, root), refused = html('p', {class: 'note', role: 'alert'}, root);
  const controls = html('div', {class: 'controls'}, root);
  if (given.machine) html('p', {class: 'summary'}, root, given.machine);
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
  /** `pressed`: the name of the button; the controls are made again, and the keyboard stays where it was. */
  const setTails = (tails, pressed) => {
    state.tails = Math.min(MOST_TAILS, Math.max(1, tails));
    while (state.widths.length < state.tails) state.widths.push(Math.max(STEP, Math.round(state.widths.at(-1) / 2 / STEP) * STEP));
    controlsOf(); moved();
    controls.querySelector(`[aria-label="${pressed}"]`).focus({preventScroll: true});
  };
  function moved() {
    refused.textContent = asking.textContent = '';
    if (state.warned) { state.warned = ''; controls.querySelector('.primary').textContent = 'Decide'; }
    if (!frame) frame = requestAnimationFrame(() => { frame = 0; draw(); });
  }

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
    // not disabled at the end, which would lose the keyboard's place
    button('−', 'one tail fewer', () => setTails(state.tails - 1, 'one tail fewer')).setAttribute('aria-disabled', state.tails < 2);
    html('output', {}, controls, String(state.tails));
    button('+', 'one tail more', () => setTails(state.tails + 1, 'one tail more')).setAttribute('aria-disabled', state.tails >= MOST_TAILS);
    own().forEach((_, i) => shows.push(field(`width of tail ${i + 1}`, () => String(state.widths[i]), STEP, d, STEP, v => setWidth(i, v), 'numbers')));
    sweeping = button('Play', '', () => (state.playing ? stop() : play()));
    button('Decide', '', decide, 'primary');
  }

  // ---- the matrices
  const X = rank => SPACE.side + rank / words.n * (width - 2 * SPACE.side);
  const Y = numbers => SPACE.top + numbers / d * SPACE.high;
  const LX = rank => SPACE.side + Math.log(rank) / Math.log(words.n) * (width - 2 * SPACE.side);
  const ruler = Y(d) + SPACE.ruler;
  // the ends of the curve's scale: from below the budget to the slowest head with the tails of the start
  const slow = Math.log(Math.max(2 * budget.seconds, ...curve(words, cost, given, given.widths).map(point => point.seconds))), fast = Math.log(budget.seconds / 3);
  const TY = seconds => ruler - 16 - Math.min(1, Math.max(0, (Math.log(seconds) - fast) / (slow - fast))) * (SPACE.curve - 16);
  const textWidth = text => 6.7 * text.length;   // of 12 pixels; a hidden page cannot be measured
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
    stage.replaceChildren(); pictures();
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
    for (let i = 0; i <= MOST_TAILS; i++) svg('text', {class: 'band-text', y: ruler + 4, 'text-anchor': 'middle', 'data-name': i}, stage);
    const last = whole(words.n), half = textWidth(last) / 2, end = Math.min(width - 1, LX(words.n) + half);
    for (let rank = 1; rank < words.n; rank *= 10) {
      if (LX(rank) + textWidth(whole(rank)) / 2 > end - 2 * half - 4) continue;
      svg('line', {x1: LX(rank), x2: LX(rank), y1: ruler + 8, y2: ruler + 13, class: 'tick'}, stage);
      svg('text', {x: rank > 1 ? LX(rank) : 0, y: ruler + 27, 'text-anchor': rank > 1 ? 'middle' : 'start'}, stage, rank > 1 ? whole(rank) : `${given.unit} 1`);
    }
    svg('line', {x1: LX(words.n), x2: LX(words.n), y1: ruler + 8, y2: ruler + 13, class: 'tick'}, stage);
    svg('text', {x: end, y: ruler + 27, 'text-anchor': 'end'}, stage, last);
    // above it, on the same scale: the time with each head, traced by Play, and the budget
    const marked = [TY(budget.seconds)];
    for (const seconds of ticks(Math.exp(fast), Math.exp(slow))) {
      if (marked.some(y => Math.abs(TY(seconds) - y) < 12) || TY(seconds) < ruler - SPACE.curve + 10) continue;   // there the curve ends
      marked.push(TY(seconds));
      svg('line', {x1: LX(1), x2: LX(words.n) - 48, y1: TY(seconds), y2: TY(seconds), class: 'grid'}, stage);
      svg('text', {x: LX(words.n), y: TY(seconds) + 4, 'text-anchor': 'end', class: 'time-tick'}, stage, seconds < 1 ? `${Number((1e3 * seconds).toPrecision(2))} ms` : `${seconds} s`);
    }
    svg('line', {x1: LX(1), x2: LX(words.n), y1: TY(budget.seconds), y2: TY(budget.seconds), class: 'limit-line'}, stage);
    svg('text', {x: LX(1), y: TY(budget.seconds) - 5, class: 'halo'}, stage, `time: at most ${timeText(budget.seconds)}`);
    svg('path', {class: 'link'}, stage);
    svg('path', {class: 'traced line total'}, stage);
    svg('text', {'text-anchor': 'middle', class: 'halo fastest'}, stage);
    svg('path', {class: 'least'}, stage);
    svg('circle', {r: 5, class: 'time-dot'}, stage);
    svg('text', {class: 'halo now'}, stage);
    svg('path', {d: STAR, class: 'time-star'}, stage);
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
      const tail = handle(`lower edge of tail ${i + 1}, down is wider`, (_, y) => setWidth(i, (y - SPACE.top) / SPACE.high * d), key => {
        // down, as the edge goes, is wider
        const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, PageDown: 4, PageUp: -4, Home: -d, End: d}[key];
        if (step) setWidth(i, state.widths[i] + step * STEP);
        return Boolean(step);
      });
      tail.classList.add('tail-edge');
      tail.setAttribute('aria-orientation', 'vertical');
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
      if (i <= state.tails) set(node, {x: LX(edges[i] || 1), y: ruler - 8, width: Math.max(1, LX(edges[i + 1]) - LX(edges[i] || 1)), height: 16});
    });
    stage.querySelectorAll('[data-name]').forEach((node, i) => {
      node.textContent = '';
      if (i > state.tails) return;
      const low = LX(edges[i] || 1) + (i === 1 ? 9 : 0), high = LX(edges[i + 1]) - (i ? 0 : 9);   // 9: the knob
      node.setAttribute('x', (low + high) / 2);
      node.textContent = (i ? [`tail ${i}: ${heights[i]}`, String(heights[i])] : ['head']).find(text => textWidth(text) + 6 < high - low) ?? '';
    });
    drawCurve();
    set(stage.querySelector('.link'), {visibility: state.traced ? 'hidden' : 'visible', d: `M${LX(edges[1])},${ruler}L${X(edges[1])},${Y(d)}`});
    const plan = state.found?.plan, star = stage.querySelector('.time-star');
    set(star, {visibility: plan ? 'visible' : 'hidden'});
    if (plan) star.setAttribute('transform', `translate(${LX(plan.cutoffs[0])},${TY(plan.seconds)})`);
    const corners = plan ? [0, ...plan.cutoffs, words.n] : [];
    stage.querySelector('.ghost').setAttribute('d', plan ? `M${X(0)},${Y(d)}` + [d, ...plan.widths].map((w, i) => `L${X(corners[i])},${Y(w)}H${X(corners[i + 1])}`).join('')
      + `V${Y(0)}` : '');
    set(head, {transform: `translate(${LX(edges[1])},0)`, 'aria-valuemin': 1, 'aria-valuemax': words.n - MOST_TAILS, 'aria-valuenow': state.first,
               'aria-valuetext': `${counted(state.first)}, ${(100 * share).toFixed(1)} % of the tokens`});
    stage.querySelector('.head-text').textContent = `head: ${counted(state.first)}, ${(100 * share).toFixed(1)} % of the tokens`;
    const knob = i => (Math.max(X(edges[i + 1]), X(0) + 24 * (i + 1)) + X(edges[i + 2])) / 2;
    const knobs = own().map((numbers, i) => ({left: knob(i) - 10, right: knob(i) + 10, top: Y(numbers) - 10, bottom: Y(numbers) + 10}));
    stage.querySelectorAll('.tail-edge').forEach((node, i) => {
      node.style.display = i < state.tails ? '' : 'none';
      if (i >= state.tails) return;
      set(node, {transform: `translate(${knob(i)},${Y(state.widths[i])})`, 'aria-valuemin': STEP, 'aria-valuemax': d, 'aria-valuenow': state.widths[i],
                 'aria-valuetext': `${state.widths[i]} numbers per ${given.unit}`});
    });
    stage.querySelectorAll('[data-text]').forEach((node, at) => {
      const i = at + 1;
      node.textContent = '';
      if (i > state.tails) return;
      const wide = X(edges[i + 1]) - X(edges[i]);
      node.textContent = wide > 140 ? `tail ${i}: ${state.widths[at]} numbers` : wide > 70 ? `tail ${i}: ${state.widths[at]}` : wide > 26 ? String(state.widths[at]) : '';
      const middle = (X(edges[i]) + X(edges[i + 1])) / 2, y = Y(heights[i]) + 22, half = textWidth(node.textContent) / 2;
      // the ruler tells it, too: rather no text than one behind a handle
      if (knobs.some((mark, other) => other !== at && !free({left: middle - half, right: middle + half, top: y - 11, bottom: y + 3}, mark))) node.textContent = '';
      set(node, {x: middle, y, 'text-anchor': 'middle'});
    });
    const {last, first} = words.around ? words.around(state.first) : {last: null, first: null};
    stage.querySelector('.edge-text').textContent = last && first ? `the cut falls between “${last.word}” and “${first.word}”` : '';
    measure();
    shows.forEach(show => show());
  }
  let made = {key: '', points: []};
  /** The time of the present head, and that of the others as far as Play has come. */
  function drawCurve() {
    const x = LX(state.first), y = TY(now().seconds), name = stage.querySelector('.now'), plan = state.found?.plan;
    const box = (left, base, long) => ({x: left, y: base, left, right: left + long, top: base - 11, bottom: base + 4});
    const marks = plan ? [{left: LX(plan.cutoffs[0]) - 11, right: LX(plan.cutoffs[0]) + 11, top: TY(plan.seconds) - 10, bottom: TY(plan.seconds) + 10}] : [];
    const limit = box(LX(1), TY(budget.seconds) - 5, 6 * `time: at most ${timeText(budget.seconds)}`.length);
    set(stage.querySelector('.time-dot'), {cx: x, cy: y});
    name.textContent = state.traced ? '' : `this head: ${timeText(now().seconds)}`;
    const long = textWidth(name.textContent), right = [x + 9, x + 15], left = [x - 9 - long, x - 15 - long];
    const sides = (x > width / 2 ? [...left, ...right] : [...right, ...left]).filter(start => start >= 0 && start + long < LX(words.n) - 50);
    const at = clear([4, -10, 18, -24].flatMap(down => sides.map(start => box(start, Math.min(y + down, ruler - 12), long))), [...marks, limit, {left: LX(1), right: LX(words.n), top: TY(budget.seconds) - 1, bottom: TY(budget.seconds) + 1}]);
    set(name, {x: at.x, y: at.y});
    const key = String(own());
    if (state.traced && made.key !== key) made = {key, points: curve(words, cost, given, own())};
    const points = made.points.slice(0, state.traced);
    stage.querySelector('.traced').setAttribute('d', points.map(({rank, seconds}, i) => `${i ? 'L' : 'M'}${LX(rank).toFixed(1)},${TY(seconds).toFixed(1)}`).join(''));
    const label = stage.querySelector('.fastest'), best = points.length > SWEEPS ? points.reduce((a, b) => (b.seconds < a.seconds ? b : a)) : null;
    label.textContent = best ? `fastest: about ${counted(about(best.rank))}, ${timeText(best.seconds)}` : '';
    stage.querySelector('.least').setAttribute('d', best ? `M${LX(best.rank)},${TY(best.seconds) - 4}l5,-8h-10z` : '');
    if (best) {
      const half = textWidth(label.textContent) / 2;
      const middle = Math.min(LX(words.n) - 54 - half, Math.max(LX(1) + half, LX(best.rank)));
      const place = clear([-17, -31, 16].map(down => box(middle - half, TY(best.seconds) + down, 2 * half)), marks);
      set(label, {x: middle, y: place.y});
    }
  }
  const GAUGES = [['time', 'seconds', timeText, 'at most'], ['memory', 'bytes', bytesText, 'at most'], ['mean width', 'width', widthText, 'at least']];
  function measure() {
    const found = now(), fit = inBudget(found), {plan, yours} = state.found ?? {};
    gauges.replaceChildren();
    GAUGES.forEach(([name, key, text, kind], i) => {
      const row = html('div', {class: `gauge ${fit[i] ? 'fits' : 'over'}`, 'data-gauge': key}, gauges), [value, limit] = besides(text, found[key], budget[key]);
      html('span', {class: 'name'}, row, name);
      const track = html('span', {class: 'track'}, row), most = key === 'width' ? d : Math.min(full[key], ROOM * budget[key]);
      const at = v => `${Math.min(100, 100 * v / most).toFixed(2)}%`;
      html('span', {class: `fill ${found[key] > 1.001 * most ? 'beyond' : ''}`, style: `width:${at(found[key])}`}, track);
      html('span', {class: 'limit', style: `left:${at(budget[key])}`, title: `budget: ${kind} ${limit}`}, track);
      const mark = (sign, kind_, at_, title) => html('span', {class: `mark ${kind_}`, style: `left:${at(at_)}`, title}, track, sign);
      const guess = state.guess?.[key];
      if (guess <= most) mark('×', 'crossed', guess, `your guess of the full softmax: ${text(guess)}`);
      if (plan) mark('★', 'star', plan[key], `the search: ${text(plan[key])}`);
      if (yours && text(yours[key], 2) !== text(found[key], 2)) mark('○', 'decided', yours[key], `as decided: ${text(yours[key])}`);
      html('span', {class: 'said'}, row, `${value}, ${kind} ${limit}${fit[i] ? ' ✓' : `: ${['too slow', 'too large', 'too narrow'][i]}`}`);
      if (guess !== undefined) html('span', {class: 'guess-line'}, row, `Full softmax: ${text(full[key])}${most === full[key] ? ', the bar’s end' : ''}. × Your guess: ${text(guess)}${guess > most ? ', off the bar' : ''}.`);
    });
    const kept = fit.filter(Boolean).length;
    summary.replaceChildren();
    html('strong', {}, summary, kept === 3 ? 'Within the budget. ' : `${kept} of 3 kept. `);
    const unsure = Math.abs(found.seconds / budget.seconds - 1) < given.error;
    summary.append(binding(found, kept === 3)
      + (unsure ? ` The time is closer to its limit than the predictions’ error (${(100 * given.error).toFixed(0)} %): it might ${fit[0] ? 'miss' : 'keep'} it.` : '')
      + ` Beside the full softmax, the layer is ${against(full.seconds, found.seconds, ['faster', 'slower', 'as fast'])} and ${against(full.bytes, found.bytes, ['smaller', 'larger', 'as large'])}`
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
    const what = i < 2 ? `${share} of it is ${most.name}.` : share ? `${most.name} causes ${share} of the width lost against the full softmax.` : 'nothing is lost.';
    return `${kept ? 'Nearest to its limit' : 'Furthest from its limit'}: ${GAUGES[i][0]}; ${what}`;
  }

  // ---- Play: what the head's edge does to all three
  function play() {
    const began = state.first, still = matchMedia('(prefers-reduced-motion: reduce)').matches, steps = still ? 5 : SWEEPS;
    let at = 0;
    state.playing = true; sweeping.textContent = 'Pause'; state.before = began;
    const next = () => {
      if (at > steps) { state.first = began; stop(); draw(); return; }
      state.traced = Math.max(state.traced, Math.round(at / steps * SWEEPS) + 1);
      state.first = wordsForShare(words, SWEEP[0] + (SWEEP[1] - SWEEP[0]) * at / steps);
      at += 1; draw();
      timer = setTimeout(next, still ? 900 : 60);
    };
    next();
  }
  function stop() { clearTimeout(timer); if (state.playing) { state.playing = false; sweeping.textContent = 'Play'; } }

  // ---- the decision, what follows from it, and the reader's three lines
  const alike = (one, other) => String([one.cutoffs, one.widths]) === String([other.cutoffs, other.widths]);
  function decide() {
    stop(); refused.textContent = '';
    const key = String([cuts(), own()]), asked = asks(inBudget(now()), state.found && inBudget(state.found.yours));
    if (asked && state.warned !== key) {
      state.warned = key;
      asking.textContent = asked;
      controls.querySelector('.primary').textContent = 'Decide anyway'; return;
    }
    state.warned = ''; controls.querySelector('.primary').textContent = 'Decide'; state.pressed = true;
    asking.textContent = 'Searching …';
    on.decide?.({cutoffs: cuts(), widths: own()});
  }
  function reveal(found) {
    asking.textContent = '';
    if (state.found && !found?.yours) given.texts = {};   // forgotten
    state.found = found?.yours ? found : null; follow = pictures = () => {};
    answer.replaceChildren();
    if (!state.found) { draw(); return; }
    const rows = ['head', 'widths of the tails', 'fewest numbers', 'time', 'memory', 'mean width'];
    const cells = one => {
      const least = fewest(words.n, d, one.cutoffs, one.widths);
      return [`${counted(one.cutoffs[0])}, ${(100 * one.share).toFixed(1)} %`, one.widths.join(', '), `${least.numbers}, for ${(100 * least.share).toFixed(0)} % of ${given.unit}s`,
        timeText(one.seconds), bytesText(one.bytes), widthText(one.width)];
    };
    const columns = [['○ yours, as decided', cells(found.yours)], ['★ the search', cells(found.plan)], ['now', rows.map(() => '')]];
    const table = html('table', {}, answer), top = html('tr', {}, table);
    html('td', {}, top);
    const present = columns.map(([name]) => html('th', {scope: 'col'}, top, name)).slice(2);
    rows.forEach((name, i) => {
      const row = html('tr', {}, table);
      html('th', {scope: 'row'}, row, name);
      for (const [, texts] of columns) html('td', {}, row, texts[i]);
      present.push(row.lastElementChild);
    });
    html('p', {}, answer, found.verdict);
    const sides = html('div', {}, answer), runs = html('div', {}, answer);
    let you;
    pictures = () => {
      sides.replaceChildren(); runs.replaceChildren();
      if (found.rarest) {
        html('p', {class: 'rarest'}, sides, found.rarest);
        const both = [['★', 'the search’s', found.plan], ['○', 'your', found.yours]];
        both.slice(0, alike(found.plan, found.yours) ? 1 : 2).forEach(([sign, whose, one]) => twice(sides, sign, whose, one));
      }
      you = trainings(runs, found);
    };
    pictures();
    follow = now_ => {
      const at = {...now_, cutoffs: cuts(), widths: own(), share: words.cumulative(state.first)};
      for (const cell of present) cell.hidden = alike(at, found.yours);
      cells(at).forEach((text, i) => { present[i + 1].textContent = text; });
      you(at.width);
    };
    draw();
    if (state.pressed) {   // the answer is below what was pressed
      state.pressed = false; asking.textContent = 'Your decision is kept. Below: the search’s choice, the price in perplexity, and three lines to write.';
      table.scrollIntoView({block: 'nearest'});
    }
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
  /** The numbers of each word of a layer twice: each word counted once, and as often as it is read. Areas are means. */
  function twice(root_, sign, whose, one) {
    const wide = width - 20, gap = 26, each = (wide - gap) / 2, top = 22, high = 48, made = byWords(words.n, d, one.cutoffs, one.widths);
    const edges = [0, ...one.cutoffs, words.n], read = made.clusters.map((c, i) => ({...c, share: words.cumulative(edges[i + 1]) - (i ? words.cumulative(edges[i]) : 0)}));
    const percent = mean => `${(100 * mean / d).toFixed(0)} %`, sides = [[`by ${given.unit}s`, made.clusters, made.mean], ['by tokens', read, one.width]];
    const chart = svg('svg', {width: wide, height: top + high + 4, role: 'img',
      'aria-label': `Numbers of ${whose} layer. ${sides.map(([name, , mean]) => `Averaged ${name}: ${widthText(mean)} of ${d}`).join('. ')}.`}, html('figure', {}, root_));
    sides.forEach(([name, clusters, mean], side) => {
      let x = side * (each + gap);
      svg('text', {x, y: 13, class: 'strong'}, chart, `${sign} ${name}: ${widthText(mean)} of ${d}, or ${percent(mean)}`);
      svg('rect', {x, y: top, width: each, height: high, class: 'frame'}, chart);
      clusters.forEach(({share, numbers}, i) => {
        const long = share * each, deep = Math.max(2, numbers / d * high), inside = deep > 24;
        svg('rect', {x, y: top, width: long, height: deep, class: `block lit c${i}`}, chart);
        if (textWidth(String(numbers)) + 4 < long && !inside) svg('text', {x: x + long / 2, y: top + deep + 14, 'text-anchor': 'middle'}, chart, String(numbers));
        x += long;
      });
    });
  }
  function trainings(root_, found) {
    if (!found.trained.length) { html('p', {}, root_, found.nearest); return () => {}; }
    const wide = width - 20, high = 190, left = 50, base = high - 40, low = -0.02, top = 0.14;
    const least = 0.65 * d, x = numbers => left + 8 + (Math.min(d, Math.max(least, numbers)) - least) / (d - least) * (wide - left - 24);
    const y = more => base - (Math.min(top, Math.max(low, more)) - low) / (top - low) * (base - 32);
    const figure = html('figure', {}, root_), chart = svg('svg', {width: wide, height: high, role: 'img', 'aria-label': found.nearest}, figure);
    svg('rect', {x: left, y: y(given.chance), width: wide - 10 - left, height: base - y(given.chance), class: 'chance'}, chart);
    svg('text', {x: left + 8, y: base - 5, class: 'time-tick'}, chart, `grey: up to ${100 * given.chance} %, what the seed alone may make`);
    for (const more of [0, 0.05, 0.1]) {
      svg('line', {x1: left, x2: wide - 10, y1: y(more), y2: y(more), class: 'grid'}, chart);
      svg('text', {x: left - 5, y: y(more) + 4, 'text-anchor': 'end'}, chart, `${more ? '+' : ''}${100 * more} %`);
    }
    for (const numbers of [0.7, 0.78, 0.86, 0.94].map(share => 20 * Math.round(share * d / 20)).concat(d)) {
      svg('text', {x: x(numbers), y: base + 16, 'text-anchor': 'middle'}, chart, whole(numbers));
    }
    svg('text', {x: wide - 10, y: base + 33, 'text-anchor': 'end', class: 'strong'}, chart, 'mean width, numbers');
    svg('text', {x: 0, y: 12, class: 'strong'}, chart, 'perplexity above the full softmax’s');
    svg('line', {x1: x(found.plan.width), x2: x(found.plan.width), y1: 34, y2: base, class: 'star-line'}, chart);
    const line = svg('line', {y1: 34, y2: base, class: 'cut'}, chart), label = svg('text', {y: 29, class: 'strong halo', 'text-anchor': 'middle'}, chart, 'you');
    for (const run of [...found.trained].sort((a, b) => (a.nearest || a.plan || 0) - (b.nearest || b.plan || 0))) {   // the marked ones in front
      const r = run.nearest || run.plan ? 7 : 5, at = x(run.width), up = y(run.more), kind = `trained${run.nearest || run.plan ? ' near' : ''}`;
      const dot = {
        wide: () => svg('rect', {x: at - r, y: up - r, width: 2 * r, height: 2 * r, class: kind}, chart),
        head: () => svg('path', {d: `M${at},${up - r - 1}l${r + 1},${2 * r}h${-2 * r - 2}z`, class: kind}, chart),
      }[run.tails]?.() ?? svg('circle', {cx: at, cy: up, r, class: kind}, chart);
      const lost = `${run.more >= 0 ? '+' : ''}${(100 * run.more).toFixed(1)} %`;
      svg('title', {}, dot, `${run.label}: ${lost}, ${(100 * run.share).toFixed(0)} % of the tokens in the head`);
      if (found.trained.length < 5 || run.nearest || run.plan) {
        svg('text', {x: at - r - 5, y: up + 4, 'text-anchor': 'end', class: 'halo'}, chart, found.trained.length < 5 ? `V = ${whole(run.V)}: ${lost}` : lost);
      }
    }
    svg('text', {x: x(found.plan.width), y: 30, class: 'ruler-star halo', 'text-anchor': 'middle'}, chart, '★');
    if (state.guess?.more !== undefined) {
      const {more, at: where} = state.guess, up = y(more), off = more > top ? '↑ ' : more < low ? '↓ ' : '';
      svg('path', {d: `M${x(where) - 5},${up - 5}l10,10m0,-10l-10,10`, class: 'cross'}, chart);
      svg('text', {x: x(where) + (off ? -10 : 10), y: up + 4, 'text-anchor': off ? 'end' : 'start', class: 'halo'}, chart, `your guess, ${off}${(100 * more).toFixed(1).replace('-', '−')} %`);
    }
    const shapes = [['narrow', 'Circles'], ['wide', 'Squares'], ['head', 'Triangles']];
    const tails = kind => [...new Set(found.trained.filter(run => run.tails === kind).map(run => run.widths.join(', ')))].join(' or ');
    const caption = html('figcaption', {}, figure);
    const key = shapes.filter(([kind]) => tails(kind)).map(([kind, name]) => `${name}: tails of ${tails(kind)} numbers.`).join(' ');
    for (const text of [`${key}${found.trained.some(run => run.nearest || run.plan) ? ' Large: named below.' : ''}`, ...found.nearest.split('\n'), state.guess?.note]) if (text) html('p', {}, caption, text);
    return numbers => {
      const at = x(numbers), left_ = numbers < found.plan.width, beside = Math.abs(at - x(found.plan.width)) < 22;
      set(line, {x1: at, x2: at});
      set(label, {x: at + (beside ? (left_ ? -14 : 14) : 0), 'text-anchor': beside ? (left_ ? 'end' : 'start') : 'middle'});
    };
  }
  /** Another guess, or none: {}. */
  function guessed(guess) { state.guess = guess; if (state.found) reveal(state.found); else draw(); }

  const observer = new ResizeObserver(() => { if (root.clientWidth && Math.abs(root.clientWidth - width) > 1) arrange(); });
  if (given.decision) {
    state.first = given.decision.cutoffs[0]; state.tails = given.decision.cutoffs.length; state.widths = [...given.decision.widths];
  } else { state.first = Math.max(1, Math.min(words.n - MOST_TAILS, wordsForShare(words, given.share))); }
  controlsOf(); arrange();
  observer.observe(root);
  return {state, reveal, guessed, outcome: now, destroy() { stop(); observer.disconnect(); cancelAnimationFrame(frame); root.replaceChildren(); }};
}
