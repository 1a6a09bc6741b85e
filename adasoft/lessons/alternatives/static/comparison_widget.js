// The comparison as a widget: data come once, and nothing goes back.
import {mountComparison} from './comparison.js';

export default {
  render({model, el}) {
    const shown = mountComparison(el, model.get('data'));
    return () => shown.destroy();
  },
};
