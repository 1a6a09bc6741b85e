// The cut explorer in a notebook: it draws by itself, and the kernel hears where the cutoffs are.
import {mount} from './cut_explorer.js';

const PAUSE = 100;                            // milliseconds between two messages of one drag

function render({model, el}) {
  let mine = false, last = 0, timer = 0, waiting = null, place = model.get('place');
  const send = () => {
    clearTimeout(timer); timer = 0;
    if (!waiting) return;
    last = performance.now(); place = waiting; waiting = null; mine = true;
    model.set('place', place); mine = false;
    model.save_changes();
  };
  const on = {
    cuts(cuts, active) {                       // during a drag as well, at most every 100 ms
      waiting = {cuts, active};
      const wait = PAUSE - (performance.now() - last);
      if (wait <= 0) send(); else if (!timer) timer = setTimeout(send, wait);
    },
    end: send,
    choose(key, value) { send(); model.send({kind: 'choose', key, value}); },
    press(key) {
      send();
      if (key === 'plan') explorer.tell('Planning …');
      model.send({kind: 'press', key});
    },
  };
  const given = () => {
    const given = {...model.get('sizes'), ...model.get('marks')};
    for (const key of ['words', 'cost', 'choices', 'buttons', 'note', 'summary', 'priced', 'most', 'trace']) given[key] = model.get(key);
    return given;
  };
  const explorer = mount(el, {...given(), ...place}, on);
  const follow = () => {
    if (mine) return;
    const next = given(), now = model.get('place');
    if (now !== place && !explorer.busy()) { place = now; waiting = null; Object.assign(next, now); }
    explorer.show(next);
  };
  const hear = message => {
    if (message.kind === 'refused') explorer.refuse(message.key, message.text);
    if (message.kind === 'said') explorer.tell(message.text);
  };
  model.on('change', follow); model.on('msg:custom', hear);
  return () => { send(); model.off('change', follow); model.off('msg:custom', hear); explorer.destroy(); };
}
export default {render};
