// The curve of the words with a handle for each cutoff: drawn, dragged, and moved by keyboard.
const NS = 'http://www.w3.org/2000/svg';
const el = (tag, at = {}, parent) => { const e = document.createElementNS(NS, tag);
  for (const k in at) e.setAttribute(k, at[k]); parent?.append(e); return e; };
const text = (s, at, parent) => { el('text', at, parent).textContent = s; };
const M = {l: 76, r: 68, t: 26, b: 46};
const SUP = '⁰¹²³⁴⁵⁶⁷⁸⁹';
const power = d => d === 0 ? '1' : '10' + (d < 0 ? '⁻' : '') + [...String(Math.abs(d))].map(c => SUP[+c]).join('');
const STEP = {ArrowRight: 1.02, ArrowUp: 1.02, ArrowLeft: 1 / 1.02, ArrowDown: 1 / 1.02, PageUp: 1.25, PageDown: 0.8};

function render({model, el: root}) {
  root.classList.add('adasoft-picker');
  const svg = el('svg', {width: '100%', role: 'group'}, root);
  let W = 700, H = model.get('height'), drag = null, offset = 0, stale = false;
  const top = () => Math.max(Math.log10(model.get('n')), 0.05);
  const yr = () => { const y = model.get('ys').map(Math.log10);
    return [Math.floor(Math.min(...y) + 1e-9), Math.max(Math.ceil(Math.max(...y)), Math.floor(Math.min(...y)) + 1)]; };
  let X, Y, P, inv;

  function scales() {
    const [y0, y1] = yr(), w = W - M.l - M.r, h = H - M.t - M.b, x1 = top();
    X = v => M.l + Math.log10(v) / x1 * w;
    Y = v => H - M.b - (Math.log10(v) - y0) / (y1 - y0) * h;
    P = p => H - M.b - p * h;
    inv = px => 10 ** ((px - M.l) / w * x1);
  }
  function limits(i) {
    const c = model.get('cuts');
    return [i > 0 ? c[i - 1] + 1 : 1, i + 1 < c.length ? c[i + 1] - 1 : model.get('n') - 1];
  }
  function setCut(i, v) {                       // keeps order and range; set() redraws at once, Python hears of it
    const c = [...model.get('cuts')], [lo, hi] = limits(i);
    v = Math.round(Math.min(hi, Math.max(lo, v)));
    if (v === c[i]) return;
    c[i] = v; stale = true; model.set('moved', i); model.set('cuts', c); model.save_changes();
  }
  function layoutAll() {
    W = Math.max(300, root.clientWidth || 700); H = model.get('height');
    svg.setAttribute('height', H); svg.setAttribute('viewBox', `0 0 ${W} ${H}`);
    svg.setAttribute('aria-label', model.get('label'));
    svg.replaceChildren(); scales();
    el('g', {class: 'bands'}, svg);
    const g = el('g', {class: 'axes', 'aria-hidden': true}, svg), [y0, y1] = yr(), bottom = H - M.b;
    for (let d = 0; d <= top(); d++) { const x = X(10 ** d);
      el('line', {x1: x, x2: x, y1: M.t, y2: bottom, class: 'grid'}, g);
      text((10 ** d).toLocaleString('en'), {x, y: bottom + 16, 'text-anchor': 'middle'}, g); }
    const every = Math.ceil((y1 - y0) / 6);
    for (let d = y0; d <= y1; d += every) { const y = Y(10 ** d);
      el('line', {x1: M.l, x2: W - M.r, y1: y, y2: y, class: 'grid'}, g);
      text(power(d), {x: M.l - 6, y: y + 4, 'text-anchor': 'end'}, g); }
    for (const p of [0, .25, .5, .75, 1])
      text(100 * p + ' %', {x: W - M.r + 6, y: P(p) + 4, class: 'mass-text'}, g);
    text('words, most frequent first', {x: (M.l + W - M.r) / 2, y: H - 8, 'text-anchor': 'middle'}, g);
    const mid = (M.t + bottom) / 2;
    text('share of tokens, each word', {x: 14, y: mid, 'text-anchor': 'middle', transform: `rotate(-90 14 ${mid})`}, g);
    const r = W - 8;
    text('all words so far (dashed)', {x: r, y: mid, 'text-anchor': 'middle', transform: `rotate(-90 ${r} ${mid})`}, g);
    const line = (ys, f) => model.get('xs').slice(0, ys.length)
      .map((x, i) => (i ? 'L' : 'M') + X(x).toFixed(1) + ',' + f(ys[i]).toFixed(1)).join('');
    el('path', {class: 'curve', d: line(model.get('ys'), Y)}, svg);
    el('path', {class: 'mass', d: line(model.get('mass'), P)}, svg);
    el('g', {class: 'mark', 'aria-hidden': true}, svg);
    model.get('cuts').forEach((c, i) => {
      const h = el('g', {class: 'handle', tabindex: 0, role: 'slider', 'data-i': i,
                         'aria-label': `cutoff ${i + 1}`, 'aria-orientation': 'horizontal'}, svg);
      el('line', {y1: M.t, y2: bottom, class: 'cut'}, h);
      el('line', {y1: M.t, y2: bottom, class: 'hit'}, h);
      el('circle', {cy: M.t + 16 + 24 * i, r: 9, class: 'knob'}, h);
      text('', {y: M.t + 20 + 24 * i, class: 'lab'}, h);
      h.addEventListener('pointerdown', e => { drag = i; h.setPointerCapture(e.pointerId); h.focus();
        offset = e.clientX - svg.getBoundingClientRect().left - X(model.get('cuts')[i]);
        e.preventDefault(); e.stopPropagation(); });
      h.addEventListener('pointermove', e => {
        if (drag === i) setCut(i, inv(e.clientX - svg.getBoundingClientRect().left - offset)); });
      const end = () => { if (drag === i) drag = null; };
      h.addEventListener('pointerup', end); h.addEventListener('pointercancel', end);
      h.addEventListener('keydown', e => {
        const f = STEP[e.key], v = model.get('cuts')[i];
        if (!f && e.key !== 'Home' && e.key !== 'End') return;
        e.preventDefault(); e.stopPropagation();               // else JupyterLab moves between cells
        setCut(i, e.key === 'Home' ? 1 : e.key === 'End' ? model.get('n')
          : f > 1 ? Math.max(v + 1, v * f) : Math.min(v - 1, v * f)); });
    });
    moveCuts();
  }
  function drawMark() {                         // above the falling curve, or below it at the right end
    const g = svg.querySelector('.mark'), [rank, share, name] = model.get('mark'); g.replaceChildren();
    if (!rank || !(share > 0)) return;
    const x = X(rank), y = Y(share), wide = 12 + 7 * name.length;
    const crossed = (from, to) => model.get('cuts').some(c => X(c) > from && X(c) < to);     // by the line of a cutoff
    const left = x + wide > W - M.r || (crossed(x, x + wide) && !crossed(x - wide, x));
    el('circle', {cx: x, cy: y, r: 5.5}, g);
    text(name, {x: left ? x - 10 : x + 10, y: left ? y + 15 : y - 8, 'text-anchor': left ? 'end' : 'start', class: 'lab'}, g);
  }
  function moveCuts() {
    const c = model.get('cuts'), n = model.get('n'), gb = svg.querySelector('.bands'), names = model.get('bands');
    if (svg.querySelectorAll('.handle').length !== c.length) return layoutAll();
    const e = [1, ...c, n], colors = model.get('colors'); gb.replaceChildren();
    for (let k = 0; k + 1 < e.length; k++) {
      const x = X(e[k]), w = Math.max(0, X(e[k + 1]) - x);
      const fill = colors[k % colors.length], h = H - M.t - M.b;
      el('rect', {x, width: w, y: M.t, height: h, fill, 'fill-opacity': .22}, gb);
      el('rect', {x, width: w, y: H - M.b - 5, height: 5, fill}, gb);
      const full = names[k] ?? '', short = full.split(' · ')[0];
      const label = [full, short, short.replace('tail ', '')].find(one => 6.4 * one.length < w) ?? '';
      text(label, {x: x + w / 2, y: M.t - 9, 'text-anchor': 'middle', class: 'band'}, gb);
    }
    svg.querySelectorAll('.handle').forEach((h, i) => {
      const x = X(c[i]), lab = h.querySelector('.lab'), [lo, hi] = limits(i);
      // where its number would run into the next cutoff's line, it stands at the left
      const left = x > W - M.r - 90 || (i + 1 < c.length && X(c[i + 1]) - x < 92 && x - (i ? X(c[i - 1]) : M.l) > 92);
      h.setAttribute('transform', `translate(${x},0)`);
      h.setAttribute('aria-valuenow', c[i]); h.setAttribute('aria-valuemin', lo); h.setAttribute('aria-valuemax', hi);
      const share = names[i] && !stale ? `; ${names[i]}` : '';        // what Python has not counted yet is not read out
      h.setAttribute('aria-valuetext', `${c[i].toLocaleString('en')} words${share}`);
      lab.setAttribute('text-anchor', left ? 'end' : 'start'); lab.setAttribute('dx', left ? -13 : 13);
      const narrow = left && i > 0 && x - X(c[i - 1]) < 92;                // the other cutoff's line is near: its number alone
      lab.textContent = (narrow ? '' : 'c' + '₁₂₃₄₅₆₇₈₉'[i] + ' = ') + c[i].toLocaleString('en'); });
    drawMark();
  }
  const all = ['xs', 'ys', 'mass', 'n', 'height', 'label'];
  const counted = () => { stale = false; moveCuts(); };
  model.on('change:cuts', moveCuts); model.on('change:bands', counted); model.on('change:mark', drawMark);
  for (const k of all) model.on('change:' + k, layoutAll);
  const ro = new ResizeObserver(() => {
    if (root.clientWidth && Math.abs(root.clientWidth - W) > 1 && drag === null) layoutAll(); });
  ro.observe(root);
  layoutAll();
  return () => { ro.disconnect(); model.off('change:cuts', moveCuts); model.off('change:bands', counted);
    model.off('change:mark', drawMark);
    for (const k of all) model.off('change:' + k, layoutAll); };
}
export default { render };
