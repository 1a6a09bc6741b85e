// The page without installing: the scene, the explorer, and a button for the colours.
import {mount} from '../../kit/static/cut_explorer.js';
import {mountScene} from '../../kit/static/token_scene.js';

const given = JSON.parse(document.getElementById('data').textContent);
const dark = matchMedia('(prefers-color-scheme: dark)');
const theme = document.getElementById('theme');
const paint = name => {
  document.documentElement.dataset.theme = name;
  theme.textContent = name === 'dark' ? 'Light colours' : 'Dark colours';
};
paint(dark.matches ? 'dark' : 'light');
theme.addEventListener('click', () => paint(document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark'));

const scene = mountScene(document.getElementById('scene'), {text: given.explorer.texts[0], ...given.scene});
const explorer = mount(document.getElementById('explorer'), given.explorer);
Object.assign(window, {adasoft: {scene, explorer}});
