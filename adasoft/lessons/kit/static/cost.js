// What a layer costs, computed in the page: the shares of words and the cost models of adasoft/cost.py, term by term.
// No DOM here. A test holds every function against Python on drawn cases.

const NEAR = 0.1;                             // how far from its rank an example may lie, as a share of it
const PRINTED = /^[\p{L}\p{M}\p{N}'’._-]+$/u; // a font may lack signs and emoji: they would stand there as empty boxes

/**
 * Words in falling order: `runs` of [count, number of words with that count], and some of the words by rank; `unfit`:
 * places in `ranks` whose words are not shown as examples (kit/presentable.py).
 */
export function makeWords({name, runs, ranks = [], words = [], unfit = []}) {
  const ends = [], sums = [];
  let n = 0, sum = 0, seen = 0;              // `seen`: how many words have a count above 0
  for (const [count, many] of runs) { n += many; sum += count * many; ends.push(n); sums.push(sum); if (count) seen = n; }
  const total = sum;
  const run = rank => {                       // the run that holds a rank, counted from 1
    let low = 0, high = ends.length - 1;
    while (low < high) { const middle = (low + high) >> 1; if (ends[middle] >= rank) high = middle; else low = middle + 1; }
    return low;
  };
  /** Share of the tokens that the k most frequent words make up. */
  const cumulative = k => {
    if (k <= 0) return 0;
    const at = run(Math.min(k, n));
    return (sums[at] - (ends[at] - Math.min(k, n)) * runs[at][0]) / total;
  };
  const share = rank => runs[run(rank)][0] / total;
  const hidden = new Set(unfit), known = at => (at >= 0 && at < ranks.length ? {rank: ranks[at], word: words[at], at} : null);
  /** The place of the last known word up to a rank. */
  const placeOf = rank => {
    let low = 0, high = ranks.length - 1;
    while (low < high) { const middle = (low + high + 1) >> 1; if (ranks[middle] <= rank) low = middle; else high = middle - 1; }
    return low;
  };
  /** From a place on in one direction, the first word that is fit to show; where none is near the word there, if it can be printed. */
  const fit = (at, by) => {
    const first = known(at);
    for (let one = at; first && known(one) && Math.abs(ranks[one] - first.rank) <= Math.max(3, NEAR * first.rank); one += by)
      if (!hidden.has(one)) return known(one);
    return first && PRINTED.test(first.word) ? first : null;
  };
  /** The words beside a cut after `rank` words: the last one before it and the first one behind it, or null. */
  const around = rank => {
    if (!ranks.length) return {last: null, first: null};
    const at = placeOf(rank);
    return {last: fit(at, -1), first: fit(at + 1, 1)};
  };
  /** The word at a rank, or the nearest one that is known and fit: {rank, word}; null where no words are known. */
  const word = rank => {
    const {last, first} = around(rank);
    if (!first || !last) return last ?? first;
    if (hidden.has(first.at) !== hidden.has(last.at)) return hidden.has(last.at) ? first : last;
    return first.rank - rank < rank - last.rank ? first : last;
  };
  return {name, n, seen, total, cumulative, share, around, word};
}

const BEYOND_BYTES = 2 ** 25;

const BOUND_ROWS = 32, FEW_LOGITS = 2 ** 16;   // as in adasoft/tuning.py

function measured({coefficients, flat, itemsize, onGpu}) {
  const vectors = coefficients.decode.vector.some(number => number);
  /** `normalised`: 'head' or 'full' where all logits are. */
  const product = (k, rows, d, objective, normalised = null) => {
    const {product: a, vector: v} = coefficients[objective], kd = k * d;
    if (objective === 'decode' && rows === 1 && vectors) return v[0] + v[1] * kd + v[2] * k + (normalised ? v[3] * k : 0);
    const perRow = a[1] * kd + a[2] * k + a[4] * d;
    const fixed = a[0] + a[3] * kd + a[5] * Math.max(kd - BEYOND_BYTES / itemsize, 0);
    return Math.max(flat[objective], fixed + perRow * rows)
      + (normalised ? coefficients[objective][normalised][0] * rows * k : 0);
  };
  const projection = (rows, d, width, objective) => {
    const a = coefficients[objective].projection;
    return a[0] + a[1] * rows * (d * width) + a[2] * rows * (d + width) + a[3] * (d * width);
  };
  const sorting = (batch, d, objective) => {
    const a = coefficients[objective].rows;
    return a[0] + a[1] * batch + a[2] * batch * d;
  };
  const tail = (size, share, batch, d, width, objective, opened = 1) => {
    if (objective === 'train')
      return product(size, share * batch, width, objective) + projection(share * batch, d, width, objective);
    if (opened === null)                      // nothing is searched: all words are computed
      return product(size, batch, width, objective, 'head') + projection(batch, d, width, objective);
    const some = opened >= 1 ? 1 : -Math.expm1(batch * Math.log1p(-opened)), rows = some ? opened * batch / some : 0;
    const a = coefficients[objective].search, weights = size * (onGpu || batch >= BOUND_ROWS ? width : 0);
    return some * product(size, rows, width, objective)
      + a[0] + a[1] * batch + a[2] * weights + a[3] * (weights * batch) + projection(batch, d, width, objective);
  };
  const whole = (n, batch, d, objective) => product(n, batch, d, objective, 'full');
  const head = (k, batch, d, objective) => product(k, batch, d, objective, 'head');
  const searched = (n, batch) => onGpu || n * batch > FEW_LOGITS;
  return {product, projection, sorting, head, tail, whole, searched};
}

const SURE = 40;                              // tokens expected from which 1 - exp(-tokens) is 1

function paper({c, lam, k0, batch0, form}) {
  const product = (k, rows) => Math.max(c + lam * k0 * batch0, c + lam * (k * rows));
  const tail = (size, share, batch, d, width, objective, opened = 1) => {
    const p = objective === 'decode' ? opened ?? 1 : share;
    if (form === 'first') return p * product(size, batch);
    if (form === 'last') return product(size, p * batch);
    const q = p * batch < SURE ? -Math.expm1(batch * Math.log1p(-Math.min(p, 1 - 2 ** -53))) : 1;
    return Math.max(q * (c + lam * k0 * batch0), q * c + lam * (size * p) * batch);
  };
  return {product, head: product, tail, whole: product, projection: () => 0, sorting: () => 0, searched: () => true};
}

/** A cost model of adasoft/cost.py: {kind: 'measured' | 'paper', name, ...its numbers}. Seconds. */
export function makeCost(given) {
  const model = given.kind === 'paper' ? paper(given) : measured(given);
  return {name: given.name, ...model};
}

/** Width of tail i, counted from 1: d / ratio^i, rounded down, at least 8, and never above d. */
export const widths = (d, tails, ratio = 4) =>
  Array.from({length: tails}, (_, i) => Math.min(d, Math.max(Math.floor(d / ratio ** (i + 1)), 8)));

/**
 * A layer with these cutoffs, V left out: {seconds, full, clusters: [{size, share, width, seconds}], sorting}.
 *
 * `widths`: of tail 1, tail 2 ..., where they follow another rule than `ratio`.
 */
export function layer(words, cost, cutoffs, {d, batch, ratio = 4, widths: own = null, objective = 'train'}) {
  const edges = [...cutoffs, words.n], tails = cutoffs.length;
  const full = cost.whole(words.n, batch, d, objective);
  if (!tails) return {seconds: full, full, sorting: 0, clusters: [{size: words.n, share: 1, width: d, seconds: full}]};
  const clusters = [{size: edges[0], share: words.cumulative(edges[0]), width: d,
                     seconds: cost.head(edges[0] + tails, batch, d, objective)}];
  const sorting = cost.sorting(batch, d, objective);
  let seconds = sorting + clusters[0].seconds;
  (own?.slice(0, tails) ?? widths(d, tails, ratio)).forEach((width, i) => {
    const size = edges[i + 1] - edges[i], share = words.cumulative(edges[i + 1]) - words.cumulative(edges[i]);
    const opened = objective === 'decode' && !cost.searched(words.n, batch) ? null : 1;
    const spent = cost.tail(size, share, batch, d, width, objective, opened);
    clusters.push({size, share, width, seconds: spent});
    seconds += spent;
  });
  return {seconds, full, sorting, clusters};
}

const FREE = {sorting: () => 0, head: () => 0, tail: () => 0, whole: () => 0, searched: () => true};

/**
 * The same where the kernel has computed the times, because their formula is not known here: `priced` is {cuts, seconds,
 * full, clusters: [seconds, ...], sorting}, or null. `waiting`: they are of other cutoffs still.
 */
export function pricedLayer(words, priced, cutoffs, settings) {
  const made = layer(words, FREE, cutoffs, settings);
  if (!priced) return {...made, waiting: true};
  made.clusters.forEach((cluster, i) => { cluster.seconds = priced.clusters[i] ?? 0; });
  const {seconds, full, sorting} = priced;
  return {...made, seconds, full, sorting, waiting: String(priced.cuts) !== String(cutoffs)};
}
