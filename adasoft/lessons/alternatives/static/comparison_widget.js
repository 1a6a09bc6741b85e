// The comparison as a widget: data come once, the reader's guess whenever there is another; nothing goes back.
import {mountComparison} from './comparison.js';

export default {
  render({model, el}) {
    const shown = mountComparison(el, {...model.get('data'), guess: model.get('guess')});
    const guessed = () => shown.guess(model.get('guess'));
    model.on('change:guess', guessed);
    return () => { model.off('change:guess', guessed); shown.destroy(); };
  },
};
