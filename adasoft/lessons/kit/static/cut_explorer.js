// The cut explorer: words with handles at the cutoffs and, right under them, what the layer costs. All of it is
// computed in the page, so that a drag redraws within a frame. Used by the notebooks and by the page without installing.
import {layer, makeCost, makeWords, pricedLayer} from './cost.js';
import {arrange, draw, frame} from './cut_chart.js';
import {drawControls, makeControls} from './cut_controls.js';
import {counted, digits, html, percent, secondsText, sub, times, whole} from './dom.js';

const PLACES = 160;                           // points of the curve
const AT_BOTTOM = 0.02;                       // how far from the lowest place, as a logarithm, one is still at it

/** The unit of a cost model, and seconds of it as text. */
function speaker(counted, batch) {
  const scale = counted ? (counted === 'words' ? batch : batch * 1e6) : 1, unit = counted === 'words' ? '' : ' million';
  return {
    counted, scale,
    unit: counted ? (counted === 'words' ? 'words scored per token' : 'multiplications per token') : 'per step',
    per: counted ? 'per token' : `per step of ${whole(batch)} tokens`,
    brief: seconds => (counted ? `${digits(seconds / scale)}${unit}` : secondsText(seconds)),
  };
}

/** What cutoff i may be, between its neighbours. */
export const limits = ({state, words}, i) =>
  [i > 0 ? state.cuts[i - 1] + 1 : 1, i + 1 < state.cuts.length ? state.cuts[i + 1] - 1 : words.n - 1];

/** The layer at these cutoffs; where the kernel computes its times, those of the cutoffs that it last heard of. */
function price(view, cuts) {
  const {words, cost, given} = view;
  return cost ? layer(words, cost, cuts, given) : pricedLayer(words, given.priced, cuts, given);
}

/** Total, rising and falling part at each place of cutoff i, the others held: {rank, total, rises, falls}. */
function samples(view, i) {
  const {state, given} = view, others = state.cuts.filter((_, at) => at !== i);
  if (!view.cost) return given.priced?.active === i ? given.priced.curve ?? [] : [];
  const key = [i, view.made, ...others].join();
  if (view.sampled.key !== key) {
    const [low, high] = limits(view, i), ranks = new Set();
    for (let step = 0; step <= PLACES; step++) ranks.add(Math.round(low * (high / low) ** (step / PLACES)));
    view.sampled = {key, points: [...ranks].map(rank => {
      const {seconds, clusters, sorting} = price(view, state.cuts.map((cut, at) => (at === i ? rank : cut)));
      return {rank, total: seconds, rises: clusters[i].seconds, falls: clusters[i + 1].seconds,
              parts: [...clusters.map(cluster => cluster.seconds), ...(sorting > 0 ? [sorting] : [])]};
    })};
  }
  return view.sampled.points;
}

/**
 * Where the curve of cutoff i is lowest, of the places that a plan may take: the star's place where it stands on this
 * curve, else to the word, as the curve has no more than some hundred points.
 */
function bottomOf(view, i) {
  const {state, given, words} = view, {plan} = given, beside = (_, at) => at !== i;
  if (plan?.length === state.cuts.length && String(plan.filter(beside)) === String(state.cuts.filter(beside))) return plan[i];
  const points = samples(view, i), {sampled} = view;
  if (sampled.bottom) return sampled.bottom;
  const total = rank => price(view, state.cuts.map((cut, at) => (at === i ? rank : cut))).seconds;
  const may = rank => i > 0 || words.cumulative(rank) >= (given.floor ?? 0), least = (best, at) => (may(points[at].rank) && (best < 0 || points[at].total < points[best].total) ? at : best);
  const lowest = [...points.keys()].reduce(least, -1);
  if (lowest < 0) return 0;
  let from = points[Math.max(0, lowest - 1)].rank, to = points[Math.min(points.length - 1, lowest + 1)].rank;
  while (to - from > 2) {                       // between two points the curve has one low place
    const third = Math.max(1, Math.floor((to - from) / 3)), [a, b] = [from + third, to - third];
    if (may(a) && total(a) <= total(b)) to = b; else from = a;
  }
  sampled.bottom = Math.round((from + to) / 2);
  return sampled.bottom;
}

/** The result in one line: what is bold, and the rest. */
function resultOf({state, words, found, say}) {
  if (state.hidden) {
    const share = 100 * words.cumulative(state.cuts[0] ?? words.n);
    return [whole(state.cuts[0] ?? words.n), ` of ${whole(words.n)} words in the head: `
      + `${share < 99 ? Math.round(share) : Math.floor(10 * share) / 10} of 100 tokens are answered by the head alone.`];
  }
  if (!state.cuts.length) return ['No cutoffs', `: a full softmax over all ${whole(words.n)} words, ${say.brief(found.full)} ${say.unit}.`];
  const ratio = found.full / found.seconds, alike = Math.abs(Math.log(ratio)) < 0.02;
  const [more, less] = say.counted ? ['more', 'fewer'] : ['slower', 'faster'];
  const things = say.counted === 'words' ? ' words' : say.counted ? ' multiplications' : '';
  const bold = alike ? (say.counted ? `As many${things}` : 'As fast')
    : ratio >= 1 ? `${times(ratio)} times ${less}${things}` : `${times(1 / ratio)} times ${more}${things}`;
  const late = found.waiting ? ' (The kernel is still computing.)' : '';
  const [own, full] = [say.brief(found.seconds), say.brief(found.full)];
  return [bold, ` ${alike ? 'as' : 'than'} the full softmax: ${own}${own === full ? '' : ` instead of ${full}`} ${say.per}.${late}`];
}

/** So few numbers per word tell words badly apart: the width of the narrowest tails. */
export const FEW = 8;

/** What the speed costs: numbers that describe an average word of the text, and what is wrong with the plan, or ''. */
function priceOf({state, found, given}) {
  if (state.hidden || !state.cuts.length) return null;
  const [head, ...tails] = found.clusters, mean = found.clusters.reduce((sum, one) => sum + one.share * one.width, 0);
  const narrow = tails.filter(tail => tail.width <= FEW && tail.width < given.d).length, tiny = tails.findIndex(tail => tail.size < 10);
  const wrong = [
    found.seconds > 1.02 * found.full ? 'a full softmax is cheaper' : '',
    head.share < (given.floor ?? 0) ? `only ${percent(head.share)} of tokens in the head` : '',
    narrow ? `${narrow === 1 ? 'a tail has' : `${narrow} tails have`} only ${FEW} numbers for each word` : '',
    tiny >= 0 ? `tail ${tiny + 1} holds ${counted(tails[tiny].size, 'word')}, so it hardly pays` : '',
  ].filter(Boolean).join('; ');
  return {mean: digits(mean), free: digits(mean) === digits(given.d), d: whole(given.d), part: mean / given.d, wrong};
}

/** Where the curve leads from here: what the next words would cost in front of the cutoff and save behind it. */
function balanceOf(view) {
  const {state, found, say, words, given} = view, i = state.active, cut = state.cuts[i], [low, high] = limits(view, i);
  const step = Math.max(1, Math.round(cut / 10)), by = Math.min(step, high - cut);
  if (!view.cost || by < 1) return '';
  const moved = rank => price(view, state.cuts.map((one, at) => (at === i ? rank : one)));
  const more = moved(cut + by), less = moved(Math.max(low, cut - by)), name = at => (at ? `tail ${at}` : 'the head');
  const spent = Math.max(0, more.clusters[i].seconds - found.clusters[i].seconds), flat = 0.003 * found.seconds;
  const saved = Math.max(0, found.clusters[i + 1].seconds - more.clusters[i + 1].seconds), little = seconds => seconds < 1e-3 * found.seconds;
  const unit = seconds => (little(seconds) ? 'almost nothing' : say.brief(seconds));
  const next = `${whole(by)} more ${by === 1 ? 'word' : 'words'} would cost ${unit(spent)} in ${name(i)} and save `
    + `${unit(saved)} in ${i || state.cuts.length > 1 ? name(i + 1) : 'the tail'}`, told = `Here ${next}.`;
  const kept = rank => (i || !given.floor ? 1 : words.cumulative(rank)), floor = `less than ${Math.round(100 * given.floor)} % of the tokens`;
  const cheaper = say.counted ? 'cheaper' : 'faster', worse = say.counted ? 'more expensive' : 'slower';
  // on either side nothing to gain: a bottom only where the whole curve has no lower place, and a plan may lie
  if (more.seconds > found.seconds - flat && less.seconds > found.seconds - flat) {
    const lowest = samples(view, i).reduce((least, p) => (p.total < least.total ? p : least)), higher = found.seconds > 1.01 * lowest.total;
    // at the right end only few words are left to move
    if (little(spent) && little(saved)) return by < step && higher ? ' Far too far right: hardly a word is left for the tail.' : ' Flat: here it hardly matters where you cut.';
    if (kept(cut) < given.floor) return ` Level here, but with ${floor} in the head.`;
    const bottom = bottomOf(view, i), side = bottom < cut ? 'left' : 'right', which = state.cuts.length > 1 ? `the bottom of the curve of c${sub(i + 1)}` : 'the bottom';
    if (higher && kept(lowest.rank) >= given.floor)
      return ` Level here, but it is lower further ${lowest.rank < cut ? 'left' : 'right'}. ${told}`;
    if (Math.abs(Math.log(cut / bottom)) > AT_BOTTOM) return ` Near ${which}, which lies a little further ${side}: the curve is flat here. ${told}`;
    // a sum of two slopes has no corner, a machine has: below some size, its products get no faster
    if (little(found.clusters[i].seconds - less.clusters[i].seconds) && spent > 2 * saved)
      return ` This is ${which}, a corner: with fewer words ${name(i)} gets no ${cheaper}, with more it gets ${worse}.`;
    return ` This is ${which}: ${next}.`;
  }
  if (less.seconds < more.seconds && kept(Math.max(low, cut - by)) < given.floor)
    return kept(cut) < given.floor ? ` Fewer words would be ${cheaper} still, but already ${floor} are in the head.`
      : ` Fewer words would be ${cheaper} still, but leave ${floor} in the head.`;
  const moving = state.cuts.length > 1 ? `c${sub(i + 1)}` : 'The cutoff';
  return ` ${moving} is too far ${more.seconds < less.seconds ? 'left' : 'right'}. ${told}`;
}

/** What the reader can do, in one line. */
function instructionOf(view) {
  const {state, given} = view;
  if (state.hidden) return 'Drag the handle to where you would cut: the words on its left form the head, all others a tail. Then see what your cut costs.';
  if (!state.cuts.length) return 'Without a cutoff, every token is scored against all words. Choose a number of cutoffs, then drag.';
  const what = state.cuts.length > 1 ? 'a handle' : 'the handle';
  if (view.been && view.been.low === view.been.high) return `Drag ${what}, and find the cutoff with the lowest total. The curve appears where you have been.`;
  return given.cost.kind === 'kernel'
    ? `Drag ${what}. This cost model is your own, so the kernel computes it and the times follow a moment later.`
    : `${state.moved && state.cuts.length === 1 ? '' : `Drag ${what}${state.cuts.length > 1 ? `; the curve moves c${sub(state.active + 1)} alone` : ''}.`}${balanceOf(view)}`.trim();
}

function drawPrice(line, found) {
  line.replaceChildren();
  line.hidden = !found;
  if (!found) return;
  line.append(found.free ? 'No price: ' : 'The price: on average ');
  html('strong', {}, line, `${found.mean} numbers`);
  html('span', {class: 'scale', 'aria-hidden': true, style: `--part: ${(100 * found.part).toFixed(1)}%`}, line);
  line.append(` describe a token’s word${found.free ? ', as in a full softmax' : `, instead of ${found.d}`}.`);
  if (found.wrong) { line.append(' '); html('span', {class: 'warning'}, line, `Careful: ${found.wrong}.`); }
}

/** Draws everything once the state has changed. */
function drawAll(view) {
  const {state, parts} = view;
  view.found = price(view, state.cuts);
  draw(view);
  parts.instruction.textContent = instructionOf(view);
  const [bold, rest] = resultOf(view);
  parts.result.replaceChildren();
  html('strong', {}, parts.result, bold);
  parts.result.append(rest);
  drawPrice(parts.price, priceOf(view));
  drawControls(view);
  view.on.drawn?.(view.found);
  clearTimeout(view.timer);
  view.timer = setTimeout(() => {
    if (parts.spoken.textContent !== parts.result.textContent) parts.spoken.textContent = parts.result.textContent;
  }, 500);
}

/** What changes the state: one cutoff, all of them, or which of them the curve is about. */
function moves(view) {
  const {state, on, tell} = view;
  const redraw = () => { if (!view.frame) view.frame = requestAnimationFrame(() => { view.frame = 0; drawAll(view); }); };
  const moved = () => { tell(''); on.cuts?.([...state.cuts], state.active); redraw(); };
  return {
    redraw,
    activate(i) {
      if (i === state.active) return;
      state.active = i; view.rescale = true; on.cuts?.([...state.cuts], i); redraw();
    },
    setCut(i, value) {
      const [low, high] = limits(view, i), rank = Math.round(Math.min(high, Math.max(low, value)));
      if (i !== state.active) { state.active = i; view.rescale = true; }
      if (rank !== state.cuts[i]) { state.cuts[i] = rank; state.moved = true; moved(); } else redraw();
    },
    setCuts(cuts) {
      state.cuts = cuts.map(c => Math.min(Math.max(1, Math.round(c)), view.words.n - 1)).filter((c, i, all) => !i || c > all[i - 1]);
      state.active = Math.min(state.active, Math.max(0, state.cuts.length - 1));
      state.began = null; view.rescale = true; moved();
    },
    setTails(many) {
      const cuts = state.cuts.slice(0, many), n = view.words.n;
      while (cuts.length < many) {                      // in the middle of the widest tail, on the log scale
        const edges = [...cuts.length ? cuts : [1], n];
        let at = 0;
        for (let i = 1; i + 1 < edges.length; i++) if (edges[i + 1] / edges[i] >= edges[at + 1] / edges[at]) at = i;
        const [low, high] = [edges[at], edges[at + 1]];
        if (low + 1 >= high) { tell(`There is no room for ${many} cutoffs: the last is ${whole(edges.at(-2))} of ${whole(n)} words.`, true); redraw(); return; }
        cuts.splice(cuts.length ? at + 1 : 0, 0, Math.min(Math.max(Math.round(Math.sqrt(low * high)), low + 1), high - 1));
      }
      view.setCuts(cuts);
    },
    begin() { state.began = {cuts: [...state.cuts], made: view.made}; },   // a ghost stays where a gesture began
    end() { on.end?.(); },
  };
}

/**
 * Put an explorer into `root`.
 *
 * `given`: {words, cost, cuts, active, d, batch, widths or ratio, objective, most, choices, buttons, note, guess, plan,
 * priced, ask, trace, floor}. `words` and `cost` as in cost.js; a cost may say `counted`: 'words' or 'multiplications', and of the kind
 * 'kernel' it comes with `priced`. `most`: cutoffs at most, offered from 0 on if more than 1. `choices` and `buttons`: see
 * cut_controls.js. `guess`: {words} or {times}; `plan`: cutoffs. `ask`: hide the costs until the reader has placed a cut. `trace`: draw the curve
 * only where the handle has been, until there is a plan. `floor`: share of the tokens that plans keep in the head.
 * `on`: {cuts(cuts, active), end(), choose(key, value), press(key), reveal(), drawn(layer)}.
 *
 * Returns {state, show(given), tell(text), refuse(key, text), place(cuts), busy(), redraw(), destroy()}.
 */
export function mount(root, given, on = {}) {
  root.classList.add('adasoft-cut');
  const state = {cuts: [], active: 0, hidden: Boolean(given.ask), moved: false, guess: null, began: null};
  const view = {root, on, state, given: {}, made: 0, drag: null, frame: 0, timer: 0, sampled: {}, rescale: true};
  view.parts = frame(view);
  view.tell = (text, refused = false) => {
    view.parts.note.textContent = text;
    view.parts.note.setAttribute('role', refused ? 'alert' : 'status');
  };
  Object.assign(view, moves(view), {samples: i => samples(view, i), limits: i => limits(view, i)});
  /** What a guess was about: it is drawn only where its cost is still the one that was guessed. */
  view.about = () => [view.words.name, view.words.n, view.given.cost.name, view.given.d, view.given.batch].join();
  makeControls(view);
  view.reveal = () => {
    state.hidden = false;
    if (state.moved) state.guess = {words: state.cuts[0], seconds: price(view, state.cuts).seconds, number: state.cuts.length, about: view.about()};
    view.arranged = ''; drawAll(view); view.parts.drawing.querySelectorAll('.handle')[state.active]?.focus();
    on.reveal?.();
  };

  function show(next) {
    const before = view.given;
    view.given = {...before, ...next};
    if (next.words && next.words !== before.words) { view.words = makeWords(next.words); view.arranged = ''; }
    if (next.cost && next.cost !== before.cost) view.cost = next.cost.kind === 'kernel' ? null : makeCost(next.cost);
    view.made += 1; view.rescale = true;
    view.say = speaker(view.given.cost.counted, view.given.batch);
    if (next.note !== undefined && next.note !== before.note) view.tell(next.note);
    if (next.guess) state.guess = next.guess;
    if (next.cuts && view.drag === null) { state.cuts = [...next.cuts]; state.active = next.active ?? 0; }
    state.cuts = state.cuts.filter(c => c < view.words.n);
    state.active = Math.min(state.active, Math.max(0, state.cuts.length - 1));
    drawAll(view);
  }
  const observer = new ResizeObserver(() => {
    const {clientWidth} = view.parts.charts;
    if (clientWidth && Math.abs(clientWidth - view.width) > 1 && view.drag === null) { view.arranged = ''; drawAll(view); }
  });
  show(given);
  observer.observe(view.parts.charts);
  return {
    state, show, tell: view.tell, place: view.setCuts, redraw: () => drawAll(view),
    refuse(key, text) { view.refuse(key, text); },
    reveal() { if (state.hidden) view.reveal(); },
    price: cuts => price(view, cuts).seconds,
    layer: cuts => price(view, cuts),
    say: seconds => `${view.say.brief(seconds)} ${view.say.unit}`,
    brief: seconds => view.say.brief(seconds),
    busy: () => view.drag !== null,
    destroy() { observer.disconnect(); cancelAnimationFrame(view.frame); clearTimeout(view.timer); root.replaceChildren(); },
  };
}
