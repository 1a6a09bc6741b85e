// The page without installing: the scene, the explorer with its stored plans, and a button for the colours.
import {FEW, mount} from '../../kit/static/cut_explorer.js';
import {times, whole} from '../../kit/static/dom.js';
import {mountScene} from '../../kit/static/token_scene.js';

const given = JSON.parse(document.getElementById('data').textContent);
const dark = matchMedia('(prefers-color-scheme: dark)');
let own = false;                              // the reader's own choice of colours outlives a change of the system's
const theme = document.getElementById('theme');
const paint = name => {
  document.documentElement.dataset.theme = name;
  theme.textContent = name === 'dark' ? 'Light colours' : 'Dark colours';
};
paint(dark.matches ? 'dark' : 'light');
dark.addEventListener('change', () => { if (!own) paint(dark.matches ? 'dark' : 'light'); });
theme.addEventListener('click', () => { own = true; paint(document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark'); });

const WORTH = 0.95;                           // of the time: what a further cutoff must at least save

/** The explorer, whose settings and plans are all in the page. */
function explore(root, {texts, costs, machines, sizes, plans, cuts, floor, ...chosen}) {
  const clock = document.getElementById('clock'), source = document.getElementById('source'), here = document.querySelector('.quality .here'),
    torchSizes = document.getElementById('torch-sizes'), torchCuts = document.getElementById('torch'), after = document.getElementById('after');
  const named = costs.map((cost, i) => [i, cost.counted ? 'none: count multiplications' : cost.name.replace('recorded machine: ', '')]);
  const gpu = machines.findIndex(machine => machine.gpu), cpu = machines.findIndex(machine => machine.name && !machine.gpu), state = () => {
    const {text, cost, d, batch} = chosen, {counted} = costs[cost];
    const {name, off} = machines[cost];
    clock.textContent = 'Cut too early, and rare words crowd the tail; cut too late, and the head is the full softmax again. Where would you cut?';
    source.textContent = counted ? `Counted: multiplications for each token, with ${whole(d)} numbers for each word of the head.`
      : `Times are those of a training step on ${whole(batch)} tokens, forward and backward, predicted for ${name}${off ? `, typically ${off} % off` : ''}.`;
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
        ...(gpu > 0 && !machines[cost].gpu ? [{key: 'gpu', text: 'The same on a GPU', title: machines[gpu].name}] : []),
        ...(cpu > 0 && machines[cost].gpu ? [{key: 'cpu', text: 'Back to the CPU', title: machines[cpu].name}] : []),
      ],
    };
  };
  const stored = () => plans.filter(p => ['text', 'cost', 'd', 'batch'].every(key => p[key] === chosen[key]));
  const counted = () => Boolean(costs[chosen.cost].counted), best = many => stored().find(p => p.cuts.length === many)?.cuts;
  const often = found => times(explorer.price([]) / explorer.price(found));
  const gain = found => `${often(found)} times ${counted() ? 'fewer multiplications' : 'faster'}`;
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
  /** The number of cutoffs that is enough, and what is said of more. */
  function enough() {
    let chosenCuts = [], least = explorer.price([]);
    const usable = found => !explorer.layer(found).clusters.some(one => one.width <= FEW), possible = stored().sort((a, b) => a.cuts.length - b.cuts.length).map(one => one.cuts);
    for (const found of possible) if (usable(found) && explorer.price(found) < WORTH * least) { chosenCuts = found; least = explorer.price(found); }
    const asked = chosenCuts.length, others = possible.filter(found => found.length > asked);
    const narrow = others.some(found => explorer.price(found) < WORTH * least);    // it would save more: refused for its width
    return [chosenCuts, !asked ? full() : `${many(asked)} ${asked === 1 ? 'is' : 'are'} enough`
      + (!others.length ? '.' : narrow ? `: more would be faster, but describe some words by only ${FEW} numbers.` : ': more would save less than 5 %.')];
  }
  const number = () => take(...enough());
  /** What the cut came to beside the best single one; it is the reader's as long as it is the one that was guessed. */
  function compare(more = '') {
    after.hidden = false;
    const {cuts: [cut], cuts, guess} = explorer.state, found = best(1), [further] = enough();
    if (!found || cuts.length !== 1) { explorer.tell(more.trim()); return; }
    explorer.show({plan: found});
    explorer.tell(`${guess?.words === cut && guess.number === 1 ? 'You' : 'This cut'}: ${whole(cut)} words, ${gain([cut])}. `
      + `Best with one cut (the star): ${whole(found[0])} words, ${often(found)} times.`
      + (further.length > 1 ? ` With ${further.length} cuts: ${often(further)} times.` : '') + more);
  }
  /** The same cutoffs on another machine, whose axis of time is another one: what the full softmax takes is said. */
  function elsewhere(there) {
    const before = explorer.brief(explorer.price([])), timed = !counted();
    chosen.cost = there;
    explorer.show(state());
    compare(` The full softmax: ${explorer.brief(explorer.price([]))} here${timed ? `, ${before} there` : ''}.`);
  }
  /** Where the layer stands among the trainings, at once, and its cutoffs for PyTorch, once they rest. */
  let resting = 0;
  function drawn({clusters}) {
    const {d, text} = chosen, part = clusters.reduce((sum, one) => sum + one.share * one.width, 0) / d;
    if (here) {
      const {from, to} = here.dataset, x = Number(from) + (part - 0.5) / 0.5 * (to - from);
      here.setAttribute('visibility', part >= 0.5 ? 'visible' : 'hidden');
      here.setAttribute('transform', `translate(${x.toFixed(1)} 0)`);
    }
    clearTimeout(resting);
    resting = setTimeout(() => {
      const n = texts[text].runs.reduce((sum, [, many]) => sum + many, 0), plain = value => whole(value).replaceAll(',', '_');
      torchSizes.textContent = `${d}, ${plain(n)}`;
      torchCuts.textContent = explorer.state.cuts.map(plain).join(', ');
    }, 200);
  }
  let explorer = null;
  explorer = mount(root, {...state(), cuts, active: 0, ask: true, most: 5}, {
    choose(key, value) { chosen[key] = Number(value); explorer.show(state()); explorer.tell(''); },
    press(key) { ({plan, number, gpu: () => elsewhere(gpu), cpu: () => elsewhere(cpu)})[key](); },
    reveal() { compare(); },
    drawn: layer => drawn(layer),
  });
  return explorer;
}

/** Ranks of words that the explorer does not know: looked up once somebody asks. */
function rankOf({more, from}) {
  let known = null;
  return async words => {
    known ??= new Map(more.split('\n').map((word, i) => [word, from + i]));
    return Object.fromEntries(words.filter(word => known.has(word)).map(word => [word, known.get(word)]));
  };
}

const scene = mountScene(document.getElementById('scene'), {text: given.explorer.texts[0], ...given.scene}, {ranks: rankOf(given.scene)});
const explorer = explore(document.getElementById('explorer'), given.explorer);
Object.assign(window, {adasoft: {scene, explorer}});
