// Two tails as areas, words wide and share of the tokens high: what changes if they trade their tokens?
import {html, set, svg, whole} from '../../kit/static/dom.js';

const SIDE = {left: 62, right: 24}, TOP = 14, HIGH = 180, BAR = 44;
const MOST = {size: 10000, share: 30}, LEAST = {size: 500, share: 1}, STEP = {size: 500, share: 1};
const NAMES = ['tail 1', 'tail 2'];
const near = (value, what) => Math.min(MOST[what], Math.max(LEAST[what], Math.round(value / STEP[what]) * STEP[what]));

/** Words scored per token by two tails, as they are and with their shares swapped. Shares in percent. */
export function priced(sizes, shares) {
  const sum = p => (p[0] * sizes[0] + p[1] * sizes[1]) / 100;
  return {now: sum(shares), swapped: sum([shares[1], shares[0]])};
}
/** What makes a swap change nothing: 'sizes', 'shares', both of them at once, or none where it changes something. */
export const alike = (sizes, shares) => [...(sizes[0] === sizes[1] ? ['sizes'] : []), ...(shares[0] === shares[1] ? ['shares'] : [])];

/**
 * `given`: {sizes: [words, words], shares: [percent, percent], found: kinds of swap without effect found so far};
 * guess: words per token of the swapped tails at the beginning, or null; `moved(state)` is called at each move. Returns {show(given), destroy()}.
 */
export function mountSwap(root, given, moved) {
  const state = {guess: null, ...given, sizes: [...given.sizes], shares: [...given.shares], found: [...given.found]};
  const still = matchMedia('(prefers-reduced-motion: reduce)');
  let width = 0, frame = 0, timer = 0, nodes, touched = false;
  root.classList.add('adasoft-cut', 'adasoft-swap');
  html('p', {class: 'instruction'}, root, 'Drag an edge: the right edge of a tail sets its words, the top edge its share of the tokens. Dashed: the shares swapped.');
  const result = html('p', {class: 'result', role: 'status'}, root);
  const drawing = svg('svg', {role: 'group', 'aria-label': 'Two tails as areas'}, html('div', {class: 'charts'}, root));
  const controls = html('div', {class: 'controls'}, root);
  html('button', {type: 'button', class: 'primary'}, controls, 'Swap the shares').addEventListener('click', swap);
  const search = html('p', {class: 'note', role: 'status'}, root);

  const inner = () => width - SIDE.left - SIDE.right;
  const X = k => SIDE.left + k / (2 * MOST.size) * inner();
  const Y = p => TOP + HIGH * (1 - p / MOST.share);

  function arrange() {
    width = Math.max(300, root.clientWidth || 900);
    const height = TOP + HIGH + 40 + 2 * BAR;
    set(drawing, {width, height, viewBox: `0 0 ${width} ${height}`});
    drawing.replaceChildren();
    const ground = svg('g', {'aria-hidden': true}, drawing), base = TOP + HIGH;
    for (let k = 0; k <= 2 * MOST.size; k += width < 560 ? 10000 : 5000) {
      svg('line', {x1: X(k), x2: X(k), y1: TOP, y2: base, class: 'grid'}, ground);
      svg('text', {x: X(k), y: base + 15, 'text-anchor': 'middle'}, ground, whole(k));
    }
    for (const p of [0, 10, 20, 30]) {
      svg('line', {x1: SIDE.left, x2: SIDE.left + inner(), y1: Y(p), y2: Y(p), class: 'grid'}, ground);
      svg('text', {x: SIDE.left - 6, y: Y(p) + 4, 'text-anchor': 'end'}, ground, `${p} %`);
    }
    svg('text', {x: SIDE.left + inner(), y: base + 30, 'text-anchor': 'end'}, ground, 'words');
    svg('text', {x: 12, y: TOP + HIGH / 2, 'text-anchor': 'middle', transform: `rotate(-90 12 ${TOP + HIGH / 2})`}, ground, 'share of the tokens');
    nodes = {blocks: [], ghosts: [], names: [], edges: {size: [], share: []}, bars: []};
    for (const i of [0, 1]) {
      nodes.blocks.push(svg('rect', {class: `block c${i + 1}`}, drawing));
      nodes.ghosts.push(svg('rect', {class: 'ghost'}, drawing));
      nodes.names.push(svg('text', {'text-anchor': 'middle', class: 'end'}, drawing));
    }
    ['as it is', 'swapped'].forEach((name, j) => {
      const y = base + 40 + j * BAR;
      nodes.bars.push({name: svg('text', {x: SIDE.left, y: y + 12, class: 'strong'}, drawing),
                       parts: [0, 1].map(i => svg('rect', {y: y + 18, height: 16, class: `bar c${i + 1}`}, drawing)), says: name});
    });
    nodes.guess = svg('g', {class: 'guess-mark'}, drawing);
    svg('path', {class: 'guessed', d: 'M-7,-7 7,7M-7,7 7,-7'}, nodes.guess);
    svg('text', {class: 'end', x: 12, y: 4}, nodes.guess, 'your guess');
    for (const i of [0, 1]) for (const what of ['size', 'share']) nodes.edges[what].push(edge(i, what));
    draw();
  }

  function edge(i, what) {
    const group = svg('g', {class: `handle ${what}`, tabindex: 0, role: 'slider',
      'aria-label': what === 'size' ? `words of ${NAMES[i]}` : `share of ${NAMES[i]}, in percent`,
      'aria-orientation': what === 'size' ? 'horizontal' : 'vertical', 'aria-valuemin': LEAST[what], 'aria-valuemax': MOST[what]}, drawing);
    svg('line', {class: 'hit'}, group);
    svg('circle', {r: 7, class: 'knob'}, group);
    const values = what === 'size' ? state.sizes : state.shares;
    const read = event => {
      const box = drawing.getBoundingClientRect();
      if (what === 'share') return (1 - (event.clientY - box.top - TOP) / HIGH) * MOST.share;
      return (event.clientX - box.left - SIDE.left) / inner() * 2 * MOST.size - (i ? state.sizes[0] : 0);
    };
    let offset = null;
    group.addEventListener('pointerdown', event => {
      offset = read(event) - values[i]; group.setPointerCapture(event.pointerId); group.focus();
      event.preventDefault(); event.stopPropagation();
    });
    group.addEventListener('pointermove', event => { if (offset !== null) put(values, i, near(read(event) - offset, what)); });
    for (const end of ['pointerup', 'pointercancel']) group.addEventListener(end, () => { offset = null; });
    group.addEventListener('keydown', event => {
      const by = {ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 5, PageDown: -5, Home: -1e6, End: 1e6}[event.key];
      if (!by) return;
      event.preventDefault(); event.stopPropagation();           // else JupyterLab moves between cells
      put(values, i, near(values[i] + by * STEP[what], what));
    });
    return group;
  }
  function put(values, i, value) {
    if (values[i] === value) return;
    values[i] = value; changed();
  }
  function changed() {
    touched = true;
    // found is what the reader stops at, one kind at a time: equal words with equal shares show neither by itself
    clearTimeout(timer);
    const [kind, second] = alike(state.sizes, state.shares);
    if (kind && !second && !state.found.includes(kind)) {
      timer = setTimeout(() => { state.found.push(kind); moved({found: [...state.found]}); draw(); }, 300);
    }
    moved({sizes: [...state.sizes], shares: [...state.shares], found: [...state.found]});
    if (!frame) frame = requestAnimationFrame(() => { frame = 0; draw(); });
  }
  function swap() {
    const from = [...state.shares], to = [from[1], from[0]], begun = performance.now();
    if (still.matches) { state.shares.splice(0, 2, ...to); changed(); return; }
    const step = now => {
      const part = Math.min(1, (now - begun) / 500), eased = part * part * (3 - 2 * part);
      if (part < 1) { draw(from.map((p, i) => p + (to[i] - p) * eased)); frame = requestAnimationFrame(step); return; }
      frame = 0; state.shares.splice(0, 2, ...to); changed();
    };
    if (!frame) frame = requestAnimationFrame(step);
  }

  function draw(shown = state.shares) {
    const {sizes, shares} = state, other = [shares[1], shares[0]], base = TOP + HIGH;
    const {now, swapped} = priced(sizes, shares), edges = [0, sizes[0], sizes[0] + sizes[1]];
    for (const i of [0, 1]) {
      const x = X(edges[i]), wide = X(edges[i + 1]) - x, y = Y(shown[i]);
      set(nodes.blocks[i], {x, y, width: wide, height: base - y});
      set(nodes.ghosts[i], {x: x + 1, y: Y(other[i]), width: Math.max(0, wide - 2), height: base - Y(other[i])});
      const full = `${NAMES[i]}: ${whole(sizes[i])} × ${shares[i]} % = ${whole(sizes[i] * shares[i] / 100)}`;
      const name = nodes.names[i];
      name.textContent = 6.6 * full.length < wide - 6 ? full : '';
      set(name, {x: x + wide / 2, y: base - 8});
      const places = {size: [X(edges[i + 1]), Math.min(base - 18, (y + base) / 2)], share: [x + wide / 2, y]};
      for (const what of ['size', 'share']) {
        const node = nodes.edges[what][i], [cx, cy] = places[what], value = (what === 'size' ? sizes : shares)[i];
        set(node.querySelector('.knob'), {cx, cy});
        set(node.querySelector('.hit'), what === 'size' ? {x1: cx, x2: cx, y1: y, y2: base} : {x1: x + 6, x2: x + wide - 6, y1: y, y2: y});
        set(node, {'aria-valuenow': value, 'aria-valuetext': what === 'size' ? `${whole(value)} words` : `${value} % of the tokens`});
      }
    }
    [[now, shares], [swapped, other]].forEach(([total, p], j) => {
      const bar = nodes.bars[j];
      const [one, two] = p.map((part, i) => whole(part * sizes[i] / 100));
      bar.name.textContent = `${bar.says}: ${one} + ${two} = ${whole(total)} words per token`;
      let x = SIDE.left;
      bar.parts.forEach((part, i) => {
        const wide = p[i] * sizes[i] / (MOST.share * 2 * MOST.size) * inner();
        set(part, {x, width: wide}); x += wide;
      });
    });
    // the guess is for the tails of the question, and belongs to the bar of the smaller sum
    const asked = sizes[0] === 1000 && sizes[1] === 9000 && Math.min(...shares) === 10 && Math.max(...shares) === 20 && shares[0] !== shares[1];
    const most = MOST.share * 2 * MOST.size / 100, at = Math.min(Math.max(state.guess ?? 0, 0), most);
    set(nodes.guess, {visibility: asked && state.guess !== null ? 'visible' : 'hidden',
                      transform: `translate(${SIDE.left + at / most * inner()},${base + 66 + (swapped < now ? BAR : 0)})`});
    result.replaceChildren();
    const same = alike(sizes, shares), named = {sizes: 'number of words', shares: 'share of the tokens'};
    if (same.length) {
      html('strong', {}, result, 'Swapping changes nothing');
      result.append(`: both tails have the same ${same.map(kind => named[kind]).join(' and the same ')}.`);
    } else {
      html('strong', {}, result, `Swapping ${swapped < now ? 'saves' : 'costs'} ${whole(Math.abs(now - swapped))} words per token`);
      const small = sizes[0] < sizes[1] ? 0 : 1;
      result.append(`: the smaller tail (${whole(sizes[small])} words) ${shares[small] < shares[1 - small] ? 'has fewer' : 'has more'} of the tokens now.`);
    }
    if (state.guess !== null && !asked) result.append(' Your guess was for 1,000 and 9,000 words, with 10 and 20 % of the tokens.');
    const of = {shares: 'equal shares', sizes: 'equal sizes'};
    search.textContent = state.found.length === 2 ? '✓ You found both kinds of setting in which swapping changes nothing.'
      : state.found.length ? `✓ Found one kind (${of[state.found[0]]}). There is another.`
        : touched ? 'Not found yet: a setting in which swapping changes nothing. There are two kinds.'
          : 'Find a setting in which swapping changes nothing. There are two kinds.';
  }

  const observer = new ResizeObserver(() => { if (root.clientWidth && Math.abs(root.clientWidth - width) > 1) arrange(); });
  arrange();
  observer.observe(root);
  return {
    state,
    show(next) { Object.assign(state, next); draw(); },
    destroy() { observer.disconnect(); cancelAnimationFrame(frame); clearTimeout(timer); root.replaceChildren(); },
  };
}

function render({model, el}) {
  const panel = mountSwap(el, {sizes: model.get('sizes'), shares: model.get('shares'), found: model.get('found'),
                               guess: model.get('guess')}, now => {
    for (const name in now) model.set(name, now[name]);
    model.save_changes();
  });
  const guessed = () => panel.show({guess: model.get('guess')});
  model.on('change:guess', guessed);
  return () => { model.off('change:guess', guessed); panel.destroy(); };
}
export default {render};
