// The picture of a batch as a widget: mounted again where the words or the cutoffs change.
import {mountBatch} from './batch.js';

function render({model, el}) {
  let picture = null;
  const mount = () => { picture?.destroy(); picture = mountBatch(el, model.get('data')); el.batch = picture.state; };
  model.on('change:data', mount);
  mount();
  return () => { model.off('change:data', mount); picture.destroy(); };
}
export default {render};
