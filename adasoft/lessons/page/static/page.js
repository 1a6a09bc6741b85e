// The page without installing: the scene, the explorer with its stored plans, and a button for the colours.
import {mount} from '../../kit/static/cut_explorer.js';
import {whole} from '../../kit/static/dom.js';
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

/** The explorer, whose settings and plans are all in the page. */
function explore(root, {texts, costs, sizes, plans, cuts, ...chosen}) {
  const named = costs.map((cost, i) => [i, cost.name.replace('recorded machine: ', '')]);
  const state = () => {
    const {text, cost, d, batch} = chosen;
    return {
      words: texts[text], cost: costs[cost], d, batch, ratio: 4, plan: null, note: '',
      summary: `${texts[text].name}, d = ${whole(d)} numbers per hidden state, B = ${whole(batch)} tokens per step`,
      choices: [
        {key: 'cost', label: 'machine', value: cost, options: named, open: true},
        ...(texts.length > 1 ? [{key: 'text', label: 'words', value: text, options: texts.map((t, i) => [i, t.name])}] : []),
        {key: 'd', label: 'hidden size d', value: d, options: sizes.d.map(v => [v, whole(v)])},
        {key: 'batch', label: 'tokens per step B', value: batch, options: sizes.batch.map(v => [v, whole(v)])},
      ],
    };
  };
  const stored = () => plans.filter(p => ['text', 'cost', 'd', 'batch'].every(key => p[key] === chosen[key]));
  function plan() {
    const many = explorer.state.cuts.length, found = stored(), best = found.find(p => p.cuts.length === many);
    if (!best) { explorer.tell(many ? 'No plan is stored for these sizes.' : 'Choose at least one cutoff to plan.'); return; }
    explorer.reveal();
    explorer.place(best.cuts);
    const fastest = found.map(p => [explorer.price(p.cuts), p.cuts.length]).sort((a, b) => a[0] - b[0])[0], full = explorer.price([]);
    const tails = fastest[1] === 1 ? '1 cutoff' : `${fastest[1]} cutoffs`;
    explorer.show({plan: best.cuts});
    explorer.tell(fastest[0] > full ? 'A full softmax is faster here: take 0 cutoffs.'
      : fastest[1] === many ? 'The fastest cutoffs; no other number of cutoffs is faster here.'
        : `The fastest for ${many === 1 ? '1 cutoff' : `${many} cutoffs`}. With ${tails} it is faster still: ${explorer.say(fastest[0])}.`);
  }
  const explorer = mount(root, {...state(), cuts, active: 0, ask: true, most: 5,
                                buttons: [{key: 'plan', text: 'Plan for me', title: 'The fastest cutoffs on this machine'}]}, {
    choose(key, value) { chosen[key] = Number(value); explorer.show(state()); },
    press: plan,
  });
  return explorer;
}

const scene = mountScene(document.getElementById('scene'), {text: given.explorer.texts[0], ...given.scene});
const explorer = explore(document.getElementById('explorer'), given.explorer);
Object.assign(window, {adasoft: {scene, explorer}});
