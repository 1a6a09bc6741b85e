// The cut explorer: words with handles at the cutoffs and, right under them, what the layer costs. All of it is
// computed in the page, so that a drag redraws within a frame. Used by the notebooks and by the page without installing.
import {layer, makeCost, makeWords} from './cost.js';
import {html, ordinal, set, svg, whole} from './dom.js';

// ------------------------------------------------------------------ numbers for people

const digits = (x, most = 3) => {
  if (x === 0) return '0';
  const places = Math.max(0, most - 1 - Math.floor(Math.log10(Math.abs(x))));
  return x.toLocaleString('en', {minimumFractionDigits: 0, maximumFractionDigits: Math.min(places, 12)});
};
export const percent = share => {
  if (share > 0.9995 && share < 1) return share < 0.99999 ? `${(100 * share).toFixed(3)} %` : 'nearly 100 %';
  return share >= 0.01 || share === 0 ? `${(100 * share).toFixed(1)} %` : `${(100 * share).toPrecision(2) * 1} %`;
};
export const times = ratio => (ratio >= 9.95 ? whole(ratio) : ratio.toFixed(1));
const SUBSCRIPTS = '₀₁₂₃₄₅₆₇₈₉';

/** The unit of a cost model, and seconds of it as text. */
function speaker(cost, batch) {
  if (!cost.counted) {
    return seconds => (seconds >= 1 ? `${digits(seconds)} s` : seconds >= 1e-3 ? `${digits(seconds * 1e3)} ms`
      : `${digits(seconds * 1e6)} µs`);
  }
  const unit = cost.counted === 'words' ? 'words scored per token' : 'million multiplications per token';
  const scale = cost.counted === 'words' ? batch : batch * 1e6;
  return seconds => `${digits(seconds / scale)} ${unit}`;
}

/** Round numbers on a logarithmic axis: 1, 2 and 5 of each power of ten where there are few powers, else 1. */
function ticks(low, high) {
  const few = Math.log10(high / low) < 2.2, found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
    for (const factor of few ? [1, 2, 5] : [1]) found.push(factor * 10 ** power);
  return found.filter(tick => tick >= low && tick <= high);
}

// ------------------------------------------------------------------ the explorer

const MOST_CUTS = 5;
const STEP = {ArrowRight: 1.02, ArrowUp: 1.02, ArrowLeft: 1 / 1.02, ArrowDown: 1 / 1.02, PageUp: 1.25, PageDown: 0.8};
const PLACES = 160;                           // points of the curve
const MARGIN = {left: 70, right: 62};
const HEIGHT = {words: 190, curve: 190, bars: 72};

/**
 * Put an explorer into `root`.
 *
 * `data`: {texts: [...], costs: [...], text, cost, d, batch, ratio, cuts, sizes: {d: [...], batch: [...]},
 * plans: [{text, cost, d, batch, cuts}], ask}: texts and costs as in cost.js (a cost may say `counted`: 'words' or
 * 'multiplications'), the chosen ones by number; `ask`: hide the costs until the reader has placed a cut.
 * `on`: {cuts(cuts, active)}, called at each change. Returns {state, redraw(), show(data), destroy()}.
 */
export function mount(root, data, on = {}) {
  const state = {text: 0, cost: 0, ratio: 4, active: 0, guess: null, plan: null, ...data,
                 cuts: [...data.cuts], hidden: Boolean(data.ask)};
  let words, cost, say, settings, found, lowest = 0, drag = null, width = 0, frame = 0, timer = 0;
  root.classList.add('adasoft-cut');

  // ---- what does not change: the frame of the page
  const instruction = html('p', {class: 'instruction'}, root);
  const result = html('p', {class: 'result'}, root);
  const charts = html('div', {class: 'charts'}, root);
  const drawing = svg('svg', {role: 'group'}, charts);
  const tooltip = html('div', {class: 'tooltip', hidden: ''}, charts);
  const reveal = html('div', {class: 'reveal'}, charts);
  html('button', {type: 'button', class: 'primary'}, reveal, 'Show what it costs').addEventListener('click', () => {
    state.hidden = false; state.guess = {rank: state.cuts[0], of: key()}; arrange(); handles()[state.active]?.focus();
  });
  const clusters = html('div', {class: 'clusters', role: 'list', 'aria-label': 'clusters'}, root);
  const controls = html('div', {class: 'controls'}, root);
  const more = html('details', {class: 'settings'}, root);
  const chosen = html('summary', {}, more);
  const choices = html('div', {class: 'choices'}, more);
  const note = html('p', {class: 'note', role: 'status'}, root);
  const spoken = html('p', {class: 'spoken', role: 'status'}, root);
  const tell = text => { note.textContent = text; };

  const select = (label, options, chosen, act, parent = choices) => {
    const box = html('label', {}, parent, `${label} `);
    const list = html('select', {}, box);
    options.forEach(([value, text]) => { html('option', {value}, list, text).selected = String(value) === String(chosen); });
    list.addEventListener('change', () => act(list.value));
    return list;
  };

  // ---- state
  const key = () => [state.text, state.cost, state.d, state.batch, state.cuts.length].join();
  const limits = i => [i > 0 ? state.cuts[i - 1] + 1 : 1, i + 1 < state.cuts.length ? state.cuts[i + 1] - 1 : words.n - 1];
  function setCut(i, value) {
    const [low, high] = limits(i), rank = Math.round(Math.min(high, Math.max(low, value)));
    state.active = i;
    if (rank !== state.cuts[i]) { state.cuts[i] = rank; changed(); } else { redraw(); }
  }
  function setCuts(cuts) {
    state.cuts = cuts.map(c => Math.min(Math.max(1, Math.round(c)), words.n - 1)).filter((c, i, all) => !i || c > all[i - 1]);
    state.active = Math.min(state.active, Math.max(0, state.cuts.length - 1));
    changed(); arrange();
  }
  function changed() { tell(''); on.cuts?.([...state.cuts], state.active); redraw(); }
  function redraw() { if (!frame) frame = requestAnimationFrame(() => { frame = 0; draw(); }); }

  function choose() {                         // words, machine, sizes: everything that the charts are made of
    words = makeWords(state.texts[state.text]);
    cost = {...makeCost(state.costs[state.cost]), counted: state.costs[state.cost].counted};
    settings = {d: state.d, batch: state.batch, ratio: state.ratio};
    say = speaker(cost, state.batch);
    state.plan = null;
    const kept = state.cuts.filter(c => c < words.n);
    state.cuts = kept.length ? kept : [Math.max(1, Math.min(2000, words.n >> 1))];
    controlsOf(); arrange();
  }

  const stored = () => (state.plans ?? []).filter(p => p.text === state.text && p.cost === state.cost && p.d === state.d
    && p.batch === state.batch);
  const planned = tails => stored().find(p => p.cuts.length === tails);
  const tailsOf = n => (n === 1 ? '1 tail' : `${n} tails`);
  /** The number of tails whose plan is the fastest. */
  const fastest = () => stored().map(p => [layer(words, cost, p.cuts, settings).seconds, p.cuts.length])
    .sort((a, b) => a[0] - b[0])[0][1];

  function controlsOf() {
    controls.replaceChildren(); choices.replaceChildren();
    const button = (text, title, act, off) => {
      const made = html('button', {type: 'button', title, ...(text.length > 1 ? {} : {'aria-label': title})}, controls, text);
      made.disabled = Boolean(off); made.addEventListener('click', act); return made;
    };
    html('span', {}, controls, 'Tails:');
    button('−', 'one tail fewer', () => { setCuts(state.cuts.slice(0, -1)); controlsOf(); }, state.cuts.length < 2);
    html('output', {class: 'count'}, controls, String(state.cuts.length));
    button('+', 'one tail more', () => {
      const last = state.cuts.at(-1), next = Math.round(Math.sqrt(last * words.n));
      if (next > last && next < words.n) { setCuts([...state.cuts, next]); controlsOf(); }
    }, state.cuts.length >= MOST_CUTS);
    state.cuts.forEach((_, i) => {
      const box = html('label', {class: 'typed'}, controls, `c${SUBSCRIPTS[i + 1]} `);
      const input = html('input', {type: 'text', inputmode: 'numeric', 'aria-label': `cutoff ${i + 1}, in words`}, box);
      input.addEventListener('change', () => {
        const value = Number(input.value.replace(/[\s,]/g, ''));
        const [low, high] = limits(i), fits = Number.isFinite(value) && input.value.trim() && value >= low && value <= high;
        if (Number.isFinite(value) && input.value.trim()) setCut(i, value);
        input.value = whole(state.cuts[i]);
        tell(fits ? '' : `Cutoff ${i + 1} can be a number from ${whole(low)} to ${whole(high)}.`);
      });
    });
    if (state.plans) button('Plan for me', 'the fastest cutoffs under this cost model', () => {
      const best = planned(state.cuts.length);
      if (!best) { tell('No plan is stored for these sizes.'); return; }
      state.hidden = false; state.plan = best.cuts; state.cuts = [...best.cuts]; changed(); arrange();
      const other = fastest();
      tell(other === best.cuts.length ? `The fastest cutoffs; no other number of tails is faster here.`
        : `The fastest ${best.cuts.length === 1 ? 'cutoff' : 'cutoffs'} with ${tailsOf(best.cuts.length)}. `
          + `With ${tailsOf(other)} the layer is faster: ${say(layer(words, cost, planned(other).cuts, settings).seconds)}.`);
    });
    select('Words', state.texts.map((t, i) => [i, t.name]), state.text, v => { state.text = Number(v); choose(); });
    select('Machine', state.costs.map((c, i) => [i, c.name.replace('recorded machine: ', '')]), state.cost,
      v => { state.cost = Number(v); choose(); }, controls);
    if (state.sizes) {
      select('Hidden size d', state.sizes.d.map(v => [v, whole(v)]), state.d, v => { state.d = Number(v); choose(); });
      select('Tokens B', state.sizes.batch.map(v => [v, whole(v)]), state.batch, v => { state.batch = Number(v); choose(); });
    }
  }
  const typed = () => controls.querySelectorAll('.typed input').forEach((input, i) => {
    if (document.activeElement !== input) input.value = whole(state.cuts[i] ?? 0);
  });

  // ---- scales: one horizontal axis for words and curve, one time axis that a drag does not move
  const narrow = () => width < 520;
  const right = () => (narrow() ? 14 : MARGIN.right), left = () => (narrow() ? 52 : MARGIN.left);
  const top = () => Math.log10(words.n);
  const X = rank => left() + Math.log10(rank) / top() * (width - left() - right());
  const rankAt = x => 10 ** ((x - left()) / (width - left() - right()) * top());
  const wordsTop = 30, wordsBottom = HEIGHT.words - 44;
  const curveTop = HEIGHT.words + 14, curveBottom = HEIGHT.words + HEIGHT.curve - 26;
  const barsTop = HEIGHT.words + HEIGHT.curve + 4;
  const T = seconds => {
    const high = Math.log10(found.full * 1.35), low = Math.log10(lowest);
    return curveBottom - (Math.max(Math.log10(seconds), low - 0.2) - low) / (high - low) * (curveBottom - curveTop);
  };
  const handles = () => drawing.querySelectorAll('.handle');

  // ---- what changes with words, sizes and the number of cuts
  function arrange() {
    width = Math.max(280, charts.clientWidth || 900);
    const height = state.hidden ? HEIGHT.words : HEIGHT.words + HEIGHT.curve + HEIGHT.bars;
    set(drawing, {width, height, viewBox: `0 0 ${width} ${height}`,
                  'aria-label': `Words of ${words.name} by frequency, with ${state.cuts.length} cutoffs`});
    drawing.replaceChildren();
    reveal.hidden = !state.hidden;
    found = layer(words, cost, state.cuts, settings);
    // the axis of time stays while a handle is dragged: from below where head and tails cross to the full softmax
    lowest = 0.6 * Math.min(found.full / 4, ...places(state.active).map(rank => {
      const made = moved(state.active, rank), head = made.clusters[0].seconds;
      return Math.max(head, made.seconds - head - made.sorting);
    }));
    const defs = svg('defs', {}, drawing), clip = svg('clipPath', {id: 'adasoft-curve'}, defs);
    svg('rect', {x: left(), y: curveTop - 4, width: width - left() - right(), height: curveBottom - curveTop + 4}, clip);
    svg('g', {class: 'bands'}, drawing);
    wordAxis(svg('g', {'aria-hidden': true}, drawing));
    if (!state.hidden) { timeAxis(svg('g', {'aria-hidden': true}, drawing)); svg('g', {class: 'bars'}, drawing); }
    state.cuts.forEach((_, i) => handle(i));
    if (!state.hidden) dot();
    draw();
  }

  function wordAxis(group) {
    const low = Math.log10(words.share(words.n) || 1e-9), high = Math.log10(words.share(1));
    const Y = share => wordsBottom - (Math.log10(share) - low) / (high - low || 1) * (wordsBottom - wordsTop);
    for (let power = 0; power <= top() + 1e-9; power++) {
      const rank = 10 ** power, x = X(rank), near = words.word(rank);
      svg('line', {x1: x, x2: x, y1: wordsTop, y2: wordsBottom, class: 'grid'}, group);
      svg('text', {x, y: wordsBottom + 15, 'text-anchor': 'middle'}, group).textContent = whole(rank);
      if (near) svg('text', {x, y: wordsBottom + 30, 'text-anchor': 'middle', class: 'word'}, group).textContent = near.word;
    }
    let path = '';
    for (let i = 0; i <= 200; i++) {
      const rank = Math.max(1, Math.round(words.n ** (i / 200)));
      path += `${i ? 'L' : 'M'}${X(rank).toFixed(1)},${Y(words.share(rank)).toFixed(1)}`;
    }
    svg('path', {class: 'share', d: path}, group);
    const middle = (wordsTop + wordsBottom) / 2;
    svg('text', {x: 13, y: middle, 'text-anchor': 'middle', transform: `rotate(-90 13 ${middle})`}, group)
      .textContent = narrow() ? 'frequency' : 'frequency of each word';
    const strip = svg('rect', {x: left(), y: wordsTop, width: width - left() - right(), height: wordsBottom - wordsTop,
                               class: 'strip'}, group);
    strip.addEventListener('pointermove', event => hover(event));
    strip.addEventListener('pointerleave', () => { tooltip.hidden = true; });
  }

  function timeAxis(group) {
    const high = found.full * 1.35, middle = (curveTop + curveBottom) / 2;
    for (const tick of ticks(lowest / scale(), high / scale()).map(round => round * scale())) {
      const y = T(tick);
      svg('line', {x1: left(), x2: width - right(), y1: y, y2: y, class: 'grid'}, group);
      svg('text', {x: left() - 6, y: y + 4, 'text-anchor': 'end'}, group).textContent = short(tick);
    }
    for (let power = 0; power <= top() + 1e-9; power++) {
      const x = X(10 ** power);
      svg('line', {x1: x, x2: x, y1: curveTop, y2: curveBottom, class: 'grid'}, group);
    }
    svg('text', {x: left(), y: curveBottom + 17, class: 'axis-title'}, group);
    const legend = svg('text', narrow() ? {x: width - right(), y: curveTop + 12, 'text-anchor': 'end', class: 'legend'}
      : {x: width - right(), y: curveBottom + 17, 'text-anchor': 'end', class: 'legend'}, group);
    for (const [name, sign] of [['total', '━ total'], ['head', '─ head'], ['tails', '╌ tails']])
      svg('tspan', {class: `end ${name}`}, legend).textContent = `${sign}   `;
    if (!narrow()) svg('text', {x: 13, y: middle, 'text-anchor': 'middle', transform: `rotate(-90 13 ${middle})`}, group)
      .textContent = cost.counted ? 'work per token' : 'time of a step';
    const y = T(found.full);
    svg('line', {x1: left(), x2: width - right(), y1: y, y2: y, class: 'full'}, group);
    svg('text', {x: left() + 4, y: y - 5, class: 'strong'}, group).textContent = `full softmax, ${brief(found.full)}`;
    const curves = svg('g', {'clip-path': 'url(#adasoft-curve)'}, group);
    for (const name of ['tails', 'head', 'total']) svg('path', {class: `line ${name}`}, curves);
    svg('path', {class: 'star', d: 'M0,-8 2,-3 8,-2 3,2 5,8 0,5 -5,8 -3,2 -8,-2 -2,-3z'}, group);
    svg('path', {class: 'guess', d: 'M0,-7 7,0 0,7 -7,0z'}, group);
    svg('text', {class: 'guess-text'}, group).textContent = 'your guess';
    svg('text', {class: 'star-text'}, group).textContent = 'plan';
  }
  /** Without the unit of counted work, which stands beside it. */
  const brief = seconds => (cost.counted ? `${digits(seconds / scale())}${cost.counted === 'words' ? '' : ' million'}` : say(seconds));
  const scale = () => (cost.counted ? (cost.counted === 'words' ? state.batch : state.batch * 1e6) : 1);
  const short = seconds => (cost.counted ? digits(seconds / scale()) : say(seconds));

  function handle(i) {
    const group = svg('g', {class: 'handle', tabindex: 0, role: 'slider', 'aria-label': `cutoff ${i + 1}`,
                            'aria-orientation': 'horizontal'}, drawing);
    const bottom = state.hidden ? wordsBottom : curveBottom, row = wordsTop + 14 + 22 * i;
    svg('line', {y1: wordsTop - 6, y2: bottom, class: 'cut'}, group);
    svg('line', {y1: wordsTop - 6, y2: bottom, class: 'hit'}, group);
    svg('circle', {cy: row, r: 8, class: 'knob'}, group);
    svg('text', {y: row + 4, x: 13, class: 'value'}, group);
    svg('text', {y: wordsBottom - 6 - 16 * i, x: -7, 'text-anchor': 'end', class: 'word last'}, group);
    svg('text', {y: wordsBottom - 6 - 16 * i, x: 7, class: 'word first'}, group);
    dragged(group, i);
    group.addEventListener('focus', () => { state.active = i; redraw(); });
    group.addEventListener('keydown', event => {
      const factor = STEP[event.key], at = state.cuts[i];
      if (!factor && event.key !== 'Home' && event.key !== 'End') return;
      event.preventDefault(); event.stopPropagation();          // else JupyterLab moves between cells
      setCut(i, event.key === 'Home' ? 1 : event.key === 'End' ? words.n
        : factor > 1 ? Math.max(at + 1, at * factor) : Math.min(at - 1, at * factor));
    });
  }
  function dot() {
    const ring = svg('circle', {r: 7, class: 'you'}, drawing);
    dragged(ring, null);
  }
  function dragged(node, index) {
    let offset = 0;
    const place = event => event.clientX - drawing.getBoundingClientRect().left;
    node.addEventListener('pointerdown', event => {
      const i = index ?? state.active;
      drag = i; state.active = i; node.setPointerCapture(event.pointerId); handles()[i].focus();
      offset = place(event) - X(state.cuts[i]); event.preventDefault(); event.stopPropagation();
    });
    node.addEventListener('pointermove', event => { if (drag !== null) setCut(drag, rankAt(place(event) - offset)); });
    const end = () => { drag = null; };
    node.addEventListener('pointerup', end); node.addEventListener('pointercancel', end);
  }
  function hover(event) {
    const x = event.clientX - drawing.getBoundingClientRect().left;
    const rank = Math.min(words.n, Math.max(1, Math.round(rankAt(x)))), near = words.word(rank);
    const at = near ? near.rank : rank;
    tooltip.replaceChildren();
    tooltip.append(`the ${ordinal(at)} word`);
    if (near) { tooltip.append(': '); html('em', {}, tooltip, near.word); }
    tooltip.append(`, ${percent(words.share(at))} of tokens`);
    tooltip.hidden = false;
    tooltip.style.left = `${Math.min(Math.max(8, x + 12), width - 230)}px`;
    tooltip.style.top = `${event.clientY - drawing.getBoundingClientRect().top + 14}px`;
  }

  // ---- what changes with every move
  function draw() {
    if (handles().length !== state.cuts.length) { arrange(); return; }
    found = layer(words, cost, state.cuts, settings);
    const edges = [1, ...state.cuts, words.n], names = found.clusters.map((_, i) => (i ? `tail ${i}` : 'head'));
    const bands = drawing.querySelector('.bands');
    bands.replaceChildren();
    found.clusters.forEach((cluster, i) => {
      const x = X(edges[i]), wide = Math.max(0, X(edges[i + 1]) - x);
      svg('rect', {x, width: wide, y: wordsTop - 6, height: wordsBottom - wordsTop + 6, class: `band c${i}`}, bands);
      const full = `${names[i]}: ${percent(cluster.share)} of tokens`, name = names[i];
      const label = 6.3 * full.length < wide ? full : 6.3 * name.length < wide ? name : '';
      svg('text', {x: x + wide / 2, y: wordsTop - 12, 'text-anchor': 'middle', class: 'strong'}, bands).textContent = label;
    });
    handles().forEach((node, i) => {
      const rank = state.cuts[i], x = X(rank), [low, high] = limits(i), flip = x > width - right() - 110;
      node.setAttribute('transform', `translate(${x.toFixed(2)},0)`);
      node.classList.toggle('active', i === state.active);
      const last = words.word(rank), first = words.word(rank + 1);
      set(node, {'aria-valuenow': rank, 'aria-valuemin': low, 'aria-valuemax': high, 'aria-valuetext':
        `${whole(rank)} ${rank === 1 ? 'word' : 'words'}${last ? `, the last of them about “${last.word}”` : ''}; ${percent(words.cumulative(rank))} of tokens`});
      const value = node.querySelector('.value');
      // with three and more, only the one in hand has room for its number and words
      const full = i === state.active || state.cuts.length < 3 && !narrow();
      value.textContent = full ? `c${SUBSCRIPTS[i + 1]} = ${whole(rank)}` : `c${SUBSCRIPTS[i + 1]}`;
      set(value, {x: flip ? -13 : 13, 'text-anchor': flip ? 'end' : 'start'});
      node.querySelector('.last').textContent = full && last ? `${last.word} ` : '';
      node.querySelector('.first').textContent = full && first && first.word !== last.word ? ` ${first.word}` : '';
    });
    const ratio = found.full / found.seconds;
    instruction.textContent = state.hidden
      ? 'Drag the handle to where you would cut: words on its left stay in the head, all others go to a tail. Each grid line: ten times as many words.'
      : 'Drag a handle, or the ring on the curve. The words on the left stay in the head; a token that needs another word opens a tail.';
    result.replaceChildren();
    if (state.hidden) {
      html('strong', {}, result, whole(state.cuts[0]));
      result.append(` of ${whole(words.n)} words in the head: ${percent(words.cumulative(state.cuts[0]))} of the tokens in these counts need no more.`);
    } else {
      const alike = Math.abs(Math.log(ratio)) < 0.05;
      html('strong', {}, result, alike ? 'as fast' : ratio >= 1 ? `${times(ratio)} times faster` : `${times(1 / ratio)} times slower`);
      result.append(` ${alike ? 'as' : 'than'} the full softmax: ${brief(found.seconds)} instead of ${say(found.full)}`
        + (cost.counted ? '.' : ' per step.'));
    }
    if (!state.hidden) { curve(); bars(); }
    list(names);
    chosen.textContent = `${words.name} words, ${whole(state.d)} numbers per hidden state (d), ${whole(state.batch)} tokens a step (B)`;
    typed();
    clearTimeout(timer);
    timer = setTimeout(() => { if (spoken.textContent !== result.textContent) spoken.textContent = result.textContent; }, 500);
  }

  const moved = (i, rank) => layer(words, cost, state.cuts.map((cut, at) => (at === i ? rank : cut)), settings);
  function places(i) {                        // where cutoff i may stand, evenly spaced on the axis
    const [low, high] = limits(i), ranks = new Set();
    for (let step = 0; step <= PLACES; step++) ranks.add(Math.round(low * (high / low) ** (step / PLACES)));
    return [...ranks];
  }
  function curve() {
    const i = state.active, [low, high] = limits(i), lines = {total: '', head: '', tails: ''};
    places(i).forEach((rank, at) => {
      const made = moved(i, rank), head = made.clusters[0].seconds, x = `${at ? 'L' : 'M'}${X(rank).toFixed(1)}`;
      lines.total += `${x},${T(made.seconds).toFixed(1)}`;
      lines.head += `${x},${T(head).toFixed(1)}`;
      lines.tails += `${x},${T(made.seconds - head - made.sorting).toFixed(1)}`;
    });
    for (const name in lines) drawing.querySelector(`.line.${name}`).setAttribute('d', lines[name]);
    set(drawing.querySelector('.you'), {cx: X(state.cuts[i]), cy: T(found.seconds)});
    const mark = (name, rank, shown, dy) => {
      const seconds = shown ? moved(i, Math.min(high, Math.max(low, rank))).seconds : 1, x = shown ? X(rank) : 0, y = T(seconds);
      set(drawing.querySelector(`.${name}`), {transform: `translate(${x},${y})`, visibility: shown ? 'visible' : 'hidden'});
      set(drawing.querySelector(`.${name}-text`), {x: x + 10, y: y + dy, visibility: shown ? 'visible' : 'hidden'});
    };
    const best = state.plan;
    mark('guess', state.guess?.rank, i === 0 && state.guess?.of === key(), 16);
    mark('star', best?.[i], Boolean(best && best.length === state.cuts.length), -8);
    drawing.querySelector('.axis-title').textContent = `cutoff c${SUBSCRIPTS[i + 1]}: number of words${i ? ' before tail ' + (i + 1) : ' in the head'}`;
  }

  function bars() {
    const group = drawing.querySelector('.bars'), from = left(), wide = width - left() - right();
    group.replaceChildren();
    const most = Math.max(found.full, found.seconds), B = seconds => seconds / most * wide;
    svg('text', {x: from, y: barsTop + 10, class: 'strong'}, group).textContent =
      `full softmax: ${brief(found.full)}`;
    svg('rect', {x: from, y: barsTop + 15, width: B(found.full), height: 14, class: 'full-bar'}, group);
    let x = from;
    const parts = [...found.clusters.map((c, i) => [`c${i}`, c.seconds]), ['sorting', found.sorting]];
    for (const [name, seconds] of parts) {
      svg('rect', {x, y: barsTop + 49, width: B(seconds), height: 14, class: `bar ${name}`}, group);
      x += B(seconds);
    }
    svg('text', {x: from, y: barsTop + 44, class: 'strong'}, group).textContent = `this layer: ${brief(found.seconds)}`;
  }

  function list(names) {
    clusters.querySelector('.sorting')?.remove();
    while (clusters.children.length > found.clusters.length) clusters.lastChild.remove();
    const edges = [0, ...state.cuts, words.n];
    found.clusters.forEach((cluster, i) => {
      const item = clusters.children[i] ?? html('div', {role: 'listitem'}, clusters);
      item.className = `cluster c${i}`;
      const from = edges[i] + 1, to = edges[i + 1], seen = [1 / 6, 1 / 2, 5 / 6].map(part => Math.round(from * (to / from) ** part))
        .map(rank => words.word(rank)?.word).filter((word, at, all) => word && all.indexOf(word) === at);
      item.replaceChildren();
      html('strong', {}, item, names[i]);
      item.append(` ${whole(cluster.size)} ${cluster.size === 1 ? 'word' : 'words'}, ${percent(cluster.share)} of tokens, ${whole(cluster.width)} numbers per word`
        + (state.hidden ? '' : `, ${brief(cluster.seconds)}`));
      if (seen.length) { item.append(': '); html('em', {}, item, seen.join(' … ')); }
    });
    if (!state.hidden && found.sorting) {
      const item = html('div', {role: 'listitem', class: 'cluster sorting'}, clusters);
      item.append(`sorting the tokens by cluster, ${brief(found.sorting)}`);
    }
  }

  const observer = new ResizeObserver(() => {
    if (charts.clientWidth && Math.abs(charts.clientWidth - width) > 1 && drag === null) arrange();
  });
  choose();
  observer.observe(charts);
  return {
    state,
    redraw: draw,
    show(next) { Object.assign(state, next); if (next.cuts) state.cuts = [...next.cuts]; choose(); },
    destroy() { observer.disconnect(); cancelAnimationFrame(frame); clearTimeout(timer); root.replaceChildren(); },
  };
}
