// W and N as a widget: the curves come once, the words whenever there are others; the kernel hears where the reader is.
import {mountWindow} from './window.js';

const PAUSE = 100;                            // milliseconds between two messages of one drag

export default {
  render({model, el}) {
    let mine = false, last = 0, timer = 0, waiting = null;
    const send = () => {
      clearTimeout(timer); timer = 0;
      if (!waiting) return;
      last = performance.now(); mine = true;
      model.set('window', waiting); waiting = null; mine = false;
      model.save_changes();
    };
    const moved = window => {
      waiting = window;
      const wait = PAUSE - (performance.now() - last);
      if (wait <= 0) send(); else if (!timer) timer = setTimeout(send, wait);
    };
    const picture = mountWindow(el, model.get('data'), {window: model.get('window'), shown: model.get('shown')}, moved);
    const follow = () => {
      if (mine) return;
      const window = model.get('window'), free = !picture.busy() && !waiting;
      picture.show({shown: model.get('shown'), ...(free ? {window: [...window]} : {})});
    };
    model.on('change', follow);
    return () => { send(); model.off('change', follow); picture.destroy(); };
  },
};
