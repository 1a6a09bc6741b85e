// A question with a box for the answer, a button, and the verdict.
function render({ model, el }) {
  el.classList.add('adasoft-answer');
  const make = (tag, at = {}, parent = el) => { const e = document.createElement(tag);
    for (const k in at) e.setAttribute(k, at[k]); parent.append(e); return e; };
  const id = 'adasoft-' + Math.random().toString(36).slice(2);
  const question = make('p', {class: 'adasoft-question'});
  const line = make('div', {class: 'adasoft-entry'});
  const label = make('label', {for: id + '-box'}, line); label.textContent = 'your answer';
  const box = make('input', {id: id + '-box', type: 'text', inputmode: 'decimal', placeholder: 'a number',
                             autocomplete: 'off', spellcheck: 'false'}, line);
  const button = make('button', {type: 'button', class: 'jupyter-button'}, line);
  button.textContent = model.get('button');
  const again = make('button', {type: 'button', class: 'jupyter-button'}, line);
  const put = () => {                                     // the name says what is asked, in sight or not
    const text = model.get('question'), named = `your answer to: ${text}`;
    question.textContent = text; question.style.display = model.get('shown') ? '' : 'none';
    box.setAttribute('aria-label', named); button.setAttribute('aria-description', text); };
  model.on('change:question', put); put();
  let sent = null;                                        // its echo must not undo what is typed since
  const typed = () => { if (model.get('answer') !== sent) box.value = model.get('answer'); };
  model.on('change:answer', typed); typed();
  const restart = () => { again.textContent = model.get('again'); 
    again.style.display = model.get('again') ? '' : 'none'; };
  model.on('change:again', restart); restart();
  again.addEventListener('click', () => { sent = null; model.send({again: true}); box.focus(); });
  const verdict = make('div', {role: 'status', class: 'adasoft-verdict'});
  let waits = 0;
  const show = () => { clearTimeout(waits); verdict.innerHTML = model.get('verdict'); };
  const press = () => {                                   // an answer may take seconds to find
    clearTimeout(waits); waits = setTimeout(() => { verdict.textContent = 'Working …'; }, 400);
    sent = box.value; model.send({answer: sent}); };    // what was typed and the press, in one message
  button.addEventListener('click', press);
  el.addEventListener('keydown', e => {                   // the keyboard's way out
    if (e.key === 'Escape') el.closest('.jp-Cell')?.focus(); }, true);
  box.addEventListener('keydown', e => {
    e.stopPropagation();                                  // else JupyterLab takes letters for commands
    if (e.key === 'Enter') { e.preventDefault(); press(); } });
  for (const one of [button, again]) one.addEventListener('keydown', e => e.stopPropagation());
  model.on('change:verdict', show); model.on('msg:custom', show); show();
  const lost = () => el.classList.toggle('jupyter-widgets-disconnected');     // as ipywidgets' own do
  model.on('comm_live_update', lost);
  return () => { clearTimeout(waits); model.off('change:verdict', show); model.off('msg:custom', show); model.off('change:question', put);
    model.off('change:answer', typed); model.off('change:again', restart);
    model.off('comm_live_update', lost); };
}
export default { render };
