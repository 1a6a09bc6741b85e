// The game: a map of the time of a step over two cutoffs. It lies in the dark; every place that the reader tries lights
// up its surroundings. The planner's star, and the whole map, are shown once the reader has asked to compare.
import {layer, makeCost, makeWords, widths} from '../../kit/static/cost.js';
import {counted, digits, html, percent, secondsText, set, svg, whole} from '../../kit/static/dom.js';

const MAP = {left: 84, right: 16, top: 26, bottom: 42, cell: 2, light: 17}, SHADES = 16, SLOWEST = 8;
const RAMP = [[252, 240, 180], [252, 165, 107], [222, 73, 104], [140, 41, 129], [59, 15, 112], [12, 8, 38]];
const KEYS = {ArrowRight: 1.02, ArrowUp: 1.02, ArrowLeft: 1 / 1.02, ArrowDown: 1 / 1.02, PageUp: 1.25, PageDown: 0.8};
const WRONG_AXIS = [['ArrowUp', 'ArrowDown'], ['ArrowLeft', 'ArrowRight']];
/** The colour of a time, as a share of the way from the fastest to the slowest: in steps, as contours. */
const shade = part => {
  const at = Math.floor(SHADES * Math.min(1, part)) / SHADES * (RAMP.length - 1.001), k = Math.floor(at);
  return RAMP[k].map((from, c) => from + (RAMP[k + 1][c] - from) * (at - k));
};
const inUnits = (seconds, cost, batch) => {
  if (!cost.counted) return secondsText(seconds);
  const many = seconds / batch;
  return `${many < 1e4 ? whole(many) : `${digits(many / 1e6)} million`} multiplications`;
};

/** Seconds of a step at every pair of ranks (c1 < c2, else infinity), row by row of c2: the layer, part by part. */
export function surface(words, cost, firsts, seconds, {d, batch}) {
  const [one, two] = widths(d, 2), mass = k => words.cumulative(k), out = new Float64Array(firsts.length * seconds.length);
  const heads = firsts.map(c => cost.product(c + 2, batch, d, 'train')), left = firsts.map(mass);
  const sorting = cost.sorting(batch, d, 'train');
  seconds.forEach((c2, row) => {
    const tail = sorting + cost.tail(words.n - c2, 1 - mass(c2), batch, d, two, 'train'), reach = mass(c2);
    firsts.forEach((c1, column) => {
      out[row * firsts.length + column] = c1 < c2
        ? heads[column] + cost.tail(c2 - c1, reach - left[column], batch, d, one, 'train') + tail : Infinity;
    });
  });
  return out;
}

/**
 * `given`: {text, cost (as in cost.js), d, batch, cuts: [c1, c2], floor: least share of the head, trail: places tried,
 * plan: the planner's cutoffs, shown with the whole map, or []}; `on`: {moved(cuts), tried(trail)}. Every place shown
 * counts: the fastest that a drag passed joins the trail when it ends.
 */
export function mountGame(root, given, on) {
  const state = {...given, cuts: [...given.cuts], trail: [...given.trail]};
  let words, cost, width = 0, frame = 0, timer = 0, lit = [], passed = [], nodes = {}, ground = null, first = 0, range = 1;
  root.classList.add('adasoft-cut', 'adasoft-game');
  html('p', {class: 'instruction'}, root, 'Drag the ring, click the map, or drag a knob on its edge. Each place that you try lights up its surroundings: bright is fast, dark is slow.');
  const columns = html('div', {class: 'columns'}, root);
  const place = html('div', {class: 'map'}, columns), canvas = html('canvas', {'aria-hidden': true}, place);
  const drawing = svg('svg', {role: 'group', 'aria-label': 'Map of the time of a step over two cutoffs'}, place);
  const ends = [0, 1].map(() => html('p', {class: 'ends'}, place));       // the words at both cuts
  const scale = svg('svg', {class: 'scale', role: 'img', 'aria-label': 'colours, from the fastest pair to one 8 times slower'}, place);
  const told = html('div', {class: 'told'}, columns);
  const result = html('p', {class: 'result', role: 'status'}, told), best = html('p', {}, told);
  const bars = svg('svg', {role: 'img', 'aria-label': 'the time of this layer, cluster by cluster, and of your best'}, told);
  const clusters = html('div', {class: 'clusters column', role: 'list', 'aria-label': 'clusters'}, told);

  const wide = () => width - MAP.left - MAP.right, high = () => Math.round(Math.min(360, Math.max(230, 0.9 * wide())));
  const lowest = () => Math.max(1, words.n / 3200);
  const span = () => Math.log(words.n / lowest());
  const X = c => MAP.left + Math.log(c / lowest()) / span() * wide();
  const Y = c => MAP.top + high() - Math.log(c / lowest()) / span() * high();
  const C1 = x => lowest() * Math.exp((x - MAP.left) / wide() * span());
  const C2 = y => lowest() * Math.exp((MAP.top + high() - y) / high() * span());
  const timed = cuts => layer(words, cost, cuts, {d: state.d, batch: state.batch});
  const fair = cuts => words.cumulative(cuts[0]) >= state.floor;
  const record = () => [...state.trail, ...passed].filter(fair).map(cuts => [timed(cuts).seconds, cuts]).sort((a, b) => a[0] - b[0])[0];

  function put(c1, c2) {
    const low = Math.max(1, Math.ceil(lowest()));
    const a = Math.min(words.n - 2, Math.max(low, Math.round(c1))), b = Math.min(words.n - 1, Math.max(low + 1, Math.round(c2)));
    const [x, y] = state.cuts;
    // a knob stops at the other one
    state.cuts = a < b ? [a, b] : a !== x ? [Math.min(a, y - 1), y] : [x, Math.max(b, x + 1)];
    on.moved([...state.cuts]);
    if (!frame) frame = requestAnimationFrame(() => { frame = 0; draw(); });
    clearTimeout(timer);
    timer = setTimeout(settle, 350);
  }
  function settle() {
    clearTimeout(timer);
    const same = ([a, b], place) => place && a === place[0] && b === place[1], top = record();
    const seen = top && !state.trail.some(place => same(top[1], place)) && !same(top[1], state.cuts) ? [top[1]] : [];
    passed = [];
    if (!seen.length && same(state.cuts, state.trail.at(-1))) return;
    const trail = [...state.trail, ...seen, [...state.cuts]];
    const kept = trail.slice(-80);               // and the best, however long ago
    state.trail = top && !kept.some(place => same(top[1], place)) ? [top[1], ...kept] : kept;
    on.tried(state.trail);
    draw();
  }

  function picture() {                          // the whole map, once; what is dark is drawn over by not drawing it
    const nx = Math.ceil(wide() / MAP.cell), ny = Math.ceil(high() / MAP.cell);
    const firsts = Array.from({length: nx}, (_, i) => Math.max(1, C1(MAP.left + (i + 0.5) * MAP.cell)));
    const seconds = Array.from({length: ny}, (_, j) => Math.max(1, C2(MAP.top + (j + 0.5) * MAP.cell)));
    const values = surface(words, cost, firsts.map(Math.round), seconds.map(Math.round), state);
    let fast = Infinity, slow = 0;
    for (const v of values) if (Number.isFinite(v)) { fast = Math.min(fast, v); slow = Math.max(slow, v); }
    slow = Math.min(slow, SLOWEST * fast);
    range = Math.log(slow / fast) || 1;
    ground = document.createElement('canvas');
    set(ground, {width: nx, height: ny});
    const pen = ground.getContext('2d'), image = pen.createImageData(nx, ny);
    values.forEach((v, i) => {
      if (!Number.isFinite(v)) return;
      shade(Math.sqrt(Math.log(v / fast) / range)).forEach((value, c) => { image.data[4 * i + c] = value; });  // the root
      image.data[4 * i + 3] = 255;                                             // spreads out what lies near the bottom
    });
    pen.putImageData(image, 0, 0);
  }

  function arrange() {
    width = Math.max(300, place.clientWidth || 560);
    const height = MAP.top + high() + MAP.bottom, sharp = devicePixelRatio || 1;
    set(drawing, {width, height, viewBox: `0 0 ${width} ${height}`});
    set(canvas, {width: width * sharp, height: height * sharp});
    canvas.style.width = `${width}px`; canvas.style.height = `${height}px`;
    drawing.replaceChildren(); nodes = {};
    picture();
    legend();
    lit = state.trail.map(([a, b]) => [X(a), Y(b)]);
    const lines = svg('g', {'aria-hidden': true}, drawing), base = MAP.top + high();
    for (let power = 1; power <= words.n; power *= 10) {
      if (power < lowest()) continue;
      svg('text', {x: X(power), y: base + 22, 'text-anchor': 'middle'}, lines, whole(power));
      svg('text', {x: MAP.left - 12, y: Y(power) + 4, 'text-anchor': 'end'}, lines, whole(power));
      svg('line', {x1: X(power), x2: X(power), y1: base, y2: base + 5, class: 'tick'}, lines);
      svg('line', {x1: MAP.left - 5, x2: MAP.left, y1: Y(power), y2: Y(power), class: 'tick'}, lines);
    }
    svg('text', {x: MAP.left + wide(), y: base + 38, 'text-anchor': 'end'}, lines, 'c₁: words in the head');
    svg('text', {x: 12, y: MAP.top, 'text-anchor': 'end', transform: `rotate(-90 12 ${MAP.top})`}, lines, 'c₂: last word of tail 1');
    const border = [...Array(80).keys()].map(i => lowest() * (words.n / lowest()) ** (i / 79)).find(c => words.cumulative(c) >= state.floor);
    nodes.border = border > lowest() ? X(border) : 0;
    if (nodes.border) {
      svg('line', {x1: X(border), x2: X(border), y1: MAP.top - 6, y2: Y(border), class: 'floor'}, lines);
      svg('text', {x: Math.max(X(border), 160), y: MAP.top - 10, 'text-anchor': 'end'}, lines, `not allowed: head < ${100 * state.floor} %`);
    }
    svg('text', {x: MAP.left + wide() - 4, y: base - 0.42 * high(), 'text-anchor': 'end'}, lines, 'c₁ > c₂');
    nodes.field = svg('path', {class: 'field', d: `M${MAP.left},${base}V${MAP.top}H${MAP.left + wide()}Z`}, drawing);
    grab(nodes.field, (x, y) => [C1(x), C2(y)]);
    nodes.cross = svg('path', {class: 'cross'}, drawing);
    nodes.path = svg('path', {class: 'trail'}, drawing);
    nodes.tried = svg('g', {}, drawing);
    nodes.starName = svg('text', {class: 'end strong'}, drawing, 'planner');
    nodes.ring = svg('circle', {r: 10, class: 'you'}, drawing);
    grab(nodes.ring, (x, y) => [C1(x), C2(y)]);
    nodes.star = svg('path', {class: 'star', d: 'M0,-11 3,-4 11,-3 5,3 6,11 0,7 -6,11 -5,3 -11,-3 -3,-4z'}, drawing);
    nodes.knobs = [0, 1].map(i => {
      const knob = svg('g', {class: `handle axis${i}`, tabindex: 0, role: 'slider', 'aria-label': `cutoff ${i + 1}`,
                             'aria-orientation': i ? 'vertical' : 'horizontal'}, drawing);
      svg('circle', {r: 8, class: 'knob'}, knob);
      grab(knob, i ? (x, y) => [state.cuts[0], C2(y)] : x => [C1(x), state.cuts[1]]);
      knob.addEventListener('keydown', event => {
        const factor = KEYS[event.key], now = state.cuts[i];
        const end = {Home: i ? state.cuts[0] + 1 : 1, End: i ? words.n - 1 : state.cuts[1] - 1}[event.key];
        if (!factor && !end || WRONG_AXIS[i].includes(event.key)) return;
        event.preventDefault(); event.stopPropagation();         // else JupyterLab moves between cells
        const next = end ? end : factor > 1 ? Math.max(now + 1, now * factor) : Math.min(now - 1, now * factor);
        put(...(i ? [state.cuts[0], next] : [next, state.cuts[1]]));
      });
      return knob;
    });
    draw();
  }

  function grab(node, read) {
    let offset = null;
    const at = event => { const box = drawing.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
    node.addEventListener('pointerdown', event => {
      const [x, y] = at(event);
      offset = node === nodes.field ? [0, 0] : [x - X(state.cuts[0]), y - Y(state.cuts[1])];
      node.setPointerCapture(event.pointerId); (nodes.knobs.includes(node) ? node : nodes.knobs[0]).focus();
      if (node === nodes.field) put(...read(x, y));               // a click: the ring comes here
      event.preventDefault(); event.stopPropagation();
    });
    node.addEventListener('pointermove', event => {
      if (!offset) return;
      const [x, y] = at(event);
      put(...read(x - offset[0], y - offset[1]));
    });
    for (const end of ['pointerup', 'pointercancel']) node.addEventListener(end, () => { if (offset) { offset = null; settle(); } });
  }

  function glow() {
    const pen = canvas.getContext('2d'), sharp = devicePixelRatio || 1;
    pen.setTransform(sharp, 0, 0, sharp, 0, 0);
    pen.clearRect(0, 0, width, MAP.top + high() + MAP.bottom);
    pen.fillStyle = '#2a3140';
    pen.beginPath();                            // the triangle where c1 < c2
    pen.moveTo(MAP.left, MAP.top + high()); pen.lineTo(MAP.left, MAP.top); pen.lineTo(MAP.left + wide(), MAP.top); pen.closePath();
    pen.fill();
    pen.save();
    pen.clip();
    if (!state.plan.length) {
      pen.beginPath();
      for (const [x, y] of lit) { pen.moveTo(x + MAP.light, y); pen.arc(x, y, MAP.light, 0, 7); }
      pen.clip();
    }
    pen.drawImage(ground, MAP.left, MAP.top, Math.ceil(wide() / MAP.cell) * MAP.cell, Math.ceil(high() / MAP.cell) * MAP.cell);
    pen.restore();
    if (nodes.border) hatch(pen);
  }
  function hatch(pen) {                         // what is not allowed does not shine, however fast it is
    const right = nodes.border, bottom = MAP.top + high(), slope = high() / wide();
    pen.save();
    pen.beginPath();
    pen.moveTo(MAP.left, bottom); pen.lineTo(MAP.left, MAP.top); pen.lineTo(right, MAP.top); pen.lineTo(right, bottom - (right - MAP.left) * slope);
    pen.closePath(); pen.clip();
    pen.fillStyle = 'rgba(24,29,39,.55)'; pen.fillRect(MAP.left, MAP.top, right - MAP.left, high());
    pen.strokeStyle = 'rgba(255,255,255,.4)'; pen.lineWidth = 1.2;
    pen.beginPath();
    for (let x = MAP.left - high(); x < right; x += 9) { pen.moveTo(x, bottom); pen.lineTo(x + high(), MAP.top); }
    pen.stroke();
    pen.restore();
  }

  function draw() {
    const [c1, c2] = state.cuts, made = timed(state.cuts), x = X(c1), y = Y(c2), base = MAP.top + high();
    const say = seconds => inUnits(seconds, cost, state.batch);
    const [u, v] = lit.at(-1) ?? [-99, -99];
    if (Math.hypot(x - u, y - v) > 3) lit.push([x, y]);
    glow();
    set(nodes.cross, {d: `M${MAP.left},${y}H${x}M${x},${base}V${y}`});
    set(nodes.ring, {cx: x, cy: y});
    set(nodes.path, {d: [...state.trail, state.cuts].map(([a, b], i) => `${i ? 'L' : 'M'}${X(a).toFixed(1)},${Y(b).toFixed(1)}`).join('')});
    nodes.tried.replaceChildren(...state.trail.map(([a, b]) => svg('circle', {cx: X(a), cy: Y(b), r: 3.5, class: 'place'})));
    const shown = state.plan.length === 2;
    const [px, py] = shown ? [X(state.plan[0]), Y(state.plan[1])] : [0, 0];
    const small = Math.hypot(px - x, py - y) < 18 ? 0.62 : 1;      // inside the ring
    set(nodes.star, {transform: `translate(${px},${py}) scale(${small})`, visibility: shown ? 'visible' : 'hidden'});
    set(nodes.starName, {visibility: shown ? 'visible' : 'hidden'});
    nodes.knobs.forEach((knob, i) => {
      const cut = state.cuts[i], {last, first} = words.around(cut);
      set(knob, {transform: i ? `translate(${MAP.left},${y})` : `translate(${x},${base})`, 'aria-valuenow': cut,
        'aria-valuemin': i ? c1 + 1 : Math.max(1, Math.ceil(lowest())), 'aria-valuemax': i ? words.n - 1 : c2 - 1, 'aria-valuetext':
        `${counted(cut, 'word')}${last ? `, the last of them ${last.rank === cut ? '' : 'near '}“${last.word}”` : ''}; ${percent(words.cumulative(cut))} of the tokens`});
      ends[i].replaceChildren();
      html('strong', {}, ends[i], `c${'₁₂'[i]} = ${whole(cut)}`);
      if (last && first) {
        ends[i].append(': ');
        html('em', {}, ends[i], last.word); ends[i].append(' | '); html('em', {}, ends[i], first.word);
      }
    });
    if (shown) beside(nodes.starName, px, py);
    result.replaceChildren();
    html('strong', {}, result, say(made.seconds));
    result.append(cost.counted ? ' per token, ' : ' per step, ');
    const ratio = made.full / made.seconds;
    result.append(fair(state.cuts) ? `${ratio.toFixed(1)} times ${cost.counted ? 'fewer' : 'faster'} than a full softmax.` : 'but it does not count.');
    if (fair(state.cuts)) {
      const before = record();
      if (!before || made.seconds < before[0]) passed = [[...state.cuts]];
    }
    const top = record(), share = made.clusters[0].share;
    best.textContent = (fair(state.cuts) ? `The head holds ${percent(share)} of the tokens. `
      : `Not allowed: the head holds only ${percent(share)} of the tokens. `)
      + (top ? `Your best so far: ${say(top[0])} at ${whole(top[1][0])} and ${whole(top[1][1])}.` : '');
    stacked(made, top, say);
    listed(made);
  }

  function legend() {                           // the map's colours, and how many times slower they are
    const left = MAP.left, long = wide(), slowest = Math.exp(range);
    set(scale, {width, height: 42}); scale.replaceChildren();
    for (let i = 0; i < SHADES; i++)
      svg('rect', {x: left + i * long / SHADES, y: 8, width: long / SHADES + 0.5, height: 10, fill: `rgb(${shade(i / SHADES).map(Math.round)})`}, scale);
    svg('text', {x: left, y: 34}, scale, 'fastest');
    svg('text', {x: left + long, y: 34, 'text-anchor': 'end'}, scale, `${digits(slowest, 2)} times slower`);
    if (slowest > 4) {
      const x = left + Math.sqrt(Math.log(2) / range) * long;
      svg('line', {x1: x, x2: x, y1: 8, y2: 22, class: 'tick'}, scale);
      if (long > 220) svg('text', {x, y: 34, 'text-anchor': 'middle'}, scale, '2');
    }
  }

  function beside(text, px, py) {               // at the side of the star where the ring is not
    const box = node => node.getBoundingClientRect(), taken = [box(nodes.ring)];
    for (const [dx, dy, anchor] of [[16, -8, 'start'], [16, 20, 'start'], [-16, -8, 'end'], [-16, 20, 'end'], [16, 34, 'start']]) {
      set(text, {x: px + dx, y: py + dy, 'text-anchor': anchor});
      const own = box(text);
      if (!taken.some(t => own.left < t.right && t.left < own.right && own.top < t.bottom && t.top < own.bottom)) return;
    }
  }

  function stacked(made, top, say) {
    const room = Math.max(220, told.clientWidth), rows = [[fair(state.cuts) ? 'now' : 'now, not allowed', made]];
    if (top) rows.push(['your best', timed(top[1])]);
    if (state.plan.length === 2) rows.push(['planner', timed(state.plan)]);
    first = Math.max(first || 1.4 * made.seconds, ...rows.map(([, shown]) => 1.02 * shown.seconds));  // one scale, as long as all fits
    set(bars, {width: room, height: 38 * rows.length});
    bars.replaceChildren();
    rows.forEach(([name, shown], row) => {
      svg('text', {x: 0, y: 38 * row + 12, class: 'strong'}, bars, `${name}: ${say(shown.seconds)}`);
      let x = 0;
      const part = (kind, seconds) => {
        const long = Math.max(0, Math.min(seconds / first * room, room - x));
        svg('rect', {x, y: 38 * row + 17, width: long, height: 13, class: `bar ${kind}`}, bars); x += long;
      };
      shown.clusters.forEach((cluster, i) => part(`c${i}`, cluster.seconds));
      part('sorting', shown.sorting);
    });
  }

  function listed(made) {
    const edges = [0, ...state.cuts, words.n];
    clusters.replaceChildren();
    made.clusters.forEach((cluster, i) => {
      const item = html('div', {role: 'listitem', class: `cluster c${i}`}, clusters), from = edges[i] + 1, to = edges[i + 1];
      html('strong', {}, item, i ? `tail ${i}` : 'head');
      item.append(` ${whole(cluster.size)} ${cluster.size === 1 ? 'word' : 'words'}, ${percent(cluster.share)} of tokens, width ${whole(cluster.width)}`);
      const seen = [1 / 4, 3 / 4].map(part => words.word(Math.round(from * (to / from) ** part))?.word).filter((w, at, all) => w && all.indexOf(w) === at);
      if (seen.length) { item.append(': '); html('em', {}, item, seen.join(' … ')); }
    });
    if (made.sorting) html('div', {role: 'listitem', class: 'cluster sorting'}, clusters, 'sorting the tokens by cluster');
  }

  function choose() {
    words = makeWords(state.text);
    cost = {...makeCost(state.cost), counted: state.cost.counted};
    first = 0; passed = [];
    arrange();
  }
  const observer = new ResizeObserver(() => { if (place.clientWidth && Math.abs(place.clientWidth - width) > 1) arrange(); });
  choose();
  observer.observe(place);
  return {
    state,
    show(next) {
      const others = ['text', 'cost', 'd', 'batch'].some(name => name in next);
      Object.assign(state, next);
      if ('trail' in next) { lit = state.trail.map(([a, b]) => [X(a), Y(b)]); passed = []; first = 0; }
      if (others) choose(); else draw();
    },
    destroy() { observer.disconnect(); cancelAnimationFrame(frame); clearTimeout(timer); root.replaceChildren(); },
  };
}

function render({model, el}) {
  const names = ['text', 'cost', 'd', 'batch', 'cuts', 'floor', 'trail', 'plan'];
  const put = (name, value) => { model.set(name, value); model.save_changes(); };
  const panel = mountGame(el, Object.fromEntries(names.map(name => [name, model.get(name)])),
    {moved: cuts => put('cuts', cuts), tried: trail => put('trail', trail)});
  let due = null;                               // words, sizes and cutoffs arrive together and belong together
  const heard = names.map(name => [`change:${name}`, () => {
    due ??= (queueMicrotask(() => { const next = due; due = null; panel.show(next); }), {});
    const value = model.get(name);
    if (JSON.stringify(panel.state[name]) !== JSON.stringify(value)) due[name] = value;
  }]);
  for (const [event, act] of heard) model.on(event, act);
  return () => { for (const [event, act] of heard) model.off(event, act); panel.destroy(); };
}
export default {render};
