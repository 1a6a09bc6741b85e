// A case in a notebook: the page computes, the kernel hears the decision and the three lines, and answers with what a search found.
import {mountCase} from './case.js';
import {begun} from './case_numbers.js';

export default {
  render({model, el}) {
    const shown = mountCase(el, begun(model.get('given'), model.get('found'), model.get('texts')), {
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
