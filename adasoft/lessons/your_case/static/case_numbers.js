// What a decision of a case costs, and its numbers as text; nothing here touches the page.
import {layer} from '../../kit/static/cost.js';

export const MOST_TAILS = 4, STEP = 8;               // widths are multiples of STEP
export const SWEEP = [0.3, 0.99], SWEEPS = 80;      // the heads that Play goes through

// ------------------------------------------------------------------ what a decision costs

/**
 * What `mountCase` begins with: `given` is as it was when the cell ran; a page that is opened again before that has the decision
 * in `found`, and the three lines in `texts`.
 */
export const begun = (given, found, texts) => ({...given, decision: found?.yours ?? null, texts: texts ?? {}});
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

/** The time of each head that Play goes through, the tails' widths as they are: [{rank, seconds}]. */
export function curve(words, cost, given, widths) {
  return Array.from({length: SWEEPS + 1}, (_, i) => {
    const rank = Math.min(words.n - MOST_TAILS, wordsForShare(words, SWEEP[0] + (SWEEP[1] - SWEEP[0]) * i / SWEEPS));
    return {rank, seconds: outcome(words, cost, given, spread(rank, widths.length, words.n), widths).seconds};
  });
}
/** How many numbers a word has on average, each word counted once: [{share, numbers}] by cluster, and their mean. */
export function byWords(n, d, cuts, widths) {
  const edges = [0, ...cuts, n], made = [d, ...widths].map((numbers, i) => ({share: (edges[i + 1] - edges[i]) / n, numbers}));
  return {clusters: made, mean: made.reduce((sum, c) => sum + c.share * c.numbers, 0)};
}
/** {numbers, share}: the fewest numbers that a word has, and the share of all words that have so few. */
export function fewest(n, d, cuts, widths) {
  const edges = [0, ...cuts, n], all = [d, ...widths], numbers = Math.min(...all);
  return {numbers, share: all.reduce((sum, w, i) => sum + (w === numbers ? edges[i + 1] - edges[i] : 0), 0) / n};
}

// ------------------------------------------------------------------ where labels go

/** Whether two boxes {left, right, top, bottom} do not meet. */
export const free = (box, mark) => box.right < mark.left || box.left > mark.right || box.bottom < mark.top || box.top > mark.bottom;
/** The first of some boxes that meets none of the marks; the first where all meet one. */
export const clear = (boxes, marks) => boxes.find(box => marks.every(mark => free(box, mark))) ?? boxes[0];

// ------------------------------------------------------------------ as text

/** What is asked before a decision; empty where nothing is: `kept`, `before`: its limits that are kept, and those of the decision that it replaces, or null. */
export function asks(kept, before) {
  const count = kept.filter(Boolean).length;
  if (count === 3) return '';
  const few = `This keeps ${count ? `only ${count}` : 'none'} of the 3 limits`;
  if (!before) return `${few}, and deciding shows the search’s answer. Go on turning, or decide all the same.`;
  return before.every(Boolean) ? `${few}; your decision so far keeps all three. Replace it all the same?` : '';
}

const fixed = (value, fine, more) => value.toFixed(Math.min(6, fine + more));
export const timeText = (s, more = 0) => (s >= 1 ? `${fixed(s, 2, more)} s` : s >= 0.1 ? `${fixed(s * 1e3, 0, more)} ms`
  : s >= 1e-2 ? `${fixed(s * 1e3, 1, more)} ms` : `${fixed(s * 1e3, 2, more)} ms`);
export const bytesText = (b, more = 0) => (b >= 1e9 ? `${fixed(b / 1e9, 2, more)} GB` : b >= 1e7 ? `${fixed(b / 1e6, 0, more)} MB`
  : `${fixed(b / 1e6, 1, more)} MB`);
export const widthText = (numbers, more = 0) => fixed(numbers, 0, more);
/** How a value compares with the full softmax's: "3.4 times faster", "1.3 times larger", or, within 5 %, "as fast". */
export function against(full, mine, [less, more, same]) {
  const ratio = full / mine;
  return ratio > 0.95 && ratio < 1.05 ? same : ratio > 1 ? `${ratio.toFixed(1)} times ${less}` : `${(1 / ratio).toFixed(1)} times ${more}`;
}
/** A count to two digits: 16,299 as 16,000. */
export function about(n) {
  const unit = 10 ** Math.max(0, Math.floor(Math.log10(n)) - 1);
  return Math.round(n / unit) * unit;
}
/** 1, 2 and 5 times powers of ten between two values. */
export function ticks(low, high) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); 10 ** power < high; power++) {
    for (const by of [1, 2, 5]) { const value = Number(`${by}e${power}`); if (value > low && value < high) found.push(value); }
  }
  return found;
}
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
