// A box for a number, sent when it is complete.
function render({ model, el }) {
  el.classList.add('adasoft-number');
  const make = (tag, parent = el) => { const e = document.createElement(tag); parent.append(e); return e; };
  const id = 'adasoft-' + Math.random().toString(36).slice(2), unit = model.get('unit');
  const label = unit === null ? make('label') : null, box = make('input'), after = unit ? make('span') : null;
  box.id = id; box.type = 'number'; box.step = model.get('whole') ? 1 : 'any'; box.style.width = model.get('width');
  if (label) { label.htmlFor = id; label.textContent = model.get('description'); }
  else box.setAttribute('aria-label', model.get('description'));
  if (after) { after.textContent = unit; after.setAttribute('aria-hidden', 'true'); }
  let typing = false;                                    // what is being typed is not overwritten
  const short = v => Number.isInteger(v) ? v : Number(v.toPrecision(12));       // 80.1, not 80.10000000000001
  const show = () => { if (!typing) box.value = short(model.get('value')); };
  box.addEventListener('input', () => { typing = true; });
  box.addEventListener('blur', () => { typing = false; show(); });
  box.addEventListener('change', () => {                 // Enter, leaving the box, an arrow
    const v = box.valueAsNumber; typing = false;
    if (Number.isNaN(v) || v === model.get('value')) return show();
    model.set('value', v); model.save_changes(); });
  box.addEventListener('keydown', e => e.stopPropagation());        // else JupyterLab takes keys for commands
  model.on('change:value', show); show();
  return () => model.off('change:value', show);
}
export default { render };
