// Nodes of the page, and numbers for people.

const NS = 'http://www.w3.org/2000/svg';

const filled = (node, attributes, parent, text) => {
  for (const name in attributes) node.setAttribute(name, attributes[name]);
  if (text !== undefined) node.textContent = text;
  parent?.append(node);
  return node;
};
export const svg = (tag, attributes, parent, text) => filled(document.createElementNS(NS, tag), attributes, parent, text);
export const html = (tag, attributes, parent, text) => filled(document.createElement(tag), attributes, parent, text);
export const set = (node, attributes) => filled(node, attributes);

export const whole = n => Math.round(n).toLocaleString('en');
export const ordinal = n => {
  const end = n % 100 > 10 && n % 100 < 14 ? 'th' : ['th', 'st', 'nd', 'rd'][n % 10] ?? 'th';
  return whole(n) + end;
};
/** "the most frequent word", "the 22nd most frequent word". */
export const mostFrequent = n => `the ${n === 1 ? '' : `${ordinal(n)} `}most frequent word`;
/** A typed text with the apostrophes that word lists have. */
export const straight = text => text.replace(/[’‘ʼ＇]/g, "'");
/** The first of some texts that is no wider than `room` in this node of an SVG; the last where none is. */
export const fitted = (node, texts, room) => {
  for (const text of texts) { node.textContent = text; if (node.getComputedTextLength() <= room) break; }
  return node;
};
export const counted = (n, one, many = `${one}s`) => `${whole(n)} ${n === 1 ? one : many}`;
export const digits = (x, most = 3) => {
  if (x === 0) return '0';
  const places = Math.max(0, most - 1 - Math.floor(Math.log10(Math.abs(x))));
  return x.toLocaleString('en', {minimumFractionDigits: 0, maximumFractionDigits: Math.min(places, 12)});
};
export const percent = share => {
  if (share > 0.9995 && share < 1) return share < 0.99999 ? `${(100 * share).toFixed(3)} %` : 'nearly 100 %';
  return share >= 0.01 || share === 0 ? `${(100 * share).toFixed(1)} %` : `${(100 * share).toPrecision(2) * 1} %`;
};
export const times = ratio => (ratio >= 99.5 ? whole(ratio) : ratio.toFixed(1));
export const secondsText = seconds => (seconds >= 1 ? `${digits(seconds)} s`
  : seconds >= 1e-3 ? `${digits(seconds * 1e3)} ms` : `${digits(seconds * 1e6)} µs`);
export const sub = i => [...String(i)].map(c => '₀₁₂₃₄₅₆₇₈₉'[c]).join('');
