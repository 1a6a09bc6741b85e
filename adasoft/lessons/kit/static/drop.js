// A place to drop a file on, and a button that picks one; the file is sent in parts.
const PART = 4 * 2 ** 20;                    // JupyterLab's server takes messages of up to 10 MB
function render({ model, el }) {
  el.classList.add('adasoft-drop');
  const make = (tag, at = {}) => { const e = document.createElement(tag);
    for (const k in at) e.setAttribute(k, at[k]); el.append(e); return e; };
  const picker = make('input', {type: 'file', hidden: ''});
  const button = make('button', {type: 'button', class: 'jupyter-button'});
  button.textContent = model.get('description');
  const line = make('span', {role: 'status'}), idle = 'or drop it here';
  line.textContent = idle;
  let file = null, sent = 0;
  const next = async () => {                 // one part after the other: Python asks for each
    const bytes = await file.slice(sent, sent + PART).arrayBuffer();
    const last = sent + bytes.byteLength >= file.size;
    model.send({kind: 'part', name: file.name, first: sent === 0, last}, undefined, [new DataView(bytes)]);
    sent += bytes.byteLength;
    line.textContent = last ? idle : `reading ${Math.round(100 * sent / file.size)} % ...`; };
  const take = files => { if (files.length) { file = files[0]; sent = 0; next(); } };
  const heard = message => { if (message.kind === 'next' && file) next(); };
  button.addEventListener('click', () => picker.click());
  picker.addEventListener('change', () => { take(picker.files); picker.value = ''; });   // the same file again, too
  const over = on => e => { e.preventDefault(); e.stopPropagation(); el.classList.toggle('over', on); };
  el.addEventListener('dragenter', over(true)); el.addEventListener('dragover', over(true));
  el.addEventListener('dragleave', over(false));
  el.addEventListener('drop', e => { over(false)(e); take(e.dataTransfer.files); });
  model.on('msg:custom', heard);
  return () => model.off('msg:custom', heard);
}
export default { render };
