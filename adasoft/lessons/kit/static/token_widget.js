// The scene of a token in a notebook: it follows the explorer, and asks the kernel for ranks that it does not know.
import {mountScene} from './token_scene.js';

function render({model, el}) {
  let answer = null;
  const given = () => ({text: model.get('text'), ...model.get('scene')});
  const ranks = words => new Promise(done => {
    answer = done;
    setTimeout(() => done({}), 3000);          // a busy kernel: the word counts as unknown
    model.send({kind: 'ranks', words});
  });
  const scene = mountScene(el, given(), {ranks});
  const follow = () => scene.show(given()), hear = message => { if (message.kind === 'ranks') answer?.(message.ranks); };
  model.on('change', follow); model.on('msg:custom', hear);
  return () => { model.off('change', follow); model.off('msg:custom', hear); scene.destroy(); };
}
export default {render};
