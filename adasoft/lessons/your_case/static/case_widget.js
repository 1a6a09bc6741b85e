// A case in a notebook: the page computes, the kernel hears the decision and the three lines, and answers with what a search found.
import {mountCase} from './case.js';

export default {
  render({model, el}) {
    // `given` is as it was when the cell ran; a page that is opened again has what came after in `found` and `texts`
    const given = {...model.get('given'), decision: model.get('found')?.yours ?? null, texts: model.get('texts')};
    const shown = mountCase(el, given, {
      decide(decision) { model.send({kind: 'decide', ...decision}); },
      write(texts) { model.send({kind: 'write', texts}); },
    });
    const follow = () => shown.reveal(model.get('found')), guess = () => shown.guessed(model.get('guess'));
    model.on('change:found', follow);
    model.on('change:guess', guess);
    guess(); follow();
    return () => { model.off('change:found', follow); model.off('change:guess', guess); shown.destroy(); };
  },
};
