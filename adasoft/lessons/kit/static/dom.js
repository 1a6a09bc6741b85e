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
