// Once a page: names for the handles of ipywidgets' sliders, the keys of a panel's controls for themselves, Escape as the
// keyboard's way out, and the focus of a control that is disabled for a while.
const CONTROLS = 'select, input, textarea, button, summary, [tabindex]';

function names() {
  for (const s of document.querySelectorAll('.adasoft .widget-slider')) {
    const name = s.querySelector('.widget-label')?.textContent;
    const handles = name ? s.querySelectorAll('.noUi-handle:not([aria-label])') : [];
    for (const h of handles) h.setAttribute('aria-label', name);
  }
}
// A button that is disabled while it works would lose the focus, and the next key go nowhere. Its row holds it meanwhile
// (Tab leads to Stop, Enter does nothing: a second press must not stop what the first began), then the button again.
function keepFocus() {
  let last = null, waits = null;                // what had the focus last; the control that waits for it, and its row
  const give = node => node.focus({preventScroll: true});
  const back = () => {
    give(waits.control);
    for (const name of ['tabindex', 'role', 'aria-label']) waits.row.removeAttribute(name);
  };
  document.addEventListener('focusin', e => { last = e.target; });
  new MutationObserver(changes => {
    for (const {target} of changes) {
      const now = document.activeElement, nowhere = now === document.body;
      if (!target.closest('.adasoft') || !target.isConnected) continue;
      if (target.disabled && (now === target || (nowhere && last === target))) {
        const row = target.parentElement;
        if (waits?.row === row && waits.control !== target && !waits.control.disabled) back();    // Stop, at the end
        else {
          waits = {control: target, row};
          row.tabIndex = -1;
          row.setAttribute('role', 'group');
          row.setAttribute('aria-label', `${target.textContent.trim()}: under way`);
          give(row);
        }
      } else if (!target.disabled && waits?.control === target && (now === waits.row || (nowhere && last === waits.row))) back();
    }
  }).observe(document.body, {subtree: true, attributes: true, attributeFilter: ['disabled']});
}
export default {
  render({ el }) {
    el.style.display = 'none';
    const page = globalThis.__adasoft ??= {};
    if (!page.names) {                       // one for the page
      page.names = new MutationObserver(() => {
        if (!page.named) page.named = requestAnimationFrame(() => { page.named = 0; names(); }); });
      page.names.observe(document.body, {childList: true, subtree: true});
    }
    names();
    if (!page.keys) {
      page.keys = true;
      keepFocus();
      document.addEventListener('keydown', e => {
        if (e.key === 'Escape') e.target.closest?.('.adasoft')?.closest('.jp-Cell')?.focus();
      }, true);
      // a handle moves with some of these keys, or has no use for them: never does the notebook scroll away under it
      document.addEventListener('keydown', e => {
        const handle = e.target.closest?.('.adasoft [role=slider]');
        if (handle && handle.localName !== 'input' && [' ', 'Home', 'End', 'PageUp', 'PageDown'].includes(e.key)) e.preventDefault();
      }, true);
      // before they reach JupyterLab, for which an arrow in a list moves between cells, and a letter inserts or cuts one
      document.body.addEventListener('keydown', e => {
        if (e.key !== 'Escape' && e.target.closest?.('.adasoft')?.contains(e.target.closest(CONTROLS))) e.stopPropagation();
      });
    }
  } }
