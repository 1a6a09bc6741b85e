// The dragged line as a widget: Python hears each move, and the page does not wait for it.
import {mountLine} from './flat_line.js';

export default {
  render({model, el}) {
    const place = document.createElement('div');
    el.append(place);
    let waiting = 0;
    const heard = line => {
      model.set('line', line);
      waiting ||= requestAnimationFrame(() => { waiting = 0; model.save_changes(); });
    };
    const plot = mountLine(place, () => ({...model.get('data'), line: model.get('line')}), heard);
    const refresh = () => plot.refresh();
    model.on('change:data', refresh);
    model.on('change:line', refresh);
    return () => { model.off('change:data', refresh); model.off('change:line', refresh); cancelAnimationFrame(waiting); plot.destroy(); };
  },
};
