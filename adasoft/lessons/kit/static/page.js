// Once a page: names for the handles of ipywidgets' sliders, the keys of a panel's controls for themselves, and Escape as
// the keyboard's way out.
const CONTROLS = 'select, input, textarea, button, summary, [tabindex]';

function names() {
  for (const s of document.querySelectorAll('.adasoft .widget-slider')) {
    const name = s.querySelector('.widget-label')?.textContent;
    const handles = name ? s.querySelectorAll('.noUi-handle:not([aria-label])') : [];
    for (const h of handles) h.setAttribute('aria-label', name);
  }
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
    if (!page.focus) {                       // a press switches its button off: the focus goes on to Stop, and back
      page.focus = true;
      let last = null;
      document.addEventListener('focusin', e => { last = e.target; });
      new MutationObserver(() => {
        const panel = last?.disabled && last.isConnected && last.closest('.adasoft'), now = document.activeElement;
        if (!panel || (now !== document.body && now !== last)) return;
        const next = panel.querySelector('button[title^="Stops: "]:not(:disabled)')
          ?? last.closest('.widget-hbox')?.querySelector('button:not(:disabled)');
        next?.focus({preventScroll: true});
      }).observe(document.body, {subtree: true, attributeFilter: ['disabled']});
    }
    if (!page.keys) {
      page.keys = true;
      document.addEventListener('keydown', e => {
        if (e.key === 'Escape') e.target.closest?.('.adasoft')?.closest('.jp-Cell')?.focus();
      }, true);
      // before they reach JupyterLab, for which an arrow in a list moves between cells, and a letter inserts or cuts one
      document.body.addEventListener('keydown', e => {
        if (e.key !== 'Escape' && e.target.closest?.('.adasoft')?.contains(e.target.closest(CONTROLS))) e.stopPropagation();
      });
    }
  } }
