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
  const why = make('div'); why.id = id + '-why'; why.className = 'adasoft-refused'; why.setAttribute('role', 'alert');
  const refuse = () => {                                 // said where it was typed, in sight and aloud
    const text = model.get('refused'); why.textContent = text;
    box.setAttribute('aria-invalid', text ? 'true' : 'false');
    if (text) box.setAttribute('aria-describedby', why.id); else box.removeAttribute('aria-describedby'); };
  let typing = false;                                    // what is being typed is not overwritten
  const short = v => Number.isInteger(v) ? v : Number(v.toPrecision(12));       // 80.1, not 80.10000000000001
  const show = () => { if (!typing) box.value = short(model.get('value')); };
  box.addEventListener('input', () => { typing = true; });
  const complete = () => {                               // Enter, leaving the box, an arrow
    const v = box.valueAsNumber; typing = false;
    if (Number.isNaN(v) || v === model.get('value')) {
      model.set('refused', Number.isNaN(v) ? 'Type a number.' : ''); show();
    } else model.set('value', v);
    model.save_changes(); };
  box.addEventListener('change', complete);
  // text put in by other means than keys ends without a change: it is taken or refused, too, and not dropped in silence
  box.addEventListener('blur', () => { if (typing) complete(); else show(); });
  box.addEventListener('keydown', e => e.stopPropagation());        // else JupyterLab takes keys for commands
  model.on('change:value', show); model.on('change:refused', refuse); show(); refuse();
  return () => { model.off('change:value', show); model.off('change:refused', refuse); };
}
export default { render };
