// A question with a box for the answer, a button, and the verdict.
function render({ model, el }) {
  el.classList.add('adasoft-answer');
  const make = (tag, at = {}, parent = el) => { const e = document.createElement(tag);
    for (const k in at) e.setAttribute(k, at[k]); parent.append(e); return e; };
  const id = 'adasoft-' + Math.random().toString(36).slice(2);
  const question = make('p', {id, class: 'adasoft-question'});
  const put = () => { question.textContent = model.get('question'); };
  model.on('change:question', put); put();
  const line = make('div', {class: 'adasoft-entry'});
  const label = make('label', {for: id + '-box'}, line); label.textContent = 'your answer';
  const box = make('input', {id: id + '-box', type: 'text', inputmode: 'decimal', placeholder: 'a number',
                             autocomplete: 'off', spellcheck: 'false', 'aria-describedby': id}, line);
  box.value = model.get('answer');
  const button = make('button', {type: 'button', class: 'jupyter-button', 'aria-describedby': id}, line);
  button.textContent = model.get('button');
  const verdict = make('div', {role: 'status', class: 'adasoft-verdict'});
  const show = () => { verdict.innerHTML = model.get('verdict'); };
  const press = () => model.send({answer: box.value});    // what was typed and the press, in one message
  button.addEventListener('click', press);
  el.addEventListener('keydown', e => {                   // the keyboard's way out
    if (e.key === 'Escape') el.closest('.jp-Cell')?.focus(); }, true);
  box.addEventListener('keydown', e => {
    e.stopPropagation();                                  // else JupyterLab takes letters for commands
    if (e.key === 'Enter') { e.preventDefault(); press(); } });
  button.addEventListener('keydown', e => e.stopPropagation());
  model.on('change:verdict', show); show();
  const lost = () => el.classList.toggle('jupyter-widgets-disconnected');     // as ipywidgets' own do
  model.on('comm_live_update', lost);
  return () => { model.off('change:verdict', show); model.off('change:question', put);
    model.off('comm_live_update', lost); };
}
export default { render };
