// A live figure: decodes what Python pushes and draws it with plotly.js, which the page loads once.
const TYPES = {f8: Float64Array, f4: Float32Array, i4: Int32Array, u4: Uint32Array, i2: Int16Array, u2: Uint16Array,
               i1: Int8Array, u1: Uint8Array};
function decoded(v) {                        // base64 arrays, as plotly's Python side writes them
  if (Array.isArray(v)) return v.map(decoded);
  if (v === null || typeof v !== 'object') return v;
  if (v.bdata !== undefined && TYPES[v.dtype])
    return new TYPES[v.dtype](Uint8Array.from(atob(v.bdata), c => c.charCodeAt(0)).buffer);
  return Object.fromEntries(Object.entries(v).map(([k, w]) => [k, decoded(w)]));
}
function put(object, path, value) {          // put(layout, 'xaxis.title.text', ...)
  const keys = path.split('.'), last = keys.pop();
  for (const k of keys) object = object[k] ??= {};
  object[last] = value;
}
function library(model) {                    // one plotly.js per page; the kernel sends it to the first who asks
  const page = globalThis.__adasoft ??= {};
  if (!page.plotly) page.plotly = new Promise(resolve => { page.resolve = resolve; });
  if (page.ready) return page.plotly;
  const take = async (message, buffers) => {
    if (message.kind !== 'plotly' || page.ready) return;
    page.ready = true;
    const others = globalThis.Plotly;        // somebody else's stays theirs
    const url = URL.createObjectURL(new Blob([buffers[0]], {type: 'text/javascript'}));
    await import(url); URL.revokeObjectURL(url);
    page.resolve(globalThis.Plotly);
    if (others) globalThis.Plotly = others;
  };
  model.on('msg:custom', take);
  page.plotly.then(() => model.off('msg:custom', take));
  const ask = () => { if (!page.ready) model.send({kind: 'plotly'}); };
  // who asked first may be gone before its answer comes: its cell was run again
  if (page.asked) setTimeout(ask, 4000); else { page.asked = true; ask(); }
  return page.plotly;
}
export default () => {
  let spec, wanted = 0;
  const views = new Set();
  return {
    initialize({ model }) {
      spec = decoded(JSON.parse(model.get('spec')));
      library(model);
      const change = message => {
        if (message.kind !== 'push') return;
        for (const [i, properties] of Object.entries(message.data))
          for (const [path, value] of Object.entries(properties)) put(spec.data[i], path, decoded(value));
        for (const [path, value] of Object.entries(message.layout)) put(spec.layout, path, decoded(value));
        wanted++;
        for (const view of views) view();
      };
      model.on('msg:custom', change);
      return () => model.off('msg:custom', change);
    },
    render({ model, el }) {
      el.classList.add('adasoft-figure');
      const plot = document.createElement('div');
      plot.style.height = spec.layout.height + 'px';      // its place is taken before it is drawn: nothing jumps
      plot.setAttribute('role', 'img'); plot.setAttribute('aria-label', model.get('label'));
      el.append(plot);
      let Plotly = null, asked = false, busy = false, again = false, gone = false, width = 0;
      const config = {displayModeBar: false, displaylogo: false, typesetMath: false};   // a word may hold two $
      const room = () => plot.clientWidth;
      const draw = async () => {                          // one at a time, until it shows the latest in all its room
        asked = false; again = true;
        if (busy || !Plotly || gone) return;
        busy = true;
        try {
          while (room() && (again || room() !== width)) {
            const now = wanted, other = width; again = false; width = room();
            await Plotly.react(plot, spec.data, {...spec.layout, width}, config);
            // a legend below the plot is placed by the margins of the width before, over the titles of the axes
            if (other && other !== width) await Plotly.relayout(plot, {width});
            el.dataset.drawn = now;
          }
        } finally { busy = false; }
        if (again || !room()) setTimeout(soon, 500);       // hidden, perhaps for less than an observer notices
      };
      const soon = () => {                                // many changes, one drawing
        el.dataset.wanted = wanted;
        if (!asked) { asked = true; requestAnimationFrame(draw); }
      };
      views.add(soon);
      const observer = new ResizeObserver(() => { if (room() && (again || room() !== width)) soon(); });
      observer.observe(plot);
      library(model).then(found => { Plotly = found; soon(); }, error => {
        plot.textContent = 'This figure could not be drawn (' + error + '). Run its cell again.'; });
      soon();
      return () => { gone = true; views.delete(soon); observer.disconnect(); if (Plotly) Plotly.purge(plot); };
    },
  };
};
