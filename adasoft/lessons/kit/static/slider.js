// A named slider that sends nothing but the reader's own moves.
function render({ model, el }) {
  el.classList.add('adasoft-slider');
  const id = 'adasoft-' + Math.random().toString(36).slice(2);
  const label = document.createElement('label'), range = document.createElement('input');
  label.htmlFor = range.id = id; range.type = 'range'; range.step = 1;
  el.append(label, range);
  const at = v => Math.round((model.get('log') ? Math.log10(Math.max(v, 1)) : v) / model.get('step'));
  const real = n => model.get('log') ? 10 ** (n * model.get('step')) : n * model.get('step');
  const tell = v => range.setAttribute('aria-valuetext', Number(v.toPrecision(4)).toLocaleString('en'));
  const limit = () => {                       // in steps, as whole numbers: what Python sets is never sent back
    label.textContent = model.get('description');
    range.min = Math.round(model.get('min') / model.get('step'));
    range.max = Math.round(model.get('max') / model.get('step'));
    show(); };
  const show = () => { range.value = at(model.get('value')); tell(model.get('value')); };
  range.addEventListener('input', () => {
    const v = real(Number(range.value));
    tell(v); model.set('value', v); model.save_changes(); });
  range.addEventListener('keydown', e => e.stopPropagation());      // else JupyterLab moves between cells
  model.on('change:value', show);
  const limits = ['min', 'max', 'step', 'log', 'description'];
  for (const k of limits) model.on('change:' + k, limit);
  limit();
  return () => { model.off('change:value', show); for (const k of limits) model.off('change:' + k, limit); };
}
export default { render };
