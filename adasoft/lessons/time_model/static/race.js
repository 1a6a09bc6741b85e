// A race replayed from recorded times: for each runner a bar that grows along one clock, and a block whose area is its
// multiplications. No library; the numbers come once, the browser does the rest.
import {html, set, svg, times, whole} from '../../kit/static/dom.js';

/** 0.226 ms, 22.1 ms, 2.5 s: as `seconds_text` in Python. */
export function duration(seconds) {
  const short = value => Number(value.toPrecision(3)).toLocaleString('en', {maximumFractionDigits: 6});
  if (seconds >= 1) return `${seconds.toLocaleString('en', {minimumFractionDigits: 1, maximumFractionDigits: 1})} s`;
  return seconds >= 1e-4 ? `${short(seconds * 1e3)} ms` : `${short(seconds * 1e6)} µs`;
}

/** What a runner has done after so many seconds: whole runs, and the part of the one under way. `once`: it stops then. */
export function done(seconds, elapsed, once) {
  const ratio = elapsed / seconds * (1 + 1e-9);
  return once ? {runs: ratio >= 1 ? 1 : 0, part: ratio >= 1 ? 0 : ratio} : {runs: Math.floor(ratio), part: ratio % 1};
}

/**
 * Put the race into `root`.
 *
 * `data`: {once, replay, source, guess, races: [{label, why, ask, runners: [{name, detail, seconds, predicted, work, cluster}]}]}:
 * `once`: each runs once, else again and again until the slowest has run once; `replay`: seconds that it takes on the
 * page; `guess`: there is a box for a guess at the number of steps, where the race has no bets; `work`: multiplications,
 * or none; `cluster`: its colour, none for grey. Times in seconds.
 * `heard(race, bet)` is told what the reader bets on. Returns {state, start(bet), finish(), destroy()}.
 */
export function mountRace(root, data, bets = {}, heard = () => {}) {
  const state = {race: 0, elapsed: 0, playing: false, bets: {...bets}};
  const still = matchMedia('(prefers-reduced-motion: reduce)');
  let width = 0, frame = 0, runners = [];
  const race = () => data.races[state.race];
  const end = () => Math.max(...race().runners.map(runner => runner.seconds));

  root.classList.add('adasoft-race');
  const tabs = html('div', {class: 'controls tabs'}, root);
  const ask = html('p', {class: 'ask'}, root);
  const stage = svg('svg', {role: 'img'}, html('div', {class: 'stage'}, root));
  const controls = html('div', {class: 'controls'}, root);
  const story = html('p', {class: 'story', role: 'status'}, root);
  html('p', {class: 'source'}, root, data.source);
  const button = (text, act, kind, place = controls) => {
    const node = html('button', {type: 'button', class: kind}, place, text);
    node.addEventListener('click', act);
    return node;
  };
  const choices = data.once ? [0, 1].map(i => [String(i), race().runners[i].name]) : [];
  if (data.once) choices.splice(1, 0, ['together', 'Both together']);
  const guess = data.guess && html('input', {type: 'text', inputmode: 'numeric', autocomplete: 'off', maxlength: 12,
    placeholder: 'your guess', 'aria-label': `your guess: ${data.races[0].ask}`}, controls);
  if (guess) {
    guess.value = state.bets[0] ?? '';
    guess.addEventListener('keydown', event => {
      event.stopPropagation();                  // else JupyterLab takes letters for commands
      if (event.key === 'Enter' && !state.playing) start(guess.value);
    });
  }
  const starts = (choices.length ? choices : [['', 'Start']]).map(([bet, text]) =>
    [bet, button(text, () => start(guess ? guess.value : bet), 'primary')]);
  const chooser = data.races.map((one, i) => {
    if (data.races.length < 2) return null;
    return button(one.label, () => { if (i !== state.race) { state.race = i; arrange(); } }, 'tab', tabs);
  });

  function longest() {                          // of the clock that is drawn, in seconds
    const [first, second] = race().runners, by = counted();
    return Math.max(end() * 1.18, by && by < 6 * end() ? by * 1.12 : 0, first.predicted ?? 0, second?.predicted ?? 0);
  }
  function counted() {                          // what counting says of the second runner, given the first one's time
    const [first, second] = race().runners;
    return data.once && first.work ? first.seconds * second.work / first.work : 0;
  }
  function arrange() {
    width = Math.max(300, root.clientWidth || 900);
    stage.replaceChildren();
    const narrow = width < 720, wide = race().runners.some(runner => runner.work), side = narrow ? 56 : 70;
    const left = 8 + (wide ? side + 16 : 0), lane = wide ? side + 20 : 54, right = width - 76;
    const x = seconds => left + seconds / longest() * (right - left);
    const most = Math.max(...race().runners.map(runner => runner.work ?? 0));
    const bottom = lane * race().runners.length + 8;
    set(stage, {width, height: bottom + 30, viewBox: `0 0 ${width} ${bottom + 30}`});
    runners = race().runners.map((runner, i) => {
      const y = 8 + i * lane, kind = runner.cluster === undefined ? 'grey' : `c${runner.cluster}`;
      const group = svg('g', {class: kind}, stage);
      const name = svg('text', {x: left, y: y + 13, class: 'name'}, group, runner.name);
      const detail = narrow ? null : svg('text', {y: y + 13}, group, runner.detail);
      if (narrow && runner.short) svg('text', {x: left, y: y + 28}, group, runner.short);
      const base = y + (narrow && runner.short ? 36 : 22);
      let block = null;
      if (runner.work) {
        const edge = Math.max(3, Math.sqrt(runner.work / most) * side);
        svg('rect', {x: 8, y: y + side - edge, width: edge, height: edge, class: 'block'}, group);
        block = svg('rect', {x: 8, y: y + side, width: edge, height: 0, class: 'fill', 'data-edge': edge}, group);
      }
      svg('rect', {x: left, y: base, width: right - left, height: 18, class: 'track'}, group);
      const bar = svg('path', {class: 'bar'}, group);
      const ghost = runner.predicted ? svg('path', {class: 'predicted'}, group) : null;
      const label = svg('text', {x: left + 4, y: base + 13, class: 'time'}, group);
      if (i === 1 && counted()) {
        const at = x(counted()), off = at > right;
        const told = svg('g', {class: 'told', visibility: 'hidden'}, stage);
        if (!off) svg('line', {x1: at, x2: at, y1: base - 4, y2: base + 22, class: 'counted'}, told);
        svg('text', {x: off ? right : Math.max(at, Math.min(right, left + 320)), y: base + 34, 'text-anchor': 'end'}, told,
          `by counting, given the ${race().runners[0].name.toLowerCase()} one's time: ${duration(counted())}${off ? ' →' : ''}`);
      }
      return {runner, name, detail, left, bar, ghost, block, label, base, x, bottom: y + side};
    });
    const step = 10 ** Math.floor(Math.log10(longest())), every = longest() / step > 5 ? 2 * step : longest() / step > 2 ? step : step / 2;
    for (let t = 0; t <= longest() * 1.0001; t += every) {
      svg('line', {x1: x(t), x2: x(t), y1: bottom - 2, y2: bottom + 5, class: 'tick'}, stage);
      svg('text', {x: x(t), y: bottom + 20, 'text-anchor': 'middle'}, stage, t ? duration(t) : '0');
    }
    chooser.forEach((node, i) => node?.setAttribute('aria-pressed', i === state.race));
    stop();
    state.elapsed = state.bets[state.race] === undefined ? 0 : end();
    show();
  }
  function show() {
    ask.textContent = race().ask;
    const bet = data.once ? state.bets[state.race] : undefined;
    for (const [i, one] of runners.entries()) {
      const {runner, x, base} = one, run = done(runner.seconds, state.elapsed, data.once);
      const box = (a, b, y, height) => `M${x(a) + 1} ${y}H${Math.max(x(a) + 1, x(b) - 1)}v${height}H${x(a) + 1}z`;
      const each = (seconds, found, y, height) => Array.from({length: found.runs}, (_, i) =>
        box(i * seconds, (i + 1) * seconds, y, height)).join('')
        + (found.part ? box(found.runs * seconds, (found.runs + found.part) * seconds, y, height) : '');
      one.name.textContent = runner.name + (bet === String(i) || bet === 'together' ? ' ✕ your bet' : '');
      if (one.detail) set(one.detail, {x: one.left + 8.2 * one.name.textContent.length + 12});
      one.bar.setAttribute('d', each(runner.seconds, run, base, 18));
      if (one.ghost) one.ghost.setAttribute('d', each(runner.predicted, done(runner.predicted, state.elapsed, data.once), base + 21, 6));
      const over = data.once ? run.runs > 0 : state.elapsed >= end();
      const reached = x(Math.min(state.elapsed, data.once ? runner.seconds : state.elapsed));
      set(one.label, {x: reached + 6});
      one.label.textContent = data.once ? (over ? duration(runner.seconds) : '')
        : state.elapsed ? `${run.runs} step${run.runs === 1 ? '' : 's'}` : '';
      if (one.block) {
        const edge = Number(one.block.dataset.edge), height = edge * Math.min(1, run.runs + run.part);
        set(one.block, {y: one.bottom - height, height});
      }
    }
    const over = state.elapsed >= end();
    stage.querySelectorAll('.told').forEach(node => set(node, {visibility: over ? 'visible' : 'hidden'}));
    starts.forEach(([bet, node]) => {
      node.disabled = state.playing;
      node.setAttribute('aria-pressed', over && state.bets[state.race] === bet);
    });
    const labels = race().runners.map(runner => `${runner.name}: ${runner.detail}, ${duration(runner.seconds)}`);
    stage.setAttribute('aria-label', over ? labels.join('; ') : 'Bars that grow with time, one for each runner.');
    story.replaceChildren();
    if (over) tell(); else story.textContent = state.playing ? '…' : race().hint;
  }
  function tell() {
    const [first, second] = race().runners, bet = state.bets[state.race];
    if (data.once) {
      const ratio = second.seconds / first.seconds;
      const truth = Math.abs(ratio - 1) < .05 ? 'together' : ratio < 1 ? '1' : '0';
      const said = {together: 'together', 0: first.name.toLowerCase(), 1: second.name.toLowerCase()};
      if (bet) story.append(`You bet on “${said[bet]}”${bet === truth ? ': right. ' : `; it was “${said[truth]}”. `}`);
      html('strong', {}, story, `${times(second.work / first.work)} times the multiplications, ${ratio.toFixed(2)} times the time.`);
    } else {
      const fastest = race().runners.reduce((a, b) => (a.seconds < b.seconds ? a : b));
      if (Number(bet?.replaceAll(',', '')) > 0) story.append(`You guessed ${bet.trim()}. `);
      html('strong', {}, story, `While the ${first.name.toLowerCase()} does one step, ${fastest.name.toLowerCase()} does ${whole(Math.floor(first.seconds / fastest.seconds))}.`);
    }
    story.append(` ${race().why}`);
  }
  function stop() { cancelAnimationFrame(frame); state.playing = false; }
  function finish() { stop(); state.elapsed = end(); show(); }
  function start(bet = '') {
    stop();
    state.bets[state.race] = bet;
    heard(state.race, bet);
    if (still.matches) { finish(); return; }
    state.playing = true; state.elapsed = 0;
    let begun = null;
    const next = now => {
      begun ??= now;
      state.elapsed = Math.min(end(), (now - begun) / 1e3 / data.replay * end());
      if (state.elapsed >= end()) { finish(); return; }
      show();
      frame = requestAnimationFrame(next);
    };
    show();
    frame = requestAnimationFrame(next);
  }

  const observer = new ResizeObserver(() => { if (root.clientWidth && Math.abs(root.clientWidth - width) > 1) arrange(); });
  arrange();
  observer.observe(root);
  return {state, start, finish, destroy() { observer.disconnect(); stop(); root.replaceChildren(); }};
}
