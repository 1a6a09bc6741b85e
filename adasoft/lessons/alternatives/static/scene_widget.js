// The scene of the methods as a widget: data come once, and nothing goes back.
import {mountMethods} from './methods_scene.js';

export default {
  render({model, el}) {
    const scene = mountMethods(el, model.get('data'));
    return () => scene.destroy();
  },
};
