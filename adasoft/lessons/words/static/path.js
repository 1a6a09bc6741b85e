// A box for the path of a file. Enter is sent together with what was typed.
function render({model, el}) {
  const label = document.createElement('label'), box = document.createElement('input');
  box.id = label.htmlFor = 'adasoft-' + Math.random().toString(36).slice(2);
  label.textContent = model.get('description') + ' ';
  label.style.font = '13px var(--jp-ui-font-family, sans-serif)';
  Object.assign(box, {type: 'text', size: 34, placeholder: 'a path on this computer, then Enter', spellcheck: false, autocomplete: 'off'});
  box.style.cssText = 'font: 13px var(--jp-ui-font-family, sans-serif); padding: 4px 8px; color: var(--jp-ui-font-color1); '
    + 'background: var(--jp-input-background, transparent); border: 1px solid var(--jp-border-color1, #888); max-width: 100%';
  el.append(label, box);
  const show = () => { if (document.activeElement !== box) box.value = model.get('value'); };
  const send = () => { model.set('value', box.value); model.save_changes(); };
  box.addEventListener('change', send);
  box.addEventListener('keydown', event => {
    event.stopPropagation();                  // else JupyterLab takes letters for commands
    if (event.key === 'Enter') { event.preventDefault(); model.send({kind: 'enter', value: box.value}); }
  });
  model.on('change:value', show); show();
  return () => model.off('change:value', show);
}
export default { render };
