// The page without installing: the scene, the explorer with its stored plans, and a button for the colours.
import {FEW, mount} from '../../kit/static/cut_explorer.js';
import {times, whole} from '../../kit/static/dom.js';
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

const WORTH = 0.95;                           // of the time: what a further cutoff must at least save

/** The explorer, whose settings and plans are all in the page. */
function explore(root, {texts, costs, machines, sizes, plans, cuts, floor, ...chosen}) {
  const clock = document.getElementById('clock'), after = document.getElementById('after');
  const named = costs.map((cost, i) => [i, cost.counted ? 'none: count multiplications' : cost.name.replace('recorded machine: ', '')]);
  const gpu = machines.findIndex(machine => machine.gpu), state = () => {
    const {text, cost, d, batch} = chosen, {counted} = costs[cost];
    clock.textContent = counted ? `Here we count multiplications for each token, with ${whole(d)} numbers for each word of the head. Where would you cut?`
      : `From counting to milliseconds: one training step of this layer, forward and backward, on ${whole(batch)} tokens. The times come from a formula fitted to measurements on ${machines[cost].name}${machines[cost].off ? `; for layers it was not fitted to, it is off by about ${machines[cost].off} %` : ''}. Where would you cut?`;
    return {
      words: texts[text], cost: costs[cost], d, batch, floor, ratio: 4, plan: null, note: '',
      summary: `${texts[text].name}, d = ${whole(d)} numbers per hidden state, B = ${whole(batch)} tokens per step`,
      choices: [
        {key: 'cost', label: 'machine', value: cost, options: named, open: true},
        ...(texts.length > 1 ? [{key: 'text', label: 'words', value: text, options: texts.map((t, i) => [i, t.name])}] : []),
        {key: 'd', label: 'hidden size d', value: d, options: sizes.d.map(v => [v, whole(v)])},
        {key: 'batch', label: 'tokens per step B', value: batch, options: sizes.batch.map(v => [v, whole(v)])},
      ],
      buttons: [
        {key: 'plan', text: 'Plan for me', title: `The best cutoffs that keep ${Math.round(100 * floor)} % of the tokens in the head`},
        {key: 'number', text: 'Best number of cutoffs', title: 'Also chooses how many cutoffs: each must save 5 % of the time, and no tail may be too narrow'},
        ...(gpu > 0 && cost !== gpu ? [{key: 'gpu', text: 'The same on a GPU', title: machines[gpu].name}] : []),
      ],
    };
  };
  const stored = () => plans.filter(p => ['text', 'cost', 'd', 'batch'].every(key => p[key] === chosen[key]));
  const counted = () => Boolean(costs[chosen.cost].counted), best = many => stored().find(p => p.cuts.length === many)?.cuts;
  const gain = found => (counted() ? `${times(explorer.price([]) / explorer.price(found))} times fewer multiplications`
    : `${times(explorer.price([]) / explorer.price(found))} times faster`);
  const kept = `of those that keep ${Math.round(100 * floor)} % of the tokens in the head`, many = n => (n === 1 ? '1 cutoff' : `${n} cutoffs`);
  const full = () => `A full softmax ${counted() ? 'needs fewer multiplications' : 'is faster'} here: take 0 cutoffs.`;
  function take(found, told) {
    explorer.reveal();
    explorer.place(found);
    explorer.show({plan: found});
    explorer.tell(told);
  }
  function plan() {
    const asked = explorer.state.cuts.length || 1, found = best(asked);
    if (!found) { explorer.tell('No plan is stored for these sizes.'); return; }
    take(found, explorer.price(found) > explorer.price([]) ? full()
      : `${asked === 1 ? 'The best cutoff' : `The best ${asked} cutoffs`} ${kept}. Look at the price as well.`);
  }
  function number() {
    let chosenCuts = [], least = explorer.price([]);
    const usable = found => !explorer.layer(found).clusters.some(one => one.width <= FEW), possible = stored().sort((a, b) => a.cuts.length - b.cuts.length).map(one => one.cuts);
    for (const found of possible) if (usable(found) && explorer.price(found) < WORTH * least) { chosenCuts = found; least = explorer.price(found); }
    const asked = chosenCuts.length, others = possible.filter(found => found.length > asked);
    const narrow = others.some(found => explorer.price(found) < WORTH * least);    // it would save more: refused for its width
    take(chosenCuts, !asked ? full() : `${many(asked)} ${asked === 1 ? 'is' : 'are'} enough`
      + (!others.length ? '.' : narrow ? `: more would be faster, but describe some words by only ${FEW} numbers.` : ': more would save less than 5 %.'));
  }
  /** After the guess: what it came to beside the best single cutoff. */
  function compare() {
    after.hidden = false;
    const [yours] = explorer.state.cuts, found = best(1);
    if (!found || explorer.state.cuts.length !== 1) return;
    explorer.show({plan: found});
    explorer.tell(`You: ${whole(yours)} words, ${gain([yours])}. Best: ${whole(found[0])} words, ${gain(found)} (the star).`);
  }
  function elsewhere() {
    chosen.cost = gpu;
    explorer.show(state());
    compare();
  }
  const explorer = mount(root, {...state(), cuts, active: 0, ask: true, most: 5}, {
    choose(key, value) { chosen[key] = Number(value); explorer.show(state()); explorer.tell(''); },
    press(key) { ({plan, number, gpu: elsewhere})[key](); },
    reveal: compare,
  });
  return explorer;
}

const scene = mountScene(document.getElementById('scene'), {text: given.explorer.texts[0], ...given.scene});
const explorer = explore(document.getElementById('explorer'), given.explorer);
Object.assign(window, {adasoft: {scene, explorer}});
